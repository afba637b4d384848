//! What the log says about a lock, wherever it is kept.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process;

use super::{canonical, start_of, words};
use crate::history::Who;
use crate::lock::{self, FileId, Kind, Target};
use crate::sys;

/// What was asked for.
pub enum Subject {
    Here(Target),
    InCluster(ClusterLock),
}

/// A lock that a cluster keeps.
#[derive(Clone, Debug)]
pub struct ClusterLock {
    /// The URL of the cluster.
    pub url: String,
    /// Its name.
    pub name: OsString,
    pub mode: lock::Mode,
}

/// A holder on another machine, perhaps.
#[derive(Clone, Debug)]
pub struct ClusterHolder {
    pub host: String,
    pub pid: u32,
    pub label: Option<String>,
    pub command: Vec<String>,
}

impl Subject {
    /// The file of the caller's descriptor, if it is one.
    pub fn descriptor(&self) -> Option<FileId> {
        match self {
            Self::Here(target) => match target.kind() {
                Kind::Descriptor(id) => Some(id),
                _ => None,
            },
            Self::InCluster(_) => None,
        }
    }

    pub fn mode(&self) -> lock::Mode {
        match self {
            Self::Here(target) => target.mode(),
            Self::InCluster(lock) => lock.mode,
        }
    }

    /// The lock and the data, as the log calls them.
    pub fn paths(&self) -> (PathBuf, PathBuf) {
        match self {
            Self::Here(target) => {
                if let Some(path) = self.descriptor().and_then(|id| sys::path_of(process::id(), id)) {
                    return (path.clone(), path);
                }
                let data = std::path::absolute(target.data()).unwrap_or_else(|_| target.data().to_owned());
                (canonical(target.lock()), data)
            }
            Self::InCluster(ClusterLock { url, name, .. }) => {
                let mut lock = OsString::from(format!("{url}/"));
                lock.push(name);
                (lock.into(), name.into())
            }
        }
    }

    /// The lock that a path leads to, or to whose data, or to any lock file: whatever is written there would break it.
    pub fn is_at(&self, path: &Path) -> Option<&Target> {
        let Self::Here(target) = self else { return None };
        let path = canonical(path);
        let is_path = |other: &Path| {
            let other = canonical(other);
            let file = |path: &Path| sys::stat_path(path).ok().flatten().map(|stat| stat.id);
            other == path || file(&other).is_some_and(|id| file(&path) == Some(id))
        };
        let is_file = self.descriptor().is_none();
        let is_it = path.parent().is_some_and(lock::is_lock_dir)
            || (is_file && (is_path(target.data()) || is_path(target.lock())));
        is_it.then_some(target)
    }
}

impl From<ClusterHolder> for Who<'static> {
    fn from(holder: ClusterHolder) -> Self {
        let ClusterHolder { host, pid, label, command } = holder;
        let label = label.as_deref().map(start_of);
        let command: Vec<OsString> = command.into_iter().map(OsString::from).collect();
        Self { host: Some(start_of(&host)), pid, label, command: words(&command) }
    }
}

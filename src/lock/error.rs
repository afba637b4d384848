//! Why a lock was not obtained.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Target;
use super::acquire::MOST_MISMATCHES;
use crate::escape::Escaped;
use crate::sys;

/// Why a lock was not obtained. Only [`Busy`](Error::Busy) and [`TimedOut`](Error::TimedOut) mean
/// that somebody else holds it; every other failure is reported as what it is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Another process holds a conflicting lock, and the request was not to wait.
    #[error("{}: busy: locked by another process", Escaped::new(.0.data()))]
    Busy(Target),

    /// Another process still held a conflicting lock when the timeout had passed.
    #[error("{}: timed out after {}: locked by another process", Escaped::new(.target.data()),
        humantime::format_duration(round(*waited)))]
    TimedOut {
        /// The lock that was not obtained.
        target: Target,
        /// How long was waited for all the locks of the request together.
        waited: Duration,
    },

    /// The lock is held by an ancestor of this process (named in `GTLOCK_HELD`), or through a
    /// descriptor that this process inherited: to wait for it would be to wait for ever.
    #[error("{}: already locked by {}, inside which this runs; waiting for it would never end: \
        drop the inner lock, or lock another file", Escaped::new(.target.data()),
        ancestor.map_or("an inherited descriptor".to_owned(), |pid| format!("process {pid}")))]
    AlreadyLocked {
        /// The lock that this process's ancestor holds.
        target: Target,
        /// The ancestor; `None` if only the inherited descriptor shows the lock.
        ancestor: Option<u32>,
    },

    /// What was named cannot be locked: a bad name, or something at the lock file's place that is
    /// not a lock file. Nothing was changed.
    #[error("{}: {reason}", Escaped::new(.path))]
    Invalid {
        /// The path at fault.
        path: PathBuf,
        /// What is wrong with it, and the remedy.
        reason: String,
    },

    /// The operating system refused an operation.
    #[error("{}: {error}", Escaped::new(.path))]
    Io {
        /// The path it was refused for.
        path: PathBuf,
        /// What the system said. In the message already, hence not the `source`: whoever prints the chain
        /// would print it twice.
        error: io::Error,
    },
}

impl Error {
    pub(super) fn io(path: &Path, error: io::Error) -> Self {
        Self::Io { path: path.to_owned(), error }
    }

    pub(super) fn invalid(path: &Path, reason: impl Into<String>) -> Self {
        Self::Invalid { path: path.to_owned(), reason: reason.into() }
    }
}

/// To the millisecond, which is as much as a reader wants.
fn round(duration: Duration) -> Duration {
    Duration::from_millis(duration.as_millis().try_into().unwrap_or(u64::MAX))
}

/// The error for a file with content that gtlock did not write.
pub fn foreign(lock: &Path) -> Error {
    Error::invalid(
        lock,
        "is not a lock file: it has other content; move it away, or choose another --lock-dir",
    )
}

/// The error for something at a lock path that is no regular file.
pub fn not_a_lock_file(lock: &Path) -> Option<Error> {
    let kind = sys::odd_kind(lock)?;
    Some(Error::invalid(
        lock,
        format!("is not a lock file but {kind}; move it away, or choose another --lock-dir"),
    ))
}

/// The error for a path that never stays the same file.
pub fn unstable(path: &Path) -> Error {
    Error::invalid(
        path,
        format!(
            "was replaced {MOST_MISMATCHES} times while being locked; \
             its file system may have no stable inodes: choose a --lock-dir on another"
        ),
    )
}

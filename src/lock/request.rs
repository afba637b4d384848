//! A request: which locks, in which mode, and how long to wait for them.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::sys::{FileId, Mode};

/// How long to wait for a lock that is held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wait {
    /// Not at all: [`Error::Busy`](super::Error::Busy). (If the record names no live holder, for up to 50 ms, so that a
    /// process that only looks at the lock does not make it busy.)
    Never,
    /// This long for all the locks of a request together, then [`Error::TimedOut`](super::Error::TimedOut).
    For(Duration),
    /// As long as it takes.
    #[default]
    Forever,
}

/// What kind of file a lock is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A lock file, which holds a record of the holders.
    LockFile,
    /// The data file or directory itself, which is never written to.
    Itself,
    /// This file, open on a descriptor of the caller's.
    Descriptor(FileId),
}

/// Some of the slots of a lock that at most so many hold at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slots {
    /// How many there are.
    pub limit: u32,
    /// How many are wanted, all or none.
    pub take: u32,
}

impl Slots {
    /// As many as there can be: each is waited for by a thread.
    pub const MAX: u32 = 1024;
}

/// How a lock is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    pub mode: Mode,
    /// How many of its slots, if any.
    pub slots: Option<Slots>,
}

impl From<Mode> for Claim {
    fn from(mode: Mode) -> Self {
        Self { mode, slots: None }
    }
}

/// Where the lock for a data file is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// `.gastown/locks` beside the data.
    #[default]
    Beside,
    /// A directory of the caller's choice.
    Directory(PathBuf),
    /// On the data itself.
    Itself,
}

impl Place {
    /// What kind of file is locked there.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Beside | Self::Directory(_) => Kind::LockFile,
            Self::Itself => Kind::Itself,
        }
    }
}

/// Locks to be taken: which files, how, and how long to wait.
///
/// It is cheap, and takes nothing by itself. It can be locked many times, from many threads.
#[derive(Clone, Debug, Default)]
#[must_use = "it takes no lock until `lock` or `try_lock` is called"]
pub struct Request {
    pub(super) targets: Vec<(PathBuf, Mode)>,
    pub(super) descriptors: Vec<Descriptor>,
    pub(super) place: Place,
    pub(super) slots: Option<Slots>,
    pub(super) max_waiters: Option<u32>,
    pub(super) wait: Wait,
    pub(super) retry_delay: Option<Duration>,
}

impl Request {
    /// An exclusive lock on a data file, which need not exist; its directory must.
    pub fn exclusive(path: impl Into<PathBuf>) -> Self {
        Self::new(path.into(), Mode::Exclusive)
    }

    /// A shared lock on a data file, which need not exist; its directory must.
    pub fn shared(path: impl Into<PathBuf>) -> Self {
        Self::new(path.into(), Mode::Shared)
    }

    /// A lock on a data file in the given mode.
    pub fn new(path: PathBuf, mode: Mode) -> Self {
        Self::default().and(path, mode)
    }

    /// And an exclusive lock on another data file. A file that is named twice is locked once, in the
    /// stronger mode.
    pub fn and_exclusive(self, path: impl Into<PathBuf>) -> Self {
        self.and(path.into(), Mode::Exclusive)
    }

    /// And a shared lock on another data file.
    pub fn and_shared(self, path: impl Into<PathBuf>) -> Self {
        self.and(path.into(), Mode::Shared)
    }

    /// And a lock on another data file in the given mode.
    pub fn and(mut self, path: PathBuf, mode: Mode) -> Self {
        self.targets.push((path, mode));
        self
    }

    /// Keeps the lock files in this directory instead of `.gastown/locks` beside the data, and creates it if it does
    /// not exist. Data files of the same name share a lock there.
    pub fn lock_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.place = Place::Directory(dir.into());
        self
    }

    /// Locks the named files or directories themselves, as flock(1) does, instead of lock files. A file is
    /// created if it does not exist, and never written to. If it is replaced by a rename, the lock stays with the old
    /// file: for data that is saved that way, use a lock file.
    pub fn direct(mut self) -> Self {
        self.place = Place::Itself;
        self
    }

    /// And a lock on a file that is already open, after all others. Messages call it `name`. The lock belongs to the
    /// open file description, so all processes that share it hold the lock, too. If it holds a lock already, that is
    /// converted, and lost if the conversion is refused (see flock(2)). On Linux, where such a lock can be seen, it stays
    /// held when the guard is dropped: shared again if it was shared.
    pub fn and_open_file(mut self, file: File, name: impl Into<String>, mode: Mode) -> Self {
        self.descriptors.push(Descriptor { file: Arc::new(file), name: name.into(), mode });
        self
    }

    /// Lets at most `limit` requests like this hold the lock at once: each gets a slot of its own, numbered from 1 to
    /// `limit`. For a shared lock on one data file only. Readers without slots are not counted; a writer excludes them
    /// all.
    pub fn slots(mut self, limit: u32) -> Self {
        let take = self.slots.map_or(1, |slots| slots.take);
        self.slots = Some(Slots { limit, take });
        self
    }

    /// Takes so many of the [slots](Self::slots) instead of one, all or none.
    pub fn take(mut self, units: u32) -> Self {
        let limit = self.slots.map_or(0, |slots| slots.limit);
        self.slots = Some(Slots { limit, take: units });
        self
    }

    /// Does not wait if so many others wait already: [`Error::Crowded`](super::Error::Crowded).
    pub fn max_waiters(mut self, others: u32) -> Self {
        self.max_waiters = Some(others);
        self
    }

    /// How long [`lock`](Self::lock) waits. The default is for ever.
    pub fn wait(mut self, wait: Wait) -> Self {
        self.wait = wait;
        self
    }

    /// Polls instead of waiting in the kernel, for file systems on which that does not work: 5 attempts this far apart, 5
    /// more at least 50 ms apart, then at least 100 ms.
    pub fn retry_delay(mut self, delay: Duration) -> Self {
        self.retry_delay = Some(delay);
        self
    }

    /// Whether it names nothing to lock.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.targets.is_empty() && self.descriptors.is_empty()
    }

    /// The data files, as they were named.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.targets.iter().map(|(path, _)| path.as_path())
    }
}

/// An open file of the caller's to lock.
#[derive(Clone, Debug)]
pub struct Descriptor {
    pub file: Arc<File>,
    pub name: String,
    pub mode: Mode,
}

/// Which lock was refused, and how it was wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    data: PathBuf,
    lock: PathBuf,
    claim: Claim,
    kind: Kind,
}

impl Target {
    pub(super) fn new(data: PathBuf, lock: PathBuf, claim: impl Into<Claim>, kind: Kind) -> Self {
        Self { data, lock, claim: claim.into(), kind }
    }

    /// The data file, as the caller named it.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The locked file. [`inspect`](super::inspect) finds who holds it.
    #[must_use]
    pub fn lock(&self) -> &Path {
        &self.lock
    }

    /// The mode that was wanted.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.claim.mode
    }

    /// The slots that were wanted.
    #[must_use]
    pub fn slots(&self) -> Option<Slots> {
        self.claim.slots
    }

    pub(super) fn claim(&self) -> Claim {
        self.claim
    }

    /// What kind of file the lock is on.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }
}

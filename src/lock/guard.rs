//! Locks that are held.

use std::ffi::OsString;
use std::io;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::error::foreign;
use super::file::LockFile;
use super::nested::{self, Own};
use super::record::{self, Edited};
use super::slots::Taken;
use super::{Error, Kind, Mode, Target, flock};
use crate::escape::Escaped;
use crate::sys::{self, FileId, Stat};

/// Locks that are held; dropping it releases them.
///
/// It belongs to the thread and the process that took it. In a forked process, dropping the copy releases nothing.
#[derive(Debug, Default)]
#[must_use = "the locks are released as soon as this is dropped"]
pub struct Guard {
    locked: Vec<Locked>,
    /// A thread that waits for its own lock gets an error, which would not work if the guard moved to another thread.
    of_this_thread: PhantomData<*const ()>,
}

impl Guard {
    /// The locks held, in the order in which they were taken.
    pub fn locks(&self) -> impl Iterator<Item = &Locked> {
        self.locked.iter()
    }

    pub(super) fn push(&mut self, locked: Locked) {
        self.locked.push(locked);
    }

    /// Releases all, unless all are wanted.
    pub(super) fn keep_if_all(&mut self, is_wanted: impl Fn(&Locked) -> bool) {
        if !self.locked.iter().all(is_wanted) {
            self.clear();
        }
    }

    pub(super) fn clear(&mut self) {
        self.locked.clear();
    }

    /// Releases the locks. Returns the lock files that somebody unlinked or replaced while they were locked: others
    /// may have held the same lock at the same time.
    #[must_use = "a lock file that was replaced means that others may have held the lock too"]
    pub fn release(mut self) -> Vec<PathBuf> {
        let replaced = self.replaced().map(Path::to_owned).collect();
        self.clear();
        replaced
    }

    fn replaced(&self) -> impl Iterator<Item = &Path> {
        self.locked.iter().filter(|locked| locked.was_replaced()).map(|locked| locked.target.lock())
    }

    /// Lets commands that start from now on inherit the descriptors of the locks: if this process is killed, the
    /// locks last until the command ends. Does nothing on Windows.
    ///
    /// # Errors
    ///
    /// The system's error, for example that there are no descriptors left.
    pub fn make_inheritable(&mut self) -> io::Result<()> {
        // The caller's descriptors are inherited anyway.
        let ours = |locked: &&mut Locked| !matches!(locked.target.kind(), Kind::Descriptor(_));
        self.locked
            .iter_mut()
            .filter(ours)
            .try_for_each(|locked| sys::make_inheritable(&mut locked.file.file))
    }

    /// When this is dropped, leaves the locks to processes that share their open file descriptions, such as commands that
    /// [inherited](Self::make_inheritable) them. A lock that nobody shares is released then.
    pub fn leave(&mut self) {
        self.locked.iter_mut().for_each(|locked| locked.on_drop = OnDrop::Keep);
    }

    /// The same, only for the locks on [open files of the caller's](super::Request::and_open_file).
    pub fn leave_descriptors(&mut self) {
        let callers = |locked: &&mut Locked| matches!(locked.target.kind(), Kind::Descriptor(_));
        self.locked.iter_mut().filter(callers).for_each(|locked| locked.on_drop = OnDrop::Keep);
    }

    /// The slots that are held, in order. None unless some were [asked for](super::Request::slots).
    pub fn slots(&self) -> impl Iterator<Item = u32> {
        self.locked.iter().flat_map(Locked::slots)
    }

    /// The value of `GTLOCK_HELD` for a command run under these locks.
    #[must_use]
    pub fn held_variable(&self) -> OsString {
        nested::for_child(self.locked.iter().map(Locked::file_id))
    }
}

/// What becomes of a lock when its guard is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDrop {
    /// It is released.
    Release,
    /// It stays as it is.
    Keep,
    /// It is shared again, as it was before for the caller.
    Share,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if self.locked.first().is_none_or(|locked| !locked.own.is_this_process()) {
            return;
        }
        for lock in self.replaced() {
            eprintln!(
                "gtlock: {}: the lock file was unlinked or replaced while it was locked, so that others may have \
                 held the lock too",
                Escaped::new(lock)
            );
        }
    }
}

/// One lock that is held. Released when dropped, unless it is kept.
#[derive(Debug)]
pub struct Locked {
    target: Target,
    file: LockFile,
    slots: Taken,
    own: Own,
    unrecorded: Option<io::Error>,
    taken: Instant,
    /// What becomes of it when this is dropped.
    on_drop: OnDrop,
}

impl Locked {
    pub(super) fn new(
        file: LockFile,
        slots: Taken,
        stat: Stat,
        target: Target,
        on_drop: OnDrop,
    ) -> Result<Self, Error> {
        let taken = Instant::now();
        let own = Own::new(file.id, slots.numbers().count());
        let recorded = if target.kind() != Kind::LockFile {
            Ok(Edited::Done) // not ours to write
        } else if stat.links == 1 {
            record::add(own.pid(), &file.file, target.lock(), target.mode())
        } else {
            Err(io::Error::other("it has more than one name"))
        };
        if let Ok(Edited::NoRecord) = recorded {
            return Err(foreign(target.lock())); // it became foreign after it was opened
        }
        own.register();
        Ok(Self { target, file, slots, own, unrecorded: recorded.err(), taken, on_drop })
    }

    /// Which lock it is.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The slots of it that are held, in order.
    pub fn slots(&self) -> impl Iterator<Item = u32> {
        self.slots.numbers()
    }

    /// Which file is locked.
    #[must_use]
    pub fn file_id(&self) -> FileId {
        self.file.id
    }

    /// Why the holder could not be recorded in the lock file, if it could not. The lock is held without it.
    #[must_use]
    pub fn unrecorded(&self) -> Option<&io::Error> {
        self.unrecorded.as_ref()
    }

    /// When it was acquired.
    #[must_use]
    pub fn taken(&self) -> Instant {
        self.taken
    }

    /// Whether this is the wanted lock, or a stronger one on the same file.
    pub(super) fn is(&self, target: &Target, file: &LockFile) -> bool {
        let is_descriptor = |kind| matches!(kind, Kind::Descriptor(_));
        self.file.id == file.id
            && self.target.mode() >= target.mode()
            && !is_descriptor(self.target.kind())
            && !is_descriptor(target.kind())
    }

    fn was_replaced(&self) -> bool {
        self.file.was_replaced()
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        if !self.own.is_this_process() {
            return; // only closes the files: the parent still holds the locks
        }
        let file = &self.file.file;
        // Even if the lock is kept: this process no longer holds it.
        if self.unrecorded.is_none() && self.target.kind() == Kind::LockFile {
            // If this fails, the record is stale, and shown as stale.
            let _ = record::remove(self.own.pid(), file, self.target.lock(), self.target.mode());
        }
        self.own.deregister();
        match self.on_drop {
            // Explicitly, not by closing: a process that the command left behind has the descriptor, too.
            OnDrop::Release => {
                self.slots.give_back(file);
                let _ = flock::unlock(file);
            }
            OnDrop::Keep => {}
            OnDrop::Share => {
                let _ = flock::try_lock(file, Mode::Shared); // which nobody can refuse
            }
        }
    }
}

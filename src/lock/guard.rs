//! Locks that are held.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::PathBuf;

use super::{Kind, Mode, Target, flock, held, record};
use crate::sys::{self, FileId, Stat};

/// Locks that are held; dropping it releases them.
#[derive(Debug)]
#[must_use = "the locks are released as soon as this is dropped"]
pub struct Guard {
    pub(super) locked: Vec<Locked>,
}

impl Guard {
    /// The locks held, in the order in which they were taken.
    pub fn locks(&self) -> impl Iterator<Item = &Locked> {
        self.locked.iter()
    }

    /// Releases the locks. Returns the lock files that somebody had meanwhile unlinked or replaced: others
    /// may have held the same lock at the same time.
    #[must_use = "a lock file that was replaced means that others may have held the lock too"]
    pub fn release(self) -> Vec<PathBuf> {
        let replaced = self.locked.iter().filter(|locked| locked.was_replaced());
        replaced.map(|locked| locked.target.lock.clone()).collect()
    }

    /// Lets commands run from now on inherit the locks' descriptors: should this process be killed, the
    /// locks last until the command ends. Nothing of the kind on Windows.
    ///
    /// # Errors
    ///
    /// What the system said, for example that there are no descriptors left.
    pub fn make_inheritable(&mut self) -> io::Result<()> {
        // The caller's descriptors are inherited as it is.
        let ours = |locked: &&mut Locked| !matches!(locked.target.kind, Kind::Descriptor(_));
        self.locked.iter_mut().filter(ours).try_for_each(|locked| sys::make_inheritable(&mut locked.file))
    }

    /// Leaves the locks to whoever shares the open file descriptions that they are on, such as commands that
    /// have [inherited](Self::make_inheritable) them, when this is dropped. What nobody shares is released then.
    pub fn leave(&mut self) {
        self.locked.iter_mut().for_each(|locked| locked.afterwards = Afterwards::Left);
    }

    /// The same for the locks on [open files of the caller's](super::Request::and_open_file) alone.
    pub fn leave_descriptors(&mut self) {
        let callers = |locked: &&mut Locked| matches!(locked.target.kind, Kind::Descriptor(_));
        self.locked.iter_mut().filter(callers).for_each(|locked| locked.afterwards = Afterwards::Left);
    }

    /// The value of `GTLOCK_HELD` for a command run under these locks.
    #[must_use]
    pub fn held_variable(&self) -> OsString {
        held::for_child(self.locked.iter().map(|locked| locked.id))
    }
}

/// One lock that is held. Released when dropped, unless it is left.
#[derive(Debug)]
pub struct Locked {
    pub(super) target: Target,
    pub(super) id: FileId,
    file: File,
    unrecorded: Option<io::Error>,
    /// What becomes of it when this is dropped.
    pub(super) afterwards: Afterwards,
}

/// What becomes of a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Afterwards {
    /// It is released.
    Released,
    /// It stays as it is.
    Left,
    /// It is shared again, as the caller had it before.
    Shared,
}

impl Locked {
    pub(super) fn new(file: File, stat: Stat, target: Target) -> Self {
        let recorded = if target.kind != Kind::LockFile {
            Ok(()) // not ours to write to
        } else if stat.links == 1 {
            record::add(&file, &target.lock, target.mode)
        } else {
            Err(io::Error::other("it has more than one name"))
        };
        Self { target, id: stat.id, file, unrecorded: recorded.err(), afterwards: Afterwards::Released }
    }

    /// Which lock it is.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Which file is locked.
    #[must_use]
    pub fn file_id(&self) -> FileId {
        self.id
    }

    /// Why the holder could not be recorded in the lock file, if it could not. The lock holds all the same.
    #[must_use]
    pub fn unrecorded(&self) -> Option<&io::Error> {
        self.unrecorded.as_ref()
    }

    fn was_replaced(&self) -> bool {
        if matches!(self.target.kind, Kind::Descriptor(_)) {
            return false; // nobody knows its path
        }
        let there = sys::stat_path(&self.target.lock);
        there.is_ok_and(|there| there.is_none_or(|there| there.id != self.id))
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // Also if the lock is left: this process holds it no longer.
        if self.unrecorded.is_none() && self.target.kind == Kind::LockFile {
            // Failing that, the record is stale, and taken for what it is.
            let _ = record::remove(&self.file, &self.target.lock, self.target.mode);
        }
        match self.afterwards {
            // Explicitly, not by closing: a process that the command left behind has the descriptor too.
            Afterwards::Released => {
                let _ = flock::unlock(&self.file);
            }
            Afterwards::Left => {}
            Afterwards::Shared => {
                let _ = flock::try_lock(&self.file, Mode::Shared); // which nobody can refuse
            }
        }
    }
}

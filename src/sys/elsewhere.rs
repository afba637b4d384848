//! What only Linux shows of locks, on other systems.

#![allow(clippy::trivially_copy_pass_by_ref, reason = "same signatures as on Linux")]

use std::collections::HashSet;
use std::fs::File;
use std::path::PathBuf;

use super::{FileId, Listed, Mode, Tie};

/// Whether the descriptors of other processes can be seen here, at least this user's.
pub const SHOWS_DESCRIPTORS: bool = false;

/// This system's kernel does not show it.
pub fn table() -> Option<Vec<Listed>> {
    None
}

/// Of nobody can the descriptors be seen.
pub fn everyone() -> Vec<u32> {
    Vec::new()
}

/// Not to be seen.
pub fn ties(_: u32, _: &HashSet<u64>) -> Option<Vec<(FileId, Tie)>> {
    None
}

/// This system's kernel does not show it.
pub fn path_of(_: u32, _: FileId) -> Option<PathBuf> {
    None
}

/// This system's kernel does not show it; `GTLOCK_HELD` is believed.
pub fn may_hold_lock(_: u32, _: FileId) -> bool {
    true
}

/// This system's kernel does not show it.
#[must_use]
pub fn lock_on(_: &File) -> Option<Mode> {
    None
}

/// This system's kernel does not show it.
pub fn holds_lock(_: u32, _: FileId) -> Option<bool> {
    None
}

/// This system's kernel does not show it.
pub fn took_lock(_: u32, _: FileId) -> Option<bool> {
    None
}

/// This system's kernel does not show it; only `GTLOCK_HELD` does.
pub fn inherited_lock(_: FileId) -> Option<u32> {
    None
}

/// Places in a queue: there are none here, so that everybody waits for the lock itself.
#[cfg(unix)]
pub mod places {
    use std::convert::Infallible;
    use std::fs::File;
    use std::io;
    use std::marker::PhantomData;

    /// The first place.
    pub const FIRST: u64 = 1 << 62;

    /// Beyond the last place.
    pub const END: u64 = (1 << 63) - 1;

    /// The distance between two tickets.
    pub const TICKET: u64 = 1;

    /// The place for a ticket.
    pub fn of_this_process(ticket: u64) -> u64 {
        ticket
    }

    /// Nobody's.
    pub fn owner(_: u64) -> Option<u32> {
        None
    }

    /// A place that is taken: there is none.
    #[derive(Debug)]
    pub struct Taken<'a>(Infallible, PhantomData<&'a File>);

    /// None can be taken.
    pub fn taken(_: &File, _: u64, _: u64) -> io::Result<Option<u64>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// This system's kernel does not show it.
    pub fn is_locked(_: &File) -> bool {
        false
    }

    /// A place that is kept: there is none.
    #[derive(Debug)]
    pub struct Kept(Infallible);

    impl Kept {
        /// Leaves it.
        pub fn leave(&self, _: &File) {
            match self.0 {}
        }

        /// Keeps it no longer than this.
        pub fn until_dropped(self, _: &File) -> Taken<'_> {
            match self.0 {}
        }
    }

    /// None can be taken.
    pub fn take(_: &File, _: u64) -> io::Result<Option<Taken<'_>>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// None can be taken.
    pub fn take_alone(_: &File, _: u64) -> io::Result<Option<Kept>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// None can be taken.
    pub fn wait_until_left(_: &File, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

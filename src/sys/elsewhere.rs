//! What only Linux tells about locks, where there is no Linux.

#![allow(clippy::trivially_copy_pass_by_ref, clippy::unused_self, reason = "same signatures as on Linux")]

use std::fs::File;

use super::{FileId, Mode};

/// Not to be had from this system's kernel.
#[derive(Debug)]
pub struct Waiters;

impl Waiters {
    /// Asks nobody.
    pub fn now() -> Self {
        Self
    }

    /// Not to be had.
    pub fn of(&self, _: FileId) -> Option<Vec<u32>> {
        None
    }
}

/// Not to be had from this system's kernel.
pub fn descriptor_holders(_: FileId) -> Vec<u32> {
    Vec::new()
}

/// Not to be had from this system's kernel.
pub fn inheritors(_: FileId) -> Vec<u32> {
    Vec::new()
}

/// Not to be had from this system's kernel; `GTLOCK_HELD` is believed.
pub fn may_hold_lock(_: u32, _: FileId) -> bool {
    true
}

/// Not to be had from this system's kernel.
#[must_use]
pub fn lock_on(_: &File) -> Option<Mode> {
    None
}

/// Not to be had from this system's kernel; `GTLOCK_HELD` alone tells.
pub fn inherits_lock(_: FileId) -> bool {
    false
}

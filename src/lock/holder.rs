//! Who is known to hold a lock: by the record in the lock file, or by a descriptor.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use super::record::{self, Record};
use crate::process::{Liveness, Processes};
use crate::sys::{self, FileId};

/// A process's start is known to the second, a file's time to a few milliseconds.
const CLOCK_SLACK: Duration = Duration::from_secs(2);

/// A process named as a holder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its process ID.
    pub pid: u32,
    /// What there is under this ID. A process that is younger than the record, or has not the file
    /// open, is not the holder, and counts as dead.
    pub liveness: Liveness,
    /// How it is known.
    pub evidence: Evidence,
}

impl Holder {
    /// Whether it lives.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.liveness != Liveness::Dead
    }
}

/// How a holder is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// The record in the lock file names it.
    Record,
    /// It has a descriptor through which the kernel says that the lock is held.
    Descriptor,
}

/// The processes that have a descriptor through which a lock on a file is held, on Linux.
pub fn descriptor_holders(id: FileId, processes: &mut Processes) -> Vec<Holder> {
    let mut holders = Vec::new();
    add_descriptor_holders(&mut holders, id, processes);
    holders
}

/// Whether the record of a lock file names a process that could be its holder.
pub(super) fn names_live_holder(file: &File, lock: &Path, processes: &mut Processes) -> bool {
    let record = record::read(file, lock).ok().flatten().unwrap_or_default();
    let Ok(stat) = sys::stat(file) else { return false };
    recorded(&record, stat.id, processes).iter().any(Holder::is_alive)
}

/// The processes that the record of a lock file names.
pub(super) fn recorded(record: &Record, id: FileId, processes: &mut Processes) -> Vec<Holder> {
    let holder = |&pid: &u32| Holder {
        pid,
        liveness: match processes.look_at(pid) {
            // Somebody else under this number: after a reuse, or here instead of in the holder's namespace.
            Liveness::Alive(process)
                if record.written.is_some_and(|written| process.started > written + CLOCK_SLACK)
                    || !sys::may_hold_lock(pid, id) =>
            {
                Liveness::Dead
            }
            liveness => liveness,
        },
        evidence: Evidence::Record,
    };
    record.pids.iter().map(holder).collect()
}

/// Adds the processes that have a descriptor through which the lock is held.
pub(super) fn add_descriptor_holders(holders: &mut Vec<Holder>, id: FileId, processes: &mut Processes) {
    let me = std::process::id();
    for pid in sys::descriptor_holders(id).into_iter().filter(|&pid| pid != me) {
        let holder = Holder { pid, liveness: processes.look_at(pid), evidence: Evidence::Descriptor };
        // Better evidence than a start time compared with a clock that may have been set.
        match holders.iter_mut().find(|known| known.pid == pid) {
            Some(known) => *known = holder,
            None => holders.push(holder),
        }
    }
}

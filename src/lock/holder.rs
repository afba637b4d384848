//! Who is known to hold a lock: the record in the lock file names them, the kernel's lines of locks prove it.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::path::Path;

use super::Mode;
use super::record::{self, Record};
use super::ties::{Descriptors, Proof, is_younger};
use crate::process::{Liveness, Processes};
use crate::sys::{self, FileId};

/// A process named as a holder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its process ID.
    pub pid: u32,
    /// The process with this ID. If the record names it and it does not hold the lock, it counts as dead: the holder is
    /// gone and the number reused, or it is a number of another PID namespace.
    pub liveness: Liveness,
    /// The evidence for it.
    pub evidence: Evidence,
    /// Which slots of the lock it has, in order; none if they cannot be seen.
    pub slots: Vec<u32>,
}

impl Holder {
    /// Whether it is alive.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.liveness != Liveness::Dead
    }
}

/// The evidence for a holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// The record in the lock file names it.
    Record,
    /// It has a descriptor through which the lock is held, by the kernel's account, and the record names the process
    /// that took the lock.
    Inherited,
    /// The same, but the record does not name the process that took the lock.
    Descriptor,
}

/// A process that may be a holder.
#[derive(Clone, Debug)]
pub struct Candidate {
    pid: u32,
    evidence: Evidence,
    proof: Proof,
    slots: Vec<u32>,
}

impl Candidate {
    /// Whether a look at the process is of use.
    pub fn in_question(&self) -> Option<u32> {
        (self.proof != Proof::None).then_some(self.pid)
    }

    /// The holder, by a look at the process.
    pub fn judge(self, record: &Record, seen: &HashMap<u32, Liveness>) -> Holder {
        let Self { pid, evidence, proof, slots } = self;
        let liveness = match (proof, seen.get(&pid)) {
            (Proof::None, _) | (_, None) => Liveness::Dead,
            // Another process, which got the number later.
            (Proof::Number, Some(Liveness::Alive(process))) if is_younger(process, record) => Liveness::Dead,
            (_, Some(liveness)) => liveness.clone(),
        };
        Holder { pid, liveness, evidence, slots }
    }
}

/// Whether a holder that the record names is confirmed.
pub fn is_confirmed(
    record: &Record,
    file: FileId,
    descriptors: &Descriptors,
    processes: &mut Processes,
) -> bool {
    record.pids.iter().any(|&pid| match descriptors.proof(pid, file) {
        Proof::Kernel => true,
        Proof::Number => is_old_enough(pid, record, processes),
        Proof::None => false,
    })
}

/// The processes that may hold a lock, which is held in this mode: those that are recorded; if the kernel confirms none
/// of them, those with a descriptor through which the lock is held; and those with slots that none of the others has.
pub fn candidates(
    record: &Record,
    mode: Mode,
    file: FileId,
    descriptors: &Descriptors,
    processes: &mut Processes,
) -> Vec<Candidate> {
    let candidate =
        |pid, evidence, proof| Candidate { pid, evidence, proof, slots: descriptors.slots(pid, file) };
    let recorded = |&pid: &u32| candidate(pid, Evidence::Record, descriptors.proof(pid, file));
    let mut candidates: Vec<_> = record.pids.iter().map(recorded).collect();
    let is_confirmed = candidates.iter().any(|candidate| candidate.proof == Proof::Kernel);
    let known: Vec<_> = candidates.iter().flat_map(|candidate| candidate.slots.iter().copied()).collect();
    // If one is confirmed, only those are added whose slots no other holder explains.
    let is_wanted =
        |pid| !is_confirmed || descriptors.slots(pid, file).iter().any(|slot| !known.contains(slot));
    let others = heads(descriptors.locks(file).filter(|&(pid, _)| is_wanted(pid)), processes);
    if mode == Mode::Exclusive && !others.is_empty() {
        // There is only one lock, and it is theirs.
        for recorded in &mut candidates {
            recorded.proof = Proof::None;
        }
    }
    candidates.extend(others.into_iter().map(|(pid, taker)| {
        let is_recorded = record.pids.contains(&taker);
        let evidence = if is_recorded { Evidence::Inherited } else { Evidence::Descriptor };
        candidate(pid, evidence, Proof::Kernel)
    }));
    candidates
}

/// One process for each lock that is seen, and not this process: of those that share a lock, the ancestor of the others.
/// Several, if that is gone.
fn heads(locks: impl Iterator<Item = (u32, u32)>, processes: &mut Processes) -> Vec<(u32, u32)> {
    let locks: BTreeSet<_> = locks.filter(|&(pid, _)| pid != std::process::id()).collect();
    let mut heads: Vec<(u32, u32)> = Vec::new();
    for &(pid, taker) in &locks {
        let shares = |ancestor: u32| locks.contains(&(ancestor, taker));
        if heads.iter().all(|&(head, _)| head != pid) && !processes.descends_from(pid, shares) {
            heads.push((pid, taker));
        }
    }
    heads
}

/// The processes that have a descriptor through which a lock on a file is held, on Linux.
pub fn descriptor_holders(file: FileId, processes: &mut Processes) -> Vec<Holder> {
    by_descriptor(file, processes, |_| true)
}

/// Those of them that share a lock which this process took.
pub fn inheritors(file: FileId, processes: &mut Processes) -> Vec<Holder> {
    by_descriptor(file, processes, |taker| taker == std::process::id())
}

fn by_descriptor(file: FileId, processes: &mut Processes, took: impl Fn(u32) -> bool) -> Vec<Holder> {
    let mut descriptors = Descriptors::on(std::iter::once(file));
    descriptors.look_at_everyone();
    let heads = heads(descriptors.locks(file).filter(|&(_, taker)| took(taker)), processes);
    let pids: Vec<_> = heads.iter().map(|&(pid, _)| pid).collect();
    let mut seen = Processes::look_at_all(&pids);
    let holder = |pid| {
        let liveness = seen.remove(&pid).unwrap_or(Liveness::Dead);
        Holder { pid, liveness, evidence: Evidence::Descriptor, slots: descriptors.slots(pid, file) }
    };
    pids.into_iter().map(holder).collect()
}

/// Whether the record of a lock file names a process that holds the lock.
pub(super) fn names_live_holder(file: &File, lock: &Path, processes: &mut Processes) -> bool {
    let record = record::read(file, lock).ok().flatten().unwrap_or_default();
    let Ok(stat) = sys::stat(file) else { return false };
    record.pids.iter().any(|&pid| match sys::holds_lock(pid, stat.id) {
        Some(holds) => holds,
        // There is no better evidence than the record, unless the kernel shows who holds a lock, even if only to the same user.
        None => !sys::SHOWS_DESCRIPTORS && is_old_enough(pid, &record, processes),
    })
}

/// Whether a process is alive and not known to have got its number after the record was written.
fn is_old_enough(pid: u32, record: &Record, processes: &mut Processes) -> bool {
    match processes.look_at(pid) {
        Liveness::Alive(process) => !is_younger(&process, record),
        Liveness::Hidden => true,
        Liveness::Dead => false,
    }
}

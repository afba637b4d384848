//! Who is known to hold a lock: the record in the lock file names them, the kernel's `lock:` lines prove it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::path::Path;
use std::time::Duration;

use super::Mode;
use super::record::{self, Record};
use crate::process::{Liveness, Processes};
use crate::sys::{self, FileId, Tie};

/// A process's start is known to the second, a file's time to a few milliseconds.
const CLOCK_SLACK: Duration = Duration::from_secs(2);

/// A process named as a holder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its process ID.
    pub pid: u32,
    /// What there is under this ID. A process that the record names and that does not hold the lock counts as
    /// dead: the holder is, and the number has been used again, or it is one of another PID namespace.
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
    /// It has a descriptor through which the kernel says that the lock is held, by a process that the record
    /// names.
    Inherited,
    /// The same, and of the process that took the lock nothing is recorded.
    Descriptor,
}

/// What the descriptors of processes have to do with some files.
#[derive(Debug, Default)]
pub struct Descriptors {
    inodes: HashSet<u64>,
    /// Those that were looked at, and whether there was anything to be seen.
    looked_at: HashMap<u32, bool>,
    ties: HashMap<FileId, Vec<(u32, Tie)>>,
}

impl Descriptors {
    /// Those on these files; nothing is looked at yet.
    pub fn on(files: impl Iterator<Item = FileId>) -> Self {
        Self { inodes: files.map(|file| file.inode).collect(), ..Self::default() }
    }

    /// Looks at those of a process, once.
    pub fn look_at(&mut self, pid: u32) {
        if self.looked_at.contains_key(&pid) {
            return;
        }
        let ties = sys::ties(pid, &self.inodes);
        self.looked_at.insert(pid, ties.is_some());
        for (file, tie) in ties.into_iter().flatten() {
            self.ties.entry(file).or_default().push((pid, tie));
        }
    }

    /// Looks at those of all processes.
    pub fn look_at_everyone(&mut self) {
        for pid in sys::everyone() {
            self.look_at(pid);
        }
    }

    /// What was seen of a file.
    pub fn ties(&self, file: FileId) -> &[(u32, Tie)] {
        self.ties.get(&file).map_or(&[], Vec::as_slice)
    }

    /// Whether a flock on the file is held through one of a process's; `None` if they cannot be seen.
    fn holds(&self, pid: u32, file: FileId) -> Option<bool> {
        let is_seen = *self.looked_at.get(&pid)?;
        is_seen.then(|| self.locks(file).any(|(holder, _)| holder == pid))
    }

    /// The processes through whose descriptors the lock is held, each with the one that took it.
    fn locks(&self, file: FileId) -> impl Iterator<Item = (u32, u32)> {
        self.ties(file).iter().filter_map(|&(pid, tie)| match tie {
            Tie::Lock { taker } => Some((pid, taker)),
            Tie::Open | Tie::Place(_) => None,
        })
    }

    /// Whether a holder that the record names is confirmed.
    pub fn confirm(&self, record: &Record, file: FileId, processes: &mut Processes) -> bool {
        record.pids.iter().any(|&pid| is_confirmed(pid, self.holds(pid, file), record, processes))
    }

    /// The processes that wait for the lock, but for this one, which may wait and ask: those in its queue, in
    /// order, then those that the kernel's table shows as blocked.
    pub fn waiters(&self, file: FileId, blocked: &[(u32, u64)]) -> Vec<u32> {
        let ties = self.ties(file);
        let place =
            |&(pid, tie): &(u32, Tie)| if let Tie::Place(place) = tie { Some((place, pid)) } else { None };
        let queue: BTreeSet<_> = ties.iter().filter_map(place).collect();
        // The inode number alone could belong to another file system.
        let has_it_open = |pid: u32| ties.iter().any(|&(other, _)| other == pid);
        let blocked = blocked.iter().filter(|&&(pid, inode)| inode == file.inode && has_it_open(pid));
        let mut waiters = Vec::new();
        for pid in queue.into_iter().map(|(_, pid)| pid).chain(blocked.map(|&(pid, _)| pid)) {
            if pid != std::process::id() && !waiters.contains(&pid) {
                waiters.push(pid);
            }
        }
        waiters
    }
}

/// A process that may be a holder.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    pid: u32,
    evidence: Evidence,
    proof: Proof,
}

/// What speaks for a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proof {
    /// The kernel: the lock is held through a descriptor of its.
    Kernel,
    /// Nothing but the record, since its descriptors cannot be seen.
    RecordAlone,
    /// Nothing: its descriptors can be seen, and the lock is held through none of them.
    None,
}

impl Candidate {
    /// Whether it is of use to look at the process.
    pub fn in_question(self) -> Option<u32> {
        (self.proof != Proof::None).then_some(self.pid)
    }

    /// The holder, by a look at the process.
    pub fn judge(self, record: &Record, looks: &HashMap<u32, Liveness>) -> Holder {
        let Self { pid, evidence, proof } = self;
        let liveness = match (proof, looks.get(&pid)) {
            (Proof::None, _) | (_, None) => Liveness::Dead,
            // Somebody else, to whom the number came later. Where the kernel proves it the clock was set.
            (Proof::RecordAlone, Some(Liveness::Alive(process)))
                if record.written.is_some_and(|written| process.started > written + CLOCK_SLACK) =>
            {
                Liveness::Dead
            }
            (_, Some(liveness)) => liveness.clone(),
        };
        Holder { pid, liveness, evidence }
    }
}

/// Those who may hold a lock that is held in this mode: who is recorded, and, if the kernel confirms none of them,
/// who has a descriptor through which it is held.
pub fn candidates(
    record: &Record,
    mode: Mode,
    file: FileId,
    descriptors: &Descriptors,
    processes: &mut Processes,
) -> Vec<Candidate> {
    let recorded = record.pids.iter().map(|&pid| Candidate {
        pid,
        evidence: Evidence::Record,
        proof: match descriptors.holds(pid, file) {
            Some(true) => Proof::Kernel,
            Some(false) => Proof::None,
            None => Proof::RecordAlone,
        },
    });
    let mut candidates: Vec<_> = recorded.collect();
    if candidates.iter().any(|candidate| candidate.proof == Proof::Kernel) {
        return candidates;
    }
    let others = heads(descriptors.locks(file), processes);
    if mode == Mode::Exclusive && !others.is_empty() {
        // There is but one lock, and it is theirs.
        for recorded in &mut candidates {
            recorded.proof = Proof::None;
        }
    }
    candidates.extend(others.into_iter().map(|(pid, taker)| {
        let is_recorded = record.pids.contains(&taker);
        let evidence = if is_recorded { Evidence::Inherited } else { Evidence::Descriptor };
        Candidate { pid, evidence, proof: Proof::Kernel }
    }));
    candidates
}

/// One process for each lock that is seen, and not this one: of those that share it the one from which the others
/// descend. Several, where that is gone.
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

/// Those of them through whose descriptors a lock is held that this process took.
pub fn inheritors(file: FileId, processes: &mut Processes) -> Vec<Holder> {
    by_descriptor(file, processes, |taker| taker == std::process::id())
}

fn by_descriptor(file: FileId, processes: &mut Processes, took: impl Fn(u32) -> bool) -> Vec<Holder> {
    let mut descriptors = Descriptors::on(std::iter::once(file));
    descriptors.look_at_everyone();
    let heads = heads(descriptors.locks(file).filter(|&(_, taker)| took(taker)), processes);
    let pids: Vec<_> = heads.iter().map(|&(pid, _)| pid).collect();
    let mut seen = processes.look_at_all(&pids);
    let holder = |pid| {
        let liveness = seen.remove(&pid).unwrap_or(Liveness::Dead);
        Holder { pid, liveness, evidence: Evidence::Descriptor }
    };
    pids.into_iter().map(holder).collect()
}

/// Whether the record of a lock file names a process that holds the lock.
pub(super) fn names_live_holder(file: &File, lock: &Path, processes: &mut Processes) -> bool {
    let record = record::read(file, lock).ok().flatten().unwrap_or_default();
    let Ok(stat) = sys::stat(file) else { return false };
    record.pids.iter().any(|&pid| is_confirmed(pid, sys::holds_lock(pid, stat.id), &record, processes))
}

/// Whether a process that the record names is the holder: where the kernel tells, nobody's number is enough.
fn is_confirmed(pid: u32, holds: Option<bool>, record: &Record, processes: &mut Processes) -> bool {
    if sys::SHOWS_DESCRIPTORS {
        return holds == Some(true);
    }
    let candidate = Candidate { pid, evidence: Evidence::Record, proof: Proof::RecordAlone };
    candidate.judge(record, &processes.look_at_all(&[pid])).is_alive()
}

//! Who is known to hold a lock: the record in the lock file names them, the kernel's `lock:` lines prove it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::path::Path;
use std::time::Duration;

use super::Mode;
use super::record::{self, Record};
use crate::process::{Liveness, Process, Processes};
use crate::sys::{self, FileId, Listed, Tie, What};

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
    /// Those whom the kernel's table shows to have taken a lock.
    listed: HashSet<(u32, FileId)>,
    /// Those whom it shows to wait for one, each with the inode number of the file.
    blocked: Vec<(u32, u64)>,
    /// Whether it shows places in a queue.
    has_queue: bool,
}

impl Descriptors {
    /// Those on these files; nothing is looked at yet.
    pub fn on(files: impl Iterator<Item = FileId>) -> Self {
        Self { inodes: files.map(|file| file.inode).collect(), ..Self::default() }
    }

    /// Takes the kernel's table for what it tells without a look at all that a process has open.
    pub fn read(&mut self, table: &[Listed]) {
        for line in table.iter().filter(|line| self.inodes.contains(&line.file.inode)) {
            match line.what {
                What::Holds => _ = self.listed.insert((line.pid, line.file)),
                What::Waits => self.blocked.push((line.pid, line.file.inode)),
                What::Queues => self.has_queue = true,
            }
        }
    }

    /// Looks at the processes that the table shows as waiting, at all of them where some are in a queue: it does not
    /// show whose places are taken.
    pub fn look_at_waiters(&mut self) {
        if self.has_queue {
            self.look_at_everyone();
        }
        for (pid, _) in self.blocked.clone() {
            self.look_at(pid);
        }
    }

    /// Looks at those that a record names, unless the table shows them, by a number that is still theirs.
    pub fn look_at_recorded(&mut self, record: &Record, file: FileId, seen: &HashMap<u32, Liveness>) {
        for &pid in &record.pids {
            let is_theirs =
                matches!(seen.get(&pid), Some(Liveness::Alive(process)) if !is_younger(process, record));
            if !is_theirs {
                self.listed.remove(&(pid, file));
            }
            if !self.listed.contains(&(pid, file)) {
                self.look_at(pid);
            }
        }
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

    /// What speaks for a process that the record of a lock names.
    fn proof(&self, pid: u32, file: FileId) -> Proof {
        if self.listed.contains(&(pid, file)) || self.locks(file).any(|(holder, _)| holder == pid) {
            return Proof::Kernel;
        }
        match self.looked_at.get(&pid) {
            Some(true) => Proof::None,
            Some(false) | None => Proof::RecordAlone,
        }
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
        record.pids.iter().any(|&pid| match self.proof(pid, file) {
            Proof::Kernel => true,
            Proof::RecordAlone => is_all_there_is(pid, record, processes),
            Proof::None => false,
        })
    }

    /// The processes that wait for the lock, but for this one, which may wait and ask: those in its queue, in
    /// order, then those that the kernel's table shows as blocked.
    pub fn waiters(&self, file: FileId) -> Vec<u32> {
        let ties = self.ties(file);
        let place =
            |&(pid, tie): &(u32, Tie)| if let Tie::Place(place) = tie { Some((place, pid)) } else { None };
        let queue: BTreeSet<_> = ties.iter().filter_map(place).collect();
        // The inode number alone could belong to another file system.
        let has_it_open = |pid: u32| ties.iter().any(|&(other, _)| other == pid);
        let blocked = self.blocked.iter().filter(|&&(pid, inode)| inode == file.inode && has_it_open(pid));
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
    pub fn judge(self, record: &Record, seen: &HashMap<u32, Liveness>) -> Holder {
        let Self { pid, evidence, proof } = self;
        let liveness = match (proof, seen.get(&pid)) {
            (Proof::None, _) | (_, None) => Liveness::Dead,
            // Somebody else, to whom the number came later.
            (Proof::RecordAlone, Some(Liveness::Alive(process))) if is_younger(process, record) => {
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
    let recorded =
        |&pid: &u32| Candidate { pid, evidence: Evidence::Record, proof: descriptors.proof(pid, file) };
    let mut candidates: Vec<_> = record.pids.iter().map(recorded).collect();
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
    record
        .pids
        .iter()
        .any(|&pid| sys::holds_lock(pid, stat.id).unwrap_or_else(|| is_all_there_is(pid, &record, processes)))
}

/// Whether the record of a process that lives is as good as it gets: not where the kernel shows who holds a lock, if
/// only to the same user.
fn is_all_there_is(pid: u32, record: &Record, processes: &mut Processes) -> bool {
    !sys::SHOWS_DESCRIPTORS
        && match processes.look_at(pid) {
            Liveness::Alive(process) => !is_younger(&process, record),
            Liveness::Hidden => true,
            Liveness::Dead => false,
        }
}

/// Whether a process started after a record was written, and so cannot be what the record names.
fn is_younger(process: &Process, record: &Record) -> bool {
    record.written.is_some_and(|written| process.started > written + CLOCK_SLACK)
}

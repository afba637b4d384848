//! What the open files of processes have to do with the files of locks, as the kernel shows it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use super::record::Record;
use crate::process::{Liveness, Process};
use crate::sys::{self, FileId, Listed, Tie, What};

/// A process's start is known to the second, a file's time to a few milliseconds.
const CLOCK_SLACK: Duration = Duration::from_secs(2);

/// The evidence for a process that the record of a lock names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The kernel: the lock is held through one of its descriptors.
    Kernel,
    /// Its descriptors cannot be seen, but the kernel's table has its number with the lock. Where a system shows neither,
    /// the record is all there is.
    Number,
    /// None: the kernel shows, as far as this user may see, that it does not hold the lock.
    None,
}

/// What the descriptors of processes have to do with some files.
#[derive(Debug, Default)]
pub struct Descriptors {
    inodes: HashSet<u64>,
    /// The processes that were looked at, and whether anything could be seen.
    looked_at: HashMap<u32, bool>,
    ties: HashMap<FileId, Vec<(u32, Tie)>>,
    /// The processes that took a lock, by the kernel's table, and still have their number.
    listed: HashSet<(u32, FileId)>,
    /// The numbers of processes that took a lock, by the kernel's table, each with the inode number of the file: on btrfs
    /// and overlayfs it has another device for it. `None` if the table was not read.
    takers: Option<HashSet<(u32, u64)>>,
    /// Those that wait for one, each with the inode number of the file.
    blocked: Vec<(u32, u64)>,
    /// Whether it shows places in a queue.
    has_queue: bool,
    /// Whether it shows slots.
    has_slots: bool,
}

impl Descriptors {
    /// The ties to these files; nothing is looked at yet.
    pub fn on(files: impl Iterator<Item = FileId>) -> Self {
        Self { inodes: files.map(|file| file.inode).collect(), ..Self::default() }
    }

    /// Uses the kernel's table, so that not everything that a process has open must be looked at.
    pub fn read(&mut self, table: &[Listed]) {
        self.takers = Some(takers(table));
        for line in table.iter().filter(|line| self.inodes.contains(&line.file.inode)) {
            match line.what {
                What::Holds => _ = self.listed.insert((line.pid, line.file)),
                What::Waits => self.blocked.push((line.pid, line.file.inode)),
                What::Queues => self.has_queue = true,
                What::Slots => self.has_slots = true,
            }
        }
    }

    /// Looks at the processes that the table shows as waiting; at all processes if some are in a queue or have slots, since
    /// the table does not show whose places those are.
    pub fn look_at_waiters(&mut self) {
        if self.has_queue || self.has_slots {
            self.look_at_everyone();
        }
        for (pid, _) in self.blocked.clone() {
            self.look_at(pid);
        }
    }

    /// Looks at those that a record names, unless the table shows them and the number is still theirs.
    pub fn look_at_recorded(&mut self, record: &Record, file: FileId, seen: &HashMap<u32, Liveness>) {
        for &pid in &record.pids {
            let is_theirs =
                matches!(seen.get(&pid), Some(Liveness::Alive(process)) if !is_younger(process, record));
            if !is_theirs {
                self.listed.remove(&(pid, file));
            }
            if self.has_slots || !self.listed.contains(&(pid, file)) {
                self.look_at(pid);
            }
            if self.looked_at.get(&pid) == Some(&false) && self.takers.is_none() {
                self.takers = sys::table().map(|table| takers(&table));
            }
        }
    }

    /// Looks at a process, once.
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

    /// Looks at all processes.
    pub fn look_at_everyone(&mut self) {
        for pid in sys::everyone() {
            self.look_at(pid);
        }
    }

    /// What was seen of a file.
    fn ties(&self, file: FileId) -> &[(u32, Tie)] {
        self.ties.get(&file).map_or(&[], Vec::as_slice)
    }

    /// The evidence for a process that the record of a lock names.
    pub fn proof(&self, pid: u32, file: FileId) -> Proof {
        if self.listed.contains(&(pid, file)) || self.locks(file).any(|(holder, _)| holder == pid) {
            return Proof::Kernel;
        }
        let is_hidden = self.looked_at.get(&pid) != Some(&true);
        let took_it = |takers: &HashSet<_>| takers.contains(&(pid, file.inode));
        if is_hidden && self.takers.as_ref().map_or(!sys::SHOWS_DESCRIPTORS, took_it) {
            return Proof::Number;
        }
        Proof::None
    }

    /// The processes through whose descriptors the lock is held, each with the one that took it.
    pub fn locks(&self, file: FileId) -> impl Iterator<Item = (u32, u32)> {
        self.ties(file).iter().filter_map(|&(pid, tie)| match tie {
            Tie::Lock { taker } => Some((pid, taker)),
            Tie::Open | Tie::Place(_) | Tie::Slot(_) => None,
        })
    }

    /// The slots of the lock that a process has, each once, in order.
    pub fn slots(&self, pid: u32, file: FileId) -> Vec<u32> {
        let slots = self.ties(file).iter().filter_map(|&(of, tie)| match tie {
            Tie::Slot(slot) if of == pid => Some(slot),
            _ => None,
        });
        slots.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// The processes that wait for the lock, without this one, which may wait while it asks: those in the queue, in
    /// order, then those that the kernel's table shows as blocked.
    pub fn waiters(&self, file: FileId) -> Vec<u32> {
        let ties = self.ties(file);
        let place =
            |&(pid, tie): &(u32, Tie)| if let Tie::Place(place) = tie { Some((place, pid)) } else { None };
        let queue: BTreeSet<_> = ties.iter().filter_map(place).collect();
        // The inode number alone could be that of a file on another file system.
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

/// Those that took a lock, each with the inode number of the file.
fn takers(table: &[Listed]) -> HashSet<(u32, u64)> {
    let holds = table.iter().filter(|line| line.what == What::Holds);
    holds.map(|line| (line.pid, line.file.inode)).collect()
}

/// Whether a process started after a record was written, and so cannot be what the record names.
pub fn is_younger(process: &Process, record: &Record) -> bool {
    record.written.is_some_and(|written| process.started > written + CLOCK_SLACK)
}

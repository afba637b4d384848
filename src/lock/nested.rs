//! The locks around a request: of this thread, and of this process's ancestors, handed down in `GTLOCK_HELD`.
//!
//! Each entry is `PID:DEVICE:INODE[,INODE]...` of held lock files, numbers in decimal, entries apart by spaces.
//! The variable is a hint that outlives what it tells of, so an entry counts only while its process
//! is an ancestor of this one, and has the lock as far as can be seen: gtlock holds its locks as long as its
//! command lives, and whoever descends from the command through living processes is inside that time. A process that
//! is no descendant any more, such as a daemon that the command left behind, can wait: the lock will be released.

use std::collections::{BTreeSet, HashSet};
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};

use super::error::HeldBy;
use super::file::LockFile;
use crate::process::{Liveness, Processes};
use crate::sys::{self, FileId, Listed, Tie, What};

/// The environment variable that names the locks held.
pub const VARIABLE: &str = "GTLOCK_HELD";

/// The variable's value for a child of this process, which holds the locks `ids`.
pub fn for_child(ids: impl Iterator<Item = FileId>) -> OsString {
    let me = std::process::id();
    let mut processes = Processes::default();
    // Without those that are over, or the variable of a job that starts itself anew would grow without end.
    let still_held =
        |&(pid, id): &(u32, FileId)| processes.look_at(pid) != Liveness::Dead && sys::may_hold_lock(pid, id);
    let inherited = entries().into_iter().filter(still_held);
    let held: BTreeSet<_> = inherited.chain(ids.map(|id| (me, id))).collect();
    let in_clusters = clusters().filter(|&(pid, _)| processes.look_at(pid) != Liveness::Dead);
    let in_clusters: Vec<_> = in_clusters.map(|(_, entry)| entry).collect();
    [vec![render(held)], in_clusters].concat().join(" ").into()
}

/// Who holds a lock around this request. Nobody, unless it is certain.
pub fn held_by(lock: &LockFile, processes: &mut Processes) -> Option<HeldBy> {
    if Own::all().iter().any(|own| own.id == lock.id && own.is_this_thread()) {
        return Some(HeldBy::ThisThread);
    }
    held_by_ancestor(lock.id, processes)
        .map(HeldBy::Ancestor)
        .or_else(|| is_inherited(lock.id, processes).then_some(HeldBy::Descriptor))
}

/// How many slots of a lock are held around this request by whom [`held_by`] names: not to be given back while it waits.
pub fn slots_around(by: HeldBy, lock: &LockFile, processes: &mut Processes) -> usize {
    let mut ancestors = || processes.ancestors().unwrap_or_default();
    let (own, holders) = match by {
        HeldBy::ThisThread => (Own::slots(lock.id), ancestors()),
        HeldBy::Ancestor(_) => (0, ancestors()),
        HeldBy::Descriptor => (0, vec![std::process::id()]),
    };
    let inodes = HashSet::from([lock.id.inode]);
    let ties = holders.into_iter().filter_map(|pid| sys::ties(pid, &inodes)).flatten();
    // Each once: a command has inherited those of its gtlock.
    let slots: BTreeSet<_> = ties
        .filter_map(|(file, tie)| match tie {
            Tie::Slot(slot) if file == lock.id => Some(slot),
            _ => None,
        })
        .collect();
    (own + slots.len()).max(1) // which cannot be seen on every system
}

/// The files of the locks that are held around this process, those that are known.
#[must_use]
pub fn enclosing() -> Vec<PathBuf> {
    let entries = entries();
    if entries.is_empty() {
        return Vec::new();
    }
    let ancestors = Processes::default().ancestors().unwrap_or_default();
    let path = |(pid, id)| match pid {
        pid if ancestors.contains(&pid) => sys::path_of(pid, id),
        _ if sys::has_inherited(id) => sys::path_of(std::process::id(), id),
        _ => None,
    };
    entries.into_iter().filter_map(path).collect()
}

/// Whether this process may be inside a lock: its ancestors', or its own.
pub fn is_inside() -> bool {
    !entries().is_empty() || !Own::all().is_empty()
}

/// The process that holds the lock around this one: named in `GTLOCK_HELD`, or where that was cleared (sudo) known to
/// be gtlock, and an ancestor.
fn held_by_ancestor(id: FileId, processes: &mut Processes) -> Option<u32> {
    let named: Vec<_> = entries().into_iter().filter(|&(_, of)| of == id).map(|(pid, _)| pid).collect();
    let Some(ancestors) = processes.ancestors() else {
        // No process can be seen (there is no /proc): only a descriptor bears the variable out.
        return named.first().copied().filter(|_| sys::has_inherited(id));
    };
    // Another user's descriptors cannot be seen. Where the kernel's table cannot either, what it runs can.
    let mut holds = |pid| {
        let holds = sys::holds_lock(pid, id).or_else(|| is_listed(pid, id));
        holds.unwrap_or_else(|| processes.is_gtlock(pid))
    };
    let by_variable = named.into_iter().find(|&pid| ancestors.contains(&pid) && holds(pid));
    by_variable
        .or_else(|| ancestors.into_iter().find(|&pid| took_lock(pid, id) && runs_inside(pid, id, processes)))
}

/// Whether a process took a flock on the file and has it.
fn took_lock(pid: u32, id: FileId) -> bool {
    sys::took_lock(pid, id).or_else(|| is_listed(pid, id)).unwrap_or(false)
}

/// The same by the kernel's table, which may have another device for the file; `None` where there is none.
fn is_listed(pid: u32, id: FileId) -> Option<bool> {
    let is_it = |line: &Listed| line.what == What::Holds && line.pid == pid && line.file.inode == id.inode;
    Some(sys::table()?.iter().any(is_it))
}

/// Whether a process that took a lock has it until its command ends: it is gtlock, or what that became (`--no-fork`), which
/// its own environment tells. Any other may let go of a lock while this process waits.
fn runs_inside(pid: u32, id: FileId, processes: &mut Processes) -> bool {
    let names_itself = |value: OsString| parse(&value.to_string_lossy()).contains(&(pid, id));
    processes.is_gtlock(pid) || processes.variable(pid, VARIABLE).is_some_and(names_itself)
}

/// Whether the lock is held through a descriptor that this process inherited, or kept when it became gtlock, and whoever
/// took it is gone. Who shares the descriptor could still unlock it, but mostly waits for this process.
fn is_inherited(id: FileId, processes: &mut Processes) -> bool {
    if Own::all().iter().any(|own| own.id == id) {
        return false; // what this process took it can release
    }
    sys::inherited_lock(id).is_some_and(|taker| {
        taker == std::process::id()
            || processes.look_at(taker) == Liveness::Dead
            || sys::holds_lock(taker, id) == Some(false)
    })
}

/// A lock that this process holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Own {
    pid: u32,
    id: FileId,
    thread: ThreadId,
    slots: usize,
}

static OWN: Mutex<Vec<Own>> = Mutex::new(Vec::new());

impl Own {
    /// One that this thread takes, and so many slots of it.
    pub fn new(id: FileId, slots: usize) -> Self {
        Self { pid: std::process::id(), id, thread: thread::current().id(), slots }
    }

    /// Notes that it is taken.
    pub fn register(&self) {
        Self::registry().push(*self);
    }

    /// Notes that it is released. Not for the copy of a process that was forked off: another thread of the parent may
    /// have held the registry then.
    pub fn deregister(&self) {
        let mut registry = Self::registry();
        if let Some(at) = registry.iter().rposition(|own| own == self) {
            registry.swap_remove(at);
        }
    }

    /// The process that took it.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether the lock was taken by this process, and not by one that it was forked from.
    pub fn is_this_process(&self) -> bool {
        self.pid == std::process::id()
    }

    /// The locks that this process holds.
    fn all() -> Vec<Self> {
        let me = std::process::id();
        Self::registry().iter().filter(|own| own.pid == me).copied().collect()
    }

    /// Whether this thread took it.
    fn is_this_thread(&self) -> bool {
        self.thread == thread::current().id()
    }

    /// The slots of a lock that this thread has.
    fn slots(id: FileId) -> usize {
        Self::all().iter().filter(|own| own.id == id && own.is_this_thread()).map(|own| own.slots).sum()
    }

    fn registry() -> MutexGuard<'static, Vec<Self>> {
        OWN.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The entries of locks that a cluster keeps, `PID@LEASE`, which are `gtlock-etcd`'s to read.
fn clusters() -> impl Iterator<Item = (u32, String)> {
    let value = std::env::var_os(VARIABLE).unwrap_or_default();
    let entries: Vec<_> = value.to_string_lossy().split_ascii_whitespace().map(str::to_owned).collect();
    entries.into_iter().filter_map(|entry| Some((entry.split_once('@')?.0.parse().ok()?, entry)))
}

fn entries() -> Vec<(u32, FileId)> {
    let value = std::env::var_os(VARIABLE).unwrap_or_default();
    parse(&value.to_string_lossy())
}

/// The variable's value. Linux has no room for a variable of more than 128 KiB: what entries share is written once.
fn render(held: impl IntoIterator<Item = (u32, FileId)>) -> String {
    let mut value = String::new();
    let mut last = None;
    for (pid, FileId { device, inode }) in held {
        let entry = match last.replace((pid, device)) {
            Some(last) if last == (pid, device) => format!(",{inode}"),
            Some(_) => format!(" {pid}:{device}:{inode}"),
            None => format!("{pid}:{device}:{inode}"),
        };
        value.push_str(&entry);
    }
    value
}

/// Whatever is not an entry is passed over: anybody can write anything into an environment.
fn parse(value: &str) -> Vec<(u32, FileId)> {
    let entry = |entry: &str| {
        let mut parts = entry.split(':');
        let pid = parts.next()?.parse().ok()?;
        let device = parts.next()?.parse().ok()?;
        let inodes = parts.next()?.split(',').map(|inode| inode.parse().ok()).collect::<Option<Vec<_>>>()?;
        let locks = inodes.into_iter().map(move |inode| (pid, FileId { device, inode }));
        parts.next().is_none().then_some(locks)
    };
    value.split_ascii_whitespace().filter_map(entry).flatten().collect()
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nonsense_in_the_variable_is_passed_over() {
        let good = (12, FileId { device: 3, inode: 4 });
        assert_eq!(parse("12:3:4"), [good]);
        assert_eq!(parse(" x 12:3 12:3:4:5 -1:3:4 12:3:4\t::: 99999999999:1:1 12:3:4, 12:3:4,x"), [good]);
        let other = (12, FileId { device: 3, inode: 5 });
        assert_eq!(parse("12:3:4,5"), [good, other]);
        assert_eq!(render([good, other]), "12:3:4,5");
        assert_eq!(parse(""), []);
    }

    fn entry() -> impl Strategy<Value = (u32, FileId)> {
        any::<(u32, u64, u64)>().prop_map(|(pid, device, inode)| (pid, FileId { device, inode }))
    }

    proptest! {
        #[test]
        fn whatever_the_variable_holds_no_more_entries_are_read_than_words(
            value in prop_oneof![".*", "([0-9]{0,21}:?){0,5}( [0-9:,]{0,30}){0,5}"],
        ) {
            let read = parse(&value);
            let words = |value: &str| value.split([' ', ',']).count();
            prop_assert!(read.len() <= value.split_ascii_whitespace().map(words).sum());
            prop_assert_eq!(parse(&render(read.clone())), read);
        }

        #[test]
        fn entries_are_read_as_written_with_nonsense_between_them(
            entries in vec(entry(), 0..9), nonsense in "[a-z:-]{0,20}",
        ) {
            prop_assert_eq!(&parse(&render(entries.clone())), &entries);
            let mixed = render(entries.clone()).replace(' ', &format!(" {nonsense} "));
            prop_assert_eq!(parse(&mixed), entries);
        }
    }
}

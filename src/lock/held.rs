//! The locks that this process's ancestors hold, handed down in `GTLOCK_HELD`.
//!
//! Each entry is `PID:DEVICE:INODE` of a held lock file, numbers in decimal, entries apart by spaces.
//! The variable is a hint that outlives what it tells of, so an entry counts only while its process
//! is an ancestor of this one, and has the lock as far as can be seen: gtlock holds its locks as long as its
//! command lives, and whoever descends from the command through living processes is inside that time.

use std::collections::BTreeSet;
use std::ffi::OsString;

use crate::process::{Liveness, Processes};
use crate::sys::{self, FileId};

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
    let entries = held.into_iter().map(|(pid, id)| format!("{pid}:{}:{}", id.device, id.inode));
    entries.collect::<Vec<_>>().join(" ").into()
}

/// How the lock on a file is held around this process, if it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Around {
    /// By this ancestor.
    Ancestor(u32),
    /// By an open file description that was inherited, whose first holder is gone.
    Descriptor,
}

/// Whether the lock on a file is held around this process, so that waiting for it is hopeless.
pub fn around_us(id: FileId, processes: &mut Processes) -> Option<Around> {
    match held_by_ancestors(processes, |held| held == id) {
        Some(ancestor) => Some(Around::Ancestor(ancestor)),
        None => sys::inherits_lock(id).then_some(Around::Descriptor),
    }
}

/// Whether this process runs inside any lock at all.
pub fn is_inside(processes: &mut Processes) -> bool {
    held_by_ancestors(processes, |_| true).is_some()
}

/// The first ancestor that holds one of the locks in question.
fn held_by_ancestors(processes: &mut Processes, in_question: impl Fn(FileId) -> bool) -> Option<u32> {
    let mut named = entries().into_iter().filter(|&(_, id)| in_question(id)).peekable();
    named.peek()?;
    // Where no process can be seen (there is no /proc), one that lives is taken for the ancestor that it was.
    let ancestors = processes.ancestors();
    let is_ancestor = |pid| ancestors.as_ref().map_or_else(|| sys::is_alive(pid), |all| all.contains(&pid));
    named.find(|&(pid, id)| is_ancestor(pid) && sys::may_hold_lock(pid, id)).map(|(pid, _)| pid)
}

fn entries() -> Vec<(u32, FileId)> {
    let value = std::env::var_os(VARIABLE).unwrap_or_default();
    parse(&value.to_string_lossy())
}

/// Whatever is not an entry is passed over: anybody can write anything into an environment.
fn parse(value: &str) -> Vec<(u32, FileId)> {
    value
        .split_ascii_whitespace()
        .filter_map(|entry| {
            let mut parts = entry.split(':');
            let pid = parts.next()?.parse().ok()?;
            let device = parts.next()?.parse().ok()?;
            let inode = parts.next()?.parse().ok()?;
            parts.next().is_none().then_some((pid, FileId { device, inode }))
        })
        .collect()
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
        assert_eq!(parse(" x 12:3 12:3:4:5 -1:3:4 12:3:4\t::: 99999999999:1:1"), [good]);
        assert_eq!(parse(""), []);
    }

    fn render(entries: &[(u32, FileId)]) -> String {
        let entry = |(pid, id): &(u32, FileId)| format!("{pid}:{}:{}", id.device, id.inode);
        entries.iter().map(entry).collect::<Vec<_>>().join(" ")
    }

    fn entry() -> impl Strategy<Value = (u32, FileId)> {
        any::<(u32, u64, u64)>().prop_map(|(pid, device, inode)| (pid, FileId { device, inode }))
    }

    proptest! {
        #[test]
        fn whatever_the_variable_holds_no_more_entries_are_read_than_words(
            value in prop_oneof![".*", "([0-9]{0,21}:?){0,5}( [0-9:]{0,30}){0,5}"],
        ) {
            let read = parse(&value);
            prop_assert!(read.len() <= value.split_ascii_whitespace().count());
            prop_assert_eq!(parse(&render(&read)), read);
        }

        #[test]
        fn entries_are_read_as_written_with_nonsense_between_them(
            entries in vec(entry(), 0..9), nonsense in "[a-z:-]{0,20}",
        ) {
            prop_assert_eq!(&parse(&render(&entries)), &entries);
            let mixed = render(&entries).replace(' ', &format!(" {nonsense} "));
            prop_assert_eq!(parse(&mixed), entries);
        }
    }
}

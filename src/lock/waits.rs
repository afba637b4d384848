//! Who waits for whom, by the kernel's table of locks.

use crate::process::Processes;
use crate::sys::{self, FileId, What};

/// Whether somebody inside a lock waits for one that is held around this process, or for somebody who does, and so on:
/// then whoever waits for that lock to be released waits for this process.
///
/// Not seen is a lock that the process that took it has left to others, and whoever waits in other ways, as for what
/// this process prints.
pub fn is_awaited_inside(lock: FileId) -> bool {
    let Some(table) = sys::table() else { return false };
    let mut processes = Processes::default();
    let mut held_around = |pid: u32| {
        let family = processes.family(pid);
        let held = table.iter().filter(move |line| line.what == What::Holds && family.contains(&line.pid));
        held.map(|line| line.file)
    };
    let me = std::process::id();
    let mut awaited: Vec<_> = held_around(me).collect();
    let mut next = 0;
    while let Some(&file) = awaited.get(next) {
        next += 1;
        let waits = |what| matches!(what, What::Waits | What::Queues);
        let lines = table.iter().filter(|line| waits(line.what) && line.file == file);
        for waiter in lines.map(|line| line.pid).filter(|pid| ![0, me].contains(pid)) {
            for held in held_around(waiter) {
                if held.inode == lock.inode {
                    return true; // by the number alone: the table may have another device
                }
                if !awaited.contains(&held) {
                    awaited.push(held);
                }
            }
        }
    }
    false
}

//! The table of `status`, for people.

use std::io::{self, Write};
use std::time::Duration;

use super::{Shown, words};
use crate::cmd::{columns, holders, report};
use crate::escape::Escaped;
use crate::lock::{Evidence, Holder, Slots, State, Waiter};
use crate::process::Liveness;

/// Prints it, those that are held first; nothing where there are no locks. On a terminal its lines are cut to fit.
pub fn print(locks: &[Shown], direct: bool) -> io::Result<()> {
    if locks.is_empty() {
        return Ok(());
    }
    let mut locks: Vec<_> = locks.iter().collect();
    locks.sort_by_key(|shown| match shown.inspection.state {
        State::Held(_) => 0,
        State::Stale => 1,
        State::Free => 2,
    });
    let mut table = Vec::new();
    writeln!(table, "STATE\tMODE\tPID\tALIVE\tFOR\tLOCK\tCOMMAND")?;
    for Shown { lock: path, inspection } in locks {
        let (state, mode) = words(inspection.state);
        let since = inspection.since.map_or("-".to_owned(), report::age);
        let lock = Escaped::new(path);
        for holder in &inspection.holders {
            let alive = match holder.is_alive() {
                true if holders::is_stopped(holder) => "stopped",
                true => "yes",
                false => "no",
            };
            let remark = match holder.evidence {
                Evidence::Inherited => " (inherited the lock)",
                Evidence::Descriptor if !direct => " (not recorded)",
                Evidence::Descriptor | Evidence::Record => "",
            };
            let command = command(&holder.liveness);
            let mode = holders::slots_of(holder).unwrap_or_else(|| mode.to_owned());
            let held = match limit(&holder.liveness) {
                Some(limit) => format!("{since} of {}", report::duration(limit)),
                None => since.clone(),
            };
            writeln!(table, "{state}\t{mode}\t{}\t{alive}\t{held}\t{lock}\t{command}{remark}", holder.pid)?;
        }
        if !inspection.holders.iter().any(Holder::is_alive) {
            match inspection.state {
                State::Held(_) => {
                    writeln!(
                        table,
                        "{state}\t{mode}\t?\t?\t{since}\t{lock}\t(a process that cannot be seen from here)"
                    )?;
                }
                State::Free => writeln!(table, "{state}\t{mode}\t-\t-\t-\t{lock}\t-")?,
                State::Stale => {}
            }
        }
        for Waiter { pid, liveness } in inspection.waiters.iter().flatten() {
            let command = command(liveness);
            let mode = match liveness {
                Liveness::Alive(process) => holders::slots(&process.command),
                _ => None,
            };
            let mode =
                mode.map_or("-".to_owned(), |Slots { limit, take }| format!("{take} of {limit} slots"));
            writeln!(table, "waits\t{mode}\t{pid}\tyes\t-\t{lock}\t{command}")?;
        }
    }
    columns::print(&table)
}

/// For how long a holder may hold its lock, if its command line shows that.
fn limit(liveness: &Liveness) -> Option<Duration> {
    match liveness {
        Liveness::Alive(process) => holders::max_hold(&process.command),
        _ => None,
    }
}

fn command(liveness: &Liveness) -> String {
    match liveness {
        Liveness::Alive(process) if !process.command.is_empty() => holders::command_line(&process.command),
        _ => "-".to_owned(),
    }
}

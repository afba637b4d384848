//! `status --json` of a cluster, for programs. `docs/json.md` describes it.

use std::io;

use gtlock::cmd::json;
use serde::Serialize;

use crate::status::{Locks, mode_word, state_of, text};
use crate::who::{Entry, State};

#[derive(Serialize)]
struct Document {
    version: u32,
    locks: Vec<LockEntry>,
    errors: Vec<String>,
}

#[derive(Serialize)]
struct LockEntry {
    lock: String,
    state: &'static str,
    mode: Option<&'static str>,
    /// RFC 3339 in UTC, by the clock of the holder's machine.
    since: Option<String>,
    seconds: Option<f64>,
    holders: Vec<ProcessEntry>,
    /// In order.
    waiters: Vec<ProcessEntry>,
    /// Holders that ended without releasing.
    unclean: Vec<ProcessEntry>,
}

#[derive(Serialize)]
struct ProcessEntry {
    host: String,
    pid: u32,
    fence: i64,
    mode: &'static str,
    command: Vec<String>,
    label: Option<String>,
}

/// Prints the document.
pub fn print(locks: &Locks) -> io::Result<()> {
    let locks = locks.iter().map(|(name, entries)| {
        let of = |state: State| entries.iter().filter(move |entry| entry.state == state);
        let first = of(State::Held).next();
        let since = first.map(|first| first.record.time());
        LockEntry {
            lock: text(name),
            state: state_of(entries),
            mode: first.map(|first| mode_word(first.mode)),
            since: since.map(json::timestamp),
            seconds: since.map(|since| since.elapsed().unwrap_or_default().as_secs_f64()),
            holders: of(State::Held).map(process).collect(),
            waiters: of(State::Waits).map(process).collect(),
            unclean: of(State::Unclean).map(process).collect(),
        }
    });
    json::print(&Document { version: 1, locks: locks.collect(), errors: Vec::new() })
}

fn process(entry: &Entry) -> ProcessEntry {
    let record = entry.record.clone();
    ProcessEntry {
        host: record.host,
        pid: record.pid,
        fence: entry.fence,
        mode: mode_word(entry.mode),
        command: record.command,
        label: record.label,
    }
}

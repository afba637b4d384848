//! `status --json`, for programs. `docs/json.md` describes it.

use std::ffi::OsString;
use std::io;
use std::time::SystemTime;

use serde::Serialize;

use super::{Shown, words};
use crate::cmd::{holders, json};
use crate::lock::{Error, Evidence, Holder, Waiter};
use crate::process::Liveness;

/// The JSON document.
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
    /// RFC 3339, UTC.
    since: Option<String>,
    /// From then until now.
    seconds: Option<f64>,
    holders: Vec<ProcessEntry>,
    waiters: Option<Vec<ProcessEntry>>,
}

#[derive(Serialize)]
struct ProcessEntry {
    pid: u32,
    alive: bool,
    command: Option<Vec<String>>,
    label: Option<String>,
    /// In seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_hold: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    slots: Option<SlotsEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    evidence: Option<&'static str>,
}

#[derive(Serialize)]
struct SlotsEntry {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    held: Vec<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wanted: Option<u32>,
    /// How many there are, where its command line shows it.
    of: Option<u32>,
}

/// Prints the document.
pub fn print(locks: &[Shown], errors: &[Error]) -> io::Result<()> {
    let entry = |Shown { lock: path, inspection }: &Shown| {
        let (state, mode) = words(inspection.state);
        let waiter = |waiter: &Waiter| process_entry(waiter.pid, &waiter.liveness, None, &[]);
        LockEntry {
            lock: path.to_string_lossy().into_owned(),
            state,
            mode: Some(mode).filter(|&mode| mode != "-"),
            since: inspection.since.map(json::timestamp),
            seconds: inspection.since.map(seconds_ago),
            holders: inspection.holders.iter().map(holder_entry).collect(),
            waiters: inspection.waiters.as_ref().map(|all| all.iter().map(waiter).collect()),
        }
    };
    json::print(&Document {
        version: 1,
        locks: locks.iter().map(entry).collect(),
        errors: errors.iter().map(ToString::to_string).collect(),
    })
}

fn seconds_ago(since: SystemTime) -> f64 {
    since.elapsed().unwrap_or_default().as_secs_f64()
}

fn holder_entry(holder: &Holder) -> ProcessEntry {
    let evidence = match holder.evidence {
        Evidence::Record => "record",
        Evidence::Inherited | Evidence::Descriptor => "descriptor",
    };
    process_entry(holder.pid, &holder.liveness, Some(evidence), &holder.slots)
}

fn process_entry(
    pid: u32,
    liveness: &Liveness,
    evidence: Option<&'static str>,
    held: &[u32],
) -> ProcessEntry {
    let words = match liveness {
        Liveness::Alive(process) => Some(&process.command),
        _ => None,
    };
    let asked = words.and_then(|words| holders::slots(words));
    let is_waiter = evidence.is_none();
    let slots = (!held.is_empty() || (is_waiter && asked.is_some())).then(|| SlotsEntry {
        held: held.to_vec(),
        wanted: asked.filter(|_| is_waiter).map(|slots| slots.take),
        of: asked.map(|slots| slots.limit),
    });
    let text = |word: &OsString| word.to_string_lossy().into_owned();
    ProcessEntry {
        pid,
        alive: *liveness != Liveness::Dead,
        command: words.map(|words| words.iter().map(text).collect()),
        label: words.and_then(|words| holders::label(words)).map(str::to_owned),
        max_hold: words.and_then(|words| holders::max_hold(words)).map(|limit| limit.as_secs_f64()),
        slots,
        evidence,
    }
}

//! `gtlock status`.

use std::io::{self, IsTerminal};
use std::path::PathBuf;

use anyhow::Context;

use super::report;
use crate::cli::StatusArgs;
use crate::escape::Escaped;
use crate::exit::Exit;
use crate::lock::{self, Inspection, Mode, State};
use crate::process::Processes;
use find::Asked;

mod find;
mod json;
mod table;

/// Shows who holds locks.
///
/// # Errors
///
/// If the result cannot be written to standard output.
pub fn status(args: &StatusArgs) -> anyhow::Result<Exit> {
    let mut errors = Vec::new();
    let mut asked = Vec::new();
    for found in find::asked_for(args) {
        match found {
            Ok(found) => asked.push(found),
            Err(e) => errors.push(e),
        }
    }
    // A named lock comes before the same one found in a directory.
    asked.sort_by(|a, b| (&a.lock, a.listed).cmp(&(&b.lock, b.listed)));
    asked.dedup_by(|a, b| a.lock == b.lock);
    let in_question: Vec<_> = asked.iter().map(|asked| (asked.lock.as_path(), asked.kind)).collect();
    let found = lock::inspect_all(&in_question, &mut Processes::default());
    let mut locks = Vec::new();
    for (Asked { lock, listed, .. }, found) in asked.into_iter().zip(found) {
        match found {
            Ok(Some(inspection)) => locks.push(Shown { lock, inspection }),
            Ok(None) if listed => {} // removed since, by `clean`
            Ok(None) => locks.push(Shown { lock, inspection: FREE }),
            Err(e) => errors.push(e),
        }
    }
    if args.held {
        locks.retain(|shown| matches!(shown.inspection.state, State::Held(_)));
    }
    for error in &mut errors {
        find::without_advice(error);
        report::say(&error.to_string());
    }
    let mut is_missing = false;
    for dir in find::missing(args).filter(|_| !args.json) {
        is_missing = true;
        report::say(&format!("{}: there is no such directory", Escaped::new(dir)));
    }
    for path in args.paths.iter().filter(|path| !args.json && !args.recursive && find::is_unknown(path, args))
    {
        report::say(&format!("{}: there is no such file, and no lock on it", Escaped::new(path)));
    }
    if locks.is_empty() && errors.is_empty() && !is_missing && !args.json && io::stderr().is_terminal() {
        let what = if args.held { "no lock is held" } else { "no locks" };
        report::say(&format!("{what} {}", find::place(args)));
    }
    let printed = if args.json { json::print(&locks, &errors) } else { table::print(&locks, args.direct) };
    printed.context(report::STDOUT)?;
    Ok(if errors.is_empty() { Exit::Success } else { Exit::Failure })
}

const FREE: Inspection =
    Inspection { state: State::Free, holders: Vec::new(), since: None, waiters: Some(Vec::new()) };

/// A lock as it was found.
struct Shown {
    lock: PathBuf,
    inspection: Inspection,
}

/// State and mode in words.
fn words(state: State) -> (&'static str, &'static str) {
    match state {
        State::Free => ("free", "-"),
        State::Stale => ("stale", "-"),
        State::Held(Mode::Exclusive) => ("held", "write"),
        State::Held(Mode::Shared) => ("held", "read"),
    }
}

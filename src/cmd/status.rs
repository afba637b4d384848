//! `gtlock status`.

use std::fs::Metadata;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Context;
use serde::Serialize;
use tabwriter::TabWriter;

use super::{below, report};
use crate::cli::StatusArgs;
use crate::escape::Escaped;
use crate::exit::Exit;
use crate::lock::{self, Error, Evidence, Holder, Inspection, Kind, Mode, Request, State, Waiters};
use crate::process::{Liveness, Processes};
use crate::sys;

/// Shows who holds locks.
///
/// # Errors
///
/// If the result cannot be written to standard output.
pub fn status(args: &StatusArgs) -> anyhow::Result<Exit> {
    let mut errors = Vec::new();
    let mut processes = Processes::default();
    let mut asked = Vec::new();
    for found in asked_for(args) {
        match found {
            Ok(found) => asked.push(found),
            Err(e) => errors.push(e),
        }
    }
    // One that was named comes before the same one found in a directory.
    asked.sort_by(|a, b| (&a.lock, a.must_exist).cmp(&(&b.lock, b.must_exist)));
    asked.dedup_by(|a, b| a.lock == b.lock);
    let mut locks = Vec::new();
    for Asked { lock, kind, must_exist } in asked {
        match lock::inspect(&lock, kind, &mut processes) {
            Ok(Some(inspection)) => locks.push(Shown { lock, inspection, waiters: Some(Vec::new()) }),
            Ok(None) if must_exist => {} // gone since its directory was listed: `clean` was there
            Ok(None) => locks.push(Shown { lock, inspection: FREE, waiters: Some(Vec::new()) }),
            Err(e) => errors.push(e),
        }
    }
    let mut held =
        locks.iter_mut().filter(|shown| matches!(shown.inspection.state, State::Held(_))).peekable();
    if held.peek().is_some() {
        let waiters = Waiters::now();
        held.for_each(|shown| shown.waiters = waiters.of(&shown.lock));
    }
    for error in &mut errors {
        without_advice(error);
        report::say(&error.to_string());
    }
    for path in args.paths.iter().filter(|path| !args.json && !args.recursive && is_unknown(path, args)) {
        report::say(&format!("{}: there is no such file, and no lock on it", Escaped::new(path)));
    }
    let printed = if args.json {
        print_json(&locks, &errors, &mut processes)
    } else {
        print_table(&locks, args.direct, &mut processes)
    };
    printed.context(report::STDOUT)?;
    Ok(if errors.is_empty() { Exit::Success } else { Exit::Failure })
}

/// Takes back what only helps to lock a file: `status` just looks.
fn without_advice(error: &mut Error) {
    if let Error::Invalid { reason, .. } = error
        && let Some(fault) = reason.strip_suffix("; create it first")
    {
        *reason = fault.to_owned();
    }
}

/// Whether a path that was named is neither there nor locked: it may be misspelt.
fn is_unknown(path: &Path, args: &StatusArgs) -> bool {
    let is_missing =
        |path: &Path| path.symlink_metadata().is_err_and(|e| e.kind() == io::ErrorKind::NotFound);
    let mut data = Request::shared(path);
    if let Some(dir) = &args.lock_dir {
        data = data.lock_dir(dir);
    }
    is_missing(path) && data.lock_paths().is_ok_and(|locks| locks.iter().all(|lock| is_missing(lock)))
}

const FREE: Inspection = Inspection { state: State::Free, holders: Vec::new(), since: None };

/// A lock as it was found.
struct Shown {
    lock: PathBuf,
    inspection: Inspection,
    /// `None` where the system does not tell.
    waiters: Option<Vec<u32>>,
}

/// A lock file to look at.
struct Asked {
    lock: PathBuf,
    kind: Kind,
    must_exist: bool,
}

impl Asked {
    /// A lock that was named: free if there is no such file.
    fn named(lock: PathBuf, kind: Kind) -> Self {
        Self { lock, kind, must_exist: false }
    }

    /// A lock file that is of interest only if it is there.
    fn found(lock: PathBuf) -> Self {
        Self { lock, kind: Kind::LockFile, must_exist: true }
    }
}

fn asked_for(args: &StatusArgs) -> Vec<Result<Asked, Error>> {
    let lock_dir = args.lock_dir.as_deref();
    if args.direct {
        let itself = |path: &PathBuf| Request::shared(path).direct().lock_paths();
        let found = args.paths.iter().map(itself);
        return found
            .map(|paths| paths.map(|mut paths| Asked::named(paths.remove(0), Kind::Itself)))
            .collect();
    }
    if args.recursive {
        let found = below::lock_dirs(&args.paths).into_iter();
        return found.flat_map(|dir| dir.map_or_else(|e| vec![Err(e)], |dir| in_directory(&dir))).collect();
    }
    if args.paths.is_empty() {
        return in_directory(lock_dir.unwrap_or(Path::new(".gastown/locks")));
    }
    args.paths.iter().flat_map(|path| named_by(path, lock_dir)).collect()
}

/// The locks that a path stands for: a lock file, all those of a directory, or those of a data file.
fn named_by(path: &Path, lock_dir: Option<&Path>) -> Vec<Result<Asked, Error>> {
    let is_lock_dir = |dir: &Path| {
        let canonical = sys::canonicalize(dir).ok();
        lock::is_lock_dir(dir) // be it a link to one of another name
            || canonical.as_deref().is_some_and(lock::is_lock_dir)
            || lock_dir
                .is_some_and(|lock_dir| canonical.is_some() && sys::canonicalize(lock_dir).ok() == canonical)
    };
    let parent = path.parent().map(|parent| if parent == Path::new("") { Path::new(".") } else { parent });
    let is_lock_name = path.file_name().is_some_and(lock::is_lock_name);
    let below = lock::lock_dir_below(path);
    let (is_directory, has_locks) = (is_directory(path), is_there(&below));
    let mut data = Request::shared(path);
    if let Some(lock_dir) = lock_dir {
        data = data.lock_dir(lock_dir);
    }
    if matches!(is_directory, Ok(true)) {
        if is_lock_dir(path) {
            return in_directory(path);
        }
        if path.file_name().is_none() {
            return in_directory(&below);
        }
        if matches!(has_locks, Ok(true)) {
            // It may be data too, and locked itself.
            let itself = match data.lock_paths() {
                Ok(locks) => locks.into_iter().map(Asked::found).map(Ok).collect(),
                Err(e) => vec![Err(e)],
            };
            return in_directory(&below).into_iter().chain(itself).collect();
        }
    } else if lock::is_lock_dir(path) {
        return in_directory(path); // none there, or not a directory
    } else if is_lock_name && parent.is_some_and(is_lock_dir) {
        return vec![Ok(Asked::named(path.to_owned(), Kind::LockFile))];
    }
    // What may be a directory of locks is not to be taken for data, whose lock would be free.
    match (data.lock_paths(), is_directory.and(has_locks)) {
        (Ok(locks), Ok(_)) => locks.into_iter().map(|lock| Ok(Asked::named(lock, Kind::LockFile))).collect(),
        (Err(e), _) | (Ok(_), Err(e)) => vec![Err(e)],
    }
}

/// Whether there is a directory at a path; an error if that cannot be told.
fn is_directory(path: &Path) -> Result<bool, Error> {
    Ok(at(path, path.metadata())?.is_some_and(|metadata| metadata.is_dir()))
}

/// Whether there is anything at the path of a lock directory, be it a link to nothing; an error if that cannot be
/// told.
fn is_there(locks: &Path) -> Result<bool, Error> {
    Ok(at(locks, locks.symlink_metadata())?.is_some() || leads_nowhere(locks))
}

/// Whether a lock directory, or the one above it, is a link to nothing.
fn leads_nowhere(locks: &Path) -> bool {
    locks.ancestors().take(2).any(lock::is_dangling)
}

fn at(path: &Path, metadata: io::Result<Metadata>) -> Result<Option<Metadata>, Error> {
    match metadata {
        Ok(metadata) => Ok(Some(metadata)),
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(Error::Io { path: path.to_owned(), error }),
    }
}

/// The locks in a lock directory, by name. None if there is no such directory.
fn in_directory(dir: &Path) -> Vec<Result<Asked, Error>> {
    let fail = |error| Err(Error::Io { path: dir.to_owned(), error });
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound && !leads_nowhere(dir) => return Vec::new(),
        Err(e) => return vec![fail(e)],
    };
    let mut names = Vec::new();
    let mut failed = Vec::new();
    for entry in entries {
        match entry {
            Ok(entry) => names.push(entry.file_name()),
            Err(e) => failed.push(fail(e)),
        }
    }
    names.retain(|name| name.as_encoded_bytes().ends_with(b".lock"));
    names.sort_unstable();
    let found = names.into_iter().map(|name| Ok(Asked::found(dir.join(name))));
    found.chain(failed).collect()
}

fn print_table(locks: &[Shown], direct: bool, processes: &mut Processes) -> io::Result<()> {
    if locks.is_empty() {
        return Ok(());
    }
    let mut table = TabWriter::new(Vec::new());
    writeln!(table, "STATE\tMODE\tPID\tALIVE\tFOR\tLOCK\tCOMMAND")?;
    for Shown { lock: path, inspection, waiters } in locks {
        let (state, mode) = words(inspection.state);
        let since = inspection.since.map_or("-".to_owned(), report::age);
        let lock = Escaped::new(path);
        for holder in &inspection.holders {
            let alive = if holder.liveness == Liveness::Dead { "no" } else { "yes" };
            let is_recorded = |holder: &Holder| holder.evidence == Evidence::Record;
            let remark = match holder.evidence {
                Evidence::Descriptor if direct => "", // there is no record: of nobody it is known who was first
                Evidence::Descriptor if inspection.holders.iter().any(is_recorded) => " (inherited the lock)",
                Evidence::Descriptor => " (not recorded)",
                Evidence::Record => "",
            };
            let command = command(&holder.liveness);
            writeln!(table, "{state}\t{mode}\t{}\t{alive}\t{since}\t{lock}\t{command}{remark}", holder.pid)?;
        }
        if inspection.holders.iter().all(|holder| holder.liveness == Liveness::Dead) {
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
        for &pid in waiters.iter().flatten() {
            let command = command(&processes.look_at(pid));
            writeln!(table, "waits\t-\t{pid}\tyes\t-\t{lock}\t{command}")?;
        }
    }
    table.flush()?;
    let table = table.into_inner().map_err(|e| io::Error::other(e.to_string()))?;
    io::stdout().write_all(&table)
}

fn words(state: State) -> (&'static str, &'static str) {
    match state {
        State::Free => ("free", "-"),
        State::Stale => ("stale", "-"),
        State::Held(Mode::Exclusive) => ("held", "write"),
        State::Held(Mode::Shared) => ("held", "read"),
    }
}

fn command(liveness: &Liveness) -> String {
    match liveness {
        Liveness::Alive(process) if !process.command.is_empty() => report::command_line(&process.command),
        _ => "-".to_owned(),
    }
}

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
    #[serde(skip_serializing_if = "Option::is_none")]
    evidence: Option<&'static str>,
}

fn print_json(locks: &[Shown], errors: &[Error], processes: &mut Processes) -> io::Result<()> {
    let mut entry = |Shown { lock: path, inspection, waiters }: &Shown| {
        let (state, mode) = words(inspection.state);
        let waiter = |&pid: &u32| process_entry(pid, &processes.look_at(pid), None);
        LockEntry {
            lock: path.to_string_lossy().into_owned(),
            state,
            mode: Some(mode).filter(|&mode| mode != "-"),
            since: inspection.since.map(|since| humantime::format_rfc3339_millis(since).to_string()),
            seconds: inspection.since.map(seconds_ago),
            holders: inspection.holders.iter().map(holder_entry).collect(),
            waiters: waiters.as_ref().map(|pids| pids.iter().map(waiter).collect()),
        }
    };
    report::print_json(&Document {
        version: 1,
        locks: locks.iter().map(&mut entry).collect(),
        errors: errors.iter().map(ToString::to_string).collect(),
    })
}

fn seconds_ago(since: SystemTime) -> f64 {
    since.elapsed().unwrap_or_default().as_secs_f64()
}

fn holder_entry(holder: &Holder) -> ProcessEntry {
    let evidence = match holder.evidence {
        Evidence::Record => "record",
        Evidence::Descriptor => "descriptor",
    };
    process_entry(holder.pid, &holder.liveness, Some(evidence))
}

fn process_entry(pid: u32, liveness: &Liveness, evidence: Option<&'static str>) -> ProcessEntry {
    let command = match liveness {
        Liveness::Alive(process) => {
            Some(process.command.iter().map(|word| word.to_string_lossy().into_owned()).collect())
        }
        _ => None,
    };
    ProcessEntry { pid, alive: *liveness != Liveness::Dead, command, evidence }
}

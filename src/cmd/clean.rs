//! `gtlock clean`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Serialize;

use super::below::{self, Found};
use super::{json, report};
use crate::cli::CleanArgs;
use crate::escape::Escaped;
use crate::exit::Exit;
use crate::lock::{self, Cleaned, Error, LockDir, Reason};
use crate::sys;

/// Removes lock files that nobody holds.
///
/// # Errors
///
/// If the result cannot be written to standard output.
pub fn clean(args: &CleanArgs) -> anyhow::Result<Exit> {
    let action = if args.dry_run { lock::Action::Report } else { lock::Action::Remove };
    let mut all = Cleaned::default();
    let mut dirs = Vec::new();
    for dir in default_dirs(args) {
        match dir {
            Ok(dir) => dirs.push(dir),
            Err(e) => all.errors.push(e),
        }
    }
    let dirs = dirs.iter().map(|Found { root, path }| LockDir::Found { root, path });
    for dir in dirs.chain(args.lock_dir.iter().map(|dir| LockDir::Chosen(dir))) {
        match lock::clean(dir, action) {
            Ok(cleaned) => all.append(cleaned),
            Err(e) => all.errors.push(with_advice(e)),
        }
    }
    all.removed.sort_unstable();
    all.removed.dedup(); // two directories may be the same, and a dry run removes nothing
    all.kept.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    all.kept.dedup();
    for error in &all.errors {
        report::say(&error.to_string());
    }
    let missing = args
        .dirs
        .iter()
        .chain(&args.lock_dir)
        .filter(|dir| !args.quiet && !args.json && below::is_missing(dir));
    for dir in missing {
        report::say(&format!("{}: there is no such directory", Escaped::new(dir)));
    }
    let examined = all.errors.is_empty() || !all.removed.is_empty() || !all.kept.is_empty();
    if args.json {
        print_json(&all, args.dry_run).context(report::STDOUT)?;
    } else if !args.quiet && examined {
        print(&all, args.dry_run).context(report::STDOUT)?;
    }
    Ok(if all.errors.is_empty() { Exit::Success } else { Exit::Failure })
}

/// Adds to the error about a path that is no lock directory where the locks may be.
fn with_advice(error: Error) -> Error {
    match error {
        Error::Invalid { path, .. } if path.is_dir() && !lock::is_lock_dir(&path) => {
            let (dir, locks) = (Escaped::new(&path), lock::lock_dir_below(&path));
            let here =
                if locks.is_dir() { format!("use {}, or ", Escaped::new(&locks)) } else { "use ".to_owned() };
            let reason = format!(
                "is not a directory named .gastown/locks; {here}-R {dir} for all below it, or --lock-dir {dir} if it holds \
                 only lock files"
            );
            Error::Invalid { path, reason }
        }
        Error::Invalid { path, .. } if !path.is_dir() => {
            let reason = format!(
                "is not a directory named .gastown/locks; use {}, or --lock-dir DIR for one of another name",
                Escaped::new(&locks_of(&path))
            );
            Error::Invalid { path, reason }
        }
        Error::Io { path, error } if error.kind() == io::ErrorKind::NotADirectory => {
            Error::Invalid { path, reason: "is not a directory".to_owned() }
        }
        error => error,
    }
}

/// The default lock directory for a path: itself, the one that it is in, or the one beside that data.
#[must_use]
pub fn locks_of(path: &Path) -> PathBuf {
    let is_lock_dir = |dir: &Path| {
        lock::is_lock_dir(dir) || sys::canonicalize(dir).is_ok_and(|dir| lock::is_lock_dir(&dir))
    };
    let dir = if path.is_dir() { path } else { path.parent().unwrap_or(path) };
    if is_lock_dir(dir) { dir.to_owned() } else { lock::lock_dir_below(dir) }
}

/// The directories named `.gastown/locks` to clean.
fn default_dirs(args: &CleanArgs) -> Vec<Result<Found, Error>> {
    let nothing_named = args.dirs.is_empty() && args.lock_dir.is_empty();
    match (args.recursive, nothing_named) {
        (true, false) if args.dirs.is_empty() => Vec::new(), // only --lock-dir
        (true, _) => below::lock_dirs(&args.dirs),
        (false, true) => vec![Ok(Found::named(Path::new(".gastown/locks")))],
        (false, false) => args.dirs.iter().map(|dir| Ok(Found::named(dir))).collect(),
    }
}

fn print(all: &Cleaned, dry_run: bool) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    if dry_run {
        for path in &all.removed {
            writeln!(out, "would remove {}", Escaped::new(path))?;
        }
    }
    for (path, reason) in &all.kept {
        if *reason != Reason::Held {
            writeln!(out, "kept {}: {}", Escaped::new(path), word(*reason))?;
        }
    }
    let held = all.kept.iter().filter(|(_, reason)| *reason == Reason::Held).count();
    let (verb, files) = (if dry_run { "would remove" } else { "removed" }, all.removed.len());
    let plural = if files == 1 { "" } else { "s" };
    writeln!(out, "{verb} {files} lock file{plural}, {held} held")?;
    out.flush()
}

fn word(reason: Reason) -> &'static str {
    match reason {
        Reason::Held => "held",
        Reason::NotALockFile => "not a lock file",
        Reason::NotOurs => "belongs to another user",
    }
}

/// The JSON document.
#[derive(Serialize)]
struct Document<'a> {
    version: u32,
    dry_run: bool,
    removed: Vec<String>,
    kept: Vec<Kept<'a>>,
    errors: Vec<String>,
}

#[derive(Serialize)]
struct Kept<'a> {
    lock: String,
    reason: &'a str,
}

fn print_json(all: &Cleaned, dry_run: bool) -> io::Result<()> {
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let document = Document {
        version: 1,
        dry_run,
        removed: all.removed.iter().map(|path| text(path)).collect(),
        kept: all
            .kept
            .iter()
            .map(|(path, reason)| Kept { lock: text(path), reason: word(*reason) })
            .collect(),
        errors: all.errors.iter().map(ToString::to_string).collect(),
    };
    json::print(&document)
}

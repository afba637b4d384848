//! The lock directories of a whole tree, for `-R`.

use std::io;
use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use crate::lock::{self, Error};
use crate::sys;

/// Every `.gastown/locks` below the directories, or below `.` if none are named: sorted, each path once, then the errors.
/// Follows no symbolic link below them, and does not look into `.git`. A directory that does not exist has none.
pub fn lock_dirs(dirs: &[PathBuf]) -> Vec<Result<Found, Error>> {
    let here = [PathBuf::from(".")];
    let (mut found, mut errors) = (Vec::new(), Vec::new());
    for dir in if dirs.is_empty() { &here } else { dirs } {
        if let Err(e) = search(dir, &mut found, &mut errors) {
            errors.push(e);
        }
    }
    found.sort_unstable();
    found.dedup_by(|a, b| a.path == b.path);
    found.into_iter().map(Ok).chain(errors.into_iter().map(Err)).collect()
}

/// A lock directory that was found.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    /// Its path, which starts with `root`.
    pub path: PathBuf,
    /// The directory that was searched.
    pub root: PathBuf,
}

impl Found {
    /// A lock directory that was named itself.
    pub fn named(dir: &Path) -> Self {
        Self { path: dir.to_owned(), root: dir.to_owned() }
    }
}

fn search(dir: &Path, found: &mut Vec<Found>, errors: &mut Vec<Error>) -> Result<(), Error> {
    let canonical = match sys::canonicalize(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        canonical => canonical.map_err(|error| Error::Io { path: dir.to_owned(), error })?,
    };
    if !canonical.is_dir() {
        let reason = "is not a directory; -R searches directories".to_owned();
        return Err(Error::Invalid { path: dir.to_owned(), reason });
    }
    if lock::is_lock_dir(&canonical) {
        found.push(Found::named(dir));
        return Ok(());
    }
    let is_lock_dir = |entry: &DirEntry| {
        let below = entry.path().strip_prefix(dir).ok().filter(|_| entry.file_name() == "locks");
        below.is_some_and(|below| lock::is_lock_dir(&canonical.join(below)))
    };
    let mut walk = WalkDir::new(dir).into_iter();
    while let Some(entry) = walk.next() {
        match entry {
            Ok(entry) if entry.depth() == 0 || !entry.file_type().is_dir() => {}
            Ok(entry) if entry.file_name() == ".git" => walk.skip_current_dir(),
            Ok(entry) if is_lock_dir(&entry) => {
                walk.skip_current_dir();
                found.push(Found { path: entry.into_path(), root: dir.to_owned() });
            }
            Ok(_) => {}
            Err(e) => {
                let path = e.path().unwrap_or(dir).to_owned();
                match e.into_io_error() {
                    Some(error) if error.kind() == io::ErrorKind::NotFound => {} // removed meanwhile
                    Some(error) => errors.push(Error::Io { path, error }),
                    None => {} // a loop of links, which are not followed
                }
            }
        }
    }
    Ok(())
}

/// Whether there is nothing at the path of a directory. That it cannot be looked at is no answer.
pub fn is_missing(dir: &Path) -> bool {
    dir.metadata().is_err_and(|e| e.kind() == io::ErrorKind::NotFound)
}

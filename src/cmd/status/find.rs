//! Which locks `status` is asked about.

use std::io;
use std::path::{Path, PathBuf};

use crate::cli::StatusArgs;
use crate::cmd::below;
use crate::escape::Escaped;
use crate::lock::{self, Error, Kind, Request};
use crate::sys;

/// A lock file to look at.
pub struct Asked {
    pub lock: PathBuf,
    pub kind: Kind,
    /// Whether it was found in a directory, and counts only if it still exists.
    pub listed: bool,
}

impl Asked {
    /// A lock that was named: free if there is no such file.
    fn named(lock: PathBuf, kind: Kind) -> Self {
        Self { lock, kind, listed: false }
    }

    /// A lock file in a directory.
    fn listed(lock: PathBuf) -> Self {
        Self { lock, kind: Kind::LockFile, listed: true }
    }
}

/// The locks that the arguments name.
pub fn asked_for(args: &StatusArgs) -> Vec<Result<Asked, Error>> {
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
        return found
            .flat_map(|dir| dir.map_or_else(|e| vec![Err(e)], |dir| in_directory(&dir.path)))
            .collect();
    }
    if args.paths.is_empty() {
        return in_directory(lock_dir.unwrap_or(Path::new(".gastown/locks")));
    }
    args.paths.iter().flat_map(|path| named_by(path, lock_dir)).collect()
}

/// Where the locks are that the arguments name, in words.
pub fn place(args: &StatusArgs) -> String {
    let preposition = if args.recursive { "below" } else { "in" };
    let default = [match &args.lock_dir {
        Some(dir) => dir.clone(),
        None => PathBuf::from(if args.recursive { "." } else { ".gastown/locks" }),
    }];
    let paths = if args.paths.is_empty() { &default[..] } else { &args.paths };
    let paths: Vec<_> = paths.iter().map(|path| Escaped::new(path).to_string()).collect();
    format!("{preposition} {}", paths.join(", "))
}

/// The locks that a path names: a lock file, all those of a directory, or those of a data file.
fn named_by(path: &Path, lock_dir: Option<&Path>) -> Vec<Result<Asked, Error>> {
    let is_lock_dir = |dir: &Path| {
        let canonical = sys::canonicalize(dir).ok();
        lock::is_lock_dir(dir) // even if it is a link to a directory of another name
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
            // The directory may also be data, and locked itself.
            let itself = match data.lock_paths() {
                Ok(locks) => locks.into_iter().map(Asked::listed).map(Ok).collect(),
                Err(e) => vec![Err(e)],
            };
            return in_directory(&below).into_iter().chain(itself).collect();
        }
    } else if lock::is_lock_dir(path) {
        return in_directory(path); // it does not exist, or is not a directory
    } else if is_lock_name && parent.is_some_and(is_lock_dir) {
        return vec![Ok(Asked::named(path.to_owned(), Kind::LockFile))];
    }
    // A possible lock directory must not be taken for data, whose lock would be free.
    match (data.lock_paths(), is_directory.and(has_locks)) {
        (Ok(locks), Ok(_)) => locks.into_iter().map(|lock| Ok(Asked::named(lock, Kind::LockFile))).collect(),
        (Err(e), _) | (Ok(_), Err(e)) => vec![Err(e)],
    }
}

/// Whether a path is a directory; an error if that is unknown.
fn is_directory(path: &Path) -> Result<bool, Error> {
    Ok(at(path, sys::Dir::open(path).map(Some))?.is_some())
}

/// Whether there is anything at the path of a lock directory, even a link to nothing; an error if that is unknown.
fn is_there(locks: &Path) -> Result<bool, Error> {
    Ok(at(locks, sys::stat_path(locks))?.is_some() || leads_nowhere(locks))
}

/// Whether a lock directory, or the one above it, is a link to nothing.
fn leads_nowhere(locks: &Path) -> bool {
    locks.ancestors().take(2).any(lock::is_dangling)
}

fn at<T>(path: &Path, found: io::Result<Option<T>>) -> Result<Option<T>, Error> {
    match found {
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        found => found.map_err(|error| Error::Io { path: path.to_owned(), error }),
    }
}

/// The locks in a lock directory, by name. None if there is no such directory.
fn in_directory(dir: &Path) -> Vec<Result<Asked, Error>> {
    let entries = match sys::Dir::open(dir).and_then(|dir| dir.entries()?.collect::<io::Result<Vec<_>>>()) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound && !leads_nowhere(dir) => return Vec::new(),
        Err(error) => return vec![Err(Error::Io { path: dir.to_owned(), error })],
    };
    let mut names: Vec<_> = entries.into_iter().map(|entry| entry.name).collect();
    names.retain(|name| name.as_encoded_bytes().ends_with(b".lock"));
    names.sort_unstable();
    names.into_iter().map(|name| Ok(Asked::listed(dir.join(name)))).collect()
}

/// Removes advice that only helps to lock a file: `status` just looks.
pub fn without_advice(error: &mut Error) {
    if let Error::Invalid { reason, .. } = error
        && let Some(fault) = reason.strip_suffix("; create it first")
    {
        *reason = fault.to_owned();
    }
}

/// The named directories that do not exist.
pub fn missing(args: &StatusArgs) -> impl Iterator<Item = &Path> {
    let lock_dir = args.lock_dir.iter().filter(|_| args.paths.is_empty());
    let dirs = args.paths.iter().filter(|path| args.recursive || lock::is_lock_dir(path));
    dirs.chain(lock_dir).map(PathBuf::as_path).filter(|dir| below::is_missing(dir) && !leads_nowhere(dir))
}

/// Whether a named path neither exists nor is locked: it may be misspelt.
pub fn is_unknown(path: &Path, args: &StatusArgs) -> bool {
    let is_missing =
        |path: &Path| path.symlink_metadata().is_err_and(|e| e.kind() == io::ErrorKind::NotFound);
    let mut data = Request::shared(path);
    if let Some(dir) = &args.lock_dir {
        data = data.lock_dir(dir);
    }
    is_missing(path) && data.lock_paths().is_ok_and(|locks| locks.iter().all(|lock| is_missing(lock)))
}

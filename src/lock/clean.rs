//! Removing lock files that nobody holds.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use super::{Error, Mode, flock, record, spot};
use crate::cores::share_out;
use crate::sys::{self, Missing, places};

/// A directory to clean.
#[derive(Clone, Copy, Debug)]
pub enum LockDir<'a> {
    /// One that gtlock made beside some data: it must be named `.gastown/locks`.
    Default(&'a Path),
    /// The same, found in a search that follows no symbolic links.
    Found {
        /// The directory that was searched.
        root: &'a Path,
        /// The directory that was found; its path starts with `root`.
        path: &'a Path,
    },
    /// One that the caller chose for locks: every `*.lock` in it is a lock file.
    Chosen(&'a Path),
}

/// What to do with a lock file that nobody holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Remove it.
    Remove,
    /// Only report it.
    Report,
}

/// What was found in a lock directory.
#[derive(Debug, Default)]
pub struct Cleaned {
    /// The lock files that nobody held, removed unless only a report was asked for.
    pub removed: Vec<PathBuf>,
    /// Those that were left, and why.
    pub kept: Vec<(PathBuf, Reason)>,
    /// Those that could not be examined or removed.
    pub errors: Vec<Error>,
}

impl Cleaned {
    /// Adds what was found in another directory, or in the rest of this one.
    pub fn append(&mut self, other: Self) {
        self.removed.extend(other.removed);
        self.kept.extend(other.kept);
        self.errors.extend(other.errors);
    }
}

/// Why a lock file was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Somebody holds the lock.
    Held,
    /// It is not a regular file with one name that holds a record or nothing.
    NotALockFile,
    /// It belongs to another user, and its directory is sticky: only that user may remove it.
    NotOurs,
}

/// Removes every lock file in a directory that nobody holds. A directory that does not exist has none.
///
/// Each is unlinked while its lock is held. Every process that acquires a lock then checks that the path still names
/// the file it locked, so nobody ends up with a lock on a file that others cannot find.
///
/// # Errors
///
/// [`Error::Invalid`] if the directory is not a lock directory, [`Error::Io`] if it cannot be read. Errors of single
/// files are in [`Cleaned::errors`], and the rest is still done.
pub fn clean(dir: LockDir<'_>, action: Action) -> Result<Cleaned, Error> {
    let (LockDir::Default(named) | LockDir::Found { path: named, .. } | LockDir::Chosen(named)) = dir;
    let fail = |e| Error::io(named, e);
    // From here on everything goes through this descriptor: if the directory is replaced, the new one is not touched.
    let is_default = !matches!(dir, LockDir::Chosen(_));
    let opened = match dir {
        LockDir::Found { root, path } => {
            sys::Dir::open(root).and_then(|dir| dir.open_below(path.strip_prefix(root).unwrap_or(path)))
        }
        LockDir::Default(path) | LockDir::Chosen(path) => sys::Dir::open(path),
    };
    let opened = match opened {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Cleaned::default()),
        Err(e) if e.kind() == io::ErrorKind::NotADirectory && is_default => {
            return Err(not_a_lock_dir(named));
        }
        opened => opened.map_err(fail)?,
    };
    if is_default && !spot::is_default_lock_dir(&opened).map_err(fail)? {
        return Err(not_a_lock_dir(named));
    }
    let entries = opened.entries().map_err(fail)?.collect::<io::Result<Vec<_>>>().map_err(fail)?;
    let mut entries: Vec<_> = entries.into_iter().filter(|entry| is_lock_name(&entry.name)).collect();
    entries.sort_by_key(|entry| entry.inode); // neighbours on the disk one after the other
    let mut cleaned = Cleaned::default();
    for part in share_out(&entries, |entries| clean_all(&opened, entries, named, action)) {
        cleaned.append(part);
    }
    cleaned.removed.sort_unstable_by(|a, b| a.as_os_str().cmp(b.as_os_str()));
    cleaned.kept.sort_unstable_by(|(a, _), (b, _)| a.as_os_str().cmp(b.as_os_str()));
    Ok(cleaned)
}

fn not_a_lock_dir(named: &Path) -> Error {
    Error::invalid(
        named,
        "is not a directory named .gastown/locks; name one, or give a directory that holds only lock files with \
         --lock-dir",
    )
}

/// What was found; `None` if it was not there.
fn found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        result => result.map(Some),
    }
}

fn clean_all(dir: &sys::Dir, entries: &[sys::Entry], named: &Path, action: Action) -> Cleaned {
    let mut cleaned = Cleaned::default();
    for entry in entries {
        let path = named.join(&entry.name);
        match clean_one(dir, entry, &path, action) {
            Ok(Verdict::Removed) => cleaned.removed.push(path),
            Ok(Verdict::Kept(reason)) => cleaned.kept.push((path, reason)),
            Ok(Verdict::Gone) => {}
            Err(e) => cleaned.errors.push(Error::io(&path, e)),
        }
    }
    cleaned
}

/// Whether the name is that of a lock file, or of a gate, which earlier versions left.
#[must_use]
pub fn is_lock_name(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name.ends_with(b".lock") || name.ends_with(b".lock.gate")
}

enum Verdict {
    Removed,
    Kept(Reason),
    /// Somebody else has removed or replaced it since the directory was listed.
    Gone,
}

fn clean_one(dir: &sys::Dir, entry: &sys::Entry, path: &Path, action: Action) -> io::Result<Verdict> {
    let name = &entry.name;
    if !entry.is_file {
        return Ok(Verdict::Kept(Reason::NotALockFile)); // a device is not even opened
    }
    let Some(file) = found(dir.open_lock(name.as_ref(), Missing::Leave))? else { return Ok(Verdict::Gone) };
    // Somebody waits for it, or holds another kind of lock on it, which does not exclude ours.
    if places::is_locked(&file) {
        return Ok(Verdict::Kept(Reason::Held));
    }
    if !flock::try_lock(&file, Mode::Exclusive)? {
        return Ok(Verdict::Kept(Reason::Held));
    }
    let stat = sys::stat(&file)?;
    if dir.stat_in(name.as_ref())?.is_none_or(|there| there.id != stat.id) {
        return Ok(Verdict::Gone);
    }
    // Its content is read under the lock, since a holder may write to it.
    let has_other_content = stat.may_have_record && !record::is_there(&file, path)?;
    if !stat.is_file || stat.links != 1 || has_other_content {
        return Ok(Verdict::Kept(Reason::NotALockFile));
    }
    if action == Action::Remove {
        match dir.remove_lock(name) {
            Err(e) if sys::is_not_ours(&e) => return Ok(Verdict::Kept(Reason::NotOurs)),
            Ok(false) => return Ok(Verdict::Kept(Reason::Held)),
            removed => removed?,
        };
    }
    Ok(Verdict::Removed) // only now the lock is released, with the file
}

//! From the name of a data file to the path of its lock file.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use super::{Error, Place};
use crate::sys;

/// Where lock files live, below the directory of the data.
const LOCK_DIR: [&str; 2] = [".gastown", "locks"];

/// Symbolic links followed from one data file before it counts as a loop, as in Linux.
const MOST_LINKS: usize = 40;

/// The longest file name, in bytes, of every file system in common use.
const NAME_MAX: usize = 255;

/// Whether a canonical directory is one that gtlock keeps locks in by default.
#[must_use]
pub fn is_lock_dir(canonical: &Path) -> bool {
    canonical.ends_with(LOCK_DIR.iter().collect::<PathBuf>())
}

/// The default lock directory below a directory.
#[must_use]
pub fn lock_dir_below(dir: &Path) -> PathBuf {
    dir.join(LOCK_DIR.iter().collect::<PathBuf>())
}

/// The files whose locks guard a data file, canonical. One, unless the data file is a symbolic link:
/// then one for each name from the link to what it finally points to. Nothing is created.
pub fn lock_paths(data: &Path, place: &Place) -> Result<Vec<PathBuf>, Error> {
    if *place == Place::Itself {
        return itself(data).map(|path| vec![path]);
    }
    let mut paths = Vec::new();
    let mut next = data.to_owned();
    for _ in 0..=MOST_LINKS {
        let (dir, name) = canonical_parts(&next, data)?;
        paths.push(lock_path(&dir, &name, place, data)?);
        let here = dir.join(&name);
        match here.read_link() {
            Ok(target) => next = dir.join(target),
            // Not a symbolic link, or not there yet.
            Err(_) => return Ok(paths),
        }
    }
    Err(too_many_links(data))
}

/// A data file's own canonical path.
fn itself(data: &Path) -> Result<PathBuf, Error> {
    let mut next = data.to_owned();
    for _ in 0..=MOST_LINKS {
        match sys::canonicalize(&next) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let (dir, name) = canonical_parts(&next, data)?;
                match dir.join(&name).read_link() {
                    Ok(target) => next = dir.join(target),
                    Err(_) => return Ok(dir.join(name)), // to be created
                }
            }
            canonical => return canonical.map_err(|e| Error::io(data, e)),
        }
    }
    Err(too_many_links(data))
}

fn too_many_links(data: &Path) -> Error {
    Error::invalid(data, "too many symbolic links; name the file that they should lead to")
}

/// The canonical directory and the name of a data file.
fn canonical_parts(path: &Path, named: &Path) -> Result<(PathBuf, OsString), Error> {
    let Some(name) = path.file_name() else {
        return Err(Error::invalid(named, "is not the name of a file; name the data file itself"));
    };
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let dir = sys::canonicalize(parent).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => Error::invalid(
            named,
            format!("its directory {} does not exist; create it first", escaped(parent)),
        ),
        io::ErrorKind::NotADirectory => {
            Error::invalid(named, format!("{} is not a directory", escaped(parent)))
        }
        _ => Error::io(parent, source),
    })?;
    if !dir.metadata().map_err(|e| Error::io(&dir, e))?.is_dir() {
        return Err(Error::invalid(named, format!("{} is not a directory", escaped(parent))));
    }
    Ok((dir, name.to_owned()))
}

fn lock_path(dir: &Path, name: &OsStr, place: &Place, named: &Path) -> Result<PathBuf, Error> {
    let locks = match place {
        Place::Directory(lock_dir) => lock_dir.clone(),
        Place::Beside | Place::Itself => lock_dir_below(dir),
    };
    // Canonical once it exists, so that a directory reached under two names gives one order.
    let locks = match sys::canonicalize(&locks) {
        Ok(canonical) if canonical.is_dir() => canonical,
        Ok(file) => return Err(no_directory(&file)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            std::path::absolute(&locks).map_err(|e| Error::io(&locks, e))?
        }
        Err(e) if e.kind() == io::ErrorKind::NotADirectory => return Err(no_directory(&locks)),
        Err(e) => return Err(Error::io(&locks, e)),
    };
    let lock_named = Path::new(name).extension().is_some_and(|extension| extension == "lock");
    if is_lock_dir(dir) || (dir == locks && lock_named) {
        return Err(Error::invalid(
            named,
            "is inside a lock directory; name the data file that it guards, gtlock finds the lock",
        ));
    }
    let mut file = name.to_owned();
    file.push(".lock");
    if file.len() > NAME_MAX {
        return Err(Error::invalid(
            named,
            format!("name too long: with \".lock\" added it exceeds {NAME_MAX} bytes; use a shorter one"),
        ));
    }
    Ok(locks.join(file))
}

/// The error for a lock directory that is a file, or below one.
fn no_directory(locks: &Path) -> Error {
    let file = locks.ancestors().find(|path| path.exists()).unwrap_or(locks);
    Error::invalid(file, "is not a directory; move it away, or choose another --lock-dir")
}

fn escaped(path: &Path) -> crate::escape::Escaped<'_> {
    crate::escape::Escaped::new(path)
}

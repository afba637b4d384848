//! From the name of a data file to the path of its lock file.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use super::Error;
use super::request::Place;
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
        match link_target(&dir.join(&name), data)? {
            Some(target) => next = dir.join(target),
            None => return Ok(paths),
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
                match link_target(&dir.join(&name), data)? {
                    Some(target) => next = dir.join(target),
                    None => return Ok(dir.join(name)), // to be created
                }
            }
            canonical => return canonical.map_err(|e| Error::io(data, e)),
        }
    }
    Err(too_many_links(data))
}

/// What a symbolic link points to; `None` if it is none, or not there.
fn link_target(path: &Path, named: &Path) -> Result<Option<PathBuf>, Error> {
    let target = path
        .symlink_metadata()
        .and_then(|metadata| if metadata.is_symlink() { path.read_link().map(Some) } else { Ok(None) });
    match target {
        // Not there, or no link any more.
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidInput) => Ok(None),
        target => target.map_err(|e| Error::io(named, e)),
    }
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
        io::ErrorKind::NotFound => no_data_directory(named, parent),
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
    let locks = canonical_to_be(&locks).map_err(|e| match e.kind() {
        io::ErrorKind::NotADirectory => no_directory(&locks),
        _ => Error::io(&locks, e),
    })?;
    match locks.metadata() {
        Ok(metadata) if !metadata.is_dir() => return Err(no_directory(&locks)),
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(Error::io(&locks, e)),
        _ => {}
    }
    let lock_named = Path::new(name).extension().is_some_and(|extension| extension == "lock");
    let is_in_lock_dir = is_lock_dir(dir) || named.parent().is_some_and(is_lock_dir); // or a link by that name
    if is_in_lock_dir || (dir == locks && lock_named) {
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

/// The canonical path of a directory, also where it or those above it are still to be made: reached under two
/// names, it gives one order of locks.
fn canonical_to_be(dir: &Path) -> io::Result<PathBuf> {
    match sys::canonicalize(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        canonical => return canonical,
    }
    let dir = std::path::absolute(dir)?;
    match (dir.parent(), dir.file_name()) {
        (Some(parent), Some(name)) => Ok(canonical_to_be(parent)?.join(name)),
        _ => Ok(dir),
    }
}

/// Makes the directory of a lock file: one that was chosen, with all above it, or `.gastown/locks` in the directory
/// of the data.
pub fn make_lock_dir(dir: &Path, place: &Place, data: &Path) -> Result<(), Error> {
    let nowhere = |link: &Path| {
        Error::invalid(link, "is a symbolic link that leads nowhere; remove it, or choose another --lock-dir")
    };
    if let Place::Directory(_) = place {
        return std::fs::create_dir_all(dir).map_err(|e| {
            let link = dir.ancestors().find(|path| leads_nowhere(path));
            link.map_or_else(|| Error::io(dir, e), nowhere)
        });
    }
    let make = |path: &Path| match std::fs::create_dir(path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    };
    let above = dir.parent().unwrap_or(dir);
    make(above).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => no_data_directory(data, above.parent().unwrap_or(above)),
        _ => Error::io(above, e),
    })?;
    make(dir).map_err(|e| if leads_nowhere(above) { nowhere(above) } else { Error::io(dir, e) })?;
    if leads_nowhere(dir) { Err(nowhere(dir)) } else { Ok(()) }
}

/// Whether a path is a symbolic link to nothing.
#[must_use]
pub fn leads_nowhere(path: &Path) -> bool {
    path.is_symlink() && !path.exists()
}

fn no_data_directory(data: &Path, dir: &Path) -> Error {
    Error::invalid(data, format!("its directory {} does not exist; create it first", escaped(dir)))
}

/// The error for a lock directory that is a file, or below one.
fn no_directory(locks: &Path) -> Error {
    let file = locks.ancestors().find(|path| path.exists()).unwrap_or(locks);
    Error::invalid(file, "is not a directory; move it away, or choose another --lock-dir")
}

fn escaped(path: &Path) -> crate::escape::Escaped<'_> {
    crate::escape::Escaped::new(path)
}

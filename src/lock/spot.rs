//! Where the file of a lock is: its directory, which is created if it is missing, and its name there.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::{
    Error, in_virtual_directory, leads_nowhere, no_data_directory, no_directory, not_allowed,
    not_allowed_below,
};
use super::request::Place;
use crate::sys::{self, Dir, FileId};

/// Where lock files live, below the directory of the data.
const LOCK_DIR: [&str; 2] = [".gastown", "locks"];

/// A file in it that makes Git ignore the lock files: it would add them, and replace them under their holders.
const FOR_GIT: (&str, &[u8]) = (".gitignore", b"*\n");

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

/// Whether an open directory is a default lock directory, by whatever path it was reached: its parents have these
/// names for it. They must be the directories themselves: a link with such a name may be a stranger's.
pub fn is_default_lock_dir(dir: &Dir) -> io::Result<bool> {
    let parent = Path::new("..");
    let Some(locks) = dir.stat_in(&parent.join(LOCK_DIR[1]))? else { return Ok(false) };
    let Some(gastown) = dir.stat_in(&parent.join("..").join(LOCK_DIR[0]))? else { return Ok(false) };
    Ok(locks.id == dir.stat()?.id && dir.stat_in(parent)?.is_some_and(|parent| parent.id == gastown.id))
}

/// Where the file of a lock is.
#[derive(Clone, Debug)]
pub struct Spot {
    /// The directory that its path starts from; `None` for a chosen lock directory that does not exist yet.
    pub dir: Option<Arc<Dir>>,
    /// Its path from there.
    pub file: PathBuf,
    /// Its path as people and other programs may use it.
    pub path: PathBuf,
    /// How to create its directory if it is missing.
    pub place: Place,
    /// Whether it is a link of `/proc`, which only the kernel can follow.
    pub is_magic: bool,
}

impl Spot {
    /// Creates the directory of the lock file: a chosen one, with all above it, or `.gastown/locks` in the
    /// directory of the data.
    pub fn make_dir(&mut self, data: &Path) -> Result<(), Error> {
        match (&self.place, &self.dir) {
            (Place::Directory(path), _) => {
                let dir = Dir::open_or_make(path).map_err(|e| {
                    let link = path.ancestors().find(|path| is_dangling(path));
                    match (link, e.kind()) {
                        (Some(link), _) => leads_nowhere(link),
                        (_, io::ErrorKind::NotADirectory) => no_directory(path),
                        _ => not_allowed_below(path, e),
                    }
                })?;
                self.dir = Some(Arc::new(dir));
                Ok(())
            }
            (_, Some(dir)) => self.make_beside(dir, data),
            (_, None) => Ok(()),
        }
    }

    fn make_beside(&self, dir: &Dir, data: &Path) -> Result<(), Error> {
        let locks = self.path.parent().unwrap_or(&self.path);
        let above = locks.parent().unwrap_or(locks);
        if dir.is_virtual() {
            return Err(in_virtual_directory(above));
        }
        dir.make_below(&LOCK_DIR, FOR_GIT).map_err(|e| {
            let link = [above, locks].into_iter().find(|path| is_dangling(path));
            match (link, e.kind(), dir.open_in(LOCK_DIR[0].as_ref())) {
                (Some(link), ..) => leads_nowhere(link),
                (_, io::ErrorKind::NotFound, _) => no_data_directory(data, above.parent().unwrap_or(above)),
                (_, _, Ok(gastown)) => not_allowed(locks, e, &gastown),
                (_, _, Err(_)) => not_allowed(above, e, dir),
            }
        })
    }

    /// The canonical path, the same under every name.
    pub fn canonical(&self) -> Result<PathBuf, Error> {
        let (dir, file) = match (&self.place, self.path.file_name()) {
            (Place::Itself, _) if self.file == Path::new(".") => return canonical_dir(&self.path),
            (_, Some(file)) => (self.path.parent().unwrap_or(Path::new("")), file),
            (_, None) => (self.path.as_path(), OsStr::new("")),
        };
        Ok(canonical_dir(dir)?.join(file))
    }
}

fn canonical_dir(dir: &Path) -> Result<PathBuf, Error> {
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    canonicalize_missing(dir).map_err(|e| match e.kind() {
        io::ErrorKind::NotADirectory => no_directory(dir),
        _ => Error::io(dir, e),
    })
}

/// The canonical path of a directory, even if it or those above it do not exist yet. If the canonical path names another
/// directory, the path stays as it is.
///
/// # Errors
///
/// If a directory on the way cannot be looked at.
pub fn canonicalize_missing(dir: &Path) -> io::Result<PathBuf> {
    match sys::canonicalize(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        // A path that is too long has no canonical form.
        Err(e) if e.kind() == io::ErrorKind::InvalidFilename => return std::path::absolute(dir),
        // `/proc/PID/root/srv` of a container is not this system's `/srv`, its canonical path.
        Ok(canonical) if id(&canonical)? != id(dir)? => {
            return std::path::absolute(dir);
        }
        canonical => return canonical,
    }
    let dir = std::path::absolute(dir)?;
    match (dir.parent(), dir.file_name()) {
        (Some(parent), Some(name)) => Ok(canonicalize_missing(parent)?.join(name)),
        _ => Ok(dir),
    }
}

fn id(dir: &Path) -> io::Result<Option<FileId>> {
    Ok(sys::stat_through(dir)?.map(|stat| stat.id))
}

/// Whether a path is a symbolic link to nothing.
#[must_use]
pub fn is_dangling(path: &Path) -> bool {
    path.is_symlink() && !path.exists()
}

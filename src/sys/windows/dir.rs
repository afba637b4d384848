//! Directories by their canonical paths: while something in one is open, Windows lets nobody rename it.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::super::{Access, Entry, Missing, Stat};
use super::{canonicalize, is_open_elsewhere, open, open_itself, places, record_path, stat_path};

/// What is in the place of a name that may be a symbolic link.
#[derive(Debug)]
pub enum Link {
    /// Anything else, or nothing.
    None,
    /// A link to here.
    To(OsString),
    /// A link that only the kernel can follow: there are none.
    #[expect(dead_code, reason = "same type on every system")]
    Magic,
}

/// A directory.
#[derive(Debug)]
pub struct Dir(pub(super) PathBuf);

impl Dir {
    /// Opens a directory.
    pub fn open(path: &Path) -> io::Result<Self> {
        let path = canonicalize(path)?;
        if path.metadata()?.is_dir() { Ok(Self(path)) } else { Err(io::ErrorKind::NotADirectory.into()) }
    }

    /// Opens a directory, made with all above it if need be.
    pub fn open_or_make(path: &Path) -> io::Result<Self> {
        fs::create_dir_all(path)?;
        Self::open(path)
    }

    /// Opens a directory below this one.
    pub fn open_in(&self, path: &Path) -> io::Result<Self> {
        Self::open(&self.0.join(path))
    }

    /// Opens a directory below this one, and refuses one that a symbolic link leads to elsewhere.
    pub fn open_below(&self, path: &Path) -> io::Result<Self> {
        let below = self.open_in(path)?;
        if below.0.starts_with(&self.0) { Ok(below) } else { Err(io::ErrorKind::NotADirectory.into()) }
    }

    /// Makes what is missing of the directories of a path, with a file in the last of them if it was missing. They
    /// inherit who may use them.
    pub fn make_below(&self, path: &[&str], file: (&str, &[u8])) -> io::Result<()> {
        let dir = self.0.join(path.iter().collect::<PathBuf>());
        if dir.is_dir() {
            return Ok(());
        }
        fs::create_dir_all(&dir)?;
        // It is of no importance: a lock works without.
        let _ = File::create_new(dir.join(file.0)).and_then(|mut made| made.write_all(file.1));
        Ok(())
    }

    /// There are no such file systems here.
    #[expect(clippy::unused_self, reason = "same signature on every system")]
    pub fn is_virtual(&self) -> bool {
        false
    }

    /// Users have no numbers here.
    #[expect(clippy::unused_self, reason = "same signature on every system")]
    pub fn owner(&self) -> io::Result<u32> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Users have no numbers here.
    #[expect(clippy::unused_self, reason = "same signature on every system")]
    pub fn owner_in(&self, _path: &Path) -> Option<u32> {
        None
    }

    /// Whether the name in this directory is a symbolic link. Who may make one is trusted: to make one takes a
    /// privilege.
    pub fn link(&self, name: &OsStr) -> io::Result<Link> {
        let path = self.0.join(name);
        if path.is_symlink() { Ok(Link::To(fs::read_link(path)?.into())) } else { Ok(Link::None) }
    }

    /// Opens a lock file, or makes it.
    pub fn open_lock(&self, path: &Path, missing: Missing) -> io::Result<File> {
        open(&self.0.join(path), missing)
    }

    /// Refuses, as [`open_itself`].
    pub fn open_itself(&self, path: &Path, _missing: Missing) -> io::Result<File> {
        open_itself(&self.0.join(path), Access::Read)
    }

    /// Refuses: there are no such links.
    #[expect(clippy::unused_self, reason = "same signature on every system")]
    pub fn open_through(&self, _name: &OsStr) -> io::Result<File> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Opens a file that is there, for reading and writing.
    pub fn open_for_writing(&self, path: &Path) -> io::Result<File> {
        File::options().read(true).write(true).open(self.0.join(path))
    }

    /// Looks at this directory.
    pub fn stat(&self) -> io::Result<Stat> {
        stat_path(&self.0)?.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Looks at an entry, a symbolic link as itself; `None` if there is no such.
    pub fn stat_in(&self, path: &Path) -> io::Result<Option<Stat>> {
        stat_path(&self.0.join(path))
    }

    /// Its entries.
    pub fn entries(&self) -> io::Result<impl Iterator<Item = io::Result<Entry>>> {
        Ok(fs::read_dir(&self.0)?.map(|entry| {
            let entry = entry?;
            Ok(Entry { name: entry.file_name(), is_file: entry.file_type()?.is_file(), inode: 0 })
        }))
    }

    /// Removes a lock file. `false` if it has to stay because somebody has it, or what is beside it, open and does not
    /// share it. What is beside it goes first: another lock file could be made in its place as soon as it is gone.
    pub fn remove_lock(&self, name: &OsStr) -> io::Result<bool> {
        let lock = self.0.join(name);
        for path in [record_path(&lock), places::row_path(&lock), lock] {
            match fs::remove_file(&path) {
                Err(e) if is_open_elsewhere(&e) => return Ok(false),
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                removed => removed?,
            }
        }
        Ok(true)
    }

    /// What there is at a path, if it is something that can be no lock file.
    pub fn non_regular_kind(&self, path: &Path) -> Option<&'static str> {
        let metadata = self.0.join(path).symlink_metadata().ok()?;
        Some(match metadata.file_type() {
            kind if kind.is_symlink() => "a symbolic link",
            kind if kind.is_dir() => "a directory",
            _ if metadata.len() > 0 => "a file with content",
            _ => return None,
        })
    }
}

//! Windows: a file found and replaced in a directory.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::windows::io::OwnedHandle;
use std::path::Path;

use windows_sys::Win32::Foundation::ERROR_FILE_TOO_LARGE;

use super::{Dir, patiently, stat, stat_path};
use crate::sys::Secrecy;

/// Symbolic links followed from one name before it counts as a loop.
const MAX_LINKS: usize = 40;

/// The directory in which a file is, or would be, and its name there. Symbolic links are followed, the last
/// one too.
pub fn locate(path: &Path) -> io::Result<(Dir, OsString)> {
    let mut path = path.to_owned();
    for _ in 0..=MAX_LINKS {
        let Some(name) = path.file_name() else {
            return Err(io::Error::new(io::ErrorKind::IsADirectory, "is a directory; name a file"));
        };
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let dir = parent.unwrap_or(Path::new("."));
        match fs::read_link(&path) {
            Ok(target) => path = dir.join(target),
            Err(_) => return Ok((Dir::open(dir)?, name.to_owned())),
        }
    }
    Err(io::Error::other("too many symbolic links; name the file that they should lead to"))
}

impl Dir {
    /// Opens a file to read what is in it; `None` if there is no such. Anything but a regular file is refused.
    pub fn open_content(&self, name: &OsStr) -> io::Result<Option<File>> {
        let path = self.0.join(name);
        let refusal = || io::Error::other("is not a regular file; only such can be replaced");
        match path.symlink_metadata() {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            metadata => metadata?.is_file().then_some(()).ok_or_else(refusal)?,
        }
        match patiently(|| File::open(&path)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            opened => opened.map(Some),
        }
    }

    /// Makes a file.
    pub fn create(&self, name: &OsStr, _secrecy: Secrecy) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).create_new(true).open(self.0.join(name))
    }

    /// Gives a file another name, whose file, if any, is gone in the same moment.
    pub fn rename(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        patiently(|| fs::rename(self.0.join(from), self.0.join(to)))
    }

    /// Gives a file one more name, which must be free.
    pub fn add_name(&self, file: &OsStr, name: &OsStr) -> io::Result<()> {
        fs::hard_link(self.0.join(file), self.0.join(name))
    }

    /// Removes a file.
    pub fn remove(&self, name: &OsStr) -> io::Result<()> {
        fs::remove_file(self.0.join(name))
    }

    /// Whether a name in it is an open file's.
    pub fn names(&self, name: &OsStr, file: &File) -> io::Result<bool> {
        let there = stat_path(&self.0.join(name))?;
        Ok(there.is_some_and(|there| stat(file).is_ok_and(|file| file.id == there.id)))
    }

    /// Nothing: a directory cannot be flushed here.
    #[expect(clippy::unnecessary_wraps, clippy::unused_self, reason = "same signature on every system")]
    pub fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}

/// Nothing: a new file gets what its directory gives to all.
#[expect(clippy::unnecessary_wraps, reason = "same signature on every system")]
pub fn copy_attributes(_old: &File, _new: &File) -> io::Result<()> {
    Ok(())
}

/// How long a file may become by this process's writing: there is no limit.
pub fn file_size_limit() -> u64 {
    u64::MAX
}

/// The error of a file that would become longer than that.
pub fn file_too_large() -> io::Error {
    io::Error::from_raw_os_error(ERROR_FILE_TOO_LARGE.cast_signed())
}

/// A pipe: what is read from the first is what was written to the second.
pub fn pipe() -> io::Result<(File, File)> {
    let (reader, writer) = io::pipe()?;
    Ok((OwnedHandle::from(reader).into(), OwnedHandle::from(writer).into()))
}

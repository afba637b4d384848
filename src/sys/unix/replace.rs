//! Unix: a file found and replaced in an open directory.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat, renameat};
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::stat::Mode;
use nix::unistd::{LinkatFlags, UnlinkatFlags, linkat, unlinkat};

use super::dir::Dir;
use super::link::{Link, MAX_LINKS};
use super::{LOCK_FLAGS, stat};
use crate::sys::Secrecy;

/// The directory in which a file is, or would be, and its name there. Symbolic links are followed as [`Dir::link`]
/// allows, the last one too.
pub fn locate(path: &Path) -> io::Result<(Dir, OsString)> {
    let (parent, mut name) = parts(path)?;
    let mut dir = Dir::open(parent)?;
    for _ in 0..=MAX_LINKS {
        match dir.link(&name)? {
            Link::None => return Ok((dir, name)),
            Link::Magic => {
                return Err(io::Error::other("is an open file and not a name; name the file itself"));
            }
            Link::To(target) => {
                let (parent, next) = parts(Path::new(&target))?;
                dir = dir.open_in(parent)?;
                name = next;
            }
        }
    }
    Err(Errno::ELOOP.into())
}

fn parts(path: &Path) -> io::Result<(&Path, OsString)> {
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => Ok((parent, name.to_owned())),
        _ => Err(io::Error::new(io::ErrorKind::IsADirectory, "is a directory; name a file")),
    }
}

impl Dir {
    /// Opens a file to read what is in it; `None` if there is no such. Anything but a regular file is refused.
    pub fn open_content(&self, name: &OsStr) -> io::Result<Option<File>> {
        let refusal = |kind| io::Error::other(format!("is {kind}; only a regular file can be replaced"));
        if let Some(kind) = self.non_regular_kind(Path::new(name)) {
            return Err(refusal(kind));
        }
        let flags = OFlag::from_bits_retain(LOCK_FLAGS) | OFlag::O_CLOEXEC;
        match openat(&self.0, name, flags, Mode::empty()).map(File::from) {
            Ok(file) if file.metadata()?.is_file() => Ok(Some(file)),
            Ok(_) => Err(refusal("something else by now")),
            Err(Errno::ENOENT) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// Makes a file.
    pub fn create(&self, name: &OsStr, secrecy: Secrecy) -> io::Result<File> {
        let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mode = Mode::from_bits_truncate(match secrecy {
            Secrecy::Usual => 0o666,
            Secrecy::Private => 0o600,
        });
        Ok(openat(&self.0, name, flags, mode)?.into())
    }

    /// Gives a file another name, whose file, if any, is gone in the same moment.
    pub fn rename(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        Ok(renameat(&self.0, from, &self.0, to)?)
    }

    /// Gives a file one more name, which must be free.
    pub fn add_name(&self, file: &OsStr, name: &OsStr) -> io::Result<()> {
        Ok(linkat(&self.0, file, &self.0, name, LinkatFlags::empty())?)
    }

    /// Removes a file.
    pub fn remove(&self, name: &OsStr) -> io::Result<()> {
        Ok(unlinkat(&self.0, name, UnlinkatFlags::NoRemoveDir)?)
    }

    /// Whether a name in it is an open file's.
    pub fn names(&self, name: &OsStr, file: &File) -> io::Result<bool> {
        let there = self.stat_in(Path::new(name))?;
        Ok(there.is_some_and(|there| stat(file).is_ok_and(|file| file.id == there.id)))
    }

    /// Returns once its entries are on the disk, if the file system can do that, and this user may read them.
    pub fn flush(&self) -> io::Result<()> {
        match self.open_dir(Path::new(".")).and_then(|dir| dir.sync_all()) {
            Err(e) if matches!(e.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::PermissionDenied) => {
                Ok(())
            }
            flushed => flushed,
        }
    }
}

/// How long a file may become by this process's writing. To go beyond would be the end of it (SIGXFSZ).
pub fn file_size_limit() -> u64 {
    #[allow(clippy::unnecessary_cast, clippy::cast_sign_loss, reason = "its type differs between systems")]
    getrlimit(Resource::RLIMIT_FSIZE).map_or(u64::MAX, |(limit, _)| limit as u64)
}

/// The error of a file that would become longer than that.
pub fn file_too_large() -> io::Error {
    Errno::EFBIG.into()
}

/// A pipe: what is read from the first is what was written to the second.
pub fn pipe() -> io::Result<(File, File)> {
    let (reader, writer) = io::pipe()?;
    Ok((OwnedFd::from(reader).into(), OwnedFd::from(writer).into()))
}

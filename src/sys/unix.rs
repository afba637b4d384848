//! Unix: files by descriptor and inode. [`child`] runs commands.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, FcntlArg, FdFlag, fcntl};
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::signal::kill;
use nix::sys::stat::{FileStat, SFlag, fstat, fstatat};
use nix::unistd::{Pid, getpgrp, tcgetpgrp};

use super::{Access, FileId, Missing, Stat};

mod append;
mod attributes;
mod child;
mod dir;
mod interrupt;
mod link;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod posix;
mod replace;
mod rights;
mod signals;
mod spawn;
mod start;

#[cfg(target_os = "linux")]
pub mod places;

pub use dir::Dir;
pub use interrupt::{Interruptible, can_interrupt, start_quietly};
pub use link::Link;
/// The path of a file without links.
pub use std::fs::canonicalize;

pub use append::append;
pub use attributes::copy_attributes;
pub use child::{linger, run};
#[cfg(target_os = "linux")]
use linux::CLOCK;
#[cfg(target_os = "linux")]
pub use linux::Incoming;
#[cfg(target_os = "linux")]
use linux::is_virtual;
#[cfg(not(target_os = "linux"))]
use posix::CLOCK;
#[cfg(not(target_os = "linux"))]
pub use posix::Incoming;
#[cfg(not(target_os = "linux"))]
use posix::is_virtual;
pub use replace::{file_size_limit, file_too_large, locate, pipe};
pub use signals::{die_of, serve_as_process_1};
pub use spawn::{become_command, is_command};
pub use start::begin;

/// Where a lock's descriptor is moved to, out of the way of a script's `exec 3>`.
const INHERITED_FROM: i32 = 100;

/// How a lock file is opened, besides close-on-exec.
const LOCK_FLAGS: i32 = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;

/// Opens an existing lock file, but no symbolic link to one.
pub fn open_lock(path: &Path, access: Access) -> io::Result<File> {
    dir::open_lock(AT_FDCWD, path, access)
}

/// Opens a file or directory that is locked itself.
pub fn open_itself(path: &Path, access: Access) -> io::Result<File> {
    let (dir, name) = dir_and_name(path)?;
    match access {
        Access::Read => dir.open_itself(name, Missing::Leave),
        Access::Write => dir.open_for_writing(name),
    }
}

fn dir_and_name(path: &Path) -> io::Result<(Dir, &Path)> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().map_or(path, Path::new);
    Ok((Dir::open(dir)?, name))
}

/// A descriptor of the caller's, as another file on the same open file description.
pub fn descriptor(number: i32) -> io::Result<File> {
    if start::was_closed(number) {
        return Err(Errno::EBADF.into());
    }
    // SAFETY: it is borrowed for this one call, which refuses a number that is not open.
    #[allow(unsafe_code)]
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    let duplicate = fcntl(borrowed, FcntlArg::F_DUPFD_CLOEXEC(3))?;
    // SAFETY: fcntl has just made this descriptor, and nobody else knows of it.
    #[allow(unsafe_code)]
    Ok(unsafe { File::from_raw_fd(duplicate) })
}

/// Looks at an open file.
pub fn stat(file: &File) -> io::Result<Stat> {
    #[cfg(target_os = "linux")]
    let stat = stat_at(file, Path::new(""), AtFlags::AT_EMPTY_PATH)?;
    #[cfg(not(target_os = "linux"))]
    let stat = Stat::from(&file.metadata()?);
    Ok(stat)
}

/// Looks at what a path names, a symbolic link as itself; `None` if nothing.
pub fn stat_path(path: &Path) -> io::Result<Option<Stat>> {
    match found(stat_at(AT_FDCWD, path, AtFlags::AT_SYMLINK_NOFOLLOW)) {
        Err(e) if is_too_long(&e) => dir_and_name(path).and_then(|(dir, name)| dir.stat_in(name)),
        stat => stat,
    }
}

/// Looks at what a path leads to; `None` if nothing.
pub fn stat_through(path: &Path) -> io::Result<Option<Stat>> {
    found(path.metadata().map(|metadata| Stat::from(&metadata)))
}

fn stat_at(dir: impl AsFd, path: &Path, flags: AtFlags) -> io::Result<Stat> {
    #[cfg(target_os = "linux")]
    if let Some(stat) = linux::stat(&dir, path, flags) {
        return stat;
    }
    Ok(Stat::from(&fstatat(dir, path, flags)?))
}

fn found(stat: io::Result<Stat>) -> io::Result<Option<Stat>> {
    match stat {
        Ok(stat) => Ok(Some(stat)),
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(e) => Err(e),
    }
}

impl From<&FileStat> for Stat {
    #[allow(
        clippy::unnecessary_cast,
        clippy::cast_sign_loss,
        clippy::cast_lossless,
        reason = "the types differ between systems"
    )]
    fn from(stat: &FileStat) -> Self {
        Self {
            id: FileId { device: stat.st_dev as u64, inode: stat.st_ino as u64 },
            is_file: SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG,
            links: stat.st_nlink as u64,
            may_have_record: stat.st_size > 0,
        }
    }
}

impl From<&Metadata> for Stat {
    fn from(metadata: &Metadata) -> Self {
        Self {
            id: FileId { device: metadata.dev(), inode: metadata.ino() },
            is_file: metadata.is_file(),
            links: metadata.nlink(),
            may_have_record: metadata.len() > 0,
        }
    }
}

/// The file that holds the record of a lock: the lock file itself.
#[derive(Debug)]
pub struct RecordFile<'a>(&'a File);

impl<'a> RecordFile<'a> {
    /// Opens the record of a lock file; `None` if there is none.
    #[expect(clippy::unnecessary_wraps, reason = "same signature on every system")]
    pub fn open(lock: &'a File, _path: &Path, _access: Access) -> io::Result<Option<Self>> {
        Ok(Some(Self(lock)))
    }
}

impl Deref for RecordFile<'_> {
    type Target = File;

    fn deref(&self) -> &File {
        self.0
    }
}

/// What editors of the record lock, one at a time: the lock directory.
pub fn editors_queue_on(path: &Path) -> io::Result<Option<File>> {
    let dir = path.parent().unwrap_or(Path::new("."));
    match open_directory(dir) {
        Err(e) if is_too_long(&e) => Dir::open(dir)?.open_dir(Path::new(".")).map(Some),
        opened => opened.map(Some),
    }
}

fn open_directory(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY | libc::O_NONBLOCK).open(path)
}

/// Whether an operation was refused because the file is not open for it.
pub fn is_bad_descriptor(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EBADF)
}

/// Whether a path is longer than the system takes at once. It can still be walked.
fn is_too_long(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ENAMETOOLONG)
}

/// Whether a removal was refused because the entry of a sticky directory belongs to another user.
pub fn is_not_ours(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EPERM)
}

/// Whether this process has inherited a descriptor of the file: it survived an exec.
pub fn has_inherited(id: FileId) -> bool {
    const MOST: i32 = 4096;
    let limit =
        getrlimit(Resource::RLIMIT_NOFILE).map_or(MOST, |(limit, _)| limit.try_into().unwrap_or(MOST));
    (0..limit.min(MOST)).any(|number| {
        // SAFETY: it is borrowed for these two calls, which refuse a number that is not open.
        #[allow(unsafe_code)]
        let file = unsafe { BorrowedFd::borrow_raw(number) };
        fcntl(file, FcntlArg::F_GETFD).is_ok_and(|flags| flags & libc::FD_CLOEXEC == 0)
            && fstat(file).is_ok_and(|stat| Stat::from(&stat).id == id)
    })
}

/// Reads from the start of a file until it ends or the buffer is full.
pub fn read_at_start(file: &File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], filled as u64) {
            Ok(n) if n < buffer.len() - filled => return Ok(filled + n), // a short read: the end of a regular file
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}

/// Overwrites a file from some byte on.
pub fn write_at(file: &File, bytes: &[u8], start: usize) -> io::Result<()> {
    // A write beyond the limit (ulimit -f) would kill this process.
    if getrlimit(Resource::RLIMIT_FSIZE)
        .is_ok_and(|(limit, _)| i128::from(limit) < (start + bytes.len()) as i128)
    {
        return Err(Errno::EFBIG.into());
    }
    file.write_all_at(bytes, start as u64).map_err(|e| match e.raw_os_error() {
        // As `open_lock` opens a file that this user may only read; the system's error is "bad file descriptor".
        Some(libc::EBADF) => io::Error::new(io::ErrorKind::PermissionDenied, "it may only be read"),
        _ => e,
    })
}

/// Whether a process with this ID exists, even of another user.
pub fn is_alive(pid: u32) -> bool {
    i32::try_from(pid).is_ok_and(|pid| kill(Pid::from_raw(pid), None) != Err(Errno::ESRCH))
}

/// Lets commands that start from now on inherit the file's descriptor.
///
/// # Errors
///
/// If no descriptor is left.
pub fn make_inheritable(file: &mut File) -> io::Result<()> {
    let Ok(duplicate) = fcntl(&*file, FcntlArg::F_DUPFD(INHERITED_FROM)) else {
        // The descriptor table is too small or full: it stays where it is.
        fcntl(&*file, FcntlArg::F_SETFD(FdFlag::empty()))?;
        return Ok(());
    };
    // SAFETY: fcntl(F_DUPFD) has just made this descriptor, and nobody else knows of it. Unlike the
    // original it is not close-on-exec.
    #[allow(unsafe_code)]
    let duplicate = unsafe { File::from_raw_fd(duplicate) };
    *file = duplicate;
    Ok(())
}

/// Whether a write to standard error does not block: it does while a terminal is stopped (Ctrl-S), or a pipe full.
#[must_use]
pub fn stderr_is_ready() -> bool {
    let stderr = io::stderr();
    poll(&mut [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)], PollTimeout::ZERO) != Ok(0)
}

/// Whether this process is in the foreground of the terminal that is its standard error. In the background, or on
/// another terminal, its live line would mix with the output of others and the user's typing.
pub fn is_in_foreground() -> bool {
    tcgetpgrp(io::stderr()) == Ok(getpgrp())
}

/// Whether a file is executable for anybody.
#[must_use]
pub fn is_executable(metadata: &std::fs::Metadata) -> bool {
    std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o111 != 0
}

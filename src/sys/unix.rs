//! Unix: files by descriptor and inode. How a command is run is in [`child`].

use std::ffi::OsStr;
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::ops::Deref;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::process::ExitCode;

use nix::dir::Type;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, FcntlArg, FdFlag, OFlag, fcntl, openat};
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::signal::kill;
use nix::sys::stat::{FileStat, Mode, SFlag, fstatat};
use nix::unistd::{Pid, UnlinkatFlags, unlinkat};

use super::{Access, Entry, FileId, Stat};

mod child;
mod signals;
mod spawn;
mod start;

/// The path of a file without links.
pub use std::fs::canonicalize;

pub use child::run;
use signals::is_ignored;
pub use signals::{die_of, end_on_signals};
pub use spawn::become_command;

/// Where a lock's descriptor is moved to, out of the way of a script's `exec 3>`.
const INHERITED_FROM: i32 = 100;

/// How a lock file is opened, besides close-on-exec.
const LOCK_FLAGS: i32 = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;

/// Opens a lock file, or with `create` makes it if it is not there. Follows no symbolic link, waits
/// for no FIFO and no lease. The file is writable if this user may write it, else only readable.
pub fn open_lock(path: &Path, create: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(LOCK_FLAGS);
    loop {
        let opened = match options.write(true).open(path) {
            Err(e)
                if e.kind() == io::ErrorKind::PermissionDenied
                    || e.kind() == io::ErrorKind::ReadOnlyFilesystem =>
            {
                options.write(false).open(path)
            }
            opened => opened,
        };
        if !create || !matches!(&opened, Err(e) if e.kind() == io::ErrorKind::NotFound) {
            return opened;
        }
        // Not O_CREAT at first: in a sticky directory Linux refuses it for other users' files, even
        // to open them. O_EXCL, since somebody else may be creating it too.
        match options.clone().write(true).create_new(true).open(path) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            created => return created,
        }
    }
}

/// Opens a file or directory to be locked itself, or with `create` makes a file if there is none. Any access
/// that this user has will do.
pub fn open_itself(path: &Path, create: bool) -> io::Result<File> {
    let open = |read: bool, create: bool| {
        let mut options = OpenOptions::new();
        options.read(read).write(!read || create).create(create).custom_flags(LOCK_FLAGS).open(path)
    };
    match open(true, false) {
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => open(false, false),
        Err(e) if e.kind() == io::ErrorKind::NotFound && create => open(true, true),
        opened => opened,
    }
}

/// A descriptor of the caller's, as a file of its own on the same open file description.
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

/// Opens the file behind an open file once more, with an open file description of its own. Only Linux can.
pub fn reopen(file: &File) -> io::Result<File> {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)
}

/// Removes a file.
pub fn remove_lock(path: &Path) -> io::Result<()> {
    std::fs::remove_file(path)
}

/// Looks at an open file.
pub fn stat(file: &File) -> io::Result<Stat> {
    file.metadata().map(|metadata| Stat::from(&metadata))
}

/// Looks at what a path names, a symbolic link as itself; `None` if nothing.
pub fn stat_path(path: &Path) -> io::Result<Option<Stat>> {
    match path.symlink_metadata() {
        Ok(metadata) => Ok(Some(Stat::from(&metadata))),
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

/// An open directory: what is done to its entries is done to the directory that was opened, whatever
/// its path has come to name since.
#[derive(Debug)]
pub struct Dir(File);

impl Dir {
    /// Opens a directory.
    pub fn open(path: &Path) -> io::Result<Self> {
        open_directory(path).map(Self)
    }

    /// Whether it is the one at a path, and that no symbolic link.
    pub fn is_at(&self, path: &Path) -> io::Result<bool> {
        let opened = stat(&self.0)?.id;
        Ok(stat_path(path)?.is_some_and(|there| there.id == opened))
    }

    /// Its entries.
    pub fn entries(&self) -> io::Result<impl Iterator<Item = io::Result<Entry>>> {
        let entries = nix::dir::Dir::from_fd(self.0.try_clone()?.into())?.into_iter();
        Ok(entries.map(|entry| {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes()).to_owned();
            // Most file systems say it for nothing.
            let is_file = match entry.file_type() {
                Some(kind) => kind == Type::File,
                None => self.stat(&name)?.is_none_or(|stat| stat.is_file),
            };
            Ok(Entry { name, is_file })
        }))
    }

    /// Looks at an entry, a symbolic link as itself; `None` if there is no such.
    pub fn stat(&self, name: &OsStr) -> io::Result<Option<Stat>> {
        match fstatat(&self.0, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(Stat::from(&stat))),
            Err(Errno::ENOENT) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// Opens a lock file that is there.
    pub fn open_lock(&self, name: &OsStr) -> io::Result<File> {
        let flags = OFlag::from_bits_retain(LOCK_FLAGS) | OFlag::O_CLOEXEC | OFlag::O_RDONLY;
        Ok(openat(&self.0, name, flags, Mode::empty())?.into())
    }

    /// Removes a lock file. `false` if it has to stay because somebody has it open; never on Unix.
    pub fn remove_lock(&self, name: &OsStr) -> io::Result<bool> {
        unlinkat(&self.0, name, UnlinkatFlags::NoRemoveDir)?;
        Ok(true)
    }
}

/// What there is at a path, if it is something that can be no lock file.
pub fn odd_kind(path: &Path) -> Option<&'static str> {
    let kind = path.symlink_metadata().ok()?.file_type();
    Some(match kind {
        _ if kind.is_file() => return None,
        _ if kind.is_symlink() => "a symbolic link",
        _ if kind.is_dir() => "a directory",
        _ if kind.is_fifo() => "a FIFO",
        _ if kind.is_socket() => "a socket",
        _ => "a device",
    })
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
    open_directory(dir).map(Some)
}

fn open_directory(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY | libc::O_NONBLOCK).open(path)
}

/// Reads from the start of a file until it ends or the buffer is full.
pub fn read_at_start(file: &File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], filled as u64) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}

/// Writes over the start of a file.
pub fn write_at_start(file: &File, bytes: &[u8]) -> io::Result<()> {
    // To write beyond the limit (ulimit -f) would be the end of this process.
    if getrlimit(Resource::RLIMIT_FSIZE).is_ok_and(|(limit, _)| i128::from(limit) < bytes.len() as i128) {
        return Err(Errno::EFBIG.into());
    }
    file.write_all_at(bytes, 0).map_err(|e| match e.raw_os_error() {
        // As `open_lock` opens what may not be written; the system would say "bad file descriptor".
        Some(libc::EBADF) => io::Error::new(io::ErrorKind::PermissionDenied, "it may only be read"),
        _ => e,
    })
}

/// Whether a process of this number exists, be it somebody else's.
pub fn is_alive(pid: u32) -> bool {
    i32::try_from(pid).is_ok_and(|pid| kill(Pid::from_raw(pid), None) != Err(Errno::ESRCH))
}

/// Makes a command that is run from now on inherit the file's descriptor.
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

/// Whether standard error can be written to without waiting: not while a terminal is stopped (Ctrl-S), or a pipe
/// full.
pub fn stderr_is_ready() -> bool {
    let stderr = io::stderr();
    poll(&mut [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)], PollTimeout::ZERO) != Ok(0)
}

/// The exit code of this process that tells a command's; the command's are of the same kind.
#[must_use]
pub fn exit_code(code: i32) -> ExitCode {
    ExitCode::from(u8::try_from(code & 0xff).unwrap_or(u8::MAX))
}

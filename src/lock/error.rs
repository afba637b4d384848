//! Why a lock was not obtained.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::request::Target;
use crate::escape::Escaped;
use crate::sys::{self, Dir};

/// How many times to retry, without a wait, when a file was replaced. A file that is replaced so often between two
/// system calls is on a file system without stable inode numbers.
pub const MAX_REPLACED: u32 = 100;

/// Why a lock was not obtained. Only [`Busy`](Error::Busy), [`TimedOut`](Error::TimedOut) and
/// [`Crowded`](Error::Crowded) mean that somebody else holds it; every other failure has its own error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Another process holds a conflicting lock, and the request does not wait.
    #[error("{}: busy: locked by another process", Escaped::new(.0.data()))]
    Busy(Target),

    /// Another process still held a conflicting lock after the timeout.
    #[error("{}: timed out after {}: locked by another process", Escaped::new(.target.data()),
        humantime::format_duration(round(*waited)))]
    TimedOut {
        /// The lock that was not obtained.
        target: Target,
        /// How long the request waited, for all its locks together.
        waited: Duration,
    },

    /// Another process holds a conflicting lock, and as many others wait for it already as the request
    /// [allows](super::Request::max_waiters).
    #[error("{}: {} already, and no more may", Escaped::new(.target.data()), waiting(*.max_waiters))]
    Crowded {
        /// The lock that was not obtained.
        target: Target,
        /// How many others were allowed to wait.
        max_waiters: u32,
    },

    /// The lock is held around this request: until something ends that may be waiting for it.
    #[error("{}: already locked by {by}; waiting might never end: \
        drop the inner lock, or lock another file", Escaped::new(.target.data()))]
    AlreadyLocked {
        /// The lock that is held.
        target: Target,
        /// Who holds it.
        by: HeldBy,
    },

    /// What was named cannot be locked: a bad name, or something at the lock file's place that is
    /// not a lock file. Nothing was changed.
    #[error("{}: {reason}", Escaped::new(.path))]
    Invalid {
        /// The path at fault.
        path: PathBuf,
        /// What is wrong with it, and the remedy.
        reason: String,
    },

    /// These lock files were unlinked or replaced while they were locked: others may have held the same locks at the
    /// same time. A program that removes lock files without gtlock's rules did it.
    #[error("{}: the lock file was unlinked or replaced while it was locked, so that others may have held the lock \
        too; find out which program removes lock files (gtlock clean is safe)",
        Escaped::new(.0.first().map_or(Path::new(""), PathBuf::as_path)))]
    Replaced(Vec<PathBuf>),

    /// The operating system refused an operation.
    #[error("{}: {error}", Escaped::new(.path))]
    Io {
        /// The path it was refused for.
        path: PathBuf,
        /// The system's error. The message has it already, so it is not the `source`: a printed chain of errors
        /// would show it twice.
        error: io::Error,
    },
}

/// Who holds a lock around a request, which would wait for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldBy {
    /// A gtlock that runs this process, or an ancestor of it.
    Ancestor(u32),
    /// An inherited open file description; the process that took the lock through it is gone, and cannot release it.
    Descriptor,
    /// The thread of the request.
    ThisThread,
}

impl fmt::Display for HeldBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ancestor(pid) => write!(f, "process {pid}, an ancestor of this one"),
            Self::Descriptor => f.write_str("an inherited descriptor"),
            Self::ThisThread => f.write_str("this thread itself"),
        }
    }
}

impl Error {
    pub(super) fn io(path: &Path, error: io::Error) -> Self {
        Self::Io { path: path.to_owned(), error }
    }

    pub(crate) fn invalid(path: &Path, reason: impl Into<String>) -> Self {
        Self::Invalid { path: path.to_owned(), reason: reason.into() }
    }
}

/// How many wait.
pub fn waiting(others: u32) -> String {
    if others == 1 { "1 other waits".to_owned() } else { format!("{others} others wait") }
}

/// Rounds to the millisecond, which is enough for people.
fn round(duration: Duration) -> Duration {
    Duration::from_millis(duration.as_millis().try_into().unwrap_or(u64::MAX))
}

/// The error for a file with content that gtlock did not write.
pub fn foreign(lock: &Path) -> Error {
    Error::invalid(
        lock,
        "is not a lock file: it has other content; move it away, or choose another --lock-dir",
    )
}

/// The error for something at the path of a lock file that is not a regular file.
pub fn not_a_lock_file(dir: &Dir, file: &Path, lock: &Path) -> Option<Error> {
    let kind = dir.non_regular_kind(file)?;
    Some(Error::invalid(
        lock,
        format!("is not a lock file but {kind}; move it away, or choose another --lock-dir"),
    ))
}

/// The error for a path that never stays the same file.
pub fn replaced_too_often(path: &Path) -> Error {
    Error::invalid(
        path,
        format!(
            "was replaced {MAX_REPLACED} times while being locked; its file system may have no stable inodes: \
             choose a --lock-dir on another"
        ),
    )
}

/// The error for a directory that is a symbolic link to nothing.
pub fn leads_nowhere(link: &Path) -> Error {
    Error::invalid(link, "is a symbolic link that leads nowhere; remove it, or choose another --lock-dir")
}

/// The error for something that this user may not create in a directory.
pub fn not_allowed(path: &Path, error: io::Error, dir: &Dir) -> Error {
    if error.raw_os_error().is_none() {
        return Error::io(path, error); // a link that gtlock itself does not follow
    }
    if dir.is_virtual() {
        return in_virtual_directory(path);
    }
    let locks = path.ancestors().find(|path| path.ends_with("locks")).unwrap_or(path);
    match (error.kind(), dir.owner()) {
        (io::ErrorKind::ReadOnlyFilesystem, _) => Error::invalid(
            path,
            "cannot be created on a read-only file system; keep the locks elsewhere with --lock-dir, or lock the \
             file itself with --direct",
        ),
        (io::ErrorKind::PermissionDenied, Ok(owner)) => Error::invalid(
            path,
            format!(
                "cannot be created: the directory belongs to user {owner}, and this user may not write there; let \
                 that user run install -d -m 1777 {}, or choose another --lock-dir",
                Escaped::new(locks)
            ),
        ),
        _ => Error::io(path, error),
    }
}

/// The error for something that cannot be created in a file system of the kernel's own.
pub fn in_virtual_directory(path: &Path) -> Error {
    let dir = path.ancestors().skip(1).find(|dir| dir.exists()).unwrap_or(path);
    let reason = format!(
        "cannot be created: the kernel allows no new files in {}; keep the locks elsewhere with --lock-dir",
        Escaped::new(dir)
    );
    Error::invalid(path, reason)
}

/// The error for something that exists and that this user may not open.
pub fn not_open(path: &Path, error: io::Error, owner: u32) -> Error {
    match error.kind() {
        io::ErrorKind::PermissionDenied => Error::invalid(
            path,
            format!(
                "belongs to user {owner}, and this user may not open it; let that user remove it or chmod it, or choose \
                 another --lock-dir"
            ),
        ),
        _ => Error::io(path, error),
    }
}

/// As [`not_allowed`], for a directory that was chosen, or one above it.
pub fn not_allowed_below(path: &Path, error: io::Error) -> Error {
    let above = path.ancestors().skip(1).map(|path| if path == "" { Path::new(".") } else { path });
    match above.map(Dir::open).find_map(Result::ok) {
        Some(dir) => not_allowed(path, error, &dir),
        None => Error::io(path, error),
    }
}

/// The error for a data file that is in a lock directory.
pub fn inside_lock_dir(named: &Path) -> Error {
    Error::invalid(
        named,
        "is inside a lock directory; name the data file that it guards, gtlock finds the lock",
    )
}

/// The error for a data file whose directory is missing.
pub fn no_data_directory(data: &Path, dir: &Path) -> Error {
    Error::invalid(data, format!("its directory {} does not exist; create it first", Escaped::new(dir)))
}

/// The error for a lock directory that is a file, or below one.
pub fn no_directory(locks: &Path) -> Error {
    let file = locks.ancestors().find(|path| path.exists()).unwrap_or(locks);
    let remedy = if file.is_file() { "move it away, or choose" } else { "choose" };
    Error::invalid(file, format!("is not a directory; {remedy} another --lock-dir"))
}

/// The error for bytes of a lock file that cannot be locked: what needs them, and what to do on a system without such
/// locks.
pub fn needs_places(error: io::Error, what: &str, elsewhere: &str) -> io::Error {
    if sys::is_bad_descriptor(&error) {
        let why = format!(
            "this user may only read it, and {what} needs write access: let this user write to it, or choose another \
             --lock-dir"
        );
        io::Error::new(io::ErrorKind::PermissionDenied, why)
    } else if error.kind() == io::ErrorKind::Unsupported {
        io::Error::new(error.kind(), elsewhere)
    } else {
        error
    }
}

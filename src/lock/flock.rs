//! The kernel's lock on an open file, through fs2. The only place that takes or drops one.
#![allow(clippy::disallowed_methods, reason = "this is the one place for them")]

use std::fs::File;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use super::Mode;
use crate::sys;

/// How long a process that only looks at a lock (`status`, `clean`) may hold it: long enough to be scheduled and to
/// release it. A lock that becomes free within this time counts as free.
pub const PASSING_LOOK: Duration = Duration::from_millis(50);

/// Takes the lock if nobody holds a conflicting one; `false` if somebody does.
///
/// A lock that this open file description already holds is converted by flock(2), and lost if that is refused;
/// `LockFileEx` would add another lock. Only a descriptor of the caller's can hold one; Windows has no such descriptors.
pub fn try_lock(file: &File, mode: Mode) -> io::Result<bool> {
    let taken = match mode {
        Mode::Shared => fs2::FileExt::try_lock_shared(file),
        Mode::Exclusive => fs2::FileExt::try_lock_exclusive(file),
    };
    match taken {
        Ok(()) => Ok(true),
        Err(e) if e.raw_os_error() == fs2::lock_contended_error().raw_os_error() => Ok(false),
        Err(e) if e.kind() == io::ErrorKind::Interrupted => try_lock(file, mode),
        Err(e) => Err(e),
    }
}

/// Converts the lock to another mode, if nobody else holds a conflicting one. If `false`, the lock is lost. Others may
/// have held it in between, as with a conversion by flock(2).
pub fn try_convert(file: &File, mode: Mode) -> io::Result<bool> {
    unlock(file)?;
    try_lock(file, mode)
}

/// Takes the lock if it becomes free within `patience`; `false` if not.
pub fn try_for(file: &File, mode: Mode, patience: Duration) -> io::Result<bool> {
    let until = Instant::now() + patience;
    while !try_lock(file, mode)? {
        if Instant::now() >= until {
            return Ok(false);
        }
        thread::sleep(patience / 50);
    }
    Ok(true)
}

/// Takes the lock, waiting in the kernel until it is free or a signal
/// [interrupts](io::ErrorKind::Interrupted) the wait.
pub fn lock(file: &File, mode: Mode) -> io::Result<()> {
    match mode {
        Mode::Shared => fs2::FileExt::lock_shared(file),
        Mode::Exclusive => fs2::FileExt::lock_exclusive(file),
    }
}

/// Whether a lock was refused because the file is not open for writing: where flock is emulated, as on NFS, an
/// exclusive lock needs that.
pub fn wants_writing(error: &io::Error, mode: Mode) -> bool {
    mode == Mode::Exclusive && sys::is_bad_descriptor(error)
}

/// Releases the lock for all processes that share this open file description, children included.
///
/// # Errors
///
/// The system's error.
pub fn unlock(file: &File) -> io::Result<()> {
    fs2::FileExt::unlock(file)
}

//! Places: single bytes of a lock file, far beyond its content. The process that waits at a place, or has it as a slot,
//! locks it.
//!
//! The locks belong to the open file description (`F_OFD_SETLK`), as flock's do: the kernel releases them with the last
//! descriptor, and shows to any process where the first one is. They are independent of flock's, except on NFS, where
//! the two are the same. There, and where another program locks such bytes, nobody queues.

use std::fs::File;
use std::io;
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use crate::sys::FIRST_SLOT;

/// The first place.
pub const FIRST: u64 = 1 << 62;

/// Beyond the last place.
pub const END: u64 = (1 << 63) - 1;

/// The distance between two tickets: below it is room for the PID of whoever has one.
pub const TICKET: u64 = 1 << 32;

/// The place of this process for a ticket.
pub fn of_this_process(ticket: u64) -> u64 {
    ticket + u64::from(std::process::id())
}

/// The process whose place it is; `None` if that is unknown.
pub fn owner(place: u64) -> Option<u32> {
    u32::try_from(place % TICKET).ok()
}

/// How often to look at a place that cannot be waited for.
const POLL: Duration = Duration::from_millis(10);

/// A taken place in `from..to`, if there is one; which one, the kernel chooses.
pub fn taken(file: &File, from: u64, to: u64) -> io::Result<Option<u64>> {
    if from >= to {
        return Ok(None);
    }
    let mut found = lock(libc::F_WRLCK, from, to - from);
    fcntl(file, FcntlArg::F_OFD_GETLK(&mut found))?;
    match (u64::try_from(found.l_start), found.l_len) {
        _ if i32::from(found.l_type) == libc::F_UNLCK => Ok(None),
        (Ok(start), 1..) if start >= FIRST_SLOT => Ok(Some(start.max(from))),
        _ => Err(io::Error::other("something else is locked there")), // the whole file, say
    }
}

/// Whether anything at all is locked in the file in this way: places, or what other programs lock.
pub fn is_locked(file: &File) -> bool {
    match taken(file, 0, END) {
        Ok(place) => place.is_some(),
        Err(e) => e.raw_os_error().is_none(), // on a system without such locks, flock alone must do
    }
}

/// A place that is kept until it is left, or until all processes that share the file have closed it.
#[derive(Debug)]
pub struct Kept(u64);

impl Kept {
    /// Leaves it.
    pub fn leave(&self, file: &File) {
        let _ = leave(file, self.0); // closing the file does it too
    }

    /// Keeps it only until the value that this returns is dropped.
    pub fn until_dropped(self, file: &File) -> Taken<'_> {
        Taken { file, kept: self }
    }
}

/// A place that is taken, until dropped.
#[derive(Debug)]
pub struct Taken<'a> {
    file: &'a File,
    kept: Kept,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.kept.leave(self.file);
    }
}

/// Takes a place; `None` if somebody has it. Users who may only read the file share a place.
pub fn take(file: &File, place: u64) -> io::Result<Option<Taken<'_>>> {
    let kept = match take_alone(file, place) {
        Err(e) if e.raw_os_error() == Some(libc::EBADF) => set(file, libc::F_RDLCK, place),
        kept => kept,
    };
    Ok(kept?.map(|kept| kept.until_dropped(file)))
}

/// Takes a place for this process alone; `None` if somebody has it. Fails if this user may only read the file.
pub fn take_alone(file: &File, place: u64) -> io::Result<Option<Kept>> {
    set(file, libc::F_WRLCK, place)
}

fn set(file: &File, kind: i32, place: u64) -> io::Result<Option<Kept>> {
    match fcntl(file, FcntlArg::F_OFD_SETLK(&lock(kind, place, 1))) {
        Ok(_) => Ok(Some(Kept(place))),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

fn leave(file: &File, place: u64) -> io::Result<()> {
    fcntl(file, FcntlArg::F_OFD_SETLK(&lock(libc::F_UNLCK, place, 1)))?;
    Ok(())
}

/// Waits until a place is left. A signal ends the wait with [`Interrupted`](io::ErrorKind::Interrupted).
pub fn wait_until_left(file: &File, place: u64) -> io::Result<()> {
    let wait = |kind| fcntl(file, FcntlArg::F_OFD_SETLKW(&lock(kind, place, 1)));
    let mut theirs = lock(libc::F_RDLCK, place, 1);
    let waited = match wait(libc::F_WRLCK) {
        Err(Errno::EBADF) => {
            // This user may only read the file: a lock for reading waits only for those for writing.
            fcntl(file, FcntlArg::F_OFD_GETLK(&mut theirs))?;
            if i32::from(theirs.l_type) == libc::F_UNLCK {
                thread::sleep(POLL);
                return Ok(());
            }
            wait(libc::F_RDLCK)
        }
        waited => waited,
    };
    waited?;
    leave(file, place)
}

fn lock(kind: i32, start: u64, len: u64) -> libc::flock {
    // SAFETY: plain numbers, for which zero is a value.
    #[allow(unsafe_code)]
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    #[allow(clippy::cast_possible_truncation, reason = "the constants are small")]
    {
        lock.l_type = kind as libc::c_short;
        lock.l_whence = libc::SEEK_SET as libc::c_short;
    }
    lock.l_start = start.cast_signed();
    lock.l_len = len.cast_signed();
    lock
}

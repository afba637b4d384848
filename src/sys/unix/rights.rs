//! Permissions of new files and directories: every user who may write in a directory may use what is created in it.
//!
//! A lock that only its first user can open would keep everybody else from the data. So a new file gets the permission
//! bits and the group of its directory, and, if root creates it, the owner too. Only what was created here is changed, and
//! only through its descriptor. The umask does not count.

use std::ffi::{CStr, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
#[cfg(target_os = "linux")]
use std::thread;

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::libc::mode_t;
#[cfg(target_os = "linux")]
use nix::sys::stat::umask;
use nix::sys::stat::{Mode, fchmod, fstat, mkdirat};
use nix::unistd::{Gid, Uid, fchown, getegid, geteuid};

use super::dir::Dir;
#[cfg(target_os = "linux")]
use super::start_quietly;
use super::{LOCK_FLAGS, write_at};

/// What a directory passes on to a directory in it: all but the set-user-ID bit, which means nothing there.
const OF_DIRECTORIES: mode_t = 0o3777;

/// What it passes on to a file.
const OF_FILES: mode_t = 0o666;

/// The stack of a thread that creates a file, in bytes.
#[cfg(target_os = "linux")]
const STACK: usize = 64 << 10;

/// What a directory passes on to new files and directories in it.
#[derive(Clone, Copy)]
struct Rights {
    owner: Uid,
    group: Gid,
    bits: mode_t,
}

impl Rights {
    fn of(dir: &Dir) -> nix::Result<Self> {
        let stat = fstat(&dir.0)?;
        Ok(Self { owner: Uid::from_raw(stat.st_uid), group: Gid::from_raw(stat.st_gid), bits: stat.st_mode })
    }

    fn of_file(self) -> mode_t {
        let readable = (self.bits & 0o222) << 1; // who may write there may lock, and a lock file must be opened for that
        (self.bits | readable | 0o600) & OF_FILES
    }

    fn of_directory(self) -> mode_t {
        (self.bits | 0o700) & OF_DIRECTORIES
    }

    /// The bits to create something with, which may have another group at first.
    fn at_first(self, bits: mode_t) -> Mode {
        let has_group =
            Mode::from_bits_truncate(self.bits).contains(Mode::S_ISGID) || getegid() == self.group;
        Mode::from_bits_truncate(if has_group { bits } else { without_group(bits) })
    }

    /// Gives them to what this process has just created, if the file system supports them.
    fn give(self, made: impl AsFd, bits: mode_t) -> nix::Result<()> {
        let stat = fstat(&made)?;
        let has_group = stat.st_gid == self.group.as_raw() || fchown(&made, None, Some(self.group)).is_ok();
        let bits = if has_group { bits } else { without_group(bits) };
        if stat.st_mode & 0o7777 != bits {
            let _ = fchmod(&made, Mode::from_bits_truncate(bits));
        }
        if geteuid().is_root() && stat.st_uid != self.owner.as_raw() {
            let _ = fchown(&made, Some(self.owner), None);
        }
        Ok(())
    }
}

/// Removes the rights that are meant for another group: the wrong one gets the rights of everybody. Only members may give
/// a file to a group.
fn without_group(bits: mode_t) -> mode_t {
    bits & (!0o70 | (bits & 0o7) << 3)
}

impl Dir {
    /// Creates a file that does not exist. Every user who may write in this directory may read and write it.
    pub(super) fn make_file(&self, name: &OsStr) -> nix::Result<File> {
        without_umask(|| self.make_lock(name))
    }

    /// Creates the missing directories of a path, and in the last of them, if it was missing, a file. Every user who may
    /// write in the directory in which they are created may write in them.
    pub fn make_below(&self, path: &[&str], file: (&str, &[u8])) -> io::Result<()> {
        without_umask(|| self.make_each_below(path, file))
    }

    fn make_lock(&self, name: &OsStr) -> nix::Result<File> {
        let rights = Rights::of(self)?;
        let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
        let flags = flags | OFlag::from_bits_retain(LOCK_FLAGS);
        let bits = rights.of_file();
        let file = File::from(openat(&self.0, name, flags, rights.at_first(bits))?);
        rights.give(&file, bits)?;
        Ok(file)
    }

    fn make_each_below(&self, path: &[&str], file: (&str, &[u8])) -> io::Result<()> {
        let [first, rest @ ..] = path else { return Ok(()) };
        let rights = Rights::of(self)?;
        let bits = rights.of_directory();
        let is_made = match mkdirat(&self.0, *first, rights.at_first(bits)) {
            Ok(()) => true,
            Err(Errno::EEXIST) => false,
            // It may exist, in a directory in which this user may create nothing.
            Err(refused) => self.open_in(first.as_ref()).map(|_| false).map_err(|_| refused)?,
        };
        if is_made && let Some(made) = self.open_made(first, rest.first().unwrap_or(&file.0))? {
            rights.give(&made.0, bits)?;
        }
        let dir = self.open_in(first.as_ref())?;
        if is_made && rest.is_empty() {
            // Errors do not matter: a lock works without this file.
            let _ = dir.make_lock(file.0.as_ref()).map(|made| write_at(&made, file.1, 0));
        }
        dir.make_each_below(rest, file)
    }

    /// Opens a directory that this process has just created; `None` if it has more in it than what is created there next.
    ///
    /// A stranger who may rename it may have replaced it with another of this user's directories. An empty directory the
    /// stranger could also have removed and created: so giving its rights away gives nothing away.
    fn open_made(&self, name: &str, expected: &str) -> nix::Result<Option<Self>> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let dir = Self(openat(&self.0, name, flags, Mode::empty())?);
        // Through the descriptor, since the umask may have removed the right to do more.
        let mut entries = nix::dir::Dir::from_fd(dir.0.try_clone().map_err(|_| Errno::EMFILE)?)?;
        let is_expected =
            |name: &CStr| name == c"." || name == c".." || name.to_bytes() == expected.as_bytes();
        let is_new = entries.iter().all(|entry| entry.is_ok_and(|entry| is_expected(entry.file_name())));
        Ok((fstat(&dir.0)?.st_uid == geteuid().as_raw() && is_new).then_some(dir))
    }
}

/// Creates something without a umask, so that it has its bits from the start: others may use it at once, and this process
/// may be killed.
///
/// In a thread of its own, since the other threads keep their umask. Without a thread, the bits that the umask removes are
/// added later.
#[cfg(target_os = "linux")]
fn without_umask<T: Send>(make: impl Fn() -> T + Sync) -> T {
    use nix::sched::{CloneFlags, unshare};
    let make_there = || {
        unshare(CloneFlags::CLONE_FS).ok()?;
        umask(Mode::empty());
        Some(make())
    };
    let there = thread::scope(|scope| {
        let start = || thread::Builder::new().stack_size(STACK).spawn_scoped(scope, make_there);
        start_quietly(start).ok()?.join().ok()?
    });
    there.unwrap_or_else(make)
}

#[cfg(not(target_os = "linux"))]
fn without_umask<T>(make: impl Fn() -> T) -> T {
    make()
}

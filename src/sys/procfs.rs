//! What Linux shows of locks in `/proc`: explanations only, since these tables are not atomic and
//! do not see into other PID namespaces.
//!
//! Nothing here hangs, whatever other processes have open. A descriptor on a dead FUSE or network mount
//! answers no stat. So a file is known by the inode number in the descriptor's fdinfo first, and only one
//! that has the right number is looked at, by a statx that does not ask its file system.

use std::collections::HashSet;
use std::ffi::CStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;

use rustix::fs::{AtFlags, CWD, Dir, Mode as Permissions, OFlags, StatxFlags, makedev, open, openat, statx};
use rustix::io::Errno;

use super::{FileId, Listed, Mode, Tie, What, places, slot_at};
use lines::Kind;

mod lines;
mod path;

pub use path::path_of;

/// Whether the descriptors of other processes can be seen here, at least this user's.
pub const SHOWS_DESCRIPTORS: bool = true;

/// The kernel's table of locks, in its order; `None` if that cannot be read.
///
/// To read it holds up every flock on the machine for a moment (`locks_start` in the kernel's fs/locks.c): it is
/// for `status`, and for a request inside another lock, but not for every wait.
pub fn table() -> Option<Vec<Listed>> {
    let table = fs::read_to_string("/proc/locks").ok()?;
    let listed = table.lines().filter_map(lines::parse).filter_map(|line| {
        let what = match (line.kind, line.waits) {
            (Kind::Flock, true) => What::Waits,
            (Kind::Flock, false) => What::Holds,
            (Kind::Place, false) if line.start >= places::FIRST => What::Queues,
            (Kind::Place, false) if slot_at(line.start).is_some() => What::Slots,
            (Kind::Place, _) => return None,
        };
        let (major, minor) = line.device;
        let file = FileId { device: makedev(major, minor), inode: line.inode };
        // A place has no owner there, but in its number.
        let pid = if what == What::Queues { places::owner(line.start).unwrap_or(0) } else { line.pid };
        Some(Listed { pid, file, what })
    });
    Some(listed.collect())
}

/// The processes that can be seen.
pub fn everyone() -> Vec<u32> {
    let processes = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// What the descriptors of a process have to do with the files of these inode numbers; `None` if they cannot
/// be seen.
pub fn ties(pid: u32, inodes: &HashSet<u64>) -> Option<Vec<(FileId, Tie)>> {
    let process = pid.to_string();
    let Some(descriptors) = Descriptors::of(&process) else {
        // Without /proc nothing proves that this process is a holder, and it is not to be guessed.
        return (pid == std::process::id()).then(Vec::new);
    };
    let mut ties = Vec::new();
    descriptors.on(inodes, |file, fdinfo| {
        ties.push((file, Tie::Open));
        for line in lines::locks_in(fdinfo).filter(|line| line.inode == file.inode) {
            match line.kind {
                Kind::Flock => ties.push((file, Tie::Lock { taker: line.pid })),
                Kind::Place if line.start >= places::FIRST => ties.push((file, Tie::Place(line.start))),
                Kind::Place => ties.extend(slot_at(line.start).map(|slot| (file, Tie::Slot(slot)))),
            }
        }
    })?;
    Some(ties)
}

/// Whether a process has a descriptor through which a flock on the file is held; `None` if its descriptors
/// cannot be seen.
pub fn holds_lock(pid: u32, id: FileId) -> Option<bool> {
    let ties = ties(pid, &HashSet::from([id.inode]))?;
    Some(ties.iter().any(|(file, tie)| *file == id && matches!(tie, Tie::Lock { .. })))
}

/// Whether a process has a descriptor through which it took a flock on the file itself; `None` if its descriptors
/// cannot be seen.
pub fn took_lock(pid: u32, id: FileId) -> Option<bool> {
    let ties = ties(pid, &HashSet::from([id.inode]))?;
    Some(ties.contains(&(id, Tie::Lock { taker: pid })))
}

/// Whether a process may hold a flock on the file: not if its descriptors can be seen and none is on it.
pub fn may_hold_lock(pid: u32, id: FileId) -> bool {
    ties(pid, &HashSet::from([id.inode])).is_none_or(|ties| ties.iter().any(|(file, _)| *file == id))
}

/// The process that took a flock on the file through a descriptor that this process inherited. One that it
/// opened itself is close-on-exec; one that survived an exec cannot be.
pub fn inherited_lock(id: FileId) -> Option<u32> {
    const O_CLOEXEC: u32 = 0o2_000_000;
    let mut taker = None;
    let look = |file, fdinfo: &str| {
        let survives_exec = lines::flags_in(fdinfo).is_some_and(|flags| flags & O_CLOEXEC == 0);
        if file == id && survives_exec {
            let lock =
                lines::locks_in(fdinfo).find(|line| line.kind == Kind::Flock && line.inode == id.inode);
            taker = taker.or(lock.map(|line| line.pid));
        }
    };
    Descriptors::of("self")?.on(&HashSet::from([id.inode]), look)?;
    taker
}

/// The flock that is held through an open file, if any, whoever took it.
#[must_use]
pub fn lock_on(file: &File) -> Option<Mode> {
    let fdinfo = fs::read_to_string(format!("/proc/self/fdinfo/{}", file.as_raw_fd())).ok()?;
    lines::locks_in(&fdinfo).find(|line| line.kind == Kind::Flock).map(|line| line.mode)
}

/// The descriptors of a process.
struct Descriptors<'a> {
    process: &'a str,
    fdinfo: OwnedFd,
}

impl<'a> Descriptors<'a> {
    /// `None` if they cannot be seen.
    fn of(process: &'a str) -> Option<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fdinfo = open(format!("/proc/{process}/fdinfo"), flags, Permissions::empty()).ok()?;
        Some(Self { process, fdinfo })
    }

    /// Calls `found` with the file and the fdinfo of each that is open on a file of these inode numbers. `None`
    /// if they cannot be seen.
    fn on(&self, inodes: &HashSet<u64>, mut found: impl FnMut(FileId, &str)) -> Option<()> {
        for number in Dir::read_from(&self.fdinfo).ok()?.map_while(Result::ok) {
            let number = number.file_name();
            if number.to_bytes().starts_with(b".") {
                continue;
            }
            let fdinfo = match self.info(number, inodes) {
                Ok(Some(fdinfo)) => fdinfo,
                Err(e) if e.kind() == io::ErrorKind::PermissionDenied => return None,
                Ok(None) | Err(_) => continue, // another file's, or closed since
            };
            let fd = format!("/proc/{}/fd/{}", self.process, number.to_string_lossy());
            if let Some(file) = file_behind(&fd).filter(|file| inodes.contains(&file.inode)) {
                found(file, &fdinfo);
            }
        }
        Some(())
    }

    /// The fdinfo of a descriptor; `None` if it says that the file has none of these inode numbers.
    fn info(&self, number: &CStr, inodes: &HashSet<u64>) -> io::Result<Option<String>> {
        let fdinfo = openat(&self.fdinfo, number, OFlags::RDONLY | OFlags::CLOEXEC, Permissions::empty())?;
        let mut fdinfo = File::from(fdinfo);
        // The inode number comes first, and so can spare us a long rest. (Before Linux 5.14 there is none.)
        let mut start = [0; 512];
        let filled = fdinfo.read(&mut start)?;
        let mut text = String::from_utf8_lossy(&start[..filled]).into_owned();
        if lines::inode_in(&text).is_some_and(|inode| !inodes.contains(&inode)) {
            return Ok(None);
        }
        fdinfo.read_to_string(&mut text)?;
        Ok(Some(text))
    }
}

/// The file that a descriptor is open on, without asking its file system.
fn file_behind(fd: &str) -> Option<FileId> {
    match statx(CWD, fd, AtFlags::STATX_DONT_SYNC, StatxFlags::INO) {
        Ok(stat) => {
            Some(FileId { device: makedev(stat.stx_dev_major, stat.stx_dev_minor), inode: stat.stx_ino })
        }
        // Before Linux 4.11, or forbidden by a container runtime that does not know it.
        Err(Errno::NOSYS | Errno::PERM) => {
            let file = fs::metadata(fd).ok()?;
            Some(FileId { device: file.dev(), inode: file.ino() })
        }
        Err(_) => None,
    }
}

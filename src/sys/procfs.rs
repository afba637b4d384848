//! What Linux tells about locks in `/proc`: explanations only, since these tables are not atomic and
//! do not see into other PID namespaces.

use std::fs::{self, DirEntry, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::{FileId, Mode};

/// One line of `/proc/locks`, or of a `lock:` entry in a descriptor's fdinfo.
#[derive(Debug, PartialEq, Eq)]
struct LockLine {
    waits: bool,
    mode: Mode,
    pid: u32,
    inode: u64,
}

/// Reads `1: FLOCK  ADVISORY  WRITE 4123 fd:00:81234 0 EOF`, with `->` after the number for a waiter.
/// `None` for any other kind of lock. The device is passed over: on btrfs and overlayfs it is not the
/// one that `stat` gives.
fn parse(line: &str) -> Option<LockLine> {
    let mut words = line.split_ascii_whitespace().skip(1).peekable();
    let waits = words.next_if_eq(&"->").is_some();
    words.next_if_eq(&"FLOCK")?;
    let mut words = words.skip(1);
    let mode = if words.next()? == "WRITE" { Mode::Exclusive } else { Mode::Shared };
    let pid = words.next()?.parse().ok()?;
    let inode = words.next()?.rsplit(':').next()?.parse().ok()?;
    Some(LockLine { waits, mode, pid, inode })
}

/// The processes that wait for a flock, in the order of the kernel's table.
///
/// To read the table holds up every flock on the machine for a moment (`locks_start` in the kernel's
/// fs/locks.c): it is for `status`, once, and not for a wait.
#[derive(Debug)]
pub struct Waiters(Option<Vec<LockLine>>);

impl Waiters {
    /// Reads the kernel's table.
    pub fn now() -> Self {
        let table = fs::read_to_string("/proc/locks").ok();
        Self(table.map(|table| table.lines().filter_map(parse).filter(|line| line.waits).collect()))
    }

    /// Those that wait for this file; `None` if the table cannot be read.
    pub fn of(&self, id: FileId) -> Option<Vec<u32>> {
        let lines = self.0.as_ref()?.iter();
        let mut pids: Vec<u32> = lines.filter(|line| line.inode == id.inode).map(|line| line.pid).collect();
        pids.dedup();
        // The inode number alone could belong to another file system.
        pids.retain(|pid| descriptors(&pid.to_string()).any(|fd| is_open_on(&fd, id)));
        Some(pids)
    }
}

/// The processes that have a descriptor through which a flock on the file is held.
pub fn descriptor_holders(id: FileId) -> Vec<u32> {
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let mut pids: Vec<u32> = processes
        .filter_map(Result::ok)
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid: &u32| descriptors(&pid.to_string()).any(|fd| is_open_on(&fd, id) && holds(&fd, id)))
        .collect();
    pids.sort_unstable();
    pids
}

/// The other processes that have a descriptor through which a flock that this process took on the file is still
/// held, as the kernel notes who took it.
pub fn inheritors(id: FileId) -> Vec<u32> {
    let me = std::process::id();
    let is_mine = |fd: DirEntry| locks_in(&fdinfo(&fd)).any(|line| line.pid == me && line.inode == id.inode);
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let others = processes
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|&pid: &u32| pid != me);
    let mut pids: Vec<u32> = others.filter(|pid| descriptors(&pid.to_string()).any(is_mine)).collect();
    pids.sort_unstable();
    pids
}

/// Whether a process may hold a flock on the file: not if its descriptors can be seen and none is on it.
pub fn may_hold_lock(pid: u32, id: FileId) -> bool {
    let Ok(mut descriptors) = fs::read_dir(Path::new("/proc").join(pid.to_string()).join("fd")) else {
        return true;
    };
    descriptors.any(|fd| fd.is_ok_and(|fd| is_open_on(&fd, id)))
}

/// Whether a process has a descriptor through which a flock on the file is held; `None` if that cannot be seen.
pub fn holds_lock(pid: u32, id: FileId) -> Option<bool> {
    let mut descriptors = fs::read_dir(Path::new("/proc").join(pid.to_string()).join("fd")).ok()?;
    Some(descriptors.any(|fd| fd.is_ok_and(|fd| is_open_on(&fd, id) && holds(&fd, id))))
}

/// The process that took a flock on the file through a descriptor that this process inherited. One that it
/// opened itself is close-on-exec; one that survived an exec cannot be.
pub fn inherited_lock(id: FileId) -> Option<u32> {
    let inherited =
        descriptors("self").find(|fd| is_open_on(fd, id) && holds(fd, id) && survives_exec(fd))?;
    locks_in(&fdinfo(&inherited)).find(|line| line.inode == id.inode).map(|line| line.pid)
}

fn descriptors(pid: &str) -> impl Iterator<Item = DirEntry> + use<> {
    fs::read_dir(Path::new("/proc").join(pid).join("fd")).into_iter().flatten().filter_map(Result::ok)
}

fn is_open_on(fd: &DirEntry, id: FileId) -> bool {
    fs::metadata(fd.path()).is_ok_and(|file| file.dev() == id.device && file.ino() == id.inode)
}

fn fdinfo(fd: &DirEntry) -> String {
    let fd = fd.path();
    let process = fd.parent().and_then(Path::parent).unwrap_or(Path::new("/proc/self"));
    fs::read_to_string(process.join("fdinfo").join(fd.file_name().unwrap_or_default())).unwrap_or_default()
}

/// The flock that is held through an open file, if any, whoever took it.
#[must_use]
pub fn lock_on(file: &File) -> Option<Mode> {
    let fdinfo = fs::read_to_string(format!("/proc/self/fdinfo/{}", file.as_raw_fd())).ok()?;
    locks_in(&fdinfo).next().map(|line| line.mode)
}

/// The flocks that the fdinfo of a descriptor shows as held.
fn locks_in(fdinfo: &str) -> impl Iterator<Item = LockLine> {
    fdinfo.lines().filter_map(|line| parse(line.strip_prefix("lock:")?)).filter(|line| !line.waits)
}

/// The flags of an open file in the fdinfo of its descriptor, which are octal.
fn flags_in(fdinfo: &str) -> Option<u32> {
    let flags = fdinfo.lines().find_map(|line| line.strip_prefix("flags:"))?;
    u32::from_str_radix(flags.trim(), 8).ok()
}

fn holds(fd: &DirEntry, id: FileId) -> bool {
    locks_in(&fdinfo(fd)).any(|line| line.inode == id.inode)
}

fn survives_exec(fd: &DirEntry) -> bool {
    const O_CLOEXEC: u32 = 0o2_000_000;
    flags_in(&fdinfo(fd)).is_some_and(|flags| flags & O_CLOEXEC == 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn flock_lines_are_read_and_others_passed_over() {
        let held = LockLine { waits: false, mode: Mode::Exclusive, pid: 4123, inode: 81234 };
        assert_eq!(parse("1: FLOCK  ADVISORY  WRITE 4123 fd:00:81234 0 EOF"), Some(held));
        let waiting = LockLine { waits: true, mode: Mode::Shared, pid: 9, inode: 5 };
        assert_eq!(parse("12: -> FLOCK  ADVISORY  READ 9 00:2a:5 0 EOF"), Some(waiting));
        for other in
            ["1: POSIX  ADVISORY  WRITE 1 fd:00:1 0 EOF", "1: FLOCK", "", "1: FLOCK ADVISORY READ x y 0 EOF"]
        {
            assert_eq!(parse(other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn no_line_is_too_odd_to_read(
            line in prop_oneof![".*", "[0-9]{0,12}:? ?(->)? ?FLOCK( [A-Z0-9:-]{0,24}){0,9}"],
        ) {
            let read = parse(&line);
            prop_assert!(read.is_none() || line.contains("FLOCK"), "{:?}", read);
        }

        #[test]
        fn an_fdinfo_is_read_whatever_else_it_says(
            pos: u64, flags: u32, held: bool, pid: u32, inode: u64, other in "[a-z]{1,9}:\t[ -~]{0,40}",
        ) {
            prop_assume!(!other.starts_with("flags:") && !other.starts_with("lock:"));
            let lock = if held { format!("lock:\t1: FLOCK  ADVISORY  WRITE {pid} fd:00:{inode} 0 EOF\n") } else { String::new() };
            let fdinfo = format!("pos:\t{pos}\nflags:\t0{flags:o}\nmnt_id:\t29\n{other}\n{lock}");
            prop_assert_eq!(flags_in(&fdinfo), Some(flags));
            let mode = Mode::Exclusive;
            let expected = held.then_some(LockLine { waits: false, mode, pid, inode });
            prop_assert_eq!(locks_in(&fdinfo).collect::<Vec<_>>(), expected.into_iter().collect::<Vec<_>>());
        }

        #[test]
        fn no_fdinfo_is_too_odd_to_read(fdinfo in prop_oneof![".*", "((flags|lock):[ -~\n]{0,30}\n?){0,4}"]) {
            let found = locks_in(&fdinfo).count() + usize::from(flags_in(&fdinfo).is_some());
            prop_assert!(found <= fdinfo.lines().count());
        }

        #[test]
        fn what_the_kernel_prints_is_read(
            number: u64, waits: bool, write: bool, pid: u32, device: (u8, u32), inode: u64,
        ) {
            let arrow = if waits { "-> " } else { "" };
            let kind = if write { "WRITE" } else { "READ " };
            let (major, minor) = device;
            let line = format!(
                "{number}: {arrow}FLOCK  ADVISORY  {kind} {pid} {major:02x}:{minor:02x}:{inode} 0 EOF"
            );
            let mode = if write { Mode::Exclusive } else { Mode::Shared };
            prop_assert_eq!(parse(&line), Some(LockLine { waits, mode, pid, inode }));
            // In fdinfo it stands after `lock:` and a tab.
            let fdinfo = format!("lock:\t{line}");
            prop_assert_eq!(fdinfo.strip_prefix("lock:").and_then(parse), parse(&line));
            prop_assert_eq!(parse(&line.replace("FLOCK", "POSIX")), None);
        }
    }
}

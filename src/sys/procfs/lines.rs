//! The lines in which Linux shows locks, in `/proc/locks` and in the fdinfo of descriptors.

use crate::sys::Mode;

/// Which locks a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One taken by flock(2), of a whole file.
    Flock,
    /// One of a range of bytes, held by an open file description: a place in a queue, if it is far enough out.
    Place,
}

/// One line of `/proc/locks`, or of a `lock:` entry in a descriptor's fdinfo.
#[derive(Debug, PartialEq, Eq)]
pub struct LockLine {
    /// Whether it is of a process that waits for the lock.
    pub waits: bool,
    /// Whose lock it is.
    pub kind: Kind,
    /// How it is held.
    pub mode: Mode,
    /// The process that took it, or 0 if that is unknown: it is gone, or in another PID namespace.
    pub pid: u32,
    /// The device of the file, major and minor number. On btrfs and overlayfs it is not the one that `stat` gives.
    pub device: (u32, u32),
    /// The inode number of the file.
    pub inode: u64,
    /// The first byte that is locked.
    pub start: u64,
}

/// Reads `1: FLOCK  ADVISORY  WRITE 4123 fd:00:81234 0 EOF`, with `->` after the number for a waiter, or
/// `1: OFDLCK ADVISORY  WRITE -1 fd:00:81234 4611686018427387904 4611686018427387904`. `None` for any other
/// kind of lock.
pub fn parse(line: &str) -> Option<LockLine> {
    let mut words = line.split_ascii_whitespace().skip(1).peekable();
    let waits = words.next_if_eq(&"->").is_some();
    let kind = match words.next()? {
        "FLOCK" => Kind::Flock,
        "OFDLCK" => Kind::Place,
        _ => return None,
    };
    let mut words = words.skip(1);
    let mode = if words.next()? == "WRITE" { Mode::Exclusive } else { Mode::Shared };
    let pid: i64 = words.next()?.parse().ok()?;
    let mut file = words.next()?.splitn(3, ':');
    let mut number = || u32::from_str_radix(file.next()?, 16).ok();
    let device = (number()?, number()?);
    let inode = file.next()?.parse().ok()?;
    let start = words.next()?.parse().ok()?;
    Some(LockLine { waits, kind, mode, pid: pid.try_into().unwrap_or(0), device, inode, start })
}

/// The locks that the fdinfo of a descriptor shows as held.
pub fn locks_in(fdinfo: &str) -> impl Iterator<Item = LockLine> {
    fdinfo.lines().filter_map(|line| parse(line.strip_prefix("lock:")?)).filter(|line| !line.waits)
}

/// The flags of an open file in the fdinfo of its descriptor, which are octal.
pub fn flags_in(fdinfo: &str) -> Option<u32> {
    u32::from_str_radix(field(fdinfo, "flags:")?, 8).ok()
}

/// The inode number of an open file in the fdinfo of its descriptor.
pub fn inode_in(fdinfo: &str) -> Option<u64> {
    field(fdinfo, "ino:")?.parse().ok()
}

fn field<'a>(fdinfo: &'a str, name: &str) -> Option<&'a str> {
    fdinfo.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn flock(waits: bool, mode: Mode, pid: u32, (device, inode): ((u32, u32), u64)) -> LockLine {
        LockLine { waits, kind: Kind::Flock, mode, pid, device, inode, start: 0 }
    }

    #[test]
    fn flock_lines_are_read_and_others_passed_over() {
        let held = flock(false, Mode::Exclusive, 4123, ((0xfd, 0), 81234));
        assert_eq!(parse("1: FLOCK  ADVISORY  WRITE 4123 fd:00:81234 0 EOF"), Some(held));
        let waiting = flock(true, Mode::Shared, 9, ((0, 0x2a), 5));
        assert_eq!(parse("12: -> FLOCK  ADVISORY  READ 9 00:2a:5 0 EOF"), Some(waiting));
        for other in
            ["1: POSIX  ADVISORY  WRITE 1 fd:00:1 0 EOF", "1: FLOCK", "", "1: FLOCK ADVISORY READ x y 0 EOF"]
        {
            assert_eq!(parse(other), None, "{other}");
        }
    }

    #[test]
    fn a_place_in_a_queue_is_a_lock_of_one_byte_far_out() {
        let fdinfo = "pos:\t0\nflags:\t02100002\nmnt_id:\t29\nino:\t81234\n\
            lock:\t1: OFDLCK ADVISORY  WRITE -1 fd:00:81234 4611686018427387907 4611686018427387907\n\
            lock:\t2: -> FLOCK  ADVISORY  WRITE 7 fd:00:81234 0 EOF\n";
        let start = (1 << 62) + 3;
        let (kind, mode) = (Kind::Place, Mode::Exclusive);
        let place = LockLine { waits: false, kind, mode, pid: 0, device: (0xfd, 0), inode: 81234, start };
        assert_eq!(locks_in(fdinfo).collect::<Vec<_>>(), [place]);
        assert_eq!(inode_in(fdinfo), Some(81234));
        assert_eq!(inode_in("pos:\t0\ninotify wd:1 ino:7\n"), None, "as before Linux 5.14");
    }

    proptest! {
        #[test]
        fn no_line_is_too_odd_to_read(
            line in prop_oneof![".*", "[0-9]{0,12}:? ?(->)? ?(FLOCK|OFDLCK)( [A-Z0-9:-]{0,24}){0,9}"],
        ) {
            let read = parse(&line);
            let may_be_read = line.contains("FLOCK") || line.contains("OFDLCK");
            prop_assert!(read.is_none() || may_be_read, "{:?}", read);
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
            let expected = held.then_some(flock(false, mode, pid, ((0xfd, 0), inode)));
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
            prop_assert_eq!(parse(&line), Some(flock(waits, mode, pid, ((major.into(), minor), inode))));
            // In fdinfo it stands after `lock:` and a tab.
            let fdinfo = format!("lock:\t{line}");
            prop_assert_eq!(fdinfo.strip_prefix("lock:").and_then(parse), parse(&line));
            prop_assert_eq!(parse(&line.replace("FLOCK", "POSIX")), None);
        }
    }
}

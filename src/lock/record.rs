//! The holder record: the PIDs of the holders, one decimal number a line, inside the lock file.
//!
//! It explains a lock and never decides one. A writer is alone with the file. Readers share it, so
//! they edit it one at a time, under a short exclusive lock on the lock *directory*, taken after the
//! file's lock and never waited for beyond [`EDIT_PATIENCE`]: at worst a line is missing.
//!
//! An edit is one write inside one page of memory, which SIGKILL cannot cut in two, and which never leaves the
//! file anything but digits and newlines; then, if the record got shorter, one truncation. SIGKILL between the two
//! leaves blank lines. A reader that leaves others leaves a blank line too: the file's time is not theirs.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::{Mode, flock};
use crate::sys::{self, Access, RecordFile};

/// How long a reader tries to get its turn at the record.
const EDIT_PATIENCE: Duration = Duration::from_millis(5);

/// No record grows beyond this size, in bytes: the smallest page of memory. To add a line then, those of processes
/// that are gone are dropped; before they are left, since they may belong to another PID namespace.
const PAGE: usize = 4096;

/// The PIDs in a record, or `None` if the bytes are not a record.
#[must_use]
pub fn parse(bytes: &[u8]) -> Option<Vec<u32>> {
    bytes
        .split(|&b| b == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| {
            let digits = line.iter().all(u8::is_ascii_digit);
            let number: u32 = std::str::from_utf8(line).ok()?.parse().ok()?;
            (digits && number > 0).then_some(number)
        })
        .collect()
}

fn render(pids: &[u32]) -> Vec<u8> {
    pids.iter().flat_map(|pid| format!("{pid}\n").into_bytes()).collect()
}

/// A record as it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// The holders named, in the order they came.
    pub pids: Vec<u32>,
    /// When it was last written, if it names anybody.
    pub written: Option<SystemTime>,
    /// Since when the only holder named holds the lock, if there is but one and was no other meanwhile.
    pub since: Option<SystemTime>,
}

/// Reads the record of a lock file; `None` if what it holds is not one.
///
/// Holders may be editing it meanwhile, so it is read until two readings agree.
pub fn read(lock: &File, path: &Path) -> io::Result<Option<Record>> {
    let Some(store) = RecordFile::open(lock, path, Access::Read)? else {
        return Ok(Some(Record::default()));
    };
    let mut last = None;
    for _ in 0..10 {
        let Some(bytes) = read_store(&store)? else { return Ok(None) };
        if bytes.is_empty() {
            return Ok(Some(Record::default()));
        }
        let written = store.metadata()?.modified().ok().filter(|&time| can_be_told(time));
        let now = Some((bytes, written));
        if now == last {
            break;
        }
        last = now;
    }
    Ok(last.and_then(|(bytes, written)| {
        let is_alone = bytes.split(|&b| b == b'\n').count() <= 2; // nothing follows the last newline
        Some(Record { pids: parse(&bytes)?, written, since: written.filter(|_| is_alone) })
    }))
}

/// Whether a time has a year of four digits: anybody may have set another.
fn can_be_told(time: SystemTime) -> bool {
    const YEAR_10000: Duration = Duration::from_hours(70_389_528);
    time.duration_since(SystemTime::UNIX_EPOCH).is_ok_and(|since| since < YEAR_10000)
}

/// The bytes of a file small enough to be a record.
fn read_store(store: &File) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = vec![0; PAGE + 1];
    let filled = sys::read_at_start(store, &mut bytes)?;
    bytes.truncate(filled);
    Ok((filled <= PAGE).then_some(bytes))
}

/// Adds this process to the record of a lock that it holds.
pub fn add(lock: &File, path: &Path, mode: Mode) -> io::Result<()> {
    let me = std::process::id();
    edit(lock, path, mode, |mut pids| {
        if mode == Mode::Exclusive {
            pids.clear(); // whatever is there was left by the dead
        }
        pids.push(me);
        let mut record = render(&pids);
        if record.len() > PAGE {
            pids.retain(|&pid| sys::is_alive(pid));
            record = render(&pids);
        }
        if record.len() > PAGE {
            return Err(io::Error::other("it names as many holders as it has room for"));
        }
        Ok(Some(record))
    })
}

/// Takes this process off the record of a lock that it still holds.
pub fn remove(lock: &File, path: &Path, mode: Mode) -> io::Result<()> {
    let me = std::process::id();
    edit(lock, path, mode, |mut pids| {
        // Where it is not named, the command has dropped the lock, and the record is another holder's. It is one
        // line: other threads of this process may hold the lock too.
        let Some(mine) = pids.iter().position(|&pid| pid == me) else { return Ok(None) };
        pids.remove(mine);
        let mut record = render(&pids);
        if !pids.is_empty() {
            record.push(b'\n');
        }
        Ok(Some(record))
    })
}

/// Changes the record, unless `change` returns `None`.
fn edit(
    lock: &File,
    path: &Path,
    mode: Mode,
    change: impl FnOnce(Vec<u32>) -> io::Result<Option<Vec<u8>>>,
) -> io::Result<()> {
    let _turn = match mode {
        Mode::Exclusive => None,
        Mode::Shared => Some(take_turn(path)?),
    };
    let Some(store) = RecordFile::open(lock, path, Access::Write)? else {
        return Ok(());
    };
    let foreign = || io::Error::other("its content is not a holder record");
    let old = read_store(&store)?.ok_or_else(foreign)?;
    let Some(mut new) = change(parse(&old).ok_or_else(foreign)?)? else { return Ok(()) };
    let len = new.len();
    if len > 0 {
        // Also if nothing changes (in a container, where every gtlock is process 1): the file's time does.
        // Newlines over what was there: whoever reads before the truncation, or after a SIGKILL that
        // prevents it, finds blank lines and no torn number.
        new.resize(len.max(old.len()), b'\n');
        sys::write_at_start(&store, &new)?;
    }
    if len < old.len() {
        store.set_len(len as u64)?;
    }
    Ok(())
}

/// An exclusive lock on the lock directory, gone when dropped. `None` where opening the record for
/// writing already shuts out other editors.
fn take_turn(path: &Path) -> io::Result<Option<File>> {
    let Some(dir) = sys::editors_queue_on(path)? else {
        return Ok(None);
    };
    if !flock::try_for(&dir, Mode::Exclusive, EDIT_PATIENCE)? {
        return Err(io::Error::other("other readers were editing the holder record"));
    }
    Ok(Some(dir))
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;

    #[test]
    fn a_record_is_decimal_pids_one_a_line() {
        assert_eq!(parse(b""), Some(vec![]));
        assert_eq!(parse(b"12345\n"), Some(vec![12345]));
        assert_eq!(parse(b"1\n22\n333\n"), Some(vec![1, 22, 333]));
        assert_eq!(parse(b"7"), Some(vec![7]), "the Go package writes no newline");
        assert_eq!(parse(b"7\n\n\n"), Some(vec![7]), "an edit cut short leaves blank lines");
    }

    #[test]
    fn anything_else_is_not_a_record() {
        for foreign in [
            &b"0\n"[..],
            b"-1\n",
            b"+1\n",
            b" 1\n",
            b"1 2\n",
            b"1\r\n",
            b"x",
            b"\0",
            b"4294967296\n",
            b"\xff",
        ] {
            assert_eq!(parse(foreign), None, "{}", foreign.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn whatever_the_bytes_what_is_taken_for_a_record_is_digits_and_newlines(
            bytes in prop_oneof![vec(any::<u8>(), 0..64), "[0-9\n]{0,40}".prop_map(String::into_bytes)],
        ) {
            if let Some(pids) = parse(&bytes) {
                prop_assert!(bytes.iter().all(|b| b.is_ascii_digit() || *b == b'\n'));
                prop_assert_eq!(parse(&render(&pids)), Some(pids));
            }
        }

        #[test]
        fn a_record_is_read_as_it_was_written(pids in vec(1..=u32::MAX, 0..50), blank in 0..9_usize) {
            let mut bytes = render(&pids);
            bytes.resize(bytes.len() + blank, b'\n'); // as an edit cut short leaves it
            prop_assert_eq!(parse(&bytes), Some(pids));
        }

        #[test]
        fn one_byte_that_is_no_digit_makes_it_no_record(
            pids in vec(1..=u32::MAX, 0..9), at in any::<Index>(),
            byte in prop_oneof![0..b'\n', b'\n' + 1..b'0', b'9' + 1..=u8::MAX],
        ) {
            let mut bytes = render(&pids);
            bytes.insert(at.index(bytes.len() + 1), byte);
            prop_assert_eq!(parse(&bytes), None);
        }
    }
}

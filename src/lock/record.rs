//! The holder record: the PIDs of the holders, one decimal number a line, inside the lock file.
//!
//! It only explains a lock, and never decides one. A writer is alone with the file. Readers share it, so
//! they edit it one at a time, under a short exclusive lock on the lock *directory*, which they take after the
//! file's lock and wait for no longer than [`EDIT_PATIENCE`]: at worst a line is missing.
//!
//! An edit is one write inside one page of memory, which SIGKILL cannot cut in two, and which never leaves the
//! file anything but digits and newlines. A holder that leaves writes newlines over its own line, which costs less than
//! truncating the file. Blank lines name nobody, and show that the file's time is not that of a remaining holder. A holder
//! that finds no other in the record starts it again, and truncates the rest; SIGKILL before that leaves blank lines.

use std::fs::File;
use std::io;
use std::mem;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::{Mode, flock};
use crate::sys::{self, Access, RecordFile};

/// How long a reader waits for its turn to edit the record.
const EDIT_PATIENCE: Duration = Duration::from_millis(5);

/// No record grows beyond this size, in bytes: the smallest page of memory. A full record drops the lines of processes
/// that are gone. Before that they stay, since they may belong to another PID namespace.
const PAGE: usize = 4096;

/// The PIDs in a record, or `None` if the bytes are not a record.
#[must_use]
pub fn parse(bytes: &[u8]) -> Option<Vec<u32>> {
    lines(bytes).collect()
}

/// The number in each line that is not blank; `None` for one that is not a number.
fn lines(bytes: &[u8]) -> impl Iterator<Item = Option<u32>> {
    let number = |line: &[u8]| {
        let append = |number: u32, &b: &u8| {
            let digit = u32::from(b.wrapping_sub(b'0'));
            if digit < 10 { number.checked_mul(10)?.checked_add(digit) } else { None }
        };
        line.iter().try_fold(0, append).filter(|&number| number > 0)
    };
    bytes.split(|&b| b == b'\n').filter(|line| !line.is_empty()).map(number)
}

fn render(pids: &[u32]) -> Vec<u8> {
    pids.iter().flat_map(|pid| format!("{pid}\n").into_bytes()).collect()
}

/// A record as it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// The holders named, in the order they came.
    pub pids: Vec<u32>,
    /// When it was last written, if it names a holder.
    pub written: Option<SystemTime>,
    /// Since when the named holder has held the lock, if it is the only one and was alone all the time.
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

/// Whether a time has a year of four digits: anybody can set a file to any other time.
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

/// Whether a lock file holds a record, or nothing.
pub fn is_there(lock: &File, path: &Path) -> io::Result<bool> {
    let Some(store) = RecordFile::open(lock, path, Access::Read)? else { return Ok(true) };
    Ok(read_store(&store)?.is_some_and(|bytes| is_record(&bytes)))
}

/// Whether bytes are a record, even one that names nobody.
fn is_record(bytes: &[u8]) -> bool {
    lines(bytes).all(|line| line.is_some())
}

/// A change of a record.
enum Edit {
    /// Replaces all of it.
    All(Vec<u8>),
    /// Overwrites a part of it, which gets no shorter.
    From(usize, Vec<u8>),
}

/// The result of an edit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edited {
    /// It is done.
    Done,
    /// It is not done: the content is not a record.
    NoRecord,
}

/// Adds this process to the record of a lock that it holds.
pub fn add(me: u32, lock: &File, path: &Path, mode: Mode) -> io::Result<Edited> {
    edit(lock, path, mode, |old| {
        let end = old.trim_ascii_end().len();
        // A writer is alone: any line is of a dead holder.
        if mode == Mode::Exclusive || end == 0 {
            return Ok(Some(Edit::All(render(&[me]))));
        }
        let line = format!("\n{me}\n").into_bytes();
        if end + line.len() <= PAGE {
            return Ok(Some(Edit::From(end, line)));
        }
        let alive = lines(old).flatten().filter(|&pid| sys::is_alive(pid));
        let record = render(&alive.chain([me]).collect::<Vec<_>>());
        if record.len() > PAGE {
            return Err(io::Error::other("the record is full"));
        }
        Ok(Some(Edit::All(record)))
    })
}

/// Removes this process from the record of a lock that it still holds.
pub fn remove(me: u32, lock: &File, path: &Path, mode: Mode) -> io::Result<Edited> {
    let me = me.to_string().into_bytes();
    edit(lock, path, mode, |old| {
        // If it is not named, the command has released the lock, and the record is another holder's. One line goes:
        // other threads of this process may hold the lock too.
        let mut lines = old.split(|&b| b == b'\n').scan(0, |next, line| {
            let at = mem::replace(next, *next + line.len() + 1);
            Some((at, line))
        });
        let mine = lines.find(|(_, line)| *line == me);
        Ok(mine.map(|(at, line)| Edit::From(at, vec![b'\n'; line.len()])))
    })
}

/// Changes the record, unless `change` returns `None` for its bytes.
fn edit(
    lock: &File,
    path: &Path,
    mode: Mode,
    change: impl FnOnce(&[u8]) -> io::Result<Option<Edit>>,
) -> io::Result<Edited> {
    let _turn = match mode {
        Mode::Exclusive => None,
        Mode::Shared => Some(take_turn(path)?),
    };
    let Some(store) = RecordFile::open(lock, path, Access::Write)? else {
        return Ok(Edited::Done);
    };
    let Some(old) = read_store(&store)?.filter(|bytes| is_record(bytes)) else {
        return Ok(Edited::NoRecord);
    };
    match change(&old)? {
        None => {}
        Some(Edit::From(at, new)) => sys::write_at(&store, &new, at)?,
        Some(Edit::All(mut new)) => {
            let len = new.len();
            // Newlines over the old content: a reader before the truncation, or after a SIGKILL that prevents
            // it, finds blank lines and no torn number.
            new.resize(len.max(old.len()), b'\n');
            sys::write_at(&store, &new, 0)?;
            if len < old.len() {
                store.set_len(len as u64)?;
            }
        }
    }
    Ok(Edited::Done)
}

/// An exclusive lock on the lock directory, released when dropped. `None` on systems where opening the record for
/// writing already excludes other editors.
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

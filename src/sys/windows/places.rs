//! Places in a queue: single bytes of a file beside the lock file, `NAME.lock.queue`, each locked by whoever waits
//! there.
//!
//! Not of the lock file itself, since its lock covers all of it. The system does not say where a file is locked, so
//! that is found out by locking parts of the row, shared and for a moment. Nobody loses a place by it, and who is
//! refused one takes another.

use std::fs::File;
use std::io;
use std::os::windows::ffi::OsStringExt;
use std::os::windows::io::AsRawHandle;
use std::path::{Path, PathBuf};
use std::{ffi::OsString, ptr};

use windows_sys::Win32::Foundation::ERROR_LOCK_VIOLATION;
use windows_sys::Win32::Storage::FileSystem::{
    FILE_NAME_OPENED, GetFinalPathNameByHandleW, LOCK_FILE_FLAGS, LOCKFILE_EXCLUSIVE_LOCK,
    LOCKFILE_FAIL_IMMEDIATELY, LockFileEx, UnlockFileEx,
};
use windows_sys::Win32::System::IO::{OVERLAPPED, OVERLAPPED_0, OVERLAPPED_0_0};

use super::super::Missing;
use super::open;

/// The first place.
pub const FIRST: u64 = 1 << 62;

/// Beyond the last place.
pub const END: u64 = (1 << 63) - 1;

/// The distance between two tickets.
pub const TICKET: u64 = 1;

/// The place for a ticket, whoever has it.
pub fn of_this_process(ticket: u64) -> u64 {
    ticket
}

/// The process whose place it is: not known.
pub fn owner(_place: u64) -> Option<u32> {
    None
}

/// The lowest taken place in `from..to`, if there is one.
pub fn taken(file: &File, from: u64, to: u64) -> io::Result<Option<u64>> {
    let row = match open_row(file, Missing::Leave) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None), // nobody has ever waited
        row => row?,
    };
    lowest(from, to, |from, to| {
        let is_free = lock(&row, from, to - from, 0)?;
        if is_free {
            unlock(&row, from, to - from)?;
        }
        Ok(is_free)
    })
}

/// The lowest number in a range that is not free, found by asking about parts of it: first about all, then from the
/// start about ever larger ones, and then about ever smaller ones of the first that is not free.
fn lowest(mut from: u64, to: u64, is_free: impl Fn(u64, u64) -> io::Result<bool>) -> io::Result<Option<u64>> {
    if from >= to || is_free(from, to)? {
        return Ok(None);
    }
    let mut step = 1;
    while from < to {
        let end = from.saturating_add(step).min(to);
        if is_free(from, end)? {
            from = end;
            step = step.saturating_mul(2);
        } else if end - from == 1 {
            return Ok(Some(from));
        } else {
            step = (end - from) / 2;
        }
    }
    Ok(None) // left meanwhile
}

/// Whether any place is taken.
pub fn is_locked(file: &File) -> bool {
    matches!(taken(file, FIRST, END), Ok(Some(_)))
}

/// A place that is kept until it is left, or this process ends.
#[derive(Debug)]
pub struct Kept {
    row: File,
    number: u64,
}

impl Kept {
    /// Leaves it.
    pub fn leave(&self, _file: &File) {
        let _ = unlock(&self.row, self.number, 1); // closing the row does it too, but not at once
    }

    /// Keeps it no longer than this.
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

/// Takes a place; `None` if somebody has it.
pub fn take(file: &File, number: u64) -> io::Result<Option<Taken<'_>>> {
    Ok(take_alone(file, number)?.map(|kept| kept.until_dropped(file)))
}

/// Takes a place that nobody else can have; `None` if somebody has it.
pub fn take_alone(file: &File, number: u64) -> io::Result<Option<Kept>> {
    let row = open_row(file, Missing::Make)?;
    let is_taken = lock(&row, number, 1, LOCKFILE_EXCLUSIVE_LOCK)?;
    Ok(is_taken.then_some(Kept { row, number }))
}

/// Nobody waits in this way, as that could not be given up (see `interrupt`).
pub fn wait_until_left(_file: &File, _place: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// The row of places of a lock.
pub fn row_path(lock: &Path) -> PathBuf {
    let mut path = lock.as_os_str().to_owned();
    path.push(".queue");
    path.into()
}

fn open_row(file: &File, missing: Missing) -> io::Result<File> {
    open(&row_path(&path_behind(file)?), missing)
}

fn path_behind(file: &File) -> io::Result<PathBuf> {
    let mut path = vec![0; 512];
    loop {
        let room = u32::try_from(path.len()).unwrap_or(u32::MAX);
        // SAFETY: the handle is open, and there is room for as much as is said.
        #[allow(unsafe_code)]
        let len = unsafe {
            GetFinalPathNameByHandleW(file.as_raw_handle(), path.as_mut_ptr(), room, FILE_NAME_OPENED)
        };
        match len {
            0 => return Err(io::Error::last_os_error()),
            len if len < room => return Ok(OsString::from_wide(&path[..len as usize]).into()),
            len => path.resize(len as usize, 0),
        }
    }
}

/// Locks a part of the row; `false` if somebody has locked some of it in a way that forbids it.
fn lock(row: &File, from: u64, len: u64, mode: LOCK_FILE_FLAGS) -> io::Result<bool> {
    let ((low, high), flags) = (halves(len), mode | LOCKFILE_FAIL_IMMEDIATELY);
    // SAFETY: the handle is open, and does its work before the call returns.
    #[allow(unsafe_code)]
    let locked = unsafe { LockFileEx(row.as_raw_handle(), flags, 0, low, high, &mut at(from)) };
    match io::Error::last_os_error() {
        _ if locked != 0 => Ok(true),
        e if e.raw_os_error() == ERROR_LOCK_VIOLATION.try_into().ok() => Ok(false),
        e => Err(e),
    }
}

fn unlock(row: &File, from: u64, len: u64) -> io::Result<()> {
    let (low, high) = halves(len);
    // SAFETY: as above.
    #[allow(unsafe_code)]
    let unlocked = unsafe { UnlockFileEx(row.as_raw_handle(), 0, low, high, &mut at(from)) };
    if unlocked == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn at(offset: u64) -> OVERLAPPED {
    let (low, high) = halves(offset);
    let at = OVERLAPPED_0_0 { Offset: low, OffsetHigh: high };
    OVERLAPPED { Anonymous: OVERLAPPED_0 { Anonymous: at }, hEvent: ptr::null_mut(), ..OVERLAPPED::default() }
}

#[expect(clippy::cast_possible_truncation, reason = "it is cut in two")]
fn halves(number: u64) -> (u32, u32) {
    (number as u32, (number >> 32) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_place_is_found_wherever_it_is() {
        let is_free = |taken: &[u64], from, to| Ok(!taken.iter().any(|place| (from..to).contains(place)));
        let lowest_of = |taken: &[u64]| {
            lowest(FIRST, END, |from, to| is_free(taken, from, to)).expect("nothing fails here")
        };
        assert_eq!(lowest_of(&[]), None);
        assert_eq!(lowest_of(&[FIRST - 1, END]), None);
        for place in (0..62).flat_map(|n| [FIRST + (1 << n) - 1, FIRST + (1 << n), FIRST + (1 << n) + 1]) {
            assert_eq!(lowest_of(&[END - 1, place, place + 1]), Some(place));
        }
        assert_eq!(lowest_of(&[END - 1]), Some(END - 1));
    }
}

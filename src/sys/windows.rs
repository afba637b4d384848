//! Windows: files by handle and index.
//!
//! `LockFileEx` lets nobody else read what it locks, so a lock file stays empty here, and the record of
//! its holders is in a file beside it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::ops::Deref;
use std::os::windows::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use windows_sys::Win32::Foundation::ERROR_SHARING_VIOLATION;
use windows_sys::Win32::Storage::FileSystem::{
    FILE_FLAG_BACKUP_SEMANTICS, FILE_FLAG_OPEN_REPARSE_POINT, FILE_SHARE_DELETE, FILE_SHARE_READ,
};

use super::{Access, FileId, Missing, Stat};

mod child;
mod dir;
mod interrupt;
mod replace;

pub mod places;

pub use dir::{Dir, Link};
pub use interrupt::{Interruptible, can_interrupt, start_quietly};

pub use child::{Incoming, become_command, die_of, is_alive, linger, run, serve_as_process_1};
/// The path of a file without links, in the form that other programs understand too: `C:\…` and not
/// `\\?\C:\…`, where both mean the same.
pub use dunce::canonicalize;
pub use replace::{copy_attributes, file_size_limit, file_too_large, locate, pipe};

/// How long an open is repeated that somebody prevents who will be done in a moment.
const PATIENCE: Duration = Duration::from_millis(5);

/// Opens a lock file that is there. Follows no symbolic link.
pub fn open_lock(path: &Path, access: Access) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(access == Access::Write).custom_flags(FILE_FLAG_OPEN_REPARSE_POINT);
    patiently(|| options.open(path))
}

/// Opens a lock file, or makes it. The file is writable if this user may write it, else only readable, and others may
/// do with it what they like.
fn open(path: &Path, missing: Missing) -> io::Result<File> {
    let create = missing == Missing::Make;
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(FILE_FLAG_OPEN_REPARSE_POINT);
    patiently(|| match options.clone().write(true).create(create).open(path) {
        Err(denied) if denied.kind() == io::ErrorKind::PermissionDenied => {
            options.open(path).map_err(|e| if create { denied } else { e })
        }
        opened => opened,
    })
}

/// Refuses: a lock on the data itself would be in the way of the command that is to use them.
pub fn open_itself(_path: &Path, _access: Access) -> io::Result<File> {
    Err(io::Error::other("Windows lets nobody use a file that is locked itself; lock it without --direct"))
}

/// Refuses: open files have no numbers here.
pub fn descriptor(_number: i32) -> io::Result<File> {
    Err(io::Error::other("Windows has no descriptors; lock a file by its name"))
}

/// Nothing is inherited.
pub fn has_inherited(_id: FileId) -> bool {
    false
}

/// Whether an operation was refused since the file is not open for it: a lock wants no more than to read.
pub fn is_bad_descriptor(_error: &io::Error) -> bool {
    false
}

/// Whether a removal was refused since the entry belongs to another user: no directory is like that.
pub fn is_not_ours(_error: &io::Error) -> bool {
    false
}

/// Whether this process is in the foreground of its terminal: there is no background here.
pub fn is_in_foreground() -> bool {
    true
}

/// Repeats what is refused because of somebody who will be done in a moment: an editor of the record, a
/// virus scanner, or the last who has a file open that was removed (only then its name is free, except on
/// NTFS).
fn patiently<T>(mut open: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let patience = Instant::now() + PATIENCE;
    loop {
        match open() {
            Err(e)
                if (is_open_elsewhere(&e) || e.kind() == io::ErrorKind::PermissionDenied)
                    && Instant::now() < patience =>
            {
                thread::sleep(Duration::from_micros(100));
            }
            opened => return opened,
        }
    }
}

/// Whether somebody has the file open and does not share it.
fn is_open_elsewhere(error: &io::Error) -> bool {
    error.raw_os_error() == ERROR_SHARING_VIOLATION.try_into().ok()
}

/// Looks at an open file. One that has content counts as no regular file, as no lock file has any.
pub fn stat(file: &File) -> io::Result<Stat> {
    let information = winapi_util::file::information(file)?;
    let id = FileId { device: information.volume_serial_number(), inode: information.file_index() };
    let metadata = file.metadata()?;
    let is_file = metadata.is_file() && metadata.len() == 0;
    Ok(Stat { id, is_file, links: information.number_of_links(), may_have_record: true })
}

/// Looks at what a path names, a symbolic link as itself; `None` if nothing.
pub fn stat_path(path: &Path) -> io::Result<Option<Stat>> {
    look_at(path, FILE_FLAG_OPEN_REPARSE_POINT)
}

/// Looks at what a path leads to; `None` if nothing.
pub fn stat_through(path: &Path) -> io::Result<Option<Stat>> {
    look_at(path, 0)
}

fn look_at(path: &Path, flags: u32) -> io::Result<Option<Stat>> {
    let mut options = OpenOptions::new();
    options.access_mode(0).custom_flags(flags | FILE_FLAG_BACKUP_SEMANTICS);
    match options.open(path) {
        Ok(file) => stat(&file).map(Some),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        // To look needs no permission: what denies it is that the file was removed, and is only there
        // until the last who has it open lets go.
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => Ok(None),
        Err(e) => Err(e),
    }
}

/// The file that holds the record of a lock: `NAME.lock.pid`.
#[derive(Debug)]
pub struct RecordFile(File);

impl RecordFile {
    /// Opens the record of a lock file; `None` if there is none. One that is open to be changed is so once.
    pub fn open(_lock: &File, path: &Path, access: Access) -> io::Result<Option<Self>> {
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(FILE_FLAG_OPEN_REPARSE_POINT);
        if access == Access::Write {
            options.write(true).create(true).share_mode(FILE_SHARE_READ | FILE_SHARE_DELETE);
        }
        let file = match patiently(|| options.open(record_path(path))) {
            // A lock file's name can be so long that there is none for its record.
            Err(e)
                if access == Access::Read
                    && matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidFilename) =>
            {
                return Ok(None);
            }
            opened => opened?,
        };
        if !file.metadata()?.is_file() || winapi_util::file::information(&file)?.number_of_links() != 1 {
            return Err(io::Error::other("the record beside it is no regular file with one name"));
        }
        Ok(Some(Self(file)))
    }
}

impl Deref for RecordFile {
    type Target = File;

    fn deref(&self) -> &File {
        &self.0
    }
}

fn record_path(lock: &Path) -> PathBuf {
    let mut path = lock.as_os_str().to_owned();
    path.push(".pid");
    path.into()
}

/// What editors of the record lock, one at a time: nothing, since only one can have it open.
#[expect(clippy::unnecessary_wraps, reason = "same signature on every system")]
pub fn editors_queue_on(_path: &Path) -> io::Result<Option<File>> {
    Ok(None)
}

/// Reads from the start of a file until it ends or the buffer is full.
pub fn read_at_start(file: &File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.seek_read(&mut buffer[filled..], filled as u64)? {
            0 => break,
            n => filled += n,
        }
    }
    Ok(filled)
}

/// Writes over a file from some byte on.
pub fn write_at(file: &File, bytes: &[u8], start: usize) -> io::Result<()> {
    let mut written = 0;
    while written < bytes.len() {
        match file.seek_write(&bytes[written..], (start + written) as u64)? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            n => written += n,
        }
    }
    Ok(())
}

/// Appends to a file, which is made if need be, in one write.
pub fn append(path: &Path, line: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    match file.write(line)? {
        n if n == line.len() => Ok(()),
        _ => Err(io::Error::new(io::ErrorKind::WriteZero, "only a part of the line was written")),
    }
}

/// Nothing: a command does not inherit locks here, it ends with this process (see [`run`]).
#[expect(clippy::unnecessary_wraps, reason = "same signature on every system")]
pub fn make_inheritable(_file: &mut File) -> io::Result<()> {
    Ok(())
}

/// Whether standard error can be written to without waiting: taken for granted.
pub fn stderr_is_ready() -> bool {
    true
}

/// Whether a command of this name, as it stands, is found.
pub fn is_command(name: &std::ffi::OsStr) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(name).is_file())
}

/// Whether somebody may run a file; no permission forbids it.
#[must_use]
pub fn is_executable(_: &std::fs::Metadata) -> bool {
    true
}

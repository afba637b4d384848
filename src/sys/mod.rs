//! What differs between operating systems, behind the same signatures on each.
//!
//! The rest of gtlock calls only what is declared or re-exported here, and asks for no system. All `unsafe` code and each
//! `cfg` of a target stay in this directory. An operation that a system lacks returns an error or nothing there, and its
//! comment says so.

#[cfg(not(target_os = "linux"))]
mod elsewhere;
#[cfg(target_os = "linux")]
mod procfs;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use std::ffi::OsString;
use std::fmt::Debug;
use std::fs::File;
use std::io;
use std::time::Duration;

#[cfg(not(target_os = "linux"))]
pub use elsewhere::*;
#[cfg(target_os = "linux")]
pub use procfs::*;
#[cfg(unix)]
pub use unix::*;
#[cfg(windows)]
pub use windows::*;

#[cfg(not(any(unix, windows)))]
compile_error!("gtlock runs on Unix and on Windows");

/// Which file a file is: no two that exist at once on one machine have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId {
    /// `st_dev`, or the volume's serial number.
    pub device: u64,
    /// `st_ino`, or the file index.
    pub inode: u64,
}

/// How a lock is shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// Any number of holders at once, all of them shared: for readers.
    Shared,
    /// One holder and nobody else: for a writer.
    Exclusive,
}

/// What a descriptor of a process has to do with the file that it is open on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "nobody can see it"))]
pub enum Tie {
    /// It is open on it: every descriptor is, whatever else it has to do with it.
    Open,
    /// A flock is held through it.
    Lock {
        /// The process that took it, or 0 if that is unknown.
        taker: u32,
    },
    /// It has this place in the queue for the lock; the lowest is the first.
    Place(u64),
    /// It has this slot of the lock.
    Slot(u32),
}

/// Which bytes beside the content of a lock file stand for what, when they are locked: slots from here on, then seats,
/// then the places in the queue.
const FIRST_SLOT: u64 = 1 << 61;
const FIRST_SEAT: u64 = FIRST_SLOT + (1 << 60);

/// The byte of a slot. The bytes are apart: of two locks that touch the kernel makes one.
pub fn slot(number: u32) -> u64 {
    FIRST_SLOT + 2 * u64::from(number)
}

/// The byte of a seat in the waiting room.
pub fn seat(number: u32) -> u64 {
    FIRST_SEAT + 2 * u64::from(number)
}

/// The slot whose byte it is.
#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "nobody can see it"))]
fn slot_at(byte: u64) -> Option<u32> {
    (FIRST_SLOT..FIRST_SEAT).contains(&byte).then(|| u32::try_from((byte - FIRST_SLOT) / 2).ok())?
}

/// A line of the kernel's table of all locks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The process that took the lock or waits for it, or 0 if that is unknown.
    pub pid: u32,
    /// The file. On some file systems the table has another device for it than `stat` gives.
    pub file: FileId,
    /// What the process does.
    pub what: What,
}

/// What a process does in the kernel's table of all locks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "nobody can see it"))]
pub enum What {
    /// It has taken a flock.
    Holds,
    /// It waits for a flock.
    Waits,
    /// It has taken a place in the queue for a lock.
    Queues,
    /// It has taken a slot of a lock.
    Slots,
}

/// What gtlock asks of a file at a lock path.
#[derive(Clone, Copy, Debug)]
pub struct Stat {
    /// Which file it is.
    pub id: FileId,
    /// Whether it is a regular file, on Windows one without content, which no lock file has there.
    pub is_file: bool,
    /// How many names it has.
    pub links: u64,
    /// Whether it has content; on Windows whether the record beside it may have some.
    pub may_have_record: bool,
}

/// What to do about a file that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Make it.
    Make,
    /// Fail.
    Leave,
}

/// An entry of a directory.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its name in the directory.
    pub name: OsString,
    /// Whether it was a regular file when the directory was read.
    pub is_file: bool,
    /// Its inode number, where there is one: by and large the order in which the disk has the files.
    pub inode: u64,
}

/// What a lock file, or the record in it, is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// To be read.
    Read,
    /// To be changed.
    Write,
}

/// A command to run, and what differs for it from this process.
#[derive(Debug)]
pub struct Launch<'a> {
    /// Its words.
    pub command: &'a [OsString],
    /// The variables that are set in its environment: names and values.
    pub variables: &'a [(&'a str, OsString)],
    /// Descriptors that it does not get.
    #[cfg_attr(windows, expect(dead_code, reason = "there are no descriptors"))]
    pub close: &'a [i32],
    /// What it gets instead of this process's.
    pub streams: Streams,
    /// How long it may run.
    pub limit: Option<Limit>,
    /// What it runs under that may end before it does.
    #[cfg_attr(windows, expect(dead_code, reason = "there are no locks of a cluster"))]
    pub tether: Option<&'a dyn Tether>,
}

/// A lock with a deadline, which may be lost while the command runs.
#[cfg_attr(windows, expect(dead_code, reason = "there are no locks of a cluster"))]
pub trait Tether: Debug {
    /// Whether the command may start. It is called in the command's process, just before the start, and makes only system
    /// calls.
    fn may_start(&self) -> bool;

    /// Stops the command if that is due. Returns when to call it again.
    fn attend(&self) -> Duration;
}

/// How long a command may run, and how it is ended then.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// Then it is asked to end: by SIGTERM.
    pub max: Duration,
    /// So long after that it is made to: by SIGKILL.
    pub grace: Duration,
}

/// What somebody may want to know while a command runs.
#[derive(Debug)]
pub enum Event {
    /// It has run for as long as it may, and is ended.
    Overdue(Duration),
    /// A signal could not be passed on to it.
    NotPassedOn {
        /// The signal, by its name.
        signal: String,
        /// The command's process.
        process: u32,
        /// Why not.
        error: io::Error,
    },
}

/// Called with events while a command runs.
pub type OnEvent<'a> = &'a mut dyn FnMut(&Event);

/// Who may read a file that is being made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrecy {
    /// Those who may read any file that is made there.
    Usual,
    /// Nobody else.
    Private,
}

/// What a command gets in place of this process's standard input and output.
#[derive(Debug, Default)]
pub struct Streams {
    /// Its standard input.
    pub stdin: Option<File>,
    /// Its standard output.
    pub stdout: Option<File>,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It returned this code, by itself.
    Exited(i32),
    /// It returned this code after a signal that asks a process to end: what it was running may still run.
    Interrupted(i32),
    /// It ran for longer than it may, and was ended: what it was running may still run.
    Overdue,
    /// This signal killed it: what it was running may still run.
    Killed(i32),
    /// How is not known, nor whether it has: waiting for it failed with this error of the system.
    Unknown(i32),
}

impl Ended {
    /// Whether it may have been cut off in the middle of something that goes on without it.
    #[must_use]
    pub fn is_cut_off(self) -> bool {
        !matches!(self, Self::Exited(_))
    }
}

//! The command that runs under the locks: this very program, called once more.
//!
//! A writer of a file reads the number in it and writes the next one, in two halves with a pause between,
//! then a line to the file's log, at the end that it found when it came. What it intends and what it has
//! done goes into the ledger of its worker. A reader reads the file twice. The first thing either does is
//! to take a record lock of fcntl(2) on a third file, its witness, without waiting: a mechanism that has
//! nothing to do with flock(2), and whose lock the kernel drops with the process. To be refused it means
//! that somebody else is inside who must not be. (A command whose gtlock was killed holds the lock through
//! a descriptor above its own, so that when it dies the witness goes first.)

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use nix::sys::signal::{Signal, raise};
use nix::unistd::getppid;
use serde::{Deserialize, Serialize};

/// In whose environment there is a task, that process is the command.
pub const TASK: &str = "GTLOCK_STRESS_TASK";

/// Each half of a data file.
const HALF: usize = 21;

/// What the command is to do.
#[derive(Debug, Deserialize, Serialize)]
pub struct Task {
    /// Which operation this is; no two of a run have the same number.
    pub operation: u64,
    /// Where to write what is intended and done.
    pub ledger: PathBuf,
    pub writes: Vec<PathBuf>,
    pub reads: Vec<PathBuf>,
    /// How long to stay in the middle of each file, in microseconds.
    pub pause: u64,
    /// Of how many steps the last ends in SIGKILL.
    pub dies_after: Option<u32>,
    /// Whether gtlock is the parent, and nobody is going to kill it.
    pub has_parent: bool,
}

impl Task {
    /// Does it. To return is to have done all of it.
    pub fn run(mut self) {
        let writes = self.writes.iter().map(|data| (data.clone(), true));
        let mut locked: Vec<(PathBuf, bool)> =
            writes.chain(self.reads.iter().map(|data| (data.clone(), false))).collect();
        let witnesses: Vec<File> =
            locked.iter().map(|(data, is_writer)| self.witness(data, *is_writer)).collect();
        locked.retain(|(data, is_writer)| self.has_parent && self.recorded(data, *is_writer));
        for data in self.reads.clone() {
            self.read(&data);
        }
        for data in self.writes.clone() {
            self.write(&data);
        }
        for (data, is_writer) in locked {
            // Readers take away their own line only, and nobody else has been there.
            if !self.recorded(&data, is_writer) {
                self.violation(&data, "the holder's line has gone from the record");
            }
        }
        drop(witnesses);
    }

    fn witness(&self, data: &Path, is_writer: bool) -> File {
        let kind = if is_writer { libc::F_WRLCK } else { libc::F_RDLCK };
        let path = data.with_extension("witness");
        let file = File::options().create(true).truncate(false).read(true).write(true).open(path);
        let file = file.expect("a witness can be opened");
        let whole = libc::flock {
            l_type: kind.try_into().expect("it is small"),
            l_whence: libc::SEEK_SET.try_into().expect("it is small"),
            l_start: 0,
            l_len: 0,
            l_pid: 0,
        };
        match fcntl(&file, FcntlArg::F_SETLK(&whole)) {
            Ok(_) => file,
            Err(Errno::EACCES | Errno::EAGAIN) => self.violation(data, "somebody else is inside"),
            Err(e) => panic!("the witness: {e}"),
        }
    }

    /// Whether the record names the parent. A writer's does, and nobody else; a reader may be missing.
    fn recorded(&self, data: &Path, is_writer: bool) -> bool {
        let parent = getppid().to_string();
        let lock = crate::common::lock_file(data);
        // Another reader may be in the middle of changing it.
        for _ in 0..1000 {
            let record = fs::read_to_string(&lock).expect("a lock file that is held is there");
            let mut lines = record.lines().filter(|line| !line.is_empty());
            let is_named = if is_writer { lines.eq([&parent]) } else { lines.any(|line| line == parent) };
            if is_named {
                return true;
            }
            if is_writer {
                self.violation(data, &format!("the record names {record:?}, not {parent}"));
            }
            thread::sleep(Duration::from_micros(10));
        }
        self.note("unrecorded", data, 0);
        false
    }

    /// The two halves of a data file, which differ only if the writers of all numbers between them were
    /// killed: the accounts tell whether that is true.
    fn halves(&self, data: &Path) -> [u64; 2] {
        let [first, second] = numbers(data);
        if first < second {
            self.violation(data, &format!("torn: {first} and {second}"));
        }
        for number in second + 1..=first {
            self.note("torn", data, number);
        }
        [first, second]
    }

    fn read(&mut self, data: &Path) {
        let found = self.halves(data);
        self.pause();
        self.step();
        if numbers(data) != found {
            self.violation(data, &format!("{found:?} became {:?} under a reader", numbers(data)));
        }
    }

    fn write(&mut self, data: &Path) {
        let [first, _] = self.halves(data);
        // Half a number, written by somebody who was killed, counts: the next is one more.
        let number = first + 1;
        let log = File::options().create(true).truncate(false).write(true).open(data.with_extension("log"));
        let log = log.expect("a log can be opened");
        let end = log.metadata().expect("it is open").len();
        self.step();
        self.note("intent", data, number);
        self.step();
        let file = File::options().write(true).open(data).expect("the data is there");
        let half = format!("{number:020}\n");
        file.write_all_at(half.as_bytes(), 0).expect("it can be written");
        self.step();
        self.pause();
        self.step();
        file.write_all_at(half.as_bytes(), HALF as u64).expect("it can be written");
        self.step();
        let line = line(&format!("{number} {}", self.operation));
        log.write_all_at(line.as_bytes(), end).expect("it can be written");
        self.step();
        if numbers(data) != [number; 2] {
            self.violation(data, &format!("{number} became {:?} under its writer", numbers(data)));
        }
        self.note("done", data, number);
        self.step();
    }

    fn pause(&self) {
        thread::sleep(Duration::from_micros(self.pause));
    }

    fn step(&mut self) {
        match &mut self.dies_after {
            Some(1) => raise(Signal::SIGKILL).expect("anybody may kill themselves"),
            Some(left) => *left -= 1,
            None => {}
        }
    }

    /// Enters a line into the ledger, to stay there whatever happens next.
    fn note(&self, what: &str, data: &Path, number: u64) {
        let name = data.file_name().expect("a file").to_string_lossy();
        let mut ledger = File::options().create(true).append(true).open(&self.ledger).expect("a ledger");
        let line = line(&format!("{what} {} {name} {number}", self.operation));
        ledger.write_all(line.as_bytes()).and_then(|()| ledger.sync_data()).expect("it can be written");
    }

    fn violation(&self, data: &Path, what: &str) -> ! {
        let what = format!("operation {}: {}: {what}\n", self.operation, data.display());
        let seen = File::options().create(true).append(true).open(self.ledger.with_file_name(VIOLATIONS));
        seen.and_then(|mut file| file.write_all(what.as_bytes())).expect("it can be written");
        panic!("{what}");
    }
}

/// Where the command says that it was not alone; those who started it may be dead.
pub const VIOLATIONS: &str = "violations";

/// A line of the log or of a ledger. All are of one length, a part of a page: a write that goes over the edge
/// of a page is cut there by a signal that kills, one within a page is not.
fn line(text: &str) -> String {
    format!("{text:<63}\n")
}

/// A new data file.
pub fn create(data: &Path) -> io::Result<()> {
    fs::write(data, format!("{0:020}\n{0:020}\n", 0))
}

/// The two halves of a data file.
pub fn numbers(data: &Path) -> [u64; 2] {
    let text = fs::read_to_string(data).expect("the data is there");
    let halves: Vec<u64> = text.lines().map_while(|line| line.parse().ok()).collect();
    halves.try_into().unwrap_or_else(|_| panic!("two numbers, not {text:?}"))
}

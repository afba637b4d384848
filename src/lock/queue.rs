//! First come, first served: the queue in front of a lock.
//!
//! Flock alone keeps no order between readers and writers: readers that overlap keep a writer out for ever. So
//! whoever finds a lock held takes a place in a row in front of it, and whoever comes finds the row and joins it.
//!
//! A place is one byte of the lock file, far beyond its content, locked for as long as its owner waits
//! (`sys::places`). Its number is the owner's *ticket*, one more than the highest taken, and then its PID. Everyone
//! waits in the kernel for the place just ahead to be left. Whoever has no place ahead is the *head*, and waits for
//! the lock itself, alone. Once it has the lock it leaves its place, which wakes the next in line and nobody else:
//! readers follow each other in at once, a writer waits at the head for all of them.
//!
//! # Why it cannot get stuck
//!
//! The kernel drops a place with the open file that it is on, so a killed waiter's is gone; whoever waited for it looks
//! for the next place ahead. A wait that is interrupted keeps its place. Two things could still keep a waiter from a
//! lock that it could have, and from time to time it looks for them:
//!
//! - The head is stopped, or does not get on: the lock is free, but the head does not take it. Then everybody in line
//!   goes past it, one such place at a time.
//! - The line waits for a reader that waits, in turn, for a reader in the line, as in `reader | reader` with a writer
//!   between them, or inside a lock that the line waits for. So a reader that has waited for long joins those that
//!   hold the lock, if they are readers too.
//!
//! Only the order rests on any of this. The lock itself excludes whatever happens here: for a peer that does not know
//! of the queue, and on a system or a file system that has no such places, where everybody waits for the lock itself.

use std::fs::File;
use std::io;
use std::time::{Duration, Instant};

use super::{Mode, flock};
use crate::process::Processes;
use crate::sys::places::{self, TICKET};

/// How long a reader waits for its turn before it may join other readers.
const READER_PATIENCE: Duration = Duration::from_secs(10);

/// The same for one that runs inside a lock: the line may well wait for that one.
const NESTED_PATIENCE: Duration = Duration::from_millis(100);

/// How long the lock has to be free before its head is taken for stuck: far longer than it takes to wake up.
const STUCK_AFTER: Duration = Duration::from_secs(1);

/// Whether anybody is in line for the lock on a file.
pub fn has_line(file: &File) -> bool {
    places::taken(file, places::FIRST, places::END).is_ok_and(|place| place.is_some())
}

/// Where a waiter waits: what it does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It has the lock, and has left the line.
    Locked,
    /// It waits for this place ahead of it to be left.
    Ahead(u64),
    /// It is the head, and waits for the lock.
    Lock,
}

/// A waiter's turn at a lock.
#[derive(Debug)]
pub struct Turn<'a> {
    file: &'a File,
    mode: Mode,
    /// None where nobody can queue.
    place: Option<Place<'a>>,
    /// Places up to this one count as left.
    passed: u64,
    /// When a reader may join other readers.
    joins_at: Option<Instant>,
    /// The head at the last look, and since when the lock is known to be free and not taken by it.
    suspect: Option<(u64, Option<Instant>)>,
}

/// Whether a request runs inside a lock of its ancestors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inside {
    /// It does.
    Lock,
    /// It does not.
    Nothing,
}

impl<'a> Turn<'a> {
    /// Gets in line.
    pub fn in_line(file: &'a File, mode: Mode, inside: Inside) -> Self {
        let patience = if inside == Inside::Lock { NESTED_PATIENCE } else { READER_PATIENCE };
        let joins_at = (mode == Mode::Shared).then(|| Instant::now() + patience);
        Self { joins_at, place: Place::take(file).ok(), ..Self::without_line(file, mode) }
    }

    /// Waits for the lock itself.
    pub fn without_line(file: &'a File, mode: Mode) -> Self {
        Self { file, mode, place: None, passed: places::FIRST - 1, joins_at: None, suspect: None }
    }

    /// The file whose lock it is.
    pub fn file(&self) -> &'a File {
        self.file
    }

    /// The mode that is waited for.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// What to do next. Does not wait.
    pub fn next(&mut self) -> io::Result<Next> {
        while let Some(ahead) = self.ahead() {
            if self.joins_readers()? {
                return Ok(self.locked());
            }
            let head = self.lowest(ahead);
            if !self.is_stuck(head)? {
                return Ok(Next::Ahead(ahead));
            }
            self.passed = head;
        }
        Ok(if flock::try_lock(self.file, self.mode)? { self.locked() } else { Next::Lock })
    }

    /// Leaves the line: the next in it may go on.
    pub fn locked(&mut self) -> Next {
        self.place = None;
        Next::Locked
    }

    /// The nearest place ahead. Where that cannot be found out, nobody is waited for.
    fn ahead(&self) -> Option<u64> {
        let place = self.place.as_ref()?;
        highest(self.file, self.passed + 1, place.number).ok().flatten()
    }

    /// The place of the head, if some place up to `known` is taken.
    fn lowest(&self, known: u64) -> u64 {
        let mut lowest = known;
        while let Ok(Some(lower)) = places::taken(self.file, self.passed + 1, lowest) {
            lowest = lower;
        }
        lowest
    }

    fn joins_readers(&self) -> io::Result<bool> {
        let is_due = self.joins_at.is_some_and(|at| Instant::now() >= at);
        Ok(is_due && flock::try_lock(self.file, Mode::Shared)?)
    }

    /// Whether the head does not take a lock that is free. Where the line moves, it is not even asked.
    fn is_stuck(&mut self, head: u64) -> io::Result<bool> {
        let free_since = match self.suspect {
            Some((suspect, since)) if suspect == head => since,
            _ => {
                self.suspect = Some((head, None));
                return Ok(false);
            }
        };
        if !flock::try_lock(self.file, Mode::Exclusive)? {
            self.suspect = Some((head, None));
            return Ok(false);
        }
        flock::unlock(self.file)?;
        let now = Instant::now();
        let since = free_since.unwrap_or(now);
        self.suspect = Some((head, Some(since)));
        Ok(now - since >= STUCK_AFTER || is_stopped(head))
    }
}

/// Whether the owner of a place is stopped. Its PID may be that of another namespace: then another process is looked
/// at, and at worst somebody is passed by who only was slow.
fn is_stopped(place: u64) -> bool {
    places::owner(place).is_some_and(|pid| Processes::default().is_stopped(pid))
}

/// A place that is taken, until dropped.
#[derive(Debug)]
struct Place<'a> {
    number: u64,
    _taken: places::Taken<'a>,
}

impl<'a> Place<'a> {
    /// Takes the place behind all that are taken.
    fn take(file: &'a File) -> io::Result<Self> {
        loop {
            let last = highest(file, places::FIRST, places::END)?;
            let ticket = last.map_or(places::FIRST, |last| (last / TICKET + 1) * TICKET);
            let number = places::of_this_process(ticket);
            if let Some(taken) = places::take(file, number)? {
                return Ok(Self { number, _taken: taken });
            }
        }
    }
}

/// The highest place taken in `from..to`. In a long row it is found by asking about ever larger parts of it.
fn highest(file: &File, from: u64, mut to: u64) -> io::Result<Option<u64>> {
    let mut known = None;
    let mut step = TICKET;
    while let Some(found) = places::taken(file, known.map_or(from, |known| known + 1), to)? {
        let farther = found.saturating_add(step).min(to);
        if let Some(last) = places::taken(file, farther, to)? {
            (known, step) = (Some(last), step * 2);
        } else {
            (known, step, to) = (Some(found), TICKET, farther);
        }
    }
    Ok(known)
}

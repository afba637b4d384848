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
//! for the next place ahead. A wait that is interrupted keeps its place. Three things could still keep a waiter from a
//! lock that it could have, and from time to time it looks for them:
//!
//! - The head is stopped. Then everybody in line goes past it, one such place at a time.
//! - The head does not get on: the lock is free, but the head does not take it. It is passed by in the same way.
//! - A reader that holds the lock waits, in turn, for a reader in the line: for what that one prints, as in
//!   `reader | reader` with a writer between them, or for a lock that is held around it. So a reader that has waited
//!   for long joins those that hold the lock, if they are readers too. Where it is seen that somebody inside this lock
//!   waits for a lock around the reader, it joins them soon.
//!
//! # Slots
//!
//! A request for slots waits in line like any other. Only the head takes slots, all that it wants or none, so those
//! that are given back while it wants more stay free for it. It holds none meanwhile, nor the lock, and so is in
//! nobody's way if it is stopped. It waits in the kernel for each slot that somebody has: every release, and every end
//! of a holder, wakes it to look again, and when all have been given back it has what it wants. Those behind it wait,
//! also while there are slots enough for them, since it would never get several otherwise. They go past it only as
//! above: if it is stopped, or if nobody holds the lock and it does not take it either. So slots may be idle while a
//! head that runs and does not get on (frozen, say) stands before them, but no longer than somebody holds one. They
//! join nobody, however long they wait: a build takes longer than any patience. Only inside this same lock they do,
//! since what is held around them is not given back before they get on.
//!
//! Only the order rests on any of this. The lock itself excludes whatever happens here: for a peer that does not know
//! of the queue, and on a system or a file system that has no such places, where everybody waits for the lock itself.

use std::fs::File;
use std::io;
use std::time::{Duration, Instant};

use super::line::{self, Place};
use super::request::Claim;
use super::slots::{Attempt, Taken};
use super::{Mode, flock, nested, waits};
use crate::sys::{self, places};

/// How long a reader waits for its turn before it may join other readers.
const READER_PATIENCE: Duration = Duration::from_secs(10);

/// The same for one inside a lock that a holder of this lock waits for.
const NESTED_PATIENCE: Duration = Duration::from_millis(100);

/// How long the lock has to be free before its head is taken for stuck: far longer than it takes to wake up.
const STUCK_AFTER: Duration = Duration::from_secs(1);

/// Where a waiter waits: what it does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It has the lock, and has left the line.
    Locked,
    /// It waits for this place ahead of it to be left.
    Ahead(u64),
    /// It is the head, and waits for the lock.
    Lock,
    /// It is the head, and waits for one of its slots.
    Slot,
}

/// A waiter's turn at a lock.
#[derive(Debug)]
pub struct Turn<'a> {
    file: &'a File,
    claim: Claim,
    /// The slots that it has got with the lock.
    taken: Taken,
    /// None where nobody can queue.
    place: Option<Place<'a>>,
    /// Places up to this one count as left.
    passed: u64,
    /// Whether it may join those that hold the lock.
    joins: Option<Joins>,
    /// The head at the last look, and since when the lock is known to be free and not taken by it.
    suspect: Option<(u64, Option<Instant>)>,
}

impl<'a> Turn<'a> {
    /// Gets in line. A request inside this same lock stands behind some who wait for what is held around it.
    pub fn in_line(file: &'a File, claim: Claim, is_inside: bool) -> Self {
        let joins = match (claim.mode, claim.slots) {
            (Mode::Shared, None) => Some(Joins { since: Instant::now(), is_inside }),
            (Mode::Shared, Some(_)) if is_inside => Some(Joins { since: Instant::now(), is_inside }),
            _ => None,
        };
        Self { joins, place: Place::take(file).ok(), ..Self::without_line(file, claim) }
    }

    /// Waits for the lock itself.
    pub fn without_line(file: &'a File, claim: Claim) -> Self {
        let (taken, passed) = (Taken::default(), places::FIRST - 1);
        Self { file, claim, taken, place: None, passed, joins: None, suspect: None }
    }

    /// The file whose lock it is.
    pub fn file(&self) -> &'a File {
        self.file
    }

    /// What is waited for.
    pub fn claim(&self) -> Claim {
        self.claim
    }

    /// The slots that it has got with the lock.
    pub fn into_taken(self) -> Taken {
        self.taken
    }

    /// Gives the lock back, and its slots.
    pub fn give_back(mut self) -> io::Result<()> {
        self.taken.give_back(self.file);
        flock::unlock(self.file)
    }

    /// What to do next. Does not wait.
    pub fn next(&mut self) -> io::Result<Next> {
        let mut has_passed = false;
        while let Some(ahead) = self.ahead() {
            if let Some(Attempt::Held(taken)) = self.join_readers()? {
                return Ok(self.locked(taken));
            }
            let head = line::lowest(self.file, self.passed + 1, ahead);
            // Behind one that is stopped there are often more, as of a whole job: each is passed at once.
            let is_passed = (has_passed && line::has_stopped(head)) || self.is_stuck(head)?;
            if !is_passed {
                return Ok(Next::Ahead(ahead));
            }
            (self.passed, has_passed) = (head, true);
        }
        let attempt = self.claim.try_on(self.file)?;
        Ok(self.after(attempt))
    }

    /// What to do next with the lock, which the head has waited for: to leave the line, unless it lacks slots.
    pub fn got_lock(&mut self) -> io::Result<Next> {
        let attempt = self.claim.with_slots(self.file)?;
        Ok(self.after(attempt))
    }

    /// Waits for one of the slots that somebody has, as the head.
    pub fn wait_for_slot(&self) -> io::Result<()> {
        self.claim.slots.map_or(Ok(()), |slots| slots.wait_for_one(self.file))
    }

    fn after(&mut self, attempt: Attempt) -> Next {
        match attempt {
            Attempt::Held(taken) => self.locked(taken),
            Attempt::Locked => Next::Lock,
            Attempt::Full => Next::Slot,
        }
    }

    /// Leaves the line: the next in it may go on.
    fn locked(&mut self, taken: Taken) -> Next {
        self.taken = taken;
        self.place = None;
        Next::Locked
    }

    /// The nearest place ahead. Where that cannot be found out, nobody is waited for.
    fn ahead(&self) -> Option<u64> {
        let place = self.place.as_ref()?;
        line::highest(self.file, self.passed + 1, place.number).ok().flatten()
    }

    fn join_readers(&self) -> io::Result<Option<Attempt>> {
        let is_due = self.joins.is_some_and(|joins| joins.is_due(self.file));
        is_due.then(|| self.claim.try_on(self.file)).transpose()
    }

    /// Whether the head is stopped, or does not take a lock that is free. Where the line moves, it is not even asked.
    fn is_stuck(&mut self, head: u64) -> io::Result<bool> {
        let free_since = match self.suspect {
            Some((suspect, since)) if suspect == head => since,
            _ => {
                self.suspect = Some((head, None));
                return Ok(false);
            }
        };
        if line::has_stopped(head) {
            return Ok(true);
        }
        let is_free = flock::try_lock(self.file, Mode::Exclusive)?;
        if is_free {
            flock::unlock(self.file)?;
        }
        let now = Instant::now();
        let since = is_free.then(|| free_since.unwrap_or(now));
        self.suspect = Some((head, since));
        Ok(since.is_some_and(|since| now - since >= STUCK_AFTER))
    }
}

/// When a waiter joins those that hold the lock, past the line.
#[derive(Clone, Copy, Debug)]
struct Joins {
    /// Since when it waits.
    since: Instant,
    /// Whether the lock is held around it.
    is_inside: bool,
}

impl Joins {
    fn is_due(&self, file: &File) -> bool {
        let waited = self.since.elapsed();
        let is_awaited =
            || nested::is_inside() && sys::stat(file).is_ok_and(|stat| waits::is_awaited_inside(stat.id));
        waited >= READER_PATIENCE || waited >= NESTED_PATIENCE && (self.is_inside || is_awaited())
    }
}

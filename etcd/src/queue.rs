//! From a request to its locks: a lease, a place in all queues at once, and the wait for the requests before it.
//!
//! ```text
//! lease --> keys in all queues --> who is before us? --nobody--> records of holders that are gone?
//!   ^                                |        ^                      | no        | yes: their delay
//!   |                     the youngest one    |                      v           v
//!   +---- our keys are gone <--- watch it ----+               time left? ------> held
//! ```
//!
//! All keys of one transaction have one revision, so requests for several locks have one order everywhere, and no two
//! requests wait for each other.

use std::ffi::{OsStr, OsString};
use std::thread;
use std::time::Duration;

use gtlock::lock::Wait;

use crate::claim::{Ahead, Entered, Read};
use crate::fault::Fault;
use crate::record::Pair;
use crate::session::{Session, State, Stop};
use crate::sys;
use crate::talk::Said;
use crate::watch::{Watch, Watched};
use crate::who::Holders;

/// How long etcd may be out of reach before that is an error. A waiter that has its place waits longer.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a wait lasts before it is reported, as with the locks of this machine.
const BEFORE_WORDS: Duration = Duration::from_secs(2);

/// The longest watch. The look after it finds what the watch may have missed.
const MAX_WATCH: Duration = Duration::from_secs(10);

/// The pause between two attempts to reach an etcd that is out of reach.
const PAUSE: Duration = Duration::from_millis(50);

/// The pause between two looks at the clock, in a wait for a renewal.
const GLANCE: Duration = Duration::from_millis(10);

/// The outcome of a request.
pub enum Outcome<'a> {
    /// The locks are held. After a wait, the stream that watches the own keys goes on.
    Held(State, Option<Watch<'a>>),
    /// The locks are free: the answer to `try` without a command.
    Free,
    /// Another request holds this lock, or is before us.
    Busy(OsString),
    /// The same, until the end of `--timeout`.
    TimedOut(OsString),
    /// A gtlock that this process runs under holds this lock: the wait would never end.
    AlreadyLocked(OsString),
}

/// A request that waits.
pub struct Queue<'a> {
    session: &'a Session,
    started: Duration,
    /// When to report the wait; `None` once that is done.
    words_at: Option<Duration>,
    /// The locks whose holders were logged.
    behind: Vec<OsString>,
}

impl<'a> Queue<'a> {
    pub fn new(session: &'a Session) -> Self {
        let started = sys::now();
        let asked = &session.asked;
        let words_at = match (asked.is_quiet, asked.is_verbose) {
            (true, _) => None,
            (false, true) => Some(started),
            (false, false) => Some(started + BEFORE_WORDS),
        };
        Self { session, started, words_at, behind: Vec::new() }
    }

    /// Takes the locks, all or none.
    pub fn acquire(mut self) -> Result<Outcome<'a>, Stop> {
        if !self.session.asked.has_command {
            let busy = self.session.ask(self.until(PATIENCE))?;
            return Ok(busy.map_or(Outcome::Free, Outcome::Busy));
        }
        loop {
            self.session.grant(self.until(PATIENCE))?;
            // Without an outcome the lease has ended: start again, at the end of the queue.
            match self.attempt() {
                Ok(Some(outcome)) => return Ok(outcome),
                Err(e) if !e.is_end_of_lease() => return Err(e),
                Ok(None) | Err(_) => {}
            }
        }
    }

    /// Takes the locks under one lease; `None` if the lease has ended.
    fn attempt(&mut self) -> Result<Option<Outcome<'a>>, Stop> {
        match self.session.enter(self.until(PATIENCE))? {
            Entered::Busy(lock) => Ok(Some(Outcome::Busy(lock))),
            Entered::First(orphans) => self.go(&orphans, None),
            Entered::Queued => self.wait(),
        }
    }

    /// How long to try: no longer than the deadline.
    fn until(&self, patience: Duration) -> Duration {
        let until = sys::now() + patience;
        self.deadline().map_or(until, |deadline| until.min(deadline))
    }

    fn deadline(&self) -> Option<Duration> {
        match self.session.asked.wait {
            Wait::For(time) => Some(self.started + time),
            Wait::Forever | Wait::Never => None,
        }
    }

    /// Waits for the requests before us. `None` if the own keys are gone.
    fn wait(&mut self) -> Result<Option<Outcome<'a>>, Stop> {
        let mut watch = None;
        loop {
            let ahead = match self.session.look(Read::Linearizable, self.until(PATIENCE)) {
                Ok(Some(ahead)) => ahead,
                Ok(None) => return Ok(None),
                Err(Stop::Fault(Fault::Unreachable(errors))) => {
                    if self.deadline().is_some_and(|deadline| sys::now() >= deadline) {
                        return Err(Fault::Unreachable(errors).into());
                    }
                    self.sleep(PAUSE)?;
                    continue; // keep the place in the queue: etcd may come back
                }
                Err(e) => return Err(e),
            };
            let Some((name, key)) = ahead.blocker else {
                return self.go(&ahead.orphans, watch);
            };
            if let Ok(Some(name)) = self.session.held_around(self.until(PATIENCE)) {
                return Ok(Some(Outcome::AlreadyLocked(name)));
            }
            if self.deadline().is_some_and(|deadline| sys::now() >= deadline) {
                return Ok(Some(Outcome::TimedOut(name)));
            }
            self.say_whom(&name);
            let limit = [self.deadline(), self.words_at].into_iter().flatten().min();
            let limit = limit.map_or(MAX_WATCH, |at| at.saturating_sub(sys::now()).min(MAX_WATCH));
            // The own keys too, so that they are watched from the moment at which the lock is held.
            let mut keys = self.session.places(self.session.state().lease);
            keys.push(key);
            watch = Watch::open(&self.session.client, &keys, ahead.next, limit.max(GLANCE));
            self.session.warn();
            match watch.as_mut().map(Watch::next) {
                Some(Watched::Deleted(_)) => {
                    // Ask the server that has seen the deletion: a round trip less than asking a majority.
                    let look = self.session.look(Read::Local, self.until(PATIENCE));
                    if let Ok(Some(Ahead { blocker: None, orphans, .. })) = look {
                        return self.go(&orphans, watch);
                    }
                }
                Some(Watched::Ended) => {
                    watch = None;
                    if self.session.is_over() {
                        return Err(Stop::Over);
                    }
                }
                None => self.sleep(PAUSE)?,
            }
        }
    }

    /// Nobody is before us. Waits until the commands of holders that are gone must have ended, and until our deadline leaves
    /// time to stop a command.
    fn go(&self, orphans: &[Pair], watch: Option<Watch<'a>>) -> Result<Option<Outcome<'a>>, Stop> {
        if let Some(delay) = orphans.iter().map(|orphan| orphan.record().delay()).max() {
            self.say_delay(orphans, delay);
            let deadline = self.deadline().filter(|deadline| *deadline < sys::now() + delay);
            self.sleep(deadline.map_or(delay, |deadline| deadline.saturating_sub(sys::now())))?;
            if deadline.is_some() {
                return Ok(Some(Outcome::TimedOut(self.name_of(orphans))));
            }
        }
        if !orphans.is_empty() && !self.session.succeed(orphans)? {
            return Ok(None);
        }
        let until = self.session.leash.deadline() + PATIENCE;
        while !self.session.leash.has_time() {
            if sys::now() > until {
                return Ok(None);
            }
            self.sleep(GLANCE)?;
        }
        Ok(Some(Outcome::Held(self.session.hold()?, watch)))
    }

    fn sleep(&self, time: Duration) -> Result<(), Stop> {
        let until = sys::now() + time;
        while sys::now() < until {
            if self.session.is_over() {
                return Err(Stop::Over);
            }
            thread::sleep(until.saturating_sub(sys::now()).min(GLANCE));
        }
        Ok(())
    }

    fn name_of(&self, orphans: &[Pair]) -> OsString {
        let keys = &self.session.asked.keys;
        orphans.iter().find_map(|orphan| keys.read_record(&orphan.key)).unwrap_or_default().0
    }

    fn say_whom(&mut self, name: &OsStr) {
        if self.session.asked.is_logged && !self.behind.iter().any(|known| known == name) {
            self.behind.push(name.to_owned());
            let holder = Holders::of(self.session, name).first();
            self.session.speaker.say(&Said::Behind { name: name.as_encoded_bytes().to_vec(), holder });
        }
        if self.words_at.is_some_and(|at| sys::now() >= at) {
            self.words_at = None;
            let who = Holders::of(self.session, name).to_string();
            self.session.speaker.say(&Said::Waits { name: name.as_encoded_bytes().to_vec(), who });
        }
    }

    fn say_delay(&self, orphans: &[Pair], delay: Duration) {
        let name = self.name_of(orphans).into_encoded_bytes();
        let millis = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        self.session.speaker.say(&Said::Delays { name, millis });
    }
}

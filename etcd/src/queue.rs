//! The way from a request to its locks: a lease, a place in every queue at once, and the wait for those before it.
//!
//! ```text
//! lease --> places, and records if nobody is before us --> who is before us? --nobody--> records that nobody answers for?
//!   ^                                                        |        ^                    | no        | their delay
//!   |                                                   the last one  |                    v           v
//!   +------------------- our keys are gone <--------- watch its end --+             time left? ------> held
//! ```
//!
//! All keys of one transaction have one revision, so that several locks are queued for in one order everywhere: nobody
//! waits for somebody who waits for them.

use std::ffi::{OsStr, OsString};
use std::thread;
use std::time::Duration;

use gtlock::lock::{Mode, Wait};
use serde_json::{Value, json};

use crate::client::Fault;
use crate::record::{Pair, millis_now, number};
use crate::session::{Session, State, Stop};
use crate::talk::Said;
use crate::watch::{self, Watched};
use crate::who::Holders;
use crate::{held, sys, txn};

/// How long etcd may be out of reach before that is an error, where nothing has been asked yet.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long to wait before people are told, as with the locks of this machine.
const BEFORE_WORDS: Duration = Duration::from_secs(2);

/// The longest watch: whatever it may have missed is found then.
const MAX_WATCH: Duration = Duration::from_secs(10);

/// Between two attempts to reach an etcd that is out of reach.
const PAUSE: Duration = Duration::from_millis(50);

/// Between two looks at the clock while a renewal is awaited.
const GLANCE: Duration = Duration::from_millis(10);

/// What comes of a request.
pub enum Outcome {
    /// The locks are held.
    Held(State),
    /// They could be taken.
    Free,
    /// Somebody else has this one, or is before us.
    Busy(OsString),
    /// And went on having it for as long as we wait.
    TimedOut(OsString),
    /// It is held around this process, which would wait for itself.
    AlreadyLocked(OsString),
}

/// What comes of the attempt to get into the queues.
enum Entered {
    /// Nobody is before us, but these are records that nobody answers for. Our own are written.
    First(Vec<Pair>),
    /// We have a place.
    Queued,
    /// We do not want one, since this lock is not free.
    Busy(OsString),
}

/// What there is between us and the locks.
struct Ahead {
    /// The last one before us, in the queue for a lock.
    blocker: Option<(OsString, Vec<u8>)>,
    /// What nobody answers for any more.
    orphans: Vec<Pair>,
    has_records: bool,
    /// The first revision that was not seen.
    next: i64,
}

/// A request on its way.
pub struct Queue<'a> {
    session: &'a Session,
    started: Duration,
    /// When people are told about the wait, unless they were.
    words_at: Option<Duration>,
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
        Self { session, started, words_at }
    }

    /// Takes the locks, all or none.
    pub fn acquire(mut self) -> Result<Outcome, Stop> {
        if !self.session.asked.has_command {
            return self.ask();
        }
        loop {
            self.session.grant(self.until(PATIENCE))?;
            let outcome = match self.enter()? {
                Entered::Busy(lock) => Some(Outcome::Busy(lock)),
                Entered::First(orphans) => self.go(&orphans, true)?,
                Entered::Queued => self.wait()?,
            };
            // Without an outcome the lease has ended: begin again, at the end of the queue.
            if let Some(outcome) = outcome {
                return Ok(outcome);
            }
        }
    }

    /// Until when to try something.
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

    /// Whether nobody is before us, as far as a comparison can tell.
    fn is_free(&self) -> Vec<Value> {
        let locks = self.session.asked.locks.iter();
        locks.map(|(name, mode)| txn::none_below(&self.session.asked.blockers(name, *mode))).collect()
    }

    /// Answers the question whether the locks could be taken.
    fn ask(&self) -> Result<Outcome, Stop> {
        let asked = &self.session.asked;
        let reads: Vec<_> =
            asked.locks.iter().map(|(name, _)| txn::all_below(&asked.keys.queue(name))).collect();
        let body = json!({ "compare": self.is_free(), "success": reads, "failure": reads });
        let answer = self.session.client.call("/v3/kv/txn", &body, self.until(PATIENCE))?;
        Ok(match self.busy_in(&answer) {
            _ if answer["succeeded"] == true => Outcome::Free,
            busy => Outcome::Busy(busy),
        })
    }

    /// The lock that is not free, by an answer that has the queue of each.
    fn busy_in(&self, answer: &Value) -> OsString {
        let asked = &self.session.asked;
        let mut locks = asked.locks.iter().enumerate();
        let busy = locks.find(|(at, (name, mode))| {
            let blockers = asked.blockers(name, *mode);
            let queue = Pair::all(&answer["responses"][at]["response_range"]);
            queue.iter().any(|pair| pair.key.starts_with(&blockers))
        });
        busy.map_or_else(|| asked.locks[0].0.clone(), |(_, (name, _))| name.clone())
    }

    /// Puts the own keys into all queues, or into none if it is not to wait and a lock is not free. It may be asked for
    /// again, after an answer that got lost.
    fn enter(&self) -> Result<Entered, Stop> {
        let asked = &self.session.asked;
        self.session.write(|state| {
            let places = self.session.places(state.lease);
            let puts: Vec<_> = places
                .iter()
                .zip(&asked.locks)
                .map(|(key, (_, mode))| txn::put(key, &asked.record.with_mode(*mode).write(), state.lease))
                .collect();
            let records = asked.locks.iter().map(|(name, _)| txn::all_below(&asked.keys.records_of(name)));
            let own = txn::get(&places[0]);
            let free = [records.collect(), self.records(*state), puts.clone(), vec![own.clone()]].concat();
            let mut taken: Vec<_> =
                asked.locks.iter().map(|(name, _)| txn::all_below(&asked.keys.queue(name))).collect();
            if asked.wait != Wait::Never {
                taken = vec![txn::nested(&[txn::created_in(&places[0], 0)], &puts, &[])];
            }
            taken.push(own);
            let body = json!({ "compare": self.is_free(), "success": free, "failure": taken });
            let answer = self.session.client.call("/v3/kv/txn", &body, self.until(PATIENCE))?;
            let own = answer["responses"].as_array().and_then(|responses| responses.last()).cloned();
            let own = Pair::all(&own.unwrap_or_default()["response_range"]);
            match own.first() {
                Some(own) => state.revision = own.created,
                None if asked.wait == Wait::Never => return Ok(Entered::Busy(self.busy_in(&answer))),
                None => return Ok(Entered::Queued), // and out again: the wait finds that
            }
            Ok(if answer["succeeded"] == true {
                Entered::First(
                    self.orphans(*state, |at| Pair::all(&answer["responses"][at]["response_range"])),
                )
            } else {
                Entered::Queued
            })
        })
    }

    /// Writes the own records.
    fn records(&self, state: State) -> Vec<Value> {
        let asked = &self.session.asked;
        let records = self.session.records(state.lease).into_iter().zip(&asked.locks);
        let put = records.map(|(key, (_, mode))| {
            let mut record = asked.record.with_mode(*mode);
            record.since = Some(millis_now());
            record.delay_ms = u64::try_from(self.session.leash.delay().as_millis()).unwrap_or(u64::MAX);
            record.fence = (state.revision != 0).then_some(state.revision);
            txn::put(&key, &record.write(), 0)
        });
        put.collect()
    }

    /// Waits for those before us. `None` if the own keys are gone.
    fn wait(&mut self) -> Result<Option<Outcome>, Stop> {
        loop {
            let ahead = match self.look() {
                Ok(Some(ahead)) => ahead,
                Ok(None) => return Ok(None),
                Err(Stop::Fault(Fault::Unreachable(errors))) => {
                    if self.deadline().is_some_and(|deadline| sys::now() >= deadline) {
                        return Err(Fault::Unreachable(errors).into());
                    }
                    self.sleep(PAUSE)?;
                    continue; // a place in the queue is worth the wait for an etcd that comes back
                }
                Err(e) => return Err(e),
            };
            let Some((name, key)) = ahead.blocker else {
                return self.go(&ahead.orphans, ahead.has_records);
            };
            if held::is_around(&self.session.asked.keys, &key) {
                return Ok(Some(Outcome::AlreadyLocked(name)));
            }
            if self.deadline().is_some_and(|deadline| sys::now() >= deadline) {
                return Ok(Some(Outcome::TimedOut(name)));
            }
            self.say_whom(&name);
            let limit = [self.deadline(), self.words_at].into_iter().flatten().min();
            let limit = limit.map_or(MAX_WATCH, |at| at.saturating_sub(sys::now()).min(MAX_WATCH));
            let client = &self.session.client;
            if watch::for_end_of(client, &key, ahead.next, limit.max(GLANCE)) == Watched::Ended
                && self.session.is_over()
            {
                return Err(Stop::Over);
            }
        }
    }

    /// Looks who is before us, and writes the own records if nobody is. `None` if the own keys are gone.
    fn look(&self) -> Result<Option<Ahead>, Stop> {
        let asked = &self.session.asked;
        self.session.write(|state| {
            let own = self.session.are_own(*state);
            let reads: Vec<_> = asked
                .locks
                .iter()
                .flat_map(|(name, mode)| {
                    let last = txn::youngest_before(&asked.blockers(name, *mode), state.revision);
                    [last, txn::all_below(&asked.keys.records_of(name))]
                })
                .collect();
            // A comparison cannot tell of a reader whether all writers are younger, only whether there is none.
            let first = asked.locks.iter().map(|(name, mode)| match mode {
                Mode::Exclusive => txn::all_since(&asked.blockers(name, *mode), state.revision),
                Mode::Shared => txn::none_below(&asked.blockers(name, *mode)),
            });
            let first: Vec<_> = own.iter().cloned().chain(first).collect();
            let claim = [reads.clone(), self.records(*state)].concat();
            let otherwise = [txn::nested(&own, &reads, &[])];
            let body = json!({ "compare": first, "success": claim, "failure": otherwise });
            let answer = self.session.client.call("/v3/kv/txn", &body, sys::now())?;
            let has_records = answer["succeeded"] == true;
            let responses = if has_records {
                &answer["responses"]
            } else {
                let nested = &answer["responses"][0]["response_txn"];
                if nested["succeeded"] != true {
                    return Ok(None);
                }
                &nested["responses"]
            };
            let mut ahead = Ahead {
                blocker: None,
                orphans: Vec::new(),
                has_records,
                next: number(&answer["header"]["revision"]) + 1,
            };
            let range = |at: usize| Pair::all(&responses[at]["response_range"]);
            let mut locks = asked.locks.iter().enumerate();
            ahead.blocker = locks.find_map(|(at, (name, _))| Some((name.clone(), range(2 * at).pop()?.key)));
            ahead.orphans = self.orphans(*state, |at| range(2 * at + 1));
            Ok(Some(ahead))
        })
    }

    /// The records that a command may still run for which is not beside ours. Where nobody is before us, nobody else
    /// answers for them. `records` has those of each lock.
    fn orphans(&self, state: State, records: impl Fn(usize) -> Vec<Pair>) -> Vec<Pair> {
        let own = self.session.records(state.lease);
        let mut orphans = Vec::new();
        for (at, (_, mode)) in self.session.asked.locks.iter().enumerate() {
            let others = records(at).into_iter().filter(|pair| !own.contains(&pair.key));
            orphans.extend(others.filter(|pair| *mode == Mode::Exclusive || pair.record().is_exclusive()));
        }
        orphans
    }

    /// Nobody is before us: waits until no command of those that were can run any more, and until there is time for ours.
    fn go(&self, orphans: &[Pair], has_records: bool) -> Result<Option<Outcome>, Stop> {
        if let Some(delay) = orphans.iter().map(|orphan| orphan.record().delay()).max() {
            self.say_delay(orphans, delay);
            let deadline = self.deadline().filter(|deadline| *deadline < sys::now() + delay);
            self.sleep(deadline.map_or(delay, |deadline| deadline.saturating_sub(sys::now())))?;
            if deadline.is_some() {
                return Ok(Some(Outcome::TimedOut(self.name_of(orphans))));
            }
        }
        if !orphans.is_empty() || !has_records {
            let is_own = self.session.write(|state| {
                let deletions = orphans.iter().map(|orphan| txn::delete(&orphan.key));
                let all: Vec<_> = deletions.chain(self.records(*state)).collect();
                let body = json!({ "compare": self.session.are_own(*state), "success": all });
                let answer =
                    self.session.client.call("/v3/kv/txn", &body, sys::now() + self.session.asked.ttl)?;
                Ok(answer["succeeded"] == true)
            })?;
            if !is_own {
                return Ok(None);
            }
        }
        let until = self.session.leash.deadline() + PATIENCE;
        while !self.session.leash.has_time() {
            if sys::now() > until {
                return Ok(None);
            }
            self.sleep(GLANCE)?;
        }
        Ok(Some(Outcome::Held(self.session.hold()?)))
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

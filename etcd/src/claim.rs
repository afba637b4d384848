//! The transactions that enter the queues, and that look who is before us.

use std::ffi::OsString;
use std::time::Duration;

use gtlock::lock::{Mode, Wait};
use serde_json::{Value, json};

use crate::record::{Pair, millis_now, number};
use crate::session::{Session, State, Stop};
use crate::{held, sys, txn};

/// The outcome of an attempt to enter the queues.
pub enum Entered {
    /// Nobody is before us. These are the records of holders that are gone.
    First(Vec<Pair>),
    /// We have a place in each queue, and others are before us.
    Queued,
    /// This lock is not free, and the request does not wait.
    Busy(OsString),
}

/// How to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// From one server, which may lag behind the others. If it shows nobody before us that is true, and stays true: nobody
    /// can get before us later.
    Local,
    /// Confirmed by a majority.
    Linearizable,
}

/// What is between us and the locks.
pub struct Ahead {
    /// The youngest request before us, and its lock.
    pub blocker: Option<(OsString, Vec<u8>)>,
    /// The records of holders that are gone.
    pub orphans: Vec<Pair>,
    /// The revision after this look.
    pub next: i64,
}

impl Session {
    /// Compares whether all queues are free for us.
    fn is_free(&self) -> Vec<Value> {
        let locks = self.asked.locks.iter();
        locks.map(|(name, mode)| txn::none_below(&self.asked.blockers(name, *mode))).collect()
    }

    /// Returns a lock that is not free, if there is one.
    pub fn ask(&self, until: Duration) -> Result<Option<OsString>, Stop> {
        let asked = &self.asked;
        let reads: Vec<_> =
            asked.locks.iter().map(|(name, _)| txn::all_below(&asked.keys.queue(name))).collect();
        let body = json!({ "compare": self.is_free(), "success": reads, "failure": reads });
        let answer = self.client.call("/v3/kv/txn", &body, until)?;
        Ok((answer["succeeded"] != true).then(|| self.busy_in(&answer)))
    }

    /// The lock that is not free, from an answer with the queue of each lock.
    fn busy_in(&self, answer: &Value) -> OsString {
        let asked = &self.asked;
        let mut locks = asked.locks.iter().enumerate();
        let busy = locks.find(|(at, (name, mode))| {
            let blockers = asked.blockers(name, *mode);
            let queue = Pair::all(&answer["responses"][at]["response_range"]);
            queue.iter().any(|pair| pair.key.starts_with(&blockers))
        });
        busy.map_or_else(|| asked.locks[0].0.clone(), |(_, (name, _))| name.clone())
    }

    /// Puts the own keys into all queues, or into none if a lock is not free and the request does not wait. The records are
    /// written with them, so that a hand-off writes nothing. It is safe to repeat after a lost answer.
    pub fn enter(&self, until: Duration) -> Result<Entered, Stop> {
        let asked = &self.asked;
        self.write(|state| {
            let places = self.places(state.lease);
            let places_of = places.iter().zip(&asked.locks);
            let puts = places_of
                .map(|(key, (_, mode))| txn::put(key, &asked.record.with_mode(*mode).write(), state.lease));
            let puts: Vec<_> = puts.collect();
            let records = asked.locks.iter().map(|(name, _)| txn::all_below(&asked.keys.records_of(name)));
            let running = self.own_records(*state, Some(millis_now()));
            let own = txn::get(&places[0]);
            let free = [records.collect(), running, puts.clone(), vec![own.clone()]].concat();
            let mut taken: Vec<_> =
                asked.locks.iter().map(|(name, _)| txn::all_below(&asked.keys.queue(name))).collect();
            if asked.wait != Wait::Never {
                let puts = [puts, self.own_records(*state, None)].concat();
                taken = vec![txn::nested(&[txn::created_in(&places[0], 0)], &puts, &[])];
            }
            taken.push(own);
            let body = json!({ "compare": self.is_free(), "success": free, "failure": taken });
            let answer = self.client.call("/v3/kv/txn", &body, until)?;
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

    /// The requests that write the own records. `since` is the start of the command, if it has started.
    fn own_records(&self, state: State, since: Option<u64>) -> Vec<Value> {
        let records = self.record_keys(state.lease).into_iter().zip(&self.asked.locks);
        let put = records.map(|(key, (_, mode))| {
            let mut record = self.asked.record.with_mode(*mode);
            record.since = since;
            record.delay_ms = u64::try_from(self.leash.delay().as_millis()).unwrap_or(u64::MAX);
            txn::put(&key, &record.write(), 0)
        });
        put.collect()
    }

    /// Looks who is before us. `None` if the own keys are gone, or if a server that was asked alone does not know them yet.
    pub fn look(&self, read: Read, until: Duration) -> Result<Option<Ahead>, Stop> {
        let state = self.state();
        let reads = self.asked.locks.iter().flat_map(|(name, mode)| {
            let last = txn::youngest_before(&self.asked.blockers(name, *mode), state.revision);
            [last, txn::all_before(&self.asked.keys.records_of(name), state.revision)]
        });
        let reads = reads.map(|mut get| {
            get["request_range"]["serializable"] = (read == Read::Local).into();
            get
        });
        let body = json!({ "compare": self.are_own(state), "success": reads.collect::<Vec<_>>() });
        let answer = self.client.call("/v3/kv/txn", &body, until)?;
        if answer["succeeded"] != true {
            return Ok(None);
        }
        let range = |at: usize| Pair::all(&answer["responses"][at]["response_range"]);
        let mut locks = self.asked.locks.iter().enumerate();
        let blocker = locks.find_map(|(at, (name, _))| Some((name.clone(), range(2 * at).pop()?.key)));
        let orphans = self.orphans(state, |at| range(2 * at + 1));
        Ok(Some(Ahead { blocker, orphans, next: number(&answer["header"]["revision"]) + 1 }))
    }

    /// The lock that a gtlock around us holds, if we wait for it. Its holder may not be the youngest one before us: others may
    /// wait between.
    pub fn held_around(&self, until: Duration) -> Result<Option<OsString>, Stop> {
        let around = held::leases_around();
        if around.is_empty() {
            return Ok(None);
        }
        let (asked, state) = (&self.asked, self.state());
        let queue = |name| txn::all_before(&asked.keys.queue(name), state.revision);
        let reads: Vec<_> = asked.locks.iter().map(|(name, _)| queue(name)).collect();
        let answer = self.client.call("/v3/kv/txn", &json!({ "success": reads }), until)?;
        let is_around =
            |pair: &Pair| asked.keys.read_place(&pair.key).is_some_and(|place| around.contains(&place.lease));
        let mut locks = asked.locks.iter().enumerate();
        let found = locks.find(|(at, (name, mode))| {
            let before = Pair::all(&answer["responses"][at]["response_range"]);
            let blockers = asked.blockers(name, *mode);
            before.iter().any(|pair| pair.key.starts_with(&blockers)) && before.iter().any(is_around)
        });
        Ok(found.map(|(_, (name, _))| name.clone()))
    }

    /// The records whose command may still run and must not run beside ours. Ask when nobody is before us: then the holders
    /// of older records are gone. `records` returns those of each lock.
    fn orphans(&self, state: State, records: impl Fn(usize) -> Vec<Pair>) -> Vec<Pair> {
        let own = self.record_keys(state.lease);
        let mut orphans = Vec::new();
        for (at, (_, mode)) in self.asked.locks.iter().enumerate() {
            let others = records(at).into_iter().filter(|pair| !own.contains(&pair.key));
            orphans.extend(others.filter(|pair| *mode == Mode::Exclusive || pair.record().is_exclusive()));
        }
        orphans
    }

    /// Deletes the records of holders that are gone. Returns whether the own keys are still there.
    pub fn succeed(&self, orphans: &[Pair]) -> Result<bool, Stop> {
        self.write(|state| {
            let deletions: Vec<_> = orphans.iter().map(|orphan| txn::delete(&orphan.key)).collect();
            let body = json!({ "compare": self.are_own(*state), "success": deletions });
            let answer = self.client.call("/v3/kv/txn", &body, sys::now() + self.asked.ttl)?;
            Ok(answer["succeeded"] == true)
        })
    }

    /// Writes into the records when the command started.
    pub fn note_start(&self, since: u64) {
        let _ = self.write(|state| {
            let records = self.own_records(*state, Some(since));
            let body = json!({ "compare": self.are_own(*state), "success": records });
            self.client.call("/v3/kv/txn", &body, sys::now())
        });
    }
}

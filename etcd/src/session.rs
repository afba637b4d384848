//! The keeper's session in etcd: a lease, and the keys that live with it.

use std::io::{PipeWriter, Write};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use crate::asked::Asked;
use crate::client::Client;
use crate::fault::Fault;
use crate::leash::{Leash, Reason};
use crate::record::number;
use crate::talk::{Said, Speaker};
use crate::{sys, txn, versions};

/// How long a release is tried at least.
const MIN_RELEASE: Duration = Duration::from_secs(1);

/// Shared by the keeper's threads.
pub struct Session {
    pub asked: Asked,
    pub client: Client,
    pub leash: Leash,
    pub speaker: Speaker,
    /// Wakes the thread that stops the command.
    pub wake: PipeWriter,
    state: Mutex<State>,
    /// Held during a write to etcd.
    writing: Mutex<()>,
    /// Whether the version of etcd was checked.
    warning: Once,
}

/// What this process holds in etcd.
#[derive(Clone, Copy, Debug, Default)]
pub struct State {
    /// 0 if there is none.
    pub lease: i64,
    /// The create revision of the own keys: the place in the queue, and the fence. 0 if it is not known.
    pub revision: i64,
    /// When the locks were acquired, if they were.
    pub held_since: Option<Duration>,
    /// Nothing may be written any more.
    is_over: bool,
}

/// Why a session ends.
#[derive(Debug)]
pub enum Stop {
    /// The front has ended it.
    Over,
    Fault(Fault),
}

impl Stop {
    /// Whether the lease has ended.
    pub fn is_end_of_lease(&self) -> bool {
        matches!(self, Self::Fault(Fault::Refused { message, .. }) if message.contains("requested lease not found"))
    }
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl Session {
    pub fn new(asked: Asked, client: Client, leash: Leash, speaker: Speaker, wake: PipeWriter) -> Self {
        let (state, writing, warning) = (Mutex::default(), Mutex::default(), Once::new());
        Self { asked, client, leash, speaker, wake, state, writing, warning }
    }

    pub fn state(&self) -> State {
        *self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does work that writes to etcd, unless the session is over: nothing is written after the release.
    pub fn write<T>(&self, work: impl FnOnce(&mut State) -> Result<T, Fault>) -> Result<T, Stop> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = self.state();
        if state.is_over {
            return Err(Stop::Over);
        }
        let done = work(&mut state)?;
        // The state is not locked during the wait for etcd: renewals read it.
        let mut now = self.lock();
        *now = State { is_over: now.is_over, ..state };
        Ok(done)
    }

    pub fn is_over(&self) -> bool {
        self.lock().is_over
    }

    /// Warns once if etcd is too old. Called when nothing else waits for an answer; in a wait, it also opens the connection on
    /// which the lock is asked for at the hand-off, so it asks with `-q` too.
    pub fn warn(&self) {
        self.warning.call_once(|| {
            if let Some(warning) = versions::warning(&self.client).filter(|_| !self.asked.is_quiet) {
                self.speaker.say(&Said::Warns(warning));
            }
        });
    }

    /// Gets a lease for a new place in the queues.
    pub fn grant(&self, until: Duration) -> Result<(), Stop> {
        self.write(|state| {
            if state.lease != 0 {
                // An earlier lease has ended, and no command ran under it: nobody has to wait for its records.
                let old: Vec<_> = self.record_keys(state.lease).iter().map(|key| txn::delete(key)).collect();
                self.client.call("/v3/kv/txn", &json!({ "success": old }), until)?;
            }
            let sent = sys::now();
            let answer = self.client.call(
                "/v3/lease/grant",
                &json!({ "TTL": seconds(self.asked.ttl).to_string() }),
                until,
            )?;
            *state = State { lease: number(&answer["ID"]), ..State::default() };
            self.leash.extend(sent + ttl_of(&answer));
            Ok(())
        })
    }

    /// The own keys in the queues.
    pub fn places(&self, lease: i64) -> Vec<Vec<u8>> {
        self.asked.locks.iter().map(|(name, mode)| self.asked.keys.place(name, *mode, lease)).collect()
    }

    /// The keys of the own records.
    pub fn record_keys(&self, lease: i64) -> Vec<Vec<u8>> {
        self.asked.locks.iter().map(|(name, _)| self.asked.keys.record(name, lease)).collect()
    }

    /// Compares whether the own keys are still the ones that were created.
    pub fn are_own(&self, state: State) -> Vec<Value> {
        self.places(state.lease).iter().map(|key| txn::created_in(key, state.revision)).collect()
    }

    /// Renews the lease once. The renewal counts, and moves the deadline, only if a linearizable read after it finds the own
    /// keys in the same term: a leader that was deposed without knowing cannot move the deadline.
    pub fn renew(&self, last_term: i64) -> Renewal {
        let state = self.state();
        if state.lease == 0 || state.revision == 0 {
            return Renewal::NotYet;
        }
        let sent = sys::now();
        let limit = Duration::MAX;
        let Ok(kept) =
            self.client.once("/v3/lease/keepalive", &json!({ "ID": state.lease.to_string() }), limit)
        else {
            return Renewal::Failed;
        };
        let key = txn::get(&self.places(state.lease)[0]);
        let check = json!({ "compare": self.are_own(state), "success": [key], "failure": [key] });
        let Ok(found) = self.client.once("/v3/kv/txn", &check, limit) else { return Renewal::Failed };
        if self.state().lease != state.lease {
            return Renewal::NotYet;
        }
        if found["succeeded"] != true {
            return Renewal::Gone;
        }
        let term = |answer: &Value| number(&answer["header"]["raft_term"]);
        let ttl = ttl_of(&kept);
        if ttl.is_zero() || term(&kept) != term(&found) || ![0, term(&found)].contains(&last_term) {
            return Renewal::Doubtful(term(&found));
        }
        self.leash.extend(sent + ttl);
        Renewal::Counted(term(&found))
    }

    /// Records that the lock is lost, and has the command stopped.
    pub fn lose(&self, reason: Reason) {
        let state = self.lock();
        if state.held_since.is_some() && !state.is_over {
            self.leash.lose(reason);
            let _ = (&self.wake).write(b"!");
        }
    }

    /// Records that the locks are held from now on.
    pub fn hold(&self) -> Result<State, Stop> {
        self.write(|state| {
            state.held_since = Some(sys::now());
            Ok(*state)
        })
    }

    /// Deletes what this process holds in etcd. With `--min-hold`, if the command ran, a lease that nobody renews keeps the
    /// places for the rest of the time.
    pub fn release(&self, was_used: bool) {
        self.lock().is_over = true;
        let _nothing_is_written = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let state = self.state();
        if state.lease == 0 {
            return;
        }
        let until = self.leash.deadline().max(sys::now() + MIN_RELEASE);
        let left = state.held_since.zip(self.asked.min_hold).filter(|_| was_used && !self.leash.is_lost());
        let left = left.map(|(since, min)| (since + min).saturating_sub(sys::now()));
        if !left.is_some_and(|left| !left.is_zero() && self.leave_until(state, left, until)) {
            let keys = self.record_keys(state.lease).into_iter().chain(self.places(state.lease));
            let deletions: Vec<_> = keys.map(|key| txn::delete(&key)).collect();
            let deleted = self.client.call("/v3/kv/txn", &json!({ "success": deletions }), until);
            if deleted.is_err() {
                return; // the lease will expire
            }
        }
        self.speaker.say(&Said::Released);
        let revoke = json!({ "ID": state.lease.to_string() });
        let _ = self.client.call("/v3/lease/revoke", &revoke, sys::now() + MIN_RELEASE);
    }

    /// Moves the places to another lease. Returns whether that is done.
    fn leave_until(&self, state: State, left: Duration, until: Duration) -> bool {
        let ttl = json!({ "TTL": seconds(left).to_string() });
        let Ok(answer) = self.client.call("/v3/lease/grant", &ttl, until) else { return false };
        let lease = number(&answer["ID"]);
        let places = self.places(state.lease).into_iter().zip(&self.asked.locks);
        let moved = places.map(|(key, (_, mode))| {
            let record = self.asked.record.with_mode(*mode);
            txn::put(&key, &record.write(), lease)
        });
        let deleted = self.record_keys(state.lease).into_iter().map(|key| txn::delete(&key));
        let all: Vec<_> = moved.chain(deleted).collect();
        let body = json!({ "compare": self.are_own(state), "success": all });
        self.client.call("/v3/kv/txn", &body, until).is_ok_and(|answer| answer["succeeded"] == true)
    }
}

/// The outcome of a renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// There is nothing to renew yet.
    NotYet,
    /// It counts, in this term.
    Counted(i64),
    /// It does not count, since the leader may have changed. It is repeated at once.
    Doubtful(i64),
    /// There was no answer.
    Failed,
    /// The own keys are gone.
    Gone,
}

fn ttl_of(answer: &Value) -> Duration {
    Duration::from_secs(number(&answer["TTL"]).try_into().unwrap_or(0))
}

fn seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

//! Who holds a lock, and who waits for it, in order.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fmt;

use gtlock::Escaped;
use gtlock::cmd::{holders, report};
use gtlock::lock::Mode;
use serde_json::{Value, json};

use crate::keys::Keys;
use crate::record::{Pair, Record};
use crate::session::Session;
use crate::{sys, txn};

/// How long to wait for etcd: somebody waits for the message.
const PATIENCE: std::time::Duration = std::time::Duration::from_millis(500);

/// How many holders a message names; the rest are counted.
const HOLDERS_SHOWN: usize = 3;

/// How much of a command line a message shows, in characters.
const COMMAND_SHOWN: usize = 80;

/// The state of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It holds the lock.
    Held,
    /// It waits.
    Waits,
    /// It held the lock, and ended without releasing.
    Unclean,
}

/// A holder, a waiter, or one that ended without releasing.
#[derive(Clone, Debug)]
pub struct Entry {
    pub name: OsString,
    pub state: State,
    pub mode: Mode,
    pub fence: i64,
    pub record: Record,
    /// Its key.
    pub pair: Pair,
}

/// Combines the queues and the records of some locks. Each queue is in order.
pub fn entries(keys: &Keys, queue: &[Pair], records: &[Pair]) -> Vec<Entry> {
    let mut running: HashMap<(OsString, String), Record> = HashMap::new();
    for pair in records {
        running.extend(keys.read_record(&pair.key).map(|key| (key, pair.record())));
    }
    let mut before: HashMap<OsString, (bool, bool)> = HashMap::new();
    let mut entries = Vec::new();
    for pair in queue {
        let Some(place) = keys.read_place(&pair.key) else { continue };
        let (has_writer, has_any) = before.entry(place.name.clone()).or_default();
        let is_held = match place.mode {
            Mode::Exclusive => !*has_any,
            Mode::Shared => !*has_writer,
        };
        (*has_writer, *has_any) = (*has_writer || place.mode == Mode::Exclusive, true);
        let key = (place.name.clone(), place.lease);
        let own = pair.record();
        let since = running.remove(&key).and_then(|record| record.since);
        entries.push(Entry {
            name: place.name,
            state: if is_held { State::Held } else { State::Waits },
            mode: place.mode,
            fence: pair.created,
            record: Record { since: since.or(own.since), ..own },
            pair: pair.clone(),
        });
    }
    for pair in records {
        let Some(key) = keys.read_record(&pair.key) else { continue };
        if let Some(record) = running.remove(&key) {
            entries.push(Entry {
                name: key.0,
                state: State::Unclean,
                mode: if record.is_exclusive() { Mode::Exclusive } else { Mode::Shared },
                fence: pair.created,
                record,
                pair: pair.clone(),
            });
        }
    }
    entries
}

/// The holders of one lock, in words.
pub struct Holders(Option<Vec<Entry>>);

impl Holders {
    /// Asks etcd, but waits for a short time only.
    pub fn of(session: &Session, name: &OsStr) -> Self {
        let keys = &session.asked.keys;
        let reads = [txn::all_below(&keys.queue(name)), txn::all_below(&keys.records_of(name))];
        let answer = session.client.call("/v3/kv/txn", &json!({ "success": reads }), sys::now() + PATIENCE);
        Self(answer.ok().map(|answer| {
            let range = |at: usize| Pair::all(&answer["responses"][at]["response_range"]);
            let own = session.places(session.state().lease);
            let mut entries = entries(keys, &range(0), &range(1));
            entries.retain(|entry| entry.state == State::Held && !own.contains(&entry.pair.key));
            entries
        }))
    }

    /// The first of them.
    pub fn first(&self) -> Option<Record> {
        Some(self.0.as_ref()?.first()?.record.clone())
    }

    /// Whether etcd answered.
    pub fn is_known(&self) -> bool {
        self.0.is_some()
    }
}

impl fmt::Display for Holders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(entries) = &self.0 else {
            return write!(f, "held, but etcd did not say in time by whom");
        };
        let Some(first) = entries.first() else {
            return write!(f, "held a moment ago, free now");
        };
        let mut names: Vec<_> = entries.iter().take(HOLDERS_SHOWN).map(|entry| name(&entry.record)).collect();
        if entries.len() > HOLDERS_SHOWN {
            names.push(format!("{} more", entries.len() - HOLDERS_SHOWN));
        }
        let since = report::age(first.record.time());
        write!(f, "held for {} by {} for {since}", holders::purpose(first.mode), names.join(", "))
    }
}

/// A holder in words: `4123 on web-2 (./update.sh)`.
fn name(record: &Record) -> String {
    let host = Escaped::new(&record.host).to_string();
    match command(record) {
        command if command.is_empty() => format!("{} on {host}", record.pid),
        command => format!("{} on {host} ({})", record.pid, shortened(&command)),
    }
}

/// The label, or the command in one line, safe to print.
pub fn command(record: &Record) -> String {
    match &record.label {
        Some(label) => Escaped::new(label).to_string(),
        None => {
            record.command.iter().map(|word| Escaped::new(word).to_string()).collect::<Vec<_>>().join(" ")
        }
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(COMMAND_SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// The entries in an answer with all queues and all records.
pub fn of_answer(keys: &Keys, answer: &Value) -> Vec<Entry> {
    let range = |at: usize| Pair::all(&answer["responses"][at]["response_range"]);
    entries(keys, &range(0), &range(1))
}

//! What was done, by the workers' own ledgers, compared with what the data says.
//!
//! A writer enters `intent N` before it writes N and `done N` after it. One that is killed may have written
//! N or not, but what it leaves tells: the next writer takes the number after the one that it finds, whole
//! or half. So of those who intend N, in the order in which they held the lock, all but the last were killed
//! before they wrote, and the last wrote it, whether or not it lived to say so. Hence, with F the number
//! found at the end:
//!
//! - every N from 1 to F was intended, and by one operation more than were killed in it: at most one is
//!   not known to have been killed, and at most one has done it;
//! - beyond F there is only F+1, intended by operations that were killed, and done by none;
//! - an operation that gtlock called successful has done all its writes, one that it called refused has
//!   not begun any, and only one that was killed has begun what it has not done;
//! - the log has exactly one line for each number done, by the operation that did it, in order; other
//!   lines are of numbers whose writer was killed before it could say done.
//!
//! Two writers at once would do the same number; a lost update would be a number done twice as well.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::Path;

use super::command;

/// What gtlock said of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Succeeded,
    Refused,
    /// It was killed, or its command was.
    Killed,
}

/// An operation as those who ran it know it.
#[derive(Debug)]
pub struct Operation {
    pub verdict: Verdict,
    /// The names of the files it was to write.
    pub writes: Vec<String>,
    /// Whether somebody was going to kill it, in time or not.
    pub was_attacked: bool,
}

/// What was intended and done to one file, by operation.
#[derive(Default)]
struct Account {
    intents: BTreeMap<u64, Vec<u64>>,
    done: BTreeMap<u64, Vec<u64>>,
    torn: BTreeSet<u64>,
}

/// Figures out of the ledgers.
#[derive(Debug, Default)]
pub struct Summary {
    pub increments: u64,
    pub cut_short: usize,
    pub torn_by_kill: usize,
    pub unrecorded: usize,
}

/// Everything that is wrong.
pub fn audit(dir: &Path, data: &[&Path], operations: &HashMap<u64, Operation>) -> (Summary, Vec<String>) {
    let mut wrong = Vec::new();
    let mut summary = Summary::default();
    let mut accounts: BTreeMap<String, Account> = BTreeMap::new();
    for entry in fs::read_dir(dir).expect("the directory is there") {
        let path = entry.expect("an entry").path();
        if !path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"ledger.")) {
            continue;
        }
        for line in fs::read_to_string(path).expect("a ledger").lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [what, operation, file, number] = words[..] else {
                wrong.push(format!("ledger: {line:?}"));
                continue;
            };
            let account = accounts.entry(file.to_owned()).or_default();
            let (operation, number) = (operation.parse().expect("a number"), number.parse().expect("one"));
            match what {
                "intent" => account.intents.entry(number).or_default().push(operation),
                "done" => account.done.entry(number).or_default().push(operation),
                "torn" => drop(account.torn.insert(number)),
                _ => summary.unrecorded += 1,
            }
        }
    }
    for data in data {
        let name = data.file_name().expect("a file").to_string_lossy().into_owned();
        let account = accounts.remove(&name).unwrap_or_default();
        let mut say = |what: String| wrong.push(format!("{name}: {what}"));
        let [last, committed] = command::numbers(data);
        summary.increments += last;
        if last != committed && account.done.contains_key(&last) {
            say(format!("at the end {last} and {committed}, though {last} was done"));
        }
        audit_numbers(&account, last, operations, &mut summary, &mut say);
        audit_operations(&name, &account, operations, &mut say);
        audit_log(data, &account, &mut say);
    }
    (summary, wrong)
}

fn audit_numbers(
    account: &Account,
    last: u64,
    operations: &HashMap<u64, Operation>,
    summary: &mut Summary,
    say: &mut impl FnMut(String),
) {
    let none = Vec::new();
    let was_killed = |operation: &u64| operations.get(operation).is_some_and(|known| known.was_attacked);
    let beyond = account.intents.keys().chain(account.done.keys()).copied().max().unwrap_or(0);
    for number in 1..=last.max(beyond) {
        let intents = account.intents.get(&number).unwrap_or(&none);
        let done = account.done.get(&number).unwrap_or(&none);
        let cut_short: Vec<&u64> = intents.iter().filter(|intent| !done.contains(intent)).collect();
        summary.cut_short += cut_short.len();
        if done.len() > 1 {
            say(format!("{number} was done {} times, by {done:?}", done.len()));
        }
        if number <= last && intents.is_empty() {
            say(format!("nobody intended {number}"));
        }
        if number > last && (number > last + 1 || !done.is_empty()) {
            say(format!("{number} was intended by {intents:?}, done by {done:?}, and it is {last}"));
        }
        if !done.iter().all(|operation| intents.contains(operation)) {
            say(format!("{number} was done by {done:?} and intended by {intents:?}"));
        }
        if let Some(lost) = cut_short.into_iter().find(|operation| !was_killed(operation)) {
            say(format!("{number} was begun and not done by operation {lost}, which nobody killed"));
        }
        if account.torn.contains(&number) {
            summary.torn_by_kill += 1;
            if !done.is_empty() {
                say(format!("half of {number} was seen, which {done:?} did whole"));
            }
        }
    }
}

fn audit_operations(
    name: &str,
    account: &Account,
    operations: &HashMap<u64, Operation>,
    say: &mut impl FnMut(String),
) {
    let done: BTreeSet<u64> = account.done.values().flatten().copied().collect();
    let begun: BTreeSet<u64> = account.intents.values().flatten().copied().collect();
    for (id, operation) in operations.iter().filter(|(_, op)| op.writes.iter().any(|write| write == name)) {
        match operation.verdict {
            Verdict::Succeeded if !done.contains(id) => say(format!("operation {id} succeeded, undone")),
            Verdict::Refused if begun.contains(id) => say(format!("operation {id} was refused, and ran")),
            _ => {}
        }
    }
}

fn audit_log(data: &Path, account: &Account, say: &mut impl FnMut(String)) {
    let log = fs::read_to_string(data.with_extension("log")).unwrap_or_default();
    let mut previous = 0;
    let mut logged = BTreeMap::new();
    for line in log.lines() {
        let Some((number, operation)) = line.trim_end().split_once(' ') else {
            say(format!("log: {line:?}"));
            continue;
        };
        let (number, operation): (u64, u64) =
            (number.parse().unwrap_or_default(), operation.parse().unwrap_or_default());
        if number <= previous {
            say(format!("log: {number} after {previous}"));
        }
        if !account.intents.get(&number).is_some_and(|intents| intents.contains(&operation)) {
            say(format!("log: {number} by operation {operation}, which did not intend it"));
        }
        previous = number;
        logged.insert(number, operation);
    }
    for (number, done) in &account.done {
        if logged.get(number) != done.first() {
            say(format!("{number} was done by {done:?}, and the log has {:?}", logged.get(number)));
        }
    }
}

//! `status`: who holds the locks in etcd, and who waits for them, in order.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use anyhow::{Context, Result};
use gtlock::Escaped;
use gtlock::cli::{DEFAULT_TTL, StatusArgs};
use gtlock::cmd::{columns, report};
use gtlock::exit::Exit;
use gtlock::lock::Mode;
use serde_json::json;

use crate::at::At;
use crate::client::Client;
use crate::keys::Keys;
use crate::who::{self, Entry, State};
use crate::{document, sys, txn};

/// How long to wait for etcd.
const PATIENCE: Duration = Duration::from_secs(5);

/// The entries of each lock, in order.
pub type Locks = BTreeMap<OsString, Vec<Entry>>;

/// Shows the locks.
pub fn status(at: &At, args: &StatusArgs) -> Result<Exit> {
    let mut locks: Locks = BTreeMap::new();
    for entry in find(&Client::new(at, DEFAULT_TTL)?, &Keys::below(&at.prefix))? {
        locks.entry(entry.name.clone()).or_default().push(entry);
    }
    if !args.paths.is_empty() {
        locks.retain(|name, _| args.paths.iter().any(|path| path.as_os_str() == name));
        for path in &args.paths {
            locks.entry(path.clone().into_os_string()).or_default();
        }
    }
    if args.held {
        locks.retain(|_, entries| entries.iter().any(|entry| entry.state == State::Held));
    }
    if locks.is_empty() && !args.json && io::stderr().is_terminal() {
        let what = if args.held { "no lock is held" } else { "no locks" };
        report::say(&format!("{what} below /{} in {}", Escaped::new(&at.prefix), at.endpoints.join(",")));
    }
    let printed = if args.json { document::print(&locks) } else { print(&locks) };
    printed.context(report::STDOUT)?;
    Ok(Exit::Success)
}

/// Reads all holders, waiters, and unclean records.
pub fn find(client: &Client, keys: &Keys) -> Result<Vec<Entry>> {
    let reads = [txn::all_below(&keys.queues()), txn::all_below(&keys.records())];
    let answer = client.call("/v3/kv/txn", &json!({ "success": reads }), sys::now() + PATIENCE)?;
    Ok(who::of_answer(keys, &answer))
}

fn print(locks: &Locks) -> io::Result<()> {
    if locks.is_empty() {
        return Ok(());
    }
    let mut table = Vec::new();
    writeln!(table, "STATE\tMODE\tHOST\tPID\tFENCE\tFOR\tLOCK\tCOMMAND")?;
    for (name, entries) in locks {
        let name = Escaped::new(name);
        if entries.is_empty() {
            writeln!(table, "free\t-\t-\t-\t-\t-\t{name}\t-")?;
        }
        for Entry { state, mode, fence, record, .. } in entries {
            let (host, age) = (Escaped::new(&record.host), report::age(record.time()));
            let (state, mode, command) = (word(*state), mode_word(*mode), who::command(record));
            writeln!(table, "{state}\t{mode}\t{host}\t{}\t{fence}\t{age}\t{name}\t{command}", record.pid)?;
        }
    }
    columns::print(&table)
}

fn word(state: State) -> &'static str {
    match state {
        State::Held => "held",
        State::Waits => "waits",
        State::Unclean => "unclean",
    }
}

/// A mode in words.
pub fn mode_word(mode: Mode) -> &'static str {
    match mode {
        Mode::Exclusive => "write",
        Mode::Shared => "read",
    }
}

/// The state of a lock as a whole: held, unclean or free.
pub fn state_of(entries: &[Entry]) -> &'static str {
    match entries.first().map(|entry| entry.state) {
        Some(State::Held | State::Waits) => "held",
        Some(State::Unclean) => "unclean",
        None => "free",
    }
}

/// A name as text.
pub fn text(name: &OsStr) -> String {
    name.to_string_lossy().into_owned()
}

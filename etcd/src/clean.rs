//! `clean`: removes the records of holders that ended without releasing.

use std::io::{self, Write};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use gtlock::Escaped;
use gtlock::cli::{CleanArgs, DEFAULT_TTL};
use gtlock::cmd::{json, report};
use gtlock::exit::Exit;
use serde::Serialize;
use serde_json::json;

use crate::at::At;
use crate::client::Client;
use crate::keys::Keys;
use crate::status::{find, text};
use crate::who::{Entry, State};
use crate::{sys, txn};

/// How long to wait for etcd.
const PATIENCE: Duration = Duration::from_secs(5);

/// Waits until none of their commands can still run, then removes the records.
pub fn clean(at: &At, args: &CleanArgs) -> Result<Exit> {
    let (client, keys) = (Client::new(at, DEFAULT_TTL)?, Keys::below(&at.prefix));
    let found = find(&client, &keys)?;
    let held = found.iter().filter(|entry| entry.state == State::Held).count();
    let unclean: Vec<_> = found.into_iter().filter(|entry| entry.state == State::Unclean).collect();
    let mut removed: Vec<&Entry> = Vec::new();
    if args.dry_run {
        removed.extend(&unclean);
    } else if let Some(delay) = unclean.iter().map(|entry| entry.record.delay()).max() {
        thread::sleep(delay); // as the next holder would
        for entry in &unclean {
            // A live request may have written the record again meanwhile.
            let unchanged = txn::modified_in(&entry.pair.key, entry.pair.modified);
            let body = json!({ "compare": [unchanged], "success": [txn::delete(&entry.pair.key)] });
            let answer = client.call("/v3/kv/txn", &body, sys::now() + PATIENCE)?;
            if answer["succeeded"] == true {
                removed.push(entry);
            }
        }
    }
    let printed = match (args.json, args.quiet) {
        (true, _) => json::print(&Document {
            version: 1,
            dry_run: args.dry_run,
            removed: removed.iter().map(|entry| text(&entry.name)).collect(),
            kept: [],
            errors: [],
        }),
        (false, true) => Ok(()),
        (false, false) => print(&removed, held, args.dry_run),
    };
    printed.context(report::STDOUT)?;
    Ok(Exit::Success)
}

fn print(removed: &[&Entry], held: usize, dry_run: bool) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    if dry_run {
        for entry in removed {
            writeln!(out, "would remove {}", Escaped::new(&entry.name))?;
        }
    }
    let verb = if dry_run { "would remove" } else { "removed" };
    let plural = if removed.len() == 1 { "" } else { "s" };
    writeln!(out, "{verb} {} record{plural} of holders that are gone, {held} held", removed.len())?;
    out.flush()
}

/// The JSON document, with the fields of the one for lock files.
#[derive(Serialize)]
struct Document {
    version: u32,
    dry_run: bool,
    removed: Vec<String>,
    kept: [(); 0],
    errors: [(); 0],
}

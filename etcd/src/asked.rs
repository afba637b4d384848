//! The request: which locks, from which cluster, for whom, and how to wait.

use std::ffi::{OsStr, OsString};
use std::time::Duration;

use anyhow::{Result, bail};
use gtlock::cli::CommonArgs;
use gtlock::lock::{Mode, Wait};
use nix::unistd::gethostname;

use crate::at::At;
use crate::keys::Keys;
use crate::record::{Record, millis_now};

/// How much of a command line is recorded, in bytes: about as much as a lock of this machine records.
const MAX_COMMAND: usize = 4096;

/// A request for locks.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent options")]
pub struct Asked {
    pub at: At,
    pub keys: Keys,
    /// Each name once.
    pub locks: Vec<(OsString, Mode)>,
    pub wait: Wait,
    /// Without a command, the request only tests whether the locks are free.
    pub has_command: bool,
    pub ttl: Duration,
    pub grace: Duration,
    pub min_hold: Option<Duration>,
    /// Print at once whom the request waits for.
    pub is_verbose: bool,
    /// Print nothing but errors.
    pub is_quiet: bool,
    /// Write to the log whom the request waits for.
    pub is_logged: bool,
    pub record: Record,
}

impl Asked {
    pub fn new(
        at: &At,
        locks: impl IntoIterator<Item = (OsString, Mode)>,
        wait: Wait,
        args: &CommonArgs,
        command: &[OsString],
    ) -> Result<Self> {
        let mut each: Vec<(OsString, Mode)> = Vec::new();
        for (name, mode) in locks {
            if name.is_empty() {
                bail!("a lock needs a name: is a variable unset?");
            }
            match each.iter_mut().find(|(other, _)| *other == name) {
                Some((_, stronger)) => *stronger = mode.max(*stronger),
                None => each.push((name, mode)),
            }
        }
        let record = Record {
            v: 1,
            host: host(),
            pid: std::process::id(),
            label: args.rare.label.clone(),
            command: beginning(command),
            asked: millis_now(),
            ..Record::default()
        };
        Ok(Self {
            keys: Keys::below(&at.prefix),
            at: at.clone(),
            locks: each,
            wait,
            has_command: !command.is_empty(),
            ttl: args.ttl(),
            grace: args.grace(),
            min_hold: args.rare.min_hold,
            is_verbose: args.verbose,
            is_quiet: args.quiet,
            is_logged: false,
            record,
        })
    }

    /// The prefix of the keys that exclude this mode.
    pub fn blockers(&self, name: &OsStr, mode: Mode) -> Vec<u8> {
        match mode {
            Mode::Exclusive => self.keys.queue(name),
            Mode::Shared => self.keys.writers(name),
        }
    }
}

/// As much of a command line as a record has room for: everybody who asks for the lock reads it, and etcd refuses
/// requests of more than a megabyte.
fn beginning(command: &[OsString]) -> Vec<String> {
    let mut left = MAX_COMMAND;
    let mut words = Vec::new();
    for word in command {
        let word = word.to_string_lossy();
        let Some(after) = left.checked_sub(word.len()) else {
            let end = word.floor_char_boundary(left);
            words.push(format!("{}…", &word[..end]));
            break;
        };
        left = after;
        words.push(word.into_owned());
    }
    words
}

fn host() -> String {
    gethostname().map_or_else(|_| "?".to_owned(), |host| host.to_string_lossy().into_owned())
}

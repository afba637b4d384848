//! The entries in the log (`--log`) about locks of etcd.

use std::ffi::OsString;
use std::io;

use anyhow::Result;
use gtlock::cli::CommonArgs;
use gtlock::cmd::journal::{ClusterHolder, ClusterLock, Journal};
use gtlock::cmd::run;
use gtlock::exit::Exit;
use gtlock::history::Outcome;
use gtlock::lock::Mode;
use gtlock::running::Ended;

use crate::asked::Asked;
use crate::record::Record;

/// A request, and what is known of it so far.
pub struct History<'a> {
    journal: Journal<'a>,
    url: String,
    locks: Vec<(OsString, Mode)>,
    /// The locks that it waited for, and who held each when the wait began.
    behind: Vec<(OsString, Option<Record>)>,
}

impl<'a> History<'a> {
    /// Starts the clock.
    pub fn new(args: &'a CommonArgs, command: &'a [OsString], asked: &mut Asked) -> Self {
        let journal = Journal::new(args, command);
        asked.is_logged = journal.is_kept();
        Self { journal, url: asked.at.url.clone(), locks: asked.locks.clone(), behind: Vec::new() }
    }

    /// Records who holds a lock that the request waits for.
    pub fn waits(&mut self, name: OsString, holder: Option<Record>) {
        self.behind.push((name, holder));
    }

    /// Records that the locks were acquired.
    pub fn held(&mut self) {
        let Self { journal, url, locks, behind } = self;
        let lock = |(name, mode): &(OsString, Mode)| {
            let holder =
                behind.iter().find(|(other, _)| other == name).and_then(|(_, holder)| holder.clone());
            (
                ClusterLock { url: url.clone(), name: name.clone(), mode: *mode },
                holder.map(ClusterHolder::from),
            )
        };
        journal.got_from_cluster(locks.iter().map(lock));
    }

    /// Writes that the locks were free.
    pub fn free(&mut self) {
        self.held();
        self.journal.left_to_caller();
        self.journal.write(None);
    }

    /// Writes that a lock was not acquired.
    pub fn refused(&mut self, name: OsString, outcome: Outcome, holder: Option<Record>) {
        let of_wait =
            self.behind.iter().find(|(other, _)| *other == name).and_then(|(_, holder)| holder.clone());
        let mode =
            self.locks.iter().find(|(other, _)| *other == name).map_or(Mode::Exclusive, |&(_, mode)| mode);
        let lock = ClusterLock { url: self.url.clone(), name, mode };
        self.journal.refused_by_cluster(lock, outcome, of_wait.or(holder).map(ClusterHolder::from));
    }

    /// Records that the locks are released now, or were lost.
    pub fn let_go(&mut self, ended: &io::Result<Ended>, is_lost: bool, is_left: bool) {
        self.journal.let_go(if is_lost { Outcome::Lost } else { run::outcome(ended, is_left) });
    }

    /// Writes the entries.
    pub fn write(&mut self, exit: &Result<Exit>) {
        self.journal.write(Some(*exit.as_ref().unwrap_or(&Exit::Failure)));
    }
}

impl From<Record> for ClusterHolder {
    fn from(record: Record) -> Self {
        let Record { host, pid, label, command, .. } = record;
        Self { host, pid, label, command }
    }
}

//! The options of `gtlock run` and `gtlock try` for what is locked.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::common::CommonArgs;
use super::rare::Rare;
use super::values::{parse_descriptor, parse_slots};
use super::{COMMAND, LOCKS};

#[expect(missing_docs, reason = "clap would take it for the help of the subcommand")]
#[derive(Args, Debug)]
pub struct LockArgs {
    /// Take a shared lock on FILE: other readers may hold it too, but no writer.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = LOCKS)]
    pub read: Vec<PathBuf>,

    /// Take an exclusive lock on FILE: nobody else may hold it.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = LOCKS)]
    pub write: Vec<PathBuf>,

    #[command(flatten)]
    pub rare: Rare<RareLockArgs>,

    #[command(flatten)]
    pub common: CommonArgs,
}

#[allow(clippy::doc_markdown, reason = "help shows backticks as they are")]
#[derive(Args, Debug, Default)]
pub struct RareLockArgs {
    /// Let at most N commands hold the shared lock of --read FILE at once.
    ///
    /// Each gets a slot of its own, from 1 to N: the command finds its number in GTLOCK_SLOT. Readers without --slots
    /// are not counted. A writer excludes them all.
    #[arg(long, value_name = "N", value_hint = ValueHint::Other, value_parser = parse_slots, allow_negative_numbers = true,
          help_heading = LOCKS)]
    pub slots: Option<u32>,

    /// Take K of the N slots, all at once: GTLOCK_SLOT has K numbers.
    #[arg(long, value_name = "K", value_hint = ValueHint::Other, value_parser = parse_slots, allow_negative_numbers = true,
          help_heading = LOCKS)]
    pub take: Option<u32>,

    /// Lock the named files or directories themselves, as flock(1) does.
    ///
    /// A file is created if it does not exist, and never written to. If it is saved by rename, the lock stays
    /// with the old file and the next program locks the new one: do not use --direct for such files.
    #[arg(long, conflicts_with = "lock_dir", help_heading = LOCKS)]
    pub direct: bool,

    /// Take a shared lock on descriptor N, which the caller has open.
    #[arg(long, value_name = "N", value_hint = ValueHint::Other, value_parser = parse_descriptor, allow_negative_numbers = true,
          help_heading = LOCKS)]
    pub read_fd: Vec<i32>,

    /// Take an exclusive lock on descriptor N, which the caller has open.
    ///
    /// Without a command it stays locked after gtlock ends, until the caller closes it, unlocks it or ends.
    #[arg(long, value_name = "N", value_hint = ValueHint::Other, value_parser = parse_descriptor, allow_negative_numbers = true,
          help_heading = LOCKS)]
    pub write_fd: Vec<i32>,

    /// Release the lock on descriptor N, which the caller has open.
    #[arg(long, value_name = "N", value_hint = ValueHint::Other, value_parser = parse_descriptor, allow_negative_numbers = true,
          conflicts_with_all = ["read", "write", "read_fd", "write_fd", "command"], help_heading = LOCKS)]
    pub unlock_fd: Vec<i32>,

    /// Do not let the command inherit the lock: if gtlock is killed, the lock is gone.
    ///
    /// Without --close the lock lasts as long as the command even then. The command does not get the descriptors
    /// of --read-fd and --write-fd.
    #[arg(short = 'o', long, help_heading = COMMAND)]
    pub close: bool,

    /// Become the command instead of waiting for it; the lock lasts until all that inherited it have ended.
    ///
    /// There is no second process, and signals reach the command directly. What the command leaves running
    /// keeps the lock. The record of the holder stays in the lock file, shown as stale.
    #[arg(short = 'F', long, conflicts_with_all = ["close", "max_hold", "min_hold"], help_heading = COMMAND)]
    pub no_fork: bool,
}

impl RareLockArgs {
    fn names_descriptors(&self) -> bool {
        [&self.read_fd, &self.write_fd, &self.unlock_fd].iter().any(|descriptors| !descriptors.is_empty())
    }
}

impl LockArgs {
    /// Whether any lock is named.
    #[must_use]
    pub fn names_any(&self) -> bool {
        self.names_files() || self.rare.names_descriptors()
    }

    /// Whether a file is named.
    #[must_use]
    pub fn names_files(&self) -> bool {
        !self.read.is_empty() || !self.write.is_empty()
    }

    /// What there is on this machine only.
    fn missing_in_cluster(&self) -> Option<&'static str> {
        self.common.at.cluster()?;
        if self.rare.direct {
            Some("--direct is for files of this machine, and --at names a cluster; use --at local")
        } else if self.rare.names_descriptors() {
            Some("descriptors lock files of this machine, and --at names a cluster; use --at local")
        } else if self.rare.no_fork {
            Some("--no-fork does not go with --at URL: gtlock has to stop a command whose lock is lost")
        } else if self.rare.slots.is_some() || self.rare.take.is_some() {
            Some("--slots does not go with --at URL: etcd keeps no slots; use --at local")
        } else {
            None
        }
    }

    /// Whether all that is locked are lock files.
    pub(super) fn has_lock_files(&self) -> bool {
        let RareLockArgs { direct, read_fd, write_fd, .. } = &*self.rare;
        !direct && read_fd.is_empty() && write_fd.is_empty()
    }

    /// Which options contradict each other, and why.
    pub(super) fn contradiction(&self) -> Option<&'static str> {
        let contradiction = self.common.contradiction().or_else(|| self.missing_in_cluster());
        if contradiction.is_some() {
            return contradiction;
        }
        let &RareLockArgs { slots, take, direct, .. } = &*self.rare;
        let Some(limit) = slots else {
            return take.map(|_| "--take needs --slots N: it takes K of the N slots");
        };
        if direct {
            Some(
                "--slots does not go with --direct: slots are bytes of a lock file, and data has none to spare",
            )
        } else if !self.has_lock_files() {
            Some("--slots is for --read FILE: slots are bytes of a lock file, and a descriptor has none")
        } else if !self.write.is_empty() {
            Some(
                "--slots is for one --read FILE alone: lock what --write names in a gtlock of its own, around this one",
            )
        } else if self.read.len() > 1 {
            Some(
                "--slots is for one --read FILE alone: lock the others in a gtlock of their own, around this one",
            )
        } else if take > Some(limit) {
            Some("--take is larger than --slots: give a smaller number")
        } else {
            None
        }
    }
}

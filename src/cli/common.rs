//! The options of everything that locks.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueHint};

use super::cluster::{ClusterArgs, LOCK_DIR_IN_CLUSTER};
use super::values::{parse_delay, parse_exit_status, parse_limit};
use super::{BUSY, COMMAND, LOCKS, MESSAGES};
use crate::exit::REFUSED;

#[expect(missing_docs, reason = "clap would take it for the help of the subcommand")]
#[allow(clippy::doc_markdown, reason = "help shows backticks as they are")]
#[derive(Args, Debug)]
pub struct CommonArgs {
    /// Keep the lock files in DIR instead of .gastown/locks beside the data.
    ///
    /// DIR is created if it does not exist. Data files of the same name share a lock there.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, help_heading = LOCKS)]
    pub lock_dir: Option<PathBuf>,

    #[command(flatten)]
    pub cluster: ClusterArgs,

    /// Exit with status N if the lock was not obtained (0 to 255).
    #[arg(short = 'E', long, value_name = "N", value_hint = ValueHint::Other, default_value_t = REFUSED, value_parser = parse_exit_status,
          allow_negative_numbers = true,
          help_heading = BUSY, display_order = 100)]
    pub conflict_exit_code: u8,

    /// End the command when it has held the locks for TIME, and exit with status 124.
    ///
    /// It gets SIGTERM, and SIGKILL --kill-after later if it still runs. What it leaves running keeps the locks
    /// until that ends too. The clock runs on while the machine sleeps.
    #[arg(long, value_name = "TIME", value_hint = ValueHint::Other, value_parser = parse_limit,
          allow_negative_numbers = true, requires = "command", help_heading = COMMAND)]
    pub max_hold: Option<Duration>,

    /// The time from SIGTERM to SIGKILL for a command that --max-hold ends.
    #[arg(long, value_name = "TIME", value_hint = ValueHint::Other, value_parser = parse_delay,
          allow_negative_numbers = true, default_value = "10s", requires = "max_hold", help_heading = COMMAND)]
    pub kill_after: Duration,

    /// Append a line of JSON to FILE for each lock, for gtlock report.
    ///
    /// The line is written when the lock is released, or was not obtained. Without --log it goes to the file that
    /// GTLOCK_LOG names, if any. A log that cannot be written is reported, and changes nothing else.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = MESSAGES)]
    pub log: Option<PathBuf>,

    /// Print only errors; do not report a busy lock.
    #[arg(short, long, conflicts_with = "verbose", help_heading = MESSAGES)]
    pub quiet: bool,

    /// Show TEXT to others instead of the command: in refusals, waits and gtlock status.
    #[arg(long, value_name = "TEXT", value_hint = ValueHint::Other,
          value_parser = NonEmptyStringValueParser::new(), help_heading = MESSAGES)]
    pub label: Option<String>,

    /// Print who holds the lock during a wait, how long the wait was, and how long the lock was held.
    ///
    /// Also print that a file to lock does not exist, or why the holder could not be recorded.
    #[arg(short, long, help_heading = MESSAGES)]
    pub verbose: bool,
}

impl CommonArgs {
    /// What there is on this machine only.
    pub(super) fn missing_in_cluster(&self) -> Option<&'static str> {
        (self.lock_dir.is_some() && self.cluster.at.cluster().is_some()).then_some(LOCK_DIR_IN_CLUSTER)
    }
}

//! The options of everything that locks, and what they mean where they are not given.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueHint};

use super::at::{AtArgs, LOCK_DIR_IN_CLUSTER};
use super::rare::Rare;
use super::values::{parse_delay, parse_exit_status, parse_limit, parse_ttl};
use super::{BUSY, COMMAND, LOCKS, MESSAGES};
use crate::exit::{Exit, REFUSED};
use crate::sys::Limit;

/// How long the locks of a machine last after it has died, unless --ttl is given.
pub const DEFAULT_TTL: Duration = Duration::from_secs(15);

/// The time from SIGTERM to SIGKILL, unless --kill-after is given.
const DEFAULT_KILL_AFTER: Duration = Duration::from_secs(10);

#[expect(missing_docs, reason = "clap would take it for the help of the subcommand")]
#[derive(Args, Debug)]
pub struct CommonArgs {
    #[command(flatten)]
    pub at: AtArgs,

    #[command(flatten)]
    pub rare: Rare<RareArgs>,

    /// Print only errors; do not report a busy lock.
    #[arg(short, long, conflicts_with = "verbose", help_heading = MESSAGES)]
    pub quiet: bool,

    /// Print who holds the lock during a wait, how long the wait was, and how long the lock was held.
    ///
    /// Also print that a file to lock does not exist, or why the holder could not be recorded.
    #[arg(short, long, help_heading = MESSAGES)]
    pub verbose: bool,
}

#[allow(clippy::doc_markdown, reason = "help shows backticks as they are")]
#[derive(Args, Debug, Default)]
pub struct RareArgs {
    /// Keep the lock files in DIR instead of .gastown/locks beside the data.
    ///
    /// DIR is created if it does not exist. Data files of the same name share a lock there.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, help_heading = LOCKS)]
    pub lock_dir: Option<PathBuf>,

    /// With --at: how long the locks last after this machine has died [default: 15s].
    ///
    /// At least 3s. If etcd cannot be reached, gtlock stops the command before its locks end.
    #[arg(long, value_name = "TIME", value_hint = ValueHint::Other, value_parser = parse_ttl, allow_negative_numbers = true, help_heading = LOCKS)]
    pub ttl: Option<Duration>,

    /// With --at: the time from SIGTERM to SIGKILL for a command whose lock is lost [default: a third of --ttl].
    #[arg(long, value_name = "TIME", value_hint = ValueHint::Other, value_parser = parse_limit, allow_negative_numbers = true, help_heading = COMMAND)]
    pub grace: Option<Duration>,

    /// Keep the locks for at least TIME, even if the command ends sooner.
    ///
    /// For a job that should run on only one of several machines: their clocks differ, so a short job could run again.
    /// gtlock waits until TIME has passed; with --at it exits with the command, and etcd keeps the locks.
    #[arg(long, value_name = "TIME", value_hint = ValueHint::Other, value_parser = parse_limit, allow_negative_numbers = true, requires = "command",
          help_heading = COMMAND)]
    pub min_hold: Option<Duration>,

    /// Exit with status N if the lock was not obtained (0 to 255) [default: 75].
    #[arg(short = 'E', long, value_name = "N", value_hint = ValueHint::Other, value_parser = parse_exit_status, allow_negative_numbers = true,
          help_heading = BUSY, display_order = 100)]
    pub conflict_exit_code: Option<u8>,

    /// End the command when it has held the locks for TIME, and exit with status 124.
    ///
    /// It gets SIGTERM, and SIGKILL --kill-after later if it still runs. What it leaves running keeps the locks
    /// until that ends too. The clock runs on while the machine sleeps.
    #[arg(long, value_name = "TIME", value_hint = ValueHint::Other, value_parser = parse_limit,
          allow_negative_numbers = true, requires = "command", help_heading = COMMAND)]
    pub max_hold: Option<Duration>,

    /// The time from SIGTERM to SIGKILL for a command that --max-hold ends [default: 10s].
    #[arg(long, value_name = "TIME", value_hint = ValueHint::Other, value_parser = parse_delay,
          allow_negative_numbers = true, requires = "max_hold", help_heading = COMMAND)]
    pub kill_after: Option<Duration>,

    /// Append a line of JSON to FILE for each lock, for gtlock report.
    ///
    /// The line is written when the lock is released, or was not obtained. Without --log it goes to the file that
    /// GTLOCK_LOG names, if any. A log that cannot be written is reported, and changes nothing else.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = MESSAGES)]
    pub log: Option<PathBuf>,

    /// Show TEXT to others instead of the command: in refusals, waits and gtlock status.
    #[arg(long, value_name = "TEXT", value_hint = ValueHint::Other,
          value_parser = NonEmptyStringValueParser::new(), help_heading = MESSAGES)]
    pub label: Option<String>,
}

impl CommonArgs {
    /// Which options contradict each other, and why.
    pub(super) fn contradiction(&self) -> Option<&'static str> {
        let in_cluster = self.at.cluster().is_some();
        if in_cluster && self.rare.lock_dir.is_some() {
            Some(LOCK_DIR_IN_CLUSTER)
        } else if !in_cluster && (self.rare.ttl.is_some() || self.rare.grace.is_some()) {
            Some(
                "--ttl and --grace are for --at URL; --max-hold TIME ends a command that holds its locks for longer",
            )
        } else if self.rare.grace.is_some_and(|grace| grace > self.ttl() / 2) {
            Some("--grace is more than half of --ttl, which leaves the command no time to run in")
        } else {
            None
        }
    }

    /// The exit status if the locks are not obtained.
    #[must_use]
    pub fn refusal(&self) -> Exit {
        Exit::Refused(self.rare.conflict_exit_code.unwrap_or(REFUSED))
    }

    /// How long a command may hold the locks, and how it is ended then.
    #[must_use]
    pub fn limit(&self) -> Option<Limit> {
        self.rare.max_hold.map(|max| Limit { max, grace: self.rare.kill_after.unwrap_or(DEFAULT_KILL_AFTER) })
    }

    /// How long the locks last in a cluster after this machine has died.
    #[must_use]
    pub fn ttl(&self) -> Duration {
        self.rare.ttl.unwrap_or(DEFAULT_TTL)
    }

    /// The time from SIGTERM to SIGKILL for a command whose lock is lost.
    #[must_use]
    pub fn grace(&self) -> Duration {
        self.rare.grace.unwrap_or(self.ttl() / 3)
    }
}

#[cfg(test)]
mod tests {
    use clap::Command;

    use super::*;

    #[test]
    fn help_shows_the_defaults_that_clap_does_not_know() {
        let options = RareArgs::augment_args(Command::new("gtlock"));
        let shows = |name: &str, default: &str| {
            let option = options.get_arguments().find(|option| option.get_id() == name);
            let help = option.and_then(|option| option.get_help()).expect("it has help").to_string();
            assert!(help.ends_with(&format!("[default: {default}]")), "{help}");
        };
        shows("ttl", &format!("{}s", DEFAULT_TTL.as_secs()));
        shows("kill_after", &format!("{}s", DEFAULT_KILL_AFTER.as_secs()));
        shows("conflict_exit_code", &REFUSED.to_string());
    }
}

//! Options for locks that a cluster keeps.

use std::time::Duration;

use clap::{Args, ValueHint};

use super::values::{parse_at, parse_limit, parse_ttl};
use super::{COMMAND, LOCKS};

/// The environment variable for [`AtArgs::at`].
pub const AT_VARIABLE: &str = "GTLOCK_AT";

/// How long the locks of a machine last after it has died, unless [`ClusterArgs::ttl`] is given.
pub const DEFAULT_TTL: Duration = Duration::from_secs(15);

/// Why --lock-dir is refused.
pub const LOCK_DIR_IN_CLUSTER: &str =
    "--lock-dir is a directory of this machine, and --at names a cluster; put a prefix at the end of the URL";

/// Where the locks are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum At {
    /// On this machine, by its kernel.
    Local,
    /// By the cluster of this URL.
    Cluster(String),
}

#[expect(missing_docs, reason = "clap would take it for the help of the subcommand")]
#[allow(rustdoc::broken_intra_doc_links, reason = "the brackets are those of the help")]
#[derive(Args, Debug)]
pub struct AtArgs {
    /// Take the locks from etcd, which several machines share: etcd://HOST:PORT[,HOST:PORT]...[/PREFIX].
    ///
    /// The text of FILE is the name of the lock. etcds:// encrypts the connections. With local, gtlock takes the locks of
    /// this machine, whatever the environment variable says. Needs the program gtlock-etcd.
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url, env = AT_VARIABLE, hide_env_values = true, value_parser = parse_at,
          help_heading = LOCKS)]
    pub at: Option<At>,
}

impl AtArgs {
    /// The URL of the cluster, if there is one.
    #[must_use]
    pub fn cluster(&self) -> Option<&str> {
        match &self.at {
            Some(At::Cluster(url)) => Some(url),
            Some(At::Local) | None => None,
        }
    }
}

#[expect(missing_docs, reason = "clap would take it for the help of the subcommand")]
#[derive(Args, Debug)]
pub struct ClusterArgs {
    #[command(flatten)]
    pub at: AtArgs,

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
}

impl ClusterArgs {
    pub(super) fn contradiction(&self) -> Option<&'static str> {
        let grace = self.grace.unwrap_or_default();
        let ttl = self.ttl.unwrap_or(DEFAULT_TTL);
        if self.at.cluster().is_none() && (self.ttl.is_some() || self.grace.is_some()) {
            Some(
                "--ttl and --grace are for --at URL; --max-hold TIME ends a command that holds its locks for longer",
            )
        } else if grace * 2 > ttl {
            Some("--grace is more than half of --ttl, which leaves the command no time to run in")
        } else {
            None
        }
    }

    /// How long the locks last after this machine has died.
    #[must_use]
    pub fn ttl(&self) -> Duration {
        self.ttl.unwrap_or(DEFAULT_TTL)
    }

    /// The time from SIGTERM to SIGKILL.
    #[must_use]
    pub fn grace(&self) -> Duration {
        self.grace.unwrap_or(self.ttl() / 3)
    }
}

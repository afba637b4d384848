//! The option for locks that a cluster keeps.

use clap::{Args, ValueHint};

use super::LOCKS;
use super::values::parse_at;

/// The environment variable for [`AtArgs::at`].
pub const AT_VARIABLE: &str = "GTLOCK_AT";

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

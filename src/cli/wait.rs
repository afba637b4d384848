//! The options of everything that waits for a lock.

use std::time::Duration;

use clap::{Args, ValueHint};

use super::BUSY;
use super::values::{TimeoutParser, parse_delay, parse_waiters};
use crate::lock::Wait;

/// The environment variable for [`WaitArgs::timeout`].
pub const TIMEOUT_VARIABLE: &str = "GTLOCK_TIMEOUT";

#[expect(missing_docs, reason = "clap would take it for the help of the subcommand")]
#[derive(Args, Debug)]
pub struct WaitArgs {
    /// Wait at most this long for all the locks together: 5s, '1m 30s', or seconds like 2.5; 0 waits for ever.
    ///
    /// A negative time such as -1 does not wait.
    #[arg(long, value_name = "TIME", value_hint = ValueHint::Other, env = TIMEOUT_VARIABLE, hide_env_values = true, default_value = "0",
          value_parser = TimeoutParser, allow_hyphen_values = true, help_heading = BUSY)]
    pub timeout: Wait,

    /// Poll at this interval instead of waiting in the kernel [10ms if no TIME is given].
    ///
    /// For file systems on which waiting does not work: 5 attempts TIME apart, 5 more at least 50 ms apart, then
    /// at least 100 ms.
    #[arg(long, value_name = "TIME", value_hint = ValueHint::Other, num_args = 0..=1, default_missing_value = "10ms", value_parser = parse_delay, allow_negative_numbers = true,
          help_heading = BUSY)]
    pub retry_delay: Option<Duration>,

    /// Do not wait if K others wait for the lock already.
    ///
    /// With 1, one runs, one waits to run once more, and the rest exit at once, with the status of a busy lock.
    #[arg(long, value_name = "K", value_hint = ValueHint::Other, value_parser = parse_waiters, allow_negative_numbers = true,
          help_heading = BUSY)]
    pub max_waiters: Option<u32>,
}

impl WaitArgs {
    /// Which options contradict each other, and why.
    pub(super) fn contradiction(&self, has_lock_files: bool, in_cluster: bool) -> Option<&'static str> {
        if in_cluster && self.retry_delay.is_some() {
            return Some(
                "--retry-delay does not go with --at URL: etcd reports each release, and gtlock does not poll",
            );
        }
        if in_cluster && self.max_waiters.is_some() {
            return Some("--max-waiters does not go with --at URL; use gtlock try, or --timeout");
        }
        (self.max_waiters.is_some() && !has_lock_files).then_some(
            "--max-waiters does not go with --direct and descriptors: waiters are counted in a lock file",
        )
    }
}

//! What is said to people: one line on standard error, after `gtlock: `.

use std::io::{self, Write};
use std::time::{Duration, SystemTime};

use crate::exit::Exit;

/// Where it failed, for an error of writing to it.
pub const STDOUT: &str = "standard output";

/// Says something on standard error. That nobody listens there is no reason to fail.
pub fn say(message: &str) {
    // In one write, so that lines of several gtlocks do not mix.
    let _ = io::stderr().write_all(format!("gtlock: {message}\n").as_bytes());
}

/// Reports an error that ends the subcommand.
#[must_use]
pub fn failed(error: &anyhow::Error) -> Exit {
    match error.downcast_ref::<io::Error>() {
        Some(e) if e.kind() == io::ErrorKind::BrokenPipe => {} // whoever read our output has had enough
        _ => say(&format!("{error:#}")),
    }
    Exit::Failure
}

/// The exit status of an attempt to print something.
#[must_use]
pub fn printed(result: io::Result<()>) -> Exit {
    match result {
        Ok(()) => Exit::Success,
        Err(e) => failed(&anyhow::Error::from(e).context(STDOUT)),
    }
}

/// How long ago something was, as people say it.
#[must_use]
pub fn age(since: SystemTime) -> String {
    duration(since.elapsed().unwrap_or_default())
}

/// A duration as people say it: to the second; below ten seconds to the tenth of one, below one second to
/// the tenth of a millisecond.
#[must_use]
pub fn duration(duration: Duration) -> String {
    let unit = match duration.as_secs() {
        0 => 100_000,
        1..10 => 100_000_000,
        _ => 1_000_000_000,
    };
    let nanos = duration.as_nanos() / unit * unit;
    let rounded = Duration::from_nanos(nanos.try_into().unwrap_or(u64::MAX));
    humantime::format_duration(rounded).to_string()
}

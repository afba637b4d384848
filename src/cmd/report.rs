//! Messages for people: one line on standard error, after `gtlock: `.

use std::io::{self, Write};
use std::time::{Duration, SystemTime};

use crate::exit::Exit;

/// Where an error of writing to it happened.
pub const STDOUT: &str = "standard output";

/// Prints a message on standard error. It is no error if nobody reads it.
pub fn say(message: &str) {
    // In one write, so that lines of several gtlocks do not mix.
    let _ = io::stderr().write_all(format!("gtlock: {message}\n").as_bytes());
}

/// Reports an error that ends the subcommand.
#[must_use]
pub fn failed(error: &anyhow::Error) -> Exit {
    match error.downcast_ref::<io::Error>() {
        Some(e) if e.kind() == io::ErrorKind::BrokenPipe => {} // the reader of our output has closed it
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

/// How long ago something was, for people.
#[must_use]
pub fn age(since: SystemTime) -> String {
    duration(since.elapsed().unwrap_or_default())
}

/// A duration for people: in milliseconds below one second, to the tenth of a second below ten, then to the second.
#[must_use]
pub fn duration(duration: Duration) -> String {
    match (duration.as_secs(), duration.as_millis()) {
        (_, 0) => "under 1ms".to_owned(),
        (0, millis) => format!("{millis}ms"),
        (seconds @ 1..10, _) => match duration.subsec_millis() / 100 {
            0 => format!("{seconds}s"),
            tenths => format!("{seconds}.{tenths}s"),
        },
        (seconds, _) => humantime::format_duration(Duration::from_secs(seconds)).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_said_as_people_say_them() {
        for (micros, said) in [
            (0, "under 1ms"),
            (999, "under 1ms"),
            (300_100, "300ms"),
            (999_999, "999ms"),
            (1_000_000, "1s"),
            (1_049_000, "1s"),
            (2_550_000, "2.5s"),
            (9_999_999, "9.9s"),
            (10_900_000, "10s"),
            (90_500_000, "1m 30s"),
            (3_600_000_000, "1h"),
        ] {
            assert_eq!(duration(Duration::from_micros(micros)), said);
        }
    }
}

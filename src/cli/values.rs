//! Values of options, read from text.

use std::ffi::OsStr;
use std::time::Duration;

use clap::builder::TypedValueParser;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, Command};

use super::At;
use super::wait::TIMEOUT_VARIABLE;
use crate::escape::Escaped;
use crate::lock::{Slots, Wait};

/// Reads a timeout from the command line or from the environment, where an empty one is none.
#[derive(Clone)]
pub struct TimeoutParser;

impl TypedValueParser for TimeoutParser {
    type Value = Wait;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<Wait, clap::Error> {
        parse_timeout.parse_ref(command, arg, value)
    }

    fn parse_ref_(
        &self,
        command: &Command,
        arg: Option<&Arg>,
        value: &OsStr,
        source: ValueSource,
    ) -> Result<Wait, clap::Error> {
        if source != ValueSource::EnvVariable {
            return self.parse_ref(command, arg, value);
        }
        if value.is_empty() {
            return Ok(Wait::Forever);
        }
        let wait = value.to_str().and_then(|value| parse_timeout(value).ok());
        wait.ok_or_else(|| {
            let shown = Escaped::new(value);
            let message = format!(
                "invalid value '{shown}' in {TIMEOUT_VARIABLE}; set it to a time like 5s or 2.5, or unset it"
            );
            command.clone().error(ErrorKind::ValueValidation, message)
        })
    }
}

/// Reads the longest time that a command may take.
pub fn parse_limit(text: &str) -> Result<Duration, String> {
    match parse_time(text.trim()) {
        Ok(Duration::ZERO) => Err("give a time above 0".to_owned()),
        Err(_) if text.starts_with('-') => Err("give a time above 0".to_owned()),
        limit => limit.map_err(|why| format!("{why}; give a time like 30s, 5m or 2.5")),
    }
}

/// Reads how long the locks of a machine last after it has died.
pub fn parse_ttl(text: &str) -> Result<Duration, String> {
    match parse_limit(text) {
        Ok(ttl) if ttl < MIN_TTL => Err("give at least 3s".to_owned()),
        Ok(ttl) if ttl > MAX_TTL => Err("give at most 2500000h, the limit of etcd".to_owned()),
        ttl => ttl,
    }
}

const MIN_TTL: Duration = Duration::from_secs(3);

/// The longest lease of etcd.
const MAX_TTL: Duration = Duration::from_hours(2_500_000);

/// Reads where the locks are kept. An empty text is a variable that is set to nothing.
pub fn parse_at(text: &str) -> Result<At, String> {
    match text.split_once("://") {
        Some(("etcd" | "etcds", rest)) if !rest.is_empty() => Ok(At::Cluster(text.to_owned())),
        _ if text.is_empty() || text == "local" => Ok(At::Local),
        _ => {
            Err("give etcd://HOST:PORT, etcds://HOST:PORT, or local for the locks of this machine".to_owned())
        }
    }
}

/// Reads a timeout: a time as in [`parse_time`], 0 for ever, negative for no wait at all.
fn parse_timeout(text: &str) -> Result<Wait, String> {
    let (negative, time) = match text.trim().strip_prefix('-') {
        Some(time) => (true, time),
        None => (false, text.trim()),
    };
    let time = parse_time(time).map_err(|why| {
        format!("{why}; give a time like 5s, '1m 30s' or 2.5, 0 to wait for ever, -1 not to wait")
    })?;
    Ok(match time {
        Duration::ZERO => Wait::Forever,
        _ if negative => Wait::Never,
        time => Wait::For(time),
    })
}

pub fn parse_delay(text: &str) -> Result<Duration, String> {
    parse_time(text.trim()).map_err(|why| format!("{why}; give a time like 10ms or 0.5"))
}

/// Whether a text is a time for --timeout.
#[must_use]
pub fn is_time(text: &str) -> bool {
    parse_timeout(text).is_ok()
}

/// Reads the number of a descriptor.
pub fn parse_descriptor(text: &str) -> Result<i32, String> {
    let number = text.parse().ok().filter(|number| *number >= 0);
    number.ok_or_else(|| {
        "not the number of a descriptor, such as 9 after 9>FILE; a file goes after --write or --read"
            .to_owned()
    })
}

/// Reads an exit status.
pub fn parse_exit_status(text: &str) -> Result<u8, String> {
    text.parse().map_err(|_| "not an exit status; give a number from 0 to 255".to_owned())
}

/// Reads a number of slots.
pub fn parse_slots(text: &str) -> Result<u32, String> {
    let number = text.parse().ok().filter(|number| (1..=Slots::MAX).contains(number));
    number.ok_or_else(|| format!("give a number from 1 to {}", Slots::MAX))
}

/// Reads how many others may wait.
pub fn parse_waiters(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(0) => Err("give a number from 1; gtlock try does not wait at all".to_owned()),
        others => others.map_err(|_| "give a number from 1".to_owned()),
    }
}

/// Reads `1m 30s`, `250ms`, or a plain number of seconds, `2.5`.
pub fn parse_time(text: &str) -> Result<Duration, String> {
    let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if is_number {
        let seconds: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
        let time = Duration::try_from_secs_f64(seconds).map_err(|_| "out of range".to_owned())?;
        // What rounds to nothing is not the 0 that means for ever.
        Ok(if seconds > 0.0 { time.max(Duration::from_nanos(1)) } else { time })
    } else if text.split(|c: char| !c.is_alphabetic()).any(|unit| unit == "M") {
        Err("M would be months, 1m is a minute".to_owned())
    } else {
        let with_digit = text.strip_prefix('.').map(|rest| format!("0.{rest}"));
        humantime::parse_duration(with_digit.as_deref().unwrap_or(text)).map_err(|e| match e {
            humantime::DurationError::UnknownUnit { unit, .. } => format!("no unit is called {unit}"),
            humantime::DurationError::NumberOverflow => "out of range".to_owned(),
            _ => "not a time".to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn timeouts_have_three_modes() {
        let wait = |time| Ok(Wait::For(time));
        assert_eq!(parse_timeout("5s"), wait(Duration::from_secs(5)));
        assert_eq!(parse_timeout("1m 30s"), wait(Duration::from_secs(90)));
        assert_eq!(parse_timeout("250ms"), wait(Duration::from_millis(250)));
        assert_eq!(parse_timeout("2.5"), wait(Duration::from_millis(2500)));
        for half in [".5", ".5s", "0.5s", "500ms"] {
            assert_eq!(parse_timeout(half), wait(Duration::from_millis(500)), "{half}");
        }
        assert_eq!(parse_timeout("0.0000000001"), wait(Duration::from_nanos(1)));
        for forever in ["0", "0.0", "0s"] {
            assert_eq!(parse_timeout(forever), Ok(Wait::Forever), "{forever}");
        }
        for never in ["-1", "-0.5", "-3s"] {
            assert_eq!(parse_timeout(never), Ok(Wait::Never), "{never}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for bad in
            ["", "-", "abc", "5 parsecs", "1e3", "nan", "inf", "--1", "1.2.3", "99999999999999999999999"]
        {
            assert!(parse_timeout(bad).is_err(), "{bad}");
        }
        assert!(parse_delay("-1").is_err());
    }

    proptest! {
        #[test]
        fn whatever_is_given_as_a_time_is_read_or_refused_with_the_remedy(
            text in prop_oneof![".*", "-?[0-9.]{0,25}", " ?-?([0-9]{1,20} ?(ms|s|m|h|d|y)? ?){0,4}"],
        ) {
            match parse_timeout(&text) {
                Ok(wait) => prop_assert!(wait != Wait::For(Duration::ZERO)),
                Err(why) => prop_assert!(why.contains("give a time like"), "{why}"),
            }
            prop_assert!(parse_delay(&text).is_ok() || parse_timeout(&text).is_err() || text.contains('-'));
        }

        #[test]
        fn times_are_read_as_written(secs in 0..1_u64 << 32, nanos in 0..1_000_000_000_u32) {
            let time = Duration::new(secs, nanos);
            prop_assume!(!time.is_zero());
            let text = humantime::format_duration(time).to_string();
            prop_assert_eq!(parse_timeout(&text), Ok(Wait::For(time)));
            prop_assert_eq!(parse_timeout(&format!("-{text}")), Ok(Wait::Never));
            let seconds = Duration::from_millis(secs);
            prop_assume!(!seconds.is_zero());
            let plain = format!("{}.{:03}", seconds.as_secs(), seconds.subsec_millis());
            let Ok(Wait::For(read)) = parse_timeout(&plain) else { panic!("{plain} is refused") };
            prop_assert!(read.abs_diff(seconds) < Duration::from_micros(1), "{read:?}");
        }
    }
}

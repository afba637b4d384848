//! Points and lengths of time in the log, both to the microsecond.

use std::borrow::Cow;
use std::fmt;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The last moment that RFC 3339 can name, the end of the year 9999, in microseconds.
const LAST: u64 = 253_402_300_799_999_999;

/// The longest time that is believed, in microseconds: 8,000 years.
const MAX_SPAN: f64 = 252_460_800_000.0 * 1e6;

/// A point in time: microseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

impl Moment {
    /// Microseconds since 1970.
    #[must_use]
    pub fn micros(self) -> u64 {
        self.0
    }

    /// This much later.
    #[must_use]
    pub fn after(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0).min(LAST))
    }

    /// How long before this another moment was.
    #[must_use]
    pub fn since(self, earlier: Self) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

impl From<SystemTime> for Moment {
    fn from(time: SystemTime) -> Self {
        let since_epoch = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self(Span::from(since_epoch).0.min(LAST))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = SystemTime::UNIX_EPOCH + Duration::from_micros(self.0);
        humantime::format_rfc3339_micros(time).fmt(f)
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        humantime::parse_rfc3339(&text).map(Self::from).map_err(de::Error::custom)
    }
}

/// A length of time: microseconds; in JSON, seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub u64);

impl Span {
    /// In seconds.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "exact for 35 years")]
    pub fn seconds(self) -> f64 {
        self.0 as f64 / 1e6
    }
}

impl std::ops::AddAssign for Span {
    fn add_assign(&mut self, other: Self) {
        self.0 = self.0.saturating_add(other.0);
    }
}

impl From<Duration> for Span {
    fn from(duration: Duration) -> Self {
        Self(duration.as_micros().try_into().unwrap_or(u64::MAX))
    }
}

/// For tables: two or three digits and a unit.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ms, s) = (self.0 / 1000, self.0 / 1_000_000);
        let text = match self.0 {
            ..1000 => format!("{}us", self.0),
            1000..10_000 => format!("{}.{}ms", ms, self.0 / 100 % 10),
            10_000..1_000_000 => format!("{ms}ms"),
            1_000_000..10_000_000 => format!("{s}.{}s", ms / 100 % 10),
            _ if s < 60 => format!("{s}s"),
            _ if s < 3600 => format!("{}m {}s", s / 60, s % 60),
            _ if s < 86400 => format!("{}h {}m", s / 3600, s / 60 % 60),
            _ => format!("{}d {}h", s / 86400, s / 3600 % 24),
        };
        f.pad(&text)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.seconds())
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let micros = f64::deserialize(deserializer)? * 1e6;
        if !(0.0..=MAX_SPAN).contains(&micros) {
            return Err(de::Error::custom("no length of time"));
        }
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is in that range")]
        Ok(Self(micros.round() as u64))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn spans_are_short() {
        let shown =
            [0, 999, 1000, 12_345, 999_999, 1_250_000, 59_999_999, 182_000_000, 7_500_000_000, 1 << 40];
        let shown = shown.map(|span| Span(span).to_string());
        assert_eq!(
            shown,
            ["0us", "999us", "1.0ms", "12ms", "999ms", "1.2s", "59s", "3m 2s", "2h 5m", "12d 17h"]
        );
    }

    proptest! {
        #[test]
        fn times_are_read_as_written(micros in 0..1_u64 << 50) {
            let json = serde_json::to_string(&(Moment(micros), Span(micros))).expect("JSON");
            let read: (Moment, Span) = serde_json::from_str(&json).expect("times");
            prop_assert_eq!(read, (Moment(micros), Span(micros)), "{}", json);
        }

        #[test]
        fn no_number_is_too_large_for_a_sum(seconds in any::<f64>()) {
            if let Ok(span) = serde_json::from_str::<Span>(&format!("{seconds:e}")) {
                let _ = Moment(LAST).after(span).to_string();
                prop_assert!((0.0..1e12).contains(&seconds));
            }
        }
    }
}

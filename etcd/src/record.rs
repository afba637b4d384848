//! The value of a key: who waits for a lock, or runs a command under it.

use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use gtlock::lock::Mode;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::keys::letter;

/// The value of a place in the queue, or of a record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// The version of this format.
    pub v: u32,
    /// `w` or `r`.
    pub mode: String,
    pub host: String,
    pub pid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    pub command: Vec<String>,
    /// When it asked for the lock, in milliseconds since 1970.
    pub asked: u64,
    /// When its command started, likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    /// How long its command may run on after the lock was lost.
    pub delay_ms: u64,
}

impl Record {
    /// The same record, with this mode.
    pub fn with_mode(&self, mode: Mode) -> Self {
        Self { mode: letter(mode).to_owned(), ..self.clone() }
    }

    /// Reads the value of a key. Anything else than a record counts as an empty one.
    pub fn read(value: &[u8]) -> Self {
        serde_json::from_slice(value).unwrap_or_default()
    }

    pub fn write(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    pub fn is_exclusive(&self) -> bool {
        self.mode != letter(Mode::Shared)
    }

    pub fn delay(&self) -> Duration {
        Duration::from_millis(self.delay_ms)
    }

    /// Since when it holds the lock or waits for it.
    pub fn time(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(self.since.unwrap_or(self.asked))
    }
}

/// Milliseconds since 1970.
pub fn millis_now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A key and its value, from a range.
#[derive(Clone, Debug)]
pub struct Pair {
    pub key: Vec<u8>,
    pub value: Vec<u8>,
    /// The revision in which the key was created.
    pub created: i64,
    /// The revision in which the key was last written.
    pub modified: i64,
}

impl Pair {
    /// All pairs in the answer to a range.
    pub fn all(range: &Value) -> Vec<Self> {
        range["kvs"].as_array().into_iter().flatten().map(Self::of).collect()
    }

    /// One of an answer.
    pub fn of(pair: &Value) -> Self {
        Self {
            key: bytes(&pair["key"]),
            value: bytes(&pair["value"]),
            created: number(&pair["create_revision"]),
            modified: number(&pair["mod_revision"]),
        }
    }

    pub fn record(&self) -> Record {
        Record::read(&self.value)
    }
}

/// Bytes as the gateway writes them.
pub fn base64(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(bytes)
}

pub fn bytes(value: &Value) -> Vec<u8> {
    BASE64_STANDARD.decode(value.as_str().unwrap_or_default()).unwrap_or_default()
}

/// A 64-bit number, which the gateway writes as a string.
pub fn number(value: &Value) -> i64 {
    value.as_str().and_then(|text| text.parse().ok()).or_else(|| value.as_i64()).unwrap_or(0)
}

//! The messages between front and keeper: the keeper sends lines of JSON, the front single bytes.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::record::Record;

/// A message from the keeper.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Said {
    /// The request waits, and for whom.
    Waits { name: Name, who: String },
    /// An earlier holder ended without releasing: the request waits until that holder's command is stopped for certain.
    Delays { name: Name, millis: u64 },
    /// The locks are held.
    Holds { fence: i64, key: Name, lease: String },
    /// Who holds a lock that the request begins to wait for, for the log.
    Behind { name: Name, holder: Option<Record> },
    /// A lock is busy, and the request does not wait.
    Refused { name: Name, who: String, holder: Option<Record> },
    /// A lock was not acquired in time.
    TimedOut { name: Name, who: String, holder: Option<Record> },
    /// The locks are free: the answer to a test without a command.
    Free,
    /// The request failed.
    Failed(String),
    /// A warning for the user.
    Warns(String),
    /// The locks are released, or left to etcd until `--min-hold` has passed.
    Released,
}

/// A name, as bytes.
pub type Name = Vec<u8>;

/// A message from the front.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// The command has ended: release.
    Ended,
    /// The command could not be run: release.
    NeverRan,
    /// The command was cut off: release once the processes that it left behind have ended.
    CutOff,
}

impl Told {
    pub fn byte(self) -> u8 {
        match self {
            Self::Ended => b'e',
            Self::NeverRan => b'n',
            Self::CutOff => b'c',
        }
    }

    pub fn from_byte(byte: u8) -> Option<Self> {
        [Self::Ended, Self::NeverRan, Self::CutOff].into_iter().find(|told| told.byte() == byte)
    }
}

/// The keeper's side.
#[derive(Clone)]
pub struct Speaker(Arc<Mutex<UnixStream>>);

impl Speaker {
    pub fn new(stream: UnixStream) -> Self {
        Self(Arc::new(Mutex::new(stream)))
    }

    /// Sends a message. The front may be gone.
    pub fn say(&self, said: &Said) {
        let Ok(mut line) = serde_json::to_vec(said) else { return };
        line.push(b'\n');
        let _ = self.0.lock().unwrap_or_else(PoisonError::into_inner).write_all(&line);
    }
}

/// The front's side.
#[derive(Debug)]
pub struct Listener(BufReader<UnixStream>);

impl Listener {
    pub fn new(stream: UnixStream) -> Self {
        Self(BufReader::new(stream))
    }

    /// The next message; `None` if the keeper has ended, or sends nothing within the read timeout of the stream.
    pub fn next(&mut self) -> Option<Said> {
        let mut line = Vec::new();
        let read = self.0.read_until(b'\n', &mut line).ok()?;
        if read == 0 { None } else { serde_json::from_slice(&line).ok() }
    }

    /// The stream, to write to.
    pub fn stream(&self) -> &UnixStream {
        self.0.get_ref()
    }
}

//! What the front and the keeper tell each other: the keeper in lines of JSON, the front in single bytes.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::record::Record;

/// What the keeper says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Said {
    /// It waits, and for whom.
    Waits { name: Name, who: String },
    /// An earlier holder ended without releasing: it waits until its command is stopped for certain.
    Delays { name: Name, millis: u64 },
    /// The locks are held.
    Holds { fence: i64, key: Name, lease: String },
    /// Who has the lock that it begins to wait for, for the log.
    Behind { name: Name, holder: Option<Record> },
    /// They were not obtained.
    Refused { name: Name, who: String, holder: Option<Record> },
    /// Nor within the time.
    TimedOut { name: Name, who: String, holder: Option<Record> },
    /// They could be taken: the answer to a question.
    Free,
    /// It cannot go on.
    Failed(String),
    /// Something that people should know.
    Warns(String),
    /// The locks are released, or the cluster is going to.
    Released,
}

/// A name, of whatever bytes.
pub type Name = Vec<u8>;

/// What the front says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// The command has ended: release.
    Ended,
    /// The command could not be run: release.
    NeverRan,
    /// The command was cut off: release when what it has left is gone.
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

    /// Says something; nobody may be there to hear it.
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

    /// The next that the keeper says; `None` if it has ended, or says nothing within the time that the stream allows.
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

//! The keys of a lock in etcd.
//!
//! | key | meaning |
//! | --- | --- |
//! | `/PREFIX/q/NAME/w/LEASE` | a writer holds the lock or waits for it; the key ends with its lease |
//! | `/PREFIX/q/NAME/r/LEASE` | a reader, likewise |
//! | `/PREFIX/held/NAME/LEASE` | its command may run; under no lease, so that it outlasts a holder that could not release |
//!
//! `/` and `%` in NAME are written as `%2F` and `%25`. Both keys of a request are created in one revision, which is its place in
//! the queue and its fence.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use gtlock::lock::Mode;

/// The keys of a prefix.
#[derive(Clone, Debug)]
pub struct Keys {
    prefix: String,
}

/// A key of a queue, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub name: OsString,
    pub mode: Mode,
    pub lease: String,
}

impl Keys {
    pub fn below(prefix: &str) -> Self {
        Self { prefix: format!("/{prefix}/") }
    }

    /// The prefix of all queues.
    pub fn queues(&self) -> Vec<u8> {
        format!("{}q/", self.prefix).into_bytes()
    }

    /// The prefix of all records.
    pub fn records(&self) -> Vec<u8> {
        format!("{}held/", self.prefix).into_bytes()
    }

    /// The prefix of the queue for a lock.
    pub fn queue(&self, name: &OsStr) -> Vec<u8> {
        [self.queues(), encode(name), b"/".to_vec()].concat()
    }

    /// The prefix of the writers in that queue.
    pub fn writers(&self, name: &OsStr) -> Vec<u8> {
        [self.queue(name), b"w/".to_vec()].concat()
    }

    /// The key of a request in that queue.
    pub fn place(&self, name: &OsStr, mode: Mode, lease: i64) -> Vec<u8> {
        [self.queue(name), format!("{}/{lease:x}", letter(mode)).into_bytes()].concat()
    }

    /// The prefix of the records of a lock.
    pub fn records_of(&self, name: &OsStr) -> Vec<u8> {
        [self.records(), encode(name), b"/".to_vec()].concat()
    }

    /// The key of a record.
    pub fn record(&self, name: &OsStr, lease: i64) -> Vec<u8> {
        [self.records_of(name), format!("{lease:x}").into_bytes()].concat()
    }

    /// Takes a key of a queue apart.
    pub fn read_place(&self, key: &[u8]) -> Option<Place> {
        let rest = key.strip_prefix(self.queues().as_slice())?;
        let mut parts = rest.split(|&b| b == b'/');
        let (name, letter, lease) = (parts.next()?, parts.next()?, parts.next()?);
        let mode = match letter {
            b"w" => Mode::Exclusive,
            b"r" => Mode::Shared,
            _ => return None,
        };
        Some(Place { name: decode(name), mode, lease: String::from_utf8(lease.to_vec()).ok()? })
    }

    /// Takes the key of a record apart: the name of the lock, and the lease.
    pub fn read_record(&self, key: &[u8]) -> Option<(OsString, String)> {
        let rest = key.strip_prefix(self.records().as_slice())?;
        let mut parts = rest.split(|&b| b == b'/');
        Some((decode(parts.next()?), String::from_utf8(parts.next()?.to_vec()).ok()?))
    }
}

/// A mode, as keys and records write it.
pub fn letter(mode: Mode) -> &'static str {
    match mode {
        Mode::Exclusive => "w",
        Mode::Shared => "r",
    }
}

/// The first key after all those that begin with `prefix`, which ends in a slash.
pub fn end_of(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    end
}

fn encode(name: &OsStr) -> Vec<u8> {
    let mut encoded = Vec::new();
    for &byte in name.as_bytes() {
        match byte {
            b'/' => encoded.extend(b"%2F"),
            b'%' => encoded.extend(b"%25"),
            byte => encoded.push(byte),
        }
    }
    encoded
}

fn decode(encoded: &[u8]) -> OsString {
    let mut name = Vec::new();
    let mut rest = encoded;
    while let Some((&byte, after)) = rest.split_first() {
        let (byte, after) = match rest {
            [b'%', b'2', b'F', after @ ..] => (b'/', after),
            [b'%', b'2', b'5', after @ ..] => (b'%', after),
            _ => (byte, after),
        };
        name.push(byte);
        rest = after;
    }
    OsString::from_vec(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_survives_its_key() {
        let keys = Keys::below("town");
        for name in [&b"state.json"[..], b"/var/lib/x", b"100%/%2F", b"a\nb", b"\xff\xfe", b"w/r"] {
            let name = OsStr::from_bytes(name);
            let key = keys.place(name, Mode::Exclusive, 0x1f);
            let place = keys.read_place(&key).expect("a place");
            assert_eq!((place.name.as_os_str(), place.lease.as_str()), (name, "1f"));
            assert_eq!(keys.read_record(&keys.record(name, 7)), Some((name.to_owned(), "7".to_owned())));
        }
        assert_eq!(keys.place(OsStr::new("a/b"), Mode::Shared, 16), b"/town/q/a%2Fb/r/10");
    }
}

//! Temporary files beside the file that they are to replace.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::hash::{BuildHasher, DefaultHasher, Hash, Hasher, RandomState};
use std::io;
use std::sync::Arc;

use crate::sys::{Dir, Secrecy};

/// The longest name, in bytes, that its temporary's is made from, so that this stays below the limits of all file
/// systems.
const MAX_SHOWN: usize = 100;

/// The length of the random end of a temporary's name, in hexadecimal digits.
const RANDOM: usize = 8;

/// A file of this process's in a directory, removed when dropped unless it has got another name.
#[derive(Debug)]
pub struct Temporary {
    dir: Arc<Dir>,
    name: OsString,
    is_there: bool,
}

impl Temporary {
    /// Makes a temporary for the file of this name.
    pub fn create(dir: &Arc<Dir>, replaced: &OsStr, secrecy: Secrecy) -> io::Result<(Self, File)> {
        Self::with_name(dir, replaced, |name| dir.create(name, secrecy))
    }

    /// Gives the file of this name a temporary name too.
    pub fn name_for(dir: &Arc<Dir>, file: &OsStr) -> io::Result<Self> {
        Ok(Self::with_name(dir, file, |name| dir.add_name(file, name))?.0)
    }

    fn with_name<T>(
        dir: &Arc<Dir>,
        replaced: &OsStr,
        create: impl Fn(&OsStr) -> io::Result<T>,
    ) -> io::Result<(Self, T)> {
        loop {
            let random = RandomState::new().hash_one(()) & ((1 << (4 * RANDOM)) - 1);
            let mut name = prefix(replaced);
            name.push(format!("{random:0RANDOM$x}"));
            match create(&name) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                created => return Ok((Self { dir: Arc::clone(dir), name, is_there: true }, created?)),
            }
        }
    }

    /// Gives it this name for good; what had the name is gone.
    pub fn rename_to(mut self, name: &OsStr) -> io::Result<()> {
        self.dir.rename(&self.name, name)?;
        self.is_there = false;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if self.is_there {
            let _ = self.dir.remove(&self.name); // the next update tries again
        }
    }
}

/// Removes what killed updates of the file of this name have left, under its lock. That nothing can be
/// removed is no reason to fail.
pub fn remove_leftovers(dir: &Dir, replaced: &OsStr) {
    let prefix = prefix(replaced);
    let is_temporary = |name: &OsStr| {
        let random = name.as_encoded_bytes().strip_prefix(prefix.as_encoded_bytes());
        random.is_some_and(|random| random.len() == RANDOM && random.iter().all(u8::is_ascii_hexdigit))
    };
    let Ok(entries) = dir.entries() else { return };
    for entry in entries.flatten().filter(|entry| entry.is_file && is_temporary(&entry.name)) {
        let _ = dir.remove(&entry.name);
    }
}

/// What the names of a file's temporaries begin with, and nobody else's: `.state.json.gtlock-`.
fn prefix(replaced: &OsStr) -> OsString {
    let mut prefix = OsString::from(".");
    if replaced.len() <= MAX_SHOWN {
        prefix.push(replaced);
    } else {
        let mut hasher = DefaultHasher::new();
        replaced.hash(&mut hasher);
        prefix.push(format!("{:016x}", hasher.finish()));
    }
    prefix.push(".gtlock-");
    prefix
}

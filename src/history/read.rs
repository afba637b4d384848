//! Reads the log, a line at a time, in bounded memory.

use std::io::{self, BufRead, Read};

use serde::{Deserialize, Serialize, de};

use super::{Entry, VERSION};

/// No line that gtlock writes is longer.
const LONGEST: u64 = 1 << 20;

/// How every line begins. No string can contain it, since the quotes would be escaped.
const START: &[u8] = b"{\"version\":";

/// Lines that were passed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// Begun, but not ended.
    pub torn: u64,
    /// From another version of gtlock.
    pub other_version: u64,
    /// Anything else.
    pub foreign: u64,
}

/// The lines of logs.
#[derive(Debug, Default)]
pub struct Lines {
    /// What was passed over so far.
    pub skipped: Skipped,
    line: Vec<u8>,
}

impl Lines {
    /// Hands over every entry of a log.
    ///
    /// # Errors
    ///
    /// If the log cannot be read.
    pub fn read(&mut self, mut log: impl BufRead, mut entry: impl FnMut(&Entry<'_>)) -> io::Result<()> {
        loop {
            self.line.clear();
            if log.by_ref().take(LONGEST).read_until(b'\n', &mut self.line)? == 0 {
                return Ok(());
            }
            if self.line.len() as u64 == LONGEST && !self.line.ends_with(b"\n") {
                skip_line(&mut log)?;
                self.skipped.foreign += 1;
                continue;
            }
            let mut line = self.line.trim_ascii();
            let mut read = parse(line);
            // After a line that was torn, on a full disk, the next follows at once.
            if read.is_err()
                && let Some(last) = line.windows(START.len()).rposition(|window| window == START)
                && last > 0
            {
                self.skipped.torn += 1;
                line = &line[last..];
                read = parse(line);
            }
            match read {
                Ok(read) => entry(&read),
                Err(_) if line.is_empty() => {}
                Err(e) if e.is_eof() && line.starts_with(START) => self.skipped.torn += 1,
                Err(_) if is_other_version(line) => self.skipped.other_version += 1,
                Err(_) => self.skipped.foreign += 1,
            }
        }
    }
}

fn parse(line: &[u8]) -> serde_json::Result<Entry<'_>> {
    let entry: Entry = serde_json::from_slice(line)?;
    if entry.version == VERSION { Ok(entry) } else { Err(de::Error::custom("another version")) }
}

fn is_other_version(line: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Versioned {
        version: u32,
    }
    serde_json::from_slice(line).is_ok_and(|Versioned { version }| version != VERSION)
}

fn skip_line(log: &mut impl BufRead) -> io::Result<()> {
    loop {
        let buffer = log.fill_buf()?;
        let (used, is_end) = match buffer.iter().position(|&byte| byte == b'\n') {
            Some(end) => (end + 1, true),
            None => (buffer.len(), buffer.is_empty()),
        };
        log.consume(used);
        if is_end {
            return Ok(());
        }
    }
}

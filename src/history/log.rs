//! Writes the log.

use std::io;
use std::path::Path;

use super::Entry;
use crate::sys;

/// Appends an entry. The file is opened for each, so that it may be renamed or cut short at any moment, and
/// written to once, so that lines of many writers do not mix. What would block (a FIFO that nobody reads) fails.
///
/// # Errors
///
/// What the system said; of the line a part may have been written.
pub fn append(log: &Path, entry: &Entry<'_>) -> io::Result<()> {
    let mut line = serde_json::to_vec(entry)?;
    line.push(b'\n');
    sys::append(log, &line)
}

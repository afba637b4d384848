//! Files rewritten all or nothing, under their lock.
//!
//! The new content goes into a temporary file beside the old one, which takes its name once it is complete: readers
//! that take no lock see the old content or the new, never a part and never none, whatever is killed. The old file
//! as an open file, a hard link of it or a backup keeps the old content.
//!
//! A symbolic link stays, and what it leads to is replaced. The new file gets the old one's mode, owner, ACL and
//! extended attributes, as far as this user may set them (on Windows, what the directory gives every new file). A
//! temporary that a killed process leaves is removed by the next update of that file.
//!
//! ```
//! # let dir = tempfile::tempdir()?;
//! # let counter = dir.path().join("counter");
//! use gtlock::update::update;
//!
//! let add_one = |old: Option<&[u8]>| -> Result<Vec<u8>, Box<dyn std::error::Error>> {
//!     let count: u64 = std::str::from_utf8(old.unwrap_or(b"0"))?.parse()?;
//!     Ok((count + 1).to_string().into_bytes())
//! };
//! update(&counter, add_one)?;
//! update(&counter, add_one)?;
//! assert_eq!(std::fs::read_to_string(&counter)?, "2");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod replacement;
mod temporary;

use std::path::Path;

pub use replacement::{Durability, Finished, Original, Replacement, Sink};

use crate::lock::{Error, Request};

/// Rewrites a data file under its write lock, for which it waits for ever. `change` gets the content, `None` if there
/// is no such file, and returns the new one. If it fails, or anything else, the file is as it was.
///
/// With another lock (a timeout, say), take that and use [`Original`].
///
/// # Errors
///
/// As [`Request::lock`]; [`Error::Io`] if the file cannot be read or replaced; and what `change` returns.
pub fn update<E: From<Error>>(
    path: impl AsRef<Path>,
    change: impl FnOnce(Option<&[u8]>) -> Result<Vec<u8>, E>,
) -> Result<(), E> {
    let path = path.as_ref();
    Original::check(path)?;
    let _guard = Request::exclusive(path).lock()?;
    let original = Original::open(path)?;
    let new = change(original.read()?.as_deref())?;
    let mut replacement = original.replace()?;
    replacement.fill(new.as_slice())?;
    Ok(replacement.finish(Durability::Flushed)?.commit(None)?)
}

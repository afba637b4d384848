//! The waiting room in front of a line: it limits how many wait.
//!
//! It has as many seats as others may wait. A seat is one byte of the lock file, locked like a place in the line. Its owner
//! takes it before it takes a place, and keeps it until it has the lock, before its command runs: so each process that has
//! a seat still runs its command after one that was refused a seat. Those that wait without the option have no seat, and
//! are counted by their places first. So a refused process never holds a seat or a place, and causes no other refusal.

use std::fs::File;
use std::io;
use std::thread;
use std::time::Duration;

use super::error::needs_places;
use super::line;
use crate::sys::{
    self,
    places::{self, Taken},
};

/// How long to look again at a line that seems full: a process that waited for a place holds that one beside its own
/// for a moment.
const AGAIN: Duration = Duration::from_millis(1);

/// Takes a seat; `None` if all are taken.
pub fn enter(file: &File, max_waiters: u32) -> io::Result<Option<Taken<'_>>> {
    let is_full = || has_places(file, max_waiters as usize);
    if is_full()?
        && (max_waiters == 1 || {
            thread::sleep(AGAIN);
            is_full()?
        })
    {
        return Ok(None);
    }
    for number in 0..max_waiters {
        if let Some(seat) = places::take_alone(file, sys::seat(number)).map_err(explained)? {
            return Ok(Some(seat.until_dropped(file)));
        }
    }
    Ok(None)
}

/// Whether at least so many places in the line are taken.
fn has_places(file: &File, at_least: usize) -> io::Result<bool> {
    for (found, place) in (1..).zip(line::all(file)) {
        place.map_err(explained)?;
        if found >= at_least {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Why waiters cannot be counted.
fn explained(error: io::Error) -> io::Error {
    needs_places(
        error,
        "a limit of waiters",
        "this system does not show how many wait: do without a limit of waiters, or use --timeout",
    )
}

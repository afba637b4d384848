//! The waiting room in front of a line: who asks for it does not wait where so many others do already.
//!
//! It has as many seats as others may wait. A seat is one byte of the lock file, locked as a place in the line is, from
//! before its owner has a place until it has the lock: before its command runs, so that whoever is refused a seat is
//! followed by a run of each that has one. Those who wait without the option have no seat, and are counted by their
//! places first. So nobody takes a seat, or a place, who is refused then, and nobody is refused because of one who was.

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

/// How long to look again at a line that seems to be full: whoever has waited for a place has that for a moment
/// beside its own.
const AGAIN: Duration = Duration::from_millis(1);

/// Takes a seat; `None` if so many others wait already.
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

/// Why those who wait cannot be counted.
fn explained(error: io::Error) -> io::Error {
    needs_places(
        error,
        "a limit of waiters",
        "this system does not show how many wait: do without a limit of waiters, or use --timeout",
    )
}

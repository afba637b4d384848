//! The line for a lock: the places that are taken in its file.

use std::fs::File;
use std::io;

use crate::process::Processes;
use crate::sys::places::{self, TICKET};

/// A place that is taken, until dropped.
#[derive(Debug)]
pub struct Place<'a> {
    /// Which one.
    pub number: u64,
    _taken: places::Taken<'a>,
}

impl<'a> Place<'a> {
    /// Takes the place behind all that are taken.
    pub fn take(file: &'a File) -> io::Result<Self> {
        loop {
            let last = highest(file, places::FIRST, places::END)?;
            let ticket = last.map_or(places::FIRST, |last| (last / TICKET + 1) * TICKET);
            let number = places::of_this_process(ticket);
            if let Some(taken) = places::take(file, number)? {
                return Ok(Self { number, _taken: taken });
            }
        }
    }
}

/// Whether anybody is in line for the lock on a file.
pub fn is_there(file: &File) -> bool {
    places::taken(file, places::FIRST, places::END).is_ok_and(|place| place.is_some())
}

/// The places that are taken, in any order.
pub fn all(file: &File) -> impl Iterator<Item = io::Result<u64>> {
    let mut left = vec![(places::FIRST, places::END)];
    std::iter::from_fn(move || {
        while let Some((from, to)) = left.pop() {
            match places::taken(file, from, to) {
                Ok(Some(place)) => {
                    left.extend([(from, place), (place + 1, to)]);
                    return Some(Ok(place));
                }
                Ok(None) => {}
                Err(e) => return Some(Err(e)),
            }
        }
        None
    })
}

/// Whether all in line are stopped, so that they keep nobody from the lock. They are if nobody is in line.
pub fn is_stopped(file: &File) -> bool {
    all(file).map_while(Result::ok).all(has_stopped)
}

/// Whether the owner of a place is stopped. Its PID may be that of another namespace: then this looks at another process,
/// and at worst one that was only slow is passed.
pub fn has_stopped(place: u64) -> bool {
    places::owner(place).is_some_and(|pid| Processes::default().is_stopped(pid))
}

/// The highest place taken in `from..to`. In a long row it is found by asking about larger and larger parts.
pub fn highest(file: &File, from: u64, mut to: u64) -> io::Result<Option<u64>> {
    let mut known = None;
    let mut step = TICKET;
    while let Some(found) = places::taken(file, known.map_or(from, |known| known + 1), to)? {
        let farther = found.saturating_add(step).min(to);
        if let Some(last) = places::taken(file, farther, to)? {
            (known, step) = (Some(last), step * 2);
        } else {
            (known, step, to) = (Some(found), TICKET, farther);
        }
    }
    Ok(known)
}

/// The lowest place taken from `from`, if some place up to `known` is taken.
pub fn lowest(file: &File, from: u64, known: u64) -> u64 {
    let mut lowest = known;
    while let Ok(Some(lower)) = places::taken(file, from, lowest) {
        lowest = lower;
    }
    lowest
}

//! Waiting for a lock that was refused: in the kernel, or by trying again.

use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use super::{Mode, flock};
use crate::sys;

/// Asked as a wait begins, and then at the time it returned last: when to ask again, or whether to end the wait.
pub type Ask<'a> = &'a mut dyn FnMut(Instant) -> ControlFlow<(), Option<Instant>>;

/// Asks for no end of a wait but the deadline.
pub fn to_the_end(_: Instant) -> ControlFlow<(), Option<Instant>> {
    ControlFlow::Continue(None)
}

/// Waits for the lock in the kernel, woken by its release; `None` once the deadline has passed, or `ask` ends it.
///
/// flock(2) takes no timeout, so a thread of its own waits. One that is given up stays until the lock
/// is free, gets it, finds nobody to hand the file to and drops it, which releases the lock at once.
pub fn in_kernel(
    file: File,
    mode: Mode,
    deadline: Option<Instant>,
    ask: Ask<'_>,
) -> io::Result<Option<File>> {
    let (hand_over, handed_over) = mpsc::sync_channel(1);
    let started = thread::Builder::new().name("gtlock-wait".into()).spawn(move || {
        let locked = flock::lock(&file, mode).map(|()| file);
        let _ = hand_over.send((locked, Instant::now()));
    });
    // Not with the system's own errno, which is that of a lock that is busy.
    started.map_err(|e| io::Error::other(format!("cannot start a thread to wait: {e}")))?;
    let ControlFlow::Continue(mut ask_at) = ask(Instant::now()) else { return Ok(None) };
    loop {
        let received = match ask_at.into_iter().chain(deadline).min() {
            None => handed_over.recv().map_err(RecvTimeoutError::from),
            Some(until) => handed_over.recv_timeout(until.saturating_duration_since(Instant::now())),
        };
        let now = Instant::now();
        match received {
            // Had only after the deadline (this process was stopped, perhaps): given back.
            Ok((Ok(_), since)) if deadline.is_some_and(|deadline| since > deadline) => return Ok(None),
            Ok((locked, _)) => return locked.map(Some),
            Err(RecvTimeoutError::Timeout) if deadline.is_some_and(|deadline| now >= deadline) => {
                return Ok(None);
            }
            Err(RecvTimeoutError::Timeout) => match ask(now) {
                ControlFlow::Continue(again) => ask_at = again,
                ControlFlow::Break(()) => return Ok(None),
            },
            Err(RecvTimeoutError::Disconnected) => return Err(io::Error::other("the waiting thread ended")),
        }
    }
}

/// Tries again and again, for file systems on which waiting in the kernel misbehaves.
pub fn by_polling(
    file: File,
    mode: Mode,
    deadline: Option<Instant>,
    delay: Duration,
    ask: Ask<'_>,
) -> io::Result<Option<File>> {
    let mut attempt = 0;
    loop {
        let now = Instant::now();
        if deadline.is_some_and(|deadline| now >= deadline) {
            return Ok(None);
        }
        let ControlFlow::Continue(ask_at) = ask(now) else { return Ok(None) };
        attempt += 1;
        let next = ask_at.into_iter().chain(deadline).chain(now.checked_add(back_off(delay, attempt))).min();
        thread::sleep(next.map_or(delay, |next| next.saturating_duration_since(now)));
        if flock::try_lock(&file, mode)? {
            if deadline.is_some_and(|deadline| Instant::now() > deadline) {
                flock::unlock(&file)?; // closing it would not do: it may be the caller's as well
                return Ok(None);
            }
            return Ok(Some(file));
        }
    }
}

/// Waits until the caller's open file is locked; `None` once the deadline has passed.
///
/// The wait is for a lock on an open file description of its own, given back at once: a thread that is
/// given up must not lock the caller's later, which nobody would undo.
pub fn for_turn_of(
    file: &File,
    mode: Mode,
    deadline: Option<Instant>,
    retry_delay: Option<Duration>,
    ask: Ask<'_>,
) -> io::Result<Option<()>> {
    loop {
        let (Ok(own), None) = (sys::reopen(file), retry_delay) else {
            let delay = retry_delay.unwrap_or(Duration::from_millis(1));
            return Ok(by_polling(file.try_clone()?, mode, deadline, delay, ask)?.map(drop));
        };
        let Some(turn) = in_kernel(own, mode, deadline, ask)? else { return Ok(None) };
        drop(turn);
        if flock::try_lock(file, mode)? {
            return Ok(Some(()));
        }
    }
}

/// The pause before an attempt, counted from 1.
fn back_off(delay: Duration, attempt: u64) -> Duration {
    match attempt {
        ..=5 => delay,
        6..=10 => delay.max(Duration::from_millis(50)),
        _ => delay.max(Duration::from_millis(100)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polling_backs_off_after_5_and_after_10_attempts() {
        let at = |delay, attempt| back_off(Duration::from_millis(delay), attempt).as_millis();
        assert_eq!([at(10, 1), at(10, 5), at(10, 6), at(10, 10), at(10, 11)], [10, 10, 50, 50, 100]);
        assert_eq!([at(70, 5), at(70, 6), at(70, 11)], [70, 70, 100]);
        assert_eq!([at(300, 1), at(300, 6), at(300, 11)], [300, 300, 300]);
    }
}

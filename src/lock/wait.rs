//! Waiting for a turn at a lock: in the kernel, or by trying again.

use std::io;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use super::queue::{Next, Turn};
use super::slots::Taken;
use super::{Error, Target, Wait, flock};
use crate::sys::{self, Interruptible, places};

/// A wait that goes on.
#[derive(Clone, Copy, Debug)]
pub struct Waiting<'a> {
    /// The lock waited for.
    pub target: &'a Target,
    /// How long the request has been waited for so far.
    pub elapsed: Duration,
}

/// Is told of a wait as it begins, and returns after how long it wants to be told again.
pub type OnWait<'a> = &'a mut dyn FnMut(Waiting<'_>) -> Option<Duration>;

/// When a waiter in line first looks whether it could go on. Then each pause is twice as long, up to a limit.
const FIRST_LOOK: Duration = Duration::from_millis(10);
const MAX_PAUSE: Duration = Duration::from_millis(250);

/// The pause before the first attempt where a wait in the kernel cannot be had; then it grows by as much, up to a limit.
const POLL: Duration = Duration::from_millis(1);
const MAX_POLL: Duration = Duration::from_millis(10);

/// The stack of a waiting thread, in bytes.
const STACK: usize = 128 << 10;

/// How long a request waits, from its start and for all its locks together, and who is told of it.
pub struct Patience<'a> {
    started: Instant,
    deadline: Option<Instant>,
    retry_delay: Option<Duration>,
    on_wait: OnWait<'a>,
}

impl<'a> Patience<'a> {
    pub fn new(wait: Wait, retry_delay: Option<Duration>, on_wait: OnWait<'a>) -> Self {
        let started = Instant::now();
        // Beyond what the clock can express is for ever.
        let deadline = if let Wait::For(timeout) = wait { started.checked_add(timeout) } else { None };
        Self { started, deadline, retry_delay, on_wait }
    }

    /// Waits until the turn has come and the lock is taken.
    pub fn wait(&mut self, mut turn: Turn<'_>, target: &Target) -> Result<Taken, Error> {
        match self.wait_by(&mut turn, target).map_err(|e| Error::io(target.lock(), e))? {
            Some(since) if self.deadline.is_none_or(|deadline| since <= deadline) => {
                return Ok(turn.into_taken());
            }
            // Taken after the deadline: this process was stopped, perhaps. Not by closing the file, which may be the
            // caller's as well.
            Some(_) => turn.give_back().map_err(|e| Error::io(target.lock(), e))?,
            None => {}
        }
        Err(Error::TimedOut { target: target.clone(), waited: self.started.elapsed() })
    }

    /// When the lock was taken; `None` if the deadline came first.
    fn wait_by(&mut self, turn: &mut Turn<'_>, target: &Target) -> io::Result<Option<Instant>> {
        let mut told =
            Told { started: self.started, target, on_wait: &mut *self.on_wait, next: Some(self.started) };
        match self.retry_delay {
            Some(delay) => by_polling(turn, self.deadline, |attempt| back_off(delay, attempt), &mut told),
            None if !sys::can_interrupt() => by_polling(turn, self.deadline, in_place_of_kernel, &mut told),
            None => in_kernel(turn, self.deadline, &mut told),
        }
    }
}

/// Who is told of a wait.
struct Told<'a, 'b> {
    started: Instant,
    target: &'a Target,
    on_wait: &'a mut (dyn FnMut(Waiting<'_>) -> Option<Duration> + 'b),
    next: Option<Instant>,
}

impl Told<'_, '_> {
    /// Tells if it is time to; returns when it is again.
    fn at(&mut self, now: Instant) -> Option<Instant> {
        if self.next.is_some_and(|next| now >= next) {
            let again = (self.on_wait)(Waiting { target: self.target, elapsed: now - self.started });
            self.next = again.and_then(|delay| now.checked_add(delay));
        }
        self.next
    }
}

/// Waits in the kernel, woken by whoever is ahead.
///
/// flock(2) takes no timeout, so a thread of its own waits, and is interrupted and joined when the wait is given up:
/// nothing is left of it, and no lock comes later. In line it is interrupted from time to time as well, to look
/// whether it could go on; its place is kept. At the head, where only the kernel knows the order, it is not.
fn in_kernel(
    turn: &mut Turn<'_>,
    deadline: Option<Instant>,
    told: &mut Told<'_, '_>,
) -> io::Result<Option<Instant>> {
    let is_given_up = &AtomicBool::new(false);
    let is_head = &AtomicBool::new(false);
    let wait = |turn: &mut Turn<'_>| -> io::Result<Option<Instant>> {
        while !is_given_up.load(Ordering::SeqCst) {
            let next = turn.next()?;
            is_head.store(matches!(next, Next::Lock | Next::Slot), Ordering::SeqCst);
            let slept = match next {
                Next::Ahead(place) => {
                    places::wait_until_left(turn.file(), place).map(|()| Next::Ahead(place))
                }
                Next::Lock => flock::lock(turn.file(), turn.claim().mode).and_then(|()| turn.got_lock()),
                Next::Slot => turn.wait_for_slot().map(|()| Next::Slot),
                Next::Locked => Ok(Next::Locked),
            };
            match slept {
                Ok(Next::Locked) => return Ok(Some(Instant::now())),
                Err(e) if e.kind() != io::ErrorKind::Interrupted => return Err(e),
                _ => {}
            }
        }
        Ok(None)
    };
    let waited = thread::scope(|scope| {
        let (send, receive) = mpsc::sync_channel(1);
        let (send_thread, receive_thread) = mpsc::sync_channel(1);
        let turn = &mut *turn;
        let started = sys::start_quietly(|| {
            thread::Builder::new().stack_size(STACK).spawn_scoped(scope, move || {
                let _ = send_thread.send(Interruptible::this_thread());
                let _ = send.send(wait(turn));
            })
        });
        let waiting = started.ok()?;
        let ended = || io::Error::other("the waiting thread ended");
        let Ok(thread) = receive_thread.recv() else { return Some(Err(ended())) };
        let mut pause = FIRST_LOOK;
        let mut look_at = Some(Instant::now() + pause);
        let waited = loop {
            let now = Instant::now();
            let tell_at = told.at(now);
            if deadline.is_some_and(|deadline| now >= deadline) {
                is_given_up.store(true, Ordering::SeqCst);
                thread.interrupt();
                look_at = Some(now + POLL); // it may not have been in the kernel yet
            } else if is_head.load(Ordering::SeqCst) {
                look_at = None;
            } else if look_at.is_some_and(|at| now >= at) {
                thread.interrupt();
                pause = (2 * pause).min(MAX_PAUSE);
                look_at = Some(now + pause);
            }
            let deadline = deadline.filter(|&deadline| now < deadline);
            let waited = match [look_at, tell_at, deadline].into_iter().flatten().min() {
                Some(until) => receive.recv_timeout(until.saturating_duration_since(Instant::now())),
                None => receive.recv().map_err(RecvTimeoutError::from),
            };
            match waited {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(waited) => break waited,
                Err(RecvTimeoutError::Disconnected) => break Err(ended()),
            }
        };
        // The scope alone waits for what the thread does, not for its end.
        waiting.join().unwrap_or_else(|e| resume_unwind(e));
        Some(waited)
    });
    match waited {
        Some(waited) => waited,
        None => by_polling(turn, deadline, in_place_of_kernel, told), // there was no thread to be had
    }
}

/// Tries again and again, in its place in the line: where there is no waiting in the kernel, and for file systems on
/// which it misbehaves.
fn by_polling(
    turn: &mut Turn<'_>,
    deadline: Option<Instant>,
    pause_before: impl Fn(u32) -> Duration,
    told: &mut Told<'_, '_>,
) -> io::Result<Option<Instant>> {
    let mut attempt = 0_u32;
    loop {
        let now = Instant::now();
        if deadline.is_some_and(|deadline| now >= deadline) {
            return Ok(None);
        }
        let tell_at = told.at(now);
        attempt = attempt.saturating_add(1);
        let pause = pause_before(attempt);
        let until = [tell_at, deadline, now.checked_add(pause)].into_iter().flatten().min();
        thread::sleep(until.map_or(pause, |until| until.saturating_duration_since(Instant::now())));
        if turn.next()? == Next::Locked {
            return Ok(Some(Instant::now()));
        }
    }
}

/// The pause before an attempt, counted from 1, of those who asked for polling.
fn back_off(delay: Duration, attempt: u32) -> Duration {
    match attempt {
        ..=5 => delay,
        6..=10 => delay.max(Duration::from_millis(50)),
        _ => delay.max(Duration::from_millis(100)),
    }
}

/// The same for those who did not.
fn in_place_of_kernel(attempt: u32) -> Duration {
    POLL.saturating_mul(attempt).min(MAX_POLL)
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

//! Slots: a shared lock that only so many hold at once.
//!
//! A slot is one byte of the lock file, far beyond its content. Its holder locks it through the same open file as the
//! lock (`sys::places`), so it lasts as long as the lock. Slots are taken only under the lock, so all holders look at the
//! same file; a writer excludes all holders, and so all slots.

use std::fs::File;
use std::io;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::error::needs_places;
use super::flock;
use super::request::{Claim, Slots};
use crate::sys::places::{self, Kept};
use crate::sys::{self, Interruptible};

/// How often to try again when somebody else takes a slot between two looks.
const MAX_LOOKS: u32 = 100;

/// The pause before an interrupt is repeated: the thread may not have been in the kernel yet.
const AGAIN: Duration = Duration::from_millis(1);

/// The pause before the next attempt when a slot has no thread to wait for it.
const POLL: Duration = Duration::from_millis(10);

/// The stack of a waiting thread, in bytes.
const STACK: usize = 128 << 10;

/// The slots of a lock that is held, in order. Empty if none were wanted.
#[derive(Debug, Default)]
pub struct Taken(Vec<(u32, Kept)>);

impl Taken {
    /// Their numbers.
    pub fn numbers(&self) -> impl Iterator<Item = u32> {
        self.0.iter().map(|&(number, _)| number)
    }

    /// Releases them.
    pub fn give_back(&mut self, file: &File) {
        self.0.drain(..).for_each(|(_, kept)| kept.leave(file));
    }
}

/// The result of an attempt to take a lock.
#[derive(Debug)]
pub enum Attempt {
    /// It is held, with its slots.
    Held(Taken),
    /// Somebody holds a conflicting lock.
    Locked,
    /// The lock was free, but too few slots were.
    Full,
}

impl Claim {
    /// Takes the lock and its slots, if all are free now.
    pub fn try_on(self, file: &File) -> io::Result<Attempt> {
        if flock::try_lock(file, self.mode)? { self.with_slots(file) } else { Ok(Attempt::Locked) }
    }

    /// Takes the slots of the lock, which is held; releases it if too few are free.
    pub fn with_slots(self, file: &File) -> io::Result<Attempt> {
        let Some(slots) = self.slots else { return Ok(Attempt::Held(Taken::default())) };
        let taken = slots.take(file);
        if !matches!(taken, Ok(Some(_))) {
            flock::unlock(file)?;
        }
        Ok(taken?.map_or(Attempt::Full, Attempt::Held))
    }
}

impl Slots {
    /// Takes the lowest slots that are free, all or none.
    ///
    /// In ascending order, and only when enough are free: if several processes do this at once, one of them succeeds.
    /// A process that held some and waited for the others would block everybody else, and for long if it is stopped.
    fn take(self, file: &File) -> io::Result<Option<Taken>> {
        'look: for _ in 0..MAX_LOOKS {
            let Some(free) = self.free(file)? else { return Ok(None) };
            let mut taken = Taken::default();
            for number in free {
                let Some(slot) = places::take_alone(file, sys::slot(number)).map_err(explained)? else {
                    taken.give_back(file);
                    continue 'look;
                };
                taken.0.push((number, slot));
            }
            return Ok(Some(taken));
        }
        Ok(None)
    }

    /// The lowest free slots; `None` if there are not enough.
    fn free(self, file: &File) -> io::Result<Option<Vec<u32>>> {
        let mut free = Vec::new();
        for number in 1..=self.limit {
            if free.len() == self.take as usize {
                break;
            }
            if !is_taken(file, number)? {
                free.push(number);
            }
        }
        Ok((free.len() == self.take as usize).then_some(free))
    }

    /// Waits until one of the slots that others have is free, or a signal interrupts this thread: then it is time to
    /// look again.
    pub(super) fn wait_for_one(self, file: &File) -> io::Result<()> {
        let mut taken = Vec::new();
        for number in 1..=self.limit {
            if is_taken(file, number)? {
                taken.push(sys::slot(number));
            }
        }
        let has_room = taken.len() + self.take as usize <= self.limit as usize;
        if has_room { Ok(()) } else { wait_until_any_is_left(file, &taken) }
    }
}

/// Waits until somebody leaves one of these places, or a signal interrupts this thread.
///
/// The kernel lets a thread wait for one lock only. So this thread waits for the first place, and one more thread for each
/// of the others. They are interrupted, and have ended before this returns.
fn wait_until_any_is_left(file: &File, places: &[u64]) -> io::Result<()> {
    let Some((&first, others)) = places.split_first() else { return Ok(()) };
    let this = Interruptible::this_thread();
    let is_over = &AtomicBool::new(false);
    thread::scope(|scope| {
        let (send_thread, threads) = mpsc::channel();
        let (send_end, ends) = mpsc::channel();
        let mut started = Vec::new();
        for &place in others {
            let (send_thread, send_end) = (send_thread.clone(), send_end.clone());
            let wait = move || {
                let _ = send_thread.send(Interruptible::this_thread());
                let waited = wait_until_left(file, place, is_over);
                while !is_over.load(Ordering::SeqCst) {
                    this.interrupt();
                    thread::park_timeout(AGAIN);
                }
                let _ = send_end.send(waited);
            };
            let thread = thread::Builder::new().stack_size(STACK);
            match sys::start_quietly(|| thread.spawn_scoped(scope, wait)) {
                Ok(thread) => started.push(thread),
                Err(_) => break,
            }
        }
        let mut waited = Ok(());
        if started.len() == others.len() {
            waited = unless_interrupted(places::wait_until_left(file, first));
        } else {
            thread::sleep(POLL); // no thread could be started
        }
        is_over.store(true, Ordering::SeqCst);
        for thread in &started {
            thread.thread().unpark();
        }
        // None is joined before all have ended, so each may be interrupted.
        let threads: Vec<_> = threads.iter().take(started.len()).collect();
        let mut left = started.len();
        while left > 0 {
            threads.iter().copied().for_each(Interruptible::interrupt);
            while left > 0
                && let Ok(ended) = ends.recv_timeout(AGAIN)
            {
                waited = waited.and(unless_interrupted(ended));
                left -= 1;
            }
        }
        for thread in started {
            thread.join().unwrap_or_else(|e| resume_unwind(e)); // a scope waits for what it does, not for its end
        }
        waited
    })
}

/// Waits until somebody leaves a place, through interruptions, or until the wait is over.
fn wait_until_left(file: &File, place: u64, is_over: &AtomicBool) -> io::Result<()> {
    loop {
        match places::wait_until_left(file, place) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted && !is_over.load(Ordering::SeqCst) => {}
            waited => return waited,
        }
    }
}

fn unless_interrupted(waited: io::Result<()>) -> io::Result<()> {
    match waited {
        Err(e) if e.kind() == io::ErrorKind::Interrupted => Ok(()),
        waited => waited,
    }
}

fn is_taken(file: &File, number: u32) -> io::Result<bool> {
    let slot = sys::slot(number);
    Ok(places::taken(file, slot, slot + 1).map_err(explained)?.is_some())
}

/// Why slots cannot be taken.
fn explained(error: io::Error) -> io::Error {
    needs_places(
        error,
        "a slot",
        "this system has no locks for slots: use a file for each slot, and try them in turn with gtlock try",
    )
}

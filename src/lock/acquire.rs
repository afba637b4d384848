//! Acquiring: open, lock, and check that the path still names what was locked.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use super::error::{Error, Target};
use super::held::{self, Around};
use super::{FileLock, Guard, Locked, Mode, Wait, flock, inspect, path, record};
use crate::process::Processes;
use crate::sys;

/// How often a lock that was taken on a file no longer at its path is given up for another try. A file
/// replaced that often under us means a file system without stable inode numbers.
pub const MOST_MISMATCHES: u32 = 100;

/// How long a request that does not wait still waits for a lock whose record names no live holder: long
/// enough for whoever only looks at it (`status`, `clean`) to be scheduled and let go.
pub const CONFIRMATION: Duration = Duration::from_millis(50);

/// A wait that goes on.
#[derive(Clone, Copy, Debug)]
pub struct Waiting<'a> {
    /// The lock waited for.
    pub target: &'a Target,
    /// How long the request has been waited for so far.
    pub elapsed: Duration,
}

/// Told of a wait as it begins; says after how long it wants to be told again.
pub type OnWait<'a> = &'a mut dyn FnMut(Waiting<'_>) -> Option<Duration>;

/// Takes all the locks of a request, or none.
pub fn acquire(request: &FileLock, on_wait: OnWait<'_>) -> Result<Guard, Error> {
    let started = Instant::now();
    let mut waiter = Waiter {
        wait: request.wait,
        started,
        // Beyond what the clock can express is for ever.
        deadline: if let Wait::For(timeout) = request.wait { started.checked_add(timeout) } else { None },
        confirm_until: None,
        retry_delay: request.retry_delay,
        on_wait,
    };
    // Files that turned out to be one, under two paths, of which the second wanted the stronger mode.
    let mut strengthened: Vec<PathBuf> = Vec::new();
    for _ in 0..MOST_MISMATCHES {
        let mut wanted = plan(request)?;
        for lock in &strengthened {
            if let Some(target) = wanted.get_mut(lock) {
                target.mode = Mode::Exclusive;
            }
        }
        for dir in wanted.keys().filter_map(|lock| lock.parent()) {
            std::fs::create_dir_all(dir).map_err(|e| Error::io(dir, e))?;
        }
        match waiter.take_all(wanted.values())? {
            Taken::All(guard) => {
                // A symbolic link may have been turned elsewhere before its lock was had.
                if plan(request)?.into_keys().eq(wanted.into_keys()) {
                    return Ok(guard);
                }
            }
            Taken::Coincide(lock) => strengthened.push(lock),
        }
    }
    Err(unstable(&request.targets[0].0))
}

/// The lock files of a request in the one global order, bytewise by canonical path, each once.
pub fn plan(request: &FileLock) -> Result<BTreeMap<PathBuf, Target>, Error> {
    let mut wanted: BTreeMap<PathBuf, Target> = BTreeMap::new();
    for (data, mode) in &request.targets {
        for lock in path::lock_paths(data, request.lock_dir.as_deref())? {
            let target = Target { data: data.clone(), lock: lock.clone(), mode: *mode };
            wanted.entry(lock).and_modify(|known| known.mode = known.mode.max(*mode)).or_insert(target);
        }
    }
    Ok(wanted)
}

enum Taken {
    All(Guard),
    /// The file at this path is also the one at a later path, which wants it exclusively.
    Coincide(PathBuf),
}

enum Attempt {
    Taken(Locked),
    /// The file is the one already locked at this place in the guard.
    Same(usize),
}

struct Waiter<'a> {
    wait: Wait,
    started: Instant,
    deadline: Option<Instant>,
    confirm_until: Option<Instant>,
    retry_delay: Option<Duration>,
    on_wait: OnWait<'a>,
}

impl Waiter<'_> {
    fn take_all<'a>(&mut self, wanted: impl Iterator<Item = &'a Target>) -> Result<Taken, Error> {
        let mut guard = Guard { locked: Vec::new() };
        for target in wanted {
            match self.take(target, &guard.locked)? {
                Attempt::Taken(locked) => guard.locked.push(locked),
                Attempt::Same(first) => {
                    let first = &guard.locked[first].target;
                    if first.mode < target.mode {
                        return Ok(Taken::Coincide(first.lock.clone()));
                    }
                }
            }
        }
        Ok(Taken::All(guard))
    }

    fn take(&mut self, target: &Target, held: &[Locked]) -> Result<Attempt, Error> {
        let lock = target.lock.as_path();
        let fail = |e| Error::io(lock, e);
        for _ in 0..MOST_MISMATCHES {
            let file = sys::open_lock(lock, true).map_err(|e| not_a_lock_file(lock).unwrap_or(fail(e)))?;
            if !held.is_empty() {
                let id = sys::stat(&file).map_err(fail)?.id;
                if let Some(same) = held.iter().position(|locked| locked.id == id) {
                    return Ok(Attempt::Same(same));
                }
            }
            let file = if flock::try_lock(&file, target.mode).map_err(fail)? {
                file
            } else {
                self.wait_for(file, target)?
            };
            let stat = sys::stat(&file).map_err(fail)?;
            let there = sys::stat_path(lock).map_err(fail)?;
            // The one check that exclusion rests on: `clean`, or anybody, may have unlinked the file
            // between the open and the lock, and a second holder may have made a new one.
            if there.is_some_and(|there| there.id == stat.id) {
                examine(&file, stat, lock)?;
                return Ok(Attempt::Taken(Locked::new(file, stat, target.clone())));
            }
        }
        Err(unstable(lock))
    }

    /// Waits for a lock that was refused; returns the file once it is locked.
    fn wait_for(&mut self, file: File, target: &Target) -> Result<File, Error> {
        let lock = target.lock.as_path();
        let stat = sys::stat(&file).map_err(|e| Error::io(lock, e))?;
        examine(&file, stat, lock)?;
        let mut processes = Processes::default();
        if let Some(around) = held::around_us(stat.id, &mut processes) {
            let ancestor = if let Around::Ancestor(pid) = around { Some(pid) } else { None };
            return Err(Error::AlreadyLocked { target: target.clone(), ancestor });
        }
        let locked = if self.wait == Wait::Never {
            let until = *self.confirm_until.get_or_insert_with(|| Instant::now() + CONFIRMATION);
            if inspect::names_live_holder(&file, lock, &mut processes) {
                None
            } else {
                wait_in_kernel(file, target.mode, Some(until), |_| None)
            }
        } else {
            let started = self.started;
            let on_wait = &mut self.on_wait;
            let tell = |now: Instant| on_wait(Waiting { target, elapsed: now - started }).map(|d| now + d);
            match self.retry_delay {
                None => wait_in_kernel(file, target.mode, self.deadline, tell),
                Some(delay) => poll(file, target.mode, self.deadline, delay, tell),
            }
        };
        match locked.transpose().map_err(|e| Error::io(lock, e))? {
            Some(file) => Ok(file),
            None if self.wait == Wait::Never => Err(Error::Busy(target.clone())),
            None => Err(Error::TimedOut { target: target.clone(), waited: self.started.elapsed() }),
        }
    }
}

/// Waits for the lock in the kernel, woken by its release; `None` once the deadline has passed.
///
/// flock(2) takes no timeout, so a thread of its own waits. One that is given up stays until the lock
/// is free, gets it, finds nobody to hand the file to and drops it, which releases the lock at once.
pub fn wait_in_kernel(
    file: File,
    mode: Mode,
    deadline: Option<Instant>,
    mut tell: impl FnMut(Instant) -> Option<Instant>,
) -> Option<io::Result<File>> {
    let (hand_over, handed_over) = mpsc::sync_channel(1);
    let waiting = thread::Builder::new().name("gtlock-wait".into()).spawn(move || {
        let locked = flock::lock(&file, mode).map(|()| file);
        let _ = hand_over.send((locked, Instant::now()));
    });
    if let Err(e) = waiting {
        return Some(Err(e));
    }
    let mut tell_at = tell(Instant::now());
    loop {
        let received = match tell_at.into_iter().chain(deadline).min() {
            None => handed_over.recv().map_err(RecvTimeoutError::from),
            Some(until) => handed_over.recv_timeout(until.saturating_duration_since(Instant::now())),
        };
        let now = Instant::now();
        match received {
            // Had only after the deadline (this process was stopped, perhaps): given back.
            Ok((Ok(_), since)) if deadline.is_some_and(|deadline| since > deadline) => return None,
            Ok((locked, _)) => return Some(locked),
            Err(RecvTimeoutError::Timeout) if deadline.is_some_and(|deadline| now >= deadline) => {
                return None;
            }
            Err(RecvTimeoutError::Timeout) => tell_at = tell(now),
            Err(RecvTimeoutError::Disconnected) => {
                return Some(Err(io::Error::other("the waiting thread ended")));
            }
        }
    }
}

/// Tries again and again, for file systems on which waiting in the kernel misbehaves.
fn poll(
    file: File,
    mode: Mode,
    deadline: Option<Instant>,
    delay: Duration,
    mut tell: impl FnMut(Instant) -> Option<Instant>,
) -> Option<io::Result<File>> {
    let mut tell_at = tell(Instant::now());
    for attempt in 1.. {
        let now = Instant::now();
        if tell_at.is_some_and(|at| now >= at) {
            tell_at = tell(now);
        }
        let left = deadline.map_or(Duration::MAX, |deadline| deadline.saturating_duration_since(now));
        thread::sleep(back_off(delay, attempt).min(left));
        match flock::try_lock(&file, mode) {
            Ok(true) if deadline.is_some_and(|deadline| Instant::now() > deadline) => return None,
            Ok(true) => return Some(Ok(file)),
            Ok(false) if deadline.is_some_and(|deadline| Instant::now() >= deadline) => return None,
            Ok(false) => {}
            Err(e) => return Some(Err(e)),
        }
    }
    None
}

/// The pause before an attempt, counted from 1.
fn back_off(delay: Duration, attempt: u64) -> Duration {
    match attempt {
        ..=5 => delay,
        6..=10 => delay.max(Duration::from_millis(50)),
        _ => delay.max(Duration::from_millis(100)),
    }
}

/// Refuses what is at a lock path but is no lock file of ours.
fn examine(file: &File, stat: sys::Stat, lock: &Path) -> Result<(), Error> {
    if !stat.is_file {
        return Err(not_a_lock_file(lock).unwrap_or_else(|| unstable(lock)));
    }
    match record::read(file, lock) {
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err(foreign(lock)),
        Err(e) => Err(Error::io(lock, e)),
    }
}

/// The error for a file with content that gtlock did not write.
pub fn foreign(lock: &Path) -> Error {
    Error::invalid(
        lock,
        "is not a lock file: it has other content; move it away, or choose another --lock-dir",
    )
}

/// The error for something at a lock path that is no regular file.
pub fn not_a_lock_file(lock: &Path) -> Option<Error> {
    let kind = sys::odd_kind(lock)?;
    Some(Error::invalid(
        lock,
        format!("is not a lock file but {kind}; move it away, or choose another --lock-dir"),
    ))
}

/// The error for a path that never stays the same file.
pub fn unstable(path: &Path) -> Error {
    Error::invalid(
        path,
        format!(
            "was replaced {MOST_MISMATCHES} times while being locked; \
             its file system may have no stable inodes: choose a --lock-dir on another"
        ),
    )
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

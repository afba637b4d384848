//! Exclusive and shared locks on files, for programs that agree to take them.
//!
//! # Protocol
//!
//! A data file `DIR/NAME` is guarded by the kernel's flock on `DIR/.gastown/locks/NAME.lock`, or
//! `L/NAME.lock` in a lock directory `L` of the caller's choice. To acquire it:
//!
//! 1. Open `DIR`, and in it the lock file, which is created if it is missing. Never through a symbolic link to the file.
//! 2. If nobody is in line, try the lock. If it is held, or somebody is in line, get in line and wait in the kernel.
//! 3. Check that the path still names the file that was locked; if not, start again.
//! 4. Write the holder's PID into it, for people and for [`inspect`].
//!
//! To release it: take the PID out, unlock. The file stays. [`clean`] removes it, and only while it
//! holds the exclusive lock: a process that waited for that file finds in step 3 that it is gone.
//!
//! *Safety*: at any time at most one file is both locked exclusively and at the path. Exclusion rests on that alone: no
//! PID, no age and no table in `/proc` ever grants or breaks a lock.
//!
//! *Liveness*: the line is first come, first served, for readers and writers alike, and each waits for the one ahead
//! (`queue.rs` explains why it cannot get stuck). It is only an order: on systems without it, everybody waits for the
//! lock itself.
//!
//! A data file that is a symbolic link takes one lock for each name from the link to its target. Several locks are
//! taken in one order, by device and inode of the files that are locked, so that no two requests wait for each other;
//! they are taken all or none.
//!
//! # The files, from the ground up
//!
//! | file | what it is |
//! | --- | --- |
//! | `request.rs` | a request for locks |
//! | `error.rs` | why a lock was not obtained |
//! | `flock.rs` | the kernel's lock; the only door to it |
//! | `path.rs` | from the name of data to its locks |
//! | `spot.rs` | where the file of a lock is, and its directory |
//! | `file.rs` | the file of a lock: validated, and compared with its path |
//! | `record.rs`, `holder.rs` | the record in it; who is known to hold a lock |
//! | `nested.rs` | the locks around a request |
//! | `slots.rs` | a shared lock that at most N hold at once |
//! | `queue.rs` | the line in front of a lock |
//! | `room.rs` | how many may wait in it |
//! | `wait.rs` | waiting in it: the deadline, the callback, in the kernel or by polling |
//! | `descriptor.rs`, `guard.rs` | the caller's open files; locks that are held |
//! | `acquire.rs` | the corridor from a request to its guard, with the chart |
//! | `inspect.rs`, `clean.rs` | apart from the rest: who holds a lock; removing those that nobody holds |
//!
//! # Limits
//!
//! The locks are advisory: they bind only programs that take them. They work between processes on one
//! machine. A program that unlinks lock files without these rules breaks exclusion for everyone; a guard
//! reports it when it is [released](Guard::release) or dropped. Every acquisition opens the file again, so threads of
//! one process exclude each other too.
//!
//! A wait uses a thread of its own. SIGURG interrupts it when the wait is given up, and nothing of it is left. In a process
//! that handles or ignores that signal, and on Windows, waits poll instead.
//!
//! # From the Go package `filelock`
//!
//! | Go | here |
//! | --- | --- |
//! | `New(path)` | [`Request::exclusive`], [`Request::shared`] |
//! | `NewWithOptions(path, …)` | [`Request::wait`], [`Request::retry_delay`], [`Request::lock_dir`] |
//! | `Lock()`, `TryLock()` | [`Request::lock`], [`Request::try_lock`] |
//! | `Unlock()` | dropping the [`Guard`], or [`Guard::release`] |
//! | `IsLocked()` | [`Request::is_locked`], which asks about any process |
//! | `Path()`, `LockPath()` | [`Request::paths`], [`Request::lock_paths`] |
//! | `WithReadLock`, `WithWriteLock` | [`with_read_lock`], [`with_write_lock`] |
//! | `CleanStaleLocks` | [`clean`] |
//! | `ErrTimeout`, `ErrAlreadyLocked` | [`Error::TimedOut`] and [`Error::Busy`], [`Error::AlreadyLocked`] |
//!
//! # Examples
//!
//! More are in `docs/library.md`.
//!
//! Save and load a state file, through a temporary and a rename, so that a crash leaves the old state:
//!
//! ```
//! # let dir = tempfile::tempdir()?;
//! # let state = dir.path().join("state.json");
//! use gtlock::lock::{with_read_lock, with_write_lock};
//!
//! with_write_lock(&state, || {
//!     let temporary = state.with_extension("tmp");
//!     std::fs::write(&temporary, r#"{"version":1}"#)?;
//!     std::fs::rename(&temporary, &state)
//! })??;
//! let loaded = with_read_lock(&state, || std::fs::read_to_string(&state))??;
//! assert_eq!(loaded, r#"{"version":1}"#);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Several updates under one lock, for as long as the guard lives:
//!
//! ```
//! # let dir = tempfile::tempdir()?;
//! # let state = dir.path().join("state.json");
//! use gtlock::lock::Request;
//!
//! let guard = Request::exclusive(&state).lock()?;
//! std::fs::write(&state, "1")?;
//! std::fs::write(&state, "2")?;
//! drop(guard);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod acquire;
mod clean;
mod descriptor;
mod error;
mod file;
mod flock;
mod guard;
mod holder;
mod inspect;
mod line;
mod nested;
mod path;
mod queue;
mod record;
mod request;
mod room;
mod slots;
mod spot;
mod ties;
mod wait;
mod waits;

use std::path::PathBuf;

pub use clean::{Action, Cleaned, LockDir, Reason, clean, is_lock_name};
pub use error::{Error, HeldBy};
pub use flock::unlock;
pub use guard::{Guard, Locked};
pub use holder::{Evidence, Holder, descriptor_holders, inheritors};
pub use inspect::{Inspection, State, Waiter, in_line, inspect, inspect_all, inspect_refused};
pub use nested::{VARIABLE as HELD_VARIABLE, enclosing};
pub use request::{Kind, Request, Slots, Target, Wait};
pub use spot::{canonicalize_missing, is_dangling, is_lock_dir, lock_dir_below};
pub use wait::{OnWait, Waiting};

pub use crate::sys::{FileId, Mode, lock_on};

use crate::process::Processes;

/// What a request can be asked to do: here, so that `request.rs` knows nothing of how it is done.
impl Request {
    /// Takes the locks, all or none.
    ///
    /// # Errors
    ///
    /// [`Error::Busy`] or [`Error::TimedOut`] if somebody else holds one for longer than
    /// [`wait`](Self::wait) allows; [`Error::AlreadyLocked`] if an ancestor of this process does;
    /// [`Error::Invalid`] and [`Error::Io`] for everything else.
    pub fn lock(&self) -> Result<Guard, Error> {
        acquire::acquire(self, &mut |_| None)
    }

    /// Takes the locks, all or none, without waiting.
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock) with [`Wait::Never`].
    pub fn try_lock(&self) -> Result<Guard, Error> {
        self.clone().wait(Wait::Never).lock()
    }

    /// Takes the locks, and tells `on_wait` of a wait when it begins and then whenever it asks to be told
    /// again.
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock).
    pub fn lock_watched(&self, on_wait: OnWait<'_>) -> Result<Guard, Error> {
        acquire::acquire(self, on_wait)
    }

    /// Whether any process, this one included, holds one of the locks now, in whatever mode.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] or [`Error::Io`] if that cannot be found out.
    pub fn is_locked(&self) -> Result<bool, Error> {
        let mut processes = Processes::default();
        for lock in self.lock_paths()? {
            let found = inspect(&lock, self.place.kind(), &mut processes)?;
            if let Some(Inspection { state: State::Held(_), .. }) = found {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The lock files, canonical, each once. Several for a data file that is a symbolic link.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] or [`Error::Io`] if a data file cannot be locked under its name.
    pub fn lock_paths(&self) -> Result<Vec<PathBuf>, Error> {
        let mut resolver = path::Resolver::new(&self.place);
        let mut locks = Vec::new();
        for data in self.paths() {
            for spot in resolver.spots(data)? {
                locks.push(spot.canonical()?);
            }
        }
        locks.sort_unstable();
        locks.dedup();
        Ok(locks)
    }
}

/// Runs `read` under a shared lock on a data file, waiting for it for ever.
///
/// # Errors
///
/// As [`Request::lock`]; and [`Error::Replaced`], once it has run, if the lock did not hold all the time.
pub fn with_read_lock<T>(path: impl Into<PathBuf>, read: impl FnOnce() -> T) -> Result<T, Error> {
    under(&Request::shared(path), read)
}

/// Runs `update` under an exclusive lock on a data file, waiting for it for ever.
///
/// # Errors
///
/// As [`Request::lock`]; and [`Error::Replaced`], once it has run, if the lock did not hold all the time.
pub fn with_write_lock<T>(path: impl Into<PathBuf>, update: impl FnOnce() -> T) -> Result<T, Error> {
    under(&Request::exclusive(path), update)
}

fn under<T>(request: &Request, work: impl FnOnce() -> T) -> Result<T, Error> {
    let guard = request.lock()?;
    let done = work();
    let replaced = guard.release();
    if replaced.is_empty() { Ok(done) } else { Err(Error::Replaced(replaced)) }
}

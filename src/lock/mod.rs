//! Exclusive and shared locks on files, for programs that agree to take them.
//!
//! # Protocol
//!
//! A data file `DIR/NAME` is guarded by the kernel's flock on `DIR/.gastown/locks/NAME.lock`, or
//! `L/NAME.lock` in a lock directory `L` of the caller's choice. To acquire it:
//!
//! 1. Open the lock file, creating it if need be. Never through a symbolic link.
//! 2. Lock it, waiting in the kernel if that was asked for.
//! 3. Check that the path still names the file that was locked; if not, start again.
//! 4. Write the holder's PID into it, for people and for [`inspect`].
//!
//! To release it: take the PID out, unlock. The file stays. [`clean`] removes it, and only while it
//! holds the exclusive lock: whoever waited for that file finds in step 3 that it is gone. So at any
//! moment at most one file is both locked exclusively and at the path. Exclusion rests on that and on
//! nothing else: no PID, no age and no table in `/proc` ever grants or breaks a lock.
//!
//! A data file that is a symbolic link takes one lock for each name from the link to its target. Several
//! locks are taken in one order, bytewise by canonical lock path, so that no two requests wait for each
//! other; they are taken all or none.
//!
//! # Limits
//!
//! The locks are advisory: they bind only programs that take them. They work between processes on one
//! machine. A program that unlinks lock files without these rules breaks exclusion for everyone; a guard
//! reports it when it is [released](Guard::release). Every acquisition opens the file anew, so threads of
//! one process exclude each other too, and a thread that waits for a lock of its own waits for ever.
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
//! Append to a JSONL file, and read it whole:
//!
//! ```
//! # let dir = tempfile::tempdir()?;
//! # let issues = dir.path().join("issues.jsonl");
//! use std::io::Write;
//! use gtlock::lock::{with_read_lock, with_write_lock};
//!
//! for id in 1..=3 {
//!     with_write_lock(&issues, || {
//!         let mut file = std::fs::OpenOptions::new().append(true).create(true).open(&issues)?;
//!         writeln!(file, r#"{{"id":{id}}}"#)
//!     })??;
//! }
//! let lines = with_read_lock(&issues, || std::fs::read_to_string(&issues))??;
//! assert_eq!(lines.lines().count(), 3);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Read, modify and write a registry; no other writer comes between, whatever the threads or processes:
//!
//! ```
//! # let dir = tempfile::tempdir()?;
//! # let registry = dir.path().join("registry.json");
//! use gtlock::lock::with_write_lock;
//!
//! let add_one = || -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//!     with_write_lock(&registry, || {
//!         let count: u32 = std::fs::read_to_string(&registry).map_or(Ok(0), |text| text.parse())?;
//!         Ok(std::fs::write(&registry, (count + 1).to_string())?)
//!     })?
//! };
//! std::thread::scope(|scope| {
//!     let threads: Vec<_> = (0..4).map(|_| scope.spawn(add_one)).collect();
//!     threads.into_iter().try_for_each(|thread| thread.join().expect("no panic"))
//! }).map_err(|e| e.to_string())?;
//! assert_eq!(std::fs::read_to_string(&registry)?, "4");
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
//!
//! Lock only when there is something to do, and look again once the lock is held:
//!
//! ```
//! # let dir = tempfile::tempdir()?;
//! # let cache = dir.path().join("cache.json");
//! use gtlock::lock::{Error, Request};
//!
//! if !cache.exists() {
//!     match Request::exclusive(&cache).try_lock() {
//!         Ok(_guard) if !cache.exists() => std::fs::write(&cache, "{}")?,
//!         Ok(_) => {} // somebody was faster
//!         Err(Error::Busy(_)) => {} // somebody is at it
//!         Err(e) => return Err(e.into()),
//!     }
//! }
//! # assert!(cache.exists());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A lock directory of one's own, and a limit to the wait:
//!
//! ```
//! # let dir = tempfile::tempdir()?;
//! # let (state, locks) = (dir.path().join("state.json"), dir.path().join("run"));
//! use std::time::Duration;
//! use gtlock::lock::{Request, Wait};
//!
//! let lock = Request::exclusive(&state).lock_dir(&locks).wait(Wait::For(Duration::from_secs(5)));
//! let _guard = lock.lock()?;
//! assert!(locks.join("state.json.lock").exists());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Two locks without deadlock, in whatever order they are named:
//!
//! ```
//! # let dir = tempfile::tempdir()?;
//! # let (from, to) = (dir.path().join("from.json"), dir.path().join("to.json"));
//! use gtlock::lock::Request;
//!
//! std::thread::scope(|scope| {
//!     scope.spawn(|| Request::exclusive(&from).and_exclusive(&to).lock().map(drop));
//!     scope.spawn(|| Request::exclusive(&to).and_exclusive(&from).lock().map(drop));
//! });
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
mod nested;
mod path;
mod queue;
mod record;
mod request;
mod wait;

use std::path::PathBuf;

pub use clean::{Action, Cleaned, LockDir, Reason, clean, is_lock_name};
pub use error::Error;
pub use flock::unlock;
pub use guard::{Guard, Locked};
pub use holder::{Evidence, Holder, descriptor_holders};
pub use inspect::{Inspection, State, Waiters, inspect};
pub use nested::{HeldBy, VARIABLE as HELD_VARIABLE};
pub use path::{is_dangling, is_lock_dir, lock_dir_below};
pub use request::{Kind, Request, Target, Wait};
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

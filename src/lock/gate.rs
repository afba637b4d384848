//! The turnstile that keeps readers who overlap without a gap from starving a writer.
//!
//! A writer that must wait creates `NAME.lock.gate` and holds it exclusively until it has the lock; then
//! it unlinks it. A reader that finds a gate waits for it before it tries the lock, once: when that gate
//! is gone it has passed, whatever gate has come since, so that writers do not starve readers either. A
//! writer that finds a gate queues at it.
//!
//! Nobody waits at a gate for nothing: where the writer is stopped, or the lock stays free and it does not take it,
//! whoever queues behind it goes on after a look or a second. And a reader goes on after [`PATIENCE`] whatever
//! the lock: what the writer waits for may be waiting for this reader, as in `reader | reader`.
//!
//! Only fairness rests on this. Whatever goes wrong with a gate, the lock itself still excludes; and the
//! gate of a writer that was killed is unlocked by the kernel, and removed by whoever finds it so.

use std::fs::File;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{Mode, flock, record};
use crate::process::{Liveness, Processes};
use crate::sys;

/// How long a reader waits at a gate.
const PATIENCE: Duration = Duration::from_secs(10);

/// When whoever waits at a gate first looks whether there is something to wait for. Then each pause is twice as long,
/// up to a limit.
const FIRST_LOOK: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// How long a lock has to be seen free: much longer than it takes the writer at the gate to wake up.
const FREE_FOR: Duration = Duration::from_secs(1);

/// The gate of a lock file.
pub fn path_of(lock: &Path) -> PathBuf {
    let mut path = lock.as_os_str().to_owned();
    path.push(".gate");
    path.into()
}

/// Opens a gate that is there; with `create`, makes one. `None` where there can be none: then there is no
/// turn to wait for.
pub fn open(path: &Path, create: bool) -> Option<File> {
    let file = sys::open_lock(path, create).ok()?;
    let ours = sys::stat(&file).is_ok_and(|stat| stat.is_file && stat.links <= 1)
        && record::read(&file, path).is_ok_and(|record| record.is_some());
    ours.then_some(file)
}

/// What to ask during a wait at the gate of a lock: it ends where there is nothing to wait for.
pub fn patience(
    lock: &File,
    gate: PathBuf,
    mode: Mode,
) -> impl FnMut(Instant) -> ControlFlow<(), Option<Instant>> {
    let until = (mode == Mode::Shared).then(|| Instant::now() + PATIENCE);
    let mut pause = FIRST_LOOK;
    let mut look_at = Instant::now() + pause;
    let mut free_since = None;
    let mut processes = Processes::default();
    move |now| {
        if now >= look_at {
            if flock::try_lock(lock, Mode::Exclusive).unwrap_or(false) {
                let _ = flock::unlock(lock);
                free_since.get_or_insert(now);
            } else {
                free_since = None;
            }
            let is_free = free_since.is_some_and(|since| now - since >= FREE_FOR);
            if is_free || until.is_some_and(|until| now >= until) || is_stopped(&gate, &mut processes) {
                return ControlFlow::Break(());
            }
            pause = (2 * pause).min(LONGEST_PAUSE);
            look_at = now + pause;
        }
        ControlFlow::Continue(Some(look_at))
    }
}

/// Whether the writer at a gate is stopped.
fn is_stopped(gate: &Path, processes: &mut Processes) -> bool {
    let record = open(gate, false).and_then(|file| record::read(&file, gate).ok().flatten());
    record
        .unwrap_or_default()
        .pids
        .into_iter()
        .any(|pid| matches!(processes.look_at(pid), Liveness::Alive(process) if process.is_stopped))
}

/// Whether the file is still the gate, and not one that was unlinked when its writer went through.
fn is_up(file: &File, path: &Path) -> bool {
    let (Ok(gate), Ok(Some(there))) = (sys::stat(file), sys::stat_path(path)) else { return false };
    gate.id == there.id
}

/// A gate that is held, until dropped.
#[derive(Debug)]
pub struct Gate {
    file: File,
    path: PathBuf,
}

impl Gate {
    /// Takes over a gate that this process has locked exclusively; `None` if it is no longer up.
    pub fn hold(file: File, path: PathBuf) -> Option<Self> {
        if !is_up(&file, &path) {
            return None;
        }
        let _ = record::add(&file, &path, Mode::Exclusive); // who waits; nothing depends on it
        Some(Self { file, path })
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        // Locked exclusively, so nobody else removes or replaces it.
        if is_up(&self.file, &self.path) {
            let _ = sys::remove_lock(&self.path);
        }
        let _ = flock::unlock(&self.file);
    }
}

/// Goes through a gate that this process has locked shared. If it is still up, a writer that was killed
/// has left it: it is taken away.
pub fn pass(file: File, path: PathBuf) {
    if is_up(&file, &path) && flock::try_convert(&file, Mode::Exclusive).unwrap_or(false) {
        drop(Gate::hold(file, path));
    }
}

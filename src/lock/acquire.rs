//! Acquiring: open, lock, and check that the path still names what was locked.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::error::{Error, foreign, not_a_lock_file, unstable};
use super::gate::{self, Gate};
use super::held::{self, Around};
use super::request::Place;
use super::{
    Guard, Inspection, Kind, Locked, Mode, Request, State, Target, Wait, flock, holder, inspect, path,
    record, wait,
};
use crate::process::Processes;
use crate::sys::{self, FileId};

/// How often a lock that was had at once, on a file no longer at its path, is given up for another try. A
/// file replaced that often between two system calls means a file system without stable inode numbers. (While
/// it was waited for, many a `clean` may have come by.)
pub const MOST_MISMATCHES: u32 = 100;

/// How long a request that does not wait still waits for a lock whose record names no live holder: long
/// enough for whoever only looks at it (`status`, `clean`) to be scheduled and let go.
pub const CONFIRMATION: Duration = Duration::from_millis(50);

/// How often a request that does not wait starts again where the lock that refused it turns out to be free.
const MOST_LOOKS: u32 = 10;

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
pub fn acquire(request: &Request, on_wait: OnWait<'_>) -> Result<Guard, Error> {
    let started = Instant::now();
    let mut waiter = Waiter {
        place: &request.place,
        wait: request.wait,
        started,
        // Beyond what the clock can express is for ever.
        deadline: if let Wait::For(timeout) = request.wait { started.checked_add(timeout) } else { None },
        confirm_until: None,
        retry_delay: request.retry_delay,
        on_wait,
        tell_at: None,
        processes: Processes::default(),
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
        match waiter.take_all(wanted.values())? {
            Taken::All(mut guard) => {
                // A symbolic link may have been turned elsewhere before its lock was had.
                if plan(request)?.into_keys().eq(wanted.into_keys()) {
                    waiter.take_descriptors(&request.descriptors, &mut guard)?;
                    return Ok(guard);
                }
            }
            Taken::Coincide(lock) => strengthened.push(lock),
        }
    }
    Err(unstable(request.paths().next().unwrap_or(Path::new("."))))
}

/// The lock files of a request in the one global order, bytewise by canonical path, each once.
pub fn plan(request: &Request) -> Result<BTreeMap<PathBuf, Target>, Error> {
    let mut wanted: BTreeMap<PathBuf, Target> = BTreeMap::new();
    for (data, mode) in &request.targets {
        let kind = request.place.kind();
        for lock in path::lock_paths(data, &request.place)? {
            let target = Target { data: data.clone(), lock: lock.clone(), mode: *mode, kind };
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

/// A request on its way to its locks.
pub struct Waiter<'a> {
    place: &'a Place,
    wait: Wait,
    started: Instant,
    deadline: Option<Instant>,
    confirm_until: Option<Instant>,
    pub(super) retry_delay: Option<Duration>,
    on_wait: OnWait<'a>,
    pub(super) tell_at: Option<Instant>,
    processes: Processes,
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
        let mut passed = false;
        let mut mismatches = 0;
        let mut looks = 0;
        while mismatches < MOST_MISMATCHES {
            let file = match target.kind {
                Kind::LockFile => self.open_lock(target)?,
                _ => sys::open_itself(lock, true).map_err(fail)?,
            };
            if !held.is_empty() {
                let id = sys::stat(&file).map_err(fail)?.id;
                if let Some(same) = held.iter().position(|locked| locked.id == id) {
                    return Ok(Attempt::Same(same));
                }
            }
            self.tell_at = Some(Instant::now());
            let gate = if passed { None } else { self.gate_in_the_way(target, &file)? };
            let must_queue = gate.is_some() && target.mode == Mode::Exclusive;
            if let (Some(gate), Mode::Shared) = (gate, target.mode) {
                self.pass(gate, &file, target)?;
                passed = true;
            }
            let file = if !must_queue && flock::try_lock(&file, target.mode).map_err(fail)? {
                mismatches += 1; // unless the check below is passed
                file
            } else {
                match self.wait_for(file, target) {
                    // On a busy machine even a passing look may outlast the confirmation.
                    Err(Error::Busy(_)) if looks < MOST_LOOKS && !self.is_held(target) => {
                        looks += 1;
                        self.confirm_until = None;
                        continue;
                    }
                    waited => waited?,
                }
            };
            let stat = sys::stat(&file).map_err(fail)?;
            let there = sys::stat_path(lock).map_err(fail)?;
            // The one check that exclusion rests on: `clean`, or anybody, may have unlinked the file
            // between the open and the lock, and a second holder may have made a new one.
            if there.is_some_and(|there| there.id == stat.id) {
                examine(&file, stat, target)?;
                return Ok(Attempt::Taken(Locked::new(file, stat, target.clone())));
            }
        }
        Err(unstable(lock))
    }

    /// Opens a lock file, made with its directory if need be: that may also have been removed during a wait.
    fn open_lock(&self, target: &Target) -> Result<File, Error> {
        let lock = target.lock.as_path();
        if let Some(odd) = not_a_lock_file(lock) {
            return Err(odd); // a device is not even opened
        }
        let opened = match (sys::open_lock(lock, true), lock.parent()) {
            (Err(e), Some(dir)) if e.kind() == io::ErrorKind::NotFound => {
                path::make_lock_dir(dir, self.place, &target.data)?;
                sys::open_lock(lock, true)
            }
            (opened, _) => opened,
        };
        opened.map_err(|e| not_a_lock_file(lock).unwrap_or(Error::io(lock, e)))
    }

    /// Whether a lock that has just been refused is held by more than somebody's look at it.
    fn is_held(&mut self, target: &Target) -> bool {
        let found = inspect::inspect(&target.lock, target.kind, &mut self.processes);
        !matches!(found, Ok(None | Some(Inspection { state: State::Free | State::Stale, .. })))
    }

    /// The gate that this request has to heed, if there is one.
    fn gate_in_the_way(&mut self, target: &Target, file: &File) -> Result<Option<File>, Error> {
        let is_asked_only = self.wait == Wait::Never && target.mode == Mode::Exclusive;
        if target.kind != Kind::LockFile || is_asked_only {
            return Ok(None); // no gates there; and whether it is free, the lock itself says
        }
        let Some(gate) = gate::open(&gate::path_of(&target.lock), false) else { return Ok(None) };
        // The writer at the gate may wait for our ancestor: to queue behind it would be a deadlock. For a
        // reader that is so inside whatever lock, since two may each wait behind the writer for the other's.
        let stat = sys::stat(file).map_err(|e| Error::io(&target.lock, e))?;
        examine(file, stat, target)?;
        let is_nested_reader = target.mode == Mode::Shared && held::is_inside(&mut self.processes);
        let passes_by = is_nested_reader || held::around_us(stat.id, &mut self.processes).is_some();
        Ok((!passes_by).then_some(gate))
    }

    /// A reader's way through a gate, or past it.
    fn pass(&mut self, gate: File, lock: &File, target: &Target) -> Result<(), Error> {
        match self.queue(gate, lock, target) {
            Ok(Some(gate)) => gate::pass(gate, gate::path_of(&target.lock)),
            Ok(None) => {}
            // Whose writer does not get on.
            Err(Error::Busy(_)) if !self.is_held(target) => {}
            Err(e) => return Err(e),
        }
        Ok(())
    }

    /// Puts up a gate, after queueing at those of others. `None` where there can be none, or where it is no use
    /// to queue: then it waits as any flock does.
    fn raise_gate(&mut self, lock: &File, target: &Target) -> Result<Option<Gate>, Error> {
        let path = gate::path_of(&target.lock);
        for _ in 0..MOST_MISMATCHES {
            let Some(gate) = gate::open(&path, true) else { break };
            let Some(gate) = self.queue(gate, lock, target)? else { break };
            if let Some(gate) = Gate::hold(gate, path.clone()) {
                return Ok(Some(gate));
            }
        }
        Ok(None)
    }

    /// Waits for a gate; returns it once it is locked, `None` if it is not worth the wait any more.
    fn queue(&mut self, gate: File, lock: &File, target: &Target) -> Result<Option<File>, Error> {
        let path = gate::path_of(&target.lock);
        if flock::try_lock(&gate, target.mode).map_err(|e| Error::io(&path, e))? {
            return Ok(Some(gate));
        }
        let mut heed = gate::patience(lock, path.clone(), target.mode);
        self.obtain(gate, &path, target, &mut heed)
    }

    /// Waits for a lock that was refused; returns the file once it is locked.
    fn wait_for(&mut self, file: File, target: &Target) -> Result<File, Error> {
        let lock = target.lock.as_path();
        let stat = sys::stat(&file).map_err(|e| Error::io(lock, e))?;
        examine(&file, stat, target)?;
        self.refuse_if_around(stat.id, target)?;
        let is_writer = target.kind == Kind::LockFile && target.mode == Mode::Exclusive;
        let raises_gate = is_writer && self.wait != Wait::Never;
        let _gate = if raises_gate { self.raise_gate(&file, target)? } else { None };
        // It may have queued at a gate for no lock.
        if raises_gate && flock::try_lock(&file, target.mode).map_err(|e| Error::io(lock, e))? {
            return Ok(file);
        }
        let had = self.obtain(file, lock, target, &mut wait::to_the_end)?;
        Ok(had.expect("nothing but the deadline ends this wait"))
    }

    /// An error if the lock is held around this process: to wait for it would be to wait for ever. (A
    /// request that does not wait is simply refused.)
    pub fn refuse_if_around(&mut self, id: FileId, target: &Target) -> Result<(), Error> {
        if self.wait == Wait::Never {
            return Ok(());
        }
        let Some(around) = held::around_us(id, &mut self.processes) else { return Ok(()) };
        let ancestor = if let Around::Ancestor(pid) = around { Some(pid) } else { None };
        Err(Error::AlreadyLocked { target: target.clone(), ancestor })
    }

    /// Waits for the lock on a target's file or gate as long as the request may and `heed` has it; returns the
    /// file once it is locked.
    fn obtain(
        &mut self,
        file: File,
        path: &Path,
        target: &Target,
        heed: wait::Ask<'_>,
    ) -> Result<Option<File>, Error> {
        if self.wait == Wait::Never
            && target.kind == Kind::LockFile
            && holder::names_live_holder(&file, path, &mut self.processes)
        {
            return Err(Error::Busy(target.clone()));
        }
        let (mode, retry_delay) = (target.mode, self.retry_delay);
        self.wait_while(target, heed, |deadline, ask| match retry_delay {
            None => wait::in_kernel(file, mode, deadline, ask),
            Some(delay) => wait::by_polling(file, mode, deadline, delay, ask),
        })
    }

    /// Waits in the given way as long as the request may; `None` if `heed` has ended it before.
    pub fn wait_while<T>(
        &mut self,
        target: &Target,
        heed: wait::Ask<'_>,
        attempt: impl FnOnce(Option<Instant>, wait::Ask<'_>) -> io::Result<Option<T>>,
    ) -> Result<Option<T>, Error> {
        let mut is_ended = false;
        let had = if self.wait == Wait::Never {
            let until = *self.confirm_until.get_or_insert_with(|| Instant::now() + CONFIRMATION);
            attempt(Some(until), &mut wait::to_the_end)
        } else {
            let Self { started, on_wait, tell_at, .. } = self;
            let ask = &mut |now: Instant| {
                if tell_at.is_some_and(|at| now >= at) {
                    let next = on_wait(Waiting { target, elapsed: now - *started });
                    *tell_at = next.and_then(|delay| now.checked_add(delay));
                }
                let heeded = heed(now);
                is_ended = heeded.is_break();
                ControlFlow::Continue(heeded?.into_iter().chain(*tell_at).min())
            };
            attempt(self.deadline, ask)
        };
        match had.map_err(|e| Error::io(&target.lock, e))? {
            Some(had) => Ok(Some(had)),
            None if is_ended => Ok(None),
            None if self.wait == Wait::Never => Err(Error::Busy(target.clone())),
            None => Err(Error::TimedOut { target: target.clone(), waited: self.started.elapsed() }),
        }
    }
}

/// Refuses what is at a lock path but is no lock file of ours.
fn examine(file: &File, stat: sys::Stat, target: &Target) -> Result<(), Error> {
    let lock = target.lock.as_path();
    if target.kind != Kind::LockFile {
        return Ok(()); // anything that can be opened can be locked
    }
    if !stat.is_file {
        return Err(not_a_lock_file(lock).unwrap_or_else(|| unstable(lock)));
    }
    match record::read(file, lock) {
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err(foreign(lock)),
        Err(e) => Err(Error::io(lock, e)),
    }
}

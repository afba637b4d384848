//! Acquiring: the way of a request to its locks.
//!
//! ```text
//! open, validate --> line ahead? --no--> try --got--> still at its path? --yes--> record: held
//!      ^                  |               |                   |
//!      |                  +-----yes-------+ refused           no
//!      |                                  v                   |
//!      |            `try`: a passing look? wait it out, else Busy
//!      |            held around us? AlreadyLocked             |
//!      |                                  |                   |
//!      |                             get in line              |
//!      |                            wait ----got------------->+
//!      +------------------------------------------------------+
//! ```
//!
//! Several locks are taken in one order, by device and inode of the files that are locked, whatever their kind and
//! their names: so no two requests wait for each other. Whoever holds a lock that comes later in this order does
//! not wait for one that comes before it.

use std::cmp::Reverse;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

use super::error::{Error, HeldBy, MAX_REPLACED, replaced_too_often};
use super::file::LockFile;
use super::nested;
use super::path::Resolver;
use super::queue::{self, Inside, Turn};
use super::request::Target;
use super::wait::{OnWait, Patience};
use super::{Guard, Kind, Locked, Mode, Request, Wait, descriptor, flock, holder};
use crate::process::Processes;

/// Takes all the locks of a request, or none.
pub fn acquire(request: &Request, on_wait: OnWait<'_>) -> Result<Guard, Error> {
    let mut acquisition = Acquisition {
        wait: request.wait,
        patience: Patience::new(request.wait, request.retry_delay, on_wait),
        processes: Processes::default(),
        replaced: 0,
        last_replaced: None,
    };
    let mut guard = Guard::default();
    while acquisition.replaced < MAX_REPLACED {
        let mut resolver = Resolver::new(&request.place);
        let wanted = open_all(request, &mut resolver)?;
        guard.keep_if_all(|locked| wanted.iter().any(|(target, file)| locked.is(target, file)));
        if acquisition.take_all(wanted, &mut guard)? && resolver.is_unchanged()? {
            return Ok(guard);
        }
        acquisition.replaced += 1;
    }
    let named = request.paths().next().unwrap_or(Path::new("."));
    Err(replaced_too_often(acquisition.last_replaced.as_deref().unwrap_or(named)))
}

/// The locks of a request, open, each once, in the one global order.
fn open_all(request: &Request, resolver: &mut Resolver<'_>) -> Result<Vec<(Target, LockFile)>, Error> {
    let mut found = Vec::new();
    for (data, mode) in &request.targets {
        for spot in resolver.spots(data)? {
            let target = Target::new(data.clone(), spot.path.clone(), *mode, request.place.kind());
            let file = LockFile::open(&spot, &target)?;
            found.push((target, spot, file));
        }
    }
    // Made only once nothing is wrong with any of them.
    let mut wanted = Vec::new();
    for (target, spot, file) in found {
        let file = file.map_or_else(|| LockFile::create(spot, &target), Ok)?;
        wanted.push((target, file));
    }
    for descriptor in &request.descriptors {
        wanted.push(descriptor::open(descriptor)?);
    }
    let is_descriptor = |target: &Target| matches!(target.kind(), Kind::Descriptor(_));
    // Of one file the stronger mode first, so that it is not converted to the weaker one.
    wanted.sort_by_key(|(target, file)| (file.id, is_descriptor(target), Reverse(target.mode())));
    wanted.dedup_by(|(target, file), (_, first)| file.id == first.id && !is_descriptor(target));
    Ok(wanted)
}

/// What became of an attempt at one lock.
enum Attempt {
    /// The guard has it.
    Held,
    /// The file is no longer at its path: start again.
    Replaced,
    /// It is busy, and a lock is held that comes after it: let go of all, and start again.
    OutOfOrder,
}

/// A request on its way to its locks.
struct Acquisition<'a> {
    wait: Wait,
    patience: Patience<'a>,
    processes: Processes,
    /// How often a file was replaced, since the last wait.
    replaced: u32,
    last_replaced: Option<PathBuf>,
}

impl Acquisition<'_> {
    /// Takes what is wanted and not held; `false` if the request has to start again.
    fn take_all(&mut self, wanted: Vec<(Target, LockFile)>, guard: &mut Guard) -> Result<bool, Error> {
        for (target, file) in wanted {
            if guard.locks().any(|locked| locked.is(&target, &file))
                || descriptor::is_covered(&target, &file, guard)?
            {
                continue;
            }
            match self.take(&target, file, guard)? {
                Attempt::Held => {}
                Attempt::Replaced => {
                    self.last_replaced = Some(target.lock().to_owned());
                    return Ok(false);
                }
                Attempt::OutOfOrder => {
                    guard.clear();
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// The corridor of the chart.
    fn take(&mut self, target: &Target, mut lock: LockFile, guard: &mut Guard) -> Result<Attempt, Error> {
        let on_drop = descriptor::on_drop(target, &lock);
        if has_line(target, &lock) || !try_lock(&mut lock, target)? {
            let is_in_order = guard.locks().all(|locked| locked.file_id() <= lock.id);
            match self.wait {
                Wait::Never => self.wait_out_a_look(target, &lock)?,
                _ if !is_in_order => return Ok(Attempt::OutOfOrder),
                _ => self.wait_for(target, &mut lock)?,
            }
        }
        let Some(stat) = lock.at_its_path(target)? else { return Ok(Attempt::Replaced) };
        lock.validate(stat, target)?;
        guard.push(Locked::new(lock, stat, target.clone(), on_drop));
        Ok(Attempt::Held)
    }

    /// Waits for a lock that was refused, in line.
    fn wait_for(&mut self, target: &Target, lock: &mut LockFile) -> Result<(), Error> {
        match nested::held_by(lock, target, &mut self.processes) {
            // It ends after all, if only with the deadline.
            Some(HeldBy::ThisThread) if self.wait != Wait::Forever => {}
            // Shared inside shared, past a line that may wait for the outer one.
            Some(_) if try_lock(lock, target)? => return Ok(()),
            Some(by) => return Err(Error::AlreadyLocked { target: target.clone(), by }),
            None => {}
        }
        self.replaced = 0; // while it waits, many a `clean` may come by
        let turn = match target.kind() {
            Kind::LockFile if nested::is_inside(&mut self.processes) => {
                Turn::in_line(&lock.file, target.mode(), Inside::Lock)
            }
            Kind::LockFile => Turn::in_line(&lock.file, target.mode(), Inside::Nothing),
            _ => Turn::without_line(&lock.file, target.mode()), // a byte in data is not ours to lock
        };
        self.patience.wait(turn, target)
    }

    /// Waits until a passing look is over, if the lock is held by nothing else.
    fn wait_out_a_look(&mut self, target: &Target, lock: &LockFile) -> Result<(), Error> {
        let busy = || Err(Error::Busy(target.clone()));
        if target.kind() != Kind::LockFile {
            return busy(); // there is no record that could say who holds it
        }
        if holder::names_live_holder(&lock.file, target.lock(), &mut self.processes) {
            return busy();
        }
        let fail = |e| Error::io(target.lock(), e);
        let until = Instant::now() + flock::PASSING_LOOK;
        while Instant::now() < until {
            if !queue::has_line(&lock.file) && flock::try_lock(&lock.file, target.mode()).map_err(fail)? {
                return Ok(());
            }
            thread::sleep(flock::PASSING_LOOK / 50);
        }
        // A line that does not get on keeps nobody from a lock that is free.
        if !flock::try_lock(&lock.file, Mode::Exclusive).map_err(fail)? {
            return busy();
        }
        let is_wanted = target.mode() == Mode::Exclusive;
        if is_wanted || flock::try_convert(&lock.file, target.mode()).map_err(fail)? {
            Ok(())
        } else {
            busy()
        }
    }
}

fn has_line(target: &Target, lock: &LockFile) -> bool {
    target.kind() == Kind::LockFile && queue::has_line(&lock.file)
}

/// Takes a lock if nobody holds it.
fn try_lock(lock: &mut LockFile, target: &Target) -> Result<bool, Error> {
    let mut taken = flock::try_lock(&lock.file, target.mode());
    if taken.as_ref().is_err_and(|e| flock::wants_writing(e, target.mode())) {
        taken = lock.reopen_for_writing().and_then(|()| flock::try_lock(&lock.file, target.mode()));
    }
    taken.map_err(|e| Error::io(target.lock(), e))
}

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
use super::line;
use super::nested;
use super::path::Resolver;
use super::queue::Turn;
use super::request::{Claim, Slots, Target};
use super::room;
use super::slots::{Attempt, Taken};
use super::wait::{OnWait, Patience};
use super::{Guard, Kind, Locked, Mode, Request, Wait, descriptor, flock, holder};
use crate::process::Processes;

/// Takes all the locks of a request, or none.
pub fn acquire(request: &Request, on_wait: OnWait<'_>) -> Result<Guard, Error> {
    check(request)?;
    let mut acquisition = Acquisition {
        wait: request.wait,
        max_waiters: request.max_waiters,
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

/// Refuses what nobody could ever get.
fn check(request: &Request) -> Result<(), Error> {
    let has_lock_files = request.descriptors.is_empty() && request.place.kind() == Kind::LockFile;
    let wrong = match (request.slots, request.targets.as_slice()) {
        (None, _) => None,
        (Some(_), [(_, Mode::Shared)]) if !has_lock_files => {
            Some("slots are bytes of a lock file: data and open files have none")
        }
        (Some(Slots { limit, take }), [(_, Mode::Shared)]) => {
            let limits = 1..=Slots::MAX;
            (!limits.contains(&limit) || !(1..=limit).contains(&take)).then_some(
                "there are 1 to 1024 slots, of which at least one is taken, and no more than there are",
            )
        }
        (Some(_), _) => {
            Some("slots are for a shared lock on one file: take other locks in a request of their own")
        }
    };
    let wrong = wrong.or(match request.max_waiters {
        Some(0) => Some("if nobody may wait, use a request that does not wait"),
        Some(_) if !has_lock_files => {
            Some("those who wait are counted in a lock file: data and open files have none")
        }
        _ => None,
    });
    let named = request.paths().next().unwrap_or(Path::new("."));
    wrong.map_or(Ok(()), |wrong| Err(Error::invalid(named, wrong)))
}

/// The locks of a request, open, each once, in the one global order.
fn open_all(request: &Request, resolver: &mut Resolver<'_>) -> Result<Vec<(Target, LockFile)>, Error> {
    let mut found = Vec::new();
    for (data, mode) in &request.targets {
        let mut spots = resolver.spots(data)?.into_iter().peekable();
        while let Some(spot) = spots.next() {
            // Of a symbolic link, those of what it leads to: they are the same by every name.
            let is_last = spots.peek().is_none();
            let claim = Claim { mode: *mode, slots: request.slots.filter(|_| is_last) };
            let target = Target::new(data.clone(), spot.path.clone(), claim, request.place.kind());
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

/// What became of one lock of a request.
enum Step {
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
    max_waiters: Option<u32>,
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
                Step::Held => {}
                Step::Replaced => {
                    self.last_replaced = Some(target.lock().to_owned());
                    return Ok(false);
                }
                Step::OutOfOrder => {
                    guard.clear();
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// The corridor of the chart.
    fn take(&mut self, target: &Target, mut lock: LockFile, guard: &mut Guard) -> Result<Step, Error> {
        let on_drop = descriptor::on_drop(target, &lock);
        let attempt = if has_line(target, &lock) { Attempt::Locked } else { try_lock(&mut lock, target)? };
        let slots = if let Attempt::Held(slots) = attempt {
            slots
        } else {
            let is_in_order = guard.locks().all(|locked| locked.file_id() <= lock.id);
            match self.wait {
                Wait::Never => self.wait_out_a_look(target, &lock)?,
                _ if !is_in_order => return Ok(Step::OutOfOrder),
                _ => self.wait_for(target, &mut lock)?,
            }
        };
        let Some(stat) = lock.at_its_path(target)? else { return Ok(Step::Replaced) };
        guard.push(Locked::new(lock, slots, stat, target.clone(), on_drop)?);
        Ok(Step::Held)
    }

    /// Waits for a lock that was refused, in line.
    fn wait_for(&mut self, target: &Target, lock: &mut LockFile) -> Result<Taken, Error> {
        let around = nested::held_by(lock, &mut self.processes);
        match around {
            // It ends after all, if only with the deadline.
            Some(HeldBy::ThisThread) if self.wait != Wait::Forever => {}
            // Shared inside shared, past a line that may wait for the outer one.
            Some(by) => match try_lock(lock, target)? {
                Attempt::Held(slots) => return Ok(slots),
                Attempt::Full if self.gets_slots(target, lock, by) => {}
                Attempt::Full | Attempt::Locked => {
                    return Err(Error::AlreadyLocked { target: target.clone(), by });
                }
            },
            None => {}
        }
        self.replaced = 0; // while it waits, many a `clean` may come by
        let _seat = match self.max_waiters {
            Some(max) => Some(
                room::enter(&lock.file, max)
                    .map_err(|e| Error::io(target.lock(), e))?
                    .ok_or_else(|| Error::Crowded { target: target.clone(), max_waiters: max })?,
            ),
            None => None,
        };
        let turn = match target.kind() {
            Kind::LockFile => Turn::in_line(&lock.file, target.claim(), around.is_some()),
            _ => Turn::without_line(&lock.file, target.claim()), // a byte in data is not ours to lock
        };
        self.patience.wait(turn, target)
    }

    /// Whether a request for slots inside the same lock gets them once all others have given theirs back.
    fn gets_slots(&mut self, target: &Target, lock: &LockFile, by: HeldBy) -> bool {
        target.slots().is_some_and(|Slots { limit, take }| {
            nested::slots_around(by, lock, &mut self.processes) + take as usize <= limit as usize
        })
    }

    /// Waits until a passing look is over, if the lock is held by nothing else.
    fn wait_out_a_look(&mut self, target: &Target, lock: &LockFile) -> Result<Taken, Error> {
        let busy = || Err(Error::Busy(target.clone()));
        if target.kind() != Kind::LockFile {
            return busy(); // there is no record that could say who holds it
        }
        let fail = |e| Error::io(target.lock(), e);
        let attempt = || {
            let may_pass = line::is_stopped(&lock.file);
            if may_pass { target.claim().try_on(&lock.file).map_err(fail) } else { Ok(Attempt::Locked) }
        };
        if holder::names_live_holder(&lock.file, target.lock(), &mut self.processes) {
            return match attempt()? {
                Attempt::Held(slots) => Ok(slots),
                Attempt::Locked | Attempt::Full => busy(),
            };
        }
        let until = Instant::now() + flock::PASSING_LOOK;
        while Instant::now() < until {
            if let Attempt::Held(slots) = attempt()? {
                return Ok(slots);
            }
            thread::sleep(flock::PASSING_LOOK / 50);
        }
        // A line that does not get on keeps nobody from a lock that is free.
        if !flock::try_lock(&lock.file, Mode::Exclusive).map_err(fail)? {
            return busy();
        }
        let is_wanted = target.mode() == Mode::Exclusive;
        if !is_wanted && !flock::try_convert(&lock.file, target.mode()).map_err(fail)? {
            return busy();
        }
        match target.claim().with_slots(&lock.file).map_err(fail)? {
            Attempt::Held(slots) => Ok(slots),
            Attempt::Locked | Attempt::Full => busy(),
        }
    }
}

fn has_line(target: &Target, lock: &LockFile) -> bool {
    target.kind() == Kind::LockFile && line::is_there(&lock.file)
}

/// Takes a lock if it can be had at once.
fn try_lock(lock: &mut LockFile, target: &Target) -> Result<Attempt, Error> {
    let mut taken = target.claim().try_on(&lock.file);
    if taken.as_ref().is_err_and(|e| flock::wants_writing(e, target.mode())) {
        taken = lock.reopen_for_writing().and_then(|()| target.claim().try_on(&lock.file));
    }
    taken.map_err(|e| Error::io(target.lock(), e))
}

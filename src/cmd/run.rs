//! `gtlock run`, and `gtlock try`, which never waits.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::thread;
use std::time::Instant;

use anyhow::Context;

use super::journal::Journal;
use super::narrate::Narrator;
use super::{remedy, report};
use crate::cli::{CommonArgs, LockArgs, RunArgs, TryArgs, WaitArgs};
use crate::escape::Escaped;
use crate::exit::Exit;
use crate::history::Outcome;
use crate::lock::{self, Error, Guard, HELD_VARIABLE, Mode, Request, Wait};
use crate::sys::{self, Ended, Incoming, Launch, Streams};

/// A longer variable, in bytes, may be too long for the system: Linux has a limit of 128 KiB.
const MAX_VARIABLE: usize = 100 << 10;

/// The variable that gives a command its slots: their numbers, in order, separated by spaces.
const SLOT_VARIABLE: &str = "GTLOCK_SLOT";

/// Runs a command under locks.
///
/// # Errors
///
/// What ends gtlock with status 125.
pub fn run(args: &RunArgs) -> anyhow::Result<Exit> {
    let lock = patient(requested(&args.lock, !args.command.is_empty())?, &args.wait);
    under(&lock, &args.lock, &args.command)
}

/// The same locks, waited for as the options ask for.
pub(super) fn patient(lock: Request, args: &WaitArgs) -> Request {
    let mut lock = lock.wait(args.timeout);
    if let Some(delay) = args.retry_delay {
        lock = lock.retry_delay(delay);
    }
    if let Some(others) = args.max_waiters {
        lock = lock.max_waiters(others);
    }
    lock
}

/// Runs a command if the locks are free now; without a command, tests whether they are.
///
/// # Errors
///
/// What ends gtlock with status 125.
pub fn try_run(args: &TryArgs) -> anyhow::Result<Exit> {
    let lock = requested(&args.lock, !args.command.is_empty())?.wait(Wait::Never);
    under(&lock, &args.lock, &args.command)
}

fn requested(args: &LockArgs, has_command: bool) -> anyhow::Result<Request> {
    let files = args.write.iter().map(|file| (file, Mode::Exclusive));
    let files = files.chain(args.read.iter().map(|file| (file, Mode::Shared)));
    // Each once: a later entry replaces an earlier one.
    let descriptors = args.rare.read_fd.iter().map(|&fd| (fd, Mode::Shared));
    let descriptors: BTreeMap<_, _> =
        descriptors.chain(args.rare.write_fd.iter().map(|&fd| (fd, Mode::Exclusive))).collect();
    let mut lock = files.fold(Request::default(), |lock, (file, mode)| lock.and(file.clone(), mode));
    // Before any file is opened, which could get the number of one that is not open.
    for (fd, mode) in descriptors {
        let file = open_descriptor(fd)?;
        // A lock that the caller holds already is neither weakened for a command nor released with it.
        let held = lock::lock_on(&file).filter(|_| has_command);
        lock = lock.and_open_file(file, format!("descriptor {fd}"), held.map_or(mode, |held| held.max(mode)));
    }
    if let Some(limit) = args.rare.slots {
        lock = lock.slots(limit).take(args.rare.take.unwrap_or(1));
    }
    Ok(match &args.common.rare.lock_dir {
        Some(dir) => lock.lock_dir(dir),
        None if args.rare.direct => lock.direct(),
        None => lock,
    })
}

fn open_descriptor(fd: i32) -> anyhow::Result<std::fs::File> {
    sys::descriptor(fd).with_context(|| format!("descriptor {fd}: open it first, as in {fd}>FILE"))
}

fn under(lock: &Request, args: &LockArgs, command: &[OsString]) -> anyhow::Result<Exit> {
    for &fd in &args.rare.unlock_fd {
        lock::unlock(&open_descriptor(fd)?).with_context(|| format!("descriptor {fd}"))?;
    }
    let mut narrator = Narrator::new(&args.common);
    let mut journal = Journal::new(&args.common, command);
    let mut guard = match acquire(lock, &args.common, &mut narrator, &mut journal)? {
        Ok(guard) => guard,
        Err(refused) => return Ok(refused),
    };
    if command.is_empty() {
        guard.leave_descriptors(); // for the caller; files were only tested
        journal.left_to_caller();
        drop(guard);
        journal.write(None);
        return Ok(Exit::Success);
    }
    if args.rare.no_fork {
        journal.write(None); // afterwards there is no gtlock
    }
    let since = Instant::now();
    let mut signals = None;
    let ended = execute(&mut guard, args, command, &mut signals);
    linger(&args.common, &ended, since, signals.as_mut());
    let is_left = !args.rare.close && ended.as_ref().is_ok_and(|ended| ended.is_cut_off());
    journal.let_go(outcome(&ended, is_left));
    let replaced = release(guard, is_left, signals, &narrator, since);
    for replaced in replaced {
        let found = if args.rare.direct {
            "was unlinked or replaced while it was locked, so that others may have held the new one's lock; lock \
             it without --direct if it is saved by rename"
        } else {
            LOCK_REPLACED
        };
        report::say(&format!("{}: {found}", Escaped::new(&replaced)));
    }
    let exit = conclude(ended, command);
    journal.write(Some(*exit.as_ref().unwrap_or(&Exit::Failure)));
    exit
}

/// What happens to the locks of a command that has ended.
#[must_use]
pub fn outcome(ended: &io::Result<Ended>, is_left: bool) -> Outcome {
    match ended {
        Ok(Ended::Overdue) => Outcome::Ended,
        _ if is_left => Outcome::Kept,
        _ => Outcome::Released,
    }
}

/// The message for a lock file that did not stay at its path while it was locked.
pub(super) const LOCK_REPLACED: &str = "the lock file was unlinked or replaced while it was locked, so that others may have held the lock too; \
     find out which program removes lock files (gtlock clean is safe)";

/// Takes locks; the exit status if they are refused.
pub(super) fn acquire(
    lock: &Request,
    args: &CommonArgs,
    narrator: &mut Narrator,
    journal: &mut Journal<'_>,
) -> anyhow::Result<Result<Guard, Exit>> {
    let serving = sys::serve_as_process_1();
    let guard = match lock.lock_watched(&mut |waiting| {
        journal.waits(waiting.target);
        narrator.waits(waiting)
    }) {
        Ok(guard) => guard,
        Err(Error::Busy(target)) => {
            journal.refused(&target, Outcome::Refused);
            narrator.refused(&target, "busy");
            return Ok(Err(args.refusal()));
        }
        Err(Error::Crowded { target, max_waiters }) => {
            journal.refused(&target, Outcome::Refused);
            narrator.crowded(&target, max_waiters);
            return Ok(Err(args.refusal()));
        }
        Err(Error::TimedOut { target, waited }) => {
            journal.refused(&target, Outcome::TimedOut);
            narrator.refused(&target, &format!("timed out after {}", report::duration(waited)));
            return Ok(Err(args.refusal()));
        }
        Err(e) => return Err(e.into()),
    };
    drop(serving);
    narrator.locked(&guard);
    journal.got(&guard);
    Ok(Ok(guard))
}

/// Releases locks. If a command was cut off, what it was running may still be writing, so the locks are left to that, and
/// last until it ends. Returns the lock files that did not stay at their paths.
pub(super) fn release(
    mut guard: Guard,
    is_left: bool,
    signals: Option<Incoming>,
    narrator: &Narrator,
    since: Instant,
) -> Vec<PathBuf> {
    let held = since.elapsed();
    let targets: Vec<_> = guard.locks().map(|locked| (locked.target().clone(), locked.file_id())).collect();
    if is_left {
        guard.leave();
    }
    let replaced = guard.release();
    // Not earlier: if the release is cut off, the lock stays with the processes that inherited it.
    if let Some(signals) = signals {
        signals.let_through();
    }
    if is_left {
        narrator.left(&targets, held);
    } else {
        for (target, _) in &targets {
            narrator.released(target, held);
        }
    }
    replaced
}

/// Runs a command to its end.
fn execute(
    guard: &mut Guard,
    args: &LockArgs,
    command: &[OsString],
    signals: &mut Option<Incoming>,
) -> io::Result<Ended> {
    let mut close: &[i32] = &[];
    let descriptors = [args.rare.write_fd.as_slice(), &args.rare.read_fd].concat();
    if args.rare.close {
        close = &descriptors;
    } else {
        guard.make_inheritable().map_err(io::Error::other)?;
    }
    let variables = variables(guard);
    let started = if args.rare.no_fork {
        sys::become_command(command, &variables).map(|never| match never {})
    } else {
        let signals = signals.insert(Incoming::hold().map_err(io::Error::other)?);
        let launch = Launch {
            command,
            variables: &variables,
            close,
            streams: Streams::default(),
            limit: args.common.limit(),
            tether: None,
        };
        sys::run(launch, signals, &mut Narrator::happens)
    };
    started.map_err(|e| match e.kind() {
        ErrorKind::ArgumentListTooLong if variables[0].1.len() > MAX_VARIABLE => {
            let locks = guard.locks().count();
            io::Error::other(format!(
                "{locks} locks are too many for one command: {HELD_VARIABLE}, which names them, is {} bytes long",
                variables[0].1.len()
            ))
        }
        _ => e,
    })
}

/// The variables for a command: the locks around it, and its slots, if any.
pub(super) fn variables(guard: &Guard) -> Vec<(&'static str, OsString)> {
    let mut variables = vec![(HELD_VARIABLE, guard.held_variable())];
    let slots: Vec<_> = guard.slots().map(|slot| slot.to_string()).collect();
    if !slots.is_empty() {
        variables.push((SLOT_VARIABLE, slots.join(" ").into()));
    }
    variables
}

/// Waits until the locks of a command that has ended have been held for as long as they are to be.
pub(super) fn linger(
    args: &CommonArgs,
    ended: &io::Result<Ended>,
    since: Instant,
    signals: Option<&mut Incoming>,
) {
    let left = args.rare.min_hold.map(|min| min.saturating_sub(since.elapsed()));
    match (left, signals) {
        (Some(left), Some(signals)) if ended.is_ok() => sys::linger(left, signals),
        (Some(left), None) if ended.is_ok() => thread::sleep(left), // they are held back to the end
        _ => {}
    }
}

/// The exit status for how a command ended, once the locks are released. Prints why it could not be run.
pub fn conclude(ended: io::Result<Ended>, command: &[OsString]) -> anyhow::Result<Exit> {
    let name = Escaped::new(&command[0]);
    match ended {
        Ok(Ended::Exited(code) | Ended::Interrupted(code)) => Ok(Exit::Command(code)),
        Ok(Ended::Overdue) => Ok(Exit::Overdue),
        Ok(Ended::Killed(signal)) => Ok(Exit::Signal(signal)),
        Ok(Ended::Unknown(error)) => {
            let error = io::Error::from_raw_os_error(error);
            Err(error).with_context(|| format!("{name}: was started, but cannot be waited for"))
        }
        // Not the command's fault: there was no process, or no descriptor, left.
        Err(e) if matches!(e.kind(), ErrorKind::OutOfMemory | ErrorKind::WouldBlock | ErrorKind::Other) => {
            Err(e).with_context(|| format!("{name}: cannot start a process"))
        }
        Err(e) => {
            let (exit, why) = remedy::cannot_run(command, &e);
            report::say(&why);
            Ok(exit)
        }
    }
}

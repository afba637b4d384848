//! `gtlock run` and `gtlock try`, which is `run` that never waits.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::report;
use crate::cli::{LockArgs, RunArgs, TryArgs};
use crate::escape::Escaped;
use crate::exit::Exit;
use crate::lock::{Error, FileLock, Guard, HELD_VARIABLE, Mode, Target, Wait, Waiting};
use crate::sys::{self, Ended};

/// How long a wait lasts before it is told of, unless `-v` is given.
const PATIENCE: Duration = Duration::from_secs(2);

/// Runs a command under locks.
///
/// # Errors
///
/// What ends gtlock with status 125.
pub fn run(args: &RunArgs) -> anyhow::Result<Exit> {
    if args.command.is_empty() {
        bail!("no command to run; name it after --");
    }
    let mut lock = requested(&args.lock)?.wait(args.timeout);
    if let Some(delay) = args.retry_delay {
        lock = lock.retry_delay(delay);
    }
    under(&lock, &args.lock, &args.command)
}

/// Runs a command under locks if they can be had at once; without one, asks whether they could.
///
/// # Errors
///
/// What ends gtlock with status 125.
pub fn try_run(args: &TryArgs) -> anyhow::Result<Exit> {
    let lock = requested(&args.lock)?.wait(Wait::Never);
    under(&lock, &args.lock, &args.command)
}

fn requested(args: &LockArgs) -> anyhow::Result<FileLock> {
    let files = args.write.iter().map(|file| (file, Mode::Exclusive));
    let mut files = files.chain(args.read.iter().map(|file| (file, Mode::Shared)));
    let Some((first, mode)) = files.next() else {
        bail!("no lock named; give --write FILE or --read FILE");
    };
    let lock =
        files.fold(FileLock::new(first.clone(), mode), |lock, (file, mode)| lock.and(file.clone(), mode));
    Ok(match &args.lock_dir {
        Some(dir) => lock.lock_dir(dir),
        None => lock,
    })
}

fn under(lock: &FileLock, args: &LockArgs, command: &[OsString]) -> anyhow::Result<Exit> {
    let started = Instant::now();
    let mut guard = match lock.lock_watched(&mut |waiting| tell(args, waiting)) {
        Ok(guard) => guard,
        Err(Error::Busy(target)) => {
            refused(args, &target, "busy");
            return Ok(Exit::Refused(args.conflict_exit_code));
        }
        Err(Error::TimedOut { target, waited }) => {
            refused(args, &target, &format!("timed out after {}", report::duration(waited)));
            return Ok(Exit::Refused(args.conflict_exit_code));
        }
        Err(e) => return Err(e.into()),
    };
    if args.verbose {
        describe(&guard, started.elapsed());
    }
    let exit = if command.is_empty() { Ok(Exit::Success) } else { execute(&mut guard, command) };
    for replaced in guard.release() {
        report::say(&format!(
            "{}: the lock file was unlinked or replaced while it was locked, so that others may have held the \
             lock too; find out which program removes lock files (gtlock clean is safe)",
            Escaped::new(&replaced)
        ));
    }
    exit
}

fn execute(guard: &mut Guard, command: &[OsString]) -> anyhow::Result<Exit> {
    guard.make_inheritable().context("the command cannot inherit the lock")?;
    let program = Escaped::new(&command[0]);
    match sys::run(command, (HELD_VARIABLE, &guard.held_variable())) {
        Ok(Ended::Exited(code)) => Ok(Exit::Command(code)),
        Ok(Ended::Killed(signal)) => Ok(Exit::Signal(signal)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            report::say(&format!("{program}: command not found"));
            Ok(Exit::NotFound)
        }
        // Not the command's fault: there was no process to be had.
        Err(e) if matches!(e.kind(), io::ErrorKind::OutOfMemory | io::ErrorKind::WouldBlock) => {
            Err(e).with_context(|| format!("{program}: cannot start a process"))
        }
        Err(e) => {
            report::say(&format!("{program}: cannot be run: {e}"));
            Ok(Exit::CannotRun)
        }
    }
}

/// Tells of a wait once it has lasted; says when to be asked again.
fn tell(args: &LockArgs, waiting: Waiting<'_>) -> Option<Duration> {
    if args.quiet {
        return None;
    }
    let patience = if args.verbose { Duration::ZERO } else { PATIENCE };
    match patience.checked_sub(waiting.elapsed) {
        None | Some(Duration::ZERO) => {}
        left => return left,
    }
    report::say(&format!("{}: waiting: {}", shown(waiting.target), report::who_holds(waiting.target.lock())));
    None
}

fn refused(args: &LockArgs, target: &Target, why: &str) {
    if !args.quiet {
        report::say(&format!("{}: {why}: {}", shown(target), report::who_holds(target.lock())));
    }
}

fn describe(guard: &Guard, took: Duration) {
    for locked in guard.locks() {
        let purpose = if locked.target().mode() == Mode::Exclusive { "writing" } else { "reading" };
        let unrecorded = match locked.unrecorded() {
            Some(e) => format!(", without a record of the holder: {e}"),
            None => String::new(),
        };
        report::say(&format!(
            "{}: locked for {purpose} after {}{unrecorded}",
            shown(locked.target()),
            report::duration(took)
        ));
    }
}

fn shown(target: &Target) -> Escaped<'_> {
    Escaped::new(target.data() as &Path)
}

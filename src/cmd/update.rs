//! `gtlock update`: a filter rewrites a file, all or nothing.

use std::fs::File;
use std::io;
use std::path::is_separator;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};

use super::journal::Journal;
use super::narrate::Narrator;
use super::report;
use super::run::{LOCK_REPLACED, acquire, conclude, linger, outcome, patient, release, variables};
use crate::cli::UpdateArgs;
use crate::escape::Escaped;
use crate::exit::Exit;
use crate::lock::{Error, Guard, Request};
use crate::sys::{self, Ended, Event, Incoming, Launch, Streams};
use crate::update::{Durability, Original};

/// What became of the copy of the filter's output.
type Filled = Result<(), Error>;

/// What became of the file after a filter that succeeded: an exit status if it was not replaced.
pub type Replaced = anyhow::Result<Option<Exit>>;

/// How long the output of a filter that has ended may stay open before gtlock prints a line about it.
const PATIENCE: Duration = Duration::from_secs(2);

/// Rewrites a file by a filter.
///
/// # Errors
///
/// What ends gtlock with status 125.
pub fn update(args: &UpdateArgs) -> anyhow::Result<Exit> {
    check(args)?;
    let mut lock = patient(Request::exclusive(&args.file), &args.wait);
    if let Some(dir) = &args.common.rare.lock_dir {
        lock = lock.lock_dir(dir);
    }
    let mut narrator = Narrator::new(&args.common);
    let mut journal = Journal::new(&args.common, &args.filter);
    let mut guard = match acquire(&lock, &args.common, &mut narrator, &mut journal)? {
        Ok(guard) => guard,
        Err(refused) => return Ok(refused),
    };
    let since = Instant::now();
    let mut signals = None;
    let mut filter = |streams, signals: &mut Incoming| filter(&mut guard, args, streams, signals);
    let (ended, replaced) = rewrite(args, &mut signals, &mut filter, &|| true)?;
    linger(&args.common, &ended, since, signals.as_mut());
    let is_left = ended.as_ref().is_ok_and(|ended| ended.is_cut_off());
    journal.let_go(outcome(&ended, is_left));
    for replaced in release(guard, is_left, signals, &narrator, since) {
        report::say(&format!("{}: {LOCK_REPLACED}", Escaped::new(&replaced)));
    }
    let exit = replaced.and_then(|other| other.map_or_else(|| conclude(ended, &args.filter), Ok));
    journal.write(Some(*exit.as_ref().unwrap_or(&Exit::Failure)));
    exit
}

/// What a filter that was run has come to, and then the file.
pub type Rewritten = (io::Result<Ended>, Replaced);

/// Runs a filter over a file under its lock, and replaces the file, or prints what would replace it. The file stays as it
/// is if in the end `is_locked` is false. `signals` are held back from then on.
///
/// # Errors
///
/// If the filter cannot be run.
pub fn rewrite(
    args: &UpdateArgs,
    signals: &mut Option<Incoming>,
    filter: Filter<'_>,
    is_locked: &dyn Fn() -> bool,
) -> anyhow::Result<Rewritten> {
    let since = Instant::now();
    let original = Original::open(&args.file)?;
    let stdin = Some(input(&original).context("the filter cannot get its input")?);
    let held_back = signals.insert(Incoming::hold()?);
    if args.dry_run {
        return Ok((filter(Streams { stdin, stdout: None }, held_back), Ok(None)));
    }
    replace(original, stdin, args, since, signals, filter, is_locked)
}

/// Refuses what cannot be rewritten, before the lock is taken.
///
/// # Errors
///
/// What is wrong with it.
pub fn check(args: &UpdateArgs) -> anyhow::Result<()> {
    if let Some(suffix) = &args.backup
        && (suffix.is_empty() || suffix.to_string_lossy().contains(is_separator))
    {
        bail!("--backup: '{}' is no end of a name; give one like .bak", Escaped::new(suffix));
    }
    Ok(Original::check(&args.file)?)
}

/// Runs the filter with these streams.
pub type Filter<'a> = &'a mut dyn FnMut(Streams, &mut Incoming) -> io::Result<Ended>;

/// What the filter reads: the content of the file, or nothing.
fn input(original: &Original) -> io::Result<File> {
    match original.content() {
        Some(content) => content.try_clone(),
        None => sys::pipe().map(|(empty, _)| empty),
    }
}

fn filter(
    guard: &mut Guard,
    args: &UpdateArgs,
    streams: Streams,
    signals: &mut Incoming,
) -> io::Result<Ended> {
    guard.make_inheritable().map_err(io::Error::other)?;
    let launch = Launch {
        command: &args.filter,
        variables: &variables(guard),
        close: &[],
        streams,
        limit: args.common.limit(),
        tether: None,
    };
    sys::run(launch, signals, &mut Narrator::happens)
}

/// Runs the filter, and puts its output in the place of the file if it succeeds.
///
/// The output comes through a pipe, so that every error of writing it is seen here, whatever the filter makes of
/// errors, and nothing that the filter leaves behind can write to the file later.
fn replace(
    original: Original,
    stdin: Option<File>,
    args: &UpdateArgs,
    since: Instant,
    signals: &mut Option<Incoming>,
    filter: Filter<'_>,
    is_locked: &dyn Fn() -> bool,
) -> anyhow::Result<Rewritten> {
    let replacement = original.replace()?;
    let (output, stdout) = sys::pipe().context("there is no pipe to be had")?;
    let (send, filled) = mpsc::sync_channel(1);
    let sink = replacement.sink();
    let fill = move || {
        // Sent before the pipe is closed: if that is the end of the filter, the reason is known.
        let _ = send.send(sink.fill(&output));
    };
    // It holds back the same signals.
    thread::Builder::new().spawn(fill).context("there is no thread to be had")?;
    let held_back = signals.as_mut().context("there are no signals to be had")?;
    let ended = filter(Streams { stdin, stdout: Some(stdout) }, held_back);
    let filled = match &ended {
        Ok(Ended::Exited(0)) => {
            let Some(filled) = to_its_end(&filled, args, since, signals) else {
                Narrator::happens(&Event::Overdue(args.common.rare.max_hold.unwrap_or_default()));
                return Ok((Ok(Ended::Overdue), Ok(None)));
            };
            filled.map_err(Into::into)
        }
        Ok(Ended::Interrupted(0)) => {
            Err(anyhow!("{}: a signal cut the filter off", Escaped::new(&args.file)))
        }
        _ => match filled.try_recv() {
            Ok(Err(e)) => Err(e.into()),
            Ok(Ok(())) | Err(TryRecvError::Empty | TryRecvError::Disconnected) => {
                return Ok((ended, Ok(None)));
            }
        },
    };
    let durability = if args.no_sync { Durability::Unflushed } else { Durability::Flushed };
    let commit = || {
        filled?;
        let finished = replacement.finish(durability)?;
        // A signal that comes before the file is replaced leaves it as it was. One that comes later is too late, and so
        // never seen.
        if let Some(signal) = signals.as_mut().and_then(Incoming::asks_to_end) {
            return Ok(Some(Exit::Signal(signal)));
        }
        if !is_locked() {
            return Ok(Some(Exit::Lost));
        }
        if let Some(signals) = signals.take() {
            signals.hold_to_the_end();
        }
        finished.commit(args.backup.as_deref())?;
        Ok(None)
    };
    Ok((ended, commit()))
}

/// Returns once the filter's output has ended: later than the filter, if something that it started has it too. `None` if
/// that takes longer than the lock may be held.
fn to_its_end(
    filled: &Receiver<Filled>,
    args: &UpdateArgs,
    since: Instant,
    signals: &mut Option<Incoming>,
) -> Option<Filled> {
    let left = || args.common.rare.max_hold.map(|max| max.saturating_sub(since.elapsed()));
    let first = filled.recv_timeout(left().map_or(PATIENCE, |left| left.min(PATIENCE)));
    let filled = first.or_else(|_| {
        if !args.common.quiet && sys::stderr_is_ready() {
            let file = Escaped::new(&args.file);
            report::say(&format!("{file}: waiting: the filter has ended, but something has its output open"));
        }
        if let Some(signals) = signals.take() {
            signals.let_through(); // the filter can get them no more
        }
        let filled = match left() {
            Some(left) => filled.recv_timeout(left),
            None => filled.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        *signals = Incoming::hold().ok();
        filled
    });
    filled.ok()
}

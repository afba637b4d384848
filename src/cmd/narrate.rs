//! What `run` and `try` print about their locks.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::inquiry::{Answer, Inquiry};
use super::{holders, report};
use crate::cli::CommonArgs;
use crate::escape::Escaped;
use crate::lock::{Guard, Kind, Target, Waiting};
use crate::sys::{self, Event, FileId};

/// How long a wait lasts before a line is printed about it; with `-v` that happens at once.
const LINE_AFTER: Duration = Duration::from_secs(2);

/// The same on a terminal, where the line is live and removed later; with `-v`, a line that stays.
const LIVE_LINE_AFTER: Duration = Duration::from_millis(100);

/// How often the live line is updated.
const REFRESH: Duration = Duration::from_secs(1);

/// How often to check for the answer to who holds a lock.
const GLANCE: Duration = Duration::from_millis(5);

/// The answer if none came in time.
const UNKNOWN: &str = "held; the holder could not be found in time";

/// Prints on standard error what becomes of locks, as much as the options ask for. It holds up neither a command nor a
/// wait: another thread finds out who holds a lock, and a line about a wait is printed only if that does not block.
/// A terminal may be stopped (Ctrl-S), a pipe full.
pub struct Narrator {
    quiet: bool,
    verbose: bool,
    on_terminal: bool,
    started: Instant,
    asked: Option<(Target, Inquiry<String>)>,
    live: Option<ProgressBar>,
}

/// How long to wait for an answer when nobody waits for this process's locks.
const AFTERWARDS: Duration = Duration::from_secs(5);

impl Narrator {
    /// Starts the clock.
    #[must_use]
    pub fn new(args: &CommonArgs) -> Self {
        let (quiet, verbose) = (args.quiet, args.verbose);
        let on_terminal = io::stderr().is_terminal() && !ProgressDrawTarget::stderr().is_hidden();
        Self { quiet, verbose, on_terminal, started: Instant::now(), asked: None, live: None }
    }

    /// Prints a line about a wait; returns when to call this again.
    pub fn waits(&mut self, waiting: Waiting<'_>) -> Option<Duration> {
        let Waiting { target, elapsed } = waiting;
        if self.quiet {
            return None;
        }
        let is_live = self.on_terminal && !self.verbose && sys::is_in_foreground();
        let line_after = match (self.verbose, is_live) {
            (true, _) => Duration::ZERO,
            (false, true) => LIVE_LINE_AFTER,
            (false, false) => LINE_AFTER,
        };
        if elapsed < line_after {
            return Some(line_after.saturating_sub(elapsed));
        }
        if !sys::stderr_is_ready() || (self.live.is_some() && !is_live) {
            return Some(REFRESH);
        }
        let who = match self.ask(target).poll() {
            Answer::Known(who) => {
                self.asked = None;
                who
            }
            Answer::Pending => return Some(GLANCE),
            Answer::Late => UNKNOWN.to_owned(),
        };
        if !is_live {
            say(&format!("{}: waiting: {who}", shown(target)));
            return None;
        }
        let seconds = match elapsed.as_secs() {
            0 => String::new(),
            seconds => format!(" for {}", report::duration(Duration::from_secs(seconds))),
        };
        let bar = self.live.get_or_insert_with(|| {
            let style = ProgressStyle::with_template("{wide_msg}");
            ProgressBar::new_spinner().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
        });
        bar.set_message(format!("gtlock: {}: waiting{seconds}: {who}", shown(target)));
        Some(REFRESH)
    }

    /// Prints why a lock was not obtained.
    pub fn refused(&mut self, target: &Target, why: &str) {
        self.end_live_line();
        if !self.quiet {
            let who = self.ask(target).wait();
            report::say(&format!("{}: {why}: {}", shown(target), who.as_deref().unwrap_or(UNKNOWN)));
        }
    }

    /// Prints that enough others wait already.
    pub fn crowded(&mut self, target: &Target, max_waiters: u32) {
        self.end_live_line();
        if !self.quiet {
            let waiting = match max_waiters {
                1 => "1 other waits".to_owned(),
                others => format!("{others} others wait"),
            };
            report::say(&format!("{}: busy: {waiting} already (--max-waiters)", shown(target)));
        }
    }

    /// The question who holds a lock, unless it is asked already.
    fn ask(&mut self, target: &Target) -> &Inquiry<String> {
        if self.asked.as_ref().is_none_or(|(about, _)| about != target) {
            let about = target.clone();
            self.asked = Some((target.clone(), Inquiry::new(move || holders::who_holds(&about))));
        }
        &self.asked.as_ref().expect("it has just been asked").1
    }

    /// Prints how long the locks took.
    pub fn locked(&mut self, guard: &Guard) {
        self.end_live_line();
        if self.verbose {
            let took = match self.started.elapsed() {
                waited if waited < Duration::from_millis(1) => "at once".to_owned(),
                waited => format!("after {}", report::duration(waited)),
            };
            for locked in guard.locks() {
                let purpose = holders::purpose(locked.target().mode());
                let unrecorded = match locked.unrecorded() {
                    Some(e) => format!(", without a record of the holder: {e}"),
                    None => String::new(),
                };
                let absent = absent(locked.target());
                say(&format!("{}: locked for {purpose} {took}{absent}{unrecorded}", shown(locked.target())));
            }
        }
    }

    /// Prints what happens while a command runs: all of it errors.
    pub fn happens(event: &Event) {
        match event {
            Event::Overdue(limit) => {
                let limit = report::duration(*limit);
                say(&format!("stopping the command after {limit} (--max-hold)"));
            }
            Event::NotPassedOn { signal, process, error } => {
                say(&format!("{signal} cannot be passed on to the command, process {process}: {error}"));
            }
        }
    }

    /// Prints who holds the locks of a command that was cut off; if nobody, how long they were held.
    pub fn left(&self, targets: &[(Target, FileId)], held: Duration) {
        if self.quiet {
            return;
        }
        let files: Vec<_> = targets.iter().map(|&(_, id)| id).collect();
        let inquiry = Inquiry::new(move || files.into_iter().map(holders::inheritors).collect::<Vec<_>>());
        let mut known = inquiry.wait_for(AFTERWARDS).into_iter().flatten();
        for (target, _) in targets {
            match known.next().flatten() {
                Some(who) => report::say(&format!(
                    "{}: the command was cut off; the lock stays with {who}",
                    shown(target)
                )),
                None => self.released(target, held),
            }
        }
    }

    /// Prints how long a lock was held.
    pub fn released(&self, target: &Target, held: Duration) {
        if self.verbose {
            say(&format!("{}: held for {}", shown(target), report::duration(held)));
        }
    }

    fn end_live_line(&mut self) {
        match self.live.take() {
            Some(live) if sys::stderr_is_ready() && sys::is_in_foreground() => live.finish_and_clear(),
            live => std::mem::forget(live), // whose drop would write as well
        }
    }
}

/// Prints what is not worth a wait: waiting here would hold a lock without running its command.
fn say(message: &str) {
    if sys::stderr_is_ready() {
        report::say(message);
    }
}

/// Mentions a data file that does not exist: its name may be a mistake.
fn absent(target: &Target) -> &'static str {
    let data = target.data();
    let has = |c: char| data.as_os_str().to_string_lossy().contains(c);
    match target.kind() {
        Kind::LockFile if data.symlink_metadata().is_err_and(|e| e.kind() == io::ErrorKind::NotFound) => {
            if has('*') || has('?') {
                "; there is no such file (a shell replaces * and ? only outside of quotes)"
            } else if has(',') {
                "; there is no such file (each file needs an option of its own)"
            } else {
                "; there is no such file"
            }
        }
        _ => "",
    }
}

fn shown(target: &Target) -> Escaped<'_> {
    Escaped::new(target.data())
}

//! What `run` and `try` tell of their locks.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::report;
use crate::cli::LockArgs;
use crate::escape::Escaped;
use crate::lock::{Guard, Kind, Target, Waiting};
use crate::sys::{self, Event, FileId};

/// How long a wait lasts before it is told of in a line; with `-v`, that is said at once.
const PATIENCE: Duration = Duration::from_secs(2);

/// The same on a terminal, where the line is live and goes away again; with `-v`, a line that stays.
const PATIENCE_ON_TERMINAL: Duration = Duration::from_millis(100);

/// How often the live line is brought up to date.
const REFRESH: Duration = Duration::from_secs(1);

/// Tells of locks on standard error, as much as the options ask for. Of what is held or waited for, it tells only
/// while that takes no wait: a terminal may be stopped (Ctrl-S), a pipe full.
pub struct Narrator {
    quiet: bool,
    verbose: bool,
    on_terminal: bool,
    started: Instant,
    live: Option<ProgressBar>,
}

impl Narrator {
    /// Starts the clock.
    #[must_use]
    pub fn new(args: &LockArgs) -> Self {
        let (quiet, verbose) = (args.quiet, args.verbose);
        Self { quiet, verbose, on_terminal: io::stderr().is_terminal(), started: Instant::now(), live: None }
    }

    /// Tells of a wait; says when to be asked again.
    pub fn waits(&mut self, waiting: Waiting<'_>) -> Option<Duration> {
        let Waiting { target, elapsed } = waiting;
        if self.quiet {
            return None;
        }
        let is_live = self.on_terminal && !self.verbose && !ProgressDrawTarget::stderr().is_hidden();
        let patience = match (self.verbose, is_live) {
            (true, _) => Duration::ZERO,
            (false, true) => PATIENCE_ON_TERMINAL,
            (false, false) => PATIENCE,
        };
        if elapsed < patience {
            return Some(patience.saturating_sub(elapsed));
        }
        if !sys::stderr_is_ready() {
            return Some(REFRESH);
        }
        if !is_live {
            say(&format!("{}: waiting: {}", shown(target), report::who_holds(target)));
            return None;
        }
        let waited = report::duration(Duration::from_secs(elapsed.as_secs()));
        let line = format!("gtlock: {}: waiting for {waited}: {}", shown(target), report::who_holds(target));
        let bar = self.live.get_or_insert_with(|| {
            let style = ProgressStyle::with_template("{wide_msg}");
            ProgressBar::new_spinner().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
        });
        bar.set_message(line);
        Some(REFRESH)
    }

    /// Tells why a lock was not obtained.
    pub fn refused(&mut self, target: &Target, why: &str) {
        self.end_live_line();
        if !self.quiet {
            report::say(&format!("{}: {why}: {}", shown(target), report::who_holds(target)));
        }
    }

    /// Tells how long the locks took.
    pub fn locked(&mut self, guard: &Guard) {
        self.end_live_line();
        if self.verbose {
            let took = report::duration(self.started.elapsed());
            for locked in guard.locks() {
                let purpose = report::purpose(locked.target().mode());
                let unrecorded = match locked.unrecorded() {
                    Some(e) => format!(", without a record of the holder: {e}"),
                    None => String::new(),
                };
                let absent = absent(locked.target());
                say(&format!(
                    "{}: locked for {purpose} after {took}{absent}{unrecorded}",
                    shown(locked.target())
                ));
            }
        }
    }

    /// Says what happens while a command runs: errors all of it.
    pub fn happens(event: &Event) {
        match event {
            Event::NotPassedOn { signal, process, error } => {
                say(&format!("{signal} cannot be passed on to the command, process {process}: {error}"));
            }
        }
    }

    /// Says who holds the locks of a command that was cut off.
    pub fn left(&self, targets: &[(Target, FileId)]) {
        if self.quiet {
            return;
        }
        for (target, id) in targets {
            if let Some(who) = report::inheritors(*id) {
                report::say(&format!(
                    "{}: the command was cut off; the lock stays with {who}",
                    shown(target)
                ));
            }
        }
    }

    /// Tells how long the locks were held.
    pub fn released(&self, targets: &[(Target, FileId)], held: Duration) {
        if self.verbose {
            for (target, _) in targets {
                say(&format!("{}: held for {}", shown(target), report::duration(held)));
            }
        }
    }

    fn end_live_line(&mut self) {
        match self.live.take() {
            Some(live) if sys::stderr_is_ready() => live.finish_and_clear(),
            live => std::mem::forget(live), // whose drop would write as well
        }
    }
}

/// Says what is not worth a wait: to be held up here would be to hold a lock without running its command.
fn say(message: &str) {
    if sys::stderr_is_ready() {
        report::say(message);
    }
}

/// Says of a data file that does not exist, which may be one that was meant otherwise.
fn absent(target: &Target) -> &'static str {
    let data = target.data();
    let has = |c: char| data.as_os_str().to_string_lossy().contains(c);
    match target.kind() {
        Kind::LockFile if data.symlink_metadata().is_err_and(|e| e.kind() == io::ErrorKind::NotFound) => {
            if has('*') || has('?') {
                ", though there is no such file (a shell replaces * and ? only outside of quotes)"
            } else if has(',') {
                ", though there is no such file (each file has an option of its own)"
            } else {
                ", though there is no such file"
            }
        }
        _ => "",
    }
}

fn shown(target: &Target) -> Escaped<'_> {
    Escaped::new(target.data())
}

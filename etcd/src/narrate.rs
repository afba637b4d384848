//! Messages about locks: single lines on standard error, in the form of those about locks of this machine.

use std::ffi::OsString;
use std::time::Duration;

use gtlock::Escaped;
use gtlock::cmd::{holders, report};
use gtlock::lock::Mode;
use gtlock::process::{Liveness, Processes};
use gtlock::running::stderr_is_ready;

use crate::asked::Asked;
use crate::front::shown;
use crate::sys;
use crate::talk::{Name, Said};

/// Prints as much as the options ask for.
pub struct Words {
    locks: Vec<(OsString, Mode)>,
    ttl: Duration,
    is_quiet: bool,
    is_verbose: bool,
    started: Duration,
    held_since: Duration,
}

impl Words {
    /// Starts the clock.
    pub fn new(asked: &Asked) -> Self {
        let (is_quiet, is_verbose, now) = (asked.is_quiet, asked.is_verbose, sys::now());
        let (locks, ttl) = (asked.locks.clone(), asked.ttl);
        Self { locks, ttl, is_quiet, is_verbose, started: now, held_since: now }
    }

    pub fn ttl(&self) -> Duration {
        self.ttl
    }

    /// The names of the locks.
    pub fn names(&self) -> String {
        let names = self.locks.iter().map(|(name, _)| Escaped::new(name).to_string());
        names.collect::<Vec<_>>().join(", ")
    }

    /// Prints what else the keeper says.
    pub fn note(&self, said: Said) {
        match said {
            Said::Waits { name, who } => self.say(&format!("{}: waiting: {who}", shown(name))),
            Said::Delays { name, millis } => {
                let time = report::duration(Duration::from_millis(millis));
                self.say(&format!(
                    "{}: waiting for {time}: the last holder ended without releasing, and its command may still run",
                    shown(name)
                ));
            }
            Said::Warns(warning) => self.say(&warning),
            _ => {}
        }
    }

    /// Prints a line, unless that would block: the locks would be held for nothing.
    fn say(&self, message: &str) {
        if !self.is_quiet && stderr_is_ready() {
            report::say(message);
        }
    }

    pub fn refused(&self, name: Name, why: &str, who: &str) {
        if !self.is_quiet {
            report::say(&format!("{}: {why}: {who}", shown(name)));
        }
    }

    pub fn timed_out(&self, name: Name, who: &str) {
        let waited = report::duration(sys::now().saturating_sub(self.started));
        self.refused(name, &format!("timed out after {waited}"), who);
    }

    pub fn held(&mut self) {
        self.held_since = sys::now();
        if self.is_verbose {
            let took = report::duration(self.held_since.saturating_sub(self.started));
            for (name, mode) in &self.locks {
                let purpose = holders::purpose(*mode);
                self.say(&format!("{}: locked for {purpose} after {took}", Escaped::new(name)));
            }
        }
    }

    pub fn released(&self) {
        if self.is_verbose {
            let held = report::duration(sys::now().saturating_sub(self.held_since));
            for (name, _) in &self.locks {
                self.say(&format!("{}: held for {held}", Escaped::new(name)));
            }
        }
    }

    /// Says who keeps the locks of a command that was cut off.
    pub fn left(&self, left: &[i32]) {
        let mut processes = Processes::default();
        let mut name = |&process: &i32| {
            let id = u32::try_from(process).unwrap_or_default();
            match processes.look_at(id) {
                Liveness::Alive(found) => format!("{id} ({})", holders::command_line(&found.command)),
                _ => id.to_string(),
            }
        };
        let who: Vec<_> = left.iter().map(&mut name).collect();
        self.say(&format!(
            "{}: the command was cut off; the lock stays with {}",
            self.names(),
            who.join(", ")
        ));
    }
}

//! Unix: runs a command in place of this process, as nearly as a parent can.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use nix::errno::Errno;
use nix::libc::{self, SIGCHLD, siginfo_t};
use nix::unistd::{Pid, getpid};

use super::super::{Ended, Event, Launch, OnEvent};
use super::Incoming;
use super::signals::{asks_to_end, has_reached, is_from, is_ignored, name_of, send};
use super::spawn::Program;

/// Runs a command to its end, with this process's descriptors, directory, group, environment and signal dispositions,
/// but for what is said about it. The signals that this process gets meanwhile are the command's. An error of the kind
/// `Other` is this process's own, any other the command's.
pub fn run(launch: &Launch<'_>, signals: &mut Incoming, on_event: OnEvent<'_>) -> io::Result<Ended> {
    let program = Program::of(launch.command, launch.variable)?;
    let mut child = Child { pid: signals.start(&program, launch.close)?, was_interrupted: false, on_event };
    // A Ctrl-C from before the command was there has not reached it.
    while let Some(signal) = signals.pending() {
        child.pass_on(&signal, false);
    }
    loop {
        // Before a look at the command: one that is continued is not to be found stopped.
        while let Some(signal) = signals.pending() {
            child.pass_on(&signal, has_reached(child.pid, &signal));
        }
        match child.look() {
            Some(Change::Ended(ended)) => {
                // What the terminal sent to both may have ended the command before it was looked at here.
                while let Some(signal) = signals.pending() {
                    child.pass_on(&signal, true);
                }
                return Ok(match ended {
                    Ended::Exited(code) if child.was_interrupted => Ended::Interrupted(code),
                    ended => ended,
                });
            }
            // A shell that waits for this process is to see what it would see of the command. What continues this
            // process continues the command.
            Some(Change::Stopped(signal)) => {
                let _ = send(getpid(), signal);
            }
            None => {
                let signal = signals.wait();
                child.pass_on(&signal, has_reached(child.pid, &signal));
            }
        }
    }
}

/// The command, as a child that has not been reaped.
struct Child<'a> {
    pid: Pid,
    /// Whether a signal came that asks a process to end.
    was_interrupted: bool,
    on_event: OnEvent<'a>,
}

/// What became of the command.
enum Change {
    Ended(Ended),
    /// This signal stopped it.
    Stopped(i32),
}

impl Child<'_> {
    /// Passes a signal on, unless the command has it.
    fn pass_on(&mut self, signal: &siginfo_t, has_it: bool) {
        // Signals that are ignored stay so, here and in the command (nohup).
        if signal.si_signo == SIGCHLD || is_ignored(signal.si_signo) {
            return;
        }
        self.was_interrupted |= asks_to_end(signal);
        if has_it || is_from(self.pid, signal) {
            return;
        }
        // It may have become another user's (sudo), whom this process may not signal.
        if let Err(error) = send(self.pid, signal.si_signo) {
            let process = self.pid.as_raw().try_into().unwrap_or_default();
            let signal = name_of(signal.si_signo);
            (self.on_event)(&Event::NotPassedOn { signal, process, error: error.into() });
        }
    }

    /// What became of it since the last look, if anything. Collects every child that has ended: as process 1 of a
    /// container, gtlock gets the orphans too.
    fn look(&self) -> Option<Change> {
        loop {
            let mut status = 0;
            // SAFETY: waitpid writes the status to a live integer. (nix's own refuses the realtime signals,
            // after it has reaped their victim.)
            #[allow(unsafe_code)]
            let changed = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG | libc::WUNTRACED) };
            let status = ExitStatus::from_raw(status);
            match changed {
                0 => return None,
                -1 if Errno::last() == Errno::EINTR => {}
                -1 => return Some(Change::Ended(Ended::Unknown(Errno::last_raw()))),
                pid if pid == self.pid.as_raw() => {
                    return match (status.code(), status.signal(), status.stopped_signal()) {
                        (Some(code), ..) => Some(Change::Ended(Ended::Exited(code))),
                        (_, Some(signal), _) => Some(Change::Ended(Ended::Killed(signal))),
                        (.., signal) => signal.map(Change::Stopped),
                    };
                }
                _ => {}
            }
        }
    }
}

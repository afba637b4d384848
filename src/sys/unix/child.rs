//! Unix: runs a command almost as if this process had become the command.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use nix::errno::Errno;
use nix::libc::{self, SIGCHLD, SIGCONT, SIGKILL, SIGTERM, siginfo_t};
use nix::time::clock_gettime;
use nix::unistd::{Pid, getpid};

use super::super::{Ended, Event, Launch, Limit, OnEvent, Tether};
use super::signals::{asks_to_end, has_reached, is_from, is_ignored, name_of, send, stops_both};
use super::spawn::Program;
use super::{CLOCK, Incoming};

const AT_ONCE: Option<Duration> = Some(Duration::ZERO);

/// The longest wait for a point in time: a wait stops while the machine sleeps, and the time does not.
const NAP: Duration = Duration::from_secs(10);

/// Runs a command to its end, with this process's descriptors, directory, group, environment and signal dispositions,
/// except as the launch asks. The signals that this process gets meanwhile are the command's.
///
/// # Errors
///
/// One of the kind `Other` is this process's own, any other the command's.
pub fn run(launch: Launch<'_>, signals: &mut Incoming, on_event: OnEvent<'_>) -> io::Result<Ended> {
    let program = Program::of(launch.command, launch.variables)?;
    let pid = signals.start(&program, launch.close, &launch.streams, launch.tether)?;
    let mut sentence = launch.limit.into_iter().flat_map(sentence).peekable();
    drop(launch.streams); // so that a pipe ends when the command has closed it
    let mut child = Child { pid, is_overdue: false, was_interrupted: false, on_event };
    // A Ctrl-C from before the command started did not reach it.
    while let Some(signal) = signals.next(AT_ONCE) {
        child.pass_on(&signal, false);
    }
    loop {
        // Before a look at the command: one that is continued must not be found stopped.
        while let Some(signal) = signals.next(AT_ONCE) {
            child.pass_on(&signal, has_reached(child.pid, &signal));
        }
        match child.look() {
            Some(Change::Ended(ended)) => {
                // A signal of the terminal to both may have ended the command before this look.
                while let Some(signal) = signals.next(AT_ONCE) {
                    child.pass_on(&signal, true);
                }
                return Ok(match ended {
                    Ended::Unknown(error) => Ended::Unknown(error),
                    _ if child.is_overdue => Ended::Overdue,
                    Ended::Exited(code) if child.was_interrupted => Ended::Interrupted(code),
                    ended => ended,
                });
            }
            // A shell that waits for this process is to see what it would see of the command. What continues this
            // process continues the command. Not where there is a limit, or a lock that expires: while this process
            // is stopped, it does not end the command.
            Some(Change::Stopped(signal))
                if stops_both(child.pid, signal) && launch.limit.is_none() && launch.tether.is_none() =>
            {
                let _ = send(getpid(), signal);
            }
            Some(Change::Stopped(_)) => {}
            None => {
                if let Some(limit) = launch.limit
                    && let Some((_, signal)) = sentence.next_if(|&(at, _)| at <= now())
                {
                    child.end(signal, limit);
                    continue;
                }
                let at_most = sentence.peek().map(|&(at, _)| at.saturating_sub(now()).min(NAP));
                let tether = launch.tether.map(Tether::attend);
                let at_most = at_most.into_iter().chain(tether).min();
                if let Some(signal) = signals.next(at_most) {
                    child.pass_on(&signal, has_reached(child.pid, &signal));
                }
            }
        }
    }
}

/// Waits, unless a signal asks this process to end.
pub fn linger(time: Duration, signals: &mut Incoming) {
    let until = now().saturating_add(time);
    loop {
        let left = until.saturating_sub(now());
        if left.is_zero() || signals.next(Some(left.min(NAP))).is_some_and(|signal| asks_to_end(&signal)) {
            return;
        }
    }
}

/// The signals that end a command with a limit, and when it gets them.
fn sentence(limit: Limit) -> [(Duration, i32); 2] {
    let asked = now().saturating_add(limit.max);
    [(asked, SIGTERM), (asked.saturating_add(limit.grace), SIGKILL)]
}

fn now() -> Duration {
    clock_gettime(CLOCK).map_or(Duration::ZERO, Duration::from)
}

/// The command, as a child that has not been reaped.
struct Child<'a> {
    pid: Pid,
    /// Whether it was ended because its time was up.
    is_overdue: bool,
    /// Whether a signal that asks a process to end came.
    was_interrupted: bool,
    on_event: OnEvent<'a>,
}

/// The state of the command.
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
        self.send(signal.si_signo);
    }

    /// Ends the command, whose time is up.
    fn end(&mut self, signal: i32, limit: Limit) {
        if !self.is_overdue {
            (self.on_event)(&Event::Overdue(limit.max));
            self.is_overdue = true;
        }
        self.send(signal);
        let _ = send(self.pid, SIGCONT); // a stopped process would not get it
    }

    fn send(&mut self, signal: i32) {
        // It may have become another user's (sudo), whom this process may not signal.
        if let Err(error) = send(self.pid, signal) {
            let process = self.pid.as_raw().try_into().unwrap_or_default();
            let signal = name_of(signal);
            (self.on_event)(&Event::NotPassedOn { signal, process, error: error.into() });
        }
    }

    /// The change of state since the last look, if any. Reaps every child that has ended: as process 1 of a container,
    /// gtlock gets the orphans, too.
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

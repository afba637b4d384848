//! Unix: runs a command in place of this process, as nearly as a parent can.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use nix::errno::Errno;
use nix::libc::{self, SIGCHLD, siginfo_t};
use nix::unistd::Pid;

use super::super::Ended;
use super::Incoming;
use super::signals::{asks_to_end, has_reached, is_from, is_ignored, send};
use super::spawn::Program;

/// Runs a command to its end, with this process's descriptors but for those in `close`, its directory,
/// group and signal dispositions, and its environment with `variable` set. The signals that this process gets
/// meanwhile are the command's. An error of the kind `Other` is this process's own, any other the command's.
pub fn run(
    command: &[OsString],
    variable: (&str, &OsStr),
    close: &[i32],
    signals: &mut Incoming,
) -> io::Result<Ended> {
    let child = signals.start(&Program::of(command, variable)?, close)?;
    let mut was_interrupted = false;
    // It cannot have been reaped when it is sent a signal: that is done below only. It may have become another
    // user's (sudo), whom this process may not signal.
    let mut pass_on = |signal: &siginfo_t, has_it: bool| {
        // Signals that are ignored stay so, here and in the command (nohup).
        if signal.si_signo != SIGCHLD && !is_ignored(signal.si_signo) {
            was_interrupted |= asks_to_end(signal);
            if !has_it && !is_from(child, signal) {
                let _ = send(child, signal.si_signo);
            }
        }
    };
    // A Ctrl-C from before the command was there has not reached it.
    while let Some(signal) = signals.pending() {
        pass_on(&signal, false);
    }
    let ended = loop {
        if let Some(ended) = reap(child) {
            break ended;
        }
        let signal = signals.wait();
        pass_on(&signal, has_reached(child, &signal));
    };
    // What the terminal sent to both may have ended the command before it was looked at here.
    while let Some(signal) = signals.pending() {
        pass_on(&signal, true);
    }
    Ok(match ended {
        Ended::Exited(code) if was_interrupted => Ended::Interrupted(code),
        ended => ended,
    })
}

/// Collects every child that has ended: as process 1 of a container, gtlock gets the orphans too.
fn reap(child: Pid) -> Option<Ended> {
    loop {
        let mut status = 0;
        // SAFETY: waitpid writes the status to a live integer. (nix's own refuses the realtime signals,
        // after it has reaped their victim.)
        #[allow(unsafe_code)]
        let reaped = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
        let status = ExitStatus::from_raw(status);
        match reaped {
            0 => return None,
            -1 if Errno::last() == Errno::EINTR => {}
            -1 => return Some(Ended::Unknown(Errno::last_raw())),
            pid if pid == child.as_raw() => {
                return match (status.code(), status.signal()) {
                    (Some(code), _) => Some(Ended::Exited(code)),
                    (None, signal) => signal.map(Ended::Killed),
                };
            }
            _ => {}
        }
    }
}

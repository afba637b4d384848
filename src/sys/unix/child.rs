//! Unix: runs a command in place of this process, as nearly as a parent can.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;
use signal_hook::consts::SIGCHLD;
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::WithRawSiginfo;

use super::super::Ended;
use super::signals::{PASSED_ON, asks_to_end, has_reached, is_from, is_ignored};
use super::spawn::{environment, spawn};

/// Runs a command to its end, with this process's descriptors but for those in `close`, its directory,
/// group and signal dispositions, and its environment with `variable` set. Signals that this process gets
/// meanwhile are the command's. An error of the kind `Other` is this process's own, any other the command's.
pub fn run(command: &[OsString], variable: (&str, &OsStr), close: &[i32]) -> io::Result<Ended> {
    let mask = SigSet::thread_get_mask()?;
    // Signals that are ignored stay so, here and in the command (nohup). SIGCHLD is the exception:
    // ignored, it would take the command's exit status away.
    let wanted = PASSED_ON.iter().map(|&signal| signal as i32).filter(|&signal| !is_ignored(signal));
    let signals = SignalsInfo::<WithRawSiginfo>::new(wanted.chain([SIGCHLD]));
    let mut signals = signals.map_err(io::Error::other)?;
    let mut sigchld = SigSet::empty();
    sigchld.add(Signal::SIGCHLD);
    sigchld.thread_unblock()?;

    let child = spawn(command, mask, &environment(variable), close)?;
    // It cannot have been reaped when it is sent a signal: that is done in the loop only. It may have
    // become another user's (sudo), whom this process may not signal.
    let pass_on = |signal: &libc::siginfo_t| {
        if let Ok(signal) = Signal::try_from(signal.si_signo) {
            let _ = kill(child, signal);
        }
    };
    let mut was_interrupted = false;
    // A Ctrl-C from before the command was there has not reached it.
    let early = signals.pending().filter(|signal| signal.si_signo != SIGCHLD && !is_from(child, signal));
    early.for_each(|signal| {
        was_interrupted |= asks_to_end(&signal);
        pass_on(&signal);
    });
    loop {
        if let Some(ended) = reap(child) {
            // One that the terminal sent to both may have ended the command before it was looked at here.
            was_interrupted |= signals.pending().any(|signal| asks_to_end(&signal));
            // Its handlers go with this process, which has nothing left to do. To take them away one by one
            // would be an eighth of all its instructions.
            std::mem::forget(signals);
            return Ok(match ended {
                Ended::Exited(code) if was_interrupted => Ended::Interrupted(code),
                ended => ended,
            });
        }
        for signal in signals.wait() {
            was_interrupted |= asks_to_end(&signal);
            if signal.si_signo != SIGCHLD && !is_from(child, &signal) && !has_reached(child, &signal) {
                pass_on(&signal);
            }
        }
    }
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

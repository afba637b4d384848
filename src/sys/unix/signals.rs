//! Signals: which reach the command, which end this process, and how.

use std::fs::File;
use std::time::Duration;

use nix::errno::Errno;
use nix::libc::{self, siginfo_t};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::unistd::{Pid, getpgid, getpgrp, getpid, getsid, tcgetpgrp};

use super::Incoming;

/// Those that ask a process to end.
pub const ENDING: [Signal; 4] = [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM];

/// As process 1, does until dropped what the kernel does for other processes: the signals that ask a process to end
/// end this one, with 128 and the signal; and the orphans that it is given are collected.
#[must_use]
pub fn serve_as_process_1() -> impl Drop {
    extern "C" fn exit(signal: libc::c_int) {
        // SAFETY: a signal may interrupt anything; this is a system call.
        #[allow(unsafe_code)]
        unsafe {
            libc::_exit(128 + signal);
        }
    }
    struct Before(Vec<(Signal, SigAction)>);
    impl Drop for Before {
        fn drop(&mut self) {
            for (signal, action) in &self.0 {
                act(*signal, action);
            }
        }
    }
    let mut before = Before(Vec::new());
    if std::process::id() == 1 {
        let ending = ENDING.into_iter().filter(|&signal| !is_ignored(signal as i32));
        let actions = ending.map(|signal| (signal, SigHandler::Handler(exit)));
        // The kernel keeps nothing of ignored children. A handler would interrupt a wait.
        for (signal, handler) in actions.chain([(Signal::SIGCHLD, SigHandler::SigIgn)]) {
            let action = SigAction::new(handler, SaFlags::SA_RESTART, SigSet::empty());
            before.0.extend(act(signal, &action).map(|before| (signal, before)));
        }
        // SAFETY: with no place for a status it only takes numbers. It collects those that ended earlier.
        #[allow(unsafe_code)]
        while unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) } > 0 {}
    }
    before
}

/// Sets the action of a signal, and returns the one before, if it can be changed.
fn act(signal: Signal, action: &SigAction) -> Option<SigAction> {
    // SAFETY: no handler but that above, which may be called at any time.
    #[allow(unsafe_code)]
    unsafe {
        sigaction(signal, action).ok()
    }
}

/// The name of a signal.
pub fn name_of(signal: i32) -> String {
    Signal::try_from(signal).map_or_else(|_| format!("signal {signal}"), |signal| signal.to_string())
}

/// Sends a process a signal, even one that nix does not know.
pub fn send(process: Pid, signal: i32) -> Result<(), Errno> {
    // SAFETY: it takes numbers.
    #[allow(unsafe_code)]
    Errno::result(unsafe { libc::kill(process.as_raw(), signal) }).map(drop)
}

/// Whether a signal asks a process to end, so that a command that ends after it was cut off.
pub fn asks_to_end(signal: &siginfo_t) -> bool {
    ENDING.iter().any(|&ending| ending as i32 == signal.si_signo)
}

impl Incoming {
    /// The first of the signals so far that asks this process to end, if there is one.
    pub fn asks_to_end(&mut self) -> Option<i32> {
        while let Some(signal) = self.next(Some(Duration::ZERO)) {
            if asks_to_end(&signal) && !is_ignored(signal.si_signo) {
                return Some(signal.si_signo);
            }
        }
        None
    }
}

/// Whether the command itself sent a signal that this process got.
pub fn is_from(child: Pid, signal: &siginfo_t) -> bool {
    sender(signal) == Some(child.as_raw())
}

/// Whether a signal that this process got was sent to the command as well. The terminal sends a signal to the whole
/// foreground group, so the command has it unless it left the group. A hang-up goes only to the leader of the session.
/// Other signals of the kernel (an alarm set before this program was executed) are for one process.
pub fn has_reached(child: Pid, signal: &siginfo_t) -> bool {
    let to_group = match signal.si_signo {
        libc::SIGINT | libc::SIGQUIT | libc::SIGWINCH => true,
        libc::SIGHUP | libc::SIGCONT => getsid(None) != Ok(getpid()),
        _ => false,
    };
    to_group && sender(signal).is_none() && getpgid(Some(child)) == Ok(getpgrp())
}

/// Whether this process stops when this signal has stopped the command. SIGSTOP goes to one process, as does what
/// continues it (cpulimit): this process would stay stopped, with the lock. But an interactive shell suspends
/// itself with SIGSTOP too: it has the terminal, and only the shell around this process can take that back.
pub fn stops_both(child: Pid, signal: i32) -> bool {
    signal != libc::SIGSTOP || has_terminal(child)
}

/// Whether a process has the terminal, in a process group that is not this process's.
fn has_terminal(process: Pid) -> bool {
    let group = getpgid(Some(process));
    group != Ok(getpgrp()) && File::open("/dev/tty").is_ok_and(|terminal| tcgetpgrp(terminal) == group)
}

/// The process that sent a signal; `None` if it was the kernel (the terminal).
fn sender(signal: &siginfo_t) -> Option<libc::pid_t> {
    // SAFETY: the field is there for every signal sent by a process; for one from the kernel it is
    // part of the same, initialised union.
    #[allow(unsafe_code)]
    let pid = unsafe { signal.si_pid() };
    let by_kernel = if cfg!(target_os = "linux") { signal.si_code > 0 } else { pid == 0 };
    (!by_kernel).then_some(pid)
}

/// Ends this process by the signal that ended its command, so that its parent sees the same
/// (a shell's loop stops on Ctrl-C). Leaves no core file: the command's own is the one to read.
/// Returns if the signal does not kill, as it does not process 1.
pub fn die_of(signal: i32) {
    if std::process::id() == 1 {
        return;
    }
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_CORE) {
        let _ = setrlimit(Resource::RLIMIT_CORE, 0, hard);
    }
    #[cfg(target_os = "linux")]
    let _ = nix::sys::prctl::set_dumpable(false); // a core_pattern with a pipe ignores limits
    let mut set = std::mem::MaybeUninit::uninit();
    // SAFETY: the default action runs no code of this program, and sigemptyset initialises the set.
    // (nix does not know all the signals.)
    #[allow(unsafe_code)]
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), signal);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, set.as_ptr(), std::ptr::null_mut());
        libc::raise(signal);
    }
}

/// Whether this process ignores a signal.
pub fn is_ignored(signal: i32) -> bool {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: with no new action, sigaction only fills in the old one, which is zeroed plain data
    // until then.
    #[allow(unsafe_code)]
    unsafe {
        libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr());
        action.assume_init().sa_sigaction == libc::SIG_IGN
    }
}

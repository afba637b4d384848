//! Which signals reach the command, and how this process ends of one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::libc;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getpgid, getpgrp, getpid, getsid};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::flag;

/// What is passed on to the command. Not the stop signals: they stop gtlock itself, and those that the
/// terminal sends stop the command too. Not SIGPIPE, which is about gtlock's own output.
pub const PASSED_ON: [Signal; 14] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGALRM,
    Signal::SIGVTALRM,
    Signal::SIGPROF,
    Signal::SIGXCPU,
    Signal::SIGXFSZ,
    Signal::SIGIO,
    Signal::SIGCONT,
    Signal::SIGWINCH,
];

/// As process 1, lets the signals that are to end a process end this one, with 128 and the signal, until what is
/// returned is dropped: the kernel does not do it there.
pub fn end_on_signals() -> impl Drop {
    struct Ends(Arc<AtomicBool>);
    impl Drop for Ends {
        fn drop(&mut self) {
            self.0.store(false, Ordering::Relaxed);
        }
    }
    let ends = Arc::new(AtomicBool::new(true));
    if std::process::id() == 1 {
        for signal in [SIGHUP, SIGINT, SIGQUIT, SIGTERM].into_iter().filter(|&signal| !is_ignored(signal)) {
            // Failing that, it waits on, as process 1 does.
            let _ = flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&ends));
        }
    }
    Ends(ends)
}

/// Whether a signal asks a process to end, so that a command that ends after it was cut off.
pub fn asks_to_end(signal: &libc::siginfo_t) -> bool {
    [SIGHUP, SIGINT, SIGQUIT, SIGTERM].contains(&signal.si_signo)
}

/// Whether the command itself sent a signal that this process got.
pub fn is_from(child: Pid, signal: &libc::siginfo_t) -> bool {
    sender(signal) == Some(child.as_raw())
}

/// Whether a signal that this process got was sent to the command as well: the terminal sends what is
/// typed to the whole foreground group, so the command has it unless it left the group. Of a hang-up it
/// tells the leader of the session alone. Other signals of the kernel (an alarm set before this program
/// was executed) are for one process.
pub fn has_reached(child: Pid, signal: &libc::siginfo_t) -> bool {
    let to_group = match signal.si_signo {
        libc::SIGINT | libc::SIGQUIT | libc::SIGWINCH => true,
        libc::SIGHUP | libc::SIGCONT => getsid(None) != Ok(getpid()),
        _ => false,
    };
    to_group && sender(signal).is_none() && getpgid(Some(child)) == Ok(getpgrp())
}

/// The process that sent a signal; `None` if it was the kernel (the terminal).
fn sender(signal: &libc::siginfo_t) -> Option<libc::pid_t> {
    // SAFETY: the field is there for every signal sent by a process; for one from the kernel it is
    // part of the same, initialised union.
    #[allow(unsafe_code)]
    let pid = unsafe { signal.si_pid() };
    let by_kernel = if cfg!(target_os = "linux") { signal.si_code > 0 } else { pid == 0 };
    (!by_kernel).then_some(pid)
}

/// Ends this process by the signal that ended its command, so that whoever waits for it sees the same
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
    let _ = nix::sys::prctl::set_dumpable(false); // a core_pattern with a pipe heeds no limit
    let mut set = std::mem::MaybeUninit::uninit();
    // SAFETY: the default action runs no code of this program, and sigemptyset initialises the set.
    // (Neither nix nor signal-hook knows all the signals.)
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

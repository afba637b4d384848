//! Unix: runs a command in place of this process, as nearly as a parent can.

use std::convert::Infallible;
use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;
use nix::libc;
use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawnp};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigHandler, SigSet, Signal, kill, signal};
use nix::unistd::{AccessFlags, Pid, access, execve, getpgid, getpgrp, getpid, getsid};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::WithRawSiginfo;

use super::super::Ended;
use super::start;

/// What runs scripts without `#!`.
const SHELL: &str = "/bin/sh";

/// What is passed on to the command. Not the stop signals: they stop gtlock itself, and those that the
/// terminal sends stop the command too. Not SIGPIPE, which is about gtlock's own output.
const PASSED_ON: [Signal; 14] = [
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
    // A Ctrl-C from before the command was there has not reached it.
    let early = signals.pending().filter(|signal| signal.si_signo != SIGCHLD && !is_from(child, signal));
    early.for_each(|signal| pass_on(&signal));
    loop {
        if let Some(ended) = reap(child) {
            // Its handlers go with this process, which has nothing left to do. To take them away one by one
            // would be an eighth of all its instructions.
            std::mem::forget(signals);
            return Ok(ended);
        }
        for signal in signals.wait() {
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

/// Whether the command itself sent a signal that this process got.
fn is_from(child: Pid, signal: &libc::siginfo_t) -> bool {
    sender(signal) == Some(child.as_raw())
}

/// Whether a signal that this process got was sent to the command as well: the terminal sends what is
/// typed to the whole foreground group, so the command has it unless it left the group. Of a hang-up it
/// tells the leader of the session alone. Other signals of the kernel (an alarm set before this program
/// was executed) are for one process.
fn has_reached(child: Pid, signal: &libc::siginfo_t) -> bool {
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

/// Becomes a command: runs it in this process. Returns only if that cannot be done.
pub fn become_command(command: &[OsString], variable: (&str, &OsStr)) -> io::Result<Infallible> {
    let (program, arguments) = command.split_first().ok_or(Errno::ENOENT)?;
    let file = found_in_path(program)?;
    let environment = environment(variable);
    let exec = |file: &OsStr, words: &[&OsStr]| -> io::Result<Infallible> {
        let (file, words) = (CString::new(file.as_bytes())?, c_strings(words)?);
        if !start::sigpipe_was_ignored() {
            handle_sigpipe(SigHandler::SigDfl);
        }
        let failed = execve(&file, &words, &environment);
        handle_sigpipe(SigHandler::SigIgn); // for what is said about it
        Ok(failed?)
    };
    match exec(&file, &command.iter().map(OsString::as_os_str).collect::<Vec<_>>()) {
        // A script without `#!`: execvp(3) gives it to the shell.
        Err(e) if e.raw_os_error() == Some(libc::ENOEXEC) => {
            exec(OsStr::new(SHELL), &for_shell(&file, arguments))
        }
        failed => failed,
    }
}

fn handle_sigpipe(handler: SigHandler) {
    // SAFETY: neither handler is a function, which could be called at a bad moment.
    #[allow(unsafe_code)]
    let _ = unsafe { signal(Signal::SIGPIPE, handler) };
}

fn c_strings(words: &[&OsStr]) -> io::Result<Vec<CString>> {
    Ok(words.iter().map(|word| CString::new(word.as_bytes())).collect::<Result<_, _>>()?)
}

/// The words of a command that has the shell run a script.
fn for_shell<'a>(script: &'a OsStr, arguments: &'a [OsString]) -> Vec<&'a OsStr> {
    [OsStr::new(SHELL), script].into_iter().chain(arguments.iter().map(OsString::as_os_str)).collect()
}

fn spawn(command: &[OsString], mask: SigSet, environment: &[CString], close: &[i32]) -> io::Result<Pid> {
    let (program, arguments) = command.split_first().ok_or(Errno::ENOENT)?;
    let mut attributes = PosixSpawnAttr::init()?;
    attributes.set_sigmask(&mask)?;
    let mut flags = PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK;
    if !start::sigpipe_was_ignored() {
        // Rust ignores it in this process.
        let mut defaults = SigSet::empty();
        defaults.add(Signal::SIGPIPE);
        attributes.set_sigdefault(&defaults)?;
        flags |= PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF;
    }
    attributes.set_flags(flags)?;
    let mut actions = PosixSpawnFileActions::init()?;
    close.iter().try_for_each(|&descriptor| actions.add_close(descriptor))?;
    let start = |words: &[&OsStr]| -> io::Result<Pid> {
        let words = c_strings(words)?;
        posix_spawnp(&words[0], &actions, &attributes, &words, environment).map_err(|e| match e {
            Errno::EMFILE | Errno::ENFILE => io::Error::other(io::Error::from(e)), // musl's own pipe, say
            _ => e.into(),
        })
    };
    match start(&command.iter().map(OsString::as_os_str).collect::<Vec<_>>()) {
        // A script without `#!`: execvp(3) gives it to the shell.
        Err(e) if e.raw_os_error() == Some(libc::ENOEXEC) => {
            start(&for_shell(&found_in_path(program)?, arguments))
        }
        started => started,
    }
}

/// The file that execvp(3) finds for a program's name.
fn found_in_path(program: &OsStr) -> io::Result<OsString> {
    if program.as_bytes().contains(&b'/') {
        return Ok(program.to_owned());
    }
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/bin:/usr/bin".into());
    let mut error = Errno::ENOENT;
    for dir in std::env::split_paths(&path) {
        let file = Path::new(".").join(dir).join(program); // an empty entry is the current directory
        if file.is_file() {
            match access(&file, AccessFlags::X_OK) {
                Ok(()) => return Ok(file.into()),
                Err(e) => error = e,
            }
        }
    }
    Err(error.into())
}

/// This process's environment with one variable set.
fn environment((name, value): (&str, &OsStr)) -> Vec<CString> {
    let others = std::env::vars_os().filter(|(other, _)| other != name);
    others
        .chain([(name.into(), value.into())])
        .filter_map(|(mut entry, value)| {
            entry.push("=");
            entry.push(value);
            CString::new(entry.into_vec()).ok()
        })
        .collect()
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

//! How a command is started and its signals are awaited where there is no Linux, and perhaps no sigwaitinfo(2).

use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::libc::siginfo_t;
use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawn};
use nix::sys::signal::{SigSet, Signal};
use nix::time::ClockId;
use nix::unistd::Pid;
use signal_hook::consts::SIGCHLD;
use signal_hook::flag;
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::WithRawSiginfo;

use super::signals::{ENDING, is_ignored};
use super::spawn::{Program, SHELL};
use super::start;
use crate::sys::{Streams, Tether};

/// What this process takes note of. Not the stop signals: they stop it, and those that the terminal sends stop the
/// command too. Not SIGPIPE, which is about its own output.
const HANDLED: [Signal; 18] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTRAP,
    Signal::SIGABRT,
    Signal::SIGSYS,
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
    Signal::SIGCHLD,
];

/// The clock by which a command's time is measured.
pub const CLOCK: ClockId = ClockId::CLOCK_MONOTONIC;

/// Nothing is known of such file systems here.
pub fn is_virtual(_: impl AsFd) -> bool {
    false
}

/// The signals that this process gets, noted until they are asked for.
#[derive(Debug)]
pub struct Incoming {
    /// Never dropped: to take the handlers away one by one is much work, for a process that has nothing left to do.
    signals: ManuallyDrop<SignalsInfo<WithRawSiginfo>>,
    before: SigSet,
}

impl Incoming {
    /// Notes them from now on.
    pub fn hold() -> io::Result<Self> {
        let before = SigSet::thread_get_mask()?;
        let wanted = HANDLED.iter().map(|&signal| signal as i32);
        // SIGCHLD is the exception: ignored, it would take the command's exit status away.
        let wanted = wanted.filter(|&signal| signal == SIGCHLD || !is_ignored(signal));
        let signals = ManuallyDrop::new(SignalsInfo::new(wanted)?);
        let mut sigchld = SigSet::empty();
        sigchld.add(Signal::SIGCHLD);
        sigchld.thread_unblock()?;
        Ok(Self { signals, before })
    }

    /// Lets those end this process again that ask a process to end. The others are noted to the end.
    #[expect(clippy::unused_self, reason = "same signature on every system")]
    pub fn let_through(self) {
        for signal in ENDING.map(|signal| signal as i32).into_iter().filter(|&signal| !is_ignored(signal)) {
            let always = Arc::new(AtomicBool::new(true));
            let _ = match std::process::id() {
                1 => flag::register_conditional_shutdown(signal, 128 + signal, always),
                _ => flag::register_conditional_default(signal, always),
            };
        }
    }

    /// Lets none of them act any more, as long as this process lives: they are noted to the end.
    #[expect(clippy::unused_self, reason = "same signature on every system")]
    pub fn hold_to_the_end(self) {}

    /// Waits for the next one, perhaps not for ever; `None` if none came.
    pub fn next(&mut self, at_most: Option<Duration>) -> Option<siginfo_t> {
        let Some(mut left) = at_most else { return self.signals.forever().next() };
        // signal-hook waits for ever or not at all.
        loop {
            let signal = self.signals.pending().next();
            if signal.is_some() || left.is_zero() {
                return signal;
            }
            let pause = left.min(Duration::from_millis(10));
            thread::sleep(pause);
            left -= pause;
        }
    }

    /// Starts a program as a child, without the descriptors in `close`, and with `streams`. An error of the kind `Other` is this
    /// process's own, any other the program's.
    pub fn start(
        &self,
        program: &Program,
        close: &[i32],
        streams: &Streams,
        _tether: Option<&dyn Tether>,
    ) -> io::Result<Pid> {
        let mut attributes = PosixSpawnAttr::init()?;
        attributes.set_sigmask(&self.before)?;
        let mut flags = PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK;
        if !start::sigpipe_was_ignored() {
            let mut defaults = SigSet::empty();
            defaults.add(Signal::SIGPIPE);
            attributes.set_sigdefault(&defaults)?;
            flags |= PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF;
        }
        attributes.set_flags(flags)?;
        let mut actions = PosixSpawnFileActions::init()?;
        close.iter().try_for_each(|&descriptor| actions.add_close(descriptor))?;
        streams
            .numbered()
            .iter()
            .try_for_each(|&(descriptor, number)| actions.add_dup2(descriptor, number))?;
        let environment = program.environment();
        let start = |file, words: &[_]| posix_spawn(file, &actions, &attributes, words, &environment);
        let started = match start(program.file.as_c_str(), &program.words()) {
            Err(Errno::ENOEXEC) => start(SHELL, &program.words_for_shell()),
            started => started,
        };
        started.map_err(|e| match e {
            Errno::EMFILE | Errno::ENFILE => io::Error::other(io::Error::from(e)), // the system's own pipe, say
            _ => e.into(),
        })
    }
}

//! Threads that wait in a system call and can be interrupted.
//!
//! Only a signal ends a blocked flock(2) early. So the waiting thread, and no other, gets SIGURG, which does nothing to a
//! process that does not handle it. A process that handles or ignores it keeps it, and polls instead of waiting.

use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;

use nix::libc;
use nix::sys::pthread::{Pthread, pthread_kill, pthread_self};
use nix::sys::signal::{
    SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, pthread_sigmask, sigaction,
};

const INTERRUPT: Signal = Signal::SIGURG;

/// Whether the signal can be used: 0 if nobody has asked yet, 1 if so, 2 if not.
static USABLE: AtomicU8 = AtomicU8::new(0);

extern "C" fn nothing(_: libc::c_int) {}

/// Whether waiting threads can be interrupted in this process.
pub fn can_interrupt() -> bool {
    match USABLE.load(Ordering::Relaxed) {
        0 => {
            // Without SA_RESTART, or the kernel would go on waiting.
            let action = SigAction::new(SigHandler::Handler(nothing), SaFlags::empty(), SigSet::empty());
            // SAFETY: the handler does nothing at all.
            #[allow(unsafe_code)]
            let was_default = is_default(INTERRUPT) && unsafe { sigaction(INTERRUPT, &action) }.is_ok();
            USABLE.store(if was_default { 1 } else { 2 }, Ordering::Relaxed);
            was_default
        }
        usable => usable == 1,
    }
}

fn is_default(signal: Signal) -> bool {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: with no new action, sigaction only fills in the old one, which is zeroed plain data until then.
    #[allow(unsafe_code)]
    unsafe {
        libc::sigaction(signal as i32, std::ptr::null(), action.as_mut_ptr());
        let handler = action.assume_init().sa_sigaction;
        handler == libc::SIG_DFL || handler == nothing as extern "C" fn(libc::c_int) as libc::sighandler_t
    }
}

/// Starts a thread with all signals blocked: signals for this process must not go to it.
pub fn start_quietly<T>(start: impl FnOnce() -> T) -> T {
    let mut mask = SigSet::empty();
    let blocked = pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), Some(&mut mask));
    let started = start();
    if blocked.is_ok() {
        let _ = mask.thread_set_mask();
    }
    started
}

/// A thread that may be interrupted.
#[derive(Clone, Copy, Debug)]
pub struct Interruptible(usize); // a number or a pointer, which must cross to another thread

impl Interruptible {
    #[allow(
        clippy::unnecessary_cast,
        clippy::cast_possible_truncation,
        reason = "the type differs between systems"
    )]
    /// This thread, which can be interrupted from now on.
    pub fn this_thread() -> Self {
        let mut signals = SigSet::empty();
        signals.add(INTERRUPT);
        let _ = signals.thread_unblock();
        Self(pthread_self() as usize)
    }

    #[allow(clippy::unnecessary_cast, reason = "the type differs between systems")]
    /// Interrupts the system call that the thread waits in. It must not have been joined yet.
    pub fn interrupt(self) {
        let _ = pthread_kill(self.0 as Pthread, INTERRUPT);
        thread::yield_now();
    }
}

//! What the process was started with, and what Rust's runtime changes before `main`: it ignores SIGPIPE, and
//! opens `/dev/null` in the place of a closed standard descriptor. Nothing tells afterwards how it was, so it
//! is noted by what the loader runs earlier still.

use std::sync::atomic::{AtomicBool, Ordering};

use nix::libc;
use nix::sys::signal::{SigHandler, Signal, signal};

use super::signals::is_ignored;

static SIGPIPE_IGNORED: AtomicBool = AtomicBool::new(false);
static CLOSED: [AtomicBool; 3] = [const { AtomicBool::new(false) }; 3];

/// Whether SIGPIPE was ignored.
pub fn sigpipe_was_ignored() -> bool {
    SIGPIPE_IGNORED.load(Ordering::Relaxed)
}

/// Ignores SIGPIPE, as Rust's runtime does.
pub fn ignore_sigpipe() {
    handle_sigpipe(SigHandler::SigIgn);
}

/// Has SIGPIPE do what it did when the process was started.
pub fn restore_sigpipe() {
    if !sigpipe_was_ignored() {
        handle_sigpipe(SigHandler::SigDfl);
    }
}

fn handle_sigpipe(handler: SigHandler) {
    // SAFETY: neither handler is a function, which could be called at a bad moment.
    #[allow(unsafe_code)]
    let _ = unsafe { signal(Signal::SIGPIPE, handler) };
}

/// Whether a descriptor is a standard one that the caller had closed.
pub fn was_closed(descriptor: i32) -> bool {
    let noted = usize::try_from(descriptor).ok().and_then(|number| CLOSED.get(number));
    noted.is_some_and(|closed| closed.load(Ordering::Relaxed))
}

// SAFETY: the loader calls each function in this section once, before `main`, on the one thread there
// is; sigaction, fcntl and a store to an atomic need nothing of the runtime that is not there yet.
#[allow(unsafe_code)]
#[used]
#[cfg_attr(target_vendor = "apple", unsafe(link_section = "__DATA,__mod_init_func"))]
#[cfg_attr(not(target_vendor = "apple"), unsafe(link_section = ".init_array"))]
static NOTE: extern "C" fn() = {
    extern "C" fn note() {
        SIGPIPE_IGNORED.store(is_ignored(libc::SIGPIPE), Ordering::Relaxed);
        for (descriptor, closed) in (0..).zip(&CLOSED) {
            // SAFETY: it reads the flags of a descriptor, which need not be open.
            #[allow(unsafe_code)]
            let flags = unsafe { libc::fcntl(descriptor, libc::F_GETFD) };
            closed.store(flags < 0, Ordering::Relaxed);
        }
    }
    note
};

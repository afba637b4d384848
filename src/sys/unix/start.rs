//! The state that the process was started with. Rust's runtime would change it before `main`, and is left out: it ignores
//! SIGPIPE, and opens `/dev/null` for a closed standard descriptor.

use std::fs::{File, OpenOptions};
use std::os::fd::IntoRawFd;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::{SigHandler, Signal, signal};

static SIGPIPE_IGNORED: AtomicBool = AtomicBool::new(false);
static CLOSED: [AtomicBool; 3] = [const { AtomicBool::new(false) }; 3];

/// What `gtlock` must do first.
pub fn begin() {
    for (descriptor, closed) in (0..).zip(&CLOSED) {
        // SAFETY: it reads the flags of a descriptor, which need not be open.
        #[allow(unsafe_code)]
        let flags = unsafe { libc::fcntl(descriptor, libc::F_GETFD) };
        if flags < 0 && Errno::last() == Errno::EBADF {
            closed.store(true, Ordering::Relaxed);
            hold_place(descriptor);
        }
    }
    let before = handle_sigpipe(SigHandler::SigIgn); // a write that nobody reads is an error
    SIGPIPE_IGNORED.store(matches!(before, Some(SigHandler::SigIgn)), Ordering::Relaxed);
}

/// Occupies a closed standard descriptor, so that a file that is opened later does not get its number, and messages. For the
/// command it is closed, like everything that Rust opens.
fn hold_place(descriptor: i32) {
    // The lowest free number: this one.
    let opened = OpenOptions::new().read(true).write(true).open("/dev/null").or_else(|_| File::open("/"));
    if !opened.is_ok_and(|file| file.into_raw_fd() == descriptor) {
        std::process::abort(); // nothing could be opened safely
    }
}

/// Whether SIGPIPE was ignored.
#[cfg(not(target_os = "linux"))]
pub fn sigpipe_was_ignored() -> bool {
    SIGPIPE_IGNORED.load(Ordering::Relaxed)
}

/// Ignores SIGPIPE.
pub fn ignore_sigpipe() {
    handle_sigpipe(SigHandler::SigIgn);
}

/// Restores the action of SIGPIPE from the start of the process.
pub fn restore_sigpipe() {
    if !SIGPIPE_IGNORED.load(Ordering::Relaxed) {
        handle_sigpipe(SigHandler::SigDfl);
    }
}

fn handle_sigpipe(handler: SigHandler) -> Option<SigHandler> {
    // SAFETY: neither handler is a function, which could be called at a bad moment.
    #[allow(unsafe_code)]
    unsafe {
        signal(Signal::SIGPIPE, handler).ok()
    }
}

/// Whether a descriptor is a standard one that was closed when the process started.
pub fn was_closed(descriptor: i32) -> bool {
    let noted = usize::try_from(descriptor).ok().and_then(|number| CLOSED.get(number));
    noted.is_some_and(|closed| closed.load(Ordering::Relaxed))
}

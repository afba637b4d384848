//! What the system gives: memory that two processes share, a process of one's own session, a clock, a timer.

use std::fs::{self, OpenOptions};
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use nix::libc;
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous};
use nix::sys::signal::{SigHandler, SigSet, Signal, signal};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::{ForkResult, Pid, fork, setsid};

/// The time since the machine was started. It goes on while the machine sleeps.
pub fn now() -> Duration {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from)
}

/// Makes something that this process and those that it forks share, as long as they live.
pub fn shared<T: Default>() -> io::Result<&'static T> {
    let size = NonZeroUsize::new(size_of::<T>().max(1)).ok_or(io::ErrorKind::InvalidInput)?;
    // SAFETY: the mapping is new, nobody else's, large enough, aligned to a page, and never unmapped.
    #[allow(unsafe_code)]
    unsafe {
        let page =
            mmap_anonymous(None, size, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, MapFlags::MAP_SHARED)?;
        let page = page.cast::<T>();
        page.write(T::default());
        Ok(page.as_ref())
    }
}

/// Starts a process that does `work` and ends, in a session of its own, which no terminal and no signal that asks to
/// end reaches. It has no descriptors but those in `keep`. To be called while there is one thread: another's locks
/// would stay locked in the copy.
pub fn fork_aside(keep: &[RawFd], work: impl FnOnce()) -> io::Result<Pid> {
    // SAFETY: there is one thread, so that the copy is whole.
    #[allow(unsafe_code)]
    match unsafe { fork() }? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => {
            let _ = setsid();
            ignore_signals();
            let _ = close_all_but(keep);
            work();
            // SAFETY: it ends this process; what the other process has to do at its end is left to that.
            unsafe { libc::_exit(0) }
        }
    }
}

fn ignore_signals() {
    use Signal::{SIGALRM, SIGHUP, SIGINT, SIGPIPE, SIGQUIT, SIGTERM, SIGTSTP, SIGUSR1, SIGUSR2};
    for ignored in [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGUSR1, SIGUSR2, SIGALRM, SIGPIPE] {
        // SAFETY: to ignore a signal runs no code.
        #[allow(unsafe_code)]
        let _ = unsafe { signal(ignored, SigHandler::SigIgn) };
    }
    let _ = SigSet::empty().thread_set_mask();
}

/// Closes what this process has inherited, and puts nothing in the place of the standard streams, so that nobody waits
/// for the end of them.
fn close_all_but(keep: &[RawFd]) -> io::Result<()> {
    let nothing = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    let open = fs::read_dir("/proc/self/fd")?.filter_map(Result::ok);
    let open: Vec<RawFd> = open.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    for descriptor in open.into_iter().filter(|fd| !keep.contains(fd) && *fd != nothing.as_raw_fd()) {
        // SAFETY: what owns it is never used in this process.
        #[allow(unsafe_code)]
        unsafe {
            if descriptor < 3 {
                libc::dup2(nothing.as_raw_fd(), descriptor);
            } else {
                libc::close(descriptor);
            }
        }
    }
    Ok(())
}

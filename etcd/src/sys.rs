//! System calls: memory that two processes share, a process in a session of its own, a clock.

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

/// The time since boot. It runs on while the machine sleeps.
pub fn now() -> Duration {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from)
}

/// Makes a value in memory that this process shares with those that it forks. It is never freed.
pub fn shared<T: Default>() -> io::Result<&'static T> {
    let size = NonZeroUsize::new(size_of::<T>().max(1)).ok_or(io::ErrorKind::InvalidInput)?;
    // SAFETY: the mapping is new, used by nothing else, large enough, page-aligned, and never unmapped.
    #[allow(unsafe_code)]
    unsafe {
        let page =
            mmap_anonymous(None, size, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, MapFlags::MAP_SHARED)?;
        let page = page.cast::<T>();
        page.write(T::default());
        Ok(page.as_ref())
    }
}

/// Forks a process that does `work` and exits. It is in a session of its own, out of the terminal's reach, ignores the
/// signals that ask a process to end, and keeps only the descriptors in `keep`. Call it while there is one thread: in the
/// copy, a mutex that another thread holds would stay locked.
pub fn fork_aside(keep: &[RawFd], work: impl FnOnce()) -> io::Result<Pid> {
    // SAFETY: there is one thread, so the copy is consistent.
    #[allow(unsafe_code)]
    match unsafe { fork() }? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => {
            let _ = setsid();
            ignore_signals();
            let _ = close_all_but(keep);
            work();
            // SAFETY: it ends this process, without the exit handlers, which are the other process's.
            unsafe { libc::_exit(0) }
        }
    }
}

fn ignore_signals() {
    use Signal::{SIGALRM, SIGHUP, SIGINT, SIGPIPE, SIGQUIT, SIGTERM, SIGTSTP, SIGUSR1, SIGUSR2};
    for ignored in [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGUSR1, SIGUSR2, SIGALRM, SIGPIPE] {
        // SAFETY: ignoring a signal runs no code.
        #[allow(unsafe_code)]
        let _ = unsafe { signal(ignored, SigHandler::SigIgn) };
    }
    let _ = SigSet::empty().thread_set_mask();
}

/// Closes the inherited descriptors. The standard streams become /dev/null, so that no reader waits for the end of ours.
fn close_all_but(keep: &[RawFd]) -> io::Result<()> {
    let nothing = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    let open = fs::read_dir("/proc/self/fd")?.filter_map(Result::ok);
    let open: Vec<RawFd> = open.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    for descriptor in open.into_iter().filter(|fd| !keep.contains(fd) && *fd != nothing.as_raw_fd()) {
        // SAFETY: this process never uses the owner of this descriptor.
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

//! Starts a command and waits for signals on Linux, in few system calls.

use std::ffi::CStr;
use std::io;
use std::mem::{self, MaybeUninit};
use std::os::fd::AsFd;
use std::path::Path;
use std::ptr;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::libc::{self, siginfo_t};
use nix::sched::{CloneFlags, clone};
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::sys::statfs::{self, FsType, fstatfs};
use nix::sys::time::TimeSpec;
use nix::sys::wait::waitpid;
use nix::time::ClockId;
use nix::unistd::Pid;
use rustix::fs::{FileType, StatxFlags, makedev, statx};

use super::spawn::{Program, SHELL};
use super::start;
use crate::sys::{FileId, Stat, Streams, Tether};

/// The signals that still act on this process: the stop signals, which stop it (and, from the terminal, the command too);
/// and SIGPIPE, which is about its own output.
const LEFT: [Signal; 4] = [Signal::SIGTSTP, Signal::SIGTTIN, Signal::SIGTTOU, Signal::SIGPIPE];

/// The clock by which a command's time is measured: it goes on while the machine sleeps.
pub const CLOCK: ClockId = ClockId::CLOCK_BOOTTIME;

/// The signals that this process gets, blocked until they are asked for, or until this is dropped.
#[derive(Debug)]
pub struct Incoming {
    held_back: SigSet,
    before: SigSet,
}

impl Incoming {
    /// Holds them back in this thread, the only one that does not block them all.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn hold() -> io::Result<Self> {
        let mut held_back = SigSet::all();
        for signal in LEFT {
            held_back.remove(signal);
        }
        // SAFETY: the default action runs no code of this program. Ignored, the signal would take the command's exit
        // status away.
        #[allow(unsafe_code)]
        unsafe {
            libc::signal(libc::SIGCHLD, libc::SIG_DFL);
        }
        let before = held_back.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
        Ok(Self { held_back, before })
    }

    /// Lets them act as before.
    pub fn let_through(self) {
        drop(self);
    }

    /// Lets none of them act any more, as long as this process lives.
    pub fn hold_to_the_end(self) {
        mem::forget(self);
    }

    /// Waits for the next one, perhaps not for ever; `None` if none came, or the wait was interrupted.
    pub fn next(&mut self, at_most: Option<Duration>) -> Option<siginfo_t> {
        let at_most = at_most.map(TimeSpec::from);
        let at_most = at_most.as_ref().map_or(ptr::null(), |at_most| ptr::from_ref(at_most.as_ref()));
        let mut signal = MaybeUninit::zeroed();
        // SAFETY: sigtimedwait reads the time, which is null for ever, and writes to what is zeroed plain data until
        // then.
        #[allow(unsafe_code)]
        unsafe {
            let awaited = libc::sigtimedwait(self.held_back.as_ref(), signal.as_mut_ptr(), at_most);
            (awaited > 0).then(|| signal.assume_init())
        }
    }

    /// Starts a program as a child, without the descriptors in `close`, and with `streams`.
    ///
    /// As `posix_spawn` does it, but through clone(2): some container runtimes refuse clone3(2). And it is known
    /// whether there was no process to be had, or the program could not be run.
    ///
    /// # Errors
    ///
    /// One of the kind `Other` is this process's own, any other the program's; `ECANCELED` if it may not start.
    pub fn start(
        &self,
        program: &Program,
        close: &[i32],
        streams: &Streams,
        tether: Option<&dyn Tether>,
    ) -> io::Result<Pid> {
        // The child must not allocate: all that it needs is made here.
        let words = pointers(&program.words());
        let words_for_shell = pointers(&program.words_for_shell());
        let environment = pointers(&program.environment());
        let streams = streams.numbered();
        let failed = AtomicI32::new(0);
        let child = || {
            start::restore_sigpipe();
            // SAFETY: these are system calls on memory that lives until the child has executed the program: until
            // then this thread, whose memory it is, stands still.
            #[allow(unsafe_code)]
            unsafe {
                for &descriptor in close {
                    libc::close(descriptor);
                }
                for (descriptor, number) in &streams {
                    if libc::dup2(*descriptor, *number) < 0 {
                        failed.store(Errno::last_raw(), Ordering::Relaxed);
                        return 126;
                    }
                }
                libc::sigprocmask(libc::SIG_SETMASK, self.before.as_ref(), ptr::null_mut());
                if tether.is_some_and(|tether| !tether.may_start()) {
                    failed.store(libc::ECANCELED, Ordering::Relaxed);
                    return 126;
                }
                libc::execve(program.file.as_ptr(), words.as_ptr(), environment.as_ptr());
                if Errno::last() == Errno::ENOEXEC {
                    libc::execve(SHELL.as_ptr(), words_for_shell.as_ptr(), environment.as_ptr());
                }
            }
            failed.store(Errno::last_raw(), Ordering::Relaxed);
            if Errno::last() == Errno::ENOENT { 127 } else { 126 } // for emulators, which share no memory
        };
        let mut stack = [0; 16 << 10];
        // SAFETY: the child shares this memory but runs on a stack of its own, large enough for a few system calls,
        // while this thread stands still (CLONE_VFORK); it changes nothing but that stack, `failed` and errno. The one
        // handler of a signal that could run in it does nothing.
        #[allow(unsafe_code)]
        let started = unsafe {
            let flags = CloneFlags::CLONE_VM | CloneFlags::CLONE_VFORK;
            clone(Box::new(child), &mut stack, flags, Some(libc::SIGCHLD))
        };
        let child = started.map_err(|e| io::Error::other(io::Error::from(e)))?;
        match failed.load(Ordering::Relaxed) {
            0 => Ok(child),
            error => {
                while waitpid(child, None) == Err(Errno::EINTR) {}
                Err(io::Error::from_raw_os_error(error))
            }
        }
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        let _ = self.before.thread_set_mask();
    }
}

/// Looks at what a path leads to; `None` if the system does not know the call, or a container runtime forbids it.
///
/// It does not ask for the file's times: after that, the next write would have to change the inode on disk.
pub fn stat(dir: impl AsFd, path: &Path, flags: AtFlags) -> Option<io::Result<Stat>> {
    let flags = rustix::fs::AtFlags::from_bits_retain(flags.bits().cast_unsigned());
    let wanted = StatxFlags::TYPE | StatxFlags::NLINK | StatxFlags::INO | StatxFlags::SIZE;
    Some(match statx(dir, path, flags, wanted) {
        Err(rustix::io::Errno::NOSYS | rustix::io::Errno::PERM) => return None,
        Err(e) => Err(e.into()),
        Ok(stat) => Ok(Stat {
            id: FileId { device: makedev(stat.stx_dev_major, stat.stx_dev_minor), inode: stat.stx_ino },
            is_file: FileType::from_raw_mode(stat.stx_mode.into()) == FileType::RegularFile,
            links: stat.stx_nlink.into(),
            may_have_record: stat.stx_size > 0,
        }),
    })
}

/// Whether a directory is in a file system of the kernel's own, in which programs can create no files.
pub fn is_virtual(dir: impl AsFd) -> bool {
    const VIRTUAL: [FsType; 8] = [
        statfs::PROC_SUPER_MAGIC,
        statfs::SYSFS_MAGIC,
        statfs::DEVPTS_SUPER_MAGIC,
        statfs::CGROUP_SUPER_MAGIC,
        statfs::CGROUP2_SUPER_MAGIC,
        statfs::DEBUGFS_MAGIC,
        statfs::TRACEFS_MAGIC,
        statfs::SECURITYFS_MAGIC,
    ];
    fstatfs(dir).is_ok_and(|found| VIRTUAL.contains(&found.filesystem_type()))
}

/// A list of strings as execve(2) takes it.
fn pointers(strings: &[&CStr]) -> Vec<*const libc::c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect()
}

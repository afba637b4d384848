//! Windows: runs a command that ends with this process, and outlasts what the console tells both.

use std::convert::Infallible;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::mem;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::process::{Command, Stdio};
use std::ptr;
use std::thread;
use std::time::Duration;

use windows_sys::Win32::Foundation::{TRUE, WAIT_TIMEOUT};
use windows_sys::Win32::System::Console::{CTRL_BREAK_EVENT, CTRL_C_EVENT, SetConsoleCtrlHandler};
use windows_sys::Win32::System::JobObjects::{
    AssignProcessToJobObject, CreateJobObjectW, JOB_OBJECT_LIMIT, JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE,
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION, JobObjectExtendedLimitInformation, SetInformationJobObject,
    TerminateJobObject,
};
use windows_sys::Win32::System::Threading::{
    GetCurrentProcess, OpenProcess, PROCESS_SYNCHRONIZE, WaitForSingleObject,
};
use windows_sys::core::BOOL;

use super::super::{Ended, Event, Launch, Limit, OnEvent};

/// The exit status of a command that ran for longer than it may.
const OVERDUE: u32 = 124;

/// Runs a command to its end, with this process's standard handles, directory, console and environment, but for what
/// is said about it. Ctrl-C is the command's, which the console tells of it too. An error of the kind `Other` is this
/// process's own, any other the command's.
pub fn run(launch: Launch<'_>, _signals: &mut Incoming, on_event: OnEvent<'_>) -> io::Result<Ended> {
    let (program, arguments) = launch.command.split_first().ok_or(io::ErrorKind::NotFound)?;
    let job = Job::around_this_process().map_err(io::Error::other)?;
    let stream = |file: Option<File>| file.map_or_else(Stdio::inherit, Stdio::from);
    let (stdin, stdout) = (stream(launch.streams.stdin), stream(launch.streams.stdout));
    let variables = launch.variables.iter().map(|(name, value)| (name, value));
    let mut child =
        Command::new(program).args(arguments).envs(variables).stdin(stdin).stdout(stdout).spawn()?;
    if let Some(Limit { max, .. }) = launch.limit {
        let milliseconds = u32::try_from(max.as_millis()).unwrap_or(u32::MAX - 1).min(u32::MAX - 1);
        // SAFETY: the handle is open, and may be waited for.
        #[allow(unsafe_code)]
        let waited = unsafe { WaitForSingleObject(child.as_raw_handle(), milliseconds) };
        if waited == WAIT_TIMEOUT {
            on_event(&Event::Overdue(max));
            job.end(OVERDUE)?;
        }
    }
    Ok(match child.wait() {
        Ok(status) => status.code().map_or(Ended::Unknown(0), Ended::Exited),
        Err(e) => {
            mem::forget(job); // whatever still runs ends with this process
            Ended::Unknown(e.raw_os_error().unwrap_or(0))
        }
    })
}

/// Waits.
pub fn linger(time: Duration, _signals: &mut Incoming) {
    thread::sleep(time);
}

/// Refuses: a process cannot become another here.
pub fn become_command(_command: &[OsString], _variables: &[(&str, OsString)]) -> io::Result<Infallible> {
    Err(io::Error::other("Windows replaces no process by another; run it without --no-fork"))
}

/// A job that this process is in, and so whatever it runs from the first instruction on. It is closed when
/// this process is killed, by the system, and ends them all; a lock file's handle is closed in the same
/// breath, in no promised order.
///
/// No process may break away from it: a lock would be lost under those that do, and Cygwin's all do where
/// they may.
struct Job(OwnedHandle);

impl Job {
    fn around_this_process() -> io::Result<Self> {
        // SAFETY: null stands for the default security and for no name; the handle is checked, and new.
        #[allow(unsafe_code)]
        let job = unsafe {
            let job = CreateJobObjectW(ptr::null(), ptr::null());
            succeeded(BOOL::from(!job.is_null()))?;
            Self(OwnedHandle::from_raw_handle(job))
        };
        job.limit(JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE)?;
        // SAFETY: both handles are open, that of this process always.
        #[allow(unsafe_code)]
        succeeded(unsafe { AssignProcessToJobObject(job.0.as_raw_handle(), GetCurrentProcess()) })?;
        Ok(job)
    }

    /// Ends all who are in it, this process too, with an exit status.
    fn end(&self, status: u32) -> io::Result<()> {
        // SAFETY: the handle is open.
        #[allow(unsafe_code)]
        succeeded(unsafe { TerminateJobObject(self.0.as_raw_handle(), status) }).map_err(io::Error::other)
    }

    fn limit(&self, flags: JOB_OBJECT_LIMIT) -> io::Result<()> {
        let mut limits = JOBOBJECT_EXTENDED_LIMIT_INFORMATION::default();
        limits.BasicLimitInformation.LimitFlags = flags;
        // SAFETY: the handle is open, and the structure is the one that goes with the class, of the size
        // given.
        #[allow(unsafe_code)]
        succeeded(unsafe {
            SetInformationJobObject(
                self.0.as_raw_handle(),
                JobObjectExtendedLimitInformation,
                (&raw const limits).cast(),
                size_of_val(&limits).try_into().unwrap_or(u32::MAX),
            )
        })
    }
}

impl Drop for Job {
    /// Closes the job and lets live who is in it: this process, and what the command left behind.
    fn drop(&mut self) {
        let _ = self.limit(0);
    }
}

/// What the console tells everyone on it: the command has it too, so that this process lets it pass.
#[derive(Debug)]
pub struct Incoming;

impl Incoming {
    /// Lets this process live on when the console tells everyone on it to end.
    pub fn hold() -> io::Result<Self> {
        extern "system" fn handle(event: u32) -> BOOL {
            if !matches!(event, CTRL_C_EVENT | CTRL_BREAK_EVENT) {
                // The console is closed, or the session ends: whoever returns is ended at once, and with this
                // process the command would be. Both have the few seconds that the system gives them.
                thread::sleep(Duration::MAX);
            }
            TRUE
        }
        // SAFETY: the handler may run on any thread, at any time: it touches nothing.
        #[allow(unsafe_code)]
        succeeded(unsafe { SetConsoleCtrlHandler(Some(handle), TRUE) })?;
        Ok(Self)
    }

    /// No signal is noted here.
    #[expect(clippy::unused_self, reason = "same signature on every system")]
    pub fn asks_to_end(&mut self) -> Option<i32> {
        None
    }

    /// Nothing: it passes to the end.
    #[expect(clippy::unused_self, reason = "same signature on every system")]
    pub fn hold_to_the_end(self) {}

    /// Nothing: it passes to the end.
    #[expect(clippy::unused_self, reason = "same signature on every system")]
    pub fn let_through(self) {}
}

fn succeeded(result: BOOL) -> io::Result<()> {
    if result == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Whether a process of this number exists, be it somebody else's.
pub fn is_alive(pid: u32) -> bool {
    // SAFETY: takes numbers; the handle is checked, and new.
    #[allow(unsafe_code)]
    let process = unsafe {
        let process = OpenProcess(PROCESS_SYNCHRONIZE, 0, pid);
        if process.is_null() {
            return io::Error::last_os_error().kind() == io::ErrorKind::PermissionDenied;
        }
        OwnedHandle::from_raw_handle(process)
    };
    // One that has ended exists for as long as somebody has a handle to it.
    // SAFETY: the handle is open, and may be waited for.
    #[allow(unsafe_code)]
    let waited = unsafe { WaitForSingleObject(process.as_raw_handle(), 0) };
    waited == WAIT_TIMEOUT
}

/// Nothing: whatever ends a process ends it while it waits.
pub fn serve_as_process_1() -> impl Sized {}

/// Nothing: no signal ends a command here.
pub fn die_of(_signal: i32) {}

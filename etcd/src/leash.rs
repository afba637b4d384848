//! The time that a command has: until when its lock is certain, and what has to be done to it when.
//!
//! It is in memory that the front and the keeper share, so that each of them can stop the command, whatever has become
//! of the other. All times are of [`sys::now`].

use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64};
use std::time::Duration;

use crate::sys;

/// What the two processes share.
#[derive(Debug, Default)]
pub struct Page {
    /// Until when nobody else can have the lock, in nanoseconds.
    deadline: AtomicU64,
    /// The command's process, 0 before it is started, [`CLOSED`] if it must not be any more.
    command: AtomicI32,
    /// When it was known that the lock is lost, in nanoseconds, or 0.
    lost_at: AtomicU64,
    reason: AtomicU32,
    /// Whether the command was asked to end.
    is_asked: AtomicBool,
}

const CLOSED: i32 = -1;

/// Why a lock is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It could not be renewed in time.
    Silence,
    /// Its key is gone: somebody deleted it, or the cluster ended the lease early.
    Gone,
}

/// A lock's time, and how long it takes to stop a command.
#[derive(Clone, Copy, Debug)]
pub struct Leash {
    page: &'static Page,
    /// From SIGTERM to SIGKILL.
    grace: Duration,
    /// From SIGKILL to the moment at which another may have the lock: for the scheduler, and for clocks that differ.
    margin: Duration,
}

/// What has to be done to the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing before this moment.
    Nothing(Duration),
    /// It is asked to end.
    Ask,
    /// It was asked to end, and has until this moment.
    Patience(Duration),
    /// It is ended.
    Kill,
}

impl Leash {
    /// For a lock that lasts so long after the last renewal.
    pub fn new(page: &'static Page, ttl: Duration, grace: Duration) -> Self {
        Self { page, grace, margin: Duration::from_millis(500) + ttl / 50 }
    }

    /// How long a command may still run after its lock was found lost.
    pub fn delay(&self) -> Duration {
        self.grace + self.margin
    }

    /// Until when nobody else can have the lock.
    pub fn deadline(&self) -> Duration {
        Duration::from_nanos(self.page.deadline.load(SeqCst))
    }

    /// Notes that nobody else can have the lock until then.
    pub fn extend(&self, deadline: Duration) {
        self.page.deadline.fetch_max(nanos(deadline), SeqCst);
    }

    /// Whether there is enough of the time left to stop a command in.
    pub fn has_time(&self) -> bool {
        self.ask_at() > sys::now()
    }

    fn ask_at(&self) -> Duration {
        self.deadline().saturating_sub(self.delay())
    }

    /// Whether a command may start as this process. Nothing but system calls: it is asked in the command's process.
    pub fn admit(&self) -> bool {
        let process = i32::try_from(std::process::id()).unwrap_or(CLOSED);
        // First the process, so that it is known to the keeper, however long this one is stopped after the check.
        self.page.command.compare_exchange(0, process, SeqCst, SeqCst).is_ok()
            && !self.is_lost()
            && self.has_time()
    }

    /// The command's process, if it was started.
    pub fn command(&self) -> Option<i32> {
        Some(self.page.command.load(SeqCst)).filter(|&process| process > 0)
    }

    /// Sees to it that no command is started any more. Returns the one that was, if any.
    pub fn close(&self) -> Option<i32> {
        let _ = self.page.command.compare_exchange(0, CLOSED, SeqCst, SeqCst);
        self.command()
    }

    /// Notes that the lock is lost.
    pub fn lose(&self, reason: Reason) {
        self.page.reason.compare_exchange(0, reason as u32 + 1, SeqCst, SeqCst).ok();
        let _ = self.page.lost_at.compare_exchange(0, nanos(sys::now()), SeqCst, SeqCst);
    }

    /// Whether the lock is lost.
    pub fn is_lost(&self) -> bool {
        self.page.lost_at.load(SeqCst) != 0
    }

    /// Why the lock is lost, if it is.
    pub fn reason(&self) -> Option<Reason> {
        match self.page.reason.load(SeqCst) {
            _ if !self.is_lost() => None,
            2 => Some(Reason::Gone),
            _ => Some(Reason::Silence),
        }
    }

    /// What has to be done to the command now. Asked to end it is once, and never again let go on.
    pub fn due(&self) -> Due {
        let now = sys::now();
        let deadline = self.deadline();
        if !self.is_lost() {
            if now < self.ask_at() {
                return Due::Nothing(self.ask_at());
            }
            self.lose(Reason::Silence);
        }
        let lost_at = Duration::from_nanos(self.page.lost_at.load(SeqCst));
        let kill_at = (lost_at + self.grace).min(deadline.saturating_sub(self.margin));
        if now >= kill_at {
            Due::Kill
        } else if self.page.is_asked.swap(true, SeqCst) {
            Due::Patience(kill_at)
        } else {
            Due::Ask
        }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

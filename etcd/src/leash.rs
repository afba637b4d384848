//! The deadline of a command: until when its lock is certain, and when to stop the command.
//!
//! It is in memory that the front and the keeper share, so that each of them can stop the command even if the other is
//! gone. All times are those of [`sys::now`].

use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64};
use std::time::Duration;

use crate::sys;

/// The memory that the two processes share.
#[derive(Debug, Default)]
pub struct Page {
    /// Until when nobody else can hold the lock, in nanoseconds.
    deadline: AtomicU64,
    /// The command's process; 0 before it starts, [`CLOSED`] if it must not start any more.
    command: AtomicI32,
    /// When the loss of the lock was noticed, in nanoseconds; 0 if it is not lost.
    lost_at: AtomicU64,
    reason: AtomicU32,
    /// Whether SIGTERM was sent.
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

/// The deadline of a lock, and how long it takes to stop a command.
#[derive(Clone, Copy, Debug)]
pub struct Leash {
    page: &'static Page,
    /// From SIGTERM to SIGKILL.
    grace: Duration,
    /// From SIGKILL to the moment when another may hold the lock: for scheduling, and for clocks that differ.
    margin: Duration,
}

/// What to do to the command now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing before this moment.
    Nothing(Duration),
    /// Send SIGTERM.
    Ask,
    /// SIGTERM was sent; nothing more before this moment.
    Patience(Duration),
    /// Send SIGKILL.
    Kill,
}

impl Leash {
    /// For a lock that lasts for `ttl` after each renewal.
    pub fn new(page: &'static Page, ttl: Duration, grace: Duration) -> Self {
        Self { page, grace, margin: Duration::from_millis(500) + ttl / 50 }
    }

    /// How long a command may run on after its lock was lost.
    pub fn delay(&self) -> Duration {
        self.grace + self.margin
    }

    /// Until when nobody else can hold the lock.
    pub fn deadline(&self) -> Duration {
        Duration::from_nanos(self.page.deadline.load(SeqCst))
    }

    /// Moves the deadline, never back.
    pub fn extend(&self, deadline: Duration) {
        self.page.deadline.fetch_max(nanos(deadline), SeqCst);
    }

    /// Whether enough time is left to stop a command before the deadline.
    pub fn has_time(&self) -> bool {
        self.ask_at() > sys::now()
    }

    fn ask_at(&self) -> Duration {
        self.deadline().saturating_sub(self.delay())
    }

    /// Whether the command may start in this process, which it becomes. It makes only system calls: it runs after fork(2).
    pub fn admit(&self) -> bool {
        let process = i32::try_from(std::process::id()).unwrap_or(CLOSED);
        // Store the process first: then the keeper can kill it, even if it is stopped for long after the check.
        self.page.command.compare_exchange(0, process, SeqCst, SeqCst).is_ok()
            && !self.is_lost()
            && self.has_time()
    }

    /// The command's process, if it has started.
    pub fn command(&self) -> Option<i32> {
        Some(self.page.command.load(SeqCst)).filter(|&process| process > 0)
    }

    /// Keeps the command from starting, if it has not. Returns its process if it has.
    pub fn close(&self) -> Option<i32> {
        let _ = self.page.command.compare_exchange(0, CLOSED, SeqCst, SeqCst);
        self.command()
    }

    /// Marks the lock as lost.
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

    /// What to do to the command now. SIGTERM is due once, and a lost lock stays lost.
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

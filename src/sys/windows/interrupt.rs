//! Threads that wait in a system call: nothing interrupts them here.
//!
//! `CancelSynchronousIo` may end a wait for `LockFileEx`, or may not, as under Wine. A wait that cannot be given up
//! would outlast its deadline, so all are done by polling.

/// Whether waiting threads can be interrupted.
pub fn can_interrupt() -> bool {
    false
}

/// Starts a thread.
pub fn start_quietly<T>(start: impl FnOnce() -> T) -> T {
    start()
}

/// A thread that may be interrupted: there is none.
#[derive(Clone, Copy, Debug)]
pub struct Interruptible;

impl Interruptible {
    /// This thread, which cannot be interrupted.
    pub fn this_thread() -> Self {
        Self
    }

    /// Does nothing.
    #[expect(clippy::unused_self, reason = "same signature on every system")]
    pub fn interrupt(self) {}
}

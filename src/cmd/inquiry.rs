//! A question about processes, asked beside the acquisition.
//!
//! The answer comes from `/proc`, where a process can make its reader wait: reading a command line reads the process's
//! memory, which may be on a dead mount. So another thread reads, and nobody waits for it long.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use crate::sys;

/// How long to wait for an answer. Most come within a few milliseconds.
const ANSWER_WITHIN: Duration = Duration::from_millis(500);

/// Enough for a look at `/proc`.
const STACK: usize = 256 << 10;

/// A question that was asked.
pub struct Inquiry<T> {
    asked: Instant,
    answer: Receiver<T>,
}

/// The state of a question.
pub enum Answer<T> {
    /// The answer.
    Known(T),
    /// No answer yet.
    Pending,
    /// No answer in time. It may come later.
    Late,
}

impl<T: Send + 'static> Inquiry<T> {
    /// Asks a question.
    pub fn new(answer: impl FnOnce() -> T + Send + 'static) -> Self {
        let (send, receive) = mpsc::channel();
        // Without a thread the answer never comes.
        let thread = thread::Builder::new().name("gtlock-inquiry".into()).stack_size(STACK);
        let _ = sys::start_quietly(|| {
            thread.spawn(move || {
                let _ = send.send(answer());
            })
        });
        Self { asked: Instant::now(), answer: receive }
    }

    /// The answer, waited for.
    pub fn wait(&self) -> Option<T> {
        self.wait_for(ANSWER_WITHIN)
    }

    /// The answer, waited for this long, counted from the question.
    pub fn wait_for(&self, time: Duration) -> Option<T> {
        self.answer.recv_timeout(time.saturating_sub(self.asked.elapsed())).ok()
    }

    /// The answer, if it is there.
    pub fn poll(&self) -> Answer<T> {
        match self.answer.recv_timeout(Duration::ZERO) {
            Ok(answer) => Answer::Known(answer),
            Err(RecvTimeoutError::Timeout) if self.asked.elapsed() < ANSWER_WITHIN => Answer::Pending,
            Err(_) => Answer::Late,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_does_not_come_is_not_waited_for() {
        let (ask, question) = mpsc::channel::<()>();
        let inquiry = Inquiry::new(move || question.recv().is_ok());
        assert!(matches!(inquiry.poll(), Answer::Pending | Answer::Late));
        assert_eq!(inquiry.wait(), None);
        assert!(matches!(inquiry.poll(), Answer::Late));
        drop(ask);
        let late = inquiry.answer.recv();
        assert_eq!(late, Ok(false), "it may still come");
    }
}

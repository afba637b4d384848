//! The keeper: it owns the session in etcd, and stops the command when the lock ends.
//!
//! It has a Unix session of its own, so that a terminal, or whoever stops the front, does not reach it. One thread takes the
//! locks, then watches the own keys. One renews the lease. The main thread stops the command when that is due, and never
//! waits for etcd while a command runs.

use std::io::{PipeReader, Read};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::time::TimeSpec;
use nix::sys::timer::{Expiration, TimerSetTimeFlags};
use nix::sys::timerfd::{ClockId, TimerFd, TimerFlags};

use crate::fault::Fault;
use crate::leash::{Due, Leash, Reason};
use crate::queue::{Outcome, Queue};
use crate::record::millis_now;
use crate::session::{Renewal, Session, Stop};
use crate::talk::{Said, Told};
use crate::tree::Tree;
use crate::watch::{Watch, Watched};
use crate::who::Holders;

/// The pause between a kill and the look for processes that are left.
const AGAIN: Duration = Duration::from_millis(100);

/// The longest watch of a holder's own keys.
const WATCH: Duration = Duration::from_mins(10);

/// When the start of a command is written to etcd: most commands have ended by then.
const NOTE_AFTER: Duration = Duration::from_millis(100);

/// The pause before a renewal that did not count is repeated.
const SOON: Duration = Duration::from_millis(50);

/// What the keeper listens to.
pub struct Ears {
    pub front: UnixStream,
    /// Readable when something may be due for the command.
    pub wake: PipeReader,
    /// Ends when no process of the command has it open any more.
    pub pipe: PipeReader,
}

/// Takes the locks for a command, and keeps them until the front is done.
pub fn keep(session: Session, ears: &mut Ears, tree: &Tree) {
    let session = Arc::new(session);
    let spawn = |work: fn(&Session)| {
        let session = Arc::clone(&session);
        thread::Builder::new().spawn(move || work(&session))
    };
    if let Err(e) = spawn(take).and_then(|_| spawn(renew)) {
        session.speaker.say(&Said::Failed(format!("there is no thread to be had: {e}")));
    }
    match ears.listen(session.leash, tree) {
        Some(Told::Ended) => session.release(true),
        Some(Told::NeverRan) => session.release(false),
        Some(Told::CutOff) => {
            ears.wait_for_inheritors(session.leash, tree);
            session.release(true);
        }
        // The front was killed.
        None => {
            let command = session.leash.close();
            if command.is_none_or(|command| tree.kill(command)) {
                session.release(command.is_some());
            }
        }
    }
}

impl Ears {
    /// Stops the command when that is due, until the front reports how it ended; `None` if the front was killed.
    fn listen(&mut self, leash: Leash, tree: &Tree) -> Option<Told> {
        loop {
            self.attend(leash, tree, false);
            let mut byte = [0];
            let is_there = self.is_ready(&self.front);
            if is_there {
                return match self.front.read(&mut byte) {
                    Ok(1) => Told::from_byte(byte[0]),
                    _ => None,
                };
            }
        }
    }

    /// Waits until no process is left of a command that was cut off.
    fn wait_for_inheritors(&mut self, leash: Leash, tree: &Tree) {
        // Nobody writes to the pipe: it becomes readable at its end.
        while !self.is_ready(&self.pipe) {
            self.attend(leash, tree, true);
        }
    }

    /// Does what is due, then sleeps until the next thing is due or something happens.
    fn attend(&mut self, leash: Leash, tree: &Tree, has_inheritors: bool) {
        let until = match leash.command() {
            Some(command) => attend(leash, tree, command),
            None => leash.deadline().saturating_sub(leash.delay()).max(crate::sys::now() + AGAIN),
        };
        let Ok(timer) = timer_at(until) else {
            thread::sleep(SOON);
            return;
        };
        let other = if has_inheritors { self.pipe.as_fd() } else { self.front.as_fd() };
        let mut sources =
            [other, self.wake.as_fd(), timer.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        let _ = poll(&mut sources, PollTimeout::NONE);
        if self.is_ready(&self.wake) {
            let _ = self.wake.read(&mut [0; 64]);
        }
    }

    #[expect(clippy::unused_self, reason = "of what it hears")]
    fn is_ready(&self, source: &impl AsFd) -> bool {
        let mut source = [PollFd::new(source.as_fd(), PollFlags::POLLIN)];
        poll(&mut source, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
    }
}

/// Does to the command what is due. Returns when to look again.
pub fn attend(leash: Leash, tree: &Tree, command: i32) -> Duration {
    loop {
        match leash.due() {
            Due::Nothing(until) | Due::Patience(until) => return until,
            Due::Ask => tree.ask(command),
            Due::Kill => {
                tree.kill(command);
                return crate::sys::now() + AGAIN;
            }
        }
    }
}

/// A timer that counts while the machine sleeps: after a long sleep it has expired.
fn timer_at(moment: Duration) -> nix::Result<TimerFd> {
    let timer = TimerFd::new(ClockId::CLOCK_BOOTTIME, TimerFlags::TFD_CLOEXEC)?;
    let moment = Expiration::OneShot(TimeSpec::from(moment.max(Duration::from_nanos(1))));
    timer.set(moment, TimerSetTimeFlags::TFD_TIMER_ABSTIME)?;
    Ok(timer)
}

/// Takes the locks, then watches the own keys.
fn take(session: &Session) {
    let name = |name: std::ffi::OsString| name.into_encoded_bytes();
    let said = match Queue::new(session).acquire() {
        Ok(Outcome::Held(state, watch)) => {
            let key = session.places(state.lease).swap_remove(0);
            let since = millis_now();
            session.speaker.say(&Said::Holds {
                fence: state.revision,
                key,
                lease: format!("{:x}", state.lease),
            });
            session.warn();
            watch_over(session, since, watch);
            return;
        }
        Ok(Outcome::Free) => Said::Free,
        Ok(Outcome::Busy(lock)) => {
            let holders = Holders::of(session, &lock);
            Said::Refused { name: name(lock), who: holders.to_string(), holder: holders.first() }
        }
        Ok(Outcome::TimedOut(lock)) => {
            let holders = Holders::of(session, &lock);
            if holders.is_known() {
                Said::TimedOut { name: name(lock), who: holders.to_string(), holder: holders.first() }
            } else {
                Said::Failed("timed out, and etcd does not answer".to_owned())
            }
        }
        Ok(Outcome::AlreadyLocked(lock)) => Said::Failed(format!(
            "{}: already locked by the gtlock around this one, which would wait for itself",
            gtlock::Escaped::new(&lock)
        )),
        Err(Stop::Over) => return,
        Err(Stop::Fault(fault)) => Said::Failed(fault.to_string()),
    };
    session.speaker.say(&said);
}

/// Stops the command if the own keys are deleted. `first` is a stream that watches them already.
fn watch_over(session: &Session, since: u64, first: Option<Watch<'_>>) {
    let state = session.state();
    let note = || {
        thread::sleep(NOTE_AFTER);
        session.note_start(since);
    };
    thread::scope(|scope| {
        // If no thread can be started, the others do not learn when the command started.
        let _ = thread::Builder::new().spawn_scoped(scope, note);
        let client = session.client.clone();
        let places = session.places(state.lease);
        let open = || Watch::open(&client, &places, state.revision + 1, WATCH);
        let mut watch = first.or_else(open);
        loop {
            match watch.as_mut().map(Watch::next) {
                Some(Watched::Deleted(key)) if places.contains(&key) => return session.lose(Reason::Gone),
                Some(Watched::Deleted(_)) => continue,
                Some(Watched::Ended) | None => thread::sleep(SOON),
            }
            if session.is_over() {
                return;
            }
            watch = open();
        }
    });
}

/// Renews the lease until the session is over.
fn renew(session: &Session) {
    let every = session.asked.ttl / 6;
    let mut term = 0;
    let mut pause = every;
    loop {
        thread::sleep(pause);
        if session.is_over() {
            return;
        }
        pause = match session.renew(term) {
            Renewal::Counted(new) => {
                term = new;
                every
            }
            Renewal::Doubtful(new) => {
                term = new;
                SOON
            }
            Renewal::NotYet => {
                term = 0;
                SOON
            }
            Renewal::Failed => SOON,
            Renewal::Gone => {
                session.lose(Reason::Gone);
                SOON
            }
        };
    }
}

/// Tells the front why there are no locks.
impl From<Fault> for Said {
    fn from(fault: Fault) -> Self {
        Self::Failed(fault.to_string())
    }
}

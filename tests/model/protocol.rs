//! The protocol as a state machine: who takes part, and what can happen next.

use super::fault::Fault;
use super::kernel::{Kernel, Mode};
use super::state::{At, Process, State};

/// What a process is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// `run --write`.
    Writer,
    /// `run --read`.
    Reader,
    /// `run --read --slots 2 --take` this many.
    Sharer(u8),
    /// `run --read` as the command of the reader with this number: it ends before that reader lets go.
    Nested(usize),
    /// `run --read` whose command writes to that of the reader with this number, and so does not end before
    /// that one has begun: `reader | reader`.
    PipedTo(usize),
    /// `run --write` by somebody who cannot write to the lock file, and so shares its place.
    Guest,
    /// `run --write` where no bytes can be locked: it sees no queue, and nobody sees it wait.
    Unqueued,
    /// flock(1): knows neither of the queue nor that a lock file can be removed.
    Peer,
    /// `try --write`.
    Asker,
    Cleaner,
    /// `status`: takes the lock for a moment, as does a waiter that looks whether it is free.
    Looker,
}

/// What can happen to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    Step,
    /// The deadline passes; or a `try` was refused for long enough.
    GivesUp,
    /// A waiter has seen the lock free for long, and passes the head of the queue.
    PassesBy,
    /// A reader has waited for its turn for long, and joins the readers who hold the lock.
    Joins,
    IsStopped,
    IsKilled,
}

/// A process and what happens to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Action(pub usize, pub Event);

/// How many processes are killed, give up waiting and are stopped.
#[derive(Clone, Copy, Debug)]
pub struct Mishaps {
    pub kills: u8,
    pub expiries: u8,
    pub stops: u8,
}

#[derive(Clone, Debug)]
pub struct Protocol {
    pub roles: Vec<Role>,
    pub mishaps: Mishaps,
    pub fault: Option<Fault>,
}

impl Protocol {
    /// Where it starts: with or without a lock file from before.
    pub fn starts(&self) -> Vec<State> {
        let at = |role| match role {
            Role::Cleaner => At::CleanOpens,
            Role::Looker => At::Probes,
            _ => At::Open,
        };
        // Two and two are threads of one process. If two come at once, the lower PID goes first.
        let pid = |me| u8::from(me > 1);
        let Mishaps { kills, expiries, stops } = self.mishaps;
        let processes: Vec<_> =
            self.roles.iter().enumerate().map(|(me, &role)| Process::new(at(role), pid(me))).collect();
        let state = |path| State {
            kernel: Kernel::new(path, self.roles.len()),
            processes: processes.clone(),
            kills,
            expiries,
            stops,
        };
        [None, Some(0)].map(state).into()
    }

    pub fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    pub fn mode(&self, me: usize) -> Mode {
        match self.roles[me] {
            Role::Reader | Role::Sharer(_) | Role::Nested(_) | Role::PipedTo(_) => Mode::Shared,
            _ => Mode::Exclusive,
        }
    }

    /// How many slots a process wants.
    pub fn take(&self, me: usize) -> Option<u8> {
        if let Role::Sharer(take) = self.roles[me] { Some(take) } else { None }
    }

    /// Those behind whose turn this process has to wait if they were first; one bit each.
    pub fn conflicting(&self, me: usize) -> u8 {
        if matches!(self.roles[me], Role::Unqueued | Role::Peer) {
            return 0;
        }
        let conflicts = |&other: &usize| {
            let shares_slots = self.take(me).is_some() && self.take(other).is_some();
            shares_slots || self.mode(me) == Mode::Exclusive || self.mode(other) == Mode::Exclusive
        };
        (0..self.roles.len()).filter(conflicts).fold(0, |bits, other| bits | 1 << other)
    }

    /// Whether a nested request knows that its lock is held around it.
    pub fn is_held_around(&self, state: &State, me: usize) -> bool {
        let Role::Nested(outer) = self.roles[me] else { return false };
        state.processes[outer].at == At::Held && state.kernel.have_same_file(me, outer)
    }

    /// Whether the command of this process may end now.
    fn can_end(&self, state: &State, me: usize) -> bool {
        let may_write = match self.roles[me] {
            Role::PipedTo(next) => state.is_inside(next) || state.has_ended(next),
            _ => true,
        };
        let mut inner = (0..self.roles.len()).filter(|&inner| self.roles[inner] == Role::Nested(me));
        may_write && inner.all(|inner| state.has_ended(inner))
    }

    /// Whether the process has a next step and is not blocked.
    fn can_step(&self, state: &State, me: usize) -> bool {
        match state.processes[me].at {
            At::Open => match self.roles[me] {
                Role::Nested(outer) => state.is_inside(outer),
                _ => true,
            },
            At::WaitsForTurn(Some(ahead)) => !state.kernel.is_taken(me, ahead),
            At::WaitsForSlot(slots) => slots == 0 || slots & !state.kernel.slots_of_others(me) != 0,
            At::Waits | At::Confirms => state.kernel.can_lock(me, self.mode(me)),
            At::Held | At::Orphaned => self.can_end(state, me),
            At::Stopped | At::Over => false,
            _ => true,
        }
    }

    fn can_give_up(state: &State, me: usize) -> bool {
        match state.processes[me].at {
            At::Confirms => true,
            At::WaitsForTurn(_) | At::Waits | At::WaitsForSlot(_) => state.expiries > 0,
            _ => false,
        }
    }

    /// Whether a waiter can see that the lock is free and the head of the queue does not take it; or, if it wants
    /// slots, that there are enough and the head is stopped.
    fn can_pass_by(&self, state: &State, me: usize) -> bool {
        let At::WaitsForTurn(Some(ahead)) = state.processes[me].at else { return false };
        let passed = state.processes[me].passed;
        let is_next = || state.kernel.places_ahead(me, passed).all(|place| place == ahead);
        let head = state.kernel.places_ahead(me, passed).min();
        let is_stopped = |other: usize| {
            state.processes[other].at == At::Stopped && state.kernel.has_place(me, other, head)
        };
        let has_room = self.take(me).is_some_and(|take| state.kernel.has_room(me, take));
        state.kernel.is_taken(me, ahead)
            && (state.kernel.can_lock(me, Mode::Exclusive)
                || has_room && (0..self.roles.len()).any(is_stopped))
            && !self.has(Fault::HeadTrusted)
            && (!self.has(Fault::HeadPassedByNextOnly) || is_next())
    }

    /// Whether a reader in the queue can join those who hold the lock.
    fn can_join(&self, state: &State, me: usize) -> bool {
        matches!(state.processes[me].at, At::WaitsForTurn(Some(_)))
            && self.mode(me) == Mode::Shared
            && state.kernel.can_lock(me, Mode::Shared)
            && (self.take(me).is_none() || self.has(Fault::SlotsPastTheLine))
            && !self.has(Fault::NoPatience)
    }

    fn is_over(&self, state: &State, me: usize) -> bool {
        match (state.processes[me].at, self.roles[me]) {
            (At::Over | At::Stopped, _) => true,
            // Never started, as the command that it is part of was not.
            (At::Open, Role::Nested(outer)) => state.has_ended(outer),
            _ => false,
        }
    }

    /// Everybody is done, or somebody can go on without anybody being killed or giving up in time.
    pub fn nobody_is_stuck(&self, state: &State) -> bool {
        let goes_on = |me| {
            self.can_step(state, me)
                || self.can_pass_by(state, me)
                || self.can_join(state, me)
                || state.processes[me].at == At::Confirms
        };
        (0..self.roles.len()).all(|me| self.is_over(state, me)) || (0..self.roles.len()).any(goes_on)
    }

    /// Whether what happens to a process can happen now.
    pub fn can_happen(&self, state: &State, Action(me, event): Action) -> bool {
        let at = state.processes[me].at;
        match event {
            Event::Step => self.can_step(state, me),
            Event::GivesUp => Self::can_give_up(state, me),
            Event::PassesBy => self.can_pass_by(state, me),
            Event::Joins => self.can_join(state, me),
            Event::IsStopped => {
                state.stops > 0 && matches!(at, At::WaitsForTurn(_) | At::Waits | At::WaitsForSlot(_))
            }
            Event::IsKilled => state.kills > 0 && !matches!(at, At::Over | At::Stopped | At::Orphaned),
        }
    }

    /// The state after it has happened.
    pub fn after(&self, state: &State, Action(me, event): Action) -> State {
        let mut next = state.clone();
        let before = state.processes[me].at;
        let at = match (event, before) {
            (Event::Step, _) => self.step(&mut next, me),
            (Event::GivesUp, _) => {
                next.expiries -= u8::from(before != At::Confirms);
                if self.has(Fault::PlaceKeptOnExpiry) {
                    next.kernel.leak(me);
                }
                At::Over
            }
            (Event::PassesBy, At::WaitsForTurn(Some(ahead))) => Self::pass_by(&mut next, me, ahead),
            (Event::PassesBy, _) => before,
            (Event::Joins, _) => {
                next.kernel.try_lock(me, Mode::Shared);
                next.processes[me].goes_ahead = self.take(me).is_none();
                self.after_lock(me)
            }
            (Event::IsStopped, _) => {
                next.stops -= 1;
                next.processes[me].has_turn = false;
                At::Stopped
            }
            (Event::IsKilled, _) => {
                next.kills -= 1;
                if before == At::Held { At::Orphaned } else { At::Over }
            }
        };
        let process = &mut next.processes[me];
        process.at = at;
        match at {
            At::Open => *process = Process::new(at, process.pid),
            At::Over => *process = Process::new(at, 0),
            At::Held => (process.passed, process.has_turn) = (None, false),
            _ => {}
        }
        if matches!(at, At::Open | At::Over) {
            next.kernel.close(me);
        }
        let turns = next.turns();
        next.processes.iter_mut().for_each(|process| process.behind &= turns);
        next
    }

    /// The same state with the processes of one role in one order: which of them does what makes no difference.
    pub fn in_order(&self, mut state: State) -> State {
        let is_named =
            |me: usize| self.roles.iter().any(|&role| role == Role::Nested(me) || role == Role::PipedTo(me));
        for a in 0..self.roles.len() {
            for b in a + 1..self.roles.len() {
                if self.roles[a] == self.roles[b] && !is_named(a) && !is_named(b) {
                    state.put_in_order(a, b);
                }
            }
        }
        state
    }
}

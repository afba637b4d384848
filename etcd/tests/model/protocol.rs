//! The protocol as a state machine: who takes part, and what can happen next.

use super::fault::Fault;
use super::state::{At, Command, Health, Process, State};
use super::steps::pass_time;

/// How long a lease lasts. A running process is late by less than one unit of time.
pub const TTL: u8 = 4;
/// From SIGTERM to SIGKILL.
pub const GRACE: u8 = 1;
/// From SIGKILL to the end of the lease.
pub const MARGIN: u8 = 1;
/// How long a command may run after its key is gone.
pub const DELAY: u8 = GRACE + MARGIN;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Read,
    Write,
}

/// What can happen to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The request takes its next step.
    Step,
    /// It takes the lock by what a server shows that lags behind, and still has its key.
    StepsBehind,
    /// The command's process takes its next step, or ends.
    CommandSteps,
    /// Front or keeper kills the command.
    KillsCommand,
    /// The watch tells the keeper that the key is gone.
    Hears,
    /// The keeper finds its front killed: it kills the command and releases.
    CleansUp,
    /// The leader prolongs the lease. A renewal that arrives late does no more than that.
    Renews,
    /// A deposed leader answers, and prolongs nothing.
    RenewsInVain,
    /// The answer has arrived, and a linearizable read confirms it or not.
    Confirms,
    FrontStops,
    FrontContinues,
    FrontIsKilled,
    KeeperStops,
    KeeperContinues,
    KeeperIsKilled,
    /// etcd ends a lease that has expired.
    Expires,
    /// etcd ends a lease early, or an operator deletes the key.
    IsRevoked,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Happens(usize, Event),
    /// A new leader is elected: each lease starts again.
    Election,
    TimePasses,
}

/// How many kills, stops, revocations and elections there are.
#[derive(Clone, Copy, Debug)]
pub struct Mishaps {
    pub kills: u8,
    pub stops: u8,
    pub revocations: u8,
    pub elections: u8,
}

#[derive(Clone, Debug)]
pub struct Protocol {
    pub modes: Vec<Mode>,
    pub mishaps: Mishaps,
    pub fault: Option<Fault>,
}

impl Protocol {
    pub fn start(&self) -> State {
        let Mishaps { kills, stops, revocations, elections } = self.mishaps;
        let processes = self.modes.iter().map(|_| Process::new()).collect();
        State { processes, has_deposed: false, kills, stops, revocations, elections }
    }

    pub fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    pub fn conflict(&self, a: usize, b: usize) -> bool {
        self.modes[a] == Mode::Write || self.modes[b] == Mode::Write
    }

    pub fn all(&self) -> impl Iterator<Item = Action> {
        use Event::{
            CleansUp, CommandSteps, Confirms, Expires, FrontContinues, FrontIsKilled, FrontStops, Hears,
            IsRevoked, KeeperContinues, KeeperIsKilled, KeeperStops, KillsCommand, Renews, RenewsInVain,
            Step, StepsBehind,
        };
        let events = [
            Step,
            StepsBehind,
            CommandSteps,
            KillsCommand,
            Hears,
            CleansUp,
            Renews,
            RenewsInVain,
            Confirms,
            FrontStops,
            FrontContinues,
            FrontIsKilled,
            KeeperStops,
            KeeperContinues,
            KeeperIsKilled,
            Expires,
            IsRevoked,
        ];
        let each = (0..self.modes.len()).flat_map(move |me| events.map(|event| Action::Happens(me, event)));
        each.chain([Action::Election, Action::TimePasses])
    }

    pub fn can_happen(&self, state: &State, action: Action) -> bool {
        match action {
            Action::Happens(me, event) => self.can_happen_to(state, me, event),
            Action::Election => state.elections > 0,
            Action::TimePasses => !self.is_urgent(state),
        }
    }

    /// Whether an event must happen before time passes: a running process is late by less than one unit.
    fn is_urgent(&self, state: &State) -> bool {
        let urgent = [Event::KillsCommand, Event::Hears];
        (0..self.modes.len()).any(|me| urgent.iter().any(|&event| self.can_happen_to(state, me, event)))
    }

    fn can_happen_to(&self, state: &State, me: usize, event: Event) -> bool {
        let process = &state.processes[me];
        let Process { at, front, keeper, command, .. } = *process;
        let is_on = |health| health == Health::Runs;
        // One of the two keeps running: that both may be stopped is a documented limit. And the keeper of a lock that ended
        // early has to hear of that.
        let may_fail = |other: Health| at != At::Over && is_on(other);
        let may_fail_keeper = may_fail(front) && !process.has_to_hear();
        match event {
            Event::Step => Self::can_step(state, me),
            Event::StepsBehind => {
                let is_believed = process.was_first || self.has(Fault::StrangerBelieved);
                is_on(keeper) && matches!(at, At::Watches(_)) && is_believed
            }
            Event::CommandSteps => !matches!(command, Command::None | Command::Ended),
            Event::KillsCommand => {
                let by_front = is_on(front) && !self.has(Fault::FrontOnlyWaits);
                let by_keeper = is_on(keeper) && !self.has(Fault::KeeperOnlyRenews);
                let margin = if self.has(Fault::NoMargin) { 0 } else { MARGIN };
                let is_due = process.deadline <= margin || process.lost == Some(0);
                at != At::Over && self.is_known(process) && is_due && (by_front || by_keeper)
            }
            Event::Hears => is_on(keeper) && process.has_to_hear() && !self.has(Fault::NotWatched),
            Event::CleansUp => at != At::Over && front == Health::Killed && is_on(keeper),
            Event::Renews => Self::wants_renewal(process) && process.place.is_some() && process.lease > 0,
            Event::RenewsInVain => Self::wants_renewal(process) && state.has_deposed,
            Event::Confirms => is_on(keeper) && process.renewal.is_some(),
            Event::FrontStops => state.stops > 0 && is_on(front) && may_fail(keeper),
            Event::FrontContinues => front == Health::Stopped,
            Event::FrontIsKilled => state.kills > 0 && front != Health::Killed && may_fail(keeper),
            Event::KeeperStops => state.stops > 0 && is_on(keeper) && may_fail_keeper,
            Event::KeeperContinues => keeper == Health::Stopped,
            Event::KeeperIsKilled => state.kills > 0 && keeper != Health::Killed && may_fail_keeper,
            Event::Expires => process.place.is_some() && process.lease == 0,
            Event::IsRevoked => state.revocations > 0 && process.place.is_some() && is_on(keeper),
        }
    }

    fn can_step(state: &State, me: usize) -> bool {
        let process = &state.processes[me];
        let (has_front, has_keeper) = (process.front == Health::Runs, process.keeper == Health::Runs);
        match process.at {
            At::Over => false,
            At::Holds => has_front,
            At::Started => has_front && process.command == Command::Ended,
            // Without its keeper a front gives up.
            _ if process.keeper == Health::Killed => has_front,
            At::Watches(other) => {
                let theirs = state.processes[other].place;
                has_keeper && (theirs.is_none() || process.place.is_none_or(|mine| theirs > Some(mine)))
            }
            At::Delays(left, _) => has_keeper && left == 0,
            At::Enters | At::Looks => has_keeper,
        }
    }

    fn wants_renewal(process: &Process) -> bool {
        let has_place = !matches!(process.at, At::Enters | At::Over);
        has_place && process.keeper == Health::Runs && process.renewal.is_none() && process.deadline < TTL
    }

    /// Whether front and keeper know the command's process.
    pub fn is_known(&self, process: &Process) -> bool {
        process.command == Command::Runs
            || process.command == Command::Known && !self.has(Fault::CheckedBeforeKnown)
    }

    pub fn after(&self, state: &State, action: Action) -> State {
        let mut next = state.clone();
        match action {
            Action::Happens(me, event) => self.happen(&mut next, me, event),
            Action::Election => {
                next.elections -= 1;
                next.has_deposed = true;
                for process in next.processes.iter_mut().filter(|process| process.place.is_some()) {
                    process.lease = TTL;
                }
            }
            Action::TimePasses => next.processes.iter_mut().for_each(pass_time),
        }
        self.note_who_is_first(&mut next);
        next.settle();
        next
    }

    fn note_who_is_first(&self, state: &mut State) {
        let is_first = |me: usize| {
            let has_place = state.processes[me].place.is_some();
            has_place && self.blocker(state, me).is_none() && self.orphans(state, me) == 0
        };
        let first: Vec<_> = (0..self.modes.len()).map(is_first).collect();
        for (process, is_first) in state.processes.iter_mut().zip(first) {
            process.was_first |= is_first;
        }
    }
}

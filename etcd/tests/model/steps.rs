//! What each event does.

use super::fault::Fault;
use super::protocol::{DELAY, Event, GRACE, Mode, Protocol, TTL};
use super::state::{At, Command, Health, Process, Renewal, State};

impl Protocol {
    pub fn happen(&self, state: &mut State, me: usize, event: Event) {
        let process = &mut state.processes[me];
        match event {
            Event::Step => self.step(state, me),
            Event::StepsBehind => process.at = At::Holds,
            Event::CommandSteps => self.step_command(state, me),
            Event::KillsCommand => process.command = Command::Ended,
            Event::Hears => process.lost = Some(GRACE),
            Event::CleansUp => {
                process.is_closed = !self.has(Fault::NotClosed);
                if self.is_known(process) && !self.has(Fault::CommandOutlivesFront) {
                    process.command = Command::Ended;
                }
                let deadline = process.deadline;
                process.release();
                process.deadline = deadline; // the shared memory stays as it is
            }
            Event::Renews => {
                process.lease = TTL;
                process.renewal = Some(Renewal { age: 0, by_deposed: false });
            }
            Event::RenewsInVain => process.renewal = Some(Renewal { age: 0, by_deposed: true }),
            Event::Confirms => {
                let Some(Renewal { age, by_deposed }) = process.renewal.take() else { return };
                if process.has_to_hear() {
                    process.lost = Some(GRACE);
                } else if process.place.is_some() && (!by_deposed || self.has(Fault::TermIgnored)) {
                    let age = if self.has(Fault::TimeFromAnswer) { 0 } else { age };
                    process.deadline = process.deadline.max(TTL - age);
                }
            }
            Event::FrontStops => (process.front, state.stops) = (Health::Stopped, state.stops - 1),
            Event::KeeperStops => (process.keeper, state.stops) = (Health::Stopped, state.stops - 1),
            Event::FrontContinues => process.front = Health::Runs,
            Event::KeeperContinues => process.keeper = Health::Runs,
            Event::FrontIsKilled => (process.front, state.kills) = (Health::Killed, state.kills - 1),
            Event::KeeperIsKilled => {
                (process.keeper, process.renewal) = (Health::Killed, None);
                state.kills -= 1;
            }
            Event::Expires => process.place = None,
            Event::IsRevoked => {
                (process.place, process.lease) = (None, 0);
                state.revocations -= 1;
            }
        }
    }

    /// `queue.rs` and `front.rs`.
    fn step(&self, state: &mut State, me: usize) {
        let revision = state.next_revision();
        let blocker = self.blocker(state, me);
        let orphans = self.orphans(state, me);
        let process = &mut state.processes[me];
        let has_time = process.deadline > DELAY;
        match process.at {
            At::Holds if process.lost.is_none() && has_time => {
                (process.at, process.command) = (At::Started, Command::Forked);
            }
            At::Holds if process.lost.is_none() && process.deadline > 0 => {} // it waits for a renewal
            At::Holds | At::Started if process.keeper == Health::Runs => process.release(),
            At::Holds | At::Started => process.over(),
            _ if process.keeper == Health::Killed => process.over(),
            At::Enters => {
                (process.lease, process.deadline) = (TTL, TTL);
                (process.place, process.record) = (Some(revision), Some(revision));
                if self.has(Fault::LateRecord) {
                    process.record = None;
                }
                process.at = At::Looks;
            }
            _ if process.place.is_none() => (process.at, process.renewal) = (At::Enters, None),
            At::Watches(_) if self.has(Fault::BlockerTrusted) => process.at = At::Holds,
            At::Watches(_) => process.at = At::Looks,
            At::Looks => {
                process.at = match (blocker, orphans) {
                    (Some(other), _) => At::Watches(other),
                    (None, 0) => At::Holds,
                    (None, _) if self.has(Fault::NoDelay) => At::Delays(0, orphans),
                    (None, _) if self.has(Fault::ShortDelay) => At::Delays(GRACE, orphans),
                    (None, _) => At::Delays(DELAY, orphans),
                }
            }
            At::Delays(_, orphans) => {
                process.at = At::Holds;
                for (other, process) in state.processes.iter_mut().enumerate() {
                    process.record = process.record.filter(|_| orphans & 1 << other == 0);
                }
            }
            At::Over => {}
        }
    }

    /// `leash.rs`: the steps of the command's own process.
    fn step_command(&self, state: &mut State, me: usize) {
        let revision = state.next_revision();
        let process = &mut state.processes[me];
        let is_open = !process.is_closed;
        let has_time = process.lost.is_none() && process.deadline > DELAY;
        let is_first_open = if self.has(Fault::CheckedBeforeKnown) { has_time } else { is_open };
        let is_then_open = match self.fault {
            Some(Fault::CheckedBeforeKnown) => is_open,
            Some(Fault::NoLastCheck) => true,
            _ => has_time,
        };
        process.command = match process.command {
            Command::Forked if is_first_open => Command::Known,
            Command::Known if is_then_open => Command::Runs,
            _ => Command::Ended,
        };
        if process.is_inside() && process.place.is_some() && process.record.is_none() {
            process.record = Some(revision);
        }
    }

    fn others(&self, state: &State, me: usize) -> impl Iterator<Item = usize> {
        (0..state.processes.len()).filter(move |&other| other != me && self.conflict(me, other))
    }

    /// The youngest conflicting request before this one.
    pub fn blocker(&self, state: &State, me: usize) -> Option<usize> {
        let place = |other: usize| state.processes[other].place;
        let before =
            self.others(state, me).filter(|&other| place(other).is_some() && place(other) < place(me));
        let passes = self.has(Fault::ReaderPasses) && self.modes[me] == Mode::Read;
        before.filter(|&other| !passes || state.processes[other].has_lock()).max_by_key(|&other| place(other))
    }

    /// The processes with an older, conflicting record; one bit each.
    pub fn orphans(&self, state: &State, me: usize) -> u8 {
        let mine = state.processes[me].place;
        let is_before = |&other: &usize| {
            let record = state.processes[other].record;
            record.is_some() && record < mine
        };
        self.others(state, me).filter(is_before).fold(0, |bits, other| bits | 1 << other)
    }
}

pub fn pass_time(process: &mut Process) {
    process.lease = process.lease.saturating_sub(1);
    process.deadline = process.deadline.saturating_sub(1);
    process.lost = process.lost.map(|left| left.saturating_sub(1));
    process.was_first &= process.place.is_some(); // no server is behind for longer
    if let Some(renewal) = &mut process.renewal {
        renewal.age += 1;
    }
    process.renewal = process.renewal.filter(|renewal| renewal.age < TTL); // nothing is left to gain
    if let At::Delays(left, _) = &mut process.at {
        *left = left.saturating_sub(1);
    }
}

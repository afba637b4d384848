//! What holds in every state.

use stateright::{Model, Property};

use super::protocol::{Action, MARGIN, Protocol};
use super::state::{At, State};

pub const EXCLUSION: &str = "a writer is inside alone";
pub const ORDER: &str = "nobody is inside before a conflicting one with an older place";
pub const STOPPED: &str = "no command runs after its deadline";
pub const LEASE: &str = "no lease ends before the deadline of its process";

pub const TOGETHER: &str = "readers are inside together";
pub const DELAYED: &str = "the next holder waits out a lost lock";
pub const LAST_MOMENT: &str = "a command runs until it has to be killed";
pub const DONE: &str = "all requests end";

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![self.start()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        actions.extend(self.all().filter(|&action| self.can_happen(state, action)));
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        Some(self.after(state, action))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(EXCLUSION, |protocol: &Protocol, state| {
                pairs(state).all(|(a, b)| !(inside(state, a) && inside(state, b) && protocol.conflict(a, b)))
            }),
            Property::always(ORDER, |protocol: &Protocol, state| {
                pairs(state).all(|(a, b)| {
                    let place = |me: usize| state.processes[me].place;
                    let is_before = place(b).is_some() && place(b) < place(a);
                    !(inside(state, a) && is_before && protocol.conflict(a, b))
                })
            }),
            Property::always(STOPPED, |_, state: &State| {
                state.processes.iter().all(|process| !process.is_inside() || process.deadline > 0)
            }),
            Property::always(LEASE, |_, state: &State| {
                let mut with_place = state.processes.iter().filter(|process| process.place.is_some());
                with_place.all(|process| process.deadline <= process.lease)
            }),
            // These must be possible, or the model would cover less than the protocol.
            Property::sometimes(TOGETHER, |_, state: &State| {
                state.processes.iter().filter(|process| process.is_inside()).count() > 1
            }),
            Property::sometimes(DELAYED, |_, state: &State| {
                state.processes.iter().any(|process| matches!(process.at, At::Delays(..)))
            }),
            Property::sometimes(LAST_MOMENT, |_, state: &State| {
                state.processes.iter().any(|process| process.is_inside() && process.deadline == MARGIN)
            }),
            Property::sometimes(DONE, |_, state: &State| {
                state.processes.iter().all(|process| process.at == At::Over)
            }),
        ]
    }
}

fn inside(state: &State, me: usize) -> bool {
    state.processes[me].is_inside()
}

fn pairs(state: &State) -> impl Iterator<Item = (usize, usize)> {
    let count = state.processes.len();
    (0..count).flat_map(move |a| (0..count).filter(move |&b| a != b).map(move |b| (a, b)))
}

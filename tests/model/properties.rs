//! What holds in every state.

use stateright::{Model, Property};

use super::kernel::Mode;
use super::protocol::{Action, Event, Protocol};
use super::state::{At, State};

pub const EXCLUSION: &str = "a writer is inside alone";
pub const AT_PATH: &str = "the file locked by those inside is the one at the path";
pub const PROGRESS: &str = "nobody is stuck";
pub const ORDER: &str = "nobody is inside before a waiter who had a place when they came";
pub const OWN_PLACE: &str = "no two have the same place";
pub const NO_PLACE: &str = "nobody has a place who is inside or has ended";
pub const SLOTS: &str = "everybody inside has the slots that they want, and nobody else has them";
pub const REFUSED: &str = "nobody is refused a lock that is free to them";

pub const TOGETHER: &str = "readers are inside together";
pub const BEHIND: &str = "a newcomer waits behind a waiter";

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        self.starts()
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        use Event::{GivesUp, IsKilled, IsStopped, Joins, PassesBy, Step};
        for me in 0..self.roles.len() {
            let all = [Step, GivesUp, PassesBy, Joins, IsStopped, IsKilled].map(|event| Action(me, event));
            actions.extend(all.into_iter().filter(|&action| self.can_happen(state, action)));
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        Some(self.after(state, action))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(EXCLUSION, exclusion),
            Property::always(AT_PATH, |_, state| inside(state).all(|me| state.kernel.is_at_path(me))),
            Property::always(PROGRESS, Protocol::nobody_is_stuck),
            Property::always(ORDER, order),
            Property::always(OWN_PLACE, own_place),
            Property::always(NO_PLACE, no_place),
            Property::always(SLOTS, slots),
            Property::always(REFUSED, refused),
            // And these can happen, or the model would be less than the protocol.
            Property::sometimes(TOGETHER, |_, state| inside(state).count() > 1),
            Property::sometimes(BEHIND, |_, state: &State| {
                state.processes.iter().any(|process| process.behind != 0)
            }),
        ]
    }
}

fn inside(state: &State) -> impl Iterator<Item = usize> {
    (0..state.processes.len()).filter(|&me| state.is_inside(me))
}

fn exclusion(protocol: &Protocol, state: &State) -> bool {
    inside(state).count() <= 1 || inside(state).all(|me| protocol.mode(me) == Mode::Shared)
}

fn order(_: &Protocol, state: &State) -> bool {
    inside(state).map(|me| &state.processes[me]).all(|process| process.behind == 0 || process.goes_ahead)
}

fn own_place(_: &Protocol, state: &State) -> bool {
    let has_own = |me| state.kernel.place(me).is_none_or(|place| !state.kernel.is_refused(me, place));
    (0..state.processes.len()).all(has_own)
}

fn no_place(_: &Protocol, state: &State) -> bool {
    state.kernel.leaked.is_none() && inside(state).all(|me| state.kernel.place(me).is_none())
}

fn slots(protocol: &Protocol, state: &State) -> bool {
    inside(state).all(|me| {
        let mine = state.kernel.slots(me);
        mine.count_ones() == u32::from(protocol.take(me).unwrap_or_default())
            && mine & state.kernel.slots_of_others(me) == 0
    })
}

fn refused(protocol: &Protocol, state: &State) -> bool {
    (0..state.processes.len()).all(|me| {
        state.processes[me].at != At::AlreadyLocked || !state.kernel.can_lock(me, protocol.mode(me))
    })
}

//! What holds in every state.

use stateright::Property;

use super::protocol::{Mode, Protocol, State};

pub const EXCLUSION: &str = "a writer is inside alone";
pub const AT_PATH: &str = "the file locked by whoever is inside is the one at the path";
pub const PROGRESS: &str = "nobody is stuck";
pub const FAIRNESS: &str = "a reader who came while a writer waited behind its gate is not inside before it";

pub const OVERLAP: &str = "readers are inside together";
pub const TURN: &str = "a reader stands behind the gate of a writer that waits";

pub fn all() -> Vec<Property<Protocol>> {
    vec![
        Property::always(EXCLUSION, exclusion),
        Property::always(AT_PATH, at_path),
        Property::always(PROGRESS, Protocol::nobody_is_stuck),
        Property::always(FAIRNESS, fairness),
        // And these can happen, or the model would be less than the protocol.
        Property::sometimes(OVERLAP, |_, state| inside(state).count() > 1),
        Property::sometimes(TURN, |_, state: &State| {
            state.processes.iter().any(|process| process.behind != 0)
        }),
    ]
}

fn inside(state: &State) -> impl Iterator<Item = usize> {
    (0..state.processes.len()).filter(|&me| state.is_inside(me))
}

fn exclusion(protocol: &Protocol, state: &State) -> bool {
    inside(state).count() <= 1 || inside(state).all(|me| protocol.mode(me) == Mode::Shared)
}

fn at_path(_: &Protocol, state: &State) -> bool {
    inside(state).all(|me| state.has_what_is_at_path(me))
}

fn fairness(_: &Protocol, state: &State) -> bool {
    inside(state).all(|me| state.processes[me].behind == 0)
}

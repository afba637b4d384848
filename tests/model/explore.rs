//! Every state that can be reached, each visited once.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher};

use stateright::{Expectation, Model};

use super::protocol::Protocol;
use super::state::State;

/// What an exploration found.
#[derive(Default)]
pub struct Explored {
    pub states: usize,
    /// The properties that hold always, and did not.
    pub broken: Vec<&'static str>,
    /// The properties that hold sometimes, and did.
    pub seen: Vec<&'static str>,
    /// A state from which the processes can come back to it.
    pub cycle: Option<State>,
}

/// Visits all states, depth first. One that is entered again before it is left is on a cycle, which stateright's
/// own checkers pass over.
pub fn explore(protocol: &Protocol) -> Explored {
    let mut explored = Explored::default();
    let properties = protocol.properties();
    let hasher = BuildHasherDefault::<Mixer>::default();
    let mut is_left: HashMap<u64, bool> = HashMap::new(); // by hash: the states take much more
    let mut stack: Vec<(State, bool)> = protocol.init_states().into_iter().map(|s| (s, false)).collect();
    let mut actions = Vec::new();
    while let Some((state, leaves)) = stack.pop() {
        let key = hasher.hash_one(&state);
        if leaves {
            is_left.insert(key, true);
            continue;
        }
        match is_left.get(&key) {
            Some(true) => continue,
            Some(false) => {
                explored.cycle = Some(state);
                break;
            }
            None => _ = is_left.insert(key, false),
        }
        for property in &properties {
            let holds = (property.condition)(protocol, &state);
            let noted = match property.expectation {
                Expectation::Always if !holds => &mut explored.broken,
                Expectation::Sometimes if holds => &mut explored.seen,
                _ => continue,
            };
            if !noted.contains(&property.name) {
                noted.push(property.name);
            }
        }
        protocol.actions(&state, &mut actions);
        let next = actions.drain(..).filter_map(|action| protocol.next_state(&state, action));
        let next: Vec<State> = next.map(|state| protocol.in_order(state)).collect();
        stack.push((state, true));
        stack.extend(next.into_iter().map(|state| (state, false)));
    }
    explored.states = is_left.len();
    explored
}

/// Hashes small numbers one by one. The standard library's hasher takes a third of the time where tests are not
/// optimised.
#[derive(Default)]
struct Mixer(u64);

impl Hasher for Mixer {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(byte.into());
        }
    }

    fn write_u64(&mut self, number: u64) {
        let product = (self.0 ^ number ^ 0x9e37_79b9_7f4a_7c15).wrapping_mul(0xd6e8_feb8_6659_fd93);
        self.0 = product ^ product >> 32;
    }

    fn write_u8(&mut self, number: u8) {
        self.write_u64(number.into());
    }

    fn write_isize(&mut self, variant: isize) {
        self.write_u64(variant.unsigned_abs() as u64);
    }

    fn write_usize(&mut self, length: usize) {
        self.write_u64(length as u64);
    }
}

//! The lock's protocol, explored through every interleaving of a few processes, with
//! [stateright](https://www.stateright.rs).
//!
//! The protocol is the one that `src/lock/mod.rs` states, restated by hand in `protocol.rs`, one visible
//! system call a step. A change to `acquire.rs`, `gate.rs` or `clean.rs` in `src/lock` belongs there too:
//! nothing checks that the two agree.
//!
//! # What is in it
//!
//! - Two paths, the lock file and its gate, and what is there at first: nothing, a lock file, or a lock
//!   file and the gate of a writer that was killed.
//! - Inodes, with numbers that are used again once no path and no descriptor has them.
//! - flock(2) as the kernel promises it and no better: it is fair to nobody, and a conversion drops the
//!   lock before it asks for the other.
//! - `run --write`, `run --read`, a reader inside a reader's command, `try --write`, `clean`, `status`.
//! - SIGKILL between any two steps. A command that runs goes on with the inherited descriptor, and so with
//!   the lock; otherwise the kernel closes the descriptors one after the other, in either order.
//! - A wait that ends without the lock, because its time is over; a reader that has waited at a gate for long and
//!   goes past it; and anyone who waits at a gate and sees that the lock is free.
//! - SIGSTOP, without a SIGCONT, of a writer that waits behind its gate.
//!
//! # What holds
//!
//! In every state: a writer is inside alone; whoever is inside has locked the file that is at the path;
//! somebody can go on, or all are done; and of fairness, this: while a writer waits for the lock behind a
//! gate of its own, a reader who came after that is not inside. There is no cycle of states either, so that
//! whoever has to go on gets to its end, whatever the scheduler does.
//!
//! Fairness promises no more than that, and that only of readers that went through the gate, not past it. A reader who was there before the gate may still go first, and so
//! may one who has been through an earlier gate: also before a writer that had queued at that gate for
//! longer. A writer that gets the lock on a file which `clean` has just removed gives up its turn with its
//! gate, and queues again. `try --write` has no turn.
//!
//! # What is not in it
//!
//! The holder record and the lock on the directory that guards it; several locks in one request, their
//! order, symbolic links; errors of system calls, gates that cannot be made, the limit of 100 mismatches;
//! time, hence the 50 ms of `try`; polling; locks on the data itself or on the caller's descriptors; file
//! systems without stable inodes; programs that do not keep to the protocol; Windows. And more processes
//! than are listed below: each of these runs once, while a real reader comes again and again.

mod properties;
mod protocol;

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::time::Instant;

use stateright::{Checker, HasDiscoveries, Model, Path};

use properties::{AT_PATH, EXCLUSION, FAIRNESS, OVERLAP, PROGRESS, TURN};
use protocol::Role::{Asker, Cleaner, Looker, Nested, Reader, Writer};
use protocol::{Action, Fault, Protocol, Role, State};

fn sound(roles: &[Role], kills: u8, expiries: u8) -> Protocol {
    Protocol { roles: roles.to_vec(), kills, expiries, stops: 0, fault: None }
}

/// One writer is stopped as it waits.
fn with_a_stop(roles: &[Role]) -> Protocol {
    Protocol { stops: 1, ..sound(roles, 0, 0) }
}

/// The processes, how many of them are killed, and how many waits end early.
fn configurations() -> Vec<Protocol> {
    vec![
        sound(&[Writer, Writer, Reader, Cleaner], 0, 0),
        sound(&[Writer, Writer, Cleaner, Cleaner], 0, 0),
        sound(&[Writer, Reader, Reader], 1, 1),
        sound(&[Writer, Writer, Reader], 1, 1),
        sound(&[Writer, Writer, Cleaner], 1, 1),
        sound(&[Writer, Reader, Cleaner], 2, 1),
        sound(&[Writer, Reader, Cleaner, Cleaner], 1, 0),
        sound(&[Writer, Reader, Nested(1), Cleaner], 1, 0),
        sound(&[Writer, Asker, Reader, Looker], 1, 0),
        sound(&[Writer, Writer, Reader, Reader], 0, 0),
        sound(&[Writer, Reader, Reader, Reader], 0, 0),
        sound(&[Writer, Writer, Reader, Cleaner], 1, 0),
        with_a_stop(&[Writer, Reader, Reader]),
        with_a_stop(&[Writer, Writer, Reader]),
        with_a_stop(&[Writer, Writer, Writer, Cleaner]),
    ]
}

fn trace(protocol: &Protocol, path: Path<State, Action>) -> String {
    let step = |(state, action): (State, Option<Action>)| {
        let action = action?;
        let (Action::Step(me)
        | Action::Visit(me, _)
        | Action::GiveUp(me)
        | Action::PassBy(me)
        | Action::Stop(me)
        | Action::Kill(me)
        | Action::Close(me, _)) = action;
        let at = state.processes[me].at;
        Some(format!("    {me} {:?} at {at:?}: {action:?}\n", protocol.roles[me]))
    };
    path.into_vec().into_iter().filter_map(step).collect()
}

#[test]
fn the_protocol_keeps_its_promises_in_every_interleaving() {
    for protocol in configurations() {
        let started = Instant::now();
        let checker = protocol.clone().checker().threads(2).spawn_bfs().join();
        let Protocol { roles, kills, expiries, stops, .. } = &protocol;
        let states = checker.unique_state_count();
        println!(
            "{roles:?}, {kills} killed, {expiries} given up, {stops} stopped: {states} states, {:.1?}",
            started.elapsed()
        );
        for promise in [EXCLUSION, AT_PATH, PROGRESS, FAIRNESS] {
            if let Some(path) = checker.discovery(promise) {
                panic!("{roles:?}: not so that {promise}:\n{}", trace(&protocol, path));
            }
        }
        let readers = roles.iter().filter(|role| matches!(role, Reader | Nested(_))).count();
        if readers > 1 {
            checker.assert_any_discovery(OVERLAP);
        }
        if readers > 0 && roles.contains(&Writer) {
            checker.assert_any_discovery(TURN);
        }
    }
}

#[test]
fn every_known_fault_is_found() {
    let faults: &[(Fault, &[Role], &'static str)] = &[
        (Fault::NoInodeCheck, &[Writer, Writer, Cleaner], EXCLUSION),
        (Fault::UnlinkAfterUnlock, &[Writer, Writer, Writer], EXCLUSION),
        (Fault::ReaderUnlinks, &[Reader, Reader, Writer], EXCLUSION),
        (Fault::CleanUnlocksFirst, &[Writer, Writer, Cleaner], EXCLUSION),
        (Fault::CleanWithoutCheck, &[Writer, Writer, Cleaner, Cleaner], EXCLUSION),
        (Fault::CleanWithoutLock, &[Writer, Writer, Cleaner], EXCLUSION),
        (Fault::CleanWithoutLock, &[Reader, Cleaner], AT_PATH),
        (Fault::GateIgnored, &[Reader, Writer, Reader], FAIRNESS),
        (Fault::GateUnlockedFirst, &[Reader, Writer, Writer, Reader], FAIRNESS),
        (Fault::GateNotChecked, &[Reader, Writer, Writer, Reader], FAIRNESS),
        (Fault::NestedHeedsGate, &[Reader, Nested(0), Writer], PROGRESS),
        (Fault::GateWaitedForBlindly, &[Reader, Writer, Reader], PROGRESS),
    ];
    for (fault, roles, broken) in faults {
        let stopped = u8::from(*fault == Fault::GateWaitedForBlindly);
        let protocol = Protocol { fault: Some(*fault), stops: stopped, ..sound(roles, 0, 0) };
        let until = HasDiscoveries::AnyOf([*broken].into());
        let checker = protocol.clone().checker().finish_when(until).spawn_bfs().join();
        let states = checker.unique_state_count();
        let Some(path) = checker.discovery(broken) else {
            panic!("{fault:?} with {roles:?}: not found in {states} states");
        };
        let steps = path.clone().into_actions().len();
        println!("{fault:?}: not so that {broken}, after {states} states, in {steps} steps:");
        print!("{}", trace(&protocol, path));
    }
}

/// What stateright's own `eventually` cannot show, since it passes over cycles.
#[test]
fn whoever_goes_on_comes_to_an_end() {
    for protocol in configurations() {
        let hasher = RandomState::new();
        let mut is_finished: HashMap<u64, bool> = HashMap::new(); // by hash: the states take much more
        let mut stack: Vec<(State, bool)> = protocol.init_states().into_iter().map(|s| (s, false)).collect();
        while let Some((state, is_left)) = stack.pop() {
            let key = hasher.hash_one(&state);
            if is_left {
                is_finished.insert(key, true);
                continue;
            }
            match is_finished.insert(key, false) {
                None => {
                    let next = protocol.next_states(&state);
                    stack.push((state, true));
                    stack.extend(next.into_iter().map(|state| (state, false)));
                }
                Some(true) => _ = is_finished.insert(key, true),
                Some(false) => panic!("{:?}: a cycle through {state:?}", protocol.roles),
            }
        }
        println!("{:?}: no cycle in {} states", protocol.roles, is_finished.len());
    }
}

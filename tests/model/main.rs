//! The lock's protocol, explored through every interleaving of a few processes, with
//! [stateright](https://www.stateright.rs).
//!
//! The protocol is the one in `src/lock`, written again by hand, one visible system call a step:
//!
//! ```text
//! Open --> LooksAhead --nobody--> Tries --got--> Checks --same file at the path--> Held
//!  ^           |                    |             ^ |
//!  |           | a queue            | refused     | another: close
//!  |           v                    v             | |
//!  |         Queues <---------------+             | |
//!  |           | takes a place                    | |
//!  |           v                                  | |
//!  |      WaitsForTurn --nobody ahead--> Waits    | |
//!  |           | joins readers             | got  | |
//!  |           +-----------------------> Leaves --+ |
//!  +------------------------------------------------+
//! ```
//!
//! Who wants slots looks for them when it has got the lock, and takes them one by one, or gives the lock back. At the
//! head of the queue it waits for one of those that others have.
//!
//! A change to `acquire.rs`, `queue.rs`, `slots.rs` or `clean.rs` in `src/lock` belongs here too: nothing checks that the
//! two agree. `kernel.rs` is what the kernel promises, `state.rs` what a state is, `steps.rs` what each process
//! does, `protocol.rs` what can happen to it, `fault.rs` what can be wrong, `properties.rs` what must hold, and
//! `explore.rs` visits every state.
//!
//! # What is in it
//!
//! - One path, and what is there at first: nothing, or a lock file.
//! - Inodes. Their numbers are used again once no path and no descriptor has them.
//! - flock(2) as the kernel promises it and no better: it is fair to nobody.
//! - The queue: locks on single bytes, held by the same open file as the lock. A place is a ticket and a PID, so
//!   two processes that come at once may have the same ticket, and threads of one process compete for one place.
//!   A process that waited for a place has it for a moment, beside its own. A process that cannot write to the
//!   file shares its place.
//! - The slots, two of them: likewise.
//! - `run --write`, `run --read`, the same with `--slots 2`, a reader inside a reader's command, a reader that writes into a pipe to
//!   another, `try --write`, `clean`, `status`, flock(1), and a process that cannot queue.
//! - SIGKILL between any two steps. A command that runs goes on with the inherited descriptor, and so with the
//!   lock; otherwise lock and place go together.
//! - SIGSTOP of anybody in the queue, without a SIGCONT.
//! - A wait that ends without the lock, because its time is over; a waiter that sees the lock free and passes
//!   the head of the queue; a reader that has waited long and joins the readers who hold the lock.
//!
//! # What holds
//!
//! In every state: a writer is inside alone; whoever is inside has as many slots as it wants and alone, so never more
//! are out than there are; the file that is locked by those inside is the one at the path;
//! somebody can go on, or all are done; no two have the same place; a place is left before the command runs,
//! and when a wait is given up; a nested request is refused only where it would wait for ever. And there is an
//! order: if one process has a place and another opens the file after that, and the two exclude each other,
//! the second is not inside before the first. There is no cycle of states, so each process that goes on gets to
//! its end, whatever the scheduler does.
//!
//! The order does not bind flock(1), a process that cannot queue, a reader that has waited long, a nested one, or
//! a `try` that finds the lock free. A process loses its turn when it is stopped, when it is passed while the lock is
//! free, and when `clean` has removed its file. Two that come at once may go in either order.
//!
//! # What is not in it
//!
//! The holder record and the lock on the directory that guards it; several locks in one request, their order,
//! symbolic links; errors of system calls, the limit of 100 mismatches; time: here the lock may be free for
//! long, or a wait last long, at any moment; polling; the moment for which a process has a slot that it waited for, in
//! which two heads could wake each other; how the last place is found, which takes several system
//! calls and may find one that was left meanwhile, just as this one may be left before the next step; locks
//! on the data itself or on the caller's descriptors; file systems without stable inodes; programs that do not
//! keep to the protocol; Windows. And more processes than are listed below: each of these runs once.

mod explore;
mod fault;
mod kernel;
mod properties;
mod protocol;
mod state;
mod steps;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use stateright::{Checker, HasDiscoveries, Model, Path};

use explore::explore;
use fault::Fault;
use properties::{
    AT_PATH, BEHIND, EXCLUSION, NO_PLACE, ORDER, OWN_PLACE, PROGRESS, REFUSED, SLOTS, TOGETHER,
};
use protocol::Role::{
    Asker, Cleaner, Guest, Looker, Nested, Peer, PipedTo, Reader, Sharer, Unqueued, Writer,
};
use protocol::{Action, Mishaps, Protocol, Role};
use state::State;

fn protocol(roles: &[Role], mishaps: Mishaps) -> Protocol {
    Protocol { roles: roles.to_vec(), mishaps, fault: None }
}

const NONE: Mishaps = Mishaps { kills: 0, expiries: 0, stops: 0 };
const KILL: Mishaps = Mishaps { kills: 1, ..NONE };
const EXPIRY: Mishaps = Mishaps { expiries: 1, ..NONE };
const BOTH: Mishaps = Mishaps { kills: 1, expiries: 1, ..NONE };
const STOP: Mishaps = Mishaps { stops: 1, ..NONE };
const STOPS: Mishaps = Mishaps { stops: 2, ..NONE };

fn configurations() -> Vec<Protocol> {
    [
        protocol(&[Writer, Writer, Writer, Writer], EXPIRY),
        protocol(&[Writer, Writer, Writer, Reader], KILL),
        protocol(&[Writer, Writer, Reader, Reader], NONE),
        protocol(&[Writer, Reader, Reader, Reader], KILL),
        protocol(&[Writer, Writer, Cleaner, Cleaner], NONE),
        protocol(&[Writer, Writer, Reader, Cleaner], KILL),
        protocol(&[Writer, Reader, Cleaner, Cleaner], KILL),
        protocol(&[Writer, Reader, Reader], BOTH),
        protocol(&[Writer, Writer, Reader], BOTH),
        protocol(&[Writer, Writer, Cleaner], BOTH),
        protocol(&[Writer, Reader, Cleaner], BOTH),
        protocol(&[Reader, Nested(0), Writer, Cleaner], KILL),
        protocol(&[PipedTo(1), Reader, Writer], BOTH),
        protocol(&[PipedTo(1), Reader, Writer, Writer], NONE),
        protocol(&[Writer, Asker, Reader, Looker], KILL),
        protocol(&[Writer, Writer, Asker], BOTH),
        protocol(&[Writer, Reader, Peer], BOTH),
        protocol(&[Guest, Guest, Writer, Guest], NONE),
        protocol(&[Reader, Writer, Writer, Reader], NONE),
        protocol(&[Writer, Writer, Unqueued, Cleaner], NONE),
        protocol(&[Writer, Reader, Reader], STOP),
        protocol(&[Writer, Writer, Reader, Cleaner], STOP),
        protocol(&[Writer, Writer, Writer, Reader], STOPS),
        protocol(&[Sharer(1), Sharer(1), Sharer(1), Writer], NONE),
        protocol(&[Sharer(1), Sharer(1), Sharer(2), Sharer(2)], NONE),
        protocol(&[Sharer(1), Sharer(2), Sharer(1)], BOTH),
        protocol(&[Sharer(1), Sharer(1), Writer], KILL),
        protocol(&[Sharer(1), Sharer(1), Sharer(2), Reader], NONE),
        protocol(&[Sharer(1), Sharer(1), Cleaner], KILL),
        protocol(&[Sharer(1), Sharer(2), Sharer(2)], STOP),
    ]
    .into()
}

fn trace(protocol: &Protocol, path: Path<State, Action>) -> String {
    let step = |(state, action): (State, Option<Action>)| {
        let Action(me, event) = action?;
        let at = state.processes[me].at;
        Some(format!("    {me} {:?} at {at:?}: {event:?}\n", protocol.roles[me]))
    };
    path.into_vec().into_iter().filter_map(step).collect()
}

#[test]
fn the_protocol_keeps_its_promises_in_every_interleaving() {
    let configurations = configurations();
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(protocol) = configurations.get(next.fetch_add(1, Ordering::Relaxed)) {
                    keeps_its_promises(protocol);
                }
            });
        }
    });
}

fn keeps_its_promises(protocol: &Protocol) {
    let started = Instant::now();
    let explored = explore(protocol);
    let Protocol { roles, mishaps: Mishaps { kills, expiries, stops }, .. } = protocol;
    println!(
        "{roles:?}, {kills} killed, {expiries} given up, {stops} stopped: {} states, {:.1?}",
        explored.states,
        started.elapsed()
    );
    if let Some(&promise) = explored.broken.first() {
        panic!("{roles:?}: not so that {promise}:\n{}", shortest(protocol, promise).1);
    }
    assert!(explored.cycle.is_none(), "{roles:?}: a cycle through {:?}", explored.cycle);
    let readers = roles.iter().filter(|&&role| matches!(role, Reader | Nested(_) | PipedTo(_))).count();
    assert!(readers < 2 || explored.seen.contains(&TOGETHER), "{roles:?}: {:?}", explored.seen);
    assert!(explored.seen.contains(&BEHIND), "{roles:?}: {:?}", explored.seen);
}

fn shortest(protocol: &Protocol, promise: &'static str) -> (usize, String) {
    let until = HasDiscoveries::AnyOf([promise].into());
    let checker = protocol.clone().checker().finish_when(until).spawn_bfs().join();
    let found = checker.discovery(promise).map(|path| trace(protocol, path));
    (checker.unique_state_count(), found.unwrap_or_default())
}

#[test]
fn every_known_fault_is_found() {
    let faults: &[(Fault, &[Role], Mishaps, &'static str)] = &[
        (Fault::NoInodeCheck, &[Writer, Writer, Cleaner], NONE, EXCLUSION),
        (Fault::UnlinkAfterUnlock, &[Writer, Writer, Writer], NONE, EXCLUSION),
        (Fault::ReaderUnlinks, &[Reader, Reader, Writer], NONE, EXCLUSION),
        (Fault::CleanUnlocksFirst, &[Writer, Writer, Cleaner], NONE, EXCLUSION),
        (Fault::CleanWithoutCheck, &[Writer, Writer, Cleaner, Cleaner], NONE, EXCLUSION),
        (Fault::CleanWithoutLock, &[Writer, Writer, Cleaner], NONE, EXCLUSION),
        (Fault::CleanWithoutLock, &[Reader, Cleaner], NONE, AT_PATH),
        (Fault::NoLookAhead, &[Reader, Writer, Reader], NONE, ORDER),
        (Fault::PlaceShared, &[Writer, Writer, Writer], NONE, OWN_PLACE),
        (Fault::PlaceLeftFirst, &[Writer, Writer, Writer], NONE, ORDER),
        (Fault::PlaceKept, &[Writer, Writer], NONE, NO_PLACE),
        (Fault::PlaceKeptOnExpiry, &[Writer, Writer], EXPIRY, NO_PLACE),
        (Fault::LooksForTurnOnce, &[Peer, Writer, Writer, Writer], KILL, ORDER),
        (Fault::HeadTrusted, &[Writer, Writer, Reader], STOP, PROGRESS),
        (Fault::HeadPassedByNextOnly, &[Peer, Writer, Writer, Writer], STOP, PROGRESS),
        (Fault::NestedDoesNotTry, &[Reader, Nested(0), Writer], NONE, REFUSED),
        (Fault::SlotShared, &[Sharer(1), Sharer(1)], NONE, SLOTS),
        (Fault::SlotNotTaken, &[Sharer(2), Sharer(2)], NONE, SLOTS),
        (Fault::SlotsPartly, &[Sharer(1), Sharer(2)], NONE, SLOTS),
        (Fault::SlotsKept, &[Sharer(1), Sharer(2), Sharer(2)], STOP, PROGRESS),
        (Fault::SlotsPastTheLine, &[Sharer(1), Sharer(2), Sharer(1)], NONE, ORDER),
        (Fault::NoPatience, &[PipedTo(1), Reader, Writer], NONE, PROGRESS),
    ];
    for (fault, roles, mishaps, broken) in faults {
        let protocol = Protocol { fault: Some(*fault), ..protocol(roles, *mishaps) };
        let started = Instant::now();
        let (states, trace) = shortest(&protocol, broken);
        assert!(!trace.is_empty(), "{fault:?} with {roles:?}: not found in {states} states");
        println!(
            "{fault:?}: not so that {broken}, after {states} states, {:.1?}:\n{trace}",
            started.elapsed()
        );
    }
}

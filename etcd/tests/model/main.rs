//! The protocol of the locks that etcd keeps, explored through every interleaving of a few processes, with
//! [stateright](https://www.stateright.rs).
//!
//! It is the one of `queue.rs`, `claim.rs`, `session.rs`, `leash.rs`, `front.rs` and `keeper.rs` in `src`, written again by
//! hand: a change to them belongs here too, since nothing checks that the two agree. `state.rs` is what a state is,
//! `protocol.rs` what can happen, `steps.rs` what that does, `fault.rs` what can be wrong, and `properties.rs` what must hold.
//!
//! # What is in it
//!
//! - Readers and writers of one lock, each a front, a keeper and a command's process: they go on whenever they like.
//! - Time, in units. Each process counts how long its lock is certain; etcd counts how long its lease lasts, and ends it then
//!   or later. A message takes as long as it likes.
//! - SIGSTOP, SIGCONT and SIGKILL of front or keeper; the command's process may take as long as it likes at each step
//!   before the command runs, and so may be stopped there.
//! - A lease that ends early, or a key that is deleted by hand.
//! - A new leader, and one that was deposed and goes on answering.
//!
//! # What it assumes
//!
//! That of front and keeper one goes on, and is late by less than a unit of time, which is the margin; that the keeper
//! goes on while a lock ends early; that a server is behind by less than that too; and that clocks run alike.
//! `docs/cluster.md` says what comes of it where that is not so.
//!
//! # What is not in it
//!
//! Several locks at once, `try`, `--min-hold`, `clean`, timeouts, an orderly SIGTERM before SIGKILL (the command may end at
//! any moment, or not), the processes that a command starts, and how etcd agrees with itself.

mod fault;
mod properties;
mod protocol;
mod state;
mod steps;

use std::time::Instant;

use stateright::{Checker, HasDiscoveries, Model, Path};

use fault::Fault;
use properties::{DELAYED, DONE, EXCLUSION, LAST_MOMENT, LEASE, ORDER, STOPPED, TOGETHER};
use protocol::Mode::{Read, Write};
use protocol::{Action, Mishaps, Mode, Protocol};
use state::State;

const NONE: Mishaps = Mishaps { kills: 0, stops: 0, revocations: 0, elections: 0 };
const KILL: Mishaps = Mishaps { kills: 1, ..NONE };
const STOP: Mishaps = Mishaps { stops: 1, ..NONE };
const REVOKE: Mishaps = Mishaps { revocations: 1, ..NONE };
const ELECT: Mishaps = Mishaps { elections: 1, ..NONE };

fn configurations() -> Vec<Protocol> {
    [
        (&[Write, Write][..], KILL),
        (&[Write, Write], STOP),
        (&[Write, Write], REVOKE),
        (&[Read, Read], KILL),
        (&[Write, Write], ELECT),
    ]
    .into_iter()
    .map(|(modes, mishaps)| Protocol { modes: modes.to_vec(), mishaps, fault: None })
    .collect()
}

fn trace(path: Path<State, Action>) -> String {
    path.into_actions().iter().fold(String::new(), |trace, action| format!("{trace}    {action:?}\n"))
}

#[test]
fn the_protocol_keeps_its_promises_in_every_interleaving() {
    for protocol in configurations() {
        let Protocol { modes, mishaps, .. } = &protocol;
        let started = Instant::now();
        let checker = protocol.clone().checker().threads(2).finish_when(HasDiscoveries::AnyFailures);
        let checker = checker.spawn_dfs().join();
        println!(
            "{modes:?}, {mishaps:?}: {} states, {:.1?}",
            checker.unique_state_count(),
            started.elapsed()
        );
        for promise in [EXCLUSION, ORDER, STOPPED, LEASE] {
            if let Some(path) = checker.discovery(promise) {
                panic!("{modes:?}, {mishaps:?}: not so that {promise}:\n{}", trace(path));
            }
        }
        let is_seen = |what| checker.discovery(what).is_some();
        assert!(is_seen(DONE) && is_seen(LAST_MOMENT), "{modes:?}, {mishaps:?}");
        assert!(is_seen(TOGETHER) || modes.contains(&Write), "{modes:?}, {mishaps:?}");
        assert!(is_seen(DELAYED) || !modes.contains(&Write), "{modes:?}, {mishaps:?}");
    }
}

/// As far as so many steps: three processes have too many states.
const DEPTH: usize = 12;

#[test]
fn a_reader_and_two_writers_keep_their_order() {
    let modes = vec![Write, Read, Write];
    let protocol = Protocol { modes, mishaps: NONE, fault: None };
    let checker = protocol.checker().threads(2).target_max_depth(DEPTH).spawn_bfs().join();
    println!("{} states", checker.unique_state_count());
    for promise in [EXCLUSION, ORDER, STOPPED, LEASE] {
        if let Some(path) = checker.discovery(promise) {
            panic!("not so that {promise}:\n{}", trace(path));
        }
    }
}

#[test]
fn every_known_fault_is_found() {
    let faults: &[(Fault, &[Mode], Mishaps, &'static str)] = &[
        (Fault::NoDelay, &[Write, Write], REVOKE, EXCLUSION),
        (Fault::ShortDelay, &[Write, Write], REVOKE, EXCLUSION),
        (Fault::LateRecord, &[Write, Write], REVOKE, EXCLUSION),
        (Fault::NotWatched, &[Write, Write], REVOKE, EXCLUSION),
        (Fault::NoLastCheck, &[Write], NONE, STOPPED),
        (Fault::CheckedBeforeKnown, &[Write], NONE, STOPPED),
        (Fault::KeeperOnlyRenews, &[Write], STOP, STOPPED),
        (Fault::FrontOnlyWaits, &[Write], KILL, STOPPED),
        (Fault::NoMargin, &[Write], NONE, STOPPED),
        (Fault::TimeFromAnswer, &[Write], NONE, LEASE),
        (Fault::TermIgnored, &[Write], ELECT, LEASE),
        (Fault::CommandOutlivesFront, &[Write, Write], KILL, EXCLUSION),
        (Fault::NotClosed, &[Write, Write], KILL, EXCLUSION),
        (Fault::BlockerTrusted, &[Write, Write, Write], REVOKE, ORDER),
        (Fault::StrangerBelieved, &[Write, Write], NONE, ORDER),
        (Fault::ReaderPasses, &[Write, Read], NONE, ORDER),
    ];
    for &(fault, modes, mishaps, broken) in faults {
        let protocol = Protocol { modes: modes.to_vec(), mishaps, fault: Some(fault) };
        let started = Instant::now();
        let until = HasDiscoveries::AnyOf([broken].into());
        let checker = protocol.checker().threads(2).finish_when(until).spawn_bfs().join();
        let states = checker.unique_state_count();
        let path = checker.discovery(broken);
        let Some(path) = path else { panic!("{fault:?} with {modes:?}: not found in {states} states") };
        println!(
            "{fault:?}: not so that {broken}, after {states} states, {:.1?}:\n{}",
            started.elapsed(),
            trace(path)
        );
    }
}

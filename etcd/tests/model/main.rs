//! The protocol of the locks that etcd keeps. [stateright](https://www.stateright.rs) explores every interleaving of a few
//! processes.
//!
//! It is the protocol of `queue.rs`, `claim.rs`, `session.rs`, `leash.rs`, `front.rs` and `keeper.rs` in `src`, written again by
//! hand. Nothing checks that the two agree: change them together. `state.rs` defines a state, `protocol.rs` what can happen,
//! `steps.rs` what each event does, `fault.rs` the faults, and `properties.rs` what must hold.
//!
//! # What is in it
//!
//! - Readers and writers of one lock. Each has a front, a keeper and a command's process, which take their steps at any time.
//! - Time, in units. Each process counts down to its deadline. etcd counts down the lease, and ends it at zero or later. A
//!   message may take any time.
//! - SIGSTOP, SIGCONT and SIGKILL of front or keeper. The command's process may take any time for each step before the command
//!   runs, as if it were stopped there.
//! - A lease that ends early, or a key that is deleted by hand.
//! - A new leader, and a deposed one that still answers.
//!
//! # What it assumes
//!
//! One of front and keeper runs, and is late by less than one unit of time, the margin. The keeper runs while a lock ends
//! early. No server lags behind by a unit or more. Clocks run at the same rate. `docs/cluster.md` says what happens
//! otherwise.
//!
//! # What is not in it
//!
//! Several locks at once, `try`, `--min-hold`, `clean`, timeouts, SIGTERM before SIGKILL (the command may end at any moment, or
//! not), the processes that a command starts, and the consensus of etcd.

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

/// How many steps to explore: three processes have too many states.
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

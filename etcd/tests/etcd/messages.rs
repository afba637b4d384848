//! Messages.

use std::process::Command;

use crate::cluster::shared;
use crate::common::{eventually, typed};

#[test]
fn a_wait_is_told_of_with_v_at_once_and_so_are_its_ends() {
    let Some(etcd) = shared() else { return };
    let holder = typed(etcd, "run --label nightly --write", "told").hold();
    let waiter = typed(etcd, "run -v --read", "told").command(["true"]).start();
    let host = Command::new("uname").arg("-n").output().expect("uname").stdout;
    let host = String::from_utf8_lossy(&host).trim().to_owned();
    let expected =
        format!("gtlock: told: waiting: held for writing by {} on {host} (nightly) for ", holder.pid());
    let said = waiter.said();
    assert!(said.starts_with(&expected), "{said}");
    assert_eq!(holder.release(), 0);
    assert!(waiter.said().starts_with("gtlock: told: locked for reading after "));
    assert!(waiter.said().starts_with("gtlock: told: held for "));
    assert_eq!(waiter.release(), 0);
}

#[test]
fn an_uncontended_run_says_nothing() {
    let Some(etcd) = shared() else { return };
    typed(etcd, "run --write", "silent").command(["echo", "hi"]).end().code(0).silent().stdout("hi\n");
}

#[test]
fn endpoints_that_cannot_be_reached_are_named_with_their_errors() {
    let Some(etcd) = shared() else { return };
    let wrong = |options, at: &str| {
        let mut launch = typed(etcd, options, "x").command(["true"]);
        launch.0.env("GTLOCK_AT", at);
        launch.end()
    };
    let refused = wrong("try --write", "etcd://127.0.0.1:1,127.0.0.1:2");
    refused.code(125).stderr("127.0.0.1:1: Connection refused").stderr("127.0.0.1:2: Connection refused");
    // Never reported as busy, whatever -E says.
    wrong("run -E 0 --timeout 100ms --write", "etcd://127.0.0.1:1").code(125);
    wrong("run --write", "redis://127.0.0.1:1").code(125).stderr("give etcd://HOST:PORT");
    wrong("run --write", "etcd://127.0.0.1").code(125).stderr("'127.0.0.1' is not HOST:PORT");
}

#[test]
fn one_endpoint_of_several_is_enough() {
    let Some(etcd) = shared() else { return };
    let at = etcd.at().replace("etcd://", "etcd://127.0.0.1:1,");
    for _ in 0..4 {
        let mut launch = typed(etcd, "run --write", "enough").command(["true"]);
        launch.0.env("GTLOCK_AT", &at);
        launch.end().code(0);
    }
}

#[test]
fn an_old_etcd_is_warned_of_unless_q_is_given() {
    let Some(etcd) = shared() else { return };
    let version = etcd.ctl(&["endpoint", "status", "-w", "json"]).expect("etcdctl answers");
    if !version.contains("\"version\":\"3.4.23\"") {
        return crate::common::skip("the warning about an old etcd", "another version");
    }
    // The keeper asks for the version while the command runs, and the command may end first.
    eventually("it is warned of", || {
        let end = typed(etcd, "run --write", "old").command(["true"]).end().code(0);
        end.raw().contains("etcd 3.4.23 can end leases early; 3.4.42, 3.5.28 or 3.6.9 and later do not")
    });
    let end = typed(etcd, "run -q --write", "old").command(["sleep", "0.1"]).end().code(0);
    assert_eq!(end.raw(), "");
}

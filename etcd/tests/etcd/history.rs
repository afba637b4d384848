//! The entries in the log about locks of etcd.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::cluster::{Cluster, shared};
use crate::common::{Launch, scratch, typed};

/// The lines of a log.
fn lines(log: &Path) -> Vec<Value> {
    let text = fs::read_to_string(log).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// A gtlock that writes to the log.
fn logged(etcd: &Cluster, options: &str, log: &Path, name: &str) -> Launch {
    let mut launch = typed(etcd, options, name);
    launch.0.env("GTLOCK_LOG", log);
    launch
}

#[test]
fn a_lock_that_is_released_or_was_not_obtained_leaves_a_line() {
    let Some(etcd) = shared() else { return };
    let (_dir, log) = scratch();
    let holder = typed(etcd, "run --label nightly --write", "logged").hold();
    let pid = holder.gtlock.id();
    logged(etcd, "try -q --write", &log, "logged").command(["true"]).end().code(75);
    logged(etcd, "run -q --timeout 50ms --read", &log, "logged").command(["true"]).end().code(75);
    let mut waiter = logged(etcd, "run -v --write", &log, "logged").command(["sh", "-c", "exit 3"]).start();
    assert!(waiter.said().contains("waiting: "), "it knows the holder by then");
    assert_eq!(holder.release(), 0);
    assert_eq!(waiter.code(), 3);
    let lines = lines(&log);
    let of = |field: &str| lines.iter().map(|line| line[field].clone()).collect::<Vec<_>>();
    assert_eq!(of("outcome"), ["refused", "timed-out", "released"]);
    assert_eq!(of("mode"), ["write", "read", "write"]);
    assert_eq!(of("exit"), [Value::Null, Value::Null, json!(3)]);
    assert_eq!(of("data"), ["logged", "logged", "logged"]);
    assert!(of("lock").iter().all(|lock| {
        lock.as_str().is_some_and(|lock| lock.starts_with("etcd://") && lock.ends_with("/logged"))
    }));
    for holder in of("holder") {
        assert_eq!((&holder["pid"], &holder["label"]), (&json!(pid), &json!("nightly")));
        assert!(holder["host"].is_string(), "{holder}");
    }
}

#[test]
fn a_lock_that_was_lost_is_told_apart() {
    let Some(etcd) = shared() else { return };
    let (_dir, log) = scratch();
    let mut holder = logged(etcd, "run -q --ttl 60s --write", &log, "logged-lost").hold();
    etcd.ctl(&["del", "--prefix", "/gtlock/q/logged-lost/"]).expect("etcdctl deletes it");
    assert_eq!(holder.code(), 76);
    let lines = lines(&log);
    assert_eq!((&lines[0]["outcome"], &lines[0]["exit"]), (&json!("lost"), &json!(76)));
}

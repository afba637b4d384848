//! Faults: each row of the table of failures in docs/cluster.md.
//!
//! Each command writes the time, by the clock of the machine. The last time of the first command must be before the first
//! time of the second: then they never ran at once.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::cluster::{Cluster, shared};
use crate::common::{Running, TIME, eventually, last_beat, scratch, typed, waiters};

/// The time to live of the locks that get lost.
const TTL: Duration = Duration::from_secs(5);

/// A request that waits for a lock. Its command prints the time.
fn next(etcd: &Cluster, name: &str) -> Running {
    typed(etcd, "run --ttl 60s --write", name).command(TIME).start()
}

/// The lease of the holder of a lock.
#[track_caller]
fn lease(etcd: &Cluster, name: &str) -> String {
    let first =
        ["get", "--prefix", "--keys-only", "--sort-by=CREATE", "--limit=1", &format!("/gtlock/q/{name}/")];
    let key = etcd.ctl(&first).expect("etcdctl answers");
    key.trim().rsplit_once('/').expect("the key of a place").1.to_owned()
}

/// Asserts that the command that writes into `beats` ended before the next one started.
#[track_caller]
fn assert_apart(next: &mut Running, beats: &Path) {
    let start: f64 = next.line().parse().expect("a time");
    assert_eq!(next.code(), 0);
    let end = last_beat(beats);
    assert!(end < start, "one wrote at {end}, the next started at {start}");
}

#[test]
fn when_the_front_is_killed_its_command_is_ended_and_the_lock_released_before_its_time() {
    let Some(etcd) = shared() else { return };
    let (_dir, beats) = scratch();
    // The lease lasts for an hour: the test would not wait for its end.
    let mut holder = typed(etcd, "run --ttl 1h --write", "front-killed").beat(&beats, true);
    let mut next = next(etcd, "front-killed");
    waiters(etcd, "front-killed", 1);
    holder.gtlock.kill().expect("it runs");
    holder.status();
    assert_apart(&mut next, &beats);
}

#[test]
fn a_command_that_left_its_session_and_its_parents_is_ended_too() {
    let Some(etcd) = shared() else { return };
    let (_dir, beats) = scratch();
    let script = r#"
        perl -MTime::HiRes=clock_gettime,usleep -MPOSIX=setsid -e '
            fork and exit; setsid; fork and exit;
            open my $beats, ">", $ARGV[0]; syswrite STDOUT, "beats\n";
            while (1) { sysseek $beats, 0, 0; syswrite $beats, sprintf "%020.6f", clock_gettime(7); usleep 1000 }
        ' "$0"
        cat"#;
    let command = ["sh".as_ref(), "-c".as_ref(), script.as_ref(), beats.as_os_str()];
    let mut holder = typed(etcd, "run --ttl 1h --write", "daemon-killed").command(command).start();
    assert_eq!(holder.line(), "beats");
    let mut next = next(etcd, "daemon-killed");
    waiters(etcd, "daemon-killed", 1);
    holder.gtlock.kill().expect("it runs");
    holder.status();
    assert_apart(&mut next, &beats);
}

#[test]
fn a_front_that_is_stopped_keeps_its_lock() {
    let Some(etcd) = shared() else { return };
    let mut holder = typed(etcd, "run --ttl 3s --write", "front-stopped").hold();
    holder.signal(Signal::SIGSTOP);
    thread::sleep(Duration::from_secs(5)); // longer than an unrenewed lease lasts
    typed(etcd, "try --write", "front-stopped").command(["true"]).end().code(75);
    holder.signal(Signal::SIGCONT);
    holder.prove_held();
    assert_eq!(holder.release(), 0);
}

/// Asserts that the command is stopped before the next one starts, when `cut` keeps the keeper from renewing.
#[track_caller]
fn lost_in_time(etcd: &Cluster, name: &str, cut: impl FnOnce(&Running)) {
    let (_dir, beats) = scratch();
    let ttl = humantime(TTL);
    let mut holder = typed(etcd, &format!("run --ttl {ttl} --write"), name).beat(&beats, true);
    let mut next = next(etcd, name);
    waiters(etcd, name, 1);
    cut(&holder);
    assert_apart(&mut next, &beats);
    assert_eq!(holder.code(), 76);
    assert!(holder.said().contains("the lock was lost (no answer from etcd for "));
}

fn humantime(time: Duration) -> String {
    format!("{}s", time.as_secs())
}

#[test]
fn when_the_keeper_is_stopped_the_front_stops_the_command_in_time() {
    let Some(etcd) = shared() else { return };
    let mut keeper = None;
    lost_in_time(etcd, "keeper-stopped", |holder| {
        keeper = Some(holder.keeper());
        kill(holder.keeper(), Signal::SIGSTOP).expect("it lives");
    });
    kill(keeper.expect("it was stopped"), Signal::SIGKILL).expect("it is still there");
}

#[test]
fn when_the_keeper_is_killed_the_front_stops_the_command_in_time() {
    let Some(etcd) = shared() else { return };
    lost_in_time(etcd, "keeper-killed", |holder| {
        kill(holder.keeper(), Signal::SIGKILL).expect("it lives");
    });
}

#[test]
fn when_a_key_is_deleted_by_hand_the_next_waits_until_the_command_is_stopped() {
    let Some(etcd) = shared() else { return };
    let (_dir, beats) = scratch();
    // It ignores SIGTERM, and so ends after `--grace`.
    let mut holder = typed(etcd, "run --ttl 60s --grace 1s --write", "deleted").beat(&beats, true);
    let mut next = next(etcd, "deleted");
    waiters(etcd, "deleted", 1);
    etcd.ctl(&["del", &format!("/gtlock/q/deleted/w/{}", lease(etcd, "deleted"))])
        .expect("etcdctl deletes it");
    assert_apart(&mut next, &beats);
    assert_eq!(holder.code(), 76);
    assert!(holder.said().contains("the lock was lost (its key in etcd is gone); the command was stopped"));
}

#[test]
fn when_the_lease_is_revoked_the_next_waits_until_the_command_is_stopped() {
    let Some(etcd) = shared() else { return };
    let (_dir, beats) = scratch();
    let mut holder = typed(etcd, "run --ttl 60s --grace 1s --write", "revoked").beat(&beats, true);
    let mut next = next(etcd, "revoked");
    waiters(etcd, "revoked", 1);
    etcd.ctl(&["lease", "revoke", &lease(etcd, "revoked")]).expect("etcdctl revokes it");
    assert_apart(&mut next, &beats);
    assert_eq!(holder.code(), 76);
}

#[test]
fn when_the_front_is_stopped_the_keeper_stops_the_command_of_a_lock_that_is_lost() {
    let Some(etcd) = shared() else { return };
    let (_dir, beats) = scratch();
    let mut holder = typed(etcd, "run --ttl 60s --grace 1s --write", "front-asleep").beat(&beats, true);
    let mut next = next(etcd, "front-asleep");
    waiters(etcd, "front-asleep", 1);
    holder.signal(Signal::SIGSTOP);
    etcd.ctl(&["lease", "revoke", &lease(etcd, "front-asleep")]).expect("etcdctl revokes it");
    assert_apart(&mut next, &beats);
    holder.signal(Signal::SIGCONT);
    assert_eq!(holder.code(), 76);
}

#[test]
fn a_command_that_ends_when_it_is_asked_to_ends_at_once_when_its_key_is_deleted() {
    let Some(etcd) = shared() else { return };
    let (_dir, beats) = scratch();
    // Without SIGTERM it would run for an hour more.
    let mut holder = typed(etcd, "run --ttl 2h --grace 1h --write", "asked").beat(&beats, false);
    etcd.ctl(&["del", "--prefix", "/gtlock/q/asked/"]).expect("etcdctl deletes it");
    assert_eq!(holder.code(), 76);
    eventually("it has released all the same", || etcd.keys("/gtlock/held/asked/").is_empty());
}

#[test]
fn cut_off_from_all_endpoints_a_command_is_stopped_before_its_lease_ends() {
    let Some(etcd) = Cluster::alone(1) else { return };
    let (_dir, beats) = scratch();
    let ttl = humantime(TTL);
    let mut holder = typed(&etcd, &format!("run --ttl {ttl} --write"), "cut").beat(&beats, true);
    let mut next = next(&etcd, "cut");
    waiters(&etcd, "cut", 1);
    etcd.signal(0, Signal::SIGSTOP);
    let stopped = last_beat(&beats);
    assert_eq!(holder.code(), 76);
    // The last renewal was before etcd was stopped.
    let lasted = last_beat(&beats) - stopped;
    assert!(lasted < TTL.as_secs_f64(), "it went on for {lasted} s");
    etcd.signal(0, Signal::SIGCONT);
    assert_apart(&mut next, &beats);
}

#[test]
fn a_leader_that_is_killed_costs_nobody_the_lock() {
    let Some(mut etcd) = Cluster::alone(3) else { return };
    let mut holder = typed(&etcd, "run --ttl 15s --write", "leader").hold();
    let mut next = next(&etcd, "leader");
    waiters(&etcd, "leader", 1);
    let leader = etcd.leader();
    etcd.kill(leader);
    assert_ne!(etcd.leader(), leader);
    typed(&etcd, "try --write", "leader").command(["true"]).end().code(75);
    thread::sleep(Duration::from_secs(16)); // longer than an unrenewed lease lasts
    holder.prove_held();
    assert_eq!(holder.release(), 0);
    assert_eq!(next.code(), 0);
}

#[test]
fn without_a_majority_a_command_is_stopped_in_time_and_waiters_go_on_waiting() {
    let Some(mut etcd) = Cluster::alone(3) else { return };
    let (_dir, beats) = scratch();
    let ttl = humantime(TTL);
    let mut holder = typed(&etcd, &format!("run --ttl {ttl} --write"), "majority").beat(&beats, true);
    let mut next = next(&etcd, "majority");
    waiters(&etcd, "majority", 1);
    etcd.kill(0);
    etcd.kill(1);
    assert_eq!(holder.code(), 76);
    etcd.launch(0);
    etcd.launch(1);
    assert_apart(&mut next, &beats);
}

#[test]
fn an_etcd_that_starts_again_with_its_data_has_the_lock_and_the_queue() {
    let Some(mut etcd) = Cluster::alone(1) else { return };
    let mut holder = typed(&etcd, "run --ttl 60s --write", "restart").hold();
    let mut next = next(&etcd, "restart");
    waiters(&etcd, "restart", 1);
    etcd.kill(0);
    etcd.launch(0);
    waiters(&etcd, "restart", 1);
    holder.prove_held();
    assert_eq!(holder.release(), 0);
    assert_eq!(next.code(), 0);
}

#[test]
fn a_command_that_is_stopped_alone_stops_nothing_else() {
    let Some(etcd) = shared() else { return };
    let mut holder = typed(etcd, "run --write", "alone-stopped").hold();
    let keeper = holder.keeper();
    let command = holder.children().into_iter().find(|&child| child != keeper).expect("it has one");
    let state = |process: Pid| {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).expect("it lives");
        stat.rsplit_once(") ").expect("a name before it").1.chars().next()
    };
    kill(command, Signal::SIGSTOP).expect("it lives");
    eventually("the command is stopped", || state(command) == Some('T'));
    thread::sleep(Duration::from_millis(200)); // in which gtlock would stop too
    kill(command, Signal::SIGCONT).expect("it lives");
    holder.prove_held();
    assert_ne!(state(holder.pid()), Some('T'));
    assert_eq!(holder.release(), 0);
}

#[test]
fn a_command_that_slept_with_its_machine_is_killed_when_they_wake_up() {
    let Some(etcd) = shared() else { return };
    let (_dir, beats) = scratch();
    let mut holder = typed(etcd, "run --ttl 3s --write", "asleep").beat(&beats, true);
    let machine = [holder.children(), vec![holder.pid()]].concat();
    for &process in &machine {
        kill(process, Signal::SIGSTOP).expect("it lives");
    }
    let mut next = typed(etcd, "run --write", "asleep").hold();
    for &process in &machine {
        kill(process, Signal::SIGCONT).expect("it lives");
    }
    assert_eq!(holder.code(), 76);
    // It may have run for a moment: that is what docs/cluster.md does not promise. It does not any more.
    let end = last_beat(&beats);
    thread::sleep(Duration::from_millis(50));
    assert_eq!(last_beat(&beats).to_bits(), end.to_bits());
    next.prove_held();
    assert_eq!(next.release(), 0);
}

#[test]
fn without_space_new_requests_are_refused_and_held_locks_go_on() {
    let Some(mut etcd) = Cluster::alone(1) else { return };
    etcd.restart_with(0, "--quota-backend-bytes=200000");
    let mut holder = typed(&etcd, "run --ttl 3s --write", "full").hold();
    let mut next = next(&etcd, "full");
    waiters(&etcd, "full", 1);
    let value = "x".repeat(50_000);
    eventually("etcd is full", || etcd.ctl(&["put", "/filler", &value]).is_none());
    let refused = typed(&etcd, "run --write", "other").command(["true"]).end();
    refused.code(125).stderr("etcd refused: etcdserver: mvcc: database space exceeded");
    thread::sleep(Duration::from_secs(4)); // longer than an unrenewed lease lasts
    holder.prove_held();
    assert_eq!(holder.release(), 0);
    assert_eq!(next.code(), 0);
    assert_eq!(etcd.keys("/gtlock/"), "");
}

#[test]
fn a_waiter_whose_second_process_is_killed_queues_again() {
    let Some(etcd) = shared() else { return };
    let holder = typed(etcd, "run --write", "again").hold();
    let mut waiter = typed(etcd, "run --ttl 3s --write", "again").command(["true"]).start();
    let mut limited = typed(etcd, "run --ttl 3s --timeout 3s --write", "again").command(["true"]).start();
    waiters(etcd, "again", 2);
    for waiter in [&waiter, &limited] {
        kill(waiter.keeper(), Signal::SIGKILL).expect("it lives");
    }
    assert_eq!(limited.status().code(), Some(75));
    assert_eq!(holder.release(), 0);
    assert!(waiter.status().success());
}

#[test]
fn a_waiter_whose_lease_has_ended_queues_again() {
    let Some(etcd) = shared() else { return };
    let holder = typed(etcd, "run --write", "expired").hold();
    let mut waiter = typed(etcd, "run --ttl 3s --write", "expired").command(["true"]).start();
    waiters(etcd, "expired", 1);
    kill(waiter.keeper(), Signal::SIGSTOP).expect("it lives");
    waiters(etcd, "expired", 0);
    kill(waiter.keeper(), Signal::SIGCONT).expect("it lives");
    waiters(etcd, "expired", 1);
    assert_eq!(holder.release(), 0);
    assert_eq!(waiter.code(), 0);
}

#[test]
fn a_front_that_is_stopped_before_the_start_does_not_start_what_has_no_lock() {
    let Some(etcd) = shared() else { return };
    let (dir, beats) = scratch();
    let holder = typed(etcd, "run --write", "late-start").hold();
    let mut late = typed(etcd, "run --ttl 3s --write", "late-start")
        .command(["sh".as_ref(), "-c".as_ref(), r#"touch "$0"; sleep 5"#.as_ref(), beats.as_os_str()])
        .start();
    waiters(etcd, "late-start", 1);
    let keeper = late.keeper();
    late.signal(Signal::SIGSTOP);
    assert_eq!(holder.release(), 0);
    eventually("the keeper says that the lock is held", || {
        let records = etcd.ctl(&["get", "--prefix", "--print-value-only", "/gtlock/held/late-start/"]);
        records.is_some_and(|records| records.contains("since"))
    });
    kill(keeper, Signal::SIGSTOP).expect("it lives");
    eventually("its lease has ended", || etcd.keys("/gtlock/q/late-start/").is_empty());
    late.signal(Signal::SIGCONT);
    assert_eq!(late.code(), 76);
    assert!(!beats.exists(), "the command was started without the lock");
    kill(keeper, Signal::SIGKILL).expect("it is still there");
    drop(dir);
}

//! Locks that are held longer than the command runs.

use crate::cluster::shared;
use crate::common::{eventually, typed};

#[test]
fn a_job_on_several_machines_runs_once() {
    let Some(etcd) = shared() else { return };
    let job =
        || typed(etcd, "try -q -E 0 --min-hold 60s --write", "once").command(["echo", "ran"]).end().code(0);
    let ran: String = [job(), job(), job()].iter().map(crate::common::End::printed).collect();
    assert_eq!(ran, "ran\n");
}

#[test]
fn the_cluster_lets_go_of_it_by_itself() {
    let Some(etcd) = shared() else { return };
    typed(etcd, "run --min-hold 3s --write", "by-itself").command(["true"]).end().code(0);
    typed(etcd, "try --write", "by-itself").end().code(75);
    eventually("the lock is free", || typed(etcd, "try --write", "by-itself").end().is_success());
    // And it was no accident, which the next would have to wait out.
    assert_eq!(etcd.keys("/gtlock/held/by-itself/"), "");
}

#[test]
fn a_command_that_cannot_be_run_is_not_held_for() {
    let Some(etcd) = shared() else { return };
    typed(etcd, "run --min-hold 60s --write", "no-such").command(["/no/such"]).end().code(127);
    typed(etcd, "try --write", "no-such").end().code(0);
}

#[test]
fn a_longer_command_is_not_held_up() {
    let Some(etcd) = shared() else { return };
    let holder = typed(etcd, "run --min-hold 1ms --write", "longer").hold();
    assert_eq!(holder.release(), 0);
    typed(etcd, "try --write", "longer").end().code(0);
}

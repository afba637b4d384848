//! Locks that are held longer than the command runs.

use std::process::Child;

use crate::cluster::shared;
use crate::common::{End, as_shell, eventually, page, typed};

#[test]
fn a_job_on_several_machines_runs_once() {
    let Some(etcd) = shared() else { return };
    let job =
        page().lines().find_map(|line| line.strip_prefix("0 3 * * *").map(str::trim).map(str::to_owned));
    let job = job.expect("docs/cluster.md has the line of a crontab");
    assert!(job.contains("gtlock try ") && job.contains("-E 0") && job.contains("--min-hold 50s"), "{job}");
    let job = job.replace("/srv/town/nightly.sh", "echo ran");
    let cron = || as_shell(etcd, &job).spawn().expect("sh starts");
    // Three machines at the same time; then one whose clock is behind, when the job has ended already.
    let together = [cron(), cron(), cron()];
    let end = |cron: Child| End(cron.wait_with_output().expect("it ends")).code(0).silent().printed();
    let mut ran: String = together.into_iter().map(end).collect();
    ran += &end(cron());
    assert_eq!(ran, "ran\n");
}

#[test]
fn the_cluster_lets_go_of_it_by_itself() {
    let Some(etcd) = shared() else { return };
    typed(etcd, "run --min-hold 3s --write", "by-itself").command(["true"]).end().code(0);
    typed(etcd, "try --write", "by-itself").end().code(75);
    eventually("the lock is free", || typed(etcd, "try --write", "by-itself").end().is_success());
    // It left no record, so the next holder has no delay.
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

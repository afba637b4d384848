//! Requests that do not wait, or not for ever.

use std::time::{Duration, Instant};

use crate::cluster::shared;
use crate::common::{gtlock, typed, waiters};

#[test]
fn try_exits_75_at_once_while_somebody_holds_and_leaves_no_key() {
    let Some(etcd) = shared() else { return };
    let holder = typed(etcd, "run --write", "try").hold();
    typed(etcd, "try --write", "try")
        .command(["true"])
        .end()
        .code(75)
        .stderr("try: busy: held for writing by ");
    typed(etcd, "try -q -E 9 --write", "try").command(["true"]).end().code(9).silent();
    assert_eq!(etcd.keys("/gtlock/q/try/").lines().count(), 1);
    assert_eq!(holder.release(), 0);
    assert_eq!(etcd.keys("/gtlock/q/try/"), "");
}

#[test]
fn try_without_a_command_tells_whether_the_lock_could_be_taken() {
    let Some(etcd) = shared() else { return };
    typed(etcd, "try --write", "ask").end().code(0).silent();
    let holder = typed(etcd, "run --read", "ask").hold();
    typed(etcd, "try --read", "ask").end().code(0).silent();
    typed(etcd, "try --write", "ask").end().code(75).stderr("ask: busy: held for reading by ");
    assert_eq!(holder.release(), 0);
}

#[test]
fn try_is_refused_while_somebody_waits() {
    let Some(etcd) = shared() else { return };
    let holder = typed(etcd, "run --read", "behind").hold();
    let mut writer = typed(etcd, "run --write", "behind").command(["true"]).start();
    waiters(etcd, "behind", 1);
    typed(etcd, "try --read", "behind").command(["true"]).end().code(75);
    assert_eq!(holder.release(), 0);
    assert_eq!(writer.code(), 0);
}

#[test]
fn a_wait_that_is_given_up_leaves_no_key() {
    let Some(etcd) = shared() else { return };
    let holder = typed(etcd, "run --write", "late").hold();
    let started = Instant::now();
    let end = typed(etcd, "run --timeout 300ms --write", "late").command(["true"]).end();
    assert!(started.elapsed() >= Duration::from_millis(300));
    end.code(75).stderr("late: timed out after ").stderr(": held for writing by ");
    crate::common::eventually("its key is gone", || etcd.keys("/gtlock/q/late/").lines().count() == 1);
    assert_eq!(holder.release(), 0);
}

#[test]
fn a_waiter_that_is_killed_is_passed_by() {
    let Some(etcd) = shared() else { return };
    let holder = typed(etcd, "run --ttl 60s --write", "killed").hold();
    let mut waiter = typed(etcd, "run --ttl 60s --write", "killed").command(["true"]).start();
    waiters(etcd, "killed", 1);
    waiter.gtlock.kill().expect("it runs");
    waiter.status();
    waiters(etcd, "killed", 0);
    assert_eq!(holder.release(), 0);
}

#[test]
fn what_there_is_on_one_machine_only_is_refused() {
    let Some(etcd) = shared() else { return };
    for (options, why) in [
        ("run --direct --write f -- true", "--direct is for files of this machine"),
        ("run --write-fd 1 -- true", "descriptors lock files of this machine"),
        ("run --lock-dir d --write f -- true", "--lock-dir is a directory of this machine"),
        ("run -F --write f -- true", "--no-fork does not go with --at"),
        ("run --retry-delay 1s --write f -- true", "--retry-delay does not go with --at"),
        ("run --slots 2 --read f -- true", "--slots does not go with --at"),
        ("run --max-waiters 2 --read f -- true", "--max-waiters does not go with --at"),
        ("run --ttl 1s --write f -- true", "give at least 3s"),
        ("run --grace 9s --write f -- true", "--grace is more than half of --ttl"),
        ("status -R", "--direct and -R are for files of this machine"),
        ("clean .gastown/locks", "lock files are cleaned on this machine"),
    ] {
        let output = gtlock(etcd).args(options.split(' ')).output().expect("gtlock starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(125) && said.contains(why), "{options}: {said}");
    }
}

#[test]
fn a_lock_of_an_ancestor_is_an_error_and_no_wait() {
    let Some(etcd) = shared() else { return };
    let inner = [env!("CARGO_BIN_EXE_gtlock-etcd"), "run", "--read", "nested", "--", "true"];
    typed(etcd, "run --write", "nested").command(inner).end().code(125).stderr("nested: already locked");
    let other = [env!("CARGO_BIN_EXE_gtlock-etcd"), "run", "--read", "nested-other", "--", "true"];
    typed(etcd, "run --write", "nested").command(other).end().code(0);
}

#[test]
fn a_lock_of_an_ancestor_is_an_error_though_somebody_else_waits_between() {
    let Some(etcd) = shared() else { return };
    let inner = r#"read line; echo "$line"; read line; exec "$0" run --read nested-between -- true"#;
    let mut outer = typed(etcd, "run --read", "nested-between")
        .command(["sh", "-c", inner, env!("CARGO_BIN_EXE_gtlock-etcd")])
        .start();
    outer.prove_held();
    let mut between = typed(etcd, "run --write", "nested-between").command(["true"]).start();
    waiters(etcd, "nested-between", 1);
    assert_eq!(outer.release(), 125);
    assert_eq!(between.code(), 0);
}

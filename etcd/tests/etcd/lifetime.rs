//! The command, how it ends, and the processes that it leaves behind.

use std::os::unix::process::ExitStatusExt;

use nix::sys::signal::Signal;

use crate::cluster::shared;
use crate::common::{eventually, scratch, status_of, typed};

#[test]
fn gtlock_ends_as_its_command_does() {
    let Some(etcd) = shared() else { return };
    typed(etcd, "run --write", "ends").command(["sh", "-c", "exit 7"]).end().code(7);
    typed(etcd, "run --write", "ends").command(["/no/such"]).end().code(127).stderr("command not found");
    typed(etcd, "run --write", "ends").command(["/"]).end().code(126);
    let mut killed = typed(etcd, "run --write", "ends").command(["sh", "-c", "kill -9 $$"]).start();
    assert_eq!(killed.status().signal(), Some(9));
    typed(etcd, "try --write", "ends").end().code(0);
}

#[test]
fn signals_are_passed_on_and_the_lock_is_released_when_the_command_has_ended() {
    let Some(etcd) = shared() else { return };
    let script = "trap 'echo asked; exit 3' TERM; echo ready; while :; do sleep 0.01; done";
    let mut run = typed(etcd, "run --write", "passed").command(["sh", "-c", script]).start();
    assert_eq!(run.line(), "ready");
    run.signal(Signal::SIGTERM);
    assert_eq!(run.line(), "asked");
    assert_eq!(run.code(), 3);
    eventually("the lock is free", || typed(etcd, "try --write", "passed").end().is_success());
}

#[test]
fn max_hold_ends_a_command() {
    let Some(etcd) = shared() else { return };
    let end = typed(etcd, "run --max-hold 100ms --write", "max").command(["sleep", "600"]).end();
    end.code(124).stderr("(--max-hold)");
    eventually("the lock is free", || typed(etcd, "try --write", "max").end().is_success());
}

#[test]
fn what_a_command_leaves_when_it_is_cut_off_keeps_the_lock() {
    let Some(etcd) = shared() else { return };
    let (_dir, file) = scratch();
    // A step of a script that ignores SIGTERM, which ends the script.
    let script = r#"(trap "" TERM; echo step; until [ -e "$0" ]; do sleep 0.01; done) & wait"#;
    let command = ["sh".as_ref(), "-c".as_ref(), script.as_ref(), file.as_os_str()];
    let mut run = typed(etcd, "run --write", "cut-off").command(command).start();
    assert_eq!(run.line(), "step");
    run.signal(Signal::SIGTERM);
    assert!(run.said().contains("cut-off: the command was cut off; the lock stays with "));
    assert_eq!(run.status().signal(), Some(15));
    typed(etcd, "try --write", "cut-off").end().code(75);
    std::fs::write(&file, "").expect("it can be written");
    eventually("the lock is free", || typed(etcd, "try --write", "cut-off").end().is_success());
}

#[test]
fn a_daemon_does_not_keep_the_lock_of_a_command_that_ended_by_itself() {
    let Some(etcd) = shared() else { return };
    let (_dir, file) = scratch();
    // It ends when the test removes its directory.
    let script = r#"(while [ -d "${0%/*}" ]; do sleep 0.01; done) > /dev/null 2>&1 & exit 0"#;
    let command = ["sh".as_ref(), "-c".as_ref(), script.as_ref(), file.as_os_str()];
    typed(etcd, "run --write", "daemon").command(command).end().code(0).silent();
    typed(etcd, "try --write", "daemon").end().code(0);
}

#[test]
fn a_command_finds_its_lock_in_the_environment() {
    let Some(etcd) = shared() else { return };
    let script =
        r#"case "$GTLOCK_HELD" in *@*) echo "$GTLOCK_FENCE" | grep -q '^[0-9][0-9]*$' && echo yes;; esac"#;
    typed(etcd, "run --write", "found").command(["sh", "-c", script]).end().code(0).stdout("yes\n");
}

#[test]
fn a_holder_gives_its_label_to_others() {
    let Some(etcd) = shared() else { return };
    let holder = typed(etcd, "run --label nightly --write", "label").hold();
    assert_eq!(status_of(etcd, "label")["holders"][0]["label"], "nightly");
    typed(etcd, "try --write", "label").end().code(75).stderr("(nightly)");
    assert_eq!(holder.release(), 0);
}

#[test]
fn a_command_may_be_of_any_length() {
    let Some(etcd) = shared() else { return };
    let word = "x".repeat(100_000);
    let words = ["sh", "-c", "exec cat", "sh"].into_iter().chain([&*word; 15]);
    let mut holder = typed(etcd, "run --write", "long").command(words).start();
    holder.prove_held();
    let shown = status_of(etcd, "long")["holders"][0]["command"].to_string();
    assert!(shown.contains("exec cat") && shown.len() < 5000, "{} bytes", shown.len());
    assert_eq!(holder.release(), 0);
}

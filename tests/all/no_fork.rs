//! `--no-fork`: gtlock becomes the command.
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Stdio;

use crate::common::{
    Holder, LISTEN, Lines, assert_free, assert_held, data, end_of, gtlock, gtlock_process, lock_file,
    process, shell, status_of, to_its_end, typed,
};
use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use predicates::prelude::*;

/// `gtlock run --no-fork` on a data file, to be given a command.
fn no_fork(data: &Path) -> assert_cmd::Command {
    let mut gtlock = gtlock();
    gtlock.args(["run", "--no-fork", "--write"]).arg(data).arg("--");
    gtlock
}

#[test]
fn the_command_has_the_process_id_of_gtlock_and_its_parent() {
    let (_dir, data) = data();
    let mut gtlock = gtlock_process();
    gtlock.args(["run", "-F", "--write"]).arg(&data).args(["--", "sh", "-c", "echo $$ $PPID"]);
    let mut gtlock = gtlock.stdout(Stdio::piped()).spawn().expect("it starts");
    let printed = Lines::of(gtlock.stdout.take().expect("it is piped")).line();
    assert_eq!(printed, format!("{} {}", gtlock.id(), std::process::id()));
    assert!(end_of(&mut gtlock).success());
}

#[test]
fn the_lock_is_held_while_the_command_runs_and_names_it() {
    let (_dir, data) = data();
    let holder = typed("run -F --write", &data).hold();
    assert_held(&data);
    let lock = status_of(&data);
    assert_eq!(lock["holders"][0]["pid"], holder.pid());
    assert_eq!(lock["holders"][0]["command"], serde_json::json!(["cat"]));
    assert!(holder.release().success());
    assert_free(&data);
}

#[test]
fn the_exit_code_and_the_signal_are_the_commands_own() {
    let (_dir, data) = data();
    for code in [0, 1, 75, 125, 255] {
        no_fork(&data).args(["sh", "-c", &format!("exit {code}")]).assert().code(code).stderr("");
    }
    let mut gtlock = gtlock_process();
    gtlock.args(["run", "-F", "--write"]).arg(&data).args(["--", "sh", "-c", "kill -TERM $$"]);
    assert_eq!(end_of(&mut gtlock.spawn().expect("it starts")).signal(), Some(libc::SIGTERM));
}

#[test]
fn signals_go_to_the_command_itself() {
    let (_dir, data) = data();
    let mut gtlock = gtlock_process();
    gtlock.args(["run", "-F", "--write"]).arg(&data).args(["--", "perl", "-MPOSIX", "-e", LISTEN]);
    let mut gtlock = gtlock.stdout(Stdio::piped()).spawn().expect("it starts");
    let heard = Lines::of(gtlock.stdout.take().expect("it is piped"));
    let pid = Pid::from_raw(gtlock.id().try_into().expect("a process ID"));
    assert!(heard.line().starts_with(&format!("{pid} ")));
    for (signal, name) in [(Signal::SIGTERM, "TERM"), (Signal::SIGUSR1, "USR1"), (Signal::SIGHUP, "HUP")] {
        kill(pid, signal).expect("it is there");
        assert_eq!(heard.line(), name);
    }
    kill(pid, Signal::SIGKILL).expect("it is there");
    assert_eq!(end_of(&mut gtlock).signal(), Some(libc::SIGKILL));
    assert_free(&data);
}

#[test]
fn the_lock_lasts_until_the_last_inheritor_ends() {
    let (_dir, data) = data();
    // The command ends at once, and leaves a process that lives as long as its standard input is open.
    let mut gtlock = gtlock_process();
    gtlock.args(["run", "-F", "--write"]).arg(&data).args(["--", "sh", "-c", "cat <&3 & echo left", "sh"]);
    let mut shell = shell("exec 3<&0; exec \"$@\"", Path::new("env"));
    shell.arg(gtlock.get_program()).args(gtlock.get_args());
    let mut started = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
    let input = started.stdin.take();
    let printed = Lines::of(started.stdout.take().expect("it is piped"));
    assert_eq!(printed.line(), "left");
    assert!(end_of(&mut started).success());
    assert_held(&data);
    drop(input);
    assert_eq!(printed.line_or_end(), None); // the process that was left has ended
    crate::common::eventually("the lock is free", || typed("try -q --write", &data).succeeds());
}

#[test]
fn the_record_stays_behind_and_is_stale_until_the_next_holder_or_clean() {
    let (dir, data) = data();
    let stale = || no_fork(&data).arg("true").assert().success().stdout("").stderr("");
    stale();
    let lock = status_of(&data);
    assert_eq!((&lock["state"], &lock["holders"][0]["alive"]), (&"stale".into(), &false.into()));
    typed("run --write", &data).command(["true"]).assert().success();
    assert_eq!(fs::read_to_string(lock_file(&data)).expect("it is there").trim_end(), "");
    stale();
    gtlock().arg("clean").current_dir(&dir).assert().success().stdout("removed 1 lock file, 0 held\n");
}

#[test]
fn a_command_that_cannot_be_run_leaves_no_lock_and_no_record() {
    let (dir, data) = data();
    let plain = dir.path().join("plain");
    fs::write(&plain, "").expect("it can be written");
    fs::set_permissions(&plain, fs::Permissions::from_mode(0o644)).expect("its mode can be set");
    let cases = [
        (dir.path().join("missing"), 127, "command not found"),
        ("no-such-command".into(), 127, "command not found"),
        (plain, 126, "cannot be run: Permission denied"),
        (dir.path().to_owned(), 126, "cannot be run: it is a directory"),
        ("".into(), 127, "command not found"),
    ];
    for (command, code, said) in cases {
        let refused = no_fork(&data).arg(&command).assert().code(code).stdout("");
        refused.stderr(predicate::str::contains(said).and(predicate::str::starts_with("gtlock: ")));
        assert_eq!(status_of(&data)["state"], "free", "{command:?}");
        assert_eq!(fs::read_to_string(lock_file(&data)).expect("it is there").trim_end(), "", "{command:?}");
    }
}

#[test]
fn a_command_is_looked_for_in_the_path_and_a_script_without_an_interpreter_line_is_run_by_the_shell() {
    let (dir, data) = data();
    let script = dir.path().join("in-the-path");
    fs::write(&script, "echo \"$0 $*\"\n").expect("it can be written");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("its mode can be set");
    let expected = format!("{} a b c\n", script.display());
    no_fork(&data).arg(&script).args(["a b", "c"]).assert().success().stdout(expected.clone());
    let mut in_path = no_fork(&data);
    in_path.args(["in-the-path", "a b", "c"]).env("PATH", format!("/nowhere:{}", dir.path().display()));
    in_path.assert().success().stdout(expected);
    let mut here = no_fork(&data);
    here.args(["in-the-path", "here"]).env("PATH", ":/nowhere").current_dir(&dir);
    here.assert().success().stdout(predicate::str::ends_with("in-the-path here\n"));
}

#[test]
fn it_does_not_go_with_close() {
    let (_dir, data) = data();
    let mut both = gtlock();
    both.args(["run", "-F", "-o", "--write"]).arg(&data).args(["--", "true"]);
    let said = "gtlock: the argument '--no-fork' cannot be used with '--close' (see gtlock run --help)\n";
    both.assert().code(125).stdout("").stderr(said);
    assert!(!lock_file(&data).exists());
}

#[test]
fn the_command_gets_sigpipe_and_the_signal_mask_as_without_gtlock() {
    let (_dir, data) = data();
    let signals = "grep -E '^Sig(Blk|Ign|Cgt)' /proc/self/status";
    for before in ["", "trap '' PIPE; ", "trap '' HUP CHLD; "] {
        let bare = to_its_end(shell(&format!("{before}{signals}"), &data)).assert().success();
        let wrapped = format!("{before}exec gtlock run -F --write \"$1\" -- {signals}");
        let wrapped = to_its_end(shell(&wrapped, &data)).assert().success();
        let text = |assert: &assert_cmd::assert::Assert| {
            String::from_utf8(assert.get_output().stdout.clone()).expect("text")
        };
        assert_eq!(text(&wrapped), text(&bare), "{before}");
    }
    // After a wait as well, in which a thread has been started.
    let holder = Holder::writer(&data);
    let mut waiting = process("sh");
    waiting
        .args(["-c", "exec gtlock run -F --write \"$1\" -- grep SigBlk /proc/self/status", "sh"])
        .arg(&data);
    let mut waiting = waiting.stdout(Stdio::piped()).spawn().expect("it starts");
    crate::common::waits_in_kernel(waiting.id(), &data);
    assert!(holder.release().success());
    let printed = Lines::of(waiting.stdout.take().expect("it is piped")).line();
    assert_eq!(printed, "SigBlk:\t0000000000000000");
    assert!(end_of(&mut waiting).success());
}

#[test]
fn a_nested_gtlock_knows_the_lock_of_the_command_that_gtlock_became() {
    let (_dir, data) = data();
    let nested = "gtlock run --write \"$1\" -- true; echo $?; gtlock try -q --write \"$1\"; echo $?";
    let assert = no_fork(&data).args(["sh", "-c", nested, "sh"]).arg(&data).assert().success();
    assert.stdout("125\n75\n").stderr(predicate::str::contains("already locked by process"));
}

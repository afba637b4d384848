//! `--max-hold`: a command may hold its locks for so long and no longer.
use std::fs::File;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::common::{
    Holder, assert_free, assert_held, data, end_of, eventually, gtlock, gtlock_process, shell, typed,
};
use predicates::prelude::*;

/// What is said when the time of a command is up.
const SAID: &str = "gtlock: stopping the command after 50ms (--max-hold)\n";

/// A shell script under gtlock that never ends by itself: it gets an end of standard input from nobody.
fn too_long(options: &[&str], script: &str, data: &Path) -> (Option<i32>, String, Duration) {
    let said = data.with_file_name("said");
    let mut gtlock = gtlock_process();
    gtlock.args(["run", "--max-hold", "50ms"]).args(options).arg("--write").arg(data);
    gtlock.args(["--", "sh", "-c", script]).stdin(Stdio::piped());
    gtlock.stderr(File::create(&said).expect("a new file"));
    let started = Instant::now();
    let mut gtlock = gtlock.spawn().expect("it starts");
    let input = gtlock.stdin.take();
    let ended = end_of(&mut gtlock);
    let took = started.elapsed();
    drop(input);
    (ended.code(), std::fs::read_to_string(said).expect("it is there"), took)
}

#[test]
fn a_command_that_holds_a_lock_for_too_long_is_ended_and_the_status_is_124() {
    let (_dir, data) = data();
    for (options, script) in [
        (&[][..], "exec cat"),
        (&[], "trap 'exit 3' TERM; while :; do sleep 0.01; done"),
        (&["--kill-after=1ms"], "trap '' TERM; exec cat"),
        (&["--kill-after=0"], "trap '' TERM; exec cat"),
        (&[], "kill -STOP $$; exec cat"),
        (&["-q"], "exec cat"),
    ] {
        let (code, said, took) = too_long(options, script, &data);
        assert_eq!((code, said.as_str()), (Some(124), SAID), "{options:?} {script}");
        assert!(took >= Duration::from_millis(50), "{took:?}");
        assert_free(&data);
    }
}

#[test]
fn a_command_that_ends_in_time_is_as_without_a_limit() {
    let (_dir, data) = data();
    for code in [0, 3, 124] {
        let mut command = gtlock();
        command.args(["run", "--max-hold", "1h", "--write"]).arg(&data);
        command.args(["--", "sh", "-c", &format!("exit {code}")]).assert().code(code).stderr("");
    }
    let mut holder = typed("try --max-hold 1h --write", &data).hold();
    holder.prove_held();
    assert!(holder.release().success());
}

#[cfg(target_os = "linux")]
#[test]
fn a_command_that_ended_in_time_is_not_called_late_by_a_gtlock_that_was_stopped() {
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;
    let (_dir, data) = data();
    let limit = Duration::from_secs(2);
    let started = Instant::now();
    let mut holder = typed("run --max-hold 2s --write", &data).hold();
    let gtlock = Pid::from_raw(holder.pid().try_into().expect("a process ID"));
    kill(gtlock, Signal::SIGSTOP).expect("it is there");
    let children =
        std::fs::read_to_string(format!("/proc/{gtlock}/task/{gtlock}/children")).expect("it is there");
    holder.send("the last");
    assert_eq!(holder.line(), "the last");
    holder.close(); // ends the command
    let stat = format!("/proc/{}/stat", children.trim());
    eventually("the command has ended", || {
        std::fs::read_to_string(&stat).is_ok_and(|stat| stat.contains(") Z "))
    });
    if started.elapsed() > limit {
        return crate::common::skip(
            "a command that ended in time",
            "this machine is too slow to end one in 2 s",
        );
    }
    std::thread::sleep(limit.saturating_sub(started.elapsed()));
    kill(gtlock, Signal::SIGCONT).expect("it is there");
    assert_eq!(holder.end().code(), Some(0));
}

#[test]
fn what_the_command_leaves_running_keeps_the_lock_until_it_has_ended() {
    let (_dir, data) = data();
    let script = r#"exec gtlock run --max-hold 50ms --write "$1" -- sh -c '
        exec 3<&0; (trap "" TERM; exec cat) <&3 & wait' 2>"$1.said""#;
    let mut holder = Holder::running(&mut shell(script, &data));
    assert_eq!(holder.end().code(), Some(124));
    holder.prove_held();
    assert_held(&data);
    let mut said = data.as_os_str().to_owned();
    said.push(".said");
    let said = std::fs::read_to_string(said).expect("it is there");
    assert!(said.starts_with(SAID), "{said}");
    if cfg!(target_os = "linux") {
        assert!(said.contains("the lock stays with ") && said.ends_with(" (cat)\n"), "{said}");
    }
    drop(holder); // ends the cat
    eventually("the lock is free", || typed("try -q --write", &data).succeeds());
}

#[cfg(target_os = "linux")]
#[test]
fn status_shows_the_limit_of_a_holder() {
    let (dir, data) = data();
    let other = dir.path().join("other.json");
    let _limited = typed("run --max-hold=2m --write", &data).hold();
    let _unlimited = Holder::writer(&other);
    let status = gtlock().arg("status").current_dir(dir.path()).assert().success();
    let table = String::from_utf8(status.get_output().stdout.clone()).expect("text");
    let time = |lock: &str| {
        let row = table.lines().find(|line| line.contains(lock)).expect("its row");
        row.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).nth(4).expect("a time").to_owned()
    };
    assert!(time("state.json.lock").ends_with(" of 2m"), "{table}");
    assert!(!time("other.json.lock").contains(" of "), "{table}");
    assert_eq!(crate::common::status_of(&data)["holders"][0]["max_hold"], 120.0);
    assert_eq!(crate::common::status_of(&other)["holders"][0].get("max_hold"), None);
}

#[test]
fn a_limit_needs_a_command_that_gtlock_waits_for() {
    let (_dir, data) = data();
    for (arguments, why) in [
        (&["run", "--max-hold=1s", "--no-fork", "--write=f", "--", "true"][..], "--no-fork"),
        (&["run", "--max-hold=1s", "--write-fd=1"], "needs a command"),
        (&["try", "--max-hold=1s", "--write=f"], "needs a command"),
        (&["run", "--kill-after=1s", "--write=f", "--", "true"], "--max-hold"),
        (&["run", "--max-hold=0", "--write=f", "--", "true"], "give a time above 0"),
        (&["run", "--max-hold=soon", "--write=f", "--", "true"], "give a time like"),
        (&["run", "--max-hold=-1s", "--write=f", "--", "true"], "give a time above 0"),
    ] {
        let mut command = gtlock();
        command.current_dir(data.parent().expect("a directory")).args(arguments);
        let one_line = predicate::str::contains("\n").count(1);
        command.assert().code(125).stdout("").stderr(one_line.and(predicate::str::contains(why)));
    }
}

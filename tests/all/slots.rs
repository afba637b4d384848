//! `--slots N` and `--take K`: a shared lock that at most N hold at once.
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::Signal::{SIGCONT, SIGSTOP, SIGTERM};
use predicates::prelude::*;

use crate::common::{
    Holder, Lines, are_stopped, data, end_of, eventually, gtlock, gtlock_process, lock_file, process,
    seats_and_slots, shell, signal, skip, status_of, to_its_end, turns, typed, waits_in_kernel,
};

/// Prints its slots for "slots", and gives back other lines.
const ANSWERS: &str = r#"while read -r line; do
    case $line in slots) echo "$GTLOCK_SLOT";; *) echo "$line";; esac
done"#;

/// `run --read DATA --slots 4`, with more options in one word.
fn of_four(data: &Path, options: &str) -> Command {
    let mut gtlock = gtlock_process();
    gtlock.args(["run", "-q", "--slots", "4", "--read"]).arg(data).args(options.split_whitespace());
    gtlock
}

/// A holder of slots out of four, that can be asked for them.
fn holder(data: &Path, options: &str) -> Holder {
    Holder::running(of_four(data, options).args(["--", "sh", "-c", ANSWERS]))
}

fn slots(holder: &mut Holder) -> String {
    holder.send("slots");
    holder.line()
}

/// One that waits in line for slots out of four, and then adds a word to the data file and its slots.
fn waiter(data: &Path, options: &str, word: &str) -> Child {
    in_line(of_four(data, options), data, word)
}

fn in_line(mut gtlock: Command, data: &Path, word: &str) -> Child {
    gtlock.args(["--", "sh", "-c", r#"echo "$1 $GTLOCK_SLOT" >> "$2""#, "sh", word]).arg(data);
    let gtlock = gtlock.spawn().expect("it starts");
    waits_in_kernel(gtlock.id(), data);
    gtlock
}

fn assert_full(data: &Path) {
    typed("try --slots=4 --read", data).command(["true"]).assert().code(75);
}

/// Returns once a waiter sleeps in the kernel in as many threads as it waits for slots, and one more.
fn waits_for_slots(process: &Child, taken: usize) {
    eventually("it waits for each slot", || {
        let threads = fs::read_dir(format!("/proc/{}/task", process.id())).map_or(0, Iterator::count);
        threads == taken + 1
    });
}

#[test]
fn at_most_n_hold_the_lock_and_each_has_the_lowest_slot_that_is_free() {
    let (_dir, data) = data();
    let mut holders: Vec<Holder> = (0..4).map(|_| holder(&data, "")).collect();
    let found: Vec<String> = holders.iter_mut().map(slots).collect();
    assert_eq!(found, ["1", "2", "3", "4"]);
    assert_full(&data);
    assert!(holders.remove(1).release().success());
    let mut again = holder(&data, "");
    assert_eq!(slots(&mut again), "2");
    assert_full(&data);
    // Readers without slots are not counted.
    typed("try --read", &data).assert().success();
    typed("try --write", &data).assert().code(75);
}

#[test]
fn a_refusal_shows_how_many_slots_there_are() {
    let (_dir, data) = data();
    let _holder = holder(&data, "--take=3");
    typed("try --slots=4 --take=2 --read", &data)
        .command(["true"])
        .assert()
        .code(75)
        .stderr(predicate::str::contains("busy").and(predicate::str::contains("with 4 slots in all")));
    let mut timed_out = to_its_end(of_four(&data, "--take=2 --timeout=20ms"));
    timed_out.args(["--", "true"]).assert().code(75);
    // It has left nothing: one is free still.
    assert_eq!(slots(&mut holder(&data, "")), "4");
}

#[test]
fn waiters_get_slots_in_the_order_in_which_they_came() {
    let (_dir, data) = data();
    let mut holders: Vec<Holder> = (0..4).map(|_| holder(&data, "")).collect();
    let mut waiters: Vec<Child> = (0..12).map(|number| waiter(&data, "", &number.to_string())).collect();
    // One slot is given back: all have their turn at it.
    assert!(holders.remove(2).release().success());
    assert!(waiters.iter_mut().all(|waiter| end_of(waiter).success()));
    let expected: Vec<String> = (0..12).map(|number| format!("{number} 3")).collect();
    assert_eq!(turns(&data), expected);
}

#[test]
fn whoever_wants_several_gets_all_at_once_and_is_not_passed_by_those_who_want_fewer() {
    let (_dir, data) = data();
    let mut holders: Vec<Holder> = (0..4).map(|_| holder(&data, "")).collect();
    let mut heavy = waiter(&data, "--take 3", "heavy");
    let mut light = waiter(&data, "", "light");
    for freed in 1..=2 {
        assert!(holders.remove(0).release().success());
        waits_for_slots(&heavy, 4 - freed);
        assert_eq!(
            seats_and_slots(heavy.id(), &data),
            0,
            "it keeps none of the slots that it does not use yet"
        );
        assert!(turns(&data).is_empty());
        assert_full(&data); // not for one that comes later either
    }
    assert!(holders.remove(0).release().success());
    assert!(end_of(&mut heavy).success());
    assert!(end_of(&mut light).success());
    assert_eq!(turns(&data), ["heavy 1 2 3", "light 1"]);
}

#[test]
fn a_wait_for_slots_sleeps_in_the_kernel() {
    let (_dir, data) = data();
    let _holders: Vec<Holder> = (0..4).map(|_| holder(&data, "")).collect();
    let mut waiter = waiter(&data, "", "in");
    waits_for_slots(&waiter, 4);
    let switches = || {
        let threads = fs::read_dir(format!("/proc/{}/task", waiter.id())).expect("it lives");
        let status =
            |thread: fs::DirEntry| fs::read_to_string(thread.path().join("status")).expect("it lives");
        let line = |status: String| {
            let line = status.lines().find(|line| line.starts_with("voluntary_ctxt_switches"))?.to_owned();
            line.split_whitespace().last()?.parse::<u64>().ok()
        };
        threads.filter_map(|thread| line(status(thread.ok()?))).sum::<u64>()
    };
    let mut before = switches();
    // Until nothing has happened for as long as any polling would pause.
    eventually("it sleeps", || {
        std::thread::sleep(std::time::Duration::from_millis(300));
        let now = switches();
        std::mem::replace(&mut before, now) == now
    });
    waiter.kill().expect("it waits");
    end_of(&mut waiter);
}

#[test]
fn a_writer_waits_for_all_slots_and_those_who_come_later_for_the_writer() {
    let (_dir, data) = data();
    let first = holder(&data, "--take 2");
    let mut run = gtlock_process();
    run.args(["run", "-q", "--write"]).arg(&data);
    let mut writer = in_line(run, &data, "writer");
    let mut late = waiter(&data, "", "late");
    assert_full(&data);
    assert!(first.release().success());
    assert!(end_of(&mut writer).success());
    assert!(end_of(&mut late).success());
    assert_eq!(turns(&data), ["writer ", "late 1"]);

    let writer = Holder::writer(&data);
    assert_full(&data);
    let mut behind = waiter(&data, "--take 4", "behind");
    assert!(writer.release().success());
    assert!(end_of(&mut behind).success());
    assert_eq!(turns(&data)[2], "behind 1 2 3 4");
}

#[test]
fn a_slot_lasts_as_long_as_the_command_whose_gtlock_was_killed() {
    let (_dir, data) = data();
    let _three = holder(&data, "--take=3");
    let mut fourth = holder(&data, "");
    let mut waiter = waiter(&data, "", "next");
    fourth.kill();
    fourth.prove_held(); // its command lives
    assert_full(&data);
    assert!(turns(&data).is_empty());
    let of = status_of(&data);
    let held: Vec<_> = of["holders"].as_array().expect("a list").iter().map(|h| h["slots"].clone()).collect();
    assert!(held.contains(&serde_json::json!({"held": [4], "of": null})), "{of}");
    fourth.close();
    assert!(end_of(&mut waiter).success());
    assert_eq!(turns(&data), ["next 4"]);
}

#[test]
fn a_slot_stays_with_what_a_command_that_was_cut_off_was_running() {
    let (_dir, data) = data();
    let script = "echo \"$GTLOCK_SLOT\"; sh -c 'trap \"\" TERM; echo step; cat'";
    let mut gtlock = of_four(&data, "--take=4");
    gtlock.args(["--", "sh", "-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut gtlock = gtlock.spawn().expect("it starts");
    let lines = Lines::of(gtlock.stdout.take().expect("it is piped"));
    assert_eq!((lines.line(), lines.line()), ("1 2 3 4".to_owned(), "step".to_owned()));
    signal(&gtlock, SIGTERM);
    let stdin = gtlock.stdin.take(); // which `wait` would close
    end_of(&mut gtlock);
    assert_full(&data);
    let mut waiter = waiter(&data, "", "next");
    drop(stdin); // ends the step
    assert!(end_of(&mut waiter).success());
    assert_eq!(turns(&data), ["next 1"]);
}

#[test]
fn a_daemon_that_a_command_leaves_behind_keeps_no_slot() {
    let (_dir, data) = data();
    let (alive, end) = nix::unistd::pipe().expect("a pipe");
    let mut run = of_four(&data, "--take=4");
    run.args(["--", "sh", "-c", "exec 3<&0; cat <&3 >/dev/null 2>&1 & exit 0"]).stdin(Stdio::from(alive));
    let mut run = run.spawn().expect("it starts");
    assert!(end_of(&mut run).success());
    assert_eq!(slots(&mut holder(&data, "--take 4")), "1 2 3 4");
    drop(end);
}

#[test]
fn waiters_that_are_killed_leave_nothing_and_keep_the_order() {
    let (_dir, data) = data();
    let mut all = holder(&data, "--take=4");
    let mut waiters: Vec<Child> =
        (0..6).map(|number| waiter(&data, "--take=4", &number.to_string())).collect();
    waits_for_slots(&waiters[0], 4);
    for killed in [0, 3] {
        waiters[killed].kill().expect("it waits");
        end_of(&mut waiters[killed]);
    }
    all.close();
    assert!(all.end().success());
    for (number, waiter) in waiters.iter_mut().enumerate() {
        assert_eq!(end_of(waiter).success(), ![0, 3].contains(&number));
    }
    assert_eq!(turns(&data), ["1 1 2 3 4", "2 1 2 3 4", "4 1 2 3 4", "5 1 2 3 4"]);
}

#[test]
fn a_head_that_is_stopped_keeps_nobody_from_slots_that_are_free() {
    let (_dir, data) = data();
    let two = holder(&data, "--take=2");
    let mut stopped = waiter(&data, "--take=3", "stopped");
    signal(&stopped, SIGSTOP);
    are_stopped(&stopped);
    let mut late = waiter(&data, "--take=2", "late");
    assert!(end_of(&mut late).success());
    assert_eq!(turns(&data), ["late 3 4"]);
    // Nor anybody from the lock itself.
    let mut run = gtlock_process();
    run.args(["run", "-q", "--write"]).arg(&data);
    let mut writer = in_line(run, &data, "writer");
    assert!(two.release().success());
    assert!(end_of(&mut writer).success());
    signal(&stopped, SIGCONT);
    stopped.kill().expect("it waits");
    end_of(&mut stopped);
}

#[test]
fn polling_gets_slots_too() {
    let (_dir, data) = data();
    let mut holders: Vec<Holder> = (0..4).map(|_| holder(&data, "")).collect();
    let mut polling = waiter(&data, "--retry-delay=1ms --take=2", "polling");
    assert!(holders.remove(0).release().success());
    assert!(holders.remove(0).release().success());
    assert!(end_of(&mut polling).success());
    assert_eq!(turns(&data), ["polling 1 2"]);
}

#[test]
fn where_a_slot_gets_no_thread_to_wait_for_it_slots_are_polled_for() {
    let (dir, data) = data();
    let can_trace = process("strace").args(["-o/dev/null", "true"]).output();
    if !can_trace.is_ok_and(|output| output.status.success()) {
        return skip("a slot without a thread", "no strace, or it may not trace");
    }
    let mut holders: Vec<Holder> = (0..4).map(|_| holder(&data, "")).collect();
    let calls = dir.path().join("calls");
    let mut traced = process("strace");
    // The second thread that a thread starts; on some C libraries by the one call, on others by the other.
    traced.args(["-f", "-e", "trace=clone,clone3", "-e", "inject=clone,clone3:error=EAGAIN:when=2+"]);
    traced.arg("-o").arg(&calls).arg("gtlock").args(of_four(&data, "").get_args());
    traced.args(["--", "true"]);
    let mut traced = traced.spawn().expect("it starts");
    let was_denied = || fs::read_to_string(&calls).is_ok_and(|calls| calls.contains("INJECTED"));
    eventually("a thread is denied", was_denied);
    assert!(holders.remove(3).release().success());
    assert!(end_of(&mut traced).code().is_some());
    // The command is started by such a call, too, and denied perhaps: what counts is that it has had its turn.
    assert_eq!(slots(&mut holder(&data, "")), "4");
}

#[test]
fn a_nested_request_is_refused_only_where_its_own_slots_are_in_the_way() {
    let (_dir, data) = data();
    let nested = |outer: &str, inner: &str| {
        let script = format!(
            "gtlock run --read \"$1\" --slots 4 {outer} -- gtlock run --read \"$1\" --slots 4 {inner} -- \
             sh -c 'echo \"$GTLOCK_SLOT\"'"
        );
        to_its_end(shell(&script, &data)).assert()
    };
    nested("", "--take 3").success().stdout("2 3 4\n");
    let said = predicate::str::contains("already locked by process ");
    nested("--take 2", "--take 3").code(125).stdout("").stderr(said);
    // In another mode there is nothing to wait for either.
    let script = "gtlock run --read \"$1\" --slots 4 -- gtlock run --write \"$1\" -- true";
    to_its_end(shell(script, &data)).assert().code(125);
    let script = "gtlock run --write \"$1\" -- gtlock run --slots 4 --read \"$1\" -- true";
    to_its_end(shell(script, &data)).assert().code(125);
}

#[test]
fn a_nested_request_waits_for_the_slots_of_others_past_a_line_that_waits_for_its_own() {
    let (_dir, data) = data();
    let other = holder(&data, "--take=3");
    let inner = "read -r go; gtlock run -q --read \"$1\" --slots 4 -- sh -c 'echo \"$GTLOCK_SLOT\"'; cat";
    let mut outer = of_four(&data, "");
    outer.args(["--", "sh", "-c", &format!("read -r line; echo \"$line\"; {inner}"), "sh"]).arg(&data);
    let mut outer = Holder::running(&mut outer);
    let mut run = gtlock_process();
    run.args(["run", "-q", "--write"]).arg(&data);
    let mut writer = in_line(run, &data, "writer"); // waits for the outer one
    outer.send("go");
    assert!(other.release().success());
    assert_eq!(outer.line(), "1");
    assert!(outer.release().success());
    assert!(end_of(&mut writer).success());
}

#[test]
fn status_shows_slots_and_who_waits_for_them() {
    let (_dir, data) = data();
    let _two = holder(&data, "--take=2");
    let _one = holder(&data, "--take=1");
    let reader = Holder::reader(&data);
    assert_eq!(status_of(&data)["holders"][2].get("slots"), None);
    assert!(reader.release().success());
    let mut waiter = waiter(&data, "--take 4", "in");
    let table = gtlock().arg("status").arg(&data).assert().success();
    let table = String::from_utf8_lossy(&table.get_output().stdout).into_owned();
    let mode = |line: &str| {
        line.split("  ").map(str::trim).filter(|word| !word.is_empty()).nth(1).map(str::to_owned)
    };
    let modes: Vec<_> = table.lines().filter_map(mode).collect();
    assert_eq!(modes, ["MODE", "slots 1, 2 of 4", "slot 3 of 4", "4 of 4 slots"], "{table}");
    let lock = status_of(&data);
    let of = |list: &str| -> Vec<serde_json::Value> {
        lock[list].as_array().expect("a list").iter().map(|process| process["slots"].clone()).collect()
    };
    assert_eq!(
        of("holders"),
        [serde_json::json!({"held": [1, 2], "of": 4}), serde_json::json!({"held": [3], "of": 4})]
    );
    assert_eq!(of("waiters"), [serde_json::json!({"wanted": 4, "of": 4})]);
    let reader = typed("run --timeout=20ms --read", &data).command(["true"]).assert().code(75);
    reader.stderr(predicate::str::contains(format!(", behind {} (sh -c ", waiter.id())));
    waiter.kill().expect("it waits");
    end_of(&mut waiter);
}

#[test]
fn clean_keeps_a_lock_file_with_slots_and_takes_it_when_they_are_free() {
    let (dir, data) = data();
    let slot = holder(&data, "");
    let clean = || gtlock().arg("clean").current_dir(dir.path()).assert().success();
    clean().stdout("removed 0 lock files, 1 held\n");
    assert!(slot.release().success());
    clean().stdout("removed 1 lock file, 0 held\n");
    assert_eq!(slots(&mut holder(&data, "")), "1");
}

#[test]
fn the_slots_of_a_symbolic_link_are_those_of_what_it_leads_to() {
    let (dir, data) = data();
    fs::write(&data, "").expect("it can be written");
    let link = dir.path().join("link.json");
    symlink("state.json", &link).expect("it can be made");
    let mut by_name = holder(&data, "--take=2");
    let mut by_link = holder(&link, "");
    assert_eq!((slots(&mut by_name), slots(&mut by_link)), ("1 2".to_owned(), "3".to_owned()));
    let mut last = holder(&link, "");
    assert_eq!(slots(&mut last), "4");
    assert_full(&data);
    assert_full(&link);
}

#[test]
fn slots_work_in_a_lock_directory_and_for_a_command_that_gtlock_becomes() {
    let (dir, data) = data();
    let locks = dir.path().join("locks").display().to_string();
    let mut first = holder(&data, &format!("--lock-dir {locks} --no-fork --take=2"));
    assert_eq!(slots(&mut first), "1 2");
    assert_eq!(slots(&mut holder(&data, &format!("--lock-dir {locks}"))), "3");
}

#[test]
fn a_command_without_slots_of_its_own_keeps_the_variable_of_the_one_around_it() {
    let (dir, data) = data();
    let other = dir.path().join("other.json");
    let script = "GTLOCK_SLOT=7 gtlock run --read \"$1\" --slots 2 -- gtlock run --write \"$2\" -- \
                  sh -c 'echo \"$GTLOCK_SLOT\"'";
    let mut shell = shell(script, &data);
    shell.arg(other);
    to_its_end(shell).assert().success().stdout("1\n");
}

#[test]
fn a_lock_file_that_may_only_be_read_has_no_slots_and_one_line_says_so() {
    let (dir, data) = data();
    crate::common::assert_free(&data);
    fs::set_permissions(lock_file(&data), fs::Permissions::from_mode(0o444)).expect("it is ours");
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("it is ours");
    let Some(mut run) = crate::common::unprivileged("gtlock", "a lock file that may only be read") else {
        return;
    };
    run.args(["run", "--slots=4", "--read"]).arg(&data).args(["--", "true"]);
    let said =
        predicate::str::contains("this user may only read it").and(predicate::str::contains("--lock-dir"));
    to_its_end(run).assert().code(125).stderr(said);
}

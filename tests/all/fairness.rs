//! Writers are not starved by readers, nor readers by writers.
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use crate::common::{Holder, data, end_of, eventually, gtlock, gtlock_process};

fn gate_of(data: &Path) -> PathBuf {
    data.parent().expect("it is in a directory").join(".gastown/locks/state.json.lock.gate")
}

/// A gtlock that waits for the lock, to add its mode to the data file.
fn waiting(mode: &str, data: &Path) -> Child {
    let mut gtlock = gtlock_process();
    gtlock.args(["run", "-v", mode]).arg(data);
    gtlock.args(["--", "sh", "-c", "echo \"$1\" >> \"$2\"", "sh", mode]).arg(data);
    let mut gtlock = gtlock.stderr(Stdio::piped()).spawn().expect("it starts");
    eventually("it waits", || waits(gtlock.id(), data));
    let mut line = String::new();
    let stderr = gtlock.stderr.as_mut().expect("it is piped");
    BufReader::new(stderr).read_line(&mut line).expect("it says so");
    assert!(line.contains("waiting"), "{line}");
    gtlock
}

/// The modes of those that waited, in the order in which they had their turn.
fn turns(data: &Path) -> Vec<String> {
    std::fs::read_to_string(data).expect("somebody had a turn").lines().map(ToOwned::to_owned).collect()
}

/// Whether the kernel has a process in a queue for the lock or its gate.
fn waits(pid: u32, data: &Path) -> bool {
    let status = gtlock().args(["status", "--json"]).arg(data).assert().success();
    let json: serde_json::Value = serde_json::from_slice(&status.get_output().stdout).expect("JSON");
    let waiters = json["locks"][0]["waiters"].as_array().expect("an array").clone();
    waiters.iter().any(|waiter| waiter["pid"] == pid)
}

#[test]
fn while_a_writer_waits_new_readers_queue_behind_it() {
    let (_dir, data) = data();
    let first = Holder::reader(&data);
    let mut writer = waiting("--write", &data);
    gtlock().args(["try", "--read"]).arg(&data).assert().code(75);
    let mut late = waiting("--read", &data);

    assert!(first.release().success());
    assert!(end_of(&mut writer).success());
    assert!(end_of(&mut late).success());
    assert_eq!(turns(&data), ["--write", "--read"]);
    assert!(!gate_of(&data).exists(), "the writer has taken its gate away");
}

#[test]
fn readers_that_queued_before_the_next_writer_go_before_it() {
    let (_dir, data) = data();
    let reader = Holder::reader(&data);
    // A writer that holds the lock for as long as the test wants: it starts to wait, and has to be let in.
    let mut first = gtlock_process();
    first.args(["run", "--write"]).arg(&data).args(["--", "cat"]);
    first.stdin(Stdio::piped()).stdout(Stdio::null());
    let mut first = first.spawn().expect("it starts");
    eventually("the first writer waits", || waits(first.id(), &data));
    let mut queued = waiting("--read", &data);
    assert!(reader.release().success());
    eventually("the first writer is in", || {
        let record = std::fs::read_to_string(gate_of(&data).with_extension("")).unwrap_or_default();
        record.trim() == first.id().to_string()
    });
    eventually("the reader is through the gate", || !gate_of(&data).exists() && waits(queued.id(), &data));

    let mut second = waiting("--write", &data);
    drop(first.stdin.take()); // ends its command
    assert!(end_of(&mut first).success());
    assert!(end_of(&mut queued).success());
    assert!(end_of(&mut second).success());
    assert_eq!(turns(&data), ["--read", "--write"]);
}

#[test]
fn a_writer_takes_its_gate_away_whether_it_gets_the_lock_or_not() {
    let (_dir, data) = data();
    let reader = Holder::reader(&data);
    let mut writer = gtlock_process();
    writer.args(["run", "-q", "--timeout=50ms", "--write"]).arg(&data).args(["--", "true"]);
    assert_eq!(end_of(&mut writer.spawn().expect("it starts")).code(), Some(75));
    assert!(!gate_of(&data).exists());

    let mut writer = waiting("--write", &data);
    assert!(gate_of(&data).exists());
    assert!(reader.release().success());
    assert!(end_of(&mut writer).success());
    assert!(!gate_of(&data).exists());
}

#[test]
fn the_gate_of_a_killed_writer_stops_nobody_and_goes_away() {
    let (_dir, data) = data();
    let reader = Holder::reader(&data);
    let mut writer = waiting("--write", &data);
    writer.kill().expect("it waits");
    end_of(&mut writer);
    assert!(gate_of(&data).exists(), "nobody has had the time to take it away");

    gtlock().args(["try", "--read"]).arg(&data).assert().success().stderr("");
    assert!(!gate_of(&data).exists());
    assert!(reader.release().success());
}

#[test]
fn clean_takes_a_leftover_gate_and_leaves_one_that_is_held() {
    let (dir, data) = data();
    let reader = Holder::reader(&data);
    let mut writer = waiting("--write", &data);
    let clean = || gtlock().arg("clean").current_dir(dir.path()).assert().success();
    clean().stdout("removed 0 lock files, 1 held\n");
    writer.kill().expect("it waits");
    end_of(&mut writer);
    clean().stdout("removed 1 lock file, 1 held\n");
    assert!(!gate_of(&data).exists());
    assert!(reader.release().success());
}

#[test]
fn a_reader_inside_a_reader_does_not_queue_behind_the_writer_that_waits_for_the_outer_one() {
    let (_dir, data) = data();
    let inner = "read -r line; echo \"$line\"; read -r line; gtlock run --read \"$1\" -- echo inner; cat";
    let mut outer = gtlock_process();
    outer.args(["run", "--read"]).arg(&data).args(["--", "sh", "-c", inner, "sh"]).arg(&data);
    let mut outer = Holder::running(&mut outer);
    let mut writer = waiting("--write", &data);
    outer.send("go on");
    assert_eq!(outer.line(), "inner");
    assert!(outer.release().success());
    assert!(end_of(&mut writer).success());
}

#[test]
fn a_gate_that_is_no_lock_file_is_passed_by() {
    let (dir, data) = data();
    crate::common::assert_free(&data);
    let gate = gate_of(&data);
    let odd: [&dyn Fn(); 3] = [
        &|| std::fs::write(&gate, "precious").expect("it can be written"),
        &|| std::os::unix::fs::symlink(dir.path().join("elsewhere"), &gate).expect("it can be made"),
        &|| std::fs::create_dir(&gate).expect("it can be made"),
    ];
    for put in odd {
        put();
        gtlock().args(["run", "--read"]).arg(&data).args(["--", "true"]).assert().success().stderr("");
        let holder = Holder::reader(&data);
        let mut writer = gtlock_process();
        writer.args(["run", "--write"]).arg(&data).args(["--timeout", "0.05", "--", "true"]);
        assert_eq!(end_of(&mut writer.stderr(Stdio::null()).spawn().expect("it starts")).code(), Some(75));
        assert!(holder.release().success());
        if gate.is_dir() {
            std::fs::remove_dir(&gate).expect("it is untouched");
        } else {
            assert!(std::fs::read(&gate).map_or(true, |bytes| bytes == b"precious"));
            std::fs::remove_file(&gate).expect("it is there");
        }
    }
    assert!(!dir.path().join("elsewhere").exists());
}

/// Stops or continues a process.
fn signal(process: &Child, signal: nix::sys::signal::Signal) {
    let pid = nix::unistd::Pid::from_raw(process.id().try_into().expect("a process ID"));
    nix::sys::signal::kill(pid, signal).expect("it lives");
}

#[test]
fn a_writer_that_is_stopped_while_it_waits_keeps_nobody_from_a_free_lock() {
    use nix::sys::signal::Signal::{SIGCONT, SIGSTOP};
    let (_dir, data) = data();
    let reader = Holder::reader(&data);
    let mut writer = waiting("--write", &data);
    signal(&writer, SIGSTOP);
    // Before that it could still be given the lock.
    eventually("each of its threads is stopped", || {
        let threads = std::fs::read_dir(format!("/proc/{}/task", writer.id())).expect("it lives");
        let stat = |thread: std::fs::DirEntry| std::fs::read_to_string(thread.path().join("stat"));
        threads.filter_map(Result::ok).all(|thread| stat(thread).is_ok_and(|stat| stat.contains(") T ")))
    });
    assert!(reader.release().success());
    assert!(gate_of(&data).exists());
    for mode in ["--read", "--write"] {
        gtlock().args(["try", mode]).arg(&data).assert().success().stderr("");
        for polling in [&[][..], &["--retry-delay"]] {
            let mut run = gtlock();
            run.args(["run", "-q"]).args(polling).arg(mode).arg(&data);
            run.args(["--", "echo", "in"]).assert().success().stdout("in\n");
        }
    }
    signal(&writer, SIGCONT);
    assert!(end_of(&mut writer).success());
    assert!(!gate_of(&data).exists());
}

#[test]
fn two_readers_in_a_pipeline_and_a_writer_between_them_do_not_wait_for_each_other_for_ever() {
    let (_dir, data) = data();
    // The first reader ends when the second has read all of it, and so started.
    let script = "gtlock run --read \"$1\" -- sh -c 'echo first >&2; read -r go; seq 100000' |
        { read -r ready <&3; gtlock run -q --read \"$1\" -- wc -l; }";
    let (ready, is_ready) = nix::unistd::pipe().expect("a pipe");
    let mut pipeline = crate::common::shell(&format!("exec 3<&0; {script}"), &data);
    pipeline.stdin(Stdio::from(ready)).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut pipeline = pipeline.spawn().expect("sh starts");
    let said = crate::common::Lines::of(pipeline.stderr.take().expect("it is piped"));
    let printed = crate::common::Lines::of(pipeline.stdout.take().expect("it is piped"));
    assert_eq!(said.line(), "first");
    let mut writer = waiting("--write", &data);
    nix::unistd::write(&is_ready, b"go\ngo\n").expect("somebody reads");
    drop(is_ready);
    assert_eq!(printed.line().trim(), "100000");
    assert!(end_of(&mut pipeline).success());
    assert!(end_of(&mut writer).success());
}

#[test]
fn a_timeout_or_the_pause_of_polling_is_not_spent_at_a_gate_for_no_lock() {
    let (_dir, data) = data();
    crate::common::assert_free(&data);
    for options in [&["--retry-delay=1s", "--timeout=500ms"][..], &["--timeout=100us"]] {
        std::fs::write(gate_of(&data), "4200000000\n").expect("it can be written");
        let mut run = gtlock();
        run.args(["run", "-v", "--write"]).arg(&data).args(options).args(["--", "true"]);
        let said = run.assert().success().get_output().stderr.clone();
        assert!(!String::from_utf8_lossy(&said).contains("waiting"), "{}", String::from_utf8_lossy(&said));
        assert!(!gate_of(&data).exists());
    }
}

#[test]
fn a_gate_that_somebody_keeps_without_taking_the_lock_stops_nobody_for_long() {
    let (_dir, data) = data();
    crate::common::assert_free(&data);
    std::fs::write(gate_of(&data), "").expect("it can be written");
    let gate = std::fs::File::open(gate_of(&data)).expect("it is there");
    #[expect(clippy::disallowed_methods, reason = "a holder that is not gtlock")]
    gate.lock().expect("nobody else has it");
    for mode in ["--read", "--write"] {
        gtlock().args(["try", mode]).arg(&data).assert().success().stderr("");
        gtlock().args(["run", mode]).arg(&data).args(["--", "echo", "in"]).assert().success().stdout("in\n");
    }
}

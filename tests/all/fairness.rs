//! Writers are not starved by readers, nor readers by writers.
use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};

use predicates::prelude::*;

use crate::common::{
    Holder, are_stopped, data, end_of, eventually, gtlock, gtlock_process, lock_file, places, signal, turns,
    typed, waits_in_kernel,
};

/// A gtlock that waits for the lock, to add its mode to the data file.
fn waiting(mode: &str, data: &Path) -> Child {
    let mut gtlock = gtlock_process();
    gtlock.args(["run", "-v", mode]).arg(data);
    gtlock.args(["--", "sh", "-c", "echo \"$1\" >> \"$2\"", "sh", mode]).arg(data);
    let mut gtlock = gtlock.stderr(Stdio::piped()).spawn().expect("it starts");
    waits_in_kernel(gtlock.id(), data);
    let mut line = String::new();
    let stderr = gtlock.stderr.as_mut().expect("it is piped");
    BufReader::new(stderr).read_line(&mut line).expect("it says so");
    assert!(line.contains("waiting"), "{line}");
    gtlock
}

/// Whether a process has a place in the line for the lock.
fn waits(pid: u32, data: &Path) -> bool {
    places(pid, data).next().is_some()
}

#[test]
fn while_a_writer_waits_new_readers_queue_behind_it() {
    let (_dir, data) = data();
    let first = Holder::reader(&data);
    let mut writer = waiting("--write", &data);
    typed("try --read", &data).assert().code(75);
    let mut late = waiting("--read", &data);

    assert!(first.release().success());
    assert!(end_of(&mut writer).success());
    assert!(end_of(&mut late).success());
    assert_eq!(turns(&data), ["--write", "--read"]);
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
        let record = std::fs::read_to_string(lock_file(&data)).unwrap_or_default();
        record.trim() == first.id().to_string()
    });
    assert!(!waits(first.id(), &data), "a holder has left its place");
    assert!(waits(queued.id(), &data));

    let mut second = waiting("--write", &data);
    drop(first.stdin.take()); // ends its command
    assert!(end_of(&mut first).success());
    assert!(end_of(&mut queued).success());
    assert!(end_of(&mut second).success());
    assert_eq!(turns(&data), ["--read", "--write"]);
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
fn a_writer_that_is_stopped_while_it_waits_keeps_nobody_from_a_free_lock() {
    use nix::sys::signal::Signal::{SIGCONT, SIGSTOP};
    let (_dir, data) = data();
    let reader = Holder::reader(&data);
    let mut writer = waiting("--write", &data);
    signal(&writer, SIGSTOP);
    are_stopped(&writer);
    assert!(reader.release().success());
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
}

#[test]
fn a_writer_that_is_stopped_while_it_waits_keeps_no_reader_from_those_who_read() {
    use nix::sys::signal::Signal::{SIGCONT, SIGSTOP};
    let (_dir, data) = data();
    let reader = Holder::reader(&data);
    let mut writer = waiting("--write", &data);
    signal(&writer, SIGSTOP);
    are_stopped(&writer);
    // In less time than a reader waits before it passes a writer that is not stopped.
    for options in ["try --read", "run --timeout=9s --read", "run --timeout=9s --retry-delay=1ms --read"] {
        typed(options, &data).command(["echo", "in"]).assert().success().stdout("in\n").stderr("");
    }
    typed("try --write", &data).assert().code(75);
    assert!(reader.release().success());
    signal(&writer, SIGCONT);
    assert!(end_of(&mut writer).success());
}

#[test]
fn a_reader_that_is_refused_beside_readers_is_told_who_is_in_line_before_it() {
    let (_dir, data) = data();
    let reader = Holder::reader(&data);
    let mut writer = waiting("--write", &data);
    let (holds, waits) = (reader.pid(), writer.id());
    let said = format!(r"held for reading by {holds} \(cat\) for .*, behind {waits} \(sh -c .*\) in line\n$");
    let said = predicate::str::is_match(said).expect("a pattern");
    typed("try --read", &data).assert().code(75).stderr(said.clone());
    typed("run --timeout=20ms --read", &data).command(["true"]).assert().code(75).stderr(said);
    assert!(reader.release().success());
    assert!(end_of(&mut writer).success());
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

/// The order in which waiters got the lock, each adding its number to the data file.
fn numbered(number: usize, mode: &str, data: &Path) -> Child {
    let mut gtlock = gtlock_process();
    gtlock.args(["run", "-q", mode]).arg(data);
    gtlock.args(["--", "sh", "-c", "echo \"$1\" >> \"$2\"", "sh", &number.to_string()]).arg(data);
    let gtlock = gtlock.spawn().expect("it starts");
    waits_in_kernel(gtlock.id(), data);
    gtlock
}

#[test]
fn writers_get_the_lock_in_the_order_in_which_they_came() {
    let (_dir, data) = data();
    let holder = Holder::writer(&data);
    let mut waiters: Vec<Child> = (0..30).map(|number| numbered(number, "--write", &data)).collect();
    assert!(holder.release().success());
    assert!(waiters.iter_mut().all(|waiter| end_of(waiter).success()));
    let turns: Vec<usize> = turns(&data).iter().map(|turn| turn.parse().expect("a number")).collect();
    assert!(turns.iter().copied().eq(0..30), "{turns:?}");
}

#[test]
fn readers_and_writers_pass_nobody_of_the_other_kind() {
    let (_dir, data) = data();
    let holder = Holder::writer(&data);
    let modes = ["--read", "--read", "--write", "--read", "--write", "--write", "--read", "--read"];
    let mut waiters: Vec<Child> =
        modes.iter().enumerate().map(|(number, mode)| numbered(number, mode, &data)).collect();
    assert!(holder.release().success());
    assert!(waiters.iter_mut().all(|waiter| end_of(waiter).success()));
    let turns: Vec<usize> = turns(&data).iter().map(|turn| turn.parse().expect("a number")).collect();
    // Readers side by side may come in any order among themselves.
    let groups: Vec<&[usize]> = vec![&[0, 1], &[2], &[3], &[4], &[5], &[6, 7]];
    let mut left = &turns[..];
    for group in groups {
        let (first, rest) = left.split_at(group.len());
        assert!(group.iter().all(|number| first.contains(number)), "{turns:?}");
        left = rest;
    }
}

#[test]
fn a_waiter_that_is_killed_leaves_its_place_to_nobody_and_keeps_the_order() {
    let (_dir, data) = data();
    let holder = Holder::writer(&data);
    let mut waiters: Vec<Child> = (0..6).map(|number| numbered(number, "--write", &data)).collect();
    for killed in [0, 3] {
        waiters[killed].kill().expect("it waits");
        end_of(&mut waiters[killed]);
    }
    assert!(holder.release().success());
    for (number, waiter) in waiters.iter_mut().enumerate() {
        assert_eq!(end_of(waiter).success(), ![0, 3].contains(&number));
    }
    assert_eq!(turns(&data), ["1", "2", "4", "5"]);
}

#[test]
fn a_waiter_that_gives_up_leaves_its_place() {
    let (_dir, data) = data();
    let holder = Holder::reader(&data);
    let mut writer = gtlock_process();
    writer.args(["run", "-q", "--timeout=50ms", "--write"]).arg(&data).args(["--", "true"]);
    assert_eq!(end_of(&mut writer.spawn().expect("it starts")).code(), Some(75));
    typed("try --read", &data).assert().success().stderr("");
    assert!(holder.release().success());
}

#[test]
fn several_that_are_stopped_in_line_are_passed_by_in_line() {
    use nix::sys::signal::Signal::{SIGCONT, SIGSTOP};
    let (_dir, data) = data();
    let holder = Holder::writer(&data);
    let mut stopped: Vec<Child> = (0..3).map(|number| numbered(number, "--write", &data)).collect();
    let mut late: Vec<Child> = (3..6).map(|number| numbered(number, "--write", &data)).collect();
    for waiter in &stopped {
        signal(waiter, SIGSTOP);
    }
    stopped.iter().for_each(are_stopped);
    assert!(holder.release().success());
    assert!(late.iter_mut().all(|waiter| end_of(waiter).success()));
    assert_eq!(turns(&data), ["3", "4", "5"]);
    for waiter in &stopped {
        signal(waiter, SIGCONT);
    }
    assert!(stopped.iter_mut().all(|waiter| end_of(waiter).success()));
    assert_eq!(turns(&data).len(), 6);
}

#[test]
fn clean_leaves_a_lock_file_that_is_waited_for() {
    let (dir, data) = data();
    let holder = Holder::writer(&data);
    let mut waiter = numbered(0, "--write", &data);
    signal(&waiter, nix::sys::signal::Signal::SIGSTOP);
    are_stopped(&waiter);
    assert!(holder.release().success());
    let clean = || gtlock().arg("clean").current_dir(dir.path()).assert().success();
    clean().stdout("removed 0 lock files, 1 held\n");
    waiter.kill().expect("it waits");
    end_of(&mut waiter);
    clean().stdout("removed 1 lock file, 0 held\n");
}

#[test]
fn a_writer_is_not_starved_by_readers_inside_another_lock() {
    let (dir, data) = data();
    let other = dir.path().join("other.json");
    let inner = "read -r go; gtlock run --read \"$1\" -- echo in; echo out; cat";
    let outer = || {
        let mut outer = gtlock_process();
        outer.args(["run", "--read"]).arg(&other).args(["--", "sh", "-c", inner, "sh"]).arg(&data);
        outer.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts")
    };
    let holder = Holder::writer(&data);
    let mut writer = waiting("--write", &data);
    // One that comes later stands behind the writer, inside another lock or not.
    let mut nested = outer();
    std::io::Write::write_all(nested.stdin.as_mut().expect("it is piped"), b"go\n").expect("it reads");
    eventually("the nested reader waits", || line_of(&data) == 2);
    assert!(holder.release().success());
    assert!(end_of(&mut writer).success());
    let mut lines = BufReader::new(nested.stdout.take().expect("it is piped")).lines();
    assert_eq!(lines.next().expect("it goes on").expect("text"), "in");
    drop(nested.stdin.take());
    assert!(end_of(&mut nested).success());
}

/// A holder of one lock that asks for another whenever it is sent a line, and then prints the exit status.
fn asking(holds: &[&OsStr], asks: &[&OsStr]) -> Holder {
    let script =
        r#"read -r line; echo "$line"; while read -r go; do gtlock run -q "$@" -- true; echo $?; done"#;
    let mut outer = gtlock_process();
    outer.arg("run").args(holds).args(["--", "sh", "-c", script, "sh"]).args(asks);
    Holder::running(&mut outer)
}

#[test]
fn a_reader_inside_another_lock_passes_no_writer_for_that_alone() {
    let (dir, data) = data();
    let other = dir.path().join("other.json");
    let reader = Holder::reader(&data);
    let mut writer = waiting("--write", &data);
    let read = OsStr::new("--read");
    let asks = [OsStr::new("--timeout=1s"), read, data.as_os_str()];
    let mut outer = asking(&[read, other.as_os_str()], &asks);
    outer.send("go");
    assert_eq!(outer.line(), "75");
    // Nor because somebody waits for that other lock who is not inside this one.
    let mut stranger = numbered(0, "--write", &other);
    outer.send("go");
    assert_eq!(outer.line(), "75");
    assert!(outer.release().success());
    assert!(reader.release().success());
    assert!(end_of(&mut stranger).success());
    assert!(end_of(&mut writer).success());
}

#[test]
fn a_reader_passes_a_writer_that_waits_for_it() {
    let [read, write, direct, close] = ["--read", "--write", "--direct", "--close"].map(OsStr::new);
    for (outer, inner) in [(&[][..], &[][..]), (&[close], &[]), (&[direct], &[direct])] {
        let (dir, data) = data();
        let other = dir.path().join("other.json");
        let name = other.as_os_str();
        // No reader waits so long that it passes a writer for that alone.
        let asks = [OsStr::new("--timeout=9s"), read, data.as_os_str()];
        let mut holder = asking(&[outer, &[write, name]].concat(), &asks);
        let mut inside = asking(&[read, data.as_os_str()], &[inner, &[write, name]].concat());
        inside.send("go");
        let locked = if inner.is_empty() { lock_file(&other) } else { other.clone() };
        eventually("one inside waits for the other lock", || is_waited_for(&locked));
        let mut writer = waiting("--write", &data);
        holder.send("go");
        assert_eq!(holder.line(), "0");
        assert!(holder.release().success());
        assert_eq!(inside.line(), "0");
        assert!(inside.release().success());
        assert!(end_of(&mut writer).success());
    }
}

#[test]
fn a_reader_passes_a_writer_that_waits_for_it_through_others() {
    let (dir, data) = data();
    let [first, second] = ["first.json", "second.json"].map(|name| dir.path().join(name));
    let [read, write] = ["--read", "--write"].map(OsStr::new);
    let asks = [OsStr::new("--timeout=9s"), read, data.as_os_str()];
    let mut holder = asking(&[write, first.as_os_str()], &asks);
    let mut between = asking(&[write, second.as_os_str()], &[write, first.as_os_str()]);
    let mut inside = asking(&[read, data.as_os_str()], &[write, second.as_os_str()]);
    between.send("go");
    inside.send("go");
    for lock in [&first, &second].map(|data| lock_file(data)) {
        eventually("it is waited for", || is_waited_for(&lock));
    }
    let mut writer = waiting("--write", &data);
    holder.send("go");
    for asking in [holder, between, inside] {
        assert_eq!(asking.line(), "0");
        assert!(asking.release().success());
    }
    assert!(end_of(&mut writer).success());
}

#[test]
fn a_request_for_several_locks_passes_a_writer_that_waits_for_the_first_of_them() {
    let (dir, data) = data();
    let other = dir.path().join("other.json");
    for data in [&other, &data] {
        crate::common::assert_free(data); // which makes the lock files in the order in which they are taken, mostly
    }
    let [read, write] = ["--read", "--write"].map(OsStr::new);
    let mut inside = asking(&[read, data.as_os_str()], &[write, other.as_os_str()]);
    let mut writer = waiting("--write", &data);
    let mut both = gtlock_process();
    both.args(["run", "-q", "--timeout=9s", "--write"])
        .arg(&other)
        .arg("--read")
        .arg(&data)
        .args(["--", "true"]);
    let mut both = both.spawn().expect("it starts");
    eventually("both wait", || line_of(&data) == 2);
    inside.send("go");
    assert!(end_of(&mut both).success());
    assert_eq!(inside.line(), "0");
    assert!(inside.release().success());
    assert!(end_of(&mut writer).success());
}

/// Whether somebody waits for the lock on a file, by the kernel's table.
fn is_waited_for(file: &Path) -> bool {
    let inode = std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(file).expect("it is there"));
    let table = std::fs::read_to_string("/proc/locks").expect("it can be read");
    table.lines().any(|line| line.contains(" -> FLOCK ") && line.contains(&format!(":{inode} ")))
}

#[test]
fn a_whole_job_that_is_stopped_in_line_is_passed_by_at_once() {
    use nix::sys::signal::Signal::SIGSTOP;
    let (_dir, data) = data();
    let holder = Holder::writer(&data);
    let mut stopped: Vec<Child> = (0..40).map(|number| numbered(number, "--write", &data)).collect();
    for waiter in &stopped {
        signal(waiter, SIGSTOP);
    }
    stopped.iter().for_each(are_stopped);
    assert!(holder.release().success());
    // One at each look, it took 9 s.
    typed("run --timeout=5s --write", &data).command(["echo", "in"]).assert().success().stdout("in\n");
    for waiter in &mut stopped {
        waiter.kill().expect("it waits");
        end_of(waiter);
    }
}

/// How many places are taken in the line for a lock, by whomever.
fn line_of(data: &Path) -> usize {
    let processes = std::fs::read_dir("/proc").expect("a directory").filter_map(Result::ok);
    let pids = processes.filter_map(|process| process.file_name().to_str()?.parse().ok());
    pids.map(|pid: u32| places(pid, data).count()).sum()
}

#[test]
fn names_of_every_length_and_files_that_may_only_be_read_have_a_line() {
    let (dir, _) = data();
    let long = dir.path().join("n".repeat(250));
    let read_only = dir.path().join("read-only.json");
    for data in [&long, &read_only] {
        crate::common::assert_free(data);
        let holder = Holder::reader(data);
        let mut writer = waiting("--write", data);
        typed("try --read", data).assert().code(75);
        assert!(holder.release().success());
        assert!(end_of(&mut writer).success());
    }
}

//! `gtlock update`: a filter rewrites a file, all or nothing.

mod files;
#[cfg(target_os = "linux")]
mod registry;

use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Stdio;

use nix::sys::signal::Signal;

use crate::common::{
    Holder, Lines, assert_free, assert_held, data, end_of, eventually, gtlock, gtlock_process, process,
    shell, signal, skip, to_its_end, typed,
};

/// A directory with a data file that holds `old`.
fn old() -> (tempfile::TempDir, std::path::PathBuf) {
    let (dir, data) = data();
    fs::write(&data, "old\n").expect("it can be written");
    (dir, data)
}

/// `gtlock update` of a data file by a shell script.
fn update(data: &Path, script: &str) -> assert_cmd::Command {
    let mut gtlock = gtlock();
    gtlock.arg("update").arg(data).args(["--", "sh", "-c", script]);
    gtlock
}

fn content(path: &Path) -> String {
    fs::read_to_string(path).expect("it can be read")
}

/// Asserts that there is nothing beside a data file but the lock directory and what is named.
fn assert_alone(data: &Path, others: &[&str]) {
    let dir = data.parent().expect("a directory");
    let mut names: Vec<_> = fs::read_dir(dir)
        .expect("a directory")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("text"))
        .filter(|name| name != ".gastown")
        .collect();
    let name = data.file_name().and_then(|name| name.to_str()).expect("text");
    let mut expected: Vec<_> = others.iter().copied().chain([name]).collect();
    names.sort_unstable();
    expected.sort_unstable();
    assert_eq!(names, expected);
}

#[test]
fn the_output_of_the_filter_takes_the_place_of_the_file() {
    let (_dir, data) = old();
    let before = fs::metadata(&data).expect("it is there").ino();
    update(&data, "cat; echo new").assert().success().stdout("").stderr("");
    assert_eq!(content(&data), "old\nnew\n");
    assert_ne!(fs::metadata(&data).expect("it is there").ino(), before);
    assert_alone(&data, &[]);
    assert_free(&data);
}

#[test]
fn a_file_that_does_not_exist_is_empty_and_is_made() {
    let (_dir, data) = data();
    update(&data, "cat; echo new").assert().success().stdout("").stderr("");
    assert_eq!(content(&data), "new\n");
    assert_alone(&data, &[]);
}

#[test]
fn a_filter_that_fails_leaves_the_file_as_it_was() {
    let (_dir, data) = old();
    let before = fs::metadata(&data).expect("it is there").ino();
    update(&data, "echo part; exit 3").assert().code(3).stdout("").stderr("");
    let killed = update(&data, "echo part; kill -KILL $$").ok().expect_err("it is killed");
    assert_eq!(killed.as_output().expect("it ran").status.signal(), Some(9));
    gtlock().arg("update").arg(&data).args(["--", "./nothing"]).assert().code(127);
    gtlock().arg("update").arg(&data).args(["--", "/"]).assert().code(126);
    assert_eq!(content(&data), "old\n");
    assert_eq!(fs::metadata(&data).expect("it is there").ino(), before);
    assert_alone(&data, &[]);
    assert_free(&data);
}

#[test]
fn a_filter_that_fails_makes_no_file() {
    let (dir, data) = data();
    update(&data, "echo part; exit 3").assert().code(3);
    assert_eq!(fs::read_dir(dir.path()).expect("a directory").count(), 1, "the lock directory");
}

#[test]
fn the_filter_runs_under_the_write_lock() {
    let (_dir, data) = old();
    let lock = crate::common::lock_file(&data);
    update(&data, &format!("flock -s -n '{}' true || echo held", lock.display())).assert().success();
    assert_eq!(content(&data), "held\n");

    let reader = Holder::reader(&data);
    let mut waits = gtlock();
    waits.args(["update", "-q", "-E", "9", "--timeout", "50ms"]).arg(&data).args(["--", "cat"]);
    waits.assert().code(9).stderr("");
    drop(reader);
    assert_eq!(content(&data), "held\n");
}

#[test]
fn a_nested_update_of_the_same_file_fails_at_once() {
    let (_dir, data) = old();
    let script = format!("gtlock update '{}' -- cat", data.display());
    let mut nested = process("gtlock");
    nested.arg("update").arg(&data).args(["--", "sh", "-c", &script]);
    to_its_end(nested).assert().code(125).stderr(predicates::str::contains("already locked"));
    assert_eq!(content(&data), "old\n");
}

#[test]
fn a_filter_that_was_asked_to_end_leaves_the_file_though_it_exits_with_0() {
    let (_dir, data) = old();
    let script = "trap 'exit 0' TERM; echo part; echo ready >&2; while :; do sleep 0.01; done";
    let mut gtlock = gtlock_process();
    gtlock.arg("update").arg(&data).args(["--", "sh", "-c", script]).stderr(Stdio::piped());
    let mut gtlock = gtlock.spawn().expect("gtlock starts");
    let stderr = Lines::of(gtlock.stderr.take().expect("it is piped"));
    assert_eq!(stderr.line(), "ready");
    signal(&gtlock, Signal::SIGTERM);
    assert_eq!(end_of(&mut gtlock).code(), Some(125));
    assert!(std::iter::from_fn(|| stderr.line_or_end()).any(|line| line.contains("cut the filter off")));
    assert_eq!(content(&data), "old\n");
    assert_alone(&data, &[]);
}

/// An update whose filter ends and leaves behind what reads a line from a FIFO, and then writes one more.
fn left_behind(options: &[&str], end: &str) -> (tempfile::TempDir, std::path::PathBuf, std::process::Child) {
    let (dir, data) = old();
    let fifo = dir.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("it can be made");
    let script = format!("cat; (read line < '{}'; echo late) & {end}", fifo.display());
    let mut gtlock = gtlock_process();
    gtlock.arg("update").args(options).arg(&data).args(["--", "sh", "-c", &script]).stderr(Stdio::piped());
    let gtlock = gtlock.spawn().expect("gtlock starts");
    (dir, data, gtlock)
}

#[test]
fn the_file_is_replaced_once_everything_that_writes_the_output_has_ended() {
    let (dir, data, mut gtlock) = left_behind(&[], "exit 0");
    let mut said = [0; 256];
    let length = gtlock.stderr.as_mut().expect("it is piped").read(&mut said).expect("it says something");
    let said = String::from_utf8_lossy(&said[..length]);
    assert!(said.contains("waiting: the filter has ended"), "{said}");
    assert_eq!(content(&data), "old\n");
    assert_held(&data);
    fs::write(dir.path().join("fifo"), "\n").expect("it is read");
    assert!(end_of(&mut gtlock).success());
    assert_eq!(content(&data), "old\nlate\n");
    assert_alone(&data, &["fifo"]);
}

#[test]
fn an_update_that_waits_for_the_end_of_the_output_can_be_ended() {
    let (dir, data, mut gtlock) = left_behind(&[], "exit 0");
    let stderr = Lines::of(gtlock.stderr.take().expect("it is piped"));
    assert!(stderr.line().contains("waiting: the filter has ended"));
    signal(&gtlock, Signal::SIGTERM);
    assert_eq!(end_of(&mut gtlock).signal(), Some(15));
    assert_eq!(content(&data), "old\n");
    assert_held(&data); // by what still runs
    fs::write(dir.path().join("fifo"), "\n").expect("it is read");
    eventually("the lock is free", || typed("try -q --write", &data).succeeds());
    assert_eq!(content(&data), "old\n");
    update(&data, "cat").assert().success();
    assert_alone(&data, &["fifo"]);
}

#[test]
fn the_lock_lasts_until_the_pieces_of_a_killed_filter_have_ended() {
    let (dir, data, mut gtlock) = left_behind(&[], "kill -KILL $$");
    assert_eq!(end_of(&mut gtlock).signal(), Some(9));
    assert_held(&data);
    assert_alone(&data, &["fifo"]);
    fs::write(dir.path().join("fifo"), "\n").expect("it is read");
    eventually("the lock is free", || typed("try -q --write", &data).succeeds());
    assert_eq!(content(&data), "old\n");
}

#[test]
fn a_filter_that_holds_the_lock_for_too_long_leaves_the_file_as_it_was() {
    let (_dir, data) = old();
    let mut hung = gtlock();
    hung.args(["update", "--max-hold=100ms"]).arg(&data).args(["--", "sh", "-c", "echo part; exec sleep 99"]);
    hung.assert().code(124).stderr(predicates::str::contains("--max-hold"));
    assert_eq!(content(&data), "old\n");
    assert_alone(&data, &[]);
}

#[test]
fn an_output_that_stays_open_for_too_long_leaves_the_file_as_it_was() {
    let (dir, data, mut gtlock) = left_behind(&["--max-hold=300ms"], "exit 0");
    assert_eq!(end_of(&mut gtlock).code(), Some(124));
    assert_held(&data); // by what still runs
    fs::write(dir.path().join("fifo"), "\n").expect("it is read");
    eventually("the lock is free", || typed("try -q --write", &data).succeeds());
    assert_eq!(content(&data), "old\n");
    assert_alone(&data, &["fifo"]);
}

#[test]
fn an_output_that_cannot_be_written_is_an_error_whatever_the_filter_makes_of_it() {
    let (_dir, data) = old();
    for end in ["exit 0", "exit 3", "kill -KILL $$"] {
        let script =
            "ulimit -f 8; exec gtlock update \"$1\" -- sh -c \"trap '' PIPE; head -c 100000 /dev/zero; $2\"";
        let mut limited = shell(script, &data);
        limited.arg(end);
        let limited = to_its_end(limited).assert().code(125).stdout("");
        let said = String::from_utf8_lossy(&limited.get_output().stderr);
        assert!(said.contains("the new content cannot be written: File too large"), "{end}: {said}");
        assert_eq!(content(&data), "old\n");
        assert_alone(&data, &[]);
    }
    // As much as may be is no error.
    let script = "ulimit -f 8; exec gtlock update \"$1\" -- head -c $(($(ulimit -f) * 512)) /dev/zero";
    to_its_end(shell(script, &data)).assert().success().stderr("");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_leaves_the_file_as_it_was() {
    let script = r#"
        mount -t tmpfs -o size=64k tmpfs "$2" && cd "$2" && echo old > state.json || exit 99
        gtlock update --lock-dir "$3" state.json -- sh -c 'head -c 1000000 /dev/zero 2> /dev/null; exit 0'
        echo "status $?"
        cat state.json
        ls -A"#;
    let mounts = process("unshare").args(["-m", "true"]).output().is_ok_and(|output| output.status.success());
    if !mounts {
        return skip("a full disk", "unshare is not allowed");
    }
    let (dir, data) = data();
    let (full, locks) = (dir.path().join("full"), dir.path().join("locks"));
    fs::create_dir(&full).expect("it can be made");
    let mut unshare = process("unshare");
    unshare.args(["-m", "sh", "-c", script, "sh"]).args([&data, &full, &locks]);
    let output = to_its_end(unshare).output().expect("it runs");
    if output.status.code() == Some(99) {
        return skip("a full disk", "no tmpfs can be mounted");
    }
    assert_eq!(String::from_utf8_lossy(&output.stdout), "status 125\nold\nstate.json\n");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("state.json: the new content cannot be written: No space left on device"),
        "{said}"
    );
}

#[test]
fn a_dry_run_prints_the_result_and_changes_nothing() {
    let (dir, data) = old();
    update(&data, "cat").assert().success(); // makes the lock file
    let before = crate::common::snapshot(dir.path());
    let mut dry = gtlock();
    dry.args(["update", "--dry-run"]).arg(&data).args(["--", "sh", "-c", "cat; echo new; exit 4"]);
    dry.assert().code(4).stdout("old\nnew\n").stderr("");
    let after = crate::common::snapshot(dir.path());
    assert_eq!(before.get(&data), after.get(&data));
    assert_alone(&data, &[]);
}

#[test]
fn a_backup_keeps_the_old_content() {
    let (_dir, data) = old();
    for (old, new) in [("old\n", "1\n"), ("1\n", "2\n")] {
        let mut backup = gtlock();
        backup.args(["update", "--backup", ".bak"]).arg(&data).args(["--", "echo", new.trim()]);
        backup.assert().success().stdout("").stderr("");
        assert_eq!((content(&data).as_str(), content(&data.with_extension("json.bak")).as_str()), (new, old));
        assert_alone(&data, &["state.json.bak"]);
    }
    // As an update leaves it that was killed between the two.
    fs::remove_file(data.with_extension("json.bak")).expect("it is there");
    fs::hard_link(&data, data.with_extension("json.bak")).expect("it can be made");
    gtlock().args(["update", "--backup=.bak"]).arg(&data).args(["--", "echo", "3"]).assert().success();
    assert_eq!(content(&data.with_extension("json.bak")), "2\n");
    assert_alone(&data, &["state.json.bak"]);
}

#[test]
fn a_backup_that_cannot_be_made_leaves_the_file_as_it_was() {
    let (_dir, data) = old();
    for suffix in ["", "/x", "x/y"] {
        let mut backup = gtlock();
        backup.arg("update").arg(format!("--backup={suffix}")).arg(&data).args(["--", "cat"]);
        backup.assert().code(125).stderr(predicates::str::contains("is no end of a name"));
    }
    fs::create_dir(data.with_extension("json.d")).expect("it can be made");
    let mut backup = gtlock();
    backup.args(["update", "--backup=.d"]).arg(&data).args(["--", "echo", "new"]);
    backup.assert().code(125).stderr(predicates::str::contains("state.json: no backup can be made: "));
    assert_eq!(content(&data), "old\n");
    assert_alone(&data, &["state.json.d"]);
}

/// What becomes of an update that gets SIGTERM when it makes this system call, its filter having ended; and of the file.
#[cfg(target_os = "linux")]
fn asked_to_end_at(call: &str, options: &[&str]) -> Option<(std::process::ExitStatus, String)> {
    let (dir, data) = old();
    let trace = dir.path().join("trace");
    let mut strace = process("strace");
    strace.arg("-o").arg(&trace).arg(format!("-einject={call}:signal=TERM:when=1"));
    strace.arg(assert_cmd::cargo::cargo_bin!("gtlock")).arg("update").args(options).arg(&data);
    let status = to_its_end(strace).args(["--", "echo", "new"]).output().ok()?.status;
    fs::read_to_string(&trace).ok().filter(|trace| trace.contains(&call[..5]))?;
    assert_alone(&data, &["trace"]);
    Some((status, content(&data)))
}

#[cfg(target_os = "linux")]
#[test]
fn a_signal_that_comes_before_the_file_is_replaced_leaves_it_and_one_that_comes_later_is_too_late() {
    let Some((status, content)) = asked_to_end_at("fsync", &[]) else {
        return skip("signals at the end of an update", "no strace, or it may not trace");
    };
    assert_eq!((status.signal(), content.as_str()), (Some(15), "old\n"));
    for options in [&[][..], &["--no-sync"]] {
        let asked = asked_to_end_at("rename,renameat,renameat2", options);
        let (status, content) = asked.expect("it can be traced");
        assert_eq!((status.code(), content.as_str()), (Some(0), "new\n"));
    }
}

#[test]
fn a_file_that_is_changed_while_the_filter_runs_is_not_replaced() {
    let said = || predicates::str::contains("was changed meanwhile, so it was not replaced");
    for (script, left) in [
        ("echo mine > \"$1\"", Some("mine\n")),
        ("echo mine > \"$1.other\"; mv \"$1.other\" \"$1\"; echo new", Some("mine\n")),
        ("rm \"$1\"; echo new", None),
    ] {
        for options in [&[][..], &["--backup=.bak"]] {
            let (_dir, data) = old();
            let mut update = gtlock();
            update.arg("update").args(options).arg(&data).args(["--", "sh", "-c", script, "sh"]).arg(&data);
            update.assert().code(125).stdout("").stderr(said());
            assert_eq!(fs::read_to_string(&data).ok().as_deref(), left, "{script}");
            fs::write(&data, "").expect("it can be written");
            assert_alone(&data, &[]);
        }
    }
    // Nor one that comes while the filter runs.
    let (_dir, data) = data();
    let mut update = gtlock();
    update.arg("update").arg(&data).args(["--", "sh", "-c", "echo mine > \"$1\"", "sh"]).arg(&data);
    update.assert().code(125).stderr(said());
    assert_eq!(content(&data), "mine\n");
}

#[test]
fn a_name_that_ends_as_a_directory_does_is_an_error() {
    let (dir, data) = old();
    for name in ["state.json/", "new.json/", "state.json//"] {
        let mut update = gtlock();
        update.current_dir(dir.path()).args(["update", name, "--", "echo", "new"]);
        update.assert().code(125).stderr(predicates::str::contains("leave the slash out"));
    }
    assert_eq!(content(&data), "old\n");
    assert_alone(&data, &[]);
}

#[cfg(target_os = "linux")]
#[test]
fn the_new_content_is_on_the_disk_before_it_has_the_name_and_the_name_before_the_end() {
    let calls = |options: &[&str]| {
        let (dir, data) = old();
        let trace = dir.path().join("trace");
        let mut strace = process("strace");
        strace.arg("-o").arg(&trace).args(["-e", "trace=fsync,rename,renameat,renameat2"]);
        strace.arg(assert_cmd::cargo::cargo_bin!("gtlock")).arg("update").args(options).arg(&data);
        let output = to_its_end(strace).args(["--", "cat"]).output().ok()?;
        let trace = fs::read_to_string(trace).ok().filter(|_| output.status.success())?;
        let name = |line: &str| {
            line.split_once('(').map(|(name, _)| name.trim_end_matches(['a', 't', '2']).to_owned())
        };
        Some(trace.lines().filter_map(name).collect::<Vec<_>>())
    };
    let Some(usual) = calls(&[]) else { return skip("what is flushed", "no strace, or it may not trace") };
    assert_eq!(usual, ["fsync", "rename", "fsync"]);
    assert_eq!(calls(&["--no-sync"]).expect("it can be traced"), ["rename"]);
}

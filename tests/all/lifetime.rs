//! How long a lock lasts, and what the command inherits of it.
use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use crate::common::{
    Holder, Lines, assert_free, assert_held, data, end_of, eventually, gtlock, gtlock_process, lock_file,
    shell, status_of, to_its_end, typed,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use predicates::prelude::*;

#[test]
fn a_lock_is_held_until_the_command_ends() {
    let (_dir, data) = data();
    let holder = Holder::writer(&data);
    assert_held(&data);
    assert!(holder.release().success());
    assert_free(&data);
}

#[test]
fn a_lock_outlives_a_killed_gtlock_until_the_command_ends() {
    let (_dir, data) = data();
    let mut holder = Holder::writer(&data);
    holder.kill();
    holder.prove_held();
    assert_held(&data);
    drop(holder); // ends the command
    typed("run --write", &data).command(["echo", "mine"]).assert().stdout("mine\n");
}

#[test]
fn all_locks_of_a_request_outlive_a_killed_gtlock() {
    let (dir, data) = data();
    let other = dir.path().join("other");
    let mut request = gtlock_process();
    let mut holder = Holder::start(request.args(["run", "--write"]).arg(&data).arg("--read").arg(&other));
    holder.kill();
    holder.prove_held();
    assert_held(&data);
    typed("try --write", &other).assert().code(75);
    typed("try --read", &other).assert().success();
}

#[test]
fn a_daemon_left_behind_does_not_keep_the_lock() {
    let (_dir, data) = data();
    let script = r#"exec gtlock run --write "$1" -- sh -c 'exec 3<&0; cat <&3 &'"#;
    let mut holder = Holder::running(&mut shell(script, &data));
    assert!(holder.end().success());
    holder.prove_held(); // no longer, but the daemon is there
    assert_free(&data);
    holder.prove_held();
}

/// A command that leaves a `cat` running when it is cut off, which the signal of timeout(1) to the whole group does
/// not end. Before it starts that, it does what `$1` says.
const TWO_PIECES: &str = r#"eval "$1"; exec 3<&0; (trap "" TERM; exec cat) <&3 & wait; exit 4"#;

/// A gtlock, given here without its command, that runs [`TWO_PIECES`]. What it says goes to `$1.said`.
fn in_two_pieces(request: &str, first: &str, data: &Path) -> Holder {
    let script = format!(r#"exec {request} -- sh -c "$2" sh "$3" 2>"$1.said""#);
    Holder::running(shell(&script, data).args([TWO_PIECES, first]))
}

fn said(data: &Path) -> String {
    let mut said = data.as_os_str().to_owned();
    said.push(".said");
    fs::read_to_string(said).expect("the shell has made it")
}

/// How the command of a gtlock is cut off.
#[derive(Clone, Copy, Debug)]
enum Cut {
    /// gtlock gets this signal.
    Sent(Signal),
    /// The command itself gets SIGKILL.
    Killed,
}

impl Cut {
    fn now(self, holder: &mut Holder) -> ExitStatus {
        let gtlock = Pid::from_raw(holder.pid().try_into().expect("a process ID"));
        match self {
            Self::Sent(signal) => kill(gtlock, signal).expect("gtlock is there"),
            Self::Killed => {
                let children = format!("/proc/{gtlock}/task/{gtlock}/children");
                let child = fs::read_to_string(children).expect("gtlock is there");
                let child = Pid::from_raw(child.trim().parse().expect("a process ID"));
                kill(child, Signal::SIGKILL).expect("the command is there");
            }
        }
        holder.end()
    }
}

#[test]
fn what_a_command_that_is_cut_off_leaves_running_keeps_the_lock_until_it_ends() {
    let exits = "trap 'exit 3' HUP INT QUIT TERM";
    let signals = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT];
    let mut cases: Vec<_> = signals.into_iter().map(|signal| (Cut::Sent(signal), ":")).collect();
    cases.extend(signals.into_iter().map(|signal| (Cut::Sent(signal), exits)));
    cases.push((Cut::Sent(Signal::SIGUSR1), ":")); // of which it dies
    if cfg!(target_os = "linux") {
        cases.push((Cut::Killed, ":"));
    }
    for (cut, first) in cases {
        let (_dir, data) = data();
        let mut holder = in_two_pieces(r#"gtlock run --write "$1""#, first, &data);
        let ended = cut.now(&mut holder);
        match cut {
            _ if first == exits => assert_eq!(ended.code(), Some(3), "{cut:?}"),
            Cut::Sent(signal) => assert_eq!(ended.signal(), Some(signal as i32)),
            Cut::Killed => assert_eq!(ended.signal(), Some(Signal::SIGKILL as i32)),
        }
        holder.prove_held();
        assert_held(&data);
        assert_eq!(
            fs::read_to_string(lock_file(&data)).expect("it is there").trim_end(),
            "",
            "gtlock holds it no longer"
        );
        if cfg!(target_os = "linux") {
            let holders = status_of(&data)["holders"].clone();
            let holder = &holders[0];
            assert_eq!(holders.as_array().map(Vec::len), Some(1), "{holders}");
            assert_eq!(holder["command"], serde_json::json!(["cat"]));
            let stays = format!("the command was cut off; the lock stays with {} (cat)\n", holder["pid"]);
            assert_eq!(said(&data), format!("gtlock: {}: {stays}", data.display()));
        }
        drop(holder); // ends the cat
        eventually("the lock is free", || typed("try -q --write", &data).succeeds());
    }
}

#[test]
fn every_kind_of_lock_is_kept_for_what_a_command_that_is_cut_off_leaves_running() {
    for (request, asked) in [
        (r#"gtlock run --read "$1""#, "--write"),
        (r#"gtlock try --write "$1""#, "--read"),
        (r#"gtlock run --write "$1.other" --write "$1""#, "--read"),
        (r#"gtlock run --direct --write "$1""#, "--direct --read"),
        (r#"gtlock run --direct --read "$1""#, "--direct --write"),
        (r#"9>"$1" gtlock run --write-fd 9"#, "--direct --read"),
        (r#"9>"$1" gtlock run --read-fd 9"#, "--direct --write"),
        (r#"timeout 60 gtlock run --write "$1""#, "--read"),
    ] {
        let (_dir, data) = data();
        let mut holder = in_two_pieces(request, ":", &data);
        Cut::Sent(Signal::SIGTERM).now(&mut holder);
        holder.prove_held();
        let ask = || gtlock().args(["try", "-q"]).args(asked.split(' ')).arg(&data).ok().is_ok();
        assert!(!ask(), "{request}");
        drop(holder); // ends the cat
        eventually("the lock is free", ask);
    }
}

#[test]
fn nothing_is_said_of_a_command_that_is_cut_off_and_leaves_nothing_running() {
    let (_dir, data) = data();
    let mut holder = in_two_pieces(r#"gtlock run --write "$1""#, "exec cat", &data);
    Cut::Sent(Signal::SIGTERM).now(&mut holder);
    assert_eq!(said(&data), "");
    assert_free(&data);
}

#[test]
fn with_quiet_nothing_is_said_of_who_keeps_the_lock() {
    let (_dir, data) = data();
    let mut holder = in_two_pieces(r#"gtlock run -q --write "$1""#, ":", &data);
    Cut::Sent(Signal::SIGTERM).now(&mut holder);
    assert_eq!(said(&data), "");
    assert_held(&data);
}

#[test]
fn a_command_that_does_not_inherit_the_lock_cannot_keep_it() {
    for (request, asked) in [
        (r#"gtlock run -o --write "$1""#, "--write"),
        (r#"9>"$1" gtlock run -o --write-fd 9"#, "--direct --write"),
    ] {
        let (_dir, data) = data();
        let mut holder = in_two_pieces(request, ":", &data);
        Cut::Sent(Signal::SIGTERM).now(&mut holder);
        assert_eq!(said(&data), "");
        gtlock().args(["try"]).args(asked.split(' ')).arg(&data).assert().success();
        holder.prove_held();
    }
}

#[test]
fn a_command_that_ends_by_itself_after_another_signal_frees_the_lock() {
    let (_dir, data) = data();
    let mut holder = in_two_pieces(r#"gtlock run --write "$1""#, "trap 'exit 3' USR1", &data);
    assert_eq!(Cut::Sent(Signal::SIGUSR1).now(&mut holder).code(), Some(3));
    assert_free(&data);
    holder.prove_held();
}

#[test]
fn a_daemon_left_behind_waits_for_a_later_holder_of_the_same_lock() {
    let (_dir, data) = data();
    // It keeps GTLOCK_HELD, which names a gtlock that is gone, and the descriptor, which holds no lock.
    let script = r#"exec gtlock run --write "$1" -- sh -c '
        exec 3<&0
        sh -c '\''read -r line; echo "$line"; read -r go; exec gtlock run -v --write "$1" -- echo mine'\'' \
            sh "$1" <&3 &' sh "$1""#;
    let mut first = shell(script, &data)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the shell starts");
    let mut stdin = first.stdin.take().expect("it is piped");
    let stdout = Lines::of(first.stdout.take().expect("it is piped"));
    let stderr = Lines::of(first.stderr.take().expect("it is piped"));
    assert!(end_of(&mut first).success());
    stdin.write_all(b"here\n").expect("the daemon reads");
    assert_eq!(stdout.line(), "here");

    let second = Holder::writer(&data);
    stdin.write_all(b"go\n").expect("the daemon reads");
    let waiting = stderr.line();
    let by_second = predicate::str::contains(format!("held for writing by {} (cat)", second.pid()));
    assert!(waiting.contains("waiting") && by_second.eval(&waiting), "{waiting}");
    second.release();
    assert_eq!(stdout.line(), "mine");
}

#[test]
fn a_command_that_closes_its_descriptors_gives_up_the_protection_against_sigkill_only() {
    let (_dir, data) = data();
    let script = r#"exec gtlock run --write "$1" -- perl -MPOSIX -e '
        POSIX::close($_) for 3 .. 255; exec "cat"'"#;
    let mut holder = Holder::running(&mut shell(script, &data));
    assert_held(&data);
    holder.kill();
    holder.prove_held(); // no longer, but the command is there
    assert_free(&data);
}

#[test]
fn a_command_may_use_the_low_descriptors_for_its_own() {
    let (dir, data) = data();
    let script = r#"exec gtlock run --write "$1" -- sh -c '
        exec 3>"$1.3" 4>"$1.4" 5>"$1.5" 6>"$1.6" 7>"$1.7" 8>"$1.8" 9>"$1.9"
        exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-
        exec cat' sh "$1""#;
    let mut holder = Holder::running(&mut shell(script, &data));
    assert!(dir.path().join("state.json.3").exists());
    holder.kill();
    holder.prove_held();
    assert_held(&data);
}

#[cfg(target_os = "linux")]
#[test]
fn a_command_gets_the_descriptors_of_its_caller_and_those_of_the_locks_at_100_and_above() {
    let (dir, data) = data();
    let other = dir.path().join("other");
    let descriptors = |through: &mut Command| -> Vec<i32> {
        let list = r"print map { qq($_\n) } grep { -e qq(/proc/$$/fd/$_) } 0 .. 999";
        let output = through.args(["perl", "-e", list]).output().expect("sh runs");
        let numbers = String::from_utf8(output.stdout).expect("numbers");
        numbers.lines().map(|number| number.parse().expect("a number")).collect()
    };
    let with_7 = || {
        let mut shell = crate::common::process("sh");
        shell.args(["-c", r#"exec 7</dev/null; exec "$@""#, "sh"]);
        shell
    };
    let callers = descriptors(&mut with_7());
    assert!(callers.contains(&7), "{callers:?}");
    let mut request = with_7();
    let mut commands = descriptors(
        request.args(["gtlock", "run", "--write"]).arg(&data).arg("--read").arg(&other).arg("--"),
    );
    commands.retain(|fd| !callers.contains(fd));
    assert!(commands.len() == 2 && commands.iter().all(|&fd| fd >= 100), "{commands:?}");
}

#[test]
fn a_command_reads_through_a_descriptor_of_its_caller() {
    let (_dir, data) = data();
    std::fs::write(&data, "content\n").expect("the data can be written");
    let script = r#"exec 5<"$1"; exec gtlock run --read "$1" -- cat /dev/fd/5"#;
    to_its_end(shell(script, &data)).assert().success().stdout("content\n");
}

#[test]
fn a_small_limit_of_open_files_is_enough() {
    let (_dir, data) = data();
    let script = r#"ulimit -n 10; exec gtlock run --write "$1" -- cat"#;
    let mut holder = Holder::running(&mut shell(script, &data));
    holder.kill();
    holder.prove_held();
    assert_held(&data);
}

/// A nested gtlock that does not wait for ever, should it wait. The watchdog of the outer one could not end
/// it.
const NESTED: [&str; 4] = ["perl", "-e", "alarm 60; exec @ARGV", "gtlock"];

/// What a nested gtlock gets that asks for the lock of its ancestor.
fn already_locked() -> impl Predicate<str> {
    predicate::str::contains("already locked by ").and(predicate::str::contains("\n").count(1))
}

#[test]
fn a_nested_gtlock_that_would_wait_for_its_ancestor_fails_at_once() {
    let (_dir, data) = data();
    for (outer, inner) in [("--write", "--write"), ("--write", "--read"), ("--read", "--write")] {
        for nested in [&["run"][..], &["run", "--timeout=60"], &["run", "--retry-delay=1ms"], &["run", "-q"]]
        {
            let mut command = gtlock();
            command.args(["run", outer]).arg(&data).arg("--").args(NESTED).args(nested);
            command.arg(inner).arg(&data).args(["--", "echo", "ran"]);
            command.assert().code(125).stdout("").stderr(already_locked());
        }
    }
}

#[test]
fn a_nested_gtlock_that_does_not_wait_is_refused() {
    let (_dir, data) = data();
    for (outer, inner) in [("--write", "--write"), ("--write", "--read"), ("--read", "--write")] {
        for nested in [&["run", "--timeout=-1"][..], &["try"]] {
            let mut command = gtlock();
            command.args(["run", outer]).arg(&data).args(["--", "gtlock"]).args(nested);
            command.arg(inner).arg(&data).args(["--", "echo", "ran"]);
            command.assert().code(75).stdout("").stderr(predicate::str::contains(": busy: held for "));
        }
    }
}

#[test]
fn a_gtlock_nested_twice_sees_the_lock_of_the_outermost() {
    let (dir, data) = data();
    let other = dir.path().join("other");
    let script = r#"gtlock run --write "$1" -- sh -c 'gtlock run --write "$2" -- \
        sh -c "gtlock run --timeout 60 --read \"\$1\" -- echo ran; echo \$?" sh "$1"' sh "$1" "$2""#;
    let mut shell = shell(script, &data);
    shell.arg(&other);
    to_its_end(shell).assert().success().stdout("125\n").stderr(already_locked());
}

#[test]
fn nested_readers_and_nested_locks_on_other_files_run() {
    let (dir, data) = data();
    let other = dir.path().join("other");
    for (outer, inner, inner_data) in
        [("--read", "--read", &data), ("--write", "--write", &other), ("--read", "--write", &other)]
    {
        for nested in ["run", "try"] {
            let mut command = gtlock();
            command.args(["run", outer]).arg(&data).args(["--", "gtlock", nested, inner]).arg(inner_data);
            command.args(["--", "echo", "ran"]).assert().success().stdout("ran\n").stderr("");
        }
    }
}

#[test]
fn a_directory_that_is_moved_with_a_held_lock_is_no_reason_to_complain() {
    let (dir, _) = data();
    let [project, moved] = ["project", "moved"].map(|name| dir.path().join(name));
    fs::create_dir(&project).expect("it can be made");
    let mut command = gtlock();
    command.args(["run", "-v", "--write"]).arg(project.join("state.json"));
    let output = command.args(["--", "mv"]).args([&project, &moved]).output().expect("it runs");
    let said = String::from_utf8(output.stderr).expect("text");
    assert!(output.status.success() && !said.contains("replaced"), "{said}");
    assert_free(&moved.join("state.json"));
}

#[test]
fn a_nested_gtlock_sees_the_lock_of_its_ancestor_without_the_descriptor() {
    let (_dir, data) = data();
    let script = r#"gtlock run --write "$1" -- perl -MPOSIX -e '
        POSIX::close($_) for 3 .. 255; exec qw(gtlock run --timeout 60 --write), @ARGV, "--", "echo", "ran"' "$1""#;
    to_its_end(shell(script, &data)).assert().code(125).stdout("").stderr(already_locked());
}

#[cfg(target_os = "linux")]
#[test]
fn a_nested_gtlock_sees_the_lock_of_its_ancestor_without_the_variable() {
    let (_dir, data) = data();
    let script =
        r#"gtlock run --write "$1" -- env -u GTLOCK_HELD gtlock run --timeout 60 --write "$1" -- echo ran"#;
    let assert = to_its_end(shell(script, &data)).assert().code(125).stdout("");
    assert.stderr(predicate::str::contains("already locked by process "));
}

#[cfg(target_os = "linux")]
#[test]
fn a_nested_gtlock_sees_the_lock_of_an_ancestor_that_was_killed() {
    if !crate::common::dead_takers_are_shown() {
        return crate::common::skip("a killed ancestor", "the kernel tells a container of no dead taker");
    }
    let (_dir, data) = data();
    let script = r#"gtlock run --write "$1" -- sh -c '
        kill -KILL $PPID
        parent=$PPID
        while [ "$parent" = "$PPID" ]; do read -r _ _ _ parent _ </proc/$$/stat; done
        gtlock run --timeout 60 --write "$1" -- echo ran
        echo $?' sh "$1""#;
    let assert = to_its_end(shell(script, &data)).assert().code(128 + 9).stdout("125\n");
    assert.stderr(predicate::str::contains("already locked by an inherited descriptor"));
}

#[cfg(target_os = "linux")]
#[test]
fn a_variable_that_names_an_ancestor_without_the_lock_does_not_count() {
    let (_dir, data) = data();
    let _holder = Holder::writer(&data);
    let lock = std::fs::metadata(lock_file(&data)).expect("the lock file is there");
    let mut command = gtlock();
    command.env("GTLOCK_HELD", format!("{}:{}:{}", std::process::id(), lock.dev(), lock.ino()));
    command.args(["run", "--timeout=50ms", "--write"]).arg(&data).args(["--", "echo", "ran"]);
    command.assert().code(75).stdout("").stderr(predicate::str::contains("timed out"));
}

#[test]
fn a_variable_that_names_nobody_alive_does_not_count() {
    let (_dir, data) = data();
    let mut gone = Command::new("true").spawn().expect("true runs");
    end_of(&mut gone);
    let holder = Holder::writer(&data);
    let lock = std::fs::metadata(lock_file(&data)).expect("the lock file is there");
    // The holder is alive but no ancestor of the caller.
    for pid in [gone.id(), holder.pid()] {
        let mut command = gtlock();
        command.env("GTLOCK_HELD", format!("{pid}:{}:{}", lock.dev(), lock.ino()));
        command.args(["run", "--timeout=50ms", "--write"]).arg(&data).args(["--", "echo", "ran"]);
        command.assert().code(75).stdout("").stderr(predicate::str::contains("timed out"));
    }
}

#[test]
fn a_limit_of_file_sizes_costs_the_record_and_nothing_else() {
    let (_dir, data) = data();
    let script = r#"ulimit -f 0; gtlock run -v --write "$1" -- gtlock try --read "$1""#;
    let said = predicate::str::contains("without a record of the holder: File too large");
    to_its_end(shell(script, &data)).assert().code(75).stdout("").stderr(said);
}

#[test]
fn lines_of_the_dead_stay_in_a_record_until_it_is_long() {
    let (_dir, data) = data();
    assert_free(&data);
    // 4096 bytes are 372.4 such lines, and its own is among them.
    for (dead, left) in [(370, 370), (372, 0)] {
        std::fs::write(lock_file(&data), "4200000000\n".repeat(dead)).expect("it can be written");
        let mut reader = gtlock();
        reader.args(["run", "--read"]).arg(&data).args(["--", "cat"]).arg(lock_file(&data));
        let seen = reader.assert().success().stderr("");
        assert_eq!(seen.get_output().stdout.split(|&b| b == b'\n').count(), left + 2, "{dead}"); // and its own
    }
}

#[test]
fn a_record_that_is_full_of_the_living_does_without_another_line() {
    let (_dir, data) = data();
    assert_free(&data);
    let full = format!("{}\n", std::process::id()).repeat(2048)[..4096].to_owned();
    let full = full[..=full.rfind('\n').expect("a line")].to_owned();
    std::fs::write(lock_file(&data), &full).expect("it can be written");
    let said = predicate::str::contains("without a record of the holder: the record is full");
    let mut reader = gtlock();
    reader.args(["run", "-v", "--read"]).arg(&data).args(["--", "cat"]).arg(lock_file(&data));
    reader.assert().success().stdout(full).stderr(said);
}

#[test]
fn a_reader_that_gets_no_turn_at_the_record_does_without() {
    let (_dir, data) = data();
    let reader = Holder::reader(&data);
    let record = || std::fs::read_to_string(lock_file(&data)).expect("it is there");
    let before = record();
    let locks = std::fs::File::open(lock_file(&data).parent().expect("a directory")).expect("it is there");
    #[expect(clippy::disallowed_methods, reason = "another reader's turn")]
    locks.lock().expect("nobody else has it");
    // Its own line neither in nor out while somebody else edits; so the line of the reader that ends stays.
    let said = predicate::str::contains("without a record of the holder: other readers were editing");
    let mut other = gtlock();
    other.args(["run", "-v", "--read"]).arg(&data).args(["--", "cat"]).arg(lock_file(&data));
    other.assert().success().stdout(before.clone()).stderr(said);
    assert!(reader.release().success());
    assert_eq!(record(), before);
    drop(locks);
    assert_free(&data);
}

#[test]
fn to_start_a_command_takes_no_descriptor() {
    let (_dir, data) = data();
    assert_free(&data); // to make a lock directory takes some
    let script = r#"ulimit -n 5; gtlock run --write "$1" -- gtlock --version"#;
    to_its_end(shell(script, &data)).assert().success().stderr("");
}

#[test]
fn a_command_runs_under_thousands_of_locks() {
    let (dir, data) = data();
    // The limit of descriptors of whoever runs the tests may be lower, and not be ours to raise.
    let script = r"ulimit -n 8000 || exit 9
        touch $(seq -f f%.0f 7000)
        exec gtlock run --direct $(seq -f --read=f%.0f 7000) -- sh -c 'gtlock try -q --direct --write f7000; echo $?'";
    let mut shell = shell(script, &data);
    shell.current_dir(&dir);
    let output = to_its_end(shell).output().expect("it runs");
    if output.status.code() == Some(9) {
        return crate::common::skip("7,000 locks", "so many descriptors cannot be had");
    }
    assert_eq!((output.stdout, output.stderr), (b"75\n".to_vec(), Vec::new()));
}

#[test]
fn the_variable_names_each_lock_that_is_still_held_once() {
    let (_dir, data) = data();
    let (dead, holder) = ("4200000000:1:2 4200000001:3:4", Holder::writer(&data));
    let stat = std::fs::metadata(lock_file(&data)).expect("it is there");
    let held = format!(
        "{}:{}:{}",
        holder.pid(),
        std::os::unix::fs::MetadataExt::dev(&stat),
        std::os::unix::fs::MetadataExt::ino(&stat)
    );
    let mut nested = gtlock();
    nested.env("GTLOCK_HELD", format!("{dead} {held} {held} {dead}"));
    nested.args(["run", "--write"]).arg(data.with_file_name("other")).args([
        "--",
        "sh",
        "-c",
        "echo $GTLOCK_HELD",
    ]);
    let printed = String::from_utf8(nested.assert().success().get_output().stdout.clone()).expect("text");
    let entries: Vec<&str> = printed.split_whitespace().collect();
    assert_eq!(entries.len(), 2, "{printed}");
    assert!(entries.contains(&held.as_str()), "{printed}");
}

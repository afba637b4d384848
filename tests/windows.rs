//! What gtlock does its own way on Windows, and that the rest holds there too.
#![cfg(windows)]

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// The program to check: the one of this build, unless `GTLOCK_EXE` names another (a release).
fn exe() -> String {
    env::var("GTLOCK_EXE").unwrap_or_else(|_| env!("CARGO_BIN_EXE_gtlock").to_owned())
}

/// `gtlock ARGS` in a directory.
fn gtlock(dir: &Path, args: &[&str]) -> Command {
    let mut gtlock = Command::new(exe());
    gtlock.args(args).current_dir(dir).env_remove("GTLOCK_HELD").env_remove("GTLOCK_TIMEOUT");
    gtlock
}

/// Starts a process; once more if Wine reports that it ended before it began, for then none of it has run.
fn spawn(command: &mut Command) -> Child {
    const ERROR_INTERNAL_ERROR: i32 = 1359;
    match command.spawn() {
        Err(e) if e.raw_os_error() == Some(ERROR_INTERNAL_ERROR) => command.spawn(),
        started => started,
    }
    .expect("gtlock runs")
}

fn output(dir: &Path, args: &[&str]) -> (Option<i32>, String, String) {
    let mut gtlock = gtlock(dir, args);
    gtlock.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let Output { status, stdout, stderr } = spawn(&mut gtlock).wait_with_output().expect("it ends");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (status.code(), text(stdout), text(stderr))
}

/// The code that gtlock exits with.
fn code(dir: &Path, args: &[&str]) -> Option<i32> {
    output(dir, args).0
}

fn temp() -> TempDir {
    tempfile::tempdir().expect("there is a place for temporary files")
}

fn exists(dir: &Path, name: &str) -> bool {
    dir.join(".gastown/locks").join(name).exists()
}

/// A command that answers, under a lock, which is thereby provably held.
struct Holder {
    gtlock: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    stderr: BufReader<ChildStderr>,
}

impl Holder {
    /// `gtlock run ARGS -- cmd`, once it has the lock.
    fn run(dir: &Path, args: &[&str]) -> Self {
        let mut holder = Self::start(dir, args);
        holder.answers();
        holder
    }

    /// `gtlock run ARGS -- cmd`, which may have to wait.
    fn start(dir: &Path, args: &[&str]) -> Self {
        let args = [&["run"], args, &["--", "cmd", "/d", "/q"]].concat();
        let mut gtlock = gtlock(dir, &args);
        gtlock.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut gtlock = spawn(&mut gtlock);
        let stdin = gtlock.stdin.take().expect("a pipe");
        let stdout = BufReader::new(gtlock.stdout.take().expect("a pipe"));
        let stderr = BufReader::new(gtlock.stderr.take().expect("a pipe"));
        Self { gtlock, stdin, stdout, stderr }
    }

    fn answers(&mut self) {
        self.stdin.write_all(b"echo held\r\n").expect("cmd reads");
        let mut line = String::new();
        while !line.trim_end().ends_with("held") || line.contains("echo") {
            line.clear();
            assert_ne!(self.stdout.read_line(&mut line).expect("cmd writes"), 0, "cmd has ended");
        }
    }

    fn pid(&self) -> String {
        self.gtlock.id().to_string()
    }

    /// Ends the command by the end of its input.
    fn end(self) -> ExitStatus {
        let Self { mut gtlock, stdin, .. } = self;
        drop(stdin);
        gtlock.wait().expect("gtlock ends")
    }

    /// Kills gtlock, and waits until nobody has the command's output any more: until the command has ended.
    fn kill(self) {
        let Self { mut gtlock, stdin, mut stdout, .. } = self;
        gtlock.kill().expect("it is ours to kill");
        gtlock.wait().expect("it ends");
        stdout.read_to_end(&mut Vec::new()).expect("the command ends too");
        drop(stdin); // only now, since it would have ended the command as well
    }
}

#[test]
fn at_most_so_many_have_slots_and_a_waiter_gets_the_one_that_is_given_back() {
    let temp = temp();
    let dir = temp.path();
    let of_three = ["--read", "f", "--slots", "3"];
    let two = Holder::run(dir, &[&of_three[..], &["--take=2"]].concat());
    let shown = |args: &[&str]| {
        let try_it =
            [&["try"], &of_three[..], args, &["--", "cmd", "/d", "/c", "echo %GTLOCK_SLOT%"]].concat();
        let (code, stdout, _) = output(dir, &try_it);
        (code, stdout.trim_end().to_owned())
    };
    assert_eq!(shown(&[]), (Some(0), "3".to_owned()));
    assert_eq!(shown(&["--take=2"]).0, Some(75));
    let third = Holder::run(dir, &of_three);
    assert_eq!(shown(&[]).0, Some(75));
    assert_eq!(code(dir, &["try", "--read", "f"]), Some(0), "those without slots are not counted");
    assert_eq!(code(dir, &["try", "--write", "f"]), Some(75));
    assert_eq!(code(dir, &["clean", "-q"]), Some(0));
    assert!(exists(dir, "f.lock") && exists(dir, "f.lock.queue"));

    let mut waiter = Holder::start(dir, &[&of_three[..], &["-v", "--take=2"]].concat());
    waiter.stderr.read_line(&mut String::new()).expect("it says that it waits");
    third.kill();
    assert_eq!(shown(&[]).0, Some(75), "it is not passed");
    assert!(two.end().success());
    waiter.answers();
    assert_eq!(shown(&["--take=1"]), (Some(0), "3".to_owned()));
    assert!(waiter.end().success());
    assert_eq!(code(dir, &["clean", "-q"]), Some(0));
    assert!(!exists(dir, "f.lock") && !exists(dir, "f.lock.queue"));
}

#[test]
fn who_would_be_one_waiter_too_many_leaves_at_once() {
    let temp = temp();
    let dir = temp.path();
    let holder = Holder::run(dir, &["--write", "f"]);
    let mut waiter = Holder::start(dir, &["-v", "--write", "f", "--max-waiters=1"]);
    waiter.stderr.read_line(&mut String::new()).expect("it says that it waits");
    let one_more = ["run", "--write", "f", "--max-waiters=1", "--", "cmd", "/d", "/c", "exit"];
    let refused = output(dir, &one_more);
    assert_eq!(refused.0, Some(75));
    assert!(refused.2.contains("1 other waits already (--max-waiters)"), "{refused:?}");
    assert!(holder.end().success());
    waiter.answers();
    assert!(waiter.end().success());
}

#[test]
fn no_update_is_lost_while_status_and_clean_go_about() {
    const WRITERS: usize = 4;
    const UPDATES: usize = 12;
    let temp = temp();
    let dir = temp.path();
    fs::write(dir.join("counter"), "0\r\n").expect("written");
    let script = "@echo off\r\nset /p n=<counter\r\nset /a n=n+1 >nul\r\n>counter echo %n%\r\n";
    fs::write(dir.join("increment.bat"), script).expect("written");
    thread::scope(|scope| {
        let writer = || {
            for _ in 0..UPDATES {
                let increment = ["run", "-q", "--write", "counter", "--", "cmd", "/d", "/c", "increment.bat"];
                assert_eq!(output(dir, &increment), (Some(0), String::new(), String::new()));
            }
        };
        let writers: Vec<_> = (0..WRITERS).map(|_| scope.spawn(writer)).collect();
        while !writers.iter().all(thread::ScopedJoinHandle::is_finished) {
            assert_eq!(code(dir, &["clean"]), Some(0));
            assert_eq!(code(dir, &["status"]), Some(0));
        }
    });
    let counter = fs::read_to_string(dir.join("counter")).expect("read");
    assert_eq!(counter.trim(), (WRITERS * UPDATES).to_string());
}

#[test]
fn readers_share_and_shut_out_a_writer() {
    let temp = temp();
    let dir = temp.path();
    let first = Holder::run(dir, &["--read", "state.json"]);
    let second = Holder::run(dir, &["--read", "state.json"]);
    let (_, shown, _) = output(dir, &["status"]);
    assert!(shown.contains("held   read") && shown.contains(&first.pid()), "{shown}");
    assert!(shown.contains(&second.pid()), "{shown}");
    assert_eq!(code(dir, &["try", "--read", "state.json"]), Some(0));
    assert_eq!(code(dir, &["try", "--write", "state.json"]), Some(75));
    assert!(first.end().success() && second.end().success());
    assert_eq!(code(dir, &["try", "--write", "state.json"]), Some(0));
}

#[test]
fn try_exits_75_at_once_and_says_who_holds() {
    let temp = temp();
    let dir = temp.path();
    let holder = Holder::run(dir, &["--write", "state.json"]);
    for mode in ["--read", "--write"] {
        let (code, _, stderr) = output(dir, &["try", mode, "state.json", "--", "cmd", "/c", "exit 3"]);
        assert_eq!(code, Some(75));
        let told = format!("gtlock: state.json: busy: held for writing by {} (cmd /d /q) for ", holder.pid());
        assert!(stderr.starts_with(&told), "{stderr}");
    }
    assert_eq!(code(dir, &["try", "-q", "-E", "9", "--write", "state.json"]), Some(9));
    assert!(holder.end().success());
}

#[test]
fn a_timeout_exits_75_and_not_before_it_is_over() {
    let temp = temp();
    let dir = temp.path();
    let holder = Holder::run(dir, &["--write", "state.json"]);
    for wait in [&["--timeout", "0.3"][..], &["--timeout", "0.3", "--retry-delay", "10ms"]] {
        let started = Instant::now();
        let args = [&["run"], wait, &["--write", "state.json", "--", "cmd", "/c", "exit 3"]].concat();
        let (code, _, stderr) = output(dir, &args);
        assert_eq!(code, Some(75));
        assert!(started.elapsed() >= Duration::from_millis(300));
        assert!(stderr.contains("timed out after "), "{stderr}");
    }
    assert!(holder.end().success());
}

#[test]
fn a_waiter_is_woken_by_the_release() {
    let temp = temp();
    let dir = temp.path();
    let holder = Holder::run(dir, &["--write", "state.json"]);
    let mut waiter = Holder::start(dir, &["-v", "--timeout", "60", "--write", "state.json"]);
    let mut told = String::new();
    waiter.stderr.read_line(&mut told).expect("it says that it waits");
    assert!(told.contains("waiting: held for writing by"), "{told}");
    assert!(holder.end().success());
    waiter.answers();
    assert!(waiter.end().success());
}

#[test]
fn a_waiting_writer_keeps_later_readers_back() {
    let temp = temp();
    let dir = temp.path();
    let holder = Holder::run(dir, &["--read", "state.json"]);
    let mut writer = Holder::start(dir, &["-v", "--write", "state.json"]);
    writer.stderr.read_line(&mut String::new()).expect("it says that it waits");
    assert_eq!(code(dir, &["try", "--read", "state.json"]), Some(75));
    let mut reader = Holder::start(dir, &["-v", "--read", "state.json"]);
    let mut told = String::new();
    reader.stderr.read_line(&mut told).expect("it says that it waits");
    assert!(told.contains("waiting: held for reading by"), "{told}");
    assert!(holder.end().success());
    writer.answers();
    assert!(writer.end().success());
    reader.answers();
    assert!(reader.end().success());
}

#[test]
fn waiters_get_the_lock_in_the_order_in_which_they_came() {
    const WAITERS: usize = 6;
    let temp = temp();
    let dir = temp.path();
    let holder = Holder::run(dir, &["--write", "state.json"]);
    let waiters: Vec<_> = (0..WAITERS)
        .map(|n| {
            let mode = if n % 2 == 0 { "--write" } else { "--read" };
            let appends = format!("echo {n} >>order");
            let run = ["run", "-v", mode, "state.json", "--", "cmd", "/d", "/c", &appends];
            let mut waiter = spawn(gtlock(dir, &run).stderr(Stdio::piped()));
            // It is in line as soon as it says that it waits.
            let mut stderr = BufReader::new(waiter.stderr.take().expect("a pipe"));
            let mut told = String::new();
            stderr.read_line(&mut told).expect("it says that it waits");
            assert!(told.contains("waiting: held for writing by"), "{told}");
            (waiter, stderr)
        })
        .collect();
    assert!(holder.end().success());
    for (mut waiter, mut stderr) in waiters {
        stderr.read_to_end(&mut Vec::new()).expect("it is read to its end");
        assert!(waiter.wait().expect("it ends").success());
    }
    let order = fs::read_to_string(dir.join("order")).expect("they have run");
    let order: Vec<usize> = order.lines().map(|n| n.trim().parse().expect("a number")).collect();
    assert_eq!(order, (0..WAITERS).collect::<Vec<_>>());
}

#[test]
fn a_waiter_that_is_killed_or_gives_up_leaves_its_place_in_line() {
    let temp = temp();
    let dir = temp.path();
    let holder = Holder::run(dir, &["--write", "state.json"]);
    let mut killed = Holder::start(dir, &["-v", "--write", "state.json"]);
    killed.stderr.read_line(&mut String::new()).expect("it says that it waits");
    assert_eq!(code(dir, &["run", "--timeout", "0.1", "--write", "state.json", "--", "cmd"]), Some(75));
    let mut next = Holder::start(dir, &["-v", "--write", "state.json"]);
    next.stderr.read_line(&mut String::new()).expect("it says that it waits");
    killed.kill();
    assert!(holder.end().success());
    next.answers();
    assert!(next.end().success());
    assert_eq!(code(dir, &["try", "--write", "state.json"]), Some(0), "nobody is in line");
}

#[test]
fn what_windows_cannot_do_is_refused_with_a_reason() {
    let temp = temp();
    let refused = |args: &[&str], why| {
        let (code, _, stderr) = output(temp.path(), args);
        assert_eq!(code, Some(125), "{stderr}");
        assert!(stderr.contains(why), "{stderr}");
    };
    refused(&["try", "--direct", "--write", "state.json"], "lock it without --direct");
    refused(&["try", "--write-fd", "3"], "lock a file by its name");
    let no_fork = ["run", "--no-fork", "--write", "state.json", "--", "cmd", "/c", "exit"];
    refused(&no_fork, "run it without --no-fork");
}

#[test]
fn the_commands_exit_code_is_passed_on_in_all_its_32_bits() {
    let temp = temp();
    for exit in [0, 1, 75, 255, 256, 300, 70_000, i32::MAX, -1, -1_073_741_510] {
        let exits = format!("exit {exit}");
        let run = ["run", "--write", "state.json", "--", "cmd", "/d", "/c", &exits];
        assert_eq!(code(temp.path(), &run), Some(exit));
    }
}

#[test]
fn a_command_that_is_not_there_is_127_and_one_that_is_no_program_126() {
    let temp = temp();
    fs::write(temp.path().join("text.exe"), "no program").expect("written");
    for (program, exit) in [("no-such-command", 127), ("Z:\\no\\such.exe", 127), (".\\text.exe", 126)] {
        let (code, _, stderr) = output(temp.path(), &["run", "--write", "state.json", "--", program]);
        assert_eq!(code, Some(exit), "{stderr}");
        assert!(stderr.starts_with(&format!("gtlock: {program}: ")), "{stderr}");
    }
    assert_eq!(code(temp.path(), &["try", "--write", "state.json"]), Some(0), "the lock is free again");
}

#[test]
fn the_record_is_beside_the_lock_file_and_status_reads_it() {
    let temp = temp();
    let dir = temp.path();
    let holder = Holder::run(dir, &["--write", "state.json"]);
    let record = dir.join(".gastown/locks/state.json.lock.pid");
    assert_eq!(fs::read_to_string(&record).expect("readable"), format!("{}\n", holder.pid()));
    let (code, json, _) = output(dir, &["status", "--json", "state.json"]);
    assert_eq!(code, Some(0));
    for part in [r#""state": "held""#, r#""mode": "write""#, r#""alive": true"#, &holder.pid()] {
        assert!(json.contains(part), "{part}: {json}");
    }
    assert!(holder.end().success());
    assert_eq!(fs::read_to_string(&record).expect("readable").trim_matches('\n'), "");
    assert!(output(dir, &["status"]).1.contains("free"));
}

#[test]
fn killing_gtlock_ends_the_command_and_leaves_a_stale_record() {
    let temp = temp();
    let dir = temp.path();
    let holder = Holder::run(dir, &["--write", "state.json"]);
    let pid = holder.pid();
    holder.kill();
    let (_, shown, _) = output(dir, &["status"]);
    assert!(shown.contains("stale") && shown.contains(&pid) && shown.contains("no"), "{shown}");
    let next = Holder::run(dir, &["--write", "state.json"]);
    let (_, shown, _) = output(dir, &["status"]);
    assert!(shown.contains("held") && shown.contains(&next.pid()), "{shown}");
    assert!(next.end().success());
}

#[test]
#[ignore = "no check: the command of the next one, which leaves a process behind"]
#[expect(clippy::zombie_processes, reason = "it is to outlive this process")]
fn leave_a_daemon() {
    // A gtlock that holds a lock until its input ends.
    let run = ["run", "--write", "daemon", "--", "cmd", "/d", "/q"];
    spawn(&mut gtlock(Path::new("."), &run));
}

#[test]
fn what_a_command_leaves_behind_lives_on_without_the_lock() {
    let temp = temp();
    let dir = temp.path();
    let this = env::current_exe().expect("it has a path");
    let mut outer = gtlock(dir, &["run", "--write", "state.json", "--"]);
    outer.arg(this).args(["--ignored", "--exact", "leave_a_daemon"]);
    let mut outer = spawn(outer.stdin(Stdio::piped()).stdout(Stdio::piped()));
    let mut stdin = outer.stdin.take().expect("a pipe");
    assert!(outer.wait().expect("it ends").success());
    assert_eq!(code(dir, &["try", "--write", "state.json"]), Some(0), "the lock is free");
    let mut stdout = BufReader::new(outer.stdout.take().expect("a pipe"));
    stdin.write_all(b"echo alive\r\n").expect("the daemon reads");
    let mut line = String::new();
    while !line.trim_end().ends_with("alive") || line.contains("echo") {
        line.clear();
        assert_ne!(stdout.read_line(&mut line).expect("the daemon writes"), 0, "it has ended");
    }
    assert_eq!(code(dir, &["try", "--write", "daemon"]), Some(75));
    drop(stdin);
    stdout.read_to_end(&mut Vec::new()).expect("it ends");
}

#[test]
fn clean_keeps_what_is_held_and_removes_all_files_of_what_is_free() {
    let temp = temp();
    let dir = temp.path();
    let holder = Holder::run(dir, &["--write", "state.json"]);
    assert_eq!(code(dir, &["run", "--read", "other", "--", "cmd", "/c", "exit"]), Some(0));
    assert_eq!(output(dir, &["clean"]).1, "removed 1 lock file, 1 held\n");
    assert!(!exists(dir, "other.lock") && !exists(dir, "other.lock.pid"));
    assert!(exists(dir, "state.json.lock") && exists(dir, "state.json.lock.pid"));
    assert_eq!(code(dir, &["try", "--write", "state.json"]), Some(75));
    // Somebody waits, and so there is a queue.
    assert_eq!(code(dir, &["run", "--timeout", "0.1", "--write", "state.json", "--", "cmd"]), Some(75));
    assert!(exists(dir, "state.json.lock.queue"));
    assert!(holder.end().success());
    assert_eq!(output(dir, &["clean"]).1, "removed 1 lock file, 0 held\n");
    let left = fs::read_dir(dir.join(".gastown/locks")).expect("it is there");
    let left: Vec<_> = left.map(|entry| entry.expect("it can be listed").file_name()).collect();
    assert_eq!(left, [".gitignore"]);
}

#[test]
fn clean_counts_what_windows_does_not_let_it_remove_as_held() {
    use std::os::windows::fs::OpenOptionsExt;
    const FILE_SHARE_READ_WRITE: u32 = 3; // and not FILE_SHARE_DELETE
    let temp = temp();
    let dir = temp.path();
    assert_eq!(code(dir, &["try", "--write", "state.json"]), Some(0));
    for name in ["state.json.lock.pid", "state.json.lock"] {
        let path = dir.join(".gastown/locks").join(name);
        let open = fs::File::options().read(true).share_mode(FILE_SHARE_READ_WRITE).open(path);
        assert_eq!(
            output(dir, &["clean"]),
            (Some(0), "removed 0 lock files, 1 held\n".into(), String::new())
        );
        drop(open.expect("it is there"));
    }
    assert_eq!(output(dir, &["clean"]).1, "removed 1 lock file, 0 held\n");
}

#[test]
fn what_gtlock_did_not_write_is_neither_locked_nor_removed() {
    let temp = temp();
    let dir = temp.path();
    fs::write(dir.join("Cargo.lock"), "version = 4\n").expect("written");
    fs::create_dir(dir.join("odd.lock")).expect("made");
    for (data, kind) in [("Cargo", "a file with content"), ("odd", "a directory")] {
        let (code, _, stderr) = output(dir, &["try", "--lock-dir", ".", "--write", data]);
        assert_eq!(code, Some(125));
        assert!(stderr.contains(&format!("is not a lock file but {kind}")), "{stderr}");
    }
    let (code, stdout, _) = output(dir, &["clean", "--lock-dir", "."]);
    assert_eq!(code, Some(0));
    assert!(stdout.contains("Cargo.lock: not a lock file") && stdout.contains("removed 0"), "{stdout}");
    assert_eq!(fs::read_to_string(dir.join("Cargo.lock")).expect("still there"), "version = 4\n");
}

#[test]
fn paths_have_drives_spaces_and_any_letters() {
    let temp = temp();
    let dir = temp.path().join("ein Jäger 雪");
    fs::create_dir(&dir).expect("made");
    let data = dir.join("Zustand (1) ☃.json");
    let data = data.to_str().expect("Unicode");
    assert_eq!(data.chars().nth(1), Some(':'), "a drive: {data}");
    let holder = Holder::run(temp.path(), &["--write", data]);
    // By an absolute and by a relative path, with either separator: the same lock.
    let relative = "ein Jäger 雪/Zustand (1) ☃.json";
    for same in [data, relative, &relative.replace('/', "\\")] {
        let (code, _, stderr) = output(temp.path(), &["try", "--write", same]);
        assert_eq!(code, Some(75));
        assert!(stderr.starts_with(&format!("gtlock: {same}: busy: ")), "{stderr}");
    }
    let (_, shown, _) = output(temp.path(), &["status", data]);
    assert!(shown.contains(r"ein Jäger 雪\.gastown\locks\Zustand (1) ☃.json.lock"), "{shown}");
    assert!(!shown.contains(r"\\?\"), "{shown}");
    assert!(holder.end().success());
    let locks = dir.join(".gastown/locks");
    assert_eq!(output(&dir, &["clean", locks.to_str().expect("Unicode")]).1, "removed 1 lock file, 0 held\n");
}

#[test]
fn a_command_that_wants_its_own_lock_again_is_told_so() {
    let temp = temp();
    let inner = exe();
    let again = ["--", &inner, "run", "--read", "state.json", "--", "cmd", "/c", "exit"];
    let nested = [&["run", "--write", "state.json"], &again[..]].concat();
    let (code, _, stderr) = output(temp.path(), &nested);
    assert_eq!(code, Some(125));
    assert!(stderr.contains("already locked by process"), "{stderr}");
}

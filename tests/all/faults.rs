//! System calls that fail: each call of a run, one at a time, by strace's fault injection.
//!
//! Whatever fails, the outcome is the right one or an error in one line with its code; the command never
//! runs without the lock, no lock stays held, nothing that gtlock did not write is changed, and nothing
//! hangs. Every call gets one of the errors that fit it; with `GTLOCK_FAULTS=all` each of them in turn.
//!
//! strace follows gtlock's first thread only, so that the command, and the thread that waits for a lock, get
//! none of the faults, except where a test says so.
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;

use crate::common::{Holder, assert_held, lock_file, process, skip, to_its_end};
use assert_cmd::cargo::cargo_bin;

/// The errors that a call is made to fail with.
///
/// Not among them is `close`, which strace would leave undone, and the kernel never does; nor a want of memory (`mmap`,
/// `brk`), which Rust itself does not survive.
const FAULTS: &[(&str, &[&str])] = &[
    ("openat", &["EACCES", "EMFILE", "EINTR", "EIO", "ENOMEM", "EROFS", "ENOSPC", "EAGAIN"]),
    ("flock", &["EINTR", "ENOLCK", "EIO", "EAGAIN"]),
    ("read", &["EIO", "EINTR"]),
    ("pread64", &["EIO", "EINTR"]),
    ("write", &["ENOSPC", "EIO", "EINTR", "EAGAIN"]),
    ("pwrite64", &["ENOSPC", "EIO", "EINTR"]),
    ("lseek", &["ESPIPE", "EINVAL"]),
    ("ftruncate", &["EIO", "ENOSPC", "EINTR"]),
    ("statx", &["EACCES", "EIO", "ENOMEM"]),
    ("newfstatat", &["EIO", "EACCES"]),
    ("readlink", &["EACCES", "EIO", "ENOMEM"]),
    ("access", &["EACCES", "EIO"]),
    ("getcwd", &["ENOENT", "EACCES"]),
    ("mkdir", &["EACCES", "ENOSPC", "EROFS"]),
    ("unlink", &["EACCES", "EROFS", "EIO"]),
    ("unlinkat", &["EACCES", "EROFS", "EIO"]),
    ("getdents64", &["EIO"]),
    ("readlinkat", &["EACCES", "EIO"]),
    ("linkat", &["EPERM", "EMLINK", "EIO"]),
    ("renameat", &["EACCES", "ENOSPC", "EIO"]),
    ("fsync", &["EIO", "ENOSPC", "EDQUOT"]),
    ("splice", &["ENOSPC", "EDQUOT", "EFBIG", "EIO", "EINVAL"]),
    ("fchown", &["EPERM", "EIO"]),
    ("fchmod", &["EPERM", "EIO"]),
    ("flistxattr", &["EOPNOTSUPP", "EIO"]),
    ("fgetxattr", &["EOPNOTSUPP", "EIO"]),
    ("fsetxattr", &["EPERM", "ENOSPC"]),
    ("fremovexattr", &["EPERM", "EIO"]),
    ("pipe2", &["EMFILE", "ENFILE"]),
    ("fcntl", &["EMFILE"]),
    ("poll", &["EINTR", "ENOMEM"]),
    ("clone", &["EAGAIN", "ENOMEM", "EPERM"]),
    ("clone3", &["EAGAIN", "ENOMEM", "EPERM"]), // a thread
    ("rt_sigtimedwait", &["EINTR"]),
    ("kill", &["EPERM"]),
    ("execve", &["EACCES", "ENOENT", "ENOMEM", "E2BIG", "ETXTBSY"]),
    ("wait4", &["EINTR", "ECHILD"]),
    // As musl calls them.
    ("open", &["EACCES", "EMFILE", "EIO"]),
    ("stat", &["EACCES", "EIO", "ENOMEM"]),
    ("lstat", &["EACCES", "EIO", "ENOMEM"]),
    ("fstat", &["EIO"]),
];

/// Tells into `$1` whether the locks that it runs under are held, as it begins and a moment later.
const COMMAND: &str = r#"
    ran=$1; shift
    for lock; do flock -n "$lock" true; echo "flock: $?" >> "$ran"; done
    sleep 0.02
    for lock; do flock -n "$lock" true; echo "flock: $?" >> "$ran"; done
"#;

/// What a command does besides that rewrites the data.
const FILTER: &str = "cat; echo and more";
/// What an update that was killed has left.
const LEFTOVER: &str = ".state.json.gtlock-0123abcd";
const REWRITTEN: &str = "precious\nand more\n";

/// What the data, and a file in the lock directory that is not a lock file, hold.
const PRECIOUS: &str = "precious\n";

/// One state of things, and what is asked of gtlock in it.
struct Scene {
    dir: tempfile::TempDir,
    data: PathBuf,
    /// What gtlock is asked about: the data, or a directory.
    named: PathBuf,
    /// What gtlock is told besides: where the locks are, or what to lock too.
    options: &'static [&'static str],
    /// The lock files, of which the first is the data's.
    locks: Vec<PathBuf>,
    holder: Option<Holder>,
    /// Whether the holder releases the lock once it is waited for.
    gives_way: bool,
    /// Whether the command is a filter that rewrites the data.
    rewrites: bool,
}

impl Scene {
    fn new(data: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let state = dir.path().join("state.json");
        fs::write(&state, PRECIOUS).expect("it can be written");
        symlink("state.json", dir.path().join("alias")).expect("it can be made");
        let data = dir.path().join(data);
        let mut locks = vec![lock_file(&state), lock_file(&data)];
        locks.dedup();
        Self {
            named: data.clone(),
            data,
            options: &[],
            locks,
            holder: None,
            gives_way: false,
            rewrites: false,
            dir,
        }
    }

    fn with_options(mut self, options: &'static [&'static str], locks: &[&str]) -> Self {
        self.options = options;
        self.locks = locks.iter().map(|lock| self.dir.path().join(lock)).collect();
        self
    }

    /// With a lock file that somebody who is dead has left.
    fn with_stale_record(self) -> Self {
        fs::create_dir_all(self.lock().parent().expect("a directory")).expect("it can be made");
        fs::write(self.lock(), "4200000000\n").expect("it can be written");
        fs::write(self.lock().with_file_name("notes.lock"), PRECIOUS).expect("it can be written");
        self
    }

    fn lock(&self) -> &Path {
        &self.locks[0]
    }

    fn command(&self) -> Vec<PathBuf> {
        let script = if self.rewrites { format!("{COMMAND}\n{FILTER}") } else { COMMAND.to_owned() };
        let words = ["--", "sh", "-c", &script, "sh"].map(PathBuf::from).into_iter();
        words.chain([self.dir.path().join("ran")]).chain(self.locks.clone()).collect()
    }

    /// What the command finds if it holds the locks.
    fn all_held(&self) -> String {
        "flock: 1\n".repeat(2 * self.locks.len())
    }

    /// What the command has found, if it has run.
    fn found(&self) -> Option<String> {
        fs::read_to_string(self.dir.path().join("ran")).ok()
    }

    /// Whether anybody waits in the kernel for the lock.
    fn is_waited_for(&self) -> bool {
        let inode = fs::metadata(self.lock()).expect("it is there").ino();
        // In the kernel, or in line; where it gets no thread to wait, it polls in its place.
        let waits = |line: &str| {
            (line.contains("-> FLOCK") || line.contains("OFDLCK")) && line.contains(&format!(":{inode} "))
        };
        fs::read_to_string("/proc/locks").expect("it can be read").lines().any(waits)
    }
}

/// gtlock under strace, with one fault or none.
fn traced(scene: &mut Scene, arguments: &[&str], runs_command: bool, option: &str, follow: bool) -> Output {
    let mut strace = process("strace");
    if follow {
        strace.arg("-f");
    }
    strace.arg("-o").arg(scene.dir.path().join("trace")).args(["-e", option]);
    strace.arg(cargo_bin!("gtlock")).args(arguments).arg(&scene.named).args(scene.options);
    strace.current_dir(scene.dir.path());
    if runs_command {
        strace.args(scene.command());
    }
    let traced = thread::spawn(|| to_its_end(strace).output().expect("strace runs"));
    if scene.gives_way {
        crate::common::eventually("it waits, or has ended", || traced.is_finished() || scene.is_waited_for());
        assert_eq!(scene.found(), None, "{option}: the command ran while somebody else had the lock");
        scene.holder = None;
    }
    traced.join().expect("it ends in time")
}

fn can_inject(what: &str) -> bool {
    let mut strace = Command::new("strace");
    strace.args(["-o", "/dev/null", "-e", "inject=unlink:error=EIO:when=1", "true"]);
    let can = strace.output().is_ok_and(|output| output.status.success());
    if !can {
        skip(what, "no strace, or it may not trace");
    }
    can
}

/// The calls that a run without a fault makes, by name and how many.
fn calls(scene: &Scene) -> BTreeMap<String, usize> {
    let trace = fs::read_to_string(scene.dir.path().join("trace")).expect("strace wrote it");
    let mut calls = BTreeMap::new();
    let mut executed = 0;
    for line in trace.lines() {
        // With -f the number of the process comes first.
        let line = line.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ');
        if let Some((name, _)) = line.split_once('(') {
            *calls.entry(name.to_owned()).or_default() += 1;
            executed += usize::from(name == "execve");
        }
        if executed == 2 {
            break; // from here on it is the command, in the same process
        }
    }
    calls
}

/// Does it once as it is, and then once for each fault; `check` gets what became of it, and the error.
fn each_fault(
    what: &str,
    arguments: &[&str],
    runs_command: bool,
    only: Option<&str>,
    set_up: impl Fn() -> Scene,
    check: impl Fn(&Scene, &Output, Option<(&str, &str)>),
) {
    if !can_inject(what) {
        return;
    }
    let follow = only.is_some();
    let mut scene = set_up();
    let output = traced(&mut scene, arguments, runs_command, "trace=all", follow);
    check(&scene, &output, None);
    let calls = calls(&scene);
    let all = std::env::var_os("GTLOCK_FAULTS").is_some_and(|value| value == "all");
    let mut injected = 0;
    for (call, errors) in FAULTS.iter().filter(|(call, _)| only.is_none_or(|only| only == *call)) {
        let first = if *call == "execve" { 2 } else { 1 }; // which execve starts gtlock itself
        // Of a call that is asked for, and made while the command runs, the first.
        let last = calls.get(*call).copied().unwrap_or(usize::from(only.is_some()));
        for index in (first..=last).filter(|index| is_worth_failing(index - first, last)) {
            let in_turn = &errors[index % errors.len()..][..1];
            for error in if all || only.is_some() { errors } else { in_turn } {
                let mut scene = set_up();
                let option = format!("inject={call}:error={error}:when={index}");
                let output = traced(&mut scene, arguments, runs_command, &option, follow);
                injected += 1;
                if let ("wait4", Some(_)) = (*call, scene.found()) {
                    crate::common::eventually("the command ends", || {
                        scene.found().is_some_and(|found| found.len() >= scene.all_held().len())
                    });
                }
                let told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    sound(&scene, &output);
                    check(&scene, &output, Some((call, error)));
                    scene.holder = None;
                    crate::common::eventually("the lock is free", || {
                        let mut gtlock = crate::common::gtlock();
                        gtlock.args(["try", "-q", "--write"]).arg(&scene.data).args(scene.options);
                        gtlock.current_dir(scene.dir.path()).ok().is_ok()
                    });
                }));
                if told.is_err() {
                    let trace = fs::read_to_string(scene.dir.path().join("trace")).unwrap_or_default();
                    let trace: Vec<&str> =
                        trace.lines().skip_while(|line| !line.contains("INJECTED")).collect();
                    panic!("{what}: {option}: {output:?}, found {:?}\n{}", scene.found(), trace.join("\n"));
                }
            }
        }
    }
    assert!(injected > 0, "{what}: no call to make fail: {calls:?}");
    let _ = writeln!(std::io::stderr(), "faults: {what}: {injected}");
}

/// A look at all processes makes the same calls for each of them, and how many there are is not up to the test: of
/// many calls the first ones are made to fail, and then every so many.
fn is_worth_failing(index: usize, of: usize) -> bool {
    const FIRST: usize = 40;
    index < FIRST || index.is_multiple_of((of / FIRST).max(1))
}

/// What must be so whatever fails.
fn sound(scene: &Scene, output: &Output) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!stderr.contains("panicked"), "a panic");
    assert!(stderr.lines().all(|line| line.starts_with("gtlock: ")), "errors are lines of gtlock's");
    match output.status.code() {
        Some(125..=127) => assert!(!stderr.is_empty(), "it says what is wrong"),
        Some(0 | 75) => {}
        _ => panic!("a documented code"),
    }
    let state = scene.dir.path().join("state.json");
    let data = fs::read_to_string(&state).expect("the data is there");
    assert!(data == PRECIOUS || (scene.rewrites && data == REWRITTEN), "{data:?} is old or new");
    let notes = scene.lock().with_file_name("notes.lock");
    let notes = fs::read_to_string(&notes).map_or(true, |content| content == PRECIOUS);
    assert!(notes, "a file that is no lock file is left as it was");
    for lock in scene.locks.iter().filter(|lock| **lock != state) {
        let record = fs::read_to_string(lock).unwrap_or_default();
        assert!(record.bytes().all(|b| b.is_ascii_digit() || b == b'\n'), "{record:?} is a record");
    }
    if let Some(found) = scene.found() {
        assert!(!found.contains("flock: 0"), "the command ran without the lock");
    }
}

fn lines(text: &[u8]) -> usize {
    String::from_utf8_lossy(text).lines().count()
}

/// Of a run on a lock that is free, or becomes it: done, or an error.
fn ran_or_failed(scene: &Scene, output: &Output, fault: Option<(&str, &str)>) {
    match output.status.code() {
        Some(0) => assert_eq!(scene.found().expect("the command ran"), scene.all_held()),
        Some(125) => {
            assert!(fault.is_some() && lines(&output.stderr) == 1);
            let cannot_wait = matches!(fault, Some(("wait4", _)));
            assert!(cannot_wait || scene.found().is_none(), "an error, and the command ran");
        }
        _ => panic!("neither done nor an error"),
    }
    if fault.is_none() {
        assert_eq!(output.status.code(), Some(0));
    }
}

#[test]
fn a_writer_of_a_file_that_was_never_locked() {
    let arguments = ["run", "-q", "--write"];
    each_fault("a new lock", &arguments, true, None, || Scene::new("state.json"), ran_or_failed);
}

#[test]
fn a_writer_of_a_link() {
    let set_up = || Scene::new("alias").with_stale_record();
    each_fault("a link", &["run", "-q", "--write"], true, None, set_up, ran_or_failed);
}

#[test]
fn a_writer_of_two_files() {
    let locks = [".gastown/locks/state.json.lock", ".gastown/locks/other.json.lock"];
    let set_up = || Scene::new("state.json").with_options(&["--write", "other.json"], &locks);
    each_fault("two files", &["run", "-q", "--write"], true, None, set_up, ran_or_failed);
}

#[test]
fn a_writer_with_a_lock_directory_of_its_choice() {
    let set_up = || Scene::new("state.json").with_options(&["--lock-dir=locks"], &["locks/state.json.lock"]);
    each_fault("--lock-dir", &["run", "-q", "--write"], true, None, set_up, ran_or_failed);
}

#[test]
fn a_writer_of_a_file_that_is_its_own_lock() {
    let set_up = || Scene::new("state.json").with_options(&["--direct"], &["state.json"]);
    each_fault("--direct", &["run", "-q", "--write"], true, None, set_up, ran_or_failed);
}

#[test]
fn a_writer_that_becomes_its_command() {
    let set_up = || Scene::new("state.json").with_stale_record();
    let became_or_failed = |scene: &Scene, output: &Output, fault: Option<(&str, &str)>| {
        match output.status.code() {
            Some(126 | 127) => {
                assert!(fault.is_some() && lines(&output.stderr) == 1);
                assert_eq!(scene.found(), None, "the command did not run");
            }
            _ => ran_or_failed(scene, output, fault),
        }
        if fault.is_none() {
            let record = fs::read_to_string(scene.lock()).expect("it is there");
            assert!(record != "4200000000\n" && record.lines().count() == 1, "{record:?}: it stays");
        }
    };
    each_fault("--no-fork", &["run", "-q", "--no-fork", "--write"], true, None, set_up, became_or_failed);
}

#[test]
fn a_writer_that_waits_and_gets_the_lock() {
    let set_up = || Scene { gives_way: true, ..held() };
    each_fault("a waiter", &["run", "-q", "--write"], true, None, set_up, ran_or_failed);
}

#[test]
fn a_reader_beside_another() {
    let set_up = || {
        let mut scene = Scene::new("state.json").with_stale_record();
        scene.holder = Some(Holder::reader(&scene.data));
        scene
    };
    // The command asks for the lock exclusively, so the other reader is enough to refuse it: what counts
    // here is the rest.
    each_fault("a reader", &["run", "-q", "--read"], true, None, set_up, |scene, output, fault| {
        ran_or_failed(scene, output, fault);
        let record = fs::read_to_string(scene.lock()).expect("it is there");
        assert!(record.lines().count() >= 1, "the other reader's line stays: {record:?}");
    });
}

#[test]
fn a_reader_alone() {
    let set_up = || Scene::new("state.json").with_stale_record();
    each_fault("a lone reader", &["run", "-q", "--read"], true, None, set_up, ran_or_failed);
}

fn held() -> Scene {
    let mut scene = Scene::new("state.json").with_stale_record();
    scene.holder = Some(Holder::writer(&scene.data));
    scene
}

/// Of a request for a lock that stays held: refused, or an error.
fn refused_or_failed(scene: &Scene, output: &Output, fault: Option<(&str, &str)>) {
    assert_eq!(scene.found(), None, "the command did not run");
    match output.status.code() {
        Some(75) => assert!(output.stderr.is_empty()),
        Some(125) => assert!(fault.is_some() && lines(&output.stderr) == 1),
        _ => panic!("neither refused nor an error"),
    }
    assert_held(&scene.data);
}

#[test]
fn a_writer_that_times_out() {
    let arguments = ["run", "-q", "--timeout=80ms", "--write"];
    each_fault("a timeout", &arguments, true, None, held, refused_or_failed);
    // In the thread that waits, too.
    each_fault("a waiting thread", &arguments, true, Some("flock"), held, refused_or_failed);
}

#[test]
fn a_reader_that_times_out_at_a_gate() {
    let arguments = ["run", "-q", "--timeout=80ms", "--read"];
    let set_up = || {
        let scene = held();
        fs::write(format!("{}.gate", scene.lock().display()), "4200000000\n").expect("it can be written");
        scene
    };
    each_fault("a gate", &arguments, true, None, set_up, refused_or_failed);
}

#[test]
fn a_writer_that_polls() {
    let arguments = ["run", "-q", "--timeout=30ms", "--retry-delay=10ms", "--write"];
    each_fault("polling", &arguments, true, None, held, refused_or_failed);
}

#[test]
fn try_on_a_lock_that_is_held() {
    each_fault("try, held", &["try", "-q", "--write"], false, None, held, refused_or_failed);
}

#[test]
fn try_on_a_lock_that_is_free() {
    let set_up = || Scene::new("state.json").with_stale_record();
    each_fault("try, free", &["try", "-q", "--write"], false, None, set_up, |_, output, fault| match output
        .status
        .code()
    {
        Some(0) => assert!(output.stderr.is_empty()),
        Some(125) => assert!(fault.is_some()),
        _ => panic!("neither free nor an error"),
    });
}

/// A lock that is held, one that is not, and a directory to be asked about; its `notes.lock` is no lock file.
fn held_and_stale() -> Scene {
    let mut scene = held();
    fs::write(scene.lock().with_file_name("stale.lock"), "4200000000\n").expect("it can be written");
    scene.named = scene.lock().parent().expect("a directory").to_owned();
    scene
}

/// Whether an error was said, which it may only be of a fault. Else the answer is there.
fn said(output: &Output, fault: Option<(&str, &str)>) -> bool {
    let said = fault.is_some() && output.status.code() == Some(125);
    assert!(said || output.status.success());
    assert_eq!(said, !output.stderr.is_empty());
    said
}

/// What `status` shows of each lock, as a document or as a table: whether it is the held one, and its state.
fn states(stdout: &[u8]) -> Vec<(bool, String)> {
    let text = String::from_utf8_lossy(stdout);
    let Ok(document) = serde_json::from_str::<serde_json::Value>(&text) else {
        let rows = text.lines().skip(1).filter(|line| line.contains(".lock"));
        let state = |row: &str| row.split_whitespace().next().unwrap_or_default().to_owned();
        return rows.map(|row| (row.contains("state.json.lock"), state(row))).collect();
    };
    let locks = document["locks"].as_array().expect("a list").iter();
    let name = |lock: &serde_json::Value| lock["lock"].as_str().expect("a path").to_owned();
    let state = |lock: &serde_json::Value| lock["state"].as_str().expect("a state").to_owned();
    locks.map(|lock| (name(lock).ends_with("state.json.lock"), state(lock))).collect()
}

#[test]
fn status_of_a_held_and_a_stale_lock_file() {
    let set_up = || {
        let mut scene = held_and_stale();
        fs::remove_file(scene.lock().with_file_name("notes.lock")).expect("it is there");
        scene.named = scene.dir.path().to_owned();
        scene
    };
    let what_it_says = |_: &Scene, output: &Output, fault: Option<(&str, &str)>| {
        let mut states = states(&output.stdout);
        states.dedup(); // a table has a row for each holder
        assert!(said(output, fault) || states.len() == 2, "both are shown, or there is an error");
        assert!(states.iter().all(|(is_held, state)| state == if *is_held { "held" } else { "stale" }));
    };
    each_fault("status", &["status", "--json"], false, None, set_up, what_it_says);
    each_fault("status -R", &["status", "-R"], false, None, set_up, what_it_says);
}

#[test]
fn clean_of_a_held_a_stale_and_a_foreign_lock_file() {
    let cleaned = |scene: &Scene, output: &Output, fault: Option<(&str, &str)>| {
        let stale = scene.lock().with_file_name("stale.lock");
        let said = said(output, fault);
        // The order of the directory decides which lock it is.
        let taken_for_held = fault == Some(("flock", "EAGAIN"));
        assert!(said || taken_for_held || !stale.exists(), "what is stale is gone, or there is an error");
        assert_held(&scene.dir.path().join("state.json"));
        if let Ok(document) = serde_json::from_slice::<serde_json::Value>(&output.stdout) {
            let removed = document["removed"].as_array().expect("a list");
            let gone = if stale.exists() { vec![] } else { vec![stale.to_str().expect("text")] };
            assert_eq!(*removed, gone, "it says what it has removed");
        }
    };
    each_fault("clean", &["clean", "-q"], false, None, held_and_stale, cleaned);
    each_fault("clean --json", &["clean", "--json"], false, None, held_and_stale, cleaned);
}

#[test]
fn a_file_that_is_never_the_same_at_its_path_is_given_up_after_100_attempts() {
    if !can_inject("100 attempts") {
        return;
    }
    // The look at the path of what was locked finds nothing there, as if the file had just been removed. With
    // glibc that is every second statx, after one of the open file; with musl every lstat.
    let vanishing = |statx: &str, lstat: &str, arguments: &[&str], runs_command: bool| {
        let scene = Scene::new("state.json").with_stale_record();
        fs::write(scene.lock(), "").expect("it can be written"); // the time of a record would be looked at too
        let mut strace = process("strace");
        strace.arg("-o").arg(scene.dir.path().join("trace")).arg("-P").arg(scene.lock());
        for (call, looks) in [("statx", statx), ("?lstat", lstat)] {
            strace.args(["-e", &format!("inject={call}:error=ENOENT:when={looks}")]);
        }
        strace.arg(cargo_bin!("gtlock")).args(arguments).arg(&scene.named);
        if runs_command {
            strace.args(scene.command());
        }
        let output = to_its_end(strace).output().expect("strace runs");
        sound(&scene, &output);
        let injected = fs::read_to_string(scene.dir.path().join("trace")).expect("strace wrote it");
        (output, scene.found(), injected.matches("INJECTED").count())
    };
    let given_up = |output: &Output| {
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("state.json.lock: was replaced 100 times while being locked"), "{said}");
        assert_eq!((output.status.code(), lines(&output.stderr)), (Some(125), 1));
    };

    let (output, found, injected) = vanishing("2+2", "1+1", &["run", "--write"], true);
    given_up(&output);
    assert_eq!((found, injected), (None, 100));
    let (output, _, injected) = vanishing("2+2", "1+1", &["status"], false);
    given_up(&output);
    assert_eq!(injected, 100);

    let (output, found, injected) = vanishing("2..198+2", "1..99+1", &["run", "--write"], true);
    assert_eq!(output.status.code(), Some(0), "the hundredth attempt: {output:?}");
    assert_eq!((found.as_deref(), injected), (Some("flock: 1\nflock: 1\n"), 99));
}

#[test]
fn clean_holds_the_lock_until_the_file_is_gone() {
    if !can_inject("clean, slowed down") {
        return;
    }
    let scene = Scene::new("state.json").with_stale_record();
    let trace = scene.dir.path().join("trace");
    // Slow in between: whoever asks for the lock now gets it in that time, if it is not held.
    let mut clean = process("strace");
    clean.arg("-o").arg(&trace).args(["-e", "inject=unlinkat:delay_enter=2000000"]);
    clean.arg(cargo_bin!("gtlock")).args(["clean", "-q"]).arg(scene.lock().parent().expect("a directory"));
    let mut clean = clean.spawn().expect("strace starts");
    crate::common::eventually("clean has locked it", || {
        fs::read_to_string(&trace).is_ok_and(|trace| trace.contains("LOCK_EX|LOCK_NB)"))
    });
    let holder = Holder::writer(&scene.data);
    assert!(crate::common::end_of(&mut clean).success());
    assert_held(&scene.data);
    assert!(holder.release().success(), "its lock file was at its path all the time");
}

#[test]
fn an_update_of_a_link() {
    let set_up = || {
        let scene = Scene { rewrites: true, ..Scene::new("alias").with_stale_record() };
        let _ = xattr::set(scene.dir.path().join("state.json"), "user.origin", b"here");
        fs::write(scene.dir.path().join(".state.json.gtlock-0123abcd"), "a leftover")
            .expect("it can be written");
        scene
    };
    let updated_or_failed = |scene: &Scene, output: &Output, fault: Option<(&str, &str)>| {
        ran_or_had_run(scene, output, fault);
        let data = fs::read_to_string(scene.dir.path().join("state.json")).expect("the data is there");
        let backup = fs::read_to_string(scene.dir.path().join("state.json.bak"));
        if output.status.success() {
            assert_eq!((data.as_str(), backup.expect("it is there").as_str()), (REWRITTEN, PRECIOUS));
        } else {
            assert!(backup.map_or(true, |backup| backup == PRECIOUS));
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(data == REWRITTEN, said.contains("was replaced, but"), "it says which of both");
        }
        let name = |entry: fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
        let names = fs::read_dir(scene.dir.path()).expect("a directory").flatten().map(name);
        let left: Vec<_> = names.filter(|name| name.contains(".gtlock-")).collect();
        assert!(left.is_empty() || (fault.is_some() && left == [LEFTOVER]), "nothing else is left: {left:?}");
    };
    let arguments = ["update", "-q", "--backup=.bak"];
    each_fault("update", &arguments, true, None, set_up, updated_or_failed);
    // In the thread that copies, too.
    each_fault("update, copying", &arguments, true, Some("splice"), set_up, updated_or_failed);
}

/// Of an update, which can fail after its command has run.
fn ran_or_had_run(scene: &Scene, output: &Output, fault: Option<(&str, &str)>) {
    match output.status.code() {
        Some(0) => assert_eq!(scene.found().expect("the command ran"), scene.all_held()),
        Some(125) => assert!(fault.is_some() && lines(&output.stderr) == 1),
        _ => panic!("neither done nor an error"),
    }
}

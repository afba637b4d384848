//! Waiting for a lock: how long, woken by what, and what is said of it.
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::{
    Holder, Lines, Stopped, assert_free, data, dead_takers_are_shown, end_of, gtlock, gtlock_process,
    lock_file, process, to_its_end, typed,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use predicates::prelude::*;

/// A gtlock that has to wait for the lock on a data file; its command says `got it`.
struct Waiter {
    gtlock: Child,
    printed: Lines,
    said: Lines,
}

impl Waiter {
    fn start(options: &[&str], data: &Path) -> Self {
        let mut request = gtlock_process();
        request.arg("run").args(options).arg("--write").arg(data).args(["--", "echo", "got it"]);
        Self::running(&mut request)
    }

    fn running(request: &mut Command) -> Self {
        let piped = request.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut gtlock = piped.spawn().expect("gtlock starts");
        let printed = Lines::of(gtlock.stdout.take().expect("it is piped"));
        let said = Lines::of(gtlock.stderr.take().expect("it is piped"));
        Self { gtlock, printed, said }
    }

    /// Asserts that it gets the lock, runs its command once and says nothing more.
    fn gets_it(mut self) {
        assert_eq!(self.printed.line(), "got it");
        assert!(end_of(&mut self.gtlock).success());
        let last = self.said.line_or_end();
        assert!(last.as_ref().is_none_or(|line| line.contains(": held for ")), "{last:?}");
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let _ = self.gtlock.kill();
        let _ = self.gtlock.wait();
    }
}

fn matches(text: &str, pattern: &str) -> bool {
    predicate::str::is_match(pattern).expect("a pattern").eval(text)
}

/// What is said about the lock on `data`, as a pattern.
fn about(data: &Path, message: &str) -> String {
    format!("^gtlock: {}: {message}\n?$", data.display())
}

/// A time as messages give it.
const TIME: &str = "(under )?[0-9.]+m?s";

/// How long a try takes that may not wait at all, generously: any wait in these tests is longer.
const AT_ONCE: Duration = Duration::from_secs(20);

#[cfg(target_os = "linux")]
#[test]
fn a_waiter_waits_in_the_kernel_and_is_woken_by_the_release_with_and_without_a_timeout() {
    for options in [&["-q"][..], &["-q", "--timeout=55"], &["-q", "--timeout", "0"]] {
        let (_dir, data) = data();
        let holder = Holder::writer(&data);
        let waiter = Waiter::start(options, &data);
        crate::common::waits_in_kernel(waiter.gtlock.id(), &data);
        holder.release();
        waiter.gets_it();
    }
}

#[cfg(target_os = "linux")]
#[test]
fn several_waiters_get_the_lock_one_after_the_other() {
    let (_dir, data) = data();
    let holder = Holder::reader(&data);
    let waiters: Vec<Waiter> = (0..5).map(|_| Waiter::start(&["-q"], &data)).collect();
    for waiter in &waiters {
        crate::common::waits_in_kernel(waiter.gtlock.id(), &data);
    }
    holder.release();
    waiters.into_iter().for_each(Waiter::gets_it);
}

#[cfg(target_os = "linux")]
#[test]
fn a_retry_delay_selects_polling() {
    for delay in [&["--retry-delay"][..], &["--retry-delay=1ms"], &["--retry-delay", "0.002"]] {
        let (_dir, data) = data();
        fs::write(&data, "").expect("it can be written");
        let holder = Holder::writer(&data);
        let waiter = Waiter::start(&[delay, &["-v"]].concat(), &data);
        let waiting = waiter.said.line();
        assert!(waiting.contains("waiting"), "{waiting}");
        // It is in line, and nothing in the kernel wakes it.
        let waiters = crate::common::status_of(&data)["waiters"].clone();
        assert_eq!(waiters[0]["pid"], serde_json::json!(waiter.gtlock.id()), "{waiters}");
        let blocked = fs::read_to_string("/proc/locks").expect("Linux shows them");
        let pid = format!(" {} ", waiter.gtlock.id());
        assert!(!blocked.lines().any(|line| line.contains("->") && line.contains(&pid)), "{blocked}");
        holder.release();
        let locked = waiter.said.line();
        assert!(matches(&locked, &about(&data, &format!("locked for writing after {TIME}"))), "{locked}");
        waiter.gets_it();
    }
}

#[test]
fn a_timeout_ends_the_wait_with_75_no_earlier() {
    let (_dir, data) = data();
    let holder = Holder::writer(&data);
    let times = [("0.3", 300), (".25", 250), ("250ms", 250), ("0s 1ms 200ms", 201), ("1", 1000)];
    for (timeout, millis) in times {
        for polling in [&[][..], &["--retry-delay=7ms"]] {
            let started = Instant::now();
            let mut request = gtlock();
            request.args(["run", "--timeout", timeout]).args(polling).arg("--read").arg(&data);
            let said = about(
                &data,
                &format!("timed out after {TIME}: held for writing by {} \\(cat\\) for {TIME}", holder.pid()),
            );
            let said = predicate::str::is_match(said).expect("a pattern");
            request.args(["--", "echo", "ran"]).assert().code(75).stdout("").stderr(said);
            assert!(started.elapsed() >= Duration::from_millis(millis), "{timeout}: {:?}", started.elapsed());
        }
    }
}

#[test]
fn a_lock_that_is_had_only_after_the_deadline_is_given_back() {
    let (_dir, data) = data();
    // In the kernel, the wait's two threads race for it: so several times.
    let mut stopped = 0;
    for polling in [&[][..], &["--retry-delay=1ms"]].repeat(5) {
        let holder = Holder::writer(&data);
        let mut waiter = Waiter::start(&[polling, &["-v", "--timeout=0.3"]].concat(), &data);
        if waiter.said.line().contains("waiting") {
            stopped += 1; // on a busy machine it may have given up before it was to say so
            let pid = Pid::from_raw(i32::try_from(waiter.gtlock.id()).expect("a PID"));
            kill(pid, Signal::SIGSTOP).expect("it is ours");
            std::thread::sleep(Duration::from_millis(300)); // past its deadline
            holder.release();
            kill(pid, Signal::SIGCONT).expect("it is ours");
        }
        assert_eq!(end_of(&mut waiter.gtlock).code(), Some(75), "{polling:?}");
        assert_eq!(waiter.printed.line_or_end(), None);
        assert_free(&data);
    }
    assert!(stopped > 0, "it is stopped while it waits");
}

#[test]
fn a_timeout_may_be_long_and_of_several_units() {
    let (_dir, data) = data();
    for timeout in ["1m 30s", "1h", "584 years", "9999999999999"] {
        let mut request = gtlock();
        request.args(["run", "--timeout", timeout, "--write"]).arg(&data).args(["--", "echo", "ran"]);
        request.assert().success().stdout("ran\n").stderr("");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_timeout_longer_than_the_clock_can_express_waits() {
    let (_dir, data) = data();
    let holder = Holder::writer(&data);
    let waiter = Waiter::start(&["-q", "--timeout=9999999999999999999"], &data);
    crate::common::waits_in_kernel(waiter.gtlock.id(), &data);
    holder.release();
    waiter.gets_it();
}

#[test]
fn a_negative_timeout_does_not_wait() {
    let (_dir, data) = data();
    let _holder = Holder::writer(&data);
    for timeout in ["-1", "-0.001", "-3s"] {
        let mut request = gtlock();
        request.args(["run", "--timeout", timeout, "--write"]).arg(&data).args(["--", "echo", "ran"]);
        let busy = predicate::str::contains("state.json: busy: held for writing by");
        request.timeout(AT_ONCE).assert().code(75).stdout("").stderr(busy);
    }
}

#[test]
fn the_environment_gives_run_a_timeout_that_the_option_overrides() {
    let (_dir, data) = data();
    let _holder = Holder::writer(&data);
    let request = |variable: &str, options: &[&str]| {
        let mut request = gtlock();
        request.env("GTLOCK_TIMEOUT", variable).arg("run").args(options).arg("--write").arg(&data);
        request.args(["--", "echo", "ran"]).assert().code(75).stdout("")
    };
    request("0.1", &[]).stderr(predicate::str::contains("timed out after"));
    request("-1", &[]).stderr(predicate::str::contains("busy"));
    request("60m", &["--timeout=-1"]).stderr(predicate::str::contains("busy"));
    request("nonsense", &["--timeout=-1"]).stderr(predicate::str::contains("busy"));
    let started = Instant::now();
    request("-1", &["--timeout=0.2"]).stderr(predicate::str::contains("timed out after"));
    assert!(started.elapsed() >= Duration::from_millis(200));
}

#[test]
fn the_environment_gives_try_no_timeout() {
    let (_dir, data) = data();
    for variable in ["60", "nonsense", ""] {
        gtlock().env("GTLOCK_TIMEOUT", variable).args(["try", "--write"]).arg(&data).assert().success();
    }
    let _holder = Holder::writer(&data);
    for variable in ["0", "60m", "nonsense"] {
        let mut request = gtlock();
        request.env("GTLOCK_TIMEOUT", variable).args(["try", "--write"]).arg(&data);
        request.timeout(AT_ONCE).assert().code(75).stderr(predicate::str::contains("busy"));
    }
}

#[test]
fn nonsense_in_the_environment_is_blamed_on_the_variable() {
    use std::os::unix::ffi::OsStrExt;
    let (dir, data) = data();
    for (value, shown) in [(&b"soon"[..], "soon"), (b"1 parsec", "1 parsec"), (b"\xff", r"\xff")] {
        let mut request = gtlock();
        request.env("GTLOCK_TIMEOUT", std::ffi::OsStr::from_bytes(value)).args(["run", "--write"]);
        request.arg(&data).args(["--", "echo", "ran"]);
        let blamed =
            predicate::str::starts_with(format!("gtlock: invalid value '{shown}' in GTLOCK_TIMEOUT; "));
        let blamed = blamed.and(predicate::str::contains("\n").count(1));
        request.assert().code(125).stdout("").stderr(blamed);
    }
    assert!(crate::common::snapshot(dir.path()).is_empty(), "nothing was created");
}

#[cfg(target_os = "linux")]
#[test]
fn one_deadline_covers_all_locks_of_a_request() {
    let (dir, data) = data();
    let mut files = [data, dir.path().join("z.json")];
    for file in &files {
        assert_free(file);
    }
    // In the order in which they are locked.
    files.sort_by_key(|file| fs::metadata(lock_file(file)).expect("it is there").ino());
    let [first, second] = files;
    let (holder, _other) = (Holder::writer(&first), Holder::writer(&second));
    let timeout = Duration::from_secs(4);
    let started = Instant::now();
    let mut request = gtlock_process();
    request.args(["run", "-q", "--timeout=4"]).arg("--write").arg(&second).arg("--write").arg(&first);
    let mut waiter = Waiter::running(request.args(["--", "echo", "got it"]));
    crate::common::waits_in_kernel(waiter.gtlock.id(), &first);
    // Most of the time goes by in front of the first lock.
    while started.elapsed() < timeout * 3 / 4 {
        std::thread::sleep(Duration::from_millis(50));
    }
    let released = Instant::now();
    holder.release();
    crate::common::waits_in_kernel(waiter.gtlock.id(), &second);
    assert_eq!(end_of(&mut waiter.gtlock).code(), Some(75));
    assert!(started.elapsed() >= timeout);
    assert!(released.elapsed() < timeout, "the second lock got a deadline of its own");
    assert_free(&first);
}

#[test]
fn the_exit_status_of_a_refusal_can_be_chosen() {
    let (_dir, data) = data();
    let _holder = Holder::writer(&data);
    for (option, code) in [(&["-E", "99"][..], 99), (&["-E0"], 0), (&["--conflict-exit-code=255"], 255)] {
        for request in [&["run", "--timeout=-1"][..], &["run", "--timeout=0.001"], &["try"]] {
            let mut gtlock = gtlock();
            gtlock.args(request).args(option).arg("--write").arg(&data).args(["--", "echo", "ran"]);
            let why = predicate::str::contains("held for writing by");
            gtlock.assert().code(code).stdout("").stderr(why);
        }
    }
}

#[test]
fn a_chosen_exit_status_is_that_of_a_refusal_only() {
    let (_dir, data) = data();
    typed("run -E9 --write", &data).command(["sh", "-c", "exit 3"]).assert().code(3);
    gtlock().args(["run", "-E9", "--write", "/", "--", "true"]).assert().code(125);
}

#[test]
fn a_refusal_says_in_one_line_who_holds_the_lock_how_and_since_when() {
    let (_dir, data) = data();
    let refused = |message: &str| {
        let said = predicate::str::is_match(about(&data, message)).expect("a pattern");
        typed("try --write", &data).assert().code(75).stdout("").stderr(said);
    };
    let mut holder = Holder::writer(&data);
    refused(&format!("busy: held for writing by {} \\(cat\\) for {TIME}", holder.pid()));
    holder.kill();
    if cfg!(target_os = "linux") {
        let since = if dead_takers_are_shown() { format!(" for {TIME}") } else { String::new() };
        refused(&format!("busy: held for writing by [0-9]+ \\(cat\\){since}"));
    }
    drop(holder);

    // Once its command has ended, a writer clears the record that the killed gtlock has left.
    typed("run -q --write", &data).command(["true"]).assert().success();
    let first = Holder::reader(&data);
    refused(&format!("busy: held for reading by {} \\(cat\\) for {TIME}", first.pid()));
    let second = Holder::reader(&data);
    refused(&format!("busy: held for reading by {} \\(cat\\), {} \\(cat\\)", first.pid(), second.pid()));
    let _more = [Holder::reader(&data), Holder::reader(&data)];
    refused("busy: held for reading by ([0-9]+ \\(cat\\), ){3}1 more");
}

#[cfg(target_os = "linux")]
#[test]
fn a_quiet_wait_that_is_given_up_has_not_looked_at_the_holder() {
    let (dir, data) = data();
    let holder = Holder::writer(&data);
    let trace = dir.path().join("trace");
    for (options, looks) in [("--timeout=10ms", true), ("-q --timeout=10ms", false)] {
        let mut strace = process("strace");
        strace.arg("-fo").arg(&trace).arg(assert_cmd::cargo::cargo_bin!("gtlock")).arg("run");
        strace.args(options.split(' ')).arg("--write").arg(&data).args(["--", "true"]);
        let Ok(output) = strace.output() else {
            return crate::common::skip("a quiet wait", "no strace");
        };
        assert_eq!(output.status.code(), Some(75), "{output:?}");
        let trace = fs::read_to_string(&trace).expect("strace wrote it");
        let looked = trace.contains(&format!("/proc/{}/fdinfo", holder.pid()));
        assert_eq!(looked, looks, "{options}: {trace}");
    }
}

#[test]
fn a_refusal_shows_a_long_or_wild_command_short_and_tame() {
    let (_dir, data) = data();
    let mut request = gtlock_process();
    request.args(["run", "--write"]).arg(&data).args([
        "--",
        "sh",
        "-c",
        "cat; : '\n\x1b[31m'",
        &"x".repeat(500),
    ]);
    let _holder = Holder::running(&mut request);
    let tame = predicate::str::contains(r"(sh -c cat; : '\n\u{1b}[31m' xxx")
        .and(predicate::str::contains("x…) for "))
        .and(predicate::function(|said: &str| said.len() < 300 && said.lines().count() == 1));
    typed("try --write", &data).assert().code(75).stdout("").stderr(tame);
}

#[test]
fn quiet_says_nothing_of_a_refusal_but_errors_all_the_same() {
    let (_dir, data) = data();
    let _holder = Holder::writer(&data);
    for request in
        [&["run", "-q", "--timeout=-1"][..], &["run", "--quiet", "--timeout=0.001"], &["try", "-q"]]
    {
        let run = |file: &Path| {
            let mut gtlock = gtlock();
            gtlock.args(request).arg("--write").arg(file).args(["--", "echo", "ran"]).assert().stdout("")
        };
        run(&data).code(75).stderr("");
        run(Path::new("/")).code(125).stderr(predicate::str::starts_with("gtlock: /: "));
    }
}

#[test]
fn an_uncontended_run_is_silent_unless_it_is_told_to_be_verbose() {
    let (_dir, data) = data();
    fs::write(&data, "").expect("it can be written");
    let run = |option: &[&str], mode: &str| {
        let mut gtlock = gtlock();
        gtlock.arg("run").args(option).arg(mode).arg(&data).args(["--", "echo", "ran"]);
        gtlock.assert().success().stdout("ran\n")
    };
    run(&[], "--write").stderr("");
    for (mode, purpose) in [("--write", "writing"), ("--read", "reading")] {
        let locked = format!("locked for {purpose} (at once|after {TIME})\n");
        let said = about(&data, &format!("{locked}gtlock: .*/state.json: held for {TIME}"));
        run(&["-v"], mode).stderr(predicate::str::is_match(said).expect("a pattern"));
    }
}

#[test]
fn verbose_says_at_once_who_is_waited_for_and_then_how_long_it_took() {
    let (_dir, data) = data();
    fs::write(&data, "").expect("it can be written");
    let holder = Holder::writer(&data);
    let started = Instant::now();
    let waiter = Waiter::start(&["-v"], &data);
    let waiting = waiter.said.line();
    let by = format!("waiting: held for writing by {} \\(cat\\) for {TIME}", holder.pid());
    assert!(matches(&waiting, &about(&data, &by)), "{waiting}");
    assert!(started.elapsed() < AT_ONCE);
    holder.release();
    let locked = waiter.said.line();
    assert!(matches(&locked, &about(&data, &format!("locked for writing after {TIME}"))), "{locked}");
    waiter.gets_it();
}

#[test]
fn a_wait_is_told_of_after_two_seconds_unless_quiet() {
    let (_dir, data) = data();
    let holder = Holder::writer(&data);
    let started = Instant::now();
    let quiet = Waiter::start(&["-q"], &data);
    let patient = Waiter::start(&[], &data);
    let polling = Waiter::start(&["--retry-delay"], &data);
    for waiter in [&patient, &polling] {
        let waiting = waiter.said.line();
        assert!(started.elapsed() >= Duration::from_secs(2), "{:?}", started.elapsed());
        let by = format!("waiting: held for writing by {} \\(cat\\) for {TIME}", holder.pid());
        assert!(matches(&waiting, &about(&data, &by)), "{waiting}");
    }
    holder.release();
    for waiter in [quiet, patient, polling] {
        waiter.gets_it();
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_waiter_whose_lock_file_was_replaced_does_not_run_beside_the_new_holder() {
    let (_dir, data) = data();
    let first = Holder::writer(&data);
    let waiter = Waiter::start(&["-v"], &data);
    let by = |holder: &Holder| {
        about(&data, &format!("waiting: held for writing by {} \\(cat\\) for {TIME}", holder.pid()))
    };
    assert!(matches(&waiter.said.line(), &by(&first)));
    crate::common::waits_in_kernel(waiter.gtlock.id(), &data);

    fs::remove_file(lock_file(&data)).expect("it is there");
    // One that waits would queue behind the waiter.
    let second = typed("try --write", &data).hold();
    first.release();
    let waiting = waiter.said.line();
    assert!(matches(&waiting, &by(&second)), "{waiting}");
    crate::common::waits_in_kernel(waiter.gtlock.id(), &data);

    second.release();
    assert!(waiter.said.line().contains("locked for writing after"));
    waiter.gets_it();
    assert_free(&data);
}

#[cfg(target_os = "linux")]
#[test]
fn a_waiter_whose_lock_file_was_removed_holds_the_one_that_others_find() {
    let (_dir, data) = data();
    let first = Holder::writer(&data);
    let mut request = gtlock_process();
    request.args(["run", "-q", "--write"]).arg(&data).args(["--", "cat"]).stdin(Stdio::piped());
    let mut waiter = request.stdout(Stdio::piped()).spawn().expect("gtlock starts");
    crate::common::waits_in_kernel(waiter.id(), &data);
    fs::remove_file(lock_file(&data)).expect("it is there");
    first.release();
    crate::common::eventually("the waiter has locked a new file", || {
        crate::common::status_of(&data)["holders"][0]["pid"] == waiter.id()
    });
    crate::common::assert_held(&data);
    drop(waiter.stdin.take());
    assert!(end_of(&mut waiter).success());
}

#[cfg(target_os = "linux")]
#[test]
fn a_waiter_whose_lock_directory_was_removed_makes_it_anew() {
    let (dir, data) = data();
    let first = Holder::writer(&data);
    let mut request = gtlock_process();
    request.args(["run", "-q", "--write"]).arg(&data).args(["--", "true"]);
    let mut waiter = request.spawn().expect("gtlock starts");
    crate::common::waits_in_kernel(waiter.id(), &data);
    fs::remove_dir_all(dir.path().join(".gastown")).expect("it is there");
    first.release();
    assert!(end_of(&mut waiter).success());
    assert!(lock_file(&data).exists());
}

#[cfg(target_os = "linux")]
#[test]
fn a_waiter_does_not_make_the_directory_of_the_data_anew() {
    let (dir, _) = data();
    let sub = dir.path().join("sub");
    fs::create_dir(&sub).expect("it can be made");
    let data = sub.join("state.json");
    let first = Holder::writer(&data);
    let mut request = gtlock_process();
    request.args(["run", "-q", "--write"]).arg(&data).args(["--", "echo", "ran"]);
    let waiter = request.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("gtlock starts");
    crate::common::waits_in_kernel(waiter.id(), &data);
    fs::remove_dir_all(&sub).expect("it is there");
    first.release();
    let output = waiter.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), output.stdout), (Some(125), Vec::new()));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(matches(&said, &about(&data, "its directory .*/sub does not exist; create it first")), "{said}");
    assert!(!sub.exists());
}

#[test]
fn a_lock_file_that_was_removed_or_replaced_meanwhile_is_reported() {
    for meddle in [r#"rm "$2""#, r#"rm "$2"; : > "$2""#, r#"mv "$2" "$2.old""#] {
        let (_dir, data) = data();
        let mut request = gtlock();
        request.args(["run", "--write"]).arg(&data);
        request.args(["--", "sh", "-c", &format!("{meddle}; exit 3"), "sh"]).arg(&data).arg(lock_file(&data));
        let lock = lock_file(&data.canonicalize().unwrap_or(data));
        let reported = predicate::str::starts_with(format!("gtlock: {}: the lock file was ", lock.display()))
            .and(predicate::str::contains("unlinked or replaced while it was locked"))
            .and(predicate::str::contains("\n").count(1));
        request.assert().code(3).stdout("").stderr(reported);
    }
}

/// A handle of this test's own on a lock, held until it is dropped.
#[cfg(target_os = "linux")]
fn hold(data: &Path) -> fs::File {
    let file = fs::File::open(lock_file(data)).expect("it is there");
    #[expect(clippy::disallowed_methods, reason = "a holder that is not gtlock")]
    file.lock().expect("it can be locked");
    file
}

#[cfg(target_os = "linux")]
#[test]
fn a_try_waits_for_a_passing_holder_of_a_lock_whose_record_names_nobody_alive() {
    let (_dir, data) = data();
    assert_free(&data);
    let lock = lock_file(&data);
    let mut gone = Command::new("true").spawn().expect("true runs");
    end_of(&mut gone);
    for record in [String::new(), format!("{}\n", gone.id())] {
        fs::write(&lock, record).expect("it can be written");
        let passing = hold(&data);
        let arguments = ["try".as_ref(), "-q".as_ref(), "--write".as_ref(), data.as_os_str()];
        let Some(request) = Stopped::after("flock", 2, &mut process("strace"), &arguments) else { return };
        drop(passing); // after its second look, which was refused like the first
        assert!(request.go_on().success());
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_try_does_not_wait_for_ever_for_a_holder_that_stays_unrecorded() {
    let (_dir, data) = data();
    assert_free(&data);
    let _holder = hold(&data);
    let mut request = gtlock();
    request.args(["try", "--write"]).arg(&data).timeout(AT_ONCE);
    let mine = format!("busy: held for writing by {} ", std::process::id());
    request.assert().code(75).stdout("").stderr(predicate::str::contains(mine));
}

#[test]
fn a_waiter_that_is_killed_leaves_nothing_behind() {
    let (_dir, data) = data();
    let holder = Holder::writer(&data);
    let mut waiter = Waiter::start(&["-v"], &data);
    assert!(waiter.said.line().contains("waiting"));
    waiter.gtlock.kill().expect("it is ours");
    end_of(&mut waiter.gtlock);
    let record = fs::read_to_string(lock_file(&data)).expect("it is there");
    assert_eq!(record, format!("{}\n", holder.pid()));
    holder.release();
    assert_free(&data);
    assert_eq!(waiter.printed.line_or_end(), None);
}

#[test]
fn a_timed_out_request_has_none_of_its_locks() {
    let (dir, data) = data();
    let other = dir.path().join("a.json");
    let holder = Holder::writer(&data);
    let mut request = gtlock_process();
    request.args(["run", "-q", "--timeout=0.05", "--write"]).arg(&data).arg("--write").arg(&other);
    to_its_end(request).args(["--", "echo", "ran"]).assert().code(75).stdout("").stderr("");
    assert_free(&other);
    let record = fs::read_to_string(lock_file(&other)).expect("it is there");
    assert_eq!(record.trim_matches('\n'), "", "it names nobody");
    holder.release();
    assert_free(&data);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_pipe_behind_standard_error_holds_up_no_lock() {
    let (_dir, data) = data();
    let (_reader, writer) = nix::unistd::pipe().expect("a pipe");
    let flags = |flags| nix::fcntl::fcntl(&writer, nix::fcntl::FcntlArg::F_SETFL(flags)).expect("it is open");
    flags(nix::fcntl::OFlag::O_NONBLOCK);
    while nix::unistd::write(&writer, &[0; 1024]).is_ok() {}
    flags(nix::fcntl::OFlag::empty()); // whoever writes more waits
    let holder = Holder::writer(&data);
    let mut request = gtlock_process();
    request.args(["run", "-v", "--write"]).arg(&data).args(["--", "echo", "got it"]);
    request.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::from(writer));
    let mut waiter = request.spawn().expect("gtlock starts");
    let printed = Lines::of(waiter.stdout.take().expect("it is piped"));
    crate::common::waits_in_kernel(waiter.id(), &data);
    assert!(holder.release().success());
    assert_eq!(printed.line(), "got it");
    assert!(end_of(&mut waiter).success());
    assert_free(&data);
}

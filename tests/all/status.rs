//! `gtlock status`: who holds which lock.
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use crate::common::{
    Holder, assert_free, data, end_of, gtlock, gtlock_process, lock_file, snapshot, status_of, to_its_end,
    typed,
};
use predicates::prelude::*;
use serde_json::{Value, json};

/// `gtlock status` in a directory: what it prints.
fn table(dir: &Path, arguments: &[&OsStr]) -> String {
    let assert = gtlock().arg("status").args(arguments).current_dir(dir).assert().success().stderr("");
    String::from_utf8(assert.get_output().stdout.clone()).expect("printable")
}

fn words(arguments: &[&str]) -> Vec<&'static OsStr> {
    arguments.iter().map(|word| OsStr::new(String::leak((*word).to_owned()))).collect()
}

/// `gtlock status --json` with arguments, in a directory: its exit code and its document.
fn document(dir: &Path, arguments: &[&OsStr]) -> (i32, Value) {
    let mut status = gtlock();
    let output =
        status.args(["status", "--json"]).args(arguments).current_dir(dir).output().expect("it runs");
    (output.status.code().expect("it exits"), serde_json::from_slice(&output.stdout).expect("JSON"))
}

fn names_and_states(document: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let lock = |lock: &Value| {
        let path = PathBuf::from(text(&lock["lock"]));
        (path.file_name().expect("a name").to_string_lossy().into_owned(), text(&lock["state"]))
    };
    document["locks"].as_array().expect("a list").iter().map(lock).collect()
}

/// The number of a process that is gone.
fn dead_pid() -> u32 {
    let mut gone = Command::new("true").spawn().expect("true runs");
    end_of(&mut gone);
    gone.id()
}

/// Makes the lock file of a data file, and writes into it.
fn write_record(data: &Path, record: &str) {
    assert_free(data);
    fs::write(lock_file(data), record).expect("it can be written");
}

#[test]
fn locks_are_held_stale_or_free_whichever_way_they_are_named() {
    let (dir, held) = data();
    let [stale, free] = ["stale.json", "zero.json"].map(|name| dir.path().join(name));
    let _holder = Holder::writer(&held);
    write_record(&stale, &format!("{}\n", dead_pid()));
    assert_free(&free);

    let all = [("stale.json.lock", "stale"), ("state.json.lock", "held"), ("zero.json.lock", "free")];
    let all = all.map(|(name, state)| (name.to_owned(), state.to_owned()));
    let locks = dir.path().join(".gastown/locks");
    for (from, arguments) in [
        (dir.path(), words(&[])),
        (dir.path(), words(&["."])),
        (dir.path(), words(&[".gastown/locks"])),
        (dir.path(), words(&[".gastown/locks/"])),
        (dir.path(), words(&["stale.json", "state.json", "zero.json"])),
        (dir.path(), words(&["--lock-dir", ".gastown/locks"])),
        (Path::new("/"), vec![dir.path().as_os_str()]),
        (Path::new("/"), vec![locks.as_os_str()]),
        (locks.as_path(), words(&["stale.json.lock", "state.json.lock", "zero.json.lock"])),
    ] {
        let (code, document) = document(from, &arguments);
        assert_eq!((code, names_and_states(&document)), (0, all.to_vec()), "{arguments:?}");
        assert_eq!(document["errors"], json!([]));
    }
}

#[test]
fn the_table_tells_mode_pid_command_and_since() {
    let (dir, data) = data();
    let holder = Holder::writer(&data);
    let shown = table(dir.path(), &[]);
    let pid = holder.pid();
    let row = format!(
        r"^STATE +MODE +PID +ALIVE +FOR +LOCK +COMMAND
held +write +{pid} +yes +[0-9a-z ]+ +\.gastown/locks/state\.json\.lock +cat
$"
    );
    assert!(predicate::str::is_match(row).expect("a pattern").eval(&shown), "{shown}");
    drop(holder);

    let dead = dead_pid();
    write_record(&data, &format!("{dead}\n"));
    let shown = table(dir.path(), &[]);
    let row = format!(r"\nstale +- +{dead} +no +[0-9a-z ]+ +\.gastown/locks/state\.json\.lock +-\n$");
    assert!(predicate::str::is_match(row).expect("a pattern").eval(&shown), "{shown}");

    assert_free(&data);
    let shown = table(dir.path(), &[]);
    let row = r"\nfree +- +- +- +- +\.gastown/locks/state\.json\.lock +-\n$";
    assert!(predicate::str::is_match(row).expect("a pattern").eval(&shown), "{shown}");
}

#[test]
fn json_tells_mode_pid_command_and_since() {
    let (_dir, data) = data();
    let before = SystemTime::now();
    let holder = Holder::writer(&data);
    let after = SystemTime::now();
    let lock = status_of(&data);
    let canonical = lock_file(
        &data.parent().expect("a directory").canonicalize().expect("it is there").join("state.json"),
    );
    assert_eq!(lock["lock"], json!(canonical));
    assert_eq!((&lock["state"], &lock["mode"]), (&json!("held"), &json!("write")));
    let command: Vec<Value> = lock["holders"][0]["command"].as_array().expect("a list").clone();
    assert_eq!(command.last(), Some(&json!("cat")), "{command:?}");
    let mut holders = lock["holders"].clone();
    holders[0].as_object_mut().expect("an object").remove("command");
    assert_eq!(holders, json!([{"pid": holder.pid(), "alive": true, "label": null, "evidence": "record"}]));
    assert_eq!(lock["waiters"], json!([]));
    let since = humantime::parse_rfc3339(lock["since"].as_str().expect("a time")).expect("a time");
    // A file's time is that of the kernel's last tick, and is printed in milliseconds.
    let slack = Duration::from_millis(50);
    assert!(before - slack <= since && since <= after + slack, "{before:?} {since:?} {after:?}");
    assert!(lock["seconds"].as_f64().expect("a number") >= 0.0);
}

#[test]
fn several_readers_are_all_shown() {
    let (_dir, data) = data();
    let readers = [Holder::reader(&data), Holder::reader(&data)];
    let lock = status_of(&data);
    assert_eq!(
        (&lock["state"], &lock["mode"], &lock["since"]),
        (&json!("held"), &json!("read"), &json!(null))
    );
    let pids: Vec<&Value> = lock["holders"].as_array().expect("a list").iter().map(|h| &h["pid"]).collect();
    assert_eq!(pids, [&json!(readers[0].pid()), &json!(readers[1].pid())]);
    let [first, second] = readers;
    first.release();
    let lock = status_of(&data);
    let pids: Vec<&Value> = lock["holders"].as_array().expect("a list").iter().map(|h| &h["pid"]).collect();
    assert_eq!(pids, [&json!(second.pid())]);
    assert_eq!(lock["since"], json!(null), "the file's time is that of the other's end");
    second.release();
    let alone = Holder::reader(&data);
    assert!(status_of(&data)["since"].is_string());
    alone.release();
}

#[cfg(target_os = "linux")]
#[test]
fn waiters_are_shown() {
    let (dir, data) = data();
    let holder = Holder::writer(&data);
    let mut request = gtlock_process();
    request.args(["run", "-q", "--read"]).arg(&data).args(["--", "true"]);
    let mut waiter = request.spawn().expect("gtlock starts");
    crate::common::waits_in_kernel(waiter.id(), &data);
    let row = format!(r"\nwaits +- +{} +yes +- +\.gastown/locks/state\.json\.lock +true\n$", waiter.id());
    let shown = table(dir.path(), &[]);
    assert!(predicate::str::is_match(row).expect("a pattern").eval(&shown), "{shown}");
    holder.release();
    assert!(end_of(&mut waiter).success());
}

#[cfg(target_os = "linux")]
#[test]
fn what_inherited_the_lock_of_a_killed_gtlock_is_named() {
    let (dir, data) = data();
    let mut holder = Holder::writer(&data);
    let gtlock = holder.pid();
    holder.kill();
    let lock = status_of(&data);
    assert_eq!((&lock["state"], &lock["mode"]), (&json!("held"), &json!("write")));
    let holders = lock["holders"].as_array().expect("a list");
    assert_eq!(
        holders[0],
        json!({"pid": gtlock, "alive": false, "command": null, "label": null, "evidence": "record"})
    );
    let heir = &holders[1];
    let of_heir = (&heir["alive"], &heir["command"], &heir["evidence"]);
    assert_eq!(of_heir, (&json!(true), &json!(["cat"]), &json!("descriptor")));
    let shown = table(dir.path(), &[]);
    let rows = format!(r"\nheld +write +{gtlock} +no .*\nheld +write +{} +yes .* cat .*\n$", heir["pid"]);
    assert!(predicate::str::is_match(rows).expect("a pattern").eval(&shown), "{shown}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_lock_that_another_program_holds_is_held_by_that_program() {
    let (_dir, data) = data();
    for (record, option, mode) in [
        (String::new(), "-x", "write"),
        (String::new(), "-s", "read"),
        (format!("{}\n", dead_pid()), "-x", "write"),
    ] {
        write_record(&data, &record);
        // Without -o: cat has the descriptor, too.
        let mut flock = crate::common::process("flock");
        let Some(holder) = flock_holder(flock.arg(option).arg(lock_file(&data)).arg("cat")) else { return };
        let lock = status_of(&data);
        assert_eq!((&lock["state"], &lock["mode"]), (&json!("held"), &json!(mode)));
        let holders = lock["holders"].as_array().expect("a list");
        let of_flock = holders.iter().find(|found| found["pid"] == holder.pid()).expect("flock is named");
        assert_eq!((&of_flock["alive"], &of_flock["evidence"]), (&json!(true), &json!("descriptor")));
    }
}

#[cfg(target_os = "linux")]
fn flock_holder(flock: &mut Command) -> Option<Holder> {
    if flock.get_program() == "flock" && crate::common::process("flock").arg("--version").output().is_err() {
        crate::common::skip("the lock of another program", "no flock");
        return None;
    }
    Some(Holder::running(flock))
}

#[cfg(target_os = "linux")]
#[test]
fn a_holder_that_cannot_be_seen_is_not_taken_for_none() {
    let (dir, data) = data();
    let _holder = Holder::writer(&data);
    fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).expect("it is ours");
    fs::write(lock_file(&data), "").expect("it can be written"); // as if it were in another PID namespace
    // A /proc in which nobody else's descriptors can be read.
    let what = "a holder that cannot be seen";
    let Some(gtlock) = crate::common::unprivileged(assert_cmd::cargo::cargo_bin!("gtlock"), what) else {
        return;
    };
    if gtlock.get_program() != "setpriv" {
        return crate::common::skip(what, "this is not root, whose processes others cannot see into");
    }
    let assert = to_its_end(gtlock).args(["status", "--json"]).arg(&data).assert().success().stderr("");
    let document: Value = serde_json::from_slice(&assert.get_output().stdout).expect("JSON");
    let lock = &document["locks"][0];
    let found = (&lock["state"], &lock["mode"], &lock["holders"]);
    assert_eq!(found, (&json!("held"), &json!("write"), &json!([])));

    let gtlock =
        crate::common::unprivileged(assert_cmd::cargo::cargo_bin!("gtlock"), what).expect("as before");
    let unknown =
        predicate::str::is_match(r"\nheld +write +\? +\? .*cannot be seen from here").expect("a pattern");
    to_its_end(gtlock).arg("status").arg(&data).assert().success().stdout(unknown);
}

/// A thread for each look would be the end of a gtlock that waits on a terminal, which looks every second.
#[cfg(target_os = "linux")]
#[test]
fn looking_at_an_unrecorded_holder_leaves_no_thread_behind() {
    let (_dir, data) = data();
    write_record(&data, "");
    let Some(_holder) = flock_holder(crate::common::process("flock").arg(lock_file(&data)).arg("cat")) else {
        return;
    };
    let mut processes = gtlock::process::Processes::default();
    let waiting = || {
        let threads = fs::read_dir("/proc/self/task").expect("there is one").flatten();
        let names = threads.filter_map(|thread| fs::read_to_string(thread.path().join("comm")).ok());
        names.filter(|name| name.trim() == "gtlock-wait").count()
    };
    let lock = lock_file(&data);
    let found = gtlock::lock::inspect(&lock, gtlock::lock::Kind::LockFile, &mut processes);
    assert!(matches!(found, Ok(Some(_))), "{found:?}");
    assert_eq!(waiting(), 0);
}

#[test]
fn a_lock_file_with_a_time_that_cannot_be_told_has_none() {
    let (dir, data) = data();
    let _holder = Holder::writer(&data);
    let lock = fs::File::options().write(true).open(lock_file(&data)).expect("it is there");
    lock.set_modified(SystemTime::UNIX_EPOCH - Duration::from_secs(1)).expect("it is ours");
    let found = status_of(&data);
    assert_eq!((&found["state"], &found["since"]), (&json!("held"), &json!(null)));
    table(dir.path(), &[]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_process_that_holds_nothing_is_not_shown_as_the_holder() {
    let (dir, data) = data();
    let me = std::process::id();
    write_record(&data, &format!("{me}\n"));
    let not_me = json!({"pid": me, "alive": false, "command": null, "label": null, "evidence": "record"});
    // Be it that it has the file open.
    let open = fs::File::options().read(true).write(true).open(lock_file(&data)).expect("it is there");
    let lock = status_of(&data);
    assert_eq!((&lock["state"], &lock["holders"]), (&json!("stale"), &json!([not_me])));
    open.set_modified(SystemTime::now() - Duration::from_hours(1)).expect("it is ours");
    let shown = table(dir.path(), &[]);
    let row = format!(r"\nstale +- +{me} +no +1h [0-9a-z ]* +\.gastown/locks/state\.json\.lock +-\n$");
    assert!(predicate::str::is_match(row).expect("a pattern").eval(&shown), "{shown}");

    // Nor while another holds it, whose time the record does not tell.
    let Some(other) = flock_holder(crate::common::process("flock").arg(lock_file(&data)).arg("cat")) else {
        return;
    };
    let lock = status_of(&data);
    assert_eq!((&lock["state"], &lock["since"]), (&json!("held"), &json!(null)));
    assert_eq!((&lock["holders"][0], &lock["holders"][1]["pid"]), (&not_me, &json!(other.pid())));
    let shown = table(dir.path(), &[]);
    let row = format!(r"\nheld +write +{} +yes +- +.* flock .* \(not recorded\)\n$", other.pid());
    assert!(predicate::str::is_match(row).expect("a pattern").eval(&shown), "{shown}");
    let said = format!(r"busy: held for writing by {} \(flock [^)]*\)\n$", other.pid());
    let said = predicate::str::is_match(said).expect("a pattern");
    typed("try --write", &data).assert().code(75).stderr(said);
}

#[cfg(target_os = "linux")]
#[test]
fn a_recorded_holder_is_known_whatever_the_clock_says() {
    let (dir, data) = data();
    let holder = Holder::writer(&data);
    let lock = fs::File::options().write(true).open(lock_file(&data)).expect("it is there");
    lock.set_modified(SystemTime::now() - Duration::from_hours(1)).expect("it is ours"); // it started later
    let found = status_of(&data)["holders"].clone();
    assert_eq!(
        (found.as_array().map(Vec::len), &found[0]["pid"]),
        (Some(1), &json!(holder.pid())),
        "{found}"
    );
    assert_eq!((&found[0]["alive"], &found[0]["evidence"]), (&json!(true), &json!("record")));
    assert!(!table(dir.path(), &[]).contains("recorded"));
}

#[cfg(target_os = "linux")]
#[test]
fn a_holder_that_is_stopped_is_called_stopped() {
    let (dir, data) = data();
    let holder = Holder::writer(&data);
    let send = |signal| {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(holder.pid()).expect("a process ID"));
        nix::sys::signal::kill(pid, signal).expect("it is ours");
    };
    send(nix::sys::signal::Signal::SIGSTOP);
    crate::common::eventually("it is stopped", || table(dir.path(), &[]).contains(" stopped "));
    let said = format!(r"busy: held for writing by {} \(cat\), stopped, for [0-9.ms]+\n$", holder.pid());
    let said = predicate::str::is_match(said).expect("a pattern");
    typed("try --write", &data).assert().code(75).stderr(said);
    send(nix::sys::signal::Signal::SIGCONT);
    holder.release();
}

#[cfg(target_os = "linux")]
#[test]
fn of_processes_that_share_a_lock_the_topmost_is_shown() {
    let (dir, data) = data();
    let mut request = gtlock_process();
    request.args(["run", "--direct", "--write"]).arg(&data);
    let crowd = "for i in 1 2 3 4 5; do sleep 100 & done; cat; kill $(jobs -p)";
    let mut holder = Holder::running(request.args(["--", "sh", "-c", crowd]));
    let holders = || {
        let (_, document) = document(dir.path(), &words(&["--direct", "state.json"]));
        let holders = document["locks"][0]["holders"].as_array().expect("a list");
        holders.iter().map(|holder| holder["pid"].clone()).collect::<Vec<_>>()
    };
    let gtlock = holder.pid();
    assert_eq!(holders(), [json!(gtlock)]);
    let shell = fs::read_to_string(format!("/proc/{gtlock}/task/{gtlock}/children")).expect("Linux tells");
    holder.kill();
    assert_eq!(holders(), [json!(shell.trim().parse::<u32>().expect("one number"))]);
}

#[cfg(target_os = "linux")]
#[test]
fn waiters_are_shown_in_the_order_of_their_places() {
    use nix::fcntl::{FcntlArg, fcntl};
    let (dir, data) = data();
    let holder = Holder::writer(&data);
    // As gtlock queues: each waiter has locked a byte of the lock file, far out.
    let mut waiters = [5, 3, 4].map(|place| {
        let file = fs::File::options().read(true).write(true).open(lock_file(&data)).expect("it is there");
        #[allow(clippy::cast_possible_truncation, reason = "the types differ between C libraries")]
        let (l_type, l_whence) = (nix::libc::F_WRLCK as _, nix::libc::SEEK_SET as _);
        let byte = nix::libc::flock { l_type, l_whence, l_start: (1 << 62) + place, l_len: 1, l_pid: 0 };
        fcntl(&file, FcntlArg::F_OFD_SETLK(&byte)).expect("it is free");
        let waiter = Command::new("sleep").arg("100").stdin(file).spawn().expect("sleep runs");
        (place, waiter)
    });
    let places: Vec<_> = {
        waiters.sort_by_key(|(place, _)| *place);
        waiters.iter().map(|(_, waiter)| json!(waiter.id())).collect()
    };
    // And one that knows of no places, after them.
    let mut flock = Command::new("flock").arg(lock_file(&data)).arg("true").spawn().expect("flock runs");
    let is_waiter = |waiter: &Value| waiter["pid"] == flock.id();
    crate::common::eventually("flock waits in the kernel", || {
        status_of(&data)["waiters"].as_array().expect("a list").iter().any(is_waiter)
    });
    let shown = status_of(&data)["waiters"].clone();
    let shown: Vec<_> =
        shown.as_array().expect("a list").iter().map(|waiter| waiter["pid"].clone()).collect();
    assert_eq!(shown, [&places[..], &[json!(flock.id())]].concat());
    let rows = table(dir.path(), &[]);
    let rows: Vec<_> = rows.lines().filter(|row| row.starts_with("waits ")).collect();
    assert!(
        rows.len() == 4 && rows.iter().zip(&shown).all(|(row, pid)| row.contains(&pid.to_string())),
        "{rows:?}"
    );
    for (_, waiter) in &mut waiters {
        waiter.kill().expect("it is ours");
        end_of(waiter);
    }
    holder.release();
    assert!(end_of(&mut flock).success());
}

#[test]
fn held_locks_come_first_in_the_table_then_stale_ones() {
    let (dir, held) = data();
    let [free, stale] = ["a.json", "b.json"].map(|name| dir.path().join(name));
    let _holder = Holder::writer(&held);
    assert_free(&free);
    write_record(&stale, &format!("{}\n", dead_pid()));
    let states = |options: &[&str]| {
        let shown = table(dir.path(), &words(options));
        let states = shown.lines().skip(1).map(|row| row.split(' ').next().unwrap_or_default().to_owned());
        states.collect::<Vec<_>>()
    };
    assert_eq!(states(&[]), ["held", "stale", "free"]);
    assert_eq!(states(&["--held"]), ["held"]);
    assert_eq!(states(&["--held", "a.json"]), [""; 0]);
    let (_, document) = document(dir.path(), &words(&["--held"]));
    assert_eq!(names_and_states(&document), [("state.json.lock".to_owned(), "held".to_owned())]);
}

#[test]
fn a_label_is_shown_instead_of_the_command() {
    let (dir, data) = data();
    let mut request = gtlock_process();
    let holder = Holder::start(request.args(["run", "--label", "nightly\u{1b} build", "--write"]).arg(&data));
    let by = format!("held for writing by {} (nightly\\u{{1b}} build) for ", holder.pid());
    let said = predicate::str::contains(by);
    typed("try --label=x --write", &data).assert().code(75).stderr(said);
    let shown = table(dir.path(), &[]);
    assert!(shown.ends_with("  nightly\\u{1b} build\n"), "{shown}");
    let found = status_of(&data)["holders"][0].clone();
    assert_eq!(found["label"], json!("nightly\u{1b} build"));
    assert_eq!(found["command"].as_array().and_then(|words| words.last()), Some(&json!("cat")));
    typed("run --label  --write", &data).command(["true"]).assert().code(125);
    holder.release();
}

#[test]
fn a_missing_directory_has_no_locks() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    for arguments in [&[][..], &["."], &["missing/.gastown/locks"], &["--lock-dir", "missing"]] {
        let mut request = gtlock();
        request.arg("status").args(arguments).current_dir(dir.path());
        request.assert().success().stdout("");
        let (code, document) = document(dir.path(), &words(arguments));
        assert_eq!((code, document), (0, json!({"version": 1, "locks": [], "errors": []})), "{arguments:?}");
    }
    assert_eq!(snapshot(dir.path()).len(), 0, "nothing was created");
}

#[test]
fn a_data_file_that_was_never_locked_is_free() {
    let (dir, data) = data();
    assert_eq!(status_of(&data)["state"], json!("free"));
    assert_eq!(snapshot(dir.path()).len(), 0, "nothing was created");
}

#[test]
fn the_locks_of_a_chosen_directory_are_found_by_data_file_lock_file_and_directory() {
    let (dir, data) = data();
    let mut request = gtlock_process();
    let _holder =
        Holder::start(request.current_dir(&dir).args(["run", "--lock-dir", "run", "--write"]).arg(&data));
    let held = vec![("state.json.lock".to_owned(), "held".to_owned())];
    for arguments in [
        &["--lock-dir", "run"][..],
        &["--lock-dir", "run", "state.json"],
        &["--lock-dir", "run", "elsewhere/state.json"],
        &["--lock-dir", "run", "run"],
        &["--lock-dir", "run", "run/state.json.lock"],
    ] {
        fs::create_dir_all(dir.path().join("elsewhere")).expect("it can be made");
        let (code, document) = document(dir.path(), &words(arguments));
        assert_eq!((code, names_and_states(&document)), (0, held.clone()), "{arguments:?}");
    }
    let (_, document) = document(dir.path(), &words(&["state.json"]));
    assert_eq!(names_and_states(&document), [("state.json.lock".to_owned(), "free".to_owned())]);
}

#[test]
fn a_symbolic_link_as_data_file_shows_all_of_its_locks() {
    let (dir, data) = data();
    symlink("state.json", dir.path().join("alias.json")).expect("it can be made");
    let _holder = Holder::writer(&data);
    let (_, document) = document(dir.path(), &words(&["alias.json"]));
    let expected = [("alias.json.lock", "free"), ("state.json.lock", "held")];
    assert_eq!(names_and_states(&document), expected.map(|(n, s)| (n.to_owned(), s.to_owned())));
}

#[test]
fn wild_names_and_commands_are_shown_tame() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let wild = dir.path().join(OsStr::from_bytes(b"a\nb\x1b[31m\t\xff.json"));
    let mut request = gtlock_process();
    request.args(["run", "--write"]).arg(&wild).args([
        "--",
        "sh",
        "-c",
        "cat; : '\n\x1b]0;title\x07\t\u{202e}'",
    ]);
    let _holder = Holder::running(&mut request);
    let shown = table(dir.path(), &[]);
    assert_eq!(shown.lines().count(), 2, "{shown}");
    assert!(shown.bytes().all(|b| b == b'\n' || (0x20..0x7f).contains(&b)), "{shown}");
    assert!(shown.contains(r"/a\nb\u{1b}[31m\t\xff.json.lock "), "{shown}");
    assert!(shown.contains(r"sh -c cat; : '\n\u{1b}]0;title\u{7}\t\u{202e}'"), "{shown}");

    let (code, document) = document(dir.path(), &[]);
    assert_eq!(code, 0);
    assert_eq!(document["locks"][0]["lock"], json!(".gastown/locks/a\nb\u{1b}[31m\t\u{fffd}.json.lock"));

    let bad = dir.path().join(OsStr::from_bytes(b"no\n\x1b[31m\xff/x"));
    let error = predicate::str::contains(r"no\n\u{1b}[31m\xff does not exist");
    let error = error.and(predicate::str::contains("\n").count(1));
    gtlock().arg("status").arg(&bad).assert().code(125).stdout("").stderr(error);
}

#[test]
fn what_cannot_be_examined_is_an_error_and_the_rest_is_shown() {
    let (dir, data) = data();
    assert_free(&data);
    let locks = lock_file(&data).parent().expect("a directory").to_owned();
    let mkfifo = Command::new("mkfifo").arg(locks.join("fifo.lock")).status().expect("mkfifo runs");
    assert!(mkfifo.success());
    fs::create_dir(locks.join("dir.lock")).expect("it can be made");
    fs::write(locks.join("foreign.lock"), "content").expect("it can be written");
    symlink("state.json.lock", locks.join("link.lock")).expect("it can be made");
    fs::write(locks.join("passed over"), "").expect("it can be written");
    let before = snapshot(dir.path());
    let said = |said: &str| {
        ["dir.lock: is not a lock file but a directory", "fifo.lock: is not a lock file but a FIFO"]
            .into_iter()
            .chain(["foreign.lock: is not a lock file: it has other content"])
            .chain(["link.lock: is not a lock file but a symbolic link"])
            .zip(said.lines())
            .all(|(expected, line)| line.starts_with("gtlock: .gastown/locks/") && line.contains(expected))
            && said.lines().count() == 4
    };
    let shown = predicate::str::is_match(r"^STATE.*\nfree .*/state\.json\.lock .*\n$").expect("a pattern");
    let mut status = gtlock();
    let assert = status.arg("status").current_dir(dir.path()).assert();
    assert.code(125).stdout(shown).stderr(predicate::function(said));
    let (code, document) = document(dir.path(), &[]);
    assert_eq!((code, document["errors"].as_array().map(Vec::len)), (125, Some(4)));
    assert_eq!(document["locks"].as_array().map(Vec::len), Some(1));
    assert_eq!(snapshot(dir.path()), before, "nothing was changed");
}

#[test]
fn a_lock_file_that_may_not_be_read_is_an_error_and_the_rest_is_shown() {
    let (dir, data) = data();
    let secret = dir.path().join("secret.json");
    assert_free(&data);
    assert_free(&secret);
    fs::set_permissions(lock_file(&secret), PermissionsExt::from_mode(0o000)).expect("it is ours");
    fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).expect("it is ours");
    let gtlock = assert_cmd::cargo::cargo_bin!("gtlock");
    let Some(gtlock) = crate::common::unprivileged(gtlock, "a lock file that may not be read") else {
        return;
    };
    let said = predicate::str::starts_with("gtlock: .gastown/locks/secret.json.lock: Permission denied")
        .and(predicate::str::contains("\n").count(1));
    let shown = predicate::str::is_match(r"^STATE.*\nfree .*/state\.json\.lock .*\n$").expect("a pattern");
    let mut status = to_its_end(gtlock);
    status.arg("status").current_dir(dir.path()).assert().code(125).stdout(shown).stderr(said);
}

#[test]
fn status_changes_nothing() {
    let (dir, held) = data();
    let [stale, free] = ["stale.json", "zero.json"].map(|name| dir.path().join(name));
    let _holder = Holder::writer(&held);
    write_record(&stale, &format!("{}\n", dead_pid()));
    assert_free(&free);
    fs::write(dir.path().join("none.json"), "").expect("it can be written");
    let before = snapshot(dir.path());
    for arguments in [&[][..], &["state.json", "stale.json", "zero.json", "none.json"]] {
        table(dir.path(), &words(arguments));
        document(dir.path(), &words(arguments));
    }
    assert_eq!(snapshot(dir.path()), before);
}

#[test]
fn nobody_listening_is_no_reason_to_complain() {
    let (_dir, data) = data();
    let _holder = Holder::writer(&data);
    for option in ["", "--json"] {
        let mut status = gtlock_process();
        status.arg("status").args(Some(option).filter(|option| !option.is_empty())).arg(&data);
        let mut status = status.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("gtlock starts");
        drop(status.stdout.take());
        let said = std::io::read_to_string(status.stderr.take().expect("it is piped")).expect("text");
        assert_eq!(said, "");
        end_of(&mut status);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_behind_standard_output_is_reported() {
    let (_dir, data) = data();
    assert_free(&data);
    for arguments in
        [r#"status "$1""#, r#"status --json "$1""#, "clean", "clean --json", "--help", "--version"]
    {
        let full = predicate::str::starts_with("gtlock: standard output: No space left on device")
            .and(predicate::str::contains("\n").count(1));
        let script = format!("gtlock {arguments} >/dev/full");
        to_its_end(crate::common::shell(&script, &data)).assert().code(125).stdout("").stderr(full);
    }
}

#[cfg(unix)]
#[test]
fn a_lock_directory_that_is_a_link_is_shown_by_that_name() {
    let (dir, data) = data();
    std::fs::create_dir_all(dir.path().join(".gastown")).expect("it can be made");
    std::fs::create_dir(dir.path().join("shared")).expect("it can be made");
    std::os::unix::fs::symlink("../shared", dir.path().join(".gastown/locks")).expect("it can be made");
    let holder = Holder::writer(&data);
    for named in [&[][..], &[".gastown/locks"], &[".gastown/locks/state.json.lock"], &["."], &["state.json"]]
    {
        let (code, document) = document(dir.path(), &words(named));
        assert_eq!((code, document["locks"].as_array().map(Vec::len)), (0, Some(1)), "{named:?}: {document}");
        assert_eq!(document["locks"][0]["state"], "held", "{named:?}: {document}");
    }
    gtlock()
        .args(["try", "--write", ".gastown/locks/state.json.lock"])
        .current_dir(dir.path())
        .assert()
        .code(125);
    holder.release();
}

#[test]
fn a_directory_that_is_locked_itself_is_shown_with_the_locks_in_it() {
    let (dir, _) = data();
    let town = dir.path().join("town");
    std::fs::create_dir(&town).expect("it can be made");
    let inside = Holder::writer(&town.join("state.json"));
    let itself = Holder::writer(&town);
    let (code, document) = document(dir.path(), &words(&["town"]));
    let mut found: Vec<String> =
        names_and_states(&document).into_iter().map(|(name, state)| format!("{name} {state}")).collect();
    found.sort();
    assert_eq!((code, found), (0, vec!["state.json.lock held".to_owned(), "town.lock held".to_owned()]));
    inside.release();
    itself.release();
}

#[cfg(unix)]
#[test]
fn what_is_in_the_place_of_a_lock_directory_is_an_error_and_not_a_free_lock() {
    let (dir, _) = data();
    std::fs::create_dir(dir.path().join(".gastown")).expect("it can be made");
    let locks = dir.path().join(".gastown/locks");
    std::fs::write(&locks, "").expect("it can be written");
    for _ in 0..2 {
        for named in [&[][..], &["."], &[".gastown/locks"]] {
            let (code, document) = document(dir.path(), &words(named));
            assert_eq!(
                (code, document["locks"].as_array().map(Vec::len)),
                (125, Some(0)),
                "{named:?}: {document}"
            );
        }
        gtlock().arg("status").arg(dir.path()).assert().code(125).stdout("");
        std::fs::remove_file(&locks).expect("it is there");
        std::os::unix::fs::symlink("nowhere", &locks).expect("it can be made");
    }
    std::fs::remove_dir_all(dir.path().join(".gastown")).expect("it is ours");
    std::os::unix::fs::symlink("nowhere", dir.path().join(".gastown")).expect("it can be made");
    gtlock().arg("status").arg(dir.path()).assert().code(125).stdout("");
}

#[test]
fn a_directory_with_locks_in_it_and_its_own_lock_elsewhere_is_shown_with_both() {
    let (dir, _) = data();
    let town = dir.path().join("town");
    std::fs::create_dir(&town).expect("it can be made");
    let inside = Holder::writer(&town.join("state.json"));
    let mut itself = gtlock_process();
    itself.args(["run", "--lock-dir", "L", "--write", "town"]).current_dir(dir.path());
    let itself = Holder::start(&mut itself);
    let (code, document) = document(dir.path(), &words(&["--lock-dir", "L", "town"]));
    assert_eq!((code, document["locks"].as_array().map(Vec::len)), (0, Some(2)), "{document}");
    inside.release();
    itself.release();
}

//! Surroundings that are against it: a full disk, too few descriptors, no `/proc`, other PID namespaces, and
//! more lock files than anybody has.
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::common::{
    Holder, assert_free, assert_held, data, end_of, gtlock, gtlock_process, lock_file, process, skip,
    to_its_end,
};
use nix::fcntl::{Flock, FlockArg, OFlag};
use predicates::prelude::*;

/// A shell script in mount and PID namespaces of its own; `$1` is the data file, `$2` its directory. `None`,
/// and a word about it, where that is not allowed.
fn unshared(what: &str, options: &[&str], script: &str, data: &Path) -> Option<Command> {
    let unshare = || {
        let mut unshare = process("unshare");
        unshare.args(options);
        unshare
    };
    if !unshare().arg("true").output().is_ok_and(|output| output.status.success()) {
        skip(what, "unshare is not allowed");
        return None;
    }
    let mut unshare = unshare();
    unshare.args(["sh", "-c", script, "sh"]).arg(data).arg(data.parent().expect("a directory"));
    Some(unshare)
}

#[test]
fn on_a_full_file_system_a_new_lock_is_an_error_and_an_old_one_works_without_a_record() {
    let (_dir, data) = data();
    // Few pages and inodes, and all of them taken.
    let script = r#"mount -t tmpfs -o size=64k,nr_inodes=8 none "$2" && cd "$2" || exit 9
        gtlock try --write state.json && : > .gastown/locks/state.json.lock || exit 8
        i=0; while touch "fill.$((i += 1))" 2> /dev/null; do :; done
        dd if=/dev/zero of=fill.1 bs=1k count=100 2> /dev/null
        gtlock run -v --write state.json -- flock -n .gastown/locks/state.json.lock true
        echo "old: $?"
        gtlock run --write new.json -- echo ran
        echo "new: $?""#;
    let Some(full) = unshared("a full file system", &["-m"], script, &data) else { return };
    let said = predicate::str::contains("state.json: locked for writing ")
        .and(predicate::str::contains(", without a record of the holder: No space left on device"))
        .and(predicate::str::contains("new.json.lock: No space left on device"))
        .and(predicate::str::contains("\n").count(3));
    to_its_end(full).assert().success().stdout("old: 1\nnew: 125\n").stderr(said);
}

#[test]
fn with_no_descriptor_left_it_is_an_error_and_the_command_does_not_run() {
    let (_dir, data) = data();
    assert_free(&data);
    for limit in 3..=12 {
        for action in ["run --write", "run --read", "try --write"] {
            // A command that is linked statically: the loader of another would need a descriptor itself.
            let script = format!(r#"ulimit -n {limit}; exec gtlock {action} "$1" -- gtlock --version"#);
            let output = to_its_end(crate::common::shell(&script, &data)).output().expect("sh starts");
            let (said, ran) =
                (String::from_utf8_lossy(&output.stderr), output.stdout.starts_with(b"gtlock "));
            match output.status.code() {
                Some(0) => assert!(ran && said.is_empty(), "{action}, {limit}: {output:?}"),
                Some(125) => {
                    assert!(!ran && limit < 10, "{action}, {limit}: {output:?}");
                    assert!(said.starts_with("gtlock: ") && said.lines().count() == 1, "{said}");
                }
                _ => panic!("{action}, {limit}: {output:?}"),
            }
            assert_free(&data);
        }
    }
}

#[test]
fn without_proc_the_lock_works_and_its_holder_is_unknown() {
    let (_dir, data) = data();
    let holder = Holder::writer(&data);
    let script = r#"mount -t tmpfs none /proc || exit 9
        gtlock status --json "$1"; echo "status: $?"
        gtlock try -q --write "$1"; echo "try: $?"
        gtlock run -q --timeout=50ms --read "$1" -- true; echo "run: $?"
        gtlock run --write "$2/other.json" -- echo ran"#;
    let Some(blind) = unshared("no /proc", &["-m"], script, &data) else { return };
    let said = predicate::str::contains(r#""state": "held""#)
        .and(predicate::str::contains(r#""waiters": null"#))
        .and(predicate::str::contains("status: 0\ntry: 75\nrun: 75\nran\n"));
    to_its_end(blind).assert().success().stdout(said).stderr("");
    holder.release();
}

#[test]
fn a_holder_in_another_pid_namespace_is_never_taken_for_none() {
    let (_dir, data) = data();
    let script = r#"exec gtlock run --write "$1" -- cat"#;
    let what = "another PID namespace";
    let options = ["-p", "-m", "-f", "--mount-proc"];
    let Some(mut elsewhere) = unshared(what, &options, script, &data) else { return };
    let holder = Holder::running(&mut elsewhere);
    // Its number there is that of another process here, or of none.
    assert_held(&data);
    assert_eq!(crate::common::status_of(&data)["state"], "held");
    gtlock().args(["clean", "-q"]).arg(lock_file(&data).parent().expect("a directory")).assert().success();
    assert_held(&data);

    // Nor for the one that asks, whose number there may be the same.
    let script = r#"exec gtlock try --write "$1" -- true"#;
    let unseen =
        predicate::str::ends_with("busy: held for writing by a process that cannot be seen from here\n");
    to_its_end(unshared(what, &options, script, &data).expect("as before")).assert().code(75).stderr(unseen);

    // And from there, a holder here.
    let here = data.with_file_name("here.json");
    let writer = Holder::writer(&here);
    let script = r#"gtlock status --json "$1"; gtlock try -q --write "$1"; echo "try: $?""#;
    let inside = unshared(what, &options, script, &here).expect("as before");
    let unknown = predicate::str::contains(r#""state": "held""#).and(predicate::str::contains("try: 75\n"));
    to_its_end(inside).assert().success().stdout(unknown).stderr("");
    writer.release();
    holder.release();
    assert_free(&data);
}

#[test]
fn a_nested_request_without_proc_is_an_error_and_no_wait_for_itself() {
    let (_dir, data) = data();
    let script = r#"mount -t tmpfs none /proc || exit 9
        exec gtlock run --write "$1" -- gtlock run -q --timeout=9 --write "$1" -- echo ran"#;
    let Some(nested) = unshared("a nested request without /proc", &["-m"], script, &data) else { return };
    let said = predicate::str::contains("already locked").and(predicate::str::contains("\n").count(1));
    to_its_end(nested).assert().code(125).stdout("").stderr(said);
}

#[test]
fn a_holder_that_is_hidden_is_shown_all_the_same() {
    let (dir, data) = data();
    let what = "hidepid";
    fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).expect("it is ours");
    if crate::common::unprivileged("true", what).is_none() {
        return;
    }
    let holder = Holder::writer(&data);
    let script = r#"mount -t proc -o hidepid=2 proc /proc || exit 9
        exec setpriv --reuid=65534 --regid=65534 --clear-groups gtlock status --json "$1""#;
    let Some(status) = unshared(what, &["-m"], script, &data) else { return };
    let output = to_its_end(status).output().expect("it runs");
    if output.status.code() == Some(9) {
        return skip(what, "it cannot be mounted");
    }
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let lock = &document["locks"][0];
    assert_eq!(lock["state"], "held", "{document}");
    let shown = &lock["holders"][0];
    assert_eq!((&shown["pid"], &shown["alive"]), (&holder.pid().into(), &true.into()), "{document}");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn a_number_in_the_record_alone_names_nobody_as_the_holder_of_a_lock() {
    let (dir, data) = data();
    fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).expect("it is ours");
    assert_free(&data);
    let asks = |subcommand: &[&str]| {
        let mut gtlock =
            crate::common::unprivileged(assert_cmd::cargo::cargo_bin!("gtlock"), "a hidden holder")?;
        gtlock.args(subcommand).arg(&data);
        Some(to_its_end(gtlock).output().expect("it runs"))
    };
    let said = |output: std::process::Output| String::from_utf8(output.stderr).expect("text");

    // The number is that of an older process whose descriptors cannot be seen, the lock another's.
    fs::write(lock_file(&data), "1\n").expect("it can be written");
    let lock = fs::File::open(lock_file(&data)).expect("it is there");
    let lock = Flock::lock(lock, FlockArg::LockExclusiveNonblock).expect("it is free");
    let Some(refused) = asks(&["try", "--write"]) else { return };
    assert_eq!(refused.status.code(), Some(75));
    let refused = said(refused);
    assert!(refused.contains("busy: held for writing by ") && !refused.contains(" by 1 ("), "{refused}");
    let status = asks(&["status", "--json"]).expect("as before");
    let document: serde_json::Value = serde_json::from_slice(&status.stdout).expect("JSON");
    let shown = &document["locks"][0]["holders"][0];
    assert_eq!((&shown["pid"], &shown["alive"]), (&1.into(), &false.into()), "{document}");
    drop(lock);

    // That of the holder is known from the kernel's table.
    let holder = Holder::writer(&data);
    let refused = said(asks(&["try", "--write"]).expect("as before"));
    let named = format!("busy: held for writing by {} (cat) for ", holder.pid());
    assert!(refused.contains(&named), "{refused}");
}

#[test]
fn a_process_that_has_got_the_number_of_a_dead_holder_is_not_the_holder() {
    let (_dir, data) = data();
    let what = "a number that is used again";
    // In a PID namespace of its own nobody else takes the number.
    let script = r#"gtlock run --no-fork --write "$1" -- sleep 60 & pid=$!
        until [ -s "$2/.gastown/locks/state.json.lock" ]; do :; done
        kill -KILL "$pid"; wait "$pid" 2> /dev/null
        echo $((pid - 1)) > /proc/sys/kernel/ns_last_pid || exit 9
        sleep 60 & [ $! = "$pid" ] || exit 9
        gtlock status --json "$1"; gtlock try --write "$1"; echo "try: $?""#;
    let options = ["-p", "-m", "-f", "--mount-proc"];
    let Some(namesake) = unshared(what, &options, script, &data) else { return };
    let output = to_its_end(namesake).output().expect("it runs");
    if output.status.code() == Some(9) {
        return skip(what, "no number can be chosen");
    }
    let said = String::from_utf8_lossy(&output.stdout);
    let expected = [r#""state": "stale""#, r#""alive": false"#, "try: 0\n"];
    assert!(expected.iter().all(|expected| said.contains(expected)), "{output:?}");
}

#[test]
fn a_number_in_the_record_that_tells_nothing_does_not_make_a_free_lock_busy() {
    let (dir, data) = data();
    let what = "a record of somebody who cannot be looked at";
    fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o777)).expect("it is ours");
    assert_free(&data);
    for pid in ["1", "4194305"] {
        fs::write(lock_file(&data), format!("{pid}\n")).expect("it can be written");
        fs::set_permissions(lock_file(&data), PermissionsExt::from_mode(0o666)).expect("it is ours");
        // Refused once, as by the look of a status.
        let Some(mut strace) = crate::common::unprivileged("strace", what) else { return };
        strace.args(["-f", "-o", "/dev/null", "-e", "inject=flock:error=EAGAIN:when=1"]);
        strace.arg(assert_cmd::cargo::cargo_bin!("gtlock")).args(["try", "--write"]).arg(&data);
        let output = to_its_end(strace).output().expect("strace runs");
        if output.status.code() == Some(1) {
            return skip(what, "strace may not trace");
        }
        assert!(output.status.success(), "{pid}: {output:?}");
    }
}

#[test]
fn status_and_clean_finish_with_thousands_of_lock_files() {
    let (dir, data) = data();
    assert_free(&data);
    let locks = lock_file(&data).parent().expect("a directory").to_owned();
    // GTLOCK_MANY=100000 for more than anybody has; each look at them has its own limit of time.
    let many: usize = std::env::var("GTLOCK_MANY").ok().and_then(|many| many.parse().ok()).unwrap_or(2_000);
    for number in 0..many {
        fs::write(locks.join(format!("{number}.lock")), "4200000000\n").expect("it can be written");
    }
    let holder = Holder::writer(&data);
    let table = gtlock().args(["status"]).arg(dir.path()).assert().success().stderr("");
    let table = String::from_utf8_lossy(&table.get_output().stdout).into_owned();
    assert_eq!(table.lines().filter(|line| line.starts_with("stale ")).count(), many);
    let said = format!("removed {many} lock files, 1 held\n");
    gtlock().arg("clean").arg(&locks).assert().success().stdout(said).stderr("");
    let left = fs::read_dir(&locks).expect("a directory").filter_map(Result::ok);
    assert_eq!(left.filter(|entry| entry.file_name() != ".gitignore").count(), 1);
    holder.release();
}

#[test]
fn nobody_to_talk_to_is_no_reason_to_panic_or_to_fail() {
    let (_dir, data) = data();
    let _holder = Holder::writer(&data);
    for closed in [">&-", "2>&-", ">&- 2>&- <&-", "2>/dev/full"] {
        for (action, code) in [("try --write", 75), ("run --timeout=10ms -v --read", 75), ("run --bad", 125)]
        {
            let script = format!(r#"gtlock {action} "$1" -- true {closed}; exit $?"#);
            let output = to_its_end(crate::common::shell(&script, &data)).output().expect("sh starts");
            assert_eq!(output.status.code(), Some(code), "{action} {closed}: {output:?}");
            assert!(!String::from_utf8_lossy(&output.stderr).contains("panicked"), "{output:?}");
        }
    }
}

#[test]
fn a_full_pipe_is_no_reason_to_panic() {
    let (_dir, data) = data();
    let _holder = Holder::writer(&data);
    let (_reader, writer) = nix::unistd::pipe2(OFlag::O_NONBLOCK).expect("a pipe");
    while nix::unistd::write(&writer, &[0; 1024]).is_ok() {} // whoever writes more is told to try again
    let full = || Stdio::from(writer.try_clone().expect("a descriptor"));
    for (arguments, code) in
        [(["try", "--write"], 75), (["run", "--write"], 125), (["status", "--json"], 125)]
    {
        let mut request = gtlock_process();
        request.args(arguments).arg(&data).stdout(full()).stderr(full());
        assert_eq!(end_of(&mut request.spawn().expect("it starts")).code(), Some(code), "{arguments:?}");
    }
    let mut status = gtlock_process();
    status.args(["status"]).arg(&data).stdout(full()).stderr(Stdio::piped());
    let output = status.spawn().and_then(Child::wait_with_output).expect("it starts");
    assert_eq!(output.status.code(), Some(125));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.starts_with("gtlock: standard output: ") && said.lines().count() == 1, "{said}");
}

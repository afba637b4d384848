//! `gtlock clean`: what it removes, and above all what it leaves.
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::{
    Holder, assert_free, assert_held, data, gtlock, gtlock_process, lock_file, snapshot, to_its_end, typed,
};
use predicates::prelude::*;
use serde_json::{Value, json};

/// A directory for a test, with an empty lock directory in it.
fn lock_dir() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let locks = dir.path().join(".gastown/locks");
    fs::create_dir_all(&locks).expect("it can be made");
    (dir, locks)
}

fn clean(dir: &Path, arguments: &[&str]) -> assert_cmd::assert::Assert {
    gtlock().arg("clean").args(arguments).current_dir(dir).assert()
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("a directory");
    let name = |entry: fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
    let mut names: Vec<String> = entries.map(|entry| name(entry.expect("an entry"))).collect();
    names.retain(|name| name != ".gitignore"); // which the lock directory has for Git, and keeps
    names.sort();
    names
}

#[test]
fn free_and_stale_lock_files_go_and_held_ones_stay() {
    let (dir, held) = data();
    let locks = lock_file(&held).parent().expect("a directory").to_owned();
    let writer = Holder::writer(&held);
    let read = dir.path().join("read.json");
    let reader = Holder::reader(&read);
    for (name, record) in [("free", ""), ("stale", "99999999\n"), ("go", "7"), ("many", "1\n22\n\n333\n\n")] {
        fs::write(locks.join(format!("{name}.lock")), record).expect("it can be written");
    }
    clean(dir.path(), &[]).success().stdout("removed 4 lock files, 2 held\n").stderr("");
    assert_eq!(names(&locks), ["read.json.lock", "state.json.lock"]);
    assert_held(&held);
    typed("try -q --write", &read).assert().code(75);
    writer.release();
    clean(dir.path(), &[".gastown/locks"]).success().stdout("removed 1 lock file, 1 held\n").stderr("");
    reader.release();
    clean(dir.path(), &["./.gastown/locks/"]).success().stdout("removed 1 lock file, 0 held\n").stderr("");
    assert_eq!(names(&locks), [""; 0]);
    clean(dir.path(), &[]).success().stdout("removed 0 lock files, 0 held\n").stderr("");
}

#[test]
fn the_lock_of_a_killed_gtlock_stays_while_its_command_runs() {
    let (dir, data) = data();
    let mut holder = Holder::writer(&data);
    holder.kill();
    clean(dir.path(), &[]).success().stdout("removed 0 lock files, 1 held\n").stderr("");
    holder.prove_held();
    assert_held(&data);
}

#[test]
fn whatever_is_not_a_lock_file_stays_as_it_is() {
    let (dir, locks) = lock_dir();
    let write = |name: &str, content: &[u8]| fs::write(locks.join(name), content).expect("it can be written");
    write("foreign.lock", b"content\n");
    write("spaces.lock", b" 12\n");
    write("nul.lock", b"\0");
    write("binary.lock", b"\xff\xfe");
    write("elsewhere", b"");
    fs::hard_link(locks.join("elsewhere"), locks.join("linked.lock")).expect("it can be made");
    symlink("elsewhere", locks.join("link.lock")).expect("it can be made");
    symlink("nowhere", locks.join("dangling.lock")).expect("it can be made");
    fs::create_dir(locks.join("dir.lock")).expect("it can be made");
    assert!(Command::new("mkfifo").arg(locks.join("fifo.lock")).status().expect("it runs").success());
    let _socket = UnixListener::bind(locks.join("socket.lock")).expect("it can be made");
    let huge = fs::File::create(locks.join("huge.lock")).expect("it can be made");
    huge.set_len(1 << 40).expect("it can be sparse");
    let odd = names(&locks).len() - 1; // but for `elsewhere`, whose name says that it is none
    for name in ["state.json", "x.lock.bak", "x.LOCK", "lock", ".lockx", "x.gate", "x.lock.gate.old"] {
        write(name, b"");
    }
    let before = snapshot(dir.path());
    let kept = predicate::str::contains("not a lock file\n")
        .count(odd)
        .and(predicate::str::ends_with("\nremoved 0 lock files, 0 held\n"))
        .and(predicate::str::contains("kept .gastown/locks/foreign.lock: not a lock file\n"))
        .and(predicate::str::contains("elsewhere").not());
    clean(dir.path(), &[]).success().stdout(kept).stderr("");
    assert_eq!(snapshot(dir.path()), before);
}

#[test]
fn a_leftover_gate_goes_and_one_that_is_held_stays() {
    let (dir, locks) = lock_dir();
    for name in ["left.lock.gate", "held.lock.gate"] {
        fs::write(locks.join(name), "").expect("it can be written");
    }
    let gate = fs::File::open(locks.join("held.lock.gate")).expect("it is there");
    #[expect(clippy::disallowed_methods, reason = "a holder that is not gtlock")]
    gate.lock().expect("it can be locked");
    clean(dir.path(), &[]).success().stdout("removed 1 lock file, 1 held\n").stderr("");
    assert_eq!(names(&locks), ["held.lock.gate"]);
}

#[test]
fn a_dry_run_says_what_would_go_and_removes_nothing() {
    let (dir, data) = data();
    let _holder = Holder::writer(&data);
    let locks = lock_file(&data).parent().expect("a directory").to_owned();
    fs::write(locks.join("a.lock"), "").expect("it can be written");
    fs::write(locks.join("b.lock"), "99999999\n").expect("it can be written");
    let before = snapshot(dir.path());
    for option in ["--dry-run", "-n"] {
        clean(dir.path(), &[option]).success().stderr("").stdout(
            "would remove .gastown/locks/a.lock\nwould remove .gastown/locks/b.lock\n\
             would remove 2 lock files, 1 held\n",
        );
        clean(dir.path(), &[option, "-q"]).success().stdout("").stderr("");
    }
    assert_eq!(snapshot(dir.path()), before);
}

#[test]
fn json_says_what_was_removed_and_kept_and_why() {
    let (dir, data) = data();
    let _holder = Holder::writer(&data);
    let locks = lock_file(&data).parent().expect("a directory").to_owned();
    fs::write(locks.join("a.lock"), "").expect("it can be written");
    fs::write(locks.join("foreign.lock"), "content").expect("it can be written");
    for (arguments, dry_run) in [(&["--json", "-n"][..], true), (&["--json"], false)] {
        let assert = clean(dir.path(), arguments).success().stderr("");
        let document: Value = serde_json::from_slice(&assert.get_output().stdout).expect("JSON");
        let expected = json!({
            "version": 1,
            "dry_run": dry_run,
            "removed": [".gastown/locks/a.lock"],
            "kept": [
                {"lock": ".gastown/locks/foreign.lock", "reason": "not a lock file"},
                {"lock": ".gastown/locks/state.json.lock", "reason": "held"},
            ],
            "errors": [],
        });
        assert_eq!(document, expected);
    }
    assert_eq!(names(&locks), ["foreign.lock", "state.json.lock"]);
}

#[test]
fn quiet_says_nothing() {
    let (dir, locks) = lock_dir();
    fs::write(locks.join("a.lock"), "").expect("it can be written");
    fs::write(locks.join("foreign.lock"), "content").expect("it can be written");
    clean(dir.path(), &["-q"]).success().stdout("").stderr("");
    assert_eq!(names(&locks), ["foreign.lock"]);
}

#[test]
fn a_missing_directory_has_no_lock_files() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    for arguments in [&[][..], &[".gastown/locks"], &["missing"], &["--lock-dir", "missing"]] {
        clean(dir.path(), arguments).success().stdout("removed 0 lock files, 0 held\n");
        let assert = clean(dir.path(), &[arguments, &["--json"]].concat()).success().stderr("");
        let document: Value = serde_json::from_slice(&assert.get_output().stdout).expect("JSON");
        assert_eq!(document["removed"], json!([]));
    }
    assert_eq!(snapshot(dir.path()).len(), 0, "nothing was created");
}

#[test]
fn directories_of_another_name_are_refused() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    for (path, content) in
        [("Cargo.lock", ""), (".git/index.lock", ""), (".gastown/x.lock", ""), ("locks/x.lock", "1")]
    {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().expect("a directory")).expect("it can be made");
        fs::write(path, content).expect("it can be written");
    }
    fs::create_dir(dir.path().join(".gastown/locks")).expect("it can be made");
    let before = snapshot(dir.path());
    for refused in [".", ".git", ".gastown", "locks", ".gastown/locks/..", "Cargo.lock"] {
        for option in [&[][..], &["-q"], &["-n"]] {
            let said = format!("gtlock: {refused}: is not a directory named .gastown/locks; ");
            let said = predicate::str::starts_with(said)
                .and(predicate::str::contains("--lock-dir"))
                .and(predicate::str::contains("\n").count(1));
            clean(dir.path(), &[&[refused], option].concat()).code(125).stderr(said);
        }
    }
    assert_eq!(snapshot(dir.path()), before);
}

#[test]
fn a_lock_directory_that_is_a_link_to_one_of_another_name_is_refused() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    fs::create_dir_all(dir.path().join("repository/.git")).expect("it can be made");
    fs::write(dir.path().join("repository/.git/index.lock"), "").expect("it can be written");
    fs::create_dir(dir.path().join(".gastown")).expect("it can be made");
    symlink("../repository/.git", dir.path().join(".gastown/locks")).expect("it can be made");
    let before = snapshot(dir.path());
    for arguments in [&[][..], &[".gastown/locks"], &[".gastown/locks/"]] {
        let said = predicate::str::contains(": is not a directory named .gastown/locks; ");
        clean(dir.path(), arguments).code(125).stderr(said);
    }
    assert_eq!(snapshot(dir.path()), before);
}

#[test]
fn a_chosen_lock_directory_is_cleaned_whatever_its_name() {
    let (dir, data) = data();
    let mut request = gtlock_process();
    let request = request.current_dir(&dir).args(["run", "--lock-dir", "run", "--write"]).arg(&data);
    let _holder = Holder::start(request);
    let [run, other] = ["run", "other"].map(|name| dir.path().join(name));
    fs::create_dir(&other).expect("it can be made");
    for file in [run.join("a.lock"), other.join("b.lock"), dir.path().join("Cargo.lock")] {
        fs::write(file, "").expect("it can be written");
    }
    let cleaned = clean(dir.path(), &["--lock-dir", "run", "--lock-dir", "other"]);
    cleaned.success().stdout("removed 2 lock files, 1 held\n").stderr("");
    assert_eq!(names(&run), ["state.json.lock"]);
    assert_eq!(names(&other), [""; 0]);
    assert!(dir.path().join("Cargo.lock").exists());
}

#[test]
fn what_cannot_be_cleaned_is_an_error_and_the_rest_is_done() {
    let (dir, locks) = lock_dir();
    let closed = dir.path().join("closed/.gastown/locks");
    fs::create_dir_all(&closed).expect("it can be made");
    for name in ["a.lock", "secret.lock", "z.lock"] {
        fs::write(locks.join(name), "").expect("it can be written");
    }
    let chmod =
        |path: &Path, mode| fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("it is ours");
    chmod(dir.path(), 0o755);
    chmod(&locks, 0o777);
    chmod(&locks.join("secret.lock"), 0o000);
    chmod(&closed, 0o000);
    let gtlock = assert_cmd::cargo::cargo_bin!("gtlock");
    if let Some(gtlock) = crate::common::unprivileged(gtlock, "a directory that may not be read") {
        let mut clean = to_its_end(gtlock);
        clean.args(["clean", "closed/.gastown/locks", ".", ".gastown/locks"]).current_dir(dir.path());
        let said = [
            r"gtlock: closed/\.gastown/locks: Permission denied.*",
            r"gtlock: \.: is not a directory named .*",
            r"gtlock: \.gastown/locks/secret\.lock: Permission denied.*",
        ];
        let said = predicate::str::is_match(format!("^{}\n$", said.join("\n"))).expect("a pattern");
        clean.assert().code(125).stdout("removed 2 lock files, 0 held\n").stderr(said);
        assert_eq!(names(&locks), ["secret.lock"]);
    }
    chmod(&closed, 0o755); // so that it can be removed
}

#[test]
fn a_lock_file_is_made_anew_after_it_was_removed() {
    let (dir, data) = data();
    assert_free(&data);
    clean(dir.path(), &["-q"]).success();
    assert!(!lock_file(&data).exists());
    let holder = Holder::writer(&data);
    assert_held(&data);
    holder.release();
}

#[cfg(target_os = "linux")]
#[test]
fn a_directory_that_is_replaced_by_a_link_while_it_is_opened_leads_nowhere_else() {
    let can_delay = ["-o", "/dev/null", "-e", "inject=close:delay_enter=1", "true"];
    if !crate::common::process("strace").args(can_delay).output().is_ok_and(|output| output.status.success())
    {
        return crate::common::skip("a directory that is replaced", "no strace, or it may not trace");
    }
    let (dir, locks) = lock_dir();
    let other = dir.path().join("other");
    fs::create_dir(&other).expect("it can be made");
    fs::write(other.join("index.lock"), "").expect("it can be written");
    let trace = dir.path().join("trace");
    // Slow between the look at its name and the opening.
    let mut clean = crate::common::process("strace");
    clean.arg("-o").arg(&trace).arg("-P").arg(&locks).args(["-e", "inject=openat:delay_enter=1000000"]);
    clean.arg(assert_cmd::cargo::cargo_bin!("gtlock")).arg("clean").arg(&locks);
    let mut clean = clean
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("strace starts");
    crate::common::eventually("it has looked", || {
        fs::read_to_string(&trace).is_ok_and(|trace| trace.contains("locks"))
    });
    fs::rename(&locks, dir.path().join("moved")).expect("it can be moved");
    std::os::unix::fs::symlink(&other, &locks).expect("it can be made");
    crate::common::end_of(&mut clean);
    assert!(other.join("index.lock").exists());
}

#[cfg(target_os = "linux")]
#[test]
fn a_lock_file_that_somebody_locks_in_another_way_stays() {
    use nix::fcntl::{FcntlArg, fcntl};
    use nix::libc;
    let (dir, locks) = lock_dir();
    let path = locks.join("theirs.lock");
    fs::write(&path, "").expect("it can be written");
    let file = fs::File::options().read(true).write(true).open(&path).expect("it is there");
    // The whole file, as lockf(3) locks it.
    let lock = libc::flock {
        l_type: libc::F_WRLCK.try_into().expect("a small number"),
        l_whence: libc::SEEK_SET.try_into().expect("a small number"),
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    fcntl(&file, FcntlArg::F_OFD_SETLK(&lock)).expect("nobody else has it");
    clean(dir.path(), &[]).success().stdout("removed 0 lock files, 1 held\n").stderr("");
    drop(file);
    clean(dir.path(), &[]).success().stdout("removed 1 lock file, 0 held\n").stderr("");
}

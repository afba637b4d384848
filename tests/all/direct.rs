//! `--direct`: locks on the named files and directories themselves, as flock(1) takes them.
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use crate::common::{
    Holder, data, gtlock, gtlock_process, process, shell, skip, snapshot, to_its_end, typed, unprivileged,
};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use predicates::prelude::*;
use serde_json::Value;

/// Holds the lock on a file itself.
fn holder(mode: &str, file: &Path) -> Holder {
    Holder::start(gtlock_process().args(["run", "--direct", mode]).arg(file))
}

/// The lock that `status --direct` shows for a file.
fn status(file: &Path) -> Value {
    let output = gtlock().args(["status", "--direct", "--json"]).arg(file).assert().success().stderr("");
    let document: Value = serde_json::from_slice(&output.get_output().stdout).expect("JSON");
    document["locks"][0].clone()
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
}

#[test]
fn a_file_and_a_directory_are_held_and_free_again_and_never_changed() {
    let (dir, file) = data();
    let sub = dir.path().join("sub");
    fs::create_dir(&sub).expect("it can be made");
    fs::write(&file, "kept\n").expect("it can be written");
    let before = snapshot(dir.path());
    for named in [&file, &sub] {
        for (mode, other, code) in
            [("--write", "--read", 75), ("--read", "--read", 0), ("--read", "--write", 75)]
        {
            let holder = holder(mode, named);
            let lock = status(named);
            assert_eq!((&lock["state"], &lock["mode"]), (&"held".into(), &mode[2..].into()));
            let pids: Vec<_> =
                lock["holders"].as_array().expect("a list").iter().map(|h| &h["pid"]).collect();
            assert!(pids.contains(&&holder.pid().into()), "{lock}");
            gtlock()
                .args(["try", "-q", "--direct", other])
                .arg(named)
                .assert()
                .code(code)
                .stdout("")
                .stderr("");
            assert!(holder.release().success());
        }
        assert_eq!(status(named)["state"], "free");
    }
    assert_eq!(snapshot(dir.path()), before);
}

#[test]
fn the_table_names_the_holders_of_a_file_and_not_as_heirs() {
    let (dir, file) = data();
    let holder = typed("run -o --direct --write", &file).hold();
    let pid = holder.pid();
    let path = dir.path().canonicalize().expect("it is there").join("state.json");
    let status = gtlock().args(["status", "--direct"]).arg(&file).assert().success().stderr("");
    let row = format!(r"\nheld +write +{pid} +yes +- +{} +cat\n$", path.display());
    status.stdout(predicate::str::is_match(row).expect("a pattern"));
}

#[test]
fn a_refusal_names_the_holder() {
    let (_dir, file) = data();
    let holder = typed("run -o --direct --write", &file).hold();
    let refused = typed("try --direct --write", &file).assert().code(75).stdout("");
    let said = format!("gtlock: {}: busy: held for writing by {} (cat)\n", file.display(), holder.pid());
    refused.stderr(said);
}

#[test]
fn a_refusal_is_explained_without_a_wait() {
    let (dir, file) = data();
    let _holder = typed("run --direct --write", &file).hold();
    let calls = dir.path().join("calls");
    let mut strace = process("strace");
    strace.args(["-f", "-e", "trace=clock_nanosleep,nanosleep", "-o"]).arg(&calls);
    strace.args(["gtlock", "try", "--direct", "--write"]).arg(&file);
    if strace.output().is_err() {
        return skip("the sleeps of a refused try --direct", "no strace");
    }
    let calls = fs::read_to_string(calls).expect("strace writes it");
    assert!(calls.contains("exited with 75"), "{calls}");
    assert!(!calls.contains("nanosleep"), "{calls}");
}

#[test]
fn flock_itself_is_excluded_and_excludes() {
    if process("flock").arg("--version").output().is_err() {
        return skip("flock(1) beside --direct", "it is not installed");
    }
    let (_dir, file) = data();
    let holder = holder("--write", &file);
    to_its_end(shell("flock -n \"$1\" true", &file)).assert().code(1);
    drop(holder);
    let nested = "flock \"$1\" gtlock try -q --direct --write \"$1\"";
    to_its_end(shell(nested, &file)).assert().code(75);
}

#[test]
fn a_missing_file_is_free_and_is_created_under_the_umask() {
    let (dir, file) = data();
    gtlock()
        .args(["status", "--direct"])
        .arg(&file)
        .assert()
        .success()
        .stdout(predicate::str::contains("free"));
    assert!(!file.exists(), "status creates nothing");
    for (umask, mode) in [("022", 0o644), ("077", 0o600), ("002", 0o664), ("000", 0o666)] {
        let create = format!("umask {umask}; exec gtlock run --direct --write \"$1\" -- true");
        to_its_end(shell(&create, &file)).assert().success().stderr("");
        let metadata = fs::metadata(&file).expect("it was created");
        assert_eq!((metadata.mode() & 0o7777, metadata.len()), (mode, 0), "umask {umask}");
        fs::remove_file(&file).expect("it is ours");
    }
    assert!(!dir.path().join(".gastown").exists());
    let missing = dir.path().join("missing/file");
    for (arguments, said) in [
        (&["status", "--direct"][..], "does not exist\n"),
        (&["try", "--direct", "--write"], "does not exist; create it first\n"),
    ] {
        let refused = gtlock().args(arguments).arg(&missing).assert().code(125).stdout("");
        refused.stderr(predicate::str::ends_with(said));
    }
}

#[test]
fn files_that_may_only_be_read_or_written_are_locked() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    set_mode(dir.path(), 0o755);
    for mode in [0o444, 0o222] {
        let file = dir.path().join(format!("{mode:o}"));
        fs::write(&file, "kept").expect("it can be written");
        set_mode(&file, mode);
        let Some(mut gtlock) = unprivileged(env!("CARGO_BIN_EXE_gtlock"), "a file of another user") else {
            return;
        };
        gtlock.args(["run", "--direct", "--write"]).arg(&file);
        let holder = Holder::start(&mut gtlock);
        assert_eq!(status(&file)["state"], "held", "{mode:o}");
        assert!(holder.release().success());
        assert_eq!(fs::read_to_string(&file).expect("it is there"), "kept");
    }
    let shut = dir.path().join("shut");
    fs::write(&shut, "").expect("it can be written");
    set_mode(&shut, 0o000);
    for arguments in [&["try", "--direct", "--write"][..], &["status", "--direct"]] {
        let Some(mut gtlock) = unprivileged(env!("CARGO_BIN_EXE_gtlock"), "a file of another user") else {
            return;
        };
        gtlock.args(arguments).arg(&shut);
        let said = format!("gtlock: {}: Permission denied (os error 13)\n", shut.display());
        to_its_end(gtlock).assert().code(125).stderr(said);
    }
}

#[test]
fn a_fifo_is_locked_without_waiting_for_a_writer() {
    let (_dir, fifo) = data();
    mkfifo(&fifo, Mode::S_IRUSR | Mode::S_IWUSR).expect("it can be made");
    let _holder = holder("--write", &fifo);
    typed("try --direct --write", &fifo).assert().code(75);
    assert_eq!(status(&fifo)["state"], "held");
}

#[test]
fn a_symbolic_link_is_locked_as_what_it_points_to() {
    let (dir, file) = data();
    let [link, dangling, target] = ["link", "dangling", "target"].map(|name| dir.path().join(name));
    symlink("state.json", &link).expect("it can be made");
    let _holder = holder("--write", &link);
    assert_eq!(status(&file)["state"], "held");
    assert_eq!(status(&link)["lock"], status(&file)["lock"]);

    symlink("target", &dangling).expect("it can be made");
    let _other = holder("--write", &dangling);
    assert!(target.exists(), "flock(1) creates what it points to as well");
    assert_eq!(status(&target)["state"], "held");

    symlink("ring", dir.path().join("ring")).expect("it can be made");
    let refused = gtlock().args(["try", "--direct", "--write", "ring"]).current_dir(&dir).assert().code(125);
    refused.stderr(predicate::str::contains("too many symbolic links"));
}

#[test]
fn a_file_that_is_replaced_under_its_lock_is_reported() {
    let (_dir, file) = data();
    let save = "echo new > \"$1.new\"; mv \"$1.new\" \"$1\"";
    let mut run = gtlock();
    run.args(["run", "--direct", "--write"]).arg(&file).args(["--", "sh", "-c", save, "sh"]).arg(&file);
    let reported = run.assert().success().stdout("");
    reported.stderr(
        predicate::str::contains("was unlinked or replaced while it was locked")
            .and(predicate::str::contains("without --direct"))
            .and(predicate::str::contains("gtlock clean").not()),
    );
}

#[test]
fn several_files_are_locked_all_or_none() {
    let (dir, file) = data();
    let other = dir.path().join("a");
    let _holder = holder("--write", &file);
    let mut both = gtlock();
    both.args(["try", "-q", "--direct", "--write"]).args([&other]).arg("--write").arg(&file);
    both.assert().code(75).stderr("");
    assert_eq!(status(&other)["state"], "free");
}

#[test]
fn it_does_not_go_with_a_lock_directory() {
    let (dir, file) = data();
    let locks = dir.path().join("locks");
    for arguments in [&["try", "--write"][..], &["status"]] {
        let mut both = gtlock();
        both.args(arguments).arg(&file).arg("--direct").arg("--lock-dir").arg(&locks);
        let refused = both.assert().code(125).stdout("");
        refused.stderr(
            predicate::str::contains("--direct").and(predicate::str::contains("cannot be used with")),
        );
    }
    assert!(!file.exists() && !locks.exists());
    gtlock().args(["status", "--direct"]).assert().code(125).stderr(
        "gtlock: --direct needs a file or directory, as in gtlock status --direct state.json (see gtlock status --help)\n",
    );
}

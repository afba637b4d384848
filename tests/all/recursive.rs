//! `-R` of `status` and `clean`: every `.gastown/locks` below a directory.
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use crate::common::{Holder, assert_free, gtlock, unprivileged};

/// Makes the lock file of a data file below a directory, and nobody holds it.
fn lock_in(root: &Path, data: &str) {
    let data = root.join(data);
    fs::create_dir_all(data.parent().expect("a directory")).expect("it can be made");
    assert_free(&data);
}

/// The locks that `status -R` shows, from a directory.
fn shown(dir: &Path, arguments: &[&str]) -> Vec<String> {
    let status =
        gtlock().args(["status", "-R"]).args(arguments).current_dir(dir).assert().success().stderr("");
    let table = String::from_utf8(status.get_output().stdout.clone()).expect("text");
    table.lines().skip(1).map(|row| row.split_whitespace().nth(5).expect("six columns").to_owned()).collect()
}

/// The lock files that are below a directory, by any path.
fn left(root: &Path) -> usize {
    let entries = fs::read_dir(root).expect("a directory").map(|entry| entry.expect("an entry"));
    entries
        .map(|entry| match entry.file_type().expect("a type") {
            kind if kind.is_dir() => left(&entry.path()),
            _ => usize::from(entry.path().extension().is_some_and(|extension| extension == "lock")),
        })
        .sum()
}

#[test]
fn every_lock_directory_below_is_found_in_order() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    for data in ["b/deep/er/x", "a/x", "top", "a/y", ".hidden/x", "a space/x"] {
        lock_in(dir.path(), data);
    }
    let expected = [
        "./.gastown/locks/top.lock",
        "./.hidden/.gastown/locks/x.lock",
        "./a/.gastown/locks/x.lock",
        "./a/.gastown/locks/y.lock",
        "./a space/.gastown/locks/x.lock",
        "./b/deep/er/.gastown/locks/x.lock",
    ];
    let in_columns = expected.map(|path| path.split(' ').next().expect("a word").to_owned());
    assert_eq!(shown(dir.path(), &[]), in_columns, "without a directory it is the current one");
    assert_eq!(shown(dir.path(), &["."]), in_columns);
    let _holder = Holder::writer(&dir.path().join("a/x"));
    let clean = gtlock().args(["clean", "-R"]).current_dir(&dir).assert().success();
    clean.stdout("removed 5 lock files, 1 held\n").stderr("");
    assert_eq!(left(dir.path()), 1);
}

#[test]
fn several_directories_are_searched_and_what_is_in_two_of_them_counts_once() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    for data in ["a/x", "a/sub/x", "b/x", "c/x"] {
        lock_in(dir.path(), data);
    }
    let locks = ["a/.gastown", "a/sub/.gastown", "b/.gastown"].map(|dir| format!("{dir}/locks/x.lock"));
    assert_eq!(shown(dir.path(), &["b", "a/sub", "a"]), locks);
    let clean = gtlock().args(["clean", "-R", "-n", "b", "a/sub", "a"]).current_dir(&dir).assert().success();
    let would_remove = locks.map(|lock| format!("would remove {lock}\n")).concat();
    clean.stdout(format!("{would_remove}would remove 3 lock files, 0 held\n"));
    let clean = gtlock().args(["clean", "-R", "b", "a/sub", "a"]).current_dir(&dir).assert().success();
    clean.stdout("removed 3 lock files, 0 held\n");
    assert_eq!(left(dir.path()), 1);
}

#[test]
fn a_directory_may_be_named_from_inside_or_by_a_link() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    lock_in(dir.path(), "a/x");
    symlink("a", dir.path().join("link")).expect("it can be made");
    assert_eq!(shown(dir.path(), &["link"]), ["link/.gastown/locks/x.lock"]);
    assert_eq!(shown(dir.path(), &["a/.gastown"]), ["a/.gastown/locks/x.lock"]);
    assert_eq!(shown(dir.path(), &["a/.gastown/locks"]), ["a/.gastown/locks/x.lock"]);
    assert_eq!(shown(&dir.path().join("a/.gastown"), &[]), ["./locks/x.lock"]);
    assert_eq!(shown(&dir.path().join("a/.gastown/locks"), &[]), ["./x.lock"]);
}

#[test]
fn symbolic_links_are_not_followed_and_git_directories_not_entered() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let root = dir.path().join("root");
    for data in ["root/x", "elsewhere/x", "root/.git/x", "root/sub/.git/modules/x", "root/not.git/x"] {
        lock_in(dir.path(), data);
    }
    symlink("../elsewhere", root.join("link")).expect("it can be made");
    symlink("..", root.join("ring")).expect("it can be made");
    fs::create_dir(root.join("linked")).expect("it can be made");
    symlink("../../elsewhere/.gastown", root.join("linked/.gastown")).expect("it can be made");
    let expected = ["./.gastown/locks/x.lock", "./not.git/.gastown/locks/x.lock"];
    assert_eq!(shown(&root, &[]), expected);
    let clean = gtlock().args(["clean", "-R"]).arg(&root).assert().success();
    clean.stdout("removed 2 lock files, 0 held\n").stderr("");
    assert_eq!(left(dir.path()), 3);
}

#[test]
fn what_only_resembles_a_lock_directory_is_left_alone() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    for name in ["locks/a.lock", ".gastown/a.lock", ".gastown/locks.d/a.lock", "gastown/locks/a.lock"] {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().expect("a directory")).expect("it can be made");
        fs::write(path, "").expect("it can be written");
    }
    assert_eq!(shown(dir.path(), &[]), [""; 0]);
    let clean = gtlock().args(["clean", "-R"]).current_dir(&dir).assert().success();
    clean.stdout("removed 0 lock files, 0 held\n");
    assert_eq!(left(dir.path()), 4);
}

#[test]
fn a_missing_directory_has_none_and_a_file_is_an_error() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    lock_in(dir.path(), "a/x");
    fs::write(dir.path().join("file"), "").expect("it can be written");
    let status = gtlock().args(["status", "-R", "missing", "a"]).current_dir(&dir).assert().success();
    let said = "gtlock: missing: there is no such directory\n";
    status.stderr(said).stdout(predicates::str::contains("a/.gastown/locks/x.lock"));
    let said = "gtlock: file: is not a directory; -R searches directories\n";
    gtlock().args(["status", "-R", "file", "a"]).current_dir(&dir).assert().code(125).stderr(said);
    let clean = gtlock().args(["clean", "-R", "file", "a", "missing"]).current_dir(&dir).assert().code(125);
    let said = format!("{said}gtlock: missing: there is no such directory\n");
    clean.stdout("removed 1 lock file, 0 held\n").stderr(said);
}

#[test]
fn a_directory_that_may_not_be_read_is_an_error_and_the_rest_is_done() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    for data in ["a/x", "shut/x", "z/x"] {
        lock_in(dir.path(), data);
    }
    let set_modes = |dir: &Path| {
        for entry in fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry").path()) {
            for path in [entry.clone(), entry.join(".gastown"), entry.join(".gastown/locks")] {
                fs::set_permissions(path, fs::Permissions::from_mode(0o777)).expect("it is ours");
            }
        }
        fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).expect("it is ours");
    };
    set_modes(dir.path());
    let shut = |mode| fs::set_permissions(dir.path().join("shut"), fs::Permissions::from_mode(mode));
    for roots in [&["."][..], &["a", "shut", "z"], &["shut/x", "a", "z"]] {
        shut(0o000).expect("it is ours");
        let Some(mut status) = unprivileged(env!("CARGO_BIN_EXE_gtlock"), "a directory that may not be read")
        else {
            return;
        };
        status.args(["status", "-R"]).args(roots).current_dir(&dir);
        let assert = crate::common::to_its_end(status).assert().code(125);
        let printed = String::from_utf8_lossy(&assert.get_output().stdout).into_owned();
        assert_eq!(printed.lines().count(), 3, "{roots:?}: {printed}");
        let said = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
        let path = if roots == ["."] {
            "./shut"
        } else {
            roots.iter().find(|root| root.contains("shut")).expect("it is named")
        };
        assert_eq!(said, format!("gtlock: {path}: Permission denied (os error 13)\n"), "{roots:?}");
        shut(0o777).expect("it is ours");
    }
}

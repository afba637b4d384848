//! Directories that several users share, strangers in them, and Git: whoever may write beside the data may lock it.

use std::fs::{self, Permissions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;
use std::process::Command;

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, mkdirat};
use predicates::prelude::*;

use crate::common::{
    Holder, Stopped, data, gtlock, gtlock_process, lock_file, process, skip, to_its_end, typed,
};

const ALICE: u32 = 4201;
const BOB: u32 = 4202;
const TEAM: u32 = 4200;

/// Whether this process may become another user.
fn is_root(what: &str) -> bool {
    let is_root = fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0);
    let gtlock_runs = || as_user(ALICE).arg("--version").output().is_ok_and(|output| output.status.success());
    if !is_root || !gtlock_runs() {
        skip(what, "it takes root, and a gtlock that every user may run");
        return false;
    }
    true
}

/// gtlock as a user of the team.
fn as_user(user: u32) -> Command {
    let mut command = process("setpriv");
    command.args([format!("--reuid={user}"), format!("--regid={user}"), format!("--groups={TEAM}")]);
    command.arg(assert_cmd::cargo::cargo_bin!("gtlock"));
    command
}

/// A directory of these permissions, owner and group, in one that all may enter.
fn directory(mode: u32, owner: u32, group: u32) -> (tempfile::TempDir, std::path::PathBuf) {
    let above = tempfile::tempdir().expect("a temporary directory");
    fs::set_permissions(above.path(), Permissions::from_mode(0o755)).expect("it is ours");
    let dir = above.path().join("project");
    fs::create_dir(&dir).expect("it can be made");
    chown(&dir, Some(owner), Some(group)).expect("this is root");
    fs::set_permissions(&dir, Permissions::from_mode(mode)).expect("it is ours");
    (above, dir)
}

fn locks(mut user: Command, data: &Path) {
    user.args(["run", "-v", "--write"]).arg(data).args(["--", "true"]);
    let said = predicate::str::contains("without a record").not();
    to_its_end(user).assert().success().stderr(said);
}

#[test]
fn each_user_may_lock_what_another_has_locked_before() {
    if !is_root("users that share a directory") {
        return;
    }
    for (mode, owner, group) in
        [(0o755, ALICE, ALICE), (0o2775, ALICE, TEAM), (0o775, ALICE, TEAM), (0o1777, 0, 0), (0o777, 0, 0)]
    {
        let (_above, dir) = directory(mode, owner, group);
        let data = dir.join("state.json");
        locks(gtlock_process(), &data); // as after one sudo
        locks(as_user(ALICE), &data);
        locks(as_user(ALICE), &dir.join("other.json"));
        if mode != 0o755 {
            locks(as_user(BOB), &data);
            locks(as_user(BOB), &dir.join("other.json"));
            // What one holds the other sees.
            let holder = Holder::start(as_user(BOB).args(["run", "--write"]).arg(&data));
            let mut refused = as_user(ALICE);
            refused.args(["try", "--write"]).arg(&data);
            to_its_end(refused).assert().code(75).stderr(predicate::str::contains("busy"));
            let record = fs::read_to_string(lock_file(&data)).expect("it is there");
            assert_eq!(record, format!("{}\n", holder.pid()));
            assert!(holder.release().success());
        }
        let bits = |path: &Path| fs::metadata(path).expect("it is there").mode();
        let made = lock_file(&data);
        for made in [made.parent().expect("locks"), &dir.join(".gastown")] {
            let (is, of) =
                (fs::metadata(made).expect("it is there"), fs::metadata(&dir).expect("it is there"));
            assert_eq!((is.mode(), is.uid(), is.gid()), (of.mode(), of.uid(), of.gid()), "{made:?}");
        }
        assert_eq!(bits(&made) & 0o777, mode & 0o666);
    }
}

#[test]
fn the_second_user_may_follow_a_first_who_is_not_root() {
    if !is_root("users that share a directory") {
        return;
    }
    for (mode, group) in [(0o2775, TEAM), (0o775, TEAM), (0o1777, 0)] {
        let (_above, dir) = directory(mode, 0, group);
        let data = dir.join("state.json");
        locks(as_user(ALICE), &data);
        locks(as_user(BOB), &data);
        locks(as_user(BOB), &dir.join("other.json"));
        locks(as_user(ALICE), &dir.join("other.json"));
        locks(gtlock_process(), &data);
    }
}

#[test]
fn who_may_not_lock_is_told_whose_it_is_and_what_to_do() {
    if !is_root("a user who may not write") {
        return;
    }
    let (_above, dir) = directory(0o755, ALICE, ALICE);
    let mut refused = as_user(BOB);
    refused.args(["run", "--write"]).arg(dir.join("state.json")).args(["--", "true"]);
    let said = predicate::str::contains(format!("belongs to user {ALICE}"))
        .and(predicate::str::contains("install -d -m 1777"))
        .and(predicate::str::contains("--lock-dir"));
    to_its_end(refused).assert().code(125).stderr(said);
    assert!(!dir.join(".gastown").exists());
}

#[test]
fn who_may_not_open_what_is_there_is_told_whose_it_is() {
    if !is_root("a user who may not write") {
        return;
    }
    for (closed, at) in [
        (".gastown", ".gastown: belongs to user 0, and this user may not open it"),
        (
            ".gastown/locks",
            ".gastown/locks/state.json.lock: cannot be created: the directory belongs to user 0",
        ),
        (
            ".gastown/locks/state.json.lock",
            ".gastown/locks/state.json.lock: belongs to user 0, and this user may not open it",
        ),
    ] {
        let (_above, dir) = directory(0o1777, 0, 0);
        locks(gtlock_process(), &dir.join("state.json"));
        fs::set_permissions(dir.join(closed), Permissions::from_mode(0o700)).expect("it is ours");
        let mut refused = as_user(BOB);
        refused.args(["run", "--write"]).arg(dir.join("state.json")).args(["--", "true"]);
        let said = predicate::str::starts_with(format!("gtlock: {}/{at}", dir.display()));
        to_its_end(refused).assert().code(125).stderr(said.and(predicate::str::contains("--lock-dir")));
    }
}

#[test]
fn what_is_there_already_keeps_its_permissions() {
    let (dir, data) = data();
    let locks = dir.path().join(".gastown/locks");
    fs::create_dir_all(&locks).expect("it can be made");
    fs::write(lock_file(&data), "").expect("it can be written");
    let paths = [dir.path().join(".gastown"), locks.clone(), lock_file(&data)];
    for (path, mode) in paths.iter().zip([0o711, 0o751, 0o640]) {
        fs::set_permissions(path, Permissions::from_mode(mode)).expect("it is ours");
    }
    typed("run --write", &data).command(["true"]).assert().success();
    let modes = paths.map(|path| fs::metadata(path).expect("it is there").mode() & 0o7777);
    assert_eq!(modes, [0o711, 0o751, 0o640]);
    assert!(!locks.join(".gitignore").exists(), "gtlock did not make the directory");
}

/// gtlock as a user who is in no group but his own, under a umask.
fn under_umask(user: u32, umask: &str) -> Command {
    let mut command = process("setpriv");
    command.args([format!("--reuid={user}"), format!("--regid={user}"), "--clear-groups".to_owned()]);
    command.args(["sh", "-c", r#"umask "$0"; exec gtlock "$@""#, umask]);
    command
}

fn rights(path: &Path) -> (u32, u32, u32) {
    let metadata = fs::metadata(path).expect("it is there");
    (metadata.mode() & 0o7777, metadata.uid(), metadata.gid())
}

#[test]
fn no_umask_takes_a_right_away() {
    for umask in ["000", "022", "077", "177"] {
        for mode in [0o700, 0o755, 0o2775, 0o1777] {
            let (dir, data) = data();
            fs::set_permissions(dir.path(), Permissions::from_mode(mode)).expect("it is ours");
            let script = format!(r#"umask {umask}; exec gtlock run --write "$1" -- sh -c umask"#);
            let run = to_its_end(crate::common::shell(&script, &data)).assert().success().stderr("");
            run.stdout(format!("0{umask}\n"));
            for made in [".gastown", ".gastown/locks"] {
                assert_eq!(rights(&dir.path().join(made)).0, mode, "{made}, {umask}");
            }
            assert_eq!(rights(&lock_file(&data)).0, mode & 0o666, "{umask}");
            assert_eq!(fs::read_dir(dir.path()).expect("a directory").count(), 1, "nothing is left aside");
        }
    }
    if is_root("a umask of another user") {
        let (_above, dir) = directory(0o755, ALICE, ALICE);
        locks(under_umask(ALICE, "177"), &dir.join("state.json"));
    }
}

#[test]
fn what_is_meant_for_a_group_is_given_to_no_other() {
    if !is_root("a user who is not in the group") {
        return;
    }
    let (_above, dir) = directory(0o775, ALICE, TEAM);
    locks(under_umask(ALICE, "000"), &dir.join("state.json"));
    assert_eq!(rights(&dir.join(".gastown/locks")), (0o755, ALICE, ALICE));
    assert_eq!(rights(&lock_file(&dir.join("state.json"))), (0o644, ALICE, ALICE));
}

#[test]
fn all_may_lock_in_a_lock_directory_made_for_all() {
    if !is_root("users that share a directory") {
        return;
    }
    for mode in [0o755, 0o711] {
        let (_above, dir) = directory(mode, 0, 0);
        for name in [".gastown", ".gastown/locks", "chosen"] {
            fs::create_dir(dir.join(name)).expect("it can be made");
            fs::set_permissions(dir.join(name), Permissions::from_mode(0o1777)).expect("it is ours");
        }
        let data = dir.join("state.json");
        for user in [ALICE, BOB, 0] {
            locks(under_umask(user, "077"), &data);
            let mut chosen = under_umask(user, "077");
            chosen.args(["run", "-v", "--lock-dir"]).arg(dir.join("chosen")).arg("--write").arg(&data);
            let said = predicate::str::contains("without a record").not();
            to_its_end(chosen).args(["--", "true"]).assert().success().stderr(said);
        }
    }
    // Where nobody may look, but all may write, too.
    let (_above, dir) = directory(0o1733, 0, 0);
    for user in [ALICE, BOB, 0] {
        locks(under_umask(user, "022"), &dir.join("state.json"));
    }
}

#[test]
fn clean_leaves_what_the_sticky_bit_keeps() {
    if !is_root("users that share a directory") {
        return;
    }
    let (_above, dir) = directory(0o1777, 0, 0);
    locks(under_umask(ALICE, "022"), &dir.join("alices"));
    locks(under_umask(BOB, "022"), &dir.join("bobs"));
    let mut clean = under_umask(BOB, "022");
    clean.arg("clean").current_dir(&dir);
    let said = "kept .gastown/locks/alices.lock: belongs to another user\nremoved 1 lock file, 0 held\n";
    to_its_end(clean).assert().success().stdout(said).stderr("");
    assert!(lock_file(&dir.join("alices")).exists());
}

#[test]
fn users_who_come_first_at_the_same_time_all_get_in() {
    if !is_root("users that share a directory") {
        return;
    }
    for _ in 0..20 {
        let (_above, dir) = directory(0o1777, 0, 0);
        let run = |number: u32| {
            let mut run = under_umask(ALICE + number % 3, "077");
            run.args(["run", "--write"]).arg(dir.join("state.json")).args(["--", "true"]);
            run.stderr(std::process::Stdio::piped()).spawn().expect("it starts")
        };
        let runs: Vec<_> = (0..6).map(run).collect();
        for run in runs {
            let output = run.wait_with_output().expect("it is ours");
            assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        }
        assert_eq!(fs::read_dir(&dir).expect("a directory").count(), 1, "nothing is left aside");
    }
}

#[test]
fn whoever_comes_while_a_lock_directory_is_made_gets_in() {
    if !is_root("users that share a directory") {
        return;
    }
    // Stopped on the way: there is no moment in which others, or the same user's next gtlock, are kept out.
    for step in ["mkdirat", "getdents64"] {
        let (_above, dir) = directory(0o1777, 0, 0);
        let mut slow = process("setpriv");
        slow.args([format!("--reuid={ALICE}"), format!("--regid={ALICE}"), "--clear-groups".to_owned()]);
        slow.args(["sh", "-c", r#"umask 077; exec "$@""#, "sh", "strace"]);
        let data = dir.join("a");
        let arguments = ["try".as_ref(), "--write".as_ref(), data.as_os_str()];
        let Some(stopped) = Stopped::after(step, 1, &mut slow, &arguments) else { return };
        let come = |user: u32| {
            let mut gtlock = under_umask(user, "077");
            gtlock.args(["try", "--write"]).arg(dir.join(user.to_string()));
            to_its_end(gtlock).output().expect("it runs")
        };
        let meanwhile = [ALICE, BOB].map(come);
        assert!(stopped.go_on().success());
        for output in meanwhile {
            assert!(output.status.success() && output.stderr.is_empty(), "{step}: {output:?}");
        }
        assert_eq!(rights(&dir.join(".gastown/locks")).0, 0o1777, "{step}");
        locks(under_umask(BOB, "077"), &dir.join("later"));
        assert_eq!(fs::read_dir(&dir).expect("a directory").count(), 1, "nothing is left aside");
    }
}

#[test]
fn a_limit_on_files_is_no_reason_to_die_where_the_file_for_git_is_made() {
    let (dir, data) = data();
    let script = r#"ulimit -f 0; exec gtlock try --write "$1""#;
    to_its_end(crate::common::shell(script, &data)).assert().success().stderr("");
    assert!(dir.path().join(".gastown/locks/.gitignore").exists());
}

fn git(dir: &Path, words: &[&str]) -> Option<String> {
    let mut git = process("git");
    git.args(["-c", "user.name=me", "-c", "user.email=me@example.org", "-c", "init.defaultBranch=main"]);
    let output = git.args(words).current_dir(dir).output().ok()?;
    assert!(output.status.success(), "{words:?}: {output:?}");
    Some(String::from_utf8(output.stdout).expect("text"))
}

#[test]
fn git_neither_adds_locks_nor_replaces_them_under_their_holder() {
    let (dir, data) = data();
    if git(dir.path(), &["init", "-q"]).is_none() {
        return skip("locks in a repository", "no git");
    }
    fs::write(&data, "1").expect("it can be written");
    typed("run --write", &data).command(["true"]).assert().success();
    git(dir.path(), &["add", "-A"]);
    assert_eq!(git(dir.path(), &["diff", "--cached", "--name-only"]).expect("git runs"), "state.json\n");
    git(dir.path(), &["commit", "-qm", "one"]);
    let holder = Holder::writer(&data);
    fs::write(&data, "2").expect("it can be written");
    for words in
        [&["add", "-A"][..], &["stash", "-q"], &["checkout", "-q", "--", "."], &["stash", "pop", "-q"]]
    {
        git(dir.path(), words);
        typed("try -q --write", &data).assert().code(75);
    }
    assert!(holder.release().success());
    // Neither shows up as a lock, or goes with one.
    gtlock().arg("status").current_dir(&dir).assert().stdout(predicate::str::contains("gitignore").not());
    gtlock().arg("clean").current_dir(&dir).assert().success().stdout("removed 1 lock file, 0 held\n");
    let chosen = dir.path().join("chosen");
    gtlock()
        .args(["run", "--lock-dir"])
        .arg(&chosen)
        .arg("--write")
        .arg(&data)
        .args(["--", "true"])
        .assert()
        .success();
    assert!(!chosen.join(".gitignore").exists());
}

#[test]
fn links_of_strangers_in_a_sticky_directory_are_not_followed() {
    if !is_root("links of a stranger") {
        return;
    }
    let (above, dir) = directory(0o1777, 0, 0);
    let elsewhere = above.path().join("elsewhere");
    fs::create_dir(&elsewhere).expect("it can be made");
    let link = |target: &Path, name: &str| {
        symlink(target, dir.join(name)).expect("it can be made");
        std::os::unix::fs::lchown(dir.join(name), Some(BOB), Some(BOB)).expect("this is root");
    };
    link(&elsewhere.join("nologin"), "job");
    link(&elsewhere, ".gastown");
    link(&elsewhere, "chosen");
    let refused = |options: &[&str]| {
        let mut run = gtlock();
        run.args(["run"]).args(options).args(["--", "true"]).current_dir(&dir);
        run.assert().code(125).stderr(predicate::str::contains(format!("symbolic link of user {BOB}")));
    };
    refused(&["--direct", "--write", "job"]);
    refused(&["--write", "state.json"]);
    refused(&["--write", "job"]);
    refused(&["--lock-dir", "chosen", "--write", "state.json"]);
    refused(&["--lock-dir", "chosen/below", "--write", "state.json"]);
    assert_eq!(fs::read_dir(&elsewhere).expect("a directory").count(), 0, "nothing was made there");
    // One's own are followed, and so are those of the directory's owner.
    fs::remove_file(dir.join(".gastown")).expect("this is root");
    symlink(&elsewhere, dir.join("own")).expect("it can be made");
    gtlock()
        .args(["run", "--lock-dir", "own", "--write", "state.json", "--", "true"])
        .current_dir(&dir)
        .assert()
        .success();
    assert!(elsewhere.join("state.json.lock").exists());
}

#[test]
fn a_link_that_comes_while_a_chosen_lock_directory_is_made_is_not_followed() {
    if !is_root("links of a stranger") {
        return;
    }
    let (above, dir) = directory(0o1777, 0, 0);
    let elsewhere = above.path().join("elsewhere");
    fs::create_dir(&elsewhere).expect("it can be made");
    let trace = above.path().join("trace");
    let mut run = process("strace");
    run.arg("-o").arg(&trace).args(["-e", "inject=mkdir,mkdirat:delay_enter=2000000:when=1"]);
    run.arg(assert_cmd::cargo::cargo_bin!("gtlock")).args(["try", "--write", "state.json", "--lock-dir"]);
    run.arg(dir.join("new/locks")).current_dir(above.path()).stderr(std::process::Stdio::null());
    let Ok(mut run) = run.spawn() else { return skip("a slow making", "no strace") };
    let is_hit = || fs::read_to_string(&trace).is_ok_and(|trace| trace.contains("mkdir"));
    let mut has_ended = false;
    crate::common::eventually("it makes the first", || {
        has_ended = run.try_wait().expect("it is ours").is_some();
        is_hit() || has_ended
    });
    if has_ended {
        return skip("a slow making", "strace may not trace");
    }
    symlink(&elsewhere, dir.join("new")).expect("it is not made yet");
    std::os::unix::fs::lchown(dir.join("new"), Some(BOB), Some(BOB)).expect("this is root");
    assert_eq!(crate::common::end_of(&mut run).code(), Some(125));
    assert_eq!(fs::read_dir(&elsewhere).expect("a directory").count(), 0, "nothing was made there");
}

#[test]
fn clean_follows_no_link_below_the_directory_it_searches() {
    let (dir, data) = data();
    let tree = dir.path().join("tree");
    fs::create_dir(&tree).expect("it can be made");
    crate::common::assert_free(&data);
    symlink("../.gastown", tree.join(".gastown")).expect("it can be made");
    gtlock()
        .args(["clean", "-R", "tree"])
        .current_dir(&dir)
        .assert()
        .success()
        .stdout("removed 0 lock files, 0 held\n");
    assert!(lock_file(&data).exists());
}

#[test]
fn clean_is_not_led_to_a_directory_that_only_links_call_a_lock_directory() {
    if !is_root("links of a stranger") {
        return;
    }
    // Bob may link in a directory for all, beside what is Alice's, and in his own.
    let (_above, dir) = directory(0o1777, 0, 0);
    let (_other, bobs) = directory(0o755, BOB, BOB);
    let locks = dir.join("alices/locks");
    fs::create_dir_all(&locks).expect("it can be made");
    fs::write(locks.join("build.lock"), "").expect("it can be written");
    for place in [&dir, &bobs] {
        symlink(dir.join("alices"), place.join(".gastown")).expect("it can be made");
        std::os::unix::fs::lchown(place.join(".gastown"), Some(BOB), Some(BOB)).expect("this is root");
    }
    let said = predicate::str::contains("is not a directory named .gastown/locks");
    gtlock().args(["clean"]).arg(bobs.join(".gastown/locks")).assert().code(125).stderr(said);
    gtlock().args(["clean"]).current_dir(&bobs).assert().code(125);
    gtlock().args(["clean", "-R"]).arg(&bobs).assert().success();
    assert!(locks.join("build.lock").exists());
}

#[test]
fn a_directory_that_is_swapped_for_a_link_while_clean_runs_is_left_alone() {
    let (dir, data) = data();
    let [tree, theirs] = ["tree", "theirs"].map(|name| dir.path().join(name));
    for place in [&tree, &theirs] {
        fs::create_dir(place).expect("it can be made");
        crate::common::assert_free(&place.join("state.json"));
    }
    let trace = dir.path().join("trace");
    let mut clean = process("strace");
    // Slow once it has searched the tree: before it opens what it has found.
    clean.arg("-o").arg(&trace).args(["-e", "inject=openat2:delay_enter=400000"]);
    clean.arg(assert_cmd::cargo::cargo_bin!("gtlock")).args(["clean", "-R"]).arg(&tree);
    let Ok(mut clean) = clean.stdout(std::process::Stdio::null()).spawn() else {
        return skip("clean, slowed down", "no strace");
    };
    let is_searched = || fs::read_to_string(&trace).is_ok_and(|trace| trace.contains("openat2"));
    crate::common::eventually("it opens what it has found", || {
        is_searched() || clean.try_wait().expect("it is ours").is_some()
    });
    fs::rename(tree.join(".gastown"), dir.path().join("aside")).expect("it can be moved");
    symlink(theirs.join(".gastown"), tree.join(".gastown")).expect("it can be made");
    crate::common::end_of(&mut clean);
    assert!(lock_file(&theirs.join("state.json")).exists(), "it was not led there");
    drop(data);
}

#[test]
fn a_path_of_proc_leads_where_it_says_or_to_an_error() {
    let (dir, data) = data();
    fs::write(&data, "").expect("it can be written");
    let holder = Holder::writer(&data);
    let here = format!("/proc/{}/root{}", std::process::id(), data.display());
    gtlock().args(["try", "-q", "--write", &here]).assert().code(75);
    let mut inside = gtlock_process();
    inside.args(["run", "--write", "other.json"]).current_dir(&dir);
    let other = Holder::start(&mut inside);
    let by_cwd = format!("/proc/{}/cwd/other.json", other.pid());
    gtlock().args(["try", "-q", "--write", &by_cwd]).assert().code(75);
    gtlock().args(["status", &by_cwd]).assert().stdout(predicate::str::contains(other.pid().to_string()));
    assert!(other.release().success());
    assert!(holder.release().success());
    // An open file has no name to lock, but can be locked itself.
    let script = r#"exec 9>"$1.gone"; rm "$1.gone"
        gtlock run --write /dev/fd/9 -- true 2>/dev/null; echo $?
        gtlock run --direct --write /dev/fd/9 -- true; echo $?; ls "${1%/*}""#;
    let printed = to_its_end(crate::common::shell(script, &data)).assert().success();
    printed.stdout("125\n0\nstate.json\n");
}

#[test]
fn a_path_too_long_for_the_system_works_where_its_relative_form_does() {
    let (dir, _) = data();
    let name = "d".repeat(250);
    let mut path = dir.path().to_owned();
    let mut deepest = std::os::fd::OwnedFd::from(fs::File::open(&path).expect("it is there"));
    for _ in 0..20 {
        path.push(&name);
        mkdirat(&deepest, name.as_str(), Mode::S_IRWXU).expect("it is ours");
        deepest = openat(&deepest, name.as_str(), OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
            .expect("it was made");
    }
    let absolute = path.join("state.json");
    let mut relative = gtlock_process();
    relative.args(["run", "--write", "state.json"]);
    let holder = Holder::start(relative.current_dir(format!("/proc/self/fd/{}", deepest.as_raw_fd())));
    typed("try -q --write", &absolute).assert().code(75);
    let is_shown = predicate::str::contains(holder.pid().to_string());
    gtlock().arg("status").arg(&absolute).assert().success().stdout(is_shown);
    assert!(holder.release().success());
    typed("run -v --read", &absolute)
        .command(["true"])
        .assert()
        .success()
        .stderr(predicate::str::contains("without a record").not());
}

#[test]
fn a_lock_of_another_mount_namespace_is_not_taken_for_its_namesake_here() {
    let (dir, _) = data();
    let other = dir.path().join("other");
    fs::create_dir(&other).expect("it can be made");
    let here = dir.path().join("here");
    fs::create_dir(&here).expect("it can be made");
    crate::common::assert_free(&here.join("x")); // the namesake is there
    let inside = |command: &[&str]| {
        let mut inside = process("unshare");
        let script = r#"mount --make-rprivate / && mount --bind "$1" "$2" && shift 2 && exec "$@""#;
        inside.args(["-rm", "sh", "-c", script, "sh"]).arg(&other).arg(&here).args(command);
        inside
    };
    if !inside(&["true"]).status().is_ok_and(|status| status.success()) {
        return skip("another mount namespace", "none can be made here");
    }
    let gtlock_path = assert_cmd::cargo::cargo_bin!("gtlock").to_str().expect("a path in text");
    let holder = Holder::start(inside(&[gtlock_path, "run", "--write"]).arg(here.join("x")));
    let there = format!("/proc/{}/root{}", holder.pid(), here.join("x").display());
    gtlock().args(["try", "-q", "--write", &there]).assert().code(75);
    gtlock().args(["status", &there]).assert().stdout(predicate::str::contains("held"));
    let log = dir.path().join("log");
    gtlock().args(["try", "-q", "--write", &there, "--log"]).arg(&log).assert().code(75);
    let logged = fs::read_to_string(&log).expect("it was written");
    let lock = lock_file(Path::new(&there));
    assert!(logged.contains(&format!("{:?}", lock.display().to_string())), "{logged}");
    gtlock().args(["status"]).arg(here.join("x")).assert().stdout(predicate::str::contains("free"));
    assert!(holder.release().success());
}

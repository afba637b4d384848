//! "Already locked" is said where a wait would never end, and nowhere else.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use predicates::prelude::*;

use crate::common::{
    Holder, assert_free, data, eventually, gtlock, gtlock_process, lock_file, shell, to_its_end, typed,
};

#[test]
fn a_nested_request_is_refused_where_environment_and_descriptors_were_cleared() {
    let (_dir, data) = data();
    let script = r#"gtlock run --write "$1" -- perl -MPOSIX -e '
        POSIX::close($_) for 3 .. 255; delete $ENV{GTLOCK_HELD};
        exec qw(gtlock run --timeout 60 --write), @ARGV, "--", "echo", "ran"' "$1""#;
    let said = predicate::str::contains("already locked by process ");
    to_its_end(shell(script, &data)).assert().code(125).stdout("").stderr(said);
}

#[test]
fn it_is_refused_whatever_way_the_outer_lock_was_taken_in() {
    let cleared = r"perl -MPOSIX -e 'POSIX::close($_) for 3 .. 255; %ENV = (PATH => $ENV{PATH}); exec @ARGV'";
    for (outer, inner) in [
        ("--direct --write \"$1\"", "--direct --write"),
        ("--close --direct --write \"$1\"", "--direct --write"),
        ("--direct --read \"$1\"", "--direct --write"),
        ("--write-fd 9 9>>\"$1\"", "--direct --write"),
        ("--no-fork --write \"$1\"", "--write"),
        ("--no-fork --direct --write \"$1\"", "--direct --write"),
    ] {
        for command in [
            "env -i PATH=\"$PATH\"".to_owned(),
            cleared.to_owned(),
            format!("sh -c '\"$@\"; exit $?' sh {cleared}"),
        ] {
            // It is ended, should it wait.
            let inner = format!("perl -e 'alarm 60; exec @ARGV' gtlock run {inner} \"$1\" -- echo ran");
            if outer.starts_with("--no-fork") && command == cleared {
                continue; // nobody has the lock any more
            }
            let (_dir, data) = data();
            fs::write(&data, "").expect("it can be written");
            let redirected = outer.replace(" 9>>\"$1\"", "");
            let script = format!("exec 9>>\"$1\"; gtlock run {redirected} -- {command} {inner}");
            let said = predicate::str::contains("already locked by ");
            to_its_end(shell(&script, &data)).assert().code(125).stdout("").stderr(said);
        }
    }
}

#[test]
fn it_is_refused_for_another_user_too_and_only_if_it_would_never_end() {
    let script = |inner: &str| {
        let user = "setpriv --reuid=65534 --regid=65534 --clear-groups";
        let closed = "perl -MPOSIX -e 'POSIX::close($_) for 3 .. 255; exec @ARGV'";
        format!("gtlock run --write \"$1\" -- {user} env -i PATH=\"$PATH\" {closed} {inner}")
    };
    let asks = "perl -e 'alarm 60; exec @ARGV' gtlock run --timeout 60 --write";
    let (dir, data) = data();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).expect("it is ours");
    if crate::common::unprivileged("true", "a nested request of another user").is_none() {
        return;
    }
    let said = predicate::str::contains("already locked by process ");
    let around = script(&format!("{asks} \"$1\" -- echo ran"));
    to_its_end(shell(&around, &data)).assert().code(125).stdout("").stderr(said);
    // What an ancestor holds is one thing, what somebody else holds another, whatever the variable says.
    let other = dir.path().join("other.json");
    assert_free(&other);
    fs::set_permissions(lock_file(&other), fs::Permissions::from_mode(0o666)).expect("it is ours");
    let mut stranger = Holder::writer(&other);
    let lock = fs::metadata(lock_file(&other)).expect("it is there");
    let forged = format!("GTLOCK_HELD=$(ps -o ppid= -p $$ | tr -d \" \"):{}:{}", lock.dev(), lock.ino());
    let beside =
        format!("sh -c '{forged} {} \"$1.other\" -- echo ran' sh \"$1\"", asks.replace('\'', "'\\''"));
    std::os::unix::fs::symlink(&other, format!("{}.other", data.display())).expect("it can be made");
    let mut beside = shell(&script(&beside), &data);
    let beside = beside.stdout(std::process::Stdio::piped()).spawn().expect("sh starts");
    eventually("it waits", || line_of(&other) == 1);
    stranger.close();
    assert!(stranger.end().success());
    let beside = beside.wait_with_output().expect("it ends");
    assert_eq!(String::from_utf8_lossy(&beside.stdout), "ran\n");
}

#[test]
fn it_is_refused_by_a_gtlock_of_another_name() {
    let (dir, data) = data();
    let renamed = dir.path().join("lk");
    std::os::unix::fs::symlink(assert_cmd::cargo::cargo_bin!("gtlock"), &renamed).expect("it can be made");
    let script = r#""$1".lk run --write "$1" -- env -i PATH="$PATH" sh -c 'perl -e "alarm 60; exec @ARGV" gtlock run --write "$1" -- echo ran; exit $?' sh "$1""#;
    fs::rename(&renamed, format!("{}.lk", data.display())).expect("it can be renamed");
    let said = predicate::str::contains("already locked by process ");
    to_its_end(shell(script, &data)).assert().code(125).stdout("").stderr(said);
}

#[test]
fn a_lock_that_a_parent_took_and_may_release_is_waited_for() {
    let (_dir, data) = data();
    fs::write(&data, "").expect("it can be written");
    // The parent is no gtlock, and lets go once the child waits.
    let script = r#"
        use Fcntl ":flock"; my ($file) = @ARGV; open(my $lock, ">>", $file); flock($lock, LOCK_EX);
        my $child = fork // die; exec qw(gtlock run --direct --write), $file, qw(-- echo ran) unless $child;
        sleep 1 until grep { /->.*FLOCK.* $child / } do { open(my $locks, "<", "/proc/locks"); <$locks> };
        flock($lock, LOCK_UN); waitpid($child, 0); exit $? >> 8;"#;
    let mut parent = crate::common::process("perl");
    parent.args(["-e", script]).arg(&data);
    to_its_end(parent).assert().success().stdout("ran\n");
}

#[test]
fn a_daemon_that_was_left_behind_waits_for_the_lock_and_gets_it() {
    let (dir, data) = data();
    // The daemon asks once it is no descendant of the command any more. It has inherited the lock's descriptor.
    let script = r#"( parent=$(exec sh -c 'echo $PPID')
            setsid sh -c 'while [ "$(cut -d" " -f4 /proc/$$/stat)" = "$1" ]; do :; done
                exec gtlock run --write "$2" -- touch "$2.ran"' sh "$parent" "$1" & )
        exec cat"#;
    let mut outer = gtlock_process();
    outer.args(["run", "--write"]).arg(&data).args(["--", "sh", "-c", script, "sh"]).arg(&data);
    let outer = Holder::running(&mut outer);
    eventually("the daemon waits in line", || line_of(&data) == 1);
    assert!(outer.release().success());
    eventually("the daemon gets the lock", || dir.path().join("state.json.ran").exists());
}

/// How many places are taken in the line for a lock, by whomever.
fn line_of(data: &std::path::Path) -> usize {
    let processes = fs::read_dir("/proc").expect("a directory").filter_map(Result::ok);
    let pids = processes.filter_map(|process| process.file_name().to_str()?.parse().ok());
    pids.map(|pid: u32| crate::common::places(pid, data).count()).sum()
}

#[test]
fn a_variable_that_names_an_ancestor_without_the_lock_accuses_nobody() {
    let (dir, data) = data();
    assert_free(&data);
    let lock = fs::metadata(lock_file(&data)).expect("it is there");
    let _holder = Holder::writer(&data);
    for pid in [1, std::process::id()] {
        let mut request = gtlock();
        request.env("GTLOCK_HELD", format!("{pid}:{}:{}", lock.dev(), lock.ino()));
        request.args(["run", "-q", "--timeout=20ms", "--write"]).arg(&data).args(["--", "true"]);
        request.assert().code(75).stderr("");
    }
    if let Some(mut request) = crate::common::unprivileged("env", "a forged variable of a user") {
        request.arg(format!("GTLOCK_HELD=1:{}:{}", lock.dev(), lock.ino()));
        request.args(["gtlock", "run", "-q", "--timeout=20ms", "--write"]).arg(&data).args(["--", "true"]);
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("it is ours");
        to_its_end(request).assert().code(75).stderr("");
    }
}

#[test]
fn a_command_that_dropped_its_callers_lock_waits_for_whoever_has_it_now() {
    let (_dir, data) = data();
    fs::write(&data, "").expect("it can be written");
    // Each line that it reads is answered: with what comes next, then with the line itself.
    let script = r#"exec gtlock run --write-fd 9 -- sh -c '
        gtlock run --unlock-fd 9; read -r line; echo "$line"
        read -r go; gtlock run -q --timeout 20ms --write-fd 9; echo $?
        read -r go; gtlock run -q --write-fd 9; echo $?' 9>>"$1""#;
    let mut outer = Holder::running(&mut shell(script, &data));
    let other = typed("run --direct --write", &data).hold();
    outer.send("go");
    assert_eq!(outer.line(), "75");
    assert!(other.release().success());
    outer.send("go");
    assert_eq!(outer.line(), "0");
    assert!(outer.release().success());
}

#[test]
fn a_reader_inside_a_reader_joins_it_past_a_line() {
    let (_dir, data) = data();
    let script = r#"read -r line; echo "$line"; read -r go; gtlock run --read "$1" -- echo inner; cat"#;
    let mut outer = gtlock_process();
    outer.args(["run", "--read"]).arg(&data).args(["--", "sh", "-c", script, "sh"]).arg(&data);
    let mut outer = Holder::running(&mut outer);
    let mut writer = gtlock_process();
    let mut writer =
        writer.args(["run", "-q", "--write"]).arg(&data).args(["--", "true"]).spawn().expect("it starts");
    crate::common::waits_in_kernel(writer.id(), &data);
    outer.send("go");
    assert_eq!(outer.line(), "inner");
    assert!(outer.release().success());
    assert!(crate::common::end_of(&mut writer).success());
}

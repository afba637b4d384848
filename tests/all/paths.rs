//! From the names of data files to their lock files: which names share a lock, and what a lock file holds.
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::{
    Holder, assert_free, assert_held, data, end_of, gtlock, gtlock_process, lock_file, process, shell, skip,
    to_its_end, typed,
};
use predicates::prelude::*;

fn record(data: &Path) -> String {
    fs::read_to_string(lock_file(data)).expect("it is there")
}

/// Who is named in the record, without the blank lines that those who were leave.
fn named(data: &Path) -> String {
    record(data).trim_end().to_owned()
}

/// Asserts that what holds the lock of one name is in the way of the other, and the reverse.
fn assert_one_lock(a: &Path, b: &Path) {
    for (one, other) in [(a, b), (b, a)] {
        let writer = Holder::writer(one);
        assert_held(other);
        writer.release();
        let reader = Holder::reader(one);
        typed("try --write", other).assert().code(75).stdout("");
        typed("try --read", other).assert().success();
        reader.release();
        assert_free(other);
    }
}

#[test]
fn a_symbolic_link_and_what_it_points_to_exclude_each_other() {
    let (dir, data) = data();
    let path = |name: &str| dir.path().join(name);
    symlink("state.json", path("alias")).expect("it can be made");
    symlink(path("alias"), path("alias of the alias")).expect("it can be made");
    fs::create_dir(path("sub")).expect("it can be made");
    symlink("../alias", path("sub/alias from below")).expect("it can be made");
    for alias in ["alias", "alias of the alias", "sub/alias from below"] {
        assert_one_lock(&path(alias), &data);
    }
    assert_one_lock(&path("sub/alias from below"), &path("alias of the alias"));
}

#[test]
fn all_names_of_a_chain_are_locked() {
    let (dir, data) = data();
    symlink("b", dir.path().join("a")).expect("it can be made");
    symlink("state.json", dir.path().join("b")).expect("it can be made");
    let holder = Holder::writer(&dir.path().join("a"));
    for name in [&data, &dir.path().join("a"), &dir.path().join("b")] {
        assert_eq!(record(name), format!("{}\n", holder.pid()));
        assert_held(name);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_link_that_is_flipped_while_it_is_waited_for_is_resolved_again() {
    let (dir, current) = data();
    let [v1, v2] = ["v1", "v2"].map(|name| dir.path().join(name));
    fs::write(&v1, "one\n").and_then(|()| fs::write(&v2, "two\n")).expect("they can be written");
    symlink("v1", &current).expect("it can be made");
    let [first, second] = [Holder::writer(&v1), Holder::writer(&v2)];
    let mut request = gtlock_process();
    request.args(["run", "-q", "--write"]).arg(&current).args(["--", "cat"]).arg(&current);
    let mut waiter = request.stdout(std::process::Stdio::piped()).spawn().expect("gtlock starts");
    let printed = crate::common::Lines::of(waiter.stdout.take().expect("it is piped"));
    crate::common::waits_in_kernel(waiter.id(), &v1);

    symlink("v2", dir.path().join("next")).expect("it can be made");
    fs::rename(dir.path().join("next"), &current).expect("it can be replaced");
    first.release();
    crate::common::waits_in_kernel(waiter.id(), &v2);
    assert_free(&v1);
    second.release();
    assert_eq!(printed.line(), "two");
    assert!(end_of(&mut waiter).success());
}

#[cfg(target_os = "linux")]
#[test]
fn a_link_that_is_flipped_under_its_holder_lets_no_second_writer_in() {
    let (dir, current) = data();
    let [v1, v2] = ["v1", "v2"].map(|name| dir.path().join(name));
    symlink("v1", &current).expect("it can be made");
    let holder = Holder::writer(&current);
    symlink("v2", dir.path().join("next")).expect("it can be made");
    fs::rename(dir.path().join("next"), &current).expect("it can be replaced");
    assert_held(&current);
    assert_held(&v1);
    assert_free(&v2);
    holder.release();
    assert_free(&current);
}

#[test]
fn a_directory_has_one_lock_for_a_file_whatever_it_is_called() {
    let (dir, data) = data();
    let path = |name: &str| dir.path().join(name);
    fs::create_dir(path("sub")).expect("it can be made");
    symlink(dir.path(), path("sub/up")).expect("it can be made");
    let directory = dir.path().file_name().expect("a name").to_str().expect("text");
    for name in [
        "sub/up/state.json",
        "sub/../state.json",
        "./state.json",
        "sub/up/sub/up/./state.json",
        "state.json/",
        &format!("../{directory}/state.json"),
    ] {
        assert_one_lock(&path(name), &data);
    }
    let locks = fs::read_dir(path(".gastown/locks")).expect("a directory").filter_map(Result::ok);
    let locks = locks.filter(|entry| entry.file_name().to_string_lossy().ends_with(".lock"));
    assert_eq!(locks.count(), 1);
    assert!(!path("sub/.gastown").exists());

    let _holder = Holder::writer(&data);
    for (from, name) in [("", "state.json"), ("sub", "../state.json"), ("sub", "up/state.json")] {
        let mut gtlock = gtlock();
        gtlock.args(["try", "--read", name]).current_dir(path(from)).assert().code(75).stdout("");
    }
}

/// A shell script in a mount namespace of its own; `$1` is the data file, which is in `$2`.
fn mounting(script: &str, data: &Path) -> Option<Command> {
    let may_mount = |unshare: &str| {
        let tried = process("unshare").args([unshare, "mount", "--bind", "/tmp", "/tmp"]).output();
        tried.is_ok_and(|output| output.status.success())
    };
    let Some(unshare) = ["-m", "-rm"].into_iter().find(|option| may_mount(option)) else {
        crate::common::skip("another mount of a directory", "no unshare(1), or it may not mount");
        return None;
    };
    let mut command = process("unshare");
    command.args([unshare, "sh", "-c", script, "sh"]).arg(data).arg(data.parent().expect("a directory"));
    Some(command)
}

#[test]
fn a_bind_mount_of_a_directory_shares_its_locks() {
    let (dir, data) = data();
    fs::create_dir(dir.path().join("mnt")).expect("it can be made");
    let bind = r#"mount --bind "$2" "$2/mnt" && exec gtlock"#;
    for (held, wanted) in [("$1", "$2/mnt/state.json"), ("$2/mnt/state.json", "$1")] {
        let script = format!(r#"{bind} run --write "{held}" -- gtlock run --write "{wanted}" -- echo ran"#);
        let Some(nested) = mounting(&script, &data) else { return };
        let already = predicate::str::contains("already locked by");
        to_its_end(nested).assert().code(125).stdout("").stderr(already);
    }
    let script = format!(r#"{bind} run --write "$2/mnt/state.json" -- cat"#);
    let Some(mut inside) = mounting(&script, &data) else { return };
    let holder = Holder::running(&mut inside);
    assert_held(&data);
    holder.release();
    assert_free(&data);
}

#[test]
fn a_file_that_is_named_through_two_mounts_in_one_command_is_locked_once_in_the_stronger_mode() {
    let (dir, data) = data();
    fs::create_dir(dir.path().join("mnt")).expect("it can be made");
    for [here, there] in [["--read", "--write"], ["--write", "--read"], ["--write", "--write"]] {
        let script = format!(
            r#"mount --bind "$2" "$2/mnt" || exit
            exec gtlock run {here} "$1" {there} "$2/mnt/state.json" -- sh -c 'cat "$0"; flock -n "$0" true; echo $?
            flock -sn "$0" true; echo $?' "$2/.gastown/locks/state.json.lock""#
        );
        let Some(both) = mounting(&script, &data) else { return };
        let once = predicate::str::is_match("^[0-9]+\n1\n1\n$").expect("a pattern");
        to_its_end(both).assert().success().stdout(once).stderr("");
    }
    assert_free(&data);
}

#[test]
fn a_file_named_to_be_read_and_written_is_locked_exclusively() {
    let (_dir, data) = data();
    for [first, second] in [["--read", "--write"], ["--write", "--read"]] {
        let mut request = gtlock_process();
        let holder = Holder::start(request.args(["run", first]).arg(&data).arg(second).arg(&data));
        assert_held(&data);
        holder.release();
    }
    let mut request = gtlock_process();
    let _holder = Holder::start(request.args(["run", "--read"]).arg(&data).arg("--read").arg(&data));
    typed("try --read", &data).assert().success();
}

#[test]
fn hard_links_are_separate_files() {
    let (dir, data) = data();
    fs::write(&data, "").expect("it can be written");
    let other = dir.path().join("other.json");
    fs::hard_link(&data, &other).expect("it can be made");
    let _holder = Holder::writer(&data);
    assert_free(&other);
}

#[test]
fn a_chosen_lock_directory_is_made_and_shared_by_files_of_one_name() {
    let (dir, data) = data();
    let path = |name: &str| dir.path().join(name);
    fs::create_dir(path("other")).expect("it can be made");
    let in_run = |subcommand: &[&str], file: &Path| {
        let mut request = gtlock_process();
        request.current_dir(&dir).args(subcommand).args(["--lock-dir", "new/run"]).arg("--write").arg(file);
        request
    };
    let holder = Holder::start(&mut in_run(&["run"], &data));
    let record = fs::read_to_string(path("new/run/state.json.lock")).expect("it was made");
    assert_eq!(record, format!("{}\n", holder.pid()));
    assert!(!path(".gastown").exists());
    to_its_end(in_run(&["try"], &path("other/state.json"))).assert().code(75).stdout("");
    to_its_end(in_run(&["try"], &path("other/else.json"))).assert().success();
    assert_free(&data); // by its default lock, which is another

    // The same directory under another name.
    symlink("new/run", path("link")).expect("it can be made");
    let mut request = gtlock();
    request.current_dir(&dir).args(["try", "--lock-dir", "link", "--read"]).arg(&data);
    request.assert().code(75).stdout("");
    holder.release();

    // Both files need the one lock, which does not stand in its own way.
    let mut request = in_run(&["run"], &data);
    request.arg("--write").arg(path("other/state.json")).args(["--", "echo", "ran"]);
    to_its_end(request).assert().success().stdout("ran\n").stderr("");
}

#[test]
fn names_may_hold_any_bytes() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    for name in [
        &b"not utf-8 \xff\xfe"[..],
        b"new\nline",
        b" ",
        b"-",
        b"--write",
        b"a b'\"$(touch ran)`*?",
        b".hidden",
        b"trailing.",
        b"...",
        b"Cargo.lock",
        "日本語".as_bytes(),
        b"\x1b[31m",
    ] {
        let data = dir.path().join(OsStr::from_bytes(name));
        let holder = Holder::writer(&data);
        assert_eq!(record(&data), format!("{}\n", holder.pid()));
        assert_held(&data);
        holder.release();
        let mut attached = std::ffi::OsString::from("--write=");
        attached.push(OsStr::from_bytes(name));
        let mut request = gtlock();
        request.arg("run").arg(attached).args(["--", "echo", "ran"]).current_dir(&dir);
        request.assert().success().stdout("ran\n").stderr("");
    }
}

#[test]
fn a_directory_can_be_locked_as_data() {
    let (dir, data) = data();
    fs::create_dir(&data).expect("it can be made");
    assert_one_lock(&data, &dir.path().join("state.json/"));
    assert!(lock_file(&data).exists());
}

#[test]
fn the_data_file_is_not_touched() {
    let (dir, data) = data();
    drop(Holder::writer(&data));
    assert!(!data.exists());
    fs::write(&data, "content").expect("it can be written");
    fs::set_permissions(&data, PermissionsExt::from_mode(0o000)).expect("it is ours");
    let before = crate::common::snapshot(dir.path())[&data].clone();
    drop(Holder::writer(&data));
    assert_eq!(crate::common::snapshot(dir.path())[&data], before);
}

#[test]
fn files_and_directories_are_made_for_those_who_may_use_the_datas_directory_whatever_the_umask() {
    for (mode, file) in [(0o755, 0o644), (0o777, 0o666), (0o700, 0o600), (0o1777, 0o666)] {
        for umask in ["022", "000", "077"] {
            let (dir, data) = data();
            fs::set_permissions(dir.path(), fs::Permissions::from_mode(mode)).expect("it is ours");
            let script = format!(r#"umask {umask}; exec gtlock run --write "$1" -- true"#);
            to_its_end(shell(&script, &data)).assert().success().stdout("").stderr("");
            let bits = |path: &Path| path.metadata().expect("it is there").permissions().mode() & 0o7777;
            assert_eq!(bits(&dir.path().join(".gastown")), mode);
            assert_eq!(bits(&dir.path().join(".gastown/locks")), mode);
            assert_eq!(bits(&lock_file(&data)), file);
        }
    }
}

#[test]
fn the_record_is_the_pid_of_the_writer_while_it_holds_the_lock_and_nothing_after() {
    let (_dir, data) = data();
    let holder = Holder::writer(&data);
    assert_eq!(record(&data), format!("{}\n", holder.pid()));
    holder.release();
    assert_eq!(named(&data), "");
    // Whatever was left in it by holders that were killed.
    fs::write(lock_file(&data), "1\n22\n\n333333\n".repeat(300)).expect("it can be written");
    let holder = Holder::writer(&data);
    assert_eq!(record(&data), format!("{}\n", holder.pid()));
    holder.release();
    assert_eq!(named(&data), "");
}

#[test]
fn a_record_left_by_another_process_of_the_same_number_is_written_anew() {
    let (_dir, data) = data();
    assert_free(&data);
    // As in a container, where every gtlock is process 1.
    let script = r#"echo $$ >"$2"; touch -t 200001010000 "$2"; exec gtlock run --write "$1" -- cat"#;
    let holder = Holder::running(shell(script, &data).arg(lock_file(&data)));
    assert_eq!(record(&data), format!("{}\n", holder.pid()));
    let lock = crate::common::status_of(&data);
    let seconds = lock["seconds"].as_f64().expect("a number");
    assert!(seconds < 3600.0, "{lock}");
    let evidence = (&lock["holders"][0]["alive"], &lock["holders"][0]["evidence"]);
    assert_eq!(evidence, (&serde_json::json!(true), &serde_json::json!("record")));
}

#[test]
fn readers_have_a_line_each_and_take_away_only_their_own() {
    let (_dir, data) = data();
    let [first, second, third] = [(); 3].map(|()| Holder::reader(&data));
    let pids = |holders: &[&Holder]| holders.iter().map(|h| h.pid().to_string() + "\n").collect::<String>();
    assert_eq!(record(&data), pids(&[&first, &second, &third]));
    // Blank lines stay, which show that the file's time is not that of those who are left.
    let of_all = record(&data);
    let without = |record: &str, line: &str| record.replacen(line, &"\n".repeat(line.len()), 1);
    let of_two = without(&of_all, &pids(&[&second]));
    second.release();
    assert_eq!(record(&data), of_two);
    let of_one = without(&of_two, &pids(&[&first]));
    first.release();
    assert_eq!(record(&data), of_one);
    third.release();
    assert_eq!(named(&data), "");
}

#[test]
fn many_readers_at_once_lose_no_line_and_take_their_own_away() {
    let (_dir, data) = data();
    // Each comes while others do, so that one may find no turn to write its line within 5 ms: then it has
    // none, and must not take anybody else's. Or it may find none to take its line away.
    let stays = Holder::reader(&data);
    let mut readers: Vec<_> = (0..16)
        .map(|_| {
            let mut request = gtlock_process();
            request.args(["run", "--read"]).arg(&data).args(["--", "true"]).spawn().expect("gtlock starts")
        })
        .collect();
    for reader in &mut readers {
        assert!(end_of(reader).success());
    }
    let lines = || {
        let record = record(&data);
        record.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect::<Vec<_>>()
    };
    let (mut left, stays_line) = (lines(), stays.pid().to_string());
    assert!(left.contains(&stays_line), "{left:?}");
    left.retain(|line| *line != stays_line);
    assert!(left.len() < readers.len() / 2, "most have found a turn: {left:?}");
    let is_ones = |line: &String| readers.iter().any(|reader| reader.id().to_string() == *line);
    assert!(left.iter().all(is_ones), "{left:?}");
    stays.release();
    assert_eq!(lines(), left);
}

#[test]
fn the_record_stays_bounded_under_overlapping_readers_that_are_killed() {
    let (_dir, data) = data();
    assert_free(&data);
    let stays = Holder::reader(&data);
    let script = r#"n=0; while [ $((n += 1)) -le 200 ]; do
        gtlock run --read "$1" -- sh -c 'kill -KILL $PPID'
    done 2>/dev/null; :"#;
    to_its_end(shell(script, &data)).assert().success();
    let killed = record(&data);
    assert!(killed.starts_with(&format!("{}\n", stays.pid())), "{killed}");
    assert!(killed.lines().count() > 1 && killed.len() < 4096, "{killed}");

    // No process has these numbers: the dead are dropped once they are many.
    let dead: String = (0..371).map(|n| (4_200_000_000_u32 + n).to_string() + "\n").collect();
    let full = format!("{}\n{dead}", stays.pid());
    let full = "\n".repeat(4096 - full.len()) + &full;
    fs::write(lock_file(&data), full).expect("it can be written");
    let late = Holder::reader(&data);
    assert_eq!(record(&data).trim_end(), format!("{}\n{}", stays.pid(), late.pid()), "and truncated");
    late.release();
    stays.release();
    assert_eq!(named(&data), "");
}

#[test]
fn a_lock_file_with_another_name_locks_and_is_not_written() {
    let (dir, data) = data();
    assert_free(&data);
    fs::hard_link(lock_file(&data), dir.path().join("other")).expect("it can be made");
    let mut request = gtlock();
    request.args(["run", "-v", "--write"]).arg(&data).args(["--", "sed", "/^$/d"]).arg(lock_file(&data));
    let said = predicate::str::contains(", without a record of the holder: it has more than one name\n");
    request.assert().success().stdout("").stderr(said);
    let holder = Holder::writer(&data);
    assert_held(&data);
    assert_eq!(named(&data), "");
    holder.release();
}

#[test]
fn a_lock_file_that_may_only_be_read_locks_without_a_record() {
    let (dir, data) = data();
    assert_free(&data);
    let chmod =
        |path: &Path, mode| fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("it is ours");
    chmod(dir.path(), 0o755);
    chmod(&lock_file(&data), 0o444);
    let what = "a lock file that may only be read";
    let Some(mut request) = crate::common::unprivileged(assert_cmd::cargo::cargo_bin!("gtlock"), what) else {
        return;
    };
    let stderr = dir.path().join("stderr");
    request
        .args(["run", "-v", "--write"])
        .arg(&data)
        .stderr(fs::File::create(&stderr).expect("it can be made"));
    let holder = Holder::start(&mut request);
    let said = fs::read_to_string(&stderr).expect("it is there");
    assert!(
        said.contains(": locked for writing ")
            && said.ends_with(", without a record of the holder: it may only be read\n"),
        "{said}"
    );
    assert_held(&data);
    typed("try --write", &data).assert().code(75);
    assert_eq!(named(&data), "");
    holder.release();
    assert_free(&data);
}

#[test]
fn a_read_only_file_system_locks_without_a_record() {
    let (_dir, data) = data();
    assert_free(&data);
    let read_only = r#"mount --bind "$2" "$2" && mount -o remount,ro,bind "$2" && cd "$2" && exec gtlock"#;
    let script =
        format!("{read_only} run -v --write state.json -- flock -n .gastown/locks/state.json.lock true");
    let Some(locks) = mounting(&script, &data) else { return };
    let said = predicate::str::contains("state.json: locked for writing ")
        .and(predicate::str::contains(", without a record of the holder: it may only be read\n"))
        .and(predicate::str::contains("state.json: held for "))
        .and(predicate::str::contains("\n").count(2));
    to_its_end(locks).assert().code(1).stdout("").stderr(said);

    let script = format!("{read_only} run --write state.json -- cat");
    let holder = Holder::running(&mut mounting(&script, &data).expect("as before"));
    assert_held(&data);
    holder.release();

    for script in ["try --write other.json", "try --lock-dir new --write state.json"] {
        let refused = mounting(&format!("{read_only} {script}"), &data).expect("as before");
        let said =
            predicate::str::contains("read-only file system; keep the locks elsewhere with --lock-dir")
                .and(predicate::str::contains("\n").count(1));
        to_its_end(refused).assert().code(125).stdout("").stderr(said);
    }
}

#[test]
fn a_lock_file_of_somebody_else_in_a_sticky_directory_can_be_locked() {
    let (dir, data) = data();
    assert_free(&data);
    let locks = lock_file(&data).parent().map(PathBuf::from).expect("a directory");
    let chmod =
        |path: &Path, mode| fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("it is ours");
    chmod(dir.path(), 0o755);
    chmod(&locks, 0o1777);
    chmod(&lock_file(&data), 0o666);
    let what = "a lock file of somebody else in a sticky directory";
    let Some(mut request) = crate::common::unprivileged(assert_cmd::cargo::cargo_bin!("gtlock"), what) else {
        return;
    };
    if fs::read_to_string("/proc/sys/fs/protected_regular").is_ok_and(|protected| protected == "0\n") {
        skip(what, "fs.protected_regular is 0, so that it cannot be refused");
    }
    let holder = Holder::start(request.args(["run", "--write"]).arg(&data));
    assert_held(&data);
    holder.release();
    assert_eq!(named(&data), "");
}

#[cfg(target_os = "linux")]
#[test]
fn a_lock_file_that_is_there_is_opened_without_making_it() {
    let (dir, data) = data();
    let trace = dir.path().join("trace");
    let opens = |options: &[&str]| {
        let mut strace = process("strace");
        strace.arg("-fo").arg(&trace).args(["-e", "trace=?open,openat,?openat2"]);
        strace.arg(assert_cmd::cargo::cargo_bin!("gtlock")).args(options).arg(&data);
        to_its_end(strace).output().ok().filter(|output| output.status.success())?;
        let trace = fs::read_to_string(&trace).expect("strace wrote it");
        Some(trace.lines().filter(|line| line.contains(".lock\"")).map(str::to_owned).collect::<Vec<_>>())
    };
    let Some(first) = opens(&["try", "--write"]) else {
        return skip("open without O_CREAT", "no strace, or it may not trace");
    };
    // Where it is not there it has to be made, by this process alone.
    let makes = |line: &String| line.contains("O_CREAT");
    assert!(
        first.iter().any(makes)
            && first.iter().filter(|line| makes(line)).all(|line| line.contains("O_EXCL"))
    );
    // In a sticky directory of everybody's, Linux refuses O_CREAT for a file of somebody else's.
    for options in [&["try", "--write"], &["try", "--read"]] {
        let opens = opens(options).expect("as before");
        assert!(!opens.is_empty() && !opens.iter().any(makes), "{opens:?}");
    }
}

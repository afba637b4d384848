//! What bad input gets: one line that names it and the remedy, status 125, and nothing created or changed.
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use crate::common::{assert_free, data, gtlock, lock_file, snapshot, to_its_end};
use predicates::prelude::*;

/// Asserts that gtlock fails with one line that has all of `words`, and that the directory it runs in stays
/// as it is. (One that needs the lock may make the lock directory.)
fn refused(dir: &Path, arguments: impl IntoIterator<Item = impl Into<OsString>>, words: &[&str]) {
    let arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
    let before = snapshot(dir);
    let said = predicate::function(|said: &str| {
        said.starts_with("gtlock: ")
            && said.ends_with('\n')
            && said.lines().count() == 1
            && words.iter().all(|word| said.contains(word))
    });
    let assert = gtlock().args(&arguments).current_dir(dir).assert();
    let output = assert.get_output();
    assert!(
        output.status.code() == Some(125)
            && output.stdout.is_empty()
            && said.eval(&String::from_utf8_lossy(&output.stderr)),
        "{arguments:?} gives {output:?}, not {words:?}"
    );
    assert_eq!(snapshot(dir), before, "{arguments:?}");
}

/// As [`refused`], for a data file, by both subcommands that lock.
fn unlockable(dir: &Path, file: &str, words: &[&str]) {
    for arguments in [["run", "--write"], ["run", "--read"], ["try", "--write"]] {
        refused(dir, arguments.into_iter().chain([file, "--", "touch", "ran"]), words);
    }
    refused(dir, ["try", "--read", file], words);
    // Nor is anything made for what could be locked, if it is named beside it.
    refused(dir, ["run", "--write", "good.json", "--write", file, "--", "touch", "ran"], words);
}

#[test]
fn no_lock_and_no_command() {
    let (dir, _) = data();
    refused(dir.path(), ["run", "--", "touch", "ran"], &["no lock named", "--write FILE", "--read FILE"]);
    refused(dir.path(), ["try", "--", "touch", "ran"], &["no lock named", "--write FILE", "--read FILE"]);
    refused(dir.path(), ["try"], &["no lock named"]);
    refused(dir.path(), ["run"], &["no lock named"]);
    for no_command in [&["run", "--write", "state.json"][..], &["run", "--write", "state.json", "--"]] {
        refused(dir.path(), no_command, &["no command to run", "after --"]);
    }
    refused(dir.path(), [""; 0], &["no subcommand", "run, try, update, status, clean or report", "--help"]);
}

#[test]
fn options_that_do_not_exist_or_do_not_go_together() {
    let (dir, _) = data();
    let file = ["--write", "state.json"];
    for subcommand in ["run", "try", "status", "clean"] {
        refused(dir.path(), [subcommand, "--nonsense"], &["'--nonsense'", "--help"]);
        refused(dir.path(), [subcommand, "--wild\n\x1b[31m"], &["'--wild", "--help"]);
    }
    refused(dir.path(), ["runn"], &["'runn'", "use gtlock run", "(see gtlock run --help)"]);
    refused(dir.path(), ["--nonsense"], &["'--nonsense'", "--help"]);
    refused(dir.path(), ["run", "--write", "state.json", "touch", "ran"], &["'touch'", "-- touch ran"]);
    refused(dir.path(), ["run", "--write"], &["--write needs a file", "(see gtlock run --help)"]);
    refused(dir.path(), ["run", "-qv", "--write", "state.json", "--", "true"], &["--quiet", "--verbose"]);
    refused(dir.path(), ["try"].into_iter().chain(file).chain(["--timeout=1"]), &["'--timeout'", "--help"]);
    refused(dir.path(), ["clean", "--json", "-q"], &["--json", "--quiet"]);
}

#[test]
fn times_and_exit_codes_out_of_range() {
    let (dir, _) = data();
    let refuse = |option: &str, value: &str, words: &[&str]| {
        let option = format!("{option}={value}");
        let words = [words, &[value, "--help"]].concat();
        refused(dir.path(), ["run", "--write", "state.json", &option, "--", "touch", "ran"], &words);
    };
    for value in ["", "soon", "5 parsecs", "1e3", "nan", "inf", "--1", "1.2.3", "99999999999999999999"] {
        refuse("--timeout", value, &["--timeout", "a time like 5s"]);
        refuse("--retry-delay", value, &["--retry-delay", "a time like 10ms"]);
    }
    refuse("--retry-delay", "-1", &["--retry-delay"]);
    for value in ["256", "-1", "nonsense", "1.5", "99999999999999999999"] {
        refuse("-E", value, &["--conflict-exit-code"]);
    }
}

#[test]
fn slots_that_there_cannot_be() {
    let (dir, _) = data();
    let refuse = |arguments: &str, words: &[&str]| {
        for subcommand in ["run", "try"] {
            let help = format!("(see gtlock {subcommand} --help)");
            let words = [words, &[&help]].concat();
            let arguments = arguments.split_whitespace().chain(["--", "touch", "ran"]);
            refused(dir.path(), [subcommand].into_iter().chain(arguments), &words);
        }
    };
    for number in ["0", "-1", "1025", "four", "1.5"] {
        refuse(&format!("--read f --slots={number}"), &["--slots", number, "a number from 1 to 1024"]);
        refuse(
            &format!("--read f --slots=4 --take={number}"),
            &["--take", number, "a number from 1 to 1024"],
        );
    }
    refuse("--read f --slots", &["--slots needs a number of slots"]);
    refuse("--read f --take=2", &["--take", "--slots N", "K of the N slots"]);
    refuse("--read f --slots=4 --take=5", &["--take", "larger than --slots", "smaller"]);
    refuse("--write f --slots=4", &["--slots is for one --read FILE", "--write"]);
    refuse("--read f --write g --slots=4", &["--slots is for one --read FILE", "--write"]);
    refuse("--read f --read g --slots=4", &["--slots is for one --read FILE", "of their own"]);
    refuse("--read-fd 0 --slots=4", &["--slots is for --read FILE", "descriptor"]);
    refuse("--direct --read f --slots=4", &["--slots", "--direct", "lock file"]);
    refuse("--slots=4", &["no lock named"]);
    refuse("--read f -j 4", &["'-j'", "--slots N"]);
    refused(dir.path(), ["update", "f", "--slots=4", "--", "cat"], &["'--slots'", "one at a time"]);
}

#[test]
fn limits_to_those_who_wait_that_there_cannot_be() {
    let (dir, _) = data();
    let refuse = |arguments: &str, words: &[&str]| {
        let arguments = arguments.split_whitespace().chain(["--", "touch", "ran"]);
        refused(dir.path(), arguments, words);
    };
    refuse("run --write f --max-waiters=0", &["--max-waiters", "from 1", "gtlock try"]);
    for number in ["-1", "some", "1.5", "99999999999"] {
        refuse(&format!("run --write f --max-waiters={number}"), &["--max-waiters", number, "from 1"]);
    }
    refuse("run --write f --max-waiters", &["--max-waiters needs a number"]);
    refuse("run --direct --write f --max-waiters=1", &["--max-waiters", "--direct", "lock file"]);
    refuse("run --write-fd 0 --max-waiters=1", &["--max-waiters", "descriptors", "lock file"]);
    refuse("try --write f --max-waiters=1", &["'--max-waiters'", "gtlock try never waits"]);
}

#[test]
fn names_that_are_none() {
    let (dir, _) = data();
    for name in ["/", ".", "..", "./", "../..", "missing/.."] {
        unlockable(dir.path(), name, &[&format!(" {name}: is not the name of a file; name the data file")]);
    }
    refused(dir.path(), ["run", "--write", "", "--", "touch", "ran"], &["--write needs a file"]);
    refused(dir.path(), ["try", "--read="], &["--read needs a file"]);
    refused(dir.path(), ["try", "--write", "x", "--lock-dir", ""], &["--lock-dir needs a directory"]);
    refused(dir.path(), ["status", ""], &["PATH"]);
    refused(dir.path(), ["clean", ""], &["DIR"]);
}

#[test]
fn directories_that_are_missing_or_none() {
    let (dir, _) = data();
    unlockable(
        dir.path(),
        "missing/x",
        &["missing/x: its directory missing does not exist; create it first"],
    );
    unlockable(dir.path(), "a/b/c/x", &["a/b/c/x: its directory a/b/c does not exist; create it first"]);
    fs::write(dir.path().join("file"), "content").expect("it can be written");
    unlockable(dir.path(), "file/x", &["file/x: file is not a directory"]);
    unlockable(dir.path(), "file/below/x", &["file/below/x: file/below is not a directory"]);
    symlink("missing/target", dir.path().join("link")).expect("it can be made");
    unlockable(dir.path(), "link", &["link: its directory ", "missing does not exist; create it first"]);
    refused(dir.path(), ["status", "missing/x"], &["missing/x: its directory missing does not exist"]);
    let elsewhere = ["try", "--lock-dir=locks", "--write"];
    refused(dir.path(), elsewhere.into_iter().chain(["file/x"]), &["file/x: file is not a directory"]);
}

#[test]
fn symbolic_links_in_a_ring() {
    let (dir, _) = data();
    symlink("b", dir.path().join("a")).expect("it can be made");
    symlink("a", dir.path().join("b")).expect("it can be made");
    unlockable(dir.path(), "a", &[" a: too many symbolic links; name the file"]);
}

#[test]
fn a_lock_directory_that_is_a_file_or_below_one() {
    let (dir, _) = data();
    let file = |path: &str| {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().expect("a directory")).expect("it can be made");
        fs::write(path, "content").expect("it can be written");
    };
    file("a/.gastown");
    file("b/.gastown/locks");
    file("c");
    let remedy = "is not a directory; move it away, or choose another --lock-dir";
    unlockable(dir.path(), "a/x", &[&format!("a/.gastown: {remedy}")]);
    unlockable(dir.path(), "b/x", &[&format!("b/.gastown/locks: {remedy}")]);
    for locks in ["c", "c/below"] {
        refused(dir.path(), ["try", "--lock-dir", locks, "--write", "x"], &[&format!("c: {remedy}")]);
    }
    refused(dir.path(), ["status", "a/x"], &["a/.gastown: is not a directory"]);
    refused(dir.path(), ["status", "b/.gastown/locks"], &["b/.gastown/locks: Not a directory"]);
}

#[test]
fn a_lock_file_named_as_data() {
    let (dir, data) = data();
    assert_free(&data);
    let said = "is inside a lock directory; name the data file that it guards";
    for name in [".gastown/locks/state.json.lock", ".gastown/locks/new", ".gastown/../.gastown/locks/x"] {
        unlockable(dir.path(), name, &[name, said]);
    }
    fs::create_dir(dir.path().join("run")).expect("it can be made");
    fs::write(dir.path().join("run/state.json.lock"), "").expect("it can be written");
    refused(dir.path(), ["try", "--lock-dir=run", "--write", "run/state.json.lock"], &[said]);
}

#[test]
fn a_lock_file_named_as_data_before_its_directory_is_there() {
    let (dir, _) = data();
    let said = "is inside a lock directory; name the data file that it guards";
    unlockable(dir.path(), ".gastown/locks/state.json.lock", &[said]);
    unlockable(dir.path(), "below/.gastown/locks/state.json.lock", &[said]);
    refused(dir.path(), ["try", "--lock-dir=run", "--write", "run/state.json.lock"], &[said]);
    let missing = ["its directory run does not exist; create it first"];
    refused(dir.path(), ["try", "--lock-dir=run", "--write", "run/state.json"], &missing);
    let missing = ["its directory .gastown/locks does not exist; create it first"];
    refused(dir.path(), ["try", "--direct", "--write", ".gastown/locks/state.json.lock"], &missing);
}

#[test]
#[cfg(target_os = "linux")]
fn a_file_system_of_the_kernels_own() {
    let (dir, _) = data();
    let said = |kernels: &str| {
        format!(
            "cannot be created: the kernel allows no new files in {kernels}; keep the locks elsewhere with --lock-dir"
        )
    };
    for kernels in ["/proc", "/proc/1", "/proc/self/fd", "/sys", "/sys/kernel"] {
        let file = format!("{kernels}/x");
        let beside = format!(" {kernels}/.gastown: {}", said(kernels));
        refused(dir.path(), ["run", "--write", &file, "--", "touch", "ran"], &[&beside]);
        refused(dir.path(), ["try", "--read", &file], &[&beside]);
        refused(dir.path(), ["try", "--direct", "--write", &file], &[&said(kernels)]);
        let locks = format!("{file}/locks");
        refused(dir.path(), ["try", "--write", "state.json", "--lock-dir", &locks], &[&said(kernels)]);
    }
    let mut request = gtlock();
    request.args(["run", "--lock-dir", "locks", "--write", "/proc/version", "--", "echo", "ran"]);
    request.current_dir(dir.path()).assert().success().stdout("ran\n").stderr("");
    let mut request = gtlock();
    request.args(["run", "--direct", "--write", "/proc/version", "--", "echo", "ran"]);
    request.assert().success().stdout("ran\n").stderr("");
}

#[test]
fn a_device_or_a_fifo_is_data_like_any_other_but_no_place_for_locks() {
    let (dir, _) = data();
    assert!(Command::new("mkfifo").arg(dir.path().join("fifo")).status().expect("it runs").success());
    for arguments in [
        &["--write", "fifo"][..],
        &["--direct", "--write", "fifo"],
        &["--lock-dir=locks", "--write", "/dev/null"],
        &["--direct", "--write", "/dev/null"],
    ] {
        let mut request = gtlock();
        request.arg("run").args(arguments).args(["--", "echo", "ran"]).current_dir(dir.path());
        request.assert().success().stdout("ran\n").stderr("");
    }
    refused(
        dir.path(),
        ["try", "--lock-dir=/dev/null", "--write", "x"],
        &["/dev/null: is not a directory; choose another --lock-dir"],
    );
    refused(
        dir.path(),
        ["update", "fifo", "--", "cat"],
        &["fifo: is a FIFO; only a regular file can be replaced"],
    );
}

#[test]
fn something_else_in_the_place_of_a_lock_file() {
    let (dir, data) = data();
    let locks = lock_file(&data).parent().expect("a directory").to_owned();
    fs::create_dir_all(&locks).expect("it can be made");
    let at = |name: &str| locks.join(format!("{name}.lock"));
    fs::create_dir(at("directory")).expect("it can be made");
    assert!(Command::new("mkfifo").arg(at("fifo")).status().expect("it runs").success());
    let _socket = UnixListener::bind(at("socket")).expect("it can be made");
    fs::write(locks.join("target"), "").expect("it can be written");
    symlink("target", at("link")).expect("it can be made");
    symlink("nowhere", at("dangling")).expect("it can be made");
    symlink("/dev/null", at("to a device")).expect("it can be made");
    fs::write(at("foreign"), "precious content\n").expect("it can be written");
    fs::write(at("nearly"), "123\n-4\n").expect("it can be written");
    fs::write(at("long"), "1\n".repeat(4096 / 2 + 1)).expect("it can be written");
    fs::File::create(at("huge")).and_then(|file| file.set_len(1 << 40)).expect("it can be sparse");

    let remedy = "move it away, or choose another --lock-dir";
    let mut found = vec![
        ("directory", "is not a lock file but a directory"),
        ("fifo", "is not a lock file but a FIFO"),
        ("socket", "is not a lock file but a socket"),
        ("link", "is not a lock file but a symbolic link"),
        ("dangling", "is not a lock file but a symbolic link"),
        ("to a device", "is not a lock file but a symbolic link"),
        ("foreign", "is not a lock file: it has other content"),
        ("nearly", "is not a lock file: it has other content"),
        ("long", "is not a lock file: it has other content"),
        ("huge", "is not a lock file: it has other content"),
    ];
    match Command::new("mknod").arg(at("device")).args(["c", "1", "3"]).output() {
        Ok(made) if made.status.success() => found.push(("device", "is not a lock file but a device")),
        _ => crate::common::skip("a device in the place of a lock file", "mknod is not allowed"),
    }
    for (name, what) in found {
        let words = [&format!(".gastown/locks/{name}.lock: {what}"), remedy];
        for arguments in [&["run", "--timeout=-1", "--write"][..], &["run", "--read"], &["try", "--write"]] {
            refused(dir.path(), arguments.iter().copied().chain([name, "--", "touch", "ran"]), &words);
        }
        refused(dir.path(), ["status", name], &words);
    }
}

#[test]
fn other_content_is_found_also_while_somebody_holds_the_file() {
    let (dir, data) = data();
    assert_free(&data);
    let lock = fs::File::options().read(true).write(true).open(lock_file(&data)).expect("it is there");
    #[expect(clippy::disallowed_methods, reason = "a holder that is not gtlock")]
    lock.lock().expect("it can be locked");
    fs::write(lock_file(&data), "precious content\n").expect("it can be written");
    for arguments in [&["run", "--write"][..], &["run", "--timeout=0.1", "--read"], &["try", "--write"]] {
        let arguments = arguments.iter().copied().chain(["state.json", "--", "touch", "ran"]);
        refused(
            dir.path(),
            arguments,
            &["state.json.lock: is not a lock file: it has other content; move it away"],
        );
    }
}

#[test]
fn names_too_long_and_just_short_enough() {
    let (dir, _) = data();
    let fits = "n".repeat(250);
    assert_free(&dir.path().join(&fits));
    assert!(dir.path().join(format!(".gastown/locks/{fits}.lock")).exists());
    for too_long in ["n".repeat(251), "é".repeat(126), "n".repeat(5000)] {
        let words = [": name too long: ", "exceeds 255 bytes; use a shorter one"];
        unlockable(dir.path(), &too_long, &words);
    }
}

#[test]
fn a_directory_that_may_not_be_searched_or_written() {
    let (dir, data) = data();
    fs::create_dir(dir.path().join("closed")).expect("it can be made");
    let chmod =
        |path: &Path, mode| fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("it is ours");
    chmod(dir.path(), 0o555);
    chmod(&dir.path().join("closed"), 0o000);
    let gtlock = assert_cmd::cargo::cargo_bin!("gtlock");
    let names = || fs::read_dir(dir.path()).expect("a directory").count();
    let before = names();
    let closed = dir.path().join("closed/below/x");
    for (file, at_fault) in [(&closed, "closed/below"), (&data, ".gastown")] {
        let Some(gtlock) = crate::common::unprivileged(gtlock, "a directory that may not be used") else {
            break;
        };
        let said = predicate::str::contains(format!("{at_fault}: Permission denied"))
            .or(predicate::str::contains(format!(
                "{at_fault}: cannot be created: the directory belongs to user 0"
            )))
            .and(predicate::str::contains("\n").count(1));
        let mut request = to_its_end(gtlock);
        request.args(["run", "--write"]).arg(file).args(["--", "echo", "ran"]);
        request.assert().code(125).stdout("").stderr(said);
    }
    assert_eq!(names(), before, "nothing was created");
    chmod(dir.path(), 0o755);
    chmod(&dir.path().join("closed"), 0o755);
}

#[test]
fn a_file_named_twice_is_locked_once() {
    let (_dir, data) = data();
    for [first, second] in [["--write", "--write"], ["--read", "--read"], ["--read", "--write"]] {
        let mut request = gtlock();
        request.args(["run", first]).arg(&data).arg(second).arg(&data).args(["--", "echo", "ran"]);
        request.assert().success().stdout("ran\n").stderr("");
    }
}

#[test]
fn commands_that_cannot_be_run_get_126_and_127_and_release_the_lock() {
    let (dir, data) = data();
    let script = dir.path().join("script");
    fs::write(&script, "echo ran").expect("it can be written");
    for (command, code, said) in [
        ("nonsense-that-does-not-exist", 127, "nonsense-that-does-not-exist: command not found"),
        ("./nonsense", 127, "./nonsense: command not found"),
        ("./script", 126, "./script: cannot be run: Permission denied"),
        ("./.gastown", 126, "./.gastown: cannot be run: it is a directory"),
    ] {
        let mut request = gtlock();
        request.args(["run", "--write"]).arg(&data).args(["--", command]).current_dir(dir.path());
        let said = predicate::str::starts_with(format!("gtlock: {said}"));
        request.assert().code(code).stdout("").stderr(said.and(predicate::str::contains("\n").count(1)));
        assert_free(&data);
    }
}

#[test]
fn help_and_version_go_to_standard_output() {
    for arguments in [&["--help"][..], &["-h"], &["help"], &["run", "--help"], &["help", "clean"]] {
        let help = predicate::str::contains("Usage: gtlock");
        gtlock().args(arguments).assert().success().stdout(help).stderr("");
    }
    let version = concat!("gtlock ", env!("CARGO_PKG_VERSION"), "\n");
    for option in ["--version", "-V"] {
        gtlock().arg(option).assert().success().stdout(version).stderr("");
    }
}

#[test]
fn a_lock_directory_that_is_a_link_to_nothing() {
    let says = ["is a symbolic link that leads nowhere; remove it, or choose another --lock-dir"];
    for (above, link) in [(".", ".gastown"), (".gastown", ".gastown/locks")] {
        let (dir, _) = data();
        fs::create_dir_all(dir.path().join(above)).expect("it can be made");
        symlink("nowhere", dir.path().join(link)).expect("it can be made");
        unlockable(dir.path(), "state.json", &says);
        refused(dir.path(), ["run", "--lock-dir", link, "--write", "state.json", "--", "true"], &says);
    }
}

//! What flock(1) is tested with (util-linux's suite and its man page) passes on gtlock, through an adapter from
//! its command line; and does the same on flock(1) itself, where there is one.
use crate::common::process;

/// Each scenario is a shell script in a fresh directory, with `$flock` to be tested. What it prints must be
/// what is given here, and what flock(1) makes it print.
const SCENARIOS: &[(&str, &str, &str)] = &[
    (
        "a command gets the lock and its exit code is passed on",
        "$flock f sh -c 'echo in; exit 7'; echo $?",
        "in\n7\n",
    ),
    ("a shell command", "$flock f -c 'echo \"a b\"'", "a b\n"),
    ("spaces in the name", "$flock 'a file' true; echo $?; ls", "0\na file\n"),
    ("an exclusive lock excludes an exclusive one", "$flock f $flock -n f true; echo $?", "1\n"),
    ("an exclusive lock excludes a shared one", "$flock f $flock -s -n f true; echo $?", "1\n"),
    ("a shared lock excludes an exclusive one", "$flock -s f $flock -n f true; echo $?", "1\n"),
    ("a shared lock is shared", "$flock -s f $flock -s -n f true; echo $?", "0\n"),
    ("the conflict exit code", "$flock f $flock -E 123 -n f true; echo $?", "123\n"),
    ("the conflict exit code 0", "$flock f $flock -E 0 -n f true; echo $?", "0\n"),
    ("the conflict exit code 255", "$flock f $flock -E 255 -n f true; echo $?", "255\n"),
    ("a timeout that passes", "exec 9>f; $flock 9; $flock -w 1 f true 9>&-; echo $?", "1\n"),
    ("a timeout with a fraction", "exec 9>f; $flock 9; $flock -w 0.05 f true 9>&-; echo $?", "1\n"),
    ("a timeout of 0 does not wait", "$flock f $flock -w 0 f true; echo $?", "1\n"),
    ("a timeout that is not needed", "$flock -w 30 f echo in; echo $?", "in\n0\n"),
    ("a directory", "mkdir d; $flock d echo in; $flock d $flock -n d true; echo $?; ls -A d", "in\n1\n"),
    ("the current directory", "$flock . echo in; ls -A", "in\n"),
    ("a read-only file", "echo kept > f; chmod 400 f; $flock f echo in; cat f", "in\nkept\n"),
    ("a write-only file", "touch f; chmod 200 f; $flock f echo in", "in\n"),
    ("a file keeps its content", "echo kept > f; $flock f true; cat f", "kept\n"),
    ("a file is created", "$flock new true; ls", "new\n"),
    ("a descriptor", "exec 9>f; $flock -n 9; echo $?; $flock -n f true; echo $?", "0\n1\n"),
    (
        "a descriptor's lock ends with the block",
        "( $flock -n 9 || exit 5; echo in ) 9>f; $flock -n f echo again",
        "in\nagain\n",
    ),
    (
        "a descriptor is unlocked",
        "exec 9>f; $flock 9; $flock -u 9; echo $?; $flock -n f echo again",
        "0\nagain\n",
    ),
    (
        "a descriptor is converted to shared",
        "exec 9>f; $flock 9; $flock -s 9; $flock -s -n f echo shared; $flock -n f true; echo $?",
        "shared\n1\n",
    ),
    (
        "a descriptor is converted to exclusive",
        "exec 9>f; $flock -s 9; $flock 9; $flock -s -n f true; echo $?",
        "1\n",
    ),
    (
        "a descriptor that others hold",
        "exec 9>f 8>f; $flock 9; $flock -n 8; echo $?; $flock -w 0.05 8 9>&-; echo $?",
        "1\n1\n",
    ),
    (
        "a descriptor is waited for",
        "exec 9>f; $flock 9; sh -c 'exec 8>f 9>&-; $flock -w 30 8; echo got' & sleep 0.1; $flock -u 9; wait; echo end",
        "got\nend\n",
    ),
    (
        "a descriptor opened for reading",
        "echo x > f; exec 9<f; $flock -n 9; $flock -n f true; echo $?",
        "1\n",
    ),
    (
        "with --close the command has no descriptor",
        "$flock -o f sh -c 'ls -l /proc/self/fd | grep -c /f$'; true",
        "0\n",
    ),
    (
        "with --no-fork it is the same process",
        "sh -c 'echo $$; exec $flock -F f sh -c \"echo \\$\\$\"' > pids; uniq pids | wc -l",
        "1\n",
    ),
    (
        "with --no-fork the lock lasts until its inheritors end",
        "$flock -F f sh -c 'sleep 30 >&- 2>&- & echo $!' > pid; $flock -n f true; echo $?; kill \"$(cat pid)\"",
        "1\n",
    ),
    (
        "the script that locks itself",
        "printf '%s\\n' '#!/bin/sh' '[ \"${LOCKED-}\" = \"$0\" ] || LOCKED=$0 exec $flock -n \"$0\" \"$0\" \"$@\"' 'echo \"in $1\"' > self; chmod +x self; ./self one",
        "in one\n",
    ),
];

fn check(flock: &str) {
    for (name, script, expected) in SCENARIOS {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut shell = process("sh");
        shell.args(["-c", script]).current_dir(&dir).env("SHELL", "/bin/sh").env("flock", flock);
        let output = crate::common::to_its_end(shell).output().expect("sh runs");
        let printed = String::from_utf8_lossy(&output.stdout);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(printed, *expected, "{name}: {script}\n{said}");
    }
}

#[test]
fn what_passes_on_flock_passes_on_gtlock() {
    check(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/all/flock/flock.sh"));
}

#[test]
fn the_scenarios_are_true_of_flock_itself() {
    match process("flock").arg("--version").output() {
        Ok(version) if String::from_utf8_lossy(&version.stdout).contains("util-linux") => check("flock"),
        _ => crate::common::skip("the scenarios on flock(1)", "there is none of util-linux"),
    }
}

//! Commands that cannot be run: 126 or 127, the lock is released, and one line with what to type instead.
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use crate::common::{assert_free, data, gtlock, process, to_its_end};

fn refused_command(dir: &Path, code: i32, typed: &str, said: &str) {
    let mut shell = process("sh");
    shell.args(["-c", &format!("gtlock run --write state.json -- {typed}")]).current_dir(dir);
    to_its_end(shell).assert().code(code).stdout("").stderr(format!("gtlock: {said}\n"));
    assert_free(&dir.join("state.json"));
}

#[test]
fn what_a_shell_does_by_itself_is_given_to_a_shell() {
    let (dir, _) = data();
    fs::write(dir.path().join("plain.sh"), "").expect("it can be written");
    for (typed, said) in [
        ("cd d", "cd: command not found; it is the shell's own: use -- sh -c 'cd d && ...'"),
        ("export X=1", "export: command not found; it is the shell's own: use -- sh -c 'export X=1 && ...'"),
        (
            "source env",
            "source: command not found; it is the shell's own: use -- bash -c 'source env && ...'",
        ),
        (". ./env", ".: command not found; it is the shell's own: use -- sh -c '. ./env && ...'"),
        ("exit 3", "exit: command not found; it is the shell's own: use -- sh -c 'exit 3'"),
        ("'cd d'", "cd d: command not found; a command line in one word needs a shell: -- sh -c 'cd d'"),
        ("if true", "if: command not found; it is the shell's own: use -- sh -c 'if true; ...'"),
        ("for x in 1 2", "for: command not found; it is the shell's own: use -- sh -c 'for x in 1 2; ...'"),
        ("while true", "while: command not found; it is the shell's own: use -- sh -c 'while true; ...'"),
        ("case x in", "case: command not found; it is the shell's own: use -- sh -c 'case x in ...'"),
        ("{ echo", "{: command not found; it is the shell's own: use -- sh -c '{ echo; ...'"),
        ("! true", "!: command not found; it is the shell's own: use -- sh -c '! true'"),
        ("function f", "function: command not found; it is the shell's own: use -- bash -c 'function f ...'"),
        (
            "[[ 'x y' == x* ]]",
            r"[[: command not found; it is the shell's own: use -- bash -c '[[ '\''x y'\'' == x* ]]'",
        ),
        (
            "fi",
            "fi: command not found; it is a part of the shell's syntax: give all of it to a shell, -- sh -c '...'",
        ),
        ("'$CMD'", "$CMD: command not found; a shell replaces $ only outside of single quotes"),
        ("'$HOME/x'", "$HOME/x: command not found; a shell replaces $ only outside of single quotes"),
        ("X='a b' true", "X=a b: command not found; to set a variable use -- env 'X=a b' true"),
        ("X=1 true", "X=1: command not found; to set a variable use -- env X=1 true"),
        (
            "'echo hi'",
            "echo hi: command not found; give the words separately, -- echo hi, or use a shell, -- sh -c 'echo hi'",
        ),
        (
            "'cat ./x y' z",
            "cat ./x y: command not found; give the words separately, -- cat ./x y z, or use a shell, -- sh -c 'cat ./x y'",
        ),
        ("'a | b'", "a | b: command not found; a command line in one word needs a shell: -- sh -c 'a | b'"),
        ("'X=1 b'", "X=1 b: command not found; a command line in one word needs a shell: -- sh -c 'X=1 b'"),
        (
            "./plain.sh' x'",
            "./plain.sh x: command not found; give the words separately, -- ./plain.sh x, or use a shell, -- sh -c './plain.sh x'",
        ),
        ("'~/x.sh'", "~/x.sh: command not found; a shell replaces ~ only outside of quotes"),
    ] {
        refused_command(dir.path(), 127, typed, said);
    }
}

#[test]
fn the_shells_own_time_needs_bash() {
    let (dir, _) = data();
    let mut request = gtlock();
    request
        .args(["run", "--write", "state.json", "--", "time", "ls"])
        .current_dir(dir.path())
        .env("PATH", "");
    let said = "gtlock: time: command not found; it is the shell's own: use -- bash -c 'time ls'\n";
    request.assert().code(127).stdout("").stderr(said);
}

#[test]
fn what_is_no_program_gets_its_remedy() {
    let (dir, _) = data();
    let here = fs::canonicalize(dir.path()).expect("it is there");
    let script = |name: &str, content: &str, mode: u32| {
        let path = dir.path().join(name);
        fs::write(&path, content).expect("it can be written");
        fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("it is ours");
    };
    script("plain.sh", "echo ran", 0o644);
    script("plain.py", "print()", 0o644);
    script("perl", "#!/usr/bin/perl -w\n", 0o644);
    script("bad", "#!/nonsense/sh\n", 0o755);
    script("dos", "#!/bin/sh\r\n", 0o755);
    symlink("nowhere", dir.path().join("dangling")).expect("it can be made");
    fs::create_dir(dir.path().join("dir")).expect("it can be made");
    let missing = format!("command not found; there is no such file in {}", here.display());
    for (code, typed, said) in [
        (127, ".", ".: command not found; it is a directory: name a program"),
        (126, "./dir", "./dir: cannot be run: it is a directory; name a program"),
        (127, "ll", "ll: command not found in PATH; an alias or a function of your shell is not a command"),
        (127, "''", "'': command not found; it is an empty word: is a variable unset?"),
        (127, "-x", "-x: command not found; gtlock's own options go before the --"),
        (127, "plain.sh a", "plain.sh: command not found; for the one in this directory use -- ./plain.sh a"),
        (127, "./x.sh", &format!("./x.sh: {missing}")),
        (127, "'./no such'", &format!("./no such: {missing}")),
        (127, "/nonsense/x.sh", "/nonsense/x.sh: command not found; there is no such file"),
        (127, "./dangling", "./dangling: command not found; it is a symbolic link that leads nowhere"),
        (127, "./bad", "./bad: cannot be run: its interpreter was not found: /nonsense/sh"),
        (
            127,
            "./dos",
            "./dos: cannot be run: its interpreter was not found; its first line ends in a carriage return, as on Windows: remove the carriage returns",
        ),
    ] {
        refused_command(dir.path(), code, typed, said);
    }
    for (typed, remedy) in [
        ("./plain.sh", "chmod +x ./plain.sh, or run it as -- sh ./plain.sh"),
        ("./plain.py", "chmod +x ./plain.py, or run it as -- python3 ./plain.py"),
        ("./perl", "chmod +x ./perl, or run it as -- /usr/bin/perl ./perl"),
    ] {
        let said =
            format!("{typed}: cannot be run: Permission denied (os error 13); make it executable, {remedy}");
        refused_command(dir.path(), 126, typed, &said);
    }
}

//! Slips: what people type who know flock(1), another tool, or half of gtlock. Each gets one line with what to
//! type, and the help to see.
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::common::{assert_free, data, gtlock, process, snapshot, to_its_end};
use predicates::prelude::*;

/// A command line as typed in a shell, refused with this line and 125, with nothing changed.
fn refused(dir: &Path, typed: &str, said: &str) {
    let before = snapshot(dir);
    let mut shell = process("sh");
    shell.args(["-c", typed]).current_dir(dir);
    to_its_end(shell).assert().code(125).stdout("").stderr(format!("gtlock: {said}\n"));
    assert_eq!(snapshot(dir), before, "{typed}");
}

/// A command line that is refused with another one to use instead, which can be typed as it stands.
fn corrected(dir: &Path, typed: &str, instead: &str) {
    let mut shell = process("sh");
    shell.args(["-c", typed]).current_dir(dir);
    let assert = to_its_end(shell).assert().code(125).stdout("");
    let said = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
    let subcommand = instead.split_whitespace().nth(1).expect("a subcommand");
    let end = format!("; use {instead} (see gtlock {subcommand} --help)\n");
    assert!(said.starts_with("gtlock: ") && said.ends_with(&end), "{typed}: {said}not {end}");
    let mut shell = process("sh");
    shell.args(["-c", &instead.replace("COMMAND", "true")]).current_dir(dir);
    let code = to_its_end(shell).output().expect("sh runs").status.code();
    assert!(code.is_some_and(|code| code != 125), "{instead}: {code:?}");
}

#[test]
fn the_forms_of_flock_are_answered_with_the_whole_command() {
    let (dir, _) = data();
    fs::create_dir(dir.path().join("dir")).expect("it can be made");
    for (typed, instead) in [
        ("state.json echo hi", "run --write state.json -- echo hi"),
        ("state.json grep -v -- x", "run --write state.json -- grep -v -- x"),
        ("-n state.json true", "try --write state.json -- true"),
        ("--nb state.json true", "try --write state.json -- true"),
        ("--nonblocking state.json true", "try --write state.json -- true"),
        ("-x state.json true", "run --write state.json -- true"),
        ("-s state.json true", "run --read state.json -- true"),
        ("--shared --nonblock state.json true", "try --read state.json -- true"),
        ("-w 5 state.json true", "run --timeout 5 --write state.json -- true"),
        ("-w 0 state.json true", "try --write state.json -- true"),
        ("--wait 5 state.json true", "run --timeout 5 --write state.json -- true"),
        ("--timeout=2.5 state.json true", "run --timeout 2.5 --write state.json -- true"),
        ("-E 9 -o --verbose state.json true", "run -E 9 -o -v --write state.json -- true"),
        ("-F state.json true", "run -F --write state.json -- true"),
        ("-ns state.json -c 'echo \"a b\" | cat'", "try --read state.json -- sh -c 'echo \"a b\" | cat'"),
        ("dir ls", "run --direct --write dir -- ls"),
        ("'a file' echo \"it's\" '' '=x'", r"run --write 'a file' -- echo 'it'\''s' '' '=x'"),
        ("state.json", "run --write state.json -- COMMAND"),
        ("--write state.json -- echo hi", "run --write state.json -- echo hi"),
        ("--write=state.json echo hi", "run --write state.json -- echo hi"),
        ("-q run --write state.json -- true", "run -q --write state.json -- true"),
    ] {
        corrected(dir.path(), &format!("gtlock {typed}"), &format!("gtlock {instead}"));
    }
    for (typed, instead) in [
        ("gtlock 9 9>lock", "gtlock run --write-fd 9"),
        ("gtlock -n 9 9>lock", "gtlock try --write-fd 9"),
        ("gtlock -s -w 3 9 9>lock", "gtlock run --timeout 3 --read-fd 9"),
        ("gtlock -u 9 9>lock", "gtlock run --unlock-fd 9"),
    ] {
        let mut shell = process("sh");
        shell.args(["-c", typed]).current_dir(dir.path());
        let said = predicate::str::contains(format!("; use {instead} (see gtlock "));
        to_its_end(shell).assert().code(125).stdout("").stderr(said);
    }
    let said = "unexpected argument '--fcntl' found; gtlock takes flock(2) locks only; fcntl(2) locks do not exclude \
                them (see gtlock --help)";
    refused(dir.path(), "gtlock --fcntl state.json true", said);
}

#[test]
fn a_command_without_a_file_is_not_taken_for_one() {
    let (dir, _) = data();
    for (typed, instead) in [
        ("run -- echo hi", "run --write FILE -- echo hi"),
        ("run echo hi", "run --write FILE -- echo hi"),
        ("try -- sh -c true", "try --write FILE -- sh -c true"),
        ("echo hi", "run --write FILE -- echo hi"),
    ] {
        corrected(dir.path(), &format!("gtlock {typed}"), &format!("gtlock {instead}"));
    }
    fs::write(dir.path().join("echo"), "").expect("it can be written");
    corrected(dir.path(), "gtlock run echo ls", "gtlock run --write echo -- ls");
}

#[test]
fn words_in_the_wrong_place_are_put_right() {
    let (dir, _) = data();
    for (typed, instead) in [
        ("run state.json echo hi", "run --write state.json -- echo hi"),
        ("run state.json -- echo hi", "run --write state.json -- echo hi"),
        ("run state.json --timeout 5 -- true", "run --timeout 5 --write state.json -- true"),
        ("run a b -- true", "run --write a --write b -- true"),
        ("run --read a b -- true", "run --read a --read b -- true"),
        ("run --write state.json echo -n hi", "run --write state.json -- echo -n hi"),
        ("run -n --write state.json -- true", "try --write state.json -- true"),
        (
            "run -w 5 --max-hold 1m --read a --write b -q --kill-after 2s true",
            "run --timeout 5 --max-hold 1m --read a --write b -q --kill-after 2s -- true",
        ),
        ("run -w 5 --write state.json -- true", "run --timeout 5 --write state.json -- true"),
        ("run --write state.json -c 'echo hi'", "run --write state.json -- sh -c 'echo hi'"),
        ("run --write state.json", "run --write state.json -- COMMAND"),
        ("run --write state.json --", "run --write state.json -- COMMAND"),
        ("run -write state.json -- grep -rn x", "run --write state.json -- grep -rn x"),
        ("RUN --write state.json -- true", "run --write state.json -- true"),
        ("try state.json", "try --write state.json"),
        ("try --timeout 5 --write state.json -- true", "run --timeout 5 --write state.json -- true"),
        ("try --wait=5 --read state.json -- true", "run --timeout 5 --read state.json -- true"),
        (
            "run --timeout 5 min --write state.json -- true",
            "run --timeout '5 min' --write state.json -- true",
        ),
        ("run --timeout 1h 2m 3s --read a -- true", "run --timeout '1h 2m 3s' --read a -- true"),
        ("--json", "status --json"),
    ] {
        corrected(dir.path(), &format!("gtlock {typed}"), &format!("gtlock {instead}"));
    }
}

#[test]
fn other_tools_names_of_subcommands_are_known() {
    let (dir, _) = data();
    for (typed, instead) in [
        ("ls", "status"),
        ("ps", "status"),
        ("list --json", "status --json"),
        ("exec --write state.json -- true", "run --write state.json -- true"),
        ("lock state.json", "run --write state.json -- COMMAND"),
        ("flock -n state.json true", "try --write state.json -- true"),
        ("read state.json -- true", "run --read state.json -- true"),
        ("write state.json true", "run --write state.json -- true"),
        ("edit state.json -- jq .", "update state.json -- jq ."),
        ("edit state.json jq .", "update state.json -- jq ."),
        ("update -q state.json jq -c .", "update -q state.json -- jq -c ."),
        ("prune", "clean"),
        ("gc -R .", "clean -R ."),
        ("stats state.json", "status state.json"),
        ("runn --write state.json -- true", "run --write state.json -- true"),
    ] {
        corrected(dir.path(), &format!("gtlock {typed}"), &format!("gtlock {instead}"));
    }
    for (typed, said) in [
        ("timeline", "'timeline'; use gtlock report (see gtlock report --help)"),
        ("history a.log b.log", "'history'; use gtlock report a.log b.log (see gtlock report --help)"),
        ("sponge state.json", "'sponge'; use gtlock update (see gtlock update --help)"),
        ("exec", "'exec'; use gtlock run (see gtlock run --help)"),
        (
            "unlock state.json",
            "'unlock'; a lock ends with its command; gtlock run --unlock-fd N unlocks a descriptor (see gtlock --help)",
        ),
        (
            "wait",
            "'wait'; gtlock run waits; gtlock run --write FILE -- true returns once nobody holds FILE (see gtlock --help)",
        ),
        ("version", "'version'; use gtlock --version (see gtlock --help)"),
        (
            "completions zsh",
            "'completions'; completions and man pages are files of the package, in completions/ and man/ of the source (see gtlock --help)",
        ),
        ("mutex state", "'mutex'; use gtlock run --write mutex -- state (see gtlock run --help)"),
        ("nonsense", "'nonsense'; use run, try, update, status, clean or report (see gtlock --help)"),
        ("help nonsense", "'nonsense' (see gtlock --help)"),
    ] {
        refused(dir.path(), &format!("gtlock {typed}"), &format!("unrecognized subcommand {said}"));
    }
}

#[test]
fn a_file_to_be_removed_is_answered_with_the_directory_of_its_lock() {
    let (dir, _) = data();
    fs::create_dir_all(dir.path().join("below/.gastown/locks")).expect("it can be made");
    for (typed, instead) in [
        ("rm state.json", "clean .gastown/locks"),
        ("delete below/x below/y", "clean below/.gastown/locks"),
        ("prune below", "clean below/.gastown/locks"),
        ("rm --dry-run below/.gastown/locks/x.lock", "clean --dry-run below/.gastown/locks"),
        ("rm -R below", "clean -R below"),
        ("remove --lock-dir locks", "clean --lock-dir locks"),
    ] {
        corrected(dir.path(), &format!("gtlock {typed}"), &format!("gtlock {instead}"));
    }
    fs::write(dir.path().join("below/x"), "").expect("it can be written");
    let said = "below/x: is not a directory named .gastown/locks; use below/.gastown/locks, or --lock-dir DIR for one of another \
                name\n";
    refused_to_look(dir.path(), &["clean", "below/x"], said);
}

#[test]
fn each_option_says_what_it_needs() {
    let (dir, _) = data();
    for (typed, said) in [
        ("run --timeout --write F -- x", "--timeout needs a time, such as 5s"),
        ("run --timeout -q --write F -- x", "--timeout needs a time, such as 5s"),
        ("run --write F --timeout", "--timeout needs a time, such as 5s"),
        ("run --write -- x", "--write needs a file, such as state.json"),
        ("run --write F --lock-dir -- x", "--lock-dir needs a directory, such as locks"),
        ("run --write-fd", "--write-fd needs the number of an open descriptor, such as 9"),
        ("run --log --write F -- x", "--log needs a file, such as locks.log"),
        ("run --kill-after 1 --write F -- x", "--kill-after needs --max-hold TIME: it counts from there"),
        ("run --write F --- x", "unexpected argument '---' found; the command goes after --"),
        ("run --write F -E -- x", "--conflict-exit-code needs an exit status, such as 0"),
        ("run --max-hold 1m --write-fd 1", "--max-hold needs a command to end; name it after --"),
        ("run --slot 4 --read F -- x", "unexpected argument '--slot' found; there is --slots"),
        (
            "run -w F -- x",
            "unexpected argument '-w' found; use gtlock run --timeout TIME, which waits no longer than that; a file to \
             write goes after --write",
        ),
        ("run --lock F -- x", "unexpected argument '--lock' found; a file goes after --write or --read"),
        (
            "run --lease 5 --write F -- x",
            "unexpected argument '--lease' found; use --max-hold TIME, which ends a command that holds its locks for longer",
        ),
        (
            "run --ttl 5 --write F -- x",
            "--ttl and --grace are for --at URL; --max-hold TIME ends a command that holds its locks for longer",
        ),
        ("run --name me --write F -- x", "unexpected argument '--name' found; use --label TEXT"),
        ("run -C d --write F -- x", "unexpected argument '-C' found; use -- sh -c 'cd DIR && COMMAND'"),
        ("run -V", "unexpected argument '-V' found; use gtlock --version"),
        ("run --fd 9", "unexpected argument '--fd' found; use --write-fd N or --read-fd N"),
        ("run --quiet=yes --write F -- x", "--quiet takes no value"),
        ("run --unlock-fd 9 -- x", "the argument '--unlock-fd <N>' cannot be used with a command"),
    ] {
        refused(dir.path(), &format!("gtlock {typed}"), &format!("{said} (see gtlock run --help)"));
    }
    let said = "--direct needs a file or directory, as in gtlock status --direct state.json (see gtlock status --help)";
    refused(dir.path(), "gtlock status --direct", said);
    let said = "--max-hold needs a command to end; name it after -- (see gtlock try --help)";
    refused(dir.path(), "gtlock try --max-hold 1s --write F", said);
    for (typed, said) in [
        ("update", "no file named; use gtlock update FILE -- FILTER"),
        ("update F", "no filter to run; name it after --, as in gtlock update FILE -- jq ."),
        (
            "update F G -- cat",
            "unexpected argument 'G' found; update rewrites one file; the filter goes after --",
        ),
    ] {
        refused(dir.path(), &format!("gtlock {typed}"), &format!("{said} (see gtlock update --help)"));
    }
    for (typed, said) in [
        (
            "status -r",
            "'-r' found; use -R, which finds every .gastown/locks below a directory (see gtlock status",
        ),
        (
            "clean -r",
            "'-r' found; use -R, which finds every .gastown/locks below a directory (see gtlock clean",
        ),
        (
            "clean -f",
            "'-f' found; clean removes only what nobody holds, which needs no option (see gtlock clean",
        ),
        ("status --format json", "'--format' found; use --json (see gtlock status"),
        (
            "report --log a.log",
            "'--log' found; name the log alone, as in gtlock report locks.log (see gtlock report",
        ),
        ("report --csv", "'--csv' found; use --json (see gtlock report"),
        ("update --diff F -- cat", "'--diff' found; use --dry-run (see gtlock update"),
        (
            "status --write F",
            "'--write' found; name the file alone, as in gtlock status FILE (see gtlock status",
        ),
        ("-n", "'-n' found; use gtlock try, which does not wait (see gtlock"),
        (
            "-R",
            "'-R' found; an option goes after its subcommand, as in gtlock run --write FILE -- COMMAND (see gtlock",
        ),
    ] {
        refused(dir.path(), &format!("gtlock {typed}"), &format!("unexpected argument {said} --help)"));
    }
}

#[test]
fn what_a_cluster_does_not_keep_is_refused_before_it_is_asked() {
    let (dir, _) = data();
    let at = "--at etcd://127.0.0.1:1";
    for (typed, said, subcommand) in [
        ("run AT --direct --write F -- x", "--direct is for files of this machine", "run"),
        ("run AT --write-fd 9 -- x", "descriptors lock files of this machine", "run"),
        ("try AT --read-fd 9", "descriptors lock files of this machine", "try"),
        ("run AT --no-fork --write F -- x", "--no-fork does not go with --at URL", "run"),
        ("run AT --slots 2 --read F -- x", "--slots does not go with --at URL", "run"),
        ("run AT --lock-dir d --write F -- x", "--lock-dir is a directory of this machine", "run"),
        ("update AT --lock-dir d F -- x", "--lock-dir is a directory of this machine", "update"),
        ("run AT --retry-delay 1s --write F -- x", "--retry-delay does not go with --at URL", "run"),
        ("update AT --max-waiters 1 F -- x", "--max-waiters does not go with --at URL", "update"),
        ("run AT --grace 8s --write F -- x", "--grace is more than half of --ttl", "run"),
        ("status AT --lock-dir d", "--lock-dir is a directory of this machine", "status"),
        ("status AT -R", "--direct and -R are for files of this machine", "status"),
        ("clean AT -R", "lock files are cleaned on this machine", "clean"),
        ("run AT --ttl 1s --write F -- x", "invalid value '1s' for '--ttl <TIME>': give at least 3s", "run"),
        (
            "run AT --ttl 9999999999 --write F -- x",
            "invalid value '9999999999' for '--ttl <TIME>': give at most 2500000h",
            "run",
        ),
        ("run AT --grace 9999999999999999999 --write F -- x", "--grace is more than half of --ttl", "run"),
        (
            "run --at redis://x --write F -- x",
            "invalid value 'redis://x' for '--at <URL>': give etcd://",
            "run",
        ),
        ("run --at etcd:// --write F -- x", "invalid value 'etcd://' for '--at <URL>': give etcd://", "run"),
    ] {
        let mut shell = process("sh");
        shell.args(["-c", &format!("gtlock {}", typed.replace("AT", at))]).current_dir(dir.path());
        let assert = to_its_end(shell).assert().code(125).stdout("");
        let shown = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
        assert!(shown.starts_with(&format!("gtlock: {said}")), "{typed}: {shown}");
        assert!(shown.ends_with(&format!("(see gtlock {subcommand} --help)\n")), "{typed}: {shown}");
        assert_eq!(shown.lines().count(), 1, "{shown}");
    }
    // For the locks of this machine, whatever the variable names.
    let mut local = gtlock();
    local.env("GTLOCK_AT", "etcd://127.0.0.1:1").current_dir(dir.path());
    local.args(["run", "--at", "local", "--direct", "--write", "F", "--", "echo", "ran"]);
    local.assert().success().stdout("ran\n").stderr("");
}

#[test]
fn each_value_that_is_none_says_what_to_give_instead() {
    let (dir, _) = data();
    for (typed, said) in [
        (
            "run --max-hold x --write F -- x",
            "invalid value 'x' for '--max-hold <TIME>': not a time; give a time like 30s, 5m or 2.5",
        ),
        (
            "run --write F -E x -- x",
            "invalid value 'x' for '--conflict-exit-code <N>': not an exit status; give a number from 0 to 255",
        ),
        (
            "run --write-fd lockfile",
            "invalid value 'lockfile' for '--write-fd <N>': not the number of a descriptor, such as 9 after 9>FILE; a \
             file goes after --write or --read",
        ),
        (
            "run --timeout 1M --write F -- x",
            "invalid value '1M' for '--timeout <TIME>': M would be months, 1m is a minute; give a time like 5s, \
             '1m 30s' or 2.5, 0 to wait for ever, -1 not to wait",
        ),
        (
            "run --timeout 5x --write F -- x",
            "invalid value '5x' for '--timeout <TIME>': no unit is called x; give a time like 5s, '1m 30s' or 2.5, 0 \
             to wait for ever, -1 not to wait",
        ),
        (
            "run --timeout 1:30 --write F -- x",
            "invalid value '1:30' for '--timeout <TIME>': not a time; give a time like 5s, '1m 30s' or 2.5, 0 to wait \
             for ever, -1 not to wait",
        ),
        (
            "run --max-hold -1 --write F -- x",
            "invalid value '-1' for '--max-hold <TIME>': give a time above 0",
        ),
        (
            "run --max-hold 1m --kill-after -1 --write F -- x",
            "invalid value '-1' for '--kill-after <TIME>': not a time; give a time like 10ms or 0.5",
        ),
        (
            r"run --write $(printf '\377') --label $(printf 'a\377') -- x",
            r"--label needs text in UTF-8, which 'a\xff' is not",
        ),
        (
            r"run --timeout=$(printf '\377') --write F -- x",
            r"--timeout needs text in UTF-8, which '--timeout=\xff' is not",
        ),
    ] {
        refused(dir.path(), &format!("gtlock {typed}"), &format!("{said} (see gtlock run --help)"));
    }
}

#[test]
fn an_empty_timeout_in_the_environment_is_none() {
    let (_dir, data) = data();
    let run = |timeout: &str| {
        let mut request = gtlock();
        request
            .env("GTLOCK_TIMEOUT", timeout)
            .args(["run", "--write"])
            .arg(&data)
            .args(["--", "echo", "ran"]);
        request.assert()
    };
    run("").success().stdout("ran\n").stderr("");
    let said = "gtlock: invalid value 'x' in GTLOCK_TIMEOUT; set it to a time like 5s or 2.5, or unset it (see \
                gtlock run --help)\n";
    run("x").code(125).stdout("").stderr(said);
}

#[test]
fn every_help_begins_with_examples_that_work() {
    for subcommand in [&[][..], &["run"], &["try"], &["status"], &["clean"], &["report"]] {
        let (dir, _) = data();
        for script in ["update.sh", "move.sh"] {
            let script = dir.path().join(script);
            fs::write(&script, "#!/bin/sh\n").expect("it can be written");
            fs::set_permissions(script, PermissionsExt::from_mode(0o755)).expect("it is ours");
        }
        fs::write(dir.path().join("state.json"), "{}").expect("it can be written");
        fs::write(dir.path().join("locks.log"), "").expect("it can be written");
        let help = gtlock().args(subcommand).arg("--help").assert().success();
        let help = String::from_utf8_lossy(&help.get_output().stdout).into_owned();
        let (before, after) = help.split_once("\nExamples:\n").expect("there are examples");
        assert!(!before.contains("Usage:"), "{help}");
        let examples: Vec<_> = after.lines().take_while(|line| !line.is_empty()).collect();
        let locks = !["status", "clean", "report"].iter().any(|name| subcommand == [*name]);
        assert!(!locks || examples[0].contains("--write state.json"));
        for example in examples {
            let mut shell = process("sh");
            shell.args(["-c", example]).current_dir(dir.path());
            to_its_end(shell).assert().success().stderr("");
        }
    }
}

#[test]
fn a_file_that_does_not_exist_is_mentioned() {
    let (dir, _) = data();
    fs::write(dir.path().join("state.json"), "{}").expect("it can be written");
    for (name, said) in [
        ("a,b", "; there is no such file (each file needs an option of its own)\n"),
        ("*.json", "; there is no such file (a shell replaces * and ? only outside of quotes)\n"),
        ("typo.json", "; there is no such file\n"),
    ] {
        let mut request = gtlock();
        request.args(["run", "-v", "--write", name, "--", "echo", "ran"]).current_dir(dir.path());
        let start = format!("gtlock: {name}: locked for writing ");
        let said = predicate::str::starts_with(start).and(predicate::str::contains(said));
        request.assert().success().stdout("ran\n").stderr(said);
    }
    let mut request = gtlock();
    request.args(["run", "-v", "--write", "state.json", "--", "true"]).current_dir(dir.path());
    request.assert().success().stderr(predicate::str::contains("no such file").not());

    let status = |name: &str| {
        let mut request = gtlock();
        request.args(["status", name]).current_dir(dir.path());
        request.assert().success()
    };
    status("mistyped.json").stderr("gtlock: mistyped.json: there is no such file, and no lock on it\n");
    status("typo.json").stderr(""); // its lock is there by now
    status("state.json").stderr("");
    refused_to_look(dir.path(), &["status", "foo/bar"], "foo/bar: its directory foo does not exist\n");
}

fn refused_to_look(dir: &Path, arguments: &[&str], said: &str) {
    let mut request = gtlock();
    request.args(arguments).current_dir(dir);
    request.assert().code(125).stdout("").stderr(format!("gtlock: {said}"));
}

#[test]
fn clean_says_where_the_locks_are_and_which_directory_is_missing() {
    let (dir, data) = data();
    let elsewhere = "for all below it, or --lock-dir";
    let only_locks = "if it holds only lock files\n";
    let said = format!(".: is not a directory named .gastown/locks; use -R . {elsewhere} . {only_locks}");
    refused_to_look(dir.path(), &["clean", "."], &said);
    assert_free(&data);
    let said = format!(
        ".: is not a directory named .gastown/locks; use ./.gastown/locks, or -R . {elsewhere} . {only_locks}"
    );
    refused_to_look(dir.path(), &["clean", "."], &said);

    for (arguments, missing) in [
        (&["nothere"][..], "nothere"),
        (&["-R", "nothere"], "nothere"),
        (&["--lock-dir", "nothere"], "nothere"),
    ] {
        let clean = |more: &[&str]| {
            let mut request = gtlock();
            request.arg("clean").args(more).args(arguments).current_dir(dir.path());
            request.assert().success()
        };
        let said = format!("gtlock: {missing}: there is no such directory\n");
        clean(&[]).stdout("removed 0 lock files, 0 held\n").stderr(said);
        clean(&["-q"]).stdout("").stderr("");
    }
    let mut request = gtlock();
    request.arg("clean").current_dir(dir.path().join(".gastown"));
    request.assert().success().stdout("removed 0 lock files, 0 held\n").stderr("");
}

#[test]
fn a_directory_that_is_not_there_to_look_into_is_mentioned() {
    let (dir, _) = data();
    for arguments in [&["-R", "nodir"][..], &["--lock-dir", "nodir"], &["nodir/.gastown/locks"]] {
        let status = |more: &[&str]| {
            let mut request = gtlock();
            request.arg("status").args(more).args(arguments).current_dir(dir.path());
            request.assert().success()
        };
        let missing = arguments[arguments.len() - 1];
        status(&[]).stdout("").stderr(format!("gtlock: {missing}: there is no such directory\n"));
        status(&["--json"]).stderr("");
    }
}

//! `--read-fd`, `--write-fd` and `--unlock-fd`: locks on descriptors that the caller has open.
use std::path::Path;

use crate::common::{data, gtlock, shell, to_its_end, typed};
use predicates::prelude::*;

/// What a shell script prints, in which `$1` is the data file, and what gtlock says meanwhile.
fn prints(script: &str, data: &Path) -> (String, String) {
    let output = to_its_end(shell(script, data)).assert().success().get_output().clone();
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (text(output.stdout), text(output.stderr))
}

/// Asserts what a shell script prints, and that gtlock says nothing.
fn silently_prints(script: &str, data: &Path, expected: &str) {
    assert_eq!(prints(script, data), (expected.to_owned(), String::new()), "{script}");
}

#[test]
fn a_block_is_locked_until_it_ends() {
    let (_dir, data) = data();
    let block = "(
            gtlock try --write-fd 9 || exit
            gtlock try -q --direct --read \"$1\" 9>&-
            echo $?
        ) 9>\"$1\"
        gtlock try --direct --write \"$1\"
        echo $?";
    silently_prints(block, &data, "75\n0\n");
}

#[test]
fn a_block_whose_lock_is_had_by_another_is_left() {
    let (_dir, data) = data();
    let holder = typed("run --direct --write", &data).hold();
    let (printed, said) = prints("( gtlock try --write-fd 9 || exit 0; echo in ) 9>\"$1\"", &data);
    assert_eq!(printed, "");
    let pid = holder.pid();
    assert_eq!(said, format!("gtlock: descriptor 9: busy: held by {pid} (cat)\n"));
    assert!(holder.release().success());
}

#[test]
fn readers_share_and_exclude_a_writer() {
    let (_dir, data) = data();
    let script = "exec 8>\"$1\" 9>\"$1\"
        gtlock try --read-fd 8 && gtlock try --read-fd 9
        echo $?
        gtlock try -q --direct --write \"$1\" 8>&- 9>&-
        echo $?";
    silently_prints(script, &data, "0\n75\n");
}

#[test]
fn unlocking_lets_others_in_and_needs_no_lock() {
    let (_dir, data) = data();
    let script = "exec 8>\"$1\" 9>\"$1\"
        gtlock run --unlock-fd 9; echo $?
        gtlock run --write-fd 8 --write-fd 8; gtlock try --unlock-fd 8 --unlock-fd 9; echo $?
        gtlock try --direct --write \"$1\"; echo $?";
    silently_prints(script, &data, "0\n0\n0\n");
}

#[test]
fn a_lock_is_converted_both_ways() {
    let (_dir, data) = data();
    let script = "exec 9>\"$1\"
        asked() { gtlock try -q --direct \"$1\" \"$2\" 9>&-; echo $?; }
        gtlock run --write-fd 9; asked --read \"$1\"
        gtlock run --read-fd 9; asked --read \"$1\"; asked --write \"$1\"
        gtlock run --write-fd 9; asked --read \"$1\"";
    silently_prints(script, &data, "75\n0\n75\n75\n");
}

#[test]
fn a_timeout_leaves_the_descriptor_unlocked() {
    let (_dir, data) = data();
    for how in ["", "--retry-delay 1ms"] {
        let script = format!(
            "exec 8>\"$1\" 9>\"$1\"
            gtlock run --write-fd 8
            gtlock run -q {how} --timeout 0.05 --write-fd 9 8>&-; echo $?
            gtlock run --unlock-fd 8
            gtlock try --direct --write \"$1\" 8>&- 9>&-; echo $?"
        );
        silently_prints(&script, &data, "75\n0\n");
    }
}

#[test]
fn a_wait_for_a_lock_that_the_caller_has_on_another_descriptor_is_an_error() {
    if !crate::common::dead_takers_are_shown() {
        return crate::common::skip("a second descriptor", "the kernel tells a container of no dead taker");
    }
    let (_dir, data) = data();
    let script = "exec 8>\"$1\" 9>\"$1\"
        gtlock run --write-fd 8
        gtlock run --write-fd 9; echo $?
        gtlock try -q --write-fd 9; echo $?";
    let (printed, said) = prints(script, &data);
    assert_eq!(printed, "125\n75\n");
    assert!(said.starts_with("gtlock: descriptor 9: already locked by an inherited descriptor"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn with_a_command_the_lock_ends_when_the_command_does() {
    let (_dir, data) = data();
    let script = "exec 9>\"$1\"
        gtlock run --write-fd 9 -- sh -c 'gtlock try -q --direct --read \"$1\" 9>&-; echo $?' sh \"$1\"
        gtlock try --direct --write \"$1\" 9>&-; echo $?
        gtlock run --write-fd 9 -- sh -c 'exit 7'; echo $?";
    silently_prints(script, &data, "75\n0\n7\n");
}

#[test]
fn files_and_descriptors_are_locked_together_for_a_command() {
    let (_dir, data) = data();
    let script = "exec 9>\"$1.fd\"
        gtlock run --write \"$1\" --read-fd 9 -- sh -c '
            gtlock try -q --read \"$1\" 9>&-; gtlock try -q --direct --write \"$1.fd\" 9>&-; echo $?' sh \"$1\"
        gtlock try --write \"$1\" && gtlock try --direct --write \"$1.fd\" 9>&-; echo $?";
    silently_prints(script, &data, "75\n0\n");
    let script = "exec 9>\"$1.fd\"; gtlock run --write \"$1\" --write-fd 9; echo $?";
    let (printed, said) = prints(script, &data);
    assert_eq!(printed, "125\n");
    assert!(
        said.starts_with("gtlock: no command to run; name it after --") && said.lines().count() == 1,
        "{said}"
    );
}

#[test]
fn with_close_the_command_does_not_have_the_descriptor() {
    let (_dir, data) = data();
    let script = "exec 9>\"$1\"
        has_9='if (: >&9) 2>/dev/null; then echo open; else echo closed; fi'
        gtlock run --write-fd 9 -- sh -c \"$has_9\"
        gtlock run --close --write-fd 9 -- sh -c \"$has_9\"
        gtlock run --close --write-fd 9 --read-fd 9 -- sh -c \"$has_9\"
        sh -c \"$has_9\"";
    silently_prints(script, &data, "open\nclosed\nclosed\nopen\n");
}

#[test]
fn a_number_that_is_no_descriptor_is_an_error_and_nothing_is_run() {
    for (number, said) in [
        ("99999999999", "not the number of a descriptor"),
        ("-1", "not the number of a descriptor"),
        ("x", "not the number of a descriptor"),
        ("", "not the number of a descriptor"),
        ("1048577", "descriptor 1048577: open it first, as in 1048577>FILE"),
    ] {
        for option in ["--read-fd", "--write-fd", "--unlock-fd"] {
            let refused = gtlock().args(["try", option, number]).assert().code(125);
            let one_line = predicate::str::is_match(r"\Agtlock: [^\n]+\n\z").expect("a pattern");
            refused.stdout("").stderr(predicate::str::contains(said).and(one_line));
        }
    }
}

#[test]
fn a_closed_number_is_not_confused_with_what_gtlock_opens_itself() {
    let (_dir, data) = data();
    // Also those that a program finds opened on /dev/null by its runtime.
    for number in [0, 1, 2, 3, 9, 100] {
        let script = format!(
            "gtlock try --write \"$1\" --write-fd {number} -- touch \"$1.ran\" 2>\"$1.said\" {number}>&-; echo $?"
        );
        let script = if number == 2 { script.replace("2>\"$1.said\"", "") } else { script };
        silently_prints(&script, &data, "125\n");
        if number != 2 {
            let said = std::fs::read_to_string(data.with_extension("json.said")).expect("it was written");
            assert!(said.starts_with(&format!("gtlock: descriptor {number}: open it first")), "{said}");
        }
    }
    assert!(!data.with_extension("json.ran").exists());
}

#[test]
fn unlock_goes_with_nothing_else() {
    let (_dir, data) = data();
    for others in [&["--write-fd", "9"][..], &["--write", "f"], &["--", "true"]] {
        let mut try_ = gtlock();
        try_.args(["try", "--unlock-fd", "9"]).args(others).current_dir(data.parent().expect("a directory"));
        try_.assert().code(125).stdout("").stderr(predicate::str::contains("cannot be used with"));
    }
}

#[test]
fn directories_and_files_opened_for_reading_are_locked_too() {
    let (dir, data) = data();
    std::fs::write(&data, "kept").expect("it can be written");
    for file in [dir.path(), &data] {
        let script =
            "exec 9<\"$1\"; gtlock try --write-fd 9; gtlock try -q --direct --read \"$1\" 9<&-; echo $?";
        silently_prints(script, file, "75\n");
    }
    assert_eq!(std::fs::read_to_string(&data).expect("it is there"), "kept");
}

#[test]
fn a_lock_that_the_caller_has_already_outlasts_the_command_and_is_not_weakened() {
    let (_dir, data) = data();
    for (held, wanted) in
        [("--write-fd", "--write-fd"), ("--write-fd", "--read-fd"), ("--read-fd", "--read-fd")]
    {
        let script = format!(
            "exec 9>\"$1\"
            gtlock run {held} 9
            asked() {{ gtlock try -q --direct \"$2\" \"$1\" 9>&-; echo $?; }}
            asked \"$1\" --read
            gtlock run {wanted} 9 -- sh -c 'gtlock try -q --direct --read \"$1\" 9>&-; echo $?' sh \"$1\"
            asked \"$1\" --read; asked \"$1\" --write"
        );
        let read = if held == "--write-fd" { 75 } else { 0 };
        silently_prints(&script, &data, &format!("{read}\n{read}\n{read}\n75\n"));
    }
}

#[test]
fn a_shared_lock_of_the_callers_is_shared_again_after_a_command_that_wrote() {
    let (_dir, data) = data();
    let script = "exec 9>\"$1\"
        gtlock run --read-fd 9
        asked() { gtlock try -q --direct \"$2\" \"$1\" 9>&-; echo $?; }
        gtlock run --write-fd 9 -- sh -c 'gtlock try -q --direct --read \"$1\" 9>&-; echo $?' sh \"$1\"
        asked \"$1\" --read; asked \"$1\" --write";
    silently_prints(script, &data, "75\n0\n75\n");
}

#[test]
fn a_nested_request_on_the_descriptor_of_an_outer_gtlock_leaves_that_its_lock() {
    let (_dir, data) = data();
    let script = "gtlock run --write-fd 9 -- sh -c '
        gtlock run --write-fd 9 -- true; echo $?
        gtlock try -q --direct --read \"$1\" 9>&-; echo $?' sh \"$1\" 9>\"$1\"";
    silently_prints(script, &data, "0\n75\n");
}

#[test]
fn a_refusal_leaves_the_locks_that_the_caller_had() {
    let (_dir, data) = data();
    let other = data.with_file_name("other");
    let holder = typed("run --direct --write", &other).hold();
    let script = "exec 8>\"$1\" 9<\"$(dirname \"$1\")/other\"
        gtlock run --write-fd 8
        gtlock try -q --write-fd 8 --write-fd 9; echo $?
        gtlock try -q --direct --read \"$1\" 8>&- 9>&-; echo $?";
    silently_prints(script, &data, "75\n75\n");
    assert!(holder.release().success());
}

#[test]
fn a_descriptor_named_twice_is_locked_in_the_stronger_mode() {
    let (_dir, data) = data();
    for named in ["--write-fd 9 --read-fd 9", "--read-fd 9 --write-fd 9", "--read-fd 8 --write-fd 9"] {
        let script = format!(
            "exec 9>\"$1\" 8>&9
            gtlock run {named} -- sh -c 'gtlock try -q --direct --read \"$1\" 8>&- 9>&-; echo $?' sh \"$1\""
        );
        silently_prints(&script, &data, "75\n");
    }
}

#[test]
fn a_request_that_would_wait_for_itself_is_an_error() {
    let (_dir, data) = data();
    crate::common::assert_free(&data);
    for (named, open) in [
        ("--direct --write \"$1\" --write-fd 9", "\"$1\""),
        ("--direct --read \"$1\" --write-fd 9", "\"$1\""),
        ("--direct --write \"$1\" --read-fd 9", "\"$1\""),
        ("--write \"$1\" --write-fd 9", "\"$(dirname \"$1\")/.gastown/locks/state.json.lock\""),
        ("--write-fd 8 --write-fd 9", "\"$1\" 8>\"$1\""),
    ] {
        for action in ["run", "try"] {
            let (printed, said) =
                prints(&format!("gtlock {action} {named} -- echo ran 9>>{open}; echo $?"), &data);
            assert_eq!(printed, "125\n", "{named}");
            let line = ": is open on a file that this request locks already; name it once\n";
            assert!(said.starts_with("gtlock: descriptor ") && said.ends_with(line), "{said}");
        }
    }
    // Two readers do not wait for each other.
    silently_prints("gtlock run --direct --read \"$1\" --read-fd 9 -- echo ran 9<\"$1\"", &data, "ran\n");
}

#[test]
fn try_without_a_command_keeps_the_descriptors_and_only_asks_about_the_files() {
    let (_dir, data) = data();
    let script = "exec 9>\"$1\"
        gtlock try --write \"$1\" --write-fd 9; echo $?
        gtlock try -q --direct --read \"$1\" 9>&-; echo $?
        gtlock try -q --write \"$1\"; echo $?";
    silently_prints(script, &data, "0\n75\n0\n");
}

#[test]
fn descriptors_are_locked_in_one_order_whatever_theirs() {
    let (_dir, data) = data();
    let script = "exec 8>\"$1\" 9>\"$1.other\"
        gtlock run -v --write-fd 8 --write-fd 9 -- true 2>&1 | grep locked | cut -d: -f2
        gtlock run -v --write-fd 9 --write-fd 8 -- true 2>&1 | grep locked | cut -d: -f2";
    let (printed, _) = prints(script, &data);
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines.len(), 4, "{printed}");
    assert_eq!(lines[..2], lines[2..], "{printed}");
}

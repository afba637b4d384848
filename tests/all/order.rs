//! Several locks are taken in one order, by device and inode, whatever their kind and their names: whoever waits for
//! one holds none that comes after it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::{
    Holder, assert_free, children, data, end_of, eventually, gtlock_process, shell, skip, typed,
};

/// Two files, in the order of their inodes.
fn two_files(dir: &Path) -> [PathBuf; 2] {
    let mut files = ["a", "b"].map(|name| {
        let file = dir.join(name);
        fs::write(&file, "").expect("it can be written");
        file
    });
    files.sort_by_key(|file| fs::metadata(file).expect("it is there").ino());
    files
}

fn is_free(file: &Path) -> bool {
    typed("try -q --direct --write", file).succeeds()
}

/// While somebody holds the first of two files, a request for both must not hold the second; and so the other way
/// round of naming them.
fn holds_nothing_after_what_it_waits_for(first: &Path, second: &Path, mut request: Command) {
    let holder = typed("run --direct --write", first).hold();
    let mut waiter = request.spawn().expect("it starts");
    eventually("it waits for the first", || waits_for(waiter.id(), first));
    assert!(is_free(second), "it holds none after it");
    assert!(holder.release().success());
    assert!(end_of(&mut waiter).success());
}

/// Whether a process, or a child of it, is blocked in flock on a file.
fn waits_for(pid: u32, file: &Path) -> bool {
    let inode = fs::metadata(file).expect("it is there").ino();
    let locks = fs::read_to_string("/proc/locks").expect("it can be read");
    let mut pids = children(pid);
    pids.push(pid);
    locks.lines().any(|line| {
        let of = |pid: &u32| line.contains(&format!(" {pid} "));
        line.contains("-> FLOCK") && line.contains(&format!(":{inode} ")) && pids.iter().any(of)
    })
}

#[test]
fn a_file_and_a_descriptor_are_taken_in_the_order_of_their_inodes() {
    let (dir, _) = data();
    let [first, second] = two_files(dir.path());
    for (named, open) in [(&first, &second), (&second, &first)] {
        let mut request =
            shell(r#"exec gtlock run --direct --write "$1" --write-fd 9 -- true 9<"$2""#, named);
        request.arg(open);
        holds_nothing_after_what_it_waits_for(&first, &second, request);
    }
}

#[test]
fn hard_links_are_taken_in_the_order_of_their_inodes() {
    let (dir, _) = data();
    let [first, second] = two_files(dir.path());
    let [y, z] = ["y", "z"].map(|name| dir.path().join(name));
    fs::hard_link(&first, &z).expect("it can be made");
    fs::hard_link(&second, &y).expect("it can be made");
    for (one, other) in [(&first, &y), (&y, &first), (&z, &second), (&second, &z)] {
        let mut request = gtlock_process();
        request.args(["run", "--direct", "--write"]).arg(one).arg("--write").arg(other).args(["--", "true"]);
        holds_nothing_after_what_it_waits_for(&first, &second, request);
    }
}

#[test]
fn two_hard_links_of_one_file_are_one_lock_in_the_stronger_mode() {
    let (dir, _) = data();
    let [first, _] = two_files(dir.path());
    let link = dir.path().join("link");
    fs::hard_link(&first, &link).expect("it can be made");
    let mut request = gtlock_process();
    request.args(["run", "--direct", "--read"]).arg(&first).arg("--write").arg(&link);
    let holder = Holder::start(&mut request);
    typed("try -q --direct --read", &first).assert().code(75);
    assert!(holder.release().success());
}

#[test]
fn an_exclusive_lock_that_wants_writing_is_asked_for_with_it() {
    let (dir, data) = data();
    fs::write(&data, "content").expect("it can be written");
    let trace = dir.path().join("trace");
    let mut strace = crate::common::process("strace");
    strace.arg("-o").arg(&trace).args(["-e", "inject=flock:error=EBADF:when=1"]);
    strace.arg(assert_cmd::cargo::cargo_bin!("gtlock"));
    strace.args(["run", "--direct", "--write"]).arg(&data).args(["--", "true"]);
    let Ok(output) = strace.output() else {
        return skip("flock that wants writing", "no strace");
    };
    assert!(output.status.success(), "{output:?}");
    let trace = fs::read_to_string(trace).expect("strace wrote it");
    assert!(trace.contains("EBADF") && trace.contains("O_RDWR"), "{trace}");
    assert_eq!(fs::read_to_string(&data).expect("it is there"), "content");
}

#[test]
fn status_opens_for_writing_only_what_its_look_wants_to_write() {
    let (dir, data) = data();
    let trace = dir.path().join("trace");
    assert_free(&data);
    fs::write(&data, "content").expect("it can be written");
    for (options, injection, opened) in [
        (&[][..], "trace=all", "O_RDONLY"),
        (&["--direct"], "trace=all", "O_RDONLY"),
        (&[], "inject=flock:error=EBADF:when=1", "O_RDWR"),
        (&["--direct"], "inject=flock:error=EBADF:when=1", "O_RDWR"),
    ] {
        let mut strace = crate::common::process("strace");
        strace.arg("-fyo").arg(&trace).args(["-e", injection]).arg(assert_cmd::cargo::cargo_bin!("gtlock"));
        let Ok(output) = strace.args(["status", "--json"]).args(options).arg(&data).output() else {
            return skip("what status opens", "no strace");
        };
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains(r#""state": "free""#), "{output:?}");
        let trace = fs::read_to_string(&trace).expect("strace wrote it");
        let mut opens = trace.lines().filter(|line| line.contains("open") && line.contains("state.json"));
        let last = opens.next_back().expect("it was opened");
        assert!(last.contains(opened), "{options:?} {injection}: {trace}");
        assert!(opened == "O_RDWR" || !trace.contains("O_RDWR"), "{options:?}: {trace}");
    }
}

#[test]
fn a_lock_that_comes_before_one_that_is_held_is_not_waited_for() {
    let (dir, _) = data();
    let locks = |file: &Path| crate::common::lock_file(file);
    let mut files = ["x", "y", "z"].map(|name| dir.path().join(name));
    for file in &files {
        crate::common::assert_free(file);
    }
    files.sort_by_key(|file| fs::metadata(locks(file)).expect("it is there").ino());
    // While the first lock file is waited for, the second is replaced by one that comes before both.
    let [spare, held, replaced] = &files;
    let holder = Holder::writer(held);
    let mut request = gtlock_process();
    request.args(["run", "--write"]).arg(held).arg("--write").arg(replaced).args(["--", "echo", "ran"]);
    let mut waiter = request.spawn().expect("it starts");
    crate::common::waits_in_kernel(waiter.id(), held);
    fs::rename(locks(spare), locks(replaced)).expect("they are there");
    let other = Holder::writer(replaced);
    assert!(holder.release().success());
    crate::common::waits_in_kernel(waiter.id(), replaced);
    crate::common::assert_free(held);
    assert!(other.release().success());
    assert!(end_of(&mut waiter).success());
}

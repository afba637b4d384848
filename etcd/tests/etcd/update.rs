//! `update`: the lock is in etcd, the file on this machine.

use std::fs;

use crate::cluster::shared;
use crate::common::typed;

#[test]
fn no_update_of_a_file_is_lost() {
    let Some(etcd) = shared() else { return };
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("count");
    let add = ["sh", "-c", "read n; echo $((n + 1))"];
    let all: Vec<_> = (0..12).map(|_| typed(etcd, "update", &file).command(add).start()).collect();
    for mut one in all {
        assert_eq!(one.code(), 0);
    }
    assert_eq!(fs::read_to_string(&file).expect("it is there"), "12\n");
    assert!(!dir.path().join(".gastown").exists(), "there is no lock of this machine");
}

#[test]
fn a_filter_that_fails_changes_nothing() {
    let Some(etcd) = shared() else { return };
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("kept");
    fs::write(&file, "old").expect("it can be written");
    typed(etcd, "update", &file).command(["sh", "-c", "echo new; exit 3"]).end().code(3);
    typed(etcd, "update -n", &file).command(["tr", "o", "O"]).end().code(0).stdout("Old");
    assert_eq!(fs::read_to_string(&file).expect("it is there"), "old");
}

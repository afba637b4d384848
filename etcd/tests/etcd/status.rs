//! `status` and `clean`.

use serde_json::json;

use crate::cluster::shared;
use crate::common::{gtlock, status_of, typed, waiters};

#[test]
fn status_shows_holders_and_waiters_in_order() {
    let Some(etcd) = shared() else { return };
    let holder = typed(etcd, "run --read", "shown").hold();
    let mut waiting = Vec::new();
    for (at, label) in ["first", "second"].iter().enumerate() {
        waiting.push(typed(etcd, &format!("run --label {label} --write"), "shown").command(["true"]).start());
        waiters(etcd, "shown", at + 1);
    }
    let lock = status_of(etcd, "shown");
    assert_eq!((&lock["state"], &lock["mode"]), (&json!("held"), &json!("read")));
    assert_eq!(lock["holders"][0]["pid"], json!(holder.gtlock.id()));
    assert_eq!(lock["holders"][0]["command"], json!(["cat"]));
    assert_eq!(
        (&lock["waiters"][0]["label"], &lock["waiters"][1]["label"]),
        (&json!("first"), &json!("second"))
    );
    let table = gtlock(etcd).args(["status", "shown"]).output().expect("gtlock starts");
    let table = String::from_utf8(table.stdout).expect("UTF-8");
    let rows: Vec<Vec<_>> = table.lines().map(|line| line.split_ascii_whitespace().collect()).collect();
    assert_eq!(rows[0], ["STATE", "MODE", "HOST", "PID", "FENCE", "FOR", "LOCK", "COMMAND"]);
    assert_eq!((rows[1][0], rows[2][0], rows[3][0]), ("held", "waits", "waits"), "{table}");
    assert_eq!(holder.release(), 0);
    for mut one in waiting {
        assert_eq!(one.code(), 0);
    }
    assert_eq!(status_of(etcd, "shown")["state"], json!("free"));
}

#[test]
fn clean_removes_the_records_of_holders_that_are_gone() {
    let Some(etcd) = shared() else { return };
    let record = json!({ "v": 1, "mode": "w", "host": "web-9", "pid": 7, "command": ["x"], "delay_ms": 50 });
    // Under a prefix of its own, since these commands are about all locks.
    let run = |arguments: &[&str]| {
        let mut gtlock = gtlock(etcd);
        gtlock.env("GTLOCK_AT", format!("{}/unclean", etcd.at())).args(arguments);
        String::from_utf8(gtlock.output().expect("gtlock starts").stdout).expect("UTF-8")
    };
    etcd.ctl(&["put", "/unclean/held/gone/5a", &record.to_string()]).expect("etcdctl answers");
    assert!(run(&["status"]).contains("unclean  write  web-9  7"));
    assert_eq!(
        run(&["clean", "-n"]),
        "would remove gone\nwould remove 1 record of holders that are gone, 0 held\n"
    );
    assert_eq!(run(&["clean"]), "removed 1 record of holders that are gone, 0 held\n");
    assert_eq!(run(&["clean"]), "removed 0 records of holders that are gone, 0 held\n");
    assert_eq!(run(&["status"]), "");
}

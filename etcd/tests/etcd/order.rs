//! Who gets a lock, and in which order.

use crate::cluster::shared;
use crate::common::{End, TIME, typed, waiters};

#[test]
fn a_writer_excludes_readers_and_writers_and_readers_share() {
    let Some(etcd) = shared() else { return };
    let writer = typed(etcd, "run --write", "share").hold();
    typed(etcd, "try --read", "share").command(["true"]).end().code(75);
    typed(etcd, "try --write", "share").command(["true"]).end().code(75);
    assert_eq!(writer.release(), 0);
    let reader = typed(etcd, "run --read", "share").hold();
    typed(etcd, "try --read", "share").command(["true"]).end().code(0);
    typed(etcd, "try --write", "share").command(["true"]).end().code(75);
    assert_eq!(reader.release(), 0);
    typed(etcd, "try --write", "share").command(["true"]).end().code(0).silent();
}

#[test]
fn first_come_is_first_served_and_a_waiting_writer_is_passed_by_no_reader() {
    let Some(etcd) = shared() else { return };
    let holder = typed(etcd, "run --read", "line").hold();
    let mut waiting = Vec::new();
    for (at, options) in ["run --write", "run --read", "run --read", "run --write"].iter().enumerate() {
        waiting.push(typed(etcd, options, "line").command(TIME).start());
        waiters(etcd, "line", at + 1);
    }
    assert_eq!(holder.release(), 0);
    let times: Vec<f64> = waiting.iter().map(|one| one.line().parse().expect("a time")).collect();
    assert!(times[0] < times[1].min(times[2]) && times[1].max(times[2]) < times[3], "{times:?}");
    for mut one in waiting {
        assert_eq!(one.code(), 0);
    }
}

#[test]
fn several_locks_are_taken_all_or_none() {
    let Some(etcd) = shared() else { return };
    let both = |options, name, other| typed(etcd, options, name).and("--write", other);
    let holder = typed(etcd, "run --write", "several-b").hold();
    both("try --write", "several-a", "several-b")
        .command(["true"])
        .end()
        .code(75)
        .stderr("several-b: busy: held");
    typed(etcd, "try --write", "several-a").command(["true"]).end().code(0);
    assert_eq!(holder.release(), 0);
    // Named in either order: there is no deadlock.
    let pairs = (0..8).map(|at| {
        let names = if at % 2 == 0 { ["several-a", "several-b"] } else { ["several-b", "several-a"] };
        both("run --write", names[0], names[1]).command(["true"]).start()
    });
    for mut pair in pairs.collect::<Vec<_>>() {
        assert_eq!(pair.code(), 0);
    }
}

#[test]
fn fences_rise_from_holder_to_holder() {
    let Some(etcd) = shared() else { return };
    let fence = || -> i64 {
        let script = ["sh", "-c", "echo $GTLOCK_FENCE"];
        let end: End = typed(etcd, "run --write", "fence").command(script).end().code(0);
        end.printed().trim().parse().expect("a number")
    };
    let fences = [fence(), fence(), fence()];
    assert!(fences.is_sorted_by(|a, b| a < b), "{fences:?}");
}

#[test]
fn the_fence_is_the_revision_in_which_its_key_was_created() {
    let Some(etcd) = shared() else { return };
    let script = ["sh", "-c", r#"echo "$GTLOCK_FENCE"; echo "$GTLOCK_FENCE_KEY"; read _"#];
    let holder = typed(etcd, "run --write", "fence/key").command(script).start();
    let (fence, key) = (holder.line(), holder.line());
    let found = etcd.ctl(&["get", "-w", "fields", &key]).expect("etcdctl answers");
    assert!(found.contains(&format!("\"CreateRevision\" : {fence}")), "{found}");
    assert!(key.starts_with("/gtlock/q/fence%2Fkey/w/"), "{key}");
}

#[test]
fn no_update_of_many_is_lost() {
    let Some(etcd) = shared() else { return };
    let dir = tempfile::tempdir().expect("a temporary directory");
    let counter = dir.path().join("counter");
    std::fs::write(&counter, "0\n").expect("it can be written");
    let script = r#"n=$(cat "$0"); echo $((n + 1)) > "$0""#;
    let all = (0..24).map(|_| {
        let add = ["sh".as_ref(), "-c".as_ref(), script.as_ref(), counter.as_os_str()];
        typed(etcd, "run --write", "counter").command(add).start()
    });
    for mut one in all.collect::<Vec<_>>() {
        assert_eq!(one.code(), 0);
    }
    assert_eq!(std::fs::read_to_string(&counter).expect("it is there"), "24\n");
}

//! `gtlock try`: whether a lock can be had at once.
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::common::{Holder, assert_free, assert_held, data, gtlock, gtlock_process, lock_file, typed};
use predicates::prelude::*;

#[test]
fn try_without_a_command_answers_whether_the_lock_could_be_had() {
    let (_dir, data) = data();
    let answers = |mode: &str, code: i32| {
        gtlock().args(["try", "-q", mode]).arg(&data).assert().code(code).stdout("").stderr("");
    };
    answers("--write", 0);
    answers("--read", 0);
    let reader = Holder::reader(&data);
    answers("--write", 75);
    answers("--read", 0);
    reader.release();
    let writer = Holder::writer(&data);
    answers("--write", 75);
    answers("--read", 75);
    writer.release();
    answers("--write", 0);
}

#[test]
fn try_with_a_command_holds_the_lock_while_it_runs() {
    let (_dir, data) = data();
    let holder = typed("try --write", &data).hold();
    assert_held(&data);
    assert!(holder.release().success());
    assert_free(&data);
}

#[test]
fn try_with_a_command_exits_as_it_does_or_does_not_run_it() {
    let (_dir, data) = data();
    let run = || typed("try --write", &data).command(["sh", "-c", "echo ran; exit 3"]).assert();
    run().code(3).stdout("ran\n").stderr("");
    let _holder = Holder::writer(&data);
    run().code(75).stdout("").stderr(predicate::str::contains("busy"));
}

#[test]
fn try_takes_all_locks_or_none_and_names_the_one_that_was_refused() {
    let (dir, data) = data();
    let others = [dir.path().join("a.json"), dir.path().join("z.json")];
    let _holder = Holder::writer(&data);
    let mut request = gtlock();
    request.arg("try").arg("--write").arg(&others[0]).arg("--write").arg(&others[1]).arg("--read").arg(&data);
    let refused = predicate::str::starts_with(format!("gtlock: {}: busy: ", data.display()))
        .and(predicate::str::contains("\n").count(1));
    request.args(["--", "echo", "ran"]).assert().code(75).stdout("").stderr(refused);
    for other in &others {
        assert_free(other);
    }
}

#[test]
fn try_leaves_a_lock_file_without_a_record() {
    let (dir, data) = data();
    assert_free(&data);
    let record = std::fs::read_to_string(lock_file(&data)).expect("it is there");
    assert_eq!(record.trim_matches('\n'), "", "it names nobody");
    assert!(!data.exists());
    assert_eq!(std::fs::read_dir(dir.path()).expect("it is there").count(), 1, "only .gastown");
}

/// How many tries: 300, `GTLOCK_STRESS=N` for N.
#[test]
fn try_on_a_free_lock_is_never_refused_because_somebody_looks_at_it() {
    let (dir, data) = data();
    let rounds = std::env::var("GTLOCK_STRESS").ok().and_then(|n| n.parse().ok()).unwrap_or(300);
    let done = AtomicBool::new(false);
    let refused = thread::scope(|scope| {
        for looking in [&["status"][..], &["clean", "-q"]] {
            let (dir, done) = (dir.path(), &done);
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    let mut gtlock = gtlock_process();
                    let looking = gtlock.args(looking).current_dir(dir).stdout(Stdio::null());
                    assert!(looking.status().expect("it starts").success());
                }
            });
        }
        let refused = (0..rounds).filter(|n| {
            let mode = if n % 2 == 0 { "--write" } else { "--read" };
            let tried = gtlock_process().args(["try", mode]).arg(&data).status().expect("it starts");
            tried.code() != Some(0)
        });
        let refused = refused.count();
        done.store(true, Ordering::Relaxed);
        refused
    });
    assert_eq!(refused, 0, "of {rounds}");
}

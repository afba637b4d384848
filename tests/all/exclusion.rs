//! No lost update and no torn read, whatever happens beside it.
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::common::{data, end_of, gtlock_process, process};

/// Reads a number, writes the next one, and only then puts it into a ledger of its own.
const INCREMENT: &str = r#"read -r n < "$1"; n=$((n + 1)); echo "$n" > "$1"; echo "$n" >> "$2""#;

/// As [`INCREMENT`], in two halves that a reader must never see apart.
const INCREMENT_TWICE: &str =
    r#"{ read -r n; } < "$1"; n=$((n + 1)); echo "$n" > "$1"; echo "$n" >> "$1"; echo "$n" >> "$2""#;

/// Fails if the file's two halves differ.
const READ_BOTH: &str = r#"{ read -r a; read -r b; } < "$1"; [ -n "$a" ] && [ "$a" = "$b" ]"#;

/// How many times each worker of a test runs: few by default, `GTLOCK_STRESS=N` for N.
fn rounds(by_default: usize) -> usize {
    std::env::var("GTLOCK_STRESS").ok().and_then(|n| n.parse().ok()).unwrap_or(by_default)
}

fn locked(mode: &str, data: &Path, script: &str, ledger: &Path) -> Command {
    let mut gtlock = gtlock_process();
    gtlock.args(["run", mode]).arg(data).args(["--", "sh", "-c", script, "sh"]).arg(data).arg(ledger);
    gtlock
}

/// Runs `work` beside loops of `clean`, `status` and `try` on the directory's locks.
fn beside_the_curious(data: &Path, work: impl FnOnce()) {
    let dir = data.parent().expect("it is in a directory");
    let done = AtomicBool::new(false);
    let looping = |arguments: &[&str]| {
        while !done.load(Ordering::Relaxed) {
            let mut gtlock = gtlock_process();
            let run = gtlock.args(arguments).current_dir(dir).stdout(Stdio::null());
            let status = run.status().expect("gtlock starts");
            assert!(matches!(status.code(), Some(0 | 75)), "{arguments:?}: {status}");
        }
    };
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| looping(&["clean", "-q"]));
        }
        for _ in 0..2 {
            scope.spawn(|| looping(&["status"]));
        }
        scope.spawn(|| looping(&["try", "-q", "--read", "state.json"]));
        // The loops must end even if the work panics, so that the panic is seen.
        let worked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        done.store(true, Ordering::Relaxed);
        if let Err(panic) = worked {
            std::panic::resume_unwind(panic);
        }
    });
}

fn number(path: &Path) -> usize {
    let text = fs::read_to_string(path).expect("it is there");
    text.lines().next().and_then(|line| line.parse().ok()).unwrap_or_else(|| panic!("a number, not {text:?}"))
}

#[test]
fn no_increment_is_lost_while_clean_and_status_loop_and_holders_are_killed() {
    let (dir, data) = data();
    fs::write(&data, "0\n").expect("it can be written");
    let (workers, rounds) = (16, rounds(12));
    let ledger = |worker: usize| dir.path().join(format!("ledger.{worker}"));
    beside_the_curious(&data, || {
        thread::scope(|scope| {
            for worker in 0..workers {
                let (data, ledger) = (&data, ledger(worker));
                scope.spawn(move || {
                    for round in 0..rounds {
                        let mut gtlock =
                            locked("--write", data, INCREMENT, &ledger).spawn().expect("it starts");
                        if (worker + round) % 5 == 0 {
                            // At whatever point it is. A command that already runs finishes its work, under
                            // a lock that only it still holds.
                            gtlock.kill().expect("it is ours");
                            end_of(&mut gtlock);
                        } else {
                            assert!(end_of(&mut gtlock).success());
                        }
                    }
                });
            }
        });
    });
    // The last orphan to finish is the last to hold the lock.
    let mut last = gtlock_process();
    last.args(["run", "--write"]).arg(&data).args(["--", "true"]);
    assert!(last.status().is_ok_and(|ended| ended.success()));
    let mut reported: Vec<usize> = (0..workers)
        .filter_map(|worker| fs::read_to_string(ledger(worker)).ok())
        .flat_map(|text| text.lines().map(|line| line.parse().expect("a number")).collect::<Vec<_>>())
        .collect();
    reported.sort_unstable();
    let expected: Vec<usize> = (1..=number(&data)).collect();
    assert_eq!(reported, expected, "each number was reached once and reported by one");
    assert!(reported.len() >= workers * rounds * 4 / 5, "those that were not killed did their work");
}

#[test]
fn no_reader_sees_a_half_written_file() {
    let (dir, data) = data();
    fs::write(&data, "0\n0\n").expect("it can be written");
    let (each, rounds) = (8, rounds(10));
    beside_the_curious(&data, || {
        thread::scope(|scope| {
            for worker in 0..each {
                let (data, ledger) = (&data, dir.path().join(format!("ledger.{worker}")));
                scope.spawn(move || {
                    for _ in 0..rounds {
                        let status = locked("--write", data, INCREMENT_TWICE, &ledger).status();
                        assert!(status.expect("it starts").success());
                    }
                });
                scope.spawn(move || {
                    for _ in 0..rounds {
                        let status = locked("--read", data, READ_BOTH, data).status();
                        assert!(status.expect("it starts").success(), "a torn read");
                    }
                });
            }
        });
    });
    assert_eq!(number(&data), each * rounds);
}

#[test]
fn two_locks_named_in_either_order_do_not_deadlock() {
    let (dir, first) = data();
    let second = dir.path().join("other.json");
    thread::scope(|scope| {
        for worker in 0..8 {
            let (first, second) = if worker % 2 == 0 { (&first, &second) } else { (&second, &first) };
            scope.spawn(move || {
                for _ in 0..rounds(10) {
                    let mut gtlock = gtlock_process();
                    gtlock
                        .arg("run")
                        .arg("--write")
                        .arg(first)
                        .arg("--write")
                        .arg(second)
                        .args(["--", "true"]);
                    assert!(end_of(&mut gtlock.spawn().expect("it starts")).success());
                }
            });
        }
    });
}

#[test]
fn flock_and_python_are_excluded_by_gtlock_and_exclude_it() {
    let peers: [(&str, &[&str]); 2] = [
        ("flock", &["-n", "{lock}", "true"]),
        (
            "python3",
            &[
                "-c",
                "import fcntl,sys\ntry: fcntl.flock(open(sys.argv[1]), fcntl.LOCK_EX|fcntl.LOCK_NB)\nexcept BlockingIOError: sys.exit(1)",
                "{lock}",
            ],
        ),
    ];
    let holding: [(&str, &[&str]); 2] = [
        ("flock", &["{lock}", "cat"]),
        (
            "python3",
            &[
                "-u",
                "-c",
                "import fcntl,sys\nf=open(sys.argv[1],'a'); fcntl.flock(f, fcntl.LOCK_EX)\nfor l in sys.stdin: print(l, end='')",
                "{lock}",
            ],
        ),
    ];
    for ((program, tries), (_, holds)) in peers.into_iter().zip(holding) {
        if process(program).arg("--version").stdout(Stdio::null()).status().is_err() {
            crate::common::skip("exclusion with another program", &format!("no {program}"));
            continue;
        }
        let (_dir, data) = data();
        crate::common::assert_free(&data);
        let lock = data.parent().expect("a directory").join(".gastown/locks/state.json.lock");
        let with_lock = |arguments: &[&str]| {
            let mut command = process(program);
            command.args(
                arguments.iter().map(|&word| if word == "{lock}" { lock.as_os_str() } else { word.as_ref() }),
            );
            command
        };
        let tried = |what: &str| with_lock(tries).status().expect(what).success();

        assert!(tried("a free lock"), "{program} gets a lock that gtlock has released");
        let holder = crate::common::Holder::writer(&data);
        assert!(!tried("a held lock"), "{program} is refused while gtlock holds it");
        assert!(holder.release().success());

        let holder = crate::common::Holder::running(&mut with_lock(holds));
        crate::common::assert_held(&data);
        drop(holder);
    }
}

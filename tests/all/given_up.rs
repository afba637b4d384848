//! A wait that is given up leaves nothing behind, and a guard belongs to the thread and the process that took it.
//!
//! Threads and descriptors are counted in processes of their own, since other tests run in this one.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use gtlock::lock::{Error, HeldBy, Request, Wait, with_write_lock};

use crate::common::{Holder, assert_free, assert_held, data, eventually, lock_file, to_its_end};

/// Runs a test of this file in a process of its own; returns whether this is that process.
fn is_alone(test: &str) -> bool {
    if std::env::var_os("ALONE").is_some() {
        return true;
    }
    let mut alone = Command::new(std::env::current_exe().expect("it runs"));
    alone.args(["--exact", &format!("given_up::{test}"), "--test-threads=1"]).env("ALONE", "yes");
    to_its_end(alone).assert().success();
    false
}

/// How many threads and open descriptors this process has.
#[cfg(target_os = "linux")]
fn threads_and_descriptors() -> (usize, usize) {
    let count = |dir| fs::read_dir(dir).expect("a directory").count();
    (count("/proc/self/task"), count("/proc/self/fd"))
}

/// Holds the lock on a data file without a record, as flock(1) does.
fn hold(data: &Path) -> fs::File {
    assert_free(data);
    let file = fs::File::open(lock_file(data)).expect("it is there");
    #[expect(clippy::disallowed_methods, reason = "a holder that is not gtlock")]
    file.lock().expect("nobody else has it");
    file
}

#[cfg(target_os = "linux")]
#[test]
fn waits_that_time_out_leave_no_thread_and_no_descriptor() {
    if !is_alone("waits_that_time_out_leave_no_thread_and_no_descriptor") {
        return;
    }
    let (_dir, data) = data();
    let holder = hold(&data);
    let before = threads_and_descriptors();
    for n in 0..300 {
        let request = if n % 2 == 0 { Request::exclusive(&data) } else { Request::shared(&data) };
        let waited = request.wait(Wait::For(Duration::from_millis(2))).lock();
        assert!(matches!(waited, Err(Error::TimedOut { .. })), "{waited:?}");
    }
    assert_eq!(threads_and_descriptors(), before);
    drop(holder);
    assert_free(&data);
}

#[cfg(target_os = "linux")]
#[test]
fn refusals_leave_no_thread_and_no_descriptor() {
    if !is_alone("refusals_leave_no_thread_and_no_descriptor") {
        return;
    }
    let (_dir, data) = data();
    let _holder = hold(&data);
    let before = threads_and_descriptors();
    for _ in 0..50 {
        let refused = Request::exclusive(&data).try_lock();
        assert!(matches!(refused, Err(Error::Busy(_))), "{refused:?}");
    }
    assert_eq!(threads_and_descriptors(), before);
}

#[cfg(target_os = "linux")]
#[test]
fn a_wait_with_few_descriptors_left_can_be_made_again_and_again() {
    let (_dir, data) = data();
    let _holder = Holder::writer(&data);
    let script = r#"ulimit -n 32; for n in 1 2 3 4 5; do gtlock run -q --timeout 2ms --write "$1" -- true; echo $?; done"#;
    let mut shell = crate::common::shell(script, &data);
    to_its_end(std::mem::replace(&mut shell, Command::new("true")))
        .assert()
        .stdout("75\n".repeat(5))
        .stderr("");
}

/// Forks, drops the guard in the child alone, and returns it to the parent once the child has ended.
fn dropped_in_a_fork<T>(guard: T) -> T {
    use nix::sys::wait::{WaitStatus, waitpid};
    use nix::unistd::{ForkResult, fork};
    // SAFETY: this process has one thread but the harness's, which waits; the child drops the guard and ends.
    #[allow(unsafe_code)]
    match unsafe { fork() }.expect("it forks") {
        ForkResult::Child => {
            drop(guard);
            // SAFETY: it ends this process at once, without the harness's last words.
            #[allow(unsafe_code)]
            unsafe {
                nix::libc::_exit(0)
            }
        }
        ForkResult::Parent { child } => {
            let ended = waitpid(child, None).expect("it is ours");
            assert_eq!(ended, WaitStatus::Exited(child, 0));
            guard
        }
    }
}

#[test]
fn a_forked_child_that_drops_its_copy_of_a_guard_releases_nothing() {
    if !is_alone("a_forked_child_that_drops_its_copy_of_a_guard_releases_nothing") {
        return;
    }
    let (_dir, data) = data();
    let guard = dropped_in_a_fork(Request::exclusive(&data).lock().expect("it is free"));
    assert_held(&data);
    let record = fs::read_to_string(lock_file(&data)).expect("it is there");
    assert_eq!(record, format!("{}\n", std::process::id()), "it is the parent's still");
    drop(guard);
    assert_free(&data);
}

#[test]
fn an_inheritable_lock_is_not_already_locked_for_another_thread() {
    let (_dir, data) = data();
    let mut guard = Request::exclusive(&data).lock().expect("it is free");
    guard.make_inheritable().expect("there are descriptors left");
    let (waits, waiting) = mpsc::channel();
    thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            let mut on_wait = |_: gtlock::lock::Waiting<'_>| {
                let _ = waits.send(());
                None
            };
            Request::exclusive(&data).lock_watched(&mut on_wait).map(drop)
        });
        waiting.recv().expect("it waits");
        drop(guard);
        waiter.join().expect("no panic").expect("it gets the lock");
    });
}

#[test]
fn a_thread_that_would_wait_for_itself_for_ever_is_told_so() {
    let (_dir, data) = data();
    for first in [Request::exclusive(&data), Request::shared(&data)] {
        let guard = first.lock().expect("it is free");
        let again = Request::exclusive(&data).lock();
        let by_itself = matches!(again, Err(Error::AlreadyLocked { by: HeldBy::ThisThread, .. }));
        assert!(by_itself, "{again:?}");
        let limited = Request::exclusive(&data).wait(Wait::For(Duration::from_millis(20))).lock();
        assert!(matches!(limited, Err(Error::TimedOut { .. })), "it ends by itself: {limited:?}");
        drop(guard);
    }
    let outer = Request::shared(&data).lock().expect("it is free");
    Request::shared(&data).lock().map(drop).expect("readers share");
    drop(outer);
}

#[test]
fn work_under_a_lock_file_that_was_replaced_is_reported() {
    let (_dir, data) = data();
    let done = with_write_lock(&data, || fs::remove_file(lock_file(&data)).expect("it is there"));
    let Err(Error::Replaced(locks)) = done else { panic!("{done:?}") };
    assert_eq!(locks, [lock_file(&data)]);
    with_write_lock(&data, || ()).expect("nobody replaced it");
}

#[cfg(target_os = "linux")]
#[test]
fn a_dropped_guard_says_that_its_lock_file_was_replaced() {
    const TEST: &str = "a_dropped_guard_says_that_its_lock_file_was_replaced";
    if std::env::var_os("ALONE").is_some() {
        let (_dir, data) = data();
        let guard = Request::exclusive(&data).lock().expect("it is free");
        fs::remove_file(lock_file(&data)).expect("it is there");
        drop(guard);
        return;
    }
    let mut alone = Command::new(std::env::current_exe().expect("it runs"));
    alone.args(["--exact", &format!("given_up::{TEST}"), "--nocapture"]).env("ALONE", "yes");
    let said = predicates::str::contains("state.json.lock: the lock file was unlinked or replaced");
    to_its_end(alone).assert().success().stderr(said);
}

#[cfg(target_os = "linux")]
#[test]
fn a_wait_that_gets_no_thread_polls_in_its_place() {
    let (dir, data) = data();
    let holder = Holder::writer(&data);
    let trace = dir.path().join("trace");
    let mut strace = crate::common::process("strace");
    // What musl and glibc start a thread with.
    let call = if cfg!(target_env = "musl") { "clone" } else { "clone3" };
    let fault = format!("inject={call}:error=EAGAIN:when=1");
    strace.arg("-o").arg(&trace).args(["-e", &fault, "-e", &format!("trace={call}")]);
    strace.arg(assert_cmd::cargo::cargo_bin!("gtlock"));
    strace.args(["run", "-q", "--write"]).arg(&data).args(["--", "true"]);
    let Ok(mut waiter) = strace.spawn() else {
        return crate::common::skip("a wait without a thread", "no strace");
    };
    eventually("it has tried", || {
        fs::read_to_string(&trace).is_ok_and(|trace| trace.contains("INJECTED"))
            || waiter.try_wait().is_ok_and(|ended| ended.is_some())
    });
    assert!(waiter.try_wait().expect("it is ours").is_none(), "it waits");
    holder.release();
    assert!(crate::common::end_of(&mut waiter).success());
}

#[cfg(target_os = "linux")]
#[test]
fn no_lock_comes_to_a_child_that_was_forked_while_it_was_waited_for() {
    if !is_alone("no_lock_comes_to_a_child_that_was_forked_while_it_was_waited_for") {
        return;
    }
    let (_dir, data) = data();
    let holder = hold(&data);
    let waited = Request::exclusive(&data).wait(Wait::For(Duration::from_millis(20))).lock();
    assert!(matches!(waited, Err(Error::TimedOut { .. })), "{waited:?}");
    let mut child = Command::new("cat").stdin(std::process::Stdio::piped()).spawn().expect("cat starts");
    drop(holder);
    assert_free(&data);
    drop(child.stdin.take());
    assert!(child.wait().expect("it is ours").success());
}

//! The lock module, from Rust: between the threads of one process, and beside the binary.
use std::fs;
use std::os::unix::fs::symlink;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{Holder, WATCHDOG, assert_free, assert_held, data, lock_file};
use gtlock::lock::{
    Action, Error, LockDir, Mode, Reason, Request, Wait, clean, with_read_lock, with_write_lock,
};
use gtlock::update::update;
use predicates::prelude::*;

#[test]
fn threads_that_increment_under_the_lock_lose_nothing() {
    let (_dir, data) = &data();
    fs::write(data, "0").expect("it can be written");
    let increment = || {
        let count: u32 = fs::read_to_string(data).expect("it is there").parse().expect("a number");
        fs::write(data, (count + 1).to_string()).expect("it can be written");
    };
    thread::scope(|scope| {
        for worker in 0..8 {
            scope.spawn(move || {
                for _ in 0..50 {
                    if worker % 2 == 0 {
                        with_write_lock(data, increment).expect("it waits for ever");
                    } else {
                        let polling = Request::exclusive(data).retry_delay(Duration::from_micros(100));
                        let _guard = polling.lock().expect("it waits for ever");
                        increment();
                    }
                }
            });
        }
    });
    assert_eq!(fs::read_to_string(data).expect("it is there"), "400");
}

#[test]
fn readers_share_a_lock_and_keep_writers_out() {
    let (_dir, data) = data();
    let first = Request::shared(&data).lock().expect("it is free");
    let both = with_read_lock(&data, || Request::exclusive(&data).try_lock().map(drop));
    assert!(matches!(both, Ok(Err(Error::Busy(_)))), "{both:?}");
    drop(first);
    Request::exclusive(&data).try_lock().map(drop).expect("it is free");
}

#[test]
fn try_lock_is_busy_while_another_thread_or_process_holds_the_lock() {
    let (_dir, data) = data();
    let busy = |mode| match Request::new(data.clone(), mode).try_lock() {
        Err(Error::Busy(target)) => {
            assert_eq!((target.data(), target.mode()), (data.as_path(), mode));
            assert_eq!(target.lock(), Request::shared(&data).lock_paths().expect("a path")[0]);
        }
        other => panic!("{other:?}"),
    };
    let guard = Request::exclusive(&data).lock().expect("it is free");
    busy(Mode::Shared);
    thread::scope(|scope| scope.spawn(|| busy(Mode::Exclusive)).join().expect("no panic"));
    assert_held(&data);
    assert_eq!(guard.release(), [""; 0].map(std::path::PathBuf::from));
    assert_free(&data);

    let _holder = Holder::writer(&data);
    busy(Mode::Shared);
}

#[test]
fn a_timeout_says_how_long_was_waited_and_leaves_no_lock_behind() {
    let (dir, data) = data();
    let other = dir.path().join("a.json");
    let timeout = Duration::from_millis(120);
    for delay in [None, Some(Duration::from_millis(1))] {
        let guard = Request::exclusive(&data).lock().expect("it is free");
        let mut request = Request::shared(&other).and_shared(&data).wait(Wait::For(timeout));
        if let Some(delay) = delay {
            request = request.retry_delay(delay);
        }
        let started = Instant::now();
        match request.lock() {
            Err(e @ Error::TimedOut { .. }) => {
                let text =
                    format!("{}: timed out after [0-9]+m?s[ 0-9ms]*: locked by another", data.display());
                let text = predicate::str::is_match(text).expect("a pattern");
                assert!(text.eval(&e.to_string()), "{e}");
                let Error::TimedOut { target, waited } = e else { unreachable!() };
                assert_eq!(target.data(), data);
                assert!(timeout <= waited && waited <= started.elapsed(), "{waited:?}");
            }
            result => panic!("{result:?}"),
        }
        assert_free(&other);
        drop(guard);
        // Whoever timed out does not come to hold the lock after all.
        crate::common::eventually("the lock is free", || Request::exclusive(&data).try_lock().is_ok());
    }
}

#[test]
fn waiting_threads_of_one_process_are_not_taken_for_already_locked() {
    let (_dir, data) = data();
    let guard = Request::exclusive(&data).lock().expect("it is free");
    let (waits, waiting) = mpsc::channel();
    let waiter = thread::spawn({
        let request = Request::exclusive(&data).wait(Wait::For(WATCHDOG));
        move || {
            let mut on_wait = |waiting: gtlock::lock::Waiting<'_>| {
                waits.send(waiting.target.data().to_owned()).expect("the test listens");
                None
            };
            request.lock_watched(&mut on_wait).map(drop)
        }
    });
    assert_eq!(waiting.recv().expect("it waits"), data);
    drop(guard);
    waiter.join().expect("no panic").expect("it gets the lock");
    assert!(waiting.recv().is_err(), "it was told once, as it asked");
}

#[test]
fn a_watched_wait_is_told_of_again_when_it_asks_for_it() {
    let (_dir, data) = data();
    for delay in [None, Some(Duration::from_millis(1))] {
        let mut guard = Some(Request::exclusive(&data).lock().expect("it is free"));
        let mut told = Vec::new();
        let mut request = Request::exclusive(&data).wait(Wait::For(WATCHDOG));
        if let Some(delay) = delay {
            request = request.retry_delay(delay);
        }
        let result = request.lock_watched(&mut |waiting| {
            told.push(waiting.elapsed);
            if told.len() == 3 {
                guard = None;
            }
            guard.is_some().then_some(Duration::from_millis(10))
        });
        assert!(result.is_ok(), "{result:?}");
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(told.windows(2).all(|pair| pair[1] >= pair[0] + Duration::from_millis(10)), "{told:?}");
    }
}

#[test]
fn an_uncontended_request_is_not_told_to_wait() {
    let (_dir, data) = data();
    let guard = Request::exclusive(&data).lock_watched(&mut |_| panic!("nobody holds it"));
    assert!(guard.is_ok());
}

#[test]
fn is_locked_tells_of_any_holder() {
    let (_dir, data) = data();
    let lock = Request::exclusive(&data);
    assert!(!lock.is_locked().expect("it can be examined"), "no lock file yet");
    assert!(!data.with_file_name(".gastown").exists(), "nothing was created");
    let guard = Request::shared(&data).lock().expect("it is free");
    assert!(lock.is_locked().expect("it can be examined"));
    drop(guard);
    assert!(!lock.is_locked().expect("it can be examined"));
    let holder = Holder::writer(&data);
    assert!(lock.is_locked().expect("it can be examined"));
    holder.release();
    assert!(!lock.is_locked().expect("it can be examined"));
}

#[test]
fn lock_paths_are_canonical_in_order_and_each_once() {
    let (dir, data) = data();
    let locks = dir.path().canonicalize().expect("it is there").join(".gastown/locks");
    symlink("state.json", dir.path().join("alias")).expect("it can be made");
    let request = Request::shared(&data)
        .and_exclusive(dir.path().join("z"))
        .and_shared(dir.path().join("./a"))
        .and_exclusive(dir.path().join("alias"))
        .and_shared(&data);
    let names = ["a.lock", "alias.lock", "state.json.lock", "z.lock"];
    assert_eq!(request.lock_paths().expect("they can be named"), names.map(|name| locks.join(name)));
    assert_eq!(request.paths().count(), 5);
    let guard = request.lock().expect("they are free");
    // In the one order, which is that of the files' device and inode numbers.
    let ids: Vec<_> = guard.locks().map(gtlock::lock::Locked::file_id).collect();
    assert!(ids.is_sorted(), "{ids:?}");
    let mut held: Vec<_> =
        guard.locks().map(|locked| (locked.target().lock().canonicalize(), locked.target().mode())).collect();
    held.sort_by_key(|(lock, _)| lock.as_ref().ok().cloned());
    let held: Vec<_> = held.into_iter().map(|(lock, mode)| (lock.expect("it is there"), mode)).collect();
    let modes = [Mode::Shared, Mode::Exclusive, Mode::Exclusive, Mode::Exclusive];
    assert_eq!(held, names.map(|name| locks.join(name)).into_iter().zip(modes).collect::<Vec<_>>());
    assert!(guard.locks().all(|locked| locked.unrecorded().is_none()));

    let chosen = Request::exclusive(&data).lock_dir(dir.path().join("run"));
    let expected = dir.path().canonicalize().expect("it is there").join("run/state.json.lock");
    drop(chosen.lock().expect("it is free"));
    assert_eq!(chosen.lock_paths().expect("they can be named"), std::slice::from_ref(&expected));
    symlink("run", dir.path().join("link")).expect("it can be made");
    let through_link = Request::exclusive(&data).lock_dir(dir.path().join("link"));
    assert_eq!(
        through_link.lock_paths().expect("they can be named"),
        [expected],
        "or the order is not global"
    );
}

#[test]
fn a_guard_releases_when_it_is_dropped_and_when_its_thread_panics() {
    let (_dir, data) = data();
    let guard = Request::exclusive(&data).lock().expect("it is free");
    let record = || fs::read_to_string(lock_file(&data)).expect("it is there");
    assert_eq!(record(), format!("{}\n", std::process::id()));
    drop(guard);
    assert_eq!(record().trim_end(), "");
    assert_free(&data);
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        with_write_lock(&data, || panic!("under the lock, as this test wants it"))
    }));
    assert!(panicked.is_err());
    assert_eq!(record().trim_end(), "");
    assert_free(&data);
}

#[test]
fn release_reports_the_lock_files_that_were_replaced() {
    let (dir, data) = data();
    let other = dir.path().join("other.json");
    let guard = Request::exclusive(&data).and_exclusive(&other).lock().expect("they are free");
    fs::remove_file(lock_file(&other)).expect("it is there");
    let replaced = guard.release();
    assert_eq!(replaced, Request::exclusive(&other).lock_paths().expect("a path"));
}

#[test]
fn errors_are_told_apart_and_name_the_path() {
    let (dir, data) = data();
    let nowhere = dir.path().join("missing/state.json");
    match Request::exclusive(&nowhere).lock() {
        Err(Error::Invalid { path, reason }) => {
            assert_eq!(path, nowhere);
            assert!(reason.contains("does not exist"), "{reason}");
        }
        result => panic!("{result:?}"),
    }
    assert_free(&data);
    fs::write(lock_file(&data), "content").expect("it can be written");
    let error =
        Request::exclusive(&data).wait(Wait::For(Duration::ZERO)).lock().expect_err("foreign content");
    assert!(matches!(&error, Error::Invalid { path, .. } if path.ends_with("state.json.lock")), "{error:?}");
    assert!(matches!(Request::exclusive(&data).is_locked(), Err(Error::Invalid { .. })));
}

#[test]
fn clean_says_what_it_removed_and_what_it_kept() {
    let (dir, data) = data();
    let locks = dir.path().join(".gastown/locks");
    let _guard = Request::shared(&data).lock().expect("it is free");
    fs::write(locks.join("free.lock"), "").expect("it can be written");
    fs::write(locks.join("foreign.lock"), "content").expect("it can be written");
    for action in [Action::Report, Action::Remove] {
        let cleaned = clean(LockDir::Default(&locks), action).expect("a lock directory");
        assert_eq!(cleaned.removed, [locks.join("free.lock")]);
        let kept = [("foreign.lock", Reason::NotALockFile), ("state.json.lock", Reason::Held)];
        assert_eq!(cleaned.kept, kept.map(|(name, reason)| (locks.join(name), reason)));
        assert!(cleaned.errors.is_empty());
    }
    let cleaned = clean(LockDir::Default(&locks), Action::Remove).expect("a lock directory");
    assert!(cleaned.removed.is_empty());
    assert!(matches!(clean(LockDir::Default(dir.path()), Action::Remove), Err(Error::Invalid { .. })));
}

#[test]
fn a_thread_that_times_out_beside_clean_does_not_hold_a_removed_file() {
    let (_dir, data) = data();
    let guard = Request::exclusive(&data).lock().expect("it is free");
    let timed_out = Request::exclusive(&data).wait(Wait::For(Duration::from_millis(1))).lock();
    assert!(matches!(timed_out, Err(Error::TimedOut { .. })));
    fs::remove_file(lock_file(&data)).expect("it is there");
    // Another lock by now: one under the new file, one under the old.
    let new = Request::exclusive(&data).try_lock().expect("a new file, which nobody holds");
    assert_eq!(guard.release().len(), 1);
    assert!(Request::exclusive(&data).is_locked().expect("it can be examined"));
    assert!(new.release().is_empty());
}

#[test]
fn threads_that_update_lose_nothing_and_readers_without_a_lock_see_no_part() {
    let (dir, data) = &data();
    let increment = |old: Option<&[u8]>| -> Result<Vec<u8>, Error> {
        let count: u32 =
            old.map_or("0", |old| str::from_utf8(old).expect("text")).trim().parse().expect("a number");
        Ok(format!("{:>10000}", count + 1).into_bytes()) // of more than a page
    };
    update(data, increment).expect("it can be made");
    thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(move || (0..20).for_each(|_| update(data, increment).expect("it waits for ever")))
            })
            .collect();
        while !workers.iter().all(thread::ScopedJoinHandle::is_finished) {
            assert_eq!(fs::read(data).expect("it is there, at every moment").len(), 10000);
        }
    });
    assert_eq!(fs::read_to_string(data).expect("it is there").trim(), "81");
    assert_eq!(fs::read_dir(dir.path()).expect("a directory").count(), 2, "the file and the lock directory");
}

#[test]
fn an_update_that_fails_leaves_the_file_as_it_was() {
    let (dir, data) = data();
    assert!(matches!(
        update(&data, |old| Err(old.map(<[u8]>::to_vec).map_or(Failed::Change, Failed::Old))),
        Err(Failed::Change)
    ));
    assert!(!data.exists());
    fs::write(&data, "old").expect("it can be written");
    let failed = update(&data, |old| Err(old.map(<[u8]>::to_vec).map_or(Failed::Change, Failed::Old)));
    assert!(matches!(failed, Err(Failed::Old(old)) if old == b"old"));
    assert!(matches!(update(dir.path(), |_| Err(Failed::Change)), Err(Failed::Lock(Error::Io { .. }))));
    let panicked =
        catch_unwind(AssertUnwindSafe(|| update(&data, |_| -> Result<_, Error> { panic!("as it should") })));
    assert!(panicked.is_err());
    assert_eq!(fs::read_to_string(&data).expect("it is there"), "old");
    assert_free(&data);
}

/// What can go wrong in an update.
#[derive(Debug)]
enum Failed {
    Change,
    Old(Vec<u8>),
    Lock(Error),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Lock(error)
    }
}

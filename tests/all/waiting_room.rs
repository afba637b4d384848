//! `--max-waiters K`: who would be one waiter too many leaves at once.
use std::fs;
use std::path::Path;
use std::process::{Child, Command};

use predicates::prelude::*;

use crate::common::{
    Holder, data, end_of, eventually, gtlock_process, places, seats_and_slots, to_its_end, turns,
    waits_in_kernel,
};

/// A `run --write` that adds its number to the data file.
fn numbered(number: usize, data: &Path, options: &str) -> Command {
    let mut gtlock = gtlock_process();
    gtlock.args(["run", "-q", "--write"]).arg(data).args(options.split_whitespace());
    gtlock.args(["--", "sh", "-c", r#"echo "$1" >> "$2""#, "sh", &number.to_string()]).arg(data);
    gtlock
}

fn waiting(number: usize, data: &Path, options: &str) -> Child {
    let waiter = numbered(number, data, options).spawn().expect("it starts");
    waits_in_kernel(waiter.id(), data);
    waiter
}

#[test]
fn of_fifty_arrivals_one_waits_to_run_once_more_and_the_rest_leave() {
    let (_dir, data) = data();
    let holder = Holder::writer(&data);
    let mut arrivals: Vec<Child> = (0..50)
        .map(|number| numbered(number, &data, "--max-waiters 1").spawn().expect("it starts"))
        .collect();
    let mut codes = Vec::new();
    eventually("all but one leave", || {
        arrivals.retain_mut(|arrival| match arrival.try_wait().expect("it is ours") {
            Some(status) => {
                codes.push(status.code());
                false
            }
            None => true,
        });
        arrivals.len() <= 1
    });
    assert_eq!(codes, vec![Some(75); 49]);
    assert!(turns(&data).is_empty());
    assert!(holder.release().success());
    assert!(arrivals.iter_mut().all(|waiter| end_of(waiter).success()));
    assert_eq!(turns(&data).len(), 1);
}

#[test]
fn as_many_wait_as_may_and_a_seat_is_free_again_when_one_of_them_runs() {
    let (_dir, data) = data();
    let holder = Holder::writer(&data);
    let mut waiters: Vec<Child> = (0..2).map(|number| waiting(number, &data, "--max-waiters=2")).collect();
    to_its_end(numbered(2, &data, "--max-waiters=2")).assert().code(75);
    // Another limit is another limit.
    let mut third = waiting(3, &data, "--max-waiters=3");
    to_its_end(numbered(4, &data, "--max-waiters=3")).assert().code(75);
    // One that gives up, or is killed, leaves its seat.
    third.kill().expect("it waits");
    end_of(&mut third);
    waiters[0].kill().expect("it waits");
    end_of(&mut waiters[0]);
    let mut next = waiting(5, &data, "--max-waiters=2");
    assert!(holder.release().success());
    assert!(end_of(&mut waiters[1]).success());
    assert!(end_of(&mut next).success());
    assert_eq!(turns(&data), ["1", "5"]);
}

#[test]
fn a_command_that_runs_has_no_seat() {
    let (_dir, data) = data();
    let holder = Holder::writer(&data);
    let mut waiter = gtlock_process();
    waiter.args(["run", "-q", "--max-waiters=1", "--write"]).arg(&data);
    let mut waiter = waiter.args(["--", "sh", "-c", "read -r go"]);
    waiter = waiter.stdin(std::process::Stdio::piped());
    let mut waiter = waiter.spawn().expect("it starts");
    eventually("it has a seat and a place", || {
        seats_and_slots(waiter.id(), &data) == 1 && places(waiter.id(), &data).count() == 1
    });
    assert!(holder.release().success());
    eventually("it has the lock", || {
        let record = fs::read_to_string(crate::common::lock_file(&data)).unwrap_or_default();
        record.trim() == waiter.id().to_string()
    });
    assert_eq!(seats_and_slots(waiter.id(), &data) + places(waiter.id(), &data).count(), 0);
    let mut next = waiting(1, &data, "--max-waiters=1");
    drop(waiter.stdin.take());
    end_of(&mut waiter);
    assert!(end_of(&mut next).success());
}

#[test]
fn those_who_wait_without_the_option_are_counted_and_one_line_says_how_many() {
    let (_dir, data) = data();
    let holder = Holder::writer(&data);
    let mut waiters: Vec<Child> = (0..2).map(|number| waiting(number, &data, "")).collect();
    let mut crowded = gtlock_process();
    crowded.args(["run", "--max-waiters=2", "--write"]).arg(&data).args(["--", "true"]);
    let said = predicate::str::ends_with("2 others wait already (--max-waiters)\n");
    to_its_end(crowded).assert().code(75).stdout("").stderr(said);
    let mut crowded = gtlock_process();
    crowded.args(["update", "--max-waiters=1", "-E", "9"]).arg(&data).args(["--", "cat"]);
    let said = predicate::str::ends_with("1 other waits already (--max-waiters)\n");
    to_its_end(crowded).assert().code(9).stdout("").stderr(said);
    let mut third = waiting(2, &data, "--max-waiters=3");
    assert!(holder.release().success());
    assert!(waiters.iter_mut().all(|waiter| end_of(waiter).success()));
    assert!(end_of(&mut third).success());
    assert_eq!(turns(&data), ["0", "1", "2"]);
}

#[test]
fn a_lock_that_is_free_is_not_waited_for() {
    let (_dir, data) = data();
    to_its_end(numbered(0, &data, "--max-waiters=1")).assert().success();
    assert_eq!(turns(&data), ["0"]);
}

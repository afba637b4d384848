//! A registry that many processes update with jq, while readers parse it without a lock, and gtlock and jq are killed
//! at random: every parse succeeds, every update counts.
//!
//! For a few seconds; `GTLOCK_UPDATE_SECONDS` is for longer.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::assert_alone;
use crate::common::{children, data, end_of, gtlock_process, process, skip};

const WORKERS: usize = 16;
const READERS: usize = 2;

/// What a worker did: how many updates it began, and how many of them were done.
#[derive(Clone, Copy, Default)]
struct Account {
    begun: u64,
    done: u64,
    killed: u64,
}

#[test]
fn every_update_counts_and_every_parse_succeeds_whatever_is_killed() {
    if !process("jq").arg("--version").output().is_ok_and(|output| output.status.success()) {
        return skip("a registry", "no jq");
    }
    let seconds = std::env::var("GTLOCK_UPDATE_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    let duration = Duration::from_secs(seconds.unwrap_or(4));
    let (_dir, data) = data();
    fs::write(&data, "{}\n").expect("it can be written");
    let is_over = AtomicBool::new(false);
    let (accounts, parses) = thread::scope(|scope| {
        let readers: Vec<_> = (0..READERS).map(|_| scope.spawn(|| read_until(&data, &is_over))).collect();
        let end = Instant::now() + duration;
        let data = &data;
        let workers: Vec<_> = (0..WORKERS).map(|id| scope.spawn(move || work_until(id, data, end))).collect();
        let accounts: Vec<_> = workers.into_iter().map(|worker| worker.join().expect("no panic")).collect();
        is_over.store(true, Ordering::Relaxed);
        let parses: u64 =
            readers.into_iter().map(|reader| reader.join().expect("every parse succeeds")).sum();
        (accounts, parses)
    });
    let status = gtlock_process().arg("update").arg(&data).args(["--", "jq", "."]).status();
    assert!(status.expect("gtlock runs").success());
    let registry = parse(&data);
    for (id, account) in accounts.iter().enumerate() {
        let counted = registry[format!("worker{id}")].as_u64().unwrap_or(0);
        let Account { begun, done, .. } = *account;
        assert!((done..=begun).contains(&counted), "worker {id}: {counted} of {done} done, {begun} begun");
    }
    assert_alone(&data, &[]);
    let sum = |part: fn(&Account) -> u64| accounts.iter().map(part).sum::<u64>();
    let (begun, done, killed) = (sum(|a| a.begun), sum(|a| a.done), sum(|a| a.killed));
    assert!(done > 0 && killed > 0 && parses > 0);
    let _ = writeln!(
        std::io::stderr(),
        "registry: {begun} updates, {done} done, {killed} with something killed; {parses} parses"
    );
}

fn parse(data: &Path) -> Value {
    let text = fs::read(data).expect("it is there, at every moment");
    serde_json::from_slice(&text).unwrap_or_else(|e| panic!("{e}: {:?}", String::from_utf8_lossy(&text)))
}

fn read_until(data: &Path, is_over: &AtomicBool) -> u64 {
    let mut parses = 0;
    while !is_over.load(Ordering::Relaxed) {
        parse(data);
        parses += 1;
        thread::sleep(Duration::from_micros(200)); // or the updates get no processor
    }
    parses
}

fn work_until(id: usize, data: &Path, end: Instant) -> Account {
    let mut random = fastrand::Rng::with_seed(id as u64);
    let mut account = Account::default();
    while Instant::now() < end {
        let filter = format!(".worker{id} += 1");
        let mut update = gtlock_process();
        update.arg("update").arg("-q").arg(data).args(["--", "jq", &filter]);
        let mut gtlock = update.stdin(Stdio::null()).stderr(Stdio::null()).spawn().expect("gtlock starts");
        account.begun += 1;
        let victims = random.u8(0..6); // 1: gtlock, 2: jq, 3: both, and mostly none
        let is_shot = (1..4).contains(&victims);
        if is_shot {
            thread::sleep(Duration::from_micros(random.u64(0..60_000)));
            account.killed += 1;
            shoot(&mut gtlock, victims & 1 != 0, victims & 2 != 0);
        }
        let is_done = end_of(&mut gtlock).success();
        assert!(is_done || is_shot, "an update that nobody disturbs is done");
        account.done += u64::from(is_done);
    }
    account
}

/// Sends SIGKILL to gtlock, to what it runs, or to both, if they still run.
fn shoot(gtlock: &mut Child, itself: bool, its_child: bool) {
    let pid = gtlock.id();
    // gtlock is ours to wait for, so its number is not another's; its child's it could be only after it has reaped it.
    if its_child && let [child] = children(pid)[..] {
        let _ = kill(Pid::from_raw(child.try_into().expect("a process ID")), Signal::SIGKILL);
    }
    if itself {
        let _ = gtlock.kill();
    }
}

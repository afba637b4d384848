//! Everything at once: writers, readers, kills, stops, and faults of etcd. Each command writes what it does and when, by a
//! clock that all share. At the end the test reads this history: no writer ran beside another command, fences rose in the
//! order of the starts, and no acknowledged update is missing.
//!
//! It runs for `GTLOCK_STRESS_SECONDS`, and not at all without that variable: it needs a machine to itself.
#![cfg(target_os = "linux")]

#[path = "../etcd/cluster.rs"]
#[allow(dead_code, reason = "the other tests use more of it")]
mod cluster;
#[path = "../etcd/common.rs"]
#[allow(dead_code, reason = "the other tests use more of it")]
mod common;
mod history;

use std::collections::HashSet;
use std::env;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use cluster::Cluster;
use common::{gtlock, skip};
use history::History;

const WORKERS: usize = 8;

/// How long a stop lasts: longer than the locks.
const STOP: Duration = Duration::from_secs(5);

/// The command, with the arguments `DIR MODE TOKEN`. It writes its start, then the time at each step until it ends. A writer
/// reads a file, waits, and writes it back with its token added.
const COMMAND: &str = r#"
    use Time::HiRes qw(clock_gettime usleep);
    my ($dir, $mode, $token) = @ARGV;
    $SIG{TERM} = 'IGNORE' if rand() < 0.5;
    open my $beats, '>', "$dir/beats/$token" or die;
    my $beat = sub { sysseek $beats, 0, 0; syswrite $beats, sprintf "%020.6f", clock_gettime(7) };
    my $start = clock_gettime(7); $beat->();
    open my $log, '>>', "$dir/history" or die;
    syswrite $log, sprintf "%s %d %.6f %s\n", $mode, $ENV{GTLOCK_FENCE}, $start, $token;
    my $old = '';
    if ($mode eq 'w') { local $/; open my $in, '<', "$dir/tokens"; $old = <$in> }
    for (1 .. 5 + rand(rand() < 0.8 ? 30 : 1000)) { usleep 2000; $beat->() }
    if ($mode eq 'w') { open my $out, '>', "$dir/tokens" or die; syswrite $out, "$old$token\n" }
    $beat->();
"#;

/// A gtlock that runs, and whether one of its processes was hit: never both.
struct Run {
    front: u32,
    is_hit: bool,
}

#[derive(Default)]
struct Counts {
    done: AtomicUsize,
    lost: AtomicUsize,
    refused: AtomicUsize,
    other: AtomicUsize,
    kills: AtomicUsize,
    stops: AtomicUsize,
    faults: AtomicUsize,
}

#[test]
fn no_acknowledged_update_is_lost_and_no_writer_runs_beside_another() {
    let seconds = env::var("GTLOCK_STRESS_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    let Some(seconds) = seconds.map(Duration::from_secs) else {
        return skip("the stress test", "GTLOCK_STRESS_SECONDS is not set");
    };
    let seed = env::var("GTLOCK_STRESS_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..1 << 32));
    println!("GTLOCK_STRESS_SEED={seed}");
    let Some(mut etcd) = Cluster::alone(3) else { return };
    let dir = tempfile::tempdir().expect("a temporary directory");
    fs::create_dir(dir.path().join("beats")).expect("it can be made");
    fs::write(dir.path().join("tokens"), "").expect("it can be written");
    let template = (etcd.at(), gtlock(&etcd).get_program().to_owned());
    let runs: Vec<Mutex<Option<Run>>> = (0..WORKERS).map(|_| Mutex::default()).collect();
    let (counts, is_over) = (Counts::default(), AtomicBool::new(false));
    let acknowledged = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for (worker, run) in runs.iter().enumerate() {
            let (dir, template, counts, acknowledged, is_over) =
                (dir.path(), &template, &counts, &acknowledged, &is_over);
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(seed + worker as u64);
                for turn in 0.. {
                    if is_over.load(Ordering::Relaxed) {
                        return;
                    }
                    let token = format!("{worker}-{turn}");
                    let mode = if random.u8(..4) == 0 { "r" } else { "w" };
                    let mut launch = Command::new(&template.1);
                    launch.env("GTLOCK_AT", &template.0).args(["run", "-q", "--ttl", "3s"]);
                    if random.u8(..6) == 0 {
                        launch.args(["--timeout", "500ms"]);
                    }
                    launch.arg(if mode == "r" { "--read" } else { "--write" });
                    launch.args(["stress", "--", "perl", "-e", COMMAND]).arg(dir).args([mode, &token]);
                    let mut child = launch.stdin(Stdio::null()).spawn().expect("gtlock starts");
                    *run.lock().expect("no panic") = Some(Run { front: child.id(), is_hit: false });
                    let code = end(&mut child, run);
                    let count = match code {
                        Some(0) => &counts.done,
                        Some(76) => &counts.lost,
                        Some(75) => &counts.refused,
                        _ => &counts.other,
                    };
                    count.fetch_add(1, Ordering::Relaxed);
                    if code == Some(0) && mode == "w" {
                        acknowledged.lock().expect("no panic").push(token);
                    }
                }
            });
        }
        let mut random = fastrand::Rng::with_seed(seed);
        let started = Instant::now();
        while started.elapsed() < seconds {
            thread::sleep(Duration::from_millis(random.u64(20..400)));
            if random.u8(..25) == 0 {
                break_etcd(&mut etcd, &mut random);
                counts.faults.fetch_add(1, Ordering::Relaxed);
            } else {
                hit(&runs[random.usize(..WORKERS)], &mut random, &counts);
            }
        }
        is_over.store(true, Ordering::Relaxed);
    });
    let history = History::read(dir.path());
    let count = |count: &AtomicUsize| count.load(Ordering::Relaxed);
    println!(
        "{} done, {} lost in time, {} timed out, {} ended otherwise; {} kills, {} stops, {} faults of etcd; {} commands",
        count(&counts.done),
        count(&counts.lost),
        count(&counts.refused),
        count(&counts.other),
        count(&counts.kills),
        count(&counts.stops),
        count(&counts.faults),
        history.len(),
    );
    history.check();
    let acknowledged = acknowledged.into_inner().expect("no panic");
    check_tokens(dir.path(), &acknowledged);
    println!("{} updates acknowledged, all there", acknowledged.len());
}

/// Waits for a gtlock to end. A stopped process of it is continued later by [`hit`].
fn end(child: &mut Child, run: &Mutex<Option<Run>>) -> Option<i32> {
    let started = Instant::now();
    loop {
        // Under the mutex, so that [`hit`] signals no other process with the same ID.
        let mut run = run.lock().expect("no panic");
        if let Some(status) = child.try_wait().expect("it is ours") {
            *run = None;
            return status.code();
        }
        drop(run);
        assert!(started.elapsed() < Duration::from_mins(5), "a gtlock hangs");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Kills or stops one of the two processes of a gtlock.
fn hit(run: &Mutex<Option<Run>>, random: &mut fastrand::Rng, counts: &Counts) {
    let mut run = run.lock().expect("no panic");
    let Some(run) = run.as_mut().filter(|run| !run.is_hit) else { return };
    let is_front = random.bool();
    let process = if is_front { Some(run.front) } else { keeper_of(run.front) };
    let Some(process) = process.and_then(|process| process.try_into().ok()).map(Pid::from_raw) else {
        return;
    };
    run.is_hit = true;
    if random.bool() {
        counts.kills.fetch_add(1, Ordering::Relaxed);
        let _ = kill(process, Signal::SIGKILL);
    } else if kill(process, Signal::SIGSTOP).is_ok() {
        counts.stops.fetch_add(1, Ordering::Relaxed);
        thread::spawn(move || {
            thread::sleep(STOP);
            let _ = kill(process, Signal::SIGCONT);
        });
    }
}

fn keeper_of(front: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{front}/task/{front}/children")).ok()?;
    let mut children = children.split_ascii_whitespace().filter_map(|child| child.parse().ok());
    children.find(|child| {
        let exe = fs::read_link(format!("/proc/{child}/exe"));
        exe.is_ok_and(|exe| exe.to_string_lossy().contains("gtlock-etcd"))
    })
}

/// Stops or kills a node for a while, sometimes two.
fn break_etcd(etcd: &mut Cluster, random: &mut fastrand::Rng) {
    let first = random.usize(..3);
    let nodes = if random.u8(..4) == 0 { vec![first, (first + 1) % 3] } else { vec![first] };
    let time = Duration::from_millis(random.u64(500..6000));
    if random.bool() {
        for &node in &nodes {
            etcd.signal(node, Signal::SIGSTOP);
        }
        thread::sleep(time);
        for &node in &nodes {
            etcd.signal(node, Signal::SIGCONT);
        }
    } else {
        for &node in &nodes {
            etcd.kill(node);
        }
        thread::sleep(time);
        for &node in &nodes {
            etcd.launch(node);
        }
    }
}

fn check_tokens(dir: &Path, acknowledged: &[String]) {
    let tokens = fs::read_to_string(dir.join("tokens")).expect("it is there");
    let tokens: HashSet<_> = tokens.lines().collect();
    let lost: Vec<_> = acknowledged.iter().filter(|token| !tokens.contains(token.as_str())).collect();
    assert!(lost.is_empty(), "acknowledged, and lost: {lost:?}");
}

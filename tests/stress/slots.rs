//! Many processes over four slots, some of which take two, with SIGKILL of a part of them, of gtlocks and of commands,
//! and `clean` and `status` beside them.
//!
//! A few seconds as a test; for longer:
//!
//! ```text
//! GTLOCK_STRESS_SECONDS=60 cargo test --release --test stress slots:: -- --nocapture
//! ```
//!
//! Each slot has a witness: a record lock of fcntl(2) on a byte of another file, which the command takes without
//! waiting, and which the kernel drops with it. To be refused it means that somebody else has the slot. So each number
//! is used by one at a time, and as there are four bytes, never more than four slots are out.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use nix::sys::signal::{Signal, kill, raise};
use nix::unistd::Pid;

use super::common::{end_of, gtlock, gtlock_process, lock_file};
use super::{number_from, say};

const SLOTS: u32 = 4;
const PROCESSES: u64 = 32;

/// In whose environment this is, that process is the command: how many slots it must have, for how many microseconds it
/// stays, and whether it kills itself then.
const TASK: &str = "GTLOCK_STRESS_SLOTS";

/// Not a test: what runs with the slots.
#[test]
fn the_command_with_slots() {
    let Ok(task) = std::env::var(TASK) else { return };
    let numbers: Vec<u64> = task.split(' ').map(|number| number.parse().expect("a number")).collect();
    let slots = std::env::var("GTLOCK_SLOT").expect("it has slots");
    let slots: Vec<u32> = slots.split(' ').map(|slot| slot.parse().expect("a number")).collect();
    let is_wrong = slots.len() as u64 != numbers[0]
        || !slots.is_sorted_by(|a, b| a < b)
        || !slots.iter().all(|slot| (1..=SLOTS).contains(slot))
        || !has_witnesses(&slots);
    if is_wrong {
        let seen = File::options().create(true).append(true).open("violations");
        seen.and_then(|mut file| writeln!(file, "{slots:?} for {task}")).expect("it can be written");
        panic!("{slots:?} for {task}");
    }
    thread::sleep(Duration::from_micros(numbers[1]));
    if numbers[2] == 1 {
        let _ = raise(Signal::SIGKILL);
    }
}

/// Whether nobody else has one of the slots.
fn has_witnesses(slots: &[u32]) -> bool {
    let file = File::options().create(true).truncate(false).read(true).write(true).open("witness");
    let file = file.expect("it can be opened");
    let takes = |&slot: &u32| {
        let byte = libc::flock {
            l_type: libc::F_WRLCK.try_into().expect("it is small"),
            l_whence: libc::SEEK_SET.try_into().expect("it is small"),
            l_start: slot.into(),
            l_len: 1,
            l_pid: 0,
        };
        fcntl(&file, FcntlArg::F_SETLK(&byte)).is_ok()
    };
    let all = slots.iter().all(takes);
    std::mem::forget(file); // its locks last as long as this process
    all
}

#[derive(Default)]
struct Figures {
    ones: AtomicU64,
    twos: AtomicU64,
    killed: AtomicU64,
    expired: AtomicU64,
    looks: AtomicU64,
    wrong: Mutex<Vec<String>>,
}

#[test]
fn never_more_slots_are_out_than_there_are_and_each_has_one_owner() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let seed = number_from("GTLOCK_STRESS_SEED").unwrap_or_else(|| fastrand::u64(..1 << 32));
    let lasts = Duration::from_secs(number_from("GTLOCK_STRESS_SECONDS").unwrap_or(3));
    let mut rng = Rng::with_seed(seed);
    let (figures, is_over) = (Figures::default(), AtomicBool::new(false));
    let started = Instant::now();
    thread::scope(|scope| {
        let (dir, figures, is_over) = (dir.path(), &figures, &is_over);
        for _ in 0..PROCESSES {
            let mut rng = rng.fork();
            scope.spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    operate(dir, figures, &mut rng);
                }
            });
        }
        for look in [["clean", "-q", "-R"], ["status", "--json", "-R"]] {
            scope.spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    let mut gtlock = gtlock_process();
                    let looked = gtlock.args(look).current_dir(dir).stdout(Stdio::null()).status();
                    if !looked.expect("it starts").success() {
                        figures.fail(format!("{look:?} failed"));
                    }
                    figures.looks.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        while started.elapsed() < lasts && !dir.join("violations").exists() {
            thread::sleep(Duration::from_millis(20));
        }
        is_over.store(true, Ordering::Relaxed);
    });
    let Figures { ones, twos, killed, expired, looks, wrong } = figures;
    let [ones, twos, killed, expired, looks] =
        [ones, twos, killed, expired, looks].map(AtomicU64::into_inner);
    say(&format!(
        "slots, seed {seed}, {:.1?}: {ones} had one, {twos} had two, {killed} were killed, {expired} expired; \
         {looks} clean and status",
        started.elapsed()
    ));
    let mut wrong = wrong.into_inner().expect("nobody panicked");
    wrong.extend(fs::read_to_string(dir.path().join("violations")).ok());
    assert!(wrong.is_empty(), "seed {seed}:\n{}", wrong.join("\n"));
    assert!(ones > 0 && twos > 0 && killed > 0, "seed {seed}: not enough has happened");

    // Nothing is left: the last orphans end by themselves.
    let mut all = gtlock();
    all.args(["run", "--slots=4", "--take=4", "--timeout=60s", "--read", "f"]).current_dir(dir.path());
    all.args(["--", "sh", "-c", "echo \"$GTLOCK_SLOT\""]).assert().success().stdout("1 2 3 4\n");
    gtlock().args(["clean", "-q"]).current_dir(dir.path()).assert().success();
    assert!(!lock_file(&dir.path().join("f")).exists());
}

impl Figures {
    fn fail(&self, what: String) {
        self.wrong.lock().expect("nobody panicked").push(what);
    }
}

/// A request for slots, to its end; one in five is killed, or its command kills itself.
fn operate(dir: &Path, figures: &Figures, rng: &mut Rng) {
    let take = if rng.u8(..4) == 0 { 2 } else { 1 };
    let (is_killed, kills_itself) = (rng.u8(..100) < 15, rng.u8(..100) < 5);
    let may_expire = rng.u8(..5) == 0;
    let mut gtlock = command(dir, take, rng.u32(..3000), kills_itself);
    if may_expire {
        gtlock.arg(format!("--timeout={}ms", rng.u32(1..200)));
    }
    let this = std::env::current_exe().expect("a running test has a program");
    gtlock.arg("--").arg(this).args(["--exact", "slots::the_command_with_slots"]);
    let mut process = gtlock.spawn().expect("it starts");
    if is_killed {
        thread::sleep(Duration::from_micros(rng.u64(..100_000)));
    }
    let status = if is_killed { killed(&mut process) } else { end_of(&mut process) };
    let count = |figure: &AtomicU64| _ = figure.fetch_add(1, Ordering::Relaxed);
    match (status.code(), status.signal()) {
        (Some(0), _) if !kills_itself => count(if take == 1 { &figures.ones } else { &figures.twos }),
        (Some(75), _) if may_expire => count(&figures.expired),
        (_, Some(9)) if is_killed || kills_itself => count(&figures.killed),
        _ => figures.fail(format!("{status}: {gtlock:?}")),
    }
}

fn command(dir: &Path, take: u32, stays: u32, kills_itself: bool) -> Command {
    let mut gtlock = gtlock_process();
    gtlock.current_dir(dir).stdin(Stdio::null()).stdout(Stdio::null());
    gtlock.env(TASK, format!("{take} {stays} {}", u8::from(kills_itself)));
    gtlock.args(["run", "-q", "--read", "f", &format!("--slots={SLOTS}"), &format!("--take={take}")]);
    gtlock
}

/// Sends SIGKILL to a process, which nobody has reaped.
fn killed(process: &mut Child) -> ExitStatus {
    let _ = kill(Pid::from_raw(process.id().try_into().expect("a process ID")), Signal::SIGKILL);
    end_of(process)
}

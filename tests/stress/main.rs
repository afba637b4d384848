//! Everything at once, for as long as one likes: writers, readers, `try`, `status` and `clean`, requests for
//! several locks, timeouts that expire, and SIGKILL, SIGTERM and SIGSTOP to whoever it may hit. One file is
//! only ever read, from beginning to end, so that neither a writer nor `clean` tidies its record up.
//!
//! A few seconds as a test; for longer:
//!
//! ```text
//! GTLOCK_STRESS_SECONDS=1200 cargo test --release --test stress -- --nocapture
//! ```
//!
//! `GTLOCK_STRESS_WORKERS` says how many, and `GTLOCK_STRESS_SEED` repeats the choices of a run, though not
//! how the processes are scheduled. Signals go to the test's own children only, and before they are reaped.
#![cfg(target_os = "linux")]

mod accounts;
mod command;
#[path = "../all/common/mod.rs"]
mod common;
mod slots;

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use fastrand::Rng;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;

use accounts::{Operation, Verdict};
use command::Task;
use common::{Holder, gtlock, gtlock_process};

/// A process that runs longer than this hangs. A machine that is busy with other things, at a higher
/// priority, has kept one from the processor for a minute and a half.
const HANGS_AFTER: Duration = Duration::from_mins(5);

/// What a lock file may hold at most, in bytes.
const BOUND: u64 = 4096;

/// From here on process IDs are nobody's.
const FIRST_DEAD: u32 = 4_200_000_000;

/// The data file that nobody writes.
const ONLY_READ: &str = "e.json";

/// What the test does to a process that it started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attack {
    None,
    /// SIGKILL to gtlock; its command goes on, and with it the lock.
    Kill,
    /// SIGTERM to gtlock, which passes it on.
    Term,
    /// SIGSTOP to gtlock, and SIGCONT a while later.
    Stop,
    /// The command kills itself at some step.
    Suicide,
}

#[derive(Debug, Default)]
struct Figures {
    operations: AtomicU64,
    writes: AtomicU64,
    reads: AtomicU64,
    several: AtomicU64,
    tries: AtomicU64,
    /// Operations that SIGKILL ended: that of the test, or that of a command to itself.
    killed: AtomicU64,
    expiries: AtomicU64,
    refusals: AtomicU64,
    // Runs without a command.
    cleans: AtomicU64,
    statuses: AtomicU64,
    questions: AtomicU64,
    // Signals that the test sent, to whichever of all these, in time or not.
    sigkills: AtomicU64,
    sigterms: AtomicU64,
    sigstops: AtomicU64,
    /// Lines in the record of the file that is only read, at the end.
    lines: AtomicU64,
    /// Those of them that are nobody's who was killed or became the command.
    strays: AtomicU64,
}

fn count(figure: &AtomicU64) {
    figure.fetch_add(1, Ordering::Relaxed);
}

/// One run.
struct Stress {
    dir: PathBuf,
    data: Vec<PathBuf>,
    is_over: AtomicBool,
    running: Mutex<HashMap<u32, (String, Instant)>>,
    operations: Mutex<HashMap<u64, Operation>>,
    /// The readers of the file that is only read who could not take their line away.
    cut_short: Mutex<HashSet<u32>>,
    wrong: Mutex<Vec<String>>,
    figures: Figures,
}

fn number_from(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|value| value.parse().unwrap_or_else(|e| panic!("{variable}: {e}")))
}

/// Past the harness, which keeps what is printed to itself.
fn say(what: &str) {
    let _ = writeln!(std::io::stderr(), "stress: {what}");
}

/// Not a test: what runs under the locks. See [`command`].
#[test]
fn the_command() {
    if let Ok(task) = std::env::var(command::TASK) {
        serde_json::from_str::<Task>(&task).expect("a task").run();
    }
}

#[test]
fn nothing_is_lost_torn_or_left_behind_under_stress() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let seed = number_from("GTLOCK_STRESS_SEED").unwrap_or_else(|| fastrand::u64(..1 << 32));
    let lasts = Duration::from_secs(number_from("GTLOCK_STRESS_SECONDS").unwrap_or(5));
    let workers = number_from("GTLOCK_STRESS_WORKERS").unwrap_or(8);
    say(&format!("GTLOCK_STRESS_SEED={seed}, {workers} workers, {lasts:?}"));
    let stress = Stress::new(dir.path());
    let mut rng = Rng::with_seed(seed);
    let reader = stress.hold_only_read();
    let started = Instant::now();
    thread::scope(|scope| {
        let stress = &stress;
        let mut threads = Vec::new();
        for worker in 0..workers {
            let rng = rng.fork();
            threads.push(scope.spawn(move || stress.work(worker, rng)));
        }
        for loop_of in [&["clean", "-q", "-R"][..], &["status", "--json", "-R"], &["try", "-q"]] {
            let rng = rng.fork();
            threads.push(scope.spawn(move || stress.be_curious(loop_of, rng)));
        }
        stress.watch(lasts, || threads.iter().all(ScopedJoinHandle::is_finished));
    });
    let took = started.elapsed();
    stress.look_for_strays(&reader);
    assert!(reader.release().success());
    stress.end_quietly();
    let data: Vec<&Path> = stress.data.iter().map(PathBuf::as_path).collect();
    let (summary, mut wrong) =
        accounts::audit(dir.path(), &data, &stress.operations.lock().expect("nobody panicked"));
    wrong.splice(0..0, fs::read_to_string(dir.path().join(command::VIOLATIONS)).ok());
    wrong.extend(stress.wrong.into_inner().expect("nobody panicked"));
    let said = fs::read_to_string(dir.path().join("stderr")).unwrap_or_default();
    say(&format!("after {took:.1?}: {:?} {summary:?}", stress.figures));
    assert!(wrong.is_empty(), "seed {seed}, after {took:.1?}:\n{}\nstderr:\n{said}", wrong.join("\n"));
    assert_eq!(said, "", "seed {seed}: said on standard error");
    let figures = &stress.figures;
    let counts =
        [&figures.operations, &figures.killed, &figures.cleans, &figures.statuses, &figures.questions];
    let did_something = counts.iter().all(|count| count.load(Ordering::Relaxed) > 0);
    assert!(did_something && summary.increments > 0, "seed {seed}: not enough has happened");
}

impl Stress {
    fn new(dir: &Path) -> Self {
        fs::create_dir(dir.join("sub")).expect("it can be made");
        let data =
            ["a.json", "b.json", "c.json", "sub/d.json", ONLY_READ].map(|name| dir.join(name)).to_vec();
        for data in &data {
            command::create(data).expect("it can be written");
        }
        symlink("a.json", dir.join("alias")).expect("it can be made");
        Self {
            dir: dir.to_owned(),
            data,
            is_over: AtomicBool::new(false),
            running: Mutex::default(),
            operations: Mutex::default(),
            cut_short: Mutex::default(),
            wrong: Mutex::default(),
            figures: Figures::default(),
        }
    }

    /// Holds the lock of the file that is only read, shared, with a record that is due to be tidied.
    fn hold_only_read(&self) -> Holder {
        let data = self.dir.join(ONLY_READ);
        let reader = Holder::reader(&data);
        let lock = File::options().append(true).open(common::lock_file(&data));
        // No process has these numbers. With one more it would be above the bound.
        let dead: String = (FIRST_DEAD..).take(371).map(|pid| pid.to_string() + "\n").collect();
        lock.and_then(|mut lock| lock.write_all(dead.as_bytes())).expect("it can be written");
        reader
    }

    /// Once all have ended: of the file that is only read, the record names whoever still holds it, and those
    /// who could not take their line away. Who could has, unless others were at the record for 5 ms, or were
    /// stopped in the middle of it. (A process ID may come again, in a run of minutes: then its line is not
    /// told from that of the one before.)
    fn look_for_strays(&self, reader: &Holder) {
        let record = fs::read_to_string(common::lock_file(&self.dir.join(ONLY_READ)));
        let record = record.expect("a lock file that is held is there");
        if record.contains(&FIRST_DEAD.to_string()) {
            self.fail(format!("{ONLY_READ}: its record was never tidied: {} bytes", record.len()));
        }
        let cut_short = self.cut_short.lock().expect("nobody panicked");
        let (mut lines, mut strays) = (0, Vec::new());
        for line in record.lines().filter(|line| !line.is_empty() && *line != reader.pid().to_string()) {
            let pid: u32 = line.parse().unwrap_or_else(|_| panic!("a number, not {line:?}"));
            lines += 1;
            if !cut_short.contains(&pid) {
                strays.push(pid);
            }
        }
        self.figures.lines.store(lines, Ordering::Relaxed);
        self.figures.strays.store(strays.len() as u64, Ordering::Relaxed);
        // On a busy machine an eighth are strays; if none took its line away, nine in ten would be.
        if strays.len() as u64 > 5 + lines / 2 {
            strays.truncate(9);
            self.fail(format!(
                "{ONLY_READ}: of {lines} lines left, too many need not be, such as {strays:?}"
            ));
        }
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    fn fail(&self, what: String) {
        self.wrong.lock().expect("nobody panicked").push(what);
        self.is_over.store(true, Ordering::Relaxed);
    }

    /// Ends the run in time, or when something is wrong or hangs.
    fn watch(&self, lasts: Duration, has_ended: impl Fn() -> bool) {
        let started = Instant::now();
        while !has_ended() {
            if started.elapsed() >= lasts || self.dir.join(command::VIOLATIONS).exists() {
                self.is_over.store(true, Ordering::Relaxed);
            }
            for data in &self.data {
                let length = fs::metadata(common::lock_file(data)).map_or(0, |lock| lock.len());
                if length > BOUND {
                    self.fail(format!("{}: its lock file has {length} bytes", data.display()));
                }
            }
            let running = self.running.lock().expect("nobody panicked");
            if running.values().any(|(_, since)| since.elapsed() > HANGS_AFTER) {
                // Whoever waits for these would wait for ever: there is no way on from here.
                for (pid, (what, since)) in running.iter() {
                    say(&format!("{pid} runs for {:?}: {what}{}", since.elapsed(), asleep_in(*pid)));
                }
                let status = gtlock_process().args(["status", "-R"]).arg(&self.dir).output();
                say(&String::from_utf8_lossy(&status.map(|output| output.stdout).unwrap_or_default()));
                running.keys().for_each(|&pid| signal(pid, Signal::SIGKILL));
                say("hung: see above");
                std::process::abort();
            }
            drop(running);
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn work(&self, worker: u64, mut rng: Rng) {
        let mut operation = worker << 32;
        while !self.is_over() {
            operation += 1;
            self.operate(operation, worker, &mut rng);
        }
    }

    /// One operation of a worker.
    fn operate(&self, operation: u64, worker: u64, rng: &mut Rng) {
        let files = if rng.u8(..100) < 75 { 1 } else { rng.usize(2..=3) };
        let (mut writes, mut reads) = (Vec::new(), Vec::new());
        for data in rng.choose_multiple(&self.data, files) {
            let is_written = rng.u8(..100) < 60 && !data.ends_with(ONLY_READ);
            (if is_written { &mut writes } else { &mut reads }).push(data.clone());
        }
        let attack = match rng.u8(..100) {
            0..55 => Attack::None,
            55..70 => Attack::Kill,
            70..80 => Attack::Term,
            80..90 => Attack::Stop,
            _ => Attack::Suicide,
        };
        let becomes_command = rng.u8(..100) < 10;

        let mut gtlock = gtlock_process();
        let does_try = rng.u8(..100) < 15;
        gtlock.arg(if does_try { "try" } else { "run" }).arg("-q");
        let gives_up = does_try || rng.bool();
        if gives_up && !does_try {
            gtlock.arg(format!("--timeout={}ms", rng.u32(1..100)));
        }
        if !does_try && rng.u8(..100) < 15 {
            gtlock.arg("--retry-delay=1ms");
        }
        if becomes_command {
            gtlock.arg("--no-fork");
        }
        let mut named: Vec<(&str, PathBuf)> = (writes.iter().map(|data| ("--write", data.clone())))
            .chain(reads.iter().map(|data| ("--read", data.clone())))
            .collect();
        rng.shuffle(&mut named);
        for (mode, data) in named {
            let alias = if data == self.data[0] && rng.bool() { self.dir.join("alias") } else { data };
            gtlock.arg(mode).arg(alias);
        }
        let task = Task {
            operation,
            ledger: self.dir.join(format!("ledger.{worker}")),
            pause: rng.u64(..=2000),
            dies_after: (attack == Attack::Suicide).then(|| rng.u32(1..=9)),
            has_parent: !becomes_command && matches!(attack, Attack::None | Attack::Stop),
            writes,
            reads,
        };
        let this = std::env::current_exe().expect("a running test has a program");
        gtlock.arg("--").arg(this).args(["--exact", "the_command", "--nocapture"]);
        gtlock.env(command::TASK, serde_json::to_string(&task).expect("it can be written down"));

        let status = self.attacked(&mut gtlock, attack, becomes_command, rng);
        self.tally(&task, status, does_try);
        let was_attacked = !matches!(attack, Attack::None | Attack::Stop);
        let verdict = match (status.code(), status.signal()) {
            (Some(0), _) => Verdict::Succeeded,
            (Some(75), _) if gives_up => Verdict::Refused,
            (_, Some(libc_signal)) if was_attacked && [9, 15].contains(&libc_signal) => Verdict::Killed,
            _ => {
                return self.fail(format!("operation {operation}: {status}: {attack:?}, {}", shown(&gtlock)));
            }
        };
        if verdict == Verdict::Refused {
            count(if does_try { &self.figures.refusals } else { &self.figures.expiries });
        }
        let name = |data: &PathBuf| data.file_name().expect("a file").to_string_lossy().into_owned();
        let writes = task.writes.iter().map(name).collect();
        let known = Operation { verdict, writes, was_attacked };
        self.operations.lock().expect("nobody panicked").insert(operation, known);
    }

    fn tally(&self, task: &Task, status: ExitStatus, does_try: bool) {
        let figures = &self.figures;
        count(&figures.operations);
        count(match (task.writes.len(), task.reads.len()) {
            (1, 0) => &figures.writes,
            (0, 1) => &figures.reads,
            _ => &figures.several,
        });
        if does_try {
            count(&figures.tries);
        }
        if status.signal() == Some(Signal::SIGKILL as i32) {
            count(&figures.killed);
        }
    }

    /// Loops of those who come and go without a command; now and then one gets a signal.
    fn be_curious(&self, arguments: &[&str], mut rng: Rng) {
        while !self.is_over() {
            let mut gtlock = gtlock_process();
            gtlock.args(arguments);
            if arguments[0] == "try" {
                gtlock.arg(if rng.bool() { "--write" } else { "--read" });
                gtlock.arg(&self.data[rng.usize(..self.data.len())]);
            } else {
                gtlock.arg(&self.dir);
            }
            let attack = match rng.u8(..100) {
                0..10 => Attack::Kill,
                10..15 => Attack::Term,
                15..20 => Attack::Stop,
                _ => Attack::None,
            };
            let status = self.attacked(&mut gtlock, attack, false, &mut rng);
            count(match arguments[0] {
                "clean" => &self.figures.cleans,
                "status" => &self.figures.statuses,
                _ => &self.figures.questions,
            });
            let may_be_refused = arguments[0] == "try";
            match (status.code(), status.signal()) {
                (Some(0), _) => {}
                (Some(75), _) if may_be_refused => {}
                (_, Some(9)) if attack == Attack::Kill => {}
                (_, Some(15)) if attack == Attack::Term => {}
                _ => self.fail(format!("{status}: {attack:?}, {}", shown(&gtlock))),
            }
        }
    }

    /// Runs a process to its end, and does to it what is to be done.
    fn attacked(
        &self,
        gtlock: &mut Command,
        attack: Attack,
        becomes_command: bool,
        rng: &mut Rng,
    ) -> ExitStatus {
        let said = File::options().create(true).append(true).open(self.dir.join("stderr"));
        gtlock.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said.expect("it can be opened"));
        let mut process = gtlock.spawn().expect("gtlock starts");
        let pid = process.id();
        let since = Instant::now();
        self.running.lock().expect("nobody panicked").insert(pid, (shown(gtlock), since));
        let most = [2_000, 10_000, 50_000][rng.usize(..3)];
        let mut wait = |most| thread::sleep(Duration::from_micros(rng.u64(..=most)));
        match attack {
            Attack::None | Attack::Suicide => {}
            Attack::Kill => {
                wait(most);
                count(&self.figures.sigkills);
                signal(pid, Signal::SIGKILL);
            }
            Attack::Term => {
                wait(most);
                count(&self.figures.sigterms);
                signal(pid, Signal::SIGTERM);
            }
            Attack::Stop => {
                wait(most);
                count(&self.figures.sigstops);
                signal(pid, Signal::SIGSTOP);
                wait(most);
                signal(pid, Signal::SIGCONT);
            }
        }
        let status = self.reap(&mut process);
        let is_killed = matches!(attack, Attack::Kill | Attack::Term) && status.signal().is_some();
        let only_read = self.dir.join(ONLY_READ);
        if (is_killed || becomes_command) && gtlock.get_args().any(|argument| argument == only_read) {
            self.cut_short.lock().expect("nobody panicked").insert(pid);
        }
        status
    }

    /// Waits for a process. It is reaped only while nobody else can send it a signal.
    fn reap(&self, process: &mut Child) -> ExitStatus {
        let pid = process.id();
        let ends = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
        waitid(Id::Pid(to_pid(pid)), ends).expect("it is ours to wait for");
        let mut running = self.running.lock().expect("nobody panicked");
        running.remove(&pid);
        process.wait().expect("it is ours to wait for")
    }

    /// Once all is over: nothing is held, nothing is left.
    fn end_quietly(&self) {
        // The last orphans of gtlocks that were killed still hold locks; they end by themselves.
        let mut all = gtlock();
        all.args(["run", "-q", "--timeout=60s"]);
        for data in &self.data {
            all.arg("--write").arg(data);
        }
        if all.args(["--", "true"]).ok().is_err() {
            let status = gtlock_process().args(["status", "-R"]).arg(&self.dir).output();
            let status = String::from_utf8_lossy(&status.expect("it starts").stdout).into_owned();
            return self.fail(format!("a lock is still held:\n{status}"));
        }
        for data in &self.data {
            let record = fs::read_to_string(common::lock_file(data));
            // Blank lines name nobody.
            if !record.as_ref().is_ok_and(|record| record.trim_matches('\n').is_empty()) {
                self.fail(format!("{}: after a writer its record is {record:?}", data.display()));
            }
            if gtlock().args(["try", "-q", "--write"]).arg(data).ok().is_err() {
                self.fail(format!("{}: still held", data.display()));
            }
        }
        if gtlock().args(["clean", "-q", "-R"]).arg(&self.dir).ok().is_err() {
            self.fail("clean failed".to_owned());
        }
        for data in &self.data {
            let locks = common::lock_file(data).parent().expect("a directory").to_owned();
            let left = fs::read_dir(locks).expect("the lock directory is there");
            let left = left.map(|entry| entry.expect("an entry").path());
            for left in left.filter(|path| !path.ends_with(".gitignore")) {
                self.fail(format!("{}: left after a clean", left.display()));
            }
        }
    }
}

fn shown(gtlock: &Command) -> String {
    let arguments = gtlock.get_args().map(|argument| argument.to_string_lossy());
    arguments.take_while(|argument| argument != "--").collect::<Vec<_>>().join(" ")
}

/// Where in the kernel each thread of a process and of its children sleeps.
fn asleep_in(pid: u32) -> String {
    let mut found = String::new();
    for task in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().filter_map(Result::ok) {
        let read = |name| fs::read_to_string(task.path().join(name)).unwrap_or_default();
        found.extend([", ", &pid.to_string(), " in ", &read("wchan")]);
        found.extend(read("children").split_whitespace().filter_map(|pid| pid.parse().ok()).map(asleep_in));
    }
    found
}

fn to_pid(pid: u32) -> Pid {
    Pid::from_raw(pid.try_into().expect("a process ID"))
}

fn signal(pid: u32, signal: Signal) {
    kill(to_pid(pid), signal).expect("it has not been reaped");
}

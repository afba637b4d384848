//! The processes of a command: its children, theirs, and the daemons that they left behind.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::os::fd::AsRawFd;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long to wait for killed processes to end.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where to find a command's processes.
#[derive(Clone, Debug)]
pub struct Tree {
    /// The front, with its start time: its process ID may be reused.
    front: Process,
    keeper: Option<i32>,
    /// The pipe that the command inherits, as `/proc` shows it. Processes that have left the tree have it too.
    pipe: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Process {
    id: i32,
    started: u64,
}

impl Tree {
    /// For the command that this process will run, which inherits `pipe`.
    pub fn of_this_process(pipe: &impl AsRawFd) -> Self {
        let id = Pid::this().as_raw();
        let front = Process { id, started: Stat::of(id).map_or(0, |stat| stat.started) };
        let pipe = fs::read_link(format!("/proc/self/fd/{}", pipe.as_raw_fd())).unwrap_or_default();
        Self { front, keeper: None, pipe: pipe.to_string_lossy().into_owned() }
    }

    /// The same, without the keeper.
    pub fn without(mut self, keeper: i32) -> Self {
        self.keeper = Some(keeper);
        self
    }

    /// Sends SIGTERM to all of them, and SIGCONT to those that are stopped.
    pub fn ask(&self, command: i32) {
        for process in self.members(command) {
            send(process, Signal::SIGTERM);
            send(process, Signal::SIGCONT);
        }
    }

    /// Kills all of them. Returns whether all have ended.
    pub fn kill(&self, command: i32) -> bool {
        // Stop them all first, so that none starts another between the search and the kill.
        let mut stopped = BTreeSet::new();
        loop {
            let found = self.members(command);
            let new: Vec<_> = found.difference(&stopped).copied().collect();
            if new.is_empty() {
                break;
            }
            for &process in &new {
                send(process, Signal::SIGSTOP);
            }
            stopped.extend(new);
        }
        for &process in &stopped {
            send(process, Signal::SIGKILL);
        }
        let started = Instant::now();
        while stopped.iter().any(|&process| Stat::of(process).is_some()) {
            if started.elapsed() > PATIENCE {
                return false; // in a system call that nothing interrupts, or not ours to kill
            }
            thread::sleep(Duration::from_millis(1));
        }
        true
    }

    /// The processes of the command that live.
    pub fn members(&self, command: i32) -> BTreeSet<i32> {
        let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
        let mut roots = vec![command];
        let mut alive = BTreeSet::new();
        for process in everyone() {
            let Some(stat) = Stat::of(process) else { continue };
            alive.insert(process);
            children.entry(stat.parent).or_default().push(process);
            if process == self.front.id && stat.started == self.front.started {
                roots.push(process); // the orphans are its children
            } else if self.has_pipe(process) {
                roots.push(process);
            }
        }
        let mut members = BTreeSet::new();
        while let Some(process) = roots.pop() {
            if Some(process) != self.keeper && members.insert(process) {
                roots.extend(children.get(&process).into_iter().flatten());
            }
        }
        members.retain(|process| alive.contains(process) && *process != self.front.id);
        members
    }

    /// All processes that have inherited the pipe.
    pub fn inheritors(&self) -> Vec<i32> {
        let own = Pid::this().as_raw();
        let is_other =
            |&process: &i32| process != own && process != self.front.id && Some(process) != self.keeper;
        everyone().into_iter().filter(is_other).filter(|&process| self.has_pipe(process)).collect()
    }

    fn has_pipe(&self, process: i32) -> bool {
        let own = Pid::this().as_raw();
        if process == own || process == self.front.id || Some(process) == self.keeper {
            return false;
        }
        let open = fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().filter_map(Result::ok);
        open.filter_map(|entry| fs::read_link(entry.path()).ok()).any(|link| link.as_os_str() == &*self.pipe)
    }
}

fn send(process: i32, signal: Signal) {
    let _ = kill(Pid::from_raw(process), signal);
}

fn everyone() -> Vec<i32> {
    let processes = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// What `/proc` shows of a live process.
struct Stat {
    parent: i32,
    started: u64,
}

impl Stat {
    fn of(process: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        let (_, rest) = stat.rsplit_once(')')?; // the process name before it may contain more of them
        let fields: Vec<_> = rest.split_ascii_whitespace().collect();
        if matches!(*fields.first()?, "Z" | "X") {
            return None;
        }
        Some(Self { parent: fields.get(1)?.parse().ok()?, started: fields.get(19)?.parse().ok()? })
    }
}

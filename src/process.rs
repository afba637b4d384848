//! The process with an ID: whether it is alive, since when, and its command.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::Path;
use std::time::{Duration, SystemTime};

use sysinfo::{Pid, ProcessRefreshKind, ProcessStatus, ProcessesToUpdate, System, UpdateKind};

use crate::cores::share_out;
use crate::sys;

/// What can be seen of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its command line; empty if it cannot be read.
    pub command: Vec<OsString>,
    /// When it started, to the second.
    pub started: SystemTime,
    /// Whether it is stopped, by SIGSTOP or Ctrl-Z.
    pub is_stopped: bool,
    parent: Option<u32>,
}

/// Whether a process is alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Liveness {
    /// It runs.
    Alive(Process),
    /// It runs, but nothing more can be seen of it from here.
    Hidden,
    /// There is no such process, or only its zombie, which holds nothing.
    Dead,
}

/// A look at processes by their IDs. Reads only those asked for.
#[derive(Debug, Default)]
pub struct Processes {
    system: Option<System>,
}

impl Processes {
    /// Looks at one process, as it is now.
    pub fn look_at(&mut self, pid: u32) -> Liveness {
        self.refresh(&[pid], with_command());
        self.seen(pid)
    }

    /// Looks at these processes, as they are now.
    #[must_use]
    pub fn look_at_all(pids: &[u32]) -> HashMap<u32, Liveness> {
        let look = |pids: &[u32]| {
            let mut processes = Self::default(); // one thread's own
            processes.refresh(pids, with_command());
            pids.iter().map(|&pid| (pid, processes.seen(pid))).collect()
        };
        share_out::<_, Vec<_>>(pids, look).into_iter().flatten().collect()
    }

    /// The IDs of this process's parent, its parent, and so on; `None` where processes cannot be seen.
    pub fn ancestors(&mut self) -> Option<Vec<u32>> {
        let me = std::process::id();
        let ancestors = self.family(me).split_off(1);
        (self.seen(me) != Liveness::Hidden).then_some(ancestors)
    }

    /// A process, its parent, and so on.
    pub fn family(&mut self, pid: u32) -> Vec<u32> {
        let mut family = vec![pid];
        self.descends_from(pid, |ancestor| {
            family.push(ancestor);
            false
        });
        family
    }

    /// Whether a process has an ancestor of that kind. Reads no command line, which could take a while.
    pub fn descends_from(&mut self, pid: u32, mut is_it: impl FnMut(u32) -> bool) -> bool {
        let mut line = vec![pid];
        loop {
            let pid = line[line.len() - 1];
            self.refresh(&[pid], ProcessRefreshKind::nothing());
            // A parent outside this PID namespace has the number 0; a reused number could make a ring.
            match self.seen(pid) {
                Liveness::Alive(Process { parent: Some(parent), .. })
                    if parent != 0 && !line.contains(&parent) =>
                {
                    if is_it(parent) {
                        return true;
                    }
                    line.push(parent);
                }
                _ => return false,
            }
        }
    }

    fn refresh(&mut self, pids: &[u32], kind: ProcessRefreshKind) {
        if self.system.is_none() {
            self.system = System::new().ok(); // fails on an unsupported system: all processes are `Hidden` then
        }
        let pids: Vec<_> = pids.iter().copied().map(Pid::from_u32).collect();
        if let Some(system) = &mut self.system {
            system.refresh_processes_specifics(ProcessesToUpdate::Some(&pids), true, kind.without_tasks());
        }
    }

    /// What the last look showed.
    fn seen(&self, pid: u32) -> Liveness {
        match self.system.as_ref().and_then(|system| system.process(Pid::from_u32(pid))) {
            Some(process) if is_over(process.status()) => Liveness::Dead,
            Some(process) => Liveness::Alive(Process {
                command: process.cmd().to_vec(),
                started: SystemTime::UNIX_EPOCH + Duration::from_secs(process.start_time()),
                is_stopped: process.status() == ProcessStatus::Stop,
                parent: process.parent().map(Pid::as_u32),
            }),
            None if sys::is_alive(pid) => Liveness::Hidden,
            None => Liveness::Dead,
        }
    }

    /// Whether a process is stopped. Reads no command line.
    pub fn is_stopped(&mut self, pid: u32) -> bool {
        self.refresh(&[pid], ProcessRefreshKind::nothing());
        matches!(self.seen(pid), Liveness::Alive(process) if process.is_stopped)
    }

    /// A variable of the environment that a process was started with, if that can be read.
    pub fn variable(&mut self, pid: u32, name: &str) -> Option<OsString> {
        self.refresh(&[pid], ProcessRefreshKind::nothing().with_environ(UpdateKind::Always));
        let process = self.system.as_ref().and_then(|system| system.process(Pid::from_u32(pid)))?;
        let variables = process.environ().iter().filter_map(|variable| variable.to_str());
        variables
            .filter_map(|variable| variable.split_once('='))
            .find(|&(key, _)| key == name)
            .map(|(_, value)| value.into())
    }

    /// Whether a process runs gtlock, by its name. Reads no command line.
    pub fn is_gtlock(&mut self, pid: u32) -> bool {
        self.refresh(&[pid], ProcessRefreshKind::nothing());
        let process = self.system.as_ref().and_then(|system| system.process(Pid::from_u32(pid)));
        process.is_some_and(|process| Path::new(process.name()).file_stem() == Some("gtlock".as_ref()))
    }
}

fn with_command() -> ProcessRefreshKind {
    ProcessRefreshKind::nothing().with_cmd(UpdateKind::Always)
}

fn is_over(status: ProcessStatus) -> bool {
    matches!(status, ProcessStatus::Zombie | ProcessStatus::Dead)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_alive_and_young() {
        let Liveness::Alive(me) = Processes::default().look_at(std::process::id()) else {
            panic!("this process is not seen");
        };
        let age = SystemTime::now().duration_since(me.started).unwrap_or_default();
        assert!(age < Duration::from_hours(1), "{age:?}");
        assert!(!me.command.is_empty());
    }

    #[cfg(unix)]
    #[test]
    fn a_reaped_child_is_dead_and_a_zombie_too() {
        let mut child = std::process::Command::new("sh").args(["-c", ":"]).spawn().expect("sh runs");
        let pid = child.id();
        let mut processes = Processes::default();
        while processes.look_at(pid) != Liveness::Dead {
            std::thread::yield_now(); // not reaped: it becomes a zombie and counts as dead
        }
        child.wait().expect("it is ours to reap");
        assert_eq!(processes.look_at(pid), Liveness::Dead);
    }
}

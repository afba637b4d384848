//! A state: the kernel's part, and what each process does next.

use super::kernel::Kernel;

/// What a process does next, in the words of the chart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum At {
    Open,
    LooksAhead,
    Tries,
    /// A `try` that was refused: it still gets the lock if that is free, or gives up.
    Confirms,
    /// Looks for the last place; then takes the one after it.
    Queues(Option<u8>),
    /// Looks for the place just ahead; then waits for it to be left.
    WaitsForTurn(Option<u8>),
    /// Waits for the lock itself.
    Waits,
    /// Has the lock, and looks which of its slots are free.
    LooksForSlots,
    /// Takes these slots, the lowest first.
    TakesSlots(u8),
    /// Has the lock, but cannot get the slots: gives it back.
    Full,
    /// Looks which slots others have; then waits for one of these to be given back.
    WaitsForSlot(u8),
    /// Has the lock, and its place still.
    Leaves,
    /// Has the lock: is its file still at the path?
    Checks,
    /// Its command runs.
    Held,
    /// It was killed; its command runs on with the descriptor that it inherited.
    Orphaned,
    /// Only where a fault has it: unlinks the file as it releases.
    Unlinks,
    /// A nested request is told that it would wait for ever.
    AlreadyLocked,
    // `clean`.
    CleanOpens,
    CleanTries,
    CleanLooks,
    CleanChecks,
    CleanUnlinks,
    CleanUnlocks,
    // `status`.
    Probes,
    ProbesShared,
    ProbesAgain,
    /// Has looked, and lets go.
    LetsGo,
    /// Stopped in the queue, and not continued.
    Stopped,
    Over,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Process {
    pub at: At,
    /// Threads of one process have the same.
    pub pid: u8,
    /// Places up to this one count as left.
    pub passed: Option<u8>,
    /// For the property of order only: it has a place, and nothing happened that costs it its turn.
    pub has_turn: bool,
    /// For the property of order only: who had a turn when this process came, and has it still. One bit each.
    pub behind: u8,
    /// For the property of order only: it may go ahead, since it has waited long, or is nested in the lock.
    pub goes_ahead: bool,
}

impl Process {
    pub fn new(at: At, pid: u8) -> Self {
        Self { at, pid, passed: None, has_turn: false, behind: 0, goes_ahead: false }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    pub kernel: Kernel,
    pub processes: Vec<Process>,
    /// How many more will be killed, give up waiting, be stopped.
    pub kills: u8,
    pub expiries: u8,
    pub stops: u8,
}

impl State {
    pub fn is_inside(&self, me: usize) -> bool {
        matches!(self.processes[me].at, At::Held | At::Orphaned)
    }

    pub fn has_ended(&self, me: usize) -> bool {
        self.processes[me].at == At::Over
    }

    /// Those who have a turn, one bit each. The queue at a file that is no longer at the path is none.
    pub fn turns(&self) -> u8 {
        let has_turn = |&me: &usize| self.processes[me].has_turn && self.kernel.is_at_path(me);
        (0..self.processes.len()).filter(has_turn).fold(0, |bits, me| bits | 1 << me)
    }

    /// Puts two processes in an order that depends on nothing but what they are doing.
    pub fn put_in_order(&mut self, a: usize, b: usize) {
        let key = |me: usize| {
            let Process { at, pid, passed, has_turn, goes_ahead, .. } = self.processes[me];
            (at, self.kernel.open[me], pid, passed, has_turn, goes_ahead)
        };
        if key(a) <= key(b) {
            return;
        }
        self.kernel.open.swap(a, b);
        self.processes.swap(a, b);
        for process in &mut self.processes {
            let differ = (process.behind >> a ^ process.behind >> b) & 1;
            process.behind ^= differ << a | differ << b;
        }
    }
}

//! The protocol as a state machine: what each process does next, one visible system call a step.

use stateright::{Model, Property};

/// What a process is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// `run --write`.
    Writer,
    /// `run --read`.
    Reader,
    /// `run --read` as the command of the reader with this number: it ends before that reader lets go.
    Nested(usize),
    /// `try --write`: raises no gate, heeds none, and may give up whenever it is refused.
    Asker,
    /// `clean`, on either of the two files.
    Cleaner,
    /// `status`: takes the lock for a moment, as does a wait that was given up inside a living process.
    Looker,
}

/// Something left out or put in the wrong order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The lock is accepted without comparing path and descriptor.
    NoInodeCheck,
    /// Release unlocks, then unlinks.
    UnlinkAfterUnlock,
    /// A reader unlinks the file as it releases, other readers or not.
    ReaderUnlinks,
    /// `clean` unlocks, then unlinks.
    CleanUnlocksFirst,
    /// `clean` does not compare path and descriptor.
    CleanWithoutCheck,
    /// `clean` unlinks without having the lock.
    CleanWithoutLock,
    /// A reader does not look for a gate.
    GateIgnored,
    /// A writer unlocks its gate, then unlinks it.
    GateUnlockedFirst,
    /// A writer takes any gate that it could lock for one that is up.
    GateNotChecked,
    /// A nested reader queues at the gate like any other.
    NestedHeedsGate,
    /// Whoever waits at a gate does not look whether the lock is free.
    GateWaitedForBlindly,
}

/// The two paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Name {
    Lock = 0,
    Gate = 1,
}
use Name::{Gate, Lock};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    Shared,
    Exclusive,
}

/// An open file description: the inode, and the lock held through it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Open {
    inode: u8,
    held: Option<Mode>,
}

/// What a process does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum At {
    // An acquirer.
    OpensLock,
    LooksForGate,
    TriesLock,
    WaitsForLock,
    ChecksLock,
    /// Its command runs.
    Inside,
    UnlinksOnRelease,
    /// It was killed; its command runs on with the descriptor that it inherited.
    Orphaned,
    // A writer that was refused, on its way to wait behind a gate of its own.
    OpensGate,
    LocksGate,
    ChecksGate,
    // A reader at a gate.
    WaitsForGate,
    ChecksWhetherGateIsLeft,
    /// The kernel converts a lock by dropping it first.
    DropsShared,
    TriesGateExclusive,
    // Whoever has a gate exclusively takes it down.
    FindsGateUp,
    UnlinksGate,
    UnlocksGate,
    // `clean`.
    Visits,
    CleanTries(Name),
    CleanChecks(Name),
    CleanUnlinks(Name),
    CleanUnlocks(Name),
    // `status`.
    Probes,
    ProbesShared,
    ProbesAgain,
    EndsProbe,
    /// A writer that was stopped as it waited behind its gate, and is not continued.
    Stopped,
    /// Killed: the kernel closes what it had open, one after the other.
    Dying,
    Over,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Process {
    pub at: At,
    /// What it has open at [`Name::Lock`] and at [`Name::Gate`].
    open: [Option<Open>; 2],
    /// A reader has been through a gate.
    passed: bool,
    /// For the fairness property only: the writers who waited behind a gate of their own as this reader
    /// came, and have done so ever since. One bit each.
    pub behind: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// The inode at each path. An inode is gone, and its number free, once no path and no descriptor has it.
    path: [Option<u8>; 2],
    pub processes: Vec<Process>,
    kills: u8,
    expiries: u8,
    stops: u8,
}

/// Each names a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Step(usize),
    /// A cleaner opens this path.
    Visit(usize, Name),
    /// A wait ends without the lock: the deadline passed, or it was not to wait.
    GiveUp(usize),
    /// Whoever waits at a gate goes past it: it has seen that the lock is free, or a reader has waited for long.
    PassBy(usize),
    Stop(usize),
    Kill(usize),
    /// The kernel closes a descriptor of a process that was killed.
    Close(usize, Name),
}

/// Some processes, and how often something happens to one of them.
#[derive(Clone, Debug)]
pub struct Protocol {
    pub roles: Vec<Role>,
    pub kills: u8,
    pub expiries: u8,
    pub stops: u8,
    pub fault: Option<Fault>,
}

impl State {
    fn is_at_path(&self, me: usize, name: Name) -> bool {
        let mine = self.processes[me].open[name as usize].map(|open| open.inode);
        mine.is_some() && mine == self.path[name as usize]
    }

    /// Opens a path, making the file if it is not there.
    fn open_or_create(&mut self, me: usize, name: Name) {
        let slot = name as usize;
        let used = |inode: u8| self.processes.iter().any(|p| p.open[slot].is_some_and(|o| o.inode == inode));
        let inode = self.path[slot].or_else(|| (0..=u8::MAX).find(|&inode| !used(inode)));
        self.path[slot] = inode;
        self.processes[me].open[slot] = inode.map(|inode| Open { inode, held: None });
    }

    fn open_existing(&mut self, me: usize, name: Name) -> bool {
        let inode = self.path[name as usize];
        self.processes[me].open[name as usize] = inode.map(|inode| Open { inode, held: None });
        inode.is_some()
    }

    fn close(&mut self, me: usize, name: Name) {
        self.processes[me].open[name as usize] = None;
    }

    fn unlink(&mut self, name: Name) {
        self.path[name as usize] = None;
    }

    /// What flock(2) says. It is fair to nobody: whoever asks while it is free may have it.
    fn can_lock(&self, me: usize, name: Name, mode: Mode) -> bool {
        let slot = name as usize;
        let Some(mine) = self.processes[me].open[slot] else { return false };
        self.processes.iter().enumerate().all(|(other, process)| {
            other == me
                || process.open[slot].is_none_or(|theirs| {
                    theirs.inode != mine.inode
                        || match theirs.held {
                            None => true,
                            Some(Mode::Shared) => mode == Mode::Shared,
                            Some(Mode::Exclusive) => false,
                        }
                })
        })
    }

    fn try_lock(&mut self, me: usize, name: Name, mode: Mode) -> bool {
        let free = self.can_lock(me, name, mode);
        if let (true, Some(open)) = (free, &mut self.processes[me].open[name as usize]) {
            open.held = Some(mode);
        }
        free
    }

    fn unlock(&mut self, me: usize, name: Name) {
        if let Some(open) = &mut self.processes[me].open[name as usize] {
            open.held = None;
        }
    }

    pub fn holds(&self, me: usize, name: Name, mode: Mode) -> bool {
        self.processes[me].open[name as usize].is_some_and(|open| open.held == Some(mode))
    }

    pub fn is_inside(&self, me: usize) -> bool {
        matches!(self.processes[me].at, At::Inside | At::Orphaned)
    }

    pub fn has_what_is_at_path(&self, me: usize) -> bool {
        self.is_at_path(me, Lock)
    }

    /// Whether this writer waits for the lock and has its own gate up.
    fn is_behind_gate(&self, me: usize) -> bool {
        self.processes[me].at == At::WaitsForLock && self.holds(me, Gate, Mode::Exclusive)
    }
}

impl Protocol {
    fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    pub fn mode(&self, me: usize) -> Mode {
        match self.roles[me] {
            Role::Reader | Role::Nested(_) => Mode::Shared,
            _ => Mode::Exclusive,
        }
    }

    /// A nested reader that knows: what it wants to lock is held around it.
    fn is_held_around(&self, state: &State, me: usize) -> bool {
        let Role::Nested(outer) = self.roles[me] else { return false };
        state.is_inside(outer)
            && state.processes[outer].open[Lock as usize].map(|open| open.inode)
                == state.processes[me].open[Lock as usize].map(|open| open.inode)
    }

    /// Whether the process has a next step and is not blocked.
    fn can_step(&self, state: &State, me: usize) -> bool {
        match state.processes[me].at {
            At::OpensLock => match self.roles[me] {
                Role::Nested(outer) => state.is_inside(outer),
                _ => true,
            },
            At::WaitsForLock => state.can_lock(me, Lock, self.mode(me)),
            At::LocksGate => state.can_lock(me, Gate, Mode::Exclusive),
            At::WaitsForGate => state.can_lock(me, Gate, Mode::Shared),
            At::Inside | At::Orphaned => self
                .roles
                .iter()
                .enumerate()
                .all(|(inner, role)| *role != Role::Nested(me) || state.processes[inner].at == At::Over),
            At::Visits | At::Stopped | At::Dying | At::Over => false,
            _ => true,
        }
    }

    /// Whether a look at the lock would let one that waits at a gate go past it: nobody holds it.
    fn sees_no_lock(&self, state: &State, me: usize) -> bool {
        matches!(state.processes[me].at, At::WaitsForGate | At::LocksGate)
            && state.can_lock(me, Lock, Mode::Exclusive)
            && !self.has(Fault::GateWaitedForBlindly)
    }

    fn can_pass_by(&self, state: &State, me: usize) -> bool {
        let has_waited_for_long = state.processes[me].at == At::WaitsForGate && state.expiries > 0;
        self.sees_no_lock(state, me) || has_waited_for_long
    }

    fn can_give_up(&self, state: &State, me: usize) -> bool {
        match state.processes[me].at {
            At::WaitsForLock if self.roles[me] == Role::Asker => !self.can_step(state, me),
            At::WaitsForLock | At::LocksGate | At::WaitsForGate => state.expiries > 0,
            _ => false,
        }
    }

    fn is_over(&self, state: &State, me: usize) -> bool {
        match (state.processes[me].at, self.roles[me]) {
            (At::Over | At::Stopped, _) => true,
            // Never started, as the command that it is part of was not.
            (At::OpensLock, Role::Nested(outer)) => state.processes[outer].at == At::Over,
            _ => false,
        }
    }

    /// Everybody is done, or somebody can go on without anyone being killed or giving up in time.
    pub fn nobody_is_stuck(&self, state: &State) -> bool {
        let goes_on = |me| {
            self.can_step(state, me)
                || self.sees_no_lock(state, me)
                || matches!(state.processes[me].at, At::Visits | At::Dying)
                || (self.roles[me] == Role::Asker && self.can_give_up(state, me))
        };
        (0..self.roles.len()).all(|me| self.is_over(state, me)) || (0..self.roles.len()).any(goes_on)
    }

    fn end(state: &mut State, me: usize) {
        state.processes[me] = Process { at: At::Over, open: [None; 2], passed: false, behind: 0 };
    }

    /// One step; returns what comes next. `Over` closes all that is open.
    fn step(&self, state: &mut State, me: usize) -> At {
        match state.processes[me].at {
            At::OpensLock | At::LooksForGate | At::TriesLock | At::WaitsForLock | At::ChecksLock => {
                self.acquire(state, me)
            }
            At::Inside if self.has(Fault::ReaderUnlinks) && self.mode(me) == Mode::Shared => {
                At::UnlinksOnRelease
            }
            At::Inside if self.has(Fault::UnlinkAfterUnlock) => {
                state.close(me, Lock);
                At::UnlinksOnRelease
            }
            At::UnlinksOnRelease => {
                state.unlink(Lock);
                At::Over
            }
            At::OpensGate
            | At::LocksGate
            | At::ChecksGate
            | At::WaitsForGate
            | At::ChecksWhetherGateIsLeft
            | At::DropsShared
            | At::TriesGateExclusive
            | At::FindsGateUp
            | At::UnlinksGate
            | At::UnlocksGate => self.at_gate(state, me),
            At::CleanTries(_) | At::CleanChecks(_) | At::CleanUnlinks(_) | At::CleanUnlocks(_) => {
                self.clean(state, me)
            }
            At::Probes | At::ProbesShared | At::ProbesAgain => Self::probe(state, me),
            At::Inside | At::Orphaned | At::EndsProbe | At::Visits | At::Stopped | At::Dying | At::Over => {
                At::Over
            }
        }
    }

    /// `Waiter::take` and `Waiter::wait_for` in `src/lock/acquire.rs`.
    fn acquire(&self, state: &mut State, me: usize) -> At {
        let mode = self.mode(me);
        let at = state.processes[me].at;
        match at {
            At::OpensLock => {
                state.open_or_create(me, Lock);
                let asks_only = self.roles[me] == Role::Asker;
                let ignores = self.has(Fault::GateIgnored) && mode == Mode::Shared;
                if self.roles[me] == Role::Reader && !state.processes[me].passed {
                    let writers = (0..self.roles.len()).filter(|&writer| state.is_behind_gate(writer));
                    state.processes[me].behind = writers.fold(0, |bits, writer| bits | 1 << writer);
                }
                if asks_only || ignores || state.processes[me].passed {
                    At::TriesLock
                } else {
                    At::LooksForGate
                }
            }
            At::LooksForGate => {
                let skips = self.is_held_around(state, me) && !self.has(Fault::NestedHeedsGate);
                if skips || !state.open_existing(me, Gate) {
                    At::TriesLock
                } else if mode == Mode::Exclusive {
                    state.close(me, Gate);
                    At::OpensGate
                } else {
                    At::WaitsForGate
                }
            }
            At::TriesLock if state.try_lock(me, Lock, mode) => At::ChecksLock,
            At::TriesLock if self.roles[me] == Role::Writer => At::OpensGate,
            At::TriesLock if self.is_held_around(state, me) => At::Over, // an error: already locked
            At::TriesLock => At::WaitsForLock,
            At::WaitsForLock => {
                state.try_lock(me, Lock, mode);
                if state.holds(me, Gate, Mode::Exclusive) { At::FindsGateUp } else { At::ChecksLock }
            }
            _ if state.is_at_path(me, Lock) || self.has(Fault::NoInodeCheck) => At::Inside,
            _ => {
                state.close(me, Lock);
                At::OpensLock
            }
        }
    }

    /// `Waiter::raise_gate`, and `src/lock/gate.rs`.
    fn at_gate(&self, state: &mut State, me: usize) -> At {
        let at = state.processes[me].at;
        match at {
            At::OpensGate => {
                state.open_or_create(me, Gate);
                At::LocksGate
            }
            At::LocksGate => {
                state.try_lock(me, Gate, Mode::Exclusive);
                At::ChecksGate
            }
            At::ChecksGate if state.is_at_path(me, Gate) || self.has(Fault::GateNotChecked) => {
                At::WaitsForLock
            }
            At::ChecksGate => {
                state.close(me, Gate);
                At::OpensGate
            }
            At::WaitsForGate => {
                state.try_lock(me, Gate, Mode::Shared);
                At::ChecksWhetherGateIsLeft
            }
            At::ChecksWhetherGateIsLeft if state.is_at_path(me, Gate) => At::DropsShared,
            At::DropsShared => {
                state.unlock(me, Gate);
                At::TriesGateExclusive
            }
            At::TriesGateExclusive if state.try_lock(me, Gate, Mode::Exclusive) => At::FindsGateUp,
            At::FindsGateUp if self.has(Fault::GateUnlockedFirst) && self.mode(me) == Mode::Exclusive => {
                state.unlock(me, Gate);
                At::UnlinksGate
            }
            At::FindsGateUp if state.is_at_path(me, Gate) => At::UnlinksGate,
            At::UnlinksGate => {
                state.unlink(Gate);
                At::UnlocksGate
            }
            // It is passed, one way or another.
            _ => {
                state.close(me, Gate);
                match self.mode(me) {
                    Mode::Shared => {
                        state.processes[me].passed = true;
                        At::TriesLock
                    }
                    Mode::Exclusive if state.holds(me, Lock, Mode::Exclusive) => At::ChecksLock,
                    Mode::Exclusive => At::Over, // it gave up
                }
            }
        }
    }

    /// `clean_one` in `src/lock/clean.rs`.
    fn clean(&self, state: &mut State, me: usize) -> At {
        let at = state.processes[me].at;
        match at {
            At::CleanTries(name) if self.has(Fault::CleanWithoutLock) => At::CleanChecks(name),
            At::CleanTries(name) if state.try_lock(me, name, Mode::Exclusive) => At::CleanChecks(name),
            At::CleanChecks(name) if state.is_at_path(me, name) || self.has(Fault::CleanWithoutCheck) => {
                if self.has(Fault::CleanUnlocksFirst) {
                    At::CleanUnlocks(name)
                } else {
                    At::CleanUnlinks(name)
                }
            }
            At::CleanUnlocks(name) => {
                state.unlock(me, name);
                At::CleanUnlinks(name)
            }
            At::CleanUnlinks(name) => {
                state.unlink(name);
                At::EndsProbe
            }
            _ => At::Over,
        }
    }

    /// `probe` in `src/lock/inspect.rs`.
    fn probe(state: &mut State, me: usize) -> At {
        let at = state.processes[me].at;
        match at {
            At::Probes if !state.open_existing(me, Lock) => At::Over,
            At::Probes if state.try_lock(me, Lock, Mode::Exclusive) => At::EndsProbe,
            At::Probes => At::ProbesShared,
            At::ProbesShared if state.try_lock(me, Lock, Mode::Shared) => At::ProbesAgain,
            At::ProbesAgain => {
                state.unlock(me, Lock);
                state.try_lock(me, Lock, Mode::Exclusive);
                At::EndsProbe
            }
            _ => At::Over,
        }
    }

    fn give_up(state: &mut State, me: usize) -> At {
        state.close(me, Lock);
        // A writer takes its gate down; whoever only queued at one leaves it.
        if state.is_at_path(me, Gate) && state.holds(me, Gate, Mode::Exclusive) {
            At::FindsGateUp
        } else {
            At::Over
        }
    }

    fn pass_by(&self, state: &mut State, me: usize) -> At {
        state.close(me, Gate);
        match self.mode(me) {
            Mode::Shared => {
                state.processes[me].passed = true;
                state.processes[me].behind = 0;
                At::TriesLock
            }
            Mode::Exclusive => At::WaitsForLock, // without a gate
        }
    }

    fn kill(state: &State, me: usize) -> At {
        let open = state.processes[me].open;
        match state.processes[me].at {
            At::Inside => At::Orphaned,
            _ if open.iter().flatten().any(|open| open.held.is_some()) => At::Dying,
            _ => At::Over,
        }
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let at = |role: &Role| match role {
            Role::Cleaner => At::Visits,
            Role::Looker => At::Probes,
            _ => At::OpensLock,
        };
        let process = |role| Process { at: at(role), open: [None; 2], passed: false, behind: 0 };
        let processes: Vec<_> = self.roles.iter().map(process).collect();
        // There may be a lock file from before, and a gate that a killed writer left.
        let paths = [[None, None], [Some(0), None], [Some(0), Some(0)]];
        let state = |path| State {
            path,
            processes: processes.clone(),
            kills: self.kills,
            expiries: self.expiries,
            stops: self.stops,
        };
        paths.into_iter().map(state).collect()
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (me, process) in state.processes.iter().enumerate() {
            if self.can_step(state, me) {
                actions.push(Action::Step(me));
            }
            if self.can_give_up(state, me) {
                actions.push(Action::GiveUp(me));
            }
            if self.can_pass_by(state, me) {
                actions.push(Action::PassBy(me));
            }
            if state.stops > 0 && state.is_behind_gate(me) {
                actions.push(Action::Stop(me));
            }
            match process.at {
                At::Visits => actions.extend([Action::Visit(me, Lock), Action::Visit(me, Gate)]),
                At::Dying => {
                    let open = [Lock, Gate].into_iter().filter(|&name| process.open[name as usize].is_some());
                    actions.extend(open.map(|name| Action::Close(me, name)));
                }
                _ => {}
            }
            if state.kills > 0 && !matches!(process.at, At::Over | At::Stopped | At::Dying | At::Orphaned) {
                actions.push(Action::Kill(me));
            }
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        let (me, at) = match action {
            Action::Step(me) => (me, self.step(&mut next, me)),
            Action::Visit(me, name) if next.open_existing(me, name) => (me, At::CleanTries(name)),
            Action::Visit(me, _) => (me, At::Over),
            Action::GiveUp(me) => {
                next.expiries -= u8::from(self.roles[me] != Role::Asker);
                (me, Self::give_up(&mut next, me))
            }
            Action::PassBy(me) => {
                next.expiries -= u8::from(!self.sees_no_lock(state, me));
                (me, self.pass_by(&mut next, me))
            }
            Action::Stop(me) => {
                next.stops -= 1;
                (me, At::Stopped)
            }
            Action::Kill(me) => {
                next.kills -= 1;
                (me, Self::kill(state, me))
            }
            Action::Close(me, name) => {
                next.close(me, name);
                (me, Self::kill(&next, me))
            }
        };
        next.processes[me].at = at;
        if at == At::Over {
            Self::end(&mut next, me);
        }
        let waiting = (0..self.roles.len()).filter(|&me| next.is_behind_gate(me));
        let waiting = waiting.fold(0, |bits: u8, writer| bits | 1 << writer);
        next.processes.iter_mut().for_each(|process| process.behind &= waiting);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        super::properties::all()
    }
}

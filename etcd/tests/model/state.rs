//! A state: what etcd stores for each process, and what each process does next.

/// What the request of a process does next, in the words of `queue.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum At {
    /// Gets a lease and enters the queue.
    Enters,
    /// Looks for requests before it.
    Looks,
    /// Waits until this process's key is gone.
    Watches(usize),
    /// Waits this long because of the orphaned records of these processes, one bit each.
    Delays(u8, u8),
    /// Holds the lock, without a command so far.
    Holds,
    /// The command's process has started.
    Started,
    Over,
}

/// Whether one of the two processes runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Health {
    Runs,
    Stopped,
    Killed,
}

/// The process of the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Command {
    None,
    /// Made by fork(2), and not yet known to front and keeper.
    Forked,
    /// Stored in the memory that front and keeper share.
    Known,
    /// It runs the user's command.
    Runs,
    Ended,
}

/// A renewal that was answered: how long ago it was sent, and by which leader it was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Renewal {
    pub age: u8,
    pub by_deposed: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Process {
    pub at: At,
    pub front: Health,
    pub keeper: Health,
    pub command: Command,
    /// Whether no command may start any more.
    pub is_closed: bool,
    /// How long its lock is certain, as far as it knows itself.
    pub deadline: u8,
    /// Once it knows that its key is gone: how long its command has left.
    pub lost: Option<u8>,
    pub renewal: Option<Renewal>,
    /// In etcd: how long its lease lasts.
    pub lease: u8,
    /// In etcd: the revision of its key in the queue.
    pub place: Option<u8>,
    /// In etcd: the revision of its record.
    pub record: Option<u8>,
    /// Whether there was a moment at which its key was there and nobody before it: a server that is behind may still say so.
    pub was_first: bool,
}

impl Process {
    pub fn new() -> Self {
        Self {
            at: At::Enters,
            front: Health::Runs,
            keeper: Health::Runs,
            command: Command::None,
            is_closed: false,
            deadline: 0,
            lost: None,
            renewal: None,
            lease: 0,
            place: None,
            record: None,
            was_first: false,
        }
    }

    /// Whether it holds the lock, or believes so.
    pub fn has_lock(&self) -> bool {
        matches!(self.at, At::Holds | At::Started)
    }

    pub fn is_inside(&self) -> bool {
        self.command == Command::Runs
    }

    /// Whether its key is gone without its knowledge.
    pub fn has_to_hear(&self) -> bool {
        self.has_lock() && self.place.is_none() && self.lost.is_none() && self.command != Command::Ended
    }

    /// Deletes its keys in etcd.
    pub fn release(&mut self) {
        (self.place, self.record, self.lease) = (None, None, 0);
        self.over();
    }

    /// Ends it. Its keys in etcd may stay.
    pub fn over(&mut self) {
        (self.at, self.renewal, self.lost, self.deadline) = (At::Over, None, None, 0);
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    pub processes: Vec<Process>,
    /// Whether a deposed leader does not know that it was deposed.
    pub has_deposed: bool,
    /// How many more kills, stops, revocations and elections there will be.
    pub kills: u8,
    pub stops: u8,
    pub revocations: u8,
    pub elections: u8,
}

impl State {
    /// The revision after all those in use.
    pub fn next_revision(&self) -> u8 {
        let there = self.processes.iter().flat_map(|process| [process.place, process.record]).flatten();
        there.max().map_or(0, |last| last + 1)
    }

    /// Removes what makes no difference. Of revisions only the order counts.
    pub fn settle(&mut self) {
        for process in &mut self.processes {
            if !matches!(process.at, At::Looks | At::Watches(_)) {
                process.was_first = false;
            }
            if process.at == At::Over {
                (process.front, process.keeper) = (Health::Runs, Health::Runs);
            } else if process.command == Command::Ended {
                (process.deadline, process.lost, process.renewal) = (0, None, None);
            }
            if process.place.is_none() {
                process.lease = 0;
            }
        }
        let mut all: Vec<u8> =
            self.processes.iter().flat_map(|process| [process.place, process.record]).flatten().collect();
        all.sort_unstable();
        all.dedup();
        let rank = |revision: u8| u8::try_from(all.partition_point(|&other| other < revision)).ok();
        for process in &mut self.processes {
            process.place = process.place.and_then(rank);
            process.record = process.record.and_then(rank);
        }
    }
}

//! A state: what etcd has of each process, and what each process does next.

/// What the request of a process does next, in the words of `queue.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum At {
    /// Gets a lease, and enters the queue.
    Enters,
    /// Looks who is before it.
    Looks,
    /// Waits for the end of this one's place.
    Watches(usize),
    /// Waits so long, since nobody answers for the records of these: one bit each.
    Delays(u8, u8),
    /// Has the lock, and no command yet.
    Holds,
    /// Its command's process was started.
    Started,
    Over,
}

/// Whether one of the two processes goes on.
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
    /// Made by fork(2), and nobody knows it.
    Forked,
    /// In the memory that front and keeper share.
    Known,
    /// It runs what the user wants.
    Runs,
    Ended,
}

/// A renewal that was answered: since when, and by whom.
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
    /// No command may start any more.
    pub is_closed: bool,
    /// For how long its lock is certain, as it knows itself.
    pub deadline: u8,
    /// It knows that its key is gone, and its command has so long to end.
    pub lost: Option<u8>,
    pub renewal: Option<Renewal>,
    /// In etcd: for how long its lease lasts.
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

    /// Whether it has, or takes itself to have, the lock.
    pub fn has_lock(&self) -> bool {
        matches!(self.at, At::Holds | At::Started)
    }

    pub fn is_inside(&self) -> bool {
        self.command == Command::Runs
    }

    /// Whether its key is gone, and it does not know.
    pub fn has_to_hear(&self) -> bool {
        self.has_lock() && self.place.is_none() && self.lost.is_none() && self.command != Command::Ended
    }

    /// Deletes what it has in etcd.
    pub fn release(&mut self) {
        (self.place, self.record, self.lease) = (None, None, 0);
        self.over();
    }

    /// It does nothing any more. What it has in etcd may be left.
    pub fn over(&mut self) {
        (self.at, self.renewal, self.lost, self.deadline) = (At::Over, None, None, 0);
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    pub processes: Vec<Process>,
    /// Whether there is a leader that was deposed and does not know.
    pub has_deposed: bool,
    /// How many more kills, stops, revocations and changes of the leader there will be.
    pub kills: u8,
    pub stops: u8,
    pub revocations: u8,
    pub elections: u8,
}

impl State {
    /// The revision after all that are there.
    pub fn next_revision(&self) -> u8 {
        let there = self.processes.iter().flat_map(|process| [process.place, process.record]).flatten();
        there.max().map_or(0, |last| last + 1)
    }

    /// The same state without what makes no difference: of revisions only the order counts.
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

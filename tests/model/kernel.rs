//! The kernel's part: paths, inodes, open files and the locks on them.

/// The distance between two tickets.
const TICKET: u8 = 2;

/// Shared or exclusive, as flock(2) has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mode {
    Shared,
    Exclusive,
}

/// An open file description: the inode, and the locks that are held through it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Open {
    inode: u8,
    can_write: bool,
    /// With flock(2), on the file: the main lock.
    pub held: Option<Mode>,
    /// With fcntl(2), on one byte of the file: the place in the queue.
    pub place: Option<u8>,
    /// The place just ahead, for the moment between having waited for it and giving it back.
    ahead: Option<u8>,
    /// With fcntl(2), on single bytes too: the slots, one bit each.
    pub slots: u8,
}

/// All the slots that there are: two.
pub const SLOTS: u8 = 0b11;

impl Open {
    fn new(inode: u8, can_write: bool) -> Self {
        Self { inode, can_write, held: None, place: None, ahead: None, slots: 0 }
    }

    fn places(self) -> impl Iterator<Item = u8> {
        self.place.into_iter().chain(self.ahead)
    }
}

/// The one path, and what each process has open.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Kernel {
    /// The inode at the path. Once neither the path nor a process has an inode, its number is free.
    path: Option<u8>,
    pub open: Vec<Option<Open>>,
    /// Open files that nobody closes any more: what a fault leaves behind.
    pub leaked: Option<Open>,
}

impl Kernel {
    pub fn new(path: Option<u8>, processes: usize) -> Self {
        Self { path, open: vec![None; processes], leaked: None }
    }

    fn others(&self, me: usize) -> impl Iterator<Item = Open> {
        let inode = self.open[me].map(|mine| mine.inode);
        let others = self.open.iter().enumerate().filter(move |&(other, _)| other != me);
        let others = others.filter_map(|(_, open)| *open).chain(self.leaked);
        others.filter(move |open| Some(open.inode) == inode)
    }

    pub fn open_or_create(&mut self, me: usize, can_write: bool) {
        let is_used = |inode| self.open.iter().flatten().chain(&self.leaked).any(|open| open.inode == inode);
        let inode = self.path.or_else(|| (0..=u8::MAX).find(|&inode| !is_used(inode)));
        self.path = inode;
        self.open[me] = inode.map(|inode| Open::new(inode, can_write));
    }

    pub fn open_existing(&mut self, me: usize) -> bool {
        self.open[me] = self.path.map(|inode| Open::new(inode, true));
        self.path.is_some()
    }

    pub fn is_at_path(&self, me: usize) -> bool {
        self.open[me].is_some_and(|open| Some(open.inode) == self.path)
    }

    pub fn unlink(&mut self) {
        self.path = None;
    }

    /// What flock(2) answers. It is fair to nobody: any process that asks while the lock is free may get it.
    pub fn can_lock(&self, me: usize, mode: Mode) -> bool {
        let conflicts = |held| held == Mode::Exclusive || mode == Mode::Exclusive;
        self.open[me].is_some() && !self.others(me).any(|open| open.held.is_some_and(conflicts))
    }

    pub fn try_lock(&mut self, me: usize, mode: Mode) -> bool {
        let can = self.can_lock(me, mode);
        if let (true, Some(mine)) = (can, &mut self.open[me]) {
            mine.held = Some(mode);
        }
        can
    }

    pub fn unlock(&mut self, me: usize) {
        if let Some(mine) = &mut self.open[me] {
            mine.held = None;
        }
    }

    pub fn place(&self, me: usize) -> Option<u8> {
        self.open[me].and_then(|open| open.place)
    }

    /// The places that others have in the queue at the file which this process has open.
    fn places(&self, me: usize) -> impl Iterator<Item = u8> {
        self.others(me).flat_map(Open::places)
    }

    pub fn has_queue(&self, me: usize) -> bool {
        self.places(me).next().is_some()
    }

    /// Those ahead of the own place and not passed.
    pub fn places_ahead(&self, me: usize, passed: Option<u8>) -> impl Iterator<Item = u8> {
        let mine = self.place(me);
        self.places(me).filter(move |&place| Some(place) < mine && Some(place) > passed)
    }

    /// The place behind all that are taken: a ticket, and a PID.
    pub fn place_behind_all(&self, me: usize, pid: u8) -> u8 {
        self.places(me).max().map_or(0, |last| (last / TICKET + 1) * TICKET) + pid
    }

    pub fn is_taken(&self, me: usize, place: u8) -> bool {
        self.places(me).any(|taken| taken == place)
    }

    /// Whether a lock on this place would be refused. Two that cannot write to the file share it.
    pub fn is_refused(&self, me: usize, place: u8) -> bool {
        let can_write = self.open[me].is_some_and(|mine| mine.can_write);
        let conflicting = self.others(me).filter(|theirs| can_write || theirs.can_write);
        conflicting.flat_map(Open::places).any(|taken| taken == place)
    }

    pub fn take_place(&mut self, me: usize, place: u8) {
        if let Some(mine) = &mut self.open[me] {
            mine.place = Some(place);
        }
    }

    pub fn take_ahead(&mut self, me: usize, place: u8) {
        if let Some(mine) = &mut self.open[me] {
            mine.ahead = Some(place);
        }
    }

    pub fn leave_ahead(&mut self, me: usize) {
        if let Some(mine) = &mut self.open[me] {
            mine.ahead = None;
        }
    }

    pub fn leave_place(&mut self, me: usize) {
        if let Some(mine) = &mut self.open[me] {
            mine.place = None;
        }
    }

    /// The slots that this process has.
    pub fn slots(&self, me: usize) -> u8 {
        self.open[me].map_or(0, |open| open.slots)
    }

    /// The slots that others have.
    pub fn slots_of_others(&self, me: usize) -> u8 {
        self.others(me).fold(0, |slots, open| slots | open.slots)
    }

    /// Whether so many slots are free to a process.
    pub fn has_room(&self, me: usize, take: u8) -> bool {
        (SLOTS & !self.slots_of_others(me)).count_ones() >= take.into()
    }

    pub fn take_slot(&mut self, me: usize, slot: u8) {
        if let Some(mine) = &mut self.open[me] {
            mine.slots |= slot;
        }
    }

    pub fn give_slots_back(&mut self, me: usize) {
        if let Some(mine) = &mut self.open[me] {
            mine.slots = 0;
        }
    }

    pub fn have_same_file(&self, me: usize, other: usize) -> bool {
        let inode = |me: usize| self.open[me].map(|open| open.inode);
        inode(me).is_some() && inode(me) == inode(other)
    }

    /// Whether the other has this place in the queue at the file which this process has open.
    pub fn has_place(&self, me: usize, other: usize, place: Option<u8>) -> bool {
        place.is_some() && self.have_same_file(me, other) && self.place(other) == place
    }

    /// Closes what this process has open: both its locks go with it.
    pub fn close(&mut self, me: usize) {
        self.open[me] = None;
    }

    /// Forgets what this process has open without closing it.
    pub fn leak(&mut self, me: usize) {
        self.leaked = self.open[me].take();
    }
}

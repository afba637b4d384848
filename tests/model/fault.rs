//! What the model must notice: one of these at a time is put into the protocol.

/// Something left out or done in the wrong order.
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
    /// A newcomer tries the lock without looking for a queue.
    NoLookAhead,
    /// A place is taken even if somebody has it.
    PlaceShared,
    /// The head leaves its place, then waits for the lock.
    PlaceLeftFirst,
    /// A place is not left once the lock is held.
    PlaceKept,
    /// A wait that is given up keeps its place.
    PlaceKeptOnExpiry,
    /// A waiter takes itself for the head once the place that it found ahead is left.
    LooksForTurnOnce,
    /// No waiter looks whether the lock is free.
    HeadTrusted,
    /// Nobody passes the head of the queue but the one just behind it.
    HeadPassedByNextOnly,
    /// A reader waits for its turn and for nothing else.
    NoPatience,
    /// A slot is taken even if somebody has it.
    SlotShared,
    /// The slot that was waited for counts as taken.
    SlotNotTaken,
    /// Whoever wants several slots is content with those that are free.
    SlotsPartly,
    /// Whoever wants several slots keeps those that are free while it waits for the others.
    SlotsKept,
    /// Who has waited long for slots takes those that are free, whoever is ahead.
    SlotsPastTheLine,
    /// A nested request with a queue ahead is refused before it has tried the lock.
    NestedDoesNotTry,
}

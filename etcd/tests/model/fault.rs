//! The faults that the model must find: each is put into the protocol, one at a time.

/// A step left out, or done in the wrong order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The next holder does not wait until the command of a lost lock is stopped.
    NoDelay,
    /// The delay ends before the loser has heard of the loss.
    ShortDelay,
    /// The record is written only when the command already runs.
    LateRecord,
    /// The keeper does not watch its key: only the next renewal finds that it is gone.
    NotWatched,
    /// The command's process starts without checking the deadline.
    NoLastCheck,
    /// The command's process checks the deadline first, and stores its process ID after that.
    CheckedBeforeKnown,
    /// The keeper does not stop the command.
    KeeperOnlyRenews,
    /// The front does not stop the command.
    FrontOnlyWaits,
    /// A command is stopped at the deadline, without the margin.
    NoMargin,
    /// The deadline counts from the answer to a renewal, not from its request.
    TimeFromAnswer,
    /// A renewal counts although one leader answered it and another confirmed it.
    TermIgnored,
    /// The keeper releases the locks of a killed front while the command runs on.
    CommandOutlivesFront,
    /// The keeper of a killed front does not keep the command from starting late.
    NotClosed,
    /// A waiter goes ahead as soon as the one just before it is gone.
    BlockerTrusted,
    /// A server that does not know our key yet is believed when it shows nobody before us.
    StrangerBelieved,
    /// A reader passes a waiting writer.
    ReaderPasses,
}

//! What the model must notice: one of these at a time is put into the protocol.

/// Something left out or done in the wrong order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nobody waits until the command of a lock that was lost is stopped.
    NoDelay,
    /// The delay is over before who lost the lock has heard of it.
    ShortDelay,
    /// The record is written by a command that runs already.
    LateRecord,
    /// The own key is not watched: that it is gone is found by the next renewal.
    NotWatched,
    /// The command's process starts without a look at the time.
    NoLastCheck,
    /// The command's process looks at the time, then makes itself known.
    CheckedBeforeKnown,
    /// The keeper does not stop the command.
    KeeperOnlyRenews,
    /// The front does not stop the command.
    FrontOnlyWaits,
    /// A command is stopped when its time is over, with no margin.
    NoMargin,
    /// The time counts from the answer to a renewal, not from its sending.
    TimeFromAnswer,
    /// A renewal counts although another leader confirmed it than the one that answered.
    TermIgnored,
    /// The keeper releases the locks of a killed front, whose command runs on.
    CommandOutlivesFront,
    /// The keeper of a killed front does not keep a command from starting late.
    NotClosed,
    /// Who waits goes ahead as soon as the one just before it is gone.
    BlockerTrusted,
    /// A server is believed that nobody is before us, though it does not know our key yet.
    StrangerBelieved,
    /// A reader passes a writer that waits.
    ReaderPasses,
}

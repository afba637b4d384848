//! The exit status of every subcommand.

use crate::sys;

/// How gtlock ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The subcommand did what it was asked to.
    Success,
    /// N: the command's own status.
    Command(i32),
    /// 75, or the status of `-E`: the lock was not obtained.
    Refused(u8),
    /// 76: the lock came from a cluster, and was lost while the command ran.
    Lost,
    /// 124, as with timeout(1): the command was ended by `--max-hold`.
    Overdue,
    /// 125: gtlock itself failed.
    Failure,
    /// 126: the command could not be run.
    CannotRun,
    /// 127: the command was not found.
    NotFound,
    /// 128+S: the command died of signal S.
    Signal(i32),
}

/// The status of a refusal without `-E`: `EX_TEMPFAIL` of sysexits(3).
pub const REFUSED: u8 = 75;

/// The table of help texts. It is plain text because every run passes it to clap.
pub const HELP: &str = "\
Exit status:
  N      the command's own
  75     the lock was not obtained: busy, or timed out (-E N for another)
  76     the lock was lost while the command ran, and the command was stopped (--at)
  124    the command was ended by --max-hold
  125    gtlock itself failed; also wrong usage, and \"already locked\"
  126    the command could not be run
  127    the command was not found
  128+S  the command died of signal S";

/// The same for the subcommands that run no command.
pub const HELP_WITHOUT_COMMAND: &str = "\
Exit status:
  0      done
  125    a path could not be examined (the rest was done), or wrong usage";

/// The rows of such a table: code and meaning.
pub fn rows(help: &str) -> impl Iterator<Item = (&str, &str)> {
    help.lines()
        .skip(1)
        .filter_map(|line| line.trim().split_once(' '))
        .map(|(code, rest)| (code, rest.trim()))
}

impl Exit {
    /// Ends the process in this way: with its exit code, or, if the command died of a signal, by the same signal.
    ///
    /// No lock may be held: nothing is dropped.
    pub fn finish(self) -> ! {
        if let Self::Signal(signal) = self {
            sys::die_of(signal);
        }
        #[expect(clippy::disallowed_methods, reason = "the one place for it")]
        std::process::exit(self.code())
    }

    /// The exit code of the table.
    #[must_use]
    pub fn code(self) -> i32 {
        match self {
            Self::Success => 0,
            Self::Command(code) => code,
            Self::Refused(code) => code.into(),
            Self::Lost => 76,
            Self::Overdue => 124,
            Self::Failure => 125,
            Self::CannotRun => 126,
            Self::NotFound => 127,
            Self::Signal(signal) => 128 + signal,
        }
    }
}

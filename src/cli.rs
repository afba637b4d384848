//! The command line.
#![allow(clippy::struct_excessive_bools, reason = "flags of a command line are independent bools")]

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

pub use self::at::{AT_VARIABLE, At, AtArgs};
pub use self::clean::CleanArgs;
pub use self::common::{CommonArgs, DEFAULT_TTL};
pub use self::lock::LockArgs;
use self::rare::read_common;
pub use self::report::{LOG_VARIABLE, ReportArgs};
pub use self::run::{RunArgs, TryArgs};
pub use self::status::StatusArgs;
pub use self::update::UpdateArgs;
pub use self::values::{is_time, parse_limit};
pub use self::wait::WaitArgs;
use crate::exit::{HELP, HELP_WITHOUT_COMMAND};

mod at;
mod clean;
mod common;
mod examples;
mod lock;
mod rare;
mod report;
mod run;
mod status;
mod update;
mod values;
mod wait;

/// The help: what it does and how it looks, before the details.
const TEMPLATE: &str = "{about-with-newline}\n{before-help}{usage-heading} {usage}\n\n{all-args}{after-help}";

/// Run a command under a file lock, and show who holds one.
///
/// Programs that run under gtlock take turns with a data file. The lock on DIR/NAME is the kernel's flock(2) on
/// DIR/.gastown/locks/NAME.lock. It lasts as long as the command, even if gtlock is killed.
#[derive(Debug, Parser)]
#[command(name = "gtlock", version, max_term_width = 100, subcommand_required = true, arg_required_else_help = false,
          help_template = TEMPLATE, before_help = examples::GTLOCK, after_help = HELP)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub action: Action,
}

impl Cli {
    /// Reads a command line.
    ///
    /// # Errors
    ///
    /// What is wrong with it; or, as clap does it, the help or the version.
    pub fn read(words: &[OsString]) -> Result<Self, clap::Error> {
        let cli = match Action::read_common(words) {
            Some(action) => Self { action },
            None => Self::read_all(words)?,
        };
        let error = |kind, wrong| Err(Self::command().error(kind, wrong));
        if let Some(missing) = cli.action.missing() {
            return error(ErrorKind::MissingRequiredArgument, missing);
        }
        match cli.action.contradiction() {
            None => Ok(cli),
            Some(wrong) => error(ErrorKind::ArgumentConflict, wrong),
        }
    }

    fn read_all(words: &[OsString]) -> Result<Self, clap::Error> {
        let mut command = Self::command();
        let mut matches = command.try_get_matches_from_mut(words)?;
        Self::from_arg_matches_mut(&mut matches).map_err(|e| e.format(&mut command))
    }
}

impl Action {
    /// Reads a command line that names only common options, as most do. clap builds nothing else for it, not even `Cli`.
    ///
    /// The settings of the subcommands have no effect here: what they refuse must be refused without them.
    fn read_common(words: &[OsString]) -> Option<Self> {
        let words = words.get(1..)?;
        match words.first()?.to_str()? {
            "run" => read_common(words).map(Self::Run),
            "try" => read_common(words).map(Self::Try),
            "update" => read_common(words).map(Self::Update),
            "status" => read_common(words).map(Self::Status),
            "clean" => read_common(words).map(Self::Clean),
            "report" => read_common(words).map(Self::Report),
            _ => None,
        }
    }

    /// What clap cannot miss.
    fn missing(&self) -> Option<&'static str> {
        let (Self::Run(RunArgs { lock, .. }) | Self::Try(TryArgs { lock, .. })) = self else { return None };
        if !lock.names_any() {
            return Some("no lock named; give --write FILE or --read FILE");
        }
        match self {
            Self::Run(run) if run.command.is_empty() && lock.names_files() => {
                Some("no command to run; name it after --")
            }
            _ => None,
        }
    }

    /// What goes together with nothing that could be done, and why.
    fn contradiction(&self) -> Option<&'static str> {
        match self {
            Self::Run(RunArgs { lock, wait, .. }) => {
                let in_cluster = lock.common.at.cluster().is_some();
                lock.contradiction().or_else(|| wait.contradiction(lock.has_lock_files(), in_cluster))
            }
            Self::Try(TryArgs { lock, .. }) => lock.contradiction(),
            Self::Update(update) => update.contradiction(),
            Self::Status(status) => status.contradiction(),
            Self::Clean(clean) => clean.contradiction(),
            Self::Report(_) => None,
        }
    }

    /// The URL of the cluster whose locks it is about, if there is one.
    #[must_use]
    pub fn cluster(&self) -> Option<&str> {
        match self {
            Self::Run(RunArgs { lock: LockArgs { common, .. }, .. })
            | Self::Try(TryArgs { lock: LockArgs { common, .. }, .. })
            | Self::Update(UpdateArgs { common, .. }) => common.at.cluster(),
            Self::Status(StatusArgs { at, .. }) | Self::Clean(CleanArgs { at, .. }) => at.cluster(),
            Self::Report(_) => None,
        }
    }
}

/// The subcommands. clap builds the arguments only of the one that was named, or all for help.
#[derive(Debug, Subcommand)]
#[allow(clippy::doc_markdown, reason = "help shows backticks as they are")]
#[command(defer = true)]
pub enum Action {
    /// Run a command under locks, waiting for them.
    ///
    /// Takes all the locks, runs the command, and releases them when it ends. The command gets gtlock's
    /// standard input, output and error, working directory, process group and signals.
    #[command(help_template = TEMPLATE, before_help = examples::RUN, after_help = HELP, override_usage = RUN_USAGE)]
    Run(RunArgs),
    /// Run a command if the locks are free now; without a command, test whether they are.
    ///
    /// Like run, but does not wait: if a lock is held, exits with status 75 at once. Without a command, exits
    /// with status 0 if the locks are free now. A lock on a descriptor stays with the caller.
    #[command(help_template = TEMPLATE, before_help = examples::TRY, after_help = HELP, override_usage = TRY_USAGE)]
    Try(TryArgs),
    /// Rewrite a file with a filter such as jq, all or nothing, under its write lock.
    ///
    /// FILTER reads the content of FILE on standard input, nothing if FILE does not exist. If it exits with 0, its
    /// output replaces FILE, complete and on the disk. Otherwise FILE stays as it was. Programs that read FILE
    /// meanwhile, with or without a lock, see the old content or the new, never a part.
    #[command(help_template = TEMPLATE, before_help = examples::UPDATE, after_help = HELP, override_usage = UPDATE_USAGE)]
    Update(UpdateArgs),
    /// Show who holds locks, since when, and whether they are alive.
    ///
    /// PATH is a data file, a lock file, a directory named .gastown/locks, or a directory that has one. Any other
    /// lock directory goes with --lock-dir. Changes nothing.
    ///
    /// Only Linux shows who waits for a lock, and who holds one without a record.
    #[command(help_template = TEMPLATE, before_help = examples::STATUS, after_help = HELP_WITHOUT_COMMAND, override_usage = "gtlock status [OPTIONS] [PATH]...")]
    Status(StatusArgs),
    /// Remove lock files that nobody holds.
    ///
    /// Safe at any time, while other gtlocks run. Cleans directories named .gastown/locks and those given with
    /// --lock-dir, and leaves everything in them that is not a lock file.
    #[command(help_template = TEMPLATE, before_help = examples::CLEAN, after_help = HELP_WITHOUT_COMMAND, override_usage = "gtlock clean [OPTIONS] [DIR]...")]
    Clean(CleanArgs),
    /// Show who waited for which lock, how long, and for whom, from the logs of --log.
    ///
    /// Reads each LOG; - is standard input. Without a LOG, reads the one that GTLOCK_LOG names. Prints a table,
    /// or what the options ask for instead.
    #[command(help_template = TEMPLATE, before_help = examples::REPORT, after_help = HELP_WITHOUT_COMMAND, override_usage = "gtlock report [OPTIONS] [LOG]...")]
    Report(ReportArgs),
}

const RUN_USAGE: &str = "\
gtlock run [OPTIONS] <--read FILE|--write FILE>... -- COMMAND [ARG]...
       gtlock run [OPTIONS] <--read-fd N|--write-fd N>... [-- COMMAND [ARG]...]
       gtlock run --unlock-fd N";
const UPDATE_USAGE: &str = "gtlock update [OPTIONS] FILE -- FILTER [ARG]...";
const TRY_USAGE: &str = "\
gtlock try [OPTIONS] <--read FILE|--write FILE>... [-- COMMAND [ARG]...]
       gtlock try [OPTIONS] <--read-fd N|--write-fd N>... [-- COMMAND [ARG]...]
       gtlock try --unlock-fd N";

const LOCKS: &str = "Locks";
const BUSY: &str = "If a lock is busy";
const COMMAND: &str = "The command";
const MESSAGES: &str = "Messages";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_help_of_a_subcommand_is_not_replaced_by_a_comment_on_its_struct() {
        let mut built = Cli::command();
        built.build();
        for command in Cli::command().get_subcommands() {
            let built = built.find_subcommand(command.get_name()).expect("it has it, too");
            assert_eq!(
                (built.get_about().map(ToString::to_string), built.get_long_about().map(ToString::to_string)),
                (
                    command.get_about().map(ToString::to_string),
                    command.get_long_about().map(ToString::to_string)
                ),
            );
        }
    }

    #[test]
    fn a_subcommand_is_built_when_it_is_named() {
        assert!(Cli::command().get_subcommands().all(|command| command.get_arguments().next().is_none()));
    }

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn a_command_line_without_rare_options_means_the_same_when_those_are_not_built() {
        for line in [
            "run -q --write f --read=g -- c --direct",
            "run --timeout -1 --retry-delay --max-waiters 2 --write f -- c",
            "run --at etcd://h:1 --write f -- -c",
            "try -v --read f",
            "update --backup .bak --no-sync f -- jq .",
            "status -R --json a b",
            "clean --lock-dir d -q",
            "report --html out log",
        ] {
            let words = words(&format!("gtlock {line}"));
            let common = Action::read_common(&words);
            assert_eq!(
                format!("{common:?}"),
                format!("{:?}", Cli::read_all(&words).ok().map(|cli| cli.action)),
                "{line}"
            );
            assert!(common.is_some(), "{line}");
        }
    }

    #[test]
    fn a_subcommand_alone_means_the_same_when_rare_options_are_not_built() {
        for subcommand in Cli::command().get_subcommands() {
            let words = words(&format!("gtlock {}", subcommand.get_name()));
            let Some(common) = Action::read_common(&words) else { continue };
            let all =
                Cli::read_all(&words).map(|cli| cli.action).expect("what is accepted in part is accepted");
            assert_eq!(format!("{common:?}"), format!("{all:?}"));
        }
    }

    #[test]
    fn a_command_line_with_rare_options_needs_all_to_be_built() {
        for line in [
            "run -qo --write f -- c",
            "run --retry-delay --direct --write f -- c",
            "run --label x --write f -- c",
            "update --lock-dir d f -- cat",
            "try --help",
            "status --hepl",
            "help",
        ] {
            assert!(Action::read_common(&words(&format!("gtlock {line}"))).is_none(), "{line}");
        }
        let run =
            Cli::read(&words("gtlock run --close --label x --write f -- c")).expect("it is right").action;
        let Action::Run(RunArgs { lock, .. }) = run else { panic!("{run:?}") };
        assert_eq!((lock.rare.close, lock.common.rare.label.as_deref()), (true, Some("x")));
    }
}

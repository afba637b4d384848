//! The command line.
#![allow(clippy::struct_excessive_bools, reason = "flags of a command line are independent bools")]

use std::ffi::OsString;
use std::mem::ManuallyDrop;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::error::ErrorKind;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueHint};

pub use self::cluster::{AT_VARIABLE, At, AtArgs, ClusterArgs, DEFAULT_TTL};
pub use self::report::{LOG_VARIABLE, ReportArgs};
use self::values::{
    TimeoutParser, parse_delay, parse_descriptor, parse_exit_status, parse_slots, parse_waiters,
};
pub use self::values::{is_time, parse_limit};
use crate::exit::{HELP, HELP_WITHOUT_COMMAND, REFUSED};
use crate::lock::Wait;

mod cluster;
mod examples;
mod report;
mod values;

/// The help: what it does and how it looks, before the details.
const TEMPLATE: &str = "{about-with-newline}\n{before-help}{usage-heading} {usage}\n\n{all-args}{after-help}";

/// Run a command under a file lock, and show who holds one.
///
/// gtlock locks data files for programs that all take its locks. The lock on DIR/NAME is the kernel's flock(2) on
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
    /// What is wrong with it; or, as clap has it, the help or the version that was asked for.
    pub fn read(words: &[OsString]) -> Result<Self, clap::Error> {
        // Never dropped: the process ends soon, and to free its many pieces is an eighth of a run's instructions.
        let mut command = ManuallyDrop::new(Self::command());
        let mut matches = ManuallyDrop::new(command.try_get_matches_from_mut(words)?);
        let cli = Self::from_arg_matches_mut(&mut matches).map_err(|e| e.format(&mut command))?;
        let error = |kind, wrong| Err(Self::command().error(kind, wrong));
        if let Some(missing) = cli.action.missing() {
            return error(ErrorKind::MissingRequiredArgument, missing);
        }
        match cli.action.contradiction() {
            None => Ok(cli),
            Some(wrong) => error(ErrorKind::ArgumentConflict, wrong),
        }
    }
}

impl Action {
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
                let cluster = lock.common.cluster.at.cluster().is_some();
                lock.contradiction().or_else(|| wait.contradiction(lock.has_lock_files(), cluster))
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
            | Self::Update(UpdateArgs { common, .. }) => common.cluster.at.cluster(),
            Self::Status(StatusArgs { at, .. }) | Self::Clean(CleanArgs { at, .. }) => at.cluster(),
            Self::Report(_) => None,
        }
    }
}

/// The subcommands. clap builds only the one that was named, or all for help.
#[derive(Debug, Subcommand)]
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
    /// As run, but does not wait: if a lock is held, exits with status 75 at once. Without a command, exits
    /// with status 0 if the locks are free now. A lock on a descriptor is kept for the caller.
    #[command(help_template = TEMPLATE, before_help = examples::TRY, after_help = HELP, override_usage = TRY_USAGE)]
    Try(TryArgs),
    /// Rewrite a file by a filter such as jq, all or nothing, under its write lock.
    ///
    /// FILTER gets the content of FILE as standard input, empty if there is no FILE. If it exits with 0, its output
    /// takes the place of FILE, complete and on the disk; otherwise FILE stays as it was. Programs that read FILE
    /// meanwhile, with a lock or without, get the old content or the new, never a part.
    #[command(help_template = TEMPLATE, before_help = examples::UPDATE, after_help = HELP, override_usage = UPDATE_USAGE)]
    Update(UpdateArgs),
    /// Show who holds locks, since when, and whether they are alive.
    ///
    /// Each PATH is a data file, a lock file in a lock directory, or a directory: one named .gastown/locks, or
    /// one that has that in it. Any other lock directory goes with --lock-dir. Changes nothing.
    ///
    /// Who waits for a lock, and who holds one without a record in it, is known only on Linux.
    #[command(help_template = TEMPLATE, before_help = examples::STATUS, after_help = HELP_WITHOUT_COMMAND, override_usage = "gtlock status [OPTIONS] [PATH]...")]
    Status(StatusArgs),
    /// Remove lock files that nobody holds.
    ///
    /// Safe at any moment beside every other gtlock. Works on directories named .gastown/locks and on those
    /// given with --lock-dir, and leaves everything in them that is not a lock file.
    #[command(help_template = TEMPLATE, before_help = examples::CLEAN, after_help = HELP_WITHOUT_COMMAND, override_usage = "gtlock clean [OPTIONS] [DIR]...")]
    Clean(CleanArgs),
    /// Show from logs of --log which locks were waited for, how long, and for whom.
    ///
    /// Reads each LOG; - is standard input. Without one, reads the log that the environment variable names. Prints a
    /// table, or what the options ask for instead.
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

#[expect(missing_docs, reason = "clap would take it for the help of the subcommand")]
#[allow(clippy::doc_markdown, reason = "help shows backticks as they are")]
#[derive(Args, Debug)]
pub struct LockArgs {
    /// Take a shared lock on FILE: other readers may hold it too, no writer.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = LOCKS)]
    pub read: Vec<PathBuf>,

    /// Take an exclusive lock on FILE: nobody else may hold it.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = LOCKS)]
    pub write: Vec<PathBuf>,

    /// Let at most N commands hold the shared lock of --read FILE at once.
    ///
    /// Each gets a slot of its own, from 1 to N: the command finds its number in GTLOCK_SLOT. Readers without --slots
    /// are not counted. A writer excludes them all.
    #[arg(long, value_name = "N", value_hint = ValueHint::Other, value_parser = parse_slots, allow_negative_numbers = true,
          help_heading = LOCKS)]
    pub slots: Option<u32>,

    /// Take K of the N slots, all at once: GTLOCK_SLOT has K numbers.
    #[arg(long, value_name = "K", value_hint = ValueHint::Other, value_parser = parse_slots, allow_negative_numbers = true,
          help_heading = LOCKS)]
    pub take: Option<u32>,

    /// Lock the named files or directories themselves, as flock(1) does.
    ///
    /// A file is created if it does not exist, and never written to. If it is saved by rename, the lock stays
    /// with the old file and the next program locks the new one: do not use --direct for such files.
    #[arg(long, conflicts_with = "lock_dir", help_heading = LOCKS)]
    pub direct: bool,

    /// Take a shared lock on the descriptor N, which the caller has open.
    #[arg(long, value_name = "N", value_hint = ValueHint::Other, value_parser = parse_descriptor, allow_negative_numbers = true,
          help_heading = LOCKS)]
    pub read_fd: Vec<i32>,

    /// Take an exclusive lock on the descriptor N, which the caller has open.
    ///
    /// Without a command it stays locked when gtlock ends, until the caller closes it, unlocks it or ends.
    #[arg(long, value_name = "N", value_hint = ValueHint::Other, value_parser = parse_descriptor, allow_negative_numbers = true,
          help_heading = LOCKS)]
    pub write_fd: Vec<i32>,

    /// Drop the lock on the descriptor N, which the caller has open.
    #[arg(long, value_name = "N", value_hint = ValueHint::Other, value_parser = parse_descriptor, allow_negative_numbers = true,
          conflicts_with_all = ["read", "write", "read_fd", "write_fd", "command"], help_heading = LOCKS)]
    pub unlock_fd: Vec<i32>,

    /// Do not let the command inherit the lock: if gtlock is killed, the lock is gone.
    ///
    /// Without this the lock lasts as long as the command even then. Descriptors of --read-fd and --write-fd are
    /// closed for the command.
    #[arg(short = 'o', long, help_heading = COMMAND)]
    pub close: bool,

    /// Become the command instead of waiting for it; the lock lasts until its last inheritor ends.
    ///
    /// There is no second process, and signals reach the command directly. What the command leaves running
    /// keeps the lock, and the record of the holder stays behind in the lock file, shown as stale.
    #[arg(short = 'F', long, conflicts_with_all = ["close", "max_hold", "min_hold"], help_heading = COMMAND)]
    pub no_fork: bool,

    #[command(flatten)]
    pub common: CommonArgs,
}

impl LockArgs {
    /// Whether any lock is named.
    #[must_use]
    pub fn names_any(&self) -> bool {
        let descriptors = [&self.read_fd, &self.write_fd, &self.unlock_fd];
        self.names_files() || descriptors.into_iter().any(|descriptors| !descriptors.is_empty())
    }

    /// Whether a file is named.
    #[must_use]
    pub fn names_files(&self) -> bool {
        !self.read.is_empty() || !self.write.is_empty()
    }

    /// What there is on this machine only.
    fn missing_in_cluster(&self) -> Option<&'static str> {
        self.common.cluster.at.cluster()?;
        let has_descriptors =
            [&self.read_fd, &self.write_fd, &self.unlock_fd].iter().any(|fds| !fds.is_empty());
        if self.direct {
            Some("--direct is for files of this machine, and --at names a cluster; use --at local")
        } else if has_descriptors {
            Some("descriptors are of this machine, and --at names a cluster; use --at local")
        } else if self.no_fork {
            Some("--no-fork does not go with --at URL: gtlock has to stop a command whose lock is lost")
        } else if self.slots.is_some() || self.take.is_some() {
            Some("--slots does not go with --at URL: a cluster keeps no slots; use --at local")
        } else {
            self.common.missing_in_cluster()
        }
    }

    /// Whether all that is locked are lock files.
    fn has_lock_files(&self) -> bool {
        !self.direct && self.read_fd.is_empty() && self.write_fd.is_empty()
    }

    fn contradiction(&self) -> Option<&'static str> {
        let contradiction = self.common.cluster.contradiction().or_else(|| self.missing_in_cluster());
        if contradiction.is_some() {
            return contradiction;
        }
        let Some(limit) = self.slots else {
            return self.take.map(|_| "--take K is a part of the N slots of --slots N: give that too");
        };
        if self.direct {
            Some(
                "--slots does not go with --direct: slots are bytes of a lock file, and data has none to spare",
            )
        } else if !self.has_lock_files() {
            Some("--slots is for --read FILE: slots are bytes of a lock file, and a descriptor has none")
        } else if !self.write.is_empty() {
            Some(
                "--slots is for one --read FILE alone: lock what --write names in a gtlock of its own, around this one",
            )
        } else if self.read.len() > 1 {
            Some(
                "--slots is for one --read FILE alone: lock the others in a gtlock of their own, around this one",
            )
        } else if self.take > Some(limit) {
            Some("--take wants more slots than --slots has, which can never be: give it a smaller number")
        } else {
            None
        }
    }
}

#[expect(missing_docs, reason = "clap would take it for the help of the subcommand")]
#[derive(Args, Debug)]
pub struct CommonArgs {
    /// Keep the lock files in DIR instead of .gastown/locks beside the data.
    ///
    /// It is made if it does not exist. Data files of the same name then share a lock.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, help_heading = LOCKS)]
    pub lock_dir: Option<PathBuf>,

    #[command(flatten)]
    pub cluster: ClusterArgs,

    /// Exit with status N if the lock was not obtained (0 to 255).
    #[arg(short = 'E', long, value_name = "N", value_hint = ValueHint::Other, default_value_t = REFUSED, value_parser = parse_exit_status,
          allow_negative_numbers = true,
          help_heading = BUSY, display_order = 100)]
    pub conflict_exit_code: u8,

    /// End the command when it has held the locks for TIME, and exit with status 124.
    ///
    /// It gets SIGTERM, and SIGKILL --kill-after later if it still runs. What it leaves running keeps the locks
    /// until that has ended too. The time goes on while the machine sleeps.
    #[arg(long, value_name = "TIME", value_hint = ValueHint::Other, value_parser = parse_limit,
          requires = "command", help_heading = COMMAND)]
    pub max_hold: Option<Duration>,

    /// The time from SIGTERM to SIGKILL for a command that --max-hold ends.
    #[arg(long, value_name = "TIME", value_hint = ValueHint::Other, value_parser = parse_delay,
          default_value = "10s", requires = "max_hold", help_heading = COMMAND)]
    pub kill_after: Duration,

    /// Append a line of JSON to FILE for each lock, for gtlock report.
    ///
    /// Written when the lock is released, refused or given up. Without this, to the file that the environment
    /// variable names, if any. A log that cannot be written is reported and changes nothing else.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = MESSAGES)]
    pub log: Option<PathBuf>,

    /// Print only errors; do not report a busy lock.
    #[arg(short, long, conflicts_with = "verbose", help_heading = MESSAGES)]
    pub quiet: bool,

    /// Show TEXT instead of the command to others who ask who holds the lock, or waits for it.
    #[arg(long, value_name = "TEXT", value_hint = ValueHint::Other,
          value_parser = NonEmptyStringValueParser::new(), help_heading = MESSAGES)]
    pub label: Option<String>,

    /// Print who is waited for, how long the lock took, and how long it was held.
    ///
    /// Also print why the holder could not be recorded, and that a file to lock does not exist.
    #[arg(short, long, help_heading = MESSAGES)]
    pub verbose: bool,
}

impl CommonArgs {
    fn missing_in_cluster(&self) -> Option<&'static str> {
        (self.lock_dir.is_some() && self.cluster.at.cluster().is_some()).then_some(LOCK_DIR_IN_CLUSTER)
    }
}

const LOCK_DIR_IN_CLUSTER: &str =
    "--lock-dir is a directory of this machine, and --at names a cluster; put a prefix at the end of the URL";

/// The environment variable for [`WaitArgs::timeout`].
pub const TIMEOUT_VARIABLE: &str = "GTLOCK_TIMEOUT";

#[expect(missing_docs, reason = "clap would take it for the help of the subcommand")]
#[derive(Args, Debug)]
pub struct WaitArgs {
    /// Wait at most this long for all the locks together: 5s, '1m 30s', or seconds like 2.5; 0 waits for ever.
    ///
    /// A negative time such as -1 does not wait.
    #[arg(long, value_name = "TIME", value_hint = ValueHint::Other, env = TIMEOUT_VARIABLE, hide_env_values = true, default_value = "0",
          value_parser = TimeoutParser, allow_hyphen_values = true, help_heading = BUSY)]
    pub timeout: Wait,

    /// Poll at this interval instead of waiting in the kernel [10ms if no TIME is given].
    ///
    /// For file systems on which waiting misbehaves: 5 attempts TIME apart, 5 more at least 50 ms apart, then
    /// at least 100 ms.
    #[arg(long, value_name = "TIME", value_hint = ValueHint::Other, num_args = 0..=1, default_missing_value = "10ms", value_parser = parse_delay,
          help_heading = BUSY)]
    pub retry_delay: Option<Duration>,

    /// Do not wait if K others wait for the lock already.
    ///
    /// With 1, one runs, one waits to run once more, and the rest leave at once, with the status of a busy lock.
    #[arg(long, value_name = "K", value_hint = ValueHint::Other, value_parser = parse_waiters, allow_negative_numbers = true,
          help_heading = BUSY)]
    pub max_waiters: Option<u32>,
}

impl WaitArgs {
    fn contradiction(&self, has_lock_files: bool, in_cluster: bool) -> Option<&'static str> {
        if in_cluster && self.retry_delay.is_some() {
            return Some(
                "--retry-delay does not go with --at URL: a cluster tells of a release, and is not polled",
            );
        }
        if in_cluster && self.max_waiters.is_some() {
            return Some("--max-waiters does not go with --at URL; use gtlock try, or --timeout");
        }
        (self.max_waiters.is_some() && !has_lock_files).then_some(
            "--max-waiters does not go with --direct and descriptors: those who wait are counted in a lock file",
        )
    }
}

#[expect(missing_docs, reason = "clap would take it for the help of the subcommand")]
#[derive(Args, Debug)]
pub struct RunArgs {
    /// Which locks.
    #[command(flatten)]
    pub lock: LockArgs,

    #[command(flatten)]
    pub wait: WaitArgs,

    /// The command to run, and its arguments.
    #[arg(last = true, value_name = "COMMAND", value_hint = ValueHint::CommandWithArguments)]
    pub command: Vec<OsString>,
}

#[expect(missing_docs, reason = "clap would take it for the help of the subcommand")]
#[derive(Args, Debug)]
pub struct TryArgs {
    /// Which locks.
    #[command(flatten)]
    pub lock: LockArgs,

    /// The command to run, and its arguments.
    #[arg(last = true, value_name = "COMMAND", value_hint = ValueHint::CommandWithArguments)]
    pub command: Vec<OsString>,
}

#[expect(missing_docs, reason = "clap would take it for the help of the subcommand")]
#[derive(Args, Debug)]
pub struct UpdateArgs {
    /// The file to rewrite. A symbolic link stays, and what it leads to is rewritten.
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: PathBuf,

    /// Keep the old content in FILE with SUFFIX added to its name, in place of what is there.
    #[arg(long, value_name = "SUFFIX", value_hint = ValueHint::Other)]
    pub backup: Option<OsString>,

    /// Do not wait until the new content is on the disk: a crash of the system may leave FILE old, or empty.
    #[arg(long)]
    pub no_sync: bool,

    /// Change nothing, print what FILTER makes of FILE.
    #[arg(short = 'n', long, conflicts_with_all = ["backup", "no_sync"])]
    pub dry_run: bool,

    #[command(flatten)]
    pub wait: WaitArgs,

    #[command(flatten)]
    pub common: CommonArgs,

    /// The command whose output is the new content, and its arguments.
    #[arg(id = "command", last = true, required = true, value_name = "FILTER", value_hint = ValueHint::CommandWithArguments)]
    pub filter: Vec<OsString>,
}

impl UpdateArgs {
    fn contradiction(&self) -> Option<&'static str> {
        let common = self.common.cluster.contradiction().or_else(|| self.common.missing_in_cluster());
        common.or_else(|| self.wait.contradiction(true, self.common.cluster.at.cluster().is_some()))
    }
}

#[expect(missing_docs, reason = "clap would take it for the help of the subcommand")]
#[derive(Args, Debug)]
pub struct StatusArgs {
    /// Data files, lock files or directories to show [default: .gastown/locks].
    #[arg(value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub paths: Vec<PathBuf>,

    /// Where the locks of the named data files are; on its own, the lock directory to show.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub lock_dir: Option<PathBuf>,

    /// Show the locks that run --direct and flock(1) take on the named files or directories themselves.
    #[arg(long, conflicts_with_all = ["lock_dir", "recursive"], requires = "paths")]
    pub direct: bool,

    /// Show every .gastown/locks below the named directories [default: .].
    ///
    /// Follows no symbolic links below them, and does not look into .git.
    #[arg(short = 'R', long, conflicts_with = "lock_dir")]
    pub recursive: bool,

    #[command(flatten)]
    pub at: AtArgs,

    /// Show only the locks that are held.
    #[arg(long)]
    pub held: bool,

    /// Print JSON for programs.
    #[arg(long)]
    pub json: bool,
}

impl StatusArgs {
    fn contradiction(&self) -> Option<&'static str> {
        self.at.cluster()?;
        if self.lock_dir.is_some() {
            Some(LOCK_DIR_IN_CLUSTER)
        } else {
            (self.direct || self.recursive).then_some(
                "--direct and -R are for files of this machine, and --at names a cluster; use --at local",
            )
        }
    }
}

#[expect(missing_docs, reason = "clap would take it for the help of the subcommand")]
#[derive(Args, Debug)]
pub struct CleanArgs {
    /// Directories named .gastown/locks [default: .gastown/locks].
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub dirs: Vec<PathBuf>,

    /// Clean this directory, whatever its name; it must be one for lock files only.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub lock_dir: Vec<PathBuf>,

    /// Clean every .gastown/locks below the named directories [default: .].
    ///
    /// Follows no symbolic links below them, and does not look into .git.
    #[arg(short = 'R', long)]
    pub recursive: bool,

    #[command(flatten)]
    pub at: AtArgs,

    /// Remove nothing, print what would be removed.
    #[arg(short = 'n', long)]
    pub dry_run: bool,

    /// Print JSON for programs.
    #[arg(long)]
    pub json: bool,

    /// Print only errors.
    #[arg(short, long, conflicts_with = "json")]
    pub quiet: bool,
}

impl CleanArgs {
    fn contradiction(&self) -> Option<&'static str> {
        self.at.cluster()?;
        (self.recursive || !self.dirs.is_empty() || !self.lock_dir.is_empty()).then_some(
            "lock files are cleaned on this machine, and --at names a cluster: name no directory, or use --at local",
        )
    }
}

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
}

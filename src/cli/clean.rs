//! The command line of `gtlock clean`.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::at::AtArgs;

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
    /// What goes together with nothing that could be done, and why.
    pub(super) fn contradiction(&self) -> Option<&'static str> {
        self.at.cluster()?;
        (self.recursive || !self.dirs.is_empty() || !self.lock_dir.is_empty()).then_some(
            "lock files are cleaned on this machine, and --at names a cluster: name no directory, or use --at local",
        )
    }
}

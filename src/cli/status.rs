//! The command line of `gtlock status`.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::at::{AtArgs, LOCK_DIR_IN_CLUSTER};

#[expect(missing_docs, reason = "clap would take it for the help of the subcommand")]
#[derive(Args, Debug)]
pub struct StatusArgs {
    /// Data files, lock files or directories to show [default: .gastown/locks].
    #[arg(value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub paths: Vec<PathBuf>,

    /// Where the locks of the named data files are; without PATH, the lock directory to show.
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
    /// What goes together with nothing that could be done, and why.
    pub(super) fn contradiction(&self) -> Option<&'static str> {
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

//! The command line of `gtlock update`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::common::CommonArgs;
use super::wait::WaitArgs;

#[expect(missing_docs, reason = "clap would take it for the help of the subcommand")]
#[derive(Args, Debug)]
pub struct UpdateArgs {
    /// The file to rewrite. A symbolic link stays, and the file it points to is rewritten.
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: PathBuf,

    /// Keep the old content in FILE with SUFFIX added to its name, and replace what is there.
    #[arg(long, value_name = "SUFFIX", value_hint = ValueHint::Other)]
    pub backup: Option<OsString>,

    /// Do not wait until the new content is on the disk: a crash of the system may leave FILE old, or empty.
    #[arg(long)]
    pub no_sync: bool,

    /// Change nothing, and print the output of FILTER.
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
    /// What goes together with nothing that could be done, and why.
    pub(super) fn contradiction(&self) -> Option<&'static str> {
        let in_cluster = self.common.at.cluster().is_some();
        self.common.contradiction().or_else(|| self.wait.contradiction(true, in_cluster))
    }
}

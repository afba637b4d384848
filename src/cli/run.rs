//! The command lines of `gtlock run` and `gtlock try`.

use std::ffi::OsString;

use clap::{Args, ValueHint};

use super::lock::LockArgs;
use super::wait::WaitArgs;

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

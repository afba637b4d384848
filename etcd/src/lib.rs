//! `gtlock-etcd`: the program that `gtlock --at etcd://...` runs in its place. It takes the same command line.
//!
//! It is two processes: the `front` runs the command, the `keeper` holds the session in etcd. Each of them stops the command
//! before its lock can end, by the `leash` that they share.
#![cfg(target_os = "linux")]

mod asked;
mod at;
mod claim;
mod clean;
mod client;
mod commands;
mod document;
mod fault;
mod front;
mod held;
mod history;
mod keeper;
mod keys;
mod leash;
mod login;
mod narrate;
mod queue;
mod record;
mod session;
mod status;
mod sys;
mod talk;
mod tls;
mod tree;
mod txn;
mod versions;
mod watch;
mod who;

use std::ffi::OsString;

use gtlock::cli::{Action, Cli};
use gtlock::cmd::{report, usage};
use gtlock::exit::Exit;

use crate::at::At;

/// Does what the command line asks for.
#[must_use]
pub fn obey(words: &[OsString]) -> Exit {
    let cli = match Cli::read(words) {
        Ok(cli) => cli,
        Err(e) if e.use_stderr() => return usage::refuse(&e, words),
        Err(help) => return report::printed(help.print()),
    };
    let Some(url) = cli.action.cluster() else {
        report::say("gtlock-etcd takes locks from etcd: give --at URL, or use gtlock");
        return Exit::Failure;
    };
    let done = At::parse(url).and_then(|at| match cli.action {
        Action::Run(args) => commands::run(&at, &args),
        Action::Try(args) => commands::try_run(&at, &args),
        Action::Update(args) => commands::update(&at, &args),
        Action::Status(args) => status::status(&at, &args),
        Action::Clean(args) => clean::clean(&at, &args),
        Action::Report(_) => unreachable!("report has no --at"),
    });
    done.unwrap_or_else(|e| report::failed(&e))
}

//! `gtlock`: parses the command line, runs the subcommand, and reports errors.
#![cfg_attr(unix, no_main)]

use std::ffi::OsString;

use gtlock::cli::{Action, Cli};
use gtlock::cmd::{clean, cluster, history, report, run, status, update, usage};
use gtlock::exit::Exit;

#[cfg(unix)]
#[path = "sys/unix/entry.rs"]
mod entry;

#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

#[cfg(not(unix))]
fn main() {
    obey(&std::env::args_os().collect::<Vec<_>>()).finish()
}

/// Carries out a command line.
fn obey(words: &[OsString]) -> Exit {
    let cli = match Cli::read(words) {
        Ok(cli) => cli,
        Err(e) if e.use_stderr() => return usage::refuse(&e, words),
        Err(help) => return report::printed(help.print()),
    };
    if cli.action.cluster().is_some() {
        return cluster::become_its_client(words);
    }
    let done = match cli.action {
        Action::Run(args) => run::run(&args),
        Action::Try(args) => run::try_run(&args),
        Action::Update(args) => update::update(&args),
        Action::Status(args) => status::status(&args),
        Action::Clean(args) => clean::clean(&args),
        Action::Report(args) => history::report(&args),
    };
    done.unwrap_or_else(|e| report::failed(&e))
}

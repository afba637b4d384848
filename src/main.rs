//! `gtlock`: parses the command line, does what it says, and tells how it went.

use std::process::ExitCode;

use clap::Parser;
use gtlock::cli::{Action, Cli};
use gtlock::cmd::{clean, report, run, status, usage};
use gtlock::exit::Exit;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) if e.use_stderr() => {
            report::say(&usage::usage(&e));
            return Exit::Failure.finish();
        }
        Err(help) => return report::printed(help.print()).finish(),
    };
    let done = match cli.action {
        Action::Run(args) => run::run(&args),
        Action::Try(args) => run::try_run(&args),
        Action::Status(args) => status::status(&args),
        Action::Clean(args) => clean::clean(&args),
    };
    done.unwrap_or_else(|e| report::failed(&e)).finish()
}

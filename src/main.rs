//! `gtlock`: parses the command line, does what it says, and tells how it went.

use std::process::ExitCode;

use gtlock::cli::{Action, Cli};
use gtlock::cmd::{clean, report, run, status, usage};

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().collect();
    let cli = match Cli::read(&words) {
        Ok(cli) => cli,
        Err(e) if e.use_stderr() => return usage::refuse(&e, &words).finish(),
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

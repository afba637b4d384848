//! The command line of `gtlock report`.

use std::path::PathBuf;
use std::time::SystemTime;

use clap::{Args, ValueHint};

use super::values::parse_time;

/// The environment variable for the log.
pub const LOG_VARIABLE: &str = "GTLOCK_LOG";

#[expect(missing_docs, reason = "clap would take it for the help of the subcommand")]
#[derive(Args, Debug)]
pub struct ReportArgs {
    /// Logs that run, try and update have written with --log.
    #[arg(value_name = "LOG", value_hint = ValueHint::FilePath)]
    pub logs: Vec<PathBuf>,

    /// Only what ended after TIME: 2h or '7days' ago, or since 2026-11-24 or '2026-11-24 18:00:00' (UTC).
    #[arg(long, value_name = "TIME", value_hint = ValueHint::Other, value_parser = parse_since)]
    pub since: Option<SystemTime>,

    /// Only the lock on FILE: a data file or a lock file, or its name without a directory.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::AnyPath)]
    pub lock: Vec<PathBuf>,

    /// Print JSON for programs.
    #[arg(long)]
    pub json: bool,

    /// Write a page with a timeline of each lock, to be opened in a browser; - is standard output.
    #[arg(long, value_name = "OUT", value_hint = ValueHint::FilePath)]
    pub html: Option<PathBuf>,

    /// Write the timeline in the trace-event format, to be opened in Perfetto or speedscope; - is standard output.
    #[arg(long, value_name = "OUT", value_hint = ValueHint::FilePath)]
    pub trace: Option<PathBuf>,
}

/// Reads a moment: a time as in [`parse_time`] before now, or a date.
fn parse_since(text: &str) -> Result<SystemTime, String> {
    let text = text.trim();
    let date = humantime::parse_rfc3339_weak(text)
        .or_else(|_| humantime::parse_rfc3339_weak(&format!("{text} 00:00:00")));
    match (date, parse_time(text)) {
        (Ok(date), _) => Ok(date),
        (Err(_), Ok(ago)) => Ok(SystemTime::now().checked_sub(ago).unwrap_or(SystemTime::UNIX_EPOCH)),
        (Err(_), Err(why)) => {
            let is_date =
                text.split(['-', ' ', 'T']).next().is_some_and(|year| year.len() == 4) && text.contains('-');
            let why = if is_date { "there is no such date" } else { &why };
            Err(format!("{why}; give a time ago like 2h or 7days, or a date like 2026-11-24"))
        }
    }
}

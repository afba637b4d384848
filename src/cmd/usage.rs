//! What clap refuses, in one line that says what to type.

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::cli::TIMEOUT_VARIABLE;
use crate::escape::Escaped;

/// A usage error in one line.
#[must_use]
pub fn usage(error: &clap::Error) -> String {
    if error.kind() == ErrorKind::MissingSubcommand {
        return "no subcommand given; use run, try, status or clean (see gtlock --help)".to_owned();
    }
    if from_environment(error) {
        let value = std::env::var_os(TIMEOUT_VARIABLE).unwrap_or_default();
        return format!(
            "invalid value '{}' in {TIMEOUT_VARIABLE}; set it to a time like 5s or 2.5, or unset it",
            Escaped::new(&value)
        );
    }
    let rendered = error.render().to_string();
    let (told, usage) = rendered.split_once("\n\nUsage: ").unwrap_or((&rendered, ""));
    let told = told.split("\n\nFor more information").next().unwrap_or_default();
    let locks = usage.starts_with("gtlock run ") || usage.starts_with("gtlock try ");
    let hint = hint(error).filter(|_| locks);
    // Of clap's tips none is about a command line like this, where a hint is; one never is.
    let unwanted = if hint.is_some() { "tip: " } else { "tip: to pass " };
    let lines = told.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(unwanted));
    let message = lines.collect::<Vec<_>>().join("; ").replace(":; ", ": ");
    let message = Escaped::new(message.strip_prefix("error: ").unwrap_or(&message)).to_string();
    message + hint.unwrap_or_default() + " (see gtlock --help)"
}

/// What flock(1) has and gtlock has not, or only elsewhere, with the way of `gtlock run` and `gtlock try`.
const HABITS: [(&[&str], &str); 7] = [
    (&["-n", "--nb", "--nonblock"], "; gtlock try is run that does not wait"),
    (&["-w", "--wait"], "; gtlock run --timeout TIME waits no longer than that"),
    (&["--timeout"], "; gtlock try does not wait, gtlock run does"),
    (&["-e", "-x", "--exclusive"], "; a file to write goes after --write"),
    (&["-s", "--shared"], "; a file to read goes after --read"),
    (&["-u", "--unlock"], "; use --unlock-fd N"),
    (&["-c", "--command"], "; a command goes after --, as in -- sh -c 'COMMAND'"),
];

/// What to do instead of giving an argument that `gtlock run` and `gtlock try` do not know.
fn hint(error: &clap::Error) -> Option<&'static str> {
    let Some(ContextValue::String(argument)) = error.get(ContextKind::InvalidArg) else { return None };
    match HABITS.iter().find(|(habits, _)| habits.contains(&argument.as_str())) {
        _ if error.kind() != ErrorKind::UnknownArgument => None,
        Some((_, hint)) => Some(hint),
        None if argument.starts_with('-') => None,
        None => Some("; a file goes after --write or --read, a command after --"),
    }
}

/// Whether what clap refused is the timeout that it found in the environment: it blames the option, which
/// the user did not give.
fn from_environment(error: &clap::Error) -> bool {
    let Some(value) = std::env::var_os(TIMEOUT_VARIABLE) else { return false };
    match (error.kind(), error.get(ContextKind::InvalidArg), error.get(ContextKind::InvalidValue)) {
        (
            ErrorKind::ValueValidation,
            Some(ContextValue::String(option)),
            Some(ContextValue::String(refused)),
        ) => option.starts_with("--timeout") && value == refused.as_str(),
        (ErrorKind::InvalidUtf8, ..) => value.to_str().is_none(),
        _ => false,
    }
}

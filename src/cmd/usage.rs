//! Answers a wrong command line: one line with the mistake and what to type, and on a terminal the usage.

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};

use clap::CommandFactory;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::habits::{self, Remedy};
use super::report;
use crate::cli::{Cli, is_time};
use crate::escape::{Escaped, quoted};
use crate::exit::Exit;

/// The options whose time may be negative: clap takes any next word for it.
const TIMES: [&str; 2] = ["--timeout", "--retry-delay"];

/// The options whose value need not be text.
const TAKE_PATHS: [&str; 8] =
    ["--read", "--write", "--lock-dir", "--log", "--lock", "--html", "--trace", "--backup"];

/// Reports a command line that cannot be used.
#[must_use]
pub fn refuse(error: &clap::Error, words: &[OsString]) -> Exit {
    let mut words = words.to_vec();
    words.splice(..words.len().min(1), ["gtlock".into()]);
    let (problem, remedy) = time_in_pieces(&words).unwrap_or_else(|| {
        let remedy = habits::remedy(error, &words);
        (problem(error, remedy.as_ref(), &words), remedy)
    });
    let (subcommand, remedy) = match &remedy {
        None => (words.get(1), String::new()),
        Some(Remedy::Hint(hint)) => (words.get(1), format!("; {hint}")),
        Some(Remedy::Type(words)) => {
            (words.get(1), quoted(words).map_or_else(String::new, |command| format!("; use {command}")))
        }
    };
    let mut gtlock = Cli::command();
    gtlock.build();
    let subcommand = subcommand.filter(|&name| name != "help");
    let (see, usage) = match subcommand.and_then(|name| gtlock.find_subcommand_mut(name)) {
        Some(command) => (format!("gtlock {}", command.get_name()), command.render_usage()),
        None => ("gtlock".to_owned(), gtlock.render_usage()),
    };
    report::say(&format!("{problem}{remedy} (see {see} --help)"));
    if io::stderr().is_terminal() {
        let _ = writeln!(io::stderr(), "{usage}");
    }
    Exit::Failure
}

/// The mistake, in one line.
fn problem(error: &clap::Error, remedy: Option<&Remedy>, words: &[OsString]) -> String {
    let argument = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(argument)) => Some(argument),
        Some(ContextValue::Strings(arguments)) => arguments.first(),
        _ => None,
    };
    let known = match error.kind() {
        ErrorKind::MissingSubcommand => {
            let subcommands = "use run, try, update, status, clean or report, as in gtlock run --write state.json -- ./update.sh";
            Some(format!("no subcommand given; {subcommands}"))
        }
        ErrorKind::InvalidUtf8 => not_text(words),
        ErrorKind::InvalidValue => argument.and_then(|argument| needs(argument)),
        ErrorKind::MissingRequiredArgument => {
            argument.and_then(|argument| lacks(argument)).map(str::to_owned)
        }
        ErrorKind::TooManyValues => argument.map(|argument| format!("{argument} takes no value")),
        _ => None,
    };
    known.unwrap_or_else(|| as_clap_has_it(error, remedy))
}

fn as_clap_has_it(error: &clap::Error, remedy: Option<&Remedy>) -> String {
    let rendered = error.render().to_string();
    let message = rendered.split("\n\nUsage: ").next().unwrap_or_default();
    let message = message.split("\n\nFor more information").next().unwrap_or_default();
    let lines = message.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("tip: "));
    let message =
        lines.collect::<Vec<_>>().join("; ").replace(":; ", ": ").replace("'[COMMAND]...'", "a command");
    let message = Escaped::new(message.strip_prefix("error: ").unwrap_or(&message)).to_string();
    match error.get(ContextKind::SuggestedArg) {
        Some(ContextValue::String(similar)) if remedy.is_none() => format!("{message}; there is {similar}"),
        _ => message,
    }
}

/// The value that is not text and should be.
fn not_text(words: &[OsString]) -> Option<String> {
    let is_text = |word: &OsString| word.to_str().is_some();
    let options = words.iter().take_while(|&word| word != "--");
    let (before, word) = words.iter().zip(options.skip(1)).find(|(before, word)| {
        !is_text(word) && !before.to_str().is_some_and(|option| TAKE_PATHS.contains(&option))
    })?;
    let (option, value) = match word.to_string_lossy().split_once('=') {
        Some((option, _)) if option.starts_with("--") => (option.to_owned(), Escaped::new(word)),
        _ => (before.to_string_lossy().into_owned(), Escaped::new(word)),
    };
    Some(format!("{option} needs text in UTF-8, which '{value}' is not"))
}

/// The message for a missing argument; clap shows it as `<FILTER>...`.
fn lacks(argument: &str) -> Option<&'static str> {
    match argument {
        "<FILE>" => Some("no file named; use gtlock update FILE -- FILTER"),
        "<FILTER>..." => Some("no filter to run; name it after --, as in gtlock update FILE -- jq ."),
        "<PATH>..." => Some("--direct needs a file or directory, as in gtlock status --direct state.json"),
        "<COMMAND>..." => Some("--max-hold needs a command to end; name it after --"),
        "--max-hold <TIME>" => Some("--kill-after needs --max-hold TIME: it counts from there"),
        _ => None,
    }
}

/// The message for an option without its value; clap shows the option as `--write <FILE>`.
fn needs(option: &str) -> Option<String> {
    let (name, value) = option.split_once(' ')?;
    let value = match value.trim_matches(['<', '>', '[', ']']) {
        "FILE" if name == "--log" => "a file, such as locks.log",
        "FILE" => "a file, such as state.json",
        "OUT" => "a file, such as report.html",
        "DIR" => "a directory, such as locks",
        "URL" => "a cluster, such as etcd://localhost:2379, or local",
        "SUFFIX" => "an end of a name, such as .bak",
        "TIME" => "a time, such as 5s",
        "TEXT" => "a text, such as nightly",
        "N" if name.ends_with("-fd") => "the number of an open descriptor, such as 9",
        "N" if name == "--slots" => "a number of slots, such as 4",
        "N" => "an exit status, such as 0",
        "K" => "a number, such as 1",
        _ => return None,
    };
    Some(format!("{name} needs {value}"))
}

/// An option where a time should be, or a time in several words.
fn time_in_pieces(words: &[OsString]) -> Option<(String, Option<Remedy>)> {
    let words = words.iter().map(|word| word.to_str()).collect::<Option<Vec<_>>>()?;
    let end = words.iter().position(|&word| word == "--").unwrap_or(words.len());
    let at = words[..end].iter().position(|word| TIMES.contains(word))?;
    let (option, value) = (words[at], *words.get(at + 1)?);
    if value.starts_with('-') && !is_time(value) {
        return Some((format!("{option} needs a time, such as 5s"), None));
    }
    let last = (at + 2..end).rev().find(|&last| is_time(&words[at + 1..=last].join(" ")))?;
    let time = words[at + 1..=last].join(" ");
    let whole = [&words[..=at], &[&time], &words[last + 1..]].concat();
    let whole = whole.into_iter().map(OsString::from).collect::<Vec<_>>();
    let remedy = Cli::read(&whole).is_ok().then_some(Remedy::Type(whole));
    Some((format!("{option} takes one word: '{time}'"), remedy))
}

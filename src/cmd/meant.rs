//! Guesses which command line was meant by one that gtlock does not accept. clap parses both.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args, Command, CommandFactory, FromArgMatches, value_parser};

use crate::cli::{Cli, LockArgs};
use crate::sys;

/// The subcommands that lock.
pub const LOCKING: &[&str] = &["run", "try"];

/// Whether gtlock has a subcommand of this name.
#[must_use]
pub fn is_subcommand(name: impl AsRef<OsStr>) -> bool {
    Cli::command().find_subcommand(name).is_some()
}

/// Whether a word is a descriptor to flock(1), not a file.
#[must_use]
pub fn is_number(word: &OsStr) -> bool {
    word.to_str().is_some_and(|word| word.parse::<u16>().is_ok())
}

/// Whether a word is a command in PATH, and not a file here.
fn is_command(word: &OsStr) -> bool {
    let is_word = !word.is_empty() && !word.as_encoded_bytes().contains(&b'/') && !Path::new(word).exists();
    is_word && sys::is_command(word)
}

/// Whether gtlock accepts a command line.
#[must_use]
pub fn is_accepted(words: &[OsString]) -> bool {
    Cli::read(words).is_ok()
}

/// A command line that gtlock accepts, and that means what these words mean to flock(1) or should mean here.
#[must_use]
pub fn meant(words: &[OsString]) -> Option<Vec<OsString>> {
    let meant = moved(words).or_else(|| doubled(words)).or_else(|| read(words)).or_else(|| status(words));
    meant.filter(|meant| meant != words && is_accepted(meant))
}

/// The same with its subcommand in front.
fn moved(words: &[OsString]) -> Option<Vec<OsString>> {
    let options = words.iter().position(|word| word == "--").unwrap_or(words.len());
    let at = (2..options).find(|&at| is_subcommand(&words[at]))?;
    let mut moved = words.to_vec();
    let subcommand = moved.remove(at);
    moved.insert(1, subcommand);
    is_accepted(&moved).then_some(moved)
}

/// The same with two dashes before the long options that have one.
fn doubled(words: &[OsString]) -> Option<Vec<OsString>> {
    let options = words.iter().position(|word| word == "--").unwrap_or(words.len());
    let double = |(at, word): (usize, &OsString)| match word.to_str() {
        Some(text) if at < options && text.len() > 2 && text.starts_with('-') && !text.starts_with("--") => {
            format!("-{text}").into()
        }
        _ => word.clone(),
    };
    let doubled: Vec<_> = words.iter().enumerate().map(double).collect();
    (doubled != words && is_accepted(&doubled)).then_some(doubled)
}

/// The same as a request for status.
fn status(words: &[OsString]) -> Option<Vec<OsString>> {
    let options = words.get(1)?.as_encoded_bytes().starts_with(b"--");
    options.then(|| [&["gtlock".into(), "status".into()], &words[1..]].concat())
}

/// flock(1)'s options, with those that it shares with gtlock.
#[derive(Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line are independent bools")]
struct Flock {
    #[command(flatten)]
    lock: LockArgs,
    #[arg(short = 'n', long, aliases = ["nb", "nonblocking", "no-wait"])]
    nonblock: bool,
    #[arg(short = 'w', long, alias = "wait", allow_hyphen_values = true)]
    timeout: Option<OsString>,
    #[arg(short, long)]
    shared: bool,
    #[arg(short = 'x', short_alias = 'e', long)]
    exclusive: bool,
    #[arg(short, long)]
    unlock: bool,
    #[arg(short = 'c', long = "command")]
    shell: Option<OsString>,
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

/// The words, parsed by flock(1)'s rules: options, a file, the command. If an option names a file, the first word begins
/// the command.
fn read(words: &[OsString]) -> Option<Vec<OsString>> {
    let subcommand = words.get(1)?.to_str().filter(|word| LOCKING.contains(word));
    let words = &words[if subcommand.is_some() { 2 } else { 1 }..];
    let parse = |command: Command| {
        let matches = Flock::augment_args(command.no_binary_name(true)).try_get_matches_from(words).ok()?;
        let flock = Flock::from_arg_matches(&matches).ok()?;
        let file = matches.try_get_one::<OsString>("file").ok().flatten().cloned();
        Some((flock, shared_options(&matches), file))
    };
    let (mut flock, mut options, mut file) = parse(Command::new("gtlock"))?;
    let begins_command = subcommand.is_some() && words.first().is_some_and(|word| word == "--")
        || flock.command.first().is_some_and(|word| is_command(word));
    if !flock.lock.names_any() && begins_command {
        file = Some("FILE".into());
    } else if !flock.lock.names_any() {
        let first = Arg::new("file").value_parser(value_parser!(OsString));
        (flock, options, file) = parse(Command::new("flock").arg(first))?;
    }
    let mut files: Vec<_> = file.into_iter().collect();
    // All words before the -- are files.
    if subcommand.is_some()
        && let Some(dashes) = flock.command.iter().position(|word| word == "--")
    {
        files.extend(flock.command.drain(..=dashes).take(dashes));
    }
    if let Some(shell) = flock.shell.take() {
        flock.command = vec!["sh".into(), "-c".into(), shell];
    }
    let is_option = |word: &OsString| word.as_encoded_bytes().starts_with(b"-");
    if flock.command.first().is_some_and(is_option) || files.iter().any(is_option) {
        return None;
    }
    Some(flock.typed(subcommand, options, files))
}

/// The options that flock(1)'s command line shares with gtlock's, as they were typed.
fn shared_options(matches: &ArgMatches) -> Vec<OsString> {
    let gtlock = LockArgs::augment_args(Command::new("gtlock"));
    let mut typed = Vec::new();
    for option in gtlock.get_arguments() {
        let id = option.get_id().as_str();
        if matches.value_source(id) != Some(ValueSource::CommandLine) {
            continue;
        }
        let short = option.get_short().map(|short| format!("-{short}"));
        let name = short.or_else(|| option.get_long().map(|long| format!("--{long}"))).unwrap_or_default();
        let indices = matches.indices_of(id).into_iter().flatten();
        if option.get_action().takes_values() {
            let values = matches.get_raw(id).into_iter().flatten();
            typed.extend(
                indices.zip(values).map(|(at, value)| (at, vec![name.clone().into(), value.to_owned()])),
            );
        } else {
            typed.extend(indices.map(|at| (at, vec![name.clone().into()])));
        }
    }
    typed.sort_unstable();
    typed.into_iter().flat_map(|(_, words)| words).collect()
}

impl Flock {
    /// The command line of gtlock.
    fn typed(self, subcommand: Option<&str>, options: Vec<OsString>, files: Vec<OsString>) -> Vec<OsString> {
        let tries = self.nonblock
            || self.timeout.as_ref().is_some_and(|time| time == "0")
            || (self.timeout.is_none() && subcommand == Some("try"));
        let reads = self.shared || self.lock.write.is_empty() && !self.lock.read.is_empty();
        let mut typed: Vec<OsString> = vec!["gtlock".into(), if tries { "try" } else { "run" }.into()];
        if let Some(time) = self.timeout.filter(|_| !tries) {
            typed.extend(["--timeout".into(), time]);
        }
        typed.extend(options);
        let is_descriptor = self.command.is_empty() && files.first().is_some_and(|file| is_number(file));
        if files.iter().any(|file| Path::new(file).is_dir()) && !self.lock.rare.direct {
            typed.push("--direct".into());
        }
        let option = match (is_descriptor, self.unlock, reads) {
            (true, true, _) => "--unlock-fd",
            (true, false, true) => "--read-fd",
            (true, false, false) => "--write-fd",
            (false, _, true) => "--read",
            (false, _, false) => "--write",
        };
        let names_files = !is_descriptor && !files.is_empty() || self.lock.names_files();
        typed.extend(files.into_iter().flat_map(|file| [option.into(), file]));
        if !self.command.is_empty() {
            typed.push("--".into());
            typed.extend(self.command);
        } else if !tries && names_files {
            typed.extend(["--".into(), "COMMAND".into()]);
        }
        typed
    }
}

//! The command line that was meant by one that gtlock does not accept. clap reads both.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use clap::{Arg, Args, Command, CommandFactory, FromArgMatches, value_parser};

use crate::cli::{Cli, LockArgs};
use crate::exit::REFUSED;

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

/// Whether gtlock accepts a command line.
#[must_use]
pub fn is_accepted(words: &[OsString]) -> bool {
    Cli::read(words).is_ok()
}

/// A command line that gtlock accepts, and that means what these words mean to flock(1) or were to mean here.
#[must_use]
pub fn meant(words: &[OsString]) -> Option<Vec<OsString>> {
    let meant = moved(words).or_else(|| read(words)).or_else(|| status(words));
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

/// The same as a request for status.
fn status(words: &[OsString]) -> Option<Vec<OsString>> {
    let options = words.get(1)?.as_encoded_bytes().starts_with(b"--");
    options.then(|| [&["gtlock".into(), "status".into()], &words[1..]].concat())
}

/// flock(1)'s options, beside those that it shares with gtlock.
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

/// The words read by flock(1)'s rules: options, a file, the command. Where a file is given as an option, the first
/// word begins the command.
fn read(words: &[OsString]) -> Option<Vec<OsString>> {
    let subcommand = words.get(1)?.to_str().filter(|word| LOCKING.contains(word));
    let words = &words[if subcommand.is_some() { 2 } else { 1 }..];
    let parse = |command: Command| {
        let matches = Flock::augment_args(command.no_binary_name(true)).try_get_matches_from(words).ok()?;
        let file = matches.try_get_one::<OsString>("file").ok().flatten().cloned();
        Some((Flock::from_arg_matches(&matches).ok()?, file))
    };
    let (mut flock, mut file) = parse(Command::new("gtlock"))?;
    if !flock.lock.names_any() {
        let first = Arg::new("file").value_parser(value_parser!(OsString));
        (flock, file) = parse(Command::new("flock").arg(first))?;
    }
    let mut files: Vec<_> = file.into_iter().collect();
    // Of several words before the --, all are files.
    if subcommand.is_some()
        && let Some(dashes) = flock.command.iter().position(|word| word == "--")
    {
        files.extend(flock.command.drain(..=dashes).take(dashes));
    }
    if let Some(shell) = flock.shell.take() {
        flock.command = vec!["sh".into(), "-c".into(), shell];
    }
    let is_option = |word: &OsString| word.as_encoded_bytes().starts_with(b"-");
    if flock.command.first().or(files.first()).is_some_and(is_option) || files.iter().any(is_option) {
        return None;
    }
    flock.place(files);
    Some(flock.typed(subcommand))
}

impl Flock {
    /// Has the files, or flock(1)'s descriptor, locked as the options ask.
    fn place(&mut self, files: Vec<OsString>) {
        let number = files.first().filter(|file| is_number(file) && self.command.is_empty());
        let descriptor = number.and_then(|number| number.to_str()?.parse().ok());
        let shared = self.shared || self.lock.write.is_empty() && !self.lock.read.is_empty();
        let lock = &mut self.lock;
        match (descriptor, self.unlock, shared) {
            (Some(descriptor), true, _) => lock.unlock_fd.push(descriptor),
            (Some(descriptor), false, true) => lock.read_fd.push(descriptor),
            (Some(descriptor), false, false) => lock.write_fd.push(descriptor),
            (None, ..) => {
                lock.direct |= files.iter().any(|file| Path::new(file).is_dir());
                let place = if shared { &mut lock.read } else { &mut lock.write };
                place.extend(files.into_iter().map(PathBuf::from));
            }
        }
    }

    /// The command line of gtlock.
    fn typed(self, subcommand: Option<&str>) -> Vec<OsString> {
        let Self { lock, nonblock, timeout, command, .. } = self;
        let tries = nonblock
            || timeout.as_ref().is_some_and(|time| time == "0")
            || (timeout.is_none() && subcommand == Some("try"));
        let mut typed: Vec<OsString> = vec!["gtlock".into(), if tries { "try" } else { "run" }.into()];
        let mut add = |option: &str, value: OsString| typed.extend([option.into(), value]);
        if let Some(time) = timeout.filter(|_| !tries) {
            add("--timeout", time);
        }
        if lock.conflict_exit_code != REFUSED {
            add("-E", lock.conflict_exit_code.to_string().into());
        }
        if let Some(dir) = lock.lock_dir {
            add("--lock-dir", dir.into());
        }
        for (option, files) in [("--read", lock.read), ("--write", lock.write)] {
            for file in files {
                add(option, file.into());
            }
        }
        for (option, descriptors) in
            [("--read-fd", lock.read_fd), ("--write-fd", lock.write_fd), ("--unlock-fd", lock.unlock_fd)]
        {
            for descriptor in descriptors {
                add(option, descriptor.to_string().into());
            }
        }
        let flags = [
            ("--direct", lock.direct),
            ("-o", lock.close),
            ("-F", lock.no_fork),
            ("-q", lock.quiet),
            ("-v", lock.verbose),
        ];
        typed.splice(2..2, flags.into_iter().filter(|(_, given)| *given).map(|(flag, _)| flag.into()));
        if !command.is_empty() {
            typed.push("--".into());
            typed.extend(command);
        } else if !tries && typed.iter().any(|word| word == "--read" || word == "--write") {
            typed.extend(["--".into(), "COMMAND".into()]);
        }
        typed
    }
}

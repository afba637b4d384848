//! Answers for users of flock(1) and other tools: what to type instead.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::clean;
use super::meant::{LOCKING, is_accepted, is_number, is_subcommand, meant};

/// What to do instead.
#[derive(Debug, PartialEq, Eq)]
pub enum Remedy {
    /// A whole command line that gtlock accepts.
    Type(Vec<OsString>),
    /// A sentence.
    Hint(&'static str),
}

/// What other tools call a subcommand.
enum Means {
    /// It is this.
    Is(&'static [&'static str]),
    /// There is none.
    None(&'static str),
}

const SUBCOMMANDS: [(&[&str], Means); 13] = [
    (
        &["ls", "ps", "list", "show", "info", "who", "holders", "locks", "lslocks", "top"],
        Means::Is(&["status"]),
    ),
    (&["exec", "do", "with", "start", "flock", "lock", "acquire", "shell"], Means::Is(&["run"])),
    (&["trylock", "test", "check"], Means::Is(&["try"])),
    (&["prune", "gc", "rm", "remove", "delete", "purge", "cleanup", "sweep", "tidy"], Means::Is(&["clean"])),
    (&["edit", "modify", "rewrite", "sponge", "replace", "filter"], Means::Is(&["update"])),
    (&["log", "logs", "history", "timeline", "trace", "journal"], Means::Is(&["report"])),
    (&["write"], Means::Is(&["run", "--write"])),
    (&["read"], Means::Is(&["run", "--read"])),
    (
        &["unlock", "release", "free"],
        Means::None("a lock ends with its command; gtlock run --unlock-fd N unlocks a descriptor"),
    ),
    (
        &["wait"],
        Means::None("gtlock run waits; gtlock run --write FILE -- true returns once nobody holds FILE"),
    ),
    (
        &["kill", "break", "steal", "force"],
        Means::None("a lock ends with its holder; gtlock status shows who that is"),
    ),
    (&["version"], Means::None("use gtlock --version")),
    (
        &["completion", "completions", "complete", "man"],
        Means::None(
            "completions and man pages are files of the package, in completions/ and man/ of the source",
        ),
    ),
];

/// Options of flock(1) and others that the subcommands do not have, for when no whole command can be given.
const OPTIONS: &[(&[&str], &[&str], &str)] = &[
    (LOCKING, &["-n", "--nb", "--nonblock", "--try"], "use gtlock try, which does not wait"),
    (
        LOCKING,
        &["-w", "--wait", "-t"],
        "use gtlock run --timeout TIME, which waits no longer than that; a file to write goes after --write",
    ),
    (LOCKING, &["--timeout"], "gtlock try does not wait, gtlock run does"),
    (
        LOCKING,
        &["-i", "--attempts", "--interval", "--retries", "--retry"],
        "gtlock waits in the kernel, and needs no retries; --timeout TIME ends the wait",
    ),
    (LOCKING, &["-e", "-x", "--exclusive"], "a file to write goes after --write"),
    (LOCKING, &["-r", "-s", "--shared"], "a file to read goes after --read"),
    (
        LOCKING,
        &["-f", "--file", "--lock", "--lock-file", "--lockfile"],
        "a file goes after --write or --read",
    ),
    (LOCKING, &["-u", "--unlock"], "use --unlock-fd N"),
    (LOCKING, &["--fd"], "use --write-fd N or --read-fd N"),
    (&["try"], &["--max-waiters"], "gtlock try never waits; gtlock run does"),
    (
        LOCKING,
        &["-j", "--jobs", "--permits", "--count"],
        "use --read FILE --slots N, which at most N hold at once",
    ),
    (
        LOCKING,
        &["-k", "--expire", "--lease", "--max-runtime", "--max-time"],
        "use --max-hold TIME, which ends a command that holds its locks for longer",
    ),
    (LOCKING, &["--id", "--name", "--tag"], "use --label TEXT"),
    (LOCKING, &["-c", "--cmd", "--command"], "a command goes after --, as in -- sh -c 'COMMAND'"),
    (LOCKING, &["-C", "--chdir", "--cwd"], "use -- sh -c 'cd DIR && COMMAND'"),
    (LOCKING, &["--env"], "use -- env NAME=VALUE COMMAND"),
    (LOCKING, &["--user"], "use -- sudo -u USER COMMAND"),
    (LOCKING, &["--dry-run"], "use gtlock try --write FILE, which only tests the lock"),
    (LOCKING, &["--force"], "a lock ends with its holder; gtlock status shows who that is"),
    (LOCKING, &["--json"], "use gtlock status --json FILE"),
    (LOCKING, &["--fcntl"], "gtlock takes flock(2) locks only; fcntl(2) locks do not exclude them"),
    (LOOKING, &["-r", "--recurse"], "use -R, which finds every .gastown/locks below a directory"),
    (LOOKING, &["-a", "--all"], "use -R, which finds every .gastown/locks below a directory"),
    (&["report"], &["--log"], "name the log alone, as in gtlock report locks.log"),
    (&["status", "report"], &["-j", "-o", "--csv", "--format", "--output"], "use --json"),
    (&["status"], &["-w", "--watch"], "use watch gtlock status"),
    (&["status"], &["-q", "--quiet"], "use gtlock try -q --write FILE, which only tests the lock"),
    (&["status"], &["--read", "--write"], "name the file alone, as in gtlock status FILE"),
    (&["update"], &["--slots", "--take"], "a file is rewritten by one at a time"),
    (&["update"], &["-i", "--in-place"], "update always rewrites the file itself"),
    (&["update"], &["-b", "--suffix"], "use --backup SUFFIX"),
    (&["update"], &["--check", "--diff"], "use --dry-run"),
    (&["update"], &["--read", "--write"], "name the file alone, as in gtlock update FILE -- FILTER"),
    (
        &["clean"],
        &["-f", "-y", "--force", "--older-than", "--stale", "--yes"],
        "clean removes only what nobody holds, which needs no option",
    ),
    (&["run", "try", "update", "status", "clean", "report"], &["-V", "--version"], "use gtlock --version"),
];

const LOOKING: &[&str] = &["status", "clean"];

/// What to do instead of a command line that clap refused.
#[must_use]
pub fn remedy(error: &clap::Error, words: &[OsString]) -> Option<Remedy> {
    let given = words.get(1)?;
    match error.kind() {
        ErrorKind::InvalidSubcommand if given == "help" => None,
        ErrorKind::InvalidSubcommand => Some(subcommand(error, given, words)),
        ErrorKind::UnknownArgument | ErrorKind::MissingRequiredArgument => {
            let named = given.to_str().filter(|name| is_subcommand(name));
            let locks = named.is_none_or(|name| LOCKING.contains(&name));
            let whole = match named {
                Some("update") => filtered(words),
                _ if locks => meant(words),
                _ => None,
            };
            whole.map(Remedy::Type).or_else(|| hint(error, named).map(Remedy::Hint))
        }
        _ => None,
    }
}

/// The command line of an update with the missing -- added.
fn filtered(words: &[OsString]) -> Option<Vec<OsString>> {
    let with_dashes = |at| [&words[..at], &["--".into()], &words[at..]].concat();
    let has_dashes = words.iter().any(|word| word == "--");
    (3..words.len()).map(with_dashes).find(|words| !has_dashes && is_accepted(words))
}

/// What to do instead of an unknown subcommand.
fn subcommand(error: &clap::Error, given: &OsStr, words: &[OsString]) -> Remedy {
    match SUBCOMMANDS.iter().find(|(names, _)| names.iter().any(|&name| name == given)) {
        Some((_, Means::None(hint))) => return Remedy::Hint(hint),
        Some((_, Means::Is(meant))) => return with_subcommand(meant, words),
        None => {}
    }
    let small = given.to_ascii_lowercase();
    if let Some(small) = small.to_str().filter(|small| is_subcommand(small)) {
        return with_subcommand(&[small], words);
    }
    let similar = match error.get(ContextKind::SuggestedSubcommand) {
        Some(ContextValue::String(similar)) => Some(similar),
        Some(ContextValue::Strings(similar)) => similar.last(),
        _ => None,
    };
    let is_like = |similar: &&String| similar.as_bytes().first() == given.as_encoded_bytes().first();
    match similar.filter(is_like) {
        Some(similar) if !is_file(given) => with_subcommand(&[similar], words),
        None if words.len() == 2 && !is_file(given) => {
            Remedy::Hint("use run, try, update, status, clean or report")
        }
        _ => meant(words).map_or(Remedy::Hint("use run, try, update, status, clean or report"), Remedy::Type),
    }
}

fn hint(error: &clap::Error, subcommand: Option<&str>) -> Option<&'static str> {
    let Some(ContextValue::String(argument)) = error.get(ContextKind::InvalidArg) else { return None };
    let name = subcommand.unwrap_or("run");
    let known = OPTIONS.iter().find(|(subcommands, options, _)| {
        subcommands.contains(&name) && options.contains(&argument.as_str())
    });
    match known {
        Some((_, _, hint)) => Some(hint),
        None if argument == "---" => Some("the command goes after --"),
        None if subcommand.is_none() => {
            Some("an option goes after its subcommand, as in gtlock run --write FILE -- COMMAND")
        }
        None if name == "update" && !argument.starts_with('-') => {
            Some("update rewrites one file; the filter goes after --")
        }
        None if argument.starts_with('-') || !LOCKING.contains(&name) => None,
        None => Some("a file goes after --write or --read, a command after --"),
    }
}

/// Whether a word is a file, rather than a misspelt subcommand.
fn is_file(word: &OsStr) -> bool {
    let bytes = word.as_encoded_bytes();
    bytes.contains(&b'.') || bytes.contains(&b'/') || is_number(word) || Path::new(word).exists()
}

/// The command line with another subcommand; if gtlock does not accept it, only the part that is certain.
fn with_subcommand(other: &[&str], words: &[OsString]) -> Remedy {
    let gtlock = std::iter::once("gtlock").chain(other.iter().copied()).map(OsString::from);
    let start: Vec<_> = gtlock.collect();
    let whole = [&start, &words[2..]].concat();
    let whole = if other == ["clean"] { with_lock_dirs(&whole) } else { whole };
    let whole = match other {
        _ if is_accepted(&whole) => Some(whole),
        ["update"] => filtered(&whole),
        _ => meant(&whole),
    };
    Remedy::Type(whole.unwrap_or(start))
}

/// The command line of a clean, with the lock directories of the files that it names.
fn with_lock_dirs(words: &[OsString]) -> Vec<OsString> {
    let takes_any = |word: &OsString| word == "-R" || word == "--recursive" || word == "--lock-dir";
    if words.iter().any(takes_any) {
        return words.to_vec();
    }
    let (start, named) = words.split_at(2);
    let locks = named.iter().map(|word| match word.as_encoded_bytes() {
        [b'-', ..] => word.clone(),
        _ => clean::locks_of(Path::new(word)).into(),
    });
    let mut words: Vec<_> = start.iter().cloned().chain(locks).collect();
    words.dedup();
    words
}

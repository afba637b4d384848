//! What to do about a command that could not be run.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::Path;

use crate::escape::{Escaped, quoted};
use crate::exit::Exit;
use crate::sys;

/// Builtins and keywords of shells: the words, a shell that has them, and how a script goes on after them.
const SHELLS_OWN: [(&[&str], &str, &str); 8] = [
    (&[".", "alias", "cd", "export", "set", "trap", "ulimit", "umask", "unalias", "unset"], "sh", " && ..."),
    (&["declare", "local", "popd", "pushd", "shopt", "source", "typeset"], "bash", " && ..."),
    (
        &[
            "!", ":", "bg", "break", "command", "continue", "eval", "exec", "exit", "fg", "getopts", "hash",
            "jobs", "read", "return", "shift", "times", "type", "wait",
        ],
        "sh",
        "",
    ),
    (
        &[
            "[[",
            "builtin",
            "caller",
            "compgen",
            "dirs",
            "disown",
            "enable",
            "help",
            "history",
            "let",
            "logout",
            "mapfile",
            "readarray",
            "suspend",
            "time",
        ],
        "bash",
        "",
    ),
    (&["for", "if", "until", "while", "{"], "sh", "; ..."),
    (&["case"], "sh", " ..."),
    (&["select"], "bash", "; ..."),
    (&["((", "coproc", "function"], "bash", " ..."),
];

/// For a word with a variable in it.
const VARIABLE: &str = "; a shell replaces $ only outside of single quotes";

/// Words in the middle of what a shell reads.
const SYNTAX: [&str; 9] = ["do", "done", "elif", "else", "esac", "fi", "in", "then", "}"];

/// The exit status and the message for a command that could not be run: the error, and what to type instead.
#[must_use]
pub fn cannot_run(command: &[OsString], error: &std::io::Error) -> (Exit, String) {
    let program = &command[0];
    let path = Path::new(program);
    let shown = if program.is_empty() { "''".to_owned() } else { Escaped::new(program).to_string() };
    let is_path = program.as_encoded_bytes().contains(&b'/');
    match error.kind() {
        ErrorKind::NotFound if is_path && path.exists() => (
            Exit::NotFound,
            format!("{shown}: cannot be run: its interpreter was not found{}", interpreter(path)),
        ),
        ErrorKind::NotFound => {
            let remedy = one_word(command)
                .unwrap_or_else(|| if is_path { no_such_path(path) } else { no_such_word(command) });
            (Exit::NotFound, format!("{shown}: command not found{remedy}"))
        }
        _ if path.is_dir() && (is_path || program == "." || program == "..") => {
            let remedy = if command.len() > 1 && program == "." {
                no_such_word(command)
            } else {
                "; name a program".to_owned()
            };
            (Exit::CannotRun, format!("{shown}: cannot be run: it is a directory{remedy}"))
        }
        ErrorKind::PermissionDenied
            if is_path && path.metadata().is_ok_and(|file| !sys::is_executable(&file)) =>
        {
            (Exit::CannotRun, format!("{shown}: cannot be run: {error}{}", not_executable(path)))
        }
        _ => (Exit::CannotRun, format!("{shown}: cannot be run: {error}")),
    }
}

/// For a whole command line in one word.
fn one_word(command: &[OsString]) -> Option<String> {
    let line = command[0].to_str()?;
    let first = line.split_whitespace().next()?;
    let is_program = !first.contains('/') || Path::new(first).is_file();
    let has_several = line.trim() != first || line.contains(['|', '&', ';', '<', '>', '`', '(']);
    let sets_variable = is_assignment(first) && command.len() > 1;
    if !has_several || !is_program || sets_variable {
        return None;
    }
    let own = shells_own(first);
    let shell = in_shell(own.map_or("sh", |(shell, _)| shell), line);
    if own.is_some()
        || line.contains(['|', '&', ';', '<', '>', '(', '`', '$', '*', '?', '\n', '\'', '"'])
        || is_assignment(first)
    {
        return Some(format!("; a command line in one word needs a shell: {shell}"));
    }
    let words = line.split_whitespace().map(OsString::from).chain(command[1..].iter().cloned());
    let words = shown(&words.collect::<Vec<_>>());
    Some(format!("; give the words separately, -- {words}, or use a shell, {shell}"))
}

fn in_shell(shell: &str, script: &str) -> String {
    format!("-- {shell} -c {}", shown(&[script]))
}

/// The shell that has this builtin or keyword, and how a script goes on after it.
fn shells_own(word: &str) -> Option<(&'static str, &'static str)> {
    let (_, shell, rest) = SHELLS_OWN.iter().find(|(own, ..)| own.contains(&word))?;
    Some((shell, rest))
}

fn shown(words: &[impl AsRef<OsStr>]) -> String {
    quoted(words).unwrap_or_else(|| "...".to_owned())
}

/// For a command that is not a path, and not in PATH.
fn no_such_word(command: &[OsString]) -> String {
    let Some(program) = command[0].to_str() else { return String::new() };
    if program.is_empty() {
        return "; it is an empty word: is a variable unset?".to_owned();
    }
    if program.starts_with('-') {
        return "; gtlock's own options go before the --".to_owned();
    }
    if is_assignment(program) {
        return format!("; to set a variable use -- env {}", shown(command));
    }
    if command.len() == 1 && (program == "." || program == "..") {
        return "; it is a directory: name a program".to_owned();
    }
    if let Some((shell, rest)) = shells_own(program) {
        let script = format!("{}{rest}", script(program, command));
        return format!("; it is the shell's own: use {}", in_shell(shell, &script));
    }
    if SYNTAX.contains(&program) {
        return "; it is a part of the shell's syntax: give all of it to a shell, -- sh -c '...'".to_owned();
    }
    if program.contains('$') {
        return VARIABLE.to_owned();
    }
    if Path::new(program).is_file() {
        return format!("; for the one in this directory use -- ./{}", shown(command));
    }
    " in PATH; an alias or a function of your shell is not a command".to_owned()
}

/// A builtin or keyword with its words. Between `[[` and `]]`, quotes would change the meaning.
fn script(program: &str, command: &[OsString]) -> String {
    let is_plain = |word: &OsString| !word.as_encoded_bytes().iter().any(|b| b" \t\n'\"\\$`;".contains(b));
    let quoted = |word: &OsString| match program {
        "[[" | "((" if is_plain(word) => word.to_string_lossy().into_owned(),
        _ => shown(&[word]),
    };
    let words = command[1..].iter().map(quoted);
    std::iter::once(program.to_owned()).chain(words).collect::<Vec<_>>().join(" ")
}

/// Whether a word is `NAME=VALUE`.
fn is_assignment(word: &str) -> bool {
    let Some((name, _)) = word.split_once('=') else { return false };
    !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit()) && {
        name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric())
    }
}

/// For a path that does not exist.
fn no_such_path(path: &Path) -> String {
    if path.is_symlink() {
        return "; it is a symbolic link that leads nowhere".to_owned();
    }
    if path.starts_with("~") {
        return "; a shell replaces ~ only outside of quotes".to_owned();
    }
    if path.as_os_str().as_encoded_bytes().contains(&b'$') {
        return VARIABLE.to_owned();
    }
    match std::env::current_dir() {
        Ok(here) if path.is_relative() => format!("; there is no such file in {}", Escaped::new(&here)),
        _ => "; there is no such file".to_owned(),
    }
}

/// The first line of a script without its `#!`.
fn shebang(path: &Path) -> Option<String> {
    let mut line = String::new();
    BufReader::new(fs::File::open(path).ok()?.take(256)).read_line(&mut line).ok()?;
    line.strip_prefix("#!").map(|rest| rest.trim_end_matches('\n').to_owned())
}

/// For a script whose interpreter was not found.
fn interpreter(path: &Path) -> String {
    match shebang(path) {
        Some(line) if line.ends_with('\r') => {
            "; its first line ends in a carriage return, as on Windows: remove the carriage returns"
                .to_owned()
        }
        Some(line) => format!(": {}", Escaped::new(line.split_whitespace().next().unwrap_or_default())),
        None => String::new(),
    }
}

/// For a file that may not be run.
fn not_executable(path: &Path) -> String {
    let file = shown(&[path]);
    let named = shebang(path).and_then(|line| line.split_whitespace().next().map(str::to_owned));
    let by_name = match path.extension().and_then(OsStr::to_str) {
        Some("py") => "python3",
        Some("pl") => "perl",
        Some("js") => "node",
        Some("rb") => "ruby",
        _ => "sh",
    };
    let interpreter = named.as_deref().filter(|name| !name.ends_with("/env")).unwrap_or(by_name);
    format!("; make it executable, chmod +x {file}, or run it as -- {} {file}", Escaped::new(interpreter))
}

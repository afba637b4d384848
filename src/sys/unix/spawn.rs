//! Starts a command: as a child, or in this process.

use std::convert::Infallible;
use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use nix::errno::Errno;
use nix::libc;
use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawnp};
use nix::sys::signal::{SigHandler, SigSet, Signal, signal};
use nix::unistd::{AccessFlags, Pid, access, execve};

use super::start;

/// What runs scripts without `#!`.
const SHELL: &str = "/bin/sh";

/// Becomes a command: runs it in this process. Returns only if that cannot be done.
pub fn become_command(command: &[OsString], variable: (&str, &OsStr)) -> io::Result<Infallible> {
    let (program, arguments) = command.split_first().ok_or(Errno::ENOENT)?;
    let file = found_in_path(program)?;
    let environment = environment(variable);
    let exec = |file: &OsStr, words: &[&OsStr]| -> io::Result<Infallible> {
        let (file, words) = (CString::new(file.as_bytes())?, c_strings(words)?);
        if !start::sigpipe_was_ignored() {
            handle_sigpipe(SigHandler::SigDfl);
        }
        let failed = execve(&file, &words, &environment);
        handle_sigpipe(SigHandler::SigIgn); // for what is said about it
        Ok(failed?)
    };
    match exec(&file, &command.iter().map(OsString::as_os_str).collect::<Vec<_>>()) {
        // A script without `#!`: execvp(3) gives it to the shell.
        Err(e) if e.raw_os_error() == Some(libc::ENOEXEC) => {
            exec(OsStr::new(SHELL), &for_shell(&file, arguments))
        }
        failed => failed,
    }
}

fn handle_sigpipe(handler: SigHandler) {
    // SAFETY: neither handler is a function, which could be called at a bad moment.
    #[allow(unsafe_code)]
    let _ = unsafe { signal(Signal::SIGPIPE, handler) };
}

fn c_strings(words: &[&OsStr]) -> io::Result<Vec<CString>> {
    Ok(words.iter().map(|word| CString::new(word.as_bytes())).collect::<Result<_, _>>()?)
}

/// The words of a command that has the shell run a script.
fn for_shell<'a>(script: &'a OsStr, arguments: &'a [OsString]) -> Vec<&'a OsStr> {
    [OsStr::new(SHELL), script].into_iter().chain(arguments.iter().map(OsString::as_os_str)).collect()
}

/// Starts a command as a child, with the signal mask and the environment given and without the descriptors in `close`.
pub fn spawn(command: &[OsString], mask: SigSet, environment: &[CString], close: &[i32]) -> io::Result<Pid> {
    let (program, arguments) = command.split_first().ok_or(Errno::ENOENT)?;
    let mut attributes = PosixSpawnAttr::init()?;
    attributes.set_sigmask(&mask)?;
    let mut flags = PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK;
    if !start::sigpipe_was_ignored() {
        // Rust ignores it in this process.
        let mut defaults = SigSet::empty();
        defaults.add(Signal::SIGPIPE);
        attributes.set_sigdefault(&defaults)?;
        flags |= PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF;
    }
    attributes.set_flags(flags)?;
    let mut actions = PosixSpawnFileActions::init()?;
    close.iter().try_for_each(|&descriptor| actions.add_close(descriptor))?;
    let start = |words: &[&OsStr]| -> io::Result<Pid> {
        let words = c_strings(words)?;
        posix_spawnp(&words[0], &actions, &attributes, &words, environment).map_err(|e| match e {
            Errno::EMFILE | Errno::ENFILE => io::Error::other(io::Error::from(e)), // musl's own pipe, say
            _ => e.into(),
        })
    };
    match start(&command.iter().map(OsString::as_os_str).collect::<Vec<_>>()) {
        // A script without `#!`: execvp(3) gives it to the shell.
        Err(e) if e.raw_os_error() == Some(libc::ENOEXEC) => {
            start(&for_shell(&found_in_path(program)?, arguments))
        }
        started => started,
    }
}

/// The file that execvp(3) finds for a program's name.
fn found_in_path(program: &OsStr) -> io::Result<OsString> {
    if program.as_bytes().contains(&b'/') {
        return Ok(program.to_owned());
    }
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/bin:/usr/bin".into());
    let mut error = Errno::ENOENT;
    for dir in std::env::split_paths(&path) {
        let file = Path::new(".").join(dir).join(program); // an empty entry is the current directory
        if file.is_file() {
            match access(&file, AccessFlags::X_OK) {
                Ok(()) => return Ok(file.into()),
                Err(e) => error = e,
            }
        }
    }
    Err(error.into())
}

/// This process's environment with one variable set.
pub fn environment((name, value): (&str, &OsStr)) -> Vec<CString> {
    let others = std::env::vars_os().filter(|(other, _)| other != name);
    others
        .chain([(name.into(), value.into())])
        .filter_map(|(mut entry, value)| {
            entry.push("=");
            entry.push(value);
            CString::new(entry.into_vec()).ok()
        })
        .collect()
}

//! Starts a command: as a child, or in this process.

use std::convert::Infallible;
use std::ffi::{CStr, CString, OsStr, OsString};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use nix::errno::Errno;
use nix::libc;
use nix::unistd::{AccessFlags, access, execve};

use super::start;
use crate::sys::Streams;

/// The shell for scripts without `#!`, as with execvp(3).
pub const SHELL: &CStr = c"/bin/sh";

/// A program to run, with the arguments of execve(2).
pub struct Program {
    /// Its file.
    pub file: CString,
    words: Vec<CString>,
    /// The variables that are set in its environment, as `NAME=VALUE`.
    variables: Vec<CString>,
}

impl Streams {
    /// The descriptors, and the numbers that they get in a command.
    #[must_use]
    pub fn numbered(&self) -> Vec<(RawFd, RawFd)> {
        let streams = [(&self.stdin, 0), (&self.stdout, 1)];
        streams.iter().filter_map(|(file, number)| Some((file.as_ref()?.as_raw_fd(), *number))).collect()
    }
}

impl Program {
    /// Looks for a command's program, as execvp(3) does. `variables` are set in its environment.
    pub fn of(command: &[OsString], variables: &[(&str, OsString)]) -> io::Result<Self> {
        let file = found_in_path(command.first().ok_or(Errno::ENOENT)?)?;
        let words = command.iter().map(|word| CString::new(word.as_bytes())).collect::<Result<_, _>>()?;
        let variable = |(name, value): &(&str, OsString)| {
            CString::new([name.as_bytes(), b"=", value.as_bytes()].concat())
        };
        let variables = variables.iter().map(variable).collect::<Result<_, _>>()?;
        Ok(Self { file: CString::new(file.into_vec())?, words, variables })
    }

    /// Its arguments.
    pub fn words(&self) -> Vec<&CStr> {
        self.words.iter().map(CString::as_c_str).collect()
    }

    /// The arguments of the shell if it is a script without `#!`.
    pub fn words_for_shell(&self) -> Vec<&CStr> {
        let arguments = self.words.iter().skip(1).map(CString::as_c_str);
        [SHELL, &self.file].into_iter().chain(arguments).collect()
    }

    /// Its environment: this process's, not copied, and the variables.
    pub fn environment(&self) -> Vec<&CStr> {
        #[allow(unsafe_code)] // SAFETY: it is what every Unix has under this name.
        unsafe extern "C" {
            static environ: *const *const libc::c_char;
        }
        fn name(entry: &CStr) -> &[u8] {
            entry.to_bytes().split(|&b| b == b'=').next().unwrap_or_default()
        }
        let mut environment = Vec::new();
        // SAFETY: it is a list of strings that ends with a null pointer, or null itself after clearenv(3). Nobody
        // changes it: gtlock sets no variable of its own.
        #[allow(unsafe_code)]
        unsafe {
            let mut entry = environ;
            while !entry.is_null() && !(*entry).is_null() {
                environment.push(CStr::from_ptr(*entry));
                entry = entry.add(1);
            }
        }
        environment.retain(|entry| self.variables.iter().all(|variable| name(variable) != name(entry)));
        environment.into_iter().chain(self.variables.iter().map(CString::as_c_str)).collect()
    }
}

/// Becomes a command: runs it in this process. Returns only if that fails.
pub fn become_command(command: &[OsString], variables: &[(&str, OsString)]) -> io::Result<Infallible> {
    let program = Program::of(command, variables)?;
    let environment = program.environment();
    start::restore_sigpipe();
    let failed = match execve(&program.file, &program.words(), &environment) {
        Err(Errno::ENOEXEC) => execve(SHELL, &program.words_for_shell(), &environment),
        failed => failed,
    };
    start::ignore_sigpipe(); // for the message
    Ok(failed?)
}

/// Whether a command of this name is found.
pub fn is_command(name: &OsStr) -> bool {
    found_in_path(name).is_ok()
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

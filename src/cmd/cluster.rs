//! Locks of a cluster are taken by a program of their own, which `gtlock` runs in its place.

use std::env;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::PathBuf;

use super::report;
use crate::exit::Exit;
use crate::sys;

/// The program.
const CLIENT: &str = "gtlock-etcd";

/// Runs the program for a command line with `--at` in place of this one. Returns only if that fails.
#[must_use]
pub fn become_its_client(words: &[OsString]) -> Exit {
    let client = beside_this().unwrap_or_else(|| CLIENT.into());
    let words: Vec<_> = [client.into()].into_iter().chain(words.iter().skip(1).cloned()).collect();
    let Err(error) = sys::become_command(&words, &[]);
    let remedy = if error.kind() == ErrorKind::NotFound {
        " beside gtlock or in PATH; for locks of this machine use --at local"
    } else {
        ""
    };
    report::say(&format!("--at: {CLIENT} cannot be run: {error}; install {CLIENT}{remedy}"));
    Exit::Failure
}

fn beside_this() -> Option<PathBuf> {
    let client = env::current_exe().ok()?.with_file_name(CLIENT);
    client.is_file().then_some(client)
}

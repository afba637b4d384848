//! The locks that this process runs under, from `GTLOCK_HELD`. Beside the entries of this machine's locks, it has one
//! `PID@LEASE` for each gtlock-etcd above. An entry counts only while its process is an ancestor of this one.

use std::env;
use std::ffi::OsString;

use gtlock::lock::HELD_VARIABLE;
use gtlock::process::Processes;

use crate::keys::Keys;

/// Whether a key in a queue belongs to a gtlock that this process runs under. It waits for this process to end.
pub fn is_around(keys: &Keys, place: &[u8]) -> bool {
    let Some(place) = keys.read_place(place) else { return false };
    let around: Vec<_> = entries().into_iter().filter(|(_, lease)| *lease == place.lease).collect();
    if around.is_empty() {
        return false;
    }
    let ancestors = Processes::default().ancestors().unwrap_or_default();
    around.iter().any(|(process, _)| ancestors.contains(process))
}

/// The value of the variable for this process's command.
pub fn for_command(lease: &str) -> OsString {
    let mut value = env::var_os(HELD_VARIABLE).unwrap_or_default();
    if !value.is_empty() {
        value.push(" ");
    }
    value.push(format!("{}@{lease}", std::process::id()));
    value
}

fn entries() -> Vec<(u32, String)> {
    let value = env::var_os(HELD_VARIABLE).unwrap_or_default();
    let value = value.to_string_lossy();
    let entry = |entry: &str| {
        let (process, lease) = entry.split_once('@')?;
        Some((process.parse().ok()?, lease.to_owned()))
    };
    value.split_ascii_whitespace().filter_map(entry).collect()
}

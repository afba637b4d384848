//! The locks around a request, handed down in `GTLOCK_HELD`: an entry is `PID@LEASE`, beside those of this machine's
//! locks. It counts only while its process is an ancestor of this one.

use std::env;
use std::ffi::OsString;

use gtlock::lock::HELD_VARIABLE;
use gtlock::process::Processes;

use crate::keys::Keys;

/// Whether a place in a queue is that of a gtlock around this process, which waits for this one.
pub fn is_around(keys: &Keys, place: &[u8]) -> bool {
    let Some(place) = keys.read_place(place) else { return false };
    let around: Vec<_> = entries().into_iter().filter(|(_, lease)| *lease == place.lease).collect();
    if around.is_empty() {
        return false;
    }
    let ancestors = Processes::default().ancestors().unwrap_or_default();
    around.iter().any(|(process, _)| ancestors.contains(process))
}

/// The variable's value for a command of this process.
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

//! The locks around a request, handed down in `GTLOCK_HELD`: an entry is `PID@LEASE`, beside those of this machine's
//! locks. It counts only while its process is an ancestor of this one.

use std::env;
use std::ffi::OsString;

use gtlock::lock::HELD_VARIABLE;
use gtlock::process::Processes;

/// The leases of the gtlocks around this process, which wait for it.
pub fn leases_around() -> Vec<String> {
    let mut around = entries();
    if !around.is_empty() {
        let ancestors = Processes::default().ancestors().unwrap_or_default();
        around.retain(|(process, _)| ancestors.contains(process));
    }
    around.into_iter().map(|(_, lease)| lease).collect()
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

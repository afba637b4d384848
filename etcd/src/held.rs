//! The locks that this process runs under, from `GTLOCK_HELD`. Beside the entries of this machine's locks, it has one
//! `PID@LEASE` for each gtlock-etcd above. An entry counts only while its process is an ancestor of this one.

use std::env;
use std::ffi::OsString;

use gtlock::lock::HELD_VARIABLE;
use gtlock::process::Processes;

/// The leases of the gtlocks that this process runs under. They wait for it to end.
pub fn leases_around() -> Vec<String> {
    let mut around = entries();
    if !around.is_empty() {
        let ancestors = Processes::default().ancestors().unwrap_or_default();
        around.retain(|(process, _)| ancestors.contains(process));
    }
    around.into_iter().map(|(_, lease)| lease).collect()
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

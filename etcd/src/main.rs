//! The program. All of it is in the library, `main` too.
#![cfg_attr(target_os = "linux", no_main)]

#[cfg(target_os = "linux")]
use gtlock_etcd as _;

#[cfg(not(target_os = "linux"))]
fn main() -> std::process::ExitCode {
    eprintln!("gtlock: gtlock-etcd runs on Linux only so far");
    std::process::ExitCode::from(125)
}

//! The program; all of it is in the library.
#![cfg_attr(target_os = "linux", no_main)]

#[cfg(target_os = "linux")]
mod entry;

#[cfg(not(target_os = "linux"))]
fn main() -> std::process::ExitCode {
    eprintln!("gtlock: gtlock-etcd runs on Linux only");
    std::process::ExitCode::from(125)
}

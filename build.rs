//! Checks one thing before a long build ends in a linker's riddle: that a static C library is there,
//! where gtlock is linked statically. Writes nothing.

use std::env;
use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=RUSTC_LINKER");
    let cfg = |name: &str| env::var(format!("CARGO_CFG_{name}")).unwrap_or_default();
    let is_static = cfg("TARGET_FEATURE").split(',').any(|feature| feature == "crt-static");
    if !is_static || cfg("TARGET_OS") != "linux" || cfg("TARGET_ENV") != "gnu" {
        return;
    }
    let compiler = env::var("RUSTC_LINKER").unwrap_or_else(|_| "cc".to_owned());
    let Ok(asked) = Command::new(&compiler).arg("-print-file-name=libc.a").output() else {
        return; // rustc says itself, and clearly, that there is no linker
    };
    // A compiler that does not find the file prints the bare name; a linker that does not know the
    // question prints nothing, and is left to answer for itself.
    let found = String::from_utf8_lossy(&asked.stdout);
    let found = Path::new(found.trim());
    if found.is_absolute() {
        println!("cargo::rerun-if-changed={}", found.display());
    } else if found == Path::new("libc.a") {
        println!(
            "cargo::error=gtlock is linked statically, and {compiler} finds no static C library (libc.a): \
             install it (Debian and Ubuntu: libc6-dev, Fedora: glibc-static), \
             or link dynamically: RUSTFLAGS='-C target-feature=-crt-static' cargo ..."
        );
    }
}

//! How the program is linked, where that is Linux. Writes nothing but a probe of the linker, in `OUT_DIR`.
//!
//! - Says that a static C library is missing, before a long build ends in a linker's riddle.
//! - An optimized program that is linked statically gets a fixed address, so that a start need not relocate it: that
//!   would touch, and copy for each process, every page with a pointer in it.
//! - An optimized program has the functions and variables of a plain run side by side (`.ci/layout`).
//!
//! The last two are for speed. They are left out if the linker does not know them.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const LAYOUT: &str = "src/sys/unix/layout.ld";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={LAYOUT}");
    let target = variable("TARGET").to_uppercase().replace('-', "_");
    println!("cargo::rerun-if-env-changed=CARGO_TARGET_{target}_LINKER");
    if of_target("OS") != "linux" {
        return;
    }
    let is_static = of_target("FEATURE").split(',').any(|feature| feature == "crt-static");
    let linker = Linker::of_target();
    if is_static && of_target("ENV") == "gnu" && !linker.finds_static_libc() {
        return;
    }
    if env::var("OPT_LEVEL").is_ok_and(|level| level == "0") {
        return;
    }
    // rustc asks for -static-pie, and of these three the last one counts. With musl, rustc names the object that starts
    // the program, which belongs to what it asked for: .ci/release asks rustc instead.
    if is_static && of_target("ENV") == "gnu" && linker.takes(&["-static-pie", "-static", "-no-pie"]) {
        link_with(&["-static", "-no-pie"]);
    }
    let layout = Path::new(&variable("CARGO_MANIFEST_DIR")).join(LAYOUT).display().to_string();
    if linker.takes(&["-T", &layout]) {
        link_with(&["-T", &layout]);
    }
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_default()
}

/// What cargo says of the target.
fn of_target(what: &str) -> String {
    variable(&format!("CARGO_CFG_TARGET_{what}"))
}

/// Links the program with these arguments, and not the tests.
fn link_with(arguments: &[&str]) {
    for argument in arguments {
        println!("cargo::rustc-link-arg-bin=gtlock={argument}");
    }
}

/// What rustc links with: a C compiler.
struct Linker {
    compiler: String,
    /// What the user tells it.
    arguments: Vec<String>,
}

impl Linker {
    fn of_target() -> Self {
        let mut linker = Self {
            compiler: env::var("RUSTC_LINKER").unwrap_or_else(|_| "cc".to_owned()),
            arguments: Vec::new(),
        };
        // "-C option", "-Coption", "--codegen option" or "--codegen=option".
        for flag in variable("CARGO_ENCODED_RUSTFLAGS").split('\x1f') {
            let option = flag.strip_prefix("-C").or_else(|| flag.strip_prefix("--codegen=")).unwrap_or(flag);
            match option.split_once('=') {
                Some(("linker", compiler)) => compiler.clone_into(&mut linker.compiler),
                Some(("link-arg", argument)) => linker.arguments.push(argument.to_owned()),
                Some(("link-args", arguments)) => {
                    linker.arguments.extend(arguments.split_whitespace().map(str::to_owned));
                }
                _ => {}
            }
        }
        linker
    }

    fn finds_static_libc(&self) -> bool {
        let compiler = &self.compiler;
        let Ok(asked) = Command::new(compiler).arg("-print-file-name=libc.a").output() else {
            return false; // rustc says itself, and clearly, that there is no linker
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
            return false;
        }
        true
    }

    /// Whether it links a program with these arguments.
    fn takes(&self, arguments: &[&str]) -> bool {
        let out = PathBuf::from(variable("OUT_DIR"));
        let source = out.join("probe.c");
        if std::fs::write(&source, "int main(void) { return 0; }\n").is_err() {
            return false;
        }
        let mut command = Command::new(&self.compiler);
        command.args(&self.arguments).args(arguments).arg(source).arg("-o").arg(out.join("probe"));
        command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|ended| ended.success())
    }
}

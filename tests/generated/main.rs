//! The files in `completions/` and `man/` are what the command line's definition renders to.
//!
//! `GTLOCK_REGENERATE=1 cargo test --test generated` writes them anew.

mod completions;
mod man;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use gtlock::cli::Cli;

const REMEDY: &str = "run: GTLOCK_REGENERATE=1 cargo test --test generated";

#[test]
fn completions_are_up_to_date() {
    agree("completions", &completions::scripts(&Cli::command()));
}

#[test]
fn man_pages_are_up_to_date() {
    agree("man", &man::pages(Cli::command()));
}

/// Compares a directory with what it should hold, or makes it so.
fn agree(dir: &str, rendered: &[(String, String)]) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join(dir);
    if std::env::var_os("GTLOCK_REGENERATE").is_some_and(|value| value == "1") {
        fs::create_dir_all(&dir).expect("the directory can be made");
        for (name, content) in rendered {
            fs::write(dir.join(name), content).expect("the file can be written");
        }
    }
    for (name, content) in rendered {
        let path = dir.join(name);
        let committed = fs::read_to_string(&path).unwrap_or_default();
        let difference =
            committed.lines().zip(content.lines()).enumerate().find(|(_, (old, new))| old != new);
        if let Some((line, (old, new))) = difference {
            panic!("{}:{}: is\n{old}\nshould be\n{new}\n{REMEDY}", path.display(), line + 1);
        }
        assert!(committed == *content, "{}: missing, cut short or too long; {REMEDY}", path.display());
    }
    let expected: BTreeSet<PathBuf> = rendered.iter().map(|(name, _)| dir.join(name)).collect();
    let there = fs::read_dir(&dir).expect("the directory can be read");
    let there: BTreeSet<PathBuf> = there.map(|entry| entry.expect("an entry").path()).collect();
    assert_eq!(there, expected, "files that nothing renders: remove them");
}

fn text(rendered: Vec<u8>) -> String {
    String::from_utf8(rendered).expect("it is text")
}

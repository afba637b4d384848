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

#[test]
fn what_the_packages_take_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = fs::read_to_string(root.join("Cargo.toml")).expect("it is there");
    let assets = manifest.lines().map(str::trim).filter_map(|line| {
        let asset = line.strip_prefix("{ source = \"").or_else(|| line.strip_prefix("[\""))?;
        asset.split('"').next()
    });
    let assets: Vec<_> = assets.filter(|asset| !asset.starts_with("target/")).collect();
    assert!(assets.len() > 10, "the assets are not found: {assets:?}");
    for asset in assets {
        let (before, after) = asset.split_once('*').unwrap_or((asset, ""));
        let (dir, start) = before.rsplit_once('/').unwrap_or(("", before));
        let is_meant = |name: &str| name.starts_with(start) && name.ends_with(after);
        let entries = fs::read_dir(root.join(dir)).expect("a directory");
        let mut names = entries.map(|entry| entry.expect("an entry").file_name());
        let found = names.any(|name| name.to_str().is_some_and(is_meant));
        assert!(found, "Cargo.toml: there is no {asset}");
    }
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

//! Every command in the README and in `docs/` does what it shows.
//!
//! Each block marked `sh` is run in a scratch directory, with gtlock first on the path: by bash and zsh, those of the
//! README by fish too, those of `docs/` by sh. What it prints is compared with the `text` block that follows it at once.
//! Comments before the block can say `needs: PROGRAM` (without which it is skipped), `can: COMMAND` (likewise, if that
//! fails), `varies: TEXT, TEXT` (parts of the output that stand for any other) and `in: repository` (where to run it,
//! in place of the scratch directory). A block with a comment `file: NAME` is put there under that name for the blocks
//! that follow under the same heading.
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use gtlock::exit;

const README: &str = include_str!("../../README.md");
const TEXTS: [(&str, &str); 12] = [
    ("README.md", README),
    ("CONTRIBUTING.md", include_str!("../../CONTRIBUTING.md")),
    ("docs/agents.md", include_str!("../../docs/agents.md")),
    ("docs/cluster.md", include_str!("../../docs/cluster.md")),
    ("docs/flock.md", include_str!("../../docs/flock.md")),
    ("docs/json.md", include_str!("../../docs/json.md")),
    ("docs/library.md", include_str!("../../docs/library.md")),
    ("docs/limits.md", include_str!("../../docs/limits.md")),
    ("docs/platforms.md", include_str!("../../docs/platforms.md")),
    ("docs/recipes.md", include_str!("../../docs/recipes.md")),
    ("docs/speed.md", include_str!("../../docs/speed.md")),
    ("docs/testing.md", include_str!("../../docs/testing.md")),
];
const REPOSITORY: &str = env!("CARGO_MANIFEST_DIR");

#[derive(Default)]
struct Block<'a> {
    file: &'a str,
    line: usize,
    label: &'a str,
    body: String,
    comments: Vec<&'a str>,
    /// The files shown before it, by name.
    files: Vec<(&'a str, String)>,
    /// The `text` block right after it.
    output: Option<String>,
}

impl<'a> Block<'a> {
    fn remarks(&self, about: &str) -> impl Iterator<Item = &'a str> {
        let of =
            move |comment: &&'a str| comment.strip_prefix(about).and_then(|rest| rest.strip_prefix(": "));
        self.comments.iter().filter_map(of).flat_map(|remark| remark.split(", "))
    }
}

fn blocks() -> Vec<Block<'static>> {
    TEXTS.into_iter().flat_map(|(file, text)| blocks_of(file, text)).collect()
}

fn blocks_of(file: &'static str, text: &'static str) -> Vec<Block<'static>> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut comments = Vec::new();
    let mut follows_block = false;
    let mut files = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        if let Some(label) = line.strip_prefix("```") {
            let body: String =
                lines.by_ref().map_while(|(_, line)| (line != "```").then(|| format!("{line}\n"))).collect();
            match blocks.last_mut() {
                Some(last) if label == "text" && follows_block => last.output = Some(body),
                _ => {
                    let names = comments.iter().filter_map(|comment: &&str| comment.strip_prefix("file: "));
                    files.extend(names.map(|name| (name, body.clone())));
                    let (line, files, comments) = (number + 1, files.clone(), comments.clone());
                    blocks.push(Block { file, line, label, body, comments, files, output: None });
                }
            }
        } else if line.starts_with('#') {
            files.clear();
        }
        follows_block = line.starts_with("```");
        match line.strip_prefix("<!-- ").and_then(|line| line.strip_suffix(" -->")) {
            Some(comment) => comments.push(comment),
            None => comments.clear(),
        }
    }
    blocks
}

#[test]
fn every_sh_block_prints_what_it_shows() {
    let blocks: Vec<Block> = blocks().into_iter().filter(|block| block.label == "sh").collect();
    assert!(blocks.len() > 5, "the blocks are not found");
    // All at once, since some of them sleep. Some of these are late where so much runs at once: each of them gets
    // another run by itself.
    let failed = std::thread::scope(|scope| {
        let running: Vec<_> =
            blocks.iter().map(|block| (block, scope.spawn(|| difference(block).is_some()))).collect();
        let failed =
            running.into_iter().filter_map(|(block, run)| run.join().expect("no panic").then_some(block));
        failed.collect::<Vec<_>>()
    });
    failed.into_iter().for_each(check);
}

#[test]
fn no_block_has_a_comment_that_zsh_would_take_for_words() {
    for block in blocks().into_iter().filter(|block| block.label == "sh") {
        let comment =
            block.body.lines().find(|line| line.trim_start().starts_with("# ") || line.contains(" # "));
        assert_eq!(comment, None, "{}:{}", block.file, block.line);
    }
}

fn check(block: &Block) {
    if let Some(difference) = difference(block) {
        panic!("{}:{}: {difference}", block.file, block.line);
    }
}

/// The shells that a block is pasted into, with their arguments for a script. Those of `docs/` are POSIX sh.
fn shells(block: &Block) -> impl Iterator<Item = &'static [&'static str]> {
    const BASH: &[&str] = &["bash", "-euo", "pipefail", "-c"];
    const ZSH: &[&str] = &["zsh", "-feuo", "pipefail", "-c"];
    const FISH: &[&str] = &["fish", "--no-config", "-c"];
    const SH: &[&str] = &["sh", "-euc"];
    let shells: &[_] = match block.file {
        "README.md" => &[BASH, ZSH, FISH],
        file if file.starts_with("docs/") => &[BASH, ZSH, SH],
        _ => &[BASH, ZSH],
    };
    shells.iter().copied().filter(|shell| is_installed(shell[0]))
}

/// What a block does that it does not show, if anything.
fn difference(block: &Block) -> Option<String> {
    if let Some(missing) = block.remarks("needs").find(|program| !is_installed(program)) {
        // Not eprintln, which the test harness would swallow.
        let _ = writeln!(io::stderr(), "skipped: {}:{} needs {missing}", block.file, block.line);
        return None;
    }
    for command in block.remarks("can") {
        if !Command::new("sh").args(["-c", command]).output().is_ok_and(|output| output.status.success()) {
            let _ = writeln!(io::stderr(), "skipped: {}:{} needs to {command}", block.file, block.line);
            return None;
        }
    }
    shells(block).find_map(|shell| {
        let (succeeded, printed) = run(block, shell);
        if !succeeded {
            return Some(format!("the block fails in {}:\n{printed}", shell[0]));
        }
        let shown = block.output.as_ref()?;
        let varies: Vec<&str> = block.remarks("varies").collect();
        let differs = !matches(shown, &printed, &varies);
        differs.then(|| format!("shows\n{shown}but {} prints\n{printed}", shell[0]))
    })
}

/// Runs a block; returns whether it succeeded, and what it printed.
fn run(block: &Block, shell: &[&str]) -> (bool, String) {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    for (name, content) in
        [("state.json", "{}\n"), ("update.sh", "#!/bin/sh\n"), ("refresh.sh", "#!/bin/sh\n")]
    {
        let path = scratch.path().join(name);
        fs::write(&path, content).expect("the file can be written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("its mode can be set");
    }
    for (name, content) in &block.files {
        fs::write(scratch.path().join(name), content).expect("the file can be written");
    }
    let program = Path::new(env!("CARGO_BIN_EXE_gtlock"));
    let beside = program.parent().expect("it is in a directory");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::iter::once(beside.to_owned()).chain(std::env::split_paths(&path));
    let in_repository = block.remarks("in").any(|place| place == "repository");
    let (mut reader, writer) = io::pipe().expect("a pipe");
    let mut command = Command::new(shell[0]);
    command
        .args(&shell[1..])
        .arg(&block.body)
        .current_dir(if in_repository { Path::new(REPOSITORY) } else { scratch.path() })
        .env("PATH", std::env::join_paths(dirs).expect("a path"))
        .env("HOME", scratch.path())
        .env_remove("XDG_DATA_HOME")
        .env_remove("GTLOCK_TIMEOUT")
        .stdin(Stdio::null())
        .stdout(writer.try_clone().expect("a descriptor"))
        .stderr(writer);
    let mut running = command.spawn().expect("the shell can be run");
    drop(command); // with its ends of the pipe
    let mut printed = Vec::new();
    reader.read_to_end(&mut printed).expect("the pipe can be read");
    let status = running.wait().expect("it is ours");
    // On a busy machine a wait may last the two seconds after which it is shown.
    let printed = String::from_utf8_lossy(&printed);
    let is_wait = |line: &str| line.starts_with("gtlock: ") && line.contains(": waiting: ");
    (status.success(), printed.split_inclusive('\n').filter(|line| !is_wait(line)).collect())
}

/// Whether the output is the one shown, but for the parts that vary and the width of columns.
fn matches(shown: &str, printed: &str, varies: &[&str]) -> bool {
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut shown = words(shown);
    let mut printed = words(printed);
    printed.push('\n'); // so that the last piece is found at the end, and nowhere else
    for part in varies {
        shown = shown.replace(part, "\0");
    }
    shown.push('\n');
    let mut pieces = shown.split('\0');
    let start = pieces.next().unwrap_or_default();
    let Some(mut rest) = printed.strip_prefix(start) else { return false };
    for piece in pieces {
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
    }
    rest.is_empty()
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

#[test]
fn every_link_to_a_file_leads_to_one() {
    for (file, text) in TEXTS {
        let dir = Path::new(REPOSITORY).join(file);
        for target in
            text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target)
        {
            let path = target.split('#').next().unwrap_or_default();
            let is_elsewhere = path.is_empty() || path.contains("://");
            assert!(is_elsewhere || dir.with_file_name(path).exists(), "{file}: no {path}");
        }
    }
}

#[test]
fn varying_parts_stand_for_any_other_and_nothing_else_does() {
    assert!(matches("held by 1 for 2s\n", "held by 44  for 3m 1s\n", &["1", "2s"]));
    assert!(!matches("held by 1 for 2s\n", "free\n", &["1", "2s"]));
    assert!(!matches("a 1 b\n", "a 2 b c\n", &["1"]));
    assert!(!matches("a\n", "a b\n", &[]));
}

#[test]
fn the_exit_table_is_the_programs() {
    for (code, meaning) in exit::rows(exit::HELP) {
        let row = format!("| {code} | {} |", meaning.replace("-E N", "`-E N`"));
        assert!(README.contains(&row), "missing: {row}");
    }
}

#[test]
fn the_readme_stays_short() {
    assert!(README.lines().count() <= 250, "move something to docs/");
}

#[test]
fn each_example_of_gtlock_status_shows_a_lock_that_is_held() {
    let page = include_str!("../generated/gtlock-status.roff");
    let examples = page.split(".EX\n").skip(1).filter_map(|rest| rest.split_once(".EE"));
    let mut seen = 0;
    for (example, _) in examples {
        let written = [(r"\-", "-"), (r"\(aq", "'"), (r"\(ha", "^"), ("/srv", ".")];
        let example =
            written.iter().fold(example.to_owned(), |text, (roff, shell)| text.replace(roff, shell));
        assert!(!example.contains('\\'), "an escape that is not known here: {example}");
        let body =
            format!("gtlock run --write state.json -- bash -euo pipefail << 'END' | grep .\n{example}END\n");
        check(&Block { file: "gtlock-status.roff", body, comments: vec!["needs: jq"], ..Block::default() });
        seen += 1;
    }
    assert!(seen > 0, "the examples are not found");
}

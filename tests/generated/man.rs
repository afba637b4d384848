//! The man pages: what clap knows of a command, the exit table, and prose from the `.roff` files here.

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};
use gtlock::exit;

/// The day on which the pages last said something new.
const DATE: &str = "2026-11-28";

/// The prose of each page: the sections after EXIT STATUS.
const PROSE: &[(&str, &str)] = &[
    ("gtlock", include_str!("gtlock.roff")),
    ("gtlock-run", include_str!("gtlock-run.roff")),
    ("gtlock-try", include_str!("gtlock-try.roff")),
    ("gtlock-update", include_str!("gtlock-update.roff")),
    ("gtlock-status", include_str!("gtlock-status.roff")),
    ("gtlock-clean", include_str!("gtlock-clean.roff")),
    ("gtlock-report", include_str!("gtlock-report.roff")),
];

/// The pages, each with its file name.
pub fn pages(command: Command) -> Vec<(String, String)> {
    let mut command = command.disable_help_subcommand(true).subcommand_value_name("command");
    command.build();
    let subcommands = command.get_subcommands().cloned().collect::<Vec<_>>();
    let pages = std::iter::once(command).chain(subcommands).map(|command| {
        let name = command.get_display_name().unwrap_or("gtlock").to_owned();
        let prose = PROSE.iter().find(|(page, _)| *page == name);
        let (_, prose) = prose.unwrap_or_else(|| panic!("{name} has no prose in tests/generated"));
        (format!("{name}.1"), page(command, prose))
    });
    pages.collect()
}

fn page(command: Command, prose: &str) -> String {
    let has_subcommands = command.has_subcommands();
    // Only these run a command, and so have its exit status.
    let runs = has_subcommands || matches!(command.get_name(), "run" | "try" | "update");
    let title = command.get_display_name().unwrap_or("gtlock").to_uppercase();
    let man = Man::new(command)
        .title(title)
        .date(DATE)
        .source(concat!("gtlock ", env!("CARGO_PKG_VERSION")))
        .manual("User Commands");
    let mut page = Vec::new();
    let rendered: std::io::Result<()> = (|| {
        man.render_title(&mut page)?;
        man.render_name_section(&mut page)?;
        man.render_synopsis_section(&mut page)?;
        man.render_description_section(&mut page)?;
        if has_subcommands {
            man.render_subcommands_section(&mut page)?;
        }
        let mut options = Vec::new();
        man.render_options_section(&mut options)?;
        page.extend(with_subsections(&super::text(options)).into_bytes());
        exit_status(runs).to_writer(&mut page)
    })();
    rendered.expect("a vector takes everything");
    tidy(&super::text(page)) + prose
}

/// The options under one heading: what clap renders as a section for each group becomes a subsection.
fn with_subsections(options: &str) -> String {
    let mut changed = String::new();
    for line in options.lines() {
        match line.strip_prefix(".SH ").map(|heading| heading.trim_matches('"')) {
            None | Some("OPTIONS") => changed.push_str(line),
            Some(heading) => {
                let (first, rest) = heading.split_at(1);
                changed.extend([".SS \"", first, &rest.to_lowercase(), "\""]);
            }
        }
        changed.push('\n');
    }
    changed
}

fn exit_status(runs: bool) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["EXIT STATUS"]);
    for (code, meaning) in exit::rows(if runs { exit::HELP } else { exit::HELP_WITHOUT_COMMAND }) {
        roff.control("TP", ["10"]);
        roff.text([bold(code)]);
        roff.text([roman(meaning)]);
    }
    roff
}

/// Breaks long lines, sets paragraphs apart by a request instead of a blank line.
fn tidy(page: &str) -> String {
    let mut tidied = String::new();
    for line in page.lines() {
        let mut width = 0;
        for word in line.split_whitespace() {
            if width > 0 && width + word.len() >= 80 && !line.starts_with('.') {
                tidied.push('\n');
                width = 0;
                if word.starts_with(['.', '\'']) {
                    tidied.push_str("\\&"); // it is no request
                }
            }
            if width > 0 {
                tidied.push(' ');
            }
            tidied.push_str(word);
            width += word.len() + 1;
        }
        tidied.push_str(if width == 0 { ".sp\n" } else { "\n" });
    }
    tidied
}

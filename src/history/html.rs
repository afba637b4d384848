//! The report as one page that needs nothing else: markup, style, script and the numbers.
//!
//! What comes from the log is in it as JSON without a single `<`, so that no text can end the element that it is in.
//! The script shows text as text only, and the page's policy allows it no connection to anywhere.

use std::collections::HashMap;
use std::io::{self, Write};

use serde::Serialize;
use serde_json::json;

use super::timeline::Bar;

const STYLE: &str = include_str!("page/page.css");
const HEAD: &str = include_str!("page/head.html");
const BODY: &str = include_str!("page/body.html");
const SCRIPTS: [&str; 4] = [
    include_str!("page/show.js"),
    include_str!("page/report.js"),
    include_str!("page/timeline.js"),
    include_str!("page/window.js"),
];

/// What every page begins with, whatever version made it, and hardly anything else.
pub const PAGE_START: &str = "<!DOCTYPE html>\n<!-- gtlock report -->\n";

/// Writes the page. `locks` are the numbers of the locks in the order of the report.
///
/// # Errors
///
/// If that fails.
pub fn write_page(
    mut out: impl Write,
    report: &impl Serialize,
    locks: &[usize],
    bars: &[Bar],
) -> io::Result<()> {
    write!(out, "{PAGE_START}{HEAD}<style>\n{STYLE}</style>\n{BODY}")?;
    out.write_all(b"<script type=\"application/json\" id=\"report\">")?;
    serde_json::to_writer(Inert(&mut out), report)?;
    out.write_all(b"</script>\n<script type=\"application/json\" id=\"entries\">")?;
    write_bars(Inert(&mut out), locks, bars)?;
    out.write_all(b"</script>\n")?;
    for script in SCRIPTS {
        write!(out, "<script>\n{script}</script>\n")?;
    }
    out.write_all(b"</body>\n</html>\n")
}

/// Writes the entries as lists of numbers, one an entry, and the texts that they refer to.
fn write_bars(mut out: impl Write, locks: &[usize], bars: &[Bar]) -> io::Result<()> {
    let places: HashMap<usize, usize> =
        locks.iter().enumerate().map(|(place, &lock)| (lock, place)).collect();
    let start = bars.first().map_or(0, |bar| bar.asked.micros());
    let mut texts = Texts::default();
    write!(out, "{{\"start\":{start},\"bars\":[")?;
    for (number, bar) in bars.iter().enumerate() {
        let comma = if number == 0 { "" } else { "," };
        let row = json!([
            places[&bar.lock],
            bar.row,
            bar.asked.micros() - start,
            bar.waited.0,
            bar.held.map(|held| held.0),
            bar.outcome,
            bar.mode,
            bar.pid,
            texts.number(bar.label.as_deref()),
            texts.number(Some(&bar.command)),
            texts.number(bar.holder.as_deref()),
            bar.exit,
            bar.slots,
        ]);
        write!(out, "{comma}\n{row}")?;
    }
    write!(out, "],\"texts\":{}}}", json!(texts.texts))
}

/// Texts, each once.
#[derive(Default)]
struct Texts<'a> {
    texts: Vec<&'a str>,
    numbers: HashMap<&'a str, usize>,
}

impl<'a> Texts<'a> {
    fn number(&mut self, text: Option<&'a str>) -> Option<usize> {
        let text = text?;
        let texts = &mut self.texts;
        Some(*self.numbers.entry(text).or_insert_with(|| {
            texts.push(text);
            texts.len() - 1
        }))
    }
}

/// Writes JSON without `<`, which can only be inside a string.
struct Inert<W>(W);

impl<W: Write> Write for Inert<W> {
    fn write(&mut self, json: &[u8]) -> io::Result<usize> {
        for (number, part) in json.split(|&byte| byte == b'<').enumerate() {
            if number > 0 {
                self.0.write_all(br"\u003c")?;
            }
            self.0.write_all(part)?;
        }
        Ok(json.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

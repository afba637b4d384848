//! The report for people: a table, a histogram, and the cycles in the order of locks.

use std::io::{self, Write};

use tabwriter::TabWriter;

use super::document::{Document, Lengths, Step, Waits};
use crate::escape::Escaped;

/// The longest bar of the histogram, in characters.
const BAR: u64 = 50;

/// How much of a path the table shows, in characters.
const PATH_SHOWN: usize = 60;

/// Prints the report.
///
/// # Errors
///
/// If standard output cannot be written to.
pub fn print(document: &Document<'_>) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    write_summary(&mut out, document)?;
    if !document.locks.is_empty() {
        write_locks(&mut out, document)?;
        write_histogram(&mut out, &document.waits)?;
    }
    document.cycles.iter().try_for_each(|cycle| write_cycle(&mut out, cycle))?;
    out.flush()
}

fn write_summary(mut out: impl Write, document: &Document<'_>) -> io::Result<()> {
    write!(out, "{} {}", document.entries, if document.entries == 1 { "entry" } else { "entries" })?;
    if let (Some(from), Some(to)) = (document.from, document.to) {
        write!(out, " from {from} to {to} ({})", to.since(from))?;
    }
    let skipped = &document.skipped;
    let reasons = [
        (skipped.torn, "torn"),
        (skipped.other_version, "from another version"),
        (skipped.foreign, "not entries"),
    ];
    let reasons = reasons.iter().filter(|(count, _)| *count > 0);
    let reasons: Vec<String> = reasons.map(|(count, reason)| format!("{count} {reason}")).collect();
    if !reasons.is_empty() {
        write!(out, "; lines skipped: {}", reasons.join(", "))?;
    }
    if document.unlisted > 0 {
        write!(out, "; {} entries of more locks than are listed", document.unlisted)?;
    }
    writeln!(out)
}

fn write_locks(out: impl Write, document: &Document<'_>) -> io::Result<()> {
    let mut table = TabWriter::new(out);
    writeln!(table, "\nLOCK\tGOT\tREFUSED\tTIMED OUT\tUSE\t\tTOTAL\tMEDIAN\t95%\t99%\tLONGEST")?;
    for lock in &document.locks {
        let data = shown(lock.data);
        let (got, refused, timed_out) = (lock.acquired, lock.refused, lock.timed_out);
        let usage = lock.utilisation * 100.0;
        writeln!(table, "{data}\t{got}\t{refused}\t{timed_out}\t{usage:.0}%\twait\t{}", Cells(&lock.wait))?;
        writeln!(table, "\t\t\t\t\thold\t{}", Cells(&lock.hold))?;
    }
    table.flush()?;
    let mut out = table.into_inner().map_err(|e| io::Error::other(e.to_string()))?;
    let waited_for = document.locks.iter().filter(|lock| !lock.blamed.is_empty());
    for (number, lock) in waited_for.enumerate() {
        if number == 0 {
            writeln!(out, "\nWho made others wait:")?;
        }
        let blamed = lock.blamed.iter();
        let blamed: Vec<String> =
            blamed.map(|blamed| format!("{} for {}", Escaped::new(blamed.who), blamed.seconds)).collect();
        writeln!(out, "{}: {}", shown(lock.data), blamed.join(", "))?;
    }
    Ok(())
}

/// The end of a path, where it is long: the widest widens the table.
fn shown(path: &str) -> String {
    let path = Escaped::new(path).to_string();
    match path.char_indices().rev().nth(PATH_SHOWN - 1) {
        Some((start, _)) if start > 0 => format!("…{}", &path[start..]),
        _ => path,
    }
}

/// The cells of a row from TOTAL on.
struct Cells<'a>(&'a Lengths);

impl std::fmt::Display for Cells<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Lengths { count, total, median, p95, p99, longest } = self.0;
        match count {
            0 => f.write_str("-\t-\t-\t-\t-"),
            _ => write!(f, "{total}\t{median}\t{p95}\t{p99}\t{longest}"),
        }
    }
}

fn write_histogram(out: impl Write, waits: &[Waits]) -> io::Result<()> {
    let most = waits.iter().map(|waits| waits.count).max().unwrap_or_default();
    let used = waits.iter().rposition(|waits| waits.count > 0).map_or(0, |last| last + 1);
    let mut table = TabWriter::new(out);
    writeln!(table, "\nWAITED\tTIMES")?;
    let mut lower = None;
    for Waits { below, count } in &waits[..used] {
        let range = match (lower, below) {
            (_, Some(below)) => format!("below {below}"),
            (Some(lower), None) => format!("{lower} and more"),
            (None, None) => "any time".to_owned(),
        };
        // Whatever happened at all is seen.
        let length = (count * BAR / most.max(1)).max(u64::from(*count > 0));
        writeln!(table, "{range}\t{count}\t{}", "#".repeat(usize::try_from(length).unwrap_or_default()))?;
        lower = *below;
    }
    table.flush()
}

fn write_cycle(mut out: impl Write, cycle: &[Step]) -> io::Result<()> {
    writeln!(out, "\nA deadlock that has not happened yet: these locks are taken in a ring.")?;
    for step in cycle {
        let (lock, inside, by) =
            (Escaped::new(&step.data), Escaped::new(&step.inside), Escaped::new(&*step.by));
        let times = if step.times == 1 { "once".to_owned() } else { format!("{} times", step.times) };
        writeln!(out, "  {lock}\n    inside {inside}\n    by {by} ({times}, last {})", step.last)?;
    }
    writeln!(out, "  Take them in one order, or all at once: gtlock run --write A --write B.")
}

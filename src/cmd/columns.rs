//! A table for people.

use std::io::{self, Write};

use console::Term;
use tabwriter::TabWriter;

/// Prints lines of which the fields are apart by tabs. On a terminal they are cut to fit.
///
/// # Errors
///
/// If they cannot be written to standard output.
pub fn print(lines: &[u8]) -> io::Result<()> {
    let mut table = TabWriter::new(Vec::new());
    table.write_all(lines)?;
    table.flush()?;
    let table = table.into_inner().map_err(|e| io::Error::other(e.to_string()))?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    match Term::stdout().size_checked() {
        None => out.write_all(&table)?,
        Some((_, columns)) => {
            for line in String::from_utf8_lossy(&table).lines() {
                writeln!(out, "{}", console::truncate_str(line, columns.into(), "…"))?;
            }
        }
    }
    out.flush()
}

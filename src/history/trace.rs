//! The timeline in the trace-event format, which Perfetto and speedscope open: a process for each lock, a thread for
//! each row.

use std::collections::BTreeSet;
use std::io::{self, Write};

use serde_json::{Value, json};

use super::timeline::Bar;

/// What every trace begins with, and hardly anything else.
pub const TRACE_START: &str =
    "{\"otherData\":{\"from\":\"gtlock report\"},\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n";

/// Writes the entries. `locks` are the names of the locks, by their numbers.
///
/// # Errors
///
/// If that fails.
pub fn write_trace(mut out: impl Write, bars: &[Bar], lock_name: impl Fn(usize) -> String) -> io::Result<()> {
    out.write_all(TRACE_START.as_bytes())?;
    let mut separator = "";
    let mut write = |event: &Value| {
        write!(out, "{separator}{event}")?;
        separator = ",\n";
        Ok::<_, io::Error>(())
    };
    let rows: BTreeSet<_> = bars.iter().map(|bar| (bar.lock, bar.row)).collect();
    for &(lock, row) in &rows {
        // Of rows that many share, the number is all there is to tell.
        let name = |name, of| json!({"ph": "M", "name": name, "pid": lock + 1, "tid": row + 1, "args": {"name": of}});
        if row == 0 {
            write(&name("process_name", lock_name(lock)))?;
        }
        write(&name("thread_name", format!("row {}", row + 1)))?;
    }
    for bar in bars {
        let who = bar.label.as_ref().unwrap_or(&bar.command);
        let waited = ("wait", bar.asked, Some(bar.waited));
        let held = ("hold", bar.asked.after(bar.waited), bar.held);
        for (what, from, length) in [waited, held] {
            let Some(length) = length else { continue };
            write(&json!({
                "ph": "X", "cat": what, "name": format!("{what}: {who}"), "pid": bar.lock + 1, "tid": bar.row + 1,
                "ts": from.micros(), "dur": length.0,
                "args": {
                    "pid": bar.pid, "label": bar.label.as_deref(), "command": &*bar.command, "mode": bar.mode, "slots": bar.slots,
                    "outcome": bar.outcome, "exit": bar.exit, "behind": bar.holder.as_deref(),
                },
            }))?;
        }
    }
    writeln!(out, "\n]}}")
}

//! `gtlock report`: what logs tell of locks, their waits and their holders.

mod document;
mod table;

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::{json, report};
use crate::cli::{LOG_VARIABLE, ReportArgs};
use crate::escape::Escaped;
use crate::exit::Exit;
use crate::history::{Entry, Lines, Moment, Order, Stats, Timeline, command_line, shortened};
use crate::history::{write_page, write_trace};
use document::Document;

/// Reports what became of locks over time.
///
/// # Errors
///
/// If no log is named, or the report cannot be written.
pub fn report(args: &ReportArgs) -> anyhow::Result<Exit> {
    let logs = logs(args)?;
    let mut history = History::new(args);
    let mut failed = 0;
    for log in &logs {
        if let Err(e) = history.read(log) {
            failed += 1;
            report::say(&format!("{}: {e}", Escaped::new(log)));
        }
    }
    if failed < logs.len() {
        history.show(args, &logs)?;
    }
    Ok(if failed == 0 { Exit::Success } else { Exit::Failure })
}

fn logs(args: &ReportArgs) -> anyhow::Result<Vec<PathBuf>> {
    let named = std::env::var_os(LOG_VARIABLE).filter(|log| !log.is_empty());
    match named {
        _ if !args.logs.is_empty() => Ok(args.logs.clone()),
        Some(log) => Ok(vec![log.into()]),
        None => bail!("no log named; give LOG, or set {LOG_VARIABLE}"),
    }
}

/// What was read.
struct History {
    since: Moment,
    wanted: Option<Wanted>,
    lines: Lines,
    stats: Stats,
    order: Order,
    /// If it is to be drawn.
    timeline: Option<Timeline>,
}

impl History {
    fn new(args: &ReportArgs) -> Self {
        let is_drawn = args.html.is_some() || args.trace.is_some();
        Self {
            since: args.since.map(Moment::from).unwrap_or_default(),
            wanted: (!args.lock.is_empty()).then(|| Wanted::new(&args.lock)),
            lines: Lines::default(),
            stats: Stats::default(),
            order: Order::default(),
            timeline: is_drawn.then(Timeline::default),
        }
    }

    fn read(&mut self, log: &Path) -> io::Result<()> {
        let Self { since, wanted, lines, stats, order, timeline } = self;
        let add = |entry: &Entry<'_>| {
            if entry.end() < *since || wanted.as_ref().is_some_and(|wanted| !wanted.has(entry)) {
                return;
            }
            let holder = entry.holder.as_ref().map(|holder| holder.name());
            let number = stats.add(entry, holder.as_deref());
            let inside = entry.inside.iter().map(|lock| &**lock);
            order.add(&entry.lock, inside, || entry.who().into(), entry.asked);
            if let (Some(timeline), Some(number)) = (timeline.as_mut(), number) {
                let label = entry.label.as_deref().map(|label| shortened(label).into_owned());
                let command = Some(command_line(&entry.command));
                timeline.add(number, entry, [label, command, holder.map(Into::into)]);
            }
        };
        if log == Path::new("-") {
            lines.read(io::stdin().lock(), add)
        } else {
            lines.read(BufReader::with_capacity(1 << 16, File::open(log)?), add)
        }
    }

    fn show(self, args: &ReportArgs, logs: &[PathBuf]) -> anyhow::Result<()> {
        let document = Document::new(&self.stats, self.lines.skipped, &self.order);
        if args.json {
            json::print(&document).context(report::STDOUT)?;
        }
        if let Some(timeline) = self.timeline {
            let dropped = timeline.dropped;
            let bars = timeline.into_rows();
            if dropped > 0 {
                report::say(&format!(
                    "only the last {} of {} entries are drawn",
                    bars.len(),
                    self.stats.entries
                ));
            }
            if let Some(path) = &args.html {
                let write =
                    |out: &mut BufWriter<File>| write_page(out, &document, &self.stats.by_wait(), &bars);
                create(path, logs, write)?;
            }
            if let Some(path) = &args.trace {
                let name = |number| self.stats.lock(number).data.to_string();
                create(path, logs, |out| write_trace(out, &bars, name))?;
            }
        } else if !args.json {
            table::print(&document).context(report::STDOUT)?;
        }
        Ok(())
    }
}

/// Writes a file, but not over one of the logs.
fn create(
    path: &Path,
    logs: &[PathBuf],
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> anyhow::Result<()> {
    let itself = path.canonicalize().ok();
    if itself.is_some() && logs.iter().any(|log| log.canonicalize().ok() == itself) {
        bail!("{}: is the log; name another file to write to", Escaped::new(path));
    }
    let written = File::create(path).and_then(|file| {
        let mut out = BufWriter::new(file);
        write(&mut out)?;
        out.flush()
    });
    written.with_context(|| Escaped::new(path).to_string())
}

/// Locks by which the report is narrowed.
struct Wanted(Vec<String>);

impl Wanted {
    fn new(wanted: &[PathBuf]) -> Self {
        let mut texts = Vec::new();
        for path in wanted {
            let is_name = path.components().count() == 1;
            let names =
                [is_name.then(|| path.clone()), std::path::absolute(path).ok(), path.canonicalize().ok()];
            texts.extend(names.into_iter().flatten().map(|path| path.to_string_lossy().into_owned()));
        }
        Self(texts)
    }

    fn has(&self, entry: &Entry<'_>) -> bool {
        let name = Path::new(&*entry.data).file_name().and_then(|name| name.to_str());
        let names = [Some(&*entry.lock), Some(&*entry.data), name];
        names.into_iter().flatten().any(|name| self.0.iter().any(|wanted| wanted == name))
    }
}

//! `gtlock report`: what logs tell of locks, their waits and their holders.

mod document;
mod table;

use std::cell::Cell;
use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::{json, report};
use crate::cli::{LOG_VARIABLE, ReportArgs};
use crate::escape::Escaped;
use crate::exit::Exit;
use crate::history::{Entry, Lines, Moment, Order, Stats, Timeline, command_line, shortened};
use crate::history::{PAGE_START, TRACE_START, write_page, write_trace};
use crate::lock::FileId;
use crate::sys;
use crate::update::{Durability, Original};
use document::Document;

/// Reports what became of locks over time.
///
/// # Errors
///
/// If no log is named, or the report cannot be written.
pub fn report(args: &ReportArgs) -> anyhow::Result<Exit> {
    if args.html.is_some() && args.html == args.trace {
        bail!("--html and --trace name one file; give each its own");
    }
    let logs = logs(args)?;
    let mut history = History::new(args);
    let mut failed = 0;
    for log in &logs {
        if let Err(e) = history.read(log) {
            failed += 1;
            report::say(&format!("{}: {e}", Escaped::new(log)));
        }
    }
    for wanted in history.wanted.iter().filter(|wanted| wanted.is_asked.get()).flat_map(Wanted::unseen) {
        report::say(&format!("{}: nothing about its lock is in the log", Escaped::new(wanted)));
    }
    if failed < logs.len() {
        history.show(args)?;
    }
    Ok(if failed == 0 { Exit::Success } else { Exit::Failure })
}

fn logs(args: &ReportArgs) -> anyhow::Result<Vec<PathBuf>> {
    let named = std::env::var_os(LOG_VARIABLE).filter(|log| !log.is_empty());
    match named {
        _ if !args.logs.is_empty() => Ok(args.logs.clone()),
        Some(log) => Ok(vec![log.into()]),
        None => bail!("no log named; give LOG, or set {LOG_VARIABLE} (see gtlock report --help)"),
    }
}

/// What a compressed file begins with, and what prints its content.
const COMPRESSED: [(&[u8], &str); 4] =
    [(b"\x1f\x8b", "zcat"), (b"\x28\xb5\x2f\xfd", "zstdcat"), (b"\xfd7zXZ", "xzcat"), (b"BZh", "bzcat")];

/// What was read.
struct History {
    since: Moment,
    wanted: Option<Wanted>,
    lines: Lines,
    stats: Stats,
    order: Order,
    /// If it is to be drawn.
    timeline: Option<Timeline>,
    /// The logs that were read: each counts once, by whatever names.
    read: HashSet<FileId>,
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
            read: HashSet::new(),
        }
    }

    fn read(&mut self, log: &Path) -> io::Result<()> {
        let Self { since, wanted, lines, stats, order, timeline, read } = self;
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
            let file = File::open(log)?;
            if !read.insert(sys::stat(&file)?.id) {
                return Ok(());
            }
            let mut lines_of = BufReader::with_capacity(1 << 16, file);
            let start = lines_of.fill_buf()?;
            if let Some((_, program)) = COMPRESSED.into_iter().find(|(magic, _)| start.starts_with(magic)) {
                let hint = format!("is compressed; use {program} {} | gtlock report -", Escaped::new(log));
                return Err(io::Error::other(hint));
            }
            lines.read(lines_of, add)
        }
    }

    fn show(self, args: &ReportArgs) -> anyhow::Result<()> {
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
                create(path, PAGE_START, |out| write_page(out, &document, &self.stats.by_wait(), &bars))?;
            }
            if let Some(path) = &args.trace {
                let name = |number| self.stats.lock(number).data.to_string();
                create(path, TRACE_START, |out| write_trace(out, &bars, name))?;
            }
        } else if !args.json {
            table::print(&document).context(report::STDOUT)?;
        }
        Ok(())
    }
}

/// Writes a page or a trace, which begins with `start`: in place of an earlier one, but of nothing else.
fn create(
    path: &Path,
    start: &str,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> anyhow::Result<()> {
    if path == Path::new("-") {
        let mut out = BufWriter::new(io::stdout().lock());
        return write(&mut out).and_then(|()| out.flush()).context(report::STDOUT);
    }
    let shown = || Escaped::new(path).to_string();
    if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
        let file = File::options().write(true).open(path).with_context(shown)?; // a device, a FIFO
        let mut out = BufWriter::new(file);
        return write(&mut out).and_then(|()| out.flush()).with_context(shown);
    }
    let original = Original::open(path)?;
    let mut there = Vec::new();
    if let Some(file) = original.content() {
        file.take(start.len() as u64).read_to_end(&mut there).with_context(shown)?;
    }
    if !there.is_empty() && there != start.as_bytes() {
        bail!("{}: is there already, and is no such report; name another file to write to", shown());
    }
    let mut replacement = original.replace()?;
    replacement.write(write)?;
    Ok(replacement.finish(Durability::Unflushed)?.commit(None)?)
}

/// Locks by which the report is narrowed.
struct Wanted {
    locks: Vec<WantedLock>,
    /// Whether there was any entry.
    is_asked: Cell<bool>,
}

struct WantedLock {
    named: PathBuf,
    /// What it may be called in the log.
    names: Vec<String>,
    is_seen: Cell<bool>,
}

impl Wanted {
    fn new(wanted: &[PathBuf]) -> Self {
        let lock = |path: &PathBuf| {
            let is_name = path.components().count() == 1;
            let names =
                [is_name.then(|| path.clone()), std::path::absolute(path).ok(), path.canonicalize().ok()];
            let names = names.into_iter().flatten().map(|path| path.to_string_lossy().into_owned()).collect();
            WantedLock { named: path.clone(), names, is_seen: Cell::new(false) }
        };
        Self { locks: wanted.iter().map(lock).collect(), is_asked: Cell::new(false) }
    }

    fn has(&self, entry: &Entry<'_>) -> bool {
        let name = Path::new(&*entry.data).file_name().and_then(|name| name.to_str());
        let names = [Some(&*entry.lock), Some(&*entry.data), name];
        let is_it = |lock: &&WantedLock| {
            names.into_iter().flatten().any(|name| lock.names.iter().any(|wanted| wanted == name))
        };
        self.is_asked.set(true);
        self.locks.iter().filter(is_it).inspect(|lock| lock.is_seen.set(true)).count() > 0
    }

    /// Those that nothing was found about.
    fn unseen(&self) -> impl Iterator<Item = &Path> {
        self.locks.iter().filter(|lock| !lock.is_seen.get()).map(|lock| &*lock.named)
    }
}

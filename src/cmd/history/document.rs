//! The report as a document: what `--json` prints, the table shows and the page holds.

use serde::Serialize;

use crate::history::{BOUNDS, Cycle, Edge, LockStats, Moment, Order, Skipped, Span, Spread, Stats};

/// Holders that are named for a lock.
const MAX_BLAMED: usize = 3;

/// The report.
#[derive(Serialize)]
pub struct Document<'a> {
    version: u32,
    pub entries: u64,
    pub skipped: Skipped,
    /// Entries of locks beyond those that are listed.
    pub unlisted: u64,
    pub from: Option<Moment>,
    pub to: Option<Moment>,
    pub waits: Vec<Waits>,
    pub locks: Vec<Row<'a>>,
    pub cycles: Vec<Vec<Step>>,
}

/// How many waits were this long.
#[derive(Serialize)]
pub struct Waits {
    /// They were shorter; null for the longest.
    pub below: Option<Span>,
    pub count: u64,
}

/// One lock.
#[derive(Serialize)]
pub struct Row<'a> {
    pub lock: &'a str,
    pub data: &'a str,
    pub acquired: u64,
    pub refused: u64,
    pub timed_out: u64,
    pub ended: u64,
    pub utilisation: f64,
    pub wait: Lengths,
    pub hold: Lengths,
    pub blamed: Vec<Blamed<'a>>,
}

/// Lengths of time, in seconds.
#[derive(Serialize)]
pub struct Lengths {
    pub count: u64,
    pub total: Span,
    pub median: Span,
    pub p95: Span,
    pub p99: Span,
    pub longest: Span,
}

/// Who was waited for.
#[derive(Serialize)]
pub struct Blamed<'a> {
    pub who: &'a str,
    pub seconds: Span,
}

/// A data file whose lock was taken inside another's, in a cycle of such.
#[derive(Serialize)]
pub struct Step {
    pub data: String,
    pub inside: String,
    pub by: Box<str>,
    pub times: u64,
    pub last: Moment,
}

impl<'a> Document<'a> {
    pub fn new(stats: &'a Stats, skipped: Skipped, order: &Order) -> Self {
        let bounds = BOUNDS.into_iter().map(Some).chain([None]);
        let waits = bounds.zip(stats.waits).map(|(below, count)| Waits { below, count });
        Self {
            version: 1,
            entries: stats.entries,
            skipped,
            unlisted: stats.unlisted,
            from: stats.period.map(|(from, _)| from),
            to: stats.period.map(|(_, to)| to),
            waits: waits.collect(),
            locks: stats.by_wait().into_iter().map(|number| Row::from(stats.lock(number))).collect(),
            cycles: order.cycles().into_iter().map(|cycle| steps(cycle, stats)).collect(),
        }
    }
}

fn steps(cycle: Cycle, stats: &Stats) -> Vec<Step> {
    // A lock of which only is known that others were inside it goes by its own name.
    let data = |lock: &str| stats.data_of(lock).unwrap_or(lock).to_owned();
    let mut insides: Vec<String> = cycle.iter().map(|(lock, _)| data(lock)).collect();
    insides.rotate_left(1);
    let steps = cycle.into_iter().zip(insides);
    let step = |((lock, edge), inside): ((Box<str>, Edge), String)| {
        let Edge { by, last, times } = edge;
        Step { data: data(&lock), inside, by, times, last }
    };
    steps.map(step).collect()
}

impl<'a> From<&'a LockStats> for Row<'a> {
    fn from(stats: &'a LockStats) -> Self {
        let blamed = stats.blamed(MAX_BLAMED).into_iter();
        Self {
            lock: &stats.lock,
            data: &stats.data,
            acquired: stats.acquired,
            refused: stats.refused,
            timed_out: stats.timed_out,
            ended: stats.ended,
            utilisation: stats.utilisation(),
            wait: Lengths::from(&stats.waits),
            hold: Lengths::from(&stats.holds),
            blamed: blamed.map(|(who, seconds)| Blamed { who, seconds }).collect(),
        }
    }
}

impl From<&Spread> for Lengths {
    fn from(spread: &Spread) -> Self {
        Self {
            count: spread.count(),
            total: spread.total,
            median: spread.quantile(0.5),
            p95: spread.quantile(0.95),
            p99: spread.quantile(0.99),
            longest: spread.longest,
        }
    }
}

//! The numbers of each lock.

use std::collections::HashMap;

use hdrhistogram::Histogram;

use super::{Entry, Moment, Outcome, Span};

/// Locks of which numbers are kept; the entries of more are counted only.
const MAX_LOCKS: usize = 10_000;

/// Names of holders that are kept for a lock; then the half that made others wait least is dropped.
const MAX_NAMES: usize = 500;

/// Digits of a percentile that are right: it is within 1 % of the true one.
const DIGITS: u8 = 2;

/// What a histogram can hold: about 36 years in microseconds.
const LONGEST: u64 = 1 << 50;

/// The bounds of the histogram of waits, in microseconds: 1 ms to 10 s by tens, 1, 10 and 60 minutes.
pub const BOUNDS: [Span; 8] = [
    Span(1_000),
    Span(10_000),
    Span(100_000),
    Span(1_000_000),
    Span(10_000_000),
    Span(60_000_000),
    Span(600_000_000),
    Span(3_600_000_000),
];

/// The numbers of all locks.
#[derive(Debug, Default)]
pub struct Stats {
    pub entries: u64,
    /// Entries of locks beyond `MAX_LOCKS`.
    pub unlisted: u64,
    pub period: Option<(Moment, Moment)>,
    /// How many waits were shorter than each of [`BOUNDS`], but not than the one before; at last, all others.
    pub waits: [u64; BOUNDS.len() + 1],
    locks: Vec<LockStats>,
    index: HashMap<Box<str>, usize>,
}

/// The numbers of one lock.
#[derive(Debug)]
pub struct LockStats {
    pub lock: Box<str>,
    /// As named first.
    pub data: Box<str>,
    pub acquired: u64,
    pub refused: u64,
    pub timed_out: u64,
    /// Of those acquired: whose command was ended by a limit.
    pub ended: u64,
    /// Of locks that were acquired or timed out.
    pub waits: Spread,
    /// Of locks of which it is known.
    pub holds: Spread,
    pub period: (Moment, Moment),
    /// How long the holders of each name were waited for.
    blame: HashMap<Box<str>, Span>,
}

/// Lengths of time: their sum, the longest and the percentiles.
#[derive(Debug)]
pub struct Spread {
    pub total: Span,
    pub longest: Span,
    histogram: Histogram<u32>,
}

impl Stats {
    /// Counts an entry. Returns the number of its lock. `holder` is the name of who held the lock when the wait began.
    pub fn add(&mut self, entry: &Entry<'_>, holder: Option<&str>) -> Option<usize> {
        self.entries += 1;
        self.period = Some(widened(self.period.unwrap_or((entry.asked, entry.asked)), entry));
        if entry.outcome != Outcome::Refused {
            self.waits[BOUNDS.partition_point(|&bound| bound <= entry.waited)] += 1;
        }
        let number = match self.index.get(&*entry.lock) {
            Some(&number) => number,
            None if self.locks.len() == MAX_LOCKS => {
                self.unlisted += 1;
                return None;
            }
            None => {
                self.index.insert((&*entry.lock).into(), self.locks.len());
                self.locks.push(LockStats::new(entry));
                self.locks.len() - 1
            }
        };
        self.locks[number].add(entry, holder);
        Some(number)
    }

    /// The data file of a lock, if it is known.
    #[must_use]
    pub fn data_of(&self, lock: &str) -> Option<&str> {
        self.index.get(lock).map(|&number| &*self.locks[number].data)
    }

    /// A lock by its number.
    #[must_use]
    pub fn lock(&self, number: usize) -> &LockStats {
        &self.locks[number]
    }

    /// The numbers of the locks, those waited for longest first.
    #[must_use]
    pub fn by_wait(&self) -> Vec<usize> {
        let mut numbers: Vec<usize> = (0..self.locks.len()).collect();
        numbers.sort_by(|&a, &b| {
            let (a, b) = (&self.locks[a], &self.locks[b]);
            (b.waits.total, b.holds.total, &a.lock).cmp(&(a.waits.total, a.holds.total, &b.lock))
        });
        numbers
    }
}

fn widened((from, to): (Moment, Moment), entry: &Entry<'_>) -> (Moment, Moment) {
    (from.min(entry.asked), to.max(entry.end()))
}

impl LockStats {
    fn new(entry: &Entry<'_>) -> Self {
        Self {
            lock: (&*entry.lock).into(),
            data: (&*entry.data).into(),
            acquired: 0,
            refused: 0,
            timed_out: 0,
            ended: 0,
            waits: Spread::default(),
            holds: Spread::default(),
            period: (entry.asked, entry.end()),
            blame: HashMap::new(),
        }
    }

    fn add(&mut self, entry: &Entry<'_>, holder: Option<&str>) {
        self.period = widened(self.period, entry);
        self.acquired += u64::from(entry.outcome.is_acquired());
        match entry.outcome {
            Outcome::Released | Outcome::Lost | Outcome::Kept => {}
            Outcome::Ended => self.ended += 1,
            Outcome::Refused => self.refused += 1,
            Outcome::TimedOut => self.timed_out += 1,
        }
        if entry.outcome != Outcome::Refused {
            self.waits.add(entry.waited);
            if let Some(holder) = holder {
                self.blame(holder, entry.waited);
            }
        }
        if let Some(held) = entry.held {
            self.holds.add(held);
        }
    }

    fn blame(&mut self, holder: &str, waited: Span) {
        if let Some(total) = self.blame.get_mut(holder) {
            *total += waited;
            return;
        }
        if self.blame.len() == MAX_NAMES {
            let mut totals: Vec<Span> = self.blame.values().copied().collect();
            let middle = *totals.select_nth_unstable(MAX_NAMES / 2).1;
            self.blame.retain(|_, total| *total > middle);
        }
        self.blame.insert(holder.into(), waited);
    }

    /// Whose holds were waited for longest, and how long; the first `most`.
    #[must_use]
    pub fn blamed(&self, most: usize) -> Vec<(&str, Span)> {
        let mut all: Vec<_> = self.blame.iter().map(|(name, &span)| (&**name, span)).collect();
        all.sort_by(|a, b| (b.1, a.0).cmp(&(a.1, b.0)));
        all.truncate(most);
        all
    }

    /// How many held it on average, from the first request to the last release.
    #[must_use]
    pub fn utilisation(&self) -> f64 {
        let (from, to) = self.period;
        let period = to.since(from).seconds();
        if period > 0.0 { self.holds.total.seconds() / period } else { 0.0 }
    }
}

impl Default for Spread {
    fn default() -> Self {
        // It grows with the longest: a lock that nobody waits for costs little.
        let histogram = Histogram::new(DIGITS).expect("the digits are from 0 to 5");
        Self { total: Span(0), longest: Span(0), histogram }
    }
}

impl Spread {
    fn add(&mut self, span: Span) {
        self.total += span;
        self.longest = self.longest.max(span);
        self.histogram.record(span.0.min(LONGEST)).expect("it grows up to 2^62");
    }

    /// How many there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// The length that a share of them does not exceed; the longest for 1.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Span {
        Span(self.histogram.value_at_quantile(share)).min(self.longest)
    }
}

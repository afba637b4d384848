//! The entries that are drawn: each in a row of its lock, so that none in a row overlap.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use super::{Entry, Mode, Moment, Outcome, Span};

/// Entries that are kept, the last ones. More than that many bars nobody looks at, and a browser gets slow.
const MAX_ENTRIES: usize = 200_000;

/// Processes of a lock up to which each has a row of its own, and rows up to which each is one label's.
const MAX_OWN_ROWS: usize = 60;

/// The entries that are drawn.
#[derive(Debug, Default)]
pub struct Timeline {
    bars: VecDeque<Bar>,
    /// How many were left out, from the start.
    pub dropped: u64,
}

/// An entry as it is drawn.
#[derive(Clone, Debug)]
pub struct Bar {
    /// The number of the lock.
    pub lock: usize,
    /// The number of its row among those of the lock.
    pub row: usize,
    pub asked: Moment,
    pub waited: Span,
    pub held: Option<Span>,
    pub mode: Mode,
    pub slots: Vec<u32>,
    pub outcome: Outcome,
    pub pid: u32,
    pub exit: Option<i32>,
    pub label: Option<Rc<str>>,
    pub command: Rc<str>,
    pub holder: Option<Rc<str>>,
}

impl Bar {
    /// When it is over.
    #[must_use]
    pub fn end(&self) -> Moment {
        self.asked.after(self.waited).after(self.held.unwrap_or_default())
    }
}

impl Timeline {
    /// Keeps an entry. The texts are safe to show, and not long.
    pub fn add(&mut self, lock: usize, entry: &Entry<'_>, [label, command, holder]: [Option<String>; 3]) {
        if self.bars.len() == MAX_ENTRIES {
            self.bars.pop_front();
            self.dropped += 1;
        }
        self.bars.push_back(Bar {
            lock,
            row: 0,
            asked: entry.asked,
            waited: entry.waited,
            held: entry.held,
            mode: entry.mode,
            slots: entry.slots.clone(),
            outcome: entry.outcome,
            pid: entry.pid,
            exit: entry.exit,
            label: label.map(Rc::from),
            command: command.unwrap_or_default().into(),
            holder: holder.map(Rc::from),
        });
    }

    /// The entries in the order in which they began, each with its row.
    #[must_use]
    pub fn into_rows(self) -> Vec<Bar> {
        let mut bars = Vec::from(self.bars);
        bars.sort_by_key(|bar| (bar.asked, bar.pid));
        let mut numbers: HashMap<usize, usize> = HashMap::new();
        for bar in &bars {
            *numbers.entry(bar.lock).or_default() += 1;
        }
        let mut rows: HashMap<usize, Vec<Row>> = HashMap::new();
        for bar in &mut bars {
            let rows = rows.entry(bar.lock).or_default();
            let shared = numbers[&bar.lock] > MAX_OWN_ROWS;
            let is_full = rows.len() >= MAX_OWN_ROWS;
            // The best fit: the process itself, its label and command, its label (or none, like it), any.
            let fit = |row: &Row| match () {
                () if row.end > bar.asked => None,
                () if row.pid == bar.pid => Some(0),
                () if !shared => None,
                () if row.label == bar.label && row.command == bar.command => Some(1),
                () if row.label == bar.label => Some(2),
                () if is_full => Some(3),
                () => None,
            };
            let fits = rows.iter().enumerate().filter_map(|(number, row)| Some((fit(row)?, number)));
            let found = fits.min().map(|(_, number)| number);
            bar.row = found.unwrap_or(rows.len());
            let last = Row {
                end: bar.end(),
                pid: bar.pid,
                label: bar.label.clone(),
                command: Rc::clone(&bar.command),
            };
            if bar.row == rows.len() { rows.push(last) } else { rows[bar.row] = last }
        }
        bars
    }
}

/// What is in a row last.
struct Row {
    end: Moment,
    pid: u32,
    label: Option<Rc<str>>,
    command: Rc<str>,
}

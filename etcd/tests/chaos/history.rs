//! What the commands under one lock did, and when.

use std::fs;
use std::path::Path;

/// A command, from its first to its last sign of life.
#[derive(Clone, Debug)]
struct Ran {
    is_writer: bool,
    fence: i64,
    start: f64,
    end: f64,
}

/// All commands, in the order of their starts.
pub struct History(Vec<Ran>);

impl History {
    pub fn read(dir: &Path) -> Self {
        let lines = fs::read_to_string(dir.join("history")).expect("it was written");
        let ran = lines.lines().map(|line| {
            let words: Vec<_> = line.split(' ').collect();
            let [mode, fence, start, token] = words[..] else { panic!("no line of a history: {line}") };
            let end = fs::read_to_string(dir.join("beats").join(token)).unwrap_or_default();
            let start = start.parse().expect("a time");
            Ran {
                is_writer: mode == "w",
                fence: fence.parse().expect("a fence"),
                start,
                end: end.trim().parse().unwrap_or(start),
            }
        });
        let mut ran: Vec<_> = ran.collect();
        ran.sort_by(|a, b| a.start.total_cmp(&b.start));
        Self(ran)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Asserts that no writer ran beside another command, and that fences rise between commands that exclude each other.
    pub fn check(&self) {
        for (at, first) in self.0.iter().enumerate() {
            for second in &self.0[at + 1..] {
                if first.is_writer || second.is_writer {
                    assert!(first.end < second.start, "beside each other: {first:?} and {second:?}");
                    assert!(first.fence < second.fence, "the fence falls: {first:?} and {second:?}");
                }
            }
        }
    }
}

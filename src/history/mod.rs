//! What became of locks over time: a log of one line a lock, and what can be read from it.
//!
//! `entry` is a line, `log` writes it, `read` reads many. `stats` are the numbers of a lock, `order` is which lock
//! is taken inside which, `timeline` keeps the entries that are drawn, by `html` and `trace`.

mod entry;
mod html;
mod log;
mod order;
mod read;
mod stats;
mod time;
mod timeline;
mod trace;

pub use entry::{Entry, Mode, Outcome, Text, VERSION, Who, command_line, shortened};
pub use log::append;
pub use order::{Cycle, Edge, Order};
pub use read::{Lines, Skipped};
pub use stats::{BOUNDS, LockStats, Spread, Stats};
pub use time::{Moment, Span};
pub use timeline::Timeline;
pub use {html::PAGE_START, html::write_page, trace::TRACE_START, trace::write_trace};

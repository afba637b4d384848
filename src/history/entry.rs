//! One line of the log. `docs/json.md` describes it.

use std::borrow::Cow;
use std::ops::Deref;

use serde::{Deserialize, Serialize};

use super::{Moment, Span};

/// The version of the lines that are written, and the only one that is read.
pub const VERSION: u32 = 1;

/// What became of one lock that a gtlock asked for.
#[derive(Debug, Serialize, Deserialize)]
pub struct Entry<'a> {
    pub version: u32,
    pub asked: Moment,
    pub got: Option<Moment>,
    pub released: Option<Moment>,
    /// From asked until got, refused or timed out.
    pub waited: Span,
    /// From got until released.
    pub held: Option<Span>,
    /// The file that is locked.
    #[serde(borrow)]
    pub lock: Text<'a>,
    /// The data file.
    pub data: Text<'a>,
    pub mode: Mode,
    /// The slots that it got, if any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slots: Vec<u32>,
    /// Of the gtlock.
    pub pid: u32,
    pub label: Option<Text<'a>>,
    /// What it ran; empty if nothing.
    pub command: Vec<Text<'a>>,
    /// How it ended, if it ran something to its end.
    pub exit: Option<i32>,
    pub outcome: Outcome,
    /// Who held the lock when the wait began.
    pub holder: Option<Who<'a>>,
    /// The locks that this one was taken inside.
    pub inside: Vec<Text<'a>>,
}

/// A process that holds a lock.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Who<'a> {
    /// The machine, if a cluster keeps the lock.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub host: Option<Text<'a>>,
    pub pid: u32,
    #[serde(borrow)]
    pub label: Option<Text<'a>>,
    pub command: Vec<Text<'a>>,
}

/// For what a lock was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    Read,
    Write,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Acquired, and released at the end of the command.
    Released,
    /// Acquired, and the command ended by a limit.
    Ended,
    /// Acquired from a cluster, and lost while the command ran.
    Lost,
    /// Acquired, and left to the command or to the caller: when it ended is not known.
    Kept,
    /// Busy, and not waited for.
    Refused,
    /// Waited for in vain.
    TimedOut,
}

impl Outcome {
    /// Whether the lock was acquired.
    #[must_use]
    pub fn is_acquired(self) -> bool {
        matches!(self, Self::Released | Self::Ended | Self::Lost | Self::Kept)
    }
}

/// Text that is borrowed from the line where it stands there as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Text<'a>(#[serde(borrow)] pub Cow<'a, str>);

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// How much of a label or a command is shown, in characters.
const NAME_SHOWN: usize = 200;

/// A command in one line, not a long one. Not yet safe to print.
#[must_use]
pub fn command_line(words: &[Text<'_>]) -> String {
    if words.is_empty() {
        return "(no command)".to_owned();
    }
    let mut line = String::new();
    for (number, word) in words.iter().enumerate() {
        if number > 0 {
            line.push(' ');
        }
        line.push_str(&shortened(word));
        if line.len() > 4 * NAME_SHOWN {
            break;
        }
    }
    shortened(&line).into_owned()
}

/// The start of a text.
#[must_use]
pub fn shortened(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(NAME_SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]).into(),
        None => text.into(),
    }
}

impl Who<'_> {
    /// What to call it: its label, or its command.
    #[must_use]
    pub fn name(&self) -> Cow<'_, str> {
        self.label.as_ref().map_or_else(|| command_line(&self.command).into(), |label| shortened(label))
    }
}

impl Entry<'_> {
    /// Who asked: the command, after the label if there is one.
    #[must_use]
    pub fn who(&self) -> String {
        let command = command_line(&self.command);
        self.label
            .as_ref()
            .map_or_else(|| command.clone(), |label| format!("{}: {command}", shortened(label)))
    }

    /// When it was over, if that is known.
    #[must_use]
    pub fn end(&self) -> Moment {
        self.asked.after(self.waited).after(self.held.unwrap_or_default())
    }
}

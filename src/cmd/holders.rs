//! Who holds a lock, in words.

use std::ffi::OsString;
use std::path::Path;
use std::process;
use std::time::Duration;

use super::report;
use crate::cli::parse_limit;
use crate::escape::Escaped;
use crate::lock::{self, FileId, Holder, Inspection, Kind, Mode, Slots, State, Target};
use crate::process::{Liveness, Processes};

/// How much of a command line a message shows, in characters.
const COMMAND_SHOWN: usize = 80;

/// Processes that a message names; of more it gives the number.
const NAMED: usize = 3;

/// Who holds a lock: `held for writing by 4123 (make test) for 3m 2s`.
#[must_use]
pub fn who_holds(target: &Target) -> String {
    let mut processes = Processes::default();
    if let Kind::Descriptor(id) = target.kind() {
        return format!("held by {}", names(&lock::descriptor_holders(id, &mut processes)));
    }
    match lock::inspect_refused(target.lock(), target.kind(), &mut processes) {
        Ok(Some(Inspection { state: State::Held(mode), holders, since, .. })) => {
            let purpose = purpose(mode);
            let comma = if holders.iter().any(is_stopped) { "," } else { "" };
            let since = since.map_or(String::new(), |since| format!("{comma} for {}", report::age(since)));
            // Readers share: one that waits nevertheless lacks a slot or stands in line.
            let turn = match (mode, target.mode(), target.slots()) {
                (Mode::Shared, Mode::Shared, None) => {
                    ahead_in_line(target).map_or(String::new(), |ahead| format!(", behind {ahead} in line"))
                }
                (Mode::Shared, _, Some(Slots { limit, .. })) => format!(", with {limit} slots in all"),
                _ => String::new(),
            };
            format!("held for {purpose} by {}{since}{turn}", names(&holders))
        }
        Ok(_) => match ahead_in_line(target) {
            Some(ahead) => format!("free, but behind {ahead} in line"),
            None => "held a moment ago, free now".to_owned(),
        },
        Err(e) => format!("held; the holder cannot be seen: {e}"),
    }
}

/// Who stands in line for a lock before this process; `None` if nobody does.
fn ahead_in_line(target: &Target) -> Option<String> {
    let line = lock::in_line(target.lock());
    let ahead: Vec<_> = line.into_iter().take_while(|waiter| waiter.pid != process::id()).collect();
    (!ahead.is_empty()).then(|| named(ahead.iter().map(|waiter| (waiter.pid, &waiter.liveness))))
}

/// Who else has the open file through which this process locked a file; `None` if nobody can be seen.
pub(super) fn inheritors(id: FileId) -> Option<String> {
    let mut holders = lock::inheritors(id, &mut Processes::default());
    holders.retain(Holder::is_alive);
    (!holders.is_empty()).then(|| names(&holders))
}

/// What a lock of this mode is for.
#[must_use]
pub fn purpose(mode: Mode) -> &'static str {
    match mode {
        Mode::Shared => "reading",
        Mode::Exclusive => "writing",
    }
}

fn names(holders: &[Holder]) -> String {
    named(holders.iter().map(|holder| (holder.pid, &holder.liveness)))
}

/// The processes that live, the first few by name.
fn named<'a>(processes: impl Iterator<Item = (u32, &'a Liveness)>) -> String {
    let mut living = processes.filter(|&(_, liveness)| *liveness != Liveness::Dead);
    let mut names: Vec<String> = living.by_ref().take(NAMED).map(name).collect();
    match living.count() {
        _ if names.is_empty() => return "a process that cannot be seen from here".to_owned(),
        0 => {}
        others => names.push(format!("{others} more")),
    }
    names.join(", ")
}

fn name((pid, liveness): (u32, &Liveness)) -> String {
    match liveness {
        Liveness::Alive(process) => {
            let command = match process.command.as_slice() {
                [] => String::new(),
                words => format!(" ({})", shortened(&command_line(words))),
            };
            let stopped = if process.is_stopped { ", stopped" } else { "" };
            format!("{pid}{command}{stopped}")
        }
        _ => pid.to_string(),
    }
}

/// Whether a holder is stopped, so that it will not release the lock before somebody lets it go on.
#[must_use]
pub fn is_stopped(holder: &Holder) -> bool {
    matches!(&holder.liveness, Liveness::Alive(process) if process.is_stopped)
}

/// What a process is called, safe to print: a gtlock by its label, or else by the command that it runs.
#[must_use]
pub fn command_line(words: &[OsString]) -> String {
    if let Some(label) = label(words) {
        return Escaped::new(label).to_string();
    }
    command_of(words).iter().map(|word| Escaped::new(word).to_string()).collect::<Vec<_>>().join(" ")
}

/// The command of a process; of a gtlock the command that it runs.
#[must_use]
pub fn command_of(words: &[OsString]) -> &[OsString] {
    arguments(words).and_then(|(_, command)| command).unwrap_or(words)
}

/// The label that a gtlock was given.
#[must_use]
pub fn label(words: &[OsString]) -> Option<&str> {
    value(words, "--label")
}

/// For how long a gtlock lets its command hold the lock.
#[must_use]
pub fn max_hold(words: &[OsString]) -> Option<Duration> {
    parse_limit(value(words, "--max-hold")?).ok()
}

/// The slots that a gtlock asks for: how many of how many.
#[must_use]
pub fn slots(words: &[OsString]) -> Option<Slots> {
    let limit = value(words, "--slots")?.parse().ok()?;
    let take = value(words, "--take").map_or(Some(1), |take| take.parse().ok())?;
    Some(Slots { limit, take })
}

/// What a gtlock was given with an option.
fn value<'a>(words: &'a [OsString], name: &str) -> Option<&'a str> {
    let (options, _) = arguments(words)?;
    let mut options = options.iter().filter_map(|word| word.to_str());
    while let Some(option) = options.next() {
        match option.strip_prefix(name) {
            Some("") => return options.next(),
            Some(value) if value.starts_with('=') => return Some(&value[1..]),
            _ => {}
        }
    }
    None
}

/// Which slots a holder has, of how many: `slot 2 of 4`. `None` if it has none.
#[must_use]
pub fn slots_of(holder: &Holder) -> Option<String> {
    let numbers = match holder.slots.as_slice() {
        [] => return None,
        [slot] => format!("slot {slot}"),
        slots => {
            let numbers: Vec<_> = slots.iter().map(u32::to_string).collect();
            format!("slots {}", numbers.join(", "))
        }
    };
    let limit = match &holder.liveness {
        Liveness::Alive(process) => slots(&process.command),
        _ => None,
    };
    Some(match limit {
        Some(Slots { limit, .. }) => format!("{numbers} of {limit}"),
        None => numbers,
    })
}

/// The options of a gtlock, and the command that it runs, if any. `None` for any other program.
fn arguments(words: &[OsString]) -> Option<(&[OsString], Option<&[OsString]>)> {
    let (program, arguments) = words.split_first()?;
    if Path::new(program).file_stem() != Some("gtlock".as_ref()) {
        return None;
    }
    match arguments.iter().position(|word| word == "--") {
        Some(dashes) => Some((&arguments[..dashes], Some(&arguments[dashes + 1..]))),
        None => Some((arguments, None)),
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(COMMAND_SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gtlock_is_called_by_its_label_or_its_command() {
        for (words, called) in [
            ("/usr/bin/gtlock run --write f -- make test", "make test"),
            ("gtlock run --label nightly --write f -- make", "nightly"),
            ("gtlock try --write f --label=a=b -- make --label x", "a=b"),
            ("gtlock run --write f -- make --label x", "make --label x"),
            ("gtlock try --write-fd 9", "gtlock try --write-fd 9"),
            ("make --label x", "make --label x"),
        ] {
            let words: Vec<OsString> = words.split(' ').map(OsString::from).collect();
            assert_eq!(command_line(&words), called);
        }
    }
}

//! What is said to people: one line on standard error, after `gtlock: `.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::escape::Escaped;
use crate::exit::Exit;
use crate::lock::{self, Evidence, Holder, Inspection, Kind, Mode, State, Target};
use crate::process::{Liveness, Processes};
use crate::sys::{self, FileId};

/// How much of a command line a message shows, in characters.
const COMMAND_SHOWN: usize = 80;

/// Holders that a message names; of more it gives the number.
const HOLDERS_SHOWN: usize = 3;

/// Where it failed, for an error of writing to it.
pub const STDOUT: &str = "standard output";

/// Says something on standard error. That nobody listens there is no reason to fail.
pub fn say(message: &str) {
    // In one write, so that lines of several gtlocks do not mix.
    let _ = io::stderr().write_all(format!("gtlock: {message}\n").as_bytes());
}

/// Reports an error that ends the subcommand.
#[must_use]
pub fn failed(error: &anyhow::Error) -> Exit {
    match error.downcast_ref::<io::Error>() {
        Some(e) if e.kind() == io::ErrorKind::BrokenPipe => {} // whoever read our output has had enough
        _ => say(&format!("{error:#}")),
    }
    Exit::Failure
}

/// The exit status of an attempt to print something.
#[must_use]
pub fn printed(result: io::Result<()>) -> Exit {
    match result {
        Ok(()) => Exit::Success,
        Err(e) => failed(&anyhow::Error::from(e).context(STDOUT)),
    }
}

/// Who holds a lock: `held for writing by 4123 (make test) for 3m 2s`.
#[must_use]
pub fn who_holds(target: &Target) -> String {
    let mut processes = Processes::default();
    if let Kind::Descriptor(id) = target.kind() {
        return format!("held by {}", names(&lock::descriptor_holders(id, &mut processes)));
    }
    match lock::inspect(target.lock(), target.kind(), &mut processes) {
        Ok(Some(Inspection { state: State::Held(mode), holders, since, .. })) => {
            let purpose = purpose(mode);
            let since = since.map_or(String::new(), |since| format!(" for {}", age(since)));
            // Readers share: one that is refused nevertheless was refused by a gate.
            let turn = if mode == Mode::Shared && target.mode() == Mode::Shared {
                ", and a writer waits"
            } else {
                ""
            };
            format!("held for {purpose} by {}{since}{turn}", names(&holders))
        }
        Ok(_) => "held a moment ago, free now".to_owned(),
        Err(e) => format!("held, but who holds it cannot be seen: {e}"),
    }
}

/// Who else has the open file through which this process locked a file; `None` if nobody can be seen.
pub(super) fn inheritors(id: FileId) -> Option<String> {
    let mut processes = Processes::default();
    let holders: Vec<_> = sys::inheritors(id)
        .into_iter()
        .map(|pid| Holder { pid, liveness: processes.look_at(pid), evidence: Evidence::Descriptor })
        .filter(|holder| holder.liveness != Liveness::Dead)
        .collect();
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

/// The living holders, the first few by name.
fn names(holders: &[Holder]) -> String {
    let mut living = holders.iter().filter(|holder| holder.liveness != Liveness::Dead);
    let mut names: Vec<String> = living.by_ref().take(HOLDERS_SHOWN).map(name).collect();
    match living.count() {
        _ if names.is_empty() => return "a process that cannot be seen from here".to_owned(),
        0 => {}
        others => names.push(format!("{others} more")),
    }
    names.join(", ")
}

fn name(holder: &Holder) -> String {
    match &holder.liveness {
        Liveness::Alive(process) if !process.command.is_empty() => {
            format!("{} ({})", holder.pid, shortened(&command_line(&process.command)))
        }
        _ => holder.pid.to_string(),
    }
}

/// The command line of a holder, safe to print. Of a gtlock the command that it runs.
#[must_use]
pub fn command_line(words: &[OsString]) -> String {
    let is_gtlock =
        words.first().is_some_and(|program| Path::new(program).file_stem() == Some("gtlock".as_ref()));
    let command = match words.iter().position(|word| word == "--") {
        Some(dashes) if is_gtlock => &words[dashes + 1..],
        _ => words,
    };
    command.iter().map(|word| Escaped::new(word).to_string()).collect::<Vec<_>>().join(" ")
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(COMMAND_SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// How long ago something was, as people say it.
#[must_use]
pub fn age(since: SystemTime) -> String {
    duration(since.elapsed().unwrap_or_default())
}

/// A duration as people say it: to the second; below ten seconds to the tenth of one, below one second to
/// the tenth of a millisecond.
#[must_use]
pub fn duration(duration: Duration) -> String {
    let unit = match duration.as_secs() {
        0 => 100_000,
        1..10 => 100_000_000,
        _ => 1_000_000_000,
    };
    let nanos = duration.as_nanos() / unit * unit;
    let rounded = Duration::from_nanos(nanos.try_into().unwrap_or(u64::MAX));
    humantime::format_duration(rounded).to_string()
}

/// Prints a JSON document on standard output, safe for a terminal like everything else.
///
/// # Errors
///
/// If it cannot be written.
pub fn print_json(document: &impl serde::Serialize) -> io::Result<()> {
    let json = serde_json::to_string_pretty(document)?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    writeln!(out, "{}", tame(&json))?;
    out.flush()
}

/// Escapes in JSON what `serde_json` does not, as it need not: DEL, C1 controls, invisible and direction-changing
/// characters. Outside of strings there are none.
fn tame(json: &str) -> String {
    let mut tame = String::with_capacity(json.len());
    for c in json.chars() {
        if c >= '\u{7f}' && c.escape_debug().len() > 1 {
            let mut units = [0; 2];
            tame.extend(c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")));
        } else {
            tame.push(c);
        }
    }
    tame
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn json_is_tame_and_means_the_same(
            text in prop_oneof![".*", "[\\x00-\\x1f\"\\\\a-z\\x7f-\\u{9f}\\u{200b}\\u{202e}\\u{10ffff}é雪]{0,20}"],
        ) {
            let json = serde_json::to_string(&text).expect("a string");
            let tame = tame(&json);
            prop_assert!(!tame.contains(char::is_control) && !tame.contains('\u{202e}'), "{tame:?}");
            prop_assert_eq!(serde_json::from_str::<String>(&tame).expect("JSON"), text);
        }
    }
}

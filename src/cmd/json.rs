//! `--json`.

use std::io::{self, Write};
use std::time::SystemTime;

/// Prints a JSON document on standard output, safe for a terminal like everything else.
///
/// # Errors
///
/// If it cannot be written.
pub fn print(document: &impl serde::Serialize) -> io::Result<()> {
    let json = serde_json::to_string_pretty(document)?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    writeln!(out, "{}", escape_controls(&json))?;
    out.flush()
}

/// A moment as the documents have it: RFC 3339, UTC.
#[must_use]
pub fn timestamp(moment: SystemTime) -> String {
    humantime::format_rfc3339_millis(moment).to_string()
}

/// Escapes in JSON what `serde_json` does not, as it need not: DEL, C1 controls, invisible and direction-changing
/// characters. Outside of strings there are none.
fn escape_controls(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        if c >= '\u{7f}' && c.escape_debug().len() > 1 {
            let mut units = [0; 2];
            escaped.extend(c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")));
        } else {
            escaped.push(c);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn json_has_no_controls_and_means_the_same(
            text in prop_oneof![".*", "[\\x00-\\x1f\"\\\\a-z\\x7f-\\u{9f}\\u{200b}\\u{202e}\\u{10ffff}é雪]{0,20}"],
        ) {
            let json = serde_json::to_string(&text).expect("a string");
            let escaped = escape_controls(&json);
            prop_assert!(!escaped.contains(char::is_control) && !escaped.contains('\u{202e}'), "{escaped:?}");
            prop_assert_eq!(serde_json::from_str::<String>(&escaped).expect("JSON"), text);
        }
    }
}

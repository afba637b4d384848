//! Bytes from outside (file names, command lines) made safe to print on a terminal.

use std::ffi::OsStr;
use std::fmt;

/// Shows a name with everything escaped that a terminal could act on or not show: control
/// characters, invisible and direction-changing characters, and bytes that are not UTF-8 (`\xff`).
///
/// ```
/// # use gtlock::Escaped;
/// assert_eq!(Escaped::new("état \"1\".json").to_string(), "état \"1\".json");
/// assert_eq!(Escaped::new("a\x1b[31m\nb").to_string(), "a\\u{1b}[31m\\nb");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a>(&'a OsStr);

impl<'a> Escaped<'a> {
    /// Wraps a name, a path or an argument for printing.
    pub fn new(name: &'a (impl AsRef<OsStr> + ?Sized)) -> Self {
        Self(name.as_ref())
    }
}

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `escape_debug` also escapes these three, for Rust's sake; a reader of paths wants them plain.
        const PLAIN: [char; 3] = ['"', '\'', '\\'];
        for chunk in self.0.as_encoded_bytes().utf8_chunks() {
            for piece in chunk.valid().split_inclusive(PLAIN) {
                let body = piece.trim_end_matches(PLAIN);
                write!(f, "{}{}", body.escape_debug(), &piece[body.len()..])?;
            }
            write!(f, "{}", chunk.invalid().escape_ascii())?;
        }
        Ok(())
    }
}

/// Words as a POSIX shell reads them back. `None` if they cannot be shown as they are.
#[must_use]
pub fn quoted(words: &[impl AsRef<OsStr>]) -> Option<String> {
    let quoted = |word: &str| {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "_@%+=:,./-".contains(c);
        // zsh takes a = in front for a command's path.
        let plain = !word.is_empty() && word.chars().all(is_plain) && !word.starts_with('=');
        if plain { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
    };
    let words = words.iter().map(|word| {
        let word = word.as_ref();
        word.to_str().filter(|text| Escaped::new(word).to_string() == **text).map(quoted)
    });
    words.collect::<Option<Vec<_>>>().map(|words| words.join(" "))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_that_a_terminal_acts_on_gets_through() {
        let every_control: String = ('\0'..'\u{a0}').filter(|c| c.is_control()).collect();
        let shown = Escaped::new(&format!("{every_control}\u{202e}\u{200b}\u{2028}")).to_string();
        assert!(shown.bytes().all(|b| (0x20..0x7f).contains(&b)), "{shown}");
    }

    #[cfg(unix)]
    #[test]
    fn bytes_that_are_not_utf8_are_shown_in_hex() {
        use std::os::unix::ffi::OsStrExt;
        let name = OsStr::from_bytes(b"a\xff\xfeb");
        assert_eq!(Escaped::new(name).to_string(), r"a\xff\xfeb");
    }

    proptest! {
        #[test]
        fn no_name_puts_a_control_character_out(name in any::<OsString>()) {
            let shown = Escaped::new(&name).to_string();
            prop_assert!(!shown.contains(char::is_control), "{:?}", shown);
        }

        #[test]
        fn plain_text_is_shown_as_it_is(name in "[ -~]*") {
            prop_assert_eq!(Escaped::new(&name).to_string(), name);
        }
    }

    #[cfg(unix)]
    proptest! {
        #[test]
        fn no_bytes_put_a_control_character_out(
            name in prop_oneof![proptest::collection::vec(any::<u8>(), 0..64), ".*".prop_map(String::into_bytes)],
        ) {
            use std::os::unix::ffi::OsStrExt;
            let shown = Escaped::new(OsStr::from_bytes(&name)).to_string();
            prop_assert!(!shown.contains(char::is_control), "{:?}", shown);
        }
    }
}

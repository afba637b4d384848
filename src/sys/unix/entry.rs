//! Where the C library enters the program, whose module this is. Rust's runtime, which would be entered first, is left
//! out: it costs a twentieth of a whole run, and changes what `sys::begin` has to leave as it is.

use std::ffi::{CStr, OsStr, c_char, c_int};
use std::os::unix::ffi::OsStrExt;
#[cfg(target_os = "linux")]
use std::path::Path;

// SAFETY: this is the name that the C library calls, once, and there is no other of this name.
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
extern "C" fn main(count: c_int, words: *const *const c_char) -> c_int {
    gtlock::begin();
    let count = usize::try_from(count).unwrap_or(0);
    // SAFETY: the C library passes so many strings, which last as long as the process.
    #[allow(unsafe_code)]
    let words = (0..count).map(|i| unsafe { CStr::from_ptr(*words.add(i)) });
    let words = words.map(|word| OsStr::from_bytes(word.to_bytes()).to_owned());
    let words: Vec<_> = words.collect();
    #[cfg(target_os = "linux")]
    if words.first().is_some_and(|program| Path::new(program).file_stem() != Some(OsStr::new("gtlock"))) {
        // Whatever the file is called: those that run inside its locks know it by this name.
        let _ = nix::sys::prctl::set_name(c"gtlock");
    }
    super::obey(&words).finish()
}

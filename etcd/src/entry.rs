//! Where the C library enters the program. Rust's own `main` would run its runtime first, which changes state that
//! `gtlock::begin` has to preserve.

use std::ffi::{CStr, OsStr, OsString, c_char, c_int};
use std::os::unix::ffi::OsStrExt;

// SAFETY: the C library calls a function of this name once, and nothing else defines one.
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
extern "C" fn main(count: c_int, words: *const *const c_char) -> c_int {
    gtlock::begin();
    let count = usize::try_from(count).unwrap_or(0);
    // SAFETY: the C library passes `count` strings, which live as long as the process.
    #[allow(unsafe_code)]
    let words = (0..count).map(|i| unsafe { CStr::from_ptr(*words.add(i)) });
    let words = words.map(|word| OsStr::from_bytes(word.to_bytes()).to_owned());
    gtlock_etcd::obey(&words.collect::<Vec<OsString>>()).finish()
}

//! Where the C library enters the program. Rust's runtime, which would be entered first, changes what `gtlock::begin` has
//! to leave as it is.

use std::ffi::{CStr, OsStr, OsString, c_char, c_int};
use std::os::unix::ffi::OsStrExt;

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
    gtlock_etcd::obey(&words.collect::<Vec<OsString>>()).finish()
}

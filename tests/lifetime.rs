//! How long a lock lasts, and what the command inherits of it.
#![cfg(unix)]

mod common;

use common::{Holder, gtlock};

#[test]
fn a_lock_is_held_until_the_command_ends() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("state.json");
    let holder = Holder::writer(&data);
    gtlock().args(["try", "--read"]).arg(&data).assert().code(75);
    assert!(holder.release().success());
    gtlock().args(["try", "--write"]).arg(&data).assert().success().stdout("").stderr("");
}

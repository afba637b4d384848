//! Names of locks: any bytes, taken literally.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use crate::cluster::shared;
use crate::common::typed;

#[test]
fn a_name_may_have_any_bytes() {
    let Some(etcd) = shared() else { return };
    for name in
        [&b"a/b"[..], b"/abs/x", b"100%", b"a%2Fb", b"two\nlines", b"\xff\xfe", b"w", "état".as_bytes()]
    {
        let name = OsStr::from_bytes(name);
        let holder = typed(etcd, "run --write", name).hold();
        typed(etcd, "try --read", name).command(["true"]).end().code(75);
        typed(etcd, "try --read", "other").command(["true"]).end().code(0);
        assert_eq!(holder.release(), 0);
        typed(etcd, "try --write", name).command(["true"]).end().code(0);
    }
}

#[test]
fn names_are_not_paths() {
    let Some(etcd) = shared() else { return };
    let holder = typed(etcd, "run --write", "./path").hold();
    typed(etcd, "try --write", "path").command(["true"]).end().code(0);
    assert_eq!(holder.release(), 0);
    typed(etcd, "run --write", "").command(["true"]).end().code(125).stderr("--write needs a file");
}

#[test]
fn prefixes_are_apart() {
    let Some(etcd) = shared() else { return };
    let holder = typed(etcd, "run --write", "apart").hold();
    let mut other = typed(etcd, "try --write", "apart").command(["true"]);
    other.0.env("GTLOCK_AT", format!("{}/town", etcd.at()));
    other.end().code(0);
    assert_eq!(holder.release(), 0);
}

//! Encrypted connections and logins.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cluster::{Certificates, Cluster};
use crate::common::{skip, typed};

/// A certificate and its key, signed by itself or by the authority of this name.
fn certificate(dir: &Path, name: &str, authority: Option<&str>) -> Option<(PathBuf, PathBuf)> {
    let file = |end: &str| dir.join(format!("{name}.{end}"));
    let (cert, key, extensions) = (file("pem"), file("key"), file("ext"));
    fs::write(&extensions, "subjectAltName=IP:127.0.0.1\n").expect("it can be written");
    let mut openssl = Command::new("openssl");
    let subject = format!("/CN={name}");
    match authority {
        None => {
            let make = [
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-days",
                "2",
            ];
            openssl.args(make).args(["-subj", &subject]).arg("-keyout").arg(&key).arg("-out").arg(&cert);
        }
        Some(authority) => {
            let request = file("csr");
            let make =
                ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", &subject];
            let mut asks = Command::new("openssl");
            asks.args(make).arg("-keyout").arg(&key).arg("-out").arg(&request);
            asks.output().ok().filter(|output| output.status.success())?;
            openssl.args(["x509", "-req", "-days", "2", "-CAcreateserial", "-in"]).arg(&request);
            openssl.arg("-CA").arg(dir.join(format!("{authority}.pem")));
            openssl.arg("-CAkey").arg(dir.join(format!("{authority}.key")));
            openssl.arg("-extfile").arg(&extensions).arg("-out").arg(&cert);
        }
    }
    openssl.output().ok().filter(|output| output.status.success())?;
    Some((cert, key))
}

#[test]
fn connections_are_encrypted_and_both_ends_have_certificates() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let authority = certificate(dir.path(), "authority", None);
    let node = certificate(dir.path(), "node", Some("authority"));
    let other = certificate(dir.path(), "other", None);
    let (Some((ca, _)), Some((cert, key)), Some((other, _))) = (authority, node, other) else {
        return skip("encrypted connections", "no openssl");
    };
    let Some(etcd) = Cluster::encrypted(Certificates { ca: &ca, cert: &cert, key: &key }) else { return };
    let holder = typed(&etcd, "run --write", "encrypted").hold();
    typed(&etcd, "try --write", "encrypted").command(["true"]).end().code(75);
    assert_eq!(holder.release(), 0);
    let mut stranger = typed(&etcd, "try --write", "encrypted");
    stranger.0.env("GTLOCK_ETCD_CACERT", &other);
    stranger.end().code(125).stderr("etcd cannot be reached: 127.0.0.1:").stderr("certificate");
    let mut unknown = typed(&etcd, "try --write", "encrypted");
    unknown.0.env_remove("GTLOCK_ETCD_CERT").env_remove("GTLOCK_ETCD_KEY");
    unknown.end().code(125);
    let mut half = typed(&etcd, "try --write", "encrypted");
    half.0.env_remove("GTLOCK_ETCD_KEY");
    half.end().code(125).stderr("GTLOCK_ETCD_CERT and GTLOCK_ETCD_KEY go together");
}

#[test]
fn a_user_logs_in_with_a_password_and_needs_no_more_than_the_prefix() {
    let Some(etcd) = Cluster::alone(1) else { return };
    let dir = tempfile::tempdir().expect("a temporary directory");
    let password = dir.path().join("password");
    fs::write(&password, "secret\n").expect("it can be written");
    for step in [
        "user add root:root",
        "user grant-role root root",
        "role add locks",
        "role grant-permission locks --prefix=true readwrite /gtlock/",
        "user add ada:secret",
        "user grant-role ada locks",
    ] {
        // Some versions have no role root from the start.
        let done = etcd.ctl(&step.split(' ').collect::<Vec<_>>());
        if step == "user grant-role root root" && done.is_none() {
            etcd.ctl(&["role", "add", "root"]).expect("etcdctl adds it");
            etcd.ctl(&["user", "grant-role", "root", "root"]).expect("etcdctl grants it");
        } else {
            done.expect(step);
        }
    }
    etcd.ctl(&["auth", "enable"]).expect("etcdctl does it");
    let run = |options: &str, with: Option<&Path>| {
        let mut launch = typed(&etcd, options, "login");
        if let Some(password) = with {
            launch.0.env("GTLOCK_ETCD_USER", "ada").env("GTLOCK_ETCD_PASSWORD_FILE", password);
        }
        launch
    };
    run("run --write", None).command(["true"]).end().code(125).stderr("set GTLOCK_ETCD_USER");
    let mut holder = run("run --ttl 3s --write", Some(&password)).hold();
    run("try --write", Some(&password))
        .command(["true"])
        .end()
        .code(75)
        .stderr("login: busy: held for writing by ");
    // This voids all tokens. The keeper has to log in again, or it loses the lock.
    etcd.ctl(&["--user", "root:root", "user", "add", "eve:eve"]).expect("etcdctl adds her");
    std::thread::sleep(std::time::Duration::from_secs(4)); // longer than an unrenewed lease lasts
    holder.prove_held();
    assert_eq!(holder.release(), 0);
    fs::write(&password, "wrong\n").expect("it can be written");
    run("run --write", Some(&password)).command(["true"]).end().code(125).stderr("authentication failed");
    let mut elsewhere = run("run --write", Some(&password)).command(["true"]);
    fs::write(&password, "secret\n").expect("it can be written");
    elsewhere.0.env("GTLOCK_AT", format!("{}/other", etcd.at()));
    elsewhere.end().code(125).stderr("permission denied");
}

//! `gtlock report`, over logs that the tests write, and over those that `gtlock run --log` writes.

mod log;
mod numbers;
mod page;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::common::gtlock;

/// A line of a log: a lock on `/srv/NAME` by process 4123, held for a second at once, with other values for
/// some fields.
fn line(name: &str, changes: &Value) -> Value {
    let mut line = json!({
        "version": 1, "asked": "2026-11-24T18:00:00.000000Z", "got": "2026-11-24T18:00:00.000000Z",
        "released": "2026-11-24T18:00:01.000000Z", "waited": 0.0, "held": 1.0,
        "lock": format!("/srv/.gastown/locks/{name}.lock"), "data": format!("/srv/{name}"),
        "mode": "write", "pid": 4123, "label": null, "command": ["make", "test"], "exit": 0,
        "outcome": "released", "holder": null, "inside": [],
    });
    for (field, value) in changes.as_object().expect("an object") {
        line[field] = value.clone();
    }
    line
}

/// What a process that asked in vain leaves.
fn in_vain(name: &str, outcome: &str, waited: f64) -> Value {
    line(
        name,
        &json!({"got": null, "released": null, "held": null, "exit": null, "outcome": outcome, "waited": waited}),
    )
}

/// A line as gtlock writes it, with the version first.
fn text(line: &Value) -> String {
    let mut rest = line.clone();
    let version = rest.as_object_mut().and_then(|rest| rest.remove("version")).expect("a version");
    format!("{{\"version\":{version},{}", &rest.to_string()[1..])
}

/// Writes a log of such lines.
fn log(dir: &Path, lines: &[Value]) -> PathBuf {
    let path = dir.join("log");
    let text: String = lines.iter().map(|line| text(line) + "\n").collect();
    std::fs::write(&path, text).expect("it can be written");
    path
}

/// The document of `gtlock report --json`.
fn report(log: &Path, arguments: &[&str]) -> Value {
    let assert = gtlock().args(["report", "--json"]).args(arguments).arg(log).assert().success().stderr("");
    serde_json::from_slice(&assert.get_output().stdout).expect("JSON")
}

//! The numbers of the report, counted a second time.

use std::collections::BTreeMap;
use std::fs;

use serde_json::{Value, json};

use super::{in_vain, line, log, report, text};
use crate::common::{data, gtlock};
use crate::json::has_fields;

/// What one lock comes to, from all its lines.
#[derive(Default)]
struct Sums {
    acquired: u64,
    refused: u64,
    timed_out: u64,
    waits: Vec<f64>,
    holds: Vec<f64>,
    blamed: BTreeMap<String, f64>,
}

/// Asserts that the lengths of time are described rightly: sums and extremes to the microsecond, percentiles to 1 %.
fn describe(described: &Value, lengths: &[f64]) {
    let mut sorted = lengths.to_owned();
    sorted.sort_by(f64::total_cmp);
    let is_near = |field: &str, expected: f64, tolerance: f64| {
        let given = described[field].as_f64().expect("a number");
        assert!((given - expected).abs() <= tolerance, "{field}: {given} is not {expected}");
    };
    assert_eq!(described["count"], sorted.len(), "{described}");
    is_near("total", sorted.iter().sum(), 1e-5);
    is_near("longest", sorted.last().copied().unwrap_or_default(), 1e-6);
    for (field, percent) in [("median", 50), ("p95", 95), ("p99", 99)] {
        let place = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
        let expected = sorted.get(place).copied().unwrap_or_default();
        is_near(field, expected, expected * 0.01 + 2e-6);
    }
}

#[test]
fn every_number_is_that_of_an_independent_count() {
    let mut random = fastrand::Rng::with_seed(17);
    let mut sums: BTreeMap<String, Sums> = BTreeMap::new();
    let mut lines = Vec::new();
    for _ in 0..3000 {
        let name = format!("{}.json", random.u8(0..4));
        let sums = sums.entry(format!("/srv/{name}")).or_default();
        let micros = |random: &mut fastrand::Rng| f64::from(1 << random.u8(0..27)) * (1.0 + random.f64());
        let (waited, held) = (micros(&mut random).floor() / 1e6, micros(&mut random).floor() / 1e6);
        match random.u8(0..10) {
            0 => {
                sums.refused += 1;
                lines.push(in_vain(&name, "refused", waited));
            }
            1 => {
                sums.timed_out += 1;
                sums.waits.push(waited);
                lines.push(in_vain(&name, "timed-out", waited));
            }
            _ => {
                let who = format!("agent {}", random.u8(0..9));
                let holder = json!({"pid": 1, "label": who, "command": ["true"]});
                *sums.blamed.entry(who).or_default() += waited;
                sums.acquired += 1;
                sums.waits.push(waited);
                sums.holds.push(held);
                lines.push(line(&name, &json!({"waited": waited, "held": held, "holder": holder})));
            }
        }
    }
    let (dir, _) = data();
    let document = report(&log(dir.path(), &lines), &[]);
    assert_eq!(document["entries"], 3000);
    let locks = document["locks"].as_array().expect("a list");
    assert_eq!(locks.len(), sums.len());
    let total = |lock: &Value| lock["wait"]["total"].as_f64().expect("a number");
    assert!(locks.is_sorted_by(|a, b| total(a) >= total(b)), "the longest wait comes first");
    for lock in locks {
        let sums = &sums[lock["data"].as_str().expect("text")];
        assert_eq!(lock["acquired"], sums.acquired);
        assert_eq!((&lock["refused"], &lock["timed_out"]), (&json!(sums.refused), &json!(sums.timed_out)));
        describe(&lock["wait"], &sums.waits);
        describe(&lock["hold"], &sums.holds);
        let mut blamed: Vec<_> = sums.blamed.iter().collect();
        blamed.sort_by(|a, b| b.1.total_cmp(a.1));
        for (given, (who, seconds)) in lock["blamed"].as_array().expect("a list").iter().zip(blamed) {
            assert_eq!(given["who"], **who);
            assert!((given["seconds"].as_f64().expect("a number") - seconds).abs() < 1e-5, "{given}");
        }
    }
    let waits: Vec<f64> = sums.values().flat_map(|sums| sums.waits.iter().copied()).collect();
    let mut lower = 0.0;
    for bar in document["waits"].as_array().expect("a list") {
        let below = bar["below"].as_f64().unwrap_or(f64::MAX);
        let count = waits.iter().filter(|&&wait| (lower..below).contains(&wait)).count();
        assert_eq!(bar["count"], count, "from {lower} to {below}");
        lower = below;
    }
}

#[test]
fn the_document_is_as_documented() {
    let lock = |name: &str| json!([format!("/srv/.gastown/locks/{name}.lock")]);
    let holder = json!({"pid": 1, "label": null, "command": ["true"]});
    let lines = [
        line("a", &json!({"inside": lock("b"), "holder": holder})),
        line("b", &json!({"inside": lock("a")})),
    ];
    let (dir, _) = data();
    let document = report(&log(dir.path(), &lines), &[]);
    let fields = ["version", "entries", "skipped", "unlisted", "from", "to", "waits", "locks", "cycles"];
    has_fields(&document, &fields);
    has_fields(&document["skipped"], &["torn", "other_version", "foreign"]);
    has_fields(&document["waits"][0], &["below", "count"]);
    let lock = &document["locks"][0];
    let numbers = ["acquired", "refused", "timed_out", "ended", "utilisation"];
    has_fields(lock, &[&["lock", "data", "wait", "hold", "blamed"][..], &numbers].concat());
    assert!(numbers.iter().all(|field| lock[field].is_number()), "{lock}");
    for lengths in [&lock["wait"], &lock["hold"]] {
        has_fields(lengths, &["count", "total", "median", "p95", "p99", "longest"]);
    }
    has_fields(&lock["blamed"][0], &["who", "seconds"]);
    has_fields(&document["cycles"][0][0], &["data", "inside", "by", "times", "last"]);
}

#[test]
fn usage_is_how_many_held_the_lock_on_average() {
    let at = |second: u32| format!("2026-11-24T18:00:{second:02}.000000Z");
    let lines = [
        line("a", &json!({"asked": at(0), "held": 4.0})),
        line("a", &json!({"asked": at(8), "waited": 1.0, "held": 1.0})),
        line("b", &json!({"asked": at(0), "held": 10.0, "mode": "read"})),
        line("b", &json!({"asked": at(0), "held": 10.0, "mode": "read"})),
    ];
    let (dir, _) = data();
    let document = report(&log(dir.path(), &lines), &[]);
    assert_eq!(document["locks"][0]["utilisation"], 0.5, "5 of 10 seconds");
    assert_eq!(document["locks"][1]["utilisation"], 2.0, "two readers all the time");
    assert_eq!((&document["from"], &document["to"]), (&json!(at(0)), &json!(at(10))));
}

#[test]
fn lines_that_are_no_entries_are_counted_and_passed_over() {
    let good = text(&line("a", &json!({})));
    let torn = &good[..60];
    let endless = good.replace("make", &"M".repeat(3_000_000));
    let text = format!(
        "{good}\n{{\"version\":2,\"asked\":0}}\nhello\n\n[]\n{torn}{good}\n\u{fffd}\n{endless}\n{good}\r\n{torn}"
    );
    let (dir, _) = data();
    let log = dir.path().join("log");
    fs::write(&log, text.replace('\u{fffd}', "\0")).expect("it can be written");
    let document = report(&log, &[]);
    assert_eq!(document["skipped"], json!({"torn": 2, "other_version": 1, "foreign": 4}));
    assert_eq!(document["entries"], 3);
    let assert = gtlock().arg("report").arg(&log).assert().success();
    let table = String::from_utf8_lossy(&assert.get_output().stdout).into_owned();
    assert!(table.contains("; lines skipped: 2 torn, 1 from another version, 4 not entries\n"), "{table}");
}

#[test]
fn since_and_lock_narrow_the_report() {
    let at = |day: u32| json!({"asked": format!("2026-11-{day:02}T12:00:00.000000Z")});
    let lines = [line("a", &at(1)), line("a", &at(3)), line("b", &at(5))];
    let (dir, _) = data();
    let log = log(dir.path(), &lines);
    let count = |arguments: &[&str]| report(&log, arguments)["entries"].clone();
    assert_eq!(count(&[]), 3);
    assert_eq!(count(&["--since", "2026-11-02"]), 2);
    assert_eq!(count(&["--since", "2026-11-03 12:00:02"]), 1, "what ended before does not count");
    assert_eq!(count(&["--since", "2026-11-03T12:00:01Z"]), 2);
    assert_eq!(count(&["--since", "0"]), 0, "or that was before now");
    assert_eq!(count(&["--lock", "/srv/a"]), 2);
    assert_eq!(count(&["--lock", "b"]), 1);
    assert_eq!(count(&["--lock", "/srv/.gastown/locks/b.lock", "--lock", "a"]), 3);
    let mut other = gtlock();
    other.args(["report", "--json", "--lock", "/b"]).arg(&log);
    let other = other.assert().success().stderr("gtlock: /b: nothing about its lock is in the log\n");
    let document: Value = serde_json::from_slice(&other.get_output().stdout).expect("JSON");
    assert_eq!(document["entries"], 0);
    let refused = gtlock().args(["report", "--since", "yesterday", "log"]).assert().code(125);
    refused.stderr(predicates::str::contains("give a time ago like 2h or 7days, or a date like 2026-11-24"));
    for date in ["2026-02-30", "2026-13-01", "2026-11-24 25:00:00"] {
        let refused = gtlock().args(["report", "--since", date, "log"]).assert().code(125);
        refused.stderr(predicates::str::contains(": there is no such date; give "));
    }
}

#[test]
fn a_log_that_is_compressed_is_answered_with_what_reads_it() {
    let (dir, _) = data();
    let log = log(dir.path(), &[line("a", &json!({}))]);
    let Ok(gzip) = crate::common::process("gzip").arg("-k").arg(&log).output() else { return };
    assert!(gzip.status.success());
    let compressed = dir.path().join("log.gz");
    let hint = format!("is compressed; use zcat {} | gtlock report -\n", compressed.display());
    gtlock().arg("report").arg(&compressed).assert().code(125).stderr(predicates::str::contains(hint));
}

#[test]
fn locks_taken_in_a_ring_are_reported_with_their_commands() {
    let inside = |name: &str| json!([format!("/srv/.gastown/locks/{name}.lock")]);
    let lines = [
        line("b", &json!({"inside": inside("a"), "command": ["./deploy.sh", "--now"]})),
        line("a", &json!({"inside": inside("b"), "command": ["./backup.sh"], "label": "night"})),
        line("c", &json!({"inside": inside("b"), "command": ["true"]})),
    ];
    let (dir, _) = data();
    let document = report(&log(dir.path(), &lines), &[]);
    let cycles = document["cycles"].as_array().expect("a list");
    assert_eq!(cycles.len(), 1, "{document}");
    let step = |step: &Value| [step["data"].clone(), step["inside"].clone(), step["by"].clone()];
    let steps: Vec<_> = cycles[0].as_array().expect("a list").iter().map(step).collect();
    let expected = [["/srv/a", "/srv/b", "night: ./backup.sh"], ["/srv/b", "/srv/a", "./deploy.sh --now"]];
    assert_eq!(steps, expected);
    let document = report(&log(dir.path(), &lines[..1]), &[]);
    assert_eq!(document["cycles"], json!([]));
}

#[test]
fn what_cannot_be_read_is_reported_and_the_rest_is_shown() {
    let (dir, _) = data();
    let log = log(dir.path(), &[line("a", &json!({}))]);
    let missing = dir.path().join("missing");
    let assert = gtlock().args(["report", "--json"]).args([&missing, &log]).assert().code(125);
    let document: Value = serde_json::from_slice(&assert.get_output().stdout).expect("JSON");
    assert_eq!(document["entries"], 1);
    let said = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
    assert!(said.starts_with(&format!("gtlock: {}: ", missing.display())), "{said}");
    let named = "gtlock: no log named; give LOG, or set GTLOCK_LOG (see gtlock report --help)\n";
    gtlock().arg("report").assert().code(125).stdout("").stderr(named);
    let table = gtlock().arg("report").env("GTLOCK_LOG", &log).assert().success();
    let piped = gtlock().args(["report", "-"]).write_stdin(fs::read(&log).expect("it can be read")).assert();
    assert_eq!(table.get_output().stdout, piped.success().get_output().stdout);
}

#[test]
fn a_log_that_is_named_twice_counts_once() {
    let (dir, _) = data();
    let log = log(dir.path(), &[line("a", &json!({}))]);
    let (linked, link) = (dir.path().join("linked"), dir.path().join("link"));
    fs::hard_link(&log, &linked).expect("it can be made");
    std::os::unix::fs::symlink(&log, &link).expect("it can be made");
    let assert = gtlock().args(["report", "--json"]).args([&log, &linked, &link, &log]).assert().success();
    let document: Value = serde_json::from_slice(&assert.get_output().stdout).expect("JSON");
    assert_eq!(document["entries"], 1);
}

#[test]
fn a_lock_that_the_log_does_not_know_is_mentioned() {
    let (dir, _) = data();
    let log = log(dir.path(), &[line("a", &json!({}))]);
    let report = gtlock().arg("report").arg(&log).args(["--lock=a", "--lock=b", "--lock=c/d"]).assert();
    let unknown = |name: &str| format!("gtlock: {name}: nothing about its lock is in the log\n");
    report.success().stderr(unknown("b") + &unknown("c/d"));
}

#[test]
fn more_locks_than_are_listed_are_counted() {
    let lines: Vec<Value> = (0..10_003).map(|number| line(&format!("{number}"), &json!({}))).collect();
    let (dir, _) = data();
    let document = report(&log(dir.path(), &lines), &[]);
    assert_eq!(document["locks"].as_array().map(Vec::len), Some(10_000));
    assert_eq!((&document["entries"], &document["unlisted"]), (&json!(10_003), &json!(3)));
}

//! The schema of `--json`, as `docs/json.md` describes it: each field, its type and its values.
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::common::{
    Holder, assert_free, data, end_of, gtlock, gtlock_process, lock_file, typed, waits_in_kernel,
};
use serde_json::{Value, json};

/// A `--json` document, from a directory.
fn document(dir: &Path, arguments: &[&str], code: i32) -> Value {
    let assert = gtlock().args(arguments).arg("--json").current_dir(dir).assert().code(code);
    serde_json::from_slice(&assert.get_output().stdout).expect("JSON")
}

/// Asserts that an object has these fields and no others.
pub fn has_fields(object: &Value, fields: &[&str]) {
    let there: BTreeSet<&str> = object.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(there, fields.iter().copied().collect(), "{object}");
}

/// Asserts that a list holds nothing but text.
fn is_text(list: &Value) {
    assert!(list.as_array().expect("a list").iter().all(Value::is_string), "{list}");
}

/// Asserts that a value is one of these.
fn is_one_of(value: &Value, allowed: &[Value]) {
    assert!(allowed.contains(value), "{value} is none of {allowed:?}");
}

/// Asserts that a process is as described.
fn is_process(process: &Value, is_holder: bool) {
    if is_holder {
        has_fields(process, &["pid", "alive", "command", "label", "evidence"]);
        is_one_of(&process["evidence"], &[json!("record"), json!("descriptor")]);
    } else {
        has_fields(process, &["pid", "alive", "command", "label"]);
    }
    assert!(process["pid"].as_u64().is_some_and(|pid| pid > 0 && u32::try_from(pid).is_ok()), "{process}");
    assert!(process["alive"].is_boolean(), "{process}");
    assert!(process["label"].is_null() || process["label"].is_string(), "{process}");
    match &process["command"] {
        Value::Null => {}
        command => is_text(command),
    }
}

/// Asserts that a document of `status --json` is as described.
fn is_status(document: &Value) {
    has_fields(document, &["version", "locks", "errors"]);
    assert_eq!(document["version"], 1);
    is_text(&document["errors"]);
    let locks = document["locks"].as_array().expect("a list");
    for lock in locks {
        has_fields(lock, &["lock", "state", "mode", "since", "seconds", "holders", "waiters"]);
        assert!(lock["lock"].is_string(), "{lock}");
        is_one_of(&lock["state"], &[json!("held"), json!("stale"), json!("free")]);
        let modes: &[Value] =
            if lock["state"] == "held" { &[json!("read"), json!("write")] } else { &[Value::Null] };
        is_one_of(&lock["mode"], modes);
        assert_eq!(lock["since"].is_null(), lock["seconds"].is_null(), "{lock}");
        if let Some(since) = lock["since"].as_str() {
            let form = "0000-00-00T00:00:00.000Z";
            let digits = since.replace(|c: char| c.is_ascii_digit(), "0");
            assert_eq!(digits, form, "{lock}");
            assert!(lock["seconds"].as_f64().is_some_and(|seconds| seconds >= 0.0), "{lock}");
        }
        lock["holders"].as_array().expect("a list").iter().for_each(|holder| is_process(holder, true));
        lock["waiters"].as_array().expect("a list").iter().for_each(|waiter| is_process(waiter, false));
    }
    let paths: Vec<&str> = locks.iter().map(|lock| lock["lock"].as_str().expect("text")).collect();
    assert!(paths.is_sorted(), "{paths:?}");
}

/// The number of a process that is gone.
fn dead_pid() -> u32 {
    let mut gone = Command::new("true").spawn().expect("true runs");
    end_of(&mut gone);
    gone.id()
}

#[test]
fn held_stale_and_free_locks_are_as_documented() {
    let (dir, held) = data();
    let [stale, shared, free] = ["a.json", "b.json", "z.json"].map(|name| dir.path().join(name));
    let _writer = Holder::writer(&held);
    let readers = [Holder::reader(&shared), Holder::reader(&shared)];
    for data in [&stale, &free] {
        assert_free(data);
    }
    let dead = dead_pid();
    fs::write(lock_file(&stale), format!("{dead}\n")).expect("it can be written");

    let document = document(dir.path(), &["status"], 0);
    is_status(&document);
    let summary: Vec<Value> = document["locks"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|lock| json!([lock["lock"], lock["state"], lock["mode"], lock["since"].is_string()]))
        .collect();
    let path = |name: &str| format!(".gastown/locks/{name}.json.lock");
    let expected = json!([
        [path("a"), "stale", null, true],
        [path("b"), "held", "read", false], // of several readers it is not known which came when
        [path("state"), "held", "write", true],
        [path("z"), "free", null, false],
    ]);
    assert_eq!(Value::from(summary), expected);
    let locks = &document["locks"];
    let left = json!([{"pid": dead, "alive": false, "command": null, "label": null, "evidence": "record"}]);
    assert_eq!(locks[0]["holders"], left);
    let mut pids: Vec<u64> = readers.iter().map(|reader| reader.pid().into()).collect();
    let holders = locks[1]["holders"].as_array().expect("a list");
    let mut shown: Vec<u64> =
        holders.iter().map(|holder| holder["pid"].as_u64().expect("a number")).collect();
    pids.sort_unstable();
    shown.sort_unstable();
    assert_eq!(shown, pids);
    assert_eq!(locks[3]["holders"], json!([]));
}

#[test]
fn waiters_are_those_in_line_for_the_lock() {
    let (dir, data) = data();
    let reader = Holder::reader(&data);
    let waiting = |mode: &str| {
        let mut gtlock = gtlock_process();
        gtlock.args(["run", "-q", mode]).arg(&data).args(["--", "true"]);
        let gtlock = gtlock.stderr(Stdio::null()).spawn().expect("it starts");
        waits_in_kernel(gtlock.id(), &data);
        gtlock
    };
    let mut waiters = [waiting("--write"), waiting("--read")];
    let document = document(dir.path(), &["status"], 0);
    is_status(&document);
    assert_eq!(document["locks"].as_array().map(Vec::len), Some(1));
    let shown = document["locks"][0]["waiters"].as_array().expect("a list");
    let pids: Vec<Value> = shown.iter().map(|waiter| waiter["pid"].clone()).collect();
    assert_eq!(pids, [json!(waiters[0].id()), json!(waiters[1].id())]);
    assert!(shown.iter().all(|waiter| waiter["alive"] == true && waiter["command"].is_array()), "{shown:?}");
    assert!(reader.release().success());
    for waiter in &mut waiters {
        assert!(end_of(waiter).success());
    }
}

#[test]
fn a_lock_on_a_file_itself_has_holders_known_by_their_descriptors() {
    let (dir, data) = data();
    let holder = typed("run -o --direct --write", &data).hold();
    let document = document(dir.path(), &["status", "--direct", "state.json", "other"], 0);
    is_status(&document);
    let locks = document["locks"].as_array().expect("a list");
    let states: Vec<&Value> = locks.iter().map(|lock| &lock["state"]).collect();
    assert_eq!(states, ["free", "held"]);
    assert_eq!(locks[1]["lock"], json!(data.canonicalize().expect("it is there")));
    assert_eq!(locks[1]["since"], Value::Null, "nobody writes it down");
    assert_eq!(
        (&locks[1]["holders"][0]["pid"], locks[1]["holders"].as_array().map(Vec::len)),
        (&json!(holder.pid()), Some(1))
    );
    assert_eq!(locks[1]["holders"][0]["evidence"], "descriptor");
}

#[test]
fn locks_come_in_the_order_of_their_paths_and_each_once() {
    let (dir, _) = data();
    for name in ["b/x", "a/z", "a/a", "c/x"] {
        let data = dir.path().join(name);
        fs::create_dir_all(data.parent().expect("a directory")).expect("it can be made");
        assert_free(&data);
    }
    let paths = |arguments: &[&str]| -> Vec<String> {
        let document = document(dir.path(), arguments, 0);
        is_status(&document);
        let locks = document["locks"].as_array().expect("a list");
        let path = |lock: &Value| {
            let path = lock["lock"].as_str().expect("text");
            let end = path.strip_suffix(".lock").expect("a lock file").replace("/.gastown/locks", "");
            end.rsplitn(3, '/').take(2).collect::<Vec<_>>().join(" in ")
        };
        locks.iter().map(path).collect()
    };
    let all = ["a in a", "z in a", "x in b", "x in c"];
    assert_eq!(paths(&["status", "-R"]), all);
    assert_eq!(paths(&["status", "c", "b", "a"]), all);
    assert_eq!(paths(&["status", "-R", "c", "a", "b", "a"]), all);
    assert_eq!(paths(&["status", "c/x", "b/x", "a/z", "a/a", "c/x"]), all);
    let clean = document(dir.path(), &["clean", "-n", "-R", "c", "b", "a", "c"], 0);
    let removed: Vec<&str> =
        clean["removed"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    assert!(removed.len() == 4 && removed.is_sorted(), "{removed:?}");
}

#[test]
fn what_could_not_be_examined_is_in_the_errors_too() {
    let (dir, data) = data();
    assert_free(&data);
    fs::write(lock_file(&data), "no record").expect("it can be written");
    let assert = gtlock().args(["status", "--json"]).current_dir(&dir).assert().code(125);
    let document: Value = serde_json::from_slice(&assert.get_output().stdout).expect("JSON");
    is_status(&document);
    assert_eq!(document["locks"], json!([]));
    let said = String::from_utf8_lossy(&assert.get_output().stderr);
    assert_eq!(format!("gtlock: {}\n", document["errors"][0].as_str().expect("text")), said);
}

#[test]
fn the_document_of_clean_is_as_documented() {
    let (dir, held) = data();
    let _holder = Holder::writer(&held);
    assert_free(&dir.path().join("a"));
    fs::write(lock_file(&dir.path().join("b")), "no record").expect("it can be written");
    for (arguments, dry_run) in
        [(&["clean", "-n", ".gastown/locks", "."][..], true), (&["clean", "-R"], false)]
    {
        let document = document(dir.path(), arguments, if dry_run { 125 } else { 0 });
        has_fields(&document, &["version", "dry_run", "removed", "kept", "errors"]);
        assert_eq!((&document["version"], &document["dry_run"]), (&json!(1), &json!(dry_run)));
        is_text(&document["removed"]);
        is_text(&document["errors"]);
        let kept = document["kept"].as_array().expect("a list");
        for kept in kept {
            has_fields(kept, &["lock", "reason"]);
        }
        let reasons: Vec<&Value> = kept.iter().map(|kept| &kept["reason"]).collect();
        assert_eq!(reasons, ["not a lock file", "held"]);
        assert_eq!(document["removed"].as_array().map(Vec::len), Some(1));
        assert_eq!(document["errors"].as_array().map(Vec::len), Some(usize::from(dry_run)));
    }
}

#[test]
fn nothing_there_is_an_empty_document() {
    let (dir, _) = data();
    for arguments in [&["status"][..], &["status", "-R"], &["status", "-R", "missing"]] {
        let nothing = json!({"version": 1, "locks": [], "errors": []});
        assert_eq!(document(dir.path(), arguments, 0), nothing);
    }
    for arguments in [&["clean"][..], &["clean", "-R"], &["clean", "-R", "missing"]] {
        let nothing = json!({"version": 1, "dry_run": false, "removed": [], "kept": [], "errors": []});
        assert_eq!(document(dir.path(), arguments, 0), nothing);
    }
}

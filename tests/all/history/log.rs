//! The lines that `gtlock run --log` and `gtlock try --log` write.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Value, json};

use super::report;
use crate::common::{
    Holder, assert_free, data, end_of, eventually, gtlock, gtlock_process, lock_file, process, shell, typed,
};
use crate::json::has_fields;

/// The lines of a log.
fn lines(log: &Path) -> Vec<Value> {
    let text = fs::read_to_string(log).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// Asserts that a line is as `docs/json.md` describes it.
fn is_line(line: &Value) {
    let times = ["asked", "got", "released", "waited", "held"];
    let rest = ["lock", "data", "mode", "pid", "label", "command", "exit", "outcome", "holder", "inside"];
    let slots: &[_] = if line["slots"].is_array() { &["slots"] } else { &[] };
    has_fields(line, &[&["version"][..], &times, &rest, slots].concat());
    assert_eq!(line["version"], 1);
    for moment in ["asked", "got", "released"].map(|field| &line[field]) {
        let digits = moment.as_str().map(|moment| moment.replace(|c: char| c.is_ascii_digit(), "0"));
        assert!(digits.is_none_or(|digits| digits == "0000-00-00T00:00:00.000000Z"), "{line}");
    }
    assert!(line["asked"].is_string() && line["waited"].is_number(), "{line}");
    let is_acquired = ["released", "ended", "kept"].map(|outcome| line["outcome"] == outcome);
    assert_eq!(line["got"].is_string(), is_acquired.contains(&true), "{line}");
    assert_eq!(line["released"].is_string(), line["held"].is_number(), "{line}");
    assert!(line["held"].is_number() || line["outcome"] != "released", "{line}");
    assert!(line["mode"] == "read" || line["mode"] == "write", "{line}");
    if line["holder"].is_object() {
        has_fields(&line["holder"], &["pid", "label", "command"]);
    }
    for path in line["inside"].as_array().expect("a list") {
        assert!(path.as_str().is_some_and(|path| path.starts_with('/')), "{line}");
    }
}

/// The only line of a log.
fn only_line(log: &Path) -> Value {
    let mut lines = lines(log);
    assert_eq!(lines.len(), 1, "{lines:?}");
    is_line(&lines[0]);
    lines.remove(0)
}

#[test]
fn a_line_names_the_slots_that_were_got() {
    let (dir, data, log) = logged();
    let mut run = gtlock();
    run.args(["run", "--slots=4", "--take=2", "--read"]).arg(&data).arg("--log").arg(&log);
    run.args(["--", "true"]).assert().success();
    assert_eq!(only_line(&log)["slots"], json!([1, 2]));
    let trace = dir.path().join("trace.json");
    gtlock().arg("report").arg(&log).arg("--trace").arg(&trace).assert().success();
    let trace: Value = serde_json::from_slice(&fs::read(trace).expect("it is there")).expect("JSON");
    let events = trace["traceEvents"].as_array().expect("a list");
    let hold = events.iter().find(|event| event["cat"] == "hold").expect("it was held");
    assert_eq!(hold["args"]["slots"], json!([1, 2]));
    fs::remove_file(&log).expect("it is there");
    let _all = typed("run --slots=4 --take=4 --read", &data).hold();
    let mut refused = gtlock();
    refused.args(["try", "-q", "--slots=4", "--read"]).arg(&data).arg("--log").arg(&log);
    refused.args(["--", "true"]).assert().code(75);
    assert_eq!(only_line(&log).get("slots"), None);
}

/// A directory, a data file in it, and a log.
fn logged() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let (dir, data) = data();
    let log = dir.path().join("log");
    (dir, data, log)
}

#[test]
fn a_lock_that_is_released_leaves_a_line() {
    let (dir, data, log) = logged();
    let mut gtlock = gtlock_process();
    let gtlock = gtlock.args(["run", "--log", "log", "--write", "state.json", "--", "sh", "-c", "exit 3"]);
    let mut gtlock = gtlock.current_dir(&dir).spawn().expect("it starts");
    assert_eq!(end_of(&mut gtlock).code(), Some(3));
    let line = only_line(&log);
    assert_eq!((&line["outcome"], &line["exit"]), (&json!("released"), &json!(3)));
    assert_eq!((&line["pid"], &line["mode"]), (&json!(gtlock.id()), &json!("write")));
    assert_eq!(line["command"], json!(["sh", "-c", "exit 3"]));
    assert_eq!((&line["data"], &line["lock"]), (&json!(data), &json!(lock_file(&data))));
    assert_eq!((&line["holder"], &line["inside"]), (&Value::Null, &json!([])));
}

#[test]
fn a_refusal_and_a_timeout_leave_lines_that_name_the_holder() {
    let (_dir, data, log) = logged();
    let holder = Holder::writer(&data);
    for (arguments, outcome) in [(&["try"][..], "refused"), (&["run", "--timeout", "0.2"], "timed-out")] {
        // It is not waited for long to be found.
        eventually("the holder is named", || {
            let _ = fs::remove_file(&log);
            gtlock()
                .args(arguments)
                .arg("--log")
                .arg(&log)
                .arg("--read")
                .arg(&data)
                .args(["--", "true"])
                .assert()
                .code(75);
            let line = only_line(&log);
            assert_eq!(
                (&line["outcome"], &line["exit"], &line["got"]),
                (&json!(outcome), &Value::Null, &Value::Null)
            );
            let waited = line["waited"].as_f64().expect("a number");
            assert!(outcome == "refused" || waited >= 0.2, "{line}");
            let holder = json!({"pid": holder.pid(), "label": null, "command": ["cat"]});
            line["holder"] == holder
        });
    }
    drop(holder);
}

#[test]
fn labels_are_in_the_line_and_come_before_commands_in_the_report() {
    let (_dir, data, log) = logged();
    let holder = typed("run --label nightly --write", &data).hold();
    eventually("the holder is named", || {
        let _ = fs::remove_file(&log);
        let mut gtlock = gtlock();
        gtlock
            .args(["run", "--timeout", "0.1", "--label", "agent 7", "--log"])
            .arg(&log)
            .arg("--read")
            .arg(&data);
        gtlock.args(["--", "true"]).assert().code(75);
        let line = only_line(&log);
        assert_eq!((&line["label"], &line["command"]), (&json!("agent 7"), &json!(["true"])));
        line["holder"]["label"] == "nightly"
    });
    assert_eq!(report(&log, &[])["locks"][0]["blamed"][0]["who"], "nightly");
    drop(holder);
}

#[test]
fn a_lock_whose_end_gtlock_does_not_see_is_kept() {
    let (dir, data, log) = logged();
    let kept = |script: &str| {
        let status =
            shell(script, &data).current_dir(&dir).env("GTLOCK_LOG", &log).stderr(Stdio::null()).status();
        status.expect("sh runs");
        let line = only_line(&log);
        fs::remove_file(&log).expect("it is there");
        assert_eq!(line["outcome"], "kept", "{script}");
        line
    };
    kept(r#"gtlock run -F --write "$1" -- true"#);
    let line =
        kept(r#"gtlock run --write "$1" -- sh -c 'sleep 60 & echo $! > left; kill -9 $$'; kill $(cat left)"#);
    assert_eq!(line["exit"], 137);
    assert!(line["held"].is_number(), "gtlock held it so long");
    let line = kept("exec 9> descriptor; gtlock run --write-fd 9");
    assert_eq!(line["lock"], json!(dir.path().join("descriptor")));
}

#[cfg(target_os = "linux")]
#[test]
fn the_lock_of_a_command_that_was_cut_off_and_left_nothing_is_released() {
    let (_dir, data, log) = logged();
    let mut cut_off = gtlock();
    cut_off.args(["run", "-q", "--log"]).arg(&log).arg("--write").arg(&data);
    cut_off.args(["--", "sh", "-c", "kill -9 $$"]).assert().interrupted();
    let line = only_line(&log);
    assert_eq!((&line["outcome"], &line["exit"]), (&json!("released"), &json!(137)));
}

#[test]
fn what_is_locked_is_not_written_to_as_a_log() {
    let (dir, data) = data();
    fs::write(&data, "mine\n").expect("it can be written");
    assert_free(&data);
    let linked = dir.path().join("linked");
    fs::hard_link(&data, &linked).expect("it can be made");
    let lock = crate::common::lock_file(&data);
    let beside = lock.with_file_name("any.lock");
    for subcommand in ["run", "try"] {
        for log in [&data, &linked, &lock, &beside] {
            let mut gtlock = gtlock();
            gtlock.arg(subcommand).arg("--log").arg(log).arg("--write").arg(&data);
            let said = predicates::str::contains(": is not written to as a log: ").count(1);
            let why = predicates::str::ends_with(" or a lock file\n");
            gtlock.args(["--", "sh", "-c", "exit 3"]).assert().code(3).stderr(said).stderr(why);
            assert_free(&data);
        }
    }
    assert_eq!(fs::read_to_string(&data).expect("it is there"), "mine\n");
    assert!(!beside.exists());
    let fresh = dir.path().join("fresh");
    gtlock()
        .args(["run", "--log"])
        .arg(&fresh)
        .arg("--write")
        .arg(&fresh)
        .args(["--", "true"])
        .assert()
        .success();
    assert!(!fresh.exists());
}

#[test]
fn a_command_that_a_limit_ended_is_told_apart() {
    let (_dir, data, log) = logged();
    let mut gtlock = gtlock();
    gtlock.args(["run", "-q", "--max-hold", "0.1", "--log"]).arg(&log).arg("--write").arg(&data);
    gtlock.args(["--", "sleep", "60"]).assert().code(124);
    let line = only_line(&log);
    assert_eq!((&line["outcome"], &line["exit"]), (&json!("ended"), &json!(124)));
    assert!(line["held"].as_f64().expect("a number") >= 0.1, "{line}");
    assert_eq!(report(&log, &[])["locks"][0]["ended"], 1);
}

#[test]
fn locks_inside_others_name_them_and_a_ring_is_found() {
    let (dir, data, log) = logged();
    let nested = r#"gtlock run --write "$1" -- gtlock run --write "$2" -- true;
        gtlock run --write "$2" -- gtlock run --read "$1" -- echo"#;
    let other = dir.path().join("other");
    let mut shell = shell(nested, &data);
    assert!(
        shell.arg(&other).env("GTLOCK_LOG", &log).stdout(Stdio::null()).status().expect("sh runs").success()
    );
    let insides: Vec<Value> = lines(&log).iter().map(|line| line["inside"].clone()).collect();
    let [inside_data, inside_other] = [&data, &other].map(|data| json!([lock_file(data)]));
    assert_eq!(insides, [inside_data, json!([]), inside_other, json!([])]);
    let ring = report(&log, &[])["cycles"][0].clone();
    let commands: Vec<&Value> = ring.as_array().expect("a ring").iter().map(|step| &step["by"]).collect();
    assert_eq!(commands, ["true", "echo"].map(|command| json!(command)).iter().collect::<Vec<_>>());
    let both = gtlock()
        .args(["run", "--write"])
        .arg(&data)
        .arg("--read")
        .arg(&other)
        .arg("--log")
        .arg(&log)
        .args(["--", "true"])
        .assert();
    both.success();
    let insides: Vec<usize> =
        lines(&log)[4..].iter().map(|line| line["inside"].as_array().map_or(9, Vec::len)).collect();
    assert_eq!(insides, [0, 1], "the second was taken while the first was held");
}

#[test]
fn a_log_that_cannot_be_written_costs_one_line_and_nothing_else() {
    let (dir, data) = data();
    let fifo = dir.path().join("fifo");
    let full = dir.path().join("full");
    for fifo in [&fifo, &full] {
        assert!(process("mkfifo").arg(fifo).status().expect("mkfifo runs").success());
    }
    // Nobody reads the one, and nobody empties the other.
    let _reader = File::options().read(true).custom_flags(0o4000).open(&full).expect("it opens");
    let mut writer = File::options().write(true).custom_flags(0o4000).open(&full).expect("it opens");
    while writer.write(&[b' '; 4096]).is_ok() {}
    let logs = [fifo, full, dir.path().to_owned(), dir.path().join("missing/log"), "/dev/full".into()];
    for log in logs {
        let gtlock = gtlock()
            .args(["run", "--log"])
            .arg(&log)
            .arg("--write")
            .arg(&data)
            .args(["--", "sh", "-c", "exit 3"])
            .assert();
        let said = String::from_utf8_lossy(&gtlock.get_output().stderr).into_owned();
        gtlock.code(3).stdout("");
        assert!(said.starts_with(&format!("gtlock: {}: cannot write to the log: ", log.display())), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert_free(&data);
    }
    let limited = r#"head -c 4096 /dev/zero > "$1.log"; ulimit -f 1; gtlock run --log "$1.log" --write "$1" -- sh -c 'exit 3'"#;
    let limited = shell(limited, &data).stderr(Stdio::piped()).output().expect("sh runs");
    assert_eq!(limited.status.code(), Some(3), "{limited:?}");
    assert!(String::from_utf8_lossy(&limited.stderr).contains("cannot write to the log: "), "{limited:?}");
}

#[test]
fn lines_of_many_writers_never_mix_while_the_log_is_rotated() {
    let (dir, data, log) = logged();
    let script = r#"for _ in 1 2 3 4 5 6 7 8 9 10; do gtlock run --read "$1" -- true "$2"; done"#;
    let padding = "x".repeat(3000);
    let mut writers: Vec<_> = (0..8)
        .map(|_| shell(script, &data).arg(&padding).env("GTLOCK_LOG", &log).spawn().expect("sh runs"))
        .collect();
    let mut rotated = Vec::new();
    while writers.iter_mut().any(|writer| writer.try_wait().expect("it is ours").is_none()) {
        let name = dir.path().join(format!("log.{}", rotated.len()));
        if fs::rename(&log, &name).is_ok() {
            rotated.push(name);
        }
    }
    rotated.push(log);
    let lines: Vec<Value> = rotated.iter().flat_map(|log| lines(log)).collect();
    lines.iter().for_each(is_line);
    assert_eq!(lines.len(), 80);
    assert!(lines.iter().all(|line| line["command"] == json!(["true", padding])));
}

#[test]
fn a_log_that_is_cut_short_goes_on_at_its_start() {
    let (_dir, data, log) = logged();
    let lock = || {
        gtlock()
            .args(["run", "--log"])
            .arg(&log)
            .arg("--write")
            .arg(&data)
            .args(["--", "true"])
            .assert()
            .success()
    };
    lock();
    File::create(&log).expect("it is there");
    lock();
    only_line(&log);
}

#[test]
fn the_option_comes_before_the_variable_and_an_empty_one_is_none() {
    let (dir, data, log) = logged();
    let run = |option: &[&Path], variable: &Path| {
        let mut gtlock = gtlock();
        gtlock
            .arg("run")
            .args(option.iter().flat_map(|log| [Path::new("--log"), log]))
            .arg("--write")
            .arg(&data);
        gtlock.args(["--", "true"]).env("GTLOCK_LOG", variable).assert().success().stderr("");
    };
    let other = dir.path().join("other");
    run(&[&log], &other);
    assert!(!other.exists());
    run(&[], &other);
    run(&[], Path::new(""));
    assert_eq!((lines(&log).len(), lines(&other).len()), (1, 1));
}

#[test]
fn a_command_and_a_label_that_are_long_leave_a_line_that_is_read() {
    let (_dir, data, log) = logged();
    let label = "\u{1}".repeat(100_000);
    let words = vec!["x".repeat(100_000); 10];
    let gtlock = gtlock()
        .args(["run", "--label", &label, "--log"])
        .arg(&log)
        .arg("--write")
        .arg(&data)
        .args(["--", "true"])
        .args(words)
        .assert();
    gtlock.success();
    assert!(fs::metadata(&log).expect("it is there").len() < 40_000, "of both the start is kept");
    only_line(&log);
    assert_eq!(report(&log, &[])["entries"], 1);
}

#[test]
fn the_report_of_a_contended_run_is_what_its_lines_come_to() {
    let (_dir, data, log) = logged();
    let script = r#"for n in 1 2 3 4 5 6; do
        gtlock run -q --timeout 5 --write "$1" -- sleep 0.01
        gtlock try -q --read "$1" -- true
        gtlock run -q --write "$1" -- sh -c 'kill -9 $PPID'
    done"#;
    let mut workers: Vec<_> = (0..8)
        .map(|_| shell(script, &data).env("GTLOCK_LOG", &log).stderr(Stdio::null()).spawn().expect("sh runs"))
        .collect();
    for worker in &mut workers {
        end_of(worker);
    }
    let lines = lines(&log);
    lines.iter().for_each(is_line);
    let sum = |field: &str| {
        lines
            .iter()
            .filter(|line| line["outcome"] != "refused")
            .filter_map(|line| line[field].as_f64())
            .sum::<f64>()
    };
    let count = |outcome: &str| lines.iter().filter(|line| line["outcome"] == outcome).count();
    let lock = &report(&log, &[])["locks"][0];
    assert_eq!(lock["acquired"], count("released") + count("kept"));
    assert_eq!(
        (&lock["refused"], &lock["timed_out"]),
        (&json!(count("refused")), &json!(count("timed-out")))
    );
    for (lengths, field) in [("wait", "waited"), ("hold", "held")] {
        let total = lock[lengths]["total"].as_f64().expect("a number");
        assert!((total - sum(field)).abs() < 1e-4, "{lengths}: {total} is not {}", sum(field));
    }
    assert_eq!(lines.len(), 96, "two a round: what was killed leaves none");
}

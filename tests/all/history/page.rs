//! The page and the trace: whole, harmless, and with the numbers of the table.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::{in_vain, line, log, report};
use crate::common::{data, gtlock, process, skip, to_its_end};

/// Texts that would like to be something else.
const HOSTILE: [&str; 7] = [
    "</script><script>document.title = 'taken'</script>",
    "<img src=x onerror=\"document.title = 'taken'\">",
    "<!--<script>",
    "\u{202e}exe.gnp\u{200b}\u{2028}",
    "\0\u{1b}[31m\u{7}\n\r\u{7f}",
    "&lt;b&gt;${document.title = 'taken'}`",
    "__proto__",
];

fn hostile_lines() -> Vec<Value> {
    let long = "M".repeat(1 << 16);
    let texts = HOSTILE.into_iter().chain([long.as_str()]);
    let lines = texts.map(|text| {
        let holder = json!({"pid": 1, "label": text, "command": [text]});
        line(text, &json!({"label": text, "command": [text, text], "holder": holder, "inside": [text]}))
    });
    lines.collect()
}

fn write_page(log: &Path) -> String {
    let page = log.with_extension("html");
    gtlock().arg("report").arg(log).arg("--html").arg(&page).assert().success().stdout("").stderr("");
    fs::read_to_string(page).expect("it is there")
}

#[test]
fn no_text_of_a_log_is_markup_in_the_page() {
    let (dir, _) = data();
    let empty = write_page(&log(dir.path(), &[]));
    let page = write_page(&log(dir.path(), &hostile_lines()));
    let elements = |page: &str| page.matches('<').count();
    assert_eq!(elements(&page), elements(&empty), "of the log there is none");
    assert!(page.contains(r"\u003c/script>"), "it is all there");
    assert!(page.contains("default-src 'none'"));
    assert!(!empty.contains("http://") && !empty.contains("https://"), "nothing is fetched");
    assert!(page.len() < 200_000, "what is long is cut short: {}", page.len());
}

#[test]
fn no_text_of_a_log_reaches_the_terminal() {
    let (dir, _) = data();
    let log = log(dir.path(), &hostile_lines());
    for arguments in [&["report"][..], &["report", "--json"]] {
        let assert = gtlock().args(arguments).arg(&log).assert().success();
        let shown = String::from_utf8_lossy(&assert.get_output().stdout).into_owned();
        let is_tame = |c: char| c == '\n' || !(c.is_control() || "\u{202e}\u{200b}\u{2028}".contains(c));
        assert!(shown.chars().all(is_tame), "{shown}");
    }
}

#[test]
fn a_report_is_written_over_an_earlier_one_and_over_nothing_else() {
    let (dir, data) = data();
    let log = log(dir.path(), &[line("a", &json!({}))]);
    let linked = dir.path().join("linked.log");
    fs::hard_link(&log, &linked).expect("it can be made");
    fs::write(&data, "mine\n").expect("it can be written");
    let before = fs::read(&log).expect("it is there");
    for option in ["--html", "--trace"] {
        for there in [&log, &linked, &data] {
            let refused =
                gtlock().arg("report").arg(&log).arg(option).arg(there).assert().code(125).stdout("");
            let said = predicates::str::contains("is there already, and is no such report");
            refused.stderr(said);
        }
        let (empty, again) = (dir.path().join("empty"), dir.path().join(option));
        fs::write(&empty, "").expect("it can be written");
        for out in [&empty, &again, &again] {
            gtlock().arg("report").arg(&log).arg(option).arg(out).assert().success().stdout("").stderr("");
            assert!(fs::metadata(out).expect("it is there").len() > 0);
        }
        let printed =
            gtlock().arg("report").arg(&log).arg(format!("{option}=-")).assert().success().stderr("");
        assert_eq!(printed.get_output().stdout, fs::read(&again).expect("it is there"));
        gtlock().arg("report").arg(&log).arg(option).arg("/dev/full").assert().code(125);
        fs::remove_file(&empty).expect("it is there");
    }
    assert_eq!(fs::read(&log).expect("it is there"), before);
    assert_eq!(fs::read_to_string(&data).expect("it is there"), "mine\n");
    let mut both = gtlock();
    both.current_dir(dir.path()).args(["report", "a.log", "--html=out", "--trace=out"]);
    both.assert().code(125).stderr("gtlock: --html and --trace name one file; give each its own\n");
    assert!(!dir.path().join("out").exists() && !dir.path().join("-").exists());
}

/// Lines of many processes, some at the same time.
fn busy_lines(number: u32) -> Vec<Value> {
    let mut random = fastrand::Rng::with_seed(u64::from(number));
    let mut line = |place: u32| {
        let name = format!("{}.json", random.u8(0..3));
        let second = place / 10;
        let asked = format!(
            "2026-11-24T{:02}:{:02}:{:02}.{:06}Z",
            second / 3600,
            second / 60 % 60,
            second % 60,
            place % 10 * 1000
        );
        let waited = f64::from(random.u32(0..2_000_000)) / 1e6;
        let mut line = match random.u8(0..8) {
            0 => in_vain(&name, "refused", 0.000_05),
            1 => in_vain(&name, "timed-out", waited),
            _ => line(&name, &json!({"waited": waited, "held": f64::from(random.u32(0..500_000)) / 1e6})),
        };
        line["asked"] = json!(asked);
        line["pid"] = json!(1000 + place);
        line["label"] = if random.bool() { json!(format!("agent {}", random.u8(0..5))) } else { Value::Null };
        line
    };
    (0..number).map(&mut line).collect()
}

#[test]
fn slices_of_a_row_of_the_trace_do_not_overlap_and_none_is_missing() {
    let (dir, _) = data();
    let lines = busy_lines(1000);
    let log = log(dir.path(), &lines);
    let trace = dir.path().join("trace.json");
    gtlock().arg("report").arg(&log).arg("--trace").arg(&trace).assert().success().stdout("").stderr("");
    let trace: Value = serde_json::from_slice(&fs::read(trace).expect("it is there")).expect("JSON");
    let mut rows: BTreeMap<(u64, u64), Vec<(u64, u64)>> = BTreeMap::new();
    let (mut held, mut processes) = (0.0, 0);
    for event in trace["traceEvents"].as_array().expect("a list") {
        let number = |field: &str| event[field].as_u64().expect("a number");
        processes += u32::from(event["name"] == "process_name");
        if event["ph"] == "X" {
            rows.entry((number("pid"), number("tid"))).or_default().push((number("ts"), number("dur")));
            held += if event["cat"] == "hold" { event["dur"].as_f64().expect("a number") } else { 0.0 };
        }
    }
    assert_eq!(processes, 3, "one a lock");
    for row in rows.values_mut() {
        row.sort_unstable();
        assert!(row.is_sorted_by(|a, b| a.0 + a.1 <= b.0), "{row:?}");
    }
    let expected: f64 = lines.iter().filter_map(|line| line["held"].as_f64()).sum();
    assert!((held / 1e6 - expected).abs() < 1e-4, "{held} is not {expected}");
}

/// A page after its scripts have run, as Chromium writes it; `None`, and a word about it, where there is none.
fn rendered(page: &Path) -> Option<String> {
    let page = browse(&format!("file://{}", page.display()), &["--dump-dom"])?;
    Some(String::from_utf8_lossy(&page).into_owned())
}

/// What Chromium prints when it opens an address.
fn browse(address: &str, options: &[&str]) -> Option<Vec<u8>> {
    let browsers = ["chromium", "chromium-browser", "google-chrome"];
    let is_there = |browser: &&&str| process(browser).arg("--version").output().is_ok();
    let Some(browser) = browsers.iter().find(is_there) else {
        skip("the page in a browser", "there is no chromium");
        return None;
    };
    let profile = tempfile::tempdir().expect("a temporary directory");
    let mut command = process(browser);
    command.args(["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=10000"]);
    command.args(options).arg(format!("--user-data-dir={}", profile.path().display())).arg(address);
    Some(to_its_end(command).assert().success().get_output().stdout.clone())
}

#[test]
fn the_page_is_drawn_in_a_narrow_and_in_a_wide_window() {
    let (dir, _) = data();
    let image = dir.path().join("image.png");
    let image_of = |address: &str, size: &str| {
        let [screenshot, size] =
            [format!("--screenshot={}", image.display()), format!("--window-size={size}")];
        browse(address, &[&screenshot, &size])?;
        Some(fs::read(&image).expect("there is an image"))
    };
    for number in [10, 1000, 100_000] {
        let log = log(dir.path(), &busy_lines(number));
        write_page(&log);
        let page = format!("file://{}", log.with_extension("html").display());
        for size in ["500,900", "1600,900"] {
            let Some(image) = image_of(&page, size) else { return };
            assert!(image.starts_with(b"\x89PNG"), "{number} entries, {size}");
            assert_ne!(Some(image), image_of("about:blank", size), "{number} entries, {size}");
        }
    }
}

#[test]
fn the_page_counts_what_it_draws_and_comes_to_the_numbers_of_the_table() {
    let (dir, _) = data();
    for number in [10, 1000, 100_000] {
        let log = log(dir.path(), &busy_lines(number));
        write_page(&log);
        let Some(page) = rendered(&log.with_extension("html")) else { return };
        let document = report(&log, &[]);
        let locks = document["locks"].as_array().expect("a list");
        let counted: Vec<Value> = page
            .split("data-numbers=\"")
            .skip(1)
            .filter_map(|rest| rest.split_once('"'))
            .map(|(numbers, _)| serde_json::from_str(&numbers.replace("&quot;", "\"")).expect("JSON"))
            .collect();
        assert_eq!(counted.len(), locks.len(), "a timeline a lock");
        for (counted, lock) in counted.iter().zip(locks) {
            for field in ["acquired", "refused", "timed_out"] {
                assert_eq!(counted[field], lock[field], "{field} of {lock}");
            }
            for (field, lengths) in [("waited", &lock["wait"]), ("held", &lock["hold"])] {
                let seconds = counted[field].as_f64().expect("a number") / 1e6;
                let expected = lengths["total"].as_f64().expect("a number");
                assert!((seconds - expected).abs() < 1e-4, "{field}: {seconds} is not {expected}");
            }
        }
    }
}

#[test]
fn hostile_text_does_nothing_in_a_browser() {
    let (dir, _) = data();
    let log = log(dir.path(), &hostile_lines());
    write_page(&log);
    let Some(page) = rendered(&log.with_extension("html")) else { return };
    assert!(
        page.contains("<title>gtlock report: who waited for whom</title>"),
        "no script of the log has run"
    );
    assert!(!page.contains("<img"), "nor is there an element of it");
    assert_eq!(page.matches("data-numbers=").count(), HOSTILE.len() + 1, "all are drawn");
}

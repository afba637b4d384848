"use strict";
// The numbers: totals, cycles, the table of locks, the histogram of waits.

const report = json("report");

function showTotals() {
  const sum = field => report.locks.reduce((total, lock) => total + lock[field], 0);
  const waited = report.locks.reduce((total, lock) => total + micros(lock.wait.total), 0);
  const { torn, other_version, foreign } = report.skipped;
  const totals = [
    ["entries", count(report.entries)], ["locks", count(report.locks.length)], ["acquired", count(sum("acquired"))],
    ["waited in all", span(waited)], ["refused", count(sum("refused"))], ["timed out", count(sum("timed_out"))],
    ["lines skipped", count(torn + other_version + foreign)],
  ];
  for (const [name, value] of totals) at("totals").append(element("div", "", element("dt", "", name), element("dd", "", value)));
  at("period").textContent = report.from === null ? "The log has no entries." :
    `${report.from.slice(0, 19).replace("T", " ")} to ${report.to.slice(0, 19).replace("T", " ")} UTC (` +
      `${span(1e3 * (Date.parse(report.to) - Date.parse(report.from)))})`;
}

function showCycles() {
  at("cycles").hidden = report.cycles.length === 0;
  for (const cycle of report.cycles) {
    const steps = cycle.map(step => element("li", "",
      element("span", "path", safe(step.data)), " inside ", element("span", "path", safe(step.inside)), ", by ",
      element("b", "who", safe(step.by)), ` (${step.times === 1 ? "once" : count(step.times) + " times"}, last ${step.last.slice(0, 19).replace("T", " ")} UTC)`));
    at("cycles").querySelector("ol").append(element("li", "", element("ul", "", ...steps)));
  }
}

function showLocks() {
  const heads = [["lock", "text"], ["got"], ["refused"], ["timed out"], ["usage"], [""], ["total"], ["median"], ["95 %"],
    ["99 %"], ["longest"], ["who made others wait", "text"]];
  const head = element("tr", "", ...heads.map(([name, kind]) => element("th", kind, name)));
  const lengths = (name, of) => [element("td", "text", name), ...["total", "median", "p95", "p99", "longest"].map(
    field => element("td", "", of.count === 0 ? "–" : span(micros(of[field]))))];
  const both = cell => { // the wait's row and the hold's
    cell.rowSpan = 2;
    return cell;
  };
  const rows = (lock, place) => {
    const link = element("a", "path", safe(lock.data));
    link.href = "#lock-" + place;
    link.title = safe(lock.lock);
    const bad = number => both(element("td", number > 0 ? "bad" : "", count(number)));
    const blamed = lock.blamed.map(({ who, seconds }) => element("div", "", `${safe(who, 80)} (${span(micros(seconds))})`));
    return [
      element("tr", "", both(element("td", "text path", link)), both(element("td", "", count(lock.acquired))),
        bad(lock.refused), bad(lock.timed_out), both(element("td", "", Math.round(lock.utilisation * 100) + " %")),
        ...lengths("wait", lock.wait), both(element("td", "text who", ...blamed))),
      element("tr", "", ...lengths("hold", lock.hold)),
    ];
  };
  at("locks").append(element("thead", "", head), element("tbody", "", ...report.locks.flatMap(rows)));
}

function showWaits() {
  const most = Math.max(1, ...report.waits.map(waits => waits.count));
  const last = report.waits.findLastIndex(waits => waits.count > 0);
  report.waits.slice(0, last + 1).forEach(({ below, count: times }, place) => {
    const name = below === null ? span(micros(report.waits[place - 1].below)) + " and more" : "below " + span(micros(below));
    const bar = element("i", "");
    bar.style.width = times === 0 ? "0" : 100 * times / most + "%";
    bar.hidden = times === 0;
    at("waits").append(element("tr", "", element("td", "text", name), element("td", "", count(times)), element("td", "bar", bar)));
  });
}

showTotals();
showCycles();
showLocks();
showWaits();

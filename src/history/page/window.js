"use strict";
// The window of time: zoom and movement by mouse, touch, wheel and keys; the tip at the pointer.

const timelines = [];
let isDue = false;

function draw() {
  isDue = false;
  timelines.forEach(timeline => timeline.draw());
  at("window").textContent = `${span(view.to - view.from)} from ${moment(entries.start + view.from, 1e3)} UTC`;
}

function redraw() {
  if (!isDue) requestAnimationFrame(draw);
  isDue = true;
}

function show(from, to) {
  const most = whole * 1.02, width = Math.min(most, Math.max(20, to - from));
  const middle = (from + to) / 2, start = Math.min(Math.max(middle - width / 2, -whole / 100), whole * 1.01 - width);
  view = { from: start, to: start + width };
  redraw();
}

const zoom = (factor, around = (view.from + view.to) / 2) =>
  show(around - (around - view.from) * factor, around + (view.to - around) * factor);
const move = share => show(view.from + (view.to - view.from) * share, view.to + (view.to - view.from) * share);

function tell(bar, x, y) {
  const tip = at("tip");
  tip.hidden = bar === null;
  if (bar === null) return;
  const outcomes = { "timed-out": "timed out", ended: "ended by a limit", lost: "lost", kept: "left to the command" };
  const lines = [
    text(bar[LABEL]), text(bar[COMMAND]),
    `process ${bar[PID]}, for ${bar[MODE] === "read" ? "reading" : "writing"}, ` +
      (bar[SLOTS].length === 0 ? "" : `${bar[SLOTS].length === 1 ? "slot" : "slots"} ${bar[SLOTS].join(", ")}, `) +
      `${outcomes[bar[OUTCOME]] ?? bar[OUTCOME]}` +
      (bar[EXIT] === null ? "" : `, exit status ${bar[EXIT]}`),
    `asked at ${moment(entries.start + bar[ASKED], 1)} UTC`,
    `waited ${span(bar[WAITED])}` + (bar[HOLDER] === null ? "" : ` behind ${text(bar[HOLDER])}`),
    bar[HELD] === null ? null : `held ${span(bar[HELD])}`,
  ];
  tip.textContent = lines.filter(line => line !== null).join("\n");
  const { width, height } = tip.getBoundingClientRect();
  tip.style.left = Math.max(4, Math.min(x + 14, innerWidth - width - 8)) + "px";
  tip.style.top = (y + 18 + height > innerHeight ? Math.max(4, y - height - 10) : y + 18) + "px";
}

// Moves with one pointer, zooms with two; says what is under one that does neither.
const pointers = new Map();
const stage = at("timelines");
stage.addEventListener("pointerdown", event => {
  if (!event.target.timeline) return;
  pointers.set(event.pointerId, event.offsetX);
  event.target.setPointerCapture(event.pointerId);
});
stage.addEventListener("pointermove", event => {
  const timeline = event.target.timeline;
  if (!timeline) return tell(null);
  const before = pointers.get(event.pointerId);
  if (before === undefined) return tell(timeline.find(event.offsetX, event.offsetY), event.clientX, event.clientY);
  tell(null);
  const [other] = [...pointers].filter(([id]) => id !== event.pointerId).map(([, x]) => x);
  pointers.set(event.pointerId, event.offsetX);
  if (other === undefined) {
    const shift = timeline.time(before) - timeline.time(event.offsetX);
    show(view.from + shift, view.to + shift);
  } else {
    const apart = x => Math.max(10, Math.abs(x - other));
    zoom(apart(before) / apart(event.offsetX), timeline.time((event.offsetX + other) / 2));
  }
});
for (const kind of ["pointerup", "pointercancel"]) {
  stage.addEventListener(kind, event => {
    if (pointers.delete(event.pointerId) && event.pointerType !== "mouse" && event.target.timeline) {
      tell(event.target.timeline.find(event.offsetX, event.offsetY), event.clientX, event.clientY);
    }
  });
}
stage.addEventListener("pointerleave", () => tell(null));
stage.addEventListener("wheel", event => {
  const timeline = event.target.timeline;
  if (!timeline || !(event.ctrlKey || event.metaKey || event.shiftKey)) return;
  event.preventDefault();
  if (event.shiftKey) move((event.deltaX || event.deltaY) / 800);
  else zoom(Math.exp(event.deltaY / 300), timeline.time(event.offsetX));
}, { passive: false });
stage.addEventListener("keydown", event => {
  const keys = {
    "+": () => zoom(.5), "=": () => zoom(.5), "-": () => zoom(2), 0: () => show(-whole, 2 * whole),
    ArrowLeft: () => move(-.2), ArrowRight: () => move(.2),
  };
  if (!keys[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  keys[event.key]();
});

at("in").onclick = () => zoom(.5);
at("out").onclick = () => zoom(2);
at("all").onclick = () => show(-whole, 2 * whole);
addEventListener("resize", redraw);
addEventListener("scroll", redraw, { passive: true });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);

// Locks that are waited for least are drawn when asked for.
function add(most) {
  const next = report.locks.length - timelines.length;
  for (let left = Math.min(most, next); left > 0; left--) timelines.push(new Timeline(timelines.length));
  const hidden = report.locks.length - timelines.length;
  at("more").hidden = hidden === 0;
  at("more").textContent = `Show ${count(Math.min(hidden, FIRST_SHOWN))} more of ${count(hidden)}`;
  draw();
}

at("more").onclick = () => add(FIRST_SHOWN);
at("left-out").textContent = entries.bars.length === report.entries ? "" :
  `Drawn are the last ${count(entries.bars.length)} of ${count(report.entries)} entries; the table counts all.`;
// A link from the table may lead to a timeline that is not drawn yet.
at("locks").addEventListener("click", event => {
  const place = event.target.hash?.slice("#lock-".length);
  while (place !== undefined && timelines.length <= place) add(FIRST_SHOWN);
});
add(FIRST_SHOWN);

"use strict";
// The timelines: one canvas a lock, all over the same window of time.

const ROW = 18, AXIS = 22, FIRST_SHOWN = 25;
const [LOCK, LANE, ASKED, WAITED, HELD, OUTCOME, MODE, PID, LABEL, COMMAND, HOLDER, EXIT, SLOTS] = Array(13).keys();

const entries = json("entries");
const end = bar => bar[ASKED] + bar[WAITED] + (bar[HELD] ?? 0);
const text = number => number === null ? null : safe(entries.texts[number]);
const name = bar => text(bar[LABEL]) ?? text(bar[COMMAND]);
const whole = entries.bars.reduce((latest, bar) => Math.max(latest, end(bar)), 1);
let view = { from: -whole / 100, to: whole * 1.01 };

// The bars of each lock in rows, each in the order of time.
const lanes = report.locks.map(() => []);
for (const bar of entries.bars) (lanes[bar[LOCK]][bar[LANE]] ??= []).push(bar);

// What a row is called: what all in it have in common.
function title(row) {
  if (row.every(bar => bar[PID] === row[0][PID])) return row[0][PID] + " " + name(row[0]);
  const isSame = row.every(bar => bar[LABEL] === row[0][LABEL] && (bar[LABEL] !== null || bar[COMMAND] === row[0][COMMAND]));
  return isSame ? name(row[0]) : `${count(row.length)} processes`;
}

// The first bar of a row that ends after a moment.
function firstAfter(row, moment) {
  let low = 0, high = row.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (end(row[middle]) < moment) low = middle + 1; else high = middle;
  }
  return low;
}

class Timeline {
  constructor(place) {
    this.rows = lanes[place];
    // Where rows are shared, those of a label come first, by name.
    if (this.rows.some(row => row[0][PID] !== row.at(-1)[PID])) {
      const rank = row => [row[0][LABEL] === null ? 1 : 0, title(row)];
      const ranks = new Map(this.rows.map(row => [row, rank(row)]));
      this.rows.sort((a, b) => ranks.get(a)[0] - ranks.get(b)[0] || ranks.get(a)[1].localeCompare(ranks.get(b)[1]));
    }
    this.titles = this.rows.map(title);
    this.canvas = element("canvas", "");
    this.canvas.tabIndex = 0;
    const lock = report.locks[place];
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", `timeline of ${safe(lock.data)}; its numbers are in the table`);
    const heading = element("h3", "path", safe(lock.data));
    heading.id = "lock-" + place;
    at("timelines").append(heading, this.sum(place), this.canvas);
    this.canvas.timeline = this;
  }

  // What the drawn entries come to, counted here, from them.
  sum(place) {
    const all = this.rows.flat();
    const total = (field, of = all) => of.reduce((sum, bar) => sum + (bar[field] ?? 0), 0);
    const numbers = {
      lock: place, entries: all.length,
      acquired: all.filter(bar => ["released", "ended", "lost", "kept"].includes(bar[OUTCOME])).length,
      refused: all.filter(bar => bar[OUTCOME] === "refused").length,
      timed_out: all.filter(bar => bar[OUTCOME] === "timed-out").length,
      waited: total(WAITED, all.filter(bar => bar[OUTCOME] !== "refused")), held: total(HELD),
    };
    const sum = element("p", "sum", `${count(numbers.entries)} entries in ${count(this.rows.length)} rows: waited for ` +
      `${span(numbers.waited)}, held for ${span(numbers.held)}`);
    sum.dataset.numbers = JSON.stringify(numbers);
    return sum;
  }

  // Where the rows' titles end and time begins, in pixels.
  get gutter() { return this.canvas.clientWidth < 600 ? 84 : 230; }
  x(us) { return this.gutter + (us - view.from) / (view.to - view.from) * (this.canvas.clientWidth - this.gutter); }
  time(x) { return view.from + (x - this.gutter) / (this.canvas.clientWidth - this.gutter) * (view.to - view.from); }

  draw() {
    const height = this.rows.length * ROW + AXIS;
    this.canvas.style.height = height + "px";
    const { top, bottom } = this.canvas.getBoundingClientRect();
    if (bottom < 0 || top > innerHeight) return; // it is drawn when it is scrolled to
    // A canvas that is too large is not drawn at all.
    const scale = Math.min(devicePixelRatio, 30000 / height), width = this.canvas.clientWidth;
    this.canvas.width = Math.round(width * scale);
    this.canvas.height = Math.round(height * scale);
    const style = getComputedStyle(document.documentElement);
    this.colour = Object.fromEntries(["ink", "soft", "line", "band", "wait", "hold", "bad"].map(
      part => [part, style.getPropertyValue("--" + part)]));
    const pen = this.pen = this.canvas.getContext("2d");
    pen.scale(scale, scale);
    pen.font = "12px ui-monospace, monospace";
    pen.textBaseline = "middle";
    this.stripes = this.pattern();
    this.rows.forEach((row, number) => this.band(number, width));
    this.axis(width, height);
    this.rows.forEach((row, number) => this.row(row, number, width));
  }

  pattern() {
    const tile = element("canvas", "");
    tile.width = tile.height = 6;
    const pen = tile.getContext("2d");
    pen.strokeStyle = this.colour.wait;
    pen.lineWidth = 2;
    for (const shift of [-6, 0, 6]) {
      pen.beginPath();
      pen.moveTo(shift, 6);
      pen.lineTo(shift + 6, 0);
      pen.stroke();
    }
    return this.pen.createPattern(tile, "repeat");
  }

  band(number, width) {
    const { pen, colour } = this, y = AXIS + number * ROW;
    if (number % 2 === 0) {
      pen.fillStyle = colour.band;
      pen.fillRect(0, y, width, ROW);
    }
    pen.save();
    pen.beginPath();
    pen.rect(0, y, this.gutter - 6, ROW);
    pen.clip();
    pen.fillStyle = colour.soft;
    pen.fillText(this.titles[number].slice(0, 60), 2, y + ROW / 2);
    pen.restore();
  }

  axis(width, height) {
    const { pen, colour } = this, most = Math.max(2, (width - this.gutter) / 110);
    const steps = [1, 2, 5].flatMap(n => [1, 10, 100, 1e3, 1e4, 1e5].map(k => n * k))
      .concat([1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 43200, 86400, 172800, 604800, 2592000, 31536000, 3.1536e9].map(s => s * 1e6))
      .sort((a, b) => a - b);
    const step = steps.find(step => (view.to - view.from) / step <= most) ?? 3.1536e16;
    const first = Math.ceil((entries.start + view.from) / step) * step;
    for (let us = first; us <= entries.start + view.to; us += step) {
      const x = Math.round(this.x(us - entries.start)) + .5;
      pen.strokeStyle = colour.line;
      pen.beginPath();
      pen.moveTo(x, AXIS - 4);
      pen.lineTo(x, height);
      pen.stroke();
      pen.fillStyle = colour.soft;
      const label = moment(us, step);
      if (x + 3 + pen.measureText(label).width < width) pen.fillText(label, x + 3, AXIS / 2);
    }
  }

  row(row, number, width) {
    const y = AXIS + number * ROW + 2, tall = ROW - 4, { pen, colour } = this;
    pen.save();
    pen.beginPath();
    pen.rect(this.gutter, y - 2, width - this.gutter, ROW);
    pen.clip();
    const pixel = (view.to - view.from) / (width - this.gutter);
    let column = null;
    const flush = () => {
      if (column) this.column(column, y, tall, pixel);
      column = null;
    };
    for (let place = firstAfter(row, view.from); place < row.length && row[place][ASKED] <= view.to; place++) {
      const bar = row[place], from = this.x(bar[ASKED]), got = this.x(bar[ASKED] + bar[WAITED]), to = this.x(end(bar));
      if (to - from < 2) {
        const x = Math.floor(from / 2) * 2;
        if (column?.x !== x) flush();
        column ??= { x, waited: 0, held: 0, gaveUp: false };
        column.waited += bar[WAITED];
        column.held += bar[HELD] ?? 0;
        column.gaveUp ||= bar[OUTCOME] === "refused" || bar[OUTCOME] === "timed-out";
        continue;
      }
      flush();
      this.wait(from, got, y, tall);
      pen.fillStyle = colour.hold;
      if (bar[HELD] !== null) pen.fillRect(got, y, Math.max(1, to - got), tall);
      if (bar[HELD] !== null && to - got > 90) this.inside(bar, got, to, y + tall / 2);
      if (bar[OUTCOME] === "kept") this.mark("▸", Math.max(got, to - 2), y + tall / 2, colour.hold);
      if (bar[OUTCOME] === "refused" || bar[OUTCOME] === "timed-out") this.mark("×", got - 4, y + tall / 2, colour.bad);
    }
    flush();
    pen.restore();
  }

  wait(from, to, y, tall) {
    if (to - from < .5) return;
    this.pen.fillStyle = this.stripes;
    this.pen.fillRect(from, y + 3, to - from, tall - 6);
    this.pen.strokeStyle = this.colour.wait;
    this.pen.strokeRect(from + .5, y + 3.5, Math.max(0, to - from - 1), tall - 7);
  }

  // Bars too narrow for themselves: their shares of two pixels' time, holds at the foot,
  // waits on them, and at the top whether one gave up.
  column({ x, waited, held, gaveUp }, y, tall, pixel) {
    const share = us => us === 0 ? 0 : Math.max(1, tall * Math.min(1, us / (2 * pixel)));
    const hold = Math.min(share(held), tall - (waited > 0 ? 1 : 0)), wait = Math.min(share(waited), tall - hold);
    this.pen.fillStyle = this.colour.hold;
    this.pen.fillRect(x, y + tall - hold, 2, hold);
    this.pen.fillStyle = this.colour.wait;
    this.pen.fillRect(x, y + tall - hold - wait, 2, wait);
    if (!gaveUp) return;
    this.pen.fillStyle = this.colour.bad;
    this.pen.fillRect(x, y - 1, 2, 2);
  }

  mark(sign, x, y, colour) {
    this.pen.fillStyle = colour;
    this.pen.font = "bold 15px ui-monospace, monospace";
    this.pen.fillText(sign, x, y);
    this.pen.font = "12px ui-monospace, monospace";
  }

  inside(bar, from, to, y) {
    this.pen.save();
    this.pen.beginPath();
    this.pen.rect(from, y - ROW, to - from - 3, 2 * ROW);
    this.pen.clip();
    this.pen.fillStyle = getComputedStyle(document.documentElement).getPropertyValue("--paper");
    this.pen.fillText(name(bar).slice(0, 100), Math.max(from, this.gutter) + 4, y);
    this.pen.restore();
  }

  // The bar at a point, or one that is very near.
  find(x, y) {
    const row = this.rows[Math.floor((y - AXIS) / ROW)];
    if (!row || x < this.gutter) return null;
    const near = this.time(x + 4) - this.time(x), place = firstAfter(row, this.time(x));
    const distance = bar => Math.max(bar[ASKED] - this.time(x), this.time(x) - end(bar), 0);
    const bars = row.slice(Math.max(0, place - 1), place + 2).filter(bar => distance(bar) <= near);
    return bars.sort((a, b) => distance(a) - distance(b))[0] ?? null;
  }
}

// A chart of lines over the last quarter of an hour, as inline SVG: gaps where nothing is known, marks where a role
// changed, a reading under the pointer, and the same numbers as a table.
import { attr, format, h, keyed, s, text } from "./dom.js";

const WIDTH = 480, HEIGHT = 110, LEFT = 4, RIGHT = 4, TOP = 10, BOTTOM = 4;
export const SPAN_MS = 15 * 60 * 1000;
const MOST_LINES = 8;  // more than that nobody can tell apart: the largest are drawn

// A round number that is not less.
export function ceiling(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  for (const step of [1, 1.5, 2, 3, 4, 5, 7.5, 10]) if (value <= step * power) return step * power;
  return 10 * power;
}

const LEAST_MS = 15 * 1000;  // as long as there is not more to show

// When the first of these lines begins; now if none does.
const beginOf = (times, lines, now) => lines.reduce((first, { values }) => {
  const at = values.findIndex((value) => value !== null && value !== undefined);
  return at < 0 ? first : Math.min(first, times[at]);
}, now);

const xOf = (time, now, span) => LEFT + (1 - (now - time) / span) * (WIDTH - LEFT - RIGHT);
const yOf = (value, top) => TOP + (1 - value / top) * (HEIGHT - TOP - BOTTOM);

// "M… L…" with a new beginning after each gap.
export function pathOf(times, values, now, span, top) {
  let path = "", drawing = false;
  for (let i = 0; i < times.length; ++i) {
    const value = values[i];
    if (value === null || value === undefined || now - times[i] > span) {
      drawing = false;
      continue;
    }
    path += `${drawing ? "L" : "M"}${xOf(times[i], now, span).toFixed(1)} ${yOf(Math.min(value, top), top).toFixed(1)}`;
    drawing = true;
  }
  return path;
}

export class Chart {
  // `lines(history, state)` gives [{name, values}]; `show` formats a value; `least`: the smallest top of the scale.
  constructor({ id, title, lines, show, least = 0 }) {
    Object.assign(this, { lines, show, least });
    this.current = h("dl", { class: "legend" });
    this.drawn = s("g");
    this.marks = s("g", { class: "marks" });
    this.cursor = s("line", { class: "cursor", y1: TOP, y2: HEIGHT - BOTTOM, visibility: "hidden" });
    this.svg = s("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true",
      onpointermove: (event) => this.point(event), onpointerleave: () => this.point(null) },
      s("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: TOP, y2: TOP }),
      s("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: (TOP + HEIGHT - BOTTOM) / 2, y2: (TOP + HEIGHT - BOTTOM) / 2 }),
      s("line", { class: "base", x1: LEFT, x2: WIDTH - RIGHT, y1: HEIGHT - BOTTOM, y2: HEIGHT - BOTTOM }),
      this.marks, this.drawn, this.cursor);
    this.top = h("span", { class: "scale", "aria-hidden": "true" });
    this.begin = h("span");
    this.reading = h("span", { class: "reading", "aria-hidden": "true", hidden: true });
    this.table = h("table");
    this.asTable = h("details", { class: "astable", ontoggle: () => this.writeTable() },
      h("summary", null, "as table", h("span", { class: "unseen" }, `: ${title}`)),
      h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": `${title}, as table` }, this.table));
    this.title = title;
    this.root = h("figure", { class: "chart", id: `chart-${id}` },
      h("figcaption", null, h("h3", null, title), this.current),
      h("div", { class: "plot" }, this.svg, this.top, this.reading),
      h("div", { class: "axis", "aria-hidden": "true" }, this.begin, h("span", null, "now")), this.asTable);
  }

  update(history, state, now, marks) {
    let lines = this.lines(history, state);
    if (lines.length > MOST_LINES) {
      const largest = (line) => line.values.reduce((most, value) => Math.max(most, value ?? 0), 0);
      lines = lines.map((line) => [largest(line), line]).sort((a, b) => b[0] - a[0]).slice(0, MOST_LINES).map(([, line]) => line);
    }
    const times = history.time_ms;
    const span = Math.min(SPAN_MS, Math.max(LEAST_MS, now - beginOf(times, lines, now)));
    text(this.begin, `${format.span(span / 1000)} ago`);
    let most = this.least;
    for (const line of lines) {
      line.values.forEach((value, i) => {
        if (value !== null && now - times[i] <= span) most = Math.max(most, value);
      });
    }
    const top = ceiling(most);
    Object.assign(this, { shown: lines, times, now, span, most: top });  // what is made below lives on: it asks here
    text(this.top, this.show(top));
    keyed(this.drawn, lines.map((line, index) => ({ ...line, index })), (line) => line.name, () => {
      const root = s("path", { "vector-effect": "non-scaling-stroke" });
      return { root, update: (line) => { attr(root, "class", `line line${line.index % MOST_LINES}`); attr(root, "d", pathOf(this.times, line.values, this.now, this.span, this.most)); } };
    });
    keyed(this.current, lines.map((line, index) => ({ ...line, index })), (line) => line.name, (line) => {
      const key = s("svg", { viewBox: "0 0 16 8", class: "key", "aria-hidden": "true" }, s("path", { d: "M0 4H16" }));
      const value = h("dd");
      const root = h("div", null, h("dt", null, key, line.name), value);
      return { root, update: (item) => { attr(key.firstChild, "class", `line line${item.index % MOST_LINES}`); text(value, this.show(item.values.at(-1))); } };
    });
    keyed(this.marks, marks.filter((mark) => now - mark.at <= span && mark.at <= now), (mark) => mark.id, (mark) => {
      const root = s("line", { class: "mark", y1: TOP - 6, y2: HEIGHT - BOTTOM, "vector-effect": "non-scaling-stroke" }, s("title", null, mark.text));
      return { root, update: (item) => { const x = xOf(item.at, this.now, this.span).toFixed(1); attr(root, "x1", x); attr(root, "x2", x); } };
    });
    if (this.asTable.open) this.writeTable();
    if (this.at !== undefined) this.read();
  }

  point(event) {
    if (!event || !this.times?.length) {
      this.at = undefined;
      attr(this.cursor, "visibility", "hidden");
      this.reading.hidden = true;
      return;
    }
    const box = this.svg.getBoundingClientRect();
    this.at = (event.clientX - box.left) / box.width;
    this.read();
  }

  read() {
    const wanted = this.now - (1 - this.at) * this.span;
    let nearest = 0;
    this.times.forEach((time, i) => { if (Math.abs(time - wanted) < Math.abs(this.times[nearest] - wanted)) nearest = i; });
    const x = xOf(this.times[nearest], this.now, this.span);
    attr(this.cursor, "x1", x);
    attr(this.cursor, "x2", x);
    attr(this.cursor, "visibility", "visible");
    this.reading.hidden = false;
    text(this.reading, [format.time(this.times[nearest]), ...this.shown.map((line) => `${line.name} ${this.show(line.values[nearest])}`)].join(" · "));
  }

  // A line a minute, the newest first.
  writeTable() {
    if (!this.asTable.open || !this.shown) return;
    const rows = [];
    for (let i = this.times.length - 1, last = Infinity; i >= 0; --i) {
      if (last - this.times[i] < 59000) continue;
      last = this.times[i];
      rows.push(h("tr", null, h("th", { scope: "row" }, format.time(this.times[i])), this.shown.map((line) => h("td", null, this.show(line.values[i])))));
    }
    this.table.replaceChildren(h("caption", { class: "unseen" }, this.title),
      h("thead", null, h("tr", null, h("th", { scope: "col" }, "time"), this.shown.map((line) => h("th", { scope: "col" }, line.name)))),
      h("tbody", null, rows));
  }
}

const all = (history, name) => history[name];
const waiting = (history) => history.longest_wait_ms;
const difference = (a, b) => a.map((value, i) => Math.max(0, value - b[i]));
const perNode = (history, name) => Object.entries(history.nodes).map(([node, columns]) => ({ name: node, values: columns[name] }));
const rate = (value) => (value === null || value === undefined ? "–" : format.rate(value));

export const charts = () => [
  new Chart({ id: "queries", title: "Queries a second", show: rate, least: 10, lines: (history) => [
    { name: "reads", values: all(history, "reads_per_s") },
    { name: "other", values: difference(history.requests_per_s, history.reads_per_s) },
    { name: "transactions", values: all(history, "transactions_per_s") }] }),
  new Chart({ id: "latency", title: "Latency", show: format.ms, least: 1, lines: (history) => ["p50", "p95", "p99"].map((name) => (
    { name, values: all(history, `${name}_ms`) })) }),
  new Chart({ id: "reads", title: "Reads by node, a second", show: rate, least: 10, lines: (history) => perNode(history, "reads_per_s") }),
  new Chart({ id: "lag", title: "Replication lag", show: format.seconds, least: 0.01, lines: (history, state) => {
    const primaries = new Set(state.nodes.filter((node) => node.role === "primary").map((node) => node.name));
    return perNode(history, "lag_s").filter((line) => !primaries.has(line.name) || line.values.some((value) => value !== null));
  } }),
  new Chart({ id: "pool", title: "Pool use", show: rate, least: 5, lines: (history) => [
    { name: "servers in use", values: all(history, "in_use") }, { name: "open", values: all(history, "open") },
    { name: "clients waiting", values: all(history, "waiting") }] }),
  new Chart({ id: "wait", title: "Longest wait for a server", show: format.ms, least: 10, lines: (history) => [
    { name: "longest", values: waiting(history) }] }),
];

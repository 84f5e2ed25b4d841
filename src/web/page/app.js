// The page: one snapshot, one stream, and never a green mark beside old numbers.
import { charts, SPAN_MS } from "./chart.js";
import { attr, byId, format, h, keyed, text } from "./dom.js";
import { Feed, session } from "./live.js";
import { levelOf, mark, roleOf, words } from "./marks.js";
import { Tabs } from "./tabs.js";
import { Topology } from "./topology.js";
import { confirm, logIn } from "./actions.js";

const OLD_MS = 3000;       // without news for so long, nothing is said to be as shown
const MOST_EVENTS = 200;

const page = {
  state: null,
  history: null,
  events: [],
  operator: false,
  trouble: "",   // the balancer's sentence, if it refuses to tell its state
  act: (action) => confirm(action, page.state),
};

// --- what is remembered: the balancer's history, gone on with by the states that come

function remember(state) {
  const history = page.history, now = Date.parse(state.time);
  const last = history.time_ms.length - 1;
  const replace = history.provisional && now - history.fixed < history.step_s * 1000;
  if (!replace) history.fixed = history.provisional ? history.time_ms[last] : (history.time_ms[last] ?? now);
  history.provisional = true;
  const put = (list, value) => (replace ? (list[list.length - 1] = value) : list.push(value));
  const size = () => history.time_ms.length;
  put(history.time_ms, now);
  const { rates, clients, servers } = state, latency = rates.latency_ms;
  put(history.transactions_per_s, rates.transactions_per_s);
  put(history.requests_per_s, rates.requests_per_s);
  put(history.reads_per_s, rates.reads_per_s);
  for (const name of ["p50", "p95", "p99"]) put(history[`${name}_ms`], latency?.[name] ?? null);
  put(history.waiting, clients.waiting);
  put(history.longest_wait_ms, clients.longest_wait_s * 1000);
  put(history.in_use, servers.in_use);
  put(history.open, servers.open);
  const shown = new Map(state.nodes.map((node) => [node.name, node]));
  for (const name of shown.keys()) history.nodes[name] ??= { reads_per_s: Array(size() - (replace ? 0 : 1)).fill(null), lag_s: Array(size() - (replace ? 0 : 1)).fill(null) };
  for (const [name, columns] of Object.entries(history.nodes)) {
    put(columns.reads_per_s, shown.get(name)?.reads_per_s ?? null);
    put(columns.lag_s, shown.get(name)?.lag_s ?? null);
  }
  while (now - history.time_ms[0] > SPAN_MS) {
    for (const list of Object.values(history)) if (Array.isArray(list)) list.shift();
    for (const columns of Object.values(history.nodes)) for (const list of Object.values(columns)) list.shift();
  }
}

// --- what is shown

const stateMark = mark(), liveMark = mark();
byId("state").append(stateMark.root);
byId("live").append(liveMark.root);

const topology = new Topology();
const tabs = new Tabs(page);
const drawings = charts();
byId("charts").append(...drawings.map((chart) => chart.root));

// Why there is nothing newer.
const silence = (state) => page.trouble || (state.age_s * 1000 >= OLD_MS ? "the balancer has not looked at the group since" : "the balancer does not answer");

function showHead(state, fresh) {
  const level = fresh ? levelOf.group(state.state) : "unknown";
  const word = fresh ? words[state.state] ?? state.state : "unknown";
  stateMark.set(level, word);
  attr(byId("state"), "data-level", level);
  text(byId("group"), state.group);
  document.title = `${{ good: "✔", warn: "!", bad: "✘" }[level] ?? "?"} ${state.group}: ${word}`;
  text(byId("epoch"), state.ha ? `epoch ${state.ha.epoch}` : "");
  const durability = state.ha?.durability;
  text(byId("durability"), durability ? `${durability.mode}${durability.required ? ` ${durability.required} of ${durability.members.length}` : ""}` : "");
  attr(byId("durability"), "title", durability?.sentence);
  const banner = byId("banner");
  banner.hidden = fresh && !state.sentence;
  attr(banner, "data-level", level);
  text(banner, fresh ? state.sentence : `No data since ${format.time(state.time)}: ${silence(state)}. What is below is old.`);
}

// Said aloud only when a role or the state of the group or of a server changes.
let said = "";
function announce(state) {
  const now = [state.group, words[state.state] ?? state.state, ...state.nodes.map((node) => `${node.name} ${roleOf(node)} ${node.state}`)];
  const before = said.split("; ");
  said = now.join("; ");
  const news = now.filter((part) => !before.includes(part));
  if (before.length > 1 && news.length > 0) text(byId("announcer"), news.join(", "));
}

// A balancer that was started anew counts anew.
const eventKey = (event) => `${event.id} ${event.time} ${event.text}`;

function eventItem(event) {
  const kind = mark(false), time = h("time", { datetime: event.time }, format.time(event.time));
  kind.set(levelOf.event(event), "");
  const epoch = event.epoch ? h("span", { class: "fact" }, `epoch ${event.epoch}`) : null;
  return { root: h("li", { "data-kind": event.kind }, time, kind.root, h("span", null, event.text, " ", epoch)), update() {} };
}

function showEvents() {
  page.events.sort((a, b) => (a.time < b.time ? 1 : a.time > b.time ? -1 : b.id - a.id));
  page.events.length = Math.min(page.events.length, MOST_EVENTS);
  keyed(byId("events"), page.events, eventKey, eventItem);
}

function showAll() {
  const { state } = page;
  if (!state) return;
  byId("content").hidden = false;
  byId("gate").hidden = true;
  showHead(state, true);
  announce(state);
  topology.update(state);
  const now = Date.parse(state.time);
  const marks = page.events.filter((event) => event.kind === "role").map((event) => ({ id: eventKey(event), at: Date.parse(event.time), text: event.text }));
  for (const chart of drawings) chart.update(page.history, state, now, marks);
  tabs.update(state);
  text(byId("footer"), `pgbalancer ${state.version}`);
}

// --- how old it is

// Nobody knows now how the servers are.
function showOld() {
  byId("content").hidden = false;
  byId("gate").hidden = true;
  showHead(page.state, false);
  const old = { ...page.state, nodes: page.state.nodes.map((node) => ({ ...node, state: "unknown", reason: "no data" })) };
  topology.update(old);
  tabs.update(old);
  said = "";
}

function showAge() {
  const { state } = page;
  const age = feed.seen ? performance.now() - feed.seen : Infinity;
  const fresh = age < OLD_MS;
  document.body.classList.toggle("old", !fresh);
  if (!state) return liveMark.set("unknown", "no data yet");
  liveMark.set(fresh ? "good" : "bad", fresh ? `live, ${(age / 1000).toFixed(1)} s ago` : `no data since ${format.time(state.time)}`);
  if (showAge.fresh !== undefined && fresh !== showAge.fresh) {
    text(byId("announcer"), fresh ? "live again" : `no data: ${silence(state)}`);
    if (fresh) showAll();
    else showOld();
  }
  showAge.fresh = fresh;
}

function showIfNew() {
  if (performance.now() - feed.seen < OLD_MS) showAll();
  else showOld();
  showAge();
}

// --- who sees it

function showRole(you) {
  page.operator = you?.role === "operator";
  text(byId("login"), session.token ? `Log out${you?.user ? ` ${you.user}` : ""}` : "Log in");
}

function logInOrOut() {
  if (!session.token) return logIn(beginAnew);
  session.forget();
  begin();
}

function showNotice(sentence) {
  byId("notice").hidden = !sentence;
  text(byId("notice"), sentence);
}

function showGate(why) {
  const had = session.token;
  session.forget();
  if (had) {  // it was good for an hour, or for a process that is gone; on this machine it may not be needed
    showNotice(`You are not logged in any more. ${why}`);
    return begin();
  }
  page.state = null;
  feed.seen = 0;
  byId("content").hidden = true;
  byId("banner").hidden = true;
  byId("gate").hidden = false;
  stateMark.set("unknown", "not logged in");
  showRole(null);
  text(byId("gate-why"), why);
}

let updates = 0;

const feed = new Feed({
  snapshot(snapshot) {
    page.trouble = "";
    page.history = { ...snapshot.history, provisional: false, fixed: 0 };
    page.events = snapshot.events;
    page.state = snapshot;
    showRole(snapshot.you);
    remember(snapshot);
    showEvents();
    showIfNew();
  },
  state(state) {
    const begun = performance.now();
    page.state = state;
    remember(state);
    showIfNew();
    if (++updates % 100 === 0) performance.clearMeasures("update");
    performance.measure("update", { start: begun, end: performance.now() });
  },
  event(event) {
    if (page.events.some((known) => eventKey(known) === eventKey(event))) return;
    page.events.push(event);
    showEvents();
  },
  refused: showGate,
  trouble(sentence) {
    page.trouble = sentence;
    if (page.state) return showAge.fresh === false && showOld();
    byId("banner").hidden = false;
    attr(byId("banner"), "data-level", "bad");
    text(byId("banner"), sentence ? `The balancer does not show its state: ${sentence}` : "The balancer does not answer.");
  },
});

const begin = () => feed.start();
function beginAnew() {
  showNotice("");
  begin();
}

// --- light and dark

const THEMES = ["auto", "light", "dark"];
function showTheme() {
  const theme = localStorage.getItem("pgbalancer.theme") ?? "auto";
  attr(document.documentElement, "data-theme", theme);
  text(byId("theme"), `Theme: ${theme}`);
}
byId("theme").addEventListener("click", () => {
  const now = THEMES.indexOf(localStorage.getItem("pgbalancer.theme") ?? "auto");
  localStorage.setItem("pgbalancer.theme", THEMES[(now + 1) % THEMES.length]);
  showTheme();
});
byId("login").addEventListener("click", logInOrOut);
byId("gate-login").addEventListener("click", () => logIn(beginAnew));

byId("page").hidden = false;
showTheme();
showRole(null);
showAge();
setInterval(showAge, 250);
begin();

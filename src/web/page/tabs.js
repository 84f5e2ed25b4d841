// The tabs below the picture: each a table of its own, patched in place so that focus stays.
import { attr, byId, format, h, keyed, text } from "./dom.js";
import { askJson } from "./live.js";
import { levelOf, mark, roleOf } from "./marks.js";
import { actions, curl, quoted } from "./actions.js";

// A table of `columns`: [title, cell(row) → text, class]. The first one heads its row.
class Table {
  constructor(caption, columns, key, empty) {
    Object.assign(this, { columns, key });
    this.body = h("tbody");
    this.empty = h("p", { class: "hint", hidden: true }, empty);
    this.root = h("div", null, h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": caption },
      h("table", null, h("caption", { class: "unseen" }, caption),
        h("thead", null, h("tr", null, columns.map(([title, , kind]) => h("th", { scope: "col", class: kind }, title)))), this.body)), this.empty);
  }
  update(rows) {
    this.empty.hidden = rows.length > 0;
    keyed(this.body, rows, this.key, () => {
      const cells = this.columns.map(([, make, kind], i) => {
        const own = make.length === 0 ? make() : null;  // a cell that is more than a text: {root, update}
        return { own, make, root: h(i === 0 ? "th" : "td", { scope: i === 0 ? "row" : null, class: kind }, own?.root ?? "") };
      });
      return { root: h("tr", null, cells.map((cell) => cell.root)),
        update: (row) => cells.forEach((cell) => (cell.own ? cell.own.update(row) : text(cell.root, cell.make(row)))) };
    });
  }
}

function stateCell() {
  const state = mark(), why = h("small");
  return { root: h("span", { class: "statecell" }, state.root, why), update: (node) => {
    state.set(levelOf.node(node.state), node.state);
    text(why, node.reason || node.agent?.sentence || "");
  } };
}

function nameCell() {
  const name = h("span"), address = h("small");
  return { root: h("span", { class: "statecell" }, name, address), update: (node) => { text(name, node.name); text(address, node.address); } };
}

// Buttons of a row: none is offered to who may not press it.
function buttons(page, wanted) {
  const root = h("span", { class: "rowbuttons" });
  return { root, update: (row) => {
    const list = page.operator ? wanted(row, page.state) : [];
    keyed(root, list, (item) => item.name, (item) => {
      const button = h("button", { type: "button", class: "small", onclick: () => page.act(button.action()) }, item.label);
      return { root: button, update: (now) => { button.action = now.action; attr(button, "aria-label", now.spoken); } };
    });
  } };
}

const nodeButtons = (node, state) => [
  node.role === "replica" && node.state === "up" && state.ha && { name: "promote", label: "Make primary", spoken: `Make primary: ${node.name}`, action: () => actions.promote(node.name) },
  node.state === "drained" ? { name: "attach", label: "Attach", spoken: `Attach ${node.name}`, action: () => actions.attach(node.name) }
    : { name: "detach", label: "Detach", spoken: `Detach ${node.name}`, action: () => actions.detach(node.name) },
].filter(Boolean);

const percentiles = (latency) => (latency ? `${format.ms(latency.p50)} / ${format.ms(latency.p99)}` : "–");

function nodesTab(page) {
  const table = new Table("Servers of the group", [
    ["Node", () => nameCell()], ["Role", (node) => roleOf(node)], ["State", () => stateCell()],
    ["Lag", (node) => (node.lag_s === null ? "–" : `${format.seconds(node.lag_s)}, ${format.bytes(node.lag_bytes)}`), "number"],
    ["Queries/s", (node) => format.rate(node.requests_per_s), "number"],
    ["Reads", (node) => `${format.rate(node.reads_per_s)}/s, ${format.percent(node.read_share)}`, "number"],
    ["p50 / p99", (node) => percentiles(node.latency_ms), "number"],
    ["Servers", (node) => `${node.busy} of ${node.servers}`, "number"],
    ["Timeline", (node) => node.timeline || "–", "number"],
    ["Actions", () => buttons(page, nodeButtons)],
  ], (node) => node.name, "There are no nodes.");
  const more = oneMore(page);
  return { root: h("div", null, table.root, more.root), update: (state) => {
    table.update(state.nodes);
    more.update(state);
  } };
}

// The balancer has no Docker and no other machine's processes to make a server with, so that nobody who gets at this port
// gets them: this is for the manager, and the page can only say how.
function oneMore(page) {
  const command = h("code", { id: "add-replica" }), why = h("p"), copy = h("button", { type: "button" }, "Copy"), copied = h("span", { role: "status" });
  const root = h("details", { class: "more", hidden: true }, h("summary", null, "Add a replica"), why,
    h("p", { class: "cli" }, command), h("p", { class: "line" }, copy, copied));
  copy.addEventListener("click", async () => {
    getSelection().selectAllChildren(command);
    const done = await navigator.clipboard?.writeText(command.textContent).then(() => true, () => false);  // over plain HTTP there is none
    text(copied, done ? "Copied." : "Selected: copy it with your keyboard.");
  });
  return { root, update: (state) => {
    root.hidden = !page.operator;
    text(why, state.cluster ? `Servers are made by the manager, on the machine where ${state.cluster} was made: the balancer itself can make none. It copies the primary, and the balancer sends reads there once it streams. There:`
      : "Servers are made where they are to run: the balancer itself can make none. Have the new one stream from the primary, name it in \"nodes\" of the balancer's file, and reload it:");
    text(command, state.cluster ? `pgbalancer_cluster add-replica --balancer ${quoted(state.group)} --count 1` : curl("/api/v1/control/reload"));
  } };
}

const poolButtons = (pool, state) => [state.paused_databases.includes(pool.database)
  ? { name: "resume", label: "Resume", spoken: `Resume ${pool.database}`, action: () => actions.resume(pool.database) }
  : { name: "pause", label: "Pause", spoken: `Pause ${pool.database}`, action: () => actions.pause(pool.database) }];

function poolsTab(page) {
  const all = buttons(page, (state) => [state.paused ? { name: "resume", label: "Resume all", spoken: "Resume all databases", action: () => actions.resume("") }
    : { name: "pause", label: "Pause all", spoken: "Pause all databases", action: () => actions.pause("") }]);
  const fact = h("p", { class: "hint" });
  const table = new Table("Pools by database and user", [
    ["Database", (pool) => pool.database], ["User", (pool) => pool.user],
    ["Queries/s", (pool) => format.rate(pool.requests_per_s), "number"], ["Clients", (pool) => format.count(pool.clients), "number"],
    ["Waiting", (pool) => format.count(pool.waiting), "number"], ["Longest wait", (pool) => format.seconds(pool.longest_wait_s), "number"],
    ["Active", (pool) => pool.active, "number"], ["Bound", (pool) => pool.bound, "number"], ["Idle", (pool) => pool.idle, "number"],
    ["Connecting", (pool) => pool.connecting, "number"], ["Actions", () => buttons(page, poolButtons)],
  ], (pool) => `${pool.database}\n${pool.user}`, "No client has come yet.");
  return { root: h("div", null, h("div", { class: "line between" }, fact, all.root), table.root), update: (state) => {
    text(fact, `At most ${state.servers.pool_size} servers for one database, user and node; ${state.servers.in_use} of ${state.servers.open} are in use.`);
    all.update(state);
    const name = (pool) => `${pool.database}\n${pool.user}`;
    table.update([...state.pools].sort((a, b) => (name(a) < name(b) ? -1 : 1)));  // rows that move lose the focus
  } };
}

// Where would this go? Asked of the balancer, which runs nothing for it.
function wayOf() {
  const statement = h("textarea", { rows: "3", maxlength: "8192", spellcheck: "false", autocapitalize: "off", required: true });
  const database = h("input", { type: "text", autocomplete: "off", spellcheck: "false", autocapitalize: "off", placeholder: "postgres" });
  const go = h("button", { type: "submit" }, "Ask"), answer = h("p", { class: "outcome", role: "status", id: "way" });
  const root = h("form", { class: "way" }, h("h3", null, "Where would this go?"),
    h("label", null, "Statement", statement), h("label", null, "Database, for its tables and functions", database),
    h("p", { class: "buttons" }, go), answer,
    h("p", { class: "hint" }, "Nothing is run. The same in a session of your own: ", h("code", null, "EXPLAIN (ROUTE) SELECT …"), "; in a terminal: ", h("code", null, "pgbalancer_cluster why \"SELECT …\""), "."));
  root.addEventListener("submit", async (event) => {
    event.preventDefault();
    go.disabled = true;
    answer.dataset.level = "idle";
    text(answer, "Asking …");
    const body = { statement: statement.value };
    if (database.value) body.database = database.value;
    try {
      const way = await askJson("/api/v1/routes/explain", { method: "POST", body });
      answer.dataset.level = way.node ? "good" : "warn";
      text(answer, `${way.node ? `To ${way.node}, a ${way.role}` : "Nowhere just now"}: ${way.reason}. The statement ${verdictOf(way.verdict)}. Asked as ${way.user} in ${way.database}.`);
    } catch (error) {
      answer.dataset.level = "bad";
      text(answer, error.message);
    }
    go.disabled = false;
  });
  return root;
}

// "reads" is a sentence's end, "empty" is not.
const verdictOf = (verdict) => (/^(not|empty)/.test(verdict) ? `is ${verdict}` : verdict);

function routingTab() {
  const table = new Table("Where requests went since the start, and why", [
    ["Node", (route) => route.node], ["Reason", (route) => route.reason], ["Requests", (route) => format.count(route.requests), "number"],
    ["Share", (route) => format.percent(route.share), "number"],
  ], (route) => `${route.node}\n${route.reason}`, "No request has come yet.");
  return { root: h("div", null, wayOf(), table.root), update: (state) => {
    const total = state.routes.reduce((sum, route) => sum + route.requests, 0);
    table.update(state.routes.map((route) => ({ ...route, share: total ? route.requests / total : 0 })));
  } };
}

const MOST_CLIENTS = 200;

function clientsTab() {
  const table = new Table("Clients", [
    ["Client", (client) => client.address], ["User", (client) => client.user], ["Database", (client) => client.database],
    ["State", (client) => (client.bound ? `${client.state}, bound: ${client.bound}` : client.state)], ["Node", (client) => client.node || "–"],
    ["Waits", (client) => (client.waiting_s > 0 ? format.seconds(client.waiting_s) : "–"), "number"], ["Application", (client) => client.application_name],
    ["Transactions", (client) => format.count(client.transactions), "number"], ["Since", (client) => format.span(client.age_s), "number"],
  ], (client) => client.id, "Nobody is connected.");
  const fact = h("p", { class: "hint", role: "note" });
  let asked = -Infinity;
  return { root: h("div", null, fact, table.root), update: async () => {
    if (performance.now() - asked < 2000) return;  // not for every state: there may be thousands of them
    asked = performance.now();
    try {
      const { clients } = await askJson("/api/v1/clients");
      clients.sort((a, b) => b.waiting_s - a.waiting_s || b.transactions - a.transactions);
      table.update(clients.slice(0, MOST_CLIENTS));
      text(fact, clients.length > MOST_CLIENTS ? `${format.count(clients.length)} clients; the ${MOST_CLIENTS} that wait longest and do most:` : `${clients.length} clients, who waits longest first.`);
    } catch (error) {
      text(fact, `They cannot be shown: ${error.message}`);
    }
  } };
}

function balancerTab(page) {
  const list = h("dl", { class: "facts2" });
  const all = buttons(page, () => [{ name: "reload", label: "Reload the configuration", spoken: "Reload the configuration", action: () => actions.reload() }]);
  const facts = (state) => [
    ["Version", state.version], ["Runs for", format.span(state.uptime_s)],
    ["Clients", `${format.count(state.clients.connected)} of at most ${format.count(state.clients.max)}`], ["Logins refused", format.count(state.clients.refused_total)],
    ["From clients", `${format.bytes(state.rates.bytes_from_clients_per_s)}/s`], ["To clients", `${format.bytes(state.rates.bytes_to_clients_per_s)}/s`],
    ["Durability", state.ha?.durability?.sentence ?? "replication is asynchronous, or looked after elsewhere"],
    ["Who chooses the primary", state.ha ? `the agents; ${state.ha.leader ?? "nobody"} leads under epoch ${state.ha.epoch}` : "nobody that this balancer can ask just now: it knows of no lease store, or that does not answer"],
  ];
  return { root: h("div", null, h("div", { class: "line between" }, list, all.root)), update: (state) => {
    all.update(state);
    keyed(list, facts(state), ([name]) => name, ([name]) => {
      const value = h("dd");
      return { root: h("div", null, h("dt", null, name), value), update: ([, now]) => text(value, now) };
    });
  } };
}

function apiTab() {
  const line = (about, command) => h("li", null, about, h("code", null, command));
  const at = location.origin;
  return { root: h("ul", { class: "api" },
    line("This page as text:", `curl -H 'Accept: text/plain' ${at}/`), line("This page as one document:", `curl ${at}/api/v1/snapshot`),
    line("As a stream:", `curl -N ${at}/api/v1/events`), line("For Prometheus:", `curl ${at}/metrics`), line("In a terminal, like top:", "pgbalancer_cluster top"),
    h("li", null, "Everything else: ", h("a", { href: "/api/v1/openapi.json" }, "/api/v1/openapi.json"), ". Where a token is wanted, send it as ", h("code", null, "-H \"Authorization: Bearer $TOKEN\""), ".")),
    update() {} };
}

export class Tabs {
  constructor(page) {
    const kinds = { Nodes: nodesTab, Pools: poolsTab, Routing: routingTab, Clients: clientsTab, Balancer: balancerTab, API: apiTab };
    this.tabs = Object.entries(kinds).map(([name, make]) => {
      const part = make(page), id = name.toLowerCase();
      const tab = h("button", { type: "button", role: "tab", id: `tab-${id}`, "aria-controls": `panel-${id}`, onclick: () => this.choose(name) }, name);
      const panel = h("div", { role: "tabpanel", id: `panel-${id}`, "aria-labelledby": `tab-${id}` }, part.root);
      return { name, tab, panel, part };
    });
    byId("tabs").append(...this.tabs.map(({ tab }) => tab));
    byId("panels").append(...this.tabs.map(({ panel }) => panel));
    byId("tabs").addEventListener("keydown", (event) => this.key(event));
    this.choose("Nodes");
  }
  choose(name) {
    for (const { name: own, tab, panel } of this.tabs) {
      attr(tab, "aria-selected", own === name ? "true" : "false");
      attr(tab, "tabindex", own === name ? "0" : "-1");
      panel.hidden = own !== name;
    }
    this.chosen = name;
    if (this.state) this.update(this.state);
  }
  key(event) {
    const at = this.tabs.findIndex(({ name }) => name === this.chosen), last = this.tabs.length - 1;
    const next = { ArrowRight: at === last ? 0 : at + 1, ArrowLeft: at === 0 ? last : at - 1, Home: 0, End: last }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    this.choose(this.tabs[next].name);
    this.tabs[next].tab.focus();
  }
  update(state) {
    this.state = state;
    this.tabs.find(({ name }) => name === this.chosen).part.update(state);
  }
}

// The group as a picture: clients, the balancer, each server, who is asked by whom (left) and who streams from whom
// (right). The cards are ordinary elements; the lines between them are drawn where those have come to stand.
import { attr, byId, format, h, keyed, s, text } from "./dom.js";
import { levelOf, mark, roleOf } from "./marks.js";

const lag = (node) => (node.lag_s === null ? "" : node.lag_bytes > 0 ? `${format.seconds(node.lag_s)} behind` : "up to date");

function sentence(node, link) {
  if (node.state === "down" || node.state === "refused") return node.reason;
  if (node.state === "degraded") return node.reason;
  if (node.role === "primary") return "takes writes";
  if (!link) return lag(node);
  if (link.state === "broken") return `does not stream from ${link.from}`;
  return [`streams from ${link.from}`, lag(node)].filter(Boolean).join(", ");
}

function card() {
  const state = mark(), name = h("strong"), role = h("span", { class: "role" }), what = h("span", { class: "what" });
  const share = h("meter", { min: 0, max: 1 }), shareText = h("span", { class: "number" }), load = h("span", { class: "number" });
  const root = h("li", { class: "card node" },
    h("span", { class: "line" }, state.root, name, role),
    what,
    h("span", { class: "line numbers" }, share, shareText, load));
  return {
    root,
    update({ node, link }) {
      state.set(levelOf.node(node.state), node.state);
      text(name, node.name);
      text(role, roleOf(node));
      attr(root, "data-node", node.name);
      attr(root, "data-role", node.role);
      attr(root, "data-state", node.state);
      text(what, sentence(node, link));
      share.value = node.read_share;
      attr(share, "aria-label", `share of the reads of ${node.name}`);
      text(shareText, `${format.percent(node.read_share)} of reads`);
      text(load, `${format.rate(node.requests_per_s)} q/s · ${node.busy}/${node.servers} servers`);
    },
  };
}

export class Topology {
  constructor() {
    this.clients = h("div", { class: "card clients" });
    this.balancer = h("div", { class: "card balancer" });
    this.nodes = h("ul", { class: "nodes", "aria-label": "Servers" });
    this.lines = s("svg", { class: "lines", "aria-hidden": "true" });
    this.root = byId("topology");
    this.root.append(this.lines, this.clients, this.balancer, this.nodes);
    this.nodes.addEventListener("scroll", () => this.draw(), { passive: true });
    new ResizeObserver(() => this.draw()).observe(this.root);
  }

  update(state) {
    const { clients, rates } = state;
    text(this.clients, `${format.count(clients.connected)} client${clients.connected === 1 ? "" : "s"}` +
      (clients.waiting > 0 ? `, ${format.count(clients.waiting)} waiting` : ""));
    attr(this.clients, "data-level", clients.waiting > 0 ? "warn" : "good");
    text(this.balancer, `${state.group} · ${format.rate(rates.requests_per_s)} queries/s` + (state.paused ? " · paused" : ""));
    this.state = state;
    this.links = new Map(state.links.map((link) => [link.to, link]));
    const order = { primary: 0, replica: 1 };
    const nodes = [...state.nodes].sort((a, b) => (order[a.role] ?? 2) - (order[b.role] ?? 2));
    attr(this.nodes, "data-many", nodes.length > 8);
    keyed(this.nodes, nodes.map((node) => ({ node, link: this.links.get(node.name) })), (item) => item.node.name, card);
    this.draw();
  }

  draw() {
    if (!this.state) return;
    const frame = this.root.getBoundingClientRect();
    if (frame.width === 0) return;
    const boxes = new Map(), list = this.nodes.getBoundingClientRect();
    for (const element of this.nodes.children) {
      const box = element.getBoundingClientRect();
      if (box.bottom < list.top || box.top > list.bottom) continue;  // scrolled away
      boxes.set(element.dataset.node, { left: box.left - frame.left, right: box.right - frame.left, y: (box.top + box.bottom) / 2 - frame.top });
    }
    const of = (element) => {
      const box = element.getBoundingClientRect();
      return { left: box.left - frame.left, top: box.top - frame.top, bottom: box.bottom - frame.top };
    };
    attr(this.lines, "viewBox", `0 0 ${frame.width.toFixed(0)} ${frame.height.toFixed(0)}`);
    const paths = [], balancer = of(this.balancer), clients = of(this.clients);
    const rail = balancer.left + 14;
    paths.push({ id: "clients", kind: "ask", d: `M${rail} ${clients.bottom}V${balancer.top}` });
    const most = Math.max(1, ...this.state.nodes.map((node) => node.requests_per_s));
    for (const node of this.state.nodes) {
      const box = boxes.get(node.name);
      if (!box) continue;
      const asked = node.state === "up" || node.state === "degraded", works = asked && node.requests_per_s > 0;
      paths.push({ id: `ask ${node.name}`, kind: asked ? "ask" : "off", wide: works ? 1 + 3 * node.requests_per_s / most : 1,
        d: `M${rail} ${balancer.bottom}V${box.y - 8}Q${rail} ${box.y} ${rail + 8} ${box.y}H${box.left}` });
    }
    this.state.links.forEach((link, index) => {
      const from = boxes.get(link.from), to = boxes.get(link.to);
      if (!from || !to) return;
      const out = Math.min(from.right, to.right) + 8 + Math.min(14, 5 + index * 4), down = to.y > from.y ? 8 : -8;
      paths.push({ id: `stream ${link.to}`, kind: link.state === "broken" ? "off" : link.state === "behind" ? "slow" : "stream", wide: 1.6,
        d: `M${from.right} ${from.y}H${out - 8}Q${out} ${from.y} ${out} ${from.y + down}V${to.y - down}Q${out} ${to.y} ${out - 8} ${to.y}H${to.right + 4}` +
          `m5 -4l-5 4l5 4` });
    });
    keyed(this.lines, paths, (path) => path.id, () => {
      const root = s("path");
      return { root, update: (path) => { attr(root, "class", path.kind); attr(root, "d", path.d); attr(root, "stroke-width", (path.wide ?? 1.6).toFixed(1)); } };
    });
  }
}

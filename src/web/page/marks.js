// A state is a shape, a word and a colour, never a colour alone.
import { attr, h, s, text } from "./dom.js";

const SHAPES = {
  good: "M3.5 8.5 6.5 11.5 12.5 4.5",
  warn: "M8 3V9M8 12V12.5",
  bad: "M4 4 12 12M12 4 4 12",
  unknown: "M5.5 6A2.5 2.5 0 1 1 8.7 8.3Q8 8.6 8 9.6M8 12.4V12.6",
  idle: "M5.5 4V12M10.5 4V12",
  role: "M3 8H13M9 4 13 8 9 12",
  order: "M4 12 11.5 4.5M10 3 13 6M3 13 4 12",
  note: "M4 5H12M4 8H12M4 11H9",
};

// A mark with its word; set(level, word) changes both.
export function mark(withWord = true) {
  const path = s("path");
  const shape = s("svg", { viewBox: "0 0 16 16", class: "shape", "aria-hidden": "true" }, path);
  const word = h("span");
  const root = h("span", { class: "mark" }, shape, withWord ? word : null);
  return {
    root,
    set(level, words) {
      attr(root, "data-level", level);
      attr(path, "d", SHAPES[level] ?? SHAPES.unknown);
      if (withWord) text(word, words);
    },
  };
}

export const levelOf = {
  group: (state) => ({ healthy: "good", degraded: "warn", no_primary: "bad" })[state] ?? "unknown",
  node: (state) => ({ up: "good", degraded: "warn", drained: "idle", down: "bad", refused: "bad" })[state] ?? "unknown",
  event: (event) => (event.kind === "health" ? (/ is (down|refused)/.test(event.text) ? "bad" : "good") : event.kind),
};

// A server that does not answer has no role, but it was something.
export const roleOf = (node) => (node.role === "unknown" && node.last_role !== "unknown" ? `was ${node.last_role}` : node.role);

export const words = { healthy: "healthy", degraded: "degraded", no_primary: "no primary" };

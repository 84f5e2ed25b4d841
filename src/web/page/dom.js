// Elements without a framework: h() makes them, set() and keyed() change only what has changed, so that focus, selection
// and what is open stay as they are. Text is only ever inserted as text.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== undefined && value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

export const h = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
export const s = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);
export const byId = (id) => document.getElementById(id);

export function text(element, value) {
  const wanted = String(value);
  if (element.textContent !== wanted) element.textContent = wanted;
}

export function attr(element, name, value) {
  if (value === null || value === undefined || value === false) {
    if (element.hasAttribute(name)) element.removeAttribute(name);
    return;
  }
  const wanted = value === true ? "" : String(value);
  if (element.getAttribute(name) !== wanted) element.setAttribute(name, wanted);
}

// The children of `parent` become one for each item, in their order. `make(item)` gives {root, update(item)}.
export function keyed(parent, items, key, make) {
  const known = (parent.keyedParts ??= new Map());
  const names = items.map(key), wanted = new Set(names);
  for (const [name, part] of known) {
    if (wanted.has(name)) continue;
    part.root.remove();
    known.delete(name);
  }
  let place = parent.firstChild;
  items.forEach((item, i) => {
    let part = known.get(names[i]);
    if (!part) known.set(names[i], (part = make(item)));
    part.update(item);
    if (part.root === place) place = place.nextSibling;
    else parent.insertBefore(part.root, place);  // what stands where it stood is not touched: it may have the focus
  });
}

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const tenth = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });

export const format = {
  count: (value) => whole.format(value),
  rate: (value) => (value >= 100 || value === 0 ? whole : tenth).format(value),
  percent: (value) => `${whole.format(value * 100)} %`,
  ms: (value) => (value === null || value === undefined ? "–" : `${(value < 10 ? tenth : whole).format(value)} ms`),
  seconds(value) {
    if (value === null || value === undefined) return "–";
    return value < 1 ? `${whole.format(value * 1000)} ms` : `${tenth.format(value)} s`;
  },
  bytes(value) {
    const units = ["B", "kB", "MB", "GB", "TB"];
    let unit = 0;
    for (; value >= 1024 && unit < units.length - 1; ++unit) value /= 1024;
    return `${(value < 10 && unit > 0 ? tenth : whole).format(value)} ${units[unit]}`;
  },
  time: (text) => new Date(text).toLocaleTimeString([], { hour12: false }),
  span(seconds) {
    const days = Math.floor(seconds / 86400), hours = Math.floor(seconds / 3600) % 24, minutes = Math.floor(seconds / 60) % 60;
    if (days > 0) return `${days} d ${hours} h`;
    return hours > 0 ? `${hours} h ${minutes} min` : minutes > 0 ? `${minutes} min` : `${Math.floor(seconds)} s`;
  },
};

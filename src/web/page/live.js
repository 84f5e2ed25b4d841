// Where the state comes from: one snapshot, then the stream of events; a poll every two seconds where no stream can be
// had. Whatever breaks is tried again, and the age of the newest message is always known.

const RETRY_MS = 1000, POLL_MS = 2000, SILENT_MS = 5000;

export class Refused extends Error {}

export const session = {
  get token() { return sessionStorage.getItem("pgbalancer.token") ?? ""; },
  get user() { return sessionStorage.getItem("pgbalancer.user") ?? ""; },
  keep(token, user) {
    sessionStorage.setItem("pgbalancer.token", token);
    sessionStorage.setItem("pgbalancer.user", user);
  },
  forget() {
    sessionStorage.removeItem("pgbalancer.token");
    sessionStorage.removeItem("pgbalancer.user");
  },
};

// The answer's document. Throws Refused if a login is needed, Error with the balancer's sentence for any other refusal.
export async function ask(path, { method = "GET", body, signal, headers = {} } = {}) {
  const all = { ...headers };
  if (session.token) all.authorization = `Bearer ${session.token}`;
  if (body !== undefined) all["content-type"] = "application/json";
  const answer = await fetch(path, { method, signal, headers: all, cache: "no-store",
    body: body === undefined ? undefined : JSON.stringify(body) });
  if (answer.ok) return answer;
  const text = await answer.text();
  let sentence = text.trim() || `${path}: ${answer.status}`;
  try {
    const problem = JSON.parse(text);
    sentence = problem.error ?? problem.detail ?? problem.title ?? sentence;
  } catch { /* it is no JSON: shown as it is */ }
  if (answer.status === 401) throw new Refused(sentence);
  throw Object.assign(new Error(sentence), { status: answer.status });
}

export const askJson = async (path, options) => (await ask(path, options)).json();

// Server-sent events out of pieces of text.
export function* messages(state, piece) {
  state.rest += piece.replaceAll("\r", "");
  for (let end; (end = state.rest.indexOf("\n\n")) >= 0;) {
    const message = { event: "message", data: "", id: undefined };
    for (const line of state.rest.slice(0, end).split("\n")) {
      const [, field, value] = /^([^:]*):? ?(.*)$/.exec(line) ?? [];
      if (field === "data") message.data += value;
      else if (field === "event" || field === "id") message[field] = value;
    }
    state.rest = state.rest.slice(end + 2);
    if (message.data) yield message;
  }
}

export class Feed {
  // `on`: {snapshot, state, event, refused, trouble}, each a function.
  constructor(on) {
    this.on = on;
    this.heard = 0;      // performance.now() of the newest message; 0: none yet
    this.lastEvent = "";
    this.controller = null;
    this.round = 0;
  }

  // Begins anew, with the token that is known now.
  start() {
    this.controller?.abort();
    this.run(++this.round);
  }

  async run(round) {
    while (round === this.round) {
      let pause = RETRY_MS;
      try {
        await this.follow();
      } catch (error) {
        if (round !== this.round) return;
        if (error instanceof Refused) return this.on.refused(error.message);
        if (error.status === 503) pause = POLL_MS;  // no stream to be had; the snapshot was there
        else this.on.trouble(error.message);
      }
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  }

  async follow() {
    this.controller = new AbortController();
    const { signal } = this.controller;
    const snapshot = await askJson("/api/v1/snapshot", { signal: AbortSignal.any([signal, AbortSignal.timeout(SILENT_MS)]) });
    this.heard = performance.now();
    this.on.snapshot(snapshot);
    const newest = snapshot.events.reduce((most, event) => Math.max(most, event.id), 0);
    const answer = await ask("/api/v1/events", { signal, headers: { accept: "text/event-stream", "last-event-id": String(newest) } });
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    const state = { rest: "" };
    for (;;) {
      const timer = setTimeout(() => this.controller.abort(), SILENT_MS);  // a connection that is dead but not closed
      const { done, value } = await reader.read().finally(() => clearTimeout(timer));
      if (done) return;
      this.heard = performance.now();
      for (const message of messages(state, value)) this.on[message.event]?.(JSON.parse(message.data));
    }
  }
}

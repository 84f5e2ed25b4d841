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
    body: body === undefined ? undefined : JSON.stringify(body) }).catch((error) => {
    if (signal?.aborted) throw error;
    throw new Error(method === "GET" ? "the balancer does not answer" : "The balancer did not answer: whether it has done it is not known. Look before you ask again.");
  });
  if (answer.ok) return answer;
  const text = await answer.text();
  let sentence = text.trim() || `${path}: ${answer.status}`;
  try {
    const problem = JSON.parse(text);
    sentence = problem.detail ?? problem.title ?? sentence;
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
  // `on`: {snapshot, state, event, refused, trouble}, each a function; the last two get the balancer's sentence, trouble
  // an empty one if there was no answer.
  constructor(on) {
    this.on = on;
    this.seen = 0;       // performance.now() when what the newest message tells was so; 0: nothing was told yet
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
        if (error.status === 503 && this.polls) pause = POLL_MS;  // no stream to be had; the snapshot was there
        else this.on.trouble(error.status ? error.message : "");
      }
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  }

  async follow() {
    this.controller = new AbortController();
    const { signal } = this.controller;
    this.polls = false;
    const snapshot = await askJson("/api/v1/snapshot", { signal: AbortSignal.any([signal, AbortSignal.timeout(SILENT_MS)]) });
    this.note(snapshot);
    this.polls = true;
    this.on.snapshot(snapshot);
    const answer = await ask("/api/v1/events", { signal, headers: { accept: "text/event-stream", "last-event-id": snapshot.last_event_id } });
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    const state = { rest: "" };
    for (;;) {
      const timer = setTimeout(() => this.controller.abort(), SILENT_MS);  // a connection that is dead but not closed
      const { done, value } = await reader.read().finally(() => clearTimeout(timer));
      if (done) return;
      for (const message of messages(state, value)) {
        const data = JSON.parse(message.data);
        if (message.event === "state") this.note(data);
        this.on[message.event]?.(data);
      }
    }
  }

  // The balancer says how old its state is, by its own clock: that it answers does not make it new.
  note(state) { this.seen = performance.now() - state.age_s * 1000; }
}

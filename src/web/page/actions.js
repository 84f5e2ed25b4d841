// What an operator can do, each behind a dialog that says what it comes to and how to do the same in a terminal.
import { byId, format, h, text } from "./dom.js";
import { ask, askJson, session } from "./live.js";

export const quoted = (word) => (/^[\w.:-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`);
export const curl = (path) => `curl -X POST -H "Authorization: Bearer $TOKEN" ${quoted(location.origin + path)}`;

// `facts(state)`: sentences, measured; `word`: what has to be typed; `path`: what is posted.
const nodePath = (node, command) => `/api/v1/nodes/${encodeURIComponent(node)}/${command}`;

export const actions = {
  promote: (node) => ({
    title: `Make ${node} the primary`, button: "Switch over", word: node,
    facts(state) {
      const target = state.nodes.find((one) => one.name === node), primary = state.nodes.find((one) => one.role === "primary" && one.state !== "drained");
      return [`${primary ? primary.name : "nobody"} is the primary now${state.ha ? ` (epoch ${state.ha.epoch})` : ""}; ${node} is ${format.bytes(target?.lag_bytes ?? 0)} behind.`,
        "Nothing is lost: the primary stops in order, and the other takes over once it has everything.",
        `Writes wait meanwhile, as a rule for less than a second; ${format.rate(state.rates.requests_per_s)} queries a second are coming in. Transactions that are open at the primary end with an error.`];
    },
    path: nodePath(node, "promote"), cli: (state) => `pgbalancer_cluster switchover --balancer ${quoted(state.group)} --to ${quoted(node)}`,
  }),
  detach: (node) => ({
    title: `Detach ${node}`, button: "Detach",
    facts(state) {
      const target = state.nodes.find((one) => one.name === node), others = state.nodes.filter((one) => one.name !== node && one.role === "replica" && one.state === "up");
      return [`${node} gets no new work. ${target?.busy ?? 0} of its ${target?.servers ?? 0} connections work just now; they are closed as they become free.`,
        target?.role === "primary" ? "It is the primary: all writes wait until it is attached again." : `${others.length} other replica${others.length === 1 ? "" : "s"} take its ${format.percent(target?.read_share ?? 0)} of the reads.`];
    },
    path: nodePath(node, "detach"), cli: () => curl(nodePath(node, "detach")),
  }),
  attach: (node) => ({
    title: `Attach ${node}`, button: "Attach", facts: () => [`${node} gets work again.`],
    path: nodePath(node, "attach"), cli: () => curl(nodePath(node, "attach")),
  }),
  pause: (database) => {
    const path = `/api/v1/control/pause${database ? `?database=${encodeURIComponent(database)}` : ""}`;
    return {
      title: database ? `Pause ${database}` : "Pause all databases", button: "Pause",
      facts: (state) => [`Transactions that are open end, connections to servers are closed, and new work waits until somebody resumes. ${format.rate(state.rates.requests_per_s)} queries a second are coming in, of ${format.count(state.clients.connected)} clients.`],
      path, cli: () => curl(path),
    };
  },
  resume: (database) => {
    const path = `/api/v1/control/resume${database ? `?database=${encodeURIComponent(database)}` : ""}`;
    return { title: database ? `Resume ${database}` : "Resume all databases", button: "Resume", facts: (state) => [`${format.count(state.clients.waiting)} clients wait; they go on.`], path, cli: () => curl(path) };
  },
  reload: () => ({
    title: "Reload the configuration", button: "Reload",
    facts: () => ["The balancer reads its file again. A mistake in it changes nothing and is shown here."],
    path: "/api/v1/control/reload", cli: () => curl("/api/v1/control/reload"),
  }),
};

let number = 0;

function dialog(title, ...content) {
  const id = `dialog-${++number}`;
  const root = h("dialog", { "aria-labelledby": id, class: "dialog" }, h("h2", { id }, title), ...content);
  root.addEventListener("close", () => root.remove());
  byId("page").append(root);
  root.showModal();
  return root;
}

// `state`: as it is at that moment. What comes of it, the stream tells.
export function confirm(action, state) {
  const word = h("input", { type: "text", autocomplete: "off", spellcheck: "false", autocapitalize: "off" });
  const go = h("button", { type: "submit", class: "primary", disabled: Boolean(action.word) }, action.button);
  const outcome = h("p", { class: "outcome", role: "status" });
  const cancel = h("button", { type: "button" }, "Cancel");
  word.addEventListener("input", () => { go.disabled = word.value !== action.word; });
  const form = h("form", { method: "dialog" },
    h("ul", { class: "facts" }, action.facts(state).map((fact) => h("li", null, fact))),
    h("p", { class: "cli" }, "The same in a terminal:", h("code", null, action.cli(state))),
    action.word ? h("label", null, "To confirm, type ", h("b", null, action.word), word) : null,
    outcome, h("p", { class: "buttons" }, cancel, go));
  const root = dialog(action.title, form);
  cancel.addEventListener("click", () => root.close());
  (action.word ? word : cancel).focus();
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (go.disabled) return;
    go.disabled = true;
    outcome.dataset.level = "idle";
    text(outcome, "Asked; waiting for the answer …");
    try {
      const answer = await askJson(action.path, { method: "POST" });
      outcome.dataset.level = answer.done === false ? "warn" : "good";
      text(outcome, answer.text || "Done.");
      go.remove();
      text(cancel, "Close");
      cancel.focus();
    } catch (error) {
      outcome.dataset.level = "bad";
      text(outcome, error.message);
      go.disabled = false;
    }
  });
  return root;
}

export function logIn(done) {
  const user = h("input", { type: "text", name: "username", autocomplete: "username", autocapitalize: "off", spellcheck: "false" });
  const password = h("input", { type: "password", name: "password", autocomplete: "current-password" });
  const token = h("input", { type: "password", name: "token", autocomplete: "off" });
  const outcome = h("p", { class: "outcome", role: "alert" });
  const cancel = h("button", { type: "button" }, "Cancel");
  const form = h("form", { method: "dialog" },
    h("label", null, "User", user), h("label", null, "Password", password),
    h("details", null, h("summary", null, "With a token instead"), h("label", null, "Token", token)),
    h("p", { class: "hint" }, "Kept for this tab only, until it is closed."),
    outcome, h("p", { class: "buttons" }, cancel, h("button", { type: "submit", class: "primary" }, "Log in")));
  const root = dialog("Log in", form);
  cancel.addEventListener("click", () => root.close());
  user.focus();
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    outcome.dataset.level = "idle";
    text(outcome, "Asking …");
    const before = [session.token, session.user];
    session.forget();
    try {
      if (token.value) {
        session.keep(token.value.trim(), "");
        await ask("/api/v1/snapshot");
      } else {
        const answer = await askJson("/api/v1/auth/login", { method: "POST", body: { username: user.value, password: password.value } });
        session.keep(answer.token, user.value);
      }
      root.close();
      done();
    } catch (error) {
      session.keep(...before);
      outcome.dataset.level = "bad";
      text(outcome, error.message);
      password.value = "";
    }
  });
}

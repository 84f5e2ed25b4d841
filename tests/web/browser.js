// A browser for tests/harness/browser.py: takes one JSON command a line, answers with one JSON line. Everything that a page
// does wrong by itself is kept: errors on the console, requests to other origins, violations of its own policy, long tasks.
"use strict";
const readline = require("node:readline");
const { chromium } = require("playwright-core");
const axe = require("axe-core");

let browser, context, page, faults;

function watch() {  // runs in the page, before anything of it does
  window.seen = { policy: [], long: [] };
  document.addEventListener("securitypolicyviolation", (event) => window.seen.policy.push(`${event.violatedDirective} ${event.blockedURI}`));
  if (window.PerformanceObserver?.supportedEntryTypes.includes("longtask")) {
    new PerformanceObserver((list) => window.seen.long.push(...list.getEntries().map((entry) => entry.duration))).observe({ type: "longtask" });
  }
}

const commands = {
  async open({ url, width = 1280, height = 900, scheme = "light", script = true, storage = {}, replace = {} }) {
    await context?.close();
    context = await browser.newContext({ viewport: { width, height }, colorScheme: scheme, javaScriptEnabled: script });
    page = await context.newPage();
    faults = { console: [], foreign: [] };
    page.on("console", (message) => message.type() === "error" && faults.console.push(message.text()));
    page.on("pageerror", (error) => faults.console.push(String(error)));
    page.on("request", (request) => {
      if (new URL(request.url()).origin !== new URL(url).origin) faults.foreign.push(request.url());
    });
    // For control runs: a file of the page with one text in place of another.
    for (const [path, [from, to]] of Object.entries(replace)) {
      await page.route(`**${path}`, async (route) => {
        const answer = await route.fetch();
        const body = await answer.text();
        if (!body.includes(from)) throw new Error(`${path} does not hold ${from}`);
        await route.fulfill({ response: answer, body: body.replaceAll(from, to) });
      });
    }
    if (script) {
      await page.addInitScript(watch);
      await page.addInitScript((items) => {
        for (const [key, value] of Object.entries(items)) if (sessionStorage.getItem(key) === null) sessionStorage.setItem(key, value);
      }, storage);
    }
    await page.goto(url, { waitUntil: "load" });
  },
  eval: ({ code }) => page.evaluate(code),
  // Not waitForFunction(): that would evaluate text in the page, which the page's policy forbids.
  async wait({ code, limit }) {
    const until = Date.now() + limit * 1000;
    let last;
    do {
      try {
        last = await page.evaluate(code);
        if (last) return;
      } catch (error) {
        last = String(error);
      }
      await new Promise((resolve) => setTimeout(resolve, 30));
    } while (Date.now() < until);
    throw new Error(`not within ${limit} s: ${code}; last seen: ${last}`);
  },
  press: ({ key }) => page.keyboard.press(key),
  type: ({ text }) => page.keyboard.type(text),
  click: ({ selector }) => page.click(selector, { timeout: 10000 }),
  text: ({ selector }) => page.innerText(selector, { timeout: 10000 }),
  size: ({ width, height }) => page.setViewportSize({ width, height }),
  shot: async ({ path, whole = true }) => { await page.screenshot({ path, fullPage: whole }); },
  async axe() {
    await page.evaluate(axe.source);
    const { violations } = await page.evaluate(() => window.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }));
    return violations.map(({ id, impact, nodes }) => ({ id, impact, where: nodes.map((node) => `${node.target.join(" ")}: ${node.failureSummary}`) }));
  },
  async faults() {
    const seen = await page.evaluate(() => window.seen ?? { policy: [], long: [] });
    return { ...faults, ...seen };
  },
};

async function main() {
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox", "--disable-gpu"] });
  process.stdout.write(`${JSON.stringify({ ok: await browser.version() })}\n`);
  for await (const line of readline.createInterface({ input: process.stdin })) {
    let answer;
    try {
      const { what, ...how } = JSON.parse(line);
      answer = { ok: (await commands[what](how)) ?? null };
    } catch (error) {
      answer = { error: String(error) };
    }
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  }
  await browser.close();
}

main().catch((error) => {
  process.stdout.write(`${JSON.stringify({ error: String(error) })}\n`);
  process.exit(1);
});

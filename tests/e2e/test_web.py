"""The web page in a real browser, beside what the servers and the command line say. Screenshots are kept in PGB_SHOTS, else in
the folder pgbalancer-screenshots of the machine's temporary files."""
import contextlib
import json
import random
import signal
import threading
import time
import urllib.error
import urllib.request

import psycopg2
import pytest

from harness.alone import node_of, standing_alone, standing_group
from harness.browser import Browser, BrowserError, Unavailable
from harness.terminal import Terminal
from harness.waiting import wait_until

SHOWN = "document.querySelectorAll('.node').length >= {} && !document.body.classList.contains('old')"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    folder = tmp_path_factory.mktemp("web")
    try:
        it = Browser(folder)
    except Unavailable as reason:
        pytest.skip(f"no browser: {reason}")
    yield it
    it.close()


class Cluster:
    """A real one, whose agents choose the primary, with somebody at work in it."""

    def __init__(self, sandbox):
        self.sandbox = sandbox
        sandbox.document["ha"] = {"failover": True}
        sandbox.write()
        sandbox.init()
        secrets = json.loads((sandbox.state_dir / sandbox.name / "secrets.json").read_text())
        self.token = secrets["balancer_token"]
        self.password = sandbox.password()
        self.page = f"http://127.0.0.1:{sandbox.balancer()['rest_api_port']}/"
        sandbox.query("CREATE TABLE t(id int PRIMARY KEY, v int)")
        sandbox.query("INSERT INTO t SELECT i, 0 FROM generate_series(1, 100) i")
        sandbox.wait_healthy()
        self.ended = threading.Event()
        self.workers = [threading.Thread(target=self.work, args=(sandbox.url(),)) for _ in range(3)]
        for worker in self.workers:
            worker.start()

    def work(self, url: str) -> None:
        while not self.ended.is_set():
            with contextlib.suppress(psycopg2.Error), contextlib.closing(psycopg2.connect(url, connect_timeout=5)) as connection:
                connection.autocommit = True
                cursor = connection.cursor()
                while not self.ended.wait(0.05):
                    for _ in range(random.randint(1, 10)):
                        cursor.execute("SELECT v FROM t WHERE id = %s", (random.randint(1, 100),))
                    cursor.execute("UPDATE t SET v = v + 1 WHERE id = %s", (random.randint(1, 100),))

    def roles(self) -> dict[str, str]:
        """As the servers say."""
        return {name: "replica" if self.sandbox.value("SELECT pg_is_in_recovery()", name) else "primary"
                for name in self.sandbox.hosts()}

    def primary(self) -> str:
        return next(name for name, role in self.roles().items() if role == "primary")

    def wait_whole(self) -> None:
        """Everybody is back, and there is a replica to hand over to."""
        self.sandbox.wait_healthy(90)
        wait_until(lambda: self.sandbox.group()["durability"].startswith("ANY 1"), 30, "commits wait for a replica")

    def open(self, browser, token=True, **how) -> None:
        browser.open(self.page, self.token if token else "", **how)
        browser.wait(SHOWN.format(3), 15)

    def close(self) -> None:
        self.ended.set()
        for worker in self.workers:
            worker.join()


@pytest.fixture(scope="module")
def cluster(make_sandbox):
    with make_sandbox("process") as sandbox:
        it = Cluster(sandbox)
        yield it
        it.close()


@pytest.fixture(scope="module")
def small():
    """A server and a balancer alone."""
    with standing_alone("host all all all scram-sha-256") as (_, balancer):
        yield balancer


def shown_roles(browser) -> dict[str, str]:
    return browser.eval("Object.fromEntries([...document.querySelectorAll('.node')].map("
                        "(card) => [card.dataset.node, card.dataset.role]))")


def fetch(url: str, method: str = "GET", **headers):
    """(status, headers, body)"""
    request = urllib.request.Request(url, method=method, headers={key.replace("_", "-"): value for key, value in headers.items()})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, dict(answer.headers), answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, dict(refused.headers), refused.read().decode()


# --- what is shown is what is


def test_the_roles_are_those_that_the_servers_have(browser, cluster):
    cluster.open(browser)
    assert shown_roles(browser) == cluster.roles()
    browser.wait("document.querySelector('#state').textContent === 'healthy'", 10)  # the balancer hears of the last replica, too
    assert browser.text("#group") == "lb1"
    browser.wait("document.querySelectorAll('#chart-queries .plot path.line').length === 3 &&"
                 "[...document.querySelectorAll('#chart-queries .plot path.line')].every((line) => line.getAttribute('d').includes('L'))")
    browser.wait("/[1-9]/.test(document.querySelector('#chart-queries dd').textContent)")
    # Lines end where "now" is, also after some states have come.
    browser.eval("performance.clearMeasures()")
    browser.wait("performance.getEntriesByName('update').length >= 5", 20)
    ends = browser.eval("[...document.querySelectorAll('#chart-queries .plot path.line')].map((line) =>"
                        "Number(/([\\d.]+) [\\d.]+$/.exec(line.getAttribute('d'))[1]))")
    assert all(475 < x <= 477 for x in ends), ends
    # Who streams from whom: a line to each replica.
    browser.wait("document.querySelectorAll('.lines .stream').length === 2")
    snapshot = json.loads(fetch(cluster.page + "api/v1/snapshot", Authorization=f"Bearer {cluster.token}")[2])
    assert {(link["from"], link["to"], link["state"], link["source"]) for link in snapshot["links"]} == {
        ("primary1", "replica1", "streaming", "agent"), ("primary1", "replica2", "streaming", "agent")}
    assert snapshot["ha"]["epoch"] >= 1 and snapshot["ha"]["durability"]["mode"] == "quorum"
    assert snapshot["rates"]["requests_per_s"] > 1 and 0 < snapshot["rates"]["latency_ms"]["p50"] < 1000
    browser.shot("cluster")
    browser.check_faults()


def test_numbers_are_the_same_as_those_of_prometheus(cluster):
    metrics = fetch(cluster.page + "metrics", Authorization=f"Bearer {cluster.token}")[2]
    clients = next(float(line.split()[1]) for line in metrics.splitlines() if line.startswith("pgbalancer_clients "))
    snapshot = json.loads(fetch(cluster.page + "api/v1/snapshot", Authorization=f"Bearer {cluster.token}")[2])
    assert abs(snapshot["clients"]["connected"] - clients) <= 1
    shares = [node["read_share"] for node in snapshot["nodes"]]
    assert abs(sum(shares) - 1) < 0.01, shares


def test_nothing_grave_for_whoever_cannot_see_or_point(browser, cluster):
    for scheme in ("light", "dark"):
        cluster.open(browser, scheme=scheme)
        browser.eval("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
        for tab in ("nodes", "pools", "routing", "clients", "balancer", "api"):
            browser.do("click", selector=f"#tab-{tab}")
            browser.wait(f"!document.querySelector('#panel-{tab}').hidden")
            time.sleep(0.5)
            browser.check_axe()
            browser.shot(f"tab-{tab}-{scheme}")
        browser.do("click", selector="#tab-nodes")
        browser.do("click", selector="[aria-label='Detach replica1']")
        browser.check_axe()
        browser.shot(f"dialog-{scheme}", whole=False)
        browser.press("Escape")
        browser.check_faults()


def test_the_check_for_accessibility_finds_what_is_wrong(browser, cluster):
    """A control: the same page with a colour that nobody can read."""
    cluster.open(browser, replace={"/ui/style.css": ["--dim: light-dark(#4d5a6a, #a2b0c2)", "--dim: #d8dce2"]})
    with pytest.raises(AssertionError, match="color-contrast"):
        browser.check_axe()


@pytest.mark.parametrize("width", [320, 768, 1280, 1920])
def test_fits_every_width(browser, cluster, width):
    cluster.open(browser, width=width, height=900)
    wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert browser.eval(wide) == 0
    browser.shot(f"width-{width}")
    browser.do("click", selector="[aria-label='Make primary: replica1']")
    assert browser.eval(wide) == 0
    assert browser.eval("document.querySelector('dialog').getBoundingClientRect().right <= innerWidth")
    browser.press("Escape")


# --- what can be done


def test_nothing_is_offered_without_a_token(browser, cluster):
    cluster.open(browser, token=False)
    assert browser.eval("[...document.querySelectorAll('.rowbuttons button')].length") == 0
    for tab in ("pools", "balancer"):
        browser.do("click", selector=f"#tab-{tab}")
        assert browser.eval("[...document.querySelectorAll('.rowbuttons button')].length") == 0
    status, _, _ = fetch(cluster.page + "api/v1/nodes/replica1/detach", "POST")
    assert status in (401, 403)
    assert cluster.sandbox.node("replica1")["state"] == "streaming"


def log_in(browser, cluster, password: str) -> None:
    browser.focus_on("#login")
    browser.press("Enter")
    browser.wait("document.querySelector('dialog')")
    browser.do("type", text="postgres")
    browser.press("Tab")
    browser.do("type", text=password)
    browser.press("Enter")


def test_a_login_gives_the_actions_and_a_wrong_one_says_so(browser, cluster):
    cluster.open(browser, token=False)
    log_in(browser, cluster, "wrong")
    browser.wait("document.querySelector('dialog .outcome')?.dataset.level === 'bad'")
    assert "Asking" not in browser.text("dialog .outcome")
    browser.press("Escape")
    log_in(browser, cluster, cluster.password)
    browser.wait("document.querySelectorAll('.rowbuttons button').length > 0", 15)
    assert browser.text("#login").startswith("Log out")
    assert cluster.password not in browser.eval("document.documentElement.outerHTML + JSON.stringify({...sessionStorage, ...localStorage})")
    # The one fault is the browser's own line about the refused login.
    faults = browser.do("faults")
    assert [line for line in faults["console"] if "401" not in line] == []
    assert not faults["policy"] and not faults["foreign"]


def test_detach_and_attach(browser, cluster):
    cluster.open(browser)
    browser.do("click", selector="[aria-label='Detach replica2']")
    facts = browser.text("dialog .facts")
    assert "connections work just now" in facts and "1 other replica take" in facts, facts
    command = browser.text("dialog code")
    assert command.startswith("curl -X POST") and cluster.token not in command
    browser.do("click", selector="dialog button.primary")
    browser.wait("document.querySelector('.node[data-node=replica2]').dataset.state === 'drained'")
    assert "replica2" in browser.text("dialog .outcome")
    browser.press("Enter")  # on "Close", which has the focus
    browser.wait("!document.querySelector('dialog')")
    browser.wait("document.querySelector('#events').textContent.includes('replica2 gets no new work')")
    browser.do("click", selector="[aria-label='Attach replica2']")
    browser.do("click", selector="dialog button.primary")
    browser.wait("document.querySelector('.node[data-node=replica2]').dataset.state === 'up'")
    browser.check_faults()


def test_a_pause_is_shown_with_those_who_wait(browser, cluster):
    cluster.open(browser)
    browser.do("click", selector="#tab-pools")
    browser.do("click", selector="[aria-label='Pause all databases']")
    try:
        browser.do("click", selector="dialog button.primary")
        browser.wait("/paused/.test(document.querySelector('#banner').textContent)")
        browser.wait("/3 waiting/.test(document.querySelector('.clients').textContent)", 15)
        browser.press("Escape")
        browser.shot("paused")
        browser.do("click", selector="[aria-label='Resume all databases']")
        browser.do("click", selector="dialog button.primary")
        browser.wait("document.querySelector('#banner').hidden")
    finally:
        fetch(cluster.page + "api/v1/control/resume", "POST", Authorization=f"Bearer {cluster.token}")
    browser.check_faults()


def test_a_refusal_is_shown(browser, cluster):
    cluster.open(browser, replace={"/ui/actions.js": ['path: nodePath(node, "detach")', 'path: nodePath("nobody", "detach")']})
    browser.do("click", selector="[aria-label='Detach replica2']")
    browser.do("click", selector="dialog button.primary")
    browser.wait("document.querySelector('dialog .outcome').dataset.level === 'bad'")
    assert "there is no node nobody" in browser.text("dialog .outcome")


def test_a_switchover_by_the_keyboard_alone(browser, cluster):
    cluster.wait_whole()
    before = cluster.primary()
    target = next(name for name in cluster.sandbox.hosts() if name != before)
    cluster.open(browser)
    browser.eval("window.spoken = []; new MutationObserver(() => spoken.push(document.querySelector('#announcer').textContent))"
                 ".observe(document.querySelector('#announcer'), {childList: true})")
    browser.focus_on(f"[aria-label='Make primary: {target}']")
    browser.press("Enter")
    browser.wait("document.querySelector('dialog')")
    facts = browser.text("dialog .facts")
    assert f"{before} is the primary now (epoch " in facts and f"{target} is " in facts and "behind" in facts
    assert f"pgbalancer_cluster switchover --balancer lb1 --to {target}" in browser.text("dialog code")
    assert browser.eval("document.querySelector('dialog button.primary').disabled")
    browser.do("type", text=target)
    browser.press("Enter")
    browser.shot("switchover", whole=False)
    browser.wait("document.querySelector('dialog .outcome').dataset.level === 'good'", 40)
    assert f"from {before} to {target}" in browser.text("dialog .outcome")
    browser.press("Enter")
    browser.wait(f"document.querySelector('.node[data-node={target}]').dataset.role === 'primary'", 10)
    wait_until(lambda: cluster.primary() == target, 20, "the servers say so, the former primary is back")
    assert next(node["name"] for node in cluster.sandbox.group()["nodes"] if node["role"] == "primary") == target
    browser.wait("document.querySelectorAll('#chart-queries .marks .mark').length > 0")
    spoken = browser.eval("window.spoken.join('; ')")
    assert f"{target} primary" in spoken and f"{before} replica" in spoken, spoken
    cluster.wait_whole()
    browser.check_faults()


def ask_way(browser, statement: str, database: str = "") -> str:
    browser.eval("document.querySelectorAll('.way textarea, .way input').forEach((field) => { field.value = ''; })")
    browser.do("click", selector=".way textarea")
    browser.do("type", text=statement)
    browser.press("Tab")
    browser.do("type", text=database)
    browser.press("Enter")
    browser.wait("['good', 'warn', 'bad'].includes(document.querySelector('#way').dataset.level)")
    level, text = browser.eval("document.querySelector('#way').dataset.level"), browser.text("#way")
    browser.eval("document.querySelector('#way').dataset.level = 'idle'")
    return f"{level} {text}"


def test_it_says_where_a_statement_would_go(browser, cluster):
    cluster.wait_whole()
    cluster.open(browser, token=False)  # to look is enough
    browser.do("click", selector="#tab-routing")
    before = cluster.sandbox.value("SELECT count(*) FROM t")
    primary = cluster.primary()
    # The first question about a database lets its catalogue be read.
    wait_until(lambda: "not known yet" not in ask_way(browser, "SELECT * FROM t WHERE id = 1"), 20, "the catalogue is known")
    told = ask_way(browser, "SELECT * FROM t WHERE id = 1")
    assert told.startswith("good To ") and "The statement reads." in told and "in postgres" in told, told
    told = ask_way(browser, "DELETE FROM t")
    assert told.startswith(f"good To {primary}, a primary: ") and "The statement writes." in told, told
    browser.shot("where-would-this-go")
    assert cluster.sandbox.value("SELECT count(*) FROM t") == before
    assert ask_way(browser, "what is this").find("is not understood") > 0
    told = ask_way(browser, "SELECT 1", "nowhere")
    assert told.startswith("bad ") and "nowhere" in told, told
    browser.check_axe()
    faults = browser.do("faults")
    assert [line for line in faults["console"] if "409" not in line] == [] and not faults["policy"]


def test_how_to_add_a_replica_is_said_to_operators(browser, cluster):
    cluster.open(browser, token=False)
    assert browser.eval("document.querySelector('.more').hidden")
    cluster.open(browser)
    browser.wait("!document.querySelector('.more').hidden")
    browser.do("click", selector=".more summary")
    command = browser.text("#add-replica")
    assert command == "pgbalancer_cluster add-replica --balancer lb1 --count 1"
    assert cluster.sandbox.name in browser.text(".more") and "the balancer itself can make none" in browser.text(".more")
    browser.do("click", selector=".more button")
    browser.wait("/Copied|Selected/.test(document.querySelector('.more').textContent)")
    assert browser.eval("getSelection().toString()") == command
    browser.check_axe()
    browser.shot("add-replica")
    # It is a command that the manager takes, word by word.
    told = cluster.sandbox.run(*command.split()[1:], "--dry-run").out
    assert "replica3" in told, told
    browser.check_faults()


def test_who_is_logged_out_is_told_why(browser, cluster):
    cluster.open(browser)
    browser.eval("sessionStorage.setItem('pgbalancer.token', 'an old one')")
    # What is posted says it in its own dialog.
    browser.do("click", selector="[aria-label='Detach replica2']")
    browser.do("click", selector="dialog button.primary")
    browser.wait("document.querySelector('dialog .outcome').dataset.level === 'bad'")
    assert "Authorization: Bearer" in browser.text("dialog .outcome")
    browser.press("Escape")
    # And the page itself, when it asks anew.
    browser.do("open", url=cluster.page, storage={"pgbalancer.token": "an old one"})
    browser.wait("!document.querySelector('#notice').hidden")
    assert browser.text("#notice").startswith("You are not logged in any more. ") and "Bearer" in browser.text("#notice")
    browser.wait(SHOWN.format(3))
    assert browser.eval("[...document.querySelectorAll('.rowbuttons button')].length") == 0
    log_in(browser, cluster, cluster.password)
    browser.wait("document.querySelectorAll('.rowbuttons button').length > 0", 15)
    assert browser.eval("document.querySelector('#notice').hidden")


def test_an_answer_that_does_not_come_is_said_to_be_unknown(browser, cluster):
    cluster.open(browser)
    browser.do("click", selector="[aria-label='Detach replica2']")
    browser.eval("window.fetch = () => Promise.reject(new TypeError('Failed to fetch'))")
    browser.do("click", selector="dialog button.primary")
    browser.wait("document.querySelector('dialog .outcome').dataset.level === 'bad'")
    assert "whether it has done it is not known" in browser.text("dialog .outcome")


# --- what happens


def test_a_lost_primary_and_its_successor_are_seen_and_explained(browser, cluster):
    cluster.wait_whole()
    before = cluster.primary()
    cluster.open(browser)
    browser.focus_on("#tab-nodes")
    began = time.monotonic()
    cluster.sandbox.kill_unit(before)
    browser.wait(f"document.querySelector('.node[data-node={before}]').dataset.state === 'down'", 10)
    took = time.monotonic() - began
    assert took <= 2, f"seen after {took:.1f} s"
    browser.wait("[...document.querySelectorAll('.node[data-role=primary][data-state=up]')].length === 1", 30)
    browser.shot("failover")
    after = next(name for name, role in shown_roles(browser).items() if role == "primary" and name != before)
    assert cluster.sandbox.value("SELECT pg_is_in_recovery()", after) is False
    events = "document.querySelector('#events').textContent"
    browser.wait(f"{events}.includes('{after} is the primary') && {events}.includes('there is no primary')", 10)
    # The sentence of the agent that took over, as `history` tells it.
    told = [json.loads(line) for line in cluster.sandbox.run("history", "--json").out.splitlines()]
    sentence = next(line["text"] for line in reversed(told) if line["action"] == "acquire")
    browser.wait(f"{events}.includes({json.dumps(sentence)})", 10)
    assert browser.eval("document.querySelectorAll('#chart-queries .marks .mark').length") >= 2
    assert browser.text("#state") in ("degraded", "healthy")
    assert browser.eval("document.activeElement.id") == "tab-nodes", "the focus was lost"
    cluster.sandbox.run("start", before)
    cluster.wait_whole()
    browser.wait("document.querySelector('#state').textContent === 'healthy'", 20)
    browser.check_faults()


def balancer_pids(cluster) -> list[int]:
    return list(cluster.sandbox.pids("lb1"))


AGED = "this.seen = performance.now() - state.age_s * 1000"


def test_a_balancer_that_does_not_look_leaves_nothing_green(browser, cluster):
    """It answers, with a state that is old by its own clock."""
    aged = {"/ui/live.js": [AGED, "state.age_s = window.aged ?? state.age_s; " + AGED]}
    cluster.open(browser, replace=aged)
    assert browser.text("#state") == "healthy"
    browser.eval("window.aged = 4")
    browser.wait("document.body.classList.contains('old')", 4)
    assert browser.text("#state") == "unknown"
    assert "has not looked at the group since" in browser.text("#banner")
    assert browser.eval("[...document.querySelectorAll('.node')].every((card) => card.dataset.state === 'unknown')")
    browser.shot("old-by-its-own-clock")
    browser.eval("window.aged = undefined")
    browser.wait(SHOWN.format(3), 5)
    browser.wait("document.querySelector('#state').textContent === 'healthy'", 5)
    browser.check_faults()
    # A control: the same with a page that takes every answer for news.
    aged["/ui/live.js"][1] = "state.age_s = window.aged ?? state.age_s; this.seen = performance.now()"
    cluster.open(browser, replace=aged)
    browser.eval("window.aged = 4")
    with pytest.raises(BrowserError):
        browser.wait("document.body.classList.contains('old')", 3)


def test_a_balancer_that_is_gone_leaves_nothing_green(browser, cluster):
    cluster.open(browser)
    pids = balancer_pids(cluster)
    old = "document.body.classList.contains('old') && /no data since/.test(document.querySelector('#live').textContent)"
    # One that hangs, then one that is gone.
    cluster.sandbox.freeze(pids)
    began = time.monotonic()
    browser.wait(old, 10)
    assert time.monotonic() - began <= 4
    assert browser.text("#state") == "unknown"
    assert "No data since" in browser.text("#banner")
    browser.shot("no-data")
    cluster.sandbox.thaw(pids)
    browser.wait(SHOWN.format(3), 15)
    cluster.sandbox.kill_unit("lb1")
    browser.wait(old, 6)
    cluster.sandbox.run("start", "lb1")
    browser.wait(SHOWN.format(3), 20)
    browser.wait("document.querySelector('#state').textContent === 'healthy'", 30)
    assert browser.do("faults")["policy"] == []
    cluster.wait_whole()


def test_the_check_for_old_numbers_finds_a_page_that_stays_green(browser, cluster):
    """A control: the same page with more patience than anybody has."""
    cluster.open(browser, replace={"/ui/app.js": ["const OLD_MS = 3000", "const OLD_MS = 3000000"]})
    pids = balancer_pids(cluster)
    cluster.sandbox.freeze(pids)
    try:
        with pytest.raises(BrowserError):
            browser.wait("document.body.classList.contains('old')", 5)
    finally:
        cluster.sandbox.thaw(pids)


# --- what is not to happen

EVIL = "<img src=x onerror=document.title='taken'>"


def test_names_are_text(browser, small):
    config = small.config["nodes"]
    small.config["nodes"] = [config[0], {"name": EVIL, "host": "127.0.0.1", "port": 1}]
    small.reload()
    try:
        browser.open(f"http://127.0.0.1:{small.rest}/", small.token)
        browser.wait(SHOWN.format(2))
        browser.wait("document.querySelectorAll('.node')[1].dataset.state === 'down'")
        assert EVIL in browser.text("#topology") and EVIL in browser.text("#panel-nodes")
        assert browser.eval("document.querySelectorAll('main img').length") == 0
        assert "taken" not in browser.eval("document.title")
        browser.check_faults()
        browser.check_axe()
        # A control: inserted as HTML it would be found.
        browser.open(f"http://127.0.0.1:{small.rest}/", small.token,
                     replace={"/ui/dom.js": ["element.textContent = wanted;", "element.innerHTML = wanted;"]})
        browser.wait("document.querySelectorAll('main img').length > 0")
        with pytest.raises(AssertionError, match="policy"):
            browser.check_faults()
    finally:
        small.config["nodes"] = config
        small.reload()


def test_without_javascript_there_is_a_table(browser, small):
    browser.open(f"http://127.0.0.1:{small.rest}/", script=False)
    text = browser.text("noscript pre")
    assert "NODE" in text and "one" in text and "primary" in text, text
    browser.shot("noscript")


def test_plain_text_for_whoever_asks_for_it(small):
    status, headers, body = fetch(f"http://127.0.0.1:{small.rest}/", Accept="text/plain", Authorization=f"Bearer {small.token}")
    assert status == 200 and headers["content-type"].startswith("text/plain")
    assert "queries/s" in body and max(map(len, body.splitlines())) <= 81


FIRST_X = "Number(/^M([\\d.]+)/.exec(document.querySelector('#chart-queries .plot path.line0').getAttribute('d'))[1])"


def test_charts_begin_with_the_first_that_is_known(browser, small):
    small.restart()
    browser.open(f"http://127.0.0.1:{small.rest}/", small.token)
    browser.wait(f"{FIRST_X} < 10", 40)  # of 480
    ago = browser.text("#chart-queries .axis")
    assert " min" not in ago, ago
    # A control: with an axis that is always a quarter of an hour long.
    browser.open(f"http://127.0.0.1:{small.rest}/", small.token, replace={"/ui/chart.js": ["const LEAST_MS = 15 * 1000", "const LEAST_MS = 900 * 1000"]})
    browser.wait(f"{FIRST_X} > 300", 10)


def test_sixty_four_servers(browser):
    with standing_group(1) as (primary, replicas, balancer):
        balancer.config["nodes"] = [node_of(primary), *(node_of(replicas[0], f"replica{i}") for i in range(1, 64))]
        balancer.reload()
        browser.open(f"http://127.0.0.1:{balancer.rest}/", balancer.token)
        browser.wait(SHOWN.format(64), 20)
        browser.focus_on("[aria-label='Detach replica9']", 120)
        browser.eval("performance.clearMeasures()")
        browser.wait("performance.getEntriesByName('update').length >= 8", 30)
        took = browser.eval("performance.getEntriesByName('update').map((entry) => entry.duration)")
        assert browser.eval("document.activeElement.getAttribute('aria-label')") == "Detach replica9"
        assert sorted(took)[len(took) // 2] < 50, took
        browser.shot("64-servers", whole=False)
        browser.check_faults()


# --- the stream


def test_the_stream_is_for_terminals_too(small):
    with contextlib.closing(Reader(small)) as reader:
        states = [reader.message() for _ in range(3)]
    assert all(event == "state" and json.loads(data)["group"] == "pgbalancer" for event, data in states)


def crowd(balancer, count: int):
    """So many readers at once, as a context; nothing if there is not room for all."""
    with contextlib.ExitStack() as stack:
        readers = [stack.enter_context(contextlib.closing(Reader(balancer))) for _ in range(count)]
        return stack.pop_all() if all(reader.status == 200 for reader in readers) else None


def test_slow_readers_and_too_many_are_no_burden(small):
    with wait_until(lambda: crowd(small, 32), 20, "nobody reads any more", pause=1):
        assert crowd(small, 1) is None
        # None of them reads, and others are served all the same.
        time.sleep(3)
        status, _, body = fetch(f"http://127.0.0.1:{small.rest}/api/v1/snapshot", Authorization=f"Bearer {small.token}")
        assert status == 200 and json.loads(body)["nodes"]
    wait_until(lambda: crowd(small, 32), 20, "those who left are forgotten", pause=1).close()


class Reader:
    """Of /api/v1/events."""

    def __init__(self, balancer):
        request = urllib.request.Request(f"http://127.0.0.1:{balancer.rest}/api/v1/events",
                                         headers={"Authorization": f"Bearer {balancer.token}"})
        self.answer = None
        try:
            self.answer = urllib.request.urlopen(request, timeout=10)
            self.status = self.answer.status
        except urllib.error.HTTPError as refused:
            self.status = refused.code
            refused.close()

    def message(self) -> tuple[str, str]:
        fields = {}
        while True:
            line = self.answer.readline().decode().rstrip("\n")
            if not line and "data" in fields:
                return fields["event"], fields["data"]
            name, _, value = line.partition(": ")
            fields[name] = value

    def close(self) -> None:
        if self.answer:
            self.answer.close()


# --- the same in a terminal


def test_top_once_where_there_is_no_terminal(cluster):
    done = cluster.sandbox.run("top")
    assert "transactions/s" in done.out and "primary1" in done.out and "READS" in done.out
    document = json.loads(cluster.sandbox.run("top", "--json").out)
    assert {node["name"] for node in document["nodes"]} == set(cluster.sandbox.hosts())


def test_top_again_and_again_until_it_is_ended(cluster):
    process = cluster.sandbox.manager.popen("top", "--config", cluster.sandbox.file, "--watch=200ms")
    seen = [process.stdout.readline() for _ in range(60)]
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == 130
    assert sum(line.startswith("lb1") for line in seen) >= 2


def test_top_obeys_its_keys_on_a_low_terminal_too(cluster):
    manager = cluster.sandbox.manager
    with Terminal(manager.command("top", "--config", cluster.sandbox.file), manager.env, lines=12) as terminal:
        terminal.wait_for("q quits")
        terminal.wait_for("by file")
        terminal.send("s")
        terminal.wait_for("by load")
        terminal.send("q")
        assert terminal.end() == 0


def test_status_is_watched_until_its_key_ends_it(cluster):
    manager = cluster.sandbox.manager
    with Terminal(manager.command("status", "--config", cluster.sandbox.file, "--watch=200ms"), manager.env) as terminal:
        terminal.wait_for("q quits")
        terminal.wait_for("primary1")
        terminal.send("x")
        terminal.send("q")
        assert terminal.end() == 0


def test_top_says_when_the_balancer_does_not_answer(cluster):
    pids = balancer_pids(cluster)
    cluster.sandbox.freeze(pids)
    try:
        done = cluster.sandbox.run("top", expect=None)
    finally:
        cluster.sandbox.thaw(pids)
    assert done.code != 0 and "lb1" in done.err and "no data" in done.out, done

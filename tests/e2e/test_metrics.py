"""/metrics, as promtool, an OpenMetrics parser and a real Prometheus read it; dashboard and alert rules against it."""
import contextlib
import json
import pathlib
import re
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request

import psycopg2
import pytest

from harness.alone import standing_group
from harness.free_ports import free_block
from harness.waiting import wait_until

PACKAGING = pathlib.Path(__file__).resolve().parents[2] / "packaging"
RULES = PACKAGING / "prometheus" / "pgbalancer_alerts.yml"
OPENMETRICS = "application/openmetrics-text; version=1.0.0"

needs_promtool = pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed (package prometheus)")


class Site:
    def __init__(self, primary, replicas, balancer):
        self.primary, self.replica, self.balancer = primary, replicas[0], balancer

    def get(self, path: str = "/metrics", token: str | None = "look", accept: str = "", method: str = "GET"):
        headers = {"Accept": accept} if accept else {}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        request = urllib.request.Request(f"http://127.0.0.1:{self.balancer.rest}{path}", headers=headers, method=method)
        return urllib.request.urlopen(request, timeout=20)

    def text(self, accept: str = "") -> str:
        with self.get(accept=accept) as answer:
            return answer.read().decode()

    def value(self, series: str) -> float:
        [line] = [line for line in self.text().splitlines() if line.startswith(series + " ")]
        return float(line.rsplit(" ", 1)[1])


@pytest.fixture(scope="module")
def site():
    with standing_group(1, stats_token="look", rest_local_reads=False) as (primary, replicas, balancer):
        primary.sql("CREATE ROLE shop LOGIN PASSWORD 'shop'; CREATE TABLE things AS SELECT 1 AS n; GRANT ALL ON things TO shop")
        primary.sql('CREATE DATABASE "odd""name\\"')
        replicas[0].wait_caught_up()
        yield Site(primary, replicas, balancer)


@contextlib.contextmanager
def client(site, database: str = "postgres"):
    with contextlib.closing(psycopg2.connect(host="127.0.0.1", port=site.balancer.port, user="shop", password="shop",
                                             dbname=database, connect_timeout=15)) as connection:
        connection.autocommit = True
        yield connection


def run(connection, sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)


@needs_promtool
def test_promtool_finds_nothing_to_say(site):
    with client(site, 'odd"name\\') as connection:
        run(connection, "SELECT 1")
        done = subprocess.run(["promtool", "check", "metrics"], input=site.text(), capture_output=True, text=True, timeout=30, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), done


def test_it_is_openmetrics(site):
    parser = pytest.importorskip("prometheus_client.openmetrics.parser")
    with client(site, 'odd"name\\') as connection:
        run(connection, "SELECT 1")
        with site.get(accept=OPENMETRICS) as answer:
            assert answer.headers["Content-Type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
            text = answer.read().decode()
        families = {family.name: family for family in parser.text_string_to_metric_families(text)}
    databases = {sample.labels["database"] for sample in families["pgbalancer_database_requests"].samples}
    assert 'odd"name\\' in databases
    assert families["pgbalancer_node_request_duration_seconds"].type == "histogram"
    assert families["pgbalancer_node_replication_lag_bytes"].unit == "bytes"


def test_the_numbers_are_those_of_what_happened(site):
    with client(site) as connection:
        run(connection, "SELECT 1")
        requests = 'pgbalancer_database_requests_total{database="postgres"}'
        count = 'pgbalancer_database_request_duration_seconds_count{database="postgres"}'
        slow = 'pgbalancer_database_request_duration_seconds_bucket{database="postgres",le="0.1"}'
        before = {name: site.value(name) for name in (requests, count, slow)}
        for _ in range(5):
            run(connection, "SELECT pg_sleep(0.2)")
        grown = {name: site.value(name) - before[name] for name in before}
        assert grown[requests] >= 5 and grown[count] == grown[requests] and grown[slow] <= grown[requests] - 5, grown
        assert site.value('pgbalancer_pool_clients{database="postgres",user="shop"}') == 1
        assert site.value('pgbalancer_node_primary{node="primary"}') == 1
        assert site.value('pgbalancer_node_up{node="replica1"}') == 1
        for _ in range(50):
            run(connection, "SELECT n FROM things")
        assert re.search(r'pgbalancer_routed_requests_total\{node="replica1",reason="[^"]+"\} \d', site.text())


def test_who_may_look_may_not_do(site):
    for token in (None, "wrong"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            site.get(token=token)
        assert refused.value.code == 401
    with pytest.raises(urllib.error.HTTPError) as refused:
        site.get("/api/v1/control/pause", method="POST")
    assert refused.value.code == 403
    with site.get("/api/v1/status") as answer:
        assert json.load(answer)["paused"] is False
    with pytest.raises(urllib.error.HTTPError) as refused:
        site.get(method="POST")
    assert refused.value.code == 405


def test_what_servers_say_of_themselves(site):
    """Within seconds, and no more once they do not answer."""
    site.primary.sql("SELECT pg_create_physical_replication_slot('left_behind', true)")
    site.primary.sql("CREATE TABLE slot_filler AS SELECT repeat('x', 100) AS t FROM generate_series(1, 20000)")
    slot = 'pgbalancer_node_slot_retained_bytes{node="primary",slot="left_behind"}'
    most = int(site.primary.sql("SHOW max_connections")[0][0])
    try:
        with contextlib.ExitStack() as stack:
            for _ in range(7):
                stack.enter_context(contextlib.closing(psycopg2.connect(host=str(site.primary.folder), port=site.primary.port, user="postgres",
                                                                        dbname="postgres")))
            wait_until(lambda: slot in site.text() and site.value(slot) > 1_000_000, 15, "the slot is seen to keep log")
            assert site.value('pgbalancer_node_slot_active{node="primary",slot="left_behind"}') == 0
            assert site.value('pgbalancer_node_postgres_connections{node="primary"}') >= 8, "connections past us are seen"
    finally:
        site.primary.sql("SELECT pg_drop_replication_slot('left_behind')")
        site.primary.sql("DROP TABLE slot_filler")
    wait_until(lambda: slot not in site.text(), 15, "the slot is seen to be gone")
    assert site.value('pgbalancer_node_postgres_max_connections{node="replica1"}') == most
    version = site.primary.sql("SHOW server_version")[0][0].split()[0]
    assert site.value(f'pgbalancer_node_postgres_info{{node="primary",version="{version}"}}') == 1
    started = site.primary.sql("SELECT extract(epoch FROM pg_postmaster_start_time())::float8")[0][0]
    assert abs(site.value('pgbalancer_node_postgres_start_time_seconds{node="primary"}') - started) < 1


@needs_promtool
def test_the_rules_are_right(site):
    assert subprocess.run(["promtool", "check", "rules", RULES], capture_output=True, timeout=30, check=False).returncode == 0
    done = subprocess.run(["promtool", "test", "rules", RULES.with_name("pgbalancer_alerts_test.yml")], capture_output=True, text=True,
                          timeout=30, check=False)
    assert done.returncode == 0, done


@pytest.mark.skipif(not shutil.which("prometheus"), reason="prometheus is not installed")
def test_a_real_prometheus_scrapes_it_and_the_alerts_fire(site):
    folder, port = site.balancer.folder, free_block(1)
    (folder / "token").write_text("look")
    shutil.copy(RULES, folder)
    settings = (PACKAGING / "prometheus" / "prometheus.yml").read_text()
    settings = settings.replace("/etc/prometheus/pgbalancer.token", str(folder / "token")).replace("15s", "1s")
    settings = settings.replace("127.0.0.1:8080", f"127.0.0.1:{site.balancer.rest}")
    (folder / "prometheus.yml").write_text("global: {evaluation_interval: 1s}\n" + settings)

    def ask(query: str) -> list:
        url = f"http://127.0.0.1:{port}/api/v1/query?" + urllib.parse.urlencode({"query": query})
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return json.load(answer)["data"]["result"]
        except urllib.error.HTTPError as refused:
            raise AssertionError(f"{query}: {refused.read().decode()}") from refused
        except urllib.error.URLError:
            return []

    with open(folder / "prometheus.log", "w", encoding="utf-8") as log, subprocess.Popen(
            ["prometheus", f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'tsdb'}",
             f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log) as prometheus:
        try:
            wait_until(lambda: [r for r in ask('up{job="pgbalancer"}') if r["value"][1] == "1"], 30, "Prometheus has scraped it")
            wait_until(lambda: len(ask("pgbalancer_node_up == 1")) == 2, 10, "both nodes are up")
            the_dashboard_shows_where_requests_go(site, ask)
            site.replica.stop()
            for name in ("replication_lag_bytes", "replication_lag_seconds", "postgres_connections", "postgres_info"):
                wait_until(lambda n=name: f'pgbalancer_node_{n}{{node="replica1"' not in site.text(), 10, f"{name} is not told of it any more")
            wait_until(lambda: [r["metric"]["node"] for r in ask("pgbalancer_node_up == 0")] == ["replica1"], 20, "it sees the loss")
            wait_until(lambda: ask('ALERTS{alertname="PgbalancerNodeDown",alertstate="pending"}'), 20, "the rule has seen it")
        finally:
            prometheus.terminate()
            prometheus.wait(20)
            site.replica.start()


def the_dashboard_shows_where_requests_go(site, ask) -> None:
    """Each of its expressions is one that Prometheus takes, and those of the routing tell what was asked."""
    def filled(expression: str) -> str:
        for name, value in (("$instance", ".*"), ("$database", ".*"), ("$__rate_interval", "1m")):
            expression = expression.replace(name, value)
        return expression
    panels = json.loads((PACKAGING / "grafana" / "pgbalancer.json").read_text())["panels"]
    shown = {panel["title"]: [filled(target["expr"]) for target in panel["targets"]] for panel in panels}
    assert len(shown) == len(panels) and all("$" not in one for expressions in shown.values() for one in expressions)
    for expression in (one for expressions in shown.values() for one in expressions):
        ask(expression)

    def told(title: str, label: str) -> dict[str, float]:
        """By label; with traffic in between, for a rate wants growth."""
        with client(site) as connection:
            for _ in range(20):
                run(connection, "SELECT n FROM things")
                run(connection, "INSERT INTO things VALUES (1)")
        return {row["metric"].get(label, ""): float(row["value"][1]) for row in ask(shown[title][0]) if float(row["value"][1]) > 0}
    wait_until(lambda: {"reads", "writes"} <= set(told("What requests were taken for", "verdict")), 20, "both verdicts are shown")
    by_node = ask(shown["Verdicts by node"][0])
    assert ("primary", "writes") in {(row["metric"]["node"], row["metric"]["verdict"]) for row in by_node}, by_node
    why = wait_until(lambda: told("At the primary, and why", "reason"), 20, "reasons are shown")
    assert any("write" in reason for reason in why), why
    [share] = ask(shown["Share of requests at replicas"][0])
    assert 0 <= float(share["value"][1]) < 1, share
    everywhere = ask(filled('sum by (reason) (rate(pgbalancer_routed_requests_total{instance=~"$instance",node="primary"}[$__rate_interval]))'))
    assert set(why) <= {row["metric"]["reason"] for row in everywhere}, "what went to replicas is not among it"

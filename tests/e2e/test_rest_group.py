"""REST and PCP where agents choose the primary: who leads, why, and a switchover that an operator asks for there."""
import contextlib
import datetime
import json
import pathlib
import re
import shutil
import time

import pytest

pytest.importorskip("jsonschema")

from harness import tools  # noqa: E402
from harness.apt import Unavailable  # noqa: E402
from harness.pcp import SOURCES, clients_of  # noqa: E402
from harness.rest import Rest  # noqa: E402
from harness.sandbox import Sandbox  # noqa: E402
from harness.store import Etcd  # noqa: E402
from harness.waiting import wait_until  # noqa: E402


class Site:
    def __init__(self, sandbox: Sandbox, etcd: Etcd | None = None):
        self.etcd = etcd
        self.sandbox = sandbox
        self.names = sandbox.hosts()
        group = sandbox.balancer()
        self.pcp_port = group["pcp_port"]
        self.rest = Rest(group["rest_api_port"])
        session = self.rest.post("/api/v1/auth/login", {"username": "postgres", "password": sandbox.password()})
        assert session["role"] == "operator"
        self.rest = self.rest.with_token(session["token"])

    def leader(self) -> str | None:
        return self.rest.get("/api/v1/watchdog/status")["leader"]

    def all_follow(self) -> bool:
        """And each of them may have the next commit, so that each may be promoted."""
        nodes = self.rest.get("/api/v1/nodes")["nodes"]
        edges = self.rest.get("/api/v1/topology")["edges"]
        leader = self.leader()
        others = sorted(name for name in self.names if name != leader)
        return all(node["healthy"] for node in nodes) and sorted(edge["to"] for edge in edges) == others \
            and all(edge["from"] == leader and edge["known_by"] == "agents" for edge in edges) \
            and sorted(self.rest.get("/api/v1/watchdog/info")["sync_members"]) == others

    def wait_whole(self) -> None:
        wait_until(self.all_follow, 40, "everybody follows the leader")

    def another(self) -> str:
        leader = self.leader()
        return next(name for name in self.names if name != leader)

    def pcp(self, clients, command: str, *arguments):
        return clients.run(self.pcp_port, command, *arguments, user="postgres", password=self.sandbox.password())


@pytest.fixture(scope="module", params=["embedded", "etcd"])
def site(request):
    """The agents meet in the store that the balancer keeps, or in an etcd of somebody else, where others meet, too."""
    with contextlib.ExitStack() as stack:
        etcd = None
        if request.param == "etcd":
            if not shutil.which("etcd"):
                pytest.skip("etcd is not installed (package etcd-server)")
            etcd = stack.enter_context(contextlib.closing(Etcd()))
            etcd.store.put("/pgbalancer/another/lb1/leader", '{"holder": "stranger", "epoch": 99}')
            etcd.store.put("/pgbalancer/another/lb1/history/0000000099-1-stranger",
                           '{"time": "2026-01-01T00:00:00.000Z", "node": "stranger", "action": "acquire", "epoch": 99, "text": "not ours"}')
        sandbox = stack.enter_context(Sandbox("process", None))
        sandbox.document["ha"] = {"failover": True}
        if etcd:
            sandbox.document["dcs"] = {"etcd": [etcd.url]}
        sandbox.write()
        sandbox.init()
        made = Site(sandbox, etcd)
        made.wait_whole()
        yield made


def test_the_watchdog_is_the_agents(site):
    info = site.rest.get("/api/v1/watchdog/info")
    [primary] = [node["name"] for node in site.sandbox.group()["nodes"] if node["state"] == "accepting"]
    assert info["kind"] == "agents" and info["running"] and info["leader"] == primary
    assert info["cluster"] == site.sandbox.name and info["group"] == "lb1" and info["durability"] == "quorum"
    assert sorted(member["name"] for member in info["members"]) == sorted(site.names)
    assert info["sync_required"] == 1 and info["epoch"] >= 1 and info["request"] is None


def test_history_tells_who_leads_and_why(site):
    history = site.rest.get("/api/v1/history")
    assert history["kept"]
    lines = history["history"]
    assert lines and lines[-1]["node"] in site.names and all(line["text"] for line in lines)
    told = site.sandbox.run("history").out
    assert lines[-1]["text"][:30] in " ".join(told.split()), (lines[-1], told)


def test_patronis_paths_tell_of_the_group(site):
    site.wait_whole()
    leader, others = site.leader(), sorted(name for name in site.names if name != site.leader())
    # It is a moment behind the lease store.
    cluster = wait_until(lambda: (c := site.rest.get("/cluster")) and
                         [(m["state"], m["role"]) for m in c["members"]].count(("streaming", "quorum_standby")) == 2 and c, 10,
                         "both stream, and commits wait for either")
    assert cluster["scope"] == site.sandbox.name and "pause" not in cluster
    assert {m["name"]: m["role"] for m in cluster["members"]} == {name: "leader" if name == leader else "quorum_standby" for name in site.names}
    told = {m["name"]: (m["host"], m["port"]) for m in cluster["members"]}
    assert told == {n["name"]: (n["host"], n["port"]) for n in site.rest.get("/api/v1/nodes")["nodes"]}
    assert sorted(site.rest.get("/quorum")["nodes"]) == others
    for path in ("/sync", "/async", f"/quorum?node={leader}"):
        assert not site.rest.get(path, 503)["ok"], path
    new = site.another()
    before = site.rest.get("/history")
    site.rest.post(f"/api/v1/nodes/{new}/promote")
    asked = datetime.datetime.now(datetime.timezone.utc)
    ended = wait_until(lambda: len(h := site.rest.get("/history")) > len(before) and len(h[-1]) == 5 and h[-1], 15, "the timeline has ended")
    assert ended[0] == next(m["timeline"] for m in cluster["members"] if m["role"] == "leader") and ended[1] > 0, (ended, cluster)
    assert ended[4] == new, ended
    assert abs((datetime.datetime.fromisoformat(ended[3].replace("Z", "+00:00")) - asked).total_seconds()) < 15, ended
    assert all(len(line) == 5 for line in before), f"of the first primary's promotion, too: {before}"
    assert site.rest.get("/history")[:-1] == before
    site.wait_whole()


def test_the_page_shows_who_leads_and_why(site):
    # Agents publish about once a second: a role that has just been taken is known a moment before who streams.
    snapshot = wait_until(lambda: (s := site.rest.get("/api/v1/snapshot")) and s["links"] and
                          all(link["source"] == "agent" for link in s["links"]) and s, 10, "agents say who streams")
    assert snapshot["cluster"] == site.sandbox.name and snapshot["ha"]["leader"] == site.leader()
    assert snapshot["ha"]["durability"]["mode"] == "quorum"
    history = [line["text"] for line in site.rest.get("/api/v1/history")["history"]]

    def told():
        return [event["text"] for event in site.rest.get("/api/v1/snapshot")["events"]]
    wait_until(lambda: set(history) <= set(told()), 10, "the page has the history")
    assert history and "not ours" not in told()


def test_a_replica_that_gets_no_log_is_green_nowhere(site):
    if site.etcd:
        pytest.skip("the same as where the balancer keeps the store")
    leader, node = site.leader(), site.another()
    other = next(name for name in site.names if name not in (leader, node))

    def upstream(order: str) -> None:
        site.sandbox.query(f"ALTER SYSTEM {order}", node)
        site.sandbox.query("SELECT pg_reload_conf()", node)

    def seen(name: str) -> dict:
        return next(one for one in site.rest.get("/api/v1/snapshot")["nodes"] if one["name"] == name)

    def status(path: str) -> int:
        return site.rest.ask("GET", path, expect=None).status
    upstream("SET primary_conninfo = 'host=127.0.0.1 port=1'")
    try:
        wait_until(lambda: site.rest.get("/api/v1/snapshot")["state"] == "degraded", 20, "it is known that it gets no log")
        snapshot = site.rest.get("/api/v1/snapshot")
        assert f"{node} is degraded: it gets no log from {leader}" in snapshot["sentence"], snapshot["sentence"]
        assert (seen(node)["state"], seen(other)["state"]) == ("degraded", "up")
        assert site.sandbox.status()["state"] == "degraded"
        assert "degraded" in site.sandbox.run("top").out
        assert status(f"/replica?node={node}") == 200, "what it has is not old yet"
        site.sandbox.query("CREATE TABLE IF NOT EXISTS not_there (n int)")
        wait_until(lambda: status(f"/replica?node={node}") == 503, 30, "it is further behind than max_replica_lag")
        assert status(f"/replica?node={node}&lag=1GB") == status(f"/read-only?node={node}") == 503
        assert site.rest.get("/replica", None)["nodes"] == [other]
        wait_until(lambda: "max_replica_lag" in seen(node)["reason"], 10, "it is said, too")
    finally:
        upstream("RESET primary_conninfo")
    site.wait_whole()
    wait_until(lambda: site.rest.get("/api/v1/snapshot")["state"] == site.sandbox.status()["state"] == "healthy", 30, "all is well again")
    assert site.rest.get("/api/v1/snapshot")["sentence"] == ""


def test_a_store_that_hangs_makes_nothing_else_old(site):
    if not site.etcd:
        pytest.skip("the balancer keeps the store itself")
    site.etcd.hang(True)
    try:
        for _ in range(15):
            assert site.rest.get("/api/v1/snapshot")["age_s"] < 2
            time.sleep(0.1)
        wait_until(lambda: site.rest.get("/api/v1/snapshot")["ha"] is None, 10, "nobody knows who leads")
        assert site.rest.get("/api/v1/topology", None)["nodes"]
    finally:
        site.etcd.hang(False)
    wait_until(lambda: site.rest.get("/api/v1/snapshot")["ha"], 20, "it is known again")
    site.wait_whole()


def test_a_promotion_is_a_switchover(site):
    old, new = site.leader(), site.another()
    with site.sandbox.connect() as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS promoted (n int)")
        cursor.execute("INSERT INTO promoted VALUES (1)")
        outcome = site.rest.post(f"/api/v1/nodes/{new}/promote")
        assert outcome["done"] and f"from {old} to {new}" in outcome["text"], outcome
        assert site.leader() == new
        cursor.execute("INSERT INTO promoted VALUES (2)")
        cursor.execute("SELECT count(*) FROM promoted")
        assert cursor.fetchone() == (2,)
    assert site.sandbox.value("SELECT pg_is_in_recovery()", new) is False
    site.rest.get(f"/primary?node={new}")
    again = site.rest.post(f"/api/v1/nodes/{new}/promote")
    assert "leads already" in again["text"]
    assert any(line["node"] == new and line["action"] == "acquire" for line in site.rest.get("/api/v1/history")["history"])
    site.wait_whole()


def test_a_promotion_is_refused_with_the_leaders_reason(site):
    leader = site.leader()
    victim = site.another()
    site.sandbox.kill_unit(victim)
    try:
        wait_until(lambda: not site.rest.get(f"/api/v1/nodes/{victim}")["node"]["healthy"], 20, "it is known to be gone")
        refused = site.rest.post(f"/api/v1/nodes/{victim}/promote", expect=409)
        assert victim in refused["detail"] and f"{leader} leads on" in refused["detail"], refused
        assert site.leader() == leader
    finally:
        site.sandbox.run("start", victim)
    site.wait_whole()
    site.rest.post("/api/v1/nodes/nine/promote", expect=404)


def test_a_replica_is_made_anew(site):
    node = site.another()
    marked = site.sandbox.state_dir / site.sandbox.name / "units" / node / "data" / "pgdata" / "left_over"
    marked.touch()
    outcome = site.rest.post(f"/api/v1/nodes/{node}/recovery")
    assert not outcome["done"], outcome
    wait_until(lambda: not marked.exists(), 60, "its data directory is a new one")
    site.wait_whole()
    leader = site.leader()
    refused = site.rest.post(f"/api/v1/nodes/{leader}/recovery", expect=409)
    assert "is the primary" in refused["detail"] and refused["type"] == "PGB-IS-PRIMARY", refused


def test_a_copy_that_fails_is_told_once_and_why(site):
    if site.etcd:
        pytest.skip("the same as where the balancer keeps the store")
    leader, node = site.leader(), site.another()
    copier = site.sandbox.value("SELECT rolname FROM pg_roles WHERE rolreplication AND NOT rolsuper AND rolname <> 'pgbalancer_agent'", leader)

    def seen() -> dict:
        return next(one for one in site.rest.get("/api/v1/snapshot")["nodes"] if one["name"] == node)

    def copies() -> list[str]:
        return [line["text"] for line in site.rest.get("/api/v1/history")["history"] if (line["node"], line["action"]) == (node, "full copy")]
    before = len(copies())
    site.sandbox.query(f'ALTER ROLE "{copier}" NOLOGIN', leader)
    try:
        site.rest.post(f"/api/v1/nodes/{node}/recovery")
        wait_until(lambda: "the last try failed" in seen()["reason"], 30, "it is said why there is no copy")
        assert "not permitted to log in" in seen()["reason"], seen()
        assert seen()["reason"] in site.rest.get("/api/v1/snapshot")["sentence"]
        [member] = [one for one in site.rest.get("/api/v1/watchdog/info")["members"] if one["name"] == node]
        assert "not permitted to log in" in member["sentence"], member
        time.sleep(5)  # several more tries, none of which is to be told
        told = copies()[before:]
        assert 1 <= len(told) <= 2 and len(set(told)) == len(told), told
    finally:
        site.sandbox.query(f'ALTER ROLE "{copier}" LOGIN', leader)
    site.wait_whole()
    wait_until(lambda: seen()["state"] == "up" and seen()["reason"] == "", 20, "nothing is left of it")


def test_the_watchdog_is_stopped_and_started_as_a_pause(site):
    leader = site.leader()
    assert "no server takes over" in site.rest.post("/api/v1/watchdog/stop")["text"]
    try:
        status = site.rest.get("/api/v1/watchdog/status")
        assert not status["running"] and status["leader"] == leader and "paused" in status["text"]
        told = site.sandbox.run("status").out
        assert "is PAUSED" in told and "by an operator at the balancer" in told, told
        assert "paused already" in site.rest.post("/api/v1/watchdog/stop")["text"]
        wait_until(lambda: "Failover is paused" in site.rest.get("/api/v1/snapshot")["sentence"], 10, "the page says it, too")
    finally:
        resumed = site.rest.post("/api/v1/watchdog/start")
    assert leader in resumed["text"]
    assert site.rest.get("/api/v1/watchdog/status")["running"]
    assert "not paused" in site.rest.post("/api/v1/watchdog/start")["text"]
    assert "PAUSED" not in site.sandbox.run("status").out

    def after_the_pause():
        lines = site.rest.get("/api/v1/history")["history"]
        return lines[[line["action"] for line in lines].index("pause") + 1:]
    wait_until(lambda: any("resume" in line["text"] for line in after_the_pause()), 10, "the history has both")


def test_what_the_manager_paused_is_started_again_here(site):
    site.sandbox.run("pause")
    assert not site.rest.get("/api/v1/watchdog/status")["running"]
    site.rest.post("/api/v1/watchdog/start")
    assert site.rest.get("/api/v1/watchdog/status")["running"]


@pytest.mark.parametrize("source", SOURCES)
def test_pcp_promotes_and_shows_the_agents(site, source):
    try:
        clients = clients_of(source)
    except Unavailable as reason:
        pytest.skip(str(reason))
    new = site.another()
    number = site.names.index(new)
    done = site.pcp(clients, "promote_node", "-s", number)
    assert (done.returncode, done.stderr) == (0, ""), done
    assert site.leader() == new
    site.wait_whole()
    shown = site.pcp(clients, "watchdog_info", "-v")
    assert (shown.returncode, shown.stderr) == (0, ""), shown
    assert re.search(r"Total Nodes\s*: 3", shown.stdout) and re.search(rf"Leader Node Name\s*: {new}", shown.stdout), shown.stdout
    assert shown.stdout.count("STANDBY") == 2 and shown.stdout.count("LEADER") == 1 and "QUORUM EXIST" in shown.stdout, shown.stdout
    brief = site.pcp(clients, "watchdog_info").stdout.splitlines()
    assert len([line for line in brief if line]) == 4, brief
    again = site.pcp(clients, "recovery_node", number)
    assert "is the primary" in again.stderr, again


def metrics(site) -> str:
    return tools.metrics(site.rest.port, site.rest.token)


def elections(site, kind: str) -> float:
    return tools.value(metrics(site), f'pgbalancer_group_elections_total{{kind="{kind}"}}')


def test_metrics_count_a_switchover(site):
    site.wait_whole()
    old, new = site.leader(), site.another()
    before, failovers = elections(site, "switchover"), elections(site, "failover")
    epoch = tools.value(metrics(site), "pgbalancer_group_epoch")
    site.rest.post(f"/api/v1/nodes/{new}/promote")
    wait_until(lambda: elections(site, "switchover") == before + 1, 15, "the switchover is counted")
    site.wait_whole()
    assert elections(site, "failover") == failovers
    timeline = next(node["timeline"] for node in site.rest.get("/api/v1/nodes")["nodes"] if node["name"] == new)
    wanted = {"pgbalancer_group_epoch": epoch + 1, 'pgbalancer_group_durability_info{mode="quorum"}': 1, "pgbalancer_group_sync_required": 1}
    for name in site.names:
        wanted |= {f'pgbalancer_node_{what}{{node="{name}"}}': value for what, value in
                   (("leader", name == new), ("streaming", name != new), ("sync_member", name != new))}
    wanted[f'pgbalancer_node_timeline{{node="{new}"}}'] = timeline

    def wrong() -> dict:
        text = metrics(site)
        return {series: tools.value(text, series) for series in wanted if tools.value(text, series) != wanted[series]}
    wait_until(lambda: not wrong(), 15, f"metrics tell that {new} leads instead of {old}")
    assert tools.value(metrics(site), "pgbalancer_primary_changes_total") >= 1


def test_dashboard_and_rules_name_only_what_there_is(site):
    site.sandbox.value("SELECT 1")
    packaging = pathlib.Path(__file__).resolve().parents[2] / "packaging"
    dashboard = json.loads((packaging / "grafana" / "pgbalancer.json").read_text())
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    expressions += [variable["query"] for variable in dashboard["templating"]["list"] if variable["type"] == "query"]
    rules = (packaging / "prometheus" / "pgbalancer_alerts.yml").read_text()
    expressions += re.findall(r"^ +(?:expr: (?!>-)|histogram_quantile|\(rate)(.*)$", rules, re.MULTILINE)
    wanted = set().union(*(re.findall(r"\b(?:pgbalancer|process)_[a-z_]+", expression) for expression in expressions))
    assert len(wanted) > 40, wanted
    wait_until(lambda: wanted <= {re.split(r"[{ ]", line)[0] for line in metrics(site).splitlines() if not line.startswith("#")},
               15, "all metrics that dashboard and rules name are there")
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


@pytest.mark.skipif(tools.missing(), reason=f"not installed: {tools.missing()}")
def test_operators_tools_answer_while_the_primary_is_lost(site):
    try:
        clients = clients_of("this machine")
    except Unavailable as reason:
        pytest.skip(str(reason))
    site.wait_whole()
    password, port, token = site.sandbox.password(), site.sandbox.balancer()["port"], site.rest.token
    console = f"postgresql://postgres:{password}@127.0.0.1:{port}/pgbalancer"
    old = site.leader()
    failovers = elections(site, "failover")

    def pcp() -> dict[str, str]:
        """Who is what, by name."""
        roles = {}
        for number, name in enumerate(site.names):
            done = clients.run(site.pcp_port, "node_info", number, user="postgres", password=password)
            assert (done.returncode, done.stderr) == (0, ""), done
            assert re.search(r" 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d$", done.stdout.strip()), done  # the last column has a time of its own
            words = done.stdout.split()
            roles[name] = "primary" if "primary" in words and "up" in words else "other"
        return roles

    def psql() -> str:
        return tools.run("psql", "-X", "-A", "-t", console, "-c", "SHOW NODES", "-c", "SHOW POOLS", "-c", "SHOW LISTS", "-c", "SHOW STATS",
                         "-c", "SHOW DATABASES", "-c", "SHOW CONFIG")

    asked = {
        "pcp_node_info": pcp,
        "curl": lambda: tools.curl(port=site.rest.port, token=token, path="/api/v1/nodes")["nodes"],
        "promtool": lambda: tools.checked_metrics(site.rest.port, token),
        "psql": psql,
    }
    with contextlib.ExitStack() as stack:
        if shutil.which(tools.Exporter.PROGRAM):
            exporter = stack.enter_context(contextlib.closing(tools.Exporter(port, "postgres", password))).wait_serves()
            asked["an exporter"] = exporter.numbers
        watchers = [stack.enter_context(tools.Watcher(name, ask)) for name, ask in asked.items()]
        wait_until(lambda: all(len(one.told) >= 2 for one in watchers), 30, "each tool has answered")
        lost = time.monotonic()
        site.sandbox.kill_unit(old)
        wait_until(lambda: site.leader() not in (None, old), 60, "another node leads")
        new = site.leader()
        wait_until(lambda: site.rest.ask("GET", f"/primary?node={new}", expect=None).status == 200, 30, "it takes work")
        led = time.monotonic()
        wait_until(lambda: all(one.trouble or len(one.since(led)) >= 3 for one in watchers), 60, "each tool has looked at that")
    for one in watchers:
        assert one.trouble is None, (one.name, one.trouble)
        assert one.longest < 15, (one.name, one.longest)
        assert one.since(lost), one.name
    last = {one.name: one.told[-1][1] for one in watchers}
    assert last["pcp_node_info"] == {name: "primary" if name == new else "other" for name in site.names}
    assert {node["name"]: node["healthy"] and node["role"] == "primary" for node in last["curl"]} == {name: name == new for name in site.names}
    assert re.search(rf"{new}\|[^\n]*primary", last["psql"]), last["psql"]
    text = last["promtool"]
    assert tools.value(text, f'pgbalancer_node_primary{{node="{new}"}}') == 1
    assert tools.value(text, f'pgbalancer_node_up{{node="{old}"}}') == 0
    assert f'pgbalancer_node_replication_lag_seconds{{node="{old}"}}' not in text and \
        f'pgbalancer_node_postgres_connections{{node="{old}"}}' not in text, "what is not known any more is not told"
    wait_until(lambda: elections(site, "failover") == failovers + 1, 10, "the failover is counted")
    now = metrics(site)
    assert tools.value(now, "pgbalancer_primary_losses_total") >= 1 and tools.value(now, "pgbalancer_without_primary_seconds_total") > 0
    assert tools.value(now, f'pgbalancer_node_streaming{{node="{old}"}}') == 0
    assert f'pgbalancer_node_timeline{{node="{old}"}}' not in now
    if "an exporter" in last:
        assert last["an exporter"]["pgbouncer_users"] >= 1, last["an exporter"]
    who_is_gone_is_told_as_gone(site, clients, old, new)
    site.sandbox.run("start")
    site.wait_whole()


def who_is_gone_is_told_as_gone(site, clients, old: str, new: str) -> None:
    """Server and agent: neither what it was nor what it said last is how it is."""
    def agent_up(name: str) -> float:
        return tools.value(metrics(site), f'pgbalancer_node_agent_up{{node="{name}"}}')
    wait_until(lambda: agent_up(old) == 0, 20, "it is known that its agent is gone")
    assert agent_up(new) == 1
    assert [tools.value(metrics(site), f'pgbalancer_node_primary{{node="{name}"}}') for name in (old, new)] == [0, 1]
    members = {member["name"]: member for member in site.rest.get("/api/v1/watchdog/info")["members"]}
    assert members[old]["state"] == "silent" and members[old]["age_s"] >= 5 and members[new]["age_s"] < 5, members

    def seen() -> dict:
        return {node["name"]: node for node in site.rest.get("/api/v1/snapshot")["nodes"]}
    wait_until(lambda: seen()[old]["agent"]["state"] == "silent", 10, "the page, which is a second behind, knows it, too")
    nodes = seen()
    assert (nodes[old]["role"], nodes[old]["last_role"], nodes[new]["role"]) == ("unknown", "primary", "primary"), nodes
    assert "its agent has said nothing for" in nodes[old]["reason"], nodes[old]
    shown = site.pcp(clients, "watchdog_info", "-v").stdout
    assert (shown.count("LOST"), shown.count("STANDBY"), shown.count("LEADER")) == (1, 1, 1), shown
    third = next(name for name in site.names if name not in (old, new))
    words = site.pcp(clients, "node_info", site.names.index(third)).stdout.split()
    assert {"up", "streaming", "quorum"} <= set(words) and "waiting" not in words, words
    assert "primary" not in site.pcp(clients, "node_info", site.names.index(old)).stdout.split()

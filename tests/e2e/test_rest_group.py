"""REST and PCP where agents choose the primary: who leads, why, and a switchover that an operator asks for there."""
import contextlib
import re
import shutil
import time

import pytest

pytest.importorskip("jsonschema")

from harness.pcp import all_clients  # noqa: E402
from harness.rest import Rest  # noqa: E402
from harness.sandbox import Sandbox  # noqa: E402
from harness.store import Etcd  # noqa: E402
from harness.waiting import wait_until  # noqa: E402

CLIENTS = all_clients()


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


def test_the_page_shows_who_leads_and_why(site):
    snapshot = site.rest.get("/api/v1/snapshot")
    assert snapshot["cluster"] == site.sandbox.name and snapshot["ha"]["leader"] == site.leader()
    assert snapshot["ha"]["durability"]["mode"] == "quorum" and all(link["source"] == "agent" for link in snapshot["links"])
    told = [event["text"] for event in snapshot["events"]]
    assert all(line["text"] in told for line in site.rest.get("/api/v1/history")["history"]) and "not ours" not in told


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
    assert "is the primary" in refused["detail"]


def test_the_watchdog_is_stopped_and_started_as_a_pause(site):
    leader = site.leader()
    assert "no server takes over" in site.rest.post("/api/v1/watchdog/stop")["text"]
    try:
        status = site.rest.get("/api/v1/watchdog/status")
        assert not status["running"] and status["leader"] == leader and "paused" in status["text"]
        told = site.sandbox.run("status").out
        assert "paused" in told and "an operator at the balancer lb1" in told, told
        assert "paused already" in site.rest.post("/api/v1/watchdog/stop")["text"]
        wait_until(lambda: "Failover is paused" in site.rest.get("/api/v1/snapshot")["sentence"], 10, "the page says it, too")
    finally:
        resumed = site.rest.post("/api/v1/watchdog/start")
    assert leader in resumed["text"]
    assert site.rest.get("/api/v1/watchdog/status")["running"]
    assert "not paused" in site.rest.post("/api/v1/watchdog/start")["text"]
    assert "paused" not in site.sandbox.run("status").out
    actions = [line["action"] for line in site.rest.get("/api/v1/history")["history"]]
    assert "pause" in actions and "resume" in actions[actions.index("pause"):], actions


def test_what_the_manager_paused_is_started_again_here(site):
    site.sandbox.run("pause")
    assert not site.rest.get("/api/v1/watchdog/status")["running"]
    site.rest.post("/api/v1/watchdog/start")
    assert site.rest.get("/api/v1/watchdog/status")["running"]


@pytest.mark.parametrize("clients", CLIENTS, ids=[clients.version for clients in CLIENTS])
def test_pcp_promotes_and_shows_the_agents(site, clients):
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

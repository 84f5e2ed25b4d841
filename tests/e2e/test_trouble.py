"""Status tells the truth when things break, and the agent mends what it can."""
import os
import signal
import time

import pytest

from harness import ledger
from harness.waiting import wait_until

GOOD = ("accepting", "streaming")


@pytest.fixture
def whole(standing):
    """The shared cluster; whatever the test broke is mended afterwards."""
    standing.wait_healthy()
    yield standing
    for unit in ["lb1", *standing.hosts()]:
        standing.thaw(standing.pids(unit) if unit_runs(standing, unit) else [])
    standing.run("init", expect=None)
    standing.run("resume", expect=None)
    standing.wait_healthy()


def unit_runs(cluster, unit: str) -> bool:
    if cluster.runtime == "docker":
        return cluster.docker.inspect(cluster.container(unit))["State"]["Running"]
    return bool(cluster.pids(unit))


def wait_for(cluster, node: str, states, limit: float = 20) -> dict:
    return wait_until(lambda: next((n for n in [cluster.node(node)] if n["state"] in states), None), limit,
                      f"{node} is one of {states}")


def test_a_frozen_replica_is_not_called_streaming(whole):
    frozen_one, other = whole.replicas()
    pids = whole.postgres_pids(frozen_one)
    whole.freeze(pids)
    begin = time.monotonic()
    document = whole.status()
    took = time.monotonic() - begin
    frozen = whole.node(frozen_one, document)
    assert document["state"] == "degraded"
    assert frozen["state"] not in GOOD and frozen["reason"], frozen
    assert whole.primary(document) != frozen_one
    assert whole.node(other, document)["state"] == "streaming"
    assert took < 3, "one silent server held status up"
    whole.thaw(pids)
    wait_for(whole, frozen_one, ["streaming"])


def test_a_crashed_server_is_started_again_by_its_agent(whole):
    for name in (whole.replicas()[0], whole.primary()):
        before = whole.postgres_pids(name)[0]
        os.kill(before, signal.SIGKILL)
        wait_until(lambda: whole.postgres_pids(name)[0] != before, 20, f"{name} has a new postmaster")
        whole.wait_healthy()
    assert whole.value("SELECT count(*) FROM users") == 3


def test_a_replica_that_is_gone_is_told_apart_from_one_that_streams(whole):
    gone, other = whole.replicas()
    whole.kill_unit(gone)
    document = whole.status()
    assert document["state"] == "degraded"
    assert whole.node(gone, document)["state"] in ("down", "stopped")
    assert whole.node(other, document)["state"] == "streaming"
    whole.run("init")
    assert whole.wait_healthy()


def test_without_a_primary_status_says_so(whole):
    primary = whole.primary()
    whole.run("pause")  # else another one would be the primary by now
    whole.kill_unit(primary)
    document = whole.status()
    assert document["state"] == "no_primary"
    assert any("PAUSED" in note for note in document["notes"])
    assert whole.node(primary, document)["state"] in ("down", "stopped")
    assert all(n["state"] not in GOOD for n in whole.group(document=document)["nodes"]), "nobody can stream now"
    assert whole.group(document=document)["query"]["ok"], "the replicas go on answering reads"
    assert whole.run("status").code == 0, "it could find out: plain status succeeds"
    assert whole.run("status", "--exit-code", expect=11)


def test_a_primary_that_is_gone_is_replaced_and_status_tells_both(whole):
    primary = whole.primary()
    whole.kill_unit(primary)
    wait_until(lambda: any(n["state"] == "accepting" for n in whole.group()["nodes"]), 20, "another one is the primary")
    document = whole.status()
    assert document["state"] == "degraded" and whole.primary(document) != primary
    assert whole.node(primary, document)["state"] in ("down", "stopped")
    assert whole.group(document=document)["query"]["ok"]
    whole.run("init")
    wait_for(whole, primary, ["streaming"], 60)
    assert whole.primary() != primary, "it comes back as a replica"


def test_a_dead_balancer_is_no_serving_one(whole):
    whole.kill_unit("lb1")
    document = whole.status()
    group = whole.group(document=document)
    assert document["state"] == "degraded"
    assert group["state"] in ("down", "stopped")
    assert not group["query"]["ok"] and group["query"]["error"], group["query"]
    assert sorted(n["state"] for n in group["nodes"]) == ["accepting", "streaming", "streaming"], "the servers are well"
    assert whole.run("status", "--exit-code", expect=10)


def test_a_balancer_that_listens_but_does_not_answer_is_no_serving_one(whole):
    pids = [pid for pid, command in whole.pids("lb1").items() if "pgbalancer" in command]
    assert pids
    whole.freeze(pids)
    group = whole.group()
    assert not group["query"]["ok"] and group["query"]["error"]
    whole.thaw(pids)
    wait_until(lambda: whole.group()["query"]["ok"], 10, "queries go through again")


def test_a_replica_that_replays_nothing_shows_its_lag(whole):
    lags, other = whole.replicas()
    whole.query("SELECT pg_wal_replay_pause()", lags)
    try:
        wait_until(lambda: whole.value("SELECT pg_get_wal_replay_pause_state()", lags) == "paused", 10, "paused")
        whole.query("CREATE TABLE lagging AS SELECT generate_series(1, 10000) AS n")
        wait_until(lambda: (whole.node(lags)["lag_bytes"] or 0) > 100000, 10, "the lag is seen")
        behind = whole.node(lags)
        assert behind["replay_lsn"] != whole.node(other)["replay_lsn"]
    finally:
        whole.query("SELECT pg_wal_replay_resume()", lags)
        whole.query("DROP TABLE IF EXISTS lagging")
    wait_until(lambda: whole.node(lags)["lag_bytes"] == 0, 20, "it caught up")


def test_a_replica_that_is_cut_off_from_the_primary_is_not_called_streaming(whole):
    document = whole.status()
    replicas = whole.replicas(document)
    with whole.connect(whole.primary(document)) as connection, connection.cursor() as cursor:
        cursor.execute("SET synchronous_commit = local")  # no replica is there to confirm it
        cursor.execute("ALTER ROLE replicator NOLOGIN")
        try:
            cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_replication")
            for replica in replicas:
                assert wait_for(whole, replica, ["not_streaming"])["reason"]
            assert whole.status()["state"] == "degraded"
        finally:
            cursor.execute("ALTER ROLE replicator LOGIN")
    whole.wait_healthy()


def test_processes_that_were_killed_leave_no_orphans(whole):
    if whole.runtime == "docker":
        pytest.skip("a container's processes end with it: nothing to orphan")
    name = whole.replicas()[0]
    agents = [pid for pid, command in whole.pids(name).items() if "pgbalancer_agent" in command]
    servers = whole.postgres_pids(name)
    whole.signal(agents, signal.SIGKILL)
    whole.run("init")
    whole.wait_healthy()
    postmasters = [pid for pid in whole.postgres_pids(name) if ledger.parent_of(pid) not in whole.postgres_pids(name)]
    assert len(postmasters) == 1, f"two servers on one directory: {postmasters}, before: {servers}"

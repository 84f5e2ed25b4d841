"""What each durability promises beside `quorum`: `strict` never acknowledges alone, `async` loses no more than was agreed on."""
import contextlib
import os
import signal
import threading
import time

import psycopg2
from harness import ledger
from harness.rest import exchange
from harness.sandbox import Sandbox
from harness.waiting import wait_until


@contextlib.contextmanager
def cluster(durability: str, **ha):
    with Sandbox("process") as sandbox:
        sandbox.document["ha"] = {"failover": True} | ha
        sandbox.document["durability"] = durability
        sandbox.write()
        sandbox.init()
        sandbox.wait_healthy()
        yield sandbox


def lag_at(sandbox, primary: str) -> int:
    """Of the replica that is nearest, in bytes."""
    lags = sandbox.query("SELECT pg_current_wal_flush_lsn() - flush_lsn FROM pg_stat_replication", primary)
    return int(min(lag for (lag,) in lags)) if lags else 0


def told_by_the_balancer(sandbox) -> dict:
    return exchange(sandbox.balancer()["rest_api_port"], "GET", "/api/v1/snapshot").json()


def test_a_strict_cluster_is_made_and_waits_for_a_copy_for_as_long_as_it_takes():
    with cluster("strict") as sandbox:
        wait_until(lambda: sandbox.group()["durability"].startswith("ANY 1"), 20, "a replica is waited for")
        assert sandbox.group()["commits_wait"] is None
        primary = sandbox.primary()
        away = sandbox.replicas()
        for name in away:
            sandbox.kill_unit(name)

        def commit():
            with contextlib.closing(psycopg2.connect(sandbox.url("--direct", primary))) as connection:
                connection.autocommit = True
                connection.cursor().execute("CREATE TABLE waited ()")
        waits = threading.Thread(target=commit, daemon=True)
        waits.start()
        waits.join(12)  # longer than a quorum waits before its primary goes on alone
        assert waits.is_alive(), "the commit is on no second server"
        status = sandbox.status()
        assert status["state"] == "degraded" and any("commits wait: they need any 1 of" in note for note in status["notes"]), status
        assert any(name in sandbox.group(document=status)["commits_wait"] for name in away), status
        assert "commits wait for any 1 of" in sandbox.run("why").out
        assert told_by_the_balancer(sandbox)["sentence"].startswith("Writes hang: commits wait for any 1 of ")
        assert told_by_the_balancer(sandbox)["state"] == "degraded"
        metric = "\npgbalancer_group_commits_wait "
        assert metric + "1\n" in exchange(sandbox.balancer()["rest_api_port"], "GET", "/metrics").body.decode()
        sandbox.run("start", away[0], expect=None, limit=60)
        waits.join(20)
        assert not waits.is_alive(), "a copy is there again"
        assert sandbox.query("SELECT to_regclass('waited') IS NOT NULL", away[0]) == [(True,)]
        sandbox.run("start")
        sandbox.wait_healthy()
        assert sandbox.group()["commits_wait"] is None
        wait_until(lambda: told_by_the_balancer(sandbox)["state"] == "healthy", 20, "the balancer says so, too")
        assert metric + "0\n" in exchange(sandbox.balancer()["rest_api_port"], "GET", "/metrics").body.decode()


@contextlib.contextmanager
def receivers_stopped(sandbox):
    """No replica gets any more WAL."""
    pids = [pid for name in sandbox.replicas() for pid, command in sandbox.pids(name).items() if "walreceiver" in command]
    assert len(pids) == 2, pids
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def killed_with_a_lag(sandbox) -> tuple[str, int]:
    """The postmaster of the primary, with more than 24 MB that no replica has; who that was, and how many rows were acknowledged."""
    primary = sandbox.primary()
    with contextlib.closing(psycopg2.connect(sandbox.url())) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute("DROP TABLE IF EXISTS acknowledged")
        cursor.execute("CREATE TABLE acknowledged (n int, filler text)")
        wait_until(lambda: lag_at(sandbox, primary) == 0, 20, "the replicas have all")
        rows = 0
        with receivers_stopped(sandbox):
            until = time.monotonic() + 30
            while lag_at(sandbox, primary) < 24 << 20:
                assert time.monotonic() < until, "the lag grows"
                for _ in range(20):
                    cursor.execute("INSERT INTO acknowledged SELECT %s, repeat(md5(g::text), 100) FROM generate_series(1, 500) g", (rows,))
                    rows += 1
            time.sleep(1.5)  # the agent has seen it, too
            processes = sandbox.postgres_pids(primary)
            os.kill(processes[0], signal.SIGKILL)
            wait_until(lambda: not any(ledger.runs(pid) for pid in processes), 20, "nobody of it is left who could send it", pause=0.01)
    return primary, rows


def rows_left(sandbox) -> int:
    """At the primary: a replica may come after it."""
    def look():
        with contextlib.suppress(psycopg2.Error):
            for node in sandbox.group()["nodes"]:
                if node["role"] == "primary" and node["state"] == "accepting":
                    return sandbox.value("SELECT count(DISTINCT n) FROM acknowledged", node["name"])
        return None
    return wait_until(look, 40, "a primary answers")


def test_an_async_primary_that_crashed_is_not_replaced_by_one_that_is_too_far_behind():
    with cluster("async") as sandbox:
        primary, rows = killed_with_a_lag(sandbox)
        assert rows_left(sandbox) == rows, sandbox.run("history").out
        sandbox.wait_healthy()
        assert sandbox.primary() == primary
        told = sandbox.run("history").out
        assert "restarts it in place" in told and "behind, and no more than 16 MB may be lost" in told, told
        # As far as the user allows, time comes first.
        sandbox.document["ha"]["lag_limit"] = 10 ** 12
        sandbox.write()
        sandbox.init()
        time.sleep(2)  # agents look once a second whether their file is another
        primary, _ = killed_with_a_lag(sandbox)
        sandbox.wait_healthy()  # how much is lost depends on what was under way to the replicas
        assert sandbox.primary() != primary, sandbox.run("history").out

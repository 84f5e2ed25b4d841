"""What an operator does to a balancer that works: pause, drain, reconnect, kill, restart, stop, and look at it."""
import concurrent.futures
import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import threading
import time
import urllib.error

import psycopg
import psycopg2
import psycopg2.errors
import pytest

from harness.alone import Replica, newest_bin, standing_alone
from harness.waiting import holds_for, wait_until
from harness.wire import SYNC, Wire, bind, execute, parse

PASSWORD = "shop"
READ = "SELECT count(*) FROM things"


class Site:
    """The balancer in front of a primary and two replicas, and clients that are closed at the end of a test."""

    def __init__(self, server, balancer):
        self.server, self.balancer = server, balancer
        self.stack = contextlib.ExitStack()

    def post(self, command: str) -> dict:
        return self.balancer.ask(command, "POST")

    def client(self, database: str = "postgres", autocommit: bool = True):
        connection = psycopg2.connect(self.balancer.url("shop", PASSWORD, database), connect_timeout=15)
        connection.autocommit = autocommit
        self.stack.callback(connection.close)
        return connection

    def states(self, database: str = "postgres") -> list[str]:
        return sorted(c["state"] for c in self.balancer.ask("clients")["clients"] if c["database"] == database)

    def servers(self, **wanted) -> list[dict]:
        """Of the clients, without those of the balancer's own user."""
        return [s for s in self.balancer.ask("servers")["servers"]
                if s["user"] == "shop" and all(s[key] == value for key, value in wanted.items())]

    def bench(self, *options: str) -> "Bench":
        return Bench(self, *options)

    def default(self, **config) -> None:
        self.balancer.config.update(config)
        self.balancer.reload()


class Bench:
    """pgbench, until the block ends; then no transaction may have failed."""

    def __init__(self, site: Site, *options: str):
        script = site.balancer.folder / "script.sql"
        script.write_text("SELECT count(*) FROM things;\nBEGIN;\nINSERT INTO log VALUES (1);\nSELECT 1;\nCOMMIT;\n")
        reads = site.balancer.folder / "reads.sql"
        reads.write_text("SELECT count(*) FROM things;\n")
        self.site = site
        self.command = [newest_bin() / "pgbench", "-n", "-f", script, "-c", "8", "-j", "2", "-T", "60", *options,
                        site.balancer.url("shop", PASSWORD)]
        self.process = None

    def transactions(self) -> int:
        return self.site.server.sql("SELECT count(*) FROM log")[0][0]

    def goes_on(self) -> None:
        before = self.transactions()
        wait_until(lambda: self.transactions() > before + 50, 20, "pgbench works")

    def __enter__(self) -> "Bench":
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.goes_on()
        return self

    def __exit__(self, kind, *_) -> None:
        if kind:
            self.process.kill()
            self.process.communicate()
            return
        self.goes_on()
        failed = self.process.poll()
        self.process.send_signal(signal.SIGINT)
        _, err = self.process.communicate(timeout=30)
        assert failed is None and "error" not in err.lower() and "abort" not in err.lower(), err


@pytest.fixture(scope="module")
def standing():
    with standing_alone("host all all all scram-sha-256", takeover_socket="takeover.sock", pool_size=4,
                        pid_file="balancer.pid", log_connections=True) as (server, balancer):
        with contextlib.ExitStack() as stack:
            server.sql(f"CREATE ROLE shop LOGIN PASSWORD '{PASSWORD}'")
            server.sql("CREATE DATABASE other")
            server.sql("CREATE TABLE things AS SELECT generate_series(1, 100) AS n; CREATE TABLE log (n int);"
                       "GRANT ALL ON things, log TO shop")
            for name in ("two", "three"):
                replica = Replica(server, name)
                stack.callback(replica.stop)
                replica.start()
                balancer.config["nodes"].append({"name": name, "host": "127.0.0.1", "port": replica.port})
            balancer.restart()
            wait_until(lambda: all(node["healthy"] for node in balancer.ask("status")["nodes"]), 20, "all nodes are healthy")
            yield server, balancer


@pytest.fixture
def site(standing):
    site = Site(*standing)
    yield site
    site.post("control/resume")
    for node in ("one", "two", "three"):
        site.post(f"nodes/{node}/undrain")
    site.stack.close()
    site.default(query_wait_timeout=120)
    wait_until(lambda: not site.states(), 10, "its clients are gone")


def run(connection, sql: str):
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0] if cursor.description else None


def is_told_to_go(connection) -> bool:
    """What came over the wire: libpq takes it for a notice if it comes while nothing is asked."""
    with socket.socket(fileno=os.dup(connection.fileno())) as wire:
        wire.settimeout(10)
        return b"C57P01\0" in wire.recv(65536)


def soon(function, *args) -> concurrent.futures.Future:
    future = concurrent.futures.Future()

    def work():
        try:
            future.set_result(function(*args))
        except BaseException as error:  # pylint: disable=broad-except
            future.set_exception(error)
    threading.Thread(target=work, daemon=True).start()
    return future


def test_a_pause_under_load_closes_every_server_and_costs_no_error(site):
    with site.bench() as bench:
        paused = site.post("control/pause?wait=10")
        assert paused["done"] and paused["busy"] == 0 and paused["text"].startswith("paused: all databases"), paused
        assert site.servers() == []
        count = bench.transactions()
        holds_for(lambda: bench.transactions() == count, 0.5, "nothing runs while it is paused")
        assert site.states() == ["paused"] * 8
        assert site.balancer.ask("status")["paused"] is True
        assert site.post("control/resume")["text"] == "resumed: all databases"
        bench.goes_on()


def test_a_pause_waits_for_the_transaction_that_runs(site):
    busy = site.client(autocommit=False)
    run(busy, "SELECT txid_current()")
    paused = site.post("control/pause?database=postgres&wait=0.2")
    assert (paused["done"], paused["busy"]) == (False, 1) and "1 server still busy" in paused["text"], paused
    assert run(busy, "SELECT 1") == 1
    other = site.client("other")
    assert run(other, "SELECT 1") == 1, "the other database is not paused"
    waits = soon(site.post, "control/pause?database=postgres&wait=10")
    busy.commit()
    assert waits.result(10)["done"]
    behind = soon(run, busy, "SELECT 2")
    wait_until(lambda: site.states() == ["paused"], 5, "the next transaction waits")
    site.post("control/resume?database=postgres")
    assert behind.result(10) == 2


def test_who_waits_too_long_for_the_end_of_a_pause_is_told_and_keeps_its_session(site):
    client = site.client()
    run(client, "SET work_mem = '3MB'")
    site.default(query_wait_timeout=0.5)
    site.post("control/pause")
    with pytest.raises(psycopg2.errors.CannotConnectNow, match="the balancer is paused"):
        run(client, "SELECT 1")
    site.post("control/resume")
    assert run(client, "SHOW work_mem") == "3MB"


def test_a_query_that_waits_for_the_end_of_a_pause_can_be_cancelled(site):
    client = site.client()
    site.post("control/pause")
    waits = soon(run, client, "SELECT 1")
    wait_until(lambda: site.states() == ["paused"], 5, "it waits")
    client.cancel()
    with pytest.raises(psycopg2.errors.QueryCanceled):
        waits.result(10)


def test_a_session_that_is_bound_to_its_server_is_held_there(site):
    bound = site.client()
    run(bound, "CREATE TEMPORARY TABLE mine AS SELECT 7 AS n")
    paused = site.post("control/pause?wait=5")
    assert (paused["done"], paused["bound"]) == (True, 1), paused
    waits = soon(run, bound, "SELECT n FROM mine")
    wait_until(lambda: site.states() == ["paused"], 5, "it waits")
    site.post("control/resume")
    assert waits.result(10) == 7


def test_a_login_during_a_pause_goes_through_when_it_ends(site):
    site.post("control/pause?wait=5")
    login = soon(lambda: run(site.client(), "SELECT 5"))
    wait_until(lambda: "paused" in site.states(), 5, "it waits")
    site.post("control/resume")
    assert login.result(15) == 5


def test_a_node_is_drained_under_load_without_an_error(site):
    # Who writes all the time reads what it wrote, from the primary: others are there that only read.
    with site.bench() as bench, site.bench("-f", site.balancer.folder / "reads.sql@1000000"):
        wait_until(lambda: site.servers(node="two"), 10, "both replicas work")
        drained = site.post("nodes/two/drain?wait=10")
        assert drained["done"], drained
        assert site.servers(node="two") == []
        reads = {r["node"]: r["requests"] for r in site.balancer.ask("routes")["routes"] if r["node"] == "two"}
        bench.goes_on()
        assert reads == {r["node"]: r["requests"] for r in site.balancer.ask("routes")["routes"] if r["node"] == "two"}
        assert [n["name"] for n in site.balancer.ask("status")["nodes"] if n["drained"]] == ["two"]
        site.default()  # a reload reads the nodes again
        assert [n["name"] for n in site.balancer.ask("status")["nodes"] if n["drained"]] == ["two"]
        site.post("nodes/two/undrain")
        wait_until(lambda: site.servers(node="two"), 10, "it works again")


def test_who_is_still_at_a_drained_node_at_the_limit_is_sent_away(site):
    site.post("nodes/three/drain")
    client = site.client(autocommit=False)
    client.set_session(readonly=True)
    assert run(client, READ) == 100
    # Clients that have just left, of the test before, may still have servers that are cleaned.
    wait_until(lambda: [s["state"] for s in site.servers(node="two") if s["state"] != "idle"] == ["transaction"], 5,
               "it is in a transaction on a replica, and nobody else is")
    drained = site.post("nodes/two/drain?limit=0.3")
    assert not drained["done"] and drained["busy"] == 1, drained
    wait_until(lambda: not site.servers(node="two"), 10, "the session is ended")
    assert is_told_to_go(client)


def test_writes_wait_while_the_primary_is_drained(site):
    client = site.client()
    answer = site.post("nodes/one/drain?wait=5")
    assert "it is the primary" in answer["text"], answer
    writes = soon(run, client, "INSERT INTO log VALUES (2) RETURNING n")
    wait_until(lambda: site.states() == ["waiting"], 5, "it waits")
    site.post("nodes/one/undrain")
    assert writes.result(10) == 2


def test_reconnect_replaces_servers_as_they_become_free(site):
    client = site.client()
    holder = site.client(autocommit=False)
    kept = run(holder, "SELECT pg_backend_pid() FROM txid_current()")
    free = run(client, "SELECT pg_backend_pid() FROM txid_current()")
    answer = site.post("control/reconnect?wait=0.2")
    assert (answer["done"], answer["busy"]) == (False, 1), answer
    assert run(holder, "SELECT pg_backend_pid() FROM txid_current()") == kept
    assert run(client, "SELECT pg_backend_pid() FROM txid_current()") not in (kept, free)
    holder.commit()
    wait_until(lambda: kept not in {s["pid"] for s in site.servers()}, 5, "it is replaced")


def test_kill_ends_the_sessions_of_one_database(site):
    victim, other = site.client(), site.client("other")
    assert run(victim, "SELECT 1") == run(other, "SELECT 1") == 1
    answer = site.post("control/kill?database=postgres")
    assert answer["ended"] == 1, answer
    assert is_told_to_go(victim)
    assert run(other, "SELECT 1") == 1


@pytest.mark.parametrize("command, status, text", [
    ("control/frobnicate", 404, "commands: pause, resume"), ("nodes/nine/drain", 404, "there is no node nine"),
    ("control/drain", 400, "drain needs a node"), ("control/pause?tomorrow=1", 400, "knows no argument tomorrow"),
    ("control/pause?wait=soon", 400, "wait must be a number of seconds")])
def test_a_wrong_command_says_what_is_wrong(site, command, status, text):
    with pytest.raises(urllib.error.HTTPError) as caught:
        site.post(command)
    assert caught.value.code == status
    assert text in json.load(caught.value)["detail"]


def test_routes_are_counted_by_node_and_reason(site):
    def counts() -> dict:
        return {(r["node"], r["reason"]): r["requests"] for r in site.balancer.ask("routes")["routes"]}
    client = site.client()
    before = counts()
    for _ in range(20):
        run(client, "INSERT INTO log VALUES (3)")
    run(client, "SELECT 1")
    with client.cursor() as cursor:
        cursor.execute("INSERT INTO log VALUES (3)")
        cursor.execute("SHOW pgbalancer.route")
        node, reason = cursor.fetchone()
    after = counts()
    assert after[(node, reason)] == before.get((node, reason), 0) + 21
    assert node == "one" and reason, (node, reason)


def test_verdicts_are_counted_with_where_they_went_and_why(site):
    def counts() -> dict:
        return {(v["verdict"], r["node"]): sum(s["requests"] for s in v["routes"] if s["node"] == r["node"])
                for v in site.balancer.ask("routes")["verdicts"] for r in v["routes"]}
    client, prepared = site.client(), psycopg.connect(site.balancer.url("shop", "shop"), autocommit=True)
    before = counts()
    for _ in range(5):
        run(client, "INSERT INTO log VALUES (3)")
        prepared.execute("INSERT INTO log VALUES (%s)", [3], prepare=True)
    run(client, "CREATE TEMP TABLE mine (n int)")
    after = counts()
    assert after[("writes", "one")] >= before.get(("writes", "one"), 0) + 10, (before, after)
    assert sum(after.values()) >= sum(before.values()) + 11
    rows = site.balancer.ask("routes")
    assert sum(v["requests"] for v in rows["verdicts"]) == sum(r["requests"] for r in rows["routes"])
    prepared.close()


def test_the_lists_show_who_does_what_where(site):
    client = site.client(autocommit=False)
    pid = run(client, "SELECT pg_backend_pid() FROM txid_current()")
    [row] = [c for c in site.balancer.ask("clients")["clients"] if c["user"] == "shop"]
    assert (row["state"], row["node"], row["database"]) == ("transaction", "one", "postgres"), row
    assert row["address"].startswith("127.0.0.1:") and row["age_s"] > 0
    [server] = [s for s in site.servers() if s["pid"] == pid]
    assert (server["state"], server["node"]) == ("transaction", "one"), server
    [pool] = [p for p in site.balancer.ask("pools")["pools"] if (p["user"], p["node"], p["database"]) == ("shop", "one", "postgres")]
    assert pool["active"] == 1 and pool["waiting"] == 0, pool
    client.commit()
    wait_until(lambda: site.states() == ["idle"], 5, "it is idle")
    wait_until(lambda: [c["transactions"] for c in site.balancer.ask("clients")["clients"] if c["user"] == "shop"] == [1], 5,
               "its transaction is counted")


def test_another_process_takes_over_under_load_without_an_error(site):
    balancer = site.balancer
    sleeper = site.client()
    asleep = soon(run, sleeper, "SELECT pg_sleep(60)")
    site.post("control/pause?database=other")
    site.post("nodes/three/drain")
    with site.bench() as long_lived, site.bench("-C") as reconnecting:
        wait_until(lambda: "active" in site.states(), 5, "the sleeper sleeps")
        old = balancer.take_over()
        reconnecting.goes_on()
        long_lived.goes_on()
        assert old.poll() is None, "it serves its sessions"
        status = balancer.ask("status")
        assert status["paused_databases"] == ["other"]
        assert [node["name"] for node in status["nodes"] if node["drained"]] == ["three"]
        assert (balancer.folder / "balancer.pid").read_text() == f"{balancer.process.pid}\n"
        sleeper.cancel()  # arrives at the new process, and means a session of the old one
        with pytest.raises(psycopg2.errors.QueryCanceled):
            asleep.result(10)
    assert old.poll() is None, "the sleeper's session is still there"
    assert run(sleeper, "SELECT 3") == 3
    sleeper.close()
    assert old.wait(10) == 0, balancer.log
    assert balancer.process.poll() is None
    assert run(site.client(), "SELECT 4") == 4


def test_take_over_twice_keeps_cancel_requests_on_their_way(site):
    sleeper = site.client()
    asleep = soon(run, sleeper, "SELECT pg_sleep(60)")
    wait_until(lambda: "active" in site.states(), 5, "the sleeper sleeps")
    first = site.balancer.take_over()
    middle_client = site.client()
    assert run(middle_client, "SELECT 1") == 1
    second = site.balancer.take_over()
    sleeper.cancel()
    with pytest.raises(psycopg2.errors.QueryCanceled):
        asleep.result(10)
    sleeper.close()
    assert first.wait(10) == 0
    middle_client.close()
    assert second.wait(10) == 0


def test_what_is_ordered_of_the_successor_holds_for_sessions_of_the_process_before(site):
    client = site.client()
    run(client, "SELECT 1")
    site.post("control/pause")
    first = site.balancer.take_over()
    waits = soon(run, client, "SELECT 2")
    second = site.balancer.take_over()  # what it is told goes on to the first one
    with pytest.raises(TimeoutError):
        waits.result(0.5)
    site.post("control/resume")
    assert waits.result(5) == 2
    assert first.poll() is None, "it was answered by the first process"
    client.close()
    assert first.wait(10) == 0 and second.wait(10) == 0


def test_who_begins_to_take_over_and_is_gone_changes_nothing(site):
    refused_before = site.balancer.log.count("has not taken over")
    with site.bench("-C"):
        for answers in (0, 1):
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as successor:
                successor.connect(str(site.balancer.folder / "takeover.sock"))
                _, fds, _, _ = socket.recv_fds(successor, 65536, 250)
                for fd in fds:
                    os.close(fd)
                if answers:
                    successor.send(b"take")
                    assert b'"yours":true' in successor.recv(65536)
                    with pytest.raises(urllib.error.HTTPError) as refused:
                        site.post("control/pause")
                    assert refused.value.code == 409 and b"takes over" in refused.value.read()
        wait_until(lambda: site.balancer.log.count("has not taken over") == refused_before + 2, 5, "the balancer goes on alone")
        site.post("control/pause?database=other")
        site.post("control/resume?database=other")
    assert (os.stat(site.balancer.folder / "takeover.sock").st_mode & 0o777) == 0o600


def test_sigusr2_starts_the_successor(site):
    balancer = site.balancer
    old = balancer.process
    pid_file = balancer.folder / "balancer.pid"
    try:
        old.send_signal(signal.SIGUSR2)
        assert old.wait(20) == 0, balancer.log
        # The successor serves before it writes its number: the file may name the one before for a moment, and is there.
        wait_until(lambda: int(pid_file.read_text()) != old.pid, 5, "the file names the successor")
        assert run(site.client(), "SELECT 1") == 1
        site.stack.close()
    finally:
        if (pid := int(pid_file.read_text())) != old.pid:
            os.kill(pid, signal.SIGTERM)
            wait_until(lambda: not pid_file.exists(), 20, "it has ended")
        if old.poll() is None:
            balancer.stop()
        balancer.start()
        wait_until(lambda: all(node["healthy"] for node in balancer.ask("status")["nodes"]), 20, "all nodes are healthy")


@pytest.mark.parametrize("how", ["SIGINT", "shutdown"])
def test_a_shutdown_that_waits_lets_transactions_end(site, how):
    balancer = site.balancer
    idle, busy = site.client(), site.client(autocommit=False)
    run(idle, "SELECT 1")
    run(busy, "INSERT INTO log VALUES (77)")
    if how == "SIGINT":
        balancer.process.send_signal(signal.SIGINT)
    else:
        assert site.post("control/shutdown?mode=wait")["text"].startswith("shutting down")
    wait_until(lambda: site.states() == ["transaction"], 5, "the idle session ends")
    assert is_told_to_go(idle)
    with pytest.raises(psycopg2.OperationalError):
        site.client()
    assert run(busy, "SELECT count(*) FROM log WHERE n = 77") == 1
    assert balancer.process.poll() is None
    busy.commit()
    assert balancer.process.wait(10) == 0, balancer.log
    assert site.server.sql("DELETE FROM log WHERE n = 77 RETURNING n") == [(77,)]
    balancer.start()


def test_sigterm_ends_every_session_at_once_with_the_right_code(site):
    idle, busy = site.client(), site.client(autocommit=False)
    run(idle, "SELECT 1")
    run(busy, "INSERT INTO log VALUES (78)")
    site.balancer.process.terminate()
    assert site.balancer.process.wait(5) == 0
    for connection in (idle, busy):
        assert is_told_to_go(connection)
    site.balancer.start()


def test_shutdown_timeout_ends_what_does_not_end(site):
    balancer = site.balancer
    balancer.config["shutdown_timeout"] = 0.5
    balancer.restart()
    try:
        stuck = site.client(autocommit=False)
        run(stuck, "SELECT txid_current()")
        balancer.process.send_signal(signal.SIGINT)
        assert balancer.process.wait(10) == 0
        assert "shutdown_timeout is over" in balancer.log
    finally:
        del balancer.config["shutdown_timeout"]
        balancer.start()


def test_of_slow_statements_each_one_is_logged_whatever_it_is_part_of(site):
    balancer = site.balancer
    balancer.config.update(log_format="json", log_file="own.log", log_slow_queries=0.4, pools=[{"database": "other", "pool_mode": "session"}])
    balancer.restart()

    def slow() -> list[dict]:
        lines = [json.loads(line) for line in (balancer.folder / "own.log").read_text().splitlines()]
        return [line for line in lines if line["message"] == "slow" and "pg_sleep" in line["text"]]
    try:
        with Wire(balancer.url("shop", PASSWORD)) as wire:
            wire.query("BEGIN")
            wire.query("SELECT pg_sleep(0.5)")
            time.sleep(1)  # the client thinks: nothing is slow
            wire.query("COMMIT")
            wire.ask(parse("SELECT pg_sleep(0.5), $1::int", "named"), SYNC)
            wire.ask(bind("named", (1,)), execute(), SYNC)
            wire.ask(parse("SELECT pg_sleep(0.5), 'unnamed'"), bind(), execute(), SYNC)
        with Wire(balancer.url("shop", PASSWORD, "other")) as wire:
            wire.query("SELECT pg_sleep(0.5) AS whole_session")
            time.sleep(1)
            wire.query("SELECT 1")
        told = wait_until(lambda: len(slow()) >= 4 and slow(), 5, "they are logged")
        assert [line["text"] for line in told] == ["SELECT pg_sleep(?.?)", "SELECT pg_sleep(?.?), $1::int", "SELECT pg_sleep(?.?), ?",
                                                   "SELECT pg_sleep(?.?) AS whole_session"], told
        assert all(500 <= int(line["ms"]) < 1000 for line in told), told
    finally:
        for key in ("log_format", "log_file", "log_slow_queries", "pools"):
            del balancer.config[key]
        balancer.restart()
        (balancer.folder / "own.log").unlink()


def test_the_time_a_client_thinks_is_no_slowness_of_its_server(site):
    with Wire(site.balancer.url("shop", PASSWORD)) as wire:
        wire.query("BEGIN READ ONLY")
        wire.query("SELECT count(*) FROM things")
        time.sleep(2)
        wire.query("COMMIT")
    assert all(node["latency_us"] < 100_000 for node in site.balancer.ask("status")["nodes"])


def test_the_log_is_json_if_it_is_wanted_and_moves_on_when_its_file_is_renamed(site):
    balancer = site.balancer
    log = balancer.folder / "own.log"
    balancer.config.update(log_format="json", log_file="own.log", log_slow_queries=0.05)
    balancer.restart()
    try:
        def lines() -> list[dict]:
            return [json.loads(line) for line in log.read_text().splitlines()]
        run(site.client(), "SELECT pg_sleep(0.1), 'it''s \"secret\"'")
        [slow] = wait_until(lambda: [line for line in lines() if line["message"] == "slow"], 5, "the slow query is logged")
        assert int(slow["ms"]) >= 100 and (slow["user"], slow["database"]) == ("shop", "postgres"), slow
        assert slow["node"] == "one" and slow["reason"] and slow["client"].startswith("127.0.0.1:"), slow
        assert "pg_sleep" in slow["text"] and "secret" not in slow["text"], slow
        assert any(line["message"] == "client logged in" and line["user"] == "shop" for line in lines())
        site.stack.close()
        wait_until(lambda: any(line["message"] == "client left" and line["transactions"] == "1" for line in lines()), 5, "it left")
        pathlib.Path(log).rename(balancer.folder / "own.log.1")
        balancer.process.send_signal(signal.SIGUSR1)
        wait_until(log.exists, 5, "a new file is begun")
        run(site.client(), "SELECT 1")
        wait_until(lambda: any(line["message"] == "client logged in" for line in lines()), 5, "the log goes there")
    finally:
        for key in ("log_format", "log_file", "log_slow_queries"):
            del balancer.config[key]
        balancer.restart()

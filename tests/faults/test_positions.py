"""The position that a replica publishes with its promise holds all that it has confirmed: elections go by it."""
import contextlib
import os
import signal
import threading
import time

import psycopg2
import psycopg2.extras

from harness.sandbox import Sandbox
from harness.waiting import wait_until

SLOW = "slow"  # a session of that name looks at pg_stat_activity for so long
SECONDS = 3


@contextlib.contextmanager
def cluster(**parameters):
    with Sandbox("process") as sandbox:
        sandbox.document["ha"] = {"failover": True}
        sandbox.document.setdefault("postgres", {}).setdefault("parameters", {}).update(parameters)
        sandbox.write()
        sandbox.init()
        sandbox.wait_healthy()
        wait_until(lambda: sandbox.group()["durability"].startswith("ANY 1"), 20, "a replica is waited for")
        yield sandbox


@contextlib.contextmanager
def cursor_at(sandbox, name: str, **options):
    with contextlib.closing(psycopg2.connect(sandbox.url("--direct", name), **options)) as connection:
        connection.autocommit = True
        yield connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor)


def pids_of(sandbox, name: str, what: str) -> list[int]:
    return [pid for pid, command in sandbox.pids(name).items() if what in command]


def slow_down(sandbox, primary: str, replica: str) -> None:
    with cursor_at(sandbox, primary) as cursor:
        cursor.execute("SELECT pg_get_viewdef('pg_catalog.pg_stat_activity') AS text")
        text = cursor.fetchone()["text"]
        plain = "pg_stat_get_activity(NULL::integer)"
        assert text.count(plain) == 1, text
        sleep = f"NULLIF(length(pg_sleep({SECONDS})::text), 0)"
        slow = f"pg_stat_get_activity((SELECT CASE WHEN current_setting('application_name') = '{SLOW}' THEN {sleep} END))"
        cursor.execute("SET allow_system_table_mods = on")
        cursor.execute(f"CREATE OR REPLACE VIEW pg_catalog.pg_stat_activity AS {text.replace(plain, slow)}")
    sandbox.wait_value("SELECT pg_get_viewdef('pg_catalog.pg_stat_activity') LIKE '%pg_sleep%'", True, replica)


def asked_by_agent(sandbox, replica: str) -> str:
    """The statement that an agent asks its server."""
    asked = sandbox.value("SELECT query FROM pg_stat_activity WHERE application_name = 'pgbalancer_agent' AND query LIKE '%%walreceiver%%' "
                          "AND query LIKE '%%flushed%%' LIMIT 1", replica)
    assert asked and ";" in asked, "it is cut off"
    return asked.partition(";")[0]


def test_a_position_that_is_read_without_a_walreceiver_holds_all_that_one_confirmed():
    """Also if it confirmed a commit and ended while the question was being answered."""
    with cluster(track_activity_query_size="16kB") as sandbox:
        primary, replica = sandbox.primary(), sandbox.replicas()[0]
        question = asked_by_agent(sandbox, replica)
        slow_down(sandbox, primary, replica)
        answers: list[dict] = []

        def ask():
            with cursor_at(sandbox, replica, application_name=SLOW) as cursor:
                cursor.execute(question)
                answers.append(cursor.fetchone())
        agents = pids_of(sandbox, replica, "pgbalancer_agent")
        sandbox.freeze(agents)
        try:
            asks = threading.Thread(target=ask)
            asks.start()
            time.sleep(0.5)  # the question has begun, and waits between its columns
            with cursor_at(sandbox, primary) as cursor:
                cursor.execute("CREATE TABLE confirmed_meanwhile ()")
                cursor.execute("SELECT pg_current_wal_flush_lsn() - '0/0' AS lsn")
                end = cursor.fetchone()["lsn"]

                def confirmed():
                    cursor.execute("SELECT flush_lsn - '0/0' AS lsn FROM pg_stat_replication WHERE application_name = %s", (replica,))
                    row = cursor.fetchone()
                    return row and row["lsn"] >= end
                wait_until(confirmed, SECONDS, "the replica has confirmed it", pause=0.01)
            with cursor_at(sandbox, replica) as cursor:
                cursor.execute("ALTER SYSTEM SET primary_conninfo = ''")
                cursor.execute("SELECT pg_reload_conf()")
            wait_until(lambda: not pids_of(sandbox, replica, "walreceiver"), SECONDS, "its walreceiver has ended", pause=0.01)
            assert not answers, "the question was answered too soon to show anything"
            asks.join()
        finally:
            sandbox.thaw(agents)
        [answer] = answers
        assert not answer["receiver"], answer
        high, low = answer["flushed"].split("/")
        assert (int(high, 16) << 32) + int(low, 16) >= end, f"{answer} lacks what was confirmed up to {int(end):X}"


def stop_startup(sandbox, name: str) -> int:
    """In a moment in which it has no walreceiver: its leader is gone, and it tries again every now and then."""
    [startup] = pids_of(sandbox, name, "startup")

    def stopped():
        os.kill(startup, signal.SIGSTOP)
        if not pids_of(sandbox, name, "walreceiver"):
            return True
        os.kill(startup, signal.SIGCONT)
        return False
    wait_until(stopped, 20, "it has no walreceiver", pause=0.03)
    return startup


def test_a_replica_whose_startup_process_has_not_acted_on_its_promise_publishes_no_position():
    """It may start one more walreceiver by its old settings: its server is ended, and started anew."""
    with cluster() as sandbox:
        primary, (other, name) = sandbox.primary(), sorted(sandbox.replicas())  # of equals the first one is elected
        before = sandbox.postgres_pids(name)[0]
        sandbox.query("CREATE TABLE acknowledged ()")
        agents = pids_of(sandbox, name, "pgbalancer_agent")
        sandbox.freeze(agents)
        sandbox.kill_unit(primary)
        startup = stop_startup(sandbox, name)
        try:
            sandbox.thaw(agents)

            def leads():
                nodes = sandbox.group()["nodes"]
                return next((n["name"] for n in nodes if n["role"] == "primary" and n["state"] == "accepting"), None)
            found = wait_until(leads, 40, f"{name} or {other} leads")
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(startup, signal.SIGCONT)
        assert found in (name, other)
        assert sandbox.postgres_pids(name)[0] != before, "its position was believed"
        sandbox.run("start")
        sandbox.wait_healthy()
        sandbox.query("DROP TABLE acknowledged")

"""Which replica a read goes to, and when none: shares, lag, what clients have written, servers that come and go."""
import collections
import contextlib
import statistics
import threading
import time

import psycopg2
import psycopg2.errors
import pytest

from harness.alone import node_of, standing_group
from harness.waiting import wait_until

PASSWORD = "shop"
SETUP = f"""
CREATE ROLE shop LOGIN PASSWORD '{PASSWORD}';
GRANT pg_monitor TO shop;
GRANT ALL ON SCHEMA public TO shop;
CREATE FUNCTION here() RETURNS text STABLE LANGUAGE sql AS $$ SELECT current_setting('port') $$;
CREATE TABLE notes (id int GENERATED ALWAYS AS IDENTITY, text text);
GRANT ALL ON notes TO shop;
"""
HERE = "SELECT here()"
DEFAULTS = {"causal_reads": "session", "max_replica_lag": 10, "max_replica_lag_bytes": 0, "pool_size": 20}


class Group:
    def __init__(self, primary, replicas, balancer, since):
        self.primary, self.replicas, self.balancer, self.since = primary, replicas, balancer, since
        self.one, self.two = replicas
        self.names = {str(server.port): server.name for server in (primary, *replicas)}
        self.stack = contextlib.ExitStack()

    def client(self, user: str = "shop", password: str = PASSWORD, database: str = "postgres"):
        connection = psycopg2.connect(self.balancer.url(user, password, database), connect_timeout=10)
        connection.autocommit = True
        self.stack.callback(connection.close)
        return connection

    def configure(self, weights=(1, 1), **config) -> None:
        nodes = [node_of(server, weight=weight) for server, weight in zip((self.primary, *self.replicas), (1, *weights))]
        self.balancer.config |= {"nodes": nodes} | DEFAULTS | config
        self.balancer.reload()

    def node(self, connection) -> str:
        return self.names[value(connection, HERE)]

    def reads(self, connection, count: int) -> collections.Counter:
        return collections.Counter(self.node(connection) for _ in range(count))

    def wait_all_read(self, connection) -> None:
        wait_until(lambda: set(self.reads(connection, 40)) == {"replica1", "replica2"}, 30, "both replicas are read from")

    def healthy(self, name: str) -> bool:
        return next(node["healthy"] for node in self.balancer.ask("status")["nodes"] if node["name"] == name)


def run(connection, sql: str, parameters=None) -> list[tuple]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall() if cursor.description else []


def value(connection, sql: str, parameters=None):
    return run(connection, sql, parameters)[0][0]


@pytest.fixture(scope="module")
def standing():
    with standing_group(2) as (primary, replicas, balancer):
        primary.sql(SETUP)
        for replica in replicas:
            replica.wait_caught_up()
        yield primary, replicas, balancer, time.monotonic()


@pytest.fixture
def group(standing):
    group = Group(*standing)
    group.configure()
    with group.stack:
        group.wait_all_read(group.client())
        yield group


@pytest.fixture
def delayed(group):
    """The replicas replay what is committed seconds later."""
    for replica in group.replicas:
        replica.set(recovery_min_apply_delay="3s")
    yield group
    for replica in group.replicas:
        replica.set(recovery_min_apply_delay=None)
        replica.wait_caught_up()


# --- shares

def test_weights_are_shares_and_change_with_a_reload(group):
    client = group.client()
    for weights, low, high in (((1, 4), 0.65, 0.95), ((4, 1), 0.05, 0.35), ((1, 0), 0, 0), ((0, 1), 1, 1)):
        group.configure(weights=weights)
        # A server that was slow for a moment gets less for a while.
        wait_until(lambda l=low, h=high: l <= group.reads(client, 400)["replica2"] / 400 <= h, 30, f"shares of {weights}")
    group.configure(weights=(0, 0))
    wait_until(lambda: group.reads(client, 20) == {"primary": 20}, 10, "the primary reads where no replica has a weight")


def test_the_replica_with_the_least_under_way_is_taken(group):
    client = group.client()
    group.reads(client, 200)
    for _ in range(3):
        asleep = [(sleeper, threading.Thread(target=sleep, args=(sleeper,))) for sleeper in (group.client() for _ in range(16))]
        try:
            for count, (_, thread) in enumerate(asleep, 1):
                thread.start()
                wait_until(lambda n=count: sum(map(sleeping, group.replicas)) == n, 10, "it sleeps", pause=0.005)
            shares = [sleeping(replica) for replica in group.replicas]
        finally:
            for sleeper, thread in asleep:
                if thread.is_alive():
                    sleeper.cancel()
                    thread.join()
        assert min(shares) >= 7, shares


def sleep(client) -> None:
    with contextlib.suppress(psycopg2.errors.QueryCanceled):
        run(client, "/* pgbalancer: replica */ SELECT pg_sleep(60)")


def sleeping(replica) -> int:
    return replica.sql("SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sleep(60)'"
                       " AND usename = 'shop'")[0][0]


def test_a_replica_that_is_back_begins_with_a_small_share(group):
    client = group.client()
    time.sleep(max(0, group.since + 10 - time.monotonic()))  # the other one is no newcomer
    group.two.stop()
    wait_until(lambda: not group.healthy("replica2"), 10, "the balancer has noticed")
    assert set(group.reads(client, 50)) == {"replica1"}
    starting = threading.Thread(target=group.two.start)
    starting.start()
    read, back, limit = [], None, time.monotonic() + 30
    while time.monotonic() < limit:
        read.append((time.monotonic(), group.node(client)))
        if back is None and read[-1][1] == "replica2":
            back, limit = read[-1][0], read[-1][0] + 14
        time.sleep(0.005)
    starting.join()
    assert back is not None, "nothing was read from it"

    def share(begin: float, end: float) -> float:
        names = [name for when, name in read if begin <= when - back < end]
        assert len(names) > 100
        return names.count("replica2") / len(names)
    assert share(0, 3) < 0.25
    assert share(11, 14) > 0.35


# --- lag

def test_a_replica_that_is_too_late_gets_no_reads(group):
    client, writer = group.client(), group.client()
    group.one.set(recovery_min_apply_delay="30s")
    try:
        group.configure(max_replica_lag=1)
        run(writer, "INSERT INTO notes (text) VALUES ('late')")
        wait_until(lambda: set(group.reads(client, 40)) == {"replica2"}, 10, "only the other one is read from")
    finally:
        group.one.set(recovery_min_apply_delay=None)
    group.wait_all_read(client)


def test_a_replica_that_is_too_many_bytes_behind_gets_no_reads(group):
    client, writer = group.client(), group.client()
    group.one.sql("SELECT pg_wal_replay_pause()")
    try:
        group.configure(max_replica_lag=0, max_replica_lag_bytes=1_000_000)
        run(writer, "INSERT INTO notes (text) VALUES ('small')")
        group.two.wait_caught_up()
        group.wait_all_read(client)
        run(writer, "INSERT INTO notes (text) SELECT repeat('x', 1000) FROM generate_series(1, 3000)")
        wait_until(lambda: set(group.reads(client, 40)) == {"replica2"}, 10, "only the other one is read from")
    finally:
        group.one.sql("SELECT pg_wal_replay_resume()")
    group.wait_all_read(client)


# --- what was written

COUNT = "SELECT count(*), here() FROM notes WHERE text = %s"


def written(group, client) -> str:
    what = f"written {time.monotonic()}"
    run(client, "INSERT INTO notes (text) VALUES (%s)", (what,))
    return what


@pytest.mark.parametrize("causal_reads, own, others", [("off", "replica", "replica"), ("session", "primary", "replica"),
                                                       ("global", "primary", "primary")])
def test_causal_reads_say_who_must_see_what_was_written(delayed, causal_reads, own, others):
    delayed.configure(causal_reads=causal_reads)
    writer, other = delayed.client(), delayed.client()
    wait_until(lambda: delayed.node(other).startswith("replica"), 20, "nothing is to be waited for")
    for _ in range(5):
        what = written(delayed, writer)
        for client, expected in ((writer, own), (other, others)):
            rows, port = run(client, COUNT, (what,))[0]
            node = delayed.names[port]
            assert (node.startswith(expected), rows) == (True, int(node == "primary")), (node, rows)


def test_replicas_are_read_from_soon_after_a_write(group):
    client = group.client()
    took = []
    for _ in range(30):
        what = written(group, client)
        begin = time.monotonic()
        while True:
            rows, port = run(client, COUNT, (what,))[0]
            assert rows == 1
            if group.names[port] != "primary":
                break
        took.append(time.monotonic() - begin)
    print(f"replicas serve the writer after {1000 * statistics.median(took):.1f} ms (median), {1000 * max(took):.1f} ms (at most)")
    assert statistics.median(took) < 0.04, took  # an interval of 100 ms, for the primary and then the replica, is more


@pytest.fixture
def telling(group):
    """A replica logs what it is asked."""
    group.one.set(log_statement="all")
    yield group.one
    group.one.set(log_statement=None)


def probes(server) -> int:
    return (server.folder / "log").read_text(encoding="utf-8", errors="replace").count("pg_is_in_recovery() AS standby")


def test_servers_are_asked_little_when_nobody_writes_or_reads_and_within_bounds_when_many_do(group, telling):
    def asked(seconds: float, work) -> float:
        before, begin = probes(telling), time.monotonic()
        while time.monotonic() < begin + seconds:
            work()
        return (probes(telling) - before) / (time.monotonic() - begin)

    writer, reader = group.client(), group.client()
    idle = asked(4, lambda: time.sleep(0.1))
    unread = asked(4, lambda: written(group, writer))
    busy = asked(4, lambda: (written(group, writer), group.node(reader)))
    print(f"probes a second: {idle:.0f} with nobody writing, {unread:.0f} with one who never stops, {busy:.0f} with one who reads beside")
    assert 2 < idle < 12 and unread < 20
    assert 2 * max(idle, unread) < busy < 230


# --- servers in trouble

def test_a_replica_that_takes_no_logins_costs_nobody_anything_and_is_back_afterwards(group):
    """Its probes go on: only traffic sees it."""
    limit = int(group.one.sql("SHOW max_connections")[0][0])
    with contextlib.ExitStack() as held:
        group.one.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'shop'")
        hold_all(group.one, limit, held)
        client = group.client()
        begin = time.monotonic()
        assert group.reads(client, 300)["replica1"] == 0
        readers = [group.client() for _ in range(10)]
        assert all(group.node(reader) != "replica1" for reader in readers)
        assert time.monotonic() - begin < 3, "somebody waited"
        assert group.healthy("replica1")
    group.wait_all_read(client)


def hold_all(server, limit: int, stack: contextlib.ExitStack) -> None:
    for _ in range(limit):
        try:
            connection = psycopg2.connect(host=str(server.folder), port=server.port, user="postgres", dbname="template1")
        except psycopg2.OperationalError:
            return
        stack.callback(connection.close)


def test_a_replica_that_dies_is_left_at_once(group):
    readers = [group.client() for _ in range(4)]
    for reader in readers:
        group.reads(reader, 20)
    group.one.stop()
    try:
        begin = time.monotonic()
        for reader in readers:
            assert group.reads(reader, 50)["replica1"] == 0
        assert time.monotonic() - begin < 5
    finally:
        group.one.start()
    group.wait_all_read(readers[0])


@pytest.mark.parametrize("what", ["role", "database", "rule"])
def test_what_a_replica_does_not_know_yet_is_read_at_the_primary(delayed, what):
    user, password, database = "shop", PASSWORD, "postgres"
    if what == "role":
        user = f"new_{time.monotonic_ns()}"
        delayed.primary.sql(f"CREATE ROLE {user} LOGIN PASSWORD '{password}'")
    elif what == "database":
        database = f"new_{time.monotonic_ns()}"
        delayed.primary.sql(f"CREATE DATABASE {database}")
    else:
        for replica in delayed.replicas:
            replica.rules("host all shop all reject\nhost all all all scram-sha-256")
            replica.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'shop'")
    try:
        client = delayed.client(user, password, database)
        wait_until(lambda: run(client, "SELECT 1 FROM pg_class LIMIT 1") == [(1,)] and
                   "refused the login" in route(client)[1], 10, "a read was meant for a replica", pause=0.01)
        assert route(client)[0] == "primary"
    finally:
        for replica in delayed.replicas:
            replica.rules("host all all all scram-sha-256")
    wait_until(lambda: run(client, "SELECT 1 FROM pg_class LIMIT 1") and route(client)[0].startswith("replica"), 20,
               "replicas know it now")


def route(client) -> tuple[str, str]:
    return run(client, "SHOW pgbalancer.route")[0]


# --- insight

@pytest.mark.parametrize("sql, role, reason, verdict", [
    ("SELECT count(*) FROM notes", "replica", "it only reads", "reads"),
    ("INSERT INTO notes (text) VALUES ('never')", "primary", "it writes", "writes"),
    ("SELECT nextval('notes_id_seq')", "primary", "nextval() writes", "may write"),
    ("CREATE TABLE never (a int)", "primary", "it is no query (Create)", "changes the catalogue"),
    ("BEGIN READ ONLY", "replica", "the transaction is READ ONLY", "reads"),
    ("BEGIN", "primary", "a transaction that may write begins", "controls the transaction"),
    ("SET work_mem = '1MB'", "primary", "it changes the session", "changes the session"),
    ("DO $$ BEGIN END $$", "primary", "a procedure may do anything", "may do anything"),
    ("SELEKT", "primary", "it does not parse", "not understood"),
    ("/* pgbalancer: primary */ SELECT 1", "primary", "a comment asks for the primary", "may write")])
def test_explain_route_tells_where_a_statement_would_go_and_runs_nothing(group, sql, role, reason, verdict):
    client = group.client()
    before = group.primary.sql("SELECT last_value FROM notes_id_seq")
    run(client, "SELECT 1")
    last = route(client)
    rows = run(client, f"Explain ( route ) {sql}")
    assert len(rows) == 1 and rows[0][1:] == (role, reason, verdict), rows
    assert rows[0][0].startswith(role)
    assert route(client) == last
    assert group.primary.sql("SELECT last_value FROM notes_id_seq") == before
    assert value(client, "SELECT to_regclass('never') IS NULL")


def test_explain_route_says_why_a_session_stays_where_it_is(group):
    client = group.client()
    run(client, "CREATE TEMP TABLE kept (a int)")
    assert run(client, "EXPLAIN (ROUTE) SELECT 1") == [
        ("primary", "primary", "the session is bound to its server: it has temporary objects", "reads")]
    run(client, "DROP TABLE kept")
    run(client, "BEGIN")
    assert run(client, "EXPLAIN (ROUTE) SELECT 1") == [("primary", "primary", "a transaction is open there", "reads")]


def test_who_is_bound_to_a_replica_is_told_why_it_cannot_write(group):
    client = group.client()
    run(client, "BEGIN READ ONLY")
    run(client, "DECLARE held CURSOR WITH HOLD FOR SELECT 1 AS a UNION SELECT 2 ORDER BY a")
    assert group.node(client).startswith("replica")
    run(client, "COMMIT")
    with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction, match="bound to the replica replica. because it has a cursor WITH HOLD"):
        run(client, "INSERT INTO notes (text) VALUES ('no')")
    assert run(client, "FETCH ALL FROM held") == [(1,), (2,)]
    run(client, "CLOSE held")
    run(client, "INSERT INTO notes (text) VALUES ('yes')")
    assert route(client)[0] == "primary"

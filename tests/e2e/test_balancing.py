"""Which replica a read goes to, and when none: shares, lag, what clients have written, servers that come and go."""
import collections
import contextlib
import statistics
import threading
import time

import psycopg2
import psycopg2.errors
import pytest

from harness import wire
from harness.alone import node_of, standing_group
from harness.waiting import wait_until
from harness.wire import FLUSH, SYNC, Wire, bind, execute, extended, parse, query

PASSWORD = "shop"
SETUP = f"""
CREATE ROLE shop LOGIN PASSWORD '{PASSWORD}';
GRANT pg_monitor TO shop;
GRANT ALL ON SCHEMA public TO shop;
CREATE FUNCTION here() RETURNS text STABLE LANGUAGE sql AS $$ SELECT current_setting('port') $$;
CREATE TABLE notes (id int GENERATED ALWAYS AS IDENTITY, text text);
GRANT ALL ON notes TO shop;
CREATE FUNCTION locks_alone() RETURNS bool LANGUAGE sql AS $$ SELECT pg_try_advisory_xact_lock(45) $$;
CREATE VIEW locking AS SELECT locks_alone();
GRANT ALL ON locking TO shop;
CREATE FUNCTION notes(text) RETURNS text LANGUAGE plpgsql AS
  $$ BEGIN INSERT INTO notes (text) VALUES ('unseen'); RETURN 'x'; END $$;
CREATE FUNCTION notes_of(text, text) RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN notes($1); END';
CREATE FUNCTION noted(pg_namespace) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN notes(''); END $$;
CREATE OPERATOR #!# (LEFTARG = text, RIGHTARG = text, FUNCTION = notes_of);
CREATE VIEW notes_down AS SELECT notes('');
CREATE FUNCTION is_noted(text) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN PERFORM notes(''); RETURN true; END $$;
CREATE DOMAIN noticed AS text CHECK (is_noted(VALUE));
GRANT SELECT ON notes_down TO shop;
CREATE UNLOGGED TABLE unlogged (a int);
GRANT ALL ON unlogged TO shop;
CREATE SEQUENCE numbers;
GRANT ALL ON numbers TO shop;
CREATE FUNCTION counts() RETURNS bigint STABLE LANGUAGE sql AS 'SELECT count(*) FROM unlogged';
CREATE FUNCTION draws() RETURNS bigint STABLE LANGUAGE plpgsql AS 'BEGIN RETURN nextval(''numbers''); END';
CREATE FUNCTION tells() RETURNS text STABLE LANGUAGE plpgsql AS 'BEGIN RETURN pg_walfile_name(''0/1000000''); END';
CREATE ROLE careful LOGIN PASSWORD '{PASSWORD}';
ALTER ROLE careful SET default_transaction_isolation = 'serializable';
"""
HERE = "SELECT here()"
DEFAULTS = {"causal_reads": "session", "max_replica_lag": 10, "max_replica_lag_bytes": 0, "pool_size": 20, "query_wait_timeout": 120,
            "primary_wait_timeout": 10}


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

    def wire(self, user: str = "shop", **keywords) -> Wire:
        return self.stack.enter_context(Wire(self.balancer.url(user, PASSWORD), **keywords))

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


@pytest.mark.parametrize("sql", ["SELECT * FROM notes_down", "SELECT 'a'::text #!# 'b'", "SELECT 'a'::noticed",
                                 "SELECT n.noted FROM pg_namespace n WHERE nspname = 'public'"])
def test_what_is_written_by_what_looks_like_a_read_is_seen_afterwards(group, sql):
    client = group.client()
    count = "SELECT count(*) FROM notes WHERE text = 'unseen'"
    before = value(group.client(), "/* pgbalancer: primary */ " + count)
    for replica in group.replicas:
        replica.sql("SELECT pg_wal_replay_pause()")
    try:
        run(client, sql)
        assert value(client, count) == before + 1
    finally:
        for replica in group.replicas:
            replica.sql("SELECT pg_wal_replay_resume()")
            replica.wait_caught_up()


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
        def meant_for_replica():
            """Each time of a session that has asked nothing before the catalogue was known: that could have written."""
            client = delayed.client(user, password, database)
            return run(client, "SELECT 1 FROM pg_class LIMIT 1") == [(1,)] and "refused the login" in route(client)[1] and client
        client = wait_until(meant_for_replica, 10, "a read was meant for a replica", pause=0.01)
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


REFUSED = "it only reads, but a replica refused to do it"


@pytest.mark.parametrize("call", ["counts()", "draws()", "tells()"])
def test_what_a_replica_refuses_the_primary_does_and_it_is_remembered(group, call):
    """Functions that are called STABLE, but can be executed at a primary only."""
    ways = {
        "simple": lambda client, sql: client.ask(wire.query(sql)),
        "unnamed": lambda client, sql: client.ask(wire.extended(sql)),
        "named": lambda client, sql: client.ask(wire.parse(sql, "s"), wire.bind("s"), wire.execute(), SYNC),
        "named, known": lambda client, sql: (
            [client.ask(wire.parse(sql, f"earlier {n}"), SYNC) for n in range(8)],  # at either replica
            client.ask(wire.parse(sql, "s"), wire.bind("s"), wire.execute(), SYNC))[1],
        "prepared": lambda client, sql: (client.ask(wire.parse(sql, "s"), SYNC),
                                         client.ask(wire.bind("s"), wire.execute(), SYNC))[1],
        "pipeline": lambda client, sql: client.ask(wire.extended("SELECT 1")[:-5], wire.extended(sql))}
    for number, (way, ask) in enumerate(ways.items()):
        client = group.wire()
        sql = f"SELECT {call} IS NOT NULL, here() AS way_{number}"
        assert client.query(f"EXPLAIN (ROUTE) {sql}").rows[0][1] == "replica", "it is tried there"
        answer = ask(client, sql)
        assert not answer.errors and answer.status == "I", (way, answer)
        assert answer.rows[-1] == ["t", str(group.primary.port)], (way, answer)
        assert client.query("SHOW pgbalancer.route").rows == [["primary", REFUSED]], way
        told = client.query(f"EXPLAIN (ROUTE) {sql}").rows[0]
        assert told[1:3] == (["replica", "it only reads"] if way == "pipeline" else ["primary", REFUSED]), (way, told)
        assert ask(group.wire(), sql).rows[-1] == ["t", str(group.primary.port)], way
    last = group.wire().query(f"/* pgbalancer: replica */ SELECT {call}")
    assert last.sqlstates[0] in ("0A000", "25006", "55000"), "a hint is taken at its word"


def test_who_is_serializable_by_default_reads_at_the_primary(group):
    for parameters in ({}, {"application_name": "careful"}):
        careful = group.wire("careful", parameters=parameters)
        for reason in (REFUSED, "default_transaction_isolation is serializable, which no replica can do"):
            assert careful.value(HERE) == str(group.primary.port)
            assert careful.query("SHOW pgbalancer.route").rows == [["primary", reason]]
    careful.query("SET default_transaction_isolation = 'read committed'")
    wait_until(lambda: careful.value(HERE) != str(group.primary.port), 10, "it reads at a replica")
    loud = group.wire(parameters={"options": "-c default_transaction_isolation=SERIALIZABLE"})
    assert loud.value(HERE) == str(group.primary.port)
    assert loud.query("SHOW pgbalancer.route").rows == [["primary", reason]]


def test_what_is_described_or_not_tracked_goes_where_it_may_be_executed(delayed):
    maker, asker, other = delayed.client(), delayed.wire(), delayed.wire()
    run(maker, "CREATE TABLE new_here (a int)")
    assert asker.ask(wire.parse("INSERT INTO new_here VALUES ($1)", "s"), SYNC).tags == "1Z"
    assert asker.ask(wire.describe("s"), SYNC).tags == "tnZ"
    delayed.configure(max_prepared_statements=0, pool_size=1)
    assert asker.ask(wire.parse("SET search_path = elsewhere", "set"), wire.bind("set"), wire.execute(), SYNC).tags == "12CZ"
    assert other.value("/* pgbalancer: primary */ SELECT current_setting('search_path')") == '"$user", public'
    write = "INSERT INTO public.notes (text) VALUES ('not tracked')"
    assert asker.ask(wire.parse(write, "write"), wire.bind("write"), wire.execute(), SYNC).tags == "12CZ"
    assert asker.value("SELECT count(*) FROM public.notes WHERE text = 'not tracked'") == "1"
    delayed.configure(max_prepared_statements=0, causal_reads="off")
    asker.ask(wire.bind("write"), SYNC)
    assert route_of(asker) == "primary"


def route_of(client: Wire) -> str:
    return client.query("SHOW pgbalancer.route").rows[0][0]


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
    assert group.node(client).startswith("replica")
    run(client, "DECLARE held CURSOR WITH HOLD FOR SELECT 1 AS a UNION SELECT 2 ORDER BY a")
    assert group.node(client).startswith("replica")
    run(client, "COMMIT")
    with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction, match="bound to the replica replica. because it has a cursor WITH HOLD"):
        run(client, "INSERT INTO notes (text) VALUES ('no')")
    assert run(client, "FETCH ALL FROM held") == [(1,), (2,)]
    run(client, "CLOSE held")
    run(client, "INSERT INTO notes (text) VALUES ('yes')")
    assert route(client)[0] == "primary"


# --- READ ONLY transactions that began at a replica

LOCK = "SELECT pg_try_advisory_xact_lock(42)"


@pytest.mark.parametrize("begin", ["BEGIN READ ONLY", "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"])
def test_a_lock_in_a_read_only_transaction_is_one_for_all(group, begin):
    clients = [group.client() for _ in range(3)]
    taken = []
    for client in clients:
        run(client, begin)
        assert route(client)[0].startswith("replica")
        taken.append(value(client, LOCK))
        assert route(client)[0] == "primary"
    assert taken == [True, False, False]
    run(clients[0], "COMMIT")
    assert value(clients[1], LOCK), "the next one has it"
    with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction):
        run(clients[1], "INSERT INTO notes (text) VALUES ('no')")


@pytest.mark.parametrize("sql", ["LISTEN news", "NOTIFY news", "SELECT pg_notify('news', 'x')", "LOCK TABLE notes IN SHARE MODE",
                                 "SELECT pg_current_wal_lsn()", "SELECT txid_current()", "DO $$ BEGIN END $$",
                                 "SET TRANSACTION READ WRITE", "SELECT locks_alone()", "PREPARE p AS SELECT 1"])
def test_what_only_the_primary_can_do_is_done_there_though_the_transaction_began_elsewhere(group, sql):
    client = group.client()
    run(client, "BEGIN READ ONLY")
    assert route(client)[0].startswith("replica")
    run(client, sql)
    assert route(client)[0] == "primary"
    run(client, "COMMIT")
    run(client, "INSERT INTO notes (text) VALUES ('after')")


def test_what_the_transaction_has_said_of_itself_goes_along(group):
    client = group.client()
    run(client, "SET my.of_session = 'kept'")
    run(client, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    run(client, "SET LOCAL work_mem = '7MB'")
    run(client, "SELECT set_config('my.of_transaction', 'local', true)")
    run(client, "SET application_name = 'of both'")
    assert value(client, "SHOW work_mem") == "7MB" and route(client)[0].startswith("replica")
    assert value(client, LOCK) and route(client)[0] == "primary"
    shown = {name: value(client, f"SHOW {name}") for name in ("work_mem", "my.of_transaction", "my.of_session", "application_name",
                                                              "transaction_isolation", "transaction_read_only")}
    assert shown == {"work_mem": "7MB", "my.of_transaction": "local", "my.of_session": "kept", "application_name": "of both",
                     "transaction_isolation": "repeatable read", "transaction_read_only": "on"}
    run(client, "COMMIT")
    assert value(client, "SHOW application_name") == "of both" and value(client, "SHOW work_mem") == "4MB"


@pytest.mark.parametrize("sql", [LOCK, "SELECT pg_advisory_lock(7)", "LISTEN news", "LOCK TABLE notes IN SHARE MODE", "SELECT locks_alone()",
                                 "SELECT * FROM locking", "DO $$ BEGIN PERFORM pg_advisory_lock(7); END $$"])
def test_who_has_read_at_a_replica_is_refused_a_lock_there_and_told_the_way_out(group, sql):
    client = group.client()
    run(client, "BEGIN READ ONLY")
    assert group.node(client).startswith("replica")
    with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction, match=r"cannot do this at the replica replica., [\s\S]*pgbalancer: primary"):
        run(client, sql)
    for replica in group.replicas:
        assert replica.sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == [(0,)]
    run(client, "ROLLBACK")
    run(client, "/* pgbalancer: primary */ BEGIN READ ONLY")
    assert group.node(client) == "primary"
    run(client, sql)
    run(client, "ROLLBACK")


def test_what_a_replica_does_as_well_stays_there(group):
    client = group.client()
    run(client, "BEGIN READ ONLY")
    assert value(client, "SHOW transaction_read_only") == "on"
    run(client, "SET LOCAL my.x = 'y'")
    node = group.node(client)
    assert node.startswith("replica")
    for sql in ("SAVEPOINT a", "SELECT set_config('my.x', 'z', true)", "DECLARE c CURSOR FOR SELECT 1", "FETCH c", "CLOSE c", "ROLLBACK TO a",
                "SELECT pg_is_in_recovery()", "SELECT name FROM pg_cursors", "SHOW work_mem", "SELECT random()", "SELECT now()"):
        run(client, sql)
        assert group.node(client) == node, sql
    run(client, "COMMIT")


def test_messages_of_the_extended_protocol_are_looked_at_in_a_read_only_transaction_too(group):
    with Wire(group.balancer.url("shop", PASSWORD, "postgres")) as wire:
        assert not wire.ask(extended("BEGIN READ ONLY")).errors
        answer = wire.ask(extended("SELECT pg_try_advisory_xact_lock($1)", ("43",)))
        assert answer.rows == [["t"]] and answer.status == "T"
        assert wire.query("SHOW pgbalancer.route").rows[0][0] == "primary"
        wire.query("COMMIT")
        wait_until(lambda: group.reads(group.client(), 1) and wire.value(HERE) != str(group.primary.port), 10, "it reads at replicas")
        wire.query("BEGIN READ ONLY")
        assert wire.value(HERE) != str(group.primary.port)
        answer = wire.ask(extended("SELECT pg_try_advisory_xact_lock($1)", ("43",)))
        assert answer.sqlstates == ["25006"] and answer.status == "T"
        assert not wire.ask(parse(HERE) + bind() + execute() + FLUSH + SYNC).errors, "nothing is wrong with it though more may follow"
        wire.send(parse(HERE), bind(), execute(), FLUSH)
        wire.until("C")
        wire.send(parse("SELECT pg_advisory_lock(44)"), bind(), execute(), SYNC)
        with pytest.raises(ConnectionError):
            assert "25006" in wire.until().sqlstates
            wire.until()
    for server in (group.primary, *group.replicas):
        assert server.sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == [(0,)]


def test_a_transaction_that_finds_no_primary_to_go_on_at_has_failed(group):
    group.configure(primary_wait_timeout=0.3, pool_size=1, query_wait_timeout=0.5)
    holder, client = group.client(), group.client()
    run(client, "BEGIN READ ONLY")
    assert route(client)[0].startswith("replica")
    run(holder, "BEGIN")
    run(holder, "SELECT txid_current()")
    with pytest.raises(psycopg2.errors.TooManyConnections):
        run(client, LOCK)
    assert client.info.transaction_status == psycopg2.extensions.TRANSACTION_STATUS_INERROR
    with pytest.raises(psycopg2.errors.InFailedSqlTransaction):
        run(client, "SELECT 1")
    run(client, "ROLLBACK")
    run(holder, "ROLLBACK")
    run(client, "INSERT INTO notes (text) VALUES ('goes on')")


# --- causal_reads "global"

@pytest.fixture
def paused(group):
    """Replicas replay nothing; reads go there, and there is one who writes."""
    group.configure(causal_reads="global")
    reader, writer = group.client(), group.client()
    group.wait_all_read(reader)
    yield reader, writer, lambda: [replica.sql("SELECT pg_wal_replay_pause()") for replica in group.replicas]
    for replica in group.replicas:
        replica.sql("SELECT pg_wal_replay_resume()")
        replica.wait_caught_up()


@pytest.mark.parametrize("begin", ["BEGIN READ ONLY", "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"])
def test_a_read_only_transaction_sees_what_others_have_written_before_its_statements(paused, begin):
    reader, writer, pause = paused
    run(reader, begin)
    node = route(reader)[0]
    assert node.startswith("replica") == ("REPEATABLE" in begin), "each statement of the other one may have to see more"
    pause()
    run(writer, "INSERT INTO notes (text) VALUES ('global')")
    count = value(writer, "/* pgbalancer: primary */ SELECT count(*) FROM notes")
    assert value(reader, "SELECT count(*) FROM notes") == count
    run(writer, "INSERT INTO notes (text) VALUES ('global')")
    assert value(reader, "SELECT count(*) FROM notes") == count + ("REPEATABLE" not in begin)
    run(reader, "COMMIT")


def test_a_request_behind_one_at_a_replica_sees_what_was_acknowledged_before_it_was_sent(group, paused):
    _, writer, pause = paused
    with Wire(group.balancer.url("shop", PASSWORD, "postgres")) as wire:
        assert wire.value(HERE) != str(group.primary.port)
        wire.send(query("/* pgbalancer: replica */ SELECT count(*), pg_sleep(0.5) FROM notes"))
        wait_until(lambda: any(replica.sql("SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE "
                                           "'%pg_sleep(0.5)%' AND usename = 'shop'")[0][0] for replica in group.replicas), 5, "it runs",
                   pause=0.01)
        pause()
        run(writer, "INSERT INTO notes (text) VALUES ('global')")
        wire.send(query("SELECT count(*) FROM notes"))
        first, second = wire.until(), wire.until()
        assert int(second.rows[0][0]) == int(first.rows[0][0]) + 1

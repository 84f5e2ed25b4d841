"""The pooler's limits of time and number, each at work: with times short enough to be waited for."""
import contextlib
import os
import signal
import threading
import time

import psycopg2
import psycopg2.errors
import pytest

from harness.alone import standing_alone
from harness.waiting import holds_for, wait_until
from harness.wire import FLUSH, SYNC, Wire, bind, execute, parse, query

PASSWORD = "shop"
USERS = ("app", "other", "warm")
DEFAULTS = {"pool_mode": "transaction", "pool_size": 4, "min_pool_size": 0, "reserve_pool_size": 0, "reserve_pool_timeout": 5,
            "query_timeout": 0, "client_idle_timeout": 0, "idle_transaction_timeout": 0, "server_idle_timeout": 600,
            "server_lifetime": 3600, "server_check_delay": 30, "query_wait_timeout": 120, "pools": []}


class Site:
    def __init__(self, server, balancer):
        self.server, self.balancer = server, balancer
        self.stack = contextlib.ExitStack()

    def configure(self, **config) -> None:
        self.balancer.config |= DEFAULTS | config
        self.balancer.reload()

    def client(self, user: str = "app", database: str = "postgres"):
        connection = psycopg2.connect(self.balancer.url(user, PASSWORD, database), connect_timeout=10)
        connection.autocommit = True
        self.stack.callback(connection.close)
        return connection

    def wire(self, user: str = "app") -> Wire:
        return self.stack.enter_context(Wire(self.balancer.url(user, PASSWORD, "postgres")))

    def servers(self, user: str = "app", where: str = "true") -> set[int]:
        return {row[0] for row in self.server.sql("SELECT pid FROM pg_stat_activity WHERE usename = %s AND backend_type = "
                                                  f"'client backend' AND ({where})", (user,))}

    def has(self, count: int, user: str = "app") -> bool:
        return len(self.servers(user)) == count


@pytest.fixture(scope="module")
def standing():
    users = [{"name": "warm", "password": PASSWORD}]
    with standing_alone("host all all all scram-sha-256", users=users, admin_users=["warm"]) as (server, balancer):
        for user in USERS:
            server.sql(f"CREATE ROLE {user} LOGIN PASSWORD '{PASSWORD}'")
        server.sql("CREATE DATABASE second")
        server.sql("CREATE TABLE written (n int); GRANT ALL ON written TO PUBLIC")
        yield server, balancer


@pytest.fixture
def site(standing):
    """Without a server of an earlier test."""
    site = Site(*standing)
    site.configure(server_idle_timeout=0.1)
    for user in USERS:
        wait_until(lambda u=user: site.has(0, u), 10, f"no server of {user} is left")
    site.configure()
    with site.stack:
        yield site


def run(connection, sql: str):
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0] if cursor.description else None


def hold(site, user: str = "app"):
    """A client with a server of its own."""
    client = site.client(user)
    run(client, "BEGIN")
    run(client, "SELECT pg_backend_pid()")
    return client


def ending(wire: Wire, limit: float) -> list[str]:
    """The SQLSTATEs of what it is told before the connection ends."""
    wire.socket.settimeout(limit)
    told = []
    with contextlib.suppress(ConnectionError):
        while True:
            tag, body = wire.read()
            told += [part[1:].decode() for part in body.split(b"\0") if tag == "E" and part[:1] == b"C"]
    return told


# --- times

def test_query_timeout_ends_what_runs_and_its_server_counts_until_then(site):
    site.configure(query_timeout=0.5, pool_size=1)
    for number in range(3):
        wire = site.wire()
        wire.send(query(f"INSERT INTO written SELECT {number} FROM pg_sleep(6)"))
        assert ending(wire, 5) == ["57014"]
        assert not site.servers("app", "state = 'active'"), "nobody waits for it, and it runs on"
        assert len(site.servers()) <= 1
    assert site.server.sql("SELECT count(*) FROM written") == [(0,)]
    assert run(site.client(), "SELECT 1") == 1


def test_query_timeout_counts_from_the_beginning_of_a_request(site):
    site.configure(query_timeout=0.5)
    wire = site.wire()
    begun = time.monotonic()
    wire.send(query("SELECT pg_sleep(6)"))
    with contextlib.suppress(ConnectionError):
        while time.monotonic() - begun < 4:
            wire.send(query("SELECT 1"))
            time.sleep(0.1)  # something comes all the time, and much more often than the limit
    assert time.monotonic() - begun < 4, "it goes on as long as something comes"
    wait_until(lambda: not site.servers("app", "state = 'active'"), 2, "nothing runs on")


def test_of_a_client_that_is_gone_nothing_runs_on_that_only_reads(site):
    site.configure(pool_size=1)
    wire = site.wire()
    wire.send(query("SELECT count(*) FROM written, pg_sleep(8)"))
    wait_until(lambda: site.servers("app", "state = 'active'"), 5, "it runs")
    wire.vanish()
    begun = time.monotonic()
    assert run(site.client(), "SELECT 1") == 1, "the pool has no other server"
    assert time.monotonic() - begun < 4
    wait_until(lambda: len(site.servers()) <= 1, 2, "the statement has ended before its time")


def test_client_idle_timeout_is_for_clients_with_a_server_too(site):
    site.configure(client_idle_timeout=0.5, pools=[{"user": "other", "pool_mode": "session"}])
    plain, bound, listener, whole = site.wire(), site.wire(), site.wire(), site.wire("other")
    assert not plain.query("SELECT 1").errors
    assert not bound.query("CREATE TEMP TABLE mine (n int)").errors
    assert not listener.query("LISTEN news").errors
    assert not whole.query("SELECT 1").errors
    busy = site.wire()
    busy.send(query("SELECT pg_sleep(2.5)"))
    for idle in (plain, bound, listener, whole):
        assert ending(idle, 3) == ["57P05"]
    assert not busy.until().errors, "who waits for an answer is not idle"


def test_idle_transaction_timeout_gives_its_server_to_others(site):
    site.configure(idle_transaction_timeout=0.5, pool_size=1)
    wire = site.wire()
    wire.query("BEGIN")
    wire.query("INSERT INTO written VALUES (1)")
    other = site.client()
    assert run(other, "SELECT count(*) FROM written") == 0
    assert ending(wire, 3) == ["25P03"]


def test_idle_transaction_timeout_is_for_requests_without_their_end_too(site):
    site.configure(idle_transaction_timeout=0.5, pool_size=1)
    wire = site.wire()
    wire.send(parse("INSERT INTO written VALUES (1)"), bind(), execute(), FLUSH)
    assert not wire.until("C").errors  # no Sync: it is not committed, and its row is locked
    assert run(site.client(), "SELECT count(*) FROM written") == 0, "the server is there for others again"
    assert ending(wire, 3) == ["25P03"]


def test_query_timeout_does_not_count_a_pause_within_a_request(site):
    site.configure(query_timeout=1)
    wire = site.wire()
    wire.send(parse("SELECT pg_sleep(0.5)"), FLUSH)
    wire.until("1")
    time.sleep(1.2)
    assert not wire.ask(bind(), execute(), SYNC).errors


def test_a_server_that_does_not_answer_the_balancers_own_question_is_left(site):
    site.configure(pool_size=1)
    changed, waiting = site.client(), site.client()
    run(changed, "SET work_mem = '7MB'")
    frozen = run(changed, "SELECT pg_backend_pid()")
    os.kill(frozen, signal.SIGSTOP)
    try:
        begun = time.monotonic()
        with pytest.raises(psycopg2.errors.TransactionResolutionUnknown, match="did not answer a question of the balancer's own"):
            run(waiting, "SHOW work_mem")  # its server is asked to take that back first
        assert 9 < time.monotonic() - begun < 15
        assert run(waiting, "SELECT pg_backend_pid()") != frozen
    finally:
        os.kill(frozen, signal.SIGCONT)


def test_server_idle_timeout_closes_who_rests(site):
    client = site.client()
    run(client, "SELECT 1")
    site.configure(server_idle_timeout=0.5)
    wait_until(lambda: site.has(0), 3, "its server is closed")
    assert run(client, "SELECT 2") == 2


def test_server_lifetime_replaces_servers_that_rest_and_those_that_work(site):
    holder = hold(site)
    taken = run(holder, "SELECT pg_backend_pid()")
    old = run(site.client(), "SELECT pg_backend_pid()")
    site.configure(server_lifetime=0.3)
    wait_until(lambda: old not in site.servers(), 3, "the one that rests is closed")
    assert taken in site.servers(), "a transaction goes on"
    run(holder, "COMMIT")
    wait_until(lambda: taken not in site.servers(), 3, "the other one is closed after it")


def test_server_check_delay_finds_servers_that_are_there_and_say_nothing(site):
    wire = site.wire()
    stopped = int(wire.value("SELECT pg_backend_pid()"))
    site.configure(server_check_delay=0.1)
    time.sleep(0.2)
    os.kill(stopped, signal.SIGSTOP)
    try:
        assert int(wire.value("SELECT pg_backend_pid()")) != stopped, "within the time limit of the socket"
    finally:
        os.kill(stopped, signal.SIGCONT)


# --- numbers

def test_min_pool_size_is_opened_before_it_is_needed_and_again_afterwards(site):
    site.configure(min_pool_size=2, server_lifetime=2)
    client = site.client()
    run(client, "SELECT 1")
    wait_until(lambda: site.has(2), 3, "there are two")
    first = site.servers()
    site.server.sql("SELECT pg_terminate_backend(%s)", (min(first),))
    wait_until(lambda: site.has(2) and site.servers() != first, 3, "there are two again")
    wait_until(lambda: site.has(2) and not site.servers() & first, 6, "all of them are new ones, by their lifetime")
    site.configure(min_pool_size=2, server_idle_timeout=0.2)
    assert holds_for(lambda: site.has(2), 0.6, "two of them are kept") is None


def test_min_pool_size_of_a_configured_user_needs_no_client(site):
    site.configure(pools=[{"database": "second", "user": "warm", "min_pool_size": 2}])
    wait_until(lambda: site.has(2, "warm"), 3, "servers wait for the first client")
    assert run(site.client("warm", "second"), "SELECT pg_backend_pid()") in site.servers("warm")


def test_the_reserve_is_for_those_who_wait_too_long(site):
    site.configure(pool_size=1, reserve_pool_size=1, reserve_pool_timeout=0.5)
    holder = hold(site)
    begun = time.monotonic()
    second = site.client()
    run(second, "SELECT 1")
    assert 0.4 <= time.monotonic() - begun < 3
    wait_until(lambda: site.has(1), 3, "it is closed again when nobody waits")
    assert run(second, "SELECT 2") == 2, "and opened again"
    run(holder, "ROLLBACK")


def test_a_smaller_pool_size_holds_at_once_however_much_there_is_to_do(site):
    clients, errors, done = [site.client() for _ in range(8)], [], threading.Event()

    def work(client) -> None:
        try:
            while not done.is_set():
                run(client, "SELECT pg_sleep(0.005)")
        except psycopg2.Error as error:
            errors.append(error)
    threads = [threading.Thread(target=work, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: site.has(4), 5, "all servers are at work")
        site.configure(pool_size=1)
        wait_until(lambda: site.has(1), 3, "there is one")
    finally:
        done.set()
        for thread in threads:
            thread.join(20)
    assert not errors


# --- for some databases and users

def fit(site, user: str, database: str) -> int:
    """How many clients at once get a server."""
    holders = []
    try:
        while len(holders) < 5:
            holders.append(site.client(user, database))
            run(holders[-1], "BEGIN")
            run(holders[-1], "SELECT 1")
    except psycopg2.Error as error:
        assert "no server became free" in str(error)
        return len(holders) - 1
    finally:
        for holder in holders:
            holder.close()
    return len(holders)


def test_pools_say_what_is_different_for_a_database_or_a_user(site):
    site.configure(query_wait_timeout=0.5, pools=[
        {"database": "second", "user": "other", "pool_size": 2}, {"database": "second", "pool_size": 1, "pool_mode": "session"},
        {"user": "other", "pool_mode": "statement"}])
    assert fit(site, "other", "second") == 2, "the first that fits"
    assert fit(site, "app", "second") == 1
    with pytest.raises(psycopg2.errors.FeatureNotSupported, match="statement"):
        run(site.client("other"), "BEGIN")
    whole = site.client("app", "second")
    server = run(whole, "SELECT pg_backend_pid()")
    with pytest.raises(psycopg2.Error, match="no server became free in time.*|pool_size is 1"):
        run(site.client("app", "second"), "SELECT 1")
    assert run(whole, "SELECT pg_backend_pid()") == server
    run(site.client("app"), "BEGIN")
    with Wire(site.balancer.url("warm", PASSWORD, "pgbalancer")) as console:
        modes = {(row[0], row[1]): row[-2] for row in console.query("SHOW POOLS").rows}
    assert modes[("second", "app")] == "session" and modes[("second", "other")] == "transaction"
    assert modes[("postgres", "other")] == "statement" and modes[("postgres", "app")] == "transaction"
    whole.close()
    site.configure(query_wait_timeout=0.5)
    run(site.client("other"), "BEGIN")
    assert fit(site, "app", "second") == 4, "a reload takes it back"

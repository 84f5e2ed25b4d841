"""Limits of number that hold over all threads, what is passed on whole however large, and replication through the balancer."""
import concurrent.futures
import contextlib
import os
import pathlib
import re
import signal
import struct
import subprocess
import time

import psycopg2
import pytest

from harness.alone import newest_bin, standing_alone, standing_group
from harness.waiting import holds_for, wait_until
from harness.wire import SYNC, Wire, cstr, execute, message, parse, query

PASSWORD = "shop"
RULES = "host replication copier all scram-sha-256\nhost all all all scram-sha-256"
LARGE = 256 << 20  # bytes
GROWTH = 32 << 10  # kB, at most, for a message of that size


class Site:
    def __init__(self, server, balancer):
        self.server, self.balancer = server, balancer

    def configure(self, **config) -> None:
        self.balancer.config |= {"pool_size": 20, "max_user_clients": 0, "max_database_clients": 0, "query_wait_timeout": 120} | config
        self.balancer.reload()

    def url(self, user: str = "app", database: str = "postgres") -> str:
        return self.balancer.url(user, PASSWORD, database)

    def client(self, user: str = "app", database: str = "postgres"):
        connection = psycopg2.connect(self.url(user, database), connect_timeout=10)
        connection.autocommit = True
        return connection

    def peak(self) -> int:
        """kB of memory that the balancer had at the same time, at most, since it was started."""
        status = pathlib.Path(f"/proc/{self.balancer.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+)", status).group(1))


@pytest.fixture(scope="module")
def standing():
    with standing_alone(RULES, threads=2) as (server, balancer):
        for user in ("app", "other"):
            server.sql(f"CREATE ROLE {user} LOGIN PASSWORD '{PASSWORD}'")
        server.sql(f"CREATE ROLE copier LOGIN REPLICATION PASSWORD '{PASSWORD}'")
        server.sql("CREATE DATABASE second")
        server.sql("CREATE TABLE large (text text); ALTER TABLE large ALTER text SET STORAGE EXTERNAL; GRANT ALL ON large TO app")
        yield server, balancer


@pytest.fixture
def site(standing):
    site = Site(*standing)
    site.configure()
    yield site


def value(connection, sql: str):
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0]


# --- clients

@pytest.mark.parametrize("limit, full, fits, told", [
    ("max_user_clients", ("app", "second"), ("other", "postgres"), 'too many connections for role "app"'),
    ("max_database_clients", ("other", "postgres"), ("app", "second"), 'too many connections for database "postgres"')])
def test_no_more_clients_than_that_are_let_in_until_one_leaves(site, limit, full, fits, told):
    site.configure(**{limit: 3})
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(contextlib.closing(site.client())) for _ in range(3)]
        for _ in range(4):  # whatever thread takes it
            with pytest.raises(psycopg2.OperationalError, match=told) as caught:
                site.client(*full)
            assert f"{limit} is 3" in str(caught.value)
        with contextlib.closing(site.client(*fits)) as other:
            assert value(other, "SELECT 1") == 1, "it is nobody else's limit"
        assert [value(client, "SELECT 2") for client in held] == [2, 2, 2]
        held[0].close()
        stack.enter_context(contextlib.closing(wait_until(lambda: site.client(*full), 5, "there is room again", pause=0.02)))
        with pytest.raises(psycopg2.OperationalError, match=told):
            site.client(*full)
        site.configure()
        with contextlib.closing(site.client(*full)) as more:
            assert value(more, "SELECT 3") == 3, "a reload lifts it"


# --- threads

def test_the_one_server_serves_clients_of_every_thread_at_once(site):
    """The kernel deals clients out to the threads: of sixteen some are the other's."""
    site.configure(pool_size=1)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(contextlib.closing(site.client())) for _ in range(16)]
        servers, slowest = set(), 0.0
        for _ in range(5):
            for client in clients:
                begun = time.monotonic()
                servers.add(value(client, "SELECT pg_backend_pid()"))
                slowest = max(slowest, time.monotonic() - begun)
        assert len(servers) == 1
        assert slowest < 1, "it was idle"


def test_nobody_starves_where_all_threads_want_the_one_server(site):
    site.configure(pool_size=1)
    end = time.monotonic() + 4

    def work(client) -> tuple[int, float]:
        turns, longest = 0, 0.0
        while (begun := time.monotonic()) < end:
            value(client, "SELECT count(*) FROM generate_series(1, 5000)")
            turns, longest = turns + 1, max(longest, time.monotonic() - begun)
        return turns, longest
    with contextlib.ExitStack() as stack, concurrent.futures.ThreadPoolExecutor(16) as threads:
        done = list(threads.map(work, [stack.enter_context(contextlib.closing(site.client())) for _ in range(16)]))
    print("turns and longest wait of each:", done)
    assert max(longest for _, longest in done) < 2, "half of the time"
    assert min(turns for turns, _ in done) * 4 > max(turns for turns, _ in done)
    assert site.server.sql("SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND datname = 'postgres'") == [(1,)]


# --- large messages

def skip(wire: Wire, size: int) -> None:
    """So many bytes of xs, never kept."""
    while size:
        part = bytes(wire.buffer) or wire.socket.recv(1 << 20)
        if not part:
            raise ConnectionError(f"closed, {size} bytes before the end")
        wire.buffer[:] = part[size:]
        part = part[:size]
        assert part.count(b"x") == len(part), "other bytes than were sent"
        size -= len(part)


def send_large(wire: Wire, sql: str) -> None:
    """`sql` with the large value as its only parameter, piece by piece."""
    head = cstr("") + cstr("") + struct.pack("!HHi", 0, 1, LARGE)
    tail = struct.pack("!H", 0)
    wire.send(parse(sql), b"B", struct.pack("!I", 4 + len(head) + LARGE + len(tail)), head)
    block = b"x" * (1 << 20)
    for _ in range(LARGE // len(block)):
        wire.send(block)
    wire.send(tail, execute(), SYNC)


def test_a_large_answer_takes_no_memory(site):
    with Wire(site.url(), timeout=120) as wire:
        wire.query("SELECT repeat('x', 1000000)")
        before = site.peak()
        wire.send(query(f"SELECT repeat('x', {LARGE})"))
        assert wire.until("T").tags == "T"
        header = wire._exactly(5)  # pylint: disable=protected-access
        assert header[:1] == b"D" and struct.unpack("!I", header[1:])[0] == 4 + 2 + 4 + LARGE
        assert wire._exactly(6) == struct.pack("!Hi", 1, LARGE)  # pylint: disable=protected-access
        skip(wire, LARGE)
        assert wire.until().tags == "CZ"
        assert wire.value("SELECT 1") == "1"
        grown = site.peak() - before
    print(f"{grown} kB more")
    assert grown < GROWTH


def test_large_parameters_take_no_memory(site):
    with Wire(site.url(), timeout=120) as wire:
        assert wire.ask(parse("SELECT length($1)"), SYNC).tags == "1Z"
        before = site.peak()
        send_large(wire, "SELECT length($1)")
        answer = wire.until()
        assert not answer.errors and answer.value == str(LARGE)
        send_large(wire, "INSERT INTO large VALUES ($1)")
        answer = wire.until()
        assert not answer.errors, answer.errors
        grown = site.peak() - before
        assert wire.query("SELECT length(text) FROM large").rows == [[str(LARGE)]]
        wire.query("TRUNCATE large")
    print(f"{grown} kB more")
    assert grown < GROWTH


# --- replication

def copy(site, program: str, folder, *arguments) -> subprocess.Popen:
    command = [newest_bin() / program, "-h", "127.0.0.1", "-p", str(site.balancer.port), "-U", "copier", "-D", folder, *arguments]
    return subprocess.Popen(command, env={**os.environ, "PGPASSWORD": PASSWORD}, stderr=subprocess.PIPE, text=True)


def test_a_base_backup_goes_through_the_balancer(site, tmp_path):
    site.server.sql("CREATE TABLE backed_up AS SELECT generate_series(1, 100000) AS n")
    done = copy(site, "pg_basebackup", tmp_path / "copy", "-X", "stream", "-c", "fast")
    assert done.wait(60) == 0, done.stderr.read()
    check = subprocess.run([newest_bin() / "pg_verifybackup", tmp_path / "copy"], capture_output=True, text=True, check=False)
    assert check.returncode == 0 and "successfully verified" in check.stdout, check


def test_wal_is_streamed_through_the_balancer(site, tmp_path):
    assert copy(site, "pg_receivewal", tmp_path, "-S", "through", "--create-slot").wait(20) == 0
    receiver = copy(site, "pg_receivewal", tmp_path, "-S", "through", "--no-loop", "--synchronous")
    try:
        wait_until(lambda: site.server.sql("SELECT active FROM pg_replication_slots WHERE slot_name = 'through'") == [(True,)], 10,
                   "it streams")
        site.server.sql("CREATE TABLE streamed AS SELECT generate_series(1, 50000) AS n")
        [(name,)] = site.server.sql("SELECT pg_walfile_name(pg_switch_wal())")
        here, there = tmp_path / name, site.server.folder / "data" / "pg_wal" / name
        wait_until(here.exists, 20, f"{name} is there")
        assert here.read_bytes() == there.read_bytes()
        holds_for(lambda: receiver.poll() is None, 1, "it streams on")
        [(confirmed,)] = site.server.sql("SELECT flush_lsn IS NOT NULL FROM pg_stat_replication WHERE usename = 'copier'")
        assert confirmed, "its answers come back, too"
    finally:
        receiver.send_signal(signal.SIGINT)
        receiver.wait(20)
        wait_until(lambda: site.server.sql("SELECT pg_drop_replication_slot('through')"), 10, "the slot is free")


# --- reads

def test_without_read_write_split_reads_stay_at_the_primary():
    with standing_group(replicas=2, causal_reads="off") as (primary, replicas, balancer):
        primary.sql(f"CREATE ROLE app LOGIN PASSWORD '{PASSWORD}'; CREATE FUNCTION here() RETURNS text STABLE LANGUAGE sql AS "
                    "$$ SELECT current_setting('port') $$")
        for replica in replicas:
            replica.wait_caught_up()
        copies = {str(replica.port) for replica in replicas}
        with contextlib.closing(psycopg2.connect(balancer.url("app", PASSWORD), connect_timeout=10)) as client:
            client.autocommit = True

            def ports(count: int = 50) -> set[str]:
                return {value(client, "SELECT here()") for _ in range(count)}
            wait_until(lambda: ports(1) <= copies, 20, "a read goes to a replica")
            assert ports() == copies
            balancer.config["read_write_split"] = False
            balancer.reload()
            assert ports() == {str(primary.port)}
            assert value(client, "/* pgbalancer: replica */ SELECT here()") == str(primary.port)
            balancer.config["read_write_split"] = True
            balancer.reload()
            wait_until(lambda: ports(1) <= copies, 20, "a read goes to a replica again")

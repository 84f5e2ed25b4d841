"""Many clients share few servers, and none of them notices: waiting, reads and writes, large messages, programs of others."""
import concurrent.futures
import io
import itertools
import pathlib
import re
import subprocess
import threading
import time

import psycopg2
import psycopg2.errors
import psycopg2.extensions
import pytest

from harness import wire
from harness.pooled import PG_BIN, PORT, PRIMARY, SERVERS, Pooled, copied, run, value, wait_caught_up
from harness.waiting import holds_for, wait_until
from harness.wire import SYNC

# --- too few servers

def test_who_waits_too_long_is_told_and_goes_on(pooled):
    holders = [pooled.wire() for _ in range(SERVERS)]
    for holder in holders:
        holder.query("BEGIN; INSERT INTO notes (text) VALUES ('held')")
    simple, pipeline = pooled.wire(), pooled.wire()
    simple.send(wire.query("INSERT INTO notes (text) VALUES ('late')"))
    pipeline.send(wire.parse("INSERT INTO notes (text) VALUES ('late')", "s"), wire.bind("s"), wire.execute(), SYNC)
    for client in (simple, pipeline):
        answer = client.until()
        assert (answer.tags, answer.sqlstates) == ("EZ", ["53300"])
        assert "pool_size is 2" in answer.errors[0]["D"]
    for holder in holders:
        assert holder.query("COMMIT").status == "I"
    assert copied(pooled, "late") == 0
    for client in (simple, pipeline):
        assert client.query("INSERT INTO notes (text) VALUES ('late')").tags == "CZ"
    assert pipeline.ask(wire.bind("s"), SYNC).sqlstates == ["26000"]
    assert copied(pooled, "late") == 2


def test_fifty_clients_on_two_servers_get_their_own_answers(pooled):
    end = time.monotonic() + 4

    def work(number: int) -> int:
        connection = psycopg2.connect(pooled.url, connect_timeout=20, application_name=f"client {number}")
        connection.autocommit = True
        try:
            run(connection, "SELECT set_config('my.client', %s, false)", (str(number),))
            for turn in itertools.count():
                assert run(connection, "INSERT INTO ledger VALUES (%s, %s) RETURNING client, n",
                           (number, turn)) == [(number, turn)]
                assert run(connection, "SELECT count(*), max(n) FROM ledger WHERE client = %s",
                           (number,)) == [(turn + 1, turn)], "it does not see its own writes"
                assert run(connection, "SELECT current_setting('my.client'), current_setting('application_name'), %s",
                           (turn,)) == [(str(number), f"client {number}", turn)]
                if turn % 3 == 0:
                    with connection.cursor() as cursor:
                        cursor.execute("BEGIN")
                        cursor.execute("UPDATE ledger SET n = n + 1000000 WHERE client = %s", (number,))
                        cursor.execute("SELECT min(n) FROM ledger WHERE client = %s", (number,))
                        assert cursor.fetchall() == [(1000000,)]
                        cursor.execute("ROLLBACK")
                if time.monotonic() > end:
                    return turn + 1
        finally:
            connection.close()
    with concurrent.futures.ThreadPoolExecutor(50) as threads:
        turns = list(threads.map(work, range(50)))
    assert min(turns) >= 1
    assert dict(pooled.at("primary1", "SELECT client, count(*) FROM ledger GROUP BY client")) == dict(enumerate(turns))
    assert len(pooled.servers()) <= SERVERS


# --- reads and writes

def test_reads_go_to_all_replicas_and_not_to_the_primary(pooled):
    client = pooled.client()
    wait_until(lambda: value(client, PORT) in pooled.replica_ports, 10, "a read goes to a replica")
    ports = [value(client, PORT + ", count(*) FROM users") for _ in range(1000)]
    assert set(ports) == pooled.replica_ports
    wired = pooled.wire()
    wired.ask(wire.parse(PORT, "port"), SYNC)
    ports = {wired.ask(wire.bind("port"), wire.execute(), SYNC).value for _ in range(1000)}
    assert ports == pooled.replica_ports
    assert {wired.ask(wire.extended(PORT)).value for _ in range(20)} <= pooled.replica_ports


def test_a_replica_that_was_slow_once_is_not_forgotten(pooled):
    client = pooled.client()
    wait_until(lambda: value(client, PORT) in pooled.replica_ports, 10, "a read goes to a replica")
    slow = value(client, PORT + ", pg_sleep(1)")
    assert slow in pooled.replica_ports
    assert value(client, PORT) != slow, "the next one goes to the faster one"
    assert slow in {value(client, PORT) for _ in range(2000)}


@pytest.mark.parametrize("begin", ["BEGIN READ ONLY", "START TRANSACTION READ ONLY",
                                   "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"])
def test_a_read_only_transaction_is_a_replicas(pooled, begin):
    client = pooled.client()
    run(client, begin)
    ports = {value(client, PORT) for _ in range(5)}
    assert len(ports) == 1 and ports <= pooled.replica_ports
    with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction):
        run(client, "INSERT INTO notes (text) VALUES ('no')")
    run(client, "ROLLBACK")
    run(client, "INSERT INTO notes (text) VALUES ('yes')")


@pytest.mark.parametrize("sql", [
    "SELECT write_it('x')", "SELECT here() FROM users FOR UPDATE", "BEGIN; INSERT INTO notes DEFAULT "
    "VALUES; COMMIT", "WITH w AS (INSERT INTO notes (text) VALUES ('w') RETURNING id) SELECT id FROM w",
    "SELECT nextval('numbers')", "EXPLAIN ANALYZE INSERT INTO notes (text) VALUES ('e')",
    "SELECT 1; INSERT INTO notes (text) VALUES ('m')", "DO $$ BEGIN PERFORM write_it('do'); END $$",
    "SELECT * INTO TEMP made FROM users", "SELECT pg_notify('news', 'x')", "TRUNCATE ledger",
    "PREPARE p AS INSERT INTO notes (text) VALUES ('p'); EXECUTE p; DEALLOCATE p"])
def test_what_writes_goes_to_the_primary(pooled, sql):
    run(pooled.client(), sql)
    assert not pooled.wire().ask(wire.extended("SELECT write_it($1)", ("x",))).errors


def test_a_transaction_stays_at_one_server(pooled):
    client = pooled.client(autocommit=False)
    for _ in range(5):
        assert len({value(client, PORT) for _ in range(5)}) == 1
        run(client, "INSERT INTO notes (text) VALUES ('t')")
        client.commit()


def test_hints_choose_the_side(pooled):
    client = pooled.client()
    run(client, "INSERT INTO notes (text) VALUES ('x')")
    assert {value(client, PRIMARY + PORT) for _ in range(10)} == {pooled.primary_port}


def test_texts_that_a_server_reads_in_another_way_go_to_the_primary(pooled):
    mine, other = pooled.client(), pooled.client()
    wait_until(lambda: value(mine, PORT) in pooled.replica_ports, 10, "a read goes to a replica")
    for setting in ("standard_conforming_strings = off", "client_encoding = 'SJIS'", "client_encoding = 'big5'"):
        run(mine, f"SET {setting}")
        assert {value(mine, PORT) for _ in range(10)} == {pooled.primary_port}, setting
        assert value(other, PORT) in pooled.replica_ports
        run(mine, f"RESET {setting.split()[0]}")
        wait_until(lambda: value(mine, PORT) in pooled.replica_ports, 10, "its reads go to replicas again")
    for encoding in ("LATIN1", "EUC_JP", "SQL_ASCII"):
        run(mine, f"SET client_encoding = '{encoding}'")
        assert value(mine, PORT) in pooled.replica_ports, encoding


def test_a_serializable_session_is_not_read_for_at_a_replica_that_would_refuse(pooled):
    client = pooled.client()
    wait_until(lambda: value(client, PORT) in pooled.replica_ports, 10, "a read goes to a replica")
    run(client, "SET default_transaction_isolation = 'serializable'")
    assert {value(client, PORT) for _ in range(10)} == {pooled.primary_port}
    run(client, "RESET default_transaction_isolation")
    wait_until(lambda: value(client, PORT) in pooled.replica_ports, 10, "its reads go to replicas again")
    late = pooled.client(options="-c default_transaction_isolation=serializable")
    assert {value(late, PORT) for _ in range(10)} == {pooled.primary_port}


@pytest.fixture
def old_strings(pooled):
    """Servers that come from now on read a backslash in a string as PostgreSQL did long ago."""
    def set_to(change: str) -> None:
        pooled.at("primary1", f"ALTER DATABASE {database} {change}")
        wait_caught_up(pooled)
        for node in pooled.sandbox.hosts():
            for pid, _, _ in pooled.servers(node):
                pooled.at(node, "SELECT pg_terminate_backend(%s)", (pid,))
            wait_until(lambda n=node: not pooled.servers(n), 10, f"no server of {node} is left from before")

    database = psycopg2.extensions.parse_dsn(pooled.url)["dbname"]
    set_to("SET standard_conforming_strings = off")
    yield
    set_to("RESET standard_conforming_strings")


def test_what_a_database_sets_for_its_sessions_counts_from_the_first_statement_on(old_strings, pooled):
    client = pooled.client()
    assert value(client, "SHOW standard_conforming_strings") == "off"
    assert {value(client, PORT) for _ in range(10)} == {pooled.primary_port}
    run(client, "SET standard_conforming_strings = on")
    wait_until(lambda: value(client, PORT) in pooled.replica_ports, 10, "its reads go to replicas")


@pytest.fixture
def slow_replicas(pooled):
    delay = 2
    replicas = pooled.sandbox.hosts()[1:]
    try:
        for replica in replicas:
            pooled.at(replica, f"ALTER SYSTEM SET recovery_min_apply_delay = '{delay}s'")
            pooled.at(replica, "SELECT pg_reload_conf()")
            wait_until(lambda r=replica: pooled.at(r, "SHOW recovery_min_apply_delay") == [(f"{delay}s",)], 10, "slow")
        yield delay
    finally:
        for replica in replicas:
            pooled.at(replica, "ALTER SYSTEM RESET recovery_min_apply_delay")
            pooled.at(replica, "SELECT pg_reload_conf()")
        wait_caught_up(pooled)


def insert_by(client, how: str, what: str) -> None:
    if how == "INSERT":
        run(client, "INSERT INTO notes (text) VALUES (%s)", (what,))
    elif how == "function":
        run(client, "SELECT write_it(%s)", (what,))
    elif how == "transaction":
        run(client, "BEGIN")
        run(client, "INSERT INTO notes (text) VALUES (%s)", (what,))
        run(client, "COMMIT")
    else:
        with client.cursor() as cursor:
            cursor.copy_expert("COPY notes (text) FROM STDIN", io.StringIO(what + "\n"))


@pytest.mark.parametrize("how", ["INSERT", "function", "transaction", "COPY"])
def test_a_client_reads_what_it_wrote_however_slow_the_replicas_are(pooled, slow_replicas, how):
    writer, reader = pooled.client(), pooled.client()
    count = "SELECT count(*), here() FROM notes WHERE text = %s"
    for number in range(6):
        what = f"{how} {number} {time.time()}"
        insert_by(writer, how, what)
        assert run(writer, count, (what,)) == [(1, pooled.primary_port)]
        rows, port = run(reader, count, (what,))[0]
        assert (rows, port in pooled.replica_ports) == (0, True), "the replicas are not slow: nothing is tested"
    seen = wait_until(lambda: run(writer, count, (what,))[0][1] in pooled.replica_ports, 4 * slow_replicas,
                      "the writer reads from replicas again")
    assert seen and run(writer, count, (what,))[0][0] == 1


# --- large messages

LARGE = 50_000_000


def test_a_large_literal_and_a_large_result(pooled):
    client = pooled.client()
    assert value(client, f"SELECT length('{'x' * LARGE}')") == LARGE
    wired = pooled.wire(timeout=60)
    sender = threading.Thread(target=wired.send, args=(wire.extended("SELECT md5($1)", ("y" * LARGE,)),))
    sender.start()
    assert len(wired.until().value) == 32
    sender.join()
    assert value(client, PRIMARY + "SELECT repeat('z', %s)", (LARGE,)) == "z" * LARGE
    assert value(client, "SELECT 1") == 1


def resident_kb(pooled) -> int:
    total = 0
    for pid, command in pooled.sandbox.pids("lb1").items():
        if "pgbalancer_agent" in command.partition(" ")[0]:
            continue
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        total += int(re.search(r"VmRSS:\s+(\d+)", status).group(1))
    return total


def test_a_slow_reader_costs_no_memory_and_holds_up_nobody(pooled):
    other = pooled.client()
    slow = pooled.wire(timeout=60)
    run(other, PRIMARY + "SELECT 1")
    before = resident_kb(pooled)
    assert before > 0
    slow.send(wire.query(f"{PRIMARY}SELECT repeat('x', 1000) FROM generate_series(1, {LARGE // 1000})"))
    slow.until("D")
    began = time.monotonic()
    for _ in range(100):
        assert value(other, PRIMARY + "SELECT 1") == 1
    assert time.monotonic() - began < 5
    assert resident_kb(pooled) - before < 20_000, "the balancer keeps what the client does not read"
    answer = slow.until()
    assert sum(len(row[0]) for row in answer.rows) == LARGE - 1000 and not answer.errors
    assert slow.value("SELECT 1") == "1"


# --- programs of others

def test_psql_runs_a_script_with_everything_in_it(pooled, tmp_path):
    (tmp_path / "rows").write_text("psql 1\npsql 2\n")
    script = f"""
\\set ON_ERROR_STOP on
CREATE TEMP TABLE mine (t text);
\\copy mine FROM '{tmp_path}/rows'
SELECT count(*) AS rows FROM mine \\gset
\\echo rows=:rows
SET my.var = 'psql';
SELECT current_setting('my.var') AS var \\gset
\\echo var=:var
BEGIN;
DECLARE c CURSOR FOR SELECT t FROM mine ORDER BY t;
FETCH ALL FROM c;
COMMIT;
\\copy (SELECT t || '!' FROM mine ORDER BY t) TO STDOUT
\\set FETCH_COUNT 2
SELECT sum(n) FROM (SELECT generate_series(1, 10) AS n) AS s;
\\d users
"""
    done = subprocess.run([PG_BIN / "psql", pooled.url, "-XAtq"], input=script, text=True, capture_output=True,
                          check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[:7] == ["rows=2", "var=psql", "psql 1", "psql 2", "psql 1!", "psql 2!", "55"], lines
    assert any(line.startswith("email|text|") for line in lines), lines


def pgbench(pooled, *arguments) -> str:
    done = subprocess.run([PG_BIN / "pgbench", *arguments, pooled.url], text=True, capture_output=True, check=False,
                          timeout=120)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def bench_tables(pooled_cluster):
    pooled = Pooled(pooled_cluster)
    with pooled.stack:
        pgbench(pooled, "-i", "-q", "-s", "1")
    return pooled_cluster


@pytest.mark.parametrize("mode", ["simple", "extended", "prepared"])
def test_pgbench_loses_nothing(bench_tables, pooled, mode):
    pooled.at("primary1", "TRUNCATE pgbench_history; UPDATE pgbench_accounts SET abalance = 0 WHERE abalance <> 0;"
                          "UPDATE pgbench_tellers SET tbalance = 0; UPDATE pgbench_branches SET bbalance = 0")
    # A thread for each client: pgbench prepares in a way that stops all of a thread's clients, those in a transaction.
    out = pgbench(pooled, "-n", "-M", mode, "-c", "10", "-j", "10", "-t", "50")
    assert "number of transactions actually processed: 500/500" in out
    assert "number of failed transactions: 0 " in out
    sums = pooled.at("primary1", """SELECT count(*), (SELECT sum(abalance) FROM pgbench_accounts) = sum(delta),
        (SELECT sum(tbalance) FROM pgbench_tellers) = sum(delta), (SELECT sum(bbalance) FROM pgbench_branches) =
        sum(delta) FROM pgbench_history""")
    assert sums == [(500, True, True, True)]


@pytest.mark.parametrize("mode", ["simple", "extended", "prepared"])
def test_pgbench_reads_at_the_replicas(bench_tables, pooled, mode):
    wait_caught_up(pooled)

    def transactions():
        return {node: pooled.at(node, "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()")
                [0][0] for node in pooled.sandbox.hosts()}
    before = transactions()
    out = pgbench(pooled, "-n", "-S", "-M", mode, "-c", "10", "-j", "2", "-t", "100")
    assert "number of failed transactions: 0 " in out

    client = pooled.client()

    def look():
        for _ in range(20):  # a server that rests does not tell its numbers for some time
            run(client, "SELECT 1")
        now = transactions()
        return sum(now[node] - before[node] for node in pooled.sandbox.hosts()[1:]) > 800
    wait_until(look, 15, "the replicas have counted the reads")


def test_nobody_was_kept_waiting_for_ever(pooled):
    """After all of this the pool is whole: both servers serve, and no more than these are there."""
    client = pooled.client()
    assert pooled.on_each_server(lambda: value(client, PRIMARY + "SELECT 1")) == [1] * SERVERS
    assert holds_for(lambda: len(pooled.servers()) <= SERVERS, 0.5, "no more servers than the pool has") is None

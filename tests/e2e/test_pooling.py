"""Many clients on few servers: everyone sees his own session and nobody else's, and reads find their way."""
import contextlib
import pathlib
import subprocess
import threading
import time

import psycopg2
import pytest

from harness.waiting import wait_until

POOL = 2


@pytest.fixture(scope="module")
def pooled(make_sandbox):
    with make_sandbox("process") as cluster:
        cluster.balancer()["config"] = {"pool_size": POOL, "max_clients": 200, "query_wait_timeout": 3}
        cluster.write()
        cluster.init()
        yield cluster


@contextlib.contextmanager
def client(cluster, **keywords):
    connection = psycopg2.connect(cluster.url(), connect_timeout=5, **keywords)
    connection.autocommit = True
    try:
        yield connection
    finally:
        connection.close()


def ask(connection, sql, parameters=None):
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchone()[0] if cursor.description else None


def do(connection, *statements):
    for sql in statements:
        with connection.cursor() as cursor:
            cursor.execute(sql)


def server_of(connection) -> int:
    return ask(connection, "SELECT pg_backend_pid()")


def churn(cluster, times: int = 4 * POOL) -> set[int]:
    """Other clients use every server of the pool; says which there are."""
    seen = set()
    with contextlib.ExitStack() as stack:
        others = [stack.enter_context(client(cluster)) for _ in range(times)]
        threads = [threading.Thread(target=lambda c=c: seen.add(ask(c, "SELECT pg_backend_pid() FROM pg_sleep(0.02)")))
                   for c in others]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return seen


def bench(cluster, mode: str, clients: int, *more: str) -> str:
    pgbench = max(pathlib.Path("/usr/lib/postgresql").glob("*/bin/pgbench"))
    done = subprocess.run([pgbench, "-n", "-M", mode, "-c", str(clients), "-j", "2", *more, cluster.url()],
                          capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "number of failed transactions: 0" in done.stdout, done.stdout
    return done.stdout


def test_what_the_startup_packet_asks_for_is_kept_and_is_what_reset_means(pooled):
    with client(pooled, application_name="shop", options="-c work_mem=3MB -c my.x=y") as one, client(pooled) as two:
        for _ in range(3):
            churn(pooled)
            assert ask(one, "SHOW application_name") == "shop"
            assert ask(one, "SHOW work_mem") == "3MB"
            assert ask(one, "SHOW my.x") == "y"
            assert ask(two, "SHOW work_mem") == "4MB"
        do(one, "SET work_mem = '10MB'", "RESET work_mem")
        assert ask(one, "SHOW work_mem") == "3MB"
        do(one, "SET work_mem = '10MB'", "DISCARD ALL")
        churn(pooled)
        assert ask(one, "SHOW work_mem") == "3MB"
        do(one, "SET standard_conforming_strings = off", "SET work_mem = '10MB'", "SET work_mem TO DEFAULT")
        churn(pooled)
        assert ask(one, "SHOW work_mem") == "3MB", "though its texts are not looked into"
        do(one, "RESET standard_conforming_strings")
        for reset in ("RESET ALL", "RESET my.x", "DISCARD ALL"):
            do(one, "SET my.x = 'z'", reset)
            churn(pooled)
            assert ask(one, "SHOW my.x") == "y", reset
    with pytest.raises(psycopg2.OperationalError, match="no_such_parameter"):
        psycopg2.connect(pooled.url(), options="-c no_such_parameter=1")


def test_a_greeting_waits_until_an_earlier_session_is_cleaned_away_and_the_parameters_are_there(pooled):
    for number in range(4 * POOL):
        with client(pooled) as one:  # leaves what no server lists
            do(one, "DO $$ BEGIN PERFORM set_config('their.own', 'x', false); END $$")
        with pytest.raises(psycopg2.OperationalError, match="no_such_parameter"):
            psycopg2.connect(pooled.url(), options="-c no_such_parameter=1")
        zone = f"Etc/GMT+{number}"
        with client(pooled) as one:
            do(one, "DO $$ BEGIN PERFORM set_config('their.own', 'x', false); END $$")
        with client(pooled, options=f"-c TimeZone={zone}") as one:
            assert one.get_parameter_status("TimeZone") == zone
            assert ask(one, "SHOW TimeZone") == zone


def test_what_a_transaction_said_of_itself_is_no_parameter_of_the_session(pooled):
    with client(pooled) as one, client(pooled) as two:
        for mine in ("BEGIN; SET TRANSACTION READ ONLY; SELECT 1; COMMIT", "BEGIN READ WRITE; SELECT 1; COMMIT",
                     "BEGIN; SET TRANSACTION ISOLATION LEVEL SERIALIZABLE; SELECT 1; COMMIT"):
            for _ in range(2 * POOL):
                do(one, mine, "SET work_mem = '5MB'")  # the server is asked what is left behind
                churn(pooled)
                assert ask(two, "SELECT count(*) FROM users") == 3
                assert ask(one, "SHOW work_mem") == "5MB"
                do(two, "CREATE TABLE made (n int)", "DROP TABLE made")
                assert ask(one, "SHOW transaction_isolation") == "read committed"


@pytest.mark.parametrize("make, look, expected", [
    ("CREATE TEMP TABLE mine AS SELECT 42 AS n", "SELECT n FROM mine", 42),
    ("PREPARE mine AS SELECT 43", "EXECUTE mine", 43),
    ("SELECT pg_advisory_lock(77)", "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 77 AND pid = "
     "pg_backend_pid()", 1),
    ("BEGIN; DECLARE mine CURSOR WITH HOLD FOR SELECT 44; COMMIT", "FETCH mine", 44),
    ("DO $$ BEGIN CREATE TEMP TABLE mine AS SELECT 45 AS n; END $$", "SELECT n FROM mine", 45),
    ("CREATE COLLATION pg_temp.mine (locale = 'C')", "SELECT 'a' < 'B' COLLATE pg_temp.mine", False),
    ("CREATE TEXT SEARCH DICTIONARY pg_temp.mine (TEMPLATE = simple)", "SELECT (ts_lexize('pg_temp.mine', 'A'))[1]", "a"),
])
def test_what_only_one_server_has_binds_the_session_to_it_until_it_ends(pooled, make, look, expected):
    with client(pooled) as one:
        do(one, make)
        home = server_of(one)
        for _ in range(3):
            churn(pooled)
            assert server_of(one) == home
        assert ask(one, look) == expected
    # It is gone with its client, and the server serves others again.
    def clean():
        if home not in churn(pooled):
            return False
        with client(pooled) as other:
            assert ask(other, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0
            with pytest.raises(psycopg2.Error):
                do(other, look if "pg_locks" not in look else "SELECT mine")
        return True
    wait_until(clean, 10, "the server is clean and in use again")


CHECK = """\\set n random(1, 100000)
SELECT 1 / (CASE WHEN :n + 1 = :n::int + 1 THEN 1 ELSE 0 END);
INSERT INTO orders (user_id, product, amount) SELECT id, 'p' || :n, 1 FROM users LIMIT 1;
SELECT 1 / count(*) FROM orders WHERE product = 'p' || :n;
"""


def script(cluster, text: str) -> str:
    """Each transaction checks what it gets: a wrong answer is a division by zero."""
    path = cluster.folder / "check.sql"
    path.write_text(text)
    return str(path)


def test_prepared_statements_work_wherever_they_run(pooled):
    out = bench(pooled, "prepared", 20, "-t", "50", "-f", script(pooled, CHECK))
    assert "number of transactions actually processed: 1000/1000" in out


@pytest.mark.parametrize("mode", ["simple", "extended"])
def test_transactions_of_many_clients_take_turns(pooled, mode):
    body = CHECK.splitlines()
    text = "\n".join([body[0], "BEGIN;", *body[1:], "ROLLBACK;"]) + "\n"
    bench(pooled, mode, 20, "-t", "20", "-f", script(pooled, text))


def route(connection) -> tuple[str, str]:
    with connection.cursor() as cursor:
        cursor.execute("SHOW pgbalancer.route")
        return cursor.fetchone()


def test_reads_go_to_replicas_and_writes_to_the_primary_and_one_can_ask_why(pooled):
    def spread():
        nodes = set()
        with client(pooled) as one:
            for _ in range(30):
                do(one, "SELECT count(*) FROM users")
                nodes.add(route(one)[0])
        return nodes == {"replica1", "replica2"}
    wait_until(spread, 10, "reads are spread over both replicas")
    with client(pooled) as one:
        do(one, "INSERT INTO orders (user_id, product, amount) SELECT id, 'r', 1 FROM users LIMIT 1")
        assert route(one) == ("primary1", "it writes")
        do(one, "SELECT id FROM users FOR UPDATE")
        assert route(one)[0] == "primary1" and "locks rows" in route(one)[1]
        do(one, "/* pgbalancer: primary */ SELECT count(*) FROM users")
        assert route(one)[0] == "primary1" and "comment" in route(one)[1]


def test_a_function_that_writes_is_never_sent_to_a_replica(pooled):
    with client(pooled) as one:
        do(one, "CREATE TABLE noted (n int)",
           "CREATE FUNCTION note() RETURNS int LANGUAGE sql VOLATILE AS 'INSERT INTO noted VALUES (1) RETURNING n'",
           "CREATE VIEW noting AS SELECT note() AS n")
        for _ in range(10):
            do(one, "SELECT note()", "SELECT * FROM noting")
            time.sleep(0.05)
        assert ask(one, "SELECT count(*) FROM noted") == 20
        do(one, "DROP VIEW noting", "DROP FUNCTION note()", "DROP TABLE noted")


def test_pgbench_runs_its_own_script(pooled):
    url = pooled.url()
    pgbench = max(pathlib.Path("/usr/lib/postgresql").glob("*/bin/pgbench"))
    subprocess.run([pgbench, "-i", "-q", url], check=True, capture_output=True, timeout=60)
    for mode in ("simple", "extended"):
        bench(pooled, mode, 10, "-t", "20")
    bench(pooled, "prepared", POOL, "-t", "20")  # it prepares synchronously: more clients would wait for each other
    with client(pooled) as one:
        # A session that has written nothing may read at a replica that is a moment behind.
        asked = "SELECT (SELECT sum(abalance) FROM pgbench_accounts), sum(delta), count(*) FROM pgbench_history"
        with one.cursor() as cursor:
            cursor.execute("/* pgbalancer: primary */ " + asked)
            accounts, history, transactions = cursor.fetchone()
        assert (accounts, transactions) == (history, 20 * (10 + 10 + POOL))


def test_a_primary_that_dies_while_clients_wait_takes_nobody_along(make_sandbox):
    with make_sandbox("process") as cluster:
        cluster.balancer()["config"] = {"pool_size": 1, "query_wait_timeout": 5}
        cluster.document["ha"] = {"failover": False}  # so that nobody takes over
        cluster.write()
        cluster.init()
        before = cluster.pids("lb1")
        holder = psycopg2.connect(cluster.url(), connect_timeout=5)
        ask(holder, "SELECT txid_current()")  # the only server of the primary's pool
        outcomes = []

        def come(number: int) -> None:
            try:
                with client(cluster, application_name=f"waiter{number}") as waiter:
                    outcomes.append(ask(waiter, "SELECT 1"))
            except psycopg2.Error as error:
                outcomes.append(str(error))
        threads = [threading.Thread(target=come, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        time.sleep(0.3)
        cluster.kill_unit("primary1")
        for thread in threads:
            thread.join(30)
        assert len(outcomes) == 8, "somebody still waits"
        assert cluster.pids("lb1") == before, "the balancer is the same process"
        with pytest.raises(psycopg2.Error):
            ask(holder, "SELECT 1")
        holder.close()
        with client(cluster) as reader:
            assert ask(reader, "SELECT 2") == 2, "reads go on"
            with pytest.raises(psycopg2.Error, match="no primary"):
                do(reader, "CREATE TABLE x (a int)")
            assert ask(reader, "SELECT 3") == 3, "and the session, too"

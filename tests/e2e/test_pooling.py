"""Many clients on few servers: everyone sees his own session and nobody else's, and reads find their way."""
import contextlib
import os
import pathlib
import random
import signal
import socket
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


def test_many_clients_share_few_servers(pooled):
    seen = churn(pooled, 20)
    assert 1 <= len(seen) <= POOL, seen


def test_what_is_set_stays_with_its_client(pooled):
    with client(pooled) as one, client(pooled) as two:
        do(one, "SET work_mem = '5MB'", "SET search_path = pg_catalog, public", "SET my.tenant = 'one''s'")
        do(two, "SET work_mem = '6MB'")
        for _ in range(5):
            churn(pooled)
            assert ask(one, "SHOW work_mem") == "5MB"
            assert ask(one, "SHOW search_path") == "pg_catalog, public"
            assert ask(one, "SHOW my.tenant") == "one's"
            assert ask(two, "SHOW work_mem") == "6MB"
            assert ask(two, "SELECT current_setting('my.tenant', true)") in (None, "")
        do(one, "RESET work_mem")
        churn(pooled)
        assert ask(one, "SHOW work_mem") == "4MB"
        assert ask(two, "SHOW work_mem") == "6MB"


def test_what_is_set_for_a_transaction_or_rolled_back_is_gone_after_it(pooled):
    with client(pooled) as one:
        do(one, "BEGIN", "SET LOCAL work_mem = '7MB'")
        assert ask(one, "SHOW work_mem") == "7MB"
        do(one, "COMMIT")
        assert ask(one, "SHOW work_mem") == "4MB"
        do(one, "BEGIN", "SET work_mem = '8MB'", "ROLLBACK")
        assert ask(one, "SHOW work_mem") == "4MB"
        do(one, "BEGIN", "SAVEPOINT s", "SET work_mem = '8MB'", "ROLLBACK TO s", "SET statement_timeout = '9s'", "COMMIT")
        churn(pooled)
        assert ask(one, "SHOW work_mem") == "4MB"
        assert ask(one, "SHOW statement_timeout") == "9s"
        do(one, "DO $$ BEGIN PERFORM set_config('work_mem', '9MB', false); END $$")
        churn(pooled)
        assert ask(one, "SHOW work_mem") == "9MB"


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
    with pytest.raises(psycopg2.OperationalError, match="no_such_parameter"):
        psycopg2.connect(pooled.url(), options="-c no_such_parameter=1")


def test_a_role_that_was_taken_on_stays_with_its_client(pooled):
    with client(pooled) as one, client(pooled) as two:
        do(one, "CREATE ROLE shopkeeper", "SET ROLE shopkeeper")
        for _ in range(3):
            churn(pooled)
            assert ask(one, "SELECT current_user::text") == "shopkeeper"
            assert ask(two, "SELECT current_user::text") != "shopkeeper"
        do(one, "RESET ROLE", "DROP ROLE shopkeeper")


@pytest.mark.parametrize("make, look, expected", [
    ("CREATE TEMP TABLE mine AS SELECT 42 AS n", "SELECT n FROM mine", 42),
    ("PREPARE mine AS SELECT 43", "EXECUTE mine", 43),
    ("SELECT pg_advisory_lock(77)", "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 77 AND pid = "
     "pg_backend_pid()", 1),
    ("BEGIN; DECLARE mine CURSOR WITH HOLD FOR SELECT 44; COMMIT", "FETCH mine", 44),
    ("DO $$ BEGIN CREATE TEMP TABLE mine AS SELECT 45 AS n; END $$", "SELECT n FROM mine", 45),
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


def test_discard_sets_a_bound_session_free(pooled):
    with client(pooled) as one:
        do(one, "CREATE TEMP TABLE mine AS SELECT 1 AS n")
        do(one, "DISCARD ALL")
        with pytest.raises(psycopg2.Error, match="mine"):
            ask(one, "SELECT n FROM mine")
        with client(pooled) as a, client(pooled) as b:  # both servers of the pool are to be had
            do(a, "BEGIN")
            do(b, "BEGIN")
            assert server_of(a) != server_of(b)


def test_notifications_reach_who_listens(pooled):
    with client(pooled) as one, client(pooled) as two:
        do(one, "LISTEN news")
        churn(pooled)
        do(two, "NOTIFY news, 'hello'")

        def heard():
            one.poll()
            return [n.payload for n in one.notifies]
        assert wait_until(heard, 5, "the notification has come") == ["hello"]
        two.poll()
        assert two.notifies == []


def test_a_client_that_vanishes_leaves_nothing_behind(pooled):
    for statements in (["BEGIN", "CREATE TABLE half (n int)", "INSERT INTO half VALUES (1)"],
                       ["SET work_mem = '11MB'", "BEGIN", "LOCK TABLE users"]):
        connection = psycopg2.connect(pooled.url())
        connection.autocommit = True
        do(connection, *statements)
        with socket.socket(fileno=os.dup(connection.fileno())) as raw:
            raw.shutdown(socket.SHUT_RDWR)  # without a goodbye

        def clean():
            with client(pooled) as other:
                return ask(other, "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'") == 0
        wait_until(clean, 10, "the transaction is over")
        with contextlib.ExitStack() as stack:
            for _ in range(POOL + 2):
                other = stack.enter_context(client(pooled))
                assert ask(other, "SHOW work_mem") == "4MB"
                assert ask(other, "SELECT to_regclass('half')") is None
                do(other, "SELECT id FROM users FOR SHARE")  # nobody has the table locked


def test_a_client_that_vanishes_in_the_middle_of_a_copy_or_query_leaves_nothing_behind(pooled):
    with client(pooled) as one:
        do(one, "CREATE TABLE copied (n int)")
    rows = "\n".join(str(i) for i in range(100000)) + "\n"
    for text in ("COPY copied FROM STDIN", "SELECT pg_sleep(600), txid_current()"):
        psql = subprocess.Popen(["psql", "-Xq", pooled.url(), "-c", text], stdin=subprocess.PIPE,
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True)
        if text.startswith("COPY"):
            psql.stdin.write(rows)
            psql.stdin.flush()

        def under_way():
            with client(pooled) as other:
                return ask(other, "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query = %s", (text,))
        wait_until(under_way, 10, f"{text} is under way")
        psql.send_signal(signal.SIGKILL)
        psql.wait(10)
        for _ in range(POOL + 1):
            with client(pooled) as other:
                assert ask(other, "SELECT count(*) FROM copied") == 0
    with client(pooled) as one:
        do(one, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(600)%'")
        do(one, "DROP TABLE copied")


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


def test_fifty_clients_each_get_their_own_answers(pooled):
    wrong, asked = [], []
    until = time.monotonic() + 3

    def work(number: int) -> None:
        chance = random.Random(number)
        count = 0
        with client(pooled, application_name=f"client{number}") as mine:
            while time.monotonic() < until:
                count += 1
                token = chance.randrange(10**9)
                got = ask(mine, "SELECT %s::int8 || current_setting('application_name')", (token,))
                if got != f"{token}client{number}":
                    wrong.append((number, token, got))
                if chance.random() < 0.1:
                    do(mine, f"SET work_mem = '{64 + number}kB'")
                    if ask(mine, "SHOW work_mem") != f"{64 + number}kB":
                        wrong.append((number, "work_mem"))
        asked.append(count)
    threads = [threading.Thread(target=work, args=(n,)) for n in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong, wrong[:5]
    assert len(asked) == 50 and min(asked) >= 3, f"somebody starved: {sorted(asked)[:5]}"


def test_a_request_that_waits_too_long_gets_an_error_and_the_session_goes_on(pooled):
    with contextlib.ExitStack() as stack:
        holders = [stack.enter_context(client(pooled)) for _ in range(POOL)]
        waiter = stack.enter_context(client(pooled))
        for holder in holders:
            do(holder, "BEGIN", "SELECT id FROM users FOR UPDATE SKIP LOCKED")
        with pytest.raises(psycopg2.OperationalError, match="no server became free in time"):
            do(waiter, "INSERT INTO orders (user_id, product, amount) SELECT id, 'w', 1 FROM users LIMIT 1")
        for holder in holders:
            do(holder, "COMMIT")
        assert ask(waiter, "SELECT 5") == 5


def test_a_cancel_hits_its_own_query_and_a_waiting_one(pooled):
    with contextlib.ExitStack() as stack:
        one, two, waiter = (stack.enter_context(client(pooled)) for _ in range(3))
        errors = {}

        def run(name, connection, sql):
            try:
                do(connection, sql)
            except psycopg2.Error as error:
                errors[name] = error.pgcode
        threads = [threading.Thread(target=run, args=("one", one, "SELECT pg_sleep(30) /* one */ FROM nextval('s')")),
                   threading.Thread(target=run, args=("two", two, "SELECT pg_sleep(2) /* two */ FROM nextval('s')"))]
        do(waiter, "CREATE SEQUENCE s")
        for thread in threads:
            thread.start()
        wait_until(lambda: pooled.value("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%%pg_sleep(%%nextval%%'"
                                        " AND state = 'active' AND pid <> pg_backend_pid()", "primary1") == 2, 10, "both run")
        waiting = threading.Thread(target=run, args=("waiter", waiter, "SELECT nextval('s')"))
        waiting.start()
        time.sleep(0.3)
        waiter.cancel()
        one.cancel()
        waiting.join(5)
        threads[0].join(5)
        assert not threads[0].is_alive() and not waiting.is_alive()
        threads[1].join(10)
        assert errors == {"one": "57014", "waiter": "57014"}
        assert ask(one, "SELECT 1") == 1 and ask(waiter, "SELECT 2") == 2
        do(waiter, "DROP SEQUENCE s")


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


def test_a_read_only_transaction_runs_on_a_replica_and_stays_there(pooled):
    def on_replica():
        with client(pooled) as one:
            do(one, "BEGIN READ ONLY")
            port = ask(one, "SELECT inet_server_port()")
            do(one, "COMMIT")
            return port != pooled.value("SELECT inet_server_port()", "primary1")
    wait_until(on_replica, 10, "BEGIN READ ONLY goes to a replica")
    with client(pooled) as one:
        do(one, "BEGIN READ ONLY")
        with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction):
            do(one, "DELETE FROM orders")
        do(one, "ROLLBACK", "BEGIN")
        do(one, "DELETE FROM orders WHERE product = 'never'", "COMMIT")


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


def test_a_session_reads_its_own_writes_however_late_the_replicas_are(pooled):
    for replica in ("replica1", "replica2"):
        pooled.query("ALTER SYSTEM SET recovery_min_apply_delay = '1500ms'", replica)
        pooled.query("SELECT pg_reload_conf()", replica)
    try:
        with client(pooled) as one:
            do(one, "CREATE TABLE ledger (n int)")
            for n in range(40):
                do(one, f"INSERT INTO ledger VALUES ({n})")
                assert ask(one, "SELECT count(*) FROM ledger") == n + 1
                time.sleep(0.05)
            # And once the replicas have caught up, they answer again.
            def caught_up():
                assert ask(one, "SELECT count(*) FROM ledger") == 40
                return route(one)[0] != "primary1"
            wait_until(caught_up, 10, "a replica answers")
            do(one, "DROP TABLE ledger")
    finally:
        for replica in ("replica1", "replica2"):
            pooled.query("ALTER SYSTEM RESET recovery_min_apply_delay", replica)
            pooled.query("SELECT pg_reload_conf()", replica)


def test_a_large_result_and_a_large_statement_pass(pooled):
    size = 30_000_000
    with client(pooled) as one:
        assert len(ask(one, f"SELECT repeat('x', {size})")) == size
        assert ask(one, "SELECT length(%s)", ("y" * size,)) == size
        assert ask(one, "SELECT 1") == 1


def test_pgbench_runs_its_own_script(pooled):
    url = pooled.url()
    pgbench = max(pathlib.Path("/usr/lib/postgresql").glob("*/bin/pgbench"))
    subprocess.run([pgbench, "-i", "-q", url], check=True, capture_output=True, timeout=60)
    for mode in ("simple", "extended"):
        bench(pooled, mode, 10, "-t", "20")
    bench(pooled, "prepared", POOL, "-t", "20")  # it prepares synchronously: more clients would wait for each other
    with client(pooled) as one:
        assert ask(one, "SELECT sum(abalance) FROM pgbench_accounts") == ask(one, "SELECT sum(delta) FROM pgbench_history")


def test_a_primary_that_dies_while_clients_wait_takes_nobody_along(make_sandbox):
    with make_sandbox("process") as cluster:
        cluster.balancer()["config"] = {"pool_size": 1, "query_wait_timeout": 5}
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

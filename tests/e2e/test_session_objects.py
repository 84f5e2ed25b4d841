"""What only one server has keeps that server for its client, and the pool modes that keep it anyway."""
import select

import psycopg2
import psycopg2.errors
import pytest

from harness import wire
from harness.pooled import PRIMARY, SERVERS, Pooled, run, show, value
from harness.waiting import wait_until
from harness.wire import SYNC

# --- what only one server has

def test_temporary_tables_stay_with_their_client(pooled):
    mine, other = pooled.client(), pooled.client()
    run(mine, "CREATE TEMPORARY TABLE mine (n int)")
    for number in range(5):
        run(mine, "INSERT INTO mine VALUES (%s)", (number,))
        with pytest.raises(psycopg2.errors.UndefinedTable):
            run(other, "SELECT * FROM mine")
        assert value(mine, "SELECT count(*) FROM mine") == number + 1
    run(mine, "DROP TABLE mine")
    run(other, "CREATE TEMPORARY TABLE mine (t text)")
    mine.close()
    other.close()
    third = pooled.client()
    assert pooled.on_each_server(lambda: value(third, PRIMARY + "SELECT to_regclass('pg_temp.mine')::text")) == \
        [None] * SERVERS


def test_a_server_is_shared_again_once_the_temporary_tables_are_gone(pooled):
    holders = [pooled.client() for _ in range(SERVERS)]
    for holder in holders:
        run(holder, "CREATE TEMPORARY TABLE mine (n int)")
    other = pooled.client()
    with pytest.raises(psycopg2.OperationalError, match="no server became free"):
        run(other, "CREATE TABLE never (n int)")
    run(holders[0], "DROP TABLE mine")
    assert value(other, "SELECT nextval('numbers')") > 0
    for end in ("CLOSE held", "CLOSE ALL"):
        run(holders[0], "BEGIN; DECLARE held CURSOR WITH HOLD FOR SELECT 1; COMMIT")
        run(holders[0], end)
        assert value(other, "SELECT nextval('numbers')") > 0, end


def test_on_commit_drop_does_not_keep_the_server(pooled):
    clients = [pooled.client() for _ in range(SERVERS + 2)]
    for client in clients:
        run(client, "BEGIN")
        run(client, "CREATE TEMPORARY TABLE mine ON COMMIT DROP AS SELECT 1 AS n")
        assert value(client, "SELECT n FROM mine") == 1
        run(client, "COMMIT")


def notices_of(connection, limit: float = 10) -> list[tuple]:
    def look():
        connection.poll()
        return connection.notifies
    wait_until(look, limit, "a notification comes")
    got = [(notify.channel, notify.payload) for notify in connection.notifies]
    connection.notifies.clear()
    return got


def test_notifications_reach_who_listens_and_nobody_else(pooled):
    listener, deaf, sender = pooled.client(), pooled.client(), pooled.client()
    run(listener, "LISTEN news")
    for number in range(3):
        run(deaf, "SELECT 1")
        run(sender, "SELECT pg_notify('news', %s)", (str(number),))
        assert select.select([listener], [], [], 10)[0], "nothing came while the listener was idle"
        assert notices_of(listener) == [("news", str(number))]
    run(deaf, PRIMARY + "SELECT 1")
    assert not deaf.notifies and not sender.notifies
    run(listener, "UNLISTEN news")
    run(sender, "NOTIFY news, 'too late'")
    run(listener, PRIMARY + "SELECT 1")
    assert not listener.notifies
    run(listener, "LISTEN news")
    listener.close()
    assert pooled.on_each_server(lambda: run(deaf, PRIMARY + "SELECT pg_listening_channels()")) == [[]] * SERVERS


def test_advisory_locks_stay_until_they_are_released(pooled):
    mine, other = pooled.client(), pooled.client()
    run(mine, "SELECT pg_advisory_lock(42)")
    for _ in range(5):
        assert value(other, "SELECT pg_try_advisory_lock(42)") is False
        run(mine, "SELECT 1")
    assert value(mine, "SELECT pg_advisory_unlock(42)") is True
    assert value(other, "SELECT pg_try_advisory_lock(42)") is True
    other.close()
    wait_until(lambda: value(mine, "SELECT pg_try_advisory_lock(42)"), 5, "the lock of a client that left is free")


def test_a_cursor_with_hold_outlives_its_transaction(pooled):
    mine, other = pooled.client(), pooled.client()
    run(mine, "BEGIN")
    run(mine, "DECLARE held CURSOR WITH HOLD FOR SELECT generate_series(1, 5)")
    run(mine, "COMMIT")
    for number in range(1, 6):
        with pytest.raises(psycopg2.errors.InvalidCursorName):
            run(other, "FETCH held")
        assert value(mine, "FETCH held") == number
    run(mine, "CLOSE held")


def test_a_cursor_of_a_transaction_is_read_bit_by_bit(pooled):
    clients = [pooled.client(autocommit=False) for _ in range(SERVERS)]
    cursors = [client.cursor(name="big") for client in clients]
    for number, cursor in enumerate(cursors):
        cursor.itersize = 10
        cursor.execute("SELECT %s, n FROM generate_series(1, 100) AS n", (number,))
    seen = [[row for row in cursor] for cursor in cursors]
    assert seen == [[(number, n) for n in range(1, 101)] for number in range(SERVERS)]


def test_statements_made_with_prepare_stay_with_their_client(pooled):
    mine, other = pooled.client(), pooled.client()
    run(mine, "PREPARE mine (int) AS SELECT $1 + 1")
    for number in range(5):
        with pytest.raises(psycopg2.errors.InvalidSqlStatementName):
            run(other, "EXECUTE mine (1)")
        assert value(mine, f"EXECUTE mine ({number})") == number + 1
    run(mine, "DEALLOCATE mine")
    run(other, "PREPARE mine AS SELECT 'other'")
    with pytest.raises(psycopg2.errors.InvalidSqlStatementName):
        run(mine, "EXECUTE mine (1)")
    assert value(other, "EXECUTE mine") == "other"
    run(other, "DEALLOCATE ALL")
    with pytest.raises(psycopg2.errors.InvalidSqlStatementName):
        run(other, "EXECUTE mine")


def test_discard_all_gives_everything_back(pooled):
    mine, other = pooled.client(), pooled.client()
    run(mine, "CREATE TEMPORARY TABLE mine (n int); PREPARE mine AS SELECT 1; LISTEN news; SET work_mem = '9MB'")
    run(mine, "SELECT pg_advisory_lock(43)")
    run(mine, "DISCARD ALL")
    assert value(other, "SELECT pg_try_advisory_lock(43)") is True
    assert value(other, "SELECT pg_advisory_unlock(43)") is True
    assert show(mine, "work_mem") == "4MB"
    holders = [pooled.client() for _ in range(SERVERS)]
    for holder in holders:  # no server is kept for it
        run(holder, "BEGIN")
        run(holder, "SELECT 1")


def test_currval_is_of_the_clients_own_nextval_or_of_none(pooled):
    mine, other = pooled.client(), pooled.client()
    number = value(mine, "SELECT nextval('numbers')")
    assert value(mine, "SELECT currval('numbers')") == number, "nobody had the server since"
    mine.close()
    late = pooled.client()
    value(late, "SELECT nextval('numbers')")
    pooled.on_each_server(lambda: value(other, "SELECT nextval('numbers')"))
    for asked in ("SELECT currval('numbers')", "SELECT lastval()"):
        with pytest.raises(psycopg2.errors.ObjectNotInPrerequisiteState, match="not yet defined in this session"):
            run(late, asked)
    number = value(late, "SELECT nextval('numbers')")
    for _ in range(3):  # from the first time it asks, the server is kept for it
        run(other, "SELECT nextval('numbers')")
        assert value(late, "SELECT lastval()") == number


@pytest.mark.parametrize("how", ["a batch", "a named statement", "a transaction", "a transaction's batch"])
def test_nobody_elses_currval_is_seen_however_it_is_asked_for(pooled, how):
    other, late = pooled.client(), pooled.wire()
    for _ in range(5):  # the server that was used last is used next
        value(other, "SELECT nextval('numbers')")
    if how.startswith("a transaction"):
        assert late.query("BEGIN").status == "T"
    if how == "a named statement":
        answer = late.ask(wire.parse("SELECT currval('numbers')", "c"), wire.bind("c"), wire.execute(), SYNC)
    else:
        answer = late.query("SELECT currval('numbers')") if how == "a transaction" else late.ask(
            wire.extended("SELECT currval('numbers')"))
    assert answer.sqlstates == ["55000"], answer


def test_currval_is_right_once_it_was_asked_in_the_transaction_of_nextval(pooled):
    mine, other = pooled.client(), pooled.client()
    run(mine, "BEGIN")
    number = value(mine, "SELECT nextval('numbers')")
    assert value(mine, "SELECT currval('numbers')") == number
    run(mine, "COMMIT")
    for _ in range(5):
        run(other, "SELECT nextval('numbers')")
        assert value(mine, "SELECT lastval()") == number


# --- the other modes, each with a primary of its own

@pytest.fixture
def pooled_by(make_sandbox, request):
    with make_sandbox("process") as sandbox:
        group = sandbox.balancer()
        group["replicas"] = []
        group["config"] = {"pool_mode": request.param, "pool_size": SERVERS, "query_wait_timeout": 2}
        sandbox.write()
        sandbox.init()
        pooled = Pooled(sandbox)
        with pooled.stack:
            yield pooled
        pooled.check_clean()


@pytest.mark.parametrize("pooled_by", ["session"], indirect=True)
def test_with_pool_mode_session_a_server_is_the_clients_until_it_leaves(pooled_by):
    mine, other = pooled_by.client(), pooled_by.client()
    pids = [value(client, "SELECT pg_backend_pid()") for client in (mine, other)]
    assert len(set(pids)) == SERVERS
    run(mine, "CREATE SEQUENCE s; CREATE TEMP TABLE mine (n int); SET work_mem = '9MB'")
    run(mine, "SELECT nextval('s'), set_config('my.var', 'mine', false)")
    for _ in range(5):
        assert [value(client, "SELECT pg_backend_pid()") for client in (mine, other)] == pids
        run(other, "SELECT nextval('s')")
        assert run(mine, "SELECT currval('s'), current_setting('my.var')") == [(1, "mine")]
    with pytest.raises(psycopg2.OperationalError, match="no server became free"):
        run(pooled_by.client(), "SELECT 1")
    mine.close()
    third = pooled_by.client()
    state = run(third, "SELECT pg_backend_pid(), current_setting('work_mem'), current_setting('my.var', true), "
                       "to_regclass('pg_temp.mine')::text")[0]
    assert state[0] == pids[0] and state[1:] in [("4MB", "", None), ("4MB", None, None)]


@pytest.mark.parametrize("pooled_by", ["session", "transaction"], indirect=True)
def test_a_reset_gives_what_the_startup_packet_asked_for_in_every_mode(pooled_by):
    client = pooled_by.client(options="-c DateStyle=Postgres,DMY -c work_mem=3MB")
    for reset in ("RESET DateStyle", "RESET ALL", "SET DateStyle TO DEFAULT", "DISCARD ALL"):
        run(client, "SET DateStyle = 'German'")
        assert value(client, "SHOW DateStyle") == "German, DMY"
        run(client, reset)
        assert value(client, "SHOW DateStyle") == "Postgres, DMY", reset
        assert client.get_parameter_status("DateStyle") == "Postgres, DMY", reset
        assert value(client, "SHOW work_mem") == "3MB", reset
    run(client, "RESET ALL; SET work_mem = '5MB'")
    assert (value(client, "SHOW DateStyle"), value(client, "SHOW work_mem")) == ("Postgres, DMY", "5MB")


@pytest.mark.parametrize("pooled_by", ["statement"], indirect=True)
def test_with_pool_mode_statement_transactions_and_session_state_are_refused(pooled_by):
    clients = [pooled_by.client() for _ in range(10)]
    for client in clients:
        for refused in ("BEGIN", "SET work_mem = '9MB'", "LISTEN news", "SELECT 1; BEGIN"):
            with pytest.raises(psycopg2.errors.FeatureNotSupported, match="pool_mode"):
                run(client, refused)
        assert value(client, "SELECT 'goes on'") == "goes on"
    for harmless in ("RESET ALL", "RESET work_mem", "DISCARD ALL"):  # as pools of clients send
        run(clients[0], harmless)
    for size in (300_000, 1_100_000):  # too long to be understood
        hidden = pooled_by.wire()
        hidden.send(wire.query(f"BEGIN /* {'x' * size} */"))
        answer = hidden.until("EZ")
        assert answer.sqlstates == ["0A000"] and "pool_mode" in answer.errors[0]["M"], answer
        assert hidden.is_closed()
    wired = pooled_by.wire()
    assert wired.ask(wire.extended("BEGIN")).sqlstates == ["0A000"]
    assert wired.ask(wire.extended("SELECT 'goes on'")).value == "goes on"
    assert wired.ask(wire.parse("SELECT 1", "s"), SYNC).tags == "1Z"
    assert wired.ask(wire.bind("s"), wire.execute(), SYNC).value == "1"

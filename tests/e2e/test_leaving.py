"""COPY, clients that vanish and cancelling: who else is on the same servers notices nothing."""
import concurrent.futures
import io
import threading
import time

import psycopg2.errors
import psycopg2.extensions
import pytest

from harness import wire
from harness.pooled import PRIMARY, SERVERS, WAIT_LIMIT, copied, run, value
from harness.waiting import wait_until
from harness.wire import COPY_DONE, FLUSH, SYNC, Wire

# --- COPY

def test_copy_in_and_out_with_a_driver(pooled):
    client = pooled.client()
    with client.cursor() as cursor:
        for turn in range(3):
            cursor.copy_expert("COPY notes (text) FROM STDIN", io.StringIO("driver\n" * 20000))
            out = io.StringIO()
            cursor.copy_expert("COPY (SELECT text FROM notes WHERE text = 'driver') TO STDOUT", out)
            assert out.getvalue() == "driver\n" * 20000 * (turn + 1)


def test_a_failing_copy_leaves_the_session_in_order(pooled):
    client = pooled.client()
    for lines in ("1\tgood\nbad\tline\n", "1\tgood\n" + "x\ty\n" * 50000):
        with client.cursor() as cursor, pytest.raises(psycopg2.errors.InvalidTextRepresentation):
            cursor.copy_expert("COPY notes FROM STDIN", io.StringIO(lines))
        assert value(client, "SELECT 'goes on'") == "goes on"
    with client.cursor() as cursor, pytest.raises(psycopg2.errors.UndefinedTable):
        cursor.copy_expert("COPY nowhere FROM STDIN", io.StringIO("1\n"))
    assert value(client, "SELECT 'goes on'") == "goes on"


def test_copy_in_by_the_extended_protocol(pooled):
    client = pooled.wire()
    start = wire.parse("COPY notes (text) FROM STDIN") + wire.bind() + wire.execute()
    client.send(start, SYNC)  # as libpq does; the server ignores this Sync
    assert client.until("G").tags == "12G"
    client.send(wire.copy_data(b"extended\n"), wire.copy_data(b"extended\n"), COPY_DONE, SYNC)
    assert client.until().tags == "CZ"
    client.send(start, FLUSH)
    assert client.until("G").tags == "12G"
    client.send(wire.copy_data(b"extended\n"), COPY_DONE, SYNC)
    assert client.until().tags == "CZ"
    client.send(start, SYNC)
    client.until("G")
    client.send(wire.copy_data(b"extended\n"), wire.copy_fail("no more"), SYNC)
    answer = client.until()
    assert (answer.tags, answer.sqlstates) == ("EZ", ["57014"])
    assert client.ask(wire.extended(PRIMARY + "SELECT 'goes on'")).value == "goes on"
    assert client.ask(wire.extended("COPY (SELECT 1) TO STDOUT")).tags == "12nHdcCZ"
    assert client.silent_for(0.1)
    assert copied(pooled, "extended") == 3


def test_copy_data_sent_before_the_server_asks_for_it(pooled):
    client = pooled.wire()
    copy = wire.query("COPY notes (text) FROM STDIN") + wire.copy_data(b"eager\n") + COPY_DONE
    client.send(copy, wire.query("SELECT 'next'"), copy, wire.query("COPY nowhere FROM STDIN"),
                wire.copy_data(b"eager\n"), COPY_DONE, wire.query("SELECT 'last'"))
    tags = [client.until().tags for _ in range(5)]
    assert tags == ["GCZ", "TDCZ", "GCZ", "EZ", "TDCZ"]
    assert copied(pooled, "eager") == 2


def test_copy_fail_is_told_and_nothing_is_copied(pooled):
    client = pooled.wire()
    client.send(wire.query("COPY notes (text) FROM STDIN"))
    client.until("G")
    client.send(wire.copy_data(b"failed\n"), wire.copy_fail("changed my mind"))
    answer = client.until()
    assert answer.sqlstates == ["57014"] and "changed my mind" in answer.errors[0]["M"]
    assert client.value("SELECT 1") == "1" and copied(pooled, "failed") == 0


@pytest.mark.parametrize("end", ["close", "vanish"])
def test_a_client_that_leaves_in_the_middle_of_a_copy_leaves_nothing(pooled, end):
    for _ in range(SERVERS + 1):
        client = pooled.wire()
        client.send(wire.query("COPY notes (text) FROM STDIN"))
        client.until("G")
        client.send(wire.copy_data(b"half\n"), wire.copy_data(b"of a message\n")[:9])
        getattr(client, end)()
        out = pooled.wire()
        out.send(wire.query("COPY (SELECT repeat('x', 1000) FROM generate_series(1, 100000)) TO STDOUT"))
        out.until("d")
        getattr(out, end)()
    other = pooled.client()
    assert pooled.on_each_server(lambda: value(other, PRIMARY + "SELECT 1")) == [1] * SERVERS
    assert copied(pooled, "half") == 0


# --- clients that vanish

def leave_in_transaction(client):
    client.query("BEGIN; INSERT INTO notes (text) VALUES ('vanished'); SET work_mem = '9MB'")


def leave_in_failed_transaction(client):
    client.query("BEGIN; INSERT INTO notes (text) VALUES ('vanished'); LOCK TABLE shaped")
    client.query("SELECT 1/0")


def leave_in_query(client):
    client.query("BEGIN; INSERT INTO notes (text) VALUES ('vanished')")
    client.send(wire.query("SELECT pg_sleep(1)"))


def leave_in_pipeline(client):
    client.send(wire.parse("INSERT INTO notes (text) VALUES ('vanished')"), wire.bind(), wire.execute(), FLUSH)
    client.until("C")


def leave_in_message(client):
    client.query("BEGIN")
    client.send(wire.query("INSERT INTO notes (text) VALUES ('vanished')" + " " * 3000000)[:2000000])


def leave_with_state(client):
    client.query("CREATE TEMP TABLE mine (n int); SET work_mem = '9MB'; PREPARE mine AS SELECT 1; LISTEN news")
    client.query("SELECT pg_advisory_lock(44)")


def leave_with_answers_unread(client):
    client.send(wire.query("SELECT repeat('x', 1000) FROM generate_series(1, 100000)"))


def leave_after_set(client):
    client.send(wire.query("SET work_mem = '9MB'"))  # while the server is asked what that left behind
    client.until()


LEAVING = [leave_in_transaction, leave_in_failed_transaction, leave_in_query, leave_in_pipeline, leave_in_message,
           leave_with_state, leave_with_answers_unread, leave_after_set]


@pytest.mark.parametrize("end", ["close", "vanish"])
@pytest.mark.parametrize("leave", LEAVING, ids=lambda leave: leave.__name__)
def test_who_comes_next_finds_a_clean_server(pooled, leave, end):
    before = copied(pooled, "vanished")
    for _ in range(SERVERS + 1):
        client = pooled.wire()
        leave(client)
        getattr(client, end)()
    other = pooled.client()

    def look():
        state = run(other, PRIMARY + """SELECT current_setting('work_mem'), to_regclass('pg_temp.mine'),
            (SELECT count(*) FROM pg_prepared_statements WHERE from_sql), pg_try_advisory_xact_lock(44),
            (SELECT count(*) FROM pg_listening_channels())""")[0]
        return state, other.info.transaction_status
    clean = (("4MB", None, 0, True, 0), psycopg2.extensions.TRANSACTION_STATUS_IDLE)
    assert pooled.on_each_server(look) == [clean] * SERVERS
    assert copied(pooled, "vanished") == before
    run(other, "BEGIN; LOCK TABLE shaped NOWAIT; ROLLBACK")


# --- cancelling

def test_cancel_ends_the_query_that_was_meant(pooled):
    clients = [pooled.client() for _ in range(SERVERS)]
    with concurrent.futures.ThreadPoolExecutor(SERVERS) as threads:
        started = [threads.submit(run, client, f"{PRIMARY}SELECT pg_sleep({30 if client is clients[0] else 2})")
                   for client in clients]
        wait_until(lambda: len(pooled.servers(where="strpos(query, 'pg_sleep(') > 0 AND state = 'active'")) == SERVERS,
                   10, "both sleep")
        clients[0].cancel()
        with pytest.raises(psycopg2.errors.QueryCanceled):
            started[0].result(10)
        assert started[1].result(10)
    assert value(clients[0], "SELECT 1") == 1


def test_cancel_never_hits_another_client(pooled):
    """Servers change hands all the time, while one client's queries are cancelled at moments of chance."""
    stop = threading.Event()

    def innocent(number: int) -> int:
        done = 0
        with Wire(pooled.url) as client:
            while not stop.is_set():
                answer = client.query(f"{PRIMARY}SELECT pg_sleep(0.003), {number}")
                assert not answer.errors, answer.errors
                assert answer.rows[0][1] == str(number)
                done += 1
        return done
    victim = pooled.wire()
    cancelled = 0
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        others = [threads.submit(innocent, number) for number in range(6)]
        try:
            for turn in range(60):
                victim.send(wire.query(PRIMARY + "SELECT pg_sleep(0.01)"))
                time.sleep(0.0005 * (turn % 40))
                victim.cancel()
                answer = victim.until()
                assert answer.sqlstates in ([], ["57014"]), answer.errors
                cancelled += len(answer.errors)
        finally:
            stop.set()
        assert sum(other.result(30) for other in others) > 50
    assert cancelled > 0
    assert victim.value("SELECT 1") == "1"


def test_a_cancel_with_a_wrong_key_does_nothing(pooled):
    client = pooled.wire()
    key = client.key
    client.send(wire.query(PRIMARY + "SELECT pg_sleep(0.5), 'whole'"))
    client.key = (key[0], bytes(byte ^ 1 for byte in key[1]))
    client.cancel()
    answer = client.until()
    assert not answer.errors and answer.rows[0][1] == "whole"


def test_cancel_reaches_who_waits_for_a_server(pooled):
    holders = [pooled.wire() for _ in range(SERVERS)]
    for holder in holders:
        holder.query("BEGIN; SELECT 1")
    waiter = pooled.wire()
    waiter.send(wire.query(PRIMARY + "SELECT 1"))
    assert waiter.silent_for(0.2)
    waiter.cancel()
    began = time.monotonic()
    assert waiter.until().sqlstates == ["57014"]
    assert time.monotonic() - began < WAIT_LIMIT / 2
    for holder in holders:
        holder.query("ROLLBACK")
    assert waiter.value(PRIMARY + "SELECT 2") == "2"

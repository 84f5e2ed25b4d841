"""What clients send is answered as a server would answer it, whatever way it is cut and whatever is pooled behind."""
import resource
import socket
import struct
import threading
import time

import pytest

from harness.waiting import wait_until
from harness.wire import (COPY_DONE, FLUSH, SYNC, TERMINATE, Wire, bind, close, describe, execute, message, parse, query,
                          rows, sqlstate)

POOL = 2


@pytest.fixture(scope="module")
def pooled(make_sandbox):
    with make_sandbox("process") as cluster:
        cluster.balancer()["config"] = {"pool_size": POOL, "max_clients": 100}
        cluster.write()
        cluster.init()
        with cluster.connect() as connection, connection.cursor() as cursor:
            cursor.execute("CREATE TABLE seen (n int)")
        cluster.balancer_url, cluster.direct_url = cluster.url(), cluster.url("--direct", "primary1")
        yield cluster


@pytest.fixture(params=["balancer_url", "direct_url"])
def url(pooled, request) -> str:
    """Each of these tests holds for a server itself, too: it says what PostgreSQL does, not what we think it does."""
    return getattr(pooled, request.param)


def test_a_pipeline_of_many_requests_is_answered_in_order(url):
    with Wire(url) as client:
        client.send(*(part for n in range(200) for part in (parse("", f"SELECT {n}"), bind(""), execute(), SYNC)))
        for n in range(200):
            assert rows(client.until("Z")) == [[str(n).encode()]]


def test_a_pipeline_of_reads_and_writes_sees_its_own_writes(url):
    with Wire(url) as client:
        client.send(query("DELETE FROM seen"), *(part for n in range(20) for part in (
            parse("", f"INSERT INTO seen VALUES ({n})"), bind(""), execute(), SYNC,
            parse("", "SELECT count(*) FROM seen"), bind(""), execute(), SYNC)))
        client.until("Z")
        for n in range(20):
            assert client.tags() == "12CZ"
            assert rows(client.until("Z")) == [[str(n + 1).encode()]]


def test_an_error_in_a_pipeline_skips_up_to_its_sync_and_no_further(url):
    with Wire(url) as client:
        client.send(parse("a", "SELECT 1"), bind("a"), execute(), parse("b", "SELECT 1/0"), bind("b"), execute(),
                    parse("c", "SELECT 3"), bind("c"), execute(), SYNC,
                    parse("d", "SELECT 4"), bind("d"), execute(), SYNC)
        first = client.until("Z")
        assert [tag for tag, _ in first][-2:] == ["E", "Z"] and sqlstate(first) == "22012"
        assert rows(first) == [[b"1"]]
        assert rows(client.until("Z")) == [[b"4"]]
        client.send(bind("c"), execute(), SYNC)
        assert sqlstate(client.until("Z")) == "26000", "what was skipped is not prepared"
        client.send(bind("d"), execute(), SYNC)
        assert rows(client.until("Z")) == [[b"4"]]


def test_a_name_can_be_prepared_again_after_it_failed(url):
    with Wire(url) as client:
        client.send(parse("s", "SELEC 1"), SYNC)
        assert sqlstate(client.until("Z")) == "42601"
        client.send(parse("s", "SELECT 7"), SYNC)
        assert client.tags() == "1Z"
        client.send(describe("S", "s"), bind("s"), execute(), SYNC)
        assert client.tags() == "tT2DCZ"
        client.send(close("S", "s"), SYNC)
        assert client.tags() == "3Z"
        client.send(bind("s"), execute(), SYNC)
        assert sqlstate(client.until("Z")) == "26000"


def test_a_flush_gets_what_is_there_and_the_transaction_stays_open(url):
    with Wire(url) as client:
        client.send(parse("", "SELECT generate_series(1, 5)"), describe("S", ""), FLUSH)
        assert client.tags("T") == "1tT"
        client.send(bind(""), execute(2), FLUSH)
        assert client.tags("s") == "2DDs"
        client.send(execute(2), FLUSH)
        assert client.tags("s") == "DDs"
        client.send(execute(0), SYNC)
        assert client.tags() == "DCZ"


def test_a_prepared_statement_that_is_known_already_is_answered_on_flush(url):
    for _ in range(3):
        with Wire(url) as client:
            client.send(parse("known", "SELECT 11 AS known"), FLUSH)
            assert client.tags("1") == "1"
            client.send(bind("known"), execute(), SYNC)
            assert client.tags() == "2DCZ"


def test_the_unnamed_statement_outlives_its_transaction_until_a_query_ends_it(url):
    with Wire(url) as client:
        client.send(parse("", "SELECT 12"), SYNC)
        assert client.tags() == "1Z"
        for _ in range(3):
            client.send(bind(""), execute(), SYNC)
            assert rows(client.until("Z")) == [[b"12"]]
        client.send(query("SELECT 1"))
        client.until("Z")
        client.send(bind(""), execute(), SYNC)
        assert sqlstate(client.until("Z")) == "26000"


def test_the_unnamed_statement_of_another_client_is_nobody_elses(pooled):
    for n in range(20):
        with Wire(pooled.balancer_url) as one, Wire(pooled.balancer_url) as two:
            one.send(parse("", f"SELECT {n} AS secret"), SYNC)
            assert one.tags() == "1Z"
            for part in (bind(""), describe("S", "")):
                two.send(part, execute(), SYNC)
                assert sqlstate(two.until("Z")) == "26000"
            one.send(bind(""), execute(), SYNC)
            assert rows(one.until("Z")) == [[str(n).encode()]]


def test_copy_in_by_the_extended_protocol_with_a_sync_sent_early(url):
    with Wire(url) as client:
        client.ask("DELETE FROM seen")
        client.send(parse("", "COPY seen FROM STDIN"), bind(""), execute(), SYNC)
        assert client.tags("G") == "12G"
        client.send(message("d", b"1\n2\n"), message("d", b"3\n"), COPY_DONE, SYNC)
        assert client.tags() == "CZ"
        assert client.ask("SELECT count(*) FROM seen") == [[b"3"]]


def test_a_copy_that_fails_leaves_the_session_in_step(url):
    with Wire(url) as client:
        client.send(query("COPY seen FROM STDIN"))
        assert client.tags("G") == "G"
        client.send(message("d", b"no number\n"), *(message("d", b"1\n") for _ in range(1000)), COPY_DONE)
        assert sqlstate(client.until("Z")) == "22P02"
        assert client.ask("SELECT 5") == [[b"5"]]
        client.send(query("COPY seen FROM STDIN"))
        client.until("G")
        client.send(message("f", b"changed my mind\0"))
        assert sqlstate(client.until("Z")) == "57014"
        assert client.ask("SELECT 6") == [[b"6"]]


def test_messages_that_come_byte_by_byte_are_understood(url):
    with Wire(url) as client:
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in parse("x", "SELECT $1::int + 1") + bind("x", "41") + execute() + SYNC:
            client.send(bytes([byte]))
        assert rows(client.until("Z")) == [[b"42"]]


def test_a_goodbye_right_behind_a_request_does_not_undo_it(url):
    with Wire(url) as client:
        client.ask("DELETE FROM seen")
    for n in range(5):
        with Wire(url) as client:
            client.send(query(f"INSERT INTO seen VALUES ({n})"), TERMINATE)
            client.until("Z")
    with Wire(url) as client:
        wait_until(lambda: client.ask("SELECT count(*) FROM seen") == [[b"5"]], 5, "all five rows are there")


def test_a_half_sent_message_and_a_vanished_client_harm_nobody(pooled):
    for _ in range(10):
        with Wire(pooled.balancer_url) as client:
            client.send(query("BEGIN"))
            client.until("Z")
            client.send(parse("", "INSERT INTO seen VALUES (99)"), bind(""), message("Q", b"x" * 100)[:50])
    with Wire(pooled.balancer_url) as client:
        assert client.ask("SELECT count(*) FROM seen WHERE n = 99") == [[b"0"]]
        assert client.ask("SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'") == [[b"0"]]


def balancer_rss(cluster) -> int:
    pid = next(pid for pid, command in cluster.pids("lb1").items() if "pgbalancer" in command)
    with open(f"/proc/{pid}/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()


@pytest.mark.parametrize("flood", [SYNC, parse("s", "SELECT 1"), close("S", "none"), query("DEALLOCATE ALL")])
def test_a_client_that_asks_and_never_reads_costs_no_memory(pooled, flood):
    before = balancer_rss(pooled)
    with Wire(pooled.balancer_url) as client:
        client.socket.settimeout(1.5)
        try:
            for _ in range(800):
                client.send(flood * 20000)
        except TimeoutError:
            pass  # we are not read any more: that is what is asked for
        assert balancer_rss(pooled) - before < 32 << 20
        with Wire(pooled.balancer_url) as other:
            assert other.ask("SELECT 1") == [[b"1"]]


def test_requests_for_encryption_without_end_stop_nobody(pooled):
    stop = time.monotonic() + 2

    def flood():
        with Wire(pooled.balancer_url, login=False) as client:
            try:
                while time.monotonic() < stop:
                    client.send(struct.pack("!II", 8, 80877104) * 10000)
            except OSError:
                pass
    threads = [threading.Thread(target=flood) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(10):
        began = time.monotonic()
        with Wire(pooled.balancer_url) as client:
            assert client.ask("SELECT 1") == [[b"1"]]
        assert time.monotonic() - began < 1
    for thread in threads:
        thread.join()


def test_a_user_whose_name_is_no_text_is_refused_at_once(pooled):
    began = time.monotonic()
    with Wire(pooled.balancer_url, login=False) as client:
        body = struct.pack("!I", 3 << 16) + b"user\0\xff\xfe\0database\0postgres\0\0"
        client.send(struct.pack("!I", len(body) + 4) + body)
        assert sqlstate(client.until("Z")) == "08P01"
    assert time.monotonic() - began < 1


def test_a_newer_protocol_and_unknown_options_are_negotiated_as_postgres_does(url):
    with Wire(url, login=False) as client:
        body = struct.pack("!I", (3 << 16) | 2) + b"user\0postgres\0database\0testdb\0_pq_.new\0on\0\0"
        client.send(struct.pack("!I", len(body) + 4) + body)
        tag, payload = client.read()
        assert tag == "v" and payload == struct.pack("!II", 3 << 16, 1) + b"_pq_.new\0"


def test_garbage_after_the_login_ends_the_session_and_no_other(pooled):
    with Wire(pooled.balancer_url) as other:
        for garbage in (b"\0" * 100, b"GET / HTTP/1.1\r\n\r\n", message("Q")[:1] + struct.pack("!I", 3), message("!")):
            with Wire(pooled.balancer_url) as client:
                client.send(garbage)
                assert client.until("")[-1] == ("", b"")
            assert other.ask("SELECT 1") == [[b"1"]]


def test_every_parameter_a_server_reports_is_reported(pooled):
    with Wire(pooled.balancer_url, application_name="me", client_encoding="LATIN1") as ours, \
         Wire(pooled.direct_url, application_name="me", client_encoding="LATIN1") as theirs:
        assert ours.parameters == theirs.parameters

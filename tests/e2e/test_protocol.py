"""What clients send is answered as a server would answer it, whatever way it is cut and whatever is pooled behind."""
import resource
import struct
import threading
import time

import pytest

from harness.waiting import wait_until
from harness.wire import (COPY_DONE, FLUSH, SYNC, TERMINATE, Wire, bind, close, copy_data, copy_fail, describe, execute,
                          message, parse, query)

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
        client.send(*(part for n in range(200) for part in (parse(f"SELECT {n}"), bind(), execute(), SYNC)))
        for n in range(200):
            assert client.until().rows == [[str(n)]]


def test_a_pipeline_of_reads_and_writes_sees_its_own_writes(url):
    with Wire(url) as client:
        client.send(query("DELETE FROM seen"), *(part for n in range(20) for part in (
            parse(f"INSERT INTO seen VALUES ({n})"), bind(), execute(), SYNC,
            parse("SELECT count(*) FROM seen"), bind(), execute(), SYNC)))
        client.until()
        for n in range(20):
            assert client.until().tags == "12CZ"
            assert client.until().rows == [[str(n + 1)]]


def test_an_error_in_a_pipeline_skips_up_to_its_sync_and_no_further(url):
    with Wire(url) as client:
        client.send(parse("SELECT 1", "a"), bind("a"), execute(), parse("SELECT 1/0", "b"), bind("b"), execute(),
                    parse("SELECT 3", "c"), bind("c"), execute(), SYNC,
                    parse("SELECT 4", "d"), bind("d"), execute(), SYNC)
        first = client.until()
        assert first.tags.endswith("EZ") and first.sqlstates == ["22012"]
        assert first.rows == [["1"]]
        assert client.until().rows == [["4"]]
        client.send(bind("c"), execute(), SYNC)
        assert client.until().sqlstates == ["26000"], "what was skipped is not prepared"
        client.send(bind("d"), execute(), SYNC)
        assert client.until().rows == [["4"]]


def test_queries_without_the_sync_that_a_failed_pipeline_owes_are_skipped_and_stop_nobody(url):
    with Wire(url) as client:
        client.send(execute("nobody"), parse("SELECT 1"), query("SELECT 2"), query("RESET work_mem"), query("SELECT 3"),
                    SYNC, query("SELECT 4"))
        first = client.until()
        assert first.tags == "EZ" and first.sqlstates == ["34000"]
        assert client.until().rows == [["4"]]


def test_a_name_can_be_prepared_again_after_it_failed(url):
    with Wire(url) as client:
        client.send(parse("SELEC 1", "s"), SYNC)
        assert client.until().sqlstates == ["42601"]
        client.send(parse("SELECT 7", "s"), SYNC)
        assert client.until().tags == "1Z"
        client.send(describe("s"), bind("s"), execute(), SYNC)
        assert client.until().tags == "tT2DCZ"
        client.send(close("s"), SYNC)
        assert client.until().tags == "3Z"
        client.send(bind("s"), execute(), SYNC)
        assert client.until().sqlstates == ["26000"]


def test_a_flush_gets_what_is_there_and_the_transaction_stays_open(url):
    with Wire(url) as client:
        client.send(parse("SELECT generate_series(1, 5)"), describe(), FLUSH)
        assert client.until("T").tags == "1tT"
        client.send(bind(), execute(rows=2), FLUSH)
        assert client.until("s").tags == "2DDs"
        client.send(execute(rows=2), FLUSH)
        assert client.until("s").tags == "DDs"
        client.send(execute(), SYNC)
        assert client.until().tags == "DCZ"


def test_a_prepared_statement_that_is_known_already_is_answered_on_flush(url):
    for _ in range(3):
        with Wire(url) as client:
            client.send(parse("SELECT 11 AS known", "known"), FLUSH)
            assert client.until("1").tags == "1"
            client.send(bind("known"), execute(), SYNC)
            assert client.until().tags == "2DCZ"


def test_the_unnamed_statement_outlives_its_transaction_until_a_query_ends_it(url):
    with Wire(url) as client:
        client.send(parse("SELECT 12"), SYNC)
        assert client.until().tags == "1Z"
        for _ in range(3):
            client.send(bind(), execute(), SYNC)
            assert client.until().rows == [["12"]]
        client.send(query("SELECT 1"))
        client.until()
        client.send(bind(), execute(), SYNC)
        assert client.until().sqlstates == ["26000"]


def test_the_unnamed_statement_of_another_client_is_nobody_elses(pooled):
    for n in range(20):
        with Wire(pooled.balancer_url) as one, Wire(pooled.balancer_url) as two:
            one.send(parse(f"SELECT {n} AS secret"), SYNC)
            assert one.until().tags == "1Z"
            for part in (bind(), describe()):
                two.send(part, execute(), SYNC)
                assert two.until().sqlstates == ["26000"]
            one.send(bind(), execute(), SYNC)
            assert one.until().rows == [[str(n)]]


def test_copy_in_by_the_extended_protocol_with_a_sync_sent_early(url):
    with Wire(url) as client:
        client.query("DELETE FROM seen")
        client.send(parse("COPY seen FROM STDIN"), bind(), execute(), SYNC)
        assert client.until("G").tags == "12G"
        client.send(copy_data(b"1\n2\n"), copy_data(b"3\n"), COPY_DONE, SYNC)
        assert client.until().tags == "CZ"
        assert client.query("SELECT count(*) FROM seen").rows == [["3"]]


def test_a_copy_that_fails_leaves_the_session_in_step(url):
    with Wire(url) as client:
        client.send(query("COPY seen FROM STDIN"))
        assert client.until("G").tags == "G"
        client.send(copy_data(b"no number\n"), *(copy_data(b"1\n") for _ in range(1000)), COPY_DONE)
        assert client.until().sqlstates == ["22P02"]
        assert client.query("SELECT 5").rows == [["5"]]
        client.send(query("COPY seen FROM STDIN"))
        client.until("G")
        client.send(copy_fail("changed my mind"))
        assert client.until().sqlstates == ["57014"]
        assert client.query("SELECT 6").rows == [["6"]]


def test_messages_that_come_byte_by_byte_are_understood(url):
    with Wire(url) as client:
        for byte in parse("SELECT $1::int + 1", "x") + bind("x", ["41"]) + execute() + SYNC:
            client.send(bytes([byte]))
        assert client.until().rows == [["42"]]


def test_a_goodbye_right_behind_a_request_does_not_undo_it(url):
    with Wire(url) as client:
        client.query("DELETE FROM seen")
    for n in range(5):
        with Wire(url) as client:
            client.send(query(f"INSERT INTO seen VALUES ({n})"), TERMINATE)
            client.until()
    with Wire(url) as client:
        wait_until(lambda: client.query("SELECT count(*) FROM seen").rows == [["5"]], 5, "all five rows are there")


def test_a_half_sent_message_and_a_vanished_client_harm_nobody(pooled):
    for _ in range(10):
        with Wire(pooled.balancer_url) as client:
            client.send(query("BEGIN"))
            client.until()
            client.send(parse("INSERT INTO seen VALUES (99)"), bind(), message(b"Q", b"x" * 100)[:50])
    with Wire(pooled.balancer_url) as client:
        assert client.query("SELECT count(*) FROM seen WHERE n = 99").rows == [["0"]]
        assert client.query("SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'").rows == [["0"]]


@pytest.mark.parametrize("name", ["", "named"])
@pytest.mark.parametrize("sql", ["DISCARD ALL", "DEALLOCATE ALL"])
def test_all_statements_can_be_given_up_by_the_extended_protocol(url, name, sql):
    with Wire(url) as client:
        assert client.ask(parse("SELECT 'kept'", "kept"), SYNC).tags == "1Z"
        assert client.ask(parse(sql, name), bind(name), execute(), SYNC).tags == "12CZ"
        assert client.ask(bind("kept"), execute(), SYNC).sqlstates == ["26000"]
        assert client.ask(parse("SELECT 'again'", "kept"), bind("kept"), execute(), SYNC).rows == [["again"]]


@pytest.mark.parametrize("leave", ["vanish", "close"])
def test_what_was_done_without_a_sync_is_undone_when_its_client_goes(pooled, leave):
    for url in (pooled.balancer_url, pooled.direct_url):
        with Wire(url) as other:
            other.query("DELETE FROM seen")
            for number in range(4 * POOL):
                gone = Wire(url)
                gone.send(parse(f"INSERT INTO seen VALUES ({number})"), bind(), execute(), FLUSH)
                assert gone.until("CEZ").tags == "12C"
                getattr(gone, leave)()
                assert other.query("SELECT count(*) FROM seen").rows == [["0"]]
            assert all(other.query("INSERT INTO seen VALUES (-1)").tags == "CZ" for _ in range(2 * POOL))
            assert other.query("SELECT count(*) FROM seen WHERE n >= 0").rows == [["0"]]


def test_a_cancel_that_comes_too_late_does_not_end_an_open_batch(pooled):
    count = "/* pgbalancer: primary */ SELECT count(*) FROM seen"  # it wrote nothing itself, and may read from a replica
    with Wire(pooled.balancer_url) as client, Wire(pooled.balancer_url) as other:
        client.query("DELETE FROM seen")
        for _ in range(20):
            client.send(parse("SELECT set_config('work_mem', '5MB', false)"), bind(), execute(),
                        parse("INSERT INTO seen VALUES (1)"), bind(), execute(), FLUSH)
            client.cancel()
            if not client.until("CE").tags.endswith("E"):  # else it was not too late: all that follows is skipped
                client.until("CE")
            assert other.query(count).rows == [["0"]]
            client.send(parse("SELECT 1/0"), bind(), execute(), SYNC)
            client.until()
            assert other.query(count).rows == [["0"]]


def test_a_statement_that_was_skipped_is_not_prepared_though_others_have_it(pooled, url):
    text = "SELECT 'skipped'"
    for _ in range(4 * POOL):  # every server knows it
        with Wire(url) as other:
            assert other.ask(parse(text, "theirs"), bind("theirs"), execute(), SYNC).rows == [["skipped"]]
    with Wire(url) as client:
        client.send(parse("SELECT 1/0", "bad"), bind("bad"), execute(), parse(text, "s"), SYNC)
        assert client.until().sqlstates == ["22012"]
        assert client.ask(bind("s"), execute(), SYNC).sqlstates == ["26000"]
        assert client.ask(parse("SELECT 'mine'", "s"), bind("s"), execute(), SYNC).rows == [["mine"]]
        client.send(parse("SELECT 1/0", "bad2"), bind("bad2"), execute(), close("s"), SYNC)
        assert client.until().sqlstates == ["22012"]
        assert client.ask(bind("s"), execute(), SYNC).rows == [["mine"]], "what was skipped is not closed either"


def test_a_goodbye_in_two_pieces_ends_one_session_and_not_the_balancer(pooled):
    with Wire(pooled.balancer_url) as other:
        server = other.value("SELECT 1")
        for _ in range(5):
            with Wire(pooled.balancer_url) as client:
                assert client.value("SELECT 1") == server
                client.send(TERMINATE[:1])
                assert other.value("SELECT 1") == server  # meanwhile the first piece has come
                client.send(TERMINATE[1:])
                assert client.is_closed()
        assert other.value("SELECT 1") == server, "the other sessions go on"


def balancer_rss(cluster) -> int:
    pid = next(pid for pid, command in cluster.pids("lb1").items() if "pgbalancer" in command)
    with open(f"/proc/{pid}/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()


@pytest.mark.parametrize("flood", [SYNC, parse("SELECT 1", "s"), close("none"), query("DEALLOCATE ALL")])
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
            assert other.query("SELECT 1").rows == [["1"]]


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
            assert client.query("SELECT 1").rows == [["1"]]
        assert time.monotonic() - began < 1
    for thread in threads:
        thread.join()


def test_a_user_whose_name_is_no_text_is_refused_at_once(pooled):
    began = time.monotonic()
    with Wire(pooled.balancer_url, login=False) as client:
        body = struct.pack("!I", 3 << 16) + b"user\0\xff\xfe\0database\0postgres\0\0"
        client.send(struct.pack("!I", len(body) + 4) + body)
        assert client.until("E").sqlstates == ["08P01"]
    assert time.monotonic() - began < 1


def test_a_newer_protocol_and_unknown_options_are_negotiated_as_postgres_does(url):
    with Wire(url, login=False) as client:
        body = struct.pack("!I", (3 << 16) | 2) + b"user\0postgres\0database\0testdb\0_pq_.new\0on\0\0"
        client.send(struct.pack("!I", len(body) + 4) + body)
        tag, payload = client.read()
        assert tag == "v" and payload == struct.pack("!II", 3 << 16, 1) + b"_pq_.new\0"


def test_garbage_after_the_login_ends_the_session_and_no_other(pooled):
    with Wire(pooled.balancer_url) as other:
        for garbage in (b"\0" * 100, b"GET / HTTP/1.1\r\n\r\n", message(b"Q")[:1] + struct.pack("!I", 3), message(b"!")):
            with Wire(pooled.balancer_url) as client:
                client.send(garbage)
                assert client.is_closed()
            assert other.query("SELECT 1").rows == [["1"]]


def test_every_parameter_a_server_reports_is_reported(pooled):
    mine = {"application_name": "me", "client_encoding": "LATIN1"}
    with Wire(pooled.balancer_url, mine) as ours, Wire(pooled.direct_url, mine) as theirs:
        assert ours.parameters == theirs.parameters

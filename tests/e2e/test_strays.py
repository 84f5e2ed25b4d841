"""What a server says while it serves nobody reaches nobody."""
import pytest

from harness.free_ports import free_block
from harness.group import Group
from harness.tls_site import Relay
from harness.waiting import wait_until
from harness.wire import Wire, message, query

NOTICE = message(b"N", b"SNOTICE\0M" + b"somebody's secret " * 20 + b"\0\0")
ROW = message(b"D", b"\0\1\0\0\0\6secret")


@pytest.fixture(scope="module")
def between():
    """A group of one whose server is reached by way of a relay."""
    with Group(0) as group, Relay(free_block(1), group.primary.port) as relay:
        port = relay.listener.getsockname()[1]
        group.serve(nodes=[{"name": "one", "host": "127.0.0.1", "port": port}], pool_size=1, threads=1)
        group.relay = relay
        yield group


def interject(group, data: bytes) -> None:
    """On all of the server's connections; the balancer has read it then."""
    before = group.balancer.ask("status")["bytes_from_servers"]
    for to_balancer in group.relay.open[::2]:
        try:
            to_balancer.sendall(data)
        except OSError:
            pass  # one that is closed
    wait_until(lambda: group.balancer.ask("status")["bytes_from_servers"] >= before + len(data), 10, "it has been read")


def test_half_a_notice_from_before_is_not_the_next_clients(between):
    balancer = between.balancer
    with Wire(balancer.url("postgres")) as one, Wire(balancer.url("postgres")) as two:
        assert one.query("SELECT 'one'").rows == [["one"]]
        interject(between, NOTICE[:100])
        seen = balancer.ask("status")["bytes_from_clients"]
        long = query(f"SELECT length('{'x' * 2_000_000}')")  # too long to be waited for: the server is there from its beginning
        two.send(long[:1_500_000])
        wait_until(lambda: balancer.ask("status")["bytes_from_clients"] >= seen + 1_500_000, 10, "the query is under way")
        interject(between, NOTICE[100:])
        two.send(long[1_500_000:])
        answer = two.until()
        assert answer.tags == "TDCZ" and answer.value == "2000000"


def test_a_server_that_answers_what_nobody_asked_is_given_to_nobody(between):
    url = between.balancer.url("postgres")
    with Wire(url) as client:
        before = client.value("SELECT pg_backend_pid()")
        wait_until(lambda: all(one["state"] == "idle" for one in between.balancer.ask("servers")["servers"]), 10, "it is idle")
        interject(between, ROW)
        wait_until(lambda: "nobody asked for" in between.balancer.log, 10, "the log says why the server went")
        answer = wait_until(lambda: client.query("SELECT pg_backend_pid()"), 10, "it is answered")
        assert answer.tags == "TDCZ" and answer.value != before

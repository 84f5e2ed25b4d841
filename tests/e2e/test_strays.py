"""What a server says while it serves nobody reaches nobody."""
import pytest

from harness.free_ports import free_block
from harness.group import Group
from harness.tls_site import Relay
from harness.waiting import wait_until
from harness.wire import Wire, message

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
    """On all of the server's connections."""
    for to_balancer in group.relay.open[::2]:
        try:
            to_balancer.sendall(data)
        except OSError:
            pass  # one that is closed


def test_a_notice_that_comes_in_two_pieces_is_one_clients_or_nobodys(between):
    url = between.balancer.url("postgres")
    for number in range(20):
        with Wire(url) as one, Wire(url) as two:
            assert one.query("SELECT 'one'").rows == [["one"]]
            interject(between, NOTICE[:100])
            between.balancer.ask("status")
            assert two.query("BEGIN").tags == "CZ"
            interject(between, NOTICE[100:])
            assert two.query(f"SELECT {number}").rows == [[str(number)]]
            assert two.query("COMMIT").tags == "CZ"


def test_a_server_that_answers_what_nobody_asked_is_given_to_nobody(between):
    url = between.balancer.url("postgres")
    with Wire(url) as client:
        before = client.value("SELECT pg_backend_pid()")
        interject(between, ROW)
        wait_until(lambda: "nobody asked for" in between.balancer.log, 10, "the log says why the server went")
        answer = wait_until(lambda: client.query("SELECT pg_backend_pid()"), 10, "it is answered")
        assert answer.tags == "TDCZ" and answer.value != before

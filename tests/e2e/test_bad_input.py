"""Bad input at every port: nothing gets in, nothing gets mixed up, and clients' transactions go on meanwhile."""
import contextlib
import json
import os
import re
import socket
import struct
import time

import pytest

from harness.rest import Rest, exchange
from harness.sandbox import Sandbox
from harness.siege import Attack, assert_untouched, besieged, exchange_raw
from harness.waiting import wait_until

LEASE = 3  # seconds, as a cluster has it by itself


@pytest.fixture(scope="module")
def site():
    with besieged() as found:
        yield found


# --- what is sent

def startup(**parameters) -> bytes:
    body = struct.pack("!I", 196608) + b"".join(k.encode() + b"\0" + v.encode() + b"\0" for k, v in parameters.items()) + b"\0"
    return struct.pack("!I", len(body) + 4) + body


REST_HEAD = b"GET /api/v1/nodes HTTP/1.1\r\nHost: localhost\r\n"
ONE_SHOTS = {
    "rest": {
        "a header of a megabyte": REST_HEAD + b"X-Long: " + b"x" * 1_000_000 + b"\r\n\r\n",
        "a body of ten gigabytes": b"POST /api/v1/auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10000000000\r\n\r\n" + b"x" * 100_000,
        "two megabytes in chunks": b"POST /api/v1/auth/login HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n200000\r\n" + b"x" * 2_097_152,
        "half a request": REST_HEAD,
        "a wrong token": REST_HEAD + b"Authorization: Bearer " + b"a.b.c" * 100 + b"\r\nConnection: close\r\n\r\n",
        "a wrong password": b"POST /api/v1/auth/login HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 38\r\n\r\n"
                            b'{"username":"boss","password":"wrong"}',
        "a request within another": b"POST /api/v1/auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
                                    b"0\r\n\r\nPOST /api/v1/control/pause HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer let-me-in\r\n"
                                    b"Content-Length: 0\r\n\r\n",
        "a path out of the tree": b"GET /../../../../etc/passwd HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        "TLS": bytes.fromhex("16030100") + os.urandom(300),
        "nonsense": os.urandom(5000),
    },
    "pcp": {
        "a length of four gigabytes": b"M\xff\xff\xff\xff" + b"x" * 100_000,
        "the longest packets there may be": (b"L\0\0\x27\x10" + b"x" * 9_996) * 20,
        "half a packet": b"R\0\0\0\x40boss",
        "a command of nobody": b"T\0\0\0\x06f\0",
        "a wrong password": b"M\0\0\0\4" + b"R\0\0\0\x2aboss\0" + b"0" * 32 + b"\0",
        "nonsense": os.urandom(5000),
    },
    "data": {
        "a startup packet of a gigabyte": struct.pack("!II", 1 << 30, 196608) + b"user\0" + b"x" * 100_000,
        "half a startup packet": startup(user="shop", database="postgres")[:20],
        "a wrong password": startup(user="shop", database="postgres") + b"p\0\0\0\x0anonsen",
        "a user of two kilobytes": startup(user="u" * 2000, database="postgres"),
        "nonsense": os.urandom(5000),
        "a console login that breaks off": startup(user="chief", database="pgbalancer")[:-1],
        "a console login with nonsense": startup(user="chief", database="pgbalancer") + os.urandom(5000),
    },
}
CASES = [(port, name) for port, shots in ONE_SHOTS.items() for name in shots]


@pytest.mark.parametrize("port, name", CASES)
def test_transactions_go_on_while_it_is_sent(site, port, name):
    with Attack(lambda: exchange_raw(site, port, ONE_SHOTS[port][name], 2)) as attack:
        assert_untouched(site, name, attack)
    assert attack.count > 3, "nothing was sent"
    wait_until(site.answers, 30, "all ports answer")


@pytest.mark.parametrize("port, head", [("rest", b"GET / HTTP/1.1\r\nX-Slow: "), ("pcp", b"R\0\0\x20\0"), ("data", struct.pack("!II", 5000, 196608))])
def test_transactions_go_on_beside_those_who_send_a_byte_at_a_time(site, port, head):
    wires = []

    def drip() -> None:
        if len(wires) < 200:
            wire = site.connect(port)
            wire.sendall(head)
            wires.append(wire)
        for wire in wires:
            with contextlib.suppress(OSError):
                wire.send(b"x", socket.MSG_DONTWAIT)
    with Attack(drip, 1, wires, 51) as attack:
        assert_untouched(site, f"slow bytes at {port}", attack)
    assert len(wires) > 50
    for wire in wires:
        wire.close()
    wait_until(site.answers, 30, "all ports answer")


@pytest.mark.parametrize("port", ["rest", "pcp", "data"])
def test_transactions_go_on_beside_ten_thousand_silent_connections(site, port):
    wires = []

    def open_more() -> None:
        for _ in range(500):
            if len(wires) >= 10_000:
                return
            wire = socket.socket()
            wire.setblocking(False)
            wires.append(wire)
            with contextlib.suppress(BlockingIOError):
                wire.connect(("127.0.0.1", site.ports[port]))
    with Attack(open_more, 1, wires, 10_000) as attack:
        wait_until(lambda: len(wires) >= 10_000, 30, "they are open")
        if port == "data":
            wait_until(site.can_log_in, 10, "a client gets in beside them")
        assert_untouched(site, f"10 000 connections at {port}", attack)
        attack.stop.set()
    for wire in wires:
        wire.close()
    wait_until(site.answers, 30, "all ports answer")


# --- one request is one request

SMUGGLED = b"POST /api/v1/control/pause HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer let-me-in\r\nContent-Length: 0\r\n\r\n"
SIZE = str(len(SMUGGLED)).encode()
POST = b"POST /api/v1/auth/login HTTP/1.1\r\nHost: localhost\r\n"


AMBIGUOUS = [
    ("two lengths", POST + b"Content-Length: 0\r\nContent-Length: " + SIZE + b"\r\n\r\n" + SMUGGLED),
    ("two lengths, the other way", POST + b"Content-Length: " + SIZE + b"\r\nContent-Length: 0\r\n\r\n" + SMUGGLED),
    ("a list of lengths", POST + b"Content-Length: 0, " + SIZE + b"\r\n\r\n" + SMUGGLED),
    ("a length and chunks", POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED),
    ("chunks and a length", POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + SMUGGLED),
    ("chunks of another kind", POST + b"Transfer-Encoding: xchunked\r\n\r\n" + SMUGGLED),
    ("chunks twice", POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\nContent-Length: 0\r\n\r\n" + SMUGGLED),
    ("a blank before the colon", POST + b"Content-Length : 5\r\n\r\n" + SMUGGLED),
    ("a line that goes on", POST + b"X-A: b\r\n Content-Length: 5\r\n\tx\r\nTransfer-Encoding:\r\n chunked, gzip\r\n\r\n" + SMUGGLED),
    ("a length with a sign", POST + b"Content-Length: +5\r\n\r\n" + SMUGGLED),
    ("a length in hex", POST + b"Content-Length: 0x5\r\n\r\n" + SMUGGLED),
    ("a size of a chunk that is none", POST + b"Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n" + SMUGGLED),
    ("a bare line feed", POST.replace(b"\r\n", b"\n") + b"Content-Length: 0\n\n" + SMUGGLED),
    ("a zero byte in a name", POST + b"Content-Le\0ngth: 0\r\n\r\n" + SMUGGLED),
]


@pytest.mark.parametrize("name, request_bytes", AMBIGUOUS, ids=[name for name, _ in AMBIGUOUS])
def test_what_cannot_be_told_apart_is_refused_and_what_follows_is_not_looked_at(site, name, request_bytes):
    answer = exchange_raw(site, "rest", request_bytes)
    assert len(re.findall(rb"^HTTP/1\.1 \d", answer, re.M)) <= 1, f"{name}: {answer!r}"
    assert not answer or answer.startswith(b"HTTP/1.1 400 "), f"{name}: {answer!r}"
    assert not site.balancer.ask("status")["paused"]


def test_two_requests_in_one_piece_are_two(site):
    answer = exchange_raw(site, "rest", REST_HEAD + b"\r\n" + REST_HEAD + b"Connection: close\r\n\r\n")
    assert answer.count(b"HTTP/1.1 200 OK") == 2, answer


@pytest.mark.parametrize("target", ["/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/..%2f..%2fetc%2fpasswd", "/api/v1/../../etc/passwd",
                                    "/api/v1/nodes/..%2f..%2fetc%2fpasswd", "/api/v1/nodes/%00", "//etc/passwd", "/.%00./etc/passwd",
                                    "/api/v1/status%0d%0aX: y", "/static/..%5c..%5cetc%5cpasswd", "/%c0%ae%c0%ae/etc/passwd", "\\..\\etc"])
def test_no_path_leads_out(site, target):
    answer = exchange(site.balancer.rest, "GET", target.replace(" ", "%20"), {"Authorization": "Bearer let-me-in"})
    assert answer.status in (400, 404) and b"root:" not in answer.body, (target, str(answer))
    assert "x" not in answer.headers


def test_limits_are_told(site):
    long = exchange_raw(site, "rest", REST_HEAD + b"X-Long: " + b"x" * 20_000 + b"\r\n\r\n")
    assert long.startswith(b"HTTP/1.1 431 "), long[:200]
    big = exchange_raw(site, "rest", POST + b"Content-Length: 2000000\r\n\r\n" + b"x" * 2_000_000)
    assert big.startswith(b"HTTP/1.1 413 "), big[:200]


def test_who_sends_slowly_is_cut_off(site):
    began = time.monotonic()
    with site.connect("rest", 30) as wire:
        wire.sendall(REST_HEAD)
        assert wire.recv(100) == b""
    assert 5 < time.monotonic() - began < 20


# --- the ports on which agents talk to one another

HALF = b"POST /v3/kv/range HTTP/1.1\r\nHost: x\r\n"
WHOLE = b"POST /v3/kv/range HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"


@pytest.fixture(scope="module")
def group():
    with Sandbox("process", None) as sandbox:
        sandbox.init()
        yield sandbox


@pytest.mark.parametrize("what", [b"", HALF, WHOLE], ids=["silent", "half", "whole"])
@pytest.mark.parametrize("port", ["the lease store's", "an agent's"])
def test_no_role_moves_while_strangers_crowd_at(group, port, what):
    """Who renews a lease there keeps the connection, however many others come."""
    group.wait_healthy()
    rest = Rest(group.balancer()["rest_api_port"])
    units = group.state_dir / group.name / "units"
    leader = rest.get("/api/v1/watchdog/status")["leader"]
    number = json.loads((units / "lb1" / "balancer.json").read_text())["store_port"] if port == "the lease store's" else \
        json.loads((units / leader / "agent.json").read_text())["agent_port"]
    wires = []

    def crowd() -> None:
        for _ in range(100):
            wire = socket.socket()
            wire.setblocking(False)
            wires.append(wire)
            with contextlib.suppress(BlockingIOError):
                wire.connect(("127.0.0.1", number))
        time.sleep(0.02)  # so that they are connected before anything is sent
        for wire in wires[-100:]:
            with contextlib.suppress(OSError):
                wire.send(what)
        while len(wires) > 1500:
            wires.pop(0).close()

    def epoch() -> int:
        return rest.get("/api/v1/watchdog/info")["epoch"]
    before, longest = epoch(), 0.0
    with Attack(crowd, 1) as attack, group.connect() as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS crowded (n int)")
        until = time.monotonic() + 3 * LEASE
        while time.monotonic() < until:
            began = time.monotonic()
            cursor.execute("INSERT INTO crowded VALUES (1)")
            longest = max(longest, time.monotonic() - began)
            time.sleep(0.05)  # a writer who comes now and then
    for wire in wires:
        wire.close()
    assert attack.count > 10, "nobody came"
    assert (epoch(), rest.get("/api/v1/watchdog/status")["leader"]) == (before, leader), "the role has moved"
    assert longest < 1, f"a commit took {longest:.1f} s"


def test_half_requests_do_not_keep_others_out(site):
    wires = []
    for _ in range(200):
        wire = site.connect("rest")
        wire.sendall(REST_HEAD)
        wires.append(wire)
    wait_until(lambda: exchange(site.balancer.rest, "GET", "/healthz", limit=5).status == 200, 4, "somebody else is answered")
    for wire in wires:
        wire.close()

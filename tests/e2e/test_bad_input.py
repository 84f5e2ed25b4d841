"""Bad input at every port: nothing gets in, nothing gets mixed up, and clients' transactions go on meanwhile."""
import contextlib
import hashlib
import os
import re
import resource
import socket
import struct
import subprocess
import threading
import time

import psycopg2
import pytest

from harness.alone import newest_bin, standing_group
from harness.free_ports import free_block
from harness.rest import exchange
from harness.waiting import wait_until

RATE = 300  # transactions a second that are due
SECONDS = 3
KEPT = 0.9  # of those that are done in time without bad input
QUIET = 0.8  # of those that are due: a machine that does less by itself shows nothing


class Site:
    def __init__(self, balancer, pcp):
        self.balancer, self.pcp = balancer, pcp
        self.ports = {"rest": balancer.rest, "pcp": pcp, "data": balancer.port}
        self.script = balancer.folder / "look.sql"
        self.script.write_text("BEGIN;\nSELECT pg_backend_pid();\nCOMMIT;\n")
        assert self.done_in_time() > 0.98, "too slow without any bad input"

    def done_in_time(self) -> float:
        """The share of the transactions that are due that was done, no later than half a second after its time."""
        done = subprocess.run([newest_bin() / "pgbench", "-n", "-f", self.script, "-c", "4", "-R", str(RATE), "-L", "500", "-T", str(SECONDS),
                               "-h", "127.0.0.1", "-p", str(self.balancer.port), "-U", "shop", "postgres"],
                              env=os.environ | {"PGPASSWORD": "shop"}, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0 and not re.search("aborted|error", done.stderr), done
        processed = int(re.search(r"transactions actually processed: (\d+)", done.stdout).group(1))
        skipped = int(re.search(r"transactions skipped: (\d+)", done.stdout).group(1))
        late = int(re.search(r"latency limit: (\d+)/", done.stdout).group(1))
        assert processed + skipped > RATE * SECONDS / 2, done
        return (processed - late) / (processed + skipped)

    def connect(self, port: str, limit: float = 5) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.ports[port]), limit)

    def answers(self) -> bool:
        """At every port, and for a new client."""
        assert self.balancer.process.poll() is None, self.balancer.log
        assert self.balancer.ask("status")["nodes"]
        with self.connect("pcp") as wire:
            wire.sendall(b"M\0\0\0\4")
            assert wire.recv(100)[:1] == b"m"
        return self.can_log_in()

    def can_log_in(self) -> bool:
        for database in ("postgres", "pgbalancer"):
            user, password = ("shop", "shop") if database == "postgres" else ("chief", "chief pass")
            with contextlib.closing(psycopg2.connect(host="127.0.0.1", port=self.balancer.port, user=user, password=password, dbname=database,
                                                     connect_timeout=5)) as connection:
                connection.autocommit = True
                connection.cursor().execute("SHOW server_version")
        return True


@pytest.fixture(scope="module")
def site():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with standing_group(0, admin_users=["chief"]) as (primary, _, balancer):
        primary.sql("CREATE ROLE shop LOGIN PASSWORD 'shop'; CREATE ROLE chief LOGIN PASSWORD 'chief pass'")
        users = balancer.folder / "pcp.conf"
        users.touch(0o600)
        users.write_text(f"boss:{hashlib.md5(b'pcp pass').hexdigest()}\n")
        pcp = free_block(1)
        balancer.config |= {"pcp_port": pcp, "pcp_users_file": "pcp.conf"}
        balancer.restart()
        yield Site(balancer, pcp)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


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


def exchange_raw(site, port: str, data: bytes, limit: float = 15) -> bytes:
    """All that comes back until the other side has closed."""
    answer = b""
    with site.connect(port, limit) as wire:
        with contextlib.suppress(ConnectionError):
            wire.sendall(data)
            wire.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionError):
            while chunk := wire.recv(65536):
                answer += chunk
    return answer


class Attack:
    """Goes on in threads until the block ends."""

    def __init__(self, work, threads: int = 4):
        self.work, self.count = work, 0
        self.stop, self.held = threading.Event(), threading.Event()
        self.threads = [threading.Thread(target=self.run) for _ in range(threads)]

    def run(self) -> None:
        while not self.stop.is_set():
            if not self.held.is_set():
                with contextlib.suppress(OSError):
                    self.work()
                self.count += 1
            self.stop.wait(0.01)

    @contextlib.contextmanager
    def on_hold(self):
        """Nothing more is sent; what is open stays open."""
        self.held.set()
        try:
            yield
        finally:
            self.held.clear()

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join()


def assert_untouched(site, what: str, attack: Attack) -> None:
    """Where too few were done, it is looked at once more without: others may be at work on this machine."""
    told = []
    for _ in range(3):
        share = site.done_in_time()
        if share >= KEPT:
            return
        with attack.on_hold():
            quiet = site.done_in_time()
        told.append(f"{share:.1%}, without {quiet:.1%}")
        if quiet >= QUIET:
            assert share >= KEPT * quiet, f"{what}: of the transactions were done in time: {told}"
            return
    raise AssertionError(f"{what}: this machine is too slow to tell: {told}")


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
    with Attack(drip, 1) as attack:
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
    with Attack(open_more, 1) as attack:
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


def test_half_requests_do_not_keep_others_out(site):
    wires = []
    for _ in range(200):
        wire = site.connect("rest")
        wire.sendall(REST_HEAD)
        wires.append(wire)
    wait_until(lambda: exchange(site.balancer.rest, "GET", "/healthz", limit=5).status == 200, 4, "somebody else is answered")
    for wire in wires:
        wire.close()

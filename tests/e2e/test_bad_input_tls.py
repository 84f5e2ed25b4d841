"""Bad input where TLS is spoken, before its keys are agreed and after: clients' transactions go on meanwhile."""
import contextlib
import os
import socket
import ssl
import struct
import urllib.request

import psycopg2
import pytest

from harness.siege import Attack, assert_untouched, besieged
from harness.tls_site import SSL_REQUEST, Certificates
from harness.waiting import wait_until


@pytest.fixture(scope="module")
def site():
    with besieged() as found:
        certificates = Certificates(found.balancer.folder)
        certificates.authority("ours")
        certificates.sign("lb", "ours")
        found.balancer.stop()
        found.balancer.config |= {"rest_tls": True, "tls_cert_file": certificates.crt("lb"), "tls_key_file": certificates.key("lb")}
        found.balancer.process = found.balancer.spawn()
        wait_until(lambda: answers(found), 20, "it answers over TLS")
        yield found


def trusting() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def answers(site) -> bool:
    assert site.balancer.process.poll() is None, site.balancer.log
    with contextlib.closing(psycopg2.connect(host="127.0.0.1", port=site.balancer.port, user="shop", password="shop", dbname="postgres",
                                             sslmode="require", connect_timeout=5)) as connection:
        assert connection.info.ssl_in_use
        connection.cursor().execute("SELECT 1")
    with urllib.request.urlopen(f"https://127.0.0.1:{site.balancer.rest}/healthz", timeout=5, context=trusting()) as answer:
        return answer.status == 200


def first_words() -> bytes:
    """What a client says first."""
    heard, said = ssl.MemoryBIO(), ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        trusting().wrap_bio(heard, said).do_handshake()
    return said.read()


def go_ahead(site, port: str) -> socket.socket:
    """Where the other side waits for the first words."""
    wire = site.connect(port, 2)
    if port == "data":
        wire.sendall(SSL_REQUEST)
        assert wire.recv(1) == b"S"
    return wire


def hear_out(wire) -> None:
    """Until it has closed, or says no more for a while."""
    with contextlib.suppress(OSError):
        while wire.recv(65536):
            pass


HELLO = first_words()
BEFORE = {"half of the first words": HELLO[:len(HELLO) // 2], "the first words and no more": HELLO, "the first words twice": HELLO * 2,
          "a record longer than any": b"\x16\x03\x01\xff\xff" + os.urandom(65535), "nonsense": os.urandom(5000)}
REST_HEAD = b"GET /api/v1/nodes HTTP/1.1\r\nHost: localhost\r\n"
AFTER = {
    "rest": {"half a request": REST_HEAD, "a header of a megabyte": REST_HEAD + b"X-Long: " + b"x" * 1_000_000 + b"\r\n\r\n"},
    "data": {"half a startup packet": struct.pack("!II", 80, 196608) + b"user\0",
             "a startup packet of a gigabyte": struct.pack("!II", 1 << 30, 196608) + b"user\0" + b"x" * 100_000,
             "the wish for TLS again": SSL_REQUEST * 100, "nonsense": os.urandom(5000)},
}


@pytest.mark.parametrize("port", ["rest", "data"])
@pytest.mark.parametrize("name", BEFORE)
def test_transactions_go_on_beside_those_who_never_agree_on_keys(site, port, name):
    def work() -> None:
        with go_ahead(site, port) as wire:
            wire.sendall(BEFORE[name])
            hear_out(wire)
    with Attack(work) as attack:
        assert_untouched(site, f"{name} at {port}", attack)
    assert attack.count > 3, "nothing was sent"
    wait_until(lambda: answers(site), 30, "it answers over TLS")


@pytest.mark.parametrize("port, name", [(port, name) for port, shots in AFTER.items() for name in shots])
def test_transactions_go_on_beside_what_comes_within_tls(site, port, name):
    agreed = []

    def work() -> None:
        with trusting().wrap_socket(go_ahead(site, port)) as wire:
            agreed.append(wire.version())
            wire.sendall(AFTER[port][name])
            hear_out(wire)
    with Attack(work) as attack:
        assert_untouched(site, f"{name} at {port}", attack)
    assert len(agreed) > 3, "nothing was sent"
    wait_until(lambda: answers(site), 30, "it answers over TLS")


def test_transactions_go_on_beside_handshakes_that_stand(site):
    wires = []

    def open_more() -> None:
        if len(wires) < 1000:
            wire = go_ahead(site, "data")
            wire.sendall(HELLO)
            wires.append(wire)
    with Attack(open_more, 1, wires, 300) as attack:
        wait_until(lambda: len(wires) >= 300, 30, "they are open")
        assert_untouched(site, "handshakes that stand", attack)
    for wire in wires:
        wire.close()
    wait_until(lambda: answers(site), 30, "it answers over TLS")

"""A PostgreSQL client that sends whatever it is told to, message by message. Source: PostgreSQL documentation,
"Frontend/Backend Protocol"."""
import base64
import hashlib
import hmac
import os
import socket
import struct

import psycopg2.extensions


def message(tag: str, body: bytes = b"") -> bytes:
    return tag.encode() + struct.pack("!I", len(body) + 4) + body


def text(value: str) -> bytes:
    return value.encode() + b"\0"


def query(sql: str) -> bytes:
    return message("Q", text(sql))


def parse(name: str, sql: str) -> bytes:
    return message("P", text(name) + text(sql) + b"\0\0")


def bind(name: str, *values: str, portal: str = "") -> bytes:
    parameters = b"".join(struct.pack("!I", len(v.encode())) + v.encode() for v in values)
    return message("B", text(portal) + text(name) + b"\0\0" + struct.pack("!H", len(values)) + parameters + b"\0\0")


def execute(rows: int = 0, portal: str = "") -> bytes:
    return message("E", text(portal) + struct.pack("!I", rows))


def describe(kind: str, name: str) -> bytes:
    return message("D", kind.encode() + text(name))


def close(kind: str, name: str) -> bytes:
    return message("C", kind.encode() + text(name))


SYNC, FLUSH, TERMINATE, COPY_DONE = (message(tag) for tag in "SHXc")


class Wire:
    """Logged in by SCRAM-SHA-256 as the URL says."""

    def __init__(self, url: str, limit: float = 10, login: bool = True, **parameters: str):
        dsn = psycopg2.extensions.parse_dsn(url)
        self.socket = socket.create_connection((dsn["host"], int(dsn["port"])), timeout=limit)
        self.held = b""
        self.parameters: dict[str, str] = {}
        if login:
            self.login(dsn["user"], dsn["password"], dsn["dbname"], parameters)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, *messages: bytes) -> None:
        self.socket.sendall(b"".join(messages))

    def read(self) -> tuple[str, bytes]:
        """The next message; ("", b"") at the end."""
        while len(self.held) < 5 or len(self.held) < 1 + struct.unpack("!I", self.held[1:5])[0]:
            more = self.socket.recv(65536)
            if not more:
                return "", b""
            self.held += more
        size = 1 + struct.unpack("!I", self.held[1:5])[0]
        found, self.held = self.held[:size], self.held[size:]
        return chr(found[0]), found[5:]

    def until(self, last: str) -> list[tuple[str, bytes]]:
        """All messages up to one of those tags."""
        seen = []
        while True:
            seen.append(self.read())
            if seen[-1][0] in last or seen[-1][0] == "":
                return seen

    def tags(self, last: str = "Z") -> str:
        return "".join(tag for tag, _ in self.until(last))

    def ask(self, sql: str) -> list[list[bytes]]:
        self.send(query(sql))
        return rows(self.until("Z"))

    def login(self, user: str, password: str, database: str, parameters: dict[str, str]) -> None:
        wanted = {"user": user, "database": database, **parameters}
        body = struct.pack("!I", 3 << 16) + b"".join(text(k) + text(v) for k, v in wanted.items()) + b"\0"
        self.send(struct.pack("!I", len(body) + 4) + body)
        assert self.read()[1][:4] == struct.pack("!I", 10)
        nonce = base64.b64encode(os.urandom(18)).decode()
        bare = f"n=,r={nonce}"
        first = ("n,," + bare).encode()
        self.send(message("p", text("SCRAM-SHA-256") + struct.pack("!I", len(first)) + first))
        server_first = self.read()[1][4:].decode()
        told = dict(part.split("=", 1) for part in server_first.split(","))
        salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(told["s"]), int(told["i"]))
        client_key = hmac.digest(salted, b"Client Key", "sha256")
        final = f"c=biws,r={told['r']}"
        signed = ",".join((bare, server_first, final)).encode()
        signature = hmac.digest(hashlib.sha256(client_key).digest(), signed, "sha256")
        proof = base64.b64encode(bytes(a ^ b for a, b in zip(client_key, signature))).decode()
        self.send(message("p", f"{final},p={proof}".encode()))
        for tag, payload in self.until("ZE"):
            assert tag != "E", payload
            if tag == "S":
                name, value, _ = payload.split(b"\0")
                self.parameters[name.decode()] = value.decode()


def rows(messages: list[tuple[str, bytes]]) -> list[list[bytes]]:
    found = []
    for tag, payload in messages:
        if tag != "D":
            continue
        at, row = 2, []
        for _ in range(struct.unpack("!H", payload[:2])[0]):
            size = struct.unpack("!i", payload[at:at + 4])[0]
            row.append(None if size < 0 else payload[at + 4:at + 4 + size])
            at += 4 + max(size, 0)
        found.append(row)
    return found


def sqlstate(messages: list[tuple[str, bytes]]) -> str:
    """Of the first error; "" if there is none."""
    for tag, payload in messages:
        if tag == "E":
            return next(field[1:].decode() for field in payload.split(b"\0") if field[:1] == b"C")
    return ""

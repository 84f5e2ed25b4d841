"""The least of a PostgreSQL client: logs in with SCRAM-SHA-256, asks one question, and stays."""
import base64
import functools
import hashlib
import hmac
import os
import socket
import struct


class Refused(Exception):
    pass


@functools.lru_cache(maxsize=64)
def _salted(password: str, salt: bytes, rounds: int) -> bytes:
    return hashlib.pbkdf2_hmac("sha256", password.encode(), salt, rounds)


def _hmac(key: bytes, text: bytes) -> bytes:
    return hmac.new(key, text, "sha256").digest()


class WireClient:
    def __init__(self, port: int, user: str, password: str, database: str, seconds: float = 30):
        self.socket = socket.create_connection(("127.0.0.1", port), seconds)
        self.buffer = b""
        try:
            self._log_in(user, password, database)
        except BaseException:
            self.socket.close()
            raise

    def close(self) -> None:
        self.socket.close()

    def query(self, text: str) -> None:
        self._send(b"Q", text.encode() + b"\0")
        while self._read()[0] != b"Z":
            pass

    def _send(self, kind: bytes, body: bytes) -> None:
        self.socket.sendall(kind + struct.pack("!I", len(body) + 4) + body)

    def _take(self, count: int) -> bytes:
        while len(self.buffer) < count:
            more = self.socket.recv(65536)
            if not more:
                raise Refused("the connection was closed")
            self.buffer += more
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        return taken

    def _read(self) -> tuple[bytes, bytes]:
        kind, size = struct.unpack("!cI", self._take(5))
        body = self._take(size - 4)
        if kind == b"E":
            fields = {part[:1]: part[1:].decode(errors="replace") for part in body.split(b"\0") if part}
            raise Refused(f"{fields.get(b'C', '')} {fields.get(b'M', '')}")
        return kind, body

    def _authentication(self, wanted: int) -> bytes:
        kind, body = self._read()
        code = struct.unpack("!I", body[:4])[0]
        if kind != b"R" or code != wanted:
            raise Refused(f"message {kind!r} {code} instead of authentication {wanted}")
        return body[4:]

    def _log_in(self, user: str, password: str, database: str) -> None:
        start = struct.pack("!I", 196608) + f"user\0{user}\0database\0{database}\0\0".encode()
        self.socket.sendall(struct.pack("!I", len(start) + 4) + start)
        self._authentication(10)
        nonce = base64.b64encode(os.urandom(18)).decode()
        first = f"n=,r={nonce}"
        body = f"n,,{first}".encode()
        self._send(b"p", b"SCRAM-SHA-256\0" + struct.pack("!I", len(body)) + body)
        server_first = self._authentication(11).decode()
        parts = dict(part.split("=", 1) for part in server_first.split(","))
        salted = _salted(password, base64.b64decode(parts["s"]), int(parts["i"]))
        client_key = _hmac(salted, b"Client Key")
        last = f"c=biws,r={parts['r']}"
        signed = _hmac(hashlib.sha256(client_key).digest(), f"{first},{server_first},{last}".encode())
        proof = base64.b64encode(bytes(a ^ b for a, b in zip(client_key, signed))).decode()
        self._send(b"p", f"{last},p={proof}".encode())
        self._authentication(12)
        self._authentication(0)
        while self._read()[0] != b"Z":
            pass

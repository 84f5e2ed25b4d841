"""PostgreSQL's protocol, message by message: for what a driver never sends, or hides. No TLS."""
import base64
import hashlib
import hmac
import secrets
import socket
import struct
import urllib.parse


def cstr(text) -> bytes:
    return (text if isinstance(text, bytes) else text.encode()) + b"\0"


def message(tag: bytes, body: bytes = b"") -> bytes:
    return tag + struct.pack("!I", len(body) + 4) + body


def query(sql: str) -> bytes:
    return message(b"Q", cstr(sql))


def parse(sql: str, name: str = "", types=()) -> bytes:
    return message(b"P", cstr(name) + cstr(sql) + struct.pack(f"!H{len(types)}I", len(types), *types))


def bind(name: str = "", values=(), portal: str = "") -> bytes:
    body = cstr(portal) + cstr(name) + struct.pack("!HH", 0, len(values))
    for value in values:
        text = None if value is None else str(value).encode()
        body += struct.pack("!i", -1) if text is None else struct.pack("!i", len(text)) + text
    return message(b"B", body + struct.pack("!H", 0))


def describe(name: str = "", what: str = "S") -> bytes:
    return message(b"D", what.encode() + cstr(name))


def execute(portal: str = "", rows: int = 0) -> bytes:
    return message(b"E", cstr(portal) + struct.pack("!I", rows))


def close(name: str = "", what: str = "S") -> bytes:
    return message(b"C", what.encode() + cstr(name))


def copy_data(data: bytes) -> bytes:
    return message(b"d", data)


def copy_fail(why: str) -> bytes:
    return message(b"f", cstr(why))


SYNC, FLUSH, COPY_DONE, TERMINATE = message(b"S"), message(b"H"), message(b"c"), message(b"X")


def extended(sql: str, values=()) -> bytes:
    return parse(sql) + bind(values=values) + describe(what="P") + execute() + SYNC


def row_values(body: bytes) -> list:
    count, at, values = struct.unpack("!H", body[:2])[0], 2, []
    for _ in range(count):
        size, at = struct.unpack("!i", body[at:at + 4])[0], at + 4
        values.append(None if size < 0 else body[at:at + size].decode())
        at += max(size, 0)
    return values


def error_fields(body: bytes) -> dict[str, str]:
    return {part[:1].decode(): part[1:].decode() for part in body.split(b"\0") if part}


class Answer(list):
    """Messages (tag, body) in the order they came; notices and ParameterStatus are kept apart."""

    def __init__(self):
        super().__init__()
        self.parameters: list[tuple[str, str]] = []

    @property
    def tags(self) -> str:
        return "".join(tag for tag, _ in self)

    @property
    def rows(self) -> list[list]:
        return [row_values(body) for tag, body in self if tag == "D"]

    @property
    def value(self):
        assert len(self.rows) == 1, f"not one row: {self}"
        return self.rows[0][0]

    @property
    def errors(self) -> list[dict]:
        return [error_fields(body) for tag, body in self if tag == "E"]

    @property
    def sqlstates(self) -> list[str]:
        return [error["C"] for error in self.errors]

    @property
    def status(self) -> str:
        assert self and self[-1][0] == "Z", f"no ReadyForQuery at the end: {self}"
        return self[-1][1].decode()


class Wire:
    """Logged in by SCRAM-SHA-256 as the URL says; with login=False only connected."""

    def __init__(self, url: str, parameters: dict | None = None, timeout: float = 20, login: bool = True):
        parts = urllib.parse.urlsplit(url)
        self.address = (parts.hostname, parts.port)
        self.user = urllib.parse.unquote(parts.username)
        self.password = urllib.parse.unquote(parts.password)
        self.socket = socket.create_connection(self.address, timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = bytearray()
        self.key = (0, b"")
        self.parameters: dict[str, str] = {}
        self.notifications: list[tuple[str, str]] = []
        if login:
            self._log_in({"user": self.user, "database": parts.path.lstrip("/")} | (parameters or {}))

    # --- bytes

    def send(self, *messages: bytes) -> None:
        self.socket.sendall(b"".join(messages))

    def _exactly(self, count: int) -> bytes:
        while len(self.buffer) < count:
            more = self.socket.recv(1 << 20)
            if not more:
                raise ConnectionError(f"closed by the other side, {len(self.buffer)} bytes into a message")
            self.buffer += more
        taken = bytes(self.buffer[:count])
        del self.buffer[:count]
        return taken

    def read(self) -> tuple[str, bytes]:
        header = self._exactly(5)
        return header[:1].decode("latin-1"), self._exactly(struct.unpack("!I", header[1:])[0] - 4)

    def until(self, tags: str = "Z", count: int = 1) -> Answer:
        """Up to the count-th message with one of these tags."""
        answer = Answer()
        while count:
            try:
                tag, body = self.read()
            except ConnectionError as error:
                raise ConnectionError(f"{error}; before that came {answer}") from error
            if tag == "S":
                name, value = (part.decode() for part in body.split(b"\0")[:2])
                self.parameters[name] = value
                answer.parameters.append((name, value))
            elif tag == "A":
                channel, payload = (part.decode() for part in body[4:].split(b"\0")[:2])
                self.notifications.append((channel, payload))
                answer.append((tag, body))
            elif tag != "N":
                answer.append((tag, body))
            count -= tag in tags
        return answer

    def ask(self, *messages: bytes) -> Answer:
        self.send(*messages)
        return self.until()

    def query(self, sql: str) -> Answer:
        return self.ask(query(sql))

    def value(self, sql: str):
        answer = self.query(sql)
        assert not answer.errors, answer.errors
        return answer.value

    def silent_for(self, seconds: float) -> bool:
        if self.buffer:
            return False
        before = self.socket.gettimeout()
        self.socket.settimeout(seconds)
        try:
            self.buffer += self.socket.recv(1)
            return False
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(before)

    def is_closed(self) -> bool:
        """Reads to the end: whatever is said before it does not count."""
        try:
            while self.socket.recv(65536):
                pass
        except ConnectionResetError:
            pass
        return True

    def cancel(self) -> None:
        with socket.create_connection(self.address, 10) as other:
            other.sendall(struct.pack("!III", 16, 80877102, self.key[0]) + self.key[1])
            other.recv(1)

    def close(self) -> None:
        self.socket.close()

    def vanish(self) -> None:
        """No Terminate, no FIN: a reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # --- login

    def _log_in(self, start: dict) -> None:
        body = b"".join(cstr(key) + cstr(value) for key, value in start.items()) + b"\0"
        self.send(struct.pack("!II", len(body) + 8, 196608) + body)
        nonce = base64.b64encode(secrets.token_bytes(18)).decode()
        bare = f"n=,r={nonce}"
        while True:
            tag, body = self.read()
            if tag == "E":
                raise ConnectionError(error_fields(body).get("M"))
            if tag == "S":
                name, value = (part.decode() for part in body.split(b"\0")[:2])
                self.parameters[name] = value
            elif tag == "K":
                self.key = (struct.unpack("!I", body[:4])[0], body[4:])
            elif tag == "Z":
                return
            elif tag == "R":
                kind, rest = struct.unpack("!I", body[:4])[0], body[4:]
                if kind == 10:
                    assert b"SCRAM-SHA-256\0" in rest
                    first = f"n,,{bare}".encode()
                    self.send(message(b"p", cstr("SCRAM-SHA-256") + struct.pack("!I", len(first)) + first))
                elif kind == 11:
                    self.send(message(b"p", self._proof(bare, rest.decode())))
                else:
                    assert kind in (0, 12), f"authentication {kind} is unknown here"

    def _proof(self, bare: str, server_first: str) -> bytes:
        fields = dict(part.split("=", 1) for part in server_first.split(","))
        salted = hashlib.pbkdf2_hmac("sha256", self.password.encode(), base64.b64decode(fields["s"]),
                                     int(fields["i"]))
        client_key = hmac.digest(salted, b"Client Key", "sha256")
        final = f"c=biws,r={fields['r']}"
        signed = f"{bare},{server_first},{final}".encode()
        signature = hmac.digest(hashlib.sha256(client_key).digest(), signed, "sha256")
        proof = bytes(a ^ b for a, b in zip(client_key, signature))
        return f"{final},p={base64.b64encode(proof).decode()}".encode()

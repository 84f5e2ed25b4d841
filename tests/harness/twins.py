"""The same statements twice: through the balancer, and at the primary alone. Both must answer the same."""
import re
import struct

from harness.random_session import NAMESPACE, RESET, Generator
from harness.waiting import wait_until
from harness.wire import COPY_DONE, TERMINATE, Wire, copy_data, error_fields, query

PASSWORD = "twin"
# What "apart" begins with stands in its startup packets, what "together" begins with in its role: a reset in the middle of a
# transaction means the latter (docs/compatibility.md).
SETUP = f"""CREATE ROLE apart LOGIN PASSWORD '{PASSWORD}'; CREATE ROLE together LOGIN PASSWORD '{PASSWORD}'; CREATE ROLE other;
GRANT other TO apart, together;
ALTER ROLE together SET search_path = all_of_us; ALTER ROLE together SET lock_timeout = 400; ALTER ROLE together SET my.x = 'start';"""
RESETS = ("RESET ALL", "RESET search_path")
SESSIONS = 4
# What a client may not see the difference of: where in the server's source an error was raised, and in which frame.
HIDDEN_FIELDS = "FLRW"
SERVERS_NAME = re.compile('prepared statement "[^"]+"')  # the balancer's for it, not the client's


def plain(answer) -> list[tuple]:
    """Without what tells one server from another: object ids, pids, lines of source."""
    out = []
    for tag, body in answer:
        if tag == "T":
            body = columns(body)
        elif tag == "E":
            body = {key: SERVERS_NAME.sub("statement", value) for key, value in error_fields(body).items()
                    if key not in HIDDEN_FIELDS}
            if body["C"] == "25006":  # what must not be done in a read-only transaction: a replica has other words for it
                del body["M"]
        elif tag == "A":
            body = body[4:]
        out.append((tag, body))
    return out


def columns(body: bytes) -> list[tuple]:
    """Names, types, formats: no table's number."""
    out, at = [], 2
    for _ in range(struct.unpack("!H", body[:2])[0]):
        end = body.index(b"\0", at)
        kind, size, modifier, fmt = struct.unpack("!IhiH", body[end + 7:end + 19])
        out.append((body[at:end].decode("latin-1"), kind, size, modifier, fmt))
        at = end + 19
    return out


def is_refused(answer) -> bool:
    """What a READ ONLY transaction may not ask of the replica where it has read (docs/compatibility.md): nothing was done."""
    return any(tag == "E" and error_fields(body)["M"].startswith("cannot do this at the replica") for tag, body in answer)


def readable(what: list) -> list[str]:
    return [one if isinstance(one, str) else f"{chr(one[0])} {one[5:].decode('utf-8', 'replace')!r}" for one in what]


class Session:
    def __init__(self, urls: list[str], parameters: dict):
        self.urls, self.parameters = urls, parameters
        self.wires: list[Wire] = []
        self.open()

    def open(self) -> None:
        self.wires = [Wire(url, self.parameters) for url in self.urls]

    def close(self) -> None:
        for one in self.wires:
            one.send(TERMINATE)
            one.is_closed()
            one.close()
        self.wires = []


class Twins:
    """One round, from its seed."""

    def __init__(self, group, seed: int, shared: bool):
        self.primary, self.replicas, self.balancer = group
        self.seed, self.shared = seed, shared
        self.namespaces = ["all_of_us"] if shared else [f"own{number}" for number in range(SESSIONS)]
        self.urls = [f"postgresql://{'together' if shared else 'apart'}:{PASSWORD}@127.0.0.1:{port}/{database}"
                     for port, database in ((self.balancer.port, "through"), (self.primary.port, "alone"))]
        self.story: list[str] = []
        self.at_replicas = 0
        self.statements = 0

    def make(self) -> None:
        for url in self.urls:
            with Wire(url) as one:
                for name in self.namespaces:
                    for text in (RESET, NAMESPACE):
                        answer = one.query(text.format(name))
                        assert not answer.errors, answer.errors
                answer = one.query("SELECT lo_unlink(oid) FROM pg_largeobject_metadata WHERE lomowner = current_user::regrole")
                assert not answer.errors, answer.errors

    def settle(self) -> None:
        """The replicas have all that was written so far, and the balancer knows."""
        with Wire(self.urls[0]) as canary:
            canary.query("SELECT nextval('public.canary')")
            wait_until(lambda: canary.value("SELECT 1") and canary.query("SHOW pgbalancer.route").rows[0][0] != "primary", 20,
                       "reads go to a replica again")

    def run(self, steps: int) -> None:
        self.make()
        self.settle()
        # A server that has once heard of my.x for another client knows it as empty ever after: here all begin with it.
        sessions = [Session(self.urls, {} if self.shared else {
            "options": f"-c search_path={self.namespaces[number]} -c lock_timeout=400 -c my.x=start", "application_name": "twin"})
            for number in range(SESSIONS)]
        try:
            left_out = () if self.shared else RESETS
            for number, kind, what in Generator(self.seed, SESSIONS, self.namespaces, left_out).steps(steps):
                self.do(sessions[number], number, kind, what)
        finally:
            for session in sessions:
                session.close()

    def do(self, session: Session, number: int, kind: str, what: list) -> None:
        self.story.append(f"{len(self.story)} session {number}: {kind} {readable(what)}")
        if kind == "settle":
            return self.settle()
        if kind == "reconnect":
            return self.reopen(session)
        for request in [[one] for one in what] if kind in ("query", "burst") else [what]:
            self.statements += 1
            try:
                ours, alone = (self.copy(one, *request) if kind == "copy" else self.ask(one, request) for one in session.wires)
            except (OSError, ConnectionError) as error:
                raise AssertionError(self.told(number, f"no answer: {type(error).__name__}: {error}")) from error
            if is_refused(ours):
                return self.reopen(session)
            if plain(ours) != plain(alone):
                raise AssertionError(self.told(number, f"  balancer: {plain(ours)}\n  alone:    {plain(alone)}\n"
                                                       f"  route: {self.route(session)}"))
            if kind == "burst" and alone.status == "I":
                self.at_replicas += self.route(session)[0][0].startswith("replica")

    def reopen(self, session: Session) -> None:
        session.close()
        session.open()
        for one in session.wires:  # a new session need not see what the old one wrote, unless it has written since
            one.query("SELECT nextval('public.canary')")

    def ask(self, one: Wire, request: list[bytes]):
        one.send(*request)
        return one.until(count=sum(message[:1] in b"QS" for message in request))

    def copy(self, one: Wire, sql: str, data: str):
        one.send(query(sql))
        answer = one.until("GZ")
        if answer[-1][0] != "G":
            return answer
        one.send(copy_data(data.encode()), COPY_DONE)
        return answer + one.until()

    def route(self, session: Session):
        return session.wires[0].query("SHOW pgbalancer.route").rows

    def told(self, number: int, what: str) -> str:
        own = [line for line in self.story if re.match(rf"\d+ session {number}:", line)][-40:]
        return (f"PGB_SEED={self.seed}, causal_reads {'global' if self.shared else 'session'}, step {len(self.story) - 1}:\n{what}\n"
                + "\n".join(own) + "\n--- all of the last:\n" + "\n".join(self.story[-12:]))

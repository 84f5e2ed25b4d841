"""A ledger of acknowledged commits: writers through the balancer and at each server itself, as fast as they are answered. What
was acknowledged must be there at the end, at no time may two servers acknowledge in turns, and a session of the balancer reads
what it wrote."""
import dataclasses
import random
import select
import threading
import time

import psycopg2
import psycopg2.extensions

PATIENCE = 3.0  # seconds that a writer waits for one answer
LOGIN = 2.0  # … and for a login; libpq's connect_timeout does not reach what waits here
PAUSE = 0.005  # seconds between an answer and the next commit
READ_LATER = 0.03  # seconds after which what was written is read again, at most
PAUSE_ANEW = 0.02  # … of one who logs in for each
TABLE = "ledger"
ANYWHERE = "/* pgbalancer: replica */"  # a question for a server's name would go to the primary


@dataclasses.dataclass(frozen=True)
class Ack:
    writer: int
    number: int
    port: int  # of the server that acknowledged it, as clients reach it
    sent: float
    came: float


@dataclasses.dataclass(frozen=True)
class Failure:
    writer: int
    when: float
    kind: str  # a SQLSTATE, or what the client saw instead of one: connect, silence, closed
    text: str


class Silent(psycopg2.OperationalError):
    pass


class _Patient(psycopg2.extensions.connection):
    patience = LOGIN


def _wait(connection) -> None:
    """Blocks, but not for ever: an old primary that is cut off answers no commit any more."""
    end = time.monotonic() + getattr(connection, "patience", PATIENCE)
    while True:
        state = connection.poll()
        if state == psycopg2.extensions.POLL_OK:
            return
        reads = [connection.fileno()] if state == psycopg2.extensions.POLL_READ else []
        writes = [connection.fileno()] if state == psycopg2.extensions.POLL_WRITE else []
        left = end - time.monotonic()
        if left <= 0:
            raise Silent("no answer")
        select.select(reads, writes, [], min(left, 0.5))


def _kind(error: psycopg2.Error, connection) -> str:
    if isinstance(error, Silent):
        return "silence"
    return error.pgcode or ("closed" if connection else "connect")


class CommitLedger:
    """`through`: the balancer's URL; `direct`: URL by server. `anew`: how many more writers through the balancer log in for each
    commit. `patience`: seconds that those through the balancer wait for an answer. `whoami`: SQL for a server's name in
    `direct`, or its port. Runs from start() to stop()."""

    def __init__(self, through: str, direct: dict[str, str], writers: int = 3, anew: int = 0, patience: float = PATIENCE,
                 whoami: str = "current_setting('cluster_name')"):
        self.through = through
        self.targets = [through] * (writers + anew) + list(direct.values())
        self.by_balancer = writers + anew
        self.anew = range(writers, writers + anew)
        self.patience = patience
        self.whoami = whoami
        self.ports = {name: int(psycopg2.extensions.parse_dsn(url)["port"]) for name, url in direct.items()}
        self.reads = 0
        self.read_elsewhere = 0  # of them those that another server answered than had acknowledged the commit: a replica
        self.stale: list[tuple[int, int]] = []  # writer and number that its own session did not find
        self.acks: list[Ack] = []
        self.errors: list[Failure] = []
        self._lock = threading.Lock()
        self._ends = threading.Event()
        self._threads: list[threading.Thread] = []

    def make_table(self) -> None:
        connection = psycopg2.connect(self.through)
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(f"DROP TABLE IF EXISTS {TABLE}")
                cursor.execute(f"CREATE TABLE {TABLE} (writer int, number int, PRIMARY KEY (writer, number))")
        finally:
            connection.close()

    def start(self) -> None:
        self.make_table()
        psycopg2.extensions.set_wait_callback(_wait)
        for number, target in enumerate(self.targets):
            self._threads.append(threading.Thread(target=self._write, args=(number, target), daemon=True))
            self._threads[-1].start()

    def stop(self) -> None:
        self._ends.set()
        for thread in self._threads:
            thread.join(max(self.patience, PATIENCE) * 3)
            assert not thread.is_alive(), "a writer hangs"
        psycopg2.extensions.set_wait_callback(None)

    def _write(self, writer: int, target: str) -> None:
        connection, number = None, 0
        pause = PAUSE_ANEW if writer in self.anew else PAUSE
        while not self._ends.is_set():
            number += 1  # one whose answer did not come is in doubt: never used again
            sent = time.monotonic()
            try:
                if connection is None:
                    connection = psycopg2.connect(target, connection_factory=_Patient)
                    connection.patience = self.patience if writer < self.by_balancer else PATIENCE
                    connection.autocommit = True
                with connection.cursor() as cursor:
                    cursor.execute(f"INSERT INTO {TABLE} VALUES (%s, %s) RETURNING {self.whoami}", (writer, number))
                    port = self._port(cursor.fetchone()[0])
                with self._lock:
                    self.acks.append(Ack(writer, number, port, sent, time.monotonic()))
                if writer in self.anew:
                    connection.close()
                    connection = None
                elif writer < self.by_balancer:
                    self._read_back(connection, writer, number, port)
            except psycopg2.Error as error:
                with self._lock:
                    self.errors.append(Failure(writer, time.monotonic(), _kind(error, connection), str(error).strip()))
                read_only = isinstance(error, psycopg2.errors.ReadOnlySqlTransaction)
                if connection is not None and not read_only:
                    connection.close()
                    connection = None
                time.sleep(0.05)
            time.sleep(pause)

    def _port(self, server) -> int:
        """0: of one that was added later."""
        return self.ports.get(server, 0) if self.ports else int(server)

    def _read_back(self, connection, writer: int, number: int, written_at: int) -> None:
        """At once, when hardly any replica can have it, and a little later, when the balancer may just have learnt that one has."""
        for pause in (0, random.uniform(0, READ_LATER)):
            time.sleep(pause)
            with connection.cursor() as cursor:
                cursor.execute(f"{ANYWHERE} SELECT {self.whoami}, EXISTS (SELECT FROM {TABLE} WHERE writer = %s AND number = %s)",
                               (writer, number))
                server, there = cursor.fetchone()
            with self._lock:
                self.reads += 1
                self.read_elsewhere += self._port(server) != written_at
                if not there:
                    self.stale.append((writer, number))

    def count(self) -> int:
        with self._lock:
            return len(self.acks)

    def count_at_replicas(self) -> int:
        with self._lock:
            return self.read_elsewhere

    def count_through_balancer(self) -> int:
        with self._lock:
            return sum(ack.writer < self.by_balancer for ack in self.acks)

    def last_port(self) -> int:
        """Of the server that acknowledged last what came through the balancer."""
        with self._lock:
            return max((ack for ack in self.acks if ack.writer < self.by_balancer), key=lambda ack: ack.came).port

    def goes_on_since(self, moment: float, through: bool = True) -> bool:
        """Was anything that was sent after it acknowledged, through the balancer or, if not `through`, to somebody else?"""
        with self._lock:
            return any(ack.sent > moment and (ack.writer < self.by_balancer) == through for ack in reversed(self.acks))

    def gap(self, since: float, writers=None, until: float | None = None) -> float:
        """The longest time after `since`, and before `until`, in which none of these writers got an acknowledgement; nobody through the
        balancer, if none are named."""
        with self._lock:
            times = sorted(ack.came for ack in self.acks if ack.came >= since
                           and (ack.writer < self.by_balancer if writers is None else ack.writer in writers))
        if until is not None:
            times = [*(came for came in times if came < until), until]
        return max((later - earlier for earlier, later in zip([since, *times], times)), default=float("inf"))

    def told_through_balancer(self, since: float) -> list[str]:
        """The errors that clients of the balancer got."""
        with self._lock:
            return [error.text for error in self.errors if error.when >= since and error.writer < self.by_balancer]

    def owners(self) -> list[int]:
        """The ports of those that acknowledged, one after the other."""
        owners: list[int] = []
        for ack in sorted(self.acks, key=lambda ack: ack.came):
            if not owners or owners[-1] != ack.port:
                owners.append(ack.port)
        return owners

    def turned_back(self, since: float = 0) -> list[Ack]:
        """Commits that a server acknowledged though they were begun when another one, which had begun later, already had
        acknowledged some: two primaries, or a role that came back. Only of those that were begun after `since`."""
        first_sent: dict[int, float] = {}
        first_came: dict[int, float] = {}
        found = []
        for ack in sorted((ack for ack in self.acks if ack.sent >= since), key=lambda ack: ack.came):
            first_sent.setdefault(ack.port, ack.sent)
            first_came.setdefault(ack.port, ack.came)
            if any(first_sent[port] > first_came[ack.port] and came < ack.sent for port, came in first_came.items() if port != ack.port):
                found.append(ack)
        return found

    def lost(self, url: str) -> list[Ack]:
        connection = psycopg2.connect(url, connect_timeout=5)
        try:
            with connection.cursor() as cursor:
                cursor.execute(f"SELECT writer, number FROM {TABLE}")
                there = set(cursor.fetchall())
        finally:
            connection.close()
        return [ack for ack in self.acks if (ack.writer, ack.number) not in there]

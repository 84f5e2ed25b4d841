"""A ledger of acknowledged commits: writers through the balancer and at each server itself, as fast as they are answered. What
was acknowledged must be there at the end, and at no time may two servers acknowledge in turns."""
import dataclasses
import select
import threading
import time

import psycopg2
import psycopg2.extensions

PATIENCE = 3.0  # seconds that a writer waits for one answer
TABLE = "ledger"


@dataclasses.dataclass(frozen=True)
class Ack:
    writer: int
    number: int
    port: int  # of the server that acknowledged it
    sent: float
    came: float


class Silent(psycopg2.OperationalError):
    pass


def _wait(connection) -> None:
    """Blocks, but not for ever: an old primary that is cut off answers no commit any more."""
    end = time.monotonic() + PATIENCE
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


class CommitLedger:
    """`through`: the balancer's URL; `direct`: URL by server. Runs from start() to stop()."""

    def __init__(self, through: str, direct: dict[str, str], writers: int = 3):
        self.through = through
        self.targets = [through] * writers + list(direct.values())
        self.by_balancer = writers
        self.acks: list[Ack] = []
        self.errors: list[tuple[float, int, str]] = []  # when, which writer, what it was told
        self._lock = threading.Lock()
        self._ends = threading.Event()
        self._threads: list[threading.Thread] = []

    def make_table(self) -> None:
        connection = psycopg2.connect(self.through)
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
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
            thread.join(PATIENCE * 3)
            assert not thread.is_alive(), "a writer hangs"
        psycopg2.extensions.set_wait_callback(None)

    def _write(self, writer: int, target: str) -> None:
        connection, number = None, 0
        while not self._ends.is_set():
            number += 1  # one whose answer did not come is in doubt: never used again
            sent = time.monotonic()
            try:
                if connection is None:
                    connection = psycopg2.connect(target, connect_timeout=2)
                    connection.autocommit = True
                with connection.cursor() as cursor:
                    cursor.execute(f"INSERT INTO {TABLE} VALUES (%s, %s) RETURNING inet_server_port()", (writer, number))
                    port = cursor.fetchone()[0]
                with self._lock:
                    self.acks.append(Ack(writer, number, port, sent, time.monotonic()))
            except psycopg2.Error as error:
                with self._lock:
                    self.errors.append((time.monotonic(), writer, str(error).strip()))
                read_only = isinstance(error, psycopg2.errors.ReadOnlySqlTransaction)
                if connection is not None and not read_only:
                    connection.close()
                    connection = None
                time.sleep(0.05)
            time.sleep(0.005)

    def count(self) -> int:
        with self._lock:
            return len(self.acks)

    def count_through_balancer(self) -> int:
        with self._lock:
            return sum(ack.writer < self.by_balancer for ack in self.acks)

    def last_port(self) -> int:
        with self._lock:
            return max(self.acks, key=lambda ack: ack.came).port

    def gap(self, since: float) -> float:
        """The longest time after `since` without an acknowledgement through the balancer."""
        with self._lock:
            times = sorted(ack.came for ack in self.acks if ack.came >= since and ack.writer < self.by_balancer)
        return max((later - earlier for earlier, later in zip([since, *times], times)), default=float("inf"))

    def told_through_balancer(self, since: float) -> list[str]:
        """The errors that clients of the balancer got."""
        with self._lock:
            return [text for when, writer, text in self.errors if when >= since and writer < self.by_balancer]

    def owners(self) -> list[int]:
        """The ports of those that acknowledged, one after the other."""
        owners: list[int] = []
        for ack in sorted(self.acks, key=lambda ack: ack.came):
            if not owners or owners[-1] != ack.port:
                owners.append(ack.port)
        return owners

    def lost(self, url: str) -> list[Ack]:
        connection = psycopg2.connect(url, connect_timeout=5)
        try:
            with connection.cursor() as cursor:
                cursor.execute(f"SELECT writer, number FROM {TABLE}")
                there = set(cursor.fetchall())
        finally:
            connection.close()
        return [ack for ack in self.acks if (ack.writer, ack.number) not in there]

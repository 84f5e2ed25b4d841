"""What operators look with, each a program or library of its own, asked again and again while something happens."""
import contextlib
import json
import os
import shutil
import subprocess
import threading
import time

import psycopg2

from harness.rest import exchange


def run(*command, feed: str | None = None, **environment) -> str:
    """What it prints; it must have nothing to complain of."""
    done = subprocess.run([str(word) for word in command], input=feed, capture_output=True, text=True, timeout=40, check=False,
                          env=os.environ | environment)
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


def curl(port: int, token: str, path: str) -> dict:
    return json.loads(run("curl", "-sS", "-f", "-H", f"Authorization: Bearer {token}", f"http://127.0.0.1:{port}{path}"))


def metrics(port: int, token: str) -> str:
    answer = exchange(port, "GET", "/metrics", {"Authorization": f"Bearer {token}"})
    assert answer.status == 200, answer
    return answer.body.decode()


def checked_metrics(port: int, token: str) -> str:
    """As promtool finds them right."""
    text = metrics(port, token)
    assert run("promtool", "check", "metrics", feed=text) == ""
    return text


def value(text: str, series: str) -> float:
    [line] = [line for line in text.splitlines() if line.startswith(series + " ")]
    return float(line.rsplit(" ", 1)[1])


def exporter_of_debian(url: str) -> dict[str, float]:
    """Two collectors of the package prometheus-pgbouncer-exporter. Its others ask for columns that PgBouncer has no more."""
    from prometheus_pgbouncer_exporter.collectors import ListsCollector, PoolsCollector  # noqa: PLC0415
    with contextlib.closing(psycopg2.connect(url, connect_timeout=20)) as connection:
        connection.autocommit = True
        found = [*ListsCollector(connection=connection).collect(), *PoolsCollector(connection=connection, databases=None).collect()]
    return {sample.name: float(sample.value) for family in found for sample in family.samples}


class Watcher:
    """Asks one tool in a thread of its own, until the block ends; what it said is kept with the time of its end."""

    def __init__(self, name: str, ask):
        self.name, self.ask = name, ask
        self.told: list[tuple[float, object]] = []
        self.longest = 0.0
        self.trouble: BaseException | None = None
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self) -> None:
        while not self.stop.is_set():
            began = time.monotonic()
            try:
                told = self.ask()
            except BaseException as trouble:  # noqa: BLE001 - told by the test's own thread
                self.trouble = trouble
                return
            self.told.append((time.monotonic(), told))
            self.longest = max(self.longest, time.monotonic() - began)
            self.stop.wait(0.05)

    def since(self, moment: float) -> list:
        return [told for at, told in self.told if at >= moment]

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()


def missing() -> list[str]:
    return [name for name in ("promtool", "curl", "psql") if not shutil.which(name)]

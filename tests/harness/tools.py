"""What operators look with, each a program or library of its own, asked again and again while something happens."""
import json
import os
import shutil
import subprocess
import tempfile
import threading
import time

from harness.free_ports import free_block
from harness.rest import exchange
from harness.waiting import wait_until


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


class Exporter:
    """Debian's package prometheus-pgbouncer-exporter, as a process that connects by itself: to a database whose name it has built in.

    It asks for columns that PgBouncer itself has no more (`total_requests`, `reserve_pool`) and ends over each row without them, so it is
    told to look at a database that nobody uses; what it tells then are the LISTS."""
    PROGRAM = "prometheus-pgbouncer-exporter"

    def __init__(self, balancer_port: int, user: str, password: str):
        self.port = free_block(1)
        self.log = tempfile.TemporaryFile(mode="w+")
        self.process = subprocess.Popen(
            [self.PROGRAM, "--host", "127.0.0.1", "--port", str(self.port), "--pgbouncer-host", "127.0.0.1", "--pgbouncer-port",
             str(balancer_port), "--pgbouncer-user", user, "--database", "nobody_uses_it"],
            env=os.environ | {"PGPASSWORD": password, "PGCONNECT_TIMEOUT": "20"}, stdout=self.log, stderr=self.log)

    def told(self) -> str:
        self.log.seek(0)
        return self.log.read()

    def numbers(self) -> dict[str, float]:
        assert self.process.poll() is None, self.told()
        answer = exchange(self.port, "GET", "/metrics")
        assert answer.status == 200, (answer, self.told())
        found = [line.rsplit(" ", 1) for line in answer.body.decode().splitlines() if line.startswith("pgbouncer_")]
        return {series: float(number) for series, number in found}

    def wait_serves(self) -> "Exporter":
        wait_until(lambda: self.process.poll() is not None or self.numbers(), 30, "the exporter answers")
        assert self.process.poll() is None, self.told()
        return self

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(20)
        self.log.close()


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

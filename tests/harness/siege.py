"""A balancer that is besieged at its ports while clients' transactions go on, and who besieges it."""
import contextlib
import hashlib
import os
import re
import resource
import socket
import subprocess
import threading

import psycopg2

from harness.alone import newest_bin, standing_group
from harness.free_ports import free_block
from harness.waiting import wait_until

RATE = 300  # transactions a second that are due
SECONDS = 3
KEPT = 0.9  # of those that are due
QUIET = 0.95  # likewise: a machine that does less by itself shows nothing


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


@contextlib.contextmanager
def besieged():
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
    """Goes on in threads until the block ends. `wires`: what it keeps open, and how many of them make an attack."""

    def __init__(self, work, threads: int = 4, wires: list | None = None, enough: int = 0):
        self.work, self.count = work, 0
        self.wires, self.enough = wires if wires is not None else [], enough
        self.stop = threading.Event()
        self.turns = [threading.Lock() for _ in range(threads)]
        self.threads = [threading.Thread(target=self.run, args=[turn]) for turn in self.turns]

    def run(self, turn: threading.Lock) -> None:
        while not self.stop.is_set():
            with turn, contextlib.suppress(OSError):
                self.work()
            self.count += 1
            self.stop.wait(0.01)

    @contextlib.contextmanager
    def gone(self):
        """Nothing is sent, and nothing is open."""
        with contextlib.ExitStack() as turns:
            for turn in self.turns:
                turns.enter_context(turn)
            for wire in self.wires:
                wire.close()
            self.wires.clear()
            yield
        wait_until(lambda: len(self.wires) >= self.enough, 30, "the attack goes on")

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join()


def assert_untouched(site, what: str, attack: Attack) -> None:
    """Others may be at work on this machine: it is looked at again only if too few were done without any of it, too."""
    told = []
    for _ in range(3):
        share = site.done_in_time()
        if share >= KEPT:
            return
        with attack.gone():
            quiet = site.done_in_time()
        told.append(f"{share:.1%}, without {quiet:.1%}")
        assert quiet < QUIET, f"{what}: of the transactions were done in time: {told}"
    raise AssertionError(f"{what}: this machine is too slow to tell: {told}")

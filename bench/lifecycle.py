#!/usr/bin/env python3
"""Times the life cycle of the example cluster beside the bare PostgreSQL tools doing the least that is
needed for the same servers: initdb, start, two parallel pg_basebackup, start of both.

usage: lifecycle.py [--runs N] [--runtime process|docker] [--no-failover] [BIN_DIR]

Both sides take turns, so that a busy moment of the machine meets both. As root the bare tools run as the
user postgres, as ours do. With --runtime docker the engine is the one that DOCKER_HOST names."""
import argparse
import concurrent.futures
import os
import pathlib
import pwd
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from harness.free_ports import free_block  # noqa: E402
from harness.sandbox import Sandbox  # noqa: E402

# Seconds; of "init" a multiple of the floor. None: no bound is set.
BOUNDS = {"process": {"init": ("x floor", 2.0)}, "docker": {"init": ("s", 4.0)}}
COMMON = {"destroy": ("s", 1.5), "status": ("s", 0.150), "validate": ("s", 0.020), "second init": ("s", 1.0)}


def server_programs() -> pathlib.Path:
    found = [p.parent for p in pathlib.Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if not found:
        sys.exit("no PostgreSQL server programs under /usr/lib/postgresql")
    return max(found, key=lambda p: float(p.parent.name))


class BareTools:
    """The floor: what any tool must at least wait for."""

    def __init__(self):
        self.programs = server_programs()
        self.user = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="pgb-floor-", dir="/tmp"))
        if self.user:
            os.chown(self.folder, self.user.pw_uid, self.user.pw_gid)
        self.port = free_block(3)
        self.started: list[pathlib.Path] = []

    def run(self, program: str, *arguments) -> None:
        as_user = {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []} if self.user else {}
        with (self.folder.parent / f"{self.folder.name}.log").open("a") as log:
            subprocess.run([str(self.programs / program), *map(str, arguments)], check=True, cwd="/", stdout=log,
                           stderr=log, stdin=subprocess.DEVNULL, **as_user)

    def start(self, data: pathlib.Path, port: int) -> None:
        self.started.append(data)
        self.run("pg_ctl", "-D", data, "-w", "-l", f"{data}.log", "-o",
                 f"-p {port} -c listen_addresses=127.0.0.1 -k {self.folder}", "start")

    def replica(self, number: int) -> None:
        data = self.folder / f"replica{number}"
        self.run("pg_basebackup", "-h", "127.0.0.1", "-p", self.port, "-U", "postgres", "-D", data, "-R", "-X", "stream",
                 "-c", "fast", "-C", "-S", f"replica{number}")
        self.start(data, self.port + number)

    def make(self) -> None:
        primary = self.folder / "primary"
        self.run("initdb", "-D", primary, "-U", "postgres", "-A", "trust")
        self.start(primary, self.port)
        with concurrent.futures.ThreadPoolExecutor() as pool:
            list(pool.map(self.replica, (1, 2)))

    def end(self) -> None:
        for data in reversed(self.started):
            try:
                self.run("pg_ctl", "-D", data, "-m", "immediate", "stop")
            except subprocess.CalledProcessError:
                pass
        shutil.rmtree(self.folder, ignore_errors=True)
        (self.folder.parent / f"{self.folder.name}.log").unlink(missing_ok=True)


def timed(work) -> float:
    begin = time.monotonic()
    work()
    return time.monotonic() - begin


def floor() -> float:
    bare = BareTools()
    try:
        return timed(bare.make)
    finally:
        bare.end()


def ours(runtime: str, failover: bool) -> dict[str, float]:
    with Sandbox(runtime, os.environ.get("DOCKER_HOST") if runtime == "docker" else None) as cluster:
        cluster.document["ha"] = {"failover": failover}
        cluster.write()
        times = {"validate": timed(lambda: cluster.run("validate")),
                 "init": timed(lambda: cluster.run("init")),
                 "second init": timed(lambda: cluster.run("init")),
                 "status": timed(lambda: cluster.run("status"))}
        cluster.kill_unit("replica2")
        times["status, one node dead"] = timed(lambda: cluster.run("status"))
        times["destroy"] = timed(lambda: cluster.run("--destroy"))
        left = cluster.left()
        assert not left, left
        return times


def verdict(name: str, seconds: float, base: float, bounds: dict) -> str:
    if name not in bounds:
        return ""
    unit, limit = bounds[name]
    value = seconds / base if unit == "x floor" else seconds
    return f"{'ok' if value <= limit else 'MISSED'}: at most {limit:g} {unit}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--runtime", choices=["process", "docker"], default="process")
    parser.add_argument("--no-failover", action="store_true", help="roles stay those of the file")
    parser.add_argument("bin_dir", nargs="?", default=str(ROOT / "build" / "bin"))
    arguments = parser.parse_args()
    os.environ["PGB_BIN"] = str(pathlib.Path(arguments.bin_dir).resolve())
    floors, runs = [], []
    for _ in range(arguments.runs):
        floors.append(floor())
        runs.append(ours(arguments.runtime, not arguments.no_failover))
    base = statistics.median(floors)
    bounds = BOUNDS[arguments.runtime] | COMMON | {"status, one node dead": ("s", 0.400)}
    print(f"python3 bench/lifecycle.py --runs {arguments.runs} --runtime {arguments.runtime}{' --no-failover' if arguments.no_failover else ''} {arguments.bin_dir}")
    print(f"PostgreSQL {server_programs().parent.name} for the floor, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
          f"median of {arguments.runs} (least - most)\n")
    print(f"{'':24}{'seconds':>9}{'':>18}{'x floor':>9}")
    print(f"{'bare tools (floor)':24}{base:9.3f}{f'({min(floors):.3f} - {max(floors):.3f})':>18}{1:9.2f}")
    for name in ("validate", "init", "second init", "status", "status, one node dead", "destroy"):
        times = [run[name] for run in runs]
        middle = statistics.median(times)
        print(f"{name:24}{middle:9.3f}{f'({min(times):.3f} - {max(times):.3f})':>18}{middle / base:9.2f}  "
              f"{verdict(name, middle, base, bounds)}".rstrip())
    return 0


if __name__ == "__main__":
    sys.exit(main())

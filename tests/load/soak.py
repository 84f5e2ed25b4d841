#!/usr/bin/python3
"""Mixed load for a long time, with memory measured: it must not grow.

  soak.py [--minutes 20] [--out DIR] [--seed N]

Short and long queries in both protocols, prepared statements, transactions, COPY, cancel requests, errors, TLS, clients that
come and go or vanish, a reload each minute, a replica that crashes every three. DIR gets soak.csv and soak.svg. Exit 1 if the
balancer's memory or its descriptors grow in the second half by more than stated below, or a client gets an error that it did
not ask for and that no crash of a replica explains."""
import argparse
import collections
import multiprocessing
import os
import pathlib
import random
import re
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from harness.group import Group  # noqa: E402
from harness.tls_site import Certificates  # noqa: E402
from harness.waiting import wait_until  # noqa: E402
from load.plot import growth, write_csv, write_svg  # noqa: E402
from load.soak_client import KINDS, SET_UP, live  # noqa: E402

PROCESSES = 3
CLIENTS_OF_A_KIND = 6
POOL = 8
EVERY = 5.0          # seconds between samples
RELOAD_EVERY = 60.0  # seconds
CRASH_EVERY = 180.0
MOST_KB = 2048        # that the memory may grow in the second half, by the line that fits best
MOST_DESCRIPTORS = 8  # likewise
COLUMNS = ["rss_kb", "descriptors", "clients", "servers", "kb_per_s", "cpu_percent"]


def crowd(url: str, seed: int, numbers: range, until: float, disturbed, results) -> None:
    kinds = list(KINDS)
    counts: collections.Counter = collections.Counter()
    threads = [threading.Thread(target=live, args=(url, kinds[n % len(kinds)], random.Random(f"{seed}/{n}"), until, disturbed,
                                                   counts, results)) for n in numbers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    results.put(("counts", dict(counts)))


class Sampler:
    def __init__(self, balancer):
        self.balancer, self.began, self.rows = balancer, time.monotonic(), []
        self.before = (self.began, 0.0, 0.0)

    def sample(self) -> None:
        proc = pathlib.Path(f"/proc/{self.balancer.process.pid}")
        now, status = time.monotonic(), self.balancer.ask("status")
        fields = (proc / "stat").read_text().rpartition(") ")[2].split()
        cpu = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        then, moved, used = self.before
        through = (status["bytes_from_clients"] + status["bytes_from_servers"]) / 1024
        span = max(now - then, 0.001)
        self.rows.append({
            "seconds": round(now - self.began, 1),
            "rss_kb": int(re.search(r"VmRSS:\s+(\d+)", (proc / "status").read_text()).group(1)),
            "descriptors": len(list((proc / "fd").iterdir())), "clients": status["clients"], "servers": status["servers"],
            "kb_per_s": round((through - moved) / span),
            "cpu_percent": round(100 * (cpu - used) / span, 1)})
        self.before = (now, through, cpu)


class Trouble:
    """A reload each minute, and a replica that crashes now and then; clients read in `disturbed` until when that excuses an error."""

    def __init__(self, group: Group, disturbed):
        self.group, self.disturbed = group, disturbed
        self.reload_at = time.monotonic() + RELOAD_EVERY
        self.crash_at = time.monotonic() + CRASH_EVERY / 2
        self.reloads = self.crashes = 0
        self.down = None

    def stir(self) -> None:
        now = time.monotonic()
        if now >= self.reload_at:
            self.reload_at += RELOAD_EVERY
            self.reloads += 1
            self.group.balancer.config["pool_size"] = POOL + self.reloads % 2
            self.group.balancer.reload()
        if self.down:
            self.down.start()
            wait_until(self.group.all_healthy, 60, "the replica is there again")
            self.disturbed.value = time.monotonic() + 5
            self.down = None
        elif now >= self.crash_at:
            self.crash_at += CRASH_EVERY
            self.crashes += 1
            self.disturbed.value = now + 3600
            self.down = self.group.servers[1 + self.crashes % 2]
            self.down.stop()


def drain(results, errors: list, totals: collections.Counter) -> int:
    ended = 0
    while not results.empty():
        kind, what = results.get()
        if kind == "counts":
            totals.update(what)
            ended += 1
        else:
            errors.append(f"{kind}: {what}")
    return ended


def run(seconds: float, seed: int, out: pathlib.Path) -> tuple[list[dict], list[str], dict]:
    with Group(2, "max_connections = 100\n") as group:
        certificates = Certificates(group.folder.path)
        certificates.authority("authority")
        certificates.sign("balancer", by="authority")
        balancer = group.serve(pool_size=POOL, max_clients=400, tls_cert_file=certificates.crt("balancer"),
                               tls_key_file=certificates.key("balancer"))
        group.primary.sql(SET_UP)
        context = multiprocessing.get_context("fork")
        disturbed, results = context.Value("d", 0.0), context.Queue()
        until = time.monotonic() + seconds
        clients = len(KINDS) * CLIENTS_OF_A_KIND
        processes = [context.Process(target=crowd, args=(balancer.url("postgres"), seed, range(first, clients, PROCESSES), until,
                                                         disturbed, results)) for first in range(PROCESSES)]
        for process in processes:
            process.start()
        errors: list[str] = []
        totals: collections.Counter = collections.Counter()
        sampler, trouble, ended = Sampler(balancer), Trouble(group, disturbed), 0
        try:
            while ended < PROCESSES and not errors:
                assert time.monotonic() < until + 60, "clients hang"
                if time.monotonic() < until:
                    sampler.sample()
                    write_csv(out / "soak.csv", sampler.rows)
                    trouble.stir()
                    time.sleep(max(0.0, min(EVERY, until - time.monotonic())))
                else:
                    time.sleep(0.2)
                ended += drain(results, errors, totals)
        finally:
            for process in processes:
                process.kill()
                process.join()
        return sampler.rows, errors, dict(totals) | {"reloads": trouble.reloads, "crashes": trouble.crashes}


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "build" / "soak")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    print(f"seed {options.seed}; samples in {options.out}", flush=True)
    rows, errors, totals = run(options.minutes * 60, options.seed, options.out)
    write_svg(options.out / "soak.svg", rows, COLUMNS)
    for what, count in sorted(totals.items()):
        print(f"{what:28} {count:10}")
    half = rows[len(rows) // 2]
    memory, descriptors = growth(rows, "rss_kb"), growth(rows, "descriptors")
    print(f"memory: {rows[0]['rss_kb']} kB at first, {half['rss_kb']} at half time, {rows[-1]['rss_kb']} at the end; in the second "
          f"half it grew by {memory:.0f} kB (at most {MOST_KB})")
    print(f"descriptors: {half['descriptors']} at half time, grew by {descriptors:.1f} (at most {MOST_DESCRIPTORS})")
    print("\n".join(errors[:10]))
    return 1 if errors or memory > MOST_KB or descriptors > MOST_DESCRIPTORS else 0


if __name__ == "__main__":
    sys.exit(main())

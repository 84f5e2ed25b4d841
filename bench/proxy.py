#!/usr/bin/env python3
"""Compares pgbalancer with other proxies for PostgreSQL on this machine: PgBouncer (one process, and two
that share a port), Odyssey, pgpool-II, HAProxy, and no proxy at all.

All do the same work in turns, so that a busy moment of the machine meets every one. The servers and the
peers come from a Debian sid root file system that is made once (root, debootstrap and a Debian mirror
needed) in ${PGB_CACHE:-/var/cache/pgbalancer}/bench-sid. Clients, proxies and servers share the
processors here, so only ratios between the rows mean anything."""
import argparse
import dataclasses
import json
import math
import os
import pathlib
import platform
import re
import resource
import signal
import statistics
import subprocess
import sys
import time

from debian_root import Failed
from proxy_peers import DATABASE, PASSWORD, PEERS, POOL, USER, Direct, Peer, Server, client_env, make_certificate
from proxy_root import Workplace, cpu_seconds, pss_bytes, rss_bytes
from proxy_wire import Refused, WireClient

SCALE = 10
BASE = "pgbouncer"
MODES = ("simple", "extended", "prepared")
SECTIONS = (*MODES, "many", "reconnect", "copy", "idle", "tls", "split")
CONNECT_SECONDS = {True: 0.03, False: 0.005}  # for a client; True: it gets a server of its own
STATISTICS_SECONDS = 10.5  # until servers without work have told their counters
SESSION_IDLE = 250  # of proxies that keep a server for every client
MANY = 2000  # clients of the section "many"


@dataclasses.dataclass
class Cell:
    """One thing to measure: a row of every peer's table."""
    section: str
    title: str
    clients: int
    arguments: list[str] = dataclasses.field(default_factory=list)  # of pgbench
    tls: bool = False
    copy: str = ""  # "out" or "in"


def megabytes(count: float) -> float:
    return count / 1e6


class Benchmark:
    def __init__(self, options: argparse.Namespace, place: Workplace):
        self.options, self.place = options, place
        self.notes: list[str] = []
        self.records: list[dict] = []
        self.peers: list[Peer] = []
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self.idle = options.idle or (10000 if hard >= 10500 else 2000)
        if not options.idle and self.idle < 10000:
            self.note(f"{self.idle} idle clients instead of 10000 (limit of open files: {hard})")
        self.most_clients = max(self.idle, MANY, *options.clients) + 500
        self.primary = Server(place, "primary", 3 * max(options.clients + [SESSION_IDLE]) + 350)
        self.copy_file = place.folder / "copy.tsv"

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)
            print(f"! {text}", flush=True)

    # Peers.

    def launch(self, kinds: list[str], servers: list[Server]) -> list[Peer]:
        peers = []
        for kind in kinds:
            peer = PEERS[kind](self.place, servers, self.most_clients, self.options.build)
            try:
                peer.start()
                peers.append(peer)
            except Failed as wrong:
                self.note(f"{wrong}; it is left out")
        return peers

    def still_there(self, peer: Peer, doing: str) -> bool:
        if peer.alive():
            return True
        codes = [p.popen.poll() for p in peer.processes]
        self.note(f"{peer.title} ended (exit codes {codes}) at {doing}: {peer.last_line()}")
        peer.stop()
        try:
            peer.start()
        except Failed as wrong:
            self.note(f"{wrong}; it is left out")
            self.peers.remove(peer)
        return False

    # Measuring.

    def pgbench(self, peer: Peer, cell: Cell) -> dict:
        folder = self.place.folder / "latencies"
        folder.mkdir(exist_ok=True)
        os.chown(folder, self.place.uid, self.place.gid)
        threads = min(cell.clients, os.cpu_count() or 1)
        # pgbench counts the time in which it connects as part of -T, and a new server is slow at first.
        allowance = math.ceil(cell.clients * CONNECT_SECONDS[peer.sessions])
        seconds = self.options.seconds + allowance
        argv = ["pgbench", "-n", "-c", str(cell.clients), "-j", str(threads), "-T", str(seconds), "--log",
                f"--log-prefix={self.place.inside(folder)}/log", *cell.arguments]
        if cell.clients > 1 and "-C" not in cell.arguments:
            argv.append("--sampling-rate=0.2")
        before = cpu_seconds(peer.pids())
        done = self.place.run(argv, seconds=seconds + 60, env=client_env(peer.port, cell.tls))
        used = cpu_seconds(peer.pids()) - before
        memory = rss_bytes(peer.pids())
        latencies = []
        for log in folder.iterdir():
            latencies += [int(line.split()[2]) for line in log.read_text().splitlines() if line.split()[2].isdigit()]
            log.unlink()

        def said(pattern: str, default: float = 0) -> float:
            found = re.search(pattern, done.stdout or "")
            return float(found[1]) if found else default

        count = said(r"transactions actually processed: (\d+)")
        failed = int(said(r"failed transactions: (\d+)"))
        aborted = len(re.findall(r"client \d+ (?:script \d+ )?aborted", done.stderr or ""))
        result = {"tps": said(r"tps = ([\d.]+)"), "mean_ms": said(r"latency average = ([\d.]+)"), "transactions": count,
                  "failed": failed + aborted, "rss_mb": megabytes(memory),
                  "connect_ms": said(r"initial connection time = ([\d.]+)")}
        if len(latencies) >= 2:
            result["p99_ms"] = statistics.quantiles(latencies, n=100)[98] / 1000
        if count and peer.pids():
            result["cpu_us"] = used * 1e6 / count
        if done.returncode == 0 and not count:
            self.note(f"{peer.title}, {cell.title}: connecting took all the time ({result['connect_ms']:.0f} ms)")
        if done.returncode != 0 or failed or aborted:
            lines = [line for line in (done.stderr or "").splitlines() if re.search("error|fatal|no end", line, re.I)]
            result["error"] = (lines or [f"exit code {done.returncode}"])[0][:300]
            self.note(f"{peer.title}, {cell.title}: {failed} failed, {aborted} clients aborted: {result['error']}; "
                      f"its log: {peer.last_line() if peer.processes else '-'}")
        return result

    def copy(self, peer: Peer, cell: Cell) -> dict:
        size = self.options.copy_mb * 1_000_000
        psql = ["psql", "-Xq", "-v", "ON_ERROR_STOP=1"]
        if cell.copy == "out":
            rows = size // 1000
            argv = [*psql, "-c", f"COPY (SELECT repeat('x', 999) FROM generate_series(1, {rows})) TO STDOUT"]
            source, target = subprocess.DEVNULL, subprocess.DEVNULL
        else:
            if not self.copy_file.exists():
                line = b"x" * 999 + b"\n"
                with self.copy_file.open("wb") as out:
                    for _ in range(self.options.copy_mb):
                        out.write(line * 1000)
            argv = [*psql, "-c", "TRUNCATE sink", "-c", "COPY sink FROM STDIN"]
            source, target = self.copy_file.open("rb"), subprocess.PIPE
        before, start = cpu_seconds(peer.pids()), time.monotonic()
        done = self.place.run(argv, env=client_env(peer.port), stdin=source, stdout=target)
        took, used = time.monotonic() - start, cpu_seconds(peer.pids()) - before
        if cell.copy == "in":
            source.close()
            self.primary.sql("TRUNCATE sink", DATABASE)
        result = {"failed": 0, "rss_mb": megabytes(rss_bytes(peer.pids()))}
        if done.returncode != 0:
            result |= {"failed": 1, "error": (done.stderr or "").strip()[-300:]}
            self.note(f"{peer.title}, {cell.title}: {result['error']}; "
                      f"its log: {peer.last_line() if peer.processes else '-'}")
            return result
        result["mb_s"] = size / 1e6 / took
        if peer.pids():
            result["cpu_ms_mb"] = used * 1000 / (size / 1e6)
        return result

    def one(self, peer: Peer, cell: Cell, servers: list[Server], share: bool) -> dict:
        through = cell.tls and peer.tls == "through"
        if through:
            self.server_tls(True)
        before = [s.transactions() for s in servers] if share else []
        result = self.copy(peer, cell) if cell.copy else self.pgbench(peer, cell)
        if through:
            self.server_tls(False)
        if before:
            time.sleep(STATISTICS_SECONDS)
            done = [s.transactions() - b for s, b in zip(servers, before)]
            result["replica_share"] = sum(done[1:]) / max(1, sum(done))
        return result

    def server_tls(self, on: bool) -> None:
        self.primary.sql(f"ALTER SYSTEM SET ssl = {'on' if on else 'off'}")
        self.primary.sql("SELECT pg_reload_conf()")
        deadline = time.monotonic() + 10
        while self.primary.sql("SHOW ssl") != ("on" if on else "off") and time.monotonic() < deadline:
            time.sleep(0.05)

    def measure(self, cells: list[Cell], servers: list[Server]) -> None:
        for run in range(self.options.runs):
            share = len(servers) > 1 and run == self.options.runs - 1
            if share:
                time.sleep(STATISTICS_SECONDS)
            for cell in cells:
                turn = run % max(1, len(self.peers))
                for peer in self.peers[turn:] + self.peers[:turn]:
                    if cell.section == "many" and peer.sessions:
                        continue  # it would need a server for each client
                    result = self.one(peer, cell, servers, share)
                    self.still_there(peer, cell.title)
                    self.records.append({"section": cell.section, "cell": cell.title, "clients": cell.clients,
                                         "peer": peer.name, "run": run} | result)
                    rate = f"{result.get('tps', result.get('mb_s', 0)):.0f} {'MB/s' if cell.copy else 'tps'}"
                    print(f"  run {run + 1}, {cell.title}, {peer.title}: {rate}", flush=True)

    # Sections.

    def main_cells(self) -> list[Cell]:
        cells = []
        for mode in MODES:
            cells += [Cell(mode, f"select-only, {mode}, {n} clients", n, ["-S", "-M", mode])
                      for n in self.options.clients]
        cells.append(Cell("many", f"select-only, simple, {MANY} clients", MANY, ["-S", "-M", "simple"]))
        cells.append(Cell("reconnect", "a connection per transaction, 8 clients", 8, ["-S", "-C"]))
        size = self.options.copy_mb
        cells += [Cell("copy", f"COPY {way}, {size} MB", 1, copy=way) for way in ("out", "in")]
        cells.append(Cell("tls", "select-only over TLS, prepared, 16 clients", 16, ["-S", "-M", "prepared"], tls=True))
        return [cell for cell in cells if cell.section in self.options.only]

    def main_sections(self) -> None:
        cells = self.main_cells()
        if not cells:
            return
        self.peers = self.launch([k for k in self.options.peers if not PEERS[k].only_splits], [self.primary])
        self.measure(cells, [self.primary])
        for peer in self.peers:
            peer.stop()

    def idle_section(self) -> None:
        for kind in self.options.peers:
            if kind == Direct.name or PEERS[kind].only_splits:
                continue
            for peer in self.launch([kind], [self.primary]):
                self.peers = [peer]
                self.idle_clients(peer, min(self.idle, SESSION_IDLE) if peer.sessions else self.idle)
                self.still_there(peer, "idle clients")
                peer.stop()

    def idle_clients(self, peer: Peer, wanted: int) -> None:
        time.sleep(0.5)
        rss, pss = rss_bytes(peer.pids()), pss_bytes(peer.pids())
        clients: list[WireClient] = []
        wrong = ""
        start = time.monotonic()
        try:
            while len(clients) < wanted:
                clients.append(WireClient(peer.port, USER, PASSWORD, DATABASE))
                clients[-1].query("SELECT 1")
        except (OSError, Refused) as error:
            wrong = str(error)
            self.note(f"{peer.title}: no more than {len(clients)} idle clients: {wrong}; its log: {peer.last_line()}")
        took = time.monotonic() - start
        time.sleep(1)
        before = cpu_seconds(peer.pids())
        time.sleep(2)
        record = {"section": "idle", "cell": "idle clients", "clients": len(clients), "peer": peer.name, "run": 0,
                  "failed": int(bool(wrong)), "logins_s": len(clients) / took,
                  "rss_mb": megabytes(rss_bytes(peer.pids())), "rss_before_mb": megabytes(rss),
                  "pss_before_mb": megabytes(pss), "pss_mb": megabytes(pss_bytes(peer.pids())),
                  "idle_cpu": (cpu_seconds(peer.pids()) - before) / 2}
        self.asked_again(peer, clients, record)
        self.records.append(record)
        print(f"  {len(clients)} idle clients, {peer.title}: {record['rss_mb']:.0f} MB", flush=True)

    def asked_again(self, peer: Peer, clients: list[WireClient], record: dict) -> None:
        """Those that are idle must still be served."""
        wrong = ""
        for client in clients:
            try:
                client.query("SELECT 1")
            except (OSError, Refused) as error:
                record["failed"] += 1
                wrong = wrong or str(error)
            client.close()
        if wrong:
            self.note(f"{peer.title}: of {len(clients)} idle clients {record['failed']} are not served any more: "
                      f"{wrong}; its log: {peer.last_line()}")

    def split_section(self) -> None:
        servers = [self.primary]
        for name in ("replica1", "replica2"):
            servers.append(Server(self.place, name, self.primary.most))
            servers[-1].make_replica(self.primary)
        kinds = [k for k in self.options.peers if PEERS[k].splits]
        self.peers = self.launch(kinds, servers)
        time.sleep(3)  # until each has asked which server is the primary
        cells = [Cell("split", f"primary and 2 replicas: {title}, 16 clients", 16, arguments) for title, arguments in (
            ("select-only", ["-b", "select-only"]),
            ("9 reads to 1 write", ["-b", "select-only@9", "-b", "simple-update@1"]),
            ("tpcb-like", ["-b", "tpcb-like"]))]
        self.measure(cells, servers)
        for peer in self.peers:
            peer.stop()

    def run(self) -> None:
        make_certificate(self.place)
        self.primary.make_primary(SCALE)
        self.place.must(["psql", "-Xq", "-c", "CREATE UNLOGGED TABLE sink (line text)"],
                        env=client_env(self.primary.port))
        self.main_sections()
        if "idle" in self.options.only:
            self.idle_section()
        if "split" in self.options.only:
            self.split_section()

    # Tables.

    def median(self, cell: str, peer: str, key: str) -> float | None:
        values = [r[key] for r in self.records if r["cell"] == cell and r["peer"] == peer and key in r]
        return statistics.median(values) if values else None

    def tables(self) -> str:
        out: list[str] = []
        for cell in dict.fromkeys(r["cell"] for r in self.records):
            rows = [r for r in self.records if r["cell"] == cell]
            shown = {"idle": self.idle_table, "copy": self.copy_table}.get(rows[0]["section"], self.tps_table)
            peers = list(dict.fromkeys(r["peer"] for r in rows))
            out += ["", f"### {cell[0].upper()}{cell[1:]}", "", *shown(cell, [p for p in PEERS if p in peers])]
        out += ["", "### Rate, as a multiple of PgBouncer's (1 process)", "", *self.summary()]
        out += ["", "### Bounds", "", *Bounds(self.records).table()]
        if self.notes:
            out += ["", "### Notes", "", *(f"- {note}" for note in self.notes)]
        return "\n".join(out).strip() + "\n"

    def ratio(self, cell: str, peer: str, key: str, base: str = BASE) -> str:
        own, other = self.median(cell, peer, key), self.median(cell, base, key)
        return f"{own / other:.2f}" if own and other else "-"

    def shown(self, cell: str, peer: str, key: str, form: str) -> str:
        value = self.median(cell, peer, key)
        return "-" if value is None else format(value, form)

    def failures(self, cell: str, peer: str) -> str:
        return str(sum(r["failed"] for r in self.records if r["cell"] == cell and r["peer"] == peer))

    def tps_table(self, cell: str, peers: list[str]) -> list[str]:
        split = any("replica_share" in r for r in self.records if r["cell"] == cell)
        base = BASE if BASE in peers else "pgpool" if split else BASE
        head = ["proxy", "tps", f"x {PEERS[base].title}", "mean ms", "p99 ms", "CPU µs/tx", "x CPU", "RSS MB",
                "failed"]
        body = [[PEERS[p].title, self.shown(cell, p, "tps", ".0f"), self.ratio(cell, p, "tps", base),
                 self.shown(cell, p, "mean_ms", ".3f"), self.shown(cell, p, "p99_ms", ".3f"),
                 self.shown(cell, p, "cpu_us", ".1f"), self.ratio(cell, p, "cpu_us", base),
                 self.shown(cell, p, "rss_mb", ".0f") if p != Direct.name else "-", self.failures(cell, p)]
                + ([self.shown(cell, p, "replica_share", ".0%")] if split else []) for p in peers]
        return table(head + (["on replicas"] if split else []), body)

    def copy_table(self, cell: str, peers: list[str]) -> list[str]:
        head = ["proxy", "MB/s", "x PgBouncer", "CPU ms/MB", "x CPU", "RSS MB", "failed"]
        return table(head, [[PEERS[p].title, self.shown(cell, p, "mb_s", ".0f"), self.ratio(cell, p, "mb_s"),
                             self.shown(cell, p, "cpu_ms_mb", ".2f"), self.ratio(cell, p, "cpu_ms_mb"),
                             self.shown(cell, p, "rss_mb", ".0f") if p != Direct.name else "-",
                             self.failures(cell, p)] for p in peers])

    def idle_table(self, cell: str, peers: list[str]) -> list[str]:
        """PSS counts pages that processes share once. The growth does not show what was forked beforehand."""
        body = []
        for p in peers:
            r = next(r for r in self.records if r["cell"] == cell and r["peer"] == p)
            count = max(1, r["clients"])
            body.append([PEERS[p].title, str(r["clients"]), f"{r['rss_before_mb']:.1f}", f"{r['rss_mb']:.1f}",
                         f"{(r['rss_mb'] - r['rss_before_mb']) * 1000 / count:.1f}",
                         f"{r['rss_mb'] * 1000 / count:.1f}", f"{r['pss_mb'] * 1000 / count:.1f}",
                         f"{r['idle_cpu']:.1%}", f"{r['logins_s']:.0f}", str(r["failed"])])
        return table(["proxy", "clients", "RSS MB without", "RSS MB with", "growth kB/client", "RSS kB/client",
                      "PSS kB/client", "CPU while idle", "logins/s, one by one", "failed"], body)

    def summary(self) -> list[str]:
        records = [r for r in self.records if r["section"] not in ("idle", "split")]
        cells = list(dict.fromkeys(r["cell"] for r in records))
        peers = [p for p in PEERS if p in {r["peer"] for r in records}]
        body = [[cell] + [self.ratio(cell, p, "mb_s" if cell.startswith("COPY") else "tps") for p in peers]
                for cell in cells]
        return table(["", *(PEERS[p].title for p in peers)], body) if body else ["(nothing to compare)"]


class Bounds:
    """What we mean to reach, held against the medians of this run; what was not measured is not shown."""
    OURS = "pgbalancer"

    def __init__(self, records: list[dict]):
        self.records = records
        self.rows: list[list[str]] = []

    def value(self, cell: str, peer: str, key: str) -> float | None:
        values = [r[key] for r in self.records if r["cell"] == cell and r["peer"] == peer and key in r]
        return statistics.median(values) if values else None

    def best(self, cell: str, key: str, pick) -> float | None:
        others = {r["peer"] for r in self.records} - {self.OURS, "pgbalancer-off", Direct.name}
        values = [v for v in (self.value(cell, peer, key) for peer in others) if v]
        return pick(values) if values else None

    def row(self, what: str, own: float | None, other: float | None, most: float | None = None,
            least: float | None = None) -> None:
        if not own or not other:
            return
        ratio = own / other
        kept = ratio <= most if most is not None else ratio >= least
        bound = f"<= {most:.2f}" if most is not None else f">= {least:.2f}"
        self.rows.append([what, f"{ratio:.2f}", bound, "kept" if kept else "NOT KEPT"])

    def cell(self, record: dict) -> None:
        name, clients, section = record["cell"], record["clients"], record["section"]
        ours = self.OURS
        if section in MODES:
            self.row(f"{name}: CPU, x {BASE}", self.value(name, ours, "cpu_us"), self.value(name, BASE, "cpu_us"),
                     most=1.0 if clients == 1 else 0.8)
        if section in MODES and clients == 64:
            self.row(f"{name}: rate, x best peer", self.value(name, ours, "tps"), self.best(name, "tps", max),
                     least=1.15)
        if section in MODES and clients >= 16:
            self.row(f"{name}: p99, x best peer", self.value(name, ours, "p99_ms"), self.best(name, "p99_ms", min),
                     most=1.0)
        if section == "many":
            self.row(f"{name}: CPU, x 16 clients", self.value(name, ours, "cpu_us"),
                     self.value("select-only, simple, 16 clients", ours, "cpu_us"), most=1.15)
        if section == "copy":
            self.row(f"{name}: rate, x {BASE}", self.value(name, ours, "mb_s"), self.value(name, BASE, "mb_s"),
                     least=1.0)
            self.row(f"{name}: CPU, x {BASE}", self.value(name, ours, "cpu_ms_mb"), self.value(name, BASE, "cpu_ms_mb"),
                     most=1.0)
        if section == "idle":
            per = [self.value(name, peer, "rss_mb") for peer in (ours, BASE)]
            self.row(f"{name}: memory, x {BASE}", *per, most=1.0)
        if section == "split":
            self.row(f"{name}: CPU, x pgpool", self.value(name, ours, "cpu_us"), self.value(name, "pgpool", "cpu_us"),
                     most=1 / 3)

    def table(self) -> list[str]:
        seen = set()
        for record in self.records:
            if record["cell"] not in seen:
                seen.add(record["cell"])
                self.cell(record)
        return table(["bound", "ratio", "wanted", ""], self.rows) if self.rows else ["(nothing to hold against them)"]


def table(head: list[str], body: list[list[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in [head, *body]) for i in range(len(head))]

    def line(row: list[str]) -> str:
        first, *others = (text.rjust(width) for text, width in zip(row, widths))
        return "| " + " | ".join([first.strip().ljust(widths[0]), *others]) + " |"
    rule = "|".join(["-" * (widths[0] + 2), *("-" * (width + 1) + ":" for width in widths[1:])])
    return [line(head), f"|{rule}|", *map(line, body)]


def machine(place: Workplace, build: pathlib.Path) -> dict:
    model = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    versions = place.run(["dpkg-query", "-W", "-f", "${Package} ${Version}\n", "postgresql-18", "pgbouncer", "odyssey",
                          "pgpool2", "haproxy"]).stdout.split("\n")
    own = subprocess.run([build / "bin/pgbalancer", "--version"], capture_output=True, text=True, check=False).stdout
    return {"processors": os.cpu_count(), "processor": model[1] if model else platform.machine(),
            "kernel": platform.release(), "load_before": os.getloadavg()[0],
            "versions": [own.strip()] + [v for v in versions if v]}


def choice(names: tuple[str, ...] | list[str]):
    def read(text: str) -> list[str]:
        chosen = text.split(",")
        for name in chosen:
            if name not in names:
                raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(names)}")
        return chosen
    return read


def numbers(text: str) -> list[int]:
    found = [int(part) for part in text.split(",")]
    if min(found) < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return found


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", nargs="?", default="build", type=pathlib.Path, help="build folder (build)")
    parser.add_argument("--only", type=choice(SECTIONS), default=list(SECTIONS), metavar="A,B",
                        help=", ".join(SECTIONS))
    parser.add_argument("--peers", type=choice(list(PEERS)), default=list(PEERS), metavar="A,B", help=", ".join(PEERS))
    parser.add_argument("--clients", type=numbers, default=[1, 16, 64, 256], metavar="N,M", help="1,16,64,256")
    parser.add_argument("--seconds", type=int, default=5, help="of every measurement (5)")
    parser.add_argument("--runs", type=int, default=3, help="the tables show the median (3)")
    parser.add_argument("--idle", type=int, default=0, help="idle clients (10000, or 2000 if files are scarce)")
    parser.add_argument("--copy-mb", type=int, default=500, help="size of COPY (500)")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write all single results there")
    options = parser.parse_args()
    options.build = options.build.resolve()
    if max(options.clients) > 280:
        parser.error("--clients: at most 280, which is what pgpool-II is set up for")
    if not (options.build / "bin/pgbalancer").exists():
        parser.error(f"{options.build}/bin/pgbalancer is missing; try: make")
    return options


def main() -> int:
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        with Workplace() as place:
            bench = Benchmark(options, place)
            about = machine(place, options.build)
            print(f"{about['processors']} processors ({about['processor']}), load {about['load_before']:.1f}, "
                  f"pool of {POOL}\n{', '.join(about['versions'])}", flush=True)
            try:
                bench.run()
            finally:
                if bench.records:
                    print("\n" + bench.tables())
                if options.json:
                    whole = {"machine": about, "seconds": options.seconds, "runs": options.runs,
                             "notes": bench.notes, "results": bench.records}
                    options.json.write_text(json.dumps(whole, indent=1) + "\n")
    except Failed as wrong:
        print(f"bench-proxy: {wrong}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())

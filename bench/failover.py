#!/usr/bin/env python3
"""How long clients wait, and what they are told, when a primary is lost: pgbalancer, and Patroni with etcd and HAProxy at its shipped and
at its fastest legal settings. Four clients write through the balancer or HAProxy all the time; after each event everyone has to stream
again, without help but the start of what was killed, before the next. The systems take turns.

Needs root and, once, a Debian mirror (a trixie root file system in ${PGB_CACHE:-/var/cache/pgbalancer}/bench-trixie: PostgreSQL 17 for
all). It runs in namespaces of its own: no port, rule or process of the machine is touched, and nothing is left however it ends.
Exit code 1: a bound of pgbalancer's is missed, or it lost a commit."""
import argparse
import json
import os
import pathlib
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import failover_root  # noqa: E402
import failover_trial  # noqa: E402
from debian_root import Failed  # noqa: E402
from failover_events import EVENTS  # noqa: E402
from failover_ours import Ours  # noqa: E402
from failover_patroni import FastPatroni, Patroni  # noqa: E402
from failover_report import summary, tables  # noqa: E402

LONG_WAY_BACK_S = 10  # until all stream again: no bound, but worth a look
SYSTEMS = {kind.name: kind for kind in (Ours, Patroni, FastPatroni)}


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    def some_of(known):
        def split(text: str) -> list[str]:
            names = text.split(",")
            if unknown := [name for name in names if name not in known]:
                raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(known)}")
            return names
        return split
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20, help="repetitions of each event (default: %(default)s)")
    parser.add_argument("--peer-runs", type=int, default=2, help="the same for the others, spread over all (default: %(default)s)")
    parser.add_argument("--events", type=some_of(EVENTS), default=list(EVENTS), metavar="A,B", help=f"of {', '.join(EVENTS)}")
    parser.add_argument("--systems", type=some_of(SYSTEMS), default=list(SYSTEMS), metavar="A,B", help=f"of {', '.join(SYSTEMS)}")
    parser.add_argument("--json", metavar="FILE", help="every repetition, and what was made of them")
    parser.add_argument("--logs", metavar="DIR", help="where the logs of a system go after a repetition in which something was wrong, or slow")
    parser.add_argument("build", nargs="?", type=pathlib.Path, default=ROOT / "build")
    return parser.parse_args(argv)


def outside(options: argparse.Namespace) -> int:
    programs = (options.build / "bin").resolve()
    if not (programs / "pgbalancer_cluster").exists():
        raise Failed(f"{programs} has no pgbalancer_cluster; try: make build")
    arguments = ["--runs", str(options.runs), "--peer-runs", str(options.peer_runs), "--events", ",".join(options.events),
                 "--systems", ",".join(options.systems)]
    logs = descriptor = None
    if options.logs:
        logs = pathlib.Path(options.logs).resolve()
        logs.mkdir(parents=True, exist_ok=True)
        arguments += ["--logs", failover_root.LOGS]
    if options.json:
        descriptor = os.open(options.json, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        arguments += ["--json", f"/proc/self/fd/{descriptor}"]
    return failover_root.run_inside(arguments, programs, logs, descriptor)


class Benchmark:
    def __init__(self, options: argparse.Namespace):
        self.options = options
        self.kinds = {name: SYSTEMS[name] for name in options.systems}
        self.systems: dict = {}
        self.results: dict = {event: {name: [] for name in self.kinds} for event in options.events}
        self.void: list[str] = []  # what of ours could not even begin
        self.begin = time.monotonic()

    def said(self, text: str) -> None:
        print(f"{time.monotonic() - self.begin:7.1f}  {text}", flush=True)

    def system(self, name: str):
        if name not in self.systems:
            try:
                self.systems[name] = self.kinds[name]()
            except (AssertionError, OSError) as wrong:
                raise Failed(f"{self.kinds[name].title} cannot be made: {wrong}") from wrong
            self.said(f"{self.kinds[name].title} stands: {self.kinds[name].told}")
        return self.systems[name]

    def takes_part(self, name: str, run: int) -> bool:
        all_runs = self.options.runs
        part = all_runs if name == "ours" else min(self.options.peer_runs, all_runs)
        return (run + 1) * part // all_runs > run * part // all_runs

    def measure(self) -> None:
        for run in range(self.options.runs):
            for event in self.options.events:
                for name in self.kinds:
                    if self.takes_part(name, run):
                        self.one(name, event, run)

    def one(self, name: str, event: str, run: int) -> None:
        system = self.system(name)
        result = failover_trial.run(system, EVENTS[event])
        result |= {"run": run, "at_s": time.monotonic() - self.begin}
        if "gap_s" in result:
            self.results[event][name].append(result)
            self.said(f"{system.title}, {EVENTS[event].title}, {run + 1}: {result['gap_s']:.3f} s, {result['errors']} errors, "
                      f"all stream after {result.get('streams_s', float('inf')):.1f} s" + ("" if result.get("noticed") else "; not noticed"))
        elif name == "ours":
            self.void.append(f"{EVENTS[event].title}, {run + 1}: clients could not write before it")
        for wrong in result["wrong"]:
            self.said(f"! {system.title}, {EVENTS[event].title}, {run + 1}: {wrong}")
        if self.options.logs and (result["wrong"] or not result.get("noticed") or name == "ours" and self.is_slow(event, result)):
            folder = pathlib.Path(self.options.logs) / f"{name}-{event}-{run + 1}"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "result.json").write_text(json.dumps(result, indent=1))
            system.save_logs(folder)
        if "streams_s" not in result:  # a new one, so that the rest can go on
            self.said(f"! {system.title} is made anew")
            system.end()
            del self.systems[name]

    @staticmethod
    def is_slow(event: str, result: dict) -> bool:
        bounds = EVENTS[event]
        return (result["gap_s"] > bounds.p99 or bounds.errors is not None and result["errors"] > bounds.errors
                or result.get("streams_s", 0) > LONG_WAY_BACK_S)

    def report(self) -> int:
        text, wrong = tables(self.results, {name: kind.title for name, kind in self.kinds.items()})
        wrong += self.void
        print(f"\nbench/failover.py --runs {self.options.runs} --peer-runs {self.options.peer_runs}: PostgreSQL 17, {os.cpu_count()} cores, "
              f"load {os.getloadavg()[0]:.1f}, {time.monotonic() - self.begin:.0f} s")
        for kind in self.kinds.values():
            print(f"{kind.title}: {kind.told}")
        print(text)
        print("\n".join(f"MISSED  {line}" for line in wrong))
        if self.options.json:
            summaries = {event: {name: summary(done) for name, done in by.items() if done} for event, by in self.results.items()}
            with open(self.options.json, "w", encoding="utf-8") as file:
                json.dump({"v": 1, "cores": os.cpu_count(), "settings": {name: kind.told for name, kind in self.kinds.items()},
                           "summary": summaries, "missed": wrong, "results": self.results}, file, indent=1)
        return 1 if wrong else 0


def inside(options: argparse.Namespace) -> int:
    failover_root.raise_loopback()
    benchmark = Benchmark(options)
    try:
        benchmark.measure()
    except KeyboardInterrupt:
        print("stopped: what there is so far", flush=True)
        benchmark.report()
        return 130
    except Failed as wrong:
        print(f"error: {wrong}: what there is so far", flush=True)
        benchmark.report()
        return 2
    return benchmark.report()


def main() -> int:
    options = parse()
    failover_root.end_on_sigterm()
    try:
        return inside(options) if failover_root.is_inside() else outside(options)
    except Failed as wrong:
        print(f"error: {wrong}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())

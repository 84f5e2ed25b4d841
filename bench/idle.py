#!/usr/bin/env python3
"""What a group costs that does nothing: processor time of its agents, its balancer and its servers, with agents that
choose the primary and, to compare, without.

usage: idle.py [--seconds N] [BIN_DIR]

Agents and lease traffic are the agents' own time, and what the balancer that keeps the lease store takes beyond a balancer
that keeps none. Times are those of the processes themselves, so that a busy machine does little to them."""
import argparse
import os
import pathlib
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from harness.sandbox import Sandbox  # noqa: E402

BOUND = 1.0  # per cent of one core, agents and lease traffic
TICK = os.sysconf("SC_CLK_TCK")


def seconds_of(pid: int, with_children: bool = False) -> float:
    """Its processor time, and that of its children that have ended."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15 if with_children else 13])) / TICK


class Costs:
    """Seconds of processor time up to now, by what they were spent on."""

    def __init__(self, cluster: Sandbox):
        self.cluster = cluster
        self.nodes = cluster.hosts()
        self.units = {unit: cluster.pids(unit) for unit in [*self.nodes, "lb1"]}

    def agent(self, node: str) -> float:
        """Not its sessions at the server, which are named after it and count as the server's."""
        programs = {pid: pathlib.Path(command.split()[0]).name for pid, command in self.units[node].items() if command}
        return sum(seconds_of(pid) for pid, program in programs.items() if program == "pgbalancer_agent")

    def server(self, node: str) -> float:
        """All of it: who asks a server comes and goes, and its time with it."""
        pids = self.cluster.postgres_pids(node)
        return seconds_of(pids[0], with_children=True) + sum(map(seconds_of, pids[1:]))

    def now(self) -> dict[str, float]:
        costs = {f"agent {node}": self.agent(node) for node in self.nodes}
        costs["balancer"] = sum(seconds_of(pid) for pid in self.units["lb1"])
        costs["servers"] = sum(map(self.server, self.nodes))
        return costs


def measure(failover: bool, seconds: float, settle: float) -> dict[str, float]:
    """Per cent of one core."""
    with Sandbox("process") as cluster:
        cluster.document["ha"] = {"failover": failover}
        cluster.write()
        cluster.init()
        cluster.wait_healthy()
        time.sleep(settle)
        costs = Costs(cluster)
        before, began = costs.now(), time.monotonic()
        time.sleep(seconds)
        after, took = costs.now(), time.monotonic() - began
    return {name: 100 * (after[name] - before[name]) / took for name in before}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--settle", type=float, default=10, help="seconds between a healthy cluster and the measurement")
    parser.add_argument("bin_dir", nargs="?", default=str(ROOT / "build" / "bin"))
    arguments = parser.parse_args()
    os.environ["PGB_BIN"] = str(pathlib.Path(arguments.bin_dir).resolve())
    base, group = (measure(failover, arguments.seconds, arguments.settle) for failover in (False, True))
    print(f"python3 bench/idle.py --seconds {arguments.seconds:g}: three nodes and a balancer, per cent of one core; "
          f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n")
    print(f"{'':20}{'group':>9}{'no failover':>13}")
    for name in group:
        print(f"{name:20}{group[name]:9.2f}{base[name]:13.2f}")
    agents = sum(cost for name, cost in group.items() if name.startswith("agent"))
    store = max(group["balancer"] - base["balancer"], 0)
    total = agents + store
    print(f"\nagents {agents:.2f} + lease store {store:.2f} = {total:.2f} %  "
          f"{'ok' if total <= BOUND else 'MISSED'}: at most {BOUND:g} %")
    return 0 if total <= BOUND else 1


if __name__ == "__main__":
    sys.exit(main())

"""What happens to a primary under the failover benchmark: how it is done, how one knows that it is over, what has to be undone."""
import contextlib
import dataclasses
import os
import pathlib
import re
import signal
import subprocess
import time
import typing

from harness.commits import CommitLedger

LEASE = 3.0  # seconds, ours by default


class Trial:
    """One event in one system. `since`: the moment at which it began."""

    def __init__(self, system, ledger: CommitLedger):
        self.system, self.ledger = system, ledger
        self.old = system.primary()
        self.new = next(node for node in reversed(system.nodes) if node != self.old)
        self.postmaster = self.postmaster_now()
        self.since = time.monotonic()
        self.trouble: list[str] = []

    def postmaster_now(self) -> int:
        """The old primary's, by its pid file; 0: it has none, or is being started."""
        try:
            return int((self.system.data(self.old) / "postmaster.pid").read_text().split("\n")[0])
        except (OSError, ValueError):
            return 0

    def has_moved(self) -> bool:
        return self.ledger.last_port() != self.system.port(self.old)

    def is_restarted_or_has_moved(self) -> bool:
        return self.has_moved() or self.postmaster_now() not in (0, self.postmaster)


def _signal(pids, number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


# --- the network of a node, in a network namespace that is the benchmark's own

def _local_ports(pids) -> set[int]:
    inodes = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            for entry in os.scandir(f"/proc/{pid}/fd"):
                with contextlib.suppress(OSError):
                    if found := re.fullmatch(r"socket:\[(\d+)\]", os.readlink(entry.path)):
                        inodes.add(found[1])
    ports = set()
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(FileNotFoundError):
            for line in pathlib.Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
                fields = line.split()
                if fields[9] in inodes:
                    ports.add(int(fields[1].rpartition(":")[2], 16))
    return ports


def _nft(rules: str) -> None:
    subprocess.run(["/usr/sbin/nft", "-f", "-"], input=rules, text=True, check=True, capture_output=True)


def _drop(ports: set[int]) -> None:
    """Nothing comes from or gets to these ports any more, and nobody is told."""
    listed = ", ".join(map(str, sorted(ports)))
    _nft(f"""table ip silence {{
  chain incoming {{
    type filter hook input priority 0;
    tcp sport {{ {listed} }} drop
    tcp dport {{ {listed} }} drop
  }}
}}
""")


# --- the events

def _kill_postmaster(trial: Trial) -> None:
    trial.since = time.monotonic()
    os.kill(trial.postmaster, signal.SIGKILL)


def _kill_keeper(trial: Trial) -> None:
    pid = trial.system.keeper(trial.old)
    trial.since = time.monotonic()
    os.kill(pid, signal.SIGKILL)


def _kill_node(trial: Trial) -> None:
    pids = trial.system.pids(trial.old)
    trial.since = time.monotonic()
    _signal(pids, signal.SIGSTOP)  # none of them sees another's end
    _signal(trial.system.pids(trial.old), signal.SIGKILL)


def _silence_node(trial: Trial) -> None:
    pids = trial.system.pids(trial.old)
    trial.since = time.monotonic()
    _signal(pids, signal.SIGSTOP)
    pids = trial.system.pids(trial.old)
    _drop(_local_ports(pids))
    _signal(pids, signal.SIGKILL)


def _stop_postmaster(trial: Trial) -> None:
    trial.since = time.monotonic()
    os.kill(trial.postmaster, signal.SIGSTOP)


def _switch(trial: Trial) -> None:
    trial.since = time.monotonic()
    if wrong := trial.system.switch(trial.old, trial.new):
        trial.trouble.append(wrong)


def _bring_back(trial: Trial) -> None:
    trial.system.bring_back(trial.old)


def _end_silence(trial: Trial) -> None:
    _nft("delete table ip silence\n")
    trial.system.bring_back(trial.old)


def _continue_postmaster(trial: Trial) -> None:
    _signal([trial.postmaster] if trial.postmaster_now() == trial.postmaster else [], signal.SIGCONT)


@dataclasses.dataclass(frozen=True)
class Event:
    """`strike` does it, `over` says whether the system has answered it, `repair` gives the node back, if it needs that. Bounds in seconds and client
    errors, of our own: None where there is none. `limit`: who has not answered within so many seconds is said not to notice."""
    title: str
    strike: typing.Callable[[Trial], None]
    over: typing.Callable[[Trial], bool]
    repair: typing.Callable[[Trial], None] | None
    median: float | None
    p99: float | None
    errors: int | None = None
    limit: float = 120
    note: str = ""


EVENTS = {
    "postmaster": Event("postmaster killed (SIGKILL)", _kill_postmaster, Trial.is_restarted_or_has_moved, None, 0.5, 1.5),
    "agent": Event("agent / patroni killed (SIGKILL)", _kill_keeper, Trial.has_moved, _bring_back, 1.5, 3.0,
                   note="pgbalancer's server ends with its agent; Patroni's goes on alone until HAProxy's checks miss its REST interface"),
    "node": Event("all processes of the node killed", _kill_node, Trial.has_moved, _bring_back, 1.5, 3.0,
                  note="its peers get resets; lease store, etcd, balancer and HAProxy are elsewhere"),
    "silence": Event("node lost, its traffic dropped", _silence_node, Trial.has_moved, _end_silence, LEASE + 1.5, LEASE + 3.0,
                     note="processes stopped, packets from and to all their ports dropped in a network namespace, processes killed: no reset"),
    "stopped": Event("postmaster stopped (SIGSTOP)", _stop_postmaster, Trial.has_moved, _continue_postmaster, None, 5.0, limit=20,
                     note="who does not take the role away within 20 s has not noticed: standing connections go on, new ones hang"),
    "switchover": Event("planned switchover", _switch, Trial.has_moved, None, 0.3, 1.0, errors=0),
}

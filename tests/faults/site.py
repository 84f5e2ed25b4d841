"""A cluster under a ledger: what can be done to it, and what has to hold afterwards."""
import contextlib
import datetime
import os
import pathlib
import re
import signal
import time

import pytest

from faults.disks import SmallDisk
from faults.members import Members
from harness import ledger
from harness.commits import CommitLedger
from harness.sandbox import Sandbox
from harness.waiting import wait_until

LEASE = 3.0
SILENCE = LEASE + 1.5  # until another server acknowledges, when nobody was told that the primary is gone


class Site(Members):
    def __init__(self, sandbox: Sandbox, wires=None):
        super().__init__(sandbox)
        self.wires = wires  # of local processes whose network can be cut
        self.ledger = CommitLedger(sandbox.url(), self.direct)
        self.ledger.start()
        wait_until(lambda: self.ledger.count_through_balancer() > 30, 20, "commits are acknowledged")
        self.since = time.monotonic()

    # --- what happens to it

    def kill(self, *pids: int) -> None:
        self.since = time.monotonic()
        for pid in pids:
            os.kill(pid, signal.SIGKILL)

    def kill_server(self, name: str, pid: int | None = None) -> None:
        """Its postmaster, or `pid`. Returns when nobody is left of that server: a backend may outlive it by one commit, which would
        look like the end of the gap."""
        processes = self.sandbox.postgres_pids(name)
        self.kill(pid or processes[0])
        wait_until(lambda: not any(ledger.runs(process) for process in processes), 10, f"all of {name}'s server have ended", pause=0.005)

    def freeze(self, pid: int) -> None:
        self.since = time.monotonic()
        self.sandbox.freeze([pid])

    def thaw(self, pid: int) -> None:
        self.sandbox.thaw([pid])

    @contextlib.contextmanager
    def all_frozen(self, name: str):
        """Agent and server at once."""
        docker = self.sandbox.docker
        self.since = time.monotonic()
        if docker:
            docker.docker("pause", self.sandbox.container(name))
        else:
            self._signal_all(name, signal.SIGSTOP)
        try:
            yield
        finally:
            if docker:
                docker.docker("unpause", self.sandbox.container(name))
            else:
                self._signal_all(name, signal.SIGCONT)

    def _signal_all(self, name: str, number: int) -> None:
        """Also to those that were forked meanwhile."""
        done: set[int] = set()
        while pids := set(self.sandbox.pids(name)) - done:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            done |= pids

    def freeze_program(self, name: str, program: str, limit: float) -> int:
        """As soon as the agent of that node runs it."""
        docker = self.sandbox.docker
        container = docker.inspect(self.sandbox.container(name))["Id"] if docker else None

        def is_of_node(process: pathlib.Path) -> bool:
            return container in (process / "cgroup").read_text() if docker else int(process.name) in self.sandbox.pids(name)

        def look():
            for process in pathlib.Path("/proc").glob("[0-9]*"):
                with contextlib.suppress(OSError):
                    first = (process / "cmdline").read_bytes().split(b"\0")[0].decode(errors="replace")
                    if pathlib.PurePath(first).name == program and is_of_node(process):
                        os.kill(int(process.name), signal.SIGSTOP)
                        return int(process.name)
            return None
        return wait_until(look, limit, f"{program} runs on {name}", pause=0.001)

    def kill_all(self, *units: str) -> None:
        """At once."""
        containers = [self.sandbox.container(unit) for unit in units] if self.sandbox.docker else []
        self.since = time.monotonic()
        if containers:
            pids = self.sandbox.docker.docker("inspect", "-f", "{{.State.Pid}}", *containers).split()
        else:
            pids = [pid for unit in units for pid in self.sandbox.pids(unit)]
        for pid in filter(None, map(int, pids)):  # 0: it does not run
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)  # none of them sees another's end
        if containers:
            self.sandbox.docker.docker("kill", *containers)
        else:
            for unit in units:
                self.sandbox.kill_unit(unit)

    def end_of(self, unit: str) -> float:
        """When all that was killed of it had ended, at the latest."""
        if not self.sandbox.docker:
            wait_until(lambda: not self.sandbox.pids(unit), 10, f"all of {unit} has ended", pause=0.001)
            return time.monotonic()
        finished = self.sandbox.docker.inspect(self.sandbox.container(unit))["State"]["FinishedAt"]
        wall = datetime.datetime.fromisoformat(re.sub(r"(\.\d{6})\d*Z", r"\1+00:00", finished)).timestamp()
        return wall - time.time() + time.monotonic()

    def start_one_by_one(self, units: list[str]) -> None:
        """The first ones find nobody who could lead yet, and say so."""
        for unit in units:
            self.sandbox.run("start", unit, expect=None, limit=60)

    def end_balancer(self) -> None:
        """In order, and without the manager's doing."""
        if self.sandbox.docker:
            self.sandbox.docker.docker("stop", self.sandbox.container("lb1"))
        else:
            self.sandbox.signal(self.sandbox.pids("lb1"), signal.SIGTERM)

    def store_folder(self) -> pathlib.Path:
        """Of the lease store, as this machine sees it."""
        if not self.sandbox.docker:
            return self.sandbox.state_dir / self.sandbox.name / "units" / "lb1" / "store"
        mounts = self.sandbox.docker.inspect(self.sandbox.container("lb1"))["Mounts"]
        assert [mount["Type"] for mount in mounts] == ["volume"], mounts
        return pathlib.Path(mounts[0]["Source"])

    def empty_store(self) -> None:
        for path in self.store_folder().iterdir():
            path.unlink()

    def lead_from_small_disk(self, megabytes: int) -> tuple[str, SmallDisk]:
        """A replica's data move to a disk of their own, and the role to that replica."""
        name = next(name for name in self.names if name != self.primary())
        self.sandbox.run("stop", name)
        disk = SmallDisk(self.sandbox, name, megabytes)
        self.disks.append(disk)
        self.sandbox.run("start", name)
        if not disk.is_seen_by(self.agent_pid(name)):
            pytest.skip("the engine does not see what is mounted here")
        self.sandbox.wait_healthy()
        self.wait_synchronous()
        self.sandbox.run("switchover", "--to", name)
        self.sandbox.wait_healthy()
        self.wait_synchronous()
        self.since = time.monotonic()
        return name, disk

    # --- what has to hold

    def wait_writes_by_another(self, old: str, limit: float) -> str:
        """Somebody else acknowledges commits."""
        port = self.port(old)

        def look():
            last = self.ledger.last_port()
            return last if last != port else None
        found = wait_until(look, limit, f"another server than {old} acknowledges commits", pause=0.01)
        return next(name for name in self.names if self.port(name) == found)

    def hears_from(self, primary: str, replica: str) -> bool:
        """Whether the primary learns, within a second of commits, that the replica has got more."""
        def look():
            return self.sandbox.query("SELECT flush_lsn::text FROM pg_stat_replication WHERE application_name = %s", primary,
                                      parameters=(replica,))
        moment, before = time.monotonic(), look()
        time.sleep(1)  # what it does not hear shows only by the time that it had for it
        self.wait_writes_after(moment, 10)
        return look() != before and look() != []

    def acknowledged_by(self, name: str, since: float, until: float) -> bool:
        return any(ack.port == self.port(name) and since < ack.came < until for ack in self.ledger.acks)

    def nothing_from(self, name: str, seconds: float) -> None:
        """A primary that was replaced acknowledges nothing, whoever still reaches it."""
        moment = time.monotonic()
        time.sleep(seconds)
        assert not [ack for ack in self.ledger.acks if ack.port == self.port(name) and ack.sent > moment]

    def wait_writes_after(self, moment: float, limit: float, through: bool = True) -> None:
        """Through the balancer, or at a server itself."""
        wait_until(lambda: self.ledger.goes_on_since(moment, through), limit, "commits go on", pause=0.01)

    def check_turns(self, since: float = 0) -> None:
        """No former primary acknowledged what was begun after another one had acknowledged something; of what came after `since`."""
        back = self.ledger.turned_back(since)
        assert not back, f"{len(back)} commits acknowledged by a former primary after another one had begun: {back[:3]}"

    def check_end(self, most_owners: int, limit: float = 60, may_lose: int = 0, may_return: bool = False) -> int:
        """Everybody streams, commits are acknowledged, no more than so many acknowledged ones are lost, nobody acknowledged in turns: the
        role goes back to nobody, or, if it `may_return` to who had it before the last event, not after that. Returns how many are
        lost."""
        self.sandbox.wait_healthy(limit)
        self.wait_synchronous()
        before, read = self.ledger.count_through_balancer(), self.ledger.count_at_replicas()
        wait_until(lambda: self.ledger.count_through_balancer() > before + 20, 20, "commits through the balancer go on")
        wait_until(lambda: self.ledger.count_at_replicas() > read, 20, "replicas answer who reads what it wrote")
        self.ledger.stop()
        owners = self.ledger.owners()
        print(self.sandbox.run("history", expect=None).out)
        print(f"gap {self.ledger.gap(self.since):.2f} s, {len(self.ledger.acks)} commits, by {owners}")
        assert len(owners) <= most_owners, f"servers acknowledged commits in turns: {owners}"
        self.check_turns(self.since if may_return else 0)
        primary = self.primary()
        assert owners[-1] == self.port(primary)
        lost = self.ledger.lost(self.direct[primary])
        assert len(lost) <= may_lose, f"{len(lost)} acknowledged commits are lost: {lost[:3]}"
        print(f"{self.ledger.reads} reads of what was written, {self.ledger.read_elsewhere} of them at replicas")
        stale = [one for one in self.ledger.stale if one not in {(ack.writer, ack.number) for ack in lost}]
        assert self.ledger.reads and not stale, f"stale reads: {stale[:3]} of {self.ledger.reads}"
        for name in self.names:
            if name == primary:
                continue
            wait_until(lambda n=name: self.ledger.lost(self.direct[n]) == lost, 20, f"{name} has what {primary} has")
        return len(lost)

    def close(self) -> None:
        for disk in self.disks:
            disk.thaw()
        with contextlib.suppress(AssertionError):
            self.ledger.stop()
        for disk in self.disks:
            disk.remove()

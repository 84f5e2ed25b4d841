"""pgbalancer under the failover benchmark: three local servers that choose their primary, the lease store and the clients' door in
the balancer."""
import contextlib
import os
import pathlib
import shutil
import signal

from faults.members import Members
from harness import ledger
from harness.sandbox import Sandbox
from harness.waiting import wait_until


class Ours:
    name, title = "ours", "pgbalancer"
    told = "lease 3 s, durability quorum (ANY 1 of 2); lease store in the balancer"

    def __init__(self):
        self.sandbox = Sandbox("process")
        self.sandbox.document["ha"] = {"failover": True}
        self.sandbox.write()
        self.sandbox.init()
        self.members = Members(self.sandbox)
        self.nodes = self.members.names
        self.through = self.sandbox.url()
        self.direct = self.members.direct

    def primary(self) -> str:
        return self.members.primary()

    def wait_streaming(self, limit: float) -> None:
        wait_until(self._all_count, limit, "both replicas stream and are part of the quorum", pause=0.1)

    def _all_count(self) -> bool:
        document = self.sandbox.status()
        asked = self.sandbox.group(document=document)["durability"]
        return document["state"] == "healthy" and sum(f'"{node}"' in asked for node in self.nodes) == 2

    def port(self, node: str) -> int:
        return self.members.port(node)

    def pids(self, node: str) -> list[int]:
        return list(self.sandbox.pids(node))

    def keeper(self, node: str) -> int:
        """The process whose child the postmaster is."""
        return self.members.agent_pid(node)

    def _unit(self, node: str) -> pathlib.Path:
        return self.sandbox.state_dir / self.sandbox.name / "units" / node

    def data(self, node: str) -> pathlib.Path:
        return self._unit(node) / "data" / "pgdata"

    def bring_back(self, node: str) -> None:
        """What a supervisor or a machine that boots would do."""
        with contextlib.suppress(AssertionError):
            self.members.agent_pid(node)
            return
        self.sandbox.run("start", node, expect=None)

    def switch(self, old: str, new: str) -> str:
        """Moves the role; what went wrong, or nothing."""
        done = self.sandbox.run("switchover", "--to", new, expect=None)
        return "" if done.code == 0 else f"switchover from {old}: exit code {done.code}: {done.err.strip()[-300:]}"

    def save_logs(self, folder: pathlib.Path) -> None:
        (folder / "history").write_text(self.sandbox.run("history", expect=None).out)
        (folder / "status").write_text(self.sandbox.run("status", expect=None).out)
        for unit in [*self.nodes, "lb1"]:
            shutil.copy(self._unit(unit) / "log", folder / f"{unit}.log")

    def end(self) -> None:
        for pid in ledger.processes_of(self.sandbox.folder):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        self.sandbox.close()

"""Who is who in a cluster. For benchmarks, too: what they run with has no pytest."""
from faults.disks import SmallDisk
from harness import ledger
from harness.sandbox import Sandbox
from harness.waiting import wait_until


class Members:
    """Who is who in a cluster of three whose commits wait for a second copy."""

    def __init__(self, sandbox: Sandbox):
        self.sandbox = sandbox
        self.names = sandbox.hosts()
        self.disks: list[SmallDisk] = []
        sandbox.wait_healthy()
        self.wait_synchronous()
        self.direct = {name: sandbox.url("--direct", name) for name in self.names}

    def primary(self) -> str:
        nodes = [n["name"] for b in self.sandbox.status()["balancers"] for n in b["nodes"]
                 if n["role"] == "primary" and n["state"] == "accepting"]
        assert len(nodes) == 1, f"primaries: {nodes}"
        return nodes[0]

    def others(self, *names: str) -> list[str]:
        return [name for name in self.names if name not in names]

    def wait_synchronous(self) -> None:
        """Commits wait for any one of the replicas, unless nobody wants that."""
        if self.sandbox.document.get("durability") == "async":
            return
        def look():
            group = self.sandbox.group()
            replicas = [node["name"] for node in group["nodes"] if node["role"] != "primary"]
            wanted = group["durability"]
            return wanted.startswith("ANY 1") and len(replicas) == 2 and all(name in wanted for name in replicas)
        wait_until(look, 20, "the primary asks for a second copy, of either replica")

    def agent_pid(self, name: str) -> int:
        pids = [pid for pid, command in self.sandbox.pids(name).items() if "pgbalancer_agent" in command.partition(" ")[0]]
        first = [pid for pid in pids if ledger.parent_of(pid) not in pids]  # not what it has forked for a program
        assert len(first) == 1, f"agents of {name}: {pids}"
        return first[0]

    def port(self, name: str) -> int:
        group = self.sandbox.balancer()
        return next(node["port"] for node in (group["primary"], *group["replicas"]) if node["host"] == name)

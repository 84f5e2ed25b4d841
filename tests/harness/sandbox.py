"""A cluster of a test's own: an example file with free ports and its own names, in a folder of its own.
Whatever happens in the test, nothing of it is left afterwards."""
import contextlib
import copy
import itertools
import json
import os
import pathlib
import random
import secrets
import shutil
import signal
import tempfile

import psycopg2

from harness import ledger
from harness.free_ports import free_block
from harness.manager import ROOT, Done, Manager
from harness.waiting import wait_until

SIMPLE = ROOT / "examples" / "simple" / "pgbalancer_cluster_simple.json"
PRODUCTION = ROOT / "examples" / "production" / "pgbalancer_cluster_production.json"
SUBNETS = itertools.cycle(random.sample(range(100, 200), 100))  # clusters that stand at once have different ones
PORTS_OF_A_GROUP = 20  # enough for replicas that are added


def moved(document: dict, runtime: str, tag: str) -> dict:
    """The same cluster with names, subnet and ports that collide with nothing."""
    document = copy.deepcopy(document)
    subnet = f"10.{next(SUBNETS)}"
    old = ".".join(document["network"]["subnet"].split(".")[:2])
    document["cluster_name"] = tag
    document["runtime"] = runtime
    document["network"] = {"name": f"{tag}_net", "subnet": f"{subnet}.0.0/16"}
    for balancer in document["balancers"]:
        first = free_block(PORTS_OF_A_GROUP)
        for offset, key in enumerate(("port", "pcp_port", "rest_api_port")):
            balancer[key] = first + offset
        for offset, node in enumerate([balancer["primary"], *balancer["replicas"]]):
            node["port"] = first + 5 + offset
        for thing in [balancer, balancer["primary"], *balancer["replicas"]]:
            thing["container_name"] = f"{tag}_{thing['container_name']}"
            thing["ip_address"] = thing["ip_address"].replace(old + ".", subnet + ".", 1)
    return document


class Sandbox:
    def __init__(self, runtime: str, docker_host: str | None = None, example: pathlib.Path = SIMPLE):
        self.runtime = runtime
        self.name = f"e2e_{secrets.token_hex(4)}"
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="pgb-e2e-", dir="/tmp"))
        self.folder.chmod(0o755)  # root's servers run as another user
        self.state_dir = self.folder / "state"
        self.file = self.folder / "cluster.json"
        self.document = moved(json.loads(example.read_text()), runtime, self.name)
        for script in example.parent.glob("*.sql"):
            shutil.copy(script, self.folder)
        self.write()
        self.manager = Manager(self.state_dir, docker_host, self.folder)
        self.docker = ledger.DockerLedger(docker_host, self.name) if runtime == "docker" else None

    # --- the cluster file

    def write(self) -> None:
        self.file.write_text(json.dumps(self.document, indent=2))

    def balancer(self, name: str = "lb1") -> dict:
        return next(b for b in self.document["balancers"] if b["name"] == name)

    def hosts(self, balancer: str = "lb1") -> list[str]:
        group = self.balancer(balancer)
        return [group["primary"]["host"], *(replica["host"] for replica in group["replicas"])]

    # --- the program

    def run(self, verb: str, *arguments, **options) -> Done:
        return self.manager.run(verb, "--config", self.file, *arguments, **options)

    def init(self) -> Done:
        done = self.run("init")
        self.learn_secrets()
        return done

    def learn_secrets(self) -> None:
        """From here on no output may show the superuser's password."""
        self.manager.secrets = [self.password()]

    def password(self) -> str:
        return psycopg2.extensions.parse_dsn(self.url())["password"]

    def status(self) -> dict:
        """The status document; what holds for every one of them is asserted."""
        document = self.run("status", "--json").json()
        assert document["v"] == 1
        assert document["cluster"] == self.name
        assert document["state"] in ("healthy", "degraded", "no_primary", "not_created")
        for balancer in document["balancers"]:
            assert isinstance(balancer["query"]["ok"], bool)
            for node in balancer["nodes"]:
                assert node["state"] in ("accepting", "streaming", "not_streaming", "starting", "unresponsive",
                                         "stopped", "down", "absent"), node
                assert node["state"] in ("accepting", "streaming") or node["reason"], f"no reason is given: {node}"
        return document

    def group(self, name: str = "lb1", document: dict | None = None) -> dict:
        return next(b for b in (document or self.status())["balancers"] if b["name"] == name)

    def node(self, name: str, document: dict | None = None) -> dict:
        nodes = [n for b in (document or self.status())["balancers"] for n in b["nodes"] if n["name"] == name]
        assert len(nodes) == 1, f"node {name} stands {len(nodes)} times in the status"
        return nodes[0]

    def primary(self, document: dict | None = None) -> str:
        """Who leads the first group just now; by default that need not be the file's."""
        leading = [n["name"] for n in self.group(document=document)["nodes"] if (n["role"], n["state"]) == ("primary", "accepting")]
        assert len(leading) == 1, f"primaries: {leading}"
        return leading[0]

    def replicas(self, document: dict | None = None) -> list[str]:
        document = document or self.status()
        return [n["name"] for n in self.group(document=document)["nodes"] if n["name"] != self.primary(document)]

    def wait_healthy(self, limit: float = 60) -> dict:
        def look():
            document = self.status()
            return document if document["state"] == "healthy" else None
        return wait_until(look, limit, "the cluster is healthy")

    # --- SQL

    def url(self, *options: str) -> str:
        return self.run("url", "--show-password", *options, may_show_secrets=True).out.strip()

    @contextlib.contextmanager
    def connect(self, node: str | None = None, balancer: str | None = None, **keywords):
        """A connection in autocommit mode: to a server, or through a balancer."""
        options = ["--direct", node] if node else ["--balancer", balancer] if balancer else []
        connection = psycopg2.connect(self.url(*options), connect_timeout=5, **keywords)
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("SET statement_timeout = '20s'")
            yield connection
        finally:
            connection.close()

    def query(self, sql: str, node: str | None = None, balancer: str | None = None, parameters=None) -> list[tuple]:
        with self.connect(node, balancer) as connection, connection.cursor() as cursor:
            cursor.execute(sql, parameters)
            return cursor.fetchall() if cursor.description else []

    def value(self, sql: str, node: str | None = None, balancer: str | None = None, parameters=None):
        return self.query(sql, node, balancer, parameters)[0][0]

    def wait_value(self, sql: str, wanted, node: str, limit: float = 20) -> None:
        def look():
            return self.value(sql, node) == wanted
        wait_until(look, limit, f"{node} answers {wanted!r} to {sql}")

    # --- the machine

    def pids(self, unit: str) -> dict[int, str]:
        """Processes of one server or balancer, as this machine numbers them."""
        if self.runtime == "process":
            return ledger.processes_of(self.state_dir / self.name / "units" / unit)
        lines = self.docker.docker("top", self.container(unit), "-eo", "pid,args").splitlines()[1:]
        return {int(line.split()[0]): line.split(None, 1)[1] for line in lines}

    def container(self, unit: str) -> str:
        names = [name for name in self.docker.containers()
                 if self.docker.inspect(name)["Config"]["Labels"].get("io.pgbalancer.unit") == unit]
        assert len(names) == 1, f"{len(names)} containers are labelled as {unit}: {names}"
        return names[0]

    def postgres_pids(self, unit: str) -> list[int]:
        """The postmaster first, then its children. One that has just ended has no parent any more, and is none of them."""
        pids = [pid for pid, command in self.pids(unit).items()
                if "pgbalancer_agent" not in command and "postgres" in command.partition(" ")[0]]
        parents = {pid: parent for pid in pids if (parent := ledger.parent_of(pid))}
        assert parents, f"no postgres runs in {unit}"
        return sorted(parents, key=lambda pid: (parents[pid] in pids, pid))

    def signal(self, pids, number: signal.Signals) -> None:
        """The first one must be there; a server's children come and go."""
        for place, pid in enumerate(pids):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                if place == 0:
                    raise

    def freeze(self, pids) -> None:
        self.signal(pids, signal.SIGSTOP)

    def thaw(self, pids) -> None:
        """Whoever is still there goes on."""
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def kill_unit(self, unit: str) -> None:
        """As a power cut would: agent and server, or the balancer, at once."""
        if self.runtime == "docker":
            self.docker.docker("kill", self.container(unit))
        else:
            # Agents first: they would start their server again.
            pids = self.pids(unit)
            for pid in sorted(pids, key=lambda pid: "pgbalancer_agent" not in pids[pid]):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def left(self) -> list[str]:
        """Everything of this cluster that still stands."""
        found = [f"process {pid}: {command}" for pid, command in ledger.processes_of(self.state_dir).items()]
        if (self.state_dir / self.name).exists():
            found.append(f"directory {self.state_dir / self.name}")
        if self.docker:
            found += self.docker.left()
        return found

    def close(self) -> None:
        for step in (lambda: self.run("--destroy", expect=None, may_show_secrets=True), self._force):
            with contextlib.suppress(Exception):
                step()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _force(self) -> None:
        self.thaw(ledger.processes_of(self.folder))
        ledger.kill_processes_of(self.folder)
        if self.docker:
            self.docker.remove_all()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

"""Cuts in the network of one unit: what is cut off is dropped without a word, and nobody is told. They last until they are
mended, or until a container ends.

A container has a network of its own. Local processes share the loopback interface: there each unit gets a control group, which
says who opened a connection, and the ports that it listens on say to whom; the firewall of a network namespace of the tests' own
notes both at the connection, and drops its packets in both directions."""
import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess

from faults.site import Site
from harness import engine
from harness.sandbox import Sandbox
from harness.waiting import wait_until

STORE = 2379  # the lease store's port in the balancer's container
CLIENT, SERVER = 0xff, 0xff00  # whose a connection is, in its mark


def _cgroups() -> pathlib.Path | None:
    """Where the second version of control groups is mounted: only it can be told apart by a firewall."""
    for line in pathlib.Path("/proc/self/mounts").read_text().splitlines():
        if line.split()[2] == "cgroup2":
            return pathlib.Path(line.split()[1])
    return None


def _own_cgroup(root: pathlib.Path) -> pathlib.Path:
    line = next(line for line in pathlib.Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::"))
    return root / line[3:].lstrip("/")


def _iptables(*arguments: str, pid: int | None = None) -> str:
    where = ["nsenter", "-t", str(pid), "-n"] if pid else []
    done = subprocess.run([*where, "iptables", "-w", *arguments], check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"iptables {' '.join(arguments)}: {done.stderr}"
    return done.stdout


def _dropped(pid: int | None = None) -> int:
    """How many packets."""
    lines = [line.split() for line in _iptables("-t", "filter", "-L", "-v", "-n", "-x", pid=pid).splitlines()]
    return sum(int(words[0]) for words in lines if len(words) > 2 and words[2] == "DROP")


class Wires:
    """Of the units of a cluster of local processes; made before the cluster, so that they go after it. Unavailable says why they
    cannot be told apart here."""

    def __init__(self, own_network: bool):
        if os.geteuid() != 0:
            raise engine.Unavailable("only root can cut the network of local processes")
        if not shutil.which("iptables"):
            raise engine.Unavailable("the program iptables is missing")
        if not own_network:
            raise engine.Unavailable("the tests have no network of their own: its firewall is not theirs")
        root = _cgroups()
        if not root or not os.access(root / "cgroup.procs", os.W_OK):
            raise engine.Unavailable("control groups (version 2) cannot be made here")
        self.root = root
        self.groups: list[pathlib.Path] = []
        self.numbers: dict[str, int] = {}
        self.rules: list[list[str]] = []

    def attach(self, sandbox: Sandbox) -> None:
        """Starts each unit anew: a socket keeps the control group that it was made in."""
        units = ["lb1", *sandbox.hosts()]
        sandbox.run("stop")
        home = _own_cgroup(self.root)
        for number, unit in enumerate(units, 1):
            group = self.root / f"{sandbox.name}-{unit}"
            group.mkdir()
            self.groups.append(group)
            self.numbers[unit] = number
            self._note("-m", "cgroup", "--path", group.name, mark=number, mask=CLIENT)
            (group / "cgroup.procs").write_text(str(os.getpid()))
            try:
                self._launch(sandbox, unit)
            finally:
                (home / "cgroup.procs").write_text(str(os.getpid()))
        sandbox.wait_healthy()
        store = self._store_port(sandbox)
        for unit in units:
            self._note_server(unit, {port for pid in sandbox.pids(unit) for port in listening(pid)} - {store})
        self.numbers["store"] = len(units) + 1
        self._note_server("store", {store})

    @staticmethod
    def _launch(sandbox: Sandbox, unit: str) -> None:
        """Without waiting for the others, who are not there yet."""
        program = sandbox.manager.popen("start", "--config", sandbox.file, unit)
        record = sandbox.state_dir / sandbox.name / "units" / unit / "pid"
        wait_until(lambda: program.poll() is not None or (sandbox.pids(unit) and record.exists()), 60, f"{unit} runs")
        program.send_signal(signal.SIGINT)
        out, err = program.communicate(timeout=60)
        assert sandbox.pids(unit), f"{unit} was not started: {out}{err}"

    @staticmethod
    def _store_port(sandbox: Sandbox) -> int:
        return json.loads((sandbox.state_dir / sandbox.name / "units" / "lb1" / "balancer.json").read_text())["store_port"]

    def _note_server(self, name: str, ports: set[int]) -> None:
        assert ports, f"{name} listens nowhere"
        self._note("-m", "multiport", "--dports", ",".join(map(str, sorted(ports))), mark=self.numbers[name] << 8, mask=SERVER)

    def _note(self, *match: str, mark: int, mask: int) -> None:
        """At the connection, as soon as whoever opened it sends something."""
        self.add(["-t", "mangle", "OUTPUT", "-o", "lo", "-p", "tcp", "-m", "conntrack", "--ctdir", "ORIGINAL", *match,
                  "-j", "CONNMARK", "--set-xmark", f"{mark:#x}/{mask:#x}"])

    def add(self, rule: list[str]) -> None:
        _iptables(*rule[:2], "-A", *rule[2:])
        self.rules.append(rule)

    def remove(self, rule: list[str]) -> None:
        self.rules.remove(rule)
        _iptables(*rule[:2], "-D", *rule[2:])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for rule in list(self.rules):
            self.remove(rule)
        for group in self.groups:
            wait_until(lambda g=group: not (g / "cgroup.procs").read_text(), 20, f"the control group {group} is empty")
            group.rmdir()


def listening(pid: int) -> set[int]:
    """The TCP ports that a process listens on."""
    process = pathlib.Path("/proc") / str(pid)
    sockets = set()
    with contextlib.suppress(FileNotFoundError):
        for descriptor in (process / "fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                sockets.add(os.readlink(descriptor))
    found = set()
    for line in (process / "net" / "tcp").read_text().splitlines()[1:] if sockets else []:
        fields = line.split()
        if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
            found.add(int(fields[1].partition(":")[2], 16))
    return found


class ProcessNetwork:
    """Of one unit of local processes."""

    def __init__(self, site: Site, name: str):
        self.wires = site.wires
        self.own = self.wires.numbers[name]
        self.rules: list[list[str]] = []

    def _drop(self, *match: str) -> None:
        """Where packets come in: a packet that is lost on its way is no error of the one who sent it."""
        self.rules.append(["-t", "filter", "INPUT", "-i", "lo", "-p", "tcp", *match, "-j", "DROP"])
        self.wires.add(self.rules[-1])

    def drop_all(self) -> None:
        client, server = f"{self.own:#x}/{CLIENT:#x}", f"{self.own << 8:#x}/{SERVER:#x}"
        self._drop("-m", "connmark", "--mark", client, "-m", "connmark", "!", "--mark", server)
        self._drop("-m", "connmark", "--mark", server, "-m", "connmark", "!", "--mark", client)

    def _drop_between(self, client: int, server: int) -> None:
        self._drop("-m", "connmark", "--mark", f"{client | server << 8:#x}/{CLIENT | SERVER:#x}")

    def drop(self, *names: str) -> None:
        for name in names:
            self._drop_between(self.own, self.wires.numbers[name])
            self._drop_between(self.wires.numbers[name], self.own)

    def drop_store(self) -> None:
        self._drop_between(self.own, self.wires.numbers["store"])

    def is_cut(self) -> bool:
        """Something was lost since."""
        return _dropped() > 0

    def mend(self) -> None:
        while self.rules:
            self.wires.remove(self.rules.pop())


class ContainerNetwork:
    """Of one container of a site."""

    def __init__(self, site: Site, name: str):
        self.site = site
        self.docker = site.sandbox.docker
        self.container = site.sandbox.container(name)
        details = self.docker.inspect(self.container)
        self.pid = details["State"]["Pid"]
        self.name, self.own = next(iter(details["NetworkSettings"]["Networks"].items()))
        self.rules: list[list[str]] = []
        self.connected = True

    def _drop(self, *rules: list[str]) -> None:
        for rule in rules:
            self.rules.append([*rule, "-j", "DROP"])
            _iptables("-A", *self.rules[-1], pid=self.pid)

    def _address(self, name: str) -> str:
        networks = self.docker.inspect(self.site.sandbox.container(name))["NetworkSettings"]["Networks"]
        return networks[self.name]["IPAddress"]

    def drop_all(self) -> None:
        self._drop(["INPUT", "!", "-i", "lo"], ["OUTPUT", "!", "-o", "lo"])

    def drop(self, *names: str) -> None:
        """All that comes from these, or goes to them."""
        for name in names:
            self._drop(["INPUT", "-s", self._address(name)], ["OUTPUT", "-d", self._address(name)])

    def drop_store(self) -> None:
        """The lease store that the balancer keeps; its clients go on."""
        tcp = ["-p", "tcp"]
        self._drop(["INPUT", "-s", self._address("lb1"), *tcp, "--sport", str(STORE)],
                   ["OUTPUT", "-d", self._address("lb1"), *tcp, "--dport", str(STORE)])

    def disconnect(self) -> None:
        self.docker.docker("network", "disconnect", self.name, self.container)
        self.connected = False

    def is_cut(self) -> bool:
        """Something was lost since, or there is nothing that it could come through."""
        return not self.connected or _dropped(self.pid) > 0

    def mend(self) -> None:
        while self.rules:
            _iptables("-D", *self.rules.pop(), pid=self.pid)
        if not self.connected:
            aliases = [word for alias in self.own["Aliases"] or [] for word in ("--alias", alias)]
            self.docker.docker("network", "connect", "--ip", self.own["IPAddress"], *aliases, self.name, self.container)
            self.connected = True


@contextlib.contextmanager
def network_of(site: Site, name: str):
    """Whole again at the end."""
    network = (ContainerNetwork if site.sandbox.docker else ProcessNetwork)(site, name)
    try:
        yield network
    finally:
        network.mend()

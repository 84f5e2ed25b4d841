"""Cuts in the network of a container: what is cut off is dropped without a word, and nobody is told. They last until they are
mended, or until the container ends."""
import contextlib
import subprocess

from faults.site import Site

STORE = 2379


class Network:
    """Of one container of a site."""

    def __init__(self, site: Site, name: str):
        self.site = site
        self.docker = site.sandbox.docker
        self.container = site.sandbox.container(name)
        details = self.docker.inspect(self.container)
        self.pid = details["State"]["Pid"]
        self.name, self.own = next(iter(details["NetworkSettings"]["Networks"].items()))
        self.rules: list[list[str]] = []

    def _firewall(self, order: str, rule: list[str]) -> None:
        subprocess.run(["nsenter", "-t", str(self.pid), "-n", "iptables", "-w", order, *rule], check=True, capture_output=True)

    def _drop(self, *rules: list[str]) -> None:
        for rule in rules:
            self.rules.append([*rule, "-j", "DROP"])
            self._firewall("-A", self.rules[-1])

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

    def mend(self) -> None:
        while self.rules:
            self._firewall("-D", self.rules.pop())

    def disconnect(self) -> None:
        self.docker.docker("network", "disconnect", self.name, self.container)

    def connect(self) -> None:
        aliases = [word for alias in self.own["Aliases"] or [] for word in ("--alias", alias)]
        self.docker.docker("network", "connect", "--ip", self.own["IPAddress"], *aliases, self.name, self.container)


@contextlib.contextmanager
def network_of(site: Site, name: str):
    """Whole again at the end."""
    network = Network(site, name)
    try:
        yield network
    finally:
        network.mend()

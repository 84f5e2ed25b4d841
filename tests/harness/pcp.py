"""pgpool-II's own pcp_* commands: those of this machine, and newer ones in a root file system if there is one."""
import os
import pathlib
import re
import subprocess
import tempfile

BIN = "/usr/sbin"


def roots() -> list[pathlib.Path]:
    """This machine's, and the one that `make bench-proxy` makes of Debian sid; only root can use that."""
    sid = pathlib.Path(os.environ.get("PGB_CACHE") or "/var/cache/pgbalancer").resolve() / "bench-sid"
    found = [pathlib.Path("/"), *([sid] if os.geteuid() == 0 else [])]
    return [root for root in found if (root / BIN[1:] / "pcp_node_info").exists()]


class PcpClients:
    def __init__(self, root: pathlib.Path):
        self.root = root
        self.prefix = [] if str(root) == "/" else ["chroot", str(root)]
        text = self.run_program("pcp_node_info", "--version", env={})
        self.version = re.search(r"(\d+\.\d+)", text.stdout + text.stderr).group(1)
        self.config = {"pcp_version": "4.3" if float(self.version) < 4.4 else "4.4"}  # of the balancer

    def run_program(self, program: str, *arguments, env: dict) -> subprocess.CompletedProcess:
        return subprocess.run([*self.prefix, f"{BIN}/{program}", *map(str, arguments)], capture_output=True, text=True, timeout=90,
                              check=False, env=env | {"PATH": os.environ["PATH"]})

    def run(self, port: int, command: str, *arguments, user: str, password: str) -> subprocess.CompletedProcess:
        with tempfile.TemporaryDirectory(prefix="pgb-pcp-", dir=self.root / "tmp") as home:
            passes = pathlib.Path(home) / "pcppass"
            passes.touch(0o600)
            passes.write_text(f"*:*:{user}:{password}\n")
            inside = "/" + str(passes.relative_to(self.root))
            return self.run_program(f"pcp_{command}", "-h", "127.0.0.1", "-p", port, "-U", user, "-w", *arguments,
                                    env={"HOME": str(pathlib.PurePosixPath(inside).parent), "PCPPASSFILE": inside})


def all_clients() -> list[PcpClients]:
    return [PcpClients(root) for root in roots()]

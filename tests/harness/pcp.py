"""pgpool-II's own pcp_* commands: those of this machine, those of Debian trixie (unpacked, not installed), and those of the
root file system of Debian sid, if there is one."""
import functools
import os
import pathlib
import re
import subprocess
import tempfile

from harness.apt import CACHE, Apt, Unavailable, mirror, run

BIN = "usr/sbin"
SUITE = "trixie"
PACKAGES = ("pgpool2", "libpgpool2", "libc6")  # the programs, and all that they need
KEPT = CACHE / f"pgpool2-{SUITE}"
SOURCES = ("this machine", SUITE, "sid")


def fetch() -> pathlib.Path:
    """Ten megabytes, once."""
    if not KEPT.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".pgpool2-", dir=CACHE) as name:
            folder = pathlib.Path(name) / "apt"
            folder.mkdir()
            pathlib.Path(name).chmod(0o755)
            apt = Apt(folder, {"suite.list": f"deb {mirror()} {SUITE} main\n"}, "Acquire::Languages=none", "Acquire::Retries=0",
                      "Acquire::http::Timeout=5", "Acquire::https::Timeout=5", "Acquire::Check-Valid-Until=false")
            made = pathlib.Path(name) / "made"
            for package in PACKAGES:
                run("dpkg-deb", "-x", str(apt.get(["download"], package, f"{package}_*.deb")), str(made))
            made.rename(KEPT)
    return KEPT


class PcpClients:
    """`prefix`: what comes before a program's path; `root`: the folder that the programs take for "/"."""

    def __init__(self, prefix: list[str], programs: pathlib.Path, root: pathlib.Path = pathlib.Path("/")):
        self.prefix, self.programs, self.root = prefix, programs, root
        text = self.run_program("pcp_node_info", "--version", env={})
        self.version = re.search(r"(\d+\.\d+)", text.stdout + text.stderr).group(1)
        self.config = {"pcp_version": "4.3" if float(self.version) < 4.4 else "4.4"}  # of the balancer

    def run_program(self, program: str, *arguments, env: dict) -> subprocess.CompletedProcess:
        return subprocess.run([*self.prefix, str(self.programs / program), *map(str, arguments)], capture_output=True, text=True, timeout=90,
                              check=False, env=env | {"PATH": os.environ["PATH"]})

    def run(self, port: int, command: str, *arguments, user: str, password: str) -> subprocess.CompletedProcess:
        with tempfile.TemporaryDirectory(prefix="pgb-pcp-", dir=self.root / "tmp") as home:
            passes = pathlib.Path(home) / "pcppass"
            passes.touch(0o600)
            passes.write_text(f"*:*:{user}:{password}\n")
            inside = "/" + str(passes.relative_to(self.root))
            return self.run_program(f"pcp_{command}", "-h", "127.0.0.1", "-p", port, "-U", user, "-w", *arguments,
                                    env={"HOME": str(pathlib.PurePosixPath(inside).parent), "PCPPASSFILE": inside})


def _of_trixie() -> PcpClients:
    """With their own C library: the machine's may be older."""
    root = fetch()
    loader = next(iter(root.glob("usr/lib*/ld-linux-*.so.*")), None)
    if loader is None:
        raise Unavailable(f"the package libc6 of {SUITE} has no loader")
    libraries = ":".join(str(path) for path in [*root.glob("usr/lib/*-linux-gnu"), root / "usr/lib"])
    return PcpClients([str(loader), "--library-path", libraries], root / BIN)


def _of_sid() -> PcpClients:
    """Of the root that `make bench-proxy` makes."""
    root = pathlib.Path(os.environ.get("PGB_CACHE") or "/var/cache/pgbalancer").resolve() / "bench-sid"
    if not (root / BIN / "pcp_node_info").exists():
        raise Unavailable("there is no root of Debian sid; make bench-proxy makes it")
    if os.geteuid() != 0:
        raise Unavailable("only root can go into the root of Debian sid")
    return PcpClients(["chroot", str(root)], pathlib.Path("/") / BIN, root)


@functools.cache
def clients_of(source: str) -> PcpClients:
    """One of SOURCES; Unavailable if it cannot be had."""
    if source == SUITE:
        return _of_trixie()
    if source == "sid":
        return _of_sid()
    if not (pathlib.Path("/") / BIN / "pcp_node_info").exists():
        raise Unavailable("pgpool-II's clients are not installed (package pgpool2)")
    return PcpClients([], pathlib.Path("/") / BIN)

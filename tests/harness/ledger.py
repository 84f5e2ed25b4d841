"""What stands in this machine because of a test: looked up in the kernel and the engine, not remembered."""
import json
import os
import pathlib
import signal
import subprocess

from harness.waiting import wait_until

LABEL = "io.pgbalancer.cluster"


def _read(path: pathlib.Path) -> str:
    try:
        return path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def _cwd(process: pathlib.Path) -> str:
    try:
        return os.readlink(process / "cwd")
    except OSError:
        return ""


def _is_zombie(process: pathlib.Path) -> bool:
    text = _read(process / "stat")
    return text.rpartition(")")[2].split()[:1] in ([], ["Z"])


def processes_of(folder) -> dict[int, str]:
    """pid -> command line of each process that works in a folder, or names it in its arguments. Zombies
    do not count: their parent may be a container's lazy process 1."""
    mark = str(folder)
    found = {}
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        pid = int(process.name)
        if pid == os.getpid() or _is_zombie(process):
            continue
        command = _read(process / "cmdline")
        cwd = _cwd(process).removesuffix(" (deleted)")
        if mark in command or cwd == mark or cwd.startswith(mark + "/"):
            found[pid] = command.strip()
    return found


def runs(pid: int) -> bool:
    """It has not ended; a zombie has."""
    return not _is_zombie(pathlib.Path("/proc") / str(pid))


def parent_of(pid: int) -> int:
    text = _read(pathlib.Path("/proc") / str(pid) / "stat")
    return int(text.rpartition(")")[2].split()[1]) if text else 0


def kill_processes_of(folder) -> None:
    """Ends exactly those that processes_of lists, one by one."""
    def all_gone():
        for pid in processes_of(folder):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        return not processes_of(folder)
    wait_until(all_gone, 20, f"every process of {folder} is gone")


class DockerLedger:
    """Containers, networks and volumes of one cluster, by label and (for what lost its label) by name."""

    def __init__(self, host: str, cluster: str):
        self.host = host
        self.cluster = cluster

    def docker(self, *arguments: str, check: bool = True) -> str:
        done = subprocess.run(["docker", "-H", self.host, *arguments], text=True, capture_output=True, check=False,
                              timeout=60, stdin=subprocess.DEVNULL)
        assert done.returncode == 0 or not check, f"docker {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def _names(self, listing: list[str], form: str) -> list[str]:
        by_label = self.docker(*listing, "--filter", f"label={LABEL}={self.cluster}", "--format", form).split()
        by_name = self.docker(*listing, "--filter", f"name={self.cluster}", "--format", form).split()
        return sorted(set(by_label) | set(by_name))

    def containers(self) -> list[str]:
        return self._names(["ps", "-a"], "{{.Names}}")

    def networks(self) -> list[str]:
        return self._names(["network", "ls"], "{{.Name}}")

    def volumes(self) -> list[str]:
        return self._names(["volume", "ls"], "{{.Name}}")

    def inspect(self, container: str) -> dict:
        return json.loads(self.docker("inspect", container))[0]

    def left(self) -> list[str]:
        return ([f"container {name}" for name in self.containers()] + [f"network {name}" for name in self.networks()] +
                [f"volume {name}" for name in self.volumes()])

    def remove_all(self) -> None:
        for name in self.containers():
            self.docker("rm", "-f", "-v", name, check=False)
        for name in self.networks():
            self.docker("network", "rm", name, check=False)
        for name in self.volumes():
            self.docker("volume", "rm", "-f", name, check=False)

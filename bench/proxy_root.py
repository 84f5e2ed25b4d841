"""Where the benchmark's programs come from and how they are started: a Debian sid root file system with
PostgreSQL 18 and the peers, a work folder inside it, and processes whose use of the machine is counted."""
import ctypes
import os
import pathlib
import re
import resource
import signal
import subprocess
import tempfile
import time

from debian_root import PATH, Failed, cache_folder, make_root, remove_made

PACKAGES = ["postgresql-18", "pgbouncer", "odyssey", "pgpool2", "haproxy", "openssl"]
PROGRAMS = "/usr/lib/postgresql/18/bin"
PREFIX = "pgb-bench-"
_prctl = ctypes.CDLL(None, use_errno=True).prctl


class Workplace:
    """The root file system and this run's folder in it; as a context it ends what it started and removes
    the folder."""

    def __init__(self):
        if os.geteuid() != 0:
            raise Failed("only root can change into another root file system; try: sudo")
        self.root = cache_folder() / "bench-sid"
        if not (self.root / PROGRAMS[1:] / "pgbench").exists():
            make_root(self.root, "sid", PACKAGES)
        passwd = (self.root / "etc/passwd").read_text().splitlines()
        self.uid, self.gid = next(tuple(map(int, line.split(":")[2:4])) for line in passwd
                                  if line.startswith("postgres:"))
        self.prefix = f"{self.root}/tmp/{PREFIX}"
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix=PREFIX, dir=self.root / "tmp"))
        os.chown(self.folder, self.uid, self.gid)
        self.started: list["Process"] = []
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    def __enter__(self) -> "Workplace":
        return self

    def __exit__(self, *_) -> None:
        for process in reversed(self.started):
            process.end()
        remove_made(self.folder, self.prefix)

    def inside(self, path: pathlib.Path) -> str:
        """The path as the programs in the root see it."""
        return "/" + str(path.relative_to(self.root))

    def write(self, name: str, text: str) -> pathlib.Path:
        path = self.folder / name
        path.touch(0o600)
        path.write_text(text)
        os.chown(path, self.uid, self.gid)
        return path

    def _enter_root(self, chroot: bool, drop: bool):
        def prepare() -> None:
            if chroot:
                os.chroot(self.root)
            os.chdir("/")
            if drop:
                os.setgroups([])
                os.setgid(self.gid)
                os.setuid(self.uid)
            _prctl(1, int(signal.SIGTERM))  # PR_SET_PDEATHSIG: none outlives a benchmark that was killed
        return prepare

    def run(self, argv: list[str], *, seconds: float = 300, env: dict | None = None, **more):
        """A program in the root, as the user postgres, to its end. Its exit code is not looked at."""
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL} | more
        environment = {"PATH": f"{PROGRAMS}:{PATH}", "LC_ALL": "C"} | (env or {})
        try:
            return subprocess.run(argv, text=True, timeout=seconds, env=environment, check=False,
                                  preexec_fn=self._enter_root(True, True), **pipes)
        except subprocess.TimeoutExpired as late:
            text = late.stderr.decode(errors="replace") if isinstance(late.stderr, bytes) else (late.stderr or "")
            return subprocess.CompletedProcess(argv, 124, "", f"{text}\nno end after {seconds:.0f} s")

    def must(self, argv: list[str], **more) -> str:
        done = self.run(argv, **more)
        if done.returncode != 0:
            raise Failed(f"{argv[0]}: exit code {done.returncode}: {(done.stderr or '').strip()[-400:]}")
        return done.stdout

    def start(self, name: str, argv: list[str], *, chroot: bool = True, drop: bool = True,
              stop: signal.Signals = signal.SIGTERM, env: dict | None = None) -> "Process":
        log = self.folder / f"{name}.log"
        environment = {"PATH": f"{PROGRAMS}:{PATH}", "LC_ALL": "C"} | (env or {})
        with log.open("ab") as out:
            popen = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=environment,
                                     preexec_fn=self._enter_root(chroot, drop))
        process = Process(name, popen, log, stop)
        self.started.append(process)
        return process


class Process:
    def __init__(self, name: str, popen: subprocess.Popen, log: pathlib.Path, stop: signal.Signals):
        self.name, self.popen, self.log, self.stop = name, popen, log, stop

    def alive(self) -> bool:
        return self.popen.poll() is None

    def last_line(self) -> str:
        lines = [line for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        return lines[-1].strip()[:300] if lines else "(its log is empty)"

    def end(self) -> None:
        """Ends it and, if it leaves children behind, these."""
        if not self.alive():
            return
        family = tree([self.popen.pid])
        self.popen.send_signal(self.stop)
        try:
            self.popen.wait(8)
        except subprocess.TimeoutExpired:
            for pid in tree([self.popen.pid]):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            self.popen.wait()
        deadline = time.monotonic() + 3
        born = {pid: birth for pid, birth in family.items() if pid != self.popen.pid}
        while time.monotonic() < deadline and any(_birth(pid) == birth for pid, birth in born.items()):
            time.sleep(0.02)
        for pid, birth in born.items():
            if _birth(pid) == birth:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat from the third on."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def _birth(pid: int) -> str | None:
    fields = _stat(pid)
    return None if fields is None or fields[0] == "Z" else fields[19]


def tree(roots: list[int]) -> dict[int, str]:
    """The processes and all that descend from them, each with the moment it was started."""
    parent, birth = {}, {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (fields := _stat(int(name))) is not None:
            parent[int(name)], birth[int(name)] = int(fields[1]), fields[19]
    found = {pid: birth[pid] for pid in roots if pid in birth}
    grew = True
    while grew:
        more = {pid: birth[pid] for pid, above in parent.items() if above in found and pid not in found}
        found |= more
        grew = bool(more)
    return found


def cpu_seconds(roots: list[int]) -> float:
    """User and system time of whole process trees, children that ended included."""
    ticks = 0
    for pid in tree(roots):
        if (fields := _stat(pid)) is not None:
            ticks += sum(int(value) for value in fields[11:15])
    return ticks / os.sysconf("SC_CLK_TCK")


def rss_bytes(roots: list[int]) -> int:
    pages = 0
    for pid in tree(roots):
        try:
            pages += int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1])
        except (FileNotFoundError, ProcessLookupError):
            pass
    return pages * os.sysconf("SC_PAGE_SIZE")


def pss_bytes(roots: list[int]) -> int:
    """As rss_bytes, but a page that several processes share counts once."""
    total = 0
    for pid in tree(roots):
        try:
            found = re.search(r"^Pss:\s+(\d+) kB", pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M)
            total += int(found[1]) * 1024 if found else 0
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            pass
    return total

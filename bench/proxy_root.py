"""Where the benchmark's programs come from and how they are started: a Debian sid root file system with
PostgreSQL 18 and the peers, a work folder inside it, and processes whose use of the machine is counted."""
import ctypes
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import tempfile
import time

PACKAGES = ["postgresql-18", "pgbouncer", "odyssey", "pgpool2", "haproxy", "openssl"]
PROGRAMS = "/usr/lib/postgresql/18/bin"
PREFIX = "pgb-bench-"
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
# systemd-tmpfiles wants /proc. It is mounted in a namespace that ends with the command: nobody else sees it.
IN_ROOT_WITH_PROC = ["unshare", "--mount", "--propagation", "private", "sh", "-c",
                     'mount -t proc proc "$0/proc" && exec chroot "$0" "$@"']
_prctl = ctypes.CDLL(None, use_errno=True).prctl


class Failed(Exception):
    """Something the benchmark needs does not work; the text says what."""


def cache_folder() -> pathlib.Path:
    return pathlib.Path(os.environ.get("PGB_CACHE") or "/var/cache/pgbalancer").resolve()


def remove_made(folder: pathlib.Path, prefix: str) -> None:
    """Removes a folder that mkdtemp made with this prefix in this run; refuses everything else."""
    text = str(folder)
    name = text.removeprefix(prefix)
    if not prefix.startswith("/") or not text.startswith(prefix) or not name or "/" in name:
        raise Failed(f"{text!r} is not a folder that this run made")
    mounts = [line.split()[1] for line in pathlib.Path("/proc/self/mounts").read_text().splitlines()]
    if any(m == text or m.startswith(text + "/") for m in mounts):
        raise Failed(f"something is mounted below {text}: it is left as it is")
    shutil.rmtree(text)


def apt_mirror() -> str:
    if os.environ.get("PGB_MIRROR"):
        return os.environ["PGB_MIRROR"]
    listed = subprocess.run(["apt-get", "indextargets", "--format", "$(REPO_URI)"], capture_output=True, text=True,
                            check=True).stdout
    found = sorted({line.rstrip("/") for line in listed.splitlines() if line.rstrip("/").endswith("/debian")})
    if not found:
        raise Failed("this machine's apt knows no Debian mirror; try: PGB_MIRROR=URL of one")
    return found[0]


def _run_logged(argv: list[str], log: pathlib.Path, **more) -> None:
    with log.open("ab") as out:
        code = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, check=False, **more).returncode
    if code != 0:
        lines = log.read_text(errors="replace").split("\n")
        raise Failed(f"{' '.join(argv[:4])} …: exit code {code}: " + " | ".join(lines[-6:]))


def make_root(root: pathlib.Path) -> None:
    """Made beside its place and renamed when it is whole. No bind mounts."""
    if shutil.which("debootstrap") is None:
        raise Failed("the program debootstrap is missing; try: apt-get install debootstrap")
    root.parent.mkdir(parents=True, exist_ok=True)
    prefix = f"{root}-new-"
    part = pathlib.Path(tempfile.mkdtemp(prefix=prefix[len(str(root.parent)) + 1:], dir=root.parent))
    log = root.parent / f"{root.name}.log"
    log.write_text("")
    environment = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C", "PATH": PATH}
    print(f"making {root} (once; log: {log})", flush=True)
    done = False
    try:
        mirror = apt_mirror()
        _run_logged(["debootstrap", "--variant=minbase", "sid", str(part), mirror], log)
        part.chmod(0o755)
        (part / "etc/apt/sources.list").write_text(f"deb {mirror} sid main\n")
        dumped = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True).stdout
        proxies = [line for line in dumped.splitlines() if re.match(r"Acquire::https?(::[^ ]*)?::Proxy ", line)]
        (part / "etc/apt/apt.conf.d/99proxy").write_text("\n".join(proxies) + "\n")
        policy = part / "usr/sbin/policy-rc.d"  # packages must not start their services
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
        (part / "etc/postgresql-common").mkdir(parents=True)
        (part / "etc/postgresql-common/createcluster.conf").write_text("create_main_cluster = false\n")
        # A mirror may be a snapshot: old, but signed.
        for argv in (["apt-get", "-q", "-o", "Acquire::Check-Valid-Until=false", "update"],
                     ["apt-get", "-q", "install", "-y", "--no-install-recommends", "-o",
                      "Dpkg::Options::=--force-confold", *PACKAGES],
                     ["apt-get", "-q", "clean"]):
            _run_logged([*IN_ROOT_WITH_PROC, str(part), *argv], log, env=environment)
        (part / "etc/apt/apt.conf.d/99proxy").unlink()
        policy.unlink()
        part.rename(root)
        done = True
    finally:
        if not done:
            for inner in ("proc", "sys", "dev/pts"):  # what a debootstrap that failed may have left
                if os.path.ismount(part / inner):
                    subprocess.run(["umount", str(part / inner)], check=False)
            remove_made(part, prefix)


class Workplace:
    """The root file system and this run's folder in it; as a context it ends what it started and removes
    the folder."""

    def __init__(self):
        if os.geteuid() != 0:
            raise Failed("only root can change into another root file system; try: sudo")
        self.root = cache_folder() / "bench-sid"
        if not (self.root / PROGRAMS[1:] / "pgbench").exists():
            make_root(self.root)
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

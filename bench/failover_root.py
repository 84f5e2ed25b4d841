"""Where the failover benchmark runs: in a Debian trixie root file system with PostgreSQL 17, Patroni, etcd and HAProxy, in namespaces
of its own for processes, mounts and network. Whatever ends the run, the kernel ends every process of it, and no port and no firewall rule
of the machine is touched."""
import array
import ctypes
import fcntl
import os
import pathlib
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time

from debian_root import PATH, Failed, cache_folder, make_root, remove_made

ROOT = pathlib.Path(__file__).resolve().parent.parent
SUITE = "trixie"
PACKAGES = ["postgresql-17", "patroni", "etcd-server", "python3-etcd", "haproxy", "nftables", "python3-psycopg2"]
REPOSITORY, PROGRAMS, LOGS = "/srv/pgbalancer", "/srv/programs", "/srv/logs"  # as seen inside
PREFIX = "pgb-failover-"
INSIDE = "PGB_FAILOVER_INSIDE"
# The shell is process 1 inside: it takes over orphans, as one in a container would.
SCRIPT = """set -e
mount -t proc proc "$ROOT/proc"
mount -t tmpfs -o mode=1777 tmpfs "$ROOT/dev/shm"
mount --bind "$FROM_LOGS" "$ROOT$TO_LOGS"
mount --bind "$WORK" "$ROOT/tmp"
mount --bind "$FROM_REPOSITORY" "$ROOT$TO_REPOSITORY"
mount --bind "$FROM_PROGRAMS" "$ROOT$TO_PROGRAMS"
trap : TERM
chroot "$ROOT" /usr/bin/env -i PATH="$PATH" LC_ALL=C.UTF-8 PGB_BIN="$TO_PROGRAMS" """ + INSIDE + """=1 \
  /usr/bin/python3 -B "$TO_REPOSITORY/bench/failover.py" "$@"
"""


def is_inside() -> bool:
    return INSIDE in os.environ


def _end_with_parent() -> None:
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, int(signal.SIGKILL))


def end_on_sigterm() -> None:
    """As Ctrl-C would, which a job in the background ignores."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def raise_loopback() -> None:
    """A new network namespace has one interface, and that is down."""
    get_flags, set_flags, up = 0x8913, 0x8914, 0x1
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = array.array("b", struct.pack("16sh22x", b"lo", 0))
        fcntl.ioctl(any_socket, get_flags, request)
        flags = struct.unpack("16sh22x", request)[1]
        fcntl.ioctl(any_socket, set_flags, struct.pack("16sh22x", b"lo", flags | up))


def _remove(folder: pathlib.Path, prefix: str) -> None:
    end = time.monotonic() + 10
    while True:
        try:
            remove_made(folder, prefix)
            return
        except OSError:  # the kernel has not ended every process of it yet
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


def _lock(folder: pathlib.Path) -> int | None:
    """Held by the run whose folder it is, for as long as that lives."""
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return lock
    except OSError:
        os.close(lock)
        return None


def _sweep(prefix: str) -> None:
    """Folders of runs that were killed."""
    for folder in pathlib.Path(prefix).parent.glob(f"{PREFIX}*"):
        lock = _lock(folder)
        if lock is not None:
            _remove(folder, prefix)
            os.close(lock)


def _root() -> pathlib.Path:
    if os.geteuid() != 0:
        raise Failed("only root can make namespaces and change into another root file system; try: sudo")
    root = cache_folder() / f"bench-{SUITE}"
    if not (root / "usr/bin/patroni").exists():
        make_root(root, SUITE, PACKAGES)
    for inside in (REPOSITORY, PROGRAMS, LOGS):
        (root / inside[1:]).mkdir(exist_ok=True)
    return root


def run_inside(arguments: list[str], programs: pathlib.Path, logs: pathlib.Path | None, keep_open: int | None) -> int:
    """bench/failover.py again, with these arguments; `logs`: what it writes to LOGS goes there. Gives its exit code."""
    root = _root()
    prefix = f"{root}/tmp/{PREFIX}"
    _sweep(prefix)
    work = pathlib.Path(tempfile.mkdtemp(prefix=PREFIX, dir=root / "tmp"))
    lock = _lock(work)
    work.chmod(0o1777)
    unused = work / "unused"
    unused.mkdir()
    environment = {"PATH": PATH, "ROOT": str(root), "WORK": str(work), "FROM_REPOSITORY": str(ROOT), "TO_REPOSITORY": REPOSITORY,
                   "FROM_PROGRAMS": str(programs), "TO_PROGRAMS": PROGRAMS, "FROM_LOGS": str(logs or unused), "TO_LOGS": LOGS}
    unshare = [shutil.which("unshare") or "unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--net"]
    run = None
    try:
        run = subprocess.Popen([*unshare, "sh", "-c", SCRIPT, "failover", *arguments], env=environment, stdin=subprocess.DEVNULL,
                               pass_fds=[] if keep_open is None else [keep_open], start_new_session=True, preexec_fn=_end_with_parent)
        try:
            return run.wait()
        except KeyboardInterrupt:
            try:
                os.killpg(run.pid, signal.SIGTERM)  # those inside tell what they have
                return run.wait(60)
            except (subprocess.TimeoutExpired, KeyboardInterrupt):
                return 130
    finally:
        if run is not None and run.poll() is None:
            run.kill()
            run.wait()
        _remove(work, prefix)
        if lock is not None:
            os.close(lock)

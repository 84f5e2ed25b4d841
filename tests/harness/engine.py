"""A Docker Engine of our own: in a network namespace and folders of its own, so that neither the
machine's engine nor its firewall nor its ports notice. Ended with everything in it.

PGB_TEST_DOCKER_HOST names an engine to use instead (it must have the image postgres:17), and
PGB_TEST_NO_DOCKER says why none is to be started."""
import contextlib
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

from harness import ledger
from harness.manager import ROOT
from harness.waiting import wait_until

IMAGE = "postgres:17"
SUITE = "trixie"
CLONE_NEWNET = 0x40000000


class Unavailable(Exception):
    """Why no engine can run here: the reason of the skip."""


def _fail_with(text: str, log: pathlib.Path) -> Unavailable:
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return Unavailable(" ".join([text, *lines[-3:]]))


def enter_own_network() -> None:
    """This process and all that it starts from now on see a network with nothing but 'lo'."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET) != 0:
        raise Unavailable(f"a network namespace cannot be made: {os.strerror(ctypes.get_errno())}")
    siocgifflags, siocsifflags, iff_up = 0x8913, 0x8914, 1
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sH14x", b"lo", 0)
        flags = struct.unpack("16sH14x", fcntl.ioctl(control, siocgifflags, request))[1]
        fcntl.ioctl(control, siocsifflags, struct.pack("16sH14x", b"lo", flags | iff_up))


def make_image(host: str | None) -> None:
    """Into the cache if there is no host, into that engine otherwise."""
    script = ROOT / "images" / "make_postgres_image.sh"
    command = [str(script), SUITE] if host else [str(script), "--tar-only", SUITE]
    environment = os.environ | ({"DOCKER_HOST": host} if host else {})
    done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          check=False, timeout=1200)
    if done.returncode != 0:
        raise Unavailable(f"{script.name} failed: {' '.join(done.stderr.splitlines()[-3:])}")


class Engine:
    def __init__(self):
        self.host = os.environ.get("PGB_TEST_DOCKER_HOST", "")
        self.own = not self.host
        self.daemon = None
        self.folder = None

    def check_possible(self) -> None:
        if os.environ.get("PGB_TEST_NO_DOCKER"):
            raise Unavailable(os.environ["PGB_TEST_NO_DOCKER"])
        if not shutil.which("docker"):
            raise Unavailable("the command docker is missing")
        if self.own and os.geteuid() != 0:
            raise Unavailable("only root can start a Docker Engine; PGB_TEST_DOCKER_HOST names one to use")
        if self.own and not shutil.which("dockerd"):
            raise Unavailable("the program dockerd is missing")

    def start(self) -> None:
        """Unavailable says why it cannot be."""
        self.check_possible()
        if not self.own:
            return
        make_image(None)  # while we still have the machine's network
        enter_own_network()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="pgb-engine-", dir="/var/tmp"))
        self.host = f"unix://{self.folder}/docker.sock"
        log = self.folder / "log"
        (self.folder / "daemon.json").write_text("{}")  # instead of the machine's
        environment = {key: value for key, value in os.environ.items() if not key.startswith("DOCKER_")}
        with log.open("w") as output:
            self.daemon = subprocess.Popen(
                ["dockerd", "--data-root", f"{self.folder}/data", "--exec-root", f"{self.folder}/exec", "--pidfile",
                 f"{self.folder}/pid", "--config-file", f"{self.folder}/daemon.json", "-H", self.host,
                 "--bridge=none"],
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
                env=environment)
        try:
            wait_until(self._answers_or_ended, 60, "dockerd answers")
            if self.daemon.poll() is not None:
                raise AssertionError(f"it ended with code {self.daemon.returncode}")
        except AssertionError as error:
            problem = _fail_with(f"dockerd does not start ({error}):", log)
            self.stop()
            raise problem from error
        try:
            make_image(self.host)
        except BaseException:
            self.stop()
            raise

    def _answers_or_ended(self) -> bool:
        return self.daemon.poll() is not None or self.docker("version").returncode == 0

    def docker(self, *arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run(["docker", "-H", self.host, *arguments], stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, check=False, timeout=60)

    def stop(self) -> None:
        if not self.folder:
            return
        if self.daemon and self.daemon.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                for container in self.docker("ps", "-aq").stdout.split():
                    self.docker("rm", "-f", "-v", container)
            self.daemon.send_signal(signal.SIGTERM)
            try:
                self.daemon.wait(30)
            except subprocess.TimeoutExpired:
                self.daemon.kill()
                self.daemon.wait()
        ledger.kill_processes_of(self.folder)
        self._unmount()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _unmount(self) -> None:
        mounts = [line.split()[1] for line in pathlib.Path("/proc/self/mounts").read_text().splitlines()]
        for mount in reversed([m for m in mounts if m.startswith(f"{self.folder}/")]):
            subprocess.run(["umount", "-l", mount], check=False, capture_output=True)

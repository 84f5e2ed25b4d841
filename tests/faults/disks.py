"""A file system of its own for the data of one node: small, and it can be filled or frozen. Root only."""
import contextlib
import os
import pathlib
import shutil
import subprocess
import threading

from harness.sandbox import Sandbox


def _run(*command) -> None:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, f"{command}: {done.stderr}"


class SmallDisk:
    """The node is stopped; its data are moved there."""

    def __init__(self, sandbox: Sandbox, node: str, megabytes: int):
        self.sandbox, self.node = sandbox, node
        self.path = self._data()
        image = sandbox.folder / f"{node}.img"
        with image.open("wb") as file:
            file.truncate(megabytes << 20)
        _run("mkfs.ext4", "-q", "-m", "0", image)
        copy = sandbox.folder / f"{node}.mount"
        copy.mkdir()
        _run("mount", "-o", "loop", image, copy)
        try:
            _run("cp", "-a", f"{self.path}/.", copy)
            shutil.copystat(self.path, copy)
            owner = self.path.stat()
            os.chown(copy, owner.st_uid, owner.st_gid)
            _run("mount", "--bind", copy, self.path)
        finally:
            _run("umount", copy)
        self.filler = self.path / "filler"
        self.frozen = False

    def _data(self) -> pathlib.Path:
        """As this machine sees them."""
        if not self.sandbox.docker:
            return self.sandbox.state_dir / self.sandbox.name / "units" / self.node / "data"
        mounts = self.sandbox.docker.inspect(self.sandbox.container(self.node))["Mounts"]
        volumes = [mount["Source"] for mount in mounts if mount["Type"] == "volume"]
        assert len(volumes) == 1, mounts
        return pathlib.Path(volumes[0])

    def is_seen_by(self, pid: int) -> bool:
        device = self.path.stat().st_dev
        wanted = f"{os.major(device)}:{os.minor(device)}"
        return any(line.split()[2] == wanted for line in pathlib.Path(f"/proc/{pid}/mountinfo").read_text().splitlines())

    def fill(self, left: int) -> None:
        """Until only so many bytes are free."""
        with self.filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, self.free() - left)

    def free(self) -> int:
        status = os.statvfs(self.path)
        return status.f_bavail * status.f_frsize

    def empty(self) -> None:
        self.filler.unlink()

    def freeze(self) -> None:
        """Whoever writes there hangs, and cannot be killed."""
        _run("fsfreeze", "--freeze", self.path)
        self.frozen = True

    def thaw(self) -> None:
        if self.frozen:
            _run("fsfreeze", "--unfreeze", self.path)
        self.frozen = False

    @contextlib.contextmanager
    def slow(self, seconds: float):
        """Whatever is to reach the disk waits up to so long."""
        ends = threading.Event()

        def stutter():
            while not ends.is_set():
                self.freeze()
                ends.wait(seconds)
                self.thaw()
                ends.wait(0.02)
        thread = threading.Thread(target=stutter)
        thread.start()
        try:
            yield
        finally:
            ends.set()
            thread.join()
            self.thaw()

    def remove(self) -> None:
        with contextlib.suppress(AssertionError):
            self.thaw()
        with contextlib.suppress(AssertionError):  # it may not run
            self.sandbox.kill_unit(self.node)
        with contextlib.suppress(AssertionError):
            _run("umount", "--lazy", self.path)

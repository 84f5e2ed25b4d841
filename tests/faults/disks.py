"""A file system of its own for the data of one node: small, and it can be filled or frozen. Root only."""
import contextlib
import os
import shutil
import subprocess

from harness import ledger
from harness.sandbox import Sandbox


def _run(*command) -> None:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, f"{command}: {done.stderr}"


class SmallDisk:
    """The node is stopped; its data are moved there."""

    def __init__(self, sandbox: Sandbox, node: str, megabytes: int):
        self.unit = sandbox.state_dir / sandbox.name / "units" / node
        self.path = self.unit / "data"
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

    def fill(self, left: int) -> None:
        """Until only so many bytes are free."""
        status = os.statvfs(self.path)
        with self.filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, status.f_bavail * status.f_frsize - left)

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

    def remove(self) -> None:
        with contextlib.suppress(AssertionError):
            self.thaw()
        ledger.kill_processes_of(self.unit)
        with contextlib.suppress(AssertionError):
            _run("umount", "--lazy", self.path)

"""A real image registry of our own on 127.0.0.1, from Debian's package docker-registry: only its program is
used, nothing is installed. Plain, or for those who log in."""
import ctypes
import os
import pathlib
import shutil
import subprocess
import tempfile

from harness.free_ports import free_block
from harness.waiting import wait_until

CACHE = pathlib.Path(os.environ.get("PGB_IMAGE_CACHE", pathlib.Path.home() / ".cache" / "pgbalancer"))
USER, PASSWORD = "ann", "registry-secret"


class Unavailable(Exception):
    """Why there is no such program here: the reason of the skip."""


def program() -> str:
    """Its path; taken out of the package and kept in the cache where it is not installed."""
    found = shutil.which("docker-registry")
    kept = CACHE / "docker-registry"
    if found or kept.exists():
        return found or str(kept)
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="pgb-registry-") as folder:
        os.chmod(folder, 0o777)  # apt fetches as another user
        for command in (["apt-get", "download", "-q", "docker-registry"], ["sh", "-c", "dpkg-deb -x *.deb out"]):
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)
            if done.returncode != 0:
                raise Unavailable(f"{command[0]}: {(done.stderr.strip().splitlines() or ['failed'])[-1]}")
        partial = kept.with_name(f".docker-registry.{os.getpid()}")
        shutil.copy(pathlib.Path(folder) / "out/usr/bin/docker-registry", partial)
        partial.rename(kept)
    return str(kept)


def bcrypt(password: str) -> str:
    """By the system's own library: newer Pythons have no crypt module."""
    library = ctypes.CDLL("libcrypt.so.1")
    library.crypt.restype = ctypes.c_char_p
    return library.crypt(password.encode(), b"$2b$05$" + b"pgbalancerPgbalancerPg").decode()


class Registry:
    def __init__(self, login: bool):
        self.name = f"127.0.0.1:{free_block(1)}"
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="pgb-registry-", dir="/var/tmp"))
        lines = ["version: 0.1", "storage:", "  filesystem:", f"    rootdirectory: {self.folder}/data",
                 "http:", f"  addr: {self.name}"]
        if login:
            (self.folder / "users").write_text(f"{USER}:{bcrypt(PASSWORD)}\n")
            lines += ["auth:", "  htpasswd:", "    realm: test", f"    path: {self.folder}/users"]
        (self.folder / "config.yml").write_text("\n".join(lines) + "\n")
        self.process = None

    def __enter__(self):
        with (self.folder / "log").open("w") as log:
            self.process = subprocess.Popen([program(), "serve", f"{self.folder}/config.yml"], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=subprocess.STDOUT)
        wait_until(lambda: "listening on" in (self.folder / "log").read_text(), 20, "the registry listens")
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

"""The lease store that a balancer keeps, as a client of etcd's JSON interface sees it; and a real etcd."""
import base64
import json
import pathlib
import shutil
import signal
import subprocess
import tempfile
import urllib.error
import urllib.request

from harness.free_ports import free_block
from harness.waiting import wait_until

STORE_PASSWORD = "store-password"


def text64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


class Store:
    def __init__(self, port: int, password: str = STORE_PASSWORD):
        self.port = port
        self.password = password
        self.token = ""

    def ask(self, path: str, body: dict) -> dict:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", method="POST", data=json.dumps(body).encode())
        if self.token:
            request.add_header("Authorization", self.token)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def log_in(self) -> None:
        self.token = self.ask("/v3/auth/authenticate", {"name": "pgbalancer", "password": self.password})["token"]

    def get(self, key: str) -> list[str]:
        found = self.ask("/v3/kv/range", {"key": text64(key)})["kvs"]
        return [base64.b64decode(kv["value"]).decode() for kv in found]

    def put(self, key: str, value: str) -> None:
        self.ask("/v3/kv/put", {"key": text64(key), "value": text64(value)})

    def remove(self, key: str) -> None:
        self.ask("/v3/kv/txn", {"success": [{"request_delete_range": {"key": text64(key)}}]})


class Etcd:
    """One server, of Debian's package etcd-server, with a folder of its own."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="pgb-etcd-", dir="/tmp"))
        self.port = free_block(2)
        self.url = f"http://127.0.0.1:{self.port}"
        peer = f"http://127.0.0.1:{self.port + 1}"
        with open(self.folder / "log", "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                ["etcd", "--name", "m", "--data-dir", self.folder / "data", "--listen-client-urls", self.url, "--advertise-client-urls", self.url,
                 "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"m={peer}"], stdout=log, stderr=log)
        self.store = Store(self.port)
        wait_until(self.answers, 20, "etcd answers")

    def answers(self) -> bool:
        try:
            self.store.ask("/v3/kv/range", {"key": text64("/")})
        except (OSError, urllib.error.URLError):
            return False
        return True

    def hang(self, on: bool) -> None:
        self.process.send_signal(signal.SIGSTOP if on else signal.SIGCONT)

    def close(self) -> None:
        self.hang(False)
        self.process.terminate()
        self.process.wait(20)
        shutil.rmtree(self.folder, ignore_errors=True)

"""Patroni under the failover benchmark: three servers, etcd beside them, clients through HAProxy as Patroni's documentation shows it."""
import contextlib
import json
import os
import pathlib
import pwd
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.request

import psycopg2

from debian_root import PATH
from harness import ledger
from harness.free_ports import free_block
from harness.waiting import wait_until

PASSWORD = "failover-bench"
BIN = "/usr/lib/postgresql/17/bin"


class Patroni:
    """Its own settings as shipped; of Debian's template the ways back for a former primary (pg_rewind, else a full copy)."""
    name, title = "patroni", "Patroni, shipped"
    told = "ttl 30, loop_wait 10, retry_timeout 10, synchronous_mode quorum (ANY 1 of 2); HAProxy inter 3s fall 3 rise 2; etcd on none of its nodes"
    timing = {"ttl": 30, "loop_wait": 10, "retry_timeout": 10}
    checks = "inter 3s fall 3 rise 2"  # examples/haproxy.cfg
    check_timeout = "5s"

    def __init__(self):
        self.user = pwd.getpwnam("postgres")
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix=f"{self.name}-", dir="/tmp"))
        self._give(self.folder)
        first = free_block(9)
        self.nodes = ["node1", "node2", "node3"]
        self.ports = {node: first + i for i, node in enumerate(self.nodes)}
        self.rest = {node: first + 3 + i for i, node in enumerate(self.nodes)}
        self.etcd, self.etcd_peer, self.door = first + 6, first + 7, first + 8
        self.keepers: dict[str, subprocess.Popen] = {}
        self.helpers: list[subprocess.Popen] = []
        self.through = self._url(self.door)
        self.direct = {node: self._url(port) for node, port in self.ports.items()}
        try:
            self._make()
        except BaseException:
            self.end()
            raise

    # --- making it

    def _url(self, port: int) -> str:
        return f"postgresql://postgres:{PASSWORD}@127.0.0.1:{port}/postgres?sslmode=disable&gssencmode=disable"

    def _give(self, path: pathlib.Path) -> None:
        os.chown(path, self.user.pw_uid, self.user.pw_gid)

    def _start(self, name: str, argv: list[str]) -> subprocess.Popen:
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(argv, cwd=self.folder / name, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                    env={"PATH": PATH, "LC_ALL": "C.UTF-8", "HOME": str(self.folder)}, start_new_session=True,
                                    user=self.user.pw_uid, group=self.user.pw_gid, extra_groups=[])

    def _place(self, name: str, file: str, text: str) -> pathlib.Path:
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        self._give(folder)
        path = folder / file
        path.write_text(text)
        path.chmod(0o600)
        self._give(path)
        return path

    def _make(self) -> None:
        (self.folder / "etcd").mkdir()
        self._give(self.folder / "etcd")
        client, peer = f"http://127.0.0.1:{self.etcd}", f"http://127.0.0.1:{self.etcd_peer}"
        self.helpers.append(self._start("etcd", [
            "/usr/bin/etcd", "--name", "one", "--data-dir", str(self.folder / "etcd" / "data"), "--listen-client-urls", client,
            "--advertise-client-urls", client, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
            "--initial-cluster", f"one={peer}", "--log-level", "warn"]))
        wait_until(lambda: self._get(self.etcd, "/health")["health"] == "true", 20, "etcd answers")
        for node in self.nodes:
            self._place(node, "patroni.yml", json.dumps(self._settings(node), indent=1))  # JSON is YAML
            self._run_keeper(node)
            wait_until(lambda n=node: self._state(n).get("state") == "running", 90, f"{node} runs", pause=0.2)
        servers = "".join(f"    server {node} 127.0.0.1:{port} maxconn 100 check port {self.rest[node]}\n"
                          for node, port in self.ports.items())
        path = self._place("haproxy", "haproxy.cfg", f"""global
    maxconn 100
defaults
    mode tcp
    retries 2
    timeout client 30m
    timeout connect 4s
    timeout server 30m
    timeout check {self.check_timeout}
listen primary
    bind 127.0.0.1:{self.door}
    option httpchk
    http-check expect status 200
    default-server {self.checks} on-marked-down shutdown-sessions
{servers}""")
        self.helpers.append(self._start("haproxy", ["/usr/sbin/haproxy", "-db", "-f", str(path)]))
        self.wait_streaming(120)
        wait_until(self._lets_in, 30, "HAProxy lets clients in")

    def _settings(self, node: str) -> dict:
        data = self.folder / node
        address = f"127.0.0.1:{self.rest[node]}"
        return {
            "scope": self.name, "name": node, "etcd3": {"hosts": f"127.0.0.1:{self.etcd}"},
            "restapi": {"listen": address, "connect_address": address},
            "bootstrap": {
                "dcs": self.timing | {
                    "maximum_lag_on_failover": 1048576, "check_timeline": True, "synchronous_mode": "quorum",
                    "postgresql": {"use_pg_rewind": True, "remove_data_directory_on_rewind_failure": True,
                                   "remove_data_directory_on_diverged_timelines": True, "use_slots": True,
                                   "parameters": {"wal_log_hints": "on", "max_connections": 200},
                                   "pg_hba": ["local all all trust", "host all all 127.0.0.1/32 scram-sha-256",
                                              "host replication all 127.0.0.1/32 scram-sha-256"]}},
                "initdb": [{"encoding": "UTF8"}, {"locale": "C.UTF-8"}]},
            "postgresql": {
                "listen": f"127.0.0.1:{self.ports[node]}", "connect_address": f"127.0.0.1:{self.ports[node]}",
                "data_dir": str(data / "data"), "bin_dir": BIN, "pgpass": str(data / "pgpass"),
                "authentication": {"superuser": {"username": "postgres", "password": PASSWORD},
                                   "replication": {"username": "replicator", "password": PASSWORD}},
                "parameters": {"unix_socket_directories": str(data)}}}

    def _run_keeper(self, node: str) -> None:
        self.keepers[node] = self._start(node, ["/usr/bin/patroni", str(self.folder / node / "patroni.yml")])

    # --- who is who

    @staticmethod
    def _get(port: int, path: str) -> dict:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=3) as answer:
            return json.load(answer)

    def _state(self, node: str) -> dict:
        try:
            return self._get(self.rest[node], "/patroni")
        except (urllib.error.URLError, TimeoutError, ConnectionError, ValueError):
            return {}

    def primary(self) -> str:
        found = [node for node in self.nodes if self._state(node).get("role") in ("primary", "master")]
        assert len(found) == 1, f"primaries: {found}"
        return found[0]

    def wait_streaming(self, limit: float) -> None:
        def look():
            """The server asks for one of both, and etcd says that each of them may be promoted."""
            primary = self.primary()
            asked = [(row["state"], row["sync_state"]) for row in self._state(primary).get("replication", [])]
            recorded = [member["role"] for member in self._get(self.rest[primary], "/cluster")["members"]]
            return asked == [("streaming", "quorum")] * 2 and recorded.count("quorum_standby") == 2
        wait_until(look, limit, "both replicas stream and are part of the quorum", pause=0.1)

    def port(self, node: str) -> int:
        return self.ports[node]

    def pids(self, node: str) -> list[int]:
        return list(ledger.processes_of(self.folder / node))

    def keeper(self, node: str) -> int:
        return self.keepers[node].pid

    def data(self, node: str) -> pathlib.Path:
        return self.folder / node / "data"

    def _lets_in(self) -> bool:
        psycopg2.connect(self.through, connect_timeout=2).close()
        return True

    # --- what is done to it

    def bring_back(self, node: str) -> None:
        if self.keepers[node].poll() is not None:
            self._run_keeper(node)

    def switch(self, old: str, new: str) -> str:
        request = urllib.request.Request(f"http://127.0.0.1:{self.rest[old]}/switchover", method="POST",
                                         data=json.dumps({"leader": old, "candidate": new}).encode())
        try:
            with urllib.request.urlopen(request, timeout=90):
                return ""
        except urllib.error.HTTPError as refused:
            return f"switchover from {old}: {refused.code} {refused.read().decode(errors='replace')[:300]}"

    def save_logs(self, folder: pathlib.Path) -> None:
        for log in self.folder.glob("*.log"):
            shutil.copy(log, folder)

    def end(self) -> None:
        for process in [*self.keepers.values(), *self.helpers]:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.wait()
        ledger.kill_processes_of(self.folder)
        shutil.rmtree(self.folder, ignore_errors=True)


class FastPatroni(Patroni):
    """ttl has a floor of 20, loop_wait of 1, retry_timeout of 3."""
    name, title = "patroni-fast", "Patroni, fastest"
    told = "ttl 20, loop_wait 1, retry_timeout 3, synchronous_mode quorum (ANY 1 of 2); HAProxy inter 500ms fastinter 100ms fall 2 rise 1"
    timing = {"ttl": 20, "loop_wait": 1, "retry_timeout": 3}
    checks = "inter 500ms fastinter 100ms fall 2 rise 1"
    check_timeout = "1s"

"""The leader lease in an etcd cluster of the user's, which wants to see a certificate and a password."""
import contextlib
import json
import pathlib
import shutil
import ssl
import subprocess
import time
import urllib.request

import pytest

from harness.commits import CommitLedger
from harness.free_ports import free_block
from harness.tls_site import Certificates
from harness.waiting import wait_until

PASSWORD = "of-the-lease-store"


class Etcd:
    """One member, with TLS on both sides and its users turned on."""

    def __init__(self, folder):
        self.folder = folder
        self.port = free_block(2)
        self.url = f"https://127.0.0.1:{self.port}"
        self.certificates = Certificates(folder)
        self.certificates.authority("authority")
        self.certificates.sign("server", "authority")
        self.certificates.sign("agents", "authority", subject="/O=agents")  # with users on, etcd takes no common name
        peer = f"http://127.0.0.1:{self.port + 1}"
        with (folder / "etcd.log").open("w") as log:
            self.process = subprocess.Popen(
                ["etcd", "--name", "m0", "--data-dir", str(folder / "data"), "--listen-client-urls", self.url,
                 "--advertise-client-urls", self.url, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
                 "--initial-cluster", f"m0={peer}", "--cert-file", self.certificates.crt("server"), "--key-file",
                 self.certificates.key("server"), "--trusted-ca-file", self.certificates.crt("authority"), "--client-cert-auth"],
                stdout=log, stderr=log)

    def ask(self, path: str, body: dict) -> dict:
        context = ssl.create_default_context(cafile=self.certificates.crt("authority"))
        context.load_cert_chain(self.certificates.crt("agents"), self.certificates.key("agents"))
        request = urllib.request.Request(self.url + path, method="POST", data=json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=5, context=context) as answer:
            return json.load(answer)

    def answers(self) -> bool:
        with contextlib.suppress(OSError):
            return "header" in self.ask("/v3/kv/range", {"key": "YQ=="})
        return False

    def want_password(self) -> None:
        wait_until(self.answers, 30, "etcd answers")
        self.ask("/v3/auth/user/add", {"name": "root", "password": PASSWORD})
        self.ask("/v3/auth/role/add", {"name": "root"})
        self.ask("/v3/auth/user/grant", {"user": "root", "role": "root"})
        self.ask("/v3/auth/enable", {})

    def access(self) -> dict:
        return {"etcd": [self.url], "ca_file": self.certificates.crt("authority"), "cert_file": self.certificates.crt("agents"),
                "key_file": self.certificates.key("agents"), "user": "root", "password": {"file": str(self.folder / "password")}}


@pytest.fixture
def etcd(tmp_path):
    if not shutil.which("etcd"):
        pytest.skip("there is no etcd: install Debian's etcd-server (make deps-test)")
    store = Etcd(tmp_path)
    try:
        (tmp_path / "password").write_text(PASSWORD + "\n")
        store.want_password()
        yield store
    finally:
        store.process.kill()
        store.process.wait()


def test_a_group_keeps_its_lease_in_an_etcd_with_certificates_and_a_password(make_sandbox, etcd):
    with make_sandbox("process") as cluster:
        cluster.document["ha"] = {"failover": True}
        cluster.document["dcs"] = etcd.access()
        cluster.write()
        cluster.init()
        cluster.wait_healthy()
        for pid, command in ((pid, command) for unit in (*cluster.hosts(), "lb1") for pid, command in cluster.pids(unit).items()):
            with contextlib.suppress(OSError):  # a process of the moment
                assert PASSWORD.encode() not in pathlib.Path(f"/proc/{pid}/environ").read_bytes()
            assert PASSWORD not in command
        for file in cluster.state_dir.rglob("*"):
            if file.is_file() and file.stat().st_mode & 0o077:
                text = file.read_bytes()
                assert PASSWORD.encode() not in text and b"PRIVATE KEY" not in text, file
        new = cluster.hosts()[1]
        # The balancer follows leader and hand-over there, too: no client sees anything of a planned change.
        ledger = CommitLedger(cluster.url(), {name: cluster.url("--direct", name) for name in cluster.hosts()})
        ledger.start()
        wait_until(lambda: ledger.count_through_balancer() > 30, 20, "commits are acknowledged")
        moment = time.monotonic()
        cluster.run("switchover", "--to", new)
        wait_until(lambda: ledger.last_port() == ledger.ports[new], 20, f"{new} acknowledges commits")
        ledger.stop()
        assert not [error for error in ledger.errors if error.writer < ledger.by_balancer and error.when > moment]
        status = cluster.wait_healthy()
        assert cluster.node(new, status)["role"] == "primary"
        # What was read when the cluster was made is what holds.
        for name in ("agents.key", "authority.crt"):
            (etcd.folder / name).unlink()
        cluster.run("switchover", "--to", cluster.hosts()[0])
        cluster.wait_healthy()

"""pgpool-II's own pcp_* commands, as Debian has them (bookworm's 4.3, trixie's 4.6, and sid's where they are), against the PCP port."""
import concurrent.futures
import hashlib
import os
import re
import socket
import struct
import subprocess
import time

import psycopg2
import pytest

from harness.alone import standing_group
from harness.free_ports import free_block
from harness.apt import Unavailable
from harness.pcp import SOURCES, clients_of
from harness.waiting import wait_until


class Site:
    def __init__(self, primary, replica, balancer, port, clients):
        self.primary, self.replica, self.balancer, self.port, self.clients = primary, replica, balancer, port, clients

    def pcp(self, command: str, *arguments, password: str = "pcp pass", user: str = "boss") -> subprocess.CompletedProcess:
        return self.clients.run(self.port, command, *arguments, user=user, password=password)

    def good(self, command: str, *arguments) -> str:
        """The clients' exit code is 0 whatever the server says."""
        done = self.pcp(command, *arguments)
        assert (done.returncode, done.stderr) == (0, ""), done
        return done.stdout

    def client(self):
        return psycopg2.connect(host="127.0.0.1", port=self.balancer.port, user="shop", password="shop", dbname="postgres")


@pytest.fixture(scope="module", params=SOURCES)
def site(request):
    try:
        clients = clients_of(request.param)
    except Unavailable as reason:
        pytest.skip(str(reason))
    with standing_group(1) as (primary, replicas, balancer):
        users = balancer.folder / "pcp.conf"
        users.touch(0o600)
        users.write_text(f"# name:md5\nboss:{hashlib.md5(b'pcp pass').hexdigest()}\n")
        port = free_block(1)
        balancer.config |= {"pcp_port": port, "pcp_users_file": "pcp.conf", "log_file": "balancer.txt"} | clients.config
        balancer.restart()
        wait_until(lambda: all(node["healthy"] for node in balancer.ask("status")["nodes"]), 20, "all servers are found")
        primary.sql("CREATE ROLE shop LOGIN PASSWORD 'shop'")
        replicas[0].wait_caught_up()
        yield Site(primary, replicas[0], balancer, port, clients)


def test_node_count_and_info(site):
    assert site.good("node_count").strip() == "2"
    with site.client() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        first = site.good("node_info", 0).split()
        assert first[:2] == ["127.0.0.1", str(site.primary.port)], first
        assert "primary" in first and "up" in first and "0.500000" in first, first
        lines = site.good("node_info", "-v").splitlines()
        assert sum("Hostname" in line for line in lines) == 2, lines
        values = [line.split(":", 1)[1].strip() for line in lines if line.startswith("Role") or line.startswith("Backend Role")]
        assert "standby" in values and "primary" in values, lines
    missing = site.pcp("node_info", 7)
    assert not missing.stdout and "there is no node of this number" in missing.stderr, missing


def test_health_check_stats(site):
    text = site.good("health_check_stats", 1, "-v")
    assert re.search(r"Success Count\s*: [1-9]", text) and re.search(r"Fail Count\s*: 0", text), text


def test_processes_and_status(site):
    pid = str(site.balancer.process.pid)
    count = site.good("proc_count").split()
    assert pid in count, count
    with site.client() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        backend = str(cursor.fetchone()[0])
        assert [line for line in site.good("proc_info", pid).splitlines() if line.startswith("postgres shop") and f" {backend} " in line]
        assert backend in site.good("proc_info", "-a")
    status = site.good("pool_status")
    assert re.search(r"name : pool_mode\nvalue: transaction", status), status
    assert site.balancer.token not in status and "password" not in status.lower()


def test_detach_and_attach(site):
    def changed() -> str:
        return " ".join(site.good("node_info", 1).split()[-2:])
    before = changed()
    time.sleep(1.1)  # it is told in whole seconds
    site.good("detach_node", 1)
    assert re.fullmatch(r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d", before) and before < changed(), (before, changed())
    assert {node["name"]: node["drained"] for node in site.balancer.ask("status")["nodes"]} == {"primary": False, "replica1": True}
    assert "down" in site.good("node_info", 1)
    site.good("attach_node", 1)
    assert not any(node["drained"] for node in site.balancer.ask("status")["nodes"])
    site.good("detach_node", "-g", 1)
    site.good("attach_node", 1)
    assert "there is no node of this number" in site.pcp("detach_node", 9).stderr


def test_reload(site):
    site.balancer.config["pool_size"] = 7
    site.balancer.write()
    site.good("reload_config")
    assert re.search(r"name : pool_size\nvalue: 7", site.good("pool_status"))


def test_log_and_cache(site):
    if float(site.clients.version) < 4.6:
        pytest.skip(f"pgpool-II {site.clients.version} has no commands for that")
    log = site.balancer.folder / "balancer.txt"
    log.rename(log.with_suffix(".1"))
    site.good("log_rotate")
    assert log.exists()
    with site.client() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        site.good("invalidate_query_cache")
        assert "invalidate_cache" in log.read_text()
        cursor.execute("SELECT 1")


def test_what_has_no_meaning_here_says_so(site):
    for command, arguments, why in (("watchdog_info", (), "no agents choose the primary here"),
                                    ("promote_node", (1,), "no agents choose the primary here"),
                                    ("recovery_node", (1,), "no agents choose the primary here")):
        done = site.pcp(command, *arguments)
        assert not done.stdout and why in done.stderr, done


def test_a_wrong_password_gets_nobody_in(site):
    for user, password in (("boss", "wrong"), ("nobody", "pcp pass")):
        done = site.pcp("node_count", user=user, password=password)
        assert done.returncode != 0 and "authentication failed" in done.stderr, done
    assert site.good("node_count").strip() == "2"


def test_bad_bytes_and_idle_connections_leave_it_alone(site):
    held = [socket.create_connection(("127.0.0.1", site.port), 5) for _ in range(10)]
    for bytes_in in (b"M\xff\xff\xff\xff", b"L\0\0\0\4", b"R\0\0\0\5x", os.urandom(4096), b""):
        with socket.create_connection(("127.0.0.1", site.port), 5) as wire:
            wire.settimeout(10)
            wire.sendall(bytes_in)
            wire.shutdown(socket.SHUT_WR)
            while wire.recv(4096):
                pass
    assert site.good("node_count").strip() == "2"
    for wire in held:
        wire.close()
    with site.client() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def test_who_guesses_has_to_wait(site):
    proof = b"boss\0" + b"0" * 32 + b"\0"

    def guess(_) -> bytes:
        with socket.create_connection(("127.0.0.1", site.port), 5) as wire:
            wire.sendall(b"M\0\0\0\4" + b"R" + struct.pack("!I", len(proof) + 4) + proof)
            told = b""
            while more := wire.recv(4096):
                told += more
            return told

    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        told = list(pool.map(guess, range(12)))
    assert any(b"does not match" in one for one in told) and any(b"too many logins have failed" in one for one in told), told
    assert all(b"AuthenticationOK" not in one for one in told)
    done = site.pcp("node_count")
    assert done.returncode != 0 and re.search(r"try again in [1-5] s", done.stderr), "the right password is not looked at, either"
    wait_until(lambda: site.pcp("node_count").stdout.strip() == "2", 15, "it may be tried again")


def test_a_take_over_keeps_it(site):
    site.balancer.config["takeover_socket"] = "takeover.sock"
    site.balancer.config.pop("log_file")  # take_over() reads standard error
    site.balancer.restart()
    site.balancer.take_over()
    wait_until(lambda: site.pcp("node_count").stdout.strip() == "2", 20, "the new process answers")


def test_stop(site):
    site.good("stop_pgpool", "-m", "fast")
    assert site.balancer.process.wait(10) == 0, site.balancer.log
    site.balancer.start()
    site.good("stop_pgpool")  # smart
    assert site.balancer.process.wait(10) == 0, site.balancer.log
    site.balancer.start()

"""A balancer without a cluster: a PostgreSQL server with a pg_hba.conf of the test's own, replicas of it if wanted, and the
balancer in front of them. Everything lies in one fresh folder, which is gone at the end."""
import contextlib
import json
import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import tempfile
import urllib.request

import psycopg2

from harness.free_ports import free_block
from harness.ledger import parent_of
from harness.manager import bin_dir
from harness.waiting import wait_until

AUTH_PASSWORD = "balance"
GET_AUTH = f"""CREATE ROLE pgbalancer LOGIN PASSWORD '{AUTH_PASSWORD}'; CREATE SCHEMA pgbalancer;
GRANT USAGE ON SCHEMA pgbalancer TO pgbalancer;
CREATE FUNCTION pgbalancer.get_auth(role_name text) RETURNS text LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog AS $$ SELECT rolpassword::text FROM pg_catalog.pg_authid WHERE rolname = role_name AND
rolcanlogin $$;"""


def newest_bin() -> pathlib.Path:
    return max(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))


class Folder:
    """Made by mkdtemp; root's servers run as the user postgres, who must be able to go in."""

    def __init__(self):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="pgb-alone-", dir="/tmp"))
        self.path.chmod(0o755)

    def remove(self) -> None:
        assert self.path.is_absolute() and self.path.name.startswith("pgb-alone-"), self.path
        shutil.rmtree(self.path, ignore_errors=True)


class Server:
    """One PostgreSQL server. The superuser comes in by the socket; clients by the rules given."""

    def __init__(self, folder: pathlib.Path, rules: str = "host all all all scram-sha-256", name: str = "server"):
        self.name = name
        self.folder = folder / name
        self.folder.mkdir()
        self.user = {}
        if os.geteuid() == 0:
            account = pwd.getpwnam("postgres")
            os.chown(self.folder, account.pw_uid, account.pw_gid)
            self.user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        self.port = free_block(1)
        self.process = None
        self.make_data()
        self.rules(rules)

    def make_data(self) -> None:
        self.run("initdb", "-U", "postgres", "--no-sync", "-A", "trust", "-E", "UTF8", "--locale=C")

    def run(self, program: str, *arguments) -> None:
        subprocess.run([newest_bin() / program, "-D", self.folder / "data", *arguments], check=True, capture_output=True,
                       cwd=self.folder, **self.user)

    def rules(self, text: str) -> None:
        (self.folder / "data" / "pg_hba.conf").write_text(f"local all,replication all trust\n{text}\n")
        if self.process:
            self.sql("SELECT pg_reload_conf()")

    def start(self) -> None:
        with open(self.folder / "log", "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                [newest_bin() / "postgres", "-D", self.folder / "data", "-p", str(self.port), "-k", self.folder,
                 "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "shared_buffers=16MB", "-c",
                 "wal_level=logical"], stdout=log, stderr=log, cwd=self.folder, **self.user)
        wait_until(lambda: self.sql("SELECT 1"), 30, "the server answers")

    def sql(self, text: str, parameters=None, database: str = "postgres"):
        with contextlib.closing(psycopg2.connect(host=str(self.folder), port=self.port, user="postgres",
                                                 dbname=database)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(text, parameters)
                return cursor.fetchall() if cursor.description else None

    def set(self, **parameters) -> None:
        """In force when it returns; None: what it was before."""
        for key, value in parameters.items():
            self.sql(f"ALTER SYSTEM RESET {key}" if value is None else f"ALTER SYSTEM SET {key} = '{value}'")
        self.sql("SELECT pg_reload_conf()")
        for key, value in parameters.items():
            wait_until(lambda k=key, v=value: self.sql(
                "SELECT source = 'configuration file' FROM pg_settings WHERE name = %s", (k,))[0][0] is (v is not None) and (
                    v is None or self.sql(f"SHOW {k}") == [(v,)]), 10, f"{self.name} has {key} = {value}")

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait(20)

    def pids(self) -> list[int]:
        """The postmaster and its children."""
        everyone = [int(path.name) for path in pathlib.Path("/proc").iterdir() if path.name.isdigit()]
        return [self.process.pid, *(pid for pid in everyone if parent_of(pid) == self.process.pid)]

    def signal_all(self, what: int) -> None:
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, what)

    def kill(self) -> None:
        """The postmaster, with no time for a word; its children find that out and go."""
        children = self.pids()[1:]
        self.process.kill()
        self.process.wait(20)
        wait_until(lambda: not any(pathlib.Path(f"/proc/{pid}").exists() for pid in children), 20, f"{self.name} is gone")

    def promote(self) -> None:
        self.run("pg_ctl", "promote", "-w", "-t", "30")


class Replica(Server):
    """Streams from a server that runs."""

    def __init__(self, primary: Server, name: str, rules: str = "host all all all scram-sha-256"):
        self.primary = primary
        super().__init__(primary.folder.parent, rules, name)

    def make_data(self) -> None:
        self.run("pg_basebackup", "-h", self.primary.folder, "-p", str(self.primary.port), "-U", "postgres", "-R", "-c", "fast",
                 "--no-sync")

    def wait_caught_up(self) -> None:
        lsn = self.primary.sql("SELECT pg_current_wal_insert_lsn()::text")[0][0]
        wait_until(lambda: self.sql("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", (lsn,))[0][0], 30,
                   f"{self.name} has replayed {lsn}")


def node_of(server: Server, name: str | None = None, **more) -> dict:
    return {"name": name or server.name, "host": "127.0.0.1", "port": server.port} | more


class Balancer:
    """pgbalancer with a file of its own; `config` may be changed, then reload() or restart()."""

    def __init__(self, folder: pathlib.Path, server: Server, **config):
        self.folder = folder
        self.port = free_block(2)
        self.rest = self.port + 1
        self.token = "let-me-in"
        self.config = {"listen_address": "127.0.0.1", "port": self.port, "rest_port": self.rest, "token": self.token,
                       "threads": 2, "auth_password": AUTH_PASSWORD,
                       "nodes": [node_of(server, "one")]} | config
        self.process = None
        self.earlier = []  # processes that another one took over from
        self.log_file = folder / "balancer.log"
        self.log_file.touch()

    @property
    def log(self) -> str:
        return self.log_file.read_text(encoding="utf-8")

    def write(self) -> pathlib.Path:
        path = self.folder / "balancer.json"
        path.touch(0o600)
        path.write_text(json.dumps(self.config))
        return path

    def spawn(self, *options: str) -> subprocess.Popen:
        with open(self.log_file, "a", encoding="utf-8") as log:
            return subprocess.Popen([bin_dir() / "pgbalancer", "--config", self.write(), *options], stdout=log, stderr=log,
                                    cwd=self.folder)

    def start(self) -> None:
        self.process = self.spawn()
        wait_until(self.is_ready, 20, "the balancer has found its server")

    def take_over(self) -> subprocess.Popen:
        """A new process takes the place of the one that runs, which is returned."""
        done = self.log.count("took over;")
        self.earlier.append(self.process)
        self.process = self.spawn("--take-over")

        def has_taken_over() -> bool:
            assert self.process.poll() is None, self.log
            return self.log.count("took over;") > done
        wait_until(has_taken_over, 20, "the new process has taken over")
        return self.earlier[-1]

    def is_ready(self) -> bool:
        assert self.process.poll() is None, self.log
        return any(node["role"] == "primary" and node["healthy"] for node in self.ask("status")["nodes"])

    def ask(self, what: str, method: str = "GET") -> dict:
        request = urllib.request.Request(f"http://127.0.0.1:{self.rest}/api/v1/{what}", method=method,
                                         headers={"Authorization": f"Bearer {self.token}"})
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)

    def reload(self) -> None:
        self.write()
        self.ask("control/reload", "POST")

    def stop(self) -> None:
        for process in (self.process, *self.earlier):
            if process and process.poll() is None:
                process.terminate()
                assert process.wait(20) == 0, self.log

    def restart(self) -> None:
        self.stop()
        self.start()

    def url(self, user: str, password: str = "", database: str = "postgres") -> str:
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{database}"


@contextlib.contextmanager
def standing_alone(server_rules: str, **config):
    """(server, balancer), for as long as the block lasts."""
    folder = Folder()
    with contextlib.ExitStack() as stack:
        stack.callback(folder.remove)
        server = Server(folder.path, server_rules)
        stack.callback(server.stop)
        server.start()
        server.sql(GET_AUTH)
        balancer = Balancer(folder.path, server, **config)
        stack.callback(balancer.stop)
        balancer.start()
        yield server, balancer


@contextlib.contextmanager
def standing_group(replicas: int = 2, **config):
    """(primary, replicas, balancer): the nodes are "primary", "replica1", "replica2" …"""
    folder = Folder()
    with contextlib.ExitStack() as stack:
        stack.callback(folder.remove)
        primary = Server(folder.path, name="primary")
        stack.callback(primary.stop)
        primary.start()
        primary.sql(GET_AUTH)
        followers = []
        for number in range(1, replicas + 1):
            followers.append(Replica(primary, f"replica{number}"))
            stack.callback(followers[-1].stop)
            followers[-1].start()
        balancer = Balancer(folder.path, primary, nodes=[node_of(node) for node in (primary, *followers)], **config)
        stack.callback(balancer.stop)
        balancer.start()
        wait_until(lambda: all(node["healthy"] for node in balancer.ask("status")["nodes"]), 20, "all servers are found")
        yield primary, followers, balancer

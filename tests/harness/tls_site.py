"""A PostgreSQL server with certificates of a test's own, a balancer in front of it by its own file, and somebody who
sits in between and looks."""
import contextlib
import json
import os
import pathlib
import pwd
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import tempfile
import threading
import urllib.request

import psycopg2

from harness.free_ports import free_block
from harness.manager import bin_dir
from harness.waiting import wait_until

SSL_REQUEST = struct.pack("!II", 8, 80877103)
PASSWORDS = {"pgbalancer": "balance", "alice": "wonderland"}
SET_UP = """
CREATE ROLE pgbalancer LOGIN PASSWORD 'balance';
CREATE ROLE alice LOGIN REPLICATION PASSWORD 'wonderland';
CREATE SCHEMA pgbalancer;
GRANT USAGE ON SCHEMA pgbalancer TO pgbalancer;
CREATE FUNCTION pgbalancer.get_auth(role_name text) RETURNS text LANGUAGE sql STABLE SECURITY DEFINER
  SET search_path = pg_catalog AS 'SELECT rolpassword FROM pg_authid WHERE rolname = role_name AND rolcanlogin';
"""


def server_programs() -> pathlib.Path:
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    assert found, "no PostgreSQL below /usr/lib/postgresql"
    return found[-1].parent


class Certificates:
    """Authorities, and what they sign; files are NAME.crt and NAME.key."""

    def __init__(self, folder: pathlib.Path):
        self.folder = folder

    def crt(self, name: str) -> str:
        return str(self.folder / f"{name}.crt")

    def key(self, name: str) -> str:
        return str(self.folder / f"{name}.key")

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=self.folder)

    def authority(self, name: str) -> None:
        self._openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}",
                      "-keyout", f"{name}.key", "-out", f"{name}.crt")

    def sign(self, name: str, by: str, hosts: str = "DNS:localhost,IP:127.0.0.1", common_name: str = "",
             subject: str = "") -> None:
        self._openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", subject or f"/CN={common_name or name}", "-keyout",
                      f"{name}.key", "-out", f"{name}.csr")
        (self.folder / "extensions").write_text(f"subjectAltName={hosts}\n")
        self._openssl("x509", "-req", "-in", f"{name}.csr", "-days", "2", "-CA", f"{by}.crt", "-CAkey", f"{by}.key",
                      "-CAcreateserial", "-extfile", "extensions", "-out", f"{name}.crt")


class Site:
    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="pgb-tls-", dir="/tmp"))
        self.folder.chmod(0o755)
        self.certificates = Certificates(self.folder)
        self.programs = server_programs()
        first = free_block(6)
        self.server_port, self.balancer_port, self.rest_port = first, first + 1, first + 2
        self.relay_port = first + 3
        self.account = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
        self.server = self.balancer = None
        self.log = self.folder / "balancer.log"
        self.config: dict = {}
        with contextlib.ExitStack() as on_failure:
            on_failure.callback(self.close)
            self._make_server()
            on_failure.pop_all()

    # --- the server

    def _as_owner(self):
        if self.account:
            os.setgroups([])
            os.setgid(self.account.pw_gid)
            os.setuid(self.account.pw_uid)

    def _own(self, path: pathlib.Path) -> None:
        if self.account:
            os.chown(path, self.account.pw_uid, self.account.pw_gid)

    def _make_server(self) -> None:
        for name in ("authority", "stranger"):
            self.certificates.authority(name)
        self.certificates.sign("server", "authority", "DNS:db.example,IP:127.0.0.1")
        self.certificates.sign("balancer", "authority")
        self.certificates.sign("alice", "authority", common_name="alice")
        self.certificates.sign("unknown", "stranger", common_name="alice")
        self.data = self.folder / "data"
        self.data.mkdir(0o700)
        self._own(self.data)
        subprocess.run([self.programs / "initdb", "-D", self.data, "-U", "owner", "-A", "trust", "-E", "UTF8",
                        "--locale=C", "--no-sync"], check=True, capture_output=True, cwd="/",
                       preexec_fn=self._as_owner)
        for suffix in (".crt", ".key"):
            shutil.copy(self.folder / f"server{suffix}", self.data / f"server{suffix}")
            (self.data / f"server{suffix}").chmod(0o600)
            self._own(self.data / f"server{suffix}")
        shutil.copy(self.folder / "authority.crt", self.data / "authority.crt")
        (self.data / "authority.crt").chmod(0o644)
        with (self.data / "postgresql.conf").open("a") as out:
            out.write("ssl = on\nssl_ca_file = 'authority.crt'\n")
        self._start_server()
        self.sql(SET_UP)

    def _start_server(self) -> None:
        with (self.folder / "server.log").open("ab") as out:
            self.server = subprocess.Popen(
                [self.programs / "postgres", "-D", self.data, "-p", str(self.server_port), "-k", self.data, "-c",
                 "listen_addresses=127.0.0.1", "-c", "fsync=off"],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd="/", preexec_fn=self._as_owner)
        wait_until(lambda: self.sql("SELECT 1") == [(1,)], 30, "the server answers")

    def sql(self, text: str) -> list:
        """As superuser, past all passwords and certificates."""
        connection = psycopg2.connect(host=str(self.data), port=self.server_port, user="owner", dbname="postgres")
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(text)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def server_rules(self, *lines: str, tls: bool = True) -> None:
        """What the server asks of connections over the network from now on."""
        (self.data / "pg_hba.conf").write_text("\n".join(["local all owner trust", *lines]) + "\n")
        self.sql(f"ALTER SYSTEM SET ssl = {'on' if tls else 'off'}")
        self.sql("SELECT pg_reload_conf()")
        wait_until(lambda: self.sql("SHOW ssl") == [("on" if tls else "off",)], 10, "the server has read its rules")

    # --- the balancer

    def write_config(self, **keys) -> pathlib.Path:
        self.config = {"listen_address": "127.0.0.1", "port": self.balancer_port, "auth_password": "balance",
                       "token": "token", "rest_port": self.rest_port, "threads": 2,
                       "nodes": [{"name": "db1", "host": "127.0.0.1", "port": self.server_port}]} | keys
        path = self.folder / "balancer.json"
        path.touch(0o600)
        path.write_text(json.dumps(self.config))
        return path

    @contextlib.contextmanager
    def serving(self, healthy: bool = True, **keys):
        """A balancer with these keys in its file."""
        path = self.write_config(**keys)
        self.log.write_text("")
        with self.log.open("ab") as out:
            self.balancer = subprocess.Popen([bin_dir() / "pgbalancer", "--config", path], stdin=subprocess.DEVNULL,
                                             stdout=out, stderr=out, cwd="/")
        try:
            look = self.is_healthy if healthy else self.last_error
            wait_until(look, 15, f"the balancer knows its server; {self.log}")
            yield self
        finally:
            process, self.balancer = self.balancer, None
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0, self.log.read_text()

    def rest(self, path: str, method: str = "GET"):
        request = urllib.request.Request(f"http://127.0.0.1:{self.rest_port}/api/v1/{path}", method=method,
                                         headers={"Authorization": "Bearer token"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def is_healthy(self) -> bool:
        return self.rest("status")["nodes"][0]["healthy"]

    def last_error(self) -> str:
        return self.rest("status")["nodes"][0]["last_error"]

    def reload(self) -> None:
        before = self.log.read_text().count("configuration")
        self.balancer.send_signal(signal.SIGHUP)
        wait_until(lambda: self.log.read_text().count("configuration") > before, 10, "the file was read again")

    def dsn(self, user: str = "alice", **options) -> str:
        keys = {"host": "127.0.0.1", "port": self.balancer_port, "user": user, "password": PASSWORDS[user],
                "dbname": "postgres", "connect_timeout": 15, "sslcert": "/nonexistent"} | options
        return " ".join(f"{key}='{value}'" for key, value in keys.items())

    def connect(self, **options):
        return psycopg2.connect(self.dsn(**options))

    def value(self, sql: str, **options):
        connection = self.connect(**options)
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(sql)
                return cursor.fetchone()[0]
        finally:
            connection.close()

    def url(self, user: str = "alice") -> str:
        return f"postgresql://{user}:{PASSWORDS[user]}@127.0.0.1:{self.balancer_port}/postgres"

    def close(self) -> None:
        if self.balancer:
            self.balancer.kill()
            self.balancer.wait(20)
        if self.server:
            self.server.send_signal(signal.SIGQUIT)
            self.server.wait(30)
        made = str(self.folder)
        assert made.startswith("/tmp/pgb-tls-") and "/" not in made.removeprefix("/tmp/")
        shutil.rmtree(made, ignore_errors=True)


class Relay:
    """Passes connections on to a port of this machine and keeps their first bytes. With a certificate it ends TLS with
    that one and begins another to where it passes them on: a man in the middle."""

    def __init__(self, port: int, to: int, certificate: tuple[str, str] | None = None):
        self.to, self.certificate = to, certificate
        self.first_bytes: list[bytes] = []
        self.listener = socket.create_server(("127.0.0.1", port))
        self.open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            first = client.recv(8, socket.MSG_WAITALL)
            self.first_bytes.append(first)
            server = socket.create_connection(("127.0.0.1", self.to))
            self.open += [client, server]
            server.sendall(first)
            if self.certificate and first == SSL_REQUEST:
                assert server.recv(1) == b"S"
                client.sendall(b"S")
                front = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                front.load_cert_chain(*self.certificate)
                front.set_alpn_protocols(["postgresql"])
                client = front.wrap_socket(client, server_side=True)
                back = ssl.create_default_context()
                back.check_hostname, back.verify_mode = False, ssl.CERT_NONE
                server = back.wrap_socket(server)
                self.open += [client, server]
            threading.Thread(target=self._pass, args=(client, server), daemon=True).start()
            self._pass(server, client)

    @staticmethod
    def _pass(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError):
            while data := source.recv(65536):
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for one in self.open:
            with contextlib.suppress(OSError):
                one.close()

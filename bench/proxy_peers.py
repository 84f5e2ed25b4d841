"""The servers, and the proxies that are compared: how each is configured for the same job (transaction
pooling with 16 servers where it can, SCRAM on both sides, TLS for clients that ask for it)."""
import json
import os
import pathlib
import signal
import socket
import time

from debian_root import Failed
from proxy_root import Process, Workplace
from proxy_wire import Refused, WireClient

USER, PASSWORD, DATABASE = "bench", "bench-secret", "bench"
POOL = 16
_next_port = [0]

GET_AUTH = """
CREATE ROLE pgbalancer LOGIN PASSWORD 'balance';
CREATE SCHEMA pgbalancer; GRANT USAGE ON SCHEMA pgbalancer TO pgbalancer;
CREATE FUNCTION pgbalancer.get_auth(role_name text) RETURNS text LANGUAGE sql STABLE SECURITY DEFINER
  SET search_path = pg_catalog AS
  $$ SELECT rolpassword::text FROM pg_authid WHERE rolname = role_name AND rolcanlogin $$;
REVOKE ALL ON FUNCTION pgbalancer.get_auth(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pgbalancer.get_auth(text) TO pgbalancer;
"""


def free_port() -> int:
    """Below the range from which outgoing connections get theirs; none twice in a run."""
    low = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    _next_port[0] = _next_port[0] or min(low, 30000) - 2000
    while True:
        _next_port[0] += 1
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", _next_port[0]))
                return _next_port[0]
            except OSError:
                continue


class Server:
    """A PostgreSQL server with fsync off."""

    def __init__(self, place: Workplace, name: str, most_connections: int):
        self.place, self.name, self.most = place, name, most_connections
        self.data = place.inside(place.folder / name)
        self.sockets = place.inside(place.folder)
        self.port = free_port()
        self.process: Process | None = None

    def start(self) -> None:
        options = {"listen_addresses": "127.0.0.1", "port": self.port, "unix_socket_directories": self.sockets,
                   "fsync": "off", "max_connections": self.most, "shared_buffers": "512MB", "max_wal_size": "4GB",
                   "dynamic_shared_memory_type": "mmap", "autovacuum": "off",
                   "ssl_cert_file": f"{self.sockets}/tls.crt", "ssl_key_file": f"{self.sockets}/tls.key",
                   "hot_standby": "on", "log_min_messages": "fatal"}
        argv = ["/usr/lib/postgresql/18/bin/postgres", "-D", self.data]
        for key, value in options.items():
            argv += ["-c", f"{key}={value}"]
        self.process = self.place.start(self.name, argv, stop=signal.SIGQUIT)
        deadline = time.monotonic() + 60
        while self.place.run(["pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]).returncode != 0:
            if not self.process.alive() or time.monotonic() > deadline:
                raise Failed(f"PostgreSQL does not start: {self.process.last_line()}")
            time.sleep(0.1)

    def sql(self, text: str, database: str = "postgres") -> str:
        return self.place.must(["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", self.sockets, "-p", str(self.port),
                                "-U", "postgres", "-d", database, "-c", text]).strip()

    def make_primary(self, scale: int) -> None:
        self.place.must(["initdb", "-D", self.data, "-U", "postgres", "--no-sync", "--auth-local=trust",
                         "--auth-host=scram-sha-256", "-E", "UTF8", "--locale=C"])
        self.start()
        self.sql(f"CREATE ROLE {USER} LOGIN PASSWORD '{PASSWORD}'")
        self.sql(f"CREATE DATABASE {DATABASE} OWNER {USER}")
        self.sql(f"CREATE ROLE copier REPLICATION LOGIN PASSWORD '{PASSWORD}'")
        self.sql(GET_AUTH)
        self.place.must(["pgbench", "-i", "-q", "-s", str(scale)], env=client_env(self.port))
        self.sql("VACUUM ANALYZE", DATABASE)
        self.sql("CHECKPOINT")

    def make_replica(self, primary: "Server") -> None:
        self.place.must(["pg_basebackup", "-h", primary.sockets, "-p", str(primary.port), "-U", "postgres",
                         "-D", self.data, "-R", "-X", "stream", "-c", "fast", "--no-sync"])
        self.start()

    def transactions(self) -> int:
        return int(self.sql(f"SELECT xact_commit FROM pg_stat_database WHERE datname = '{DATABASE}'"))


def client_env(port: int, tls: bool = False) -> dict:
    return {"PGHOST": "127.0.0.1", "PGPORT": str(port), "PGUSER": USER, "PGPASSWORD": PASSWORD, "PGDATABASE": DATABASE,
            "PGSSLMODE": "require" if tls else "disable", "PGGSSENCMODE": "disable", "PGCONNECT_TIMEOUT": "20"}


def make_certificate(place: Workplace) -> None:
    folder = place.inside(place.folder)
    place.must(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                "-days", "2", "-subj", "/CN=localhost", "-keyout", f"{folder}/tls.key", "-out", f"{folder}/tls.crt"])
    (place.folder / "tls.key").chmod(0o600)


class Peer:
    """One proxy, in front of one server or of several (the first is the primary)."""
    name = title = ""
    sessions = False  # a client keeps its server for as long as it is there
    splits = False    # reads to replicas, writes to the primary
    only_splits = False
    tls = "own"       # or "through": the server does it

    def __init__(self, place: Workplace, servers: list[Server], most_clients: int, build: pathlib.Path):
        self.place, self.servers, self.most, self.build = place, servers, most_clients, build
        self.folder = place.inside(place.folder)
        self.port = 0
        self.processes: list[Process] = []
        self.label = f"{self.name}-{len(servers)}"

    def launch(self) -> None:
        raise NotImplementedError

    def start(self) -> None:
        self.port = free_port()
        self.launch()
        deadline = time.monotonic() + 40
        while True:
            try:
                client = WireClient(self.port, USER, PASSWORD, DATABASE, 5)
                client.query("SELECT 1")
                client.close()
                return
            except (OSError, Refused) as wrong:
                if not self.alive() or time.monotonic() > deadline:
                    line = self.last_line()
                    self.stop()
                    raise Failed(f"{self.title} does not start ({wrong}): {line}") from None
                time.sleep(0.1)

    def stop(self) -> None:
        for process in self.processes:
            process.end()
        self.processes = []

    def alive(self) -> bool:
        return all(process.alive() for process in self.processes)

    def last_line(self) -> str:
        return " | ".join(process.last_line() for process in self.processes)

    def pids(self) -> list[int]:
        return [process.popen.pid for process in self.processes]

    def add(self, argv: list[str], **more) -> None:
        name = f"{self.label}-{len(self.processes)}" if self.processes else self.label
        self.processes.append(self.place.start(name, argv, **more))


class Pgbalancer(Peer):
    name, title, splits = "pgbalancer", "pgbalancer", True
    causal_reads = "session"

    def launch(self) -> None:
        config = {"listen_address": "127.0.0.1", "port": self.port, "auth_password": "balance",
                  "pool_mode": "transaction", "pool_size": POOL, "max_clients": self.most,
                  "causal_reads": self.causal_reads, "tls_cert_file": str(self.place.folder / "tls.crt"),
                  "tls_key_file": str(self.place.folder / "tls.key"),
                  "nodes": [{"name": s.name, "host": "127.0.0.1", "port": s.port} for s in self.servers]}
        path = self.place.write(f"{self.label}.json", json.dumps(config))
        self.add([str(self.build / "bin/pgbalancer"), "--config", str(path)], chroot=False, drop=False)


class CarelessPgbalancer(Pgbalancer):
    """As pgpool-II and all others: clients may not see what they wrote. That matters only with replicas."""
    name, title, only_splits = "pgbalancer-off", "pgbalancer, causal_reads off", True
    causal_reads = "off"


class Pgbouncer(Peer):
    name, title, count = "pgbouncer", "PgBouncer", 1

    def launch(self) -> None:
        server = self.servers[0]
        self.place.write(f"{self.label}.users", f'"{USER}" "{PASSWORD}"\n')
        for number in range(self.count):
            path = self.place.write(f"{self.label}-{number}.ini", f"""[databases]
{DATABASE} = host=127.0.0.1 port={server.port} dbname={DATABASE}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {self.port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {self.folder}/{self.label}.users
pool_mode = transaction
default_pool_size = {POOL // self.count}
max_client_conn = {self.most}
max_prepared_statements = 200
so_reuseport = {1 if self.count > 1 else 0}
server_tls_sslmode = disable
client_tls_sslmode = allow
client_tls_cert_file = {self.folder}/tls.crt
client_tls_key_file = {self.folder}/tls.key
client_tls_ca_file = {self.folder}/tls.crt
log_connections = 0
log_disconnections = 0
log_stats = 0
""")
            self.add(["/usr/sbin/pgbouncer", self.place.inside(path)], stop=signal.SIGQUIT)


class TwoPgbouncers(Pgbouncer):
    name, title, count = "pgbouncer2", "PgBouncer x2", 2


class Odyssey(Peer):
    name, title = "odyssey", "Odyssey"

    def launch(self) -> None:
        path = self.place.write(f"{self.label}.conf", f"""daemonize no
log_to_stdout yes
log_format "%p %t %l [%i %s] (%c) %m\\n"
log_config no
log_debug no
log_session no
log_stats no
log_query no
workers "auto"
client_max {self.most}
listen {{
  host "127.0.0.1"
  port {self.port}
  backlog 1024
  tls "allow"
  tls_key_file "{self.folder}/tls.key"
  tls_cert_file "{self.folder}/tls.crt"
}}
storage "server" {{
  type "remote"
  host "127.0.0.1"
  port {self.servers[0].port}
}}
database "{DATABASE}" {{
  user "{USER}" {{
    authentication "scram-sha-256"
    password "{PASSWORD}"
    storage "server"
    storage_user "{USER}"
    storage_password "{PASSWORD}"
    pool "transaction"
    pool_size {POOL}
    pool_discard no
    pool_reserve_prepared_statement yes
  }}
}}
""")
        self.add(["/usr/bin/odyssey", self.place.inside(path)], stop=signal.SIGTERM)


class Pgpool(Peer):
    name, title, sessions, splits = "pgpool", "pgpool-II", True, True
    children = 300

    def launch(self) -> None:
        self.place.write(f"{self.label}.passwd", f"{USER}:TEXT{PASSWORD}\n")
        self.place.write(f"{self.label}.hba", "host all all 127.0.0.1/32 scram-sha-256\n")
        self.place.write(f"{self.label}.pcp", "")
        backends = "".join(f"""backend_hostname{i} = '127.0.0.1'
backend_port{i} = {s.port}
backend_weight{i} = 1
backend_data_directory{i} = '{s.data}'
backend_flag{i} = 'DISALLOW_TO_FAILOVER'
""" for i, s in enumerate(self.servers))
        run = self.place.folder / f"{self.label}-run"
        run.mkdir(exist_ok=True)
        os.chown(run, self.place.uid, self.place.gid)
        inside = self.place.inside(run)
        path = self.place.write(f"{self.label}.conf", f"""backend_clustering_mode = 'streaming_replication'
listen_addresses = '127.0.0.1'
port = {self.port}
unix_socket_directories = '{inside}'
pcp_listen_addresses = ''
pcp_port = {free_port()}
pcp_socket_dir = '{inside}'
wd_ipc_socket_dir = '{inside}'
pid_file_name = '{inside}/pgpool.pid'
work_dir = '{inside}'
logdir = '{inside}'
{backends}enable_pool_hba = on
pool_passwd = '{self.folder}/{self.label}.passwd'
ssl = on
ssl_key = '{self.folder}/tls.key'
ssl_cert = '{self.folder}/tls.crt'
num_init_children = {self.children}
max_pool = 1
process_management_mode = static
connection_cache = on
load_balance_mode = on
statement_level_load_balance = on
sr_check_period = 1
sr_check_user = '{USER}'
sr_check_password = '{PASSWORD}'
sr_check_database = '{DATABASE}'
health_check_period = 0
use_watchdog = off
""")
        self.add(["/usr/sbin/pgpool", "-n", "-f", self.place.inside(path), "-a", f"{self.folder}/{self.label}.hba",
                  "-F", f"{self.folder}/{self.label}.pcp"], stop=signal.SIGINT)


class Haproxy(Peer):
    name, title, sessions, tls = "haproxy", "HAProxy (tcp)", True, "through"

    def launch(self) -> None:
        path = self.place.write(f"{self.label}.cfg", f"""global
  maxconn 1000
defaults
  mode tcp
  timeout connect 10s
  timeout client 1h
  timeout server 1h
listen postgres
  bind 127.0.0.1:{self.port}
  server one 127.0.0.1:{self.servers[0].port}
""")
        self.add(["/usr/sbin/haproxy", "-db", "-f", self.place.inside(path)])


class Direct(Peer):
    name, title, sessions, tls = "direct", "no proxy", True, "through"

    def start(self) -> None:
        self.port = self.servers[0].port

    def alive(self) -> bool:
        return True


KINDS = (Pgbalancer, CarelessPgbalancer, Pgbouncer, TwoPgbouncers, Odyssey, Pgpool, Haproxy, Direct)
PEERS = {kind.name: kind for kind in KINDS}

"""Every driver shows every check of checks.py, through a balancer in front of a primary and two replicas; and connects as
docs/drivers.md says."""
import contextlib
import dataclasses
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

from checks import checks_for  # noqa: E402
from harness.alone import Balancer, Folder, newest_bin, node_of, standing_group  # noqa: E402
from harness.tls_site import Certificates  # noqa: E402
from harness.waiting import wait_until  # noqa: E402

LIMIT = 120  # seconds for all checks of one driver
USER, PASSWORD = "app", "app-pw"
# Clients that a check has at the same time, and the servers that it has for them.
MODES = {"transaction": (9, 3), "session": (3, 20), "statement": (9, 3)}
SETUP = "CREATE FUNCTION here() RETURNS text STABLE LANGUAGE sql AS $$ SELECT current_setting('port') $$"


def build_libpq(folder: pathlib.Path) -> list:
    headers = subprocess.run(["pg_config", "--includedir"], check=True, capture_output=True, text=True).stdout.strip()
    program = folder / "libpq_checks"
    sources = sorted((HERE / "libpq").glob("*.c"))
    subprocess.run(["cc", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", f"-I{headers}", "-o", program, *sources, "-lpq"],
                   check=True)
    return [program]


def build_jdbc(folder: pathlib.Path) -> list:
    driver = "/usr/share/java/postgresql.jar"
    sources = sorted((HERE / "jdbc").glob("*.java"))
    subprocess.run(["javac", "-Xlint:all", "-Werror", "-cp", driver, "-d", folder, *sources], check=True)
    return ["java", "-Xmx2g", "-XX:+UseSerialGC", "-cp", f"{driver}:{folder}", "Checks"]


def build_node(folder: pathlib.Path) -> list:
    if not shutil.which("npm"):
        pytest.skip("npm is not installed")
    for source in (HERE / "node").iterdir():
        if source.is_file():
            shutil.copy(source, folder)
    done = subprocess.run(["npm", "ci", "--omit=optional", "--ignore-scripts"], cwd=folder, capture_output=True, text=True,
                          timeout=3 * LIMIT, check=False)
    if done.returncode:
        pytest.skip(f"npm ci: {done.stderr.strip()[-300:]}")
    return ["node", folder / "checks.js"]


DRIVERS = {
    "libpq": build_libpq,
    "psql": lambda _: ["/usr/bin/python3", HERE / "psql" / "checks.py"],
    "psycopg": lambda _: ["/usr/bin/python3", HERE / "psycopg" / "checks.py"],
    "jdbc": build_jdbc,
    "node": build_node,
    "dbd_pg": lambda _: ["perl", HERE / "dbd_pg" / "checks.pl"],
}
# How each connects as its row in docs/drivers.md says, and asks.
PSYCOPG = "import psycopg, sys; print(psycopg.connect(sys.argv[1]).execute(sys.argv[2]).fetchone()[0])"
NODE = """const client = new (require("pg").Client)({connectionString: process.argv[1]});
client.connect().then(() => client.query({text: process.argv[2], rowMode: "array"}))
  .then((answer) => { console.log(answer.rows[0][0]); return client.end(); });"""
DBD_PG = "use DBI; print DBI->connect($ARGV[0], undef, undef, {RaiseError => 1})->selectrow_array($ARGV[1])"
EXAMPLES = {
    "libpq, psql": ("psql", lambda _: [newest_bin() / "psql", "-XAt"]),
    "psycopg 3": ("psycopg", lambda _: ["/usr/bin/python3", "-c", PSYCOPG]),
    "JDBC": ("jdbc", lambda command: [*command[:-1], "Example"]),
    "node-postgres": ("node", lambda _: ["node", "-e", NODE]),
    "DBD::Pg": ("dbd_pg", lambda _: ["perl", "-e", DBD_PG]),
}
CASES = [pytest.param(driver, mode, check, id=f"{driver}-{mode}-{check}")
         for driver in DRIVERS for mode in MODES for check in checks_for(driver, mode)]


@dataclasses.dataclass
class Stage:
    """The servers, and a balancer for each pool_mode; what each driver said is kept."""
    folder: pathlib.Path
    certificates: Certificates
    primary: object
    replicas: list
    balancers: dict
    commands: dict = dataclasses.field(default_factory=dict)
    reports: dict = dataclasses.field(default_factory=dict)

    def command(self, driver: str) -> list:
        if driver not in self.commands:
            folder = self.folder / driver
            folder.mkdir(exist_ok=True)
            self.commands[driver] = DRIVERS[driver](folder)
        return self.commands[driver]

    def make_database(self, name: str) -> None:
        self.primary.sql(f"CREATE DATABASE {name} OWNER {USER}")
        self.primary.sql(SETUP, database=name)
        for replica in self.replicas:
            replica.wait_caught_up()

    def environment(self, mode: str, database: str) -> dict:
        clients, servers = MODES[mode]
        kept = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
        return kept | {
            "PGHOST": "localhost", "PGPORT": str(self.balancers[mode].port), "PGUSER": USER, "PGPASSWORD": PASSWORD,
            "PGDATABASE": database, "PGSSLMODE": "disable", "PGCONNECT_TIMEOUT": "20", "CHECK_MODE": mode,
            "CHECK_CLIENTS": str(clients), "CHECK_SERVERS": str(servers), "CHECK_PRIMARY_PORT": str(self.primary.port),
            "CHECK_CA": self.certificates.crt("authority"), "CHECK_OTHER_CA": self.certificates.crt("stranger"),
            "CHECK_FOLDER": str(self.folder), "CHECK_PROGRAMS": str(newest_bin()), "LC_ALL": "C.UTF-8"}

    def lose_primary(self) -> None:
        """As in a crash; it comes back, and the balancer knows it."""
        self.primary.stop()
        self.primary.start()
        for balancer in self.balancers.values():
            wait_until(balancer.is_ready, 20, "the balancer has found the primary again")

    def report(self, driver: str, mode: str) -> dict[str, str]:
        if (driver, mode) not in self.reports:
            self.reports[driver, mode] = {"": "it did not come to its end"}
            self.reports[driver, mode] = self.run(driver, mode)
        return self.reports[driver, mode]

    def run(self, driver: str, mode: str) -> dict[str, str]:
        database = f"{driver}_{mode}"
        command = [*self.command(driver), *checks_for(driver, mode)]
        self.make_database(database)
        answers = {}
        with tempfile.TemporaryFile("w+", errors="replace") as complaints, subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=complaints, text=True, cwd=self.folder,
                env=self.environment(mode, database)) as child:
            watch = threading.Timer(LIMIT, child.kill)
            watch.start()
            try:
                for line in child.stdout:
                    name, _, answer = line.strip().partition(": ")
                    if name == "ask":
                        getattr(self, answer.replace(" the ", "_"))()
                        child.stdin.write("done\n")
                        child.stdin.flush()
                    else:
                        answers[name] = answer
            finally:
                watch.cancel()
                child.kill()
            complaints.seek(0)
            answers[""] = f"nothing was said; exit code {child.wait()}: {complaints.read()[-2000:]}"
        return answers


@contextlib.contextmanager
def standing_stage():
    made = Folder()
    with contextlib.ExitStack() as stack:
        stack.callback(made.remove)
        certificates = Certificates(made.path)
        for name in ("authority", "stranger"):
            certificates.authority(name)
        certificates.sign("balancer", "authority", "DNS:localhost")
        config = {"tls_cert_file": certificates.crt("balancer"), "tls_key_file": certificates.key("balancer")}
        primary, replicas, first = stack.enter_context(standing_group(pool_size=MODES["transaction"][1], **config))
        primary.sql(f"CREATE ROLE {USER} LOGIN PASSWORD '{PASSWORD}'")
        for replica in replicas:
            replica.set(wal_retrieve_retry_interval="200ms")
        balancers = {"transaction": first}
        for mode in ("session", "statement"):
            folder = made.path / mode
            folder.mkdir(exist_ok=True)
            balancers[mode] = Balancer(folder, primary, nodes=[node_of(server) for server in (primary, *replicas)],
                                       pool_mode=mode, pool_size=MODES[mode][1], **config)
            stack.callback(balancers[mode].stop)
            balancers[mode].start()
        yield Stage(made.path, certificates, primary, replicas, balancers)


@pytest.fixture(scope="module")
def stage():
    with standing_stage() as made:
        yield made


@pytest.mark.parametrize("driver, mode, check", CASES)
def test_driver(stage, driver, mode, check):
    report = stage.report(driver, mode)
    assert report.get(check, report[""]) == "ok"


def documented() -> dict[str, str]:
    text = (HERE.parent.parent / "docs" / "drivers.md").read_text(encoding="utf-8")
    return dict(re.findall(r"^\| ([^|]+) \| `([^`]+)` \|$", text, re.MULTILINE))


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_documented_connection(stage, name):
    driver, program = EXAMPLES[name]
    command = program(stage.command(driver))
    text = documented()[name].replace("6432", str(stage.balancers["transaction"].port))
    text = text.replace("/etc/pgbalancer/ca.crt", stage.certificates.crt("authority")).replace("shop", "postgres")
    done = subprocess.run([*command, text, *(["-c"] if driver == "psql" else []), "SELECT current_user || ' is in'"],
                          env=os.environ | {"PGPASSWORD": PASSWORD}, cwd=stage.folder / driver, capture_output=True, text=True,
                          timeout=60, check=False)
    assert (done.stdout.strip(), done.returncode) == (f"{USER} is in", 0), done.stderr


def test_every_documented_connection_is_tried():
    assert set(documented()) == set(EXAMPLES)

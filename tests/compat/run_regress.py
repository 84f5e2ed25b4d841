#!/usr/bin/python3
"""PostgreSQL's own regression suite, directly and through the balancer: the result files have to be the same.

  run_regress.py [--mode session|transaction] [--nodes 1|3] [--tests boolean,char,…] [--keep DIR]

Without options: both modes, with one server and with two replicas that take reads. The source of the suite is that of
the installed server's Debian package, kept in PGB_IMAGE_CACHE or ~/.cache/pgbalancer. Exit 1 if a result differs that is
not named in docs/compatibility.md."""
import argparse
import contextlib
import difflib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from harness.alone import GET_AUTH, Balancer, Folder, Server, newest_bin  # noqa: E402
from harness.waiting import wait_until  # noqa: E402

CACHE = pathlib.Path(os.environ.get("PGB_IMAGE_CACHE", pathlib.Path.home() / ".cache" / "pgbalancer"))
TRUST = "host all all 127.0.0.1/32 trust\nhost replication all 127.0.0.1/32 trust"
SETTINGS = """fsync = off
shared_buffers = 64MB
allow_in_place_tablespaces = on
max_connections = 300
max_wal_senders = 10
hot_standby = on
max_standby_streaming_delay = -1
max_prepared_transactions = 2
"""


def major() -> str:
    return newest_bin().parent.name


def run(*command, **options) -> subprocess.CompletedProcess:
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if done.returncode != 0:
        sys.exit(f"{command[0]} failed: {(done.stderr or done.stdout).strip()[-2000:]}")
    return done


# --- the suite

def fetch_source() -> pathlib.Path:
    """The package's tar of the source, from the mirrors that the machine itself uses."""
    kept = sorted(CACHE.glob(f"postgresql-{major()}_*.orig.tar.*"))
    if kept:
        return kept[-1]
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="pgb-source-") as name:
        folder = pathlib.Path(name)
        folder.chmod(0o777)  # apt fetches as another user
        (folder / "sources").mkdir()
        (folder / "lists").mkdir()
        for file in pathlib.Path("/etc/apt").glob("sources.list.d/*.sources"):
            (folder / "sources" / file.name).write_text(re.sub(r"(?m)^Types:.*$", "Types: deb-src", file.read_text()))
        lists = [pathlib.Path("/etc/apt/sources.list"), *pathlib.Path("/etc/apt").glob("sources.list.d/*.list")]
        for file in filter(pathlib.Path.exists, lists):
            (folder / "sources" / f"{file.stem}.list").write_text(re.sub(r"(?m)^deb\s", "deb-src ", file.read_text()))
        apt = ["apt-get", "-q", "-o", "Dir::Etc::sourcelist=/dev/null", "-o", f"Dir::Etc::sourceparts={folder}/sources", "-o",
               f"Dir::State::lists={folder}/lists"]
        run(*apt, "update")
        run(*apt, "source", "--download-only", f"postgresql-{major()}", cwd=folder)
        shutil.copy(next(folder.glob("*.orig.tar.*")), CACHE)
    return fetch_source()


def unpack(folder: pathlib.Path) -> pathlib.Path:
    """The suite's folder, with the libraries that its functions are in beside it."""
    if not (newest_bin().parent / "lib/pgxs/src/test/regress/pg_regress").exists() or not shutil.which("pg_config"):
        sys.exit(f"pg_regress is missing: apt-get install postgresql-server-dev-{major()}")
    with tarfile.open(fetch_source()) as tar:
        members = [m for m in tar.getmembers() if "/src/test/regress/" in m.name]
        tar.extractall(folder, members)
    suite = next(folder.glob("*/src/test/regress"))
    library = folder / "lib"
    library.mkdir()
    include = run("pg_config", "--includedir-server").stdout.strip()
    run("cc", "-shared", "-fPIC", "-O1", "-w", "-I", include, "-I", str(suite), "-o", str(library / "regress.so"),
        str(suite / "regress.c"))
    for name in ("autoinc.so", "refint.so"):
        shutil.copy(newest_bin().parent / "lib" / name, library)
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() or path.suffix == ".so" else 0o644)
    return suite


def regress(suite: pathlib.Path, server: Server, port: int, results: pathlib.Path, tests: list[str]) -> None:
    """Leaves the result files in results/results; that some are not as expected is no failure here. They name the
    folder they were made in, which is therefore always the same one, and the server writes there, too."""
    made = suite.parent / "run"
    made.mkdir()
    if server.user:
        os.chown(made, server.user["user"], server.user["group"])
    what = tests or [f"--schedule={suite}/parallel_schedule"]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
    subprocess.run([newest_bin().parent / "lib/pgxs/src/test/regress/pg_regress", f"--inputdir={suite}", f"--outputdir={made}",
                    f"--bindir={newest_bin()}", f"--dlpath={suite.parents[3] / 'lib'}", "--host=127.0.0.1", f"--port={port}",
                    "--user=postgres", "--max-concurrent-tests=20", *what],
                   env=environment, stdin=subprocess.DEVNULL, stdout=(made / "log").open("w"), stderr=subprocess.STDOUT,
                   check=False, timeout=1800, cwd=made, **server.user)
    shutil.move(made, results)


# --- servers

class Site:
    """Fresh servers: one, or one and two replicas."""

    def __init__(self, nodes: int):
        self.stack = contextlib.ExitStack()
        self.folder = Folder()
        self.stack.callback(self.folder.remove)
        self.primary = Server(self.folder.path, TRUST)
        with (self.primary.folder / "data" / "postgresql.conf").open("a") as conf:
            conf.write(SETTINGS)
        self.stack.callback(self.primary.stop)
        self.primary.start()
        self.primary.sql(GET_AUTH)
        self.servers = [self.primary, *(self._replica(number) for number in range(1, nodes))]

    def _replica(self, number: int) -> Server:
        top = self.folder.path / f"replica{number}"
        top.mkdir()
        replica = Server(top, TRUST)
        data = replica.folder / "data"
        shutil.rmtree(data)
        subprocess.run([newest_bin() / "pg_basebackup", "-h", "127.0.0.1", "-p", str(self.primary.port), "-U", "postgres", "-D",
                        data, "-R", "-C", "-S", f"replica{number}", "-c", "fast"], check=True, capture_output=True,
                       cwd=replica.folder, **replica.user)
        self.stack.callback(replica.stop)
        replica.start()
        return replica

    def balancer(self, mode: str) -> Balancer:
        rules = self.folder.path / "hba.conf"
        rules.write_text("host all all 127.0.0.1/32 trust\n")
        nodes = [{"name": f"node{i}", "host": "127.0.0.1", "port": server.port} for i, server in enumerate(self.servers)]
        balancer = Balancer(self.folder.path, self.primary, nodes=nodes, pool_mode=mode, pool_size=100, hba_file=str(rules))
        self.stack.callback(balancer.stop)
        balancer.start()
        wait_until(lambda: all(node["healthy"] for node in balancer.ask("status")["nodes"]), 30, "all servers are healthy")
        return balancer

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stack.close()


# --- the comparison

def differences(direct: pathlib.Path, through: pathlib.Path) -> dict[str, str]:
    """Name of the test to the diff of its result, for each that is not the same."""
    found = {}
    for file in sorted((direct / "results").glob("*.out")):
        mine = through / "results" / file.name
        one = file.read_text(errors="replace").splitlines(keepends=True)
        two = mine.read_text(errors="replace").splitlines(keepends=True) if mine.exists() else ["(no result)\n"]
        if one != two:
            found[file.stem] = "".join(difflib.unified_diff(one, two, "direct", "balancer"))
    return found


def explained() -> set[str]:
    text = (ROOT / "docs" / "compatibility.md").read_text() if (ROOT / "docs" / "compatibility.md").exists() else ""
    return set(re.findall(r"(?m)^\| `(\w+)` \|", text))


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--mode", choices=["session", "transaction"])
    parser.add_argument("--nodes", type=int, choices=[1, 3])
    parser.add_argument("--tests", default="")
    parser.add_argument("--keep", type=pathlib.Path)
    options = parser.parse_args()
    tests = [name for name in options.tests.split(",") if name]
    keep = options.keep or pathlib.Path(tempfile.mkdtemp(prefix="pgb-regress-"))
    keep.mkdir(parents=True, exist_ok=True)
    keep.chmod(0o755)
    bad = set()
    with tempfile.TemporaryDirectory(prefix="pgb-suite-") as name:
        pathlib.Path(name).chmod(0o755)
        suite = unpack(pathlib.Path(name))
        with Site(1) as site:
            regress(suite, site.primary, site.primary.port, keep / "direct", tests)
        print(f"{'mode':12} {'servers':>7} {'files':>6} {'same':>6} {'different':>9}")
        for mode in [options.mode] if options.mode else ["session", "transaction"]:
            for nodes in [options.nodes] if options.nodes else [1, 3]:
                folder = keep / f"{mode}-{nodes}"
                with Site(nodes) as site:
                    regress(suite, site.primary, site.balancer(mode).port, folder, tests)
                    shutil.copy(site.folder.path / "balancer.log", folder)
                found = differences(keep / "direct", folder)
                for test, text in found.items():
                    (folder / f"{test}.diff").write_text(text)
                count = len(list((keep / "direct" / "results").glob("*.out")))
                print(f"{mode:12} {nodes:7} {count:6} {count - len(found):6} {len(found):9}  {' '.join(found)}", flush=True)
                bad |= set(found)
    print(f"results and differences: {keep}")
    return 1 if bad - explained() else 0


if __name__ == "__main__":
    sys.exit(main())

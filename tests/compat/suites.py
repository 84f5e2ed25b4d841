"""How each suite is run against a port. All leave one result file per test in results/; that some are not as the
suite expects is no failure here: they are held against those of a run without the balancer."""
import os
import pathlib
import re
import shutil
import subprocess

from compat.source import Source
from harness.alone import Server, newest_bin

PGXS = newest_bin().parent / "lib/pgxs/src/test"
ROWS = "700"  # as the suite has it
# Only these are the same in each run: the others' messages depend on what has come when.
TRACED = {"simple_pipeline", "nosync", "multi_pipelines", "prepared", "singlerow", "pipeline_abort", "pipeline_idle",
          "transaction", "disallowed_in_pipeline"}
DATABASE = "isolation_regression"
# Who waits for whom, as the tester asks it. In a session of one's own a session's number is its server's; in transaction
# mode it is a number made of its application_name, by which the servers that serve it at the moment are found.
OWN_NUMBER = "CREATE FUNCTION session_number() RETURNS int LANGUAGE sql AS 'SELECT pg_backend_pid()'"
NAME_NUMBER = """
CREATE FUNCTION session_number() RETURNS int LANGUAGE sql STABLE AS
  $$ SELECT hashtext(current_setting('application_name')) $$;
CREATE FUNCTION is_blocked(int, int[]) RETURNS bool LANGUAGE internal AS 'pg_isolation_test_session_is_blocked';
CREATE FUNCTION is_waiting(int, int[]) RETURNS bool LANGUAGE sql AS $$
  SELECT COALESCE(bool_or(public.is_blocked(waiting.pid, ARRAY(SELECT pid FROM pg_stat_activity
                                                                WHERE hashtext(application_name) = ANY ($2)))), false)
    FROM pg_stat_activity waiting WHERE hashtext(application_name) = $1 AND state = 'active' $$;
CREATE OR REPLACE FUNCTION pg_catalog.pg_isolation_test_session_is_blocked(int, int[]) RETURNS bool LANGUAGE sql
  AS 'SELECT public.is_waiting($1, $2)'; -- short enough to be inlined: called, it would still be the one in C
"""


def environment(**more: str) -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if not key.startswith("PG")} | more


class Broken(AssertionError):
    """A test could not be run without the balancer: that it cannot be run through it either shows nothing."""


def launch(program: pathlib.Path, suite: pathlib.Path, server: Server, port: int, results: pathlib.Path, *options: str,
           **variables: str) -> None:
    """Results name the folder they were made in, which is therefore always the same one, and the server writes there, too."""
    made = suite.parent / "run"
    made.mkdir()
    if server.user:
        os.chown(made, server.user["user"], server.user["group"])
    try:
        with (made / "log").open("w") as log:
            subprocess.run([program, f"--inputdir={suite}", f"--outputdir={made}", f"--bindir={newest_bin()}",
                            "--host=127.0.0.1", f"--port={port}", "--user=postgres", "--max-concurrent-tests=20", *options],
                           env=environment(**variables), stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                           check=False, timeout=1800, cwd=made, **server.user)
    finally:
        shutil.move(made, results)
    ended = re.findall(r"(?m)^(?:test)? +(\S+) +\.\.\. .*test process exited with", (results / "log").read_text())
    if port == server.port and ended:
        raise Broken(f"without the balancer, too, these end with an error: {' '.join(ended)}")


def regress(source: Source, server: Server, port: int, mode: str, results: pathlib.Path, tests: list[str]) -> None:
    what = tests or [f"--schedule={source.regress}/parallel_schedule"]
    launch(PGXS / "regress/pg_regress", source.regress, server, port, results, f"--dlpath={source.library}", *what)


def up_to(source: Source, suite: str, test: str) -> list[str]:
    """What runs a test once more, after all that it may need."""
    if suite != "regress":
        return [test]
    lines = (source.regress / "parallel_schedule").read_text().splitlines()
    end = next(number for number, line in enumerate(lines, 1) if line.startswith("test:") and test in line.split())
    schedule = source.regress / f"schedule_up_to_{test}"
    schedule.write_text("\n".join(lines[:end]) + "\n")
    return [f"--schedule={schedule}"]


def isolation(source: Source, server: Server, port: int, mode: str, results: pathlib.Path, tests: list[str]) -> None:
    server.sql(f"CREATE DATABASE {DATABASE} TEMPLATE template0")
    for name, value in {"lc_messages": "C", "bytea_output": "hex", "timezone_abbreviations": "Default"}.items():
        server.sql(f"ALTER DATABASE {DATABASE} SET {name} TO '{value}'")
    server.sql(NAME_NUMBER if mode == "transaction" else OWN_NUMBER, database=DATABASE)
    what = tests or [f"--schedule={source.isolation}/isolation_schedule"]
    launch(PGXS / "isolation/pg_isolation_regress", source.isolation, server, port, results, "--use-existing",
           f"--dbname={DATABASE}", *what, LD_PRELOAD=str(source.backend_pid), PGISOLATIONTIMEOUT="20")


def pipeline(source: Source, _server: Server, port: int, mode: str, results: pathlib.Path, tests: list[str]) -> None:
    """What libpq_pipeline says, its exit code, and the messages that went over the wire."""
    folder = results / "results"
    folder.mkdir(parents=True)
    known = subprocess.run([source.pipeline, "tests"], check=True, capture_output=True, text=True).stdout.split()
    for test in tests or known:
        trace = folder / f"{test}.trace"
        options = ["-t", str(trace)] if test in TRACED else []
        done = subprocess.run([source.pipeline, "-r", ROWS, *options, test, f"host=127.0.0.1 port={port} user=postgres "
                               "dbname=postgres"], capture_output=True, text=True, env=environment(), check=False, timeout=120)
        text = trace.read_text() if trace.exists() else ""
        trace.unlink(missing_ok=True)
        said = done.stdout + done.stderr if test in TRACED else ""
        (folder / f"{test}.out").write_text(f"exit code {done.returncode}\n{said}{text}")


SUITES = {"regress": regress, "isolation": isolation, "pipeline": pipeline}

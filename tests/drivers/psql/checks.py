"""psql and pgbench: see ../checks.py. What a script prints is held against what it must print."""
import contextlib
import hashlib
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time

PROGRAMS = pathlib.Path(os.environ["CHECK_PROGRAMS"])
CLIENTS, SERVERS = int(os.environ["CHECK_CLIENTS"]), int(os.environ["CHECK_SERVERS"])
MODE = os.environ["CHECK_MODE"]
LARGE = 64 << 20
LIMIT = 60  # seconds for one script


def same(found, wanted, what: str = "") -> None:
    if found != wanted:
        raise AssertionError(f"{what}: {str(found)[:300]!r} instead of {str(wanted)[:300]!r}")


def command(*options: str) -> list:
    return [PROGRAMS / "psql", "-XAtq", "-v", "VERBOSITY=verbose", *options]


def psql(script: str, *options: str, stops: bool = True) -> tuple[str, str]:
    stop = ("-v", "ON_ERROR_STOP=1") if stops else ()
    done = subprocess.run(command(*stop, *options), input=script, text=True, capture_output=True, timeout=LIMIT, check=False)
    if stops and done.returncode:
        raise AssertionError(f"exit code {done.returncode}: {done.stderr}")
    return done.stdout.strip(), done.stderr


def prints(script: str, *lines: str, options=()) -> None:
    same(psql(script, *options)[0], "\n".join(lines), script[:60])


def states(text: str) -> list[str]:
    return re.findall(r"(?:ERROR|FATAL):  ([0-9A-Z]{5}):", text)


class Dialogue:
    """A psql that stays: one line in, all that it prints for it out."""

    def __init__(self, *options: str):
        self.process = subprocess.Popen(command(*options), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True, bufsize=1)

    def send(self, text: str) -> None:
        self.process.stdin.write(f"{text}\n\\echo <end>\n")
        self.process.stdin.flush()

    def answer(self) -> str:
        lines = []
        while (line := self.process.stdout.readline()) != "<end>\n":
            if not line:
                raise AssertionError(f"psql has ended: {lines}")
            lines.append(line.rstrip("\n"))
        return "\n".join(lines)

    def ask(self, text: str) -> str:
        self.send(text)
        return self.answer()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.kill()
        self.process.wait()


def bench(script: str, *options: str) -> str:
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(script)
        file.flush()
        done = subprocess.run([PROGRAMS / "pgbench", "-n", "-f", file.name, "-c", str(CLIENTS), "-t", "30", *options], text=True,
                              capture_output=True, timeout=LIMIT, check=False)
    if done.returncode or "number of failed transactions: 0" not in done.stdout:
        raise AssertionError(done.stdout + done.stderr)
    return done.stdout


def prepared():
    psql("CREATE TABLE prepared (client int, pid int)")
    script = "\\set n random(1, 1000)\nINSERT INTO prepared VALUES (:client_id, pg_backend_pid());\nSELECT :n + 1;\n"
    for mode in ("simple", "extended", "prepared"):
        bench(script, "-M", mode)
    prints("SELECT count(*) FROM prepared", str(3 * 30 * CLIENTS))
    assert MODE == "session" or int(psql("SELECT count(DISTINCT pid) FROM prepared")[0]) <= SERVERS


def schema_change():
    with Dialogue() as one:
        one.ask("CREATE TABLE shaped (a int); INSERT INTO shaped VALUES (1); PREPARE shaped AS SELECT * FROM shaped;")
        same(one.ask("EXECUTE shaped;"), "1")
        psql("ALTER TABLE shaped ADD COLUMN b text DEFAULT 'new'")
        same(states(one.ask("EXECUTE shaped;")), ["0A000"])  # one server has it, and says so as it always does
        same(one.ask("DEALLOCATE shaped; PREPARE shaped AS SELECT * FROM shaped; EXECUTE shaped;"), "1|new")


def deallocate():
    with Dialogue() as one, Dialogue() as two:
        for client in (one, two):
            same(client.ask("PREPARE mine AS SELECT 7; EXECUTE mine;"), "7")
        for how in ("DEALLOCATE mine", "DEALLOCATE ALL", "DISCARD ALL"):
            one.ask(f"{how};")
            same(states(one.ask("EXECUTE mine;")), ["26000"])
            same(two.ask("EXECUTE mine;"), "7")
            same(one.ask("PREPARE mine AS SELECT 8; EXECUTE mine;"), "8")


def pipeline():
    psql("CREATE TABLE piped (n int PRIMARY KEY)")
    inserts = "".join("INSERT INTO piped VALUES (:client_id * 1000000 + random() * 999999) ON CONFLICT DO NOTHING;\n" for _ in range(9))
    bench(f"\\startpipeline\n{inserts}SELECT 1;\n\\endpipeline\n", "-M", "prepared")
    before = psql("SELECT count(*) FROM piped")[0]
    _, errors = psql("INSERT INTO piped VALUES (-1) \\; INSERT INTO piped VALUES (-1);", stops=False)
    same(states(errors), ["23505"])
    prints("SELECT count(*) FROM piped", before)


def copied(how: str) -> None:
    made = "SELECT n, CASE WHEN n % 7 > 0 THEN E'é\\t' || n END FROM generate_series(1, 10000) n"
    with tempfile.TemporaryDirectory() as folder:
        prints(f"CREATE TABLE copied_{how} (n int, text text);\n"
               f"\\copy ({made}) TO '{folder}/a' (FORMAT {how})\n"
               f"\\copy copied_{how} FROM '{folder}/a' (FORMAT {how})\n"
               f"\\copy copied_{how} TO '{folder}/b' (FORMAT {how})\n"
               f"SELECT count(text) FROM copied_{how};", "8572")
        same(*[hashlib.md5(pathlib.Path(folder, name).read_bytes()).hexdigest() for name in "ab"])


def copy_text():
    copied("text")
    out, errors = psql("COPY copied_text FROM STDIN;\n1\tgood\nno number\tbad\n\\.\nSELECT count(*) FROM copied_text;", stops=False)
    same((out, states(errors)), ("10000", ["22P02"]))


def copy_binary():
    copied("binary")


def cancel():
    active = "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_backend_pid(), pg_sleep(60);' AND state = 'active'"
    with Dialogue() as one:
        one.send("SELECT pg_backend_pid(), pg_sleep(60);")
        end = time.monotonic() + 10
        while psql(active)[0] != "1":
            assert time.monotonic() < end, "it does not run"
        one.process.send_signal(signal.SIGINT)
        same(states(one.process.communicate(timeout=20)[0]), ["57014"])  # a script ends with it
    prints(active, "0")


def notify():
    with Dialogue() as one:
        one.ask("LISTEN news;")
        for n in range(3):
            psql(f"NOTIFY news, 'number {n}'")
            heard, end = "", time.monotonic() + 10
            while "news" not in heard:
                assert time.monotonic() < end, "no notification"
                heard = one.ask("SELECT 1;")
            assert f'"news" with payload "number {n}"' in heard, heard
        same(one.ask("UNLISTEN *; SELECT count(*) FROM pg_listening_channels();"), "0")


def errors():
    psql("CREATE TABLE unique_ones (n int PRIMARY KEY); INSERT INTO unique_ones VALUES (1)")
    out, said = psql("SELEC 1;\nSELECT 1 / 0;\nINSERT INTO unique_ones VALUES (1);\nSELECT 2;", stops=False)
    same((out, states(said)), ("2", ["42601", "22012", "23505"]))
    assert "CONSTRAINT NAME:  unique_ones_pkey" in said and "DETAIL:  Key (n)=(1) already exists." in said, said


def error_in_transaction():
    out, said = psql("CREATE TABLE undone (n int);\nBEGIN;\nINSERT INTO undone VALUES (1);\nSELECT 1 / 0;\nSELECT 1;\nROLLBACK;\n"
                     "SELECT count(*) FROM undone;", stops=False)
    same((out, states(said)), ("0", ["22012", "25P02"]))


def large_values():
    text = "pgbalancer " * (LARGE // 11)
    prints(f"SELECT md5('{text}');", hashlib.md5(text.encode()).hexdigest())
    assert psql(f"SELECT repeat('pgbalancer ', {LARGE // 11}) || 'end';")[0] == text + "end", "text came back changed"
    out = psql(f"SELECT decode(repeat('00ff27', {LARGE // 6}), 'hex');")[0]
    assert out == "\\x" + "00ff27" * (LARGE // 6), "bytea came back changed"


def large_objects():
    data = os.urandom(1 << 20)
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder, "in").write_bytes(data)
        out, said = psql(f"\\lo_import '{folder}/in'\n\\lo_export :LASTOID '{folder}/out'\nSELECT md5(lo_get(:LASTOID));\n"
                         "\\lo_unlink :LASTOID\nSELECT lo_get(:LASTOID);", stops=False)
        same((out.split("\n")[-1], states(said)), (hashlib.md5(data).hexdigest(), ["42704"]))
        assert pathlib.Path(folder, "out").read_bytes() == data


def tls():
    secure = f"sslmode=verify-full sslrootcert={os.environ['CHECK_CA']}"
    assert "protocol: TLS" in psql("\\conninfo\n", secure)[0]
    for wrong in (f"sslmode=verify-full sslrootcert={os.environ['CHECK_OTHER_CA']}", f"{secure} host=127.0.0.1"):
        assert "certificate" in psql("SELECT 1", wrong, stops=False)[1], f"connected with {wrong}"


def channel_binding():
    prints("SELECT current_user", os.environ["PGUSER"],
           options=(f"sslmode=verify-full sslrootcert={os.environ['CHECK_CA']} channel_binding=require",))


def set_():
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Dialogue(f"application_name=client{n}")) for n in range(CLIENTS)]
        for n, client in enumerate(clients):
            client.ask(f"SET work_mem = '{n + 1}MB'; SET my.number = {n};")
        for _ in range(3):
            for n, client in enumerate(clients):
                same(client.ask("BEGIN; SET LOCAL work_mem = '77MB'; SHOW work_mem; COMMIT;"), "77MB")
                same(client.ask("SELECT current_setting('work_mem'), current_setting('my.number'), "
                                "current_setting('application_name');"), f"{n + 1}MB|{n}|client{n}")
        same(clients[0].ask("RESET work_mem; SHOW work_mem;"), "4MB")


def at_replica(client: Dialogue) -> bool:
    return client.ask("SELECT here();") != os.environ["CHECK_PRIMARY_PORT"]


def read_after_write():
    with Dialogue() as one, Dialogue() as fresh:
        one.ask("CREATE TABLE written (n int); INSERT INTO written VALUES (0);")
        for n in range(1, 100):
            same(one.ask(f"UPDATE written SET n = {n};\nSELECT n FROM written;"), str(n))
        end = time.monotonic() + 10
        while not at_replica(fresh):
            assert time.monotonic() < end, "no replica answers"


def read_only():
    with Dialogue() as one:
        one.ask("BEGIN READ ONLY;")
        assert at_replica(one)
        same(states(one.ask("CREATE TABLE never (n int);")), ["25006"])
        one.ask("ROLLBACK;\nBEGIN;\nCREATE TABLE now (n int);")
        assert not at_replica(one)
        same(one.ask("COMMIT;\nSELECT count(*) FROM now;"), "0")


def savepoints():
    out, said = psql("\\set ON_ERROR_ROLLBACK on\nCREATE TABLE saved (n int PRIMARY KEY);\nBEGIN;\nINSERT INTO saved VALUES (1);\n"
                     "INSERT INTO saved VALUES (1);\nINSERT INTO saved VALUES (3);\nCOMMIT;\n"
                     "SELECT n FROM saved ORDER BY n;", stops=False)
    same((out, states(said)), ("1\n3", ["23505"]))


def cursors():
    columns = ", ".join(f"n + {k}" for k in range(200))
    out = psql(f"\\set FETCH_COUNT 100\nSELECT {columns} FROM generate_series(1, 2000) n;")[0]
    for n, line in enumerate(out.split("\n"), 1):
        same(line, "|".join(str(n + k) for k in range(200)))
    same(n, 2000)
    prints("BEGIN; DECLARE c SCROLL CURSOR FOR SELECT generate_series(1, 100);\nMOVE ABSOLUTE 10 FROM c;\nFETCH 2 FROM c;\nCOMMIT;",
           "11", "12")


def types():
    values = {"int8": "-9223372036854775808", "numeric": "12345678901234567890.0123456789", "float8": "0.1", "bool": "t",
              "text": "grün ✓ \\ ' \"", "bytea": "\\x00ff27", "timestamptz": "2024-02-29 01:02:03+00", "interval": "3 days 00:00:07",
              "jsonb": '{"a": [1, null, "é"]}', "int4[]": "{1,NULL,3}", "inet": "10.1.2.3", "int4range": "[1,9)"}
    for name, sent in values.items():
        quoted = sent.replace("'", "''")
        prints(f"SET TimeZone = 'UTC';\nSELECT '{quoted}'::{name}, NULL::{name};" if MODE != "statement" else
               f"SELECT '{quoted}'::{name} AT TIME ZONE 'UTC', NULL;" if name == "timestamptz" else
               f"SELECT '{quoted}'::{name}, NULL::{name};",
               f"{sent.replace('+00', '') if MODE == 'statement' else sent}|")


def autocommit():
    total = "SELECT coalesce(sum(n), 0) FROM committed;"
    with Dialogue() as one, Dialogue() as two:
        one.ask("CREATE TABLE committed (n int);\n\\set AUTOCOMMIT off\nINSERT INTO committed VALUES (1);")
        same(two.ask(total), "0")
        one.ask("COMMIT;")
        same(two.ask(total), "1")
        one.ask("INSERT INTO committed VALUES (2);\nROLLBACK;\n\\set AUTOCOMMIT on\nINSERT INTO committed VALUES (3);")
        same(two.ask(total), "4")
        psql("\\set AUTOCOMMIT off\nINSERT INTO committed VALUES (100);")  # and leaves
        same(two.ask(f"BEGIN; LOCK TABLE committed IN SHARE MODE; COMMIT;\n{total}"), "4")


def temporary_table():
    with Dialogue() as one, Dialogue() as two:
        one.ask("CREATE TEMP TABLE mine (n int);")
        for _ in range(5):
            one.ask("INSERT INTO mine VALUES (1);")
            same(states(two.ask("SELECT * FROM mine;")), ["42P01"])
        same(one.ask("SELECT count(*) FROM mine;\nDROP TABLE mine;"), "5")


def server_lost():
    with Dialogue() as idle, Dialogue() as told:
        idle.ask("SET work_mem = '9MB'; CREATE TABLE lost (n int);\nINSERT INTO lost VALUES (1);")
        told.ask("BEGIN;\nINSERT INTO lost VALUES (2);")
        print("ask: lose the primary", flush=True)
        same(sys.stdin.readline(), "done\n")
        same(states(told.ask("INSERT INTO lost VALUES (3);")), ["40001"])
        told.ask("ROLLBACK;")
        same(told.ask("SELECT sum(n) FROM lost;"), "1")
        same(idle.ask("SHOW work_mem;"), "9MB")
        same(idle.ask("INSERT INTO lost VALUES (4);\nSELECT sum(n) FROM lost;"), "5")


def main():
    for name in sys.argv[1:]:
        check = globals().get(name + "_") or globals()[name]
        try:
            check()
            print(f"{name}: ok", flush=True)
        except Exception as error:  # pylint: disable=broad-except
            line = sys.exc_info()[2].tb_next.tb_lineno
            print(f"{name}: failed line {line}: {type(error).__name__}: {' '.join(str(error).split())}"[:900], flush=True)


main()

"""psycopg 3: see ../checks.py."""
import contextlib
import datetime
import decimal
import hashlib
import ipaddress
import os
import sys
import threading
import time
import uuid

import psycopg
from psycopg import errors
from psycopg.types.json import Jsonb
from psycopg.types.range import Range

CLIENTS, SERVERS = int(os.environ["CHECK_CLIENTS"]), int(os.environ["CHECK_SERVERS"])
MODE = os.environ["CHECK_MODE"]
LARGE = 64 << 20


def connect(text: str = "", **more):
    return psycopg.connect(text, **({"autocommit": True} | more))


def value(connection, sql: str, parameters=None, **more):
    return connection.execute(sql, parameters, **more).fetchone()[0]


def same(found, wanted, what: str = "") -> None:
    if found != wanted:
        raise AssertionError(f"{what}: {str(found)[:200]!r} instead of {str(wanted)[:200]!r}")


@contextlib.contextmanager
def refused(sqlstate: str):
    try:
        yield
    except psycopg.Error as error:
        same(error.sqlstate, sqlstate, str(error))
        return
    raise AssertionError(f"no error {sqlstate}")


def at_replica(connection) -> bool:
    return value(connection, "SELECT here()") != os.environ["CHECK_PRIMARY_PORT"]


def prepared():
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect()) for _ in range(CLIENTS)]
        clients[0].execute("CREATE TABLE prepared (client int, n int)")
        pids = set()
        for n in range(5):
            for number, client in enumerate(clients):
                row = client.execute("INSERT INTO prepared VALUES (%s, %s) RETURNING n * 2, pg_backend_pid()",
                                     (number, n), prepare=True).fetchone()
                same(row[0], n * 2)
                pids.add(row[1])
                same(value(client, "SELECT max(n) FROM prepared WHERE client = %s", (number,), prepare=True), n)
        assert len(pids) <= SERVERS, pids
        same(value(clients[0], "SELECT count(*) FROM prepared"), 5 * CLIENTS)
        if MODE != "statement":
            with clients[0].transaction():
                clients[0].execute("INSERT INTO prepared VALUES (%s, %s) RETURNING n * 2, pg_backend_pid()", (0, 9), prepare=True)
                assert value(clients[0], "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE "
                                         "'INSERT INTO prepared%'", prepare=False) >= 1


def schema_change():
    with connect() as one, connect() as two:
        two.execute("CREATE TABLE shaped (a int); INSERT INTO shaped VALUES (1)")
        for _ in range(3):
            same(one.execute("SELECT * FROM shaped", prepare=True).fetchone(), (1,))
        two.execute("ALTER TABLE shaped ADD COLUMN b text DEFAULT 'new'")
        told = 0
        while True:
            try:
                row = one.execute("SELECT * FROM shaped", prepare=True).fetchone()
                break
            except errors.FeatureNotSupported:
                told += 1
                assert told <= SERVERS, "told of the change again and again"
        same(row, (1, "new"))


def deallocate():
    with connect() as one, connect() as two:
        one.execute("PREPARE mine AS SELECT 1")
        same(value(one, "EXECUTE mine"), 1)
        one.execute("DEALLOCATE mine")
        with refused("26000"):
            one.execute("EXECUTE mine")
        for client in (one, two):
            client.prepared_max = 2
        for n in range(30):  # the driver itself deallocates what is too much
            for client in (one, two):
                same(value(client, f"SELECT {n % 5} + %s", (n,), prepare=True), n % 5 + n)
        one.execute("DEALLOCATE ALL")
        with refused("26000"):  # the driver does not look at what it is told
            value(one, "SELECT 4 + %s", (29,), prepare=True)
        same(value(two, "SELECT 4 + %s", (29,), prepare=True), 33)


def pipeline():
    with connect() as one:
        one.execute("CREATE TABLE piped (n int PRIMARY KEY)")
        with one.pipeline():
            cursors = [one.execute("INSERT INTO piped VALUES (%s) RETURNING n", (n,)) for n in range(300)]
        same([cursor.fetchone()[0] for cursor in cursors], list(range(300)))
        with refused("23505"), one.pipeline():
            for n in (1000, 1001, 5, 1002):
                one.execute("INSERT INTO piped VALUES (%s)", (n,))
        same(value(one, "SELECT count(*) FROM piped"), 300)
        with one.pipeline(), one.transaction():
            one.execute("INSERT INTO piped VALUES (2000)")
            same(value(one, "SELECT count(*) FROM piped"), 301)


def copied(cursor, rows: list, how: str) -> None:
    binary = "(FORMAT binary)" if how == "binary" else ""
    cursor.execute(f"CREATE TABLE copied_{how} (n int, text text)")
    with cursor.copy(f"COPY copied_{how} FROM STDIN {binary}") as copy:
        copy.set_types(["int4", "text"])
        for row in rows:
            copy.write_row(row)
    same(cursor.rowcount, len(rows))
    with cursor.copy(f"COPY (SELECT * FROM copied_{how} ORDER BY n) TO STDOUT {binary}") as copy:
        copy.set_types(["int4", "text"])
        same(list(copy.rows()), rows)


def copy_text():
    with connect() as one, one.cursor() as cursor:
        copied(cursor, [(n, f"é\t\\\n{n}" if n % 7 else None) for n in range(10000)], "text")
        with refused("22P02"), cursor.copy("COPY copied_text FROM STDIN") as copy:
            copy.write("1\tgood\nno number\tbad\n")
        same(value(one, "SELECT count(*) FROM copied_text"), 10000)


def copy_binary():
    with connect() as one, one.cursor() as cursor:
        copied(cursor, [(n, f"é\t\\\n{n}" if n % 7 else None) for n in range(10000)], "binary")


def cancel():
    with connect() as one, connect() as two:
        timer = threading.Timer(0.3, one.cancel)
        timer.start()
        with refused("57014"):
            one.execute("SELECT pg_backend_pid(), pg_sleep(60)")
        timer.join()
        same(value(one, "SELECT 1"), 1)
        same(value(two, "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_backend_pid(), pg_sleep(60)' AND state = 'active'"), 0)


def notify():
    with connect() as one, connect() as two:
        one.execute("LISTEN news")
        for n in range(3):
            two.execute("SELECT pg_notify('news', %s)", (f"number {n}",))
            while not (note := next(one.notifies(), None)):
                pass
            same((note.channel, note.payload), ("news", f"number {n}"))
        one.execute("UNLISTEN *")
        same(value(one, "SELECT count(*) FROM pg_listening_channels()"), 0)


def expect_errors(one):
    with refused("42601"):
        one.execute("SELEC 1")
    with refused("22012"):
        one.execute("SELECT 1 / %s::int", (0,))
    try:
        one.execute("INSERT INTO unique_ones VALUES (1)")
        raise AssertionError("a second one")
    except errors.UniqueViolation as error:
        same(error.diag.constraint_name, "unique_ones_pkey")
        same(error.diag.message_detail, "Key (n)=(1) already exists.")
        same(error.diag.severity_nonlocalized, "ERROR")


def errors_():
    with connect() as one:
        one.execute("CREATE TABLE unique_ones (n int PRIMARY KEY)")
        one.execute("INSERT INTO unique_ones VALUES (1)")
        for n in range(3):
            expect_errors(one)
            same(value(one, "SELECT %s + 1", (n,)), n + 1)


def error_in_transaction():
    with connect(autocommit=False) as one:
        one.execute("CREATE TABLE undone (n int)")
        one.commit()
        one.execute("INSERT INTO undone VALUES (1)")
        with refused("22012"):
            one.execute("SELECT 1 / 0")
        with refused("25P02"):
            one.execute("SELECT 1")
        one.rollback()
        same(value(one, "SELECT count(*) FROM undone"), 0)


def large_values():
    data = os.urandom(1 << 20) * (LARGE >> 20)
    text = "é" * (LARGE // 2)
    with connect() as one:
        row = one.execute("SELECT md5(%b::bytea), %b::bytea", (data, data[:LARGE // 2]), binary=True).fetchone()
        same(row[0], hashlib.md5(data).hexdigest())
        assert row[1] == data[:LARGE // 2], "bytea came back changed"
        same(len(one.execute("SELECT %b::bytea", (data,), binary=True).fetchone()[0]), LARGE)
        assert value(one, "SELECT %s::text", (text,)) == text, "text came back changed"
        same(value(one, "SELECT 1"), 1)


def large_objects():
    data = os.urandom(1 << 20)
    with connect() as one:
        with one.transaction():
            oid = value(one, "SELECT lo_create(0)")
            handle = value(one, "SELECT lo_open(%s, 131072)", (oid,))
            for begin in range(0, len(data), 1 << 18):
                same(value(one, "SELECT lowrite(%s, %s)", (handle, data[begin:begin + (1 << 18)])), 1 << 18)
            value(one, "SELECT lo_close(%s)", (handle,))
        with one.transaction():
            handle = value(one, "SELECT lo_open(%s, 262144)", (oid,))
            assert value(one, "SELECT loread(%s, %s)", (handle, len(data)), binary=True) == data
        assert value(one, "SELECT lo_get(%s)", (oid,), binary=True) == data
        same(value(one, "SELECT lo_unlink(%s)", (oid,)), 1)
        with refused("42704"):
            value(one, "SELECT lo_get(%s)", (oid,))


def tls():
    secure = f"sslmode=verify-full sslrootcert={os.environ['CHECK_CA']}"
    with connect(secure) as one:
        assert one.pgconn.ssl_in_use
        same(value(one, "SELECT 1"), 1)
    for wrong in (f"sslmode=verify-full sslrootcert={os.environ['CHECK_OTHER_CA']}", f"{secure} host=127.0.0.1"):
        try:
            connect(wrong).close()
        except psycopg.OperationalError as error:
            assert "certificate" in str(error), error
            continue
        raise AssertionError(f"connected with {wrong}")


def channel_binding():
    with connect(f"sslmode=verify-full sslrootcert={os.environ['CHECK_CA']} channel_binding=require") as one:
        same(value(one, "SELECT current_user"), os.environ["PGUSER"])


def set_():
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(application_name=f"client {n}")) for n in range(CLIENTS)]
        for n, client in enumerate(clients):
            client.execute(f"SET work_mem = '{n + 1}MB'")
            client.execute("SELECT set_config('my.number', %s, false)", (str(n),))
        for _ in range(3):
            for n, client in enumerate(clients):
                with client.transaction():
                    client.execute("SET LOCAL work_mem = '77MB'")
                    same(value(client, "SHOW work_mem"), "77MB")
                same(client.execute("SELECT current_setting('work_mem'), current_setting('my.number'), "
                                    "current_setting('application_name')").fetchone(), (f"{n + 1}MB", str(n), f"client {n}"))
        clients[0].execute("RESET work_mem")
        same(value(clients[0], "SHOW work_mem"), "4MB")
        clients[0].execute("SET TimeZone = 'Asia/Tokyo'")
        same(clients[0].info.parameter_status("TimeZone"), "Asia/Tokyo")
        same(clients[1].info.parameter_status("TimeZone"), value(clients[1], "SHOW TimeZone"))


def read_after_write():
    with connect() as one:
        one.execute("CREATE TABLE written (n int)")
        one.execute("INSERT INTO written VALUES (0)")
        for n in range(1, 100):
            one.execute("UPDATE written SET n = %s", (n,))
            same(value(one, "SELECT n FROM written"), n)
    with connect() as fresh:
        end = time.monotonic() + 10
        while not at_replica(fresh):
            assert time.monotonic() < end, "no replica answers"


def read_only():
    with connect(autocommit=False) as one:
        one.read_only = True
        assert at_replica(one)
        with refused("25006"):
            one.execute("CREATE TABLE never (n int)")
        one.rollback()
        one.read_only = False
        one.execute("CREATE TABLE now (n int)")
        assert not at_replica(one)
        one.commit()
        same(value(one, "SELECT count(*) FROM now"), 0)


def savepoints():
    with connect() as one:
        one.execute("CREATE TABLE saved (n int PRIMARY KEY)")
        with one.transaction():
            one.execute("INSERT INTO saved VALUES (1)")
            with refused("23505"), one.transaction():
                one.execute("INSERT INTO saved VALUES (2)")
                one.execute("INSERT INTO saved VALUES (1)")
            with one.transaction():
                one.execute("INSERT INTO saved VALUES (3)")
        same(one.execute("SELECT n FROM saved ORDER BY n").fetchall(), [(1,), (3,)])


def cursors():
    columns = ", ".join(f"n + {k} AS c{k}" for k in range(200))
    with connect() as one, one.transaction(), one.cursor("bit_by_bit") as cursor:
        cursor.itersize = 100
        cursor.execute(f"SELECT {columns} FROM generate_series(1, 2000) n")
        count = 0
        for count, row in enumerate(cursor, 1):
            same(row, tuple(range(count, count + 200)))
        same(count, 2000)
        cursor.scroll(0, mode="absolute")
        same(len(cursor.fetchmany(7)), 7)


def types():
    zone = datetime.timezone(datetime.timedelta(hours=2))
    values = {
        "int2": -32768, "int4": 2147483647, "int8": -(1 << 63), "numeric": decimal.Decimal("12345678901234567890.0123456789"),
        "float8": 0.1, "bool": True, "text": "grün ✓ \\ ' \" \n", "bytea": bytes(range(256)), "date": datetime.date(1999, 12, 31),
        "timestamp": datetime.datetime(2024, 2, 29, 23, 59, 59, 999999), "time": datetime.time(1, 2, 3),
        "timestamptz": datetime.datetime(2024, 2, 29, 1, 2, 3, tzinfo=zone), "interval": datetime.timedelta(days=3, seconds=7),
        "uuid": uuid.UUID(int=77), "jsonb": Jsonb({"a": [1, None, "é"]}), "int4[]": [1, None, 3], "text[]": ["a", 'b"', None],
        "inet": ipaddress.ip_address("10.1.2.3"), "int4range": Range(1, 9, "[)")}
    with connect() as one:
        for binary in (False, True):
            for name, sent in values.items():
                found = value(one, f"SELECT %s::{name}", (sent,), binary=binary)
                same(found, sent.obj if name == "jsonb" else sent, name)
                same(value(one, f"SELECT %s::{name}", (None,), binary=binary), None, name)
        same(value(one, "SELECT '12:00+02'::timetz::text || NULL", ()), None)


def autocommit():
    with connect(autocommit=False) as one, connect() as two:
        one.execute("CREATE TABLE committed (n int)")
        one.commit()
        one.execute("INSERT INTO committed VALUES (1)")
        same(value(two, "SELECT count(*) FROM committed"), 0)
        one.commit()
        same(value(two, "SELECT count(*) FROM committed"), 1)
        one.execute("INSERT INTO committed VALUES (2)")
        one.rollback()
        one.autocommit = True
        one.execute("INSERT INTO committed VALUES (3)")
        same(value(two, "SELECT sum(n) FROM committed"), 4)
    leaver = connect(autocommit=False)
    leaver.execute("INSERT INTO committed VALUES (100)")
    leaver.close()
    with connect() as two:
        two.execute("BEGIN; LOCK TABLE committed IN SHARE MODE; COMMIT")  # waits for who left
        same(value(two, "SELECT sum(n) FROM committed"), 4)


def temporary_table():
    with connect() as one, connect() as two:
        one.execute("CREATE TEMP TABLE mine (n int)")
        for n in range(5):
            one.execute("INSERT INTO mine VALUES (%s)", (n,))
            with refused("42P01"):
                two.execute("SELECT * FROM mine")
        same(value(one, "SELECT count(*) FROM mine"), 5)
        one.execute("DROP TABLE mine")


def server_lost():
    with connect() as idle:
        idle.execute("SET work_mem = '9MB'")
        idle.execute("CREATE TABLE lost (n int)")
        same(value(idle, "INSERT INTO lost VALUES (%s) RETURNING n", (1,), prepare=True), 1)
        told = connect(autocommit=False)
        told.execute("INSERT INTO lost VALUES (2)")
        print("ask: lose the primary", flush=True)
        assert sys.stdin.readline() == "done\n"
        try:
            told.execute("INSERT INTO lost VALUES (3)")
            raise AssertionError("the transaction went on")
        except psycopg.OperationalError as error:
            same(error.sqlstate, "40001")
        told.rollback()
        same(value(told, "SELECT sum(n) FROM lost"), 1)
        told.close()
        same(value(idle, "SHOW work_mem"), "9MB")
        same(value(idle, "INSERT INTO lost VALUES (%s) RETURNING n", (4,), prepare=True), 4)
        same(value(idle, "SELECT sum(n) FROM lost"), 5)


def main():
    for name in sys.argv[1:]:
        check = globals().get(name + "_") or globals()[name]
        try:
            check()
            print(f"{name}: ok", flush=True)
        except Exception as error:  # pylint: disable=broad-except
            line = sys.exc_info()[2].tb_next.tb_lineno
            print(f"{name}: failed line {line}: {type(error).__name__}: {' '.join(str(error).split())}", flush=True)


main()

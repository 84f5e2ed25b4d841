"""What the clients of the soak do, by kind. Each step checks its answer; a wrong one is an error like any other."""
import contextlib
import random
import time

import psycopg2

from harness.wire import COPY_DONE, FLUSH, SYNC, TERMINATE, Wire, bind, copy_data, execute, extended, parse, query

SET_UP = """CREATE TABLE soak (who text, n int); CREATE TABLE copied (n int, filler text);
INSERT INTO soak SELECT 'row ' || n, n FROM generate_series(1, 1000) n"""
# What a client of a server that crashes may be told; where its session goes on, a transaction that was open has failed.
LOST = {"08006", "08007", "40001", "25P02", "57P01", "57P02", "57P03"}


class Unexpected(Exception):
    pass


def rows(answer):
    if answer.errors:
        raise Unexpected(answer.errors[0])
    return answer.rows


def check(got, wanted) -> None:
    if got != wanted:
        raise Unexpected({"C": "wrong", "M": f"{got} in place of {wanted}"})


def short_simple(wire: Wire, dice: random.Random) -> None:
    n = dice.randrange(1, 1000)
    check(rows(wire.query(f"SELECT who FROM soak WHERE n = {n} LIMIT 1")), [[f"row {n}"]])


def short_extended(wire: Wire, dice: random.Random) -> None:
    n = dice.randrange(1, 1000)
    check(rows(wire.ask(extended("SELECT $1::int + 1", [n]))), [[str(n + 1)]])


def prepared(wire: Wire, dice: random.Random) -> None:
    for number in range(dice.randrange(1, 20)):
        if not hasattr(wire, "made"):
            wire.made = set()
        name = f"s{dice.randrange(30)}"
        if name not in wire.made:
            rows(wire.ask(parse(f"SELECT $1::text || '{name}'", name), SYNC))
            wire.made.add(name)
        check(rows(wire.ask(bind(name, [number]), execute(), SYNC)), [[f"{number}{name}"]])


def transaction(wire: Wire, dice: random.Random) -> None:
    rows(wire.query("BEGIN"))
    rows(wire.query(f"SET LOCAL work_mem = '{dice.randrange(1, 9)}MB'; INSERT INTO soak VALUES ('t', -1)"))
    rows(wire.query(dice.choice(["COMMIT", "ROLLBACK"])))
    rows(wire.query("DELETE FROM soak WHERE n = -1"))


def parameters(wire: Wire, dice: random.Random) -> None:
    value = f"{dice.randrange(1, 60)}MB"
    rows(wire.query(f"SET work_mem = '{value}'"))
    check(rows(wire.query("SHOW work_mem")), [[value]])
    rows(wire.query("SELECT 1; RESET ALL" if dice.random() < 0.5 else "DISCARD ALL"))


def long_query(wire: Wire, dice: random.Random) -> None:
    check(rows(wire.query(f"SELECT 'slept' FROM pg_sleep({dice.random()})")), [["slept"]])


def large_result(wire: Wire, dice: random.Random) -> None:
    count = dice.randrange(1, 3000)
    check(len(rows(wire.query(f"SELECT repeat('x', 500) FROM generate_series(1, {count})"))), count)


def copy(wire: Wire, dice: random.Random) -> None:
    count = dice.randrange(1, 500)
    wire.send(query("COPY copied FROM STDIN"))
    if wire.until("GZ").tags != "G":
        raise Unexpected({"C": "wrong", "M": "no CopyInResponse"})
    wire.send(*(copy_data(f"{n}\t{'x' * 200}\n".encode()) for n in range(count)), COPY_DONE)
    rows(wire.until())
    if dice.random() < 0.1:
        rows(wire.query("TRUNCATE copied"))
    rows(wire.query("COPY (SELECT * FROM generate_series(1, 200)) TO STDOUT"))


def cancel(wire: Wire, dice: random.Random) -> None:
    wire.send(query("SELECT pg_sleep(30)"))
    while wire.silent_for(0.01 + dice.random() / 5):  # a request may overtake the query
        wire.cancel()
    check(wire.until().sqlstates, ["57014"])


def errors(wire: Wire, dice: random.Random) -> None:
    wrong, state = dice.choice([("SELECT 1/0", "22012"), ("SELECT nothing", "42703"), ("SELEC 1", "42601"),
                                ("SELECT * FROM nowhere", "42P01")])
    check((wire.query(wrong) if dice.random() < 0.5 else wire.ask(extended(wrong))).sqlstates, [state])


def pipeline(wire: Wire, dice: random.Random) -> None:
    count = dice.randrange(2, 50)
    wire.send(*(part for n in range(count) for part in (parse(f"SELECT {n}"), bind(), execute(), SYNC)))
    for n in range(count):
        check(rows(wire.until()), [[str(n)]])


def reconnect(wire: Wire, dice: random.Random) -> None:
    short_simple(wire, dice)
    wire.send(TERMINATE)
    wire.close()


def vanish(wire: Wire, dice: random.Random) -> None:
    wire.send(dice.choice([query("BEGIN; INSERT INTO soak VALUES ('v', -2)"), query("COPY copied FROM STDIN"),
                           parse("INSERT INTO soak VALUES ('v', -2)") + bind() + execute() + FLUSH, query("SELECT 1")[:7]]))
    wire.vanish()


def pinned(wire: Wire, _: random.Random) -> None:
    rows(wire.query("CREATE TEMP TABLE mine (n int)"))
    check(rows(wire.query("SELECT count(*) FROM mine")), [["0"]])
    rows(wire.query("DROP TABLE mine"))
    time.sleep(0.2)  # it is one of many, and the others need the servers


def by_tls(url: str, dice: random.Random) -> None:
    connection = psycopg2.connect(url, sslmode="require", connect_timeout=20)
    try:
        for _ in range(dice.randrange(1, 20)):
            with connection, connection.cursor() as cursor:
                cursor.execute("SELECT repeat('x', %s)", (dice.randrange(1, 100000),))
                cursor.fetchall()
    finally:
        connection.close()


KINDS = {step.__name__: step for step in (short_simple, short_extended, prepared, transaction, parameters, long_query, large_result, copy,
                                          cancel, errors, pipeline, reconnect, vanish, pinned, by_tls)}


def explained(error: Exception, disturbed) -> bool:
    """A replica has crashed, or just did, and this is what its clients are told."""
    if time.monotonic() > disturbed.value:
        return False
    if isinstance(error, Unexpected):
        return error.args[0].get("C") in LOST
    return isinstance(error, (OSError, psycopg2.OperationalError))


def live(url: str, kind: str, dice: random.Random, until: float, disturbed, counts, results) -> None:
    """Steps of one kind, one after the other, until the time is over or something is wrong."""
    wire = None
    while time.monotonic() < until:
        try:
            if kind == "by_tls":
                by_tls(url, dice)
            else:
                if wire is None or wire.socket.fileno() < 0:
                    wire = Wire(url, {"application_name": f"soak {kind}"}, timeout=60)
                    counts["connections"] += 1
                KINDS[kind](wire, dice)
            counts[kind] += 1
            time.sleep(dice.random() / 50)
        except Exception as error:  # pylint: disable=broad-except
            if not explained(error, disturbed):
                results.put((kind, f"{type(error).__name__}: {error}"))
                return
            counts["errors by a crash"] += 1
            if wire is not None:
                wire.close()
            wire = None
            time.sleep(0.1)
    if wire is not None:
        with contextlib.suppress(OSError):
            wire.close()

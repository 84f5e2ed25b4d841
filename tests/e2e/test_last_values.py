"""What one server's process keeps for a session and no other can be told of: the last numbers of sequences, and what
functions in C remember. In transaction mode the session finds its own again, and never another's."""
import contextlib
import time

import psycopg2
import psycopg2.errors
import pytest

from harness.alone import Balancer, standing_alone
from harness.waiting import wait_until

USER, PASSWORD = "keeper", "sesame"
ROLE = f"CREATE ROLE {USER} SUPERUSER LOGIN PASSWORD '{PASSWORD}'"
SETUP = """DROP SEQUENCE IF EXISTS numbers, others; DROP TABLE IF EXISTS notes, keys, refs; DROP FUNCTION IF EXISTS keeps(real), cascades();
CREATE SEQUENCE numbers; CREATE SEQUENCE others; CREATE TABLE notes (id serial, text text)"""
NOT_YET = "not yet defined in this session"


@pytest.fixture(scope="module")
def server():
    with standing_alone("host all all all scram-sha-256") as (server, _balancer):
        server.sql(ROLE)
        yield server


@pytest.fixture
def pool_of(server, tmp_path):
    """Gives a maker of clients of a balancer with so many servers; one thread, so that all share the same ones."""
    with contextlib.ExitStack() as stack:

        def start(servers: int):
            server.sql(SETUP)
            balancer = Balancer(tmp_path, server, pool_size=servers, threads=1)
            stack.callback(balancer.stop)
            balancer.start()

            def client():
                connection = psycopg2.connect(balancer.url(USER, PASSWORD), connect_timeout=10)
                connection.autocommit = True
                stack.callback(connection.close)
                return connection

            return client

        yield start


def value(connection, sql: str):
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0] if cursor.description else None


def pid(connection) -> int:
    return value(connection, "SELECT pg_backend_pid()")


def ask_once(connection) -> None:
    """From now on it is known that last values are asked for here."""
    with pytest.raises(psycopg2.errors.ObjectNotInPrerequisiteState, match=NOT_YET):
        value(connection, "SELECT lastval()")
    connection.close()


def test_the_server_with_a_clients_numbers_is_left_to_it_while_there_are_others(pool_of):
    client = pool_of(4)
    mine, other, third = client(), client(), client()
    number = value(mine, "SELECT nextval('numbers')")
    for _ in range(5):
        value(other, "SELECT nextval('numbers')")
        value(third, "SELECT 1")
    assert value(mine, "SELECT currval('numbers')") == number


def test_a_client_whose_table_draws_the_number_finds_it_where_such_questions_are_asked(pool_of):
    client = pool_of(4)
    mine, other = client(), client()
    ask_once(client())
    value(mine, "INSERT INTO notes (text) VALUES ('mine')")
    for _ in range(5):
        value(other, "INSERT INTO notes (text) VALUES ('other')")
    assert value(mine, "SELECT lastval()") == 1
    assert value(other, "SELECT lastval()") == 6


@pytest.mark.parametrize("before", [[], ["SELECT 1"], ["BEGIN"], ["BEGIN", "SELECT 1"], ["SELECT nextval('others')"]])
@pytest.mark.parametrize("asked", ["SELECT currval('numbers')", "SELECT lastval()"])
def test_a_client_never_sees_a_number_of_another(pool_of, before, asked):
    client = pool_of(1)
    other, mine = client(), client()
    ask_once(client())
    value(other, "SELECT setval('numbers', 41)")
    assert value(other, "SELECT nextval('numbers')") == 42
    for sql in before:
        value(mine, sql)
    if before == ["SELECT nextval('others')"] and "lastval" in asked:
        assert value(mine, asked) == 1
    else:
        with pytest.raises(psycopg2.errors.ObjectNotInPrerequisiteState, match=NOT_YET):
            value(mine, asked)


def test_where_no_more_servers_may_be_opened_nobody_waits_for_one_that_is_kept(pool_of):
    client = pool_of(1)
    mine, other = client(), client()
    value(mine, "SELECT nextval('numbers')")
    began = time.monotonic()
    value(other, "SELECT 1")
    assert time.monotonic() - began < 1


@pytest.mark.parametrize("around", [("", ""), ("BEGIN", "COMMIT")])
def test_a_function_in_c_binds_its_session_from_the_moment_it_is_made(pool_of, around):
    client = pool_of(4)
    mine, other = client(), client()
    pid(mine)  # the catalogue of the database is wanted from now on
    for sql in (around[0], "CREATE FUNCTION keeps(real) RETURNS real LANGUAGE c AS '$libdir/pg_trgm', 'set_limit'",
                "SELECT keeps(0.9)", around[1]):
        if sql:
            value(mine, sql)
    server = pid(mine)
    value(other, "BEGIN")
    assert pid(other) != server
    assert pid(mine) == server


# The trigger in C keeps its plan in the process: what it did there first, it does ever after.
TABLES = "CREATE TABLE keys (a int); CREATE TABLE refs (a int)"
OF_EXTENSION = "CREATE EXTENSION IF NOT EXISTS refint"
OF_OURS = "CREATE FUNCTION cascades() RETURNS trigger LANGUAGE c AS '$libdir/refint', 'check_foreign_key'"


def trigger(function: str) -> str:
    return (f"CREATE TRIGGER gone BEFORE DELETE OR UPDATE ON keys FOR EACH ROW EXECUTE FUNCTION {function}"
            "(1, 'cascade', 'a', 'refs', 'a')")


def is_bound(connection, other) -> bool:
    server = pid(connection)
    value(other, "BEGIN")
    taken = pid(other)  # the one used last, if it is free
    value(other, "COMMIT")
    return taken != server


def test_a_trigger_in_c_binds_who_makes_it(pool_of):
    client = pool_of(4)
    mine, other = client(), client()
    assert not is_bound(mine, other)
    for sql in (TABLES, OF_OURS, trigger("cascades")):
        value(mine, sql)
    assert is_bound(mine, other)


@pytest.mark.parametrize("function, made", [("cascades", OF_OURS), ("check_foreign_key", OF_EXTENSION)])
def test_a_trigger_in_c_binds_who_makes_it_fire(pool_of, function, made):
    client = pool_of(4)
    for sql in (TABLES, made, trigger(function)):
        value(client(), sql)
    mine, other = client(), client()

    def writing_binds() -> bool:
        value(mine, "WITH gone AS (DELETE FROM keys WHERE a = 1 RETURNING a) SELECT count(*) FROM gone")
        return is_bound(mine, other)

    value(mine, "DELETE FROM refs")
    assert not is_bound(mine, other)
    wait_until(writing_binds, 10, "the catalogue is read")

"""What one server's process keeps for a session and no other can be told of: the last numbers of sequences, what functions in
C remember, and what is left behind though no text says so. In transaction mode the session finds its own again, and never
another's."""
import contextlib
import struct
import time

import psycopg2
import psycopg2.errors
import pytest

from harness import wire
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


def catalogue_is_read(connection, table: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ROUTE) SELECT * FROM {table}")
        reason = cursor.fetchone()[2]
    return "not known" not in reason


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


# --- what nobody asked for by name: views, operators, types, triggers and the like that leave something behind

ASKING = """
CREATE SEQUENCE drawn;
CREATE TABLE parent (id bigint DEFAULT nextval('drawn')); CREATE TABLE child (id bigint DEFAULT currval('drawn'));
CREATE TABLE of_trigger (id bigint); CREATE OR REPLACE VIEW view_of_last AS SELECT lastval();
CREATE OR REPLACE FUNCTION takes() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.id := currval('drawn'); RETURN NEW; END $$;
CREATE TRIGGER t BEFORE INSERT ON of_trigger FOR EACH ROW EXECUTE FUNCTION takes();
"""
LEAVERS = ASKING + """
CREATE TABLE plain (a int); INSERT INTO plain VALUES (1);
CREATE FUNCTION sets(text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM set_config('search_path', 'kept', false);
  RETURN set_config('kept.mark', 'kept', false); END $$;
CREATE FUNCTION sets_of(text, text) RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN public.sets($1); END';
CREATE FUNCTION of_row(plain) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN public.sets(''); END $$;
CREATE FUNCTION is_set(int) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN PERFORM public.sets(''); RETURN true; END $$;
CREATE FUNCTION stable_one() RETURNS text STABLE LANGUAGE plpgsql AS
  $$ BEGIN RETURN set_config('search_path', 'kept', false); END $$;
CREATE OPERATOR ### (LEFTARG = text, RIGHTARG = text, FUNCTION = sets_of);
CREATE DOMAIN setting AS int CHECK (is_set(VALUE));
CREATE VIEW view_sets AS SELECT sets('');
CREATE TABLE in_check (a int CHECK (is_set(a))); CREATE TABLE in_domain (a setting);
CREATE TABLE in_rule (a int); CREATE RULE r AS ON INSERT TO in_rule DO ALSO SELECT sets('');
CREATE TABLE to_temp (a int); CREATE TABLE to_lock (a int); CREATE TABLE to_channel (a int);
CREATE FUNCTION makes() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN CREATE TEMP TABLE IF NOT EXISTS made AS SELECT 'secret' AS text; RETURN NEW; END $$;
CREATE FUNCTION locks() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_advisory_lock(99); RETURN NEW; END';
CREATE FUNCTION hears() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'LISTEN ears'; RETURN NEW; END $$;
CREATE TRIGGER t BEFORE INSERT ON to_temp FOR EACH ROW EXECUTE FUNCTION makes();
CREATE TRIGGER t BEFORE INSERT ON to_lock FOR EACH ROW EXECUTE FUNCTION locks();
CREATE TRIGGER t BEFORE INSERT ON to_channel FOR EACH ROW EXECUTE FUNCTION hears();
CREATE FUNCTION on_ddl() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM public.sets(''); END $$;
CREATE EVENT TRIGGER ddl ON ddl_command_end WHEN TAG IN ('COMMENT') EXECUTE FUNCTION on_ddl();
CREATE FUNCTION last_one() RETURNS bigint STABLE LANGUAGE plpgsql AS 'BEGIN RETURN lastval(); END';
CREATE ROLE humble; CREATE EXTENSION dblink;
CREATE FUNCTION seeds() RETURNS void LANGUAGE plpgsql AS 'BEGIN PERFORM setseed(0.5); END';
"""
TEXTS = {
    "a view": "SELECT * FROM view_sets", "an operator": "SELECT 'a'::text ### 'b'", "an attribute": "SELECT p.of_row FROM plain p",
    "a cast": "SELECT 5::setting", "a view that is inserted": "INSERT INTO plain SELECT length(sets) FROM view_sets",
    "a stable function": "SELECT stable_one()", "CHECK": "INSERT INTO in_check VALUES (1)",
    "a domain": "INSERT INTO in_domain VALUES (1)", "a rule": "INSERT INTO in_rule VALUES (1)",
    "an event trigger": "COMMENT ON TABLE plain IS 'x'", "a temporary table": "INSERT INTO to_temp VALUES (1)",
    "a lock": "INSERT INTO to_lock VALUES (1)", "a channel": "INSERT INTO to_channel VALUES (1)",
    "more than 200 parameters": ";".join(f"SET kept.of_{number} = 'kept'" for number in range(201))}
MOST = 3  # servers
LEFT = """SELECT current_setting('search_path') || coalesce(current_setting('kept.mark', true), '')
  || coalesce(current_setting('kept.of_200', true), '') || coalesce(to_regclass('pg_temp.made')::text, '')
  || array(SELECT pg_listening_channels())::text || (SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid()
  AND locktype = 'advisory')"""


@pytest.fixture(scope="module")
def leaving(server, tmp_path_factory):
    """Gives clients of a balancer of one thread that knows what leaves something behind."""
    server.sql("CREATE DATABASE leaving")
    server.sql(LEAVERS, database="leaving")
    with contextlib.ExitStack() as stack:
        balancer = Balancer(tmp_path_factory.mktemp("leaving"), server, pool_size=MOST, threads=1)
        stack.callback(balancer.stop)
        balancer.start()

        def client():
            connection = psycopg2.connect(balancer.url(USER, PASSWORD, "leaving"), connect_timeout=10)
            connection.autocommit = True
            stack.callback(connection.close)
            return connection

        client.url = balancer.url(USER, PASSWORD, "leaving")
        wait_until(lambda: catalogue_is_read(client(), "plain"), 10, "the catalogue is read")
        yield client


@pytest.mark.parametrize("what", TEXTS)
def test_what_no_text_says_is_left_behind_stays_with_its_client(leaving, what):
    with contextlib.closing(leaving()) as mine, contextlib.closing(leaving()) as other:
        clean = value(mine, LEFT)
        value(mine, TEXTS[what])
        assert value(other, LEFT) == clean
        value(other, "SELECT 1")
        assert value(mine, LEFT) != clean, "it has lost it"
    with contextlib.ExitStack() as stack:
        others = [stack.enter_context(contextlib.closing(leaving())) for _ in range(MOST)]
        for one in others:
            value(one, "BEGIN")
        assert {value(one, LEFT) for one in others} == {clean}


def test_a_write_to_a_table_without_such_triggers_is_followed_by_no_question(server, leaving):
    def questions() -> int:
        return (server.folder / "log").read_text(encoding="utf-8", errors="replace").count("'it listens to a channel'")

    server.set(log_statement="all")
    try:
        with contextlib.closing(leaving()) as client:
            before = questions()
            for _ in range(3):
                value(client, "INSERT INTO plain VALUES (2)")
                value(client, "SELECT count(*) FROM plain WHERE a = 1")
            value(client, "SELECT 1")
            assert questions() == before
            value(client, "INSERT INTO in_check VALUES (1)")
            assert questions() > before
    finally:
        server.set(log_statement=None)


def test_a_function_that_is_called_by_its_number_leaves_nothing_to_others(leaving):
    arguments = b"".join(struct.pack("!i", len(text)) + text for text in (b"search_path", b"kept", b"f"))
    client = wire.Wire(leaving.url)
    try:
        client.query("SELECT 1")
        assert client.ask(wire.message(b"F", struct.pack("!IHH", 2078, 0, 3) + arguments + struct.pack("!H", 0))).status == "I"
        with contextlib.closing(leaving()) as other:
            assert value(other, "SHOW search_path") == '"$user", public'
        assert client.value("SHOW search_path") == "kept"
    finally:
        client.socket.close()


def test_what_only_superusers_see_goes_with_the_session_under_any_role(leaving):
    with contextlib.closing(leaving()) as mine, contextlib.closing(leaving()) as other:
        before = value(other, "SHOW dynamic_library_path")
        for sql in ("SET dynamic_library_path = '/kept'", "SET ROLE humble", "SET work_mem = '77MB'"):
            value(mine, sql)
        assert value(other, "SHOW dynamic_library_path") == before
        assert value(mine, "SELECT current_user::text || current_setting('work_mem')") == "humble77MB"
        value(mine, "RESET ROLE")
        assert value(mine, "SHOW dynamic_library_path") == "/kept"


@pytest.mark.parametrize("table", ["child", "of_trigger"])
def test_a_default_or_a_trigger_that_asks_for_the_last_number_gets_the_sessions_own(pool_of, server, table):
    client = pool_of(4)
    server.sql("DROP SEQUENCE IF EXISTS drawn CASCADE; DROP TABLE IF EXISTS parent, child, of_trigger;" + ASKING)
    mine, other = client(), client()
    wait_until(lambda: catalogue_is_read(mine, "parent"), 10, "the catalogue is read")
    number = value(mine, "INSERT INTO parent DEFAULT VALUES RETURNING id")
    assert value(other, "INSERT INTO parent DEFAULT VALUES RETURNING id") == number + 1
    assert value(mine, f"INSERT INTO {table} DEFAULT VALUES RETURNING id") == number


@pytest.mark.parametrize("sql", ["SELECT setseed(0.5)", "SELECT seeds()", "SELECT dblink_connect('mine', {conninfo})",
                                 "SELECT pg_create_physical_replication_slot('mine', true, true)"])
def test_a_server_whose_process_keeps_something_ends_with_its_session(server, leaving, sql):
    conninfo = f"'host={server.folder} port={server.port} user=postgres dbname=leaving'"
    with contextlib.closing(leaving()) as other:
        with contextlib.closing(leaving()) as mine:
            value(mine, sql.format(conninfo=conninfo))
            taken = pid(mine)
            assert pid(other) != taken
            value(mine, "DISCARD ALL")
            assert pid(other) != taken and pid(mine) == taken
        wait_until(lambda: not server.sql("SELECT FROM pg_stat_activity WHERE pid = %s", (taken,)), 10, "the server is closed")


@pytest.mark.parametrize("asked", ["INSERT INTO child DEFAULT VALUES", "INSERT INTO of_trigger VALUES (0)", "SELECT * FROM view_of_last",
                                   "SELECT last_one()", "DO $$ BEGIN PERFORM lastval(); END $$"])
def test_who_drew_no_number_is_told_so_whatever_asks_for_it(leaving, asked):
    with contextlib.ExitStack() as stack:
        other, mine, *rest = [stack.enter_context(contextlib.closing(leaving())) for _ in range(MOST + 1)]
        for one in rest:
            value(one, "BEGIN")
            value(one, "SELECT 1")
        value(other, "INSERT INTO parent DEFAULT VALUES")  # at the server that is left
        with pytest.raises(psycopg2.errors.ObjectNotInPrerequisiteState, match=NOT_YET):
            value(mine, asked)

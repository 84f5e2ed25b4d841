"""What a client sets stays with it, whichever server it is given, and with it alone."""
import contextlib

import psycopg2.errors
import pytest

from harness import wire
from harness.pooled import PORT, PRIMARY, SERVERS, run, show, value
from harness.waiting import wait_until

WAYS_TO_SET = {
    "SET": "SET work_mem = '7MB'",
    "SET SESSION": "SET SESSION work_mem TO '7MB'",
    "set_config": "SELECT set_config('work_mem', '7MB', false)",
    "in a transaction": "BEGIN; SET work_mem = '7MB'; COMMIT",
    "after a query": "SELECT 1; SET work_mem = '7MB'",
    "in DO": "DO $$ BEGIN SET work_mem = '7MB'; END $$",
    "in DO, by set_config": "DO $$ BEGIN PERFORM set_config('work_mem', '7MB', false); END $$",
    "in a function": "SELECT set_it('work_mem', '7MB')",
    "in a query of a table": "SELECT set_config('work_mem', '7MB', false) FROM users LIMIT 1",
    "through pg_settings": "UPDATE pg_settings SET setting = '7MB' WHERE name = 'work_mem'",
}


@pytest.mark.parametrize("way", WAYS_TO_SET)
def test_a_parameter_stays_with_the_client_that_set_it(pooled, way):
    mine, other = pooled.client(), pooled.client()
    before = show(other, "work_mem")
    assert before != "7MB"
    run(mine, WAYS_TO_SET[way])
    assert pooled.on_each_server(lambda: show(mine, "work_mem")) == ["7MB"] * SERVERS
    assert pooled.on_each_server(lambda: show(other, "work_mem")) == [before] * SERVERS
    assert pooled.on_each_server(lambda: show(mine, "work_mem")) == ["7MB"] * SERVERS


def test_a_server_that_cannot_take_a_parameter_any_more_is_replaced(pooled):
    client = pooled.client()
    run(client, "SET temp_buffers = '16MB'")
    pooled.on_each_server(lambda: run(pooled.client(), "CREATE TEMP TABLE short (a int); INSERT INTO short VALUES (1); "
                                                       "DROP TABLE short"))
    assert pooled.on_each_server(lambda: show(client, "temp_buffers")) == ["16MB"] * SERVERS
    assert pooled.on_each_server(lambda: show(pooled.client(), "temp_buffers")) == ["8MB"] * SERVERS
    run(client, "CREATE TEMP TABLE short (a int); INSERT INTO short VALUES (1); DROP TABLE short")
    assert pooled.on_each_server(lambda: show(pooled.client(), "temp_buffers")) == ["8MB"] * SERVERS


def test_anothers_time_limit_is_not_that_of_what_a_client_is_given(pooled):
    """Which is so much that it takes longer than the limit."""
    client = pooled.client()
    long = "x" * 5000
    for first in range(0, 150, 3):
        run(client, "; ".join(f"SET my.number_{number} = '{long}'" for number in range(first, first + 3)))
    for _ in range(10):
        run(pooled.client(), "SET statement_timeout = '1ms'")
        assert show(client, "my.number_149") == long
        run(pooled.client(), "SET statement_timeout = '1ms'")
        assert value(pooled.client(options="-c work_mem=5MB"), PRIMARY + "SELECT current_setting('work_mem')") == "5MB"


def test_a_parameter_goes_with_the_client_to_the_replicas(pooled):
    mine, other = pooled.client(), pooled.client()
    wait_until(lambda: value(mine, PORT) in pooled.replica_ports, 10, "a read goes to a replica")
    run(mine, "SET work_mem = '7MB'")
    ports = set()
    for _ in range(40):
        port, work_mem = run(mine, "SELECT here(), work_mem_here()")[0]
        ports.add(port)
        assert work_mem == "7MB", f"at port {port}"
        port, work_mem = run(other, "SELECT here(), work_mem_here()")[0]
        ports.add(port)
        assert work_mem == "4MB", f"at port {port}"
    assert ports & pooled.replica_ports


def test_set_local_ends_with_the_transaction(pooled):
    mine = pooled.client()
    run(mine, "BEGIN")
    run(mine, "SET LOCAL work_mem = '9MB'")
    assert show(mine, "work_mem") == "9MB"
    run(mine, "COMMIT")
    assert pooled.on_each_server(lambda: show(mine, "work_mem")) == ["4MB"] * SERVERS


def test_rollback_undoes_set(pooled):
    mine = pooled.client()
    run(mine, "SET work_mem = '6MB'")
    run(mine, "BEGIN")
    run(mine, "SET work_mem = '9MB'")
    assert show(mine, "work_mem") == "9MB"
    run(mine, "ROLLBACK")
    assert pooled.on_each_server(lambda: show(mine, "work_mem")) == ["6MB"] * SERVERS
    run(mine, "BEGIN")
    run(mine, "SAVEPOINT here")
    run(mine, "SET work_mem = '9MB'")
    run(mine, "ROLLBACK TO here")
    run(mine, "SET maintenance_work_mem = '9MB'")
    run(mine, "COMMIT")
    assert pooled.on_each_server(lambda: show(mine, "work_mem")) == ["6MB"] * SERVERS
    assert pooled.on_each_server(lambda: show(mine, "maintenance_work_mem")) == ["9MB"] * SERVERS


def test_a_failed_transaction_undoes_set(pooled):
    mine = pooled.client()
    with pytest.raises(psycopg2.errors.DivisionByZero):
        run(mine, "BEGIN; SET work_mem = '9MB'; SELECT 1/0")
    run(mine, "COMMIT")
    assert pooled.on_each_server(lambda: show(mine, "work_mem")) == ["4MB"] * SERVERS


def test_reset_and_discard_all_bring_back_what_the_session_began_with(pooled):
    mine = pooled.client(options="-c work_mem=5MB -c my.var=begun", application_name="first name")
    for back in ("RESET work_mem", "SET work_mem TO DEFAULT", "RESET ALL", "DISCARD ALL"):
        run(mine, "SET work_mem = '9MB'")
        assert pooled.on_each_server(lambda: show(mine, "work_mem")) == ["9MB"] * SERVERS
        run(mine, back)
        assert pooled.on_each_server(lambda: show(mine, "work_mem")) == ["5MB"] * SERVERS, back
    for back in ("RESET application_name", "RESET ALL", "DISCARD ALL"):
        run(mine, "SET application_name = 'second name'")
        assert mine.get_parameter_status("application_name") == "second name"
        run(mine, back)
        assert show(mine, "application_name") == "first name"
        assert mine.get_parameter_status("application_name") == "first name", f"the client was told wrong by {back}"


def test_startup_options_are_each_clients_own(pooled):
    names = [f"client {number}" for number in range(6)]
    clients = [pooled.client(application_name=name, options=f"-c work_mem={number + 10}MB -c my.var={number}")
               for number, name in enumerate(names)]
    for _ in range(3):
        for number, client in enumerate(clients):
            assert show(client, "application_name") == names[number]
            assert show(client, "work_mem") == f"{number + 10}MB"
            assert show(client, "my.var") == str(number)
    plain = pooled.client()
    assert pooled.on_each_server(lambda: (show(plain, "work_mem"), show(plain, "application_name"))) == \
        [("4MB", "")] * SERVERS


def test_pg_stat_activity_shows_the_application_name_of_the_client_at_work(pooled):
    mine = pooled.client(application_name="at work")
    run(mine, "BEGIN")
    value(mine, "SELECT 1")
    assert len(pooled.servers(where="application_name = 'at work'")) == 1
    run(mine, "COMMIT")


@pytest.mark.parametrize("how", ["SET my.var = 'mine'", "SELECT set_config('my.var', 'mine', false)",
                                 "SELECT set_config('My.Var', lower('MINE'), false)"])
def test_a_custom_parameter_stays_with_its_client(pooled, how):
    mine, other = pooled.client(), pooled.client()
    run(mine, how)
    assert pooled.on_each_server(lambda: show(mine, "my.var")) == ["mine"] * SERVERS
    assert not any(pooled.on_each_server(lambda: show(other, "my.var"))), "another client sees it"
    run(other, "SET my.var = 'other'")
    assert pooled.on_each_server(lambda: show(mine, "my.var")) == ["mine"] * SERVERS
    run(mine, "RESET my.var")
    assert not any(pooled.on_each_server(lambda: show(mine, "my.var")))
    assert pooled.on_each_server(lambda: show(other, "my.var")) == ["other"] * SERVERS


HIDDEN_WAYS = {"a function": "SELECT set_it('my.hidden', 'mine')",
               "a hinted function": PRIMARY + "SELECT set_it('my.hidden', 'mine')",
               "beside what only one server knows": "SELECT current_setting('port'), set_it('my.hidden', 'mine')",
               "with a lock": "SELECT set_it('my.hidden', 'mine') FROM shaped FOR UPDATE",
               "an INSERT": "INSERT INTO notes (text) SELECT set_it('my.hidden', 'mine')::text",
               "DO": "DO $$ BEGIN PERFORM set_config('my.hidden', 'mine', false); END $$",
               "a prepared text": "PREPARE p AS SELECT set_config('my.hidden', 'mine', false); EXECUTE p; DEALLOCATE p"}


@pytest.mark.parametrize("how", HIDDEN_WAYS)
def test_a_custom_parameter_that_was_set_unseen_never_leaks(pooled, how):
    mine, other = pooled.client(), pooled.client()
    run(mine, HIDDEN_WAYS[how])
    assert not any(pooled.on_each_server(lambda: show(other, "my.hidden")))


@pytest.mark.parametrize("how", HIDDEN_WAYS)
def test_a_custom_parameter_that_was_set_unseen_stays_with_its_client(pooled, how):
    mine = pooled.client()
    run(mine, HIDDEN_WAYS[how])
    assert pooled.on_each_server(lambda: show(mine, "my.hidden")) == ["mine"] * SERVERS


@pytest.fixture
def defined(pooled):
    """Makes objects by the balancer, and takes them away by it."""
    dropped = []

    def define(sql: str, drop: str) -> None:
        dropped.append(drop)
        run(pooled.client(), sql)

    yield define
    for drop in reversed(dropped):
        run(pooled.client(), drop)


def test_a_custom_parameter_that_a_function_names_stays_with_its_client(pooled, defined):
    defined("CREATE FUNCTION hides() RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM set_config('my.inner', 'mine', false); "
            "END $$; CREATE FUNCTION calls_it() RETURNS void LANGUAGE sql AS $$ SELECT hides() $$",
            "DROP FUNCTION calls_it(), hides()")
    mine, other = pooled.client(), pooled.client()

    def is_carried() -> bool:  # once the catalogue has been read again
        run(mine, "SELECT calls_it()")
        return pooled.on_each_server(lambda: show(mine, "my.inner")) == ["mine"] * SERVERS
    wait_until(is_carried, 10, "the balancer knows the function")
    assert not any(pooled.on_each_server(lambda: show(other, "my.inner")))


def test_a_custom_parameter_whose_name_is_nowhere_to_be_seen_keeps_the_server(pooled):
    wired, other = pooled.wire(), pooled.client()
    assert not wired.ask(wire.extended("SELECT set_it($1, $2)", ("my.bound", "mine"))).errors
    ask = wire.query(PRIMARY + "SELECT current_setting('my.bound', true)")
    assert {wired.ask(ask).value for _ in range(10)} == {"mine"}
    assert not any(show(other, "my.bound") for _ in range(10))
    wired.query("DISCARD ALL")


SETTERS = {
    "trigger": "CREATE TABLE watched (a int); CREATE FUNCTION sets() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
               "PERFORM set_config('work_mem', '9MB', false), set_config('my.trigger', 'mine', false); RETURN NEW; END $$; "
               "CREATE TRIGGER sets BEFORE INSERT ON watched FOR EACH ROW EXECUTE FUNCTION sets()",
    "default": "CREATE FUNCTION sets() RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM set_config('work_mem', '9MB', false); "
               "RETURN set_config('my.trigger', 'mine', false); END $$; CREATE TABLE watched (a int, b text DEFAULT sets())"}


@pytest.mark.parametrize("what", SETTERS)
def test_what_a_trigger_or_a_default_sets_stays_with_its_client(pooled, defined, what):
    defined(SETTERS[what], "DROP TABLE watched; DROP FUNCTION sets()")
    mine, other = pooled.client(), pooled.client()

    def seen(client) -> list:
        return pooled.on_each_server(lambda: (show(client, "work_mem"), show(client, "my.trigger")))
    before = seen(other)

    def is_carried() -> bool:
        run(mine, "INSERT INTO watched VALUES (1)")
        return seen(mine) == [("9MB", "mine")] * SERVERS
    wait_until(is_carried, 10, "the balancer knows the function")
    assert [one[0] for one in seen(other)] == [one[0] for one in before]
    assert not any(one[1] for one in seen(other))


@pytest.fixture
def secretive(pooled):
    """A role that may not read what the balancer asks a server for."""
    change = ("{} EXECUTE ON FUNCTION pg_catalog.pg_show_all_settings() {} PUBLIC; "
              "{} SELECT ON pg_catalog.pg_settings {} PUBLIC")
    pooled.at("primary1", change.format("REVOKE", "FROM", "REVOKE", "FROM"))
    yield "other_role"
    pooled.at("primary1", change.format("GRANT", "TO", "GRANT", "TO"))


def test_a_server_that_cannot_say_what_is_left_behind_stays_with_its_client(pooled, secretive):
    mine, other = pooled.client(), pooled.client()
    run(mine, f"SET ROLE {secretive}")
    pid = value(mine, PRIMARY + "SELECT pg_backend_pid()")
    assert {value(mine, PRIMARY + "SELECT pg_backend_pid()") for _ in range(20)} == {pid}
    assert value(mine, "SHOW role") == secretive
    assert {value(other, "SHOW role") for _ in range(20)} == {"none"}
    assert pid not in {value(other, PRIMARY + "SELECT pg_backend_pid()") for _ in range(20)}
    run(mine, "RESET ROLE")
    assert value(mine, PRIMARY + "SELECT current_user") == pooled.user
    holders = [pooled.client() for _ in range(SERVERS)]
    for holder in holders:  # all servers serve everybody again
        run(holder, "BEGIN")
        value(holder, "SELECT pg_backend_pid()")
    for holder in holders:
        run(holder, "ROLLBACK")
    assert value(mine, "SHOW role") == "none"


def test_values_with_quotes_and_backslashes_are_carried_as_they_are(pooled):
    odd = "it's \"a\" \\ b'; SELECT 1 --"
    mine = pooled.client()
    run(mine, "SELECT set_config('my.var', %s, false), set_config('application_name', %s, false)", (odd, odd))
    run(mine, "SET search_path = \"odd schema\", public")
    assert pooled.on_each_server(lambda: (show(mine, "my.var"), show(mine, "application_name"))) == \
        [(odd, odd)] * SERVERS
    assert pooled.on_each_server(lambda: show(mine, "search_path")) == ['"odd schema", public'] * SERVERS


def test_units_lists_and_zones_are_carried_as_they_are(pooled):
    settings = {"statement_timeout": "90s", "TimeZone": "America/St_Johns", "DateStyle": "German, DMY",
                "IntervalStyle": "iso_8601", "bytea_output": "escape", "random_page_cost": "1.25",
                "idle_in_transaction_session_timeout": "1min", "extra_float_digits": "-2", "enable_seqscan": "off"}
    mine, other = pooled.client(), pooled.client()
    for name, wanted in settings.items():
        run(mine, f"SET {name} = {wanted}" if name == "DateStyle" else f"SET {name} = '{wanted}'")

    def look():
        return {name: value(mine, f"{PRIMARY}SHOW {name}") for name in settings}
    assert pooled.on_each_server(look) == [{**settings, "statement_timeout": "90s"}] * SERVERS
    for name, wanted in settings.items():
        assert value(other, f"{PRIMARY}SHOW {name}") != wanted


def test_set_role_stays_with_its_client(pooled):
    mine, other = pooled.client(), pooled.client()
    run(mine, "SET ROLE other_role")
    assert pooled.on_each_server(lambda: value(mine, f"{PRIMARY}SELECT current_user")) == ["other_role"] * SERVERS
    assert pooled.on_each_server(lambda: value(other, f"{PRIMARY}SELECT current_user")) == [pooled.user] * SERVERS
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        run(mine, "INSERT INTO notes (text) VALUES ('not allowed')")
    for _ in range(10):
        assert value(mine, "SELECT current_user") == "other_role"
        assert value(other, "SELECT current_user") == pooled.user
    run(mine, "RESET ROLE")
    assert pooled.on_each_server(lambda: value(mine, f"{PRIMARY}SELECT current_user")) == [pooled.user] * SERVERS


def test_a_role_that_may_not_set_a_parameter_does_not_get_in_the_way_of_it(pooled):
    mine, other = pooled.client(), pooled.client()
    run(mine, "SET log_statement_stats = on; SET track_activities = off; SET ROLE other_role")

    def look():
        return value(mine, f"{PRIMARY}SELECT current_user"), show(mine, "track_activities")
    assert pooled.on_each_server(look) == [("other_role", "off")] * SERVERS
    assert pooled.on_each_server(lambda: show(other, "log_statement_stats")) == ["off"] * SERVERS
    assert pooled.on_each_server(look) == [("other_role", "off")] * SERVERS


def test_set_session_authorization_stays_with_its_client(pooled):
    mine, other = pooled.client(), pooled.client()
    run(mine, "SET SESSION AUTHORIZATION other_role")
    for _ in range(5):
        assert value(mine, "SELECT session_user") == "other_role"
        assert value(other, "SELECT session_user") == pooled.user
    mine.close()
    assert pooled.on_each_server(lambda: value(other, f"{PRIMARY}SELECT session_user")) == [pooled.user] * SERVERS


def test_a_tiny_statement_timeout_hits_the_clients_own_statements_only(pooled):
    mine, other = pooled.client(), pooled.client()
    run(mine, "SET statement_timeout = '1ms'")
    for _ in range(20):
        with pytest.raises(psycopg2.errors.QueryCanceled):
            run(mine, "SELECT pg_sleep(1)")
        with contextlib.suppress(psycopg2.errors.QueryCanceled):
            run(mine, "SELECT set_config('my.var', 'x', false)")
        value(other, "SELECT pg_sleep(0.005)")
    run(mine, "SELECT 1")

"""The balancer hides that the primary is lost and comes back: what clients see of it, and what they must never see."""
import signal
import time

import pytest

from harness.alone import standing_group
from harness.free_ports import free_block
from harness.losing import CLOSED, FAILED, NO_PRIMARY, ROLLED_BACK, SETUP, UNKNOWN, Asking, Group, good, note
from harness.store import STORE_PASSWORD, Store
from harness.waiting import wait_until
from harness.wire import SYNC, bind, describe, execute, extended, parse, query


@pytest.fixture(scope="module")
def standing():
    with standing_group(1) as made:
        made[0].sql(SETUP)
        made[1][0].wait_caught_up()
        yield made


@pytest.fixture
def group(standing):
    """Its primary is the primary again at the end."""
    made = Group(*standing)
    with made.stack:
        made.wait_catalogue()
        yield made
        made.primary.start() if made.primary.process.poll() is not None else None
        made.wait_primary(made.primary)
        made.replicas[0].wait_caught_up()


# --- who waits for nothing

@pytest.mark.parametrize("how", ["stop", "kill"])
def test_idle_sessions_outlive_the_primary_with_all_that_they_are(group, how):
    clients = [group.client() for _ in range(5)]
    for number, client in enumerate(clients):
        good(client.query(f"SET work_mem = '{number + 1}MB'"))
        good(client.ask(parse(f"INSERT INTO notes (text) VALUES ($1) RETURNING {number}", "insert"), SYNC))
    getattr(group.primary, how)()
    group.primary.start()
    for number, client in enumerate(clients):
        assert client.value("SHOW work_mem") == f"{number + 1}MB"
        answer = good(client.ask(bind("insert", [f"{how} {number}"]), execute(), SYNC))
        assert answer.value == str(number)
        assert group.rows(f"{how} {number}") == 1


@pytest.mark.parametrize("sql", ["SHOW work_mem", "INSERT INTO notes (text) VALUES ('late %d')"])
def test_a_request_that_meets_the_end_of_an_idle_server_goes_to_another_one(group, sql):
    """The balancer finds both at once: the servers have ended, and clients ask."""
    for attempt in range(5):
        clients = [group.client() for _ in range(4)]
        for client in clients:
            good(client.query("SELECT count(*) FROM notes"))
            good(client.query("SET work_mem = '3MB'"))
        group.balancer.process.send_signal(signal.SIGSTOP)
        try:
            group.primary.stop()
            group.primary.start()
            asked = [Asking(client, query(sql % (10 * attempt + number) if "%" in sql else sql))
                     for number, client in enumerate(clients)]
            time.sleep(0.1)
        finally:
            group.balancer.process.send_signal(signal.SIGCONT)
        for number, one in enumerate(asked):
            good(one.get())
            assert "%" not in sql or group.rows(f"late {10 * attempt + number}") == 1


def test_nobody_is_told_that_it_is_done_before_the_session_is_known(group):
    """What a statement left in the session is asked of the server; should that be lost, the client must not go on as if."""
    client = group.client()
    good(client.query("SET work_mem = '3MB'"))
    with group.locked("pg_catalog.pg_depend"):
        asked = Asking(client, query("SET work_mem = '5MB'"))
        time.sleep(0.5)
        assert asked.answer is None
        group.primary.stop()
    assert asked.get().sqlstates == [CLOSED] and asked.answer.status == "I"
    group.primary.start()
    assert client.value("SHOW work_mem") == "3MB"


# --- what waits for a primary

def test_new_work_waits_for_the_primary_and_reads_go_on(group):
    writer, reader = group.client(), group.client()
    good(reader.query("SELECT 1"))
    group.primary.stop()
    group.wait_no_primary()
    begin = time.monotonic()
    asked = [Asking(group.client(), note("held 1")), Asking(writer, extended("INSERT INTO notes (text) VALUES ('held 2')"))]
    while time.monotonic() < begin + 2:
        assert reader.value("SELECT here() FROM notes UNION SELECT here()") == str(group.replicas[0].port)
    assert not any(one.answer for one in asked)
    group.primary.start()
    for one in asked:
        good(one.get())
    assert (group.rows("held 1"), group.rows("held 2")) == (1, 1)


def test_who_waits_for_too_long_is_told_for_what_and_the_session_goes_on(group):
    group.balancer.config["primary_wait_timeout"] = 1
    group.balancer.reload()
    try:
        client = group.client()
        group.primary.stop()
        group.wait_no_primary()
        begin = time.monotonic()
        answer = client.ask(note("never"))
        assert 0.9 < time.monotonic() - begin < 4
        assert answer.sqlstates == [NO_PRIMARY] and answer.status == "I"
        error = answer.errors[0]
        assert "no primary" in error["M"] and "primary_wait_timeout is 1000 ms" in error["D"] and "primary (127" in error["D"], error
        assert client.value("SELECT 1 FROM pg_class LIMIT 1") == "1"
        group.primary.start()
        group.wait_primary(group.primary)
        good(client.ask(note("after that")))
        assert group.rows("never") == 0
    finally:
        del group.balancer.config["primary_wait_timeout"]
        group.balancer.reload()


# --- what was under way

@pytest.mark.parametrize("ask", [query, extended])
def test_a_read_whose_answer_has_not_begun_is_read_again(group, ask):
    client = group.client(application_name="reads")
    good(client.query("SET default_transaction_isolation = 'serializable'"))  # at the primary
    with group.locked():
        asked = Asking(client, ask("SELECT count(*) >= 0 FROM notes"))
        group.backend("count(*) >= 0")
        group.primary.stop()
    group.primary.start()
    assert good(asked.get()).value == "t"


def test_an_answer_that_breaks_off_within_a_message_ends_the_session(group):
    """Whatever came next would be taken for the rest of it."""
    client = group.client()
    good(client.query("SET default_transaction_isolation = 'serializable'"))
    client.send(query("SELECT repeat('x', 50000000)"))
    client.buffer += client.socket.recv(100)  # the rest stays where it is
    group.primary.stop()
    with pytest.raises(ConnectionError):
        client.until("EZ")
    group.primary.start()


def test_whether_a_write_took_effect_is_unknown_when_nothing_was_said(group):
    client = group.client()
    with group.locked():
        asked = Asking(client, note("perhaps"))
        group.backend("perhaps")
        group.primary.kill()
    answer = asked.get()
    assert answer.sqlstates == [UNKNOWN] and answer.status == "I"
    assert "unknown" in answer.errors[0]["M"] and "look before you repeat it" in answer.errors[0]["D"]
    group.primary.start()
    good(client.ask(note("surely")))
    assert group.rows("perhaps") == 0


@pytest.mark.parametrize("ask", [query, extended])
def test_a_write_that_the_server_has_given_up_is_done_elsewhere_once(group, ask):
    client = group.client()
    text = f"given up {ask.__name__}"
    with group.locked():
        asked = Asking(client, ask(f"INSERT INTO notes (text) VALUES ('{text}')"))
        group.primary.sql("SELECT pg_terminate_backend(%s)", (group.backend(text),))
        wait_until(lambda: group.backend(text), 10, "it is asked again")
        assert asked.answer is None
    good(asked.get())
    assert group.rows(text) == 1


@pytest.mark.parametrize("sql", ["SELECT noted('%s')", "DO $$ BEGIN INSERT INTO notes (text) VALUES ('%s'); END $$",
                                 "INSERT INTO notes (text) VALUES (noted('%s'))"])
def test_what_may_do_more_than_its_transaction_is_done_once_or_not(group, sql):
    client = group.client()
    with group.locked():
        asked = Asking(client, query(sql % "once"))
        group.primary.sql("SELECT pg_terminate_backend(%s)", (group.backend("once"),))
        assert asked.get().sqlstates == [UNKNOWN]
    assert group.rows("once") == 0 and client.value("SELECT 1") == "1"


@pytest.mark.parametrize("how", ["stop", "kill", "terminate"])
@pytest.mark.parametrize("sql", ["COMMIT", "INSERT INTO notes (text) VALUES ('in doubt alone')"])
def test_a_commit_in_doubt_is_called_that(group, sql, how):
    """It waits for a standby that there is not, when the primary is lost."""
    group.primary.sql("DELETE FROM notes WHERE text LIKE 'in doubt%'")
    client, text = group.client(), "in doubt alone" if sql != "COMMIT" else "in doubt"
    if sql == "COMMIT":
        client.query("BEGIN")
        client.ask(note(text))
    group.primary.set(synchronous_standby_names="nobody")
    try:
        asked = Asking(client, query(sql))
        wait_until(lambda: group.primary.sql("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'"), 10, "it waits")
        assert asked.answer is None
        if how == "terminate":
            group.primary.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
        else:
            getattr(group.primary, how)()
        answer = asked.get()
        assert answer.sqlstates == [UNKNOWN] and answer.status == "I"
    finally:
        (group.primary.folder / "data" / "postgresql.auto.conf").write_text("", encoding="utf-8")
        if how == "terminate":
            group.primary.sql("SELECT pg_reload_conf()")
        else:
            group.primary.start()
    assert group.rows(text) == 1, "here it did"
    assert client.value("SELECT 1") == "1"


# --- transactions

def lose(group, client) -> None:
    group.primary.stop()
    group.primary.start()
    group.wait_primary(group.primary)


@pytest.fixture
def lost(group):
    """A client in a transaction whose server is gone."""
    client = group.client()
    client.query("SET work_mem = '3MB'")
    assert client.query("BEGIN").status == "T"
    client.ask(note("lost"))
    client.query("SET work_mem = '9MB'")
    lose(group, client)
    yield client
    assert client.value("SHOW work_mem") == "3MB"
    assert group.rows("lost") == 0
    good(client.query("BEGIN; DELETE FROM notes; ROLLBACK"))


def test_an_open_transaction_is_failed_until_its_client_ends_it(lost):
    answer = lost.ask(note("lost"))
    assert (answer.sqlstates, answer.status) == ([ROLLED_BACK], "E")
    assert "Nothing of it was committed" in answer.errors[0]["D"]
    answer = lost.ask(extended("INSERT INTO notes (text) VALUES ('lost')"))
    assert (answer.sqlstates, answer.status, answer.tags) == ([FAILED], "E", "EZ")
    answer = lost.query("BEGIN; INSERT INTO notes (text) VALUES ('lost'); COMMIT")
    assert (answer.sqlstates, answer.status) == ([FAILED], "E")
    assert lost.query("SAVEPOINT a").status == "E"
    assert lost.query("ROLLBACK TO a").status == "E"
    answer = lost.query("ROLLBACK")
    assert (answer.tags, answer.status) == ("CZ", "I")


def test_a_rollback_is_what_it_says_in_a_transaction_that_is_lost(lost):
    answer = lost.ask(extended("ROLLBACK"))
    assert not answer.errors and answer.status == "I"


@pytest.mark.parametrize("ask", [query, extended])
@pytest.mark.parametrize("told", [False, True])
def test_a_commit_never_succeeds_in_a_transaction_that_is_lost(lost, ask, told):
    if told:
        lost.ask(note("lost"))
    answer = lost.ask(ask("COMMIT"))
    assert (answer.sqlstates, answer.status) == ([ROLLED_BACK], "I")


def test_a_pipeline_in_a_transaction_does_nothing_after_the_loss(group):
    client = group.client()
    with group.locked():
        asked = Asking(client, query("BEGIN"), note("piped 1"), note("piped 2"), answers=3)
        group.backend("piped 1")
        group.primary.kill()
        answer = asked.get()
    assert answer.tags.count("E") == 2 and answer.status == "E", answer
    group.primary.start()
    answer = client.ask(note("piped 3"))
    assert answer.status == "E" and answer.sqlstates == [FAILED]
    assert client.query("COMMIT").sqlstates == [ROLLED_BACK]
    assert group.primary.sql("SELECT count(*) FROM notes WHERE text LIKE 'piped%'") == [(0,)]
    assert client.value("SELECT 1") == "1"


def test_the_first_request_of_a_transaction_is_sent_again_nobody_will_commit_it_there(group):
    client = group.client()
    with group.locked():
        asked = Asking(client, parse("BEGIN"), bind(), execute(), parse("INSERT INTO notes (text) VALUES ('first')"), bind(),
                       describe(what="P"), execute(), SYNC)
        group.backend("first")
        group.primary.kill()
    group.primary.start()
    answer = asked.get()
    if answer.errors:  # the answer to BEGIN was on its way already
        assert answer.sqlstates == [ROLLED_BACK] and answer.status == "E"
        client.query("ROLLBACK")
    else:
        assert answer.status == "T"
        good(client.query("COMMIT"))
        assert group.rows("first") == 1


def test_what_binds_a_session_to_its_server_ends_with_it(group):
    client = group.client()
    good(client.query("CREATE TEMP TABLE mine (a int)"))
    group.primary.stop()
    assert client.until("E").sqlstates in (["57P01"], [CLOSED])
    assert client.is_closed()
    group.primary.start()


# --- another leader

def with_store(group) -> Store:
    """The balancer keeps a lease store, in which the test says who leads."""
    port = free_block(1)
    group.balancer.config |= {"group": "group1", "store_dir": "store", "store_port": port, "store_password": STORE_PASSWORD}
    group.balancer.restart()
    store = Store(port)
    wait_until(lambda: store.log_in() or True, 20, "the store is open")
    return store


def test_nobody_but_the_leader_of_the_lease_store_is_written_to(group):
    key, store = "/pgbalancer/any/group1/leader", with_store(group)
    client = group.client()
    good(client.ask(note("led by nobody")))
    store.put(key, '{"holder": "primary", "epoch": 1}')
    good(client.ask(note("led by itself")))
    inside = group.client()
    inside.query("BEGIN")
    inside.ask(note("led by another one"))
    store.put(key, '{"holder": "replica1", "epoch": 2}')
    group.wait_no_primary()
    assert "the lease store names replica1 as the leader of epoch 2" in group.state(group.primary)["last_error"]
    assert inside.query("COMMIT").sqlstates == [ROLLED_BACK]
    asked = Asking(client, note("led by another one"))
    time.sleep(1)
    assert asked.answer is None and group.rows("led by another one") == 0
    store.remove(key)
    time.sleep(1)  # in which nothing must be written
    assert asked.answer is None and group.rows("led by another one") == 0
    assert "the lease of epoch 2 has ended" in group.state(group.primary)["last_error"]
    store.put(key, '{"holder": "primary", "epoch": 3}')
    good(asked.get())
    assert group.rows("led by another one") == 1


def test_nothing_is_written_after_the_lease_unless_failover_is_paused(group):
    root, store = "/pgbalancer/any/group1/", with_store(group)
    client = group.client()
    store.put(root + "leader", '{"holder": "primary", "epoch": 1}')
    good(client.ask(note("under its lease")))
    store.remove(root + "leader")
    group.wait_no_primary()
    asked = Asking(client, note("after its lease"))
    time.sleep(0.5)  # in which nothing must be written
    assert asked.answer is None and group.rows("after its lease") == 0
    store.put(root + "paused", "{}")
    good(asked.get())
    assert group.rows("after its lease") == 1

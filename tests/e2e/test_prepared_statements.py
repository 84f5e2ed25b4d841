"""Prepared statements of the protocol, pipelines and odd messages, of clients that share two servers a node."""
import concurrent.futures
import threading

import pytest

from harness import wire
from harness.pooled import PRIMARY, SERVERS, run
from harness.wire import FLUSH, SYNC, Wire

KEPT = 200  # statements on a server: max_prepared_statements, where nothing else is said

# --- prepared statements of the protocol

def test_one_text_of_many_clients_is_right_for_each(pooled):
    clients = [pooled.wire() for _ in range(20)]
    for client in clients:
        assert client.ask(wire.parse(PRIMARY + "SELECT $1::int + 1000", "same"), SYNC).tags == "1Z"
    for turn in range(5):
        for number, client in enumerate(clients):
            answer = client.ask(wire.bind("same", (number * 10 + turn,)), wire.execute(), SYNC)
            assert (answer.tags, answer.value) == ("2DCZ", str(1000 + number * 10 + turn))


def test_different_texts_under_one_name_are_kept_apart(pooled):
    clients = [pooled.wire() for _ in range(20)]
    for number, client in enumerate(clients):
        assert client.ask(wire.parse(f"{PRIMARY}SELECT 'text {number}'", "same"), SYNC).tags == "1Z"
    for _ in range(5):
        for number, client in enumerate(clients):
            answer = client.ask(wire.bind("same"), wire.describe(what="P"), wire.execute(), SYNC)
            assert (answer.tags, answer.value) == ("2TDCZ", f"text {number}")


def test_twenty_clients_at_once_execute_what_they_prepared(pooled):
    def work(number: int) -> int:
        with Wire(pooled.url) as client:
            client.ask(wire.parse(PRIMARY + "SELECT $1 || ' shared'", "a", (25,)), SYNC)
            client.ask(wire.parse(f"{PRIMARY}SELECT $1 || ' own {number}'", "b", (25,)), SYNC)
            for turn in range(50):
                answer = client.ask(wire.bind("a", (f"{number}.{turn}",)), wire.execute(),
                                    wire.bind("b", (f"{number}.{turn}",)), wire.execute(), SYNC)
                assert answer.rows == [[f"{number}.{turn} shared"], [f"{number}.{turn} own {number}"]], answer
        return number
    with concurrent.futures.ThreadPoolExecutor(20) as threads:
        assert sorted(threads.map(work, range(20))) == list(range(20))


def test_the_unnamed_statement_outlives_its_request(pooled):
    mine, other = pooled.wire(), pooled.wire()
    mine.ask(wire.parse(PRIMARY + "SELECT 'mine'"), SYNC)
    other.ask(wire.parse(PRIMARY + "SELECT 'other'"), SYNC)
    for _ in range(3):
        assert mine.ask(wire.bind(), wire.execute(), SYNC).value == "mine"
        assert other.ask(wire.bind(), wire.execute(), SYNC).value == "other"


def test_a_statement_that_was_never_prepared_is_unknown(pooled):
    one, two = pooled.wire(), pooled.wire()
    one.ask(wire.parse("SELECT 1", "known"), SYNC)
    for request in (wire.bind("known"), wire.describe("known")):
        assert two.ask(request, SYNC).sqlstates == ["26000"]
    assert two.ask(wire.close("known"), SYNC).tags == "3Z"
    assert one.ask(wire.bind("known"), wire.execute(), SYNC).value == "1"


def test_describe_tells_parameters_and_columns_on_any_server(pooled):
    client = pooled.wire()
    client.ask(wire.parse(PRIMARY + "SELECT $1::int8 AS number", "known"), SYNC)

    def look():
        answer = client.ask(wire.describe("known"), SYNC)
        assert answer.tags == "tTZ"
        return answer[0][1], b"number\0" in answer[1][1]
    assert pooled.on_each_server(look) == [(b"\0\1\0\0\0\x14", True)] * SERVERS


def test_close_ends_a_statement_for_its_client_only(pooled):
    one, two = pooled.wire(), pooled.wire()
    for client in (one, two):
        client.ask(wire.parse(PRIMARY + "SELECT 5", "shared"), SYNC)
    assert one.ask(wire.close("shared"), SYNC).tags == "3Z"
    assert one.ask(wire.bind("shared"), wire.execute(), SYNC).sqlstates == ["26000"]
    assert two.ask(wire.bind("shared"), wire.execute(), SYNC).value == "5"
    assert one.ask(wire.parse(PRIMARY + "SELECT 6", "shared"), SYNC).tags == "1Z"
    assert one.ask(wire.bind("shared"), wire.execute(), SYNC).value == "6"
    assert two.ask(wire.bind("shared"), wire.execute(), SYNC).value == "5"


@pytest.mark.parametrize("request_of", [wire.query, wire.extended], ids=["simple", "extended"])
def test_deallocate_ends_a_statement_of_the_protocol(pooled, request_of):
    one, two = pooled.wire(), pooled.wire()
    for client in (one, two):
        for name in "ab":
            client.ask(wire.parse(f"{PRIMARY}SELECT '{name}'", name), SYNC)
    answer = one.ask(request_of("DEALLOCATE a"))
    assert not answer.errors and answer.status == "I", answer
    assert one.ask(wire.bind("a"), SYNC).sqlstates == ["26000"]
    assert one.ask(wire.bind("b"), wire.execute(), SYNC).value == "b"
    assert two.ask(wire.bind("a"), wire.execute(), SYNC).value == "a"


@pytest.mark.parametrize("request_of", [wire.query, wire.extended], ids=["simple", "extended"])
def test_deallocate_all_ends_the_statements_of_its_client_only(pooled, request_of):
    one, two = pooled.wire(), pooled.wire()
    for client in (one, two):
        for name in "ab":
            client.ask(wire.parse(f"{PRIMARY}SELECT '{name}'", name), SYNC)
    assert not one.ask(request_of("DEALLOCATE ALL")).errors
    for name in "ab":
        assert one.ask(wire.bind(name), SYNC).sqlstates == ["26000"]
        assert two.ask(wire.bind(name), wire.execute(), SYNC).value == name
    assert two.query("DEALLOCATE unknown").sqlstates == ["26000"]


def test_discard_all_ends_the_statements_of_its_client_only(pooled):
    one, two = pooled.wire(), pooled.wire()
    for client in (one, two):
        client.ask(wire.parse(PRIMARY + "SELECT 5", "shared"), SYNC)
    assert not one.query("DISCARD ALL").errors
    assert one.ask(wire.bind("shared"), SYNC).sqlstates == ["26000"]

    def look():
        return two.ask(wire.bind("shared"), wire.execute(), SYNC).value
    assert pooled.on_each_server(look) == ["5"] * SERVERS


def test_a_name_is_free_again_after_a_failed_parse(pooled):
    client = pooled.wire()
    assert client.ask(wire.parse("SELECT nonsense FROM nowhere", "s"), SYNC).sqlstates == ["42P01"]
    assert client.ask(wire.bind("s"), SYNC).sqlstates == ["26000"]
    assert client.ask(wire.parse("SELEC", "s"), SYNC).sqlstates == ["42601"]
    assert client.ask(wire.parse(PRIMARY + "SELECT 1", "s"), SYNC).tags == "1Z"
    assert client.ask(wire.bind("s"), wire.execute(), SYNC).value == "1"


def test_a_parse_that_was_skipped_after_an_error_made_no_statement(pooled):
    client = pooled.wire()
    answer = client.ask(wire.parse("SELECT 1/0"), wire.bind(), wire.execute(), wire.parse(PRIMARY + "SELECT 1", "s"),
                        SYNC)
    assert answer.sqlstates == ["22012"]
    assert client.ask(wire.bind("s"), SYNC).sqlstates == ["26000"]
    assert client.ask(wire.parse(PRIMARY + "SELECT 2", "s"), SYNC).tags == "1Z"
    assert client.ask(wire.bind("s"), wire.execute(), SYNC).value == "2"


def test_what_was_skipped_after_an_error_changes_no_names(pooled):
    wired, other = pooled.wire(), pooled.wire()
    other.ask(wire.parse("SELECT 2", "known"), SYNC)
    wired.ask(wire.parse("SELECT 1", "kept"), wire.parse("SELECT 'unnamed'"), SYNC)
    error = wire.bind("absent")
    assert wired.ask(error, wire.close("kept"), wire.parse("SELECT 2", "kept"), SYNC).sqlstates == ["26000"]
    assert wired.ask(wire.bind("kept"), wire.execute(), SYNC).value == "1"
    assert wired.ask(error, wire.parse("SELECT 2", "new"), wire.parse("SELECT 3"), SYNC).sqlstates == ["26000"]
    assert wired.ask(wire.bind("new"), wire.execute(), SYNC).sqlstates == ["26000"], "its text is known from another client"
    assert wired.ask(wire.bind(), wire.execute(), SYNC).value == "unnamed"
    assert wired.ask(wire.parse("SELEKT"), SYNC).sqlstates == ["42601"]
    assert wired.ask(wire.bind(), wire.execute(), SYNC).sqlstates == ["26000"]
    assert wired.ask(wire.close("kept"), wire.parse("SELECT 4", "kept"), error, wire.close("kept"), SYNC).sqlstates == ["26000"]
    assert wired.ask(wire.bind("kept"), wire.execute(), SYNC).value == "4"


def test_a_request_behind_one_that_failed_goes_by_the_names_that_are_left(pooled):
    wired = pooled.wire()
    wired.send(wire.bind("absent"), wire.parse("SELECT 1", "never"), SYNC, wire.bind("never"), wire.execute(), SYNC)
    assert wired.until(count=2).sqlstates == ["26000", "26000"]


def test_a_discard_that_fails_discards_nothing(pooled):
    wired = pooled.wire()
    wired.ask(wire.parse("SELECT 1", "kept"), SYNC)
    wired.query("BEGIN")
    assert wired.query("DISCARD ALL").sqlstates == ["25001"]
    assert wired.query("DEALLOCATE ALL").sqlstates == ["25P02"]
    wired.query("ROLLBACK")
    assert wired.ask(wire.bind("kept"), wire.execute(), SYNC).value == "1"
    assert not wired.query("DISCARD ALL").errors
    assert wired.ask(wire.bind("kept"), wire.execute(), SYNC).sqlstates == ["26000"]


def test_a_name_in_use_is_refused_as_by_a_server(pooled):
    client = pooled.wire()
    client.ask(wire.parse(PRIMARY + "SELECT 1", "s"), SYNC)
    assert client.ask(wire.parse(PRIMARY + "SELECT 2", "s"), SYNC).sqlstates == ["42P05"]
    assert client.ask(wire.bind("s"), wire.execute(), SYNC).value == "1"


def test_a_table_may_change_under_prepared_statements(pooled):
    old = [pooled.wire() for _ in range(4)]  # on each thread and server
    sql = PRIMARY + "SELECT * FROM shaped"

    def ask(client):
        return client.ask(wire.bind("s"), wire.execute(), SYNC)
    for client in old:
        client.ask(wire.parse(sql, "s"), SYNC)
        assert pooled.on_each_server(lambda c=client: ask(c).rows) == [[["1"]]] * SERVERS
    run(pooled.client(), "ALTER TABLE shaped ADD COLUMN b int DEFAULT 2")
    for _ in range(4):
        fresh = pooled.wire()
        assert fresh.ask(wire.parse(sql, "s"), SYNC).tags == "1Z"
        assert pooled.on_each_server(lambda c=fresh: ask(c).rows) == [[["1", "2"]]] * SERVERS, "prepared afterwards"
    for client in old:  # may be told of the change, as by a server, and goes on
        for answer in [ask(client) for _ in range(4)]:
            assert answer.rows == [["1", "2"]] or answer.sqlstates == ["0A000"], answer
        assert pooled.on_each_server(lambda c=client: [ask(c), ask(c)][-1].rows) == [[["1", "2"]]] * SERVERS


def test_who_prepares_after_a_change_that_nobody_saw_is_not_told_of_it(pooled):
    sql = PRIMARY + "SELECT * FROM reshaped"
    pooled.at("primary1", f"CREATE TABLE reshaped AS SELECT 1 AS a; GRANT ALL ON reshaped TO {pooled.user}")
    batch = (wire.parse(sql, "s"), wire.bind("s"), wire.describe(what="P"), wire.execute(), SYNC)
    apart = ((wire.parse(sql, "t"),), (wire.describe("t"),), (wire.bind("t"), wire.execute()))
    columns = ["1"]
    for more in "bc":
        old = pooled.wire()
        old.ask(wire.parse(sql, "s"), SYNC)
        assert pooled.on_each_server(lambda: old.ask(wire.bind("s"), wire.execute(), SYNC).rows) == [[columns]] * SERVERS
        pooled.at("primary1", f"ALTER TABLE reshaped ADD COLUMN {more} int DEFAULT 2")
        columns = columns + ["2"]
        for _ in range(2):
            def look():
                fresh = pooled.wire()
                if more == "b":
                    answer = fresh.ask(*batch)
                    assert answer.tags == "12TDCZ", answer
                else:
                    answers = [fresh.ask(*one, SYNC) for one in apart]
                    assert [answer.tags for answer in answers] == ["1Z", "tTZ", "2DCZ"], answers
                    answer = answers[-1]
                return answer.rows
            assert pooled.on_each_server(look) == [[columns]] * SERVERS


def test_who_knows_the_old_columns_is_told_that_they_changed(pooled):
    sql = PRIMARY + "SELECT * FROM recast"
    pooled.at("primary1", f"CREATE TABLE recast AS SELECT 1 AS a; GRANT ALL ON recast TO {pooled.user}")
    old = pooled.wire()
    old.ask(wire.parse(sql, "s"), SYNC)
    pooled.on_each_server(lambda: old.ask(wire.bind("s"), wire.describe(what="P"), wire.execute(), SYNC))
    pooled.at("primary1", "ALTER TABLE recast ADD COLUMN b int DEFAULT 2")
    assert old.ask(wire.bind("s"), wire.execute(), SYNC).sqlstates == ["0A000"]


# --- one text, and what sessions have set

def execute_everywhere(pooled, client, name: str) -> set:
    return set(pooled.on_each_server(lambda: client.ask(wire.bind(name), wire.execute(), SYNC).value))


SETTINGS = {
    "TimeZone": ("extract(epoch FROM '2024-01-01 00:00'::timestamptz)::int", "UTC", "1704067200", "America/New_York", "1704085200"),
    "DateStyle": ("to_char('01/02/2024'::date, 'MM-DD')", "ISO, MDY", "01-02", "ISO, DMY", "02-01"),
    "search_path": ("(SELECT v FROM placed)", "here", "1", "there", "one")}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_literal_and_a_name_mean_what_the_client_has_set(pooled, name):
    what, first, meaning, second, other_meaning = SETTINGS[name]
    if name == "search_path":
        run(pooled.client(), "CREATE SCHEMA here; CREATE SCHEMA there; CREATE TABLE here.placed AS SELECT 1 AS v; "
                             "CREATE TABLE there.placed AS SELECT 'one' AS v")
    one, two = pooled.wire(), pooled.wire()
    for client, setting, expected in ((one, first, meaning), (two, second, other_meaning)):
        assert not client.query(f"SET {name} = '{setting}'" if name != "search_path" else f"SET {name} = {setting}").errors
        client.ask(wire.parse(f"{PRIMARY}SELECT {what}", "s"), SYNC)
        assert execute_everywhere(pooled, client, "s") == {expected}
    assert execute_everywhere(pooled, one, "s") == {meaning}


def test_what_a_client_has_set_since_does_not_become_anothers(pooled):
    what, first, meaning, second, other_meaning = SETTINGS["TimeZone"]
    early, late, local = pooled.wire(), pooled.wire(), pooled.wire()
    for number, begin in enumerate((f"SET TimeZone = '{second}'", f"BEGIN; SET LOCAL TimeZone = '{second}'",
                                    f"BEGIN; DO $$ BEGIN SET LOCAL TimeZone = '{second}'; END $$")):
        sql, name = f"{PRIMARY}SELECT {what}, {number}", f"s{number}"
        for client in (early, late):
            client.query(f"SET TimeZone = '{first}'")
            client.ask(wire.parse(sql, name), SYNC)  # on one of the two servers
        def change(client=late):
            client.query(begin)
            answer = client.ask(wire.bind(name), wire.execute(), SYNC).rows
            client.query("COMMIT")
            return answer
        pooled.on_each_server(change)
        assert execute_everywhere(pooled, early, name) == {meaning}, begin
        late.query(f"SET TimeZone = '{first}'")
        sql, name = sql + ", 'prepared then'", name + "then"
        local.query(f"SET TimeZone = '{first}'")
        local.query(begin)
        local.ask(wire.parse(sql, name), SYNC)
        assert local.ask(wire.bind(name), wire.execute(), SYNC).rows[0][0] == other_meaning
        local.query("COMMIT")
        early.ask(wire.parse(sql, name), SYNC)
        assert execute_everywhere(pooled, early, name) == {meaning}, begin


def test_the_moment_of_a_text_is_that_of_who_prepares_it(pooled):
    sql = PRIMARY + "SELECT 'now'::timestamptz::text"
    moments = []
    for _ in range(3):
        client = pooled.wire()
        client.ask(wire.parse(sql, "s"), SYNC)
        moments.append(client.ask(wire.bind("s"), wire.execute(), SYNC).value)
    assert len(set(moments)) == 3, moments


def test_a_text_of_more_than_a_megabyte_is_a_statement_like_any_other(pooled):
    size = 1_200_000
    text = f"{PRIMARY}SELECT length('{'x' * size}')"
    one, two = pooled.wire(), pooled.wire()
    answer = one.ask(wire.parse(text), wire.bind(), wire.execute(), SYNC)
    assert (answer.tags, answer.rows) == ("12DCZ", [[str(size)]])
    two.ask(wire.parse(PRIMARY + "SELECT 'other'"), SYNC)
    assert execute_everywhere(pooled, one, "") == {str(size)}
    assert two.ask(wire.bind(), wire.execute(), SYNC).value == "other"
    answer = one.ask(wire.bind("absent"), wire.parse(text.replace("x", "y")), SYNC)
    assert answer.sqlstates == ["26000"]
    assert one.ask(wire.bind(), wire.execute(), SYNC).value == str(size), "the one that was skipped took its place"
    assert one.ask(wire.parse("SELEKT" + " " * size), SYNC).sqlstates == ["42601"]
    assert one.ask(wire.bind(), SYNC).sqlstates == ["26000"]
    written = f"INSERT INTO notes (text) VALUES ('{'z' * size}') RETURNING length(text)"
    assert one.ask(wire.parse(written), wire.bind(), wire.execute(), SYNC).value == str(size)
    assert one.value(f"SELECT count(*) FROM notes WHERE length(text) = {size}") == "1"


def test_a_name_for_more_than_a_megabyte_is_its_clients_alone(pooled):
    size = 1_200_000
    text = f"{PRIMARY}SELECT length('{'x' * size}')"
    one, two = pooled.wire(), pooled.wire()
    assert one.ask(wire.parse(text, "big"), wire.bind("big"), wire.execute(), SYNC).value == str(size)
    assert two.ask(wire.bind("big"), SYNC).sqlstates == ["26000"]
    assert two.ask(wire.parse(PRIMARY + "SELECT 2", "big"), SYNC).tags == "1Z"
    for _ in range(3):
        assert one.ask(wire.bind("big"), wire.execute(), SYNC).value == str(size)
        assert two.ask(wire.bind("big"), wire.execute(), SYNC).value == "2"
    assert two.ask(wire.parse(text, "big"), SYNC).sqlstates == ["42P05"]
    one.close()
    assert pooled.on_each_server(lambda: two.value(
        PRIMARY + "SELECT count(*) FROM pg_prepared_statements WHERE name = 'big'")) == ["0"] * SERVERS


def test_more_statements_than_a_server_keeps(pooled):
    client = pooled.wire()
    for number in range(450):
        client.ask(wire.parse(f"{PRIMARY}SELECT {number}", f"s{number}"), SYNC)
    for number in (*range(0, 450, 7), *range(449, 0, -11)):
        assert client.ask(wire.bind(f"s{number}"), wire.execute(), SYNC).value == str(number)
    counts = pooled.on_each_server(lambda: client.value(PRIMARY + "SELECT count(*) FROM pg_prepared_statements"))
    assert all(int(count) <= 2 * KEPT for count in counts), counts  # with what earlier tests have left there


def test_statements_of_old_plans_do_not_pile_up_on_a_server(pooled):
    client = pooled.wire()
    client.query("DROP TABLE IF EXISTS grows; CREATE TABLE grows (n int)")
    for number in range(KEPT - 5):
        client.ask(wire.parse(f"{PRIMARY}SELECT {number} FROM grows", f"s{number}"), SYNC)
    for number in range(8):
        client.ask(wire.parse(PRIMARY + f"SELECT *, {number} FROM grows", "all"), SYNC)
        assert not client.ask(wire.bind("all"), wire.execute(), SYNC).errors
        client.query("BEGIN")
        client.query(f"ALTER TABLE grows ADD COLUMN c{number} int")
        assert client.ask(wire.bind("all"), wire.execute(), SYNC).sqlstates == ["0A000"]
        client.query("ROLLBACK")
        for again in range(KEPT - 5):
            assert not client.ask(wire.bind(f"s{again}"), wire.execute(), SYNC).errors
        client.ask(wire.close("all"), SYNC)
    counts = pooled.on_each_server(lambda: client.value(PRIMARY + "SELECT count(*) FROM pg_prepared_statements"))
    assert all(int(count) <= 2 * KEPT + 10 for count in counts), counts


# --- pipelines and odd messages

def test_a_pipeline_is_answered_in_order_up_to_its_error_and_goes_on_after_the_sync(pooled):
    client = pooled.wire()
    client.ask(wire.parse(PRIMARY + "SELECT $1::int * 2", "double"), SYNC)
    client.send(*(wire.bind("double", (number,)) + wire.execute() for number in (1, 2)),
                wire.bind("double", ("nonsense",)), wire.execute(), wire.bind("double", (3,)), wire.execute(), SYNC,
                wire.bind("double", (4,)), wire.execute(), SYNC,
                wire.query("SELECT 'simple'"), wire.bind("double", (5,)), wire.execute(), SYNC)
    answers = [client.until() for _ in range(4)]
    assert [answer.tags for answer in answers] == ["2DC2DCEZ", "2DCZ", "TDCZ", "2DCZ"]
    assert [answer.rows for answer in answers] == [[["2"], ["4"]], [["8"]], [["simple"]], [["10"]]]
    assert answers[0].sqlstates == ["22P02"]


def test_an_error_undoes_the_whole_of_a_pipeline(pooled):
    client = pooled.wire()
    insert = wire.parse("INSERT INTO notes (text) VALUES ('of a pipeline')") + wire.bind() + wire.execute()
    answer = client.ask(insert, insert, wire.parse("SELECT 1/0"), wire.bind(), wire.execute(), insert, SYNC)
    assert (answer.sqlstates, answer.status) == (["22012"], "I")
    assert client.value("SELECT count(*) FROM notes WHERE text = 'of a pipeline'") == "0"
    assert client.ask(insert, insert, SYNC).tags == "12C12CZ"
    assert client.value("SELECT count(*) FROM notes WHERE text = 'of a pipeline'") == "2"


def test_statements_of_a_pipeline_with_known_and_new_names_are_answered_in_order(pooled):
    """Some answers are the balancer's own: they must stand at their places."""
    one, two = pooled.wire(), pooled.wire()
    one.ask(wire.parse(PRIMARY + "SELECT 'known'", "a"), SYNC)
    for _ in range(4):
        answer = two.ask(wire.parse(PRIMARY + "SELECT 'new'", "n"), wire.parse(PRIMARY + "SELECT 'known'", "a"),
                         wire.describe("a"), wire.bind("a"), wire.execute(), wire.close("a"), wire.bind("n"),
                         wire.execute(), wire.close("n"), wire.close("never"), SYNC)
        assert answer.tags == "11tT2DC32DC33Z"
        assert answer.rows == [["known"], ["new"]]


def test_many_pipelined_requests_of_many_kinds_get_their_own_answers(pooled):
    client = pooled.wire()
    client.ask(wire.parse("SELECT $1", "echo", (25,)), SYNC)
    requests = []
    for number in range(300):
        kind = number % 4
        requests.append(wire.query(f"SELECT '{number}'") if kind == 0 else
                        wire.extended("SELECT $1 || ''", (number,)) if kind == 1 else
                        wire.bind("echo", (number,)) + wire.execute() + SYNC if kind == 2 else
                        wire.query(f"INSERT INTO notes (text) VALUES ('{number}') RETURNING text"))
    sender = threading.Thread(target=client.send, args=requests)
    sender.start()
    got = [client.until().value for _ in requests]
    sender.join()
    assert got == [str(number) for number in range(300)]


def test_flush_brings_answers_before_the_end_of_the_request(pooled):
    client = pooled.wire()
    for name in ("first", "second"):  # the second time a server knows the text
        client.send(wire.parse(PRIMARY + "SELECT 'flushed'", name), FLUSH)
        assert client.until("1").tags == "1"
        client.send(wire.describe(name), FLUSH)
        assert client.until("T").tags == "tT"
        client.send(wire.bind(name), wire.execute(), FLUSH)
        answer = client.until("C")
        assert (answer.tags, answer.rows) == ("2DC", [["flushed"]])
        assert client.silent_for(0.1), "ReadyForQuery came without a Sync"
        assert client.ask(SYNC).tags == "Z"


def test_a_portal_is_read_in_parts(pooled):
    client, other = pooled.wire(), pooled.wire()
    answer = client.ask(wire.parse(PRIMARY + "SELECT generate_series(1, 5)"), wire.bind(), wire.execute(rows=2),
                        wire.execute(rows=2), wire.execute(rows=2), SYNC)
    assert answer.tags == "12DDsDDsDCZ"
    assert answer.rows == [[str(n)] for n in range(1, 6)]
    client.query("BEGIN")
    assert client.ask(wire.parse("SELECT generate_series(1, 5)"), wire.bind(portal="p"), wire.execute("p", 3),
                      SYNC).tags == "12DDDsZ"
    other.value(PRIMARY + "SELECT 1")
    answer = client.ask(wire.execute("p", 3), SYNC)
    assert (answer.tags, answer.rows, answer.status) == ("DDCZ", [["4"], ["5"]], "T")
    assert client.ask(wire.close("p", "P"), SYNC).tags == "3Z"
    assert client.ask(wire.execute("p"), SYNC).sqlstates == ["34000"]
    assert client.query("ROLLBACK").status == "I"


def test_an_empty_query_is_one(pooled):
    client = pooled.wire()
    assert client.query("").tags == "IZ"
    assert client.ask(wire.parse(""), wire.bind(), wire.describe(what="P"), wire.execute(), SYNC).tags == "12nIZ"
    assert client.ask(SYNC).tags == "Z"
    assert client.query("SELECT 1; SELECT 2;").tags == "TDCTDCZ"


def test_a_failed_transaction_stays_failed_until_its_end(pooled):
    client = pooled.wire()
    client.ask(wire.parse("SELECT 1", "one"), SYNC)
    assert client.query("BEGIN").status == "T"
    assert client.query("SELECT 1/0").status == "E"
    for _ in range(2):
        assert client.ask(wire.bind("one"), wire.execute(), SYNC).sqlstates == ["25P02"]
        assert client.query("SELECT 1").sqlstates == ["25P02"]
    assert client.query("COMMIT").status == "I"
    assert client.ask(wire.bind("one"), wire.execute(), SYNC).value == "1"


MALFORMED = {
    "an unknown type": wire.message(b"!"),
    "a length of 3": b"Q\0\0\0\3",
    "a negative length": b"Q\xff\xff\xff\xff",
    "a huge length": b"P\x7f\xff\xff\xff",
    "a Bind without an end of its name": wire.message(b"B", b"\0name"),
    "an empty Describe": wire.message(b"D"),
    "a Close of nothing": wire.message(b"C", b"?\0"),
    "a Parse without a text": wire.message(b"P", b"name\0"),
    "a Query without an end": wire.message(b"Q", b"SELECT 1"),
    "a Bind with too many values": wire.message(b"B", b"\0\0\0\0\0\x7f"),
}


@pytest.mark.parametrize("what", MALFORMED)
def test_a_malformed_message_hurts_its_sender_only(pooled, what):
    other = pooled.wire()
    for state in ("", "BEGIN"):
        bad = pooled.wire()
        if state:
            bad.query(state)
        bad.send(MALFORMED[what], SYNC)
        answer = bad.until("EZ")
        assert answer.errors and answer.sqlstates[0][:2] in ("08", "26", "22", "42"), answer
        assert other.value(PRIMARY + "SELECT 1") == "1"
        bad.close()
    assert pooled.on_each_server(lambda: other.value(PRIMARY + "SELECT 2")) == ["2"] * SERVERS

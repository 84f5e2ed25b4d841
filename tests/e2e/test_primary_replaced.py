"""The primary ends under writers, or is another one: nothing acknowledged is lost, and nobody goes back to the old one."""
import signal
import threading
import time

import pytest

from harness.alone import standing_group
from harness.losing import CLOSED, COUNT, NO_PRIMARY, ROLLED_BACK, SETUP, UNKNOWN, Asking, Group, good, note
from harness.waiting import wait_until
from harness.wire import SYNC, bind, execute, parse


@pytest.fixture
def fresh():
    """Whoever is the primary at the end."""
    with standing_group(1, primary_wait_timeout=20) as made:
        made[0].sql(SETUP)
        made[1][0].wait_caught_up()
        group = Group(*made)
        with group.stack:
            group.wait_catalogue()
            yield group


class Writer(threading.Thread):
    """Writes until it is told to stop; remembers what it was told of each."""

    def __init__(self, group, name: str):
        super().__init__()
        self.wire, self.label, self.ends = group.client(), name, threading.Event()
        self.known, self.doubtful, self.refused, self.wrong = [], [], [], []
        self.gap = 0.0
        self.start()

    def run(self) -> None:
        number, last = 0, time.monotonic()
        while not self.ends.is_set():
            number += 1
            text = f"{self.label} {number}"
            try:
                answer = self.wire.ask(note(text))
            except OSError as error:
                self.wrong.append(f"{text}: {error}")
                return
            if not answer.errors or answer.sqlstates == [CLOSED]:  # it is done, what the session is is another matter
                self.known.append(text)
                self.gap, last = max(self.gap, time.monotonic() - last), time.monotonic()
            elif answer.sqlstates == [UNKNOWN]:
                self.doubtful.append(text)
                print(answer.errors[0]["M"], answer.errors[0]["D"])
            elif answer.sqlstates == [NO_PRIMARY]:
                self.refused.append(text)
            else:
                self.wrong.append(f"{text}: {answer.errors}")


def stop(writers) -> None:
    for writer in writers:
        writer.ends.set()
    for writer in writers:
        writer.join(40)
        assert not writer.is_alive() and not writer.wrong, writer.wrong


def check_ledger(writers, server) -> None:
    there = [row[0] for row in server.sql("SELECT text FROM notes")]
    assert len(there) == len(set(there))
    known = {text for writer in writers for text in writer.known}
    doubtful = {text for writer in writers for text in writer.doubtful}
    written = {text for text in there if text.startswith("load")}
    assert not known - written, f"{len(known - written)} of {len(known)} were acknowledged and are not there"
    assert not written - known - doubtful, "what was refused is there"
    print(f"{len(known)} acknowledged, {len(doubtful)} in doubt, longest gap {max(w.gap for w in writers):.2f} s")


@pytest.mark.parametrize("how", ["kill", "stop", "restart"])
def test_writers_lose_nothing_when_the_primary_ends_and_comes_back(fresh, how):
    writers = [Writer(fresh, f"load {number}") for number in range(8)]
    try:
        for _ in range(3):
            time.sleep(0.7)
            if how == "restart":
                fresh.primary.run("pg_ctl", "stop", "-m", "fast", "-w")
                fresh.primary.process.wait(20)
            else:
                getattr(fresh.primary, how)()
            fresh.primary.start()
            fresh.wait_primary(fresh.primary)
        time.sleep(0.5)
    finally:
        stop(writers)
    check_ledger(writers, fresh.primary)
    if how == "restart":
        assert not any(writer.doubtful or writer.refused for writer in writers), "an orderly end costs nobody anything"


def test_writers_follow_to_a_replica_that_is_promoted_and_never_go_back(fresh):
    old, new = fresh.primary, fresh.replicas[0]
    old.set(synchronous_standby_names="*")  # what is acknowledged is at the replica
    idle = fresh.client()
    idle.query("SET work_mem = '7MB'")
    idle.ask(parse("INSERT INTO notes (text) VALUES ($1) RETURNING here()", "insert"), SYNC)
    writers = [Writer(fresh, f"load {number}") for number in range(8)]
    try:
        time.sleep(0.7)
        old.kill()
        time.sleep(0.3)
        new.promote()
        fresh.wait_primary(new)
        time.sleep(0.5)
        old.start()  # as if it were still the primary
        wait_until(lambda: "timeline" in (fresh.state(old)["last_error"]), 20, "the old one is told apart")
        time.sleep(0.5)
    finally:
        stop(writers)
    check_ledger(writers, new)
    assert idle.value("SHOW work_mem") == "7MB"
    assert idle.ask(bind("insert", ["idle"]), execute(), SYNC).value == str(new.port)
    assert not fresh.state(old)["healthy"] and fresh.state(new)["role"] == "primary"
    assert old.sql("SELECT count(*) FROM notes WHERE text = 'idle'") == [(0,)]
    new.stop()
    fresh.wait_no_primary()
    late = Asking(idle, note("late"))
    time.sleep(1)
    assert late.answer is None, "the old primary is none, also when it is alone"
    new.start()
    good(late.get())
    assert fresh.rows("late", new) == 1 and fresh.rows("late", old) == 0


def test_a_replica_with_more_log_than_the_new_primary_has_does_not_pass_for_caught_up():
    with standing_group(2, primary_wait_timeout=20) as made:
        old, (new, ahead), _ = made
        old.sql(SETUP + "CREATE TABLE filler AS SELECT 0 AS n")
        for replica in (new, ahead):
            replica.wait_caught_up()
        group = Group(*made)
        with group.stack:
            group.wait_catalogue()
            new.stop()
            old.sql("INSERT INTO filler SELECT generate_series(1, 50000)")
            ahead.wait_caught_up()
            client = group.client()
            wait_until(lambda: client.value("SELECT here()") == str(ahead.port), 20, "reads go there")
            old.kill()
            new.start()
            new.promote()
            group.wait_primary(new)
            assert group.state(ahead)["healthy"], "it answers, as a replica of nobody"
            for number in range(8):
                good(client.ask(note(f"after {number}")))
                time.sleep(0.3)  # the servers are asked how far they are
                assert client.value(COUNT % f"after {number}") == "1", "what a session wrote it reads"
            assert ahead.sql(COUNT % "after 0") == [(0,)]


def test_of_two_primaries_at_once_the_newer_one_is_written_to_also_by_who_is_at_the_older_one(fresh):
    old, new = fresh.primary, fresh.replicas[0]
    inside, beside = fresh.client(), fresh.client()
    inside.query("BEGIN")
    inside.ask(note("inside"))
    new.promote()
    fresh.wait_primary(new)
    wait_until(lambda: not fresh.state(old)["healthy"], 10, "the old one is none any more")
    good(beside.ask(note("beside")))
    assert inside.query("COMMIT").sqlstates == [ROLLED_BACK]
    good(inside.ask(note("inside again")))
    for text, at_old, at_new in (("inside", 0, 0), ("beside", 0, 1), ("inside again", 0, 1)):
        assert (fresh.rows(text, old), fresh.rows(text, new)) == (at_old, at_new), text


def test_who_waits_for_a_frozen_primary_is_told_when_there_is_another(fresh):
    old, new = fresh.primary, fresh.replicas[0]
    client = fresh.client()
    good(client.ask(note("before")))
    new.wait_caught_up()
    old.signal_all(signal.SIGSTOP)
    try:
        asked = Asking(client, note("frozen"))
        new.promote()
        assert asked.get().sqlstates == [UNKNOWN]
        good(client.ask(note("after")))
        assert (fresh.rows("frozen", new), fresh.rows("after", new)) == (0, 1)
    finally:
        old.signal_all(signal.SIGCONT)

"""One client of the leak test: changes its session at random, keeps a book of what must be there, and compares."""
import collections
import contextlib

from harness.wire import (COPY_DONE, FLUSH, SYNC, TERMINATE, Wire, bind, close, copy_data, copy_fail, describe, execute, extended,
                          parse, query)

# All values are as the server prints them.
VALUES = {
    "work_mem": ["1MB", "7MB", "123kB"], "statement_timeout": ["51s", "2min", "3min"], "lock_timeout": ["52s", "4min"],
    "TimeZone": ["Europe/Berlin", "Asia/Tokyo", "America/New_York"], "DateStyle": ["German, DMY", "SQL, MDY", "ISO, YMD"],
    "IntervalStyle": ["iso_8601", "postgres_verbose"], "search_path": ["leaks, public", "pg_catalog", "leaks"],
    "client_encoding": ["LATIN1", "SQL_ASCII", "WIN1252"], "row_security": ["off"], "extra_float_digits": ["-3", "2"],
    "bytea_output": ["escape"], "enable_seqscan": ["off"], "random_page_cost": ["7.5"],
    "default_transaction_isolation": ["repeatable read", "serializable"], "default_transaction_read_only": ["on"],
    "idle_in_transaction_session_timeout": ["3min"], "backslash_quote": ["on"],
    "application_name": [], "leak.a": [], "leak.b": [], "other.c": [],
}
NAMES = list(VALUES)
STARTUP = ["work_mem", "TimeZone", "DateStyle", "application_name", "leak.a", "extra_float_digits"]
# A replica may answer it.
GLANCE = "/* pgbalancer: replica */ SELECT pg_backend_pid(), inet_server_port(), " + ", ".join(f"coalesce(current_setting('{name}', true), '')" for name in
                                                                     NAMES) + ", current_user, session_user"
LOOK = GLANCE.partition("*/ ")[2] + """, (SELECT coalesce(string_agg(c, ',' ORDER BY c), '') FROM pg_listening_channels() c),
(SELECT coalesce(string_agg(relname, ',' ORDER BY relname), '') FROM pg_class WHERE relnamespace = pg_my_temp_schema()),
(SELECT coalesce(string_agg(objid::text, ',' ORDER BY objid), '') FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()),
(SELECT coalesce(string_agg(name, ',' ORDER BY name), '') FROM pg_cursors WHERE name <> ''),
(SELECT coalesce(string_agg(name, ',' ORDER BY name), '') FROM pg_prepared_statements WHERE from_sql)"""
BOOK = ["listens", "tables", "locks", "cursors", "statements"]
SET_UP = """CREATE SCHEMA leaks; CREATE ROLE leak_a; CREATE ROLE leak_b;
CREATE TABLE ghosts (who text); CREATE TABLE written (who text, n int);
GRANT ALL ON ghosts, written TO PUBLIC; CREATE SEQUENCE numbers; GRANT ALL ON SEQUENCE numbers TO PUBLIC"""


def defaults(server) -> dict:
    row = server.sql(LOOK.replace("coalesce(current_setting('client_encoding', true), '')", "'UTF8'"))[0]
    return dict(zip(NAMES, row[2:])) | {"application_name": ""}


def tags(answer) -> str:
    """Without notifications, which come when they like."""
    return answer.tags.replace("A", "")


class Client:  # pylint: disable=too-many-instance-attributes
    def __init__(self, url: str, number: int, dice, base: dict, permits):
        self.url, self.number, self.dice, self.default, self.permits = url, number, dice, base, permits
        self.counts: dict[str, int] = {}
        self.pids = set()
        self.marks = 0
        self.past = collections.deque(maxlen=30)  # what it asked last
        self.permit = self.in_transaction = False
        self.connect()

    # --- the book

    def mark(self) -> str:
        self.marks += 1
        return f"c{self.number}x{self.marks}"

    def a_value(self, name: str) -> str:
        return self.dice.choice(VALUES[name]) if VALUES[name] else self.mark()

    def connect(self) -> None:
        start = {name: self.a_value(name) for name in self.dice.sample(STARTUP, self.dice.randrange(4))}
        options = " ".join(f"-c {name}={value}" for name, value in start.items() if name.startswith("leak."))
        packet = {name: value for name, value in start.items() if not name.startswith("leak.")}
        self.wire = Wire(self.url, packet | ({"options": options} if options else {}), timeout=100)
        self.base = self.default | start
        self.now = dict(self.base)
        self.role = self.owner = "postgres"
        self.prepared: dict[str, str] = {}
        self.forget_pins()
        self.count("connections")
        self.past.append(f"connect {start}")

    def forget_pins(self) -> None:
        self.pins = {what: set() for what in BOOK}

    def count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1

    def told(self) -> dict:
        return self.counts | {"servers seen": len(self.pids)}

    # --- asking

    def ask(self, sql: str, expect: str | None = None):
        """Its answer; `expect`: the SQLSTATE that it must fail with."""
        self.count("requests")
        self.past.append(sql)
        answer = self.wire.query(sql) if self.dice.random() < 0.5 or ";" in sql else self.wire.ask(extended(sql))
        assert answer.sqlstates == ([expect] if expect else []), f"{sql}: {answer.errors}"
        own = {channel for channel, _ in self.wire.notifications} <= {f"news{self.number}"}
        assert own, f"a notification that is not for it: {self.wire.notifications}"
        return answer

    def look(self) -> None:
        how, what = self.dice.randrange(3), self.dice.choice([GLANCE, LOOK])
        if how == 2:
            name = f"look{len(what)}"
            if name not in self.prepared:
                self.prepare(name, what)
            row = self.wire.ask(bind(name), execute(), SYNC)
        else:
            row = self.wire.query(what) if how else self.wire.ask(extended(what))
        assert not row.errors, f"the look failed: {row.errors}"
        pid, port, *row = row.rows[0]
        self.count("looks")
        self.pids.add((pid, port))
        self.count(f"answers of port {port}")
        wanted = [self.now[name] for name in NAMES] + [self.role, self.owner]
        wanted += [",".join(sorted(self.pins[what])) for what in BOOK]
        names = NAMES + ["current_user", "session_user"] + BOOK
        wrong = [f"{name} is {there!r} and must be {mine!r}" for name, there, mine in zip(names, row, wanted) if there != mine]
        assert not wrong, f"at server {pid} of port {port}: {'; '.join(wrong)}"
        self.past.append("look")

    # --- parameters

    def set_one(self, local: bool = False) -> None:
        name = self.dice.choice(NAMES)
        value = self.a_value(name)
        quoted = value if name == "search_path" else f"'{value}'"
        ways = [f"SET {'LOCAL' if local else 'SESSION'} {name} = {quoted}", f"SELECT set_config('{name}', '{value}', {local})"]
        if not local:
            ways += [f"SET {name} TO {quoted}", f"SET {name} = {quoted}; SELECT 1"]
            if "." not in name:  # a server does not list those of extensions
                ways.append(f"DO $$ BEGIN PERFORM set_config('{name}', '{value}', false); END $$")
        self.ask(self.dice.choice(ways))
        self.now[name] = value

    def reset(self) -> None:
        name = self.dice.choice(NAMES)
        how = self.dice.randrange(8)
        if how == 0:
            self.ask("RESET ALL")
            self.now = dict(self.base)
        elif how == 1:
            self.discard()
        else:
            self.ask(self.dice.choice([f"RESET {name}", f"SET {name} TO DEFAULT"]))
            self.now[name] = self.base[name]

    def discard(self) -> None:
        self.ask("DISCARD ALL")
        self.now = dict(self.base)
        self.role = self.owner = "postgres"
        self.prepared.clear()
        self.forget_pins()

    def change_role(self) -> None:
        self.role = self.dice.choice(["leak_a", "leak_b", self.owner])
        self.ask("RESET ROLE" if self.role == self.owner else f"SET ROLE {self.role}")

    # --- prepared statements: of equal names and other texts than everybody else's

    def prepare(self, name: str, sql: str) -> None:
        answer = self.wire.ask(parse(sql, name), SYNC)
        assert tags(answer) == "1Z", answer
        self.prepared[name] = sql

    def use_prepared(self) -> None:
        name = f"s{self.dice.randrange(4)}"
        if name not in self.prepared or self.dice.random() < 0.1:
            if name in self.prepared:
                assert tags(self.wire.ask(close(name), SYNC)) == "3Z"
                if not self.in_transaction:
                    assert self.wire.ask(bind(name), SYNC).sqlstates == ["26000"], f"{name} is closed"
                del self.prepared[name]
            which = self.dice.choice(["shared", self.mark()])
            self.prepare(name, f"SELECT '{which}', $1::text, {self.dice.randrange(3)}")
        value = self.mark()
        answer = self.wire.ask(bind(name, [value]), *([describe("", "P")] if self.dice.random() < 0.5 else []), execute(), SYNC)
        text = self.prepared[name]
        assert answer.rows == [[text.split("'")[1], value, text[-1]]], f"{text} with {value}: {answer}"
        self.count("requests")

    def pipeline(self) -> None:
        marks = [self.mark() for _ in range(self.dice.randrange(2, 8))]
        bad = self.dice.randrange(len(marks) * 2)
        for number, one in enumerate(marks):
            self.wire.send(parse("SELECT 1/0" if number == bad else f"SELECT '{one}'"), bind(), execute(), SYNC)
        for number, one in enumerate(marks):
            answer = self.wire.until()
            assert (answer.sqlstates if number == bad else answer.rows) == (["22012"] if number == bad else [[one]]), answer
        self.count("requests")

    # --- transactions

    def transaction(self) -> None:
        self.in_transaction = True
        self.transact()
        self.in_transaction = False

    def transact(self) -> None:
        before = (dict(self.now), self.role)
        self.ask("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")
        for _ in range(self.dice.randrange(1, 5)):
            what = self.dice.randrange(8)
            if what == 0:
                self.set_one()
            elif what == 1:
                self.savepoint()
            elif what == 2:
                self.ask("SELECT 1/0", "22012")
                self.ask("SELECT 1", "25P02")
                return self.undo(before)
            elif what == 3:
                self.ask(f"INSERT INTO public.ghosts VALUES ('{self.mark()}')")
                if self.dice.random() < 0.3:
                    return self.vanish()
                return self.undo(before)
            elif what == 4:
                self.use_prepared()
            elif what == 5:
                self.ask(f"DECLARE c{self.number} CURSOR FOR SELECT 1")
                self.ask(f"CLOSE c{self.number}")
            elif what == 6:
                self.ask(f"SELECT pg_advisory_xact_lock({self.number})")
                self.pins["locks"].add(str(self.number))
            else:
                self.look()
        kept = (dict(self.now), self.role)
        self.set_local_and_look()
        self.pins["locks"].discard(str(self.number))
        if self.dice.random() < 0.5:
            return self.undo(before)
        self.ask("COMMIT")
        self.now, self.role = kept
        self.look()
        return None

    def set_local_and_look(self) -> None:
        if self.dice.random() < 0.5:
            self.set_one(local=True)
            self.look()

    def savepoint(self) -> None:
        before = (dict(self.now), self.role)
        self.ask("SAVEPOINT here")
        self.set_one()
        self.ask("ROLLBACK TO here; RELEASE here")
        self.now, self.role = before

    def undo(self, before) -> None:
        self.pins["locks"].discard(str(self.number))
        self.ask("ROLLBACK")
        self.now, self.role = before
        self.look()

    # --- what only one server has

    def pin(self) -> None:
        if not self.permits.acquire(block=False):
            return
        self.permit = True
        self.ask("RESET ROLE")
        self.role = self.owner
        if self.now["default_transaction_read_only"] == "on":
            self.ask("RESET default_transaction_read_only")
            self.now["default_transaction_read_only"] = self.base["default_transaction_read_only"]
        name = f"mine{self.number}"
        makes = {"tables": f"CREATE TEMP TABLE {name} AS SELECT {self.number} AS n", "listens": f"LISTEN news{self.number}",
                 "locks": f"SELECT pg_advisory_lock({self.number})", "statements": f"PREPARE {name} AS SELECT {self.number}",
                 "cursors": f"DECLARE {name} CURSOR WITH HOLD FOR SELECT {self.number}"}
        made = self.dice.sample(BOOK, self.dice.randrange(1, 4))
        for what in made:
            self.ask(makes[what])
            self.pins[what].add({"listens": f"news{self.number}", "locks": str(self.number)}.get(what, name))
        for _ in range(self.dice.randrange(1, 4)):
            self.look()
            self.dice.choice([self.set_one, self.use_prepared, self.pipeline])()
            if self.now["default_transaction_read_only"] == "on":
                break
        self.unpin(made, name)

    def unpin(self, made: list[str], name: str) -> None:
        how = self.dice.randrange(4)
        if how == 0:
            return self.vanish()
        if how == 1:
            self.leave()
            return self.connect()
        if how == 2:
            self.discard()
        else:
            undo = {"tables": f"DROP TABLE {name}", "listens": "UNLISTEN *", "locks": "SELECT pg_advisory_unlock_all()",
                    "statements": f"DEALLOCATE {name}", "cursors": f"CLOSE {name}"}
            for what in made:
                if what == "tables" and self.now["default_transaction_read_only"] == "on":
                    self.ask("DISCARD TEMP")
                else:
                    self.ask(undo[what])
                self.pins[what].clear()
        self.release()
        return self.look()

    def sequence(self) -> None:
        """Others' last values are not to be seen; from the first question on its own are kept."""
        if self.now["default_transaction_read_only"] == "on" or not self.permits.acquire(block=False):
            return
        self.permit = True
        self.ask("SELECT currval('public.numbers')", "55000")
        number = self.ask("SELECT nextval('public.numbers')").rows
        self.use_prepared()
        assert self.ask("SELECT lastval()").rows == number
        self.discard()
        self.release()

    def another_owner(self) -> None:
        if not self.permits.acquire(block=False):
            return
        self.permit = True
        self.ask("SET SESSION AUTHORIZATION leak_b")
        self.owner = self.role = "leak_b"
        self.look()
        self.use_prepared()
        if self.dice.random() < 0.3:
            return self.vanish()
        self.ask("RESET SESSION AUTHORIZATION")
        self.owner = self.role = "postgres"
        self.release()
        return self.look()

    def release(self) -> None:
        if self.permit:
            self.permits.release()
        self.permit = False

    # --- COPY

    def copy(self) -> None:
        rows = [copy_data(f"{self.mark()}\n".encode()) for _ in range(self.dice.randrange(1, 20))]
        if self.now["default_transaction_read_only"] == "on":
            return
        self.wire.send(query("COPY public.ghosts FROM STDIN"))
        assert tags(self.wire.until("GZ")) == "G"
        self.wire.send(*rows)
        how = self.dice.randrange(4)
        self.past.append(f"copy {how}")
        if how == 0:
            self.wire.send(copy_data(b"x" * 1000)[:700])
            return self.vanish()
        if how == 1:
            return self.vanish()
        if how == 2:
            self.wire.send(copy_fail("no more"))
            assert self.wire.until().sqlstates == ["57014"]
        else:
            self.wire.send(copy_data(b"too\tmany\n"), COPY_DONE)
            assert self.wire.until().sqlstates == ["22P04"]
        return self.look()

    # --- going away

    def vanish(self) -> None:
        self.count("vanished")
        self.wire.vanish()
        self.release()
        self.connect()

    def vanish_somehow(self) -> None:
        ghost = f"INSERT INTO public.ghosts VALUES ('{self.mark()}')"
        batch = [parse(ghost), bind(), execute()]
        how = self.dice.randrange(7)
        self.past.append(f"vanish {how}")
        if self.now["default_transaction_read_only"] == "on":
            how = 4 + how % 3
        if how == 0:  # it was done, but there was no Sync
            self.wire.send(*batch, FLUSH)
            assert self.wire.until("CEZ").tags.endswith("C")
        elif how == 1:
            self.wire.send(*batch, *([FLUSH] if self.dice.random() < 0.5 else []))
        elif how == 2:
            self.wire.send(*batch, query("SELECT 1")[:self.dice.randrange(1, 10)])
        elif how == 3:
            self.wire.send(query(f"BEGIN; {ghost}; SELECT pg_sleep(0.01)"))
        elif how == 4:
            self.wire.send(query("SELECT pg_sleep(0.02)"))
        elif how == 5:
            self.wire.send(query("COPY (SELECT repeat('x', 1000) FROM generate_series(1, 3000)) TO STDOUT"))
            self.wire.until("dE")
        else:
            self.wire.send(*(part for _ in range(20) for part in (parse(f"SELECT '{self.mark()}'"), bind(), execute(), SYNC)))
        self.vanish()

    def leave(self) -> None:
        with contextlib.suppress(OSError):
            self.wire.send(TERMINATE)
        self.wire.close()
        self.release()

    def write(self) -> None:
        """Seen again, wherever the next read goes."""
        if self.now["default_transaction_read_only"] == "on" or self.now["default_transaction_isolation"] == "serializable":
            return
        one = self.mark()
        self.ask("SELECT nextval('public.numbers')")
        self.ask(f"NOTIFY news{self.dice.randrange(self.number + 1)}, 'from {self.number}'")
        self.ask(f"INSERT INTO public.written VALUES ('c{self.number}', {self.marks})")
        answer = self.ask(f"SELECT count(*) FROM public.written WHERE who = 'c{self.number}' AND n = {self.marks}")
        assert answer.rows == [["1"]], f"{one} is not there: {answer}"
        assert self.ask("SELECT who FROM public.ghosts").rows == [], "what was never committed is there"

    def step(self) -> None:
        steps = [(self.look, 6), (self.set_one, 4), (self.reset, 2), (self.use_prepared, 5), (self.pipeline, 2), (self.transaction, 4),
                 (self.change_role, 1), (self.pin, 2), (self.another_owner, 0.5), (self.sequence, 0.5), (self.copy, 1), (self.vanish_somehow, 0.7),
                 (self.write, 1)]
        self.dice.choices([step for step, _ in steps], [weight for _, weight in steps])[0]()

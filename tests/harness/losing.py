"""A primary that is lost under clients which have work there."""
import contextlib
import threading

from harness.waiting import wait_until
from harness.wire import Wire, query

PASSWORD = "shop"
SETUP = f"""
CREATE ROLE shop LOGIN PASSWORD '{PASSWORD}';
GRANT ALL ON SCHEMA public TO shop;
CREATE TABLE notes (id int GENERATED ALWAYS AS IDENTITY, text text UNIQUE);
CREATE FUNCTION noted(text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN INSERT INTO notes (text) VALUES ($1); RETURN $1; END $$;
CREATE FUNCTION here() RETURNS text STABLE LANGUAGE sql AS $$ SELECT current_setting('port') $$;
GRANT ALL ON notes TO shop;
"""
COUNT = "SELECT count(*) FROM notes WHERE text = '%s'"
NO_PRIMARY, ROLLED_BACK, UNKNOWN, FAILED, CLOSED = "57P03", "40001", "08007", "25P02", "08006"


class Group:
    def __init__(self, primary, replicas, balancer):
        self.primary, self.replicas, self.balancer = primary, replicas, balancer
        self.stack = contextlib.ExitStack()

    def client(self, **parameters) -> Wire:
        wire = Wire(self.balancer.url("shop", PASSWORD), parameters)
        self.stack.callback(wire.close)
        return wire

    def wait_catalogue(self) -> None:
        """Until it is known, an INSERT may do anything, and is sent again by nobody. It is read when it is first asked for."""
        asking = self.client()
        wait_until(lambda: "not known yet" not in asking.query("EXPLAIN (ROUTE) SELECT count(*) FROM notes").rows[0][2], 20,
                   "the catalogue is known")

    def state(self, server) -> dict:
        return next(node for node in self.balancer.ask("status")["nodes"] if node["name"] == server.name)

    def wait_primary(self, server) -> None:
        wait_until(lambda: self.state(server)["healthy"] and self.state(server)["role"] == "primary", 20,
                   f"{server.name} is the primary")

    def wait_no_primary(self) -> None:
        wait_until(lambda: not any(node["healthy"] and node["role"] == "primary" for node in
                                   self.balancer.ask("status")["nodes"]), 20, "there is no primary")

    def rows(self, text: str, server=None) -> int:
        return (server or self.primary).sql(COUNT % text)[0][0]

    def backend(self, like: str) -> int:
        return wait_until(lambda: self.primary.sql("SELECT pid FROM pg_stat_activity WHERE usename = 'shop' AND state = 'active'"
                                                   " AND query LIKE %s", (f"%{like}%",)), 10, f"{like} is under way")[0][0]

    @contextlib.contextmanager
    def locked(self, table: str = "notes"):
        """Nobody else gets at the table until the block, or the primary, ends."""
        holder = Locker(self.primary, table)
        yield
        holder.close()


class Locker:
    def __init__(self, server, table: str):
        self.held, self.ends = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self.hold, args=(server, table))
        self.thread.start()
        assert self.held.wait(20)

    def hold(self, server, table: str) -> None:
        import psycopg2  # pylint: disable=import-outside-toplevel
        with contextlib.suppress(psycopg2.Error), contextlib.closing(psycopg2.connect(
                host=str(server.folder), port=server.port, user="postgres", dbname="postgres")) as connection:
            with connection.cursor() as cursor:
                cursor.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
                self.held.set()
                self.ends.wait(60)

    def close(self) -> None:
        self.ends.set()
        self.thread.join()


class Asking:
    """A request whose answer comes later."""

    def __init__(self, wire: Wire, *messages: bytes, answers: int = 1):
        self.answer = None
        self.thread = threading.Thread(target=self.run, args=(wire, messages, answers))
        self.thread.start()

    def run(self, wire: Wire, messages, answers: int) -> None:
        wire.send(*messages)
        self.answer = wire.until(count=answers)

    def get(self):
        self.thread.join(40)
        assert self.answer is not None, "no answer"
        return self.answer


def note(text: str) -> bytes:
    return query(f"INSERT INTO notes (text) VALUES ('{text}')")


def good(answer):
    assert not answer.errors, answer.errors
    assert answer.status == "I"
    return answer

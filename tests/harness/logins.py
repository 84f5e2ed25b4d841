"""Logins at a balancer or a server, by libpq and by hand."""
import contextlib
import struct

import psycopg2
import pytest

from harness.wire import Wire, cstr, error_fields

PASSWORDS = {"scram": "scram-pw", "hashed": "md5-pw", "stored": "stored-pw", "known": "known-pw", "copier": "copier-pw"}


@contextlib.contextmanager
def client(where, user: str, password: str | None = None, database: str = "postgres", **more):
    keywords = {"host": "127.0.0.1", "port": where.port, "user": user, "dbname": database, "connect_timeout": 10,
                "password": PASSWORDS.get(user, "none") if password is None else password} | more
    with contextlib.closing(psycopg2.connect(**keywords)) as connection:
        if "connection_factory" not in more:  # those for replication are in this mode already
            connection.autocommit = True
        yield connection


def who(where, user: str, password: str | None = None, database: str = "postgres", **more) -> str:
    with client(where, user, password, database, **more) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT current_user || '@' || current_database()")
        return cursor.fetchone()[0]


def refusal(where, user: str, password: str | None = None, database: str = "postgres", **more) -> str:
    with pytest.raises(psycopg2.OperationalError) as caught:
        who(where, user, password, database, **more)
    return str(caught.value).split("FATAL:  ", 1)[-1].strip()


class Raw:
    """The login by hand: what is asked for, and what is said to a wrong answer."""

    def __init__(self, where, user: str, database: str = "postgres", **parameters):
        self.wire = Wire(f"postgresql://{user}:x@127.0.0.1:{where.port}/{database}", login=False)
        start = {"user": user, "database": database} | parameters
        body = b"".join(cstr(key) + cstr(value) for key, value in start.items()) + b"\0"
        self.wire.send(struct.pack("!II", len(body) + 8, 196608) + body)

    def asked(self) -> tuple[int, bytes]:
        tag, body = self.wire.read()
        assert tag == "R", error_fields(body) if tag == "E" else tag
        return struct.unpack("!I", body[:4])[0], body[4:]

    def refused(self) -> tuple[str, str]:
        tag, body = self.wire.read()
        assert tag == "E", tag
        assert self.wire.is_closed()
        fields = error_fields(body)
        assert fields["S"] == "FATAL"
        return fields["C"], fields["M"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.wire.close()

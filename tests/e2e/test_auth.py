"""Who may log in at the balancer, and how: its hba_file, and what the servers then ask for."""
import os
import pathlib
import signal
import struct
import tempfile
import urllib.error

import psycopg2.extras
import pytest

from harness.alone import standing_alone
from harness.logins import PASSWORDS, Raw, client, refusal, who
from harness.tls_site import Certificates
from harness.waiting import wait_until
from harness.wire import cstr, message

SERVER_RULES = """host all free 127.0.0.1/32 trust
host replication copier all scram-sha-256
host all hashed all md5
host all all all scram-sha-256"""


@pytest.fixture(scope="module")
def alone():
    with standing_alone(SERVER_RULES) as (server, balancer):
        server.sql("".join(f"CREATE ROLE {user} LOGIN PASSWORD '{PASSWORDS[user]}';"
                           for user in ("scram", "known", "copier")) + "ALTER ROLE copier REPLICATION")
        server.sql("SET password_encryption = md5; " + "".join(
            f"CREATE ROLE {user} LOGIN PASSWORD '{PASSWORDS[user]}';" for user in ("hashed", "stored")))
        server.sql("CREATE ROLE free LOGIN; CREATE ROLE \"all\" LOGIN PASSWORD 'x'")
        server.sql("CREATE DATABASE scram")
        server.sql("CREATE DATABASE other")
        balancer.config["users"] = [{"name": "known", "password": PASSWORDS["known"]}]
        balancer.restart()
        yield server, balancer


@pytest.fixture
def rules(alone):
    """Gives the balancer an hba_file; afterwards it has none."""
    _, balancer = alone

    def give(text: str):
        (balancer.folder / "hba.conf").write_text(text + "\n", encoding="utf-8")
        balancer.config["hba_file"] = "hba.conf"
        balancer.reload()
        return balancer
    yield give
    balancer.config.pop("hba_file", None)
    balancer.reload()


MD5, SASL = 5, 10  # of AuthenticationRequest


def test_without_rules_everyone_logs_in_by_scram(alone):
    _, balancer = alone
    assert who(balancer, "scram") == "scram@postgres"
    assert who(balancer, "known") == "known@postgres"
    for user in ("scram", "hashed", "free", "nobody"):
        with Raw(balancer, user) as raw:
            assert raw.asked() == (SASL, b"SCRAM-SHA-256\0\0"), user
    assert refusal(balancer, "hashed") == 'password authentication failed for user "hashed"'
    assert 'user "hashed" has an md5 password only' in balancer.log


@pytest.mark.parametrize("text, user, database, more", [
    ("host other all all trust", "scram", "postgres", {}),
    ("host postgres scram all reject\nhost all all all trust", "scram", "postgres", {}),
    ("host all \"all\" all trust", "scram", "postgres", {}),
    ("host \"all\" all all trust", "scram", "postgres", {}),
    ("host sameuser all all trust", "scram", "postgres", {}),
    ("host all all 10.0.0.0/8 trust\nhost all all 127.0.0.2/32 trust\nhost all all ::/0 trust", "scram", "postgres", {}),
    ("hostssl all all all trust", "scram", "postgres", {}),
    ("host replication all all trust", "scram", "replication", {}),
    ("host all all all trust", "copier", "postgres", {"connection_factory": psycopg2.extras.PhysicalReplicationConnection}),
    ("host replication all all reject", "copier", "postgres",
     {"connection_factory": psycopg2.extras.PhysicalReplicationConnection}),
])
def test_a_refusal_has_the_words_of_a_server_with_the_same_rules(alone, rules, text, user, database, more):
    server, _ = alone
    server.rules(text)
    try:
        told = wait_until(lambda: (said := refusal(server, user, "", database, **more)).find("pg_hba.conf") >= 0 and said, 10,
                          "the server has read its rules")
    finally:
        server.rules(SERVER_RULES)
    balancer = rules(text)
    before = balancer.ask("status")["refused_total"]
    assert refusal(balancer, user, "", database, **more) == told
    assert balancer.ask("status")["refused_total"] == before + 1


def test_the_first_rule_that_fits_holds(alone, rules):
    balancer = rules("""
        host  postgres   scram       samehost      scram-sha-256   # the comment
        host  sameuser   scram       127.0.0.0 255.0.0.0  md5
        host  other      "scram", hashed   127.0.0.1/32  trust
        host  all        all         all           reject""")
    asked = {}
    for database in ("postgres", "scram", "other"):
        with Raw(balancer, "scram", database) as raw:
            asked[database] = raw.asked()[0]
    assert asked == {"postgres": SASL, "scram": SASL, "other": 0}, "md5 with a SCRAM secret is SCRAM"
    assert "pg_hba.conf rejects" in refusal(balancer, "known")
    assert who(balancer, "scram") == "scram@postgres"
    assert who(balancer, "scram", database="scram") == "scram@scram"
    assert "password authentication failed" in refusal(balancer, "scram", "wrong", "scram")


def test_md5_lets_in_who_knows_the_password_and_the_servers_that_ask_for_md5_do_too(alone, rules):
    server, balancer = alone
    rules("host all all all md5")
    with Raw(balancer, "hashed") as raw:
        assert raw.asked()[0] == MD5
    for _ in range(3):
        assert who(balancer, "hashed") == "hashed@postgres"
    assert who(balancer, "known") == "known@postgres", "by md5 here, by SCRAM at the server"
    assert who(balancer, "scram") == "scram@postgres"
    for user in ("hashed", "known", "scram"):
        assert refusal(balancer, user, "wrong") == f'password authentication failed for user "{user}"'
    server.sql("SET password_encryption = md5; ALTER ROLE hashed PASSWORD 'newer'")
    try:
        assert refusal(balancer, "hashed"), "the old one is of no use any more"
        assert wait_until(lambda: who(balancer, "hashed", "newer"), 10, "the new password is known") == "hashed@postgres"
    finally:
        server.sql(f"SET password_encryption = md5; ALTER ROLE hashed PASSWORD '{PASSWORDS['hashed']}'")
    wait_until(lambda: who(balancer, "hashed"), 10, "it is the old one again")


def test_users_that_there_are_not_are_asked_as_others_are(alone, rules):
    _, balancer = alone
    rules("host other all all md5\nhost all all all scram-sha-256")
    for user in ("nobody", "free", "hashed"):
        with Raw(balancer, user, "other") as raw:
            kind, salt = raw.asked()
            assert (kind, len(salt)) == (MD5, 4)
            raw.wire.send(message(b"p", cstr("md5" + "0" * 32)))
            assert raw.refused() == ("28P01", f'password authentication failed for user "{user}"')
        with Raw(balancer, user) as raw:
            assert raw.asked()[0] == SASL
            first = b"n,,n=,r=abcdefghijklmnop"
            raw.wire.send(message(b"p", cstr("SCRAM-SHA-256") + struct.pack("!I", len(first)) + first))
            kind, said = raw.asked()
            assert kind == 11 and b",i=4096" in said
    with Raw(balancer, "hashed", "other") as one, Raw(balancer, "hashed", "other") as two:
        assert one.asked() != two.asked(), "the salt is another one each time"


@pytest.mark.parametrize("answer", [b"", b"\0", b"md5", b"md5\0more\0", b"x" * 60000 + b"\0"])
def test_a_broken_answer_to_md5_ends_the_login(alone, rules, answer):
    _, balancer = alone
    rules("host all all all md5")
    with Raw(balancer, "hashed") as raw:
        assert raw.asked()[0] == MD5
        raw.wire.send(message(b"p", answer))
        assert raw.refused()[0] in ("28P01", "08P01")
    assert who(balancer, "hashed") == "hashed@postgres"


def test_an_md5_hash_alone_cannot_answer_a_server_that_asks_for_scram(alone, rules):
    """The client is in; what is missing is said, and what to do."""
    server, balancer = alone
    rules("host all all all md5")
    server.sql("SET password_encryption = md5; CREATE ROLE moved LOGIN PASSWORD 'moved-pw'")
    stored = server.sql("SELECT rolpassword FROM pg_authid WHERE rolname = 'moved'")[0][0]
    server.sql("SET password_encryption = 'scram-sha-256'; ALTER ROLE moved PASSWORD 'moved-pw'")
    balancer.config["users"].append({"name": "moved", "password": stored})
    balancer.restart()
    try:
        text = refusal(balancer, "moved", "moved-pw")
        for part in ("cannot log in to the server one", "SCRAM-SHA-256", "only its md5 hash is known", '"users"'):
            assert part in text, text
        assert refusal(balancer, "moved", "wrong") == 'password authentication failed for user "moved"'
    finally:
        balancer.config["users"].pop()
        balancer.restart()
    assert stored not in balancer.log


def test_who_is_trusted_gets_as_far_as_the_server_lets_the_balancer(alone, rules):
    _, balancer = alone
    rules("host all known,free,stored all trust\nhost other scram all trust\nhost all scram all scram-sha-256")
    for _ in range(6):  # whatever thread it is on
        assert who(balancer, "free", "") == "free@postgres", "the server trusts it, too"
        assert who(balancer, "known", "") == "known@postgres", "the password is in the configuration"
    with Raw(balancer, "known") as raw:
        assert raw.asked() == (0, b"")
    balancer.restart()  # it knows of no login any more
    text = refusal(balancer, "scram", "", "other")
    assert "none is known" in text and "a SCRAM verifier only checks a password" in text, text
    assert who(balancer, "scram") == "scram@postgres"
    for _ in range(6):
        assert who(balancer, "scram", "", "other") == "scram@other", "the keys of the login before"


def test_who_is_trusted_need_not_wait_for_a_secret_that_nobody_asks_for(alone, rules):
    server, balancer = alone
    rules("host all all all trust")
    server.sql("ALTER FUNCTION pgbalancer.get_auth RENAME TO gone")
    try:
        assert who(balancer, "free", "", "other") == "free@other"
        assert "role \"nobody\" does not exist" in refusal(balancer, "nobody", "") or \
            "none is known" in refusal(balancer, "nobody", "")
    finally:
        server.sql("ALTER FUNCTION pgbalancer.gone RENAME TO get_auth")


def test_what_an_auth_query_gives_does_for_every_method(alone, rules):
    """A password in clear, or a hash; where it gives nothing, there is nobody."""
    server, balancer = alone
    rules("host postgres all all scram-sha-256\nhost other all all md5\nhost scram all all trust")
    server.sql("CREATE TABLE logins (name text, secret text); GRANT SELECT ON logins TO pgbalancer;"
               f"INSERT INTO logins VALUES ('scram', '{PASSWORDS['scram']}')")
    server.sql("INSERT INTO logins SELECT rolname, rolpassword FROM pg_authid WHERE rolname = 'hashed'")
    balancer.config |= {"auth_user": "pgbalancer", "auth_query": "SELECT name, secret FROM logins WHERE name = $1"}
    balancer.restart()
    try:
        for database in ("postgres", "other", "scram"):
            assert who(balancer, "scram", database=database) == f"scram@{database}"
        for database in ("other", "scram"):
            assert who(balancer, "hashed", database=database) == f"hashed@{database}"
        for user in ("scram", "hashed", "copier"):
            for database in ("postgres", "other"):
                assert refusal(balancer, user, "wrong", database).startswith("password authentication failed")
        assert "none is known" in refusal(balancer, "copier", database="scram")
        salts = set()
        for user in ("scram", "scram", "copier", "copier"):
            with Raw(balancer, user) as raw:
                raw.asked()
                first = b"n,,n=,r=abcdefghijklmnop"
                raw.wire.send(message(b"p", cstr("SCRAM-SHA-256") + struct.pack("!I", len(first)) + first))
                salts.add(raw.asked()[1].split(b",")[1])
            balancer.restart()
        assert len(salts) == 2, "each has one of its own that stays, whether there is such a user or not"
    finally:
        del balancer.config["auth_user"], balancer.config["auth_query"]
        balancer.restart()
        server.sql("DROP TABLE logins")


def test_replication_is_a_rule_of_its_own_however_it_is_spelled(alone, rules):
    _, balancer = alone
    rules("host replication copier all scram-sha-256\nhost other copier all scram-sha-256")
    physical = {"connection_factory": psycopg2.extras.PhysicalReplicationConnection}
    with client(balancer, "copier", **physical) as connection, connection.cursor() as cursor:
        cursor.execute("IDENTIFY_SYSTEM")
        assert cursor.fetchone()
    logical = {"connection_factory": psycopg2.extras.LogicalReplicationConnection}
    assert "no pg_hba.conf entry for host" in refusal(balancer, "copier", **logical), "it has a database"
    with client(balancer, "copier", database="other", **logical) as connection, connection.cursor() as cursor:
        cursor.execute("IDENTIFY_SYSTEM")
    for no in ("f", "FALSE", "no", "of", "0"):  # a server takes it for an ordinary connection, and so do we
        with Raw(balancer, "copier", replication=no) as raw:
            assert raw.refused()[1].startswith("no pg_hba.conf entry for host")
    with Raw(balancer, "copier", replication="maybe") as raw:
        assert raw.refused() == ("22023", 'invalid value for parameter "replication": "maybe"')


def test_a_reload_is_for_logins_to_come_and_a_file_with_mistakes_changes_nothing(alone, rules):
    _, balancer = alone
    rules("host all scram all scram-sha-256")
    with client(balancer, "scram") as stays, stays.cursor() as cursor:
        rules("host all known all scram-sha-256")
        cursor.execute("SELECT 1")
        assert "no pg_hba.conf entry" in refusal(balancer, "scram")
        assert who(balancer, "known") == "known@postgres"

        with pytest.raises(urllib.error.HTTPError) as caught:
            rules("local all all trust\nhost all scram all scram-sha-256\nhost all all 10.0.0.1 trust\n")
        told = caught.value.read().decode()
        assert caught.value.code == 422
        assert "hba.conf" in told and "line 1: " in told and "line 3: " in told and "line 2" not in told
        assert "no pg_hba.conf entry" in refusal(balancer, "scram"), "the rules from before hold"
        os.kill(balancer.process.pid, signal.SIGHUP)
        wait_until(lambda: "the configuration stays as it was" in balancer.log, 10, "SIGHUP was heard")
        assert "line 3: " in balancer.log
        assert who(balancer, "known") == "known@postgres"

        (balancer.folder / "hba.conf").write_text("host all scram all scram-sha-256\n", encoding="utf-8")
        os.kill(balancer.process.pid, signal.SIGHUP)
        wait_until(lambda: who(balancer, "scram"), 10, "the new rules hold")
        cursor.execute("SELECT 1")


def test_rules_that_can_never_hold_are_warned_of_and_secrets_are_not_shown(alone, rules):
    _, balancer = alone
    rules("hostssl all all all scram-sha-256\nhost all all all md5")
    assert "no hostssl rule of hba.conf will ever hold" in balancer.log
    assert who(balancer, "hashed") == "hashed@postgres"
    refusal(balancer, "scram", "a-wrong-one")
    for secret in [*PASSWORDS.values(), "a-wrong-one", "SCRAM-SHA-256$", "let-me-in"]:
        assert secret not in balancer.log


@pytest.fixture(scope="module")
def certificates():
    with tempfile.TemporaryDirectory(prefix="pgb-certs-") as name:
        made = Certificates(pathlib.Path(name))
        for authority in ("ca", "foreign"):
            made.authority(authority)
        for signed in ("lb", "free", "scram", "known"):
            made.sign(signed, "ca")
        made.sign("nameless", "ca", subject="/O=test")
        made.sign("strange", "foreign", common_name="free")
        for key in made.folder.glob("*.key"):
            key.chmod(0o600)
        yield made


@pytest.fixture
def secured(alone, rules, certificates):
    """The balancer with TLS and rules, and what a client needs to show a certificate."""
    _, balancer = alone
    keys = {"tls_cert_file": certificates.crt("lb"), "tls_key_file": certificates.key("lb"),
            "tls_ca_file": certificates.crt("ca"), "tls_client_certs": "optional"}
    balancer.config |= keys

    def shown(name: str | None = None) -> dict:
        if name is None:
            return {"sslmode": "require", "sslcert": "/nonexistent", "sslkey": "/nonexistent"}
        return {"sslmode": "require", "sslcert": certificates.crt(name), "sslkey": certificates.key(name)}
    yield rules, shown
    for key in keys:
        del balancer.config[key]
    (balancer.folder / "hba.conf").write_text("host all all all reject\n", encoding="utf-8")


def test_rules_tell_encrypted_connections_from_others(alone, secured):
    _, balancer = alone
    rules, shown = secured
    rules("hostssl all known all scram-sha-256\nhostnossl all free all trust\nhostssl all scram all md5")
    assert who(balancer, "known", **shown()) == "known@postgres"
    assert who(balancer, "scram", **shown()) == "scram@postgres"
    assert who(balancer, "free", sslmode="disable") == "free@postgres"
    assert refusal(balancer, "known", sslmode="disable").endswith(
        'no pg_hba.conf entry for host "127.0.0.1", user "known", database "postgres", no encryption')
    assert refusal(balancer, "free", **shown()).endswith(
        'no pg_hba.conf entry for host "127.0.0.1", user "free", database "postgres", SSL encryption')


def test_a_certificate_with_the_users_name_is_enough_where_a_rule_says_so(alone, secured):
    _, balancer = alone
    rules, shown = secured
    rules("hostssl all all all cert")
    assert who(balancer, "free", "", **shown("free")) == "free@postgres"
    assert who(balancer, "known", "", **shown("known")) == "known@postgres", "the server asks for its password"
    mine = 'certificate authentication failed for user "{}"'
    assert refusal(balancer, "known", **shown("free")) == mine.format("known"), "somebody else's"
    assert refusal(balancer, "free", **shown("nameless")) == mine.format("free")
    assert refusal(balancer, "nobody", **shown("free")) == mine.format("nobody")
    assert refusal(balancer, "known", **shown()) == "connection requires a valid client certificate"
    assert "SSL" in refusal(balancer, "free", **shown("strange")), "another authority's: TLS itself fails"
    assert "no pg_hba.conf entry" in refusal(balancer, "free", sslmode="disable")
    assert who(balancer, "free", "", **shown("free")) == "free@postgres"
    assert "its certificate is for \"free\"" in balancer.log


@pytest.mark.parametrize("method", ["scram-sha-256", "md5"])
def test_a_rule_may_want_a_certificate_beside_the_password(alone, secured, method):
    _, balancer = alone
    rules, shown = secured
    rules(f"hostssl all scram all {method} clientcert=verify-full\nhostssl all known all {method} clientcert=verify-ca")
    assert who(balancer, "scram", **shown("scram")) == "scram@postgres"
    assert refusal(balancer, "scram", "wrong", **shown("scram")) == 'password authentication failed for user "scram"'
    assert refusal(balancer, "scram", **shown("known")) == 'certificate authentication failed for user "scram"'
    assert refusal(balancer, "scram", **shown()) == "connection requires a valid client certificate"
    for name in ("known", "scram", "nameless"):
        assert who(balancer, "known", **shown(name)) == "known@postgres"
    assert refusal(balancer, "known", "wrong", **shown("scram")) == 'password authentication failed for user "known"'
    assert refusal(balancer, "known", **shown()) == "connection requires a valid client certificate"


def test_rules_with_certificates_that_nobody_is_asked_for_are_a_mistake(alone, rules):
    with pytest.raises(urllib.error.HTTPError) as caught:
        rules("hostssl all all all cert")
    assert "set tls_client_certs" in caught.value.read().decode()
    (alone[1].folder / "hba.conf").write_text("host all all all reject\n", encoding="utf-8")

"""A balancer that was given a certificate speaks TLS with it, in both runtimes; and everything else about TLS and
certificates, with a balancer that runs alone."""
import http.client
import shutil
import socket
import ssl
import struct
import subprocess
import threading
import urllib.error
import urllib.request

import psycopg2
import pytest

from harness.tls_site import SSL_REQUEST, Certificates, Relay, Site
from harness.waiting import wait_until
from harness.wire import Wire, cstr, message, query


def make_certificate(folder) -> None:
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", folder / "lb.key", "-out",
                    folder / "lb.crt", "-days", "2", "-subj", "/CN=localhost"], check=True, capture_output=True)


def connect(url: str, mode: str, **more):
    return psycopg2.connect(url, sslmode=mode, connect_timeout=5, **more)


def test_clients_reach_the_balancer_by_tls_and_can_verify_it(fresh):
    make_certificate(fresh.folder)
    fresh.document["balancers"][0]["config"] = {"tls_cert_file": "lb.crt", "tls_key_file": "lb.key"}
    fresh.write()
    fresh.init()
    url = fresh.manager.run("url", "--show-password", "--config", fresh.file, may_show_secrets=True).out.strip()
    with connect(url, "verify-ca", sslrootcert=str(fresh.folder / "lb.crt")) as connection:
        assert connection.info.ssl_in_use
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM users")
            assert cursor.fetchone()[0] == 3
    fresh.run("--destroy")
    assert not fresh.left()


def test_without_a_certificate_tls_is_refused_not_faked(fresh):
    fresh.init()
    url = fresh.manager.run("url", "--show-password", "--config", fresh.file, may_show_secrets=True).out.strip()
    with pytest.raises(psycopg2.OperationalError, match="does not support SSL"):
        connect(url, "require")


def test_a_cluster_can_require_tls_and_has_rules_for_its_clients(fresh):
    folder = fresh.folder / "pki"
    folder.mkdir()
    certificates = Certificates(folder)
    certificates.authority("ca")
    certificates.sign("lb", by="ca")
    certificates.sign("postgres", by="ca", common_name="postgres")
    (fresh.folder / "hba.conf").write_text("host all all 127.0.0.1/32 scram-sha-256\nhost all all all scram-sha-256\n")
    config = {"tls_cert_file": "pki/lb.crt", "tls_key_file": "pki/lb.key", "tls_mode": "require", "tls_client_certs": "optional",
              "tls_ca_file": "pki/ca.crt", "hba_file": "hba.conf"}
    fresh.document["balancers"][0]["config"] = config
    fresh.write()
    fresh.init()
    fresh.wait_healthy()
    url = fresh.url()
    assert "sslmode=require" in url
    assert "sslmode=require" in fresh.run("url", "--format", "jdbc").out
    assert "PGSSLMODE=require" in fresh.run("env").out
    with psycopg2.connect(url, connect_timeout=5) as connection:
        assert connection.info.ssl_in_use
    with pytest.raises(psycopg2.OperationalError, match="connections without TLS are not accepted"):
        connect(url, "disable")
    shown = {"sslcert": str(folder / "postgres.crt"), "sslkey": str(folder / "postgres.key")}
    with pytest.raises(psycopg2.OperationalError):
        connect(url, "require", password="wrong", **shown)

    # The rules change while it runs: init brings them there.
    everyone = (fresh.folder / "hba.conf").read_text()
    (fresh.folder / "hba.conf").write_text("hostssl postgres all all cert\n" + everyone)
    with psycopg2.connect(url, connect_timeout=5):
        fresh.run("init")
        with connect(url, "require", dbname="testdb"):
            pass
        with pytest.raises(psycopg2.OperationalError, match="valid client certificate"):
            connect(url, "require", dbname="postgres")
        with connect(url, "require", dbname="postgres", password="", **shown) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT current_user")
            assert cursor.fetchone()[0] == "postgres"
    (fresh.folder / "hba.conf").write_text("nonsense\n")
    assert "line 1" in fresh.run("init", expect=None).err
    with connect(url, "require"):
        pass
    fresh.run("--destroy")
    assert not fresh.left()


def rest(fresh, authority: str, scheme: str = "https") -> int:
    """The status with which it answers; certificates are held against that authority, whatever their names."""
    trust = ssl.create_default_context(cafile=authority)
    trust.check_hostname = False
    address = f"{scheme}://127.0.0.1:{fresh.balancer()['rest_api_port']}/healthz"
    with urllib.request.urlopen(address, timeout=5, context=trust) as answer:
        return answer.status


def top(fresh) -> str:
    done = fresh.run("top", expect=None)
    return done.out if done.code == 0 else done.err


def test_rest_by_tls_and_the_manager_knows_its_balancer(fresh):
    folder = fresh.folder / "pki"
    folder.mkdir()
    certificates = Certificates(folder)
    certificates.authority("ca")
    for name in ("lb", "new", "stranger"):
        certificates.sign(name, by="ca", hosts="DNS:lb.example")
    ca, known = certificates.crt("ca"), fresh.state_dir / fresh.name / "certificates" / "lb1.pem"
    plain = {"tls_cert_file": "pki/lb.crt", "tls_key_file": "pki/lb.key"}
    fresh.balancer()["config"] = plain | {"rest_tls": True}
    fresh.write()
    address = f"https://127.0.0.1:{fresh.balancer()['rest_api_port']}/"
    assert address in fresh.init().out
    assert address in fresh.run("open").out
    assert f"PGBALANCER_REST_URL={address}" in fresh.run("env").out
    fresh.wait_healthy()
    assert rest(fresh, ca) == 200
    with pytest.raises((OSError, http.client.HTTPException)):
        rest(fresh, ca, "http")
    assert "transactions/s" in top(fresh)
    assert known.read_text().strip() == leaf(folder / "lb.crt") and "PRIVATE" not in known.read_text()
    fresh.run("add-replica")  # the balancer is told of it
    fresh.wait_healthy()
    wait_until(lambda: "replica3" in top(fresh), 10, "the balancer knows of it")

    # Another certificate: in between both count, afterwards the new one alone.
    fresh.balancer()["config"] |= {"tls_cert_file": "pki/new.crt", "tls_key_file": "pki/new.key"}
    fresh.write()
    fresh.run("init")
    assert certificate_of(fresh) == leaf(folder / "new.crt") == known.read_text().strip()
    assert "transactions/s" in top(fresh)
    (folder / "new.crt").write_text((folder / "stranger.crt").read_text())  # with a key that does not fit
    assert "private key" in fresh.run("init", expect=None).err
    assert "transactions/s" in top(fresh), "it goes on with the one it has, and is known by it"
    certificates.sign("new", by="ca", hosts="DNS:lb.example")
    fresh.run("init")
    assert certificate_of(fresh) == leaf(folder / "new.crt") == known.read_text().strip()

    somebody_else_gets_nothing(fresh, certificates)

    # Without, and with it again, while it runs.
    for config, scheme, other in ((plain, "http", "https"), (plain | {"rest_tls": True}, "https", "http")):
        fresh.balancer()["config"] = config
        fresh.write()
        fresh.run("init")
        assert rest(fresh, ca, scheme) == 200
        with pytest.raises((OSError, http.client.HTTPException)):
            rest(fresh, ca, other)
        assert "transactions/s" in top(fresh)
        assert known.exists() == (scheme == "https")
    fresh.run("restart", "lb1")
    fresh.wait_healthy()
    assert "transactions/s" in top(fresh)
    fresh.run("--destroy")
    assert not fresh.left()


def leaf(path) -> str:
    return path.read_text()[path.read_text().index("-----BEGIN CERT"):].strip()


def certificate_of(fresh) -> str:
    return ssl.get_server_certificate(("127.0.0.1", fresh.balancer()["rest_api_port"])).strip()


def somebody_else_gets_nothing(fresh, certificates) -> None:
    """At the balancer's port, with a certificate of the same authority and for the same name."""
    fresh.run("stop", "lb1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.crt("stranger"), certificates.key("stranger"))
    heard: list[bytes] = []

    def listen(listener: socket.socket) -> None:
        try:
            raw, _ = listener.accept()
            with context.wrap_socket(raw, server_side=True) as connection:
                heard.append(connection.recv(65536))
        except OSError as refused:
            heard.append(b"")
            heard.append(str(refused).encode())

    with socket.create_server(("127.0.0.1", fresh.balancer()["rest_api_port"])) as listener:
        thread = threading.Thread(target=listen, args=(listener,))
        thread.start()
        said = top(fresh)
        thread.join(10)
    assert "transactions/s" not in said and "TLS handshake" in said, said
    assert heard and heard[0] == b"", heard
    fresh.run("start", "lb1")
    fresh.wait_healthy()
    assert "transactions/s" in top(fresh)


# --- A balancer with its own file, in front of a server with certificates.

SCRAM_OVER_TLS = "hostssl all all 127.0.0.1/32 scram-sha-256"
SCRAM = "host all all 127.0.0.1/32 scram-sha-256"


@pytest.fixture(scope="module")
def made_site():
    site = Site()
    yield site
    site.close()


@pytest.fixture
def site(made_site):
    made_site.server_rules(SCRAM)
    return made_site


def to_clients(site, **more) -> dict:
    return {"tls_cert_file": site.certificates.crt("balancer"), "tls_key_file": site.certificates.key("balancer"),
            **more}


def to_servers(site, mode: str, **more) -> dict:
    authority = {"server_tls_ca_file": site.certificates.crt("authority")} if mode.startswith("verify") else {}
    return {"server_tls": mode, **authority, **more}


def shown(site, user: str) -> dict:
    return {"sslcert": site.certificates.crt(user), "sslkey": site.certificates.key(user)}


def node(site, **more) -> list:
    return [{"name": "db1", "host": "127.0.0.1", "port": site.server_port} | more]


def over_tls(client: Wire, protocols=("postgresql",)) -> Wire:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if protocols:
        context.set_alpn_protocols(list(protocols))
    client.socket = context.wrap_socket(client.socket)
    return client


def test_every_connection_to_a_server_is_encrypted(site):
    site.server_rules(SCRAM_OVER_TLS, SCRAM_OVER_TLS.replace("all all", "replication all"))
    with Relay(site.relay_port, site.server_port) as relay, \
            site.serving(nodes=node(site, port=site.relay_port), **to_servers(site, "verify-full")):
        assert site.value("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()") is True
        assert site.sql("SELECT DISTINCT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) "
                        "WHERE usename IN ('pgbalancer', 'alice')") == [(True,)]
        with Wire(site.url()) as client:
            client.send(query("SELECT pg_sleep(20)"))
            wait_until(lambda: site.sql("SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND query ~ '^SELECT "
                                        "pg_sleep'"), 10, "the query runs")
            client.cancel()
            assert client.until().sqlstates == ["57014"]
        with Wire(site.url(), {"replication": "true"}) as replication:
            assert replication.query("IDENTIFY_SYSTEM").tags.startswith("TDC")
        assert len(relay.first_bytes) >= 5, "health, login, pooled, cancel, replication"
        assert set(relay.first_bytes) == {SSL_REQUEST}


@pytest.mark.parametrize("mode,more,cause", [
    ("require", {}, None), ("verify-ca", {}, None), ("verify-full", {}, None),
    ("verify-full", {"tls_host": "db.example"}, None),
    ("verify-full", {"tls_host": "other.example"}, "not trusted: hostname mismatch"),
    ("verify-ca", {"tls_host": "other.example"}, None),
])
def test_a_servers_certificate_is_held_against_the_name_of_its_node(site, mode, more, cause):
    with site.serving(healthy=not cause, nodes=node(site, **more), **to_servers(site, mode)):
        if not cause:
            assert site.value("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()") is True
            return
        assert cause in site.last_error()


def test_a_server_of_an_unknown_authority_is_refused_and_named(site):
    keys = to_servers(site, "verify-ca", server_tls_ca_file=site.certificates.crt("stranger"))
    with site.serving(healthy=False, **keys):
        with pytest.raises(psycopg2.OperationalError, match="db1.*certificate is not trusted"):
            site.connect()
        assert "not trusted" in site.last_error()


def test_a_server_without_tls_will_do_for_prefer_but_not_for_require(site):
    site.server_rules(SCRAM, tls=False)
    with site.serving(**to_servers(site, "prefer")):
        assert site.value("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()") is False
    with site.serving(healthy=False, **to_servers(site, "require")):
        assert "offers no TLS" in site.last_error()


def test_the_balancer_shows_the_servers_its_own_certificate(site):
    site.server_rules(SCRAM_OVER_TLS + " clientcert=verify-ca")
    certificate = {"server_tls_cert_file": site.certificates.crt("balancer"),
                   "server_tls_key_file": site.certificates.key("balancer")}
    with site.serving(**to_servers(site, "verify-full", **certificate)):
        assert site.value("SELECT client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()") == "/CN=balancer"
    with site.serving(healthy=False, **to_servers(site, "verify-full")):
        assert "requires a valid client certificate" in site.last_error()


def test_somebody_between_balancer_and_server_is_found_out_by_channel_binding(site):
    middle = (site.certificates.crt("unknown"), site.certificates.key("unknown"))
    with Relay(site.relay_port, site.server_port, middle) as relay, \
            site.serving(healthy=False, nodes=node(site, port=site.relay_port), **to_servers(site, "require")):
        assert "channel binding" in site.last_error()
        assert set(relay.first_bytes) == {SSL_REQUEST}


def test_a_client_binds_its_login_to_the_channel_whatever_the_server_can(site):
    for mode in ("disable", "verify-full"):
        with site.serving(**to_clients(site), **to_servers(site, mode)):
            assert site.value("SELECT current_user", sslmode="verify-full", channel_binding="require",
                              sslrootcert=site.certificates.crt("authority")) == "alice"
            with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
                site.connect(sslmode="require", channel_binding="require", password="wrong")
            assert site.value("SELECT 1", sslmode="require", channel_binding="disable") == 1
            assert site.value("SELECT 1", sslmode="disable") == 1


def test_somebody_between_client_and_balancer_is_found_out_by_channel_binding(site):
    middle = (site.certificates.crt("unknown"), site.certificates.key("unknown"))
    with Relay(site.relay_port, site.balancer_port, middle), site.serving(**to_clients(site)):
        with pytest.raises(psycopg2.OperationalError, match="another certificate"):
            site.connect(port=site.relay_port, sslmode="require")


def test_a_client_that_was_told_of_no_channel_binding_is_warned(site):
    with site.serving(**to_clients(site)), Wire(site.url(), login=False) as client:
        client.send(SSL_REQUEST)
        assert client.socket.recv(1) == b"S"
        over_tls(client, protocols=())
        client.send(startup("alice"))
        assert client.until("R")[0][1][4:].split(b"\0")[:2] == [b"SCRAM-SHA-256-PLUS", b"SCRAM-SHA-256"]
        first = b"y,,n=,r=abcdefgh"
        client.send(message(b"p", cstr("SCRAM-SHA-256") + struct.pack("!I", len(first)) + first))
        assert client.until("E").sqlstates == ["08P01"]


def startup(user: str) -> bytes:
    body = struct.pack("!I", 196608) + cstr("user") + cstr(user) + b"\0"
    return struct.pack("!I", len(body) + 4) + body


def test_a_client_may_begin_with_tls_if_it_names_the_protocol(site):
    with site.serving(**to_clients(site)):
        with Wire(site.url(), login=False) as client:
            over_tls(client)
            assert client.socket.selected_alpn_protocol() == "postgresql"
            client._log_in({"user": "alice", "database": "postgres"})  # pylint: disable=protected-access
            assert client.value("SELECT repeat('x', 100000)") == "x" * 100000
        with Wire(site.url(), login=False) as nameless:
            over_tls(nameless, protocols=())
            nameless.send(startup("alice"))
            assert nameless.socket.recv(1) == b""
        wait_until(lambda: "without the ALPN protocol" in site.log.read_text(), 5, "it is logged")
        with Wire(site.url(), login=False) as other, pytest.raises(ssl.SSLError, match="(?i)no.application.protocol"):
            over_tls(other, protocols=("http/1.1",))
        with Wire(site.url(), login=False) as late:  # only the very first byte of a connection may begin TLS
            late.send(struct.pack("!II", 8, 80877104))
            assert late.socket.recv(1) == b"N"
            with pytest.raises((ssl.SSLError, ConnectionError)):
                over_tls(late)
    with site.serving(), Wire(site.url(), login=False) as client, pytest.raises((ssl.SSLError, ConnectionError)):
        over_tls(client)


def test_tls_is_required_of_those_who_log_in(site):
    with site.serving(**to_clients(site, tls_mode="require")):
        with pytest.raises(psycopg2.OperationalError, match="connections without TLS are not accepted"):
            site.connect(sslmode="disable")
        assert site.value("SELECT 1", sslmode="require") == 1
        assert site.rest("status?probe=1")["query"]["ok"], "the balancer's own question"
        connection = site.connect(sslmode="require")
        with connection.cursor() as cursor:  # this library cancels without TLS, as all older ones do
            threading.Timer(0.3, connection.cancel).start()
            with pytest.raises(psycopg2.errors.QueryCanceled):
                cursor.execute("SELECT pg_sleep(20)")
        connection.close()
    with site.serving(**to_clients(site, tls_mode="disable")):
        with pytest.raises(psycopg2.OperationalError, match="does not support SSL"):
            site.connect(sslmode="require")
        assert site.value("SELECT 1", sslmode="disable") == 1


def test_clients_certificates_are_asked_for_and_held_against_the_authority(site):
    authority = site.certificates.crt("authority")
    with site.serving(**to_clients(site, tls_client_certs="required", tls_ca_file=authority)):
        assert site.value("SELECT 1", sslmode="require", **shown(site, "alice")) == 1
        for refused in ({"sslmode": "require"}, {"sslmode": "disable"}):
            with pytest.raises(psycopg2.OperationalError, match="requires a valid client certificate"):
                site.connect(**refused)
        with pytest.raises(psycopg2.OperationalError, match="(?i)unknown ca|SSL"):
            site.connect(sslmode="require", **shown(site, "unknown"))
        wait_until(lambda: "certificate is not trusted" in site.log.read_text(), 5, "it is logged")
        assert site.rest("status?probe=1")["query"]["ok"], "the balancer shows its own certificate to itself"
    with site.serving(**to_clients(site, tls_client_certs="optional", tls_ca_file=authority)):
        assert site.value("SELECT 1", sslmode="require", **shown(site, "alice")) == 1
        assert site.value("SELECT 1", sslmode="require") == 1
        with pytest.raises(psycopg2.OperationalError):
            site.connect(sslmode="require", **shown(site, "unknown"))


def serial_shown_by(site) -> str:
    with Wire(site.url(), login=False) as client:
        return ssl.DER_cert_to_PEM_cert(over_tls(client).socket.getpeercert(binary_form=True))


def test_new_certificates_are_for_new_connections_and_bad_ones_for_none(site):
    certificates = site.certificates
    for name in ("first", "second"):
        certificates.sign(name, "authority")
    files = {"tls_cert_file": certificates.crt("live"), "tls_key_file": certificates.key("live")}

    def put(crt: str, key: str) -> None:
        shutil.copy(certificates.crt(crt), files["tls_cert_file"])
        shutil.copy(certificates.key(key), files["tls_key_file"])

    put("first", "first")
    with site.serving(**files):
        running = site.connect(sslmode="require")
        before = serial_shown_by(site)
        put("second", "second")
        assert serial_shown_by(site) == before, "nothing was said yet"
        site.reload()
        after = serial_shown_by(site)
        assert after != before
        with running.cursor() as cursor:
            cursor.execute("SELECT 42")
            assert cursor.fetchone() == (42,)

        put("first", "second")  # they do not belong together
        site.reload()
        assert "the configuration stays as it was" in site.log.read_text()
        assert files["tls_key_file"] in site.log.read_text()
        with pytest.raises(urllib.error.HTTPError) as refused:
            site.rest("control/reload", "POST")
        assert refused.value.code == 422 and files["tls_key_file"] in refused.value.read().decode()
        assert serial_shown_by(site) == after
        with running.cursor() as cursor:
            cursor.execute("SELECT 43")
            assert cursor.fetchone() == (43,)
        running.close()

        put("second", "second")
        site.write_config(tls_mode="require", **files)
        site.rest("control/reload", "POST")
        with pytest.raises(psycopg2.OperationalError, match="connections without TLS"):
            site.connect(sslmode="disable")


def test_what_servers_must_show_is_asked_anew_after_a_reload(site):
    with site.serving(**to_servers(site, "verify-ca")):
        running = site.connect()
        site.write_config(**to_servers(site, "verify-ca", server_tls_ca_file=site.certificates.crt("stranger")))
        site.reload()
        wait_until(lambda: not site.is_healthy(), 10, "the old server is not trusted any more")
        site.write_config(**to_servers(site, "verify-ca"))
        site.reload()
        wait_until(site.is_healthy, 10, "it is trusted again")
        with running.cursor() as cursor:
            cursor.execute("SELECT 1")
            assert cursor.fetchone() == (1,)
        running.close()

"""The REST interface: every route answers as it is described, to everyone who may ask, and to nobody else."""
import base64
import contextlib
import copy
import hashlib
import hmac
import http.client
import json
import pathlib
import shutil
import signal
import ssl
import subprocess
import time
import urllib.error
import urllib.request

import psycopg2
import pytest

jsonschema = pytest.importorskip("jsonschema")

from harness import openapi  # noqa: E402
from harness.alone import standing_group  # noqa: E402
from harness.free_ports import free_block  # noqa: E402
from harness.rest import Rest, exchange  # noqa: E402
from harness.tls_site import Certificates  # noqa: E402
from harness.waiting import wait_until  # noqa: E402

# What is refused where no agents choose the primary.
REFUSED = {("POST", "/api/v1/watchdog/start"), ("POST", "/api/v1/watchdog/stop")}
# What only agents know.
UNKNOWN = {("GET", path) for path in ("/sync", "/synchronous", "/quorum", "/async", "/asynchronous")}


class Site:
    def __init__(self, primary, replica, balancer):
        self.primary, self.replica, self.balancer = primary, replica, balancer
        self.rest = Rest(balancer.rest, balancer.token)

    def log_in(self, user: str, password: str, expect: int | None = 200):
        return self.rest.with_token(None).post("/api/v1/auth/login", {"username": user, "password": password}, expect)

    @contextlib.contextmanager
    def client(self):
        with contextlib.closing(psycopg2.connect(host="127.0.0.1", port=self.balancer.port, user="shop", password="shop",
                                                 dbname="postgres")) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
                yield cursor


@pytest.fixture(scope="module")
def site():
    with standing_group(1, stats_token="look", admin_users=["chief"], stats_users=["watcher"], log_file="balancer.txt") as (
            primary, replicas, balancer):
        primary.sql("CREATE ROLE shop LOGIN PASSWORD 'shop'; CREATE ROLE chief LOGIN PASSWORD 'chief pass';"
                    "CREATE ROLE watcher LOGIN PASSWORD 'watcher pass'; CREATE ROLE other LOGIN PASSWORD 'other pass'")
        users = balancer.folder / "pcp.conf"
        users.touch(0o600)
        users.write_text(f"boss:{hashlib.md5(b'pcp pass').hexdigest()}\n")
        balancer.config |= {"pcp_port": free_block(1), "pcp_users_file": "pcp.conf"}
        balancer.restart()
        wait_until(lambda: all(node["healthy"] for node in balancer.ask("status")["nodes"]), 20, "all servers are found")
        replicas[0].wait_caught_up()
        yield Site(primary, replicas[0], balancer)


def filled_in(path: str) -> str:
    return path.replace("{node}", "replica1").replace("{command}", "reconnect")


# What is posted although it only looks.
LOOKS = {"/api/v1/routes/explain"}
BODIES = {"/api/v1/auth/login": {"username": "boss", "password": "pcp pass"}, "/api/v1/routes/explain": {"statement": "SELECT 1"}}


def test_the_description_is_an_openapi_document(site):
    openapi.check(site.rest.description)
    ways = {
        "info": lambda it: it["info"].pop("version"),
        "version": lambda it: it.update(openapi="3.0.0"),
        "unknown": lambda it: it.update(path={}),
        "no slash": lambda it: it["paths"].update({"metrics": it["paths"]["/metrics"]}),
        "no responses": lambda it: it["paths"]["/metrics"]["get"].pop("responses"),
        "status": lambda it: it["paths"]["/metrics"]["get"]["responses"].update({"20": {"description": "so"}}),
        "no description": lambda it: it["paths"]["/metrics"]["get"]["responses"]["200"].pop("description"),
        "media type": lambda it: it["paths"]["/metrics"]["get"]["responses"]["200"].update(content={"text": {}}),
        "path parameter": lambda it: it["paths"]["/api/v1/nodes/{node}"]["get"].pop("parameters"),
        "optional in the path": lambda it: it["paths"]["/api/v1/nodes/{node}"]["get"]["parameters"][0].pop("required"),
        "place": lambda it: it["paths"]["/api/v1/nodes/{node}"]["get"]["parameters"][0].update({"in": "body"}),
        "no schema": lambda it: it["paths"]["/api/v1/nodes/{node}"]["get"]["parameters"][0].pop("schema"),
        "body of GET": lambda it: it["paths"]["/metrics"]["get"].update(requestBody={"content": {"text/plain": {}}}),
        "reference": lambda it: it["components"]["schemas"].pop("Node"),
        "scheme": lambda it: it["components"].pop("securitySchemes"),
        "schema": lambda it: it["components"]["schemas"]["Node"].update(type="thing"),
        "same path": lambda it: it["paths"].update({"/api/v1/nodes/{id}": {}}),
    }
    for name, spoil in ways.items():
        document = copy.deepcopy(site.rest.description)
        spoil(document)
        with contextlib.suppress(AssertionError, jsonschema.ValidationError, jsonschema.SchemaError):
            openapi.check(document)
            pytest.fail(f"taken although spoilt: {name}")


def test_every_route_answers_as_described(site):
    with site.client():
        for method, path in site.rest.routes():
            expect = 409 if (method, path) in REFUSED else 503 if (method, path) in UNKNOWN else 200
            site.rest.ask(method, filled_in(path), BODIES.get(path), expect=expect)
            if method == "GET":
                head = site.rest.ask("HEAD", filled_in(path), expect=expect)
                assert not head.body and int(head.headers["content-length"]) > 0
            options = site.rest.ask("OPTIONS", filled_in(path), expect=None)
            assert options.status in (expect, 204), options
        assert site.rest.get("/api/v1/status?probe=1")["query"]["ok"]
    assert set(site.rest.routes()) - site.rest.done == REFUSED | UNKNOWN


def test_every_refusal_is_as_described(site):
    nobody, viewer = site.rest.with_token("wrong"), site.rest.with_token("look")
    for method, path in site.rest.routes():
        is_open = site.rest.description["paths"][path][method.lower()].get("security") == []
        if not is_open:
            refused = nobody.ask(method, filled_in(path), expect=401)
            assert refused.headers["www-authenticate"] == "Bearer"
        if method == "POST" and not is_open and path not in LOOKS:
            viewer.ask(method, filled_in(path), expect=403)
        elif not is_open:
            viewer.ask(method, filled_in(path), BODIES.get(path))
        wrong = site.rest.ask("PATCH", filled_in(path), expect=405)
        assert method in wrong.headers["allow"]
    for target in ("/api/v1/nothing", "/api/v2/status", "//", "/api/v1/nodes/", "/api/v1/status/"):
        site.rest.ask("GET", target, expect=404)
    site.rest.get("/api/v1/nodes/nine", 404)
    site.rest.post("/api/v1/nodes/9/detach", expect=404)
    site.rest.post("/api/v1/control/frobnicate", expect=404)
    site.rest.post("/api/v1/control/pause?wait=soon", expect=400)
    for act in ("promote", "recovery"):
        assert "no agents choose the primary" in site.rest.post(f"/api/v1/nodes/1/{act}", expect=409)["detail"]


def test_nodes_are_as_the_servers_say(site):
    nodes = site.rest.get("/api/v1/nodes")["nodes"]
    assert [(n["name"], n["role"], n["healthy"], n["port"]) for n in nodes] == [
        ("primary", "primary", True, site.primary.port), ("replica1", "replica", True, site.replica.port)]
    assert site.rest.get("/api/v1/nodes/1")["node"]["name"] == "replica1"
    edges = site.rest.get("/api/v1/topology")["edges"]
    assert [(e["from"], e["to"], e["known_by"]) for e in edges] == [("primary", "replica1", "roles")]
    [process] = site.rest.get("/api/v1/processes")["processes"]
    assert process["pid"] == site.balancer.process.pid and process["threads"] == 2
    checks = site.rest.get("/api/v1/health/stats")["nodes"]
    assert all(check["good"] > 0 and check["last_good"] for check in checks)


def test_a_detached_node_gets_no_work(site):
    assert site.rest.post("/api/v1/nodes/1/detach")["done"]
    assert site.rest.get("/api/v1/nodes/replica1")["node"]["drained"]
    site.rest.get("/replica", 503)
    site.rest.post("/api/v1/nodes/replica1/attach")
    assert not site.rest.get("/api/v1/nodes/replica1")["node"]["drained"]
    site.rest.get("/replica")


def test_the_cache_is_shown_and_forgotten(site):
    def entries() -> int:
        return sum(row["entries"] for row in site.rest.get("/api/v1/cache")["databases"] if row["database"] == "postgres")
    with site.client() as cursor:
        cursor.execute("SELECT 41 + 1")
        assert entries() > 0
        assert "forgotten" in site.rest.post("/api/v1/cache/invalidate?database=postgres")["text"]
        assert entries() == 0
        cursor.execute("SELECT 41 + 1")
        assert cursor.fetchone() == (42,) and entries() > 0


def test_the_log_is_opened_again(site):
    log = site.balancer.folder / "balancer.txt"
    moved = log.with_suffix(".1")
    log.rename(moved)
    site.rest.post("/api/v1/control/logrotate")
    site.rest.post("/api/v1/nodes/replica1/reconnect?database=%0aforged%20line", expect=404)
    text = log.read_text()
    assert "reconnect" in text and not [line for line in text.splitlines() if line.startswith("forged")], text


def test_a_login_is_worth_what_its_user_may_do(site):
    for user, password, role in (("boss", "pcp pass", "operator"), ("chief", "chief pass", "operator"), ("watcher", "watcher pass", "viewer")):
        session = site.log_in(user, password)
        assert session["role"] == role and session["expires_in"] == 3600
        as_user = site.rest.with_token(session["token"])
        as_user.get("/api/v1/clients")
        as_user.post("/api/v1/nodes/1/attach", expect=200 if role == "operator" else 403)
        payload = json.loads(base64.urlsafe_b64decode(session["token"].split(".")[1] + "=="))
        assert payload["sub"] == user and abs(payload["exp"] - time.time() - 3600) < 60
        assert password not in (site.balancer.folder / "balancer.txt").read_text()


def test_a_user_that_is_taken_off_the_list_is_out_with_the_reload(site):
    chief = site.rest.with_token(site.log_in("chief", "chief pass")["token"])
    chief.get("/api/v1/nodes")
    site.balancer.config["admin_users"] = []
    site.balancer.reload()
    chief.ask("GET", "/api/v1/nodes", expect=401)
    site.balancer.config["admin_users"] = ["chief"]
    site.balancer.reload()
    chief.get("/api/v1/nodes")


class Stream:
    """Of events, line by line."""

    def __init__(self, site, token: str):
        self.connection = http.client.HTTPConnection("127.0.0.1", site.balancer.rest, timeout=20)
        self.connection.request("GET", "/api/v1/events", headers={"Authorization": f"Bearer {token}"})
        self.answer = self.connection.getresponse()
        assert self.answer.status == 200

    def lines(self):
        while line := self.answer.readline():
            yield line.decode().rstrip("\n")


def test_a_stream_ends_with_the_rights_of_its_reader(site):
    chief = Stream(site, site.log_in("chief", "chief pass")["token"])
    watcher = Stream(site, site.log_in("watcher", "watcher pass")["token"])
    for stream in (chief, watcher):
        next(line for line in stream.lines() if line == "event: state")
    site.balancer.config["admin_users"] = []
    site.balancer.reload()
    began = time.monotonic()
    try:
        rest = list(chief.lines())  # to its end
        assert time.monotonic() - began < 3
        assert "event: end" in rest and json.loads(rest[rest.index("event: end") + 1].partition(" ")[2])["reason"]
        assert rest.count("event: state") <= 3
        for _ in range(3):
            next(line for line in watcher.lines() if line == "event: state")
    finally:
        site.balancer.config["admin_users"] = ["chief"]
        site.balancer.reload()


def test_a_page_from_elsewhere_gives_no_commands(site):
    own = f"http://127.0.0.1:{site.balancer.rest}"
    drained = "/api/v1/nodes/1/detach"
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Sec-Fetch-Site": "cross-site", "Origin": own},
                    {"Origin": "http://evil.example"}, {"Origin": "null"}):
        for token in (site.balancer.token, None):
            refused = site.rest.with_token(token).ask("POST", drained, headers=headers, expect=403)
            assert "a page from elsewhere" in refused.json()["detail"]
        site.rest.ask("POST", "/api/v1/auth/login", BODIES["/api/v1/auth/login"], headers=headers, expect=403)
        site.rest.ask("GET", "/api/v1/nodes", headers=headers)
    assert not site.rest.get("/api/v1/nodes/1")["node"]["drained"]
    for headers in ({"Sec-Fetch-Site": "same-origin", "Origin": own}, {"Sec-Fetch-Site": "none"}, {"Origin": own}, {}):
        site.rest.ask("POST", "/api/v1/nodes/1/attach", headers=headers)


def test_connections_between_two_requests_keep_nobody_out(site):
    with contextlib.ExitStack() as stack:
        polite = [stack.enter_context(contextlib.closing(http.client.HTTPConnection("127.0.0.1", site.balancer.rest, timeout=20)))
                  for _ in range(100)]
        for connection in polite:
            connection.request("GET", "/healthz")
            answer = connection.getresponse()
            assert answer.status == 200 and answer.read()
        began = time.monotonic()
        for _ in range(20):
            site.rest.get("/api/v1/nodes")
        assert time.monotonic() - began < 1


def test_it_is_told_where_a_statement_would_go(site):
    site.primary.sql("CREATE TABLE goods (id int)")
    site.primary.sql("CREATE DATABASE elsewhere")
    site.primary.sql("CREATE FUNCTION f() RETURNS int LANGUAGE sql VOLATILE AS 'SELECT 1'", database="elsewhere")
    site.replica.wait_caught_up()
    viewer = site.rest.with_token("look")

    def way(statement: str, **more) -> dict:
        return viewer.post("/api/v1/routes/explain", {"statement": statement} | more)
    read = way("SELECT * FROM goods")
    assert (read["verdict"], read["user"], read["database"]) == ("reads", "pgbalancer", "postgres") and read["reason"], read
    write = way("DELETE FROM goods")
    assert (write["node"], write["role"], write["verdict"]) == ("primary", "primary", "writes"), write
    assert site.primary.sql("SELECT count(*) FROM goods") == [(0,)]
    # It is the named database's catalogue that counts.
    wait_until(lambda: way("SELECT f()", database="elsewhere")["verdict"] != "reads", 10, "its function may write")
    # Nothing of several statements is run either, nor of what is none.
    assert way("SELECT 1; DROP TABLE goods")["node"] == "primary"
    assert site.primary.sql("SELECT count(*) FROM goods") == [(0,)]
    assert way("no statement at all")["verdict"] == "not understood"
    assert way("SELECT '" + "x" * 8183 + "'")["verdict"] == "reads"
    for body in ({"statement": "SELECT '" + "x" * 8184 + "'"}, {"statement": ""}, {"statement": 1}, {}, [], {"statement": "a", "more": 1},
                 {"statement": "SELECT 1", "database": 1}, b"{" * 100):
        viewer.post("/api/v1/routes/explain", body, expect=400)
    assert "nowhere" in viewer.post("/api/v1/routes/explain", {"statement": "SELECT 1", "database": "nowhere"}, expect=409)["detail"]
    # On this machine one may look without a token; a page from elsewhere may not.
    unnamed = site.rest.with_token(None)
    unnamed.post("/api/v1/routes/explain", {"statement": "SELECT 1"})
    unnamed.post("/api/v1/routes/explain", {"statement": "SELECT 1"}, headers={"Host": "evil.example"}, expect=401)
    unnamed.post("/api/v1/routes/explain", {"statement": "SELECT 1"}, headers={"Sec-Fetch-Site": "cross-site"}, expect=403)


def part(text) -> str:
    data = text if isinstance(text, bytes) else json.dumps(text).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def test_forged_tokens_are_refused(site):
    good = site.log_in("watcher", "watcher pass")["token"]
    header, payload, signature = good.split(".")
    more = part({"iss": "pgbalancer", "sub": "boss", "role": "operator", "iat": 0, "exp": 4102444800})
    guessed = part(hmac.new(b"secret", f"{header}.{more}".encode(), "sha256").digest())
    forged = [f"{header}.{more}.{signature}", f"{header}.{more}.", f"{header}.{more}.{guessed}", f"{part({'alg': 'none'})}.{more}.",
              f"{part({'alg': 'none'})}.{payload}.{signature}", f"{part({'alg': 'RS256', 'typ': 'JWT'})}.{payload}.{signature}",
              f"{header}.{payload}", f".{payload}.{signature}", good + "A", good[:-1], "", "a.b.c", "." * 5000]
    for token in forged:
        answer = exchange(site.balancer.rest, "GET", "/api/v1/nodes", {"Authorization": f"Bearer {token}"})
        assert answer.status == 401, (token, str(answer))
    site.rest.with_token(good).get("/api/v1/nodes")


def test_logins_that_fail_have_to_wait(site):
    wrong = [("boss", "wrong"), ("other", "other pass"), ("nobody", "x"), ("chief", ""), ("chief", "chief pass ")]
    seen = []
    for user, password in wrong * 3:
        answer = site.rest.with_token(None).ask("POST", "/api/v1/auth/login", {"username": user, "password": password}, expect=None)
        seen.append(answer.status)
        assert answer.status in (400, 401, 429) and (answer.status != 429 or int(answer.headers["retry-after"]) >= 1), answer
    assert 429 in seen and 200 not in seen, seen
    site.log_in("boss", "pcp pass", 429)
    site.rest.get("/api/v1/nodes")  # who has a token goes on
    wait_until(lambda: site.log_in("boss", "pcp pass", None).get("token"), 20, "a login is taken again", 1)
    assert site.rest.with_token(None).ask("POST", "/api/v1/auth/login", b"{" * 100, expect=400)


def test_on_this_machine_one_may_look_without_a_token(site):
    unnamed = site.rest.with_token(None)
    assert unnamed.get("/api/v1/nodes")["nodes"]
    unnamed.ask("POST", "/api/v1/nodes/1/detach", expect=401)
    for headers in ({"Host": "evil.example"}, {"Host": f"evil.example:{site.balancer.rest}"}, {"Origin": "http://evil.example"}):
        unnamed.ask("GET", "/api/v1/nodes", headers=headers, expect=401)
    unnamed.ask("GET", "/api/v1/nodes", headers={"Host": f"localhost:{site.balancer.rest}"})
    site.balancer.config["rest_local_reads"] = False
    site.balancer.restart()
    unnamed.ask("GET", "/api/v1/nodes", expect=401)
    unnamed.ask("GET", "/primary")
    site.balancer.config["rest_local_reads"] = True
    site.balancer.config["rest_address"] = "0.0.0.0"
    site.balancer.restart()
    unnamed.ask("GET", "/api/v1/nodes", expect=401)
    site.balancer.config["rest_address"] = "127.0.0.1"
    site.balancer.restart()


def test_probes_say_it_with_their_status(site):
    wait_until(lambda: site.rest.get("/replica", None)["ok"], 20, "the replica is found")
    unnamed = site.rest.with_token(None)
    for path in ("/primary", "/leader", "/read-write", "/replica", "/replica?lag=10MB", "/read-only", "/health", "/healthz", "/readyz",
                 "/liveness", "/readiness", "/primary?node=primary", "/replica?node=replica1&lag=1GB"):
        for method in ("GET", "HEAD", "OPTIONS"):
            unnamed.ask(method, path)
    for path in ("/primary?node=replica1", "/replica?node=primary"):
        unnamed.get(path, 503)
    unnamed.get("/replica?lag=soon", 400)
    assert "arguments: node, lag" in unnamed.get("/replica?log=1MB", 400)["detail"]
    unnamed.get("/primary?node=nine", 404)
    site.replica.set(recovery_min_apply_delay="1h")
    try:
        site.primary.sql("SELECT txid_current()")  # what comes after it waits behind it
        site.primary.sql("SELECT pg_logical_emit_message(true, 'test', repeat('x', 100000))")
        wait_until(lambda: site.rest.get("/replica?lag=16kB", None)["ok"] is False, 10, "it is known to be behind")
        unnamed.get("/replica?lag=1GB")
    finally:
        site.replica.set(recovery_min_apply_delay=None)
    wait_until(lambda: site.rest.get("/replica?lag=16kB", None)["ok"], 20, "it has caught up")


@pytest.mark.skipif(not shutil.which("haproxy"), reason="HAProxy is not installed (package haproxy)")
def test_haproxy_sends_clients_to_who_is_fit(site, tmp_path):
    ports = [free_block(1), free_block(1)]
    text = "global\n  maxconn 100\ndefaults\n  mode tcp\n  timeout connect 2s\n  timeout client 30s\n  timeout server 30s\n  timeout check 2s\n"
    for name, port, path in (("primary", ports[0], "/primary?"), ("replicas", ports[1], "/replica?lag=10MB&")):
        for server in (site.primary, site.replica):
            text += (f"backend {name}_{server.name}\n  option httpchk OPTIONS {path}node={server.name}\n  http-check expect status 200\n"
                     f"  server {server.name} 127.0.0.1:{server.port} check port {site.balancer.rest} inter 200ms fall 2 rise 1\n")
        text += f"frontend {name}\n  bind 127.0.0.1:{port}\n"
        for server in (site.primary, site.replica):
            text += f"  use_backend {name}_{server.name} if {{ nbsrv({name}_{server.name}) gt 0 }}\n"
    config = tmp_path / "haproxy.cfg"
    config.write_text(text)

    def in_recovery(port: int) -> bool:
        with contextlib.closing(psycopg2.connect(host="127.0.0.1", port=port, user="shop", password="shop", dbname="postgres",
                                                 connect_timeout=3)) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT pg_is_in_recovery()")
            return cursor.fetchone()[0]

    with open(tmp_path / "log", "w", encoding="utf-8") as log:
        haproxy = subprocess.Popen(["haproxy", "-db", "-f", config], stdout=log, stderr=log)
    try:
        wait_until(lambda: in_recovery(ports[0]) is False, 20, "the primary's port leads to the primary")
        wait_until(lambda: in_recovery(ports[1]) is True, 20, "the replicas' port leads to the replica")
        site.rest.post("/api/v1/nodes/replica1/detach")

        def refused() -> bool:
            try:
                in_recovery(ports[1])
            except psycopg2.OperationalError:
                return True
            return False
        wait_until(refused, 10, "a detached replica gets nobody any more")
        site.rest.post("/api/v1/nodes/replica1/attach")
        wait_until(lambda: in_recovery(ports[1]) is True, 10, "it is back")
    finally:
        haproxy.terminate()
        haproxy.wait(10)


def test_over_tls_and_with_a_new_certificate_after_a_reload(site):
    certificates = Certificates(site.balancer.folder)
    for name in ("old", "new"):
        certificates.authority(name)
        certificates.sign(f"{name}-lb", name)

    def ask(authority: str) -> int:
        trust = ssl.create_default_context(cafile=certificates.crt(authority))
        request = urllib.request.Request(f"https://localhost:{site.balancer.rest}/api/v1/nodes",
                                         headers={"Authorization": f"Bearer {site.balancer.token}"})
        with urllib.request.urlopen(request, timeout=10, context=trust) as answer:
            return len(json.load(answer)["nodes"])

    before = dict(site.balancer.config)
    site.balancer.stop()
    site.balancer.config |= {"rest_tls": True, "tls_cert_file": certificates.crt("old-lb"), "tls_key_file": certificates.key("old-lb")}
    site.balancer.process = site.balancer.spawn()
    try:
        wait_until(lambda: ask("old") == 2, 20, "it answers over TLS")
        with pytest.raises((OSError, http.client.HTTPException)):
            exchange(site.balancer.rest, "GET", "/healthz", limit=5)
        with pytest.raises(urllib.error.URLError):
            ask("new")
        site.balancer.config |= {"tls_cert_file": certificates.crt("new-lb"), "tls_key_file": certificates.key("new-lb")}
        site.balancer.write()
        site.balancer.process.send_signal(signal.SIGHUP)
        wait_until(lambda: ask("new") == 2, 10, "it shows the new certificate")
    finally:
        site.balancer.stop()
        site.balancer.config = before
        site.balancer.start()


def test_the_balancer_is_stopped(site):
    site.rest.post("/api/v1/control/stop?mode=fast")
    assert site.balancer.process.wait(10) == 0
    site.balancer.start()


def test_the_documentation_names_every_route(site):
    text = (pathlib.Path(__file__).resolve().parents[2] / "docs" / "rest.md").read_text(encoding="utf-8")
    assert not [path for _, path in site.rest.routes() if f"`{path}`" not in text and f"`{path}?" not in text]

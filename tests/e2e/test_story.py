"""The main job on both runtimes: one file in, a replicating cluster behind a balancer out, changed while
it runs, and gone without a trace."""
import contextlib
import json
import pathlib
import re
import shutil
import subprocess
import urllib.parse
import urllib.request

import psycopg2
import pytest

from harness.rest import Rest
from harness.waiting import wait_until

ROWS = {"users": 3, "orders": 3}
TIMELINE = """SELECT CASE WHEN pg_is_in_recovery() THEN (SELECT received_tli FROM pg_stat_wal_receiver)
              ELSE ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int END"""
SETTINGS = {"wal_level": "replica", "max_wal_senders": "10", "max_connections": "200"}


def every_server(cluster) -> list[str]:
    return [node["name"] for node in cluster.group()["nodes"]]


def replicas(cluster) -> list[str]:
    return [node["name"] for node in cluster.group()["nodes"] if node["role"] == "replica"]


def check_sample_data(cluster, node: str) -> None:
    for table, rows in ROWS.items():
        cluster.wait_value(f"SELECT count(*) FROM {table}", rows, node)


# --- init

def test_init_ends_by_telling_how_to_connect(standing):
    port = standing.balancer()["port"]
    assert f"127.0.0.1:{port}/testdb" in standing.first_init.out, standing.first_init
    assert "url --show-password" in standing.first_init.out, standing.first_init


def test_init_tells_its_steps_on_stderr(standing):
    for unit in ["lb1", *standing.hosts()]:
        assert re.search(rf"^{unit}: ok\b", standing.first_init.err, re.M), standing.first_init


def test_a_second_init_has_nothing_to_do(standing):
    before = {node: standing.postgres_pids(node)[0] for node in standing.hosts()}
    assert "Nothing to do" in standing.run("--init").out
    assert {node: standing.postgres_pids(node)[0] for node in standing.hosts()} == before, "servers were restarted"


# --- operating the balancer

def test_the_superuser_sees_the_console_and_speaks_pcp(standing):
    url = urllib.parse.urlsplit(standing.url())
    console = urllib.parse.urlunsplit(url._replace(path="/pgbalancer"))
    with contextlib.closing(psycopg2.connect(console, connect_timeout=10)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute("SHOW NODES")
        assert [(row[0], row[3]) for row in cursor.fetchall()] == \
            [(name, "replica" if number else "primary") for number, name in enumerate(standing.hosts())]
    if not shutil.which("pcp_node_count", path="/usr/sbin:/usr/bin"):
        pytest.skip("pgpool-II's clients are not installed (package pgpool2)")
    passes = standing.folder / "pcppass"
    passes.touch(0o600)
    passes.write_text(f"*:*:{url.username}:{standing.password()}\n")
    done = subprocess.run(["/usr/sbin/pcp_node_count", "-h", "127.0.0.1", "-p", str(standing.balancer()["pcp_port"]), "-U", url.username,
                           "-w"], env={"PCPPASSFILE": str(passes)}, capture_output=True, text=True, timeout=30, check=False)
    assert done.stdout.strip() == str(len(standing.hosts())), done


# --- status

def test_status_says_what_the_file_asked_for_and_the_servers_do(standing):
    document = standing.status()
    wanted = standing.balancer()
    assert document["state"] == "healthy"
    assert standing.runtime in document["runtime"]
    group = standing.group(document=document)
    assert group["port"] == wanted["port"]
    assert group["query"]["ok"] and group["query"]["error"] == ""
    assert [(n["name"], n["role"], n["state"], n["port"]) for n in group["nodes"]] == \
        [("primary1", "primary", "accepting", wanted["primary"]["port"])] + \
        [(r["host"], "replica", "streaming", r["port"]) for r in wanted["replicas"]]
    assert [n["node_id"] for n in group["nodes"]] == [0, 1, 2]


def test_status_agrees_with_what_each_server_says_itself(standing):
    for node in standing.group()["nodes"]:
        name = node["name"]
        assert standing.value("SELECT pg_is_in_recovery()", name) == (node["role"] == "replica")
        assert standing.value("SHOW server_version", name).split()[0] == node["version"]
        assert standing.value(TIMELINE, name) == node["timeline"]
        assert 0 <= node["uptime_s"] < 3600 and 0 <= node["age_s"] < 5, node
        assert re.fullmatch(r"[0-9A-F]+/[0-9A-F]+", node["flush_lsn"]), node


def test_status_knows_the_lag_and_the_slot_of_each_replica(standing):
    slots = dict(standing.query("SELECT slot_name, active FROM pg_replication_slots", "primary1"))
    for node in standing.group()["nodes"][1:]:
        assert isinstance(node["lag_bytes"], int) and isinstance(node["lag_ms"], (int, float)), node
        assert slots.get(node["slot"]) is True, f"{node['slot']} is not an active slot: {slots}"


def test_status_text_tells_the_same_as_its_json(standing):
    text = standing.run("--status").out
    document = standing.status()
    assert standing.name in text and document["state"] in text
    for balancer in document["balancers"]:
        assert f"127.0.0.1:{balancer['port']}" in text
        for node in balancer["nodes"]:
            row = next((line for line in text.splitlines() if line.split()[:1] == [node["name"]]), "")
            assert node["role"] in row and node["state"] in row, f"{node['name']} in:\n{text}"


def test_status_writes_nothing_to_its_records(standing):
    def look():
        return {path.name: (path.stat().st_mtime_ns, path.read_bytes())
                for path in (standing.state_dir / standing.name).iterdir() if path.is_file()}
    before = look()
    standing.run("status")
    assert look() == before


# --- using it

def test_through_the_balancer_one_reaches_the_primary(standing):
    dsn = psycopg2.extensions.parse_dsn(standing.url())
    assert int(dsn["port"]) == standing.balancer()["port"]
    assert standing.value("SELECT pg_is_in_recovery()") is False


def test_each_server_answers_at_its_own_port(standing):
    for number, name in enumerate(standing.hosts()):
        dsn = psycopg2.extensions.parse_dsn(standing.url("--direct", name))
        group = standing.balancer()
        assert int(dsn["port"]) == [group["primary"], *group["replicas"]][number]["port"]
        assert standing.value("SHOW cluster_name", name) == name


def test_the_sample_data_is_on_every_server(standing):
    for name in every_server(standing):
        check_sample_data(standing, name)


def test_every_server_has_the_settings_that_replication_wants(standing):
    for name in every_server(standing):
        assert {key: standing.value(f"SHOW {key}", name) for key in SETTINGS} == SETTINGS


def test_a_row_written_through_the_balancer_can_be_read_on_every_replica(standing):
    name = standing.value("INSERT INTO users (name, email) VALUES ('Dora', 'dora@example.com') RETURNING name")
    try:
        for replica in replicas(standing):
            standing.wait_value("SELECT name FROM users WHERE email = 'dora@example.com'", name, replica)
    finally:
        standing.query("DELETE FROM users WHERE email = 'dora@example.com'")


def test_a_replica_refuses_a_write(standing):
    for replica in replicas(standing):
        with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction):
            standing.query("INSERT INTO users (name, email) VALUES ('Eve', 'eve@example.com')", replica)


def test_a_wrong_password_is_refused_by_servers_and_balancer(standing):
    for options in ([], ["--direct", "primary1"], ["--direct", "replica1"]):
        dsn = psycopg2.extensions.parse_dsn(standing.url(*options))
        dsn["password"] = "wrong"
        with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
            psycopg2.connect(**dsn, connect_timeout=5)


def test_only_scram_opens_a_server_and_only_the_replication_role_may_stream(standing):
    rules = standing.query("SELECT type, database, user_name, auth_method FROM pg_hba_file_rules", "primary1")
    assert rules
    for kind, databases, users, method in rules:
        assert method in ("scram-sha-256", "reject"), (kind, databases, users, method)
        if "replication" in databases and method != "reject":
            assert users == ["replicator"], (kind, databases, users, method)


def test_url_shows_no_password_unless_asked(standing):
    assert "password" not in psycopg2.extensions.parse_dsn(standing.run("url").out.strip())


def test_libpq_connects_with_the_service_file_that_url_prints(standing):
    done = standing.run("url", "--format", "service", "--show-password", may_show_secrets=True)
    file = standing.folder / "pg_service.conf"
    file.write_text(done.out)
    script = ("import psycopg2, sys; q = psycopg2.connect('service=' + sys.argv[1]).cursor();"
              " q.execute('SELECT count(*) FROM orders'); print(q.fetchone()[0])")
    child = subprocess.run(["/usr/bin/python3", "-c", script, standing.name], env={"PGSERVICEFILE": str(file)},
                           capture_output=True, text=True, check=False)
    assert child.stdout.strip() == "3", child.stderr
    text = standing.run("url", "--format", "npgsql").out
    assert f"Port={standing.balancer()['port']};Database=\"testdb\"" in text and "Password" not in text


def test_psql_runs_through_the_balancer(standing):
    done = standing.run("psql", "--", "-Atc", "SELECT count(*) FROM orders")
    assert done.out.strip() == "3", done


# --- growing and shrinking

@pytest.fixture(scope="module")
def grown(standing):
    """The cluster with two more replicas."""
    before = standing.file.read_bytes()
    old = every_server(standing)
    done = standing.run("--add-replica", "--balancer", "lb1", "--count", "2")
    assert standing.file.read_bytes() == before, "the file was changed without --save"
    standing.added = [name for name in every_server(standing) if name not in old]
    assert len(standing.added) == 2, done
    return standing


def test_added_replicas_get_ids_addresses_and_ports_of_their_own(grown):
    nodes = grown.group()["nodes"]
    assert [n["node_id"] for n in nodes] == [0, 1, 2, 3, 4]
    assert len({n["port"] for n in nodes}) == len(nodes)
    assert len({n["name"] for n in nodes}) == len(nodes)
    if grown.runtime == "docker":
        def address(name):
            networks = grown.docker.inspect(grown.container(name))["NetworkSettings"]["Networks"]
            return networks[f"{grown.name}_net"]["IPAddress"]
        assert len({address(n["name"]) for n in nodes}) == len(nodes)


def test_added_replicas_stream_and_have_the_data(grown):
    document = grown.status()
    assert document["state"] == "healthy"
    for name in grown.added:
        assert grown.node(name, document)["state"] == "streaming"
        check_sample_data(grown, name)


def test_init_keeps_added_replicas(grown):
    assert "Nothing to do" in grown.run("init").out
    assert set(grown.added) <= set(every_server(grown))


def test_a_removed_replica_is_gone_with_its_slot_and_data(grown):
    third = next(n for n in grown.group()["nodes"] if n["node_id"] == 3)
    grown.run("--remove-replica", "--balancer", "lb1", "--node", "3")
    assert third["name"] not in every_server(grown)
    slots = [row[0] for row in grown.query("SELECT slot_name FROM pg_replication_slots", "primary1")]
    assert third["slot"] not in slots
    if grown.runtime == "docker":
        assert not [thing for thing in grown.left() if third["name"] in thing]
    else:
        assert not (grown.state_dir / grown.name / "units" / third["name"]).exists()
    grown.wait_healthy()


def test_the_primary_cannot_be_removed(grown):
    done = grown.run("remove-replica", "--balancer", "lb1", "--node", "0", expect=6)
    assert "PGB-IS-PRIMARY" in done.err
    grown.wait_healthy()


def test_what_does_not_exist_cannot_be_removed_or_grown(grown):
    assert "PGB-NO-NODE" in grown.run("remove-replica", "--balancer", "lb1", "--node", "99", expect=5).err
    assert "PGB-NO-BALANCER" in grown.run("add-replica", "--balancer", "lb9", expect=5).err


# --- stopping and starting

def test_data_outlives_a_stop_and_a_start(standing):
    standing.query("CREATE TABLE kept AS SELECT generate_series(1, 1000) AS n")
    standing.run("stop")
    document = standing.status()
    assert document["state"] == "no_primary"
    assert {node["state"] for b in document["balancers"] for node in b["nodes"]} == {"stopped"}
    assert not standing.group(document=document)["query"]["ok"]
    standing.run("stop")  # twice is no error
    standing.run("start")
    standing.wait_healthy()
    for name in every_server(standing):
        standing.wait_value("SELECT count(*) FROM kept", 1000, name)
    standing.query("DROP TABLE kept")


def test_one_server_can_be_stopped_and_started_by_name(standing):
    standing.run("stop", "replica1")
    document = standing.status()
    assert document["state"] == "degraded"
    assert standing.node("replica1", document)["state"] == "stopped"
    assert standing.node("replica2", document)["state"] == "streaming"
    standing.run("start", "replica1")
    standing.wait_healthy()


def test_restart_keeps_the_cluster_whole(standing):
    before = standing.postgres_pids("replica2")[0]
    standing.run("restart", "replica2")
    standing.wait_healthy()
    assert standing.postgres_pids("replica2")[0] != before


# --- looking at it

def test_logs_are_the_servers_own(standing):
    assert "database system is ready to accept" in standing.run("logs", "primary1").out


def test_list_knows_the_cluster_without_a_file(standing):
    assert standing.name in standing.manager.run("list").out


def test_events_tell_what_was_done(standing):
    assert "init" in standing.run("events").out


def test_env_can_be_read_by_a_shell(standing):
    lines = standing.run("env").out.splitlines()
    assert any(re.fullmatch(rf"(export )?PGPORT='?{standing.balancer()['port']}'?", line) for line in lines), lines


def test_who_may_only_look_finds_the_page_and_a_token(standing):
    address = standing.run("open").out.strip()
    told = dict(line.split("=", 1) for line in standing.run("env", "--show-password", may_show_secrets=True).out.splitlines())
    assert told["PGBALANCER_REST_URL"] == address
    with urllib.request.urlopen(address, timeout=10) as page:
        assert b"<html" in page.read()
    rest = Rest(int(address.rstrip("/").rpartition(":")[2]), told["PGBALANCER_STATS_TOKEN"])
    assert rest.get("/api/v1/status")["nodes"]
    rest.ask("POST", "/api/v1/control/pause", expect=403)
    assert "PGBALANCER_STATS_TOKEN" not in standing.run("env").out


@pytest.mark.runtimes("process")
def test_what_a_users_shell_says_of_another_server_reaches_nothing(fresh):
    fresh.manager.env |= {"PGPASSWORD": "of another server", "PGHOST": "192.0.2.1", "PGSSLMODE": "verify-full"}
    fresh.init()
    assert fresh.run("psql", "--", "-XAtc", "SELECT 1").out.strip() == "1"
    for unit in fresh.hosts():
        for pid in fresh.pids(unit):
            assert b"of another server" not in pathlib.Path(f"/proc/{pid}/environ").read_bytes(), (unit, pid)


# --- the end

def test_destroy_leaves_nothing(fresh):
    fresh.init()
    done = fresh.run("destroy", expect=6)
    assert "--yes" in done.err, "the verb wants --yes where nobody can be asked"
    assert fresh.status()["state"] == "healthy", "a refused destroy changed something"
    fresh.run("--destroy")
    assert not fresh.left()
    assert "Nothing of cluster" in fresh.run("--destroy").out
    assert fresh.status()["state"] == "not_created"


def test_keep_data_brings_the_same_data_back(fresh):
    fresh.init()
    fresh.query("CREATE TABLE kept AS SELECT 42 AS n")
    fresh.run("destroy", "--yes", "--keep-data")
    fresh.init()
    assert fresh.value("SELECT n FROM kept", "primary1") == 42
    check_sample_data(fresh, "primary1")


def test_a_protected_cluster_cannot_be_destroyed(fresh):
    fresh.document["protect"] = True
    fresh.write()
    fresh.init()
    for command in (["--destroy"], ["destroy", "--yes"]):
        assert "PGB-PROTECTED" in fresh.run(*command, expect=6).err
    assert fresh.status()["state"] == "healthy"
    fresh.document["protect"] = False
    fresh.write()
    fresh.run("--destroy")
    assert not fresh.left()


def test_the_production_file_makes_two_balancers_with_servers_of_their_own(fresh_production):
    cluster = fresh_production
    cluster.init()
    document = cluster.status()
    assert document["state"] == "healthy"
    assert [len(b["nodes"]) for b in document["balancers"]] == [3, 2]
    for number, balancer in enumerate(("lb1", "lb2"), 1):
        cluster.query(f"CREATE TABLE of_group AS SELECT {number} AS n", balancer=balancer)
    for number, balancer in enumerate(("lb1", "lb2"), 1):
        for name in cluster.hosts(balancer):
            cluster.wait_value("SELECT n FROM of_group", number, name)
    assert "Nothing to do" in cluster.run("init").out
    cluster.run("--destroy")
    assert not cluster.left()


def test_init_events_can_be_read_by_a_program(fresh):
    events = [json.loads(line) for line in fresh.run("init", "--json").out.splitlines()]
    assert events[-1]["event"] == "result" and events[-1]["ok"] is True, events[-1]
    units = {event["id"] for event in events if event["event"] == "step" and event["state"] == "ok"}
    assert {"lb1", *fresh.hosts()} <= units
    wait_until(lambda: fresh.status()["state"] == "healthy", 5, "healthy right after init")

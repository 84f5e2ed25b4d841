"""Options of the verbs that a cluster has to stand for, or that decide how it is made."""
import json
import os
import signal
import socket
import subprocess

import psycopg2
import pytest

from harness.registry import PASSWORD, USER, Registry, Unavailable, program
from harness.waiting import wait_until


@pytest.fixture
def listener():
    """listener(port): somebody else listens there until the test is over."""
    sockets = []

    def listen(port: int) -> None:
        sockets.append(socket.socket())
        sockets[-1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sockets[-1].bind(("127.0.0.1", port))
        sockets[-1].listen()

    yield listen
    for one in sockets:
        one.close()


# --- ports

def test_taken_ports_are_named_with_line_and_holder_and_replaced_on_request(fresh, listener):
    group = fresh.balancer()
    taken = [group["primary"]["port"], group["rest_api_port"]]
    for port in taken:
        listener(port)
    done = fresh.run("init", expect=4)
    assert "2 ports are taken" in done.err and "help ports" in done.err, done
    assert "needed by balancers[0].primary.port, " + str(fresh.file) + ":" in done.err, done
    assert done.err.count(f"pid {os.getpid()}") == 2 and "--set-free-ports" in done.err, done
    plan = fresh.run("plan", "--set-free-ports").out
    assert plan.count("set balancers[0].") == 2, plan
    assert json.loads(fresh.file.read_text()) == fresh.document, "a plan has changed the file"
    assert not fresh.left()

    done = fresh.run("init", "--set-free-ports")
    assert done.out.count("somebody else holds") == 2, done
    now = json.loads(fresh.file.read_text())
    ports = [now["balancers"][0]["primary"]["port"], now["balancers"][0]["rest_api_port"]]
    for port in ports:
        assert port not in taken
    now["balancers"][0]["primary"]["port"], now["balancers"][0]["rest_api_port"] = taken
    assert now == fresh.document, "more than the ports was changed"
    fresh.learn_secrets()
    fresh.wait_healthy()
    assert fresh.node("primary1")["port"] == ports[0]
    assert fresh.value("SELECT count(*) FROM users") == 3
    assert "Nothing to do" in fresh.run("init", "--set-free-ports").out


def test_free_ports_cannot_be_written_to_standard_input(make_sandbox):
    with make_sandbox("process") as cluster:
        done = cluster.manager.run("init", "--config", "-", "--set-free-ports", expect=2, stdin=cluster.file.read_text())
        assert "standard input" in done.err


# --- growing and shrinking

def test_a_dry_run_adds_and_removes_nothing_and_taken_ports_are_passed_over(fresh, listener):
    fresh.init()
    last = fresh.balancer()["replicas"][-1]["port"]
    listener(last + 1)
    listener(last + 3)
    before = fresh.status()
    planned = fresh.run("add-replica", "--count", "2", "-n").out.splitlines()
    assert planned == [f"add replica3, id 3, port {last + 2}", f"add replica4, id 4, port {last + 4}"]
    assert fresh.run("remove-replica", "--node", "1", "--dry-run").out == "remove replica1 with its data and slot\n"
    assert json.loads(fresh.run("remove-replica", "--node", "replica2", "-n", "--json").out)["steps"]
    assert "PGB-IS-PRIMARY" in fresh.run("remove-replica", "--node", "primary1", "-n", expect=6).err
    assert "PGB-NO-NODE" in fresh.run("remove-replica", "--node", "9", "-n", expect=5).err
    after = fresh.status()
    assert [n["name"] for n in after["balancers"][0]["nodes"]] == [n["name"] for n in before["balancers"][0]["nodes"]]

    fresh.run("add-replica", "--count", "2")
    assert [fresh.node(name)["port"] for name in ("replica3", "replica4")] == [last + 2, last + 4]
    fresh.wait_healthy()


def test_prune_removes_what_is_not_in_the_file_and_nothing_else(fresh):
    fresh.init()
    fresh.run("add-replica", "--count", "2")
    done = fresh.run("init")
    assert "replica3 was added later and is kept; init --prune removes it" in done.out, done
    assert fresh.run("plan", "--prune").out.splitlines() == ["remove replica3 with its data", "remove replica4 with its data"]
    fresh.run("plan", "--prune", "--exit-code", expect=20)
    assert fresh.wait_healthy()["balancers"][0]["nodes"][-1]["name"] == "replica4"

    done = fresh.run("init", "--prune")
    assert done.out.count("is removed with its data and slot") == 2, done
    fresh.wait_healthy()
    assert [n["name"] for n in fresh.group()["nodes"]] == ["primary1", "replica1", "replica2"]
    slots = fresh.query("SELECT slot_name FROM pg_replication_slots ORDER BY 1", "primary1")
    assert slots == [("replica1",), ("replica2",)]
    assert not fresh.pids("replica3") if fresh.runtime == "process" else True
    assert "Nothing to do" in fresh.run("init", "--prune").out
    assert fresh.value("SELECT count(*) FROM users") == 3


# --- logs

def test_logs_are_followed_and_begin_where_they_are_asked_to(standing):
    everything = standing.run("logs", "primary1", "--since", "1d").out
    assert "database system is ready to accept connections" in everything
    standing.value("SELECT 1", "primary1")
    assert standing.run("logs", "primary1", "--since", "2100-01-01").out == ""
    assert "is no time" in standing.run("logs", "primary1", "--since", "soon", expect=2).err

    with standing.manager.popen("logs", "primary1", "--config", standing.file, "--follow", "--lines", "1") as follower:
        try:
            marker = f"marker_{os.getpid()}"
            assert follower.stdout.readline(), "the last line is shown at once"
            with pytest.raises(psycopg2.Error):
                standing.query(f"SELECT * FROM {marker}", "primary1")
            os.set_blocking(follower.stdout.fileno(), False)
            seen = []

            def told():
                seen.append(follower.stdout.read() or "")
                return marker in "".join(seen)
            wait_until(told, 10, "the new line is shown")
            assert "".join(seen).count(f'relation "{marker}" does not exist') == 1
        finally:
            follower.send_signal(signal.SIGINT)
        assert follower.wait(10) == 130
    assert marker in standing.run("logs", "primary1", "--since", "1m").out


# --- how to connect

def psql(cluster, url: str, sql: str, expect: int = 0) -> str:
    done = subprocess.run(["psql", "-XAtq", url, "-c", sql], capture_output=True, text=True, check=False, timeout=20,
                          env=cluster.manager.env | {"PGPASSWORD": cluster.password()})
    assert done.returncode == expect, done.stderr
    return (done.stdout if expect == 0 else done.stderr).strip()


def test_urls_of_all_servers_lead_to_one_of_the_wanted_role(standing):
    everyone = [str(node["port"]) for node in standing.group()["nodes"]]
    read_write = standing.run("url", "--direct").out.strip()
    assert all(port in read_write for port in everyone)
    # Whatever the order of the servers is.
    host, _, rest = read_write.partition("@")[2].partition("/")
    turned = read_write.replace(host, ",".join(reversed(host.split(","))))
    assert rest.startswith("testdb")
    for url in (read_write, turned):
        assert psql(standing, url, "SELECT pg_is_in_recovery()") == "f"
    read_only = standing.run("url", "--direct", "--role", "ro").out.strip()
    assert psql(standing, read_only, "SELECT pg_is_in_recovery()") == "t"
    assert "read-only transaction" in psql(standing, read_only, "CREATE TABLE no (n int)", expect=1)
    dsn = standing.run("url", "--direct", "--role", "rw", "--format", "dsn").out.strip()
    assert psql(standing, dsn, "SELECT pg_is_in_recovery()") == "f"
    assert "target_session_attrs" not in standing.run("url", "--direct", "--role", "any").out
    jdbc = standing.run("url", "--direct", "--format", "jdbc").out
    assert "targetServerType=primary" in jdbc and jdbc.count("127.0.0.1:") == 3
    assert "Target Session Attributes=prefer-standby" in standing.run("url", "--direct", "--role", "ro", "--format", "npgsql").out
    assert standing.run("env", "--direct", "--role", "ro").out.count("\n") == 6
    lines = standing.run("url", "--direct", "--format", "pgpass", "--show-password", may_show_secrets=True).out.split()
    assert len(lines) == 3
    assert "PGB-NO-NODE" in standing.run("url", "--direct", "nobody", expect=5).err


def test_a_read_only_url_through_the_balancer_reads_from_replicas_and_cannot_write(standing):
    url = standing.run("url", "--role", "ro").out.strip()
    assert psql(standing, url, "SHOW default_transaction_read_only") == "on"
    assert psql(standing, url, "SELECT count(*) FROM users") == "3"
    assert "read-only transaction" in psql(standing, url, "CREATE TABLE no (n int)", expect=1)
    assert standing.run("psql", "--role", "ro", "--", "-Atc", "SHOW default_transaction_read_only").out == "on\n"


def test_a_url_for_writes_is_not_given_out_when_no_server_takes_them(fresh):
    fresh.init()
    fresh.run("pause")  # else another one would take them
    fresh.run("stop", "primary1")
    assert "takes writes" in fresh.run("url", "--direct", expect=None).err
    assert "prefer-standby" in fresh.run("url", "--direct", "--role", "ro").out


# --- doubts

def test_strict_refuses_what_is_only_warned_of_otherwise(make_sandbox):
    with make_sandbox("process") as cluster:
        assert cluster.run("validate", "--strict").err == ""
        cluster.document["postgres"]["parameters"] = {"fsync": "off"}
        cluster.document["postgres"]["init_sql"] = ["init.sql", "gone.sql"]
        cluster.write()
        done = cluster.run("validate")
        assert done.err.count("warning: ") == 2 and "gone.sql" in done.err and str(cluster.file) + ":" in done.err, done
        assert len(cluster.run("validate", "--json").json()["warnings"]) == 2
        done = cluster.run("validate", "--strict", expect=3)
        assert "postgres.parameters.fsync" in done.err and "PGB-CONFIG" in done.err, done


@pytest.mark.parametrize("topic", ["ports", "runtimes", "images", "passwords", "state", "environment", "exit-codes", "errors"])
def test_topics_are_explained(make_sandbox, topic):
    with make_sandbox("process") as cluster:
        assert len(cluster.manager.run("help", topic).out.splitlines()) > 5
        assert topic in cluster.manager.run("help").out


# --- images

@pytest.mark.docker
def test_images_are_pulled_when_they_are_to_be(make_sandbox):
    with make_sandbox("docker") as cluster:
        cluster.document.setdefault("postgres", {})["image"] = "nowhere.invalid/postgres:17"
        cluster.write()
        done = cluster.run("init", "--pull", "never", expect=4)
        assert "--pull never forbids" in done.err and "changed   nothing" in done.err, done
        assert not cluster.left()
        cluster.docker.docker("tag", "postgres:17", "nowhere.invalid/postgres:17")
        try:
            done = cluster.run("init", "--pull", "always", expect=4)
            assert "cannot be pulled" in done.err and "init without --pull always" in done.err, done
            assert not cluster.left()
            cluster.run("init", "--pull", "never")
            assert cluster.wait_healthy()
        finally:
            cluster.run("--destroy")
            cluster.docker.docker("rmi", "nowhere.invalid/postgres:17")


def test_local_processes_use_no_images_and_say_so(make_sandbox):
    with make_sandbox("process") as cluster:
        assert "local processes use no images" in cluster.run("init", "--pull", "always").err


@pytest.fixture(params=["open", "with a login"])
def registry(request):
    try:
        program()
    except Unavailable as reason:
        pytest.skip(f"no registry: {reason}")
    with Registry(login=request.param == "with a login") as one:
        one.login = request.param == "with a login"
        yield one


@pytest.mark.docker
def test_an_image_is_pulled_from_a_registry_with_the_login_that_docker_keeps(make_sandbox, registry):
    image = f"{registry.name}/team/pg:17"
    with make_sandbox("docker") as cluster:
        config = cluster.folder / "docker-config"
        config.mkdir()
        docker = ["docker", "-H", cluster.docker.host, "--config", str(config)]
        if registry.login:
            subprocess.run([*docker, "login", "-u", USER, "--password-stdin", registry.name], input=PASSWORD, text=True,
                           check=True, capture_output=True, timeout=30)
        # Small and of our own: no server, but an image all the same.
        subprocess.run([*docker, "import", "-", image], input=b"\0" * 10240, check=True, capture_output=True, timeout=30)
        subprocess.run([*docker, "push", image], check=True, capture_output=True, timeout=60)
        subprocess.run([*docker, "rmi", image], check=True, capture_output=True, timeout=30)
        cluster.document.setdefault("postgres", {})["image"] = image
        cluster.write()
        cluster.manager.secrets = [PASSWORD]
        if registry.login:
            cluster.manager.env["DOCKER_CONFIG"] = str(cluster.folder / "nobody")
            done = cluster.run("init", expect=4)
            assert "PGB-IMAGE" in done.err and "nobody is logged in to " + registry.name in done.err, done
            assert not cluster.left()
        cluster.manager.env["DOCKER_CONFIG"] = str(config)
        done = cluster.run("-v", "init", expect=None, limit=60)
        try:
            assert "pulling image " + image in done.err, done
            # There is no server in it, and that is what init says: not that something takes long.
            assert done.code == 1 and "its program ended" in done.err and done.seconds < 30, done
            assert image in cluster.docker.docker("images", "--format", "{{.Repository}}:{{.Tag}}"), done
        finally:
            cluster.run("--destroy")
            cluster.docker.docker("rmi", image, check=False)

"""The command line itself: what needs no cluster."""
import json
import os
import socket
import subprocess

import pytest

from harness.manager import bin_dir

VERBS = ["new", "validate", "plan", "init", "status", "list", "destroy", "stop", "start", "restart", "logs",
         "add-replica", "remove-replica", "reinit", "switchover", "failover", "pause", "resume", "history", "why",
         "drill", "url", "psql", "env", "open", "doctor", "events", "completion", "help", "schema", "version"]


@pytest.fixture(scope="module")
def cluster(make_sandbox):
    with make_sandbox("process") as sandbox:
        yield sandbox


def test_without_arguments_it_shows_help(cluster):
    done = cluster.manager.run()
    for verb in VERBS:
        assert verb in done.out, f"{verb} is missing\n{done}"


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(cluster, verb):
    assert "Usage" in cluster.manager.run(verb, "--help").out


def test_a_mistyped_flag_is_corrected_and_exits_with_2(cluster):
    assert "--status" in cluster.manager.run("--stat", expect=2).err
    assert "init" in cluster.manager.run("int", expect=2).err


def test_two_actions_at_once_are_refused(cluster):
    cluster.run("--init", "--status", expect=2)
    assert not cluster.left()


def test_version_is_told(cluster):
    for arguments in (["version"], ["--version"]):
        assert "0.1.0" in cluster.manager.run(*arguments).out


def test_schema_is_json_and_knows_every_top_level_key(cluster):
    schema = cluster.manager.run("schema").json()
    assert {"cluster_name", "network", "runtime", "postgres", "balancers", "protect"} <= set(schema["properties"])


def test_new_writes_a_file_that_is_valid_and_never_overwrites_one(cluster):
    file = cluster.folder / "shop.json"
    cluster.manager.run("new", "shop", "--config", file)
    assert json.loads(file.read_text())["cluster_name"] == "shop"
    before = file.read_bytes()
    cluster.manager.run("validate", "--config", file)
    assert cluster.manager.run("new", "shop", "--config", file, expect=None).code != 0
    assert file.read_bytes() == before


def test_plan_tells_what_init_would_do_and_touches_nothing(cluster):
    done = cluster.run("plan")
    for unit in ["lb1", *cluster.hosts()]:
        assert unit in done.out
    assert "MB of disk" in done.out
    assert cluster.run("plan", "--exit-code", expect=20)
    assert not cluster.left()


def test_status_of_what_was_never_made(cluster):
    assert cluster.status()["state"] == "not_created"
    assert cluster.run("status", "--exit-code", expect=12)


def test_destroy_of_what_was_never_made_is_done_already(cluster):
    assert "Nothing of cluster" in cluster.run("destroy", "--yes").out


def test_what_was_never_made_has_no_url(cluster):
    assert "PGB-NO-CLUSTER" in cluster.run("url", expect=5).err


def test_doctor_finds_the_server_programs(cluster):
    assert "/bin" in cluster.manager.run("doctor", expect=None).out


def test_doctor_says_what_stands_in_the_way_of_this_file(cluster):
    checks = {one["what"]: one for one in cluster.run("doctor", "--json").json()["checks"]}
    assert checks["check"]["result"] == checks["file"]["result"] == "ok"
    assert {"engine", "postgres", "disk", "open files", "clock", "leftovers"} <= set(checks)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", cluster.balancer()["port"]))
        other.listen()
        done = cluster.run("doctor", expect=None)
        assert done.code == 4 and str(cluster.balancer()["port"]) in done.out and f"pid {os.getpid()}" in done.out, done


def test_doctor_finds_leftovers_without_a_record(make_sandbox):
    with make_sandbox("process") as cluster:
        cluster.init()
        record = cluster.state_dir / cluster.name / "cluster.json"
        record.rename(cluster.folder / "kept.json")
        assert f"{cluster.name} (process): parts of it stand" in cluster.run("doctor", expect=None).out
        (cluster.folder / "kept.json").rename(record)
        assert f"{cluster.name} (process)" not in cluster.run("doctor", expect=None).out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_the_verbs(cluster, shell):
    text = cluster.manager.run("completion", shell).out
    for verb in VERBS:
        assert verb in text


def test_the_bash_completion_is_bash(cluster):
    text = cluster.manager.run("completion", "bash").out
    subprocess.run(["bash", "-n"], input=text, text=True, check=True)


@pytest.mark.parametrize("program", ["pgbalancer", "pgbalancer_agent"])
def test_the_other_programs_tell_their_version(program):
    done = subprocess.run([bin_dir() / program, "--version"], capture_output=True, text=True, check=False, timeout=10)
    assert done.returncode == 0 and "0.1.0" in done.stdout


def test_a_dry_run_stops_nothing_and_one_node_is_judged_alone(cluster):
    cluster.init()
    try:
        units = ["lb1", *cluster.hosts()]
        assert cluster.run("stop", "-n").out.split("\n")[:-1] == [f"stop {unit}" for unit in sorted(units)]
        assert cluster.run("restart", "replica1", "--dry-run").out == "restart replica1\n"
        assert "Nothing to do" in cluster.run("start", "-n").out
        assert "PGB-NO-NODE" in cluster.run("stop", "-n", "nobody", expect=5).err
        assert "init finished in" in cluster.wait_healthy()["last_event"]["text"]
        assert "last  " in cluster.run("status").out
        cluster.run("stop", "replica2")
        assert "start replica2" in cluster.run("start", "-n").out
        document = cluster.run("status", "--node", "replica1", "--json", "--exit-code", expect=0).json()
        assert [n["name"] for b in document["balancers"] for n in b["nodes"]] == ["replica1"]
        assert document["notes"] == []
        text = cluster.run("status", "--node", "2", "--exit-code", expect=10).out
        rows = {line.split()[0] for line in text.splitlines() if line.startswith("  ")}
        assert "replica2" in rows and "replica1" not in rows, text  # whose name may stand in what commits wait for
        cluster.run("status", "--exit-code", expect=10)
        for more in ([], ["--watch"], ["--wait", "healthy"]):
            assert "PGB-NO-NODE" in cluster.run("status", "--node", "nobody", *more, expect=5).err
    finally:
        cluster.run("--destroy")

"""The verbs around failover, on one cluster whose agents choose the primary; each test leaves it healthy."""
import json
import os
import pathlib
import pty
import re
import signal

import pytest

from harness.store import Store
from harness.waiting import holds_for, wait_until


@pytest.fixture(scope="module")
def cluster(make_sandbox):
    with make_sandbox("process") as sandbox:
        sandbox.document["ha"] = {"failover": True}
        sandbox.write()
        sandbox.init()
        yield sandbox


@pytest.fixture(autouse=True)
def whole(cluster):
    cluster.wait_healthy()
    wait_until(lambda: len(why(cluster)["members"]) == 3 and synchronous(cluster), 30, "commits wait for one of two replicas")
    yield


def synchronous(cluster) -> bool:
    names = cluster.group()["durability"]
    return names.startswith("ANY 1") and all(name in names for name in replicas(cluster))


def primary(cluster) -> str:
    return next(n["name"] for n in cluster.group()["nodes"] if n["role"] == "primary" and n["state"] == "accepting")


def replicas(cluster) -> list[str]:
    return [name for name in cluster.hosts() if name != primary(cluster)]


def why(cluster, *arguments, **options) -> dict:
    return cluster.run("why", "--json", *arguments, **options).json()


def member_of(told: dict, name: str) -> dict:
    return next(member for member in told["members"] if member["node"] == name)


def published_lsn(cluster, name: str) -> int:
    """How far a server's WAL goes, by what its agent told the others last."""
    config = json.loads((unit_dir(cluster, "lb1") / "balancer.json").read_text())
    store = Store(config["store_port"], config["store_password"])
    store.log_in()
    [said] = store.get(f"/pgbalancer/{cluster.name}/lb1/members/{name}")
    return json.loads(said).get("flushed", 0)


def unit_dir(cluster, name: str) -> pathlib.Path:
    return cluster.state_dir / cluster.name / "units" / name


def data_dir(cluster, name: str) -> pathlib.Path:
    return next(path.parent for path in unit_dir(cluster, name).rglob("PG_VERSION") if "base" not in path.parts)


def mark(cluster, name: str) -> pathlib.Path:
    """A file in the data directory: in a new copy it is not there."""
    file = data_dir(cluster, name) / "mark_of_the_old_data"
    file.touch()
    return file


def agent_pid(cluster, name: str) -> int:
    return next(pid for pid, command in cluster.pids(name).items() if "pgbalancer_agent" in command.split(" ")[0])


def start_of(cluster, name: str) -> str:
    return str(cluster.value("SELECT pg_postmaster_start_time()", name))


def at_terminal(cluster, answer: str, *arguments) -> tuple[int, str]:
    """Runs a verb for somebody who sits at a terminal and answers what is asked."""
    ours, theirs = pty.openpty()
    try:
        program = cluster.manager.popen(arguments[0], "--config", cluster.file, *arguments[1:], stdin=theirs)
        os.write(ours, answer.encode() + b"\n")
        out, err = program.communicate(timeout=60)
        return program.returncode, out + err
    finally:
        os.close(ours)
        os.close(theirs)


# --- switchover

def test_a_dry_run_says_who_would_take_over_and_moves_nothing(cluster):
    old = primary(cluster)
    to = replicas(cluster)[-1]
    done = cluster.run("switchover", "--to", to, "--dry-run")
    assert f"{old} -> {to} (planned)" in done.out and "loss      none" in done.out and "B behind" in done.out, done
    plan = cluster.run("switchover", "--dry-run", "--json").json()
    assert plan["from"] == old and plan["to"] in replicas(cluster) and plan["lag_bytes"] >= 0
    assert primary(cluster) == old


def test_a_switchover_measures_the_pause_and_returns_when_all_is_whole(cluster):
    old, to = primary(cluster), replicas(cluster)[0]
    done = cluster.run("switchover", "--to", to, "--json").out.splitlines()
    change = json.loads(done[-1])
    assert change["event"] == "role" and (change["from"], change["to"]) == (old, to), change
    measured = change["measured"]
    assert 0.005 < measured["pause_s"] < 10 and measured["commits"] > 10, measured
    assert measured["errors"] == 0 and measured["lost"] == 0, measured
    assert change["trouble"] == "" and cluster.node(old)["state"] == "streaming"
    assert f"{old} -> {to}, writes paused" in cluster.run("events").out
    assert "as last time" in cluster.run("switchover", "--dry-run").out
    text = cluster.run("switchover", "--to", old).out
    assert f"{old} leads" in text and "Measured: writes paused" in text and " 0 of " in text, text


def test_the_other_replica_streams_from_the_next_primary_before_it_is_one(cluster):
    """Over the timeline that it has by then: it goes over to the new one with it."""
    seen = []
    for _ in range(4):
        old = primary(cluster)
        target, other = replicas(cluster)
        timeline = cluster.value("SELECT timeline_id FROM pg_control_checkpoint()", old)
        before = len(cluster.run("logs", other, "--since", "1d").out)
        cluster.run("switchover", "--to", target)
        cluster.wait_healthy()
        seen.append(re.findall(r"started streaming WAL from primary at \S+ on timeline (\d+)",
                               cluster.run("logs", other, "--since", "1d").out[before:]))
        if seen[-1][:1] == [str(timeline)]:
            return
        wait_until(lambda: synchronous(cluster), 30, "commits wait for one of two replicas")
    raise AssertionError(f"first on which timelines: {seen}")


def test_at_a_terminal_it_asks(cluster):
    old, to = primary(cluster), replicas(cluster)[0]
    code, text = at_terminal(cluster, "n", "switchover", "--to", to)
    assert code == 6 and f"{old} -> {to}" in text and "Go on? [y/N]" in text and "PGB-NEEDS-YES" in text, text
    assert primary(cluster) == old
    code, text = at_terminal(cluster, "y", "switchover", "--to", to)
    assert code == 0 and f"{to} leads" in text, text
    assert primary(cluster) == to


def test_nobody_of_that_name_and_nobody_who_can(cluster):
    old, away = primary(cluster), replicas(cluster)[0]
    for verb in (["switchover", "--to", "nobody"], ["failover", "--to", "nobody"], ["reinit", "nobody", "--yes"],
                 ["drill", "kill", "nobody", "--yes"], ["why", "nobody"]):
        assert "PGB-NO-NODE" in cluster.run(*verb, expect=5).err
    for verb in ("switchover", "pause", "resume"):
        assert "PGB-NO-BALANCER" in cluster.run(verb, "--balancer", "lb9", expect=5).err
    assert "leads" in cluster.run("switchover", "--to", old).out
    cluster.run("stop", away)
    refused = cluster.run("switchover", "--to", away, expect=1)
    assert away in refused.err and "nothing" in refused.err
    cluster.run("start", away)
    assert primary(cluster) == old


def test_a_server_that_is_started_without_its_store_says_so(cluster):
    node = replicas(cluster)[0]
    cluster.run("stop", node)
    cluster.run("stop", "lb1")
    try:
        started = cluster.run("start", node, limit=60)
        assert "lease store" in started.err and "start lb1, too" in started.err, started
        for verb in ("history", "pause", "switchover"):
            refused = cluster.run(verb, expect=None)
            assert refused.code != 0 and "lb1 does not run" in refused.err and "start lb1" in refused.err, refused
    finally:
        cluster.run("start", limit=150)


# --- pause

def test_a_pause_is_loud_and_outlives_the_agents(cluster):
    old, other = primary(cluster), replicas(cluster)[0]
    assert cluster.run("pause", "--dry-run").out == "pause lb1\n"
    assert cluster.group()["paused"] is False
    assert "is paused" in cluster.run("pause").out
    try:
        assert "already" in cluster.run("pause").out
        document = cluster.status()
        since = cluster.group(document=document)["paused"]["since"]
        assert document["state"] == "degraded" and any("PAUSED since " + since in note for note in document["notes"])
        assert "PAUSED" in cluster.run("status").out
        cluster.run("restart", other)
        assert cluster.node(other)["state"] == "streaming"
        cluster.kill_unit(old)  # the primary's agent, and its server with it
        holds_for(lambda: all(cluster.node(name)["role"] != "primary" for name in cluster.hosts() if name != old), 6,
                  "nobody takes over")
        assert "paused" in why(cluster)["summary"]
        assert "paused" in cluster.run("failover", expect=1).err
        cluster.run("start", old)
        assert primary(cluster) == old, "it has its role back"
        assert cluster.group()["paused"]["since"] == since
        to = replicas(cluster)[0]
        cluster.run("switchover", "--to", to)  # what a user asks for is done
        assert primary(cluster) == to and cluster.group()["paused"]["since"] == since
    finally:
        resumed = cluster.run("resume", "--json").out.splitlines()
    assert json.loads(resumed[-1])["changed"] is True
    assert "not paused" in cluster.run("resume").out
    cluster.wait_healthy()
    told = cluster.run("history").out
    assert "paused by" in told and "resumed: " in told, told


@pytest.mark.parametrize("paused", [True, False])
def test_only_in_a_pause_a_primary_outlives_its_lease_alone(cluster, paused):
    """Store and replicas are gone: nobody vouches for the primary. The control run shows that it stops otherwise."""
    old = primary(cluster)
    if paused:
        cluster.run("pause")
    postmaster = cluster.postgres_pids(old)[0]
    others = replicas(cluster)
    for unit in [*others, "lb1"]:
        cluster.kill_unit(unit)

    def runs() -> bool:
        return pathlib.Path(f"/proc/{postmaster}/stat").exists() and "Z" not in pathlib.Path(
            f"/proc/{postmaster}/stat").read_text().rpartition(")")[2].split()[:1]
    if paused:
        holds_for(runs, 8, "the primary goes on")
        assert cluster.value("SELECT pg_is_in_recovery()", old) is False
    else:
        wait_until(lambda: not runs(), 8, "the primary stops before its lease has run out")
    cluster.run("start", limit=150)
    if paused:
        assert primary(cluster) == old and cluster.postgres_pids(old)[0] == postmaster
        cluster.run("resume")


def test_resume_waits_for_a_primary_that_cannot_hear_it(cluster):
    """It might lead on by the pause while others elect."""
    old = primary(cluster)
    cluster.run("pause")
    agent = agent_pid(cluster, old)
    cluster.freeze([agent])
    try:
        wait_until(lambda: why(cluster)["leader"] == "", 15, "its lease has run out")
        refused = cluster.run("resume", expect=1)
        assert f"{old}: its server runs as a primary" in refused.err and "stays paused" in refused.err, refused
        assert cluster.group()["paused"]["since"]
    finally:
        cluster.thaw([agent])
    wait_until(lambda: why(cluster)["leader"] == old, 15, "it leads again")
    cluster.run("resume")
    cluster.wait_healthy()
    assert primary(cluster) == old


# --- reinit

def test_reinit_refuses_the_primary_and_asks(cluster):
    old, node = primary(cluster), replicas(cluster)[0]
    file = mark(cluster, node)
    assert "PGB-IS-PRIMARY" in cluster.run("reinit", old, "--yes", expect=6).err
    refused = cluster.run("reinit", node, expect=6).err
    assert "PGB-NEEDS-YES" in refused and f"reinit {node} --yes" in refused
    assert cluster.run("reinit", expect=2).err
    assert f"copy {old} to {node}" in cluster.run("reinit", node, "--dry-run").out
    assert at_terminal(cluster, "", "reinit", node)[0] == 6
    assert file.exists()


def test_reinit_makes_a_new_copy(cluster):
    node = replicas(cluster)[0]
    file = mark(cluster, node)
    done = cluster.run("reinit", node, "--yes")
    assert "is a new copy of" in done.out and not file.exists(), done
    assert cluster.node(node)["state"] == "streaming"
    cluster.wait_value("SELECT count(*) FROM users", 3, node)
    assert f"reinit of {node} is done" in cluster.run("events").out


@pytest.mark.parametrize("who", ["manager", "agent"])
def test_reinit_is_finished_whoever_is_killed_meanwhile(cluster, who):
    node = replicas(cluster)[0]
    file = mark(cluster, node)
    state = next(unit_dir(cluster, node).rglob("pgbalancer.state"))
    program = cluster.manager.popen("reinit", "--config", cluster.file, node, "--yes")
    wait_until(lambda: state.read_text().strip() == "making", 40, "it has begun", pause=0.001)
    if who == "manager":
        program.send_signal(signal.SIGINT)
        out, err = program.communicate(timeout=60)
        assert program.returncode in (0, 130), out + err
        assert program.returncode == 0 or "goes on with it by itself" in err, err
    else:
        cluster.kill_unit(node)
        program.kill()
        program.communicate(timeout=60)
        cluster.run("start", node)
    cluster.wait_healthy()
    assert not file.exists()
    cluster.wait_value("SELECT count(*) FROM users", 3, node)


def test_a_reinit_that_was_not_begun_is_taken_back(cluster):
    """The primary does not say that it can do without the replica; nothing is done to that one later either."""
    old, node = primary(cluster), replicas(cluster)[0]
    file = mark(cluster, node)
    agent = agent_pid(cluster, old)
    cluster.freeze([agent])
    try:
        refused = cluster.run("reinit", node, "--yes", "--timeout", "1500ms", expect=None)
    finally:
        cluster.thaw([agent])
    assert refused.code in (1, 7) and "changed" in refused.err and "nothing" in refused.err, refused
    holds_for(file.exists, 4, "it is not begun")


# --- restart

def test_a_restart_goes_in_turn_and_clients_stay(cluster):
    old = primary(cluster)
    steps = cluster.run("restart", "--dry-run").out.splitlines()
    assert sorted(steps[:2]) == sorted(f"restart {name}" for name in replicas(cluster))
    assert steps[2:] == [f"switchover from {old}", f"restart {old}"]
    before = {name: start_of(cluster, name) for name in cluster.hosts()}
    with cluster.connect() as connection, connection.cursor() as client:
        client.execute("SELECT pg_backend_pid()")
        cluster.run("restart")
        client.execute("CREATE TABLE after_the_restart ()")
        client.execute("DROP TABLE after_the_restart")
    assert all(start_of(cluster, name) != before[name] for name in cluster.hosts())
    assert primary(cluster) != old


def test_one_server_is_restarted_alone(cluster):
    node, old = replicas(cluster)[0], primary(cluster)
    before = {name: start_of(cluster, name) for name in cluster.hosts()}
    assert cluster.run("restart", node, "--dry-run").out == f"restart {node}\n"
    cluster.run("restart", node)
    assert [name for name in cluster.hosts() if start_of(cluster, name) != before[name]] == [node]
    assert primary(cluster) == old


# --- why

def test_why_of_a_leader_a_server_and_a_statement(cluster):
    old, node = primary(cluster), replicas(cluster)[0]
    told = why(cluster)
    assert told["leader"] == old and told["store_reachable"] and not told["paused"] and old in told["summary"]
    assert {member["node"] for member in told["members"]} == set(cluster.hosts())
    text = cluster.run("why", "--exit-code").out
    assert f"{old} leads" in text and node in text, text
    assert f"{node} is replica, streaming" in cluster.run("why", node).out
    assert f"follows {old}" in cluster.run("why", node).out
    assert f"It goes to {old} (primary)" in cluster.run("why", "UPDATE users SET name = name").out
    route = why(cluster, "SELECT count(*) FROM users")
    assert route["node"] in replicas(cluster) and route["role"] == "replica", route
    assert cluster.run("why", "SELEC 1;").out  # what cannot be parsed goes to the primary


def test_why_says_what_is_missing_and_a_failover_loses_nothing_by_itself(cluster):
    old, away = primary(cluster), replicas(cluster)[0]
    left = replicas(cluster)[1]
    cluster.kill_unit(away)
    for number in range(3):  # acknowledged by the other replica
        cluster.query(f"CREATE TABLE missing_{number} ()")
    wait_until(lambda: member_of(why(cluster), away)["behind_bytes"] > 0, 10, "it is known to be behind")
    written = cluster.value("SELECT pg_current_wal_flush_lsn() - '0/0'", old)
    wait_until(lambda: published_lsn(cluster, old) >= written, 10, "so that the others know it, too")
    cluster.kill_unit(left)
    cluster.kill_unit(old)
    try:
        started = cluster.run("start", away, limit=60)
        assert f"nobody leads lb1 yet: start {old}, {left}, too" in started.err or \
            f"nobody leads lb1 yet: start {left}, {old}, too" in started.err, started
        wait_until(lambda: why(cluster)["source"] == away and why(cluster)["leader"] == "", 30, "nobody leads")
        wait_until(lambda: member_of(why(cluster), away)["behind_bytes"], 20, f"{away} has read its own WAL")
        told = why(cluster, "--exit-code", expect=11)
        member = member_of(told, away)
        assert not member["may_lead"] and member["cost"] and member["behind_bytes"] > 0, told
        assert {one["node"] for one in told["silent"]} == {old, left}
        text = cluster.run("why").out
        assert "forced, it would lose" in text and "of WAL" in text, text
        refused = cluster.run("failover", expect=6)
        assert "PGB-NO-SAFE-CANDIDATE" in refused.err and "nothing" in refused.err and away in refused.err, refused
    finally:
        cluster.run("start", limit=150)
    for number in range(3):
        cluster.query(f"DROP TABLE missing_{number}")


# --- drill

def test_a_drill_asks_and_says_what_it_cannot_do_here(cluster):
    old = primary(cluster)
    refused = cluster.run("drill", "kill", expect=6).err
    assert "PGB-NEEDS-YES" in refused and "drill kill --yes" in refused
    steps = cluster.run("drill", "kill", "--dry-run").out
    assert f"kill {old}, the primary" in steps and "drop the table" in steps
    assert "no drill fire" in cluster.run("drill", "fire", expect=2).err
    for kind, reason in (("partition", "share this machine's network"), ("disk-full", "is on the same file system as")):
        told = cluster.run("drill", kind, replicas(cluster)[0], "--yes", expect=1).err
        assert reason in told and "changed   nothing" in told and "  try       " in told, told
    cluster.run("pause")
    assert "paused" in cluster.run("drill", "kill", "--yes", expect=1).err
    cluster.run("resume")
    assert primary(cluster) == old


@pytest.mark.parametrize("kind", ["kill", "stop"])
def test_a_drill_of_the_primary(cluster, kind):
    old = primary(cluster)
    told = json.loads(cluster.run("drill", kind, "--yes", "--json").out.splitlines()[-1])
    assert told["was_primary"] and told["node"] == old and told["primary"] != old, told
    assert told["lost"] == 0 and told["lacking"] == [] and told["left"] == "" and told["acknowledged"] > 50, told
    assert 0 < told["pause_s"] < 20 and told["recovery_s"] > told["pause_s"] / 2
    assert sum(told["reasons"].values()) == told["errors"]
    assert cluster.wait_healthy()
    assert not cluster.query("SELECT 1 FROM pg_namespace WHERE nspname = 'pgbalancer_drill'", primary(cluster))
    assert f"drill: {kind} {old}" in cluster.run("events").out and "acknowledged commits lost" in cluster.run("events").out


def test_a_drill_of_a_replica_moves_no_role(cluster):
    old, node = primary(cluster), replicas(cluster)[0]
    done = cluster.run("drill", "kill", node, "--yes")
    assert "0 of " in done.out and "commits lost" in done.out and f"primary  {old};" in done.out, done


def test_a_drill_of_the_store(cluster):
    old = primary(cluster)
    told = json.loads(cluster.run("drill", "store-loss", "--yes", "--json").out.splitlines()[-1])
    assert told["lost"] == 0 and told["node"] == "lb1" and told["primary"] == old, told
    assert told["errors"] > 0, "its clients lost their connections"


def test_an_interrupted_drill_brings_the_server_back(cluster):
    old = primary(cluster)
    program = cluster.manager.popen("drill", "--config", cluster.file, "kill", "--yes")
    wait_until(lambda: not [c for c in cluster.pids(old).values() if "pgbalancer_agent" in c], 60, "it is killed", pause=0.01)
    program.send_signal(signal.SIGINT)
    _, err = program.communicate(timeout=90)
    assert program.returncode == 130 and f"{old} is started again" in err, err
    cluster.wait_healthy()
    assert not cluster.query("SELECT 1 FROM pg_namespace WHERE nspname = 'pgbalancer_drill'", primary(cluster))


# --- where there is nothing to choose

def test_without_failover_they_say_so(make_sandbox):
    with make_sandbox("process") as plain:
        plain.document["ha"] = {"failover": False}
        plain.write()
        for verb in ("switchover", "pause", "why", "history"):
            assert "PGB-NO-CLUSTER" in plain.run(verb, expect=5).err
        plain.init()
        for verb in (["switchover"], ["failover"], ["pause"], ["resume"], ["reinit", "replica1", "--yes"],
                     ["drill", "kill", "--yes"], ["history"], ["why"]):
            refused = plain.run(*verb, expect=1)
            assert "do not choose a primary" in refused.err and "failover" in refused.err, refused
        assert "streaming" in plain.run("why", "replica1").out
        assert plain.status()["state"] == "healthy" and plain.group()["paused"] is None


def test_the_only_server(make_sandbox):
    with make_sandbox("process") as alone:
        alone.document["ha"] = {"failover": True}
        alone.balancer()["replicas"] = []
        alone.write()
        alone.init()
        assert "there is no other node" in alone.run("switchover", expect=1).err
        assert "only server" in alone.run("drill", "kill", "--yes", expect=1).err
        assert "PGB-IS-PRIMARY" in alone.run("reinit", "primary1", "--yes", expect=6).err
        before = start_of(alone, "primary1")
        alone.run("restart")
        assert start_of(alone, "primary1") != before, "in place"
        alone.run("pause")
        alone.run("resume")
        assert primary(alone) == "primary1"
        assert "leads" in alone.run("why").out

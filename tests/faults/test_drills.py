"""Failures that the manager does on request, beside a ledger that is not its own."""
import json
import os
import signal
import subprocess

import pytest

from harness.waiting import wait_until

small_disk = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a file system for one node's data")


def begun(site, kind: str, node: str, *options: str) -> subprocess.Popen:
    return site.sandbox.manager.popen("drill", "--config", site.sandbox.file, kind, node, "--yes", *options)


def result(program: subprocess.Popen) -> dict:
    out, err = program.communicate(timeout=120)
    assert program.returncode == 0, err
    told = json.loads(out.splitlines()[-1])
    assert told["lost"] == 0 and told["lacking"] == [] and told["left"] == "" and told["acknowledged"] > 50, told
    return told


def drill(site, kind: str, node: str) -> dict:
    return result(begun(site, kind, node, "--json"))


def broken_off(site, kind: str, node: str, under_way, number: signal.Signals) -> tuple[int, str]:
    program = begun(site, kind, node)
    wait_until(under_way, 60, f"{node} is harmed", pause=0.01)
    program.send_signal(number)
    _, err = program.communicate(timeout=90)
    return program.returncode, err


def networks(site, node: str) -> list[str]:
    found = site.sandbox.docker.inspect(site.sandbox.container(node))["NetworkSettings"]["Networks"]
    return [name for name, network in found.items() if network["IPAddress"]]


@pytest.mark.runtimes("docker")
def test_a_drill_cuts_the_primary_off_and_connects_it_again(site):
    old = site.primary()
    before = networks(site, old)
    told = drill(site, "partition", old)
    assert told["was_primary"] and told["primary"] != old and told["pause_s"] > 0.1, told
    assert networks(site, old) == before
    site.check_end(most_owners=2)


@pytest.mark.runtimes("docker")
def test_a_drill_that_cuts_a_replica_off_moves_no_role_and_status_says_who_it_is(site):
    old = site.primary()
    node = site.others(old)[0]
    before = networks(site, node)
    program = begun(site, "partition", node, "--json")
    wait_until(lambda: not networks(site, node), 60, f"{node} is cut off", pause=0.01)
    assert not site.hears_from(old, node)
    document = site.sandbox.status()
    assert not networks(site, node), "it was all the time"
    seen = site.sandbox.node(node, document)
    assert seen["state"] == "down" and f"start {node} connects it again" in seen["reason"], seen
    assert any(note.startswith(f"{node}: its container runs, but has been taken off") for note in document["notes"]), document
    told = result(program)
    assert networks(site, node) == before
    assert not told["was_primary"] and told["primary"] == old, told
    site.check_end(most_owners=1)


@pytest.mark.runtimes("docker")
def test_what_a_drill_that_is_broken_off_has_cut_off_is_connected_again(site):
    old = site.primary()
    code, err = broken_off(site, "partition", old, lambda: not networks(site, old), signal.SIGINT)
    assert code == 130 and f"{old} is connected again" in err, err
    site.sandbox.wait_healthy()
    node = site.others(site.primary())[0]
    broken_off(site, "partition", node, lambda: not networks(site, node), signal.SIGKILL)
    assert not networks(site, node)
    site.sandbox.run("start", node)  # as it would have said
    site.check_end(most_owners=3)


@small_disk
@pytest.mark.runtimes("process")
def test_a_drill_fills_the_disk_of_the_primary_and_gives_it_back(site):
    old, disk = site.lead_from_small_disk(900)
    before = disk.free()
    told = drill(site, "disk-full", old)
    assert told["was_primary"] and told["primary"] != old, told
    assert disk.free() > before - (200 << 20)
    site.check_end(most_owners=3, may_return=True)


@small_disk
@pytest.mark.runtimes("process")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["interrupted", "killed"])
def test_a_drill_that_is_broken_off_leaves_no_full_disk(site, number):
    old, disk = site.lead_from_small_disk(900)
    before = disk.free()
    code, err = broken_off(site, "disk-full", old, lambda: disk.free() < 100 << 20, number)
    assert number == signal.SIGKILL or (code == 130 and f"{old} has its room again" in err), err
    wait_until(lambda: disk.free() > before - (200 << 20), 10, "the room is there again")
    site.check_end(most_owners=3, may_return=True)


@pytest.mark.runtimes("docker")
def test_what_a_drill_cannot_do_in_containers_it_refuses(site):
    for kind, reason in (("disk-full", "share the engine's file system"), ("store-loss", "cannot be emptied from outside")):
        told = site.sandbox.run("drill", kind, "--yes", expect=1).err
        assert reason in told and "changed   nothing" in told and "  try       " in told, told
    site.check_end(most_owners=1)


@pytest.mark.runtimes("process")
def test_a_drill_after_which_nobody_takes_over_ends_and_says_where_to_look(site):
    old = site.primary()
    agents = [site.agent_pid(name) for name in site.others(old)]
    site.sandbox.freeze(agents)
    try:
        program = begun(site, "kill", old)
        _, err = program.communicate(timeout=200)
    finally:
        site.sandbox.thaw(agents)
    assert program.returncode == 7, err
    assert f"nobody has taken over from {old}" in err and f"{old} is started again" in err, err
    assert "try       pgbalancer_cluster why" in err, err
    site.check_end(most_owners=3)

"""A failure in the middle of what another one, or a user, has begun; under `quorum`."""
import contextlib
import os
import random
import signal
import subprocess
import time

import pytest

from harness.waiting import wait_until

pytestmark = pytest.mark.runtimes("process", "docker")


def ended(program: subprocess.Popen) -> None:
    """The manager may wait for a server that is not there; a user would not."""
    try:
        program.wait(10)
    except subprocess.TimeoutExpired:
        program.send_signal(signal.SIGINT)
        program.wait(30)


def killed_during_switchover(site, target: str, victim: str, longest: float) -> bool:
    """At a random moment once the leader has been asked; whether nobody else acknowledged a commit before the victim had ended. How
    the switchover ends is not asked for, but it does end."""
    told = site.sandbox.folder / "switchover"
    begun = time.monotonic()
    with told.open("w") as out:
        program = site.sandbox.manager.popen("switchover", "--config", site.sandbox.file, "--to", target, "--json", stdout=out)
    wait_until(lambda: "lets its clients finish" in told.read_text(), 20, "the leader is asked", pause=0.002)
    moment = random.uniform(0, longest)
    time.sleep(moment)
    site.kill_all(victim)
    met = not site.acknowledged_by(target, begun, site.end_of(victim))
    ended(program)
    print(f"{victim} killed {moment:.2f} s into {'a' if met else 'no'} switchover to {target}; it says: {told.read_text()}")
    print(site.sandbox.run("start", victim, expect=None, limit=60))
    return met


@pytest.mark.parametrize("who", ["primary", "target", "third", "balancer"])
def test_a_node_is_killed_during_a_switchover(site, who):
    met, longest, rounds = False, 0.5, 0
    while not met:
        rounds += 1
        assert rounds < 8, "no switchover was under way any more"
        primary = site.primary()
        target, third = site.others(primary)
        victim = {"primary": primary, "target": target, "third": third, "balancer": "lb1"}[who]
        met = killed_during_switchover(site, target, victim, longest)
        longest *= 0.6
        site.sandbox.wait_healthy()
        site.wait_synchronous()
        site.check_turns(site.since)
    site.check_end(most_owners=2 * rounds + 1, may_return=True)


@contextlib.contextmanager
def rewinding(site, old: str):
    """A former primary, with commits of its own that nobody has, in the middle of its pg_rewind."""
    pid = site.agent_pid(old)
    site.freeze(pid)
    try:
        new = site.wait_writes_by_another(old, 15)
        site.nothing_from(old, 1)
    finally:
        site.thaw(pid)
    tool = site.freeze_program(old, "pg_rewind", 30)
    try:
        yield new
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(tool, signal.SIGCONT)


def test_a_node_is_killed_during_its_rejoin(site):
    old = site.primary()
    with rewinding(site, old) as new:
        site.kill_all(old)
    site.sandbox.run("start", old)
    site.check_end(most_owners=2)
    assert site.primary() == new


def test_the_agent_is_killed_during_the_rejoin_of_its_node(site):
    old = site.primary()
    with rewinding(site, old) as new:
        site.kill(site.agent_pid(old))
    if not site.sandbox.docker:  # there the engine does it
        site.sandbox.run("start", old)
    site.check_end(most_owners=2)
    assert site.primary() == new


def test_the_primary_is_killed_during_the_rejoin_of_another(site):
    """It is what the one that rejoins is made from; only one more has every commit."""
    old = site.primary()
    with rewinding(site, old) as new:
        site.kill_all(new)
    third = site.others(old, new)[0]
    site.wait_writes_after(time.monotonic(), 30)
    assert site.primary() == third
    site.sandbox.run("start", new)
    site.check_end(most_owners=3)
    assert site.primary() == third

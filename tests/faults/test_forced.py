"""A failover by force: what it costs is said before, and an order that nobody waits for any more is not carried out."""
import time

import pytest

from harness.sandbox import Sandbox
from harness.terminal import Terminal
from harness.waiting import wait_until

TABLES = 5


@pytest.fixture
def left_behind():
    """A cluster of which only a replica runs that lacks acknowledged commits; its name."""
    with Sandbox("process") as sandbox:
        sandbox.document["ha"] = {"failover": True}
        sandbox.write()
        sandbox.init()
        sandbox.wait_healthy()
        wait_until(lambda: sandbox.group()["durability"].startswith("ANY 1"), 20, "a replica is waited for")
        old, (left, other) = sandbox.primary(), sandbox.replicas()
        sandbox.kill_unit(left)
        for number in range(TABLES):
            sandbox.query(f"CREATE TABLE acknowledged_{number} ()")
        sandbox.kill_unit(other)
        sandbox.kill_unit(old)
        sandbox.run("start", left, limit=60)

        def answers():
            told = sandbox.run("why", "--json", expect=None)
            if told.code != 0:
                return False
            document = told.json()
            member = next((member for member in document["members"] if member["node"] == left), None)
            return document["leader"] == "" and member and member["behind_bytes"] is not None and not member["may_lead"]
        wait_until(answers, 30, f"{left} knows that it may not lead")
        yield sandbox, left


def tables_left(sandbox) -> int:
    return sandbox.value("SELECT count(*) FROM pg_class WHERE relname ~ '^acknowledged_[0-9]$'")


def test_it_is_asked_for_with_its_cost_and_says_afterwards_what_it_did(left_behind):
    sandbox, left = left_behind
    refused = sandbox.run("failover", "--force", "--no-input", expect=6)
    assert "PGB-NEEDS-YES" in refused.err and "loses every acknowledged commit after" in refused.err, refused
    assert left in refused.err and "failover --force --yes" in refused.err and "nothing" in refused.err, refused
    plan = sandbox.run("failover", "--force", "--dry-run", "--json").json()
    assert plan["to"] == left and not plan["safe"] and "every acknowledged commit" in plan["cost"], plan
    assert "by force" not in sandbox.run("history").out and "forced" not in sandbox.run("history").out
    began = time.monotonic()
    done = sandbox.run("failover", "--force", "--yes")
    took = time.monotonic() - began
    assert f"{left} leads lb1" in done.out and "acknowledged commits are lost, or may be" in done.out, done
    assert f"why    {left} takes epoch" in done.out and "because failover was forced" in done.out, done
    assert took < 6, f"{took:.1f} s: it waits for nobody who could make it any safer"
    sandbox.run("start")
    sandbox.wait_healthy()
    assert tables_left(sandbox) == 0, "it was said so"


def test_an_order_whose_time_is_over_is_not_carried_out(left_behind):
    """Its manager died, and the server that it was for could not act for longer than it was to be."""
    sandbox, left = left_behind
    agents = [pid for pid, command in sandbox.pids(left).items() if "pgbalancer_agent" in command.partition(" ")[0]]
    manager = sandbox.manager
    with Terminal(manager.command("failover", "--config", sandbox.file, "--force"), manager.env) as terminal:
        terminal.wait_for("Go on?")
        assert "every acknowledged commit" in terminal.seen, terminal.seen
        sandbox.freeze(agents)
        try:
            terminal.send("y\n")
            time.sleep(2)  # the request is left at once, and nobody is awake to answer it
            terminal.process.kill()  # so that it takes nothing back
            time.sleep(34)  # longer than the request holds
        finally:
            sandbox.thaw(agents)
    time.sleep(6)  # in which agents that take it for a standing one would act
    assert "because failover was forced" not in sandbox.run("history").out
    sandbox.run("start")
    sandbox.wait_healthy()
    assert tables_left(sandbox) == TABLES

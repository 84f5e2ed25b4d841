"""What kills, stops and starts do to a group of three under `quorum`."""
import random
import subprocess
import time

import pytest

from faults.site import SILENCE
from harness.waiting import wait_until

both = pytest.mark.runtimes("process", "docker")


@both
def test_a_killed_postmaster_is_restarted_or_replaced(site):
    old = site.primary()
    site.kill_server(old)
    site.wait_writes_after(time.monotonic(), 10)
    assert site.ledger.gap(site.since) < 1.5
    site.check_end(most_owners=2)


def test_a_killed_agent_loses_the_role_and_comes_back_as_a_replica(site):
    old = site.primary()
    site.kill(site.agent_pid(old))
    new = site.wait_writes_by_another(old, 10)
    assert site.ledger.gap(site.since) < 1.5
    wait_until(lambda: site.primary() == new, 10, f"status says that {new} is primary")
    others = [name for name in site.names if name not in (old, new)]
    wait_until(lambda: all(site.sandbox.node(name)["state"] == "streaming" for name in others), 20, "the others follow")
    site.sandbox.run("start", old)
    site.check_end(most_owners=2)
    assert site.primary() == new, "who comes back follows"


@both
def test_a_killed_primary_loses_the_role_and_comes_back_as_a_replica(site):
    """Agent and server at once, as their container or their machine would."""
    old = site.primary()
    site.kill_all(old)
    new = site.wait_writes_by_another(old, 10)
    assert site.ledger.gap(site.since) < 3
    rest = site.others(old, new)
    wait_until(lambda: all(site.sandbox.node(name)["state"] == "streaming" for name in rest), 20, "the others follow")
    site.sandbox.run("start", old)
    site.check_end(most_owners=2)
    assert site.primary() == new, "who comes back follows"


@both
def test_a_stopped_agent_loses_the_role_and_no_commit(site):
    old = site.primary()
    pid = site.agent_pid(old)
    site.freeze(pid)
    try:
        new = site.wait_writes_by_another(old, 15)
        assert site.ledger.gap(site.since) < 5
        site.nothing_from(old, 3)  # its server still runs, but its clients' commits find no second copy
    finally:
        site.thaw(pid)
    site.check_end(most_owners=2)
    assert site.primary() == new


@both
def test_a_stopped_postmaster_loses_the_role(site):
    old = site.primary()
    site.freeze(site.sandbox.postgres_pids(old)[0])
    site.wait_writes_by_another(old, 15)
    assert site.ledger.gap(site.since) < 2
    site.check_end(most_owners=2)


def test_a_stopped_postmaster_that_nobody_can_replace_is_started_again(site):
    old = site.primary()
    site.kill_all(*site.others(old))
    site.wait_writes_after(time.monotonic(), 30)  # it goes on alone
    site.freeze(site.sandbox.postgres_pids(old)[0])
    wait_until(lambda: "to start it again" in site.sandbox.run("history").out, 30, "its agent ends it")
    site.wait_writes_after(time.monotonic(), 20)
    site.sandbox.run("start")
    site.check_end(most_owners=1)


@both
def test_a_primary_of_which_all_is_stopped_loses_the_role_and_no_commit(site):
    old = site.primary()
    with site.all_frozen(old):
        new = site.wait_writes_by_another(old, 15)
        assert site.ledger.gap(site.since) < SILENCE
        time.sleep(1)
    site.nothing_from(old, 2)
    site.check_end(most_owners=2)
    assert site.primary() == new


@both
def test_a_killed_replica_is_no_trouble(site):
    primary = site.primary()
    replica = next(name for name in site.names if name != primary)
    site.sandbox.kill_unit(replica)
    site.since = time.monotonic()
    site.wait_writes_after(site.since + 1, 10)
    assert site.ledger.gap(site.since) < 3, "the other replica has each commit"
    site.sandbox.run("start", replica)
    site.check_end(most_owners=1)


@both
def test_all_nodes_killed_at_once_come_back_in_any_order(site):
    site.kill_all(*site.names)
    first, second, last = reversed(site.names)
    began = site.sandbox.run("start", first, limit=30)
    assert "nobody leads lb1 yet" in began.err and f"start {', '.join(reversed([second, last]))}, too" in began.err, began
    site.sandbox.run("start", second)
    site.sandbox.run("start", last)
    site.check_end(most_owners=2, limit=90)


@both
def test_a_balancer_that_is_started_first_waits_for_nobody_and_says_who_is_missing(site):
    site.kill_all(*site.names, "lb1")
    began = site.sandbox.run("start", "lb1", limit=30)
    assert "nobody leads lb1 yet" in began.err and f"start {', '.join(site.names)}, too" in began.err, began
    site.sandbox.run("start", limit=90)
    site.check_end(most_owners=2, limit=90)


@both
def test_all_nodes_and_the_balancer_with_the_lease_store_come_back_in_any_order(site):
    units = [*site.names, "lb1"]
    site.kill_all(*units)
    random.shuffle(units)
    print("started in this order:", units)
    site.start_one_by_one(units)
    site.check_end(most_owners=2, limit=90)


@both
def test_all_nodes_and_the_balancer_with_the_lease_store_are_started_at_once(site):
    site.kill_all(*site.names, "lb1")
    site.sandbox.run("start")
    site.check_end(most_owners=2, limit=90)


@both
def test_two_failures_in_a_row(site):
    first = site.primary()
    site.kill(site.agent_pid(first))
    second = site.wait_writes_by_another(first, 10)
    site.sandbox.run("start", first)
    site.sandbox.wait_healthy()
    site.wait_synchronous()
    site.kill(site.agent_pid(second))
    site.wait_writes_by_another(second, 10)
    site.sandbox.run("start", second)
    site.check_end(most_owners=3, may_return=True)


@both
def test_a_second_primary_is_lost_before_the_first_is_back(site):
    """The last node alone may acknowledge nothing that nobody else has; who comes back first must bring it on."""
    first = site.primary()
    site.kill_all(first)
    second = site.wait_writes_by_another(first, 10)
    site.kill_all(second)
    for name in random.sample([first, second], 2):
        print("started:", name)
        site.sandbox.run("start", name, expect=None, limit=60)
    site.wait_writes_after(time.monotonic(), 30)
    site.check_end(most_owners=4, may_return=True)


@both
def test_the_balancer_is_restarted_and_the_servers_do_not_notice(site):
    primary = site.primary()
    site.end_balancer()
    time.sleep(5)  # longer than a lease: the others vouch for the primary
    site.wait_writes_after(time.monotonic(), 5, through=False)
    site.sandbox.run("start", "lb1")
    site.check_end(most_owners=1)
    assert site.primary() == primary


@both
def test_a_lease_store_that_is_restored_from_a_copy_brings_no_old_leader_back(site):
    """The copy knows the leader before the last one: neither its key nor its record holds any more."""
    store = site.store_folder()
    copy = site.sandbox.folder / "store-copy"
    old = site.primary()
    site.sandbox.kill_unit("lb1")
    subprocess.run(["cp", "-a", store, copy], check=True)  # with its owner
    site.sandbox.run("start", "lb1")
    new = next(name for name in site.names if name != old)
    site.sandbox.run("switchover", "--to", new)
    site.sandbox.wait_healthy()
    site.wait_synchronous()
    site.sandbox.kill_unit("lb1")
    site.empty_store()
    subprocess.run(["cp", "-a", f"{copy}/.", store], check=True)
    site.sandbox.run("start", "lb1")
    site.check_end(most_owners=2)
    assert site.primary() == new, "it goes on"


@both
def test_an_emptied_lease_store_is_filled_by_the_leader(site):
    primary = site.primary()
    site.sandbox.kill_unit("lb1")
    site.empty_store()
    site.sandbox.run("start", "lb1")
    site.check_end(most_owners=1)
    assert site.primary() == primary


@both
def test_a_switchover_moves_the_role_and_back(site):
    old = site.primary()
    wanted = next(name for name in reversed(site.names) if name != old)
    site.since = time.monotonic()
    done = site.sandbox.run("switchover", "--to", wanted)
    assert f"{wanted} leads" in done.out, done
    site.wait_writes_after(time.monotonic(), 10)
    told = site.ledger.told_through_balancer(site.since)
    assert not told, f"clients of the balancer were told of it: {told}"
    assert site.ledger.gap(site.since) < 1.5
    assert site.primary() == wanted
    site.sandbox.wait_healthy()
    site.wait_synchronous()
    site.check_turns()
    site.since = time.monotonic()
    site.sandbox.run("switchover", "--to", old)
    site.check_end(most_owners=3, may_return=True)
    assert site.primary() == old
    told = site.sandbox.run("history").out
    assert f"in favour of {wanted}" in told and f"in favour of {old}" in told, told


@both
def test_a_switchover_to_who_cannot_lead_changes_nothing(site):
    old = site.primary()
    away = next(name for name in site.names if name != old)
    site.sandbox.run("stop", away)
    refused = site.sandbox.run("switchover", "--to", away, expect=None)
    assert refused.code != 0 and away in refused.err, refused
    site.sandbox.run("start", away)
    site.check_end(most_owners=1)
    assert site.primary() == old

"""What happens to containers, and to the network between them, under `quorum`: nobody is told of what is cut off."""
import random
import time

import pytest

from faults.cuts import network_of
from harness.waiting import wait_until

pytestmark = pytest.mark.runtimes("docker")

LEASE = 3.0
SILENCE = LEASE + 1.5  # until another server acknowledges, when nobody was told that the primary is gone


def other_replicas(site, *names: str) -> list[str]:
    return [name for name in site.names if name not in names]


def nothing_from(site, name: str, seconds: float) -> None:
    """A primary that was replaced acknowledges nothing, whoever still reaches it."""
    moment = time.monotonic()
    time.sleep(seconds)
    assert not [ack for ack in site.ledger.acks if ack.port == site.port(name) and ack.sent > moment]


def test_a_killed_container_loses_the_role_and_comes_back_as_a_replica(site):
    old = site.primary()
    site.kill_all(old)
    new = site.wait_writes_by_another(old, 10)
    assert site.ledger.gap(site.since) < 3
    rest = other_replicas(site, old, new)
    wait_until(lambda: all(site.sandbox.node(name)["state"] == "streaming" for name in rest), 20, "the others follow")
    site.sandbox.docker.docker("start", site.sandbox.container(old))
    site.check_end(most_owners=2)
    assert site.primary() == new, "who comes back follows"


def test_a_container_whose_agent_is_killed_is_started_again_by_the_engine(site):
    old = site.primary()
    site.kill(site.agent_pid(old))
    site.wait_writes_after(site.since + 0.001, 10)
    assert site.ledger.gap(site.since) < 3
    site.check_end(most_owners=2)


def test_a_restarted_container_hands_over_and_comes_back(site):
    old = site.primary()
    site.since = time.monotonic()
    site.sandbox.docker.docker("restart", site.sandbox.container(old))
    site.check_end(most_owners=2)
    assert site.primary() != old
    assert site.ledger.gap(site.since) < 3


def test_a_paused_primary_loses_the_role_and_no_commit(site):
    old = site.primary()
    container = site.sandbox.container(old)
    site.since = time.monotonic()
    site.sandbox.docker.docker("pause", container)
    try:
        new = site.wait_writes_by_another(old, 15)
        assert site.ledger.gap(site.since) < SILENCE
        time.sleep(1)
    finally:
        site.sandbox.docker.docker("unpause", container)
    nothing_from(site, old, 2)
    site.check_end(most_owners=2)
    assert site.primary() == new


def test_a_primary_that_is_cut_off_from_everyone_is_replaced(site):
    old = site.primary()
    with network_of(site, old) as network:
        site.since = time.monotonic()
        network.disconnect()
        try:
            new = site.wait_writes_by_another(old, 15)
            assert site.ledger.gap(site.since) < SILENCE
        finally:
            network.connect()
    nothing_from(site, old, 2)
    site.check_end(most_owners=2)
    assert site.primary() == new


def test_a_primary_that_only_clients_and_the_balancer_reach_acknowledges_nothing_more(site):
    old = site.primary()
    with network_of(site, old) as network:
        site.since = time.monotonic()
        network.drop(*other_replicas(site, old))
        network.drop_store()
        new = site.wait_writes_by_another(old, 15)
        assert site.ledger.gap(site.since) < SILENCE
        nothing_from(site, old, 3)
    site.check_end(most_owners=2)
    assert site.primary() == new


def test_a_primary_that_is_cut_off_from_the_store_alone_is_replaced(site):
    old = site.primary()
    with network_of(site, old) as network:
        site.since = time.monotonic()
        network.drop_store()
        new = site.wait_writes_by_another(old, 15)
        assert site.ledger.gap(site.since) < SILENCE
        nothing_from(site, old, 2)
    site.check_end(most_owners=2)
    assert site.primary() == new


def test_a_replica_that_is_cut_off_is_no_trouble(site):
    primary = site.primary()
    with network_of(site, other_replicas(site, primary)[0]) as network:
        site.since = time.monotonic()
        network.drop_all()
        time.sleep(LEASE + 3)
        site.wait_writes_after(site.since + LEASE + 2, 5)
        assert site.ledger.gap(site.since) < 3
    site.check_end(most_owners=1)
    assert site.primary() == primary


def test_the_balancers_container_is_killed_and_the_servers_do_not_notice(site):
    primary = site.primary()
    site.kill_all("lb1")
    time.sleep(LEASE + 2)  # the others vouch for the primary
    moment = time.monotonic()
    site.wait_writes_after(moment, 5)
    site.sandbox.docker.docker("start", site.sandbox.container("lb1"))
    site.check_end(most_owners=1)
    assert site.primary() == primary


def test_all_containers_killed_at_once_come_back_in_any_order(site):
    units = [*site.names, "lb1"]
    site.since = time.monotonic()
    site.sandbox.docker.docker("kill", *map(site.sandbox.container, units))
    random.shuffle(units)
    print("started in this order:", units)
    site.start_one_by_one(units)
    site.check_end(most_owners=2, limit=90)

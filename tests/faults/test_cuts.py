"""Cuts in the network, under `quorum`: nobody is told of what is cut off."""
import time

import pytest

from faults.cuts import network_of
from faults.site import LEASE, SILENCE

pytestmark = [pytest.mark.cuts, pytest.mark.runtimes("process", "docker")]


@pytest.mark.runtimes("docker")
def test_a_primary_whose_container_is_disconnected_is_replaced(site):
    old = site.primary()
    with network_of(site, old) as network:
        site.since = time.monotonic()
        network.disconnect()
        try:
            new = site.wait_writes_by_another(old, 15)
            assert site.ledger.gap(site.since) < SILENCE
        finally:
            network.connect()
    site.nothing_from(old, 2)
    site.check_end(most_owners=2)
    assert site.primary() == new


def test_a_primary_that_is_cut_off_from_everyone_is_replaced(site):
    """Its host is gone, without a reset to anybody."""
    old = site.primary()
    with network_of(site, old) as network:
        site.since = time.monotonic()
        network.drop_all()
        new = site.wait_writes_by_another(old, 15)
        assert site.ledger.gap(site.since) < SILENCE
        site.nothing_from(old, 2)
    site.nothing_from(old, 2)
    site.check_end(most_owners=2)
    assert site.primary() == new


def test_a_primary_that_only_clients_and_the_balancer_reach_acknowledges_nothing_more(site):
    old = site.primary()
    with network_of(site, old) as network:
        site.since = time.monotonic()
        network.drop(*site.others(old))
        network.drop_store()
        new = site.wait_writes_by_another(old, 15)
        assert site.ledger.gap(site.since) < SILENCE
        site.nothing_from(old, 3)
    site.check_end(most_owners=2)
    assert site.primary() == new


def test_a_primary_that_is_cut_off_from_the_store_alone_is_replaced(site):
    old = site.primary()
    with network_of(site, old) as network:
        site.since = time.monotonic()
        network.drop_store()
        new = site.wait_writes_by_another(old, 15)
        assert site.ledger.gap(site.since) < SILENCE
        site.nothing_from(old, 2)
    site.check_end(most_owners=2)
    assert site.primary() == new


def test_a_replica_that_is_cut_off_is_no_trouble(site):
    primary = site.primary()
    with network_of(site, site.others(primary)[0]) as network:
        site.since = time.monotonic()
        network.drop_all()
        time.sleep(LEASE + 3)
        site.wait_writes_after(site.since + LEASE + 2, 5)
        assert site.ledger.gap(site.since) < 3
    site.check_end(most_owners=1)
    assert site.primary() == primary

"""Cuts in the network, under `quorum`: nobody is told of what is cut off."""
import time

import pytest

from faults.cuts import network_of
from faults.site import LEASE, SILENCE
from harness.waiting import holds_for, wait_until

pytestmark = [pytest.mark.cuts, pytest.mark.runtimes("process", "docker")]


def cut_off_from_all(network, _peers):
    """Its host is gone, without a reset to anybody."""
    network.drop_all()


def cut_off_from_peers_and_store(network, peers):
    """Clients and the balancer still reach it."""
    network.drop(*peers)
    network.drop_store()


def cut_off_from_the_store(network, _peers):
    network.drop_store()


def disconnected(network, _peers):
    network.disconnect()


def is_replaced(site, cut):
    old = site.primary()
    with network_of(site, old) as network:
        site.since = time.monotonic()
        cut(network, site.others(old))
        new = site.wait_writes_by_another(old, 15)
        assert site.ledger.gap(site.since) < SILENCE
        site.nothing_from(old, 3)
        assert network.is_cut()
    site.nothing_from(old, 2)
    site.check_end(most_owners=2)
    assert site.primary() == new


@pytest.mark.parametrize("cut", [cut_off_from_all, cut_off_from_peers_and_store, cut_off_from_the_store], ids=lambda cut: cut.__name__)
def test_a_primary_that_is_cut_off_is_replaced_and_acknowledges_nothing_more(site, cut):
    is_replaced(site, cut)


@pytest.mark.runtimes("docker")
def test_a_primary_whose_container_is_disconnected_is_replaced(site):
    is_replaced(site, disconnected)


def test_a_replica_that_is_cut_off_is_no_trouble(site):
    primary = site.primary()
    replica, other = site.others(primary)
    with network_of(site, replica) as network:
        site.since = time.monotonic()
        network.drop_all()
        wait_until(lambda: not site.hears_from(primary, replica), 5, f"{primary} hears nothing from {replica}")
        holds_for(lambda: not site.hears_from(primary, replica), LEASE + 2, "it stays so")
        assert site.hears_from(primary, other)
        assert site.sandbox.node(replica)["state"] not in ("accepting", "streaming")
        site.wait_writes_after(time.monotonic(), 5)
        assert site.ledger.gap(site.since) < 3
        assert network.is_cut()
    site.check_end(most_owners=1)
    assert site.primary() == primary

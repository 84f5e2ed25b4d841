"""What happens to containers, and to the network between them, under `quorum`: nobody is told of what is cut off."""
import json
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
    site.kill_all(*units)
    random.shuffle(units)
    print("started in this order:", units)
    site.start_one_by_one(units)
    site.check_end(most_owners=2, limit=90)


def test_a_replica_that_is_added_is_counted_without_a_restart_of_anybody(site):
    primary = site.primary()
    site.sandbox.run("add-replica")
    added = [node["name"] for node in site.sandbox.group()["nodes"] if node["name"] not in site.names]
    assert len(added) == 1
    wait_until(lambda: added[0] in site.sandbox.value("SHOW synchronous_standby_names", node=primary), 20, "commits may wait for it")
    site.sandbox.run("remove-replica", "--node", added[0])
    wait_until(lambda: added[0] not in site.sandbox.value("SHOW synchronous_standby_names", node=primary), 20, "nor for it any more")
    site.check_end(most_owners=1)
    starts = {site.sandbox.docker.inspect(site.sandbox.container(name))["RestartCount"] for name in site.names}
    assert starts == {0} and site.primary() == primary


def test_the_role_is_kept_over_stop_and_start_and_destroy_leaves_nothing(site):
    wanted = other_replicas(site, site.primary())[0]
    site.sandbox.run("switchover", "--to", wanted)
    site.sandbox.run("stop")
    site.sandbox.run("start")
    site.check_end(most_owners=2)
    assert site.primary() == wanted
    site.sandbox.run("destroy", "--yes")
    assert not site.sandbox.left()


def test_no_secret_stands_where_the_engine_shows_it(site):
    secrets = json.loads((site.sandbox.state_dir / site.sandbox.name / "secrets.json").read_text())
    assert len(secrets) >= 7
    for unit in [*site.names, "lb1"]:
        container = site.sandbox.container(unit)
        shown = json.dumps(site.sandbox.docker.inspect(container)) + "\n".join(site.sandbox.pids(unit).values())
        shown += site.sandbox.docker.docker("exec", container, "cat", "/pgbalancer/group.json") if unit != "lb1" else ""
        assert not [name for name, secret in secrets.items() if secret in shown]

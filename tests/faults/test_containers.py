"""What happens to containers alone, under `quorum`."""
import json
import time

import pytest

from faults.site import LEASE
from harness.waiting import wait_until

pytestmark = pytest.mark.runtimes("docker")


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


def test_the_balancers_container_is_killed_and_the_servers_do_not_notice(site):
    primary = site.primary()
    site.kill_all("lb1")
    time.sleep(LEASE + 2)  # the others vouch for the primary
    moment = time.monotonic()
    site.wait_writes_after(moment, 5)
    site.sandbox.docker.docker("start", site.sandbox.container("lb1"))
    site.check_end(most_owners=1)
    assert site.primary() == primary


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
    wanted = site.others(site.primary())[0]
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

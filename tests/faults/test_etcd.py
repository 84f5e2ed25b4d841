"""The leases in an etcd server, under `quorum`."""
import time

import pytest

pytestmark = pytest.mark.etcd


def test_a_killed_postmaster_loses_no_commit(site):
    old = site.primary()
    site.kill_server(old)
    site.wait_writes_after(time.monotonic(), 15)
    site.check_end(most_owners=2)


def test_a_lost_node_loses_the_role_and_no_commit(site):
    old = site.primary()
    site.kill_all(old)
    new = site.wait_writes_by_another(old, 15)
    site.sandbox.run("start", old)
    site.check_end(most_owners=2)
    assert site.primary() == new, "who comes back follows"

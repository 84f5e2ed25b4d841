"""A lease as short as the cluster file allows."""
import time

from harness.sandbox import Sandbox

SHORTEST = 2


def test_with_the_shortest_lease_nothing_moves_while_nothing_happens():
    with Sandbox("process") as cluster:
        cluster.document["ha"] = {"failover": True, "lease": SHORTEST}
        cluster.write()
        cluster.init()
        cluster.wait_healthy()
        before = cluster.run("history").out
        time.sleep(20)  # in which nobody may change anything
        assert cluster.run("history").out == before
        cluster.wait_healthy()
        cluster.document["ha"]["lease"] = SHORTEST / 2
        cluster.write()
        refused = cluster.run("validate", expect=3)
        assert "ha.lease" in refused.out + refused.err and f"{SHORTEST}" in refused.out + refused.err

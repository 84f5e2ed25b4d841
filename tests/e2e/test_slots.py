"""Slots of replicas that were away for longer than a primary keeps WAL for them."""
import pytest

from harness.waiting import wait_until

SMALL = {"max_slot_wal_keep_size": "16MB", "max_wal_size": "32MB", "min_wal_size": "32MB"}
SLOTS = "SELECT slot_name, wal_status, active FROM pg_replication_slots ORDER BY 1"


@pytest.fixture(scope="module")
def cluster(make_sandbox):
    with make_sandbox("process") as sandbox:
        sandbox.document["ha"] = {"failover": True}
        sandbox.document.setdefault("postgres", {}).setdefault("parameters", {}).update(SMALL)
        sandbox.write()
        sandbox.init()
        yield sandbox


def test_a_replica_whose_slot_was_lost_streams_again_by_a_slot_that_keeps_wal(cluster):
    primary, away = cluster.primary(), cluster.replicas()[-1]
    slot = cluster.node(away)["slot"]
    cluster.run("stop", away)

    def is_lost() -> bool:
        cluster.query("SELECT pg_switch_wal() FROM pg_logical_emit_message(false, 'test', 'some WAL')", primary)
        cluster.query("CHECKPOINT", primary)
        return (slot, "lost", False) in cluster.query(SLOTS, primary)
    wait_until(is_lost, 60, f"slot {slot} is lost")
    cluster.run("start", away)
    cluster.wait_healthy()
    slots = cluster.query(SLOTS, primary)
    assert len(slots) == 2 and all(status != "lost" and active for _, status, active in slots), slots
    cluster.query("CREATE TABLE afterwards AS SELECT 1 AS n", primary)
    cluster.wait_value("SELECT count(*)::int FROM pg_class WHERE relname = 'afterwards'", 1, away)

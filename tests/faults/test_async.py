"""`async` under a ledger: what it may lose, and that what the others promise is seen to be broken where it is not kept."""
import time

import pytest

from harness.waiting import wait_until

LIMIT = 1 << 20  # bytes
pytestmark = pytest.mark.document(durability="async", ha={"failover": True, "lag_limit": LIMIT})


def commits_in(site, size: int) -> int:
    """So many of the ledger's commits are in so many bytes of WAL."""
    primary = site.primary()

    def look():
        return site.ledger.count(), int(site.sandbox.value("SELECT pg_current_wal_flush_lsn() - '0/0'", primary))
    count, wal = look()
    wait_until(lambda: site.ledger.count() > count + 200, 20, "commits go on")
    more, later = look()
    return int(size * (more - count) / (later - wal))


def test_a_killed_postmaster_loses_no_more_than_the_limit(site):
    most = commits_in(site, LIMIT)
    old = site.primary()
    site.kill_server(old)
    site.wait_writes_after(time.monotonic(), 15)
    print(f"{site.check_end(most_owners=2, may_lose=most)} lost, at most {most}")


def test_a_lost_node_loses_no_more_than_the_limit(site):
    most = commits_in(site, LIMIT)
    old = site.primary()
    site.kill_all(old)
    new = site.wait_writes_by_another(old, 15)
    site.sandbox.run("start", old)
    print(f"{site.check_end(most_owners=2, may_lose=most)} lost, at most {most}")
    assert site.primary() == new


def test_the_ledger_sees_two_primaries_where_nobody_can_stop_the_first(site):
    """What the tests of cuts and of stopped agents rely on: here nothing but its agent would keep the old primary from acknowledging,
    and that is stopped."""
    old = site.primary()
    pid = site.agent_pid(old)
    site.freeze(pid)
    try:
        site.wait_writes_by_another(old, 15)
        with pytest.raises(AssertionError):
            site.nothing_from(old, 2)
        assert site.ledger.turned_back()
        assert len(site.ledger.owners()) > 2, "they acknowledge in turns"
    finally:
        site.thaw(pid)
    wait_until(lambda: not site.acknowledged_by(old, time.monotonic() - 1, time.monotonic()), 15, f"{old} is stopped, its agent runs again")
    site.nothing_from(old, 2)

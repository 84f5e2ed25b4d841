"""What the disk of a primary does to a group of three under `quorum`."""
import os
import time

import pytest

from harness.waiting import wait_until

pytestmark = [pytest.mark.runtimes("process", "docker"),
              pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a file system for one node's data")]


def test_a_leader_whose_disk_gets_full_hands_over_to_one_with_room(site):
    old, disk = site.lead_from_small_disk(900)
    site.since = time.monotonic()
    disk.fill(left=100 << 20)  # the next WAL files would still fit
    new = site.wait_writes_by_another(old, 10)
    assert site.ledger.gap(site.since) < 2
    time.sleep(4)

    def refused() -> bool:
        told = site.sandbox.run("switchover", "--to", old, expect=None)
        assert told.code != 0, told
        return "disk left" in told.err
    wait_until(refused, 20, "it streams again, and is refused for want of room")
    assert site.primary() == new, "it stays"
    disk.empty()
    site.check_end(most_owners=3, may_return=True)


def test_a_leader_whose_disk_hangs_is_replaced(site):
    """A frozen file system: the server answers queries, but no commit ends, and no process that writes can be killed."""
    old, disk = site.lead_from_small_disk(900)
    site.since = time.monotonic()
    disk.freeze()
    new = site.wait_writes_by_another(old, 20)
    gap = site.ledger.gap(site.since)
    disk.thaw()
    assert gap < 12, "heartbeat, lease, election, all on a loaded machine"
    site.check_end(most_owners=3, may_return=True)
    assert site.primary() == new


def test_a_leader_whose_disk_is_slow_goes_on(site):
    """Each write takes up to a second: that is felt, but no reason to move the role to and fro."""
    slow, disk = site.lead_from_small_disk(900)
    with disk.slow(seconds=0.8):
        site.since = time.monotonic()
        time.sleep(15)
        done = site.ledger.gap(site.since, until=time.monotonic())
        times = [ack.came for ack in site.ledger.acks if ack.came > site.since]
        print(f"{len(times)} commits while the disk was slow, the longest gap {done:.2f} s")
    assert done < 5
    site.check_end(most_owners=2)
    assert site.primary() == slow, "the role stays"


def test_slots_keep_as_much_as_the_disk_has_room_for(site):
    name, disk = site.lead_from_small_disk(900)

    def limit() -> int:
        return site.sandbox.value("SELECT setting::int FROM pg_settings WHERE name = 'max_slot_wal_keep_size'", name)

    def is_half() -> bool:
        wal = int(site.sandbox.value("SELECT sum(size) FROM pg_ls_waldir()", name))
        half = (disk.free() + wal) / 2 / (1 << 20)
        return abs(limit() - half) < half / 8 + 16
    wait_until(is_half, 25, "slots may hold half of what there is for WAL")
    before = limit()
    assert 64 <= before < 450
    disk.fill(left=300 << 20)
    wait_until(lambda: limit() < before * 7 / 8 and is_half(), 25, "less room, less for slots")
    disk.empty()
    wait_until(lambda: limit() > before * 7 / 8, 25, "room again")
    site.check_end(most_owners=3)

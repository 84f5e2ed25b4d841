"""What becomes of the role when a server cannot be promoted; under `quorum`."""
import os
import time

from harness.waiting import wait_until


def data_of(site, node: str):
    return site.sandbox.state_dir / site.sandbox.name / "units" / node / "data" / "pgdata"


def test_a_promotion_that_fails_lets_another_lead_and_its_server_comes_back(site):
    """As after one that broke off: the number of the timeline is taken on the disk."""
    old = site.primary()
    node = site.others(old)[0]
    timeline = site.sandbox.value("SELECT timeline_id FROM pg_control_checkpoint()", old)
    taken = data_of(site, node) / "pg_wal" / f"{timeline + 1:08X}.history"
    taken.write_text("# of a promotion that broke off\n")
    taken.chmod(0o600)
    owner = data_of(site, node).stat()
    os.chown(taken, owner.st_uid, owner.st_gid)
    site.since = time.monotonic()
    site.sandbox.run("switchover", "--to", node, expect=None)
    site.wait_writes_after(time.monotonic(), 15)
    told = site.sandbox.run("history").out
    assert f"{node} gives epoch" in told and "its promotion failed" in told, told
    wait_until(lambda: site.sandbox.node(node)["state"] in ("streaming", "accepting"), 30, "its server is up again")
    site.check_end(most_owners=3)

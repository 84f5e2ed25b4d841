"""What the verbs around failover do to clients that write."""
import time

from harness.waiting import holds_for, wait_until


def test_a_restart_in_turn_keeps_every_commit_and_writes_go_on(site):
    old = site.primary()
    site.since = time.monotonic()
    site.sandbox.run("restart")
    assert site.ledger.gap(site.since) < 5
    site.check_end(most_owners=2)
    assert site.primary() != old


def test_nobody_acknowledges_in_a_pause_but_the_primary_and_after_it_another_may(site):
    old = site.primary()
    site.sandbox.run("pause")
    site.kill(site.agent_pid(old))
    killed = time.monotonic()
    holds_for(lambda: not [ack for ack in site.ledger.acks if ack.sent > killed], 6, "nobody takes over")
    site.sandbox.run("resume")  # its program has ended: it cannot lead on
    new = site.wait_writes_by_another(old, 15)
    site.sandbox.run("start", old)
    site.check_end(most_owners=2)
    assert site.primary() == new


def test_a_reinit_under_load_loses_nothing(site):
    primary = site.primary()
    node = next(name for name in site.names if name != primary)
    site.since = time.monotonic()
    site.sandbox.run("reinit", node, "--yes")
    wait_until(lambda: site.sandbox.node(node)["state"] == "streaming", 20, "it streams")
    assert site.ledger.gap(site.since) < 5, "the other replica has each commit"
    site.check_end(most_owners=1)

"""A replica that says nothing any more, but whose connection stands: its walsender waits for it, and a clean stop for that."""
import subprocess
import time

import pytest

from harness.waiting import wait_until

SENDER = 5.0  # wal_sender_timeout, as every server has it


def frozen_parts(site, name: str) -> list[int]:
    """The postmaster and the walreceiver: nobody starts a new one."""
    processes = site.sandbox.pids(name)
    receivers = [pid for pid, command in processes.items() if "walreceiver" in command]
    assert len(receivers) == 1, processes
    return [site.sandbox.postgres_pids(name)[0], *receivers]


@pytest.mark.parametrize("also", ["server", "agent"])
def test_a_switchover_does_not_wait_for_a_silent_replica(site, also):
    """Nobody but the former leader is left to confirm what the next one writes: its server is started first, after a second."""
    old = site.primary()
    target, silent = site.others(old)
    pids = frozen_parts(site, silent) + ([site.agent_pid(silent)] if also == "agent" else [])
    site.sandbox.freeze(pids)
    site.since = time.monotonic()
    try:
        program = site.sandbox.manager.popen("switchover", "--config", site.sandbox.file, "--to", target, stdout=subprocess.PIPE)
        assert site.wait_writes_by_another(old, 20) == target
        gap = site.ledger.gap(site.since)
        print(f"{time.monotonic() - site.since:.2f} s until {target} acknowledges, gap {gap:.2f} s")
    finally:
        site.sandbox.thaw(pids)
    out, err = program.communicate(timeout=90)
    assert program.returncode == 0 and f"{target} leads" in out, (out, err)
    assert gap < 3
    site.check_end(most_owners=2)
    assert site.primary() == target


def test_a_silent_replica_soon_counts_as_gone(site):
    primary = site.primary()
    silent, _ = site.others(primary)
    pids = [site.agent_pid(silent), *frozen_parts(site, silent)]
    site.sandbox.freeze(pids)
    site.since = time.monotonic()
    try:
        wait_until(lambda: not site.sandbox.query("SELECT 1 FROM pg_stat_replication WHERE application_name = %s", primary, parameters=(silent,)),
                   SENDER + 3, f"{primary} takes {silent} for gone")
        assert site.ledger.gap(site.since) < 3, "the other one has each commit"
    finally:
        site.sandbox.thaw(pids)
    site.check_end(most_owners=1)
    assert site.primary() == primary

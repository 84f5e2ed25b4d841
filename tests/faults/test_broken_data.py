"""A replica whose data are damaged, so that its server does not come up again."""
import pathlib

import pytest

from harness.waiting import holds_for, wait_until


def damage_control(data: pathlib.Path) -> None:
    file = data / "global" / "pg_control"
    file.write_bytes(bytes(file.stat().st_size))


def damage_wal(data: pathlib.Path) -> None:
    """A standby that has not got the WAL that it needs waits for it, and tells nobody."""
    for file in (data / "pg_wal").iterdir():
        if file.is_file():
            file.unlink()


@pytest.mark.parametrize("damage", [damage_control, damage_wal])
def test_a_reinit_mends_a_replica_whose_server_does_not_start(site, damage):
    primary = site.primary()
    node = site.others(primary)[0]
    agent = site.agent_pid(node)
    site.freeze(agent)
    site.kill_server(node)
    damage(site.sandbox.state_dir / site.sandbox.name / "units" / node / "data" / "pgdata")
    site.thaw(agent)
    wait_until(lambda: site.sandbox.node(node)["state"] != "streaming", 20, "it is seen to be gone")
    holds_for(lambda: site.sandbox.node(node)["state"] != "streaming", 6, "it does not come up by itself")
    site.sandbox.run("reinit", node, "--yes")
    wait_until(lambda: site.sandbox.node(node)["state"] == "streaming", 20, "it streams")
    site.check_end(most_owners=1)
    assert site.primary() == primary

"""The machine's clock is set forward and back: for all processes of a cluster, by libfaketime (Debian's package, or $PGB_FAKETIME), not
for the machine. It reaches only programs that are linked dynamically: cmake -DPGB_STATIC=OFF."""
import contextlib
import datetime
import os
import pathlib
import time

import pytest

from faults.site import LEASE, Site
from harness.manager import bin_dir
from harness.sandbox import Sandbox
from harness.waiting import wait_until

HOUR = 3600


def library() -> pathlib.Path:
    given = [os.environ["PGB_FAKETIME"]] if "PGB_FAKETIME" in os.environ else []
    for path in [*map(pathlib.Path, given), *pathlib.Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")]:
        if path.exists():
            return path
    return pytest.skip("there is no libfaketime; try: apt-get install libfaketime")


class Clock:
    def __init__(self, sandbox: Sandbox):
        self.file = sandbox.folder / "clock"
        self.set(0)
        self.library = library()
        sandbox.manager.env |= {"LD_PRELOAD": str(self.library), "FAKETIME_TIMESTAMP_FILE": str(self.file), "FAKETIME_NO_CACHE": "1",
                                "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1"}

    def set(self, seconds: int) -> None:
        """So many seconds after, or before, what the machine says."""
        fresh = self.file.with_suffix(".new")
        fresh.write_text(f"{seconds:+d}")
        fresh.replace(self.file)

    def reaches(self, pid: int) -> bool:
        return self.library.name in pathlib.Path(f"/proc/{pid}/maps").read_text()


@pytest.fixture(name="timed")
def timed_site():
    library()
    if b"ld-linux" not in (bin_dir() / "pgbalancer_agent").read_bytes()[:4096]:
        pytest.skip("the programs are linked statically; try: cmake -DPGB_STATIC=OFF, PGB_BIN")
    with contextlib.ExitStack() as stack:
        sandbox = stack.enter_context(Sandbox("process"))
        clock = Clock(sandbox)
        sandbox.document["ha"] = {"failover": True}
        sandbox.write()
        sandbox.init()
        site = Site(sandbox)
        stack.callback(site.close)
        assert all(clock.reaches(site.agent_pid(name)) for name in site.names)
        yield site, clock


def offset_of_server(site, name: str) -> float:
    return float(site.sandbox.value("SELECT extract(epoch FROM clock_timestamp())", name)) - time.time()


def offset_of_agent(site, name: str) -> float:
    """By the last line of its log that bears a time."""
    log = site.sandbox.state_dir / site.sandbox.name / "units" / name / "log"
    lines = [line for line in log.read_text().splitlines() if " pgbalancer_agent: " in line]
    return datetime.datetime.fromisoformat(lines[-1].split()[0].replace("Z", "+00:00")).timestamp() - log.stat().st_mtime


def test_a_clock_that_jumps_moves_nothing_and_delays_no_failover(timed):
    site, clock = timed
    primary = site.primary()
    before = site.sandbox.run("history").out
    for jump in (HOUR, -HOUR, 0, 24 * HOUR):
        site.since = time.monotonic()
        clock.set(jump)
        wait_until(lambda wanted=jump: abs(offset_of_server(site, primary) - wanted) < 30, 10, f"the clock is {jump} s off")
        time.sleep(2 * LEASE)
        site.wait_writes_after(time.monotonic(), 5)
        assert site.ledger.gap(site.since) < 2
    assert site.primary() == primary
    assert site.sandbox.run("history").out == before, "no epoch but the first, no change of any record"
    site.kill_all(primary)
    clock.set(-HOUR)
    new = site.wait_writes_by_another(primary, 15)
    assert site.ledger.gap(site.since) < 3
    wait_until(lambda: abs(offset_of_agent(site, new) + HOUR) < 60, 20, "its agent goes by that clock, too")
    site.sandbox.run("start", primary)
    site.check_end(most_owners=2)

"""A telling part of PostgreSQL's own tests gives the same results through the balancer, in transaction mode and with two
replicas that take reads. All of them: `make compat`."""
import pathlib
import tempfile

import pytest

from compat.comparison import differences, explained
from compat.site import Site
from compat.source import Source, Unavailable
from compat.suites import SUITES

PARTS = {
    "regress": ["test_setup", "prepare", "transactions", "plancache", "temp", "limit", "plpgsql", "portals",
                "guc", "sequence", "combocid", "advisory_lock", "returning", "rangefuncs"],
    "isolation": ["read-only-anomaly-3", "deadlock-simple", "fk-contention", "temp-schema-cleanup", "sequence-ddl", "timeouts",
                  "nowait", "skip-locked", "insert-conflict-do-nothing", "serializable-parallel"],
    "pipeline": [],
}


@pytest.fixture(scope="module")
def source():
    with tempfile.TemporaryDirectory(prefix="pgb-suite-") as name:
        pathlib.Path(name).chmod(0o755)
        try:
            yield Source(pathlib.Path(name))
        except Unavailable as reason:
            pytest.skip(f"PostgreSQL's own tests cannot be had: {reason}")


@pytest.mark.parametrize("suite", list(PARTS))
def test_the_balancer_makes_no_difference_to_postgresqls_own_tests(source, suite, tmp_path):
    tmp_path.chmod(0o755)
    direct, through = tmp_path / "direct", tmp_path / "through"
    with Site(1) as site:
        SUITES[suite](source, site.primary, site.primary.port, "direct", direct, PARTS[suite])
    with Site(3) as site:
        SUITES[suite](source, site.primary, site.serve_mode("transaction").port, "transaction", through, PARTS[suite])
    assert len(list((direct / "results").glob("*.out"))) >= max(len(PARTS[suite]), 5)
    found = differences(direct, through)
    unexpected = {test: text for test, text in found.items() if test not in explained(suite, "transaction")}
    assert not unexpected, "\n".join(unexpected.values())

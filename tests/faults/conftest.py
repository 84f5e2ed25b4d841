"""Each test gets a cluster of its own, a ledger of acknowledged commits that runs all the time, and the promise to check."""
import contextlib
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from e2e.conftest import last_words, pytest_runtest_makereport  # noqa: E402, F401
from faults.site import Site  # noqa: E402
from harness.sandbox import Sandbox  # noqa: E402


@pytest.fixture
def site():
    with contextlib.ExitStack() as stack:
        sandbox = stack.enter_context(Sandbox("process", None))
        sandbox.document["ha"] = {"failover": True}
        sandbox.write()
        sandbox.init()
        made = Site(sandbox)
        stack.callback(made.close)
        yield made


__all__ = ["last_words"]

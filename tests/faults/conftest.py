"""Each test gets a cluster of its own, a ledger of acknowledged commits that runs all the time, and the promise to check. Which
runtimes it is for stands in its mark (`runtimes`), else it is for local processes."""
import contextlib
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from e2e.conftest import (docker_host_for, last_words, pytest_addoption, pytest_collection_finish,  # noqa: E402, F401
                          pytest_collection_modifyitems, pytest_configure, pytest_runtest_makereport, pytest_unconfigure)
from faults.site import Site  # noqa: E402
from harness.sandbox import Sandbox  # noqa: E402


def pytest_generate_tests(metafunc):
    if "site" in metafunc.fixturenames:
        mark = metafunc.definition.get_closest_marker("runtimes")
        metafunc.parametrize("site", mark.args if mark else ["process"], indirect=True)


@pytest.fixture
def site(request):
    with contextlib.ExitStack() as stack:
        sandbox = stack.enter_context(Sandbox(request.param, docker_host_for(request.param, request.config)))
        sandbox.document["ha"] = {"failover": True}
        sandbox.write()
        sandbox.init()
        made = Site(sandbox)
        stack.callback(made.close)
        yield made


__all__ = ["last_words"]

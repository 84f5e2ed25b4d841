"""Each test gets a cluster of its own, a ledger of acknowledged commits that runs all the time, and the promise to check. Which
runtimes it is for stands in its mark (`runtimes`), else it is for local processes; whether it cuts their network in its mark `cuts`;
what is different in its cluster file in `document`; that its leases are in an etcd server in `etcd`."""
import contextlib
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from e2e import conftest as e2e  # noqa: E402
from e2e.conftest import (docker_host_for, last_words, pytest_addoption, pytest_collection_modifyitems,  # noqa: E402, F401
                          pytest_runtest_makereport, pytest_unconfigure)
from faults.cuts import Wires  # noqa: E402
from faults.site import Site  # noqa: E402
from harness import engine  # noqa: E402
from harness.sandbox import Sandbox  # noqa: E402
from harness.store import Etcd  # noqa: E402


def pytest_configure(config):
    e2e.pytest_configure(config)
    config.addinivalue_line("markers", "cuts: cuts units off the network")
    config.addinivalue_line("markers", "document: keys of the cluster file")
    config.addinivalue_line("markers", "etcd: the lease store is an etcd server")
    config.own_network = False


def pytest_collection_finish(session):
    """The engine brings a network namespace of its own; without it, one is made for those who cut local processes."""
    e2e.pytest_collection_finish(session)
    config = session.config
    config.own_network = bool(config.engine and config.engine.own)
    if config.option.collectonly or config.engine or not any(item.get_closest_marker("cuts") for item in session.items):
        return
    with contextlib.suppress(engine.Unavailable):
        engine.enter_own_network()
        config.own_network = True


def pytest_generate_tests(metafunc):
    if "site" in metafunc.fixturenames:
        mark = metafunc.definition.get_closest_marker("runtimes")
        metafunc.parametrize("site", mark.args if mark else ["process"], indirect=True)


def wires_for(request) -> Wires | None:
    if request.param != "process" or not request.node.get_closest_marker("cuts"):
        return None
    try:
        return Wires(request.config.own_network)
    except engine.Unavailable as reason:
        return pytest.skip(str(reason))


@pytest.fixture
def site(request):
    with contextlib.ExitStack() as stack:
        wires = wires_for(request)
        if wires:
            stack.enter_context(wires)
        sandbox = stack.enter_context(Sandbox(request.param, docker_host_for(request.param, request.config)))
        sandbox.document["ha"] = {"failover": True}
        if mark := request.node.get_closest_marker("document"):
            sandbox.document |= mark.kwargs
        if request.node.get_closest_marker("etcd"):
            sandbox.document["dcs"] = {"etcd": [stack.enter_context(contextlib.closing(Etcd())).url]}
        sandbox.write()
        sandbox.init()
        if wires:
            wires.attach(sandbox)
        made = Site(sandbox, wires)
        stack.callback(made.close)
        yield made


__all__ = ["last_words"]

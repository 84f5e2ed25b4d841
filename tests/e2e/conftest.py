import contextlib
import pathlib
import re
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from compat import source  # noqa: E402
from harness import pcp, registry  # noqa: E402
from harness.apt import Unavailable as NoPackage  # noqa: E402
from harness.engine import Engine, Unavailable  # noqa: E402
from harness.pooled import SERVERS, SETUP, WAIT_LIMIT, Pooled  # noqa: E402
from harness.sandbox import PRODUCTION, SIMPLE, Sandbox  # noqa: E402

RUNTIMES = ["process", "docker"]


def wants_docker(item) -> bool:
    parameters = getattr(getattr(item, "callspec", None), "params", {})
    return "docker" in parameters.values() or item.get_closest_marker("docker") is not None


def pytest_addoption(parser):
    parser.addoption("--docker", choices=("with", "without", "only"), default="with", help="which tests: those that need a Docker Engine, "
                     "the others, or all")


def pytest_collection_modifyitems(config, items):
    choice = config.getoption("--docker")
    kept = [item for item in items if choice == "with" or wants_docker(item) == (choice == "only")]
    if len(kept) < len(items):
        config.hook.pytest_deselected(items=[item for item in items if item not in set(kept)])
        items[:] = kept


def pytest_configure(config):
    config.addinivalue_line("markers", "docker: needs a Docker Engine")
    config.addinivalue_line("markers", "runtimes(*names): which runtimes a test of faults is for")
    config.engine = None
    config.engine_missing = "no test wanted one"


def pytest_collection_finish(session):
    """Before the first test: the engine's network namespace becomes ours, too."""
    config = session.config
    if not config.option.collectonly and any(item.path.stem in ("test_pcp", "test_rest_group") for item in session.items):
        with contextlib.suppress(NoPackage):
            pcp.fetch()
    if config.option.collectonly or not any(wants_docker(item) for item in session.items):
        return
    with contextlib.suppress(registry.Unavailable):
        registry.program()  # while we still have the machine's network
    if any(item.path.stem == "test_compat" for item in session.items):
        with contextlib.suppress(source.Unavailable):
            source.fetch()
    engine = Engine()
    try:
        engine.start()
        config.engine = engine
    except Unavailable as reason:
        config.engine_missing = str(reason)


def pytest_unconfigure(config):
    if getattr(config, "engine", None):
        config.engine.stop()


def docker_host_for(runtime: str, config) -> str | None:
    if runtime != "docker":
        return None
    if not config.engine:
        pytest.skip(f"no Docker Engine: {config.engine_missing}")
    return config.engine.host


@pytest.fixture(scope="module", params=RUNTIMES)
def runtime(request) -> str:
    docker_host_for(request.param, request.config)
    return request.param


@pytest.fixture(scope="session")
def make_sandbox(request):
    """A new sandbox each call; all are gone at the end of the session at the latest."""
    made = []

    def make(runtime: str, example=SIMPLE) -> Sandbox:
        made.append(Sandbox(runtime, docker_host_for(runtime, request.config), example))
        return made[-1]

    yield make
    for sandbox in made:
        if sandbox.folder.exists():
            sandbox.close()


@pytest.fixture
def fresh(runtime, make_sandbox):
    """A cluster file of this test's own; nothing is made yet."""
    with make_sandbox(runtime) as sandbox:
        yield sandbox


@pytest.fixture
def fresh_production(runtime, make_sandbox):
    with make_sandbox(runtime, PRODUCTION) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def standing(runtime, make_sandbox):
    """A healthy cluster that the tests of a module share; each leaves it healthy."""
    with make_sandbox(runtime) as sandbox:
        sandbox.first_init = sandbox.init()
        yield sandbox


@pytest.fixture(scope="module")
def pooled_cluster(make_sandbox):
    """Two servers a node, for the many clients of a module's tests."""
    with make_sandbox("process") as sandbox:
        sandbox.balancer()["config"] = {"pool_size": SERVERS, "max_clients": 200, "query_wait_timeout": WAIT_LIMIT,
                                        "load_balance_mode": "on"}
        sandbox.write()
        sandbox.init()
        sandbox.query(SETUP, "primary1")
        yield sandbox


@pytest.fixture
def pooled(pooled_cluster):
    """Its clients; at the end nothing is left of them."""
    clients = Pooled(pooled_cluster)
    with clients.stack:
        yield clients
    clients.check_clean()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """The servers' last words stand beside a failure."""
    outcome = yield
    report = outcome.get_result()
    if report.when != "call" or not report.failed:
        return
    for value in item.funcargs.values():
        value = getattr(value, "sandbox", value)
        if isinstance(value, Sandbox) and value.folder.exists():
            report.sections.append((f"logs of {value.name}", last_words(value)))


# What a ledger's writers hear from replicas, again and again.
TOLD_TOO_OFTEN = re.compile("in a read-only transaction|STATEMENT:  INSERT INTO ledger|waiting for WAL to become available")


def last_words(sandbox: Sandbox) -> str:
    texts = []
    try:
        texts.append(str(sandbox.run("status", expect=None, limit=20)))
        for balancer in sandbox.document["balancers"]:
            for unit in [balancer["name"], *sandbox.hosts(balancer["name"])]:
                lines = sandbox.run("logs", unit, "--lines", "5000", expect=None, limit=20).out.splitlines()
                told = [line for line in lines if not TOLD_TOO_OFTEN.search(line)]
                texts.append("\n".join([f"--- {unit}", *told[-25:]]))
    except Exception as error:  # pylint: disable=broad-except
        texts.append(f"(no more: {error})")
    return "\n".join(texts)

#!/usr/bin/env python3
"""Runs every test that CTest knows in a build folder (unit tests, layer check) and, unless --unit, the
end-to-end tests. For those of them that need Docker, and for the Docker runtime's own tests, an Engine is started, if one can
run here (tests/harness/engine.py): beside the others, in a network of its own. The last line is 'N passed, N failed, N skipped', counted by test case; the
exit code is 0 only if something ran and nothing failed."""
import argparse
import collections
import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import xml.etree.ElementTree as xml

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from harness import registry  # noqa: E402
from harness.engine import Engine, Unavailable  # noqa: E402

UNIT_LIMIT = 300  # seconds that one program may take
E2E_LIMIT = 2400


def outcome(case: xml.Element) -> str:
    if case.find("failure") is not None or case.find("error") is not None:
        return "failed"
    # A disabled gtest case stands in the report, too, without having run.
    if case.find("skipped") is not None or case.get("status") == "notrun":
        return "skipped"
    return "passed"


def count(report: pathlib.Path) -> list[int]:
    """passed, failed, skipped of a JUnit file; skips are printed with their reason."""
    total = {"passed": 0, "failed": 0, "skipped": 0}
    reasons = collections.Counter()
    for case in xml.parse(report).getroot().iter("testcase"):
        name = f"{case.get('classname')}.{case.get('name')}"
        result = outcome(case)
        total[result] += 1
        if result == "failed":
            print(f"   FAILED  {name}")
        elif result == "skipped":
            skip = case.find("skipped")
            text = "disabled" if skip is None else skip.get("message") or skip.text or "no reason given"
            reasons[" ".join(text.split())] += 1
    for text, number in reasons.items():
        print(f"   {number} skipped: {text}")
    return list(total.values())


def end(child: subprocess.Popen, output) -> str:
    """Lets it clean up after itself before it is killed with all it started."""
    for number, patience in ((signal.SIGINT, 60), (signal.SIGKILL, 10)):
        try:
            os.killpg(child.pid, number)
            child.wait(patience)
        except ProcessLookupError:
            break
        except subprocess.TimeoutExpired:
            continue
    output.seek(0)
    return output.read()


STOPPED = threading.Event()  # somebody pressed Ctrl-C


def run_command(command: list[str], limit: float) -> tuple[int, str]:
    # A file, not a pipe: something left running must not make us wait for its end.
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        try:
            child = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output,
                                     stderr=subprocess.STDOUT, start_new_session=True)
        except OSError as error:
            return 127, str(error)
        until = time.monotonic() + limit
        while child.poll() is None:
            if STOPPED.wait(0.1):
                return 130, end(child, output)
            if time.monotonic() > until:
                return 124, f"{end(child, output)}\nended after {limit} s"
        output.seek(0)
        return child.returncode, output.read()


PRINTING = threading.Lock()


def run(name: str, command: list[str], report: pathlib.Path | None, limit: float) -> list[int]:
    code, output = run_command(command, limit)
    with PRINTING:
        print(f"== {name}")
        if report is None:
            result = [1, 0, 0] if code == 0 else [0, 1, 0]
        else:
            try:
                result = count(report)
            except (OSError, xml.ParseError):
                result = [0, 1, 0]  # it never came to write its report
            if code != 0 and result[1] == 0:
                result[1] = 1  # it died after its last case
        if result[1]:
            print(output[-30000:])
        print(f"   {result[0]} passed, {result[1]} failed, {result[2]} skipped", flush=True)
    return result


def run_lanes(lanes: list) -> list[int]:
    """The jobs of a lane one after the other, in a thread of its own, the lanes side by side."""
    total = [0, 0, 0]

    def add(result: list[int]) -> None:
        with PRINTING:
            total[:] = [a + b for a, b in zip(total, result)]

    def work(lane) -> None:
        with contextlib.closing(lane):
            try:
                for job in lane:
                    add(run(*job))
                    if STOPPED.is_set():
                        break
            except Exception:  # pylint: disable=broad-except
                traceback.print_exc()
                add([0, 1, 0])
    threads = [threading.Thread(target=work, args=(lane,)) for lane in lanes]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    except KeyboardInterrupt:
        STOPPED.set()
        for thread in threads:
            thread.join()
        raise
    return total


def known_tests(build: pathlib.Path) -> list[dict]:
    listing = subprocess.run(["ctest", "--test-dir", str(build), "--show-only=json-v1"], check=True,
                             stdout=subprocess.PIPE, text=True)
    return json.loads(listing.stdout)["tests"]


def is_unit(test: dict) -> bool:
    properties = {p["name"]: p["value"] for p in test.get("properties", [])}
    return "unit" in properties.get("LABELS", [])


def unit_jobs(build: pathlib.Path, reports: pathlib.Path, docker: bool):
    """Those that need Docker, or the others."""
    for test in known_tests(build):
        name = test["name"]
        if (name == "runtime") != docker:
            continue
        # CTest leaves the command out if the program was not built.
        command = test.get("command") or [f"{build}: the program of test {name} is absent"]
        report = reports / f"{name}.xml" if is_unit(test) else None
        yield name, command + ([f"--gtest_output=xml:{report}"] if report else []), report, UNIT_LIMIT


def pytest_job(name: str, pattern: str, reports: pathlib.Path, *options: str) -> tuple:
    report = reports / f"{name.replace(' ', '-')}.xml"
    tests = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob(f"tests/{pattern}"))
    command = ["/usr/bin/python3", "-m", "pytest", "-q", "-p", "no:cacheprovider", *(tests or [pattern]),
               f"--junitxml={report}", *options]
    return name, command, report, E2E_LIMIT


@contextlib.contextmanager
def engine_for_tests():
    """This thread and what it starts leave the machine's network. The tests find the engine, or why there is none, in the
    environment."""
    with contextlib.suppress(registry.Unavailable):
        registry.program()  # while we still have the machine's network
    engine = Engine()
    try:
        engine.start()
        os.environ["PGB_TEST_DOCKER_HOST"] = os.environ["PGB_TEST_DOCKER"] = engine.host
    except Unavailable as reason:
        os.environ["PGB_TEST_NO_DOCKER"] = str(reason)
        with PRINTING:
            print(f"== no Docker Engine: {reason}", flush=True)
    try:
        yield
    finally:
        engine.stop()


def docker_lane(build: pathlib.Path, reports: pathlib.Path):
    with engine_for_tests():
        yield from unit_jobs(build, reports, docker=True)
        yield pytest_job("e2e in Docker", "e2e", reports, "--docker=only")
        yield pytest_job("faults in Docker", "faults", reports, "--docker=only", "-k", "killed_primary or peers_and_store")


def long_lane(reports: pathlib.Path):
    """More than half of the end-to-end tests; most of their time is waiting."""
    yield pytest_job("e2e from l on", "e2e/test_[l-z]*.py", reports, "--docker=without")


def other_lane(build: pathlib.Path, reports: pathlib.Path):
    yield from unit_jobs(build, reports, docker=False)
    yield pytest_job("drivers", "drivers", reports)
    yield pytest_job("e2e up to k", "e2e/test_[a-k]*.py", reports, "--docker=without")
    yield pytest_job("faults", "faults", reports, "--docker=without", "-k", "killed_agent or killed_postmaster or strict")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--unit", action="store_true", help="leave the end-to-end tests out")
    parser.add_argument("build", help="build folder")
    arguments = parser.parse_args()
    # A shell's background job ignores it, and so would what the tests start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    build = (ROOT / arguments.build).resolve()
    os.environ["PGB_BIN"] = str(build / "bin")
    with tempfile.TemporaryDirectory() as folder:
        reports = pathlib.Path(folder)
        if arguments.unit:
            lanes = [unit_jobs(build, reports, docker=False), unit_jobs(build, reports, docker=True)]
        else:
            lanes = [long_lane(reports), other_lane(build, reports), docker_lane(build, reports)]
        total = run_lanes(lanes)
    print(f"{total[0]} passed, {total[1]} failed, {total[2]} skipped")
    return 0 if total[1] == 0 and total[0] > 0 else 1


if __name__ == "__main__":
    sys.exit(main())

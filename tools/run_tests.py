#!/usr/bin/env python3
"""Runs every test program of a build folder, the layer check and (unless --unit) the end-to-end
tests; the last line is 'N passed, N failed, N skipped', counted by test case."""
import os
import pathlib
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as xml

ROOT = pathlib.Path(__file__).resolve().parent.parent
LIMIT = 900  # seconds a program may take


def count(report: pathlib.Path) -> tuple[int, int, int]:
    """passed, failed, skipped of a JUnit file; skips are printed with their reason."""
    passed = failed = skipped = 0
    for case in xml.parse(report).getroot().iter("testcase"):
        name = f"{case.get('classname')}.{case.get('name')}"
        skip = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            failed += 1
            print(f"FAILED  {name}")
        elif skip is not None:
            skipped += 1
            reason = " ".join((skip.get("message") or skip.text or "").split())
            print(f"skipped {name}: {reason or 'no reason given'}")
        else:
            passed += 1
    return passed, failed, skipped


def run(name: str, command: list[str], report: pathlib.Path | None) -> tuple[int, int, int]:
    print(f"== {name}", flush=True)
    try:
        done = subprocess.run(command, cwd=ROOT, timeout=LIMIT, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
        code, output = done.returncode, done.stdout
    except subprocess.TimeoutExpired as late:
        code, output = 124, str(late)
    if report is None:
        result = (1, 0, 0) if code == 0 else (0, 1, 0)
    elif report.exists():
        result = count(report)
        if code != 0 and result[1] == 0:
            result = (result[0], 1, result[2])  # it died after its last case
    else:
        result = (0, 1, 0)
    if result[1]:
        print(output[-20000:])
    print(f"   {result[0]} passed, {result[1]} failed, {result[2]} skipped", flush=True)
    return result


def main() -> int:
    unit_only = "--unit" in sys.argv
    build = ROOT / [a for a in sys.argv[1:] if not a.startswith("--")][0]
    total = [0, 0, 0]
    with tempfile.TemporaryDirectory() as folder:
        reports = pathlib.Path(folder)
        jobs = [("layers", ["/usr/bin/python3", "tools/check_layers.py", "."], None)]
        for program in sorted((build / "bin").glob("*_test")):
            report = reports / f"{program.name}.xml"
            jobs.append((program.name, [str(program), f"--gtest_output=xml:{report}"], report))
        if not unit_only and list((ROOT / "tests" / "e2e").glob("test_*.py")):
            report = reports / "e2e.xml"
            os.environ["PGB_BIN"] = str(build / "bin")
            jobs.append(("e2e", ["/usr/bin/python3", "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/e2e",
                                 f"--junitxml={report}"], report))
        for job in jobs:
            total = [a + b for a, b in zip(total, run(*job))]
    print(f"{total[0]} passed, {total[1]} failed, {total[2]} skipped")
    return 0 if total[1] == 0 and total[0] > 0 else 1


if __name__ == "__main__":
    sys.exit(main())

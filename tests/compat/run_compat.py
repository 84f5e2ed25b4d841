#!/usr/bin/python3
"""PostgreSQL's own tests, directly and through the balancer: the results have to be the same.

  run_compat.py [--suite regress|isolation|pipeline] [--mode session|transaction] [--nodes 1|3] [--tests boolean,char,…]
                [--runs N] [--keep DIR]

Without options: all suites in both modes, with one server and with two replicas that take reads. A result that is named
there as different by chance is made again, and counts only if it is different again. Exit 1 if a result differs that
docs/compatibility.md does not name, or more than it allows in one run; 2 if the suites cannot be had."""
import argparse
import pathlib
import shutil
import signal
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from compat.comparison import by_chance, differences, is_good  # noqa: E402
from compat.site import Site  # noqa: E402
from compat.source import Source, Unavailable  # noqa: E402
from compat.suites import SUITES, up_to  # noqa: E402


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--suite", choices=list(SUITES))
    parser.add_argument("--mode", choices=["session", "transaction"])
    parser.add_argument("--nodes", type=int, choices=[1, 3])
    parser.add_argument("--tests", default="", type=lambda text: [name for name in text.split(",") if name])
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--keep", type=pathlib.Path)
    return parser.parse_args()


def make(source: Source, suite: str, mode: str, nodes: int, tests: list[str], results: pathlib.Path) -> None:
    """The results through the balancer."""
    with Site(nodes) as site:
        SUITES[suite](source, site.primary, site.serve_mode(mode).port, mode, results, tests)
        shutil.copy(site.folder.path / "balancer.log", results)


def through(source: Source, suite: str, mode: str, nodes: int, tests: list[str], direct: pathlib.Path,
            results: pathlib.Path) -> bool:
    make(source, suite, mode, nodes, tests, results)
    found = differences(direct, results)
    for test, text in found.items():
        (results / f"{test}.diff").write_text(text)
    for test in by_chance(suite, mode, found):
        again = results.with_name(f"{results.name}-again-{test}")
        make(source, suite, mode, nodes, tests or up_to(source, suite, test), again)
        if test not in differences(direct, again):
            print(f"{test} was different, and is the same when it is run again: {results / test}.diff")
            del found[test]
    count = len(list((direct / "results").glob("*.out")))
    good = count > 0 and is_good(suite, mode, found)
    print(f"{suite:10} {mode:12} {nodes:7} {count:6} {count - len(found):6} {len(found):9}  "
          f"{'' if good else 'FAILED '}{' '.join(found)}", flush=True)
    return good


def main() -> int:
    options = arguments()
    keep = options.keep or pathlib.Path(tempfile.mkdtemp(prefix="pgb-compat-"))
    keep.mkdir(parents=True, exist_ok=True)
    keep.chmod(0o755)
    good = True
    with tempfile.TemporaryDirectory(prefix="pgb-suite-") as name:
        pathlib.Path(name).chmod(0o755)
        source = Source(pathlib.Path(name))
        print(f"{'suite':10} {'mode':12} {'servers':>7} {'files':>6} {'same':>6} {'different':>9}")
        for suite in [options.suite] if options.suite else SUITES:
            direct = keep / f"{suite}-direct"
            with Site(1) as site:
                SUITES[suite](source, site.primary, site.primary.port, "direct", direct, options.tests)
            for run in range(1, options.runs + 1):
                for mode in [options.mode] if options.mode else ["session", "transaction"]:
                    for nodes in [options.nodes] if options.nodes else [1, 3]:
                        results = keep / f"{suite}-{mode}-{nodes}-{run}"
                        good = through(source, suite, mode, nodes, options.tests, direct, results) and good
    print(f"results and differences: {keep}")
    return 0 if good else 1


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was started is ended
    try:
        sys.exit(main())
    except Unavailable as reason:
        print(f"the suites cannot be had: {reason}", file=sys.stderr)
        sys.exit(2)

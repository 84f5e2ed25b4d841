"""What is different, and what docs/compatibility.md says may be."""
import difflib
import pathlib
import re

DOCUMENT = pathlib.Path(__file__).resolve().parent.parent.parent / "docs" / "compatibility.md"
MOST = {"regress": 3}  # in one run
MODES = {"both modes": {"session", "transaction"}, "transaction mode": {"transaction"}, "session mode": {"session"}}


def differences(direct: pathlib.Path, through: pathlib.Path) -> dict[str, str]:
    """Name of the test to the diff of its result, for each that is not the same."""
    found = {}
    for file in sorted((direct / "results").glob("*.out")):
        mine = through / "results" / file.name
        one = file.read_text(errors="replace").splitlines(keepends=True)
        two = mine.read_text(errors="replace").splitlines(keepends=True) if mine.exists() else ["(no result)\n"]
        if one != two:
            found[file.stem] = "".join(difflib.unified_diff(one, two, "direct", "balancer"))
    return found


def explained(suite: str, mode: str) -> dict[str, bool]:
    """The rows of the table under the heading that names the suite: test, and whether it differs by chance only."""
    found = {}
    for section in DOCUMENT.read_text().split("\n## "):
        if f"({suite})" not in section.partition("\n")[0]:
            continue
        for test, modes, chance in re.findall(r"(?m)^\| `([\w-]+)` \| ([^|,]+)(, by chance)?", section):
            if mode in MODES[modes.strip()]:
                found[test] = chance != ""
    return found


def by_chance(suite: str, mode: str, found: dict[str, str]) -> list[str]:
    """Those that have to be run again before they count."""
    known = explained(suite, mode)
    return [test for test in found if known.get(test)]


def is_good(suite: str, mode: str, found: dict[str, str]) -> bool:
    return not set(found) - set(explained(suite, mode)) and len(found) <= MOST.get(suite, len(found))

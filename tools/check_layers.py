#!/usr/bin/env python3
"""Holds every #include "folder/..." of src/ against the folders that its CMakeLists.txt declares."""
import pathlib
import re
import sys

ORDER = ["base", "os", "pgwire", "sql", "model", "http", "web", "net", "ha", "dcs", "api", "runtime",
         "pgclient", "cluster", "agent", "proxy", "control", "cli", "cmd"]


def declared(folder: pathlib.Path) -> set[str]:
    text = (folder / "CMakeLists.txt").read_text()
    match = re.search(r"pgb_module\(\w+\s+(?:HOT\s+)?DEPS([^)]*?)(?:LIBS|TEST_DEPS|\))", text)
    return set(match.group(1).split()) if match else set()


def main() -> int:
    source = pathlib.Path(sys.argv[1]) / "src"
    mistakes = []
    for folder in sorted(p for p in source.iterdir() if (p / "CMakeLists.txt").exists()):
        name = folder.name
        allowed = set(ORDER) if name == "cmd" else declared(folder) | {name}
        if name != "cmd":
            for dep in allowed - {name}:
                if ORDER.index(dep) >= ORDER.index(name):
                    mistakes.append(f"{name} declares {dep}, which is not below it")
        for file in sorted([*folder.rglob("*.h"), *folder.rglob("*.cc")]):
            for number, line in enumerate(file.read_text().splitlines(), 1):
                match = re.match(r'\s*#include "(\w+)/', line)
                if match and match.group(1) not in allowed:
                    mistakes.append(f"{file.relative_to(source)}:{number}: {name} may not include {match.group(1)}/")
    print("\n".join(mistakes) or "layers: ok")
    return 1 if mistakes else 0


if __name__ == "__main__":
    sys.exit(main())

"""The long tests in short: make leak and make soak run the same for minutes."""
import os
import random
import subprocess

from harness.manager import ROOT
from load import leak
from load.plot import growth, write_csv, write_svg


def test_two_hundred_clients_with_random_sessions_never_see_one_anothers():
    seed = int(os.environ.get("PGB_SEED", random.SystemRandom().randrange(1 << 30)))
    print(f"PGB_SEED={seed}")
    total = leak.run(35, 200, 8, seed)
    assert total["looks"] > 1000, total


def test_a_soak_tells_memory_that_grows_from_memory_that_only_trembles(tmp_path):
    def samples(rise: float) -> list[dict]:
        dice = random.Random(1)
        return [{"seconds": 5.0 * n, "rss_kb": 10_000 + max(0, min(n, 20)) * 500 + rise * n + dice.randrange(300)} for n in range(240)]

    assert abs(growth(samples(0), "rss_kb")) < 200, "the warm-up does not count"
    assert 2300 < growth(samples(20), "rss_kb") < 2500
    write_csv(tmp_path / "soak.csv", samples(1))
    write_svg(tmp_path / "soak.svg", samples(1), ["rss_kb"])
    assert (tmp_path / "soak.csv").read_text().startswith("seconds,rss_kb\n0.0,")
    assert subprocess.run(["/usr/bin/python3", "-c", "import sys, xml.dom.minidom as x; x.parse(sys.argv[1])", tmp_path / "soak.svg"],
                          check=False, cwd=ROOT).returncode == 0

"""A headless Chromium (Debian's), driven by tests/web/browser.js, whose packages come by npm as its lock file pins them."""
import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import tempfile

from harness.manager import LIMIT, ROOT

SOURCE = ROOT / "tests" / "web"
# Where screenshots are kept.
SHOTS = pathlib.Path(os.environ.get("PGB_SHOTS", pathlib.Path(tempfile.gettempdir()) / "pgbalancer-screenshots"))


class Unavailable(Exception):
    pass


class BrowserError(Exception):
    pass


class Browser:
    def __init__(self, folder: pathlib.Path):
        chromium = shutil.which("chromium")
        if not chromium:
            raise Unavailable("chromium is not installed")
        if not shutil.which("npm"):
            raise Unavailable("npm is not installed")
        for source in SOURCE.iterdir():
            shutil.copy(source, folder)
        done = subprocess.run(["npm", "ci", "--omit=optional", "--ignore-scripts"], cwd=folder, capture_output=True, text=True,
                              timeout=3 * LIMIT, check=False)
        if done.returncode:
            raise Unavailable(f"npm ci: {done.stderr.strip()[-300:]}")
        SHOTS.mkdir(parents=True, exist_ok=True)
        self.process = subprocess.Popen(["node", "browser.js"], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True, env=os.environ | {"CHROMIUM": chromium, "HOME": str(folder)})
        self.version = self._answer()

    def _answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise BrowserError("the browser has ended")
        answer = json.loads(line)
        if "error" in answer:
            raise BrowserError(answer["error"])
        return answer["ok"]

    def do(self, what: str, **how):
        self.process.stdin.write(json.dumps({"what": what} | how) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def open(self, url: str, token: str = "", **how) -> None:
        self.do("open", url=url, storage={"pgbalancer.token": token} if token else {}, **how)

    def eval(self, code: str):
        return self.do("eval", code=code)

    def wait(self, code: str, limit: float = 10) -> None:
        self.do("wait", code=code, limit=limit)

    def press(self, *keys: str) -> None:
        for key in keys:
            self.do("press", key=key)

    def text(self, selector: str) -> str:
        return self.do("text", selector=selector)

    def shot(self, name: str, whole: bool = True) -> None:
        self.do("shot", path=str(SHOTS / f"{name}.png"), whole=whole)

    def focus_on(self, selector: str, most: int = 60) -> None:
        """By the tabulator key alone."""
        for _ in range(most):
            if self.eval(f"document.activeElement?.matches({json.dumps(selector)}) ?? false"):
                return
            self.press("Tab")
        raise AssertionError(f"{selector} cannot be reached by the keyboard")

    def check_faults(self) -> None:
        faults = self.do("faults")
        assert not faults["foreign"], f"requests to other origins: {faults['foreign']}"
        assert not faults["policy"], f"against the page's own policy: {faults['policy']}"
        assert not faults["console"], f"errors on the console: {faults['console']}"

    def check_axe(self) -> None:
        grave = [found for found in self.do("axe") if found["impact"] in ("serious", "critical")]
        assert not grave, json.dumps(grave, indent=1)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

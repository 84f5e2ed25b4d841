"""Runs pgbalancer_cluster as a user's script would: no terminal, output captured, a time limit."""
import dataclasses
import json
import os
import pathlib
import pwd
import shlex
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
LIMIT = 120  # seconds for any one command


def bin_dir() -> pathlib.Path:
    return pathlib.Path(os.environ.get("PGB_BIN", ROOT / "build" / "bin"))


@dataclasses.dataclass
class Done:
    command: str
    code: int
    out: str
    err: str
    seconds: float

    def __str__(self):
        return (f"$ {self.command}\nexit code {self.code} after {self.seconds:.2f} s\n"
                f"--- stdout\n{self.out}\n--- stderr\n{self.err}")

    def json(self):
        return json.loads(self.out)


class Manager:
    """The program with its environment. Every answer is held against what must always hold: no ESC byte
    in a pipe, and an error of its own shape."""

    def __init__(self, state_dir, docker_host: str | None = None, folder=None):
        self.folder = folder
        self.env = {key: value for key, value in os.environ.items()
                    if not key.startswith(("PGBALANCER_", "DOCKER_", "PG"))}
        self.env["PGBALANCER_STATE_DIR"] = str(state_dir)
        self.env["LC_ALL"] = "C.UTF-8"
        # An engine is only ever found where a test put one.
        self.env["DOCKER_HOST"] = docker_host or "unix:///nonexistent/docker.sock"
        self.programs = bin_dir()
        self.user = None  # who runs it, if it is not whoever runs the test
        self.secrets: list[str] = []  # must appear in no output unless asked for

    def command(self, *arguments) -> list[str]:
        return [str(self.programs / "pgbalancer_cluster"), *map(str, arguments)]

    def identity(self) -> dict:
        """Another user has none of our groups either."""
        if not self.user:
            return {}
        return {"user": self.user, "group": pwd.getpwnam(self.user).pw_gid, "extra_groups": []}

    def popen(self, *arguments, **options) -> subprocess.Popen:
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True,
                   "env": self.env, "cwd": self.folder, "start_new_session": True} | self.identity() | options
        return subprocess.Popen(self.command(*arguments), **options)

    def run(self, *arguments, expect: int | None = 0, limit: float = LIMIT, stdin: str | None = None,
            may_show_secrets: bool = False) -> Done:
        begin = time.monotonic()
        source = {"stdin": subprocess.DEVNULL} if stdin is None else {"input": stdin}
        done = subprocess.run(self.command(*arguments), env=self.env, cwd=self.folder, timeout=limit, text=True,
                              capture_output=True, check=False, **self.identity(), **source)
        result = Done(shlex.join(done.args), done.returncode, done.stdout, done.stderr, time.monotonic() - begin)
        assert expect is None or result.code == expect, f"exit code {expect} was expected\n{result}"
        assert "\x1b" not in result.out + result.err, f"an ESC byte in a pipe\n{result}"
        if not may_show_secrets:
            shown = [secret for secret in self.secrets if secret in result.out + result.err]
            assert not shown, f"a password was shown\n{result}"
        if result.code not in (0, 10, 11, 12, 20, 130, 143) and expect != 0:
            assert "error" in result.err, f"a failure without an error message on stderr\n{result}"
        return result

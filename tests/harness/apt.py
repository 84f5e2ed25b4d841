"""Debian packages for tests: fetched from mirrors that the machine itself uses, kept in a cache, unpacked where they are
wanted. None is installed."""
import contextlib
import os
import pathlib
import subprocess

CACHE = pathlib.Path(os.environ.get("PGB_IMAGE_CACHE", pathlib.Path.home() / ".cache" / "pgbalancer"))


class Unavailable(Exception):
    """It cannot be had; the message says why."""


def run(*command, **options) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"{command[0]}: {getattr(error, 'strerror', None) or error}") from error
    if done.returncode != 0:
        raise Unavailable(f"{command[0]} failed: {(done.stderr or done.stdout).strip()[-2000:]}")
    return done.stdout


def mirror() -> str:
    if os.environ.get("PGB_MIRROR"):
        return os.environ["PGB_MIRROR"]
    listed = run("apt-get", "indextargets", "--format", "$(REPO_URI)").split()
    found = [line for line in listed if line.rstrip("/").endswith("/debian")]
    if not found:
        raise Unavailable("this machine's apt knows no Debian mirror; try: PGB_MIRROR=URL of one")
    return found[0]


class Apt:
    """apt with lists of its own. `sources`: the files of its sources, by name."""

    def __init__(self, folder: pathlib.Path, sources: dict[str, str], *options: str):
        self.folder = folder
        folder.chmod(0o777)  # apt fetches as another user
        for name in ("sources", "lists"):
            (folder / name).mkdir()
        for name, text in sources.items():
            (folder / "sources" / name).write_text(text)
        self.options = ["-q", "-o", "Dir::Etc::sourcelist=/dev/null", "-o", f"Dir::Etc::sourceparts={folder}/sources", "-o",
                        f"Dir::State::lists={folder}/lists",
                        *(word for option in options for word in ("-o", option))]
        run("apt-get", *self.options, "update", timeout=300)

    def get(self, verb: list[str], package: str, pattern: str, version: str | None = None) -> pathlib.Path:
        """The file of that version, or of the newest one if the mirrors have it no more."""
        if version:
            with contextlib.suppress(Unavailable):
                run("apt-get", *self.options, *verb, f"{package}={version}", cwd=self.folder, timeout=300)
        if not list(self.folder.glob(pattern)):
            run("apt-get", *self.options, *verb, package, cwd=self.folder, timeout=300)
        return next(self.folder.glob(pattern))

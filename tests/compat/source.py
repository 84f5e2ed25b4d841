"""PostgreSQL's own tests: the source of the installed server's Debian package, and what has to be compiled of it.

Packages come from the mirrors that the machine itself uses and are kept in PGB_IMAGE_CACHE or ~/.cache/pgbalancer;
none is installed."""
import os
import pathlib
import re
import shutil
import tarfile
import tempfile

from harness.alone import newest_bin
from harness.apt import CACHE, Apt, Unavailable, run  # noqa: F401 - Unavailable: who uses this may get it

HERE = pathlib.Path(__file__).resolve().parent
SUITES = ("/src/test/regress/", "/src/test/isolation/", "/src/test/modules/libpq_pipeline/")


def major() -> str:
    return newest_bin().parent.name


def machine_sources() -> dict[str, str]:
    """Those of the machine, and what their packages are made of."""
    etc = pathlib.Path("/etc/apt")
    sources = {file.name: re.sub(r"(?m)^Types:.*$", "Types: deb deb-src", file.read_text()) for file in etc.glob("sources.list.d/*.sources")}
    for file in filter(pathlib.Path.exists, [etc / "sources.list", *etc.glob("sources.list.d/*.list")]):
        text = file.read_text()
        sources[f"{file.stem}.list"] = text + "\n" + re.sub(r"(?m)^deb\s", "deb-src ", text)
    return sources


def fetch() -> list[pathlib.Path]:
    """The tar of the source, and the packages with the headers and libraries to compile it with."""
    server = f"postgresql-{major()}"
    wanted = {server: f"{server}_*.orig.tar.*", f"postgresql-server-dev-{major()}": f"postgresql-server-dev-{major()}_*.deb",
              "libpq-dev": "libpq-dev_*.deb"}
    missing = [package for package, pattern in wanted.items() if not list(CACHE.glob(pattern))]
    if missing:
        CACHE.mkdir(parents=True, exist_ok=True)
        version = run("dpkg-query", "-W", "-f", "${Version}", server).strip()
        with tempfile.TemporaryDirectory(prefix="pgb-source-") as name:
            apt = Apt(pathlib.Path(name), machine_sources())
            for package in missing:
                verb = ["source", "--download-only"] if package == server else ["download"]
                shutil.copy(apt.get(verb, package, wanted[package], version), CACHE)
    return [sorted(CACHE.glob(pattern))[-1] for pattern in wanted.values()]


class Source:
    """The three suites, unpacked in `folder` with what is compiled for them."""

    def __init__(self, folder: pathlib.Path):
        tar_file, *packages = fetch()
        with tarfile.open(tar_file) as tar:
            tar.extractall(folder, [m for m in tar.getmembers() if any(suite in m.name for suite in SUITES)])
        self.top = next(folder.glob("*/src/test"))
        self.headers = folder / "dev"
        for package in packages:
            run("dpkg-deb", "-x", str(package), str(self.headers))
        self.library = folder / "lib"
        self.library.mkdir()
        self._compile()
        for path in filter(lambda path: not path.is_symlink(), folder.rglob("*")):
            path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)

    @property
    def regress(self) -> pathlib.Path:
        return self.top / "regress"

    @property
    def isolation(self) -> pathlib.Path:
        return self.top / "isolation"

    @property
    def pipeline(self) -> pathlib.Path:
        return self.library / "libpq_pipeline"

    @property
    def backend_pid(self) -> pathlib.Path:
        return self.library / "backend_pid.so"

    def _compile(self) -> None:
        client = self.headers / "usr/include/postgresql"
        server = client / major() / "server"
        archives = self.headers / f"usr/lib/postgresql/{major()}/lib"
        libpq = [str(path) for path in pathlib.Path("/usr/lib").glob("*/libpq.so.5")]
        run("cc", "-shared", "-fPIC", "-O1", "-w", f"-I{server}", f"-I{self.regress}", "-o", str(self.library / "regress.so"),
            str(self.regress / "regress.c"))
        run("cc", "-shared", "-fPIC", "-O1", f"-I{client}", "-o", str(self.backend_pid), str(HERE / "backend_pid.c"))
        run("cc", "-O1", "-w", f"-I{server}", f"-I{client}", "-o", str(self.pipeline),
            str(self.top / "modules/libpq_pipeline/libpq_pipeline.c"), *libpq, str(archives / "libpgcommon.a"),
            str(archives / "libpgport.a"))
        for name in ("autoinc.so", "refint.so"):
            shutil.copy(newest_bin().parent / "lib" / name, self.library)

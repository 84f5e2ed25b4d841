"""Debian root file systems with the programs that a benchmark compares with: made once, kept in
${PGB_CACHE:-/var/cache/pgbalancer}."""
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
# systemd-tmpfiles wants /proc. It is mounted in a namespace that ends with the command: nobody else sees it.
IN_ROOT_WITH_PROC = ["unshare", "--mount", "--propagation", "private", "sh", "-c",
                     'mount -t proc proc "$0/proc" && exec chroot "$0" "$@"']


class Failed(Exception):
    """Something the benchmark needs does not work; the text says what."""


def cache_folder() -> pathlib.Path:
    return pathlib.Path(os.environ.get("PGB_CACHE") or "/var/cache/pgbalancer").resolve()


def remove_made(folder: pathlib.Path, prefix: str) -> None:
    """Removes a folder that mkdtemp made with this prefix in this run; refuses everything else."""
    text = str(folder)
    name = text.removeprefix(prefix)
    if not prefix.startswith("/") or not text.startswith(prefix) or not name or "/" in name:
        raise Failed(f"{text!r} is not a folder that this run made")
    mounts = [line.split()[1] for line in pathlib.Path("/proc/self/mounts").read_text().splitlines()]
    if any(m == text or m.startswith(text + "/") for m in mounts):
        raise Failed(f"something is mounted below {text}: it is left as it is")
    shutil.rmtree(text)


def apt_mirror() -> str:
    if os.environ.get("PGB_MIRROR"):
        return os.environ["PGB_MIRROR"]
    listed = subprocess.run(["apt-get", "indextargets", "--format", "$(REPO_URI)"], capture_output=True, text=True,
                            check=True).stdout
    found = sorted({line.rstrip("/") for line in listed.splitlines() if line.rstrip("/").endswith("/debian")})
    if not found:
        raise Failed("this machine's apt knows no Debian mirror; try: PGB_MIRROR=URL of one")
    return found[0]


def _run_logged(argv: list[str], log: pathlib.Path, **more) -> None:
    with log.open("ab") as out:
        code = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, check=False, **more).returncode
    if code != 0:
        lines = log.read_text(errors="replace").split("\n")
        raise Failed(f"{' '.join(argv[:4])} …: exit code {code}: " + " | ".join(lines[-6:]))


def make_root(root: pathlib.Path, suite: str, packages: list[str]) -> None:
    """Made beside its place and renamed when it is whole. No bind mounts."""
    if shutil.which("debootstrap") is None:
        raise Failed("the program debootstrap is missing; try: apt-get install debootstrap")
    root.parent.mkdir(parents=True, exist_ok=True)
    prefix = f"{root}-new-"
    part = pathlib.Path(tempfile.mkdtemp(prefix=prefix[len(str(root.parent)) + 1:], dir=root.parent))
    log = root.parent / f"{root.name}.log"
    log.write_text("")
    environment = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C", "PATH": PATH}
    print(f"making {root} (once; log: {log})", flush=True)
    done = False
    try:
        mirror = apt_mirror()
        _run_logged(["debootstrap", "--variant=minbase", suite, str(part), mirror], log)
        part.chmod(0o755)
        (part / "etc/apt/sources.list").write_text(f"deb {mirror} {suite} main\n")
        dumped = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True).stdout
        proxies = [line for line in dumped.splitlines() if re.match(r"Acquire::https?(::[^ ]*)?::Proxy ", line)]
        (part / "etc/apt/apt.conf.d/99proxy").write_text("\n".join(proxies) + "\n")
        policy = part / "usr/sbin/policy-rc.d"  # packages must not start their services
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
        (part / "etc/postgresql-common").mkdir(parents=True)
        (part / "etc/postgresql-common/createcluster.conf").write_text("create_main_cluster = false\n")
        # A mirror may be a snapshot: old, but signed.
        for argv in (["apt-get", "-q", "-o", "Acquire::Check-Valid-Until=false", "update"],
                     ["apt-get", "-q", "install", "-y", "--no-install-recommends", "-o",
                      "Dpkg::Options::=--force-confold", *packages],
                     ["apt-get", "-q", "clean"]):
            _run_logged([*IN_ROOT_WITH_PROC, str(part), *argv], log, env=environment)
        (part / "etc/apt/apt.conf.d/99proxy").unlink()
        policy.unlink()
        part.rename(root)
        done = True
    finally:
        if not done:
            for inner in ("proc", "sys", "dev/pts"):  # what a debootstrap that failed may have left
                if os.path.ismount(part / inner):
                    subprocess.run(["umount", str(part / inner)], check=False)
            remove_made(part, prefix)

"""A server whose checkpointer is held up by a slow disk takes settings late."""
import contextlib
import pathlib
import shutil
import subprocess
import tempfile
import threading
import time

import psycopg2
import psycopg2.extensions
import pytest

from faults.site import Site
from harness.sandbox import Sandbox
from harness.waiting import wait_until

RECORDS = "records that commits are on itself and "
# Each fsync() of the process that a file names takes two seconds longer; signals are taken meanwhile.
SLOW = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

int fsync(int fd) {
  static int (*real)(int);
  char text[32] = "";
  if (real == NULL) real = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
  const char* whose = getenv("SLOW_DISK_OF");
  int file = whose != NULL ? open(whose, O_RDONLY | O_CLOEXEC) : -1;
  if (file >= 0) {
    struct timespec left = {2, 0};
    if (read(file, text, sizeof text - 1) > 0 && atoi(text) == getpid())
      while (nanosleep(&left, &left) != 0) {
      }
    close(file);
  }
  return real(fd);
}
"""


class _Patient(psycopg2.extensions.connection):
    patience = 120  # seconds that it waits for an answer


class SlowDisk:
    def __init__(self, folder: pathlib.Path):
        self.library, self.whose = folder / "slow.so", folder / "slow.pid"
        (folder / "slow.c").write_text(SLOW)
        subprocess.run(["cc", "-shared", "-fPIC", "-o", self.library, folder / "slow.c", "-ldl"], check=True)
        self.library.chmod(0o755)

    @contextlib.contextmanager
    def checkpoint(self, url: str):
        """One that is under way; gives the thread that asked for it."""
        with contextlib.closing(psycopg2.connect(url)) as look:
            look.autocommit = True
            cursor = look.cursor()
            cursor.execute("SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'")
            pid = cursor.fetchone()[0]

            def ask():
                with contextlib.closing(psycopg2.connect(url, connection_factory=_Patient)) as connection:
                    connection.autocommit = True
                    connection.cursor().execute("CHECKPOINT")

            def syncs():
                cursor.execute("SELECT wait_event_type FROM pg_stat_activity WHERE pid = %s", (pid,))
                return cursor.fetchone()[0] == "IO"
            asks = threading.Thread(target=ask)
            self.whose.write_text(f"{pid}\n")
            try:
                asks.start()
                wait_until(syncs, 20, "the checkpoint makes sure of its files")
                yield asks
            finally:
                self.whose.unlink()
                asks.join()


@pytest.fixture
def slow_site(monkeypatch):
    if not shutil.which("cc"):
        pytest.skip("there is no C compiler to make a disk slow with")
    with tempfile.TemporaryDirectory(prefix="pgb-slow-", dir="/tmp") as name, contextlib.ExitStack() as stack:
        folder = pathlib.Path(name)
        folder.chmod(0o755)
        disk = SlowDisk(folder)
        monkeypatch.setenv("SLOW_DISK_OF", str(disk.whose))
        monkeypatch.setenv("LD_PRELOAD", str(disk.library))
        sandbox = stack.enter_context(Sandbox("process"))
        monkeypatch.delenv("LD_PRELOAD")
        sandbox.document["ha"] = {"failover": True}
        sandbox.write()
        sandbox.init()
        site = Site(sandbox)
        stack.callback(site.close)
        yield site, disk


def test_no_second_copy_is_promised_while_commits_do_not_wait_for_it(slow_site):
    site, disk = slow_site
    primary = site.primary()
    replicas = [name for name in site.names if name != primary]
    for name in replicas:
        site.sandbox.run("stop", name)
    wait_until(lambda: RECORDS + "the leader alone" in site.sandbox.run("history").out, 30, "the leader is recorded as alone")
    wait_until(lambda: site.sandbox.group()["durability"] == "async", 20, "commits wait for nobody")
    before = site.sandbox.run("history").out.count(RECORDS + "any 1")

    def promised() -> bool:
        return site.sandbox.run("history").out.count(RECORDS + "any 1") > before
    with disk.checkpoint(site.direct[primary]) as checkpoint:
        site.sandbox.run("start", replicas[0], expect=None)
        until = time.monotonic() + 5
        while time.monotonic() < until and checkpoint.is_alive():
            assert not (promised() and checkpoint.is_alive()), "before the checkpoint is over commits do not wait"
        assert time.monotonic() >= until, "the checkpoint is over too soon to show anything"
    wait_until(promised, 20, "a second copy is promised")
    site.sandbox.run("start", replicas[1])
    site.check_end(most_owners=1)

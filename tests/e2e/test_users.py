"""Somebody who is not root: everything works with what belongs to him, and what he may not do is said."""
import os
import pwd
import shutil
import socket

import pytest

from harness.manager import bin_dir

USER = "nobody"


@pytest.fixture
def normal(make_sandbox):
    """A cluster whose commands are all run by a normal user, with programs, file and state of his own."""
    with make_sandbox("process") as cluster:
        if os.geteuid() == 0:
            programs = cluster.folder / "bin"
            programs.mkdir()
            for name in ("pgbalancer_cluster", "pgbalancer_agent", "pgbalancer"):
                shutil.copy(bin_dir() / name, programs)
            cluster.manager.programs, cluster.manager.user = programs, USER
            user = pwd.getpwnam(USER)
            os.chown(cluster.folder, user.pw_uid, user.pw_gid)
            for file in cluster.folder.iterdir():
                os.chown(file, user.pw_uid, user.pw_gid)
        yield cluster


def owners(cluster) -> set[str]:
    found = set()
    for pid in cluster.pids("primary1"):
        found.add(pwd.getpwuid(os.stat(f"/proc/{pid}").st_uid).pw_name)
    return found


def test_a_normal_user_makes_and_removes_a_cluster_of_his_own(normal):
    normal.init()
    normal.wait_healthy()
    assert owners(normal) == {USER if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name}
    assert normal.value("SELECT count(*) FROM users") == 3
    for node in normal.hosts():
        assert normal.value("SELECT count(*) FROM orders", node) == 3
    normal.run("add-replica")
    normal.run("remove-replica", "--node", "replica1")
    normal.run("stop")
    normal.run("start")
    normal.wait_healthy()
    secrets = normal.state_dir / normal.name / "secrets.json"
    assert secrets.stat().st_mode & 0o077 == 0
    normal.run("destroy", "--yes")
    assert not normal.left()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can take the file away from its user")
def test_what_he_may_not_write_is_named_and_nothing_is_changed(normal):
    os.chown(normal.folder, 0, 0)  # the file is beside his state directory, which he cannot make either
    normal.folder.chmod(0o755)
    done = normal.run("init", expect=1)
    assert str(normal.state_dir) in done.err and "PGBALANCER_STATE_DIR" in done.err, done
    user = pwd.getpwnam(USER)
    normal.state_dir.mkdir()
    os.chown(normal.state_dir, user.pw_uid, user.pw_gid)
    before = normal.file.read_bytes()
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", normal.balancer()["port"]))
        other.listen()
        done = normal.run("init", "--set-free-ports", expect=1)
    assert str(normal.file) in done.err and "ermission denied" in done.err, done
    assert normal.file.read_bytes() == before
    assert not list(normal.state_dir.iterdir()), "something was begun"

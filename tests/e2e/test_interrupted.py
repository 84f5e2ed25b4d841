"""Whatever moment the manager dies at, the same command finishes the work, and destroy finds all of it."""
import os
import random
import signal
import subprocess
import time

import pytest

from harness.waiting import wait_until

STEPS = [0, 1, 2, 4, 6, 8]  # lines of progress it may still write
MOMENTS = 4


def kill_init_after_lines(cluster, lines: int, number: signal.Signals) -> subprocess.Popen:
    """Starts init and ends it as soon as it told so many steps."""
    init = cluster.manager.popen("init", "--config", cluster.file)
    for _ in range(lines):
        if not init.stderr.readline():
            break
    init.send_signal(number)
    return init


def check_whole(cluster) -> None:
    cluster.init()
    assert cluster.status()["state"] == "healthy"
    for name in cluster.hosts():
        cluster.wait_value("SELECT count(*) FROM users", 3, name)
        cluster.wait_value("SELECT count(*) FROM orders", 3, name)
    cluster.run("--destroy")
    assert not cluster.left()


@pytest.mark.parametrize("lines", STEPS)
def test_init_goes_on_after_it_was_killed_at_a_step(fresh, lines):
    init = kill_init_after_lines(fresh, lines, signal.SIGKILL)
    init.communicate(timeout=30)
    check_whole(fresh)


def test_init_goes_on_after_it_was_killed_at_any_moment(fresh):
    seed = int(os.environ.get("PGB_SEED", time.time_ns() % 1000000))
    chance = random.Random(seed)
    print(f"PGB_SEED={seed}")
    for _ in range(MOMENTS):
        init = fresh.manager.popen("init", "--config", fresh.file)
        try:
            init.communicate(timeout=chance.uniform(0.01, 3.0))
        except subprocess.TimeoutExpired:
            init.kill()
            init.communicate(timeout=30)
    check_whole(fresh)


@pytest.mark.parametrize("lines", [1, 3])
def test_destroy_removes_a_half_made_cluster(fresh, lines):
    init = kill_init_after_lines(fresh, lines, signal.SIGKILL)
    init.communicate(timeout=30)
    fresh.run("--destroy")
    assert not fresh.left()


def test_ctrl_c_says_what_stands_and_init_goes_on(fresh):
    init = kill_init_after_lines(fresh, 3, signal.SIGINT)
    _, err = init.communicate(timeout=30)
    assert init.returncode == 130, err
    assert "tanding" in err and "init" in err and "destroy" in err, err
    check_whole(fresh)


def test_a_second_command_is_told_that_another_is_at_work(fresh):
    init = fresh.manager.popen("init", "--config", fresh.file)
    lock = fresh.state_dir / fresh.name / "lock"
    wait_until(lambda: init.poll() is not None or str(init.pid) in lock.read_text(), 10, "init is at work")
    if init.poll() is None:
        init.send_signal(signal.SIGSTOP)
        try:
            done = fresh.run("init", expect=8)
            assert "PGB-BUSY" in done.err and str(init.pid) in done.err, done
        finally:
            init.send_signal(signal.SIGCONT)
    _, err = init.communicate(timeout=120)
    assert init.returncode == 0, err

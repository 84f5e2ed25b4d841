"""`status --watch` and `top` as somebody sees them who sits before them, and as a file gets them."""
import json
import pathlib
import re
import signal
import subprocess
import termios
import time

import pytest

from harness.sandbox import Sandbox
from harness.terminal import OTHER_SCREEN, OWN_SCREEN, Terminal
from harness.waiting import wait_until

UP, DOWN, PAGE_DOWN, END, ESCAPE = "\x1b[A", "\x1b[B", "\x1b[6~", "\x1b[F", "\x1b"
VERBS = ["status", "top"]


@pytest.fixture(scope="module", name="cluster")
def fixture_cluster():
    with Sandbox("process") as sandbox:
        sandbox.init()
        yield sandbox


def at_terminal(cluster, verb: str, *arguments, **size) -> Terminal:
    return Terminal(cluster.manager.command(verb, "--config", cluster.file, *arguments), cluster.manager.env, **size)


def frames(terminal) -> list[list[str]]:
    """Each as the lines that it put on the screen."""
    pictures = [picture.partition("\x1b[J")[0] for picture in terminal.seen.split("\x1b[H")[1:]]
    return [[re.sub(r"\x1b\[(K|[0-9]*m)", "", line) for line in picture.split("\r\n")] for picture in pictures]


@pytest.mark.parametrize("verb", VERBS)
def test_it_ends_by_key_or_signal_and_gives_the_terminal_back(cluster, verb):
    for way, code in (("q", 0), ("\x03", 130), (signal.SIGTERM, 143)):
        with at_terminal(cluster, verb, "--watch=3600") as terminal:
            terminal.wait_for("q quits")
            assert not terminal.local_flags() & termios.ECHO
            began = time.monotonic()
            if isinstance(way, str):
                terminal.send(way)
            else:
                terminal.process.send_signal(way)
            assert terminal.end() == code, way
            assert time.monotonic() - began < 2, "it does not wait until it is due"
            _, left, last = terminal.seen.rpartition(OWN_SCREEN)
            assert left and "primary1" in last and "q quits" not in last, "the last frame stays"
            assert "\x1b[?25h" in terminal.seen, "the cursor is seen again"
            assert "finishing" not in terminal.seen, "there is nothing to finish"
            assert terminal.local_flags() == terminal.first_local_flags


@pytest.mark.parametrize("verb", VERBS)
def test_ctrl_z_gives_the_terminal_back_until_it_goes_on(cluster, verb):
    with at_terminal(cluster, verb, "--watch=3600") as terminal:
        terminal.wait_for("q quits")
        terminal.forget()
        terminal.send("\x1a")
        stat = pathlib.Path(f"/proc/{terminal.process.pid}/stat")
        wait_until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T", 5, "it is stopped")
        terminal.look()
        assert OWN_SCREEN in terminal.seen and terminal.local_flags() == terminal.first_local_flags
        terminal.forget()
        terminal.process.send_signal(signal.SIGCONT)
        terminal.wait_for(OTHER_SCREEN)
        terminal.wait_for("primary1")
        assert not terminal.local_flags() & termios.ECHO
        terminal.send("q")
        assert terminal.end() == 0


@pytest.mark.parametrize("verb", VERBS)
def test_another_size_is_drawn_at_once_and_nothing_goes_beyond_it(cluster, verb):
    with at_terminal(cluster, verb, "--watch=3600", lines=40, columns=100) as terminal:
        terminal.wait_for("q quits")
        for lines, columns in ((9, 100), (9, 38), (3, 50), (50, 130)):
            terminal.resize(lines, columns)
            terminal.wait_for("q quits", 5)  # the last line
            last = frames(terminal)[-1]
            assert len(last) <= lines + 1, last  # the text behind the last line's end is empty
            assert all(len(line) <= columns for line in last), last
            assert any("q quits" in line for line in last[:lines]), last
        assert any("primary1" in line for line in last)
        terminal.send("q")
        assert terminal.end() == 0


@pytest.mark.parametrize("verb", VERBS)
def test_keys_move_through_what_does_not_fit(cluster, verb):
    with at_terminal(cluster, verb, "--watch=3600", lines=5) as terminal:
        terminal.wait_for("more lines: PgDn")
        assert "  replica2 " not in terminal.seen
        terminal.forget()
        while "  replica2 " not in terminal.seen:
            terminal.send(PAGE_DOWN)
            terminal.wait_for("\x1b[H")
            terminal.look()
            assert len(frames(terminal)) < 20, terminal.seen
        terminal.send(END)
        terminal.wait_for("PgUp")
        terminal.send("?")
        terminal.wait_for("? goes back")
        terminal.send("?q")
        assert terminal.end() == 0


def test_keys_of_the_status(cluster):
    with at_terminal(cluster, "status", "--watch=200ms") as terminal:
        terminal.wait_for("q quits")
        terminal.send("?")
        terminal.wait_for("pauses: asks nobody")
        terminal.send("?w")
        terminal.wait_for("REPLAY LSN")
        terminal.send("w" + DOWN + DOWN)
        terminal.wait_for("> replica1")
        terminal.send(UP)
        terminal.wait_for("> primary1")
        terminal.send("\n")
        terminal.wait_for("primary1 is primary, accepting")
        terminal.forget()  # what is waited for stood there before, and a key right behind Escape is a part of it
        terminal.send(ESCAPE)
        terminal.wait_for("e events")
        terminal.forget()
        terminal.send("e")
        terminal.wait_for("init finished")
        terminal.send("e")
        terminal.wait_for("NODE")
        terminal.send("p")
        terminal.wait_for("paused: this is as of")
        cluster.run("stop", "replica2")
        try:
            terminal.forget()
            terminal.look(1)
            assert "stopped" not in terminal.seen, "nobody is asked"
            terminal.send("p")
            terminal.wait_for("stopped")
        finally:
            cluster.run("start")
        terminal.send("xq")
        assert terminal.end() == 0


def test_a_frozen_cluster_keeps_nobody_in_it(cluster):
    """A signal that comes while it asks."""
    pids = list(cluster.pids("lb1"))
    cluster.freeze(pids)
    try:
        with at_terminal(cluster, "top", "--watch=3600") as terminal:
            terminal.look(0.5)
            terminal.send("\x03")
            assert terminal.end() == 130
    finally:
        cluster.thaw(pids)


@pytest.mark.parametrize("verb", VERBS)
def test_a_file_gets_one_block_after_the_other(cluster, verb, tmp_path):
    for arguments, env in (((), {}), (("--json",), {}), ((), {"TERM": "dumb"})):
        with open(tmp_path / "out", "w", encoding="utf-8") as out:
            process = cluster.manager.popen(verb, "--config", cluster.file, "--watch=100ms", *arguments, stdout=out,
                                            env=cluster.manager.env | {"TERM": "xterm"} | env)
            word = "\n" if arguments else "NODE"
            wait_until(lambda: (tmp_path / "out").read_text().count(word) >= 3, 20, "three blocks")
            process.send_signal(signal.SIGINT)
            _, talk = process.communicate(timeout=10)
        text = (tmp_path / "out").read_text()
        assert (process.returncode, talk) == (130, "")
        assert "\x1b" not in text and "q quits" not in text
        if arguments:
            assert len([json.loads(line) for line in text.splitlines()]) >= 3, "a document a line"


@pytest.mark.parametrize("verb", VERBS)
def test_it_ends_where_nobody_reads_or_nothing_can_be_written(cluster, verb):
    process = cluster.manager.popen(verb, "--config", cluster.file, "--watch=100ms")
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(10) == -signal.SIGPIPE
    process.stderr.close()
    with open("/dev/full", "w", encoding="utf-8") as full:
        process = cluster.manager.popen(verb, "--config", cluster.file, "--watch=100ms", stdout=full)
        _, talk = process.communicate(timeout=10)
    assert process.returncode == 1 and "standard output" in talk, (process.returncode, talk)


def test_without_keys_a_signal_ends_it(cluster):
    """Standard input is no terminal: nothing is read, and nothing spins."""
    terminal = Terminal(["/bin/sh", "-c", 'exec "$0" "$@" < /dev/null', *cluster.manager.command(
        "status", "--config", cluster.file, "--watch=3600")], cluster.manager.env)
    with terminal:
        terminal.wait_for("primary1")
        used = cpu_seconds(terminal.process)
        time.sleep(1)
        assert cpu_seconds(terminal.process) - used < 0.3
        terminal.send("\x03")
        assert terminal.end() == 130


def cpu_seconds(process: subprocess.Popen) -> float:
    fields = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


@pytest.mark.parametrize("verb", VERBS)
def test_a_failover_is_seen(cluster, verb):
    def roles() -> dict[str, str]:
        terminal.look()
        shown = frames(terminal)[-1:] or [[]]
        return dict(found.groups() for line in shown[0] if (found := re.match(r"[> ] *(primary1|replica\d) +(\w+)", line)))

    cluster.wait_healthy()
    lost = cluster.primary()
    with at_terminal(cluster, verb, "--watch=100ms") as terminal:
        wait_until(lambda: roles().get(lost) == "primary" and len(roles()) == 3, 15, "all are shown")
        cluster.kill_unit(lost)
        try:
            wait_until(lambda: [name for name, role in roles().items() if role == "primary" and name != lost], 30,
                       "another primary is shown")
        finally:
            cluster.run("start")
        wait_until(lambda: roles().get(lost) == "replica", 30, "it is back as a replica")
        terminal.send("q")
        assert terminal.end() == 0

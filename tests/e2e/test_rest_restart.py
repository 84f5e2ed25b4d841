"""REST over an online restart: who is logged in stays so, no event is lost or told twice, and no process answers that does not know yet
what was ordered of the one before."""
import http.client
import json
import pathlib
import threading
import time

import pytest

pytest.importorskip("jsonschema")

from harness.alone import standing_alone  # noqa: E402
from harness.rest import Rest, exchange  # noqa: E402
from harness.waiting import wait_until  # noqa: E402


@pytest.fixture()
def balancer():
    with standing_alone("host all all all scram-sha-256", admin_users=["chief"], takeover_socket="takeover.sock") as (server, alone):
        server.sql("CREATE ROLE chief LOGIN PASSWORD 'chief pass'")
        yield alone


def log_in(balancer) -> str:
    return Rest(balancer.rest).post("/api/v1/auth/login", {"username": "chief", "password": "chief pass"})["token"]


def kept_files(balancer) -> dict[pathlib.Path, bytes]:
    """But for the log and the number of the process."""
    passing = {balancer.log_file, balancer.folder / "balancer.pid"}
    return {path: path.read_bytes() for path in balancer.folder.rglob("*") if path.is_file() and path not in passing}


def pid_of(rest: Rest) -> int:
    return rest.get("/api/v1/processes")["processes"][0]["pid"]


def test_who_is_logged_in_stays_so(balancer):
    rest = Rest(balancer.rest, log_in(balancer))
    before = kept_files(balancer)
    for _ in range(2):  # from the second process to a third one, too
        balancer.take_over()
        wait_until(lambda: pid_of(rest) == balancer.process.pid, 10, "the new process answers")
        rest.post("/api/v1/nodes/0/attach")
    # What it is signed with goes with the processes: it was never on the disk.
    assert kept_files(balancer) == before
    log = balancer.log
    assert rest.token not in log and "token_key" not in log
    balancer.restart()
    rest.ask("POST", "/api/v1/nodes/0/attach", expect=401)


def test_no_process_answers_before_it_knows_what_was_ordered(balancer):
    rest = Rest(balancer.rest, balancer.token)
    rest.post("/api/v1/control/pause")
    seen, wrong, ended = set(), [], threading.Event()

    def ask() -> None:
        while not ended.is_set():
            try:
                answer = exchange(balancer.rest, "GET", "/api/v1/status", {"Authorization": f"Bearer {balancer.token}"})
                if answer.status != 200 or not answer.json()["paused"]:
                    wrong.append(str(answer))
            except (OSError, http.client.HTTPException) as failure:
                if not isinstance(failure, (ConnectionResetError, http.client.RemoteDisconnected)):  # of the process that ends
                    wrong.append(repr(failure))

    askers = [threading.Thread(target=ask) for _ in range(4)]
    for asker in askers:
        asker.start()
    try:
        for _ in range(3):
            balancer.take_over()
            wait_until(lambda: pid_of(rest) == balancer.process.pid, 10, "the new process answers")
            seen.add(balancer.process.pid)
    finally:
        ended.set()
        for asker in askers:
            asker.join()
    assert not wrong and len(seen) == 3, wrong[:3]
    rest.post("/api/v1/control/resume")


class Stream:
    def __init__(self, balancer, last: str | None):
        self.connection = http.client.HTTPConnection("127.0.0.1", balancer.rest, timeout=20)
        headers = {"Authorization": f"Bearer {balancer.token}"} | ({"Last-Event-ID": last} if last else {})
        self.connection.request("GET", "/api/v1/events", headers=headers)
        self.answer = self.connection.getresponse()
        assert self.answer.status == 200
        self.last = last
        self.told: list[str] = []

    def read_for(self, seconds: float, until=lambda told: False) -> None:
        ends = time.monotonic() + seconds
        event = ""
        while time.monotonic() < ends and not until(self.told) and (line := self.answer.readline().decode().rstrip("\n")) is not None:
            name, _, value = line.partition(": ")
            if name == "id":
                self.last = value
            elif name == "event":
                event = value
            elif name == "data" and event == "event":
                self.told.append(json.loads(value)["text"])


def test_a_reader_that_comes_back_to_another_process_misses_no_event(balancer):
    rest = Rest(balancer.rest, balancer.token)
    for _ in range(3):  # so that numbers of the first process are higher than those of the next
        rest.post("/api/v1/control/pause")
        wait_until(lambda: rest.get("/api/v1/snapshot")["paused"], 10, "it is paused")
        rest.post("/api/v1/control/resume")
        wait_until(lambda: not rest.get("/api/v1/snapshot")["paused"], 10, "it goes on")
    before = Stream(balancer, rest.get("/api/v1/snapshot")["last_event_id"])
    before.read_for(1.5)
    assert before.told == [] and before.last
    balancer.take_over()
    wait_until(lambda: pid_of(rest) == balancer.process.pid, 10, "the new process answers")
    rest.post("/api/v1/control/pause")
    wait_until(lambda: rest.get("/api/v1/snapshot")["paused"], 10, "it is paused")
    after = Stream(balancer, before.last)
    after.read_for(10, lambda told: "all databases are paused: new work waits" in told)
    assert after.told.count("all databases are paused: new work waits") == 1, after.told
    again = Stream(balancer, after.last)
    again.read_for(1.5)
    assert again.told == [], "told again"
    rest.post("/api/v1/control/resume")
    again.read_for(10, lambda told: "all databases go on" in told)
    assert again.told == ["all databases go on"]
    # What stood before and stands on is no news.
    rest.post("/api/v1/control/pause")
    again.read_for(10, lambda told: "all databases are paused: new work waits" in told)
    balancer.take_over()
    wait_until(lambda: pid_of(rest) == balancer.process.pid, 10, "the new process answers")
    rest.post("/api/v1/control/resume")
    third = Stream(balancer, again.last)
    third.read_for(10, lambda told: "all databases go on" in told)
    assert third.told == ["all databases go on"]

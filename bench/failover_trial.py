"""One event in one system: a ledger of acknowledged commits around it, and what it shows."""
import collections
import subprocess
import time

import psycopg2

from failover_events import Event, Trial
from harness.commits import CommitLedger
from harness.waiting import wait_until

STANDING, ANEW = 3, 1  # clients that keep their connection, and that connect for each commit
PATIENCE = 20.0  # seconds that a client waits for an answer: longer than a balancer may hold it
WARM, SETTLE = 20, 1.0  # commits of each client before; seconds before the repair, and after all
FEW = 40  # errors that are told one by one
LIMIT = 180.0  # seconds for a way back that nobody helps


def _everyone_writes(ledger: CommitLedger, since: float, count: int = 1, limit: float = LIMIT) -> None:
    def look():
        done = collections.Counter(ack.writer for ack in ledger.acks[-5000:] if ack.sent > since)
        return all(done[writer] >= count for writer in range(ledger.by_balancer))
    wait_until(look, limit, "every client's commits are acknowledged")


def _noticed(event: Event, trial: Trial) -> bool:
    if trial.trouble:
        return False
    try:
        wait_until(lambda: event.over(trial), event.limit, event.title)
        return True
    except AssertionError:
        return False


def _go_through(event: Event, trial: Trial, result: dict) -> None:
    ledger, system = trial.ledger, trial.system
    event.strike(trial)
    result["noticed"] = _noticed(event, trial)
    if result["noticed"]:
        _everyone_writes(ledger, time.monotonic())
    begin = trial.since
    if event.repair:
        time.sleep(SETTLE)
        begin = time.monotonic()
        event.repair(trial)
    system.wait_streaming(LIMIT)
    result["streams_s"] = time.monotonic() - begin
    _everyone_writes(ledger, time.monotonic())
    time.sleep(SETTLE)


def _measure(ledger: CommitLedger, trial: Trial, end: float, result: dict) -> None:
    def gap(*writers: int) -> float:
        return ledger.gap(trial.since, writers, end)
    clients = range(ledger.by_balancer)
    failures = [failure for failure in ledger.errors if failure.writer < ledger.by_balancer and failure.when >= trial.since]
    back = ledger.turned_back()
    result |= {
        "gap_s": max(map(gap, clients)), "gap_standing_s": max(gap(client) for client in clients if client not in ledger.anew),
        "gap_all_s": gap(*clients),
        "errors": len(failures), "error_texts": sorted({failure.text for failure in failures})[:5],
        "first_errors": [(round(failure.when - trial.since, 3), failure.writer, failure.kind) for failure in failures[:FEW]],
        "errors_by_kind": dict(collections.Counter(failure.kind for failure in failures)),
        "commits": sum(ack.writer < ledger.by_balancer for ack in ledger.acks),
        "servers": len(ledger.owners()), "turned_back": len(back)}


def run(system, event: Event) -> dict:
    """What is measured, in seconds; "wrong" lists what must not be."""
    result: dict = {"wrong": []}
    ledger = CommitLedger(system.through, system.direct, STANDING, ANEW, PATIENCE, whoami="inet_server_port()")
    trial = None
    try:
        system.wait_streaming(LIMIT)
        ledger.start()
        _everyone_writes(ledger, 0, WARM, 60)
        trial = Trial(system, ledger)
        _go_through(event, trial, result)
    except (AssertionError, OSError, subprocess.SubprocessError, psycopg2.Error) as wrong:
        result["wrong"].append(str(wrong))
    end = time.monotonic()
    try:
        ledger.stop()
    except AssertionError as wrong:
        result["wrong"].append(str(wrong))
    if trial is None:
        return result
    result["wrong"] += trial.trouble
    _measure(ledger, trial, end, result)
    if "streams_s" in result:
        lost = ledger.lost(system.direct[system.primary()])
        result["lost"] = len(lost)
        if lost:
            result["wrong"].append(f"{len(lost)} acknowledged commits are lost, the first: {lost[0]}")
    if result["turned_back"]:
        result["wrong"].append(f"{result['turned_back']} commits acknowledged by a former primary after another one had begun")
    return result

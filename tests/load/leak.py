#!/usr/bin/python3
"""Many clients with random session state over few servers: each knows its own state, looks again and again, and must never
see another's.

  leak.py [--minutes 10] [--clients 200] [--pool 8] [--seed N]

Each client is a thread; threads are spread over processes. Exit 1 at the first thing that a client finds and does not know, or
misses. The seed decides what each client does, not how their steps interleave."""
import argparse
import multiprocessing
import pathlib
import random
import sys
import threading
import time
import traceback

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from harness.group import Group  # noqa: E402
from harness.waiting import wait_until  # noqa: E402
from load.leak_client import SET_UP, Client, defaults  # noqa: E402

PROCESSES = 4
PINS = 5  # clients that hold a server of their own at a time; more would leave the others none


def crowd(url: str, seed: int, numbers: range, until: float, base: dict, permits, results) -> None:
    """One process: a thread for each client."""
    failed = threading.Event()

    def live(number: int) -> None:
        client = None
        try:
            client = Client(url, number, random.Random(f"{seed}/{number}"), base, permits)
            while time.monotonic() < until and not failed.is_set():
                client.step()
            client.leave()
            results.put((number, None, client.told()))
        except BaseException:  # pylint: disable=broad-except
            failed.set()
            past = f"after {list(client.past)}\n" if client else ""
            results.put((number, past + traceback.format_exc(), client.told() if client else {}))

    threads = [threading.Thread(target=live, args=(number,)) for number in numbers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def run(seconds: float, clients: int, pool: int, seed: int, replicas: int = 2) -> dict:
    """What was done, counted. AssertionError when a client saw what is not its own, or missed what is."""
    with Group(replicas, "max_connections = 100\nhot_standby_feedback = on\n") as group:
        balancer = group.serve(pool_size=pool, max_clients=clients * 2, query_wait_timeout=90)
        group.primary.sql(SET_UP)
        position = group.primary.sql("SELECT pg_current_wal_lsn()")[0][0]
        for server in group.servers[1:]:
            wait_until(lambda s=server: s.sql(f"SELECT pg_last_wal_replay_lsn() >= '{position}'")[0][0], 30, "it has caught up")
        context = multiprocessing.get_context("fork")
        permits, results = context.Semaphore(PINS), context.Queue()
        until = time.monotonic() + seconds
        arguments = [(balancer.url("postgres"), seed, range(first, clients, PROCESSES), until,
                      defaults(group.primary), permits, results) for first in range(PROCESSES)]
        processes = [context.Process(target=crowd, args=one) for one in arguments]
        for process in processes:
            process.start()
        try:
            told, errors, most = [], [], 0
            while len(told) < clients:
                if results.empty():
                    # Not what PostgreSQL lists: a backend is there for a moment after its connection was closed.
                    most = max(most, balancer.ask("status")["servers"])
                    assert time.monotonic() < until + 120, f"seed {seed}: {clients - len(told)} clients hang"
                    assert any(p.is_alive() for p in processes) or not results.empty(), f"seed {seed}: a process ended"
                    time.sleep(0.2)
                    continue
                number, error, counts = results.get()
                told.append(counts)
                if error:
                    errors.append(f"client {number}: {error}")
            assert not errors, f"seed {seed}: {len(errors)} clients failed\n" + "\n".join(errors[:3])
        finally:
            for process in processes:
                process.kill()
                process.join()
        return judge(group, balancer, told, most, clients, pool, seed)


def servers_of(group: Group) -> list[tuple]:
    """What the balancer has open for the clients, at all nodes."""
    return [row for server in group.servers for row in server.sql(
        "SELECT pid, state, backend_xid FROM pg_stat_activity WHERE backend_type = 'client backend' AND usename = 'postgres' "
        "AND client_addr IS NOT NULL")]


def judge(group, balancer, told, most, clients, pool, seed) -> dict:
    total = {key: sum(counts.get(key, 0) for counts in told) for key in sorted({k for c in told for k in c})}
    total["answers of replicas"] = sum(total.pop(f"answers of port {server.port}", 0) for server in group.servers[1:])
    total |= {"clients": clients, "servers": most, "servers of a client": total["servers seen"] / clients}
    assert group.primary.sql("SELECT count(*) FROM ghosts") == [(0,)], f"seed {seed}: what was never committed is there"
    assert most <= pool * len(group.servers) < clients, f"seed {seed}: {most} servers"
    assert total["servers of a client"] > 2, f"seed {seed}: clients do not share their servers: {total}"
    assert total["answers of replicas"] > 0, f"seed {seed}: replicas took no part"
    wait_until(lambda: all(state == "idle" for _, state, _ in servers_of(group)), 20, "all servers are idle")
    for server in group.servers:
        assert server.sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == [(0,)], "a lock outlived its client"
    wait_until(lambda: balancer.ask("status")["clients"] == 0, 10, "no client is counted any more")
    return total


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--pool", type=int, default=8)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    try:
        total = run(options.minutes * 60, options.clients, options.pool, options.seed)
    except AssertionError as error:
        print(error)
        return 1
    for key, value in total.items():
        print(f"{key:24} {value:10.1f}" if isinstance(value, float) else f"{key:24} {value:10}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The lease store that a balancer keeps: etcd's JSON interface behind a password, and durable."""
import contextlib
import os
import stat
import urllib.error

import psycopg2
import pytest

from harness.alone import AUTH_PASSWORD, standing_alone
from harness.free_ports import free_block
from harness.store import STORE_PASSWORD, Store, text64
from harness.waiting import wait_until

def wait_for_store(balancer, times: int = 1) -> None:
    wait_until(lambda: balancer.log.count("lease store on") >= times, 20, "the lease store is open")


@pytest.fixture(scope="module")
def balancer():
    with standing_alone("host all all all scram-sha-256") as (_, alone):
        alone.config |= {"store_dir": "store", "store_port": free_block(1), "store_password": STORE_PASSWORD,
                         "takeover_socket": "takeover.sock"}
        alone.restart()
        wait_for_store(alone)
        yield alone


def test_nobody_gets_in_without_the_password(balancer):
    store = Store(balancer.config["store_port"])
    with pytest.raises(urllib.error.HTTPError) as refused:
        store.ask("/v3/kv/range", {"key": text64("/k")})
    assert refused.value.code in (400, 401)
    with pytest.raises(urllib.error.HTTPError):
        store.ask("/v3/auth/authenticate", {"name": "pgbalancer", "password": "guess"})
    assert STORE_PASSWORD not in balancer.log


def test_what_was_written_is_there_after_the_balancer_was_killed(balancer):
    store = Store(balancer.config["store_port"])
    store.log_in()
    lease = store.ask("/v3/lease/grant", {"TTL": 60})["ID"]
    store.ask("/v3/kv/put", {"key": text64("/k"), "value": text64("v"), "lease": lease})
    balancer.process.kill()
    balancer.process.wait(20)
    opened = balancer.log.count("lease store on")
    balancer.start()
    wait_for_store(balancer, opened + 1)
    store.log_in()
    assert store.get("/k") == ["v"]
    assert store.ask("/v3/lease/keepalive", {"ID": lease})["result"]["TTL"] == "60"
    store.ask("/v3/lease/revoke", {"ID": lease})
    assert store.get("/k") == []


def test_its_files_are_for_its_owner_alone(balancer):
    folder = balancer.folder / "store"
    assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
    assert stat.S_IMODE(os.stat(folder / "leases.log").st_mode) == 0o600


def test_who_takes_over_keeps_the_store_and_what_it_holds(balancer):
    store = Store(balancer.config["store_port"])
    store.log_in()
    store.ask("/v3/kv/put", {"key": text64("/moved"), "value": text64("v")})
    with contextlib.closing(psycopg2.connect(balancer.url("pgbalancer", AUTH_PASSWORD))) as client, client.cursor() as cursor:
        opened = balancer.log.count("lease store on")
        before = balancer.take_over()
        wait_for_store(balancer, opened + 1)
        assert before.poll() is None
        store.log_in()
        assert store.get("/moved") == ["v"]
        cursor.execute("SELECT 1")

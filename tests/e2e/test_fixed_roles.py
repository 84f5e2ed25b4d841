"""Without failover roles are those of the cluster file; and clusters that were made that way, also by versions that knew nothing
else, stay so until they are changed over as a whole."""
import json
import urllib.request

import pytest

from harness.waiting import holds_for, wait_until


@pytest.fixture
def fixed(fresh):
    fresh.document["ha"] = {"failover": False}
    fresh.write()
    fresh.init()
    return fresh


def check_fixed(cluster) -> None:
    document = cluster.wait_healthy()
    group = cluster.group(document=document)
    assert (group["failover"], group["durability"], group["paused"]) == (False, "async", None), group
    assert cluster.primary(document) == "primary1"
    assert cluster.value("SHOW synchronous_standby_names", "primary1") == ""


def test_the_page_knows_its_cluster(fixed):
    secrets = json.loads((fixed.state_dir / fixed.name / "secrets.json").read_text())

    def ask(path: str) -> dict:
        request = urllib.request.Request(f"http://127.0.0.1:{fixed.balancer()['rest_api_port']}{path}",
                                         headers={"Authorization": f"Bearer {secrets['balancer_token']}"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)
    assert ask("/api/v1/snapshot")["cluster"] == fixed.name
    assert ask("/cluster")["scope"] == fixed.name
    assert ask("/api/v1/snapshot")["ha"] is None, "nobody chooses the primary"


def forget_failover(cluster) -> None:
    """As a version that had no failover would have recorded the cluster."""
    folder = cluster.state_dir / cluster.name
    for name, keys in (("cluster.json", ("ha", "durability", "dcs")), ("secrets.json", ("store_password",))):
        document = json.loads((folder / name).read_text())
        for key in keys:
            del document[key]
        (folder / name).write_text(json.dumps(document))
    del cluster.document["ha"]
    cluster.write()


def test_a_primary_that_is_lost_is_waited_for(fixed):
    check_fixed(fixed)
    assert "async, no failover" in fixed.run("status").out
    done = fixed.run("switchover", expect=None)
    assert done.code != 0 and "keeps no lease store" in done.err, done
    fixed.kill_unit("primary1")
    wait_until(lambda: fixed.status()["state"] == "no_primary", 10, "the loss is seen")
    assert fixed.group()["query"]["ok"], "reads go on"
    holds_for(lambda: fixed.status()["state"] == "no_primary", 6, "nobody takes over")
    fixed.run("init")
    check_fixed(fixed)
    fixed.document["durability"] = "quorum"
    fixed.write()
    assert "durability: is not in effect" in fixed.run("validate").err


def test_a_cluster_of_an_earlier_version_stays_as_it_is_and_is_changed_over_as_a_whole(fixed):
    forget_failover(fixed)
    assert "Nothing to do" in fixed.run("init").out
    check_fixed(fixed)
    fixed.run("add-replica")
    fixed.run("restart", "replica1")
    fixed.run("stop")
    fixed.run("start")
    check_fixed(fixed)
    assert fixed.node("replica3")["state"] == "streaming"

    fixed.document["ha"] = {"failover": True}
    fixed.write()
    done = fixed.run("init", expect=3)
    assert "pgbalancer_cluster stop, then init" in done.err and "changed   nothing" in done.err, done
    check_fixed(fixed)
    fixed.query("CREATE TABLE kept AS SELECT generate_series(1, 1000) AS n")
    fixed.run("stop")
    fixed.init()
    document = fixed.wait_healthy()
    assert fixed.group(document=document)["failover"] is True

    def asks_for_copies():
        return fixed.group()["durability"].startswith("ANY ")
    wait_until(asks_for_copies, 30, "commits wait for a second copy")
    before = fixed.primary()
    fixed.kill_unit(before)
    wait_until(lambda: any(n["state"] == "accepting" for n in fixed.group()["nodes"]), 30, "another one takes over")
    fixed.run("init")
    document = fixed.wait_healthy()
    assert fixed.primary(document) != before
    for name in ["primary1", "replica1", "replica2", "replica3"]:
        fixed.wait_value("SELECT count(*) FROM kept", 1000, name)

    fixed.document["ha"] = {"failover": False}
    fixed.write()
    done = fixed.run("init", expect=3)
    assert "the agents choose the primary by now" in done.err and "changed   nothing" in done.err, done
    assert fixed.wait_healthy()

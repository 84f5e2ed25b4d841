"""A cluster file that was edited after init: what is applied, and what is honestly said not to be."""
import json


def test_an_edited_file_is_applied_or_said_to_be_pending(fresh):
    fresh.init()
    assert "Nothing to do" in fresh.run("init").out
    fresh.balancer()["config"] = {"pool_size": 3, "max_clients": 7}
    fresh.write()
    done = fresh.run("init")
    assert "Nothing to do" not in done.out and "lb1: configuration read again" in done.out, done
    fresh.document.setdefault("postgres", {})["parameters"] = {"work_mem": "7MB"}
    fresh.write()
    for _ in range(2):  # it stays pending until it is done
        done = fresh.run("init")
        assert "is not yet as" in done.out and "pgbalancer_cluster restart primary1" in done.out, done
    assert fresh.value("SHOW work_mem", "primary1") != "7MB"
    for unit in ("primary1", "replica1", "replica2"):
        fresh.run("restart", unit)
    done = fresh.run("init")
    assert "Nothing to do" in done.out, done
    for node in fresh.hosts():
        assert fresh.value("SHOW work_mem", node) == "7MB"
    assert fresh.value("SELECT count(*) FROM users") == 3, "no data was lost"
    result = json.loads(fresh.run("init", "--json").out.splitlines()[-1])
    assert result["pending"] == [] and result["changed"] == 0

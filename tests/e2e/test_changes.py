"""A cluster file that was edited after init: what is applied, and what is honestly said not to be."""
import json
import pathlib

from harness.waiting import wait_until


def test_an_edited_file_is_applied_or_said_to_be_pending(fresh):
    fresh.init()
    assert "Nothing to do" in fresh.run("init").out
    user = fresh.value("SELECT current_user")
    fresh.balancer()["config"] = {"pool_size": 3, "max_clients": 7, "pools": [{"user": user, "pool_mode": "session"}]}
    fresh.write()
    done = fresh.run("init")
    assert "Nothing to do" not in done.out and "lb1: configuration read again" in done.out, done
    assert "pool_mode is session" in fresh.query("EXPLAIN (ROUTE) SELECT 1")[0][2], "a user has a mode of its own"
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


def refused(cluster, *fragments: str) -> None:
    done = cluster.run("init", expect=3)
    for fragment in ("changed   nothing", *fragments):
        assert fragment in done.err, done
    assert cluster.wait_healthy()


def test_a_file_that_turns_roles_round_is_refused(fresh):
    fresh.init()
    group = fresh.balancer()
    primary, replica = group["primary"], group["replicas"][0]
    primary["host"], replica["host"] = replica["host"], primary["host"]
    fresh.write()
    refused(fresh, "primary1 is the primary of lb1; the file makes it replica1")
    primary["host"], replica["host"] = "another", "replica1"
    fresh.write()
    refused(fresh, "the file makes it another")
    primary["host"] = "primary1"
    group["name"] = "lb9"
    fresh.write()
    refused(fresh, "balancer lb1 is part of the cluster")
    group["name"] = "lb1"
    fresh.write()
    assert "Nothing to do" in fresh.run("init").out


def test_an_address_is_changed_with_a_stop_and_not_under_a_running_cluster(fresh):
    fresh.init()
    old = fresh.balancer()["primary"]["port"]
    fresh.balancer()["primary"]["port"] = old + 3000
    fresh.write()
    refused(fresh, "the port or address of primary1", "pgbalancer_cluster stop, then init")
    assert fresh.node("primary1")["port"] == old
    fresh.run("stop")
    fresh.init()
    assert fresh.wait_healthy()
    assert fresh.node("primary1")["port"] == old + 3000
    for node in [None, *fresh.hosts()]:
        assert fresh.value("SELECT count(*) FROM users", node) == 3


def test_a_mistake_in_the_init_sql_or_the_parameters_can_be_mended(fresh):
    sql = fresh.folder / "mend.sql"
    sql.write_text("CREATE TABLE mended (n int); INSERT INTO mended VALUES (1); SELEC 1;")
    fresh.document.setdefault("postgres", {})["init_sql"] = ["mend.sql"]
    fresh.document["postgres"]["parameters"] = {"shared_buffers": "bogus"}
    fresh.write()
    done = fresh.run("init", expect=1, limit=60)
    assert "primary1" in done.err and "postgres ended while starting" in done.err, done
    fresh.document["postgres"]["parameters"] = {}
    fresh.write()
    done = fresh.run("init", expect=1, limit=60)
    assert "SELEC" in done.err, done
    sql.write_text("CREATE TABLE mended (n int); INSERT INTO mended VALUES (2);")
    fresh.init()
    assert fresh.query("SELECT n FROM mended") == [(2,)]


def test_durability_follows_the_size_of_the_group_and_the_file_while_all_runs(make_sandbox):
    with make_sandbox("process") as cluster:
        del cluster.balancer()["replicas"][1:]
        cluster.write()
        cluster.init()
        servers = {name: cluster.postgres_pids(name)[0] for name in cluster.hosts()}
        assert cluster.group()["durability"] == "async", "one replica: a commit waits for nobody"
        cluster.run("add-replica")

        def asks(wanted):
            return lambda: cluster.group()["durability"].startswith(wanted)
        wait_until(asks("ANY 1"), 30, "commits wait for one of two")
        cluster.document["durability"] = "async"
        cluster.write()
        assert "lb1: durability is async now" in cluster.run("init").out
        wait_until(asks("async"), 30, "commits wait for nobody")
        del cluster.document["durability"]
        cluster.write()
        cluster.run("init")
        wait_until(asks("ANY 1"), 30, "commits wait for one of two again")
        cluster.run("remove-replica", "--node", cluster.replicas()[-1])
        wait_until(asks("async"), 30, "one replica: a commit waits for nobody")
        assert {name: cluster.postgres_pids(name)[0] for name in cluster.hosts()} == servers, "servers were restarted"


def test_destroy_takes_nothing_that_is_not_ours(make_sandbox):
    with make_sandbox("process") as cluster:
        theirs = pathlib.Path(cluster.manager.env["PGBALANCER_STATE_DIR"]) / cluster.name / "mine"
        theirs.mkdir(parents=True)
        (theirs / "thesis.txt").write_text("years of work")
        cluster.run("destroy", "--yes")
        cluster.run("--destroy")
        assert (theirs / "thesis.txt").read_text() == "years of work"
        cluster.init()
        cluster.run("--destroy")
        assert (theirs / "thesis.txt").read_text() == "years of work"
        (theirs / "thesis.txt").unlink()
        theirs.rmdir()
        theirs.parent.rmdir()


def test_another_runtime_than_the_clusters_is_refused(make_sandbox):
    with make_sandbox("process") as cluster:
        cluster.init()
        for verb in ("--destroy", "init", "status"):
            done = cluster.run(verb, "--runtime", "docker", expect=3)
            assert "was made with the runtime process" in done.err, done
        assert cluster.wait_healthy()


def test_save_adds_to_the_file_and_changes_nothing_else_in_it(make_sandbox):
    with make_sandbox("process") as cluster:
        cluster.init()
        cluster.document["postgres"] = {"parameters": {"work_mem": "9MB"}}
        cluster.write()
        cluster.file.chmod(0o600)
        cluster.run("add-replica", "--save")
        saved = json.loads(cluster.file.read_text())
        assert [r["host"] for r in saved["balancers"][0]["replicas"]] == ["replica1", "replica2", "replica3"]
        del saved["balancers"][0]["replicas"][2]
        assert saved == cluster.document
        assert cluster.file.stat().st_mode & 0o777 == 0o600


def test_roles_that_are_ours_cannot_be_the_users(make_sandbox):
    with make_sandbox("process") as cluster:
        for key in ("superuser", "replication_user"):
            for name in ("pgbalancer", "pgbalancer_agent", "pg_monitor"):
                cluster.document["postgres"] = {key: name}
                cluster.write()
                assert f"postgres.{key}" in cluster.run("validate", expect=3).err

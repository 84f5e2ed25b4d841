"""The cluster file's primary is one server as the others, once another one leads."""
from harness.waiting import wait_until


def test_the_files_primary_can_leave_when_another_one_leads(make_sandbox):
    with make_sandbox("process") as cluster:
        cluster.document["ha"] = {"failover": True}
        cluster.document["postgres"]["init_sql"] = ["first.sql"]
        (cluster.folder / "first.sql").write_text("CREATE TABLE first (n int);")
        cluster.write()
        cluster.init()
        # At once: that replica1 is in the record a moment later is waited for.
        assert "replica1" in cluster.run("switchover", "--to", "replica1").out
        cluster.wait_healthy()
        cluster.run("switchover", "--to", "primary1")
        cluster.wait_healthy()
        refused = cluster.run("remove-replica", "--node", "primary1", expect=6).err
        assert "PGB-IS-PRIMARY" in refused and "switchover" in refused
        cluster.run("switchover", "--to", "replica1")
        cluster.wait_healthy()
        with cluster.connect() as connection, connection.cursor() as client:
            client.execute("CREATE TABLE kept (n int)")
        assert "PGB-IS-PRIMARY" in cluster.run("remove-replica", "--node", "replica1", expect=6).err
        (cluster.folder / "first.sql").unlink()  # who makes a database needs it, nobody else
        assert cluster.run("remove-replica", "--node", "primary1", "--dry-run").out == "remove primary1 with its data and slot\n"
        told = cluster.run("remove-replica", "--node", "primary1").out
        assert "make that replica1 there" in told, told
        wait_until(lambda: {node["name"] for node in cluster.group()["nodes"]} == {"replica1", "replica2"}, 20, "two are left")
        cluster.wait_healthy()
        assert not (cluster.state_dir / cluster.name / "units" / "primary1").exists()
        assert cluster.query("SELECT slot_name FROM pg_replication_slots", "replica1") == [("replica2",)]
        refused = cluster.run("init", expect=3).err
        assert "replica1 is the primary of lb1; the file makes it primary1" in refused, refused
        # The file follows what is so: nobody is restarted for that, and the group can grow again.
        first = {name: cluster.postgres_pids(name)[0] for name in ("replica1", "replica2")}
        group = cluster.document["balancers"][0]
        first_of_file, *group["replicas"] = group["replicas"]
        group["primary"] = {key: value for key, value in first_of_file.items() if key != "node_id"}
        cluster.write()
        cluster.run("init")
        cluster.wait_healthy()
        assert {name: cluster.postgres_pids(name)[0] for name in first} == first
        cluster.run("add-replica")
        cluster.run("stop")
        cluster.run("start")
        cluster.wait_healthy()
        assert len(cluster.group()["nodes"]) == 3
        assert cluster.query("SELECT to_regclass('kept') IS NOT NULL", "replica1") == [(True,)]

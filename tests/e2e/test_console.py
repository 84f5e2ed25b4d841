"""The console (database "pgbalancer") as PgBouncer's clients use it, and pgpool-II's commands in any session."""
import contextlib
import datetime
import shutil
import subprocess
import threading
import time

import psycopg
import psycopg2
import psycopg2.errors
import pytest

from harness import tools
from harness.alone import standing_group
from harness.waiting import holds_for, wait_until
from harness.wire import Wire, query

USERS = [{"name": name, "password": name} for name in ("boss", "watcher", "shop")]
# What an exporter of PgBouncer asks for and what it finds there: prometheus-community's, by its table of metrics.
EXPORTER = {
    "databases": ["name", "host", "port", "database", "force_user", "pool_size", "pool_mode", "max_connections",
                  "current_connections", "paused", "disabled"],
    "stats_totals": ["database", "query_count", "query_time", "bytes_received", "bytes_sent", "wait_time", "xact_count", "xact_time",
                     "client_parse_count", "server_parse_count", "bind_count"],
    "pools": ["database", "user", "cl_active", "cl_active_cancel_req", "cl_waiting", "cl_waiting_cancel_req", "sv_active",
              "sv_active_cancel", "sv_being_canceled", "sv_idle", "sv_used", "sv_tested", "sv_login", "maxwait"],
}
LABELS = {"name", "host", "port", "database", "force_user", "pool_mode", "user"}
# Columns of PgBouncer 1.24 and later, in its order.
SOCKETS = ("type user database replication state addr port local_addr local_port connect_time request_time wait wait_us close_needed "
           "ptr link remote_pid tls application_name prepared_statements id").split()
PGBOUNCER = {
    "clients": SOCKETS,
    "servers": SOCKETS,
    "pools": ("database user cl_active cl_waiting cl_active_cancel_req cl_waiting_cancel_req sv_active sv_active_cancel "
              "sv_being_canceled sv_idle sv_used sv_tested sv_login maxwait maxwait_us pool_mode load_balance_hosts").split(),
    "databases": ("name host port database force_user pool_size min_pool_size reserve_pool_size server_lifetime pool_mode "
                  "load_balance_hosts max_connections current_connections max_client_connections current_client_connections paused "
                  "disabled").split(),
    "users": ("name pool_size reserve_pool_size pool_mode max_user_connections current_connections max_user_client_connections "
              "current_client_connections").split(),
    "lists": ["list", "items"],
    "config": ["key", "value", "default", "changeable"],
    "mem": ["name", "size", "used", "free", "memtotal"],
    "stats": ("database total_server_assignment_count total_xact_count total_query_count total_received total_sent total_xact_time "
              "total_query_time total_wait_time total_client_parse_count total_server_parse_count total_bind_count "
              "total_client_login_count avg_server_assignment_count avg_xact_count avg_query_count avg_recv avg_sent avg_xact_time "
              "avg_query_time avg_wait_time avg_client_parse_count avg_server_parse_count avg_bind_count "
              "avg_client_login_count").split(),
    "version": ["version"],
    "state": ["key", "value"],
}
POOL_NODES = ("node_id hostname port status pg_status lb_weight role pg_role select_cnt load_balance_node replication_delay "
              "replication_state replication_sync_state last_status_change").split()


class Site:
    def __init__(self, primary, replicas, balancer):
        self.primary, self.replica, self.balancer = primary, replicas[0], balancer

    def psql(self, command: str, user: str = "boss", database: str = "pgbalancer") -> subprocess.CompletedProcess:
        return subprocess.run(["psql", "-X", "-A", "-F", "\t", self.balancer.url(user, user, database), "-c", command],
                              capture_output=True, text=True, timeout=30, check=False)

    def show(self, what: str, user: str = "boss") -> list[dict]:
        done = self.psql(f"SHOW {what}", user)
        assert done.returncode == 0, done
        lines = [line.split("\t") for line in done.stdout.splitlines()]
        return [dict(zip(lines[0], line)) for line in lines[1:-1]]

    @contextlib.contextmanager
    def connect(self, user: str = "shop", database: str = "postgres", autocommit: bool = True):
        with contextlib.closing(psycopg2.connect(self.balancer.url(user, user, database), connect_timeout=15)) as connection:
            connection.autocommit = autocommit
            yield connection


def ask(connection, sql: str) -> list[dict]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        if cursor.description is None:
            return []
        return [dict(zip([column.name for column in cursor.description], row)) for row in cursor.fetchall()]


@pytest.fixture(scope="module")
def site():
    with standing_group(1, users=USERS, admin_users=["boss"], stats_users=["watcher"]) as (primary, replicas, balancer):
        primary.sql("CREATE ROLE shop LOGIN PASSWORD 'shop'; CREATE TABLE log (n int); GRANT ALL ON log TO shop")
        replicas[0].wait_caught_up()
        yield Site(primary, replicas, balancer)


@pytest.mark.parametrize("what", PGBOUNCER)
def test_psql_sees_the_columns_of_pgbouncer(site, what):
    with site.connect() as client:
        ask(client, "SELECT 1")
        done = site.psql(f"SHOW {what};")
        assert done.stdout.splitlines()[0].split("\t") == PGBOUNCER[what], done
        assert "row" in done.stdout.splitlines()[-1]


def test_the_queries_of_an_exporter_give_numbers(site):
    with site.connect() as client, site.connect("watcher", "pgbalancer") as exporter:
        ask(client, "SELECT 1")
        assert ask(exporter, "SHOW VERSION;")[0]["version"].startswith("PgBouncer 1.25"), "collectors choose their columns by it"
        for what, columns in EXPORTER.items():
            rows = ask(exporter, f"SHOW {what};")
            assert [row for row in rows if row["database"] == "postgres"], (what, rows)
            for row in rows:
                for column in columns:
                    assert column in LABELS or float(row[column]) >= 0, (what, row)
        lists = {row["list"]: row["items"] for row in ask(exporter, "SHOW LISTS;")}
        assert lists["used_clients"] >= 1 and lists["databases"] >= 1 and lists["pools"] >= 1, lists
        config = {row["key"]: row["value"] for row in ask(exporter, "SHOW CONFIG;")}
        assert config["max_client_conn"] == "1000" and config["max_user_connections"] == "0"
        assert not [key for key in config if "password" in key or "token" in key]


@pytest.mark.skipif(not shutil.which(tools.Exporter.PROGRAM), reason=f"{tools.Exporter.PROGRAM} is not installed")
def test_an_exporter_of_pgbouncer_connects_and_tells_numbers(site):
    with site.connect() as client, contextlib.closing(tools.Exporter(site.balancer.port, "watcher", "watcher")) as exporter:
        ask(client, "SELECT 1")
        numbers = exporter.wait_serves().numbers()
        assert numbers["pgbouncer_used_clients"] >= 1 and numbers["pgbouncer_databases"] >= 1 and numbers["pgbouncer_pools"] >= 1, numbers


def test_the_console_has_the_name_of_pgbouncers_too(site):
    for name in ("pgbalancer", "pgbouncer"):
        done = site.psql("SHOW VERSION", "watcher", name)
        assert done.returncode == 0 and "PgBouncer 1.25" in done.stdout, done
        assert "may not use the console" in site.psql("SHOW VERSION", "shop", name).stderr


def test_what_clients_do_shows_at_once(site):
    before = {row["database"]: row for row in site.show("STATS_TOTALS")}["postgres"]
    with site.connect(autocommit=False) as client:
        ask(client, "INSERT INTO log VALUES (1)")
        assert [row for row in site.show("CLIENTS") if row["user"] == "shop" and row["state"] == "active"]
        [server] = [row for row in site.show("SERVERS") if row["user"] == "shop" and row["state"] == "active"]
        pids = [str(pid) for pid, in site.primary.sql("SELECT pid FROM pg_stat_activity WHERE usename = 'shop'")]
        assert server["remote_pid"] in pids and server["port"] == str(site.primary.port)
        [pool] = [row for row in site.show("POOLS") if row["user"] == "shop"]
        assert (pool["cl_active"], pool["sv_active"]) == ("1", "1"), pool
        client.commit()
        for _ in range(20):
            ask(client, "SELECT pg_sleep(0.01)")
            client.commit()
    after = {row["database"]: row for row in site.show("STATS_TOTALS")}["postgres"]
    grown = {key: int(after[key]) - int(before[key]) for key in after if key != "database"}
    assert grown["query_count"] >= 60 and grown["xact_count"] >= 21 and grown["client_login_count"] >= 1, grown
    assert grown["query_time"] >= 200_000 and grown["xact_time"] >= 200_000, grown
    assert grown["bytes_received"] > 500 and grown["bytes_sent"] > 500, grown
    nodes = {row["name"]: row for row in site.show("NODES")}
    assert (nodes["primary"]["role"], nodes["replica1"]["role"], nodes["replica1"]["healthy"]) == ("primary", "replica", "yes")
    assert [row for row in site.show("ROUTES") if row["node"] == "primary" and int(row["requests"]) > 0]


def test_a_pause_waits_for_the_transaction_and_resume_lets_go_on(site):
    with site.connect(autocommit=False) as client:
        ask(client, "INSERT INTO log VALUES (2)")
        done = []
        pause = threading.Thread(target=lambda: done.append(site.psql("PAUSE postgres")))
        pause.start()
        wait_until(lambda: [row for row in site.show("DATABASES") if row["name"] == "postgres" and row["paused"] == "1"], 10, "it is paused")
        holds_for(lambda: not done, 0.3, "PAUSE waits for the transaction")
        client.commit()
        pause.join(10)
        assert done and done[0].stdout.splitlines()[-1] == "PAUSE", done
        behind = threading.Thread(target=lambda: done.append(ask(client, "SELECT 7 AS n")))
        behind.start()
        wait_until(lambda: [row for row in site.show("CLIENTS") if row["user"] == "shop" and row["state"] == "waiting"], 10, "the client waits")
        assert site.psql("RESUME").stdout.splitlines()[-1] == "RESUME"
        behind.join(10)
        assert done[-1] == [{"n": 7}]


def test_reconnect_and_kill(site):
    with site.connect() as client, site.connect() as other:
        pid = ask(client, "SELECT pg_backend_pid() AS pid /* pgbalancer: primary */")[0]["pid"]
        assert site.psql("RECONNECT").returncode == 0
        assert site.psql("WAIT_CLOSE").stdout.splitlines()[-1] == "WAIT_CLOSE"
        assert str(pid) not in [row["remote_pid"] for row in site.show("SERVERS")]
        mine = f"{other.info.host}:"
        ids = [row["ptr"] for row in site.show("CLIENTS") if row["user"] == "shop" and row["addr"] + ":" == mine]
        assert len(ids) == 2, ids
        assert site.psql(f"KILL_CLIENT '{ids[0]}'").returncode == 0
        wait_until(lambda: len([r for r in site.show("CLIENTS") if r["user"] == "shop"]) == 1, 10, "one client is gone")
        assert "does not" not in site.psql("KILL postgres").stderr
        wait_until(lambda: not [r for r in site.show("CLIENTS") if r["user"] == "shop"], 10, "the other one, too")
        missing = site.psql("KILL_CLIENT nobody")
        assert missing.returncode == 1 and "there is no client nobody" in missing.stderr, missing
    assert site.show("LISTS"), "the console itself is not killed"


def test_what_there_is_not_is_not_done(site):
    for command in ("PAUSE nodb", "KILL nodb", "RECONNECT nodb"):
        wait_until(lambda: "there is no database nodb" in site.psql(command).stderr, 10, f"{command}: the servers know their databases")
        assert "databases: postgres, template1" in site.psql(command).stderr, "those that there are"
    assert not [row for row in site.show("DATABASES") if row["name"] == "nodb"], "nothing is paused"
    site.primary.sql("CREATE DATABASE newdb")
    wait_until(lambda: site.psql("PAUSE newdb").returncode == 0, 10, "nobody has asked for it, but it is there")
    site.primary.sql("DROP DATABASE newdb")
    assert site.psql("RESUME newdb").returncode == 0, "what is paused can be resumed"
    assert "there is no parameter" in site.psql("SET x = 1").stderr


def test_who_may_do_what(site):
    refused = site.psql("SHOW POOLS", "shop")
    assert refused.returncode == 2 and 'user "shop" may not use the console' in refused.stderr, refused
    refused = site.psql("PAUSE", "watcher")
    assert refused.returncode == 1 and "pause is for the role operator, not for viewer" in refused.stderr, refused
    wrong = subprocess.run(["psql", "-X", site.balancer.url("boss", "wrong", "pgbalancer"), "-c", "SHOW POOLS"],
                           capture_output=True, text=True, timeout=30, check=False)
    assert "password authentication failed" in wrong.stderr, wrong
    with site.connect() as client:
        assert ask(client, "SELECT 1 AS one") == [{"one": 1}], "nothing was paused"


def test_the_extended_protocol_in_text_and_in_binary(site):
    for binary in (False, True):
        with psycopg.connect(site.balancer.url("boss", "boss", "pgbalancer"), autocommit=True) as connection:
            for _ in range(3):
                rows = connection.execute("SHOW LISTS", prepare=True, binary=binary).fetchall()
                assert dict(rows)["peers"] == 0, rows
            with pytest.raises(psycopg.Error, match="there is nothing to show"):
                connection.execute("SHOW nonsense", prepare=True)
            assert "pgbalancer" in connection.execute("SHOW VERSION", prepare=True).fetchone()[0]
    with psycopg.connect(site.balancer.url("boss", "boss", "pgbalancer")) as connection:  # which begins a transaction
        assert connection.execute("SHOW STATE").fetchall()[0] == ("active", "yes")
        connection.commit()


def test_help_is_told_to_people(site):
    done = site.psql("SHOW HELP")
    assert "PAUSE [database=" in done.stderr and "NODES" in done.stderr, done
    assert "SHOW HELP" in site.psql("PAUSE a b").stderr


def test_reload_reads_who_may_use_it(site):
    site.balancer.config["stats_users"] = ["watcher", "shop"]
    site.balancer.write()
    assert site.psql("RELOAD").returncode == 0
    try:
        assert site.show("POOLS", "shop")
    finally:
        site.balancer.config["stats_users"] = ["watcher"]
        site.balancer.reload()


def test_pool_nodes_in_an_ordinary_session(site):
    done = site.psql("SHOW POOL_NODES", "shop", "postgres")
    assert done.stdout.splitlines()[0].split("\t") == POOL_NODES, done
    for autocommit in (True, False):
        with site.connect(autocommit=autocommit) as client:
            ask(client, "SELECT 1")
            rows = {row["role"]: row for row in ask(client, "show pool_nodes;")}
            assert rows["primary"]["port"] == str(site.primary.port) and rows["standby"]["status"] == "up", rows
            assert ask(client, "SELECT 2 AS two") == [{"two": 2}]
    assert "pgbalancer" in site.psql("SHOW pool_version", "shop", "postgres").stdout
    for command in ("SHOW POOL_PROCESSES", "SHOW POOL_POOLS", "PGPOOL SHOW ALL"):
        assert "permission denied" in site.psql(command, "shop", "postgres").stderr, command
    with site.connect("shop") as client:
        with pytest.raises(psycopg2.Error, match="not known here"):
            ask(client, "SHOW POOL_CACHE")
        assert ask(client, "SELECT 3 AS three") == [{"three": 3}], "the session goes on"


def test_pool_nodes_in_every_pool_mode_and_what_follows_waits(site):
    for mode in ("session", "statement", "transaction"):
        site.balancer.config["pool_mode"] = mode
        site.balancer.reload()
        with Wire(site.balancer.url("shop", "shop")) as wire:
            assert wire.ask(query("SELECT 1")).value == "1"
            wire.send(query("SHOW POOL_NODES"), query("SELECT 2"), query("SELECT 3"))
            answers = [wire.until() for _ in range(3)]
            assert [len(answer.rows) for answer in answers] == [2, 1, 1], (mode, answers)
            assert (answers[1].value, answers[2].value) == ("2", "3")


def test_a_take_over_ends_the_console_of_the_old_process(site):
    site.balancer.config["takeover_socket"] = "takeover.sock"
    site.balancer.restart()
    with site.connect("watcher", "pgbalancer") as exporter:
        assert ask(exporter, "SHOW LISTS")
        old = site.balancer.take_over()
        assert old.wait(10) == 0, site.balancer.log
        assert site.show("LISTS")


def test_a_lost_replica_is_down_and_comes_back(site):
    time.sleep(1.1)  # it is told in whole seconds
    began = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None, microsecond=0)
    site.replica.stop()
    try:
        wait_until(lambda: {r["name"]: r for r in site.show("NODES")}["replica1"]["healthy"] == "no", 10, "it is not healthy")
        with site.connect() as client:
            changed = {row["role"]: datetime.datetime.fromisoformat(row["last_status_change"]) for row in ask(client, "SHOW POOL_NODES")}
            assert changed["primary"] < began <= changed["standby"], (began, changed)
            assert {row["role"]: row["status"] for row in ask(client, "SHOW POOL_NODES")} == {"primary": "up", "standby": "down"}
            [stats] = [row for row in ask(client, "SHOW POOL_HEALTH_CHECK_STATS") if row["role"] == "standby"]
            assert int(stats["fail_count"]) > 0 and int(stats["success_count"]) > 0, stats
    finally:
        site.replica.start()
    wait_until(lambda: {r["name"]: r for r in site.show("NODES")}["replica1"]["healthy"] == "yes", 20, "it is healthy again")


def test_it_works_with_no_server_and_no_place_for_clients(site):
    site.balancer.config["max_clients"] = 1
    site.balancer.reload()
    try:
        with site.connect():
            with pytest.raises(psycopg2.OperationalError, match="too many clients"):
                with site.connect():
                    pass
            assert site.show("LISTS")
        site.primary.stop()
        wait_until(lambda: {r["name"]: r for r in site.show("NODES")}["primary"]["healthy"] == "no", 10, "the primary is gone")
        assert site.show("POOLS") is not None
    finally:
        del site.balancer.config["max_clients"]
        site.balancer.reload()
        site.primary.start()
    wait_until(lambda: {r["name"]: r for r in site.show("NODES")}["primary"]["healthy"] == "yes", 20, "it is healthy again")


def test_who_was_there_before_gets_in_while_no_server_does(site):
    """His password is nobody's but the servers'."""
    site.primary.sql("CREATE ROLE chief LOGIN PASSWORD 'chief'; CREATE ROLE deputy LOGIN PASSWORD 'deputy'")
    site.balancer.config["admin_users"] = ["boss", "chief", "deputy"]
    site.balancer.reload()
    site.replica.wait_caught_up()
    assert site.show("LISTS", "chief")
    site.replica.stop()
    site.primary.stop()
    try:
        wait_until(lambda: all(row["healthy"] == "no" for row in site.show("NODES")), 10, "both are gone")
        time.sleep(6)  # longer than anybody is believed while a server can be asked
        wrong = subprocess.run(["psql", "-X", site.balancer.url("chief", "guess", "pgbalancer"), "-c", "SHOW NODES"], capture_output=True,
                               text=True, timeout=30, check=False)
        assert wrong.returncode != 0 and "password authentication failed" in wrong.stderr, wrong
        assert {row["role"] for row in site.show("NODES", "chief")} == {"unknown"}
        unseen = site.psql("SHOW NODES", "deputy")
        assert unseen.returncode != 0 and "no database server can be reached to check the password" in unseen.stderr, unseen
        outside = site.psql("SELECT 1", "chief", "postgres")
        assert outside.returncode != 0 and "no database server can be reached" in outside.stderr, outside
    finally:
        site.primary.start()
        site.replica.start()
        site.balancer.config["admin_users"] = ["boss"]
        site.balancer.reload()
    wait_until(lambda: all(row["healthy"] == "yes" for row in site.show("NODES")), 20, "both are there again")


def test_shutdown_ends_the_balancer(site):
    site.psql("SHUTDOWN WAIT_FOR_SERVERS")
    assert site.balancer.process.wait(10) == 0, site.balancer.log
    site.balancer.start()
    site.psql("SHUTDOWN")
    assert site.balancer.process.wait(10) == 0, site.balancer.log
    site.balancer.start()


def test_without_users_it_is_a_database_like_any_other(site):
    site.primary.sql("CREATE DATABASE pgbalancer")
    for key in ("admin_users", "stats_users"):
        del site.balancer.config[key]
    site.balancer.restart()
    assert site.psql("SELECT current_database()", "shop").stdout.splitlines()[1] == "pgbalancer"

"""Fresh servers for a suite: one, or one and replicas, and a balancer in front of them."""
import contextlib
import shutil
import subprocess

from harness.alone import GET_AUTH, Balancer, Folder, Server, newest_bin
from harness.waiting import wait_until

TRUST = "host all all 127.0.0.1/32 trust\nhost replication all 127.0.0.1/32 trust"
# No autovacuum: what comes at another moment in each run changes plans and statistics, directly as well.
SETTINGS = """fsync = off
shared_buffers = 64MB
allow_in_place_tablespaces = on
autovacuum = off
max_connections = 300
max_wal_senders = 10
hot_standby = on
max_standby_streaming_delay = -1
max_prepared_transactions = 2
"""


class Site:
    def __init__(self, nodes: int):
        self.stack = contextlib.ExitStack()
        self.folder = Folder()
        self.stack.callback(self.folder.remove)
        self.primary = Server(self.folder.path, TRUST)
        with (self.primary.folder / "data" / "postgresql.conf").open("a") as conf:
            conf.write(SETTINGS)
        self.stack.callback(self.primary.stop)
        self.primary.start()
        self.primary.sql(GET_AUTH)
        self.servers = [self.primary, *(self._replica(number) for number in range(1, nodes))]

    def _replica(self, number: int) -> Server:
        top = self.folder.path / f"replica{number}"
        top.mkdir()
        replica = Server(top, TRUST)
        data = replica.folder / "data"
        shutil.rmtree(data)
        subprocess.run([newest_bin() / "pg_basebackup", "-h", "127.0.0.1", "-p", str(self.primary.port), "-U", "postgres", "-D",
                        data, "-R", "-C", "-S", f"replica{number}", "-c", "fast"], check=True, capture_output=True,
                       cwd=replica.folder, **replica.user)
        self.stack.callback(replica.stop)
        replica.start()
        return replica

    def balancer(self, mode: str) -> Balancer:
        rules = self.folder.path / "hba.conf"
        rules.write_text("host all all 127.0.0.1/32 trust\n")
        nodes = [{"name": f"node{i}", "host": "127.0.0.1", "port": server.port} for i, server in enumerate(self.servers)]
        balancer = Balancer(self.folder.path, self.primary, nodes=nodes, pool_mode=mode, pool_size=100, hba_file=str(rules))
        self.stack.callback(balancer.stop)
        balancer.start()
        wait_until(lambda: all(node["healthy"] for node in balancer.ask("status")["nodes"]), 30, "all servers are healthy")
        return balancer

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stack.close()

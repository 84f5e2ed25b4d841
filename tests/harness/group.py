"""A primary, replicas that stream from it, and a balancer of its own in front of them; nobody needs a password."""
import contextlib
import shutil
import subprocess

from harness.alone import GET_AUTH, Balancer, Folder, Server, newest_bin
from harness.waiting import wait_until

TRUST = "host all all 127.0.0.1/32 trust\nhost replication all 127.0.0.1/32 trust"


class Group:
    """`settings`: lines for postgresql.conf of all servers."""

    def __init__(self, replicas: int, settings: str = ""):
        self.stack = contextlib.ExitStack()
        self.folder = Folder()
        self.stack.callback(self.folder.remove)
        self.balancer = None
        try:
            self.primary = Server(self.folder.path, TRUST)
            with (self.primary.folder / "data" / "postgresql.conf").open("a") as conf:
                conf.write(settings)
            self.stack.callback(self.primary.stop)
            self.primary.start()
            self.primary.sql(GET_AUTH)
            self.servers = [self.primary, *(self._replica(number + 1) for number in range(replicas))]
        except BaseException:
            self.stack.close()
            raise

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

    def serve(self, **config) -> Balancer:
        """A balancer that has found all servers."""
        rules = self.folder.path / "hba.conf"
        rules.write_text("host all all 127.0.0.1/32 trust\n")
        nodes = [{"name": f"node{i}", "host": "127.0.0.1", "port": server.port} for i, server in enumerate(self.servers)]
        self.balancer = Balancer(self.folder.path, self.primary, **{"nodes": nodes, "hba_file": str(rules)} | config)
        self.stack.callback(self.balancer.stop)
        self.balancer.start()
        wait_until(self.all_healthy, 30, "all servers are healthy")
        return self.balancer

    def all_healthy(self) -> bool:
        return all(node["healthy"] for node in self.balancer.ask("status")["nodes"])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stack.close()

"""Fresh servers for a suite: one, or one and replicas."""
from harness.group import Group

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


class Site(Group):
    def __init__(self, nodes: int):
        super().__init__(nodes - 1, SETTINGS)

    def serve_mode(self, mode: str):
        """The balancer in front of them."""
        return self.serve(pool_mode=mode, pool_size=100)

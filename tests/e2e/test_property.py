"""For random statement sequences of several sessions, the balancer with two replicas that are two seconds behind answers what the
primary alone answers. Always the same rounds; `make property` takes others: PGB_SEED=N begins with that one, and
PGB_PROPERTY_SECONDS says for how long."""
import os
import time

import pytest

from harness.alone import standing_group
from harness.twins import SETUP, Twins

SECONDS = float(os.environ.get("PGB_PROPERTY_SECONDS", "25"))  # for each of the two ways
STEPS = 250


@pytest.fixture(scope="module")
def group():
    with standing_group(2, pool_size=6) as (primary, replicas, balancer):
        primary.sql(SETUP)
        for database in ("through", "alone"):
            primary.sql(f"CREATE DATABASE {database}")
            primary.sql(f"CREATE SEQUENCE canary; GRANT ALL ON SEQUENCE canary TO apart, together; GRANT ALL ON SCHEMA public TO "
                        f"apart, together; GRANT ALL ON DATABASE {database} TO apart, together", database=database)
        primary.set(autovacuum="off")
        for replica in replicas:
            replica.wait_caught_up()
            replica.set(recovery_min_apply_delay="2s")
        yield primary, replicas, balancer


@pytest.mark.parametrize("causal_reads", ["session", "global"])
def test_the_balancer_answers_as_the_primary_alone_does(group, causal_reads):
    balancer = group[2]
    balancer.config["causal_reads"] = causal_reads
    balancer.reload()
    seed = int(os.environ.get("PGB_SEED", "1"))
    statements = at_replicas = rounds = 0
    end = time.monotonic() + SECONDS
    while rounds == 0 or time.monotonic() < end:
        twins = Twins(group, seed + rounds, shared=causal_reads == "global")
        twins.run(STEPS)
        rounds += 1
        statements += twins.statements
        at_replicas += twins.at_replicas
    print(f"seeds {seed} to {seed + rounds - 1}: {statements} requests, {at_replicas} at replicas")
    assert at_replicas > 4 * rounds, "hardly anything was read from replicas: nothing is tested"

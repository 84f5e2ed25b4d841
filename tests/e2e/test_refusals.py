"""What stands in the way is named before anything is touched, and what is not ours is left alone."""
import os
import pathlib
import socket
import subprocess

import pytest

from harness.manager import ROOT


@pytest.fixture
def taken_port(fresh):
    """Somebody else listens on the primary's port."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", fresh.balancer()["primary"]["port"]))
        other.listen()
        yield other.getsockname()[1]


def test_a_taken_port_is_named_with_its_holder(fresh, taken_port):
    done = fresh.run("init", expect=4)
    assert "PGB-PORT-IN-USE" in done.err and str(taken_port) in done.err, done
    assert str(os.getpid()) in done.err, f"the holder's pid is not named\n{done}"
    assert not fresh.left(), "something was touched"


def test_a_foreign_thing_of_our_name_is_not_touched(fresh):
    if fresh.runtime == "docker":
        name = fresh.balancer()["primary"]["container_name"]
        fresh.docker.docker("create", "--name", name, "--network", "none", "postgres:17", "true")
        fresh.run("init", expect=4)
        fresh.run("--destroy", expect=None)
        assert fresh.docker.inspect(name)["Config"]["Labels"] == {}
        fresh.docker.docker("rm", name)
        return
    foreign = fresh.state_dir / fresh.name / "units" / "primary1"
    foreign.mkdir(parents=True)
    (foreign / "precious").write_text("x")
    assert fresh.run("init", expect=None).code != 0
    fresh.run("--destroy", expect=None)
    assert (foreign / "precious").read_text() == "x"


@pytest.mark.docker
def test_a_foreign_volume_of_our_name_is_not_touched(make_sandbox):
    with make_sandbox("docker") as cluster:
        name = f"{cluster.name}_primary1_data"
        cluster.docker.docker("volume", "create", name)
        assert cluster.run("init", expect=None).code != 0
        cluster.run("--destroy", expect=None)
        assert name in cluster.docker.volumes()


@pytest.mark.docker
def test_a_taken_subnet_is_named(make_sandbox):
    with make_sandbox("docker") as cluster:
        other = f"{cluster.name}_other"
        cluster.docker.docker("network", "create", "--subnet", cluster.document["network"]["subnet"], other)
        done = cluster.run("init", expect=4)
        assert "PGB-SUBNET-IN-USE" in done.err and other in done.err, done
        assert cluster.docker.left() == [f"network {other}"]


@pytest.mark.docker
def test_an_absent_image_that_cannot_be_pulled_is_named(make_sandbox):
    with make_sandbox("docker") as cluster:
        cluster.document.setdefault("postgres", {})["image"] = "nowhere.invalid/postgres:17"
        cluster.write()
        done = cluster.run("init", expect=4)
        assert "PGB-IMAGE" in done.err and "nowhere.invalid/postgres:17" in done.err, done
        assert not cluster.left()


def test_without_an_engine_docker_is_refused_within_a_second(make_sandbox):
    with make_sandbox("process") as cluster:
        cluster.document["runtime"] = "docker"
        cluster.write()
        done = cluster.run("init", expect=4)
        assert "PGB-NO-ENGINE" in done.err and "--runtime process" in done.err, done
        assert done.seconds < 2
        assert not cluster.left()


def test_all_mistakes_of_a_file_are_told_at_once_and_nothing_is_touched(make_sandbox):
    with make_sandbox("process") as cluster:
        cluster.document["balancers"][0]["port"] = 70000
        cluster.document["balancers"][0]["replicas"][1]["node_id"] = 1
        cluster.document["netwrok"] = {}
        cluster.write()
        for verb in ("validate", "init"):
            done = cluster.run(verb, expect=3)
            for expected in ("70000", "node_id", "netwrok", "network", "cluster.json:"):
                assert expected in done.err, f"{expected} is missing\n{done}"
        assert not cluster.left()


def test_the_default_file_is_in_the_current_directory(make_sandbox):
    with make_sandbox("process") as cluster:
        (cluster.folder / "pgbalancer_cluster.json").write_text(cluster.file.read_text())
        assert cluster.manager.run("validate").code == 0
        (cluster.folder / "pgbalancer_cluster.json").unlink()
        assert "pgbalancer_cluster.json" in cluster.manager.run("validate", expect=3).err


@pytest.mark.parametrize("example", sorted(str(p.relative_to(ROOT)) for p in (ROOT / "examples").glob("*/pgbalancer_cluster*.json")))
def test_every_example_is_valid(make_sandbox, example):
    with make_sandbox("process") as cluster:
        assert cluster.manager.run("validate", "--config", ROOT / example).code == 0


def test_the_example_of_a_balancer_alone_is_valid(make_sandbox):
    with make_sandbox("process") as cluster:
        balancer = pathlib.Path(cluster.manager.command()[0]).with_name("pgbalancer")
        done = subprocess.run([balancer, "--check", "--config", ROOT / "examples/standalone/balancer.json"],
                              capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

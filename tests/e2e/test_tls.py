"""A balancer that was given a certificate speaks TLS with it, in both runtimes."""
import subprocess

import psycopg2
import pytest


def make_certificate(folder) -> None:
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", folder / "lb.key", "-out",
                    folder / "lb.crt", "-days", "2", "-subj", "/CN=localhost"], check=True, capture_output=True)


def connect(url: str, mode: str, **more):
    return psycopg2.connect(url, sslmode=mode, connect_timeout=5, **more)


def test_clients_reach_the_balancer_by_tls_and_can_verify_it(fresh):
    make_certificate(fresh.folder)
    fresh.document["balancers"][0]["config"] = {"tls_cert_file": "lb.crt", "tls_key_file": "lb.key"}
    fresh.write()
    fresh.init()
    url = fresh.manager.run("url", "--show-password", "--config", fresh.file, may_show_secrets=True).out.strip()
    with connect(url, "verify-ca", sslrootcert=str(fresh.folder / "lb.crt")) as connection:
        assert connection.info.ssl_in_use
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM users")
            assert cursor.fetchone()[0] == 3
    fresh.run("--destroy")
    assert not fresh.left()


def test_without_a_certificate_tls_is_refused_not_faked(fresh):
    fresh.init()
    url = fresh.manager.run("url", "--show-password", "--config", fresh.file, may_show_secrets=True).out.strip()
    with pytest.raises(psycopg2.OperationalError, match="does not support SSL"):
        connect(url, "require")

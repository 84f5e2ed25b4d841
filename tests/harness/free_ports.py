"""Ports for a cluster: below the range that the kernel gives to outgoing connections, so that nobody
gets one of them by chance between our look and the server's bind."""
import fcntl
import os
import random
import socket
import tempfile

_held: set[int] = set()


def _open_locks() -> int:
    path = f"{tempfile.gettempdir()}/pgbalancer-test-ports.{os.geteuid()}"
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


# A byte of it is locked for each port given out: no other process that asks here gets it while this one lives.
_locks = _open_locks()


def is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def hold(port: int) -> bool:
    try:
        fcntl.lockf(_locks, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    _held.add(port)
    return True


def hold_all(ports: range) -> bool:
    held = [port for port in ports if port not in _held and is_free(port) and hold(port)]
    if len(held) == len(ports):
        return True
    for port in held:
        fcntl.lockf(_locks, fcntl.LOCK_UN, 1, port)
        _held.discard(port)
    return False


def free_block(size: int) -> int:
    """The first of `size` neighbouring free ports, none of them given out before."""
    for _ in range(500):
        first = random.randrange(10000, 31000)
        if hold_all(range(first, first + size)):
            return first
    raise RuntimeError(f"no {size} free ports in a row")

"""Ports for a cluster: below the range that the kernel gives to outgoing connections, so that nobody
gets one of them by chance between our look and the server's bind."""
import random
import socket

_given: set[int] = set()


def is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def free_block(size: int) -> int:
    """The first of `size` neighbouring free ports, none of them given out before."""
    for _ in range(500):
        first = random.randrange(10000, 31000)
        block = range(first, first + size)
        if not _given.intersection(block) and all(map(is_free, block)):
            _given.update(block)
            return first
    raise RuntimeError(f"no {size} free ports in a row")

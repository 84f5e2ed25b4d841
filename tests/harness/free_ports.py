"""Ports for a cluster: below the range that the kernel gives to outgoing connections, so that nobody
gets one of them by chance between our look and the server's bind."""
import random
import socket

# One socket of no port for each port given out: no other process that asks here gets it while this one lives.
_held: dict[int, socket.socket] = {}


def is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def hold(port: int) -> bool:
    mark = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        mark.bind(f"\0pgbalancer-test-port-{port}")
    except OSError:
        mark.close()
        return False
    _held[port] = mark
    return True


def hold_all(ports: range) -> bool:
    held = [port for port in ports if port not in _held and is_free(port) and hold(port)]
    if len(held) == len(ports):
        return True
    for port in held:
        _held.pop(port).close()
    return False


def free_block(size: int) -> int:
    """The first of `size` neighbouring free ports, none of them given out before."""
    for _ in range(500):
        first = random.randrange(10000, 31000)
        if hold_all(range(first, first + size)):
            return first
    raise RuntimeError(f"no {size} free ports in a row")

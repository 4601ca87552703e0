"""A port for a process that the tests start, and start again.

It is the test process's until that ends. What it starts opens the port seconds later, and has it closed for seconds where
it is killed and started again: meanwhile another suite would find it free.
"""

import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

# Below those that Linux gives to connections going out (from 32768): a server that is started again finds its port as
# it left it, whatever the others of the machine have opened meanwhile.
_PORTS: Final = range(20_000, 32_000)
# Sockets of names that only one process of the machine can have, and that go with it.
_reserved: Final[list[socket.socket]] = []


def free_port() -> int:
    """A port that nobody listens on at this moment, and that no other process of tests was given and may still use."""
    for port in random.sample(_PORTS, len(_PORTS)):
        if _is_free(port) and _reserve(port):
            return port
    raise RuntimeError(f"no port of {_PORTS} is free")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do: what the last one left in TIME_WAIT is no hindrance.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))
        except OSError:  # somebody has it
            return False
    return True


def _reserve(port: int) -> bool:
    name = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        name.bind(f"\0merp-tests-port-{port}")
    except OSError:  # somebody was given it
        name.close()
        return False
    _reserved.append(name)
    return True


@contextmanager
def closed_port() -> Iterator[int]:
    """A port that nobody listens on, nor can while this lasts: it is held."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]

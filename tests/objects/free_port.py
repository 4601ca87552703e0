"""A port for a process that the tests start, and start again."""

import random
import socket
from typing import Final

# Below those that Linux gives to connections going out (from 32768): a server that is started again finds its port as
# it left it, whatever the others of the machine have opened meanwhile.
_PORTS: Final = range(20_000, 32_000)


def free_port() -> int:
    """A port that nobody listens on at this moment. One of thousands: suites that run side by side do not meet."""
    for port in random.sample(_PORTS, len(_PORTS)):
        with socket.socket() as probe:
            # As servers do: what the last one left in TIME_WAIT is no hindrance.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("0.0.0.0", port))
            except OSError:  # somebody has it
                continue
            return port
    raise RuntimeError(f"no port of {_PORTS} is free")

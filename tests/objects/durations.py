"""How long the faults of the tests last."""

from typing import NamedTuple


class Durations(NamedTuple):
    """Seconds."""

    outage: float
    one_away: float
    kills: float

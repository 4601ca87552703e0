"""How long the faults of the tests last."""

from typing import NamedTuple


class Durations(NamedTuple):
    """Seconds, and how many runs there are meanwhile."""

    outage: float
    one_away: float
    kills: float
    database_away: float
    runs: int

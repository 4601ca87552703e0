"""How long the faults of the tests last, and how many of them there are."""

import os
from typing import NamedTuple


class Durations(NamedTuple):
    """Seconds, and how many runs there are meanwhile."""

    outage: float
    one_away: float
    kills: float
    database_away: float
    runs: int


def long() -> bool:
    """Whether MERP_FAULTS asks for the long form; the ordinary run has the short one."""
    return os.environ.get("MERP_FAULTS") == "long"

"""How many Events of the ordinary kind a ScheduledJob may tell: what ends well all the time is no news."""

from collections.abc import Callable
from typing import Final

from merp_operator.own import Key

# As many at once, and then one a minute: of a job of every minute nothing is left out. Kubernetes' own recorders have
# 25 for each object, and one more in five minutes.
BURST: Final = 10
REFILL_SECONDS: Final = 60.0


class EventBudget:
    """A token bucket for each ScheduledJob; `clock` is monotonic, in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        # What is left, and when that was counted. Who is not in it has the whole of it.
        self._left: dict[Key, tuple[float, float]] = {}

    def take(self, key: Key) -> bool:
        """Whether that job may tell one more."""
        now = self._clock()
        left, counted = self._left.get(key, (float(BURST), now))
        left = min(float(BURST), left + (now - counted) / REFILL_SECONDS)
        granted = left >= 1.0
        self._left[key] = (left - 1.0 if granted else left, now)
        return granted

    def forget(self, key: Key) -> None:
        """A ScheduledJob that is gone."""
        self._left.pop(key, None)

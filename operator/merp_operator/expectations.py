"""Runs that were asked of the API server and that no watch has shown yet.

Between the create and its watch event a run exists that the cache lacks; whoever decides then must count it.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Final

from merp_operator.own import Key

# A run that was made and deleted before a watch showed it must not be counted for ever.
_SECONDS: Final = 60.0


class Expectations:
    """Names of runs that are coming, by ScheduledJob. `clock` is monotonic, in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._coming: defaultdict[Key, dict[str, tuple[datetime | None, float]]] = defaultdict(dict)

    def add(self, key: Key, run: str, due_time: datetime | None = None) -> None:
        """A run is about to be made; `due_time` is given where a clock makes it."""
        self._coming[key][run] = (due_time, self._clock() + _SECONDS)

    def remove(self, key: Key, run: str) -> None:
        """It was not made after all."""
        self._coming[key].pop(run, None)

    def of(self, key: Key, seen: Iterable[str]) -> tuple[tuple[str, datetime | None], ...]:
        """Those that are still coming; `seen` are the names that the cache has."""
        coming = self._coming.get(key)
        if not coming:
            return ()
        now = self._clock()
        for run in [*seen, *(run for run, (_, until) in coming.items() if until < now)]:
            coming.pop(run, None)
        if not coming:
            del self._coming[key]
            return ()
        return tuple((run, due_time) for run, (due_time, _) in coming.items())

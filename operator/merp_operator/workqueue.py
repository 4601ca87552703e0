"""A queue of keys: each key is in it once, is worked on by one worker at a time, and comes back after a failure.

What is queued is only the name of what to look at, so that a hundred events on one object are one look.
"""

import asyncio
import itertools
import random
from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)

_FIRST_DELAY: Final = 0.2
_MAX_DELAY: Final = 30.0
# What nobody waits for comes so long after the look before it: what happened meanwhile is seen by one look.
CALM_SECONDS: Final = 0.5
# Doubling from 0.2 s passes 30 s at the eighth failure.
_MAX_DOUBLINGS: Final = 8


class WorkQueue(Generic[Key]):
    """Keys to work on, oldest first; those that are to come first before all others."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock` is monotonic, in seconds; the running loop's `time`."""
        self._clock = clock
        self._ready: dict[Key, None] = {}
        # Those that come first as soon as they are ready.
        self._first: dict[Key, None] = {}
        # Worked on right now; and in how many seconds again where it was asked for meanwhile.
        self._working: dict[Key, float | None] = {}
        # When the last of it was done, oldest first, and nothing that is longer ago than a calm look waits.
        self._done_at: dict[Key, float] = {}
        self._failures: dict[Key, int] = {}
        self._later: dict[Key, asyncio.TimerHandle] = {}
        self._due: dict[Key, float] = {}
        self._wakeup = asyncio.Event()

    def __len__(self) -> int:
        return len(self._ready)

    def add(self, key: Key, *, first: bool = False) -> None:
        """Look at `key` as soon as a worker is free; with `first` before all that wait for one."""
        if first:
            self._first.setdefault(key)
        if key in self._working:
            self._working[key] = 0.0
            return
        self._cancel(key)
        self._ready.setdefault(key)
        self._wakeup.set()

    def add_calmly(self, key: Key) -> None:
        """Look at `key` as soon as a worker is free, but not within `CALM_SECONDS` of the look before."""
        if key not in self._working:
            self.add_after(key, self._done_at.get(key, -CALM_SECONDS) + CALM_SECONDS - self._clock())
        elif self._working[key] is None:
            self._working[key] = CALM_SECONDS

    def add_after(self, key: Key, delay: float) -> None:
        """Look at `key` in `delay` seconds, or at an earlier moment that was asked for before."""
        if delay <= 0:
            self.add(key)
            return
        at = self._clock() + delay
        if key in self._ready or self._due.get(key, at + 1) <= at:
            return
        self._cancel(key)
        self._due[key] = at
        self._later[key] = asyncio.get_running_loop().call_later(delay, self._fire, key)

    async def get(self) -> Key:
        """The next key; it is not given to another worker until `done` or `failed`."""
        while not self._ready:
            self._wakeup.clear()
            await self._wakeup.wait()
        # What is being worked on may be to come first again; there are no more of those than workers.
        key = next((key for key in self._first if key in self._ready), None) or next(iter(self._ready))
        del self._ready[key]
        self._first.pop(key, None)
        self._working[key] = None
        return key

    def done(self, key: Key) -> None:
        """The key was worked on; what was asked for meanwhile is worked on again."""
        self._failures.pop(key, None)
        again = self._working.pop(key)
        self._remember(key)
        if again is not None:
            self.add_after(key, again)

    def failed(self, key: Key, delay: float | None = None) -> float:
        """The key could not be worked on: it comes back after a delay that doubles. Returns the seconds.

        `delay` is what the server asked for.
        """
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        backoff = min(_FIRST_DELAY * 2 ** min(failures, _MAX_DOUBLINGS), _MAX_DELAY)
        wait = delay or backoff * random.uniform(0.7, 1.0)  # noqa: S311  (spreads load, guards nothing)
        self._working.pop(key)
        self.add_after(key, wait)
        return wait

    def failures(self, key: Key) -> int:
        """How often the key failed since it last worked."""
        return self._failures.get(key, 0)

    def _remember(self, key: Key) -> None:
        now = self._clock()
        self._done_at.pop(key, None)
        self._done_at[key] = now
        for oldest in list(itertools.takewhile(lambda each: self._done_at[each] <= now - CALM_SECONDS, self._done_at)):
            del self._done_at[oldest]

    def _fire(self, key: Key) -> None:
        self._cancel(key)
        self.add(key)

    def _cancel(self, key: Key) -> None:
        self._due.pop(key, None)
        handle = self._later.pop(key, None)
        if handle is not None:
            handle.cancel()

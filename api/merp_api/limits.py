"""What one user may take of the gateway: requests a second, and streams that are open at once."""

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final

from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from merp_api import metrics, problems
from merp_api.identity import Remembered
from merp_api.problems import Problem

# Seconds after which somebody whose streams are all open asks again: nobody knows when one ends.
_STREAM_WAIT: Final = "10"


class Rates:
    """A token bucket for each user: so many requests a second for long, and a burst of them at once."""

    def __init__(self, per_second: float, burst: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`per_second` 0 means no limit; `burst` is what a user who was silent for long may ask at once."""
        self._per_second = per_second
        self._burst = burst
        self._clock = clock
        # Tokens, and when there were so many. A user who is forgotten has a full bucket by then.
        self._buckets: Remembered[str, tuple[float, float]] = Remembered(clock)

    def take(self, user: str) -> None:
        """Count a request. Raises Problem 429 with Retry-After where the user has none left."""
        if self._per_second == 0:
            return
        now = self._clock()
        tokens, since = self._buckets.get(user) or (float(self._burst), now)
        tokens = min(float(self._burst), tokens + (now - since) * self._per_second)
        allowed = tokens >= 1
        left = tokens - 1 if allowed else tokens
        self._buckets.put(user, (left, now), self._burst / self._per_second)
        if not allowed:
            wait = math.ceil((1 - tokens) / self._per_second)
            raise Problem(
                problems.RATE,
                f"{user} may send {self._per_second:g} requests a second, {self._burst} of them at once: send fewer",
                headers={"Retry-After": str(wait)},
            )


class Streams:
    """How many answers that go on for long are open, of each user and of all."""

    def __init__(self, per_user: int, total: int) -> None:
        self._per_user = per_user
        self._total = total
        self._open: Counter[str] = Counter()

    @contextmanager
    def one(self, user: str) -> Iterator[None]:
        """A stream that is open within the block. Raises Problem 429 where the user has enough, or all have."""
        if self._open[user] >= self._per_user:
            raise _too_many(f"{user} has {self._per_user} streams open, and more are not allowed: end one")
        if self._open.total() >= self._total:
            raise _too_many(f"{self._total} streams are open, and the gateway serves no more at once")
        self._open[user] += 1
        metrics.STREAMS.inc()
        try:
            yield
        finally:
            metrics.STREAMS.dec()
            self._open[user] -= 1
            if not self._open[user]:
                del self._open[user]


class HeldStream(StreamingResponse):
    """A streamed answer that holds something until it ends, however that is: with its text, or with its client."""

    def __init__(self, *arguments: Any, held: AbstractContextManager[Any], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        with self._held:
            await super().__call__(scope, receive, send)


def _too_many(detail: str) -> Problem:
    return Problem(problems.STREAMS, detail, headers={"Retry-After": _STREAM_WAIT})

"""Time that passes at once: an event loop on which hours of waiting take no time, and nothing comes early or late."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

BEGIN = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)

Result = TypeVar("Result")


class _Selector(selectors.SelectSelector):
    """Where nothing is ready, the time that would be waited has passed."""

    def __init__(self) -> None:
        super().__init__()
        self.passed = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise RuntimeError("nothing is planned, so that this would wait for ever")
        self.passed += 0.0 if ready or timeout is None else max(timeout, 0.0)
        return ready


class PlayedLoop(asyncio.SelectorEventLoop):
    """A loop whose time passes only while all of its tasks wait. Threads and sockets have no place on it."""

    def __init__(self) -> None:
        self._played = _Selector()
        super().__init__(self._played)

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self._played.passed


def now() -> datetime:
    """The running loop's time, UTC; it began at `BEGIN`."""
    return BEGIN + timedelta(seconds=seconds())


def seconds() -> float:
    """The running loop's time since `BEGIN`, in seconds, without the dust of adding fractions."""
    return round(asyncio.get_running_loop().time(), 6)


def play(main: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
    """What `main()` returns, on a loop of its own. What it leaves behind is cancelled."""
    with asyncio.Runner(loop_factory=PlayedLoop) as runner:
        return runner.run(main())

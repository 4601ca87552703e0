"""What proxies of tests share: a loop in a thread of its own, for as long as a `with` block lasts."""

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import Coroutine
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Final, Self, TypeVar

Result = TypeVar("Result")

# Starting and ending take milliseconds on a quiet machine; so much more means that a test would hang.
_SECONDS: Final = 120.0


class ThreadedProxy(ABC):
    """A context manager; `_start` and `_stop` run in its loop."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._call(self._start())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._call(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_SECONDS)
        self._loop.close()

    @abstractmethod
    async def _start(self) -> None:
        """Begin to listen."""

    @abstractmethod
    async def _stop(self) -> None:
        """End every connection."""

    def _call(self, action: Coroutine[Any, Any, Result]) -> Result:
        done: Future[Result] = asyncio.run_coroutine_threadsafe(action, self._loop)
        return done.result(_SECONDS)

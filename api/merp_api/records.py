"""The records, read from a bounded number of threads: a database that hangs holds up nobody but its own readers."""

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from merp_api import problems
from merp_api.problems import Problem
from merp_records.engine import connection_limit, describe
from merp_records.migrations import SchemaState, schema_state

T = TypeVar("T")
logger = logging.getLogger(__name__)

# Seconds. Longer than any page takes, and shorter than clients wait.
QUEUE_SECONDS: Final = 5.0
# Seconds. A schema that is current is looked at again after this long: somebody may have gone back to an older one.
_CURRENT_SECONDS: Final = 30.0
# Seconds. A probe of the kubelet waits for one.
_PROBE_SECONDS: Final = 0.5


class Records:
    """Reading the database. Raises Problem 503 while it is away or its schema is not this version's.

    There are as many threads as the engine has connections.
    """

    def __init__(
        self, engine: Engine, *, clock: Callable[[], float] = time.monotonic, queue_seconds: float = QUEUE_SECONDS
    ) -> None:
        """`queue_seconds` is how long a reader waits for a thread while all of them read."""
        self._engine = engine
        self._clock = clock
        threads = connection_limit(engine)
        self._executor = ThreadPoolExecutor(threads, "records")
        self._queue_seconds = queue_seconds
        self._room = asyncio.Semaphore(threads)
        self._current_until = 0.0
        self._probe: asyncio.Task[str] | None = None

    def close(self) -> None:
        """End the connections; what is still being read is not waited for."""
        self._executor.shutdown(wait=False, cancel_futures=True)
        self._engine.dispose()

    async def read(self, work: Callable[[Connection], T]) -> T:
        """What `work` returns, run in a thread with a connection."""
        try:
            async with asyncio.timeout(self._queue_seconds):
                await self._room.acquire()
        except TimeoutError:
            raise _away("too many requests are reading the records") from None
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, self._work, work)
        except (DBAPIError, PoolTimeoutError) as error:
            sentence = describe(error)
            logger.error("the records cannot be read", extra={"reason": sentence})  # noqa: TRY400  # no values in logs
            raise _away(sentence) from None
        finally:
            self._room.release()

    async def state(self) -> str:
        """`current`, `behind`, `partial`, `ahead`, `missing` or `unavailable`; quick, for probes.

        A database that is away needs seconds to say so. The question then goes on in the background, once, and
        `unavailable` is the answer meanwhile.
        """
        if self._probe is None or self._probe.done():
            self._probe = asyncio.create_task(self._ask())
        done, _ = await asyncio.wait({self._probe}, timeout=_PROBE_SECONDS)
        return self._probe.result() if done else "unavailable"

    async def _ask(self) -> str:
        try:
            state = await asyncio.get_running_loop().run_in_executor(self._executor, schema_state, self._engine)
        except (DBAPIError, PoolTimeoutError) as error:
            logger.warning("the records cannot be read", extra={"reason": describe(error)})
            return "unavailable"
        return state.value

    def _work(self, work: Callable[[Connection], T]) -> T:
        if self._clock() >= self._current_until:
            state = schema_state(self._engine)
            if state is not SchemaState.CURRENT:
                raise _away(_SCHEMA[state])
            self._current_until = self._clock() + _CURRENT_SECONDS
        with self._engine.connect() as connection:
            return work(connection)


_SCHEMA: Final = {
    SchemaState.MISSING: "the database has no tables yet: the operator makes them when it starts",
    SchemaState.BEHIND: "the database's tables are of an older version: the operator changes them when it starts",
    SchemaState.PARTIAL: "the database's tables are half changed: the operator is at it, or goes on when it starts",
    SchemaState.AHEAD: "the database's tables are of a newer version: update the gateway",
}


def _away(detail: str) -> Problem:
    return Problem(problems.RECORDS_AWAY, detail, headers={"Retry-After": "5"})

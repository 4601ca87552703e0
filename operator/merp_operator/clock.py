"""The second clock: starts what the native clock cannot carry, what it has not started, and what was missed.

All that is due at one moment is started as one batch, highest priority first: a run of a lower priority is not asked
for before every higher one of its batch was answered.
"""

import asyncio
import heapq
import itertools
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from merp_crds.scheduledjob import Priority
from merp_kube.client import ApiError, Unreachable
from merp_operator.accounting import Start
from merp_operator.own import Key

# As many creates at a time as the API server takes from one client without queueing them.
_PARALLEL: Final = 32
# Of those that could not be started before.
_PARALLEL_AGAIN: Final = 8
# A create that hangs holds back the lower priorities for this long at most.
_TIER_SECONDS: Final = 5.0
# The time may be set, or the machine sleep, while this waits by a clock that knows of neither.
_MAX_SLEEP: Final = 5.0
# So many looks are some tens of milliseconds; then the lease, the watches and the answers have their turn.
_LOOKS: Final = 20
_FIRST_DELAY: Final = timedelta(seconds=1)
_MAX_DOUBLINGS: Final = 5

_RANKS: Final = {Priority.HIGH: 0, Priority.NORMAL: 1, Priority.LOW: 2}

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Due:
    """A run that is to be started now."""

    key: Key
    priority: Priority
    start: Start


def _order(due: Due) -> tuple[int, datetime, Key]:
    return _RANKS[due.priority], due.start.due_time, due.key


def _place(due: Due) -> tuple[Key, datetime]:
    return due.key, due.start.due_time


class _Room:
    """So many at a time; of those that wait the highest priority goes first, whichever batch it is of."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._waiting: list[tuple[tuple[int, datetime, Key], int, asyncio.Future[None]]] = []
        self._count = itertools.count()

    async def enter(self, due: Due) -> None:
        if self._places > 0:
            self._places -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (_order(due), next(self._count), turn))
        await turn

    def leave(self) -> None:
        while self._waiting:
            _, _, turn = heapq.heappop(self._waiting)
            if not turn.done():
                turn.set_result(None)
                return
        self._places += 1


class Clock:
    """Looks at ScheduledJobs when they are due.

    `now` gives the API server's time, UTC. `due(key)` says what is to be started of a ScheduledJob, from what is known
    and without waiting. `start(due)` starts it; `started(key)` is called when that was tried.
    """

    def __init__(
        self,
        *,
        now: Callable[[], datetime],
        due: Callable[[Key], list[Due]],
        start: Callable[[Due], Awaitable[None]],
        started: Callable[[Key], None],
    ) -> None:
        self._now = now
        self._due = due
        self._start = start
        self._started = started
        self._moments: dict[Key, datetime] = {}
        self._heap: list[tuple[datetime, Key]] = []
        self._failures: dict[Key, int] = {}
        self._wakeup = asyncio.Event()
        self._room = _Room(_PARALLEL)
        # For what could not be started before: where it hangs it must not take all places.
        self._retry_room = _Room(_PARALLEL_AGAIN)
        self._starting: set[tuple[Key, datetime]] = set()
        # Those of them that others wait for.
        self._awaited: set[tuple[Key, datetime]] = set()
        # Not set while a batch is started: everything else waits for it, because what is due cannot. For what could not
        # be started before nobody waits: one namespace that takes nothing would stop all others.
        self.idle = asyncio.Event()
        self.idle.set()
        self._batches: set[asyncio.Task[None]] = set()
        # One batch looks at a time, so that what is due together is known together.
        self._looking = asyncio.Lock()
        # How many starts of each rank are awaited and not answered yet, of all batches.
        self._pending = dict.fromkeys(_RANKS.values(), 0)
        self._answered = asyncio.Event()
        # What ended a batch that nothing may end.
        self._bug: BaseException | None = None
        # Those that outlive their batch.
        self._tasks: set[asyncio.Task[None]] = set()

    def plan(self, key: Key, moment: datetime) -> None:
        """Look at `key` at that moment, or earlier if that was asked for before."""
        if key in self._failures:
            # It is tried again anyway, and not sooner because somebody looked at it.
            return
        self._plan(key, moment)

    async def run(self) -> None:
        """Start what is due, until cancelled."""
        while True:
            await self._until_next()
            self.idle.clear()
            # Beside those before it: what is due now may be more urgent than what they still wait to start.
            batch = asyncio.create_task(self._batch(self._take(self._now())))
            self._batches.add(batch)
            batch.add_done_callback(self._batch_is_over)

    async def turn_of_others(self) -> None:
        """Until no batch is being started, or for so long as none should take."""
        try:
            async with asyncio.timeout(_TIER_SECONDS):
                await self.idle.wait()
        except TimeoutError:
            return

    def _batch_is_over(self, batch: asyncio.Task[None]) -> None:
        self._batches.discard(batch)
        if not batch.cancelled() and batch.exception() is not None:
            self._bug = batch.exception()
            self._wakeup.set()
        if not self._batches:
            self.idle.set()

    def _plan(self, key: Key, moment: datetime) -> None:
        known = self._moments.get(key)
        if known is not None and known <= moment:
            return
        self._moments[key] = moment
        heapq.heappush(self._heap, (moment, key))
        self._wakeup.set()

    async def _until_next(self) -> None:
        while True:
            if self._bug is not None:
                raise self._bug
            self._wakeup.clear()
            seconds = None if not self._heap else min((self._heap[0][0] - self._now()).total_seconds(), _MAX_SLEEP)
            if seconds is not None and seconds <= 0:
                return
            try:
                async with asyncio.timeout(seconds):
                    await self._wakeup.wait()
            except TimeoutError:
                continue

    def _take(self, bound: datetime) -> list[Key]:
        """The keys to look at up to `bound`, each once."""
        keys = []
        while self._heap and self._heap[0][0] <= bound:
            moment, key = heapq.heappop(self._heap)
            # What was planned anew for an earlier moment is in the heap twice.
            if self._moments.get(key) == moment:
                del self._moments[key]
                keys.append(key)
        return keys

    async def _batch(self, keys: list[Key]) -> None:
        async with self._looking:
            dues = await self._look_at(keys)
        if not dues:
            return
        tasks = {asyncio.create_task(self._one(due)): due for due in dues}
        self._tasks |= tasks.keys()
        for task in tasks:
            task.add_done_callback(self._tasks.discard)
        awaited = {task: due.priority for task, due in tasks.items() if _place(due) in self._awaited}
        if awaited:
            await asyncio.wait(awaited, timeout=_TIER_SECONDS * len(set(awaited.values())))

    async def _look_at(self, keys: list[Key]) -> list[Due]:
        """What is due of all of them, in order; counted as starting, and as pending, from now on."""
        dues = []
        for number, key in enumerate(keys, 1):
            # What is being started since an earlier batch is not started again.
            dues += [due for due in self._look(key) if _place(due) not in self._starting]
            if number % _LOOKS == 0:
                await asyncio.sleep(0)
        dues.sort(key=_order)
        self._starting |= set(map(_place, dues))
        for due in dues:
            if due.key not in self._failures:
                self._awaited.add(_place(due))
                self._pending[_RANKS[due.priority]] += 1
        return dues

    async def _higher_ones(self, rank: int) -> None:
        """Until those of a higher priority are answered, of whichever batch, or have taken too long."""
        try:
            async with asyncio.timeout(_TIER_SECONDS):
                while any(count for other, count in self._pending.items() if other < rank):
                    self._answered.clear()
                    await self._answered.wait()
        except TimeoutError:
            return

    def _look(self, key: Key) -> list[Due]:
        try:
            dues = self._due(key)
        except Exception:  # noqa: BLE001  (a bug that one object meets must not stop the clock of all others)
            _log.exception("what is due of %s/%s cannot be said", *key)
            self._try_again(key)
            return []
        if not dues:
            # What could not be started before is not wanted any more.
            self._failures.pop(key, None)
        return dues

    async def _one(self, due: Due) -> None:
        try:
            await self._higher_ones(_RANKS[due.priority])
            room = self._room if _place(due) in self._awaited else self._retry_room
            await room.enter(due)
            try:
                await self._start(due)
            finally:
                room.leave()
        except (ApiError, Unreachable) as error:
            _log.warning("run of %s/%s at %s: %s", *due.key, due.start.due_time, error)
            self._try_again(due.key)
        except Exception:  # noqa: BLE001  (a bug that one object meets must not stop the clock of all others)
            _log.exception("run of %s/%s at %s cannot be started", *due.key, due.start.due_time)
            self._try_again(due.key)
        else:
            self._failures.pop(due.key, None)
        finally:
            self._starting.discard(_place(due))
            if _place(due) in self._awaited:
                self._awaited.remove(_place(due))
                self._pending[_RANKS[due.priority]] -= 1
                self._answered.set()
        self._started(due.key)

    def _try_again(self, key: Key) -> None:
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        self._plan(key, self._now() + _FIRST_DELAY * 2 ** min(failures, _MAX_DOUBLINGS))

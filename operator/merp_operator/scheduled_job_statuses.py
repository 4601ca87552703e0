"""Writes what a look found into a ScheduledJob's status, and tells the Events of what changed."""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import takewhile
from math import inf
from typing import Final

from merp_crds.reasons import Verdict
from merp_crds.scheduledjob import VerdictEntry
from merp_kube import paths
from merp_kube.client import ApiError, Unreachable
from merp_operator import events, metrics
from merp_operator.cluster import Cluster
from merp_operator.event_budget import EventBudget
from merp_operator.observe import Json, Observed
from merp_operator.own import Key
from merp_operator.watch import Watch

# At most one status a second for each object: a job with many runs changes more often than anybody reads.
_STATUS_SECONDS: Final = 1.0
# However quickly its own runs end, nobody has to wait longer for what a status says; and however many jobs are busy.
_MOST_BY_VERDICTS: Final = 10.0
_MOST_BY_JOBS: Final = 20.0
# Jobs whose runs end one after the other share so many writes: one costs the API server 5 ms of a processor.
_WRITES_A_SECOND: Final = 2.5
# A job that told of a verdict within this time is one of those: twice what the slowest of them waits.
_BUSY_SECONDS: Final = 40.0
# What nobody may decide anew, so it is written at once.
_ACCOUNTS: Final = ("accounted", "unrecorded")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Written:
    """When a status was written last, and when it last told of new verdicts (monotonic, seconds), and of how many."""

    at: float
    told_at: float = -inf
    verdicts: int = 0


class ScheduledJobStatuses:
    """The statuses of all ScheduledJobs; `clock` is monotonic, in seconds."""

    def __init__(self, *, cluster: Cluster, watch: Watch, clock: Callable[[], float]) -> None:
        self._cluster = cluster
        self._watch = watch
        self._clock = clock
        self._written: dict[Key, _Written] = {}
        # When each of the busy jobs last told of verdicts, oldest first.
        self._busy: dict[Key, float] = {}
        self._budget = EventBudget(clock)

    def remembers(self, key: Key) -> bool:
        """Whether it still knows when that status was written."""
        return key in self._written

    def forget(self, key: Key) -> None:
        """A ScheduledJob that is gone."""
        self._written.pop(key, None)
        self._busy.pop(key, None)
        self._budget.forget(key)

    async def report(
        self, key: Key, observed: Observed, wanted: Json, news: Sequence[VerdictEntry], now: datetime
    ) -> float | None:
        """Write the status if it changed, and tell the Events of that and of `news`, the verdicts not told before.

        Returns when to come back, if it is too soon.
        """
        before = observed.status
        if wanted == before:
            return None
        turned = events.turned(observed.body, before, wanted, now)
        urgent = turned or any(before.get(field) != wanted.get(field) for field in _ACCOUNTS)
        wait = 0.0 if urgent else self._wait(key, news)
        if wait > 0:
            return wait
        item = await self._cluster.write_status(paths.SCHEDULED_JOB, observed.body, wanted)
        self._note(key, len(news))
        self._watch.scheduled_jobs.put(item)
        for entry in news:
            metrics.RUNS_TOTAL.labels(observed.namespace, entry.verdict.value, entry.trigger.value).inc()
        for event in [*turned, *self._events(key, observed, news, now)]:
            await self._tell(event)
        return None

    def _wait(self, key: Key, news: Iterable[VerdictEntry]) -> float:
        """Seconds until that status may be written."""
        last = self._written.get(key)
        if last is None:
            return 0.0
        now = self._clock()
        soonest = last.at + _STATUS_SECONDS
        if not self._watch.dependents_of(*key) and not any(entry.verdict in events.WARNINGS for entry in news):
            # A verdict after a quiet time is shown at once, also where a write has just said that its run had begun.
            since = last.told_at if news else last.at
            soonest = max(soonest, since + distance(last.verdicts, self._busy_jobs(now)))
        return soonest - now

    def _note(self, key: Key, verdicts: int) -> None:
        now, last = self._clock(), self._written.get(key)
        if verdicts:
            self._written[key] = _Written(now, now, verdicts)
            self._busy.pop(key, None)
            self._busy[key] = now
        else:
            self._written[key] = _Written(now) if last is None else replace(last, at=now)

    def _busy_jobs(self, now: float) -> int:
        for key in list(takewhile(lambda each: self._busy[each] <= now - _BUSY_SECONDS, self._busy)):
            del self._busy[key]
        return len(self._busy)

    def _events(self, key: Key, observed: Observed, news: Iterable[VerdictEntry], now: datetime) -> list[Json]:
        """Those of verdicts: of what went well only as many as a job may tell."""
        told = []
        for entry in news:
            if entry.verdict is Verdict.SUCCESS and not self._budget.take(key):
                metrics.EVENTS_WITHHELD_TOTAL.inc()
                continue
            told.append(events.verdict(observed.body, entry, now))
        return told

    async def _tell(self, event: Json) -> None:
        try:
            await self._cluster.create_event(event)
        except (ApiError, Unreachable) as error:
            # Events are for people who look right now; the status and the record hold the same for good.
            _log.warning("an Event could not be told: %s", error)


def distance(verdicts: int, busy: int) -> float:
    """Seconds between two writes of a status of which the first told so many new verdicts, with so many busy jobs.

    One verdict a second and fewer are told every second; where more come, as many seconds later as there were, and
    where many jobs have some, when it is this job's turn.
    """
    return max(_STATUS_SECONDS, min(float(verdicts), _MOST_BY_VERDICTS), min(busy / _WRITES_A_SECOND, _MOST_BY_JOBS))

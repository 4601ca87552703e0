"""Writes what a look found into a ScheduledJob's status, and tells the Events of what changed."""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from merp_crds.reasons import Verdict
from merp_crds.scheduledjob import VerdictEntry
from merp_kube import paths
from merp_kube.client import ApiError, Unreachable
from merp_operator import events, metrics
from merp_operator.cluster import Cluster
from merp_operator.event_budget import EventBudget
from merp_operator.observe import Json, Observed
from merp_operator.watch import Key, Watch

# At most one status a second for each object: a job with many runs changes more often than anybody reads.
_STATUS_SECONDS: Final = 1.0
# However quickly its runs end, nobody has to wait longer for what the status says.
_MOST_SECONDS: Final = 10.0
# What nobody may decide anew, so it is written at once.
_ACCOUNTS: Final = ("accounted", "unrecorded")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Written:
    """When a status was written last (monotonic, seconds), and how many new verdicts it told then."""

    at: float
    verdicts: int


class ScheduledJobStatuses:
    """The statuses of all ScheduledJobs; `clock` is monotonic, in seconds."""

    def __init__(self, *, cluster: Cluster, watch: Watch, clock: Callable[[], float]) -> None:
        self._cluster = cluster
        self._watch = watch
        self._clock = clock
        self._written: dict[Key, _Written] = {}
        self._budget = EventBudget(clock)

    def remembers(self, key: Key) -> bool:
        """Whether it still knows when that status was written."""
        return key in self._written

    def forget(self, key: Key) -> None:
        """A ScheduledJob that is gone."""
        self._written.pop(key, None)
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
        self._written[key] = _Written(self._clock(), len(news))
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
        awaited = bool(self._watch.dependents_of(*key)) or any(entry.verdict in events.WARNINGS for entry in news)
        return last.at + (_STATUS_SECONDS if awaited else distance(last.verdicts)) - self._clock()

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


def distance(verdicts: int) -> float:
    """Seconds between two writes of a status of which the first told so many new verdicts.

    One verdict a second and fewer are told every second; where more come, as many seconds later as there were.
    """
    return min(max(_STATUS_SECONDS, float(verdicts)), _MOST_SECONDS)

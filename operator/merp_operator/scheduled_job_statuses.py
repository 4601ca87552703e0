"""Writes what a look found into a ScheduledJob's status, and tells the Events of what changed."""

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Final

from merp_kube import paths
from merp_kube.client import ApiError, Unreachable
from merp_operator import events, metrics
from merp_operator.cluster import Cluster
from merp_operator.observe import Json, Observed
from merp_operator.watch import Key, Watch

# At most one status a second for each object: a job with many runs changes more often than anybody reads.
_STATUS_SECONDS: Final = 1.0
# What nobody may decide anew, so it is written at once.
_ACCOUNTS: Final = ("accounted", "unrecorded")

_log = logging.getLogger(__name__)


class ScheduledJobStatuses:
    """The statuses of all ScheduledJobs; `clock` is monotonic, in seconds."""

    def __init__(self, *, cluster: Cluster, watch: Watch, clock: Callable[[], float]) -> None:
        self._cluster = cluster
        self._watch = watch
        self._clock = clock
        self._written_at: dict[Key, float] = {}

    def remembers(self, key: Key) -> bool:
        """Whether it still knows when that status was written."""
        return key in self._written_at

    def forget(self, key: Key) -> None:
        """A ScheduledJob that is gone."""
        self._written_at.pop(key, None)

    async def report(self, key: Key, observed: Observed, wanted: Json, now: datetime) -> float | None:
        """Write the status if it changed, and tell the Events of that. Returns when to come back, if it is too soon."""
        before = observed.status
        if wanted == before:
            return None
        told = events.changes(observed.body, before, wanted, now)
        since = self._clock() - self._written_at.get(key, -_STATUS_SECONDS)
        urgent = told or any(before.get(field) != wanted.get(field) for field in _ACCOUNTS)
        if not urgent and since < _STATUS_SECONDS:
            return _STATUS_SECONDS - since
        item = await self._cluster.write_status(paths.SCHEDULED_JOB, observed.body, wanted)
        self._written_at[key] = self._clock()
        self._watch.scheduled_jobs.put(item)
        seen = {entry["run"] for entry in before.get("recent") or []}
        for entry in wanted.get("recent") or []:
            if entry["run"] not in seen:
                metrics.RUNS_TOTAL.labels(observed.namespace, entry["verdict"], entry["trigger"]).inc()
        for event in told:
            await self._tell(event)
        return None

    async def _tell(self, event: Json) -> None:
        try:
            await self._cluster.create_event(event)
        except (ApiError, Unreachable) as error:
            # Events are for people who look right now; the status and the record hold the same for good.
            _log.warning("an Event could not be told: %s", error)

"""What the second clock does: says which runs are due, and makes their Jobs."""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import datetime
from http import HTTPStatus

from merp_crds import names
from merp_crds.reasons import ConditionReason, ConditionType
from merp_crds.scheduledjob import ScheduledJobStatus
from merp_kube.client import ApiError, Unreachable
from merp_operator import accounting, desired, metrics, observe, pause, situation
from merp_operator.clock import Due
from merp_operator.cluster import Cluster
from merp_operator.desired import Defaults
from merp_operator.expectations import Expectations
from merp_operator.observe import Observed, Run
from merp_operator.own import Key
from merp_operator.picture import Pictures
from merp_operator.situation import BY_CLOCK, Situation
from merp_operator.watch import Watch

_log = logging.getLogger(__name__)


class Starter:
    """Starts of due times. `now` gives the API server's time, UTC."""

    def __init__(
        self,
        *,
        cluster: Cluster,
        watch: Watch,
        pictures: Pictures,
        expectations: Expectations,
        defaults: Callable[[], Defaults],
        now: Callable[[], datetime],
    ) -> None:
        self._cluster = cluster
        self._watch = watch
        self._pictures = pictures
        self._expectations = expectations
        self._defaults = defaults
        self._now = now
        # Due times whose names something else has, and why the API server refuses a run: by the ScheduledJob's UID.
        self._taken: defaultdict[str, set[datetime]] = defaultdict(set)
        self._refused: dict[str, str] = {}

    def due(self, key: Key) -> list[Due]:
        """What is to be started now, from what is known."""
        observed = self._pictures.cached(key)
        if observed is None or observed.spec is None or not _is_current(observed):
            # Whoever changed it has it looked at, and after that the clock is asked again.
            return []
        found = self.situation(observed, observed.told, suspended=False)
        if found is None or found.accounted is None or found.accounted.hash != found.digest:
            return []
        starts = accounting.decide(found, self._now()).starts
        return [Due(key, observed.spec.priority, start) for start in starts]

    def situation(
        self,
        observed: Observed,
        before: ScheduledJobStatus,
        *,
        suspended: bool,
        vanished: Iterable[Run] = (),
    ) -> Situation | None:
        """What is known of its due times; `suspended` where its definition lets nothing become due."""
        cron_job = observed.cron_job
        native = cron_job is not None and observed.owns(cron_job) and not cron_job["spec"].get("suspend")
        return situation.read(
            observed,
            before,
            suspended=suspended or pause.in_force(observed, self._now()) is not None,
            resumed=pause.ended(observed, self._now()),
            stopped=pause.stopped(observed),
            native=native,
            vanished=vanished,
            taken=frozenset(self._taken.get(observed.uid, ())),
        )

    def refused(self, uid: str) -> str:
        """Why the API server does not take the next run of that ScheduledJob; empty if it does."""
        return self._refused.get(uid, "")

    def forget(self, uid: str) -> None:
        """That ScheduledJob is gone."""
        self._taken.pop(uid, None)
        self._refused.pop(uid, None)

    async def start(self, due: Due) -> None:
        """Make the Job of a due time. Raises ApiError and Unreachable."""
        observed = self._pictures.cached(due.key)
        if observed is None or not await self._is_unchanged(observed):
            return
        # It may have waited long for its place, and the answer to that GET said what time it is: look once more.
        if due.start not in [entry.start for entry in self.due(due.key)]:
            return
        spec = observed.spec
        assert spec is not None, "what cannot be read is never due"
        job = desired.scheduled_run(observed, spec, self._defaults(), due.start)
        name = job["metadata"]["name"]
        self._expectations.add(due.key, name, due.start.due_time)
        try:
            made = await self._cluster.create_job(job)
        except ApiError as error:
            self._expectations.remove(due.key, name)
            if error.status in (HTTPStatus.BAD_REQUEST, HTTPStatus.FORBIDDEN, HTTPStatus.UNPROCESSABLE_ENTITY):
                self._refused[observed.uid] = f"the run of {name} is refused: {error.message}"
            raise
        except Unreachable:
            # It may exist or not: the next try meets it, or makes it.
            self._expectations.remove(due.key, name)
            raise
        self._refused.pop(observed.uid, None)
        if made:
            metrics.STARTS_TOTAL.labels(due.start.trigger.value).inc()
            _log.info("started run %s/%s", observed.namespace, name)
            return
        existing = await self._cluster.job(observed.namespace, name)
        # One that somebody made by hand from the CronJob is no run of this due time either.
        mine = existing is not None and observed.owns(existing) and observe.trigger(existing) in BY_CLOCK
        if not mine:
            self._expectations.remove(due.key, name)
        if existing is not None and not mine:
            self._taken[observed.uid].add(due.start.due_time)

    async def _is_unchanged(self, observed: Observed) -> bool:
        """Whether the ScheduledJob is still what the start was decided from."""
        live = await self._cluster.scheduled_job(observed.namespace, observed.name)
        if live is None:
            # The event of its deletion is late, or lost: what is gone must not be due again at once.
            self._watch.scheduled_jobs.remove(observed.body)
            return False
        known, found = observed.body["metadata"], live["metadata"]
        same = (known["uid"], known.get("generation")) == (found["uid"], found.get("generation"))
        if same and observed.annotations.get(names.ANNOTATION_PAUSED) == (found.get("annotations") or {}).get(
            names.ANNOTATION_PAUSED
        ):
            return True
        self._watch.scheduled_jobs.put(live)
        return False


def _is_current(observed: Observed) -> bool:
    """Whether its status was computed from what it is now, and found it good.

    What the API server refuses for reasons of its own is due all the same.
    """
    if observed.status.get("observedGeneration") != observed.generation:
        return False
    ready = next(
        (entry for entry in observed.status.get("conditions") or [] if entry["type"] == ConditionType.READY), None
    )
    return ready is not None and (ready["status"] == "True" or ready["reason"] == ConditionReason.CANNOT_APPLY)

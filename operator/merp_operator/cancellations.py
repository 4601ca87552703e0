"""What the operator does for a cancellation: ends the runs that are meant, and takes the annotation away."""

import logging
from datetime import datetime

from merp_crds import names
from merp_kube.client import ApiError, Unreachable
from merp_operator import backfill, cancel, events, requests
from merp_operator.cancel import Cancellation
from merp_operator.cluster import Cluster
from merp_operator.observe import Observed, Request, is_finished
from merp_operator.watch import Watch

_log = logging.getLogger(__name__)


class Cancellations:
    """The cancellations of one ScheduledJob after the other. Errors are the client's.

    That requests which are not runs yet never become any, and that backfills start nothing more, is written into their
    own status before this is called.
    """

    def __init__(self, *, cluster: Cluster, watch: Watch) -> None:
        self._cluster = cluster
        self._watch = watch

    async def carry_out(self, observed: Observed, now: datetime) -> None:
        """End every run that is to be cancelled; then the annotation goes."""
        done = [entry for entry in cancel.asked(observed).values() if await self._one(observed, entry, now)]
        latest = self._watch.scheduled_jobs.get(observed.namespace, observed.name)
        if not done or latest is None:
            return
        # By value: one that was asked for anew meanwhile is another.
        item = await self._cluster.remove_annotations(latest, {entry.annotation: entry.value for entry in done})
        self._watch.scheduled_jobs.put(item)

    async def _one(self, observed: Observed, cancellation: Cancellation, now: datetime) -> bool:
        """End what one annotation names. False if it has to be looked at again."""
        request = requests.meant_by(observed, cancellation.name)
        if request is None:
            live = await self._cluster.job_run(observed.namespace, cancellation.name)
            if live is not None and (live.get("spec") or {}).get("scheduledJob") == observed.name:
                # The one watch was faster than the other.
                self._watch.job_runs.put(live)
                return False
        ended = False
        for run in [cancellation.name] if request is None else _runs_of(observed, request):
            ended = await self._end(observed, run, cancellation, now) or ended
        if not ended and not _is_cancelled(request):
            await self._tell(observed, cancellation, now)
        return True

    async def _end(self, observed: Observed, name: str, cancellation: Cancellation, now: datetime) -> bool:
        """End a run. False if there is none of that name, or it has ended by itself."""
        job = next((run.job for run in observed.runs if run.name == name), None)
        if job is None:
            job = await self._cluster.job(observed.namespace, name)
        if job is None or not observed.owns(job):
            return False
        if is_finished(job):
            return False
        if names.ANNOTATION_ENDED not in (job["metadata"].get("annotations") or {}):
            await self._cluster.end_run(job, cancellation.ending(now))
            _log.info("ended run %s/%s: %s", observed.namespace, name, cancellation.message)
        return True

    async def _tell(self, observed: Observed, cancellation: Cancellation, now: datetime) -> None:
        try:
            await self._cluster.create_event(events.nothing_to_cancel(observed.body, cancellation.name, now))
        except (ApiError, Unreachable) as error:
            # Events are for people who look right now; there is nothing else to be told.
            _log.warning("an Event could not be told: %s", error)


def _runs_of(observed: Observed, request: Request) -> list[str]:
    """The runs of a request that may be unfinished."""
    if requests.is_backfill(request):
        progress = backfill.progress_of(request)
        return [] if progress is None else list(progress.active)
    told = (request.body.get("status") or {}).get("run")
    return [told] if told else [name for name, _ in requests.made_by(observed, request)]


def _is_cancelled(request: Request | None) -> bool:
    """Whether a request says that it was cancelled, so that there was something to cancel."""
    status = {} if request is None else request.body.get("status") or {}
    return status.get("verdict") == "cancelled" or any(
        entry["type"] == "Stopped" for entry in status.get("conditions") or []
    )

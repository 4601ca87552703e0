"""What the operator does for runs that cannot start or cannot end: it ends them, after a look at the cluster itself."""

import logging
from dataclasses import replace
from datetime import datetime

from merp_operator import overdue
from merp_operator.cluster import Cluster
from merp_operator.desired import Defaults
from merp_operator.observe import Observed, Run
from merp_operator.overdue import Overdue

_log = logging.getLogger(__name__)


class OverdueRuns:
    """The overdue runs of one ScheduledJob after the other. Errors are the client's."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def end(self, observed: Observed, defaults: Defaults, now: datetime) -> datetime | None:
        """End every run that has had its time. Returns when the next one will have had it, if nothing changes."""
        wanted = overdue.definition(observed, defaults)
        moments = []
        for run in observed.unfinished:
            found = overdue.decide(run, wanted, now)
            if found.ending is not None:
                found = await self._end(observed, run, wanted, now)
            if found.look_again is not None:
                moments.append(found.look_again)
        return min(moments, default=None)

    async def _end(self, observed: Observed, run: Run, wanted: overdue.Definition, now: datetime) -> Overdue:
        """End a run if the cluster shows it as the watches do: one that is behind may not know that it has started."""
        live = await self._live(observed, run)
        if live is None:
            # The watch tells of it, and that is the next look.
            return Overdue()
        found = overdue.decide(live, wanted, now)
        ending = found.ending
        if ending is None:
            return found
        if ending.asked is not None:
            ending = overdue.explained(ending, await self._cluster.warnings_of(observed.namespace, ending.asked))
        await self._cluster.end_run(live.job, ending.written(now))
        _log.info("ended run %s/%s: %s", observed.namespace, run.name, ending.message)
        return found

    async def _live(self, observed: Observed, run: Run) -> Run | None:
        """The run as the cluster has it; None if its Job or its last pod is another by now."""
        job = await self._cluster.job(observed.namespace, run.name)
        if job is None or job["metadata"]["uid"] != run.uid:
            return None
        pods = {pod["metadata"]["uid"]: pod for pod in await self._cluster.pods_of(job)}
        known = [pod["metadata"]["uid"] for pod in run.pods]
        if (known and known[-1] not in pods) or not pods.keys() <= set(known):
            return None
        return replace(run, job=job, pods=tuple(pods.get(pod["metadata"]["uid"], pod) for pod in run.pods))

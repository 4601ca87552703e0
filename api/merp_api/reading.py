"""Reads for a caller: from memory where that is current and the caller has the right, else live with their own token.

Live, the API server itself judges. It is asked for a single object that is not in memory, too: that may have come a
moment ago, through another gateway.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import datetime
from typing import Final

from merp_api.cache import Cache
from merp_api.cluster import Cluster
from merp_api.filters import JobsQuery
from merp_api.identity import Caller, Identities
from merp_api.mirrors import Mirror
from merp_api.reviews import Access
from merp_api.schemas import ExecutionView, JobView
from merp_api.translate import Json
from merp_api.views import asked_execution, job_view, listed_view
from merp_crds.names import BUSINESS_CALENDARS, JOB_POOLS, JOB_RUNS, SCHEDULED_JOBS
from merp_kube.client import ApiError

# Objects that are gone through before somebody else has a turn.
_AT_ONCE: Final = 200


class Reading:
    """Raises ApiError and Unreachable as they come; a right that is missing is ApiError 403, live or not."""

    def __init__(self, cluster: Cluster, identities: Identities, cache: Cache | None, default_zone: str) -> None:
        """Without a cache every read is live."""
        self._cluster = cluster
        self._identities = identities
        self._cache = cache
        self._zone = default_zone

    def view(self, job: Json, now: datetime) -> JobView:
        """A job as clients see it at that moment."""
        return job_view(job, self._zone, now) if self._cache is None else self._cache.index.view(job, now)

    async def job(self, caller: Caller, namespace: str, name: str) -> Json:
        """One ScheduledJob."""
        found = await self._one(caller, self._mirror(SCHEDULED_JOBS), namespace, name)
        return await self._cluster.job(caller.token, namespace, name) if found is None else found

    async def pool(self, caller: Caller, namespace: str, name: str) -> Json:
        """One JobPool."""
        found = await self._one(caller, self._mirror(JOB_POOLS), namespace, name)
        return await self._cluster.pool(caller.token, namespace, name) if found is None else found

    async def calendar(self, caller: Caller, name: str) -> Json:
        """One BusinessCalendar."""
        found = await self._one(caller, self._mirror(BUSINESS_CALENDARS), "", name)
        return await self._cluster.calendar(caller.token, name) if found is None else found

    def jobs(self, caller: Caller, namespace: str | None) -> AsyncGenerator[Json]:
        """Every ScheduledJob of a namespace, or of all of them (None), by name. Close it with aclosing."""
        live = self._cluster.all_jobs(caller.token, namespace)
        return self._every(caller, self._mirror(SCHEDULED_JOBS), namespace, live)

    def pools(self, caller: Caller, namespace: str | None) -> AsyncGenerator[Json]:
        """The JobPools of a namespace, or of all of them (None), by name. Close it with aclosing."""
        live = self._cluster.pools(caller.token, namespace)
        return self._every(caller, self._mirror(JOB_POOLS), namespace, live)

    def calendars(self, caller: Caller) -> AsyncGenerator[Json]:
        """Every BusinessCalendar, by name. Close it with aclosing."""
        return self._every(caller, self._mirror(BUSINESS_CALENDARS), None, self._cluster.calendars(caller.token))

    async def page(
        self, caller: Caller, namespace: str | None, query: JobsQuery, now: datetime
    ) -> tuple[list[JobView], str | None] | None:
        """A page of jobs and the next one's cursor; None where only a live read can tell.

        Raises ValueError for a cursor of another order.
        """
        if self._cache is None or not self._cache.has(self._cache.jobs, namespace):
            return None
        await self._identities.demand(caller, Access("list", SCHEDULED_JOBS, namespace))
        self._cache.jobs.settle()
        return self._cache.index.page(namespace, query, now)

    async def request(self, caller: Caller, namespace: str, execution_id: str) -> Json | None:
        """The JobRun that asks for an execution; None where there is none, or the caller may not list them."""
        cache = self._cache
        if cache is not None and cache.has(cache.runs, namespace):
            if not await self._identities.allows(caller, Access("list", JOB_RUNS, namespace)):
                return None
            cache.runs.settle()
            found = cache.requests.get(namespace, execution_id)
            if found is not None:
                return found
        runs = self._cluster.runs(caller.token, namespace)
        try:
            async with aclosing(runs):
                async for run in runs:
                    if asked_execution(run) == execution_id:
                        return run
        except ApiError as error:
            if error.status != 403:
                raise
        return None

    async def listed(self, caller: Caller, namespace: str, execution_id: str, now: datetime) -> ExecutionView | None:
        """The execution as the status of its job lists it: what goes on, and what ended last."""
        cache = self._cache
        if cache is not None and cache.has(cache.jobs, namespace):
            await self._identities.demand(caller, Access("list", SCHEDULED_JOBS, namespace))
            cache.jobs.settle()
            listing = cache.index.with_execution(namespace, execution_id, now)
            return next((listed_view(job, execution_id) for job in listing), None)
        jobs = self._cluster.every_job(caller.token, namespace)
        async with aclosing(jobs):
            async for job in jobs:
                view = listed_view(job, execution_id)
                if view is not None:
                    return view
        return None

    def _mirror(self, plural: str) -> Mirror | None:
        mirrors = () if self._cache is None else self._cache.mirrors
        return next((mirror for mirror in mirrors if mirror.resource.plural == plural), None)

    async def _one(self, caller: Caller, mirror: Mirror | None, namespace: str, name: str) -> Json | None:
        """The object from memory; None where that is not current, or does not have it."""
        if self._cache is None or mirror is None or not self._cache.has(mirror, namespace):
            return None
        where = None if mirror.resource.cluster_scoped else namespace
        await self._identities.demand(caller, Access("get", mirror.resource.plural, where, name))
        return mirror.get(namespace, name)

    async def _every(
        self, caller: Caller, mirror: Mirror | None, namespace: str | None, live: AsyncGenerator[Json]
    ) -> AsyncGenerator[Json]:
        if self._cache is None or mirror is None or not self._cache.has(mirror, namespace):
            async with aclosing(live):
                async for item in live:
                    yield item
            return
        await self._identities.demand(caller, Access("list", mirror.resource.plural, namespace))
        for number, item in enumerate(mirror.items(namespace), start=1):
            yield item
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)

"""What the gateway keeps in memory: every job, run request, pool and calendar, as the API server tells of them."""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime
from typing import Final

from merp_api.feed import Feed
from merp_api.job_index import JobIndex
from merp_api.mirrors import Mirror
from merp_api.run_index import RunIndex
from merp_kube.client import Client, Json
from merp_kube.paths import BUSINESS_CALENDAR, JOB_POOL, JOB_RUN, SCHEDULED_JOB, Resource

logger = logging.getLogger(__name__)

# Views that are made before somebody else has a turn: some milliseconds of work.
_AT_ONCE: Final = 20


class Cache:
    """Mirrors of four kinds, and what is looked up in them. `run` keeps them current until it is cancelled."""

    def __init__(self, client: Client, namespace: str | None, default_zone: str) -> None:
        """`client` holds the gateway's own credentials, and is closed with this. A namespace of None is all of them."""
        self._client = client
        self.namespace = namespace
        self.index = JobIndex(default_zone)
        self.requests = RunIndex()
        self.feed = Feed(lambda job: self.index.view(job, self.now()), self._versions)
        self.jobs = self._mirror(SCHEDULED_JOB, self.index.changed, self.feed.job_changed)
        self.runs = self._mirror(JOB_RUN, self.requests.changed, self.feed.run_changed)
        self.pools = self._mirror(JOB_POOL)
        self.calendars = self._mirror(BUSINESS_CALENDAR)
        self._made = False
        # Whether a watch ended by a fault of ours: then the process is of no more use.
        self.failed = False

    @property
    def mirrors(self) -> tuple[Mirror, ...]:
        """All of them."""
        return self.jobs, self.runs, self.pools, self.calendars

    def now(self) -> datetime:
        """The API server's time, UTC."""
        return self._client.clock.now()

    def trouble(self) -> str | None:
        """Which kinds are not current, and why; None where all are."""
        found = [f"{mirror.resource.plural} {trouble}" for mirror in self.mirrors if (trouble := mirror.trouble)]
        if not found and not self._made:
            found = ["views of the jobs being made"]
        return "; ".join(found) or None

    def has(self, mirror: Mirror, namespace: str | None) -> bool:
        """Whether a kind is current, and has everything of a namespace (None: of all)."""
        return mirror.covers(namespace) and mirror.trouble is None and (self._made or mirror is not self.jobs)

    def written(self, resource: Resource, item: Json) -> None:
        """Take an object from an answer of the API server, unless something newer is known."""
        for mirror in self.mirrors:
            if mirror.resource == resource:
                mirror.written(item)

    def deleted(self, resource: Resource, namespace: str, name: str, answer: Json) -> None:
        """Take the answer to a deletion."""
        for mirror in self.mirrors:
            if mirror.resource == resource:
                mirror.deleted(namespace, name, answer)

    async def run(self) -> None:
        """Watch until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                for mirror in self.mirrors:
                    group.create_task(mirror.reflector.run())
                group.create_task(self._make_views())
        except Exception:
            self.failed = True
            logger.exception("the watches ended by a fault of the gateway")
            raise

    async def close(self) -> None:
        """End every connection."""
        await self._client.close()

    async def _make_views(self) -> None:
        """Make the first views a few at a time, so that probes and requests are answered meanwhile."""
        await self.jobs.reflector.synced.wait()
        while not self._made:
            self._made = self.index.refresh(self.now(), _AT_ONCE)
            await asyncio.sleep(0)

    def _mirror(
        self,
        resource: Resource,
        on_change: Callable[[Json | None, Json | None], None] = lambda before, after: None,
        on_told: Callable[[Json | None, Json | None], None] = lambda before, after: None,
    ) -> Mirror:
        on_listed = self.feed.interrupted if resource in (SCHEDULED_JOB, JOB_RUN) else lambda: None
        return Mirror(self._client, resource, self.namespace, on_change=on_change, on_told=on_told, on_listed=on_listed)

    def _versions(self) -> tuple[int, int]:
        return self.jobs.reflector.version, self.runs.reflector.version

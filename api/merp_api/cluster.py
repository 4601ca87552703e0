"""The API server, as the gateway uses it: every call carries the token of whoever called the gateway."""

import asyncio
import itertools
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import datetime
from typing import Any, Final

from merp_api.cache import Cache
from merp_crds.names import (
    FIELD_MANAGER_API,
    LABEL_CATALOGUE,
    LABEL_JOB_NAME,
    LABEL_SCHEDULED_JOB_UID,
    LABEL_TEMPLATE,
)
from merp_kube.client import MERGE_PATCH, PAGE_SIZE, ApiError, Client, Json, Unreachable
from merp_kube.paths import BUSINESS_CALENDAR, CONFIG_MAP, JOB_POOL, JOB_RUN, POD, SCHEDULED_JOB, Resource

# What is sent and not known to the schema is an error, never silently dropped.
_WRITE: Final = {"fieldManager": FIELD_MANAGER_API, "fieldValidation": "Strict"}
# Seconds. A probe of the kubelet waits for one.
_PROBE_SECONDS: Final = 0.8
# Seconds. A task may compute for long without a word; a connection that died without one is let go after this.
_SILENCE_SECONDS: Final = 3600.0
# Pages of live objects looked through for an execution that is not recorded yet.
_PAGES: Final = 10
# Each may have a megabyte.
_CATALOGUES_PAGE: Final = 10


class Cluster:
    """Objects of the scheduler and the caller's rights. Everything raises ApiError and Unreachable as they come."""

    def __init__(self, client: Client, cache: Cache | None = None) -> None:
        """`client` must hold no credentials. `cache` is told of every object that is written, or read by its name."""
        self.client = client
        self._cache = cache
        self._probe: asyncio.Task[bool] | None = None

    def now(self) -> datetime:
        """The API server's time, UTC: whether a due time has passed the operator judges by that clock too."""
        return self.client.clock.now()

    async def close(self) -> None:
        """End every connection."""
        await self.client.close()

    async def reachable(self) -> bool:
        """Whether the API server answers at all, also if all it says to a stranger is no.

        Anybody may ask, and as often as they like: it is asked once at a time.
        """
        if self._probe is None or self._probe.done():
            self._probe = asyncio.create_task(self._reachable())
        return await asyncio.shield(self._probe)

    async def _reachable(self) -> bool:
        try:
            await self.client.call("GET", "/version", seconds=_PROBE_SECONDS)
        except ApiError as error:
            return error.status < 500
        except Unreachable:
            return False
        return True

    async def jobs(self, token: str, namespace: str | None, limit: int, after: str | None) -> Json:
        """A page of ScheduledJobs, as the API server gives it; `after` is its continue token."""
        path = SCHEDULED_JOB.all() if namespace is None else SCHEDULED_JOB.of(namespace)
        query = {"limit": str(limit)} | ({"continue": after} if after else {})
        return await self.client.call("GET", path, token=token, query=query)

    async def job(self, token: str, namespace: str, name: str) -> Json:
        """One ScheduledJob."""
        return self._seen(SCHEDULED_JOB, await self.client.call("GET", SCHEDULED_JOB.at(namespace, name), token=token))

    async def create_job(self, token: str, job: Json) -> Json:
        """Create a ScheduledJob and return it as it was stored."""
        path = SCHEDULED_JOB.of(job["metadata"]["namespace"])
        return self._seen(SCHEDULED_JOB, await self.client.call("POST", path, token=token, query=_WRITE, body=job))

    async def replace_job(self, token: str, job: Json, *, rehearsal: bool = False) -> Json:
        """Write a ScheduledJob over the one with its resourceVersion; 409 if that is no longer the newest.

        A rehearsal changes nothing, and is refused where this would be.
        """
        metadata = job["metadata"]
        path = SCHEDULED_JOB.at(metadata["namespace"], metadata["name"])
        made = await self.client.call("PUT", path, token=token, query=_WRITE | _dry_run(rehearsal), body=job)
        return made if rehearsal else self._seen(SCHEDULED_JOB, made)

    async def patch_job(self, token: str, namespace: str, name: str, patch: Json, *, rehearsal: bool = False) -> Json:
        """Merge a patch into a ScheduledJob. A rehearsal changes nothing, and is refused where the patch would be."""
        path = SCHEDULED_JOB.at(namespace, name)
        query = _WRITE | _dry_run(rehearsal)
        job = await self.client.call("PATCH", path, token=token, query=query, body=patch, content_type=MERGE_PATCH)
        return job if rehearsal else self._seen(SCHEDULED_JOB, job)

    async def check_patch(self, token: str, job: Json) -> None:
        """Raise ApiError where the caller may not change a ScheduledJob; nothing is written."""
        metadata = job["metadata"]
        await self.patch_job(token, metadata["namespace"], metadata["name"], {"metadata": {}}, rehearsal=True)

    async def delete_job(
        self, token: str, namespace: str, name: str, version: str | None = None, *, rehearsal: bool = False
    ) -> str | None:
        """Delete a ScheduledJob, of this version where one is named; what it owns is collected afterwards.

        Returns its UID, as far as the answer says it. A rehearsal deletes nothing.
        """
        options: Json = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        if version is not None:
            options["preconditions"] = {"resourceVersion": version}
        path = SCHEDULED_JOB.at(namespace, name)
        answer = await self.client.call("DELETE", path, token=token, query=_dry_run(rehearsal), body=options)
        if self._cache is not None and not rehearsal:
            self._cache.deleted(SCHEDULED_JOB, namespace, name, answer)
        # Where something holds it up, the answer is the object itself.
        uid: str | None = (answer.get("details") or {}).get("uid") or (answer.get("metadata") or {}).get("uid")
        return uid

    async def changes(self, token: str, job: Json, seconds: float) -> AsyncGenerator[Json]:
        """The newer versions of a ScheduledJob as they come, for at most so long. Close it with aclosing."""
        metadata = job["metadata"]
        query = {
            "watch": "true",
            "fieldSelector": f"metadata.name={metadata['name']}",
            "resourceVersion": metadata["resourceVersion"],
        }
        lines = self.client.stream(
            SCHEDULED_JOB.of(metadata["namespace"]), query=query, idle_seconds=seconds, token=token
        )
        async with aclosing(lines), asyncio.timeout(seconds):
            async for line in lines:
                event = json.loads(line)
                if event["type"] not in ("ADDED", "MODIFIED"):
                    return
                yield self._seen(SCHEDULED_JOB, event["object"])

    async def create_run(self, token: str, run: Json, *, rehearsal: bool = False) -> Json:
        """Create a JobRun and return it as it was stored; in a rehearsal as it would be."""
        path = JOB_RUN.of(run["metadata"]["namespace"])
        made = await self.client.call("POST", path, token=token, query=_WRITE | _dry_run(rehearsal), body=run)
        return made if rehearsal else self._seen(JOB_RUN, made)

    async def calendar(self, token: str, name: str) -> Json:
        """One BusinessCalendar; they are in no namespace."""
        return await self.client.call("GET", BUSINESS_CALENDAR.at("", name), token=token)

    async def pool(self, token: str, namespace: str, name: str) -> Json:
        """One JobPool."""
        return await self.client.call("GET", JOB_POOL.at(namespace, name), token=token)

    def pools(self, token: str, namespace: str | None) -> AsyncGenerator[Json]:
        """The JobPools of a namespace, or of all of them (None). Close it with aclosing."""
        return self._items(token, JOB_POOL.all() if namespace is None else JOB_POOL.of(namespace), pages=None)

    def calendars(self, token: str) -> AsyncGenerator[Json]:
        """Every BusinessCalendar. Close it with aclosing."""
        return self._items(token, BUSINESS_CALENDAR.all(), pages=None)

    async def pods(self, token: str, namespace: str, run: str, job_uid: str) -> list[Json]:
        """The pods of a run of a job: one for each attempt that is still there."""
        selector = f"{LABEL_JOB_NAME}={run},{LABEL_SCHEDULED_JOB_UID}={job_uid}"
        page = await self.client.call("GET", POD.of(namespace), token=token, query={"labelSelector": selector})
        found: list[Json] = page.get("items") or []
        return found

    def log(
        self, token: str, namespace: str, pod: str, container: str, lines: int | None, *, follow: bool
    ) -> AsyncGenerator[bytes]:
        """A container's log as it comes, with `follow` until it ends. Close it with aclosing.

        Not by lines: what a container writes need not have any.
        """
        query = {"container": container} | ({} if lines is None else {"tailLines": str(lines)})
        if follow:
            query["follow"] = "true"
        path = POD.at(namespace, pod, "log")
        return self.client.pieces(path, query=query, idle_seconds=_SILENCE_SECONDS, token=token)

    async def run(self, token: str, namespace: str, name: str) -> Json:
        """One JobRun."""
        return self._seen(JOB_RUN, await self.client.call("GET", JOB_RUN.at(namespace, name), token=token))

    def runs(self, token: str, namespace: str) -> AsyncGenerator[Json]:
        """The JobRuns of a namespace, at most five thousand of them. Close it with aclosing."""
        return self._items(token, JOB_RUN.of(namespace))

    def all_jobs(self, token: str, namespace: str | None) -> AsyncGenerator[Json]:
        """Every ScheduledJob of a namespace, or of all of them (None). Close it with aclosing."""
        path = SCHEDULED_JOB.all() if namespace is None else SCHEDULED_JOB.of(namespace)
        return self._items(token, path, pages=None)

    def every_job(self, token: str, namespace: str) -> AsyncGenerator[Json]:
        """The ScheduledJobs of a namespace, at most five thousand of them. Close it with aclosing."""
        return self._items(token, SCHEDULED_JOB.of(namespace))

    def _seen(self, resource: Resource, item: Json) -> Json:
        """Let reads know at once what this caller was answered with: the watch tells of it a moment later."""
        if self._cache is not None:
            self._cache.written(resource, item)
        return item

    def catalogues(self, token: str, namespace: str) -> AsyncGenerator[Json]:
        """The ConfigMaps of a namespace that say they hold a catalogue of tasks. Close it with aclosing."""
        query = {"labelSelector": f"{LABEL_CATALOGUE}=true", "limit": str(_CATALOGUES_PAGE)}
        return self._items(token, CONFIG_MAP.of(namespace), query=query)

    def templates(self, token: str, namespace: str) -> AsyncGenerator[Json]:
        """The ConfigMaps of a namespace that hold approved templates. Close it with aclosing."""
        query = {"labelSelector": f"{LABEL_TEMPLATE}=true", "limit": str(_CATALOGUES_PAGE)}
        return self._items(token, CONFIG_MAP.of(namespace), query=query)

    async def _items(
        self, token: str, path: str, pages: int | None = _PAGES, query: dict[str, str] | None = None
    ) -> AsyncGenerator[Json]:
        query = {"limit": str(PAGE_SIZE)} | (query or {})
        for _ in itertools.count() if pages is None else range(pages):
            page: dict[str, Any] = await self.client.call("GET", path, token=token, query=query)
            for item in page.get("items") or []:
                yield item
            after = (page.get("metadata") or {}).get("continue")
            if not after:
                return
            query["continue"] = after


def _dry_run(rehearsal: bool) -> dict[str, str]:
    return {"dryRun": "All"} if rehearsal else {}

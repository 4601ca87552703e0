"""What the operator knows of the cluster: its own kinds as kopf tells them, Jobs, Pods and CronJobs by reflectors."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from merp_crds import names
from merp_kube import paths
from merp_kube.client import PAGE_SIZE, ApiError, Client, Unreachable
from merp_kube.paths import Resource
from merp_kube.reflector import Reflector
from merp_operator import attempt
from merp_operator.observe import Json, is_finished, owner_name
from merp_operator.own import Key, Own, key_of

_SELECTOR: Final = f"{names.LABEL_MANAGED}=true"
# A deletion that kopf's watch missed is noticed after this long at the latest.
RESYNC_SECONDS: Final = 300.0
_UNKNOWN: Final = frozenset({HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND})

_log = logging.getLogger(__name__)


class Watch:
    """The whole picture, and who is told of its changes.

    `changed(namespace, name)` names the ScheduledJob that something happened to; where they are given, `hurry` one of
    which what happened may let runs go on, and `calmly` one of which nobody waits for it. `vanished(job, pods)` tells
    of a Job that is gone, with the pods it had; `pool_changed(namespace, name)` names a JobPool.
    """

    def __init__(
        self,
        client: Client,
        *,
        namespace: str | None,
        changed: Callable[[str, str], None],
        vanished: Callable[[Json, list[Json]], None],
        pool_changed: Callable[[str, str], None],
        hurry: Callable[[str, str], None] | None = None,
        calmly: Callable[[str, str], None] | None = None,
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._changed = changed
        self._hurry = hurry or changed
        self._calmly = calmly or changed
        self._vanished = vanished
        self._pool_changed = pool_changed
        self.scheduled_jobs = Own(paths.SCHEDULED_JOB, self._scheduled_job_changed)
        # By upstream, the jobs that wait for it; and for each job what it waits for.
        self._dependents: defaultdict[Key, set[str]] = defaultdict(set)
        self._upstreams: dict[Key, frozenset[str]] = {}
        # The same of each namespace as a whole, until it changes: every look at a job that waits asks for it.
        self._graphs: dict[str, dict[str, tuple[str, ...]]] = {}
        self.job_runs = Own(paths.JOB_RUN, self._job_run_changed)
        # By pool, the jobs whose runs take room of it; and for each job the pool.
        self._members: defaultdict[Key, set[str]] = defaultdict(set)
        self._pool_of: dict[Key, str] = {}
        self._pool_generations: dict[Key, int] = {}
        self.job_pools = Own(paths.JOB_POOL, self._job_pool_changed)
        self.calendars = Own(paths.BUSINESS_CALENDAR, self._calendar_changed)
        # Set by every change of a calendar; whoever waits for it clears it.
        self.calendar_changed = asyncio.Event()
        self._jobs_of: defaultdict[Key, dict[str, Json]] = defaultdict(dict)
        self._pods_of: defaultdict[Key, dict[str, Json]] = defaultdict(dict)
        # By ScheduledJob its JobRuns, by name; and for each JobRun the ScheduledJob.
        self._requests_of: defaultdict[Key, dict[str, Json]] = defaultdict(dict)
        self._asked_of: dict[Key, str] = {}
        self.cron_jobs = self._reflector(paths.CRON_JOB, self._cron_job_changed)
        self.jobs = self._reflector(paths.JOB, self._job_changed)
        self.pods = self._reflector(paths.POD, self._pod_changed)

    @property
    def reflectors(self) -> tuple[Reflector, ...]:
        """The three reflectors; pods first, so that a Job's pods are known when it is."""
        return (self.pods, self.jobs, self.cron_jobs)

    def jobs_of(self, namespace: str, name: str) -> list[tuple[Json, list[Json]]]:
        """The Jobs of a ScheduledJob, each with its pods."""
        jobs = self._jobs_of.get((namespace, name), {})
        return [(job, self.pods_of(job)) for job in jobs.values()]

    def pods_of(self, job: Json) -> list[Json]:
        """The pods of a Job."""
        pods = self._pods_of.get(key_of(job), {})
        return [pod for pod in pods.values() if _controller(pod) == job["metadata"]["uid"]]

    def requests_of(self, namespace: str, name: str) -> list[Json]:
        """The JobRuns for a ScheduledJob."""
        return list(self._requests_of.get((namespace, name), {}).values())

    async def synced(self) -> None:
        """Wait until the picture is complete: a decision from half of it would be wrong."""
        await self.resync()
        for reflector in self.reflectors:
            await reflector.synced.wait()

    async def resync_for_ever(self) -> None:
        """List our own kinds now and then: after a gap kopf tells of no deletion."""
        while True:
            await asyncio.sleep(RESYNC_SECONDS)
            await self.resync()

    async def resync(self) -> None:
        """List our own kinds once, however long the server takes to be there."""
        # Calendars first: a job that names one is not to be found without it.
        for own in (self.calendars, self.job_pools, self.scheduled_jobs, self.job_runs):
            delay = 0.5
            while True:
                try:
                    own.replace(*await self._list(own.resource))
                    break
                except (ApiError, Unreachable) as error:
                    if own in (self.calendars, self.job_pools) and getattr(error, "status", None) in _UNKNOWN:
                        # An older installation's definitions or rights: jobs that name one say so.
                        _log.warning("%s cannot be read: %s", own.resource.plural, error)
                        break
                    _log.warning("list of %s: %s; next try in %.0f s", own.resource.plural, error, delay)
                    await asyncio.sleep(delay)
                    delay = min(delay * 2, 30.0)

    async def _list(self, resource: Resource) -> tuple[list[Json], str]:
        """All objects, and the version that the list is of."""
        path = resource.of(self._namespace) if self._namespace else resource.all()
        items: list[Json] = []
        token = ""
        while True:
            page = await self._client.call(
                "GET", path, query={"limit": str(PAGE_SIZE)} | ({"continue": token} if token else {})
            )
            # The items of a list lack their kind.
            items += page["items"]
            token = page["metadata"].get("continue") or ""
            if not token:
                return items, page["metadata"]["resourceVersion"]

    def _reflector(self, resource: Resource, on_change: Callable[[Json | None, Json | None], None]) -> Reflector:
        return Reflector(
            self._client,
            resource,
            on_change=on_change,
            selector=_SELECTOR,
            namespace=self._namespace,
            trim=_without_managed_fields,
        )

    def dependents_of(self, namespace: str, name: str) -> tuple[str, ...]:
        """The jobs that wait for that one, by name."""
        return tuple(sorted(self._dependents.get((namespace, name), ())))

    def upstreams_of(self, namespace: str, name: str) -> frozenset[str]:
        """The jobs that that one waits for, by name."""
        return self._upstreams.get((namespace, name), frozenset())

    def depends_on(self, namespace: str) -> dict[str, tuple[str, ...]]:
        """What each job of a namespace waits for, by name; to be read only."""
        known = self._graphs.get(namespace)
        if known is None:
            known = {
                name: tuple(sorted(found)) for (space, name), found in self._upstreams.items() if space == namespace
            }
            self._graphs[namespace] = known
        return known

    def members_of(self, namespace: str, pool: str) -> tuple[str, ...]:
        """The ScheduledJobs whose runs take room of a pool, by name."""
        return tuple(sorted(self._members.get((namespace, pool), ())))

    def _scheduled_job_changed(self, item: Json) -> None:
        namespace, name = key = key_of(item)
        present = self.scheduled_jobs.get(*key)
        self._join(key, ((present or {}).get("spec") or {}).get("pool") or {})
        entries = [] if present is None else (present.get("spec") or {}).get("dependsOn") or []
        wanted = frozenset(str(entry.get("name")) for entry in entries)
        before = self._upstreams.get(key, frozenset())
        for upstream in before - wanted:
            self._dependents[namespace, upstream].discard(name)
        for upstream in wanted - before:
            self._dependents[namespace, upstream].add(name)
        if wanted:
            self._upstreams[key] = wanted
        else:
            self._upstreams.pop(key, None)
        if wanted != before:
            self._graphs.pop(namespace, None)
            # Whoever was in a cycle with it may be so no longer.
            for upstream in wanted | before:
                self._changed(namespace, upstream)
        self._tell(key)

    def _tell(self, key: Key) -> None:
        """Something happened to a job: whoever waits for it is looked at first."""
        for dependent in self._dependents.get(key, ()):
            self._changed(key[0], dependent)
        self._changed(*key)

    def _tell_of_end(self, key: Key) -> None:
        """A run of a job has ended: what waits for that, there or in the job itself, waits for nothing else."""
        for dependent in self._dependents.get(key, ()):
            self._hurry(key[0], dependent)
        if self._waits(key):
            self._hurry(*key)
        elif any(not (item.get("status") or {}).get("endTime") for item in self._requests_of.get(key, {}).values()):
            # Whoever asked for it waits, and a backfill goes on with its next run.
            self._changed(*key)
        else:
            self._calmly(*key)

    def _waits(self, key: Key) -> bool:
        """Whether a run of a job waits to be let go."""
        return any(job["spec"].get("suspend") for job in self._jobs_of.get(key, {}).values())

    def _join(self, key: Key, wanted: Json) -> None:
        """A job takes room of that pool, and of no other."""
        namespace, name = key
        before, after = self._pool_of.get(key, ""), str(wanted.get("name") or "")
        if before == after:
            return
        if before:
            self._members[namespace, before].discard(name)
        if after:
            self._members[namespace, after].add(name)
            self._pool_of[key] = after
        else:
            del self._pool_of[key]

    def _job_pool_changed(self, item: Json) -> None:
        """Its status changes with every run; what its jobs say of it only with what it is."""
        namespace, name = key = key_of(item)
        present = self.job_pools.get(*key)
        generation = 0 if present is None else present["metadata"].get("generation", 0)
        self._pool_changed(namespace, name)
        if self._pool_generations.get(key, 0) == generation:
            return
        if generation:
            self._pool_generations[key] = generation
        else:
            del self._pool_generations[key]
        for member in self.members_of(namespace, name):
            self._changed(namespace, member)

    def _calendar_changed(self, item: Json) -> None:
        """Every ScheduledJob that names it has other due times now."""
        _, name = key_of(item)
        self.calendar_changed.set()
        for job in self.scheduled_jobs.all():
            schedule = (job.get("spec") or {}).get("schedule") or {}
            if (schedule.get("calendar") or {}).get("name") == name:
                self._changed(*key_of(job))

    def _job_run_changed(self, item: Json) -> None:
        """What is there now counts: of one made anew under its name, for another job perhaps, kopf may tell first."""
        namespace, name = key = key_of(item)
        present = self.job_runs.get(*key)
        before = self._asked_of.pop(key, "")
        after = str(((present or {}).get("spec") or {}).get("scheduledJob") or "")
        if before:
            del self._requests_of[namespace, before][name]
            if not self._requests_of[namespace, before]:
                del self._requests_of[namespace, before]
        if present is not None and after:
            self._requests_of[namespace, after][name] = present
            self._asked_of[key] = after
        for owner in {before, after} - {""}:
            self._changed(namespace, owner)

    def _cron_job_changed(self, before: Json | None, after: Json | None) -> None:
        item = after or before
        assert item is not None, "a change has an object"
        owner = owner_name(item)
        if owner is not None:
            self._changed(item["metadata"]["namespace"], owner)

    def _job_changed(self, before: Json | None, after: Json | None) -> None:
        item = after or before
        assert item is not None, "a change has an object"
        owner = owner_name(item)
        if owner is None:
            return
        key = (item["metadata"]["namespace"], owner)
        self._index(self._jobs_of, key, item, present=after is not None)
        if after is None:
            self._vanished(item, self.pods_of(item))
            self._pods_of.pop(key_of(item), None)
        if _ended(before, after):
            self._tell_of_end(key)
        elif self._waits(key):
            self._tell(key)
        else:
            for dependent in self._dependents.get(key, ()):
                self._changed(key[0], dependent)
            self._calmly(*key)

    def _pod_changed(self, before: Json | None, after: Json | None) -> None:
        item = after or before
        assert item is not None, "a change has an object"
        owner, job = owner_name(item), (item["metadata"].get("labels") or {}).get(names.LABEL_JOB_NAME)
        if owner is None or job is None:
            return
        namespace = item["metadata"]["namespace"]
        item = attempt.remembering(self._pods_of.get((namespace, job), {}).get(item["metadata"]["uid"]), item)
        # The last state of a pod that is gone stays while its Job is there: it holds the exit code.
        job_exists = self.jobs.get(namespace, job) is not None
        self._index(self._pods_of, (namespace, job), item, present=after is not None or job_exists)
        # The log of one that failed is read before it goes, and that may be at once.
        (self._changed if attempt.has_failed(item) else self._calmly)(namespace, owner)

    @staticmethod
    def _index(index: defaultdict[Key, dict[str, Json]], key: Key, item: Json, *, present: bool) -> None:
        uid = item["metadata"]["uid"]
        if present:
            index[key][uid] = item
            return
        index[key].pop(uid, None)
        if not index[key]:
            del index[key]


def _ended(before: Json | None, after: Json | None) -> bool:
    """Whether a Job has ended by this change."""
    return after is not None and is_finished(after) and (before is None or not is_finished(before))


def _controller(item: Json) -> str | None:
    for entry in item["metadata"].get("ownerReferences") or []:
        if entry.get("controller"):
            return str(entry["uid"])
    return None


def _without_managed_fields(item: Json) -> Json:
    """They are half of an object's size, and nothing is decided from them."""
    metadata = {key: value for key, value in item["metadata"].items() if key != "managedFields"}
    return item | {"metadata": metadata}

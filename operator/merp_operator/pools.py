"""What the operator does for JobPools: gives room to runs by compare-and-swap on the pool's status, and tells places.

A run is let go by its own job's look, which asks here whether it has room. So room is given before a run goes, and an
operator that is killed in between finds in the pool's status whom it has promised room.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from typing import Final

from merp_crds import names
from merp_crds.jobpool import LISTED_WAITING, Admitted, JobPoolStatus
from merp_crds.scheduledjob import ScheduledJobSpec
from merp_kube import paths
from merp_kube.client import ApiError, Unreachable
from merp_operator import metrics, observe, pool
from merp_operator.cluster import Cluster
from merp_operator.expectations import Expectations
from merp_operator.observe import Json, Observed, Run, is_finished
from merp_operator.own import Key
from merp_operator.pool import Candidate, Decision, Expired, Ready, Room
from merp_operator.watch import Watch
from merp_operator.workqueue import WorkQueue

# Who waits is for people to read. Who has room is written at once, but not more often than this: the list of a pool of
# a thousand slots has 140 KB, and etcd keeps each version for minutes.
_STATUS_SECONDS: Final = 1.0
_TURN_SECONDS: Final = 0.2
# What its job says of a place may be that old.
_PLACES_SECONDS: Final = 2.0
# A job that cannot be looked at, for whatever reason, holds up the turns of all others no longer than this.
_UNSEEN_SECONDS: Final = 10.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Asked:
    """What the last look at a job found: who would go on.

    `unfinished` and `awaited` are the runs that had not ended then: its own by UID, those of the jobs that it waits for
    by name. `running` are the UIDs of its own that take room.
    """

    pool: str
    candidates: tuple[Candidate, ...]
    unfinished: frozenset[str]
    awaited: frozenset[str]
    running: frozenset[str]


_NOTHING: Final = Asked("", (), frozenset(), frozenset(), frozenset())


@dataclass(slots=True)
class Turns:
    """What is known of one pool beside its status."""

    places: dict[str, tuple[int, int]] = field(default_factory=dict)
    # Who has waited too long, by the UIDs of their Jobs.
    expired: dict[str, Expired] = field(default_factory=dict)
    # Whose jobs were told that they have room: UIDs of their Jobs.
    told: frozenset[str] = frozenset()
    written_at: float = float("-inf")
    # Since when a job of it waits to be looked at, and whether that was told.
    unseen_since: float | None = None
    unseen_told: bool = False


class Pools:
    """All JobPools.

    `look` and `look_later` (seconds) ask for a look at a ScheduledJob; `clock` is monotonic, in seconds.
    """

    def __init__(
        self,
        *,
        cluster: Cluster,
        watch: Watch,
        expectations: Expectations,
        look: Callable[[Key], None],
        look_later: Callable[[Key, float], None],
        now: Callable[[], datetime],
        clock: Callable[[], float],
    ) -> None:
        self._cluster = cluster
        self._watch = watch
        self._expectations = expectations
        self._look = look
        self._look_later = look_later
        self._now = now
        self._clock = clock
        self._queue: WorkQueue[Key] = WorkQueue(clock)
        self._asked: dict[Key, Asked] = {}
        self._turns: defaultdict[Key, Turns] = defaultdict(Turns)
        # Let go by this process, by job, until a look has seen it.
        self._released: dict[Key, frozenset[str]] = {}

    def ask(
        self, observed: Observed, spec: ScheduledJobSpec, ready: Iterable[Ready], awaited: Iterable[str] = ()
    ) -> Room:
        """Ask for room for the runs of a job that could go on. Those that do not wait have it.

        `awaited` are the unfinished runs of the jobs that it waits for, by name, as it saw them.
        """
        assert spec.pool is not None, "only jobs of a pool ask for room"
        name = spec.pool.name
        candidates = tuple(pool.candidate(observed.name, entry, spec, spec.pool) for entry in ready)
        self._note(observed, name, candidates, awaited)
        body = self._watch.job_pools.get(observed.namespace, name)
        found = None if body is None else pool.read_spec(body)
        slots = None if found is None else found.slots
        admitted = () if body is None or slots is None else pool.read_status(body).admitted
        has_room = {entry.uid for entry in admitted}
        without = [entry for entry in candidates if entry.uid not in has_room]
        turns = self._turns.get((observed.namespace, name)) or Turns()
        return pool.room(spec.pool, slots, without, turns.places, turns.expired, self._now())

    def nothing(self, observed: Observed, spec: ScheduledJobSpec, awaited: Iterable[str] = ()) -> None:
        """A job of a pool whose definition is not good: what waits goes on waiting, and takes no turn."""
        assert spec.pool is not None, "only jobs of a pool ask for room"
        self._note(observed, spec.pool.name, (), awaited)

    def released(self, observed: Observed, run: Run) -> None:
        """A run of a job was let go: it takes room from now on, though the watch may not show it yet."""
        key = (observed.namespace, observed.name)
        if key in self._asked:
            self._released[key] = self._released.get(key, frozenset()) | {run.uid}

    def forget(self, key: Key) -> None:
        """A ScheduledJob that is gone."""
        self.leave(key)
        self._released.pop(key, None)

    def leave(self, key: Key) -> None:
        """A job takes room of no pool."""
        before = self._asked.pop(key, None)
        if before is not None:
            self.changed(key[0], before.pool)

    def job_changed(self, namespace: str, name: str) -> None:
        """Something happened to a job or its runs: the pools that have to do with it are looked at."""
        for body in self._watch.job_pools.of(namespace):
            entries = (body.get("status") or {}).get("admitted") or []
            if any(entry.get("scheduledJob") == name for entry in entries):
                self.changed(namespace, body["metadata"]["name"])

    def changed(self, namespace: str, name: str) -> None:
        """Something happened to a pool."""
        self._queue.add((namespace, name))

    async def run(self) -> None:
        """Give room, until cancelled."""
        while True:
            key = await self._queue.get()
            try:
                delay = await self.look(key)
            except (ApiError, Unreachable) as error:
                self._failed(key, error)
            except Exception:  # noqa: BLE001  (the reason is on the next line)
                # A bug that one pool meets must not stop all others: it is told in full, and tried again.
                _log.exception("look at pool %s/%s failed", *key)
                self._queue.failed(key)
            else:
                self._queue.done(key)
                if delay is not None:
                    self._queue.add_after(key, delay)

    async def look(self, key: Key) -> float | None:
        """Give the room that is free. Returns the seconds after which to look again, or None."""
        body = self._watch.job_pools.get(*key)
        spec = None if body is None or body["metadata"].get("deletionTimestamp") else pool.read_spec(body)
        if body is None or spec is None:
            if self._turns.pop(key, None) is not None:
                for gauge in (metrics.POOL_SLOTS, metrics.POOL_USED, metrics.POOL_WAITING):
                    gauge.remove(*key)
            return None
        turns = self._turns[key]
        wait = self._wait_for_looks(key, turns)
        if wait is not None:
            return wait
        before = pool.read_status(body)
        now = self._now()
        decision = pool.decide(spec.slots, before.admitted, self._taking(key, before), self._candidates(key), now)
        wait = await self._report(key, body, before, decision, turns)
        delays = [(entry.until - now).total_seconds() for entry in decision.waiting if entry.until is not None]
        return min([*delays, *([] if wait is None else [wait])], default=None)

    def _note(self, observed: Observed, name: str, candidates: tuple[Candidate, ...], awaited: Iterable[str]) -> None:
        key = (observed.namespace, observed.name)
        before = self._asked.get(key)
        idle = {run.uid for run in observed.unfinished if run.waits}
        released = self._released.pop(key, frozenset()) & idle
        if released:
            self._released[key] = released
        unfinished = frozenset(run.uid for run in observed.unfinished)
        running = frozenset(run.uid for run in observed.unfinished if not run.job["spec"].get("suspend"))
        asked = Asked(name, candidates, unfinished, frozenset(awaited), running)
        if before == asked:
            return
        self._asked[key] = asked
        self.changed(observed.namespace, name)
        if before is not None and before.pool != name:
            self.changed(observed.namespace, before.pool)

    def _wait_for_looks(self, key: Key, turns: Turns) -> float | None:
        """Whoever is of a higher priority may just have come, or got its turn: all that wait are looked at before."""
        unseen = [name for name in self._watch.members_of(*key) if self._is_unseen((key[0], name), key[1])]
        if not unseen:
            turns.unseen_since, turns.unseen_told = None, False
            return None
        now = self._clock()
        if turns.unseen_since is None:
            turns.unseen_since = now
        left = turns.unseen_since + _UNSEEN_SECONDS - now
        if left > 0:
            return left
        if not turns.unseen_told:
            _log.warning("pool %s/%s gives turns without %s, which could not be looked at", *key, ", ".join(unseen))
            turns.unseen_told = True
        return None

    def _is_unseen(self, member: Key, name: str) -> bool:
        """Whether a job may ask for room at its next look for a run that has not asked yet.

        That is one that is just being made, one that is new, or one whose turn the end of another has brought: of its
        own job, or of one that it waits for.
        """
        if self._expectations.of(member, (job["metadata"]["name"] for job, _ in self._watch.jobs_of(*member))):
            return True
        asked = self._asked.get(member)
        mine = asked if asked is not None and asked.pool == name else _NOTHING
        unfinished = self._unfinished(member)
        idle = {job["metadata"]["uid"] for job in unfinished if observe.waits(job)}
        waits = not idle <= {entry.uid for entry in mine.candidates}
        if waits and mine.unfinished != {job["metadata"]["uid"] for job in unfinished}:
            return True
        return (waits or self._is_made_by_others(member)) and mine.awaited != {
            job["metadata"]["name"]
            for upstream in self._watch.upstreams_of(*member)
            for job in self._unfinished((member[0], upstream))
        }

    def _is_made_by_others(self, member: Key) -> bool:
        """Whether the runs of a job are made when those that it waits for end."""
        return not ((self._watch.scheduled_jobs.get(*member) or {}).get("spec") or {}).get("schedule")

    def _unfinished(self, key: Key) -> list[Json]:
        """The unfinished Jobs of a ScheduledJob; nobody looks at those of one that is gone or on its way out."""
        body = self._watch.scheduled_jobs.get(*key)
        if body is None or body["metadata"].get("deletionTimestamp"):
            return []
        uid = body["metadata"]["uid"]
        return [job for job, _ in self._watch.jobs_of(*key) if observe.belongs(job, uid) and not is_finished(job)]

    def _candidates(self, key: Key) -> list[Candidate]:
        """Who asks for room: also of a job that was edited to ask elsewhere, until its next look.

        The look before that may just be letting go a run that was promised room here.
        """
        namespace, name = key
        asked = (asked for (space, _), asked in self._asked.items() if space == namespace and asked.pool == name)
        return [entry for found in asked for entry in found.candidates]

    def _taking(self, key: Key, before: JobPoolStatus) -> dict[str, Admitted]:
        """The unfinished runs that were let go: those with room, and those of its jobs that have none anywhere."""
        namespace, name = key
        found = {entry.uid: entry for entry in before.admitted if self._takes_room(namespace, entry)}
        elsewhere = {
            entry.uid
            for other in self._watch.job_pools.of(namespace)
            if other["metadata"]["name"] != name
            for entry in pool.read_status(other).admitted
        }
        for member in self._watch.members_of(namespace, name):
            scheduled_job = self._watch.scheduled_jobs.get(namespace, member)
            asked = ((scheduled_job or {}).get("spec") or {})["pool"].get("slots", 1)
            for job, _ in self._watch.jobs_of(namespace, member):
                uid = job["metadata"]["uid"]
                # One that was ended before it had room takes none.
                ended = names.ANNOTATION_ENDED in (job["metadata"].get("annotations") or {})
                if uid not in found and uid not in elsewhere and not ended and self._runs(job):
                    run = job["metadata"]["name"]
                    found[uid] = Admitted(run=run, uid=uid, scheduled_job=member, slots=asked)
        return found

    def _takes_room(self, namespace: str, entry: Admitted) -> bool:
        job = self._watch.jobs.get(namespace, entry.run)
        return job is not None and job["metadata"]["uid"] == entry.uid and self._runs(job)

    def _runs(self, job: Json) -> bool:
        """Whether a Job was let go and has not ended."""
        if is_finished(job):
            return False
        key = (job["metadata"]["namespace"], observe.owner_name(job) or "")
        return not job["spec"].get("suspend") or job["metadata"]["uid"] in self._released.get(key, ())

    async def _report(
        self, key: Key, body: Json, before: JobPoolStatus, decision: Decision, turns: Turns
    ) -> float | None:
        wanted = pool.status(body, decision, self._now())
        wait = None
        if wanted != (body.get("status") or {}):
            late = {entry.candidate.uid for entry in decision.expired}
            urgent = list(decision.admitted) != before.admitted or not late <= turns.expired.keys()
            wait = turns.written_at + (_TURN_SECONDS if urgent else _STATUS_SECONDS) - self._clock()
            if wait <= 0:
                item = await self._cluster.write_status(paths.JOB_POOL, body, wanted)
                wait, turns.written_at = None, self._clock()
                self._watch.job_pools.put(item)
            elif urgent:
                return wait
        metrics.POOL_SLOTS.labels(*key).set(body["spec"]["slots"])
        metrics.POOL_USED.labels(*key).set(decision.used)
        metrics.POOL_WAITING.labels(*key).set(len(decision.waiting))
        self._tell(key, decision, turns)
        return wait

    def _tell(self, key: Key, decision: Decision, turns: Turns) -> None:
        """Who has room now, or waits no more, is looked at at once; the head of the queue learns its places."""
        namespace, _ = key
        for entry in decision.admitted:
            # Not by what the status said before: it may have been written though the answer was lost.
            if entry.uid not in turns.told:
                self._look((namespace, entry.scheduled_job))
        turns.told = frozenset(entry.uid for entry in decision.admitted)
        late = {entry.candidate.uid: entry for entry in decision.expired}
        for uid, expired in late.items():
            if turns.expired.get(uid) != expired:
                self._look((namespace, expired.candidate.scheduled_job))
        turns.expired = late
        total = len(decision.waiting)
        places = {entry.uid: (place, total) for place, entry in enumerate(decision.waiting, start=1)}
        for waits in decision.waiting[:LISTED_WAITING]:
            if turns.places.get(waits.uid) != places[waits.uid]:
                self._look_later((namespace, waits.scheduled_job), _PLACES_SECONDS)
        turns.places = places

    def _failed(self, key: Key, error: ApiError | Unreachable) -> None:
        delay = self._queue.failed(key, getattr(error, "retry_after", None))
        # A conflict is the answer to having read too early; the newer version is on its way.
        conflict = isinstance(error, ApiError) and error.status == HTTPStatus.CONFLICT
        level = logging.DEBUG if conflict else logging.WARNING
        _log.log(level, "look at pool %s/%s: %s; next try in %.1f s", *key, error, delay)

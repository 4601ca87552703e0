"""One pool, the jobs that share it and the operator's real parts before a played cluster.

Nothing happens by itself: a test says which run comes or ends, when the watches catch up, and who looks next.
"""

import copy
import random
from datetime import datetime, timedelta
from typing import Any, cast

from cluster_objects import job_pool, scheduled_job
from due_times import at
from played_cluster import Json, PlayedCluster

from merp_crds import names
from merp_crds.common import rfc3339
from merp_crds.scheduledjob import Priority
from merp_kube.client import ApiError, Client
from merp_operator import observe
from merp_operator.cluster import Cluster
from merp_operator.desired import Defaults
from merp_operator.expectations import Expectations
from merp_operator.gates import Gates
from merp_operator.own import Key
from merp_operator.picture import Pictures
from merp_operator.pools import Pools
from merp_operator.watch import Watch

DEFAULTS = Defaults(image="tasks:1", time_zone="UTC")
POOL = ("ns", "nightly")
# What the operator itself waits for passes by itself; what is further away comes when a test says so.
SOON_SECONDS = 10.0
CLASSES = {Priority.HIGH: "merp-high", Priority.NORMAL: None, Priority.LOW: "merp-low"}
RANKS = {"merp-high": 0, None: 1, "merp-low": 2}


class World:
    """One pool, the jobs that share it, and the operator's process."""

    def __init__(self, slots: int, jobs: dict[str, int], **spec: Any) -> None:
        """`jobs` are the names of the jobs and how many slots a run of each takes."""
        self.cluster = PlayedCluster(at("12:00:00"))
        self.cluster.put(self.cluster.job_pools, job_pool(slots=slots))
        self.seconds = 0.0
        # How long a look at a pool takes.
        self.look_seconds = 0.1
        # How many were chosen before others.
        self.turns = 0
        self.all_looked_at = True
        self._due = iter(range(1_000_000))
        for name, asked in jobs.items():
            pool = {"name": POOL[1], "slots": asked}
            body = scheduled_job(name, schedule=None, concurrencyPolicy="Allow", pool=pool, **spec)
            body["metadata"]["uid"] = f"uid-{name}"
            self.cluster.put(self.cluster.scheduled_jobs, body)
        self.start_process()

    @property
    def status(self) -> Json:
        """The pool's status as the API server has it."""
        return self.cluster.job_pools.get(POOL, {}).get("status") or {}

    def start_process(self) -> None:
        """A new process: it begins with a complete picture of the cluster, and remembers nothing."""
        self.cluster.lifetime = None
        self.looks: dict[Key, None] = dict.fromkeys(self.cluster.scheduled_jobs)
        self.pool_looks: dict[Key, None] = {POOL: None}
        # Pools that are to be looked at again, and the second when.
        self._later: dict[Key, float] = {}
        # When a pool and a job are to be looked at again that wait for a limit.
        self._limits: dict[Key, float] = {}
        self._moments: dict[Key, datetime] = {}
        self.watch = Watch(
            cast(Client, None),
            namespace=None,
            changed=self._changed,
            vanished=lambda *_: None,
            pool_changed=lambda *key: self.pools.changed(*key),
        )
        cluster, expectations = cast(Cluster, self.cluster), Expectations(lambda: self.seconds)
        self.pools = Pools(
            cluster=cluster,
            watch=self.watch,
            expectations=expectations,
            look=self._look_soon,
            look_later=lambda key, _: self._look_soon(key),
            now=lambda: self.cluster.now,
            clock=lambda: self.seconds,
        )
        self.pools.changed = lambda *key: self.pool_looks.setdefault(key)  # type: ignore[method-assign]
        self.pictures = Pictures(self.watch, expectations, lambda: DEFAULTS)
        self.gates = Gates(cluster=cluster, pictures=self.pictures, expectations=expectations, pools=self.pools)
        self.show()

    def edit(self, job: str, **spec: Any) -> None:
        """Somebody changes a job; None takes a field out."""
        self.cluster.scheduled_jobs["ns", job]["metadata"]["generation"] += 1
        self.declare(job, **spec)

    def declare(self, job: str, **spec: Any) -> None:
        """A job is as if it had been made so."""
        body = copy.deepcopy(self.cluster.scheduled_jobs["ns", job])
        body["spec"] = {key: value for key, value in (body["spec"] | spec).items() if value is not None}
        self.cluster.put(self.cluster.scheduled_jobs, body)

    def show(self) -> None:
        """The watches catch up with the cluster."""
        kinds = (
            (self.watch.job_pools, self.cluster.job_pools),
            (self.watch.scheduled_jobs, self.cluster.scheduled_jobs),
        )
        for own, present in kinds:
            for key, item in present.items():
                known = own.get(*key)
                if known is None or known["metadata"]["resourceVersion"] != item["metadata"]["resourceVersion"]:
                    own.put(copy.deepcopy(item))
        for item in list(self.watch.jobs):
            key = item["metadata"]["namespace"], item["metadata"]["name"]
            if key not in self.cluster.jobs:
                self.watch.jobs._replace(key, None)
        for key, item in self.cluster.jobs.items():
            known = self.watch.jobs.get(*key)
            if known is None or known["metadata"]["resourceVersion"] != item["metadata"]["resourceVersion"]:
                self.watch.jobs._replace(key, copy.deepcopy(item))

    def comes(self, job: str, priority: Priority = Priority.NORMAL, *, suspend: bool = True) -> str:
        """A run is made, due a second after the one before. Returns its name."""
        number = next(self._due)
        name = f"{job}-{number:04}"
        labels = {names.LABEL_MANAGED: "true", names.LABEL_SCHEDULED_JOB: job}
        labels |= {names.LABEL_SCHEDULED_JOB_UID: f"uid-{job}", names.LABEL_TRIGGER: "manual"}
        due = {names.ANNOTATION_DUE_TIME: rfc3339(at("10:00:00") + timedelta(seconds=number))}
        metadata = {"name": name, "namespace": "ns", "labels": labels, "annotations": due}
        template = {"metadata": {}, "spec": {"priorityClassName": CLASSES[priority]}}
        self.cluster.put(self.cluster.jobs, {"metadata": metadata, "spec": {"suspend": suspend, "template": template}})
        return name

    def running(self) -> list[Json]:
        """The Jobs that were let go and have not ended."""
        jobs = self.cluster.jobs.values()
        return [job for job in jobs if not job["spec"]["suspend"] and not job["status"].get("conditions")]

    def waiting(self) -> list[Json]:
        """The Jobs that wait."""
        return [job for job in self.cluster.jobs.values() if job["spec"]["suspend"]]

    def ends(self, name: str) -> None:
        """A run ends."""
        self.cluster.finish(name, self.cluster.now)

    def passes(self, seconds: float) -> None:
        """Time passes, here and at the API server."""
        self.seconds += seconds
        self.cluster.now += timedelta(seconds=seconds)
        for pool in [key for key, moment in self._limits.items() if moment <= self.seconds]:
            del self._limits[pool]
            self.pool_looks.setdefault(pool)
        for job in [key for key, moment in self._moments.items() if moment <= self.cluster.now]:
            del self._moments[job]
            self._look_soon(job)

    @property
    def busy(self) -> bool:
        """Whether anything is to be looked at, now or later."""
        return bool(self.looks or self.pool_looks or self._later)

    async def one_look(self, chosen: random.Random) -> None:
        """A look at one of the jobs or pools that want one; where none does, time passes until one will."""
        if not (self.looks or self.pool_looks):
            self.seconds = max(self.seconds, min(self._later.values()))
        for name in [name for name, moment in self._later.items() if moment <= self.seconds]:
            del self._later[name]
            self.pool_looks.setdefault(name)
        key = chosen.choice([*self.looks, *(("pool", name) for name in self.pool_looks)])
        if key[0] == "pool":
            pool = key[1]
            del self.pool_looks[pool]
            await self._retried(self.pool_looks, pool, self._look_at_pool(pool))
        else:
            del self.looks[key]
            await self._retried(self.looks, key, self._look_at_job(key))

    async def until_done(self, chosen: random.Random | None = None) -> list[str]:
        """One after the other the runs that were let go end. Returns their names in that order."""
        order = []
        await self.settle(chosen)
        while self.running():
            order.append(self.running()[0]["metadata"]["name"])
            self.ends(order[-1])
            await self.settle(chosen)
        return order

    async def settle(self, chosen: random.Random | None = None) -> None:
        """Looks until nobody wants one; the watches catch up after each."""
        self.show()
        while self.busy:
            await self.one_look(chosen or random.Random(0))
            self.show()

    async def _look_at_pool(self, key: Key) -> None:
        self.seconds += self.look_seconds
        had = {entry["uid"] for entry in self.status.get("admitted", [])}
        waited = [job for job in self.watch.jobs if observe.waits(job) and job["metadata"]["uid"] not in had]
        delay = await self.pools.look(key)
        if delay is not None:
            (self._later if delay <= SOON_SECONDS else self._limits)[key] = self.seconds + delay
        # Of those that the operator can see, nobody is passed by a later one.
        has = {entry["uid"] for entry in self.status.get("admitted", [])}
        promised = [order(job) for job in waited if job["metadata"]["uid"] in has]
        left = [order(job) for job in waited if job["metadata"]["uid"] not in has]
        if promised and left and self.all_looked_at:
            assert max(promised) < min(left)
            self.turns += len(promised)

    async def _look_at_job(self, key: Key) -> None:
        observed = self.pictures.cached(key)
        assert observed is not None
        self.look = await self.gates.look(observed, DEFAULTS, self.cluster.now, suspended=False)
        if self.look.look_again is not None:
            self._moments[key] = self.look.look_again

    @staticmethod
    async def _retried(queue: dict[Any, None], key: Any, look: Any) -> None:
        try:
            await look
        except ApiError:
            queue.setdefault(key)

    def _changed(self, namespace: str, name: str) -> None:
        self._look_soon((namespace, name))
        self.pools.job_changed(namespace, name)

    def _look_soon(self, key: Key) -> None:
        self.looks.setdefault(key)


def order(job: Json) -> tuple[int, str]:
    """Whose turn a run is."""
    return RANKS[job["spec"]["template"]["spec"].get("priorityClassName")], job["metadata"]["annotations"][
        names.ANNOTATION_DUE_TIME
    ]

"""Pools with the operator's real parts, in a world where runs come and end at random and the operator is killed.

What must hold: never more slots than there are, whoever is let go was first by priority and due time of those that the
operator could see, nobody is forgotten, and a second pass writes nothing.
"""

import copy
import random
from datetime import timedelta
from typing import Any, cast

import pytest
from cluster_objects import job_pool, scheduled_job
from due_times import at
from played_cluster import Json, Killed, PlayedCluster

from merp_crds import names
from merp_crds.common import rfc3339
from merp_crds.scheduledjob import Priority
from merp_kube.client import ApiError, Client
from merp_operator.cluster import Cluster
from merp_operator.desired import Defaults
from merp_operator.expectations import Expectations
from merp_operator.gates import Gates
from merp_operator.picture import Pictures
from merp_operator.pools import Pools
from merp_operator.watch import Key, Watch

DEFAULTS = Defaults(image="tasks:1", time_zone="UTC")
POOL = ("ns", "nightly")
CLASSES = {Priority.HIGH: "merp-high", Priority.NORMAL: None, Priority.LOW: "merp-low"}
RANKS = {"merp-high": 0, None: 1, "merp-low": 2}


class World:
    """One pool, the jobs that share it, and the operator's process."""

    def __init__(self, slots: int, jobs: dict[str, int], **spec: Any) -> None:
        """`jobs` are the names of the jobs and how many slots a run of each takes."""
        self.cluster = PlayedCluster(at("12:00:00"))
        self.cluster.put(self.cluster.job_pools, job_pool(slots=slots))
        self.seconds = 0.0
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
        self.watch = Watch(
            cast(Client, None),
            namespace=None,
            changed=self._changed,
            vanished=lambda *_: None,
            pool_changed=lambda *key: self.pools.changed(*key),
        )
        cluster = cast(Cluster, self.cluster)
        self.pools = Pools(
            cluster=cluster,
            watch=self.watch,
            look=self._look_soon,
            look_later=lambda key, _: self._look_soon(key),
            now=lambda: self.cluster.now,
            clock=lambda: self.seconds,
        )
        self.pools.changed = lambda *key: self.pool_looks.setdefault(key)  # type: ignore[method-assign]
        expectations = Expectations(lambda: self.seconds)
        self.pictures = Pictures(self.watch, expectations, lambda: DEFAULTS)
        self.gates = Gates(cluster=cluster, pictures=self.pictures, expectations=expectations, pools=self.pools)
        self.show()

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

    async def one_look(self, chosen: random.Random) -> None:
        """A look at one of the jobs or pools that want one."""
        key = chosen.choice([*self.looks, *(("pool", name) for name in self.pool_looks)])
        if key[0] == "pool":
            pool = key[1]
            del self.pool_looks[pool]
            await self._retried(self.pool_looks, pool, self._look_at_pool(pool))
        else:
            del self.looks[key]
            await self._retried(self.looks, key, self._look_at_job(key))

    async def settle(self, chosen: random.Random | None = None) -> None:
        """Looks until nobody wants one; the watches catch up after each."""
        self.show()
        while self.looks or self.pool_looks:
            await self.one_look(chosen or random.Random(0))
            self.show()

    async def _look_at_pool(self, key: Key) -> None:
        self.seconds += 0.1
        had = {entry["uid"] for entry in self.status.get("admitted", [])}
        waited = [job for job in self.watch.jobs if job["spec"]["suspend"] and job["metadata"]["uid"] not in had]
        if await self.pools.look(key) is not None:
            self.pool_looks.setdefault(key)
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
    return RANKS[job["spec"]["template"]["spec"]["priorityClassName"]], job["metadata"]["annotations"][
        names.ANNOTATION_DUE_TIME
    ]


def size(job: Json, jobs: dict[str, int]) -> int:
    return jobs[job["metadata"]["labels"][names.LABEL_SCHEDULED_JOB]]


async def something(world: World, jobs: list[str], chosen: random.Random) -> None:
    """What happens next: a run comes or ends, a watch catches up, somebody looks, or the operator is about to die."""
    what = chosen.random()
    if what < 0.12:
        world.comes(chosen.choice(jobs), chosen.choice(list(Priority)))
    elif what < 0.2 and world.running():
        world.ends(chosen.choice(world.running())["metadata"]["name"])
    elif what < 0.3:
        # At any of its next writes.
        world.cluster.lifetime = chosen.randint(0, 3)
    elif what < 0.6:
        world.show()
    elif world.looks or world.pool_looks:
        await world.one_look(chosen)


@pytest.mark.parametrize("seed", range(40))
async def test_turns_are_kept_and_room_is_never_given_twice(seed: int) -> None:
    chosen = random.Random(seed)
    slots = chosen.randint(1, 5)
    jobs = {name: chosen.randint(1, slots) for name in ("a", "b", "c")} if seed % 2 else {"a": 1, "b": 1, "c": 1}
    world = World(slots, jobs)
    await world.settle()
    let_go: set[str] = set()
    for _ in range(400):
        before = {job["metadata"]["name"] for job in world.running()}
        waited = {job["metadata"]["name"] for job in world.waiting()}
        try:
            await something(world, list(jobs), chosen)
        except Killed:
            world.start_process()
        now = {job["metadata"]["name"]: job for job in world.running()}
        assert sum(size(job, jobs) for job in now.values()) <= slots
        # Room is promised before a run goes.
        assert now.keys() <= {entry["run"] for entry in world.status.get("admitted", [])}
        assert now.keys() - before <= waited
        let_go |= now.keys() - before
    world.cluster.lifetime = None
    await world.settle(chosen)
    while world.running():
        for job in world.running():
            world.ends(job["metadata"]["name"])
        await world.settle(chosen)
    assert world.waiting() == []
    assert world.status["used"] == 0
    assert let_go
    assert world.turns
    writes = len(world.cluster.writes)
    world.start_process()
    await world.settle(chosen)
    assert len(world.cluster.writes) == writes


async def test_c22_priority_first_then_the_oldest_due_time() -> None:
    world = World(1, {"a": 1, "b": 1})
    first = world.comes("a", Priority.LOW)
    await world.settle()
    came = [world.comes("b", Priority.LOW), world.comes("a", Priority.LOW), world.comes("a")]
    came += [world.comes("b", Priority.HIGH), world.comes("a", Priority.HIGH)]
    expected = [first, came[3], came[4], came[2], came[0], came[1]]
    seen = []
    await world.settle()
    while world.running():
        [job] = world.running()
        seen.append(job["metadata"]["name"])
        # A restart in between admits nobody else.
        world.start_process()
        await world.settle()
        assert [entry["metadata"]["name"] for entry in world.running()] == seen[-1:]
        world.ends(seen[-1])
        await world.settle()
    assert seen == expected


async def test_a_waiting_run_says_for_what_and_its_place() -> None:
    world = World(2, {"a": 2})
    first, second, third = (world.comes("a") for _ in range(3))
    await world.settle()
    observed = world.pictures.cached(("ns", "a"))
    assert observed is not None
    look = await world.gates.look(observed, DEFAULTS, world.cluster.now, suspended=False)
    assert [job["metadata"]["name"] for job in world.running()] == [first]
    assert look.waiting == {
        second: "waiting for 2 slots of pool nightly: place 1 of 2",
        third: "waiting for 2 slots of pool nightly: place 2 of 2",
    }


async def test_a_pool_made_smaller_ends_nothing_and_one_made_larger_lets_go_at_once() -> None:
    world = World(3, {"a": 1})
    for _ in range(6):
        world.comes("a")
    await world.settle()
    assert len(world.running()) == 3

    def resize(slots: int) -> None:
        pool = copy.deepcopy(world.cluster.job_pools[POOL])
        pool["spec"]["slots"] = slots
        pool["metadata"]["generation"] += 1
        world.cluster.put(world.cluster.job_pools, pool)

    resize(1)
    await world.settle()
    assert (len(world.running()), world.status["used"]) == (3, 3)
    for job in world.running()[:2]:
        world.ends(job["metadata"]["name"])
    await world.settle()
    assert len(world.running()) == 1
    resize(3)
    await world.settle()
    assert (len(world.running()), world.status["used"], world.status["waitingCount"]) == (3, 3, 1)


async def test_what_runs_already_counts_and_what_is_ended_while_it_waits_does_not() -> None:
    world = World(1, {"a": 1})
    early = world.comes("a", suspend=False)
    waits = world.comes("a")
    await world.settle()
    assert [entry["run"] for entry in world.status["admitted"]] == [early]
    await world.cluster.end_run(world.cluster.jobs["ns", waits], {"verdict": "cancelled"})
    await world.settle()
    assert [entry["run"] for entry in world.status["admitted"]] == [early]


async def test_a_job_that_cannot_be_looked_at_holds_up_the_others_for_seconds_only() -> None:
    world = World(1, {"a": 1, "b": 1})
    world.comes("a")
    mine = world.comes("b")
    world.all_looked_at = False
    world.show()
    for _ in range(200):
        # Nobody looks at the job a.
        world.looks.pop(("ns", "a"), None)
        if world.looks or world.pool_looks:
            await world.one_look(random.Random(0))
        world.show()
        world.seconds += 0.1
    assert [job["metadata"]["name"] for job in world.running()] == [mine]


async def test_a_pool_that_is_not_there_is_told_and_comes_into_force_when_it_is() -> None:
    world = World(1, {"a": 1})
    run = world.comes("a")
    del world.cluster.job_pools[POOL]
    world.start_process()
    await world.settle()
    assert world.look.pool_trouble is not None
    assert world.look.pool_trouble[1] == "pool: there is no JobPool nightly: create it, or name another"
    assert world.look.waiting == {run: "waiting for pool nightly, which does not exist"}
    world.cluster.put(world.cluster.job_pools, job_pool(slots=1))
    await world.settle()
    assert world.look.pool_trouble is None
    assert [job["metadata"]["name"] for job in world.running()] == [run]


async def test_a_job_that_leaves_its_pool_waits_for_it_no_more() -> None:
    world = World(1, {"a": 1, "b": 1})
    world.comes("a")
    await world.settle()
    second = world.comes("b")
    await world.settle()
    body = copy.deepcopy(world.cluster.scheduled_jobs["ns", "b"])
    del body["spec"]["pool"]
    world.cluster.put(world.cluster.scheduled_jobs, body)
    await world.settle()
    assert second in {job["metadata"]["name"] for job in world.running()}
    assert [entry["scheduledJob"] for entry in world.status["admitted"]] == ["a"]


async def test_a_run_that_was_let_go_keeps_its_room_though_no_watch_shows_it() -> None:
    world = World(1, {"a": 1, "b": 1})
    first = world.comes("a")
    world.show()
    chosen = random.Random(0)
    while not world.running():
        await world.one_look(chosen)
        world.watch.job_pools.put(copy.deepcopy(world.cluster.job_pools[POOL]))
    # What opened its gate holds no longer, and the watch still shows it as waiting.
    observed = world.pictures.cached(("ns", "a"))
    assert observed is not None
    assert observed.spec is not None
    assert world.pools.ask(observed, observed.spec, []).waiting == {}
    await world.pools.look(POOL)
    assert [entry["run"] for entry in world.status["admitted"]] == [first]

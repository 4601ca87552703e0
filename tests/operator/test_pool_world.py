"""Pools with the operator's real parts, in a world where runs come and end at random and the operator is killed.

What must hold: never more slots than there are, whoever is let go was first by priority and due time of those that the
operator could see, nobody is forgotten, and a second pass writes nothing.
"""

import copy
import random

import pytest
from cluster_objects import job_pool
from played_cluster import Json, Killed
from played_pool import DEFAULTS, POOL, World
from prometheus_client import REGISTRY

from merp_crds import names
from merp_crds.scheduledjob import Priority
from merp_kube.client import Unreachable
from merp_kube.paths import Resource


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
    elif world.busy:
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
        if world.busy:
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


async def test_a_large_pool_in_which_runs_end_all_the_time_is_written_five_times_a_second_at_most() -> None:
    world = World(200, {"a": 1})
    for _ in range(250):
        world.comes("a")
    await world.settle()
    chosen, world.look_seconds = random.Random(0), 0.01
    began, writes = world.seconds, len(world.cluster.written("write_status"))
    for job in world.running()[:50]:
        world.ends(job["metadata"]["name"])
        world.show()
        while world.looks or world.pool_looks:
            await world.one_look(chosen)
    await world.settle(chosen)
    assert len(world.running()) == 200
    assert len(world.cluster.written("write_status")) - writes <= 5 * (world.seconds - began) + 1


@pytest.mark.parametrize(
    "pool", [pytest.param(None, id="of-no-pool"), pytest.param({"name": "nightly"}, id="of-a-pool")]
)
async def test_what_was_let_go_is_not_remembered_for_ever(pool: Json | None) -> None:
    world = World(2, {"a": 1})
    world.edit("a", pool=pool)
    for _ in range(10):
        world.comes("a")
    assert len(await world.until_done()) == 10
    assert world.pools._released == {}
    # Not of a Job either that went before a watch showed that it was let go.
    run = world.comes("a")
    world.show()
    while not world.running():
        await world.one_look(random.Random(0))
    del world.cluster.jobs["ns", run]
    await world.settle()
    assert world.pools._released == {}


@pytest.mark.parametrize("pool", [pytest.param(None, id="plain"), pytest.param({"name": "nightly"}, id="of-a-pool")])
async def test_a_run_that_is_suspended_by_hand_is_left_to_whoever_did_it(pool: Json | None) -> None:
    world = World(1, {"a": 1, "b": 1})
    world.edit("a", pool=pool)
    held = world.comes("a")
    await world.settle()

    def suspend(value: bool) -> None:
        job = copy.deepcopy(world.cluster.jobs["ns", held])
        job["spec"]["suspend"] = value
        job["status"]["startTime"] = "2026-11-25T12:00:00Z"
        world.cluster.put(world.cluster.jobs, job)

    suspend(True)
    mine = world.comes("b")
    await world.settle()
    assert [job["metadata"]["name"] for job in world.running()] == [mine]
    suspend(False)
    await world.settle()
    assert len(world.running()) == 2
    assert world.status["used"] == (1 if pool is None else 2)


async def test_room_that_was_given_by_a_write_whose_answer_was_lost_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(1, {"a": 1})
    await world.settle()
    run = world.comes("a")
    world.show()
    await world.one_look(random.Random(0))
    write = world.cluster.write_status

    async def lost(resource: Resource, item: Json, status: Json) -> Json:
        await write(resource, item, status)
        raise Unreachable("the connection broke")

    monkeypatch.setattr(world.cluster, "write_status", lost)
    with pytest.raises(Unreachable):
        await world.pools.look(POOL)
    monkeypatch.undo()
    await world.settle()
    assert [job["metadata"]["name"] for job in world.running()] == [run]


async def test_a_pool_tells_its_room_as_metrics_until_it_is_gone() -> None:
    world = World(2, {"a": 1})
    for _ in range(5):
        world.comes("a")
    await world.settle()

    def told() -> list[float | None]:
        labels = dict(zip(("namespace", "pool"), POOL, strict=True))
        gauges = ("merp_pool_slots", "merp_pool_slots_used", "merp_pool_runs_waiting")
        return [REGISTRY.get_sample_value(gauge, labels) for gauge in gauges]

    assert told() == [2, 2, 3]
    world.watch.job_pools.remove(world.cluster.job_pools.pop(POOL))
    await world.settle()
    assert told() == [None, None, None]

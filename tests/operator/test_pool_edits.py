"""A job that changes its pool while one of its runs is just being let go: neither pool has more runs than slots."""

import copy
import random
from typing import Any

import pytest
from cluster_objects import job_pool
from played_cluster import Json
from played_pool import World

from merp_crds import names

OTHER = ("ns", "other")


def running(world: World, *jobs: str) -> list[str]:
    """The runs of these jobs that were let go and have not ended."""
    labelled = [(job["metadata"]["labels"][names.LABEL_SCHEDULED_JOB], job) for job in world.running()]
    return [job["metadata"]["name"] for name, job in labelled if name in jobs]


def used(world: World) -> tuple[int, int]:
    """The slots that are taken of the pool nightly, and of the other one."""
    other: Json = world.cluster.job_pools[OTHER]["status"]
    return world.status["used"], other["used"]


@pytest.mark.parametrize(
    ("pool", "expected"),
    [
        pytest.param({"name": "nightly"}, (1, 1), id="does-nothing-to-the-same-pool"),
        pytest.param({"name": "other"}, (1, 1), id="to-another-pool-that-is-full"),
        pytest.param(None, (1, 1), id="to-no-pool"),
    ],
)
@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_run_that_is_just_let_go_keeps_the_room_that_it_was_promised(
    monkeypatch: pytest.MonkeyPatch, pool: Json | None, expected: tuple[int, int], moment: str
) -> None:
    world = World(1, {"a": 1, "b": 1, "c": 1})
    world.cluster.put(world.cluster.job_pools, job_pool("other", 1))
    world.edit("b", pool={"name": "other"})
    await world.settle()
    busy = world.comes("b")
    await world.settle()
    run, next_one = world.comes("a"), world.comes("c")
    release = world.cluster.release

    async def edited(*arguments: Any) -> None:
        monkeypatch.undo()
        if moment == "after":
            await release(*arguments)
        world.edit("a", pool=pool)
        # The look at the job waits for this write; the pools need not.
        for own, present in (
            (world.watch.scheduled_jobs, world.cluster.scheduled_jobs["ns", "a"]),
            (world.watch.job_pools, world.cluster.job_pools["ns", "nightly"]),
        ):
            own.put(copy.deepcopy(present))
        world.seconds += 20
        for key in world.cluster.job_pools:
            await world.pools.look(key)
        if moment == "before":
            await release(*arguments)

    monkeypatch.setattr(world.cluster, "release", edited)
    await world.settle(random.Random(0))
    assert (running(world, "a"), running(world, "b"), running(world, "c")) == ([run], [busy], [])
    assert used(world) == expected
    world.ends(run)
    await world.settle()
    assert running(world, "c") == [next_one]

"""Whose turn it is where a run may go on because another has just ended: the pool must not be faster than the gate."""

import copy
import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from played_pool import World

from merp_crds import names
from merp_crds.scheduledjob import Priority
from merp_operator import opened


class PoolFirst(random.Random):
    """The pool is looked at before the jobs: so it is in the process, whose looks at jobs read the cluster first."""

    def choice(self, seq: Sequence[Any]) -> Any:
        return seq[-1]


@pytest.mark.parametrize(
    "policy",
    [pytest.param("Allow", id="does-nothing-all-ask-already"), pytest.param("Queue", id="the-next-of-the-queue")],
)
async def test_the_next_of_a_job_has_the_turn_that_the_end_of_the_one_before_brings(policy: str) -> None:
    world = World(1, {"a": 1, "b": 1})
    world.edit("a", concurrencyPolicy=policy)
    high = [world.comes("a", Priority.HIGH) for _ in range(3)]
    low = [world.comes("b", Priority.LOW) for _ in range(3)]
    assert await world.until_done(PoolFirst()) == high + low


async def test_a_run_whose_upstream_has_just_ended_comes_before_lower_ones() -> None:
    world = World(1, {"a": 1, "b": 1, "c": 1})
    world.edit("b", dependsOn=[{"name": "a"}])
    first = world.comes("a", Priority.HIGH)
    await world.settle()
    second, low = world.comes("b", Priority.HIGH), world.comes("c", Priority.LOW)
    assert await world.until_done(PoolFirst()) == [first, second, low]


async def test_a_run_that_the_end_of_another_makes_comes_before_lower_ones() -> None:
    world = World(1, {"a": 1, "b": 1, "c": 1})
    world.declare("b", dependsOn=[{"name": "a"}], priority="high")
    first, low = world.comes("a", Priority.HIGH), world.comes("c", Priority.LOW)
    await world.settle()
    world.cluster.now += timedelta(seconds=5)
    order = await world.until_done(PoolFirst())
    assert [first, low] == [order[0], order[-1]]
    assert len(order) == 3
    assert order[1].startswith("b-r-")


async def test_a_replacement_comes_before_lower_ones_when_what_it_replaces_has_ended() -> None:
    world = World(1, {"a": 1, "b": 1})
    world.edit("a", concurrencyPolicy="Replace")
    first = world.comes("a", Priority.HIGH)
    await world.settle()
    low, second = world.comes("b", Priority.LOW), world.comes("a", Priority.HIGH)
    await world.settle()
    assert names.ANNOTATION_ENDED in world.cluster.jobs["ns", first]["metadata"]["annotations"]
    assert await world.until_done(PoolFirst()) == [first, second, low]


@pytest.mark.parametrize(
    "left",
    [
        pytest.param("uid", id="of-a-job-of-that-name-before"),
        pytest.param("deletionTimestamp", id="of-a-job-on-its-way-out"),
    ],
)
async def test_a_run_that_nobody_will_look_at_holds_up_nobody(left: str) -> None:
    world = World(1, {"a": 1, "b": 1})
    world.comes("a")
    mine = world.comes("b")
    body = copy.deepcopy(world.cluster.scheduled_jobs["ns", "a"])
    body["metadata"][left] = "2026-11-25T11:59:59Z"
    world.cluster.put(world.cluster.scheduled_jobs, body)
    world.all_looked_at = False
    world.show()
    while not world.running():
        # Nobody looks at the job a.
        world.looks.pop(("ns", "a"), None)
        await world.one_look(PoolFirst())
        world.show()
    assert [job["metadata"]["name"] for job in world.running()] == [mine]
    assert world.seconds < 1


async def test_a_gate_that_has_opened_stays_open_while_its_run_waits_for_room() -> None:
    world = World(1, {"a": 1, "b": 1, "c": 1})
    world.edit("a", pool=None)
    world.edit("b", dependsOn=[{"name": "a"}])
    busy = world.comes("c")
    await world.settle()
    upstream = world.comes("a")
    await world.settle()
    world.ends(upstream)
    waits = world.comes("b")
    await world.settle()
    # It was cleaned up, and as many verdicts as its status holds have come since then.
    del world.cluster.jobs["ns", upstream]
    writes = len(world.cluster.writes)
    await world.settle()
    assert world.look.waiting == {waits: "waiting for 1 slot of pool nightly: place 1 of 1"}
    assert len(world.cluster.writes) == writes
    world.start_process()
    assert await world.until_done() == [busy, waits]
    [opener] = opened.opened_by(world.cluster.jobs["ns", waits])
    assert opener == ("a", upstream)

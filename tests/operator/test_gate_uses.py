"""A success opens one run: whoever waits for it already has it, and no other is made for it."""

import random
from datetime import timedelta

import pytest
from played_pool import World

from merp_operator import opened


async def report_of_every_sync(*, asked_for: bool, slots: int = 5) -> World:
    """The job report runs each time sync has succeeded; a run of it that was asked for by hand may wait as well."""
    world = World(slots, {"sync": 1, "report": 1, "other": 1})
    world.declare("sync", pool=None)
    world.declare("report", dependsOn=[{"name": "sync"}])
    world.comes("other")
    upstream = world.comes("sync")
    await world.settle()
    if asked_for:
        world.comes("report")
    await world.settle()
    world.cluster.now += timedelta(seconds=5)
    world.ends(upstream)
    return world


def opened_by_sync(world: World) -> list[str]:
    """The runs of report that a run of sync has opened."""
    return [name for (_, name), job in world.cluster.jobs.items() if opened.opened_by(job)]


async def test_a_success_that_nobody_waits_for_makes_a_run() -> None:
    world = await report_of_every_sync(asked_for=False)
    await world.settle()
    [made] = opened_by_sync(world)
    assert made.startswith("report-r-")


@pytest.mark.parametrize("slots", [pytest.param(5, id="with-room"), pytest.param(1, id="waiting-for-room")])
async def test_a_success_that_opens_a_waiting_run_makes_no_other(slots: int) -> None:
    world = await report_of_every_sync(asked_for=True, slots=slots)
    await world.settle()
    assert opened_by_sync(world) == ["report-0002"]


async def test_nor_does_it_while_no_watch_shows_that_it_was_let_go() -> None:
    world = await report_of_every_sync(asked_for=True)
    world.show()
    chosen = random.Random(0)
    while len(world.running()) < 2:
        await world.one_look(chosen)
    world.looks.setdefault(("ns", "report"))
    for _ in range(5):
        await world.one_look(chosen)
    await world.settle()
    assert opened_by_sync(world) == ["report-0002"]

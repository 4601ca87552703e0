"""Cancelled runs before a played cluster: each ends once, as who asked first said, whatever is killed or asked again."""

import contextlib
import json

import pytest
from played_cluster import KEY, Json, Killed
from played_operator import World, minutely, run_at

from merp_crds import names

RUN = run_at("11:58")
CANCEL = f"cancel.scheduler.merp.io/{RUN}"
ANNA = '{"by": "anna", "at": "2026-11-25T11:58:03Z"}'
BERT = '{"by": "bert", "at": "2026-11-25T11:58:20Z"}'


async def running() -> World:
    """A run of the native clock that goes on."""
    world = await minutely()
    await world.run_natively("11:58")
    world.cluster.writes.clear()
    return world


def told(world: World, run: str = RUN) -> str | None:
    """What stands on the run's Job of how it was ended."""
    annotations: Json = world.cluster.jobs[KEY[0], run]["metadata"]["annotations"]
    text = annotations.get(names.ANNOTATION_ENDED)
    return None if text is None else str(json.loads(text)["message"])


def asked(world: World) -> list[str]:
    return [name for name in world.cluster.scheduled_jobs[KEY]["metadata"]["annotations"] if name.startswith("cancel.")]


async def test_c37_a_cancelled_run_is_ended_and_the_annotation_goes() -> None:
    world = await running()
    world.edit(annotations={CANCEL: ANNA, "kept": "yes"})
    await world.settle()
    assert told(world) == "cancelled by anna at 2026-11-25T11:58:03Z"
    assert world.cluster.jobs[KEY[0], RUN]["spec"]["activeDeadlineSeconds"] == 0
    assert world.cluster.scheduled_jobs[KEY]["metadata"]["annotations"] == {"kept": "yes"}
    [entry] = world.status["active"]
    assert entry["message"] == "being ended: cancelled by anna at 2026-11-25T11:58:03Z"


async def test_c37_who_cancels_second_changes_nothing() -> None:
    world = await running()
    world.edit(annotations={CANCEL: ANNA})
    await world.settle()
    world.edit(annotations={CANCEL: BERT})
    await world.settle()
    assert told(world) == "cancelled by anna at 2026-11-25T11:58:03Z"
    assert world.cluster.written("end_run") == [RUN]
    assert asked(world) == []
    assert world.cluster.written("create_event") == []


@pytest.mark.parametrize("lifetime", range(4))
async def test_c37_an_operator_that_is_killed_in_between_ends_it_once(lifetime: int) -> None:
    world = await running()
    world.edit(annotations={CANCEL: ANNA})
    world.cluster.lifetime = lifetime
    with contextlib.suppress(Killed):
        await world.settle()
    world.cluster.lifetime = None
    world.start_process()
    await world.settle()
    assert told(world) == "cancelled by anna at 2026-11-25T11:58:03Z"
    # A write that kills is not done, and not listed.
    assert (world.cluster.written("end_run"), asked(world)) == ([RUN], [])


async def test_c37_a_run_that_has_ended_stays_as_it_is_and_that_is_told() -> None:
    world = await minutely()
    await world.run_natively("11:58", "11:58:05")
    world.cluster.writes.clear()
    world.edit(annotations={CANCEL: ANNA})
    await world.settle()
    assert (told(world), asked(world), world.recent) == (None, [], ["11:58:00 success(Completed)"])
    assert world.cluster.written("create_event") == ["NothingToCancel"]


async def test_what_another_run_is_cancelled_for_is_none_of_this_ones() -> None:
    world = await running()
    world.edit(annotations={f"cancel.scheduler.merp.io/{run_at('11:57')}": ANNA})
    await world.settle()
    assert (told(world), asked(world), world.cluster.written("end_run")) == (None, [], [])

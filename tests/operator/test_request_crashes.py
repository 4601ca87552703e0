"""Requests for runs before a played cluster, the operator killed at any write: each says what its run came to."""

from datetime import timedelta

import pytest
from cluster_objects import job_run
from played_cluster import KEY, Json, Killed
from played_operator import World


def asked(**spec: object) -> World:
    """A request for a run of long ago, under a job that keeps so many Jobs that succeeded."""
    world = World("12:00", created="11:00", schedule={"cron": "0 0 1 1 *"}, **spec)
    world.cluster.put(world.cluster.job_runs, job_run(dueTime="2026-01-01T00:00:00Z"))
    world.show()
    return world


async def until_settled(world: World) -> None:
    """Looks, by as many processes as it takes."""
    world.show()
    for _ in range(20):
        try:
            await world.settle()
        except Killed:
            world.cluster.lifetime = None
            world.start_process()
        else:
            return
    raise AssertionError("it is killed again and again")


def told(world: World) -> tuple[str | None, str | None]:
    status: Json = world.cluster.job_runs[KEY[0], "once"]["status"]
    return status.get("verdict"), status.get("reason")


@pytest.mark.parametrize("kept", [pytest.param(3, id="its-job-is-kept"), pytest.param(0, id="its-job-goes-at-once")])
@pytest.mark.parametrize("ends", ["while-the-operator-works", "while-it-is-away"])
async def test_a_request_says_what_its_run_came_to_wherever_the_operator_is_killed(kept: int, ends: str) -> None:
    for lifetime in range(12):
        world = asked(history={"successful": kept})
        world.cluster.lifetime = lifetime
        if ends == "while-it-is-away":
            try:
                await world.settle()
            except Killed:
                world.cluster.lifetime = None
            world.finish_all()
            world.start_process()
        await until_settled(world)
        world.finish_all()
        await until_settled(world)
        assert told(world) == ("success", "Completed"), f"killed at write {lifetime + 1}"
        assert world.recorder.verdicts.popitem()[1] == ["success(Completed)"]
        assert world.recorder.verdicts == {}
        assert len(world.cluster.jobs) == (1 if kept else 0)


async def test_a_request_whose_finished_job_went_while_nobody_looked_says_what_is_remembered() -> None:
    world = asked()
    await world.settle()
    world.finish_all()
    world.show()
    # The ScheduledJob has the verdict, and its request has not yet.
    world.cluster.lifetime = 1
    with pytest.raises(Killed):
        await world.look()
    assert (len(world.recent), told(world)) == (1, (None, None))
    world.cluster.lifetime = None
    world.cluster.jobs.clear()
    world.start_process()
    await world.settle()
    assert told(world) == ("success", "Completed")


@pytest.mark.parametrize("ends", ["with-the-operator-there", "while-it-is-away"])
async def test_a_job_that_is_deleted_by_hand_ends_its_run_as_cancelled(ends: str) -> None:
    world = asked()
    await world.settle()
    assert [entry["state"] for entry in world.status["active"]] == ["waiting"]
    world.cluster.jobs.clear()
    if ends == "while-it-is-away":
        world.start_process()
    world.show()
    await world.settle()
    assert told(world) == ("cancelled", "JobDeleted")
    [entry] = world.status["recent"]
    assert (entry["verdict"], entry["reason"], entry["trigger"]) == ("cancelled", "JobDeleted", "manual")
    assert world.cluster.written("create_event") == ["Ready", "RunCancelled"]
    before = world.status
    world.now += timedelta(seconds=10)
    await world.settle()
    assert world.status == before


async def test_a_run_whose_job_no_watch_shows_yet_is_not_taken_for_deleted() -> None:
    world = asked()
    await world.settle()
    world.watch.jobs._replace((KEY[0], world.status["active"][0]["run"]), None)
    world.reconciler._vanished.clear()
    await world.look()
    assert "recent" not in world.status

"""The reconciler before a cluster whose watches lag, whose writes are refused, and between whose writes it is killed."""

import contextlib
from datetime import timedelta

import pytest
from cluster_objects import scheduled_job
from due_times import at
from played_cluster import KEY, Json, Killed
from played_operator import MINUTELY, World, hourly, minutely, run_at

from merp_crds import names
from merp_crds.schedule import Timetable
from merp_crds.scheduledjob import Schedule
from merp_kube.client import ApiError, Unreachable

FORBIDDEN = ApiError(403, {"reason": "Forbidden", "message": "a policy is against it"})


# What a look finds and does again.


@pytest.mark.parametrize("ended", [None, "11:58:05"], ids=["a-run-goes-on", "a-run-ended"])
async def test_a_second_look_reads_and_writes_nothing(ended: str | None) -> None:
    world = await minutely()
    await world.run_natively("11:58", ended)
    world.cluster.reads.clear()
    world.cluster.writes.clear()
    await world.look()
    assert (world.cluster.reads, world.cluster.writes) == ([], [])


async def test_a_second_look_at_a_job_without_a_schedule_reads_and_writes_nothing() -> None:
    world = World("11:57:40", created="11:57:30", schedule=None)
    await world.settle()
    world.cluster.reads.clear()
    world.cluster.writes.clear()
    await world.look()
    assert (world.cluster.reads, world.cluster.writes) == ([], [])


async def test_a_schedule_that_is_taken_away_takes_the_cron_job_with_it_before_a_watch_has_shown_it() -> None:
    world = World("11:57:40", created="11:57:30", schedule=MINUTELY)
    await world.look()
    body = world.cluster.scheduled_jobs[KEY]
    del body["spec"]["schedule"]
    world.edit(description="by hand")
    assert world.watch.cron_jobs.get(*KEY) is None
    await world.look()
    await world.look()
    assert world.cluster.cron_jobs == {}


async def test_a_new_process_writes_nothing_where_nothing_is_left_to_do() -> None:
    world = await minutely()
    await world.run_natively("11:58", "11:58:05")
    # A process begins with a list, whose items lack what they are.
    for field in ("apiVersion", "kind"):
        del world.cluster.cron_jobs[KEY][field]
    world.start_process()
    world.cluster.writes.clear()
    await world.settle()
    assert world.cluster.writes == []


async def test_a_look_makes_the_cron_job_and_says_when_the_clock_is_to_look() -> None:
    world = World("11:57:40", created="11:57:30", schedule=MINUTELY)
    await world.look()
    assert world.cluster.writes[:2] == [("apply_cron_job", "j"), ("write_status", "j")]
    assert world.status["accounted"]["until"] == "2026-11-25T11:57:30Z"
    assert world.planned == [at("11:58:03")]


async def test_a_due_time_from_the_beginning_of_time_has_a_verdict() -> None:
    world = World("12:00", created="11:59", schedule={"at": "1970-01-01T00:00:00Z"})
    await world.settle()
    assert world.recent == ["00:00:00 missed(TooLate)"]


async def test_no_verdict_is_given_before_its_time_by_the_servers_clock() -> None:
    """This machine's clock is an hour ahead; the answer before the verdict corrects it."""
    world = World("11:00:30", created="11:00:10", schedule={"at": "2026-11-25T12:00:00Z"}, missed={"policy": "Skip"})
    await world.settle()
    world.now, world.cluster.answers_at = at("12:10"), at("11:00:31")
    await world.settle()
    world.cluster.answers_at = None
    assert world.recent == []
    world.now = at("12:00")
    assert await world.clock() == ["12:00:00 schedule"]


async def test_a_run_of_the_operators_comes_into_the_native_clocks_books_and_then_is_its_own() -> None:
    """Before that the native clock would take it for a stranger's, and start its due time again."""
    world = await minutely()
    world.now = at("11:58:05")
    await world.look()
    assert await world.clock() == ["11:58:00 schedule"]
    run = world.cluster.jobs[KEY[0], run_at("11:58")]
    world.show()
    await world.settle()
    books = world.cluster.cron_jobs[KEY]["status"]
    assert books["lastScheduleTime"] == "2026-11-25T11:58:00Z"
    assert [entry["uid"] for entry in books["active"]] == [run["metadata"]["uid"]]
    (owner,) = world.cluster.jobs[KEY[0], run_at("11:58")]["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["controller"]) == ("CronJob", True)
    kinds = [kind for kind, _ in world.cluster.writes if kind in ("keep_books", "hand_over")]
    assert kinds == ["keep_books", "hand_over"]


# Watches that lag.


@pytest.mark.parametrize(
    ("booked", "now"),
    [
        pytest.param(True, "12:00:00.3", id="in-the-books"),
        pytest.param(False, "12:00:03.1", id="the-native-clock-is-still-writing"),
    ],
)
async def test_a_due_time_that_has_its_job_is_no_overlap(booked: bool, now: str) -> None:
    """The run before it ended a second before; neither that nor the new Job is in the cache."""
    world = await minutely()
    await world.run_natively("11:58", ended="11:58:50")
    before = await world.run_natively("11:59")
    world.cluster.finish(before, at("11:59:59"))
    world.now = at("12:00")
    run = world.cluster.start_natively(at("12:00"), booked=booked)
    world.now = at(now)
    world.show(jobs=False)
    await world.look()
    world.now = at("12:00:20")
    world.cluster.finish(run, world.now)
    world.show()
    await world.settle()
    assert world.recorder.verdicts[run] == ["success(Completed)"]
    assert world.recent[-1] == "12:00:00 success(Completed)"


async def test_what_the_cache_lacks_is_not_made_twice() -> None:
    """The native clock made the Job; for as long as no watch tells of it, it looks as if it had not."""
    world = await minutely(concurrencyPolicy="Allow")
    world.now = at("11:58:01")
    run = world.cluster.start_natively(at("11:58"))
    world.now = at("11:58:04")
    await world.look()
    await world.clock()
    assert [name for _, name in world.cluster.jobs] == [run]
    world.show()
    await world.settle()
    assert (await world.clock(), world.recent) == ([], [])


# The end of a CronJob.


async def edited_to_seconds() -> World:
    """The native clock can carry it no longer; it is stopped, and its CronJob is on its way out."""
    world = await minutely()
    world.now = at("11:59:10")
    world.edit(schedule={"intervalSeconds": 45})
    await world.settle(1)
    assert world.cluster.cron_jobs[KEY]["spec"]["suspend"]
    following = Timetable.of(Schedule(interval_seconds=45)).after(world.now)
    assert following is not None
    world.now = following
    return world


async def test_the_cron_job_takes_no_run_with_it_that_was_just_made() -> None:
    world = await edited_to_seconds()
    assert len(await world.clock()) == 1
    # No watch has shown the run when the CronJob would go.
    await world.look()
    await world.settle()
    assert (world.cluster.collected, len(world.cluster.jobs)) == ([], 1)
    world.finish_all()
    world.show()
    await world.settle()
    assert (world.cluster.cron_jobs, world.cluster.collected, len(world.cluster.jobs)) == ({}, [], 1)


async def test_the_cron_job_waits_for_a_run_that_is_being_made() -> None:
    """It was asked for while the CronJob was to stay, and may come to belong to it."""
    world = await edited_to_seconds()
    world.expectations.add(KEY, "j-r-once")
    await world.settle()
    assert world.cluster.written("delete_cron_job") == []
    world.expectations.remove(KEY, "j-r-once")
    await world.settle()
    assert world.cluster.written("delete_cron_job") == ["j"]


async def test_the_cron_job_takes_no_run_with_it_that_the_native_clock_made_last() -> None:
    world = await minutely()
    world.now = at("11:58:00")
    run = world.cluster.start_natively(at("11:58"))
    world.edit(schedule={"intervalSeconds": 45})
    world.show(jobs=False)
    await world.look()
    world.show(jobs=False)
    await world.look()
    assert (KEY in world.cluster.cron_jobs, world.cluster.collected) == (True, [])
    world.show()
    await world.settle()
    world.now = at("11:58:30")
    world.cluster.finish(run, world.now)
    world.show()
    await world.settle()
    assert world.cluster.written("delete_cron_job") == ["j"]
    assert world.recorder.verdicts == {run: ["success(Completed)"]}


async def test_a_run_is_not_given_to_a_cron_job_that_is_gone() -> None:
    world = await edited_to_seconds()
    await world.look()
    assert world.cluster.cron_jobs == {}
    world.show(cron_jobs=False)
    assert len(await world.clock()) == 1
    assert (world.cluster.collected, len(world.cluster.jobs)) == ([], 1)


# Writes that are refused.


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"schedule": {"cron": "0 3 * * *"}}, id="another-schedule"),
        pytest.param({"annotations": {names.ANNOTATION_PAUSED: "{}"}, "task": {"func": "other"}}, id="paused"),
    ],
)
async def test_the_native_clock_starts_nothing_of_before_where_the_change_is_refused(change: Json) -> None:
    world = await minutely()
    world.now = at("11:58:30")
    world.edit(**change)
    world.cluster.faults["apply_cron_job"] = FORBIDDEN
    with pytest.raises(ApiError):
        await world.look()
    assert world.cluster.cron_jobs[KEY]["spec"]["suspend"]
    ready = next(entry for entry in world.status["conditions"] if entry["type"] == "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "CannotApply")


@pytest.mark.parametrize(
    ("field", "reason", "message"),
    [
        pytest.param(
            "spec.timeZone", "InvalidTimeZone", "schedule.timeZone: the cluster does not know it", id="C11-zone"
        ),
        pytest.param("spec.schedule", "InvalidSchedule", "schedule.cron: the cluster does not take it", id="schedule"),
        pytest.param(
            "spec.jobTemplate.spec.template", "InvalidTemplate", "template: CronJob is invalid", id="template"
        ),
    ],
)
async def test_what_the_cluster_does_not_take_is_told_by_its_field(field: str, reason: str, message: str) -> None:
    """A zone that was renamed lately is one of ours, and none of an older cluster's."""
    world = World("11:57:40", created="11:57:30", schedule={"cron": "* * * * *", "timeZone": "Europe/Kyiv"})
    details = {"causes": [{"reason": "FieldValueInvalid", "field": field, "message": "Invalid value"}]}
    body = {"reason": "Invalid", "message": f"CronJob is invalid: {field}", "details": details}
    world.cluster.faults["apply_cron_job"] = ApiError(422, body)
    await world.settle()
    ready = next(entry for entry in world.status["conditions"] if entry["type"] == "Ready")
    assert (ready["status"], ready["reason"]) == ("False", reason)
    assert ready["message"].startswith(message)
    assert f"CronJob is invalid: {field}" in ready["message"]


async def test_the_native_clock_goes_on_where_a_change_is_refused_that_moves_no_due_time() -> None:
    world = await minutely()
    world.now = at("11:58:30")
    world.edit(priority="high", task={"func": "other"})
    world.cluster.faults["apply_cron_job"] = FORBIDDEN
    with pytest.raises(ApiError):
        await world.look()
    assert not world.cluster.cron_jobs[KEY]["spec"]["suspend"]
    assert world.cluster.written("suspend_cron_job") == []


async def test_what_fails_late_in_a_look_leaves_the_clock_planned() -> None:
    """A finished Job cannot be deleted; the due time that follows is started all the same."""
    schedule, history = {"intervalSeconds": 45}, {"successful": 0, "failed": 0}
    world = World("11:00:10", created="11:00:05", schedule=schedule, history=history, concurrencyPolicy="Allow")
    await world.settle()
    due = Timetable.of(Schedule(interval_seconds=45)).after(world.now)
    assert due is not None
    world.now = due
    assert len(await world.clock()) == 1
    world.finish_all()
    world.show()
    await world.settle()
    world.cluster.faults["delete_job"] = FORBIDDEN
    world.now += timedelta(seconds=140)
    with pytest.raises(ApiError):
        await world.look()
    assert len(world.cluster.written("delete_job")) == 1
    assert world.planned == [world.now]


async def test_a_finished_job_is_kept_until_whoever_waits_for_it_has_seen_its_end() -> None:
    schedule, history = {"intervalSeconds": 45}, {"successful": 0, "failed": 0}
    world = World("11:00:10", created="11:00:05", schedule=schedule, history=history)
    down = scheduled_job("down", schedule=None, suspend=True, dependsOn=[{"name": "j"}])
    down["metadata"]["uid"] = "uid-down"
    world.cluster.put(world.cluster.scheduled_jobs, down)
    world.show()
    await world.reconciler.reconcile(("ns", "down"))
    await world.settle()
    due = Timetable.of(Schedule(interval_seconds=45)).after(world.now)
    assert due is not None
    world.now = due
    assert len(await world.clock()) == 1
    world.finish_all()
    world.show()
    await world.settle()
    world.now += timedelta(seconds=140)
    assert await world.look() == 1.0
    assert world.cluster.written("delete_job") == []
    await world.reconciler.reconcile(("ns", "down"))
    await world.look()
    assert len(world.cluster.written("delete_job")) == 1


# A process that ends between two writes.


@pytest.mark.parametrize("writes", range(5))
async def test_a_missed_due_time_is_told_once_whichever_write_was_the_last(writes: int) -> None:
    world = await hourly()
    world.now = at("12:05")
    world.cluster.lifetime = writes
    with contextlib.suppress(Killed):
        await world.settle()
    world.cluster.lifetime = None
    world.now = at("12:06")
    world.start_process()
    await world.settle()
    assert world.recent == ["12:00:00 missed(Outage)"]
    assert world.recorder.verdicts == {run_at("12:00"): ["missed(Outage)"]}
    assert world.cluster.jobs == {}


async def test_a_status_that_cannot_be_written_changes_no_verdict() -> None:
    world = await hourly()
    world.now = at("12:05")
    world.cluster.faults["write_status"] = Unreachable("no answer")
    with pytest.raises(Unreachable):
        await world.look()
    world.cluster.faults.clear()
    world.start_process()
    await world.settle()
    assert world.recent == ["12:00:00 missed(Outage)"]


@pytest.mark.parametrize("writes", range(8))
@pytest.mark.parametrize("forbid", ["Forbid", "Allow"])
async def test_a_run_is_made_once_and_told_once_whichever_write_was_the_last(writes: int, forbid: str) -> None:
    """Killed somewhere between its due time and its verdict, the operator starts anew and goes on."""
    world = World("11:59", created="11:58:30", schedule={"at": "2026-11-25T12:00:00Z"}, concurrencyPolicy=forbid)
    await world.settle()
    world.cluster.lifetime = writes

    async def day() -> None:
        for second in range(0, 40, 5):
            world.now = at("12:00") + timedelta(seconds=second)
            await world.look()
            await world.clock()
            world.show()
            if second == 20:
                world.finish_all()
                world.show()

    with contextlib.suppress(Killed):
        await day()
    world.cluster.lifetime = None
    world.start_process()
    await day()
    await world.settle()
    assert len(set(world.cluster.written("create_job"))) == 1
    assert world.recorder.verdicts == {run_at("12:00"): ["success(Completed)"]}
    assert world.recent == ["12:00:00 success(Completed)"]


async def test_nothing_is_remembered_of_a_job_that_is_gone() -> None:
    """Names that programs make come and go by the thousand."""
    world = await minutely()
    world.watch.scheduled_jobs.remove(world.cluster.scheduled_jobs.pop(KEY))
    await world.look()
    for remembered in ("_uids", "_former", "_rows", "_vanished"):
        assert getattr(world.reconciler, remembered) == {}
    assert not world.statuses.remembers(KEY)

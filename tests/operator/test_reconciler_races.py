"""What happens between two looks, or within one, and between a write and its answer: no run is lost, or told of twice."""

import copy
import json
from datetime import timedelta

import pytest
from cluster_objects import UID, job, job_run, scheduled_job
from due_times import at
from played_cluster import KEY, Json
from played_operator import World, minutely

from merp_crds import names
from merp_crds.common import rfc3339
from merp_kube.client import ApiError, Unreachable

QUOTA = ApiError(403, {"reason": "Forbidden", "message": "exceeded quota"})
ON_U = [{"name": "u"}]


def paused_until(text: str) -> dict[str, str]:
    return {names.ANNOTATION_PAUSED: json.dumps({"until": rfc3339(at(text))})}


def runs(world: World) -> list[str]:
    """The runs of j that exist."""
    return [name for _, name in world.cluster.jobs if name.startswith("j-")]


def succeed_upstream(world: World, ended: str, due: str = "11:59") -> str:
    """A run of u, the job that j waits for, has succeeded. Returns its UID."""
    name = f"u-r-{due.replace(':', '')}"
    item = job(name, uid=f"uid-{name}")
    item["metadata"]["creationTimestamp"] = rfc3339(at(due))
    item["metadata"]["labels"] |= {
        names.LABEL_SCHEDULED_JOB: "u",
        names.LABEL_SCHEDULED_JOB_UID: "uid-u",
        names.LABEL_TRIGGER: "manual",
    }
    item["metadata"]["annotations"] = {names.ANNOTATION_DUE_TIME: rfc3339(at(due))}
    item["metadata"]["ownerReferences"] = [{"kind": "ScheduledJob", "uid": "uid-u", "name": "u"}]
    item["spec"]["suspend"] = False
    condition = {"type": "Complete", "status": "True", "lastTransitionTime": rfc3339(at(ended)), "reason": "Completed"}
    item["status"] = {"conditions": [condition], "completionTime": rfc3339(at(ended))}
    world.cluster.put(world.cluster.jobs, item)
    world.show()
    return f"uid-{name}"


async def waiting_for_u(now: str = "11:50", **spec: object) -> World:
    """j, which waits for u; without a schedule unless `spec` gives it one."""
    world = World(now, created="11:00", **({"schedule": None, "dependsOn": ON_U} | spec))
    upstream = scheduled_job("u", schedule=None)
    upstream["metadata"]["uid"] = "uid-u"
    world.cluster.put(world.cluster.scheduled_jobs, upstream)
    world.show()
    await world.settle()
    return world


# Within one look.


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({"schedule": {"cron": "0 13 * * *"}, "dependsOn": None}, id="on-the-native-clock"),
        pytest.param({}, id="without-a-schedule"),
    ],
)
async def test_a_pause_that_ends_during_a_look_is_looked_at_again(spec: Json) -> None:
    world = await waiting_for_u("11:30", annotations=paused_until("12:00"), **spec)
    world.now = at("12:00") - timedelta(milliseconds=40)
    write = world.cluster._write

    def write_for_a_while(what: str, item: Json) -> None:
        write(what, item)
        world.now += timedelta(milliseconds=60)

    world.cluster._write = write_for_a_while  # type: ignore[method-assign]  # the server's time goes on
    # A look a moment before takes the place of the one that was planned.
    world.edit(description="an edit")
    delay = await world.look()
    assert world.now > at("12:00")
    assert delay is not None
    assert delay < 1


# Between two looks.


@pytest.mark.parametrize("ended", ["12:00:00", "12:00:01", "12:05:00"])
async def test_what_an_upstream_does_after_a_pause_counts_also_where_the_look_is_late(ended: str) -> None:
    world = await waiting_for_u(annotations=paused_until("12:00"))
    world.now = at(ended)
    succeed_upstream(world, ended)
    world.now = at("12:10")
    world.start_process()
    await world.settle()
    assert len(runs(world)) == 1


async def test_what_an_upstream_did_during_a_pause_does_not() -> None:
    world = await waiting_for_u(annotations=paused_until("12:00"))
    world.now = at("11:59:59")
    succeed_upstream(world, "11:59:59")
    world.now = at("12:10")
    world.start_process()
    await world.settle()
    assert runs(world) == []


@pytest.mark.parametrize(
    "looks",
    [pytest.param(0, id="before-anybody-looked"), pytest.param(1, id="before-the-status-may-be-written")],
)
async def test_a_run_that_ended_and_whose_job_goes_at_once_keeps_its_verdict(looks: int) -> None:
    world = await minutely()
    run = await world.run_natively("11:58")
    assert [entry["run"] for entry in world.status["active"]] == [run]
    world.now = at("11:58:10")
    world.cluster.finish(run, world.now)
    world.show()
    for _ in range(looks):
        await world.look(after=0.0)
    del world.cluster.jobs[KEY[0], run]
    world.show()
    await world.settle()
    assert world.recent == ["11:58:00 success(Completed)"]
    assert world.recorder.verdicts == {run: ["success(Completed)"]}


async def test_so_does_its_request() -> None:
    world = World("12:00:10", created="11:00", schedule=None)
    await world.settle()
    world.cluster.put(world.cluster.job_runs, job_run("once"))
    world.show()
    await world.settle()
    [run] = runs(world)
    world.now = at("12:00:20")
    world.cluster.finish(run, world.now)
    world.show()
    del world.cluster.jobs[KEY[0], run]
    world.show()
    await world.settle()
    assert world.cluster.job_runs["ns", "once"]["status"]["verdict"] == "success"
    assert world.recorder.verdicts == {run: ["success(Completed)"]}


# A write whose answer is lost, and that did not come to anything.


async def withdrawn(world: World) -> None:
    """Nobody hears of the creation of a request's run, and the request is taken back."""
    world.cluster.put(world.cluster.job_runs, job_run("once"))
    world.show()
    world.cluster.faults["create_job"] = Unreachable("gone")
    with pytest.raises(Unreachable):
        await world.look()
    del world.cluster.faults["create_job"]
    world.watch.job_runs.remove(world.cluster.job_runs.pop(("ns", "once")))


async def test_a_run_that_was_perhaps_not_made_holds_up_no_due_time() -> None:
    world = World("12:00:10", created="11:00", schedule={"cron": "1 * * * *"}, missed={"policy": "Skip"})
    await world.settle()
    await withdrawn(world)
    world.now = at("12:01:04")
    await world.settle()
    assert await world.clock() == ["12:01:00 schedule"]


async def test_nor_what_dependencies_bring() -> None:
    world = await waiting_for_u()
    await withdrawn(world)
    world.now = at("12:05")
    succeed_upstream(world, "12:05")
    await world.settle()
    assert len(runs(world)) == 1


# What Kubernetes refuses.


async def test_a_refused_run_of_dependencies_holds_up_nothing_else_and_is_told() -> None:
    world = await waiting_for_u()
    world.now = at("12:05")
    succeed_upstream(world, "12:05")
    await world.settle()
    [run] = runs(world)
    world.cluster.jobs[KEY[0], run]["spec"]["suspend"] = False
    world.now = at("12:06")
    world.cluster.finish(run, world.now)
    world.cluster.faults["create_job"] = QUOTA
    upstream_run = succeed_upstream(world, "12:06", due="12:04")
    await world.settle()
    assert world.recorder.verdicts == {run: ["success(Completed)"]}
    assert on_schedule(world) == ("False", "CannotStart")
    assert world.reconciler._looks.are_past(upstream_run, [KEY])
    # A quota that is raised tells nobody.
    assert 0 < (await world.look() or 0) <= 31
    del world.cluster.faults["create_job"]
    await world.settle()
    assert len(runs(world)) == 2
    assert on_schedule(world) is None


async def test_a_waiting_run_that_may_not_go_on_is_told() -> None:
    world = World("12:00:10", created="11:00", schedule={"cron": "0 12 * * *"}, concurrencyPolicy="Queue")
    await world.settle()
    run = world.cluster.start_natively(at("12:00"))
    world.show()
    world.cluster.faults["release"] = QUOTA
    await world.settle()
    [entry] = world.status["active"]
    assert entry["run"] == run
    assert entry["message"] == "waiting to be let go, which is refused: exceeded quota"
    assert on_schedule(world) == ("False", "CannotStart")
    del world.cluster.faults["release"]
    await world.settle()
    assert on_schedule(world) == ("True", "OnSchedule")


async def test_a_dependent_whose_cron_job_is_refused_has_seen_its_upstreams() -> None:
    world = await waiting_for_u("11:57", schedule={"cron": "* * * * *"})
    world.now = at("11:57:10")
    upstream_run = succeed_upstream(world, "11:57:10")
    world.cluster.faults["apply_cron_job"] = QUOTA
    world.edit(schedule={"cron": "*/2 * * * *"})
    for _ in range(3):
        with pytest.raises(ApiError):
            await world.look()
        world.show()
    assert world.reconciler._looks.are_past(upstream_run, [KEY])


def on_schedule(world: World) -> tuple[str, str] | None:
    for entry in world.status["conditions"]:
        if entry["type"] == "OnSchedule":
            return entry["status"], entry["reason"]
    return None


# A request that is made again under its old name, of which kopf may tell in another order.


async def test_a_request_made_anew_under_its_name_is_the_one_that_runs() -> None:
    world = World("12:00:10", created="11:00", schedule=None)
    await world.settle()
    old = job_run("once")
    world.watch.job_runs.put(old)
    new = copy.deepcopy(old)
    new["metadata"]["uid"] = "new"
    world.watch.job_runs.put(world.cluster.put(world.cluster.job_runs, new))
    gone = copy.deepcopy(old)
    gone["metadata"]["resourceVersion"] = "99"
    world.watch.job_runs.remove(gone)
    await world.settle()
    assert runs(world) == [names.run_name_for_request("j", "new", None)]


async def test_one_made_anew_for_another_job_is_asked_of_that_one_alone() -> None:
    world = World("12:00:10", created="11:00", schedule=None)
    await world.settle()
    world.watch.job_runs.put(job_run("once"))
    new = job_run("once")
    new["metadata"] |= {"uid": "new", "resourceVersion": "400"}
    new["spec"]["scheduledJob"] = "u"
    world.watch.job_runs.put(new)
    assert (world.watch.requests_of("ns", "j"), world.watch.requests_of("ns", "u")) == ([], [new])
    await world.settle()
    assert runs(world) == []


# What anybody may write.

NONSENSE = [
    pytest.param("no JSON", id="no-json"),
    pytest.param("[" * 100_000, id="nested-too-deeply-to-be-read"),
    pytest.param("[" * 900 + "]" * 900, id="nested-deeply"),
    pytest.param(json.dumps({field: [5] for field in ("until", "at", "by", "reason", "verdict", "func")}), id="lists"),
]


@pytest.mark.parametrize("text", NONSENSE)
async def test_nonsense_in_annotations_of_the_job_stops_nobody(text: str) -> None:
    world = await minutely(annotations={names.ANNOTATION_PAUSED: text, f"{names.ANNOTATION_CANCEL_PREFIX}x": text})
    paused = next(entry for entry in world.status["conditions"] if entry["type"] == "Paused")
    assert (paused["status"], paused["reason"]) == ("True", "PausedByAnnotation")


@pytest.mark.parametrize("text", NONSENSE)
async def test_nonsense_in_annotations_of_a_run_stops_nobody(text: str) -> None:
    world = await minutely()
    run = await world.run_natively("11:58")
    written = (names.ANNOTATION_OPENED_BY, names.ANNOTATION_ENDED)
    world.cluster.jobs[KEY[0], run]["metadata"]["annotations"] |= dict.fromkeys(written, text)
    template = world.cluster.jobs[KEY[0], run]["spec"]["template"]
    template.setdefault("metadata", {}).setdefault("annotations", {})[names.ANNOTATION_TASK] = text
    world.now = at("11:58:10")
    world.cluster.finish(run, world.now)
    world.show()
    await world.settle()
    assert world.recent == ["11:58:00 success(Completed)"]
    assert world.recorder.verdicts == {run: ["success(Completed)"]}


# Between two processes.


@pytest.mark.parametrize("how", ["gone", "on-its-way-out", "made-anew"])
async def test_what_ends_with_its_scheduled_job_after_a_new_process_began_has_a_verdict(how: str) -> None:
    """Its pods need their grace period to go, and the operator is killed in it."""
    world = await minutely()
    run = await world.run_natively("11:58")
    body = world.cluster.scheduled_jobs.pop(KEY)
    if how == "on-its-way-out":
        body["metadata"]["deletionTimestamp"] = rfc3339(world.now)
        world.cluster.put(world.cluster.scheduled_jobs, body)
    if how == "made-anew":
        body["metadata"]["uid"] = "uid-anew"
        del body["status"]
        world.cluster.put(world.cluster.scheduled_jobs, body)
    world.start_process()
    await world.look()
    del world.cluster.jobs[KEY[0], run]
    if how == "on-its-way-out":
        world.watch.scheduled_jobs.remove(body)
        del world.cluster.scheduled_jobs[KEY]
    world.show()
    await world.look()
    assert world.recorder.verdicts == {run: ["cancelled(ScheduledJobDeleted)"]}
    # One that was gone before is found by comparing with the database.
    assert world.recorder.deleted == ([UID] if how == "on-its-way-out" else [])


async def test_a_run_whose_job_goes_before_the_first_look_of_a_new_process_keeps_its_verdict() -> None:
    world = await minutely()
    run = await world.run_natively("11:58")
    world.now = at("11:58:10")
    world.cluster.finish(run, world.now)
    world.start_process()
    del world.cluster.jobs[KEY[0], run]
    world.show()
    await world.settle()
    assert world.recent == ["11:58:00 success(Completed)"]
    assert world.recorder.verdicts == {run: ["success(Completed)"]}


@pytest.mark.parametrize(
    ("schedule", "started"),
    [
        pytest.param({"cron": "0 * * * *"}, "11:00:00 schedule", id="native"),
        pytest.param({"at": "2026-11-25T11:00:00Z"}, "11:00:00 schedule", id="operator"),
    ],
)
async def test_what_is_due_while_the_cron_job_of_the_one_before_goes_is_started(schedule: Json, started: str) -> None:
    """`kubectl replace --force` makes a job anew at once, and the garbage collector comes later."""
    world = World("10:59:50", created="10:59:50", schedule={"cron": "0 * * * *"})
    await world.settle()
    before = copy.deepcopy(world.cluster.scheduled_jobs.pop(KEY))
    world.watch.scheduled_jobs.remove(before)
    anew = scheduled_job(schedule=schedule)
    anew["metadata"] |= {"uid": "anew", "creationTimestamp": rfc3339(at("10:59:58"))}
    world.cluster.put(world.cluster.scheduled_jobs, anew)
    world.now = at("10:59:59")
    world.start_process()
    await world.settle()
    ready = next(entry for entry in world.status["conditions"] if entry["type"] == "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "CannotApply")
    world.now = at("11:00:05")
    await world.settle(1)
    assert await world.clock() == [started]
    # It goes at last, and what it owns.
    del world.cluster.cron_jobs[KEY]
    world.cluster._collect()
    world.show()
    await world.settle()
    assert world.cluster.collected == []
    world.finish_all()
    world.show()
    await world.settle()
    assert world.recent == ["11:00:00 success(Completed)"]
    ready = next(entry for entry in world.status["conditions"] if entry["type"] == "Ready")
    assert ready["status"] == "True"

"""What the operator does at the gate of one ScheduledJob."""

import json

from cluster_objects import complete, job, scheduled_job
from due_times import at
from played_cluster import KEY
from played_operator import World, run_at

from merp_crds import names
from merp_crds.common import rfc3339

UP = [{"name": "up"}]


async def waiting() -> World:
    """A job of every minute that waits for a job which does not exist; its run of noon was made natively."""
    world = World("11:59", created="11:58", schedule={"cron": "* * * * *"}, dependsOn=UP)
    await world.settle()
    await world.run_natively("12:00")
    return world


async def test_a_run_waits_suspended_and_says_for_what() -> None:
    world = await waiting()
    assert world.cluster.jobs[KEY[0], run_at("12:00")]["spec"]["suspend"] is True
    assert world.cluster.cron_jobs[KEY]["spec"]["concurrencyPolicy"] == "Allow"
    [entry] = world.status["active"]
    assert (entry["run"], entry["state"]) == (run_at("12:00"), "waiting")
    assert entry["message"] == "waiting for up: does not exist"
    [condition] = [entry for entry in world.status["conditions"] if entry["type"] == "OnSchedule"]
    assert (condition["reason"], condition["message"]) == ("UpstreamCannotRun", "dependsOn: up: does not exist")


async def test_a_second_look_at_what_waits_writes_nothing() -> None:
    world = await waiting()
    before = list(world.cluster.writes)
    await world.settle()
    assert world.cluster.writes == before


async def test_what_waits_is_let_go_when_the_job_waits_for_nothing_any_more() -> None:
    world = await waiting()
    world.edit(dependsOn=[])
    await world.settle()
    assert world.cluster.written("release") == [run_at("12:00")]
    assert world.cluster.jobs[KEY[0], run_at("12:00")]["spec"]["suspend"] is False


async def test_what_is_cancelled_is_not_let_go_when_its_gate_opens() -> None:
    world = await waiting()
    run = run_at("12:00")
    world.edit(dependsOn=[], annotations={f"{names.ANNOTATION_CANCEL_PREFIX}{run}": ""})
    await world.settle()
    assert (world.cluster.written("release"), world.cluster.written("end_run")) == ([], [run])
    told = json.loads(world.cluster.jobs[KEY[0], run]["metadata"]["annotations"][names.ANNOTATION_ENDED])
    assert (told["verdict"], told["reason"]) == ("cancelled", "CancelledByUser")
    assert world.cluster.scheduled_jobs[KEY]["metadata"]["annotations"] == {}


async def test_a_wait_that_is_too_long_ends_as_the_policy_says() -> None:
    world = World(
        "11:59",
        created="11:58",
        schedule={"cron": "* * * * *"},
        dependsOn=UP,
        dependencyPolicy={"timeoutSeconds": 30, "onTimeout": "Skip"},
    )
    await world.settle()
    await world.run_natively("12:00")
    world.now = at("12:00:40")
    await world.settle(1)
    job = world.cluster.jobs[KEY[0], run_at("12:00")]
    told = json.loads(job["metadata"]["annotations"][names.ANNOTATION_ENDED])
    assert (told["verdict"], told["reason"]) == ("skipped", "DependencyTimeout")
    assert told["message"] == "waited 30s for up: does not exist"


async def test_a_name_that_something_else_has_holds_up_its_own_run_alone_and_is_told() -> None:
    world = World("12:00:30", created="11:58", schedule=None, dependsOn=UP)
    upstream = scheduled_job("up")
    upstream["metadata"]["uid"] = "uid-up"
    world.cluster.put(world.cluster.scheduled_jobs, upstream)
    await world.settle()
    for number in (0, 10):
        due = {names.ANNOTATION_DUE_TIME: rfc3339(at(f"12:00:{number:02}"))}
        labels = {names.LABEL_SCHEDULED_JOB: "up", names.LABEL_SCHEDULED_JOB_UID: "uid-up"}
        run = job(
            f"up-{number}", uid=f"up-{number}", annotations=due, labels=labels, controller="uid-up", status=complete()
        )
        world.cluster.put(world.cluster.jobs, run)
    taken = names.run_name_for_request("j", "up/up-0", at("12:00:00"))
    world.cluster.put(world.cluster.jobs, {"metadata": {"namespace": "ns", "name": taken}, "spec": {"template": {}}})
    world.show()
    await world.settle()
    other = names.run_name_for_request("j", "up/up-10", at("12:00:10"))
    assert {name for _, name in world.cluster.jobs if name.startswith("j-")} == {taken, other}
    [condition] = [entry for entry in world.status["conditions"] if entry["type"] == "OnSchedule"]
    text = f"a Job {taken} exists and is not of this ScheduledJob: delete it, and this runs"
    assert (condition["reason"], condition["message"]) == ("CannotStart", text)
    assert world.expectations.of(KEY, ()) == ()

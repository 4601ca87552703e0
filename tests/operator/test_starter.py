"""What the second clock does for one ScheduledJob: which runs it finds due, and what it makes of them."""

from datetime import timedelta
from typing import Any

import pytest
from cluster_objects import UID, job
from due_times import at
from played_cluster import KEY, Json
from played_operator import World

from merp_crds import names
from merp_crds.common import rfc3339
from merp_kube.client import ApiError, Unreachable

ONCE = {"at": "2026-11-25T12:00:00Z"}
DUE = at("12:00")
RUN = names.run_name_for_due_time("j", DUE)
PAUSED = {names.ANNOTATION_PAUSED: "{}"}


async def world(schedule: Json | None = None, **spec: Any) -> World:
    """A job that was looked at before noon, and that is due at noon: now."""
    found = World("11:58", created="11:50", schedule=schedule or ONCE, **spec)
    await found.settle()
    found.now = DUE
    return found


def on_its_way_out(found: World) -> None:
    body = found.watch.scheduled_jobs.get(*KEY)
    assert body is not None
    body["metadata"]["deletionTimestamp"] = rfc3339(DUE)


def gone(found: World) -> None:
    body = found.watch.scheduled_jobs.get(*KEY)
    assert body is not None
    found.watch.scheduled_jobs.remove(body)


def with_status(**fields: Any) -> Any:
    def change(found: World) -> None:
        body = found.cluster.scheduled_jobs[KEY]
        status = {**body["status"], **fields}
        found.cluster.put(found.cluster.scheduled_jobs, body | {"status": {k: v for k, v in status.items() if v}})
        found.show()

    return change


def ready(status: str, reason: str) -> Json:
    moment = rfc3339(at("11:58"))
    return {"type": "Ready", "status": status, "reason": reason, "message": "", "lastTransitionTime": moment}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param(lambda _: None, ["12:00:00 schedule"], id="due"),
        pytest.param(lambda found: setattr(found, "now", at("11:59:59")), [], id="does-nothing-before-it-is-due"),
        pytest.param(gone, [], id="gone"),
        pytest.param(on_its_way_out, [], id="on-its-way-out"),
        pytest.param(lambda found: found.edit(task={"func": "other"}), [], id="edited-and-not-looked-at-yet"),
        pytest.param(lambda found: found.edit(priority=7), [], id="edited-to-what-cannot-be-read"),
        pytest.param(lambda found: found.edit(annotations=PAUSED), [], id="paused-and-not-looked-at-yet"),
        pytest.param(with_status(accounted=None), [], id="not-accounted-for-yet"),
        pytest.param(with_status(conditions=None), [], id="said-nothing-of-yet"),
        pytest.param(with_status(conditions=[ready("False", "UnknownTask")]), [], id="not-good"),
        pytest.param(
            with_status(conditions=[ready("False", "CannotApply")]), ["12:00:00 schedule"], id="refused-by-the-world"
        ),
    ],
)
async def test_what_is_due(change: Any, expected: list[str]) -> None:
    found = await world()
    change(found)
    assert await found.clock() == expected
    assert found.cluster.written("create_job") == [RUN] * len(expected)


async def test_a_run_is_made_once_though_no_watch_shows_it() -> None:
    found = await world()
    assert await found.clock() == ["12:00:00 schedule"]
    found.now += timedelta(seconds=5)
    assert await found.clock() == []
    found.show()
    assert await found.clock() == []
    assert list(found.cluster.jobs) == [(KEY[0], RUN)]


async def test_a_run_that_was_made_and_never_shown_is_expected_for_a_minute() -> None:
    """Made, and deleted before a watch told of it."""
    found = await world()
    await found.clock()
    del found.cluster.jobs[KEY[0], RUN]
    found.seconds += 59
    assert await found.clock() == []
    found.seconds += 2
    assert await found.clock() == ["12:00:00 schedule"]


def edited(found: World) -> None:
    body = found.cluster.scheduled_jobs[KEY]
    metadata = body["metadata"] | {"generation": 2}
    found.cluster.put(found.cluster.scheduled_jobs, body | {"metadata": metadata})


def paused(found: World) -> None:
    body = found.cluster.scheduled_jobs[KEY]
    found.cluster.put(found.cluster.scheduled_jobs, body | {"metadata": body["metadata"] | {"annotations": PAUSED}})


def made_anew(found: World) -> None:
    body = found.cluster.scheduled_jobs[KEY]
    found.cluster.put(
        found.cluster.scheduled_jobs, body | {"metadata": body["metadata"] | {"uid": "another"}, "status": {}}
    )


def deleted(found: World) -> None:
    del found.cluster.scheduled_jobs[KEY]


@pytest.mark.parametrize("change", [edited, paused, made_anew, deleted])
async def test_nothing_is_made_of_what_changed_unseen_and_it_is_seen_then(change: Any) -> None:
    found = await world()
    change(found)
    assert await found.clock() == ["12:00:00 schedule"]
    assert found.cluster.written("create_job") == []
    # The event may be late, or never come: nobody may try again and again meanwhile.
    assert await found.clock() == []
    assert found.watch.scheduled_jobs.get(*KEY) == found.cluster.scheduled_jobs.get(KEY)


async def test_nothing_is_made_before_it_is_due_by_the_servers_clock() -> None:
    """This machine's clock is ahead by half a minute; the answer to the read before the start says so."""
    found = await world()
    found.cluster.answers_at = at("11:59:30")
    assert await found.clock() == ["12:00:00 schedule"]
    assert found.cluster.written("create_job") == []
    assert found.now == at("11:59:30")
    found.cluster.answers_at = None
    assert await found.clock() == []


async def test_a_due_time_that_was_skipped_while_its_start_waited_is_not_started() -> None:
    """Where hundreds are due at once a start waits for its place, and others look meanwhile."""
    found = await world()
    (due,) = found.starter.due(KEY)
    found.cluster.put(found.cluster.jobs, job("j-r-1", annotations={}, labels={names.LABEL_TRIGGER: "manual"}))
    found.show()
    await found.settle()
    assert found.recent == ["12:00:00 skipped(Overlap)"]
    await found.starter.start(due)
    assert found.cluster.written("create_job") == []


def foreign(found: World) -> None:
    """Somebody's own Job under the name."""
    found.cluster.put(found.cluster.jobs, {"metadata": {"name": RUN, "namespace": KEY[0], "labels": {}}, "spec": {}})


def by_hand(found: World) -> None:
    """As `kubectl create job --from=cronjob/j` makes it: ours by its labels."""
    found.cluster.put(found.cluster.jobs, job(RUN, annotations={"cronjob.kubernetes.io/instantiate": "manual"}))


@pytest.mark.parametrize("occupy", [foreign, by_hand])
async def test_a_due_time_whose_name_is_taken_is_tried_once_and_skipped(occupy: Any) -> None:
    found = await world()
    occupy(found)
    assert await found.clock() == ["12:00:00 schedule"]
    assert await found.clock() == []
    found.show()
    assert await found.clock() == []
    await found.settle()
    assert found.recent == ["12:00:00 skipped(NameTaken)"]


async def test_a_run_that_another_process_made_is_the_run() -> None:
    found = await world()
    await found.clock()
    # The next process has a picture from before.
    made = found.cluster.jobs.pop((KEY[0], RUN))
    found.start_process()
    found.cluster.jobs[KEY[0], RUN] = made
    assert await found.clock() == ["12:00:00 schedule"]
    assert (found.cluster.written("create_job"), len(found.cluster.jobs)) == ([RUN, RUN], 1)
    assert await found.clock() == []
    found.show()
    await found.settle()
    assert found.recent == []


@pytest.mark.parametrize(
    ("error", "refused"),
    [
        pytest.param(
            ApiError(403, {"message": "exceeded quota"}), f"the run of {RUN} is refused: exceeded quota", id="quota"
        ),
        pytest.param(ApiError(400, {"message": "no"}), f"the run of {RUN} is refused: no", id="malformed"),
        pytest.param(ApiError(422, {"message": "no"}), f"the run of {RUN} is refused: no", id="invalid"),
        pytest.param(ApiError(500, {"message": "no"}), "", id="server-error"),
        pytest.param(ApiError(409, {"message": "no"}), "", id="conflict"),
        pytest.param(Unreachable("no answer"), "", id="unreachable"),
    ],
)
async def test_a_start_that_fails_is_raised_and_still_due(error: Exception, refused: str) -> None:
    found = await world()
    found.cluster.faults["create_job"] = error
    with pytest.raises(type(error), match=str(error)):
        await found.clock()
    assert found.starter.refused(UID) == refused
    assert len(found.starter.due(KEY)) == 1
    assert found.expectations.of(KEY, []) == ()
    del found.cluster.faults["create_job"]
    assert await found.clock() == ["12:00:00 schedule"]
    assert found.starter.refused(UID) == ""


async def test_what_is_remembered_of_a_job_goes_with_it() -> None:
    found = await world()
    found.cluster.faults["create_job"] = ApiError(403, {"message": "exceeded quota"})
    with pytest.raises(ApiError):
        await found.clock()
    found.starter.forget(UID)
    assert found.starter.refused(UID) == ""

"""JobRuns for one run: what each becomes, and that it stays so."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cluster_objects import NOW, UID, complete, failed, job, job_run, scheduled_job

from merp_crds import names
from merp_crds.common import rfc3339
from merp_crds.reasons import Reason, Trigger, Verdict
from merp_crds.scheduledjob import Task
from merp_operator import backfill, cancel, jobrun_status, observe, records, requests
from merp_operator.desired import Defaults
from merp_operator.observe import Observed, Request, read_run
from merp_operator.outcome import judge

Json = dict[str, Any]
DEFAULTS = Defaults(image="tasks:1", time_zone="UTC")
DUE = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
TOO_OLD = "j-29000000"


def seen(request: Json, *jobs: Json, body: Json | None = None) -> Observed:
    return observe.observe(body or scheduled_job(), None, [(entry, []) for entry in jobs], [request])


def answers(observed: Observed) -> list[requests.Answer]:
    assert observed.spec is not None
    return requests.answers(observed, observed.spec, DEFAULTS)


def created(observed: Observed) -> Json:
    [answer] = answers(observed)
    assert isinstance(answer, requests.Create), answer
    return answer.job


def task_of(found: Json) -> Json:
    told: Json = json.loads(found["spec"]["template"]["metadata"]["annotations"][names.ANNOTATION_TASK])
    return told


def earlier(task: Json | None = None, status: Json | None = None) -> Json:
    """A run of the schedule of days ago, with the parameters that it had."""
    found = job(
        "j-29919600", annotations={names.ANNOTATION_DUE_TIME: rfc3339(DUE)}, status=complete() if status is None else status
    )  # fmt: skip
    if task is not None:
        found["spec"]["template"]["metadata"]["annotations"][names.ANNOTATION_TASK] = json.dumps(task)
    return found


@pytest.mark.parametrize(
    ("spec", "due_time"),
    [
        pytest.param({}, "2026-11-25T11:59:00Z", id="its-creation"),
        pytest.param({"dueTime": "2026-11-24T00:00:00Z"}, "2026-11-24T00:00:00Z", id="what-is-given"),
        pytest.param({"dueTime": "2026-11-24T08:00:00.5+08:00"}, "2026-11-24T00:00:00Z", id="whole-seconds-utc"),
        pytest.param({"dueTime": "2027-01-01T00:00:00Z"}, "2027-01-01T00:00:00Z", id="one-to-come-runs-now"),
    ],
)
def test_the_due_time_of_a_run_by_hand(spec: Json, due_time: str) -> None:
    observed = seen(job_run(**spec))
    found = created(observed)
    assert found["metadata"]["annotations"][names.ANNOTATION_DUE_TIME] == due_time
    assert found["metadata"]["labels"][names.LABEL_TRIGGER] == "manual"
    assert created(observed) == found
    told = jobrun_status.accepted(observed, observed.requests[0], None, NOW)
    assert (told["run"], told["dueTime"]) == (found["metadata"]["name"], due_time)
    assert told["executionId"] == names.execution_id(UID, told["run"])


@pytest.mark.parametrize(
    ("spec", "jobs", "expected"),
    [
        pytest.param({}, [earlier({"func": "echo", "args": ["old"], "kwargs": {"a": 1}})],
                     {"func": "echo", "args": ["old"], "kwargs": {"a": 1}}, id="those-of-the-earlier-run"),
        pytest.param({"args": ["new"]}, [earlier({"func": "echo", "args": ["old"], "kwargs": {"a": 1}})],
                     {"func": "echo", "args": ["new"], "kwargs": {"a": 1}}, id="what-the-request-gives-comes-first"),
        pytest.param({}, [], {"func": "echo", "args": ["own"], "kwargs": {}}, id="its-job-is-gone"),
        pytest.param({}, [earlier({"func": "other", "args": ["old"], "kwargs": {}})],
                     {"func": "echo", "args": ["own"], "kwargs": {}}, id="another-function"),
        pytest.param({}, [earlier({"nonsense": 1})], {"func": "echo", "args": ["own"], "kwargs": {}}, id="no-task"),
    ],
)  # fmt: skip
def test_a_rerun_has_the_due_time_and_the_parameters_of_the_run(spec: Json, jobs: list[Json], expected: Json) -> None:
    body = scheduled_job(
        task={"func": "echo", "args": ["own"]},
        status={"recent": [{"run": "j-29919600", "verdict": "failed", "dueTime": rfc3339(DUE)}]},
    )
    found = created(seen(job_run(run="j-29919600", **spec), *jobs, body=body))
    assert task_of(found) == expected
    assert found["metadata"]["annotations"][names.ANNOTATION_DUE_TIME] == rfc3339(DUE)
    assert found["metadata"]["labels"][names.LABEL_TRIGGER] == "retry"
    assert found["metadata"]["name"] == names.run_name_for_request("j", "uid-once", DUE)


def test_a_rerun_of_what_nobody_knows_is_refused_with_the_remedy() -> None:
    [answer] = answers(seen(job_run(run=TOO_OLD), earlier()))
    assert isinstance(answer, requests.Invalid)
    assert answer.message == f"run: j has no run {TOO_OLD} that is still known: give its due time as dueTime"


@pytest.mark.parametrize(
    ("due", "message"),
    [
        pytest.param(NOW + timedelta(days=366), None, id="a-year-ahead"),
        pytest.param(
            datetime(2999, 1, 1, tzinfo=UTC),
            "dueTime: 2999-01-01T00:00:00Z is more than 366 days ahead: correct it",
            id="so-far-ahead-that-every-window-would-have-it",
        ),
    ],
)
def test_how_far_ahead_a_run_may_stand_for_a_moment(due: datetime, message: str | None) -> None:
    request = job_run(dueTime=rfc3339(due))
    request["metadata"]["creationTimestamp"] = rfc3339(NOW)
    [answer] = answers(seen(request))
    assert (answer.message if isinstance(answer, requests.Invalid) else None) == message


@pytest.mark.parametrize(
    ("jobs", "args"),
    [
        pytest.param([], ["own"], id="nobody-knows-the-run"),
        pytest.param([earlier({"func": "echo", "args": ["old"], "kwargs": {}})], ["old"], id="its-job-is-there"),
    ],
)
def test_a_rerun_with_a_due_time_is_for_that_one(jobs: list[Json], args: list[str]) -> None:
    body = scheduled_job(task={"func": "echo", "args": ["own"]})
    request = job_run(run="j-29919600", dueTime="2026-11-19T00:00:00Z")
    found = created(seen(request, *jobs, body=body))
    assert found["metadata"]["annotations"][names.ANNOTATION_DUE_TIME] == "2026-11-19T00:00:00Z"
    assert found["metadata"]["labels"][names.LABEL_TRIGGER] == "retry"
    assert found["metadata"]["name"] == names.run_name_for_request("j", "uid-once", datetime(2026, 11, 19, tzinfo=UTC))
    assert task_of(found)["args"] == args


def test_a_rerun_stays_what_it_is_when_the_earlier_run_is_forgotten() -> None:
    request = job_run(run="j-29919600")
    made = created(seen(request, earlier()))
    shown = job(made["metadata"]["name"], annotations=made["metadata"]["annotations"],
                labels={names.LABEL_JOB_RUN: "once", names.LABEL_TRIGGER: "retry"})  # fmt: skip
    # An operator was killed between the Job and the JobRun's status, and the earlier run went meanwhile.
    again = seen(request, shown)
    assert created(again)["metadata"]["name"] == made["metadata"]["name"]
    told = jobrun_status.accepted(again, again.requests[0], None, NOW)
    # And the Job of the rerun itself is gone.
    later = seen(request | {"status": told})
    assert jobrun_status.accepted(later, later.requests[0], None, NOW) == told
    assert answers(later) == []


@pytest.mark.parametrize("own", ["Forbid", "Allow", "Queue", "Replace"])
@pytest.mark.parametrize("asked", [None, "Forbid", "Allow", "Queue", "Replace"])
def test_a_request_does_not_run_beside_another_run_by_a_policy_that_only_its_job_can_have(
    own: str, asked: str | None
) -> None:
    given = {} if asked is None else {"concurrencyPolicy": asked}
    [answer] = answers(seen(job_run(**given), job(), body=scheduled_job(concurrencyPolicy=own)))
    if asked in ("Queue", "Replace") and asked != own:
        assert isinstance(answer, requests.Invalid)
        assert answer.message.startswith("concurrencyPolicy: ")
    elif "Forbid" in (asked, own) and asked != "Allow":
        assert isinstance(answer, requests.Refuse)
        assert answer.reason is Reason.OVERLAP
    else:
        assert isinstance(answer, requests.Create)
        assert answer.job["spec"].get("suspend", False) == (own in ("Queue", "Replace"))


def test_a_rerun_of_what_still_runs_is_an_overlap() -> None:
    [answer] = answers(seen(job_run(run="j-29919600"), earlier(status={})))
    assert isinstance(answer, requests.Refuse)
    assert (answer.reason, answer.verdict) == (Reason.OVERLAP, Verdict.SKIPPED)


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({}, id="one-run"),
        pytest.param({"backfill": {"start": "2026-11-20T00:00:00Z", "end": "2026-11-21T00:00:00Z"}}, id="backfill"),
    ],
)
def test_a_request_that_is_deleted_asks_for_nothing_while_a_finalizer_keeps_it(spec: Json) -> None:
    request = job_run(**spec)
    request["metadata"] |= {"deletionTimestamp": rfc3339(NOW), "finalizers": ["example.com/audit"]}
    observed = seen(request)
    assert (answers(observed), backfill.is_open(observed.requests[0])) == ([], False)


def test_a_run_that_no_watch_has_shown_yet_is_an_overlap() -> None:
    observed = observe.observe(scheduled_job(), None, [], [job_run()], expected=(("j-r-coming", None),))
    [answer] = answers(observed)
    assert isinstance(answer, requests.Refuse)
    assert answer.message == "j-r-coming is not finished, and overlap is forbidden"


def cancelled(value: str = '{"by": "anna", "at": "2026-11-25T12:00:00Z"}', name: str = "once") -> Json:
    return scheduled_job(annotations={f"cancel.scheduler.merp.io/{name}": value})


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("once", id="by-its-own-name"),
        pytest.param(names.run_name_for_request("j", "uid-once", None), id="C37-by-the-name-of-the-run-to-come"),
    ],
)
def test_a_request_that_is_cancelled_before_it_runs_never_runs(name: str) -> None:
    observed = seen(job_run(), body=cancelled(name=name))
    meant = requests.meant_by(observed, name)
    assert meant is not None
    assert meant.name == "once"
    [answer] = answers(observed)
    assert isinstance(answer, requests.Refuse)
    assert (answer.verdict, answer.reason, answer.message) == (
        Verdict.CANCELLED,
        Reason.CANCELLED_BY_USER,
        "cancelled by anna at 2026-11-25T12:00:00Z before it ran",
    )
    assert requests.withdrawn(observed) == [answer]


@pytest.mark.parametrize(
    "observed",
    [
        pytest.param(seen(job_run()), id="nothing-is-cancelled"),
        pytest.param(
            seen(job_run(dueTime=rfc3339(DUE)), body=cancelled(name=names.run_name_for_request("j", "uid-once", None))),
            id="the-run-of-another-due-time-is-cancelled",
        ),
        pytest.param(seen(job_run(), body=cancelled(name="another")), id="another-is-cancelled"),
        pytest.param(
            seen(
                job_run(),
                job(names.run_name_for_request("j", "uid-once", None), labels={names.LABEL_JOB_RUN: "once"}),
                body=cancelled(),
            ),
            id="its-job-is-there-and-is-ended",
        ),
    ],
)
def test_otherwise_it_runs(observed: Observed) -> None:
    assert [type(answer) for answer in answers(observed)] == [requests.Create]
    assert requests.withdrawn(observed) == []


@pytest.mark.parametrize(
    ("value", "by", "message"),
    [
        pytest.param('{"by": "anna", "at": "2026-11-25T20:00:00.5+08:00"}', "anna",
                     "cancelled by anna at 2026-11-25T12:00:00Z", id="C37-as-the-gateway-writes-it"),
        pytest.param('{"by": "anna"}', "anna", "cancelled by anna", id="no-moment"),
        pytest.param('{"at": "2026-11-25T12:00:00Z"}', "", "cancelled at 2026-11-25T12:00:00Z", id="nobody"),
        pytest.param('{"by": "anna", "at": "soon"}', "anna", "cancelled by anna", id="what-is-no-moment"),
        pytest.param('{"by": "anna", "at": "2026-11-25T12:00:00"}', "anna", "cancelled by anna", id="no-zone"),
        pytest.param('{"at": "0001-01-01T00:00:00+14:00"}', "", "cancelled", id="before-all-time"),
        pytest.param('{"at": 7}', "", "cancelled", id="a-number"),
        pytest.param("", "", "cancelled", id="empty"),
        pytest.param("because", "", "cancelled", id="no-json"),
        pytest.param('"anna"', "", "cancelled", id="no-object"),
        pytest.param('{"by": 7}', "", "cancelled", id="no-name"),
        pytest.param(json.dumps({"by": "x" * 1000}), "x" * 256, f"cancelled by {'x' * 256}", id="far-too-long"),
    ],
)  # fmt: skip
def test_every_value_cancels(value: str, by: str, message: str) -> None:
    [found] = cancel.asked(seen(job_run(), body=cancelled(value))).values()
    assert (found.name, found.by, found.message) == ("once", by, message)
    told = {"verdict": "cancelled", "reason": "CancelledByUser", "message": message, "at": rfc3339(NOW)}
    assert found.ending(NOW) == told | ({"by": by} if by else {})
    assert judge(read_run("j", ended_by(found), [])).message == message


def ended_by(cancellation: cancel.Cancellation) -> Json:
    """The Job of a run that was cancelled, once it is over."""
    written = {names.ANNOTATION_ENDED: json.dumps(cancellation.ending(NOW))}
    return job(annotations=written, status=failed("DeadlineExceeded"))


def refused(verdict: Verdict = Verdict.SKIPPED) -> tuple[Observed, Request]:
    """A request that was refused, as the next operator finds it."""
    first = seen(job_run(), job())
    refusal = requests.Refuse(
        first.requests[0], requests.identity(first, first.requests[0]).run_name, first.requests[0].created,  # type: ignore[union-attr]  # it has one
        Reason.OVERLAP, "j-29926800 is not finished, and overlap is forbidden", verdict,
    )  # fmt: skip
    told = jobrun_status.without_run(first, refusal, NOW)
    again = seen(job_run() | {"status": told})
    return again, again.requests[0]


def test_a_refusal_is_recorded_from_its_status_alone() -> None:
    observed, request = refused()
    assert requests.never_ran(request)
    wanted = requests.identity(observed, request)
    assert wanted is not None
    row = records.refused_record(
        observed,
        run_name=wanted.run_name,
        due_time=wanted.due_time,
        outcome=jobrun_status.ending_of(request),
        asked_by="anna",
        trigger=requests.trigger_of(request),
        task=Task(func="echo", args=[1], kwargs={"a": None}),
    )
    assert row.params == {"func": "echo", "args": [1], "kwargs": {"a": None}}
    assert row.id == request.body["status"]["executionId"]
    assert (row.status, row.reason, row.trigger, row.due_time, row.start_time, row.end_time, row.created_by) == (
        Verdict.SKIPPED, Reason.OVERLAP, Trigger.MANUAL, request.created, request.created, NOW, "anna",
    )  # fmt: skip


@pytest.mark.parametrize(
    "status",
    [
        pytest.param({}, id="not-answered"),
        pytest.param({"run": "j-r-1"}, id="runs"),
        pytest.param({"run": "j-r-1", "verdict": "success"}, id="ran"),
        pytest.param({"conditions": [{"type": "Accepted", "status": "False", "reason": "Invalid"}]}, id="invalid"),
    ],
)
def test_nothing_else_is_recorded_from_a_status(status: Json) -> None:
    assert not requests.never_ran(seen(job_run() | {"status": status}).requests[0])


def test_a_label_ends_as_a_label_must() -> None:
    name = "a" * 62 + "-and-more"
    found = created(seen(job_run(name)))
    assert found["metadata"]["labels"][names.LABEL_JOB_RUN] == "a" * 62

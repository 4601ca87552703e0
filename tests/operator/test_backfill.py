"""Backfills: which due times are run next, what is waited for, and how it ends. Decided from what exists alone."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cluster_objects import UID, complete, failed, job, job_run, scheduled_job

from merp_crds import names
from merp_crds.common import rfc3339
from merp_crds.reasons import Verdict
from merp_operator import backfill, jobrun_status, observe
from merp_operator.backfill import Plan, Progress, Step, Told, Waiting
from merp_operator.observe import Observed, Request

Json = dict[str, Any]

# Long after every due time of the range, so that no clock may still want it.
NOW = datetime(2026, 11, 25, 12, 0, 30, tzinfo=UTC)
START = datetime(2026, 11, 24, 0, 0, tzinfo=UTC)


def due(hour: int) -> datetime:
    return START + timedelta(hours=hour)


def asked(start: int = 0, end: int = 6, **changes: Any) -> Json:
    """A backfill of the hours in (start, end] of that day."""
    return {"start": rfc3339(due(start)), "end": rfc3339(due(end))} | changes


def request(*, status: Json | None = None, policy: str | None = None, **changes: Any) -> Json:
    body = job_run("fill", backfill=asked(**changes), **({"concurrencyPolicy": policy} if policy else {}))
    return body | ({} if status is None else {"status": status})


def run_name(hour: int) -> str:
    return names.run_name_for_request("j", "uid-fill", due(hour))


def own_run(hour: int, status: Json | None = None) -> Json:
    """The Job of the backfill for an hour."""
    return job(
        run_name(hour),
        uid=f"own-{hour}",
        labels={names.LABEL_JOB_RUN: "fill", names.LABEL_TRIGGER: "backfill"},
        annotations={names.ANNOTATION_DUE_TIME: rfc3339(due(hour))},
        status=status,
    )


def other_run(hour: int, status: Json | None = None) -> Json:
    """A run of the schedule for an hour."""
    name = names.run_name_for_due_time("j", due(hour))
    return job(name, uid=f"other-{hour}", annotations={names.ANNOTATION_DUE_TIME: rfc3339(due(hour))}, status=status)


def seen(*jobs: Json, body: Json | None = None, requests: list[Json] | None = None) -> Observed:
    found = [(entry, []) for entry in jobs]
    return observe.observe(body or scheduled_job(), None, found, requests or [request()])


def only_request(observed: Observed) -> Request:
    return observed.requests[0]


@pytest.mark.parametrize(
    ("spec", "changes", "expected"),
    [
        pytest.param({}, {}, Progress(planned=6, until=START), id="six-hours"),
        pytest.param({}, {"start": 5}, Progress(planned=1, until=due(5)), id="the-start-itself-is-outside"),
        pytest.param(
            {"schedule": {"cron": "* * * * *"}},
            {"start": -17, "end": 0},
            "backfill: the range holds 1020 due times, and at most 1000 are run by one request: narrow the range",
            id="more-than-a-thousand",
        ),
        pytest.param(
            {"schedule": {"cron": "* * * * *"}},
            {"start": -6 * 365 * 24},
            "backfill: the range holds 3153960 due times, and at most 1000 are run by one request: narrow the range",
            id="six-years-of-minutes",
        ),
        pytest.param(
            {},
            {"end": 0, "start": -0.5},
            Progress(planned=1, until=START - timedelta(minutes=30)),
            id="the-end-itself-is-inside",
        ),
        pytest.param(
            {"schedule": {"cron": "0 0 1 1 *"}},
            {},
            "backfill: j was not due after 2026-11-24T00:00:00Z up to 2026-11-24T06:00:00Z: check the range",
            id="an-empty-range",
        ),
        pytest.param(
            {},
            {"end": -1},
            "backfill.end: is not after backfill.start: no due time can be between",
            id="end-before-start",
        ),
        pytest.param(
            {},
            {"end": 48},
            "backfill.end: 2026-11-26T00:00:00Z is in the future: only past due times are run",
            id="in-the-future",
        ),
        pytest.param(
            {"schedule": None}, {}, "backfill: j has no schedule, so nothing was due: use dueTime", id="no-schedule"
        ),
    ],
)
def test_what_is_accepted_and_what_is_refused(spec: Json, changes: Json, expected: Progress | str) -> None:
    observed = seen(body=scheduled_job(**spec), requests=[request(**changes)])
    assert observed.spec is not None
    found = backfill.begin(observed, observed.spec, only_request(observed), "UTC", NOW)
    assert found == (Told("Invalid", expected) if isinstance(expected, str) else expected)


def test_a_clock_that_is_ahead_a_little_is_no_future() -> None:
    """Who resumes a job asks for all up to now, by a clock that is not the operator's."""
    observed = seen()
    assert observed.spec is not None
    at = due(6) - timedelta(seconds=3)
    assert isinstance(backfill.begin(observed, observed.spec, only_request(observed), "UTC", at), Progress)


def test_parameters_need_a_task() -> None:
    body = request() | {"spec": request()["spec"] | {"args": [1]}}
    observed = seen(body=scheduled_job(task=None, template={"image": "x:1"}), requests=[body])
    assert observed.spec is not None
    found = backfill.begin(observed, observed.spec, only_request(observed), "UTC", NOW)
    assert found == Told("Invalid", "args, kwargs: j has no task to give them to: leave them out")


def test_due_times_that_cannot_be_known_are_waited_for() -> None:
    observed = replace(seen(), timetable=None, schedule_problem="calendar: there is no BusinessCalendar cn")
    assert observed.spec is not None
    found = backfill.begin(observed, observed.spec, only_request(observed), "UTC", NOW)
    assert found == Told("NotReady", "calendar: there is no BusinessCalendar cn")


@pytest.mark.parametrize(
    ("policy", "of_request", "parallel", "own", "others", "expected"),
    [
        pytest.param("Forbid", None, 1, [], [], 1, id="nothing-runs"),
        pytest.param("Forbid", None, 5, [], [], 1, id="forbid-is-one-at-a-time"),
        pytest.param("Forbid", None, 5, ["a"], [], 0, id="its-own-run"),
        pytest.param(
            "Forbid",
            None,
            5,
            [],
            ["z", "b"],
            Waiting("Overlap", "b is not finished, and overlap is forbidden"),
            id="another-run",
        ),
        pytest.param("Forbid", "Allow", 5, ["a"], ["z"], 4, id="the-request-allows-it"),
        pytest.param("Allow", None, 3, ["a"], ["y", "z"], 2, id="the-job-allows-it"),
        pytest.param("Allow", "Forbid", 3, ["a"], [], 0, id="the-request-forbids-it"),
        pytest.param("Allow", None, 2, ["a", "b"], [], 0, id="as-many-as-asked-for"),
        pytest.param("Replace", None, 2, [], ["z"], Waiting("Overlap", "z is not finished, and overlap is forbidden"),
                     id="replace-waits-too"),
    ],
)  # fmt: skip
def test_the_overlap_policy_is_obeyed_by_waiting(
    policy: str, of_request: str | None, parallel: int, own: list[str], others: list[str], expected: int | Waiting
) -> None:
    observed = seen(
        body=scheduled_job(concurrencyPolicy=policy), requests=[request(policy=of_request, maxParallel=parallel)]
    )
    assert observed.spec is not None
    assert backfill.room(only_request(observed), observed.spec, own, others) == expected


def planned(
    *jobs: Json, until: int = 0, successes: tuple[int, ...] = (), free: int = 2, now: datetime = NOW, **status: Any
) -> Plan:
    body = scheduled_job(status=status or None)
    observed = seen(*jobs, body=body)
    assert observed.timetable is not None
    passed = backfill.need_no_run(observed, {due(hour) for hour in successes})
    return backfill.plan(
        observed, only_request(observed), Progress(6, due(until)), observed.timetable, passed, free, now
    )


def start(hour: int) -> Step:
    return Step(due(hour), run_name(hour))


def passed_over(hour: int) -> Step:
    return Step(due(hour), None)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(planned(), Plan((start(1), start(2))), id="oldest-first-as-many-as-there-is-room"),
        pytest.param(planned(free=0), Plan(), id="does-nothing-without-room"),
        pytest.param(planned(until=6), Plan(exhausted=True), id="does-nothing-at-the-end"),
        pytest.param(planned(until=5), Plan((start(6),), exhausted=True), id="the-last"),
        pytest.param(
            planned(successes=(1, 3)), Plan((passed_over(1), start(2), passed_over(3), start(4))), id="successes"
        ),
        pytest.param(
            planned(successes=(1, 2, 3, 4, 5, 6)), Plan(tuple(map(passed_over, range(1, 7))), exhausted=True),
            id="nothing-is-missing",
        ),
        pytest.param(planned(other_run(1)), Plan((passed_over(1), start(2), start(3))), id="one-is-under-way"),
        pytest.param(
            planned(other_run(1, complete())), Plan((passed_over(1), start(2), start(3))), id="a-success-not-recorded-yet"
        ),
        pytest.param(
            planned(other_run(1, failed("BackoffLimitExceeded"))), Plan((start(1), start(2))), id="a-failure-is-missing"
        ),
        pytest.param(
            planned(recent=[{"run": "x", "verdict": "success", "dueTime": rfc3339(due(1))}]),
            Plan((passed_over(1), start(2), start(3))),
            id="a-success-of-which-the-job-is-gone",
        ),
        pytest.param(
            planned(own_run(1), free=1), Plan((start(1), start(2))), id="one-that-was-made-and-not-written-down"
        ),
        pytest.param(
            planned(own_run(1, complete()), own_run(2), free=0), Plan((start(1), start(2))),
            id="those-are-met-without-room-too",
        ),
        pytest.param(
            planned(now=due(1) + timedelta(seconds=90)),
            Plan((), Waiting("NotSettled", "the schedule may still start 2026-11-24T01:00:00Z itself", 31.0)),
            id="a-clock-that-is-behind-may-still-start-it",
        ),
        pytest.param(
            planned(now=due(1) + timedelta(seconds=90), accounted={"until": rfc3339(due(1)), "hash": "x"}, free=1),
            Plan((start(1),), Waiting("NotSettled", "the schedule may still start 2026-11-24T02:00:00Z itself", 10.0)),
            id="what-was-let-pass-no-clock-starts",
        ),
        pytest.param(
            planned(accounted={"until": rfc3339(due(1)), "hash": "x"}),
            Plan((start(1),), Waiting("NotSettled", "the schedule may still start 2026-11-24T02:00:00Z itself", 10.0)),
            id="what-is-not-accounted-for-may-be-caught-up",
        ),
        pytest.param(
            planned(accounted={"until": rfc3339(due(2)), "hash": "x"}, free=2), Plan((start(1), start(2)),
            Waiting("NotSettled", "the schedule may still start 2026-11-24T03:00:00Z itself", 10.0)),
            id="what-is-accounted-for-is-not",
        ),
    ],
)  # fmt: skip
def test_which_due_times_are_next(found: Plan, expected: Plan) -> None:
    assert found == expected


def test_a_paused_job_catches_nothing_up_so_its_backfill_goes_on() -> None:
    body = scheduled_job(suspend=True, status={"accounted": {"until": rfc3339(START), "hash": "x"}})
    observed = seen(body=body)
    assert observed.timetable is not None
    found = backfill.plan(observed, only_request(observed), Progress(6, START), observed.timetable, frozenset(), 1, NOW)
    assert found == Plan((start(1),))


def test_steps_and_verdicts_are_counted_once() -> None:
    progress = Progress(planned=3, until=START)
    for step in (start(1), passed_over(2), start(3)):
        progress = backfill.take(progress, step)
    assert (progress.started, progress.passed_over, progress.until) == (2, 1, due(3))
    assert progress.active == (run_name(1), run_name(3))
    verdicts = {run_name(1): Verdict.SUCCESS, "somebody-elses": Verdict.FAILED}
    counted = backfill.count(progress, verdicts)
    assert (counted.succeeded, counted.failed, counted.active) == (1, 0, (run_name(3),))
    assert backfill.count(counted, verdicts) == counted
    ended = backfill.count(counted, {run_name(3): Verdict.TIMEOUT})
    assert (ended.succeeded, ended.failed, ended.active) == (1, 1, ())


def test_progress_survives_in_the_status() -> None:
    observed = seen()
    for progress in (
        Progress(planned=6, until=due(2), started=2, active=(run_name(1), run_name(2))),
        Progress(planned=6, until=due(3), started=1, passed_over=2, succeeded=1),
        Progress(planned=6, until=due(3), started=3, failed=1, active=("x",), stopped=Told("CancelledByUser", "by me")),
    ):
        written = jobrun_status.of_backfill(only_request(observed), progress, None, NOW)
        again = seen(requests=[request(status=written)])
        assert backfill.progress_of(only_request(again)) == progress
        assert backfill.is_open(only_request(again))
        second = jobrun_status.of_backfill(only_request(again), progress, None, NOW + timedelta(minutes=1))
        assert second == written


@pytest.mark.parametrize(
    ("progress", "expected"),
    [
        pytest.param(
            Progress(6, due(6), started=4, passed_over=2, succeeded=4),
            ("success", "Completed", "True", "AllSucceeded"),
            id="all-succeeded",
        ),
        pytest.param(
            Progress(6, due(6), started=6, succeeded=5, failed=1),
            ("failed", None, "False", "NotAllSucceeded"),
            id="one-did-not",
        ),
        pytest.param(Progress(6, due(6), passed_over=6), ("success", "Completed", "True", "AllSucceeded"), id="nothing-to-do"),
        pytest.param(
            Progress(6, due(2), started=2, succeeded=1, failed=1, stopped=Told("CancelledByUser", "cancelled by anna")),
            ("cancelled", "CancelledByUser", "False", "CancelledByUser"),
            id="cancelled",
        ),
        pytest.param(
            Progress(6, due(2), started=2, succeeded=2, stopped=Told("ScheduleChanged", "x")),
            ("cancelled", None, "False", "ScheduleChanged"),
            id="the-schedule-changed",
        ),
        pytest.param(
            backfill.orphaned(Progress(6, due(2), started=2, succeeded=1, active=("x",))),
            ("cancelled", "ScheduledJobDeleted", "False", "ScheduledJobDeleted"),
            id="its-job-is-gone",
        ),
        pytest.param(Progress(6, due(6), started=6, succeeded=5, active=("x",)), None, id="one-still-runs"),
        pytest.param(Progress(6, due(5), started=5, succeeded=5), None, id="one-is-still-to-start"),
        pytest.param(Progress(6, due(2), 2, active=("x",), stopped=Told("CancelledByUser", "")), None, id="one-still-ends"),
    ],
)  # fmt: skip
def test_how_it_ends(progress: Progress, expected: tuple[str, str | None, str, str] | None) -> None:
    told = jobrun_status.of_backfill(only_request(seen()), progress, None, NOW)
    if expected is None:
        assert (told.get("verdict"), told.get("endTime"), told["state"]) == (None, None, "running")
        return
    last = told["conditions"][-1]
    assert (told["verdict"], told.get("reason"), last["status"], last["reason"]) == expected
    assert last["type"] == "Succeeded"
    assert told["endTime"] == rfc3339(NOW)
    assert not backfill.is_open(only_request(seen(requests=[request(status=told)])))


def test_what_it_waits_for_is_told_as_long_as_it_waits() -> None:
    waiting = Waiting("RecordsAway", "the database is away", 10.0)
    progress = Progress(6, START)
    told = jobrun_status.of_backfill(only_request(seen()), progress, waiting, NOW)
    assert [(entry["type"], entry["status"], entry["reason"]) for entry in told["conditions"]] == [
        ("Accepted", "True", "Accepted"),
        ("Waiting", "True", "RecordsAway"),
    ]
    assert (told["state"], told["message"]) == ("waiting", "the database is away")
    later = jobrun_status.of_backfill(only_request(seen(requests=[request(status=told)])), progress, None, NOW)
    assert [entry["type"] for entry in later["conditions"]] == ["Accepted"]


def test_a_dry_run_only_counts() -> None:
    observed = seen(other_run(1), requests=[request(dryRun=True)])
    assert observed.timetable is not None
    passed = backfill.need_no_run(observed, {due(3)})
    counted = backfill.dry_run(only_request(observed), Progress(6, START), observed.timetable, passed)
    told = jobrun_status.of_dry_run(only_request(observed), counted, NOW)
    assert (told["planned"], told["passedOver"], told.get("started"), told.get("until")) == (6, 2, None, None)
    assert told["conditions"][0]["reason"] == "DryRun"
    assert not backfill.is_open(only_request(seen(requests=[request(status=told, dryRun=True)])))


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        pytest.param({"cron": "0 * * * *"}, Progress(6, due(2), started=2), id="as-it-was"),
        pytest.param({"cron": "*/30 * * * *"}, Progress(10, due(2), started=2), id="twice-as-often"),
        pytest.param(
            {"intervalSeconds": 10},
            Progress(
                6,
                due(2),
                started=2,
                stopped=Told(
                    "ScheduleChanged",
                    "the schedule was changed, and the range now holds 1442 due times, more than 1000",
                ),
            ),
            id="far-too-often",
        ),
        pytest.param(
            None,
            Progress(6, due(2), started=2, stopped=Told("ScheduleChanged", "the job has no schedule any more")),
            id="no-schedule-any-more",
        ),
    ],
)
def test_an_edit_in_the_middle_counts_within_bounds(schedule: Json | None, expected: Progress) -> None:
    observed = seen(body=scheduled_job(schedule=schedule))
    assert observed.spec is not None
    found = backfill.recount(observed, observed.spec, only_request(observed), Progress(6, due(2), started=2))
    assert found == expected


def test_stopping_counts_what_was_made_and_not_written_down() -> None:
    observed = seen(own_run(1), own_run(2), own_run(3))
    why = Told("CancelledByUser", "cancelled by anna")
    stopped = backfill.stop(observed, only_request(observed), Progress(6, due(1), 1, active=(run_name(1),)), why)
    assert (stopped.started, stopped.active) == (3, (run_name(1), run_name(2), run_name(3)))
    assert backfill.stop(observed, only_request(observed), stopped, Told("CancelledByUser", "again")) == stopped


def accepted(**counts: Any) -> Json:
    return {"planned": 6, "until": rfc3339(due(2)), **counts}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        pytest.param(accepted(active=[run_name(2)]), {2, 3}, id="active-and-not-written-down"),
        pytest.param(accepted(), {3}, id="those-counted-may-go"),
        pytest.param(None, {1, 2, 3}, id="killed-before-the-first-status"),
        pytest.param(accepted(endTime=rfc3339(NOW)), set(), id="over"),
    ],
)
def test_jobs_that_are_not_counted_must_stay(status: Json | None, expected: set[int]) -> None:
    jobs = [own_run(1, complete()), own_run(2, complete()), own_run(3, complete()), other_run(4, complete())]
    observed = seen(*jobs, requests=[request(status=status)])
    assert backfill.held(observed) == {run_name(hour) for hour in expected}


def test_runs_of_an_earlier_request_of_that_name_are_not_its_own() -> None:
    foreign = own_run(1)
    foreign["metadata"]["name"] = names.run_name_for_request("j", "uid-of-another", due(1))
    observed = seen(foreign)
    assert backfill.held(observed) == frozenset()
    assert foreign["metadata"]["labels"][names.LABEL_SCHEDULED_JOB_UID] == UID

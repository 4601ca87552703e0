"""What a gate sees of an upstream: its runs from Jobs and status, and why it will not run any more."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from cluster_objects import complete, failed, job, pod, scheduled_job

from merp_crds import names
from merp_crds.scheduledjob import ScheduledJobStatus
from merp_operator import observe, upstreams
from merp_operator.upstreams import Upstream

PAUSED = names.ANNOTATION_PAUSED
NOW = datetime(2026, 11, 25, 12, 10, tzinfo=UTC)
ON_THE_HOUR = datetime(2026, 11, 25, 12, 0, 5, tzinfo=UTC)


def entry(run: str, due: str, verdict: str, end: str, start: str | None = None) -> dict[str, Any]:
    reasons = {"success": "Completed", "failed": "ExitCode", "skipped": "Overlap", "cancelled": "CancelledByUser"}
    told = {"run": run, "dueTime": due, "trigger": "schedule", "verdict": verdict, "reason": reasons[verdict]}
    return told | {"endTime": end} | ({} if start is None else {"startTime": start})


def seen(
    jobs: list[tuple[dict[str, Any], list[dict[str, Any]]]] | None = None,
    status: dict[str, Any] | None = None,
    annotations: dict[str, str] | None = None,
    now: datetime = NOW,
    zone: str = "UTC",
    **spec: Any,
) -> Upstream:
    body = scheduled_job("j", status=status, annotations=annotations, **spec)
    observed = observe.observe(body, None, jobs or [], [])
    return upstreams.read("j", observed, ScheduledJobStatus.model_validate(status or {}), zone=zone, now=now)


def lines(found: Upstream) -> list[str]:
    return [
        f"{run.name} {run.due_time:%H:%M} {run.verdict.value if run.verdict else 'open'}"
        + (f" began {run.began:%H:%M:%S}" if run.began else "")
        + (f" ended {run.ended:%H:%M:%S}" if run.ended else "")
        for run in found.runs
    ]


REMEMBERED = entry("j-29926800", "2026-11-25T12:00:00Z", "success", "2026-11-25T12:00:11Z", "2026-11-25T12:00:01Z")
OLDER = entry("j-29926740", "2026-11-25T11:00:00Z", "success", "2026-11-25T11:05:00Z", "2026-11-25T11:00:01Z")
SKIPPED = entry("j-29926770", "2026-11-25T11:30:00Z", "skipped", "2026-11-25T11:30:00Z")


@pytest.mark.parametrize(
    ("jobs", "status", "expected"),
    [
        pytest.param([], {}, [], id="does-nothing-no-runs"),
        pytest.param([(job(), [])], {}, ["j-29926800 12:00 open"], id="waits-for-its-pod"),
        pytest.param([(job(spec={"suspend": True}), [])], {}, ["j-29926800 12:00 open"], id="waits-at-its-own-gate"),
        pytest.param([(job(), [pod(running=True)])], {}, ["j-29926800 12:00 open began 12:00:01"], id="runs"),
        pytest.param(
            [(job(status=complete()), [])],
            {},
            ["j-29926800 12:00 success began 12:00:01 ended 12:00:10"],
            id="succeeded",
        ),
        pytest.param(
            [(job(status=failed("DeadlineExceeded")), [])],
            {},
            ["j-29926800 12:00 timeout began 12:00:01 ended 12:00:20"],
            id="timed-out",
        ),
        pytest.param(
            [(job(status=complete()), [])],
            {"recent": [REMEMBERED]},
            ["j-29926800 12:00 success began 12:00:01 ended 12:00:10"],
            id="its-job-says-it-itself",
        ),
        pytest.param(
            [(job(), [])],
            {"recent": [REMEMBERED]},
            ["j-29926800 12:00 open"],
            id="made-again-under-its-name",
        ),
        pytest.param(
            [],
            {"recent": [REMEMBERED, SKIPPED], "newest": {"success": REMEMBERED, "failed": OLDER}},
            [
                "j-29926740 11:00 success began 11:00:01 ended 11:05:00",
                "j-29926770 11:30 skipped ended 11:30:00",
                "j-29926800 12:00 success began 12:00:01 ended 12:00:11",
            ],
            id="cleaned-up-and-remembered",
        ),
    ],
)
def test_the_runs_of_an_upstream(
    jobs: list[tuple[dict[str, Any], list[dict[str, Any]]]], status: dict[str, Any], expected: list[str]
) -> None:
    assert lines(seen(jobs, status)) == expected


def ready(status: str, reason: str, *, generation: int = 1) -> dict[str, Any]:
    told = {"type": "Ready", "status": status, "reason": reason, "message": "task.func: there is none"}
    return {"conditions": [told | {"lastTransitionTime": "2026-11-25T11:00:00Z", "observedGeneration": generation}]}


def after(message: str, *, generation: int = 1) -> dict[str, Any]:
    """The status of a job without a schedule whose upstream will not run."""
    told = {"type": "OnSchedule", "status": "False", "reason": "UpstreamCannotRun", "message": message}
    return {"conditions": [told | {"lastTransitionTime": "2026-11-25T11:00:00Z", "observedGeneration": generation}]}


AFTER: dict[str, Any] = {
    "schedule": None,
    "dependsOn": [{"name": "a"}],
    "status": after("dependsOn: a: does not exist"),
}
IN_FORCE = {
    "conditions": [
        {"type": "Paused", "status": "True", "reason": "Suspended", "lastTransitionTime": "2026-11-25T09:00:00Z"}
    ]
}
ONCE: dict[str, Any] = {"schedule": {"at": "2026-11-25T10:00:00Z"}}
ENDED: dict[str, Any] = {"schedule": {"cron": "0 1 * * *", "endAt": "2026-11-24T16:00:00Z"}}


@pytest.mark.parametrize(
    ("asked", "expected", "next_run"),
    [
        pytest.param({}, "", "2026-11-25T13:00", id="does-nothing-it-goes-on"),
        pytest.param({"schedule": None}, "", None, id="does-nothing-by-hand"),
        pytest.param({"now": ON_THE_HOUR}, "", "2026-11-25T12:00", id="due-a-moment-ago-and-not-started"),
        pytest.param({"now": ON_THE_HOUR, "jobs": [(job(), [])]}, "", "2026-11-25T13:00", id="due-and-started"),
        pytest.param({"suspend": True}, "is paused by spec.suspend", None, id="paused-just-now"),
        pytest.param(
            {"suspend": True, "status": IN_FORCE},
            "is paused since 2026-11-25 09:00 by spec.suspend",
            None,
            id="paused-by-its-spec",
        ),
        pytest.param(
            {"annotations": {PAUSED: json.dumps({"by": "ann", "at": "2026-11-25T08:00:00Z"})}, "zone": "Asia/Shanghai"},
            "is paused since 2026-11-25 16:00 by ann",
            None,
            id="paused-by-somebody",
        ),
        pytest.param(
            {"annotations": {PAUSED: json.dumps({"until": "2026-11-26T08:00:00Z", "at": "soon"})}},
            "is paused until 2026-11-26 08:00",
            None,
            id="paused-until",
        ),
        pytest.param({"annotations": {PAUSED: "true"}}, "is paused", None, id="paused-by-kubectl"),
        pytest.param(
            {"annotations": {PAUSED: json.dumps({"until": "2026-11-25T08:00:00Z"})}},
            "",
            "2026-11-25T13:00",
            id="the-pause-is-over",
        ),
        pytest.param(ENDED | {"zone": "Asia/Shanghai"}, "has ended (endAt 2026-11-25 00:00)", None, id="endAt-passed"),
        pytest.param(ONCE, "has ended (at 2026-11-25 10:00)", None, id="at-passed"),
        pytest.param(
            {"status": ready("False", "UnknownTask")},
            "its definition is not good: task.func: there is none",
            None,
            id="not-good",
        ),
        pytest.param(
            {"status": ready("False", "UnknownTask", generation=0)},
            "",
            "2026-11-25T13:00",
            id="not-good-before-an-edit",
        ),
        pytest.param(
            {"status": ready("False", "CannotApply")},
            "",
            "2026-11-25T13:00",
            id="the-world-would-not-and-is-asked-again",
        ),
        pytest.param(AFTER, "runs after others (a: does not exist)", None, id="its-own-upstream-will-not-run"),
        pytest.param(
            AFTER | {"dependencyPolicy": {"require": "Any"}}, "", None, id="does-nothing-one-of-several-is-enough"
        ),
        pytest.param(
            AFTER | {"status": after("dependsOn: a: does not exist", generation=0)},
            "",
            None,
            id="does-nothing-before-an-edit",
        ),
        pytest.param(
            {"schedule": {"cron": "0 * * * *", "timeZone": "Mars/Base"}},
            "its definition is not good: schedule.timeZone: 'Mars/Base' is no IANA zone: "
            "write a name such as Asia/Shanghai or UTC, not an offset",
            None,
            id="a-zone-that-is-none",
        ),
        pytest.param(
            {"maxQueued": 0},
            "its definition is not good: maxQueued: Input should be greater than or equal to 1",
            None,
            id="a-spec-that-cannot-be-read",
        ),
    ],
)
def test_whether_an_upstream_will_run(asked: dict[str, Any], expected: str, next_run: str | None) -> None:
    found = seen(**asked)
    due = None if next_run is None else datetime.fromisoformat(next_run).replace(tzinfo=UTC)
    assert (found.cannot_run, found.next_run) == (expected, due)


def test_an_upstream_that_does_not_exist() -> None:
    assert upstreams.read("x", None, None, zone="UTC", now=NOW) == Upstream("x", (), "does not exist", None)


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        pytest.param(19, None, id="does-nothing-all-is-remembered"),
        pytest.param(20, datetime(2026, 11, 25, 11, 1, tzinfo=UTC), id="older-ones-may-be-forgotten"),
    ],
)
def test_since_when_its_runs_are_known(number: int, expected: datetime | None) -> None:
    recent = [
        entry(f"j-{minute}", f"2026-11-25T11:{minute:02}:00Z", "success", f"2026-11-25T11:{minute + 1:02}:00Z")
        for minute in reversed(range(number))
    ]
    found = seen(status={"recent": recent})
    due = datetime(2026, 11, 25, 11, 0, tzinfo=UTC)
    assert (found.known_since, found.may_have_run(due)) == (expected, expected is not None)
    assert (found.is_scheduled(due), found.is_scheduled(NOW)) == (True, False)

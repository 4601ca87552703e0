"""The status: a function of what exists, that a second look leaves as it is."""

from datetime import timedelta
from typing import Any

import pytest
from cluster_objects import NOW, complete, failed, job, pod, scheduled_job

from merp_crds.reasons import ConditionReason
from merp_operator import events, observe, outcome, status
from merp_operator.definition import Problem
from merp_operator.desired import Defaults
from merp_operator.status import Judged, Told

Json = dict[str, Any]
DEFAULTS = Defaults(image="tasks:1", time_zone="UTC")


def computed(body: Json, *jobs: Json, problem: Problem | None = None, later: float = 0) -> Json:
    seen = observe.observe(body, None, [(entry, [pod(running=True)]) for entry in jobs], [])
    judged = [Judged(run, outcome.judge(run)) for run in seen.runs]
    return status.compute(seen, judged, problem, DEFAULTS, NOW + timedelta(seconds=later))


def conditions(found: Json) -> dict[str, str]:
    return {entry["type"]: entry["status"] for entry in found["conditions"]}


def test_a_new_job_says_when_it_runs_next() -> None:
    found = computed(scheduled_job())
    assert (found["nextRunTime"], found["schedule"], found["timeZone"], found["clock"], found["activeCount"]) == (
        "2026-11-25T13:00:00Z", "0 * * * *", "UTC", "Native", 0,
    )  # fmt: skip
    assert conditions(found) == {
        "Ready": "True", "Paused": "False", "Waiting": "False", "LastRunSucceeded": "Unknown", "OnSchedule": "True",
    }  # fmt: skip


def test_a_second_look_changes_nothing() -> None:
    jobs = (job(), job("j-29926740", uid="job-2", annotations={}, status=complete()))
    first = computed(scheduled_job(), *jobs)
    assert computed(scheduled_job(status=first), *jobs, later=120) == first


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(scheduled_job(suspend=True), id="paused"),
        pytest.param(scheduled_job(schedule=None), id="no-schedule"),
    ],
)
def test_what_is_not_due_has_no_next_run(body: Json) -> None:
    assert "nextRunTime" not in computed(body)


def test_a_problem_is_told_and_stops_the_clock() -> None:
    found = computed(scheduled_job(), problem=Problem(ConditionReason.INVALID_SCHEDULE, "schedule.cron: wrong"))
    ready = next(entry for entry in found["conditions"] if entry["type"] == "Ready")
    assert (ready["status"], ready["reason"], ready["message"]) == ("False", "InvalidSchedule", "schedule.cron: wrong")
    assert "nextRunTime" not in found


def test_runs_are_listed_until_they_have_a_verdict() -> None:
    running = computed(scheduled_job(), job())
    assert [(entry["run"], entry["state"]) for entry in running["active"]] == [("j-29926800", "running")]
    ended = computed(scheduled_job(status=running), job(status=complete()))
    assert "active" not in ended
    assert [(entry["run"], entry["verdict"]) for entry in ended["recent"]] == [("j-29926800", "success")]
    assert ended["lastScheduleTime"] == "2026-11-25T12:00:00Z"
    assert ended["lastSuccessTime"] == "2026-11-25T12:00:10Z"
    assert conditions(ended)["LastRunSucceeded"] == "True"


def test_a_verdict_outlives_its_job_and_only_twenty_are_kept() -> None:
    body = scheduled_job()
    for number in range(25):
        ended = job(f"j-{29926780 + number}", uid=f"job-{number}", annotations={}, status=complete())
        ended["status"]["completionTime"] = f"2026-11-25T11:{number:02}:00Z"
        body = scheduled_job(status=computed(body, ended))
    names = [entry["run"] for entry in body["status"]["recent"]]
    assert names == [f"j-{29926780 + number}" for number in range(24, 4, -1)]


@pytest.mark.parametrize(
    ("ended", "spec"),
    [
        pytest.param(complete(), {}, id="does-nothing-to-a-success"),
        pytest.param(failed("DeadlineExceeded"), {"activeDeadlineSeconds": 20}, id="timeout"),
        pytest.param(failed("BackoffLimitExceeded"), {}, id="exit-code"),
    ],
)
def test_a_verdict_stays_as_it_was_told_when_the_pods_are_gone(ended: Json, spec: Json) -> None:
    over = job(status=ended, spec=spec)
    pods = [pod(terminated={"exitCode": 42})]

    def seen(body: Json, pods: list[Json]) -> Json:
        found = observe.observe(body, None, [(over, pods)], [])
        judged = [Judged(run, outcome.judge(run)) for run in found.runs]
        return status.compute(found, judged, None, DEFAULTS, NOW)

    first = seen(scheduled_job(), pods)
    # Another operator, which saw none of the pods.
    assert seen(scheduled_job(status=first), []) == first
    # One of the same name that is another run is told anew.
    over["status"]["startTime"] = "2026-11-25T12:00:09Z"
    again = seen(scheduled_job(status=first), [])
    assert again["recent"][0]["startTime"] == "2026-11-25T12:00:09Z"


def test_the_newest_of_each_verdict_is_kept() -> None:
    good = computed(scheduled_job(), job(status=complete()))
    both = computed(
        scheduled_job(status=good),
        job("j-29926801", uid="job-2", annotations={}, status=failed("BackoffLimitExceeded")),
    )
    assert {key: entry["run"] for key, entry in both["newest"].items()} == {
        "success": "j-29926800",
        "failed": "j-29926801",
    }


def test_events_are_told_of_changes_only() -> None:
    body = scheduled_job()
    first = computed(body, job())
    assert [entry["reason"] for entry in events.turned(body, {}, first, NOW)] == ["Ready"]
    assert events.turned(body, first, first, NOW) == []


@pytest.mark.parametrize(("kind", "reason"), [("Paused", "Resumed"), ("Ready", "Ready")])
def test_what_turns_to_and_fro_is_told_each_time_and_each_time_once(kind: str, reason: str) -> None:
    body = scheduled_job()

    def shown(truth: str, minute: int) -> Json:
        since = f"2026-11-25T12:{minute:02}:00Z"
        entry = {"type": kind, "status": truth, "reason": "x", "message": "the same", "lastTransitionTime": since}
        return {"conditions": [entry]}

    good, bad = ("False", "True") if kind == "Paused" else ("True", "False")
    told = [
        events.turned(body, shown(bad, minute - 1), shown(good, minute), NOW + timedelta(seconds=second))
        for minute, second in ((1, 0), (1, 1), (3, 0))
    ]
    assert [entry["reason"] for entries in told for entry in entries] == [reason] * 3
    first, again, later = (entry["metadata"]["name"] for entries in told for entry in entries)
    assert first == again
    assert later != first


def told_anew(body: Json, *jobs: Json) -> list[str]:
    seen = observe.observe(body, None, [(entry, []) for entry in jobs], [])
    judged = [Judged(run, outcome.judge(run)) for run in seen.runs]
    return [entry.run for entry in status.news(seen, judged, Told())]


def finished(number: int) -> Json:
    return job(f"j-{29926780 + number}", uid=f"job-{number}", annotations={}, status=ended_at(number))


def ended_at(number: int) -> Json:
    return complete() | {"completionTime": f"2026-11-25T12:00:{number:02}Z"}


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        pytest.param(range(0), range(0), [], id="nothing-has-ended"),
        pytest.param(range(3), range(3), [], id="all-is-told"),
        pytest.param(range(2), range(3), [2], id="one-more"),
        pytest.param(range(30), range(30), [], id="what-fell-off-the-list-was-told"),
        pytest.param(range(30), range(5, 34), [30, 31, 32, 33], id="beyond-a-full-list"),
        pytest.param(range(2), range(30), list(range(2, 30)), id="more-than-the-list-holds"),
        pytest.param(range(5, 10), range(10), [0, 1, 2, 3, 4], id="late-ones"),
    ],
)
def test_a_verdict_is_news_once(before: range, now: range, expected: list[int]) -> None:
    told = computed(scheduled_job(), *map(finished, before))
    body = scheduled_job(status=told)
    assert told_anew(body, *map(finished, now)) == [f"j-{29926780 + number}" for number in expected]


def test_a_verdict_has_one_event_however_often_it_is_told() -> None:
    body, bad = scheduled_job(), job(status=failed("BackoffLimitExceeded"))
    run = observe.observe(body, None, [(bad, [])], []).runs[0]
    first, second = (events.verdict(body, status.verdict_of(run), NOW) for _ in range(2))
    assert first == second
    assert (first["type"], first["reason"]) == ("Warning", "RunFailed")
    assert first["message"].startswith("run j-29926800 of 2026-11-25T12:00:00Z: failed (")

"""What is shown of a ScheduledJob."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from merp_api.views import job_view, job_view_until, run_view
from merp_crds.common import parse_rfc3339
from merp_crds.names import ANNOTATION_CREATED_BY, ANNOTATION_PAUSED

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
NOTE = json.dumps({"by": "li", "at": "2026-11-20T00:00:00Z", "until": "2026-11-26T00:00:00Z"})
LONG = json.dumps({"until": "2026-11-25T00:00:00Z", "reason": "x" * 1024})
OVER = json.dumps({"by": "li", "until": "2026-11-25T00:00:00Z"})


def _condition(kind: str, status: str, reason: str = "", message: str = "", generation: int = 2) -> dict[str, Any]:
    return {"type": kind, "status": status, "reason": reason, "message": message, "observedGeneration": generation}


READY = _condition("Ready", "True", "Valid")
NOT_READY = _condition("Ready", "False", "UnknownTask", "task.func: no such task")
RUNS = _condition("Paused", "False", "NotPaused")
COMPLETED = _condition("OnSchedule", "True", "Completed")
MISSED = _condition("OnSchedule", "False", "Missed")
OVER_AT = {"observedGeneration": 2, "accounted": {"until": "2026-11-02T00:00:00Z"}}
SEEN = {"observedGeneration": 2, "nextRunTime": "2026-12-01T00:00:00Z"}


def _job(
    status: dict[str, Any] | None = None, annotations: dict[str, str] | None = None, **spec: Any
) -> dict[str, Any]:
    return {
        "metadata": {
            "name": "j",
            "namespace": "erp",
            "uid": "u-1",
            "generation": 2,
            "resourceVersion": "7",
            "creationTimestamp": "2026-11-01T02:30:00Z",
            "annotations": annotations or {},
        },
        "spec": {"schedule": {"cron": "0 0 1 * *"}, "task": {"func": "echo_args"}} | spec,
        "status": status or {},
    }


@pytest.mark.parametrize(
    ("job", "expected"),
    [
        pytest.param(_job(SEEN | {"conditions": [READY, RUNS]}), "active", id="as-usual"),
        pytest.param(_job(), "active", id="not-seen-by-the-operator"),
        pytest.param(_job(SEEN | {"conditions": [NOT_READY]}), "invalid", id="not-ready"),
        pytest.param(
            _job(SEEN | {"conditions": [NOT_READY | {"observedGeneration": 1}]}), "active", id="older-version-not-ready"
        ),
        pytest.param(_job(SEEN, suspend=True), "paused", id="declared-pause"),
        pytest.param(_job(SEEN, {ANNOTATION_PAUSED: NOTE}), "paused", id="operational-pause"),
        pytest.param(_job(SEEN, {ANNOTATION_PAUSED: "true"}), "paused", id="pause-by-kubectl-annotate"),
        pytest.param(_job(SEEN, {ANNOTATION_PAUSED: OVER}), "active", id="pause-that-is-over"),
        pytest.param(
            _job(
                SEEN | {"conditions": [_condition("Paused", "True", "PausedByAnnotation", OVER)]},
                {ANNOTATION_PAUSED: OVER},
            ),
            "paused",
            id="pause-that-is-over-and-not-lifted-yet",
        ),
        pytest.param(
            _job(
                SEEN | {"conditions": [_condition("Paused", "True", "PausedByAnnotation", LONG[:1024])]},
                {ANNOTATION_PAUSED: LONG},
            ),
            "paused",
            id="of-a-long-note-a-condition-has-the-beginning",
        ),
        pytest.param(_job(SEEN | {"conditions": [NOT_READY]}, suspend=True), "invalid", id="invalid-before-paused"),
        pytest.param(
            _job(OVER_AT | {"conditions": [READY, RUNS, COMPLETED]}, schedule={"at": "2026-11-02T00:00:00Z"}),
            "completed",
            id="C16-its-run-is-over",
        ),
        pytest.param(
            _job(
                OVER_AT | {"conditions": [READY, RUNS, MISSED], "accounted": {"until": "2020-01-01T00:00:00Z"}},
                schedule={"at": "2020-01-01T00:00:00Z"},
            ),
            "completed",
            id="C16-missed-six-years-ago",
        ),
        pytest.param(
            _job(
                OVER_AT | {"conditions": [READY, RUNS, COMPLETED], "accounted": {"until": "2026-11-01T23:59:59Z"}},
                schedule={"at": "2026-11-02T00:00:00Z"},
            ),
            "active",
            id="due-and-not-started-yet",
        ),
        pytest.param(
            _job(
                OVER_AT | {"conditions": [READY, RUNS]},
                schedule={"cron": "0 0 * * *", "endAt": "2026-11-02T12:00:00Z"},
            ),
            "completed",
            id="its-end-has-passed",
        ),
        pytest.param(
            _job(
                {"observedGeneration": 2, "conditions": [READY, RUNS]},
                schedule={"at": "2026-11-02T00:00:00Z", "calendar": {"name": "cn"}},
            ),
            "completed",
            id="only-the-operator-knows-the-days",
        ),
        pytest.param(
            _job(OVER_AT | {"observedGeneration": 1, "conditions": [READY]}, schedule={"at": "2026-11-02T00:00:00Z"}),
            "active",
            id="edited-and-not-seen-yet",
        ),
        pytest.param(
            _job(
                OVER_AT | {"conditions": [READY, RUNS], "activeCount": 1},
                schedule={"at": "2026-11-02T00:00:00Z"},
            ),
            "active",
            id="its-last-run-is-under-way",
        ),
        pytest.param(
            _job({"observedGeneration": 2, "conditions": [READY, _condition("Paused", "True", "PausedByAnnotation")]}),
            "active",
            id="just-resumed",
        ),
        pytest.param(_job({"observedGeneration": 2, "conditions": [READY]}, schedule=None), "active", id="by-hand"),
    ],
)
def test_status(job: dict[str, Any], expected: str) -> None:
    view = job_view(job, "UTC", NOW)
    assert view.status == expected
    assert (view.message is not None) == (expected == "invalid")
    assert expected == "active" or view.next_run_time is None


@pytest.mark.parametrize(
    ("job", "expected"),
    [
        pytest.param(_job(SEEN), "2026-12-01T00:00:00Z", id="the-operators-word"),
        pytest.param(
            _job(SEEN, schedule={"cron": "0 0 1 * *", "timeZone": "Asia/Shanghai"}),
            "2026-12-01T08:00:00+08:00",
            id="in-the-jobs-zone",
        ),
        pytest.param(_job(SEEN | {"timeZone": "Asia/Tokyo"}), "2026-12-01T09:00:00+09:00", id="zone-of-the-installation"),
        pytest.param(_job(), "2026-12-01T00:00:00Z", id="computed-until-the-operator-has-seen-it"),
        pytest.param(_job(SEEN | {"observedGeneration": 1}, schedule={"intervalSeconds": 3600}), "2026-11-25T13:00:00Z",
                     id="computed-after-an-edit"),
        pytest.param(_job(schedule={"cron": "0 0 * * 7"}), None, id="cron-that-cannot-be-read"),
        pytest.param(_job(schedule={"cron": "0 0 * * *", "timeZone": "Mars"}), None, id="zone-that-is-none"),
        pytest.param(_job(schedule={"cron": "0 0 * * *", "calendar": {"name": "cn"}}), None, id="days-are-not-known"),
        pytest.param(_job(schedule=None), None, id="no-schedule"),
        pytest.param(_job(SEEN, suspend=True), None, id="C49-paused"),
    ],
)  # fmt: skip
def test_next_run_time(job: dict[str, Any], expected: str | None) -> None:
    assert job_view(job, "UTC", NOW).model_dump(mode="json")["next_run_time"] == expected


def test_times_and_names() -> None:
    job = _job(SEEN, {ANNOTATION_CREATED_BY: "li"}, schedule={"cron": "0 0 1 * *", "timeZone": "Asia/Shanghai"})
    job["metadata"]["managedFields"] = [
        {"manager": "kubectl", "time": "2026-11-03T00:00:00Z"},
        {"manager": "merp-operator", "time": "2026-11-09T00:00:00Z", "subresource": "status"},
        {"manager": "old"},
    ]
    view = job_view(job, "UTC", NOW).model_dump(mode="json")
    assert (view["created_at"], view["updated_at"]) == ("2026-11-01T10:30:00+08:00", "2026-11-03T08:00:00+08:00")
    assert (view["name"], view["created_by"], view["namespace"], view["uid"]) == ("j", "li", "erp", "u-1")


def test_who_made_a_job_by_kubectl_is_unknown() -> None:
    view = job_view(_job(), "UTC", NOW)
    assert (view.created_by, view.created_at, view.updated_at) == ("unknown", view.updated_at, view.created_at)


@pytest.mark.parametrize(
    ("note", "by", "until"),
    [
        pytest.param(NOTE, "li", "2026-11-26T00:00:00Z", id="ours"),
        pytest.param("true", None, None, id="a-word"),
        pytest.param("[1]", None, None, id="a-list"),
        pytest.param('{"by": 7}', None, None, id="of-another-type"),
        pytest.param("{", None, None, id="no-json"),
    ],
)
def test_the_note_of_a_pause(note: str, by: str | None, until: str | None) -> None:
    paused = job_view(_job(SEEN, {ANNOTATION_PAUSED: note}), "UTC", NOW).paused
    assert paused is not None
    assert (paused.by, paused.until) == (by, until)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        pytest.param({}, "waiting", id="not-seen"),
        pytest.param({"state": "running"}, "running", id="running"),
        pytest.param({"state": "running", "verdict": "failed"}, "failed", id="ended"),
        pytest.param(
            {"conditions": [{"type": "Accepted", "status": "False", "message": "no task"}]}, "failed", id="refused"
        ),
        pytest.param({"conditions": [{"type": "Accepted", "status": "True"}]}, "waiting", id="accepted"),
    ],
)
def test_an_execution_from_its_request(status: dict[str, Any], expected: str) -> None:
    run = {
        "metadata": {"name": "j-1", "namespace": "erp", "uid": "r-1", "creationTimestamp": "2026-11-25T12:00:00Z"},
        "spec": {"scheduledJob": "j"},
        "status": status,
    }
    view = run_view(run, "u-1", "盘点")
    assert (view.status, view.job_id, view.due_time, view.recorded) == (expected, "j", NOW, False)


@pytest.mark.parametrize(
    ("job", "until"),
    [
        pytest.param(_job(SEEN), None, id="the-operators-word-stays"),
        pytest.param(_job(schedule=None), None, id="manual"),
        pytest.param(_job(), "2026-12-01T00:00:00Z", id="until-its-next-due-time-while-nobody-has-seen-it"),
        pytest.param(
            _job({"observedGeneration": 2}), "2026-12-01T00:00:00Z", id="until-a-due-time-is-to-be-accounted-for"
        ),
        pytest.param(_job(SEEN, {ANNOTATION_PAUSED: NOTE}), "2026-11-26T00:00:00Z", id="until-its-pause-ends"),
        pytest.param(_job(SEEN, {ANNOTATION_PAUSED: OVER}), None, id="pause-is-over"),
        pytest.param(_job(SEEN, {ANNOTATION_PAUSED: "true"}), None, id="pause-without-an-end"),
        pytest.param(_job(SEEN, {ANNOTATION_PAUSED: '{"until": "soon"}'}), None, id="an-end-that-is-no-time"),
        pytest.param(_job(schedule={"cron": "never"}), None, id="schedule-that-is-none"),
    ],
)
def test_how_long_a_view_is_good(job: dict[str, Any], until: str | None) -> None:
    found = job_view_until(job, "UTC", NOW)
    assert found == (None if until is None else parse_rfc3339(until))
    if found is not None:
        # Up to then it is the same; and from then on it may be another.
        assert job_view(job, "UTC", found - timedelta(seconds=1)) == job_view(job, "UTC", NOW)

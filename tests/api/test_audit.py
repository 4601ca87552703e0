"""Who wrote what: one line for each write, with what differs, and nothing that may be secret."""

import logging
from typing import Any

import pytest

from merp_api.audit import changes

CANARY = "canary-S3cret!x"
JOB = {"name": "j", "job_type": "cron", "func": "echo_args", "cron_expression": "0 1 * * *", "id": "j"}


def job(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "j", "resourceVersion": "1"}, "spec": spec}


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param(job(suspend=True), job(suspend=True), {}, id="nothing"),
        pytest.param(
            job(schedule={"cron": "0 1 * * *"}),
            job(schedule={"cron": "0 2 * * *"}),
            {"spec.schedule.cron": ["0 1 * * *", "0 2 * * *"]},
            id="changed",
        ),
        pytest.param(None, job(priority="high"), {"spec.priority": [None, "high"]}, id="made"),
        pytest.param(job(priority="high"), None, {"spec.priority": ["high", None]}, id="deleted"),
        pytest.param(
            job(task={"func": "a", "kwargs": {"password": CANARY}, "args": [CANARY]}),
            job(task={"func": "b", "args": [1]}),
            {
                "spec.task.args": ["…", "…"],
                "spec.task.func": ["a", "b"],
                "spec.task.kwargs.password": ["…", None],
            },
            id="parameters-are-not-told",
        ),
        pytest.param(
            job(),
            job(template={"env": [{"name": "P", "value": CANARY}], "image": "x"}),
            {"spec.template.env": [None, "…"], "spec.template.image": [None, "…"]},
            id="nor-is-the-template",
        ),
        pytest.param(
            {"metadata": {"annotations": {}}, "spec": {}},
            {"metadata": {"annotations": {"scheduler.merp.io/paused": CANARY}}, "spec": {}},
            {"metadata.annotations.scheduler.merp.io/paused": [None, "…"]},
            id="nor-is-a-note",
        ),
        pytest.param(
            job(), job(description="x" * 300), {"spec.description": [None, "x" * 200 + "…"]}, id="long-text-is-cut"
        ),
    ],
)
def test_changes(before: Any, after: Any, expected: dict[str, Any]) -> None:
    assert changes(before, after) == expected


def test_a_long_list_of_changes_is_cut() -> None:
    many = {f"k{number:03}": number for number in range(300)}
    assert len(changes(None, job(task={"kwargs": many}))) == 50


async def test_each_write_has_a_line(
    gateway: Any, cluster: Any, recorder: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "merp_api.audit")
    made = await gateway.post("/api/v1/jobs", json=JOB | {"kwargs": {"password": CANARY}})
    entry = recorder.run("j", 0, uid=made.json()["uid"])
    running = recorder.run("j", 1, uid=made.json()["uid"], status="running", end_time=None, result=None)
    steps = [
        ("PUT", "/api/v1/jobs/j", JOB | {"cron_expression": "0 2 * * *"}),
        ("PATCH", "/api/v1/jobs/j", {"description": "x"}),
        ("POST", "/api/v1/jobs/j/pause", {"reason": CANARY}),
        ("POST", "/api/v1/jobs/j/resume", None),
        ("POST", "/api/v1/jobs/j/execute", None),
        ("POST", f"/api/v1/executions/{entry.id}/retry", None),
        ("POST", f"/api/v1/executions/{running.id}/cancel", None),
        # None of these writes.
        ("PATCH", "/api/v1/jobs/j", {}),
        ("POST", "/api/v1/jobs/batch", {"action": "delete", "ids": ["j"], "dry_run": True}),
        ("GET", "/api/v1/jobs/j", None),
        ("PUT", "/api/v1/jobs/nope", JOB),
        ("DELETE", "/api/v1/jobs/j", None),
    ]
    for number, (method, path, body) in enumerate(steps):
        headers = {"X-Request-Id": f"r-{number}"}
        answer = await gateway.request(method, path, json=body, headers=headers)
        assert answer.status_code in (200, 202, 204, 404), (path, answer.text)
    lines = [vars(line) for line in caplog.records if line.name == "merp_api.audit"]
    assert [(line["action"], line["kind"]) for line in lines] == [
        ("create", "ScheduledJob"), ("change", "ScheduledJob"), ("change", "ScheduledJob"), ("pause", "ScheduledJob"),
        ("resume", "ScheduledJob"), ("execute", "JobRun"), ("retry", "JobRun"), ("cancel", "ScheduledJob"),
        ("delete", "ScheduledJob"),
    ]  # fmt: skip
    assert {line["user"] for line in lines} == {"admin"}
    assert [line["request_id"] for line in lines[1:]] == ["r-0", "r-1", "r-2", "r-3", "r-4", "r-5", "r-6", "r-11"]
    put = lines[1]
    assert put["changes"] == {
        "spec.schedule.cron": ["0 1 * * *", "0 2 * * *"], "spec.task.kwargs.password": ["…", None],
    }  # fmt: skip
    assert (put["namespace"], put["object"], put["uid"]) == ("default", "j", made.json()["uid"])
    # Of one that is gone nobody else tells any more which of its name it was.
    assert lines[-1]["uid"] == made.json()["uid"]
    assert None not in (put["before"], put["after"])
    assert put["before"] != put["after"]
    assert CANARY not in repr(lines)

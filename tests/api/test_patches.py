"""A merge patch as the body of a PUT, and PATCH through the gateway."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from merp_api.patches import body_of
from merp_api.problems import Problem

MERGE_PATCH = {"Content-Type": "application/merge-patch+json"}
CURRENT = {
    "id": "j",
    "name": "n",
    "job_type": "cron",
    "func": "echo_args",
    "cron_expression": "0 0 * * *",
    "interval_seconds": None,
    "run_date": None,
    "args": [1],
    "kwargs": {"a": 1, "b": {"c": 2}},
    "description": "d",
    "time_zone": "Asia/Shanghai",
    "pool": {"name": "nightly", "slots": 2},
}
WHOLE = {
    "name": "n",
    "job_type": "cron",
    "func": "echo_args",
    "cron_expression": "0 0 * * *",
    "args": [1],
    "kwargs": {"a": 1, "b": {"c": 2}},
    "description": "d",
}


@pytest.mark.parametrize(
    ("patch", "expected"),
    [
        pytest.param({}, WHOLE, id="does-nothing"),
        pytest.param({"description": None}, WHOLE | {"description": None}, id="null-is-the-default"),
        pytest.param({"args": [2]}, WHOLE | {"args": [2]}, id="a-list-is-replaced"),
        pytest.param(
            {"kwargs": {"a": None, "b": {"d": 3}}},
            WHOLE | {"kwargs": {"b": {"c": 2, "d": 3}}},
            id="objects-are-merged-to-the-bottom",
        ),
        pytest.param({"kwargs": None}, WHOLE | {"kwargs": None}, id="an-object-is-reset"),
        pytest.param(
            {"pool": {"slots": 1}}, WHOLE | {"pool": {"name": "nightly", "slots": 1}}, id="inside-an-additional-field"
        ),
        pytest.param({"retry_limit": 3}, WHOLE | {"retry_limit": 3}, id="an-additional-field"),
        pytest.param(
            {"job_type": "interval", "interval_seconds": 60},
            {key: value for key, value in WHOLE.items() if key != "cron_expression"}
            | {"job_type": "interval", "interval_seconds": 60},
            id="another-type-drops-the-time",
        ),
        pytest.param(["x"], ["x"], id="no-object"),
        pytest.param(
            {"job_type": []},
            {key: value for key, value in WHOLE.items() if key != "cron_expression"} | {"job_type": []},
            id="a-type-that-is-none",
        ),
    ],
)
def test_the_body_of_a_patch(patch: Any, expected: Any) -> None:
    assert body_of(CURRENT, patch) == expected


def test_a_run_date_comes_as_text() -> None:
    current = CURRENT | {"job_type": "date", "run_date": datetime(2030, 1, 1, tzinfo=UTC)}
    assert body_of(current, {})["run_date"] == "2030-01-01T00:00:00+00:00"


def test_what_only_answers_have_is_refused_with_the_remedy() -> None:
    with pytest.raises(Problem) as raised:
        body_of(CURRENT, {"status": "paused", "uid": "x", "description": "d"})
    assert {(error.pointer, error.code) for error in raised.value.errors} == {
        ("#/status", "read_only"),
        ("#/uid", "read_only"),
    }


async def test_c47_a_patch_changes_what_it_names(gateway: Any, cluster: Any, scheduled_job: Any) -> None:
    spec = {
        "schedule": {"cron": "0 1 * * *", "calendar": {"name": "cn"}, "startAt": "2026-01-01T00:00:00Z"},
        "task": {"func": "echo_args", "kwargs": {"a": 1, "b": 2}},
        "retry": {"limit": 3, "noRetryExitCodes": [7]},
        "template": {"env": [{"name": "A", "value": "1"}]},
        "missed": {"policy": "All", "maxAge": "1h"},
    }
    cluster.put("scheduledjobs", scheduled_job("j", **spec))
    sent = {"kwargs": {"a": None}, "missed": {"policy": "Skip"}, "retry_limit": 1}
    response = await gateway.request("PATCH", "/api/v1/jobs/j", content=json.dumps(sent), headers=MERGE_PATCH)
    assert response.status_code == 200, response.text
    assert cluster.job("j")["spec"] == spec | {
        "task": {"func": "echo_args", "kwargs": {"b": 2}},
        "retry": {"limit": 1, "noRetryExitCodes": [7]},
        "missed": {"policy": "Skip", "maxAge": "1h"},
    }
    assert response.headers["etag"] == f'"{cluster.job("j")["metadata"]["resourceVersion"]}"'


async def test_an_empty_patch_writes_nothing(gateway: Any, cluster: Any, scheduled_job: Any) -> None:
    cluster.put("scheduledjobs", scheduled_job("j", schedule={"at": "2030-01-01T00:00:00Z"}))
    response = await gateway.request("PATCH", "/api/v1/jobs/j", json={})
    assert response.status_code == 200, response.text
    assert cluster.writes("PUT", "scheduledjobs") == []


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        pytest.param({"job_type": "interval"}, {"#/interval_seconds": "required"}, id="a-type-without-its-time"),
        pytest.param({"interval_seconds": 5}, {"#/interval_seconds": "mismatch"}, id="a-time-of-another-type"),
        pytest.param({"name": None, "func": "nope"}, {"#/name": "wrong_type", "#/func": "unknown_task"}, id="two"),
        pytest.param({"status": "paused"}, {"#/status": "read_only"}, id="pausing"),
        pytest.param({"id": "k"}, {"#/id": "invalid"}, id="another-id"),
        pytest.param([{"op": "remove", "path": "/name"}], {"#": "wrong_type"}, id="a-json-patch"),
    ],
)
async def test_a_wrong_patch(
    gateway: Any, cluster: Any, scheduled_job: Any, sent: Any, expected: dict[str, str]
) -> None:
    cluster.put("scheduledjobs", scheduled_job("j"))
    response = await gateway.request("PATCH", "/api/v1/jobs/j", json=sent)
    assert response.status_code == 400, response.text
    assert {entry["pointer"]: entry["code"] for entry in response.json()["errors"]} == expected
    assert cluster.writes("PUT", "scheduledjobs") == []


async def test_a_patch_of_an_older_version_is_412(gateway: Any, cluster: Any, scheduled_job: Any) -> None:
    cluster.put("scheduledjobs", scheduled_job("j"))
    response = await gateway.request("PATCH", "/api/v1/jobs/j", json={"description": "x"}, headers={"If-Match": '"1"'})
    assert response.status_code == 412
    assert cluster.writes("PUT", "scheduledjobs") == []


async def test_two_patches_at_once_lose_nothing(gateway: Any, cluster: Any, scheduled_job: Any) -> None:
    cluster.put("scheduledjobs", scheduled_job("j"))

    def somebody_else() -> None:
        cluster.job("j")["spec"]["task"]["kwargs"] = {"theirs": 1}
        cluster.put("scheduledjobs", cluster.job("j"))

    cluster.interruptions[("PUT", "scheduledjobs")].append(somebody_else)
    response = await gateway.request("PATCH", "/api/v1/jobs/j", json={"kwargs": {"mine": 2}})
    assert (response.status_code, response.json()["kwargs"]) == (200, {"theirs": 1, "mine": 2})


@pytest.mark.parametrize("media_type", ["application/json-patch+json", "text/plain"])
async def test_another_kind_of_patch_is_415(gateway: Any, cluster: Any, scheduled_job: Any, media_type: str) -> None:
    cluster.put("scheduledjobs", scheduled_job("j"))
    response = await gateway.request("PATCH", "/api/v1/jobs/j", content="{}", headers={"Content-Type": media_type})
    assert response.status_code == 415
    assert "application/merge-patch+json" in response.json()["detail"]


async def test_c49_a_patch_does_not_wake_a_paused_job(gateway: Any, cluster: Any, scheduled_job: Any) -> None:
    cluster.put("scheduledjobs", scheduled_job("j"))
    await gateway.post("/api/v1/jobs/j/pause")
    response = await gateway.request("PATCH", "/api/v1/jobs/j", json={"cron_expression": "*/5 * * * *"})
    assert (response.json()["status"], response.json()["next_run_time"]) == ("paused", None)

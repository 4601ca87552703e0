"""Pausing and resuming jobs, through the whole application."""

import asyncio
from typing import Any

import pytest

from merp_crds.names import ANNOTATION_PAUSED


async def test_pause_and_resume(gateway: Any, cluster: Any, scheduled_job: Any) -> None:
    cluster.put("scheduledjobs", scheduled_job("j"))
    paused = await gateway.post("/api/v1/jobs/j/pause", json={"reason": "年末盘点"})
    body = paused.json()
    assert (paused.status_code, body["status"], body["next_run_time"]) == (200, "paused", None)
    assert (body["paused"]["by"], body["paused"]["reason"]) == ("admin", "年末盘点")
    note = cluster.job("j")["metadata"]["annotations"][ANNOTATION_PAUSED]
    again = await gateway.post("/api/v1/jobs/j/pause")
    assert again.status_code == 200
    assert cluster.job("j")["metadata"]["annotations"][ANNOTATION_PAUSED] == note
    resumed = await gateway.post("/api/v1/jobs/j/resume")
    assert (resumed.status_code, resumed.json()["status"], resumed.json()["paused"]) == (200, "active", None)
    twice = await gateway.post("/api/v1/jobs/j/resume")
    assert twice.status_code == 200


async def test_a_pause_is_awaited(applications: Any, cluster: Any, scheduled_job: Any, condition: Any) -> None:
    cluster.operator = False
    cluster.put("scheduledjobs", scheduled_job("j"))
    asked = asyncio.create_task(applications(pause_seconds=30).post("/api/v1/jobs/j/pause"))
    await cluster.watched.wait()
    note = cluster.job("j")["metadata"]["annotations"][ANNOTATION_PAUSED]
    await cluster.set_status("j", {"conditions": [condition("Paused", "True", "PausedByAnnotation", note)]})
    assert (await asked).status_code == 200


async def test_a_pause_that_no_operator_sees_is_202(gateway: Any, cluster: Any, scheduled_job: Any) -> None:
    cluster.operator = False
    cluster.put("scheduledjobs", scheduled_job("j"))
    response = await gateway.post("/api/v1/jobs/j/pause")
    assert (response.status_code, response.json()["status"]) == (202, "paused")


async def test_who_may_not_watch_can_still_pause(gateway: Any, cluster: Any, scheduled_job: Any) -> None:
    cluster.operator = False
    cluster.allow("p", "pauser", "default", frozenset({"get", "patch"}))
    cluster.put("scheduledjobs", scheduled_job("j"))
    assert (await gateway.post("/api/v1/jobs/j/pause", "p")).status_code == 202


@pytest.mark.parametrize("content", [{}, {"json": {}}, {"json": {"reason": "年末盘点"}}])
async def test_a_pause_that_is_over_is_none(gateway: Any, cluster: Any, scheduled_job: Any, content: Any) -> None:
    over = {ANNOTATION_PAUSED: '{"by": "li", "until": "2026-11-01T00:00:00Z"}'}
    job = scheduled_job("j")
    job["metadata"]["annotations"] = over
    cluster.put("scheduledjobs", job)
    before = (await gateway.get("/api/v1/jobs/j")).json()
    assert (before["status"], before["paused"]) == ("active", None)
    paused = await gateway.post("/api/v1/jobs/j/pause", **content)
    shown = paused.json()
    assert (paused.status_code, shown["status"], shown["paused"]["by"]) == (200, "paused", "admin")
    assert shown["paused"]["until"] is None


@pytest.mark.parametrize(
    ("managers", "status"),
    [
        pytest.param([], 200, id="nobody-owns-it"),
        pytest.param(["merp-api"], 200, id="we-own-it"),
        pytest.param(["argocd-controller"], 409, id="a-gitops-tool-owns-it"),
    ],
)
async def test_resume_of_a_declared_pause(
    gateway: Any, cluster: Any, scheduled_job: Any, managers: list[str], status: int
) -> None:
    job = scheduled_job("j", suspend=True)
    job["metadata"]["annotations"] = {ANNOTATION_PAUSED: "{}"}
    job["metadata"]["managedFields"] = [
        {"manager": manager, "fieldsV1": {"f:spec": {"f:suspend": {}}}} for manager in managers
    ]
    cluster.put("scheduledjobs", job)
    assert (await gateway.get("/api/v1/jobs/j")).json()["status"] == "paused"
    response = await gateway.post("/api/v1/jobs/j/resume")
    assert response.status_code == status, response.text
    if status == 409:
        assert "argocd-controller" in response.json()["detail"]
        assert cluster.job("j")["metadata"]["annotations"] == {ANNOTATION_PAUSED: "{}"}
    else:
        assert "suspend" not in cluster.job("j")["spec"]


async def test_c49_a_paused_job_that_is_changed_stays_paused(gateway: Any, cluster: Any, scheduled_job: Any) -> None:
    cluster.put("scheduledjobs", scheduled_job("j"))
    assert [(await gateway.post("/api/v1/jobs/j/pause")).status_code for _ in range(2)] == [200, 200]
    body = {"name": "j", "job_type": "cron", "func": "echo_args", "cron_expression": "0 3 * * *"}
    changed = (await gateway.put("/api/v1/jobs/j", json=body)).json()
    assert (changed["cron_expression"], changed["status"], changed["next_run_time"]) == ("0 3 * * *", "paused", None)
    listed = (await gateway.get("/api/v1/jobs?sort=next_run_time")).json()["items"]
    assert [(job["id"], job["status"], job["next_run_time"]) for job in listed] == [("j", "paused", None)]
    assert [(await gateway.post("/api/v1/jobs/j/resume")).status_code for _ in range(2)] == [200, 200]


async def test_c50_what_is_deleted_is_gone_and_its_history_stays(
    gateway: Any, cluster: Any, scheduled_job: Any, recorder: Any
) -> None:
    job = cluster.put("scheduledjobs", scheduled_job("j"))
    recorder.run("j", 0, uid=job["metadata"]["uid"])
    statuses = [(await gateway.request("DELETE", "/api/v1/jobs/j")).status_code for _ in range(2)]
    assert statuses == [204, 404]
    assert (await gateway.get("/api/v1/jobs/j")).status_code == 404
    [left] = (await gateway.get("/api/v1/jobs/history?job_id=j")).json()["items"]
    assert (left["job_id"], left["job_name"], left["status"]) == ("j", "名称 j", "success")

"""Cancelling executions: what is written on the ScheduledJob, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from merp_crds.names import ANNOTATION_CANCEL_PREFIX, execution_id, run_name_for_request
from merp_crds.reasons import Reason, RunState, Trigger, Verdict

READ = frozenset({"get", "list", "watch"})
UNKNOWN = "00000000-0000-0000-0000-000000000000"
STARTED: dict[str, Any] = {"end_time": None, "result": None}


def cancelled(cluster: Any, name: str = "j", namespace: str = "default") -> dict[str, dict[str, str]]:
    """What is asked to be cancelled, and by whom and when."""
    annotations = cluster.job(name, namespace)["metadata"].get("annotations") or {}
    return {
        key.removeprefix(ANNOTATION_CANCEL_PREFIX): json.loads(value)
        for key, value in annotations.items()
        if key.startswith(ANNOTATION_CANCEL_PREFIX)
    }


def path(execution: Any, query: str = "") -> str:
    return f"/api/v1/executions/{execution}/cancel{query}"


def requested(cluster: Any, name: str | None = None, **status: Any) -> dict[str, Any]:
    """The only JobRun that was asked for, as the operator answers it; with another name if one is given."""
    [(key, run)] = [(key, item) for key, item in cluster.objects.items() if key[0] == "jobruns"]
    if name is not None:
        del cluster.objects[key]
        run["metadata"]["name"] = name
        cluster.put("jobruns", run)
    if status:
        run["status"] = status
    return run  # type: ignore[no-any-return]  # the objects of the fake are JSON


@pytest.mark.parametrize("state", list(RunState))
async def test_c37_cancel_writes_who_and_when_for_the_operator(
    gateway: Any, cluster: Any, scheduled_job: Any, recorder: Any, state: RunState
) -> None:
    job = cluster.put("scheduledjobs", scheduled_job("j"))
    version = job["metadata"]["resourceVersion"]
    entry = recorder.run("j", 0, uid=job["metadata"]["uid"], status=state, **STARTED)
    response = await gateway.post(path(entry.id))
    body = response.json()
    assert response.status_code == 202, body
    assert (body["id"], body["run_name"], body["status"]) == (entry.id, "j-0", state.value)
    [(name, note)] = cancelled(cluster).items()
    assert (name, note["by"]) == ("j-0", "admin")
    assert note["at"].endswith("Z")
    [patch] = cluster.writes("PATCH", "scheduledjobs")
    assert patch.body["metadata"]["resourceVersion"] == version
    assert patch.body.keys() == {"metadata"}


async def test_c37_a_second_cancel_changes_neither_who_nor_when(
    gateway: Any, cluster: Any, scheduled_job: Any, recorder: Any
) -> None:
    job = cluster.put("scheduledjobs", scheduled_job("j"))
    entry = recorder.run("j", 0, uid=job["metadata"]["uid"], status=RunState.RUNNING, **STARTED)
    cluster.allow("b", "bert", "*")
    first = await gateway.post(path(entry.id))
    noted = cancelled(cluster)
    second = await gateway.post(path(entry.id), "b")
    assert (first.status_code, second.status_code) == (202, 202)
    assert second.json() == first.json()
    assert cancelled(cluster) == noted
    assert len(cluster.writes("PATCH", "scheduledjobs")) == 1


async def test_somebody_else_who_writes_at_the_same_time(
    gateway: Any, cluster: Any, scheduled_job: Any, recorder: Any
) -> None:
    job = cluster.put("scheduledjobs", scheduled_job("j"))
    entry = recorder.run("j", 0, uid=job["metadata"]["uid"], status=RunState.RUNNING, **STARTED)

    def interrupt() -> None:
        item = cluster.job("j")
        item["metadata"]["annotations"] = {"theirs": "1"}
        cluster.put("scheduledjobs", item)

    cluster.interruptions[("PATCH", "scheduledjobs")] = [interrupt] * 2
    assert (await gateway.post(path(entry.id))).status_code == 202
    assert cancelled(cluster).keys() == {"j-0"}
    assert cluster.job("j")["metadata"]["annotations"]["theirs"] == "1"
    assert len(cluster.writes("PATCH", "scheduledjobs")) == 3


@pytest.mark.parametrize("verdict", list(Verdict))
async def test_c37_a_finished_run_is_409_and_says_how_it_ended(
    gateway: Any, cluster: Any, scheduled_job: Any, recorder: Any, verdict: Verdict
) -> None:
    job = cluster.put("scheduledjobs", scheduled_job("j"))
    entry = recorder.run("j", 0, uid=job["metadata"]["uid"], status=verdict, reason=Reason.EXIT_CODE)
    response = await gateway.post(path(entry.id))
    assert (response.status_code, response.json()["type"]) == (409, "urn:merp:problem:finished")
    assert response.json()["detail"] == (
        f"j-0 ended as {verdict.value} (ExitCode) at 2026-12-01T00:01:00Z: there is nothing to cancel"
    )
    assert cancelled(cluster) == {}


async def test_c37_a_run_whose_end_is_not_recorded_yet_is_finished_too(
    gateway: Any, cluster: Any, scheduled_job: Any, recorder: Any
) -> None:
    job = cluster.put("scheduledjobs", scheduled_job("j"))
    entry = recorder.run("j", 0, uid=job["metadata"]["uid"], status=RunState.RUNNING, **STARTED)
    ended = {"run": "j-0", "trigger": "schedule", "verdict": "success", "endTime": "2026-12-01T00:01:00Z"}
    await cluster.set_status("j", {"recent": [ended]})
    response = await gateway.post(path(entry.id))
    assert (response.status_code, response.json()["type"]) == (409, "urn:merp:problem:finished")
    assert cancelled(cluster) == {}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        pytest.param({}, 202, id="not-looked-at"),
        pytest.param({"run": "j-r-1", "state": "running"}, 202, id="running"),
        pytest.param(
            {"conditions": [{"type": "Accepted", "status": "False", "reason": "NotReady"}]}, 202, id="waits-to-be-good"
        ),
        pytest.param({"verdict": "skipped", "reason": "Overlap"}, 409, id="refused"),
        pytest.param(
            {"conditions": [{"type": "Accepted", "status": "False", "reason": "Invalid"}]}, 409, id="no-valid-request"
        ),
    ],
)
async def test_c37_a_run_that_was_just_asked_for_is_cancelled_by_its_request(
    gateway: Any, cluster: Any, scheduled_job: Any, status: dict[str, Any], expected: int
) -> None:
    cluster.put("scheduledjobs", scheduled_job("j"))
    asked = (await gateway.post("/api/v1/jobs/j/execute")).json()
    run = requested(cluster, **status)
    response = await gateway.post(path(asked["id"]))
    assert response.status_code == expected, response.text
    assert cancelled(cluster).keys() == ({run["metadata"]["name"]} if expected == 202 else set())
    again = await gateway.post(path(asked["id"]))
    assert again.status_code == expected
    assert len(cluster.writes("PATCH", "scheduledjobs")) == (expected == 202)


async def test_c37_what_was_asked_for_stays_cancelled_once_it_is_recorded(
    gateway: Any, cluster: Any, scheduled_job: Any, recorder: Any
) -> None:
    """The operator may not have taken the annotation away yet: under either name it ends the run once."""
    job = cluster.put("scheduledjobs", scheduled_job("j"))
    asked = (await gateway.post("/api/v1/jobs/j/execute")).json()
    first = await gateway.post(path(asked["id"]))
    recorder.run(
        "j", 0, uid=job["metadata"]["uid"], run_name=asked["run_name"], status=RunState.RUNNING,
        trigger=Trigger.MANUAL, **STARTED,
    )  # fmt: skip
    second = await gateway.post(path(asked["id"]))
    assert (first.status_code, second.status_code) == (202, 202)
    assert {note["by"] for note in cancelled(cluster).values()} == {"admin"}


async def test_a_request_whose_name_is_too_long_for_an_annotation_is_cancelled_by_its_run(
    gateway: Any, cluster: Any, scheduled_job: Any
) -> None:
    cluster.put("scheduledjobs", scheduled_job("j"))
    asked = (await gateway.post("/api/v1/jobs/j/execute")).json()
    requested(cluster, "x" * 64)
    assert (await gateway.post(path(asked["id"]))).status_code == 202
    assert cancelled(cluster).keys() == {asked["run_name"]}


async def test_c37_a_run_that_only_its_jobs_status_knows(gateway: Any, cluster: Any, scheduled_job: Any) -> None:
    job = cluster.put("scheduledjobs", scheduled_job("j", displayName="盘点"))
    since = "2026-12-01T00:00:05Z"
    entry = {"run": "j-9", "trigger": "schedule", "state": "waiting", "since": since, "dueTime": "2026-12-01T00:00:00Z"}
    await cluster.set_status("j", {"active": [{"run": "j-8", "trigger": "schedule", "state": "running"}, entry]})
    execution = execution_id(job["metadata"]["uid"], "j-9")
    response = await gateway.post(path(execution))
    assert response.status_code == 202, response.text
    assert cancelled(cluster).keys() == {"j-9"}
    shown = (await gateway.get(f"/api/v1/executions/{execution}")).json()
    assert shown == response.json()
    assert (shown["id"], shown["job_name"], shown["status"], shown["trigger"]) == (
        execution, "盘点", "waiting", "schedule",
    )  # fmt: skip
    assert (shown["start_time"], shown["due_time"], shown["recorded"]) == (since, "2026-12-01T00:00:00Z", False)


async def test_c37_unknown_executions(gateway: Any, cluster: Any, scheduled_job: Any) -> None:
    cluster.put("scheduledjobs", scheduled_job("j"))
    for given in (UNKNOWN, "x", "' OR 1=1"):
        response = await gateway.post(path(given))
        assert (response.status_code, response.json()["type"]) == (404, "urn:merp:problem:not-found")
    assert cluster.writes("PATCH", "scheduledjobs") == []


@pytest.mark.parametrize("anew", [False, True], ids=["deleted", "made-anew"])
async def test_a_run_whose_job_was_deleted_ends_with_it(
    gateway: Any, cluster: Any, scheduled_job: Any, recorder: Any, anew: bool
) -> None:
    if anew:
        cluster.put("scheduledjobs", scheduled_job("j"))
    entry = recorder.run("j", 0, uid="of-old", status=RunState.RUNNING, **STARTED)
    response = await gateway.post(path(entry.id))
    assert (response.status_code, response.json()["type"]) == (409, "urn:merp:problem:job-gone")
    assert cluster.writes("PATCH", "scheduledjobs") == []


async def test_c58_cancel_is_a_write_of_the_callers_own(
    gateway: Any, cluster: Any, scheduled_job: Any, recorder: Any
) -> None:
    job = cluster.put("scheduledjobs", scheduled_job("j", "erp"))
    entry = recorder.run("j", 0, uid=job["metadata"]["uid"], namespace="erp", status=RunState.RUNNING, **STARTED)
    cluster.allow("viewer", "viewer", "erp", READ)
    cluster.allow("other", "other", "default")
    cluster.allow("editor", "editor", "erp", READ | {"patch"})
    refused = [
        await gateway.post(path(entry.id, "?namespace=erp"), "viewer"),
        await gateway.post(path(entry.id, "?namespace=erp"), "other"),
        await gateway.post(path(entry.id), "other"),
        await gateway.post(path(entry.id), None),
    ]
    assert [response.status_code for response in refused] == [403, 403, 404, 401]
    assert cancelled(cluster, namespace="erp") == {}
    done = await gateway.post(path(entry.id, "?namespace=erp"), "editor")
    assert (done.status_code, cancelled(cluster, namespace="erp")["j-0"]["by"]) == (202, "editor")
    assert cluster.writes("PATCH", "scheduledjobs")[-1].headers["Authorization"] == "Bearer editor"


async def test_without_a_namespace_a_run_is_found_wherever_the_caller_may_see_it(
    gateway: Any, cluster: Any, scheduled_job: Any, recorder: Any
) -> None:
    job = cluster.put("scheduledjobs", scheduled_job("j", "erp"))
    entry = recorder.run("j", 0, uid=job["metadata"]["uid"], namespace="erp", status=RunState.RUNNING, **STARTED)
    assert (await gateway.post(path(entry.id))).status_code == 202
    assert cancelled(cluster, namespace="erp").keys() == {"j-0"}


async def test_while_the_records_are_away_what_is_live_is_cancelled_all_the_same(
    applications: Any, cluster: Any, scheduled_job: Any, tmp_path: Path
) -> None:
    gateway = applications(database=tmp_path / "no" / "such" / "folder" / "records.db")
    job = cluster.put("scheduledjobs", scheduled_job("j"))
    await cluster.set_status("j", {"active": [{"run": "j-9", "trigger": "schedule", "state": "running"}]})
    asked = (await gateway.post("/api/v1/jobs/j/execute", json={"concurrency_policy": "Allow"})).json()
    executions = (asked["id"], execution_id(job["metadata"]["uid"], "j-9"))
    assert [(await gateway.post(path(execution))).status_code for execution in executions] == [202, 202]
    run = requested(cluster)["metadata"]
    assert asked["run_name"] == run_name_for_request("j", run["uid"], None)
    assert cancelled(cluster).keys() == {run["name"], "j-9"}
    # Of any other it cannot be said that there is none.
    response = await gateway.post(path(UNKNOWN))
    assert (response.status_code, response.json()["type"]) == (503, "urn:merp:problem:records-unavailable")

"""Finished executions once more: what is asked of the operator, and what is refused."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from merp_crds.names import ANNOTATION_CREATED_BY, execution_id, run_name_for_request
from merp_crds.reasons import RunState, Trigger, Verdict

NOON = datetime(2026, 12, 1, 12, 0, tzinfo=UTC)
DUE = "2026-12-01T00:00:00Z"
STARTED: dict[str, Any] = {"end_time": None, "result": None}
TASK = {"func": "echo_args", "args": ["all"], "kwargs": {"detailed": None}}


def path(execution: Any, query: str = "") -> str:
    return f"/api/v1/executions/{execution}/retry{query}"


def requests_of(cluster: Any) -> list[dict[str, Any]]:
    return [item for (kind, _, _), item in cluster.objects.items() if kind == "jobruns"]


@pytest.fixture
def finished(cluster: Any, scheduled_job: Any, recorder: Any) -> Any:
    """Makes the job j and a record of a run of it, failed unless it is said otherwise."""

    def make(spec: dict[str, Any] | None = None, **values: Any) -> Any:
        job = cluster.put("scheduledjobs", scheduled_job("j", values.get("namespace", "default"), **(spec or {})))
        return recorder.run("j", 0, uid=job["metadata"]["uid"], **{"status": Verdict.FAILED, "params": TASK} | values)

    return make


async def test_a_retry_is_a_run_of_its_own_for_the_same_due_time(gateway: Any, cluster: Any, finished: Any) -> None:
    entry = finished({"displayName": "盘点"})
    response = await gateway.post(path(entry.id))
    body = response.json()
    assert response.status_code == 202, body
    [run] = requests_of(cluster)
    assert run["spec"] == {
        "scheduledJob": "j",
        "run": "j-0",
        "dueTime": DUE,
        "args": ["all"],
        "kwargs": {"detailed": None},
    }
    assert run["metadata"]["annotations"] == {ANNOTATION_CREATED_BY: "admin"}
    assert run["metadata"]["ownerReferences"][0]["uid"] == entry.job_id
    name = run_name_for_request("j", run["metadata"]["uid"], entry.due_time)
    assert (body["id"], body["run_name"]) == (execution_id(entry.job_id, name), name)
    assert body["id"] != entry.id
    assert (body["trigger"], body["status"], body["due_time"]) == ("retry", "waiting", DUE)
    assert (body["job_name"], body["created_by"], body["recorded"]) == ("盘点", "admin", False)
    assert response.headers["location"] == f"/api/v1/executions/{body['id']}"
    assert (await gateway.get(response.headers["location"])).json() == body


@pytest.mark.parametrize(
    ("spec", "params"),
    [
        pytest.param({"task": {"func": "inventory_check"}}, TASK, id="another-function-by-now"),
        pytest.param({"task": None, "template": {"image": "any"}}, TASK, id="no-task-any-more"),
        pytest.param({}, None, id="a-due-time-that-never-ran"),
    ],
)
async def test_otherwise_a_retry_has_the_jobs_own_parameters(
    gateway: Any, cluster: Any, finished: Any, spec: dict[str, Any], params: Any
) -> None:
    entry = finished(spec, params=params)
    assert (await gateway.post(path(entry.id))).status_code == 202
    [run] = requests_of(cluster)
    assert run["spec"] == {"scheduledJob": "j", "run": "j-0", "dueTime": DUE}


@pytest.mark.parametrize("verdict", list(Verdict))
async def test_whatever_has_a_verdict_can_run_once_more(gateway: Any, finished: Any, verdict: Verdict) -> None:
    assert (await gateway.post(path(finished(status=verdict).id))).status_code == 202


@pytest.mark.parametrize("state", list(RunState))
async def test_an_unfinished_run_is_409(gateway: Any, cluster: Any, finished: Any, state: RunState) -> None:
    entry = finished(status=state, **STARTED)
    response = await gateway.post(path(entry.id))
    assert (response.status_code, response.json()["type"]) == (409, "urn:merp:problem:unfinished")
    assert response.json()["detail"] == f"j-0 is {state.value}: wait for its end, or cancel it first"
    assert requests_of(cluster) == []
    # Its end is not recorded yet.
    ended = {"run": "j-0", "trigger": "schedule", "verdict": "failed", "reason": "ExitCode", "dueTime": DUE}
    await cluster.set_status("j", {"recent": [ended]})
    assert (await gateway.post(path(entry.id))).status_code == 202


async def test_what_was_asked_for_by_hand_and_refused_is_retried_with_what_it_was_given(
    gateway: Any, cluster: Any, scheduled_job: Any
) -> None:
    cluster.put("scheduledjobs", scheduled_job("j"))
    asked = await gateway.post("/api/v1/jobs/j/execute", json={"args": ["A"], "due_time": DUE})
    [first] = requests_of(cluster)
    first["status"] = {"verdict": "skipped", "reason": "Overlap", "message": "j-1 is not finished"}
    response = await gateway.post(path(asked.json()["id"]))
    assert response.status_code == 202, response.text
    [again] = [run for run in requests_of(cluster) if run is not first]
    assert again["spec"] == {"scheduledJob": "j", "run": asked.json()["run_name"], "dueTime": DUE, "args": ["A"]}


@pytest.mark.parametrize(
    ("policy", "sent", "status"),
    [
        pytest.param(None, None, 409, id="forbid-by-default"),
        pytest.param("Forbid", {"concurrency_policy": "Allow"}, 202, id="asked-to-allow"),
        pytest.param("Allow", None, 202, id="allow"),
        pytest.param("Queue", {}, 202, id="queue"),
        pytest.param("Replace", {}, 202, id="replace"),
    ],
)
async def test_a_retry_beside_an_unfinished_run(
    gateway: Any, cluster: Any, finished: Any, policy: str | None, sent: Any, status: int
) -> None:
    entry = finished({"concurrencyPolicy": policy})
    active = {"run": "j-29000000", "trigger": "schedule", "state": "running"}
    await cluster.set_status("j", {"active": [active]})
    response = await gateway.post(path(entry.id), json=sent)
    assert response.status_code == status, response.text
    if status == 409:
        assert response.json()["type"] == "urn:merp:problem:overlap"
        assert "j-29000000" in response.json()["detail"]
        assert requests_of(cluster) == []
    else:
        assert requests_of(cluster)[0]["spec"].get("concurrencyPolicy") == (sent or {}).get("concurrency_policy")


async def test_a_repeat_with_the_same_key_is_the_same_retry(
    gateway: Any, cluster: Any, finished: Any, recorder: Any
) -> None:
    entry = finished()
    other = recorder.run("j", 1, uid=entry.job_id)
    headers = {"Idempotency-Key": "17"}
    first = await gateway.post(path(entry.id), headers=headers)
    # Under Forbid it is the very run that is unfinished now.
    active = {"run": first.json()["run_name"], "trigger": "retry", "state": "running"}
    await cluster.set_status("j", {"active": [active]})
    again = await gateway.post(path(entry.id), headers=headers)
    other_body = await gateway.post(path(entry.id), headers=headers, json={"concurrency_policy": "Allow"})
    await cluster.set_status("j", {})
    other_run = await gateway.post(path(other.id), headers=headers)
    executed = await gateway.post("/api/v1/jobs/j/execute", headers=headers)
    statuses = [answer.status_code for answer in (first, again, other_body, other_run, executed)]
    assert statuses == [202, 202, 409, 202, 202]
    assert other_body.json()["type"] == "urn:merp:problem:idempotency-key-reused"
    assert first.json() == again.json()
    assert len({answer.json()["id"] for answer in (first, other_run, executed)}) == 3


@pytest.mark.parametrize(
    ("sent", "pointer"),
    [
        pytest.param({"args": []}, "#/args", id="parameters-are-those-of-the-run"),
        pytest.param({"concurrency_policy": "Replace"}, "#/concurrency_policy", id="policy-that-cannot-be-asked-for"),
        pytest.param([], "#", id="no-object"),
    ],
)
async def test_a_retry_with_a_wrong_body(gateway: Any, cluster: Any, finished: Any, sent: Any, pointer: str) -> None:
    response = await gateway.post(path(finished().id), json=sent)
    assert (response.status_code, response.json()["errors"][0]["pointer"]) == (400, pointer)
    assert requests_of(cluster) == []


async def test_a_record_of_many_due_times_is_no_run(gateway: Any, cluster: Any, finished: Any) -> None:
    entry = finished(status=Verdict.MISSED, due_time_end=NOON, count=6)
    response = await gateway.post(path(entry.id))
    assert response.status_code == 409, response.text
    assert response.json()["type"] == "urn:merp:problem:too-many-due-times"
    assert "6 due times" in response.json()["detail"]
    assert requests_of(cluster) == []


async def test_a_retry_of_what_cannot_be_run(
    gateway: Any, cluster: Any, finished: Any, condition: Any, recorder: Any
) -> None:
    entry = finished()
    gone = recorder.run("gone", 0)
    unknown = await gateway.post(path("00000000-0000-0000-0000-000000000000"))
    without_job = await gateway.post(path(gone.id))
    await cluster.set_status(
        "j", {"conditions": [condition("Ready", "False", "UnknownTask", "task.func: no such task")]}
    )
    invalid = await gateway.post(path(entry.id))
    assert [answer.status_code for answer in (unknown, without_job, invalid)] == [404, 409, 409]
    assert [answer.json()["type"].rpartition(":")[2] for answer in (unknown, without_job, invalid)] == [
        "not-found", "job-gone", "invalid-job",
    ]  # fmt: skip
    assert "no such task" in invalid.json()["detail"]
    assert requests_of(cluster) == []


async def test_c58_a_retry_is_a_write_of_the_callers_own(gateway: Any, cluster: Any, finished: Any) -> None:
    entry = finished(namespace="erp")
    cluster.allow("viewer", "viewer", "erp", frozenset({"get", "list", "watch"}))
    cluster.allow("editor", "editor", "erp", frozenset({"get", "list", "create"}))
    refused = await gateway.post(path(entry.id, "?namespace=erp"), "viewer")
    done = await gateway.post(path(entry.id, "?namespace=erp"), "editor")
    assert (refused.status_code, done.status_code) == (403, 202)
    [run] = requests_of(cluster)
    assert (run["metadata"]["namespace"], done.json()["created_by"]) == ("erp", "editor")
    assert done.headers["location"] == f"/api/v1/executions/{done.json()['id']}?namespace=erp"
    assert cluster.calls("POST", "jobruns")[-1].headers["Authorization"] == "Bearer editor"


async def test_a_retry_of_a_retry(gateway: Any, cluster: Any, finished: Any, recorder: Any) -> None:
    entry = finished()
    first = (await gateway.post(path(entry.id))).json()
    recorder.run(
        "j", 0, uid=entry.job_id, run_name=first["run_name"], trigger=Trigger.RETRY, status=Verdict.FAILED,
        due_time=entry.due_time + timedelta(microseconds=5),
    )  # fmt: skip
    second = await gateway.post(path(first["id"]))
    assert (second.status_code, second.json()["due_time"]) == (202, DUE)
    assert requests_of(cluster)[1]["spec"]["run"] == first["run_name"]

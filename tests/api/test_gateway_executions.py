"""Runs by hand, history and single executions."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from merp_crds.names import ANNOTATION_CREATED_BY, execution_id, run_name_for_request
from merp_crds.reasons import Trigger, Verdict

EPOCH = datetime(2026, 12, 1, 0, 0, tzinfo=UTC)


async def test_execute_answers_with_the_id_before_anything_runs(gateway: Any, cluster: Any, scheduled_job: Any) -> None:
    job = cluster.put("scheduledjobs", scheduled_job("j", displayName="盘点"))
    response = await gateway.post("/api/v1/jobs/j/execute")
    body = response.json()
    assert response.status_code == 202, body
    [run] = [item for (kind, _, _), item in cluster.objects.items() if kind == "jobruns"]
    name = run_name_for_request("j", run["metadata"]["uid"], None)
    assert body["id"] == execution_id(job["metadata"]["uid"], name)
    assert response.headers["location"] == f"/api/v1/executions/{body['id']}"
    assert (body["job_id"], body["job_name"], body["run_name"], body["status"]) == ("j", "盘点", name, "waiting")
    assert (body["trigger"], body["created_by"], body["recorded"]) == ("manual", "admin", False)
    assert run["spec"] == {"scheduledJob": "j"}
    assert run["metadata"]["annotations"] == {ANNOTATION_CREATED_BY: "admin"}
    assert run["metadata"]["ownerReferences"][0]["uid"] == job["metadata"]["uid"]
    assert (await gateway.get(response.headers["location"])).json() == body


async def test_execute_with_parameters(gateway: Any, cluster: Any, scheduled_job: Any) -> None:
    job = cluster.put("scheduledjobs", scheduled_job("j", schedule={"cron": "* * * * *", "timeZone": "Asia/Shanghai"}))
    sent = {"args": ["A"], "kwargs": {}, "due_time": "2026-12-01T08:00:00", "concurrency_policy": "Allow"}
    response = await gateway.post("/api/v1/jobs/j/execute", json=sent)
    assert response.status_code == 202, response.text
    [run] = [item for (kind, _, _), item in cluster.objects.items() if kind == "jobruns"]
    assert run["spec"] == {
        "scheduledJob": "j",
        "args": ["A"],
        "kwargs": {},
        "dueTime": "2026-12-01T00:00:00Z",
        "concurrencyPolicy": "Allow",
    }
    name = run_name_for_request("j", run["metadata"]["uid"], EPOCH)
    assert response.json()["id"] == execution_id(job["metadata"]["uid"], name)
    assert response.json()["due_time"] == "2026-12-01T00:00:00Z"


async def test_parameters_of_a_run_and_of_its_job_have_their_size_together(
    gateway: Any, cluster: Any, scheduled_job: Any
) -> None:
    large = "x" * 40_000
    cluster.put("scheduledjobs", scheduled_job("j", task={"func": "echo_args", "args": [large]}))
    refused = await gateway.post("/api/v1/jobs/j/execute", json={"kwargs": {"note": large}})
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (400, "too_long")
    assert not cluster.writes("POST", "jobruns")
    assert (await gateway.post("/api/v1/jobs/j/execute", json={"args": [], "kwargs": {"note": large}})).is_success


@pytest.mark.parametrize(
    ("sent", "pointer"),
    [
        pytest.param({"due_time": "soon"}, "#/due_time", id="no-time"),
        pytest.param({"due_time": "2999-01-01"}, "#/due_time", id="so-far-ahead-that-every-window-would-have-it"),
        pytest.param({"params": {}}, "#/params", id="unknown-field"),
        pytest.param({"args": {}}, "#/args", id="args-as-object"),
        pytest.param({"args": ["x" * 70_000]}, "#/args", id="too-large"),
        pytest.param({"concurrency_policy": "Forbid"}, "#/concurrency_policy", id="policy-that-cannot-be-asked-for"),
    ],
)
async def test_execute_with_a_wrong_body(
    gateway: Any, cluster: Any, scheduled_job: Any, sent: Any, pointer: str
) -> None:
    cluster.put("scheduledjobs", scheduled_job("j"))
    response = await gateway.post("/api/v1/jobs/j/execute", json=sent)
    assert (response.status_code, response.json()["errors"][0]["pointer"]) == (400, pointer)
    assert cluster.calls("POST", "jobruns") == []


async def test_execute_of_no_job_is_404(gateway: Any, cluster: Any) -> None:
    response = await gateway.post("/api/v1/jobs/nope/execute")
    assert (response.status_code, response.json()["detail"]) == (404, "there is no job 'nope'")
    assert cluster.calls("POST", "jobruns") == []


async def test_a_repeat_with_the_same_key_is_the_same_run(gateway: Any, cluster: Any, scheduled_job: Any) -> None:
    cluster.put("scheduledjobs", scheduled_job("j"))
    cluster.put("scheduledjobs", scheduled_job("k"))
    headers = {"Idempotency-Key": "17"}
    first = await gateway.post("/api/v1/jobs/j/execute", json={}, headers=headers)
    job = cluster.job("j")
    await cluster.set_status("j", {"active": [{"run": first.json()["run_name"]}]} | job.get("status", {}))
    again = await gateway.post("/api/v1/jobs/j/execute", json={}, headers=headers)
    other_body = await gateway.post("/api/v1/jobs/j/execute", json={"args": [1]}, headers=headers)
    other_job = await gateway.post("/api/v1/jobs/k/execute", json={}, headers=headers)
    statuses = [answer.status_code for answer in (first, again, other_body, other_job)]
    assert statuses == [202, 202, 409, 202]
    assert first.json() == again.json()
    assert other_job.json()["id"] != first.json()["id"]


async def test_two_that_send_the_same_key_at_once(gateway: Any, cluster: Any, scheduled_job: Any, refusal: Any) -> None:
    cluster.put("scheduledjobs", scheduled_job("j"))
    headers = {"Idempotency-Key": "17"}
    first = await gateway.post("/api/v1/jobs/j/execute", headers=headers)
    # The second one looked before the first had written.
    cluster.refusals[("GET", "jobruns")] = [refusal(404, "NotFound", "", {"name": "x"})]
    second = await gateway.post("/api/v1/jobs/j/execute", headers=headers)
    assert (second.status_code, second.json()) == (202, first.json())


@pytest.mark.parametrize(
    ("policy", "sent", "status"),
    [
        pytest.param(None, {}, 409, id="forbid-by-default"),
        pytest.param("Forbid", {"concurrency_policy": "Allow"}, 202, id="asked-to-allow"),
        pytest.param("Allow", {}, 202, id="allow"),
        pytest.param("Queue", {}, 202, id="queue"),
        pytest.param("Replace", {}, 202, id="replace"),
    ],
)
async def test_execute_beside_an_unfinished_run(
    gateway: Any, cluster: Any, scheduled_job: Any, policy: str | None, sent: Any, status: int
) -> None:
    cluster.put("scheduledjobs", scheduled_job("j", concurrencyPolicy=policy))
    await cluster.set_status("j", {"active": [{"run": "j-29000000"}]})
    response = await gateway.post("/api/v1/jobs/j/execute", json=sent)
    assert response.status_code == status, response.text
    if status == 409:
        assert response.json()["type"] == "urn:merp:problem:overlap"
        assert "j-29000000" in response.json()["detail"]


async def test_execute_of_an_invalid_job_says_what_is_wrong(
    gateway: Any, cluster: Any, scheduled_job: Any, condition: Any
) -> None:
    cluster.put("scheduledjobs", scheduled_job("j"))
    ready = condition("Ready", "False", "UnknownTask", "task.func: there is no such task")
    await cluster.set_status("j", {"conditions": [ready]})
    response = await gateway.post("/api/v1/jobs/j/execute")
    assert (response.status_code, response.json()["type"]) == (409, "urn:merp:problem:invalid-job")
    assert "there is no such task" in response.json()["detail"]


async def test_an_execution_that_the_operator_refused(gateway: Any, cluster: Any, scheduled_job: Any) -> None:
    cluster.put("scheduledjobs", scheduled_job("j"))
    location = (await gateway.post("/api/v1/jobs/j/execute")).headers["location"]
    [run] = [item for (kind, _, _), item in cluster.objects.items() if kind == "jobruns"]
    run["status"] = {"verdict": "skipped", "reason": "Overlap", "message": "j-1 is not finished"}
    body = (await gateway.get(location)).json()
    assert (body["status"], body["reason"], body["error"]) == ("skipped", "Overlap", "j-1 is not finished")


async def test_history_newest_first_with_results(gateway: Any, recorder: Any) -> None:
    recorder.run("j", 0)
    recorder.run("j", 1, status=Verdict.FAILED, result=None, error="boom", exit_code=1, trigger=Trigger.MANUAL)
    recorder.run("k", 2, result="not JSON")
    items = (await gateway.get("/api/v1/jobs/history")).json()["items"]
    assert [(item["job_id"], item["status"]) for item in items] == [
        ("k", "success"), ("j", "failed"), ("j", "success"),
    ]  # fmt: skip
    assert [item["result"] for item in items] == ["not JSON", None, {"checked": 3}]
    assert items[2]["job_name"] == "名称 j"
    assert items[2]["start_time"] == "2026-12-01T00:00:00Z"
    assert (items[1]["error"], items[1]["exit_code"], items[1]["trigger"]) == ("boom", 1, "manual")
    assert all(item["recorded"] for item in items)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param("job_id=j", ["j-1", "j-0"], id="job"),
        pytest.param("status=failed", ["j-1"], id="status"),
        pytest.param("status=failed&status=timeout", ["k-2", "j-1"], id="two-statuses"),
        pytest.param("trigger=manual", ["k-2"], id="trigger"),
        pytest.param("start=2026-12-01T01:00:00", ["k-2", "j-1"], id="C46-naive-is-UTC"),
        pytest.param("start=2026-12-01T09:00:00%2B08:00", ["k-2", "j-1"], id="C46-offset"),
        pytest.param("start=2026-12-01", ["k-2", "j-1", "j-0"], id="a-date"),
        pytest.param("end=2026-12-01T01:00:00Z", ["j-0"], id="end-is-outside"),
        pytest.param("start=2026-12-01T01:00:00Z&end=2026-12-01T01:00:00Z", [], id="an-empty-range"),
        pytest.param("text=K-2", ["k-2"], id="text-of-the-run"),
        pytest.param("text=名称%20j&status=failed", ["j-1"], id="text-of-the-job-and-a-status"),
        pytest.param("text=CHECKED", ["k-2", "j-1", "j-0"], id="text-of-the-result-in-any-case"),
        pytest.param("text=%25", [], id="percent-is-a-character"),
        pytest.param("job_id=%25", [], id="percent-is-no-wildcard"),
        pytest.param("job_id=j'%20OR%201=1--", [], id="a-quote"),
        pytest.param("job_id=库存", [], id="not-ascii"),
    ],
)
async def test_history_filters(gateway: Any, recorder: Any, query: str, expected: list[str]) -> None:
    recorder.run("j", 0)
    recorder.run("j", 1, status=Verdict.FAILED)
    recorder.run("k", 2, status=Verdict.TIMEOUT, trigger=Trigger.MANUAL)
    response = await gateway.get(f"/api/v1/jobs/history?{query}")
    assert [item["run_name"] for item in response.json()["items"]] == expected


async def test_history_in_pages(gateway: Any, recorder: Any) -> None:
    for number in range(5):
        recorder.run("j", number)
    path, seen = "/api/v1/jobs/history?limit=2", []
    while path:
        response = await gateway.get(path)
        seen += [item["run_name"] for item in response.json()["items"]]
        path = response.headers.get("link", "").partition(">")[0].removeprefix("<")
    assert seen == [f"j-{number}" for number in reversed(range(5))]


async def test_c50_a_job_made_anew_does_not_inherit_runs(
    gateway: Any, cluster: Any, scheduled_job: Any, recorder: Any
) -> None:
    cluster.put("scheduledjobs", scheduled_job("j"))["metadata"]["uid"] = "new-uid"
    recorder.run("j", 0, uid="old-uid")
    recorder.run("j", 1, uid="new-uid")
    own = (await gateway.get("/api/v1/jobs/j/history")).json()["items"]
    by_name = (await gateway.get("/api/v1/jobs/history?job_id=j")).json()["items"]
    assert [item["run_name"] for item in own] == ["j-1"]
    assert [item["job_uid"] for item in by_name] == ["new-uid", "old-uid"]
    assert (await gateway.get("/api/v1/jobs/gone/history")).status_code == 404


async def test_one_execution(gateway: Any, recorder: Any) -> None:
    entry = recorder.run("j", 0, params={"args": ["all"]}, node="n1", log_tail="last line", waited_seconds=1.5)
    body = (await gateway.get(f"/api/v1/executions/{entry.id}")).json()
    assert (body["id"], body["params"], body["node"]) == (entry.id, {"args": ["all"]}, "n1")
    assert (body["log_tail"], body["waited_seconds"]) == ("last line", 1.5)
    assert datetime.fromisoformat(body["end_time"]) - datetime.fromisoformat(body["start_time"]) == timedelta(minutes=1)


@pytest.mark.parametrize("given", ["00000000-0000-0000-0000-000000000000", "x", "' OR 1=1", "%00"])
async def test_no_such_execution(gateway: Any, given: str) -> None:
    response = await gateway.get(f"/api/v1/executions/{given}")
    assert (response.status_code, response.json()["type"]) == (404, "urn:merp:problem:not-found")


async def test_an_execution_whose_job_is_gone_has_the_name_that_is_left(
    gateway: Any, cluster: Any, scheduled_job: Any
) -> None:
    cluster.put("scheduledjobs", scheduled_job("j", displayName="盘点"))
    location = (await gateway.post("/api/v1/jobs/j/execute")).headers["location"]
    del cluster.objects[("scheduledjobs", "default", "j")]
    assert (await gateway.get(location)).json()["job_name"] == "j"
    cluster.put("scheduledjobs", scheduled_job("j", displayName="another job of that id"))
    assert (await gateway.get(location)).json()["job_name"] == "j"


async def test_an_execution_is_asked_for_once_it_is_recorded_in_the_records_only(
    gateway: Any, cluster: Any, scheduled_job: Any, recorder: Any
) -> None:
    job = cluster.put("scheduledjobs", scheduled_job("j"))
    asked = (await gateway.post("/api/v1/jobs/j/execute")).json()
    recorder.run("j", 0, uid=job["metadata"]["uid"], run_name=asked["run_name"], trigger=Trigger.MANUAL)
    before = len(cluster.calls("GET", "jobruns"))
    body = (await gateway.get(f"/api/v1/executions/{asked['id']}")).json()
    assert (body["id"], body["status"], body["recorded"]) == (asked["id"], "success", True)
    assert len(cluster.calls("GET", "jobruns")) == before


async def test_who_may_not_list_requests_gets_404_until_the_record_is_there(
    gateway: Any, cluster: Any, refusal: Any
) -> None:
    cluster.refusals[("GET", "jobruns")] = [refusal(403, "Forbidden", "no")]
    response = await gateway.get("/api/v1/executions/00000000-0000-0000-0000-000000000000")
    assert response.status_code == 404


async def test_parameters_for_an_image_without_a_task(gateway: Any, cluster: Any, scheduled_job: Any) -> None:
    cluster.put("scheduledjobs", scheduled_job("j", task=None, template={"image": "any"}))
    response = await gateway.post("/api/v1/jobs/j/execute", json={"args": [1], "kwargs": {}})
    assert [entry["pointer"] for entry in response.json()["errors"]] == ["#/args", "#/kwargs"]


@pytest.mark.parametrize(
    ("result", "shown"), [("[" * 300 + "]" * 300, "…"), ('"\\ud800"', "ud800"), ('"\\u5e93"', "库"), ('{"n": 1}', "n")]
)
async def test_a_result_of_any_image_can_be_told(gateway: Any, recorder: Any, result: str, shown: str) -> None:
    recorder.run("j", 1, result=result)
    answer = await gateway.get("/api/v1/jobs/history")
    assert answer.status_code == 200
    assert shown in str(answer.json()["items"][0]["result"])


async def test_parameters_of_any_depth_can_be_told(gateway: Any, recorder: Any) -> None:
    deep: Any = 1
    # As deep as a record takes them, which is deeper than an answer is.
    for _ in range(90):
        deep = [deep]
    recorder.run("j", 1, params={"func": "echo_args", "args": [deep]})
    answer = await gateway.get("/api/v1/jobs/history")
    assert answer.status_code == 200
    assert "…" in str(answer.json()["items"][0]["params"])

"""The log of an execution: of its pod, or what the records keep."""

import asyncio
from typing import Any

import pytest

from merp_api.logs import newest_started
from merp_crds.names import LABEL_JOB_NAME, LABEL_SCHEDULED_JOB_UID
from merp_crds.reasons import Verdict

READ_JOBS = frozenset({"get", "list"})
# Far more than any wait takes: the machine may be busy with other suites.
PATIENCE = 60.0


def _pod(name: str, created: str = "2026-12-01T00:00:00Z", state: str | None = "running", uid: str = "uid-default-j",
         run: str = "j-0") -> dict[str, Any]:  # fmt: skip
    statuses = [] if state is None else [{"name": "task", "state": {state: {}}}]
    return {
        "metadata": {
            "name": name,
            "namespace": "default",
            "creationTimestamp": created,
            "labels": {LABEL_JOB_NAME: run, LABEL_SCHEDULED_JOB_UID: uid},
        },
        "status": {"containerStatuses": statuses},
    }


async def _id(gateway: Any) -> str:
    [item] = (await gateway.get("/api/v1/jobs/history")).json()["items"]
    return str(item["id"])


@pytest.mark.parametrize(
    ("pods", "expected"),
    [
        pytest.param([], None, id="none"),
        pytest.param([_pod("a", state="waiting"), _pod("b", state=None)], None, id="none-has-begun"),
        pytest.param([_pod("a", "2026-12-01T00:01:00Z"), _pod("b")], "a", id="the-newest"),
        pytest.param([_pod("a", "2026-12-01T00:01:00Z", "waiting"), _pod("b", state="terminated")], "b", id="begun"),
    ],
)
def test_which_pod_has_the_log(pods: list[dict[str, Any]], expected: str | None) -> None:
    assert newest_started(pods) == expected


async def test_the_log_of_a_pod_by_the_callers_token(gateway: Any, cluster: Any, recorder: Any) -> None:
    recorder.run("j", 0)
    cluster.put("pods", _pod("j-0-aaaaa"))
    cluster.put("pods", _pod("earlier-job", "2026-12-02T00:00:00Z", uid="another"))
    cluster.put("pods", _pod("other-run", "2026-12-02T00:00:00Z", run="j-1"))
    cluster.logs["j-0-aaaaa"] = "第一行\nsecond\n"
    response = await gateway.get(f"/api/v1/executions/{await _id(gateway)}/log?follow=true&lines=10")
    assert (response.status_code, response.text) == (200, "第一行\nsecond\n")
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert response.headers["log-source"] == "pod"
    [seen] = [seen for seen in cluster.seen if seen.path.endswith("/log")]
    assert seen.path == "/api/v1/namespaces/default/pods/j-0-aaaaa/log"
    assert seen.query == {"container": "task", "follow": "true", "tailLines": "10"}
    assert seen.headers["Authorization"] == "Bearer token-of-admin"


async def test_an_empty_log_is_a_log(gateway: Any, cluster: Any, recorder: Any) -> None:
    recorder.run("j", 0)
    cluster.put("pods", _pod("j-0-aaaaa"))
    cluster.logs["j-0-aaaaa"] = ""
    response = await gateway.get(f"/api/v1/executions/{await _id(gateway)}/log")
    assert (response.status_code, response.text, response.headers["log-source"]) == (200, "", "pod")


async def test_what_is_kept_of_each_failed_attempt(gateway: Any, recorder: Any) -> None:
    attempts = [
        {"pod": "j-0-a", "exitCode": 1, "logTail": "Traceback\nKeyError: 7\n"},
        {"pod": "j-0-b", "exitCode": 1, "logTail": "again"},
        {"pod": "j-0-c", "exitCode": 0},
    ]
    recorder.run("j", 0, status=Verdict.FAILED, attempt_details=attempts, log_tail="again")
    response = await gateway.get(f"/api/v1/executions/{await _id(gateway)}/log")
    assert response.text == "--- j-0-a\nTraceback\nKeyError: 7\n--- j-0-b\nagain\n"
    assert response.headers["log-source"] == "records"


async def test_what_is_kept_of_the_run_alone(gateway: Any, recorder: Any) -> None:
    recorder.run("j", 0, status=Verdict.FAILED, log_tail="the end\n\n")
    assert (await gateway.get(f"/api/v1/executions/{await _id(gateway)}/log")).text == "the end\n"


@pytest.mark.parametrize("refused", ["pods", "log"])
async def test_who_may_not_read_pods_gets_what_is_kept(
    gateway: Any, cluster: Any, recorder: Any, refusal: Any, refused: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway.app.state.services.logs, "_refusal_seconds", PATIENCE)
    recorder.run("j", 0, status=Verdict.FAILED, log_tail="kept")
    cluster.put("pods", _pod("j-0-aaaaa"))
    refusals = [refusal(403, "Forbidden", "no")]
    cluster.refusals[("GET", "pods")] = refusals
    if refused == "log":
        # The list is answered; the log is not.
        cluster.refusals[("GET", "pods")] = []
        cluster.interruptions[("GET", "pods")] = [lambda: cluster.refusals[("GET", "pods")].extend(refusals)]
    response = await gateway.get(f"/api/v1/executions/{await _id(gateway)}/log")
    assert (response.status_code, response.text, response.headers["log-source"]) == (200, "kept\n", "records")


async def test_no_log_is_404_that_says_why(gateway: Any, recorder: Any) -> None:
    recorder.run("j", 0)
    response = await gateway.get(f"/api/v1/executions/{await _id(gateway)}/log")
    assert response.status_code == 404
    assert "its pod is gone" in response.json()["detail"]


async def test_the_log_of_another_namespace_is_404(gateway: Any, cluster: Any, recorder: Any) -> None:
    recorder.run("j", 0, log_tail="secret")
    cluster.allow("t", "erp-reader", "erp", READ_JOBS)
    response = await gateway.get(f"/api/v1/executions/{await _id(gateway)}/log?namespace=erp", "t")
    assert response.status_code == 404
    assert "secret" not in response.text


@pytest.mark.parametrize("query", ["lines=0", "lines=x", "follow=maybe", "tail=1"])
async def test_a_wrong_query_is_400(gateway: Any, recorder: Any, query: str) -> None:
    recorder.run("j", 0)
    assert (await gateway.get(f"/api/v1/executions/{await _id(gateway)}/log?{query}")).status_code == 400


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing-yet"),
        pytest.param("first\n", id="a-line"),
        pytest.param("10 %\r20 %\r", id="what-is-no-line-yet"),
    ],
)
async def test_whoever_goes_away_holds_no_place(
    gateway: Any, cluster: Any, recorder: Any, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    services = gateway.app.state.services
    monkeypatch.setattr(services.logs, "_refusal_seconds", 0.02, raising=False)
    recorder.run("j", 0)
    cluster.put("pods", _pod("j-0-aaaaa"))
    cluster.logs["j-0-aaaaa"] = text
    cluster.going_on.add("j-0-aaaaa")
    told: list[Any] = []
    begun = asyncio.Event()

    async def receive() -> Any:
        await begun.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        told.append(message.get("status", message.get("body")))
        if len(told) == 1 + bool(text):
            begun.set()

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "method": "GET", "scheme": "http", "http_version": "1.1",
        "path": f"/api/v1/executions/{await _id(gateway)}/log", "query_string": b"follow=true",
        "headers": [(b"authorization", b"Bearer token-of-admin")],
    }  # fmt: skip
    async with asyncio.timeout(PATIENCE):
        await gateway.app(scope, receive, send)
    assert told == [200, *([text.encode()] if text else [])]
    assert services.streams._open.total() == 0


async def test_logs_that_go_on_leave_connections_for_everybody_else(
    applications: Any, cluster: Any, recorder: Any, scheduled_job: Any
) -> None:
    gateway = applications(settings={"merp_streams_per_user": 100})
    recorder.run("j", 0)
    cluster.put("scheduledjobs", scheduled_job("j"))
    cluster.put("pods", _pod("j-0-aaaaa"))
    cluster.logs["j-0-aaaaa"] = "first\n"
    cluster.going_on.add("j-0-aaaaa")
    path = f"/api/v1/executions/{await _id(gateway)}/log?follow=true"
    readers = [asyncio.create_task(gateway.get(path)) for _ in range(50)]
    try:
        async with asyncio.timeout(PATIENCE):
            for _ in readers:
                await cluster.followed.acquire()
            assert (await gateway.post("/api/v1/jobs/j/execute")).status_code == 202
    finally:
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)

"""One thing for many jobs: a result for each, and dry runs that change nothing."""

import copy
from typing import Any

import pytest

from merp_crds.names import ANNOTATION_PAUSED

BATCH = "/api/v1/jobs/batch"
READ = frozenset({"get", "list", "watch"})


def _results(response: Any) -> list[tuple[str, bool, int]]:
    assert response.status_code == 200, response.text
    body = response.json()
    assert body["succeeded"] == sum(item["ok"] for item in body["items"])
    assert body["succeeded"] + body["failed"] == len(body["items"])
    return [(item["id"], item["ok"], item["status"]) for item in body["items"]]


@pytest.fixture
def jobs(cluster: Any, scheduled_job: Any) -> None:
    for name in ("a", "b"):
        cluster.put("scheduledjobs", scheduled_job(name))


@pytest.mark.usefixtures("jobs")
async def test_many_are_paused_and_resumed(gateway: Any, cluster: Any) -> None:
    sent = {"action": "pause", "ids": ["b", "nope", "a"], "reason": "盘点"}
    response = await gateway.post(BATCH, json=sent)
    assert _results(response) == [("b", True, 200), ("nope", False, 404), ("a", True, 200)]
    assert response.json()["items"][1]["type"] == "urn:merp:problem:not-found"
    for name in ("a", "b"):
        assert "盘点" in cluster.job(name)["metadata"]["annotations"][ANNOTATION_PAUSED]
    assert _results(await gateway.post(BATCH, json={"action": "resume", "ids": ["a", "b"]})) == [
        ("a", True, 200),
        ("b", True, 200),
    ]
    assert ANNOTATION_PAUSED not in cluster.job("a")["metadata"]["annotations"]


@pytest.mark.usefixtures("jobs")
async def test_nobody_waits_for_the_operator(gateway: Any, cluster: Any) -> None:
    cluster.operator = False
    assert _results(await gateway.post(BATCH, json={"action": "pause", "ids": ["a"]})) == [("a", True, 200)]
    assert not cluster.watched.is_set()


@pytest.mark.usefixtures("jobs")
async def test_each_execution_has_its_id_and_a_key_makes_one_of_two(gateway: Any, cluster: Any) -> None:
    sent = {"action": "execute", "ids": ["a", "b"]}
    answers = [await gateway.post(BATCH, json=sent, headers={"Idempotency-Key": "k"}) for _ in range(2)]
    assert answers[0].json() == answers[1].json()
    ids = [item["execution_id"] for item in answers[0].json()["items"]]
    assert len(set(ids)) == 2
    assert len([kind for kind, _, _ in cluster.objects if kind == "jobruns"]) == 2
    for execution in ids:
        assert (await gateway.get(f"/api/v1/executions/{execution}")).status_code == 200


@pytest.mark.usefixtures("jobs")
async def test_many_are_deleted(gateway: Any, cluster: Any) -> None:
    assert _results(await gateway.post(BATCH, json={"action": "delete", "ids": ["a", "b"]})) == [
        ("a", True, 200),
        ("b", True, 200),
    ]
    assert not cluster.objects


@pytest.mark.usefixtures("jobs")
@pytest.mark.parametrize("action", ["pause", "resume", "execute", "delete"])
async def test_a_dry_run_says_the_same_and_changes_nothing(gateway: Any, cluster: Any, action: str) -> None:
    cluster.job("b")["metadata"]["annotations"] = {ANNOTATION_PAUSED: "{}"}
    before = copy.deepcopy(cluster.objects)
    sent = {"action": action, "ids": ["a", "b", "nope"], "dry_run": True}
    response = await gateway.post(BATCH, json=sent)
    assert _results(response) == [("a", True, 200), ("b", True, 200), ("nope", False, 404)]
    assert response.json()["dry_run"] is True
    assert {item["execution_id"] for item in response.json()["items"]} == {None}
    assert cluster.objects == before


@pytest.mark.usefixtures("jobs")
@pytest.mark.parametrize("action", ["pause", "execute", "delete"])
async def test_who_may_only_read_is_refused_for_each_in_a_dry_run_too(gateway: Any, cluster: Any, action: str) -> None:
    cluster.allow("viewer", "viewer", "default", READ)
    before = copy.deepcopy(cluster.objects)
    for dry_run in (True, False):
        sent = {"action": action, "ids": ["a", "b"], "dry_run": dry_run}
        response = await gateway.post(BATCH, "viewer", json=sent)
        assert _results(response) == [("a", False, 403), ("b", False, 403)]
    assert cluster.objects == before


async def test_one_that_cannot_run_holds_up_no_other(gateway: Any, cluster: Any, scheduled_job: Any) -> None:
    busy = scheduled_job("busy")
    busy["status"] = {"active": [{"run": "busy-1", "trigger": "schedule", "state": "running"}]}
    cluster.put("scheduledjobs", busy)
    cluster.put("scheduledjobs", scheduled_job("idle"))
    response = await gateway.post(BATCH, json={"action": "execute", "ids": ["busy", "idle"]})
    assert _results(response) == [("busy", False, 409), ("idle", True, 200)]
    assert response.json()["items"][0]["type"] == "urn:merp:problem:overlap"


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        pytest.param({}, {"#/action": "required", "#/ids": "required"}, id="nothing"),
        pytest.param({"action": "stop", "ids": []}, {"#/action": "invalid", "#/ids": "too_short"}, id="no-ids"),
        pytest.param({"action": "delete", "ids": ["a", "a", "b"]}, {"#/ids/1": "duplicate"}, id="one-twice"),
        pytest.param({"action": "delete", "ids": ["../x"]}, {"#/ids/0": "invalid"}, id="no-id"),
        pytest.param(
            {"action": "delete", "ids": ["a"], "reason": "x"}, {"#/reason": "mismatch"}, id="a-reason-for-no-pause"
        ),
        pytest.param(
            {"action": "delete", "ids": [f"j-{number}" for number in range(101)]}, {"#/ids": "too_long"}, id="too-many"
        ),
        pytest.param({"action": "delete", "ids": ["a"], "dry_run": "no"}, {"#/dry_run": "wrong_type"}, id="text"),
    ],
)
async def test_a_wrong_batch_does_nothing(gateway: Any, cluster: Any, sent: Any, expected: dict[str, str]) -> None:
    response = await gateway.post(BATCH, json=sent)
    assert response.status_code == 400, response.text
    assert {entry["pointer"]: entry["code"] for entry in response.json()["errors"]} == expected
    assert not [seen for seen in cluster.seen if "scheduledjobs" in seen.path]

"""What the gateway has in memory: never older than what its caller was told, never for who may not read it."""

from datetime import UTC, datetime
from typing import Any

import pytest

from merp_crds.names import execution_id, run_name_for_request

READ = frozenset({"get", "list", "watch"})
BODY = {"id": "j", "name": "x", "job_type": "cron", "func": "echo_args", "cron_expression": "0 0 1 * *"}
HISTORY = "/api/v1/jobs/history"


class StillWatches:
    """Holds back what the watches tell, so that only the answers of writes can tell of them."""

    def __init__(self, cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        async def silent() -> None:
            """Nobody is told."""

        monkeypatch.setattr(cluster, "tell", silent)


@pytest.fixture
def still(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> StillWatches:
    return StillWatches(cluster, monkeypatch)


async def listed(gateway: Any, query: str = "") -> list[str]:
    return [item["id"] for item in (await gateway.get(f"/api/v1/jobs{query}")).json()["items"]]


async def test_reads_come_from_memory_with_the_gateways_token_and_writes_carry_the_callers(
    caching: Any, cluster: Any, recorder: Any
) -> None:
    cluster.allow("mine", "me", "default")
    begin = len(cluster.seen)
    assert (await caching.post("/api/v1/jobs", "mine", json=BODY)).status_code == 201
    for path in ("", "?sort=name", "/j", "/history", "/j/history", "/j/explain"):
        assert (await caching.get(f"/api/v1/jobs{path}", "mine")).status_code == 200
    for path in ("plan", "pools"):
        assert (await caching.get(f"/api/v1/{path}", "mine")).status_code == 200
    seen = cluster.seen[begin:]
    own = {entry.path.rpartition("/")[2] for entry in seen if entry.headers["Authorization"] != "Bearer mine"}
    assert own == {"tokenreviews", "subjectaccessreviews"}
    [write] = [entry for entry in seen if entry.headers["Authorization"] == "Bearer mine"]
    assert (write.method, write.path.rpartition("/")[2]) == ("POST", "scheduledjobs")


async def test_what_a_write_was_answered_with_is_what_is_read_next(
    caching: Any, cluster: Any, still: StillWatches, scheduled_job: Any
) -> None:
    created = await caching.post("/api/v1/jobs", json=BODY)
    assert (await caching.get("/api/v1/jobs/j")).headers["etag"] == created.headers["etag"]
    assert await listed(caching) == await listed(caching, "?text=j") == ["j"]
    put = await caching.put("/api/v1/jobs/j", json=BODY | {"description": "put"})
    assert (await caching.get("/api/v1/jobs?text=put")).json()["items"][0]["description"] == "put"
    assert (await caching.get("/api/v1/jobs/j")).headers["etag"] == put.headers["etag"]
    await caching.request("PATCH", "/api/v1/jobs/j", json={"description": "patched"})
    assert (await caching.get("/api/v1/jobs/j")).json()["description"] == "patched"
    await caching.post("/api/v1/jobs/j/pause", json={})
    assert await listed(caching, "?status=paused") == ["j"]
    started = (await caching.post("/api/v1/jobs/j/execute")).json()
    assert (await caching.get(f"/api/v1/executions/{started['id']}")).json()["status"] == "waiting"
    assert (await caching.request("DELETE", "/api/v1/jobs/j")).status_code == 204
    assert (await caching.get("/api/v1/jobs/j")).status_code == 404
    assert await listed(caching) == []
    again = await caching.post("/api/v1/jobs", json=BODY)
    assert (await caching.get("/api/v1/jobs/j")).headers["etag"] == again.headers["etag"]
    assert len(await listed(caching)) == 1


async def test_the_watch_takes_nothing_back(caching: Any, cluster: Any, scheduled_job: Any) -> None:
    """What the watch tells after the answer, and what others write, ends in what the cluster has."""
    for number in range(5):
        await caching.post("/api/v1/jobs", json=BODY | {"id": f"j-{number}"})
        await caching.request("PATCH", f"/api/v1/jobs/j-{number}", json={"description": "x"})
    await caching.request("DELETE", "/api/v1/jobs/j-3")
    cluster.put("scheduledjobs", scheduled_job("other"))
    await cluster.tell()
    await caching.caught_up(cluster.version)
    assert await listed(caching) == ["j-0", "j-1", "j-2", "j-4", "other"]
    mirror = caching.app.state.services.cache.jobs
    assert {item["metadata"]["name"]: item["metadata"]["resourceVersion"] for item in mirror.items(None)} == {
        name: item["metadata"]["resourceVersion"] for (kind, _, name), item in cluster.objects.items() if kind == "scheduledjobs"
    }  # fmt: skip


async def test_what_another_gateway_made_is_found_by_its_name_before_the_watch_tells(
    caching: Any, cluster: Any, scheduled_job: Any
) -> None:
    cluster.put("scheduledjobs", scheduled_job("new"))
    assert (await caching.get("/api/v1/jobs/new")).status_code == 200
    assert await listed(caching) == ["new"]


async def test_a_rehearsal_changes_nothing_that_is_read(caching: Any, still: StillWatches) -> None:
    await caching.post("/api/v1/jobs", json=BODY)
    body = {"action": "pause", "ids": ["j"], "dry_run": True}
    assert (await caching.post("/api/v1/jobs/batch", json=body)).json()["items"][0]["ok"]
    assert (await caching.get("/api/v1/jobs/j")).json()["paused"] is None
    body["action"] = "delete"
    assert (await caching.post("/api/v1/jobs/batch", json=body)).json()["items"][0]["ok"]
    assert await listed(caching) == ["j"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        pytest.param("/api/v1/jobs?namespace=erp", 403, id="list"),
        pytest.param("/api/v1/jobs?namespace=*", 403, id="list-of-all"),
        pytest.param("/api/v1/jobs?namespace=erp&sort=name&text=s", 403, id="search"),
        pytest.param("/api/v1/jobs/secret?namespace=erp", 403, id="job"),
        pytest.param("/api/v1/jobs/nothing?namespace=erp", 403, id="job-that-is-not-there"),
        pytest.param("/api/v1/jobs/secret", 404, id="job-of-another-namespace"),
        pytest.param("/api/v1/jobs/secret/explain?namespace=erp", 403, id="explain"),
        pytest.param("/api/v1/jobs/secret/history?namespace=erp", 403, id="history-of-a-job"),
        pytest.param("/api/v1/jobs/history?namespace=erp", 403, id="history"),
        pytest.param("/api/v1/jobs/history?namespace=*", 403, id="history-of-all"),
        pytest.param("/api/v1/plan?namespace=erp", 403, id="plan"),
        pytest.param("/api/v1/plan?namespace=*", 403, id="plan-of-all"),
        pytest.param("/api/v1/pools?namespace=erp", 403, id="pools"),
        pytest.param("/api/v1/calendars", 403, id="calendars"),
        pytest.param("/api/v1/events?namespace=erp", 403, id="events"),
        pytest.param("/api/v1/events?namespace=*", 403, id="events-of-all"),
        pytest.param("/api/v1/jobs?namespace=ERP", 400, id="upper-case"),
        pytest.param("/api/v1/jobs?namespace=erp%2F..%2Fdefault", 400, id="a-path"),
        pytest.param("/api/v1/jobs?namespace=default&namespace=erp", 400, id="twice"),
        pytest.param("/api/v1/jobs?namespace=", 400, id="empty"),
        pytest.param("/api/v1/events?namespace=%2A%2A", 400, id="two-stars"),
        pytest.param("/api/v1/jobs/..%2Fsecret", 404, id="a-path-as-id"),
    ],
)
async def test_memory_is_no_way_round_rights(
    caching: Any, cluster: Any, scheduled_job: Any, recorder: Any, path: str, status: int
) -> None:
    cluster.put("scheduledjobs", scheduled_job("secret", "erp"))
    recorder.run("secret", 0, namespace="erp")
    await cluster.tell()
    await caching.caught_up(cluster.version)
    cluster.allow("other", "other", "default", READ)
    response = await caching.get(path, "other")
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")
    assert "scheduledjob" not in response.text or "forbidden" in response.text
    assert "echo_args" not in response.text


async def test_a_refusal_is_worded_as_the_api_servers(caching: Any, applications: Any, cluster: Any) -> None:
    cluster.allow("other", "other", "default", READ)
    live = applications()
    answers = [(await gateway.get("/api/v1/jobs/x?namespace=erp", "other")).json() for gateway in (live, caching)]
    assert [answer["type"] for answer in answers] == ["urn:merp:problem:forbidden"] * 2
    assert all('User "other" cannot get resource "scheduledjobs"' in answer["detail"] for answer in answers)


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"Impersonate-User": "admin", "Impersonate-Group": "system:masters"}, id="Impersonate"),
        pytest.param({"X-Remote-User": "admin", "X-Remote-Group": "system:masters"}, id="X-Remote"),
        pytest.param({"X-Forwarded-User": "admin", "Impersonate-Extra-scopes": "all"}, id="X-Forwarded"),
    ],
)
async def test_headers_that_name_somebody_reach_nobody(caching: Any, cluster: Any, headers: dict[str, str]) -> None:
    cluster.allow("other", "other", "default", READ)
    begin = len(cluster.seen)
    assert (await caching.get("/api/v1/jobs?namespace=erp", "other", headers=headers)).status_code == 403
    assert (await caching.post("/api/v1/jobs?namespace=erp", "other", json=BODY, headers=headers)).status_code == 403
    sent = {name.lower() for seen in cluster.seen[begin:] for name in seen.headers}
    assert not {name for name in sent if name.startswith(("impersonate-", "x-"))}
    assert {asked["user"] for kind, asked in cluster.reviews if kind == "subjectaccessreviews"} == {"other"}


async def test_rights_are_those_of_all_that_a_token_says(caching: Any, cluster: Any) -> None:
    cluster.allow("other", "other", "default", READ)
    await caching.get("/api/v1/jobs", "other")
    kinds = dict(cluster.reviews)
    assert kinds["tokenreviews"] == {"token": "other"}
    assert kinds["subjectaccessreviews"] == {
        "user": "other",
        "groups": ["g"],
        "resourceAttributes": {
            "verb": "list", "group": "scheduler.merp.io", "resource": "scheduledjobs", "namespace": "default",
        },
    }  # fmt: skip


async def test_who_may_read_one_job_alone_reads_that_one(
    caching: Any, cluster: Any, scheduled_job: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("mine", "yours"):
        cluster.put("scheduledjobs", scheduled_job(name))
    await cluster.tell()
    await caching.caught_up(cluster.version)
    cluster.allow("other", "other")
    allowed: list[Any] = []

    async def allows(subject: Any, token: str, access: Any) -> bool:
        allowed.append(access.name)
        return bool(access.name == "mine")

    monkeypatch.setattr(caching.app.state.services.identities._reviews, "allows", allows)
    assert (await caching.get("/api/v1/jobs/mine", "other")).status_code == 200
    assert (await caching.get("/api/v1/jobs/yours", "other")).status_code == 403
    assert (await caching.get("/api/v1/jobs", "other")).status_code == 403
    assert allowed == [None, "mine", "yours", None]


async def test_a_gateway_without_its_rights_says_so_and_nobody_is_blamed(applications: Any, cluster: Any) -> None:
    cluster.rights["gateway"].clear()
    gateway = applications(cached=True)
    response = await gateway.get("/api/v1/jobs")
    assert (response.status_code, response.json()["type"]) == (502, "urn:merp:problem:cluster-fault")
    assert "the gateway may not make a TokenReview" in response.json()["detail"]


async def test_before_the_first_list_reads_are_live_and_it_is_not_ready(
    applications: Any, cluster: Any, scheduled_job: Any
) -> None:
    cluster.put("scheduledjobs", scheduled_job("j"))
    gateway = applications(cached=True)
    ready = await gateway.get("/readyz", None)
    assert (ready.status_code, ready.json()["status"]) == (503, "not ready")
    assert "scheduledjobs being listed" in ready.json()["cache"]
    assert await listed(gateway) == ["j"]
    assert cluster.calls("GET", "scheduledjobs")[-1].headers["Authorization"] == "Bearer token-of-admin"
    refused = await gateway.get("/api/v1/events")
    assert (refused.status_code, refused.json()["type"]) == (503, "urn:merp:problem:events-unavailable")


async def test_after_410_it_lists_anew_and_is_ready_again(caching: Any, cluster: Any, scheduled_job: Any) -> None:
    await caching.interrupted(cluster)
    cluster.put("scheduledjobs", scheduled_job("j"))
    await cluster.tell()
    await caching.caught_up(cluster.version)
    ready = await caching.get("/readyz", None)
    assert (ready.status_code, ready.json()["cache"]) == (200, "current")
    assert await listed(caching) == ["j"]


async def test_a_watch_that_ends_by_a_fault_ends_the_process(
    applications: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    gateway = applications(cached=True)
    cache = gateway.app.state.services.cache

    async def fail() -> None:
        raise KeyError("metadata")

    monkeypatch.setattr(cache.pools.reflector, "run", fail)
    assert (await gateway.get("/healthz", None)).status_code == 200
    with pytest.raises(ExceptionGroup):
        await cache.run()
    assert (await gateway.get("/healthz", None)).status_code == 503
    assert "a fault of the gateway" in caplog.text


async def test_one_watched_namespace_is_read_from_memory_and_the_others_live(
    applications: Any, cluster: Any, scheduled_job: Any
) -> None:
    for namespace in ("default", "erp"):
        cluster.put("scheduledjobs", scheduled_job("j", namespace))
    gateway = await applications(cached=True, settings={"merp_watch_namespace": "erp"}).started()
    begin = len(cluster.calls("GET", "scheduledjobs"))
    assert [await listed(gateway, f"?namespace={name}") for name in ("erp", "default", "*")] == [
        ["j"],
        ["j"],
        ["j", "j"],
    ]
    assert [seen.path for seen in cluster.calls("GET", "scheduledjobs")[begin:]] == [
        "/apis/scheduler.merp.io/v1/namespaces/default/scheduledjobs", "/apis/scheduler.merp.io/v1/scheduledjobs",
    ]  # fmt: skip


@pytest.mark.parametrize("query", ["?namespace=default", "?namespace=*", ""])
async def test_events_of_what_is_never_watched_are_a_mistake_and_no_outage(applications: Any, query: str) -> None:
    gateway = await applications(cached=True, settings={"merp_watch_namespace": "erp"}).started()
    refused = await gateway.get(f"/api/v1/events{query}")
    [error] = refused.json()["errors"]
    assert (refused.status_code, error["field"], error["in"]) == (400, "namespace", "query")
    assert error["detail"] == "is not watched: this installation serves erp alone"


async def test_executions_that_are_not_recorded_are_found_in_memory(
    caching: Any, cluster: Any, scheduled_job: Any
) -> None:
    job = cluster.put("scheduledjobs", scheduled_job("j"))
    entry = {"run": "j-1", "state": "running", "trigger": "schedule", "since": "2026-11-01T00:00:00Z"}
    await cluster.set_status("j", {"active": [entry]})
    await caching.caught_up(cluster.version)
    begin = len(cluster.calls("GET", "scheduledjobs"))
    found = await caching.get(f"/api/v1/executions/{execution_id(job['metadata']['uid'], 'j-1')}")
    assert (found.json()["status"], found.json()["recorded"]) == ("running", False)
    missing = await caching.get(f"/api/v1/executions/{execution_id(job['metadata']['uid'], 'j-2')}")
    assert missing.status_code == 404
    assert len(cluster.calls("GET", "scheduledjobs")) == begin


def run_at(due_time: str, uid: str) -> dict[str, Any]:
    owner = {"apiVersion": "scheduler.merp.io/v1", "kind": "ScheduledJob", "name": "j", "uid": uid}
    return {
        "metadata": {"name": "a", "namespace": "default", "ownerReferences": [owner]},
        "spec": {"scheduledJob": "j", "dueTime": due_time},
    }


@pytest.mark.parametrize(
    ("due_time", "known"),
    [
        # To the API server each of these is a date-time.
        pytest.param("2026-12-01T00:00:00+99:00", False, id="an-offset-of-99-hours"),
        pytest.param("0000-01-01T00:00:00Z", False, id="year-0"),
        pytest.param("2026-12-01t00:00:00z", True, id="small-letters"),
    ],
)
@pytest.mark.parametrize("listed_first", [False, True], ids=["watched", "listed"])
async def test_a_run_at_a_time_that_no_clock_knows_takes_the_memory_from_nobody(
    applications: Any, cluster: Any, scheduled_job: Any, due_time: str, known: bool, listed_first: bool
) -> None:
    gateway = applications(cached=True)
    if not listed_first:
        await gateway.started()
    job = cluster.put("scheduledjobs", scheduled_job("j"))
    run = cluster.put("jobruns", run_at(due_time, job["metadata"]["uid"]))
    await cluster.tell()
    if listed_first:
        await gateway.started()
    await gateway.caught_up(cluster.version)
    assert (await gateway.get("/healthz", None)).status_code == 200
    assert await listed(gateway) == ["j"]
    name = run_name_for_request("j", run["metadata"]["uid"], datetime(2026, 12, 1, tzinfo=UTC))
    found = await gateway.get(f"/api/v1/executions/{execution_id(job['metadata']['uid'], name)}")
    assert found.status_code == (200 if known else 404)
    assert found.json().get("due_time") == ("2026-12-01T00:00:00Z" if known else None)


async def test_a_run_at_a_time_that_no_clock_knows_hides_no_other_from_live_reads(
    gateway: Any, cluster: Any, scheduled_job: Any
) -> None:
    job = cluster.put("scheduledjobs", scheduled_job("j"))
    cluster.put("jobruns", run_at("2026-12-01T00:00:00+99:00", job["metadata"]["uid"]))
    started = (await gateway.post("/api/v1/jobs/j/execute")).json()
    assert (await gateway.get(f"/api/v1/executions/{started['id']}")).status_code == 200


async def test_an_object_that_nobody_thought_of_takes_the_memory_from_nobody(
    caching: Any, cluster: Any, scheduled_job: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> None:
        raise OverflowError("nobody thought of that")

    with monkeypatch.context() as broken:
        broken.setattr(caching.app.state.services.cache.feed, "_job_change", fail)
        cluster.put("scheduledjobs", scheduled_job("odd"))
        await cluster.tell()
        await caching.caught_up(cluster.version)
    cluster.put("scheduledjobs", scheduled_job("good"))
    await cluster.tell()
    await caching.caught_up(cluster.version)
    assert (await caching.get("/healthz", None)).status_code == 200
    assert await listed(caching) == ["good", "odd"]
    assert "a change of scheduledjobs default/odd cannot be taken" in caplog.text

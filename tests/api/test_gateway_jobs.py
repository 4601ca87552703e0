"""Jobs through the whole application: create, read, replace, delete."""

from typing import Any

import pytest

from merp_crds.names import ANNOTATION_CREATED_BY

SEED = {
    "name": "库存盘点任务",
    "job_type": "cron",
    "func": "inventory_check",
    "cron_expression": "0 0 1 * *",
    "args": ["all"],
    "kwargs": {"detailed": True},
    "description": "每月1日凌晨执行库存盘点",
}
SEED_RESPONSE = {
    "id", "name", "job_type", "func", "cron_expression", "args", "kwargs", "status", "next_run_time", "description",
    "created_at", "updated_at", "created_by",
}  # fmt: skip


async def test_the_seeds_body_is_created_and_answered_with_the_seeds_fields(gateway: Any, cluster: Any) -> None:
    response = await gateway.post("/api/v1/jobs", json=SEED)
    body = response.json()
    assert response.status_code == 201, body
    assert body.keys() >= SEED_RESPONSE
    assert {field: body[field] for field in SEED} == SEED
    assert body["id"].startswith("inventory-check-")
    assert len(body["id"]) == len("inventory-check-") + 5
    assert body["status"] == "active"
    assert body["created_by"] == "admin"
    assert body["next_run_time"].endswith("-01T00:00:00Z")
    assert response.headers["location"] == f"/api/v1/jobs/{body['id']}"
    stored = cluster.job(body["id"])
    assert response.headers["etag"] == f'"{stored["metadata"]["resourceVersion"]}"'
    assert stored["spec"] == {
        "displayName": SEED["name"],
        "description": SEED["description"],
        "schedule": {"cron": "0 0 1 * *"},
        "task": {"func": "inventory_check", "args": ["all"], "kwargs": {"detailed": True}},
    }
    assert stored["metadata"]["annotations"] == {ANNOTATION_CREATED_BY: "admin"}
    assert (await gateway.get(response.headers["location"])).json() == body


async def test_c43_two_jobs_of_one_name_have_two_ids_and_keep_every_character(gateway: Any, cluster: Any) -> None:
    sent = SEED | {"name": "库存盘点任务 #1 (夜间)", "args": ["仓库𠮷", "✅"], "description": "每月1日 ✅ 𠮷野家"}
    first, second = [(await gateway.post("/api/v1/jobs", json=sent)).json() for _ in range(2)]
    assert first["id"] != second["id"]
    listed = (await gateway.get("/api/v1/jobs")).json()["items"]
    for shown in (first, second, *listed):
        assert {field: shown[field] for field in sent} == sent
    assert all("labels" not in cluster.job(shown["id"])["metadata"] for shown in listed)


@pytest.mark.parametrize(
    ("sent", "schedule"),
    [
        pytest.param({"job_type": "interval", "interval_seconds": 45}, {"intervalSeconds": 45}, id="interval"),
        pytest.param(
            {"job_type": "date", "run_date": "2030-01-02T03:04:05", "time_zone": "Asia/Shanghai"},
            {"at": "2030-01-01T19:04:05Z", "timeZone": "Asia/Shanghai"},
            id="naive-run-date-is-in-the-jobs-zone",
        ),
        pytest.param(
            {"job_type": "date", "run_date": "2030-01-02T03:04:05+01:00", "time_zone": "Asia/Shanghai"},
            {"at": "2030-01-02T02:04:05Z", "timeZone": "Asia/Shanghai"},
            id="run-date-with-an-offset",
        ),
        pytest.param(
            {"job_type": "date", "run_date": "2020-01-01T00:00:00Z"},
            {"at": "2020-01-01T00:00:00Z"},
            id="C16-of-2020-the-operator-records-it-as-missed",
        ),
        pytest.param({"job_type": "manual"}, None, id="manual"),
        pytest.param({"job_type": "dependency", "depends_on": [{"id": "data-sync"}]}, None, id="dependency"),
        pytest.param(
            {"job_type": "cron", "cron_expression": "30 3 * * ?"}, {"cron": "30 3 * * ?"}, id="C04-question-mark"
        ),
    ],
)
async def test_each_job_type(gateway: Any, cluster: Any, sent: Any, schedule: Any) -> None:
    body = {"name": "x", "func": "echo_args"} | sent
    response = await gateway.post("/api/v1/jobs", json=body)
    assert response.status_code == 201, response.text
    assert cluster.job(response.json()["id"])["spec"].get("schedule") == schedule
    assert response.json()["job_type"] == sent["job_type"]


async def test_every_additional_field_reaches_the_resource(gateway: Any, cluster: Any) -> None:
    sent = SEED | {
        "id": "full",
        "time_zone": "Asia/Shanghai",
        "priority": "high",
        "depends_on": [
            {"id": "a", "window": {"period": "Day"}, "latest": True},
            {"id": "b", "condition": "Completed", "window": {"within": "24h"}},
        ],
        "concurrency_policy": "Queue",
        "timeout_seconds": 60,
        "retry_limit": 2,
        "image": "registry.example/other:2",
        "pool": {"name": "nightly", "slots": 2, "timeout_seconds": 3600, "on_timeout": "Fail"},
        "dependency_policy": {"require": "Any", "on_timeout": "Run"},
        "max_queued": 5,
        "no_retry_exit_codes": [2, 7],
        "pending_timeout_seconds": 300,
        "missed": {"policy": "All", "max_age": "36h"},
        "calendar": {"name": "cn", "on_holiday": "Next"},
        "connections": ["erp", "warehouse"],
    }
    response = await gateway.post("/api/v1/jobs", json=sent)
    assert response.status_code == 201, response.text
    spec = cluster.job("full")["spec"]
    assert spec == {
        "displayName": SEED["name"],
        "description": SEED["description"],
        "schedule": {
            "cron": "0 0 1 * *",
            "timeZone": "Asia/Shanghai",
            "calendar": {"name": "cn", "onHoliday": "Next"},
        },
        "task": {"func": "inventory_check", "args": ["all"], "kwargs": {"detailed": True}},
        "priority": "high",
        "dependsOn": [
            {"name": "a", "window": {"period": "Day"}, "latest": True},
            {"name": "b", "condition": "Completed", "window": {"within": "24h"}},
        ],
        "concurrencyPolicy": "Queue",
        "timeoutSeconds": 60,
        "retry": {"limit": 2, "noRetryExitCodes": [2, 7]},
        "template": {"image": "registry.example/other:2"},
        "pool": {"name": "nightly", "slots": 2, "timeoutSeconds": 3600, "onTimeout": "Fail"},
        "dependencyPolicy": {"require": "Any", "onTimeout": "Run"},
        "maxQueued": 5,
        "pendingTimeoutSeconds": 300,
        "missed": {"policy": "All", "maxAge": "36h"},
        "connections": ["erp", "warehouse"],
    }
    body = response.json()
    assert body["dependency_policy"] == {"require": "Any", "timeout_seconds": 86400, "on_timeout": "Run"}
    assert body["missed"] == {"policy": "All", "max_age": "36h", "max_count": 100}
    put = await gateway.put("/api/v1/jobs/full", json=body)
    assert (put.status_code, put.json()) == (200, body)
    assert cluster.job("full")["spec"] == spec
    sent = {"pool": {"timeout_seconds": None, "on_timeout": None}}
    patch = await gateway.request("PATCH", "/api/v1/jobs/full", json=sent)
    pool = {"name": "nightly", "slots": 2, "timeout_seconds": None, "on_timeout": "Skip"}
    assert (patch.status_code, patch.json()["pool"]) == (200, pool), patch.text
    assert cluster.job("full")["spec"]["pool"] == {"name": "nightly", "slots": 2}


async def test_times_have_the_zone_of_their_job(gateway: Any) -> None:
    sent = SEED | {"time_zone": "Asia/Shanghai"}
    assert (await gateway.post("/api/v1/jobs", json=sent)).json()["next_run_time"].endswith("T00:00:00+08:00")


async def test_c58_created_by_is_whoever_the_token_says(gateway: Any, cluster: Any) -> None:
    user = "system:serviceaccount:erp-production-environment:job-deployer-production"
    cluster.allow("deployer", user, "erp-production-environment")
    response = await gateway.post(
        "/api/v1/jobs?namespace=erp-production-environment",
        "deployer",
        json=SEED | {"created_by": "admin", "status": "active", "uid": "x"},
        headers={"Impersonate-User": "admin", "X-Remote-User": "admin"},
    )
    assert response.status_code == 201, response.text
    assert response.json()["created_by"] == user
    assert response.headers["location"].endswith("?namespace=erp-production-environment")
    for seen in cluster.seen:
        assert seen.headers["Authorization"] == "Bearer deployer"
        assert not [name for name in seen.headers if name.lower().startswith(("impersonate", "x-remote"))]


async def test_an_idempotency_key_makes_one_job_of_two_requests(gateway: Any, cluster: Any) -> None:
    headers = {"Idempotency-Key": "order-17"}
    first = await gateway.post("/api/v1/jobs", json=SEED, headers=headers)
    again = await gateway.post("/api/v1/jobs", json=SEED, headers=headers)
    other = await gateway.post("/api/v1/jobs", json=SEED | {"func": "echo_args"}, headers=headers)
    assert (first.status_code, again.status_code, other.status_code) == (201, 200, 409)
    assert first.json() == again.json()
    assert other.json()["type"] == "urn:merp:problem:idempotency-key-reused"
    cluster.allow("b", "bob", "default")
    bobs = await gateway.post("/api/v1/jobs", "b", json=SEED, headers=headers)
    assert bobs.status_code == 201
    assert len(cluster.objects) == 2


@pytest.mark.parametrize("headers", [pytest.param({}, id="no-key"), pytest.param({"Idempotency-Key": "7"}, id="key")])
async def test_a_chosen_id_that_is_taken_is_409(gateway: Any, headers: dict[str, str]) -> None:
    first = await gateway.post("/api/v1/jobs", json=SEED | {"id": "stocktake"})
    second = await gateway.post("/api/v1/jobs", json=SEED | {"id": "stocktake"}, headers=headers)
    assert (first.status_code, second.status_code) == (201, 409)
    assert second.json()["type"] == "urn:merp:problem:already-exists"


async def test_a_random_id_that_is_taken_is_made_anew(gateway: Any, cluster: Any, refusal: Any) -> None:
    cluster.refusals[("POST", "scheduledjobs")] = [refusal(409, "AlreadyExists", "taken")] * 2
    response = await gateway.post("/api/v1/jobs", json=SEED)
    assert response.status_code == 201
    names = [seen.body["metadata"]["name"] for seen in cluster.calls("POST", "scheduledjobs")]
    assert len(set(names)) == 3


async def test_lists_come_in_pages(gateway: Any, cluster: Any, scheduled_job: Any) -> None:
    for number in range(5):
        cluster.put("scheduledjobs", scheduled_job(f"job-{number}"))
    cluster.put("scheduledjobs", scheduled_job("elsewhere", "erp"))
    seen: list[str] = []
    path = "/api/v1/jobs?limit=2"
    while path:
        response = await gateway.get(path)
        seen += [item["id"] for item in response.json()["items"]]
        link = response.headers.get("link", "")
        path = link.partition(">")[0].removeprefix("<")
        assert bool(path) == (response.json()["next_cursor"] is not None)
    assert seen == [f"job-{number}" for number in range(5)]
    everywhere = await gateway.get("/api/v1/jobs?namespace=*")
    assert [item["id"] for item in everywhere.json()["items"]] == [*seen, "elsewhere"]


@pytest.mark.parametrize(
    ("cursor", "status"),
    [
        pytest.param("garbage", 400, id="not-ours"),
        pytest.param("am9iczpub25zZW5zZQ", 400, id="the-api-server-cannot-read-it"),
        pytest.param("am9iczpaWGh3YVhKbFpBPT0", 410, id="expired"),
        pytest.param("é", 400, id="not-ascii"),
    ],
)
async def test_a_cursor_that_does_not_work(gateway: Any, cursor: str, status: int) -> None:
    response = await gateway.get("/api/v1/jobs", params={"cursor": cursor})
    assert response.status_code == status, response.text
    if status == 400:
        assert response.json()["errors"][0]["field"] == "cursor"


async def test_c47_put_keeps_what_it_does_not_name(gateway: Any, cluster: Any, scheduled_job: Any) -> None:
    job = scheduled_job(
        "j",
        displayName="old title",
        schedule={"cron": "0 1 * * *", "timeZone": "Asia/Shanghai", "calendar": {"name": "cn"}},
        dependsOn=[{"name": "up", "window": {"within": "2h"}}],
        retry={"limit": 3, "noRetryExitCodes": [7]},
        concurrencyPolicy="Queue",
        priority="high",
        template={"env": [{"name": "A", "value": "1"}], "resources": {"limits": {"cpu": "1"}}},
        history={"failed": 9},
    )
    job["metadata"] |= {"labels": {"app": "x"}, "annotations": {"argocd.argoproj.io/tracking-id": "y"}}
    cluster.put("scheduledjobs", job)
    before = dict(job["spec"])
    sent = {
        "name": "new title", "job_type": "cron", "func": "echo_args", "cron_expression": "0 3 * * *",
        "args": [], "kwargs": {}, "description": "x",
    }  # fmt: skip
    response = await gateway.put("/api/v1/jobs/j", json=sent)
    assert response.status_code == 200, response.text
    after = cluster.job("j")
    expected = before | {
        "displayName": "new title",
        "description": "x",
        "schedule": before["schedule"] | {"cron": "0 3 * * *"},
    }
    assert after["spec"] == expected
    assert after["metadata"]["labels"] == {"app": "x"}
    assert after["metadata"]["annotations"] == {"argocd.argoproj.io/tracking-id": "y"}


async def test_what_was_got_can_be_put_back_and_changes_nothing(gateway: Any, cluster: Any, scheduled_job: Any) -> None:
    cluster.put("scheduledjobs", scheduled_job("j", dependsOn=[{"name": "up"}]))
    got = await gateway.get("/api/v1/jobs/j")
    put = await gateway.put("/api/v1/jobs/j", json=got.json(), headers={"If-Match": got.headers["etag"]})
    assert (put.status_code, put.json()) == (200, got.json())
    assert cluster.writes("PUT", "scheduledjobs") == []


async def test_c47_two_writers_lose_nothing(gateway: Any, cluster: Any, scheduled_job: Any) -> None:
    cluster.put("scheduledjobs", scheduled_job("j"))

    def somebody_else() -> None:
        cluster.job("j")["spec"]["priority"] = "high"
        cluster.put("scheduledjobs", cluster.job("j"))

    cluster.interruptions[("PUT", "scheduledjobs")].append(somebody_else)
    sent = {"name": "n", "job_type": "cron", "func": "echo_args", "cron_expression": "0 0 1 * *", "description": "d"}
    response = await gateway.put("/api/v1/jobs/j", json=sent)
    assert (response.status_code, response.json()["priority"], response.json()["description"]) == (200, "high", "d")


async def test_if_match_of_an_older_version_is_412(gateway: Any, cluster: Any, scheduled_job: Any) -> None:
    cluster.put("scheduledjobs", scheduled_job("j"))
    sent = {"name": "n", "job_type": "cron", "func": "echo_args", "cron_expression": "0 0 1 * *"}
    response = await gateway.put("/api/v1/jobs/j", json=sent, headers={"If-Match": '"1"'})
    assert response.status_code == 412
    assert cluster.writes("PUT", "scheduledjobs") == []


async def test_a_conflict_that_does_not_end_is_409(
    gateway: Any, cluster: Any, scheduled_job: Any, refusal: Any
) -> None:
    cluster.put("scheduledjobs", scheduled_job("j"))
    cluster.refusals[("PUT", "scheduledjobs")] = [refusal(409, "Conflict", "modified")] * 9
    sent = {"name": "n", "job_type": "cron", "func": "echo_args", "cron_expression": "0 0 1 * *"}
    response = await gateway.put("/api/v1/jobs/j", json=sent)
    assert (response.status_code, response.json()["type"]) == (409, "urn:merp:problem:conflict")
    assert len(cluster.writes("PUT", "scheduledjobs")) == 5


async def test_null_resets_an_additional_field(gateway: Any, cluster: Any, scheduled_job: Any) -> None:
    cluster.put(
        "scheduledjobs",
        scheduled_job(
            "j", priority="low", retry={"limit": 2, "noRetryExitCodes": [7]}, timeoutSeconds=5, template={"image": "i"}
        ),
    )
    sent = {
        "name": "j", "job_type": "cron", "func": "echo_args", "cron_expression": "0 0 1 * *",
        "priority": None, "retry_limit": None, "timeout_seconds": None, "image": None,
    }  # fmt: skip
    response = await gateway.put("/api/v1/jobs/j", json=sent)
    assert response.status_code == 200, response.text
    assert cluster.job("j")["spec"] == {
        "schedule": {"cron": "0 0 1 * *"},
        "task": {"func": "echo_args"},
        "retry": {"noRetryExitCodes": [7]},
    }


async def test_put_can_change_the_type(gateway: Any, cluster: Any, scheduled_job: Any) -> None:
    cluster.put("scheduledjobs", scheduled_job("j", schedule={"cron": "0 0 * * *", "timeZone": "Asia/Shanghai"}))
    sent = {"name": "j", "job_type": "interval", "func": "echo_args", "interval_seconds": 60}
    assert (await gateway.put("/api/v1/jobs/j", json=sent)).status_code == 200
    assert cluster.job("j")["spec"]["schedule"] == {"intervalSeconds": 60, "timeZone": "Asia/Shanghai"}
    sent = {"name": "j", "job_type": "manual", "func": "echo_args"}
    assert (await gateway.put("/api/v1/jobs/j", json=sent)).status_code == 200
    assert "schedule" not in cluster.job("j")["spec"]


@pytest.mark.parametrize(
    ("schedule", "sent", "field"),
    [
        pytest.param(
            {"cron": "0 0 * * *", "dst": "Once"},
            {"job_type": "interval", "interval_seconds": 45},
            "spec.schedule.dst",
            id="dst-is-for-cron",
        ),
        pytest.param(
            {"cron": "0 0 * * *", "calendar": {"name": "cn", "onHoliday": "Next"}},
            {"job_type": "interval", "interval_seconds": 45},
            "calendar",
            id="a-short-interval-is-not-moved",
        ),
        pytest.param(
            {"cron": "0 0 * * *", "startAt": "2027-01-01T00:00:00Z"},
            {"job_type": "date", "run_date": "2026-12-31T00:00:00Z"},
            "run_date",
            id="before-it-starts",
        ),
    ],
)
async def test_put_does_not_go_with_what_is_kept(
    gateway: Any, cluster: Any, scheduled_job: Any, schedule: Any, sent: Any, field: str
) -> None:
    cluster.put("scheduledjobs", scheduled_job("j", schedule=schedule))
    response = await gateway.put("/api/v1/jobs/j", json={"name": "j", "func": "echo_args"} | sent)
    [entry] = response.json()["errors"]
    assert (response.status_code, entry["field"], entry["code"]) == (400, field, "mismatch")
    assert cluster.writes("PUT", "scheduledjobs") == []


async def test_put_keeps_a_schedule_that_the_operator_refuses(gateway: Any, cluster: Any, scheduled_job: Any) -> None:
    cluster.put("scheduledjobs", scheduled_job("j", schedule={"intervalSeconds": 45, "dst": "Once"}))
    sent = {"name": "n", "job_type": "interval", "func": "echo_args", "interval_seconds": 45}
    assert (await gateway.put("/api/v1/jobs/j", json=sent)).status_code == 200
    assert cluster.job("j")["spec"]["displayName"] == "n"


async def test_a_job_with_an_image_and_no_task_can_be_put_back(gateway: Any, cluster: Any, scheduled_job: Any) -> None:
    cluster.put("scheduledjobs", scheduled_job("j", task=None, template={"image": "any", "command": ["true"]}))
    got = (await gateway.get("/api/v1/jobs/j")).json()
    assert got["func"] is None
    response = await gateway.put("/api/v1/jobs/j", json=got | {"description": "d"})
    assert response.status_code == 200, response.text
    assert cluster.job("j")["spec"]["template"] == {"image": "any", "command": ["true"]}


async def test_delete_says_in_the_background_and_then_404(gateway: Any, cluster: Any, scheduled_job: Any) -> None:
    cluster.put("scheduledjobs", scheduled_job("j"))
    first = await gateway.request("DELETE", "/api/v1/jobs/j")
    second = await gateway.request("DELETE", "/api/v1/jobs/j")
    assert (first.status_code, first.content, second.status_code) == (204, b"", 404)
    assert cluster.calls("DELETE", "scheduledjobs")[0].body["propagationPolicy"] == "Background"


async def test_c44_history_is_never_a_job(gateway: Any, cluster: Any) -> None:
    assert (await gateway.get("/api/v1/jobs/history")).json() == {"items": [], "next_cursor": None}
    for method, path, status in (
        ("PUT", "/api/v1/jobs/history", 404),
        ("DELETE", "/api/v1/jobs/history", 404),
        ("POST", "/api/v1/jobs/history/execute", 404),
        ("POST", "/api/v1/jobs/history", 405),
        ("GET", "/api/v1/jobs/preview", 404),
    ):
        response = await gateway.request(method, path, json={})
        assert (response.status_code, method, path) == (status, method, path)
    refused = await gateway.post("/api/v1/jobs", json=SEED | {"id": "history"})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (400, "#/id")
    assert not [seen for seen in cluster.seen if "scheduledjobs" in seen.path]


@pytest.mark.parametrize(
    "name", ["..%2f..%2fsecrets", "..", "%2e%2e%2fnodes", "A", "a" * 37, "库存", "a%00", "a/b/c", "a%3Fwatch=1", "a;b"]
)
async def test_what_cannot_be_an_id_never_reaches_the_api_server(gateway: Any, cluster: Any, name: str) -> None:
    response = await gateway.get(f"/api/v1/jobs/{name}")
    assert response.status_code in (404, 405)
    assert response.headers["content-type"] == "application/problem+json"
    assert not [seen for seen in cluster.seen if "selfsubject" not in seen.path]


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_true_is_not_one(gateway: Any, cluster: Any, method: str) -> None:
    sent = {"name": "n", "job_type": "manual", "func": "echo_args", "args": [1, 0], "kwargs": {"deep": [{"n": 1}]}}
    assert (await gateway.post("/api/v1/jobs", json=sent | {"id": "j"})).status_code == 201
    changed = sent | {"args": [True, False], "kwargs": {"deep": [{"n": True}]}}
    assert (await gateway.request(method, "/api/v1/jobs/j", json=changed)).status_code == 200
    # By their spelling: to Python true equals 1.
    assert str(cluster.job("j")["spec"]["task"]["args"]) == "[True, False]"
    assert str(cluster.job("j")["spec"]["task"]["kwargs"]) == "{'deep': [{'n': True}]}"


async def test_delete_with_if_match_of_an_older_version_is_412(gateway: Any, cluster: Any, scheduled_job: Any) -> None:
    cluster.put("scheduledjobs", scheduled_job("j"))
    present = (await gateway.get("/api/v1/jobs/j")).headers["etag"]
    refused = await gateway.request("DELETE", "/api/v1/jobs/j", headers={"If-Match": '"1"'})
    assert refused.status_code == 412
    assert refused.json()["type"] == "urn:merp:problem:precondition-failed"
    assert (await gateway.get("/api/v1/jobs/j")).status_code == 200
    assert (await gateway.request("DELETE", "/api/v1/jobs/j", headers={"If-Match": present})).status_code == 204
    deletion = cluster.calls("DELETE", "scheduledjobs")[-1]
    assert deletion.body["preconditions"] == {"resourceVersion": present.strip('"')}


@pytest.mark.parametrize(
    ("at", "zone", "shown"),
    [
        # At the ends of the calendar, where not every zone has a time of day for it.
        ("9999-12-31T23:59:59Z", "Asia/Shanghai", "9999-12-31T23:59:59Z"),
        ("0001-01-01T00:00:00Z", "America/New_York", "0001-01-01T00:00:00Z"),
        # To the API server this is a date-time.
        ("2026-12-01T00:00:00+99:00", "UTC", None),
        ("2026-12-01t00:00:00z", "UTC", "2026-12-01T00:00:00Z"),
    ],
)
async def test_a_date_that_no_clock_knows_hides_no_other_job(
    caching: Any, cluster: Any, scheduled_job: Any, at: str, zone: str, shown: str | None
) -> None:
    cluster.put("scheduledjobs", scheduled_job("good"))
    cluster.put("scheduledjobs", scheduled_job("odd", schedule={"at": at, "timeZone": zone}))
    await cluster.tell()
    await caching.caught_up(cluster.version)
    answer = await caching.get("/api/v1/jobs")
    assert answer.status_code == 200
    assert [(job["id"], job["run_date"]) for job in answer.json()["items"]] == [("good", None), ("odd", shown)]
    assert (await caching.get("/api/v1/jobs/odd/explain")).status_code == 200


@pytest.mark.parametrize("note", ["[" * 100_000, '{"reason": "\\ud800"}'])
async def test_a_note_that_cannot_be_told_hides_no_other_job(
    caching: Any, cluster: Any, scheduled_job: Any, note: str
) -> None:
    odd = scheduled_job("odd")
    odd["metadata"]["annotations"] = {"scheduler.merp.io/paused": note}
    cluster.put("scheduledjobs", odd)
    cluster.put("scheduledjobs", scheduled_job("good"))
    await cluster.tell()
    await caching.caught_up(cluster.version)
    answer = await caching.get("/api/v1/jobs")
    assert answer.status_code == 200
    assert [(job["id"], job["status"]) for job in answer.json()["items"]] == [("good", "active"), ("odd", "paused")]

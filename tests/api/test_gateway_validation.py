"""Bad input: each wrong field is named, in one answer, with the remedy."""

import json
from typing import Any

import pytest

GOOD = {"name": "x", "job_type": "cron", "func": "echo_args", "cron_expression": "0 0 1 * *"}
MANUAL = {"name": "x", "job_type": "manual", "func": "echo_args"}


def _wrong(response: Any) -> dict[str, str]:
    """pointer (or field) -> code, of a validation problem."""
    assert response.status_code == 400, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert body["type"] == "urn:merp:problem:validation"
    assert body["status"] == 400
    assert all(entry["detail"] for entry in body["errors"])
    return {entry.get("pointer") or entry["field"]: entry["code"] for entry in body["errors"]}


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        pytest.param({}, {"#/name": "required", "#/job_type": "required", "#/func": "required"}, id="nothing"),
        pytest.param(
            {"name": "", "job_type": "cron", "func": "nope", "cron_expression": "0 0 * * 7", "retries": 1},
            {"#/name": "too_short", "#/func": "unknown_task", "#/cron_expression": "invalid", "#/retries": "unknown"},
            id="four-at-once",
        ),
        pytest.param(GOOD | {"cron_expression": "30 6 * * 7"}, {"#/cron_expression": "invalid"}, id="C01-seven"),
        pytest.param(GOOD | {"cron_expression": "0 22 * * FRI-MON"}, {"#/cron_expression": "invalid"}, id="C01-wrap"),
        pytest.param(GOOD | {"cron_expression": "0 30 3 * * ?"}, {"#/cron_expression": "invalid"}, id="C04-six-a"),
        pytest.param(GOOD | {"cron_expression": "0 0 2 * * *"}, {"#/cron_expression": "invalid"}, id="C04-six-b"),
        pytest.param(
            GOOD | {"cron_expression": "CRON_TZ=Asia/Tokyo 0 9 * * *"},
            {"#/cron_expression": "invalid"},
            id="C05-cron-tz",
        ),
        pytest.param(
            GOOD | {"cron_expression": "TZ=Asia/Tokyo 0 9 * * *", "time_zone": "Asia/Tokyo"},
            {"#/cron_expression": "invalid"},
            id="C05-tz",
        ),
        pytest.param(GOOD | {"cron_expression": "@every 5m"}, {"#/cron_expression": "invalid"}, id="every"),
        pytest.param(GOOD | {"cron_expression": "0 0 31 2 *"}, {"#/cron_expression": "never_fires"}, id="never-fires"),
        pytest.param(GOOD | {"cron_expression": "0 " * 51}, {"#/cron_expression": "too_long"}, id="cron-too-long"),
        pytest.param(GOOD | {"time_zone": "asia/shanghai"}, {"#/time_zone": "invalid"}, id="C11-B"),
        pytest.param(GOOD | {"time_zone": "Local"}, {"#/time_zone": "invalid"}, id="C11-C"),
        pytest.param(GOOD | {"time_zone": ""}, {"#/time_zone": "invalid"}, id="C11-D"),
        pytest.param(GOOD | {"time_zone": "UTC+8"}, {"#/time_zone": "invalid"}, id="C11-E"),
        pytest.param(GOOD | {"name": "x" * 101}, {"#/name": "too_long"}, id="name-too-long"),
        pytest.param(GOOD | {"name": " \u3000\u200b\ufeff"}, {"#/name": "invalid"}, id="name-that-nobody-sees"),
        pytest.param(GOOD | {"name": "a\nb"}, {"#/name": "invalid"}, id="name-of-two-lines"),
        pytest.param(GOOD | {"name": "a\x00"}, {"#/name": "invalid"}, id="name-with-a-NUL"),
        pytest.param(GOOD | {"id": "x" * 37}, {"#/id": "too_long"}, id="id-too-long"),
        pytest.param(GOOD | {"id": "Stocktake_1"}, {"#/id": "invalid"}, id="id-with-other-characters"),
        pytest.param(GOOD | {"func": "f" * 101}, {"#/func": "too_long"}, id="func-too-long"),
        pytest.param(GOOD | {"func": "os.system"}, {"#/func": "invalid"}, id="func-is-no-name"),
        pytest.param(GOOD | {"func": "os:system"}, {"#/func": "invalid"}, id="func-is-an-entry-point"),
        pytest.param(GOOD | {"func": "__import__"}, {"#/func": "invalid"}, id="func-is-a-builtin"),
        pytest.param(GOOD | {"func": "../x"}, {"#/func": "invalid"}, id="func-is-a-path"),
        pytest.param(GOOD | {"func": "Echo_Args"}, {"#/func": "invalid"}, id="func-in-capitals"),
        pytest.param(GOOD | {"func": "echo_args\n"}, {"#/func": "invalid"}, id="func-with-a-line-break"),
        pytest.param(GOOD | {"func": "回显"}, {"#/func": "invalid"}, id="C43-func-of-other-letters"),
        pytest.param(GOOD | {"func": "create_engine"}, {"#/func": "unknown_task"}, id="func-that-is-merely-imported"),
        pytest.param(GOOD | {"func": None}, {"#/func": "required"}, id="func-null"),
        pytest.param(GOOD | {"timeout_seconds": "60"}, {"#/timeout_seconds": "wrong_type"}, id="C41-D-number-as-text"),
        pytest.param(GOOD | {"timeout_seconds": 1.5}, {"#/timeout_seconds": "wrong_type"}, id="C41-D-no-whole-number"),
        pytest.param(GOOD | {"timeout_seconds": True}, {"#/timeout_seconds": "wrong_type"}, id="bool-as-number"),
        pytest.param(GOOD | {"timeout_seconds": 0}, {"#/timeout_seconds": "out_of_range"}, id="C41-B-zero-seconds"),
        pytest.param(
            GOOD | {"timeout_seconds": -1}, {"#/timeout_seconds": "out_of_range"}, id="C41-C-negative-seconds"
        ),
        pytest.param(GOOD | {"timeout_seconds": 2**31}, {"#/timeout_seconds": "out_of_range"}, id="beyond-int32"),
        pytest.param(GOOD | {"retry_limit": -1}, {"#/retry_limit": "out_of_range"}, id="negative-retries"),
        pytest.param(GOOD | {"args": "all"}, {"#/args": "wrong_type"}, id="args-as-text"),
        pytest.param(GOOD | {"kwargs": []}, {"#/kwargs": "wrong_type"}, id="kwargs-as-list"),
        pytest.param(GOOD | {"args": ["x" * 65_536]}, {"#/args": "too_long"}, id="parameters-too-large"),
        pytest.param(
            GOOD | {"kwargs": {"a": "字" * 22_000}}, {"#/kwargs": "too_long"}, id="bytes-count-not-characters"
        ),
        pytest.param(GOOD | {"args": [{"a": 2**63}]}, {"#/args/0/a": "out_of_range"}, id="number-beyond-64-bits"),
        pytest.param(GOOD | {"priority": "urgent"}, {"#/priority": "invalid"}, id="unknown-priority"),
        pytest.param(GOOD | {"concurrency_policy": "forbid"}, {"#/concurrency_policy": "invalid"}, id="policy-case"),
        pytest.param(GOOD | {"job_type": "cronjob"}, {"#/job_type": "invalid"}, id="unknown-type"),
        pytest.param(GOOD | {"interval_seconds": 5}, {"#/interval_seconds": "mismatch"}, id="cron-and-interval"),
        pytest.param(MANUAL | {"job_type": "cron"}, {"#/cron_expression": "required"}, id="cron-without-an-expression"),
        pytest.param(
            MANUAL | {"job_type": "interval", "interval_seconds": None},
            {"#/interval_seconds": "required"},
            id="interval-without-seconds",
        ),
        pytest.param(MANUAL | {"job_type": "date"}, {"#/run_date": "required"}, id="date-without-a-date"),
        pytest.param(
            MANUAL | {"job_type": "date", "run_date": "tomorrow"}, {"#/run_date": "invalid"}, id="run-date-is-no-time"
        ),
        pytest.param(
            MANUAL | {"job_type": "date", "run_date": "2027-03-28T02:30:00", "time_zone": "Europe/Zurich"},
            {"#/run_date": "invalid"},
            id="run-date-in-a-skipped-hour",
        ),
        pytest.param(MANUAL | {"time_zone": "UTC"}, {"#/time_zone": "mismatch"}, id="manual-with-a-zone"),
        pytest.param(
            MANUAL | {"job_type": "dependency"}, {"#/depends_on": "required"}, id="dependency-without-upstream"
        ),
        pytest.param(MANUAL | {"depends_on": [{"id": "a"}]}, {"#/depends_on": "mismatch"}, id="manual-with-upstream"),
        pytest.param(
            GOOD | {"id": "me", "depends_on": [{"id": "me"}, {"id": "a"}, {"id": "a"}]},
            {"#/depends_on/0/id": "cycle", "#/depends_on/2/id": "duplicate"},
            id="itself-and-twice",
        ),
        pytest.param(
            GOOD | {"depends_on": [{"id": "a", "window": {"within": "24h", "period": "Day"}}]},
            {"#/depends_on/0/window": "invalid"},
            id="two-windows",
        ),
        pytest.param(
            GOOD | {"depends_on": [{"id": "a", "window": {"within": "1 day"}, "until": 1}]},
            {"#/depends_on/0/window/within": "invalid", "#/depends_on/0/until": "unknown"},
            id="inside-an-upstream",
        ),
        pytest.param(
            GOOD
            | {
                "pool": {"slots": 0, "timeout_seconds": 0, "on_timeout": "Run"},
                "missed": {"policy": "all", "max_age": "1 day"},
                "max_queued": 0,
            },
            {
                "#/pool/name": "required",
                "#/pool/slots": "out_of_range",
                "#/pool/timeout_seconds": "out_of_range",
                "#/pool/on_timeout": "invalid",
                "#/missed/policy": "invalid",
                "#/missed/max_age": "invalid",
                "#/max_queued": "out_of_range",
            },
            id="inside-parts",
        ),
        pytest.param(
            GOOD | {"dependency_policy": {"require": 1}, "calendar": {"name": "CN"}, "pool": "nightly"},
            {"#/dependency_policy/require": "invalid", "#/calendar/name": "invalid", "#/pool": "wrong_type"},
            id="parts-of-another-type",
        ),
        pytest.param(
            GOOD | {"no_retry_exit_codes": [0, 256], "pending_timeout_seconds": 0},
            {
                "#/no_retry_exit_codes/0": "out_of_range",
                "#/no_retry_exit_codes/1": "out_of_range",
                "#/pending_timeout_seconds": "out_of_range",
            },
            id="exit-codes-and-pending-time",
        ),
        pytest.param(
            GOOD | {"connections": ["erp", "erp", "A b"]},
            {"#/connections/2": "invalid"},
            id="connections-that-are-no-names",
        ),
        pytest.param(GOOD | {"connections": ["erp", "erp"]}, {"#/connections/1": "duplicate"}, id="a-connection-twice"),
        pytest.param(MANUAL | {"calendar": {"name": "cn"}}, {"#/calendar": "mismatch"}, id="manual-with-a-calendar"),
        pytest.param(
            GOOD
            | {"job_type": "interval", "cron_expression": None, "interval_seconds": 60}
            | {"calendar": {"name": "cn", "on_holiday": "Next"}},
            {"#/calendar": "mismatch"},
            id="a-short-interval-moved-from-days-off",
        ),
        pytest.param([], {"#": "wrong_type"}, id="a-list"),
        pytest.param("text", {"#": "wrong_type"}, id="a-text"),
        pytest.param(None, {"#": "wrong_type"}, id="null"),
    ],
)
async def test_a_wrong_body(gateway: Any, cluster: Any, sent: Any, expected: dict[str, str]) -> None:
    response = await gateway.post(
        "/api/v1/jobs", content=json.dumps(sent), headers={"Content-Type": "application/json"}
    )
    assert _wrong(response) == expected
    assert cluster.calls("POST", "scheduledjobs") == []


async def test_c41_no_timeout_is_no_limit(gateway: Any, cluster: Any) -> None:
    response = await gateway.post("/api/v1/jobs", json=GOOD | {"id": "unlimited", "timeout_seconds": None})
    assert (response.status_code, response.json()["timeout_seconds"]) == (201, None)
    assert "timeoutSeconds" not in cluster.job("unlimited")["spec"]


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        pytest.param({"cron_expression": "30 6 * * 7"}, ["day-of-week", "0 or SUN"], id="C01-sunday"),
        pytest.param({"cron_expression": "0 22 * * FRI-MON"}, ["day-of-week", "FRI,SAT,SUN,MON"], id="C01-wrap"),
        pytest.param({"cron_expression": "0 30 3 * * ?"}, ["five fields", "6 came", "seconds"], id="C04"),
        pytest.param({"cron_expression": "TZ=Asia/Tokyo 0 9 * * *"}, ["time_zone"], id="C05"),
        pytest.param({"cron_expression": "@every 5m"}, ["interval_seconds"], id="every"),
        pytest.param({"time_zone": "asia/shanghai"}, ["Asia/Shanghai"], id="C11-B"),
        pytest.param({"func": "inventory_chek"}, ["did you mean inventory_check"], id="func"),
        pytest.param({"timout_seconds": 3}, ["timeout_seconds"], id="misspelt-field"),
    ],
)
async def test_the_sentence_says_what_works(gateway: Any, sent: dict[str, Any], words: list[str]) -> None:
    response = await gateway.post("/api/v1/jobs", json=GOOD | sent)
    [entry] = response.json()["errors"]
    assert [word for word in words if word not in entry["detail"]] == [], entry["detail"]


async def test_c11_a_zone_is_taken_without_a_zone_database_of_the_machine(gateway: Any) -> None:
    response = await gateway.post("/api/v1/jobs", json=GOOD | {"time_zone": "Europe/Zurich"})
    assert (response.status_code, response.json()["time_zone"]) == (201, "Europe/Zurich")


async def test_the_image_of_the_job_decides_whether_its_task_is_known(gateway: Any) -> None:
    response = await gateway.post(
        "/api/v1/jobs", json=GOOD | {"func": "elsewhere", "image": "registry.example/other:1"}
    )
    assert response.status_code == 201, response.text


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        pytest.param({"description": "x"}, {"#/name", "#/job_type", "#/func"}, id="C47-only-a-description"),
        pytest.param(GOOD | {"id": "other"}, {"#/id"}, id="another-id"),
        pytest.param(GOOD | {"func": None}, {"#/func"}, id="func-null-of-a-job-with-a-task"),
        pytest.param(GOOD | {"depends_on": [{"id": "j"}]}, {"#/depends_on/0/id"}, id="waits-for-itself"),
    ],
)
async def test_a_wrong_put(gateway: Any, cluster: Any, scheduled_job: Any, sent: Any, expected: set[str]) -> None:
    cluster.put("scheduledjobs", scheduled_job("j"))
    assert _wrong(await gateway.put("/api/v1/jobs/j", json=sent)).keys() == expected
    assert cluster.calls("PUT", "scheduledjobs") == []


@pytest.mark.parametrize(
    ("content", "media_type", "status", "kind"),
    [
        pytest.param(b"", "application/json", 400, "malformed-body", id="empty"),
        pytest.param(b"{", "application/json", 400, "malformed-body", id="cut-off"),
        pytest.param(b"\xff\xfe{}", "application/json", 400, "malformed-body", id="not-utf-8"),
        pytest.param(b"\xef\xbb\xbf{}", "application/json", 400, "malformed-body", id="byte-order-mark"),
        pytest.param(b'{"a": NaN}', "application/json", 400, "malformed-body", id="NaN"),
        pytest.param(b'{"a": 1, "a": 2}', "application/json", 400, "malformed-body", id="a-key-twice"),
        pytest.param(b"[" * 100 + b"]" * 100, "application/json", 400, "malformed-body", id="nested-100"),
        pytest.param(b"[" * 200_000, "application/json", 400, "malformed-body", id="nested-200000"),
        pytest.param(b'{"a": ' * 50_000, "application/json", 400, "malformed-body", id="nested-objects"),
        pytest.param(b'{"a": ' + b"9" * 5000 + b"}", "application/json", 400, "malformed-body", id="5000-digits"),
        pytest.param(b'{"a": 1e999}', "application/json", 400, "validation", id="infinite"),
        pytest.param(b'{"name": "\\ud800"}', "application/json", 400, "validation", id="half-a-surrogate"),
        pytest.param(b'{"kwargs": {"\\ud800": 1}}', "application/json", 400, "validation", id="half-a-surrogate-key"),
        pytest.param(b"a=1", "application/x-www-form-urlencoded", 415, "unsupported-media-type", id="form"),
        pytest.param(b"{}", "", 415, "unsupported-media-type", id="no-media-type"),
        pytest.param(b"{}", "application/json; charset=gbk", 415, "unsupported-media-type", id="another-charset"),
        pytest.param(b" " * (2**20 + 1), "application/json", 413, "too-large", id="over-1-MiB"),
        pytest.param(b" " * 10 * 2**20, "application/json", 413, "too-large", id="10-MiB"),
    ],
)
async def test_a_body_that_cannot_be_read(
    gateway: Any, content: bytes, media_type: str, status: int, kind: str
) -> None:
    response = await gateway.post("/api/v1/jobs", content=content, headers={"Content-Type": media_type})
    assert (response.status_code, response.json()["type"]) == (status, f"urn:merp:problem:{kind}"), response.text


async def test_a_body_of_unknown_length_is_cut_off_at_the_limit(gateway: Any) -> None:
    sent = 0

    async def endless() -> Any:
        nonlocal sent
        while True:
            sent += 65_536
            yield b" " * 65_536

    response = await gateway.post("/api/v1/jobs", content=endless(), headers={"Content-Type": "application/json"})
    assert response.status_code == 413


@pytest.mark.parametrize("content", [b"", b"{}"])
async def test_a_body_that_may_be_left_out(gateway: Any, cluster: Any, scheduled_job: Any, content: bytes) -> None:
    cluster.put("scheduledjobs", scheduled_job("j"))
    headers = {"Content-Type": "application/json"} if content else {}
    assert (await gateway.post("/api/v1/jobs/j/execute", content=content, headers=headers)).status_code == 202


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param("start=2026-13-01", {"start"}, id="C46-month-13"),
        pytest.param("start=yesterday", {"start"}, id="C46-a-word"),
        pytest.param("start=2026-12-01T08:00:00+08:00", {"start"}, id="C46-raw-plus"),
        pytest.param("start=2026-12-02&end=2026-12-01", {"end"}, id="C46-reversed"),
        pytest.param("limit=-1", {"limit"}, id="C46-negative-limit"),
        pytest.param("limit=100000", {"limit"}, id="C46-limit-too-large"),
        pytest.param("limit=1&start=2026-12-01&start=2026-12-02&limit=2", {"limit", "start"}, id="two-of-them-twice"),
        pytest.param("page=abc", {"page"}, id="C46-unknown-parameter"),
        pytest.param(
            "start=2026-13-01&end=x&limit=0&page=1&status=done&trigger=me",
            {"start", "end", "limit", "page", "status", "trigger"},
            id="C46-all-at-once",
        ),
        pytest.param("start=0001-01-01T00:00:00%2B14:00", {"start"}, id="before-the-first-year"),
        pytest.param("start=9999-12-31T23:59:59-14:00", {"start"}, id="after-the-last-year"),
        pytest.param("cursor=abc", {"cursor"}, id="cursor-of-somebody-else"),
        pytest.param("namespace=a_b", {"namespace"}, id="namespace-is-no-name"),
        pytest.param("namespace=../x", {"namespace"}, id="namespace-with-dots"),
    ],
)
async def test_a_wrong_query(gateway: Any, query: str, expected: set[str]) -> None:
    response = await gateway.get(f"/api/v1/jobs/history?{query}")
    assert _wrong(response).keys() == expected
    assert {entry["in"] for entry in response.json()["errors"]} == {"query"}


async def test_c46_the_raw_plus_is_pointed_out(gateway: Any) -> None:
    response = await gateway.get("/api/v1/jobs/history?start=2026-12-01T08:00:00+08:00")
    assert "%2B" in response.json()["errors"][0]["detail"]


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb"])
async def test_a_wrong_idempotency_key(gateway: Any, key: str) -> None:
    response = await gateway.post("/api/v1/jobs", json=GOOD, headers={"Idempotency-Key": key})
    assert _wrong(response) == {"Idempotency-Key": "invalid"}


async def test_what_the_schema_refuses_is_400_with_our_field(gateway: Any, cluster: Any, refusal: Any) -> None:
    causes = [
        {"reason": "FieldValueInvalid", "message": "bad cron", "field": "spec.schedule.cron"},
        {"reason": "FieldValueInvalid", "message": "bad list", "field": "spec.dependsOn[0].name"},
        {"reason": "FieldValueInvalid", "message": "unknown to REST", "field": "spec.template.volumes"},
    ]
    cluster.refusals[("POST", "scheduledjobs")] = [refusal(422, "Invalid", "invalid", {"causes": causes})]
    response = await gateway.post("/api/v1/jobs", json=GOOD)
    assert _wrong(response).keys() == {"#/cron_expression", "#/depends_on", "spec.template.volumes"}

"""Who calls: nothing is answered without a token, nobody sees more than the API server lets them, nothing leaks."""

import base64
import json
import logging
from typing import Any

import httpx2
import pytest

from merp_api.identity import Caller, Identities, Remembered
from merp_api.problems import Problem
from merp_api.reviews import Access, Subject
from merp_crds.names import ANNOTATION_PAUSED

BODY = {"name": "x", "job_type": "cron", "func": "echo_args", "cron_expression": "0 0 1 * *"}
READ = frozenset({"get", "list", "watch"})
PATHS = [
    ("GET", "/api/v1/jobs"),
    ("POST", "/api/v1/jobs"),
    ("GET", "/api/v1/jobs/j"),
    ("PUT", "/api/v1/jobs/j"),
    ("DELETE", "/api/v1/jobs/j"),
    ("POST", "/api/v1/jobs/j/execute"),
    ("POST", "/api/v1/jobs/j/pause"),
    ("POST", "/api/v1/jobs/j/resume"),
    ("GET", "/api/v1/jobs/history"),
    ("GET", "/api/v1/jobs/j/history"),
    ("GET", "/api/v1/executions/00000000-0000-0000-0000-000000000000"),
    ("POST", "/api/v1/executions/00000000-0000-0000-0000-000000000000/cancel"),
    ("POST", "/api/v1/executions/00000000-0000-0000-0000-000000000000/retry"),
    ("GET", "/api/v1/openapi.json"),
    ("GET", "/docs"),
    ("GET", "/"),
    ("GET", "/nothing/here"),
    ("PATCH", "/api/v1/jobs"),
    ("PATCH", "/api/v1/jobs/j"),
    ("POST", "/api/v1/jobs/preview"),
    ("GET", "/api/v1/plan"),
    ("GET", "/api/v1/jobs/j/explain"),
    ("GET", "/api/v1/pools"),
    ("POST", "/api/v1/jobs/batch"),
    ("GET", "/api/v1/calendars"),
    ("GET", "/api/v1/executions/00000000-0000-0000-0000-000000000000/log"),
    ("GET", "/api/v1/jobs?sort=name"),
    ("GET", "/api/v1/events"),
    ("GET", "/api/v1/history/daily"),
    ("GET", "/api/v1/history/worst"),
    ("GET", "/api/v1/jobs/j/history/daily"),
    ("GET", "/api/v1/tasks"),
    ("GET", "/api/v1/tasks/inventory_check"),
]


@pytest.mark.parametrize(("method", "path"), PATHS)
@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([], id="C56-no-header"),
        pytest.param([("Authorization", "")], id="C56-empty-header"),
        pytest.param([("Authorization", "Bearer ")], id="C56-empty-token"),
        pytest.param([("Authorization", "Bearer default_token")], id="C56-default-token"),
        pytest.param([("Authorization", "Basic YWRtaW46YWRtaW4=")], id="C56-basic"),
        pytest.param([("Authorization", "Bearer a b")], id="token-with-a-space"),
        pytest.param([("Authorization", "token-of-admin")], id="no-scheme"),
        pytest.param([("Authorization", "Bearer token-of-admin")] * 2, id="two-headers"),
        pytest.param([("X-Remote-User", "admin"), ("Impersonate-User", "admin")], id="names-without-a-token"),
    ],
)
async def test_c56_without_a_valid_token(
    gateway: Any, cluster: Any, method: str, path: str, headers: list[tuple[str, str]]
) -> None:
    response = await gateway.client.request(method, path, headers=headers, json=BODY)
    assert response.status_code == 401
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["www-authenticate"].startswith("Bearer")
    assert response.json()["type"] == "urn:merp:problem:unauthorized"
    assert {seen.path.rpartition("/")[2] for seen in cluster.seen} <= {"selfsubjectreviews"}
    assert all(seen.headers.get("Authorization") for seen in cluster.seen)


async def test_an_anonymous_answer_is_no_identity(gateway: Any, cluster: Any) -> None:
    cluster.allow("t", "system:anonymous", "*")
    assert (await gateway.get("/api/v1/jobs", "t")).status_code == 401


async def test_every_call_carries_the_callers_token_and_none_our_own(
    gateway: Any, cluster: Any, scheduled_job: Any
) -> None:
    cluster.put("scheduledjobs", scheduled_job("j"))
    cluster.allow("mine", "me", "default")
    for method, path in PATHS:
        await gateway.request(method, path, "mine", json=BODY if method in ("POST", "PUT") else None)
    assert {seen.headers.get("Authorization") for seen in cluster.seen} == {"Bearer mine"}


async def test_the_description_of_the_api_needs_a_token_and_then_comes(gateway: Any) -> None:
    document = (await gateway.get("/api/v1/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    assert document["paths"]["/api/v1/jobs"]["post"]["requestBody"]["content"]["application/json"]["schema"] == {
        "$ref": "#/components/schemas/JobBody"
    }
    retry = document["paths"]["/api/v1/executions/{id}/retry"]["post"]
    assert retry["requestBody"]["required"] is False
    assert {"202", "404", "409"} <= retry["responses"].keys()
    assert {"202", "404", "409"} <= document["paths"]["/api/v1/executions/{id}/cancel"]["post"]["responses"].keys()
    for operations in document["paths"].values():
        for operation in operations.values():
            assert "422" not in operation["responses"]
    references = {part.split('"')[0] for part in json.dumps(document).split('"#/components/schemas/')[1:]}
    assert references <= document["components"]["schemas"].keys()


async def test_c58_a_viewer_reads_and_writes_nothing(
    gateway: Any, cluster: Any, scheduled_job: Any, recorder: Any
) -> None:
    cluster.put("scheduledjobs", scheduled_job("j", "erp"))
    recorder.run("j", 0, namespace="erp")
    cluster.allow("viewer", "viewer", "erp", READ)
    for method, path in (
        ("POST", "/api/v1/jobs"),
        ("PUT", "/api/v1/jobs/j"),
        ("DELETE", "/api/v1/jobs/j"),
        ("POST", "/api/v1/jobs/j/pause"),
        ("POST", "/api/v1/jobs/j/execute"),
    ):
        body = BODY if path.endswith(("jobs", "/j")) else {}
        response = await gateway.request(method, f"{path}?namespace=erp", "viewer", json=body)
        assert (response.status_code, method, path) == (403, method, path)
        assert response.json()["type"] == "urn:merp:problem:forbidden"
    for path in ("/api/v1/jobs", "/api/v1/jobs/j", "/api/v1/jobs/history", "/api/v1/jobs/j/history"):
        assert (await gateway.get(f"{path}?namespace=erp", "viewer")).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        pytest.param("PUT", "/api/v1/jobs/j", BODY | {"name": "j"}, id="what-it-is-already"),
        pytest.param("PATCH", "/api/v1/jobs/j", {}, id="an-empty-patch"),
        pytest.param("POST", "/api/v1/jobs/j/resume", None, id="resume-what-is-not-paused"),
        pytest.param("POST", "/api/v1/jobs/p/pause", None, id="pause-what-is-paused"),
    ],
)
async def test_c58_a_viewer_is_refused_also_where_nothing_would_change(
    gateway: Any, cluster: Any, scheduled_job: Any, method: str, path: str, body: Any
) -> None:
    cluster.put("scheduledjobs", scheduled_job("j", displayName="j"))
    paused = scheduled_job("p")
    paused["metadata"]["annotations"] = {ANNOTATION_PAUSED: '{"by": "admin"}'}
    cluster.put("scheduledjobs", paused)
    cluster.allow("viewer", "viewer", "default", READ)
    assert (await gateway.request(method, path, "viewer", json=body)).status_code == 403
    assert (await gateway.request(method, path, json=body)).status_code in (200, 202)
    assert cluster.writes(method, "scheduledjobs") == []
    assert cluster.writes("PATCH", "scheduledjobs") == []


async def test_c58_history_is_no_way_round_rights(gateway: Any, cluster: Any, recorder: Any) -> None:
    entry = recorder.run("j", 0, namespace="erp")
    recorder.run("k", 0, namespace="default")
    cluster.allow("nobody", "nobody")
    cluster.allow("other", "other", "default", READ)
    for token in ("nobody", "other"):
        for path in (
            "/api/v1/jobs?namespace=erp",
            "/api/v1/jobs/history?namespace=erp",
            "/api/v1/jobs/history?namespace=*",
            "/api/v1/jobs/j/history?namespace=erp",
            f"/api/v1/executions/{entry.id}?namespace=erp",
        ):
            assert (await gateway.get(path, token)).status_code == 403
    assert (await gateway.get("/api/v1/jobs/history", "nobody")).status_code == 403
    assert (await gateway.get(f"/api/v1/executions/{entry.id}", "other")).status_code == 404
    mine = await gateway.get("/api/v1/jobs/history", "other")
    assert [item["namespace"] for item in mine.json()["items"]] == ["default"]


async def test_the_administrator_sees_all_namespaces_when_asked(gateway: Any, recorder: Any) -> None:
    entry = recorder.run("j", 0, namespace="erp")
    recorder.run("k", 1)
    everywhere = (await gateway.get("/api/v1/jobs/history?namespace=*")).json()["items"]
    assert [item["job_id"] for item in everywhere] == ["k", "j"]
    assert (await gateway.get(f"/api/v1/executions/{entry.id}")).json()["namespace"] == "erp"


async def test_no_token_and_no_parameter_reaches_the_log(
    gateway: Any, cluster: Any, caplog: pytest.LogCaptureFixture
) -> None:
    canary = "canary-Zq83kfP1"
    caplog.set_level(logging.INFO)
    cluster.allow(canary, "me", "default")
    body = BODY | {"kwargs": {"password": canary}, "args": [canary]}
    answers = [
        await gateway.post("/api/v1/jobs", canary, json=body),
        await gateway.get(f"/api/v1/jobs/history?job_id={canary}", canary),
        await gateway.post("/api/v1/jobs", canary, json=body | {"nope": canary}),
        await gateway.get("/api/v1/jobs", f"{canary}x"),
        await gateway.get("/api/v1/jobs?namespace=erp", canary),
    ]
    assert [answer.status_code for answer in answers] == [201, 200, 400, 401, 403]
    lines = [record for record in caplog.records if record.name == "merp_api.middleware"]
    assert len(lines) == len(answers)
    # Of the client's own log nothing is ours.
    ours = [record for record in caplog.records if record.name != "httpx2"]
    assert not [record for record in ours if canary in json.dumps(vars(record), default=str)]
    assert [vars(line)["user"] for line in lines] == ["me", "me", "me", None, "me"]
    assert vars(lines[0])["route"] == "/api/v1/jobs"
    for answer in answers[1:]:
        assert canary not in answer.text.replace(f"no job '{canary}'", "")


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def _web_token(expiry: object) -> str:
    claims = base64.urlsafe_b64encode(json.dumps({"exp": expiry}).encode()).decode().rstrip("=")
    return f"e30.{claims}.c2ln"


class CountingReviews:
    """Counts what is asked of it."""

    def __init__(self) -> None:
        self.asked = 0

    async def subject(self, token: str) -> Subject | None:
        self.asked += 1
        return None if token == "unknown" else Subject("me")

    async def allows(self, subject: Subject, token: str, access: Access) -> bool:
        self.asked += 1
        return access.namespace == "erp"


@pytest.mark.parametrize(
    ("token", "after", "asked"),
    [
        pytest.param("opaque", 59, 1, id="remembered"),
        pytest.param("opaque", 60, 2, id="a-minute-at-most"),
        pytest.param(_web_token(1030.0), 29, 1, id="before-its-expiry"),
        pytest.param(_web_token(1030), 30, 2, id="never-beyond-its-expiry"),
        pytest.param(_web_token("soon"), 59, 1, id="expiry-is-no-number"),
        pytest.param("a.!!.c", 0, 0, id="no-token"),
        pytest.param("a.b.c", 59, 1, id="claims-are-no-json"),
        pytest.param(_web_token(10**400), 59, 1, id="expiry-is-beyond-any-float"),
        pytest.param(_web_token(999), 0, 2, id="expired-is-not-remembered"),
        pytest.param(
            "a." + base64.urlsafe_b64encode(b"[" * 9000).decode() + ".c", 59, 1, id="claims-are-nested-deeply"
        ),
    ],
)
async def test_how_long_an_identity_is_remembered(token: str, after: float, asked: int) -> None:
    reviews, clock = CountingReviews(), Clock()
    identities = Identities(reviews, clock=clock, wall_clock=clock)
    if not asked:
        with pytest.raises(Exception, match="no bearer token"):
            await identities.caller([f"Bearer {token}"])
        return
    await identities.caller([f"Bearer {token}"])
    clock.now += after
    caller = await identities.caller([f"bearer {token}"])
    assert (caller.user, reviews.asked) == ("me", asked)
    assert token not in repr(caller)


@pytest.mark.parametrize(("after", "asked"), [(0, 1), (9.9, 1), (10, 2)])
async def test_how_long_a_refusal_is_remembered(after: float, asked: int) -> None:
    reviews, clock = CountingReviews(), Clock()
    identities = Identities(reviews, clock=clock, wall_clock=clock)
    for _ in range(2):
        with pytest.raises(Problem, match="does not accept the token"):
            await identities.caller(["Bearer unknown"])
        clock.now += after
    assert reviews.asked == asked


async def test_two_who_are_called_alike_are_two_where_anything_else_differs() -> None:
    reviews, clock = CountingReviews(), Clock()
    identities = Identities(reviews, clock=clock, wall_clock=clock)
    subjects = [
        Subject("me"),
        Subject("me", groups=("g",)),
        Subject("me", uid="u"),
        Subject("me", extra=(("k", ("v",)),)),
    ]
    for subject in [*subjects, *subjects]:
        await identities.allows(Caller(subject, "t"), Access("list", "scheduledjobs", "erp"))
    assert reviews.asked == len(subjects)


@pytest.mark.parametrize(("after", "asked"), [(9.9, 1), (10, 2)])
async def test_how_long_a_permission_is_remembered(after: float, asked: int) -> None:
    reviews, clock = CountingReviews(), Clock()
    identities = Identities(reviews, clock=clock, wall_clock=clock)
    caller = await identities.caller(["Bearer opaque"])
    reviews.asked = 0
    assert await identities.may_list(caller, "erp")
    clock.now += after
    assert await identities.may_list(caller, "erp")
    assert reviews.asked == asked


def test_memory_is_bounded() -> None:
    remembered: Remembered[int, str] = Remembered(Clock(), size=2)
    for number in range(3):
        remembered.put(number, "x", 10)
    assert [remembered.get(number) for number in range(3)] == [None, "x", "x"]


async def test_a_revoked_token_is_401_at_the_next_call(gateway: Any, cluster: Any) -> None:
    cluster.allow("t", "t", "default")
    assert (await gateway.get("/api/v1/jobs", "t")).status_code == 200
    del cluster.users["t"]
    response = await gateway.get("/api/v1/jobs", "t")
    assert (response.status_code, "www-authenticate" in response.headers) == (401, True)


async def test_probes_need_no_token(applications: Any) -> None:
    gateway = applications()
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=gateway.app), base_url="http://g") as client:
        assert (await client.get("/healthz")).json() == {
            "status": "ok",
            "api_server": None,
            "cache": None,
            "records": None,
        }
        ready = await client.get("/readyz")
    assert (ready.status_code, ready.json()) == (
        200, {"status": "ready", "api_server": "reachable", "cache": "none", "records": "current"},
    )  # fmt: skip

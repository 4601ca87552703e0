"""Lists of jobs: filters, orders, pages and versions."""

import base64
import json
from typing import Any

import pytest

JOBS: dict[str, dict[str, Any]] = {
    "a-sync": {"displayName": "数据同步", "priority": "low", "pool": {"name": "nightly"}},
    "b-stock": {"displayName": "Stocktake", "priority": "high", "schedule": {"intervalSeconds": 60}},
    "c-plan": {"description": "the STOCK of tomorrow", "schedule": None},
    "d-clean": {"displayName": "stock cleaning", "suspend": True},
    "e-mail": {"pool": {"name": "mail", "slots": 2}, "priority": "high"},
}
NEXT = {"a-sync": "2026-12-05T00:00:00Z", "b-stock": "2026-12-01T00:01:00Z", "e-mail": "2026-12-05T00:00:00Z"}


@pytest.fixture
def jobs(cluster: Any, scheduled_job: Any) -> None:
    for name, spec in JOBS.items():
        job = scheduled_job(name, **spec)
        job["status"] = {"observedGeneration": 1} | ({"nextRunTime": NEXT[name]} if name in NEXT else {})
        cluster.put("scheduledjobs", job)
    cluster.put("scheduledjobs", scheduled_job("a-elsewhere", "erp", displayName="Stock"))


async def _pages(gateway: Any, query: str) -> list[str]:
    found: list[str] = []
    path = f"/api/v1/jobs?{query}"
    while path:
        response = await gateway.get(path)
        assert response.status_code == 200, response.text
        found += [item["id"] for item in response.json()["items"]]
        link = response.headers.get("link", "")
        path = link.partition(">")[0].removeprefix("<")
        assert bool(path) == (response.json()["next_cursor"] is not None)
    return found


LISTS = [
    pytest.param("", list(JOBS), id="no-filter"),
    pytest.param("status=paused", ["d-clean"], id="status"),
    pytest.param("status=paused&status=active", list(JOBS), id="either-status"),
    pytest.param("job_type=interval&job_type=manual", ["b-stock", "c-plan"], id="types"),
    pytest.param("priority=high", ["b-stock", "e-mail"], id="priority"),
    pytest.param("pool=nightly", ["a-sync"], id="pool"),
    pytest.param("text=stock", ["b-stock", "c-plan", "d-clean"], id="text-in-any-case"),
    pytest.param("text=数据", ["a-sync"], id="text-in-any-language"),
    pytest.param("text=stock&priority=high&namespace=*", ["b-stock"], id="all-filters-count"),
    pytest.param("text=stock&namespace=*", ["a-elsewhere", "b-stock", "c-plan", "d-clean"], id="every-namespace"),
    pytest.param("text=nothing-like-it", [], id="none"),
    pytest.param("sort=-id", list(JOBS)[::-1], id="by-id-down"),
    pytest.param("sort=name", ["c-plan", "e-mail", "d-clean", "b-stock", "a-sync"], id="by-name"),
    pytest.param("sort=priority", ["b-stock", "e-mail", "c-plan", "d-clean", "a-sync"], id="by-priority"),
    pytest.param("sort=next_run_time", ["b-stock", "a-sync", "e-mail", "c-plan", "d-clean"], id="C49-null-comes-last"),
    pytest.param(
        "sort=-next_run_time",
        ["e-mail", "a-sync", "b-stock", "d-clean", "c-plan"],
        id="C49-null-last-downwards-too",
    ),
    pytest.param("sort=-created_at&pool=mail", ["e-mail"], id="filter-and-order"),
]


@pytest.mark.usefixtures("jobs")
@pytest.mark.parametrize(("query", "expected"), LISTS)
@pytest.mark.parametrize("limit", [1, 2, 50])
async def test_every_page_of_a_list(gateway: Any, query: str, expected: list[str], limit: int) -> None:
    assert await _pages(gateway, f"{query}&limit={limit}".removeprefix("&")) == expected


@pytest.mark.usefixtures("jobs")
async def test_every_page_is_the_same_from_memory(applications: Any, cluster: Any) -> None:
    gateway = await applications(cached=True).started()
    for case in LISTS:
        query, expected = case.values
        for limit in (1, 2, 50):
            assert (query, await _pages(gateway, f"{query}&limit={limit}".removeprefix("&"))) == (query, expected)
    everything = await _pages(gateway, "namespace=*&limit=2")
    assert everything == [*JOBS, "a-elsewhere"]
    lists = [seen for seen in cluster.calls("GET", "scheduledjobs") if "watch" not in seen.query]
    assert [seen.headers["Authorization"] for seen in lists] == ["Bearer token-of-gateway"]


@pytest.mark.usefixtures("jobs")
async def test_a_page_of_memory_is_the_live_one(applications: Any, cluster: Any) -> None:
    live, memory = applications(), await applications(cached=True).started()
    for path in ("/api/v1/jobs", "/api/v1/jobs?sort=-priority&namespace=*", "/api/v1/jobs/b-stock"):
        answers = [await gateway.get(path) for gateway in (live, memory)]
        assert answers[0].json() == answers[1].json()
        assert answers[0].headers["etag"] == answers[1].headers["etag"]


@pytest.mark.usefixtures("jobs")
@pytest.mark.parametrize("query", ["namespace=*", "sort=name", "status=paused&status=active"])
async def test_a_cursor_is_good_live_and_from_memory(applications: Any, query: str) -> None:
    live, memory = applications(), await applications(cached=True).started()
    expected = await _pages(live, query)
    for first, second in ((live, memory), (memory, live)):
        begin = (await first.get(f"/api/v1/jobs?{query}&limit=2")).json()
        rest = (await second.get(f"/api/v1/jobs?{query}&cursor={begin['next_cursor']}")).json()
        assert [item["id"] for item in [*begin["items"], *rest["items"]]] == expected


@pytest.mark.usefixtures("jobs")
async def test_what_comes_and_goes_between_pages_moves_nothing_else(
    gateway: Any, cluster: Any, scheduled_job: Any
) -> None:
    first = (await gateway.get("/api/v1/jobs?sort=priority&limit=2")).json()
    del cluster.objects[("scheduledjobs", "default", "b-stock")]
    cluster.put("scheduledjobs", scheduled_job("a-new", priority="high"))
    second = (await gateway.get("/api/v1/jobs", params={"sort": "priority", "cursor": first["next_cursor"]})).json()
    assert [item["id"] for item in first["items"]] == ["b-stock", "e-mail"]
    assert [item["id"] for item in second["items"]] == ["c-plan", "d-clean", "a-sync"]


@pytest.mark.usefixtures("jobs")
@pytest.mark.parametrize("cached", [False, True], ids=["live", "memory"])
async def test_a_cursor_is_of_its_order(applications: Any, cached: bool) -> None:
    gateway = applications(cached=cached)
    if cached:
        await gateway.started()
    cursors = {
        sort: (await gateway.get(f"/api/v1/jobs?sort={sort}&limit=1")).json()["next_cursor"] for sort in ("id", "name")
    }
    for sort, cursor in (("name", cursors["id"]), ("id", cursors["name"]), ("-name", cursors["name"]), ("name", "x")):
        response = await gateway.get("/api/v1/jobs", params={"sort": sort, "cursor": cursor})
        assert (response.status_code, response.json()["errors"][0]["field"]) == (400, "cursor")


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        pytest.param("sort=title", ["sort"], id="an-unknown-order"),
        pytest.param("status=idle&job_type=x&priority=1", ["status", "job_type", "priority"], id="three-at-once"),
        pytest.param("text=", ["text"], id="no-text"),
        pytest.param("state=active", ["state"], id="a-misspelt-filter"),
    ],
)
async def test_a_wrong_filter_is_400(gateway: Any, query: str, fields: list[str]) -> None:
    response = await gateway.get(f"/api/v1/jobs?{query}")
    assert (response.status_code, [entry["field"] for entry in response.json()["errors"]]) == (400, fields)


async def test_a_filter_reads_every_page_of_the_api_server(gateway: Any, cluster: Any, scheduled_job: Any) -> None:
    for number in range(1001):
        cluster.put("scheduledjobs", scheduled_job(f"job-{number:04}"))
    response = await gateway.get("/api/v1/jobs?text=job-1000")
    assert [item["id"] for item in response.json()["items"]] == ["job-1000"]
    assert len(cluster.calls("GET", "scheduledjobs")) == 3


async def test_who_may_not_list_gets_403_for_filters_too(gateway: Any, cluster: Any) -> None:
    cluster.allow("t", "nobody", "erp")
    assert (await gateway.get("/api/v1/jobs?sort=name", "t")).status_code == 403


async def test_a_job_that_is_as_it_was_is_304(gateway: Any, cluster: Any, scheduled_job: Any) -> None:
    cluster.put("scheduledjobs", scheduled_job("j"))
    first = await gateway.get("/api/v1/jobs/j")
    tag = first.headers["etag"]
    for known in (tag, f'"1", W/{tag}', "*"):
        again = await gateway.get("/api/v1/jobs/j", headers={"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    await gateway.request("PATCH", "/api/v1/jobs/j", json={"description": "x"})
    changed = await gateway.get("/api/v1/jobs/j", headers={"If-None-Match": tag})
    assert (changed.status_code, changed.json()["description"]) == (200, "x")


@pytest.mark.usefixtures("jobs")
async def test_a_page_that_is_as_it_was_is_304(gateway: Any) -> None:
    first = await gateway.get("/api/v1/jobs?sort=name")
    headers = {"If-None-Match": first.headers["etag"]}
    assert (await gateway.get("/api/v1/jobs?sort=name", headers=headers)).status_code == 304
    assert (await gateway.get("/api/v1/jobs?sort=-name", headers=headers)).status_code == 200
    await gateway.request("PATCH", "/api/v1/jobs/c-plan", json={"description": "x"})
    assert (await gateway.get("/api/v1/jobs?sort=name", headers=headers)).status_code == 200


async def test_the_description_has_the_lists_and_the_patch(gateway: Any) -> None:
    document = (await gateway.get("/api/v1/openapi.json")).json()
    listing = document["paths"]["/api/v1/jobs"]["get"]
    names = {entry["name"] for entry in listing["parameters"]}
    assert {"status", "job_type", "priority", "pool", "text", "sort", "limit", "cursor"} <= names
    assert "content" not in listing["responses"]["304"]
    body = document["paths"]["/api/v1/jobs/{id}"]["patch"]["requestBody"]["content"]["application/merge-patch+json"]
    assert body["schema"] == {"$ref": "#/components/schemas/JobPatch"}
    assert "required" not in document["components"]["schemas"]["JobPatch"]
    assert document["components"]["schemas"]["JobBody"]["required"] == ["name", "job_type", "func"]


async def test_the_examples_of_the_description_work(gateway: Any) -> None:
    document = (await gateway.get("/api/v1/openapi.json")).json()
    body = document["paths"]["/api/v1/jobs"]["post"]["requestBody"]["content"]["application/json"]
    for example in body["examples"].values():
        response = await gateway.post("/api/v1/jobs", json=example["value"])
        assert response.status_code == 201, response.text
    patch = document["paths"]["/api/v1/jobs/{id}"]["patch"]["requestBody"]["content"]["application/merge-patch+json"]
    for example in patch["examples"].values():
        response = await gateway.request(
            "PATCH",
            "/api/v1/jobs/nightly-stock",
            content=json.dumps(example["value"]),
            headers={"Content-Type": "application/merge-patch+json"},
        )
        assert response.status_code == 200, response.text


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/api/v1/jobs?sort=name", "sorted:" + "[" * 3000),
        ("/api/v1/jobs/history?limit=1", "0001-01-01T00:00:00+14:00|x"),
        ("/api/v1/jobs/history?limit=1", "9999-12-31T23:59:59-14:00|x"),
    ],
)
async def test_a_cursor_of_the_clients_own_making_is_400(caching: Any, path: str, content: str) -> None:
    cursor = base64.urlsafe_b64encode(content.encode()).decode().rstrip("=")
    answer = await caching.get(f"{path}&cursor={cursor}")
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == ["cursor"]


@pytest.mark.parametrize("path", ["/api/v1/jobs", "/api/v1/jobs/history"])
async def test_a_nul_is_not_looked_for(gateway: Any, path: str) -> None:
    answer = await gateway.get(f"{path}?text=%00")
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == ["text"]

"""Methods as HTTP has them: HEAD wherever there is a GET, and an Allow that is complete."""

import asyncio
from typing import Any

import pytest


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        pytest.param("/healthz", 200, id="alive"),
        pytest.param("/readyz", 200, id="ready"),
        pytest.param("/api/v1/jobs", 200, id="jobs"),
        pytest.param("/api/v1/jobs/j", 200, id="job"),
        pytest.param("/api/v1/jobs/nope", 404, id="no-such-job"),
        pytest.param("/api/v1/jobs?limit=0", 400, id="a-wrong-query"),
        pytest.param("/api/v1/jobs/history", 200, id="history"),
        pytest.param("/api/v1/openapi.json", 200, id="description"),
        pytest.param("/api/v1/jobs/j/pause", 405, id="nothing-to-get"),
        pytest.param("/api/v1/nothing", 404, id="nothing-there"),
    ],
)
async def test_head_is_get_without_its_body(
    gateway: Any, cluster: Any, scheduled_job: Any, path: str, expected: int
) -> None:
    cluster.put("scheduledjobs", scheduled_job("j"))
    asked, got = await gateway.request("HEAD", path), await gateway.get(path)
    if expected != 405:
        assert got.status_code == expected
    assert (asked.status_code, asked.content) == (expected, b"")
    told = ("content-type", "etag", "link", "cache-control", "x-content-type-options")
    if expected != 405:
        assert {name: asked.headers.get(name) for name in told} == {name: got.headers.get(name) for name in told}


async def test_head_needs_a_token_too(gateway: Any) -> None:
    assert (await gateway.request("HEAD", "/api/v1/jobs", token=None)).status_code == 401


async def test_head_of_a_stream_ends_and_holds_no_place(caching: Any) -> None:
    for _ in range(20):
        async with asyncio.timeout(5):
            answer = await caching.request("HEAD", "/api/v1/events")
        assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        pytest.param("DELETE", "/api/v1/jobs", "GET, HEAD, POST", id="jobs"),
        pytest.param("POST", "/api/v1/jobs/j", "GET, HEAD, PUT, PATCH, DELETE", id="job"),
        pytest.param("OPTIONS", "/api/v1/jobs", "GET, HEAD, POST", id="options"),
        pytest.param("GET", "/api/v1/jobs/j/pause", "POST", id="pause"),
        pytest.param("POST", "/healthz", "GET, HEAD", id="alive"),
    ],
)
async def test_allow_names_every_method_of_a_path(gateway: Any, method: str, path: str, allowed: str) -> None:
    answer = await gateway.request(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)

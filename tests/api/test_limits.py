"""What one user may take: requests a second, open streams; and every bound of bodies, pages and ranges."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from merp_api.limits import HeldStream, Rates, Streams
from merp_api.problems import Problem

PREVIEW = {"job_type": "cron", "cron_expression": "0 0 * * *"}
JOB = {"name": "x", "job_type": "cron", "func": "echo_args", "cron_expression": "0 0 1 * *"}
NOBODY = "00000000-0000-0000-0000-000000000000"


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def allowed(rates: Rates, user: str = "a") -> str:
    """`yes`, or the seconds to wait."""
    try:
        rates.take(user)
    except Problem as problem:
        return problem.headers["Retry-After"]
    return "yes"


@pytest.mark.parametrize(
    ("per_second", "burst", "at", "expected"),
    [
        pytest.param(1, 2, [0, 0], ["yes", "yes"], id="a-burst"),
        pytest.param(1, 2, [0, 0, 0], ["yes", "yes", "1"], id="beyond-it"),
        pytest.param(1, 2, [0, 0, 0.5, 1], ["yes", "yes", "1", "yes"], id="one-a-second-comes-back"),
        pytest.param(0.1, 1, [0, 0, 10], ["yes", "10", "yes"], id="one-in-ten-seconds"),
        pytest.param(1, 2, [0, 0, 60, 60, 60], ["yes", "yes", "yes", "yes", "1"], id="never-more-than-a-burst"),
        pytest.param(1, 1, [0, 0.9, 0.9, 1], ["yes", "1", "1", "yes"], id="what-is-refused-costs-nothing"),
        pytest.param(0, 1, [0, 0, 0], ["yes", "yes", "yes"], id="no-limit"),
    ],
)
def test_rates(per_second: float, burst: int, at: list[float], expected: list[str]) -> None:
    clock = Clock()
    rates = Rates(per_second, burst, clock=clock)
    found = []
    for moment in at:
        clock.now = 1000.0 + moment
        found.append(allowed(rates))
    assert found == expected


def test_each_user_has_a_rate_of_their_own() -> None:
    rates = Rates(1, 1, clock=Clock())
    assert [allowed(rates, "a"), allowed(rates, "b"), allowed(rates, "a")] == ["yes", "yes", "1"]


async def test_a_user_who_sends_too_many_gets_429_and_others_do_not(applications: Any, cluster: Any) -> None:
    gateway = applications(settings={"merp_requests_per_second": 0.1, "merp_request_burst": 2})
    cluster.allow("other", "other", "default")
    answers = [await gateway.get("/api/v1/jobs") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[2].json()["type"] == "urn:merp:problem:rate-limit"
    assert 1 <= int(answers[2].headers["retry-after"]) <= 10
    assert (await gateway.get("/api/v1/jobs", "other")).status_code == 200
    assert (await gateway.get("/healthz", None)).status_code == 200


@pytest.mark.parametrize(
    ("opened", "refused"),
    [
        pytest.param([], "", id="none-open"),
        pytest.param(["a"], "", id="one-of-two"),
        pytest.param(["a", "a"], "a has 2 streams open, and more are not allowed: end one", id="all-of-the-user"),
        pytest.param(["b", "b", "c"], "3 streams are open, and the gateway serves no more at once", id="all-of-all"),
    ],
)
def test_streams(opened: list[str], refused: str) -> None:
    streams = Streams(2, 3)
    with ExitStack() as stack:
        for user in opened:
            stack.enter_context(streams.one(user))
        if refused:
            with pytest.raises(Problem, match=refused), streams.one("a"):
                pytest.fail("it is open")
    with streams.one("a"), streams.one("a"), streams.one("b"):
        assert True, "what was open is closed"


async def test_logs_are_counted_and_let_go(applications: Any, recorder: Any) -> None:
    gateway = applications(settings={"merp_streams_per_user": 1})
    path = f"/api/v1/executions/{recorder.run('j', 0, log_tail='kept').id}/log"
    streams = gateway.app.state.services.streams
    with streams.one("admin"):
        refused = await gateway.get(path)
    assert (refused.status_code, refused.json()["type"]) == (429, "urn:merp:problem:too-many-streams")
    assert refused.headers["retry-after"] == "10"
    # Neither one that was read nor one that was not there holds a place.
    assert (await gateway.get(f"/api/v1/executions/{NOBODY}/log")).status_code == 404
    assert [(await gateway.get(path)).status_code for _ in range(2)] == [200, 200]


async def test_a_stream_ends_with_its_client() -> None:
    told: list[str] = []
    begun = asyncio.Event()

    @contextmanager
    def held() -> Any:
        yield
        told.append("let go")

    async def endless() -> AsyncIterator[bytes]:
        begun.set()
        yield b"line\n"
        await asyncio.Event().wait()

    async def gone() -> dict[str, Any]:
        await begun.wait()
        return {"type": "http.disconnect"}

    async def send(_: Any) -> None:
        """Nobody reads it."""

    stack = ExitStack()
    stack.enter_context(held())
    await HeldStream(endless(), held=stack)({"type": "http"}, gone, send)
    assert told == ["let go"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        pytest.param("GET", "/api/v1/jobs?limit=500", None, 200, id="jobs-a-full-page"),
        pytest.param("GET", "/api/v1/jobs?limit=501", None, 400, id="jobs-beyond-a-page"),
        pytest.param("GET", "/api/v1/jobs?limit=0", None, 400, id="jobs-an-empty-page"),
        pytest.param("GET", "/api/v1/jobs/history?limit=500", None, 200, id="history-a-full-page"),
        pytest.param("GET", "/api/v1/jobs/history?limit=501", None, 400, id="history-beyond-a-page"),
        pytest.param("GET", f"/api/v1/jobs/history?text={'x' * 100}", None, 200, id="history-a-long-text"),
        pytest.param("GET", f"/api/v1/jobs/history?text={'x' * 101}", None, 400, id="history-a-longer-text"),
        pytest.param("GET", f"/api/v1/jobs/history?cursor={'x' * 4097}", None, 400, id="history-a-long-cursor"),
        pytest.param("GET", "/api/v1/history/worst?limit=101", None, 400, id="worst-too-many"),
        pytest.param("GET", "/api/v1/plan?limit=501", None, 400, id="plan-beyond-a-page"),
        pytest.param("GET", "/api/v1/plan?start=2026-12-01&end=2027-01-02", None, 400, id="plan-32-days"),
        pytest.param("GET", "/api/v1/plan?start=2126-12-01&end=2126-12-02", None, 400, id="plan-in-a-century"),
        pytest.param("GET", f"/api/v1/executions/{NOBODY}/log?lines=100001", None, 400, id="log-too-many-lines"),
        pytest.param("POST", "/api/v1/jobs/preview", PREVIEW | {"count": 100}, 200, id="preview-100"),
        pytest.param("POST", "/api/v1/jobs/preview", PREVIEW | {"count": 101}, 400, id="preview-101"),
        pytest.param("POST", "/api/v1/jobs/preview", PREVIEW | {"start": "9998-12-01"}, 200, id="preview-at-the-end"),
        pytest.param("POST", "/api/v1/jobs/batch", {"action": "pause", "ids": ["j"] * 101}, 400, id="batch-101"),
        pytest.param("POST", "/api/v1/jobs", JOB | {"args": ["x" * 2**16]}, 400, id="parameters-of-64-KiB"),
        pytest.param("POST", "/api/v1/jobs", JOB | {"args": ["x" * 2**20]}, 413, id="a-body-of-1-MiB"),
    ],
)
async def test_bounds(gateway: Any, method: str, path: str, body: Any, status: int) -> None:
    answer = await gateway.request(method, path, json=body)
    assert answer.status_code == status, answer.text
    if status >= 400:
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(("depth", "status"), [(61, 201), (65, 400)])
async def test_how_deep_a_body_may_be(gateway: Any, depth: int, status: int) -> None:
    nested: Any = 1
    for _ in range(depth):
        nested = [nested]
    answer = await gateway.post("/api/v1/jobs", json=JOB | {"args": nested})
    assert answer.status_code == status, answer.text

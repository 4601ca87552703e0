"""What the kubelet is told of a process."""

import time
from dataclasses import dataclass

import pytest
from aiohttp.test_utils import TestClient, TestServer

from merp_operator import health


@dataclass
class Asked:
    tried_at: float


@pytest.mark.parametrize(
    ("silent", "healthy"),
    [
        pytest.param([0.0], 200, id="just-asked"),
        pytest.param([0.0, 80.0], 200, id="a-watch-may-be-silent-for-a-while"),
        pytest.param([0.0, 100.0], 500, id="one-is-not-tried-any-more"),
    ],
)
async def test_alive_is_who_goes_on_asking(silent: list[float], healthy: int) -> None:
    app = health.application(lambda: [Asked(time.monotonic() - seconds) for seconds in silent], lambda: True)
    async with TestClient(TestServer(app)) as client:
        answer = await client.get("/healthz")
        assert answer.status == healthy


@pytest.mark.parametrize(
    ("ready", "status"), [pytest.param(True, 200, id="ready"), pytest.param(False, 503, id="not-yet")]
)
async def test_ready_is_who_says_so(ready: bool, status: int) -> None:
    app = health.application(lambda: [Asked(time.monotonic())], lambda: ready)
    async with TestClient(TestServer(app)) as client:
        assert (await client.get("/readyz")).status == status

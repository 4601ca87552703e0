"""What makes the calendar of the chart: the object it sends, what it waits for, and what it gives up on."""

import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer

from merp_kube.client import Client, server_only
from merp_operator import provide

Json = dict[str, Any]
CN: Json = {
    "apiVersion": "scheduler.merp.io/v1",
    "kind": "BusinessCalendar",
    "metadata": {"name": "cn"},
    "spec": {"builtIn": "CN"},
}
PATH = "/apis/scheduler.merp.io/v1/businesscalendars/cn"


class Server:
    """An API server that gives the answers it was told, the last of them for ever."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.requests: list[tuple[str, str, Json, Json]] = []

    async def answer(self, request: web.Request) -> web.Response:
        text = await request.text()
        self.requests.append((request.method, request.path, dict(request.query), yaml.safe_load(text)))
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        if status == 200:
            return web.json_response(yaml.safe_load(text) | {"metadata": {"name": "cn", "resourceVersion": "7"}})
        return web.json_response({"kind": "Status", "message": f"answered {status}"}, status=status)


@pytest.fixture
async def served(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Server, Client]]:
    server = Server(*request.param)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.answer)
    async with TestServer(app) as running, Client(server_only(host=str(running.make_url("")), ca_file=None)) as client:
        yield server, client


@pytest.mark.parametrize(
    ("served", "requests"),
    [pytest.param((200,), 1, id="at-once"), pytest.param((404, 200), 2, id="a-definition-that-comes-a-moment-later")],
    indirect=["served"],
)
async def test_it_applies_the_object(served: tuple[Server, Client], requests: int) -> None:
    server, client = served
    assert await provide.provide(client, CN) == "7"
    query = {"fieldManager": "merp-chart", "force": "true", "fieldValidation": "Strict"}
    assert server.requests == [("PATCH", PATH, query, CN)] * requests


@pytest.mark.parametrize(
    ("served", "seconds", "says"),
    [
        pytest.param((403,), 60.0, "BusinessCalendar cn: 403", id="forbidden-is-not-asked-again"),
        pytest.param((422,), 60.0, "BusinessCalendar cn: 422", id="invalid-is-not-asked-again"),
        pytest.param((404,), 0.0, "BusinessCalendar cn: 404", id="a-definition-that-never-comes"),
    ],
    indirect=["served"],
)
async def test_it_gives_up(served: tuple[Server, Client], seconds: float, says: str) -> None:
    server, client = served
    with pytest.raises(provide.ProvideError, match=says):
        await provide.provide(client, CN, seconds)
    assert len(server.requests) == 1


async def test_a_server_that_is_not_there_is_named() -> None:
    async with Client(server_only(host="http://127.0.0.1:1", ca_file=None)) as client:
        with pytest.raises(provide.ProvideError, match="BusinessCalendar cn: PATCH"):
            await provide.provide(client, CN, 0.0)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("{builtIn: CN}", "SPEC: is no JSON", id="yaml"),
        pytest.param("[]", "SPEC: is no object", id="a-list"),
        pytest.param("null", "SPEC: is no object", id="null"),
    ],
)
def test_another_text_is_refused(text: str, says: str) -> None:
    with pytest.raises(provide.ProvideError, match=says):
        provide.calendar("cn", text)


def test_outside_a_cluster_it_ends_with_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    assert provide.calendar("cn", '{"builtIn": "CN"}') == CN
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setattr(sys, "argv", ["provide", "cn", '{"builtIn": "CN"}'])
    with pytest.raises(SystemExit, match="there is no service account"):
        provide.main()

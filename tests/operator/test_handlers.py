"""kopf's connections: with the pod's token, and what is not the API server's answer is none."""

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from merp_kube.client import server_only
from merp_operator import handlers


async def answer(request: web.Request) -> web.StreamResponse:
    match request.path:
        case "/list":
            return web.json_response({"authorization": request.headers["Authorization"]})
        case "/sorry":
            return web.Response(text="<html>sorry</html>", content_type="text/html")
        case "/blocked":
            return web.Response(status=403, text="<html>blocked</html>", content_type="text/html")
        case "/tomorrow":
            return web.json_response({}, status=429, headers={"Retry-After": "Tue, 01 Dec 2026 00:00:00 GMT"})
        case _:
            return web.Response(status=404, text="404 page not found")


@pytest.fixture
async def server():
    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    async with TestServer(app) as made:
        yield made


async def test_what_is_not_the_api_servers_is_waited_for_like_a_connection(server: TestServer) -> None:
    configuration = server_only(host=str(server.make_url("")), ca_file=None)
    configuration.api_key["BearerToken"] = "Bearer t-1"
    async with handlers.session(configuration) as session:
        async with session.get(server.make_url("/list")) as response:
            assert await response.json() == {"authorization": "Bearer t-1"}
        for path in ("/sorry", "/blocked", "/tomorrow"):
            with pytest.raises(aiohttp.ClientConnectionError, match="kopf cannot read"):
                await session.get(server.make_url(path))
        async with session.get(server.make_url("/a-kind-that-is-not-served")) as response:
            assert response.status == 404

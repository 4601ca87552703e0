"""What goes to the API server, and what comes back as an error."""

import asyncio
import gc
import json
import socket
import struct
from contextlib import aclosing
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer
from free_port import closed_port

from merp_kube.client import APPLY_PATCH, MERGE_PATCH, ApiError, Client, Unreachable, encode, server_only, with_token_of
from merp_kube.paths import BUSINESS_CALENDAR, JOB

# Far more than any wait takes: the machine may be busy with other suites.
PATIENCE = 60.0
TEXTS = ["plain", "仓库𠮷✅", "\x00\x7f\x85\u2028\ufeff", '\\ud83d "quoted" \\', "\n\t"]


@pytest.mark.parametrize("text", [pytest.param(text, id=ascii(text)) for text in TEXTS])
def test_c43_every_character_survives_an_apply_and_a_patch(text: str) -> None:
    assert yaml.safe_load(encode({"a": [text]}, APPLY_PATCH)) == {"a": [text]}
    assert json.loads(encode({"a": [text]}, MERGE_PATCH)) == {"a": [text]}


def test_no_name_leads_to_another_path() -> None:
    assert JOB.at("a/../b", "../x", "status") == "/apis/batch/v1/namespaces/a%2F..%2Fb/jobs/..%2Fx/status"


def test_what_is_in_no_namespace_has_one_path() -> None:
    paths = {BUSINESS_CALENDAR.all(), BUSINESS_CALENDAR.of(""), BUSINESS_CALENDAR.of("erp")}
    assert paths == {"/apis/scheduler.merp.io/v1/businesscalendars"}
    assert BUSINESS_CALENDAR.at("", "cn", "status") == "/apis/scheduler.merp.io/v1/businesscalendars/cn/status"


LONG_AGO = {"Date": "Tue, 01 Dec 2020 00:00:00 GMT"}
# What something between the operator and the API server says in its place.
FOREIGN = {
    "/balancer": lambda: web.Response(status=520, text="<html>origin error</html>"),
    "/gbk": lambda: web.Response(status=503, body="<html>维护中</html>".encode("gbk"), content_type="text/html"),
    "/maintenance": lambda: web.Response(status=429, text="back tomorrow", headers={"Retry-After": "86400"}),
    "/sorry": lambda: web.Response(text="<html>sorry</html>", content_type="text/html", headers=LONG_AGO),
    "/gone": lambda: web.Response(status=404, text="default backend - 404", content_type="text/plain"),
    "/forbidden": lambda: web.Response(status=403, text="<html>blocked</html>", content_type="text/html"),
    "/unserved": lambda: web.Response(status=404, text="404 page not found\n", content_type="text/plain"),
    "/gateway": lambda: web.json_response({"reason": 7, "message": ["no"], "details": "none"}, status=502),
    "/half": lambda: web.Response(text='{"metadata": {"resourceV', content_type="application/json"),
    "/binary": lambda: web.Response(body=b'{"a": "\xff"}', content_type="application/json"),
    "/list": lambda: web.json_response([1]),
    "/empty": lambda: web.Response(text=""),
}


async def answer(request: web.Request) -> web.StreamResponse:
    if request.path in FOREIGN:
        return FOREIGN[request.path]()
    match request.path:
        case "/who":
            return web.json_response({"authorization": request.headers.get("Authorization")})
        case "/conflict":
            told = {"kind": "Status", "reason": "Conflict", "message": "too late"}
            return web.json_response(told, status=409, headers=LONG_AGO)
        case "/busy":
            return web.Response(status=429, text="<html>slow down</html>", headers={"Retry-After": "7"})
        case "/elsewhere":
            raise web.HTTPFound("/who")
        case "/stream":
            response = web.StreamResponse()
            await response.prepare(request)
            for piece in (b'{"a"', b':1}\n{"b":2}\n', b'{"c":3}'):
                await response.write(piece)
            return response
        case "/silent":
            response = web.StreamResponse()
            await response.prepare(request)
            await response.write(b'{"a":1}\n')
            # Until the client goes away.
            await asyncio.sleep(60)
            return response
        case "/reset":
            response = web.StreamResponse()
            await response.prepare(request)
            await response.write(b'{"a":1}\n')
            assert request.transport is not None
            # A close without lingering is a reset: the client's end is an error and no end of file.
            connection = request.transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            request.transport.abort()
            return response
        case _:
            raise web.HTTPNotFound


@pytest.fixture
async def client():
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app) as server, Client(server_only(host=str(server.make_url("")), ca_file=None)) as made:
        yield made


async def test_a_client_without_credentials_sends_the_callers_token_or_none(client: Client) -> None:
    assert await client.call("GET", "/who") == {"authorization": None}
    assert await client.call("GET", "/who", token="t-1") == {"authorization": "Bearer t-1"}
    with pytest.raises(ValueError, match="anonymous"):
        await client.call("GET", "/who", token=" ")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        pytest.param("/conflict", (409, "Conflict", "too late", None), id="status-object"),
        pytest.param("/busy", (429, "TooManyRequests", "<html>slow down</html>", 7.0), id="html-and-retry-after"),
        pytest.param("/elsewhere", (302, "Found", "302: Found", None), id="no-redirect-is-followed"),
        pytest.param("/gateway", (502, "BadGateway", "Bad Gateway", None), id="json-of-a-gateway"),
        pytest.param("/unserved", (404, "NotFound", "404 page not found\n", None), id="a-kind-that-is-not-served"),
        pytest.param("/balancer", (520, "Status520", "<html>origin error</html>", None), id="status-of-a-balancer"),
        pytest.param("/gbk", (503, "ServiceUnavailable", "<html>ά\ufffd\ufffd\ufffd\ufffd</html>", None), id="gbk"),
        pytest.param("/maintenance", (429, "TooManyRequests", "back tomorrow", 30.0), id="longest-wait"),
    ],
)
async def test_a_refusal_says_what_the_server_said(
    client: Client, path: str, expected: tuple[int, str, str, float | None]
) -> None:
    with pytest.raises(ApiError) as caught:
        await client.call("GET", path)
    error = caught.value
    assert (error.status, error.reason, error.message, error.retry_after) == expected


@pytest.mark.parametrize("path", ["/sorry", "/half", "/binary", "/list", "/empty", "/gone", "/forbidden"])
async def test_an_answer_that_no_api_server_gives_is_none(client: Client, path: str) -> None:
    with pytest.raises(Unreachable, match=f"GET {path}: the answer is not the API server's"):
        await client.call("GET", path)


async def test_the_time_of_a_proxy_is_not_the_servers(client: Client) -> None:
    with pytest.raises(Unreachable):
        await client.call("GET", "/sorry")
    assert client.clock.offset == timedelta()
    with pytest.raises(ApiError):
        await client.call("GET", "/conflict")
    assert client.clock.offset.days < -365


async def test_lines_come_whole_however_they_are_cut(client: Client) -> None:
    lines = [line async for line in client.stream("/stream", query={}, idle_seconds=PATIENCE)]
    assert lines == [b'{"a":1}', b'{"b":2}', b'{"c":3}']


async def test_a_client_that_is_closed_leaves_no_connection_of_a_stream_that_was_cut_off(client: Client) -> None:
    async with aclosing(client.stream("/silent", query={}, idle_seconds=PATIENCE)) as lines:
        assert await anext(lines) == b'{"a":1}'
        [connection] = client._streams
        assert not connection.done()
    await client.close()
    assert connection.done()


async def test_streams_take_no_connection_of_calls(client: Client) -> None:
    async with (
        Client(server_only(host=client.host, ca_file=None), connections=1) as small,
        aclosing(small.stream("/silent", query={}, idle_seconds=PATIENCE)) as one,
        aclosing(small.stream("/silent", query={}, idle_seconds=PATIENCE)) as other,
    ):
        async with asyncio.timeout(PATIENCE):
            assert [await anext(one), await anext(other)] == [b'{"a":1}'] * 2
        assert await small.call("GET", "/who", seconds=PATIENCE) == {"authorization": None}


async def test_a_stream_that_ends_with_an_error_is_told_to_its_reader_alone(client: Client) -> None:
    loop = asyncio.get_running_loop()
    untold: list[dict[str, object]] = []
    loop.set_exception_handler(lambda _, context: untold.append(context))
    with pytest.raises(Unreachable, match="GET /reset"):
        _ = [line async for line in client.stream("/reset", query={}, idle_seconds=PATIENCE)]
    assert client._streams == set()
    await client.close()
    # asyncio tells of an error that nobody looked at when its future goes.
    gc.collect()
    assert untold == []


async def test_a_server_that_is_not_there_is_told() -> None:
    with closed_port() as port:
        async with Client(server_only(host=f"http://127.0.0.1:{port}", ca_file=None)) as made:
            with pytest.raises(Unreachable, match="GET /x"):
                await made.call("GET", "/x")


async def test_a_token_of_a_file_is_read_again_and_the_last_one_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "token"
    file.write_text("first\n")
    monkeypatch.setattr("merp_kube.client._TOKEN_SECONDS", 0.0)
    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    async with TestServer(app) as server:
        configuration = with_token_of(host=str(server.make_url("")), ca_file=None, token_file=file)
        async with Client(configuration) as client:
            told = [await client.call("GET", "/who")]
            file.write_text("second")
            told.append(await client.call("GET", "/who"))
            file.unlink()
            told.append(await client.call("GET", "/who"))
    assert [entry["authorization"] for entry in told] == ["Bearer first", "Bearer second", "Bearer second"]


@pytest.mark.parametrize("content", [None, "", " \n", "токен"])
def test_without_a_token_in_the_file_there_is_no_client(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match="no token can be read from"):
        with_token_of(host="http://127.0.0.1:1", ca_file=None, token_file=file)

"""The cutting proxy before a real server, with clients that are processes and are really killed."""

import asyncio
import io
import subprocess
import sys
import threading
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from cutting_proxy import CuttingProxy, Moment, Plan, Write, let_pass, nth
from free_port import closed_port
from yarl import URL

# Writes 1 to 5, one after the other or all at once, and says of each that it was answered.
CLIENT = """
import sys, urllib.request
from concurrent.futures import ThreadPoolExecutor

def write(number):
    request = urllib.request.Request(f"{sys.argv[1]}/{number}", data=b"x", method="PUT")
    with urllib.request.urlopen(request) as answer:
        print(answer.read().decode(), flush=True)

with ThreadPoolExecutor(int(sys.argv[2])) as pool:
    list(pool.map(write, range(1, 6)))
"""


class Server:
    """A server that knows what it was asked to write, and says news to whoever watches."""

    def __init__(self) -> None:
        self.written: list[str] = []
        self.watch_ended = asyncio.Event()
        self.news: asyncio.Queue[bytes] = asyncio.Queue()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if "watch" in request.query:
            return await self._watch(request)
        if request.method == "GET":
            told = {"path": request.raw_path, "authorization": request.headers.get("Authorization")}
            return web.json_response(told, status=203, headers={"Retry-After": "7"})
        self.written.append(request.path.removeprefix("/"))
        text = (await request.read()).decode()
        return web.Response(status=201, text=f"{request.method} {request.raw_path} {text}")

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(await self.news.get())
        finally:
            self.watch_ended.set()


class Clients:
    """One client process after the other."""

    def __init__(self, *, last: int) -> None:
        """`last` is the number of the one after which no other is started."""
        self._last = last
        self.processes: list[subprocess.Popen[str]] = []
        self.last_started = threading.Event()

    def start(self, proxy: CuttingProxy, at_once: int = 1) -> None:
        self._command = [sys.executable, "-c", CLIENT, proxy.url, str(at_once)]
        self._next()

    def _next(self) -> None:
        process = subprocess.Popen(self._command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.processes.append(process)
        if len(self.processes) == self._last:
            self.last_started.set()

    def anew(self) -> None:
        self.processes[-1].kill()
        self.processes[-1].wait()
        if len(self.processes) < self._last:
            self._next()

    async def said(self, number: int) -> list[str]:
        """What a client said until it ended."""
        text, _ = await asyncio.to_thread(self.processes[number].communicate)
        return text.splitlines()


@pytest.fixture
async def server() -> AsyncIterator[tuple[Server, TestServer]]:
    played = Server()
    app = web.Application(client_max_size=0)
    app.router.add_route("*", "/{path:.*}", played.answer)
    async with TestServer(app, handler_cancellation=True) as running:
        yield played, running


def heard(*numbers: int) -> list[str]:
    return [f"PUT /{number} x" for number in numbers]


async def test_all_passes_as_it_is(server: tuple[Server, TestServer]) -> None:
    _, running = server
    clients = Clients(last=1)
    with CuttingProxy(str(running.make_url("")), anew=clients.anew) as proxy:
        async with aiohttp.ClientSession(headers={"Authorization": "Bearer t"}) as session:
            path = "/a%2Fb/c%20d?x=%2B&y=a%2Cb"
            async with session.get(URL(proxy.url + path, encoded=True)) as answer:
                assert (answer.status, answer.headers["Retry-After"]) == (203, "7")
                assert await answer.json() == {"path": path, "authorization": "Bearer t"}
            big = "库" * 1_000_000
            async with session.post(f"{proxy.url}/big", data=io.BytesIO(big.encode())) as answer:
                assert (answer.status, await answer.text()) == (201, f"POST /big {big}")
            async with session.delete(f"{proxy.url}/gone?now=1") as answer:
                assert await answer.text() == "DELETE /gone?now=1 "
    assert [(write.method, write.path, write.query) for write in proxy.writes] == [
        ("POST", "/big", ""),
        ("DELETE", "/gone", "now=1"),
    ]
    assert proxy.cuts == []
    assert clients.processes == []


async def test_a_watch_passes_event_by_event_and_ends_with_its_client(server: tuple[Server, TestServer]) -> None:
    played, running = server
    with CuttingProxy(str(running.make_url("")), anew=Clients(last=1).anew) as proxy:
        async with aiohttp.ClientSession() as session, session.get(f"{proxy.url}/jobs?watch=true") as answer:
            for event in (b'{"a":1}\n', b'{"b":2}\n'):
                played.news.put_nowait(event)
                assert await answer.content.readline() == event
            assert not played.watch_ended.is_set()
        await asyncio.wait_for(played.watch_ended.wait(), 60)


@pytest.mark.parametrize(
    ("plan", "written", "answered"),
    [
        pytest.param(let_pass, [1, 2, 3, 4, 5], [1, 2, 3, 4, 5], id="does-nothing"),
        pytest.param(nth(6, Moment.BEFORE), [1, 2, 3, 4, 5], [1, 2, 3, 4, 5], id="does-nothing-there-is-no-sixth"),
        pytest.param(nth(1, Moment.BEFORE), [], [], id="before-the-first"),
        pytest.param(nth(1, Moment.AFTER), [1], [], id="after-the-first"),
        pytest.param(nth(3, Moment.BEFORE), [1, 2], [1, 2], id="before-the-third"),
        pytest.param(nth(3, Moment.AFTER), [1, 2, 3], [1, 2], id="after-the-third"),
        pytest.param(
            nth(2, Moment.AFTER, lambda write: write.path in ("/2", "/4")),
            [1, 2, 3, 4],
            [1, 2, 3],
            id="of-those-matching",
        ),
    ],
)
async def test_where_a_client_is_cut_off(
    server: tuple[Server, TestServer], plan: Plan, written: list[int], answered: list[int]
) -> None:
    played, running = server
    clients = Clients(last=1)
    with CuttingProxy(str(running.make_url("")), anew=clients.anew) as proxy:
        proxy.plan = plan
        clients.start(proxy)
        assert await clients.said(0) == heard(*answered)
    assert played.written == [str(number) for number in written]
    assert [write.path for write in proxy.writes] == [f"/{number}" for number in written]
    assert (clients.processes[0].returncode == 0) == (answered == [1, 2, 3, 4, 5])


async def test_the_next_client_goes_on_through_the_same_proxy(server: tuple[Server, TestServer]) -> None:
    played, running = server
    clients = Clients(last=3)
    with CuttingProxy(str(running.make_url("")), anew=clients.anew) as proxy:
        plans = [nth(2, Moment.BEFORE), nth(4, Moment.AFTER)]

        def both(write: Write) -> Moment | None:
            return plans[len(proxy.cuts)](write) if len(proxy.cuts) < len(plans) else None

        proxy.plan = both
        clients.start(proxy)
        assert await asyncio.to_thread(clients.last_started.wait, 60)
        assert [await clients.said(number) for number in range(3)] == [heard(1), heard(1, 2, 3), heard(1, 2, 3, 4, 5)]
    assert played.written == list("1" + "1234" + "12345")
    assert [(write.path, moment.value) for write, moment in proxy.cuts] == [("/2", "before"), ("/4", "after")]


async def test_what_was_sent_at_once_is_cut_at_one_place(server: tuple[Server, TestServer]) -> None:
    played, running = server
    clients = Clients(last=1)
    with CuttingProxy(str(running.make_url("")), anew=clients.anew) as proxy:
        proxy.plan = nth(3, Moment.AFTER)
        clients.start(proxy, at_once=5)
        await clients.said(0)
    assert len(played.written) == len(proxy.writes) == 3


async def test_a_server_that_is_away_hangs_up() -> None:
    with closed_port() as port, CuttingProxy(f"http://127.0.0.1:{port}", anew=Clients(last=1).anew) as proxy:
        async with aiohttp.ClientSession() as session:
            for method in ("GET", "POST"):
                with pytest.raises(aiohttp.ServerDisconnectedError):
                    await session.request(method, proxy.url)
    assert proxy.writes == []

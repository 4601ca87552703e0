"""A proxy before an HTTP server that sees every write of a client, and can cut the client off at any of them.

Whoever comes after a killed process sees its writes and nothing else of it, so a kill between any two instructions is a
kill before or after one of its writes. Nothing of this is built into the client: it is given the proxy's address.

    with CuttingProxy(server, tls, anew=lambda: (process.kill(), process.start())) as proxy:
        proxy.plan = nth(3, Moment.AFTER, lambda write: write.method == "POST")

Writes are POST, PUT, PATCH and DELETE; they reach the server one at a time, in the order in which they came. All else
passes as it comes, also answers without an end, such as watches. Connections that change their protocol do not.
"""

import asyncio
import io
import select
import ssl
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import Enum
from typing import Final

import aiohttp
from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy
from threaded_proxy import ThreadedProxy
from yarl import URL

WRITES: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
# They are about one connection, and there are two here.
_HOP_BY_HOP: Final = ("Connection", "Host", "Keep-Alive", "TE", "Trailer", "Transfer-Encoding", "Upgrade")


class Moment(Enum):
    """When the client is cut off: before the server has the write, or when it has done it and the client is not told."""

    BEFORE = "before"
    AFTER = "after"


@dataclass(frozen=True, slots=True)
class Write:
    """One write; `path` is without the query."""

    method: str
    path: str
    query: str
    body: bytes


# Asked for each write, in order: whether the client is cut off at it.
Plan = Callable[[Write], Moment | None]


def let_pass(_: Write) -> Moment | None:
    """Cut nobody off."""
    return None


def nth(number: int, moment: Moment, matching: Callable[[Write], bool] = lambda _: True) -> Plan:
    """Cut off once, at the write of that number of those that match; the first has the number 1."""
    left = number

    def plan(write: Write) -> Moment | None:
        nonlocal left
        if not matching(write):
            return None
        left -= 1
        return moment if left == 0 else None

    return plan


class CuttingProxy(ThreadedProxy):
    """The proxy, on a port of the loopback, as a context manager with a thread of its own.

    `server` is a URL, `tls` how the proxy shows itself to it. `anew` ends the client, and may start the next one: until
    it returns nothing passes, and what the old client had sent by then is lost.
    """

    def __init__(self, server: str, tls: ssl.SSLContext | None = None, *, anew: Callable[[], object]) -> None:
        super().__init__("cutting-proxy")
        self.plan: Plan = let_pass
        # Those that the server has answered.
        self.writes: list[Write] = []
        # The writes at which the client was cut off.
        self.cuts: list[tuple[Write, Moment]] = []
        self.url = ""
        self._server = server.rstrip("/")
        self._tls = tls
        self._anew = anew
        # Which of the clients, one after the other, is the present one.
        self._client = 0
        self._passing = asyncio.Event()
        self._passing.set()
        self._turn = asyncio.Lock()
        self._under_way: set[asyncio.Task[web.StreamResponse]] = set()

    async def _start(self) -> None:
        connector = aiohttp.TCPConnector(limit=0, ssl=True if self._tls is None else self._tls)
        # A watch has no end; whoever asks has time-outs of his own.
        self._session = aiohttp.ClientSession(
            connector=connector, auto_decompress=False, timeout=aiohttp.ClientTimeout(total=None)
        )
        # Bodies of any size: the server has its own limit.
        app = web.Application(client_max_size=0)
        app.router.add_route("*", "/{path:.*}", self._answer)
        # A watch whose client is gone is not kept.
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def _stop(self) -> None:
        # Who has come is accepted first, which takes some turns of the loop: asyncio would neither serve nor close what is
        # half accepted when the listener goes.
        for _ in range(10):
            await asyncio.sleep(0)
        await self._runner.cleanup()
        # A cut is brought to its end; who waits for a turn after it has nobody to answer any more.
        async with self._turn:
            for task in self._under_way:
                task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)
        await self._session.close()
        # What was aborted is gone by the loop's next turn.
        await asyncio.sleep(0)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        # A client that is just being ended must not hear anything any more, not even an end. The next one may be there
        # already, and is told apart by its being alive: this may be a while after what it sent, or its end, has come.
        await self._passing.wait()
        if _has_ended(request):
            return _hung_up(request)
        try:
            if request.method not in WRITES:
                return await self._stream(request)
            # What a client has sent is done also where it does not wait for the answer.
            task = asyncio.create_task(self._write(request, self._client))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
            return await asyncio.shield(task)
        except (aiohttp.ClientError, ConnectionError):
            # The server is away, or hung up in the middle of its answer.
            return _hung_up(request)

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        async with self._sent(request, await request.read()) as answer:
            response = web.StreamResponse(status=answer.status, reason=answer.reason, headers=_kept(answer.headers))
            await response.prepare(request)
            async for piece in answer.content.iter_any():
                await response.write(piece)
            await response.write_eof()
        return response

    async def _write(self, request: web.Request, client: int) -> web.StreamResponse:
        body = await request.read()
        write = Write(request.method, request.rel_url.path, request.rel_url.query_string, body)
        async with self._turn:
            if client != self._client:
                return _hung_up(request)
            moment = self.plan(write)
            if moment is Moment.BEFORE:
                return await self._cut(request, write, moment)
            async with self._sent(request, body) as answer:
                text = await answer.read()
            self.writes.append(write)
            if moment is Moment.AFTER:
                return await self._cut(request, write, moment)
        return web.Response(status=answer.status, reason=answer.reason, headers=_kept(answer.headers), body=text)

    def _sent(self, request: web.Request, body: bytes) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        url = URL(self._server + request.raw_path, encoded=True)
        data = io.BytesIO(body) if body else None
        return self._session.request(
            request.method, url, headers=_kept(request.headers), data=data, allow_redirects=False
        )

    async def _cut(self, request: web.Request, write: Write, moment: Moment) -> web.StreamResponse:
        self._client += 1
        self._passing.clear()
        await asyncio.to_thread(self._anew)
        self._passing.set()
        self.cuts.append((write, moment))
        return _hung_up(request)


def _kept(headers: CIMultiDictProxy[str]) -> CIMultiDict[str]:
    """The headers that are about the message."""
    kept = CIMultiDict(headers)
    for name in _HOP_BY_HOP:
        kept.popall(name, None)
    return kept


def _has_ended(request: web.Request) -> bool:
    """Whether the client's end of the connection is closed, as it is as soon as its process has ended."""
    transport = request.transport
    if transport is None or transport.is_closing():
        return True
    poll = select.poll()
    poll.register(transport.get_extra_info("socket").fileno(), select.POLLRDHUP)
    return bool(poll.poll(0))


def _hung_up(request: web.Request) -> web.StreamResponse:
    """End the connection without a word."""
    if request.transport is not None:
        request.transport.abort()
    # Nobody hears this any more.
    return web.Response(status=502)

"""The stream of events, over a real uvicorn: what is told, to whom, and when it ends."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from typing import Any

import httpx2
import pytest
import uvicorn
from starlette.requests import ClientDisconnect

from merp_api.__main__ import Server
from merp_api.event_streams import EventStream, Limits

READ = frozenset({"get", "list", "watch"})
ADMIN = "token-of-admin"
# Far more than any wait takes: the machine may be busy with other suites.
PATIENCE = 60.0


class Listener:
    """One open stream, read event by event."""

    def __init__(self, response: httpx2.Response) -> None:
        self.response = response
        self.last_id = ""
        self._lines = response.aiter_lines()

    async def block(self) -> dict[str, str]:
        """The next event, comment or both, by field; nothing where the stream has ended."""
        found: dict[str, str] = {}
        async with asyncio.timeout(PATIENCE):
            async for line in self._lines:
                if not line:
                    break
                name, _, value = line.partition(":")
                found[name or "comment"] = value.strip()
        self.last_id = found.get("id", self.last_id)
        return found

    async def event(self) -> tuple[str, Any]:
        """The next event, comments left out; ("", None) where the stream has ended."""
        while block := await self.block():
            if "data" in block:
                return block["event"], json.loads(block["data"])
        return "", None


class Served:
    """A gateway that a real server serves."""

    def __init__(self, url: str, application: Any, stack: AsyncExitStack) -> None:
        self.application = application
        self._client = httpx2.AsyncClient(base_url=url, timeout=PATIENCE)
        self._stack = stack

    async def listen(self, token: str = ADMIN, path: str = "", last: str | None = None) -> Listener:
        """Open a stream, and take its first block."""
        headers = {"Authorization": f"Bearer {token}"} | ({} if last is None else {"Last-Event-ID": last})
        response = await self._stack.enter_async_context(
            self._client.stream("GET", f"/api/v1/events{path}", headers=headers)
        )
        listener = Listener(response)
        if response.status_code == 200:
            assert "comment" in await listener.block()
        return listener

    async def close(self) -> None:
        await self._stack.aclose()
        await self._client.aclose()


@pytest.fixture
async def serve(applications: Any) -> AsyncIterator[Callable[..., Any]]:
    """Serves an application with memory; limits may be given."""
    async with AsyncExitStack() as stack:

        async def start(settings: dict[str, Any] | None = None, **limits: Any) -> Served:
            application = applications(cached=True, settings=settings or {}, event_limits=Limits(**limits))
            configuration = uvicorn.Config(
                application.app, host="127.0.0.1", port=0, log_config=None, timeout_graceful_shutdown=5
            )
            server = Server(configuration, application.app.state.services.events)
            application.is_running = True
            served = await stack.enter_async_context(_running(server, application))
            stack.push_async_callback(served.close)
            return served

        yield start


@asynccontextmanager
async def _running(server: Server, application: Any) -> AsyncIterator[Served]:
    serving = asyncio.create_task(server.serve())
    try:
        async with asyncio.timeout(PATIENCE):
            while not server.started:  # noqa: ASYNC110  # uvicorn tells nobody
                await asyncio.sleep(0.005)
        await application.caught_up(0)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield Served(f"http://127.0.0.1:{port}", application, AsyncExitStack())
    finally:
        server.should_exit = True
        await serving


@pytest.fixture
async def served(serve: Callable[..., Any]) -> Served:
    gateway: Served = await serve()
    return gateway


async def test_what_others_change_is_told_and_what_one_missed_comes_again(
    served: Served, cluster: Any, scheduled_job: Any
) -> None:
    listener = await served.listen()
    assert listener.response.headers["content-type"].startswith("text/event-stream")
    assert listener.response.headers["cache-control"] == "no-store"
    cluster.put("scheduledjobs", scheduled_job("a"))
    await cluster.tell()
    event, data = await listener.event()
    assert (event, data["id"], data["type"]) == ("job", "a", "created")
    seen = listener.last_id
    await listener.response.aclose()
    for name in ("b", "c"):
        cluster.put("scheduledjobs", scheduled_job(name))
    await cluster.tell()
    again = await served.listen(last=seen)
    assert [(await again.event())[1]["id"] for _ in range(2)] == ["b", "c"]
    cluster.put("scheduledjobs", scheduled_job("d"))
    await cluster.tell()
    assert (await again.event())[1]["id"] == "d"


async def test_writes_through_the_gateway_are_told_too(served: Served) -> None:
    listener = await served.listen()
    body = {"id": "j", "name": "x", "job_type": "cron", "func": "echo_args", "cron_expression": "0 0 1 * *"}
    assert (await served.application.post("/api/v1/jobs", json=body)).status_code == 201
    await served.application.request("PATCH", "/api/v1/jobs/j", json={"description": "x"})
    execution = (await served.application.post("/api/v1/jobs/j/execute")).json()
    await served.application.request("DELETE", "/api/v1/jobs/j")
    told = [await listener.event() for _ in range(4)]
    # Runs and jobs are told of by two watches: between them there is no order.
    # Nor need a second have passed between the first write and the second.
    assert [
        (data["type"], [name for name in data["changed"] if name != "updated_at"])
        for event, data in told
        if event == "job"
    ] == [("created", []), ("updated", ["description"]), ("deleted", [])]
    assert [(data["id"], data["status"]) for event, data in told if event == "execution"] == [
        (execution["id"], "waiting")
    ]


async def test_only_what_one_may_watch_is_told(served: Served, cluster: Any, scheduled_job: Any) -> None:
    cluster.allow("other", "other", "erp", READ)
    cluster.hidden.add(("other", "jobruns"))
    listener, everything = await served.listen("other", "?namespace=erp"), await served.listen(path="?namespace=*")
    owner = cluster.put("scheduledjobs", scheduled_job("theirs", "erp"))["metadata"]
    cluster.put("scheduledjobs", scheduled_job("mine"))
    run = {
        "metadata": {
            "name": "r",
            "namespace": "erp",
            "ownerReferences": [{"kind": "ScheduledJob", "uid": owner["uid"], "name": "theirs"}],
        },
        "spec": {"scheduledJob": "theirs"},
    }
    cluster.put("jobruns", run)
    await cluster.tell()
    assert sorted([(await everything.event())[0] for _ in range(3)]) == ["execution", "job", "job"]
    cluster.put("scheduledjobs", scheduled_job("last", "erp"))
    await cluster.tell()
    assert [(await listener.event())[1]["id"] for _ in range(2)] == ["theirs", "last"]


@pytest.mark.parametrize("last", ["1-1", "999999999-1"])
async def test_after_a_gap_that_is_too_old_all_is_to_be_read_anew(served: Served, last: str) -> None:
    listener = await served.listen(last=last)
    event, _ = await listener.event()
    assert event == "reset"
    assert listener.last_id not in ("", last)


async def test_after_410_all_is_to_be_read_anew(served: Served, cluster: Any, scheduled_job: Any) -> None:
    listener = await served.listen()
    await served.application.interrupted(cluster)
    assert (await listener.event())[0] == "reset"


async def test_an_id_that_is_none_is_400(served: Served) -> None:
    listener = await served.listen(last="yesterday")
    problem = json.loads(await listener.response.aread())
    assert (problem["status"], problem["errors"][0]["field"]) == (400, "Last-Event-ID")


async def test_silence_is_broken_by_heartbeats_that_say_where_one_is(serve: Callable[..., Any]) -> None:
    listener = await (await serve(heartbeat=0.02)).listen()
    for _ in range(2):
        block = await listener.block()
        assert (block["comment"], "data" in block, block["id"]) == ("heartbeat", False, listener.last_id)


async def test_it_ends_when_the_token_does(served: Served, cluster: Any) -> None:
    claims = base64.urlsafe_b64encode(json.dumps({"exp": time.time() + 0.5}).encode()).decode().rstrip("=")
    token = f"e30.{claims}.c2ln"
    cluster.allow(token, "other", "default", READ)
    listener = await served.listen(token)
    assert await listener.event() == ("", None)


@pytest.mark.parametrize("lost", ["token", "rights", "server"])
async def test_it_ends_when_nobody_says_any_more_that_it_may_go_on(
    serve: Callable[..., Any], cluster: Any, lost: str, monkeypatch: pytest.MonkeyPatch, scheduled_job: Any
) -> None:
    for name in ("IDENTITY_SECONDS", "PERMISSION_SECONDS"):
        monkeypatch.setattr(f"merp_api.identity.{name}", 0.01)
    cluster.allow("other", "other", "default", READ)
    listener = await (await serve(recheck=0.05)).listen("other")
    if lost == "token":
        del cluster.users["other"]
    elif lost == "rights":
        del cluster.rights["other"]["default"]
    else:
        cluster.rights["gateway"].clear()
    assert await listener.event() == ("", None)


async def test_of_one_user_and_of_all_there_are_so_many(serve: Callable[..., Any], cluster: Any) -> None:
    served = await serve({"merp_streams_per_user": 2, "merp_streams": 3})
    cluster.allow("other", "other", "default", READ)
    # They are held: a stream that nobody holds is closed.
    first, _second = await served.listen(), await served.listen()
    refused = await served.listen()
    assert (refused.response.status_code, refused.response.headers["retry-after"]) == (429, "10")
    assert json.loads(await refused.response.aread())["type"] == "urn:merp:problem:too-many-streams"
    other = await served.listen("other")
    assert other.response.status_code == 200
    assert (await served.listen("other")).response.status_code == 429
    await first.response.aclose()
    async with asyncio.timeout(PATIENCE):
        # That a client has gone is seen a moment later.
        while (await served.listen()).response.status_code != 200:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_who_does_not_take_what_is_sent_is_cut_off() -> None:
    held, closed = ExitStack(), asyncio.Event()
    released: list[bool] = []
    held.callback(released.append, True)

    async def text() -> Any:
        try:
            while True:
                yield b"data: x\n\n"
        finally:
            closed.set()

    async def receive() -> Any:
        await asyncio.Event().wait()

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            await asyncio.Event().wait()

    stream = EventStream(text(), 0.02, held)
    with pytest.raises(ClientDisconnect):
        await stream({"type": "http", "asgi": {"spec_version": "2.4"}}, receive, send)
    assert (released, closed.is_set()) == ([True], True)


async def test_who_falls_behind_what_is_kept_is_to_read_anew(served: Served, cluster: Any, scheduled_job: Any) -> None:
    feed = served.application.app.state.services.cache.feed
    listener = await served.listen()
    feed._kept = 1
    # The watch tells of three at once, and the stream has its turn only afterwards.
    for name in ("a", "b", "c"):
        feed.job_changed(None, cluster.put("scheduledjobs", scheduled_job(name)))
    assert (await listener.event())[0] == "reset"
    feed.job_changed(None, cluster.job("a"))
    assert (await listener.event())[1]["id"] == "a"

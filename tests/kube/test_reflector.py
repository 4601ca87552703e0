"""A reflector tells of every change, also of those in a gap, against a server that misbehaves as real ones do."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from merp_kube.client import Client, server_only
from merp_kube.paths import JOB
from merp_kube.reflector import Reflector

Json = dict[str, Any]


def item(name: str, version: int, uid: str = "") -> Json:
    return {"metadata": {"namespace": "ns", "name": name, "uid": uid or name, "resourceVersion": str(version)}}


# In place of an event.
SILENCE = b""


class Script:
    """A server that lists and watches what the test tells it to."""

    def __init__(self) -> None:
        self.lists: list[web.Response | Json] = []
        # Events, some as the bytes themselves, or a status, or an answer.
        self.watches: list[list[Json | bytes] | int | web.Response] = []
        self.asked: list[dict[str, str]] = []
        self.exhausted = asyncio.Event()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(dict(request.query))
        if "watch" not in request.query:
            listed = self.lists.pop(0)
            return listed if isinstance(listed, web.Response) else web.json_response(listed)
        if not self.watches:
            self.exhausted.set()
            await asyncio.sleep(3600)  # a watch without news; the test ends it
        events = self.watches.pop(0)
        if isinstance(events, int):
            return web.json_response({"message": "no"}, status=events)
        if isinstance(events, web.Response):
            return events
        response = web.StreamResponse()
        await response.prepare(request)
        for event in events:
            if event == SILENCE:
                await asyncio.sleep(1)
                break
            await response.write(event if isinstance(event, bytes) else json.dumps(event).encode() + b"\n")
        return response


@pytest.fixture
async def script() -> AsyncIterator[tuple[Script, Reflector, list[tuple[str | None, str | None]]]]:
    played = Script()
    app = web.Application()
    app.router.add_get("/{path:.*}", played.answer)
    changes: list[tuple[str | None, str | None]] = []

    def note(before: Json | None, after: Json | None) -> None:
        def word(entry: Json | None) -> str | None:
            return None if entry is None else f"{entry['metadata']['name']}@{entry['metadata']['resourceVersion']}"

        changes.append((word(before), word(after)))

    async with TestServer(app) as server, Client(server_only(host=str(server.make_url("")), ca_file=None)) as client:
        yield played, Reflector(client, JOB, on_change=note, selector="a=b"), changes


async def play(script: Script, reflector: Reflector) -> None:
    task = asyncio.create_task(reflector.run())
    try:
        # Far more than it takes: the machine may be busy with other suites.
        async with asyncio.timeout(60):
            await script.exhausted.wait()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def page(*items: Json, version: int, token: str = "") -> Json:
    return {"metadata": {"resourceVersion": str(version), "continue": token}, "items": list(items)}


async def test_a_list_in_pages_and_a_watch_from_its_end(script: Any) -> None:
    played, reflector, changes = script
    played.lists = [page(item("a", 1), version=5, token="more"), page(item("b", 2), version=5)]
    played.watches = [[{"type": "MODIFIED", "object": item("a", 6)}, {"type": "BOOKMARK", "object": item("", 9)}]]
    await play(played, reflector)
    assert changes == [(None, "a@1"), (None, "b@2"), ("a@1", "a@6")]
    assert played.asked[1]["continue"] == "more"
    assert [asked["resourceVersion"] for asked in played.asked if "watch" in asked] == ["5", "9"]
    assert {asked["labelSelector"] for asked in played.asked} == {"a=b"}
    assert reflector.synced.is_set()


async def test_what_went_away_in_a_gap_is_told(script: Any) -> None:
    played, reflector, changes = script
    played.lists = [
        page(item("a", 1), item("b", 2), item("c", 3), version=5),
        page(item("b", 2), item("c", 8, "another"), item("d", 7), version=9),
    ]
    played.watches = [[{"type": "ERROR", "object": {"code": 410, "message": "too old"}}]]
    await play(played, reflector)
    assert changes[3:] == [("a@1", None), ("c@3", None), (None, "c@8"), (None, "d@7")]
    assert sorted(entry["metadata"]["name"] for entry in reflector) == ["b", "c", "d"]


async def test_a_deletion_carries_the_last_state(script: Any) -> None:
    played, reflector, changes = script
    played.lists = [page(item("a", 1), version=5)]
    played.watches = [[{"type": "DELETED", "object": item("a", 6)}]]
    await play(played, reflector)
    assert changes == [(None, "a@1"), ("a@6", None)]
    assert reflector.get("ns", "a") is None


async def test_an_outage_is_waited_for_and_told_once(script: Any, caplog: pytest.LogCaptureFixture) -> None:
    played, reflector, changes = script
    played.lists = [page(version=5)]
    played.watches = [503, 503, [{"type": "ADDED", "object": item("a", 6)}]]
    with caplog.at_level("INFO"):
        await play(played, reflector)
    assert changes == [(None, "a@6")]
    told = [record.getMessage() for record in caplog.records if record.name == "merp_kube.reflector"]
    assert [text.split(":")[0] for text in told] == ["watch of jobs", "watch of jobs works again"]


async def test_what_a_proxy_says_in_the_servers_place_ends_nothing(script: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("merp_kube.reflector._BACKOFF", (0.01, 0.01))
    played, reflector, changes = script
    played.lists = [web.Response(text="<html>sorry</html>", content_type="text/html"), page(version=5)]
    played.watches = [
        520,
        [{"type": "ADDED", "object": item("a", 6)}, b'{"type": "MODIF'],
        [b"<html>sorry</html>\n"],
        [{"type": "ADDED", "object": item("b", 7)}],
    ]
    await play(played, reflector)
    assert changes == [(None, "a@6"), (None, "b@7")]
    assert [asked["resourceVersion"] for asked in played.asked if "watch" in asked] == ["5", "5", "6", "6", "7"]


async def test_what_a_new_list_does_not_mend_is_not_listed_again_at_once(
    script: Any, caplog: pytest.LogCaptureFixture
) -> None:
    played, reflector, changes = script
    played.lists = [page(item("a", 1), version=version) for version in (5, 6, 7)]
    gone = {"type": "ERROR", "object": {"code": 410, "message": "too old"}}
    played.watches = [[gone], [gone], [{"type": "ADDED", "object": item("b", 8)}], [gone]]
    played.lists.append(page(item("a", 1), version=9))
    with caplog.at_level("INFO"):
        await play(played, reflector)
    assert changes == [(None, "a@1"), (None, "b@8"), ("b@8", None)]
    told = [record.getMessage() for record in caplog.records if record.name == "merp_kube.reflector"]
    anew = "watch of jobs: the server no longer knows where it was; listed anew"
    # The third one comes after a watch that worked.
    assert (told[0], told[1].partition("; next try in ")[0], told[-1]) == (
        anew,
        "watch of jobs: 410 Gone: too old",
        anew,
    )
    assert len(told) == 4


TOO_LARGE = {
    "kind": "Status",
    "reason": "Timeout",
    "message": "Too large resource version: 5, current: 3",
    "details": {"causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]},
}


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(
            lambda: [{"type": "ERROR", "object": {"code": 500, "message": "etcd event received with PrevKv=nil"}}],
            id="an-event-that-the-server-cannot-tell",
        ),
        pytest.param(lambda: web.json_response(TOO_LARGE, status=504), id="a-server-that-was-restored"),
    ],
)
async def test_where_the_server_cannot_go_on_it_lists_anew(script: Any, monkeypatch: Any, said: Any) -> None:
    monkeypatch.setattr("merp_kube.reflector._BACKOFF", (0.01, 0.01))
    played, reflector, changes = script
    played.lists = [page(item("a", 4), version=5), page(item("a", 2), version=3)]
    played.watches = [said(), [{"type": "ADDED", "object": item("b", 4)}]]
    await play(played, reflector)
    assert changes == [(None, "a@4"), ("a@4", "a@2"), (None, "b@4")]


@pytest.mark.parametrize(
    ("silence", "expected"),
    [
        pytest.param(0.0, [(None, "a@4"), ("a@4", "a@2"), (None, "b@4")], id="for-long"),
        pytest.param(300.0, [(None, "a@4"), (None, "b@4")], id="does-nothing-for-a-minute"),
    ],
)
async def test_a_watch_that_never_said_anything_lists_anew(
    script: Any, monkeypatch: Any, silence: float, expected: list[tuple[str | None, str | None]]
) -> None:
    monkeypatch.setattr("merp_kube.reflector._BACKOFF", (0.01, 0.01))
    monkeypatch.setattr("merp_kube.reflector._IDLE_TIMEOUT", 0.3)
    monkeypatch.setattr("merp_kube.reflector._SILENCE", silence)
    played, reflector, changes = script
    played.lists = [page(item("a", 4), version=5), page(item("a", 2), version=3)]
    # The first one told something before it fell silent; a restored server takes a place of before, and says nothing.
    told = [{"type": "BOOKMARK", "object": item("", 6)}, SILENCE]
    played.watches = [told, [SILENCE], [{"type": "ADDED", "object": item("b", 4)}]]
    await play(played, reflector)
    assert changes == expected


async def test_whether_it_is_current_and_that_it_listed_is_told(script: Any) -> None:
    played, reflector, changes = script
    listed: list[int] = []
    reflector._on_listed = lambda: listed.append(reflector.version)
    assert (reflector.version, reflector.lost_at is None) == (0, False)
    played.lists = [page(item("a", 1), version=5), page(item("b", 2), version=9)]
    played.watches = [503, [{"type": "ERROR", "object": {"code": 410, "message": "too old"}}], []]
    await play(played, reflector)
    # The last watch ended, and the next one has not begun.
    assert (listed, reflector.version, reflector.lost_at is None, reflector.error) == ([5, 9], 9, False, None)
    assert changes == [(None, "a@1"), ("a@1", None), (None, "b@2")]

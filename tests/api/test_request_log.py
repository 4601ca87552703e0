"""What a request leaves in metrics and log, and when."""

from collections.abc import Sequence
from typing import Any

import pytest
from prometheus_client import REGISTRY
from starlette.requests import ClientDisconnect

from merp_api.middleware import RequestLog

_START = {"type": "http.response.start", "status": 200, "headers": []}
_PIECE = {"type": "http.response.body", "body": b"a", "more_body": True}
_LAST = {"type": "http.response.body", "body": b"b"}


def _counted() -> dict[str, float]:
    labels = {"method": "PATCH", "route": "unknown"}
    return {
        status: REGISTRY.get_sample_value("merp_api_requests_total", labels | {"status": status}) or 0.0
        for status in ("200", "499", "500")
    }


def _since(before: dict[str, float]) -> dict[str, float]:
    return {status: number - before[status] for status, number in _counted().items() if number != before[status]}


async def _request(
    messages: Sequence[dict[str, Any]],
    fails: Exception | None = None,
    taken: int | None = None,
) -> tuple[list[dict[str, float]], dict[str, float]]:
    """What was counted as each message went out, and at the end; the client takes so many messages and goes."""
    before = _counted()
    sent: list[dict[str, float]] = []

    async def answers(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            await send(dict(message))
        if fails is not None:
            raise fails

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        if len(sent) == taken:
            raise ClientDisconnect
        sent.append(_since(before))

    scope = {"type": "http", "method": "PATCH", "path": "/canary", "headers": []}
    await RequestLog(answers)(scope, receive, send)  # type: ignore[arg-type]
    return sent, _since(before)


async def test_whoever_has_an_answer_finds_it_counted() -> None:
    during, after = await _request([_START, _PIECE, _LAST])
    assert during == [{}, {}, {"200": 1}]
    assert after == {"200": 1}


@pytest.mark.parametrize(
    ("messages", "fails", "taken", "expected"),
    [
        pytest.param([_START, _PIECE, _LAST], None, 2, {"200": 1}, id="client-goes-at-the-last-piece"),
        pytest.param([_START, _PIECE, _LAST], None, 1, {"200": 1}, id="client-goes-in-the-middle"),
        pytest.param([], ClientDisconnect(), None, {"499": 1}, id="client-goes-before-the-answer"),
        pytest.param([], ValueError("of ours"), None, {"500": 1}, id="fault-before-the-answer"),
    ],
)
async def test_a_request_is_counted_once(
    messages: list[dict[str, Any]],
    fails: Exception | None,
    taken: int | None,
    expected: dict[str, float],
) -> None:
    _, after = await _request(messages, fails, taken)
    assert after == expected


async def test_a_fault_in_the_middle_of_an_answer_cuts_it_off_and_is_counted_once() -> None:
    before = _counted()
    with pytest.raises(ValueError, match="of ours"):
        await _request([_START, _PIECE], ValueError("of ours"))
    assert _since(before) == {"200": 1}

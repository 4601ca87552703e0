"""What is told of a change, and from where one can go on. Versions are given, so that all is pure."""

import asyncio
import json
from typing import Any

import pytest

from merp_api.feed import Feed, is_behind, parse_place
from merp_api.views import job_view
from merp_crds.common import parse_rfc3339
from merp_crds.names import execution_id

NOW = parse_rfc3339("2026-12-01T00:00:00Z")
RUNNING = {"run": "j-1", "state": "running", "trigger": "schedule", "since": "2026-11-01T00:00:00Z"}
ENDED = {"run": "j-1", "verdict": "success", "trigger": "schedule", "reason": "Completed"}


def job(version: int, status: Any = None, **changed: Any) -> Any:
    metadata = {
        "name": "j", "namespace": "default", "uid": "u", "generation": 1, "resourceVersion": str(version),
        "creationTimestamp": "2026-11-01T00:00:00Z",
    }  # fmt: skip
    spec = {"schedule": {"cron": "0 0 1 * *"}, "task": {"func": "echo_args"}} | changed
    return {"metadata": metadata, "spec": spec, "status": status or {}}


def request(version: int, **status: Any) -> Any:
    owner = {"kind": "ScheduledJob", "uid": "u", "name": "j"}
    metadata = {
        "name": "r", "namespace": "default", "uid": "r", "resourceVersion": str(version), "ownerReferences": [owner],
        "creationTimestamp": "2026-11-01T00:00:00Z",
    }  # fmt: skip
    return {"metadata": metadata, "spec": {"scheduledJob": "j"}, "status": status}


class Told:
    """A feed whose watches are where the last change was."""

    def __init__(self, kept: int = 100) -> None:
        self.versions = [10, 10]
        self.feed = Feed(lambda item: job_view(item, "UTC", NOW), lambda: (self.versions[0], self.versions[1]), kept)

    def job(self, before: Any, after: Any) -> None:
        self.versions[0] = int((after or before)["metadata"]["resourceVersion"])
        self.feed.job_changed(before, after)

    def run(self, before: Any, after: Any) -> None:
        self.versions[1] = int((after or before)["metadata"]["resourceVersion"])
        self.feed.run_changed(before, after)

    def messages(self) -> list[Any]:
        return list(self.feed.read(self.feed.since((10, 10))[0]) or ())


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param(None, job(11), [("job", "created", [])], id="new"),
        pytest.param(job(11), None, [("job", "deleted", [])], id="gone"),
        pytest.param(job(11), job(12, description="x"), [("job", "updated", ["description"])], id="edited"),
        pytest.param(job(11), job(12), [], id="nothing-that-is-shown"),
        pytest.param(job(11), job(12, {"active": [RUNNING]}), [("execution", "created", ["status"])], id="run-begins"),
        pytest.param(
            job(11, {"active": [RUNNING]}), job(12, {"recent": [ENDED]}), [("execution", "updated", ["status"])],
            id="run-ends",
        ),
        pytest.param(job(11, {"recent": [ENDED]}), job(12), [], id="run-is-listed-no-more"),
        pytest.param(
            job(11), job(12, {"active": [RUNNING]}, suspend=True),
            [("execution", "created", ["status"]), ("job", "updated", ["status", "next_run_time", "suspended"])],
            id="both",
        ),
    ],
)  # fmt: skip
def test_what_is_told_of_a_job(before: Any, after: Any, expected: list[Any]) -> None:
    told = Told()
    told.job(before, after)
    found = [(message.event, json.loads(message.data)) for message in told.messages()]
    assert [(event, data["type"], data["changed"]) for event, data in found] == expected
    assert all(data["kind"] == event and data["namespace"] == "default" for event, data in found)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param(None, request(11), ("created", "waiting"), id="asked-for"),
        pytest.param(request(11), request(12, state="running"), ("updated", "running"), id="begins"),
        pytest.param(request(11), request(12), None, id="nothing-new"),
        pytest.param(request(11), None, None, id="request-goes-and-its-execution-stays"),
        pytest.param(
            None, request(11) | {"metadata": request(11)["metadata"] | {"ownerReferences": []}}, None, id="of-nobody"
        ),
        pytest.param(
            None, request(11) | {"spec": {"scheduledJob": "j", "backfill": {"start": "x", "end": "y"}}}, None,
            id="of-many-runs-that-are-told-each",
        ),
    ],
)  # fmt: skip
def test_what_is_told_of_a_request(before: Any, after: Any, expected: Any) -> None:
    told = Told()
    told.run(before, after)
    found = [json.loads(message.data) for message in told.messages()]
    assert [(data["type"], data["status"]) for data in found] == ([] if expected is None else [expected])


def test_a_run_has_the_id_that_rest_knows_it_by() -> None:
    told = Told()
    told.job(job(11), job(12, {"active": [RUNNING]}))
    [message] = told.messages()
    assert json.loads(message.data) == {
        "kind": "execution", "namespace": "default", "id": execution_id("u", "j-1"), "job_id": "j", "type": "created",
        "changed": ["status"], "status": "running", "resource_version": "12",
    }  # fmt: skip


def test_behind_a_place_is_what_came_later_of_each_kind() -> None:
    """The two watches are not told in one order: a place has a version of each."""
    told = Told()
    told.job(None, job(12))
    told.run(None, request(20))
    told.job(job(12), job(15, description="x"))
    messages = told.messages()
    assert [message.place for message in messages] == [(12, 10), (12, 20), (15, 20)]
    assert [is_behind(message, (12, 20)) for message in messages] == [False, False, True]
    assert [is_behind(message, (10, 10)) for message in messages] == [True] * 3


def test_only_behind_all_of_one_object_one_may_go_on() -> None:
    told = Told()
    told.job(job(11), job(12, {"active": [RUNNING]}, suspend=True))
    assert [message.place for message in told.messages()] == [None, (12, 10)]


def test_what_is_forgotten_is_known_to_be() -> None:
    told = Told(kept=2)
    for version in range(11, 15):
        told.job(None, job(version))
    assert told.feed.since((10, 10)) == (told.feed.end, False)
    assert told.feed.since((12, 10)) == (2, True)
    assert told.feed.read(1) is None
    assert len(list(told.feed.read(2) or ())) == 2


def test_after_a_list_everybody_reads_anew() -> None:
    told = Told()
    told.job(None, job(11))
    told.versions = [30, 10]
    told.feed.interrupted()
    assert told.feed.since((11, 10)) == (told.feed.end, False)
    assert [(message.event, message.place) for message in told.feed.read(1) or ()] == [("reset", (30, 10))]
    assert told.feed.read(0) is None


async def test_who_waits_is_woken_by_the_next_message() -> None:
    told = Told()
    waiting = asyncio.create_task(told.feed.wait(told.feed.end, 30))
    await asyncio.sleep(0)
    told.job(None, job(11))
    async with asyncio.timeout(5):
        await waiting
    await told.feed.wait(0, 30)
    await told.feed.wait(told.feed.end, 0.001)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        pytest.param("12-34", (12, 34), id="place"),
        pytest.param("0-0", (0, 0), id="zero"),
        pytest.param("", None, id="empty"),
        pytest.param("12", None, id="one-number"),
        pytest.param("-1-2", None, id="negative"),
        pytest.param("1-2-3", None, id="three"),
        pytest.param("１-２", None, id="other-digits"),
        pytest.param("9" * 20 + "-1", None, id="beyond-64-bits"),
    ],
)
def test_ids_of_events(text: str, place: Any) -> None:
    assert parse_place(text) == place

"""Catalogues that were published in namespaces: whose jobs they are for, and what a broken one does."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from cluster_objects import NOW, job_run, scheduled_job

from merp_crds.catalogue import Catalogue
from merp_crds.reasons import ConditionReason
from merp_kube.client import Client, server_only
from merp_operator import definition, observe, requests
from merp_operator.cluster import Cluster
from merp_operator.desired import Defaults
from merp_operator.observe import Observed
from merp_operator.published import Published

Json = dict[str, Any]
IMAGE = "registry.example/erp:1"


def catalogue_text(*names: str) -> str:
    takes = {"properties": {"plant": {"type": "string"}}, "required": ["plant"], "additionalProperties": False}
    entry = {"positional": ["plant"], "parameters": takes}
    return json.dumps({"tasks": [{"name": name, **entry} for name in names]})


def config_map(name: str, namespace: str = "ns", version: int = 1, **data: str) -> Json:
    metadata = {"name": name, "namespace": namespace, "uid": f"uid-{namespace}-{name}", "resourceVersion": str(version)}
    return {"metadata": metadata, "data": {"image": IMAGE, "catalogue.json": catalogue_text("close_day")} | data}


class Server:
    """A server with ConfigMaps, that says what is asked of it, and holds the watch open."""

    def __init__(self) -> None:
        self.listed: list[Json] = []
        self.asked: list[dict[str, str]] = []
        self.lines: asyncio.Queue[Json] = asyncio.Queue()
        self.events: asyncio.Queue[Json] = asyncio.Queue()
        self.refused = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.method == "POST":
            if self.refused:
                self.refused -= 1
                return web.json_response({"reason": "InternalError", "message": "no"}, status=500)
            self.events.put_nowait(await request.json())
            return web.json_response({})
        self.asked.append(dict(request.query))
        if "watch" not in request.query:
            return web.json_response({"items": self.listed, "metadata": {"resourceVersion": "100"}})
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(json.dumps(await self.lines.get()).encode() + b"\n")


class Played:
    """The server, the catalogues, and the namespaces of which they have changed."""

    def __init__(self, server: Server, client: Client) -> None:
        self.server = server
        self.changes: asyncio.Queue[str] = asyncio.Queue()
        self.published = Published(
            client, Cluster(client), namespace=None, changed=self.changes.put_nowait, now=lambda: NOW
        )

    def known(self) -> dict[tuple[str, str], list[str]]:
        return {key: sorted(found.tasks) for key, found in self.published.by_image.items()}


@pytest.fixture
async def played() -> AsyncIterator[Played]:
    server = Server()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.answer)
    async with (
        TestServer(app, shutdown_timeout=0.1) as made,
        Client(server_only(host=str(made.make_url("")), ca_file=None)) as client,
    ):
        yield Played(server, client)


async def run(played: Played) -> "asyncio.Task[None]":
    task = asyncio.create_task(played.published.run())
    await asyncio.wait_for(played.published.reflector.synced.wait(), 60)
    return task


async def test_each_is_for_its_namespace_and_image(played: Played) -> None:
    played.server.listed = [
        config_map("b", **{"catalogue.json": catalogue_text("second")}),
        config_map("a"),
        config_map("a", "other", image="erp:2"),
    ]
    task = await run(played)
    assert played.known() == {("ns", IMAGE): ["close_day"], ("other", "erp:2"): ["close_day"]}
    assert played.server.asked[0] == {"labelSelector": "scheduler.merp.io/catalogue=true", "limit": "20"}
    task.cancel()


async def test_the_jobs_of_a_namespace_are_looked_at_when_its_catalogues_change(played: Played) -> None:
    task = await run(played)
    for version, (kind, tasks) in enumerate([("ADDED", ["a"]), ("MODIFIED", ["b"]), ("DELETED", ["b"])], start=101):
        item = config_map("c", version=version, **{"catalogue.json": catalogue_text(*tasks)})
        played.server.lines.put_nowait({"type": kind, "object": item})
        assert await asyncio.wait_for(played.changes.get(), 60) == "ns"
        assert played.known() == ({} if kind == "DELETED" else {("ns", IMAGE): tasks})
    # What changes nothing of its tasks has nobody look.
    for version in (105, 106):
        item = config_map("c", version=version)
        item["metadata"]["annotations"] = {"note": str(version)}
        played.server.lines.put_nowait({"type": "MODIFIED", "object": item})
    played.server.lines.put_nowait({"type": "ADDED", "object": config_map("d", "last", version=107)})
    assert [await asyncio.wait_for(played.changes.get(), 60) for _ in range(2)] == ["ns", "last"]
    task.cancel()


async def test_a_broken_one_is_told_by_name_and_harms_no_other(played: Played) -> None:
    played.server.listed = [config_map("broken", **{"catalogue.json": "{"}), config_map("good", "ns")]
    task = await run(played)
    event = await asyncio.wait_for(played.server.events.get(), 60)
    assert event["involvedObject"] == {
        "apiVersion": "v1", "kind": "ConfigMap", "name": "broken", "namespace": "ns", "uid": "uid-ns-broken"
    }  # fmt: skip
    assert (event["type"], event["reason"]) == ("Warning", "InvalidCatalogue")
    assert event["message"].startswith("data.catalogue.json: is no output of `merp-runner catalogue`")
    assert played.known() == {("ns", IMAGE): ["close_day"]}
    task.cancel()


async def test_an_event_that_is_refused_ends_nothing(played: Played) -> None:
    played.server.refused = 1
    played.server.listed = [config_map("x", image=""), config_map("y", image="")]
    task = await run(played)
    event = await asyncio.wait_for(played.server.events.get(), 60)
    assert event["involvedObject"]["name"] == "y"
    assert not task.done()
    task.cancel()


KNOWN = Catalogue.parse(catalogue_text("close_day"), IMAGE)
DEFAULTS = Defaults(image="tasks:1", time_zone="UTC", published={("ns", IMAGE): KNOWN})


def seen(*asked: Json, image: str = IMAGE, namespace: str = "ns", **task: Any) -> Observed:
    body = scheduled_job(task={"func": "close_day"} | task, template={"image": image})
    body["metadata"]["namespace"] = namespace
    return observe.observe(body, None, [], list(asked))


@pytest.mark.parametrize(
    ("observed", "expected"),
    [
        pytest.param(seen(args=["P1"]), None, id="good"),
        pytest.param(seen(), (ConditionReason.INVALID_PARAMETERS, "task.kwargs: plant is needed"), id="missing"),
        pytest.param(
            seen(args=[1], kwargs={"plnt": 1}),
            (
                ConditionReason.INVALID_PARAMETERS,
                "task.args: plant expected text, got a number; "
                "task.kwargs: plnt is no parameter of the task: did you mean plant?",
            ),
            id="two",
        ),
        pytest.param(
            seen(kwargs={f"p{number}": number for number in range(9)}, args=["P1"]),
            (ConditionReason.INVALID_PARAMETERS, "; and 4 more"),
            id="many",
        ),
        pytest.param(
            seen(func="close_dya"), (ConditionReason.UNKNOWN_TASK, "did you mean close_day?"), id="unknown-task"
        ),
        pytest.param(seen(func="other", image="registry.example/erp:2"), None, id="another-tag-is-another-image"),
        pytest.param(seen(func="other", image="registry.example/erp@sha256:0a"), None, id="a-digest-too"),
        pytest.param(seen(func="other", namespace="elsewhere"), None, id="another-namespace"),
    ],
)
def test_the_catalogue_of_the_jobs_own_image_counts(
    observed: Observed, expected: tuple[ConditionReason, str] | None
) -> None:
    found = definition.problem(observed, DEFAULTS)
    assert (found is None) is (expected is None)
    if found is not None and expected is not None:
        assert found.reason is expected[0]
        assert expected[1] in found.message


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        pytest.param({}, None, id="the-jobs-own"),
        pytest.param({"args": ["P2"]}, None, id="good"),
        pytest.param({"args": [2]}, "args: plant expected text, got a number", id="wrong"),
        pytest.param({"args": []}, "kwargs: plant is needed", id="less-than-the-jobs-own"),
        pytest.param(
            {"args": ["P1"], "kwargs": {"rows": ["x" * 100] * 1024}},
            "kwargs: args and kwargs have 105488 bytes as JSON, more than 65536: store the data elsewhere and pass "
            "where it is",
            id="100-KiB-of-rows",
        ),
    ],
)
def test_a_request_with_wrong_parameters_becomes_no_run(asked: Json, expected: str | None) -> None:
    observed = seen(job_run(**asked), args=["P1"])
    assert observed.spec is not None
    [answer] = requests.answers(observed, observed.spec, DEFAULTS)
    assert (answer.message if isinstance(answer, requests.Invalid) else None) == expected


def test_what_the_installation_says_goes_before_what_a_namespace_says() -> None:
    theirs = Catalogue.parse(catalogue_text("theirs"), "x")
    defaults = Defaults(
        image="tasks:1",
        time_zone="UTC",
        catalogue=KNOWN,
        installed={IMAGE: KNOWN},
        published={("ns", IMAGE): theirs, ("ns", "tasks:1"): theirs, ("ns", "own:1"): theirs},
    )
    found = [defaults.catalogue_of("ns", image) for image in (None, "tasks:1", IMAGE, "own:1", "unknown:1")]
    assert found == [KNOWN, KNOWN, KNOWN, theirs, None]

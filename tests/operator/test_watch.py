"""The caches of our own kinds, where a list and what kopf tells meanwhile do not come in the order of what happened."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from cluster_objects import job_pool

from merp_kube.client import Client, server_only
from merp_operator.watch import Watch

Json = dict[str, Any]
# Of every list.
VERSION = 100


def pool(name: str, version: int) -> Json:
    body = job_pool(name)
    body["metadata"]["resourceVersion"] = str(version)
    return body


class Listed:
    """A server with JobPools alone, and what happens between its answer and the operator's reading of it."""

    def __init__(self) -> None:
        self.pools: list[Json] = []
        self.meanwhile: Callable[[], None] = lambda: None

    async def answer(self, request: web.Request) -> web.Response:
        if not request.path.endswith("/jobpools"):
            return web.json_response({"items": [], "metadata": {"resourceVersion": str(VERSION)}})
        listed = {"items": list(self.pools), "metadata": {"resourceVersion": str(VERSION)}}
        self.meanwhile()
        return web.json_response(listed)


@pytest.fixture
async def listed() -> AsyncIterator[tuple[Listed, Watch]]:
    played = Listed()
    app = web.Application()
    app.router.add_get("/{path:.*}", played.answer)

    def nobody(*_: Any) -> None:
        """Who is told of changes does not matter here."""

    async with TestServer(app) as server, Client(server_only(host=str(server.make_url("")), ca_file=None)) as client:
        yield played, Watch(client, namespace=None, changed=nobody, vanished=nobody, pool_changed=nobody)


async def test_a_list_brings_what_kopf_has_not_told_and_takes_what_is_gone(listed: tuple[Listed, Watch]) -> None:
    server, watch = listed
    watch.job_pools.put(pool("gone", 90))
    server.pools = [pool("new", 95)]
    await watch.resync()
    assert [item["metadata"]["name"] for item in watch.job_pools.all()] == ["new"]


async def test_what_is_made_while_a_list_is_under_way_is_not_taken_for_gone(listed: tuple[Listed, Watch]) -> None:
    server, watch = listed
    server.meanwhile = lambda: watch.job_pools.put(pool("new", 101))
    await watch.resync()
    assert [item["metadata"]["name"] for item in watch.job_pools.all()] == ["new"]


async def test_what_is_deleted_while_a_list_is_under_way_does_not_come_back(listed: tuple[Listed, Watch]) -> None:
    server, watch = listed
    gone = pool("gone", 90)
    server.pools = [gone]
    watch.job_pools.put(gone)
    server.meanwhile = lambda: watch.job_pools.remove(gone)
    await watch.resync()
    assert watch.job_pools.all() == []
    # Made again under the same name it is another.
    server.meanwhile = lambda: None
    server.pools = [pool("gone", 102)]
    server.pools[0]["metadata"]["uid"] = "another"
    await watch.resync()
    assert [item["metadata"]["uid"] for item in watch.job_pools.all()] == ["another"]


async def test_an_answer_that_comes_after_the_deletion_brings_nothing_back(listed: tuple[Listed, Watch]) -> None:
    _, watch = listed
    watch.job_pools.put(pool("gone", 90))
    watch.job_pools.remove(pool("gone", 92))
    # What a write of the status was answered with, which came before the deletion.
    watch.job_pools.put(pool("gone", 91))
    assert watch.job_pools.all() == []
    for _ in range(2):
        await watch.resync()
    assert watch.job_pools._gone == (set(), set())

"""The caches of our own kinds, where a list and what kopf tells meanwhile do not come in the order of what happened, and
who is told of what changes."""

from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from cluster_objects import complete, failed, job, job_pool, job_run, pod, scheduled_job

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
        self.version = VERSION
        self.meanwhile: Callable[[], None] = lambda: None

    async def answer(self, request: web.Request) -> web.Response:
        if not request.path.endswith("/jobpools"):
            return web.json_response({"items": [], "metadata": {"resourceVersion": str(VERSION)}})
        listed = {"items": list(self.pools), "metadata": {"resourceVersion": str(self.version)}}
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


async def test_what_a_restored_server_lists_is_what_there_is(listed: tuple[Listed, Watch]) -> None:
    server, watch = listed
    server.pools = [pool("nightly", 95), pool("made-later", 99)]
    await watch.resync()
    server.pools, server.version = [pool("nightly", 40), pool("deleted-later", 30)], 50
    await watch.resync()
    found = {item["metadata"]["name"]: item["metadata"]["resourceVersion"] for item in watch.job_pools.all()}
    assert found == {"nightly": "40", "deleted-later": "30"}


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


class Told:
    """A picture of the cluster, and who was told of its changes: `j`, `j at once` or `j calmly`."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.watch = Watch(
            cast(Client, None),
            namespace=None,
            changed=lambda _, name: self.names.append(name),
            hurry=lambda _, name: self.names.append(f"{name} at once"),
            calmly=lambda _, name: self.names.append(f"{name} calmly"),
            vanished=lambda *_: None,
            pool_changed=lambda *_: None,
        )

    def of(self, change: Callable[[], None]) -> list[str]:
        """Who is told of that."""
        self.names.clear()
        change()
        return self.names

    def of_job(self, body: Json) -> list[str]:
        """Who is told of a Job as it is now."""
        metadata = body["metadata"]
        return self.of(lambda: self.watch.jobs._replace((metadata["namespace"], metadata["name"]), body))


@pytest.fixture
def told() -> Told:
    """j, and waits-for-j, which depends on it."""
    found = Told()
    found.watch.scheduled_jobs.put(scheduled_job())
    found.watch.scheduled_jobs.put(scheduled_job("waits-for-j", dependsOn=[{"name": "j"}]))
    return found


def at(version: int, body: Json) -> Json:
    return body | {"metadata": body["metadata"] | {"resourceVersion": str(version)}}


@pytest.mark.parametrize(
    ("version", "uid", "expected"),
    [
        pytest.param(11, "u", ["waits-for-j", "j"], id="newer"),
        pytest.param(10, "u", [], id="does-nothing-the-operators-own-write-comes-back"),
        pytest.param(9, "u", [], id="does-nothing-older"),
        pytest.param(11, "another", ["waits-for-j", "j"], id="made-anew"),
        pytest.param(9, "another", [], id="does-nothing-a-late-word-of-the-one-before"),
    ],
)
def test_only_what_is_new_is_told(told: Told, version: int, uid: str, expected: list[str]) -> None:
    known = scheduled_job()
    known["metadata"]["uid"] = "u"
    told.watch.scheduled_jobs.put(at(10, known))
    item = at(version, known)
    item["metadata"]["uid"] = uid
    assert told.of(lambda: told.watch.scheduled_jobs.put(item)) == expected


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        pytest.param({"active": 1}, ["waits-for-j", "j calmly"], id="does-nothing-it-goes-on"),
        pytest.param(complete(), ["waits-for-j at once", "j calmly"], id="it-succeeded"),
        pytest.param(failed("BackoffLimitExceeded"), ["waits-for-j at once", "j calmly"], id="it-failed"),
    ],
)
def test_whoever_waits_for_a_run_is_looked_at_at_once_when_it_ends(
    told: Told, status: Json, expected: list[str]
) -> None:
    told.of_job(job())
    assert told.of_job(at(21, job(status=status))) == expected
    # That it has ended is news once.
    assert told.of_job(at(22, job(status=status))) == ["waits-for-j", "j calmly"]


def test_a_job_with_a_run_that_waits_is_looked_at_at_once_when_another_ends(told: Told) -> None:
    told.of_job(job("j-r-1", uid="job-2", spec={"suspend": True}))
    told.of_job(job())
    assert told.of_job(at(21, job(status=complete()))) == ["waits-for-j at once", "j at once"]


@pytest.mark.parametrize(
    ("suspended", "expected"),
    [
        pytest.param(False, ["waits-for-j", "j calmly"], id="nothing-waits"),
        pytest.param(True, ["waits-for-j", "j"], id="it-waits-to-be-let-go"),
    ],
)
def test_a_new_run_that_waits_is_looked_at_with_no_delay(told: Told, suspended: bool, expected: list[str]) -> None:
    assert told.of_job(job(spec={"suspend": suspended})) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(pod(), ["j calmly"], id="it-is-there"),
        pytest.param(pod(running=True), ["j calmly"], id="it-runs"),
        pytest.param(pod(terminated={"exitCode": 0}), ["j calmly"], id="it-succeeded"),
        pytest.param(pod(terminated={"exitCode": 1}), ["j"], id="it-failed-and-has-a-log"),
    ],
)
def test_a_pods_change_is_told_calmly_unless_it_failed(told: Told, body: Json, expected: list[str]) -> None:
    told.of_job(job())
    key = body["metadata"]["namespace"], body["metadata"]["name"]
    assert told.of(lambda: told.watch.pods._replace(key, body)) == expected
    # The same again is no change.
    assert told.of(lambda: told.watch.pods._replace(key, body)) == []


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        pytest.param({"run": "j-29926800"}, "j", id="somebody-waits-for-the-end"),
        pytest.param({"verdict": "success", "endTime": "2026-11-25T12:00:10Z"}, "j calmly", id="nobody-waits-any-more"),
    ],
)
def test_a_job_whose_run_was_asked_for_is_looked_at_with_no_delay_when_it_ends(
    told: Told, status: Json, expected: str
) -> None:
    told.watch.job_runs.put(job_run() | {"status": status})
    told.of_job(job())
    assert told.of_job(at(21, job(status=complete()))) == ["waits-for-j at once", expected]


def test_what_waits_for_what_follows_every_edit(told: Told) -> None:
    graphs = []
    for version, upstreams in enumerate((["a"], ["b", "a"], []), start=60):
        body = at(version, scheduled_job("d", dependsOn=[{"name": name} for name in upstreams]))
        body["metadata"]["uid"] = "d"
        told.watch.scheduled_jobs.put(body)
        graphs.append(told.watch.depends_on("ns"))
    others = {"waits-for-j": ("j",)}
    assert graphs == [others | {"d": ("a",)}, others | {"d": ("a", "b")}, others]
    assert told.watch.depends_on("elsewhere") == {}

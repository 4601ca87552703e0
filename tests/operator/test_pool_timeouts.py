"""Runs that wait for room longer than their job allows: whose time is over, since when it counts, and what is said."""

import copy
import json
import random
from datetime import timedelta
from typing import Any

import pytest
from cluster_objects import NOW, job
from due_times import at
from played_cluster import Json, Killed
from played_pool import POOL, World

from merp_crds import names
from merp_crds.common import rfc3339
from merp_crds.jobpool import Admitted
from merp_crds.scheduledjob import PoolReference, Priority
from merp_operator import observe, pool
from merp_operator.pool import Candidate, Expired, Ready

HOUR = {"name": "nightly", "slots": 1, "timeoutSeconds": 3600}


def wants(run: str, until: str | None = None, slots: int = 1) -> Candidate:
    """A run that would go on, and how long it waits; due in the order of their names."""
    limit = None if until is None else at(until)
    return Candidate(run, f"uid-{run}", "j", Priority.NORMAL, at("10:00:00"), slots, limit)


@pytest.mark.parametrize(
    ("taken", "candidates", "expected"),
    [
        pytest.param(2, [], ("", "", ""), id="does-nothing-nobody-waits"),
        pytest.param(2, [wants("a")], ("", "a", ""), id="does-nothing-no-limit"),
        pytest.param(2, [wants("a", "12:00:31")], ("", "a", ""), id="does-nothing-its-time-is-not-over"),
        pytest.param(1, [wants("a", "09:00:00")], ("a", "", ""), id="late-and-there-is-room"),
        pytest.param(2, [wants("a", "12:00:30")], ("", "", "a 1/1"), id="this-very-moment"),
        pytest.param(
            2, [wants("a"), wants("b", "12:00:00"), wants("c")], ("", "a c", "b 2/3"), id="the-others-wait-on"
        ),
        pytest.param(1, [wants("a", "12:00:00", 2), wants("b")], ("b", "", "a 1/1"), id="holds-up-nobody-any-more"),
        pytest.param(1, [wants("a"), wants("b", "12:00:00")], ("a", "", "b 1/1"), id="room-for-the-one-before-it"),
        pytest.param(
            1, [wants("a", None, 2), wants("b", "12:00:00")], ("", "a", "b 2/2"), id="passes-nobody-for-being-late"
        ),
    ],
)
def test_whose_time_is_over(taken: int, candidates: list[Candidate], expected: tuple[str, str, str]) -> None:
    before = [Admitted(run=f"r{number}", uid=f"uid-r{number}", scheduled_job="j", slots=1) for number in range(taken)]
    decision = pool.decide(2, before, {entry.uid: entry for entry in before}, candidates, NOW)
    admitted = " ".join(entry.run for entry in decision.admitted[taken:])
    waiting = " ".join(entry.run for entry in decision.waiting)
    expired = " ".join(f"{entry.candidate.run} {entry.place[0]}/{entry.place[1]}" for entry in decision.expired)
    assert (admitted, waiting, expired) == expected


LATE = wants("a", "12:00:00")


@pytest.mark.parametrize(
    ("slots", "wanted", "without", "expired", "expected"),
    [
        pytest.param(1, {}, [], {}, ([], [], None), id="does-nothing-nobody-waits"),
        pytest.param(1, {}, [LATE], {}, (["waiting for 1 slot of pool nightly"], [], None), id="pool-not-asked-yet"),
        pytest.param(
            1,
            {},
            [LATE],
            {"uid-a": Expired(LATE, (3, 7))},
            ([], ["a skipped(PoolTimeout) waited 1h for 1 slot of pool nightly: place 3 of 7"], None),
            id="the-pool-says-so",
        ),
        pytest.param(
            1,
            {"onTimeout": "Fail"},
            [LATE],
            {"uid-a": Expired(LATE, (1, 1))},
            ([], ["a failed(PoolTimeout) waited 1h for 1 slot of pool nightly: place 1 of 1"], None),
            id="on-timeout-fail",
        ),
        pytest.param(
            1,
            {},
            [wants("a", "13:00:00")],
            {"uid-a": Expired(LATE, (3, 7))},
            (["waiting for 1 slot of pool nightly"], [], None),
            id="edited-since-the-pool-said-so",
        ),
        pytest.param(
            None,
            {},
            [LATE, wants("b", "13:00:00")],
            {},
            (
                ["waiting for pool nightly, which does not exist"],
                ["a skipped(PoolTimeout) waited 1h for pool nightly, which does not exist"],
                "13:00:00",
            ),
            id="no-pool-decides",
        ),
        pytest.param(
            1,
            {"slots": 2},
            [wants("a", "12:00:00", 2)],
            {},
            ([], ["a skipped(PoolTimeout) waited 1h for 2 slots of pool nightly, which has 1"], None),
            id="too-large",
        ),
    ],
)
def test_what_its_job_is_told(
    slots: int | None,
    wanted: Json,
    without: list[Candidate],
    expired: dict[str, Expired],
    expected: tuple[list[str], list[str], str | None],
) -> None:
    found = pool.room(PoolReference.model_validate(HOUR | wanted), slots, without, {}, expired, NOW)
    ends = [f"{end.run} {end.verdict}({end.reason}) {end.sentence}" for end in found.expired.values()]
    again = None if found.look_again is None else f"{found.look_again:%H:%M:%S}"
    assert (list(found.waiting.values()), ends, again) == expected


@pytest.mark.parametrize(
    ("written", "found", "expected", "is_written"),
    [
        pytest.param(None, "12:00:00", "12:00:00", False, id="does-nothing-since-it-was-made"),
        pytest.param(None, "12:00:10", "12:00:10", True, id="since-another-ended"),
        pytest.param("12:00:10", "12:00:10", "12:00:10", False, id="does-nothing-written-before"),
        pytest.param("12:00:10", "12:00:00", "12:00:10", False, id="what-ended-is-forgotten"),
        pytest.param("12:00:10", "12:00:20", "12:00:20", True, id="it-had-to-wait-for-another-again"),
        pytest.param("13:00:00", "12:00:00", "12:00:00", False, id="what-is-still-to-come-says-nothing"),
        pytest.param("soon", "12:00:10", "12:00:10", True, id="no-moment"),
    ],
)
def test_since_when_a_run_waits_for_room(written: str | None, found: str, expected: str, is_written: bool) -> None:
    text = rfc3339(at(written)) if written and ":" in written else written
    body = job(annotations={} if text is None else {names.ANNOTATION_ROOM_SINCE: text})
    since = pool.since(body, at(found), NOW)
    assert since == at(expected)
    unwritten = pool.unwritten(Ready(observe.read_run("j", body, []), since))
    assert unwritten == (since if is_written else None)


def ended(world: World, run: str) -> Json | None:
    """What was left on a run when it was ended."""
    text = world.cluster.jobs["ns", run]["metadata"].get("annotations", {}).get(names.ANNOTATION_ENDED)
    return None if text is None else json.loads(text)


def limited(**spec: Any) -> World:
    """A pool of one slot that a run of the job a has; runs of b wait an hour for it at most."""
    world = World(1, {"a": 1, "b": 1})
    world.comes("a")
    world.declare("b", pool=HOUR, **spec)
    return world


async def test_c22_a_run_that_waits_past_its_deadline_is_ended_and_says_what_it_waited_for() -> None:
    world = limited()
    await world.settle()
    first, second = world.comes("b"), world.comes("b", Priority.HIGH)
    await world.settle()
    assert world.look.waiting[first] == "waiting for 1 slot of pool nightly: place 2 of 2"
    world.passes(3599)
    await world.settle()
    assert (ended(world, first), ended(world, second)) == (None, None)
    world.passes(1)
    await world.settle()
    told = [ended(world, run) or {} for run in (first, second)]
    assert [(entry["verdict"], entry["reason"]) for entry in told] == [("skipped", "PoolTimeout")] * 2
    assert [entry["message"] for entry in told] == [
        "waited 1h for 1 slot of pool nightly: place 2 of 2",
        "waited 1h for 1 slot of pool nightly: place 1 of 2",
    ]
    assert world.status["waitingCount"] == 0
    assert [entry["scheduledJob"] for entry in world.status["admitted"]] == ["a"]


async def test_a_run_that_is_given_room_at_its_deadline_goes() -> None:
    world = limited()
    await world.settle()
    [busy] = world.running()
    run = world.comes("b")
    await world.settle()
    world.passes(3600)
    world.ends(busy["metadata"]["name"])
    await world.settle()
    assert ended(world, run) is None
    assert [entry["metadata"]["name"] for entry in world.running()] == [run]


async def test_a_run_that_another_operator_gives_room_in_the_same_moment_is_not_ended() -> None:
    world = limited()
    await world.settle()
    run = world.comes("b")
    await world.settle()
    body = copy.deepcopy(world.cluster.job_pools[POOL])
    uid = world.cluster.jobs["ns", run]["metadata"]["uid"]
    body["status"]["admitted"] = [{"run": run, "uid": uid, "scheduledJob": "b", "slots": 1}]
    body["status"] |= {"waiting": [], "waitingCount": 0}
    world.cluster.put(world.cluster.job_pools, body)
    # The watch shows that only after the pool's next look.
    world.passes(3600)
    await world.one_look(random.Random(0))
    await world.settle()
    assert ended(world, run) is None
    assert not world.cluster.jobs["ns", run]["spec"]["suspend"]


async def test_a_run_that_another_operator_lets_go_in_the_same_moment_is_not_ended() -> None:
    world = limited()
    await world.settle()
    run = world.comes("b")
    await world.settle()
    await world.cluster.release(world.cluster.jobs["ns", run], None)
    world.passes(3600)
    for _ in range(20):
        await world.one_look(random.Random(0))
    assert ended(world, run) is None
    await world.settle()
    assert ended(world, run) is None


async def test_room_that_was_promised_to_a_run_that_is_ended_is_given_to_the_next() -> None:
    world = limited()
    await world.settle()
    [busy] = world.running()
    promised, next_one = world.comes("b"), world.comes("b")
    await world.settle()
    world.ends(busy["metadata"]["name"])
    world.show()
    while promised not in {entry["run"] for entry in world.status["admitted"]}:
        world.looks.clear()
        await world.one_look(random.Random(0))
    # It is cancelled before it is let go.
    await world.cluster.end_run(world.cluster.jobs["ns", promised], {"verdict": "cancelled"})
    world.ends(promised)
    await world.settle()
    assert [entry["metadata"]["name"] for entry in world.running()] == [next_one]


@pytest.mark.parametrize(
    ("policy", "opened_by", "seconds"),
    [
        pytest.param("Allow", None, 3600, id="does-nothing-since-it-was-made"),
        pytest.param("Allow", "up", 3610, id="since-its-upstream-ended"),
        pytest.param("Queue", None, 3620, id="since-its-turn-came"),
        pytest.param("Replace", None, 3620, id="since-the-one-that-it-replaces-ended"),
    ],
)
async def test_the_wait_counts_from_when_a_run_waits_for_room_alone(
    policy: str, opened_by: str | None, seconds: int
) -> None:
    world = World(2, {"a": 1, "b": 1, "up": 1})
    world.declare("up", pool=None)
    depends = [{"name": "up"}] if opened_by else None
    world.declare("b", pool=HOUR, concurrencyPolicy=policy, dependsOn=depends)
    upstream, earlier = world.comes("up"), world.comes("b", suspend=False)
    await world.settle()
    run = world.comes("b")
    for _ in range(2):
        world.comes("a", Priority.HIGH)
    await world.settle()
    world.passes(10)
    world.ends(upstream)
    await world.settle()
    world.passes(10)
    if policy != "Allow":
        world.ends(earlier)
    await world.settle()
    # What it waited for is cleaned up, and the operator remembers nothing.
    for name in (upstream, earlier):
        world.cluster.jobs.pop(("ns", name))
    world.start_process()
    await world.settle()
    world.passes(seconds - 20 - 1)
    await world.settle()
    assert ended(world, run) is None
    world.passes(1)
    await world.settle()
    assert (ended(world, run) or {})["reason"] == "PoolTimeout"


async def test_an_edit_counts_at_once_for_what_waits() -> None:
    world = limited()
    await world.settle()
    run = world.comes("b")
    await world.settle()
    world.passes(100)
    world.edit("b", pool=HOUR | {"timeoutSeconds": None})
    await world.settle()
    world.passes(10_000)
    await world.settle()
    assert ended(world, run) is None
    world.edit("b", pool=HOUR | {"timeoutSeconds": 60, "onTimeout": "Fail"})
    await world.settle()
    assert (ended(world, run) or {})["verdict"] == "failed"


async def test_a_pool_that_is_not_there_lets_nobody_wait_longer() -> None:
    world = limited()
    del world.cluster.job_pools[POOL]
    world.start_process()
    await world.settle()
    run = world.comes("b")
    await world.settle()
    world.passes(3600)
    await world.settle()
    assert (ended(world, run) or {})["message"] == "waited 1h for pool nightly, which does not exist"


async def test_the_end_is_the_same_wherever_the_operator_is_killed() -> None:
    ends = []
    for lifetime in (None, *range(12)):
        world = limited(dependsOn=[{"name": "up"}])
        world.declare("a", dependsOn=None)
        world.cluster.put(world.cluster.scheduled_jobs, upstream_of(world))
        world.start_process()
        await world.settle()
        upstream, run = world.comes("up"), world.comes("b")
        await until_settled(world)
        world.cluster.lifetime = lifetime
        world.ends(upstream)
        await until_settled(world)
        world.passes(3600)
        await until_settled(world)
        found = world.cluster.jobs["ns", run]["metadata"]["annotations"]
        ends.append({name: value for name, value in found.items() if name != names.ANNOTATION_DUE_TIME})
    assert ends[0][names.ANNOTATION_OPENED_BY]
    assert all(end == ends[0] for end in ends)


def upstream_of(world: World) -> Json:
    """A job without a pool."""
    body = copy.deepcopy(world.cluster.scheduled_jobs["ns", "a"])
    body["metadata"] |= {"name": "up", "uid": "uid-up"}
    del body["spec"]["pool"]
    return body


async def until_settled(world: World) -> None:
    """Looks until nobody wants one, by as many processes as it takes."""
    while True:
        try:
            await world.settle()
        except Killed:
            world.start_process()
        else:
            return


@pytest.mark.parametrize("seed", range(10))
async def test_whoever_waits_goes_or_ends_and_never_both(seed: int) -> None:
    chosen = random.Random(seed)
    world = World(2, {"a": 1, "b": 2, "c": 1})
    world.declare("a", pool=HOUR)
    world.declare("b", pool=HOUR | {"slots": 2, "timeoutSeconds": 1800})
    # Whoever's time is over is passed by others.
    world.all_looked_at = False
    went: set[str] = set()
    late: set[str] = set()
    for _ in range(200):
        what = chosen.random()
        if what < 0.15:
            world.comes(chosen.choice("abc"), chosen.choice(list(Priority)))
        elif what < 0.25 and world.running():
            world.ends(chosen.choice(world.running())["metadata"]["name"])
        elif what < 0.3:
            world.passes(chosen.randint(1, 1500))
        elif what < 0.35:
            world.start_process()
        elif what < 0.6:
            world.show()
        elif world.busy:
            await world.one_look(chosen)
        ends = {name for _, name in world.cluster.jobs if ended(world, name)}
        for name in ends - late:
            began = observe.parse_rfc3339(world.cluster.jobs["ns", name]["metadata"]["creationTimestamp"])
            assert world.cluster.now - began >= timedelta(seconds=1800 if name.startswith("b") else 3600)
        late |= ends
        went |= {entry["metadata"]["name"] for entry in world.running()} - late
        assert not went & late
    assert went
    await world.settle()
    world.passes(3600)
    await world.settle()
    assert {name[0] for name in (job["metadata"]["name"] for job in world.waiting())} <= {"c"}
    assert any(ended(world, name) for _, name in world.cluster.jobs)

"""Pools on a real cluster: order, room and restarts, as watches of the API server tell them."""

import random
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cluster_objects import minutely
from durations import long
from kube import Kube
from object_watch import ObjectWatch
from operator_process import OperatorProcess
from pool_order import admissions, most_at_once
from records_file import rows

from merp_cluster.cluster import Cluster
from merp_cluster.errors import ClusterError
from merp_crds import names
from merp_crds.common import parse_rfc3339, rfc3339

pytestmark = pytest.mark.cluster

Json = dict[str, Any]
RANKS = {"high": 0, "normal": 1, "low": 2}


def pool(slots: int, name: str = "nightly") -> Json:
    return {
        "apiVersion": names.API_VERSION,
        "kind": "JobPool",
        "metadata": {"name": name},
        "spec": {"slots": slots},
    }


def pooled(image: str, name: str, slots: int = 1, **spec: Any) -> Json:
    """A job without a schedule whose runs take room of the pool nightly."""
    body = minutely(image, name, pool={"name": "nightly", "slots": slots}, concurrencyPolicy="Allow", **spec)
    del body["spec"]["schedule"]
    return body


def ask(scheduled_job: str, name: str, due: datetime) -> Json:
    """The request for a run with a due time."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": "JobRun",
        "metadata": {"name": name},
        "spec": {"scheduledJob": scheduled_job, "dueTime": rfc3339(due)},
    }


def status(kube: Kube) -> Json:
    """The pool's status."""
    return (kube.get("jobpools", "nightly") or {}).get("status") or {}


def is_looked_at(kube: Kube) -> bool:
    """Whether the operator has seen the pool as it is."""
    found = kube.get("jobpools", "nightly") or {}
    seen: int | None = (found.get("status") or {}).get("observedGeneration")
    return seen == found["metadata"]["generation"]


def watch(kube: Kube, root: str, plural: str) -> ObjectWatch:
    return ObjectWatch(kube, f"{root}/namespaces/{kube.namespace}/{plural}")


@pytest.fixture(scope="module", autouse=True)
def priority_classes(cluster: Cluster) -> Iterator[None]:
    """What the chart makes; without them no pod of another priority than normal is let in."""
    present = cluster.api.kubectl("get", "priorityclasses", "-o", "name")
    missing = {"merp-high": 1000, "merp-low": -1000}
    missing = {name: value for name, value in missing.items() if f"/{name}\n" not in present}
    for name, value in missing.items():
        cluster.api.kubectl("create", "priorityclass", name, f"--value={value}")
    yield
    for name in missing:
        # Helm takes over no class that it did not make.
        cluster.api.kubectl("delete", "priorityclass", name)


@pytest.fixture
def runs() -> int:
    """How many wait for room; the whole crowd takes minutes."""
    return 200 if long() else 60


@pytest.mark.timeout(1500)  # a pod starts and ends in a second or two, five at a time
def test_c22_order_and_room_are_kept_however_often_the_operator_is_killed(
    kube: Kube, operator: OperatorProcess, task_image: str, runs: int
) -> None:
    chosen = random.Random(22)
    kube.apply(*(pooled(task_image, name, priority=name) for name in RANKS))
    began = datetime(2026, 1, 1, tzinfo=UTC)
    asked = [ask(list(RANKS)[number % 3], f"r{number:03}", began + timedelta(minutes=number)) for number in range(runs)]
    chosen.shuffle(asked)
    kube.apply(*asked)
    # Nobody goes before all are there: the pool is made last.
    kube.until("all wait", lambda: sum(bool(job["spec"]["suspend"]) for job in kube.list("jobs")) == runs)
    with (
        watch(kube, "/apis/batch/v1", "jobs") as jobs,
        watch(kube, "/apis/scheduler.merp.io/v1", "jobpools") as pools,
    ):
        kube.apply(pool(5))
        kube.until("somebody has room", lambda: status(kube).get("used"))
        done = 0
        for _ in range(3):
            kube.until("some more have room", lambda done=done: len(admissions(pools.events)) > done + 3)
            operator.kill()
            # Before the next one starts: it may let many go until that is seen.
            done = len(admissions(pools.events))
            operator.start()
        kube.until("all have ended", lambda: len(kube.list("jobs", "")) == 0 or _all_ended(kube), 900)
        kube.until("the room is free", lambda: status(kube).get("used") == 0)
    verdicts = [(kube.verdict(request["metadata"]["name"]) or {}).get("verdict") for request in asked]
    assert verdicts == ["success"] * runs
    due = {job["metadata"]["name"]: _turn(job) for job in jobs.events}
    order = admissions(pools.events)
    assert len(order) == runs
    assert [due[run] for run in order] == sorted(due[run] for run in order)
    assert most_at_once(jobs.events) == 5
    # Room was given before a run was let go.
    given = {
        entry["run"]: int(item["metadata"]["resourceVersion"])
        for item in reversed(pools.events)
        for entry in (item.get("status") or {}).get("admitted", [])
    }
    let_go = {
        job["metadata"]["name"]: int(job["metadata"]["resourceVersion"])
        for job in reversed(jobs.events)
        if not job["spec"]["suspend"]
    }
    assert all(given[run] < version for run, version in let_go.items())


def _all_ended(kube: Kube) -> bool:
    return all(entry.get("status", {}).get("verdict") for entry in kube.list("jobruns"))


def _turn(job: Json) -> tuple[int, datetime]:
    annotations = job["metadata"]["annotations"]
    job_name = job["metadata"]["labels"][names.LABEL_SCHEDULED_JOB]
    return RANKS[job_name], parse_rfc3339(annotations[names.ANNOTATION_DUE_TIME])


def test_a_run_says_for_what_room_it_waits_and_a_larger_pool_lets_it_go(
    kube: Kube, operator: OperatorProcess, task_image: str
) -> None:
    kube.apply(pool(2), pooled(task_image, "big", slots=2, task={"func": "sleep_for", "args": [3600]}))
    due = datetime(2026, 1, 1, tzinfo=UTC)
    for number in range(3):
        kube.apply(ask("big", f"b{number}", due + timedelta(hours=number)))
        kube.until("it is taken", lambda name=f"b{number}": (kube.get("jobruns", name) or {}).get("status"))

    def messages() -> list[str]:
        found = (kube.get("scheduledjobs", "big") or {}).get("status") or {}
        return sorted(entry.get("message", "") for entry in found.get("active", []) if entry["state"] == "waiting")

    expected = [f"waiting for 2 slots of pool nightly: place {place} of 2" for place in (1, 2)]
    kube.until("both say their place", lambda: messages() == expected)
    kube.until("the pool counts them", lambda: status(kube).get("waitingCount") == 2)
    kube.apply(pool(4))
    kube.until("the second goes", lambda: messages() == ["waiting for 2 slots of pool nightly: place 1 of 1"])
    # Downwards: nothing is ended, and what is free then is taken by nobody.
    kube.apply(pool(2))
    kube.until("the pool is small again", lambda: is_looked_at(kube))
    kube.kubectl("annotate", "sj", "big", f"{names.ANNOTATION_CANCEL_PREFIX}b0=")
    kube.until("the first has ended", lambda: kube.verdict("b0"))
    kube.until("its room is gone with it", lambda: status(kube).get("used") == 2)
    kube.until("the third waits on", lambda: messages() == ["waiting for 2 slots of pool nightly: place 1 of 1"])
    kube.kubectl("annotate", "sj", "big", f"{names.ANNOTATION_CANCEL_PREFIX}b1=")
    kube.until("the last goes", lambda: messages() == [])
    assert status(kube)["used"] == 2


def test_c22_a_run_that_waits_for_room_past_its_deadline_is_recorded_as_such(
    kube: Kube, operator: OperatorProcess, task_image: str
) -> None:
    limit = {"name": "nightly", "timeoutSeconds": 3}
    jobs = {"skips": limit, "fails": limit | {"onTimeout": "Fail"}, "lost": limit | {"name": "gone"}}
    kube.apply(
        pool(1),
        pooled(task_image, "busy", task={"func": "sleep_for", "args": [3600]}),
        *(
            pooled(task_image, name) | {"spec": pooled(task_image, name)["spec"] | {"pool": jobs[name]}}
            for name in jobs
        ),
    )
    due = datetime(2026, 1, 1, tzinfo=UTC)
    kube.apply(ask("busy", "first", due))
    kube.until("it has the room", lambda: status(kube).get("used") == 1)
    kube.apply(*(ask(name, f"{name}-1", due) for name in jobs))
    found = [kube.until(f"{name} has ended", lambda name=name: kube.verdict(f"{name}-1")) for name in jobs]
    assert [(entry["verdict"], entry["reason"]) for entry in found] == [
        ("skipped", "PoolTimeout"),
        ("failed", "PoolTimeout"),
        ("skipped", "PoolTimeout"),
    ]
    query = "SELECT status, reason, error FROM job_executions WHERE reason = 'PoolTimeout' ORDER BY error"
    recorded = kube.until(
        "they are recorded", lambda: found if len(found := rows(operator.database, query)) == 3 else []
    )
    assert [(status, reason) for status, reason, _ in recorded].count(("skipped", "PoolTimeout")) == 2
    texts = [text for _, _, text in recorded]
    assert all(re.fullmatch("waited 3s for 1 slot of pool nightly: place [12] of [12]", text) for text in texts[:2])
    assert texts[2] == "waited 3s for pool gone, which does not exist"

    def told() -> set[str]:
        return {item["reason"] for item in kube.list("events") if "PoolTimeout" in item["message"]}

    # The verdict is the JobRun's first: its job's status, and what is told of that, come in their own time.
    kube.until("they are told", lambda: told() >= {"RunSkipped", "RunFailed"})
    # The room of the one that runs is as it was, and nobody waits.
    kube.until("nobody waits", lambda: (status(kube)["used"], status(kube)["waitingCount"]) == (1, 0))


def test_a_run_that_is_suspended_by_hand_is_left_alone_and_gives_its_room_back(
    kube: Kube, operator: OperatorProcess, task_image: str
) -> None:
    kube.apply(pool(1), pooled(task_image, "j", task={"func": "sleep_for", "args": [3600]}))
    due = datetime(2026, 1, 1, tzinfo=UTC)
    kube.apply(ask("j", "first", due))
    first = kube.until("the first runs", lambda: next(iter(_running(kube)), None))
    kube.apply(ask("j", "second", due + timedelta(hours=1)))
    kube.until("the second waits", lambda: status(kube).get("waitingCount") == 1)
    kube.kubectl("patch", "job", first, "-p", '{"spec":{"suspend":true}}')
    second = kube.until("the second runs", lambda: next(iter(_running(kube) - {first}), None))
    kube.until("the status says so", lambda: "suspended by hand" in str(kube.get("scheduledjobs", "j")))
    kube.until("the first has no pod", lambda: _running(kube) == {second})
    kube.kubectl("patch", "job", first, "-p", '{"spec":{"suspend":false}}')
    kube.until("both run", lambda: _running(kube) == {first, second})
    kube.until("both have room", lambda: status(kube).get("used") == 2)


def events_of(kube: Kube, name: str) -> set[str]:
    return {item["reason"] for item in kube.list("events") if item["involvedObject"]["name"] == name}


def _running(kube: Kube) -> set[str]:
    """The Jobs that have a pod."""
    return {job["metadata"]["name"] for job in kube.list("jobs") if (job.get("status") or {}).get("active")}


def test_what_can_have_no_room_is_told_and_heals(kube: Kube, operator: OperatorProcess, task_image: str) -> None:
    kube.apply(pooled(task_image, "j", slots=3), ask("j", "once", datetime(2026, 1, 1, tzinfo=UTC)))

    def on_schedule() -> tuple[str, str]:
        found = kube.condition("j", "OnSchedule") or {}
        return found.get("reason", ""), found.get("message", "")

    missing = ("PoolNotFound", "pool: there is no JobPool nightly: create it, or name another")
    kube.until("the unknown pool is told", lambda: on_schedule() == missing)
    kube.apply(pool(2))
    small = ("PoolTooSmall", "pool.slots: 3 are more than the 2 of JobPool nightly: ask for fewer, or make it larger")
    kube.until("the small pool is told", lambda: on_schedule() == small)
    told = kube.until(
        "the pool tells it too", lambda: [c for c in status(kube).get("conditions", []) if c["status"] == "False"]
    )
    assert told[0]["reason"] == "PoolTooSmall"
    for reason in ("PoolNotFound", "PoolTooSmall"):
        kube.until(f"an Event tells {reason}", lambda reason=reason: reason in events_of(kube, "j"))
    kube.apply(pool(3))
    found = kube.until("it runs", lambda: kube.verdict("once"))
    assert found["verdict"] == "success"
    kube.until("the trouble is over", lambda: on_schedule() == ("", ""))


@pytest.mark.parametrize(
    ("item", "field"),
    [
        pytest.param(pool(0), "spec.slots", id="pool-of-0-slots"),
        pytest.param(pool(1001), "spec.slots", id="pool-of-more-slots-than-can-be-listed"),
        pytest.param(pool(1, "Nightly"), "metadata.name", id="pool-of-a-name-that-no-field-takes"),
        pytest.param(pooled("i:1", "j", slots=0), "spec.pool.slots", id="a-run-of-0-slots"),
        pytest.param(
            pooled("i:1", "j", dependsOn=[{"name": "a"}, {"name": "a"}]), "spec.dependsOn", id="twice-the-same"
        ),
        pytest.param(
            pooled("i:1", "j", dependsOn=[{"name": "a", "namespace": "other"}]), "namespace", id="another-namespace"
        ),
        pytest.param(pooled("i:1", "j", dependsOn=[{"name": "other/a"}]), "spec.dependsOn[0].name", id="a-path"),
        pytest.param(
            pooled("i:1", "j", dependsOn=[{"name": "a", "window": {"period": "Fortnight"}}]),
            "spec.dependsOn[0].window.period",
            id="an-unknown-period",
        ),
        pytest.param(
            pooled("i:1", "j", dependsOn=[{"name": "a", "window": {"within": "2 fortnights"}}]),
            "spec.dependsOn[0].window.within",
            id="an-unknown-unit",
        ),
    ],
)
def test_what_is_refused_at_the_door(kube: Kube, item: Json, field: str) -> None:
    with pytest.raises(ClusterError, match=re.escape(field)):
        kube.apply(item)

"""Dependencies and overlap on a real cluster: who waits says for what, and goes on when that is there."""

import json
from itertools import pairwise
from typing import Any

import pytest
from cluster_objects import minutely
from kube import Kube
from operator_process import OperatorProcess

from merp_crds import names

pytestmark = pytest.mark.cluster

Json = dict[str, Any]
ON_UP = [{"name": "up", "condition": "Succeeded"}]


def by_hand(image: str, name: str, **spec: Any) -> Json:
    """A job without a schedule."""
    body = minutely(image, name, **spec)
    del body["spec"]["schedule"]
    return body


def ask(kube: Kube, scheduled_job: str, name: str, **spec: Any) -> None:
    kube.apply(
        {
            "apiVersion": names.API_VERSION,
            "kind": "JobRun",
            "metadata": {"name": name},
            "spec": {"scheduledJob": scheduled_job} | spec,
        }
    )


def verdict(kube: Kube, name: str) -> tuple[str, str]:
    found = kube.until(f"{name} has a verdict", lambda: kube.verdict(name))
    return found["verdict"], found["reason"]


def status(kube: Kube, name: str) -> Json:
    found: Json = (kube.get("scheduledjobs", name) or {}).get("status") or {}
    return found


def status_of(kube: Kube, run: str) -> Json:
    """A JobRun's status."""
    found: Json = (kube.get("jobruns", run) or {}).get("status") or {}
    return found


def ready(kube: Kube, *jobs: str) -> None:
    kube.until("they are looked at", lambda: all(kube.condition(name, "Ready") for name in jobs))


def opened_by(kube: Kube, run: str) -> list[Json]:
    annotations = (kube.get("jobs", run) or {})["metadata"]["annotations"]
    found: list[Json] = json.loads(annotations[names.ANNOTATION_OPENED_BY])
    return found


def test_c25_a_run_waits_for_its_upstream_and_says_so(kube: Kube, operator: OperatorProcess, task_image: str) -> None:
    within = [ON_UP[0] | {"window": {"within": "24h"}}]
    kube.apply(by_hand(task_image, "up"), by_hand(task_image, "down", dependsOn=within, concurrencyPolicy="Allow"))
    ready(kube, "up", "down")
    ask(kube, "down", "first")
    waiting = kube.until(
        "it says what it waits for",
        lambda: [
            entry for entry in status(kube, "down").get("active", []) if "waiting for up" in entry.get("message", "")
        ],
    )
    run = waiting[0]["run"]
    assert (kube.get("jobs", run) or {})["spec"]["suspend"] is True
    ask(kube, "up", "upstream")
    assert verdict(kube, "upstream") == ("success", "Completed")
    assert verdict(kube, "first") == ("success", "Completed")
    [opener] = opened_by(kube, run)
    assert opener["upstream"] == "up"
    # It is still within 24 hours for the next one, which goes on at once.
    ask(kube, "down", "second")
    assert verdict(kube, "second") == ("success", "Completed")


def test_c28_one_run_for_each_success_of_the_upstream(kube: Kube, operator: OperatorProcess, task_image: str) -> None:
    kube.apply(
        by_hand(task_image, "up", task={"func": "fail_with", "args": ["no"]}),
        by_hand(task_image, "down-ok", dependsOn=ON_UP, concurrencyPolicy="Allow"),
        by_hand(task_image, "down-bad", dependsOn=[ON_UP[0] | {"condition": "Failed"}]),
    )
    ready(kube, "up", "down-ok", "down-bad")
    ask(kube, "up", "bad")
    assert verdict(kube, "bad")[0] == "failed"
    kube.until("the failure opened its gate", lambda: status(kube, "down-bad").get("recent"))
    kube.apply(by_hand(task_image, "up"))
    ready(kube, "up")
    for number in range(3):
        ask(kube, "up", f"good-{number}", concurrencyPolicy="Allow", dueTime=f"2026-01-0{number + 1}T00:00:00Z")
    operator.kill()
    operator.start()
    for number in range(3):
        assert verdict(kube, f"good-{number}")[0] == "success"
    kube.until("each success opened one", lambda: len(status(kube, "down-ok").get("recent", [])) == 3)
    entries = status(kube, "down-ok")["recent"]
    assert {(entry["trigger"], entry["verdict"]) for entry in entries} == {("dependency", "success")}
    assert len({entry["run"] for entry in status(kube, "down-ok")["opened"]}) == 3
    assert len(status(kube, "down-bad")["recent"]) == 1


def test_c26_a_wait_ends_and_an_upstream_that_cannot_run_is_told(
    kube: Kube, operator: OperatorProcess, task_image: str
) -> None:
    policy = {"timeoutSeconds": 4, "onTimeout": "Skip"}
    kube.apply(
        by_hand(task_image, "down", dependsOn=ON_UP, dependencyPolicy=policy),
        by_hand(task_image, "fails", dependsOn=ON_UP, dependencyPolicy=policy | {"onTimeout": "Fail"}),
        by_hand(task_image, "runs", dependsOn=ON_UP, dependencyPolicy=policy | {"onTimeout": "Run"}),
    )
    ready(kube, "down", "fails", "runs")
    told = kube.until("it is told", lambda: kube.condition("down", "OnSchedule"))
    assert (told["status"], told["reason"]) == ("False", "UpstreamCannotRun")
    assert "up: does not exist" in told["message"]
    for name in ("down", "fails", "runs"):
        ask(kube, name, f"{name}-1")
    assert verdict(kube, "down-1") == ("skipped", "DependencyTimeout")
    assert verdict(kube, "fails-1") == ("failed", "DependencyTimeout")
    assert verdict(kube, "runs-1") == ("success", "Completed")
    kube.apply(by_hand(task_image, "up"))
    kube.until("it is healed", lambda: kube.condition("down", "OnSchedule") is None)


def test_a_cycle_is_told_on_every_member_and_heals(kube: Kube, operator: OperatorProcess, task_image: str) -> None:
    kube.apply(
        by_hand(task_image, "a", dependsOn=[{"name": "b"}]),
        by_hand(task_image, "b", dependsOn=[{"name": "a"}]),
        by_hand(task_image, "own", dependsOn=[{"name": "own"}]),
    )

    def reasons() -> set[str]:
        return {str((kube.condition(name, "Ready") or {}).get("reason")) for name in ("a", "b", "own")}

    kube.until("each is told", lambda: reasons() == {"DependencyCycle"})
    assert "a → b → a" in (kube.condition("a", "Ready") or {})["message"]
    kube.apply(by_hand(task_image, "b"))
    kube.until("both are healed", lambda: {(kube.condition(n, "Ready") or {}).get("reason") for n in "ab"} == {"Valid"})


def test_c20_a_queue_runs_one_at_a_time_in_order(kube: Kube, operator: OperatorProcess, task_image: str) -> None:
    kube.apply(by_hand(task_image, "queue", concurrencyPolicy="Queue", maxQueued=2, task={"func": "work_until"}))
    ready(kube, "queue")
    for number, path in enumerate(("/tmp/all-have-come", "/tmp", "/tmp", "/tmp")):
        # The first one is at work until it is told that all have come.
        ask(kube, "queue", f"q-{number}", dueTime=f"2026-01-0{number + 1}T00:00:00Z", args=[path])
        kube.until("it is taken", lambda name=f"q-{number}": (kube.get("jobruns", name) or {}).get("status"))
    kube.until(
        "one says its place",
        lambda: [
            entry for entry in status(kube, "queue").get("active", []) if "place 1 of" in entry.get("message", "")
        ],
    )
    assert verdict(kube, "q-3") == ("skipped", "QueueFull")
    kube.until("the first is at work", lambda: status_of(kube, "q-0").get("state") == "running")
    kube.kubectl("exec", f"job/{status_of(kube, 'q-0')['run']}", "--", "touch", "/tmp/all-have-come")
    runs = [verdict(kube, f"q-{number}") for number in range(3)]
    assert runs == [("success", "Completed")] * 3
    ended = [(kube.get("jobruns", f"q-{number}") or {})["status"] for number in range(3)]
    assert [entry["endTime"] for entry in ended] == sorted(entry["endTime"] for entry in ended)
    spans = sorted((entry["startTime"], entry["endTime"]) for entry in ended)
    assert all(before[1] <= after[0] for before, after in pairwise(spans))


def test_the_newest_run_replaces_the_one_before(kube: Kube, operator: OperatorProcess, task_image: str) -> None:
    kube.apply(by_hand(task_image, "r", concurrencyPolicy="Replace", task={"func": "sleep_for", "args": [3600]}))
    ready(kube, "r")
    ask(kube, "r", "old")
    kube.until(
        "it runs", lambda: [entry for entry in status(kube, "r").get("active", []) if entry["state"] == "running"]
    )
    ask(kube, "r", "new", args=[1])
    assert verdict(kube, "old") == ("cancelled", "Replaced")
    assert verdict(kube, "new") == ("success", "Completed")

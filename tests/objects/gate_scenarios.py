"""Small stories about the gate on a real cluster, each with its end.

A story goes on when what it waits for is there, however often the operator dies meanwhile, and its end stands still.
"""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from cluster_objects import minutely
from kube import Kube

from merp_crds import names

Json = dict[str, Any]
# Name of the run, verdict or state, reason; runs are named as in a final state.
Ending = tuple[str, str, str | None]

# Nothing listens there, so the refusal is at hand at once.
_NO_IMAGE = "127.0.0.1:9/erp/runner:no-such-tag"
_YEARLY = {"schedule": {"cron": "0 0 1 1 *"}}
_SLEEP = {"task": {"func": "sleep_for", "args": [600]}}
# An operator that is killed twenty times, and takes some seconds each time to start, needs that long for what else takes
# one; on a machine that does other things, five times as long.
_SECONDS = 240.0


@dataclass(frozen=True)
class Scenario:
    """`jobs` are the ScheduledJobs, and pools, for an image; `play` is what happens then; `endings` are all its records."""

    name: str
    jobs: Callable[[str], list[Json]]
    play: Callable[[Kube], None]
    endings: frozenset[Ending]


def together(scenarios: list[Scenario]) -> Scenario:
    """All of them at the same time."""

    def play(kube: Kube) -> None:
        with ThreadPoolExecutor(len(scenarios)) as pool:
            # To the end, so that what fails in one of them is told.
            list(pool.map(lambda scenario: scenario.play(kube), scenarios))

    return Scenario(
        "together",
        lambda image: [job for scenario in scenarios for job in scenario.jobs(image)],
        play,
        frozenset().union(*(scenario.endings for scenario in scenarios)),
    )


def _job(image: str, name: str, **spec: Any) -> Json:
    """A ScheduledJob without a schedule, unless `spec` gives it one."""
    body = minutely(image, name, **({"schedule": None} | spec))
    body["spec"] = {field: value for field, value in body["spec"].items() if value is not None}
    return body


def _pool(name: str) -> Json:
    """A pool of one slot."""
    return {"apiVersion": names.API_VERSION, "kind": "JobPool", "metadata": {"name": name}, "spec": {"slots": 1}}


def _ask(kube: Kube, scheduled_job: str, name: str, day: int = 1, **spec: Any) -> None:
    """A JobRun for a day of long ago: no clock wants that, and its name is the same in every story's course."""
    asked = {"scheduledJob": scheduled_job, "dueTime": f"2026-01-{day:02}T00:00:00Z"} | spec
    kube.apply(
        {
            "apiVersion": names.API_VERSION,
            "kind": "JobRun",
            "metadata": {"name": f"{scheduled_job}-{name}"},
            "spec": asked,
        }
    )


def _until_state(kube: Kube, scheduled_job: str, state: str, count: int = 1) -> None:
    def look() -> bool:
        status = (kube.get("scheduledjobs", scheduled_job) or {}).get("status") or {}
        return sum(entry["state"] == state for entry in status.get("active", [])) == count

    kube.until(f"{count} of {scheduled_job} {state}", look, _SECONDS)


def _release(kube: Kube) -> None:
    _ask(kube, "gated", "it")
    _until_state(kube, "gated", "waiting")
    _ask(kube, "source", "it")


def _wait_for_room(kube: Kube) -> None:
    _ask(kube, "keeps", "it")
    _until_state(kube, "keeps", "running")
    _ask(kube, "crowded", "it")
    _until_state(kube, "crowded", "waiting")
    _ask(kube, "spring-tide", "it")


def _replace(kube: Kube) -> None:
    _ask(kube, "latest", "old", 1)
    _until_state(kube, "latest", "running")
    _ask(kube, "latest", "new", 2, args=[0])


def _queue(kube: Kube) -> None:
    _ask(kube, "queue", "long", 1)
    _until_state(kube, "queue", "running")
    _ask(kube, "queue", "next", 2)
    _until_state(kube, "queue", "waiting")
    _ask(kube, "queue", "full", 3)


def _cancel(kube: Kube) -> None:
    _ask(kube, "unwanted", "runs", 1)
    _until_state(kube, "unwanted", "running")
    _ask(kube, "unwanted", "waits", 2)
    _until_state(kube, "unwanted", "waiting")
    by = json.dumps({"by": "ann"})
    asked = [f"{names.ANNOTATION_CANCEL_PREFIX}unwanted-{name}={by}" for name in ("runs", "waits")]
    kube.kubectl("annotate", "scheduledjob", "unwanted", *asked)


SCENARIOS = [
    Scenario(
        "release",
        lambda image: [_job(image, "source"), _job(image, "gated", dependsOn=[{"name": "source"}], **_YEARLY)],
        _release,
        frozenset(
            {("source/source-it", "success", "Completed"), ("gated/gated-it", "success", "Completed")},
        ),
    ),
    Scenario(
        "newly-met",
        lambda image: [_job(image, "spring"), _job(image, "fresh", dependsOn=[{"name": "spring"}])],
        lambda kube: _ask(kube, "spring", "it"),
        frozenset({("spring/spring-it", "success", "Completed"), ("fresh(spring/spring-it)", "success", "Completed")}),
    ),
    Scenario(
        "gate-timeout",
        lambda image: [
            _job(image, "never"),
            _job(image, "late", dependsOn=[{"name": "never"}], dependencyPolicy={"timeoutSeconds": 2}, **_YEARLY),
        ],
        lambda kube: _ask(kube, "late", "it"),
        frozenset({("late/late-it", "skipped", "DependencyTimeout")}),
    ),
    Scenario(
        "pool-timeout",
        lambda image: [
            _pool("narrow"),
            _job(image, "spring-tide"),
            _job(image, "keeps", pool={"name": "narrow"}, **_SLEEP),
            _job(
                image,
                "crowded",
                pool={"name": "narrow", "timeoutSeconds": 2},
                dependsOn=[{"name": "spring-tide"}],
                **_YEARLY,
            ),
        ],
        _wait_for_room,
        frozenset(
            {
                ("keeps/keeps-it", "running", None),
                ("spring-tide/spring-tide-it", "success", "Completed"),
                ("crowded/crowded-it", "skipped", "PoolTimeout"),
            }
        ),
    ),
    Scenario(
        "replace",
        lambda image: [_job(image, "latest", concurrencyPolicy="Replace", **_SLEEP)],
        _replace,
        frozenset({("latest/latest-old", "cancelled", "Replaced"), ("latest/latest-new", "success", "Completed")}),
    ),
    Scenario(
        "queue-full",
        lambda image: [_job(image, "queue", concurrencyPolicy="Queue", maxQueued=1, **_SLEEP)],
        _queue,
        frozenset(
            {
                ("queue/queue-long", "running", None),
                ("queue/queue-next", "waiting", None),
                ("queue/queue-full", "skipped", "QueueFull"),
            }
        ),
    ),
    Scenario(
        "cancel",
        lambda image: [_job(image, "unwanted", concurrencyPolicy="Queue", **_SLEEP)],
        _cancel,
        frozenset(
            {
                ("unwanted/unwanted-runs", "cancelled", "CancelledByUser"),
                ("unwanted/unwanted-waits", "cancelled", "CancelledByUser"),
            }
        ),
    ),
    Scenario(
        "pending-timeout",
        lambda image: [_job(_NO_IMAGE, "stuck", pendingTimeoutSeconds=3)],
        lambda kube: _ask(kube, "stuck", "it"),
        frozenset({("stuck/stuck-it", "failed", "ImagePull")}),
    ),
]

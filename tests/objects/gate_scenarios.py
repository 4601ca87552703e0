"""Small stories about the gate."""

import json
from typing import Any, Final

from kube import Kube
from scenarios import SECONDS, SLEEP, YEARLY, Json, Scenario, ask, job, pool, until_state

from merp_crds import names

# Nothing listens there, so the refusal is at hand at once.
_NO_IMAGE: Final = "127.0.0.1:9/erp/runner:no-such-tag"


def _release(kube: Kube) -> None:
    ask(kube, "gated", "it")
    until_state(kube, "gated", "waiting")
    ask(kube, "source", "it")


def _wait_for_room(kube: Kube) -> None:
    ask(kube, "keeps", "it")
    until_state(kube, "keeps", "running")
    ask(kube, "crowded", "it")
    until_state(kube, "crowded", "waiting")
    ask(kube, "spring-tide", "it")


def _replace(kube: Kube) -> None:
    ask(kube, "latest", "old", 1)
    until_state(kube, "latest", "running")
    ask(kube, "latest", "new", 2, args=[0])


def _queue(kube: Kube) -> None:
    ask(kube, "queue", "long", 1)
    until_state(kube, "queue", "running")
    ask(kube, "queue", "next", 2)
    until_state(kube, "queue", "waiting")
    ask(kube, "queue", "full", 3)


def _cancel(kube: Kube) -> None:
    ask(kube, "unwanted", "runs", 1)
    until_state(kube, "unwanted", "running")
    ask(kube, "unwanted", "waits", 2)
    until_state(kube, "unwanted", "waiting")
    by = json.dumps({"by": "ann"})
    asked = [f"{names.ANNOTATION_CANCEL_PREFIX}unwanted-{name}={by}" for name in ("runs", "waits")]
    kube.kubectl("annotate", "scheduledjob", "unwanted", *asked)


def _wait_in_vain(kube: Kube) -> None:
    ask(kube, "stuck", "it")

    def refused() -> bool:
        found = (kube.get("scheduledjobs", "stuck") or {}).get("status") or {}
        return any("ImagePull" in entry.get("message", "") for entry in found.get("active", []))

    kube.until("its image is refused", refused, SECONDS)
    # Not from the beginning: a node that is busy with others may need longer than that to try.
    kube.apply(_stuck(pendingTimeoutSeconds=3))


def _stuck(**spec: Any) -> Json:
    return job(_NO_IMAGE, "stuck", **spec)


SCENARIOS = [
    Scenario(
        "release",
        lambda image: [job(image, "source"), job(image, "gated", dependsOn=[{"name": "source"}], **YEARLY)],
        _release,
        frozenset(
            {("source/source-it", "success", "Completed"), ("gated/gated-it", "success", "Completed")},
        ),
    ),
    Scenario(
        "newly-met",
        lambda image: [job(image, "spring"), job(image, "fresh", dependsOn=[{"name": "spring"}])],
        lambda kube: ask(kube, "spring", "it"),
        frozenset({("spring/spring-it", "success", "Completed"), ("fresh(spring/spring-it)", "success", "Completed")}),
    ),
    Scenario(
        "gate-timeout",
        lambda image: [
            job(image, "never"),
            job(image, "late", dependsOn=[{"name": "never"}], dependencyPolicy={"timeoutSeconds": 2}, **YEARLY),
        ],
        lambda kube: ask(kube, "late", "it"),
        frozenset({("late/late-it", "skipped", "DependencyTimeout")}),
    ),
    Scenario(
        "pool-timeout",
        lambda image: [
            pool("narrow"),
            job(image, "spring-tide"),
            job(image, "keeps", pool={"name": "narrow"}, **SLEEP),
            job(
                image,
                "crowded",
                pool={"name": "narrow", "timeoutSeconds": 2},
                dependsOn=[{"name": "spring-tide"}],
                **YEARLY,
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
        lambda image: [job(image, "latest", concurrencyPolicy="Replace", **SLEEP)],
        _replace,
        frozenset({("latest/latest-old", "cancelled", "Replaced"), ("latest/latest-new", "success", "Completed")}),
    ),
    Scenario(
        "queue-full",
        lambda image: [job(image, "queue", concurrencyPolicy="Queue", maxQueued=1, **SLEEP)],
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
        lambda image: [job(image, "unwanted", concurrencyPolicy="Queue", **SLEEP)],
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
        lambda image: [_stuck()],
        _wait_in_vain,
        frozenset({("stuck/stuck-it", "failed", "ImagePull")}),
    ),
]

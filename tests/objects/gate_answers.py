"""Runs that wait at a gate, written shortly, and what becomes of them in words."""

from typing import Any

from upstream_runs import at

from merp_crds.reasons import Trigger
from merp_crds.scheduledjob import Dependency, DependencyPolicy, Opened
from merp_operator import gate
from merp_operator.gate import Expire, Hold, Open, Waiting
from merp_operator.upstreams import Upstream


def waiting(text: str, trigger: Trigger = Trigger.SCHEDULE, reruns: str = "") -> Waiting:
    """A run named by its due time that waits since then, or since another: `02:10 03:00`."""
    due, *since = text.split()
    return Waiting(f"d@{due}", at(due), at(since[0] if since else due), trigger, reruns)


def told(
    runs: list[Waiting],
    dependencies: list[dict[str, Any]],
    upstreams: list[Upstream],
    now: str,
    *,
    entries: list[Opened] | None = None,
    policy: dict[str, Any] | None = None,
    zone: str = "UTC",
) -> list[str]:
    """The answers in words."""
    found = gate.answers(
        runs,
        [Dependency.model_validate(entry) for entry in dependencies],
        None if policy is None else DependencyPolicy.model_validate(policy),
        zone,
        {upstream.name: upstream for upstream in upstreams},
        entries or [],
        at(now),
    )
    words = []
    for answer in found:
        match answer:
            case Open(run, _, opened_by, sentence):
                words.append(f"{run} open by {', '.join(name for _, name in opened_by) or sentence or 'nothing'}")
            case Hold(run, sentence, until):
                words.append(f"{run} {sentence} until {until:%H:%M}")
            case Expire(run, verdict, reason, sentence):
                words.append(f"{run} {verdict.value}({reason.value}) {sentence}")
    return words

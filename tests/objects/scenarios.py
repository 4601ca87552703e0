"""Small stories on a real cluster, each with its end, and what they are told with.

A story goes on when what it waits for is there, however often the operator dies meanwhile, and its end stands still.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from cluster_objects import minutely
from kube import Kube

from merp_crds import names

Json = dict[str, Any]
# Name of the run, verdict or state, reason; runs are named as in a final state.
Ending = tuple[str, str, str | None]

# Due once a year: in no course of events.
YEARLY: Final = {"schedule": {"cron": "0 0 1 1 *"}}
SLEEP: Final = {"task": {"func": "sleep_for", "args": [3600]}}
# An operator that is killed twenty times, and takes some seconds each time to start, needs that long for what else takes
# one; on a machine that does other things, ten times as long.
SECONDS: Final = 480.0


@dataclass(frozen=True)
class Scenario:
    """`jobs` are the ScheduledJobs, and pools, for an image; `play` is what happens then.

    `endings` are all its records.
    """

    name: str
    jobs: Callable[[str], list[Json]]
    play: Callable[[Kube], None]
    endings: frozenset[Ending]


def together(scenarios: list[Scenario]) -> Scenario:
    """All of them at the same time."""

    def play(kube: Kube) -> None:
        with ThreadPoolExecutor(len(scenarios)) as threads:
            # To the end, so that what fails in one of them is told.
            list(threads.map(lambda scenario: scenario.play(kube), scenarios))

    return Scenario(
        "together",
        lambda image: [item for scenario in scenarios for item in scenario.jobs(image)],
        play,
        frozenset().union(*(scenario.endings for scenario in scenarios)),
    )


def job(image: str, name: str, **spec: Any) -> Json:
    """A ScheduledJob without a schedule, unless `spec` gives it one."""
    body = minutely(image, name, **({"schedule": None} | spec))
    body["spec"] = {field: value for field, value in body["spec"].items() if value is not None}
    return body


def pool(name: str) -> Json:
    """A pool of one slot."""
    return {"apiVersion": names.API_VERSION, "kind": "JobPool", "metadata": {"name": name}, "spec": {"slots": 1}}


def ask(kube: Kube, scheduled_job: str, name: str, day: int = 1, **spec: Any) -> None:
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


def until_state(kube: Kube, scheduled_job: str, state: str, count: int = 1) -> None:
    """Wait until so many runs of a ScheduledJob are waiting or running, as its status says."""

    def look() -> bool:
        status = (kube.get("scheduledjobs", scheduled_job) or {}).get("status") or {}
        return sum(entry["state"] == state for entry in status.get("active", [])) == count

    kube.until(f"{count} of {scheduled_job} {state}", look, SECONDS)

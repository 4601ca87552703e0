"""A backfill whose operator may be killed between any two of its writes, before a cache that may lag behind.

A real cluster cannot be made to stop between two instructions, so what the operator writes to is played here.
"""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from cluster_objects import complete, failed, job_run, scheduled_job
from hypothesis import given, settings
from hypothesis import strategies as st
from played_cluster import Killed

from merp_crds import names
from merp_crds.common import parse_rfc3339, rfc3339
from merp_operator import backfill, observe, outcome
from merp_operator.backfills import Backfills, Look
from merp_operator.cluster import Cluster
from merp_operator.desired import Defaults
from merp_operator.expectations import Expectations
from merp_operator.observe import Observed, Request
from merp_operator.recorder import Recorder, RecordsAway

Json = dict[str, Any]
START = datetime(2026, 11, 24, tzinfo=UTC)
NOW = datetime(2026, 11, 25, 12, 0, 30, tzinfo=UTC)
HOURS = 6
KEY = ("ns", "j")


@dataclass
class World:
    """The cluster, its records, and one operator's process before it. `draw(name)` decides what may go either way."""

    data: st.DataObject
    policy: str
    parallel: int
    jobs: dict[str, Json] = field(default_factory=dict)
    # What the watch has shown so far.
    cache: dict[str, Json] = field(default_factory=dict)
    recorded: set[datetime] = field(default_factory=set)
    made: list[datetime] = field(default_factory=list)
    most_unfinished: int = 0
    request: Json = field(default_factory=dict)
    quiet: bool = False

    def __post_init__(self) -> None:
        end = START + timedelta(hours=HOURS)
        asked = {"start": rfc3339(START), "end": rfc3339(end), "maxParallel": self.parallel}
        self.request = job_run("fill", backfill=asked)
        self.restart()

    def restart(self) -> None:
        """A new process: it knows nothing, and begins with a complete picture."""
        self.cache = dict(self.jobs)
        self.expectations = Expectations(lambda: 0.0)
        self.backfills = Backfills(
            cluster=cast(Cluster, self), recorder=cast(Recorder, self), expectations=self.expectations, write=self.write
        )

    def maybe(self, what: str, one_in: int = 4) -> bool:
        return not self.quiet and self.data.draw(st.integers(1, one_in), label=what) == 1

    def observed(self) -> Observed:
        return observe.observe(
            scheduled_job(concurrencyPolicy=self.policy),
            None,
            [(job, []) for job in self.cache.values()],
            [self.request],
            expected=self.expectations.of(KEY, self.cache),
        )

    # What the operator calls.

    async def create_job(self, job: Json) -> bool:
        if self.maybe("killed before a Job"):
            raise Killed
        name = job["metadata"]["name"]
        if name in self.jobs:
            return False
        shown = job | {
            "metadata": job["metadata"] | {"uid": f"uid-{name}", "creationTimestamp": rfc3339(NOW)},
            "status": {},
        }
        self.jobs[name] = shown
        self.made.append(parse_rfc3339(job["metadata"]["annotations"][names.ANNOTATION_DUE_TIME]))
        unfinished = [entry for entry in self.jobs.values() if not entry["status"]]
        self.most_unfinished = max(self.most_unfinished, len(unfinished))
        if self.maybe("killed after a Job"):
            raise Killed
        return True

    async def job(self, namespace: str, name: str) -> Json | None:
        return self.jobs.get(name)

    async def successes(self, job_id: str, start: datetime, end: datetime) -> set[datetime]:
        if self.maybe("the records are away"):
            raise RecordsAway("away")
        return {moment for moment in self.recorded if start < moment <= end}

    async def write(self, request: Request, status: Json) -> None:
        if self.maybe("killed before the status"):
            raise Killed
        self.request = self.request | {"status": status}
        if self.maybe("killed after the status"):
            raise Killed

    # What happens meanwhile.

    def pass_time(self) -> None:
        for name, job in list(self.jobs.items()):
            if not job["status"] and not self.maybe(f"{name} goes on", 2):
                good = not self.maybe(f"{name} fails")
                self.jobs[name] = job | {"status": complete() if good else failed("BackoffLimitExceeded")}
                if good:
                    self.recorded.add(parse_rfc3339(job["metadata"]["annotations"][names.ANNOTATION_DUE_TIME]))
        held = backfill.held(self.observed())
        for name, job in list(self.jobs.items()):
            if job["status"] and name in self.cache and name not in held and not self.maybe(f"{name} stays"):
                del self.jobs[name]
        for name in {*self.jobs, *self.cache}:
            if not self.maybe(f"{name} is shown late"):
                self.show(name)

    def show(self, name: str) -> None:
        self.cache.pop(name, None)
        if name in self.jobs:
            self.cache[name] = self.jobs[name]

    def look(self) -> None:
        observed = self.observed()
        outcomes = {run.name: outcome.judge(run) for run in observed.runs}
        look = Look(observed, outcomes, None, Defaults(image="x:1", time_zone="UTC"), NOW)
        try:
            asyncio.run(self.backfills.proceed(look))
        except Killed:
            self.restart()

    @property
    def over(self) -> bool:
        return not backfill.is_open(observe.read_request(self.request))


@settings(max_examples=80)
@given(data=st.data(), policy=st.sampled_from(["Forbid", "Allow"]), parallel=st.integers(1, 3))
def test_each_due_time_is_run_once_however_often_the_operator_is_killed(
    data: st.DataObject, policy: str, parallel: int
) -> None:
    world = World(data, policy, parallel)
    done_before = data.draw(st.sets(st.integers(1, HOURS)), label="hours that have succeeded")
    world.recorded = {START + timedelta(hours=hour) for hour in done_before}
    missing = [START + timedelta(hours=hour) for hour in range(1, HOURS + 1) if hour not in done_before]
    for _ in range(40):
        if world.over:
            break
        world.look()
        world.pass_time()
    # From here on nothing goes wrong any more.
    world.quiet = True
    for _ in range(40):
        world.look()
        world.pass_time()
    status = world.request["status"]
    assert world.made == missing
    assert world.most_unfinished <= (parallel if policy == "Allow" else 1)
    assert (status["planned"], status["started"], status["passedOver"]) == (HOURS, len(missing), len(done_before))
    assert status["succeeded"] + status["failed"] == status["finished"] == len(missing)
    good = len(world.recorded) - len(done_before)
    assert status["succeeded"] == good
    assert status["verdict"] == ("success" if good == len(missing) else "failed")

"""The operator's real parts before a played cluster, wired as its process wires them: one ScheduledJob, ns/j.

Nothing happens by itself: a test says what time it is, when the watches catch up, and whose turn it is.
"""

import copy
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, cast

from cluster_objects import scheduled_job
from due_times import at
from played_cluster import KEY, Json, PlayedCluster

from merp_crds import names
from merp_crds.common import rfc3339
from merp_crds.reasons import Verdict
from merp_kube.client import Client
from merp_operator.cluster import Cluster
from merp_operator.desired import Defaults
from merp_operator.expectations import Expectations
from merp_operator.gates import Gates
from merp_operator.jobruns import JobRuns
from merp_operator.log_tails import LogTails
from merp_operator.picture import Pictures
from merp_operator.pools import Pools
from merp_operator.reconcile import Reconciler
from merp_operator.recorder import Recorder
from merp_operator.scheduled_job_statuses import ScheduledJobStatuses
from merp_operator.starter import Starter
from merp_operator.watch import Watch
from merp_records.rows import ExecutionRecord, JobRecord

DEFAULTS = Defaults(image="tasks:1", time_zone="UTC")
MINUTELY = {"cron": "* * * * *"}


class PlayedRecorder:
    """The recorder and its database, which commits at once; while it is `away`, nothing."""

    def __init__(self) -> None:
        self.away = False
        # Every verdict that was handed over, by run: one run must not get two.
        self.verdicts: dict[str, list[str]] = {}
        # As it was last handed over, by id.
        self.handed_over: dict[str, ExecutionRecord] = {}
        # The UIDs of the ScheduledJobs that are told to be gone.
        self.deleted: list[str] = []
        self._committed: dict[str, ExecutionRecord] = {}

    def submit(self, _job: JobRecord | None, executions: Iterable[ExecutionRecord]) -> None:
        for entry in executions:
            self.handed_over[entry.id] = entry
            if entry.end_time is not None:
                known = self.verdicts.setdefault(entry.run_name, [])
                told = f"{Verdict(entry.status).value}({entry.reason})"
                known += [told] if told not in known else []
            if not self.away:
                self._committed[entry.id] = entry

    def is_committed(self, execution_id: str) -> bool:
        known = self._committed.get(execution_id)
        return known is not None and known.end_time is not None

    def has(self, execution: ExecutionRecord) -> bool:
        return self._committed.get(execution.id) == execution

    def remembers(self, execution_id: str) -> bool:
        """Whether it still compares that record."""
        return execution_id in self._committed

    def forget(self, execution_id: str) -> None:
        self._committed.pop(execution_id, None)

    def job_deleted(self, job_id: str, at: datetime) -> None:
        self.deleted += [] if job_id in self.deleted else [job_id]

    def start_process(self) -> None:
        """A new process does not know what the database has."""
        self._committed.clear()


class World:
    """One ScheduledJob, its cluster, its records, and the operator's process."""

    def __init__(self, now: str, *, created: str, **spec: Any) -> None:
        """`created` and `now` are times of the day; `spec` and its annotations are as `scheduled_job` takes them."""
        self.cluster = PlayedCluster(at(now))
        self.recorder = PlayedRecorder()
        # The monotonic clock of the operator's machine.
        self.seconds = 0.0
        body = scheduled_job(**spec)
        body["metadata"]["creationTimestamp"] = rfc3339(at(created))
        self.cluster.put(self.cluster.scheduled_jobs, body)
        self.start_process()

    @property
    def now(self) -> datetime:
        """The API server's time."""
        return self.cluster.now

    @now.setter
    def now(self, moment: datetime) -> None:
        self.cluster.now = moment

    @property
    def status(self) -> Json:
        """The ScheduledJob's status as the API server has it."""
        found: Json = self.cluster.scheduled_jobs[KEY]["status"]
        return found

    @property
    def recent(self) -> list[str]:
        """The verdicts that the status lists, oldest due time first, as `12:00:00 missed(Outage)`."""
        entries = sorted(self.status.get("recent", []), key=lambda entry: entry["dueTime"])
        return [f"{entry['dueTime'][11:19]} {entry['verdict']}({entry['reason']})" for entry in entries]

    def start_process(self) -> None:
        """A new process: it begins with a complete picture of the cluster, and remembers nothing."""
        self.recorder.start_process()
        # When the clock is to look.
        self.planned: list[datetime] = []
        self.watch = Watch(
            cast(Client, None),
            namespace=None,
            changed=lambda *_: None,
            vanished=lambda job, pods: self.reconciler.job_vanished(job, pods),
            pool_changed=lambda *_: None,
        )
        self.expectations = Expectations(lambda: self.seconds)
        self.pictures = Pictures(self.watch, self.expectations, lambda: DEFAULTS)
        parts: dict[str, Any] = {"cluster": cast(Cluster, self.cluster), "watch": self.watch}
        recorder = cast(Recorder, self.recorder)
        job_runs = JobRuns(**parts, recorder=recorder, expectations=self.expectations, clock=lambda: self.now)
        parts |= {"pictures": self.pictures, "defaults": lambda: DEFAULTS, "now": lambda: self.now}
        self.starter = Starter(**parts, expectations=self.expectations)
        pools = Pools(
            cluster=cast(Cluster, self.cluster),
            watch=self.watch,
            expectations=self.expectations,
            look=lambda _: None,
            look_later=lambda *_: None,
            now=lambda: self.now,
            clock=lambda: self.seconds,
        )
        gates = Gates(
            cluster=cast(Cluster, self.cluster),
            pictures=self.pictures,
            expectations=self.expectations,
            pools=pools,
        )
        parts |= {"recorder": recorder, "starter": self.starter, "job_runs": job_runs, "gates": gates}
        self.statuses = ScheduledJobStatuses(
            cluster=cast(Cluster, self.cluster), watch=self.watch, clock=lambda: self.seconds
        )
        parts["statuses"] = self.statuses
        parts["log_tails"] = LogTails(cluster=cast(Cluster, self.cluster), look=lambda _: None)
        self.reconciler = Reconciler(**parts, plan=lambda _, moment: self.planned.append(moment))
        self.show()

    def show(self, *, jobs: bool = True, cron_jobs: bool = True) -> None:
        """The watches catch up with the cluster; those of one kind may lag behind."""
        for item in self.cluster.scheduled_jobs.values():
            self.watch.scheduled_jobs.put(copy.deepcopy(item))
        for item in self.cluster.job_runs.values():
            self.watch.job_runs.put(copy.deepcopy(item))
        kinds = [(self.watch.jobs, self.cluster.jobs)] if jobs else []
        kinds += [(self.watch.cron_jobs, self.cluster.cron_jobs)] if cron_jobs else []
        for reflector, present in kinds:
            for item in list(reflector):
                key = item["metadata"]["namespace"], item["metadata"]["name"]
                if key not in present:
                    reflector._replace(key, None)
            for key, item in present.items():
                reflector._replace(key, copy.deepcopy(item))

    def edit(self, *, annotations: dict[str, str] | None = None, **spec: Any) -> None:
        """Somebody changes the ScheduledJob, and the operator is told of it."""
        body = copy.deepcopy(self.cluster.scheduled_jobs[KEY])
        if annotations is not None:
            body["metadata"]["annotations"] = annotations
        if spec:
            body["spec"] |= spec
            body["metadata"]["generation"] += 1
        self.watch.scheduled_jobs.put(self.cluster.put(self.cluster.scheduled_jobs, body))

    async def look(self, after: float = 1.0) -> float | None:
        """A look of the reconciler, so many seconds after the one before: after one of them a status may be written."""
        self.seconds += after
        self.planned.clear()
        return await self.reconciler.reconcile(KEY)

    async def settle(self, looks: int = 3) -> None:
        """Looks, after each of which the watches catch up."""
        for _ in range(looks):
            await self.look()
            self.show()

    async def clock(self) -> list[str]:
        """What the second clock starts now, as `12:00:00 schedule`."""
        started = []
        for due in self.starter.due(KEY):
            await self.starter.start(due)
            started.append(f"{due.start.due_time:%H:%M:%S} {due.start.trigger.value}")
        return started

    async def run_natively(self, text: str, ended: str | None = None) -> str:
        """The native clock starts a run a second after its due time; the operator sees that, and its success if it has
        one. Returns the run's name."""
        self.now = at(text) + timedelta(seconds=1)
        run = self.cluster.start_natively(at(text))
        self.show()
        await self.settle()
        if ended is not None:
            self.now = at(ended)
            self.cluster.finish(run, self.now)
            self.show()
            await self.settle()
        return run

    def finish_all(self, *but: str) -> None:
        """Every unfinished run but those succeeds now."""
        for _, name in list(self.cluster.jobs):
            if name not in but and not self.cluster.jobs[KEY[0], name]["status"].get("conditions"):
                self.cluster.finish(name, self.now)


def run_at(text: str) -> str:
    """The name of the run of a due time."""
    return names.run_name_for_due_time(KEY[1], at(text))


async def minutely(**spec: Any) -> World:
    """A job of every minute on the native clock, looked at since 11:57:30."""
    world = World("11:57:40", created="11:57:30", schedule=MINUTELY, **spec)
    await world.settle()
    return world


async def hourly() -> World:
    """A job of every hour on a native clock that is away, looked at last at 11:01: what is missed is not caught up."""
    world = World("11:01", created="11:00:30", schedule={"cron": "0 * * * *"}, missed={"policy": "Skip"})
    await world.settle()
    return world

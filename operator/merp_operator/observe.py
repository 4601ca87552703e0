"""Cluster objects, raw JSON, as one immutable picture of a ScheduledJob and all that belongs to it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property, wraps
from types import MappingProxyType
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from merp_crds import names
from merp_crds.common import Model, check_due_time, parse_rfc3339
from merp_crds.jobrun import JobRunSpec
from merp_crds.reasons import Trigger
from merp_crds.schedule import Timetable
from merp_crds.scheduledjob import Schedule, ScheduledJobSpec, ScheduledJobStatus

Json = dict[str, Any]
Spec = TypeVar("Spec", bound=Model)
Found = TypeVar("Found")

# What kubectl writes on a Job that somebody made from a CronJob by hand.
_BY_HAND: Final = "cronjob.kubernetes.io/instantiate"
# Between these a number that somebody chose for the end of a name is taken for a due time, by the runner too.
_LONGEST_WAIT: Final = timedelta(days=366)
_CLOCK_SKEW: Final = timedelta(seconds=60)


# Without slots: what is worked out once is kept in the object.
@dataclass(frozen=True)
class Run:
    """A run: its Job, and the pods of its attempts, oldest first.

    As long as none of them changes it is the same object: it is read and judged once, however many looks see it.
    """

    name: str
    uid: str
    due_time: datetime
    trigger: Trigger
    job: Json
    pods: tuple[Json, ...] = ()
    # By name, what `of_a_run` has worked out.
    known: dict[str, Any] = field(init=False, default_factory=dict, compare=False, repr=False)

    @cached_property
    def finished(self) -> bool:
        """Whether the Job says that it ended."""
        return is_finished(self.job)

    @cached_property
    def waits(self) -> bool:
        """Whether it waits to be let go."""
        return waits(self.job)

    @cached_property
    def began(self) -> datetime:
        """When its Job was made."""
        return parse_rfc3339(self.job["metadata"]["creationTimestamp"])

    @cached_property
    def ended(self) -> datetime | None:
        """When its Job said that it ended."""
        final = condition(self.job, "Complete") or condition(self.job, "Failed")
        return None if final is None else parse_rfc3339(final["lastTransitionTime"])

    def is_of(self, job: Json, pods: list[Json]) -> bool:
        """Whether it was read from these very objects; a change makes others of them."""
        return self.job is job and len(self.pods) == len(pods) and set(map(id, self.pods)) == set(map(id, pods))


def of_a_run(work: Callable[[Run], Found]) -> Callable[[Run], Found]:
    """For a pure function of a run: done once for each, because a run does not change."""

    @wraps(work)
    def once(run: Run) -> Found:
        name = work.__qualname__
        if name not in run.known:
            run.known[name] = work(run)
        found: Found = run.known[name]
        return found

    return once


@dataclass(frozen=True, slots=True)
class Request:
    """A JobRun; `spec` is None where it cannot be read, and `problem` says why."""

    name: str
    uid: str
    created: datetime
    spec: JobRunSpec | None
    problem: str
    body: Json

    @property
    def leaving(self) -> bool:
        """Whether it is deleted, and somebody's finalizer keeps it for a while: it asks for nothing more."""
        return bool(self.body["metadata"].get("deletionTimestamp"))


# Without slots, as above.
@dataclass(frozen=True)
class Observed:
    """Everything that a decision about one ScheduledJob looks at."""

    namespace: str
    name: str
    uid: str
    generation: int
    created: datetime
    body: Json
    spec: ScheduledJobSpec | None
    problem: str
    cron_job: Json | None
    runs: tuple[Run, ...]
    requests: tuple[Request, ...]
    # None where it has no schedule, or `schedule_problem` says what is wrong with it, beginning with the field.
    timetable: Timetable | None = None
    schedule_problem: str = ""
    # Runs that were asked of the API server and that no watch has shown yet: name, and due time if a clock's.
    expected: tuple[tuple[str, datetime | None], ...] = ()
    # What each job of the namespace waits for, where this one waits for any.
    graph: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def owns(self, item: Json) -> bool:
        """Whether an object belongs to this very ScheduledJob, not to one of its name before."""
        return (item["metadata"].get("labels") or {}).get(names.LABEL_SCHEDULED_JOB_UID) == self.uid

    @property
    def own_cron_job(self) -> Json | None:
        """The CronJob, if it is this very ScheduledJob's."""
        return self.cron_job if self.cron_job is not None and self.owns(self.cron_job) else None

    @property
    def annotations(self) -> dict[str, str]:
        """The annotations of the ScheduledJob."""
        return self.body["metadata"].get("annotations") or {}

    @property
    def status(self) -> Json:
        """Its status as last seen."""
        return self.body.get("status") or {}

    @cached_property
    def told(self) -> ScheduledJobStatus:
        """The same as the model has it."""
        return read_status(self.status)

    @property
    def unfinished(self) -> tuple[Run, ...]:
        """The runs that have not ended, oldest first."""
        return tuple(run for run in self.runs if not run.finished)

    @property
    def unfinished_names(self) -> tuple[str, ...]:
        """Their names, and those of the runs that are just being made."""
        seen = {run.name for run in self.runs}
        coming = [name for name, _ in self.expected if name not in seen]
        return (*(run.name for run in self.unfinished), *coming)

    @property
    def expected_due_times(self) -> frozenset[datetime]:
        """The due times of the runs that are just being made."""
        return frozenset(due for _, due in self.expected if due is not None)


def observe(
    body: Json,
    cron_job: Json | None,
    jobs: list[tuple[Json, list[Json]]],
    job_runs: list[Json],
    *,
    timetable: Callable[[Schedule], Timetable] = Timetable.of,
    expected: tuple[tuple[str, datetime | None], ...] = (),
    graph: Callable[[str], Mapping[str, tuple[str, ...]]] = lambda _: {},
    known: Mapping[str, Run] = MappingProxyType({}),
) -> Observed:
    """The picture of a ScheduledJob from its body, its CronJob, its Jobs with their pods, and its JobRuns.

    `timetable` reads a schedule in the installation's zone and with its calendar, and raises ValueError that begins
    with the field. `known` are the runs of a picture before, by UID: those that have not changed are not read again.
    """
    metadata = body["metadata"]
    spec, problem = _read_spec(ScheduledJobSpec, body)
    times, schedule_problem = _read_schedule(spec, timetable)
    uid = metadata["uid"]
    mine = [_run(known, metadata["name"], job, pods) for job, pods in jobs if belongs(job, uid)]
    return Observed(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=uid,
        generation=metadata.get("generation", 0),
        created=parse_rfc3339(metadata["creationTimestamp"]),
        body=body,
        spec=spec,
        problem=problem,
        cron_job=cron_job,
        runs=tuple(sorted(mine, key=lambda run: (run.due_time, run.name))),
        requests=tuple(sorted(map(read_request, job_runs), key=lambda request: (request.created, request.name))),
        timetable=times,
        schedule_problem=schedule_problem,
        expected=expected,
        graph=graph(metadata["namespace"]) if spec is not None and spec.depends_on else {},
    )


def _run(known: Mapping[str, Run], scheduled_job: str, job: Json, pods: list[Json]) -> Run:
    seen = known.get(job["metadata"]["uid"])
    return seen if seen is not None and seen.is_of(job, pods) else read_run(scheduled_job, job, pods)


def read_status(body: Json) -> ScheduledJobStatus:
    """A ScheduledJob's status as the model has it."""
    try:
        return ScheduledJobStatus.model_validate(body)
    except ValidationError:
        # Written by a version that knew other words: what can be seen in the cluster is computed anew.
        return ScheduledJobStatus()


def read_run(scheduled_job: str, job: Json, pods: list[Json]) -> Run:
    """A Job of a ScheduledJob as a run."""
    metadata = job["metadata"]
    return Run(
        name=metadata["name"],
        uid=metadata["uid"],
        due_time=_due_time(scheduled_job, job),
        trigger=trigger(job),
        job=job,
        pods=tuple(sorted(pods, key=lambda pod: (pod["metadata"]["creationTimestamp"], pod["metadata"]["name"]))),
    )


def owner_name(item: Json) -> str | None:
    """The ScheduledJob that a Job, a Pod or a CronJob says it belongs to."""
    name: str | None = (item["metadata"].get("labels") or {}).get(names.LABEL_SCHEDULED_JOB)
    return name


def condition(item: Json, kind: str) -> Json | None:
    """The condition of that type if it is True."""
    for entry in (item.get("status") or {}).get("conditions") or []:
        if entry["type"] == kind and entry["status"] == "True":
            return dict(entry)
    return None


def is_finished(job: Json) -> bool:
    """Whether a Job says that it ended."""
    return condition(job, "Complete") is not None or condition(job, "Failed") is not None


def waits(job: Json) -> bool:
    """Whether a Job was made suspended and not let go yet. One that has started was suspended later, by hand: whoever
    did so has it go on."""
    return bool(job["spec"].get("suspend")) and not (job.get("status") or {}).get("startTime")


def belongs(job: Json, uid: str) -> bool:
    """Whether a Job is of the ScheduledJob with that UID: one made again under an old name does not inherit the runs of
    the one before."""
    return (job["metadata"].get("labels") or {}).get(names.LABEL_SCHEDULED_JOB_UID) == uid


def _read_spec(model: type[Spec], body: Json) -> tuple[Spec | None, str]:
    """The spec, or None and what is wrong with it: one field after the other, as the user wrote it."""
    try:
        return model.model_validate(body.get("spec") or {}), ""
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, entry['loc']))}: {entry['msg']}" for entry in error.errors()]
        return None, "; ".join(problems)


def _read_schedule(
    spec: ScheduledJobSpec | None, timetable: Callable[[Schedule], Timetable]
) -> tuple[Timetable | None, str]:
    if spec is None or spec.schedule is None:
        return None, ""
    try:
        return timetable(spec.schedule), ""
    except ValueError as error:
        return None, str(error)


def read_request(body: Json) -> Request:
    """A JobRun as a request."""
    metadata = body["metadata"]
    spec, problem = _read_spec(JobRunSpec, body)
    return Request(metadata["name"], metadata["uid"], parse_rfc3339(metadata["creationTimestamp"]), spec, problem, body)


def _due_time(scheduled_job: str, job: Json) -> datetime:
    metadata = job["metadata"]
    annotations = metadata.get("annotations") or {}
    named = names.due_time_from_run_name(scheduled_job, metadata["name"])
    if _BY_HAND in annotations:
        # `j-2` is not of the year 1970, nor `j-20261201` of 2008.
        created = parse_rfc3339(metadata["creationTimestamp"])
        is_time = named is not None and created - _LONGEST_WAIT <= named <= created + _CLOCK_SKEW
        return named if named is not None and is_time else created
    written = annotations.get(names.ANNOTATION_DUE_TIME) or annotations.get(names.ANNOTATION_CRONJOB_TIME)
    told = _moment(written) if written else None
    return told or named or parse_rfc3339(metadata["creationTimestamp"])


def _moment(text: str) -> datetime | None:
    try:
        return check_due_time(parse_rfc3339(text))
    except ValueError:
        # Whoever may patch Jobs can write anything there.
        return None


def trigger(job: Json) -> Trigger:
    """What a Job was made by."""
    metadata = job["metadata"]
    if _BY_HAND in (metadata.get("annotations") or {}):
        return Trigger.MANUAL
    label = (metadata.get("labels") or {}).get(names.LABEL_TRIGGER)
    return Trigger(label) if label in list(Trigger) else Trigger.MANUAL

"""Which runs have room in a pool, and whose turn it is next. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from pydantic import ValidationError

from merp_crds import names
from merp_crds.common import Condition
from merp_crds.jobpool import LISTED_WAITING, Admitted, JobPoolSpec, JobPoolStatus, PlaceEntry
from merp_crds.reasons import ConditionReason, ConditionType
from merp_crds.scheduledjob import MAX_SLOTS, Priority, ScheduledJobSpec
from merp_operator import template
from merp_operator.observe import Json

_RANKS: Final = {Priority.HIGH: 0, Priority.NORMAL: 1, Priority.LOW: 2}
# What a status may list; more than that only where a pool was put on jobs that run already.
_MOST_LISTED: Final = 2 * MAX_SLOTS
_NAMED: Final = 3


@dataclass(frozen=True, slots=True)
class Candidate:
    """A run that would go on if it had room; `uid` is its Job's."""

    run: str
    uid: str
    scheduled_job: str
    priority: Priority
    due_time: datetime
    slots: int


@dataclass(frozen=True, slots=True)
class Decision:
    """Who has room, and who waits, in the order of turns; `too_large` ask for more than there is."""

    admitted: tuple[Admitted, ...] = ()
    waiting: tuple[Candidate, ...] = ()
    too_large: tuple[Candidate, ...] = ()

    @property
    def used(self) -> int:
        """The slots that are taken."""
        return sum(entry.slots for entry in self.admitted)


def priority(job: Json, spec: ScheduledJobSpec) -> Priority:
    """The priority that a run was made with: what is written on it, else what its PriorityClass says."""
    written = (job["metadata"].get("annotations") or {}).get(names.ANNOTATION_PRIORITY)
    if written in list(Priority):
        return Priority(written)
    name = job["spec"]["template"]["spec"].get("priorityClassName")
    known = {value: key for key, value in template.PRIORITY_CLASSES.items()}
    # It was made before its job named a pool. Another class stands beside the priority, so only the job can say it.
    other = spec.priority_class_name is not None and name == spec.priority_class_name
    return spec.priority if other else known.get(name, Priority.NORMAL)


def decide(
    slots: int, before: Sequence[Admitted], taking: Mapping[str, Admitted], candidates: Iterable[Candidate]
) -> Decision:
    """Who has room now.

    `taking` are the unfinished runs that were let go, by UID, whether or not anybody gave them room. Room that was
    given stays given for as long as the run takes it, or is still about to: never is a run ended for another. The rest
    goes to the highest priority, then to the oldest due time, and nobody passes one that waits for more.
    """
    wanted = sorted(candidates, key=lambda entry: (_RANKS[entry.priority], entry.due_time, entry.run))
    about_to = {entry.uid for entry in wanted}
    kept = [entry for entry in before if entry.uid in taking or entry.uid in about_to]
    known = {entry.uid for entry in kept}
    admitted = [*kept, *(entry for uid, entry in sorted(taking.items()) if uid not in known)]
    known |= taking.keys()
    waiting: list[Candidate] = []
    too_large: list[Candidate] = []
    free = slots - sum(entry.slots for entry in admitted)
    for entry in wanted:
        if entry.uid in known:
            continue
        if entry.slots > slots:
            too_large.append(entry)
        elif waiting or entry.slots > free:
            waiting.append(entry)
        else:
            free -= entry.slots
            admitted.append(
                Admitted(run=entry.run, uid=entry.uid, scheduled_job=entry.scheduled_job, slots=entry.slots)
            )
    return Decision(tuple(admitted), tuple(waiting), tuple(too_large))


def read_spec(body: Json) -> JobPoolSpec | None:
    """What a JobPool asks for; None where it cannot be read, which its schema does not let in."""
    try:
        return JobPoolSpec.model_validate(body.get("spec") or {})
    except ValidationError:
        return None


def read_status(body: Json) -> JobPoolStatus:
    """What its status says."""
    try:
        return JobPoolStatus.model_validate(body.get("status") or {})
    except ValidationError:
        # Written by a version that knew other words: who takes room is seen in the cluster.
        return JobPoolStatus()


def status(body: Json, decision: Decision, now: datetime) -> Json:
    """Its status as JSON: the same input gives the same output, so that a second pass has nothing to write."""
    generation = body["metadata"].get("generation", 0)
    found = JobPoolStatus(
        observed_generation=generation,
        conditions=[_ready(body, decision, generation, now)],
        used=decision.used,
        admitted=list(decision.admitted[:_MOST_LISTED]),
        waiting=[_place(entry) for entry in decision.waiting[:LISTED_WAITING]],
        waiting_count=len(decision.waiting),
    )
    return {key: value for key, value in found.as_json().items() if value != []}


def sentence(name: str, slots: int, asked: int, place: tuple[int, int] | None) -> str:
    """What a run waits for that asks for `asked` slots of a pool of that many; `place` is its turn, if it has one."""
    if asked > slots:
        return f"waiting for {asked} slots of pool {name}, which has {slots}"
    told = f"waiting for {asked} {'slot' if asked == 1 else 'slots'} of pool {name}"
    return told if place is None else f"{told}: place {place[0]} of {place[1]}"


def trouble(name: str, slots: int | None, asked: int) -> tuple[ConditionReason, str] | None:
    """Why no run of a job that asks for `asked` slots can ever have room; `slots` is None where there is no pool."""
    if slots is None:
        return ConditionReason.POOL_NOT_FOUND, f"pool: there is no JobPool {name}: create it, or name another"
    if asked > slots:
        text = f"pool.slots: {asked} are more than the {slots} of JobPool {name}: ask for fewer, or make it larger"
        return ConditionReason.POOL_TOO_SMALL, text
    return None


def _place(entry: Candidate) -> PlaceEntry:
    return PlaceEntry(
        run=entry.run,
        scheduled_job=entry.scheduled_job,
        priority=entry.priority,
        due_time=entry.due_time,
        slots=entry.slots,
    )


def _ready(body: Json, decision: Decision, generation: int, now: datetime) -> Condition:
    known = next(
        (entry for entry in read_status(body).conditions if entry.type == ConditionType.READY.value),
        None,
    )
    slots = body["spec"]["slots"]
    large = decision.too_large
    text = "runs are admitted by priority, then by due time"
    if large:
        told = ", ".join(f"{entry.run} ({entry.slots})" for entry in large[:_NAMED])
        more = f" and {len(large) - _NAMED} more" if len(large) > _NAMED else ""
        text = f"spec.slots: {slots} is less than what these ask for, so they wait for good: {told}{more}"
    truth: Literal["True", "False"] = "False" if large else "True"
    unchanged = known is not None and known.status == truth
    return Condition(
        type=ConditionType.READY.value,
        status=truth,
        reason=(ConditionReason.POOL_TOO_SMALL if large else ConditionReason.VALID).value,
        message=text,
        last_transition_time=known.last_transition_time if known is not None and unchanged else now,
        observed_generation=generation,
    )

"""Which runs have room in a pool, and whose turn it is next. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Literal

from pydantic import ValidationError

from merp_crds import names
from merp_crds.common import Condition, parse_rfc3339, rfc3339
from merp_crds.jobpool import LISTED_WAITING, Admitted, JobPoolSpec, JobPoolStatus, PlaceEntry
from merp_crds.reasons import ConditionReason, ConditionType, Reason, Verdict
from merp_crds.scheduledjob import MAX_SLOTS, OnPoolTimeout, PoolReference, Priority, ScheduledJobSpec
from merp_operator import template, waits
from merp_operator.gate import Expire
from merp_operator.observe import Json, Run

_RANKS: Final = {Priority.HIGH: 0, Priority.NORMAL: 1, Priority.LOW: 2}
# What a status may list; more than that only where a pool was put on jobs that run already.
_MOST_LISTED: Final = 2 * MAX_SLOTS
_NAMED: Final = 3


@dataclass(frozen=True, slots=True)
class Ready:
    """A run that waits for nothing but room, since `since`."""

    run: Run
    since: datetime


@dataclass(frozen=True, slots=True)
class Candidate:
    """A run that would go on if it had room; `uid` is its Job's. It waits until `until`, or as long as it takes."""

    run: str
    uid: str
    scheduled_job: str
    priority: Priority
    due_time: datetime
    slots: int
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Expired:
    """A run that had no room in time, and the place in the order of turns that it had: the third of seven."""

    candidate: Candidate
    place: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Decision:
    """Who has room, and who waits, in the order of turns; `too_large` ask for more than there is.

    `expired` have waited too long, and take no turn any more.
    """

    admitted: tuple[Admitted, ...] = ()
    waiting: tuple[Candidate, ...] = ()
    too_large: tuple[Candidate, ...] = ()
    expired: tuple[Expired, ...] = ()

    @property
    def used(self) -> int:
        """The slots that are taken."""
        return sum(entry.slots for entry in self.admitted)


@dataclass(frozen=True, slots=True)
class Room:
    """What a job's look is told of its pool: what each run waits for that has no room, and why none ever will.

    `undecided` are those of them that the pool has not looked at yet: they may have room in a moment. `expired` are
    those that have waited too long; `look_again` is when others will have, where the pool does not ask for a look then.
    """

    waiting: Mapping[str, str] = field(default_factory=dict)
    trouble: tuple[ConditionReason, str] | None = None
    undecided: frozenset[str] = frozenset()
    expired: Mapping[str, Expire] = field(default_factory=dict)
    look_again: datetime | None = None


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


def since(job: Json, found: datetime, now: datetime) -> datetime:
    """Since when a run waits for room: what is found now, or what was found before and is written on it.

    What ended before it may be forgotten by now. What somebody wrote there that is still to come says nothing.
    """
    written = (job["metadata"].get("annotations") or {}).get(names.ANNOTATION_ROOM_SINCE)
    try:
        known = parse_rfc3339(written) if written else found
    except ValueError:
        return found
    return max(known, found) if known <= now else found


def unwritten(ready: Ready) -> datetime | None:
    """Since when a run waits for room, where that is to be written on it: its creation says the same else."""
    written = (ready.run.job["metadata"].get("annotations") or {}).get(names.ANNOTATION_ROOM_SINCE)
    return None if ready.since <= ready.run.began or written == rfc3339(ready.since) else ready.since


def candidate(scheduled_job: str, ready: Ready, spec: ScheduledJobSpec, wanted: PoolReference) -> Candidate:
    """A run as it asks for room of a pool, by the rules of now."""
    seconds = wanted.timeout_seconds
    return Candidate(
        ready.run.name,
        ready.run.uid,
        scheduled_job,
        priority(ready.run.job, spec),
        ready.run.due_time,
        wanted.slots,
        None if seconds is None else ready.since + timedelta(seconds=seconds),
    )


def decide(
    slots: int,
    before: Sequence[Admitted],
    taking: Mapping[str, Admitted],
    candidates: Iterable[Candidate],
    now: datetime,
) -> Decision:
    """Who has room now.

    `taking` are the unfinished runs that were let go, by UID, whether or not anybody gave them room. Room that was
    given stays given for as long as the run takes it, or is still about to: never is a run ended for another. The rest
    goes to the highest priority, then to the oldest due time, and nobody passes one that waits for more. Whoever has
    waited too long goes all the same if it is its turn at this moment, and is passed else.
    """
    wanted = sorted(candidates, key=lambda entry: (_RANKS[entry.priority], entry.due_time, entry.run))
    about_to = {entry.uid for entry in wanted}
    kept = [entry for entry in before if entry.uid in taking or entry.uid in about_to]
    known = {entry.uid for entry in kept}
    admitted = [*kept, *(entry for uid, entry in sorted(taking.items()) if uid not in known)]
    known |= taking.keys()
    # All that have no room, and those of them that have waited too long.
    line: list[Candidate] = []
    late: set[str] = set()
    too_large: list[Candidate] = []
    free = slots - sum(entry.slots for entry in admitted)
    for entry in wanted:
        if entry.uid in known:
            continue
        if entry.slots > slots:
            too_large.append(entry)
        elif len(line) > len(late) or entry.slots > free:
            line.append(entry)
            if entry.until is not None and entry.until <= now:
                late.add(entry.uid)
        else:
            free -= entry.slots
            admitted.append(
                Admitted(run=entry.run, uid=entry.uid, scheduled_job=entry.scheduled_job, slots=entry.slots)
            )
    waiting = tuple(entry for entry in line if entry.uid not in late)
    expired = (Expired(entry, (place, len(line))) for place, entry in enumerate(line, start=1) if entry.uid in late)
    return Decision(tuple(admitted), waiting, tuple(too_large), tuple(expired))


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


def sentence(name: str, slots: int | None, asked: int, place: tuple[int, int] | None) -> str:
    """What a run waits for that asks for `asked` slots of a pool of that many; `place` is its turn, if it has one.

    `slots` is None where there is no pool.
    """
    if slots is None:
        return f"pool {name}, which does not exist"
    if asked > slots:
        return f"{asked} slots of pool {name}, which has {slots}"
    told = f"{asked} {'slot' if asked == 1 else 'slots'} of pool {name}"
    return told if place is None else f"{told}: place {place[0]} of {place[1]}"


def room(
    wanted: PoolReference,
    slots: int | None,
    without: Sequence[Candidate],
    places: Mapping[str, tuple[int, int]],
    expired: Mapping[str, Expired],
    now: datetime,
) -> Room:
    """What the runs of a job are told that have no room in a pool of so many slots; None where there is no pool.

    `places` and `expired` are what the pool's last look found, by UID. Room and time are weighed by the pool alone, so
    that none is ended that is just given room; where it never gives any, by time alone.
    """
    found = trouble(wanted.name, slots, wanted.slots)
    waiting: dict[str, str] = {}
    ends: dict[str, Expire] = {}
    for entry in without:
        late = expired.get(entry.uid)
        if found is None and late is not None and late.candidate == entry:
            ends[entry.run] = _expire(entry.run, wanted, sentence(wanted.name, slots, entry.slots, late.place))
        elif found is not None and entry.until is not None and entry.until <= now:
            ends[entry.run] = _expire(entry.run, wanted, sentence(wanted.name, slots, entry.slots, None))
        else:
            told = sentence(wanted.name, slots, entry.slots, places.get(entry.uid))
            waiting[entry.run] = f"waiting for {told}"
    if found is None:
        undecided = (entry.run for entry in without if entry.run in waiting and entry.uid not in places)
        return Room(waiting, undecided=frozenset(undecided), expired=ends)
    moments = (entry.until for entry in without if entry.run in waiting and entry.until is not None)
    return Room(waiting, found, expired=ends, look_again=min(moments, default=None))


def _expire(run: str, wanted: PoolReference, told: str) -> Expire:
    """How a run ends that had no room in time; `told` is what it waited for."""
    verdict = Verdict.FAILED if wanted.on_timeout is OnPoolTimeout.FAIL else Verdict.SKIPPED
    text = f"waited {waits.span(wanted.timeout_seconds or 0)} for {told}"
    return Expire(run, verdict, Reason.POOL_TIMEOUT, text)


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

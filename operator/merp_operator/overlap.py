"""Which runs of a job that wait may go on, which wait their turn, and which end for another run. Pure.

For jobs whose runs are gated: the operator keeps their overlap policy itself. Every unfinished run counts, waiting ones
and those by hand too.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from merp_crds import names
from merp_crds.reasons import Reason, Trigger, Verdict
from merp_crds.scheduledjob import ConcurrencyPolicy
from merp_operator import requests
from merp_operator.observe import Observed, Run

# Whoever ended so may never have had a Job.
_WITHOUT_JOB: Final = frozenset(
    {Reason.START_REFUSED, Reason.CALENDAR, Reason.NAME_TAKEN, Reason.OUTAGE, Reason.TOO_LATE}
)
_BY_OVERLAP: Final = frozenset({Reason.OVERLAP.value, Reason.QUEUE_FULL.value})


@dataclass(frozen=True, slots=True)
class Unit:
    """A run as overlap sees it.

    `began` is when its Job was made; `released` is whether it was let go; `ended` is None while it is unfinished.
    `ending` is whether somebody has ended it already. `allowed` is whether it was asked to run beside others. `passed`
    is whether overlap itself ended it, so that it stood in nobody's way.
    """

    name: str
    due_time: datetime
    began: datetime
    released: bool = False
    ended: datetime | None = None
    ending: bool = False
    allowed: bool = False
    passed: bool = False


@dataclass(frozen=True, slots=True)
class GoOn:
    """A waiting run may go on to the gate.

    `since` is when its turn came, and `clear` is when the last of those ended that have to end before it starts.
    """

    run: str
    since: datetime
    clear: datetime


@dataclass(frozen=True, slots=True)
class Turn:
    """A waiting run waits its turn."""

    run: str
    sentence: str


@dataclass(frozen=True, slots=True)
class End:
    """A run ends so, for another one."""

    run: str
    verdict: Verdict
    reason: Reason
    sentence: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of the runs that wait.

    `ends` are ended now. `replaces` are running: they are ended when the one in `goes_on` has its dependencies met, and
    it is released when `replacing` is empty, which also names those that are ending already.
    """

    goes_on: tuple[GoOn, ...] = ()
    turns: tuple[Turn, ...] = ()
    ends: tuple[End, ...] = ()
    replaces: tuple[End, ...] = ()
    replacing: tuple[str, ...] = ()


def read(observed: Observed) -> tuple[Unit, ...]:
    """The runs of a job, finished ones too, as overlap sees them."""
    # The annotation stays with the run when its JobRun is deleted.
    asked = (
        request
        for request in observed.requests
        if request.spec is not None and request.spec.concurrency_policy is ConcurrencyPolicy.ALLOW
    )
    allowed = {name for made in requests.made_by_each(observed, asked).values() for name, _ in made}
    return tuple(_unit(run, run.name in allowed) for run in observed.runs)


def last_end(observed: Observed) -> datetime | None:
    """When the last run ended whose Job is gone, as far as the status remembers."""
    before, seen = observed.told, {run.name for run in observed.runs}
    return max(
        (
            entry.end_time
            for entry in (*before.recent, *before.newest.values())
            if entry.run not in seen and entry.reason.value not in _BY_OVERLAP and entry.reason not in _WITHOUT_JOB
        ),
        default=None,
    )


def _unit(run: Run, asked: bool) -> Unit:
    annotations = run.job["metadata"].get("annotations") or {}
    written = annotations.get(names.ANNOTATION_ENDED)
    return Unit(
        name=run.name,
        due_time=run.due_time,
        began=run.began,
        released=not run.waits,
        ended=run.ended,
        ending=written is not None,
        # A backfill has a policy of its own: maxActive.
        allowed=asked
        or run.trigger is Trigger.BACKFILL
        or annotations.get(names.ANNOTATION_CONCURRENCY) == ConcurrencyPolicy.ALLOW.value,
        passed=_reason(written) in _BY_OVERLAP,
    )


def _reason(written: str | None) -> object:
    try:
        told = json.loads(written or "{}")
    except (ValueError, RecursionError):
        # Whoever may patch Jobs can write anything there.
        return None
    return told.get("reason") if isinstance(told, dict) else None


def decide(
    units: Iterable[Unit], policy: ConcurrencyPolicy, max_queued: int, last_end: datetime | None = None
) -> Decision:
    """What becomes of the waiting ones of all runs of a job.

    `last_end` is when the last of those ended that are not among them any more. The finished ones are looked at too: a
    run that was made while another was unfinished stays the second, also where nobody looked in time.
    """
    # Within a second nobody knows which Job was made first, but one that was let go goes on.
    found = sorted(units, key=lambda unit: (unit.began, not unit.released, unit.due_time, unit.name))
    waiting = [unit for unit in found if unit.ended is None and not unit.released and not unit.ending]
    beside = tuple(_at_once(unit) for unit in waiting if unit.allowed or policy is ConcurrencyPolicy.ALLOW)
    names_beside = {entry.run for entry in beside}
    rest = [unit for unit in waiting if unit.name not in names_beside]
    match policy:
        case ConcurrencyPolicy.FORBID:
            return _forbid(found, rest, beside)
        case ConcurrencyPolicy.QUEUE:
            return _queue(found, rest, beside, max_queued, last_end)
        case ConcurrencyPolicy.REPLACE:
            return _replace(found, rest, beside, last_end)
        case ConcurrencyPolicy.ALLOW:
            return Decision(beside)


def _at_once(unit: Unit) -> GoOn:
    return GoOn(unit.name, unit.began, unit.began)


def _forbid(found: list[Unit], rest: list[Unit], beside: tuple[GoOn, ...]) -> Decision:
    """Whichever was made first goes on; one that was made while another was unfinished is skipped."""
    goes_on, ends = list(beside), []
    mine = {unit.name for unit in rest}
    # What stands in the way of those that were made after it: what ended before one of them is in nobody's way.
    before: list[Unit] = []
    for unit in found:
        if unit.passed:
            continue
        before = [other for other in before if other.ended is None or other.ended > unit.began]
        if unit.name in mine and before:
            sentence = f"{before[0].name} was not finished, and overlap is forbidden"
            ends.append(End(unit.name, Verdict.SKIPPED, Reason.OVERLAP, sentence))
            continue
        if unit.name in mine:
            goes_on.append(_at_once(unit))
        before.append(unit)
    return Decision(tuple(goes_on), ends=tuple(ends))


def _queue(
    found: list[Unit], rest: list[Unit], beside: tuple[GoOn, ...], max_queued: int, last_end: datetime | None
) -> Decision:
    """One at a time, oldest due time first; who has the turn is in the queue no more."""
    queue = sorted(rest, key=lambda unit: (unit.due_time, unit.began, unit.name))
    goes_on = list(beside)
    mine = {unit.name for unit in rest}
    busy = any(unit.ended is None and unit.name not in mine for unit in found)
    if queue and not busy:
        first = queue.pop(0)
        before = [unit.ended for unit in found if unit.ended is not None and not unit.passed]
        since = max([first.began, *before, *([] if last_end is None else [last_end])])
        goes_on.append(GoOn(first.name, since, since))
    kept, full = queue[:max_queued], queue[max_queued:]
    turns = [
        Turn(unit.name, f"waiting its turn: place {place} of {len(kept)}") for place, unit in enumerate(kept, start=1)
    ]
    sentence = f"{len(kept)} runs were waiting already, which is maxQueued"
    ends = [End(unit.name, Verdict.SKIPPED, Reason.QUEUE_FULL, sentence) for unit in full]
    return Decision(tuple(goes_on), tuple(turns), tuple(ends))


def _replace(found: list[Unit], rest: list[Unit], beside: tuple[GoOn, ...], last_end: datetime | None) -> Decision:
    """The one that was made last takes the place of all that were made before it."""
    # One that was asked to run beside others replaces none. The last one may be running already, or be over.
    last = next((unit for unit in reversed(found) if not (unit.allowed or unit.passed)), None)
    if not rest or last is None:
        return Decision(beside)
    message = f"replaced by {last.name}"

    def end(unit: Unit) -> End:
        return End(unit.name, Verdict.CANCELLED, Reason.REPLACED, message)

    ends = tuple(end(unit) for unit in rest if unit != last)
    if last not in rest:
        return Decision(beside, ends=ends)
    earlier = found[: found.index(last)]
    running = [unit for unit in earlier if unit.ended is None and (unit.released or unit.ending)]
    before = [unit.ended for unit in earlier if unit.ended is not None and not unit.passed]
    clear = max([last.began, *before, *([] if last_end is None else [last_end])])
    return Decision(
        (*beside, GoOn(last.name, last.began, clear)),
        ends=ends,
        replaces=tuple(end(unit) for unit in running if not unit.ending),
        replacing=tuple(unit.name for unit in running),
    )

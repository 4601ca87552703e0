"""A ScheduledJob's status, as a pure function of what it was, what exists, and now."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

from merp_crds import names, schedule
from merp_crds.common import Condition, parse_rfc3339, rfc3339
from merp_crds.reasons import ConditionReason, ConditionType, Reason, RunState, Trigger, Verdict
from merp_crds.schedule import Timetable
from merp_crds.scheduledjob import (
    MAX_LISTED_RUNS,
    RECENT_VERDICTS,
    RunEntry,
    ScheduledJobStatus,
    Unrecorded,
    VerdictEntry,
)
from merp_crds.zones import find_zone
from merp_operator import desired, pause, zonerules
from merp_operator.accounting import STARTING_DEADLINE, Decision
from merp_operator.definition import Problem
from merp_operator.endings import explain, merged
from merp_operator.gate import Look
from merp_operator.observe import Json, Observed, Run, of_a_run
from merp_operator.outcome import Outcome, judge
from merp_operator.situation import BY_CLOCK

# Status texts are for a table and a dialog; the record holds the whole of it.
_MESSAGE_LENGTH: Final = 1024


_Truth = Literal["True", "False", "Unknown"]
_Wanted = tuple[ConditionType, _Truth, str, str]


@dataclass(frozen=True, slots=True)
class Judged:
    """A run and what became of it."""

    run: Run
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Told:
    """What a look found beside the runs that exist.

    `verdicts` are those of requests that never became a run and of runs whose Jobs are gone; `committed` are the
    entries of `unrecorded` that the database has; `refused` is why a due run could not be made.
    """

    verdicts: tuple[VerdictEntry, ...] = ()
    decision: Decision | None = None
    committed: frozenset[Unrecorded] = frozenset()
    refused: str = ""
    gate: Look = field(default_factory=Look)


def compute(
    observed: Observed,
    judged: Iterable[Judged],
    problem: Problem | None,
    defaults: desired.Defaults,
    now: datetime,
    told: Told = Told(),
) -> Json:
    """The status as JSON: the same input gives the same output, so that a second pass has nothing to write."""
    before = observed.told
    runs = list(judged)
    decision = told.decision
    recent = _recent(observed, runs, told)
    active = [_active(item, told.gate.waiting) for item in runs if not item.outcome.ended]
    spec = observed.spec
    next_run_time = _next_run_time(observed, problem, decision, now)
    status = ScheduledJobStatus(
        observed_generation=observed.generation,
        conditions=_conditions(
            observed,
            before,
            [
                _ready(problem),
                _paused(observed, now),
                _waiting(active),
                _last_run(recent),
                *_on_schedule(observed, problem, recent, next_run_time, told, now),
            ],
            now,
        ),
        schedule=None if spec is None else schedule.describe(spec.schedule)[:128],
        time_zone=None if spec is None else desired.zone(spec, defaults),
        next_run_time=next_run_time,
        last_schedule_time=_last_schedule_time(observed, before, runs),
        last_success_time=_last_success_time(before, recent),
        active=active[:MAX_LISTED_RUNS],
        active_count=len(active),
        recent=recent[:RECENT_VERDICTS],
        newest=_newest(before, recent),
        opened=list(told.gate.opened),
        unrecorded=_unrecorded(before, decision, told.committed, observed.timetable),
        accounted=told.gate.accounted if decision is None else decision.accounted,
        clock=_clock(observed, defaults, now),
    )
    return _without_empty(status.as_json())


def news(observed: Observed, judged: Iterable[Judged], told: Told) -> list[VerdictEntry]:
    """The verdicts that the status has not told before, oldest first: of many at once it lists the newest alone."""
    listed = observed.told.recent
    names_of = {entry.run for entry in listed}
    # What is older than a full list was on it once.
    oldest = _order(listed[-1]) if len(listed) >= RECENT_VERDICTS else None
    return [
        entry
        for entry in reversed(_recent(observed, judged, told))
        if entry.run not in names_of and (oldest is None or _order(entry) > oldest)
    ]


def _active(item: Judged, waiting: Mapping[str, str]) -> RunEntry:
    outcome = item.outcome
    message = waiting.get(item.run.name) or outcome.message
    return RunEntry(
        run=item.run.name,
        due_time=item.run.due_time,
        trigger=item.run.trigger,
        state=RunState(outcome.status.value),
        since=outcome.start_time,
        message=message[:_MESSAGE_LENGTH] or None,
    )


def _recent(observed: Observed, runs: Iterable[Judged], told: Told) -> list[VerdictEntry]:
    """All verdicts known, newest first: those remembered, those of the Jobs that exist, and the latest refusals."""
    endings = () if told.decision is None else told.decision.endings
    refusals = [*told.verdicts, *(_ending_entry(observed.name, entry) for entry in endings)]
    entries = {entry.run: entry for entry in (*observed.told.recent, *refusals)}
    remembered = {entry.run: entry for entry in observed.told.recent}
    entries |= {
        item.run.name: verdict_of(item.run)
        for item in runs
        if item.outcome.ended and not _knew_more(remembered.get(item.run.name), item)
    }
    return sorted(entries.values(), key=_order, reverse=True)


def _order(entry: VerdictEntry) -> tuple[datetime, str]:
    return entry.end_time, entry.run


@of_a_run
def verdict_of(run: Run) -> VerdictEntry:
    """The verdict of a run that has one."""
    return verdict_entry(run.name, run.due_time, run.trigger, judge(run))


def _knew_more(remembered: VerdictEntry | None, item: Judged) -> bool:
    """Whether a run was judged from its pods before: they are gone now, and what they told with them."""
    if remembered is None or item.run.pods:
        return False
    told = (item.outcome.status, item.outcome.start_time)
    return (remembered.verdict, remembered.start_time) == told


def verdict_entry(run: str, due_time: datetime, trigger: Trigger, outcome: Outcome) -> VerdictEntry:
    """A run's verdict as the status lists it."""
    assert outcome.end_time is not None, "a verdict has an end"
    return VerdictEntry(
        run=run,
        due_time=due_time,
        trigger=trigger,
        verdict=Verdict(outcome.status.value),
        reason=outcome.reason or Reason.UNKNOWN,
        message=outcome.message[:_MESSAGE_LENGTH] or None,
        start_time=outcome.start_time,
        end_time=outcome.end_time,
    )


def _newest(before: ScheduledJobStatus, recent: list[VerdictEntry]) -> dict[str, VerdictEntry]:
    newest = dict(before.newest)
    for entry in reversed(recent):
        known = newest.get(entry.verdict.value)
        if known is None or known.end_time <= entry.end_time:
            newest[entry.verdict.value] = entry
    return dict(sorted(newest.items()))


def _ending_entry(scheduled_job: str, entry: Unrecorded) -> VerdictEntry:
    """A due time without a run, or a range of them, as the status lists it."""
    return VerdictEntry(
        run=names.run_name_for_due_time(scheduled_job, entry.first),
        due_time=entry.first,
        trigger=Trigger.SCHEDULE,
        verdict=entry.verdict,
        reason=entry.reason,
        message=explain(entry),
        end_time=entry.at,
    )


def _unrecorded(
    before: ScheduledJobStatus,
    decision: Decision | None,
    committed: frozenset[Unrecorded],
    timetable: Timetable | None,
) -> list[Unrecorded]:
    """Endings that the database lacks, or that hold back `accounted` because an older due time is open."""
    if decision is None or timetable is None:
        return [entry for entry in before.unrecorded if entry not in committed]
    accounted = decision.accounted
    kept = [entry for entry in before.unrecorded if entry not in committed or not accounted.covers(entry.last)]
    return merged([*kept, *decision.endings], committed, timetable)


def _next_run_time(
    observed: Observed, problem: Problem | None, decision: Decision | None, now: datetime
) -> datetime | None:
    if observed.timetable is None or problem is not None or pause.in_force(observed, now) is not None:
        return None
    # What has its run or its verdict already, by a clock that was ahead, is not started again.
    return observed.timetable.after(now if decision is None else max(now, decision.accounted.until))


def _last_schedule_time(observed: Observed, before: ScheduledJobStatus, runs: list[Judged]) -> datetime | None:
    times = [item.run.due_time for item in runs if item.run.trigger is Trigger.SCHEDULE]
    native = ((observed.own_cron_job or {}).get("status") or {}).get("lastScheduleTime")
    if native:
        times.append(parse_rfc3339(native))
    if before.last_schedule_time is not None:
        times.append(before.last_schedule_time)
    return max(times, default=None)


def _last_success_time(before: ScheduledJobStatus, recent: list[VerdictEntry]) -> datetime | None:
    times = [entry.end_time for entry in recent if entry.verdict is Verdict.SUCCESS]
    if before.last_success_time is not None:
        times.append(before.last_success_time)
    return max(times, default=None)


def _clock(observed: Observed, defaults: desired.Defaults, now: datetime) -> str:
    spec = observed.spec
    if spec is None or spec.schedule is None:
        return "None"
    try:
        return "Operator" if desired.native_clock(spec, defaults, now) is None else "Native"
    except ValueError:
        # What is wrong with the schedule the condition Ready says.
        return "None"


def _conditions(
    observed: Observed, before: ScheduledJobStatus, wanted: Iterable[_Wanted], now: datetime
) -> list[Condition]:
    found = {entry.type: entry for entry in before.conditions}
    shown = []
    for kind, status, reason, message in wanted:
        known = found.get(kind.value)
        changed = known is None or known.status != status
        shown.append(
            Condition(
                type=kind.value,
                status=status,
                reason=reason,
                message=message[:_MESSAGE_LENGTH],
                last_transition_time=now if changed or known is None else known.last_transition_time,
                observed_generation=observed.generation,
            )
        )
    return sorted(shown, key=lambda entry: entry.type)


def _on_schedule(
    observed: Observed,
    problem: Problem | None,
    recent: list[VerdictEntry],
    next_run_time: datetime | None,
    told: Told,
    now: datetime,
) -> list[_Wanted]:
    """Whether what is due is started; nothing for a job that nothing makes due."""
    kind, timetable = ConditionType.ON_SCHEDULE, observed.timetable
    held_up = _held_up(told) or _set_back(observed, told.decision, now)
    if timetable is None:
        return [held_up] if held_up is not None and problem is None else []
    if problem is not None:
        return [(kind, "Unknown", problem.reason.value, "the definition is not good")]
    if pause.in_force(observed, now) is not None:
        return [(kind, "Unknown", ConditionReason.PAUSED.value, "nothing becomes due while it is paused")]
    if held_up is not None:
        return [held_up]
    other_rules = zonerules.difference(observed)
    if other_rules:
        return [(kind, "False", ConditionReason.ZONE_RULES_DIFFER.value, other_rules)]
    unknown = timetable.unknown_from
    if (
        next_run_time is not None
        and unknown is not None
        and next_run_time.astimezone(find_zone(timetable.zone)).date() >= unknown
    ):
        text = f"the calendar knows no days from {unknown}: from there only weekends count; renew it"
        return [(kind, "False", ConditionReason.CALENDAR_UNKNOWN.value, text)]
    newest = max(
        (entry for entry in recent if entry.due_time is not None and entry.trigger in BY_CLOCK),
        key=lambda entry: (entry.due_time, entry.end_time),
        default=None,
    )
    if newest is not None and newest.verdict is Verdict.MISSED:
        return [(kind, "False", ConditionReason.MISSED.value, newest.message or "the last due time was missed")]
    if next_run_time is None:
        return [(kind, "True", ConditionReason.COMPLETED.value, "its last due time has passed")]
    return [(kind, "True", ConditionReason.ON_SCHEDULE.value, "what is due is started")]


def _held_up(told: Told) -> _Wanted | None:
    """What holds up runs, and does not go away by itself."""
    gate = told.gate
    if told.refused:
        return ConditionType.ON_SCHEDULE, "False", ConditionReason.CANNOT_START.value, told.refused
    if gate.troubles:
        text = f"dependsOn: {'; '.join(gate.troubles)}"
        return ConditionType.ON_SCHEDULE, "False", ConditionReason.UPSTREAM_CANNOT_RUN.value, text
    if gate.pool_trouble is not None:
        reason, text = gate.pool_trouble
        return ConditionType.ON_SCHEDULE, "False", reason.value, text
    return None


def _set_back(observed: Observed, decision: Decision | None, now: datetime) -> _Wanted | None:
    """That nothing is started for a while, because the cluster's clock was ahead and is not any more."""
    if decision is None or decision.accounted.until <= now + STARTING_DEADLINE:
        return None
    place, cleared = f"-n {observed.namespace} {observed.name}", '{"status":{"accounted":null}}'
    text = (
        f"all due times up to {rfc3339(decision.accounted.until)} have their verdicts, from when the cluster's clock "
        "was ahead, and none of them is started again; to start them all the same: "
        f"kubectl patch sj {place} --subresource status --type merge -p '{cleared}'"
    )
    return ConditionType.ON_SCHEDULE, "False", ConditionReason.CLOCK_SET_BACK.value, text


def _ready(problem: Problem | None) -> _Wanted:
    if problem is None:
        return ConditionType.READY, "True", ConditionReason.VALID.value, "the definition is good"
    return ConditionType.READY, "False", problem.reason.value, problem.message


def _paused(observed: Observed, now: datetime) -> _Wanted:
    found = pause.in_force(observed, now)
    if found is None:
        return ConditionType.PAUSED, "False", ConditionReason.NOT_PAUSED.value, "runs become due"
    return ConditionType.PAUSED, "True", found.reason.value, found.message


def _waiting(active: list[RunEntry]) -> _Wanted:
    waiting = [entry for entry in active if entry.state is RunState.WAITING]
    if not waiting:
        return ConditionType.WAITING, "False", "NothingWaits", "no run waits"
    first = waiting[0]
    return ConditionType.WAITING, "True", "RunWaits", f"{first.run}: {first.message or 'waiting'}"


def _last_run(recent: list[VerdictEntry]) -> _Wanted:
    kind = ConditionType.LAST_RUN_SUCCEEDED
    # A due time that was skipped says nothing of how the job does when it runs.
    ran = [entry for entry in recent if entry.verdict not in (Verdict.SKIPPED, Verdict.MISSED)]
    if not ran:
        return kind, "Unknown", ConditionReason.NO_RUN_YET.value, "no run has ended yet"
    last = ran[0]
    status: _Truth = "True" if last.verdict is Verdict.SUCCESS else "False"
    return kind, status, last.reason.value, f"{last.run}: {last.message or last.verdict.value}"


def _without_empty(status: Json) -> Json:
    return {key: value for key, value in status.items() if value not in ([], {})}

"""Why a job does not run, or did not: one check after another, in the order in which a run meets them. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from merp_api.checktexts import CHECKS
from merp_api.conditions import condition
from merp_api.diagnosed import diagnosis_view
from merp_api.outlooks import Check, CheckView
from merp_api.pause_notes import pause_note, wants_pause
from merp_api.previews import is_certain
from merp_api.schemas import DiagnosisView
from merp_api.translate import Json
from merp_api.views import invalid, invalid_reason
from merp_crds.common import parse_rfc3339, rfc3339
from merp_crds.diagnoses import condition_diagnosis, diagnosis
from merp_crds.languages import Language
from merp_crds.reasons import ConditionReason, ConditionType, Reason, RunState, Verdict
from merp_crds.schedule import Timetable
from merp_crds.scheduledjob import ConcurrencyPolicy
from merp_crds.texts import texts

# As long as an operator needs at most to start what is due: beyond, it is away or overrun.
OVERDUE: Final = timedelta(seconds=60)
# Of every second there may be one: an hour of them at a time.
_HOUR: Final = timedelta(hours=1)
# How far back a day off is told of: further back a newer due time says more.
_LOOKED_BACK: Final = timedelta(days=7)
_POD_REASONS: Final = frozenset(
    {Reason.IMAGE_PULL, Reason.CONFIG_ERROR, Reason.UNSCHEDULABLE, Reason.INIT_FAILED, Reason.START_REFUSED}
)
_NOT_HELD: Final = texts(
    "nothing holds it up: it runs when it is asked for, or when its dependencies are met",
    "",
    "没有阻碍：手动触发或依赖满足时运行",
    "",
)
_OVERLAP_REASONS: Final = frozenset({Reason.OVERLAP, Reason.QUEUE_FULL})
# Why the operator starts nothing, though it is there.
_NOT_STARTED: Final = frozenset({ConditionReason.CANNOT_START, ConditionReason.CLOCK_SET_BACK})


@dataclass(frozen=True, slots=True)
class Hidden:
    """What the caller may not read, in a sentence: of that nobody can say that it holds the job up."""

    detail: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What was read: the job, its due times (or a sentence why there are none to tell), and its pool.

    `timetable` is None for a job without a schedule. `pool` is None for a job without one, and a sentence where there
    is no such pool.
    """

    job: Json
    timetable: Timetable | Hidden | str | None
    pool: Json | Hidden | str | None


def explain(facts: Facts, now: datetime, language: Language = Language.EN) -> list[CheckView]:
    """Every check, in order; `ok` says whether it lets the job run, and what holds it up is told in the language."""
    found = (
        (Check.DEFINITION, _definition(facts)),
        (Check.OPERATOR, _operator(facts, now)),
        (Check.PAUSED, _paused(facts, now)),
        (Check.SCHEDULE, _schedule(facts, now)),
        (Check.CALENDAR, _calendar(facts, now)),
        (Check.MISSED, _missed(facts)),
        (Check.OVERLAP, _overlap(facts)),
        (Check.DEPENDENCY, _dependency(facts)),
        (Check.POOL, _pool(facts)),
        (Check.WAITING, _waiting(facts)),
        (Check.POD, _pod(facts)),
    )
    return [
        CheckView(check=check, ok=ok, detail=detail, diagnosis=None if ok else _diagnosis(check, facts, language))
        for check, (ok, detail) in found
    ]


def summary(checks: Iterable[CheckView], next_run_time: datetime | None, language: Language = Language.EN) -> str:
    """The first check that does not let it run, in a sentence."""
    chinese = language is Language.ZH
    held = next((check for check in checks if not check.ok), None)
    if held is not None:
        told = held.diagnosis.sentence if chinese and held.diagnosis is not None else ""
        return f"{told}{held.check}: {held.detail}"
    if next_run_time is None:
        return _NOT_HELD.of(language).sentence
    due = next_run_time.isoformat()
    return f"没有阻碍：下次到期时间为 {due}" if chinese else f"nothing holds it up: it is due next at {due}"


def _diagnosis(check: Check, facts: Facts, language: Language) -> DiagnosisView:
    """What the reason means that the operator gave, else what the check itself does."""
    condition_reason, reason = _reasons(check, facts)
    found = condition_diagnosis(condition_reason, language) or diagnosis(reason, language)
    return diagnosis_view(found or CHECKS[check].of(language))


def _reasons(check: Check, facts: Facts) -> tuple[str | None, str | None]:
    """Of a check that is not ok: the reason of the condition, or of the newest verdict, that it goes by."""
    last = _last(facts)
    verdict = None if last is None else str(last["reason"])
    trouble = condition(facts.job, ConditionType.ON_SCHEDULE) or {}
    match check:
        case Check.DEFINITION:
            return (None if invalid(facts.job) is None else invalid_reason(facts.job)), None
        case Check.DEPENDENCY if trouble.get("reason") == ConditionReason.UPSTREAM_CANNOT_RUN:
            return trouble["reason"], None
        case Check.OPERATOR if trouble.get("reason") in _NOT_STARTED:
            return trouble["reason"], None
        case Check.MISSED | Check.POD | Check.DEPENDENCY:
            return None, verdict
        case Check.OVERLAP if verdict in _OVERLAP_REASONS:
            return None, verdict
        case _:
            return None, None


_Answer = tuple[bool, str]


def _definition(facts: Facts) -> _Answer:
    wrong = invalid(facts.job)
    if wrong is not None:
        return False, wrong
    return (False, facts.timetable) if isinstance(facts.timetable, str) else (True, "can be carried out")


def _operator(facts: Facts, now: datetime) -> _Answer:
    status, generation = _status(facts), facts.job["metadata"].get("generation", 0)
    seen = status.get("observedGeneration")
    if seen is None:
        return False, "has not looked at the job yet: is the operator running?"
    if seen < generation:
        return False, f"has seen version {seen} of the definition, and {generation} is the newest: is it running?"
    due = status.get("nextRunTime")
    if due is not None and now - parse_rfc3339(due) > OVERDUE and not wants_pause(facts.job, now):
        return False, f"what was due at {due} is not started: is the operator running?"
    trouble = condition(facts.job, ConditionType.ON_SCHEDULE)
    if trouble is not None and trouble.get("reason") in _NOT_STARTED:
        return False, trouble["message"]
    return True, "is up to date with the job"


def _paused(facts: Facts, now: datetime) -> _Answer:
    if not wants_pause(facts.job, now):
        return True, "is not paused"
    if facts.job["spec"].get("suspend"):
        return False, "its manifest has suspend: true"
    note = pause_note(facts.job["metadata"])
    said = {} if note is None else note.model_dump(exclude_none=True)
    words = (("by", "by"), ("at", "since"), ("until", "until"), ("reason", "because:"))
    told = " ".join(f"{word} {said[key]}" for key, word in words if key in said)
    return False, f"is paused {told}".strip()


def _schedule(facts: Facts, now: datetime) -> _Answer:
    timetable = facts.timetable
    if timetable is None:
        depends = facts.job["spec"].get("dependsOn")
        return True, "its dependencies make it due" if depends else "it runs only when somebody asks for it"
    if isinstance(timetable, Hidden):
        return True, timetable.detail
    if isinstance(timetable, str):
        return False, "its due times are not known"
    coming = timetable.after(now)
    if coming is None:
        return False, "its last due time has passed"
    start = timetable.schedule.start_at
    if start is not None and start > now:
        return False, f"begins at {rfc3339(start)}"
    return True, f"is due next at {rfc3339(coming)}"


def _calendar(facts: Facts, now: datetime) -> _Answer:
    timetable = facts.timetable
    if isinstance(timetable, Hidden):
        return True, timetable.detail
    if not isinstance(timetable, Timetable) or timetable.working_days is None:
        return True, "no calendar that could take a due time away"
    name = timetable.working_days.name
    unknown = f"{name} knows no days from {timetable.unknown_from}: only weekends count; renew it"
    if not is_certain(timetable, now):
        return False, unknown
    begin = max(now - _LOOKED_BACK, parse_rfc3339(facts.job["metadata"]["creationTimestamp"]))
    newest = timetable.newest(begin, now) if begin < now else None
    dropped = _newest_dropped(timetable, newest or begin, now)
    if dropped is not None:
        return False, f"{rfc3339(dropped)} was on a day off of {name}"
    coming = timetable.after(now)
    if coming is not None and not is_certain(timetable, coming):
        return False, unknown
    return True, f"{name} took away none of the newest due times"


def _newest_dropped(timetable: Timetable, start: datetime, end: datetime) -> datetime | None:
    """The newest of the times in (start, end] that the calendar took away."""
    while start < end:
        before = max(start, end - _HOUR)
        found = max(timetable.dropped(before, end), default=None)
        if found is not None:
            return found
        end = before
    return None


def _missed(facts: Facts) -> _Answer:
    last = _last(facts)
    if last is not None and last["verdict"] == Verdict.MISSED:
        return False, _told(last)
    return True, "the last due time was not missed"


def _overlap(facts: Facts) -> _Answer:
    active: list[Json] = _status(facts).get("active") or []
    policy = facts.job["spec"].get("concurrencyPolicy") or ConcurrencyPolicy.FORBID
    last = _last(facts)
    if active and policy == ConcurrencyPolicy.FORBID:
        started = next((entry for entry in active if entry["state"] != RunState.WAITING), None)
        told = f"{(started or active[0])['run']} is unfinished, and the next due time is skipped meanwhile"
        # One that waits has come past the others: what it waits for is told below.
        return started is None, told
    if last is not None and last["reason"] in _OVERLAP_REASONS:
        return False, _told(last)
    return True, "no unfinished run is in the way"


def _dependency(facts: Facts) -> _Answer:
    if not facts.job["spec"].get("dependsOn"):
        return True, "waits for no other job"
    trouble, last = condition(facts.job, ConditionType.ON_SCHEDULE), _last(facts)
    if trouble is not None and trouble.get("reason") == ConditionReason.UPSTREAM_CANNOT_RUN:
        return False, trouble["message"]
    if last is not None and last["reason"] == Reason.GATE_TIMEOUT:
        return False, _told(last)
    return True, "nothing that it depends on is known to be stuck"


def _pool(facts: Facts) -> _Answer:
    pool = facts.pool
    if pool is None:
        return True, "needs no room of a pool"
    if isinstance(pool, Hidden):
        return True, pool.detail
    if isinstance(pool, str):
        return False, pool
    name, slots = pool["metadata"]["name"], pool["spec"]["slots"]
    status: Json = pool.get("status") or {}
    asked = (facts.job["spec"].get("pool") or {}).get("slots") or 1
    if asked > slots:
        return False, f"{asked} slots are asked for, and {name} has {slots}: ask for fewer, or make it larger"
    waiting: list[Json] = status.get("waiting") or []
    for place, entry in enumerate(waiting, start=1):
        if entry["scheduledJob"] == facts.job["metadata"]["name"]:
            used = status.get("used", 0)
            total = status.get("waitingCount", len(waiting))
            return (
                False,
                f"{entry['run']} waits for {name}, place {place} of {total}; {used} of {slots} slots are taken",
            )
    last = _last(facts)
    if last is not None and last["reason"] == Reason.POOL_TIMEOUT:
        return False, _told(last)
    if status.get("waitingCount", 0) > len(waiting):
        return True, f"no run is among the first {len(waiting)} that wait for room in {name}"
    return True, f"no run waits for room in {name}"


def _waiting(facts: Facts) -> _Answer:
    active: list[Json] = _status(facts).get("active") or []
    held = next((entry for entry in active if entry["state"] == RunState.WAITING), None)
    if held is None:
        return True, "no run waits"
    return False, f"{held['run']}: {held.get('message') or 'waiting'}"


def _pod(facts: Facts) -> _Answer:
    last = _last(facts)
    if last is not None and last["reason"] in _POD_REASONS:
        return False, _told(last)
    return True, "the last run's pod could start"


def _status(facts: Facts) -> Json:
    return facts.job.get("status") or {}


def _last(facts: Facts) -> dict[str, Any] | None:
    recent: list[Json] = _status(facts).get("recent") or []
    return recent[0] if recent else None


def _told(entry: Json) -> str:
    due = f" of {entry['dueTime']}" if entry.get("dueTime") else ""
    return f"{entry['run']}{due}: {entry.get('message') or entry['reason']}"

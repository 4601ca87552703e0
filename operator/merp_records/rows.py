"""Records as the operator hands them over, and what a row becomes when a record meets it. No SQL here.

Two rules make recording repeatable in any order and by anybody, also by an operator that was replaced meanwhile:

* A run goes forward only: waiting, running, verdict. The first verdict stays.
* What is known is not forgotten: an empty value never replaces one that is there.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Column, Double, Integer, String, Table, Text

from merp_crds.names import execution_id
from merp_crds.reasons import Reason, RunState, Trigger, Verdict
from merp_records import text
from merp_records.tables import (
    JSON_BYTES,
    TEXT_BYTES,
    Job,
    JobDependency,
    JobExecution,
    JsonText,
    Key,
    UtcDateTime,
    is_key,
    json_text,
)

Row = dict[str, Any]

OPEN_STATES: Final = frozenset(str(state) for state in RunState)
_RANK: Final = {str(RunState.WAITING): 0, str(RunState.RUNNING): 1}
_VERDICT_RANK: Final = 2
# What is said of a range of due times as a whole, and is said anew when it grows.
_OF_A_RANGE: Final = ("count", "due_time_end", "end_time", "reason_params", "error")
_INT_MAX: Final = 2**31 - 1
_BIGINT_MAX: Final = 2**63 - 1
# Lists and objects in each other. Parameters that a run may be given have far fewer; a thousand, and Python neither
# writes nor compares them.
_MAX_DEPTH: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class DependencyRecord:
    """One entry of dependsOn. `window_kind` is sinceLastRun, within or period; `window_value` is its value."""

    depends_on: str
    condition: str
    window_kind: str
    window_value: str | None = None
    latest: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """A ScheduledJob as it is now. `id` is its UID, `name` its displayName (else metadata.name)."""

    id: str
    namespace: str
    resource_name: str
    name: str
    job_type: str
    func: str
    created_at: datetime
    created_by: str = "unknown"
    cron_expression: str | None = None
    interval_seconds: int | None = None
    run_date: datetime | None = None
    time_zone: str | None = None
    args: Sequence[Any] | None = None
    kwargs: Mapping[str, Any] | None = None
    status: str = "active"
    next_run_time: datetime | None = None
    description: str | None = None
    priority: str | None = None
    generation: int = 0
    record_days: int = 365
    dependencies: tuple[DependencyRecord, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionRecord:
    """A run as it is now, or a due time that ended without one.

    `job_id` is the UID of the ScheduledJob; with `run_name` it makes the record's id. `start_time` of what never ran
    is its due time. One record may stand for `count` due times from `due_time` to `due_time_end`.
    """

    job_id: str
    namespace: str
    job_name: str
    run_name: str
    status: RunState | Verdict
    trigger: Trigger
    start_time: datetime
    end_time: datetime | None = None
    due_time: datetime | None = None
    due_time_end: datetime | None = None
    count: int = 1
    reason: Reason | None = None
    reason_params: Mapping[str, Any] | None = None
    result: str | None = None
    error: str | None = None
    attempts: int = 0
    attempt_details: Sequence[Mapping[str, Any]] | None = None
    exit_code: int | None = None
    waited_seconds: float | None = None
    job_uid: str | None = None
    node: str | None = None
    image: str | None = None
    params: Mapping[str, Any] | None = None
    created_by: str | None = None
    opened_by: Sequence[str] | None = None
    log_tail: str | None = None

    @property
    def id(self) -> str:
        """The record's id, which is the same for every attempt to write it."""
        return execution_id(self.job_id, self.run_name)


class BadRecord(ValueError):
    """A record that no row can hold. Names the column; holds no value."""

    def __init__(self, column: str, problem: str) -> None:
        super().__init__(f"{column}: {problem}")
        self.column = column


def job_row(record: JobRecord) -> Row:
    """The row of a ScheduledJob, without the columns that only the database knows. Raises BadRecord."""
    return _row(Job.__table__, record)  # type: ignore[arg-type]  # declarative says FromClause, and makes a Table


def dependency_rows(record: JobRecord) -> list[Row]:
    """The rows of its dependencies, in order. Raises BadRecord."""
    table = JobDependency.__table__
    return [
        {"job_id": record.id, "position": position, **_row(table, dependency)}  # type: ignore[arg-type]  # as above
        for position, dependency in enumerate(record.dependencies)
    ]


def execution_row(record: ExecutionRecord) -> Row:
    """The row of a run. Raises BadRecord."""
    if record.status in OPEN_STATES and record.end_time is not None:
        raise BadRecord("end_time", "a run that is open has no end")
    if record.status not in OPEN_STATES and record.end_time is None:
        raise BadRecord("end_time", "a verdict has a moment")
    if record.result is not None:
        record = replace(record, result=text.strict_result(record.result))
    table = JobExecution.__table__
    return {"id": record.id, **_row(table, record)}  # type: ignore[arg-type]  # as above


def merge_job(old: Row, new: Row) -> Row | None:
    """What the row of a job becomes, or None if nothing changes. A definition never replaces a newer one."""
    if new["generation"] < old["generation"]:
        return None
    merged = {**old, **new}
    if old["deleted_at"] is not None:
        # Records of its last runs may come later than its deletion, and bring the definition with them.
        merged |= {"status": old["status"], "next_run_time": None}
    return None if merged == old else merged


def merge_execution(old: Row, new: Row) -> Row | None:
    """What the row of a run becomes, or None if nothing changes.

    A verdict is followed by no other; the same one again only adds what was unknown, and a longer range of due times
    grows the record (an operator that died between committing and forgetting the range comes again with more).
    """
    before, after = _rank(old), _rank(new)
    if after < before:
        return None
    if before == _VERDICT_RANK:
        if old["status"] != new["status"]:
            return None
        merged = {**_known(new), **_known(old)}
        merged = {name: merged.get(name) for name in old}
        merged["attempt_details"] = _merge_attempts(new["attempt_details"], old["attempt_details"])
        if new["count"] > old["count"]:
            merged |= {name: new[name] for name in _OF_A_RANGE}
    else:
        merged = {**old, **_known(new)}
        merged["attempt_details"] = _merge_attempts(old["attempt_details"], new["attempt_details"])
        merged["attempts"] = max(old["attempts"], new["attempts"])
    return None if merged == old else merged


def _merge_attempts(first: Any, then: Any) -> Any:
    """Both lists, by pod, in the order of the second; what it does not say of one the first does."""
    if not first or not then:
        return then or first
    known = {entry.get("pod"): entry for entry in first}
    merged = [known.pop(entry.get("pod"), {}) | entry for entry in then]
    return [*known.values(), *merged]


def merge_batch(rows: Iterable[Row], merge: Any) -> dict[str, Row]:
    """Rows by id, in the order of ids (two writers that lock in one order do not deadlock), one row an id."""
    merged: dict[str, Row] = {}
    for row in rows:
        before = merged.get(row["id"])
        merged[row["id"]] = row if before is None else (merge(before, row) or before)
    return dict(sorted(merged.items()))


def _rank(row: Row) -> int:
    return _RANK.get(row["status"], _VERDICT_RANK)


def _known(row: Row) -> Row:
    return {name: value for name, value in row.items() if value is not None}


def _row(table: Table, record: Any) -> Row:
    names = [field.name for field in fields(record) if field.name in table.c]
    return {name: _storable(table.c[name], getattr(record, name)) for name in names}


def _storable(column: Column[Any], value: Any) -> Any:
    """The value as the database will give it back. Raises BadRecord."""
    if value is None:
        if not column.nullable:
            raise BadRecord(column.name, "is missing")
        return None
    kind = column.type
    if isinstance(kind, JsonText):
        return _json(column.name, value)
    if isinstance(kind, UtcDateTime):
        return _moment(column.name, value)
    if isinstance(kind, Key):
        return _key(column.name, value, kind.length)
    if isinstance(kind, String):
        return _text(column, value)
    if isinstance(kind, (Integer, Double)) and not isinstance(value, bool):
        return _number(column, value)
    return value


def _number(column: Column[Any], value: float) -> float:
    """Whole numbers as they are, seconds to the millisecond."""
    limit = _INT_MAX if type(column.type) is Integer else _BIGINT_MAX
    # NaN is in no range.
    if not abs(value) <= limit:
        raise BadRecord(column.name, "is out of range")
    return round(value, 3)


def _json(name: str, value: Any) -> Any:
    if not _is_shallow(value, _MAX_DEPTH):
        raise BadRecord(name, f"is nested deeper than {_MAX_DEPTH}")
    try:
        # Once to text and back: tuples are lists in the database, and comparing must not find a difference.
        stored = text.clean(json_text(value))
    except (TypeError, ValueError) as error:
        raise BadRecord(name, "cannot be written as JSON") from error
    if len(stored.encode()) > JSON_BYTES:
        raise BadRecord(name, f"is longer than {JSON_BYTES} bytes of JSON")
    return json.loads(stored)


def _is_shallow(value: Any, depth: int) -> bool:
    if isinstance(value, Mapping):
        value = list(value.values())
    if not isinstance(value, (list, tuple)):
        return True
    return depth > 0 and all(_is_shallow(entry, depth - 1) for entry in value)


def _moment(name: str, value: datetime) -> datetime:
    if value.tzinfo is None:
        raise BadRecord(name, "a moment needs a time zone")
    return value.astimezone(UTC)


def _key(name: str, value: str, length: int) -> str:
    word = str(value.value) if isinstance(value, StrEnum) else value
    if not is_key(word):
        raise BadRecord(name, "must be printable ASCII without spaces")
    if len(word) > length:
        raise BadRecord(name, f"is {len(word)} characters long, at most {length} fit")
    return word


def _text(column: Column[Any], value: str) -> str:
    kind = column.type
    cleaned = text.clean(value)
    cut = column.info.get("cut")
    if isinstance(kind, Text):
        return text.cut_start(cleaned, TEXT_BYTES) if cut == "start" else text.cut_end(cleaned, TEXT_BYTES)
    length = getattr(kind, "length", None) or 0
    if len(cleaned) <= length:
        return cleaned
    if cut == "digest":
        return text.cut_digest(cleaned, length)
    if cut == "end":
        return text.cut_end(cleaned, length)
    raise BadRecord(column.name, f"is {len(cleaned)} characters long, at most {length} fit")

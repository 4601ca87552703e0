"""What records and annotations say against what was declared: who ran without what it waits for, twice, or not at all.

It knows ScheduledJobs that wait by sinceLastRun and require All, and nothing of how the operator decides.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from records_file import rows

from merp_crds import names

Json = dict[str, Any]
# Job and run, of each upstream.
OpenedBy = tuple[tuple[str, str], ...]

_RAN = ("success", "failed", "timeout", "cancelled", "running")


class Record(NamedTuple):
    """A row of job_executions."""

    job: str
    run: str
    due: datetime
    trigger: str
    status: str
    start: datetime
    end: datetime | None
    opened_by: OpenedBy

    @property
    def first(self) -> bool:
        """Whether it ran, and not again."""
        return self.status in _RAN and self.trigger != "retry"


def read_records(database: Path) -> list[Record]:
    """All of an SQLite file."""
    columns = "job_name, run_name, due_time, trigger, status, start_time, end_time, opened_by"
    return [
        Record(
            job, run, _moment(due), trigger, status, _moment(start), None if end is None else _moment(end), _pairs(by)
        )
        for job, run, due, trigger, status, start, end, by in rows(database, f"SELECT {columns} FROM job_executions")
    ]


def problems(
    jobs: Iterable[Json], dues: Sequence[datetime], records: Iterable[Record], visible: Iterable[Json] = ()
) -> list[str]:
    """All that is wrong. `jobs` are the ScheduledJobs as they were applied, `visible` the Jobs that are there."""
    needs = {
        job["metadata"]["name"]: sorted(entry["name"] for entry in job["spec"].get("dependsOn", [])) for job in jobs
    }
    known = {record.run: record for record in records}
    found = [
        f"{record.run} is for {record.due}, which is not due" for record in known.values() if record.due not in dues
    ]
    for name, upstreams in needs.items():
        for due in dues:
            ran = [record for record in known.values() if record.job == name and record.due == due and record.first]
            if len(ran) > 1:
                found.append(f"{name} of {due} ran {len(ran)} times: {sorted(record.run for record in ran)}")
            if not ran and all(_succeeded(known, upstream, due) for upstream in upstreams):
                found.append(f"{name} of {due} is missing")
            found += [problem for record in ran for problem in _without(record, upstreams, known)]
    used = Counter((record.job, *pair) for record in known.values() if record.first for pair in record.opened_by)
    found += [f"{run} of {up} opened {name} {count} times" for (name, up, run), count in used.items() if count > 1]
    return found + _contradictions(known, visible)


def _succeeded(known: Mapping[str, Record], job: str, due: datetime) -> bool:
    """Whether the last run of that due time to end was a success."""
    ended = [
        record
        for record in known.values()
        if (record.job, record.due) == (job, due) and record.status in _RAN and record.end is not None
    ]
    return bool(ended) and max(ended, key=lambda record: (record.end, record.start)).status == "success"


def _without(record: Record, upstreams: list[str], known: Mapping[str, Record]) -> list[str]:
    """What a run lacks of what its job waits for."""
    found = []
    if sorted(upstream for upstream, _ in record.opened_by) != upstreams:
        found.append(f"{record.run} waits for {upstreams} and was opened by {record.opened_by}")
    for upstream, run in record.opened_by:
        opener = known.get(run)
        if opener is None or (opener.job, opener.due) != (upstream, record.due):
            found.append(f"{record.run} of {record.due} was opened by {run}, which is {opener}")
        elif opener.status != "success" or opener.end is None or opener.end > record.start:
            found.append(f"{record.run} began at {record.start}, and {run} ended as {opener.status} at {opener.end}")
    return found


def _contradictions(known: Mapping[str, Record], visible: Iterable[Json]) -> list[str]:
    """Where a Job that is there says something else than its record."""
    found = []
    for job in visible:
        name, annotations = job["metadata"]["name"], job["metadata"].get("annotations") or {}
        told = json.loads(annotations.get(names.ANNOTATION_OPENED_BY) or "[]")
        pairs = tuple((entry["upstream"], entry["run"]) for entry in told)
        record = known.get(name)
        if record is None:
            found.append(f"{name} has no record")
        elif sorted(record.opened_by) != sorted(pairs):
            found.append(f"{name} was opened by {pairs}, and its record says {record.opened_by}")
    return found


def _pairs(text: str | None) -> OpenedBy:
    return tuple((upstream, run) for upstream, _, run in (entry.partition("/") for entry in json.loads(text or "[]")))


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)

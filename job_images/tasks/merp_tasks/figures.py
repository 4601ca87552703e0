"""What the records of a period say about each job. Pure: rows in, figures out."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Final, Literal

Period = Literal["day", "week", "month"]
VERDICTS: Final = ("success", "failed", "timeout", "cancelled", "skipped", "missed")
# What the schedule itself started; a run that somebody asked for cannot be late.
_ON_TIME: Final = frozenset({"schedule", "catch-up", "dependency"})
# What never became a run, or is none yet.
_NOT_STARTED: Final = frozenset({"skipped", "missed", "waiting"})


@dataclass(frozen=True)
class Execution:
    """A row of job_executions; times are UTC. Of a long outage `count` due times, `due` to `due_end`, are one row."""

    job_id: str
    namespace: str
    job_name: str
    display_name: str
    status: str
    trigger: str
    reason: str | None
    due: datetime | None
    start: datetime
    end: datetime | None
    due_end: datetime | None = None
    count: int = 1


@dataclass
class Figures:
    """Of one job. `verdicts` counts due times, `open` those without a verdict yet; `late` and seconds are of runs."""

    namespace: str
    job_name: str
    display_name: str
    verdicts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(VERDICTS, 0))
    open: int = 0
    reruns: int = 0
    late: int = 0
    ran: int = 0
    seconds: float = 0.0
    longest: float = 0.0
    last_failure: datetime | None = None
    last_reason: str = ""

    @property
    def due(self) -> int:
        """How many due times, or runs that somebody asked for."""
        return sum(self.verdicts.values()) + self.open

    @property
    def success_rate(self) -> float | None:
        """Of what should have succeeded; cancelled and skipped ones were decisions. None where nothing should have."""
        wanted = sum(self.verdicts[verdict] for verdict in ("success", "failed", "timeout", "missed"))
        return self.verdicts["success"] / wanted if wanted else None

    @property
    def mean_seconds(self) -> float | None:
        """How long a run took."""
        return self.seconds / self.ran if self.ran else None


def days_of(period: Period, business_date: date) -> tuple[date, date]:
    """The last whole period before the business date: first day, and the day after the last. Weeks begin on Monday."""
    if period == "day":
        return business_date - timedelta(days=1), business_date
    if period == "week":
        end = business_date - timedelta(days=business_date.weekday())
        return end - timedelta(days=7), end
    end = business_date.replace(day=1)
    return (end - timedelta(days=1)).replace(day=1), end


def figures_of(executions: Iterable[Execution], late_seconds: float) -> list[Figures]:
    """Figures by job, by namespace and name. Of several runs of one due time the last that ended counts."""
    jobs: dict[str, Figures] = {}
    runs: dict[tuple[str, datetime], list[Execution]] = {}
    ranges: list[Execution] = []
    for each in executions:
        job = jobs.setdefault(each.job_id, Figures(each.namespace, each.job_name, each.display_name))
        _add_run(job, each, late_seconds)
        if each.due is None:
            _add_verdict(job, [each])
        elif each.due_end is not None:
            ranges.append(each)
        else:
            runs.setdefault((each.job_id, each.due), []).append(each)
    for (job_id, _), of_one_due_time in runs.items():
        _add_verdict(jobs[job_id], of_one_due_time)
    for each in ranges:
        _add_verdict(jobs[each.job_id], [replace(each, count=each.count - _run_since(each, runs))])
    return sorted(jobs.values(), key=lambda job: (job.namespace, job.job_name))


def totals(figures: Sequence[Figures]) -> Figures:
    """The sum over all jobs."""
    total = Figures("", "", "")
    for job in figures:
        for verdict, count in job.verdicts.items():
            total.verdicts[verdict] += count
        total.open += job.open
        total.reruns += job.reruns
        total.late += job.late
        total.ran += job.ran
        total.seconds += job.seconds
        total.longest = max(total.longest, job.longest)
    return total


def _run_since(missed: Execution, runs: Mapping[tuple[str, datetime], object]) -> int:
    """How many due times of a range have a run of their own: a backfill's."""
    assert missed.due is not None
    assert missed.due_end is not None
    return sum(job_id == missed.job_id and missed.due <= due <= missed.due_end for job_id, due in runs)


def _add_run(job: Figures, run: Execution, late_seconds: float) -> None:
    if run.status in _NOT_STARTED:
        return
    if run.trigger in _ON_TIME and run.due is not None and (run.start - run.due).total_seconds() > late_seconds:
        job.late += 1
    if run.end is not None:
        seconds = max(0.0, (run.end - run.start).total_seconds())
        job.ran += 1
        job.seconds += seconds
        job.longest = max(job.longest, seconds)


def _add_verdict(job: Figures, runs: list[Execution]) -> None:
    ended = [run for run in runs if run.end is not None and run.status in VERDICTS]
    job.reruns += len(runs) - 1
    if not ended:
        job.open += 1
        return
    last = max(ended, key=lambda run: run.end or run.start)
    job.verdicts[last.status] += max(0, last.count)
    if last.status in ("failed", "timeout", "missed") and (job.last_failure is None or last.start > job.last_failure):
        job.last_failure, job.last_reason = last.start, last.reason or last.status

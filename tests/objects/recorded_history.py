"""A history as a year of use leaves it, in any size: the same rows each time, written past the rules of recording."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Engine, insert, text

from merp_crds.names import execution_id
from merp_records import stalerollups
from merp_records.tables import Job, JobExecution

END: Final = datetime(2027, 3, 14, 12, 0, tzinfo=UTC)
NAMESPACES: Final = 20
_BATCH: Final = 2_000
# Of a thousand runs; the rest succeed. What is rare is what people look for.
_STATUSES: Final = {7: "failed", 77: "failed", 177: "timeout", 277: "cancelled", 377: "skipped", 477: "missed"}
_TRIGGERS: Final = {11: "manual", 111: "catch-up", 211: "dependency", 311: "retry", 411: "backfill"}
_NEVER_RAN: Final = frozenset({"skipped", "missed"})


@dataclass(frozen=True)
class History:
    """How many records of how many jobs, over how many days up to a moment. The first job has a tenth of all records."""

    records: int
    jobs: int
    days: int
    end: datetime = END
    record_days: int = 365

    def job_id(self, number: int) -> str:
        """The UID of a job."""
        return f"7a1e0000-0000-4000-8000-{number:012d}"

    def namespace(self, number: int) -> str:
        """The namespace of a job."""
        return f"team-{number % NAMESPACES}"

    def write(self, engine: Engine) -> None:
        """Fill an empty database, and mark every day to be rolled up."""
        with engine.begin() as connection:
            connection.execute(insert(Job), [self._job(number) for number in range(self.jobs)])
        batch: list[dict[str, Any]] = []
        for row in self.rows():
            batch.append(row)
            if len(batch) == _BATCH:
                _insert(engine, batch)
                batch = []
        _insert(engine, batch)
        with engine.begin() as connection:
            connection.execute(
                text(
                    "INSERT INTO stale_rollups (job_id, day, token) "
                    "SELECT DISTINCT job_id, DATE(start_time), 'loaded' FROM job_executions"
                )
            )

    def roll_up(self, engine: Engine) -> int:
        """Make the numbers of every marked day. Returns how many there were."""
        with engine.connect() as connection:
            marks = stalerollups.marks(connection)
        for start in range(0, len(marks), 200):
            stalerollups.refresh(engine, marks[start : start + 200], now=self.end)
        return len(marks)

    def rows(self) -> Iterator[dict[str, Any]]:
        """The rows of the executions, oldest first."""
        step = timedelta(days=self.days) / self.records
        for number in range(self.records):
            yield self._execution(number, self.end - timedelta(days=self.days) + number * step)

    def _job(self, number: int) -> dict[str, Any]:
        return {
            "id": self.job_id(number),
            "name": f"库存盘点任务 {number}",
            "job_type": "cron",
            "func": "inventory_check",
            "cron_expression": "*/5 * * * *",
            "created_at": self.end - timedelta(days=self.days),
            "updated_at": self.end,
            "created_by": "anna",
            "namespace": self.namespace(number),
            "resource_name": f"job-{number}",
            "record_days": self.record_days,
        }

    def _execution(self, number: int, start: datetime) -> dict[str, Any]:
        job = 0 if number % 10 == 0 else number % self.jobs
        # A prime apart from the thousand, so that every job has some of each.
        status = _STATUSES.get(number * 7919 // 10 % 1000, "success")
        run = f"job-{job}-{int(start.timestamp() * 1000)}"
        ran = status not in _NEVER_RAN
        error = (
            f"ExitCode: line {number} of 仓库 has no stock ✅ " + "trace " * 40
            if status in ("failed", "timeout")
            else None
        )
        return {
            "id": execution_id(self.job_id(job), run),
            "job_id": self.job_id(job),
            "start_time": start,
            "end_time": start + timedelta(seconds=number % 300 if ran else 0),
            "status": status,
            "result": f'{{"checked":{number},"differences":[]}}' if status == "success" else None,
            "error": error,
            "namespace": self.namespace(job),
            "job_name": f"job-{job}",
            "run_name": run,
            "trigger": _TRIGGERS.get(number * 7907 // 10 % 1000, "schedule"),
            "due_time": start - timedelta(seconds=number % 3 if ran else 0),
            "reason": {"success": "Completed", "failed": "ExitCode"}.get(status),
            "attempts": 1 if ran else 0,
            "exit_code": {"success": 0, "failed": 1}.get(status),
            "node": f"node-{number % 7}" if ran else None,
            "image": "registry.example.com/merp/tasks:1.2.3",
            "params": {"func": "inventory_check", "args": ["all"], "kwargs": {"detailed": True}},
            "recorded_at": start,
        }


def _insert(engine: Engine, rows: list[dict[str, Any]]) -> None:
    if rows:
        with engine.begin() as connection:
            connection.execute(insert(JobExecution), rows)

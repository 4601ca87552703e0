"""The one writer of records: in batches, off the event loop, for as long as it takes.

What is still to record is found by looking at the cluster, so nothing is lost with the process. What is known to be
committed is not sent again.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from merp_operator import metrics
from merp_records import migrations, queries, stalerollups, volumes, writes
from merp_records.dayrollup import bounds
from merp_records.engine import describe, run_in_transaction
from merp_records.rows import ExecutionRecord, JobRecord

# One transaction for what came within this time: a commit costs a disk's flush.
_BATCH_SECONDS: Final = 0.1
# Where something always comes they begin so far from each other: 20 rows cost nearly as much as 80.
_BATCH_DISTANCE: Final = 0.25
_BATCH_SIZE: Final = 200
_PURGE_BATCH: Final = 500
# Seconds. Who waits for the file of SQLite looks for it this seldom, and would miss a shorter pause.
_PURGE_PAUSE: Final = 0.1
# Days whose numbers are made in one transaction.
_ROLLUP_BATCH: Final = 20
# At most so often the numbers of days are made, and they take at most a tenth of the time.
_ROLLUP_SECONDS: Final = 5.0
_ROLLUP_SHARE: Final = 10
_FIRST_DELAY: Final = 0.5
_MAX_DELAY: Final = 30.0
# Whoever waits for an answer is not held up longer, and after one failure nobody asks for so long.
_READ_SECONDS: Final = 5.0

Result = TypeVar("Result")

_log = logging.getLogger(__name__)


class RecordsAway(Exception):
    """The database cannot be read now. The message says why."""


class Recorder:
    """Execution records on their way into the database.

    `committed(job_ids)` is called on the loop with the ScheduledJobs' UIDs whose runs are now safe. `now` is the time
    that says what is old, UTC: a machine's clock that is ahead would delete the history.
    """

    def __init__(
        self,
        engine: Engine,
        committed: Callable[[Iterable[str]], None],
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._engine = engine
        self._on_committed = committed
        self._now = now
        self._jobs: dict[str, JobRecord] = {}
        self._executions: dict[str, ExecutionRecord] = {}
        # What the database has: by id, the record as it was committed.
        self._known_jobs: dict[str, JobRecord] = {}
        self._known: dict[str, ExecutionRecord] = {}
        self._deleted: dict[str, datetime] = {}
        self._wakeup = asyncio.Event()
        # Days may be marked: at the start by the process before.
        self._marked = asyncio.Event()
        self.ready = asyncio.Event()
        # Seconds of purging since writers had a pause for themselves.
        self._purged = 0.0
        # Why the last read failed, and until when (monotonic) that is taken to be so.
        self._away = ("", 0.0)

    def submit(self, job: JobRecord | None, executions: Iterable[ExecutionRecord]) -> None:
        """Remember these. What the database has as it is, is passed over.

        Without `job` the database has theirs already, or is about to.
        """
        news = [entry for entry in executions if not self.has(entry)]
        if not news and (job is None or self._known_jobs.get(job.id) == job):
            return
        if job is not None:
            self._jobs[job.id] = job
        self._executions |= {entry.id: entry for entry in news}
        metrics.RECORDS_PENDING.set(len(self._executions))
        self._wakeup.set()

    def is_committed(self, execution_id: str) -> bool:
        """Whether the database has the verdict of that run."""
        known = self._known.get(execution_id)
        return known is not None and known.end_time is not None

    def has(self, execution: ExecutionRecord) -> bool:
        """Whether the database has that record as it is."""
        known = self._known.get(execution.id)
        # Nearly always it is the very object that was written.
        return known is execution or known == execution

    def forget(self, execution_id: str) -> None:
        """The Job is gone: its record need not be compared again."""
        self._known.pop(execution_id, None)

    def job_deleted(self, job_id: str, at: datetime) -> None:
        """A ScheduledJob is gone; its history stays."""
        self._deleted[job_id] = at
        self._known_jobs.pop(job_id, None)
        # Nobody compares them again.
        self._known = {key: entry for key, entry in self._known.items() if entry.job_id != job_id}
        self._wakeup.set()

    async def open_executions(self) -> list[queries.Execution]:
        """The rows without a verdict, once the database is there."""
        await self.ready.wait()
        return await self._until_done("read open records", self._read_open)

    async def known_jobs(self, namespace: str | None = None) -> set[str]:
        """UIDs of the ScheduledJobs that the database takes for existing, in all namespaces or in one."""
        await self.ready.wait()
        return await self._until_done("read jobs", lambda: self._read_jobs(namespace))

    async def successes(self, job_id: str, start: datetime, end: datetime) -> set[datetime]:
        """The due times in (start, end] for which that job's records have a success. Raises RecordsAway at once."""
        reason, until = self._away
        if time.monotonic() < until:
            raise RecordsAway(reason)
        if not self.ready.is_set():
            raise RecordsAway("the database's schema is not there yet")
        try:
            async with asyncio.timeout(_READ_SECONDS):
                return await asyncio.to_thread(self._read_successes, job_id, start, end)
        except (SQLAlchemyError, TimeoutError) as error:
            reason = "it does not answer" if isinstance(error, TimeoutError) else _cause(error)
            self._away = (reason, time.monotonic() + _READ_SECONDS)
            raise RecordsAway(reason) from error

    async def close(self, execution_ids: list[str]) -> None:
        """Close rows whose Job is gone, as cancelled, but for those whose verdict waits to be written."""

        def work(connection: Connection) -> int:
            moment = self._now()
            # At each try: the first verdict stays, and while the database is away others may have come.
            ids = [key for key in execution_ids if not self._has_verdict_pending(key)]
            return writes.close_open_executions(connection, ids, end_time=moment, now=moment)

        await self._until_done("close records", lambda: run_in_transaction(self._engine, work))
        self._marked.set()

    def _has_verdict_pending(self, execution_id: str) -> bool:
        pending = self._executions.get(execution_id)
        return pending is not None and pending.end_time is not None

    async def purge(self) -> int:
        """Delete records older than their job keeps them. Returns how many."""
        await self.ready.wait()
        now, deleted = self._now(), 0
        for job_id, days in (await self._until_done("read how long records are kept", self._read_retentions)).items():
            # Whole days: the numbers of a day are made from all of its records, or not at all.
            before, _ = bounds((now - timedelta(days=days)).date())
            deleted += await self._in_batches(partial(writes.purge_executions, before=before, job_id=job_id))
        await self._in_batches(partial(writes.purge_jobs, now=now))
        self._marked.set()
        return deleted

    async def _in_batches(self, purge: Callable[..., int]) -> int:
        """Small transactions, and now and then as much time for whoever writes. Returns how many rows went."""
        deleted, count = 0, _PURGE_BATCH
        while count == _PURGE_BATCH:
            began = time.monotonic()
            work = partial(run_in_transaction, self._engine, partial(purge, batch=_PURGE_BATCH))
            count = await self._until_done("purge records", work)
            deleted += count
            self._purged += time.monotonic() - began
            if self._purged >= _PURGE_PAUSE:
                await asyncio.sleep(self._purged)
                self._purged = 0.0
        return deleted

    async def run(self) -> None:
        """Bring the schema up to date, then write until cancelled."""
        self._look_at_volume()
        await self._until_done("migrate the database", lambda: migrations.upgrade(self._engine))
        self.ready.set()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._write_for_ever())
            tasks.create_task(self._roll_up_for_ever())

    def _look_at_volume(self) -> None:
        if self._engine.dialect.name != "sqlite":
            return
        try:
            mounts = volumes.MOUNTS.read_text(errors="replace")
        except OSError:
            # No Linux.
            return
        said = volumes.warning(Path(str(self._engine.url.database)).resolve(), mounts)
        if said:
            _log.warning("%s", said)

    async def _write_for_ever(self) -> None:
        began = -math.inf
        while True:
            await self._wakeup.wait()
            self._wakeup.clear()
            await asyncio.sleep(max(_BATCH_SECONDS, began + _BATCH_DISTANCE - time.monotonic()))
            began = time.monotonic()
            await self._flush()
            while max(len(self._jobs), len(self._executions)) >= _BATCH_SIZE:
                await self._flush()
            if self._jobs or self._executions or self._deleted:
                # What came while that was written is a batch of its own.
                self._wakeup.set()

    async def _roll_up_for_ever(self) -> None:
        while True:
            # Before looking: what is marked from here on is seen now or wakes us again.
            self._marked.clear()
            began = time.monotonic()
            marked = await self._until_done("read what to roll up", self._read_marks)
            for start in range(0, len(marked), _ROLLUP_BATCH):
                batch = marked[start : start + _ROLLUP_BATCH]
                await self._until_done("roll up days", lambda batch=batch: self._roll_up(batch))  # type: ignore[misc]
            # A job that ends something every second changes its day as often.
            await asyncio.sleep(max(_ROLLUP_SECONDS, (_ROLLUP_SHARE - 1) * (time.monotonic() - began)))
            await self._marked.wait()

    async def flush(self, seconds: float) -> None:
        """Before the process ends: write what is there, for at most so long. The next process finds the rest."""
        try:
            async with asyncio.timeout(seconds):
                while self._jobs or self._executions:
                    await self._flush()
        except TimeoutError:
            _log.warning("%d records are left for the next process", len(self._executions))

    async def _flush(self) -> None:
        executions = dict(list(self._executions.items())[:_BATCH_SIZE])
        owners = {entry.job_id for entry in executions.values()}
        jobs = {key: job for key, job in self._jobs.items() if key in owners}
        for key, job in list(self._jobs.items())[:_BATCH_SIZE]:
            jobs.setdefault(key, job)
        jobs |= {key: self._known_jobs[key] for key in owners if key not in jobs and key in self._known_jobs}
        # A job is marked with the last that comes of it: a mark that comes before its row marks nothing.
        left = {entry.job_id for key, entry in self._executions.items() if key not in executions}
        left |= self._jobs.keys() - jobs.keys()
        deleted = {key: moment for key, moment in self._deleted.items() if key not in left}
        result = await self._until_done("write records", lambda: self._write(jobs, executions, deleted))
        self._settle(jobs, executions, deleted, result)

    def _write(
        self, jobs: dict[str, JobRecord], executions: dict[str, ExecutionRecord], deleted: dict[str, datetime]
    ) -> writes.WriteResult:
        now = self._now()
        result = writes.record(self._engine, jobs.values(), executions.values(), now=now)
        for job_id, moment in deleted.items():

            def mark(connection: Connection, job_id: str = job_id, moment: datetime = moment) -> int:
                return writes.mark_jobs_deleted(connection, [job_id], deleted_at=moment, now=now)

            run_in_transaction(self._engine, mark)
        return result

    def _settle(
        self,
        jobs: dict[str, JobRecord],
        executions: dict[str, ExecutionRecord],
        deleted: dict[str, datetime],
        result: writes.WriteResult,
    ) -> None:
        for failure in result.failures:
            _log.error("%s %s cannot be recorded: %s", failure.kind, failure.id, failure.problem)
        for key, job in jobs.items():
            if self._jobs.get(key) is job:
                del self._jobs[key]
            if key in result.jobs and key not in deleted:
                self._known_jobs[key] = job
        for key, entry in executions.items():
            # What came meanwhile is newer, and is written next.
            if self._executions.get(key) is entry:
                del self._executions[key]
            if key in result.executions and entry.job_id not in deleted:
                self._known[key] = entry
        for key, moment in deleted.items():
            if self._deleted.get(key) == moment:
                del self._deleted[key]
        metrics.RECORDS_PENDING.set(len(self._executions))
        self._marked.set()
        self._on_committed({executions[key].job_id for key in result.executions})

    def _read_retentions(self) -> dict[str, int]:
        with self._engine.connect() as connection:
            return queries.retentions(connection)

    def _read_marks(self) -> list[stalerollups.Mark]:
        with self._engine.connect() as connection:
            return stalerollups.marks(connection)

    def _roll_up(self, marked: list[stalerollups.Mark]) -> int:
        return stalerollups.refresh(self._engine, marked, now=self._now())

    def _read_open(self) -> list[queries.Execution]:
        with self._engine.connect() as connection:
            return queries.open_executions(connection)

    def _read_successes(self, job_id: str, start: datetime, end: datetime) -> set[datetime]:
        with self._engine.connect() as connection:
            return queries.successes(connection, job_id, start, end)

    def _read_jobs(self, namespace: str | None) -> set[str]:
        with self._engine.connect() as connection:
            return queries.undeleted_job_ids(connection, namespace)

    async def _until_done(self, what: str, work: Callable[[], Result]) -> Result:
        """Do blocking work off the loop; where the database will not, try again for as long as it takes."""
        delay = _FIRST_DELAY
        failed_at: float | None = None
        told = ""
        while True:
            try:
                result = await asyncio.to_thread(work)
            except (SQLAlchemyError, migrations.SchemaError) as error:
                metrics.DATABASE_UP.set(0)
                failed_at = failed_at or time.monotonic()
                cause = _cause(error)
                # Once for each cause: a database that is back may refuse the password next.
                level = logging.DEBUG if cause == told else logging.ERROR
                told = cause
                _log.log(level, "cannot %s: %s; next try in %.1f s", what, cause, delay)
                await asyncio.sleep(delay)
                delay = min(delay * 2, _MAX_DELAY)
                continue
            metrics.DATABASE_UP.set(1)
            if failed_at is not None:
                _log.info("the database is back after %.0f s", time.monotonic() - failed_at)
            return result


def _cause(error: Exception) -> str:
    return str(error) if isinstance(error, migrations.SchemaError) else describe(error)

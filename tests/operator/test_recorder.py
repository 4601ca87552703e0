"""The one writer of records, on a real SQLite file that is sometimes not there."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from merp_crds.reasons import Reason, RunState, Trigger, Verdict
from merp_operator.recorder import Recorder
from merp_records.engine import create_engine, database_url
from merp_records.migrations import upgrade
from merp_records.rows import ExecutionRecord, JobRecord
from merp_records.writes import record

NOW = datetime.now(UTC).replace(microsecond=0)
JOB = JobRecord(
    id="uid-1",
    namespace="ns",
    resource_name="j",
    name="j",
    job_type="cron",
    func="echo",
    created_at=NOW,
    record_days=30,
)


def execution(run: str = "j-1", *, ended: bool = True, age: timedelta = timedelta()) -> ExecutionRecord:
    start = NOW - age
    return ExecutionRecord(
        job_id=JOB.id,
        namespace="ns",
        job_name="j",
        run_name=run,
        status=Verdict.SUCCESS if ended else RunState.RUNNING,
        trigger=Trigger.SCHEDULE,
        start_time=start,
        end_time=start if ended else None,
        reason=Reason.COMPLETED if ended else None,
        due_time=start,
    )


class Recording:
    """A recorder that runs, and what it said."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.told: list[str] = []
        self.recorder = Recorder(create_engine(database_url(sqlite_path=path)), self._committed)
        self._news = asyncio.Event()

    def _committed(self, job_ids: Iterable[str]) -> None:
        self.told += job_ids
        self._news.set()

    async def next_commit(self) -> None:
        async with asyncio.timeout(20):
            await self._news.wait()
        self._news.clear()

    async def days(self, count: int) -> None:
        """Until so many days have numbers."""
        async with asyncio.timeout(20):
            while self._days() != count:  # noqa: ASYNC110  (a row is no event)
                await asyncio.sleep(0.02)

    def _days(self) -> int:
        try:
            return len(self._select("SELECT day FROM daily_rollups"))
        except sqlite3.OperationalError:
            # Not there yet.
            return 0

    def rows(self, columns: str = "run_name, status") -> list[Any]:
        return self._select(f"SELECT {columns} FROM job_executions ORDER BY run_name")

    def _select(self, query: str) -> list[Any]:
        with sqlite3.connect(self.path) as connection:
            return connection.execute(query).fetchall()


@pytest.fixture
async def recording(tmp_path: Path) -> AsyncIterator[Recording]:
    made = Recording(tmp_path / "later" / "records.db")
    task = asyncio.create_task(made.recorder.run())
    yield made
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_what_is_submitted_is_committed_once_and_then_known(recording: Recording) -> None:
    recording.path.parent.mkdir()
    recording.recorder.submit(JOB, [execution(), execution("j-2", ended=False)])
    await recording.next_commit()
    assert recording.rows() == [("j-1", "success"), ("j-2", "running")]
    assert recording.told == ["uid-1"]
    assert recording.recorder.is_committed(execution().id) is True
    assert recording.recorder.is_committed(execution("j-2", ended=False).id) is False
    recording.recorder.submit(JOB, [execution()])
    recording.recorder.submit(JOB, [execution("j-2")])
    await recording.next_commit()
    assert recording.rows() == [("j-1", "success"), ("j-2", "success")]


async def test_what_comes_one_by_one_is_written_four_times_a_second(recording: Recording) -> None:
    recording.path.parent.mkdir()
    recording.recorder.submit(JOB, [])
    await recording.next_commit()
    assert recording.told == []
    began = time.monotonic()
    for number in range(50):
        recording.recorder.submit(JOB, [execution(f"j-{number}")])
        await asyncio.sleep(0.02)
    while len(recording.rows()) < 50:
        await recording.next_commit()
    assert len(recording.told) <= 4 * (time.monotonic() - began) + 1


async def test_a_backlog_is_written_in_full_batches(recording: Recording) -> None:
    recording.path.parent.mkdir()
    recording.recorder.submit(JOB, [execution(f"j-{number:03}") for number in range(450)])
    for rows in (200, 400, 450):
        await recording.next_commit()
        assert len(recording.rows()) >= rows
    assert recording.told == ["uid-1"] * 3


async def test_a_database_that_is_away_is_waited_for(recording: Recording, caplog: pytest.LogCaptureFixture) -> None:
    told = asyncio.Event()
    caplog.handler.addFilter(lambda record: told.set() or True)
    with caplog.at_level("ERROR"):
        recording.recorder.submit(JOB, [execution()])
        async with asyncio.timeout(20):
            await told.wait()
    assert "cannot migrate the database" in caplog.records[0].getMessage()
    assert recording.told == []
    recording.path.parent.mkdir()
    await recording.next_commit()
    assert recording.rows() == [("j-1", "success")]


async def test_days_are_rolled_up_from_where_the_process_before_left_off(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("merp_operator.recorder._ROLLUP_SECONDS", 0.01)
    before = recording.path.parent.with_name("before")
    before.mkdir()
    engine = create_engine(database_url(sqlite_path=before / recording.path.name))
    upgrade(engine)
    record(engine, [JOB], [execution("j-0", age=timedelta(days=2))], now=NOW)
    engine.dispose()
    before.rename(recording.path.parent)
    await recording.days(1)
    recording.recorder.submit(JOB, [execution()])
    await recording.next_commit()
    await recording.days(2)
    recording.recorder.submit(JOB, [execution("j-2", ended=False, age=timedelta(days=1))])
    await recording.next_commit()
    await recording.recorder.close([execution("j-2").id])
    await recording.days(3)


async def test_rows_of_jobs_that_are_gone_are_closed_and_old_ones_purged(recording: Recording) -> None:
    recording.path.parent.mkdir()
    old = execution("j-0", age=timedelta(days=31))
    recording.recorder.submit(JOB, [old, execution(), execution("j-2", ended=False)])
    await recording.next_commit()
    opened = await recording.recorder.open_executions()
    assert [row.run_name for row in opened] == ["j-2"]
    await recording.recorder.close([row.id for row in opened])
    assert recording.rows("run_name, status, reason")[2] == ("j-2", "cancelled", "JobDeleted")
    assert await recording.recorder.purge() == 1
    assert await recording.recorder.purge() == 0
    assert [row[0] for row in recording.rows()] == ["j-1", "j-2"]
    assert await recording.recorder.known_jobs() == {"uid-1"}

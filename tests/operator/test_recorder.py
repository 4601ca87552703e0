"""The one writer of records, on a real SQLite file that is sometimes not there."""

import asyncio
import logging
import sqlite3
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from merp_crds.reasons import Reason, RunState, Trigger, Verdict
from merp_operator.recorder import Recorder
from merp_records import volumes
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
        async with asyncio.timeout(60):
            await self._news.wait()
        self._news.clear()

    async def days(self, count: int) -> None:
        """Until so many days have numbers."""
        async with asyncio.timeout(60):
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


async def test_a_database_that_is_away_is_waited_for(recording: Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    told: asyncio.Queue[str] = asyncio.Queue()
    log = logging.getLogger("merp_operator.recorder")
    # The tests share the handlers of the root; this logger's own filter sees nobody else's words.
    monkeypatch.setattr(log, "filters", [lambda record: told.put_nowait(record.getMessage()) or True])
    recording.recorder.submit(JOB, [execution()])
    async with asyncio.timeout(60):
        assert "cannot migrate the database" in await told.get()
    assert recording.told == []
    recording.path.parent.mkdir()
    await recording.next_commit()
    assert recording.rows() == [("j-1", "success")]


async def test_a_volume_on_which_sqlite_cannot_lock_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"22 1 8:1 / / rw - ext4 /dev/sda1 rw\n40 22 0:50 / {tmp_path} rw - nfs4 server:/export rw\n")
    monkeypatch.setattr(volumes, "MOUNTS", mounts)
    made = Recording(tmp_path / "records.db")
    task = asyncio.create_task(made.recorder.run())
    async with asyncio.timeout(20):
        await made.recorder.ready.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert [entry.getMessage() for entry in caplog.records if "nfs4, a network file system" in entry.getMessage()]


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


async def test_a_verdict_that_waits_to_be_written_is_not_overtaken_by_the_closing_of_its_row(
    recording: Recording,
) -> None:
    """While the database was away the run ended, and its Job was deleted by hand."""
    path = recording.path
    path.parent.mkdir()
    engine = create_engine(database_url(sqlite_path=path))
    upgrade(engine)
    record(engine, [JOB], [execution(ended=False), execution("j-2", ended=False)], now=NOW)
    engine.dispose()
    recording.recorder.submit(JOB, [execution()])
    await recording.recorder.close([row.id for row in await recording.recorder.open_executions()])
    await recording.next_commit()
    assert recording.rows() == [("j-1", "success"), ("j-2", "cancelled")]


async def test_what_is_handed_over_without_its_job_is_recorded_where_the_database_has_that(
    recording: Recording, caplog: pytest.LogCaptureFixture
) -> None:
    recording.path.parent.mkdir()
    recording.recorder.submit(JOB, [])
    await recording.next_commit()
    recording.recorder.submit(None, [execution(), replace(execution(), job_id="uid-unknown")])
    await recording.next_commit()
    assert recording.rows() == [("j-1", "success")]
    assert "the job of this execution is not recorded" in caplog.text


async def test_jobs_that_are_deleted_before_they_could_be_recorded_are_recorded_as_deleted(
    recording: Recording,
) -> None:
    """More of them than go into one batch: the database was away for longer than their namespace lived."""
    uids = [f"uid-{number}" for number in range(450)]
    for uid in uids:
        recording.recorder.submit(replace(JOB, id=uid), [replace(execution(), job_id=uid)])
        recording.recorder.job_deleted(uid, NOW)
    recording.path.parent.mkdir()
    while len(recording.told) < len(uids):
        await recording.next_commit()
    assert await recording.recorder.known_jobs() == set()
    assert not any(recording.recorder.is_committed(replace(execution(), job_id=uid).id) for uid in uids)


async def test_what_was_recorded_of_a_job_that_is_gone_is_not_kept_for_comparing(recording: Recording) -> None:
    recording.path.parent.mkdir()
    recording.recorder.submit(JOB, [execution()])
    await recording.next_commit()
    assert recording.recorder.has(execution())
    recording.recorder.job_deleted(JOB.id, NOW)
    assert not recording.recorder.has(execution())

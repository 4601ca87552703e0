"""The one question that the operator asks the records: it is answered, or told to be unanswerable, at once."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from merp_crds.reasons import Reason, Trigger, Verdict
from merp_operator.recorder import Recorder, RecordsAway
from merp_records.engine import create_engine, database_url
from merp_records.rows import ExecutionRecord, JobRecord

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
JOB = JobRecord(
    id="uid-1", namespace="ns", resource_name="j", name="j", job_type="cron", func="echo", created_at=NOW
)  # fmt: skip
SUCCESS = ExecutionRecord(
    job_id=JOB.id,
    namespace="ns",
    job_name="j",
    run_name="j-1",
    status=Verdict.SUCCESS,
    trigger=Trigger.SCHEDULE,
    start_time=NOW,
    end_time=NOW,
    due_time=NOW,
    reason=Reason.COMPLETED,
)


def made(path: Path) -> tuple[Recorder, asyncio.Event]:
    committed = asyncio.Event()
    return Recorder(create_engine(database_url(sqlite_path=path)), lambda _: committed.set()), committed


async def test_what_is_committed_is_found(tmp_path: Path) -> None:
    recorder, committed = made(tmp_path / "records.db")
    task = asyncio.create_task(recorder.run())
    recorder.submit(JOB, [SUCCESS])
    async with asyncio.timeout(60):
        await committed.wait()
    assert await recorder.successes(JOB.id, NOW - HOUR, NOW) == {NOW}
    assert await recorder.successes(JOB.id, NOW, NOW + HOUR) == set()
    assert await recorder.successes("uid-2", NOW - HOUR, NOW) == set()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_database_that_is_not_there_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = 1000.0
    monkeypatch.setattr("merp_operator.recorder.time", SimpleNamespace(monotonic=lambda: clock))
    engine = create_engine(database_url(sqlite_path=tmp_path / "later" / "records.db"))
    committed = asyncio.Event()
    recorder = Recorder(engine, lambda _: committed.set())
    task = asyncio.create_task(recorder.run())
    with pytest.raises(RecordsAway, match="schema is not there yet"):
        await recorder.successes(JOB.id, NOW - HOUR, NOW)
    (tmp_path / "later").mkdir()
    recorder.submit(JOB, [SUCCESS])
    async with asyncio.timeout(60):
        await committed.wait()
    (tmp_path / "later").rename(tmp_path / "gone")
    # A connection that is open would go on with the file that it has.
    engine.dispose()
    began = time.monotonic()
    with pytest.raises(RecordsAway, match="cannot be opened"):
        await recorder.successes(JOB.id, NOW - HOUR, NOW)
    assert time.monotonic() - began < 5
    (tmp_path / "gone").rename(tmp_path / "later")
    # Nobody asks again right away: each who asks would wait for a database that does not answer.
    clock += 4.5
    with pytest.raises(RecordsAway, match="cannot be opened"):
        await recorder.successes(JOB.id, NOW - HOUR, NOW)
    clock += 0.5
    assert await recorder.successes(JOB.id, NOW - HOUR, NOW) == {NOW}
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

"""What a purge costs those who record meanwhile: both as the operator does them."""

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from recorded_history import History
from sqlalchemy import Engine

from merp_crds.reasons import Reason, Trigger, Verdict
from merp_operator.recorder import Recorder
from merp_records.rows import ExecutionRecord, JobRecord

# Seconds between two runs that end.
_PACE: Final = 0.1


@dataclass(frozen=True)
class Purged:
    """How many records went, in how many seconds, and how long each of the runs took from its end to its record."""

    deleted: int
    seconds: float
    waits: list[float]


async def purge_beside_writing(engine: Engine, history: History) -> Purged:
    """Purge, and record a run each tenth of a second until that is done."""
    news = asyncio.Event()
    recorder = Recorder(engine, lambda _: news.set())
    running = asyncio.create_task(recorder.run())
    await recorder.ready.wait()
    began = time.monotonic()
    purge = asyncio.create_task(recorder.purge())
    waits = []
    while not purge.done():
        ended = _ended(history, len(waits))
        submitted = time.monotonic()
        recorder.submit(_job(history), [ended])
        while not recorder.is_committed(ended.id):
            news.clear()
            await news.wait()
        waits.append(time.monotonic() - submitted)
        await asyncio.sleep(_PACE)
    seconds = time.monotonic() - began
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return Purged(await purge, seconds, waits)


def _job(history: History) -> JobRecord:
    return JobRecord(
        id=history.job_id(1),
        namespace=history.namespace(1),
        resource_name="job-1",
        name="job-1",
        job_type="cron",
        func="inventory_check",
        created_at=history.end,
        record_days=history.record_days,
    )


def _ended(history: History, number: int) -> ExecutionRecord:
    now = datetime.now(UTC)
    return ExecutionRecord(
        job_id=history.job_id(1),
        namespace=history.namespace(1),
        job_name="job-1",
        run_name=f"job-1-beside-{number}",
        status=Verdict.SUCCESS,
        trigger=Trigger.SCHEDULE,
        start_time=now,
        end_time=now,
        due_time=now,
        reason=Reason.COMPLETED,
        attempts=1,
    )

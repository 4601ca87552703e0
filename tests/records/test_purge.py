"""Purging as the operator does it, while it records."""

import asyncio
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from purge_beside_writing import purge_beside_writing
from recorded_history import History
from sqlalchemy import func, select

from merp_operator.recorder import Recorder
from merp_records import rollups, stalerollups
from merp_records.dayrollup import bounds
from merp_records.tables import JobExecution


@pytest.fixture
def history(engine, monkeypatch):
    """Of 20 days, 10 of which are kept; each day is rolled up. For the recorder no day ends meanwhile."""
    made = History(records=6_000, jobs=4, days=20, end=datetime.now(UTC), record_days=10)
    monkeypatch.setattr("merp_operator.recorder.datetime", SimpleNamespace(now=lambda _: made.end))
    made.write(engine)
    made.roll_up(engine)
    return made


def old(history) -> int:
    """How many of its records are to go."""
    before, _ = bounds((history.end - timedelta(days=history.record_days)).date())
    return sum(row["start_time"] < before and row["end_time"] < before for row in history.rows())


def left(engine) -> int:
    with engine.connect() as connection:
        return connection.scalar(select(func.count()).select_from(JobExecution))


def numbers(engine, history) -> int:
    """How many verdicts the roll-ups tell of, once no day is marked."""
    with engine.connect() as connection:
        marks = stalerollups.marks(connection)
    stalerollups.refresh(engine, marks, now=history.end)
    today = datetime.now(UTC).date()
    with engine.connect() as connection:
        days = rollups.totals_by_day(connection, namespaces=None, first=today - timedelta(days=40), last=today)
    return sum(day.success + day.failed + day.timeout + day.cancelled + day.skipped + day.missed for day in days)


async def test_who_records_meanwhile_is_hardly_held_up(engine, history) -> None:
    purged = await purge_beside_writing(engine, history)
    assert purged.deleted == old(history) > 2_500
    assert purged.waits
    # A second at most, as the benchmark has it, on a machine that has time. Where all takes long, far from the whole
    # purge, which is what whoever never had a turn would wait for.
    assert max(purged.waits) < max(1.0, purged.seconds / 2)
    assert left(engine) == history.records - purged.deleted + len(purged.waits)
    assert numbers(engine, history) == left(engine)


async def test_a_purge_that_is_ended_half_way_goes_on_later(engine, history) -> None:
    recorder = Recorder(engine, lambda _: None)
    running = asyncio.create_task(recorder.run())
    purge = asyncio.create_task(recorder.purge())
    while left(engine) == history.records:  # noqa: ASYNC110  (a row is no event)
        await asyncio.sleep(0.01)
    purge.cancel()
    # An operator that is told to stop has no time for the rest of it.
    async with asyncio.timeout(5):
        with pytest.raises(asyncio.CancelledError):
            await purge
    assert 0 < history.records - left(engine) < old(history)
    assert await recorder.purge() > 0
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert numbers(engine, history) == left(engine) == history.records - old(history)


async def test_what_is_old_is_for_the_clusters_clock_to_say(engine, history) -> None:
    """This machine's clock is weeks ahead, and what is deleted by it nobody can bring back."""
    recorder = Recorder(engine, lambda _: None, now=lambda: history.end - timedelta(days=20))
    running = asyncio.create_task(recorder.run())
    assert await recorder.purge() == 0
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert left(engine) == history.records

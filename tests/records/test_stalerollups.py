"""The daily roll-ups are what the records amount to: after anything, in any order, by anybody, however it ended."""

import random
import re
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import event, select, text

from merp_crds.reasons import Reason, RunState, Trigger, Verdict
from merp_records import queries, stalerollups, writes
from merp_records.engine import create_engine, run_in_transaction
from merp_records.tables import DailyRollup
from merp_records.writes import record

NOW = datetime(2027, 3, 14, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)
TODAY = NOW.date()
COUNTS = tuple(verdict.value for verdict in Verdict)


def marks(engine) -> list[stalerollups.Mark]:
    with engine.connect() as connection:
        return stalerollups.marks(connection)


def marked_days(engine) -> list[date]:
    return [each.day for each in marks(engine)]


def refresh(engine) -> int:
    return stalerollups.refresh(engine, marks(engine), now=NOW)


def stored(engine) -> dict[tuple[str, date], dict[str, object]]:
    with engine.connect() as connection:
        rows = connection.execute(select(DailyRollup.__table__)).mappings()
        return {(row["job_id"], row["day"]): dict(row) for row in rows}


def expected(engine) -> dict[tuple[str, date], dict[str, object]]:
    """The counts, straight from the records, by comparing each with each."""
    with engine.connect() as connection:
        runs = queries.history(connection, namespaces=None, limit=500)
    assert runs.next_cursor is None
    ended = [run for run in runs.items if run.end_time is not None]
    days: dict[tuple[str, date], Counter] = {}
    for run in ended:
        counts = days.setdefault((run.job_id, run.start_time.date()), Counter())
        counts[run.status] += run.count
        if run.status == "success" or run.due_time is None:
            continue
        last = run.due_time_end or run.due_time
        later = {
            other.due_time
            for other in ended
            if other.job_id == run.job_id
            and other.status == "success"
            and other.due_time is not None
            and run.due_time <= other.due_time <= last
            and other.end_time > run.end_time
        }
        counts["healed"] += min(run.count, len(later))
    return {key: {name: counts[name] for name in (*COUNTS, "healed")} for key, counts in days.items()}


def assert_right(engine) -> None:
    assert marks(engine) == []
    found = {key: {name: row[name] for name in (*COUNTS, "healed")} for key, row in stored(engine).items()}
    assert found == expected(engine)


def test_numbers_follow_a_verdict_and_nothing_else(engine, make_job, make_run) -> None:
    waiting = make_run(status=RunState.WAITING, start_time=NOW - DAY, due_time=NOW - DAY)
    running = make_run(status=RunState.RUNNING, start_time=NOW, due_time=NOW - DAY)
    done = make_run(status=Verdict.SUCCESS, start_time=NOW, end_time=NOW + MINUTE, due_time=NOW - DAY, attempts=1)
    seen = []
    for run in (waiting, running, done, done, running):
        record(engine, [make_job()], [run], now=NOW)
        seen.append(marked_days(engine))
        refresh(engine)
    assert seen == [[], [], [TODAY], [], []]
    ((_, row),) = stored(engine).items()
    assert (row["success"], row["duration_p50"], row["lateness_p95"], row["namespace"]) == (1, 60.0, 86_400.0, "erp")
    assert row["computed_at"] == NOW
    assert_right(engine)


def test_a_refresh_without_marks_does_nothing(engine, make_job) -> None:
    record(engine, [make_job()], [], now=NOW)
    statements = []

    @event.listens_for(engine, "before_cursor_execute")
    def note(connection, cursor, statement, parameters, context, executemany) -> None:
        statements.append(statement.split()[0])

    assert stalerollups.refresh(engine, [], now=NOW) == 0
    assert not {"INSERT", "UPDATE", "DELETE"} & set(statements)


def test_a_rerun_heals_the_day_of_the_failure(engine, make_job, make_run) -> None:
    failed = make_run(status=Verdict.FAILED, start_time=NOW - 3 * DAY, end_time=NOW - 3 * DAY, due_time=NOW - 3 * DAY)
    missed = make_run(
        run_name="missed",
        status=Verdict.MISSED,
        start_time=NOW - 5 * DAY,
        due_time=NOW - 5 * DAY,
        due_time_end=NOW - 3 * DAY,
        count=3,
        end_time=NOW - 2 * DAY,
    )
    record(engine, [make_job()], [failed, missed], now=NOW)
    refresh(engine)
    rerun = {"trigger": Trigger.RETRY, "start_time": NOW, "due_time": NOW - 3 * DAY}
    # Of the same batch, and for a due time after the range.
    newest = make_run(run_name="newest", status=Verdict.SUCCESS, due_time=NOW)
    record(engine, [make_job()], [make_run(run_name="again", status=Verdict.FAILED, **rerun)], now=NOW)
    assert marked_days(engine) == [TODAY], "a failure heals nothing"
    refresh(engine)
    third = make_run(run_name="third", status=Verdict.SUCCESS, end_time=NOW + MINUTE, **rerun)
    record(engine, [make_job()], [third, newest], now=NOW)
    assert marked_days(engine) == [TODAY - 5 * DAY, TODAY - 3 * DAY, TODAY]
    refresh(engine)
    assert [row["healed"] for _, row in sorted(stored(engine).items())] == [1, 1, 1]
    assert_right(engine)


def test_a_closed_row_is_counted(engine, make_job, make_run) -> None:
    run = make_run()
    record(engine, [make_job()], [run], now=NOW)

    def close(connection):
        return writes.close_open_executions(connection, [run.id], end_time=NOW, now=NOW)

    assert [run_in_transaction(engine, close) for _ in range(2)] == [1, 0]
    refresh(engine)
    assert [row["cancelled"] for row in stored(engine).values()] == [1]
    assert_right(engine)


def test_a_purged_day_is_gone_and_a_job_can_go_with_marks(engine, make_job, make_run) -> None:
    old = NOW - 400 * DAY
    runs = [make_run(run_name=f"r{n}", status=Verdict.SUCCESS, start_time=old, end_time=old) for n in range(3)]
    record(engine, [make_job()], runs, now=NOW)
    refresh(engine)
    purge = [run_in_transaction(engine, lambda c: writes.purge_executions(c, NOW - 365 * DAY, 2)) for _ in range(2)]
    assert purge == [2, 1]
    assert len(stored(engine)) == len(marks(engine)) == 1
    job_ids = [make_job().id]
    run_in_transaction(engine, lambda c: writes.mark_jobs_deleted(c, job_ids, deleted_at=old, now=NOW))
    left = marks(engine)
    assert run_in_transaction(engine, lambda c: writes.purge_jobs(c, NOW)) == 1
    assert (stored(engine), marks(engine)) == ({}, [])
    assert stalerollups.refresh(engine, left, now=NOW) == 0, "the job went while its numbers were made"


def test_a_day_that_records_overtook_stays_marked_and_has_numbers(engine, make_job, make_run) -> None:
    record(engine, [make_job()], [make_run(run_name="a", status=Verdict.SUCCESS)], now=NOW)
    old, overtaken = marks(engine), []

    @event.listens_for(engine, "rollback")
    def overtake(connection) -> None:
        # The records are read, and nothing is written yet.
        if not overtaken:
            overtaken.append(True)
            record(engine, [], [make_run(run_name="b", status=Verdict.FAILED)], now=NOW)

    assert stalerollups.refresh(engine, old, now=NOW) == 0
    assert [(row["success"], row["failed"]) for row in stored(engine).values()] == [(1, 0)]
    assert len(marks(engine)) == 1
    assert refresh(engine) == 1
    assert_right(engine)


def test_numbers_of_a_day_that_somebody_else_has_made_are_not_written(engine, make_job, make_run) -> None:
    record(engine, [make_job()], [make_run(run_name="a", status=Verdict.SUCCESS)], now=NOW)
    old = marks(engine)
    assert refresh(engine) == 1
    assert stalerollups.refresh(engine, old, now=NOW + DAY) == 0
    assert [row["computed_at"] for row in stored(engine).values()] == [NOW]


def test_a_row_that_is_refused_takes_its_mark_with_it(engine, make_job, make_run) -> None:
    good = make_run(run_name="good", status=Verdict.SUCCESS)
    orphan = make_run(job_id="7a1e0000-0000-4000-8000-00000000dead", status=Verdict.SUCCESS)
    assert len(record(engine, [make_job()], [good, orphan], now=NOW).failures) == 1
    assert [each.job_id for each in marks(engine)] == [make_job().id]
    refresh(engine)
    assert_right(engine)


class Crash(Exception):
    """The process ends here, as far as the database can see."""


@pytest.mark.parametrize("seed", range(4))
def test_whatever_happens_the_numbers_become_right(engine, make_job, make_run, seed) -> None:
    """Random records of a few due times, again and late, with reruns, purges, closings and ends at any statement."""
    chance = random.Random(seed)
    jobs = [make_job(id=f"job-{n}", resource_name=f"j{n}") for n in range(2)]
    record(engine, jobs, [], now=NOW)
    crash_in = [0]

    @event.listens_for(engine, "after_cursor_execute")
    def crash(connection, cursor, statement, parameters, context, executemany) -> None:
        if not statement.startswith(("SELECT", "SET")):
            crash_in[0] -= 1
            if crash_in[0] == 0:
                raise Crash

    def random_run():
        job, slot = chance.choice(jobs), chance.randrange(12)
        due = NOW - slot * DAY / 3
        status = chance.choice([*RunState, *Verdict])
        ended = not isinstance(status, RunState)
        start = due + chance.choice([timedelta(), 4 * MINUTE, DAY, 2 * DAY])
        many = status == Verdict.MISSED and chance.random() < 0.5
        return make_run(
            job_id=job.id,
            job_name=job.resource_name,
            run_name=f"r{slot}-{chance.randrange(3)}",
            status=status,
            trigger=chance.choice(list(Trigger)),
            due_time=None if chance.random() < 0.1 else due,
            due_time_end=due + DAY if many else None,
            count=4 if many else 1,
            start_time=start,
            end_time=start + chance.random() * DAY if ended else None,
            attempts=chance.randrange(2),
        )

    def close(connection):
        ids = [run.id for run in queries.open_executions(connection)]
        chosen = chance.sample(ids, len(ids) // 2)
        return writes.close_open_executions(connection, chosen, end_time=NOW, now=NOW)

    def purge(connection):
        return writes.purge_executions(connection, NOW - chance.randrange(5) * DAY, 3, job_id=chance.choice(jobs).id)

    actions = [
        lambda: record(engine, jobs, [random_run() for _ in range(chance.randrange(1, 8))], now=NOW),
        lambda: run_in_transaction(engine, close),
        lambda: run_in_transaction(engine, purge),
        lambda: refresh(engine),
    ]
    crashes = 0
    for _ in range(60):
        crash_in[0] = chance.choice([0, 0, 1, 2, 3, 5])
        try:
            chance.choices(actions, [6, 1, 1, 3])[0]()
        except Crash:
            crashes += 1
    crash_in[0] = 0
    assert crashes > 3
    refresh(engine)
    assert_right(engine)
    before = stored(engine)
    assert refresh(engine) == 0
    assert stored(engine) == before


def test_writers_and_two_who_roll_up_at_once(engine, url, make_job, make_run) -> None:
    """As while one operator takes over from another that does not know it yet."""
    jobs = [make_job(id=f"job-{n}", resource_name=f"j{n}") for n in range(3)]
    record(engine, jobs, [], now=NOW)
    done = threading.Event()

    def write(number: int) -> None:
        own = create_engine(url)
        for batch in range(10):
            runs = [
                make_run(
                    job_id=job.id,
                    run_name=f"r{number}-{batch}-{n}",
                    status=Verdict.SUCCESS if (batch + n) % 3 else Verdict.FAILED,
                    due_time=NOW,
                    end_time=NOW + batch * MINUTE,
                    start_time=NOW - n * DAY,
                )
                for job in jobs
                for n in range(2)
            ]
            assert record(own, jobs, runs, now=NOW).failures == ()
        own.dispose()

    def roll_up() -> None:
        own = create_engine(url)
        while not done.is_set():
            refresh(own)
        own.dispose()

    with ThreadPoolExecutor() as threads:
        makers = [threads.submit(roll_up) for _ in range(2)]
        for writer in [threads.submit(write, number) for number in range(2)]:
            writer.result(120)
        done.set()
        for maker in makers:
            maker.result(60)
    refresh(engine)
    assert_right(engine)
    assert sum(row["success"] + row["failed"] for row in stored(engine).values()) == 2 * 10 * 6


@pytest.mark.mariadb
@pytest.mark.parametrize("backend", ["mariadb"], indirect=True)
def test_who_records_and_who_rolls_up_lock_in_one_order(engine, url, make_job, make_run, poll, mariadb) -> None:
    """With the locks in another order each would wait for the other: the job's row, and the mark of its day."""
    record(engine, [make_job()], [make_run(run_name="a", status=Verdict.SUCCESS)], now=NOW)
    errors, rolled, other = [], [], create_engine(url)
    waits = "SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'"

    @event.listens_for(other, "handle_error")
    @event.listens_for(engine, "handle_error")
    def note(context) -> None:
        errors.append(context.original_exception.args[0])

    with ThreadPoolExecutor() as threads:

        @event.listens_for(engine, "after_cursor_execute")
        def roll_up_meanwhile(connection, cursor, statement, parameters, context, executemany) -> None:
            # The job's row is locked by its update, and nothing is marked yet.
            if statement.startswith("UPDATE jobs") and not rolled:
                rolled.append(threads.submit(refresh, other))
                poll(lambda: mariadb.sql(waits) == ((1,),))

        record(engine, [make_job(description="new")], [make_run(run_name="b", status=Verdict.SUCCESS)], now=NOW)
        rolled[0].result(60)
    assert errors == []
    other.dispose()
    refresh(engine)
    assert_right(engine)


def test_everything_can_be_made_anew_as_documented(engine, make_job, make_run) -> None:
    page = (Path(__file__).parents[2] / "docs" / "records.md").read_text()
    (statement,) = re.findall(r"INSERT INTO stale_rollups.*?;", page, re.DOTALL)
    runs = [make_run(run_name=f"r{n}", status=Verdict.SUCCESS, start_time=NOW - n * DAY) for n in range(3)]
    record(engine, [make_job()], [*runs, make_run(run_name="open", start_time=NOW - 9 * DAY)], now=NOW)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM stale_rollups WHERE day < '2027-03-14'"))
        connection.execute(text(statement))
    refresh(engine)
    assert_right(engine)


def test_what_a_range_counts_as_well_is_counted_once(engine, make_job, make_run) -> None:
    """The records that go may lie on another day than the range's."""
    skipped = {"status": Verdict.SKIPPED, "reason": Reason.OVERLAP, "end_time": NOW + DAY}
    times = [NOW + number * 6 * 60 * MINUTE for number in range(4)]
    singles = [make_run(run_name=f"r{time:%d%H}", start_time=time, due_time=time, **skipped) for time in times]
    whole = replace(singles[0], due_time_end=times[-1], count=4)
    for batch in (singles, [whole]):
        record(engine, [make_job()], batch, now=NOW)
        refresh(engine)
        assert_right(engine)
    assert [row["skipped"] for row in stored(engine).values()] == [4]

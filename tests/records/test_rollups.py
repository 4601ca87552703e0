"""What a dashboard reads."""

from datetime import UTC, datetime, timedelta

import pytest

from merp_crds.reasons import Trigger, Verdict
from merp_records import rollups, stalerollups
from merp_records.writes import record

NOW = datetime(2027, 3, 14, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
TODAY = NOW.date()
OTHER = "7a1e0000-0000-4000-8000-000000000002"


@pytest.fixture
def filled(engine, make_job, make_run):
    """Two jobs in two namespaces over three days; a failure of the second one is healed the day after."""
    crm = {"job_id": OTHER, "namespace": "crm", "job_name": "sync"}
    missed = {"status": Verdict.MISSED, "due_time": NOW - DAY, "due_time_end": NOW, "count": 25}
    runs = [
        make_run(run_name="r1", status=Verdict.SUCCESS, start_time=NOW, end_time=NOW + DAY, due_time=NOW, attempts=1),
        make_run(run_name="r2", status=Verdict.FAILED, start_time=NOW),
        make_run(run_name="r3", start_time=NOW - DAY, **missed),
        make_run(run_name="r4", start_time=NOW - 2 * DAY),
        make_run(
            run_name="s1", status=Verdict.FAILED, start_time=NOW - DAY, end_time=NOW - DAY, due_time=NOW - DAY, **crm
        ),
        make_run(run_name="s2", status=Verdict.SUCCESS, due_time=NOW - DAY, trigger=Trigger.RETRY, **crm),
    ]
    jobs = [make_job(), make_job(id=OTHER, namespace="crm", resource_name="sync", name="数据同步")]
    assert record(engine, jobs, runs, now=NOW).failures == ()
    with engine.connect() as connection:
        marked = stalerollups.marks(connection)
    stalerollups.refresh(engine, marked, now=NOW)
    with engine.connect() as connection:
        yield connection


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param({}, [(0, 2, 1, 0, 0), (1, 0, 1, 25, 2)], id="everything-newest-first"),
        pytest.param({"namespaces": ["crm"]}, [(0, 1, 0, 0, 0), (1, 0, 1, 0, 1)], id="one-namespace"),
        pytest.param({"namespaces": ["crm", "erp"]}, [(0, 2, 1, 0, 0), (1, 0, 1, 25, 2)], id="both"),
        pytest.param({"namespaces": []}, [], id="none-allowed"),
        pytest.param({"namespaces": ["库"]}, [], id="no-key"),
        pytest.param({"last": TODAY - DAY}, [(1, 0, 1, 25, 2)], id="the-last-day-counts"),
        pytest.param({"first": TODAY}, [(0, 2, 1, 0, 0)], id="the-first-day-counts"),
        pytest.param({"first": TODAY + DAY, "last": TODAY + DAY}, [], id="nothing-there"),
    ],
)
def test_totals_by_day(filled, arguments, expected) -> None:
    days = rollups.totals_by_day(filled, **{"namespaces": None, "first": TODAY - 9 * DAY, "last": TODAY} | arguments)
    assert [((TODAY - day.day).days, day.success, day.failed, day.missed, day.healed) for day in days] == expected


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        # r3's range has a success for its last due time: 24 of 25 are left, and the failure r2 has no due time.
        pytest.param({}, [("inventory", 25)], id="a-job-that-was-healed-is-none"),
        pytest.param({"last": TODAY - DAY}, [("inventory", 24)], id="healed-by-a-run-outside-the-range"),
        pytest.param({"namespaces": ["crm"]}, [], id="nothing-to-tell"),
        pytest.param({"limit": 0}, [], id="limit"),
    ],
)
def test_totals_by_job(filled, arguments, expected) -> None:
    jobs = rollups.totals_by_job(filled, **{"namespaces": None, "first": TODAY - 9 * DAY, "last": TODAY} | arguments)
    assert [(job.resource_name, job.unhealed) for job in jobs] == expected


def test_job_days(filled, make_job) -> None:
    days = rollups.job_days(filled, make_job().id, namespaces=["erp"], first=TODAY - 9 * DAY, last=TODAY)
    assert [((TODAY - day.day).days, day.success, day.duration_p95, day.lateness_p50) for day in days] == [
        (0, 1, 86_400.0, 0.0),
        (1, 0, None, None),
    ]
    assert rollups.job_days(filled, make_job().id, namespaces=["crm"], first=TODAY, last=TODAY) == []


@pytest.mark.parametrize(
    ("first", "last"),
    [
        pytest.param(TODAY, TODAY - DAY, id="backwards"),
        pytest.param(TODAY - 366 * DAY, TODAY, id="too-long"),
    ],
)
def test_a_range_that_is_none_is_refused(filled, first, last) -> None:
    with pytest.raises(ValueError, match="last: a range ends where it begins or later, and has at most 366 days"):
        rollups.totals_by_day(filled, namespaces=None, first=first, last=last)

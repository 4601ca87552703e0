"""What records amount to. No database."""

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest

from merp_records.dayrollup import DayNumbers, Ended, bounds, day_of, percentile, summarise

NOON = datetime(2027, 3, 14, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def ended(**changes: Any) -> Ended:
    fields: dict[str, Any] = {
        "status": "success",
        "trigger": "schedule",
        "start_time": NOON,
        "end_time": NOON + timedelta(seconds=10),
        "due_time": NOON - timedelta(seconds=2),
        "due_time_end": None,
        "count": 1,
        "attempts": 1,
    }
    return Ended(**fields | changes)


def skipped(**changes: Any) -> Ended:
    fields = {"status": "skipped", "attempts": 0, "due_time": NOON, "end_time": NOON}
    return ended(**fields | changes)


def numbers(**changes: Any) -> DayNumbers:
    counts = dict.fromkeys(("success", "failed", "timeout", "cancelled", "skipped", "missed", "healed"), 0)
    seconds = dict.fromkeys(("duration_p50", "duration_p95", "lateness_p50", "lateness_p95"))
    return DayNumbers(**counts | seconds | changes)


ON_TIME = {"duration_p50": 10, "duration_p95": 10, "lateness_p50": 2, "lateness_p95": 2}
RANGE = {"due_time": NOON, "due_time_end": NOON + 9 * HOUR, "count": 10}


@pytest.mark.parametrize(
    ("records", "successes", "expected"),
    [
        pytest.param([], {}, None, id="nothing-is-no-day"),
        pytest.param([ended()], {}, numbers(success=1, **ON_TIME), id="one-success"),
        pytest.param(
            [ended(status=status) for status in ("failed", "timeout")],
            {},
            numbers(failed=1, timeout=1, **ON_TIME),
            id="failures-took-as-long-as-they-took",
        ),
        pytest.param(
            [ended(status="cancelled")],
            {},
            numbers(cancelled=1, lateness_p50=2, lateness_p95=2),
            id="somebody-elses-end-is-no-duration",
        ),
        pytest.param([skipped(), skipped(status="missed")], {}, numbers(skipped=1, missed=1), id="never-ran"),
        pytest.param([skipped(status="missed", **RANGE)], {}, numbers(missed=10), id="a-range-counts-as-many"),
        pytest.param(
            [ended(trigger=trigger) for trigger in ("manual", "backfill", "retry", "dependency")],
            {},
            numbers(success=4, duration_p50=10, duration_p95=10),
            id="only-what-a-schedule-asked-for-can-be-late",
        ),
        pytest.param(
            [ended(trigger="catch-up", start_time=NOON + HOUR, end_time=NOON + HOUR)],
            {},
            numbers(success=1, duration_p50=0, duration_p95=0, lateness_p50=3602, lateness_p95=3602),
            id="caught-up-is-late",
        ),
        pytest.param([skipped()], {NOON: NOON + HOUR}, numbers(skipped=1, healed=1), id="healed"),
        pytest.param([skipped()], {NOON: NOON}, numbers(skipped=1), id="not-by-what-ended-before"),
        pytest.param([skipped()], {NOON + HOUR: NOON + HOUR}, numbers(skipped=1), id="not-by-another-due-time"),
        pytest.param([skipped(due_time=None)], {NOON: NOON + HOUR}, numbers(skipped=1), id="not-without-a-due-time"),
        pytest.param(
            [skipped(status="missed", **RANGE)],
            {NOON - HOUR: NOON + 99 * HOUR} | {NOON + n * HOUR: NOON + 99 * HOUR for n in (0, 4, 9, 10)},
            numbers(missed=10, healed=3),
            id="a-range-is-healed-one-by-one",
        ),
        pytest.param(
            [skipped(status="missed", **RANGE | {"count": 2})],
            {NOON + n * HOUR: NOON + 99 * HOUR for n in range(9)},
            numbers(missed=2, healed=2),
            id="never-more-than-there-are",
        ),
        pytest.param(
            [ended()],
            {NOON - timedelta(seconds=2): NOON + HOUR},
            numbers(success=1, **ON_TIME),
            id="a-success-needs-none",
        ),
    ],
)
def test_summarise(records: list[Ended], successes: dict[datetime, datetime], expected: DayNumbers | None) -> None:
    assert summarise(records, successes) == expected
    assert summarise(reversed(records), successes) == expected


@pytest.mark.parametrize(
    ("values", "p50", "p95"),
    [
        pytest.param([], None, None, id="none"),
        pytest.param([7.0], 7.0, 7.0, id="one"),
        pytest.param([2.0, 1.0], 1.0, 2.0, id="two"),
        pytest.param([float(n) for n in range(1, 101)], 50.0, 95.0, id="a-hundred"),
        pytest.param([float(n) for n in range(20, 0, -1)], 10.0, 19.0, id="twenty-backwards"),
        pytest.param([0.12345], 0.123, 0.123, id="milliseconds"),
    ],
)
def test_percentile(values: list[float], p50: float | None, p95: float | None) -> None:
    assert (percentile(values, 50), percentile(values, 95)) == (p50, p95)


@pytest.mark.parametrize(
    ("moment", "day"),
    [
        pytest.param(datetime(2027, 3, 14, tzinfo=UTC), date(2027, 3, 14), id="first-moment"),
        pytest.param(datetime(2027, 3, 14, 23, 59, 59, 999999, UTC), date(2027, 3, 14), id="last-microsecond"),
        pytest.param(datetime(2027, 3, 15, 1, tzinfo=timezone(8 * HOUR)), date(2027, 3, 14), id="C68-other-offset"),
    ],
)
def test_a_moment_lies_within_its_day(moment: datetime, day: date) -> None:
    assert day_of(moment) == day
    first, after = bounds(day)
    assert first <= moment < after
    assert (day_of(first), day_of(after)) == (day, day + timedelta(days=1))

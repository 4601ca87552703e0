"""Due times of every kind of schedule, and which of them the native clock can carry."""

from datetime import UTC, datetime, timedelta

import pytest

from merp_crds import schedule
from merp_crds.scheduledjob import Schedule

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)


def hours(*values: float) -> list[datetime]:
    return [NOON + timedelta(hours=value) for value in values]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        pytest.param(Schedule(cron="0 */2 * * *"), hours(2, 4), id="cron-start-excluded-end-included"),
        pytest.param(Schedule(interval_seconds=5400), hours(1.5, 3), id="interval-from-1970"),
        pytest.param(
            Schedule(interval_seconds=5400, start_at=NOON + timedelta(hours=1)),
            hours(1, 2.5, 4),
            id="interval-from-start",
        ),
        pytest.param(Schedule(at=NOON + timedelta(hours=4)), hours(4), id="at"),
        pytest.param(Schedule(at=NOON), [], id="at-that-is-past"),
        pytest.param(Schedule(cron="0 * * * *", start_at=NOON + timedelta(hours=3)), hours(3, 4), id="start-counts"),
        pytest.param(Schedule(cron="0 * * * *", end_at=NOON + timedelta(hours=2)), hours(1, 2), id="end-counts"),
        pytest.param(Schedule(cron="0 0 31 2 *"), [], id="never"),
    ],
)
def test_due_times_in_a_range(spec: Schedule, expected: list[datetime]) -> None:
    assert list(schedule.due_times(spec, "UTC", NOON, NOON + timedelta(hours=4))) == expected


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        pytest.param(
            Schedule(cron="0 0 1 * *", time_zone="Asia/Shanghai"), ("0 0 1 * *", "Asia/Shanghai"), id="cron-with-zone"
        ),
        pytest.param(Schedule(cron="0 0 1 * *"), ("0 0 1 * *", "Europe/Berlin"), id="cron-in-the-installations-zone"),
        pytest.param(Schedule(interval_seconds=900), ("*/15 * * * *", "Etc/UTC"), id="minutes-that-divide-an-hour"),
        pytest.param(Schedule(interval_seconds=3600), ("0 * * * *", "Etc/UTC"), id="an-hour"),
        pytest.param(Schedule(interval_seconds=21_600), ("0 */6 * * *", "Etc/UTC"), id="hours-that-divide-a-day"),
        pytest.param(Schedule(interval_seconds=86_400), ("0 0 * * *", "Etc/UTC"), id="a-day"),
        pytest.param(Schedule(interval_seconds=45), None, id="C62-seconds"),
        pytest.param(Schedule(interval_seconds=420), None, id="minutes-that-do-not-divide"),
        pytest.param(Schedule(interval_seconds=18_000), None, id="hours-that-do-not-divide"),
        pytest.param(Schedule(interval_seconds=900, start_at=NOON), None, id="interval-with-a-start"),
        pytest.param(Schedule(at=NOON), None, id="at"),
    ],
)
def test_what_the_native_clock_can_carry(spec: Schedule, expected: tuple[str, str] | None) -> None:
    assert schedule.native_cron(spec, "Europe/Berlin") == expected


@pytest.mark.parametrize(
    "seconds",
    [
        pytest.param(value, id=str(value))
        for value in range(60, 86_401, 60)
        if schedule.native_cron(Schedule(interval_seconds=value), "UTC")
    ],
)
def test_the_native_clock_fires_an_interval_when_it_is_due(seconds: int) -> None:
    native = schedule.native_cron(Schedule(interval_seconds=seconds), "UTC")
    assert native is not None
    cron = Schedule(cron=native[0], time_zone=native[1])
    end = NOON + timedelta(days=2)
    assert list(schedule.due_times(cron, "UTC", NOON, end)) == list(
        schedule.due_times(Schedule(interval_seconds=seconds), "UTC", NOON, end)
    )

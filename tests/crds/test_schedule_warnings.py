"""What a good schedule says that is often not meant."""

from datetime import UTC, datetime
from typing import Any

import pytest

from merp_crds.schedule import warnings
from merp_crds.scheduledjob import Schedule

NOW = datetime(2026, 11, 25, tzinfo=UTC)
EITHER_DAY = (
    "day-of-week: day-of-month is restricted too, and a day that matches either of them counts, as no cron asks for both: "
    "write * in the one that does not matter"
)
LEAP_YEARS = "day-of-month: 29 February is in leap years only: write 28 or 1 if every year was meant"


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        pytest.param("*/15 * * * *", [], id="a-step-that-divides"),
        pytest.param("*/1 * * * *", [], id="a-step-of-one"),
        pytest.param("@daily", [], id="a-word"),
        pytest.param("0 3 * * 1-5", [], id="workdays"),
        pytest.param("*/90 * * * *", ["minute: */90 means 0 alone: for every 90 minutes write intervalSeconds: 5400"], id="longer-than-an-hour"),
        pytest.param("0 */36 * * *", ["hour: */36 means 0 alone: for every 36 hours write intervalSeconds: 129600"], id="longer-than-a-day"),
        pytest.param("0 0 1 */13 *", ["month: */13 means 1 alone"], id="longer-than-a-year"),
        pytest.param("*/7 * * * *", ["minute: */7 begins anew each hour: 56 is followed by 0, 4 minutes later: for every 7 minutes write intervalSeconds: 420"], id="uneven-minutes"),
        pytest.param("0/7 * * * *", ["minute: 0/7 begins anew each hour: 56 is followed by 0, 4 minutes later: for every 7 minutes write intervalSeconds: 420"], id="uneven-minutes-from-0"),
        pytest.param("0 */5 * * *", ["hour: */5 begins anew each day: 20 is followed by 0, 4 hours later: for every 5 hours write intervalSeconds: 18000"], id="uneven-hours"),
        pytest.param("*/30 */5 * * *", [], id="uneven-hours-of-several-minutes"),
        pytest.param("0 0 */2 * *", [], id="each-second-day-of-the-month"),
        pytest.param("15 6 */2 * SUN", [EITHER_DAY], id="C02-either-day"),
        pytest.param("0 0 13 * 5", [EITHER_DAY], id="friday-the-13th"),
        pytest.param("0 0 1-31 * 5", [], id="a-full-range-is-each-day"),
        pytest.param("0 0 29 2 *", [LEAP_YEARS], id="leap-day"),
        pytest.param("0 0 29 * *", [], id="the-29th-of-each-month"),
        pytest.param("0 0 30 2 *", [], id="never-is-told-elsewhere"),
    ],
)  # fmt: skip
def test_warnings(cron: str, expected: list[str]) -> None:
    assert warnings(Schedule(cron=cron), "UTC", NOW) == expected


SPRING = "timeZone: on 2027-03-28 the clocks of Europe/Berlin leave out 02:00 to 03:00: nothing is due for {}; with dst: Once it is due at the end of the gap"
AUTUMN = "timeZone: on 2027-10-31 the clocks of Europe/Berlin show 02:00 to 03:00 twice: {} is due twice; with dst: Once it is due the first time only"


@pytest.mark.parametrize(
    ("spec", "after", "expected"),
    [
        pytest.param({"cron": "10 2 * * *"}, NOW, [SPRING.format("02:10"), AUTUMN.format("02:10")], id="C07-C08-both-changes"),
        pytest.param({"cron": "10 2 * * *"}, datetime(2027, 4, 1, tzinfo=UTC), [AUTUMN.format("02:10"), SPRING.format("02:10").replace("2027-03-28", "2028-03-26")], id="the-changes-to-come"),
        pytest.param({"cron": "0,30 2 * 3 *"}, NOW, [SPRING.format("02:00")], id="the-first-of-them"),
        pytest.param({"cron": "10 2 * * *"}, None, [], id="no-moment-no-year-to-look-at"),
        pytest.param({"cron": "10 2 * * *", "dst": "Once"}, NOW, [], id="once"),
        pytest.param({"cron": "10 4 * * *"}, NOW, [], id="another-hour"),
        pytest.param({"cron": "10 2 * * MON"}, NOW, [], id="another-day"),
        pytest.param({"cron": "10 * * * *"}, NOW, [], id="each-hour"),
        pytest.param({"cron": "10 2 * * *", "timeZone": "Asia/Shanghai"}, NOW, [], id="a-zone-without-changes"),
        pytest.param({"intervalSeconds": 45}, NOW, [], id="interval"),
        pytest.param({"at": "2027-03-28T01:00:00Z"}, NOW, [], id="at"),
    ],
)  # fmt: skip
def test_local_times_within_a_clock_change(spec: dict[str, Any], after: datetime | None, expected: list[str]) -> None:
    assert warnings(Schedule.model_validate(spec), "Europe/Berlin", after) == expected

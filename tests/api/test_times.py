"""Times as clients write them."""

import re
from zoneinfo import ZoneInfo

import pytest

from merp_api.times import parse_time

ZURICH = ZoneInfo("Europe/Zurich")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("2026-12-01T00:00:00Z", "2026-12-01T00:00:00", id="Z"),
        pytest.param("2026-12-01t08:00:00.5+08:00", "2026-12-01T00:00:00.500000", id="offset-and-fraction"),
        pytest.param("2026-12-01T08:00", "2026-12-01T07:00:00", id="naive-is-in-the-zone"),
        pytest.param("2026-07-01", "2026-06-30T22:00:00", id="a-date-is-its-midnight"),
        pytest.param("2026-10-25T02:30:00", "2026-10-25T00:30:00", id="a-repeated-hour-is-its-first"),
    ],
)
def test_good_times(text: str, expected: str) -> None:
    assert parse_time(text, ZURICH).isoformat() == f"{expected}+00:00"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        pytest.param("", "2026-12-01T08:00:00", id="empty"),
        pytest.param("yesterday", "2026-12-01T08:00:00", id="a-word"),
        pytest.param("1764547200", "2026-12-01T08:00:00", id="seconds"),
        pytest.param("20261201", "2026-12-01T08:00:00", id="without-hyphens"),
        pytest.param("2026-W01-1", "2026-12-01T08:00:00", id="week"),
        pytest.param("2026-12-01T08:00:00 08:00", "%2B", id="lost-plus"),
        pytest.param("2026-13-01", "month", id="month-13"),
        pytest.param("2026-02-30T00:00:00Z", "day", id="day-30-of-february"),
        pytest.param("2026-12-01T25:00:00Z", "hour", id="hour-25"),
        pytest.param("2026-12-01T08:00:00+99:00", "no time", id="offset-99"),
        pytest.param("1969-12-31T23:59:59Z", "1970", id="too-early"),
        pytest.param("9999-12-31T23:59:59Z", "9998", id="too-late"),
        pytest.param("0001-01-01T00:00:00+14:00", "no time", id="before-the-calendar"),
        pytest.param("２０２６-12-01", "2026-12-01T08:00:00", id="other-digits"),
        pytest.param("2026-03-29T02:30:00", "go forward", id="skipped-hour"),
    ],
)
def test_bad_times(text: str, word: str) -> None:
    with pytest.raises(ValueError, match=re.escape(word)):
        parse_time(text, ZURICH)

"""A time as Kubernetes writes it."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from merp_crds.common import parse_rfc3339, rfc3339

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        pytest.param(datetime(2026, 11, 25, 12, 0, tzinfo=UTC), "2026-11-25T12:00:00Z", id="as-it-is"),
        pytest.param(datetime(2026, 11, 25, 12, 0, 0, 999_999, tzinfo=UTC), "2026-11-25T12:00:00Z", id="whole-seconds"),
        pytest.param(datetime(2026, 11, 25, 13, 0, tzinfo=BERLIN), "2026-11-25T12:00:00Z", id="of-another-zone"),
        pytest.param(datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN), "2026-10-25T00:30:00Z", id="a-repeated-hour"),
        pytest.param(datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=BERLIN), "2026-10-25T01:30:00Z", id="once-more"),
    ],
)
def test_a_time_is_in_utc_and_whole_seconds(moment: datetime, text: str) -> None:
    assert rfc3339(moment) == text
    assert rfc3339(moment) == text


def test_small_letters_are_read_as_large_ones() -> None:
    assert parse_rfc3339("2026-11-25t12:00:00z") == datetime(2026, 11, 25, 12, 0, tzinfo=UTC)

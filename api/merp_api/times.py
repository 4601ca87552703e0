"""Times as clients write them."""

import re
from datetime import UTC, datetime, tzinfo
from typing import Final

# A date, or a date and a time, with or without an offset: RFC 3339, and the seed's times without a zone.
_TIME: Final = re.compile(
    r"\d{4}-\d{2}-\d{2}(?:[Tt]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:[Zz]|[+-]\d{2}:\d{2})?)?", re.ASCII
)
_LOST_PLUS: Final = re.compile(r"\d{4}-\d{2}-\d{2}[Tt][\d:.]+ \d{2}:\d{2}", re.ASCII)
# Before this nothing was scheduled, and MySQL's dates end with 9999.
_YEARS: Final = range(1970, 9999)
_FORM: Final = "write it as 2026-12-01T08:00:00+08:00 or 2026-12-01T00:00:00Z"


def parse_time(text: str, naive: tzinfo = UTC) -> datetime:
    """A time in UTC; one without an offset is taken to be in the zone `naive`, a date alone as its midnight.

    Raises ValueError with the spelling that works; also for a local time that a spring night leaves out.
    """
    if _LOST_PLUS.fullmatch(text):
        raise ValueError(f"{text!r} has a space where an offset's plus was: in a URL a plus is written %2B")
    if not _TIME.fullmatch(text):
        raise ValueError(f"{text[:64]!r} is no time: {_FORM}")
    try:
        moment = datetime.fromisoformat(text.upper())
        aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=naive)
        result = aware.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{text!r} is no time: {error}") from error
    if result.year not in _YEARS:
        raise ValueError(f"{text!r} is outside of the years 1970 to 9998")
    if moment.tzinfo is None and result.astimezone(naive).replace(tzinfo=None) != moment:
        raise ValueError(f"{text!r} does not exist in {naive}: clocks go forward over it; write it with an offset")
    return result

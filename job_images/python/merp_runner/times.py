"""Moments as text: RFC 3339 in, RFC 3339 in UTC out."""

from __future__ import annotations

import re
from datetime import date, datetime, timezone

# Own pattern: fromisoformat of 3.9 knows no `Z` and no other fractions than 3 or 6 digits, that of 3.11 also takes
# week dates and compact forms; what a parameter accepts must not depend on the image's Python.
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|z|[+-]\d\d:\d\d)", re.ASCII)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


def parse_moment(text: str) -> datetime:
    """The aware datetime of an RFC 3339 text, in the offset it was written in; digits beyond microseconds are dropped.

    Raises ValueError, also where the offset is missing.
    """
    match = _MOMENT.fullmatch(text)
    if match is None:
        raise ValueError(f"not RFC 3339 with an offset (2026-12-01T00:00:00Z): {text!r}")
    day, clock, fraction, offset = match.groups()
    offset = "+00:00" if offset in "Zz" else offset
    return datetime.fromisoformat(f"{day}T{clock}.{(fraction or '0')[:6].ljust(6, '0')}{offset}")


def parse_day(text: str) -> date:
    """The date of `YYYY-MM-DD`; ValueError for anything else."""
    if _DAY.fullmatch(text) is None:
        raise ValueError(f"not a date (2026-12-01): {text!r}")
    return date.fromisoformat(text)


def format_moment(moment: datetime) -> str:
    """`2026-12-01T00:00:00Z`, with a fraction only where there is one."""
    return moment.astimezone(timezone.utc).replace(tzinfo=None).isoformat() + "Z"

"""The built-in sets of public holidays: China's, which is kept here, and those of the package `holidays`."""

import functools
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

from merp_crds import china

# A set without an earlier limit of its own begins here: jobs are not run for days of another century.
FIRST_DAY: Final = date(2000, 1, 1)
_CHINA: Final = "CN"
_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class BuiltIn:
    """The days off of a country, the weekend days that it works, and the range in which the set knows them all.

    `valid_through` is None for a set that goes on by rules: how far it is to be believed is the user's word.
    """

    valid_from: date
    valid_through: date | None
    off: frozenset[date]
    on: frozenset[date]


def built_in(code: str, valid_through: date | None) -> BuiltIn:
    """The set of a country (`CN`, `DE`) or a part of it (`DE-BY`), computed up to the year of `valid_through`.

    Raises ValueError that begins with builtIn or validThrough and says the remedy.
    """
    if code == _CHINA:
        return _of_china()
    if valid_through is None:
        raise ValueError(f"validThrough: is missing: say up to which day the holidays of {code} are to be believed")
    return _of_country(code, valid_through.year)


def weekend(code: str) -> frozenset[int]:
    """The days of the week, Monday 0, on which a country rests. Raises ValueError for a country without a set."""
    return frozenset({5, 6}) if code == _CHINA else frozenset(_country(code).weekend)


@functools.cache
def _of_china() -> BuiltIn:
    off = {first + number * _DAY for first, last, _ in china.TIMES_OFF for number in range((last - first).days + 1)}
    return BuiltIn(china.VALID_FROM, china.VALID_THROUGH, frozenset(off), frozenset(china.MAKE_UP_WORKDAYS))


@functools.lru_cache(maxsize=64)
def _of_country(code: str, last_year: int) -> BuiltIn:
    # Remembered: a calendar is read again at each look, and a century of days takes a tenth of a second.
    known = _country(code)
    if last_year > known.end_year:
        raise ValueError(f"validThrough: the built-in set of {code} ends with {known.end_year}: end there")
    first_year = max(FIRST_DAY.year, known.start_year)
    days = _country(code, *range(first_year, last_year + 1))
    off = frozenset(days)
    return BuiltIn(date(first_year, 1, 1), None, off, frozenset(days.weekend_workdays) - off)


def _country(code: str, *years: int) -> Any:
    """What the package knows of a country; Any, because it makes its classes at run time."""
    # Imported here: it takes 11 MB and an eighth of a second, and most installations never ask for it.
    from holidays import country_holidays

    country, _, part = code.partition("-")
    try:
        return country_holidays(country, subdiv=part or None, years=years or None)
    except NotImplementedError as error:
        raise ValueError(
            f"builtIn: {code} is not among the built-in sets: list its days in holidays and workdays instead ({error})"
        ) from error

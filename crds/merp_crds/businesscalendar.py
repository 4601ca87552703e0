"""BusinessCalendar: which days are worked, declared by hand or taken from a built-in set, and until when that is known.

`working_days` turns a spec into the answers. A day that the calendar does not know is answered by weekend and explicit
entries alone, and `valid_from` and `valid_through` say which days those are, so that whoever asks can tell.
"""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field

from merp_crds import china, publicholidays
from merp_crds.common import Condition, Model
from merp_crds.publicholidays import FIRST_DAY, BuiltIn
from merp_crds.scheduledjob import rule, rules

# A due time that is moved further than this is no longer the same: the calendar is wrong, not the year.
_LONGEST_BREAK: Final = 366
# Thirty years of own days. The API server compares the two lists, and its rules may cost only so much.
_MOST_HOLIDAYS: Final = 500
_MOST_WORKDAYS: Final = 200
_DAY: Final = timedelta(days=1)
_DATE: Final = r"^20[0-9]{2}-[01][0-9]-[0-3][0-9]$"


def _only_a_date(value: Any) -> Any:
    """Refuses what pydantic would also take for a date: a number of seconds, a time at midnight."""
    if isinstance(value, str) and re.fullmatch(_DATE, value):
        return value
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    raise ValueError(f"{value!r} is no date of this century: write it as 2026-10-01")


Day = Annotated[
    date,
    BeforeValidator(_only_a_date),
    Field(json_schema_extra={"format": "date", "pattern": _DATE, "maxLength": 10}),
]


class Weekday(StrEnum):
    """A day of the week, Monday first."""

    MONDAY = "Monday"
    TUESDAY = "Tuesday"
    WEDNESDAY = "Wednesday"
    THURSDAY = "Thursday"
    FRIDAY = "Friday"
    SATURDAY = "Saturday"
    SUNDAY = "Sunday"


class CalendarReason(StrEnum):
    """The reasons that the condition Ready of a BusinessCalendar gives."""

    VALID = "Valid"
    EXPIRES_SOON = "ExpiresSoon"
    EXPIRED = "Expired"
    INVALID_SPEC = "InvalidSpec"


_WEEK: Final = tuple(Weekday)
# Saturday and Sunday, Monday being 0.
_USUAL_WEEKEND: Final = frozenset({5, 6})


class CalendarDay(Model):
    """One day of a calendar."""

    date: Annotated[Day, Field(description="The day, YYYY-MM-DD. Example: 2026-10-01.")]
    name: Annotated[
        str | None,
        Field(default=None, min_length=1, max_length=100, description="For people. Default: none. Example: 国庆节."),
    ]


def _days(description: str, most: int) -> Any:
    return Field(
        default_factory=list,
        max_length=most,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["date"]},
        description=description,
    )


class BusinessCalendarSpec(Model):
    """Which days are worked."""

    weekend: Annotated[
        list[Weekday] | None,
        Field(
            default=None,
            max_length=7,
            json_schema_extra={"x-kubernetes-list-type": "set"}
            | rules(rule("self.size() < 7", "a weekend of seven days leaves no working day: leave one out")),
            description="Days of the week that are no working days; [] for none. Default: [Saturday, Sunday]; where "
            "the country of builtIn has another weekend it has to be written. Example: [Friday, Saturday].",
        ),
    ]
    built_in: Annotated[
        str | None,
        Field(
            default=None,
            pattern=r"^[A-Z]{2}(-[A-Z0-9]{1,3})?$",
            max_length=6,
            description="Country whose public holidays count, ISO 3166-1, or a part of it, ISO 3166-2. CN has the "
            "State Council's make-up workdays too. Default: none. Examples: CN, DE, DE-BY.",
        ),
    ]
    holidays: Annotated[
        list[CalendarDay],
        _days(
            "Days that are no working days, whatever builtIn and weekend say. Default: none. Example: "
            "[{date: '2026-12-24', name: stocktaking}].",
            _MOST_HOLIDAYS,
        ),
    ]
    workdays: Annotated[
        list[CalendarDay],
        _days(
            "Days that are worked (make-up workdays, 调休), whatever builtIn and weekend say. Default: none. Example: "
            "[{date: '2026-10-10'}].",
            _MOST_WORKDAYS,
        ),
    ]
    valid_from: Annotated[
        Day | None,
        Field(
            default=None,
            description="First day that the calendar knows, YYYY-MM-DD. Default: no limit; with builtIn the first day "
            f"of its set (CN: {china.VALID_FROM}, others: {FIRST_DAY} or later). Example: 2026-01-01.",
        ),
    ]
    valid_through: Annotated[
        Day | None,
        Field(
            default=None,
            description="Last day that the calendar knows, YYYY-MM-DD: up to it the entries are complete. Required, "
            f"except with builtIn CN, whose set has its own ({china.VALID_THROUGH}). Example: 2026-12-31.",
        ),
    ]


SPEC_RULES: Final = rules(
    rule(
        "has(self.validThrough) || (has(self.builtIn) && self.builtIn == 'CN')",
        "validThrough: say up to which day the entries are complete, for example 2026-12-31; only builtIn CN has its "
        "own",
    ),
    rule(
        "!has(self.validFrom) || !has(self.validThrough) || self.validFrom <= self.validThrough",
        "validThrough: is before validFrom: no day would be known",
    ),
    # Which date it is says working_days: a message that looks for it costs more than the API server allows.
    rule(
        "!has(self.holidays) || !has(self.workdays) || "
        "self.holidays.all(off, !self.workdays.exists(on, on.date == off.date))",
        "holidays: a date is in workdays too: leave it out of one of them",
    ),
)


class BusinessCalendarStatus(Model):
    """What the operator says of it."""

    observed_generation: Annotated[
        int | None, Field(default=None, ge=0, description="The metadata.generation this was computed from.")
    ]
    conditions: Annotated[
        list[Condition],
        Field(
            default_factory=list,
            max_length=8,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
            description="Ready: the definition is good. Its reason says ExpiresSoon or Expired where it ends.",
        ),
    ]
    valid_from: Annotated[Day | None, Field(default=None, description="First day that it knows. None: no limit.")]
    valid_through: Annotated[Day | None, Field(default=None, description="Last day that it knows.")]


@dataclass(frozen=True, slots=True)
class WorkingDays:
    """A calendar that has been read: it answers for every day. Made by `working_days`.

    `valid_from` (None: no limit) and `valid_through` are the first and last day that it knows; beyond them it answers
    by weekend and explicit entries alone. `digest` is equal for calendars that give the same answers. `longest_break`
    is the most days in a row that are no working days, and so how far a day is moved at most.
    """

    name: str
    valid_from: date | None
    valid_through: date
    digest: str
    longest_break: int
    weekend: frozenset[int]
    # Only what differs from the weekend: days off in the week, and days of the weekend that are worked.
    off: frozenset[date]
    on: frozenset[date]

    def knows(self, day: date) -> bool:
        """Whether the day is one that the calendar was made for."""
        return day <= self.valid_through and (self.valid_from is None or self.valid_from <= day)

    def is_working_day(self, day: date) -> bool:
        """Whether the day is worked."""
        return day in self.on if day.weekday() in self.weekend else day not in self.off

    def next_working_day(self, day: date) -> date:
        """The day itself if it is worked, else the first one after it that is."""
        # No longer than longest_break: a calendar with more than a year off is refused when it is read.
        while not self.is_working_day(day):
            day += _DAY
        return day

    def previous_working_day(self, day: date) -> date:
        """The day itself if it is worked, else the last one before it that is."""
        while not self.is_working_day(day):
            day -= _DAY
        return day


def working_days(name: str, spec: BusinessCalendarSpec) -> WorkingDays:
    """The answers of a calendar. Raises ValueError that begins with the field's name and says the remedy."""
    holidays, workdays = _dates("holidays", spec.holidays), _dates("workdays", spec.workdays)
    both = holidays & workdays
    if both:
        raise ValueError(f"holidays: {min(both)} is in workdays too: leave it out of one of them")
    built_in = None if spec.built_in is None else publicholidays.built_in(spec.built_in, spec.valid_through)
    weekend = _weekend(spec)
    valid_from = spec.valid_from or (built_in.valid_from if built_in is not None else None)
    valid_through = spec.valid_through or (built_in.valid_through if built_in is not None else None)
    if valid_through is None:
        raise ValueError(
            "validThrough: is missing: say up to which day the entries are complete, for example 2026-12-31"
        )
    if valid_from is not None and valid_through < valid_from:
        raise ValueError(f"validThrough: {valid_through} is before {valid_from}, the first day: no day would be known")
    off, on = set(holidays), set(workdays)
    if built_in is not None:
        first = valid_from or built_in.valid_from
        _check_range(spec, built_in, first, valid_through, holidays)
        explicit = holidays | workdays
        off |= {day for day in built_in.off - explicit if first <= day <= valid_through}
        on |= {day for day in built_in.on - explicit if first <= day <= valid_through}
    off = {day for day in off if day.weekday() not in weekend}
    on = {day for day in on if day.weekday() in weekend}
    return WorkingDays(
        name=name,
        valid_from=valid_from,
        valid_through=valid_through,
        digest=_digest(weekend, off, on),
        longest_break=_longest_break(weekend, off, on),
        weekend=weekend,
        off=frozenset(off),
        on=frozenset(on),
    )


def _dates(field: str, entries: Iterable[CalendarDay]) -> set[date]:
    found: set[date] = set()
    for entry in entries:
        if entry.date in found:
            raise ValueError(f"{field}: {entry.date} is there twice: leave one out")
        found.add(entry.date)
    return found


def _weekend(spec: BusinessCalendarSpec) -> frozenset[int]:
    """The weekend as numbers, Monday 0. A country that rests on other days is never taken for one that does not."""
    chosen = spec.weekend
    if chosen is None:
        usual = _USUAL_WEEKEND if spec.built_in is None else publicholidays.weekend(spec.built_in)
        if usual != _USUAL_WEEKEND:
            days = ", ".join(_WEEK[number] for number in sorted(usual))
            raise ValueError(
                f"weekend: {spec.built_in} does not rest on Saturday and Sunday: write it, for example [{days}]"
            )
        return _USUAL_WEEKEND
    if len(set(chosen)) == len(_WEEK):
        raise ValueError("weekend: of seven days leaves no working day: leave one out")
    return frozenset(_WEEK.index(day) for day in chosen)


def _check_range(
    spec: BusinessCalendarSpec, built_in: BuiltIn, first: date, last: date, holidays: Iterable[date]
) -> None:
    """Whoever widens a built-in set has to bring the days of the years that it lacks."""
    by_hand = {day.year for day in holidays}
    if first < built_in.valid_from and not by_hand.issuperset(range(first.year, built_in.valid_from.year)):
        raise ValueError(
            f"validFrom: {first} is before {built_in.valid_from}, where the built-in set of {spec.built_in} begins: "
            f"put the holidays of each year before into holidays and workdays, or begin later"
        )
    end = built_in.valid_through
    if end is not None and last > end and not by_hand.issuperset(range(end.year + 1, last.year + 1)):
        raise ValueError(
            f"validThrough: {last} is after {end}, where the built-in set of {spec.built_in} ends: put the holidays "
            f"and make-up workdays of each year after it into holidays and workdays, or leave validThrough out"
        )


def _digest(weekend: frozenset[int], off: set[date], on: set[date]) -> str:
    """A hash of all that decides. The range is not in it: it changes what is known, not what is answered."""
    parts = (sorted(weekend), sorted(map(str, off)), sorted(map(str, on)))
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _longest_break(weekend: frozenset[int], off: set[date], on: set[date]) -> int:
    """The most days in a row that are not worked. Raises ValueError where they are more than a year."""

    def worked(day: date) -> bool:
        return day in on if day.weekday() in weekend else day not in off

    # Two weeks without entries show the longest weekend, also one over the week's end.
    longest = run = 0
    for number in range(14):
        run = run + 1 if number % 7 in weekend else 0
        longest = max(longest, run)
    counted = date.min
    for day in sorted(off):
        if day <= counted:
            continue
        first = last = day
        while not worked(first - _DAY):
            first -= _DAY
        while not worked(last + _DAY):
            last += _DAY
        longest, counted = max(longest, (last - first).days + 1), last
        if longest > _LONGEST_BREAK:
            raise ValueError(
                f"holidays: no day from {first} to {last} is worked, which is more than a year: put some back"
            )
    return longest

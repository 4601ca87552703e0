"""Cron as the cluster reads it: the meaning of robfig/cron v3.0.1 `ParseStandard`, which CronJobs are run by.

Not what other cron libraries mean: weekdays end at 6, ranges do not wrap, `*/1` is still a star, `*/2` is none, and a
local time that a spring night leaves out is not made up for. The steps of the search are those of the original, because
its results in a repeated or a skipped hour follow from their order.
"""

import calendar
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from merp_crds.zones import find_zone

# A search ends after this many years; what has not fired by then never does.
_YEARS: Final = 5
_DAY: Final = 86_400
_HOUR: Final = 3600
_MINUTE: Final = 60
_FIRST_DAY: Final = date(1970, 1, 1)
_MAX_INT64: Final = 2**63 - 1

# What Go's strings.Fields splits at. str.split() would also split at U+001C to U+001F.
_SPACE: Final = re.compile("[\t\n\v\f\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+")
# No more digits than Python turns into a number without complaint.
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,1000}", re.ASCII)

_ENGLISH_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTHS: Final = {name.lower(): number for number, name in enumerate(_ENGLISH_MONTHS, 1)}
_WEEKDAYS: Final = {"sun": 0, "mon": 1, "tue": 2, "wed": 3, "thu": 4, "fri": 5, "sat": 6}
_DESCRIPTORS: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


@dataclass(frozen=True, slots=True)
class _Bounds:
    name: str
    low: int
    high: int
    names: dict[str, int]


_FIELDS: Final = (
    _Bounds("minute", 0, 59, {}),
    _Bounds("hour", 0, 23, {}),
    _Bounds("day-of-month", 1, 31, {}),
    _Bounds("month", 1, 12, _MONTHS),
    _Bounds("day-of-week", 0, 6, _WEEKDAYS),
)


@dataclass(frozen=True, slots=True)
class _Field:
    values: frozenset[int]
    star: bool


@dataclass(frozen=True, slots=True)
class Cron:
    """A cron expression in a zone."""

    expression: str
    zone: ZoneInfo
    minute: _Field
    hour: _Field
    day: _Field
    month: _Field
    weekday: _Field

    @classmethod
    def parse(cls, expression: str, time_zone: str) -> "Cron":
        """The schedule that `expression` is in the IANA zone `time_zone`.

        Raises ValueError that begins with the field's name (minute, hour, day-of-month, month, day-of-week, cron or
        timeZone) and, where the habit is known, says the spelling that works.
        """
        zone = find_zone(time_zone)
        fields = [_parse_field(text, bounds) for text, bounds in zip(_split(expression), _FIELDS, strict=True)]
        return cls(expression, zone, *fields)

    def after(self, moment: datetime) -> datetime | None:
        """The first due time strictly after `moment` (aware), in UTC; None if there is none within five years."""
        if moment.tzinfo is None:
            raise ValueError("moment needs a time zone")
        if not (self.minute.values and self.hour.values):
            # A field of nothing but commas: the search would look at every minute of five years.
            return None
        found = _Search(self, int(moment.timestamp() // 1) + 1).run()
        return None if found is None else datetime.fromtimestamp(found, UTC)

    def matches_day(self, day: date) -> bool:
        """Whether a local date matches in month, day-of-month and day-of-week."""
        return day.month in self.month.values and self.matches_in_month(day)

    def matches_in_month(self, day: date) -> bool:
        """Whether the two day fields match; where both are restricted, either is enough."""
        of_month = day.day in self.day.values
        of_week = day.isoweekday() % 7 in self.weekday.values
        return (of_month and of_week) if self.day.star or self.weekday.star else (of_month or of_week)


def _split(expression: str) -> list[str]:
    if "TZ" in expression:
        raise ValueError("cron: a zone does not belong in the schedule: put it into schedule.timeZone")
    if expression.startswith("@"):
        return _describe(expression).split(" ")
    fields = [field for field in _SPACE.split(expression) if field]
    if len(fields) == len(_FIELDS):
        return fields
    if len(fields) in (6, 7):
        raise ValueError(
            f"cron: five fields are expected and {len(fields)} came: minute hour day-of-month month day-of-week, "
            "without seconds in front or a year behind"
        )
    raise ValueError(
        f"cron: five fields are expected and {len(fields)} came: minute hour day-of-month month day-of-week"
    )


def _describe(expression: str) -> str:
    if expression.startswith("@every"):
        raise ValueError("cron: @every drifts from start to start: use schedule.intervalSeconds")
    if expression == "@reboot":
        raise ValueError("cron: @reboot has no meaning in a cluster: start the job by hand or with a JobRun")
    if expression not in _DESCRIPTORS:
        raise ValueError(f"cron: {expression!r} is unknown: write {', '.join(_DESCRIPTORS)} or five fields")
    return _DESCRIPTORS[expression]


def _parse_field(text: str, bounds: _Bounds) -> _Field:
    values: set[int] = set()
    star = False
    # A field of nothing but commas is valid for the cluster, and never fires.
    for part in filter(None, text.split(",")):
        some, starred = _parse_range(part, bounds)
        values.update(some)
        star = star or starred
    return _Field(frozenset(values), star)


def _parse_range(part: str, bounds: _Bounds) -> tuple[range, bool]:
    span, *steps = part.split("/")
    low_text, *high_texts = span.split("-")
    star = low_text in ("*", "?")
    if star:
        # What follows the star up to a slash is never looked at: `*-5` is `*`.
        low, high = bounds.low, bounds.high
    elif len(high_texts) > 1:
        raise ValueError(f"{bounds.name}: {part!r} has too many hyphens: write a range as 1-5")
    else:
        low = _parse_value(low_text, bounds)
        high = _parse_value(high_texts[0], bounds) if high_texts else low
    if len(steps) > 1:
        raise ValueError(f"{bounds.name}: {part!r} has too many slashes: write a step as */5 or 10-50/5")
    step = 1
    if steps:
        step = _parse_integer(steps[0], bounds)
        # `5/15` is from 5 to the end.
        high = high if high_texts else bounds.high
        star = star and step <= 1
    _check_range(part, low, high, step, bounds)
    return range(low, high + 1, step), star


def _check_range(part: str, low: int, high: int, step: int, bounds: _Bounds) -> None:
    sunday = ": write Sunday as 0 or SUN" if bounds.high == 6 and 7 in (low, high) else ""
    if low < bounds.low:
        raise ValueError(f"{bounds.name}: {low} in {part!r} is below {bounds.low}")
    if high > bounds.high:
        raise ValueError(f"{bounds.name}: {high} in {part!r} is above {bounds.high}{sunday}")
    if low > high:
        raise ValueError(
            f"{bounds.name}: {part!r} ends before it begins, and ranges do not wrap: write {_unwrap(low, high, bounds)}"
        )
    if step == 0:
        raise ValueError(f"{bounds.name}: {part!r} has a step of 0: write a step of 1 or more")


def _unwrap(low: int, high: int, bounds: _Bounds) -> str:
    values = [*range(low, bounds.high + 1), *range(bounds.low, high + 1)]
    if bounds.names:
        spelled = {number: name.upper() for name, number in bounds.names.items()}
        return ",".join(spelled[value] for value in values)
    return f"{_span(low, bounds.high)},{_span(bounds.low, high)}"


def _span(low: int, high: int) -> str:
    return str(low) if low == high else f"{low}-{high}"


def _parse_value(text: str, bounds: _Bounds) -> int:
    # Go lowers a dotted capital I to a plain one; Python to two characters.
    named = bounds.names.get(text.replace("\u0130", "i").lower())
    return _parse_integer(text, bounds) if named is None else named


def _parse_integer(text: str, bounds: _Bounds) -> int:
    if not _INTEGER.fullmatch(text) or abs(int(text)) > _MAX_INT64:
        raise ValueError(f"{bounds.name}: {text!r} is no number{_habit(text, bounds)}")
    number = int(text)
    if number < 0:
        raise ValueError(f"{bounds.name}: {text} is below {bounds.low}")
    return number


def _habit(text: str, bounds: _Bounds) -> str:
    if text.upper().endswith("L") and bounds.name in ("day-of-month", "day-of-week"):
        return ": L (last) is not known to the cluster: use a job with a calendar, or the day before the first"
    if text.upper().endswith("W") and bounds.name == "day-of-month":
        return ": W (nearest weekday) is not known to the cluster: use schedule.calendar"
    if "#" in text:
        return ": # (nth weekday) is not known to the cluster: write the days, as in 8-14, and check the weekday"
    if bounds.names:
        return f" from {bounds.low} to {bounds.high}, and no name such as {next(iter(bounds.names)).upper()}"
    return f" from {bounds.low} to {bounds.high}"


class _Search:
    """The original's search for the next match, in seconds since 1970.

    `settled` is false while the moment still has the seconds (minutes, hours) it began with: the first field that does
    not match sets what is below it to zero, once.
    """

    def __init__(self, cron: Cron, start: int) -> None:
        self.cron = cron
        self.now = start
        self.settled = False

    def run(self) -> int | None:
        last_year = self._local().year + _YEARS
        while self._local().year <= last_year:
            # Each step is false where it came past the end of what the field above it allowed.
            if self._month() and self._day() and self._hour() and self._minute() and self._second():
                return self.now
        return None

    def _local(self) -> datetime:
        return datetime.fromtimestamp(self.now, self.cron.zone)

    def _month(self) -> bool:
        while (local := self._local()).month not in self.cron.month.values:
            if not self.settled:
                self.settled = True
                self.now = self._instant(local.date().replace(day=1), 0)
                local = self._local()
            self.now = self._instant(_next_month(local.date()), _seconds_of_day(local))
            if self._local().month == 1:
                return False
        return True

    def _day(self) -> bool:
        while not self.cron.matches_in_month(local := self._local()):
            if not self.settled:
                self.settled = True
                self.now = self._instant(local.date(), 0)
                local = self._local()
            before = self.now
            self.now = self._instant(local.date() + timedelta(days=1), _seconds_of_day(local))
            # Where the night's clock change left no midnight, back or on to the hour next to it.
            hour = self._local().hour
            if hour != 0:
                self.now += (24 - hour) * _HOUR if hour > 12 else -hour * _HOUR
            if self.now <= before:
                # A zone left out a whole day (Samoa's 30 December 2011): the original never gets past it.
                self.now = before + _DAY
            if self._local().day == 1:
                return False
        return True

    def _hour(self) -> bool:
        while (local := self._local()).hour not in self.cron.hour.values:
            if not self.settled:
                self.settled = True
                self.now = self._instant(local.date(), local.hour * _HOUR)
            self.now += _HOUR
            if self._local().hour == 0:
                return False
        return True

    def _minute(self) -> bool:
        while self._local().minute not in self.cron.minute.values:
            if not self.settled:
                self.settled = True
                self.now -= self.now % _MINUTE
            self.now += _MINUTE
            if self._local().minute == 0:
                return False
        return True

    def _second(self) -> bool:
        while self._local().second != 0:
            self.settled = True
            self.now += 1
            if self._local().second == 0:
                return False
        return True

    def _instant(self, day: date, seconds: int) -> int:
        """The instant of a local time, as Go's time.Date chooses it where there are two or none."""
        wall = (day - _FIRST_DAY).days * _DAY + seconds
        guess = wall - self._offset(wall)
        return wall - self._offset(guess)

    def _offset(self, instant: int) -> int:
        offset = datetime.fromtimestamp(instant, self.cron.zone).utcoffset()
        assert offset is not None, "an aware time always has an offset"
        return int(offset.total_seconds())


def _seconds_of_day(local: datetime) -> int:
    return local.hour * _HOUR + local.minute * _MINUTE + local.second


def _next_month(day: date) -> date:
    """The same day of the next month; past its end it runs over into the month after, as Go's AddDate does."""
    year, month = (day.year + 1, 1) if day.month == 12 else (day.year, day.month + 1)
    length = calendar.monthrange(year, month)[1]
    if day.day <= length:
        return date(year, month, day.day)
    return date(year, month, length) + timedelta(days=day.day - length)

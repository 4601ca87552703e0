"""What a good schedule says that is often not meant: sentences for people, beginning with the field."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from merp_crds.cron import Cron
from merp_crds.scheduledjob import Dst, Schedule
from merp_crds.series import AsCluster
from merp_crds.wallclock import SECOND, WallClock
from merp_crds.walls import Walls

_YEAR: Final = timedelta(days=366)
_FIELDS: Final = ("minute", "hour", "day-of-month", "month", "day-of-week")
_LOWEST: Final = (0, 0, 1, 1, 0)
# Of a minute and an hour: how many there are, of what, and their seconds.
_CYCLES: Final = ((60, "hour", "minutes", 60), (24, "day", "hours", 3600))
_EVERY_DAY: Final = 31
_EVERY_WEEKDAY: Final = 7
_EVERY_HOUR: Final = 24


def warnings(schedule: Schedule, default_zone: str, after: datetime | None = None) -> list[str]:
    """What is likely not meant; empty for most schedules. Raises ValueError as check() does.

    With `after` also the local times that the clock changes of the year behind it leave out or repeat.
    """
    if schedule.cron is None:
        return []
    cron = Cron.parse(schedule.cron, schedule.time_zone or default_zone)
    found = [*_steps(cron), *_either_day(cron), *_leap_years(cron)]
    if after is not None and schedule.dst is Dst.AS_CLUSTER:
        found += _clock_changes(cron, after)
    return found


def _steps(cron: Cron) -> Iterator[str]:
    texts = [] if cron.expression.startswith("@") else cron.expression.split()
    values = (cron.minute.values, cron.hour.values, cron.day.values, cron.month.values, cron.weekday.values)
    for index, text in enumerate(texts):
        span, _, step_text = text.partition("/")
        if span not in ("*", "?", str(_LOWEST[index])) or not step_text.isdecimal() or int(step_text) <= 1:
            continue
        step = int(step_text)
        if len(values[index]) == 1:
            yield f"{_FIELDS[index]}: {text} means {_LOWEST[index]} alone{_instead(index, step)}"
        elif index < len(_CYCLES):
            size, cycle, unit, _ = _CYCLES[index]
            # With several minutes in the hour there is no even gap to begin with.
            if size % step and (index == 0 or len(cron.minute.values) == 1):
                last = max(values[index])
                yield (
                    f"{_FIELDS[index]}: {text} begins anew each {cycle}: {last} is followed by 0, {size - last} "
                    f"{unit} later{_instead(index, step)}"
                )


def _instead(index: int, step: int) -> str:
    if index >= len(_CYCLES):
        return ""
    _, _, unit, seconds = _CYCLES[index]
    return f": for every {step} {unit} write intervalSeconds: {step * seconds}"


def _either_day(cron: Cron) -> Iterator[str]:
    either = not (cron.day.star or cron.weekday.star)
    if either and len(cron.day.values) < _EVERY_DAY and len(cron.weekday.values) < _EVERY_WEEKDAY:
        yield (
            "day-of-week: day-of-month is restricted too, and a day that matches either of them counts, as no cron "
            "asks for both: write * in the one that does not matter"
        )


def _leap_years(cron: Cron) -> Iterator[str]:
    walls = Walls.of(cron)
    # 2028 is a leap year, the three before are none.
    if not walls.count(datetime(2025, 1, 1), datetime(2028, 1, 1)) and walls.after(datetime(2025, 1, 1)) is not None:  # noqa: DTZ001  (walls are naive)
        yield "day-of-month: 29 February is in leap years only: write 28 or 1 if every year was meant"


def _clock_changes(cron: Cron, after: datetime) -> Iterator[str]:
    if len(cron.hour.values) == _EVERY_HOUR:
        # It is due all the time; one hour more or less is no surprise.
        return
    clock, walls = WallClock(cron.zone), Walls.of(cron)
    series = AsCluster(cron, walls, clock)
    seen: set[bool] = set()
    for change in clock.changes(after, after + _YEAR):
        before, behind = clock.wall(change - SECOND) + SECOND, clock.wall(change)
        skips = behind > before
        low, high = (before, behind) if skips else (behind, before)
        wall = next(walls.between(low - SECOND, high - SECOND), None)
        if wall is None or skips in seen:
            continue
        first = clock.instant(wall)
        instants = () if skips else (first, first + (before - behind))
        if skips or all(series.count(instant - SECOND, instant) for instant in instants):
            seen.add(skips)
            hours = f"{low:%H:%M} to {high:%H:%M}"
            yield f"timeZone: on {wall:%Y-%m-%d} the clocks of {cron.zone.key} " + (
                f"leave out {hours}: nothing is due for {wall:%H:%M}; with dst: Once it is due at the end of the gap"
                if skips
                else f"show {hours} twice: {wall:%H:%M} is due twice; with dst: Once it is due the first time only"
            )

"""The answers of the library that CronJobs are run by, committed: nothing needs to be built to see a difference."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from merp_crds.cron import Cron
from merp_crds.schedule import Timetable
from merp_crds.scheduledjob import Schedule

ROWS = [json.loads(line) for line in (Path(__file__).parent / "golden_cron.jsonl").read_text().splitlines()]
EXPRESSIONS = list(dict.fromkeys(expression for expression, *_ in ROWS))
# From the leap day of 2096 to that of 2104 the library gives up after five years; a timetable looks on.
TOO_FAR = datetime(2096, 1, 1, tzinfo=UTC).timestamp()


@pytest.mark.parametrize("expression", [pytest.param(text, id=repr(text)) for text in EXPRESSIONS])
def test_cron_is_as_the_golden_file_says(expression: str) -> None:
    found = []
    for _, zone, moment, times in rows_of(expression):
        try:
            cron = Cron.parse(expression, zone)
        except ValueError:
            found.append(None)
            continue
        due, answer = cron.after(datetime.fromtimestamp(moment, UTC)), []
        while due is not None and len(answer) < len(times):
            answer.append(int(due.timestamp()))
            due = cron.after(due)
        # Where fewer than five are listed, none follows.
        found.append(answer if len(times) == 5 or due is None else [*answer, "more"])
    assert found == [times for *_, times in rows_of(expression)]


@pytest.mark.parametrize("expression", [pytest.param(text, id=repr(text)) for text in EXPRESSIONS])
def test_a_timetable_is_as_the_golden_file_says(expression: str) -> None:
    rows = [row for row in rows_of(expression) if row[3] is not None and row[2] < TOO_FAR]
    found = []
    for _, zone, moment, times in rows:
        timetable = Timetable.of(Schedule(cron=expression, time_zone=zone))
        start, end = datetime.fromtimestamp(moment, UTC), datetime.fromtimestamp(times[-1] if times else moment, UTC)
        found.append([int(due.timestamp()) for due in timetable.between(start, end)])
        assert timetable.count(start, end) == len(times)
        assert (timetable.newest(start, end) is None) is (not times)
    assert found == [times for *_, times in rows]


def rows_of(expression: str) -> list[tuple[str, str, int, list[int] | None]]:
    return [row for row in ROWS if row[0] == expression]

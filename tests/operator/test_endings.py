"""Verdicts without a run: in words, and as ranges where there are many."""

from datetime import datetime, timedelta

import pytest
from cluster_objects import scheduled_job
from due_times import NOON

from merp_crds.reasons import Reason, Verdict
from merp_crds.schedule import Timetable
from merp_crds.scheduledjob import Schedule, Unrecorded
from merp_operator.endings import explain, merged
from merp_operator.observe import observe
from merp_operator.records import ending_record

MINUTELY = Timetable.of(Schedule(cron="* * * * *"))


def minute(number: int) -> datetime:
    return NOON + timedelta(minutes=number)


def ending(first: int, last: int | None = None, reason: Reason = Reason.OVERLAP) -> Unrecorded:
    """Of the due times from a minute after noon to another; decided a second after the last."""
    end = first if last is None else last
    return Unrecorded(
        first=minute(first),
        last=minute(end),
        count=end - first + 1,
        verdict=Verdict.MISSED if reason is Reason.OUTAGE else Verdict.SKIPPED,
        reason=reason,
        at=minute(end) + timedelta(seconds=1),
    )


def one_by_one(first: int, last: int) -> list[Unrecorded]:
    return [ending(number) for number in range(first, last + 1)]


@pytest.mark.parametrize(
    ("entries", "committed", "expected"),
    [
        pytest.param([], [], [], id="does-nothing-without-any"),
        pytest.param(one_by_one(1, 20), [], one_by_one(1, 20), id="does-nothing-about-a-few"),
        pytest.param(one_by_one(1, 21), [], [ending(1, 21)], id="neighbours"),
        pytest.param([*reversed(one_by_one(1, 21))], [], [ending(1, 21)], id="in-any-order"),
        pytest.param([ending(1, 30), *one_by_one(31, 50)], [], [ending(1, 50)], id="a-range-and-its-neighbours"),
        pytest.param(
            one_by_one(1, 30), [ending(11)], [ending(1, 10), ending(11), ending(12, 30)], id="not-what-is-recorded"
        ),
        pytest.param(
            [*one_by_one(1, 10), *one_by_one(12, 22)], [], [ending(1, 10), ending(12, 22)], id="not-over-one-that-ran"
        ),
        pytest.param(
            [*one_by_one(1, 10), ending(11, reason=Reason.OUTAGE), *one_by_one(12, 22)],
            [],
            [ending(1, 10), ending(11, reason=Reason.OUTAGE), ending(12, 22)],
            id="not-with-another-reason",
        ),
        pytest.param([*one_by_one(1, 21), ending(21)], [], [ending(1, 21), ending(21)], id="none-is-counted-twice"),
    ],
)
def test_many_are_ranges(entries: list[Unrecorded], committed: list[Unrecorded], expected: list[Unrecorded]) -> None:
    found = merged(entries, committed, MINUTELY)
    assert found == expected
    assert sum(entry.count for entry in found) == sum(entry.count for entry in entries)


def test_ranges_stay_as_they_are_when_nothing_is_added() -> None:
    entries = [*one_by_one(1, 10), *[ending(number) for number in range(12, 60, 2)]]
    once = merged(entries, [], MINUTELY)
    assert merged(once, [], MINUTELY) == once


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        pytest.param(ending(1), "the run before it was not finished, and overlap is forbidden", id="one"),
        pytest.param(
            ending(1, 3, Reason.OUTAGE),
            "nothing could start it: the cluster or the operator was away; "
            "3 due times from 2026-11-25T12:01:00Z to 2026-11-25T12:03:00Z",
            id="a-range",
        ),
    ],
)
def test_in_words(entry: Unrecorded, expected: str) -> None:
    assert explain(entry) == expected


@pytest.mark.parametrize(
    ("entry", "count", "end"),
    [
        pytest.param(ending(1), 1, None, id="one"),
        pytest.param(ending(1, 3, Reason.OUTAGE), 3, minute(3), id="a-range"),
    ],
)
def test_a_record_says_how_many_due_times_it_stands_for(entry: Unrecorded, count: int, end: datetime | None) -> None:
    row = ending_record(observe(scheduled_job(), None, [], []), entry)
    assert (row.due_time, row.due_time_end, row.count) == (minute(1), end, count)
    assert row.error == explain(entry)

"""The API server's time from the dates of its answers."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import SimpleNamespace

import pytest

from merp_kube import serverclock
from merp_kube.serverclock import ServerClock

NOON = datetime(2026, 11, 25, 12, 0, 0, tzinfo=UTC)


def answer(clock: ServerClock, server: datetime, local: datetime, seconds: float = 0.0) -> None:
    """An answer that the server dated in the middle of the time it took."""
    half = timedelta(seconds=seconds / 2)
    clock.heard(format_datetime(server.replace(microsecond=0), usegmt=True), local - half, local + half)


@pytest.mark.parametrize(
    ("skew", "expected"),
    [
        pytest.param(0.0, (0.0, 0.0), id="does-nothing-where-they-agree"),
        pytest.param(0.4, (0.0, 0.0), id="does-nothing-within-the-resolution"),
        pytest.param(90.0, (89.0, 90.0), id="server-ahead"),
        pytest.param(-90.0, (-90.0, -89.0), id="server-behind"),
    ],
)
def test_the_offset_after_one_answer(skew: float, expected: tuple[float, float]) -> None:
    clock = ServerClock(lambda: NOON)
    answer(clock, NOON + timedelta(seconds=skew), NOON)
    assert expected[0] <= clock.offset.total_seconds() <= expected[1]
    assert clock.now() == NOON + clock.offset


def test_more_answers_narrow_it() -> None:
    clock = ServerClock(lambda: NOON)
    for tenth in range(11):
        local = NOON + timedelta(seconds=tenth / 10)
        answer(clock, local + timedelta(seconds=5.5), local)
    assert abs(clock.offset.total_seconds() - 5.5) <= 0.15


def test_a_clock_that_was_set_counts_anew() -> None:
    clock = ServerClock(lambda: NOON)
    answer(clock, NOON + timedelta(minutes=10), NOON)
    answer(clock, NOON, NOON)
    assert clock.offset == timedelta()


@pytest.mark.parametrize("date", ["", "yesterday", "Wed, 25 Nov 2026 12:00:00"], ids=["none", "words", "naive"])
def test_a_date_that_cannot_be_read_says_nothing(date: str) -> None:
    clock = ServerClock(lambda: NOON)
    clock.heard(date, NOON, NOON)
    assert clock.offset == timedelta()


def test_before_any_answer_it_is_this_machines() -> None:
    assert ServerClock(lambda: NOON).now() == NOON


@pytest.mark.parametrize(
    ("set_by", "passed", "expected"),
    [
        pytest.param(0.0, 0.0, 0.0, id="does-nothing-at-once"),
        pytest.param(0.0, 5.0, 5.0, id="goes-on"),
        pytest.param(3600.0, 5.0, 5.0, id="set-forward"),
        pytest.param(-3600.0, 5.0, 5.0, id="set-back"),
    ],
)
def test_this_machines_time_only_goes_on_whoever_sets_its_clock(
    monkeypatch: pytest.MonkeyPatch, set_by: float, passed: float, expected: float
) -> None:
    wall, steady = [NOON], [1000.0]
    monkeypatch.setattr(serverclock, "datetime", SimpleNamespace(now=lambda zone: wall[0].astimezone(zone)))
    monkeypatch.setattr(serverclock, "time", SimpleNamespace(monotonic=lambda: steady[0]))
    clock = ServerClock()
    wall[0] += timedelta(seconds=set_by + passed)
    steady[0] += passed
    assert clock.now() == clock.local() == NOON + timedelta(seconds=expected)


def test_a_server_that_is_ahead_stays_so_when_this_machines_clock_is_set_right(monkeypatch: pytest.MonkeyPatch) -> None:
    wall, steady = [NOON], [1000.0]
    monkeypatch.setattr(serverclock, "datetime", SimpleNamespace(now=lambda zone: wall[0].astimezone(zone)))
    monkeypatch.setattr(serverclock, "time", SimpleNamespace(monotonic=lambda: steady[0]))
    clock = ServerClock()
    answer(clock, NOON + timedelta(minutes=10), clock.local())
    before = clock.now()
    wall[0] += timedelta(minutes=10)
    steady[0] += 2.0
    assert clock.now() == before + timedelta(seconds=2)

"""What becomes of due times: a table of situations, and a world of two clocks with any outages."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from merp_crds.reasons import Trigger
from merp_crds.schedule import Timetable
from merp_crds.scheduledjob import Accounted, Missed, Schedule, Unrecorded
from merp_operator import accounting
from merp_operator.accounting import Decision
from merp_operator.situation import Situation

NOON = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
CREATED = datetime(2026, 11, 1, tzinfo=UTC)


def at(text: str) -> datetime:
    """A time of the day, as 12:01 or 12:01:03."""
    hour, minute, *second = map(int, text.split(":"))
    return NOON.replace(hour=hour, minute=minute, second=second[0] if second else 0)


def situation(
    schedule: dict[str, Any] | None = None,
    *,
    missed: dict[str, Any] | None = None,
    until: str | None = "11:59",
    started: tuple[str, ...] = (),
    unrecorded: tuple[tuple[str, str], ...] = (),
    spans: tuple[tuple[str, str | None], ...] = (),
    native_last: str | None = None,
    **fields: Any,
) -> Situation:
    """A job of every minute on the native clock whose due times are accounted for up to `until`."""
    timetable = Timetable.of(Schedule.model_validate(schedule or {"cron": "* * * * *"}))
    found = Situation(
        timetable=timetable,
        only=None,
        created=CREATED,
        generation=1,
        suspended=False,
        native=True,
        missed=Missed.model_validate(missed or {}),
        forbid=True,
        accounted=None,
        started=frozenset(map(at, started)),
        native_last=None if native_last is None else at(native_last),
        unrecorded=tuple(
            Unrecorded.model_validate(
                {"first": at(first), "last": at(last), "count": 1, "verdict": "missed", "reason": "Outage", "at": NOON}
            )
            for first, last in unrecorded
        ),
        spans=tuple((at(begin), None if end is None else at(end)) for begin, end in spans),
    )
    found = replace(found, **fields)
    return found if until is None else replace(found, accounted=Accounted(until=at(until), hash=found.digest))


def told(decision: Decision) -> dict[str, Any]:
    """A decision in words."""
    return {
        "starts": [f"{start.due_time:%H:%M:%S} {start.trigger.value}" for start in decision.starts],
        "endings": [
            f"{entry.first:%H:%M:%S} {entry.verdict.value}({entry.reason.value})"
            + (f" x{entry.count} to {entry.last:%H:%M:%S}" if entry.count > 1 else "")
            for entry in decision.endings
        ],
        "until": f"{decision.accounted.until:%H:%M:%S}",
        "again": None if decision.look_again is None else f"{decision.look_again:%H:%M:%S}",
    }


def outcome(
    starts: tuple[str, ...] = (), endings: tuple[str, ...] = (), until: str = "11:59:00", again: str | None = "12:01:03"
) -> dict[str, Any]:
    return {"starts": list(starts), "endings": list(endings), "until": until, "again": again}


RUNNING: dict[str, Any] = {"unfinished": ("j-1",), "spans": (("11:58:30", None),)}


@pytest.mark.parametrize(
    ("found", "now", "expected"),
    [
        pytest.param(situation(), "11:59:30", outcome(again="12:00:03"), id="does-nothing-before-it-is-due"),
        pytest.param(situation(), "12:00:01", outcome(again="12:00:03"), id="leaves-it-to-the-native-clock"),
        pytest.param(situation(started=("12:00",)), "12:00:01", outcome(until="12:00:00"), id="does-nothing-started"),
        pytest.param(situation(), "12:00:03", outcome(("12:00:00 schedule",)), id="starts-what-the-native-did-not"),
        pytest.param(
            situation(native=False), "12:00:00", outcome(("12:00:00 schedule",), again="12:01:00"), id="operators-clock"
        ),
        pytest.param(
            situation(**RUNNING),
            "12:00:03",
            outcome(endings=("12:00:00 skipped(Overlap)",), until="12:00:00"),
            id="overlap-is-skipped",
        ),
        pytest.param(
            situation(forbid=False, **RUNNING), "12:00:03", outcome(("12:00:00 schedule",)), id="overlap-is-allowed"
        ),
        pytest.param(
            situation(native_last="12:00"),
            "12:00:01",
            outcome(endings=("12:00:00 cancelled(JobDeleted)",), until="12:00:00"),
            id="started-natively-and-deleted",
        ),
        pytest.param(
            situation(native_last="12:00", **RUNNING),
            "12:00:01",
            outcome(endings=("12:00:00 skipped(Overlap)",), until="12:00:00"),
            id="skipped-by-an-operator-that-died-then",
        ),
        pytest.param(
            situation(lost=(at("11:50"),)),
            "11:59:30",
            outcome(endings=("11:50:00 cancelled(JobDeleted)",), again="12:00:03"),
            id="deleted-while-nobody-looked",
        ),
        pytest.param(
            situation(taken=frozenset({at("12:00")})),
            "12:00:03",
            outcome(endings=("12:00:00 skipped(NameTaken)",), until="12:00:00"),
            id="the-name-is-taken",
        ),
        # An outage from 12:00 on; nothing knows of these minutes.
        pytest.param(
            situation(started=("12:03",)),
            "12:03:10",
            outcome(endings=("12:00:00 missed(Outage)", "12:01:00 missed(Outage)"), until="12:01:00", again="12:04:00"),
            id="latest-is-the-one-that-started",
        ),
        pytest.param(
            situation({"cron": "0 */6 * * *"}),
            "12:10:00",
            outcome(("12:00:00 catch-up",), again="18:00:03"),
            id="latest-within-max-age",
        ),
        pytest.param(
            situation({"cron": "0 */6 * * *"}, missed={"maxAge": "5m"}),
            "12:10:00",
            outcome(endings=("12:00:00 missed(TooLate)",), until="12:00:00", again="18:00:03"),
            id="too-late",
        ),
        pytest.param(
            situation({"cron": "0 */6 * * *"}, missed={"policy": "Skip"}),
            "12:01:30",
            outcome(again="12:02:00"),
            id="its-verdict-waits-for-clocks-that-are-behind",
        ),
        pytest.param(
            situation({"cron": "0 */6 * * *"}, missed={"policy": "Skip"}),
            "12:02:00",
            outcome(endings=("12:00:00 missed(Outage)",), until="12:00:00", again="18:00:03"),
            id="skip",
        ),
        pytest.param(
            situation(missed={"policy": "All"}, native=False, started=("12:03",)),
            "12:03:30",
            outcome(("12:00:00 catch-up",), again="12:04:00"),
            id="all-in-order",
        ),
        pytest.param(
            situation(missed={"policy": "All"}, started=("12:00", "12:03"), unfinished=("j-0",), catching_up=True),
            "12:03:30",
            outcome(until="12:00:00", again="12:04:03"),
            id="all-one-after-the-other",
        ),
        pytest.param(
            situation(missed={"policy": "All", "maxCount": 2}, until="11:50", started=("12:03",), native=False),
            "12:03:10",
            outcome(
                ("12:01:00 catch-up",),
                (*(f"11:{minute}:00 missed(Outage)" for minute in range(51, 60)), "12:00:00 missed(Outage)"),
                until="12:00:00",
                again="12:04:00",
            ),
            id="all-of-at-most-max-count",
        ),
        pytest.param(
            situation(until="10:00", missed={"policy": "Skip"}, started=("11:59", "12:00")),
            "12:00:30",
            outcome(endings=("10:01:00 missed(Outage) x118 to 11:58:00",), until="12:00:00"),
            id="many-are-one-range",
        ),
        pytest.param(
            situation(until="11:50", missed={"policy": "Skip"}, spans=(("11:50:02", "11:57:30"),), started=("12:00",)),
            "12:00:30",
            outcome(
                endings=(
                    *(f"11:{minute}:00 skipped(Overlap)" for minute in range(51, 58)),
                    "11:58:00 missed(Outage)",
                ),
                until="11:58:00",
                again="12:01:00",
            ),
            id="a-run-was-in-the-way",
        ),
        pytest.param(
            situation(until="11:55", unrecorded=(("11:56", "11:58"),), started=("11:59", "12:00")),
            "12:00:30",
            outcome(until="12:00:00"),
            id="does-nothing-about-what-is-decided",
        ),
    ],
)
def test_decisions(found: Situation, now: str, expected: dict[str, Any]) -> None:
    assert told(accounting.decide(found, at(now))) == expected


ONCE = {"at": "2026-11-25T12:00:00Z"}
ONLY = {"only": NOON, "native": False, "until": None}


@pytest.mark.parametrize(
    ("found", "now", "expected"),
    [
        pytest.param(
            situation(ONCE, **ONLY), "12:00:00", outcome(("12:00:00 schedule",), until="00:00:00", again=None), id="due"
        ),
        pytest.param(
            situation(ONCE, created=at("12:00:40"), **ONLY),
            "12:00:40",
            outcome(("12:00:00 catch-up",), until="11:59:59", again="12:00:00"),
            id="C16-latest-within-max-age",
        ),
        pytest.param(
            situation(ONCE, created=at("12:00:40"), missed={"policy": "Skip"}, **ONLY),
            "12:00:40",
            outcome(endings=("12:00:00 missed(TooLate)",), until="12:00:00", again=None),
            id="C16-skip",
        ),
        pytest.param(
            situation(ONCE, created=at("12:00:40"), missed={"maxAge": "30s"}, **ONLY),
            "12:00:40",
            outcome(endings=("12:00:00 missed(TooLate)",), until="12:00:00", again=None),
            id="C16-past-max-age",
        ),
        pytest.param(
            situation({"at": "2020-01-01T00:00:00Z"}, **(ONLY | {"only": datetime(2020, 1, 1, tzinfo=UTC)})),
            "12:00:00",
            outcome(endings=("00:00:00 missed(TooLate)",), until="00:00:00", again=None),
            id="C16-years-ago",
        ),
        pytest.param(
            situation(ONCE, started=("12:00",), **(ONLY | {"until": "12:00"})),
            "12:30:00",
            outcome(until="12:00:00", again=None),
            id="C16-does-nothing-after-its-run",
        ),
    ],
)
def test_a_single_moment(found: Situation, now: str, expected: dict[str, Any]) -> None:
    assert told(accounting.decide(found, at(now))) == expected


def test_c13_an_edit_is_no_outage() -> None:
    before = situation({"cron": "33 16 * * *"}, until="16:33")
    edited = replace(
        before, timetable=Timetable.of(Schedule(cron="36 16 * * *")), generation=2, native_last=at("16:33")
    )
    found = accounting.decide(edited, at("16:40"))
    assert told(found) == outcome(until="16:40:00", again="16:36:03")
    assert found.look_again == at("16:36:03") + timedelta(days=1)


@pytest.mark.parametrize("policy", ["Skip", "Latest", "All"])
def test_c14_a_pause_is_no_outage(policy: str) -> None:
    running = situation({"cron": "*/10 * * * *"}, missed={"policy": policy}, until="10:00")
    paused = accounting.decide(replace(running, suspended=True), at("10:01"))
    assert told(paused) == outcome(until="10:01:00", again=None)
    later = accounting.decide(replace(running, suspended=True, accounted=paused.accounted), at("11:30"))
    assert told(later) == outcome(until="10:01:00", again=None)
    resumed = accounting.decide(replace(running, accounted=paused.accounted), at("12:07"))
    assert told(resumed) == outcome(until="12:07:00", again="12:10:03")


def test_c10_a_restart_starts_nothing() -> None:
    found = situation({"cron": "20 6 * * *", "timeZone": "Etc/GMT-3"}, until="03:20", native_last="03:20")
    assert told(accounting.decide(found, at("06:40"))) == outcome(until="03:20:00", again="03:20:03")


@pytest.mark.parametrize(
    ("created", "generation", "until"),
    [
        pytest.param("11:30", 1, "11:30:00", id="since-it-was-created"),
        pytest.param("11:30", 2, "12:00:30", id="edited-before-anybody-looked"),
    ],
)
def test_creation_is_no_outage_either(created: str, generation: int, until: str) -> None:
    found = situation({"cron": "0 0 1 1 *"}, until=None, created=at(created), generation=generation)
    assert told(accounting.decide(found, at("12:00:30")))["until"] == until


def test_a_clock_that_is_set_back_takes_nothing_back() -> None:
    found = situation({"cron": "0 * * * *"}, until="12:00")
    edited = replace(found, timetable=Timetable.of(Schedule(cron="* * * * *")))
    assert accounting.decide(edited, at("11:30")).accounted.until == at("12:00")


def test_years_of_minutes_are_one_range_and_no_storm() -> None:
    found = replace(situation(missed={"policy": "All"}), accounted=None, created=NOON - timedelta(days=6 * 365))
    decision = accounting.decide(found, at("12:00:30"))
    assert [(entry.count, entry.reason.value) for entry in decision.endings if entry.count > 1] == [
        (6 * 365 * 1440 - 1440, "TooLate"), (1339, "Outage"),
    ]  # fmt: skip
    assert [start.trigger for start in decision.starts] == [Trigger.SCHEDULE]

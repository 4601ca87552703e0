"""What becomes of due times: tables of situations."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from due_times import NOON, at, outcome, situation, told

from merp_crds.reasons import Trigger
from merp_crds.schedule import Timetable
from merp_crds.scheduledjob import Schedule
from merp_operator import accounting
from merp_operator.situation import Situation

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
        pytest.param(
            situation(starting=frozenset({at("12:00")}), unfinished=("j-0",)),
            "12:00:03",
            outcome(),
            id="does-nothing-about-what-is-being-started",
        ),
        pytest.param(
            situation({"cron": "0 */6 * * *"}, starting=frozenset({at("12:00")}), unfinished=("j-0",), forbid=False),
            "12:01:30",
            outcome(again="18:00:03"),
            id="does-nothing-about-a-catch-up-that-is-being-started",
        ),
        pytest.param(
            situation(
                missed={"policy": "All"}, started=("12:02", "12:03"), starting=frozenset({at("12:00")}), forbid=False
            ),
            "12:03:10",
            outcome(again="12:04:03"),
            id="all-one-after-the-other-also-before-its-job-is-there",
        ),
        pytest.param(
            situation({"cron": "*/2 * * * *"}, until="12:00", started=("12:04",), starting=frozenset({at("12:02")})),
            "12:04:02",
            outcome(until="12:00:00", again="12:06:03"),
            id="latest-is-not-missed-while-it-is-being-started",
        ),
        pytest.param(
            situation({"intervalSeconds": 30}, native=False, until="11:59:30"),
            "12:00:30",
            outcome(("12:00:00 schedule",), until="11:59:30", again="12:01:00"),
            id="a-start-that-may-be-refused-overlaps-with-nothing-yet",
        ),
        pytest.param(
            situation(
                missed={"policy": "All", "maxCount": 2},
                started=("12:00", "12:02", "12:03", "12:04"),
                forbid=False,
                catching_up=True,
                unfinished=("j-0",),
            ),
            "12:04:30",
            outcome(until="12:00:00", again="12:05:03"),
            id="max-count-is-of-what-was-missed-not-of-what-ran",
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
        pytest.param(
            situation(ONCE, created=at("12:00:40"), starting=frozenset({NOON}), **ONLY),
            "12:00:41",
            outcome(until="11:59:59", again=None),
            id="C16-does-nothing-while-it-is-being-started",
        ),
    ],
)
def test_a_single_moment(found: Situation, now: str, expected: dict[str, Any]) -> None:
    assert told(accounting.decide(found, at(now))) == expected


EDITED = {"native": False, "until": "10:00", "only": NOON}


@pytest.mark.parametrize(
    ("fields", "now", "expected"),
    [
        pytest.param({}, "11:00:00", outcome(until="10:00:00", again="12:00:00"), id="to-come"),
        pytest.param(
            {}, "12:00:40", outcome(("12:00:00 catch-up",), until="10:00:00", again="12:00:00"), id="C16-a-slow-client"
        ),
        pytest.param(
            {"missed": {"policy": "Skip"}},
            "12:00:40",
            outcome(endings=("12:00:00 missed(TooLate)",), until="12:00:00", again=None),
            id="C16-skip",
        ),
        pytest.param(
            {"missed": {"maxAge": "30m"}},
            "15:00:00",
            outcome(endings=("12:00:00 missed(TooLate)",), until="12:00:00", again=None),
            id="C16-past-max-age",
        ),
        pytest.param({"until": "12:00"}, "12:30:00", outcome(until="12:30:00", again=None), id="accounted-for-before"),
        pytest.param(
            {"until": "12:40", "created": at("12:10")},
            "12:50:00",
            outcome(endings=("12:00:00 missed(TooLate)",), until="12:50:00", again=None),
            id="C16-before-there-was-a-job",
        ),
        pytest.param(
            {"until": "12:40", "created": at("12:10"), "started": ("12:00",)},
            "12:50:00",
            outcome(until="12:50:00", again=None),
            id="before-there-was-a-job-and-told-already",
        ),
        pytest.param(
            {"until": "11:59", "created": at("12:00:20")},
            "12:00:50",
            outcome(("12:00:00 catch-up",), until="11:59:00", again="12:00:00"),
            id="C16-declared-late-and-edited-before-it-was-started",
        ),
        pytest.param({"stopped": True}, "12:00:40", outcome(until="12:00:40", again=None), id="C14-and-resumed"),
    ],
)
def test_an_edit_takes_no_single_moment_away(fields: dict[str, Any], now: str, expected: dict[str, Any]) -> None:
    found = situation(ONCE, **(EDITED | fields))
    assert found.accounted is not None
    edited = replace(found, accounted=found.accounted.model_copy(update={"hash": "another"}), generation=2)
    assert told(accounting.decide(edited, at(now))) == expected


def test_one_that_was_edited_before_anybody_looked_has_its_verdict_too() -> None:
    found = situation(ONCE, created=at("11:00"), generation=2, missed={"policy": "Skip"}, **ONLY)
    assert told(accounting.decide(found, at("15:00")))["endings"] == ["12:00:00 missed(Outage)"]


def test_c13_an_edit_is_no_outage() -> None:
    before = situation({"cron": "33 16 * * *"}, until="16:33")
    edited = replace(
        before, timetable=Timetable.of(Schedule(cron="36 16 * * *")), generation=2, native_last=at("16:33")
    )
    found = accounting.decide(edited, at("16:40"))
    assert told(found) == outcome(until="16:40:00", again="16:36:03")
    assert found.look_again == at("16:36:03") + timedelta(days=1)


def test_c10_a_restart_starts_nothing() -> None:
    found = situation({"cron": "20 6 * * *", "timeZone": "Etc/GMT-3"}, until="03:20", native_last="03:20")
    assert told(accounting.decide(found, at("06:40"))) == outcome(until="03:20:00", again="03:20:03")


@pytest.mark.parametrize(
    ("created", "fields", "until"),
    [
        pytest.param("11:30", {}, "11:30:00", id="since-it-was-created"),
        pytest.param("11:30", {"generation": 2}, "12:00:30", id="edited-before-anybody-looked"),
        pytest.param("11:30", {"suspended": True}, "12:00:30", id="paused-before-anybody-looked"),
        pytest.param("11:30", {"looked_at": True}, "12:00:30", id="accounted-for-before-and-the-account-is-lost"),
    ],
)
def test_creation_is_no_outage_either(created: str, fields: dict[str, Any], until: str) -> None:
    found = situation({"cron": "0 0 1 1 *"}, until=None, created=at(created), **fields)
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

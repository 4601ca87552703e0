"""A BusinessCalendar as the operator sees it: its working days or its problem, and its status."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from merp_operator import calendars

Json = dict[str, Any]
NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
SOON = "working days are known through 2026-12-31 only: add the days after it to holidays and workdays, and move validThrough"
OVER = (
    "working days are not known after 2026-12-31, the weekend and explicit entries alone count: add the days after it to "
    "holidays and workdays, and move validThrough"
)
OR_UPGRADE = "; or install a release that has them"


def body(spec: Json, status: Json | None = None, generation: int = 3) -> Json:
    metadata = {"name": "cn", "uid": "calendar-1", "generation": generation}
    return {"metadata": metadata, "spec": spec} | ({"status": status} if status is not None else {})


CN = body({"builtIn": "CN"})
OWN = body({"validFrom": "2026-01-01", "validThrough": "2026-12-31"})


def ready(status: Json) -> Json:
    [condition] = status["conditions"]
    assert condition["type"] == "Ready"
    found: Json = condition
    return found


def test_a_good_calendar_is_read() -> None:
    read, problem = calendars.read(CN)
    assert problem == ""
    assert read is not None
    assert (read.name, read.valid_through, read.is_working_day(date(2026, 10, 10))) == ("cn", date(2026, 12, 31), True)


BAD = [
    pytest.param({}, "validThrough: is missing: say up to which day", id="nothing-said"),
    pytest.param(None, "validThrough: is missing: say up to which day", id="no-spec"),
    pytest.param(
        {"validThrough": "2026-12-31", "holidays": [{"date": "2026-10-01"}, {"date": "1.10.2026"}]},
        "holidays[1].date: '1.10.2026' is no date of this century: write it as 2026-10-01",
        id="a-wrong-date-in-a-list",
    ),
    pytest.param(
        {"validThrough": "2026-02-30"}, "validThrough: Input should be a valid date", id="a-day-that-there-is-not"
    ),
    pytest.param(
        {"builtIn": "CN", "holidays": [{"date": "2026-10-10"}], "workdays": [{"date": "2026-10-10"}]},
        "holidays: 2026-10-10 is in workdays too",
        id="a-day-in-both-lists",
    ),
    pytest.param({"builtIn": "ZZ", "validThrough": "2026-12-31"}, "builtIn: ZZ is not among", id="no-such-country"),
]


@pytest.mark.parametrize(("spec", "says"), BAD)
def test_a_bad_one_is_told_by_its_field(spec: Json, says: str) -> None:
    read, problem = calendars.read(body(spec))
    assert (read, problem[: len(says)]) == (None, says)


@pytest.mark.parametrize(("spec", "says"), BAD)
def test_the_status_of_a_bad_one(spec: Json, says: str) -> None:
    found = calendars.status(body(spec), NOW)
    condition = ready(found)
    assert (condition["status"], condition["reason"]) == ("False", "InvalidSpec")
    assert condition["message"].startswith(says)
    assert found.keys() == {"observedGeneration", "conditions"}, "what is not known is not said"


@pytest.mark.parametrize(
    ("calendar", "today", "reason", "message"),
    [
        pytest.param(CN, "2026-03-02", "Valid", "working days are known through 2026-12-31", id="valid"),
        pytest.param(CN, "2026-10-31", "Valid", "working days are known through 2026-12-31", id="61-days-before"),
        pytest.param(CN, "2026-11-01", "ExpiresSoon", SOON + OR_UPGRADE, id="60-days-before"),
        pytest.param(CN, "2026-12-31", "ExpiresSoon", SOON + OR_UPGRADE, id="last-day"),
        pytest.param(CN, "2027-01-01", "Expired", OVER + OR_UPGRADE, id="first-day-after"),
        pytest.param(OWN, "2026-10-31", "Valid", "working days are known through 2026-12-31", id="own-valid"),
        pytest.param(OWN, "2026-12-31", "ExpiresSoon", SOON, id="own-has-no-release-to-wait-for"),
        pytest.param(OWN, "2027-06-01", "Expired", OVER, id="own-long-over"),
    ],
)
def test_it_warns_before_it_ends(calendar: Json, today: str, reason: str, message: str) -> None:
    now = datetime.fromisoformat(f"{today}T08:00:00+00:00")
    condition = ready(calendars.status(calendar, now))
    assert (condition["status"], condition["reason"], condition["message"]) == ("True", reason, message)


def test_the_status_says_what_is_known() -> None:
    assert calendars.status(OWN, NOW) == {
        "observedGeneration": 3,
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "reason": "Valid",
                "message": "working days are known through 2026-12-31",
                "lastTransitionTime": "2026-03-02T12:00:00Z",
                "observedGeneration": 3,
            }
        ],
        "validFrom": "2026-01-01",
        "validThrough": "2026-12-31",
    }


@pytest.mark.parametrize("calendar", [pytest.param(CN, id="good"), pytest.param(body({}), id="bad")])
def test_a_second_look_changes_nothing(calendar: Json) -> None:
    first = calendars.status(calendar, NOW)
    assert calendars.status(calendar | {"status": first}, NOW + timedelta(days=30)) == first


@pytest.mark.parametrize(
    ("before", "after", "since"),
    [
        pytest.param(body({}), CN, NOW + timedelta(days=1), id="mended"),
        pytest.param(CN, body({}), NOW + timedelta(days=1), id="broken"),
        pytest.param(CN, body({"builtIn": "CN", "weekend": ["Sunday"]}, generation=4), NOW, id="changed-and-good"),
    ],
)
def test_the_time_is_that_of_the_change(before: Json, after: Json, since: datetime) -> None:
    known = calendars.status(before, NOW)
    found = calendars.status(after | {"status": known}, NOW + timedelta(days=1))
    assert ready(found)["lastTransitionTime"] == since.isoformat().replace("+00:00", "Z")
    assert found["observedGeneration"] == after["metadata"]["generation"]


@pytest.mark.parametrize(
    "status",
    [
        pytest.param({"conditions": [{"type": "Ready", "status": "Perhaps"}]}, id="words-of-another-version"),
        pytest.param({"conditions": []}, id="no-condition-yet"),
        pytest.param({}, id="empty"),
    ],
)
def test_a_status_that_says_nothing_is_computed_anew(status: Json) -> None:
    assert calendars.status(CN | {"status": status}, NOW) == calendars.status(CN, NOW)

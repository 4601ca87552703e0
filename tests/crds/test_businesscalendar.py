"""Which days a BusinessCalendar works, up to when it knows them, and what it refuses."""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import holidays
import pytest
from hypothesis import given
from hypothesis import strategies as some
from pydantic import ValidationError

from merp_crds import china
from merp_crds.businesscalendar import BusinessCalendarSpec, Weekday, WorkingDays, working_days

Json = dict[str, Any]
CN: Json = {"builtIn": "CN"}
BY_HAND: Json = {
    "holidays": [{"date": "2026-03-10"}, {"date": "2026-03-11", "name": "stocktaking"}],
    "workdays": [{"date": "2026-03-14"}],
    "validFrom": "2026-01-01",
    "validThrough": "2026-12-31",
}


def calendar(spec: Json) -> WorkingDays:
    return working_days("c", BusinessCalendarSpec.model_validate(spec))


def days(first: date, last: date) -> Iterator[date]:
    for number in range((last - first).days + 1):
        yield first + timedelta(days=number)


def worked(spec: Json, first: str, last: str) -> str:
    """One letter a day: w is worked, o is off."""
    read = calendar(spec)
    return "".join(
        "w" if read.is_working_day(day) else "o" for day in days(date.fromisoformat(first), date.fromisoformat(last))
    )


@pytest.mark.parametrize(
    ("spec", "first", "last", "expected"),
    [
        pytest.param(CN, "2026-09-28", "2026-10-11", "wwwooooooowwwo", id="国庆-2026-with-the-saturday-after"),
        pytest.param(CN, "2026-09-19", "2026-09-21", "oww", id="调休-a-sunday-before-国庆-2026"),
        pytest.param(CN, "2026-02-13", "2026-03-01", "wwooooooooowwwwwo", id="春节-2026-between-two-saturdays"),
        pytest.param(CN, "2026-01-01", "2026-01-05", "oooww", id="元旦-2026-and-the-sunday-worked-for-it"),
        pytest.param(CN, "2025-09-27", "2025-10-12", "owwwoooooooowwwo", id="国庆-and-中秋-2025"),
        pytest.param(CN, "2025-01-26", "2025-02-09", "wwoooooooowwwwo", id="春节-2025"),
        pytest.param(CN, "2024-02-09", "2024-02-18", "woooooooow", id="春节-2024-whose-eve-is-worked"),
        pytest.param(CN, "2026-06-15", "2026-06-21", "wwwwooo", id="端午-2026-without-make-up"),
        pytest.param(CN, "2026-03-02", "2026-03-08", "wwwwwoo", id="a-plain-week"),
        pytest.param(BY_HAND, "2026-03-09", "2026-03-15", "woowwwo", id="own-days"),
        pytest.param({"validThrough": "2026-12-31"}, "2026-10-01", "2026-10-04", "wwoo", id="weekend-only"),
        pytest.param(
            {"weekend": [], "validThrough": "2026-12-31"}, "2026-10-01", "2026-10-07", "wwwwwww", id="no-weekend"
        ),
        pytest.param(
            {"weekend": ["Friday", "Saturday"], "validThrough": "2026-12-31"},
            "2026-10-01",
            "2026-10-07",
            "woowwww",
            id="another-weekend",
        ),
        pytest.param(
            CN | {"weekend": ["Sunday"]}, "2026-09-19", "2026-09-27", "wwwwwwooo", id="six-days-a-week-in-china"
        ),
        pytest.param(
            CN | {"workdays": [{"date": "2026-10-02"}]}, "2026-10-01", "2026-10-03", "owo", id="own-workday-wins"
        ),
        pytest.param(
            CN | {"holidays": [{"date": "2026-10-10"}]}, "2026-10-09", "2026-10-11", "woo", id="own-holiday-wins"
        ),
        pytest.param(
            {"builtIn": "DE", "validThrough": "2026-12-31"}, "2026-12-24", "2026-12-28", "wooow", id="germany"
        ),
        pytest.param(
            {"builtIn": "DE-BY", "validThrough": "2026-12-31"}, "2026-01-05", "2026-01-07", "wow", id="bavaria-epiphany"
        ),
        pytest.param(
            {"builtIn": "DE", "validThrough": "2026-12-31"}, "2026-01-05", "2026-01-07", "www", id="germany-no-epiphany"
        ),
        pytest.param(
            {"builtIn": "FR", "validThrough": "2026-12-31"}, "2026-07-13", "2026-07-15", "wow", id="france-july-14"
        ),
        pytest.param(
            {"builtIn": "HU", "validThrough": "2026-12-31"}, "2026-01-01", "2026-01-10", "oooowwwwww", id="hungary-works-a-saturday"
        ),
        pytest.param(
            {"builtIn": "SA", "weekend": ["Friday", "Saturday"], "validThrough": "2026-12-31"},
            "2026-09-22",
            "2026-09-27",
            "wowoow",
            id="saudi-arabia",
        ),
    ],
)  # fmt: skip
def test_working_days(spec: Json, first: str, last: str, expected: str) -> None:
    assert worked(spec, first, last) == expected


def test_every_announced_day_of_china_is_what_a_second_source_says() -> None:
    mine = calendar(CN)
    other = holidays.country_holidays("CN", years=range(china.VALID_FROM.year, china.VALID_THROUGH.year + 1))
    differing = [
        day
        for day in days(china.VALID_FROM, china.VALID_THROUGH)
        if mine.is_working_day(day) != other.is_working_day(day)
    ]
    assert differing == []
    assert {day.year for day in china.MAKE_UP_WORKDAYS} == {2024, 2025, 2026}
    assert all(day.weekday() >= 5 for day in china.MAKE_UP_WORKDAYS)


@pytest.mark.parametrize(
    ("spec", "day", "following", "preceding"),
    [
        pytest.param(CN, "2026-09-30", "2026-09-30", "2026-09-30", id="a-working-day-stays"),
        pytest.param(CN, "2026-10-01", "2026-10-08", "2026-09-30", id="国庆"),
        pytest.param(CN, "2026-10-07", "2026-10-08", "2026-09-30", id="last-day-of-国庆"),
        pytest.param(CN, "2026-10-11", "2026-10-12", "2026-10-10", id="back-to-a-worked-saturday"),
        pytest.param(CN, "2026-01-02", "2026-01-04", "2025-12-31", id="on-to-a-worked-sunday-over-the-year"),
        pytest.param(CN, "2027-01-02", "2027-01-04", "2027-01-01", id="beyond-it-the-weekend-decides"),
        pytest.param(
            {"weekend": [day.value for day in Weekday][:6], "validThrough": "2026-12-31"},
            "2026-10-05",
            "2026-10-11",
            "2026-10-04",
            id="one-day-a-week",
        ),
    ],
)
def test_next_and_previous(spec: Json, day: str, following: str, preceding: str) -> None:
    read, asked = calendar(spec), date.fromisoformat(day)
    moved = (read.next_working_day(asked), read.previous_working_day(asked))
    assert moved == (date.fromisoformat(following), date.fromisoformat(preceding))


@pytest.mark.parametrize(
    ("spec", "first", "last"),
    [
        pytest.param(CN, "2024-01-01", "2026-12-31", id="china-has-its-own"),
        pytest.param(CN | {"validThrough": "2026-06-30"}, "2024-01-01", "2026-06-30", id="china-shortened"),
        pytest.param(
            CN | {"validFrom": "2026-01-01", "validThrough": "2027-12-31", "holidays": [{"date": "2027-01-01"}]},
            "2026-01-01",
            "2027-12-31",
            id="china-lengthened-with-the-days-of-the-year",
        ),
        pytest.param(BY_HAND, "2026-01-01", "2026-12-31", id="own"),
        pytest.param({"validThrough": "2026-12-31"}, None, "2026-12-31", id="no-first-day"),
        pytest.param({"builtIn": "FR", "validThrough": "2030-12-31"}, "2000-01-01", "2030-12-31", id="a-country"),
        pytest.param({"builtIn": "RS", "validThrough": "2030-12-31"}, "2007-01-01", "2030-12-31", id="a-young-country"),
    ],
)
def test_what_it_knows(spec: Json, first: str | None, last: str) -> None:
    read = calendar(spec)
    assert (read.valid_from and str(read.valid_from), str(read.valid_through)) == (first, last)
    edge = timedelta(days=1)
    assert (read.knows(read.valid_through), read.knows(read.valid_through + edge)) == (True, False)
    if read.valid_from is not None:
        assert (read.knows(read.valid_from), read.knows(read.valid_from - edge)) == (True, False)


@pytest.mark.parametrize(
    ("spec", "first", "last", "expected"),
    [
        pytest.param(CN, "2026-12-31", "2027-01-04", "wwoow", id="元旦-2027-is-not-known-and-not-guessed"),
        pytest.param(CN, "2023-12-29", "2024-01-01", "wooo", id="before-it"),
        pytest.param(
            CN | {"validThrough": "2026-09-30"}, "2026-10-01", "2026-10-04", "wwoo", id="after-an-earlier-end"
        ),
        pytest.param(
            CN | {"holidays": [{"date": "2027-01-01"}]}, "2026-12-31", "2027-01-03", "wooo", id="an-explicit-day-counts"
        ),
        pytest.param(
            {"builtIn": "FR", "validThrough": "2026-12-31"},
            "2027-07-13",
            "2027-07-15",
            "www",
            id="a-country-after-its-end",
        ),
    ],
)
def test_beyond_what_it_knows_weekend_and_explicit_days_decide(
    spec: Json, first: str, last: str, expected: str
) -> None:
    assert worked(spec, first, last) == expected


def test_a_year_off_day_by_day_is_read_and_more_is_refused() -> None:
    first = date(2026, 1, 5)

    def off(number: int) -> Json:
        listed = [{"date": str(first + timedelta(days=step))} for step in range(number)]
        return {"weekend": [], "holidays": listed, "validThrough": "2028-12-31"}

    read = calendar(off(366))
    assert (read.longest_break, read.next_working_day(first)) == (366, date(2027, 1, 6))
    with pytest.raises(ValueError, match=r"^holidays: no day from 2026-01-05 to 2027-01-06 is worked, which is"):
        calendar(off(367))


@pytest.mark.parametrize(
    ("spec", "longest"),
    [
        pytest.param({"weekend": [], "validThrough": "2026-12-31"}, 0, id="always-worked"),
        pytest.param({"validThrough": "2026-12-31"}, 2, id="weekend"),
        pytest.param({"weekend": ["Sunday", "Monday"], "validThrough": "2026-12-31"}, 2, id="over-the-weeks-end"),
        pytest.param(CN, 9, id="春节-2026"),
    ],
)
def test_the_longest_break(spec: Json, longest: int) -> None:
    assert calendar(spec).longest_break == longest


SOME_DAYS = some.sets(some.dates(date(2026, 1, 1), date(2026, 3, 31)), max_size=40)


@given(weekend=some.sets(some.sampled_from(Weekday), max_size=6), off=SOME_DAYS, on=SOME_DAYS, day=some.dates(date(2025, 12, 1), date(2026, 4, 30)))  # fmt: skip
def test_a_day_is_moved_to_the_nearest_working_day_and_never_far(
    weekend: set[Weekday], off: set[date], on: set[date], day: date
) -> None:
    read = calendar(
        {
            "weekend": [one.value for one in weekend],
            "holidays": [{"date": str(one)} for one in off - on],
            "workdays": [{"date": str(one)} for one in on],
            "validThrough": "2026-12-31",
        }
    )
    following, preceding = read.next_working_day(day), read.previous_working_day(day)
    assert preceding <= day <= following
    assert read.is_working_day(following)
    assert read.is_working_day(preceding)
    between = [one for one in days(preceding, following) if one not in (preceding, following)]
    assert not [one for one in between if one != day and read.is_working_day(one)]
    assert len(between) <= read.longest_break


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        pytest.param(CN, CN | {"workdays": [{"date": "2026-10-10", "name": "班"}]}, True, id="said-twice"),
        pytest.param(CN, CN | {"weekend": ["Sunday", "Saturday"]}, True, id="the-default-written-out"),
        pytest.param(CN, CN | {"holidays": [{"date": "2026-10-11"}]}, True, id="a-sunday-off"),
        pytest.param(BY_HAND, BY_HAND | {"validThrough": "2027-12-31"}, True, id="known-for-longer"),
        pytest.param(CN, CN | {"holidays": [{"date": "2026-10-12"}]}, False, id="one-day-more-off"),
        pytest.param(CN, CN | {"validThrough": "2026-09-30"}, False, id="built-in-days-cut-off"),
        pytest.param(BY_HAND, BY_HAND | {"weekend": ["Sunday"]}, False, id="another-weekend"),
    ],
)
def test_the_digest_is_that_of_the_answers(one: Json, other: Json, same: bool) -> None:
    assert (calendar(one).digest == calendar(other).digest) == same


def test_a_calendar_is_a_value() -> None:
    assert calendar(CN) == calendar(CN)
    assert len({calendar(CN), calendar(CN), calendar(BY_HAND)}) == 2


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        pytest.param({}, "validThrough: is missing: say up to which day", id="no-end"),
        pytest.param({"builtIn": "DE"}, "validThrough: is missing: .* of DE", id="a-country-without-an-end"),
        pytest.param(
            {"validFrom": "2026-12-31", "validThrough": "2026-01-01"}, "validThrough: 2026-01-01 is before 2026-12-31", id="end-before-start"
        ),
        pytest.param(CN | {"validThrough": "2023-12-31"}, "validThrough: 2023-12-31 is before 2024-01-01", id="china-ending-before-its-set"),
        pytest.param(
            CN | {"validThrough": "2027-12-31"},
            "validThrough: 2027-12-31 is after 2026-12-31, where the built-in set of CN ends",
            id="china-lengthened-without-days",
        ),
        pytest.param(
            CN | {"validThrough": "2028-12-31", "holidays": [{"date": "2027-01-01"}]},
            "validThrough: 2028-12-31 is after 2026-12-31",
            id="china-lengthened-with-the-days-of-one-year-only",
        ),
        pytest.param(CN | {"validFrom": "2023-01-01"}, "validFrom: 2023-01-01 is before 2024-01-01", id="china-too-early"),
        pytest.param(
            {"builtIn": "RS", "validFrom": "2000-01-01", "validThrough": "2026-12-31"},
            "validFrom: 2000-01-01 is before 2007-01-01, where the built-in set of RS begins",
            id="a-country-too-early",
        ),
        pytest.param({"builtIn": "LK", "validThrough": "2099-12-31"}, "validThrough: the built-in set of LK ends with", id="a-set-that-ends"),
        pytest.param({"builtIn": "ZZ", "validThrough": "2026-12-31"}, "builtIn: ZZ is not among the built-in sets", id="no-such-country"),
        pytest.param({"builtIn": "DE-ZZ", "validThrough": "2026-12-31"}, "builtIn: DE-ZZ is not among", id="no-such-part"),
        pytest.param(
            {"builtIn": "SA", "validThrough": "2026-12-31"},
            r"weekend: SA does not rest on Saturday and Sunday: write it, for example \[Friday, Saturday\]",
            id="the-usual-weekend-would-be-a-guess",
        ),
        pytest.param(
            {"weekend": [day.value for day in Weekday], "validThrough": "2026-12-31"}, "weekend: of seven days", id="no-working-day"
        ),
        pytest.param(
            CN | {"holidays": [{"date": "2026-10-08"}], "workdays": [{"date": "2026-10-08"}]},
            "holidays: 2026-10-08 is in workdays too",
            id="in-both-lists",
        ),
        pytest.param(
            CN | {"holidays": [{"date": "2026-10-08"}, {"date": "2026-10-08", "name": "again"}]},
            "holidays: 2026-10-08 is there twice",
            id="twice-in-a-list",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_with_the_field_and_the_remedy(spec: Json, says: str) -> None:
    with pytest.raises(ValueError, match=f"^{says}"):
        calendar(spec)


@pytest.mark.parametrize(
    ("spec", "where"),
    [
        pytest.param({"validThrough": "2026-02-30"}, ("validThrough",), id="no-such-day"),
        pytest.param({"validThrough": "31.12.2026"}, ("validThrough",), id="another-order"),
        pytest.param({"validThrough": "2026-12-31T00:00:00Z"}, ("validThrough",), id="a-moment"),
        pytest.param({"validThrough": 1_798_675_200}, ("validThrough",), id="a-number-of-seconds"),
        pytest.param({"validThrough": "1999-12-31"}, ("validThrough",), id="another-century"),
        pytest.param(CN | {"holidays": [{"name": "x"}]}, ("holidays", 0, "date"), id="a-day-without-a-date"),
        pytest.param(CN | {"holidays": ["2026-10-01"]}, ("holidays", 0), id="a-date-alone"),
        pytest.param(CN | {"weekend": ["Sun"]}, ("weekend", 0), id="a-short-name"),
        pytest.param(CN | {"weekend": [6]}, ("weekend", 0), id="a-number-for-a-weekday"),
        pytest.param({"builtIn": "cn"}, ("builtIn",), id="lower-case"),
        pytest.param({"builtIn": "China"}, ("builtIn",), id="a-countrys-name"),
        pytest.param(CN | {"workdays": [{"date": "2026-10-10", "name": "x" * 101}]}, ("workdays", 0, "name"), id="a-long-name"),
    ],
)  # fmt: skip
def test_what_the_schema_refuses_the_model_refuses_too(spec: Json, where: tuple[str | int, ...]) -> None:
    with pytest.raises(ValidationError) as caught:
        BusinessCalendarSpec.model_validate(spec)
    assert [entry["loc"] for entry in caught.value.errors()] == [where]

"""What is to come: previews of schedules, and the plan of all jobs."""

import base64
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest

from merp_api.filters import PlanQuery
from merp_api.plans import Range, due_from, page, plan_of, planned_range
from merp_api.previews import preview
from merp_api.problems import Problem
from merp_crds.businesscalendar import BusinessCalendarSpec, working_days
from merp_crds.common import rfc3339
from merp_crds.schedule import Timetable
from merp_crds.scheduledjob import Schedule

NOW = datetime(2026, 12, 1, 0, 0, tzinfo=UTC)
DAY = timedelta(days=1)
# 2026-12-05 is a Saturday.
WEEKDAYS = {"validThrough": "2026-12-31"}


def _preview(schedule: dict[str, Any], number: int = 3, calendar: dict[str, Any] | None = None) -> Any:
    written = Schedule.model_validate(schedule)
    days = None if calendar is None else working_days("cn", BusinessCalendarSpec.model_validate(calendar))
    return preview(written, Timetable.of(written, "UTC", days), NOW, NOW, number)


@pytest.mark.parametrize(
    ("schedule", "calendar", "fields", "words"),
    [
        pytest.param({"cron": "0 0 1 * *"}, None, [], [], id="does-nothing"),
        pytest.param(
            {"cron": "*/90 * * * *"}, None, ["cron_expression"], ["*/90 means 0 alone", "interval_seconds: 5400"],
            id="a-step-beyond-the-hour",
        ),
        pytest.param(
            {"cron": "30 2 * * *", "timeZone": "Europe/Zurich"}, None, ["time_zone", "time_zone"],
            ["leave out 02:00 to 03:00", "show 02:00 to 03:00 twice"], id="both-clock-changes",
        ),
        pytest.param({"at": "2026-11-01T00:00:00Z"}, None, ["run_date"], ["is over"], id="a-date-that-has-passed"),
        pytest.param(
            {"cron": "0 0 * * SAT", "calendar": {"name": "cn"}}, WEEKDAYS, ["calendar", "calendar"],
            ["never runs", "knows no days from 2027-01-01"], id="on-days-off-alone",
        ),
    ],
)  # fmt: skip
def test_warnings(
    schedule: dict[str, Any], calendar: dict[str, Any] | None, fields: list[str], words: list[str]
) -> None:
    found = _preview(schedule, calendar=calendar).warnings
    assert [warning.field for warning in found] == fields
    for word in words:
        assert any(word in warning.detail for warning in found), found


def test_due_times_have_the_zone_and_the_calendar() -> None:
    schedule = {"cron": "0 8 * * *", "timeZone": "Asia/Shanghai", "calendar": {"name": "cn"}}
    found = _preview(schedule, 5, WEEKDAYS)
    assert [moment.isoformat() for moment in found.due_times] == [
        "2026-12-02T08:00:00+08:00", "2026-12-03T08:00:00+08:00", "2026-12-04T08:00:00+08:00",
        "2026-12-07T08:00:00+08:00", "2026-12-08T08:00:00+08:00",
    ]  # fmt: skip
    assert [moment.isoformat() for moment in found.days_off] == [
        "2026-12-05T08:00:00+08:00",
        "2026-12-06T08:00:00+08:00",
    ]
    assert found.warnings == []


@pytest.mark.parametrize(
    ("number", "fields"),
    [pytest.param(23, [], id="within-the-calendar"), pytest.param(24, ["calendar"], id="one-beyond")],
)
def test_where_the_calendar_ends_it_says_so(number: int, fields: list[str]) -> None:
    found = _preview({"cron": "0 8 * * *", "calendar": {"name": "cn"}}, number, WEEKDAYS)
    assert (len(found.due_times), [warning.field for warning in found.warnings]) == (number, fields)


async def test_a_preview_makes_nothing(gateway: Any, cluster: Any) -> None:
    body = {"job_type": "cron", "cron_expression": "*/90 * * * *", "time_zone": "Asia/Shanghai", "count": 2}
    response = await gateway.post("/api/v1/jobs/preview", json=body | {"start": "2026-12-01T00:30:00"})
    assert response.status_code == 200, response.text
    assert response.json()["due_times"] == ["2026-12-01T01:00:00+08:00", "2026-12-01T02:00:00+08:00"]
    assert [entry["field"] for entry in response.json()["warnings"]] == ["cron_expression"]
    assert not [seen for seen in cluster.seen if seen.path.endswith(("scheduledjobs", "jobruns"))]


async def test_a_preview_without_a_schedule_is_empty(gateway: Any) -> None:
    response = await gateway.post("/api/v1/jobs/preview", json={"job_type": "manual"})
    assert response.json() == {"time_zone": None, "due_times": [], "days_off": [], "warnings": []}


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        pytest.param({}, {"#/job_type": "required"}, id="nothing"),
        pytest.param(
            {"job_type": "cron", "cron_expression": "61 * * * *", "time_zone": "Mars", "count": 0},
            {"#/cron_expression": "invalid", "#/time_zone": "invalid", "#/count": "out_of_range"},
            id="three-at-once",
        ),
        pytest.param(
            {"job_type": "cron", "cron_expression": "0 0 30 2 *"}, {"#/cron_expression": "never_fires"}, id="never"
        ),
        pytest.param(
            {"job_type": "interval", "interval_seconds": 60, "calendar": {"name": "cn", "on_holiday": "Next"}},
            {"#/calendar": "mismatch"},
            id="what-creating-refuses",
        ),
        pytest.param(
            {"job_type": "cron", "cron_expression": "0 0 * * *", "calendar": {"name": "nope"}},
            {"#/calendar/name": "invalid"},
            id="no-such-calendar",
        ),
        pytest.param(
            {"job_type": "cron", "cron_expression": "0 0 * * *", "start": "soon"}, {"#/start": "invalid"}, id="no-time"
        ),
        pytest.param({"job_type": "manual", "name": "x"}, {"#/name": "unknown"}, id="more-than-a-schedule"),
    ],
)
async def test_a_wrong_preview(gateway: Any, sent: Any, expected: dict[str, str]) -> None:
    response = await gateway.post("/api/v1/jobs/preview", json=sent)
    assert response.status_code == 400, response.text
    assert {entry["pointer"]: entry["code"] for entry in response.json()["errors"]} == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param({}, Range(NOW, NOW + DAY), id="a-day-if-nothing-is-said"),
        pytest.param({"start": NOW + DAY}, Range(NOW + DAY, NOW + 2 * DAY), id="a-day-from-then"),
        pytest.param({"end": NOW + 31 * DAY}, Range(NOW, NOW + 31 * DAY), id="as-long-as-it-may-be"),
    ],
)
def test_the_range_of_a_plan(query: dict[str, Any], expected: Range) -> None:
    assert planned_range(PlanQuery(**{key: value.isoformat() for key, value in query.items()}), NOW) == expected


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        pytest.param({"start": NOW - DAY}, ["start"], id="over"),
        pytest.param({"end": NOW + 32 * DAY}, ["end"], id="too-long"),
        pytest.param({"start": NOW + 366 * DAY, "end": NOW + 367 * DAY}, ["end"], id="too-far-ahead"),
        pytest.param({"start": NOW - DAY, "end": NOW + 32 * DAY}, ["start", "end"], id="both"),
    ],
)
def test_a_range_that_is_refused(query: dict[str, Any], fields: list[str]) -> None:
    with pytest.raises(Problem) as raised:
        planned_range(PlanQuery(**{key: value.isoformat() for key, value in query.items()}), NOW)
    assert [(error.field, error.place) for error in raised.value.errors] == [(field, "query") for field in fields]


@pytest.mark.parametrize(
    ("note", "suspend", "expected"),
    [
        pytest.param(None, False, NOW, id="not-paused"),
        pytest.param('{"until": "2026-12-02T00:00:00Z"}', False, NOW + DAY, id="until-then"),
        pytest.param('{"until": "2026-12-02T00:00:00Z"}', True, None, id="the-manifest-pauses-it-too"),
        pytest.param("{}", False, None, id="without-an-end"),
        pytest.param('{"until": "soon"}', False, None, id="an-end-that-is-no-time"),
        pytest.param('{"until": "2026-11-01T00:00:00Z"}', False, NOW, id="over"),
    ],
)
def test_from_when_a_job_is_due(scheduled_job: Any, note: str | None, suspend: bool, expected: datetime | None) -> None:
    job = scheduled_job("j", suspend=suspend)
    if note is not None:
        job["metadata"]["annotations"] = {"scheduler.merp.io/paused": note}
    assert due_from(job, NOW) == expected


def test_a_page_looks_at_no_more_than_it_shows(scheduled_job: Any) -> None:
    looked = count()

    def every_second() -> Any:
        job = scheduled_job("fast", schedule={"intervalSeconds": 1})
        timetable = Timetable.of(Schedule.model_validate(job["spec"]["schedule"]))
        for entry in plan_of(job, timetable, Range(NOW, NOW + 31 * DAY)):
            next(looked)
            yield entry

    found = page([every_second()], 3, None)
    assert [item.due_time for item in found.items] == [NOW + timedelta(seconds=number) for number in (1, 2, 3)]
    assert next(looked) == 4


def test_while_pages_are_read_the_time_that_they_began_with_passes() -> None:
    query = PlanQuery(start=(NOW - timedelta(minutes=1)).isoformat(), end=(NOW + DAY).isoformat(), cursor="x")
    assert planned_range(query, NOW) == Range(NOW, NOW + DAY)


def _cursor(content: str) -> str:
    return base64.urlsafe_b64encode(f"plan:{content}".encode()).decode().rstrip("=")


async def test_the_plan_in_pages(gateway: Any, cluster: Any, scheduled_job: Any) -> None:
    start = datetime.now(UTC).replace(microsecond=0, second=0, minute=0) + DAY
    hourly = {"cron": "0 * * * *", "timeZone": "Asia/Shanghai"}
    cluster.put("scheduledjobs", scheduled_job("b", schedule=hourly, priority="high", displayName="乙"))
    cluster.put("scheduledjobs", scheduled_job("a", schedule={"intervalSeconds": 3600}))
    cluster.put("scheduledjobs", scheduled_job("by-hand", schedule=None))
    cluster.put("scheduledjobs", scheduled_job("elsewhere", "erp", schedule=hourly))
    path = f"/api/v1/plan?limit=3&start={rfc3339(start)}&end={rfc3339(start + timedelta(hours=2))}"
    seen: list[tuple[str, str]] = []
    whole = path.replace("limit=3", "namespace=*")
    while path:
        response = await gateway.get(path)
        assert response.status_code == 200, response.text
        seen += [(item["job_id"], item["due_time"]) for item in response.json()["items"]]
        path = response.headers.get("link", "").partition(">")[0].removeprefix("<")
    due = [start + timedelta(hours=number) for number in (1, 2)]
    assert [name for name, _ in seen] == ["a", "b", "a", "b"]
    assert [datetime.fromisoformat(moment) for _, moment in seen] == [due[0], due[0], due[1], due[1]]
    assert seen[1][1].endswith("+08:00")
    assert len((await gateway.get(whole)).json()["items"]) == 6
    only = (await gateway.get(f"{whole}&job_id=b")).json()
    assert [(item["job_name"], item["priority"]) for item in only["items"]] == [("乙", "high")] * 2


async def test_what_is_left_out_of_the_plan(gateway: Any, cluster: Any, scheduled_job: Any, condition: Any) -> None:
    due = {"cron": "* * * * *"}
    cluster.put("scheduledjobs", scheduled_job("good", schedule=due))
    cluster.put("scheduledjobs", scheduled_job("paused", schedule=due, suspend=True))
    cluster.put("scheduledjobs", scheduled_job("unknown", schedule=due | {"calendar": {"name": "nope"}}))
    cluster.put("scheduledjobs", scheduled_job("ends", schedule=due | {"calendar": {"name": "old"}}))
    cluster.put("businesscalendars", {"metadata": {"name": "old"}, "spec": {"validThrough": "2020-12-31"}})
    wrong = scheduled_job("wrong", schedule=due)
    wrong["status"] = {"conditions": [condition("Ready", "False", "UnknownTask", "task.func: there is no nope")]}
    cluster.put("scheduledjobs", wrong)
    body = (await gateway.get("/api/v1/plan?limit=2")).json()
    # Where a calendar has ended every weekday counts: if this is one, that job is due too, and its name comes first.
    assert {(item["job_id"], item["certain"]) for item in body["items"]} - {("ends", False)} == {("good", True)}
    assert {entry["job_id"]: entry["reason"] for entry in body["left_out"]} == {
        "paused": "paused", "unknown": "invalid", "wrong": "invalid",
    }  # fmt: skip
    assert body["left_out_count"] == 3
    today = datetime.now(UTC)
    monday = today + timedelta(days=7 - today.weekday())
    query = f"start={monday:%Y-%m-%d}&end={monday:%Y-%m-%d}T01:00:00Z&job_id=ends"
    items = (await gateway.get(f"/api/v1/plan?{query}")).json()["items"]
    assert {item["certain"] for item in items} == {False}


@pytest.mark.parametrize(
    ("query", "field"),
    [
        pytest.param("start=2020-01-01", "start", id="the-past"),
        pytest.param("cursor=eA", "cursor", id="a-cursor-of-ones-own"),
        pytest.param(f"cursor={_cursor('[' * 3000)}", "cursor", id="a-cursor-that-is-nested"),
        pytest.param("cursor=" + _cursor('["0001-01-01T00:00:00Z", "a", "b"]'), "cursor", id="before-all-time"),
        pytest.param("end=tomorrow", "end", id="no-time"),
        pytest.param("limit=501", "limit", id="too-many"),
    ],
)
async def test_a_wrong_plan_is_400(gateway: Any, query: str, field: str) -> None:
    response = await gateway.get(f"/api/v1/plan?{query}")
    assert (response.status_code, response.json()["errors"][0]["field"]) == (400, field)


async def test_who_may_not_list_jobs_gets_no_plan(gateway: Any, cluster: Any) -> None:
    cluster.allow("t", "nobody", "erp")
    assert (await gateway.get("/api/v1/plan", "t")).status_code == 403


async def test_the_example_of_the_description_works(gateway: Any) -> None:
    document = (await gateway.get("/api/v1/openapi.json")).json()
    body = document["paths"]["/api/v1/jobs/preview"]["post"]["requestBody"]["content"]["application/json"]
    response = await gateway.post("/api/v1/jobs/preview", json=body["examples"]["cron"]["value"])
    assert (response.status_code, len(response.json()["due_times"])) == (200, 3)

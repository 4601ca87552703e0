"""Which clock starts a job, and the books that the native one is kept."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cluster_objects import CRON_UID, DUE, NOW, UID, complete, cron_job, job, scheduled_job

from merp_crds import names
from merp_crds.common import parse_rfc3339, rfc3339
from merp_crds.reasons import Trigger
from merp_crds.scheduledjob import ScheduledJobStatus
from merp_operator import books, desired, observe
from merp_operator.accounting import Start
from merp_operator.desired import Defaults
from merp_operator.observe import Observed

Json = dict[str, Any]
DEFAULTS = Defaults(image="tasks:1", time_zone="UTC")
HOURLY = {"cron": "0 * * * *"}
BY_THE_OPERATOR = {names.ANNOTATION_DUE_TIME: rfc3339(DUE)}


def observed(body: Json, jobs: list[Json] | None = None, the_cron_job: Json | None = None) -> Observed:
    return observe.observe(body, the_cron_job, [(entry, []) for entry in jobs or []], [])


def shown(body: Json, *, now: datetime = NOW, last: datetime | None = None, active: list[str] | None = None) -> Json:
    """The CronJob of a ScheduledJob as the API server shows it."""
    seen = observed(body)
    assert seen.spec is not None
    wanted = desired.cron_job(seen, seen.spec, DEFAULTS, now)
    assert wanted is not None
    found = cron_job(wanted, active=active)
    if last is not None:
        found["status"]["lastScheduleTime"] = rfc3339(last)
    return found


@pytest.mark.parametrize(
    ("schedule", "expected", "changes"),
    [
        pytest.param(HOURLY, ("0 * * * *", "UTC"), None, id="cron"),
        pytest.param({"intervalSeconds": 300}, ("*/5 * * * *", "Etc/UTC"), None, id="interval-that-divides-an-hour"),
        pytest.param({"intervalSeconds": 45}, None, None, id="interval-within-a-minute"),
        pytest.param({"at": "2026-12-01T00:00:00Z"}, None, None, id="at"),
        pytest.param(HOURLY | {"dst": "Once"}, None, None, id="dst-once"),
        pytest.param(HOURLY | {"endAt": "2026-11-26T12:00:29Z"}, None, None, id="the-last-day-before-its-end"),
        pytest.param(
            HOURLY | {"endAt": "2026-11-27T00:00:00Z"},
            ("0 * * * *", "UTC"),
            "2026-11-26T00:00:00Z",
            id="longer-before-its-end",
        ),
        pytest.param(
            HOURLY | {"startAt": "2026-11-26T06:30:00Z"}, None, "2026-11-26T06:00:00Z", id="would-fire-before-its-start"
        ),
        pytest.param(
            HOURLY | {"startAt": "2026-11-25T13:00:00Z"}, ("0 * * * *", "UTC"), None, id="fires-first-at-its-start"
        ),
        pytest.param(HOURLY | {"startAt": "2026-11-01T00:00:00Z"}, ("0 * * * *", "UTC"), None, id="started-long-ago"),
    ],
)
def test_the_clock_of_a_schedule(schedule: Json, expected: tuple[str, str] | None, changes: str | None) -> None:
    spec = observed(scheduled_job(schedule=schedule)).spec
    assert spec is not None
    assert desired.native_clock(spec, DEFAULTS, NOW) == expected
    found = desired.clock_changes(spec, DEFAULTS, NOW)
    assert (None if found is None else rfc3339(found)) == changes
    if found is not None:
        assert desired.native_clock(spec, DEFAULTS, found) != expected


def test_both_clocks_make_the_same_job() -> None:
    seen = observed(scheduled_job())
    assert seen.spec is not None
    made = desired.scheduled_run(seen, seen.spec, DEFAULTS, Start(DUE, Trigger.SCHEDULE))
    native = shown(scheduled_job())["spec"]["jobTemplate"]
    assert made["metadata"]["name"] == f"j-{int(DUE.timestamp()) // 60}"
    assert made["metadata"]["labels"] == native["metadata"]["labels"]
    assert made["metadata"]["annotations"] == native["metadata"]["annotations"] | BY_THE_OPERATOR
    assert made["metadata"]["ownerReferences"][0]["uid"] == UID
    of_the_cron_job = observed(scheduled_job(), the_cron_job=shown(scheduled_job()))
    made = desired.scheduled_run(of_the_cron_job, seen.spec, DEFAULTS, Start(DUE, Trigger.SCHEDULE))
    owner = made["metadata"]["ownerReferences"][0]
    assert (owner["uid"], owner["controller"]) == (CRON_UID, False)
    assert {key: value for key, value in made["spec"].items() if key != "template"} == {
        key: value for key, value in native["spec"].items() if key != "template"
    }
    assert observe.read_run("j", made | {"metadata": made["metadata"] | {"uid": "x"}}, []).due_time == DUE


def given(run: Json) -> Json:
    """A run as the operator makes it: the CronJob's, and not its own."""
    owner = run["metadata"]["ownerReferences"][0] | {"controller": False}
    return run | {"metadata": run["metadata"] | {"ownerReferences": [owner]}}


UNFINISHED = job(annotations=BY_THE_OPERATOR)
MANUAL = job("j-r-1", annotations=BY_THE_OPERATOR, labels={names.LABEL_TRIGGER: "manual"})
SKIPPED = {
    "first": rfc3339(DUE), "last": rfc3339(DUE), "count": 1, "verdict": "skipped", "reason": "Overlap",
    "at": rfc3339(NOW),
}  # fmt: skip


@pytest.mark.parametrize(
    ("jobs", "active", "last", "status", "expected"),
    [
        pytest.param([], [], None, {}, ([], None), id="does-nothing-without-runs"),
        pytest.param([UNFINISHED], ["job-1"], DUE, {}, ([], None), id="does-nothing-written-already"),
        pytest.param([UNFINISHED], [], None, {}, (["job-1"], DUE), id="a-run-of-the-operators"),
        pytest.param([given(UNFINISHED)], [], None, {}, (["job-1"], DUE), id="a-run-not-handed-over-yet"),
        pytest.param([MANUAL], [], None, {}, (["job-1"], None), id="a-run-by-hand"),
        pytest.param([job(annotations=BY_THE_OPERATOR, status=complete())], [], None, {}, ([], DUE), id="finished"),
        pytest.param([job(controller=UID, annotations=BY_THE_OPERATOR)], [], DUE, {}, ([], None), id="anothers"),
        pytest.param([job()], [], None, {}, ([], None), id="the-native-clock-is-just-writing"),
        pytest.param([], [], None, {"unrecorded": [SKIPPED]}, ([], DUE), id="skipped"),
        pytest.param([], [], DUE + timedelta(hours=1), {"unrecorded": [SKIPPED]}, ([], None), id="skipped-before"),
    ],
)
def test_books(
    jobs: list[Json],
    active: list[str],
    last: datetime | None,
    status: Json,
    expected: tuple[list[str], datetime | None],
) -> None:
    seen = observed(scheduled_job(), jobs, shown(scheduled_job(), last=last, active=active))
    # The run in the table was made in the very second before.
    now = parse_rfc3339(job()["metadata"]["creationTimestamp"]) + timedelta(seconds=1)
    found = books.missing(seen, ScheduledJobStatus.model_validate(status), now)
    assert ([entry["uid"] for entry in found.active], found.last_schedule_time) == expected
    assert bool(found) is (expected != ([], None))


def test_what_the_native_clock_does_not_write_down_the_operator_does_later() -> None:
    seen = observed(scheduled_job(), [job()], shown(scheduled_job()))
    found = books.missing(seen, ScheduledJobStatus(), NOW + timedelta(minutes=1))
    assert ([entry["uid"] for entry in found.active], found.last_schedule_time) == (["job-1"], DUE)
    assert found.active[0]["resourceVersion"] == "20"
    assert (seen.cron_job or {})["metadata"]["uid"] == CRON_UID


@pytest.mark.parametrize(
    ("run", "active", "expected"),
    [
        pytest.param(given(UNFINISHED), [], [], id="not-before-it-is-in-the-books"),
        pytest.param(given(UNFINISHED), ["job-1"], ["job-1"], id="in-the-books"),
        pytest.param(given(job(status=complete())), ["job-1"], ["job-1"], id="ended-meanwhile"),
        pytest.param(UNFINISHED, ["job-1"], [], id="does-nothing-done-before"),
        pytest.param(given(job(controller=UID)), ["job-1"], [], id="anothers"),
    ],
)
def test_a_run_becomes_the_cron_jobs_own_once_it_is_in_its_books(
    run: Json, active: list[str], expected: list[str]
) -> None:
    seen = observed(scheduled_job(), [run], shown(scheduled_job(), active=active))
    assert [found.uid for found in books.to_hand_over(seen)] == expected
    assert books.to_hand_over(observed(scheduled_job(), [run])) == []


PAUSED = {names.ANNOTATION_PAUSED: "{}"}


@pytest.mark.parametrize(
    ("before", "last", "expected"),
    [
        pytest.param(shown(scheduled_job()), None, None, id="does-nothing-unchanged"),
        pytest.param(shown(scheduled_job(priority="high")), None, None, id="does-nothing-about-another-change"),
        pytest.param(shown(scheduled_job(annotations=PAUSED)), None, DUE, id="resumed"),
        pytest.param(shown(scheduled_job(annotations=PAUSED)), DUE, None, id="resumed-with-nothing-in-between"),
        pytest.param(shown(scheduled_job(schedule={"cron": "33 16 * * *"})), None, DUE, id="C13-edited"),
        pytest.param(
            shown(scheduled_job(schedule=HOURLY | {"timeZone": "Asia/Tokyo"})), None, DUE, id="C13-another-zone"
        ),
    ],
)
def test_what_a_change_must_not_start(before: Json, last: datetime | None, expected: datetime | None) -> None:
    if last is not None:
        before["status"]["lastScheduleTime"] = rfc3339(last)
    seen = observed(scheduled_job(), the_cron_job=before)
    wanted = shown(scheduled_job())
    assert books.passed(seen, wanted, NOW) == expected
    assert books.passed(observed(scheduled_job()), wanted, NOW) is None


def paused_until(text: str) -> dict[str, str]:
    return {names.ANNOTATION_PAUSED: f'{{"until": "2026-11-25T{text}Z"}}'}


@pytest.mark.parametrize(
    ("schedule", "until", "last", "expected"),
    [
        pytest.param(HOURLY, "12:00:00", None, DUE - timedelta(hours=1), id="due-when-it-ended"),
        pytest.param(HOURLY, "11:30:00", None, DUE - timedelta(hours=1), id="due-after-it-ended"),
        pytest.param(HOURLY, "12:00:10", None, DUE, id="due-just-before-it-ended"),
        pytest.param(HOURLY, "12:00:00", DUE - timedelta(hours=1), None, id="does-nothing-written-already"),
        pytest.param(HOURLY | {"timeZone": "Asia/Tokyo"}, "12:00:00", None, DUE, id="edited-in-it"),
    ],
)
def test_what_a_pause_that_ended_by_itself_must_not_start(
    schedule: Json, until: str, last: datetime | None, expected: datetime | None
) -> None:
    paused = scheduled_job(schedule=schedule, annotations=paused_until(until))
    before = shown(paused, now=DUE - timedelta(hours=1), last=last)
    assert before["spec"]["suspend"]
    body = scheduled_job(annotations=paused_until(until))
    assert books.passed(observed(body, the_cron_job=before), shown(body), NOW) == expected


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        pytest.param(scheduled_job(), False, id="does-nothing-unchanged"),
        pytest.param(scheduled_job(task={"func": "other"}, priority="low"), False, id="another-change"),
        pytest.param(scheduled_job(schedule={"cron": "30 * * * *"}), True, id="another-schedule"),
        pytest.param(scheduled_job(schedule=HOURLY | {"timeZone": "Asia/Tokyo"}), True, id="another-zone"),
        pytest.param(scheduled_job(annotations=PAUSED), False, id="stopped"),
        pytest.param(
            scheduled_job(annotations=PAUSED, schedule={"cron": "30 * * * *"}),
            False,
            id="stopped-with-another-schedule",
        ),
    ],
)
def test_whether_a_cron_job_as_it_is_would_start_what_it_must_not(before: Json, expected: bool) -> None:
    assert books.starts_otherwise(shown(before), shown(scheduled_job())) is expected


def test_one_that_is_to_be_paused_would_start_what_it_must_not() -> None:
    paused = shown(scheduled_job(annotations=PAUSED))
    assert books.starts_otherwise(shown(scheduled_job()), paused)
    assert not books.starts_otherwise(paused, paused)


def stopped() -> Json:
    """A CronJob whose native clock starts nothing more."""
    found = shown(scheduled_job())
    found["spec"]["suspend"] = True
    return found


@pytest.mark.parametrize(
    ("body", "the_cron_job", "expected"),
    [
        pytest.param(scheduled_job(), None, (UID, True), id="without-one"),
        pytest.param(scheduled_job(), shown(scheduled_job()), (CRON_UID, False), id="that-starts"),
        pytest.param(scheduled_job(annotations=PAUSED), stopped(), (CRON_UID, False), id="paused-by-annotation"),
        pytest.param(scheduled_job(suspend=True), stopped(), (CRON_UID, False), id="paused-by-its-spec"),
        pytest.param(scheduled_job(), stopped(), (UID, True), id="on-its-way-out"),
        pytest.param(scheduled_job(schedule={"intervalSeconds": 45}), stopped(), (UID, True), id="not-wanted-any-more"),
    ],
)
def test_whose_a_run_of_the_operators_is(body: Json, the_cron_job: Json | None, expected: tuple[str, bool]) -> None:
    """What a CronJob owns goes with it."""
    owner = desired.new_owner(observed(body, the_cron_job=the_cron_job))
    assert (owner["uid"], owner["controller"]) == expected


def test_a_pause_stops_the_native_clock_with_nothing_to_write() -> None:
    seen = observed(scheduled_job(annotations=PAUSED), the_cron_job=shown(scheduled_job()))
    assert books.passed(seen, shown(scheduled_job(annotations=PAUSED)), datetime(2026, 11, 25, 13, tzinfo=UTC)) is None

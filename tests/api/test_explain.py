"""Why a job does not run: each check alone, and the whole by REST."""

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest

from merp_api.explain import Facts, explain, summary
from merp_crds.businesscalendar import BusinessCalendarSpec, working_days
from merp_crds.schedule import Timetable
from merp_crds.scheduledjob import Schedule

NOW = datetime(2026, 12, 1, 0, 0, 30, tzinfo=UTC)
CHECKS = [
    "definition", "operator", "paused", "schedule", "calendar", "missed", "overlap", "dependency", "pool", "waiting",
    "pod",
]  # fmt: skip
CRON = {"cron": "0 8 * * *"}
RUN = {"run": "j-1", "dueTime": "2026-12-01T00:00:00Z", "trigger": "schedule", "state": "running"}
ENDED = {"run": "j-1", "dueTime": "2026-12-01T00:00:00Z", "trigger": "schedule", "endTime": "2026-12-01T00:00:10Z"}


def _condition(kind: str, status: str, reason: str, message: str) -> dict[str, Any]:
    return {"type": kind, "status": status, "reason": reason, "message": message, "observedGeneration": 1}


def _facts(
    spec: dict[str, Any] | None = None,
    status: dict[str, Any] | None = None,
    note: str | None = None,
    pool: Any = None,
    calendar: dict[str, Any] | None = None,
) -> Facts:
    written = {"schedule": CRON, "task": {"func": "echo_args"}} | (spec or {})
    job = {
        "metadata": {
            "name": "j",
            "namespace": "default",
            "generation": 1,
            "creationTimestamp": "2026-11-01T00:00:00Z",
            "annotations": {} if note is None else {"scheduler.merp.io/paused": note},
        },
        "spec": written,
        "status": {"observedGeneration": 1} | (status or {}),
    }
    days = None if calendar is None else working_days("cn", BusinessCalendarSpec.model_validate(calendar))
    schedule = written["schedule"]
    timetable = None if schedule is None else Timetable.of(Schedule.model_validate(schedule), "UTC", days)
    return Facts(job, timetable, pool)


def _pool(slots: int = 3, **status: Any) -> dict[str, Any]:
    return {"metadata": {"name": "nightly"}, "spec": {"slots": slots}, "status": status}


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        pytest.param(_facts(), {}, id="does-nothing"),
        pytest.param(_facts({"schedule": None}), {}, id="by-hand"),
        pytest.param(
            _facts(status={"conditions": [_condition("Ready", "False", "UnknownTask", "task.func: no nope")]}),
            {"definition": "task.func: no nope"},
            id="definition",
        ),
        pytest.param(
            Facts(_facts().job, "calendar: BusinessCalendar cn is not there: create it", None),
            {"definition": "cn is not there", "schedule": "not known"},
            id="calendar-that-is-missing",
        ),
        pytest.param(_facts(status={"observedGeneration": None}), {"operator": "not looked"}, id="operator-never-seen"),
        pytest.param(_facts(status={"observedGeneration": 0}), {"operator": "version 0"}, id="operator-behind"),
        pytest.param(
            _facts(status={"nextRunTime": "2026-11-30T23:00:00Z"}), {"operator": "23:00:00Z is not started"},
            id="operator-away",
        ),
        pytest.param(_facts(status={"nextRunTime": "2026-12-01T00:00:00Z"}), {}, id="operator-about-to-start-it"),
        pytest.param(_facts({"suspend": True}), {"paused": "suspend: true"}, id="declared-pause"),
        pytest.param(
            _facts(note='{"by": "ann", "at": "2026-11-30T00:00:00Z", "reason": "盘点"}'),
            {"paused": "by ann since 2026-11-30T00:00:00Z because: 盘点"},
            id="pause-by-somebody",
        ),
        pytest.param(
            _facts({"suspend": True}, {"nextRunTime": "2026-11-30T23:00:00Z"}), {"paused": "suspend"},
            id="of-a-paused-job-the-operator-starts-nothing",
        ),
        pytest.param(
            _facts({"schedule": {"at": "2026-11-01T00:00:00Z"}}), {"schedule": "has passed"}, id="schedule-over"
        ),
        pytest.param(
            _facts({"schedule": CRON | {"startAt": "2027-01-01T00:00:00Z"}}), {"schedule": "begins at 2027"},
            id="schedule-to-begin",
        ),
        pytest.param(
            _facts({"schedule": CRON | {"calendar": {"name": "cn"}}}, calendar={
                "validThrough": "2026-12-31", "holidays": [{"date": "2026-11-30"}]}),
            {"calendar": "2026-11-30T08:00:00Z was on a day off of cn"},
            id="calendar-took-the-newest",
        ),
        pytest.param(
            _facts({"schedule": CRON | {"calendar": {"name": "cn"}}}, calendar={"validThrough": "2026-12-31"}), {},
            id="calendar-took-an-older-one",
        ),
        pytest.param(
            _facts({"schedule": CRON | {"calendar": {"name": "cn"}}}, calendar={"validThrough": "2026-11-30"}),
            {"calendar": "knows no days from 2026-12-01"},
            id="calendar-that-ended",
        ),
        pytest.param(
            _facts({"schedule": {"cron": "0 8 1 * *", "calendar": {"name": "cn"}}}, calendar={
                "validThrough": "2026-12-31"}),
            {}, id="calendar-that-knows-the-next",
        ),
        pytest.param(
            _facts({"schedule": {"cron": "0 8 1 2 *", "calendar": {"name": "cn"}}}, calendar={
                "validThrough": "2026-12-31"}),
            {"calendar": "knows no days from 2027-01-01"},
            id="calendar-that-ends-before-the-next",
        ),
        pytest.param(
            _facts(status={"recent": [ENDED | {"verdict": "missed", "reason": "TooLate", "message": "25h late"}]}),
            {"missed": "j-1 of 2026-12-01T00:00:00Z: 25h late"},
            id="missed",
        ),
        pytest.param(
            _facts(status={"recent": [ENDED | {"verdict": "success", "reason": "Completed"}]}), {}, id="it-did-run"
        ),
        pytest.param(_facts(status={"active": [RUN]}), {"overlap": "j-1 is unfinished"}, id="overlap"),
        pytest.param(
            _facts({"pool": {"name": "nightly"}}, {"active": [
                RUN | {"state": "waiting", "message": "waiting for 1 slot of pool nightly: place 2 of 2"}]},
                pool=_pool(used=3, waitingCount=2, waiting=[
                    {"run": "k-1", "scheduledJob": "k"}, {"run": "j-1", "scheduledJob": "j"}])),
            {"pool": "place 2 of 2", "waiting": "1 slot of pool nightly"},
            id="what-waits-is-told-what-it-waits-for",
        ),
        pytest.param(
            _facts(status={"active": [RUN | {"run": "j-2", "state": "waiting"}, RUN]}),
            {"overlap": "j-1 is unfinished", "waiting": "j-2"},
            id="overlap-with-one-that-runs",
        ),
        pytest.param(
            _facts(status={"conditions": [_condition("OnSchedule", "False", "CannotStart", "exceeded quota: jobs")]}),
            {"operator": "exceeded quota: jobs"},
            id="kubernetes-refuses-the-run",
        ),
        pytest.param(
            _facts(status={"conditions": [_condition("OnSchedule", "False", "ClockSetBack", "all due times up to")]}),
            {"operator": "all due times up to"},
            id="the-clock-was-set-back",
        ),
        pytest.param(
            _facts({"concurrencyPolicy": "Allow"}, {"active": [RUN]}), {}, id="overlap-that-is-allowed"
        ),
        pytest.param(
            _facts(status={"recent": [ENDED | {"verdict": "skipped", "reason": "Overlap"}]}),
            {"overlap": "j-1 of 2026-12-01T00:00:00Z: Overlap"},
            id="skipped-for-overlap",
        ),
        pytest.param(
            _facts({"dependsOn": [{"name": "up"}]}, {"conditions": [
                _condition("OnSchedule", "False", "UpstreamCannotRun", "dependsOn: up does not exist")]}),
            {"dependency": "up does not exist"},
            id="dependency-that-is-missing",
        ),
        pytest.param(
            _facts({"dependsOn": [{"name": "up"}]}, {"recent": [
                ENDED | {"verdict": "skipped", "reason": "DependencyTimeout", "message": "waited 24h for up"}]}),
            {"dependency": "waited 24h for up"},
            id="dependency-that-took-too-long",
        ),
        pytest.param(
            _facts({"pool": {"name": "nightly"}}, pool="there is no JobPool nightly: create it"),
            {"pool": "there is no JobPool"},
            id="pool-that-is-missing",
        ),
        pytest.param(
            _facts({"pool": {"name": "nightly", "slots": 4}}, pool=_pool()), {"pool": "nightly has 3"}, id="pool-small"
        ),
        pytest.param(
            _facts({"pool": {"name": "nightly"}}, pool=_pool(used=3, waitingCount=2, waiting=[
                {"run": "k-1", "scheduledJob": "k"}, {"run": "j-1", "scheduledJob": "j"}])),
            {"pool": "j-1 waits for nightly, place 2 of 2; 3 of 3 slots are taken"},
            id="pool-that-is-full",
        ),
        pytest.param(
            _facts({"pool": {"name": "nightly"}}, {"recent": [
                ENDED | {"verdict": "skipped", "reason": "PoolTimeout", "message": "waited 1h for 1 slot"}]},
                pool=_pool(used=3)),
            {"pool": "waited 1h for 1 slot"},
            id="pool-that-was-full-for-too-long",
        ),
        pytest.param(_facts({"pool": {"name": "nightly"}}, pool=_pool(used=3)), {}, id="full-and-nobody-waits"),
        pytest.param(
            _facts({"concurrencyPolicy": "Queue"}, {"active": [
                RUN | {"state": "waiting", "message": "waiting for up (running since 02:00)"}]}),
            {"waiting": "j-1: waiting for up"},
            id="waiting-at-the-gate",
        ),
        pytest.param(
            _facts(status={"recent": [ENDED | {"verdict": "failed", "reason": "ImagePull", "message": "no x:9"}]}),
            {"pod": "no x:9"},
            id="image",
        ),
    ],
)  # fmt: skip
def test_checks(facts: Facts, expected: dict[str, str]) -> None:
    found = explain(facts, NOW)
    assert [check.check for check in found] == CHECKS
    held = {check.check: check.detail for check in found if not check.ok}
    assert held.keys() == expected.keys()
    assert all(expected[name] in detail for name, detail in held.items()), held
    assert all(check.detail for check in found)
    first = next(iter(held), "nothing holds it up")
    assert summary(found, None).startswith(first)


def test_of_a_pool_that_lists_the_first_alone_nothing_is_said_of_the_others() -> None:
    waiting = [{"run": f"k-{number}", "scheduledJob": "k"} for number in range(20)]
    facts = _facts({"pool": {"name": "nightly"}}, pool=_pool(used=3, waitingCount=300, waiting=waiting))
    [detail] = [check.detail for check in explain(facts, NOW) if check.check == "pool"]
    assert detail == "no run is among the first 20 that wait for room in nightly"


def test_of_a_refused_run_the_clusters_own_words_are_pointed_at() -> None:
    trouble = _condition("OnSchedule", "False", "CannotStart", "exceeded quota: jobs")
    [diagnosis] = [check.diagnosis for check in explain(_facts(status={"conditions": [trouble]}), NOW) if not check.ok]
    assert diagnosis is not None
    assert diagnosis.sentence == "A run that was due could not be started."


def test_the_times_of_a_day_off_are_not_gone_through_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = count()
    dropped = Timetable.dropped

    def counted(*arguments: Any) -> Any:
        for moment in dropped(*arguments):
            next(looked)
            yield moment

    monkeypatch.setattr(Timetable, "dropped", counted)
    # Every second of a week.
    calendar = {"validThrough": "2026-12-31", "holidays": [{"date": f"2026-11-{day}"} for day in range(24, 31)]}
    facts = _facts({"schedule": {"intervalSeconds": 1, "calendar": {"name": "cn"}}}, calendar=calendar)
    found = explain(facts, datetime(2026, 11, 30, 12, 0, tzinfo=UTC))
    assert {check.check: check.detail for check in found}["calendar"] == "2026-11-30T12:00:00Z was on a day off of cn"
    assert next(looked) <= 3600


async def test_explain_by_rest(gateway: Any, cluster: Any, scheduled_job: Any, recorder: Any) -> None:
    job = scheduled_job("j", pool={"name": "nightly"}, schedule={"cron": "0 0 * * *", "calendar": {"name": "cn"}})
    job["status"] = {"observedGeneration": 1, "nextRunTime": (datetime.now(UTC) + timedelta(hours=1)).isoformat()}
    uid = cluster.put("scheduledjobs", job)["metadata"]["uid"]
    cluster.put(
        "businesscalendars", {"metadata": {"name": "cn"}, "spec": {"validThrough": "2099-12-31", "weekend": []}}
    )
    recorder.run("j", 0, uid=uid)
    body = (await gateway.get("/api/v1/jobs/j/explain")).json()
    assert [check["check"] for check in body["checks"]] == CHECKS
    assert body["summary"] == "pool: there is no JobPool nightly: create it"
    assert (body["status"], body["last_execution"]["run_name"]) == ("active", "j-0")
    cluster.put(
        "jobpools", {"metadata": {"name": "nightly", "namespace": "default"}, "spec": {"slots": 1}, "status": {}}
    )
    body = (await gateway.get("/api/v1/jobs/j/explain")).json()
    assert [check["ok"] for check in body["checks"] if check["check"] == "pool"] == [True]


async def test_what_the_caller_may_not_read_is_said(
    gateway: Any, cluster: Any, scheduled_job: Any, refusal: Any
) -> None:
    cluster.put("scheduledjobs", scheduled_job("j", pool={"name": "nightly"}, schedule=None))
    cluster.refusals[("GET", "jobpools")] = [refusal(403, "Forbidden", "no")]
    cluster.allow("getter", "getter", "default", frozenset({"get"}))
    response = await gateway.get("/api/v1/jobs/j/explain", "getter")
    assert response.status_code == 200, response.text
    assert {check["check"]: check["detail"] for check in response.json()["checks"]}["pool"] == (
        "you may not read JobPool nightly"
    )
    assert response.json()["last_execution"] is None


async def test_what_the_caller_may_not_read_is_no_fault_of_the_job(
    gateway: Any, cluster: Any, scheduled_job: Any
) -> None:
    job = scheduled_job("j", pool={"name": "nightly"}, schedule={"cron": "0 0 * * *", "calendar": {"name": "cn"}})
    job["status"] = {"observedGeneration": 1, "nextRunTime": (datetime.now(UTC) + timedelta(hours=1)).isoformat()}
    cluster.put("scheduledjobs", job)
    cluster.allow("getter", "getter", "default", frozenset({"get"}))
    cluster.hidden |= {("getter", "businesscalendars"), ("getter", "jobpools")}
    body = (await gateway.get("/api/v1/jobs/j/explain", "getter")).json()
    assert body["summary"].startswith("nothing holds it up: it is due next at ")
    details = {check["check"]: check["detail"] for check in body["checks"]}
    assert details["calendar"] == details["schedule"] == "you may not read the job's BusinessCalendar"
    assert details["pool"] == "you may not read JobPool nightly"


async def test_without_records_it_explains_all_the_same(
    applications: Any, cluster: Any, scheduled_job: Any, tmp_path: Any
) -> None:
    cluster.put("scheduledjobs", scheduled_job("j", schedule=None))
    gateway = applications(database=tmp_path / "none.db")
    response = await gateway.get("/api/v1/jobs/j/explain")
    assert (response.status_code, response.json()["last_execution"]) == (200, None)


async def test_no_such_job(gateway: Any) -> None:
    assert (await gateway.get("/api/v1/jobs/nope/explain")).status_code == 404

"""The two clocks and their books on a real cluster: what is due runs, and what is not does not, whoever is dead."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cluster_objects import minutely
from kube import Kube
from ledger import Ledger
from operator_process import OperatorProcess

from merp_crds import names
from merp_crds.common import rfc3339
from merp_crds.schedule import Timetable
from merp_crds.scheduledjob import Schedule

pytestmark = pytest.mark.cluster

Json = dict[str, Any]
EVERY_MINUTE = Timetable.of(Schedule(cron="* * * * *"))
FAR = {"cron": "0 0 1 1 *"}
PAUSED = "scheduler.merp.io/paused"


def now() -> datetime:
    return datetime.now(UTC)


def next_minute() -> datetime:
    return now().replace(second=0, microsecond=0) + timedelta(minutes=1)


def wait_until(moment: datetime) -> None:
    """Until a moment of the clock: due times come by the clock, and by nothing else."""
    time.sleep(max(0.0, (moment - now()).total_seconds()))


def accounted(kube: Kube, *jobs: str) -> None:
    kube.until("they are accounted for", lambda: all(kube.condition(name, "Ready") for name in jobs))


def status(kube: Kube, name: str) -> Json:
    found: Json = (kube.get("scheduledjobs", name) or {}).get("status") or {}
    return found


@pytest.fixture
def ledger(operator: OperatorProcess) -> Ledger:
    return Ledger(operator.database)


def test_neither_an_edit_nor_a_pause_is_an_outage(kube: Kube, operator: OperatorProcess, task_image: str) -> None:
    """C13 and C14: the native clock would start the minute that passed, if its books said nothing."""
    if now().second > 35:
        wait_until(next_minute())
    began = now()
    kube.apply(
        minutely(task_image, "edited", schedule=FAR),
        minutely(task_image, "zone", schedule=FAR),
        minutely(task_image, "paused", missed={"policy": "All"}),
        minutely(task_image, "suspended", suspend=True),
    )
    kube.kubectl("annotate", "scheduledjob", "paused", f"{PAUSED}={{}}")
    accounted(kube, "edited", "zone", "paused", "suspended")
    kube.until("the pause is in force", lambda: (kube.condition("paused", "Paused") or {}).get("status") == "True")
    passed = next_minute()
    wait_until(passed + timedelta(seconds=5))
    cron = f"{passed.minute} {passed.hour} * * *"
    kube.kubectl("patch", "sj", "edited", "--type=merge", "-p", f'{{"spec":{{"schedule":{{"cron":"{cron}"}}}}}}')
    tokyo = passed + timedelta(hours=9)
    edit = f'{{"spec":{{"schedule":{{"cron":"{tokyo.minute} {tokyo.hour} * * *","timeZone":"Asia/Tokyo"}}}}}}'
    kube.kubectl("patch", "sj", "zone", "--type=merge", "-p", edit)
    kube.kubectl("annotate", "scheduledjob", "paused", f"{PAUSED}-")
    kube.kubectl("patch", "sj", "suspended", "--type=merge", "-p", '{"spec":{"suspend":false}}')

    tomorrow = rfc3339(passed + timedelta(days=1))
    for name in ("edited", "zone"):
        kube.until("tomorrow is next", lambda name=name: status(kube, name).get("nextRunTime") == tomorrow)

    def runs(name: str, begin: datetime) -> set[str]:
        """The names of a job's runs since then."""
        return {names.run_name_for_due_time(name, due) for due in EVERY_MINUTE.between(begin, now())}

    def there() -> set[str]:
        return {job["metadata"]["name"] for job in kube.list("jobs")}

    for name in ("paused", "suspended"):
        kube.until("one of the next minutes runs", lambda name=name: there() & runs(name, passed))
    # The native clock had its time: what it would have started for the minute before would be here.
    before_the_pause = runs("paused", began) - runs("paused", passed - timedelta(minutes=1))
    found = there()
    assert found <= before_the_pause | runs("paused", passed) | runs("suspended", passed)
    told = {name: status(kube, name).get("recent") or [] for name in ("edited", "zone", "paused", "suspended")}
    assert [entry for entries in told.values() for entry in entries if entry["verdict"] == "missed"] == []


def test_a_run_by_hand_holds_back_the_native_clock_with_the_operator_dead(
    kube: Kube, operator: OperatorProcess, task_image: str, ledger: Ledger
) -> None:
    if now().second > 30:
        wait_until(next_minute())
    kube.apply(minutely(task_image, "j", task={"func": "sleep_for", "args": [3600]}))
    accounted(kube, "j")
    kube.apply(
        {
            "apiVersion": names.API_VERSION,
            "kind": "JobRun",
            "metadata": {"name": "by-hand"},
            "spec": {"scheduledJob": "j"},
        }
    )
    kube.until(
        "the native clock's books have it",
        lambda: ((kube.get("cronjobs", "j") or {}).get("status") or {}).get("active"),
    )
    operator.kill()
    due = next_minute()
    kube.until(
        "the native clock sees that it may not",
        lambda: [event for event in kube.list("events") if event["reason"] == "JobAlreadyActive"],
    )
    assert kube.get("jobs", names.run_name_for_due_time("j", due)) is None
    assert [event["message"] for event in kube.list("events") if event["reason"] == "UnexpectedJob"] == []
    operator.start()
    found = kube.until("it is told", lambda: ledger.verdicts("j", EVERY_MINUTE).get(due))
    assert [kind[:2] for kind in found] == [("skipped", "Overlap")]
    last = ((kube.get("cronjobs", "j") or {}).get("status") or {})["lastScheduleTime"]
    assert last >= rfc3339(due)


def test_c16_a_moment_that_has_just_passed(
    kube: Kube, operator: OperatorProcess, task_image: str, ledger: Ledger
) -> None:
    moment = now().replace(microsecond=0) - timedelta(seconds=40)
    at = {"at": rfc3339(moment)}
    kube.apply(
        minutely(task_image, "latest", schedule=at),
        minutely(task_image, "skip", schedule=at, missed={"policy": "Skip"}),
        minutely(task_image, "late", schedule=at, missed={"maxAge": "30s"}),
        minutely(task_image, "ancient", schedule={"at": "2020-01-01T00:00:00Z"}),
    )
    only = Timetable.of(Schedule.model_validate(at))
    ancient = Timetable.of(Schedule.model_validate({"at": "2020-01-01T00:00:00Z"}))
    for name, timetable in (("latest", only), ("skip", only), ("late", only), ("ancient", ancient)):
        kube.until(f"{name} has its verdict", lambda name=name, table=timetable: ledger.verdicts(name, table))
    operator.kill()
    operator.start()
    kube.apply(minutely(task_image, "witness", schedule=FAR))
    accounted(kube, "witness")
    found = {name: ledger.verdicts(name, only) for name in ("latest", "skip", "late")}
    assert {name: [kind[:2] for kind in kinds[moment]] for name, kinds in found.items()} == {
        "latest": [("success", "Completed")],
        "skip": [("missed", "TooLate")],
        "late": [("missed", "TooLate")],
    }
    assert [kind[:2] for kinds in ledger.verdicts("ancient", ancient).values() for kind in kinds] == [
        ("missed", "TooLate")
    ]
    assert len(kube.list("jobs")) == 1
    assert kube.list("cronjobs", "scheduler.merp.io/scheduled-job=latest") == []
    kube.until(
        "it says that it is over",
        lambda: (kube.condition("latest", "OnSchedule") or {}).get("reason") == "Completed",
    )
    assert (kube.condition("latest", "OnSchedule") or {})["status"] == "True"
    assert status(kube, "latest")["clock"] == "Operator"


def test_what_the_native_clock_cannot_carry_the_operator_starts(
    kube: Kube, operator: OperatorProcess, task_image: str, ledger: Ledger
) -> None:
    began = now()
    kube.apply(minutely(task_image, "first", suspend=True))
    accounted(kube, "first")
    # All are to be there before: so much longer than the first took, however slow the machine is.
    soon = now().replace(microsecond=0) + timedelta(seconds=10) + 10 * (now() - began)
    soon = soon.replace(microsecond=0)
    schedules: dict[str, Json] = {
        "interval": {"intervalSeconds": 7},
        "at": {"at": rfc3339(soon)},
        "window": {"intervalSeconds": 4, "startAt": rfc3339(soon), "endAt": rfc3339(soon + timedelta(seconds=4))},
    }
    kube.apply(
        *(
            # All: one that is late is started all the same.
            minutely(task_image, name, schedule=schedule, concurrencyPolicy="Allow", missed={"policy": "All"})
            for name, schedule in schedules.items()
        )
    )
    accounted(kube, *schedules)
    begin = now()
    assert begin < soon, "this machine was too slow to make the jobs before they were due"
    wait_until(soon + timedelta(seconds=8))
    end = now()
    for name, schedule in schedules.items():
        table = Timetable.of(Schedule.model_validate(schedule))
        kube.until(f"{name} ran", lambda name=name, table=table: not ledger.faults(name, table, begin, end))
        kinds = [kind for kinds in ledger.verdicts(name, table).values() for kind in kinds]
        assert {kind[:2] for kind in kinds} == {("success", "Completed")}
    assert len(ledger.verdicts("window", Timetable.of(Schedule.model_validate(schedules["window"])))) == 2
    assert [item["metadata"]["name"] for item in kube.list("cronjobs")] == ["first"]


def test_a_calendar_moves_and_heals(kube: Kube, operator: OperatorProcess, task_image: str) -> None:
    """A job that names a calendar waits for it; a day off is skipped; the calendar's change is no outage."""
    calendar = f"c-{kube.namespace}"
    # Half a day away, so that no due time comes meanwhile.
    due = (now() + timedelta(hours=12)).replace(minute=0, second=0, microsecond=0)
    daily = {"cron": f"0 {due.hour} * * *", "calendar": {"name": calendar, "onHoliday": "Skip"}}
    kube.apply(minutely(task_image, "daily", schedule=daily))

    def reason() -> str | None:
        found = kube.condition("daily", "Ready")
        return None if found is None else str(found["reason"])

    kube.until("it says what is missing", lambda: reason() == "InvalidCalendar")
    day = due.date()
    body = {
        "apiVersion": names.API_VERSION,
        "kind": "BusinessCalendar",
        "metadata": {"name": calendar},
        "spec": {"weekend": [], "validThrough": f"{day + timedelta(days=200)}"},
    }
    kube.apply(body)
    try:
        kube.until("it is ready", lambda: reason() == "Valid")
        kube.until("it is next", lambda: status(kube, "daily").get("nextRunTime") == rfc3339(due))
        kube.apply(body | {"spec": body["spec"] | {"holidays": [{"date": f"{day}"}]}})
        moved = rfc3339(due + timedelta(days=1))
        kube.until("the day off is left out", lambda: status(kube, "daily").get("nextRunTime") == moved)
        assert status(kube, "daily")["clock"] == "Operator"
        shown = kube.cluster.api.get(f"/apis/scheduler.merp.io/v1/businesscalendars/{calendar}")
        assert [entry["type"] for entry in shown["status"]["conditions"]] == ["Ready"]
    finally:
        kube.cluster.api.kubectl("delete", "businesscalendar", calendar)
    kube.until("it says what is missing again", lambda: reason() == "InvalidCalendar")

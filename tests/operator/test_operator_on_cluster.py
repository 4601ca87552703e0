"""The operator against a real API server, as a process that is also killed."""

import time
from pathlib import Path
from typing import Any

import pytest
import records_file
from kube import Kube
from operator_process import OperatorProcess

pytestmark = pytest.mark.cluster

Json = dict[str, Any]
ROOT = Path(__file__).parents[2]
_LOOKED = 'merp_reconcile_total{result="done"}'


def scheduled_job(
    image: str, name: str = "j", *, func: str = "echo_args", args: list[Any] | None = None, **spec: Any
) -> Json:
    """A ScheduledJob that is not due for years, unless `spec` says otherwise."""
    wanted = {
        "schedule": {"cron": "0 0 1 1 *", "timeZone": "Asia/Shanghai"},
        "task": {"func": func, "args": args or []},
        "template": {"image": image},
    } | spec
    return {
        "apiVersion": "scheduler.merp.io/v1",
        "kind": "ScheduledJob",
        "metadata": {"name": name},
        "spec": {key: value for key, value in wanted.items() if value is not None},
    }


def job_run(name: str, scheduled: str = "j", **spec: Any) -> Json:
    return {
        "apiVersion": "scheduler.merp.io/v1",
        "kind": "JobRun",
        "metadata": {"name": name},
        "spec": {"scheduledJob": scheduled} | spec,
    }


def rows(process: OperatorProcess, columns: str = "run_name, status, reason") -> list[tuple[Any, ...]]:
    return records_file.rows(process.database, f"SELECT {columns} FROM job_executions ORDER BY start_time, run_name")


def ready(kube: Kube, name: str = "j", status: str = "True") -> Json:
    def look() -> Json | None:
        found = kube.condition(name, "Ready")
        return found if found is not None and found["status"] == status else None

    return kube.until(f"{name} is Ready={status}", look)


def run(kube: Kube, name: str, **spec: Any) -> Json:
    """Ask for a run and wait for its verdict."""
    kube.apply(job_run(name, **spec))
    return kube.until(f"{name} has a verdict", lambda: kube.verdict(name))


def test_a_run_by_hand_from_apply_to_record(kube: Kube, operator: OperatorProcess, task_image: str) -> None:
    kube.apply(scheduled_job(task_image, args=["仓库𠮷", "$(HOME)", 1]))
    ready(kube)
    verdict = run(kube, "once")
    assert (verdict["verdict"], verdict["reason"]) == ("success", "Completed")
    kube.until("the record", lambda: [row for row in rows(operator) if row[1] == "success"])
    [(name, result, trigger, attempts, exit_code, image)] = rows(
        operator, "run_name, result, trigger, attempts, exit_code, image"
    )
    assert name == verdict["run"]
    assert result == '{"args": ["仓库𠮷", "$(HOME)", 1], "kwargs": {}}'
    assert (trigger, attempts, exit_code, image) == ("manual", 1, 0, task_image)
    status = kube.until(
        "the status has it",
        lambda: found if "recent" in (found := kube.get("scheduledjobs", "j") or {})["status"] else None,
    )["status"]
    assert status["recent"][0]["run"] == verdict["run"]
    assert status["nextRunTime"].endswith("-12-31T16:00:00Z")


@pytest.mark.parametrize(
    ("func", "args", "expected", "said"),
    [
        pytest.param("fail_with", ["boom"], ("failed", "ExitCode"), "RuntimeError: boom", id="C29-raised"),
        pytest.param("fail_with", ["no", 2], ("failed", "BadParameters"), "exit code 2", id="exit-code-2"),
        pytest.param(
            "echo",
            [],
            ("failed", "BadParameters"),
            "unknown task 'echo'",
            id="unknown-task-in-an-image-without-catalogue",
        ),
        pytest.param("fail_big", [200_000], ("failed", "ExitCode"), "ValueError", id="C67-200000-characters"),
    ],
)
def test_how_a_task_fails_is_told(
    kube: Kube,
    operator: OperatorProcess,
    task_image: str,
    func: str,
    args: list[Any],
    expected: tuple[str, str],
    said: str,
) -> None:
    kube.apply(
        scheduled_job(task_image, func=func, args=args, retry={"limit": 1} if expected[1] == "BadParameters" else None)
    )
    verdict = run(kube, "once")
    assert (verdict["verdict"], verdict["reason"]) == expected
    kube.until("the record", lambda: [row for row in rows(operator) if row[1] == "failed"])
    [(error, attempts, end_time)] = rows(operator, "error, attempts, end_time")
    assert said in error
    assert attempts == 1
    assert end_time is not None


def test_a_definition_follows_its_object_and_drift_is_corrected(
    kube: Kube, operator: OperatorProcess, task_image: str
) -> None:
    kube.apply(scheduled_job(task_image))
    ready(kube)
    kube.kubectl("patch", "cronjob", "j", "--type=merge", "-p", '{"spec":{"schedule":"* * * * *","suspend":true}}')

    def as_wanted(expression: str, suspended: bool = False) -> bool:
        spec = (kube.get("cronjobs", "j") or {})["spec"]
        return (spec["schedule"], spec["suspend"]) == (expression, suspended)

    kube.until("the drift is corrected", lambda: as_wanted("0 0 1 1 *"))
    kube.apply(scheduled_job(task_image, schedule={"cron": "5 4 1 1 *"}))
    kube.until("the edit arrives", lambda: as_wanted("5 4 1 1 *"))
    kube.kubectl("annotate", "sj", "j", "scheduler.merp.io/paused={}")
    kube.until("the pause arrives", lambda: as_wanted("5 4 1 1 *", suspended=True))
    kube.kubectl("annotate", "sj", "j", "scheduler.merp.io/paused-")
    kube.until("the resume arrives", lambda: as_wanted("5 4 1 1 *"))


def test_a_second_look_writes_nothing(kube: Kube, operator: OperatorProcess, task_image: str) -> None:
    kube.apply(scheduled_job(task_image))
    run(kube, "once")
    kube.until("the record", lambda: rows(operator))
    kube.until("the status has it", lambda: ((kube.get("scheduledjobs", "j") or {}).get("status") or {}).get("recent"))
    kube.until(
        "the books are closed", lambda: not ((kube.get("cronjobs", "j") or {}).get("status") or {}).get("active")
    )

    def versions() -> list[str]:
        items = [kube.get("scheduledjobs", "j"), kube.get("cronjobs", "j"), kube.get("jobruns", "once")]
        return [item["metadata"]["resourceVersion"] for item in items if item is not None]

    def settled() -> list[str] | None:
        before = versions()
        time.sleep(4)  # longer than the second that status writes are held back for, on a busy machine too
        return before if versions() == before else None

    quiet = kube.until("nothing is written any more", settled)
    # A label makes the operator look again.
    kube.kubectl("label", "job", "--all", "looked=again")
    operator.stop()
    operator.start()
    time.sleep(2)  # the time in which a patch loop would show
    assert versions() == quiet


def test_bad_definitions_are_told_and_hurt_nobody_else(kube: Kube, operator: OperatorProcess, task_image: str) -> None:
    kube.apply(scheduled_job(task_image, "sunday", schedule={"cron": "30 6 * * 7"}), scheduled_job(task_image, "good"))
    kube.apply(
        scheduled_job(
            task_image,
            "podless",
            template={"image": task_image, "podTemplate": {"spec": {"volumes": [{"name": "x", "nonsense": {}}]}}},
        )
    )
    found = ready(kube, "sunday", "False")
    assert (found["reason"], found["message"]) == (
        "InvalidSchedule",
        "schedule.cron: day-of-week: 7 in '7' is above 6: write Sunday as 0 or SUN",
    )
    told = ready(kube, "podless", "False")
    assert told["reason"] == "InvalidTemplate"
    assert "nonsense" in told["message"]
    ready(kube, "good")
    assert [item["metadata"]["name"] for item in kube.list("cronjobs")] == ["good"]
    kube.until(
        "an Event tells it", lambda: [item for item in kube.list("events") if item["reason"] == "InvalidSchedule"]
    )
    kube.kubectl("patch", "sj", "sunday", "--type=merge", "-p", '{"spec":{"schedule":{"cron":"30 6 * * 0"}}}')
    ready(kube, "sunday")
    assert "Traceback" not in operator.log.read_text()


def test_somebody_elses_cron_job_is_not_touched(kube: Kube, operator: OperatorProcess, task_image: str) -> None:
    kube.kubectl("create", "cronjob", "j", "--image", task_image, "--schedule", "0 0 1 1 *")
    before = kube.get("cronjobs", "j")
    kube.apply(scheduled_job(task_image))
    assert ready(kube, status="False")["reason"] == "CronJobExists"
    assert kube.get("cronjobs", "j") == before


def test_overlap_is_refused_and_recorded(kube: Kube, operator: OperatorProcess, task_image: str) -> None:
    kube.apply(scheduled_job(task_image, func="sleep_for", args=[600]))
    kube.apply(job_run("first"))
    kube.until(
        "the first runs",
        lambda: ((kube.get("jobruns", "first") or {}).get("status") or {}).get("state") == "running",
    )
    second = run(kube, "second")
    assert (second["verdict"], second["reason"]) == ("skipped", "Overlap")
    active = kube.until("the books have it", lambda: (kube.get("cronjobs", "j") or {}).get("status", {}).get("active"))
    assert [entry["name"] for entry in active] == [(kube.get("jobruns", "first") or {})["status"]["run"]]
    kube.until("the record", lambda: [row for row in rows(operator) if row[1:] == ("skipped", "Overlap")])


def test_c19_a_job_deleted_by_hand_is_cancelled(kube: Kube, operator: OperatorProcess, task_image: str) -> None:
    kube.apply(scheduled_job(task_image, func="sleep_for", args=[600]))
    kube.apply(job_run("once"))
    name = kube.until("the run", lambda: ((kube.get("jobruns", "once") or {}).get("status") or {}).get("run"))
    kube.until("its Job", lambda: kube.get("jobs", name))
    kube.kubectl("delete", "job", name, "--wait=false")
    verdict = kube.until("the verdict", lambda: kube.verdict("once"))
    assert (verdict["verdict"], verdict["reason"]) == ("cancelled", "JobDeleted")
    kube.until("the record", lambda: rows(operator) == [(name, "cancelled", "JobDeleted")])


def test_c50_deleting_the_scheduled_job_stops_its_runs_and_keeps_its_history(
    kube: Kube, operator: OperatorProcess, task_image: str
) -> None:
    kube.apply(scheduled_job(task_image, func="sleep_for", args=[600]))
    kube.apply(job_run("once"))
    kube.until("it runs", lambda: ((kube.get("jobruns", "once") or {}).get("status") or {}).get("state") == "running")
    kube.kubectl("delete", "sj", "j")
    kube.until("nothing is left", lambda: not kube.list("cronjobs") and not kube.list("jobs"))
    kube.until("the record", lambda: [row[1:] for row in rows(operator)] == [("cancelled", "ScheduledJobDeleted")])
    kube.apply(scheduled_job(task_image))
    ready(kube)
    status = (kube.get("scheduledjobs", "j") or {})["status"]
    assert "recent" not in status


def test_a_killed_operator_goes_on_where_it_was(kube: Kube, operator: OperatorProcess, task_image: str) -> None:
    kube.apply(scheduled_job(task_image, func="sleep_for", args=[3]))
    kube.apply(job_run("before"))
    kube.until("the run", lambda: ((kube.get("jobruns", "before") or {}).get("status") or {}).get("run"))
    operator.kill()
    kube.apply(scheduled_job(task_image, "late"), job_run("meanwhile", "late"))
    name = (kube.get("jobruns", "before") or {})["status"]["run"]
    kube.until(
        "it ends while nobody looks",
        lambda: (((kube.get("jobs", name) or {}).get("status")) or {}).get("completionTime"),
    )
    operator.start()
    for request in ("before", "meanwhile"):
        assert (
            kube.until(f"{request} has a verdict", lambda request=request: kube.verdict(request))["verdict"]
            == "success"
        )
    kube.until("both records", lambda: [row[1] for row in rows(operator)] == ["success", "success"])


def test_recorded_jobs_are_cleaned_up_beyond_the_history(
    kube: Kube, operator: OperatorProcess, task_image: str
) -> None:
    kube.apply(scheduled_job(task_image, history={"successful": 1, "failed": 0}))
    # Due times of long ago: no clock could still want their names.
    for number in range(3):
        run(kube, f"run-{number}", dueTime=f"2026-01-0{number + 1}T00:00:00Z")
    # The newest finished Job makes the older ones superfluous before its own record is committed.
    kube.until("the records", lambda: [row[1] for row in rows(operator)] == ["success"] * 3)
    kube.until("one Job is left", lambda: len(kube.list("jobs")) == 1)
    assert kube.list("jobs")[0]["metadata"]["annotations"]["scheduler.merp.io/due-time"] == "2026-01-03T00:00:00Z"


def test_a_request_before_its_job_waits_for_it(kube: Kube, operator: OperatorProcess, task_image: str) -> None:
    kube.apply(job_run("early"))

    def told() -> Json | None:
        conditions = ((kube.get("jobruns", "early") or {}).get("status") or {}).get("conditions") or []
        return next((entry for entry in conditions if entry["reason"] == "UnknownScheduledJob"), None)

    assert "create it" in kube.until("it is told", told)["message"]
    kube.apply(scheduled_job(task_image))
    assert kube.until("its verdict", lambda: kube.verdict("early"))["verdict"] == "success"


def test_the_process_tells_of_itself_and_ends_when_told(kube: Kube, operator: OperatorProcess, task_image: str) -> None:
    kube.apply(scheduled_job(task_image))
    ready(kube)
    assert operator.ask("healthz") == 200
    # A look is counted when it is over, which is after the last that it writes.
    text = kube.until("a look is counted", lambda: text if _LOOKED in (text := operator.metrics()) else "")
    assert 'merp_reconcile_total{result="bug"}' not in text
    assert operator.stop() == 0

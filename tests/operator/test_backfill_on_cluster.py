"""Backfills, reruns and cancellations against a real API server, by an operator that is also killed."""

import itertools
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import records_file
from kube import Kube
from operator_process import OperatorProcess

from merp_crds.common import rfc3339

pytestmark = pytest.mark.cluster

Json = dict[str, Any]

# Six hours of a day that is long over.
DAY = (datetime.now(UTC) - timedelta(days=2)).replace(hour=0, minute=0, second=0, microsecond=0)
HOURS = [rfc3339(DAY + timedelta(hours=hour)) for hour in range(7)]


def scheduled_job(image: str, *, func: str = "echo_args", args: list[Any] | None = None, **spec: Any) -> Json:
    """A job that is due every hour and never natively started: it is paused."""
    wanted = {
        "schedule": {"cron": "0 * * * *"},
        "task": {"func": func, "args": args or []},
        "template": {"image": image},
        "suspend": True,
    } | spec
    return {
        "apiVersion": "scheduler.merp.io/v1",
        "kind": "ScheduledJob",
        "metadata": {"name": "j"},
        "spec": wanted,
    }


def job_run(name: str, **spec: Any) -> Json:
    return {
        "apiVersion": "scheduler.merp.io/v1",
        "kind": "JobRun",
        "metadata": {"name": name, "annotations": {"scheduler.merp.io/created-by": "anna"}},
        "spec": {"scheduledJob": "j"} | spec,
    }


def backfill(name: str = "fill", *, end: int = 6, policy: str | None = None, **changes: Any) -> Json:
    spec: Json = {"backfill": {"start": HOURS[0], "end": HOURS[end]} | changes}
    return job_run(name, **spec | ({"concurrencyPolicy": policy} if policy else {}))


def rows(process: OperatorProcess, columns: str) -> list[tuple[Any, ...]]:
    return records_file.rows(process.database, f"SELECT {columns} FROM job_executions ORDER BY due_time, run_name")


def status(kube: Kube, name: str = "fill") -> Json:
    found: Json = (kube.get("jobruns", name) or {}).get("status") or {}
    return found


def condition(kube: Kube, name: str, kind: str) -> Json | None:
    return next((entry for entry in status(kube, name).get("conditions") or [] if entry["type"] == kind), None)


def ended(kube: Kube, name: str = "fill") -> Json:
    def look() -> Json | None:
        found = status(kube, name)
        return found if found.get("endTime") else None

    return kube.until(f"{name} ends", look)


def cancel(kube: Kube, name: str, by: str = '{"by":"anna"}') -> None:
    kube.kubectl("annotate", "sj", "j", f"cancel.scheduler.merp.io/{name}={by}")


def cancellations(kube: Kube) -> list[str]:
    annotations = (kube.get("scheduledjobs", "j") or {})["metadata"].get("annotations") or {}
    return [name for name in annotations if name.startswith("cancel.scheduler.merp.io/")]


def test_an_operator_that_is_killed_in_the_middle_goes_on_where_it_was(
    kube: Kube, operator: OperatorProcess, task_image: str
) -> None:
    kube.apply(scheduled_job(task_image, history={"successful": 1, "failed": 1}))
    kube.apply(backfill())
    for started in (1, 2, 4):
        kube.until(f"{started} are started", lambda n=started: status(kube).get("started", 0) >= n)
        operator.kill()
        time.sleep(1)  # the run that is under way may end while nobody looks
        operator.start()
    found = ended(kube)
    assert (found["verdict"], found["planned"], found["started"], found["finished"], found["succeeded"]) == (
        "success", 6, 6, 6, 6,
    )  # fmt: skip
    kube.until("six records", lambda: [row[1] for row in rows(operator, "due_time, status")] == ["success"] * 6)
    recorded = rows(operator, "due_time, trigger, created_by, start_time, end_time")
    assert [row[0][:19].replace(" ", "T") + "Z" for row in recorded] == HOURS[1:]
    assert {row[1:3] for row in recorded} == {("backfill", "anna")}
    # One at a time and oldest first: Forbid is the default.
    assert all(before[4] <= after[3] for before, after in itertools.pairwise(recorded))
    kube.until("the Jobs go when they are counted", lambda: len(kube.list("jobs")) == 1)
    assert "Traceback" not in operator.log.read_text()


def test_missing_passes_over_what_succeeded_and_a_dry_run_only_counts(
    kube: Kube, operator: OperatorProcess, task_image: str
) -> None:
    kube.apply(scheduled_job(task_image, concurrencyPolicy="Allow"))
    kube.apply(backfill("half", end=3, maxParallel=3))
    assert ended(kube, "half")["succeeded"] == 3
    kube.until("the records", lambda: [row[0] for row in rows(operator, "status")] == ["success"] * 3)
    kube.apply(backfill("dry", dryRun=True))
    dry = ended(kube, "dry")
    assert (dry["planned"], dry["passedOver"], dry.get("started"), dry.get("verdict")) == (6, 3, None, None)
    assert len(rows(operator, "id")) == 3
    # Not from the Jobs alone: these are gone.
    kube.kubectl("delete", "jobs", "--all")
    kube.apply(backfill("rest", maxParallel=6))
    rest = ended(kube, "rest")
    assert (rest["planned"], rest["passedOver"], rest["started"], rest["succeeded"]) == (6, 3, 3, 3)
    kube.until("six records", lambda: [row[0] for row in rows(operator, "status")] == ["success"] * 6)
    kube.apply(backfill("again", only="All", maxParallel=6))
    assert ended(kube, "again")["succeeded"] == 6
    kube.until("twelve records", lambda: len(rows(operator, "id")) == 12)


def test_a_cancelled_backfill_ends_its_runs_and_starts_no_more(
    kube: Kube, operator: OperatorProcess, task_image: str
) -> None:
    kube.apply(scheduled_job(task_image, func="sleep_for", args=[600]))
    kube.apply(backfill(policy="Allow", maxParallel=2))
    kube.until("two run", lambda: [len(job["status"].get("conditions") or []) for job in kube.list("jobs")] == [0, 0])
    kube.until("two are written down", lambda: len(status(kube).get("active") or []) == 2)
    cancel(kube, "fill")
    found = ended(kube)
    assert (found["verdict"], found["reason"], found["started"], found["failed"]) == (
        "cancelled", "CancelledByUser", 2, 2,
    )  # fmt: skip
    stopped = condition(kube, "fill", "Stopped")
    assert stopped is not None
    assert stopped["message"] == "cancelled by anna"
    kube.until("the annotation goes", lambda: not cancellations(kube))
    expected = [("cancelled", "CancelledByUser")] * 2
    kube.until("the records", lambda: rows(operator, "status, reason") == expected)
    assert len(kube.list("jobs")) == 2
    kube.until("no pod is left", lambda: not kube.list("pods"))


def test_runs_by_hand_are_cancelled_by_either_name(kube: Kube, operator: OperatorProcess, task_image: str) -> None:
    kube.apply(scheduled_job(task_image, func="sleep_for", args=[600], concurrencyPolicy="Allow"))
    kube.apply(job_run("one"), job_run("two"))
    for name in ("one", "two"):
        kube.until(f"{name} runs", lambda name=name: status(kube, name).get("state") == "running")
    cancel(kube, "one")
    cancel(kube, status(kube, "two")["run"], by="")
    for name, message in (("one", "cancelled by anna"), ("two", "cancelled")):
        found = ended(kube, name)
        assert (found["verdict"], found["reason"], found["message"]) == ("cancelled", "CancelledByUser", message)
    kube.until("the annotations go", lambda: not cancellations(kube))
    cancel(kube, "nobody")
    kube.until("that one goes too", lambda: not cancellations(kube))
    kube.until("it is told", lambda: [item for item in kube.list("events") if item["reason"] == "NothingToCancel"])


def test_a_backfill_waits_for_its_records_and_holds_nobody_up(kube: Kube, task_image: str, tmp_path: Path) -> None:
    folder = tmp_path / "later"
    operator = OperatorProcess(
        tmp_path, kube.cluster.kubeconfig, kube.namespace, MERP_SQLITE_PATH=str(folder / "records.db")
    )
    operator.start()
    try:
        kube.apply(scheduled_job(task_image, concurrencyPolicy="Allow"))
        kube.apply(backfill(end=2), job_run("meanwhile"))
        waiting = kube.until("it says so", lambda: condition(kube, "fill", "Waiting"))
        assert waiting["reason"] == "RecordsAway"
        assert ended(kube, "meanwhile")["verdict"] == "success"
        assert status(kube).get("started", 0) == 0
        folder.mkdir()
        found = ended(kube)
        assert (found["verdict"], found["succeeded"]) == ("success", 2)
        assert condition(kube, "fill", "Waiting") is None
    finally:
        operator.stop()


def test_what_is_no_backfill_is_told(kube: Kube, operator: OperatorProcess, task_image: str) -> None:
    kube.apply(scheduled_job(task_image, schedule={"cron": "* * * * *"}))
    start = rfc3339(DAY - timedelta(days=6 * 365))
    kube.apply(job_run("years", backfill={"start": start, "end": HOURS[0]}))
    kube.apply(job_run("future", backfill={"start": HOURS[0], "end": rfc3339(DAY + timedelta(days=30))}))
    kube.apply(job_run("unknown", run="j-28000000"))
    for name, said in (
        ("years", "holds 3153600 due times, and at most 1000"),
        ("future", "backfill.end"),
        ("unknown", "give its due time as dueTime"),
    ):
        told = kube.until(f"{name} is told", lambda name=name: condition(kube, name, "Accepted"))
        assert (told["status"], told["reason"]) == ("False", "Invalid")
        assert said in told["message"]
    assert kube.list("jobs") == []


def test_a_rerun_is_for_the_same_due_time(kube: Kube, operator: OperatorProcess, task_image: str) -> None:
    kube.apply(scheduled_job(task_image, args=["own"]))
    kube.apply(job_run("first", dueTime=HOURS[3], args=["given"]))
    first = ended(kube, "first")
    kube.apply(job_run("again", run=first["run"]))
    again = ended(kube, "again")
    assert (again["verdict"], again["dueTime"]) == ("success", HOURS[3])
    assert again["run"] != first["run"]
    kube.until("both records", lambda: [row[0] for row in rows(operator, "status")] == ["success"] * 2)
    recorded = rows(operator, "trigger, result")
    assert sorted(row[0] for row in recorded) == ["manual", "retry"]
    assert {row[1] for row in recorded} == {'{"args": ["given"], "kwargs": {}}'}
